"""Joins messages, facts and causes into what a log means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.logs.causes import BY_PACKAGES, TESTS_OF_CAUSES
from capably.logs.evidence import Facts, State
from capably.logs.recognition import SeenMessage, named_modules, recognise
from capably.tables import Cause, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.facts import Artifact, System

__all__ = ["Explanation", "TestedCause", "explain", "reads_packages"]


@dataclass(frozen=True, slots=True)
class TestedCause:
    """A cause, and what the facts say about it."""

    cause: Cause
    state: State
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a message means here.

    Attributes:
        causes: All that come into question, in the order of the table.
        answer: Code of the cause that holds; None where that cannot be told.
        eliminated: The answer is what was left when every other cause was excluded.
        note: About the facts; empty where there is nothing to say.
    """

    found: SeenMessage
    causes: tuple[TestedCause, ...]
    answer: str | None
    eliminated: bool = False
    note: str = ""

    @property
    def architecture(self) -> bool:
        """Whether the message is about what GPU code runs on which GPU at all."""
        return self.found.message.subject == "architecture"


def explain(
    log: str | bytes, system: System | None = None, artifacts: Sequence[Artifact] = ()
) -> tuple[Explanation, ...]:
    """What the messages in *log* mean, and which of their causes hold.

    Args:
        log: Text of a terminal or a file; only its end is read.
        system: The machine that printed it; None where that is not known.
        artifacts: Scans of what was running.

    Returns:
        One for each message that is known, those that explain the others first; empty where there is none.
    """
    all_found = recognise(log)
    modules = named_modules(log) if all_found else frozenset()
    return tuple(_explain(one, all_found, modules, system, artifacts) for one in all_found)


def reads_packages(found: Iterable[SeenMessage]) -> bool:
    """Whether scans of what is installed could tell anything about the causes of these messages."""
    return any(code in BY_PACKAGES for one in found for code in one.message.causes)


def _explain(
    found: SeenMessage,
    all_found: tuple[SeenMessage, ...],
    modules: frozenset[str],
    system: System | None,
    artifacts: Sequence[Artifact],
) -> Explanation:
    note = ""
    if system is not None and found.message.device and not system.devices:
        note = "the message comes from a machine whose GPU worked, and this one shows none: its facts are left out"
        system = None
    facts = Facts(found, all_found, modules, system, tuple(artifacts))
    causes = tuple(_judged(code, facts) for code in found.message.causes)
    answer = None
    for one in causes:
        if one.state is State.HOLDS:
            answer = one.cause.code
        if one.state is not State.EXCLUDED:
            break
    left = [one for one in causes if one.state is not State.EXCLUDED]
    eliminated = answer is None and found.message.complete and len(left) == 1
    return Explanation(found, causes, left[0].cause.code if eliminated else answer, eliminated, note)


def _judged(code: str, facts: Facts) -> TestedCause:
    cause = tables().causes[code]
    state, evidence = TESTS_OF_CAUSES[code](facts) if code in TESTS_OF_CAUSES else (State.OPEN, ())
    if state is State.OPEN and len(facts.found.message.causes) == 1:
        state = State.HOLDS
        evidence = (*evidence, "the message has no other cause")
    return TestedCause(cause, state, tuple(evidence))
