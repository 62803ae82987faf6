"""Mutates valid inputs and feeds them to the parsers of the scanner, one target per parser.

    python tests/fuzz/harness.py --count 200000 --seed 1             all targets, a table in Markdown
    python tests/fuzz/harness.py --target cubin --only 4711 > bad    one input again, as bytes

Input number N of a seed is the same wherever it runs. An exception that a parser does not declare, an input
that takes more than a second and more than 512 MiB of memory are bugs; such an input goes to
``tests/crashers/`` with its story, and ``test_fuzz.py`` replays it.

A new parser is one function with ``@target``: it takes bytes and says whether they got past its header.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from typing import TYPE_CHECKING

import code_targets
import fact_targets
from mutation import TARGETS, make

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SLOWEST_S", "TARGETS", "Report", "code_targets", "fact_targets", "make", "run"]

SLOWEST_S = 1.0
MOST_MEMORY_MIB = 512
_PATIENCE_S = 20.0
"""By the clock, for an input that waits for something and takes no time of a processor."""
_ADDRESSES = 4 << 30


@dataclass
class Report:
    """How a target did.

    Attributes:
        target: Its name.
        inputs: How many were tried.
        deep: How many got past the header.
        refused: How many ended in a declared exception.
        broken: Numbers of inputs that raised something else, with the last line of the traceback.
        slowest_s: The longest time for one input.
        slowest: Its number.
        seconds: For all.
        memory_mib: Peak of the process.
    """

    target: str
    inputs: int = 0
    deep: int = 0
    refused: int = 0
    broken: list[tuple[int, str]] | None = None
    slowest_s: float = 0.0
    slowest: int = 0
    seconds: float = 0.0
    memory_mib: float = 0.0

    @property
    def good(self) -> bool:
        return not self.broken and self.slowest_s <= SLOWEST_S and self.memory_mib <= MOST_MEMORY_MIB


def run(name: str, count: int, seed: int, *, seconds: float = 1e9) -> Report:
    """Try *count* inputs, or as many as *seconds* allow."""
    found = TARGETS[name]
    report = Report(name, broken=[])
    assert report.broken is not None
    began = time.perf_counter()
    for number in range(count):
        data = make(name, seed, number)
        # Processor time: what others do on this machine is no fault of the input.
        start = time.process_time()
        try:
            with in_time():
                report.deep += found.parse(data)
        except found.declared:
            report.refused += 1
        except (Exception, WaitsForeverError):  # noqa: BLE001 - that is what is looked for
            report.broken.append((number, traceback.format_exc(limit=-2)))
        took = time.process_time() - start
        report.inputs += 1
        if took > report.slowest_s:
            report.slowest_s, report.slowest = took, number
        if time.perf_counter() - began > seconds:
            break
    report.seconds = time.perf_counter() - began
    report.memory_mib = peak_mib()
    return report


class WaitsForeverError(BaseException):
    """No parser may catch it."""


@contextmanager
def in_time() -> Iterator[None]:
    """Ends what waits for something that never comes, where there are such alarms."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def wake(*_: object) -> None:
        raise WaitsForeverError

    before = signal.signal(signal.SIGALRM, wake)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bound_memory() -> None:
    """What asks for far too much is refused it, before the machine is short of memory."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))


def peak_mib() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--only", type=int, help="write this input of the one target to standard output")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.target or sorted(TARGETS)
    if options.only is not None:
        sys.stdout.buffer.write(make(names[0], options.seed, options.only))
        return 0
    if len(names) == 1 and options.json:
        bound_memory()
        tell(json.dumps(asdict(run(names[0], options.count, options.seed))))
        return 0
    bad = 0
    tell("| target | inputs | past the header | refused | broken | slowest, ms | inputs/s | peak, MiB |")
    tell("|---|---|---|---|---|---|---|---|")
    for name in names:
        # A process for each, so that the peak of memory is its own.
        command = [sys.executable, __file__, "--json", "--target", name, f"--count={options.count}"]
        done = subprocess.run([*command, f"--seed={options.seed}"], capture_output=True, text=True, check=True)
        report = Report(**json.loads(done.stdout))
        bad += not report.good
        broken = report.broken or []
        tell(
            f"| {name} | {report.inputs} | {report.deep / report.inputs:.0%} | {report.refused} | {len(broken)} "
            f"| {report.slowest_s * 1e3:.1f} (no. {report.slowest}) | {report.inputs / report.seconds:.0f} "
            f"| {report.memory_mib:.0f} |"
        )
        for number, story in broken[:5]:
            tell(f"\n{name} no. {number}:\n{story}")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
