"""Every page by its code."""

from __future__ import annotations

from capably.codes import audits, diagnoses, gates, machine, plans, requirements, scans, surroundings, verdicts

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.codes.page import Page

__all__ = ["FINDINGS", "REASONS"]

REASONS: dict[str, Page] = {page.code: page for page in (*verdicts.PAGES, *requirements.PAGES)}
"""Those of verdicts: arguments for and against."""

FINDINGS: dict[str, Page] = {
    page.code: page for topic in (surroundings, plans, audits, machine, gates, diagnoses, scans) for page in topic.PAGES
}
"""Those of everything else that was noticed."""
