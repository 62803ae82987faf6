"""The answer of ``capably plan`` as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import Suffix, Target, TargetKind
from capably.codes import Outcome
from capably.gpu_names import full_name
from capably.plan import PlanPolicy, compiled
from capably.plan.left_out import all_at_once, how_to_cover, is_served_otherwise, why_left_out
from capably.report.plan.pasting import paste
from capably.report.safe import columns
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from capably.facts import Device
    from capably.jit_targets import Unusable
    from capably.list_output import Spelling
    from capably.plan import Plan, Served
    from capably.report.layout import Style
    from capably.report.plan.asked import Origin, Tool
    from capably.sizes import Estimate

__all__ = ["left_out", "plan_text", "refusal_of"]

_PROMISES = {
    PlanPolicy.NATIVE: "machine code for every GPU",
    PlanPolicy.EACH: "for every GPU what it would get alone, machine code if there is some",
    PlanPolicy.PTX: "machine code where there is some, and PTX for GPUs to come",
    PlanPolicy.SIZE: "the fewest images, be they PTX",
}


_WORDS = {
    Outcome.RUNS: ("native", "good"),
    Outcome.COMPILES: ("PTX", "fair"),
    Outcome.UNKNOWN: ("unknown", "doubt"),
    Outcome.FAILS: ("none", "bad"),
}


def plan_text(
    plan: Plan,
    origin: Origin,
    spellings: Sequence[Spelling],
    style: Style,
    *,
    tool: Tool | None = None,
    refused: Mapping[Device, Unusable] | None = None,
    estimate: Estimate | None = None,
    verbose: bool = False,
) -> str:
    """The targets and what each is for, the GPUs that are left out, and the lists to paste.

    Args:
        plan: What to build.
        origin: Of the toolkit.
        spellings: The targets in the words of tools.
        style: What the terminal takes.
        tool: For which one the plan was made; None where it was made for nvcc, which can be asked for any target.
        refused: GPUs that the tool would not serve, and why.
        estimate: Of the size of each target.
        verbose: All that could not be had, and why tools cannot be asked for the plan.
    """
    out = [*style.wrap(style.safe(_headline(plan, origin, tool)))]
    if plan.targets:
        out += [""]
        for target in plan.targets:
            out += _target(plan, target, estimate, style)
        if estimate is not None:
            out += ["", *style.wrap(style.safe(estimate.summary(plan.targets)), "size  ")]
            out += [line for note in estimate.notes(plan.targets) for line in style.wrap(style.safe(note), "note  ")]
    for one in plan.served:
        if not one.covered:
            out += ["", *_left_out(plan, one, tool, style, refusal_of(one, refused))]
    if len(plan.served) > 1 and not plan.complete and not any(one.unmet or one.unsaid for one in plan.served):
        out += ["", *style.wrap(all_at_once(plan))]
    shown = [
        found
        for found in plan.findings
        if verbose or found.code != "target-not-emitted" or is_served_otherwise(plan, found.path)
    ]
    if shown:
        out += [""]
        for found in shown:
            out += style.wrap(style.safe(f"{found.message} [{found.code}]"), "note  ")
    if spellings and plan.targets:
        covered = sum(one.covered for one in plan.served)
        if not plan.complete:
            out += ["", *style.wrap(f"for the {covered} of {len(plan.served)} GPUs that are covered:")]
        out += ["", *lists_text(spellings, tool, style, verbose=verbose)]
    return "\n".join(out) + "\n"


def _headline(plan: Plan, origin: Origin, tool: Tool | None) -> str:
    parts = [f"CUDA {plan.toolkit} ({origin.text})", _PROMISES[plan.policy]]
    if tool is not None:
        parts.insert(1, str(tool))
    if plan.needs is not None:
        parts.append(f"code that needs `{plan.needs}`")
    return ", ".join(parts)


def left_out(plan: Plan, style: Style, refused: Mapping[Device, Unusable]) -> Iterator[str]:
    """What is wrong with a plan, for where only its list is shown; arguments as for `plan_text`."""
    for one in plan.served:
        if not one.covered:
            yield from _left_out(plan, one, None, style, refusal_of(one, refused))


def refusal_of(one: Served, refused: Mapping[Device, Unusable] | None) -> Unusable | None:
    """Why the tool would not serve a GPU that is not covered, unless that does not meet what is needed anyway."""
    return None if one.covered or one.unmet else (refused or {}).get(one.device)


def _target(plan: Plan, target: Target, estimate: Estimate | None, style: Style) -> Iterator[str]:
    """A target, and for each GPU that rests on it the engine's own sentence about it."""
    size = estimate.text(target) if estimate is not None else ""
    yield style.paint(str(target), "strong") + (f"  {size}" if size else "")
    served = plan.covers(target)
    names = [style.clip(full_name(one.device), style.width * 2 // 3) for one in served]
    width = max(map(columns, names), default=0)
    for name, one in zip(names, served, strict=True):
        word, tone = _WORDS[one.outcome]
        lead = f"  {name:<{width}}  "
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
    version = compiled(target, plan.toolkit).ptx
    cuda = tables().cuda_of_ptx(version) if version is not None else None
    release = tables().release_of_cuda(cuda) if cuda is not None else None
    needs = f"a driver of CUDA {cuda} or newer" + (f" ({release} on Linux)" if release else "")
    purpose = ""
    if target.suffix is Suffix.NONE:
        also = "" if alone else "also "
        purpose = f"{also}for GPUs to come: the driver compiles it for any number that is not lower; "
    return f"{purpose}PTX ISA {version} needs {needs}"


def _left_out(plan: Plan, one: Served, tool: Tool | None, style: Style, refusal: Unusable | None) -> Iterator[str]:
    word, tone = _WORDS[one.outcome] if not one.blocked else ("none", "bad")
    if one.unmet:
        what = "not known to meet what is needed" if word == "unknown" else "does not meet what is needed"
        lead = f"{full_name(one.device)}: {what}"
    elif refusal is not None:
        lead = f"{full_name(one.device)}: the tool would not serve it with CUDA {plan.toolkit}"
    elif one.unsaid and tool is not None:
        lead = f"{full_name(one.device)}: not covered by what {tool.dialect} can be asked for"
    elif word == "unknown":
        lead = f"{full_name(one.device)}: whether CUDA {plan.toolkit} covers it is not known"
    else:
        lead = f"{full_name(one.device)}: not covered by CUDA {plan.toolkit}"
    yield style.paint(style.safe(lead), tone)
    for message in (
        why_left_out(plan, one, *((tool.dialect, tool.version) if tool is not None else ()))
        if refusal is None
        else refusal.reasons
    ):
        yield from style.wrap(style.safe(message), "  why   ")
    for way_out in how_to_cover(one) if refusal is None else filter(None, [refusal.way_out]):
        yield from style.wrap(style.safe(way_out), "  do    ")


def lists_text(spellings: Sequence[Spelling], tool: Tool | None, style: Style, *, verbose: bool) -> Iterator[str]:
    said = [(one, line) for one in spellings if (line := paste(one)) is not None]
    width = max((columns(_tool(one)) for one, _ in said), default=0)
    for one, line in said:
        # Never broken: it is there to be copied.
        lead = "" if tool is not None else style.paint(f"{_tool(one):<{width}}  ", "strong")
        yield f"{lead}{style.safe(line)}"
    unsaid = [one for one in spellings if one.problem is not None]
    if tool is not None:
        for one in spellings:
            cannot = [f"{one.dialect} cannot be asked for these: {one.problem}"] if one.problem is not None else []
            for text in (*cannot, *one.notes):
                yield from style.wrap(style.safe(text), "note  ")
    elif unsaid and verbose:
        yield ""
        for one in unsaid:
            yield from style.wrap(
                style.safe(f"{_tool(one)} cannot be asked for exactly these: {one.problem}"), "note  "
            )
    elif unsaid:
        names = ", ".join(one.dialect for one in unsaid)
        yield ""
        yield from style.wrap(
            f"cannot be asked for exactly these: {names}. -v says why, --for NAME plans with what it can say", "note  "
        )


def _tool(one: Spelling) -> str:
    # The version of nvcc is that of the toolkit, which the first line says.
    return f"{one.dialect} {one.version}" if one.version and not one.dialect.startswith("nvcc") else one.dialect
