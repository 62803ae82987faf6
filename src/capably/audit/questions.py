"""What is asked of the engine about an artifact, for whatever is looked for; there is no rule about architectures here."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Target
from capably.audit.policy import BLOCKERS
from capably.codes import Outcome
from capably.engine import Verdict, choose, judge, reaches
from capably.facts import Artifact, Device, Driver, Image, ImageKind, Library
from capably.gpu_names import named_devices
from capably.tables import tables
from capably.version import DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.facts import FatbinGroup

__all__ = [
    "TO_COME",
    "as_loaded",
    "counted",
    "images",
    "judged",
    "known_devices",
    "other_host",
    "promised_driver",
    "reaches_others",
    "starts",
    "targets_of",
]

# No GPU has this number: what compiles for it compiles for all that are to come.
TO_COME = Device(ComputeCapability(99, 9), "GPUs to come", assumed=True)


@functools.cache
def known_devices() -> tuple[Device, ...]:
    """One device for each capability that there are products of, in rising order; by name where one is typical."""
    typical = {device.capability: device for device in named_devices(["all"])}
    capabilities = sorted({product.capability for product in tables().products})
    return tuple(typical.get(found) or named_devices([str(found)])[0] for found in capabilities)


@functools.lru_cache(maxsize=1024)
def promised_driver(device: Device, floor: Driver | None) -> Driver:
    """The oldest driver that *floor* promises for *device*: of those not older than it, the first that serves the device.

    >>> from capably.gpu_names import named_devices
    >>> str(promised_driver(named_devices(["T4"])[0], Driver(DriverRelease(525))).release)
    'R525'
    >>> str(promised_driver(named_devices(["RTX 5090"])[0], Driver(DriverRelease(525))).release)
    'R570'
    """
    if floor is None:
        return tables().newest_driver(device.capability)
    own = Image(ImageKind.SASS, Target(device.capability))
    number = tables().branch(floor)[0].number
    later = [Driver(DriverRelease(b.number), assumed=True) for b in tables().branches if b.number > number]
    outcomes = {driver: judge(own, device, driver).outcome for driver in (floor, *later)}
    # What certainly serves it, else what may.
    for wanted in (Outcome.RUNS, Outcome.UNKNOWN):
        for driver, outcome in outcomes.items():
            if outcome is wanted:
                return driver
    return floor


def as_loaded(artifact: Artifact, device: Device, driver: Driver) -> Verdict:
    """On *device*, the alternative that it decides for; all libraries where something else decides."""
    chosen = choose(artifact, device)
    return judge(chosen[0][1] if len(chosen) == 1 else artifact, device, driver)


def starts(verdict: Verdict) -> bool:
    """Whether nothing keeps what was judged from starting there, whatever its GPU code."""
    return not any(finding.code in BLOCKERS for finding in verdict.findings)


def other_host(artifact: Artifact, device: Device) -> bool:
    """Whether *artifact* is for another processor than the machines that *device* comes in."""
    hosts = {library.machine: library for library in artifact.libraries}  # one for each processor: it is not about code
    some = replace(artifact, libraries=tuple(hosts.values()))
    return any(finding.code == "host-platform" for finding in judge(some, device).findings)


def judged(library: Library, verdict: Verdict) -> Iterator[tuple[FatbinGroup, Verdict]]:
    """The fatbins of *library* that count, each kind with its part of the verdict about the library."""
    return zip((group for group in counted(library) if not group.fatbin.relocatable), verdict.parts, strict=True)


def counted(library: Library) -> Iterator[FatbinGroup]:
    """The fatbins of *library* that hold kernels."""
    return (group for group in library.fatbins if not group.fatbin.idle)


def images(library: Library) -> Iterator[tuple[Image, int]]:
    """Images with kernels of the fatbins of a library, and how many there are."""
    for group in counted(library):
        for image in group.fatbin.images:
            if image.stub is not True:
                yield image, group.count


def targets_of(libraries: Iterable[Library]) -> set[Target]:
    """The targets of all images with kernels."""
    return {image.target for library in libraries for image, _ in images(library) if image.target is not None}


@functools.lru_cache(maxsize=1024)
def reaches_others(target: Target) -> bool:
    """Whether PTX for *target* is for any other device than that of its own number."""
    image = Image(ImageKind.PTX, target)
    return any(reaches(image, device) for device in known_devices() if device.capability != target.capability)
