"""What stands beside the GPU code of an artifact: what depends on the GPU apart from what is so everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capably.check.grid import harmless
from capably.codes import FINDINGS
from capably.engine import role_of
from capably.facts import Finding, Role
from capably.wording import join

if TYPE_CHECKING:
    from capably.check.entries import Entry
    from capably.check.grid import Grid, Result

__all__ = ["Beside", "beside"]


@dataclass(frozen=True, slots=True)
class Beside:
    """Findings of one code.

    Attributes:
        code: Key in `capably.codes.FINDINGS`, or a newer one.
        findings: Those that say the same of several GPUs as one.
        gpus: Indices of the GPUs that they are about; empty where they are so everywhere.
        harmless: They say what a file is, and nothing is wrong.
        blocks: They stop it, whatever its GPU code.
        ways_out: What to do, and on which GPUs; none where nothing has to be done.
    """

    code: str
    findings: tuple[Finding, ...]
    gpus: tuple[int, ...]
    harmless: bool
    blocks: bool
    ways_out: tuple[tuple[str, tuple[int, ...]], ...]


def beside(entry: Entry, grid: Grid, *, whole: bool = False) -> list[Beside]:
    """What stands beside the GPU code: first what depends on the GPU, then what is so everywhere.

    Args:
        entry: What is told of.
        grid: Whose GPUs are meant.
        whole: Also what is harmless in files that decide nothing.
    """
    local: dict[str, dict[int, dict[Finding, None]]] = {}
    everywhere: dict[str, dict[Finding, None]] = {}
    there: dict[int, list[Result]] = {}
    for _, result in entry.results():
        there.setdefault(result.gpu, []).append(result)
        for finding in result.local:
            if finding == result.compiled or (_is_compiler(result, finding) and _elsewhere(result)):
                continue  # the headline says it, or it is not to be had there
            local.setdefault(finding.code, {}).setdefault(result.gpu, {})[finding] = None
        for finding in result.findings:
            if finding not in result.local and (whole or not _idle(result, finding)):
                everywhere.setdefault(finding.code, {})[finding] = None
    for code in [code for code in local if harmless(code)]:
        same = {tuple(found) for found in local[code].values()}
        if len(same) == 1 and len(local[code]) == len(there):  # it has nothing to do with the GPU
            everywhere.setdefault(code, {}).update(dict.fromkeys(same.pop()))
            del local[code]
    found = [
        Beside(
            code,
            _as_one(by_gpu, grid),
            tuple(sorted(by_gpu)),
            harmless=harmless(code),
            blocks=code in FINDINGS and FINDINGS[code].blocks,
            ways_out=_ways(code, by_gpu, there),
        )
        for code, by_gpu in local.items()
    ]
    for code, findings in everywhere.items():
        page = FINDINGS.get(code)
        mild = harmless(code)
        ways = ((page.way_out, ()),) if page and page.way_out and not mild else ()
        found.append(Beside(code, tuple(findings), (), mild, page is not None and page.blocks, ways))
    return found


def _is_compiler(result: Result, finding: Finding) -> bool:
    return result.verdict.compiler is not None and finding == result.verdict.compiler.finding


def _elsewhere(result: Result) -> bool:
    """Whether it is for another host, so that nothing else of it matters."""
    return any(found.code == "host-platform" for found in result.verdict.blocked)


def _idle(result: Result, finding: Finding) -> bool:
    """Whether *finding* says what a file is that decides nothing."""
    if not harmless(finding.code):
        return False
    return any(
        finding.path in (library.path, *library.copies) and role_of(result.artifact, library) is not Role.PRODUCT
        for library in result.artifact.libraries
    )


def _ways(
    code: str, found: dict[int, dict[Finding, None]], there: dict[int, list[Result]]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """What to do about findings of one code, by the GPUs on which it is the same."""
    page = FINDINGS.get(code)
    ways: dict[str, list[int]] = {}
    for index in sorted(found):
        here = {
            result.advice.way_around(finding)
            for result in there[index]
            for finding in result.local
            if finding in found[index]
        }
        # Builds inside one package may need this or that driver, as their own lines say.
        way = here.pop() if len(here) == 1 else page.way_out if page else ""
        if way:
            ways.setdefault(way, []).append(index)
    return tuple((way, tuple(indices)) for way, indices in ways.items())


def _as_one(found: dict[int, dict[Finding, None]], grid: Grid) -> tuple[Finding, ...]:
    """Findings on several GPUs as one list: those that differ in the name of the GPU only are told once, of all."""
    groups: dict[tuple[str, str], tuple[Finding, dict[str, None]]] = {}
    for index, there in found.items():
        device = grid.gpus[index].device
        name = device.name or str(device.capability)
        for finding in there:
            key = (finding.path, finding.message.replace(f"; {name} comes in ", "; "))
            groups.setdefault(key, (finding, {}))[1][name] = None
    told = []
    for finding, names in groups.values():
        head, _, tail = finding.message.partition(f"; {next(iter(names))} comes in ")
        several = len(names) > 1 and tail
        told.append(replace(finding, message=f"{head}; {join(names)} come in {tail}") if several else finding)
    return tuple(told)
