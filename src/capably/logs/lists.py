"""Causes to do with what FlashInfer asks of a list and of GPUs: one function for each."""

from __future__ import annotations

from capably.archlist import entries
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import ParseError
from capably.logs.evidence import UNDECIDED, Facts, State, Tested, excluded, holds, likely

__all__ = ["gpu_below_floor", "list_below_floor"]


def list_below_floor(facts: Facts) -> Tested:
    """A list names a target that is too old."""
    older = facts.code == "flashinfer-sm75-list"
    name = "TORCH_CUDA_ARCH_LIST" if older else "FLASHINFER_CUDA_ARCH_LIST"
    value = facts.environment.get(name, "")
    if not value:
        return (
            _without_list(facts, name) if older else excluded(f"{name} is not set") if facts.unset_counts else UNDECIDED
        )
    try:
        named = entries(value)
    except ParseError:
        return State.OPEN, (f"{name}={value}, which is no list",)
    low = [target for target in named if judge(facts.lowest, target).outcome is Outcome.FAILS]
    # The older check refuses a list for any of its entries, the newer one only if none is high enough.
    blamed = low if older or len(low) == len(named) else []
    said = f"{name}={value}"
    return holds(f"{said}: {' '.join(str(one.capability) for one in blamed)}") if blamed else excluded(said)


def _without_list(facts: Facts, name: str) -> Tested:
    """The older check, and no list that is known: then it was made for the GPUs, or the list is not known."""
    low = _low(facts)
    if low and not any(low):
        return likely(facts.shown_devices, f"without {name} the older check accepts them, so a list was set")
    return excluded(f"{name} is not set") if low and facts.unset_counts else UNDECIDED


def _low(facts: Facts) -> list[bool]:
    return [judge(facts.lowest, device).outcome is Outcome.FAILS for device in facts.devices]


def gpu_below_floor(facts: Facts) -> Tested:
    """A GPU is too old."""
    low = _low(facts)
    older = facts.code == "flashinfer-sm75-list"
    listed = bool(facts.environment.get("TORCH_CUDA_ARCH_LIST"))
    if not low:
        absence = facts.system.absence if facts.system is not None and facts.unset_counts else None
        if older and absence is not None and facts.absence()[0] is State.EXCLUDED:
            return excluded(f"no GPU is visible: {absence}")  # one that is not seen is not refused
        return UNDECIDED
    # Without a list the older check refuses all GPUs for any of them, the newer one only if none is high enough.
    if all(low) or (older and not listed and any(low)):
        return holds(facts.shown_devices)
    if older and listed:
        return excluded(facts.shown_devices, "where a list is set, the GPUs are not asked")
    return excluded(facts.shown_devices) if facts.all_devices else (State.OPEN, (facts.shown_devices,))
