"""What a framework calls: looks at the GPUs, and has the answer decided."""

from __future__ import annotations

import os
import sys
from sys import modules
from warnings import warn

from capably import probe
from capably.codes import Outcome
from capably.errors import DeviceWarning, IncompatibleError, ParseError
from capably.gate.answer import choice_of
from capably.gate.deciding import decide
from capably.gate.devices import current, number_of
from capably.gate.memo import (
    FLASHINFER_LIST,
    NAMED,
    ORDER,
    REPLAYED,
    TORCH_LIST,
    VARIABLES,
    VISIBLE,
    WARM,
    now,
    remember,
)
from capably.gate.policy import GPUS_HERE, LISTS, Policy
from capably.requirement import LOADED, Requirement

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from capably.arch import ComputeCapability
    from capably.facts import Device, Toolkit
    from capably.gate.answer import Answer
    from capably.gate.devices import DeviceLike

__all__ = ["capability", "require", "supports", "usable"]

_DEVICE = Policy.DEVICE


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
            where that matters: ``flashinfer==0.7.2``. Its variable is read as the tool reads it, and no other is.
            Without it ``TORCH_CUDA_ARCH_LIST`` is read as it is meant, whatever the version of torch.
        toolkit: CUDA version of the compiler that is to make native code for them; None where none is needed.
        thorough: Start CUDA, in a child process, also where NVML leaves no doubt about the GPUs: a driver that fails
            only then is noticed, and it takes longer. Where something casts doubt on the driver this is done anyway.

    Raises:
        ParseError: *requirement*, *toolkit* or the version in *dialect* is not in its grammar, or *requirement* can
            never hold. Like all that is wrong with it, this is raised with a GPU and without.
        TypeError: *requirement* or *toolkit* is no text.
        ValueError: *policy* is none of the above.
        UnknownNameError: *requirement* names a feature, or *dialect* a tool, that is not known.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.

    >>> import capably
    >>> capably.usable("sm75+").requirement
    Requirement(alternatives=((Comparison(operator='>=', capability=ComputeCapability(major=7, minor=5)),),))
    """
    needed, decider = _read(requirement), Policy(policy)
    given = _given(toolkit)
    if dialect is not None:
        from capably.gate.lists import lists_set  # noqa: PLC0415 - rarely needed

        lists_set({}, dialect)  # raises what is wrong with it
    seen = probe.look(thorough=thorough or needed.mentions("sms"), meanwhile=lambda: _check(requirement, needed))
    _check(requirement, needed)
    compiler, installed = given or _compiler(needed), _installed(needed)
    return decide(needed, decider, seen, os.environ, dialect=dialect, toolkit=compiler, installed=installed)


def require(
    requirement: str | Requirement,
    *,
    feature: str | None = None,
    devices: DeviceLike | Iterable[DeviceLike] = "any",
    policy: Policy | str = Policy.DEVICE,
    dialect: str | None = None,
    toolkit: str | None = None,
    thorough: bool = False,
    error: Callable[[str], Exception] | None = None,
) -> Answer:
    """Return where the devices meet *requirement*, and raise where they do not.

    Args:
        requirement: In the grammar of `capably.requirement`.
        feature: Who needs it, for the text of the error: ``"FlashInfer"``.
        devices: Which must: ``any`` that this process sees (the default: one that does is enough, and a
            `DeviceWarning` names each that does not), ``all`` of them, those that are ``listed`` in what is to be built,
            the ``current`` one (torch's, where torch has initialised CUDA in this process, else the first), or one or
            some, as `supports` takes them.
        policy: As for `usable`.
        dialect: As for `usable`.
        toolkit: As for `usable`.
        thorough: As for `usable`.
        error: What to raise in place of an `IncompatibleError`, made of its text: a class of the caller's own. The error
            itself is its cause, and its `code` is handed on.

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
        ParseError: As for `usable`.
        ValueError: *devices* or *policy* is none of the above.
        TypeError: *requirement* or *toolkit* is no text, or *devices* nothing that stands for some.
    """
    if devices.__class__ is not str or devices not in ("any", "all", "listed"):
        devices = choice_of(devices)
    choice: object = devices
    if not (policy is _DEVICE and dialect is None and toolkit is None and thorough is False):
        choice = (devices, policy, dialect, toolkit, thorough, _own_list(dialect))
    refreshes, visible, order, replayed, named, torch_list, other_list, known = WARM[0]
    try:
        if (
            (VISIBLE not in VARIABLES if visible is None else VARIABLES[VISIBLE] is visible)
            and (ORDER not in VARIABLES if order is None else VARIABLES[ORDER] is order)
            and (REPLAYED not in VARIABLES if replayed is None else VARIABLES[REPLAYED] is replayed)
            and (NAMED not in VARIABLES if named is None else VARIABLES[NAMED] is named)
            and (TORCH_LIST not in VARIABLES if torch_list is None else VARIABLES[TORCH_LIST] is torch_list)
            and (FLASHINFER_LIST not in VARIABLES if other_list is None else VARIABLES[FLASHINFER_LIST] is other_list)
            and probe.refreshes == refreshes
        ):
            answer: Answer = known[choice][requirement]
            return answer
    except (KeyError, TypeError):  # a variable is gone, or nothing is known of this; what is no key is refused below
        pass
    before = now()
    try:
        answer = usable(requirement, policy=policy, dialect=dialect, toolkit=toolkit, thorough=thorough).require(
            feature, devices
        )
    except IncompatibleError as refusal:
        if error is None:
            raise
        own = error(str(refusal))
        if not hasattr(own, "code"):
            own.code = refusal.code  # type: ignore[attr-defined]
        raise own from refusal
    if devices == "any" and answer.decided_by == GPUS_HERE and len(answer) < len(answer.verdicts):
        warn(_left_out(answer, feature), DeviceWarning, stacklevel=2)
    if answer.lasting:
        remember(before, choice, requirement, answer)
    return answer


def supports(requirement: str | Requirement, device: DeviceLike = None, *, thorough: bool = False) -> bool:
    """Whether a device meets *requirement*: True only where that is certain.

    Args:
        requirement: In the grammar of `capably.requirement`.
        device: By CUDA's number in this process, as torch names it (``"cuda:1"``, a ``torch.device``), as
            `capably.devices` returns it, or None for the current one: torch's where torch has initialised CUDA in this
            process, else the first. What is no GPU, such as ``"cpu"``, meets nothing.
        thorough: As for `usable`.

    Raises:
        ParseError: *requirement* is not in its grammar, or can never hold.
        UnknownNameError: *requirement* names a feature that does not exist.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
        TypeError: *requirement* is no text, or *device* nothing that stands for one.
        ValueError: *device* is a text, and names none.
    """
    if device.__class__ is not int:
        device = (current() if "torch" in modules else 0) if device is None else number_of(device)
    if thorough is False:
        refreshes, visible, order, replayed, named, _, _, known = WARM[0]
        try:
            if (
                (VISIBLE not in VARIABLES if visible is None else VARIABLES[VISIBLE] is visible)
                and (ORDER not in VARIABLES if order is None else VARIABLES[ORDER] is order)
                and (REPLAYED not in VARIABLES if replayed is None else VARIABLES[REPLAYED] is replayed)
                and (NAMED not in VARIABLES if named is None else VARIABLES[NAMED] is named)
                and probe.refreshes == refreshes
            ):
                return known[device][requirement] is True
        except (KeyError, TypeError):  # as in `require`
            pass
    return _supports(requirement, device, thorough=thorough)


def _supports(requirement: str | Requirement, device: int | Device | None, *, thorough: bool) -> bool:
    before = now()
    if not isinstance(device, int):
        needed = _read(requirement)
        _check(requirement, needed)
        if device is None:  # no GPU
            return False
        from capably.engine import judge  # noqa: PLC0415 - waited for by those who need it

        driver = probe.look(thorough=thorough).driver if needed.mentions("driver", "cuda") else None
        verdict = judge(needed, device, driver, toolkit=_compiler(needed), installed=_installed(needed))
        return verdict.outcome is Outcome.RUNS
    answer = usable(requirement, thorough=thorough)
    met = 0 <= device < len(answer.verdicts) and answer.verdicts[device].outcome is Outcome.RUNS
    if answer.lasting and not thorough:
        remember(before, device, requirement, met)
    return met


def capability(device: DeviceLike = None) -> ComputeCapability:
    """The compute capability of a device of this process, which also is a pair of numbers: ``(9, 0)``.

    Args:
        device: As for `supports`.

    Raises:
        NoDeviceError: No GPU was found; its relatives, as for `require`, where that has another cause.
        ValueError: *device* is a number that no GPU here has, or is no GPU.
        TypeError: *device* is nothing that stands for one.
    """
    number = number_of(device)
    if number is None:
        raise ValueError(f"{device} is no GPU of NVIDIA, and has no compute capability")
    if not isinstance(number, int):
        return number.capability
    found = require(_ANY_GPU, devices=number)
    return found.verdicts[number].device.capability


_ANY_GPU = ">=1.0"


def _left_out(answer: Answer, feature: str | None) -> str:
    """Which of the GPUs here do not qualify, beside one that does."""
    short = [
        line
        for line, verdict in zip(answer.lines, answer.verdicts, strict=False)
        if verdict.outcome is not Outcome.RUNS
    ]
    whose = f"{feature}: " if feature else ""
    do = "do" if len(short) > 1 else "does"
    return "\n  ".join(
        (f"{whose}{len(short)} of {len(answer.verdicts)} GPUs {do} not meet `{answer.requirement}`", *short)
    )


def _own_list(dialect: str | None) -> object:
    """The list of a tool, where it is none of those with which everything that is remembered goes."""
    if dialect is None:
        return None
    from capably.gate.lists import lists_set  # noqa: PLC0415 - rarely needed

    own, _ = lists_set({}, dialect)
    return None if own is None or own in LISTS else os.environ.get(own)


def _read(requirement: str | Requirement) -> Requirement:
    if isinstance(requirement, Requirement):
        return requirement
    if not isinstance(requirement, str):
        raise TypeError(f"the requirement is {requirement!r}: it takes a text, such as '>=7.5'{_meant(requirement)}")
    try:
        return Requirement.parse(requirement)
    except ParseError:
        from capably.wanted import read_requirement  # noqa: PLC0415 - only for the error, which says what was meant

        return read_requirement(requirement)


def _meant(value: object) -> str:
    """What a number in place of a requirement may mean: frameworks compare it in three ways."""
    from capably.arch import ComputeCapability  # noqa: PLC0415 - only for the error

    if isinstance(value, bytes):
        return f"; did you mean {value.decode(errors='replace')!r}?"
    if isinstance(value, list | set | tuple | frozenset) and all(isinstance(one, str) for one in value) and value:
        return f"; did you mean {' | '.join(sorted(value))!r}?"
    try:
        number = round(value * 10) if isinstance(value, float) else value
        found = ComputeCapability.of(number)  # type: ignore[arg-type]
    except (TypeError, ParseError, ValueError, OverflowError):
        return "; did you mean '>=1.0', which any GPU meets?" if value is None else ""
    return f"; did you mean '>={found}', '{found}' (exactly that) or '{found.major}.x'?"


def _check(requirement: str | Requirement, needed: Requirement) -> None:
    """Refuse what makes no sense on any machine. It is read while the child process that asks the driver starts."""
    from capably.wanted import check, read_requirement  # noqa: PLC0415 - it loads what judges

    if isinstance(requirement, str):
        read_requirement(requirement)
    else:
        check(needed)


def _given(toolkit: str | None) -> Toolkit | None:
    if toolkit is None:
        return None
    from capably.facts import Toolkit, ToolkitKind  # noqa: PLC0415 - rarely needed
    from capably.version import CudaVersion  # noqa: PLC0415 - rarely needed

    if not isinstance(toolkit, str):
        raise TypeError(f"toolkit is {toolkit!r}: it takes a text; did you mean '{toolkit}'?")
    try:
        return Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit))
    except ParseError as error:
        digits = "".join(character for character in toolkit if character.isdigit())
        meant = f"{digits[:2]}.{digits[2]}" if len(digits) == 3 else "12.8"
        raise ParseError(
            error.what, toolkit, error.start, error.end, f"{error.expected}; did you mean `{meant}`?"
        ) from None


def _compiler(needed: Requirement) -> Toolkit | None:
    if not needed.mentions("toolkit"):
        return None
    from capably.gate.compiler import nvcc_here  # noqa: PLC0415 - rarely needed

    return nvcc_here()


def _installed(needed: Requirement) -> tuple[tuple[str, str], ...] | None:
    if not needed.mentions("installed", *LOADED):
        return None
    versions: list[tuple[str, str]] = []
    if needed.mentions("installed"):
        from capably.scanner.metadata import installed_versions  # noqa: PLC0415 - rarely needed

        found = installed_versions(needed.distributions, sys.path)
        versions += ((name, version or "(version unknown)") for name, version in found.items())
    if needed.mentions(*LOADED):
        from capably.probe.loaded import loaded_versions  # noqa: PLC0415 - rarely needed

        loaded = loaded_versions()
        if needed.mentions("ptxas") and ("triton" in modules or "torch" in modules):
            from capably.gate.compiler import ptxas_here  # noqa: PLC0415 - rarely needed

            ptxas = ptxas_here()
            loaded |= {"ptxas": str(ptxas.cuda)} if ptxas is not None and ptxas.cuda is not None else {}
        versions += ((f"{name}:", version) for name, version in loaded.items())
    return tuple(sorted(versions))
