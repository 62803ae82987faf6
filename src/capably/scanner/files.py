"""Files on disk: one library, or a directory of them."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from capably.errors import ScanError
from capably.facts import Artifact, ArtifactKind
from capably.scanner.content import FileContent
from capably.scanner.library import ARCHIVES, HEAD_BYTES, Form, classify, read_library
from capably.scanner.nested import scan_item, scan_tar, unpacked
from capably.scanner.tally import Job, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.scanner.content import Content

__all__ = ["scan_path", "scan_tree"]

_EXPECTED = (
    "it is nothing that capably reads: expected a 64-bit ELF file, a PE file, an object or a static library, a "
    "cubin, a fatbin, PTX, a wheel or another zip, a tar archive, or a directory"
)


def scan_path(path: str, job: Job) -> Artifact:
    """See `capably.scanner.scan`."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a path may be anything here, and stays as it was named
    except (OSError, ValueError) as error:
        raise ScanError(path, _reason(error)) from None
    if stat.S_ISDIR(mode):
        tally = scan_tree(path, _walk(path, job), job)
        return Artifact(
            path=path,
            kind=ArtifactKind.DIRECTORY,
            libraries=tally.libraries(path),
            findings=job.findings.take(),
            files=tally.files,
        )
    name = Path(path).name
    with _opened(path, path) as (file, size):
        head = file.read(HEAD_BYTES) or b""
        form = classify(head)
        if form is Form.ZIP:
            from capably.scanner.archive import scan_archive  # noqa: PLC0415 - zipfile, only for zips

            artifact = scan_archive(path, name, file, size, job)
            return replace(artifact, sha256=_digest(file)) if job.with_sha256 else artifact
        if form in ARCHIVES:
            artifact = _scan_tar(path, form, FileContent(file, size), job)
            return replace(artifact, sha256=_digest(file)) if job.with_sha256 else artifact
        if form is Form.OTHER:
            raise ScanError(path, "it is empty" if not size else _EXPECTED)
        tally = Tally(job)
        tally.files = 1
        tally.count(form)
        digest = _digest(file) if job.with_sha256 else None
        with tally.guard(name):
            job.advance(name, 0, size)
            library = read_library(name, FileContent(file, size), head, form, job)
            job.advance(name, size, size)
            if library is not None:
                tally.add(library, identity=None, sha256=digest)
        return Artifact(
            path=path,
            kind=ArtifactKind.LIBRARY,
            libraries=tally.libraries(path),
            findings=job.findings.take(),
            files=1,
            sha256=digest,
        )


def _scan_tar(path: str, form: Form, content: Content, job: Job) -> Artifact:
    inner = unpacked(path, content, job) if form is Form.PACKED else content
    if inner is None:
        raise ScanError(path, f"no tar archive is in it, and {_EXPECTED}")
    tally = Tally(job)
    with tally.guard(path):
        scan_tar(path, "", inner, tally, 0)
    return Artifact(
        path=path,
        kind=ArtifactKind.ARCHIVE,
        libraries=tally.libraries(path),
        findings=job.findings.take(),
        files=tally.files,
    )


def scan_tree(root: str, names: Iterable[tuple[str, str]], job: Job) -> Tally:
    """Scan many files.

    Args:
        root: What to name in a finding about all of them.
        names: Pairs of the path to report, with ``/``, and the path to open.
        job: The call.
    """
    tally = Tally(job)
    # By size: only files with GPU code of equal size may be copies, and only these have to be hashed.
    by_size: dict[int, list[tuple[str, str]]] = {}
    libraries = []
    for name, path in names:
        if tally.stop(root) or tally.full(root):
            break
        try:
            with _opened(path, name) as (file, size):
                tally.files += 1
                head = file.read(HEAD_BYTES) or b""
                form = classify(head)
                tally.count(form)
                if form is Form.OTHER:
                    continue
                with tally.guard(name):
                    job.advance(name, 0, size)
                    library = scan_item(name, FileContent(file, size), head, form, tally, depth=1)
                    job.advance(name, size, size)
                    if library is not None:
                        libraries.append((library, path))
                        by_size.setdefault(size, []).append((name, path))
        except ScanError as error:
            job.findings.add("unreadable-file", name, f"It cannot be read: {error.problem}.")
    for library, path in libraries:
        digest = None
        if job.with_sha256 or len(by_size[library.size_bytes]) > 1:
            try:
                with _opened(path, library.path) as (file, _):
                    digest = _digest(file)
            except ScanError as error:
                job.findings.add("unreadable-file", library.path, f"It cannot be read: {error.problem}.")
        tally.add(library, identity=digest, sha256=digest if job.with_sha256 else None)
    return tally


@contextmanager
def _opened(path: str, name: str) -> Iterator[tuple[FileIO, int]]:
    """An open regular file and its size; *name* is what an error says."""
    # Without O_NONBLOCK, opening a named pipe waits for somebody to write.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ScanError(name, _reason(error)) from None
    try:
        with FileIO(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ScanError(name, "it is not a regular file")
            yield file, status.st_size
    except OSError as error:
        raise ScanError(name, _reason(error)) from None


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "permission is denied"
    return getattr(error, "strerror", None) or str(error)


def _digest(file: FileIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(root: str, job: Job) -> Iterator[tuple[str, str]]:
    """All regular files below a directory, sorted; links to directories are not followed."""
    stack = [("", root, 0)]
    while stack:
        prefix, directory, depth = stack.pop()
        try:
            with os.scandir(directory) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            job.findings.add("unreadable-file", prefix.rstrip("/") or root, f"It cannot be read: {_reason(error)}.")
            continue
        below = []
        for entry in listed:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                below.append((name + "/", entry.path, depth + 1))
            elif entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists()):
                yield name, entry.path
        if below and depth >= job.limits.nesting:
            job.findings.add("limit-reached", prefix.rstrip("/") or root, "Directories below it were not read.")
            continue
        stack += reversed(below)
