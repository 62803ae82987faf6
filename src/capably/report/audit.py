"""What ``capably audit`` answers: as text, as JSON, and as the formats that other programs read.

Everything that came from files goes through `printable` before it gets into any of them, so that the only line breaks
are those between lines of ours, and is then escaped as the format wants it: GitHub's workflow commands, XML, URIs, TOML.
"""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from capably import __version__
from capably.arch import by_kind
from capably.audit import BLOCKERS, CHECKS, GAPS, RemarkSeverity
from capably.codes import FINDINGS, REASONS, Outcome
from capably.engine import Coverage
from capably.escaping import escaped, inert, printable
from capably.gpu_names import full_name, short_name
from capably.report.machine import driver_object
from capably.report.names import families
from capably.report.safe import clip, columns
from capably.report.why import join
from capably.tables import tables
from capably.units import size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.audit import AuditPolicy, BaselineComparison, Gap, Remark, Report
    from capably.codes import Reason
    from capably.engine import OutcomeCounts, Verdict
    from capably.facts import Artifact, Driver
    from capably.report.layout import Style

__all__ = ["audit_document", "audit_github", "audit_junit", "audit_sarif", "audit_text", "policy_toml"]

_SCHEMA = 1
_TONES = {
    RemarkSeverity.ERROR: "bad",
    RemarkSeverity.UNKNOWN: "doubt",
    RemarkSeverity.WARNING: "warn",
    RemarkSeverity.NOTE: "dim",
}
_FEW, _MORE, _MANY = 3, 12, 1_000
_NAME = 60  # columns of the name of a kernel; whole ones are in the JSON
# Arguments that say more than that the code is for something else.
_TELLING = frozenset(
    {
        "driver-too-old-for-device", "driver-dropped-device", "zstd-needs-newer-driver",
        "concatenated-needs-newer-driver", "ptx-newer-than-driver", "ptx-newer-than-any-driver", "tegra-isolated",
        "ptx-arch-specific-exact-only", "arch-specific-exact-only", "kernels-for-other-architectures-only",
    }
)  # fmt: skip


def _title(artifact: Artifact) -> str:
    return " ".join(filter(None, (artifact.name, artifact.version))) or artifact.path


def _driver(driver: Driver) -> str:
    return str(driver.release) if driver.release else f"CUDA {driver.cuda}"


# ---------------------------------------------------------------------------------------------------------
# Why something is missing for a GPU


def _holdings(gap: Gap) -> list[tuple[str, int]]:
    """What the fatbins of a gap hold, as a list of targets, and how many of them; the most frequent first."""
    found: dict[str, int] = {}
    for one in gap.fatbins:
        targets = {part.image.target for part in one.parts if part.image and part.image.target and not part.image.stub}
        listed = ", ".join(map(str, sorted(targets, key=by_kind))) or "nothing"
        found[listed] = found.get(listed, 0) + one.count
    return sorted(found.items(), key=lambda pair: -pair[1])


def _arguments(gap: Gap) -> list[Reason]:
    """The arguments that tell most, one of each code."""
    found: dict[str, tuple[int, int, Reason]] = {}
    for one in gap.fatbins:
        for part in one.parts:
            for reason in part.reasons:
                if reason.outcome is not one.outcome or part.image is None:
                    continue
                target = part.image.target
                far = abs(target.capability.number - gap.device.capability.number) if target else 999
                rank = (0 if reason.code in _TELLING else 1), far
                if reason.code not in found or rank < found[reason.code][:2]:
                    found[reason.code] = (*rank, reason)
        for reason in one.reasons:  # that no image has alone
            if reason.outcome is one.outcome and reason.code in _TELLING:
                found.setdefault(reason.code, (0, 0, reason))
    if "kernels-for-other-architectures-only" in found:
        found.pop("stub", None)  # says the same
    return [reason for _, _, reason in sorted(found.values(), key=lambda item: item[:2])]


def _gap_line(gap: Gap, most: int = _FEW) -> str:
    """How much is missing, and what is there instead."""
    held = _holdings(gap)
    shown = [f"{count} with {targets}" if len(held) > 1 else f"with {targets}" for targets, count in held[:most]]
    more = sum(count for _, count in held[most:])
    kinds = "; ".join(shown) + (f"; {more} more" if more else "")
    outcome = gap.fatbins[0].outcome if gap.fatbins else None
    be, do = ("is", "does") if gap.missing == 1 else ("are", "do")
    verb = {Outcome.UNKNOWN: f"{be} undecided", Outcome.COMPILES: f"{be} PTX there"}.get(
        outcome or Outcome.FAILS, f"{do} not load"
    )
    return f"{gap.missing} of {gap.counts.total} fatbins {verb}" + (f": {kinds}" if kinds else "")


def _by_line(remark: Remark, most: int) -> list[tuple[str, str]]:
    """What is missing, and for which GPUs."""
    lines: dict[str, list[str]] = {}
    for gap in remark.gaps:
        if gap.missing and gap.fatbins:
            lines.setdefault(_gap_line(gap, most), []).append(full_name(gap.device))
    return [(", ".join(names), line) for line, names in lines.items()]


def _all_why(remark: Remark, most: int) -> list[str]:
    """The arguments behind it: the most telling one for each GPU, then more; equal ones for several GPUs as one."""
    found = [_arguments(gap) for gap in remark.gaps]
    rounds = [reasons[place] for place in range(2) for reasons in found if place < len(reasons)]
    told: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, None]] = {}
    for reason in rounds:
        # Arguments that differ in the device only, and in what follows from it.
        same = tuple(pair for pair in reason.params if pair[0] not in ("capability", "wanted"))
        about = told.setdefault((reason.code, same), {})
        about[dict(reason.params).get("capability", "")] = None
    return [
        REASONS[code].message.format_map({**dict(params), "capability": join(devices), "wanted": ""})
        for (code, params), devices in list(told.items())[:most]
    ]


def _families(gap: Gap, most: int) -> tuple[list[tuple[str, int]], int]:
    """The kernels of a gap in families of names, the largest first, and how many more there are."""
    if not gap.kernels:
        return [], 0
    found = families(gap.kernels)
    shown = [(family.name, len(family.members)) for family in found[:most] if family.name is not None]
    return shown, len(gap.kernels) - sum(count for _, count in shown)


def _kernels(remark: Remark, most: int) -> str:
    """What is in the fatbins of a gap, over all GPUs; empty where kernels were not read."""
    names = {name for gap in remark.gaps for name in gap.kernels}
    if not names:
        return ""
    shown, more = _families(replace(remark.gaps[0], kernels=tuple(sorted(names))), most)
    listed = [f"{clip(name, _NAME)} ({count})" if count > 1 else clip(name, _NAME) for name, count in shown]
    count = f"{len(names)} kernel{'s' if len(names) > 1 else ''}"
    return f"{count}: {', '.join(listed)}" + (f" and {more} more" if more else "")


def _details(remark: Remark, most: int = _FEW) -> list[str]:
    """A line for what is missing for which GPUs, the arguments behind it, and the kernels in it."""
    lines = [f"{names}: {text}" for names, text in _by_line(remark, most)]
    lines += [f"why: {message}" for message in _all_why(remark, most)]
    held = _kernels(remark, most)
    return [*lines, f"what: {held}"] if held else lines


def _alike(remarks: Iterable[Remark]) -> list[list[Remark]]:
    """Remarks that differ in the library only, together."""
    groups: dict[object, list[Remark]] = {}
    for remark in remarks:
        plain = remark.message.replace(remark.path, "") if remark.path else remark.message
        key = remark.code, remark.severity, remark.allowed, plain, bool(remark.path), *_details(remark, _MORE)
        groups.setdefault(key, []).append(remark)
    return list(groups.values())


def _lines(alike: Sequence[Remark]) -> list[str]:
    """Remarks that say the same about several libraries, in printable lines: for formats that take plain text."""
    remark = alike[0]
    also = [f"also: {', '.join(other.path for other in alike[1:])}"] if len(alike) > 1 else []
    if remark.allowed is not None:
        lines = [f"allowed: {remark.message}", *also, f"for: {remark.allowed}"]
    else:
        do = [f"do: {remark.way_out}"] if remark.way_out else []
        lines = [remark.message, *also, *_details(remark), *do]
    return list(map(printable, lines))


# ---------------------------------------------------------------------------------------------------------
# Text


def audit_text(reports: Sequence[tuple[str, Report]], style: Style, *, verbose: bool = False) -> str:
    """For each artifact what it does on the GPUs that are promised, and what is to be said about it."""
    out: list[str] = []
    for _, report in reports:
        out += [*([""] if out else []), *_report(report, style, verbose=verbose)]
    return "\n".join(out) + "\n"


def _report(report: Report, style: Style, *, verbose: bool) -> Iterator[str]:
    size = f", {size_text(report.size_bytes)}" if report.size_bytes is not None else ""
    head = style.safe(f"{_title(report.artifact)}{size}")
    yield from style.wrap(f"{head}: {_verdict(report)}", "", tone="")
    if report.gpus or report.elsewhere:
        yield ""
        yield from _matrix(report, style)
    shown = [
        remark
        for remark in report.remarks
        if verbose or (remark.allowed is None and remark.severity is not RemarkSeverity.NOTE)
    ]
    for alike in _alike(shown):
        yield ""
        yield from _block(alike, style, most=_MORE if verbose else _FEW)
    if report.comparison is not None:
        yield ""
        yield from _compared(report, report.comparison, style)
    if len(shown) < len(report.remarks):
        yield ""
        yield from style.wrap(f"not shown: {_hidden(report)}; --verbose shows them", "")


def _verdict(report: Report) -> str:
    counts = [
        (report.count(severity), severity)
        for severity in (RemarkSeverity.ERROR, RemarkSeverity.UNKNOWN, RemarkSeverity.WARNING)
    ]
    words = {RemarkSeverity.ERROR: "error", RemarkSeverity.UNKNOWN: "cannot tell", RemarkSeverity.WARNING: "warning"}
    listed = [
        f"{count} {words[severity]}{'s' if count > 1 and severity is not RemarkSeverity.UNKNOWN else ''}"
        for count, severity in counts
        if count
    ]
    if not listed and not report.artifact.libraries:
        return "no GPU code, so there is nothing to audit"
    return ", ".join(listed) or "nothing is wrong with it"


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
            lead = (style.safe(name), str(device.capability), _driver(driver)) if not index else ("", "", "")
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
    for names, text in _by_line(remark, most):
        yield from style.wrap(style.safe(f"{names}: {text}"), "  ", "    ")
    for index, message in enumerate(_all_why(remark, most)):
        yield from style.wrap(style.safe(message), "  why   " if not index else "        ", "        ")
    if held := _kernels(remark, most):
        yield from style.wrap(style.safe(held), "  what  ", "        ")
    if remark.allowed is not None:
        yield from style.wrap(style.safe(remark.allowed), "  for   ")
    elif remark.way_out:
        yield from style.wrap(style.safe(remark.way_out), "  do    ")


def _compared(report: Report, comparison: BaselineComparison, style: Style) -> Iterator[str]:
    older = style.safe(_title(comparison.baseline))
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


# ---------------------------------------------------------------------------------------------------------
# JSON


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
                "driver": driver_object(driver),
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
                "fatbins": [{"targets": targets, "count": count} for targets, count in _holdings(gap)],
                "kernels": [{"name": name, "count": count} for name, count in _families(gap, _MANY)[0]],
                "reasons": [
                    {"code": reason.code, "message": reason.message, "way_out": reason.way_out}
                    for reason in _arguments(gap)
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


# ---------------------------------------------------------------------------------------------------------
# GitHub: workflow commands, one a line


def _data(lines: Iterable[str]) -> str:
    """The text of a workflow command: its lines are kept, and nothing in it is another command."""
    return "%0A".join(escaped(line).replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    """The value of a property of a workflow command."""
    return escaped(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def audit_github(
    reports: Sequence[tuple[str, Report]], file: str | None, errors: Sequence[tuple[str, str]] = ()
) -> str:
    """An annotation for each remark, at the policy file where there is one, and a line for each artifact."""
    commands = {
        RemarkSeverity.ERROR: "error",
        RemarkSeverity.UNKNOWN: "error",
        RemarkSeverity.WARNING: "warning",
        RemarkSeverity.NOTE: "notice",
    }
    out = []
    place = f"file={_property(file)}," if file is not None and not PurePath(file).is_absolute() else ""
    for asked, report in reports:
        # As few as can be: GitHub shows ten of a kind for a step.
        for alike in _alike(remark for remark in report.remarks if remark.allowed is None):
            code = alike[0].code
            title = f"{_title(report.artifact)}: {FINDINGS[code].title} ({code})"
            out.append(f"::{commands[alike[0].severity]} {place}title={_property(title)}::{_data(_lines(alike))}")
        # Not a command, whatever the file is called.
        name = escaped(PurePath(asked).name)
        out.append(f"{name or 'artifact'} - {_verdict(report)}")
    out += [f"::error title={_property(asked)}::{_data(message.split(chr(10)))}" for asked, message in errors]
    return "\n".join(out) + "\n" if out else ""


# ---------------------------------------------------------------------------------------------------------
# SARIF 2.1.0


def audit_sarif(reports: Sequence[tuple[str, Report]], errors: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """One run: rules are the codes, results the remarks; what is allowed is suppressed."""
    codes = list(dict.fromkeys((*CHECKS, *(remark.code for _, report in reports for remark in report.remarks))))
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "capably",
                        "semanticVersion": __version__,
                        "version": __version__,
                        "rules": [_rule(code) for code in codes],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": not errors,
                        "toolExecutionNotifications": [
                            {"level": "error", "message": {"text": printable(f"{asked}: {message}")}}
                            for asked, message in errors
                        ],
                    }
                ],
                "results": [
                    _result(asked, report.artifact, remark, codes.index(remark.code))
                    for asked, report in reports
                    for remark in report.remarks
                ],
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


def _rule(code: str) -> dict[str, Any]:
    page = FINDINGS[code]
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in code.split("-")),
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.cause},
        "help": {"text": f"{page.cause}\n\ncapably explain {code}"},
    }


def _result(asked: str, artifact: Artifact, remark: Remark, index: int) -> dict[str, Any]:
    # Bytes of a name that are no UTF-8 are what they are in a URI too.
    uri = urllib.parse.quote(PurePath(asked).as_posix().encode("utf-8", "surrogateescape"), safe="/.-_~+=")
    if PurePath(asked).is_absolute():
        uri = f"file://{uri}" if uri.startswith("/") else f"file:///{uri}"
    name = artifact.name or PurePath(artifact.path).name
    whole = printable(f"{name}!/{remark.path}" if remark.path else name)
    identity = "\n".join((name, remark.path, remark.code, *sorted(str(gap.device.capability) for gap in remark.gaps)))
    undecided = remark.severity is RemarkSeverity.UNKNOWN
    lines = _lines([replace(remark, allowed=None)])  # a suppression says that
    return {
        "ruleId": remark.code,
        "ruleIndex": index,
        "kind": "open" if undecided else "fail",
        "level": "none" if undecided else str(remark.severity),
        "message": {"text": "\n".join(lines)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": whole, "kind": "module"}],
            }
        ],
        "partialFingerprints": {"capably/v1": hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()},
        **(
            {"suppressions": [{"kind": "external", "status": "accepted", "justification": printable(remark.allowed)}]}
            if remark.allowed is not None
            else {}
        ),
    }


# ---------------------------------------------------------------------------------------------------------
# JUnit


def _xml(lines: str) -> str:
    """Text of an element: no character that XML does not have, since those are spelled out."""
    return inert(escape(lines))


def _attribute(text: str) -> str:
    return quoteattr(escaped(text))


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


_Case = tuple[str, str, str, str]
"""Name, outcome (``pass``, ``failure`` or ``error``), code, and text."""


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
    for alike in _alike(remarks):
        remark = alike[0]
        fails = remark.allowed is None and not (fail_on == "none" and remark.code == "gpu-partly-covered")
        if fails and remark.severity in failing:
            outcome = failing[remark.severity] if outcome != "failure" else outcome
            code = code or remark.code
        texts.append("\n".join(_lines(alike)))
    return name, outcome, code, "\n\n".join(texts)


# ---------------------------------------------------------------------------------------------------------
# A policy as TOML


def policy_toml(policy: AuditPolicy, artifact: Artifact) -> str:
    """*policy* as a table for ``pyproject.toml``, with what a person has to decide in comments."""
    out = [
        f"# What {printable(_title(artifact))} keeps, to start from: take out what is not a promise.",
        "[tool.capably]",
    ]
    if policy.require:
        names = tables().products
        out.append("require = [")
        for device in policy.require:
            known = [
                product.name.removeprefix("GeForce ") for product in names if product.capability == device.capability
            ]
            shown = ", ".join(sorted(known, key=len)[:_FEW]) + (", …" if len(known) > _FEW else "")
            out.append(f"    {_string(str(device.capability))},  # {shown}")
        out.append("]")
    if policy.targets:
        out.append(f"targets = [{', '.join(_string(str(target)) for target in policy.targets)}]")
    if policy.ptx is not None:
        out.append(f"ptx = {_string(policy.ptx)}")
    if policy.driver is not None:
        out.append(f"driver = {_string(_driver(policy.driver))}  # the oldest by which all of this holds")
    if policy.toolkits:
        out.append(f"toolkit = [{', '.join(_string(str(toolkit)) for toolkit in policy.toolkits)}]")
    if policy.artifact_bytes is not None:
        out.append(f"max-size = {_string(f'{policy.artifact_bytes // 10**6} MB')}")
    for allowance in policy.allow:
        out += ["", "[[tool.capably.allow]]", f"finding = [{', '.join(map(_string, allowance.codes))}]"]
        if allowance.libraries:
            out.append(f"library = [{', '.join(map(_string, allowance.libraries))}]")
        if allowance.gpus:
            out.append(f"gpu = [{', '.join(_string(str(device.capability)) for device in allowance.gpus)}]")
        out.append(f"reason = {_string(allowance.reason)}")
    return "\n".join(out) + "\n"


def _string(text: str) -> str:
    """A TOML string. What cannot be printed becomes `?`, which fits any character in a pattern."""
    quoted = json.dumps("".join(c if c.isprintable() else "?" for c in text), ensure_ascii=False)
    return quoted.replace("##", "#\\u0023")  # the same text, and no command to a build server
