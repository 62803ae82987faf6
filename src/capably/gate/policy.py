"""Who decides, and by which variables."""

from __future__ import annotations

from capably.compat import StrEnum

__all__ = ["BROKEN", "GPUS_HERE", "LISTS", "OVERRIDE", "TORCH_LIST", "UNTOLD", "Policy"]

OVERRIDE = "CAPABLY_GPUS"
TORCH_LIST = "TORCH_CUDA_ARCH_LIST"
# Lists of what somebody wants to be compiled.
LISTS = (TORCH_LIST, "FLASHINFER_CUDA_ARCH_LIST")
GPUS_HERE = "the GPUs of this process"


# Causes of an absence of which it is certain that a driver, and so probably a GPU, is there and fails.
BROKEN = frozenset(
    ("driver-failed", "driver-library-mismatch", "forward-compat-unsupported", "probe-timed-out", "probe-crashed")
)


# Causes of an absence that tell nothing: the driver may be all right.
UNTOLD = frozenset(("probe-timed-out", "probe-failed"))


class Policy(StrEnum):
    """Who decides."""

    DEVICE = "device"  # the devices that this process sees; where no GPU is, those that CAPABLY_GPUS names
    BUILD_LIST = "build-list"  # the list of what is to be compiled, leniently: one entry that will do is enough
    OVERRIDE = "override"  # what CAPABLY_GPUS names, or else the tool's own list, also where there are devices

    @classmethod
    def _missing_(cls, value: object) -> Policy | None:
        import difflib  # noqa: PLC0415 - for mistakes only

        known = ", ".join(f"`{policy}`" for policy in cls)
        close = difflib.get_close_matches(str(value).lower().replace("_", "-"), [*cls], n=1, cutoff=0.4)
        meant = f"; did you mean `{close[0]}`?" if close else "; did you mean `device`, the default?"
        raise ValueError(f"policy is {value!r}: it takes one of {known}{meant}")
