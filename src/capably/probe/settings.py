"""The variables that decide something, and what they say to the driver."""

from __future__ import annotations

from capably.facts import PtxJit

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["VARIABLES", "jit_setting"]

VARIABLES = (
    "BNB_CUDA_VERSION",
    "CMAKE_CUDA_ARCHITECTURES",
    "CONDA_PREFIX",
    "CUDAARCHS",
    "CUDACXX",
    "CUDA_CACHE_DISABLE",
    "CUDA_CACHE_PATH",
    "CUDA_DEVICE_ORDER",
    "CUDA_DISABLE_JIT",
    "CUDA_DISABLE_PTX_JIT",
    "CUDA_FORCE_JIT",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_HOME",
    "CUDA_MODULE_LOADING",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUPY_NVCC_GENERATE_CODE",
    "FLASHINFER_CUDA_ARCH_LIST",
    "FLASH_ATTN_CUDA_ARCHS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_REQUIRE_CUDA",
    "NVIDIA_VISIBLE_DEVICES",
    "PYTORCH_NVML_BASED_CUDA_CHECK",
    "TORCH_CUDA_ARCH_LIST",
    "TRITON_LIBCUDA_PATH",
    "TRITON_OVERRIDE_ARCH",
    "TRITON_PTXAS_BLACKWELL_PATH",
    "TRITON_PTXAS_PATH",
    "VIRTUAL_ENV",
    "XLA_FLAGS",
)
"""The variables that a record holds, where they are set."""


def jit_setting(environ: Mapping[str, str]) -> PtxJit:
    """What the variables tell the driver about compiling PTX.

    ``CUDA_DISABLE_JIT`` and ``CUDA_FORCE_JIT`` are the newer names.
    """

    def on(*names: str) -> bool:
        return any(environ.get(name, "").strip() == "1" for name in names)

    if on("CUDA_DISABLE_PTX_JIT", "CUDA_DISABLE_JIT"):
        return PtxJit.DISABLED
    return PtxJit.FORCED if on("CUDA_FORCE_PTX_JIT", "CUDA_FORCE_JIT") else PtxJit.ALLOWED
