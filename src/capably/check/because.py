"""What a headline rests on, as one sentence: what is usable, and by name what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.codes import FINDINGS, Outcome
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
    core = _core(result.conclusion.core)
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
                said = verdict.compiler.finding.message
                return ("nothing that it brings loads; " if lost else "") + said[:1].lower() + said[1:]
            row = tables().package(result.artifact.name or "")
            by = f" by {row.compiler}" if row is not None and row.compiler else ""
            return f"it compiles its kernels{by} when they are first used, so that its files do not decide"
        case Ground.NOTHING:
            return "none of its GPU code loads"
        case Ground.CORE_FAILS:
            return f"the main part of {core} does not load; without it the rest is of no use"
        case Ground.CORE_PARTLY:
            return f"some of the main part of {core} loads, some does not"
        case Ground.CORE_UNDECIDED:
            return f"whether the main part of {core} loads is undecided"
        case Ground.CORE_USABLE:
            return f"the main part of {core} loads; {_missing(verdict)}"
        case Ground.DISPATCHES:
            best = "" if result.best_share is None else f"; the most on any GPU is {result.best_share:.0%}"
            share = f"{counts.usable / counts.total:.0%} of its fatbins load ({counts.usable} of {counts.total}{best})"
            return f"it picks the code for the GPU that it finds; {share}"
        case Ground.GENERAL_FAILS:
            return f"some of the main part of its libraries does not load: {_general_missing(verdict)}"
        case Ground.GAPS:
            return f"{counts.usable} of {counts.total} fatbins load; {_missing(verdict)}"
        case Ground.UNDECIDED:
            return "the facts do not decide"
        case Ground.OTHERS:
            return f"the main part of its libraries loads; {_missing(verdict)}"
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
    for part in sorted(verdict.parts, key=_place):
        if part.counts.fails:
            lack = Lack.GAP if part.shares.gaps else Lack.SPECIALITY
            lacks[lack].append(f"{_short(part.subject)} ({part.counts.fails} of {part.counts.total})")
    texts = []
    if gaps := lacks[Lack.GAP]:
        texts.append(f"missing: {_few(gaps)}")
    if others := lacks[Lack.SPECIALITY]:
        texts.append(f"apparently for other GPUs: {_few(others)}")
    if verdict.counts.unknown:
        texts.append(f"undecided: {verdict.counts.unknown} of {verdict.counts.total} fatbins")
    if verdict.unread:
        texts.append("not everything was read")
    return "; ".join(texts)


def _core(paths: Sequence[str]) -> str:
    """The core libraries in words.

    >>> _core(["a/_C.so"])
    'its core library _C.so'
    """
    return f"its core {'library' if len(paths) == 1 else 'libraries'} {join([_short(path) for path in paths])}"


def _general_missing(verdict: Verdict) -> str:
    """The libraries that lack something of what they are for, with how many of how many fatbins."""
    found = []
    for part in sorted(verdict.parts, key=_place):
        general = [one for one in part.parts if one.general]
        lacking = sum(one.count for one in general if one.outcome is Outcome.FAILS)
        if lacking:
            found.append(f"{_short(part.subject)} ({lacking} of {sum(one.count for one in general)})")
    return _few(found)


def _place(part: Verdict) -> tuple[bool, int]:
    """A package's own libraries before those it bundles, and what lacks most before others."""
    return ".libs/" in part.subject, -part.counts.fails


def _few(texts: Sequence[str]) -> str:
    if len(texts) <= _FEW + 1:
        return ", ".join(texts)
    return f"{', '.join(texts[:_FEW])} and {len(texts) - _FEW} more"


def _short(path: str) -> str:
    return path.rpartition("/")[2]
