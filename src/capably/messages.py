"""What error messages mean: recognised in a log, and their possible causes tested against facts.

Nothing is looked at here. The log, the record of the machine and scanned artifacts are given; every cause in
question is found to hold, to be excluded, or to be open, and for an open one there is a command that tells.
"""

from __future__ import annotations

import enum
import itertools
import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.archlist import applying, entries, read
from capably.engine import Coverage, choose, emits, judge, starts, worth
from capably.errors import ParseError
from capably.facts import Compression, Device, DriverState, Image, ImageKind, PtxJit, ToolkitKind
from capably.reasons import Outcome
from capably.requirement import Requirement
from capably.tables import Cause, Message, tables
from capably.version import CudaVersion, PtxVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from capably.facts import Artifact, Driver, System, Toolkit

__all__ = ["Explanation", "Found", "Judged", "State", "explain", "reads_packages", "recognise"]

MOST_BYTES = 4 << 20
"""How much of a log is read: its end, where the errors are."""
_BEFORE, _AFTER = 240, 900
_MOST_PLACES = 24
_EXCERPT = 200
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]{0,32}[@-~]|\x1b\][^\x07\x1b]{0,2048}(?:\x07|\x1b\\)")


class State(enum.StrEnum):
    """What the facts say about a cause."""

    HOLDS = "holds"
    EXCLUDED = "excluded"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Found:
    """A message in a log.

    Attributes:
        excerpt: The text that matched, and a little around it; as it was in the log, so not fit to print.
        params: Sorted pairs of what the message says: ``target``, ``capability``, ``listed`` and so on.
        lines: In how many lines it was seen.
        more: There may be more of them: not all places were tried, or not all of the log was read.
    """

    message: Message
    excerpt: str
    params: tuple[tuple[str, str], ...] = ()
    lines: int = 1
    more: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A cause, and what the facts say about it."""

    cause: Cause
    state: State
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a message means here.

    Attributes:
        causes: All that come into question, in the order of the table.
        answer: Code of the cause that holds; None where that cannot be told.
        eliminated: The answer is what was left when every other cause was excluded.
        note: About the facts; empty where there is nothing to say.
    """

    found: Found
    causes: tuple[Judged, ...]
    answer: str | None
    eliminated: bool = False
    note: str = ""

    @property
    def architecture(self) -> bool:
        """Whether the message is about what GPU code runs on which GPU at all."""
        return self.found.message.subject == "architecture"


def recognise(log: str | bytes) -> tuple[Found, ...]:
    """The messages in *log* that are known, those that explain the others first.

    Time is bounded: the last 4 MiB are searched for fixed texts, and patterns are tried near the first and
    last places of each only.

    >>> [found.message.code for found in recognise("RuntimeError: no kernel image is available")]
    ['no-kernel-image']
    """
    raw = _encoded(log)
    data = _plain(raw)
    lower = data.lower()  # of bytes: ASCII only, and of the same length
    found = []
    for message in tables().messages:
        places, cut = _places(lower, message.needles)
        hits = {place: hit for place in places if (hit := _match(message, data, place))}
        if hits:
            params: dict[str, str] = {}
            for hit in hits.values():  # the last one speaks, the others fill in what it does not say
                params.update(hit.params)
            # Several needles may be in one message, so that places say less than lines.
            lines = len({data.rfind(b"\n", 0, place) for place in hits})
            more = cut or len(raw) >= MOST_BYTES
            excerpt = hits[max(hits)].excerpt
            found.append(Found(message, excerpt, tuple(sorted(params.items())), lines, more))
    return tuple(sorted(found, key=lambda one: one.message.rank))


def _encoded(log: str | bytes) -> bytes:
    """The end of *log*, of a text no more than can be read: as much as that, or more, where it is not the whole."""
    return log[-MOST_BYTES:].encode("utf-8", "replace") if isinstance(log, str) else log


def _plain(data: bytes) -> bytes:
    """The end of *data*, without what colours a terminal and makes links there."""
    # Windows PowerShell 5 writes logs in UTF-16. The messages are ASCII: all that there is too much of is a null each.
    return _ESCAPES.sub(b"", data[-MOST_BYTES:].replace(b"\0", b""))


def _places(lower: bytes, needles: Iterable[str]) -> tuple[list[int], bool]:
    """Where the needles are, at most so many of each from the front and from the back; and whether there are more."""
    places: set[int] = set()
    cut = False
    for needle in needles:
        sought = needle.encode()
        start = 0
        for _ in range(_MOST_PLACES):
            at = lower.find(sought, start)
            if at < 0:
                break
            places.add(at)
            start = at + len(sought)
        end = len(lower)
        for _ in range(_MOST_PLACES):
            at = lower.rfind(sought, start, end)
            if at < 0:
                break
            places.add(at)
            end = at
        else:
            cut = cut or lower.find(sought, start, end) >= 0
    return sorted(places), cut


def _match(message: Message, data: bytes, place: int) -> Found | None:
    start = max(place - _BEFORE, 0)
    text = " ".join(data[start : place + _AFTER].decode("utf-8", "replace").split())
    here = len(" ".join(data[start:place].decode("utf-8", "replace").split()))
    params: dict[str, str] = {}
    excerpt = None
    for pattern in message.patterns:
        for match in pattern.finditer(text):
            if match.start() - 80 <= here <= match.end() + 200:
                params |= {name: value for name, value in match.groupdict().items() if value is not None}
                if excerpt is None:
                    lead = text[max(match.start() - 40, 0) : match.start()]
                    if match.start() > 40:
                        lead = lead.partition(" ")[2]  # from a whole word on
                    trail = text[match.end() : match.end() + 80]
                    if len(text) > match.end() + 80 and " " in trail:
                        trail = f"{trail.rpartition(' ')[0]} …"  # up to a whole word
                    excerpt = (lead + match[0] + trail)[:_EXCERPT]
    if excerpt is None:
        return None
    listed = re.search(r"supports CUDA capabilities((?: (?:sm|compute)_[0-9]{2,3}[af]?){1,40})", text)
    if listed:
        params["listed"] = listed[1].strip()
    return Found(message, excerpt, tuple(sorted(params.items())))


def explain(
    log: str | bytes, system: System | None = None, artifacts: Sequence[Artifact] = ()
) -> tuple[Explanation, ...]:
    """What the messages in *log* mean, and which of their causes hold.

    Args:
        log: Text of a terminal or a file; only its end is read.
        system: The machine that printed it; None where that is not known.
        artifacts: Scans of what was running.

    Returns:
        One for each message that is known, those that explain the others first; empty where there is none.
    """
    all_found = recognise(log)
    modules = _modules(log) if all_found else frozenset()
    return tuple(_explain(one, all_found, modules, system, artifacts) for one in all_found)


def reads_packages(found: Iterable[Found]) -> bool:
    """Whether scans of what is installed could tell anything about the causes of these messages."""
    return any(code in _BY_PACKAGES for one in found for code in one.message.causes)


def _modules(log: str | bytes) -> frozenset[str]:
    """Top-level names below ``site-packages`` that the log names, as tracebacks do; as distributions are written."""
    names = set(re.findall(rb"(?:site|dist)-packages[/\\\\]([A-Za-z0-9_]{1,80})", _plain(_encoded(log))))
    return frozenset(name.decode().lower().replace("_", "-") for name in names)


def _explain(
    found: Found,
    all_found: tuple[Found, ...],
    modules: frozenset[str],
    system: System | None,
    artifacts: Sequence[Artifact],
) -> Explanation:
    note = ""
    if system is not None and found.message.device and not system.devices:
        note = "the message comes from a machine whose GPU worked, and this one shows none: its facts are left out"
        system = None
    facts = _Facts(found, all_found, modules, system, tuple(artifacts))
    causes = tuple(_judged(code, facts) for code in found.message.causes)
    answer = None
    for one in causes:
        if one.state is State.HOLDS:
            answer = one.cause.code
        if one.state is not State.EXCLUDED:
            break
    left = [one for one in causes if one.state is not State.EXCLUDED]
    eliminated = answer is None and found.message.complete and len(left) == 1
    return Explanation(found, causes, left[0].cause.code if eliminated else answer, eliminated, note)


def _judged(code: str, facts: _Facts) -> Judged:
    cause = tables().causes[code]
    state, evidence = _TESTS[code](facts) if code in _TESTS else (State.OPEN, ())
    if state is State.OPEN and len(facts.found.message.causes) == 1:
        state = State.HOLDS
        evidence = (*evidence, "the message has no other cause")
    return Judged(cause, state, tuple(evidence))


_Answer = tuple[State, tuple[str, ...]]
_OPEN: _Answer = (State.OPEN, ())


def _holds(*evidence: str) -> _Answer:
    return State.HOLDS, evidence


def _excluded(*evidence: str) -> _Answer:
    return State.EXCLUDED, evidence


# Messages of FlashInfer behind which may be that it left a GPU out because of the toolkit.
_WITH_FLOOR = ("flashinfer-sm75", "flashinfer-toolkit-floor")


class _Facts:
    """What is known beside the message itself."""

    def __init__(
        self,
        found: Found,
        all_found: tuple[Found, ...],
        modules: frozenset[str],
        system: System | None,
        artifacts: tuple[Artifact, ...],
    ) -> None:
        self.found = found
        self.code = found.message.code
        self.codes = frozenset(one.message.code for one in all_found)
        self.modules = modules
        self.system = system
        self.artifacts = artifacts
        self.params = dict(found.params)
        self._before = {one.message.code: dict(one.params) for one in all_found}
        self.others = {name: value for one in all_found for name, value in one.params}

    @cached_property
    def torch(self) -> dict[str, str]:
        """What torch said of a GPU that it has no code for, in this message or before it."""
        return self._before.get("torch-incompatible", {})

    @property
    def devices(self) -> tuple[Device, ...]:
        return self.system.devices if self.system else ()

    @cached_property
    def environment(self) -> dict[str, str]:
        return dict(self.system.environment) if self.system else {}

    @cached_property
    def distributions(self) -> dict[str, str]:
        return dict(self.system.distributions) if self.system else {}

    @property
    def listed_devices(self) -> str:
        names = dict.fromkeys(f"{device.name or 'GPU'} ({device.capability})" for device in self.devices)
        return ", ".join(names)

    def absence(self, *codes: str) -> _Answer:
        """Whether no device is visible for one of these reasons."""
        if self.answered is not None:
            return _excluded(f"the message says: a driver of CUDA {self.answered} answered")
        if self.system is None:
            return _OPEN
        if self.devices:
            return _excluded(f"visible: {self.listed_devices}")
        if self.system.absence is None:
            return _OPEN
        message = next((one.message for one in self.system.findings if one.code == self.system.absence), "")
        said = f"{self.system.absence}: {message}" if message else self.system.absence
        if self.system.absence in _NOT_LOOKED:
            return State.OPEN, (said,)
        return _holds(said) if self.system.absence in codes else _excluded(said)

    @cached_property
    def answered(self) -> CudaVersion | None:
        """That of the driver that answered, where the message has its number (11040 is CUDA 11.4)."""
        number = int(self.params.get("driver", "0"))
        return CudaVersion(number // 1000, number % 1000 // 10) if number else None

    # -- compilers

    @cached_property
    def target(self) -> Target | None:
        text = self.params.get("target", "")
        try:
            return Target.parse(text.replace("lto_", "compute_")) if "_" in text else None
        except ParseError:
            return None

    @cached_property
    def floor(self) -> CudaVersion | None:
        """The oldest toolkit that would do, where the message or the program says so."""
        if self.by_flashinfer:
            newest_first = [row.cuda for row in reversed(tables().toolkits)]
            taken = list(itertools.takewhile(lambda cuda: not self.refused(cuda), newest_first))
            return taken[-1] if 0 < len(taken) < len(newest_first) else None
        said = self.others if self.code in _WITH_FLOOR else self.params
        if "cuda" in said:
            return _cuda(said["cuda"])
        known = tables().emitting_toolkits(self.target) if self.target else None
        return known[0] if known else None

    @cached_property
    def flashinfer(self) -> tuple[str, ...]:
        """The version of FlashInfer that printed the message: the installed one; else each that is known."""
        for name in ("flashinfer-python", "flashinfer"):
            version = self.distributions.get(name, "")
            if re.match("[0-9]", version):
                return (version,)
        return tuple(".".join(map(str, row.since)) for row in tables().dialects if row.dialect == "flashinfer")

    @cached_property
    def by_flashinfer(self) -> bool:
        """Whether the floor of the toolkit is FlashInfer's own, and the log does not say it."""
        return self.code in _WITH_FLOOR and "cuda" not in self.others

    def refused(self, cuda: CudaVersion) -> bool:
        """Whether FlashInfer leaves out a GPU because nvcc is of that version: one that is here, or else any."""
        capabilities = {device.capability for device in self.devices} or tables().architectures
        return any(
            read(None, "flashinfer", version, devices=[capability], toolkit=cuda).error is not None
            for version in self.flashinfer
            for capability in capabilities
        )

    @property
    def unseen(self) -> bool:
        """Whether FlashInfer would ask for a toolkit for some GPUs, and which are meant is not known."""
        return self.by_flashinfer and not self.devices

    @cached_property
    def lowest(self) -> Requirement:
        """What FlashInfer's own check asks of a GPU, or of an entry of a list."""
        return Requirement.parse(applying("flashinfer", self.flashinfer[-1]).requires or ">=1.0")

    @cached_property
    def compilers(self) -> tuple[Toolkit, ...]:
        """Those of the kind that spoke, the one that is used first."""
        kind = _KINDS.get(self.code, ToolkitKind.NVCC)
        found = [one for one in (self.system.toolkits if self.system else ()) if one.kind is kind]
        return tuple(sorted(found, key=lambda one: (not one.used_by, "triton" not in one.used_by)))

    def emits(self, compiler: Toolkit) -> bool | None:
        """Whether *compiler* would do; None where that is not known."""
        if self.target is not None:
            return emits(compiler, self.target)
        return None if compiler.cuda is None or self.floor is None else compiler.cuda >= self.floor


# Which compiler a message is of; nvcc where it is none of these.
_KINDS = {
    "ptxas-target": ToolkitKind.PTXAS,
    "ptx-version": ToolkitKind.PTXAS,
    "nvrtc-target": ToolkitKind.NVRTC,
}


def _cuda(text: str) -> CudaVersion | None:
    try:
        return CudaVersion.parse(text)
    except ParseError:
        return None


def _shown(compiler: Toolkit) -> str:
    used = f", used by {', '.join(compiler.used_by)}" if compiler.used_by else ""
    return f"{compiler.path}: CUDA {compiler.cuda}{used}"


def _spared(facts: _Facts) -> str:
    """Why FlashInfer's floor of the toolkit is not in play; empty where it may be."""
    if not facts.by_flashinfer or facts.floor is not None:
        return ""
    return f"FlashInfer leaves out none for its toolkit: {facts.listed_devices or 'whatever the GPU'}"


def _wrong_compiler_first(facts: _Facts) -> _Answer:
    if spared := _spared(facts):
        return _excluded(spared)
    if not facts.compilers:
        return _OPEN
    first, *others = facts.compilers
    good = facts.emits(first)
    if good is None or (not good and facts.unseen):
        return _OPEN
    if good:
        return _excluded(_shown(first))
    better = [one for one in others if facts.emits(one)]
    return _holds(_shown(first), *map(_shown, better)) if better else _excluded(f"the only one: {_shown(first)}")


def _compiler_too_old(facts: _Facts) -> _Answer:
    if spared := _spared(facts):
        return _excluded(spared)
    if facts.compilers and facts.compilers[0].cuda is not None:
        first = facts.compilers[0]
        good = facts.emits(first)
        if good is None or facts.floor is None:
            return _OPEN
        if good or first.cuda is None or first.cuda >= facts.floor:
            return _excluded(_shown(first))
        if facts.unseen:
            return _OPEN
        return _holds(_shown(first), f"needed: CUDA {facts.floor} or newer")
    known = tables().emitting_toolkits(facts.target) if facts.target else None
    if known and known[1] == tables().toolkits[-1].cuda:
        return _holds(f"every toolkit from CUDA {known[0]} on knows {facts.target}")
    if "flashinfer-toolkit-floor" in facts.codes and not facts.by_flashinfer:
        return _holds(f"FlashInfer says that it needs CUDA {facts.floor}")
    return _OPEN


def _compiler_dropped_target(facts: _Facts) -> _Answer:
    known = tables().emitting_toolkits(facts.target) if facts.target else None
    if known is None:
        return _OPEN
    said = f"{facts.target} is known from CUDA {known[0]} to {known[1]}"
    if known[1] == tables().toolkits[-1].cuda:
        return _excluded(said)
    if not facts.compilers or facts.compilers[0].cuda is None:
        return _OPEN
    return (_holds if facts.compilers[0].cuda > known[1] else _excluded)(_shown(facts.compilers[0]), said)


def _another_compiler_ran(facts: _Facts) -> _Answer:
    if spared := _spared(facts):
        return _excluded(spared)
    if not facts.compilers or (good := facts.emits(facts.compilers[0])) is None:
        return _OPEN
    first = _shown(facts.compilers[0])
    if not good:
        return _excluded(f"{first}: would not do")
    known = tables().emitting_toolkits(facts.target) if facts.target else None
    if known is None:
        return _holds(f"needed: CUDA {facts.floor} or newer", f"{first}: would do")
    dropped = known[1] != tables().toolkits[-1].cuda
    said = f"CUDA {known[0]} {f'to {known[1]}' if dropped else 'and newer'} know {facts.target}"
    return _holds(f"{said}, so what printed this is {'another' if dropped else 'older'}", f"{first}: knows it")


def _image(target: Target) -> Image:
    return Image(ImageKind.PTX if target.kind is TargetKind.VIRTUAL else ImageKind.SASS, target)


def _target_not_of_this_machine(facts: _Facts) -> _Answer:
    if not facts.devices and facts.compilers and facts.emits(facts.compilers[0]):
        return _excluded(f"{_shown(facts.compilers[0])}: knows it, whoever asked for it")
    if not facts.devices or facts.target is None:
        return _OPEN
    image = _image(facts.target)
    said = f"visible: {facts.listed_devices}"
    fails = all(judge(image, device).outcome is Outcome.FAILS for device in facts.devices)
    return (_holds if fails else _excluded)(said)


# -- devices and lists


def _list_below_floor(facts: _Facts) -> _Answer:
    if facts.system is None:
        return _OPEN
    name = "TORCH_CUDA_ARCH_LIST" if facts.code == "flashinfer-sm75-list" else "FLASHINFER_CUDA_ARCH_LIST"
    value = facts.environment.get(name, "")
    if not value:
        return _excluded(f"{name} is not set")
    try:
        named = entries(value)
    except ParseError:
        return State.OPEN, (f"{name}={value}, which is no list",)
    low = [target for target in named if judge(facts.lowest, target).outcome is Outcome.FAILS]
    # The older check refuses a list for any of its entries, the newer one only if none is high enough.
    blamed = low if facts.code == "flashinfer-sm75-list" or len(low) == len(named) else []
    said = f"{name}={value}"
    return _holds(f"{said}: {' '.join(str(one.capability) for one in blamed)}") if blamed else _excluded(said)


def _gpu_below_floor(facts: _Facts) -> _Answer:
    if not facts.devices:
        return _OPEN
    low = [judge(facts.lowest, device).outcome is Outcome.FAILS for device in facts.devices]
    # Without a list the older check refuses all GPUs for any of them, the newer one only if none is high enough.
    any_will_do = facts.code == "flashinfer-sm75-list" and not facts.environment.get("TORCH_CUDA_ARCH_LIST")
    blamed = any(low) if any_will_do else all(low)
    return (_holds if blamed else _excluded)(f"visible: {facts.listed_devices}")


def _torch_without_cuda(facts: _Facts) -> _Answer:
    if "torch-cpu-only" in facts.codes:
        return _holds("the log says: Torch not compiled with CUDA enabled")
    version = facts.distributions.get("torch")
    if version is None:
        return _OPEN
    if "+cpu" in version:
        return _holds(f"torch {version}")
    runtime = [name for name in facts.distributions if name.startswith("nvidia-cuda-runtime")]
    return _excluded(f"torch {version}", *runtime) if "+cu" in version or runtime else _OPEN


def _forked_child(facts: _Facts) -> _Answer:
    if "fork-after-cuda" in facts.codes:
        return _holds("the log says: Cannot re-initialize CUDA in forked subprocess")
    return _OPEN


def _torch_outcome(facts: _Facts) -> tuple[Outcome | None, str]:
    """What becomes of the targets that torch listed on the GPU that it named."""
    device = _torch_device(facts)
    if device is None:
        return None, ""
    params = facts.torch
    listed = [Target.parse(name) for name in params.get("listed", "").split()]
    if not listed and "highest" in params:
        lowest = ComputeCapability.parse(params["lowest"])
        # PTX reaches furthest: where that of the lowest target fails, so does all that is in the range.
        if judge(_image(Target(lowest, kind=TargetKind.VIRTUAL)), device).outcome is Outcome.FAILS:
            return Outcome.FAILS, f"{device.capability} is below the lowest target, {lowest}"
        listed = [Target.parse("sm_" + params["highest"].replace(".", ""))]
    outcomes = [judge(_image(one), device, _driver(facts)).outcome for one in listed]
    said = f"torch lists {' '.join(map(str, listed))}; the GPU is of {device.capability}"
    if Outcome.RUNS in outcomes or Outcome.COMPILES in outcomes:
        return Outcome.RUNS, said
    # The two ends of a range do not say what else is in the list.
    decided = bool(params.get("listed")) and all(one is Outcome.FAILS for one in outcomes)
    return (Outcome.FAILS if decided else None), said


def _driver(facts: _Facts) -> Driver | None:
    return facts.system.driver if facts.system else None


def _torch_device(facts: _Facts) -> Device | None:
    text = facts.torch.get("capability") or facts.torch.get("target")
    if text is None:
        return facts.devices[0] if len({one.capability for one in facts.devices}) == 1 else None
    try:
        return Device(ComputeCapability.parse(text if "." in text else f"sm_{text}"))
    except ParseError:
        return None


def _torch_said(facts: _Facts) -> tuple[str, ...]:
    """That nothing in torch loads on the GPU, where the same log shows that."""
    outcome, said = _torch_outcome(facts) if facts.torch else (None, "")
    return (f"the same log says: {said}",) if outcome is Outcome.FAILS else ()


def _torch_lacks_device(facts: _Facts) -> _Answer:
    outcome, said = _torch_outcome(facts)
    if outcome is None:
        return _OPEN
    return (_holds if outcome is Outcome.FAILS else _excluded)(said)


def _warning_is_wrong(facts: _Facts) -> _Answer:
    outcome, said = _torch_outcome(facts)
    if outcome is None:
        return _OPEN
    return (_holds if outcome is Outcome.RUNS else _excluded)(said)


# -- GPU code


@dataclass(frozen=True, slots=True)
class _Gap:
    """What one package lacks on one device.

    Attributes:
        named: The log names the package.
        decisive: Nothing in it loads there, and it is not one of several that are tried in turn.
    """

    name: str
    device: Device
    coverage: Coverage
    named: bool
    decisive: bool
    text: str


def _gaps(facts: _Facts) -> list[_Gap]:
    """What is lacking anywhere; what the log names first."""
    found = []
    for artifact in facts.artifacts:
        name = artifact.name or artifact.path
        row = tables().package(name)
        named = any(_is_of(module, name) for module in facts.modules)
        for device in {one.capability: one for one in facts.devices}.values():
            # Of alternatives whose choice is not known, the best tells what the package can do there.
            verdicts = [judge(one, device, _driver(facts)) for _, one in choose(artifact, device)]
            verdict = max(verdicts, key=lambda one: worth(one.coverage))
            if verdict.coverage not in (Coverage.NONE, Coverage.PARTIAL):
                continue
            title = f"{name} {artifact.version}" if artifact.version else name
            where = f"{device.name} ({device.capability})" if device.name else str(device.capability)
            counts = verdict.counts
            lack = (
                f"nothing in {title} loads on {where}"
                if verdict.coverage is Coverage.NONE
                else f"{title} on {where}: {counts.usable} of {counts.total} groups of kernels load"
            )
            decisive = verdict.coverage is Coverage.NONE and (named or row is None or not row.dispatches)
            said = f"{lack}; the log names it" if named else lack
            found.append(_Gap(name, device, verdict.coverage, named, decisive, said))
    return sorted(found, key=lambda one: (not one.named, not one.decisive))


def _is_of(module: str, distribution: str) -> bool:
    """Whether a module (or the name of its file) is of *distribution*, as far as names tell."""
    if module == distribution or module.startswith((f"{distribution}-", f"{distribution}.")):
        return True
    return module.startswith("nvidia-") and distribution.startswith(f"{module}-")  # nvidia/nccl, nvidia-nccl-cu12


def _blamed(facts: _Facts) -> list[_Gap]:
    """The gaps that explain the message: those of packages in the log, where it names any that were scanned."""
    gaps = _gaps(facts)
    # torch prints the message for all the others, so that it is in every traceback.
    others = {one.name or one.path for one in facts.artifacts} - {"torch"}
    speaks = any(_is_of(module, name) for module in facts.modules for name in others)
    return [gap for gap in gaps if gap.decisive and (gap.named or not speaks)]


_MOST_SHOWN = 6


def _build_lacks_device(facts: _Facts) -> _Answer:
    torch = _torch_said(facts)
    blamed = _blamed(facts)
    if torch or blamed:
        return _holds(*torch, *(gap.text for gap in blamed[:_MOST_SHOWN]))
    if not facts.artifacts or not facts.devices:
        return _OPEN
    gaps = _gaps(facts)
    # What was scanned covers the GPUs, and something else may have been running.
    said = tuple(gap.text for gap in gaps[:_MOST_SHOWN]) or ("what was scanned covers the GPUs",)
    return State.OPEN, said


def _library_without_gpu(facts: _Facts) -> _Answer:
    wheel = f"nvidia-{facts.params['part'].lower()}"
    gaps = [gap for gap in _gaps(facts) if gap.name.startswith(wheel)]
    none = [gap.text for gap in gaps if gap.coverage is Coverage.NONE]
    return _holds(*none) if none else (State.OPEN, tuple(gap.text for gap in gaps))


def _gpus_differ(facts: _Facts) -> _Answer:
    capabilities = {device.capability for device in facts.devices}
    if not capabilities:
        # One that torch has no code for lacks it whatever the others are.
        return _excluded(*torch) if (torch := _torch_said(facts)) else _OPEN
    said = f"visible: {facts.listed_devices}"
    if len(capabilities) == 1:
        return _excluded(said)
    needed = _needed(facts)
    if needed is not None and {Outcome.RUNS, Outcome.FAILS} <= {judge(needed, one).outcome for one in facts.devices}:
        return _holds(said, f"needed: {needed}")
    blamed = _blamed(facts)
    for name in dict.fromkeys(gap.name for gap in blamed):
        gaps = [gap for gap in blamed if gap.name == name]
        if len(gaps) < len(capabilities):
            return _holds(said, *(gap.text for gap in gaps))
    return State.OPEN, (said,)


def _prebuilt_before_jit(facts: _Facts) -> _Answer:
    name = "flashinfer-jit-cache"
    if (said := _torch_said(facts)) and "flashinfer" not in facts.modules:
        return _excluded(*said)
    if not facts.distributions:
        return _OPEN
    if name not in facts.distributions:
        return _excluded(f"{name} is not installed")
    gaps = [gap.text for gap in _gaps(facts) if gap.name == name]
    return _holds(*gaps) if gaps else (State.OPEN, (f"{name} {facts.distributions[name]} is installed",))


def _switched_off(facts: _Facts) -> _Answer:
    if said := _torch_said(facts):
        return _excluded(*said)  # nothing fits that a variable could switch off
    if facts.system is None:
        return _OPEN
    names = ("CUDA_FORCE_PTX_JIT", "CUDA_DISABLE_PTX_JIT", "CUDA_FORCE_JIT", "CUDA_DISABLE_JIT")
    found = [f"{name}=1" for name in names if facts.environment.get(name, "").strip() == "1"]
    if not found and facts.system.driver is not None and facts.system.driver.jit is not PtxJit.ALLOWED:
        found = [f"compiling PTX is {facts.system.driver.jit}"]
    if found:
        return _holds(*found)
    # The driver says itself that it is switched off: then it was, where the message comes from.
    return _OPEN if facts.code == "jit-disabled" else _excluded("none of the variables is set")


def _ptx_newer(facts: _Facts) -> _Answer:
    evidence = []
    accepted = facts.params.get("accepted")
    if accepted is not None:
        evidence.append(f"PTX {facts.params['ptx']}; accepted: {accepted}")
    read = facts.params.get("input", _IN_MEMORY)
    if read != _IN_MEMORY:
        return _excluded(*evidence, f"ptxas read a file: {read}")
    if (driver := _driver(facts)) is not None:
        evidence.append(f"the driver is of CUDA {tables().driver_cuda(driver)}")
        takes = tables().accepted_ptx(driver)
        if accepted is not None and takes is not None:
            evidence.append(f"it takes PTX up to {takes}")
            if takes != PtxVersion.parse(accepted):
                return _excluded(*evidence)
            if "input" in facts.params:
                return _holds(*evidence)
    too_new = _beyond_driver(facts, "ptx-newer-than-driver")
    return (State.HOLDS if too_new else State.OPEN), (*evidence, *too_new)


# What ptxas calls PTX that it was given by the driver or by a program that it is a part of.
_IN_MEMORY = "application ptx input"


def _ptxas_older(facts: _Facts) -> _Answer:
    read = facts.params.get("input")
    accepted, wanted = (PtxVersion.parse(facts.params[name]) for name in ("accepted", "ptx"))
    needed = tables().cuda_of_ptx(wanted)
    said = f"PTX {wanted} needs CUDA {needed} or newer" if needed else f"PTX {wanted} is newer than the tables"
    here = [f"here: {_shown(one)}" for one in facts.compilers[:_MOST_SHOWN]]
    if read in (None, _IN_MEMORY):
        return State.OPEN, (said, *here)
    return _holds(f"ptxas read a file: {read}", f"it takes PTX up to {accepted}; {said}", *here)


def _compression_newer(facts: _Facts) -> _Answer:
    driver = _driver(facts)
    if driver is None:
        return _OPEN
    if told := _beyond_driver(facts, "zstd-needs-newer-driver"):
        return _holds(*told)
    said = f"the driver is {driver.release or f'of CUDA {driver.cuda}'}"
    # It is of the driver alone: the GPU is the same in both.
    compressed = [
        judge(Image(ImageKind.SASS, Target(device.capability), compression=Compression.ZSTD), device, driver)
        for device in facts.devices
    ]
    reads = compressed and all(one.outcome is Outcome.RUNS for one in compressed)
    return _excluded(f"{said}, which reads zstd") if reads else (State.OPEN, (said,))


def _beyond_driver(facts: _Facts, code: str) -> tuple[str, ...]:
    """Libraries with kernels that would load with another driver, by the code of the reason."""
    told = {
        f"{artifact.name or artifact.path}, {library.path}: {reason.message}": None
        for artifact in facts.artifacts
        for device in facts.devices
        for _, chosen in choose(artifact, device)
        for library, verdict in zip(chosen.libraries, judge(chosen, device, _driver(facts)).parts, strict=True)
        for reason in verdict.reasons
        if reason.code == code and reason.outcome is Outcome.FAILS
    }
    return tuple(told)[:_MOST_SHOWN]


def _needed(facts: _Facts) -> Requirement | None:
    """What the message says that a GPU has to be."""
    if facts.found.message.requires is not None:
        return facts.found.message.requires
    text = facts.params.get("floor") or facts.params.get("needed")
    return Requirement.parse(f">={Target.parse(text).capability}") if text else None


def _gpu_lacks_feature(facts: _Facts) -> _Answer:
    needed = _needed(facts)
    if needed is not None:
        outcomes = {judge(needed, device).outcome for device in facts.devices}
        said = f"needed: {needed}"
        if outcomes == {Outcome.FAILS}:
            return _holds(f"visible: {facts.listed_devices}", said)
        # A suffix names more than a number: which higher ones have that too, the message does not say.
        if outcomes == {Outcome.RUNS} and not facts.params.get("needed", "").endswith(("a", "f")):
            return _excluded(f"visible: {facts.listed_devices}", said)
        open_ = "needed" not in facts.params or outcomes
        return (State.OPEN, (said,)) if open_ else _holds(f"the message says: {said}")
    if facts.target is not None and _has_more(facts.target) is False:
        return _holds(f"no variant of {facts.target} has more")
    return _OPEN


def _has_more(target: Target) -> bool | None:
    """Whether toolkits know the number of *target* with a suffix, for it has none; None for an unknown number."""
    if target.suffix is not Suffix.NONE:
        return False
    known = tables().emitting_toolkits
    variants = (Suffix.ARCH_SPECIFIC, Suffix.FAMILY_SPECIFIC)
    if any(known(Target(target.capability, suffix)) for suffix in variants):
        return True
    return None if known(target) is None else False


def _target_without_suffix(facts: _Facts) -> _Answer:
    if "needed" in facts.params:
        return _excluded(f"a target of {facts.params['needed']} would do")
    if facts.target is not None and (more := _has_more(facts.target)) is not None:
        if not more:
            return _excluded(f"{facts.target} has no variant with more")
        return State.OPEN, (f"{facts.target} has variants with more",)
    return _OPEN


def _code_of_a_sibling(facts: _Facts) -> _Answer:
    families = [(tables().family(device.capability), device.capability) for device in facts.devices]
    if families and all(family is not None and family.members[0] == here for family, here in families):
        return _excluded(f"no lower member of the family than {facts.listed_devices}")
    return _OPEN


# -- driver and libraries


def _driver_missing(facts: _Facts) -> _Answer:
    if facts.system is None or facts.system.absence != "no-nvidia-device" or facts.answered is not None:
        return facts.absence("no-driver")
    # No GPU was found; whether there is a driver nevertheless, its parts tell.
    parts = facts.system.driver_state
    if parts.kernel_module is not None:
        return _excluded(f"the kernel module {parts.kernel_module} is loaded")
    if (library := parts.library_path or parts.user_library) is not None:
        return State.OPEN, (f"libcuda is there ({library}), and no kernel module is loaded",)
    return facts.absence("no-nvidia-device")


def _driver_library_not_found(facts: _Facts) -> _Answer:
    parts = facts.system.driver_state if facts.system else DriverState()
    loads = bool(facts.devices) or parts.error is not None or parts.user_library is not None
    if facts.code == "driver-library" and loads:
        path = f" from {parts.library_path}" if parts.library_path else ""
        return State.OPEN, (f"libcuda loads here{path}: what printed the message looks elsewhere",)
    return facts.absence("driver-library-missing")


def _runtime_newer(facts: _Facts) -> _Answer:
    if facts.answered is not None:
        return _holds(f"the message says: the driver is of CUDA {facts.answered}", *dict(_runtimes(facts)))
    driver = _driver(facts)
    if driver is None:
        return _OPEN
    newest = tables().driver_cuda(driver)
    runtimes = dict(_runtimes(facts))
    said = f"the driver is of CUDA {newest}"
    newer = [name for name, major in runtimes.items() if not starts(major, driver)]
    if newer:
        return _holds(said, *newer)
    return State.OPEN, (said, *runtimes)


def _runtimes(facts: _Facts) -> Iterator[tuple[str, int]]:
    """CUDA runtimes that are installed, with their major versions."""
    for name, version in facts.distributions.items():
        text = f"{name} {version}"
        if match := re.fullmatch(r"nvidia-cuda-runtime-cu([0-9]{2})", name):
            yield text, int(match[1])
        elif name == "nvidia-cuda-runtime" and (match := re.match(r"[0-9]{2}", version)):
            yield text, int(match[0])
        elif name == "torch" and (match := re.search(r"\+cu([0-9]{2})[0-9]", version)):
            yield text, int(match[1])


def _compat_library(facts: _Facts) -> _Answer:
    if facts.code == "forward-compat":
        return _OPEN
    return facts.absence("forward-compat-unsupported")


# Who defines a symbol, by its name: namespaces as the Itanium C++ ABI writes them, else the prefixes of C interfaces.
_OWNERS = {
    "built-for-another-torch": (
        "torch's C++ interface",
        re.compile(r"_Z(?:T[VISTC])?NK?(?:3c10|2at|5torch|6caffe2)|(?:aoti_)?torch_|THP[A-Z]"),
    ),
    "cuda-library-of-another-release": (
        "a library of CUDA",
        re.compile(
            r"_{0,2}(?:nvJitLink|nvrtc|cublas|cudnn|cusparse|cusolver|cufft|curand|nccl|cupti|nvshmem|cuda[A-Z])"
        ),
    ),
    "built-for-another-python": ("Python's C interface", re.compile(r"_?Py(?:[A-Z][A-Za-z]*)?_")),
}


def _symbol_of(cause: str) -> Callable[[_Facts], _Answer]:
    def test(facts: _Facts) -> _Answer:
        if "undefined-symbol" not in facts.codes:
            return _OPEN
        symbol = facts.others.get("symbol")
        owner, pattern = _OWNERS[cause]
        if symbol is None:
            return State.OPEN, ("the log says: undefined symbol",)
        if pattern.match(symbol) is None:
            return _excluded(f"{symbol} is none of {owner}")
        return _holds(f"{symbol} is of {owner}", *_about_symbol(symbol), *_about_packages(cause, symbol, facts))

    return test


def _other_symbol(facts: _Facts) -> _Answer:
    symbol = facts.params.get("symbol")
    if symbol is None:
        return _OPEN
    owner = next((whose for whose, pattern in _OWNERS.values() if pattern.match(symbol)), None)
    if owner is not None:
        return _excluded(f"{symbol} is of {owner}")
    return State.OPEN, ((f"{symbol} is of the driver's library, libcuda",) if re.match("cu[A-Z]", symbol) else ())


def _about_symbol(symbol: str) -> Iterator[str]:
    if "__cxx1112basic_string" in symbol:
        yield "its strings are those of the C++11 ABI"
    elif re.search(r"(?:E|RK|_)Ss", symbol):
        yield "its strings are those of the ABI before C++11, which most builds of torch before 2.7 used"


def _about_packages(cause: str, symbol: str, facts: _Facts) -> Iterator[str]:
    """The library that asks for it, and what is installed of those that should define it."""
    path = re.split(r"(?:site|dist)-packages/", facts.others.get("library", ""))[-1]
    top = posixpath.normpath(path).split("/")
    module = "-".join(top[:2] if top[0] == "nvidia" else top[:1]).lower().replace("_", "-")
    yield from (f"asked for by {name} {version}" for name, version in _installed(facts) if _is_of(module, name))
    if cause == "built-for-another-torch" and "torch" in facts.distributions:
        yield f"installed: torch {facts.distributions['torch']}"
    if cause == "cuda-library-of-another-release":
        word = re.sub(r"^_*", "", symbol).lower()
        part = next((name for name in _CUDA_PARTS if word.startswith(name)), None)
        wheel = f"nvidia-{_CUDA_PARTS[part]}" if part else None
        yield from (f"installed: {name} {v}" for name, v in _installed(facts) if wheel and name.startswith(wheel))
        if "LD_LIBRARY_PATH" in facts.environment:
            yield f"LD_LIBRARY_PATH={facts.environment['LD_LIBRARY_PATH']}"


# What a symbol begins with, and the package that brings the library.
_CUDA_PARTS = {
    **{name: name for name in ("nvjitlink", "cublas", "cudnn", "cusparse", "cusolver", "cufft", "curand", "nccl")},
    "nvrtc": "cuda-nvrtc",
    "cupti": "cuda-cupti",
    "cuda": "cuda-runtime",
}


def _installed(facts: _Facts) -> list[tuple[str, str]]:
    found = {one.name: one.version or "" for one in facts.artifacts if one.name}
    return sorted((facts.distributions | found).items())


def _said_in_log(code: str, text: str) -> Callable[[_Facts], _Answer]:
    def test(facts: _Facts) -> _Answer:
        return _holds(f"the log says: {text}") if code in facts.codes and facts.code != code else _OPEN

    return test


def _fewer_visible(facts: _Facts) -> _Answer:
    if facts.system is None:
        return _OPEN
    value = facts.system.visibility.visible_devices
    said = f"CUDA_VISIBLE_DEVICES={value}" if value is not None else "CUDA_VISIBLE_DEVICES is not set"
    return State.OPEN, (f"{len(facts.devices)} visible; {said}",)


_BROKEN = (
    "driver-failed",
    "driver-library-mismatch",
    "forward-compat-unsupported",
    "probe-timed-out",
    "probe-crashed",
)
# The probe's own failures, which say nothing about the driver.
_NOT_LOOKED = ("platform-not-probed", "probe-failed")
_HIDDEN = ("hidden-by-environment", "container-without-devices", "no-nvidia-device")


# Causes that scans of packages may decide.
_BY_PACKAGES = frozenset(
    {
        "build-lacks-device",
        "gpus-differ",
        "prebuilt-before-jit",
        "ptx-newer-than-the-driver",
        "library-without-this-gpu",
        "compression-newer-than-the-driver",
    }
)

# Causes that no fact decides have no test: they stay open.
_TESTS: dict[str, Callable[[_Facts], _Answer]] = {
    "no-gpu-visible": lambda facts: facts.absence(*_HIDDEN),
    "driver-does-not-work": lambda facts: facts.absence(*_BROKEN),
    "driver-missing": _driver_missing,
    "driver-library-not-found": _driver_library_not_found,
    "hidden-by-variable": lambda facts: facts.absence("hidden-by-environment"),
    "container-without-gpus": lambda facts: facts.absence("container-without-devices"),
    "fewer-gpus-visible": _fewer_visible,
    "torch-without-cuda": _torch_without_cuda,
    "forked-child": _forked_child,
    "wrong-compiler-first": _wrong_compiler_first,
    "compiler-too-old": _compiler_too_old,
    "compiler-dropped-target": _compiler_dropped_target,
    "another-compiler-ran": _another_compiler_ran,
    "target-not-of-this-machine": _target_not_of_this_machine,
    "list-below-floor": _list_below_floor,
    "gpu-below-floor": _gpu_below_floor,
    "torch-lacks-device": _torch_lacks_device,
    "warning-is-wrong": _warning_is_wrong,
    "build-lacks-device": _build_lacks_device,
    "library-without-this-gpu": _library_without_gpu,
    "compression-newer-than-the-driver": _compression_newer,
    "gpus-differ": _gpus_differ,
    "prebuilt-before-jit": _prebuilt_before_jit,
    "switched-off-by-variable": _switched_off,
    "ptx-newer-than-the-driver": _ptx_newer,
    "ptxas-older-than-the-ptx": _ptxas_older,
    "gpu-lacks-feature": _gpu_lacks_feature,
    "target-without-suffix": _target_without_suffix,
    "code-of-a-sibling": _code_of_a_sibling,
    "runtime-newer-than-driver": _runtime_newer,
    "compat-library-not-supported": _compat_library,
    **{cause: _symbol_of(cause) for cause in _OWNERS},
    "linked-with-another-library": _other_symbol,
    "library-not-there": _said_in_log("missing-library", "cannot open shared object file"),
}
