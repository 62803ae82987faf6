"""The checks of ``sglang.srt.utils``, which ask torch's current device.

Theirs keep the first answer for the whole process; these follow the current device.
"""

from __future__ import annotations

import functools

import capably
from capably.errors import IncompatibleError
from capably.integrations.checks import built_for

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.gate.devices import DeviceLike

__all__ = [
    "get_device_capability",
    "get_device_sm",
    "is_ampere_with_cuda_12_3",
    "is_blackwell",
    "is_blackwell_supported",
    "is_hopper_with_cuda_12_3",
    "is_sm80_supported",
    "is_sm90_supported",
    "is_sm100_or_sm110_supported",
    "is_sm100_supported",
    "is_sm110_supported",
    "is_sm120",
    "is_sm120_supported",
]


def get_device_capability(device_id: DeviceLike = 0) -> tuple[int, int] | tuple[None, None]:
    """The compute capability of a device; twice None where there is no GPU.

    Raises:
        ValueError: GPUs are here, and *device_id* is none of them.
    """
    try:
        found = capably.capability(device_id)
    except IncompatibleError:
        return None, None
    return found.major, found.minor


def get_device_sm() -> int:
    """The compute capability of the current device as a number, ``90``; 0 where there is no GPU."""
    found = get_device_capability(None)
    return 0 if found[0] is None else found[0] * 10 + found[1]


def _check(requirement: str, cuda: str) -> Callable[[], bool]:
    return functools.partial(built_for, None, (requirement, cuda))


is_ampere_with_cuda_12_3 = _check("8.x", "12.3")
is_hopper_with_cuda_12_3 = is_sm90_supported = _check("9.x", "12.3")
is_blackwell = is_blackwell_supported = _check("{10.x,11.x,12.x}", "12.8")
is_sm80_supported = _check("8.x", "11.0")
is_sm100_supported = _check("10.x", "12.8")
is_sm100_or_sm110_supported = _check("{10.x,11.x}", "12.8")
is_sm110_supported = _check("11.x", "12.8")
is_sm120_supported = _check("12.x", "12.8")


def is_sm120() -> bool:
    """Whether the current device is a 12.0, and no 12.1."""
    return capably.supports("12.0")
