"""The answer of ``capably plan`` as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capably.report.machine import driver_object, finding_object, reason_object
from capably.report.plan.pasting import paste
from capably.report.plan.text import refusal_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capably.arch import Target
    from capably.facts import Device
    from capably.jit_targets import Unusable
    from capably.list_output import Spelling
    from capably.plan import Plan
    from capably.report.plan.asked import Origin, Tool
    from capably.sizes import Estimate

__all__ = ["list_object", "plan_document"]

_SCHEMA = 1


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
                "driver": driver_object(one.driver, one.device.capability),
                "covered": one.covered,
                "outcome": one.outcome,
                "by": [str(target) for target in one.by] if one.covered else [],
                "reasons": [reason_object(reason) for reason in one.verdict.reasons if reason.outcome is one.outcome],
                "blocked": [finding_object(found) for found in one.blocked],
                "unsaid": [str(target) for target in one.unsaid],
                "refusal": _refusal_object(refusal_of(one, refused)),
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
