"""The command that would tell whether a cause holds, with what is known filled in."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from capably.gpu_names import short_name
from capably.logs.code import is_of
from capably.tables import tables

if TYPE_CHECKING:
    from capably.logs.evidence import Facts
    from capably.tables import Cause

__all__ = ["command_for"]


def command_for(cause: Cause, facts: Facts) -> str:
    """What `next` of *cause* is here: PACKAGE and NAME stand for what the log or the record tells."""
    command = cause.next
    if "PACKAGE" in command and (package := suspect(facts)):
        command = command.replace("PACKAGE", shlex.quote(package))
    devices = facts.known.peek_devices()
    if "--gpu NAME" in command and devices:
        names = dict.fromkeys(short_name(device) or str(device.capability) for device in devices)
        command = command.replace("--gpu NAME", " ".join(f"--gpu {shlex.quote(name)}" for name in list(names)[:3]))
    return command


def suspect(facts: Facts) -> str | None:
    """The package whose code is most likely missing: the one that the log names, else the only one but torch."""
    here = {name: facts.known.distributions.peek(name) for name in facts.distributions}
    named = [name for name in here if facts.speaker not in (None, "torch") and is_of(facts.speaker or "", name)]
    named += [name for name in here if name != "torch" and any(is_of(module, name) for module in facts.modules)]
    with_code = [name for name in here if tables().package(name) is not None or name in _known()]
    others = [name for name in with_code if name != "torch"]
    for names in ([one for one in named if one in with_code] or named[:1], others, with_code):
        if names:
            return f"{names[0]}=={here[names[0]]}" if here[names[0]] else names[0]
    return facts.speaker_distribution


def _known() -> set[str]:
    return {row.package for row in tables().known_builds}
