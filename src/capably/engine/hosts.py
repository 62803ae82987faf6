"""What else decides, beside the GPU code: the processor of the host, and the CUDA runtime that a library needs."""

from __future__ import annotations

import itertools

from capably.codes import FINDINGS
from capably.facts import Driver, Finding
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from capably.facts import Artifact, Device, Library
    from capably.tables import Runtime

__all__ = ["cpu_build", "distribution_findings", "host_finding", "library_findings", "platform_finding", "starts"]

_SPELLINGS = {"aarch64": ("arm64",), "x86_64": ("amd64",)}  # in platform tags of macOS and Windows


def starts(cuda_major: int, driver: Driver, device: Device | None = None) -> bool | None:
    """Whether *driver* starts programs of that CUDA major version on *device*, whatever their GPU code.

    None where nothing tells: the release of a driver of a Tegra part does not say its CUDA version.

    >>> starts(12, Driver(cuda=tables().toolkits[-1].cuda))
    True
    """
    # By the CUDA version, which drivers of Tegra parts have too; the first branch of a major version is that of its
    # first minor version, or for 11 the one that minor version compatibility reaches back to.
    known = tables()
    cuda = known.driver_cuda(driver) if device is None else known.cuda_of_driver(driver, device.capability)
    return None if cuda is None else cuda.major >= cuda_major


def host_finding(code: str, path: str, **params: object) -> Finding:
    """A finding with its text filled in."""
    return Finding(code, path, FINDINGS[code].message.format_map({"subject": path, **params}))


def cpu_build(artifact: Artifact) -> Finding | None:
    """What says that a distribution is built for the CPU: its own files, or its version; None where nothing does."""
    said = next((finding for finding in artifact.findings if finding.code == "cpu-build"), None)
    if said is None and (artifact.version or "").partition("+")[2].split(".")[0] == "cpu":
        return host_finding("cpu-build", artifact.path, told=f"version {artifact.version}")
    return said


def platform_finding(artifact: Artifact, device: Device) -> Finding | None:
    """A wheel whose platform tags name no host that this device comes in."""
    tags = [tag for tag in artifact.platforms if tag != "any"]
    spelled = (name for host in device.hosts for name in (host, *_SPELLINGS.get(host, ())))
    if not device.hosts or not tags or any(tag.endswith(name) for name in spelled for tag in tags):
        return None
    return host_finding(
        "host-platform",
        artifact.path,
        built=", ".join(tags),
        device=device.name or device.capability,
        hosts=" or ".join(device.hosts),
    )


def library_findings(library: Library, device: Device, driver: Driver | None) -> Iterator[Finding]:
    """A library for another processor than that of the hosts, or for a newer CUDA than the driver."""
    if device.hosts and library.machine is not None and library.machine not in device.hosts:
        yield host_finding(
            "host-platform",
            library.path,
            built=library.machine,
            device=device.name or device.capability,
            hosts=" or ".join(device.hosts),
        )
    if driver is not None:
        linked = (row for row in tables().runtimes if row.of == "library" and row.cuda_major == library.runtime)
        needed = _named("library", library.needed)
        yield from _too_new((*needed, *itertools.islice(linked, 1)), library.path, device, driver)


def distribution_findings(artifact: Artifact, device: Device, driver: Driver | None) -> Iterator[Finding]:
    """A distribution that is for a newer CUDA than the driver, whatever its files name."""
    if driver is not None and artifact.name is not None and artifact.version is not None:
        named = _named("distribution", (f"{artifact.name} {artifact.version}",))
        yield from _too_new(named, artifact.path, device, driver)


def _named(of: str, names: Collection[str]) -> Iterator[Runtime]:
    for runtime in tables().runtimes if names else ():
        if runtime.of == of and any(runtime.pattern.fullmatch(name) for name in names):
            yield runtime


def _too_new(runtimes: Iterable[Runtime], path: str, device: Device, driver: Driver) -> Iterator[Finding]:
    for runtime in runtimes:
        if starts(runtime.cuda_major, driver, device) is False:
            yield host_finding(
                "cuda-major-newer-than-driver",
                path,
                needed=runtime.cuda_major,
                first=runtime.first,
                driver=f"{driver.release or 'a driver'} (CUDA {tables().driver_cuda(driver)})",
            )
