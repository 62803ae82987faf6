"""The checks of ``vllm.platforms.Platform``, for CUDA: a platform that inherits from `CapabilityChecks` first has them.

``class NvmlCudaPlatform(CapabilityChecks, CudaPlatformBase)``. A device is meant by CUDA's number, where vLLM's own takes
NVML's order unless ``CUDA_DEVICE_ORDER`` makes the two one.
"""

from __future__ import annotations

from typing import NamedTuple

import capably
from capably.errors import IncompatibleError
from capably.integrations.checks import at_least, exactly, major

__all__ = ["CapabilityChecks", "DeviceCapability"]


class DeviceCapability(NamedTuple):
    """A compute capability as vLLM has it: a pair of numbers."""

    major: int
    minor: int

    def as_version_str(self) -> str:
        """``9.0``."""
        return f"{self.major}.{self.minor}"

    def to_int(self) -> int:
        """``90``."""
        return self.major * 10 + self.minor


class CapabilityChecks:
    """What a platform says of the capabilities of its devices."""

    @classmethod
    def get_device_capability(cls, device_id: int = 0) -> DeviceCapability | None:
        """The compute capability of a device; None where there is no GPU.

        Raises:
            ValueError: GPUs are here, and *device_id* is none of them.
        """
        try:
            return DeviceCapability(*capably.capability(device_id))
        except IncompatibleError:
            return None

    @classmethod
    def has_device_capability(cls, capability: tuple[int, int] | int, device_id: int = 0) -> bool:
        """Whether a device has *capability* or a higher one."""
        return capably.supports(at_least(capability), device_id)

    @classmethod
    def is_device_capability(cls, capability: tuple[int, int] | int, device_id: int = 0) -> bool:
        """Whether a device has exactly *capability*."""
        return capably.supports(exactly(capability), device_id)

    @classmethod
    def is_device_capability_family(cls, capability: int, device_id: int = 0) -> bool:
        """Whether a device is of the major version of *capability*: of ``100``, any 10.x."""
        return capably.supports(major(capability), device_id)
