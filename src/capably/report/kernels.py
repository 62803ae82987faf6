"""The kernels of libraries: which have nothing for a GPU, and what they are.

What becomes of a kernel the engine says (`capably.engine.judge_kernels`). Here kernels are put together that are there
for the same targets and fare alike, and told in families of names.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from capably.engine import Coverage, judge_kernels
from capably.facts import ImageKind
from capably.report.answer import word
from capably.report.layout import HARD_SPACE
from capably.report.names import demangled, families
from capably.report.safe import columns, wrap
from capably.report.why import by_number, join

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from capably.engine import KernelVerdict
    from capably.facts import FatbinKernels, Library
    from capably.report.answer import Answer, Result, Row
    from capably.report.layout import Style

__all__ = ["check_kernels_text", "judged_kernels", "kernel_rows", "scan_kernels_text"]

_MOST_DEMANGLED = 100_000  # names of one answer in JSON: half a minute
_SAYS = {"none": "without code", "partial": "without code in some fatbins", "unknown": "undecided"}
_SETS, _FEW = 6, 4
_FAMILIES = 12
_MATCHES = 12


def _plural(count: int) -> str:
    return f"{count} kernel" if count == 1 else f"{count} kernels"


# ---------------------------------------------------------------------------------------------------------
# check


@dataclass(slots=True)
class _Alike:
    """Kernels that are there for the same targets and fare alike.

    Attributes:
        targets: In rising order.
        words: What becomes of them, by the index of the GPU.
        left_out: The GPUs for which their fatbins hold code that loads, without them.
        names: Of the kernels.
    """

    targets: tuple[str, ...]
    words: tuple[tuple[int, str], ...]
    left_out: tuple[int, ...]
    names: list[str] = field(default_factory=list)

    @property
    def lacking(self) -> bool:
        """Whether some GPU has nothing of them, not all, or perhaps nothing."""
        return any(text in _SAYS for _, text in self.words)


def _alike(verdicts: dict[int, tuple[KernelVerdict, ...]], wanted: Collection[str] | None) -> list[_Alike]:
    found: dict[object, _Alike] = {}
    for same in zip(*verdicts.values(), strict=True):
        first = same[0]
        if wanted is not None and first.name not in wanted:
            continue
        targets = tuple(sorted(map(str, first.targets), key=by_number))
        words = tuple((gpu, word(one.counts)) for gpu, one in zip(verdicts, same, strict=True))
        left_out = tuple(
            gpu
            for gpu, one in zip(verdicts, same, strict=True)
            if one.left_out and one.counts.coverage is Coverage.NONE
        )
        key = (targets, words, left_out)
        found.setdefault(key, _Alike(*key)).names.append(first.name)
    return sorted(found.values(), key=lambda alike: -len(alike.names))


def _judged(rows: Sequence[Row], answer: Answer) -> dict[str, tuple[Library, dict[int, tuple[KernelVerdict, ...]]]]:
    """The libraries of an artifact, each with its kernels' verdicts by GPU."""
    found: dict[str, tuple[Library, dict[int, tuple[KernelVerdict, ...]]]] = {}
    for row in rows:
        for result in row.results:
            if result is None:
                continue
            gpu = answer.gpus[result.gpu]
            for library in result.artifact.libraries:
                _, verdicts = found.setdefault(library.path, (library, {}))
                if library.kernels is not None and result.gpu not in verdicts:
                    verdicts[result.gpu] = judge_kernels(library, gpu.device, gpu.driver)
    return found


def check_kernels_text(
    label: str,
    rows: Sequence[Row],
    names: Sequence[str],
    answer: Answer,
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
        answer: Of ``capably check``.
        style: How to print.
        wanted: Tell of these kernels only, whether they lack something or not.
        verbose: Leave nothing out.
    """
    whole = 0  # kernels of libraries that lack nothing
    told = False
    for path, (library, verdicts) in _judged(rows, answer).items():
        groups = _alike(verdicts, wanted)
        total = sum(len(alike.names) for alike in groups)
        shown = [alike for alike in groups if wanted is not None or alike.lacking]
        unread = _unread(library)
        if not shown and not (unread and wanted is None):
            whole += total
            continue
        told = True
        block = list(style.wrap(style.safe(path), f"{label}: ", "  ", "strong"))
        lacking = _lacking(shown, total, names) if wanted is None else ""
        block += style.wrap(f"{_plural(total)}; {lacking}" if lacking else _plural(total), "  ")
        few = shown if verbose or len(shown) <= _SETS + 1 else shown[:_SETS]
        for alike in few:
            block += _told(alike, names, style, verbose=verbose)
        if len(few) < len(shown):
            rest = sum(len(alike.names) for alike in shown[len(few) :])
            block.append(f"  and {_plural(rest)} for {len(shown) - len(few)} other sets of targets (-v shows all)")
        if unread:
            block += style.wrap(f"the kernels of {unread} images could not be read", "  ")
        yield block
    if whole and not told and wanted is None:
        yield list(style.wrap(f"each of {_plural(whole)} has code for each GPU", f"{label}: "))


def _lacking(groups: Sequence[_Alike], total: int, names: Sequence[str]) -> str:
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


def _told(alike: _Alike, names: Sequence[str], style: Style, *, verbose: bool) -> Iterator[str]:
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


def _unread(library: Library) -> int:
    """Images that may hold kernels whose names could not be read."""
    return sum(part.names is None and not found.bare for found in library.kernels or () for part in found.images)


def judged_kernels(library: Library, result: Result, answer: Answer, wanted: Collection[str] | None) -> dict[str, Any]:
    """The kernels of a library on one GPU, as JSON: how many fare how, and those that lack something or are wanted."""
    gpu = answer.gpus[result.gpu]
    verdicts = judge_kernels(library, gpu.device, gpu.driver)
    coverages = {one.name: one.counts.coverage for one in verdicts if wanted is None or one.name in wanted}
    counts = Counter(coverages.values())
    return {
        "count": len(coverages),
        "outcomes": {str(level): counts[level] for level in Coverage},
        "unread_images": _unread(library),
        "groups": [
            {
                "coverage": coverages[alike.names[0]],
                "left_out": bool(alike.left_out),
                "targets": list(alike.targets),
                "count": len(alike.names),
                "families": [
                    {"name": family.name, "count": len(family.members), "example": family.members[0]}
                    for family in families(alike.names)
                ],
            }
            for alike in _alike({result.gpu: verdicts}, wanted)
            if wanted is not None or alike.lacking
        ],
    }


# ---------------------------------------------------------------------------------------------------------
# scan


def kernel_rows(library: Library, wanted: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Each different kernel of a library, or those *wanted*, as JSON: its names, and what images hold of it."""
    rows: dict[str, dict[tuple[str, bool, str, str | None], list[Any]]] = {}
    for found in library.kernels or ():
        for part, name, registers, shared in _entries(found):
            if wanted is not None and name not in wanted:
                continue
            target = str(part.image.target) if part.image.target else None
            key = (found.section, found.bare, str(part.image.kind), target)
            row = rows.setdefault(name, {}).setdefault(key, [0, set(), set(), set()])
            row[0] += 1
            for values, value in zip(row[1:], (registers, shared, part.toolkit), strict=True):
                if value is not None:
                    values.add(value)
    return [
        {
            "name": name,
            "demangled": demangled(name) if index < _MOST_DEMANGLED else None,
            "images": [
                {
                    "section": section,
                    "kind": kind,
                    "target": target,
                    "count": count,
                    **({"bare": True} if bare else {}),
                    "registers": sorted(registers),
                    "shared_bytes": sorted(shared),
                    "toolkits": [str(toolkit) for toolkit in sorted(toolkits)],
                }
                for (section, bare, kind, target), (count, registers, shared, toolkits) in images.items()
            ],
        }
        for index, (name, images) in enumerate(rows.items())
    ]


def _entries(found: FatbinKernels) -> Iterator[tuple[Any, str, int | None, int | None]]:
    for part in found.images:
        nothing = (None,) * len(part.names or ())
        yield from zip(
            (part,) * len(nothing),
            part.names or (),
            part.registers or nothing,
            part.shared_bytes or nothing,
            strict=True,
        )


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
    unread = _unread(library)
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
