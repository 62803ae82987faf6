"""What a framework calls: looks at the GPUs, and has the answer decided."""

from __future__ import annotations

import os
import sys

from capably import probe
from capably.codes import Outcome
from capably.errors import ParseError
from capably.gate.deciding import decide
from capably.gate.memo import FLASHINFER_LIST, NAMED, ORDER, REPLAYED, TORCH_LIST, VISIBLE, WARM, remember, value_of
from capably.gate.policy import Policy
from capably.requirement import Requirement

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.facts import Device, Toolkit
    from capably.gate.answer import Answer

__all__ = ["require", "supports", "usable"]

_REQUIRED = object()  # beside devices in keys of what is remembered; equal to nothing that a caller can pass


def usable(
    requirement: str | Requirement,
    *,
    policy: Policy | str = Policy.DEVICE,
    dialect: str | None = None,
    toolkit: str | None = None,
    thorough: bool = False,
) -> Answer:
    """The devices that meet *requirement*, and the verdicts of the others.

    Args:
        requirement: In the grammar of `capably.requirement`.
        policy: Who decides: ``device``, ``build-list`` or ``override``.
        dialect: Whose list counts where a list decides, as `capably.archlist` names it, with the version of the tool
            where that matters: ``flashinfer==0.7.2``. Its variable is read as the tool reads it, and goes before
            ``TORCH_CUDA_ARCH_LIST``, which without it is read as it is meant, whatever the version of torch.
        toolkit: CUDA version of the compiler that is to make native code for them; None where none is needed.
        thorough: Start CUDA, in a child process, also where NVML leaves no doubt about the GPUs: a driver that fails
            only then is noticed, and it takes longer.

    Raises:
        ParseError: *requirement*, *toolkit* or the version in *dialect* is not in its grammar.
        TypeError: *requirement* or *toolkit* is no text.
        ValueError: *policy* is none of the above.
        UnknownNameError: *requirement* names a feature, or *dialect* a tool, that is not known.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.

    >>> import capably
    >>> capably.usable("sm75+").requirement
    Requirement(alternatives=((Comparison(operator='>=', capability=ComputeCapability(major=7, minor=5)),),))
    """
    needed, decider = _read(requirement), Policy(policy)
    seen = probe.look(thorough=thorough or needed.mentions("sms"), meanwhile=_load)
    compiler, installed = _compiler(needed, toolkit), _installed(needed)
    return decide(needed, decider, seen, os.environ, dialect=dialect, toolkit=compiler, installed=installed)


def require(
    requirement: str | Requirement,
    *,
    feature: str | None = None,
    devices: str | Iterable[int] | None = None,
    policy: Policy | str = Policy.DEVICE,
    dialect: str | None = None,
    toolkit: str | None = None,
) -> Answer:
    """Return where the devices meet *requirement*, and raise where they do not.

    Args:
        requirement: In the grammar of `capably.requirement`.
        feature: Who needs it, for the text of the error: ``"FlashInfer"``.
        devices: Which must: ``all`` that this process sees (the default), ``any`` of them (the default for the entries
            of a list), the ``current`` one (torch's, where torch has initialised CUDA in this process, else the
            first), or some by their numbers.
        policy: As for `usable`.
        dialect: As for `usable`.
        toolkit: As for `usable`.

    Returns:
        The devices that meet it.

    Raises:
        NoDeviceError: No GPU was found.
        HiddenDeviceError: CUDA_VISIBLE_DEVICES hides all GPUs.
        DriverError: The driver is missing, broken, does not answer, or is of another release than is needed.
        DeviceTooOldError: A device falls short because it is too old.
        UnsupportedDeviceError: A device falls short for another reason.
        ToolkitError: The device would do, and the compiler does not.
        PackageError: The device would do, and the version of an installed distribution does not.
        UndecidedError: The facts do not tell.
        GpuListError: A list decides, and cannot be read or names nothing that will do.
        ValueError: *devices* or *policy* is none of the above.
        TypeError: *requirement* or *toolkit* is no text, or *devices* a single number.
    """
    every = devices is None or (devices.__class__ is str and devices == "all")
    plain = every and policy is Policy.DEVICE and dialect is None and toolkit is None
    values, known = WARM[0]
    now = (
        probe.refreshes,
        value_of(VISIBLE),
        value_of(ORDER),
        value_of(REPLAYED),
        value_of(NAMED),
        value_of(TORCH_LIST),
        value_of(FLASHINFER_LIST),
    )
    if plain and now == values and (found := known.get((requirement, _REQUIRED))) is not None:
        answer: Answer = found
        return answer
    answer = usable(requirement, policy=policy, dialect=dialect, toolkit=toolkit).require(feature, devices)
    if plain and answer.lasting:
        remember(now, (requirement, _REQUIRED), answer)
    return answer


def supports(requirement: str | Requirement, device: int | Device = 0) -> bool:
    """Whether a device meets *requirement*: True only where that is certain.

    Args:
        requirement: In the grammar of `capably.requirement`.
        device: By CUDA's number in this process, or as `capably.devices` returns it.

    Raises:
        ParseError: *requirement* is not in its grammar.
        UnknownNameError: *requirement* names a feature that does not exist.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
        TypeError: *requirement* is no text, or *device* neither a number nor a `Device`.
    """
    values, known = WARM[0]
    now = (
        probe.refreshes,
        value_of(VISIBLE),
        value_of(ORDER),
        value_of(REPLAYED),
        value_of(NAMED),
        value_of(TORCH_LIST),
        value_of(FLASHINFER_LIST),
    )
    if now == values and (found := known.get((requirement, device))) is not None:
        return found is True
    if not isinstance(device, int):
        from capably.engine import judge  # noqa: PLC0415 - see `_load`
        from capably.facts import Device  # noqa: PLC0415 - see `_load`

        if not isinstance(device, Device):
            raise TypeError(
                f"device is {device!r}: it takes a number, such as `tensor.device.index`, or a capably.Device"
            )
        needed = _read(requirement)
        driver = probe.look().driver if needed.mentions("driver", "cuda") else None
        verdict = judge(needed, device, driver, toolkit=_compiler(needed, None), installed=_installed(needed))
        return verdict.outcome is Outcome.RUNS
    answer = usable(requirement)
    met = 0 <= device < len(answer.verdicts) and answer.verdicts[device].outcome is Outcome.RUNS
    if answer.lasting:
        remember(now, (requirement, device), met)
    return met


def _read(requirement: str | Requirement) -> Requirement:
    if isinstance(requirement, Requirement):
        return requirement
    if not isinstance(requirement, str):
        raise TypeError(f"the requirement is {requirement!r}: it takes a text, such as '>=7.5'")
    try:
        return Requirement.parse(requirement)
    except ParseError:
        from capably.gpu_names import read_requirement  # noqa: PLC0415 - only for the error, which names products

        return read_requirement(requirement)


def _load() -> None:
    """Load what judges. It takes as long as the child process that asks the driver, and so costs nothing beside it."""
    import capably.engine  # noqa: F401, PLC0415 - see above


def _compiler(needed: Requirement, toolkit: str | None) -> Toolkit | None:
    if toolkit is None and not needed.mentions("toolkit"):
        return None
    from capably.facts import Toolkit, ToolkitKind  # noqa: PLC0415 - rarely needed
    from capably.version import CudaVersion  # noqa: PLC0415 - rarely needed

    if toolkit is not None:
        if not isinstance(toolkit, str):
            raise TypeError(f"toolkit is {toolkit!r}: it takes a text, such as '12.8'")
        return Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit))
    found = probe.toolkits(only=ToolkitKind.NVCC)
    return next((one for one in found if "torch" in one.used_by), found[0] if found else None)


def _installed(needed: Requirement) -> tuple[tuple[str, str], ...] | None:
    if not needed.mentions("installed"):
        return None
    from capably.scanner.metadata import installed_versions  # noqa: PLC0415 - rarely needed

    found = installed_versions(needed.distributions, sys.path)
    return tuple(sorted((name, version or "(version unknown)") for name, version in found.items()))
