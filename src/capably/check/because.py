"""What a headline rests on, as one sentence: what is usable, and by name what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.codes import FINDINGS
from capably.engine import Ground, Lack
from capably.tables import tables
from capably.wording import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capably.check.grid import Result
    from capably.engine import Verdict

__all__ = ["because", "because_of_builds"]

_FEW = 3


def because(result: Result) -> str:
    """Why the headline of *result* is what it is; empty where there is none."""
    verdict, ground = result.verdict, result.conclusion.ground
    counts = verdict.counts
    core = join([_short(path) for path in result.conclusion.core])
    match ground:
        case None:
            return ""
        case Ground.BLOCKED:
            titles = dict.fromkeys(FINDINGS[finding.code].title for finding in verdict.blocked)
            return f"whatever its GPU code: {join([title[:1].lower() + title[1:] for title in titles])}"
        case Ground.NOT_READ:
            return "not everything in it was read, so that there may be more GPU code"
        case Ground.AT_RUN_TIME:
            if verdict.compiler is not None:
                lost = verdict.compiler.kernels == "both" and counts.total and not counts.usable
                return ("nothing that it brings loads; " if lost else "") + verdict.compiler.finding.message
            row = tables().package(result.artifact.name or "")
            by = f" by {row.compiler}" if row is not None and row.compiler else ""
            return f"it compiles its kernels{by} when they are first used, so that its files do not decide"
        case Ground.NOTHING:
            return "nothing in it loads"
        case Ground.CORE_FAILS:
            return f"what its core library {core} is for does not load; without it the rest is of no use"
        case Ground.CORE_PARTLY:
            return f"some of what its core library {core} is for loads, some does not"
        case Ground.CORE_UNDECIDED:
            return f"whether its core library {core} loads is undecided"
        case Ground.CORE_USABLE:
            return f"its core library {core} is usable; {_missing(verdict)}"
        case Ground.DISPATCHES:
            best = "" if result.best_share is None else f"; on no GPU more than {result.best_share:.0%} do"
            return f"it takes what fits the GPU that it finds: {counts.usable} of {counts.total} fatbins load{best}"
        case Ground.GENERAL_FAILS:
            return f"what its libraries are for loads in part only; {_missing(verdict)}"
        case Ground.GAPS:
            return f"{counts.usable} of {counts.total} fatbins load; {_missing(verdict)}"
        case Ground.UNDECIDED:
            return "the facts do not decide"
        case Ground.OTHERS:
            return f"what its libraries are for is usable; {_missing(verdict)}"
        case Ground.COMPLETE:
            return "nothing is missing"
        case Ground.COMPILED:
            return "nothing is missing; the driver compiles PTX when it is first loaded"
        case Ground.BUILDS_DIFFER:
            return "its builds differ"


def because_of_builds(results: Sequence[tuple[str, Result]], chosen_by: str) -> str:
    """Which of several builds, by name, fare how."""
    found: dict[str, list[str]] = {}
    for name, result in results:
        found.setdefault(str(result.conclusion.headline), []).append(name)
    texts = [f"{said} with {join(names)}" for said, names in found.items()]
    by = "the CUDA version of the installed torch" if chosen_by == "cuda-version" else "what is found there"
    return f"by {by}: {'; '.join(texts)}"


def _missing(verdict: Verdict) -> str:
    """The libraries that lack something, gaps first, with how many of how many fatbins."""
    lacks: dict[Lack, list[str]] = {Lack.GAP: [], Lack.SPECIALITY: []}
    for part in sorted(verdict.parts, key=lambda part: -part.counts.fails):
        if part.counts.fails:
            lack = Lack.GAP if part.shares.gaps else Lack.SPECIALITY
            lacks[lack].append(f"{_short(part.subject)} ({part.counts.fails} of {part.counts.total})")
    texts = []
    if gaps := lacks[Lack.GAP]:
        texts.append(f"missing: {_few(gaps)}")
    if others := lacks[Lack.SPECIALITY]:
        texts.append(f"for other GPUs, as it seems: {_few(others)}")
    if verdict.counts.unknown:
        texts.append(f"undecided: {verdict.counts.unknown} of {verdict.counts.total} fatbins")
    if verdict.unread:
        texts.append("not everything was read")
    return "; ".join(texts)


def _few(texts: Sequence[str]) -> str:
    if len(texts) <= _FEW + 1:
        return ", ".join(texts)
    return f"{', '.join(texts[:_FEW])} and {len(texts) - _FEW} more"


def _short(path: str) -> str:
    return path.rpartition("/")[2]
