"""The answer of ``capably check`` as text: the table, and below it why, and what to do.

Everything that came from files or from the command line goes through `Style.safe` or `Style.clip`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.check.entries import differing, entries, told
from capably.check.findings import beside
from capably.engine.verdict import Coverage
from capably.report.cells import cell_of
from capably.report.check_notes import all_reasons, drivers, legend
from capably.report.kernels_text import check_kernels_text
from capably.report.layout import Cell, table
from capably.report.matrix import matrix
from capably.report.words import (
    finding_sentence,
    gpu_name,
    labelled,
    named_gpu,
    page_title,
    plural,
    short_gpu,
    without_common_folder,
)
from capably.wording import by_number, join

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from capably.check.entries import Entry, Told
    from capably.check.grid import Grid, GridRow, Result
    from capably.facts import Finding
    from capably.report.layout import Style

__all__ = ["by_system_text", "check_text"]

_FEW = 3
_SOME = 2
_MANY = 6


def check_text(
    grid: Grid,
    style: Style,
    *,
    verbose: bool = False,
    kernels: bool = False,
    wanted: Collection[str] | None = None,
) -> str:
    """The matrix of ``capably check``, and below it why, and what to do.

    Args:
        grid: What was judged.
        style: How to print.
        verbose: Leave nothing out, and add all reasons.
        kernels: Tell which kernels have nothing for which GPU.
        wanted: Of the kernels, tell of these only.
    """
    if not grid.rows:
        return "nothing to judge: no GPU code found\n"
    found = entries(grid)
    names = [gpu_name(gpu, style) for gpu in grid.gpus]
    out = list(matrix(found, names, grid.gpus, style))
    for entry in found:
        for block in _stories(entry, names, grid, style, verbose=verbose, kernels=kernels):
            out += ["", *block]
        if kernels:
            short = [short_gpu(name, gpu) for name, gpu in zip(names, grid.gpus, strict=True)]
            for block in check_kernels_text(
                style.safe(entry.label), entry.rows, short, grid, style, wanted=wanted, verbose=verbose
            ):
                out += ["", *block]
        for block in _findings(entry, names, grid, style, verbose=verbose):
            out += ["", *block]
    out += ["", *drivers(grid, names, style), *legend(found, style)]
    if verbose:
        out += all_reasons(grid, names, style)
    return "\n".join(out).rstrip("\n") + "\n"


def by_system_text(grids: Sequence[tuple[str, Grid]], style: Style) -> str:
    """One table for several machines: a line for each GPU of each, a column for each package.

    Args:
        grids: What was judged, by the name of the record of the machine.
        style: How to print.
    """
    columns = list(dict.fromkeys(row.asked for _, grid in grids for row in grid.rows))
    if not columns:
        return "nothing to judge: no GPU code found\n"
    titles = ["system", "GPU", *(style.clip(one, _ROOM) for one in columns)]
    rows = [[Cell(title, "strong") for title in titles]]
    names = without_common_folder([name for name, _ in grids])
    for name, (_, grid) in zip(names, grids, strict=True):
        lead = Cell(style.clip(name, _ROOM), "strong")
        found = {entry.rows[0].asked: entry for entry in entries(grid)}
        if not found:
            rows.append([lead, Cell("-", "dim"), *(Cell("not judged", "doubt") for _ in columns)])
            continue
        for index, gpu in enumerate(grid.gpus):
            cells = (_in_column(found.get(one), index, style) for one in columns)
            rows.append([lead, Cell(gpu_name(gpu, style)), *cells])
    note = style.wrap("why, and what to do: the same command with one --system alone", "note: ")
    return "\n".join([*table(rows, style, fixed=2), "", *note]) + "\n"


def _in_column(entry: Entry | None, gpu: int, style: Style) -> Cell:
    """How a package fares on one GPU of a machine, with its version there where nobody named that."""
    if entry is None:
        return Cell("not there", "dim")
    cell = cell_of((entry.whole or entry.lines[0].fares)[gpu])
    version = entry.rows[0].artifact.version
    if version is None or version in entry.rows[0].asked:
        return cell
    return Cell(f"{cell.text} ({style.clip(version, _ROOM)})", cell.tone)


_ROOM = 28


def _stories(
    entry: Entry, names: Sequence[str], grid: Grid, style: Style, *, verbose: bool, kernels: bool
) -> Iterator[list[str]]:
    """One block for each group of results that have the same story."""
    for one in differing(entry):
        gpus = join(named_gpu(names[index], grid.gpus[index]) for index in one.gpus)
        yield list(
            style.wrap(f"unknown on {gpus}: {one.because}", f"{_lead(entry, entry.rows, style)}: ", "  ", "strong")
        )
    for group in told(entry):
        title = "; ".join(
            f"{text} on {join(named_gpu(names[index], grid.gpus[index]) for index in indices)}"
            for text, indices in group.fares.items()
        )
        said = group.because
        if len(said) == 1:
            title += f": {style.safe(next(iter(said)))}"
        elif clause := _common_clause(list(said)):
            title += f": {style.safe(clause[:-1])}"
        capabilities = sorted({grid.gpus[index].device.capability for index in group.gpus})
        block = list(style.wrap(title, f"{_lead(entry, group.rows, style)}: ", "  ", "strong"))
        block += _how_much(group, grid, style, verbose=verbose)
        if not group.works:
            if not group.compiled:
                block += _because(group, [str(capability) for capability in capabilities], style, verbose=verbose)
            block += _advice(group, grid, style, verbose=verbose, kernels=kernels)
        yield block


def _lead(entry: Entry, rows: Sequence[GridRow], style: Style) -> str:
    """The label, and the alternatives that are meant where not all are."""
    label = style.clip(entry.label, style.width // 2)
    alternatives = [style.safe(row.alternative) for row in rows if row.alternative is not None]
    if not alternatives or len(rows) == len(entry.rows):
        return label
    return f"{label} [{style.clip(', '.join(alternatives), style.width // 4)}]"


def _how_much(group: Told, grid: Grid, style: Style, *, verbose: bool) -> Iterator[str]:
    """What the headline rests on where that differs, how many fatbins, and where; each said of the GPUs that it is true of."""
    said = group.because
    start = len(_common_clause(list(said)))
    texts = _each({text[start:].lstrip(): gpus for text, gpus in said.items()}, grid) if len(said) > 1 else []
    if not verbose and len(texts) > _MANY + 1:
        texts[_MANY:] = [f"and so on for {len(texts) - _MANY} more (-v shows all)"]
    decided = group.works or group.compiled  # by what counts do not tell
    if not decided:
        texts += _each(_counted(group), grid)
    if texts:
        yield from labelled("what", [style.safe(text) for text in texts], style)
    if decided or (group.names_what_lacks and not verbose):
        return
    counts, places = group.result.verdict.counts, group.story.places
    libraries = sum(1 for part in group.result.verdict.parts if part.coverage is not None)
    # Alternatives that are told together have their code in different files.
    if len(group.rows) == 1 and (libraries > len(places) or (libraries > 1 and counts.usable)):
        shown = places if verbose else places[:_FEW]
        room = style.width - 8 - len(" (0000 of 0000)")
        texts = [f"{style.clip(path, room)} ({here} of {total})" for path, here, total in shown]
        if len(shown) < len(places):
            texts.append(f"and {len(places) - len(shown)} more (-v shows all)")
        yield from labelled("where", texts, style)


def _counted(group: Told) -> dict[str, tuple[int, ...]]:
    """How many fatbins load, and which are missing, by the GPUs for which that is so."""
    found: dict[str, list[int]] = {}
    for index, (result, *_) in zip(group.gpus, group.results, strict=True):
        if text := _count(result):
            found.setdefault(text, []).append(index)
    return {text: tuple(indices) for text, indices in found.items()}


def _count(result: Result) -> str:
    """How many fatbins load, unless the word alone says it all."""
    verdict = result.verdict
    counts, shares = verdict.counts, verdict.shares
    parts = []
    unread = bool(verdict.unread)
    if counts.usable and (counts.fails or counts.unknown or unread):
        load = "loads" if counts.usable == 1 else "load"
        how = f", {counts.runs} as machine code and {counts.compiles} by PTX"
        if not (counts.runs and counts.compiles):
            how = " as machine code" if counts.runs else " by PTX"
        read = " that were read" if unread else ""
        parts.append(f"{counts.usable} of {plural(counts.total, 'fatbin')}{read} {load}{how}")
    if counts.fails and (counts.usable or counts.unknown or unread):
        do = "does" if counts.fails == 1 else "do"
        kinds = [
            ("all gaps" if counts.fails > 1 else "a gap") if shares.gaps == counts.fails else plural(shares.gaps, "gap")
        ]
        if not shares.gaps:
            kinds = ["all apparently for other GPUs" if counts.fails > 1 else "apparently for other GPUs"]
        elif shares.specialised:
            kinds += [f"{shares.specialised} for other GPUs"]
        # Where its main part lacks something, that is no part for others, whatever the rest of its library is.
        said = f" ({', '.join(kinds)})" if shares.gaps or not result.lacks_its_main_part else ""
        parts.append(f"{counts.fails} {do} not{'' if counts.usable else ' load'}{said}")
    if counts.unknown and counts.usable + counts.fails:
        parts.append(f"{counts.unknown} undecided")
    if verdict.coverage is Coverage.UNKNOWN and verdict.compiler is None and verdict.at_least is not verdict.at_most:
        parts.append(f"coverage at least {verdict.at_least}, at most {verdict.at_most}")
    return "; ".join(parts)


def _each(texts: dict[str, tuple[int, ...]], grid: Grid) -> list[str]:
    """Texts with the GPUs that they are about, where they are several."""
    if len(texts) == 1:
        return list(texts)
    return [
        f"{join(dict.fromkeys(str(grid.gpus[index].device.capability) for index in indices))}: {text}"
        for text, indices in texts.items()
    ]


def _because(group: Told, capabilities: Sequence[str], style: Style, *, verbose: bool) -> Iterator[str]:
    arguments = group.story.arguments
    shown = arguments if verbose or len(arguments) == _FEW + 1 else arguments[:_FEW]
    several = len({argument.fatbins for argument in arguments}) > 1
    texts = []
    for index, argument in enumerate(shown):
        built = sorted(group.built(index), key=by_number)
        count = f" ({plural(argument.fatbins, 'fatbin')})" if several else ""
        code = f" [{argument.code}]" if verbose else ""
        texts.append(style.safe(argument.message(capabilities, built)) + count + code)
    if len(shown) < len(arguments):
        texts.append(f"and {len(arguments) - len(shown)} more (-v shows all)")
    if group.result.verdict.unread:
        titles = dict.fromkeys(page_title(finding.code) for finding in group.result.verdict.unread)
        texts.append(f"not everything was read ({', '.join(titles)}, see below), so there may be more GPU code in it")
    yield from labelled("why", texts, style)


def _advice(group: Told, grid: Grid, style: Style, *, verbose: bool, kernels: bool) -> Iterator[str]:
    """What to do, with what to know before it or behind it."""
    if group.compiled:
        yield from labelled("do", _by_capability(group.steps, grid, verbose=verbose), style, "good")
        return
    steps = [style.safe(step) for step in _by_capability(group.steps, grid, verbose=verbose)]
    yield from labelled("do", group.advice.around(steps, listed=kernels), style, "good")


def _by_capability(ways: dict[tuple[str, ...], tuple[int, ...]], grid: Grid, *, verbose: bool) -> list[str]:
    """Sentences by the GPUs for which they are the same, without what all of them begin with."""
    if len(ways) == 1:
        return list(next(iter(ways)))
    shown = list(ways.items()) if verbose or len(ways) == _MANY + 1 else list(ways.items())[:_MANY]
    intro = "" if any(len(steps) != 1 for steps in ways) else _common([steps[0] for steps in ways])
    texts = [f"{intro.rstrip()}:"] if intro else []
    for steps, indices in shown:
        capabilities = join(dict.fromkeys(str(grid.gpus[index].device.capability) for index in indices))
        texts += [f"{capabilities}: {way[len(intro) :]}" for way in steps]
    if len(shown) < len(ways):
        texts.append(f"and so on for {len(ways) - len(shown)} more (-v shows all)")
    return texts


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


def _common_clause(texts: Sequence[str]) -> str:
    """The clause that several texts begin with, with the mark that ends it.

    >>> _common_clause(["it compiles: for sm_70", "it compiles: for sm_75"])
    'it compiles:'
    """
    clauses = [re.split(r"(?<=[:;]) ", text) for text in texts]
    same: list[str] = []
    for column in zip(*clauses, strict=False):
        if len(texts) == 1 or len(set(column)) > 1:
            break
        same.append(column[0])
    return " ".join(same)


def _findings(entry: Entry, names: Sequence[str], grid: Grid, style: Style, *, verbose: bool) -> Iterator[list[str]]:
    """What stands beside the GPU code."""
    label = style.clip(entry.label, style.width // 2)
    for found in beside(entry, grid, whole=verbose):
        messages = _messages(found.findings, entry, style, verbose=verbose)
        lead, tone = (f"{label}: ", "dim") if found.harmless else (f"! {label}: ", "warn")
        if found.gpus:
            gpus = join(named_gpu(names[index], grid.gpus[index]) for index in found.gpus)
            title = page_title(found.code)
            block = [
                *style.wrap(f"no on {gpus}: {title}" if found.blocks else f"{title}, on {gpus}", lead, "  ", tone),
                *labelled("why", messages, style),
            ]
        elif len(messages) == 1:
            block = list(style.wrap(messages[0], lead, "  ", tone))
        else:
            block = [*style.wrap(page_title(found.code), lead, "  ", tone), *labelled("what", messages, style)]
        ways: dict[tuple[str, ...], tuple[int, ...]] = {(way,): indices for way, indices in found.ways_out}
        do = _by_capability(ways, grid, verbose=verbose) if ways else []
        yield [*block, *labelled("do", [style.safe(way) for way in do], style, "good")]


def _messages(findings: Sequence[Finding], entry: Entry, style: Style, *, verbose: bool) -> list[str]:
    shown = findings if verbose or len(findings) == _SOME + 1 else findings[:_SOME]
    about = entry.rows[0].artifact.path
    texts = [finding_sentence(finding, about, entry.label, style) for finding in shown]
    if len(shown) < len(findings):
        texts.append(f"and the like for {len(findings) - len(shown)} more (-v shows all)")
    return texts
