"""The choice of Hugging Face's ``kernels`` between the repositories of a layer: the narrowest interval that holds the GPU.

Theirs keeps the first answer for the whole process; this one follows the device that is asked about.
"""

from __future__ import annotations

import capably

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeVar

    from capably.gate.devices import DeviceLike

    _T = TypeVar("_T")

__all__ = ["find_capability", "find_smallest_interval"]


def find_capability(device: DeviceLike = None) -> int:
    """The compute capability of *device* as a number, ``90``.

    Raises:
        NoDeviceError: No GPU was found; its relatives, as for `capably.require`.
        ValueError: *device* is none of those that are here.
    """
    found = capably.capability(device)
    return found.major * 10 + found.minor


def find_smallest_interval(intervals: Mapping[tuple[int, int], _T], device: DeviceLike = None) -> _T | None:
    """What belongs to the narrowest interval that holds *device*; None where none does.

    Args:
        intervals: By the least and the highest capability, ``(75, 90)``, both included, as ``CUDAProperties`` has them;
            0 and `sys.maxsize` where there is no bound.
        device: As `capably.supports` takes it.
    """
    here = find_capability(device)
    holding = [(most - least, least, most) for least, most in intervals if least <= here <= most]
    if not holding:
        return None
    _, least, most = min(holding)
    return intervals[least, most]
