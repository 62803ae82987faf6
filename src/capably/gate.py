"""The gate: what a framework calls instead of a check of its own.

`require` raises where the GPUs do not do, `supports` answers for one of them, `usable` tells those that do. The
device at run time decides, unless another `Policy` is asked for; lists in the environment say what somebody
wants to be compiled, and never make a device too old or new enough. An answer holds what decided and what was
ignored.

Nothing here initialises CUDA in the calling process. Answers are plain data: they hold after a fork, in
threads, and until a variable changes that decides which devices a process sees. What changes behind all calls
(CUDA initialised under another value of a variable that is put back before the next call) takes
``capably.devices(refresh=True)`` to be noticed.
"""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from capably import probe
from capably.errors import (
    CapablyError,
    DeviceTooOldError,
    DriverError,
    GpuListError,
    HiddenDeviceError,
    IncompatibleError,
    NoDeviceError,
    PackageError,
    ParseError,
    ToolkitError,
    UndecidedError,
    UnsupportedDeviceError,
)
from capably.escaping import escaped
from capably.reasons import FINDINGS, Outcome
from capably.requirement import Requirement

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, overload

    from capably.arch import Target
    from capably.engine import Verdict  # noqa: TC004 - of the fields only, which nobody resolves
    from capably.facts import Device, Driver, Finding, Toolkit  # noqa: TC004 - as above
    from capably.probe.fleet import Look
    from capably.version import CudaVersion

__all__ = ["Answer", "Policy", "decide", "require", "supports", "usable"]

_OVERRIDE = "CAPABLY_GPUS"
_TORCH = "TORCH_CUDA_ARCH_LIST"
# Lists of what somebody wants to be compiled; named where they were not asked.
_WISHES = (_TORCH, "FLASHINFER_CUDA_ARCH_LIST")
_HERE = "the GPUs of this process"


# What is remembered, for callers on a hot path: the values of these variables, and the answers that they go with.
_DECIDING = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CAPABLY_SYSTEM", _OVERRIDE)
_MOST = 4096


def _reader() -> tuple[Callable[[Any], object], tuple[Any, ...]]:
    """How to read a variable, and by which names: `os.environ` takes half a microsecond for each, its dictionary 20 ns."""
    data, encode = getattr(os.environ, "_data", None), getattr(os.environ, "encodekey", None)
    names = (*_DECIDING, *_WISHES)
    return (data.get, tuple(map(encode, names))) if isinstance(data, dict) and encode else (os.environ.get, names)


_value, (_A, _B, _C, _D, _E, _F) = _reader()


def _now() -> tuple[object, ...]:
    """What an answer goes with. Callers on a hot path write it out: a call costs as much again."""
    return (probe.refreshes, _value(_A), _value(_B), _value(_C), _value(_D), _value(_E), _value(_F))


_warm: tuple[tuple[object, ...], dict[object, Any]] = ((), {})


def _forget() -> None:
    global _warm  # noqa: PLW0603 - one name, replaced at once, so that threads see all of it or nothing
    _warm = ((), {})


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # a child may not use the driver that its parent has initialised


def _remember(values: tuple[object, ...], key: object, answer: object) -> None:
    global _warm  # noqa: PLW0603 - as above
    if values != _now():
        return  # another thread has changed a variable meanwhile
    kept, known = _warm
    if kept != values or len(known) >= _MOST:
        known = {}
    known[key] = answer
    _warm = (values, known)


class Policy(enum.StrEnum):
    """Who decides."""

    DEVICE = "device"  # the devices that this process sees; where there are none, those that CAPABLY_GPUS names
    BUILD_LIST = "build-list"  # the list of what is to be compiled, leniently: one entry that will do is enough
    OVERRIDE = "override"  # what CAPABLY_GPUS names, or else the tool's own list, also where there are devices

    @classmethod
    def _missing_(cls, value: object) -> Policy | None:
        known = ", ".join(f"`{policy}`" for policy in cls)
        raise ValueError(f"policy is {value!r}: it takes one of {known}")


@dataclass(frozen=True, slots=True)
class Answer(Sequence["Device"]):
    """Which devices meet a requirement, and how that was found out. As a sequence: those that do.

    Attributes:
        requirement: What was asked.
        policy: Who was to decide.
        decided_by: Who decided: ``the GPUs of this process``, the name of a variable, or ``nothing``.
        verdicts: Of every device that was judged, in order; of a list, of every entry.
        entries: Where a list decided: its entries, beside the verdicts.
        blames: Beside the verdicts, of those that are refused: what stands against them, the ``device``, or, where it
            would do, the ``compiler``, the ``driver`` or the ``packages``. Empty for the others.
        absence: Why no device is visible, where that is so.
        ignored: What was not asked, and why, a sentence each.
        unread: Why what should decide cannot be read, where that is so.
        lists: The variables with lists that are set: name, text, and the dialect to read it in, if one was named.
        visible_devices: ``CUDA_VISIBLE_DEVICES``, as it was.
        lasting: The next call says the same while no variable changes. A compiler, a package or a driver that does not
            answer may be another then.
        own_list: The variable with the list of the tool that was named, where one was.
    """

    requirement: Requirement
    policy: Policy
    decided_by: str
    verdicts: tuple[Verdict, ...] = ()
    entries: tuple[str, ...] = ()
    blames: tuple[str, ...] = ()
    absence: Finding | None = None
    ignored: tuple[str, ...] = ()
    unread: str | None = None
    lists: tuple[tuple[str, str, str | None], ...] = ()
    visible_devices: str | None = None
    lasting: bool = True
    own_list: str | None = None

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

    @property
    def list_error(self) -> str | None:
        """What is wrong with a list that is set, whether it decided or not; None where nothing is."""
        for variable, text, dialect in self.lists:
            try:
                _listed(text, dialect)
            except CapablyError as error:
                return f"{variable}: {str(error).splitlines()[0]}"
        return None

    def require(self, feature: str | None = None, devices: str | Iterable[int] | None = None) -> Answer:
        """This answer, where it is the one that is needed: what `capably.require` does once it has looked.

        Args:
            feature: As for `capably.require`.
            devices: As for `capably.require`.

        Raises:
            IncompatibleError: It is not; as `capably.require` does.
            ValueError: *devices* is no choice.
            TypeError: *devices* is a single number.
        """
        which = ("any" if self.entries else "all") if devices is None else devices
        if isinstance(which, int):
            raise TypeError(_NO_CHOICE.format(which))
        chosen = _chosen(self, which if isinstance(which, str) else tuple(which))
        good = [number for number in chosen if self.verdicts[number].outcome is Outcome.RUNS]
        if good and (which == "any" or len(good) == len(chosen)):
            return self
        raise _error(self, chosen, feature or "", any_will_do=which == "any")

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each that was judged, what decided, and what was ignored; fit to print."""
        lines = (
            *(self._line(number) for number in range(len(self.verdicts))),
            f"Decided by: {self.decided_by}.",
            *(f"Ignored: {text}." for text in self.ignored),
        )
        return tuple(map(escaped, lines))

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _line(self, number: int) -> str:
        verdict = self.verdicts[number]
        device = verdict.device
        name = f"{device.name} ({device.capability})" if device.name else f"compute capability {device.capability}"
        what = f"entry `{self.entries[number]}`" if self.entries else f"GPU {number}, {name}"
        if verdict.outcome is Outcome.RUNS:
            return f"{what}: meets it"
        reasons = [reason.message for reason in verdict.reasons if reason.outcome is verdict.outcome]
        return f"{what}: {'; '.join(dict.fromkeys(reasons))}"

    if TYPE_CHECKING:

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
        or else the numbers. Empty where none meets it: then none is seen.

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
    values, known = _warm
    now = (probe.refreshes, _value(_A), _value(_B), _value(_C), _value(_D), _value(_E), _value(_F))
    if plain and now == values and (found := known.get((requirement, "require"))) is not None:
        answer: Answer = found
        return answer
    answer = usable(requirement, policy=policy, dialect=dialect, toolkit=toolkit).require(feature, devices)
    if plain and answer.lasting:
        _remember(now, (requirement, "require"), answer)
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
    values, known = _warm
    now = (probe.refreshes, _value(_A), _value(_B), _value(_C), _value(_D), _value(_E), _value(_F))
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
        _remember(now, (requirement, device), met)
    return met


# ---------------------------------------------------------------------------------------------------------
# Who decides


def decide(
    needed: Requirement,
    policy: Policy,
    seen: Look,
    environ: Mapping[str, str],
    *,
    dialect: str | None = None,
    toolkit: Toolkit | None = None,
    installed: tuple[tuple[str, str], ...] | None = None,
) -> Answer:
    """The answer for given facts: what `usable` does once it has looked.

    Args:
        needed: What is asked.
        policy: Who is to decide.
        seen: The devices and the driver.
        environ: The variables.
        dialect: As for `usable`.
        toolkit: The compiler, where one is to be judged.
        installed: Names and versions of distributions; None where nobody looked.

    Raises:
        UnknownNameError: *needed* names a feature, or *dialect* a tool, that is not known.
    """
    from capably.engine import judge  # noqa: PLC0415 - see `_load`

    named = environ.get(_OVERRIDE)
    own, lists = _lists(environ, dialect)
    by = _HERE if seen.devices else "nothing"
    if named and (policy is Policy.OVERRIDE or (policy is Policy.DEVICE and not seen.devices)):
        by = _OVERRIDE
    elif lists and (policy is Policy.BUILD_LIST or (policy is Policy.OVERRIDE and lists[0][0] == own)):
        by = lists[0][0]
    elif policy is Policy.BUILD_LIST:
        by = "nothing"
    subjects: tuple[Device | Target, ...] = ()
    entries: tuple[str, ...] = ()
    unread = None
    try:
        if by == _OVERRIDE:
            subjects = _named(named or "")
        elif by == _HERE:
            subjects = seen.devices
        elif by != "nothing":
            targets = _listed(lists[0][1], lists[0][2])
            subjects, entries = targets, tuple(f"{target.capability}{target.suffix}" for target in targets)
    except CapablyError as error:
        unread = str(error).splitlines()[0]
    driver = seen.driver
    verdicts = tuple(judge(needed, one, driver, toolkit=toolkit, installed=installed) for one in subjects)
    return Answer(
        needed,
        policy,
        by,
        verdicts,
        entries,
        tuple(
            _blame(needed, one, driver, toolkit, installed) if verdict.outcome is Outcome.FAILS else ""
            for one, verdict in zip(subjects, verdicts, strict=True)
        ),
        next((finding for finding in seen.findings if finding.code == seen.absence), None),
        (*_ignored(by, policy, named, lists, len(seen.devices)), *_impatient(environ)),
        unread,
        lists,
        seen.visibility.visible_devices,
        seen.lasting and not needed.mentions("toolkit", "installed"),
        own,
    )


def _read(requirement: str | Requirement) -> Requirement:
    if isinstance(requirement, Requirement):
        return requirement
    if not isinstance(requirement, str):
        raise TypeError(f"the requirement is {requirement!r}: it takes a text, such as '>=7.5'")
    try:
        return Requirement.parse(requirement)
    except ParseError:
        from capably.naming import read_requirement  # noqa: PLC0415 - only for the error, which names products

        return read_requirement(requirement)


def _load() -> None:
    """Load what judges. It takes as long as the child process that asks the driver, and so costs nothing beside it."""
    import capably.engine  # noqa: F401, PLC0415 - see above


_BLAMES = (("compiler", ("toolkit",)), ("driver", ("driver", "cuda")), ("packages", ("installed",)))


def _blame(
    needed: Requirement,
    subject: Device | Target,
    driver: Driver | None,
    toolkit: Toolkit | None,
    installed: tuple[tuple[str, str], ...] | None,
) -> str:
    """What stands against a device that is refused: the one thing without which it would not be, or the device."""
    from capably.engine import judge  # noqa: PLC0415 - see `_load`

    every = tuple(one for _, what in _BLAMES for one in what)
    for blame, what in (*_BLAMES, ("driver", every)):
        less, compiler = needed.without(*what), None if "toolkit" in what else toolkit
        if less is None or judge(less, subject, driver, toolkit=compiler, installed=installed).outcome != Outcome.FAILS:
            return blame
    return "device"


def _lists(
    environ: Mapping[str, str], dialect: str | None
) -> tuple[str | None, tuple[tuple[str, str, str | None], ...]]:
    """The variable of *dialect*, and the lists that are set, that one first. An empty one counts as not set."""
    own = None
    if dialect is not None:
        from capably.archlist import VARIABLES  # noqa: PLC0415 - rarely needed
        from capably.spelling import deciding  # noqa: PLC0415 - as above

        name, _, version = dialect.partition("==")
        reads = deciding(name, version or None)
        own, dialect = VARIABLES[reads], dialect if reads == name else None
    names = dict.fromkeys((own or _TORCH, *_WISHES))
    return own, tuple((name, text, dialect if name == own else None) for name in names if (text := environ.get(name)))


def _listed(text: str, dialect: str | None) -> tuple[Target, ...]:
    """What a list asks for, machine code and PTX for the same target once."""
    from capably.arch import Target  # noqa: PLC0415 - rarely needed
    from capably.archlist import entries, read  # noqa: PLC0415 - rarely needed

    if dialect is None:
        return entries(text)
    name, _, version = dialect.partition("==")
    reading = read(text, name, version or None)
    if reading.error is not None:
        problem = reading.error
        raise ParseError(f"list of {name}", text, problem.start, problem.end, f"something else: {problem.message}")
    return tuple(dict.fromkeys(Target(target.capability, target.suffix) for target in reading.targets or ()))


def _ignored(
    by: str, policy: Policy, named: str | None, lists: tuple[tuple[str, str, str | None], ...], devices: int
) -> tuple[str, ...]:
    found = []
    if by != _HERE and devices:
        found.append(f"the {_gpus(devices)} of this process: the policy is `{policy}`")
    if named and by != _OVERRIDE:
        why = "GPUs are here" if by == _HERE else "a list decides"
        found.append(f"{_OVERRIDE}={_shown(named)!r}: {why}, and the policy is `{policy}`")
    for name, text, _ in lists:
        if name != by:
            found.append(f"{name}={_shown(text)!r}: it says what to compile, not what is here")
    return tuple(found)


def _impatient(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where the variable for the probe cannot be read: no reason to take a GPU from anybody, and none to be silent."""
    text = environ.get(probe.PATIENCE)
    if not text or probe.patience(text) is not None:
        return ()
    return (f"{probe.PATIENCE}={_shown(text)!r}: it takes a number of seconds from 0.1 to 3600, such as 20",)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _named(text: str) -> tuple[Device, ...]:
    """The devices that ``CAPABLY_GPUS`` names."""
    from capably.naming import named_devices  # noqa: PLC0415 - rarely needed

    devices = named_devices([text])
    if not devices:
        raise ParseError("list of GPUs", text, 0, len(text), "a GPU by its name or its compute capability")
    return devices


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


_NO_CHOICE = "devices is {}: it takes `all`, `any`, `current` or a list of numbers, such as [0, 1]"


def _gpus(count: int) -> str:
    return f"{count} GPU{'s' if count > 1 else ''}"


def _chosen(answer: Answer, devices: str | tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of the verdicts that count."""
    count = len(answer.verdicts)
    if devices in ("all", "any"):
        return tuple(range(count))
    if devices == "current":
        devices = (_current() if answer.decided_by == _HERE else 0,)
    if isinstance(devices, str) or not devices:
        raise ValueError(_NO_CHOICE.format(repr(devices)))
    missing = [number for number in devices if not 0 <= number < count]
    if count and missing:
        raise ValueError(f"there is no GPU {missing[0]}: this process sees {_gpus(count)}, numbered from 0")
    return tuple(devices) if count else ()


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
    }
)
_OF_BLAME = {"compiler": ToolkitError, "driver": DriverError, "packages": PackageError}
_CALLED = {"compiler": "compiler", "driver": "driver", "packages": "installed packages"}
_TO_BUILD = f'To build where no GPU is, name those that it is for: {_OVERRIDE}="sm_90,RTX 4090".'


def _error(answer: Answer, chosen: tuple[int, ...], feature: str, *, any_will_do: bool) -> IncompatibleError:
    needed = str(answer.requirement)
    if answer.unread is not None:
        problem = f"{answer.decided_by} cannot be read: {answer.unread}"
        example = "sm_90,RTX 4090" if answer.decided_by == _OVERRIDE else "8.0 9.0a"
        way_out = f'Write it so: {answer.decided_by}="{example}".'
        return GpuListError(feature, needed, problem, answer.lines, way_out, answer)
    if not chosen:
        return _absent(answer, feature, needed)
    lines = tuple(line for n, line in enumerate(answer.lines) if n in chosen or n >= len(answer.verdicts))
    refused = [number for number in chosen if answer.verdicts[number].outcome is Outcome.FAILS]
    undecided = [number for number in chosen if answer.verdicts[number].outcome is Outcome.UNKNOWN]
    if undecided and (any_will_do or not refused):  # where any will do, one of which it is not known may
        way_out = _way_out(undecided, chosen, answer)
        return UndecidedError(feature, needed, "whether that holds is not known", lines, way_out, answer)
    way_out = _way_out(refused, chosen, answer)
    several = len(chosen) > 1
    blames = {answer.blames[number] for number in refused}
    if len(blames) == 1 and "device" not in blames:
        blame = blames.pop()
        gpus = "entries" if answer.entries else "GPU"
        do = "do" if blame == "packages" else "does"
        problem = f"the {gpus}{'s' if several and gpus == 'GPU' else ''} would do, the {_CALLED[blame]} {do} not"
        return _OF_BLAME[blame](feature, needed, problem, lines, way_out, answer)
    if answer.entries:
        of_list = f"of {answer.decided_by}"
        problem = (
            _counted(len(refused), len(chosen), f"entries {of_list}") if several else f"the entry {of_list} does not"
        )
        return GpuListError(feature, needed, problem, lines, way_out, answer)
    reasons = [reason for number in refused for reason in answer.verdicts[number].reasons]
    too_old = all(reason.code == "device-too-old" for reason in reasons if reason.outcome is Outcome.FAILS)
    kind = DeviceTooOldError if too_old else UnsupportedDeviceError
    named = "" if answer.decided_by == _HERE else f" that {answer.decided_by} names"
    problem = f"the GPU{named} {'is too old' if too_old else 'does not meet it'}"
    if several:
        problem = _counted(len(refused), len(chosen), f"GPUs{named}")
    return kind(feature, needed, problem, lines, way_out, answer)


def _counted(refused: int, all_of_them: int, what: str) -> str:
    if refused == all_of_them:
        return f"none of the {all_of_them} {what} does"
    return f"{refused} of {all_of_them} {what} {'do' if refused > 1 else 'does'} not"


def _absent(answer: Answer, feature: str, needed: str) -> IncompatibleError:
    if answer.policy is Policy.BUILD_LIST:
        problem = "no list names what to build for"
        way_out = f'Set one: {answer.own_list or _TORCH}="8.0 9.0a".'
        return GpuListError(feature, needed, problem, answer.lines, way_out, answer)
    if answer.absence is None:
        return NoDeviceError(feature, needed, "no GPU was found", answer.lines, _TO_BUILD, answer)
    code, message = answer.absence.code, answer.absence.message
    way_out = FINDINGS[code].way_out
    kind: type[IncompatibleError]
    if code == "hidden-by-environment":
        kind, problem = HiddenDeviceError, f"no GPU is visible: {message}"
    elif code in _OF_DRIVER:
        kind, problem = DriverError, f"the driver cannot be used: {message}"
    elif code in ("platform-not-probed", "probe-failed"):
        kind, problem = UndecidedError, message
    else:
        kind, problem, way_out = NoDeviceError, f"no GPU was found: {message}", f"{way_out} {_TO_BUILD}"
    return kind(feature, needed, problem, answer.lines, way_out, answer)


def _way_out(numbers: list[int], chosen: tuple[int, ...], answer: Answer) -> str:
    if answer.devices and not any(device.assumed for device in answer.devices):
        if len(chosen) < len(answer.verdicts):  # asked by their numbers, which others would have if some were hidden
            good = [n for n, verdict in enumerate(answer.verdicts) if verdict.outcome is Outcome.RUNS]
            return f"Use what does: {', '.join(f'GPU {number}' for number in good)}."
        only = f"se only the GPUs that do: CUDA_VISIBLE_DEVICES={answer.as_visible_devices()}"
        compilers = _compilers(answer) if all(answer.blames[number] == "compiler" for number in numbers) else ""
        return f"Compile with {compilers}, which serves them all; or u{only}" if compilers else f"U{only}"
    if answer.entries and all(answer.blames[number] == "device" for number in numbers):
        needed = answer.requirement
        return f"Name a target that meets `{needed}` in {answer.decided_by}, with the suffix that it takes."
    verdicts = [answer.verdicts[number] for number in numbers]
    texts = (reason.way_out for verdict in verdicts for reason in verdict.reasons if reason.outcome is verdict.outcome)
    return next((text for text in texts if text), "")


def _compilers(answer: Answer) -> str:
    """The compilers that serve every GPU of the answer, in words; empty where none is known that does."""
    from capably.engine import judge  # noqa: PLC0415 - see `_load`
    from capably.facts import Toolkit, ToolkitKind  # noqa: PLC0415 - rarely needed
    from capably.tables import tables  # noqa: PLC0415 - rarely needed

    needed = answer.requirement.without("installed")  # which is not the compiler's, and was met
    if needed is None:
        return ""
    known = [row.cuda for row in tables().toolkits]
    able: list[CudaVersion] = []
    for cuda in reversed(known):
        compiler = Toolkit(ToolkitKind.NVCC, "", cuda=cuda)
        judged = (judge(needed, one.device, one.driver, toolkit=compiler) for one in answer.verdicts)
        if all(verdict.outcome is Outcome.RUNS for verdict in judged):
            able.append(cuda)
        elif able:
            break  # the newest that follow each other
    if not able:
        return ""
    newest, oldest = able[0], able[-1]
    if newest == known[-1]:
        return f"CUDA {oldest} or newer"
    return f"CUDA {oldest}" if newest == oldest else f"CUDA {oldest} to {newest}"
