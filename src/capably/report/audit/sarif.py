"""The answer of ``capably audit`` as SARIF 2.1.0."""

from __future__ import annotations

import hashlib
import urllib.parse
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from capably import __version__
from capably.audit import CHECKS, RemarkSeverity
from capably.codes import FINDINGS
from capably.escaping import printable
from capably.report.audit.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capably.audit import Remark, Report
    from capably.facts import Artifact

__all__ = ["audit_sarif"]


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
    lines = lines_of([replace(remark, allowed=None)])  # a suppression says that
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
