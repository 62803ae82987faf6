"""How much of an input is read before the scanner gives up on it, and the account of what was used."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from capably.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DEFAULT_LIMITS", "Budget", "Limits", "is_source"]

# Nothing loads these as GPU code or as a library. Of 167,747 files with such a name, in wheels of torch, vllm and
# flashinfer-cubin and in whole environments, none is anything that capably reads.
# fmt: off
_SOURCES = frozenset((
    "py", "pyc", "pyi", "pyx", "pxd", "h", "hh", "hpp", "hxx", "cuh", "cu", "c", "cc", "cpp", "cxx", "inl",
    "ipp", "tpp", "md", "rst", "cmake", "yaml", "yml", "toml", "html", "css", "js",
))
# fmt: on


_SHARED = 256 << 10  # what each thread may hold beside others


def is_source(name: str) -> bool:
    """Whether a file is source, bytecode or documentation by its name."""
    stem, _, suffix = name.rpartition(".")
    return bool(stem) and suffix.lower() in _SOURCES


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one call of the scanner. All are positive; sizes are in bytes.

    The defaults leave room above the largest real inputs that were measured: a library of 1.2 GB, a cubin
    of 134 MB at a ratio of 212:1, 6,300 entries in one library, 16,000 members in one wheel.

    Attributes:
        members: Files in an archive, a directory or a distribution, with those of archives in it.
        directory_bytes: Size of the central directory of a zip.
        path_bytes: The name of one file as it is reported: with the archives that it is in, or with directories.
        names_bytes: All names of files in memory, of those that are needed and of sections too, and what headers of
            archives hold besides.
        member_bytes: Uncompressed size of one member of an archive.
        total_bytes: All bytes that are decompressed, members and images together.
        image_bytes: One image: a cubin, a PTX text, a concatenated container.
        ratio: Uncompressed to compressed; only looked at above ``ratio_from_bytes``. Deflate cannot exceed
            1032:1.
        ratio_from_bytes: What may be decompressed before the ratio matters.
        file_from_bytes: What may be decompressed of one file on disk, with all archives in it, before the ratio
            matters for all of it together.
        entries: Fatbins and fatbin entries of one file, together.
        kernels: Kernels of all images that are read, where they were asked for.
        name_bytes: Their different names, together.
        sections: Sections of one ELF, PE or COFF file that are read.
        needed: Names of needed libraries that are read from one file.
        nesting: Depth of a directory tree, and of archives within archives.
        nested_bytes: What archives take in memory at a time, over all levels of nesting: the windows of
            decompressors, and what has to be held as a whole, such as compressed zips within archives.
        findings: Findings that are kept; the last one says that there were more.
        seconds: Time for the whole call.

    Raises:
        ValueError: A bound is not positive.
    """

    members: int = 250_000
    directory_bytes: int = 256 << 20
    path_bytes: int = 4096
    names_bytes: int = 64 << 20
    member_bytes: int = 16 << 30
    total_bytes: int = 256 << 30
    image_bytes: int = 512 << 20
    ratio: int = 1_000
    ratio_from_bytes: int = 64 << 20
    file_from_bytes: int = 1 << 30
    entries: int = 250_000
    kernels: int = 20_000_000
    name_bytes: int = 512 << 20
    sections: int = 70_000
    needed: int = 1_000
    nesting: int = 64
    nested_bytes: int = 256 << 20
    findings: int = 1_000
    seconds: float = 1_800.0

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            if not value > 0:  # NaN is refused too
                raise ValueError(f"the limit `{bound.name}` must be positive, not {value}")


DEFAULT_LIMITS = Limits()


@dataclass(slots=True, eq=False, repr=False)
class _Account:
    """What a whole call has used up, over all its threads."""

    stop: float
    bytes: int = 0
    ceiling: int = sys.maxsize
    names: int = 0
    files: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    holding: threading.RLock = field(default_factory=threading.RLock)


class Budget:
    """What one call of the scanner has used up.

    Args:
        limits: The bounds. The clock starts here.
        account: Of a call that is under way, for one more thread of it.
    """

    def __init__(self, limits: Limits, account: _Account | None = None) -> None:
        self.limits = limits
        self._account = account or _Account(time.monotonic() + limits.seconds)
        self.entries = 0  # fatbins and their entries, of the file at hand
        self._held = 0  # bytes that archives take

    def part(self) -> Budget:
        """For another file that is read at the same time, on the same account."""
        return Budget(self.limits, self._account)

    def cancel(self) -> None:
        """Let the time be up for everybody."""
        self._account.stop = -1.0

    def check_time(self, path: str = "") -> None:
        """Raise `LimitError` where the time is up."""
        if time.monotonic() > self._account.stop:
            raise LimitError(path, f"reading takes longer than {self.limits.seconds:g} seconds")

    def spend(self, count: int) -> None:
        """Count *count* decompressed bytes.

        Raises:
            LimitError: Too many bytes, or the time is up.
        """
        account = self._account
        with account.lock:
            account.bytes += count
        if account.bytes > self.limits.total_bytes:
            raise LimitError("", f"it holds more than {self.limits.total_bytes} bytes when decompressed")
        if account.bytes > account.ceiling:
            raise LimitError("", f"all that is in it decompresses to more than {self.limits.ratio} times its size")
        self.check_time()

    def begin(self, size: int) -> None:
        """Note that a file on disk, of *size* bytes, is read from now on."""
        limits = self.limits
        self._account.ceiling = self._account.bytes + max(limits.ratio * size, limits.file_from_bytes)

    def count_names(self, size: int) -> None:
        """Count so many bytes of names.

        Raises:
            LimitError: They are too many.
        """
        with self._account.lock:
            self._account.names += size
        if self._account.names > self.limits.names_bytes:
            raise LimitError("", f"names and headers of files have more than {self.limits.names_bytes} bytes")

    @property
    def exhausted(self) -> bool:
        """Nothing more can be read by this call."""
        account, limits = self._account, self.limits
        return (
            account.bytes > limits.total_bytes or account.names > limits.names_bytes or time.monotonic() > account.stop
        )

    @property
    def spent(self) -> int:
        """Bytes that were decompressed."""
        return self._account.bytes

    @property
    def files(self) -> int:
        """Files that were looked at."""
        return self._account.files

    def count_files(self, number: int) -> None:
        """Count so many more."""
        with self._account.lock:
            self._account.files += number

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Keep something of an archive in memory for a while.

        Of much, only one thread at a time does so: what there is room for must not depend on what others do. So
        the end has to come in the thread of the beginning.

        Yields:
            What to tell of so many bytes more, before they are taken. It raises `LimitError` where there is no room.
        """
        taken = 0
        with ExitStack() as alone:

            def take(size: int) -> None:
                nonlocal taken
                if taken <= _SHARED < taken + size:
                    alone.enter_context(self._account.holding)
                if self._held + size > self.limits.nested_bytes:
                    raise LimitError("", f"archives in it take more than {self.limits.nested_bytes} bytes of memory")
                self._held += size
                taken += size

            try:
                yield take
            finally:
                self._held -= taken
