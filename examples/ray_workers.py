"""The gate in workers of Ray: each sees the GPUs that Ray gives it, and nobody initialises CUDA.

    pip install ray pytest && python examples/ray_workers.py

On a machine without a GPU too: the driver is the simulated one of the tests, with an RTX 3090 (8.6) and an RTX 4090
(8.9), and its log of calls shows who initialised what. Ends with 1 if an answer is not what it should be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import ray

import capably

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from fakes import RTX3090, RTX4090, Host  # noqa: E402 - from there

INSIDE = "CAPABLY_EXAMPLE_FOLDER"


def outside() -> int:
    """Start this script again on the simulated machine, for a process's own library path is read when it starts."""
    folder = tempfile.mkdtemp()
    host = Host(Path(folder), (RTX3090, RTX4090), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    more = {INSIDE: folder, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    return subprocess.run([sys.executable, __file__], env=host.variables(**more), check=False).returncode


def asked() -> dict[str, object]:
    """What a process says of the GPUs that it sees."""
    try:
        capably.require("fp8", feature="This worker")
        text = "passes"
    except capably.IncompatibleError as error:
        text = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return {
        "pid": os.getpid(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "devices": [str(device.capability) for device in capably.devices()],
        "fp8": [capably.supports("fp8", number) for number in range(len(capably.devices()))],
        "require": text,
    }


class Worker:
    """An actor that keeps its GPU."""

    def asked(self) -> dict[str, object]:
        """What it sees."""
        return asked()


def inside() -> int:
    """Ask here, in workers, and here again."""
    before = asked()
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)

    worker_of_one, both = ray.remote(num_gpus=1)(Worker), ray.remote(num_gpus=2)(asked)
    workers = [worker_of_one.remote() for _ in range(2)]
    apart = sorted(ray.get([worker.asked.remote() for worker in workers]), key=lambda told: str(told["visible"]))
    for worker in workers:
        ray.kill(worker)
    together = ray.get(both.remote())
    after = asked()
    ray.shutdown()
    for name, told in (("here", before), *(("a worker", told) for told in apart), ("both", together), ("here", after)):
        print(f"{name:9} {told}")
    expected = [[False, True], [False], [True], [False, True], [False, True]]
    right = [told["fp8"] for told in (before, *apart, together, after)] == expected
    log = (Path(os.environ[INSIDE]) / "calls.log").read_text(encoding="utf-8").splitlines()
    pids = {str(told["pid"]) for told in (before, *apart, together)}
    calls = [line for line in log if line.split()[0] in pids]
    print(f"calls of the driver by these processes themselves: {calls or 'none'}; by children that ask: {len(log)}")
    return 0 if right and not calls else 1


if __name__ == "__main__":
    sys.exit(inside() if INSIDE in os.environ else outside())
