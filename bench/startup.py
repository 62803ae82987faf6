"""What starting costs: bare Python, ``import capably``, ``capably --version``, ``capably --help``.

Each is a whole process, timed in turns so that a busy machine slows all of them alike; the figure is the
median. Prints a table in Markdown; ``bench/RESULTS.md`` holds the last one.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 31
CAPABLY = str(Path(sys.executable).with_name("capably"))
COMMANDS = {
    "`python -I -c pass`": [sys.executable, "-I", "-c", "pass"],
    "`python -I -c 'import capably'`": [sys.executable, "-I", "-c", "import capably"],
    "`python -I -c 'from capably import judge'`": [sys.executable, "-I", "-c", "from capably import judge"],
    "`capably --version`": [CAPABLY, "--version"],
    "`capably --help`": [CAPABLY, "--help"],
}


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        subprocess.run(command, check=True, capture_output=True)  # compile to bytecode, fill the page cache
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(found) * 1000 for name, found in times.items()}
    bare = next(iter(medians.values()))
    print("| command | median of 31, ms | over bare Python, ms | ratio to bare Python |")
    print("|---|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:.0f} | {value - bare:.0f} | {value / bare:.1f} |")


if __name__ == "__main__":
    main()
