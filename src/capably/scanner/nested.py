"""Archives of any kind, and archives within them: what they hold is read in place, nothing is unpacked to disk."""

from __future__ import annotations

import io
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from capably.errors import LimitError, ScanError, TruncatedError
from capably.scanner import tar
from capably.scanner.content import BytesContent, CachedSource, SliceContent, SourceFile, in_memory_if_small
from capably.scanner.library import ARCHIVES, HEAD_BYTES, Form, classify, read_library
from capably.scanner.names import UNSAFE, is_unsafe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.facts import Library
    from capably.scanner.content import Content
    from capably.scanner.source import Seekable, Source
    from capably.scanner.tally import Job, Tally

__all__ = ["scan_item", "scan_tar", "unpacked"]

_STEP = 1 << 20  # of a zip that is held in memory


def scan_item(path: str, content: Content, head: bytes, form: Form, tally: Tally, *, depth: int) -> Library | None:
    """Read a file that lies in an archive or a directory.

    Args:
        path: How to name it.
        content: Its bytes.
        head: Its first `HEAD_BYTES` bytes.
        form: What it is.
        tally: Where what is in it goes, if it is an archive.
        depth: How many archives it is in, itself included if it is one.

    Returns:
        What it is if it holds GPU code by itself.
    """
    if form in ARCHIVES:
        _descend(path, content, form, tally, depth)
        return None
    return None if form is Form.OTHER else read_library(path, content, head, form, tally.job)


def _descend(path: str, content: Content, form: Form, tally: Tally, depth: int) -> None:
    findings = tally.job.findings
    if depth > tally.job.limits.nesting:
        findings.add(
            "limit-reached", path, f"It lies deeper than {tally.job.limits.nesting} archives; it was not read."
        )
        return
    prefix = path + "!/"
    try:
        if form is Form.ZIP:
            from capably.scanner.archive import scan_zip  # noqa: PLC0415 - it imports this module

            with _seekable(path, content, tally.job) as file:
                if file is not None:
                    scan_zip(path, prefix, file[0], file[1], tally, depth=depth)
        elif form is Form.TAR:
            scan_tar(path, prefix, content, tally, depth)
        else:
            with unpacked(path, content, tally.job) as inner:
                if inner is not None:
                    scan_tar(path, prefix, inner, tally, depth)
    except LimitError as error:
        if tally.job.budget.exhausted:
            raise
        findings.add("limit-reached", path, f"It was not read: {error.problem}.")
    except TruncatedError as error:
        findings.add("truncated-file", path, f"It was not read: {error.problem}.")
    except ScanError as error:
        findings.add("unreadable-file", path, f"It was not read: {error.problem}.")


@contextmanager
def _seekable(path: str, content: Content, job: Job) -> Iterator[tuple[Seekable, int] | None]:
    """A zip as a file: one that comes as a stream is held in memory, since its directory is at its end."""
    stream = content.stream()
    if stream is None:
        yield SourceFile(content), content.size
        return
    file = io.BytesIO()
    with job.budget.hold() as take:
        try:
            while piece := stream.read(size := file.tell(), _STEP):
                take(len(piece))
                file.write(piece)
        except LimitError:
            if job.budget.exhausted:
                raise
            job.findings.add(
                "limit-reached", path, "It is a zip in an archive, too large to be held in memory, and was not read."
            )
            yield None
            return
        yield file, size


@contextmanager
def unpacked(path: str, content: Content, job: Job) -> Iterator[Content | None]:
    """The tar archive in a compressed file; None if there is something else in it.

    Raises:
        ScanError: Nothing can be unpacked.
    """
    from capably.scanner.packed import PackedContent  # noqa: PLC0415 - lzma and others, only where needed

    with closing(PackedContent(path, content, job)) as inner:
        head = inner.stream().read(0, tar.BLOCK)
        if not head and inner.damaged:
            raise ScanError(path, "its compressed data is damaged")
        yield inner if tar.is_tar(head) else None


def scan_tar(label: str, prefix: str, content: Content, tally: Tally, depth: int) -> None:
    """Read all members of a tar archive.

    Args:
        label: How to name the archive.
        prefix: What to put before the names of its members.
        content: The archive, unpacked.
        tally: Where the libraries go.
        depth: How many archives it is in, itself included.
    """
    job = tally.job
    stream = content.stream()
    source: Source = stream or CachedSource(content.source())
    names: set[str] = set()

    def problem(code: str, name: str, message: str) -> None:
        job.findings.add(code, prefix + name if name else label, message)

    for member in tar.members(source, problem, job.budget, max(job.limits.path_bytes - len(prefix), 0)):
        if tally.stop(label) or tally.full(label):
            return
        tally.look()
        path = prefix + member.name
        job.budget.count_names(sys.getsizeof(path))
        if is_unsafe(member.name):
            problem("unsafe-name", member.name, UNSAFE)
        if member.name in names:
            problem("damaged-archive-member", member.name, "Its name occurs twice; both were read.")
        names.add(member.name)
        with tally.guard(path):
            _scan_member(path, SliceContent(content, member.start, member.size), tally, prefix, depth)
        if stream is not None:
            stream.forget()
        if member.size and not source.read(member.start + member.size - 1, 1):
            job.findings.add("truncated-file", path, f"It should have {member.size} bytes; the archive ends in it.")
            return
    if stream is not None:
        # The checksum of the stream lies behind the blocks at the end.
        stream.read(stream.position, 1 << 20)


def _scan_member(path: str, part: SliceContent, tally: Tally, scope: str, depth: int) -> None:
    content: Content = part
    stream = part.stream()
    head = (stream or part.source()).read(0, min(HEAD_BYTES, part.size))
    form = classify(head)
    tally.count(form)
    digest = None
    if form not in ARCHIVES and form is not Form.OTHER:
        import hashlib  # noqa: PLC0415 - OpenSSL, 3 ms

        digest = hashlib.sha256()
        content = in_memory_if_small(part)
        if stream is not None and content is part:
            stream.hash(0, part.size, digest)
    tally.job.advance(path, 0, part.size)
    library = scan_item(path, content, head, form, tally, depth=depth + 1)
    tally.job.advance(path, part.size, part.size)
    if library is None or digest is None:
        return
    if stream is None or isinstance(content, BytesContent):
        source = content.source()
        for offset in range(0, content.size, 1 << 20):
            digest.update(source.read(offset, min(1 << 20, content.size - offset)))
    identity = digest.hexdigest()
    tally.add(library, identity=(scope, identity), sha256=identity if tally.job.with_sha256 else None)
