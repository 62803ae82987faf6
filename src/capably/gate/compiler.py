"""The nvcc that is used here, which is not run again while it, its path and the variables that lead to it stay."""

from __future__ import annotations

import os
import shutil

from capably import probe
from capably.facts import Toolkit, ToolkitKind

__all__ = ["nvcc_here", "ptxas_here"]

_LEADING = (
    "CAPABLY_SYSTEM", "PATH", "CUDACXX", "CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX", "TRITON_PTXAS_PATH",
    "TRITON_PTXAS_BLACKWELL_PATH", "LD_LIBRARY_PATH",
)  # fmt: skip
_known: dict[tuple[object, ...], tuple[Toolkit, ...]] = {}


def nvcc_here() -> Toolkit | None:
    """The nvcc that torch would run, else the first; None where there is none."""
    found = _here(ToolkitKind.NVCC, "nvcc")
    return next((one for one in found if "torch" in one.used_by), found[0] if found else None)


def ptxas_here() -> Toolkit | None:
    """The ptxas that Triton would run; None where none is known."""
    return next((one for one in _here(ToolkitKind.PTXAS, "ptxas") if "triton" in one.used_by), None)


def _here(kind: ToolkitKind, name: str) -> tuple[Toolkit, ...]:
    key = (kind, probe.refreshes, *(os.environ.get(variable) for variable in _LEADING), *_files(name))
    found = _known.get(key)
    if found is None:
        _known.clear()
        found = _known[key] = probe.toolkits(only=kind)
    return found


def _files(name: str) -> tuple[object, ...]:
    """The programs that may be meant, with their times: one that is put there or replaced is another answer."""
    folders = [f"{os.environ.get(variable)}/bin" for variable in ("CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX")]
    named = [os.environ.get(variable) for variable in ("CUDACXX", "TRITON_PTXAS_PATH", "TRITON_PTXAS_BLACKWELL_PATH")]
    paths = [shutil.which(name), *(f"{folder}/{name}" for folder in (*folders, "/usr/local/cuda/bin")), *named]
    return tuple((path, _state(path)) for path in paths if path)


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - of a name, for one call
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
