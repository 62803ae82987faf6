"""A machine with what is installed on it: what a record of `capably doctor --save` holds in full."""

from __future__ import annotations

from dataclasses import dataclass

from capably.facts.files import Artifact
from capably.facts.machine import Device, System

__all__ = ["Record", "RecordedPackage"]


@dataclass(frozen=True, slots=True)
class RecordedPackage:
    """An installed distribution, with all that is judged of it.

    Attributes:
        artifact: What was found in its files.
        requires: Its requirements, as the metadata have them, without addresses.
        libraries: Names of the shared libraries that it brings.
    """

    artifact: Artifact
    requires: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A system, and what was looked at there beside it.

    Attributes:
        system: The machine.
        packages: Those with GPU code, and those that something is known about; None where nobody looked, as in a record
            of an older release.
        gpus: Those that were named instead of the GPUs of the machine.
    """

    system: System
    packages: tuple[RecordedPackage, ...] | None = None
    gpus: tuple[Device, ...] = ()
