"""What a gate costs to carry: the wheel, what it brings, the files and bytes that it reads, and its first answer.

Each column is a checkout, ``bench/size.py [NAME=FOLDER …]``; this one by default. All take turns in one run. The driver is
simulated (two H100), as in `bench/gate.py`. Prints a table in Markdown; ``bench/RESULTS.md`` holds the last one.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fakes import H100, H100B, Host  # noqa: E402 - of the tests

ROUNDS = 15
GATE = 'import capably; capably.supports(">=7.5")'
IMPORT = "import capably"
# The files below capably that the process opens, and how many bytes these have.
READ = """
import os, sys, time
opened = set()
sys.addaudithook(lambda event, given: opened.add(given[0]) if event == "open" and isinstance(given[0], str) else None)
{}
mine = [os.stat(name).st_size for name in opened if "capably" in name and os.path.isfile(name)]
import json
print(json.dumps([len(mine), sum(mine)]))
"""
FIRST = """
import os, time
start = time.perf_counter()
{}
print(time.perf_counter() - start, sum(os.times()[:4]))
"""


def run(source: Path, code: str, environ: dict[str, str]) -> str:
    variables = {**environ, "PYTHONPATH": str(source / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    return done.stdout


def wheel_of(source: Path) -> tuple[int, int]:
    """Bytes of the wheel, and how many distributions it asks for without an extra."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, str(source)]
        subprocess.run(command, check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            text = archive.read(name).decode()
        return wheel.stat().st_size, len(
            [one for one in re.findall(r"(?m)^Requires-Dist: (.*)$", text) if "extra" not in one]
        )


def main() -> None:
    given = dict(one.split("=", 1) for one in sys.argv[1:]) or {"this": str(ROOT)}
    sources = {name: Path(folder).resolve() for name, folder in given.items()}
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("CAPABLY_", "PYTHON"))}
    environ |= Host(Path(tempfile.mkdtemp()), (H100, H100B)).variables()
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(ROUNDS + 1):
        for name, source in sources.items():
            for code in (IMPORT, GATE):
                wall, processor = map(float, run(source, FIRST.format(code), environ).split())
                if turn:  # the first compiles to bytecode, and fills the page cache
                    times.setdefault((name, code), []).append((wall * 1000, processor * 1000))
    wheels = {name: wheel_of(source) for name, source in sources.items()}
    read = {name: json.loads(run(source, READ.format(GATE), environ)) for name, source in sources.items()}
    rows = {
        "wheel, kB": [f"{size / 1000:.0f}" for size, _ in wheels.values()],
        "distributions that it asks for": [str(count) for _, count in wheels.values()],
        "files that the gate reads": [str(files) for files, _ in read.values()],
        "bytes in them, kB": [f"{size / 1000:.0f}" for _, size in read.values()],
        "`import capably`, ms": [
            f"{statistics.median(wall for wall, _ in times[name, IMPORT]):.1f}" for name in sources
        ],
        "first answer, ms": [f"{statistics.median(wall for wall, _ in times[name, GATE]):.0f}" for name in sources],
        "the least": [f"{min(times[name, GATE])[0]:.0f}" for name in sources],
        "of the processor, with Python and the child": [
            f"{statistics.median(processor for _, processor in times[name, GATE]):.0f}" for name in sources
        ],
    }
    print(f"| Python {sys.version.split()[0]}, medians of {ROUNDS} | {' | '.join(sources)} |")
    print("|---" * (len(sources) + 1) + "|")
    for what, cells in rows.items():
        print(f"| {what} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
