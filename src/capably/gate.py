"""The gate: what a framework calls instead of a check of its own.

`require` raises where the GPUs do not do, `supports` answers for one of them, `usable` tells those that do. The
device at run time decides; lists in the environment say what somebody wants to be compiled, and never make a
device too old or new enough. An answer holds what decided and what was ignored.

Nothing here initialises CUDA in the calling process. Answers are plain data: they hold after a fork, in
threads, and until a variable changes that decides which devices a process sees.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from capably import probe
from capably.engine import Verdict, judge
from capably.errors import (
    CapablyError,
    DeviceTooOldError,
    DriverError,
    GpuListError,
    HiddenDeviceError,
    IncompatibleError,
    NoDeviceError,
    ToolkitError,
    UndecidedError,
    UnsupportedDeviceError,
)
from capably.facts import Device, Finding, Toolkit, ToolkitKind
from capably.reasons import FINDINGS, Outcome
from capably.requirement import Requirement
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.probe.fleet import Look

__all__ = ["Answer", "Policy", "require", "supports", "usable"]

_OVERRIDE = "CAPABLY_GPUS"
# Lists of what somebody wants to be compiled; named where they were not asked.
_WISHES = ("TORCH_CUDA_ARCH_LIST",)


class Policy(enum.StrEnum):
    """Who decides."""

    DEVICE = "device"  # the devices that this process sees; where there are none, those that CAPABLY_GPUS names
    OVERRIDE = "override"  # those that CAPABLY_GPUS names, also where there are devices


@dataclass(frozen=True, slots=True)
class Answer(Sequence[Device]):
    """Which devices meet a requirement, and how that was found out. As a sequence: those that do.

    Attributes:
        requirement: What was asked.
        policy: Who was to decide.
        decided_by: Who decided: ``the GPUs of this process``, the name of a variable, or ``nothing``.
        verdicts: Of every device that was judged, in order.
        absence: Why no device is visible, where that is so.
        ignored: What was not asked, and why, a sentence each.
        visible_devices: ``CUDA_VISIBLE_DEVICES``, as it was.
    """

    requirement: Requirement
    policy: Policy
    decided_by: str
    verdicts: tuple[Verdict, ...] = ()
    absence: Finding | None = None
    ignored: tuple[str, ...] = ()
    visible_devices: str | None = None

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices that meet it."""
        return tuple(verdict.device for verdict in self.verdicts if verdict.outcome is Outcome.RUNS)

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The verdicts of those that do not, with their reasons."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is Outcome.FAILS)

    @property
    def undecided(self) -> tuple[Verdict, ...]:
        """The verdicts of those of which it is not known."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is Outcome.UNKNOWN)

    @overload
    def __getitem__(self, index: int) -> Device: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Device]: ...
    def __getitem__(self, index: int | slice) -> Device | Sequence[Device]:
        return self.devices[index]

    def __len__(self) -> int:
        return len(self.devices)

    def as_visible_devices(self) -> str:
        """The value of CUDA_VISIBLE_DEVICES with which a process sees these devices only, in this order.

        UUIDs, which mean the same in every process; where one is not known, the entries of the variable as it is,
        or else the numbers.

        Raises:
            ValueError: The devices were named, not found, so that none can be made visible.
        """
        if any(device.assumed for device in self.devices):
            raise ValueError(f"{self.decided_by} names these GPUs; they are not devices of this machine")
        if all(device.uuid for device in self.devices):
            return ",".join(str(device.uuid) for device in self.devices)
        entries = (self.visible_devices or "").split(",")
        numbers = [device.ordinal for device in self.devices if device.ordinal is not None]
        if self.visible_devices and all(number < len(entries) for number in numbers):
            return ",".join(entries[number].strip() for number in numbers)
        return ",".join(map(str, numbers))


def usable(
    requirement: str | Requirement, *, policy: Policy | str = Policy.DEVICE, toolkit: str | None = None
) -> Answer:
    """The devices that meet *requirement*, and the verdicts of the others.

    Args:
        requirement: In the grammar of `capably.requirement`.
        policy: Who decides: ``device`` or ``override``.
        toolkit: CUDA version of the compiler that is to make native code for them; None where none is needed.

    Raises:
        ParseError: *requirement* or *toolkit* is not in its grammar.
        UnknownNameError: *requirement* names a feature that does not exist.
        GpuListError: ``CAPABLY_GPUS`` decides and cannot be read.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.

    >>> import capably
    >>> capably.usable("sm75+").requirement
    Requirement(alternatives=((Comparison(operator='>=', capability=ComputeCapability(major=7, minor=5)),),))
    """
    needed = requirement if isinstance(requirement, Requirement) else Requirement.parse(requirement)
    return _answer(needed, Policy(policy), toolkit)


def require(
    requirement: str | Requirement,
    *,
    feature: str | None = None,
    devices: str | Iterable[int] = "all",
    policy: Policy | str = Policy.DEVICE,
    toolkit: str | None = None,
) -> Answer:
    """Return where the devices meet *requirement*, and raise where they do not.

    Args:
        requirement: In the grammar of `capably.requirement`.
        feature: Who needs it, for the text of the error: ``"FlashInfer"``.
        devices: Which must: ``all`` that this process sees, ``any`` of them, the ``current`` one (torch's, where
            torch has initialised CUDA in this process, else the first), or some by their numbers.
        policy: As for `usable`.
        toolkit: As for `usable`.

    Returns:
        The devices that meet it.

    Raises:
        NoDeviceError: No GPU was found.
        HiddenDeviceError: CUDA_VISIBLE_DEVICES hides all GPUs.
        DriverError: The driver is missing, broken or does not answer.
        DeviceTooOldError: A device falls short because it is too old.
        UnsupportedDeviceError: A device falls short for another reason.
        ToolkitError: The device would do, and the compiler does not.
        UndecidedError: The facts do not tell.
        ValueError: *devices* or *policy* is none of the above.
    """
    answer = usable(requirement, policy=policy, toolkit=toolkit)
    chosen = _chosen(answer, devices if isinstance(devices, str) else tuple(devices))
    good = [verdict for verdict in chosen if verdict.outcome is Outcome.RUNS]
    if good and (devices == "any" or len(good) == len(chosen)):
        return answer
    raise _error(answer, chosen, feature or "", devices == "any")


def supports(requirement: str | Requirement, device: int | Device = 0) -> bool:
    """Whether a device meets *requirement*: True only where that is certain.

    Args:
        requirement: In the grammar of `capably.requirement`.
        device: By CUDA's number in this process, or as `capably.devices` returns it.

    Raises:
        ParseError: *requirement* is not in its grammar.
        UnknownNameError: *requirement* names a feature that does not exist.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
    """
    needed = requirement if isinstance(requirement, Requirement) else Requirement.parse(requirement)
    if isinstance(device, Device):
        return judge(needed, device, probe.look().driver).outcome is Outcome.RUNS
    verdicts = _answer(needed, Policy.DEVICE, None).verdicts
    return 0 <= device < len(verdicts) and verdicts[device].outcome is Outcome.RUNS


# ---------------------------------------------------------------------------------------------------------
# Who decides


def _answer(needed: Requirement, policy: Policy, toolkit: str | None) -> Answer:
    seen = probe.look(thorough=needed.mentions("sms"))
    compiler = _compiler(needed, toolkit)
    installed = _installed(needed)
    named = os.environ.get(_OVERRIDE)
    ignored = [
        f"{name}={os.environ[name]}: it says what to compile, not what is here"
        for name in _WISHES
        if os.environ.get(name)
    ]
    if named and (policy is Policy.OVERRIDE or not seen.devices):
        devices, driver, decided_by = _named(needed, named), seen.driver, _OVERRIDE
        if seen.devices:
            ignored.insert(0, f"the {len(seen.devices)} GPUs of this process: the policy is `{policy}`")
    else:
        devices, driver = seen.devices, seen.driver
        decided_by = "the GPUs of this process" if devices else "nothing"
        if named:
            ignored.insert(0, f"{_OVERRIDE}={named}: GPUs are here, and the policy is `{policy}`")
    return Answer(
        needed,
        policy,
        decided_by,
        tuple(judge(needed, device, driver, toolkit=compiler, installed=installed) for device in devices),
        _absence(seen),
        tuple(ignored),
        seen.visibility.visible_devices,
    )


def _absence(seen: Look) -> Finding | None:
    return next((finding for finding in seen.findings if finding.code == seen.absence), None)


def _named(needed: Requirement, text: str) -> tuple[Device, ...]:
    """The devices that ``CAPABLY_GPUS`` names."""
    from capably.naming import named_devices  # noqa: PLC0415 - rarely needed

    try:
        return named_devices([text])
    except CapablyError as error:
        problem = f"{_OVERRIDE} cannot be read: {str(error).splitlines()[0]}"
        way_out = f'Name GPUs or their compute capabilities, such as {_OVERRIDE}="sm_90,RTX 4090".'
        raise GpuListError("", str(needed), problem, (), way_out) from error


def _compiler(needed: Requirement, toolkit: str | None) -> Toolkit | None:
    if toolkit is not None:
        return Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit))
    if not needed.mentions("toolkit"):
        return None
    found = [one for one in probe.system(thorough=False).toolkits if one.kind is ToolkitKind.NVCC]
    return next((one for one in found if "torch" in one.used_by), found[0] if found else None)


def _installed(needed: Requirement) -> tuple[tuple[str, str], ...] | None:
    if not needed.mentions("installed"):
        return None
    from importlib import metadata  # noqa: PLC0415 - rarely needed

    found = {}
    for name in needed.distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return tuple(sorted(found.items()))


# ---------------------------------------------------------------------------------------------------------
# Which devices are meant, and what is wrong with them


def _chosen(answer: Answer, devices: str | tuple[int, ...]) -> tuple[Verdict, ...]:
    verdicts = answer.verdicts
    if devices in ("all", "any"):
        return verdicts
    if devices == "current":
        return verdicts[(current := _current()) : current + 1]
    if isinstance(devices, str):
        raise ValueError(  # noqa: TRY004 - a text is the right type
            f"devices is {devices!r}: `all`, `any`, `current` or numbers are meant"
        )
    missing = [number for number in devices if not 0 <= number < len(verdicts)]
    if verdicts and missing:
        raise ValueError(f"there is no GPU {missing[0]}: this process sees {len(verdicts)}")
    return tuple(verdicts[number] for number in devices) if verdicts else ()


def _current() -> int:
    """Torch's current device, where torch is imported and has initialised CUDA here; else the first."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return int(cuda.current_device()) if cuda is not None and cuda.is_initialized() else 0


_OF_DRIVER = frozenset(
    {
        "no-driver",
        "driver-library-missing",
        "driver-failed",
        "driver-library-mismatch",
        "forward-compat-unsupported",
        "probe-timed-out",
        "probe-crashed",
        "probe-failed",
    }
)
_OF_TOOLKIT = frozenset({"toolkit-cannot-emit", "toolkit-undecided"})


def _error(answer: Answer, chosen: tuple[Verdict, ...], feature: str, any_would_do: bool) -> IncompatibleError:
    needed = str(answer.requirement)
    notes = (f"Decided by: {answer.decided_by}.", *(f"Ignored: {text}." for text in answer.ignored))
    if not chosen:
        return _absent(answer, feature, needed, notes)
    lines = tuple(_line(number, verdict) for number, verdict in enumerate(answer.verdicts) if verdict in chosen)
    failed = [verdict for verdict in chosen if verdict.outcome is not Outcome.RUNS]
    refused = [verdict for verdict in failed if verdict.outcome is Outcome.FAILS]
    which = "GPU" if answer.decided_by == "the GPUs of this process" else "GPU that it names"
    number = (
        f"none of the {len(chosen)} {which}s"
        if any_would_do or len(failed) == len(chosen)
        else f"{len(failed)} of {len(chosen)} {which}s"
    )
    if not refused:
        way_out = _way_out(failed, answer)
        return UndecidedError(feature, needed, "whether that holds is not known", (*lines, *notes), way_out, answer)
    verb = "does" if number.startswith("none") else "do not" if len(failed) > 1 else "does not"
    problem = f"{number} {verb}" if len(chosen) > 1 else "the GPU does not"
    kind: type[IncompatibleError] = UnsupportedDeviceError
    decisive = [reason.code for verdict in refused for reason in verdict.reasons if reason.outcome is Outcome.FAILS]
    if all(code == "device-too-old" for code in decisive):
        kind, problem = DeviceTooOldError, problem.replace("the GPU does not", "the GPU is too old")
    elif all(code in _OF_TOOLKIT for code in decisive):
        text = "the GPUs would do" if len(chosen) > 1 else "the GPU would do"
        return ToolkitError(
            feature, needed, f"{text}, the compiler does not", (*lines, *notes), _way_out(failed, answer), answer
        )
    return kind(feature, needed, problem, (*lines, *notes), _way_out(failed, answer), answer)


def _absent(answer: Answer, feature: str, needed: str, notes: tuple[str, ...]) -> IncompatibleError:
    if answer.absence is None:
        return NoDeviceError(feature, needed, "no GPU was found", notes, "", answer)
    page = FINDINGS[answer.absence.code]
    code = answer.absence.code
    kind: type[IncompatibleError]
    if code == "hidden-by-environment":
        kind, problem = HiddenDeviceError, f"no GPU is visible: {answer.absence.message}"
    elif code in _OF_DRIVER:
        kind, problem = DriverError, f"the driver cannot be used: {answer.absence.message}"
    elif code == "platform-not-probed":
        kind, problem = UndecidedError, answer.absence.message
    else:
        kind, problem = NoDeviceError, f"no GPU was found: {answer.absence.message}"
    return kind(feature, needed, problem, notes, page.way_out, answer)


def _line(number: int, verdict: Verdict) -> str:
    device = verdict.device
    name = f"{device.name} ({device.capability})" if device.name else f"compute capability {device.capability}"
    if verdict.outcome is Outcome.RUNS:
        return f"GPU {number}, {name}: does"
    reasons = [reason.message for reason in verdict.reasons if reason.outcome is verdict.outcome]
    return f"GPU {number}, {name}: {'; '.join(dict.fromkeys(reasons))}"


def _way_out(failed: list[Verdict], answer: Answer) -> str:
    if answer.devices and not any(device.assumed for device in answer.devices):
        return f"Leave the GPUs that do: CUDA_VISIBLE_DEVICES={answer.as_visible_devices()}"
    texts = (reason.way_out for verdict in failed for reason in verdict.reasons if reason.outcome is verdict.outcome)
    return next((text for text in texts if text), "")
