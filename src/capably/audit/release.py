"""All that is to be said about one wheel, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.audit.allowances import Allowances
from capably.audit.build import behind_driver, copies, cuda_major, sizes, toolkits
from capably.audit.candidate import Candidate
from capably.audit.comparison import compare, lost
from capably.audit.gpus import blocked, gaps, unread
from capably.audit.policy import CHECKS
from capably.audit.report import RemarkSeverity, Report
from capably.audit.targets import claimed, forward, stray, uneven

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capably.audit.policy import AuditPolicy
    from capably.facts import Artifact

__all__ = ["audit"]

_CHECKS = (blocked, claimed, stray, uneven, forward, behind_driver, toolkits, cuda_major, copies, sizes)


def audit(
    artifact: Artifact,
    policy: AuditPolicy,
    *,
    size_bytes: int | None = None,
    baseline: tuple[Artifact, int | None] | None = None,
    beside: Sequence[Artifact] = (),
) -> Report:
    """Everything that is to be said about *artifact* under *policy*.

    Args:
        artifact: As `capably.scan` reads it; with kernels where `AuditPolicy.reads_kernels`.
        policy: What is promised.
        size_bytes: Of the artifact, where it is a file.
        baseline: An older release and its size.
        beside: Other wheels of the same release: what comes in machines of another processor, one of them may be for.

    >>> from capably.audit import AuditPolicy
    >>> from capably.facts import Artifact
    >>> from capably.gpu_names import named_devices
    >>> report = audit(Artifact("x.whl", "wheel"), AuditPolicy(require=named_devices(["H100"])))
    >>> [(remark.code, str(remark.severity)) for remark in report.remarks]
    [('no-gpu-code', 'error')]
    """
    candidate = Candidate.of(artifact, policy, size_bytes, beside)
    allowances = Allowances(policy.allow)
    comparison = compare(candidate, *baseline) if baseline is not None else None
    remarks = [*unread(candidate), *gaps(candidate, allowances)]
    for check in _CHECKS:
        remarks += allowances.mark(check(candidate))
    if comparison is not None:
        remarks += allowances.mark(lost(candidate, comparison))
    remarks += allowances.unused()
    order = {severity: place for place, severity in enumerate(RemarkSeverity)}
    ranks = {code: place for place, code in enumerate(CHECKS)}
    remarks.sort(key=lambda r: (r.allowed is not None, order[r.severity], ranks.get(r.code, -1), r.path))
    return Report(
        artifact, candidate.gpus, candidate.verdicts, tuple(remarks), comparison, size_bytes, candidate.elsewhere
    )
