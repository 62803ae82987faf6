"""Joins messages, facts and causes into what a log means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capably.logs.builds import known_builds
from capably.logs.causes import BY_PACKAGES, TESTS_OF_CAUSES
from capably.logs.commands import command_for
from capably.logs.evidence import Facts, State
from capably.logs.origins import FactOrigin, Given, Known, comes_from, contradictions, join
from capably.logs.recognition import SeenMessage, named_modules, plain, recognise, speaker_of
from capably.logs.stated import Stated, read_log
from capably.tables import Cause, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.facts import Artifact, System

__all__ = ["Explanation", "TestedCause", "explain", "files_of", "is_from", "reads_packages"]


@dataclass(frozen=True, slots=True)
class TestedCause:
    """A cause, what the facts say about it, and the command that would tell."""

    cause: Cause
    state: State
    evidence: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a message means here.

    Attributes:
        causes: All that come into question, the most likely first.
        answer: Code of the cause that holds; None where that cannot be told.
        eliminated: The answer is what was left when every other cause was excluded.
        because: Why the first cause is the most likely, where nothing decides; empty where nothing makes it so.
        facts_from: The facts that were used, each with its origin.
        note: About the facts; empty where there is nothing to say.
        here: Code of the cause that would hold if the message came from this machine, where that is not known.
    """

    found: SeenMessage
    causes: tuple[TestedCause, ...]
    answer: str | None
    eliminated: bool = False
    because: str = ""
    facts_from: tuple[tuple[str, FactOrigin], ...] = ()
    note: str = ""
    here: str | None = None

    @property
    def architecture(self) -> bool:
        """Whether the message is about what GPU code runs on which GPU at all."""
        return self.found.message.subject == "architecture"


_NOTHING = Given()


def explain(
    log: str | bytes,
    system: System | None = None,
    artifacts: Sequence[Artifact] = (),
    *,
    origin: FactOrigin = FactOrigin.SYSTEM,
    given: Given = _NOTHING,
    present: frozenset[str] | None = None,
) -> tuple[Explanation, ...]:
    """What the messages in *log* mean, and which of their causes hold.

    Args:
        log: Text of a terminal or a file; only its end is read.
        system: The machine that printed it, or that may have; None where that is not known.
        artifacts: Scans of what was running on it.
        origin: Of *system*: a record that is of the machine that printed the log, or this machine.
        given: Facts by hand.
        present: Of this machine: the files of the log that exist on it (see `files_of`); its facts count only where
            the log shows that it comes from it. None where somebody says that it does.

    Returns:
        One for each message that is known, those that explain the others first; empty where there is none.
    """
    all_found = _telling(recognise(log))
    if not all_found:
        return ()
    modules = named_modules(log)
    data = plain(log)
    stated, speaker = read_log(data), speaker_of(data, all_found)
    note, counts = "", system
    if system is not None and any(one.message.device for one in all_found) and not system.devices:
        note = (
            "the message comes from a machine whose GPU worked, and this one shows none: its facts are left out"
            if origin is FactOrigin.THIS_MACHINE
            else "the message comes from a machine whose GPU worked, and the record shows none: its facts are left out"
        )
        counts = None
    elif system is not None and present is not None and not _from_here(stated, given, system, present):
        against = contradictions(stated, given, system)
        note = f"{'; '.join(against)}: the facts of this machine are left out" if against else NOT_FROM_HERE
        counts = None
    if given != _NOTHING and origin is FactOrigin.THIS_MACHINE and counts is None:
        note = ""  # who names the facts does not expect those of this machine
    known = _join(stated, given, counts, origin, artifacts, sure=present is None)
    known.speaker = speaker
    explained = [_explain(one, all_found, modules, known, note) for one in all_found]
    if system is not None and note == NOT_FROM_HERE:
        aside = _join(stated, given, system, origin, artifacts, sure=False)
        aside.speaker = speaker
        explained = [_with_aside(one, _explain(one.found, all_found, modules, aside, "")) for one in explained]
    return tuple(explained)


NOT_FROM_HERE = "nothing shows that the message comes from this machine, so its facts are left out"


def _with_aside(one: Explanation, other: Explanation) -> Explanation:
    says = other.answer not in (None, one.answer) and not other.eliminated
    return replace(one, here=other.answer) if says else one


def _join(
    stated: Stated,
    given: Given,
    system: System | None,
    origin: FactOrigin,
    artifacts: Sequence[Artifact],
    *,
    sure: bool,
) -> Known:
    """What is known, with the builds that are known by their versions."""
    scanned = tuple(artifacts) if system is not None or origin is FactOrigin.SYSTEM else ()
    known = join(stated, given, system, origin, scanned, sure=sure)
    known.artifacts = (*scanned, *known_builds(known))
    return known


def _from_here(stated: Stated, given: Given, system: System, present: frozenset[str]) -> bool:
    """Whether a log shows that it comes from a machine, and nothing in it says otherwise."""
    return comes_from(stated, system, present) and not contradictions(stated, given, system)


def is_from(log: str | bytes, given: Given, system: System, present: frozenset[str]) -> bool:
    """Whether *log* shows that it comes from *system*; see `explain` for *present*."""
    return _from_here(read_log(plain(log)), given, system, present)


def files_of(log: str | bytes) -> tuple[str, ...]:
    """The files that a log names in tracebacks: those of them that exist here tell whether it comes from here."""
    return read_log(plain(log)).files


def reads_packages(found: Iterable[SeenMessage]) -> bool:
    """Whether scans of what is installed could tell anything about the causes of these messages."""
    return any(code in BY_PACKAGES for one in found for code in one.message.causes)


def _telling(found: tuple[SeenMessage, ...]) -> tuple[SeenMessage, ...]:
    """Without those that say little, where one says more."""
    more = [one for one in found if not one.message.general]
    return tuple(more) or found


def _explain(
    found: SeenMessage, all_found: tuple[SeenMessage, ...], modules: frozenset[str], known: Known, note: str
) -> Explanation:
    known.used.clear()
    facts = Facts(found, all_found, modules, known)
    causes = [_judged(code, facts) for code in found.message.causes]
    likely_first = [*found.message.usually, *(c for c in found.message.causes if c not in found.message.usually)]
    rank = {code: index for index, code in enumerate(likely_first)}
    answer = None
    for one in causes:
        # What is rarer than a cause that holds does not stand in its way while it is open.
        before = causes[: causes.index(one)]
        if one.state is State.HOLDS and all(
            other.state is State.EXCLUDED or rank[other.cause.code] > rank[one.cause.code] for other in before
        ):
            answer = one.cause.code
            break
    left = [one for one in causes if one.state is not State.EXCLUDED]
    eliminated = answer is None and found.message.complete and len(left) == 1
    if eliminated:
        answer = left[0].cause.code
    states = list(State)
    causes.sort(key=lambda one: (one.cause.code != answer, states.index(one.state), rank[one.cause.code]))
    because = ""
    if answer is None and left:
        first = causes[0]
        because = "; ".join(first.evidence) if first.state in (State.HOLDS, State.LIKELY) else ""
        if not because and first.cause.code == likely_first[0]:
            because = found.message.because
    return Explanation(found, tuple(causes), answer, eliminated, because, tuple(sorted(known.used.items())), note)


def _judged(code: str, facts: Facts) -> TestedCause:
    cause = tables().causes[code]
    state, evidence = TESTS_OF_CAUSES[code](facts) if code in TESTS_OF_CAUSES else (State.OPEN, ())
    if state in (State.OPEN, State.LIKELY) and len(facts.found.message.causes) == 1:
        state = State.HOLDS
        evidence = (*evidence, "the message has no other cause")
    return TestedCause(cause, state, tuple(evidence), command_for(cause, facts))
