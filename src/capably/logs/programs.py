"""Causes to do with conditions of programs and libraries: one function for each."""

from __future__ import annotations

import re

from capably.logs.evidence import UNDECIDED, Facts, State, Tested, excluded, holds, likely

__all__ = [
    "combination_not_supported",
    "gpu_outside_requirement",
    "knows_older_drivers",
    "memory_used_up",
    "module_for_other_gpus",
    "operators_not_built",
    "shared_memory",
    "virtual_gpu",
]


def module_for_other_gpus(facts: Facts) -> Tested:
    """A module of FlashInfer for major versions that no GPU here has."""
    majors = {int(text) for text in re.findall("[0-9]+", facts.params.get("majors", ""))}
    if not majors:
        return excluded("the message is about the toolkit") if "cuda" in facts.params else UNDECIDED
    here = {device.capability.major for device in facts.devices}
    said = f"the module is for major versions {', '.join(map(str, sorted(majors)))}"
    if not here:
        return State.OPEN, (said,)
    if not here & majors:
        return holds(said, facts.shown_devices) if facts.all_devices else likely(said, facts.shown_devices)
    return excluded(said, facts.shown_devices)


def gpu_outside_requirement(facts: Facts) -> Tested:
    """A condition that the message prints refuses the GPU."""
    if (refused := facts.params.get("refused")) is not None:
        how = facts.params.get("how", "outside of it")
        return holds(f"the message says: the GPU has capability {refused}, which is {how}")
    minimum, current = facts.params.get("minimum"), facts.params.get("current")
    if minimum is not None and current is not None:
        said = f"the message says: capability {minimum} is needed, and the GPU has {current}"
        return holds(said) if int(current) < int(minimum) else likely(said)
    return UNDECIDED


def shared_memory(facts: Facts) -> Tested:
    """The message names more shared memory than the GPU gives."""
    required, limit = (int(facts.params.get(name, "0")) for name in ("required", "limit"))
    if required > limit > 0:
        return holds(f"the message says: {required} bytes are required, and the limit is {limit}")
    return UNDECIDED


def operators_not_built(facts: Facts) -> Tested:
    """An operator was left out of the build of xformers."""
    return likely("the message says: operator wasn't built") if "unbuilt" in facts.params else UNDECIDED


def knows_older_drivers(facts: Facts) -> Tested:
    """The driver is of a newer CUDA than those that the program names."""
    accepted = [int(text) for text in re.findall(r"([0-9]+)\.", facts.params.get("accepted", ""))]
    yours = facts.params.get("yours")
    if not accepted or yours is None:
        return UNDECIDED
    said = f"the message says: it accepts CUDA {facts.params['accepted']}, and the driver is of {yours}"
    return holds(said) if int(yours.partition(".")[0]) > max(accepted) else excluded(said)


# As the drivers of vGPU name them: GRID A100D-40C, NVIDIA A16-2Q.
_VIRTUAL = re.compile(r"\bGRID\b|\b[A-Z]+[0-9]+[A-Z0-9]*-[0-9]+[ABCQ]\b")


def virtual_gpu(facts: Facts) -> Tested:
    """The GPU is a slice that a hypervisor gives."""
    virtual = [device.name for device in facts.devices if device.name and _VIRTUAL.search(device.name)]
    if virtual:
        return likely(f"{virtual[0]} is a virtual GPU")
    return UNDECIDED


def combination_not_supported(facts: Facts) -> Tested:
    """The status says that the arguments are at fault."""
    status = facts.params.get("status", "")
    if status in {"NOT_SUPPORTED", "BAD_PARAM", "INVALID_VALUE"}:
        return likely(f"the status is {status}")
    return UNDECIDED


def memory_used_up(facts: Facts) -> Tested:
    """The status is the one that libraries give where they find no memory to start with."""
    status = facts.params.get("status", "")
    if status in {"ALLOC_FAILED", "NOT_INITIALIZED"}:
        return likely(f"the status is {status}, which libraries give where no memory is left to start with")
    return UNDECIDED
