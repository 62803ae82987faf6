"""Causes to do with what FlashInfer asks of a list and of GPUs: one function for each."""

from __future__ import annotations

from capably.archlist import entries
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import ParseError
from capably.logs.evidence import UNDECIDED, Facts, State, Tested, excluded, holds

__all__ = ["gpu_below_floor", "list_below_floor"]


def list_below_floor(facts: Facts) -> Tested:
    """A list names a target that is too old."""
    if facts.system is None:
        return UNDECIDED
    name = "TORCH_CUDA_ARCH_LIST" if facts.code == "flashinfer-sm75-list" else "FLASHINFER_CUDA_ARCH_LIST"
    value = facts.environment.get(name, "")
    if not value:
        return excluded(f"{name} is not set")
    try:
        named = entries(value)
    except ParseError:
        return State.OPEN, (f"{name}={value}, which is no list",)
    low = [target for target in named if judge(facts.lowest, target).outcome is Outcome.FAILS]
    # The older check refuses a list for any of its entries, the newer one only if none is high enough.
    blamed = low if facts.code == "flashinfer-sm75-list" or len(low) == len(named) else []
    said = f"{name}={value}"
    return holds(f"{said}: {' '.join(str(one.capability) for one in blamed)}") if blamed else excluded(said)


def gpu_below_floor(facts: Facts) -> Tested:
    """A GPU is too old."""
    if not facts.devices:
        return UNDECIDED
    low = [judge(facts.lowest, device).outcome is Outcome.FAILS for device in facts.devices]
    # Without a list the older check refuses all GPUs for any of them, the newer one only if none is high enough.
    any_will_do = facts.code == "flashinfer-sm75-list" and not facts.environment.get("TORCH_CUDA_ARCH_LIST")
    blamed = any(low) if any_will_do else all(low)
    return (holds if blamed else excluded)(f"visible: {facts.listed_devices}")
