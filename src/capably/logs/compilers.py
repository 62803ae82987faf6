"""Causes to do with compilers: one function for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.codes import Outcome
from capably.engine import judge
from capably.logs.evidence import MOST_SHOWN, UNDECIDED, Facts, State, Tested, excluded, holds, image_of
from capably.tables import tables
from capably.version import PtxVersion

if TYPE_CHECKING:
    from capably.facts import Toolkit

__all__ = [
    "IN_MEMORY",
    "another_compiler_ran",
    "compiler_dropped_target",
    "compiler_too_old",
    "ptxas_older",
    "target_not_of_this_machine",
    "wrong_compiler_first",
]


def _shown(compiler: Toolkit) -> str:
    used = f", used by {', '.join(compiler.used_by)}" if compiler.used_by else ""
    return f"{compiler.path}: CUDA {compiler.cuda}{used}"


def _spared(facts: Facts) -> str:
    """Why FlashInfer's floor of the toolkit is not in play; empty where it may be."""
    if not facts.by_flashinfer or facts.floor is not None:
        return ""
    return f"FlashInfer leaves out none for its toolkit: {facts.listed_devices or 'whatever the GPU'}"


def wrong_compiler_first(facts: Facts) -> Tested:
    """Another compiler that is installed would do."""
    if spared := _spared(facts):
        return excluded(spared)
    if not facts.compilers:
        return UNDECIDED
    first, *others = facts.compilers
    good = facts.emits(first)
    if good is None or (not good and facts.unseen):
        return UNDECIDED
    if good:
        return excluded(_shown(first))
    better = [one for one in others if facts.emits(one)]
    return holds(_shown(first), *map(_shown, better)) if better else excluded(f"the only one: {_shown(first)}")


def compiler_too_old(facts: Facts) -> Tested:
    """The compiler does not know the target yet."""
    if spared := _spared(facts):
        return excluded(spared)
    if facts.compilers and facts.compilers[0].cuda is not None:
        first = facts.compilers[0]
        good = facts.emits(first)
        if good is None or facts.floor is None:
            return UNDECIDED
        if good or first.cuda is None or first.cuda >= facts.floor:
            return excluded(_shown(first))
        if facts.unseen:
            return UNDECIDED
        return holds(_shown(first), f"needed: CUDA {facts.floor} or newer")
    known = tables().emitting_toolkits(facts.target) if facts.target else None
    if known and known[1] == tables().toolkits[-1].cuda:
        return holds(f"every toolkit from CUDA {known[0]} on knows {facts.target}")
    if "flashinfer-toolkit-floor" in facts.codes and not facts.by_flashinfer:
        return holds(f"FlashInfer says that it needs CUDA {facts.floor}")
    return UNDECIDED


def compiler_dropped_target(facts: Facts) -> Tested:
    """The compiler does not know the target any more."""
    known = tables().emitting_toolkits(facts.target) if facts.target else None
    if known is None:
        return UNDECIDED
    said = f"{facts.target} is known from CUDA {known[0]} to {known[1]}"
    if known[1] == tables().toolkits[-1].cuda:
        return excluded(said)
    if not facts.compilers or facts.compilers[0].cuda is None:
        return UNDECIDED
    return (holds if facts.compilers[0].cuda > known[1] else excluded)(_shown(facts.compilers[0]), said)


def another_compiler_ran(facts: Facts) -> Tested:
    """The compiler that is used would do: another one printed the message."""
    if spared := _spared(facts):
        return excluded(spared)
    if not facts.compilers or (good := facts.emits(facts.compilers[0])) is None:
        return UNDECIDED
    first = _shown(facts.compilers[0])
    if not good:
        return excluded(f"{first}: would not do")
    if facts.by_flashinfer and len(facts.flashinfer) > 1:
        return State.OPEN, (f"{first}: would do",)  # some releases leave out none for their toolkit
    known = tables().emitting_toolkits(facts.target) if facts.target else None
    if known is None:
        return holds(f"needed: CUDA {facts.floor} or newer", f"{first}: would do")
    dropped = known[1] != tables().toolkits[-1].cuda
    said = f"CUDA {known[0]} {f'to {known[1]}' if dropped else 'and newer'} know {facts.target}"
    return holds(f"{said}, so what printed this is {'another' if dropped else 'older'}", f"{first}: knows it")


def target_not_of_this_machine(facts: Facts) -> Tested:
    """Code is asked for that no GPU here would load."""
    if not facts.devices and facts.compilers and facts.emits(facts.compilers[0]):
        return excluded(f"{_shown(facts.compilers[0])}: knows it, whoever asked for it")
    if not facts.devices or facts.target is None:
        return UNDECIDED
    image = image_of(facts.target)
    said = facts.shown_devices
    fails = all(judge(image, device).outcome is Outcome.FAILS for device in facts.devices)
    return (holds if fails else excluded)(said)


# What ptxas calls PTX that it was given by the driver or by a program that it is a part of.
IN_MEMORY = "application ptx input"


def ptxas_older(facts: Facts) -> Tested:
    """Ptxas is older than what wrote the PTX."""
    read = facts.params.get("input")
    here = [f"here: {_shown(one)}" for one in facts.compilers[:MOST_SHOWN]]
    accepted, said = facts.params.get("accepted"), ""
    if accepted is not None:  # else the log ends, or is cut, within the message
        wanted = PtxVersion.parse(facts.params["ptx"])
        needed = tables().cuda_of_ptx(wanted)
        said = f"PTX {wanted} needs CUDA {needed} or newer" if needed else f"PTX {wanted} is newer than the tables"
    if read in (None, IN_MEMORY):
        return State.OPEN, (*([said] if said else ()), *here)
    return holds(f"ptxas read a file: {read}", *([f"it takes PTX up to {accepted}; {said}"] if said else ()), *here)
