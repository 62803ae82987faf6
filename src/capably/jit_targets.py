"""What to tell a tool that compiles on the machine, so that it compiles for the GPUs there and for nothing else.

Facts in (devices, driver, compiler, versions of the installed distributions), variables out. What each version of a
tool makes of a list is known to `capably.archlist`, and what serves a GPU is proved by `capably.plan`. A plan for
several GPUs is the smallest set that covers them; here each gets what the tool would choose for it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.arch import Target
from capably.archlist import NoteKind, applying, read
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import DialectError, UnknownNameError
from capably.facts import Device, Driver, Toolkit
from capably.list_output import deciding, environment, offers
from capably.plan import PlanPolicy, plan, toolkit_named
from capably.requirement import Requirement
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from capably.list_output import Entry
    from capably.plan import Served
    from capably.version import CudaVersion

__all__ = ["TOOLS", "JitTargets", "JitTool", "Unusable", "choose_jit_targets", "own_choice"]


@dataclass(frozen=True, slots=True)
class JitTool:
    """A tool that compiles on the machine where it is used.

    Attributes:
        title: What it is called in sentences.
        distributions: Names under which it is installed.
        dialect: In which it is told.
    """

    title: str
    distributions: tuple[str, ...]
    dialect: str


TOOLS = {
    "flashinfer": JitTool("FlashInfer", ("flashinfer-python", "flashinfer"), "flashinfer"),
    "torch": JitTool("torch", ("torch",), "torch-python"),
}


@dataclass(frozen=True, slots=True)
class Unusable:
    """A GPU that the tool cannot serve.

    Attributes:
        device: The GPU.
        reasons: Why not, a sentence each.
        way_out: What to do; may be empty.
    """

    device: Device
    reasons: tuple[str, ...]
    way_out: str = ""


@dataclass(frozen=True, slots=True)
class JitTargets:
    """What to set, and for what that is good.

    Attributes:
        tool: A key of `TOOLS`.
        version: Of the installed tool; None where none is installed, so that the newest known is taken.
        variables: Names and values to set. Empty where no GPU can be served.
        targets: What the tool compiles for with them.
        served: The GPUs that it then serves.
        unusable: The others, and why.
        notes: What had to be assumed, and what else surprises.
    """

    tool: str
    version: str | None
    variables: tuple[tuple[str, str], ...] = ()
    targets: tuple[Target, ...] = ()
    served: tuple[Device, ...] = ()
    unusable: tuple[Unusable, ...] = ()
    notes: tuple[str, ...] = ()


def choose_jit_targets(
    tool: str,
    devices: Iterable[Device],
    *,
    driver: Driver | None = None,
    toolkit: Toolkit | None = None,
    versions: Mapping[str, str] | None = None,
) -> JitTargets:
    """What makes *tool* compile for exactly those of *devices* that it can serve.

    Args:
        tool: A key of `TOOLS`.
        devices: The GPUs, in the order of the process.
        driver: That would load the code.
        toolkit: The compiler that the tool would run; None where none is known.
        versions: Of the installed distributions, by name: that of the tool decides the dialect.

    Raises:
        UnknownNameError: There is no such tool.

    >>> from capably.arch import ComputeCapability
    >>> from capably.facts import Device
    >>> mixed = [Device(ComputeCapability(7, 0)), Device(ComputeCapability(9, 0))]
    >>> found = choose_jit_targets("flashinfer", mixed, versions={"flashinfer-python": "0.2.5", "torch": "2.13.0"})
    >>> found.variables, [str(one.device.capability) for one in found.unusable]
    ((('TORCH_CUDA_ARCH_LIST', '9.0'),), ['7.0'])
    >>> choose_jit_targets("flashinfer", mixed, versions={"flashinfer-python": "0.7.2.post1"}).variables
    (('FLASHINFER_CUDA_ARCH_LIST', '9.0a'),)
    """
    if tool not in TOOLS:
        raise UnknownNameError("tool", tool, (), tuple(TOOLS))
    known = versions or {}
    gpus = tuple(devices)
    version = next((known[name] for name in TOOLS[tool].distributions if name in known), None)
    notes = []
    if not gpus:
        return JitTargets(tool, version)
    if version is None:
        notes.append(f"{TOOLS[tool].distributions[0]} is not installed here: taken as the newest version that is known")
    dialect, asked_version = TOOLS[tool].dialect, version
    required = applying(dialect, version).requires
    if deciding(dialect, version) != dialect:
        dialect, asked_version = deciding(dialect, version), known.get("torch")
        notes.append(f"{TOOLS[tool].title} {version} leaves the list to torch")
    if toolkit is None or toolkit.cuda is None:
        notes.append(f"there is no nvcc that {TOOLS[tool].title} would run, so what it would refuse is not known")
    asking = _Asking(Requirement.parse(required) if required else None, dialect, asked_version, driver, toolkit)
    targets: dict[Target, None] = {}
    served, unusable = [], []
    for device in gpus:
        found = asking.about(device)
        if isinstance(found, Unusable):
            unusable.append(found)
            continue
        served.append(device)
        targets.update(dict.fromkeys(found))
    chosen = tuple(sorted(targets))
    variables: dict[str, str] = {}
    if chosen:
        variables = environment(chosen, dialect, asked_version, toolkit=asking.cuda)
        reading = read(next(iter(variables.values())), dialect, asked_version, toolkit=asking.cuda)
        notes += [note.message for note in reading.notes if note.kind is NoteKind.SURPRISE]
    return JitTargets(
        tool, version, tuple(variables.items()), chosen, tuple(served), tuple(unusable), tuple(dict.fromkeys(notes))
    )


def own_choice(version: str | None, device: Device, cuda: CudaVersion | None) -> Entry | Unusable:
    """What FlashInfer chooses by itself for *device* alone, which is more than its number, or why it refuses it.

    Args:
        version: Of FlashInfer, one that reads a list of its own; None for the newest known.
        device: The GPU.
        cuda: The version of the nvcc that it would run; None where that is not known.

    >>> from capably.arch import ComputeCapability
    >>> [str(target) for target in own_choice("0.7.2", Device(ComputeCapability(9, 0)), None)]
    ['sm_90a']
    >>> from capably.version import CudaVersion
    >>> own_choice("0.7.2", Device(ComputeCapability(10, 3)), CudaVersion(12, 8)).way_out
    'Use CUDA 12.9 or newer.'
    """
    chosen = read(None, "flashinfer", version, devices=[device.capability], toolkit=cuda)
    if chosen.error is not None or not chosen.targets:
        problem = chosen.error
        return _unusable(device, [(problem.message, problem.way_out)] if problem else [])
    later = [note.message for note in chosen.notes if note.kind in (NoteKind.LATER, NoteKind.REFUSED)]
    if not later:
        return chosen.targets
    span = tables().emitting_toolkits(chosen.targets[0])
    return _unusable(device, [(message, _takes(span) if span else "") for message in later])


@dataclass(frozen=True, slots=True)
class _Asking:
    """What is required of a GPU, in which words the tool is asked, and what is known of the machine."""

    required: Requirement | None
    dialect: str
    version: str | None
    driver: Driver | None
    toolkit: Toolkit | None

    @property
    def cuda(self) -> CudaVersion | None:
        return self.toolkit.cuda if self.toolkit is not None else None

    def about(self, device: Device) -> Entry | Unusable:
        """The targets for one device, or why there are none."""
        if self.required is not None:
            verdict = judge(self.required, device, self.driver)  # what the compiler lacks is told by what is chosen
            if verdict.outcome is Outcome.FAILS:
                against = [reason for reason in verdict.reasons if reason.outcome is Outcome.FAILS]
                return _unusable(device, [(reason.message, reason.way_out) for reason in against])
        if self.dialect != "flashinfer":
            return self.planned(device)
        chosen = own_choice(self.version, device, self.cuda)
        if isinstance(chosen, Unusable) or self.cuda is None:
            return chosen
        return self.proved(device, [chosen], (PlanPolicy.NATIVE,))

    def planned(self, device: Device) -> Entry | Unusable:
        """Machine code for one GPU, best of its own number; PTX where the toolkit has none."""
        emitter = toolkit_named(self.cuda) if self.cuda is not None else None
        if emitter is not None:
            offered = offers(self.dialect, self.version, emitter.targets, emitter.cuda)
            return self.proved(device, offered, (PlanPolicy.NATIVE, PlanPolicy.SIZE))
        try:
            environment([Target(device.capability)], self.dialect, self.version)
        except DialectError as error:
            return _unusable(device, [(error.problem, "")])
        return (Target(device.capability),)

    def proved(self, device: Device, offered: Sequence[Entry], policies: Iterable[PlanPolicy]) -> Entry | Unusable:
        """The first plan that covers *device*, or why none does."""
        emitter = toolkit_named(self.cuda) if self.cuda is not None else None
        if emitter is None:  # beyond the tables: nothing can be proved, and nothing is refused
            return offered[0]
        gpu = (device, self.driver or tables().newest_driver(device.capability))
        found = None
        for policy in policies:
            found = plan([gpu], emitter, policy=policy, offers=offered)
            if found.complete:
                return found.targets
        return _unusable(device, _against(found.served[0]) if found else [])


def _unusable(device: Device, against: Iterable[tuple[str, str]]) -> Unusable:
    told = dict(against)
    way_out = next((text for text in told.values() if text), "")
    return Unusable(device, tuple(told), way_out[:1].upper() + way_out[1:])


def _against(served: Served) -> list[tuple[str, str]]:
    """What stands against a GPU that no plan covers."""
    blocked = [(finding.message, "") for finding in served.blocked]
    takes = _takes((served.toolkits[0], served.toolkits[-1])) if served.toolkits else ""
    failing = [reason for reason in served.verdict.reasons if reason.outcome is served.outcome]
    return [*blocked, *((reason.message, takes or reason.way_out) for reason in failing)]


def _takes(span: tuple[CudaVersion, CudaVersion]) -> str:
    first, last = span
    return f"Use CUDA {first} or newer." if last == tables().toolkits[-1].cuda else f"Use CUDA {first} to {last}."
