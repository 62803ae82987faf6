"""Which targets to build for given GPUs: the smallest set that covers them, and the proof.

A toolkit emits some targets, a list in some dialect can say some of them, and the engine says what each does
on each device. From these answers alone the smallest set is searched, exhaustively: there is no rule about
architectures here. What was chosen is judged once more as one fatbin, and that verdict is the proof.
"""

from __future__ import annotations

import enum
import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably import facts
from capably.arch import Suffix, Target, TargetKind, by_kind
from capably.engine import Verdict, emits, judge, reaches
from capably.facts import Device, Driver, Fatbin, Finding, Image, ImageKind, Library, ToolkitKind
from capably.reasons import FINDINGS, Outcome
from capably.requirement import CodeFor, Comparison, Limit, NamedFeature, OneOf, Requirement, Version
from capably.tables import Toolkit, tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.spelling import Entry
    from capably.version import PtxVersion

__all__ = ["Plan", "Policy", "Served", "compiled", "entries", "plan", "toolkit_named", "undecided"]


class Policy(enum.StrEnum):
    """What a plan is for."""

    NATIVE = "native"  # machine code for every GPU
    EACH = "each"  # what every GPU would get if it were the only one: machine code, else PTX
    PTX = "ptx"  # machine code where the toolkit has it, and PTX for GPUs to come
    SIZE = "size"  # the fewest images, even if some GPUs have PTX only


@dataclass(frozen=True, slots=True)
class Served:
    """One GPU, and what the plan does for it.

    Attributes:
        device: The GPU.
        driver: By which driver; marked as assumed where nobody named one.
        verdict: Of the planned images as one fatbin, on this device: the proof. Images that cannot hold what is
            needed there are left out of it. For a GPU that is not covered, of all images that the policy could have
            taken: why none of them would do; or of the requirement, where the GPU does not meet it.
        covered: Whether what the policy promises certainly holds.
        blocked: Why nothing that this toolkit builds starts there, whatever its targets; empty where that is not so.
        toolkits: For a GPU that is not covered: the toolkits that would cover it, in rising order.
        unsaid: For a GPU that is not covered: targets that would cover it and that the tool cannot be asked for.
        unmet: The GPU does not meet the requirement, or it is not known whether it does.
        ptx: For a GPU that is not covered: PTX of this toolkit would do there.
    """

    device: Device
    driver: Driver
    verdict: Verdict
    covered: bool
    blocked: tuple[Finding, ...] = ()
    toolkits: tuple[CudaVersion, ...] = ()
    unsaid: tuple[Target, ...] = ()
    unmet: bool = False
    ptx: bool = False

    @property
    def outcome(self) -> Outcome:
        """What becomes of the planned code there; for a GPU that is not covered, of the best that there is for it."""
        return self.verdict.outcome or Outcome.FAILS

    @property
    def by(self) -> tuple[Target, ...]:
        """The planned targets that the outcome rests on, in the order of the plan."""
        parts = (part for part in self.verdict.parts if part.outcome is self.outcome and part.image is not None)
        return tuple(part.image.target for part in parts if part.image is not None and part.image.target is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build, and what it does.

    Attributes:
        toolkit: The CUDA version of the compiler.
        policy: What the plan is for.
        needs: What the code needs of a GPU; None where nothing was said.
        targets: Real ones in rising order, then PTX. Empty where nothing can be covered.
        served: One for each GPU that was asked for, in that order.
        findings: What could not be had, and which toolkit would have it.
        toolkits: Where GPUs are left uncovered: the toolkits that would cover all of them.
    """

    toolkit: CudaVersion
    policy: Policy
    needs: Requirement | None
    targets: tuple[Target, ...]
    served: tuple[Served, ...]
    findings: tuple[Finding, ...] = ()
    toolkits: tuple[CudaVersion, ...] = ()

    @property
    def complete(self) -> bool:
        """Every GPU is certainly covered."""
        return all(one.covered for one in self.served)

    @property
    def unsettled(self) -> bool:
        """Some GPU is not covered, and of each of those it is unknown rather than certain that it is not."""
        left = [one for one in self.served if not one.covered]
        return bool(left) and all(one.outcome is Outcome.UNKNOWN and not one.blocked for one in left)

    def covers(self, target: Target) -> tuple[Served, ...]:
        """The GPUs that rest on *target*."""
        return tuple(one for one in self.served if one.covered and target in one.by)


def toolkit_named(cuda: CudaVersion) -> Toolkit | None:
    """The toolkit of that version; None where the tables know none."""
    return next((toolkit for toolkit in tables().toolkits if toolkit.cuda == cuda), None)


def compiled(target: Target, cuda: CudaVersion) -> Image:
    """The image that the compiler of *cuda* makes for *target*.

    >>> from capably.version import CudaVersion
    >>> compiled(Target.parse("compute_90"), CudaVersion(12, 8)).ptx
    PtxVersion(major=8, minor=7)
    """
    if target.kind is TargetKind.VIRTUAL:
        return Image(ImageKind.PTX, target, ptx=_ptx_version(cuda), toolkit=cuda)
    return Image(ImageKind.SASS, target, toolkit=cuda)


def _ptx_version(cuda: CudaVersion) -> PtxVersion | None:
    """The PTX ISA version that a toolkit writes; None beyond the tables."""
    return next((ptx for version, ptx in tables().ptx if version == cuda), None)


@functools.cache
def entries(toolkit: Toolkit) -> tuple[Entry, ...]:
    """Every target of *toolkit*, each by itself, as nvcc can be asked for it.

    PTX with the suffix `a` is left out: it is for one capability, where machine code loads as well.
    """
    real = sorted(map(Target.parse, toolkit.targets))
    virtual = [
        Target(target.capability, target.suffix, TargetKind.VIRTUAL)
        for target in real
        if target.suffix is not Suffix.ARCH_SPECIFIC
    ]
    return tuple((target,) for target in (*real, *virtual))


def plan(
    gpus: Sequence[tuple[Device, Driver]],
    toolkit: Toolkit,
    *,
    policy: Policy = Policy.NATIVE,
    offers: Iterable[Entry] | None = None,
    needs: Requirement | None = None,
) -> Plan:
    """The smallest set of targets that covers *gpus*.

    Args:
        gpus: Devices, each with the driver that loads the code.
        toolkit: The compiler, as `toolkit_named` finds it.
        policy: What to promise each GPU.
        offers: What can be asked for, as `capably.spelling.offers` tells it of a tool; by default every target of the
            toolkit.
        needs: What the code needs. A GPU that does not meet it is not covered, and a target counts for a GPU only if
            code for it can hold what is needed: an H100 that needs ``9.0a`` is served by ``sm_90a`` alone.

    Returns:
        The plan. Of several smallest sets it is the one that has machine code for the most GPUs, then that names
        the most GPUs by their own number, then whose suffixes reach furthest (none, `f`, `a`), then that has the
        highest numbers.

    Raises:
        UnknownNameError: *needs* names a feature that the tables do not know.

    >>> from capably.arch import ComputeCapability
    >>> from capably.version import CudaVersion
    >>> gpus = [(Device(c), tables().newest_driver(c)) for c in map(ComputeCapability.parse, ("8.0", "8.6", "9.0"))]
    >>> built = plan(gpus, toolkit_named(CudaVersion(12, 8)))
    >>> [str(target) for target in built.targets], built.complete
    (['sm_80', 'sm_90'], True)
    >>> [str(target) for target in plan(gpus, toolkit_named(CudaVersion(12, 8)), needs=Requirement.parse("9.0a")).targets]
    ['sm_90a']
    """
    offered = entries(toolkit) if offers is None else tuple(offers)
    chosen = _Search(gpus, toolkit, policy, offered, needs).run()
    targets = tuple(sorted(chosen, key=by_kind))
    served = tuple(
        _served(gpu, targets, toolkit, policy, needs) or _refused(gpu, offered, toolkit, policy, needs) for gpu in gpus
    )
    return Plan(
        toolkit.cuda,
        policy,
        needs,
        targets,
        served,
        (*_no_forward(policy, targets, offered, needs), *_not_emitted(gpus, toolkit)),
        () if all(one.covered for one in served) else _toolkits(gpus, policy, needs),
    )


def undecided(
    gpus: Sequence[tuple[Device, Driver]], cuda: CudaVersion, policy: Policy, needs: Requirement | None = None
) -> Plan:
    """The plan for a toolkit that the tables do not know: what it emits is unknown, so nothing is promised."""
    known = tables().toolkits
    beyond = Finding(
        "toolkit-beyond-tables",
        f"CUDA {cuda}",
        FINDINGS["toolkit-beyond-tables"].message.format(
            subject=f"CUDA {cuda}", oldest=known[0].cuda, newest=known[-1].cuda
        ),
    )
    served = tuple(
        Served(
            device,
            driver,
            Verdict(f"what CUDA {cuda} emits", device, driver, Outcome.UNKNOWN),
            covered=False,
            toolkits=_toolkits([(device, driver)], policy, needs),
        )
        for device, driver in gpus
    )
    return Plan(cuda, policy, needs, (), served, (beyond,), _toolkits(gpus, policy, needs))


_WANTED = {
    Policy.NATIVE: (Outcome.RUNS,),
    Policy.EACH: (Outcome.RUNS, Outcome.COMPILES),
    Policy.PTX: (Outcome.RUNS, Outcome.COMPILES),
    Policy.SIZE: (Outcome.RUNS, Outcome.COMPILES),
}


def _served(
    gpu: tuple[Device, Driver],
    targets: Sequence[Target],
    toolkit: Toolkit,
    policy: Policy,
    needs: Requirement | None,
) -> Served | None:
    """A GPU that *targets* cover, with the proof; None where they do not."""
    device, driver = gpu
    if not _blocked(device, driver, toolkit.cuda):
        fitting = [target for target in targets if _fits(needs, target, device, driver, toolkit.cuda)]
        verdict = _fatbin(fitting, gpu, toolkit.cuda)
        if verdict.outcome in _WANTED[policy]:
            return Served(device, driver, verdict, covered=True)
    return None


@functools.lru_cache(maxsize=1024)
def _refused(
    gpu: tuple[Device, Driver],
    offered: tuple[Entry, ...],
    toolkit: Toolkit,
    policy: Policy,
    needs: Requirement | None,
) -> Served:
    """A GPU that nothing on offer covers, and why."""
    device, driver = gpu
    blocked = _blocked(device, driver, toolkit.cuda)
    if (unmet := _unmet(needs, device, driver)) is not None:
        return Served(device, driver, unmet, covered=False, blocked=blocked, unmet=True)
    # Machine code that was left out because PTX was promised is no reason, and the other way round.
    emitted = [
        target
        for target in itertools.chain.from_iterable(entries(toolkit))
        if Outcome.COMPILES in _WANTED[policy] or target.kind is TargetKind.REAL
    ]
    sayable = set(itertools.chain.from_iterable(offered))
    fitting = [target for target in emitted if _fits(needs, target, device, driver, toolkit.cuda)]
    if needs is not None and not fitting:
        # Nothing that this compiler makes can hold what is needed: the engine says which one does.
        verdict = judge(needs, device, driver, toolkit=_compiler(toolkit.cuda))
    else:
        verdict = _fatbin([target for target in fitting if target in sayable], gpu, toolkit.cuda)
    unsaid = tuple(
        target
        for target in fitting
        if target not in sayable and not blocked and _outcome(target, toolkit.cuda, gpu, needs) in _WANTED[policy]
    )
    toolkits = _toolkits([gpu], policy, needs)
    return Served(
        device,
        driver,
        verdict,
        covered=False,
        blocked=blocked,
        toolkits=toolkits,
        unsaid=unsaid,
        ptx=Outcome.COMPILES not in _WANTED[policy] and _coverable(gpu, toolkit, Policy.PTX, needs),
    )


def _fatbin(targets: Iterable[Target], gpu: tuple[Device, Driver], cuda: CudaVersion) -> Verdict:
    return judge(Fatbin(tuple(compiled(target, cuda) for target in targets)), *gpu)


@functools.lru_cache(maxsize=4096)
def _blocked(device: Device, driver: Driver, cuda: CudaVersion) -> tuple[Finding, ...]:
    """Why nothing that is built by *cuda* starts there: the engine's findings about the runtime library."""
    build = Library(f"a build by CUDA {cuda}", 0, needed=(f"libcudart.so.{cuda.major}",))
    return tuple(found for found in judge(build, device, driver).findings if FINDINGS[found.code].blocks)


@functools.lru_cache(maxsize=65536)
def _outcome(
    target: Target, cuda: CudaVersion, gpu: tuple[Device, Driver], needs: Requirement | None = None
) -> Outcome:
    """Of code for *target* on a GPU. Code that cannot hold what is needed there fails."""
    if not _fits(needs, target, *gpu, cuda):
        return Outcome.FAILS
    return judge(compiled(target, cuda), *gpu).outcome or Outcome.FAILS


# ---------------------------------------------------------------------------------------------------------
# What the code needs. Some conditions are about the GPU and its driver, others about the code for it; a
# comparison of the capability is both: code for 8.0 cannot use what only 8.9 has, wherever it runs.


@functools.lru_cache(maxsize=1024)
def _part(needs: Requirement, *, code: bool) -> Requirement | None:
    """The conditions on code, or those on a device; None where an alternative has none."""
    parts = []
    for clauses in needs.alternatives:
        kept = tuple(clause for clause in clauses if (_about_code if code else _about_device)(clause))
        if not kept:
            return None
        parts.append(kept)
    return Requirement(tuple(parts))


def _about_code(clause: object) -> bool:
    match clause:
        case Comparison() | OneOf() | CodeFor() | NamedFeature():
            return True
        case Limit(what="smem") | Version(what="toolkit"):
            return True
        case _:
            return False


def _about_device(clause: object) -> bool:
    return not isinstance(clause, Version) or clause.what != "toolkit"


@functools.lru_cache(maxsize=4096)
def _unmet(needs: Requirement | None, device: Device, driver: Driver) -> Verdict | None:
    """What stands against the device itself; None where it certainly meets the conditions."""
    part = None if needs is None else _part(needs, code=False)
    verdict = None if part is None else judge(part, device, driver)
    return None if verdict is None or verdict.outcome is Outcome.RUNS else verdict


def _compiler(cuda: CudaVersion) -> facts.Toolkit:
    return facts.Toolkit(ToolkitKind.NVCC, "", cuda=cuda)


def _holds(code: Requirement, target: Target, cuda: CudaVersion) -> bool:
    """Whether code for *target* certainly meets the conditions; PTX can hold what machine code of its name can."""
    real = Target(target.capability, target.suffix)
    return judge(code, real, toolkit=_compiler(cuda)).outcome is Outcome.RUNS


@functools.lru_cache(maxsize=65536)
def _fits(needs: Requirement | None, target: Target, device: Device, driver: Driver, cuda: CudaVersion) -> bool:
    """Whether *device* certainly meets *needs*, and code for *target* can hold what is needed there.

    Alternatives are held against both together: what another GPU needs does not count here.
    """
    if needs is None:
        return True
    for clauses in needs.alternatives:
        one = Requirement((clauses,))
        if _unmet(one, device, driver) is not None:
            continue
        code = _part(one, code=True)
        if code is None or _holds(code, target, cuda):
            return True
    return False


def _own(target: Target, device: Device) -> bool:
    """Whether *target* has the number of *device*, or the one that its hardware had before."""
    architecture = tables().architectures.get(target.capability)
    renamed = architecture.renamed if architecture is not None else None
    return device.capability in (target.capability, renamed)


@functools.lru_cache(maxsize=1024)
def _column(
    gpu: tuple[Device, Driver], toolkit: Toolkit, offers: tuple[Entry, ...], needs: Requirement | None
) -> bytes:
    """For each offer: 1 if there is machine code in it that runs on *gpu*, 2 if PTX that compiles there, or 3."""
    if _blocked(*gpu, toolkit.cuda):
        return bytes(len(offers))
    bits = {Outcome.RUNS: 1, Outcome.COMPILES: 2}
    found = [{bits.get(_outcome(target, toolkit.cuda, gpu, needs), 0) for target in entry} for entry in offers]
    return bytes(sum(outcomes) for outcomes in found)


_NARROW = {Suffix.NONE: 0, Suffix.FAMILY_SPECIFIC: 1, Suffix.ARCH_SPECIFIC: 2}


class _Search:
    """Looks for the smallest set. GPUs are bits of a mask."""

    def __init__(
        self,
        gpus: Sequence[tuple[Device, Driver]],
        toolkit: Toolkit,
        policy: Policy,
        offers: tuple[Entry, ...],
        needs: Requirement | None,
    ) -> None:
        self.gpus = gpus
        self.toolkit = toolkit
        self.policy = policy
        self.needs = needs
        self.offers = offers
        columns = [_column(gpu, toolkit, offers, needs) for gpu in gpus]
        self.runs = [sum((there & 1) << bit for bit, there in enumerate(row)) for row in zip(*columns, strict=True)]
        self.compiles = [sum(there >> 1 << bit for bit, there in enumerate(row)) for row in zip(*columns, strict=True)]

    def run(self) -> set[Target]:
        native = functools.reduce(int.__or__, self.runs, 0)
        usable = functools.reduce(int.__or__, self.compiles, native)
        match self.policy:
            case Policy.NATIVE:
                return self.cover(native, self.runs, set())
            case Policy.EACH:
                chosen = set()
                for gpu in (1 << bit for bit in range(len(self.gpus))):
                    chosen |= self.cover(native & gpu, self.runs, set())
                    chosen |= self.cover(usable & ~native & gpu, self.compiles, set())
                return chosen
            case Policy.SIZE:
                either = [runs | compiles for runs, compiles in zip(self.runs, self.compiles, strict=True)]
                return self.cover(usable, either, set())
            case Policy.PTX:
                chosen = self.cover(native, self.runs, set())
                chosen |= self.cover(usable & ~native, self.compiles, chosen)
                return chosen | self.forward(chosen)

    def cover(self, wanted: int, rows: Sequence[int], there: set[Target]) -> set[Target]:
        """The cheapest targets beside those that are *there* that cover the *wanted* GPUs.

        GPUs that share no offer have nothing to do with each other, so each such group is searched alone.
        """
        chosen: set[Target] = set()
        while wanted:
            group = wanted & -wanted
            grown = 0
            while grown != group:
                grown = group
                group |= functools.reduce(int.__or__, (row for row in rows if row & grown), 0) & wanted
            chosen |= self._group(group, rows, there)
            wanted &= ~group
        return chosen

    def _group(self, group: int, rows: Sequence[int], there: set[Target]) -> set[Target]:
        useful = [index for index, row in enumerate(rows) if row & group]
        best: tuple[tuple[int, ...], set[Target]] | None = None
        for count in range(1, group.bit_count() + 1):
            if best is not None and count > best[0][0]:
                break
            for indices in itertools.combinations(useful, count):
                if group & ~functools.reduce(int.__or__, (rows[index] for index in indices)):
                    continue
                targets = {target for index in indices for target in self.offers[index]}
                key = self._cost(targets - there, indices, group)
                if best is None or key < best[0]:
                    best = key, targets
        return best[1] if best is not None else set()

    def _cost(self, targets: set[Target], indices: Iterable[int], group: int) -> tuple[int, ...]:
        native = functools.reduce(int.__or__, (self.runs[index] for index in indices)) & group
        return (
            len(targets),
            -native.bit_count(),
            -sum(
                group >> bit & 1 and any(_own(target, device) for target in targets)
                for bit, (device, _) in enumerate(self.gpus)
            ),
            sum(_NARROW[target.suffix] for target in targets),
            -sum(target.capability.number for target in targets),
        )

    def forward(self, chosen: set[Target]) -> set[Target]:
        """PTX for GPUs to come: plain, since nothing else reaches them, and of the newest GPU that is served."""
        if any(map(_plain, chosen)):
            return set()
        served = [
            device
            for device, driver in self.gpus
            if any(
                _outcome(target, self.toolkit.cuda, (device, driver), self.needs) is Outcome.RUNS for target in chosen
            )
        ]
        if not served:
            return set()
        newest = max(served, key=lambda device: device.capability)
        # Best beside machine code of the same number: lists of most dialects cannot say one without the other.
        fitting = [
            (len(set(entry) - chosen), Target(target.capability) not in chosen, -target.capability.number, entry)
            for entry in self.offers
            for target in entry
            if _plain(target) and self._allows(target) and reaches(compiled(target, self.toolkit.cuda), newest)
        ]
        return set(min(fitting)[-1]) if fitting else set()

    def _allows(self, target: Target) -> bool:
        """Whether code for *target* can hold what is needed on GPUs to come, which are not there to be asked."""
        code = None if self.needs is None else _part(self.needs, code=True)
        return code is None or _holds(code, target, self.toolkit.cuda)


def _toolkits(
    gpus: Sequence[tuple[Device, Driver]], policy: Policy, needs: Requirement | None
) -> tuple[CudaVersion, ...]:
    """The toolkits that would cover all of *gpus*, whatever a dialect can say."""
    return tuple(
        toolkit.cuda for toolkit in tables().toolkits if all(_coverable(gpu, toolkit, policy, needs) for gpu in gpus)
    )


@functools.lru_cache(maxsize=65536)
def _coverable(gpu: tuple[Device, Driver], toolkit: Toolkit, policy: Policy, needs: Requirement | None) -> bool:
    return not _blocked(*gpu, toolkit.cuda) and any(
        _outcome(target, toolkit.cuda, gpu, needs) in _WANTED[policy] for entry in entries(toolkit) for target in entry
    )


def _plain(target: Target) -> bool:
    """It is PTX for any GPU that is new enough."""
    return target.kind is TargetKind.VIRTUAL and target.suffix is Suffix.NONE


def _no_forward(
    policy: Policy, targets: Sequence[Target], offered: Iterable[Entry], needs: Requirement | None
) -> Iterator[Finding]:
    """That nothing is planned for GPUs to come, where that was the policy."""
    if policy is not Policy.PTX or not targets or any(map(_plain, targets)):
        return
    sayable = any(_plain(target) for entry in offered for target in entry)
    why = f"no plain PTX holds what `{needs}` needs" if sayable else "the tool cannot be asked for plain PTX"
    yield Finding("no-forward-ptx", "", FINDINGS["no-forward-ptx"].message.format(why=why))


def _not_emitted(gpus: Sequence[tuple[Device, Driver]], toolkit: Toolkit) -> Iterator[Finding]:
    """Targets of the numbers of the GPUs that this toolkit lacks, whether something else serves them or not."""
    for capability in sorted({device.capability for device, _ in gpus}):
        target = Target(capability)
        span = tables().emitting_toolkits(target)
        if span is not None and emits(toolkit.cuda, target) is False:
            message = FINDINGS["target-not-emitted"].message
            yield Finding(
                "target-not-emitted",
                str(target),
                message.format(subject=target, toolkit=f"CUDA {toolkit.cuda}", span=_span(span)),
            )


def _span(span: tuple[CudaVersion, CudaVersion]) -> str:
    """The toolkits between two, both included, as people say it."""
    oldest, newest = tables().toolkits[0].cuda, tables().toolkits[-1].cuda
    first, last = span
    if first == last:
        return f"CUDA {first} only"
    if last == newest:
        return f"CUDA {first} or newer"
    return f"CUDA {last} or older" if first == oldest else f"CUDA {first} to {last}"
