"""A content store on disk that many processes share, checksummed and bounded: values by key, files by content.

A store is a convenience and never a reason to fail. Where its directory cannot be written, is full, or
belongs to somebody else, nothing is kept and every look-up misses. An entry that is damaged, cut off or not
what its name says is a miss too, and is removed.

Each entry is one file with a complete checksum, so that nothing needs to be flushed in order: after a crash
an entry is whole or a miss. On Linux a new entry has no name until it is complete (``O_TMPFILE`` and
``linkat``), hence a process that is killed leaves nothing. Elsewhere it has a temporary name and is locked;
such a file without a lock is a leftover, which the next sweep removes. Readers take no lock, and nobody
waits for one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = [
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_FILE_BYTES",
    "FileStore",
    "Store",
    "StoreInfo",
    "Verification",
    "is_settled",
    "stamp",
]

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None

DEFAULT_MAX_BYTES = 256 << 20
DEFAULT_MAX_FILE_BYTES = 10 << 30

_MAGIC = b"capably\x1a"
_VERSION = 1
# Magic, version, bytes of the key, bytes of the value, sha256 of the value. The key and the value follow.
_HEADER = struct.Struct("<8sIIQ32s")
_ENTRY = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"tmp-[0-9a-f]{16}")
_BLOCK = 4096  # what the smallest file takes on disk, on nearly all of them
_SHARE = 4  # an entry may take one such part of the store
_LONGEST_ANSWER = 1 << 20  # a value beside files
_SWEEP_EVERY = 256  # entries written between two looks at what others wrote
_TOUCH_SECONDS = 3600.0  # how exact "used last" is
_IN_USE_SECONDS = 3600.0  # how long whoever asked for a file may take to open it
_CHUNK = 1 << 20
_RACY_NS = 2_000_000_000
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_READ_FLAGS = _FLAGS | getattr(os, "O_NONBLOCK", 0)  # a named pipe must not make anybody wait


def stamp(status: os.stat_result) -> str:
    """What is equal as long as a file is."""
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def is_settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether a file was last changed long enough before *now_ns* that any later change gives another stamp."""
    changed = status.st_ctime_ns if os.name == "posix" else status.st_mtime_ns  # elsewhere ctime is the creation
    return changed < now_ns - _RACY_NS


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store holds.

    Attributes:
        root: Its directory.
        entries: How many there are.
        size_bytes: What they take on disk.
        max_bytes: What they may take.
        problem: Why nothing can be kept there, in one sentence; None where all is well.
    """

    root: str
    entries: int
    size_bytes: int
    max_bytes: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at every entry found.

    Attributes:
        sound: Entries that are whole.
        removed: Entries that were damaged, and are gone now.
    """

    sound: int
    removed: int


class Store:
    """Values by key, on disk.

    Args:
        root: Its directory; made when the first value is put there.
        max_bytes: How much disk space the entries may take. Those that were not used for longest go first.
    """

    _in_use_seconds = 0.0  # what was used so lately is not removed to make room

    def __init__(self, root: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.root = Path(root)
        self.max_bytes = max_bytes
        self._longest = max_bytes // _SHARE
        self._prefix = os.path.join(os.fspath(root), "")  # noqa: PTH118 - joined for each entry; 20 times as fast
        self._readable: bool | None = None
        self._writable = True
        self._estimate: int | None = None  # what the entries take, as far as this process knows
        self._written = 0

    def get(self, key: str) -> bytes | None:
        """The value that was put under *key*, or None."""
        return self._read(_name(key), key) if self._can_read() else None

    def put(self, key: str, value: bytes) -> None:
        """Keep *value* under *key*, instead of what is there. Where that is not possible nothing happens."""
        wrapped = key.encode("utf-8", "surrogatepass")
        if not self._writable or _on_disk(_HEADER.size + len(wrapped) + len(value)) > self._longest:
            return
        header = _HEADER.pack(_MAGIC, _VERSION, len(wrapped), len(value), hashlib.sha256(value).digest())
        data = b"".join((header, wrapped, value))
        try:
            self._prepare()
            self._write(_name(key), data)
            self._bound(len(data))
        except OSError:  # full, read-only, forbidden, too many open files: there will be no store this time
            self._writable = False

    def info(self) -> StoreInfo:
        """What it holds."""
        problem = self.problem()
        entries = list(self._entries()) if problem is None else []
        size = sum(self._size(name, status) for name, status in entries)
        count = sum(self._counts(status) for _, status in entries)
        return StoreInfo(os.fspath(self.root), count, size, self.max_bytes, problem)

    def clear(self) -> int:
        """Remove all entries; how many there were. Files that are no entries stay."""
        if self.problem() is not None:
            return 0
        removed = sum(self._remove(name) and self._counts(status) for name, status in list(self._entries()))
        self._remove_leftovers()
        self._estimate = None
        return removed

    def verify(self) -> Verification:
        """Read all entries and remove those that are damaged, and what killed processes left."""
        if self.problem() is not None:
            return Verification(0, 0)
        found = [(self._is_sound(name, status), self._counts(status)) for name, status in list(self._entries())]
        self._remove_leftovers()
        sound = sum(whole for whole, counts in found if counts)
        return Verification(sound, sum(counts for _, counts in found) - sound)

    # -- The directory

    def problem(self) -> str | None:
        """Why the directory must not be used. In one that others can write, they could put wrong answers."""
        try:
            status = os.lstat(self.root)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return f"it cannot be looked at: {getattr(error, 'strerror', None) or error}"
        if not stat.S_ISDIR(status.st_mode):
            return "it is not a directory"  # nor a link to one
        if hasattr(os, "geteuid"):
            if status.st_uid != os.geteuid():
                return "it belongs to another user"
            if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return "other users can write to it"
        if not os.access(self.root, os.R_OK | os.W_OK | os.X_OK):
            return "it cannot be written"
        return None

    def _can_read(self) -> bool:
        if self._readable is None:
            self._readable = self.problem() is None and self.root.is_dir()
        return self._readable

    def _prepare(self) -> None:
        """Make the directory, once."""
        if self._estimate is not None:
            return
        if self.problem() is None and not self.root.is_dir():
            self.root.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.root.mkdir(mode=0o700)
        if self.problem() is not None:
            raise PermissionError(self.root)
        self._readable = True

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        yield from self._files(_ENTRY)

    def _files(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(self.root) as listed:
                for entry in listed:
                    if pattern.fullmatch(entry.name):
                        with contextlib.suppress(OSError):  # gone meanwhile
                            yield entry.name, entry.stat(follow_symlinks=False)
        except OSError:
            return

    def _remove(self, name: str) -> bool:
        try:
            os.unlink(self._prefix + name)  # noqa: PTH108 - as in __init__
        except OSError:
            return False
        return True

    def _size(self, name: str, status: os.stat_result) -> int:
        """What an entry takes on disk."""
        del name
        return _on_disk(status.st_size)

    def _counts(self, status: os.stat_result) -> bool:
        """Whether an entry is one that people ask about."""
        del status
        return True

    def _is_sound(self, name: str, status: os.stat_result) -> bool:
        """Whether an entry is whole; it is removed if not."""
        del status
        return self._read(name, None) is not None

    # -- Reading

    def _read(self, name: str, key: str | None) -> bytes | None:
        """The value of an entry; *key* None takes any that belongs to the name."""
        try:
            descriptor = os.open(self._prefix + name, os.O_RDONLY | _READ_FLAGS)
        except FileNotFoundError:
            return None
        except OSError:  # a link, or something that cannot be opened, where an entry should be
            self._remove(name)
            return None
        try:
            status = os.fstat(descriptor)
            value = None
            own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
            if stat.S_ISREG(status.st_mode) and own and status.st_size <= self._longest:
                with open(descriptor, "rb", buffering=0, closefd=False) as file:
                    value = _unwrap(file.readall(), name, key)
            if value is not None and key is not None and abs(time.time() - status.st_mtime) > _TOUCH_SECONDS:
                self._touch(descriptor, name)
        except (OSError, MemoryError):
            return None
        finally:
            os.close(descriptor)
        if value is None:
            self._remove(name)
        return value

    def _touch(self, descriptor: int, name: str) -> None:
        with contextlib.suppress(OSError):
            os.utime(descriptor if os.utime in os.supports_fd else self._prefix + name)

    # -- Writing

    def _write(self, name: str, data: bytes) -> None:
        if not self._write_unnamed(name, data):
            self._write_named(name, data)

    def _write_unnamed(self, name: str, data: bytes) -> bool:
        """Write a file that gets its name when it is complete; False where the system cannot do that."""
        flag = getattr(os, "O_TMPFILE", None)
        if flag is None:
            return False
        try:
            descriptor = os.open(self.root, flag | os.O_WRONLY | _FLAGS & ~os.O_NOFOLLOW, 0o600)
        except OSError:  # not every file system can
            return False
        try:
            _write_all(descriptor, data)
            for _ in range(8):
                try:
                    # With a dir_fd, which an absolute path ignores, Python calls linkat and follows the link.
                    os.link(f"/proc/self/fd/{descriptor}", self._prefix + name, src_dir_fd=descriptor)
                except FileExistsError:
                    self._remove(name)
                except FileNotFoundError:  # no /proc
                    return False
                else:
                    return True
            return True  # others write the same entry again and again; theirs is as good
        finally:
            os.close(descriptor)

    def _write_named(self, name: str, data: bytes) -> None:
        temporary = f"{self._prefix}tmp-{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        try:
            try:
                _lock(descriptor)
                _write_all(descriptor, data)
                if os.name == "posix":  # while it is locked
                    os.replace(temporary, self._prefix + name)  # noqa: PTH105 - as in __init__
            finally:
                os.close(descriptor)
            if os.name != "posix":  # pragma: no cover - an open file cannot be renamed there
                os.replace(temporary, self._prefix + name)  # noqa: PTH105 - as in __init__
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - as in __init__
            raise

    # -- The bound

    def _bound(self, size: int) -> None:
        self._written += 1
        if self._estimate is None or self._written % _SWEEP_EVERY == 0 or self._estimate > self.max_bytes:
            self._estimate = self._sweep()
        else:
            self._estimate += _on_disk(size)
            if self._estimate > self.max_bytes:
                self._estimate = self._sweep()

    def _sweep(self) -> int:
        """Remove what was not used for longest until there is room again; what is left, in bytes."""
        entries = [(status.st_mtime, name, self._size(name, status)) for name, status in self._entries()]
        total = sum(size for _, _, size in entries)
        with self._only_one() as alone:
            if not alone:  # another process is at it
                return total
            self._remove_leftovers()
            if total > self.max_bytes:
                now = time.time()
                for used, name, size in sorted(entries):
                    if total <= self.max_bytes - self.max_bytes // 8:
                        break
                    if 0 <= now - used < self._in_use_seconds:
                        continue
                    self._remove(name)
                    total -= size
        return total

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[bool]:
        """Whether no other process holds the lock, which ours does then. Locks end with their process."""
        if fcntl is None:  # pragma: no cover - Windows: two at the same time do no harm
            yield True
            return
        try:
            descriptor = os.open(self.root, os.O_RDONLY | _FLAGS)
        except OSError:
            yield False
            return
        try:
            yield _lock(descriptor)
        finally:
            os.close(descriptor)

    def _remove_leftovers(self) -> None:
        """Remove temporary files that no process has locked."""
        for name, _ in self._files(_TEMPORARY):
            with contextlib.suppress(OSError):
                descriptor = os.open(self._prefix + name, os.O_RDONLY | _FLAGS)
                try:
                    if _lock(descriptor):
                        self._remove(name)
                finally:
                    os.close(descriptor)


class FileStore(Store):
    """Whole files by the sha256 of what is in them, beside values by key.

    They can be as large as wheels are, so they are given out by path and never held in memory. A file keeps its
    name, which means something for wheels: it is ``<sha256>/<name>`` below the root. Before it is given out it is
    hashed, unless its stamp is that of a file that was hashed before (see `capably.scanner.remember` on why that
    is a proof). Whatever was used within the last hour stays, even beyond the bound: whoever got the path may not
    have opened it yet.

    Only files count as entries.

    Args:
        root: Its directory; made when it is needed.
        max_bytes: How much disk space the files may take, and how large one may be.
    """

    _in_use_seconds = _IN_USE_SECONDS

    def __init__(self, root: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_FILE_BYTES) -> None:
        super().__init__(root, max_bytes=max_bytes)
        self._longest = min(self._longest, _LONGEST_ANSWER)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for files on their way into the store, which only this user can read. It is gone afterwards.

        Raises:
            OSError: The store cannot be used.
        """
        self._prepare()
        name = f"tmp-{secrets.token_hex(8)}"
        place = self.root / name
        place.mkdir(mode=0o700)
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove, name)
            if fcntl is not None:
                descriptor = os.open(place, os.O_RDONLY | _FLAGS)
                stack.callback(os.close, descriptor)
                _lock(descriptor)
            yield place

    def put_file(self, path: Path) -> tuple[str, Path]:
        """Move a file from a `scratch` folder into the store; its sha256, and where it is now.

        Raises:
            OSError: It is no regular file, or cannot be moved.
        """
        path.chmod(0o600)
        descriptor = os.open(path, os.O_RDONLY | _READ_FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
            digest = _file_digest(descriptor)
        finally:
            os.close(descriptor)
        ready = path.parent / digest
        ready.mkdir(mode=0o700)
        path.rename(ready / path.name)
        for last in (False,) * 7 + (True,):
            try:
                ready.rename(self.root / digest)
            except OSError:
                kept = self.file(digest, path.name)
                if kept is not None:  # it was there already, or another process was faster
                    return digest, kept
                if last:
                    raise
                self._remove(digest)  # the same content under another name
            else:
                break
        self._bound(status.st_size)
        return digest, self.root / digest / path.name

    def file(self, digest: str, name: str) -> Path | None:
        """Where the file with that sha256 and that name is, or None. One that is damaged is removed.

        Args:
            digest: In lower-case hexadecimal.
            name: Of the file, without a folder.
        """
        if not _ENTRY.fullmatch(digest) or name != os.path.basename(name) or not self._can_read():  # noqa: PTH119
            return None
        if not self._is_whole(digest, name):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._prefix + digest)  # not that of the file: it would have another stamp
        return self.root / digest / name

    def _is_whole(self, digest: str, name: str, *, hashed: bool = False) -> bool:
        """Whether a file is what its folder is called after; *hashed*: do not rely on its stamp."""
        try:
            if not stat.S_ISDIR(os.lstat(self._prefix + digest).st_mode):
                raise NotADirectoryError(digest)
            descriptor = os.open(os.path.join(self._prefix + digest, name), os.O_RDONLY | _READ_FLAGS)  # noqa: PTH118
        except FileNotFoundError:
            return False
        except OSError:
            self._remove(digest)
            return False
        try:
            status = os.fstat(descriptor)
            own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
            seal = f"verified {digest} {stamp(status)}"
            whole = stat.S_ISREG(status.st_mode) and own
            if whole and (hashed or self.get(seal) is None):
                now_ns = time.time_ns()
                whole = _file_digest(descriptor) == digest
                if whole and is_settled(status, now_ns):
                    self.put(seal, b"")
        except OSError:
            return False
        finally:
            os.close(descriptor)
        if not whole:
            self._remove(digest)
        return whole

    def _is_sound(self, name: str, status: os.stat_result) -> bool:
        if not stat.S_ISDIR(status.st_mode):
            return super()._is_sound(name, status)
        names = _listed(self._prefix + name)
        whole = len(names) == 1 and self._is_whole(name, names[0], hashed=True)
        if not whole:
            self._remove(name)
        return whole

    def _counts(self, status: os.stat_result) -> bool:
        return stat.S_ISDIR(status.st_mode)

    def _size(self, name: str, status: os.stat_result) -> int:
        total = super()._size(name, status)
        if stat.S_ISDIR(status.st_mode):
            for inner in _listed(self._prefix + name):
                with contextlib.suppress(OSError):
                    total += _on_disk(os.lstat(os.path.join(self._prefix + name, inner)).st_size)  # noqa: PTH118
        return total

    def _remove(self, name: str) -> bool:
        if super()._remove(name):
            return True
        place = self._prefix + name
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.lstat(place).st_mode):
                shutil.rmtree(place)
                return True
        return False


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names only
    except OSError:
        return []


def _file_digest(descriptor: int) -> str:
    digest = hashlib.sha256()
    while piece := os.read(descriptor, _CHUNK):
        digest.update(piece)
    return digest.hexdigest()


def _name(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _lock(descriptor: int) -> bool:
    """Lock an open file without waiting; whether that worked."""
    if fcntl is None:  # pragma: no cover - Windows: an open file cannot be removed there
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _unwrap(data: bytes, name: str, key: str | None) -> bytes | None:
    """The value of a whole entry, None for anything else."""
    if len(data) < _HEADER.size:
        return None
    magic, version, key_size, value_size, digest = _HEADER.unpack_from(data)
    start = _HEADER.size + key_size
    if magic != _MAGIC or version != _VERSION or len(data) != start + value_size:
        return None
    found = data[_HEADER.size : start]
    if found != key.encode("utf-8", "surrogatepass") if key is not None else _digest(found) != name:
        return None
    value = data[start:]
    return value if hashlib.sha256(value).digest() == digest else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
