"""What stands below the answer of ``capably check``: the drivers, what the words mean, and all reasons with sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.codes import Outcome
from capably.report.cells import LEGEND
from capably.report.layout import HARD_SPACE
from capably.report.words import named_gpu, short_gpu
from capably.tables import tables
from capably.wording import join

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.arch import ComputeCapability
    from capably.check.entries import Entry
    from capably.check.grid import Grid
    from capably.facts import Driver
    from capably.report.layout import Style

__all__ = ["all_reasons", "drivers", "legend"]

_SIGNS = {Outcome.RUNS: "+", Outcome.COMPILES: "+", Outcome.FAILS: "-", Outcome.UNKNOWN: "?"}


def drivers(grid: Grid, names: Sequence[str], style: Style) -> Iterator[str]:
    """Which drivers were taken, for which GPUs."""
    found: dict[Driver, list[int]] = {}
    for index, gpu in enumerate(grid.gpus):
        found.setdefault(gpu.driver, []).append(index)
    # The one for most GPUs comes last, where `the others` says it in short.
    groups = sorted(found.items(), key=lambda item: len(item[1]))
    texts = []
    for number, (driver, indices) in enumerate(groups, 1):
        text = _driver(driver, grid.gpus[indices[0]].device.capability)
        if number > 1 and number == len(groups) and len(indices) > 1:
            text += " for the others"
        elif len(groups) > 1:
            text += f" for {join(short_gpu(names[index], grid.gpus[index]) for index in indices)}"
        texts.append(text.replace(" (", f"{HARD_SPACE}(").replace("CUDA ", f"CUDA{HARD_SPACE}"))
    if any(driver.assumed for driver in found):
        lead = "assumed, per GPU: " if len(groups) > 1 else "assumed: "
        tail = (
            " (one machine has one driver: name yours with --driver)"
            if len(groups) > 1
            else "; name yours with --driver"
        )
    else:
        lead = tail = ""
    yield from style.wrap(f"{lead}{'; '.join(texts)}{tail}", "driver  ", " " * 8, "dim")


def _driver(driver: Driver, capability: ComputeCapability) -> str:
    """A driver as `R580 (CUDA 13.0)`; a release that was named, in full, and alone where it does not tell the other."""
    known = tables().cuda_of_driver(driver, capability)
    cuda = f"CUDA {known}"
    if driver.release is None:
        return cuda
    release = f"R{driver.release.branch}" if driver.assumed else str(driver.release)
    return f"{release} ({cuda})" if known is not None else release


def legend(entries: Sequence[Entry], style: Style) -> Iterator[str]:
    """What the words in the table mean."""
    fares = [fare for entry in entries for line in entry.lines for fare in line.fares]
    fares += [fare for entry in entries for fare in entry.whole]
    words = {"-"} if None in fares else set()
    words.update(word for fare in fares if fare is not None for word in (fare.word, fare.mark))
    shown = {word: meaning for word, meaning in LEGEND.items() if word in words}
    room = max(map(len, shown), default=0) + 2
    for word, meaning in shown.items():
        yield from style.wrap(meaning, word.ljust(room), " " * room, "dim")


def all_reasons(grid: Grid, names: Sequence[str], style: Style) -> Iterator[str]:
    """Every argument that the engine weighed, with its sources."""
    cited: dict[str, int] = {}
    for row, result in grid.results:
        gpu = grid.gpus[result.gpu]
        alternative = f" [{style.clip(row.alternative, style.width // 4)}]" if row.alternative else ""
        yield ""
        title = f"all reasons on {named_gpu(names[result.gpu], gpu)}"
        yield from style.wrap(title, f"{style.clip(row.called, style.width // 2)}{alternative}: ", "  ", "strong")
        for reason in result.verdict.reasons:
            marks = "".join(f"[{cited.setdefault(key, len(cited) + 1)}]" for key in reason.sources)
            text = f"{reason.outcome}, {reason.code}: {style.safe(reason.message)} {marks}".rstrip()
            yield from style.wrap(text, f"  {_SIGNS[reason.outcome]} ")
            yield from style.wrap(style.safe(reason.subject), " " * 4)
    if cited:
        yield from ("", "sources")
    for key, number in cited.items():
        source = tables().sources.get(key)
        yield from style.wrap(style.safe(source.title if source else key), f"  [{number}] ")
        if source and source.url:
            yield f"      {style.safe(source.url)}"  # never cut: an address is there to be followed
