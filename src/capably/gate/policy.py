"""Who decides, and by which variables."""

from __future__ import annotations

from capably.compat import StrEnum

__all__ = ["GPUS_HERE", "LISTS", "OVERRIDE", "TORCH_LIST", "Policy"]

OVERRIDE = "CAPABLY_GPUS"
TORCH_LIST = "TORCH_CUDA_ARCH_LIST"
# Lists of what somebody wants to be compiled.
LISTS = (TORCH_LIST, "FLASHINFER_CUDA_ARCH_LIST")
GPUS_HERE = "the GPUs of this process"


class Policy(StrEnum):
    """Who decides."""

    DEVICE = "device"  # the devices that this process sees; where there are none, those that CAPABLY_GPUS names
    BUILD_LIST = "build-list"  # the list of what is to be compiled, leniently: one entry that will do is enough
    OVERRIDE = "override"  # what CAPABLY_GPUS names, or else the tool's own list, also where there are devices

    @classmethod
    def _missing_(cls, value: object) -> Policy | None:
        known = ", ".join(f"`{policy}`" for policy in cls)
        raise ValueError(f"policy is {value!r}: it takes one of {known}")
