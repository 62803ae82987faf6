"""The registry of reason and finding codes, and the reasons that the engine gives.

A code is permanent. Each has a title, a cause, a way out and its sources in one place; the text output, the
JSON, the documentation and the tests all read them here, so that none can tell a different story.
"""

from __future__ import annotations

from capably.codes.page import Page
from capably.codes.reason import Grade, Outcome, Reason
from capably.codes.registry import FINDINGS, REASONS

__all__ = ["FINDINGS", "REASONS", "Grade", "Outcome", "Page", "Reason"]
