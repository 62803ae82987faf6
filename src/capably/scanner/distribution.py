"""Installed distributions, by the list of their files.

Source: PyPA specification "Recording installed projects" (RECORD, WHEEL).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from capably.facts import Artifact, ArtifactKind
from capably.scanner.files import scan_tree

if TYPE_CHECKING:
    import importlib.metadata
    from collections.abc import Iterator

    from capably.scanner.tally import Findings, Job

__all__ = ["scan_installed"]

# RECORD counts from site-packages; scripts and data lie at most this many levels above, in the prefix.
_LEVELS_TO_PREFIX = 4


def scan_installed(dist: importlib.metadata.Distribution, job: Job) -> Artifact:
    """See `capably.scanner.scan_distribution`."""
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - 8 ms

    name = dist.metadata["Name"] or "unknown"
    tally = scan_tree(name, _files(dist, name, job.findings), job)
    return Artifact(
        path=name,
        kind=ArtifactKind.DISTRIBUTION,
        libraries=tally.libraries(name),
        findings=job.findings.take(),
        name=canonicalize_name(name),
        version=dist.metadata["Version"],
        platforms=_platforms(dist.read_text("WHEEL") or ""),
        files=tally.files,
    )


def _files(dist: importlib.metadata.Distribution, name: str, findings: Findings) -> Iterator[tuple[str, str]]:
    """Pairs of path as recorded and path on disk."""
    record = dist.read_text("RECORD")
    if record is None:
        # Old formats have lists of their own, which importlib.metadata reads.
        paths = [str(path) for path in dist.files or ()]
        if not paths:
            findings.add("missing-file", name, "It has no RECORD, so its files are not known.")
    else:
        try:
            paths = [row[0] for row in csv.reader(record.splitlines()) if row and row[0]]
        except csv.Error:
            findings.add("unreadable-file", name, "Its RECORD cannot be read.")
            return
    for path in sorted(dict.fromkeys(paths)):
        parts = path.replace("\\", "/").split("/")
        above = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
        if (
            path.startswith(("/", "\\"))
            or path[1:2] == ":"
            or ".." in parts[above:]
            or above > _LEVELS_TO_PREFIX
            or "\0" in path
        ):
            findings.add("unsafe-name", path, "It lies outside the environment and was not read.")
            continue
        place = str(dist.locate_file(path))
        if Path(place).is_file():
            yield path, place
        elif not path.endswith(".pyc"):  # compiled files come and go
            findings.add("missing-file", path, "It is in RECORD but not on disk.")


def _platforms(wheel: str) -> tuple[str, ...]:
    """Platform tags of the ``Tag`` lines of a WHEEL file."""
    tags = [line.split(":", 1)[1].strip() for line in wheel.splitlines() if line.startswith("Tag:")]
    platforms = [tag.split("-")[2] for tag in tags if tag.count("-") == 2]
    return tuple(dict.fromkeys(part for platform in platforms for part in platform.split(".")))
