"""Installed distributions, by the list of their files.

Source: PyPA specification "Recording installed projects" (RECORD, WHEEL).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from capably.facts import Artifact, ArtifactKind
from capably.scanner.limits import is_source

if TYPE_CHECKING:
    import importlib.metadata
    from collections.abc import Iterator

    from capably.scanner.findings import Findings
    from capably.scanner.job import Job
    from capably.scanner.remember import Watch

__all__ = ["scan_installed"]

# RECORD counts from site-packages; scripts and data lie at most this many levels above, in the prefix.
_LEVELS_TO_PREFIX = 4
# From so many files of a directory on, one look at all of it is cheaper than one at each.
_WORTH_LISTING = 3
# What may be read of the metadata.
_METADATA = ("METADATA", "PKG-INFO", "RECORD", "SOURCES.txt", "WHEEL", "installed-files.txt", "top_level.txt")


def scan_installed(dist: importlib.metadata.Distribution, job: Job) -> Artifact:
    """See `capably.scanner.scan_distribution`."""
    memory = job.memory
    watch = None
    root = str(dist.locate_file(""))
    # There is no public way to the directory of the metadata; without it nothing is remembered.
    place = getattr(dist, "_path", None)
    if memory is not None and isinstance(place, Path) and place.exists():
        from capably.scanner.remember import Watch  # noqa: PLC0415 - only with a store

        if (known := memory.tree("distribution", root, str(place))) is not None:
            return known
        watch = Watch(root, whole=False)
        below = os.path.relpath(place, root).replace(os.sep, "/")
        for name in (below, *(f"{below}/{name}" for name in _METADATA)):
            watch.entry(name)
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - 8 ms

    from capably.scanner.files import scan_tree  # noqa: PLC0415 - nothing that is remembered needs the readers

    name = dist.metadata["Name"] or "unknown"
    tally = scan_tree(name, _files(dist, name, root, job.findings, watch), job, watch)
    artifact = Artifact(
        path=name,
        kind=ArtifactKind.DISTRIBUTION,
        libraries=tally.libraries(name),
        findings=job.findings.take(),
        name=canonicalize_name(name),
        version=dist.metadata["Version"],
        platforms=_platforms(dist.read_text("WHEEL") or ""),
        files=tally.files,
    )
    if memory is not None and watch is not None:
        memory.keep_tree("distribution", str(place), artifact, watch, job)
    return artifact


_LIBRARIES = (".so", ".pyd", ".dll", ".cubin", ".fatbin", ".ptx", ".a", ".lib")


def _files(
    dist: importlib.metadata.Distribution, name: str, root: str, findings: Findings, watch: Watch | None
) -> Iterator[tuple[str, str, bool] | int]:
    """The path as recorded, the path on disk, and whether that is no link; or a number of sources.

    A source, by its name, has to be there and is not opened.
    """
    for directory, names in _by_directory(_recorded(dist, name, findings), findings).items():
        # Others put files into the first two as well, which changes their stamps.
        one_by_one = not directory or directory.startswith("..") or len(names) < _WORTH_LISTING
        sources = set(filter(is_source, names))
        if watch is not None and not one_by_one and sources:
            watch.directory(directory)
        listed = frozenset() if one_by_one else _listed(f"{root}/{directory}")
        there = sources & listed
        if there:
            yield len(there)
        for base in names:
            if base in there:
                continue
            path = f"{directory}/{base}" if directory else base
            place = f"{root}/{path}"
            plain = base in listed or _is_plain(place)
            if plain is None:
                if watch is not None:
                    watch.file(path, None, plain=True)
                code = "missing-library" if path.endswith(_LIBRARIES) else "missing-file"
                findings.add(code, path, "It is in RECORD but not on disk.")
            elif plain and base in sources:
                if watch is not None and one_by_one:
                    watch.entry(path)
                yield 1
            else:
                yield path, place, plain


def _recorded(dist: importlib.metadata.Distribution, name: str, findings: Findings) -> list[str]:
    """The paths of the files, as they were recorded when it was installed."""
    import csv  # noqa: PLC0415 - nothing that is remembered needs it

    record = dist.read_text("RECORD")
    if record is None:
        # Old formats have lists of their own, which importlib.metadata reads.
        paths = [str(path) for path in dist.files or ()]
        if not paths:
            findings.add("unreadable-file", name, "It has no RECORD, so its files are not known.")
        return paths
    try:
        return [row[0] for row in csv.reader(record.splitlines()) if row and row[0]]
    except csv.Error:
        findings.add("unreadable-file", name, "Its RECORD cannot be read.")
        return []


def _by_directory(paths: list[str], findings: Findings) -> dict[str, list[str]]:
    """Names by directory, both sorted, of files in the environment; compiled ones come and go and are left out."""
    found: dict[str, list[str]] = {}
    inside: dict[str, bool] = {}
    for path in sorted(dict.fromkeys(paths)):
        directory, _, base = path.rpartition("/")
        if directory not in inside:
            inside[directory] = _is_inside(path[: -len(base)] if base else path)
        if not inside[directory] or base in ("", "..") or "\\" in base or "\0" in base or base[1:2] == ":":
            findings.add("unreadable-file", path, "It lies outside the environment and was not read.")
        elif not base.endswith(".pyc"):
            found.setdefault(directory, []).append(base)
    return found


def _is_inside(path: str) -> bool:
    """Whether a recorded path stays in the environment."""
    parts = path.replace("\\", "/").split("/")
    above = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    return not (
        path.startswith(("/", "\\"))
        or path[1:2] == ":"
        or "\0" in path
        or ".." in parts[above:]
        or above > _LEVELS_TO_PREFIX
    )


def _listed(place: str) -> frozenset[str]:
    """Names of the files in a directory that are no links."""
    try:
        with os.scandir(place) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    except (OSError, ValueError):
        return frozenset()


def _is_plain(place: str) -> bool | None:
    """Whether a file is no link; None if it is no file."""
    try:
        mode = os.lstat(place).st_mode
        if not stat.S_ISLNK(mode):
            return True if stat.S_ISREG(mode) else None
        return False if stat.S_ISREG(os.stat(place).st_mode) else None  # noqa: PTH116 - thousands of them
    except (OSError, ValueError):
        return None


def _platforms(wheel: str) -> tuple[str, ...]:
    """Platform tags of the ``Tag`` lines of a WHEEL file."""
    tags = [line.split(":", 1)[1].strip() for line in wheel.splitlines() if line.startswith("Tag:")]
    platforms = [tag.split("-")[2] for tag in tags if tag.count("-") == 2]
    return tuple(dict.fromkeys(part for platform in platforms for part in platform.split(".")))
