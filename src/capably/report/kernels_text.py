"""The kernels of libraries as text, in families of names: which have nothing for a GPU, and what they are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from capably.check.kernels import LACKING, kernels_of, unread_images
from capably.facts import ImageKind
from capably.report.kernels import kernel_rows
from capably.report.layout import HARD_SPACE
from capably.report.names import families
from capably.report.safe import columns, wrap
from capably.report.words import plural
from capably.wording import by_number, join

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from capably.check.grid import Grid, GridRow
    from capably.check.kernels import Alike
    from capably.facts import Library
    from capably.report.layout import Style

__all__ = ["check_kernels_text", "scan_kernels_text"]

_SAYS = dict(zip(LACKING, ("without code", "without code in some fatbins", "undecided"), strict=True))
_SETS, _FEW = 6, 4
_FAMILIES = 12
_MATCHES = 12


def check_kernels_text(
    label: str,
    rows: Sequence[GridRow],
    names: Sequence[str],
    grid: Grid,
    style: Style,
    *,
    wanted: Collection[str] | None = None,
    verbose: bool = False,
) -> Iterator[list[str]]:
    """A block for each library of an artifact with kernels that lack code for some GPU, or that are wanted.

    Args:
        label: Of the artifact, printable.
        rows: Of the artifact.
        names: Of the GPUs, printable.
        grid: Of ``capably check``.
        style: How to print.
        wanted: Tell of these kernels only, whether they lack something or not.
        verbose: Leave nothing out.
    """
    whole = 0  # kernels of libraries that lack nothing
    told = False
    for kernels in kernels_of(rows, grid, wanted):
        total = kernels.count
        shown = [alike for alike in kernels.groups if wanted is not None or alike.lacking]
        unread = kernels.unread
        if not shown and not (unread and wanted is None):
            whole += total
            continue
        told = True
        block = list(style.wrap(style.safe(kernels.library.path), f"{label}: ", "  ", "strong"))
        lacking = _lacking(shown, total, names) if wanted is None else ""
        block += style.wrap(f"{_kernels(total)}; {lacking}" if lacking else _kernels(total), "  ")
        few = shown if verbose or len(shown) <= _SETS + 1 else shown[:_SETS]
        for alike in few:
            block += _told(alike, names, style, verbose=verbose)
        if len(few) < len(shown):
            rest = sum(len(alike.names) for alike in shown[len(few) :])
            block.append(f"  and {_kernels(rest)} for {len(shown) - len(few)} other sets of targets (-v shows all)")
        if unread:
            block += style.wrap(f"the kernels of {unread} images could not be read", "  ")
        yield block
    if whole and not told and wanted is None:
        yield list(style.wrap(f"each of {_kernels(whole)} has code for each GPU", f"{label}: "))


def _kernels(count: int) -> str:
    return plural(count, "kernel")


def _lacking(groups: Sequence[Alike], total: int, names: Sequence[str]) -> str:
    """How many kernels lack something on which GPUs."""
    counts: dict[str, Counter[int]] = {text: Counter() for text in _SAYS}
    for alike in groups:
        for gpu, text in alike.words:
            if text in _SAYS:
                counts[text][gpu] += len(alike.names)
    parts = []
    for text, by_gpu in counts.items():
        gpus: dict[int, list[str]] = {}
        for gpu in sorted(by_gpu):
            gpus.setdefault(by_gpu[gpu], []).append(names[gpu])
        told = [f"{'all' if count == total else count} on {join(found)}" for count, found in gpus.items()]
        parts += [f"{_SAYS[text]}: {', '.join(told)}"] if told else []
    return "; ".join(parts)


def _told(alike: Alike, names: Sequence[str], style: Style, *, verbose: bool) -> Iterator[str]:
    """Kernels that fare alike: how, then what they are."""
    found: dict[str, list[str]] = {}
    for gpu, text in alike.words:
        found.setdefault(text, []).append(names[gpu])
    says = "; ".join(f"{text} on {join(gpus)}" for text, gpus in found.items())
    only = " only" if "none" in found else ""
    targets = f"for {join(alike.targets)}{only}" if alike.targets else "for no target that is named"
    yield from style.wrap(f"{targets}: {says}", f"  {len(alike.names):>5}  ", " " * 9, "dim")
    if alike.left_out:
        gpus = join(names[gpu] for gpu in alike.left_out)
        yield from style.wrap(f"the code in their fatbins that loads on {gpus} leaves them out", " " * 9)
    yield from _families(alike.names, style, _FEW, "-v shows all", verbose=verbose)


def _families(
    names: Iterable[str], style: Style, most: int, hint: str, *, indent: int = 9, verbose: bool = False
) -> Iterator[str]:
    """One line for each family."""
    found = families(names)
    few = found if verbose or len(found) <= most + 1 else found[:most]
    lead = " " * indent
    for family in few:
        name = "of further names" if family.name is None else _cut(family.name, style, style.width - indent - 7)
        yield f"{lead}{len(family.members):>5}  {name}"
    if len(few) < len(found):
        rest = sum(len(family.members) for family in found[len(few) :])
        yield f"{lead}{rest:>5}  of {len(found) - len(few)} other names ({hint})"


def _cut(name: str, style: Style, room: int) -> str:
    """The beginning of a name, which tells more than its end."""
    mark = "..." if style.ascii_only else "…"
    text = style.safe(name.replace("…", mark))
    if columns(text) <= room:
        return text
    # At the column, not at the last space before it.
    return f"{next(wrap(text.replace(' ', HARD_SPACE), room - len(mark)))}{mark}".replace(HARD_SPACE, " ")


def scan_kernels_text(library: Library, style: Style, *, wanted: Collection[str] | None = None) -> Iterator[str]:
    """The kernels of a library: how many for each target, and what they are; each of them where few are wanted."""
    counts: Counter[str] = Counter()
    found: dict[str, None] = {}
    for fatbin in library.kernels or ():
        for part in fatbin.images:
            names = [name for name in part.names or () if wanted is None or name in wanted]
            if names:
                found.update(dict.fromkeys(names))
                counts[str(part.image.target or "no target")] += len(names)
    unread = unread_images(library)
    if unread:
        yield from style.wrap(f"those of {unread} images could not be read", "  kernels  ")
    if not found:
        return
    times = "x" if style.ascii_only else "\N{MULTIPLICATION SIGN}"
    listed = ", ".join(f"{target} {times}{counts[target]}" for target in sorted(counts, key=by_number))
    yield from style.wrap(f"{len(found)} different: {listed}", "  kernels  ")
    if wanted is not None and len(found) <= _MATCHES:
        for row in kernel_rows(library, wanted):
            yield from _one(row, style)
        return
    yield from _families(found, style, _FAMILIES, "--kernel PATTERN finds some, --json has all", indent=2)


def _one(row: dict[str, Any], style: Style) -> Iterator[str]:
    """A kernel in full."""
    yield from style.wrap(style.safe(row["demangled"]), "  ", "      ")
    if row["demangled"] != row["name"]:
        yield from style.wrap(style.safe(row["name"]), "      ", tone="dim")
    for image in row["images"]:
        facts = ["PTX"] if image["kind"] == ImageKind.PTX else []
        facts += [f"{image['count']} times"] if image["count"] > 1 else []
        if image["registers"]:
            facts.append(f"{_span(image['registers'])} registers")
        if image["shared_bytes"] and image["shared_bytes"] != [0]:
            facts.append(f"{_span(image['shared_bytes'])} bytes of shared memory")
        if image["toolkits"]:
            facts.append(f"CUDA {', '.join(image['toolkits'])}")
        yield from style.wrap(style.safe(", ".join(facts)), f"      {image['target'] or 'no target':<12} ")


def _span(values: Sequence[int]) -> str:
    """Sorted numbers in short.

    >>> _span([32]), _span([32, 40, 64])
    ('32', '32 to 64')
    """
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
