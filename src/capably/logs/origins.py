"""Where facts come from, and which of them count for a log.

The log is read first. A record that was named is of the machine that printed it. This machine is only one that may have
been that: its facts count where the log shows that it comes from here and nothing in it says otherwise, or where the
user says so. What somebody gives by hand stands above all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from capably.compat import StrEnum
from capably.facts import Artifact, Device, Driver, System, Toolkit
from capably.gpu_names import hosts_of
from capably.tables import tables

if TYPE_CHECKING:
    from capably.logs.stated import Stated

__all__ = ["FactOrigin", "Given", "Known", "Values", "comes_from", "contradictions", "join"]


class FactOrigin(StrEnum):
    """Who says a fact."""

    LOG = "log"
    SYSTEM = "system"  # a record that the user named
    THIS_MACHINE = "this-machine"
    GIVEN = "given"  # by hand


@dataclass(frozen=True, slots=True)
class Given:
    """Facts that the user gives by hand.

    Attributes:
        devices: The GPUs where the log comes from.
        driver: Its driver.
        distributions: Packages with their versions.
    """

    devices: tuple[Device, ...] = ()
    driver: Driver | None = None
    distributions: tuple[tuple[str, str], ...] = ()


class Values(Mapping[str, str]):
    """Names and values, each with its origin; it notes which were asked for and there."""

    def __init__(self, used: dict[str, FactOrigin]) -> None:
        self._used = used
        self._values: dict[str, tuple[str, FactOrigin]] = {}

    def add(self, values: Mapping[str, str], origin: FactOrigin) -> None:
        """More of them, which stand above those before."""
        self._values.update({name: (value, origin) for name, value in values.items()})

    def __getitem__(self, name: str) -> str:
        value, origin = self._values[name]
        self._used[name] = origin
        return value

    def origin(self, name: str) -> FactOrigin | None:
        """Who says the value of *name*; None where nobody does."""
        return self._values[name][1] if name in self._values else None

    def peek(self, name: str) -> str:
        """A value that is not used as a fact: what it is printed in says so itself."""
        return self._values[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values


@dataclass(slots=True)
class Known:
    """What is known of the machine that printed a log, from all origins.

    Attributes:
        system: The record of it; None where there is none that counts.
        devices: Its GPUs.
        all_devices: There are no others, as far as somebody looked or said so.
        environment_complete: A variable that is not among those that are known was not set.
        speaker: The program whose own words the log has.
        used: The facts that were asked for and there, with their origins.
    """

    system: System | None
    artifacts: tuple[Artifact, ...]
    _devices: tuple[tuple[Device, ...], FactOrigin]
    _driver: tuple[Driver | None, FactOrigin]
    _toolkits: tuple[tuple[Toolkit, ...], FactOrigin]
    origin: FactOrigin
    all_devices: bool
    environment_complete: bool
    speaker: str | None = None
    used: dict[str, FactOrigin] = field(default_factory=dict)
    environment: Values = field(init=False)
    distributions: Values = field(init=False)

    def __post_init__(self) -> None:
        self.environment = Values(self.used)
        self.distributions = Values(self.used)

    @property
    def machine(self) -> str:
        """The processor of the host."""
        if self.system is not None and self.system.machine:
            return {"amd64": "x86_64", "arm64": "aarch64"}.get(self.system.machine.lower(), self.system.machine)
        hosts = {hosts_of(device.capability) for device in self._devices[0]}
        return "aarch64" if hosts == {("aarch64",)} else "x86_64"

    def note(self, name: str) -> None:
        """That a fact of the record was used."""
        self.used[name] = self.origin

    def peek_devices(self) -> tuple[Device, ...]:
        """The GPUs, where they are not used as a fact."""
        return self._devices[0]

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs."""
        found, origin = self._devices
        if found:
            self.used["gpu"] = origin
        return found

    @property
    def says_devices(self) -> str:
        """Who says which GPUs there are, as evidence has it."""
        return {FactOrigin.LOG: "the log names", FactOrigin.GIVEN: "named by --gpu"}.get(self._devices[1], "visible")

    @property
    def driver(self) -> Driver | None:
        """The driver."""
        found, origin = self._driver
        if found is not None:
            self.used["driver"] = origin
        return found

    @property
    def toolkits(self) -> tuple[Toolkit, ...]:
        """The compilers."""
        found, origin = self._toolkits
        if found:
            self.used["toolkits"] = origin
        return found


def join(
    stated: Stated,
    given: Given,
    system: System | None,
    origin: FactOrigin,
    artifacts: tuple[Artifact, ...] = (),
    *,
    sure: bool = True,
) -> Known:
    """All that is known: what is given stands above what the log says, and that above a record.

    A record that has the GPUs of the log among its own is the better list of them.

    Args:
        stated: What the log says.
        given: By hand.
        system: The record of the machine that printed the log, if any counts.
        origin: Of that record.
        artifacts: What was scanned there.
        sure: Somebody said that the record is of that machine.
    """
    recorded = system.devices if system is not None else ()
    whole = system is not None
    devices, of_devices = recorded, origin
    if stated.devices and not _among(stated.devices, recorded):
        devices, of_devices, whole = stated.devices, FactOrigin.LOG, False
    if given.devices:
        devices, of_devices, whole = given.devices, FactOrigin.GIVEN, True
    driver, of_driver = system.driver if system is not None else None, origin
    if stated.driver is not None and not _same_driver(stated.driver, driver):
        jit = driver.jit if driver is not None else stated.driver.jit
        driver, of_driver = replace(stated.driver, jit=jit), FactOrigin.LOG
    if given.driver is not None:
        driver, of_driver = given.driver, FactOrigin.GIVEN
    known = Known(
        system,
        artifacts,
        (devices, of_devices),
        (driver, of_driver),
        (stated.toolkits, FactOrigin.LOG)
        if stated.toolkits
        else (system.toolkits if system is not None else (), origin),
        origin,
        whole,
        system is not None and sure,
    )
    if system is not None:
        known.environment.add(dict(system.environment), origin)
        known.distributions.add(dict(system.distributions), origin)
    known.environment.add(dict(stated.environment), FactOrigin.LOG)
    known.distributions.add(dict(stated.distributions), FactOrigin.LOG)
    known.distributions.add(dict(given.distributions), FactOrigin.GIVEN)
    return known


def _among(named: tuple[Device, ...], found: tuple[Device, ...]) -> bool:
    """Whether all GPUs that are named are of a capability that was found."""
    return {device.capability for device in named} <= {device.capability for device in found}


def _same_driver(one: Driver, other: Driver | None) -> bool:
    if other is None:
        return False
    if one.release is not None and other.release is not None:
        return one.release == other.release
    return one.cuda is not None and one.cuda == tables().driver_cuda(other)


def contradictions(stated: Stated, given: Given, system: System) -> tuple[str, ...]:
    """What in the log, or in what was given, does not fit a machine; as sentences."""
    found = []
    for devices, says in ((stated.devices, "the log names"), (given.devices, "--gpu names")):
        if devices and not _among(devices, system.devices):
            named = ", ".join(f"{one.name} ({one.capability})" if one.name else str(one.capability) for one in devices)
            found.append(f"{says} {named}, which is not here")
    for driver, says in ((stated.driver, "the log says"), (given.driver, "--driver says")):
        if driver is not None and not _same_driver(driver, system.driver):
            found.append(f"{says} driver {driver.release or f'of CUDA {driver.cuda}'}, which is not here")
    here = dict(system.distributions)
    found += [
        f"{says} {name} {version}, which is not installed here"
        for values, says in ((stated.distributions, "the log has"), (given.distributions, "--package says"))
        for name, version in values
        if name in here and not _same_version(version, here[name])
    ]
    return tuple(found)


def _same_version(one: str, other: str) -> bool:
    """Whether both may be the same: a log often leaves out what comes after the plus."""
    return one == other or (one.partition("+")[0] == other.partition("+")[0] and not ("+" in one and "+" in other))


def comes_from(stated: Stated, system: System, present: frozenset[str]) -> bool:
    """Whether the log shows that a machine printed it: a file of it that is there, or its GPU by name.

    Args:
        stated: What the log says.
        system: The machine.
        present: The files of the log that exist there.
    """
    if stated.files:
        return present >= frozenset(stated.files[-_FEW:])
    here = {_bare(device.name) for device in system.devices if device.name}
    return any(_bare(device.name) in here for device in stated.devices if device.name)


_FEW = 4  # of a traceback: the frames nearest to the error


def _bare(name: str) -> str:
    return re.sub(r"(?i)^nvidia |^geforce | gpu$", "", name.replace("NVIDIA ", "")).casefold()
