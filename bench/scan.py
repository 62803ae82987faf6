"""What scanning costs: `capably scan` against cuobjdump on a library, and against `unzip -p` on wheels.

    python bench/scan.py --cuobjdump PATH --library libtorch_cuda.so WHEEL...

Whole processes, in turns so that a busy machine slows all of them alike; the figure is the best of several,
files in the page cache. Memory is the peak of the process as the kernel counts it (Linux, macOS). Prints
tables in Markdown; ``bench/RESULTS.md`` holds the last ones. `unzip` has to inflate every byte too, and checks
it, and looks at nothing; the ratio of processor time says what is left when no second core is free. The floor is
what inflating alone takes, by the same library in as many threads as there are cores, with starting Python: no
scan that reads every byte can be faster.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CAPABLY = [sys.executable, "-m", "capably", "scan", "--json", "--quiet", "--no-cache"]


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds by the clock and of the processor, peak of memory in MiB."""

    wall: float
    cpu: float
    memory: float


def cost(command: list[str]) -> Cost:
    """Run a process to its end, with its output thrown away."""
    null = os.open(os.devnull, os.O_RDWR)
    start = time.perf_counter()
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)]
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - start
    os.close(null)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"failed with {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak)


def best(commands: list[list[str]], rounds: int) -> list[Cost]:
    """The best of each command over the rounds, measure by measure."""
    runs: list[list[Cost]] = [[] for _ in commands]
    for _ in range(rounds):
        for found, command in zip(runs, commands, strict=True):
            found.append(cost(command))
    return [Cost(*(min(getattr(run, name) for run in found) for name in ("wall", "cpu", "memory"))) for found in runs]


def compare_with_cuobjdump(tool: str, library: str, rounds: int) -> None:
    own, other = best([[*CAPABLY, library], [tool, "--list-elf", "--list-ptx", library]], rounds)
    print(
        "| library | MB | `capably scan`, s | cuobjdump, s | times faster | MiB | cuobjdump, MiB | part of its memory |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {Path(library).name} | {Path(library).stat().st_size / 1e6:.0f} | {own.wall:.2f} | {other.wall:.2f} "
        f"| {other.wall / own.wall:.0f} | {own.memory:.0f} | {other.memory:.0f} | 1/{other.memory / own.memory:.0f} |\n"
    )


def compare_with_unzip(wheels: list[str], rounds: int) -> None:
    print("| wheel | MB | `capably scan`, s | `unzip -p`, s | times faster | floor, s | by processor time | MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for wheel in sorted(wheels, key=lambda path: Path(path).stat().st_size):
        floor = [sys.executable, __file__, "--inflate", wheel]
        own, other, least = best([[*CAPABLY, wheel], ["unzip", "-p", wheel], floor], rounds)
        name = "-".join(Path(wheel).name.split("-")[:2])
        print(
            f"| {name} | {Path(wheel).stat().st_size / 1e6:.0f} | {own.wall:.2f} | {other.wall:.2f} "
            f"| {other.wall / own.wall:.2f} | {least.wall:.2f} | {other.cpu / own.cpu:.2f} | {own.memory:.0f} |",
            flush=True,
        )


def inflate(wheel: str) -> None:
    """Inflate all members and do nothing with them."""
    from isal import igzip_lib  # noqa: PLC0415 - for the floor only

    def one(member: zipfile.ZipInfo) -> None:
        with open(wheel, "rb", buffering=0) as file:  # noqa: PTH123 - one for each thread, cheaply
            file.seek(member.header_offset + 26)
            names = file.read(4)
            file.seek(int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little"), os.SEEK_CUR)
            engine = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
            left = member.compress_size
            while left > 0 and (data := file.read(min(left, 1 << 20))):
                left -= len(data)
                while member.compress_type and not engine.eof:
                    engine.decompress(data, 1 << 20)
                    data = b""
                    if engine.needs_input:
                        break

    with zipfile.ZipFile(wheel) as archive:
        members = sorted(archive.infolist(), key=lambda member: -member.file_size)
    with ThreadPoolExecutor(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ) as pool:
        list(pool.map(one, members))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cuobjdump", help="NVIDIA's tool, for --library")
    parser.add_argument("--library", help="a library with GPU code")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inflate", metavar="WHEEL", help="only inflate this one")
    parser.add_argument("wheel", nargs="*")
    options = parser.parse_args()
    if options.inflate:
        inflate(options.inflate)
        return
    if options.library:
        compare_with_cuobjdump(options.cuobjdump or "cuobjdump", options.library, options.rounds)
    if options.wheel:
        compare_with_unzip(options.wheel, options.rounds)


if __name__ == "__main__":
    main()
