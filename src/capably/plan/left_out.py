"""Why a plan leaves a GPU out, and what would cover it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import Target
from capably.codes import Outcome
from capably.list_output import spell
from capably.plan.model import PlanPolicy
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.codes import Reason
    from capably.plan.model import Plan, Served
    from capably.version import CudaVersion

__all__ = ["all_at_once", "how_to_cover", "is_served_otherwise", "why_left_out"]

# Of the arguments about a GPU that is left out: those that came closest to a yes.
_FEW = 2


def why_left_out(plan: Plan, one: Served, dialect: str | None = None, version: str | None = None) -> Sequence[str]:
    """Why *plan* does not cover a GPU, the arguments that came closest first.

    Args:
        plan: The plan.
        one: What it has for the GPU.
        dialect: Of the tool that the plan is made for; None for one that can be asked for any target.
        version: Of that tool; None means the newest known.
    """
    if one.blocked:
        return [found.message for found in one.blocked]
    if one.unmet or not one.verdict.parts:
        reasons = [reason.message for reason in one.verdict.reasons if reason.outcome is one.outcome]
        if reasons:
            return reasons[:_FEW]
    if one.unsaid and dialect is not None:
        near = sorted(one.unsaid, key=lambda target: abs(target.capability.number - one.device.capability.number))
        names = ", ".join(map(str, near[:_FEW]))
        problem = spell(near[:1], dialect, version).problem or ""
        return [f"{names} would do, and {dialect} cannot say so: {problem}"]
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


def how_to_cover(one: Served) -> Iterator[str]:
    """What would cover a GPU that is left out."""
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


def all_at_once(plan: Plan) -> str:
    """Which toolkits cover all of the GPUs at once, as a sentence."""
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


def is_served_otherwise(plan: Plan, target: str) -> bool:
    """Whether the GPU of that number is served by something else: of the others it was said already."""
    return any(one.covered and target == str(Target(one.device.capability)) for one in plan.served)
