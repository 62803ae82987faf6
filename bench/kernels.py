"""What reading kernels costs: ``capably scan --kernels``'s reader beside cuobjdump and beside decompression alone.

    python bench/kernels.py --cuobjdump PATH LIBRARY

All kernels of all targets of a library, by three processes in turns: capably, ``cuobjdump --dump-elf-symbols``, and one
that inflates every image with as many threads and throws it away (the fatbins are walked before its clock starts).
Figures are the best of several, files in the page cache; on a machine that does other things too, those of the
processor are the ones to compare; memory is the peak of the process as the kernel counts it.
Prints a table in Markdown; ``bench/RESULTS.md`` holds the last one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

# Each prints one JSON: seconds by the clock and of the processor, MiB, kernels, and bytes that were inflated.
_USED = """
import resource
usage = resource.getrusage(resource.RUSAGE_SELF)
used = [seconds, usage.ru_utime + usage.ru_stime - before, usage.ru_maxrss / 1024]
"""

_CAPABLY = f"""
import json, sys, time
before, start = time.process_time(), time.perf_counter()
from capably.scanner import scan
artifact = scan(sys.argv[1], with_kernels=True)
images = [i for l in artifact.libraries for f in l.kernels for i in f.images]
count = sum(len(i.names or ()) for i in images if i.image.kind == "sass")
seconds = time.perf_counter() - start
{_USED}
print(json.dumps([*used, count, sum(i.size_bytes for i in images)]))
"""

_INFLATE = f"""
import json, mmap, struct, sys, time
from concurrent.futures import ThreadPoolExecutor
import lz4.block, zstandard
from capably.scanner.parallel import workers
file = open(sys.argv[1], "rb")
data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
payloads, position = [], 0
while (position := data.find(b"\\x50\\xed\\x55\\xba\\x01\\x00\\x10\\x00", position)) >= 0:
    at, end = position + 16, position + 16 + struct.unpack_from("<Q", data, position + 8)[0]
    while at < end:
        fields = struct.unpack_from("<HHIQIIHHIIIQQQ", data, at)
        payloads.append((at + fields[2], fields[4] or fields[3], fields[11], fields[13]))
        at += fields[2] + fields[3]
    position = end
def inflate(payload):
    offset, size, flags, full = payload
    stored = data[offset : offset + size]
    if flags & 0x2000:
        return len(lz4.block.decompress(stored, uncompressed_size=full))
    if flags & 0x8000:
        return len(zstandard.ZstdDecompressor().decompress(stored, max_output_size=full))
    return size
before, start = time.process_time(), time.perf_counter()
with ThreadPoolExecutor(workers()) as pool:
    total = sum(pool.map(inflate, payloads))
seconds = time.perf_counter() - start
{_USED}
print(json.dumps([*used, None, total]))
"""

_CUOBJDUMP = """
import json, re, resource, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen([sys.argv[2], "--dump-elf-symbols", sys.argv[1]], stdout=subprocess.PIPE)
count = sum(line.startswith(b"FUNC") and b" ENTRY " in line for line in process.stdout)
process.wait()
seconds = time.perf_counter() - start
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, count, None]))
"""


Run = tuple[float, float, float, int | None, int | None]


def measured(source: str, arguments: list[str]) -> Run:
    done = subprocess.run([sys.executable, "-c", source, *arguments], check=True, capture_output=True, text=True)
    wall, cpu, memory, kernels, inflated = json.loads(done.stdout)
    return wall, cpu, memory, kernels, inflated


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--cuobjdump", default="cuobjdump", help="NVIDIA's tool")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("library")
    options = parser.parse_args()
    sources = {"capably": _CAPABLY, "inflating alone": _INFLATE, "cuobjdump": _CUOBJDUMP}
    runs: dict[str, list[Run]] = {name: [] for name in sources}
    for _ in range(options.rounds):
        for name, source in sources.items():
            runs[name].append(measured(source, [options.library, options.cuobjdump]))
    size = Path(options.library).stat().st_size / 1e6
    print(f"{Path(options.library).name}, {size:.0f} MB:\n")
    print("| run | s | times capably's | of the processor, s | times capably's | MiB | kernels | MB inflated |")
    print("|---|---|---|---|---|---|---|---|")
    best = {
        name: (min(r[0] for r in found), min(r[1] for r in found), min(r[2] for r in found))
        for name, found in runs.items()
    }
    own = best["capably"]
    for name, (wall, cpu, memory) in best.items():
        _, _, _, count, total = runs[name][0]
        kernels = "" if count is None else f"{count:,}"
        inflated = "" if total is None else f"{total / 1e6:,.0f}"
        print(
            f"| {name} | {wall:.2f} | {wall / own[0]:.2f} | {cpu:.2f} | {cpu / own[1]:.2f} | {memory:.0f} "
            f"| {kernels} | {inflated} |"
        )


if __name__ == "__main__":
    main()
