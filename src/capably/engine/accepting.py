"""What a device accepts: the targets whose code runs on it, in the order in which one would build for it."""

from __future__ import annotations

import functools

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.codes import Outcome
from capably.engine.image import judge_image
from capably.facts import Device, Image, ImageKind
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.version import PtxVersion

__all__ = ["accepted_targets"]

_PARTICULAR = (Suffix.ARCH_SPECIFIC, Suffix.FAMILY_SPECIFIC, Suffix.NONE)


@functools.cache
def accepted_targets(capability: ComputeCapability) -> tuple[tuple[Target, Outcome], ...]:
    """The targets that a known toolkit emits and that a device of *capability* accepts, by the newest driver for it.

    Machine code before PTX, which is compiled first; the nearest number first; of one number what is the most
    particular, since it can use the most of the device. What is not known to be accepted is not there.

    >>> [str(target) for target, _ in accepted_targets(ComputeCapability(9, 0))][:4]
    ['sm_90a', 'sm_90', 'compute_90a', 'compute_90']
    """
    known = tables()
    device, driver = Device(capability, assumed=True), known.newest_driver(capability)
    versions = dict(known.ptx)
    first: dict[Target, PtxVersion] = {}  # of the first toolkit: its PTX is what most drivers compile
    for toolkit in known.toolkits:
        for name in toolkit.targets:
            first.setdefault(Target.parse(name), versions[toolkit.cuda])
    found: list[tuple[Target, Outcome]] = []
    for kind, image_kind in ((TargetKind.REAL, ImageKind.SASS), (TargetKind.VIRTUAL, ImageKind.PTX)):
        for emitted, ptx in first.items():
            target = Target(emitted.capability, emitted.suffix, kind)
            image = Image(image_kind, target, ptx=ptx if image_kind is ImageKind.PTX else None)
            outcome = judge_image(image, device, driver).outcome
            if outcome in (Outcome.RUNS, Outcome.COMPILES):
                found.append((target, outcome))
    return tuple(sorted(found, key=_preference))


def _preference(accepted: tuple[Target, Outcome]) -> tuple[bool, int, int]:
    target, outcome = accepted
    return outcome is not Outcome.RUNS, -target.capability.number, _PARTICULAR.index(target.suffix)
