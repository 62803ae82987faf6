"""A tar archive as a whole: each member is read where it lies."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from capably.scanner import tar
from capably.scanner.content import BytesContent, CachedSource, SliceContent, in_memory_if_small
from capably.scanner.forms import ARCHIVES, HEAD_BYTES, Form, classify
from capably.scanner.names import UNSAFE, is_unsafe

if TYPE_CHECKING:
    from capably.scanner.content import Content
    from capably.scanner.descent import Read
    from capably.scanner.source import Source
    from capably.scanner.tally import Tally

__all__ = ["scan_tar"]


def scan_tar(label: str, prefix: str, content: Content, tally: Tally, *, read: Read, depth: int) -> None:
    """Read all members of a tar archive.

    Args:
        label: How to name the archive.
        prefix: What to put before the names of its members.
        content: The archive, unpacked.
        tally: Where the libraries go.
        read: Reads what is in it.
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
            _scan_member(path, SliceContent(content, member.start, member.size), tally, prefix, read=read, depth=depth)
        if stream is not None:
            stream.forget()
        if member.size and not source.read(member.start + member.size - 1, 1):
            job.findings.add("truncated-file", path, f"It should have {member.size} bytes; the archive ends in it.")
            return
    if stream is not None:
        # The checksum of the stream lies behind the blocks at the end.
        stream.read(stream.position, 1 << 20)


def _scan_member(path: str, part: SliceContent, tally: Tally, scope: str, *, read: Read, depth: int) -> None:
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
    library = read(path, content, head, form, tally, depth=depth + 1)
    tally.job.advance(path, part.size, part.size)
    if library is None or digest is None:
        return
    if stream is None or isinstance(content, BytesContent):
        source = content.source()
        for offset in range(0, content.size, 1 << 20):
            digest.update(source.read(offset, min(1 << 20, content.size - offset)))
    identity = digest.hexdigest()
    tally.add(library, identity=(scope, identity), sha256=identity if tally.job.with_sha256 else None)
