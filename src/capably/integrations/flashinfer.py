"""FlashInfer: compile for the GPUs that are here, check them one by one, and pass over prebuilt code for others.

In a program, before FlashInfer is imported::

    from capably.integrations import flashinfer as for_flashinfer
    print(for_flashinfer.configure())
    import flashinfer

In FlashInfer itself, `check_cuda_arch` and `usable_prebuilt` can stand for its own checks.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.archlist import VARIABLES, applying
from capably.codes import Outcome
from capably.engine import Coverage, Verdict, judge
from capably.errors import CapablyError
from capably.escaping import escaped
from capably.integrations import configuring
from capably.list_output import deciding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from capably.facts import Artifact, Device
    from capably.gate import Answer
    from capably.gate.devices import DeviceLike

__all__ = ["Prebuilt", "check_cuda_arch", "configure", "guard_prebuilt", "prebuilt", "usable_prebuilt"]


def configure(environ: MutableMapping[str, str] | None = None) -> configuring.Configured:
    """Set the variable by which the installed FlashInfer compiles for exactly the GPUs here that it can serve.

    That is ``FLASHINFER_CUDA_ARCH_LIST``, and ``TORCH_CUDA_ARCH_LIST`` for versions that leave the list to torch
    (0.2). FlashInfer reads it when it is imported, so this comes before. Without a GPU nothing is changed, and the
    answer says why none is visible.

    Args:
        environ: Where to set it; by default in this process.

    Raises:
        GpuListError: ``CAPABLY_GPUS`` decides, since there is no GPU, and cannot be read.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
    """
    return configuring.configure("flashinfer", environ)


def check_cuda_arch(devices: DeviceLike | Iterable[DeviceLike] = "any") -> Answer:
    """What FlashInfer's function of this name is for: return where GPUs do, and raise what is really wrong where not.

    The GPUs of this process decide, each for itself. Where none is, ``CAPABLY_GPUS`` does, and then the list of what is
    to be built, ``FLASHINFER_CUDA_ARCH_LIST``, so that a build needs no GPU; where one is whose driver fails, neither
    does. CUDA is started in a child process, and not initialised in this one.

    Args:
        devices: Which must do, as for `capably.require`.

    Returns:
        The devices that do; ``refused`` has the others.

    Raises:
        NoDeviceError: No GPU was found.
        HiddenDeviceError: CUDA_VISIBLE_DEVICES hides all GPUs.
        DriverError: The driver is missing, broken or does not answer.
        DeviceTooOldError: The GPUs are too old.
        GpuListError: There is no GPU, and the list in its place cannot be read or names nothing that does.
    """
    from capably import gate, probe  # noqa: PLC0415 - importing a plugin looks at nothing

    version = configuring.installed_version("flashinfer")
    reads = deciding("flashinfer", version) == "flashinfer"  # 0.2 does not read its own list, which tells nothing then
    listed = reads and os.environ.get(VARIABLES["flashinfer"]) and not os.environ.get("CAPABLY_GPUS")
    seen = probe.look(thorough=True)
    build = listed and not seen.devices and seen.absence not in gate.BROKEN
    policy = gate.Policy.BUILD_LIST if build else gate.Policy.DEVICE
    dialect = f"flashinfer=={version}" if version else "flashinfer"
    return gate.require(
        _needed(version), feature="FlashInfer", devices=devices, policy=policy, dialect=dialect, thorough=True
    )


def _needed(version: str | None) -> str:
    """What a version of FlashInfer asks of a GPU, by its own check."""
    return applying("flashinfer", version).requires or ">=1.0"


# ---------------------------------------------------------------------------------------------------------
# Prebuilt modules


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """Whether a prebuilt library serves the GPUs that it would be loaded for.

    Attributes:
        path: The library.
        verdicts: Of its code, one for each GPU.
        problem: Why it cannot be read; empty where it was.
    """

    path: str
    verdicts: tuple[Verdict, ...] = ()
    problem: str = ""

    @property
    def serves(self) -> bool | None:
        """Whether every fatbin has code for every GPU; None where that is not known.

        A library without any GPU code serves every GPU.
        """
        if self.problem or not self.verdicts:
            return None
        found = {verdict.coverage for verdict in self.verdicts}
        if found & {Coverage.NONE, Coverage.PARTIAL}:
            return False
        return None if Coverage.UNKNOWN in found else True

    def __str__(self) -> str:
        if self.problem or not self.verdicts:
            lines = [f"{self.path}: cannot tell: {self.problem or 'there is no GPU to judge it for'}"]
        else:
            lines = [f"{self.path}: {_line(verdict)}" for verdict in self.verdicts]
        return "\n".join(map(escaped, lines))


def _line(verdict: Verdict) -> str:
    name = f"{verdict.device.name or 'GPU'} ({verdict.device.capability})"
    if verdict.coverage is None:
        return f"has no GPU code that {name} could lack"
    if verdict.coverage is Coverage.FULL:
        return f"serves {name}"
    wanted = Outcome.UNKNOWN if verdict.coverage is Coverage.UNKNOWN else Outcome.FAILS
    why = "; ".join(dict.fromkeys(reason.message for reason in verdict.reasons if reason.outcome is wanted))
    told = {Coverage.NONE: "has nothing for", Coverage.PARTIAL: "lacks some kernels for"}
    return f"{told.get(verdict.coverage, 'is unknown on')} {name}: {why}"


def prebuilt(path: str | os.PathLike[str], devices: Iterable[Device] | None = None) -> Prebuilt:
    """What the GPU code of a library, which is read and not loaded, is worth on some GPUs.

    Args:
        path: The library. A file that is as it was at the last call is not read again.
        devices: Which GPUs; by default those of this process that FlashInfer serves.

    Raises:
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
    """
    from capably import gate, probe  # noqa: PLC0415 - importing a plugin looks at nothing

    name = os.fspath(path)
    chosen = (
        gate.usable(_needed(configuring.installed_version("flashinfer"))).devices if devices is None else tuple(devices)
    )
    try:
        now = os.stat(name)  # noqa: PTH116 - of a name, for one call
        artifact = _scanned(name, now.st_size, now.st_mtime_ns)
    except OSError as error:
        return Prebuilt(name, problem=error.strerror or str(error))
    except CapablyError as error:
        return Prebuilt(name, problem=str(error).splitlines()[0])
    driver = probe.look().driver
    return Prebuilt(name, tuple(judge(artifact, device, driver) for device in chosen))


@functools.lru_cache(maxsize=1024)
def _scanned(path: str, _size: int, _modified_ns: int) -> Artifact:
    from capably.scanner import scan  # noqa: PLC0415 - as above

    return scan(path)


def usable_prebuilt(path: str | os.PathLike[str], devices: Iterable[Device] | None = None) -> bool:
    """Whether a prebuilt library may be loaded in place of compiling one: only where it certainly serves the GPUs.

    A library without code for a GPU loads without complaint, and its kernels fail at the first launch. So it counts
    as if it were not there, and so does one that is damaged.

    Args:
        path: As for `prebuilt`.
        devices: As for `prebuilt`.
    """
    return prebuilt(path, devices).serves is True


def guard_prebuilt() -> None:
    """Make the FlashInfer that is imported pass over prebuilt modules that do not serve the GPUs here.

    It then compiles them, as if they were not installed. FlashInfer from 0.7 on has the place for this,
    ``flashinfer.jit.env.get_aot_artifacts``, which is replaced in this process.

    Raises:
        RuntimeError: FlashInfer is not imported, or this version has no such place.
    """
    env = sys.modules.get("flashinfer.jit.env")
    if env is None:
        raise RuntimeError("import flashinfer first: there is nothing to guard yet")
    found: Callable[[str], tuple[object, ...]] | None = getattr(env, "get_aot_artifacts", None)
    if found is None:
        raise RuntimeError("this FlashInfer chooses prebuilt modules in another way; nothing was changed")
    if getattr(found, "guarded_by_capably", False):
        return

    @functools.wraps(found)
    def usable_artifacts(name: str) -> tuple[object, ...]:
        return tuple(one for one in found(name) if _serves_one(one))

    usable_artifacts.guarded_by_capably = True  # type: ignore[attr-defined]
    env.get_aot_artifacts = usable_artifacts  # type: ignore[attr-defined]


def _serves_one(artifact: object) -> bool:
    """Whether it may stay: for every GPU where it is for all of them, else for one.

    Where FlashInfer knows what a provider's modules are for, it chooses among them by the GPU of each call.
    """
    found = prebuilt(getattr(artifact, "path"))  # noqa: B009 - FlashInfer's record, of which two fields are used
    if getattr(artifact, "cuda_architectures", None) is None:
        return found.serves is True
    return any(verdict.coverage in (None, Coverage.FULL) for verdict in found.verdicts)
