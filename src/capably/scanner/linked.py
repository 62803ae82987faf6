"""The CUDA runtime that is linked into a library, as nvcc does unless it is told otherwise.

Nothing names such a runtime as needed. It leaves the texts of its errors, and the names that its calls have for
profilers: some came with a major version, and some went with one.

Source: libcudart_static.a of CUDA 12.9.79, 13.0.96 and 13.5.37, linked without symbols, and libcudart.so of 11.8.89,
12.0.146 to 12.9.79, 13.0.96 and 13.5.37; the same texts are in xgboost 3.2.0, cupy-cuda12x 14.2.0 and warp-lang 1.10.1
(12), and in nvidia-curand 10.4.0.35, nvidia-cusolver 12.0.4.66 and cuda-bindings 13.0.3 (13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.scanner.layout import Region
    from capably.scanner.limits import Budget
    from capably.scanner.source import Source

__all__ = ["linked_runtime"]

_CONSTANTS = (".rodata", ".rdata")  # of ELF and of PE
_RUNTIME = b"\0CUDA driver version is insufficient for CUDA runtime version\0"
_MAJORS = {b"\0cudaGetDeviceProperties_v2\0": 12, b"\0cudaLogsRegisterCallback\0": 13}
_OVERLAP = 64
_STEP = 1 << 20


def linked_runtime(source: Source, regions: Iterable[Region], budget: Budget) -> int | None:
    """The major version of the CUDA runtime that is linked into a file, the newest known one for any later one.

    None where there is no runtime, where it is older than 12, or where there are several.

    Args:
        source: The file, from its beginning.
        regions: Its sections.
        budget: What may be spent.
    """
    wanted = (_RUNTIME, *_MAJORS)
    found: set[bytes] = set()
    for region in regions:
        if region.section not in _CONSTANTS:
            continue
        position, window = region.start, b""
        while piece := source.read(position, min(_STEP, region.end - position)):
            budget.check_time()
            window = window[-_OVERLAP:] + piece
            found.update(text for text in wanted if text not in found and text in window)
            position += len(piece)
    majors = {_MAJORS[text] for text in found if text != _RUNTIME}
    return majors.pop() if _RUNTIME in found and len(majors) == 1 else None
