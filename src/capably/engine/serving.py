"""What would serve a device: the targets to compile for, and the toolkits that emit them."""

from __future__ import annotations

import functools

from capably.arch import ComputeCapability, Target, TargetKind
from capably.tables import tables

__all__ = ["serving_targets"]


@functools.cache
def serving_targets(device: ComputeCapability) -> str:
    """The targets that would serve *device*, and the toolkits that emit them, as text.

    >>> serving_targets(ComputeCapability(10, 3))
    'sm_103 (CUDA 12.9 or newer) or sm_100 (CUDA 12.8 or newer), or plain PTX of at most compute_103'
    """
    known = tables()
    newest = known.cuda_horizon("toolkits")
    driver_side = known.architectures.get(device)
    family = known.family(device)
    members = [device] if family is None else [member for member in family.members if member <= device]
    if driver_side is not None and driver_side.isolated:
        members = [device]
    texts = []
    for member in reversed(members):
        architecture = known.architectures.get(member)
        if member != device and architecture is not None and architecture.isolated:
            continue
        target = Target(member)
        span = known.emitting_toolkits(target)
        if span is None:
            texts.append(str(target))
        elif span[1] < newest:
            texts.append(f"{target} (CUDA {span[1]} or older)")
        elif span[0] > known.toolkits[0].cuda:
            texts.append(f"{target} (CUDA {span[0]} or newer)")
        else:
            texts.append(f"{target} (any CUDA up to {newest})")
    shown = texts if len(texts) <= 2 else [texts[0], texts[-1]]
    ptx = Target(device, kind=TargetKind.VIRTUAL)
    return f"{' or '.join(shown)}, or plain PTX of at most {ptx}"
