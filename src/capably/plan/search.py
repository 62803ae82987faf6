"""Finds the fewest targets that keep a promise."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from capably.arch import Suffix, Target, TargetKind
from capably.codes import FINDINGS, Outcome
from capably.engine import Verdict, emits, reaches
from capably.facts import Device, Driver, Finding
from capably.plan.judging import column_of, holds, outcome_of, own_code, part_of, toolkits_for
from capably.plan.model import Plan, PlanPolicy, Served, compiled
from capably.tables import KnownToolkit, tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.list_output import Entry
    from capably.requirement import Requirement
    from capably.version import CudaVersion

__all__ = ["PlanSearch", "no_forward", "toolkit_named", "undecided", "why_not_emitted"]


def toolkit_named(cuda: CudaVersion) -> KnownToolkit | None:
    """The toolkit of that version; None where the tables know none."""
    return next((toolkit for toolkit in tables().toolkits if toolkit.cuda == cuda), None)


def undecided(
    gpus: Sequence[tuple[Device, Driver]], cuda: CudaVersion, policy: PlanPolicy, needs: Requirement | None = None
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
            toolkits=toolkits_for([(device, driver)], policy, needs),
        )
        for device, driver in gpus
    )
    return Plan(cuda, policy, needs, (), served, (beyond,), toolkits_for(gpus, policy, needs))


_NARROW = {Suffix.NONE: 0, Suffix.FAMILY_SPECIFIC: 1, Suffix.ARCH_SPECIFIC: 2}


class PlanSearch:
    """Looks for the smallest set. GPUs are bits of a mask."""

    def __init__(
        self,
        gpus: Sequence[tuple[Device, Driver]],
        toolkit: KnownToolkit,
        policy: PlanPolicy,
        offers: tuple[Entry, ...],
        needs: Requirement | None,
    ) -> None:
        self.gpus = gpus
        self.toolkit = toolkit
        self.policy = policy
        self.needs = needs
        self.offers = offers
        columns = [column_of(gpu, toolkit, offers, needs) for gpu in gpus]
        self.runs = [sum((there & 1) << bit for bit, there in enumerate(row)) for row in zip(*columns, strict=True)]
        self.compiles = [sum(there >> 1 << bit for bit, there in enumerate(row)) for row in zip(*columns, strict=True)]

    def run(self) -> set[Target]:
        """The fewest targets that keep the promise."""
        native = functools.reduce(int.__or__, self.runs, 0)
        usable = functools.reduce(int.__or__, self.compiles, native)
        match self.policy:
            case PlanPolicy.NATIVE:
                return self.cover(native, self.runs, set())
            case PlanPolicy.EACH:
                chosen = set()
                for gpu in (1 << bit for bit in range(len(self.gpus))):
                    chosen |= self.cover(native & gpu, self.runs, set())
                    chosen |= self.cover(usable & ~native & gpu, self.compiles, set())
                return chosen
            case PlanPolicy.SIZE:
                either = [runs | compiles for runs, compiles in zip(self.runs, self.compiles, strict=True)]
                return self.cover(usable, either, set())
            case PlanPolicy.PTX:
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
                group >> bit & 1 and any(own_code(target, device) for target in targets)
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
                outcome_of(target, self.toolkit.cuda, (device, driver), self.needs) is Outcome.RUNS for target in chosen
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
        code = None if self.needs is None else part_of(self.needs, code=True)
        return code is None or holds(code, target, self.toolkit.cuda)


def _plain(target: Target) -> bool:
    """It is PTX for any GPU that is new enough."""
    return target.kind is TargetKind.VIRTUAL and target.suffix is Suffix.NONE


def no_forward(
    policy: PlanPolicy, targets: Sequence[Target], offered: Iterable[Entry], needs: Requirement | None
) -> Iterator[Finding]:
    """That nothing is planned for GPUs to come, where that was the policy."""
    if policy is not PlanPolicy.PTX or not targets or any(map(_plain, targets)):
        return
    sayable = any(_plain(target) for entry in offered for target in entry)
    why = f"no plain PTX holds what `{needs}` needs" if sayable else "the tool cannot be asked for plain PTX"
    yield Finding("no-forward-ptx", "", FINDINGS["no-forward-ptx"].message.format(why=why))


def why_not_emitted(gpus: Sequence[tuple[Device, Driver]], toolkit: KnownToolkit) -> Iterator[Finding]:
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
