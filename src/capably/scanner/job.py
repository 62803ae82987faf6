"""One call of the scanner: what was asked for, and what all that read for it share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.facts import DAMAGE
from capably.scanner.findings import Findings
from capably.scanner.limits import Budget, Limits
from capably.scanner.parallel import Load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.compat import Self
    from capably.facts import Finding
    from capably.scanner.kernels import KernelReader  # noqa: TC004 - annotations of `Job` are never resolved
    from capably.scanner.remember import Memory  # noqa: TC004 - annotations of `Job` are never resolved

__all__ = ["Job"]

# What another time, another user or another disk may read.
_PASSING = DAMAGE | {"unreadable-file", "codec-missing"}


@dataclass(slots=True, eq=False, repr=False)
class Job:
    """One call of the scanner.

    Attributes:
        limits: How much to read at most.
        progress: See `capably.scanner.scan`.
        with_sha256: Whether to hash.
        memory: Results of earlier calls.
        kernels: Reads kernels, where they were asked for.
        load: What its threads have to do.
        started_ns: When it began.
        budget: What may still be spent.
        findings: Where to say what is wrong.
    """

    limits: Limits
    progress: Callable[[str, int, int], None] | None
    with_sha256: bool
    memory: Memory | None = None
    kernels: KernelReader | None = None
    load: Load = field(default_factory=Load)
    started_ns: int = field(init=False, default_factory=time.time_ns)
    budget: Budget = field(init=False)
    findings: Findings = field(init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits)
        self.findings = Findings(self.limits.findings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.kernels is not None:
            self.kernels.close()

    def part(self, progress: Callable[[str, int, int], None] | None) -> Job:
        """The same call, for a file that is read at the same time as others: its findings go to a list of its own."""
        result = Job(self.limits, progress, self.with_sha256, kernels=self.kernels, load=self.load)
        result.budget = self.budget.part()
        return result

    def is_lasting(self, findings: Iterable[Finding]) -> bool:
        """Whether the result would be the same the next time: nothing failed that may work then."""
        return not self.budget.exhausted and not any(finding.code in _PASSING for finding in findings)

    def advance(self, name: str, done: int, total: int) -> None:
        """Tell the progress on a file."""
        if self.progress is not None:
            self.progress(name, done, total)
