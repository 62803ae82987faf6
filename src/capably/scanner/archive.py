"""Zips, wheels among them: members are streamed, nothing is ever written to disk.

The data is inflated once, in chunks, and its CRC is checked.
Source: PKWARE APPNOTE.TXT 6.3, sections 4.3 and 4.4.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from capably.facts import ArtifactKind
from capably.scanner import parallel
from capably.scanner.content import SliceContent, SourceContent
from capably.scanner.directory import Member, name_text, read_directory
from capably.scanner.forms import HEAD_BYTES, Form, classify
from capably.scanner.inflate import ERRORS, crc32, deflate_decompressor
from capably.scanner.limits import is_source
from capably.scanner.names import UNSAFE, is_unsafe, shown, too_long
from capably.scanner.release import normal_version
from capably.scanner.source import FileSource, StreamSource
from capably.scanner.stated import MOST_TEXT, cpu_build, is_metadata, is_version_file, read_compiler, requirements
from capably.scanner.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from capably.facts import Artifact
    from capably.scanner.content import Content
    from capably.scanner.descent import Read
    from capably.scanner.job import Job
    from capably.scanner.source import Seekable

__all__ = ["named", "scan_zip"]

_INPUT = 1 << 20
_FIRST = 128 << 10  # of a member, with its header: what its head, of half as much, is inflated from
_OUTPUT = 1 << 20  # of larger pieces more come in memory that is new to the process: 7 % of bitsandbytes
_STORED, _DEFLATED = 0, 8
_LOCAL_HEADER = 30
_LEAST_HEAD = 64  # tells a cubin
_PROGRESS_STEP = 8 << 20
_PARALLEL_BYTES = 4 << 20  # of compressed data; less is read sooner than threads are at work
_PARALLEL_MEMBER = 256 << 10  # likewise, of one member
_AHEAD_BYTES = 1 << 20  # of one member, likewise
_AHEAD = 32  # pieces; where a walk takes long for a while, the thread gets on with what will be walked soon


def named(artifact: Artifact, name: str) -> Artifact:
    """An archive with what the *name* of its file tells: whether it is a wheel, and of what."""
    wheel = _wheel_tags(name)
    return replace(
        artifact,
        kind=ArtifactKind.ARCHIVE if wheel is None else ArtifactKind.WHEEL,
        name=wheel[0] if wheel else None,
        version=wheel[1] if wheel else None,
        platforms=wheel[2] if wheel else (),
    )


def scan_zip(label: str, prefix: str, file: Seekable, size: int, tally: Tally, *, read: Read, depth: int) -> None:
    """Read all members of a zip, several at a time if it is not in another archive.

    Args:
        label: How to name the archive.
        prefix: What to put before the names of its members.
        file: The archive.
        size: Of the archive, in bytes.
        tally: Where the libraries go.
        read: Reads what is in it.
        depth: How many archives it is in, itself included.

    Raises:
        ScanError: It has no central directory that can be read.
        LimitError: It has too many members.
    """
    job = tally.job
    archive = _Archive(prefix, FileSource(file), size, read, depth)
    members = _members(label, prefix, archive, job)
    repeated = _repeated(members)
    tasks = [_Task(info, repeated=(info.size_bytes, info.crc) in repeated) for info in members]
    if depth == 0 and _read_in_threads(archive, tasks, tally):
        for task in tasks:
            if task.tally is not None:
                tally.join(task.tally)
        if not all(task.done for task in tasks) and not tally.stop(label):
            tally.full(label)
        return
    for task in tasks:
        if tally.stop(label) or tally.full(label):
            break
        _read_member(archive, task, tally)


class _Archive(NamedTuple):
    """What its members share.

    Attributes:
        prefix: What to put before the names of its members.
        source: Its bytes.
        size: How many.
        read: Reads what is in it.
        depth: How many archives it is in, itself included.
    """

    prefix: str
    source: FileSource
    size: int
    read: Read
    depth: int


@dataclass(slots=True, eq=False, repr=False)
class _Task:
    """A member, and after it was read in a thread, what was found in it and in those that the thread read before."""

    info: Member
    repeated: bool
    done: bool = False
    tally: Tally | None = None


def _read_in_threads(archive: _Archive, tasks: list[_Task], tally: Tally) -> bool:
    """Read members into tallies of their own, but those that are left when the call is over; False if not worth it."""
    if len(tasks) < 2 or parallel.workers() < 2:
        return False
    if sum(task.info.stored_bytes for task in tasks) < _PARALLEL_BYTES:
        return False
    job = tally.job

    def work(group: list[_Task], progress: Callable[[str, int, int], None]) -> None:
        part: Tally | None = None
        last: _Task | None = None
        for task in group:
            if job.budget.exhausted or job.budget.files >= job.limits.members:
                break
            if part is None:
                part = tally.part(progress)
            _read_member(archive, task, part)
            task.done = True
            last = task
            if part.job.findings:  # these come in the order of the archive
                task.tally, part = part, None
        if last is not None and part is not None:
            last.tally = part

    # What takes longest first, or one thread ends up alone with it. Small ones are read by one thread: two would
    # wait for the interpreter's lock most of the time, and take longer than one.
    groups = [[task] for task in tasks if task.info.stored_bytes >= _PARALLEL_MEMBER]
    groups.sort(key=lambda group: -max(group[0].info.size_bytes, group[0].info.stored_bytes))
    groups.append([task for task in tasks if task.info.stored_bytes < _PARALLEL_MEMBER])
    return len(groups) > 1 and parallel.run(groups, work, job.advance, job.budget.cancel, job.load)


def _read_member(archive: _Archive, task: _Task, tally: Tally) -> None:
    tally.look()
    member = _open(archive, task, tally.job)
    if member is not None:
        with closing(member), tally.guard(member.path):
            _scan_member(member, tally, archive, repeated=task.repeated)


def _scan_member(member: _MemberContent, tally: Tally, archive: _Archive, *, repeated: bool) -> None:
    content: Content = member
    head = member.stream().read(0, _LEAST_HEAD)
    form = classify(head)
    if form is not Form.CUBIN:  # of which a wheel may have thousands; for all others more has to be seen
        head = member.stream().read(0, HEAD_BYTES)
        form = classify(head)
    tally.count(form)
    if form is Form.ZIP and (stored := member.stored()) is not None:
        content = stored  # whose directory can be read where it is
    library = archive.read(member.path, content, head, form, tally, depth=archive.depth + 1)
    if archive.depth == 0:
        _read_stated(member, form, tally)
    member.report_damage()
    if library is not None:
        digest = member.digest() if repeated or tally.job.with_sha256 else None
        tally.add(
            library,
            identity=None if digest is None else (archive.prefix, digest),
            sha256=digest if tally.job.with_sha256 else None,
        )


def _read_stated(member: _MemberContent, form: Form, tally: Tally) -> None:
    """What a member of a wheel states beside GPU code."""
    if is_metadata(member.path):
        tally.requires = requirements(member.source().read(0, MOST_TEXT))
    elif is_version_file(member.path):
        finding = cpu_build(member.path, member.source().read(0, MOST_TEXT))
        if finding is not None:
            tally.job.findings.add(finding.code, finding.path, finding.message)
    elif form in (Form.ELF, Form.PE):
        compiler = read_compiler(member.path, member, tally.job.budget)
        if compiler is not None:
            tally.add_compiler(compiler)


def _repeated(members: list[Member]) -> set[tuple[int, int]]:
    """Size and CRC of members that may be copies of each other: only these have to be hashed."""
    seen: set[tuple[int, int]] = set()
    twice: set[tuple[int, int]] = set()
    for info in members:
        key = (info.size_bytes, info.crc)
        (twice if key in seen else seen).add(key)
    return twice


def _members(path: str, prefix: str, archive: _Archive, job: Job) -> list[Member]:
    members: dict[str, Member] = {}

    def refuse(name: str, size: int) -> None:
        job.findings.add("limit-reached", prefix + shown(name), too_long(size))

    for info in read_directory(path, archive.source, archive.size, job.budget, prefix=prefix, refuse=refuse):
        # Zips made on Windows by old tools have backslashes; such a name is a path all the same.
        if info.name.endswith("/") and not info.stored_bytes:
            continue
        name = prefix + info.name
        if info.name in members:
            job.findings.add("damaged-archive-member", name, "Its name occurs twice; the last one was read.")
        members[info.name] = info
        if is_unsafe(info.name):
            job.findings.add("unsafe-name", name, UNSAFE)
    # Members that share data are how small archives grow large; every honest writer puts them one after the
    # other. They are read in that order, too.
    result = []
    behind = 0
    for info in sorted(members.values(), key=lambda info: info.offset):
        if not 0 <= info.offset <= archive.size:
            job.findings.add("damaged-archive-member", prefix + info.name, "Its header lies outside the archive.")
            continue
        if info.offset < behind:
            job.findings.add(
                "damaged-archive-member", prefix + info.name, "It overlaps another member and was not read."
            )
            continue
        behind = info.offset + _LOCAL_HEADER + info.stored_bytes
        result.append(info)
    return result


def _wheel_tags(name: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Name, version and platforms as the file name of a wheel tells them."""
    if not name.endswith(".whl"):
        return None
    # As `packaging.utils` does.
    parts = name.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6) or "__" in parts[0] or re.fullmatch(r"[\w.]*", parts[0]) is None:
        return None
    if len(parts) == 6 and not re.match(r"[0-9]", parts[2]):
        return None
    version = normal_version(parts[1])
    if version is None:
        return None
    return re.sub(r"[-_.]+", "-", parts[0]).lower(), version, tuple(parts[-1].split("."))


class _Place(NamedTuple):
    """Where the data of a member lies, and how it may be had."""

    path: str
    source: FileSource
    offset: int
    info: Member
    ahead: bytes  # its first bytes, as they are stored


def _open(archive: _Archive, task: _Task, job: Job) -> _MemberContent | None:
    info = task.info
    name = archive.prefix + info.name
    if info.flags & 0x1:
        job.findings.add("encrypted-member", name, "It is encrypted and was not read.")
        return None
    if info.method not in (_STORED, _DEFLATED):
        job.findings.add("unreadable-file", name, f"Its compression method {info.method} is not supported.")
        return None
    # Most members are small, and come with their header in one request. The name is usually ASCII, and an
    # extra field of another length only makes it two.
    expected = _LOCAL_HEADER + len(info.name) + min(info.stored_bytes, _FIRST)
    ahead = archive.source.read(info.offset, expected)
    local = ahead[:_LOCAL_HEADER]
    if len(local) < _LOCAL_HEADER or local[:4] != b"PK\x03\x04":
        job.findings.add("damaged-archive-member", name, "Its local header is missing.")
        return None
    names = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    offset = info.offset + _LOCAL_HEADER + names
    if offset + info.stored_bytes > archive.size:
        job.findings.add("damaged-archive-member", name, "Its data ends behind the archive.")
        return None
    if (own := _own_name(archive, info, ahead)) != info.name:
        job.findings.add(
            "damaged-archive-member",
            name,
            f"Its local header calls it `{shown(own)}`: pip does not unpack such an archive.",
        )
    ahead = ahead[_LOCAL_HEADER + names :]
    # Many a wheel has equal sources, empty ones mostly; hardly any holds GPU code.
    hashed = job.with_sha256 or (task.repeated and not is_source(info.name))
    return _MemberContent(_Place(name, archive.source, offset, info, ahead), job, hashed=hashed)


def _own_name(archive: _Archive, info: Member, ahead: bytes) -> str:
    """The name in the local header, as `zipfile` reads it: each header says by itself whether it is UTF-8."""
    size = int.from_bytes(ahead[26:28], "little")
    raw = ahead[_LOCAL_HEADER : _LOCAL_HEADER + size]
    if len(raw) < size:
        raw = archive.source.read(info.offset + _LOCAL_HEADER, size)
    return name_text(raw, int.from_bytes(ahead[6:8], "little"))


class _MemberContent:
    """A member as `capably.scanner.library.Content`."""

    def __init__(self, place: _Place, job: Job, *, hashed: bool) -> None:
        self.path = place.path
        self.size = place.info.size_bytes
        self._sha256: str | None = None
        self._place = place
        self._job = job
        self._hashed = hashed
        self._damage: str | None = None
        self._crc = 0
        self._runs: list[Generator[bytes]] = []
        self._stream = StreamSource(self._run(first=True))

    def _run(self, *, first: bool) -> Generator[bytes]:
        self._runs.append(self._chunks(first=first))
        return self._runs[-1]

    def close(self) -> None:
        """End all runs where they are: a thread that reads ahead for one would wait for ever."""
        for run in self._runs:
            run.close()

    def stream(self) -> StreamSource:
        """The first run over the data."""
        return self._stream

    def source(self) -> StreamSource:
        """One more run."""
        return StreamSource(self._run(first=False))

    def stored(self) -> Content | None:
        """The same bytes, in any order and unchecked, if they are not compressed."""
        place = self._place
        if place.info.method != _STORED:
            return None
        stop = place.offset + place.info.stored_bytes
        return SliceContent(SourceContent(place.source, stop), place.offset, place.info.stored_bytes)

    def finish(self) -> None:
        """Run the first stream to its end."""
        self.size = self._stream.drain()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that were kept; for others the member is inflated again up to there."""
        size = min(size, max(0, self.size - offset))
        kept = self._stream.kept(offset, size)
        return self.source().read(offset, size) if kept is None else kept

    def digest(self) -> str | None:
        """Its sha256, once it was read; None if it is damaged."""
        if self._sha256 is None and self._damage is None and not self._hashed:
            import hashlib  # noqa: PLC0415 - OpenSSL, 3 ms

            result = hashlib.sha256()
            for chunk in self._run(first=False):
                result.update(chunk)
            self._sha256 = result.hexdigest()
        return self._sha256

    def report_damage(self) -> None:
        """Say what was wrong with the compressed data, once the member was read."""
        if self._damage is not None:
            self._job.findings.add("damaged-archive-member", self.path, self._damage)

    def _chunks(self, *, first: bool) -> Generator[bytes]:
        """The decompressed data. Only the first run checks it; it ends where the data is damaged."""
        info = self._place.info
        limits = self._job.budget.limits
        digest = None
        if first and self._hashed:
            import hashlib  # noqa: PLC0415 - OpenSSL, 3 ms

            digest = hashlib.sha256()
        total = 0
        reported = 0
        cap = min(limits.member_bytes, max(limits.ratio * info.stored_bytes, limits.ratio_from_bytes))
        if first:
            self._job.advance(self.path, 0, info.size_bytes)
        try:
            chunks = self._pieces()
            if info.method == _DEFLATED and info.stored_bytes >= _AHEAD_BYTES:
                chunks = parallel.ahead(chunks, _AHEAD, self._job.load)
            for chunk in chunks:
                total += len(chunk)
                self._job.budget.spend(len(chunk))
                if total > cap:
                    self._job.findings.add(
                        "limit-reached", self.path, f"It decompresses to more than {cap} bytes; the rest was not read."
                    )
                    return
                if first:
                    self._crc = crc32(chunk, self._crc)
                    if digest:
                        digest.update(chunk)
                    if total - reported >= _PROGRESS_STEP:
                        reported = total
                        self._job.advance(self.path, total, info.size_bytes)
                yield chunk
        except _DamageError as damage:
            self._damage = str(damage)
            return
        if first:
            self._job.advance(self.path, total, max(total, info.size_bytes))
        if first and total != info.size_bytes:
            self._damage = f"It has {total} bytes; the archive says {info.size_bytes}."
        elif first and self._crc != info.crc:
            self._damage = "Its CRC-32 is wrong: its bytes were changed."
        if digest:
            self._sha256 = digest.hexdigest()

    def _input(self) -> Iterator[bytes]:
        """The data as it is stored."""
        info = self._place.info
        position, left = self._place.offset, info.stored_bytes
        ahead = self._place.ahead[:left]
        while left > 0:
            data, ahead = ahead or self._place.source.read(position, min(left, _INPUT)), b""
            if not data:
                raise _DamageError("The archive ends within it.")
            position += len(data)
            left -= len(data)
            yield data

    def _pieces(self) -> Iterator[bytes]:
        """The data as it was before it was compressed."""
        stored = self._input()
        if self._place.info.method == _STORED:
            yield from stored
            return
        engine = deflate_decompressor()
        while not engine.eof:
            wanted = engine.needs_input
            data = next(stored, b"") if wanted else b""
            try:
                chunk = engine.decompress(data, _OUTPUT)
            except ERRORS:
                raise _DamageError("Its compressed data is damaged.") from None
            if chunk:
                yield chunk
            elif not (data or (engine.needs_input and not wanted) or engine.eof):
                raise _DamageError("Its compressed data is cut off.")


class _DamageError(Exception):
    """The data of a member cannot be decompressed any further."""
