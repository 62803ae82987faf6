"""The answer of ``capably plan``, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capably.arch import TargetKind
from capably.knowledge import tables
from capably.plan import Policy
from capably.reasons import Outcome
from capably.report.machine import driver_object, finding_object, reason_object
from capably.report.safe import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.arch import Target
    from capably.plan import Plan, Served
    from capably.report.layout import Style
    from capably.version import CudaVersion

__all__ = ["Origin", "Spelling", "plan_document", "plan_text"]

_SCHEMA = 1
_PROMISES = {
    Policy.NATIVE: "machine code for every GPU",
    Policy.PTX: "machine code where there is some, and PTX for GPUs to come",
    Policy.SIZE: "the fewest images, be they PTX",
}
_WORDS = {
    Outcome.RUNS: ("native", "good"),
    Outcome.COMPILES: ("PTX", "fair"),
    Outcome.UNKNOWN: ("unknown", "doubt"),
    Outcome.FAILS: ("none", "bad"),
}
# Of the arguments about a GPU that is left out: those that came closest to a yes.
_FEW = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the version of the toolkit comes from: ``asked``, ``machine`` or ``newest-known``."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Spelling:
    """The targets in the dialect of one tool.

    Attributes:
        dialect: Its name.
        version: The version of the tool; None means the newest known.
        text: The list, or None where the dialect cannot say it.
        line: What to paste: the variable or option with the list. None as above.
        problem: Why it cannot be said; None where it can.
    """

    dialect: str
    version: str | None
    text: str | None
    line: str | None
    problem: str | None = None


# ---------------------------------------------------------------------------------------------------------
# Text


def plan_text(plan: Plan, origin: Origin, spellings: Sequence[Spelling], style: Style, *, verbose: bool = False) -> str:
    """The targets and what each is for, the GPUs that are left out, and the lists to paste."""
    out = [*style.wrap(f"CUDA {plan.toolkit} ({origin.text}), {_PROMISES[plan.policy]}")]
    if plan.targets:
        out += [""]
        for target in plan.targets:
            out += _target(plan, target, style)
    for one in plan.served:
        if not one.covered:
            out += ["", *_left_out(plan, one, style)]
    if any(not one.covered for one in plan.served) and len(plan.served) > 1:
        out += ["", *style.wrap(_all_at_once(plan))]
    shown = [
        found for found in plan.findings if verbose or found.code != "target-not-emitted" or _missed(plan, found.path)
    ]
    if shown:
        out += [""]
        for found in shown:
            out += style.wrap(style.safe(f"{found.message} [{found.code}]"), "note  ")
    if spellings and plan.targets:
        out += ["", *_spellings(spellings, style)]
    return "\n".join(out) + "\n"


def _name(one: Served) -> str:
    name = (one.device.name or "").removeprefix("NVIDIA ").removeprefix("GeForce ")
    return f"{name} ({one.device.capability})" if name else str(one.device.capability)


def _target(plan: Plan, target: Target, style: Style) -> Iterator[str]:
    """A target, and for each GPU that rests on it the engine's own sentence about it."""
    yield style.paint(str(target), "strong")
    served = plan.covers(target)
    width = max((columns(_name(one)) for one in served), default=0)
    for one in served:
        word, tone = _WORDS[one.outcome]
        lead = f"  {style.safe(_name(one)):<{width}}  "
        message = next(
            reason.message
            for part in one.verdict.parts
            if part.image is not None and part.image.target == target
            for reason in part.reasons
            if reason.outcome is one.outcome
        )
        for index, line in enumerate(style.wrap(f"{word}: {message}", lead, " " * columns(lead))):
            yield line.replace(f"{word}:", f"{style.paint(word, tone)}:", 1) if index == 0 else line
    if target.kind is TargetKind.VIRTUAL:
        yield from style.wrap(_future(plan, target, alone=not served), "  ")


def _future(plan: Plan, target: Target, *, alone: bool) -> str:
    version = next(
        part.image.ptx
        for one in plan.served
        for part in one.verdict.parts
        if part.image is not None and part.image.target == target
    )
    cuda = tables().cuda_of_ptx(version) if version is not None else None
    release = tables().release_of_cuda(cuda) if cuda is not None else None
    needs = f"a driver of CUDA {cuda} or newer" + (f" ({release} on Linux)" if release else "")
    purpose = "for GPUs to come: the driver compiles it for any number that is not lower; " if alone else ""
    return f"{purpose}PTX ISA {version} needs {needs}"


def _left_out(plan: Plan, one: Served, style: Style) -> Iterator[str]:
    word, tone = _WORDS[one.outcome] if not one.blocked else ("none", "bad")
    what = "cannot tell" if word == "unknown" else "not covered"
    lead = style.safe(f"{_name(one)}: {what} by CUDA {plan.toolkit}")
    yield style.paint(lead, tone)
    messages = [found.message for found in one.blocked] or _closest(one)
    for message in messages:
        yield from style.wrap(style.safe(message), "  why   ")
    yield from style.wrap(_way_out(plan, one), "  do    ")


def _closest(one: Served) -> list[str]:
    """The arguments about the images that came closest: those nearest by number, one of each kind."""
    reasons: dict[str, str] = {}
    near = [(part.image.target, part) for part in one.verdict.parts if part.image and part.image.target]
    near.sort(key=lambda pair: abs(pair[0].capability.number - one.device.capability.number))
    for _, part in near:
        for reason in part.reasons:
            if part.outcome is one.outcome and reason.outcome is one.outcome:
                reasons.setdefault(reason.code, reason.message)
    return list(reasons.values())[:_FEW]


def _way_out(plan: Plan, one: Served) -> str:
    if one.toolkits:
        return f"build with {_versions(one.toolkits)}"
    if plan.policy is Policy.NATIVE and one.outcome is Outcome.FAILS and not one.blocked:
        return "no toolkit that is known has machine code for it; --policy ptx takes PTX where that would do"
    return "no toolkit that is known would do"


def _versions(toolkits: Iterable[CudaVersion]) -> str:
    """Runs of neighbouring toolkits: `CUDA 12.8 to 12.9, or 13.1 or newer`."""
    known = [toolkit.cuda for toolkit in tables().toolkits]
    runs: list[list[CudaVersion]] = []
    for cuda in toolkits:
        if runs and known.index(cuda) == known.index(runs[-1][-1]) + 1:
            runs[-1].append(cuda)
        else:
            runs.append([cuda])
    texts = []
    for run in runs:
        first, last = run[0], run[-1]
        if run == known:
            texts.append(f"{first} to {last}")
        elif last == known[-1]:
            texts.append(f"{first} or newer" if first != last else str(first))
        elif first == known[0]:
            texts.append(f"{last} or older")
        else:
            texts.append(str(first) if first == last else f"{first} to {last}")
    return f"CUDA {' or '.join(texts)}"


def _all_at_once(plan: Plan) -> str:
    if plan.toolkits:
        return f"all of these GPUs at once: {_versions(plan.toolkits)}"
    return "no single toolkit that is known covers all of these GPUs under this policy"


def _missed(plan: Plan, target: str) -> bool:
    """Whether the GPU of that number is served by something else: of the others it was said already."""
    return any(one.covered and target == f"sm_{one.device.capability.number}" for one in plan.served)


def _spellings(spellings: Sequence[Spelling], style: Style) -> Iterator[str]:
    width = max(columns(one.dialect) for one in spellings)
    for one in spellings:
        lead = f"{one.dialect:<{width}}  "
        if one.line is not None:
            # Never broken: it is there to be copied.
            yield f"{style.paint(lead, 'strong')}{style.safe(one.line)}"
        else:
            yield from style.wrap(style.safe(one.problem or ""), lead, tone="strong")


# ---------------------------------------------------------------------------------------------------------
# JSON


def plan_document(plan: Plan, origin: Origin, spellings: Sequence[Spelling]) -> dict[str, Any]:
    """The answer as plain values, in the shape that ``schema.json`` closes."""
    return {
        "schema": _SCHEMA,
        "policy": plan.policy,
        "toolkit": {"cuda": str(plan.toolkit), "origin": origin.code},
        "requirement": None,
        "dialect": None,
        "complete": plan.complete,
        "targets": [
            {
                "target": str(target),
                "covers": [index for index, one in enumerate(plan.served) if one in plan.covers(target)],
                "bytes": None,
            }
            for target in plan.targets
        ],
        "gpus": [
            {
                "name": one.device.name,
                "capability": str(one.device.capability),
                "assumed": one.device.assumed,
                "driver": driver_object(one.driver),
                "covered": one.covered,
                "outcome": one.outcome,
                "by": [str(target) for target in one.by] if one.covered else [],
                "reasons": [reason_object(reason) for reason in one.verdict.reasons if reason.outcome is one.outcome],
                "blocked": [finding_object(found) for found in one.blocked],
                "toolkits": [str(cuda) for cuda in one.toolkits],
            }
            for one in plan.served
        ],
        "toolkits": [str(cuda) for cuda in plan.toolkits],
        "findings": [finding_object(found) for found in plan.findings],
        "lists": [
            {
                "dialect": one.dialect,
                "version": one.version,
                "text": one.text,
                "line": one.line,
                "problem": one.problem,
            }
            for one in spellings
        ],
    }
