"""The answer for given facts."""

from __future__ import annotations

from capably.codes import Outcome
from capably.errors import (
    CapablyError,
)
from capably.gate.answer import Answer
from capably.gate.lists import lists_set, named_gpus, passed_over, targets_of_list, unread_patience
from capably.gate.policy import BROKEN, GPUS_HERE, OVERRIDE, Policy
from capably.requirement import LOADED

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

    from capably.arch import Target
    from capably.facts import Device, Driver, Toolkit
    from capably.probe.fleet import Look
    from capably.requirement import Requirement

__all__ = ["decide"]


def decide(
    needed: Requirement,
    policy: Policy,
    seen: Look,
    environ: Mapping[str, str],
    *,
    dialect: str | None = None,
    toolkit: Toolkit | None = None,
    installed: tuple[tuple[str, str], ...] | None = None,
) -> Answer:
    """The answer for given facts: what `usable` does once it has looked.

    Args:
        needed: What is asked.
        policy: Who is to decide.
        seen: The devices and the driver.
        environ: The variables.
        dialect: As for `usable`.
        toolkit: The compiler, where one is to be judged.
        installed: Names and versions of distributions; None where nobody looked.

    Raises:
        UnknownNameError: *needed* names a feature, or *dialect* a tool, that is not known.
    """
    from capably.engine import judge  # noqa: PLC0415 - see `_load`

    named = environ.get(OVERRIDE)
    own, lists = lists_set(environ, dialect)
    by = GPUS_HERE if seen.devices else "nothing"
    # A tool that is named reads its own list and no other; without one any list is what somebody has said.
    listed = bool(lists) and own in (None, lists[0][0])
    if named and policy is Policy.OVERRIDE:
        by = OVERRIDE
    elif listed and policy is not Policy.DEVICE:
        by = lists[0][0]
    elif named and not seen.devices and (policy is Policy.BUILD_LIST or seen.absence not in BROKEN):
        by = OVERRIDE  # what is named stands in for a GPU that is not there, and not for one that cannot be used
    subjects: tuple[Device | Target, ...] = ()
    entries: tuple[str, ...] = ()
    unread = None
    try:
        if by == OVERRIDE:
            subjects = named_gpus(named or "")
        elif by == GPUS_HERE:
            subjects = seen.devices
        elif by != "nothing":
            targets = targets_of_list(lists[0][1], lists[0][2], seen.devices)
            subjects, entries = targets, tuple(f"{target.capability}{target.suffix}" for target in targets)
    except CapablyError as error:
        unread = str(error).splitlines()[0]
    driver = seen.driver
    verdicts = tuple(judge(needed, one, driver, toolkit=toolkit, installed=installed) for one in subjects)
    return Answer(
        needed,
        policy,
        by,
        verdicts,
        entries,
        tuple(
            _blame(needed, one, driver, toolkit, installed) if verdict.outcome is Outcome.FAILS else ""
            for one, verdict in zip(subjects, verdicts, strict=True)
        ),
        next((finding for finding in seen.findings if finding.code == seen.absence), None),
        (*passed_over(by, policy, named, lists, len(seen.devices)), *unread_patience(environ)),
        unread,
        lists,
        seen.visibility.visible_devices,
        seen.lasting and not needed.mentions("toolkit", "installed", *LOADED),
        own,
    )


_BLAMES = (("compiler", ("toolkit",)), ("driver", ("driver", "cuda")), ("packages", ("installed", *LOADED)))


def _blame(
    needed: Requirement,
    subject: Device | Target,
    driver: Driver | None,
    toolkit: Toolkit | None,
    installed: tuple[tuple[str, str], ...] | None,
) -> str:
    """What stands against a device that is refused: the one thing without which it would not be, or the device."""
    from capably.engine import judge  # noqa: PLC0415 - see `_load`

    every = tuple(one for _, what in _BLAMES for one in what)
    for blame, what in (*_BLAMES, ("driver", every)):
        less, compiler = needed.without(*what), None if "toolkit" in what else toolkit
        if less is None or judge(less, subject, driver, toolkit=compiler, installed=installed).outcome != Outcome.FAILS:
            return blame
    return "device"
