"""A wheel that may become a release, and what each GPU that its project promises something for can do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.audit.policy import BLOCKERS, AuditPolicy
from capably.audit.questions import other_host, promised_driver
from capably.engine import Verdict, choose, judge
from capably.facts import Artifact, Device, Driver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.compat import Self
    from capably.facts import Finding

__all__ = ["Candidate"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One artifact under one policy: all that is looked at by whatever is looked for.

    Attributes:
        artifact: The wheel.
        policy: What is promised.
        size_bytes: Of the wheel, where it is a file.
        elsewhere: GPUs that another wheel of the release is for.
        gpus: The other promised ones, each with the oldest driver that is promised for it.
        verdicts: Of the wheel on each of `gpus`, by alternative.
    """

    artifact: Artifact
    policy: AuditPolicy
    size_bytes: int | None
    elsewhere: tuple[Device, ...]
    gpus: tuple[tuple[Device, Driver], ...]
    verdicts: tuple[tuple[tuple[str | None, Verdict], ...], ...]

    @classmethod
    def of(
        cls, artifact: Artifact, policy: AuditPolicy, size_bytes: int | None = None, beside: Sequence[Artifact] = ()
    ) -> Self:
        """*artifact* under *policy*; *beside* are the other wheels of the release."""
        elsewhere = tuple(
            device
            for device in policy.gpus
            if other_host(artifact, device) and not all(other_host(other, device) for other in beside)
        )
        here = (device for device in policy.gpus if device not in elsewhere)
        gpus = tuple((device, promised_driver(device, policy.driver)) for device in here)
        verdicts = tuple(
            tuple((name, judge(reduced, device, driver)) for name, reduced in choose(artifact, device))
            for device, driver in gpus
        )
        return cls(artifact, policy, size_bytes, elsewhere, gpus, verdicts)

    @property
    def title(self) -> str:
        """What remarks call the wheel."""
        return self.artifact.name or self.artifact.path

    def within(self, finding: Finding) -> str:
        """The path of a finding, empty for the wheel as a whole."""
        return "" if finding.path in (self.artifact.path, self.artifact.name) else finding.path

    def blocking(self) -> Iterator[tuple[Finding, Device, Driver]]:
        """What keeps the wheel, or a library of it, from starting at all, GPU by GPU."""
        for (device, driver), verdicts in zip(self.gpus, self.verdicts, strict=True):
            for finding in dict.fromkeys(found for _, verdict in verdicts for found in verdict.findings):
                if finding.code in BLOCKERS:
                    yield finding, device, driver
