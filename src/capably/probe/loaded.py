"""Whether this process uses the driver already."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    import ctypes

    from capably.probe.machine import Machine

__all__ = ["initialised_here"]


def initialised_here(machine: Machine) -> ctypes.CDLL | None:
    """The driver's library, where this process has it loaded and initialised; loads and initialises nothing."""
    noload = getattr(os, "RTLD_NOLOAD", None)
    if noload is None or not machine.os_name.startswith("linux"):
        return None
    if "ctypes" not in sys.modules and not _mapped(b"/libcuda.so"):
        return None  # without loading ctypes, which somebody waits for
    import ctypes  # noqa: PLC0415 - see above

    from capably.probe import child  # noqa: PLC0415 - see above

    library, _ = child.open_library(list(machine.libcuda[:1]), noload | os.RTLD_LAZY)
    if library is None:
        return None
    count = ctypes.c_int()
    # Before cuInit, and in a child forked after it, this answers "not initialised" and changes nothing.
    code = child.call(library, "cuDeviceGetCount", ctypes.byref(count))
    return library if code == 0 else None


def _mapped(part: bytes) -> bool:
    """Whether this process has such a file in memory; taken as true where the kernel does not say."""
    try:
        with open("/proc/self/maps", "rb") as maps:  # noqa: PTH123 - pathlib costs 5 ms
            return part in maps.read()
    except OSError:
        return True
