"""Results of earlier scans, looked up in a store and put there.

A result is only as good as the proof that nothing changed since. There are three proofs:

* A *stamp* of a file: device, inode, size and both times. The time of the last change of the inode cannot be
  set by anybody, so a file whose stamp is as before has the bytes of before, unless it was changed twice
  within one tick of the clock. Hence nothing is kept of a file that was changed less than two seconds before
  it was read (git calls such files racily clean). One thing escapes it: who writes through a mapping (`mmap`) to a
  page that is not on the disk yet changes no time (measured on ext4, after 2 s). Nobody installs libraries so;
  ``--no-cache`` reads them in any case.
* The sha256 of an archive, for one that was copied, moved or fetched again. It takes reading the whole file,
  so first its size and its last bytes tell whether any result could fit. For a result that is to be kept it
  is computed in a thread of its own while the archive is scanned.
* For a tree of files: the stamps of the files that could matter, and for sources (``.py``, ``.h`` …) those of
  the directories that list them. A tree of 30,000 files is proved unchanged by 4,000 stamps. What this does
  not see is a source in a directory that is overwritten in place with GPU code and keeps its name; those of a
  distribution are not opened anyhow.

A result with anything passing in it, such as a file that could not be read or a time that was up, is not
kept. Values are JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Protocol

from capably.errors import CapablyError
from capably.facts import Artifact, Finding, Library, from_object, to_object
from capably.scanner.limits import DEFAULT_LIMITS, is_source
from capably.store import is_settled, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.scanner.limits import Budget, Limits
    from capably.store import Store

    # The library in a file if there is one, what was noted about it, and the bytes that were decompressed for it.
    Known = tuple[Library | None, list[list[str]], int]

__all__ = ["RESULTS", "Call", "Digest", "Memory", "Watch"]

RESULTS = 13
"""The version of what the scanner says. Raise it with every change of any result: old ones are then forgotten."""

_TAIL = 64 << 10
_CHUNK = 1 << 20
_LEAST_BYTES = 64 << 10  # smaller files of a tree are read again as fast as they are looked up
_MOST_NOTES = 200


class Call(Protocol):
    """As much of a call of the scanner as is used here."""

    @property
    def started_ns(self) -> int:
        """When it began."""
        ...

    @property
    def budget(self) -> Budget:
        """What may still be spent."""
        ...

    def is_lasting(self, findings: Iterable[Finding], /) -> bool:
        """Whether the result would be the same the next time."""
        ...


class Memory:
    """What a call of the scanner knows from earlier ones.

    Args:
        store: Where that is.
        limits: Of this call: other limits, other results.
        with_sha256: Whether this call hashes.
    """

    def __init__(self, store: Store, limits: Limits, *, with_sha256: bool) -> None:
        self._store = store
        # How much time there may be is no matter for a result that was had in time.
        bounds = {field.name: getattr(limits, field.name) for field in fields(limits) if field.name != "seconds"}
        usual = limits == replace(DEFAULT_LIMITS, seconds=limits.seconds)
        self._call = f"{RESULTS} {int(with_sha256)} {'' if usual else json.dumps(bounds)}"

    # -- One file

    def path(self, path: str) -> Artifact | None:
        """What is known of a file or a directory, as it is now."""
        status = _status(path)
        if status is None:
            return None
        if stat.S_ISDIR(status.st_mode):
            return self.tree("directory", os.path.realpath(path), path)
        return _artifact(self._get(self._key("file", os.path.basename(path), stamp(status))), path)  # noqa: PTH119

    def keep_artifact(self, artifact: Artifact, name: str, status: os.stat_result, job: Call) -> None:
        """Keep the result for a file."""
        if job.is_lasting(artifact.findings) and is_settled(status, job.started_ns):
            self._store.put(self._key("file", name, stamp(status)), _dump(_without_path(artifact)))

    # -- An archive by its content

    def archive(self, path: str, descriptor: int, size: int, job: Call) -> tuple[Artifact | None, str | None]:
        """What an archive of the same content held, and the sha256 of this one if that had to be computed.

        Name, version and platforms, which the name of the file tells, are left to the caller.
        """
        found = self._get(self._candidate(descriptor, size))
        if not isinstance(found, dict):
            return None, None
        digest = Digest(descriptor, size, job).wait()
        if digest is None or digest != found.get("sha256"):
            return None, digest
        return _artifact(found.get("artifact"), path), digest

    def keep_archive(self, artifact: Artifact, descriptor: int, status: os.stat_result, digest: str, job: Call) -> None:
        """Keep the result for the content with that *digest*."""
        # It must not have changed between the hash and the scan.
        if job.is_lasting(artifact.findings) and is_settled(status, job.started_ns):
            bare = replace(_without_path(artifact), name=None, version=None, platforms=())
            value = {"sha256": digest, "artifact": _packed(bare)}
            self._store.put(self._candidate(descriptor, status.st_size), _text(value))

    def _candidate(self, descriptor: int, size: int) -> str:
        """What archives of equal content share, and others hardly ever."""
        tail = _read_at(descriptor, max(0, size - _TAIL), _TAIL)
        return self._key("archive", str(size), hashlib.sha256(tail).hexdigest())

    # -- One file of a tree

    def library(self, name: str, status: os.stat_result) -> Known | None:
        """What is known of a file of a tree."""
        if status.st_size < _LEAST_BYTES:
            return None
        found = self._get(self._key("member", name, stamp(status)))
        try:
            library, notes, spent = found["library"], found["notes"], found["spent"]
            if any(len(note) != 3 or not all(isinstance(part, str) for part in note) for note in notes):
                return None
            return (None if library is None else from_object(Library, library)), notes, int(spent)
        except (TypeError, KeyError, ValueError):
            return None

    def keep_library(self, name: str, status: os.stat_result, known: Known, job: Call) -> None:
        """Keep what `library` will give."""
        library, notes, spent = known
        if (
            status.st_size >= _LEAST_BYTES
            and len(notes) <= _MOST_NOTES
            and job.is_lasting(Finding(*note) for note in notes)
            and is_settled(status, job.started_ns)
        ):
            value = {"library": None if library is None else to_object(library), "notes": notes, "spent": spent}
            self._store.put(self._key("member", name, stamp(status)), _text(value))

    # -- A tree

    def tree(self, kind: str, root: str, place: str) -> Artifact | None:
        """What a tree held, if nothing in it changed.

        Args:
            kind: ``directory`` or ``distribution``.
            root: Where it is.
            place: What names it below that.
        """
        found = self._get(self._key(kind, root, place))
        try:
            paths, digest, artifact = found["paths"], found["stamps"], found["artifact"]
            if _stamps(root, paths) != digest:
                return None
        except (TypeError, KeyError, ValueError):
            return None
        return _artifact(artifact, None)

    def keep_tree(self, kind: str, place: str, artifact: Artifact, watch: Watch, job: Call) -> None:
        """Keep the result for a tree."""
        if not job.is_lasting(artifact.findings):
            return
        seen = watch.taken(job.started_ns)
        if seen is not None:
            value = {"paths": list(seen), "stamps": _combined(seen.values()), "artifact": _packed(artifact)}
            self._store.put(self._key(kind, watch.root, place), _text(value))

    # -- Entries

    def _key(self, kind: str, *parts: str) -> str:
        return json.dumps([kind, self._call, *parts])

    def _get(self, key: str) -> Any:  # noqa: ANN401 - whatever was there, to be checked by who asked
        value = self._store.get(key)
        if value is None:
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None


class Watch:
    """Takes the stamps that will prove a tree unchanged.

    Args:
        root: What paths are relative to; an attribute too.
        whole: The tree is what its directories list; else its files are known otherwise.
    """

    def __init__(self, root: str, *, whole: bool) -> None:
        self.root = root
        self._whole = whole
        self._directories: dict[str, os.stat_result | None] = {}
        self._files: dict[str, os.stat_result | None] = {}

    def directory(self, name: str) -> None:
        """Take the stamp of a directory, before anything in it is looked at."""
        if name not in self._directories:
            self._directories[name] = _status(_join(self.root, name))

    def entry(self, name: str) -> None:
        """Take the stamp of a file that is read beside the files of the tree, or of nothing where it is not."""
        self._files[name] = _status(_join(self.root, name))

    def file(self, name: str, status: os.stat_result | None, *, plain: bool) -> None:
        """Note a file with the status that it had before it was read; None if it is missing.

        Args:
            name: Relative to the root.
            status: Of the open file.
            plain: It is neither a link nor anything that was recognised.
        """
        if not (self._whole and plain and is_source(name)):
            self._files.setdefault(name, status)

    def taken(self, now_ns: int) -> dict[str, str] | None:
        """Stamps by path; None if a change could have gone unseen."""
        taken = self._directories | self._files
        if not all(status is None or is_settled(status, now_ns) for status in taken.values()):
            return None
        return {name: "-" if status is None else stamp(status) for name, status in taken.items()}


class Digest:
    """The sha256 of an open file, computed in a thread of its own.

    Args:
        descriptor: Of the file; it has to stay open until `wait` or `stop`.
        size: How many bytes.
        job: Whose time it takes.
    """

    def __init__(self, descriptor: int, size: int, job: Call) -> None:
        self._descriptor = descriptor
        self._left = size
        self._job = job
        self._stopped = False
        self._result: str | None = None
        self._thread = threading.Thread(target=self._run, name="capably-sha256", daemon=True)
        self._thread.start()

    def wait(self) -> str | None:
        """The digest, None if the file ended early or could not be read."""
        self._thread.join()
        return self._result

    def stop(self) -> str | None:
        """The digest if it is complete; nobody waits for it."""
        self._stopped = True
        self._thread.join()  # for one chunk at most
        return self._result

    def _run(self) -> None:
        digest = hashlib.sha256()
        offset = 0
        try:
            while self._left > 0 and not self._stopped and not self._job.budget.exhausted:
                piece = _read_at(self._descriptor, offset, min(self._left, _CHUNK))
                if not piece:
                    return
                digest.update(piece)
                offset += len(piece)
                self._left -= len(piece)
        except OSError:
            return
        if not self._left:
            self._result = digest.hexdigest()

    @staticmethod
    def is_free() -> bool:
        """Whether a thread could run beside this one, reading without moving the place of others in the file."""
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return count > 1 and hasattr(os, "pread")


def _read_at(descriptor: int, offset: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)  # pragma: no cover - Windows
    return os.read(descriptor, size)  # pragma: no cover - as above


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - thousands of them
    except (OSError, ValueError):
        return None


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if name else root


def _stamps(root: str, names: list[str]) -> str:
    """The combined stamps of files as they are now."""
    return _combined(
        "-" if status is None else stamp(status) for status in (_status(_join(root, name)) for name in names)
    )


def _combined(stamps: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _dump(artifact: Artifact) -> bytes:
    return _text(_packed(artifact))


def _packed(artifact: Artifact) -> dict[str, Any]:
    """As `to_object`, with equal code once: 15,970 libraries of one wheel hold 300 kinds, and take 7 s to be read."""
    alike: dict[Library, int] = {}
    files = []
    for one in artifact.libraries:
        code = alike.setdefault(replace(one, path="", size_bytes=0, copies=(), sha256=None), len(alike))
        files.append([code, one.path, one.size_bytes, list(one.copies), one.sha256])
    value: dict[str, Any] = to_object(replace(artifact, libraries=()))
    return {**value, "libraries": [[to_object(one) for one in alike], files]}


def _unpacked(value: Any) -> Artifact:  # noqa: ANN401 - from a file
    """The reverse of `_packed`.

    Raises:
        ValueError: It is not such a value.
    """
    try:
        alike, files = value["libraries"]
        codes = [_values(from_object(Library, code)) for code in alike]
        libraries = tuple(_library(codes[code], *file) for code, *file in files)
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError("no libraries") from error
    return replace(from_object(Artifact, {**value, "libraries": []}), libraries=libraries)


def _values(library: Library) -> dict[str, Any]:
    return {field.name: getattr(library, field.name) for field in fields(library)}


def _library(code: dict[str, Any], path: object, size: object, copies: object, digest: object) -> Library:
    """A file with that *code*; quicker by far than `dataclasses.replace`."""
    if not (isinstance(path, str) and type(size) is int and isinstance(copies, list)):
        raise TypeError("no library")
    others = tuple(copy for copy in copies if isinstance(copy, str))
    if len(others) < len(copies) or not (digest is None or isinstance(digest, str)):
        raise TypeError("no library")
    return Library(**{**code, "path": path, "size_bytes": size, "copies": others, "sha256": digest})


def _without_path(artifact: Artifact) -> Artifact:
    return _with_path(artifact, "")


def _with_path(artifact: Artifact, path: str) -> Artifact:
    """The artifact under another path; findings about it as a whole carry the path under which it was named."""
    before = artifact.path
    findings = tuple(replace(f, path=path) if f.path == before else f for f in artifact.findings)
    return replace(artifact, path=path, findings=findings)


def _artifact(value: Any, path: str | None) -> Artifact | None:  # noqa: ANN401 - from a file
    """The artifact in a value, under the path of now."""
    if value is None:
        return None
    try:
        artifact = _unpacked(value)
    except (ValueError, CapablyError):
        return None
    return artifact if path is None else _with_path(artifact, path)
