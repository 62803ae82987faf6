"""capably: which GPU code runs on which NVIDIA GPU, and why.

The names below are the library. They are loaded on first use, so that ``import capably`` costs next to
nothing, starts no process and initialises no CUDA.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.arch import ComputeCapability, Target
    from capably.codes import Outcome
    from capably.engine import Coverage, Verdict, judge
    from capably.errors import (
        CapablyError,
        DeviceTooOldError,
        DeviceWarning,
        DriverError,
        GpuListError,
        HiddenDeviceError,
        IncompatibleError,
        NoDeviceError,
        PackageError,
        ParseError,
        ScanError,
        ToolkitError,
        UndecidedError,
        UnknownNameError,
        UnsupportedDeviceError,
    )
    from capably.facts import Artifact, Device, Driver
    from capably.gate import Answer, Policy, capability, require, supports, usable
    from capably.probe import devices
    from capably.requirement import Requirement
    from capably.scanner import scan

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Artifact",
    "CapablyError",
    "ComputeCapability",
    "Coverage",
    "Device",
    "DeviceTooOldError",
    "DeviceWarning",
    "Driver",
    "DriverError",
    "GpuListError",
    "HiddenDeviceError",
    "IncompatibleError",
    "NoDeviceError",
    "Outcome",
    "PackageError",
    "ParseError",
    "Policy",
    "Requirement",
    "ScanError",
    "Target",
    "ToolkitError",
    "UndecidedError",
    "UnknownNameError",
    "UnsupportedDeviceError",
    "Verdict",
    "__version__",
    "capability",
    "devices",
    "judge",
    "require",
    "scan",
    "supports",
    "usable",
]

_HOME = {
    "Answer": "gate",
    "Artifact": "facts",
    "CapablyError": "errors",
    "ComputeCapability": "arch",
    "Coverage": "engine",
    "Device": "facts",
    "DeviceTooOldError": "errors",
    "DeviceWarning": "errors",
    "Driver": "facts",
    "DriverError": "errors",
    "GpuListError": "errors",
    "HiddenDeviceError": "errors",
    "IncompatibleError": "errors",
    "NoDeviceError": "errors",
    "Outcome": "codes",
    "PackageError": "errors",
    "ParseError": "errors",
    "Policy": "gate",
    "Requirement": "requirement",
    "ScanError": "errors",
    "Target": "arch",
    "ToolkitError": "errors",
    "UndecidedError": "errors",
    "UnknownNameError": "errors",
    "UnsupportedDeviceError": "errors",
    "Verdict": "engine",
    "capability": "gate",
    "devices": "probe",
    "judge": "engine",
    "require": "gate",
    "scan": "scanner",
    "supports": "gate",
    "usable": "gate",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only paid for when a name is first used

    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
