"""The checks of ``flashinfer.utils``.

In place of their definitions there::

    from capably.integrations.checks.flashinfer import (
        device_support_pdl, get_compute_capability, is_sm90a_supported, is_sm100a_supported, ...
    )
"""

from __future__ import annotations

import capably
from capably.integrations.checks import built_for, of_cuda

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.gate.devices import DeviceLike

__all__ = [
    "device_support_pdl",
    "get_compute_capability",
    "is_sm12x_supported",
    "is_sm90a_supported",
    "is_sm100a_supported",
    "is_sm100f_supported",
    "is_sm110a_supported",
    "is_sm120a_supported",
    "is_sm120f_supported",
    "is_sm121a_supported",
]


def get_compute_capability(device: DeviceLike) -> tuple[int, int]:
    """The compute capability of *device*.

    Raises:
        ValueError: It is no GPU, or none that is here.
        NoDeviceError: No GPU was found; its relatives, as for `capably.require`.
    """
    found = capably.capability(of_cuda(device))
    return found.major, found.minor


def is_sm90a_supported(device: DeviceLike) -> bool:
    """Whether *device* is of Hopper, and torch's CUDA has ``sm_90a`` as FlashInfer needs it."""
    return built_for(of_cuda(device), ("9.x", "12.3"))


def is_sm100a_supported(device: DeviceLike) -> bool:
    """Whether *device* is a 10.x, and torch's CUDA has it."""
    return built_for(of_cuda(device), ("10.x", "12.8"))


def is_sm100f_supported(device: DeviceLike) -> bool:
    """Whether *device* is a 10.x, and torch's CUDA has targets of families."""
    return built_for(of_cuda(device), ("10.x", "12.9"))


def is_sm110a_supported(device: DeviceLike) -> bool:
    """Whether *device* is an 11.x, and torch's CUDA has it by that number."""
    return built_for(of_cuda(device), ("11.x", "13.0"))


def is_sm120a_supported(device: DeviceLike) -> bool:
    """Whether *device* is a 12.0, and torch's CUDA has it."""
    return built_for(of_cuda(device), ("12.0", "12.8"))


def is_sm120f_supported(device: DeviceLike) -> bool:
    """Whether *device* is a 12.x, and torch's CUDA has targets of families."""
    return built_for(of_cuda(device), ("12.x", "12.9"))


def is_sm121a_supported(device: DeviceLike) -> bool:
    """Whether *device* is a 12.1, and torch's CUDA has it."""
    return built_for(of_cuda(device), ("12.1", "12.9"))


def is_sm12x_supported(device: DeviceLike) -> bool:
    """Whether *device* is a 12.x, and torch's CUDA has it."""
    return built_for(of_cuda(device), ("12.0", "12.8"), ("12.x", "12.9"))


def device_support_pdl(device: DeviceLike) -> bool:
    """Whether kernels of *device* can be launched before those that they depend on end; false of what is no GPU."""
    return capably.supports("pdl", device)
