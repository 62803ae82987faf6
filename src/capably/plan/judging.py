"""What targets do on a GPU: the engine asked about code that is still to be made."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from capably import facts
from capably.arch import Target, TargetKind
from capably.codes import FINDINGS, Outcome
from capably.engine import Verdict, judge
from capably.facts import Device, Driver, Fatbin, Finding, Library, ToolkitKind
from capably.plan.model import PlanPolicy, Served, compiled, entries
from capably.requirement import CodeFor, Comparison, Limit, NamedFeature, OneOf, Requirement, Version
from capably.tables import KnownToolkit, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.list_output import Entry
    from capably.version import CudaVersion

__all__ = ["column_of", "holds", "outcome_of", "own_code", "part_of", "refused_by", "served_by", "toolkits_for"]

_WANTED = {
    PlanPolicy.NATIVE: (Outcome.RUNS,),
    PlanPolicy.EACH: (Outcome.RUNS, Outcome.COMPILES),
    PlanPolicy.PTX: (Outcome.RUNS, Outcome.COMPILES),
    PlanPolicy.SIZE: (Outcome.RUNS, Outcome.COMPILES),
}


def served_by(
    gpu: tuple[Device, Driver],
    targets: Sequence[Target],
    toolkit: KnownToolkit,
    policy: PlanPolicy,
    needs: Requirement | None,
) -> Served | None:
    """A GPU that *targets* cover, with the proof; None where they do not."""
    device, driver = gpu
    if not blocked_by(device, driver, toolkit.cuda):
        fitting = [target for target in targets if _fits(needs, target, device, driver, toolkit.cuda)]
        verdict = _fatbin(fitting, gpu, toolkit.cuda)
        if verdict.outcome in _WANTED[policy]:
            return Served(device, driver, verdict, covered=True)
    return None


@functools.lru_cache(maxsize=1024)
def refused_by(
    gpu: tuple[Device, Driver],
    offered: tuple[Entry, ...],
    toolkit: KnownToolkit,
    policy: PlanPolicy,
    needs: Requirement | None,
) -> Served:
    """A GPU that nothing on offer covers, and why."""
    device, driver = gpu
    blocked = blocked_by(device, driver, toolkit.cuda)
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
        if target not in sayable and not blocked and outcome_of(target, toolkit.cuda, gpu, needs) in _WANTED[policy]
    )
    toolkits = toolkits_for([gpu], policy, needs)
    return Served(
        device,
        driver,
        verdict,
        covered=False,
        blocked=blocked,
        toolkits=toolkits,
        unsaid=unsaid,
        ptx=Outcome.COMPILES not in _WANTED[policy] and _coverable(gpu, toolkit, PlanPolicy.PTX, needs),
    )


def _fatbin(targets: Iterable[Target], gpu: tuple[Device, Driver], cuda: CudaVersion) -> Verdict:
    return judge(Fatbin(tuple(compiled(target, cuda) for target in targets)), *gpu)


@functools.lru_cache(maxsize=4096)
def blocked_by(device: Device, driver: Driver, cuda: CudaVersion) -> tuple[Finding, ...]:
    """Why nothing that is built by *cuda* starts there: the engine's findings about the runtime library."""
    build = Library(f"a build by CUDA {cuda}", 0, needed=(f"libcudart.so.{cuda.major}",))
    return tuple(found for found in judge(build, device, driver).findings if FINDINGS[found.code].blocks)


@functools.lru_cache(maxsize=65536)
def outcome_of(
    target: Target, cuda: CudaVersion, gpu: tuple[Device, Driver], needs: Requirement | None = None
) -> Outcome:
    """Of code for *target* on a GPU. Code that cannot hold what is needed there fails."""
    if not _fits(needs, target, *gpu, cuda):
        return Outcome.FAILS
    return judge(compiled(target, cuda), *gpu).outcome or Outcome.FAILS


@functools.lru_cache(maxsize=1024)
def part_of(needs: Requirement, *, code: bool) -> Requirement | None:
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
    part = None if needs is None else part_of(needs, code=False)
    verdict = None if part is None else judge(part, device, driver)
    return None if verdict is None or verdict.outcome is Outcome.RUNS else verdict


def _compiler(cuda: CudaVersion) -> facts.Toolkit:
    return facts.Toolkit(ToolkitKind.NVCC, "", cuda=cuda)


def holds(code: Requirement, target: Target, cuda: CudaVersion) -> bool:
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
        code = part_of(one, code=True)
        if code is None or holds(code, target, cuda):
            return True
    return False


def own_code(target: Target, device: Device) -> bool:
    """Whether *target* has the number of *device*, or the one that its hardware had before."""
    architecture = tables().architectures.get(target.capability)
    renamed = architecture.renamed if architecture is not None else None
    return device.capability in (target.capability, renamed)


@functools.lru_cache(maxsize=1024)
def column_of(
    gpu: tuple[Device, Driver], toolkit: KnownToolkit, offers: tuple[Entry, ...], needs: Requirement | None
) -> bytes:
    """For each offer: 1 if there is machine code in it that runs on *gpu*, 2 if PTX that compiles there, or 3."""
    if blocked_by(*gpu, toolkit.cuda):
        return bytes(len(offers))
    bits = {Outcome.RUNS: 1, Outcome.COMPILES: 2}
    found = [{bits.get(outcome_of(target, toolkit.cuda, gpu, needs), 0) for target in entry} for entry in offers]
    return bytes(sum(outcomes) for outcomes in found)


def toolkits_for(
    gpus: Sequence[tuple[Device, Driver]], policy: PlanPolicy, needs: Requirement | None
) -> tuple[CudaVersion, ...]:
    """The toolkits that would cover all of *gpus*, whatever a dialect can say."""
    return tuple(
        toolkit.cuda for toolkit in tables().toolkits if all(_coverable(gpu, toolkit, policy, needs) for gpu in gpus)
    )


@functools.lru_cache(maxsize=65536)
def _coverable(
    gpu: tuple[Device, Driver], toolkit: KnownToolkit, policy: PlanPolicy, needs: Requirement | None
) -> bool:
    return not blocked_by(*gpu, toolkit.cuda) and any(
        outcome_of(target, toolkit.cuda, gpu, needs) in _WANTED[policy]
        for entry in entries(toolkit)
        for target in entry
    )
