"""The answer of ``capably audit`` as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capably.audit.gap_story import arguments, holdings
from capably.report.audit.lines import families_of
from capably.report.machine import driver_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capably.audit import BaselineComparison, Remark, Report
    from capably.engine.verdict import OutcomeCounts

__all__ = ["audit_document"]

_SCHEMA = 1

_MANY = 1_000  # families of kernels that are named


def audit_document(
    reports: Sequence[tuple[str, Report]], file: str | None, errors: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """The answer as plain values, in the shape that ``schema.json`` closes."""
    return {
        "schema": _SCHEMA,
        "policy": file,
        "artifacts": [_artifact_object(asked, report) for asked, report in reports],
        "errors": [{"artifact": asked, "message": message} for asked, message in errors],
    }


def _artifact_object(asked: str, report: Report) -> dict[str, Any]:
    return {
        "artifact": asked,
        "name": report.artifact.name,
        "version": report.artifact.version,
        "size_bytes": report.size_bytes,
        "gpus": [
            {
                "name": device.name,
                "capability": str(device.capability),
                "driver": driver_object(driver, device.capability),
                "alternatives": [
                    {"alternative": name, "coverage": verdict.coverage, "outcomes": _outcomes(verdict.counts)}
                    for name, verdict in verdicts
                ],
            }
            for (device, driver), verdicts in zip(report.gpus, report.verdicts, strict=True)
        ],
        "elsewhere": [{"name": d.name, "capability": str(d.capability)} for d in report.elsewhere],
        "findings": [_remark_object(remark) for remark in report.remarks],
        "comparison": None if report.comparison is None else _comparison_object(report.comparison),
    }


def _remark_object(remark: Remark) -> dict[str, Any]:
    return {
        "code": remark.code,
        "severity": remark.severity,
        "path": remark.path or None,
        "message": remark.message,
        "way_out": remark.way_out,
        "allowed": remark.allowed,
        "gpus": [
            {
                "name": gap.device.name,
                "capability": str(gap.device.capability),
                "missing": gap.missing,
                "outcomes": _outcomes(gap.counts),
                "fatbins": [{"targets": targets, "count": count} for targets, count in holdings(gap)],
                "kernels": [{"name": name, "count": count} for name, count in families_of(gap, _MANY)[0]],
                "reasons": [
                    {"code": reason.code, "message": reason.message, "way_out": reason.way_out}
                    for reason in arguments(gap)
                ],
            }
            for gap in remark.gaps
        ],
    }


def _comparison_object(comparison: BaselineComparison) -> dict[str, Any]:
    return {
        "baseline": comparison.baseline.path,
        "version": comparison.baseline.version,
        "size_bytes": comparison.baseline_bytes,
        "gpus": [
            {
                "name": change.device.name,
                "capability": str(change.device.capability),
                "before": {"coverage": change.before, "outcomes": _outcomes(change.counts_before)},
                "after": {"coverage": change.after, "outcomes": _outcomes(change.counts_after)},
            }
            for change in comparison.changes
        ],
        "targets_gained": [str(target) for target in comparison.targets_gained],
        "targets_lost": [str(target) for target in comparison.targets_lost],
        "libraries_gained": list(comparison.libraries_gained),
        "libraries_lost": list(comparison.libraries_lost),
    }


def _outcomes(counts: OutcomeCounts) -> dict[str, int]:
    return {"runs": counts.runs, "compiles": counts.compiles, "fails": counts.fails, "unknown": counts.unknown}
