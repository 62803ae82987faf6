"""Whether a release holds what its project promises: findings about a wheel, by a policy.

The facts of an artifact and a policy come in, remarks come out. What a GPU can do with an image is asked of the
engine, device by device; there is no rule about architectures here. Nothing is read and nothing is run.

`policy` and `report` are what comes in and goes out. `candidate` is a wheel under a policy; what is looked for in it
are functions from a candidate to remarks, in `gpus`, `targets` and `build`, in the words of `questions`. `release` runs
them, with what `allowances` excuse and what `comparison` finds beside an older release; `starting` writes a policy.
"""

from capably.audit.policy import ALLOWABLE, BLOCKERS, CHECKS, GAPS, Allowance, AuditPolicy, Ptx
from capably.audit.questions import promised_driver
from capably.audit.release import audit
from capably.audit.report import BaselineComparison, CoverageChange, Gap, Remark, RemarkSeverity, Report
from capably.audit.starting import starting_policy

__all__ = [
    "ALLOWABLE",
    "BLOCKERS",
    "CHECKS",
    "GAPS",
    "Allowance",
    "AuditPolicy",
    "BaselineComparison",
    "CoverageChange",
    "Gap",
    "Ptx",
    "Remark",
    "RemarkSeverity",
    "Report",
    "audit",
    "promised_driver",
    "starting_policy",
]
