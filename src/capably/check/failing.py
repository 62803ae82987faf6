"""What ``--fail-on`` asks of results: a breach, none, or undecided. Each question is answered by the bound that decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.engine import Coverage

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from capably.engine import Verdict

__all__ = ["LEVELS", "breaches", "exit_code", "has_code"]

LEVELS = ("none", "gap", "partial", "unknown")
"""What a breach is: nothing loads, parts are missing that are not for other GPUs, anything is missing, or may be."""


def has_code(verdict: Verdict) -> bool:
    """Whether there is anything to ask about: GPU code, or something that stops it whatever that is."""
    return bool(verdict.blocked) or verdict.coverage is not None


def breaches(level: str, verdict: Verdict) -> bool | None:
    """Whether *verdict* breaches *level*; None where only undecided parts stand between it and a pass."""
    least, most = verdict.at_least, verdict.at_most
    if verdict.blocked:
        return True
    match level:
        case "none":
            return True if most is Coverage.NONE else None if least is Coverage.NONE else False
        case "gap":
            if most is Coverage.NONE or verdict.shares.gaps_at_least:
                return True
            return None if least is Coverage.NONE or verdict.shares.gaps_at_most else False
        case "partial":
            return True if most is not Coverage.FULL else None if least is not Coverage.FULL else False
        case _:
            return least is not Coverage.FULL


def exit_code(level: str, verdicts: Iterable[tuple[Hashable, Verdict]]) -> int:
    """What the contract of ``--fail-on`` makes of all verdicts.

    Args:
        level: One of `LEVELS`.
        verdicts: Each with what it is about: of several about the same, one holds, and which is not known.
    """
    groups: dict[Hashable, set[bool | None]] = {}
    for about, verdict in verdicts:
        if has_code(verdict):
            groups.setdefault(about, set()).add(breaches(level, verdict))
    answers = {next(iter(found)) if len(found) == 1 else None for found in groups.values()}
    if True in answers or (level == LEVELS[-1] and None in answers):
        return 1
    return 3 if None in answers else 0
