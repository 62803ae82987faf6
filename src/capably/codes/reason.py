"""The reasons that the engine gives."""

from __future__ import annotations

from dataclasses import dataclass

from capably.codes.registry import REASONS
from capably.compat import StrEnum

__all__ = ["Grade", "Outcome", "Reason"]


class Outcome(StrEnum):
    """What becomes of an image or fatbin on a device."""

    RUNS = "runs"  # machine code loads as it is
    COMPILES = "compiles"  # only PTX fits, and the driver can compile it
    FAILS = "fails"  # nothing loads
    UNKNOWN = "unknown"  # the facts or the tables do not decide


class Grade(StrEnum):
    """How a fact came to be known, best first."""

    MEASURED = "measured"
    DOCUMENTED = "documented"
    INFERRED = "inferred"


@dataclass(frozen=True, slots=True)
class Reason:
    """One argument for or against, as weighed by the engine.

    Attributes:
        code: Key in `REASONS`.
        outcome: What this argument alone makes of the image.
        subject: The image, or the library and its share of fatbins.
        params: Sorted ``(name, value)`` pairs that the page's texts are filled with.
        sources: Keys in ``data/sources.json``: those of the rule and of the rows that it used.
        grade: The weakest grade among the rows that it used.
    """

    code: str
    outcome: Outcome
    subject: str
    params: tuple[tuple[str, str], ...] = ()
    sources: tuple[str, ...] = ()
    grade: Grade = Grade.DOCUMENTED

    def about(self, subject: str) -> Reason:
        """The same argument about *subject*; `dataclasses.replace` takes three times as long, for each library."""
        return Reason(self.code, self.outcome, subject, self.params, self.sources, self.grade)

    @property
    def message(self) -> str:
        """The argument as one sentence."""
        return REASONS[self.code].message.format_map(dict(self.params))

    @property
    def way_out(self) -> str:
        """What to do about it; empty where nothing is wrong."""
        return REASONS[self.code].way_out.format_map(dict(self.params))

    @property
    def otherwise(self) -> str:
        """What to do about it with the driver left as it is; may be empty."""
        page = REASONS[self.code]
        return (page.way_out if page.otherwise is None else page.otherwise).format_map(dict(self.params))
