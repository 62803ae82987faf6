"""The answer of ``capably plan``, as text and as JSON."""

from capably.report.plan.asked import Origin, Tool
from capably.report.plan.document import list_object, plan_document
from capably.report.plan.pasting import paste, shell_line
from capably.report.plan.text import left_out, plan_text

__all__ = ["Origin", "Tool", "left_out", "list_object", "paste", "plan_document", "plan_text", "shell_line"]
