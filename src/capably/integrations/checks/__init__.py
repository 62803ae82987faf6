"""The checks of frameworks by their own names and signatures, one module each: an import replaces theirs.

They ask `capably.supports` and `capably.capability`, so that nothing here initialises CUDA, a change of
``CUDA_VISIBLE_DEVICES`` and a fork are noticed, and no answer is kept that the first caller's device gave. What each
asks is what its original asks, written as a requirement. Torch is not imported: the CUDA version that it was built with
is read where it is loaded, and no check that needs it holds where it is not.
"""

from __future__ import annotations

import functools
import sys

import capably
from capably.gate.devices import number_of

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.gate.devices import DeviceLike

__all__ = ["at_least", "built_for", "exactly", "major"]


def built_for(device: DeviceLike, *needs: tuple[str, str]) -> bool:
    """Whether one of *needs* is met: a requirement of the device, and the oldest CUDA version that torch is built with."""
    return any(_torch_since(version) and capably.supports(requirement, device) for requirement, version in needs)


def _torch_since(version: str) -> bool:
    cuda = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None)
    return isinstance(cuda, str) and _since(cuda, version)


@functools.cache
def _since(cuda: str, version: str) -> bool:
    from capably.version import CudaVersion  # noqa: PLC0415 - for the first answer only

    return CudaVersion.parse(cuda) >= CudaVersion.parse(version)


@functools.lru_cache(maxsize=256)
def at_least(capability: int | tuple[int, int]) -> str:
    """The requirement of a capability or a higher one, as frameworks pass it: ``90``, ``(9, 0)``."""
    return str(capably.Requirement.at_least(capability))


@functools.lru_cache(maxsize=256)
def exactly(capability: int | tuple[int, int]) -> str:
    """The requirement of exactly this capability."""
    return str(capably.Requirement.exactly(capability))


@functools.lru_cache(maxsize=256)
def major(capability: int) -> str:
    """The requirement of the major version of *capability*: of ``100``, any ``10.x``."""
    return str(capably.Requirement.major(capability // 10))


def of_cuda(device: DeviceLike) -> DeviceLike:
    """*device*.

    Raises:
        ValueError: It is no GPU.
    """
    if number_of(device) is None:
        raise ValueError("device must be a cuda device")
    return device
