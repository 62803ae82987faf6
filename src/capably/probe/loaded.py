"""What this process has loaded: the driver, where it uses that already, and the libraries whose versions count."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    import ctypes

    from capably.probe.machine import Machine

__all__ = ["initialised_here", "loaded_versions"]


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


def loaded_versions() -> dict[str, str]:
    """The versions of torch's CUDA, cuDNN and cuBLASLt in this process; nothing is loaded or initialised for it.

    Returns:
        By the names of `capably.requirement.LOADED`; what is not loaded, or does not say, is left out.
    """
    found = {}
    cuda = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None)
    if isinstance(cuda, str):
        found["torch-cuda"] = cuda
    for name, part, function in (
        ("cudnn", b"/libcudnn.so", "cudnnGetVersion"),
        ("cublaslt", b"/libcublasLt.so", "cublasLtGetVersion"),
    ):
        number = _number_of(part, function) if _mapped(part) else 0
        if number > 0:
            # One digit less for what came before cuDNN 9 and CUDA 10.
            unit = 10_000 if number >= 90_000 else 1_000
            found[name] = f"{number // unit}.{number % unit // 100}.{number % 100}"
    return found


def _number_of(part: bytes, function: str) -> int:
    """What the version function of a library that this process has in memory says; 0 where there is none."""
    import ctypes  # noqa: PLC0415 - a process with such a library has it mostly

    from capably.probe import child  # noqa: PLC0415 - as above

    path = child.mapped_file(part.decode()[1:])
    noload = getattr(os, "RTLD_NOLOAD", None)
    if path is None or noload is None:
        return 0
    library, _ = child.open_library([path], noload | os.RTLD_LAZY)
    asked = getattr(library, function, None)
    if asked is None:
        return 0
    asked.restype = ctypes.c_size_t
    return int(asked())


def _mapped(part: bytes) -> bool:
    """Whether this process has such a file in memory; taken as true where the kernel does not say."""
    try:
        with open("/proc/self/maps", "rb") as maps:  # noqa: PTH123 - pathlib costs 5 ms
            return part in maps.read()
    except OSError:
        return True
