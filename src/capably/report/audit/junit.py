"""The answer of ``capably audit`` as JUnit XML."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from capably.audit import BLOCKERS, CHECKS, GAPS, RemarkSeverity
from capably.escaping import escaped, inert
from capably.gpu_names import full_name
from capably.report.audit.lines import lines_of, remarks_alike

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.audit import Remark, Report

__all__ = ["audit_junit"]

_Case = tuple[str, str, str, str]
"""Name, outcome (``pass``, ``failure`` or ``error``), code, and text."""


def audit_junit(
    reports: Sequence[tuple[str, Report]], errors: Sequence[tuple[str, str]] = (), *, fail_on: str = "partial"
) -> str:
    """A suite for each artifact: a case for each GPU that is required, and one for each other thing that is looked for."""
    suites = [_suite(asked, [*_cases(report, fail_on)]) for asked, report in reports]
    suites += [_suite(asked, [("readable", "error", "unreadable", message)]) for asked, message in errors]
    totals = [sum(suite[1][index] for suite in suites) for index in range(3)]
    out = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<testsuites name="capably audit" tests="{totals[0]}" failures="{totals[1]}" errors="{totals[2]}" time="0">',
        *(line for lines, _ in suites for line in lines),
        "</testsuites>",
    ]
    return "\n".join(out) + "\n"


def _suite(asked: str, cases: Sequence[_Case]) -> tuple[list[str], tuple[int, int, int]]:
    failures = sum(outcome == "failure" for _, outcome, _, _ in cases)
    errors = sum(outcome == "error" for _, outcome, _, _ in cases)
    name = PurePath(asked).name or asked
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}" skipped="0" time="0"'
    lines = [f"  <testsuite name={_attribute(name)} {counts}>"]
    for case, outcome, code, text in cases:
        head = f'    <testcase classname={_attribute(name)} name={_attribute(case)} time="0"'
        if outcome == "pass" and not text:
            lines.append(f"{head}/>")
            continue
        message = _attribute(text.split("\n")[0])
        inner = (
            f"<system-out>{_xml(text)}</system-out>"
            if outcome == "pass"
            else f'<{outcome} type="{code}" message={message}>{_xml(text)}</{outcome}>'
        )
        lines += [f"{head}>", f"      {inner}", "    </testcase>"]
    return [*lines, "  </testsuite>"], (len(cases), failures, errors)


def _cases(report: Report, fail_on: str) -> Iterator[_Case]:
    """GPUs first, then checks in their order."""
    per_gpu = {*GAPS, *BLOCKERS}
    for device, _ in report.gpus:
        about = [
            remark
            for remark in report.remarks
            if remark.code == "no-gpu-code"
            or (remark.code in per_gpu and any(gap.device == device for gap in remark.gaps))
        ]
        yield _case(full_name(device), about, fail_on)
    codes = dict.fromkeys((*CHECKS, *(remark.code for remark in report.remarks)))
    for code in codes:
        if code not in per_gpu:
            yield _case(code, [remark for remark in report.remarks if remark.code == code], fail_on)


def _case(name: str, remarks: Iterable[Remark], fail_on: str) -> _Case:
    failing = {RemarkSeverity.ERROR: "failure", RemarkSeverity.UNKNOWN: "error"}
    if fail_on == "warning":
        failing[RemarkSeverity.WARNING] = "failure"
    outcome, code, texts = "pass", "", []
    for alike in remarks_alike(remarks):
        remark = alike[0]
        fails = remark.allowed is None and not (fail_on in ("none", "gap") and remark.code == "gpu-partly-covered")
        if fails and remark.severity in failing:
            outcome = failing[remark.severity] if outcome != "failure" else outcome
            code = code or remark.code
        texts.append("\n".join(lines_of(alike)))
    return name, outcome, code, "\n\n".join(texts)


def _xml(lines: str) -> str:
    """Text of an element: no character that XML does not have, since those are spelled out."""
    return inert(escape(lines))


def _attribute(text: str) -> str:
    return quoteattr(escaped(text))
