"""A file wherever it lies: a library is read, an archive descended into, and what is in that comes here again.

What is in archives is read in place, nothing is unpacked to disk. Those that know a kind of archive are handed the
way back here, and know nothing of other kinds.
"""

from __future__ import annotations

import io
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from capably.errors import LimitError, ScanError, TruncatedError
from capably.scanner import tarball
from capably.scanner.content import SourceFile
from capably.scanner.forms import ARCHIVES, Form
from capably.scanner.library import read_library
from capably.scanner.tar import BLOCK, is_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.facts import Library
    from capably.scanner.content import Content
    from capably.scanner.job import Job
    from capably.scanner.source import Seekable
    from capably.scanner.tally import Tally

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
            from capably.scanner.archive import scan_zip  # noqa: PLC0415 - only for zips

            with _seekable(path, content, tally.job) as file:
                if file is not None:
                    scan_zip(path, prefix, file[0], file[1], tally, read=scan_item, depth=depth)
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


def scan_tar(path: str, prefix: str, content: Content, tally: Tally, depth: int) -> None:
    """Read all members of a tar archive; see `capably.scanner.tarball.scan_tar`."""
    tarball.scan_tar(path, prefix, content, tally, read=scan_item, depth=depth)


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
        head = inner.stream().read(0, BLOCK)
        if not head and inner.damaged:
            raise ScanError(path, inner.no_codec or "its compressed data is damaged")
        yield inner if is_tar(head) else None
