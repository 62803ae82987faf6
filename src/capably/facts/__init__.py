"""What was observed: records without opinions.

Files are scanned into images, fatbins, libraries and artifacts; machines into systems with their devices,
drivers and toolkits. All records are frozen and hashable, so that thousands of equal fatbins are one record
and a count, and so that an answer can be replayed from its facts. `to_object` and `from_object` turn any of
them into plain JSON values and back.

Each part is imported when something of it is asked for: making the classes of one takes 5 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts.files import (
        Artifact,
        ArtifactKind,
        BareImages,
        Compression,
        Fatbin,
        FatbinGroup,
        FatbinKernels,
        Image,
        ImageKernels,
        ImageKind,
        Library,
        Role,
    )
    from capably.facts.finding import DAMAGE, Finding
    from capably.facts.machine import (
        Confidence,
        Device,
        Driver,
        DriverState,
        PtxJit,
        Standing,
        System,
        Toolkit,
        ToolkitKind,
        Visibility,
    )
    from capably.facts.objects import from_object, to_object
    from capably.facts.record import Record, RecordedPackage

__all__ = [
    "DAMAGE",
    "Artifact",
    "ArtifactKind",
    "BareImages",
    "Compression",
    "Confidence",
    "Device",
    "Driver",
    "DriverState",
    "Fatbin",
    "FatbinGroup",
    "FatbinKernels",
    "Finding",
    "Image",
    "ImageKernels",
    "ImageKind",
    "Library",
    "PtxJit",
    "Record",
    "RecordedPackage",
    "Role",
    "Standing",
    "System",
    "Toolkit",
    "ToolkitKind",
    "Visibility",
    "from_object",
    "to_object",
]

# Where a record is, unless it is among those of files.
_PARTS = {
    "DAMAGE": "finding",
    "Finding": "finding",
    "Confidence": "machine",
    "Device": "machine",
    "Driver": "machine",
    "DriverState": "machine",
    "PtxJit": "machine",
    "Record": "record",
    "RecordedPackage": "record",
    "Standing": "machine",
    "System": "machine",
    "Toolkit": "machine",
    "ToolkitKind": "machine",
    "Visibility": "machine",
    "from_object": "objects",
    "to_object": "objects",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - loaded long since

    part = _PARTS.get(name, "files")
    found: object = getattr(importlib.import_module(f"{__name__}.{part}"), name)
    globals()[name] = found  # asked for once
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
