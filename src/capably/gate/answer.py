"""What the gate found out, and how it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capably.codes import FINDINGS, Outcome
from capably.errors import (
    CapablyError,
    DeviceTooOldError,
    DriverError,
    GpuListError,
    HiddenDeviceError,
    IncompatibleError,
    NoDeviceError,
    PackageError,
    ToolkitError,
    UndecidedError,
    UnsupportedDeviceError,
)
from capably.escaping import escaped
from capably.gate.devices import choice_of, current, number_of
from capably.gate.lists import gpus_in_words, listed_devices, targets_of_list
from capably.gate.policy import GPUS_HERE, OVERRIDE, TORCH_LIST, Policy
from capably.requirement import Requirement

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import overload

    from capably.codes import Reason
    from capably.engine import Verdict  # noqa: TC004 - of the fields only, which nobody resolves
    from capably.facts import Device, Finding  # noqa: TC004 - as above
    from capably.gate.devices import DeviceLike
    from capably.version import CudaVersion

__all__ = ["Answer"]


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
                targets_of_list(text, dialect, [verdict.device for verdict in self.verdicts])
            except CapablyError as error:
                return f"{variable}: {str(error).splitlines()[0]}"
        return None

    def require(self, feature: str | None = None, devices: DeviceLike | Iterable[DeviceLike] = "any") -> Answer:
        """This answer, where it is the one that is needed: what `capably.require` does once it has looked.

        Args:
            feature: As for `capably.require`.
            devices: As for `capably.require`.

        Raises:
            IncompatibleError: It is not; as `capably.require` does.
            ValueError: *devices* is no choice.
            TypeError: *devices* is nothing that stands for some.
        """
        which = choice_of(devices)
        chosen = _chosen(self, which)
        good = [number for number in chosen if self.verdicts[number].outcome is Outcome.RUNS]
        if good and (which == "any" or len(good) == len(chosen)):
            return self
        raise _error(self, chosen, feature or "", which)

    def why(self, device: DeviceLike = None) -> tuple[str, ...]:
        """What stands against a device, a sentence each; nothing where it meets the requirement.

        Args:
            device: As for `capably.supports`.

        Raises:
            TypeError: *device* is nothing that stands for one.
            ValueError: *device* is a text, and names none.
        """
        number = number_of(device)
        if number is None:
            return (f"{device} is no GPU of NVIDIA",)
        if not isinstance(number, int):
            from capably.engine import judge  # noqa: PLC0415 - of a device that was not judged

            driver = self.verdicts[0].driver if self.verdicts else None
            verdicts = [verdict for verdict in self.verdicts if verdict.device == number]
            return _against((*verdicts, judge(self.requirement, number, driver))[0])
        if not self.verdicts:
            return (self._nothing or "no GPU was found",)
        if not 0 <= number < len(self.verdicts):
            return (
                f"there is no GPU {number}: this process sees {gpus_in_words(len(self.verdicts))}, numbered from 0",
            )
        return _against(self.verdicts[number])

    @property
    def _nothing(self) -> str:
        """Why nothing was judged, in words."""
        if self.unread is not None:
            return f"{self.decided_by} cannot be read: {self.unread}"
        return self.absence.message if self.absence is not None and not self.verdicts else ""

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
        if self.verdicts:
            return "\n".join(self.lines)
        error = _absent(self, "", "") if self.unread is None else None
        nothing = (f"Nothing was judged: {error.problem if error else self._nothing}.",)
        return "\n".join(
            (*map(escaped, nothing), *self.lines, *([f"What to do: {escaped(error.way_out)}"] if error else ()))
        )

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
        if self.decided_by != GPUS_HERE and self.verdicts:
            raise ValueError(
                f"{self.decided_by} names these GPUs; they are not devices of this machine, so that none can be made visible"
            )
        if all(device.uuid for device in self.devices):
            return ",".join(str(device.uuid) for device in self.devices)
        entries = (self.visible_devices or "").split(",")
        numbers = [device.ordinal for device in self.devices if device.ordinal is not None]
        if self.visible_devices and all(number < len(entries) for number in numbers):
            return ",".join(entries[number].strip() for number in numbers)
        return ",".join(map(str, numbers))


def _against(verdict: Verdict) -> tuple[str, ...]:
    if verdict.outcome is Outcome.RUNS:
        return ()
    return tuple(dict.fromkeys(reason.message for reason in verdict.reasons if reason.outcome is verdict.outcome))


def _chosen(answer: Answer, devices: str | tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of the verdicts that count."""
    count = len(answer.verdicts)
    if devices == "listed" and answer.decided_by == GPUS_HERE:
        return listed_devices(answer.lists, [verdict.device for verdict in answer.verdicts])
    if isinstance(devices, str):
        return tuple(range(count))
    if answer.decided_by != GPUS_HERE and devices == (current(),):
        devices = (0,)  # torch's number says nothing about what is named
    missing = [number for number in devices if not 0 <= number < count]
    if count and missing:
        raise ValueError(f"there is no GPU {missing[0]}: this process sees {gpus_in_words(count)}, numbered from 0")
    return tuple(devices) if count else ()


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
_VERSIONS = frozenset({"version-not-met", "toolkit-cannot-emit"})  # what is said of anything but a device
_TO_BUILD = f'To build where no GPU is, name those that it is for: {OVERRIDE}="sm_90,RTX 4090".'


def _error(answer: Answer, chosen: tuple[int, ...], feature: str, which: str | tuple[int, ...]) -> IncompatibleError:
    needed, any_will_do = str(answer.requirement), which == "any"
    if answer.unread is not None:
        wanted = "sm_90,RTX 4090" if answer.decided_by == OVERRIDE else _LIST
        texts = {"variable": answer.decided_by, "problem": answer.unread, "wanted": wanted}
        return _of_list(answer, feature, "gpu-list-unreadable", texts)
    if not chosen and answer.verdicts:
        return _unlisted(answer, feature)
    if not chosen:
        return _absent(answer, feature, needed)
    lines = tuple(line for n, line in enumerate(answer.lines) if n in chosen or n >= len(answer.verdicts))
    refused = [number for number in chosen if answer.verdicts[number].outcome is Outcome.FAILS]
    undecided = [number for number in chosen if answer.verdicts[number].outcome is Outcome.UNKNOWN]
    doubtful = bool(undecided) and (any_will_do or not refused)  # where any will do, one of which it is not known may
    counted = undecided if doubtful else refused
    reason = _deciding(answer, counted)
    way_out, code = _way_out(counted, chosen, answer, reason), reason.code
    if doubtful:
        return UndecidedError(feature, needed, "whether that holds is not known", lines, way_out, answer, code)
    several = len(chosen) > 1
    blames = {answer.blames[number] for number in refused}
    if len(blames) == 1 and "device" not in blames:
        blame = blames.pop()
        gpus = "entries" if answer.entries else "GPU"
        do = "do" if blame == "packages" else "does"
        problem = f"the {gpus}{'s' if several and gpus == 'GPU' else ''} would do, the {_CALLED[blame]} {do} not"
        return _OF_BLAME[blame](feature, needed, problem, lines, way_out, answer, code)
    if answer.entries:
        of_list = f"of {answer.decided_by}"
        problem = (
            _counted(len(refused), len(chosen), f"entries {of_list}") if several else f"the entry {of_list} does not"
        )
        return GpuListError(feature, needed, problem, lines, way_out, answer, code)
    reasons = [reason for number in refused for reason in answer.verdicts[number].reasons]
    too_old = all(reason.code == "device-too-old" for reason in reasons if reason.outcome is Outcome.FAILS)
    kind = DeviceTooOldError if too_old else UnsupportedDeviceError
    named = "" if answer.decided_by == GPUS_HERE else f" that {answer.decided_by} names"
    problem = f"the GPU{named} {'is too old' if too_old else 'does not meet it'}"
    if several:
        problem = _counted(len(refused), len(chosen), f"GPUs{named}")
    return kind(feature, needed, problem, lines, way_out, answer, code)


def _deciding(answer: Answer, numbers: list[int]) -> Reason:
    """The reason that the error stands for: of the first device the first that is about what is to blame."""
    reasons = [
        (reason, answer.blames[number])
        for number in numbers
        for reason in answer.verdicts[number].reasons
        if reason.outcome is answer.verdicts[number].outcome
    ]
    of_blame = (reason for reason, blame in reasons if (reason.code in _VERSIONS) is (blame not in {"", "device"}))
    return next(of_blame, reasons[0][0])


def _counted(refused: int, all_of_them: int, what: str) -> str:
    if refused == all_of_them:
        return f"none of the {all_of_them} {what} does"
    return f"{refused} of {all_of_them} {what} {'do' if refused > 1 else 'does'} not"


_LIST = "8.0 9.0a"


def _of_list(answer: Answer, feature: str, code: str, texts: dict[str, str]) -> GpuListError:
    problem, way_out = (text.format_map(texts) for text in (FINDINGS[code].message, FINDINGS[code].way_out))
    return GpuListError(feature, str(answer.requirement), problem, answer.lines, way_out, answer, code)


def _unlisted(answer: Answer, feature: str) -> IncompatibleError:
    """The list names none of the GPUs that are here."""
    name, text, _ = answer.lists[0]
    found = ", ".join(dict.fromkeys(str(verdict.device.capability) for verdict in answer.verdicts))
    texts = {"list": f"{name}={text!r}", "variable": name, "capabilities": found}
    return _of_list(answer, feature, "gpu-list-elsewhere", texts)


def _absent(answer: Answer, feature: str, needed: str) -> IncompatibleError:
    if answer.policy is Policy.BUILD_LIST:
        texts = {"variable": answer.own_list or TORCH_LIST, "wanted": _LIST}
        return _of_list(answer, feature, "gpu-list-missing", texts)
    unknown = FINDINGS["no-gpu-found"]
    if answer.absence is None:
        way_out = f"{unknown.way_out} {_TO_BUILD}"
        return NoDeviceError(feature, needed, unknown.message, answer.lines, way_out, answer, unknown.code)
    page = FINDINGS.get(answer.absence.code, unknown)  # a record may be of a release that knows more
    code, message, way_out = page.code, answer.absence.message, page.way_out
    kind: type[IncompatibleError]
    if code == "hidden-by-environment":
        kind, problem = HiddenDeviceError, f"no GPU is visible: {message}"
    elif code in _OF_DRIVER:
        kind, problem = DriverError, f"the driver cannot be used: {message}"
    elif code in ("platform-not-probed", "probe-failed"):
        kind, problem = UndecidedError, message
    else:
        kind, problem, way_out = NoDeviceError, f"no GPU was found: {message}", f"{way_out} {_TO_BUILD}"
    return kind(feature, needed, problem, answer.lines, way_out, answer, code)


def _way_out(numbers: list[int], chosen: tuple[int, ...], answer: Answer, reason: Reason) -> str:
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
    if reason.code == "device-too-new" and not answer.entries:
        from capably.wanted import only_exactly  # noqa: PLC0415 - rarely needed

        if floor := only_exactly(answer.requirement, answer.verdicts[numbers[0]].device.capability):
            return f"`{answer.requirement}` is exactly that; did you mean `{floor}`, which newer GPUs meet? {reason.way_out}"
    if reason.code in _OF_HARDWARE and answer.decided_by == GPUS_HERE and (products := _products(answer)):
        return f"{reason.way_out} For example: {products}."
    return reason.way_out


_OF_HARDWARE = frozenset(("device-too-old", "device-not-listed", "device-excluded", "quantity-too-small"))
_FEW = 5


def _products(answer: Answer) -> str:
    """A few products that would do, each judged with the driver that is here; the best known of each capability first."""
    from capably.engine import judge  # noqa: PLC0415 - see `_load`
    from capably.facts import Device  # noqa: PLC0415 - rarely needed
    from capably.gpu_names import named_devices, short_name  # noqa: PLC0415 - rarely needed
    from capably.tables import tables  # noqa: PLC0415 - rarely needed

    driver = answer.verdicts[0].driver
    able = [
        short_name(device)
        for device in named_devices(["all"])
        if not tables().is_tegra(device.capability)
        and judge(answer.requirement, Device(device.capability, device.name, assumed=True), driver).outcome
        is Outcome.RUNS
    ]
    return ", ".join(able[:_FEW])


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
