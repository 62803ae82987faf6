"""Installed distributions, by the list of their files.

Source: PyPA specification "Recording installed projects" (RECORD, WHEEL).
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from capably.bounded import read_bounded
from capably.errors import ScanError
from capably.facts import Artifact, ArtifactKind
from capably.scanner.limits import is_source
from capably.scanner.metadata import FILES, Distribution
from capably.scanner.stated import MOST_TEXT, bounded_requirements, cpu_build, is_version_file

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


def scan_installed(dist: Distribution | importlib.metadata.Distribution, job: Job) -> Artifact:
    """See `capably.scanner.scan_distribution`."""
    if not isinstance(dist, Distribution):
        dist = _ours(dist)
    memory = job.memory
    watch = None
    if memory is not None and not dist.damage:
        from capably.scanner.remember import Watch  # noqa: PLC0415 - only with a store

        if (known := memory.tree("distribution", dist.root, dist.place)) is not None:
            return known
        watch = Watch(dist.root, whole=False)
        for name in (dist.folder, *(f"{dist.folder}/{name}" for name in FILES)):
            watch.entry(name)
    from capably.scanner.files import scan_tree  # noqa: PLC0415 - nothing that is remembered needs the readers

    platforms = dist.platforms()
    recorded = dist.files(job.limits.members)
    for finding in dist.damage.values():
        job.findings.add(finding.code, finding.path, finding.message)
    if recorded is None and not any(finding.code == "damaged-record" for finding in dist.damage.values()):
        job.findings.add("unreadable-file", dist.name, "It has no RECORD, so its files are not known.")
    # What is damaged has been told of.
    paths = [path for path in recorded or () if path not in dist.damage]
    tally = scan_tree(dist.name, _files(paths, dist.root, job.findings, watch), job, watch)
    _look_for_cpu_build(paths, dist.root, job.findings, watch)
    artifact = Artifact(
        path=dist.name,
        kind=ArtifactKind.DISTRIBUTION,
        libraries=tally.libraries(dist.name),
        findings=job.findings.take(),
        name=dist.canonical_name,
        version=dist.version,
        platforms=platforms,
        files=tally.files,
        compilers=tally.compilers,
        requires=bounded_requirements(dist.fields("Requires-Dist")),
    )
    if memory is not None and watch is not None:
        memory.keep_tree("distribution", dist.place, artifact, watch, job)
    return artifact


def _look_for_cpu_build(paths: list[str], root: str, findings: Findings, watch: Watch | None) -> None:
    """Note what the package says of a build for the CPU, in a file that is otherwise not opened."""
    for path in filter(is_version_file, paths):
        if _is_inside(path):
            if watch is not None:
                watch.entry(path)
            with suppress(OSError):
                found = cpu_build(path, read_bounded(f"{root}/{path}", MOST_TEXT))
                if found is not None:
                    findings.add(found.code, found.path, found.message)


def _ours(dist: importlib.metadata.Distribution) -> Distribution:
    """The distribution that the standard library found."""
    place = getattr(dist, "_path", None)  # there is no public way to the folder of the metadata
    if not isinstance(place, os.PathLike):
        raise ScanError(str(place or dist), "it is no distribution that lies in a folder")
    return Distribution(os.fspath(place))


_LIBRARIES = (".so", ".pyd", ".dll", ".cubin", ".fatbin", ".ptx", ".a", ".lib")


def _files(
    recorded: list[str], root: str, findings: Findings, watch: Watch | None
) -> Iterator[tuple[str, str, bool] | int]:
    """The path as recorded, the path on disk, and whether that is no link; or a number of sources.

    A source, by its name, has to be there and is not opened.
    """
    for directory, names in _by_directory(recorded, findings).items():
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
                what = "no regular file" if os.path.lexists(place) else "not on disk"
                findings.add(code, path, f"It is in RECORD but {what}.")
            elif plain and base in sources:
                if watch is not None and one_by_one:
                    watch.entry(path)
                yield 1
            else:
                yield path, place, plain


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
