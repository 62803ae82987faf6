"""The answer of ``capably plan``, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capably.arch import Suffix, Target, TargetKind
from capably.codes import Outcome
from capably.gpu_names import full_name
from capably.list_output import spell
from capably.plan import PlanPolicy, compiled
from capably.report.machine import driver_object, finding_object, reason_object
from capably.report.safe import columns
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from capably.codes import Reason
    from capably.facts import Device
    from capably.jit_targets import Unusable
    from capably.list_output import Spelling
    from capably.plan import Plan, Served
    from capably.report.layout import Style
    from capably.sizes import Estimate
    from capably.version import CudaVersion

__all__ = ["Origin", "Tool", "left_out", "list_object", "paste", "plan_document", "plan_text", "shell_line"]

_SCHEMA = 1
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
# Of the arguments about a GPU that is left out: those that came closest to a yes.
_FEW = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the version of the toolkit comes from: ``asked``, ``machine`` or ``newest-known``."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """The tool that a plan is made for.

    Attributes:
        dialect: Of its list.
        version: None means the newest known.
        origin: Where the version comes from, for people.
        asked: The tool that was asked for: another one where that leaves it to this list.
        version_asked: Its version.
    """

    dialect: str
    version: str | None
    origin: str
    asked: str
    version_asked: str | None

    def __str__(self) -> str:
        return f"{self.dialect} {self.version} ({self.origin})" if self.version else f"{self.dialect} ({self.origin})"


def paste(spelling: Spelling) -> str | None:
    """What to paste: the option with its list, or the variable; None where there is none."""
    if spelling.text is None:
        return None
    if spelling.dialect == "nvcc-gencode":
        return spelling.text
    option = spelling.option if spelling.option is not None else f"{spelling.variable}="
    return f"{option}{_quoted(spelling.text)}"


def shell_line(spelling: Spelling, shell: str) -> str | None:
    """What a shell is to evaluate; None where the tool reads no variable of the environment.

    Args:
        spelling: The list.
        shell: ``posix`` (sh, bash, zsh) or ``fish``.
    """
    if spelling.variable is None or spelling.value is None:
        return None
    value = _quoted(spelling.value)
    return f"set -gx {spelling.variable} {value}" if shell == "fish" else f"export {spelling.variable}={value}"


def _quoted(text: str) -> str:
    """In single quotes, where a shell would not leave it as it is. Lists hold no quotes themselves."""
    plain = all(character.isalnum() or character in "._=,+-" for character in text)
    return text if plain else f"'{text}'"


# ---------------------------------------------------------------------------------------------------------
# Text


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
            out += ["", *_left_out(plan, one, tool, style, _refusal(one, refused))]
    if len(plan.served) > 1 and not plan.complete and not any(one.unmet or one.unsaid for one in plan.served):
        out += ["", *style.wrap(_all_at_once(plan))]
    shown = [
        found for found in plan.findings if verbose or found.code != "target-not-emitted" or _missed(plan, found.path)
    ]
    if shown:
        out += [""]
        for found in shown:
            out += style.wrap(style.safe(f"{found.message} [{found.code}]"), "note  ")
    if spellings and plan.targets:
        covered = sum(one.covered for one in plan.served)
        if not plan.complete:
            out += ["", *style.wrap(f"for the {covered} of {len(plan.served)} GPUs that are covered:")]
        out += ["", *_spellings(spellings, tool, style, verbose=verbose)]
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
            yield from _left_out(plan, one, None, style, _refusal(one, refused))


def _refusal(one: Served, refused: Mapping[Device, Unusable] | None) -> Unusable | None:
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
    for message in _why(plan, one, tool) if refusal is None else refusal.reasons:
        yield from style.wrap(style.safe(message), "  why   ")
    for way_out in _ways_out(one) if refusal is None else filter(None, [refusal.way_out]):
        yield from style.wrap(style.safe(way_out), "  do    ")


def _why(plan: Plan, one: Served, tool: Tool | None) -> Sequence[str]:
    if one.blocked:
        return [found.message for found in one.blocked]
    if one.unmet or not one.verdict.parts:
        reasons = [reason.message for reason in one.verdict.reasons if reason.outcome is one.outcome]
        if reasons:
            return reasons[:_FEW]
    if one.unsaid and tool is not None:
        near = sorted(one.unsaid, key=lambda target: abs(target.capability.number - one.device.capability.number))
        names = ", ".join(map(str, near[:_FEW]))
        problem = spell(near[:1], tool.dialect, tool.version).problem or ""
        return [f"{names} would do, and {tool.dialect} cannot say so: {problem}"]
    if (wrong := _driver_problem(one)) is not None:
        return [wrong.message]
    if one.outcome is Outcome.FAILS:
        # The toolkit does not know the GPU, yet or any more; why code for others does not load there follows from it.
        own = str(Target(one.device.capability))
        unknown = [found.message for found in plan.findings if (found.code, found.path) == ("target-not-emitted", own)]
        if unknown:
            return unknown
    return _closest(one)


def _driver_problem(one: Served) -> Reason | None:
    """Why no code at all loads there with that driver, whatever compiles it."""
    codes = ("driver-too-old-for-device", "driver-dropped-device")
    return next((reason for part in one.verdict.parts for reason in part.reasons if reason.code in codes), None)


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


def _ways_out(one: Served) -> Iterator[str]:
    if one.unmet:
        ways = (reason.way_out for reason in one.verdict.reasons if reason.outcome is one.outcome)
        yield from (way for way in list(dict.fromkeys(ways))[:1] if way)
        return
    if one.unsaid:
        yield "a version of the tool that knows them, or the options of nvcc itself: --for nvcc"
        return
    if (wrong := _driver_problem(one)) is not None:
        yield wrong.way_out
        return
    if one.toolkits:
        judged = one.blocked or one.verdict.parts or one.verdict.reasons
        yield f"{'build with' if judged else 'plan for'} {_versions(one.toolkits)}"
    if one.ptx:
        yield (
            f"or take PTX, which the driver compiles there: --policy {PlanPolicy.PTX}"
            if one.toolkits
            else (f"no toolkit that is known has machine code for it; PTX would do: --policy {PlanPolicy.PTX}")
        )
    elif not one.toolkits:
        unknown = one.outcome is Outcome.UNKNOWN and not one.blocked
        yield (
            "no toolkit that is known does for certain; a newer capably may know more"
            if unknown
            else ("no toolkit that is known would do")
        )


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
    text = "no single toolkit that is known covers all of these GPUs under this policy"
    left = [one for one in plan.served if not one.covered]
    if any(_driver_problem(one) for one in left):
        return "no toolkit covers all of these GPUs with that driver"
    return (
        f"{text}; --policy {PlanPolicy.PTX} covers them by CUDA {plan.toolkit}"
        if all(one.ptx for one in left)
        else text
    )


def _missed(plan: Plan, target: str) -> bool:
    """Whether the GPU of that number is served by something else: of the others it was said already."""
    return any(one.covered and target == str(Target(one.device.capability)) for one in plan.served)


def _spellings(spellings: Sequence[Spelling], tool: Tool | None, style: Style, *, verbose: bool) -> Iterator[str]:
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


# ---------------------------------------------------------------------------------------------------------
# JSON


def plan_document(
    plan: Plan,
    origin: Origin,
    spellings: Sequence[Spelling],
    *,
    tool: Tool | None = None,
    refused: Mapping[Device, Unusable] | None = None,
    estimate: Estimate | None = None,
) -> dict[str, Any]:
    """The answer as plain values, in the shape that ``schema.json`` closes; arguments as for `plan_text`."""
    return {
        "schema": _SCHEMA,
        "policy": plan.policy,
        "toolkit": {"cuda": str(plan.toolkit), "origin": origin.code},
        "requirement": str(plan.needs) if plan.needs is not None else None,
        "dialect": tool.dialect if tool is not None else None,
        "complete": plan.complete and (tool is None or all(one.text is not None for one in spellings)),
        "targets": [
            {
                "target": str(target),
                "covers": [index for index, one in enumerate(plan.served) if one in plan.covers(target)],
                **_sizes(estimate, target),
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
                "unsaid": [str(target) for target in one.unsaid],
                "refusal": _refusal_object(_refusal(one, refused)),
                "toolkits": [str(cuda) for cuda in one.toolkits],
            }
            for one in plan.served
        ],
        "toolkits": [str(cuda) for cuda in plan.toolkits],
        "findings": [finding_object(found) for found in plan.findings],
        "lists": [list_object(one) for one in spellings],
    }


def _refusal_object(refusal: Unusable | None) -> dict[str, Any] | None:
    return None if refusal is None else {"reasons": list(refusal.reasons), "way_out": refusal.way_out}


def list_object(spelling: Spelling) -> dict[str, Any]:
    """Targets in the words of one tool."""
    return {
        "dialect": spelling.dialect,
        "version": spelling.version,
        "text": spelling.text,
        "line": paste(spelling),
        "variable": spelling.variable,
        "value": spelling.value,
        "problem": spelling.problem,
    }


def _sizes(estimate: Estimate | None, target: Target) -> dict[str, int | None]:
    size = estimate.of(target) if estimate is not None else None
    return {"bytes": size.stored if size else None, "packed_bytes": size.packed if size else None}
