"""A policy to start from: what a wheel keeps, written down."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from capably.arch import by_kind
from capably.audit.allowances import Allowances
from capably.audit.build import behind_driver
from capably.audit.candidate import Candidate
from capably.audit.gpus import blocked, gaps
from capably.audit.policy import ALLOWABLE, Allowance, AuditPolicy, Ptx
from capably.audit.questions import TO_COME, as_loaded, counted, images, known_devices, starts, targets_of
from capably.audit.release import audit
from capably.audit.report import RemarkSeverity
from capably.audit.targets import claimed
from capably.engine import judge, reaches
from capably.facts import Driver, Library
from capably.tables import tables
from capably.version import DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.audit.report import Report
    from capably.facts import Artifact, Device

__all__ = ["starting_policy"]

_SERVED = 0.1
"""Of the fatbins, how many have to load for a GPU to be taken as meant. Files without flags, and what a dependency
brings along, are fewer; libraries that hold one fatbin for each architecture have more."""


def starting_policy(artifact: Artifact, *, size_bytes: int | None = None) -> AuditPolicy:
    """What a good wheel keeps, as a policy that it passes; a person has to say whether that is what is meant.

    Required are the capabilities that a tenth of its fatbins or more serve; what is missing there is allowed, with a
    reason that is still to be written. Targets are claimed where every library has them or does without. The driver is
    the oldest branch by which all of this holds.
    """
    served = []
    for device in known_devices():
        verdict = as_loaded(artifact, device, tables().newest_driver(device.capability))
        if starts(verdict) and verdict.counts.usable and verdict.counts.usable >= _SERVED * verdict.counts.total:
            served.append(device)
    libraries = artifact.libraries
    linked = [group.fatbin for library in libraries for group in counted(library) if not group.fatbin.relocatable]
    forward = bool(linked) and all(any(reaches(image, TO_COME) for image in fatbin.images) for fatbin in linked)
    toolkits = {image.toolkit for library in libraries for image, _ in images(library) if image.toolkit is not None}
    policy = AuditPolicy(
        require=tuple(served),
        targets=tuple(sorted(targets_of(libraries), key=by_kind)),
        ptx=Ptx.REQUIRED if forward else None,
        toolkits=tuple(sorted(toolkits)),
        artifact_bytes=None if size_bytes is None else _rounded_up(size_bytes),
    )
    if any(True for _ in claimed(Candidate.of(artifact, policy))):
        policy = replace(policy, targets=())
    policy = replace(policy, driver=_oldest_driver(artifact, policy))
    return replace(policy, allow=tuple(_allowances(audit(artifact, policy, size_bytes=size_bytes))))


def _rounded_up(size_bytes: int) -> int:
    """A tenth more, in whole megabytes."""
    return -(-size_bytes * 11 // 10_000_000) * 1_000_000


def _oldest_driver(artifact: Artifact, policy: AuditPolicy) -> Driver | None:
    """The oldest branch that makes nothing worse; None where there is nothing to decide it."""

    def wrong(driver: Driver | None) -> set[tuple[str, str, int]]:
        candidate = Candidate.of(artifact, replace(policy, driver=driver))
        remarks = (*blocked(candidate), *gaps(candidate, Allowances(())), *behind_driver(candidate))
        return {(r.code, r.path, sum(gap.missing for gap in r.gaps)) for r in remarks}

    if not policy.require:
        return None
    best = wrong(None)
    oldest = None
    # The runtime is often linked in, so that no file names it as needed; it is of the toolkit all the same.
    names = tuple(f"libcudart.so.{cuda.major}" for cuda in policy.toolkits)
    runtime = Library("the CUDA runtime", 0, needed=names)
    for branch in reversed(tables().branches):
        driver = Driver(DriverRelease(branch.number))
        if starts(judge(runtime, policy.require[0], driver)) and wrong(driver) == best:
            oldest = driver
        elif oldest is not None:  # the newest may have dropped some of the GPUs
            break
    return oldest


def _allowances(report: Report) -> Iterator[Allowance]:
    """What the policy has to allow for all remarks but notes, as narrow as it can be."""
    found: dict[tuple[str, tuple[Device, ...]], list[str]] = {}
    for remark in report.remarks:
        if remark.severity is not RemarkSeverity.NOTE and remark.code in ALLOWABLE:
            paths = found.setdefault((remark.code, tuple(gap.device for gap in remark.gaps)), [])
            if remark.path and (pattern := _escaped(remark.path)) not in paths:
                paths.append(pattern)
    for (code, gpus), paths in found.items():
        yield Allowance("TODO: say why", (code,), libraries=tuple(paths), gpus=gpus)


def _escaped(path: str) -> str:
    """A shell pattern that matches *path* alone."""
    return re.sub(r"([*?[])", r"[\1]", path)
