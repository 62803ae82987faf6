"""The answer of ``capably audit`` as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.audit import RemarkSeverity
from capably.audit.gap_story import arguments_told
from capably.codes import FINDINGS
from capably.engine.verdict import Coverage
from capably.gpu_names import full_name, short_name
from capably.report.audit.lines import (
    FEW,
    MORE,
    artifact_title,
    by_line,
    driver_name,
    kernels_told,
    remarks_alike,
    verdict_line,
)
from capably.report.safe import columns
from capably.units import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.audit import BaselineComparison, Remark, Report
    from capably.engine.verdict import OutcomeCounts, Verdict
    from capably.report.layout import Style

__all__ = ["audit_text"]

_TONES = {
    RemarkSeverity.ERROR: "bad",
    RemarkSeverity.UNKNOWN: "doubt",
    RemarkSeverity.WARNING: "warn",
    RemarkSeverity.NOTE: "dim",
}


def audit_text(reports: Sequence[tuple[str, Report]], style: Style, *, verbose: bool = False) -> str:
    """For each artifact what it does on the GPUs that are promised, and what is to be said about it."""
    out: list[str] = []
    for _, report in reports:
        out += [*([""] if out else []), *_report(report, style, verbose=verbose)]
    return "\n".join(out) + "\n"


def _report(report: Report, style: Style, *, verbose: bool) -> Iterator[str]:
    size = f", {size_text(report.size_bytes)}" if report.size_bytes is not None else ""
    head = style.safe(f"{artifact_title(report.artifact)}{size}")
    yield from style.wrap(f"{head}: {verdict_line(report)}", "", tone="")
    if report.gpus or report.elsewhere:
        yield ""
        yield from _matrix(report, style)
    shown = [
        remark
        for remark in report.remarks
        if verbose or (remark.allowed is None and remark.severity is not RemarkSeverity.NOTE)
    ]
    for alike in remarks_alike(shown):
        yield ""
        yield from _block(alike, style, most=MORE if verbose else FEW)
    if report.comparison is not None:
        yield ""
        yield from _compared(report, report.comparison, style)
    if len(shown) < len(report.remarks):
        yield ""
        yield from style.wrap(f"not shown: {_hidden(report)}; --verbose shows them", "")


def _hidden(report: Report) -> str:
    allowed = sum(remark.allowed is not None for remark in report.remarks)
    notes = report.count(RemarkSeverity.NOTE)
    texts = [f"{allowed} allowed"] if allowed else []
    texts += [f"{notes} note{'s' if notes > 1 else ''}"] if notes else []
    return ", ".join(texts)


def _matrix(report: Report, style: Style) -> Iterator[str]:
    rows = []
    for (device, driver), verdicts in zip(report.gpus, report.verdicts, strict=True):
        cells: dict[tuple[str, str], list[str]] = {}
        for alternative, verdict in verdicts:
            cells.setdefault(_cell(verdict), []).append(alternative or "")
        name = short_name(device)
        for index, ((text, tone), alternatives) in enumerate(cells.items()):
            which = f" ({', '.join(alternatives)})" if any(alternatives) else ""
            lead = (style.safe(name), str(device.capability), driver_name(driver)) if not index else ("", "", "")
            rows.append((*lead, text, tone, style.safe(which)))
    for device in report.elsewhere:
        name = short_name(device)
        rows.append((style.safe(name), str(device.capability), "", "another wheel", "dim", ""))
    widths = [max(columns(row[index]) for row in rows) for index in range(3)]
    for row in rows:
        cells_ = [text + " " * (width - columns(text)) for text, width in zip(row[:3], widths, strict=True) if width]
        yield f"  {'  '.join(cells_)}  {style.paint(row[3], row[4])}{row[5]}"
    if any(row[3].endswith("!") for row in rows):
        yield "  !  it does not start there, whatever its GPU code"


def _cell(verdict: Verdict) -> tuple[str, str]:
    counts = verdict.counts
    blocked = " !" if any(f.code in FINDINGS and FINDINGS[f.code].blocks for f in verdict.findings) else ""
    match verdict.coverage:
        case None:
            return f"no GPU code{blocked}", "bad"
        case Coverage.FULL:
            text = "native" if not counts.compiles else f"native and PTX ({counts.compiles} of {counts.total})"
            return f"{text if counts.runs else 'PTX'}{blocked}", "good" if not blocked else "bad"
        case Coverage.PARTIAL:
            return f"{counts.usable} of {counts.total} fatbins{blocked}", "warn"
        case Coverage.NONE:
            return f"none{blocked}", "bad"
        case _:
            return f"unknown{blocked}", "doubt"


def _block(remarks: Sequence[Remark], style: Style, most: int) -> Iterator[str]:
    """Remarks that say the same about several libraries."""
    remark = remarks[0]
    word = "allowed" if remark.allowed is not None else str(remark.severity)
    tone = "dim" if remark.allowed is not None else _TONES[remark.severity]
    yield from style.wrap(style.safe(f"{remark.message} [{remark.code}]"), f"{word}  ", "  ", tone)
    if len(remarks) > 1:
        yield from style.wrap(style.safe(", ".join(other.path for other in remarks[1:])), "  also  ")
    for names, text in by_line(remark, most):
        yield from style.wrap(style.safe(f"{names}: {text}"), "  ", "    ")
    for index, message in enumerate(arguments_told(remark, most)):
        yield from style.wrap(style.safe(message), "  why   " if not index else "        ", "        ")
    if held := kernels_told(remark, most):
        yield from style.wrap(style.safe(held), "  what  ", "        ")
    if remark.allowed is not None:
        yield from style.wrap(style.safe(remark.allowed), "  for   ")
    elif remark.way_out:
        yield from style.wrap(style.safe(remark.way_out), "  do    ")


def _compared(report: Report, comparison: BaselineComparison, style: Style) -> Iterator[str]:
    older = style.safe(artifact_title(comparison.baseline))
    yield from style.wrap(f"since {older}:", "")
    lines = []
    for change in comparison.changes:
        before, after = (
            _coverage(*pair) for pair in ((change.before, change.counts_before), (change.after, change.counts_after))
        )
        lines.append((full_name(change.device), f"{before} -> {after}"))
    for label, items in (
        ("targets gained", comparison.targets_gained),
        ("targets lost", comparison.targets_lost),
        ("libraries gained", comparison.libraries_gained),
        ("libraries lost", comparison.libraries_lost),
    ):
        if items:
            lines.append((label, ", ".join(map(str, items))))
    if report.size_bytes is not None and comparison.baseline_bytes:
        share = 100 * (report.size_bytes - comparison.baseline_bytes) / comparison.baseline_bytes
        lines.append(
            ("size", f"{size_text(comparison.baseline_bytes)} -> {size_text(report.size_bytes)} ({share:+.1f} %)")
        )
    labels = [style.clip(label, style.width * 2 // 3) for label, _ in lines] or [""]
    width = max(map(columns, labels))
    for label, text in zip(labels, [text for _, text in lines] or ["nothing is gained or lost"], strict=True):
        lead = f"  {label:<{width}}  "
        yield from style.wrap(style.safe(text), lead, " " * columns(lead))


def _coverage(coverage: Coverage | None, counts: OutcomeCounts) -> str:
    match coverage:
        case None:
            return "no GPU code"
        case Coverage.FULL:
            return "native" if not counts.compiles else "native and PTX" if counts.runs else "PTX"
        case Coverage.PARTIAL:
            return f"{counts.usable} of {counts.total}"
        case _:
            return str(coverage)
