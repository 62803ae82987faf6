"""What every format says of a release: its name, its verdict in words, and remarks as lines.

Remarks that say the same about several libraries are one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from capably.audit import RemarkSeverity
from capably.audit.gap_story import arguments_told, holdings
from capably.codes import Outcome
from capably.escaping import printable
from capably.gpu_names import full_name
from capably.report.names import families
from capably.report.safe import clip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.audit import Gap, Remark, Report
    from capably.facts import Artifact, Driver

__all__ = [
    "FEW",
    "MORE",
    "artifact_title",
    "by_line",
    "driver_name",
    "families_of",
    "kernels_told",
    "lines_of",
    "remarks_alike",
    "verdict_line",
]

FEW, MORE = 3, 12
_NAME = 60  # columns of the name of a kernel; whole ones are in the JSON


def artifact_title(artifact: Artifact) -> str:
    """Name and version, else where it was found."""
    return " ".join(filter(None, (artifact.name, artifact.version))) or artifact.path


def driver_name(driver: Driver) -> str:
    """A driver by its release, else by its CUDA version."""
    return str(driver.release) if driver.release else f"CUDA {driver.cuda}"


def verdict_line(report: Report) -> str:
    """How much is wrong, in a few words."""
    counts = [
        (report.count(severity), severity)
        for severity in (RemarkSeverity.ERROR, RemarkSeverity.UNKNOWN, RemarkSeverity.WARNING)
    ]
    words = {RemarkSeverity.ERROR: "error", RemarkSeverity.UNKNOWN: "cannot tell", RemarkSeverity.WARNING: "warning"}
    listed = [
        f"{count} {words[severity]}{'s' if count > 1 and severity is not RemarkSeverity.UNKNOWN else ''}"
        for count, severity in counts
        if count
    ]
    if not listed and not report.artifact.libraries:
        return "no GPU code, so there is nothing to audit"
    return ", ".join(listed) or "nothing is wrong with it"


def _gap_line(gap: Gap, most: int = FEW) -> str:
    """How much is missing, and what is there instead."""
    held = holdings(gap)
    shown = [f"{count} with {targets}" if len(held) > 1 else f"with {targets}" for targets, count in held[:most]]
    more = sum(count for _, count in held[most:])
    kinds = "; ".join(shown) + (f"; {more} more" if more else "")
    outcome = gap.fatbins[0].outcome if gap.fatbins else None
    be, do = ("is", "does") if gap.missing == 1 else ("are", "do")
    verb = {Outcome.UNKNOWN: f"{be} undecided", Outcome.COMPILES: f"{be} PTX there"}.get(
        outcome or Outcome.FAILS, f"{do} not load"
    )
    return f"{gap.missing} of {gap.counts.total} fatbins {verb}" + (f": {kinds}" if kinds else "")


def by_line(remark: Remark, most: int) -> list[tuple[str, str]]:
    """What is missing, and for which GPUs."""
    lines: dict[str, list[str]] = {}
    for gap in remark.gaps:
        if gap.missing and gap.fatbins:
            lines.setdefault(_gap_line(gap, most), []).append(full_name(gap.device))
    return [(", ".join(names), line) for line, names in lines.items()]


def families_of(gap: Gap, most: int) -> tuple[list[tuple[str, int]], int]:
    """The kernels of a gap in families of names, the largest first, and how many more there are."""
    if not gap.kernels:
        return [], 0
    found = families(gap.kernels)
    shown = [(family.name, len(family.members)) for family in found[:most] if family.name is not None]
    return shown, len(gap.kernels) - sum(count for _, count in shown)


def kernels_told(remark: Remark, most: int) -> str:
    """What is in the fatbins of a gap, over all GPUs; empty where kernels were not read."""
    names = {name for gap in remark.gaps for name in gap.kernels}
    if not names:
        return ""
    shown, more = families_of(replace(remark.gaps[0], kernels=tuple(sorted(names))), most)
    listed = [f"{clip(name, _NAME)} ({count})" if count > 1 else clip(name, _NAME) for name, count in shown]
    count = f"{len(names)} kernel{'s' if len(names) > 1 else ''}"
    return f"{count}: {', '.join(listed)}" + (f" and {more} more" if more else "")


def _details(remark: Remark, most: int = FEW) -> list[str]:
    """A line for what is missing for which GPUs, the arguments behind it, and the kernels in it."""
    lines = [f"{names}: {text}" for names, text in by_line(remark, most)]
    lines += [f"why: {message}" for message in arguments_told(remark, most)]
    held = kernels_told(remark, most)
    return [*lines, f"what: {held}"] if held else lines


def remarks_alike(remarks: Iterable[Remark]) -> list[list[Remark]]:
    """Remarks that differ in the library only, together."""
    groups: dict[object, list[Remark]] = {}
    for remark in remarks:
        plain = remark.message.replace(remark.path, "") if remark.path else remark.message
        key = remark.code, remark.severity, remark.allowed, plain, bool(remark.path), *_details(remark, MORE)
        groups.setdefault(key, []).append(remark)
    return list(groups.values())


def lines_of(alike: Sequence[Remark]) -> list[str]:
    """Remarks that say the same about several libraries, in printable lines: for formats that take plain text."""
    remark = alike[0]
    also = [f"also: {', '.join(other.path for other in alike[1:])}"] if len(alike) > 1 else []
    if remark.allowed is not None:
        lines = [f"allowed: {remark.message}", *also, f"for: {remark.allowed}"]
    else:
        do = [f"do: {remark.way_out}"] if remark.way_out else []
        lines = [remark.message, *also, *_details(remark), *do]
    return list(map(printable, lines))
