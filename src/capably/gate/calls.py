"""What a framework calls: looks at the GPUs, and has the answer decided.

What judges is loaded while the child process that asks the driver starts: it takes as long as that.
"""

from __future__ import annotations

import os
from sys import modules
from warnings import warn

from capably import probe
from capably.errors import DeviceWarning, IncompatibleError
from capably.gate.devices import choice_of, current, number_of
from capably.gate.memo import (
    BARE,
    FLASHINFER_LIST,
    NAMED,
    ORDER,
    REPLAYED,
    TORCH_LIST,
    UNLISTED,
    VARIABLES,
    VISIBLE,
    WARM,
    now,
    remember,
)
from capably.gate.policy import GPUS_HERE, Policy

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from capably.arch import ComputeCapability
    from capably.facts import Device, Toolkit
    from capably.gate.answer import Answer
    from capably.gate.devices import DeviceLike
    from capably.requirement import Requirement

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
    decider = Policy(policy)
    seen = probe.look(
        # That "sms" is in it is enough of a reason: it is read, and refused, when the child is started.
        thorough=thorough or "sms" in str(requirement).lower(),
        meanwhile=lambda: _prepare(requirement, dialect, toolkit),
    )
    from capably.gate import asked, deciding  # noqa: PLC0415 - see above

    needed, given = _prepare(requirement, dialect, toolkit)
    compiler, versions = given or asked.compiler_asked(needed), asked.versions_asked(needed)
    return deciding.decide(needed, decider, seen, os.environ, dialect=dialect, toolkit=compiler, installed=versions)


def _prepare(
    requirement: str | Requirement, dialect: str | None, toolkit: str | None
) -> tuple[Requirement, Toolkit | None]:
    """Read what is asked, refuse what makes no sense on any machine, and load what judges."""
    from capably.engine import judge  # noqa: PLC0415, F401 - it is used by the latter
    from capably.gate import asked, deciding, lists  # noqa: PLC0415, F401 - see above

    needed, given = asked.needed_of(requirement), asked.compiler_given(toolkit)
    if dialect is not None:
        lists.lists_set({}, dialect)  # raises what is wrong with it
    return needed, given


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
        choice = (devices, policy, dialect, toolkit, thorough, dialect and _own_list(dialect))
    try:
        if (
            VISIBLE not in VARIABLES
            and ORDER not in VARIABLES
            and REPLAYED not in VARIABLES
            and NAMED not in VARIABLES
            and TORCH_LIST not in VARIABLES
            and FLASHINFER_LIST not in VARIABLES
        ):
            answer: Answer = UNLISTED[0][choice][requirement]
            return answer
        _, visible, order, replayed, named, torch_list, other_list, known = WARM[0]
        if (
            (VISIBLE not in VARIABLES if visible is None else VARIABLES[VISIBLE] is visible)
            and (ORDER not in VARIABLES if order is None else VARIABLES[ORDER] is order)
            and (REPLAYED not in VARIABLES if replayed is None else VARIABLES[REPLAYED] is replayed)
            and (NAMED not in VARIABLES if named is None else VARIABLES[NAMED] is named)
            and (TORCH_LIST not in VARIABLES if torch_list is None else VARIABLES[TORCH_LIST] is torch_list)
            and (FLASHINFER_LIST not in VARIABLES if other_list is None else VARIABLES[FLASHINFER_LIST] is other_list)
        ):
            kept: Answer = known[choice][requirement]
            return kept
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
        from capably.gate.asked import left_out  # noqa: PLC0415 - see above

        warn(left_out(answer, feature), DeviceWarning, stacklevel=2)
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
    if device is None:
        device = current() if "torch" in modules else 0
    elif device.__class__ is not int:
        device = number_of(device)
    try:
        if (
            thorough is False
            and VISIBLE not in VARIABLES
            and ORDER not in VARIABLES
            and REPLAYED not in VARIABLES
            and NAMED not in VARIABLES
        ):
            met: bool = BARE[0][device][requirement]
            return met
        _, visible, order, replayed, named, _, _, known = WARM[0]
        if (
            thorough is False
            and (VISIBLE not in VARIABLES if visible is None else VARIABLES[VISIBLE] is visible)
            and (ORDER not in VARIABLES if order is None else VARIABLES[ORDER] is order)
            and (REPLAYED not in VARIABLES if replayed is None else VARIABLES[REPLAYED] is replayed)
            and (NAMED not in VARIABLES if named is None else VARIABLES[NAMED] is named)
        ):
            kept: bool = known[device][requirement]
            return kept
    except (KeyError, TypeError):  # as in `require`
        pass
    return _supports(requirement, device, thorough=thorough)


def _own_list(dialect: str) -> object:
    from capably.gate.asked import own_list  # noqa: PLC0415 - see above

    return own_list(dialect)


def _supports(requirement: str | Requirement, device: int | Device | None, *, thorough: bool) -> bool:
    before = now()
    if not isinstance(device, int):
        return _judged(requirement, device, thorough=thorough)
    answer = usable(requirement, thorough=thorough)
    from capably.codes import Outcome  # noqa: PLC0415 - see above

    met = 0 <= device < len(answer.verdicts) and answer.verdicts[device].outcome is Outcome.RUNS
    if answer.lasting and not thorough:
        remember(before, device, requirement, met)
    return met


def _judged(requirement: str | Requirement, device: Device | None, *, thorough: bool) -> bool:
    """Whether a device that is given as a record meets *requirement*; None is no GPU."""
    from capably.codes import Outcome  # noqa: PLC0415 - see above
    from capably.engine import judge  # noqa: PLC0415 - see above
    from capably.gate import asked  # noqa: PLC0415 - see above

    needed = asked.needed_of(requirement)
    if device is None:
        return False
    driver = probe.look(thorough=thorough).driver if needed.mentions("driver", "cuda") else None
    compiler, versions = asked.compiler_asked(needed), asked.versions_asked(needed)
    return judge(needed, device, driver, toolkit=compiler, installed=versions).outcome is Outcome.RUNS


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
