"""What ``capably doctor`` costs on a real environment, beside ``python -m torch.utils.collect_env``.

The environment holds torch 2.13.0 for the CPU, bitsandbytes 0.50.2, xformers 0.0.35, triton and
flashinfer-python, the latter four without what they require. Name a ready one, or none to have one built (3 GB,
from the package index). Times are of whole processes, with warm pages: with an empty store, then with the one
that the run before has filled.

    python bench/doctor.py [ENVIRONMENT]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROUNDS = 5
GPUS = "T4, RTX 4090, RTX 5090, GB10"
PACKAGES = ("bitsandbytes==0.50.2", "xformers==0.0.35", "triton", "flashinfer-python")
# What the files hold by NVIDIA's cuobjdump: shares of fatbins by GPU, in the order of GPUS.
EXPECTED = {
    ("bitsandbytes", "128"): ["full", "full", "full", "full"],
    ("bitsandbytes", "121"): ["full", "full", "not", "not"],
    ("xformers", None): ["full", "full", "full", "full"],
}


def build(folder: Path) -> Path:
    """A new environment with the packages."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    torch = ["torch==2.13.0", "--index-url", "https://download.pytorch.org/whl/cpu"]
    subprocess.run([*pip, *torch], check=True)
    subprocess.run([*pip, "--no-deps", *PACKAGES], check=True)
    return folder


def timed(command: list[str], variables: dict[str, str]) -> tuple[float, str]:
    """Seconds that *command* takes, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(command, env=variables, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"{command[2]} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    return time.perf_counter() - start, done.stdout


def agrees(text: str) -> bool:
    """Whether the answer says what the files hold."""
    rows: dict[tuple[str, str | None], list[str]] = {}
    for row in json.loads(text)["packages"]:
        rows.setdefault((row["name"], row["alternative"]), []).append(row["coverage"])
    return all(
        (found == wanted) if wanted == "full" else (found != "full")
        for key, expected in EXPECTED.items()
        for found, wanted in zip(rows[key], expected, strict=True)
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(sys.argv[1]) if sys.argv[1:] else build(Path(scratch) / "env")
        doctor = [sys.executable, "-m", "capably", "doctor", "--json", "-q", "--python", str(place), "--gpu", GPUS]
        collect = [str(place / "bin" / "python"), "-m", "torch.utils.collect_env"]
        times: dict[str, list[float]] = {"empty store": [], "second time": [], "collect_env": []}
        text = ""
        for number in range(ROUNDS + 1):  # the first fills the page cache
            kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
            variables = {**kept, "CAPABLY_CACHE_DIR": str(Path(scratch) / f"cache{number}")}
            for name, command in (("empty store", doctor), ("second time", doctor), ("collect_env", collect)):
                seconds, printed = timed(command, variables)
                text = text if name == "collect_env" else printed
                if number:
                    times[name].append(seconds)
        print(f"agrees with what the files hold: {'yes' if agrees(text) else 'NO'}")
        print("| run | median, s | least, s | most, s |\n|---|---|---|---|")
        for name, found in times.items():
            print(f"| {name} | {statistics.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")


if __name__ == "__main__":
    main()
