"""What ``capably audit`` answers: as text, as JSON, and as the formats that other programs read.

Everything that came from files goes through `printable` before it gets into any of them, so that the only line breaks
are those between lines of ours, and is then escaped as the format wants it: GitHub's workflow commands, XML, URIs, TOML.
"""

from capably.report.audit.document import audit_document
from capably.report.audit.github import audit_github
from capably.report.audit.junit import audit_junit
from capably.report.audit.sarif import audit_sarif
from capably.report.audit.text import audit_text
from capably.report.audit.toml import policy_toml

__all__ = ["audit_document", "audit_github", "audit_junit", "audit_sarif", "audit_text", "policy_toml"]
