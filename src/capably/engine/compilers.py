"""Whether a compiler emits a target: the one place that says so, for every reader of verdicts.

A compiler that was asked is taken at its word; of another the tables say what its CUDA version emits. Whether code that
it makes runs on a device is another question, which `judge` answers.
"""

from __future__ import annotations

from capably.arch import ComputeCapability, Target
from capably.tables import tables
from capably.version import CudaVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts import Toolkit

__all__ = ["emits", "emits_own_target", "targets_of_compiler"]


def targets_of_compiler(compiler: Toolkit | CudaVersion) -> tuple[Target, ...] | None:
    """What a compiler emits, as machine code; None where that is not known.

    Args:
        compiler: One that was found, or the version of its toolkit. A version between two of the tables emits what
            the older one does.

    >>> from capably.version import CudaVersion
    >>> targets_of_compiler(CudaVersion(99, 9)) is None
    True
    """
    if not isinstance(compiler, CudaVersion) and compiler.targets is not None:
        return tuple(dict.fromkeys(Target(target.capability, target.suffix) for target in compiler.targets))
    cuda = compiler if isinstance(compiler, CudaVersion) else compiler.cuda
    known = tables()
    if cuda is None or cuda > known.cuda_horizon("toolkits"):
        return None
    rows = [row for row in known.toolkits if row.cuda <= cuda]
    return tuple(map(Target.parse, rows[-1].targets)) if rows else None


def emits(compiler: Toolkit | CudaVersion, target: Target) -> bool | None:
    """Whether a compiler knows *target* by that name, as machine code or PTX; None where that is not known.

    >>> from capably.version import CudaVersion
    >>> [emits(CudaVersion(12, minor), Target.parse("compute_100a")) for minor in (6, 8)]
    [False, True]
    """
    found = targets_of_compiler(compiler)
    return None if found is None else Target(target.capability, target.suffix) in found


def emits_own_target(compiler: Toolkit | CudaVersion, capability: ComputeCapability) -> bool | None:
    """Whether a compiler has a target for exactly the devices of *capability*.

    None where that is not known, and where it knows the same hardware by another number only: whether code for one
    runs on what a driver calls the other is not proved.

    >>> from capably.version import CudaVersion
    >>> thor = ComputeCapability.parse("11.0")  # which CUDA 12.9 calls 10.1
    >>> [emits_own_target(CudaVersion(*version), thor) for version in ((12, 6), (12, 9), (13, 0))]
    [False, None, True]
    """
    found = targets_of_compiler(compiler)
    if found is None:
        return None
    numbers = {target.capability for target in found}
    if capability in numbers:
        return True
    return None if any(tables().same_hardware(capability, number) for number in numbers) else False
