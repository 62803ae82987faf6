"""Answers as text that fits a terminal, or 80 columns of a pipe.

Everything that came from files or from the command line goes through `Style.safe` or `Style.clip`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from capably.arch import Target, TargetKind
from capably.codes import FINDINGS, Outcome
from capably.engine import Coverage, worth
from capably.facts import ImageKind
from capably.report.answer import Result, Row
from capably.report.answer import word as word_of
from capably.report.kernels import check_kernels_text, scan_kernels_text
from capably.report.layout import HARD_SPACE, Cell, fits, grid
from capably.report.machine import scan_document
from capably.report.safe import columns, wrap
from capably.report.why import Story, by_number, join, story
from capably.tables import tables
from capably.units import size_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from capably.arch import ComputeCapability
    from capably.facts import Artifact, Driver, Finding
    from capably.report.answer import Answer, Gpu
    from capably.report.layout import Style
    from capably.tables import Product

__all__ = ["cell_of", "check_text", "gpus_text", "scan_text"]

_LEGEND = {
    "native": "machine code for this GPU; it loads as it is",
    "PTX": "no machine code fits; the driver compiles the PTX when it is first loaded",
    "native+PTX": "machine code for some parts, PTX that the driver compiles for the rest",
    "partial": "the share of its parts (fatbins) that load; a call into the others fails",
    "none": "nothing in it loads: every kernel launch fails",
    "unknown": "the facts do not decide; what is missing is said above",
    "no GPU code": "none was found, so there is nothing to judge",
    "-": "another build inside the package is loaded on this GPU",
    "!host": "whatever its GPU code: this build is for another processor, so it does not install or start there",
    "!driver": "whatever its GPU code: the CUDA it is built with is too new for the driver, so it does not start",
    "!missing": "the build inside the package that would be loaded on this GPU is not there",
    "!": "something else stands in the way or was not read: see the lines with ! above",
}
_MARKS = {
    "host-platform": "!host",
    "cuda-major-newer-than-driver": "!driver",
    "alternative-missing": "!missing",
}
_TONES = {
    "native": "good",
    "PTX": "fair",
    "native+PTX": "fair",
    "partial": "warn",
    "none": "bad",
    "unknown": "doubt",
    "no GPU code": "dim",
    "-": "dim",
}
_TOLD = {Coverage.NONE, Coverage.UNKNOWN, Coverage.PARTIAL}  # with their story
_LABEL = 30
_PATH = 240  # of a file in a package: none of a real one is longer, and a name must not fill the screen
_FEW = 3
_SOME = 2
_MANY = 6


# ---------------------------------------------------------------------------------------------------------
# check


@dataclass(frozen=True, slots=True)
class _Line:
    """Alternatives of one artifact that fare alike, or an artifact without any, as one row of the matrix."""

    alternatives: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One artifact as it was asked for: its rows, and the lines that the matrix shows for them."""

    label: str
    rows: tuple[Row, ...]
    lines: tuple[_Line, ...]

    def results(self) -> Iterator[tuple[Row, Result]]:
        for row in self.rows:
            for result in row.results:
                if result is not None:
                    yield row, result


def check_text(
    answer: Answer,
    style: Style,
    *,
    verbose: bool = False,
    kernels: bool = False,
    wanted: Collection[str] | None = None,
) -> str:
    """The matrix of ``capably check``, and below it why, and what to do.

    Args:
        answer: What was judged.
        style: How to print.
        verbose: Leave nothing out, and add all reasons.
        kernels: Tell which kernels have nothing for which GPU.
        wanted: Of the kernels, tell of these only.
    """
    if not answer.rows:
        return "nothing to judge: no GPU code found\n"
    entries = _entries(answer, style)
    names = [_gpu(gpu, style) for gpu in answer.gpus]
    out = list(_matrix(entries, names, answer, style))
    for entry in entries:
        for block in _stories(entry, names, answer, style, verbose=verbose, kernels=kernels):
            out += ["", *block]
        if kernels:
            short = [_short(name, gpu) for name, gpu in zip(names, answer.gpus, strict=True)]
            for block in check_kernels_text(
                entry.label, entry.rows, short, answer, style, wanted=wanted, verbose=verbose
            ):
                out += ["", *block]
        for block in _findings(entry, names, answer, style, verbose=verbose):
            out += ["", *block]
    out += ["", *_drivers(answer, names, style), *_legend(entries, style)]
    if verbose:
        out += _all_reasons(answer, names, style)
    return "\n".join(out).rstrip("\n") + "\n"


def _word(result: Result) -> str:
    return word_of(result.verdict.counts, result.verdict.coverage)


def _percent(part: int, whole: int) -> str:
    """A share that never claims all or nothing.

    >>> _percent(1, 1000), _percent(999, 1000), _percent(1, 2)
    ('1%', '99%', '50%')
    """
    return f"{min(max(round(100 * part / whole), 1), 99)}%"


def cell_of(result: Result | None) -> Cell:
    """A result in a word, with a mark where something else stands in the way."""
    if result is None:
        return Cell("-", "dim")
    word = _word(result)
    counts = result.verdict.counts
    text = f"partial {_percent(counts.usable, counts.total)}" if word == "partial" else word
    usable = word in ("native", "PTX", "native+PTX")
    if result.blocked:
        marks = [_MARKS.get(finding.code, "!") for finding in result.blocked]
        return Cell(f"{text} {min(marks, key=list(_LEGEND).index)}", "bad" if usable else _TONES[word])
    if result.local or not all(_harmless(finding.code) for finding in result.artifact.findings):
        return Cell(f"{text} !", "warn" if usable else _TONES[word])
    return Cell(text, _TONES[word])


def _harmless(code: str) -> bool:
    return code in FINDINGS and FINDINGS[code].harmless


def _plain(cell: str) -> str:
    """The word of a cell, without the mark behind it."""
    return cell.partition(" !")[0]


def _entries(answer: Answer, style: Style) -> list[_Entry]:
    groups: list[list[Row]] = []
    for row in answer.rows:
        seen = {other.alternative for other in groups[-1]} if groups else set()
        # The same file named twice is shown twice.
        if (
            groups
            and (groups[-1][0].asked, groups[-1][0].artifact) == (row.asked, row.artifact)
            and row.alternative not in seen
        ):
            groups[-1].append(row)
        else:
            groups.append([row])
    # The distribution is the name where that tells them apart, else what was asked for.
    often = Counter(_called(rows[0]) for rows in groups)
    entries = []
    for rows in groups:
        label = _called(rows[0]) if often[_called(rows[0])] == 1 else rows[0].asked
        lines: dict[tuple[Cell, ...], list[str]] = {}
        for row in rows:
            names = lines.setdefault(tuple(cell_of(result) for result in row.results), [])
            if row.alternative is not None:
                names.append(row.alternative)
        merged = tuple(_Line(tuple(names), cells) for cells, names in lines.items())
        entries.append(_Entry(style.safe(label), tuple(rows), merged))
    return entries


def _called(row: Row) -> str:
    if row.artifact.name is None:
        return row.asked
    return f"{row.artifact.name} {row.artifact.version}" if row.artifact.version else row.artifact.name


def _gpu(gpu: Gpu, style: Style) -> str:
    """A GPU as people say it, without its capability; empty where only that is known."""
    name = gpu.device.name or ""
    return style.safe(name.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("Tesla "))


def _short(name: str, gpu: Gpu) -> str:
    return name.replace(" ", HARD_SPACE) or str(gpu.device.capability)


def _named(name: str, gpu: Gpu) -> str:
    text = f"{name} ({gpu.device.capability})" if name else str(gpu.device.capability)
    return text.replace(" ", HARD_SPACE)


def _matrix(entries: Sequence[_Entry], names: Sequence[str], answer: Answer, style: Style) -> Iterator[str]:
    # Names are broken only where there is no room for them in one line.
    for room in (_LABEL, 12):
        upright = _upright(entries, names, answer, style, room)
        if fits(upright, style.width):
            yield from grid(upright, style)
            return
    across = _transposed(entries, names, answer, style)
    if fits(across, style.width):
        yield from grid(across, style, fixed=2)
        return
    upright = _upright(entries, names, answer, style, 12)
    yield from min(list(grid(upright, style)), list(grid(across, style, fixed=2)), key=len)


def _physical(cells: Sequence[Sequence[Cell]], *, bottom: bool = False) -> list[list[Cell]]:
    """One row of cells of several lines each as rows of single-line cells."""
    height = max(map(len, cells))
    padded = [[*([Cell("")] * (height - len(cell)))] for cell in cells]
    full = [[*pad, *cell] if bottom else [*cell, *pad] for cell, pad in zip(cells, padded, strict=True)]
    return [list(row) for row in zip(*full, strict=True)]


def _upright(
    entries: Sequence[_Entry], names: Sequence[str], answer: Answer, style: Style, room: int
) -> list[list[Cell]]:
    """Artifacts as rows, GPUs as columns whose names take *room* columns at most."""
    header = [
        [*(Cell(text, "strong") for text in wrap(name, room)), Cell(str(gpu.device.capability), "dim")]
        for name, gpu in zip(names, answer.gpus, strict=True)
    ]
    rows = _physical([[Cell("")], *header], bottom=True)
    for entry in entries:
        title = Cell(style.clip(entry.label, _LABEL), "strong")
        if any(line.alternatives for line in entry.lines):
            rows.append([title, *(Cell("") for _ in answer.gpus)])
        for line in entry.lines:
            texts = wrap(style.safe(", ".join(line.alternatives)), _LABEL, "  ")
            lead = [Cell(text) for text in texts] if line.alternatives else [title]
            rows += _physical([lead, *([cell] for cell in line.cells)])
    return rows


def _transposed(entries: Sequence[_Entry], names: Sequence[str], answer: Answer, style: Style) -> list[list[Cell]]:
    """GPUs as rows, artifacts as columns."""
    columns_ = [(entry, line) for entry in entries for line in entry.lines]
    header = []
    for entry, line in columns_:
        texts = [*_title(entry, style), *wrap(style.safe(", ".join(line.alternatives)), 16)]
        header.append([Cell(text, "strong") for text in texts])
    rows = _physical([[Cell("")], [Cell("")], *header], bottom=True)
    for index, (name, gpu) in enumerate(zip(names, answer.gpus, strict=True)):
        lead = [Cell(style.clip(name, 28), "strong"), Cell(str(gpu.device.capability).rjust(4), "dim")]
        rows.append([*lead, *(line.cells[index] for _, line in columns_)])
    return rows


def _title(entry: _Entry, style: Style) -> list[str]:
    """The name above a column: the version goes below it."""
    if entry.label == style.safe(_called(entry.rows[0])) and entry.rows[0].artifact.name is not None:
        return [style.clip(text, 22) for text in entry.label.split(" ")]
    return [style.clip(entry.label, 26)]


# -- why, and what to do


@dataclass(frozen=True, slots=True)
class _Told:
    """Results with the same story: of these alternatives on these GPUs.

    Attributes:
        rows: The alternatives.
        gpus: Indices of the GPUs.
        stories: For each of the GPUs, that of each of the alternatives.
        result: The first one, which stands for all.
    """

    rows: tuple[Row, ...]
    gpus: tuple[int, ...]
    stories: tuple[tuple[Story, ...], ...]
    result: Result

    @property
    def story(self) -> Story:
        return self.stories[0][0]


def _grouped(entry: _Entry) -> list[_Told]:
    """Results that are not plainly usable, those with the same story together, the worst first."""
    stories: dict[tuple[str, object, int], list[tuple[Row, Result, Story]]] = {}
    for row, result in entry.results():
        word = _word(result)
        if result.verdict.coverage in _TOLD:
            told = story(result)
            stories.setdefault((word, told.key, result.gpu), []).append((row, result, told))
    merged: dict[object, _Told] = {}
    for (word, key, gpu), found in stories.items():
        rows = tuple(row for row, _, _ in found)
        same = (word, key, tuple(row.alternative for row in rows))
        earlier = merged.get(same)
        stories_here = tuple(told for _, _, told in found)
        merged[same] = (
            _Told(rows, (gpu,), (stories_here,), found[0][1])
            if earlier is None
            else _Told(rows, (*earlier.gpus, gpu), (*earlier.stories, stories_here), earlier.result)
        )
    return sorted(merged.values(), key=lambda told: worth(told.result.verdict.coverage))


def _stories(
    entry: _Entry, names: Sequence[str], answer: Answer, style: Style, *, verbose: bool, kernels: bool
) -> Iterator[list[str]]:
    """One block for each group of results that have the same story."""
    for told in _grouped(entry):
        where: dict[str, list[str]] = {}
        for index in told.gpus:
            cell = cell_of(told.rows[0].results[index])
            where.setdefault(_plain(cell.text), []).append(_named(names[index], answer.gpus[index]))
        title = "; ".join(f"{text} on {join(found)}" for text, found in where.items())
        capabilities = sorted({answer.gpus[index].device.capability for index in told.gpus})
        yield [
            *style.wrap(title, f"{_lead(entry, told.rows, style)}: ", "  ", "strong"),
            *_how_much(told, style, verbose=verbose),
            *_because(told, [str(capability) for capability in capabilities], style, verbose=verbose),
            *_ways(told, answer, style, verbose=verbose, kernels=kernels),
        ]


def _lead(entry: _Entry, rows: Sequence[Row], style: Style) -> str:
    """The label, and the alternatives that are meant where not all are."""
    label = style.clip(entry.label, style.width // 2)
    alternatives = [style.safe(row.alternative) for row in rows if row.alternative is not None]
    if not alternatives or len(rows) == len(entry.rows):
        return label
    return f"{label} [{style.clip(', '.join(alternatives), style.width // 4)}]"


def _labelled(name: str, texts: Sequence[str], style: Style, tone: str = "dim") -> Iterator[str]:
    """Paragraphs, the first led by *name*."""
    for index, text in enumerate(texts):
        yield from style.wrap(text, f"  {name:<6}" if index == 0 else " " * 8, " " * 8, tone if index == 0 else "")


def _plural(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _how_much(told: _Told, style: Style, *, verbose: bool) -> Iterator[str]:
    """How many fatbins, and where they are, unless the word alone says it all."""
    counts = told.result.verdict.counts
    places = told.story.places
    parts = []
    unread = bool(told.result.unread)
    if counts.usable and (counts.fails or counts.unknown or unread):
        load = "loads" if counts.usable == 1 else "load"
        how = f"{counts.runs} as machine code and {counts.compiles} by PTX"
        if not (counts.runs and counts.compiles):
            how = "as machine code" if counts.runs else "by PTX"
        read = " that were read" if unread else ""
        parts.append(f"{counts.usable} of {_plural(counts.total, 'fatbin')}{read} {load}, {how}")
    if counts.fails and (counts.usable or counts.unknown or unread):
        parts.append(f"{counts.fails} {'does' if counts.fails == 1 else 'do'} not{'' if counts.usable else ' load'}")
    if counts.unknown and counts.usable + counts.fails:
        parts.append(f"{counts.unknown} undecided")
    if parts:
        yield from _labelled("what", ["; ".join(parts)], style)
    libraries = sum(1 for part in told.result.verdict.parts if part.coverage is not None)
    # Alternatives that are told together have their code in different files.
    if len(told.rows) == 1 and (libraries > len(places) or (libraries > 1 and counts.usable)):
        # The package's own libraries before those that it bundles.
        ordered = sorted(places, key=lambda place: (".libs/" in place[0], -place[1]))
        shown = ordered if verbose else ordered[:_FEW]
        room = style.width - 8 - len(" (0000 of 0000)")
        texts = [f"{style.clip(path, room)} ({here} of {total})" for path, here, total in shown]
        if len(shown) < len(places):
            texts.append(f"and {len(places) - len(shown)} more (-v shows all)")
        yield from _labelled("where", texts, style)


def _because(told: _Told, capabilities: Sequence[str], style: Style, *, verbose: bool) -> Iterator[str]:
    arguments = told.story.arguments
    shown = arguments if verbose or len(arguments) == _FEW + 1 else arguments[:_FEW]
    several = len({argument.fatbins for argument in arguments}) > 1
    texts = []
    for index, argument in enumerate(shown):
        built = {text for stories in told.stories for other in stories for text in other.arguments[index].built}
        count = f" ({_plural(argument.fatbins, 'fatbin')})" if several else ""
        code = f" [{argument.code}]" if verbose else ""
        texts.append(style.safe(argument.message(capabilities, sorted(built, key=by_number))) + count + code)
    if len(shown) < len(arguments):
        texts.append(f"and {len(arguments) - len(shown)} more (-v shows all)")
    if told.result.unread:
        titles = dict.fromkeys(_page_title(finding.code) for finding in told.result.unread)
        texts.append(f"not everything was read ({', '.join(titles)}, see below), so there may be more GPU code in it")
    yield from _labelled("why", texts, style)


def _ways(told: _Told, answer: Answer, style: Style, *, verbose: bool, kernels: bool) -> Iterator[str]:
    ways: dict[tuple[str, ...], dict[str, None]] = {}
    for index, (found, *_) in zip(told.gpus, told.stories, strict=True):
        ways.setdefault(found.ways_out, {})[str(answer.gpus[index].device.capability)] = None
    if len(ways) == 1:
        texts = [style.safe(way) for way in next(iter(ways))]
    else:
        shown = list(ways.items()) if verbose or len(ways) == _MANY + 1 else list(ways.items())[:_MANY]
        intro = "" if any(len(steps) != 1 for steps in ways) else _common([steps[0] for steps in ways])
        texts = [f"{intro.rstrip()}:"] if intro else []
        texts += [
            f"{join(capabilities)}: {style.safe(way[len(intro) :])}" for steps, capabilities in shown for way in steps
        ]
        if len(shown) < len(ways):
            texts.append(f"and so on for {len(ways) - len(shown)} more (-v shows all)")
    partial = told.result.verdict.coverage is Coverage.PARTIAL
    lists = "they are listed below" if kernels else "--kernels lists them"
    unseen = f"{lists}, and which of them are called cannot be seen"
    if any(one.counterparts for stories in told.stories for one in stories):
        if partial:
            texts.insert(
                0,
                "Look first whether anything is missing: these fatbins may be the counterparts of those that load, or meant, "
                f"for other architectures only. Some kernels may have nothing here: {unseen}. If a needed one is among "
                "them, only another build helps.",
            )
        else:
            texts.append("The others may be the counterparts of these for other architectures.")
    elif texts and partial:
        texts.append(f"Unless those kernels are meant for other architectures only: {unseen}.")
    yield from _labelled("do", texts, style, "good")


def _common(texts: Sequence[str]) -> str:
    """The words that all *texts* begin with, where they are several and something is left.

    >>> _common(["Use a build that targets sm_70.", "Use a build that targets sm_75."])
    'Use a build that targets '
    """
    words = [text.split(" ") for text in texts]
    same: list[str] = []
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            return f"{' '.join(same)} " if len(same) >= _FEW else ""
        same.append(column[0])
    return ""


# -- findings


def _findings(
    entry: _Entry, names: Sequence[str], answer: Answer, style: Style, *, verbose: bool
) -> Iterator[list[str]]:
    """What stands beside the GPU code: first what depends on the GPU, then what is so everywhere."""
    local: dict[str, dict[int, dict[Finding, None]]] = {}
    everywhere: dict[str, dict[Finding, None]] = {}
    for _, result in entry.results():
        for finding in result.local:
            local.setdefault(finding.code, {}).setdefault(result.gpu, {})[finding] = None
        for finding in result.findings:
            if finding not in result.local:
                everywhere.setdefault(finding.code, {})[finding] = None
    label = style.clip(entry.label, style.width // 2)
    for code, found in local.items():
        gpus = join(_named(names[index], answer.gpus[index]) for index in sorted(found))
        title = f"{_page_title(code)}, on {gpus}"
        first = _told_of_all(found, answer)
        yield [
            *style.wrap(title, f"! {label}: ", "  ", "warn"),
            *_labelled("why", _messages(first, entry, style, verbose=verbose), style),
            *_mend(code, style),
        ]
    for code, there in everywhere.items():
        harmless = _harmless(code)
        lead, tone = (f"{label}: ", "dim") if harmless else (f"! {label}: ", "warn")
        messages = _messages(list(there), entry, style, verbose=verbose)
        if len(messages) == 1:
            block = list(style.wrap(messages[0], lead, "  ", tone))
        else:
            block = [*style.wrap(_page_title(code), lead, "  ", tone), *_labelled("what", messages, style)]
        yield block if harmless else [*block, *_mend(code, style)]


def _told_of_all(found: dict[int, dict[Finding, None]], answer: Answer) -> list[Finding]:
    """Findings on several GPUs as one list: those that differ in the name of the GPU only are told once, of all."""
    groups: dict[tuple[str, str], tuple[Finding, dict[str, None]]] = {}
    for index, there in found.items():
        device = answer.gpus[index].device
        name = device.name or str(device.capability)
        for finding in there:
            key = (finding.path, finding.message.replace(f"; {name} comes in ", "; "))
            groups.setdefault(key, (finding, {}))[1][name] = None
    told = []
    for finding, names in groups.values():
        head, _, tail = finding.message.partition(f"; {next(iter(names))} comes in ")
        several = len(names) > 1 and tail
        told.append(replace(finding, message=f"{head}; {join(names)} come in {tail}") if several else finding)
    return told


def _mend(code: str, style: Style) -> Iterator[str]:
    page = FINDINGS.get(code)
    yield from _labelled("do", [page.way_out] if page and page.way_out else [], style, "good")


def _messages(findings: Sequence[Finding], entry: _Entry, style: Style, *, verbose: bool) -> list[str]:
    shown = findings if verbose or len(findings) == _SOME + 1 else findings[:_SOME]
    about = entry.rows[0].artifact.path
    texts = [_sentence(finding, about, entry.label, style) for finding in shown]
    if len(shown) < len(findings):
        texts.append(f"and the like for {len(findings) - len(shown)} more (-v shows all)")
    return texts


def _sentence(finding: Finding, about: str, label: str, style: Style) -> str:
    """The message of a finding with its path in it once, cut so that the sentence stays readable."""
    message, full = style.safe(finding.message), style.safe(finding.path)
    path = style.clip(label if finding.path == about else finding.path, 48)
    if full and full in message:
        return message.replace(full, path)
    return message if finding.path == about else f"{path}: {message}"


def _page_title(code: str) -> str:
    page = FINDINGS.get(code)
    if page is None:
        return code.replace("-", " ")
    return page.title if page.title[1:2].isupper() else page.title[:1].lower() + page.title[1:]


# -- what was assumed, what the words mean


def _drivers(answer: Answer, names: Sequence[str], style: Style) -> Iterator[str]:
    found: dict[Driver, list[int]] = {}
    for index, gpu in enumerate(answer.gpus):
        found.setdefault(gpu.driver, []).append(index)
    # The one for most GPUs comes last, where `the others` says it in short.
    groups = sorted(found.items(), key=lambda item: len(item[1]))
    texts = []
    for number, (driver, indices) in enumerate(groups, 1):
        text = _driver(driver)
        if number > 1 and number == len(groups) and len(indices) > 1:
            text += " for the others"
        elif len(groups) > 1:
            text += f" for {join(_short(names[index], answer.gpus[index]) for index in indices)}"
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


def _driver(driver: Driver) -> str:
    """A driver as `R580 (CUDA 13.0)`; a release that was named, in full."""
    cuda = f"CUDA {tables().driver_cuda(driver)}"
    if driver.release is None:
        return cuda
    return f"{f'R{driver.release.branch}' if driver.assumed else driver.release} ({cuda})"


def _legend(entries: Sequence[_Entry], style: Style) -> Iterator[str]:
    words = {word for entry in entries for line in entry.lines for cell in line.cells for word in _words(cell.text)}
    for word, meaning in _LEGEND.items():
        if word in words:
            yield from style.wrap(meaning, f"{word:<12}", " " * 12, "dim")


def _words(cell: str) -> Iterator[str]:
    text = _plain(cell)
    yield "partial" if text.startswith("partial") else text
    if text != cell:
        yield cell.removeprefix(f"{text} ")


# -- all reasons


_SIGNS = {Outcome.RUNS: "+", Outcome.COMPILES: "+", Outcome.FAILS: "-", Outcome.UNKNOWN: "?"}


def _all_reasons(answer: Answer, names: Sequence[str], style: Style) -> Iterator[str]:
    """Every argument that the engine weighed, with its sources."""
    cited: dict[str, int] = {}
    for row, result in answer.results:
        gpu = answer.gpus[result.gpu]
        alternative = f" [{style.clip(row.alternative, style.width // 4)}]" if row.alternative else ""
        yield ""
        title = f"all reasons on {_named(names[result.gpu], gpu)}"
        yield from style.wrap(title, f"{style.clip(_called(row), style.width // 2)}{alternative}: ", "  ", "strong")
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


# ---------------------------------------------------------------------------------------------------------
# scan


def scan_text(
    artifacts: Sequence[tuple[str, Artifact]],
    style: Style,
    *,
    verbose: bool = False,
    wanted: Collection[str] | None = None,
) -> str:
    """What code files hold, library by library; many that hold the same are told of together.

    Args:
        artifacts: Pairs of the name or path as asked and what it turned out to be.
        style: How to print.
        verbose: Tell of each library by itself.
        wanted: Of the kernels, tell of these only.
    """
    out: list[str] = []
    for (_, artifact), document in zip(artifacts, scan_document(artifacts)["artifacts"], strict=True):
        if out:
            out.append("")
        out += _scanned(artifact, document, style, wanted, verbose=verbose)
    return "\n".join(out) + "\n"


def _scanned(
    artifact: Artifact, document: dict[str, Any], style: Style, wanted: Collection[str] | None, *, verbose: bool
) -> Iterator[str]:
    yield style.paint(style.safe(document["path"]), "strong")  # whole, to be copied
    facts = [str(artifact.kind)]
    if artifact.name:
        facts.append(style.safe(f"{artifact.name} {artifact.version or ''}".rstrip()))
    if artifact.platforms:
        facts.append(style.safe(", ".join(artifact.platforms)))
    facts.append(f"{len(artifact.libraries)} of {_plural(artifact.files, 'file')} with GPU code")
    yield from style.wrap(", ".join(facts), "  ")
    if artifact.sha256:
        yield from style.wrap(f"sha256 {artifact.sha256}", "  ")
    yield from _scanned_libraries(document, artifact, style, wanted, verbose=verbose)
    groups: dict[str, dict[str, list[Finding]]] = {}
    for finding in artifact.findings:
        message = finding.message.replace(finding.path, "") if finding.path else finding.message
        groups.setdefault(finding.code, {}).setdefault(message, []).append(finding)
    for code, found in groups.items():
        yield ""
        lead, tone = ("", "dim") if _harmless(code) else ("! ", "warn")
        for same in found.values():
            text = _sentence(same[0], artifact.path, document["path"], style)
            more = f" (and the like in {_plural(len(same) - 1, 'other file')})" if len(same) > 1 else ""
            yield from style.wrap(f"{text}{more}", f"{lead}{_page_title(code)}: ", "  ", tone)


def _scanned_libraries(
    document: dict[str, Any], artifact: Artifact, style: Style, wanted: Collection[str] | None, *, verbose: bool
) -> Iterator[str]:
    held: list[tuple[str, ...]] = []
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for library, facts in zip(document["libraries"], artifact.libraries, strict=True):
        held.append((*_held(library, style), *scan_kernels_text(facts, style, wanted=wanted)))
        alike.setdefault(held[-1], []).append(library)
    for library, lines in zip(document["libraries"], held, strict=True):
        same = [library] if verbose or len(alike[lines]) <= _FEW + 1 else alike[lines]
        if same[0] is not library:
            continue  # told of where the first one was
        yield ""
        for one in same[:_FEW]:
            yield style.paint(style.clip(one["path"], _PATH), "strong")
        sizes = sorted(one["size_bytes"] for one in same)
        size = f"{size_text(sizes[0])}, "
        if len(same) > 1:
            yield f"and {len(same) - _FEW} more that hold the same (-v shows all)"
            span = f"{size_text(sizes[0])} to {size_text(sizes[-1])}"
            size = f"{len(same)} files of {span}, {size_text(sum(sizes))} in all; each: "
        yield from style.wrap(f"{size}{lines[0]}", "  ")
        yield from lines[1:]


def _held(library: dict[str, Any], style: Style) -> Iterator[str]:
    """What a library holds: its facts but the size, as they are, and lines."""
    facts = [library["machine"]] if library["machine"] else []
    stubs = f" ({library['stub_fatbins']} without kernels)" if library["stub_fatbins"] else ""
    facts.append(f"{_plural(library['fatbins'], 'fatbin')}{stubs}")
    if library["link_input"]:
        facts.append("input for the linker")
    yield style.safe(", ".join(facts))
    if library["sha256"]:
        yield from style.wrap(f"sha256 {library['sha256']}", "  ")
    for copy in library["copies"]:
        yield f"  same as {style.clip(copy, _PATH)}"
    groups: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for image in library["images"]:
        groups.setdefault((image["section"], image["kind"], image.get("bare", False)), []).append(image)
    for (section, kind, bare), images in groups.items():
        order = sorted(images, key=lambda image: by_number(image["target"] or ""))
        times = "x" if style.ascii_only else "\N{MULTIPLICATION SIGN}"
        texts = [f"{image['target'] or 'no target'} {times}{image['count']}" for image in order]
        lead = f"  {style.clip(section, 18):<18}  {'bare ' if bare else ''}{_KINDS[ImageKind(kind)]:<12}  "
        yield from style.wrap(", ".join(texts), lead)
        yield from style.wrap(_details(images), " " * columns(lead))


_KINDS = {
    ImageKind.SASS: "machine code",
    ImageKind.PTX: "PTX",
    ImageKind.LTOIR: "LTO-IR",
    ImageKind.TILEIR: "Tile IR",
    ImageKind.RELPTX: "rel. PTX",
    ImageKind.UNKNOWN: "unknown",
}


def _details(images: Sequence[dict[str, Any]]) -> str:
    """What is noteworthy about images of one kind and section, in one line."""
    tallies: dict[str, Counter[str]] = {"ptx": Counter(), "toolkits": Counter(), "compression": Counter()}
    flags: Counter[str] = Counter()
    for image in images:
        for name, value in image["details"].items():
            if name in tallies:
                tallies[name].update(value)
            else:
                flags[name] += value
    texts = []
    for name, title in (("ptx", "PTX ISA"), ("toolkits", "CUDA")):
        if tallies[name]:
            texts.append(f"{title} {', '.join(sorted(tallies[name], key=by_number))}")
    stored = [name for name in sorted(tallies["compression"]) if name != "none"]
    if stored:
        texts.append(", ".join(stored))
    words = {"stubs": "without kernels", "unread": "not readable"}
    texts += [f"{count} {words.get(name, name)}" for name, count in flags.items()]
    return "; ".join(texts)


# ---------------------------------------------------------------------------------------------------------
# gpus


def gpus_text(products: Sequence[Product], style: Style, *, details: bool) -> str:
    """Products: all of them by capability, or the few that a name may mean, in full."""
    out: list[str] = []
    if not details:
        groups: dict[ComputeCapability, list[Product]] = {}
        for product in products:
            groups.setdefault(product.capability, []).append(product)
        for capability in sorted(groups, reverse=True):
            architecture = tables().architectures.get(capability)
            out += [
                *([""] if out else []),
                style.paint(f"{capability}  {architecture.name if architecture else ''}".rstrip(), "strong"),
            ]
            kinds: dict[str, list[str]] = {}
            for product in groups[capability]:
                kinds.setdefault(product.kind, []).append(style.safe(product.name).replace(" ", HARD_SPACE))
            for kind, names in kinds.items():
                out += style.wrap(", ".join(names), f"  {kind:<12} ", " " * 15, "dim")
        return "\n".join(out) + "\n"
    for product in products:
        out += [*([""] if out else []), *_product(product, style)]
    return "\n".join(out) + "\n"


def _product(product: Product, style: Style) -> Iterator[str]:
    known = tables()
    architecture = known.architectures.get(product.capability)
    served = known.driver_ranges.get(product.capability)
    target = Target(product.capability)
    span = known.emitting_toolkits(target)
    yield style.paint(style.safe(product.name), "strong")
    rows = [("capability", f"{product.capability}{f' ({architecture.name})' if architecture else ''}")]
    rows.append(("class", product.kind))
    if product.aliases:
        rows.append(("also called", style.safe(", ".join(product.aliases))))
    if product.hosts:
        rows.append(("hosts", f"{' or '.join(product.hosts)} only"))
    if span is not None:
        text = f"CUDA {span[0]}" if span[0] == span[1] else f"CUDA {span[0]} to {span[1]}"
        newest = " (the newest known)" if span[1] == known.toolkits[-1].cuda else ""
        rows.append(
            (
                "compile for",
                f"{target}, with {text}{newest}; or PTX of {Target(product.capability, kind=TargetKind.VIRTUAL)} or lower",
            )
        )
    if served is not None and served.first is not None:
        last = f" to R{served.last}" if served.last is not None else " or newer"
        rows.append(("drivers", f"R{served.first}{last}"))
    for name, text in rows:
        yield from style.wrap(text, f"  {name:<12} ", " " * 15, "dim")
