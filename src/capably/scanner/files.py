"""Files on disk: one library, or a directory of them."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from io import FileIO
from typing import TYPE_CHECKING

from capably.bounded import NOT_REGULAR, open_regular
from capably.errors import LimitError, ScanError
from capably.facts import Artifact, ArtifactKind
from capably.scanner.content import FileContent, SourceContent
from capably.scanner.forms import ARCHIVES, HEAD_BYTES, Form, classify
from capably.scanner.library import read_library
from capably.scanner.source import ToldSource
from capably.scanner.stated import read_compiler
from capably.scanner.tally import Tally
from capably.scanner.walk import scan_item, scan_tar, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.facts import Library
    from capably.scanner.content import Content
    from capably.scanner.job import Job
    from capably.scanner.remember import Watch

__all__ = ["scan_archive", "scan_path", "scan_tree"]

_EXPECTED = (
    "it is nothing that capably reads: expected a 64-bit ELF file, a PE file, an object or a static library, a "
    "cubin, a fatbin, PTX, a wheel or another zip, a tar archive, or a directory"
)


def scan_path(path: str, job: Job) -> Artifact:
    """See `capably.scanner.scan`."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path may be anything here, and stays as it was named
    except (OSError, ValueError) as error:
        raise ScanError(path, _reason(error)) from None
    if stat.S_ISDIR(status.st_mode):
        return _scan_directory(path, job)
    name = os.path.basename(os.path.normpath(path))  # noqa: PTH119 - importing pathlib takes 3 ms
    memory = job.memory
    with _opened(path, path) as (file, before):
        job.budget.begin(before.st_size)
        head = file.read(HEAD_BYTES) or b""
        form = classify(head)
        if form is Form.ZIP:
            return _scan_zip(path, name, file, before, job)
        if form in ARCHIVES:
            artifact = _scan_tar(path, form, FileContent(file, before.st_size), job)
            if job.with_sha256:
                artifact = replace(artifact, sha256=_digest(file))
            if memory is not None and _is_same(file, before):
                memory.keep_artifact(artifact, name, before, job)
            return artifact
        if form is Form.OTHER:
            raise ScanError(path, "it is empty" if not before.st_size else _EXPECTED)
        tally = Tally(job)
        tally.look()
        tally.count(form)
        digest = _digest(file) if job.with_sha256 else None
        with tally.guard(name):
            library = _read(name, FileContent(file, before.st_size), head, form, job)
            if library is not None:
                tally.add(library, identity=None, sha256=digest)
        artifact = Artifact(
            path=path,
            kind=ArtifactKind.LIBRARY,
            libraries=tally.libraries(path),
            findings=job.findings.take(),
            files=1,
            sha256=digest,
        )
        if memory is not None and _is_same(file, before):
            memory.keep_artifact(artifact, name, before, job)
        return artifact


def _scan_tar(path: str, form: Form, content: Content, job: Job) -> Artifact:
    tally = Tally(job)
    with unpacked(path, content, job) if form is Form.PACKED else nullcontext(content) as inner:
        if inner is None:
            raise ScanError(path, f"no tar archive is in it, and {_EXPECTED}")
        with tally.guard(path):
            scan_tar(path, "", inner, tally, 0)
    return Artifact(
        path=path,
        kind=ArtifactKind.ARCHIVE,
        libraries=tally.libraries(path),
        findings=job.findings.take(),
        files=tally.files,
    )


def _scan_directory(path: str, job: Job) -> Artifact:
    watch = None
    if job.memory is not None:
        from capably.scanner.remember import Watch  # noqa: PLC0415 - only with a store

        watch = Watch(os.path.realpath(path), whole=True)
    tally = scan_tree(path, _walk(path, job, watch), job, watch)
    artifact = Artifact(
        path=path,
        kind=ArtifactKind.DIRECTORY,
        libraries=tally.libraries(path),
        findings=job.findings.take(),
        files=tally.files,
        compilers=tally.compilers,
    )
    if job.memory is not None and watch is not None:
        job.memory.keep_tree("directory", path, artifact, watch, job)
    return artifact


def _scan_zip(path: str, name: str, file: FileIO, before: os.stat_result, job: Job) -> Artifact:
    memory = job.memory
    size = before.st_size
    if memory is None:
        artifact = scan_archive(path, name, file, size, job)
        return replace(artifact, sha256=_digest(file)) if job.with_sha256 else artifact
    from capably.scanner.remember import Digest  # noqa: PLC0415 - only with a store

    known, sha256 = memory.archive(path, file.fileno(), size, job)
    if known is not None:
        from capably.scanner.archive import named  # noqa: PLC0415 - only for zips

        artifact = named(known, name)
        if _is_same(file, before):
            memory.keep_artifact(artifact, name, before, job)
        return artifact
    beside = Digest(file.fileno(), size, job) if sha256 is None and Digest.is_free() else None
    try:
        artifact = scan_archive(path, name, file, size, job)
    finally:
        # With a hash that was asked for there is nothing to save by stopping.
        if beside is not None:
            sha256 = beside.wait() if job.with_sha256 else beside.stop()
    if job.with_sha256:
        sha256 = sha256 or _digest(file)
        artifact = replace(artifact, sha256=sha256)
    if _is_same(file, before):
        memory.keep_artifact(artifact, name, before, job)
        if sha256 is not None:
            memory.keep_archive(artifact, file.fileno(), before, sha256, job)
    return artifact


def scan_archive(path: str, name: str, file: FileIO, size: int, job: Job) -> Artifact:
    """Scan a wheel or any other zip.

    Args:
        path: As the user named it.
        name: Name of the file, which tells a wheel.
        file: The open file.
        size: Of the file, in bytes.
        job: The call.

    Raises:
        ScanError: It has no central directory that can be read.
        LimitError: It has too many members.
    """
    from capably.scanner.archive import named, scan_zip  # noqa: PLC0415 - only for zips

    tally = Tally(job)
    scan_zip(path, "", file, size, tally, read=scan_item, depth=0)
    libraries = tally.libraries(path)
    artifact = Artifact(
        path,
        ArtifactKind.ARCHIVE,
        libraries,
        job.findings.take(),
        files=tally.files,
        compilers=tally.compilers,
        requires=tally.requires,
    )
    return named(artifact, name)


def scan_tree(root: str, names: Iterable[tuple[str, str, bool] | int], job: Job, watch: Watch | None = None) -> Tally:
    """Scan many files.

    Args:
        root: What to name in a finding about all of them.
        names: The path to report, with ``/``; the path to open; whether that is no link. Or how many sources
            are counted and not opened.
        job: The call.
        watch: Is told about each file.
    """
    tally = Tally(job)
    # By size: only files with GPU code of equal size may be copies, and only these have to be hashed.
    by_size: dict[int, list[tuple[str, str]]] = {}
    libraries = []
    for item in names:
        if tally.stop(root) or tally.full(root):
            break
        if isinstance(item, int):
            tally.look(item)
            tally.count(Form.SOURCE, item)
            continue
        name, path, plain = item
        try:
            with _opened(path, name) as (file, before):
                tally.look()
                job.budget.begin(before.st_size)
                head = file.read(HEAD_BYTES) or b""
                form = classify(head)
                tally.count(form)
                if watch is not None:
                    watch.file(name, before, plain=plain and form is Form.OTHER)
                if form is Form.OTHER:
                    continue
                with tally.guard(name):
                    if form in ARCHIVES:
                        library = scan_item(name, FileContent(file, before.st_size), head, form, tally, depth=1)
                    else:
                        library = _remembered(name, file, head, form, job)
                    compiler = read_compiler(name, FileContent(file, before.st_size), job.budget)
                    if compiler is not None:
                        tally.add_compiler(compiler)
                    if library is not None:
                        libraries.append((library, path))
                        by_size.setdefault(library.size_bytes, []).append((name, path))
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


def _remembered(name: str, file: FileIO, head: bytes, form: Form, job: Job) -> Library | None:
    """What `_read` gives, from an earlier call where there was one."""
    memory = job.memory
    before = os.fstat(file.fileno())
    if memory is None:
        return _read(name, FileContent(file, before.st_size), head, form, job)
    known = memory.library(name, before)
    if known is not None:
        library, notes, spent = known
        for note in notes:
            job.findings.add(*note)
        job.budget.spend(spent)
        return library
    spent = job.budget.spent
    log: list[list[str]] = []
    job.findings.log = log
    try:
        library = _read(name, FileContent(file, before.st_size), head, form, job)
    finally:
        job.findings.log = None
    if _is_same(file, before):
        memory.keep_library(name, before, (library, log, job.budget.spent - spent), job)
    return library


def _is_same(file: FileIO, before: os.stat_result) -> bool:
    """Whether an open file is what it was."""
    now = os.fstat(file.fileno())
    return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (before.st_size, before.st_mtime_ns, before.st_ctime_ns)


def _read(name: str, content: Content, head: bytes, form: Form, job: Job) -> Library | None:
    job.advance(name, 0, content.size)
    if job.kernels is not None:  # without them a gigabyte is read in a fraction of a second
        told = ToldSource(content.source(), lambda done: job.advance(name, done, content.size))
        content = SourceContent(told, content.size)
    library = read_library(name, content, head, form, job)
    job.advance(name, content.size, content.size)
    return library


@contextmanager
def _opened(path: str, name: str) -> Iterator[tuple[FileIO, os.stat_result]]:
    """An open regular file and its status; *name* is what an error says."""
    try:
        descriptor = open_regular(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ScanError(name, _reason(error)) from None
    try:
        with FileIO(descriptor, "rb") as file:
            yield file, os.fstat(descriptor)
    except OSError as error:
        raise ScanError(name, _reason(error)) from None


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "permission is denied"
    if isinstance(error, OSError) and error.strerror == NOT_REGULAR:
        return f"it is {NOT_REGULAR}"
    return getattr(error, "strerror", None) or str(error)


def _digest(file: FileIO) -> str:
    import hashlib  # noqa: PLC0415 - OpenSSL, 3 ms

    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _walk(root: str, job: Job, watch: Watch | None) -> Iterator[tuple[str, str, bool]]:
    """All regular files below a directory, sorted; links to directories are not followed."""
    stack = [("", root, 0)]
    while stack:
        prefix, directory, depth = stack.pop()
        if watch is not None:
            watch.directory(prefix.rstrip("/"))
        try:
            with os.scandir(directory) as entries:
                listed = sorted(_counted(entries, job), key=lambda entry: entry.name)
        except OSError as error:
            job.findings.add("unreadable-file", prefix.rstrip("/") or root, f"It cannot be read: {_reason(error)}.")
            continue
        except LimitError as error:
            job.findings.add("limit-reached", prefix.rstrip("/") or root, f"It was not read: {error.problem}.")
            return
        below = []
        for entry in listed:
            name = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    below.append((name + "/", entry.path, depth + 1))
                elif entry.is_file():
                    yield name, entry.path, not entry.is_symlink()
                elif entry.is_symlink():
                    status = entry.stat()  # raises where it leads nowhere
                    if watch is not None:  # to a directory, say, in whose place there may be a file the next time
                        watch.file(name, status, plain=False)
            except OSError as error:  # also a loop of links, or a directory that may be listed but not searched
                job.findings.add("unreadable-file", name, f"It cannot be read: {_reason(error)}.")
        if below and depth >= job.limits.nesting:
            job.findings.add("limit-reached", prefix.rstrip("/") or root, "Directories below it were not read.")
            continue
        stack += reversed(below)


def _counted(entries: Iterable[os.DirEntry[str]], job: Job) -> Iterator[os.DirEntry[str]]:
    """The same entries; their names are in memory from here on."""
    for entry in entries:
        job.budget.count_names(sys.getsizeof(entry.path))
        yield entry
