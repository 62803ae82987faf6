"""The answer of ``capably audit`` as workflow commands of GitHub, one a line."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from capably.audit import RemarkSeverity
from capably.codes import FINDINGS
from capably.escaping import escaped
from capably.report.audit.lines import artifact_title, lines_of, remarks_alike, verdict_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.audit import Report

__all__ = ["audit_github"]


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
        for alike in remarks_alike(remark for remark in report.remarks if remark.allowed is None):
            code = alike[0].code
            title = f"{artifact_title(report.artifact)}: {FINDINGS[code].title} ({code})"
            out.append(f"::{commands[alike[0].severity]} {place}title={_property(title)}::{_data(lines_of(alike))}")
        # Not a command, whatever the file is called.
        name = escaped(PurePath(asked).name)
        out.append(f"{name or 'artifact'} - {verdict_line(report)}")
    out += [f"::error title={_property(asked)}::{_data(message.split(chr(10)))}" for asked, message in errors]
    return "\n".join(out) + "\n" if out else ""


def _data(lines: Iterable[str]) -> str:
    """The text of a workflow command: its lines are kept, and nothing in it is another command."""
    return "%0A".join(escaped(line).replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    """The value of a property of a workflow command."""
    return escaped(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
