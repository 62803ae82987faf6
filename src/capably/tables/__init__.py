"""The tables: what is known about architectures, toolkits, drivers and products, each row with its source.

Tables are JSON files in ``data``, one row per line. Each is read once, on first use, checked while it is
read, and never changed. Each states its horizon, the newest thing that it knows; a question beyond it is
answered with "unknown" by whoever asks.

To compare two numbers takes no table, and a gate is waited for: everything is loaded on first use.
"""

from __future__ import annotations

import functools

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.tables.model import (
        Alternatives,
        Architecture,
        Branch,
        Cause,
        CodeVersion,
        DialectVersion,
        DriverRange,
        Family,
        Feature,
        FileRole,
        Instance,
        KnownBuild,
        KnownError,
        KnownToolkit,
        Loading,
        Message,
        Package,
        Product,
        Runtime,
        RunTimeCompiler,
        SharedMemory,
        Source,
        TorchBuild,
    )
    from capably.tables.queries import Tables

__all__ = [
    "Alternatives",
    "Architecture",
    "Branch",
    "Cause",
    "CodeVersion",
    "DialectVersion",
    "DriverRange",
    "Family",
    "Feature",
    "FileRole",
    "Instance",
    "KnownBuild",
    "KnownError",
    "KnownToolkit",
    "Loading",
    "Message",
    "Package",
    "Product",
    "RunTimeCompiler",
    "Runtime",
    "SharedMemory",
    "Source",
    "Tables",
    "TorchBuild",
    "tables",
]


@functools.cache
def tables() -> Tables:
    """The shipped tables; each is read and checked when something first asks for it.

    A `TableError` from one of them is a defect of the installation.
    """
    from capably.tables.queries import Tables  # noqa: PLC0415 - see above

    return Tables()


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from capably.tables import model, queries  # noqa: PLC0415 - see above

    return getattr(queries if name == "Tables" else model, name)


def __dir__() -> list[str]:
    return sorted(__all__)
