"""What a release gained and lost beside an older one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import by_kind
from capably.audit.questions import as_loaded, known_devices, other_host, promised_driver, targets_of
from capably.audit.report import BaselineComparison, CoverageChange, Gap, RemarkSeverity, joined, remark_of
from capably.engine import Coverage, OutcomeCounts, worth
from capably.gpu_names import full_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.arch import ComputeCapability
    from capably.audit.candidate import Candidate
    from capably.audit.report import Remark
    from capably.facts import Artifact

__all__ = ["compare", "lost"]


def compare(candidate: Candidate, baseline: Artifact, baseline_bytes: int | None) -> BaselineComparison:
    """What *candidate* gained and lost beside *baseline*, on the promised GPUs and on one of each capability."""
    artifact, policy = candidate.artifact, candidate.policy
    changes: dict[ComputeCapability, CoverageChange] = {}
    for device in dict.fromkeys((*policy.gpus, *known_devices())):
        if device.capability in changes or any(other_host(one, device) for one in (baseline, artifact)):
            continue
        driver = promised_driver(device, policy.driver)
        before, after = (as_loaded(one, device, driver) for one in (baseline, artifact))
        change = CoverageChange(device, before.coverage, after.coverage, before.counts, after.counts)
        if _worth(change.before, change.counts_before) != _worth(change.after, change.counts_after):
            changes[device.capability] = change
    old, new = targets_of(baseline.libraries), targets_of(artifact.libraries)
    old_paths, new_paths = _paths(baseline), _paths(artifact)
    return BaselineComparison(
        baseline,
        tuple(changes.values()),
        tuple(sorted(new - old, key=by_kind)),
        tuple(sorted(old - new, key=by_kind)),
        tuple(sorted(new_paths - old_paths)),
        tuple(sorted(old_paths - new_paths)),
        baseline_bytes,
    )


def _paths(artifact: Artifact) -> set[str]:
    """Of all libraries, copies included."""
    return {path for library in artifact.libraries for path in (library.path, *library.copies)}


def lost(candidate: Candidate, comparison: BaselineComparison) -> Iterator[Remark]:
    """GPUs that an older release served better."""
    found: dict[tuple[RemarkSeverity, str, str], list[Gap]] = {}
    for change in comparison.changes:
        before, after = _worth(change.before, change.counts_before), _worth(change.after, change.counts_after)
        if after < before:
            # A library that holds more may well serve a smaller share, and PTX still runs.
            severity = RemarkSeverity.ERROR if after[0] < before[0] else RemarkSeverity.WARNING
            severity = RemarkSeverity.UNKNOWN if Coverage.UNKNOWN in (change.before, change.after) else severity
            shares = _share(change.before, change.counts_before), _share(change.after, change.counts_after)
            driver = promised_driver(change.device, candidate.policy.driver)
            missing = change.counts_after.total - change.counts_after.usable
            gap = Gap(change.device, driver, change.counts_after, missing)
            found.setdefault((severity, *shares), []).append(gap)
    older = " ".join(filter(None, (comparison.baseline.name, comparison.baseline.version)))
    for (severity, old, new), gaps in found.items():
        yield remark_of(
            "coverage-lost",
            severity,
            "",
            tuple(gaps),
            subject=candidate.title,
            device=joined(full_name(gap.device) for gap in gaps),
            before=old,
            after=new,
            baseline=older or comparison.baseline.path,
        )


def _worth(coverage: Coverage | None, counts: OutcomeCounts) -> tuple[int, float]:
    """For comparing: how much is usable, then which share of it, as machine code where all is."""
    rank = worth(coverage or Coverage.NONE)  # where nothing loads, it does not matter whether there is anything
    if coverage is Coverage.FULL:
        return rank, float(not counts.compiles)
    return rank, counts.usable / counts.total if coverage is Coverage.PARTIAL else 0.0


def _share(coverage: Coverage | None, counts: OutcomeCounts) -> str:
    """What a GPU can do with a release, in words."""
    match coverage:
        case None:
            return "without GPU code"
        case Coverage.FULL:
            return "full, as machine code" if not counts.compiles else "full, some of it as PTX"
        case Coverage.PARTIAL:
            return f"partial ({counts.usable} of {counts.total} fatbins)"
        case _:
            return str(coverage)
