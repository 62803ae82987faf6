"""Whether a device, or code for a target, meets a requirement: one reason for each of its conditions."""

from __future__ import annotations

import functools
import operator
import re
from dataclasses import dataclass, replace

from capably import facts
from capably.arch import ComputeCapability, Suffix, Target
from capably.codes import REASONS, Grade, Outcome, Reason
from capably.engine.compilers import targets_of_compiler
from capably.engine.verdict import SEVERITY, Verdict, deciding_first, worst
from capably.errors import ParseError, UnknownNameError
from capably.facts import Device, Driver, Standing
from capably.requirement import (
    LOADED,
    Clause,
    CodeFor,
    Comparison,
    Generation,
    Limit,
    NamedFeature,
    Not,
    OneOf,
    Requirement,
    Version,
)
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.tables import Feature, Tables
    from capably.version import CudaVersion

__all__ = ["check_requirement", "judge_requirement"]

_ANY = 1 << 30  # as high as a number of a version may be
_COMPARE = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@functools.lru_cache(maxsize=4096)
def judge_requirement(
    requirement: Requirement,
    subject: Device | Target,
    driver: Driver | None,
    toolkit: facts.Toolkit | None,
    installed: tuple[tuple[str, str], ...] | None,
) -> Verdict:
    """The best of its alternatives; each is as good as the worst of its conditions."""
    conditions = _Conditions(subject, driver, toolkit, installed)
    conditions.check(requirement)  # also of those that are not needed for the answer
    judged = [conditions.alternative(clauses) for clauses in requirement.alternatives]
    outcome = min((outcome for outcome, _ in judged), key=SEVERITY.__getitem__)
    # The alternative that comes closest first: fewest conditions that stand against it.
    judged.sort(key=lambda one: (SEVERITY[one[0]], sum(reason.outcome is not Outcome.RUNS for reason in one[1])))
    reasons = tuple(dict.fromkeys(reason for _, found in judged for reason in found))
    return Verdict(str(requirement), conditions.device, driver, outcome, reasons=deciding_first(reasons, outcome))


@functools.lru_cache(maxsize=1024)
def check_requirement(requirement: Requirement) -> tuple[int, ...]:
    """Whether what *requirement* says makes sense, whatever there is: names and suffixes exist, and it can hold.

    Returns:
        The numbers of the alternatives whose conditions can never hold at once.

    Raises:
        UnknownNameError: It names a feature that is not known.
        ParseError: It names a product, or a suffix that no target with that number has.
    """
    _Conditions(Device(_HIGHEST, assumed=True), None, None, None).check(requirement)
    return tuple(number for number, clauses in enumerate(requirement.alternatives) if not _can_hold(clauses))


def _can_hold(clauses: tuple[Clause, ...]) -> bool:
    if any(isinstance(clause, Not) and clause.clause in clauses for clause in clauses):
        return False
    about_number = [
        clause for clause in clauses if isinstance(clause, Comparison | OneOf | CodeFor | NamedFeature | Not)
    ]
    about_number = [c for c in about_number if not (isinstance(c, Not) and isinstance(c.clause, Version))]
    if len(about_number) == 1:  # which most are, and somebody waits: without the tables
        alone = about_number[0]
        if isinstance(alone, Comparison) and (alone.operator, alone.capability) in {("<", _LOWEST), (">", _HIGHEST)}:
            return False
    elif about_number and not _some_capability(about_number):
        return False
    amounts: dict[str, list[Limit | Version]] = {}
    for clause in clauses:
        if isinstance(clause, Limit | Version):
            amounts.setdefault(clause.what, []).append(clause)
    return all(_some_amount(bounds) for bounds in amounts.values())


def _some_capability(clauses: list[Comparison | OneOf | CodeFor | NamedFeature | Not]) -> bool:
    """Whether the conditions do not exclude each other: there is a device on which none fails.

    It is enough to try the known ones, those that are named, and their neighbours: between them nothing changes.
    """
    near = {one for clause in clauses for one in _named_capabilities(clause)}
    numbers = {step for one in near for step in (one.number - 1, one.number, one.number + 1)}
    tried = (
        *tables().architectures,
        *(ComputeCapability.from_number(number) for number in sorted(numbers) if 10 <= number <= _HIGHEST.number),
        _HIGHEST,
    )
    for capability in tried:
        conditions = _Conditions(Device(capability, assumed=True), None, None, None)
        if all(conditions.clause(clause).outcome is not Outcome.FAILS for clause in clauses):
            return True
    return False


def _named_capabilities(clause: Clause) -> tuple[ComputeCapability, ...]:
    match clause:
        case Comparison():
            return (clause.capability,)
        case OneOf():
            ends = (
                (ComputeCapability(m.major, 0), ComputeCapability(m.major, 9))
                for m in clause.members
                if isinstance(m, Generation)
            )
            return (
                *(m for m in clause.members if isinstance(m, ComputeCapability)),
                *(one for pair in ends for one in pair),
            )
        case CodeFor():
            return (clause.target.capability,)
        case Not():
            return _named_capabilities(clause.clause)
        case _:
            return ()


def _some_amount(bounds: list[Limit | Version]) -> bool:
    """Whether the bounds of one quantity leave something between them."""
    ends = {bound.numbers if isinstance(bound, Version) else (bound.amount,) for bound in bounds}
    below = {(*end[:place], end[place] - 1) for end in ends for place in range(len(end)) if end[place]}
    tried = {(0,) * 5} | {
        value
        for end in ends | below
        for step in (-1, 0, 1)
        for rest in (0, _ANY)
        if (value := _padded((*end[:-1], end[-1] + step, *(rest,) * 4), 5))[len(end) - 1] >= 0
    }
    return any(
        all(
            _COMPARE[bound.operator](_padded(value, len(asked)), asked)
            for bound in bounds
            for asked in (bound.numbers if isinstance(bound, Version) else (bound.amount,),)
        )
        for value in tried
    )


_LOWEST, _HIGHEST = ComputeCapability(1, 0), ComputeCapability(99, 9)


@dataclass(frozen=True, slots=True)
class _Conditions:
    """Conditions on one device, or on code for one target."""

    subject: Device | Target
    driver: Driver | None
    toolkit: facts.Toolkit | None
    installed: tuple[tuple[str, str], ...] | None

    @property
    def known(self) -> Tables:
        return tables()

    @property
    def device(self) -> Device:
        return self.subject if isinstance(self.subject, Device) else Device(self.subject.capability, assumed=True)

    @property
    def here(self) -> ComputeCapability:
        return self.subject.capability

    def check(self, requirement: Requirement) -> None:
        """Refuse names and suffixes that there are not."""
        for clauses in requirement.alternatives:
            for clause in clauses:
                bare = clause.clause if isinstance(clause, Not) else clause
                if isinstance(bare, NamedFeature):
                    self.feature(bare.name)
                elif isinstance(bare, CodeFor):
                    self.check_suffix(bare)

    def feature(self, name: str) -> Feature:
        try:
            return self.known.features[name]
        except KeyError:
            if instead := self.known.instead_of_product(name):
                raise ParseError("feature", name, 0, len(name), instead) from None
            import difflib  # noqa: PLC0415 - only for the error

            close = difflib.get_close_matches(name, self.known.features, n=3, cutoff=0.5)
            raise UnknownNameError("feature", name, tuple(close), tuple(sorted(self.known.features))) from None

    def check_suffix(self, clause: CodeFor) -> None:
        """Refuse a target that no toolkit has, nor will: a suffix begins with one architecture and goes on."""
        begins = self.known.first_with_suffix
        if clause.target.capability < begins[clause.target.suffix]:
            text = str(clause)
            where = " and ".join(f"`{suffix}` begins with {first}" for suffix, first in begins.items())
            raise ParseError("requirement", text, len(text) - 1, len(text), f"a target that there is: {where}")

    def reason(  # noqa: PLR0917 - what every reason has
        self,
        code: str,
        outcome: Outcome,
        clause: str,
        found: object = "",
        sources: tuple[str, ...] = (),
        grade: Grade = Grade.DOCUMENTED,
        **params: object,
    ) -> Reason:
        texts = {"clause": clause, "capability": self.here, "found": found, "target": self.subject, **params}
        page = REASONS[code]
        used = f"{page.message} {page.way_out}"
        return Reason(
            code=code,
            outcome=outcome,
            subject=clause,
            params=tuple(sorted((name, str(value)) for name, value in texts.items() if f"{{{name}}}" in used)),
            sources=tuple(dict.fromkeys((*page.sources, *sources))),
            grade=grade,
        )

    def alternative(self, clauses: tuple[Clause, ...]) -> tuple[Outcome, list[Reason]]:
        reasons = [self.clause(clause) for clause in clauses]
        outcome = worst(reasons)
        if outcome is not Outcome.FAILS and self.toolkit is not None:
            doubt = self.emitted(clauses, self.toolkit)
            if doubt is not None:
                reasons.append(doubt)
        return worst(reasons), reasons

    def clause(self, clause: Clause) -> Reason:
        match clause:
            case Comparison():
                return self.comparison(clause)
            case OneOf():
                return self.one_of(clause)
            case CodeFor():
                return self.code_for(clause.target, str(clause))
            case NamedFeature():
                return self.named(clause)
            case Limit():
                return self.limit(clause)
            case Version():
                return self.version(clause)
            case Not():
                return self.opposite(clause)

    def opposite(self, clause: Not) -> Reason:
        found = self.clause(clause.clause)
        params = dict(found.params)
        if found.outcome is Outcome.UNKNOWN:
            told = tuple((name, str(clause) if name == "clause" else value) for name, value in found.params)
            return replace(found, subject=str(clause), params=told)
        of_package = isinstance(clause.clause, Version)
        if found.outcome is Outcome.FAILS:
            return self.met(str(clause), params.get("found") if of_package else None, found.sources)
        if of_package:
            return self.reason("version-not-met", Outcome.FAILS, str(clause), params.get("found", ""))
        return self.reason("device-excluded", Outcome.FAILS, str(clause), sources=found.sources)

    def met(self, clause: str, found: object = None, sources: tuple[str, ...] = ()) -> Reason:
        text = f"compute capability {self.here}" if found is None else found
        return self.reason("requirement-met", Outcome.RUNS, clause, text, sources)

    def beyond(self, clause: str, table: str) -> Reason:
        """The table that would decide does not know this device, or the target."""
        return self.reason(
            "requirement-beyond-tables", Outcome.UNKNOWN, clause, horizon=self.known.capability_horizon(table)
        )

    # -- the compute capability

    def renamed(self, clause: str) -> Reason:
        """One piece of hardware has had two numbers, and the condition holds for one of them."""
        others = (
            one for one in self.known.architectures if one != self.here and self.known.same_hardware(one, self.here)
        )
        return self.reason("requirement-renamed", Outcome.UNKNOWN, clause, renamed=", ".join(map(str, others)))

    def comparison(self, clause: Comparison) -> Reason:
        compare, upward = _COMPARE[clause.operator], clause.operator.startswith(">")
        held = compare(self.here, clause.capability)
        # A new number is the higher one: what is high enough by the old one is so by both, and waits for no table.
        if held is not upward and compare(self.known.number_today(self.here), clause.capability) is not held:
            return self.renamed(str(clause))
        if held:
            return self.met(str(clause))
        return self.reason("device-too-old" if upward else "device-too-new", Outcome.FAILS, str(clause))

    def one_of(self, clause: OneOf) -> Reason:
        if any(_is(self.here, member) for member in clause.members):
            if clause.excluded:
                return self.reason("device-excluded", Outcome.FAILS, str(clause))
            return self.met(str(clause))
        today = self.known.number_today(self.here)
        if any(
            _is(today, member) or (isinstance(member, ComputeCapability) and self.known.number_today(member) == today)
            for member in clause.members
        ):
            return self.renamed(str(clause))
        if clause.excluded:
            return self.met(str(clause))
        return self.reason(self._beside(clause.members), Outcome.FAILS, str(clause))

    def _beside(self, members: tuple[ComputeCapability | Generation, ...]) -> str:
        """Whether the device is older or newer than all of *members*, or in between."""
        lowest = min((m.major, 0 if isinstance(m, Generation) else m.minor) for m in members)
        highest = max((m.major, 9 if isinstance(m, Generation) else m.minor) for m in members)
        here = (self.here.major, self.here.minor)
        return "device-too-old" if here < lowest else "device-too-new" if here > highest else "device-not-listed"

    def code_for(self, target: Target, clause: str) -> Reason:
        """Whether code for *target*, which has a suffix, is for this device; or such code is what a target makes."""
        reach = self._reach(target)
        if reach is None:
            if self.here < target.capability:
                return self.reason("device-too-old", Outcome.FAILS, clause)
            if self._never(target):
                return self.reason("device-too-new", Outcome.FAILS, clause)
            return self.beyond(clause, "families")
        if self.here not in reach:
            if self.known.same_hardware(target.capability, self.here):
                return self.renamed(clause)
            if self.known.family(self.known.number_today(self.here)) is None and not self._never(target):
                return self.beyond(clause, "families")
            return self.reason(self._beside(reach), Outcome.FAILS, clause)
        if isinstance(self.subject, Target) and not _covers(self.subject.suffix, target.suffix):
            return self.reason("target-without-feature-code", Outcome.FAILS, clause)
        return self.met(clause)

    def _never(self, target: Target) -> bool:
        """Whether code for *target* is not for this device, whatever families there will be."""
        if self.known.same_hardware(target.capability, self.here):
            return False
        if target.suffix is Suffix.ARCH_SPECIFIC:
            return True
        return self.known.number_today(target.capability).major != self.known.number_today(self.here).major

    def _reach(self, target: Target) -> tuple[ComputeCapability, ...] | None:
        """The devices of code with a suffix; None where the tables do not say."""
        if self.known.emitting_toolkits(target) is None:
            return None
        if target.suffix is Suffix.ARCH_SPECIFIC:
            return (target.capability,)
        family = self.known.family(target.capability)
        if family is None or not family.specific:
            return None
        return tuple(member for member in family.members if member >= target.capability)

    def named(self, clause: NamedFeature) -> Reason:
        """A feature stands for the requirement in the tables; the reason is that of the alternative that comes closest."""
        feature = self.feature(clause.name)
        text = f"{feature.name} ({feature.title}): {feature.requires}"
        if self.here > self.known.capability_horizon("features"):
            return self.beyond(text, "features")  # whether a newer device can do it, is told with that device
        inner = [_Conditions(self.subject, None, None, None).alternative(c) for c in feature.requires.alternatives]
        outcome, _ = min(inner, key=lambda one: SEVERITY[one[0]])
        if outcome is Outcome.RUNS and self.here not in self.known.architectures:
            return self.beyond(text, "architectures")  # which features a device has is known of those in the tables
        if outcome is Outcome.RUNS:
            return self.reason(
                "requirement-met", outcome, text, f"compute capability {self.here}", feature.sources, feature.grade
            )
        codes = {reason.code for _, reasons in inner for reason in reasons if reason.outcome is outcome}
        if "requirement-renamed" in codes:
            return self.renamed(text)
        if "requirement-beyond-tables" in codes:
            return self.beyond(text, "families")
        # Older than one alternative and newer than another: it is beside them all.
        lacking = "target-without-feature-code"
        code = codes.pop() if len(codes) == 1 else lacking if lacking in codes else "device-not-listed"
        return self.reason(code, outcome, text, "", feature.sources, feature.grade)

    # -- quantities

    def limit(self, clause: Limit) -> Reason:
        sources: tuple[str, ...] = ()
        found: int | None
        if clause.what == "smem":
            row = self.known.shared_memory.get(self.here)
            found, sources = (row.block_bytes, row.sources) if row else (None, ())
        elif clause.what == "sms":
            found = self.device.multiprocessors
        else:
            found = self.device.memory_bytes
        if found is None:
            return self.reason("quantity-unknown", Outcome.UNKNOWN, str(clause))
        text = clause.shown(found) if clause.what != "memory" else f"{found >> 20} MiB"
        if _COMPARE[clause.operator](found, clause.amount):
            return self.met(str(clause), f"it has {text}", sources)
        return self.reason("quantity-too-small", Outcome.FAILS, str(clause), text, sources)

    # -- versions

    def version(self, clause: Version) -> Reason:
        match clause.what:
            case "driver":
                return self.driver_release(clause)
            case "cuda":
                return self.driver_cuda(clause)
            case "toolkit":
                if self.toolkit is None or self.toolkit.cuda is None:
                    return self.unknown(clause, "no compiler was given")
                cuda = self.toolkit.cuda
                return self.compared(clause, (cuda.major, cuda.minor), f"{self.toolkit.kind} {cuda}")
            case what if what in LOADED:
                return self.loaded(clause)
            case _:
                return self.distribution(clause)

    def loaded(self, clause: Version) -> Reason:
        """Of what the process has loaded: what is not loaded may still be, so that its absence says nothing."""
        version = dict(self.installed or ()).get(f"{clause.what}:")
        if version is None:
            return self.unknown(clause, f"{_LOADED[clause.what]} is not loaded in this process")
        numbers = tuple(int(number) for number in re.findall(r"[0-9]{1,9}", version))
        return self.compared(clause, numbers, f"{_LOADED[clause.what]} {version}")

    def compared(self, clause: Version, numbers: tuple[int, ...], found: str) -> Reason:
        if _COMPARE[clause.operator](_padded(numbers, len(clause.numbers)), clause.numbers):
            return self.met(str(clause), f"it is {found}")
        return self.reason("version-not-met", Outcome.FAILS, str(clause), f"it is {found}")

    def within(self, clause: Version, low: tuple[int, ...], high: tuple[int, ...], found: str, why: str) -> Reason:
        """A version between two: decided where all that lie between are decided alike."""
        compare, asked = _COMPARE[clause.operator], clause.numbers
        ends = [_padded(end, len(asked)) for end in (low, high)]
        between = ends[0] < asked < ends[1]
        if between or compare(ends[0], asked) is not compare(ends[1], asked):
            return self.unknown(clause, why)
        return self.compared(clause, low, found)

    def unknown(self, clause: Version, why: str) -> Reason:
        return self.reason("version-unknown", Outcome.UNKNOWN, str(clause), why)

    def driver_release(self, clause: Version) -> Reason:
        if self.driver is None:
            return self.unknown(clause, "the driver is not known")
        if self.known.is_tegra(self.here):
            return self.unknown(
                clause, "drivers of Tegra parts are numbered apart: `cuda>=` asks for their CUDA version"
            )
        release = self.driver.release
        if release is None:
            # By the CUDA version, the branch is known; which of its releases it is, is not.
            branch, standing = self.known.branch(self.driver)
            later = (row.number for row in self.known.branches if row.number > branch.number)
            first, last = branch.number, next(later, branch.number + 1) - 1  # 551 to 553 are Windows' of R550
            if standing is Standing.OLDER:
                first, last = 0, branch.number - 1
            elif standing is Standing.NEWER:
                last = _ANY
            found = (
                f"a driver of R{first} (CUDA {self.driver.cuda})" if first else f"a driver of CUDA {self.driver.cuda}"
            )
            why = f"of the driver only CUDA {self.driver.cuda} is known"
        elif not release.minor and not release.patch:
            first = last = release.branch
            found, why = f"a driver of {release}", f"of the driver only its branch, {release}, is known"
        else:
            return self.compared(clause, (release.branch, release.minor, release.patch), f"driver {release}")
        return self.within(clause, (first, 0, 0), (last, _ANY, _ANY), found, why)

    def driver_cuda(self, clause: Version) -> Reason:
        if self.driver is None:
            return self.unknown(clause, "the driver is not known")
        cuda = self.driver.cuda
        if cuda is not None:
            return self.compared(clause, (cuda.major, cuda.minor), f"a driver of CUDA {cuda}")
        if self.known.is_tegra(self.here):
            return self.unknown(
                clause, f"the number of a driver of a Tegra part, {self.driver.release}, does not tell it"
            )
        branch, standing = self.known.branch(self.driver)
        numbers = (branch.cuda.major, branch.cuda.minor)
        if standing is Standing.KNOWN:
            return self.compared(clause, numbers, f"a driver of CUDA {branch.cuda}")
        low, high = numbers, (_ANY, _ANY)
        if standing is Standing.OLDER:
            low, high = (0, 0), (numbers[0], numbers[1] - 1) if numbers[1] else (numbers[0] - 1, _ANY)
        why = f"what driver {self.driver.release} supports is not in the tables"
        return self.within(clause, low, high, f"driver {self.driver.release}", why)

    def distribution(self, clause: Version) -> Reason:
        name = clause.what.partition(":")[2]
        if self.installed is None:
            return self.unknown(clause, "nobody looked at what is installed")
        version = dict(self.installed).get(name)
        if version is None:
            return self.reason("version-not-met", Outcome.FAILS, str(clause), f"{name} is not installed")
        plain = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", version)
        rest = version[plain.end() :] if plain else version
        numbers = tuple(int(number) for number in plain[0].split(".")) if plain else ()
        same = _padded(numbers, len(clause.numbers)) == clause.numbers
        # What comes before a release (4.8rc1) or stands in no order (an epoch) is told by the numbers only if they differ.
        if not numbers or rest.startswith("!") or (same and re.match(r"[._-]?(?:a|b|c|rc|alpha|beta|pre|dev)", rest)):
            return self.unknown(clause, f"it is {name} {version}")
        return self.compared(clause, numbers, f"{name} {version}")

    # -- the compiler

    def emitted(self, clauses: tuple[Clause, ...], toolkit: facts.Toolkit) -> Reason | None:
        """What stands against native code by *toolkit* that runs here and meets the conditions; None where nothing does."""
        text = ",".join(map(str, clauses))
        name = f"{toolkit.kind} {toolkit.cuda or toolkit.version or ''}".rstrip()
        targets = targets_of_compiler(toolkit)
        if targets is None:
            return self.reason("toolkit-undecided", Outcome.UNKNOWN, text, name)
        outcomes = {self._made(target, toolkit.cuda, clauses) for target in targets}
        if Outcome.RUNS in outcomes:
            return None
        if Outcome.UNKNOWN in outcomes:
            return self._newer_than_driver(targets, toolkit.cuda, clauses) or self.reason(
                "toolkit-undecided", Outcome.UNKNOWN, text, name
            )
        makers = [
            row
            for row in self.known.toolkits
            if any(self._made(Target.parse(emitted), row.cuda, clauses) is Outcome.RUNS for emitted in row.targets)
        ]
        needed, wanted = "no known toolkit does", "a GPU or a requirement for which there is one"
        if makers:
            last = makers[-1].cuda
            wanted = (
                f"CUDA {makers[0].cuda} or newer"
                if last == self.known.cuda_horizon("toolkits")
                else f"CUDA {makers[0].cuda} to {last}"
            )
            needed = f"that takes {wanted}"
        return self.reason("toolkit-cannot-emit", Outcome.FAILS, text, name, needed=needed, wanted=wanted)

    def _serves(self, target: Target, clauses: tuple[Clause, ...]) -> bool:
        """Whether code for *target* can be what the conditions ask for."""
        entry = _Conditions(target, None, None, None)
        for clause in clauses:
            if isinstance(clause, Limit | Version):
                continue
            if isinstance(clause, CodeFor) and clause.target.suffix is not target.suffix:
                return False  # asked for by its suffix
            if entry.clause(clause).outcome is Outcome.FAILS:
                return False
        return True

    def _made(self, target: Target, cuda: CudaVersion | None, clauses: tuple[Clause, ...]) -> Outcome:
        """What becomes here of code for *target*, made by CUDA *cuda*, if it can be what the conditions ask for."""
        if isinstance(self.subject, Target):  # which meets them itself, or would not be asked about
            return Outcome.RUNS if target == self.subject else Outcome.FAILS
        if not self._serves(target, clauses):
            return Outcome.FAILS
        from capably.engine.image import ImageRules  # noqa: PLC0415 - only where a compiler is given, and a gate is waited for

        rules = ImageRules(facts.Image(facts.ImageKind.SASS, target, toolkit=cuda), self.device, self.driver)
        return worst([rules.sass(target), *rules.cuda_major(target)])

    def _newer_than_driver(
        self, targets: Iterable[Target], cuda: CudaVersion | None, clauses: tuple[Clause, ...]
    ) -> Reason | None:
        """Where it is only the driver of which is not known whether it loads such code: the reason that says so."""
        from capably.engine.image import ImageRules  # noqa: PLC0415 - as above

        for target in targets if isinstance(self.subject, Device) else ():
            rules = ImageRules(facts.Image(facts.ImageKind.SASS, target, toolkit=cuda), self.device, self.driver)
            if self._serves(target, clauses) and rules.sass(target).outcome is Outcome.RUNS:
                return next(rules.cuda_major(target), None)
        return None


_LOADED = {
    "torch-cuda": "the CUDA version of torch",
    "cudnn": "cuDNN",
    "cublaslt": "cuBLASLt",
    "ptxas": "ptxas",
}


def _is(capability: ComputeCapability, member: ComputeCapability | Generation) -> bool:
    return capability.major == member.major if isinstance(member, Generation) else capability == member


def _covers(has: Suffix, needed: Suffix) -> bool:
    """Whether code with one suffix may use what code with the other may: `a` everything that `f` may."""
    return has is needed or (has is Suffix.ARCH_SPECIFIC and needed is Suffix.FAMILY_SPECIFIC)


def _padded(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (*numbers, *(0,) * length)[:length]
