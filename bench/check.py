"""What `capably check` takes for eight wheels that the store knows, for all GPUs: time, memory, and JSON.

    python bench/check.py WHEEL...

The wheels of `bench/RESULTS.md` are bitsandbytes 0.45.5 and 0.50.2, cupy-cuda12x 13.6.0 and 14.2.0, faiss-gpu-cu12
1.14.1.post1, flashinfer-cubin 0.6.13, flashinfer-python 0.7.2.post1 and jax-cuda12-pjrt 0.10.2. Each run is a whole process;
the first fills a store of its own and is told apart. Prints a table in Markdown; bounds are 1 s, 10 MB and 200 MB.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 7
CAPABLY = str(Path(sys.executable).with_name("capably"))


def run(wheels: list[str], store: str) -> tuple[float, float, int, int]:
    """Seconds of wall time and of the processor, MiB at most, and bytes of JSON."""
    command = [CAPABLY, "check", *wheels, "--gpu", "all", "--json", "--quiet"]
    with tempfile.TemporaryFile() as answer:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=answer, env={**os.environ, "CAPABLY_CACHE_DIR": store})
        _, status, used = os.wait4(child.pid, 0)
        took = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in (0, 1, 3):
            raise SystemExit(f"capably check exited with {child.returncode}")
        return took, used.ru_utime + used.ru_stime, used.ru_maxrss >> 10, answer.seek(0, os.SEEK_END)


def main() -> None:
    wheels = sys.argv[1:]
    if not wheels:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as store:
        first = run(wheels, store)
        runs = [run(wheels, store) for _ in range(ROUNDS)]
    print("| run | median, s | least, s | processor, least, s | MiB | JSON, MB |")
    print("|---|---|---|---|---|---|")
    for name, found in (("empty store", [first]), (f"known, of {ROUNDS}", runs)):
        wall = [one[0] for one in found]
        cells = (statistics.median(wall), min(wall), min(one[1] for one in found))
        texts = [f"{cell:.2f}" for cell in cells]
        print(f"| {name} | {' | '.join(texts)} | {max(one[2] for one in found)} | {found[0][3] / 1e6:.1f} |")


if __name__ == "__main__":
    main()
