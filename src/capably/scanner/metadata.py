"""What the files beside an installed distribution say of it: its name, version, requirements, tags and files.

`importlib.metadata` would read whatever has the right name: it waits for a named pipe, takes memory for what a file
claims, and gives up on a byte that is not UTF-8. Here each read is bounded, damage is noted, and the rest is told.

Sources: PyPA specifications "Recording installed projects" and "Core metadata"; for eggs, what setuptools writes.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from capably.bounded import read_bounded
from capably.facts import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FILES", "Distribution", "canonical_name", "find_distributions", "installed_versions"]

FILES = ("METADATA", "PKG-INFO", "RECORD", "SOURCES.txt", "WHEEL", "installed-files.txt")
"""What may be read of the metadata."""

# The largest seen: METADATA of 0.4 MB, a RECORD of 2.5 MB (of 16,000 files), a WHEEL of 2 kB.
_METADATA_BYTES = 4 << 20
_HEAD_BYTES = 1 << 20
_RECORD_BYTES = 32 << 20
_WHEEL_BYTES = 64 << 10
_ALL_BYTES = 256 << 20
_LONGEST_PATH = 4096  # of Linux; other systems take less
_MOST_PLATFORMS = 100
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,127}")
_TAG = re.compile(r"[\w.]{1,128}-[\w.]{1,128}-([\w.]{1,1024})", re.ASCII)
_VALUE = re.compile(rb".*(?:\n[ \t].*)*")
_ABSENT = (FileNotFoundError, NotADirectoryError)


class _Room:
    """How much may still be read of the metadata of an environment."""

    def __init__(self) -> None:
        self.left = _ALL_BYTES


class Distribution:
    """An installed distribution, as the files say that tell of it.

    Attributes:
        place: Its ``.dist-info`` or ``.egg-info``.
        root: The folder from which the paths of its files count.
        folder: The name of *place* in that.
        name: As the metadata have it, else by the name of the folder.
        version: Likewise; None where neither says it.
        damage: What is wrong with the files that tell of it, by their path.

    Args:
        place: See above.
        room: Shared by the distributions of an environment.
    """

    def __init__(self, place: str, room: _Room | None = None) -> None:
        self.place = place
        self.root, self.folder = os.path.split(place)
        self._room = room or _Room()
        self._is_file = self.folder.lower().endswith(".egg-info") and os.path.isfile(place)  # noqa: PTH113 - see find_distributions
        self.damage: dict[str, Finding] = {}
        stem = self.folder.rpartition(".")[0]
        name, _, version = stem.partition("-")
        self.name = name if _NAME.fullmatch(name) else re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "unknown"
        version = version.partition("-")[0]
        self.version = version if _VERSION.fullmatch(version) else None
        self.is_there = self._identify()

    def _identify(self) -> bool:
        """Take name and version from the metadata; whether there are any, or a list of files."""
        if not self._is_file and not os.path.isdir(self.place):  # noqa: PTH112 - see find_distributions
            self._note("", "It is no folder.", code="damaged-record")
            return True
        head = self._head(note=True)
        if head is None:
            if self.damage:
                return True
            # Uninstalling leaves empty folders, which nobody takes for a distribution.
            if not os.path.lexists(f"{self.place}/RECORD"):
                return False
            self._note("METADATA", "It is missing.")
            return True
        name, version = _fields(head, "Name")[:1], _fields(head, "Version")[:1]
        if name and _NAME.fullmatch(name[0]):
            self.name = name[0]
        else:
            self._note(self._told_in, "It gives no valid name.")
        if not version:
            self.version = None
        elif _VERSION.fullmatch(version[0]):
            self.version = version[0]
        else:
            self._note(self._told_in, "It gives no valid version.")
        return True

    @property
    def canonical_name(self) -> str:
        """The name as it is compared."""
        return canonical_name(self.name)

    def fields(self, name: str) -> tuple[str, ...]:
        """The values of a field of the metadata; nothing where these cannot be read."""
        return _fields(self._head() or b"", name)

    def platforms(self) -> tuple[str, ...]:
        """Platform tags of the ``Tag`` lines of WHEEL."""
        text = self._text("WHEEL", self._read("WHEEL", _WHEEL_BYTES)) or ""
        found: dict[str, None] = {}
        for line in text.splitlines():
            if line.startswith("Tag:"):
                tag = _TAG.fullmatch(line.partition(":")[2].strip())
                if tag is None or len(found) > _MOST_PLATFORMS:
                    self._note("WHEEL", "It gives tags that are none.")
                    break
                found.update(dict.fromkeys(tag[1].split(".")))
        return tuple(found)

    def record(self) -> bytes:
        """RECORD as it is; empty where it cannot be read."""
        return self._read("RECORD", _RECORD_BYTES, code="damaged-record") or b""

    def files(self, most: int) -> list[str] | None:
        """The recorded paths of its files; None where it has no list of them.

        Args:
            most: How many of them, and one more.
        """
        for name, read in (
            ("RECORD", self._recorded),
            ("installed-files.txt", self._installed),
            ("SOURCES.txt", self._sources),
        ):
            data = self._read(name, _RECORD_BYTES, code="damaged-record")
            if data is not None:
                return read(name, data, most)
            if self._path(name) in self.damage:
                return []
        return None

    def _recorded(self, name: str, data: bytes, most: int) -> list[str]:
        import csv  # noqa: PLC0415 - nothing that is remembered needs it
        import io  # noqa: PLC0415 - as above
        from itertools import islice  # noqa: PLC0415 - as above

        if not data.strip():
            self._note(name, "It is empty.", code="damaged-record")
        self._text(name, data)
        # Names of files are bytes: those that are not UTF-8 are found on the disk all the same.
        lines = io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline="")
        rows = csv.reader(lines)
        paths = []
        impossible = 0
        try:
            for row in islice(rows, most + 1):
                if row and row[0]:
                    if len(row[0]) > _LONGEST_PATH or "\0" in row[0]:
                        impossible += 1
                    else:
                        paths.append(row[0])
        except csv.Error:
            self._note(name, f"It cannot be read from line {rows.line_num} on.", code="damaged-record")
        if impossible:
            self._note(name, f"{impossible} of its lines name no file that there can be.", code="damaged-record")
        return paths

    def _installed(self, name: str, data: bytes, most: int) -> list[str]:
        self._text(name, data)
        lines = data.decode("utf-8", "surrogateescape").split("\n", most)[:most]
        paths = (os.path.normpath(f"{self.folder}/{line.strip()}") for line in lines if line.strip())
        return [path.replace(os.sep, "/") for path in paths]

    def _sources(self, name: str, data: bytes, most: int) -> list[str]:
        """Those that were installed too."""
        self._text(name, data)
        lines = data.decode("utf-8", "surrogateescape").split("\n", most)[:most]
        paths = (line.strip() for line in lines)
        return [path for path in paths if path and "\0" not in path and os.path.lexists(f"{self.root}/{path}")]

    @property
    def _told_in(self) -> str:
        """The file with name and version."""
        if self._is_file:
            return ""
        names = ("METADATA", "PKG-INFO")
        return next((name for name in names if os.path.lexists(f"{self.place}/{name}")), names[0])

    def _head(self, *, note: bool = False) -> bytes | None:
        """The metadata without the description; None where there are none, or they are damaged."""
        for name in ("",) if self._is_file else ("METADATA", "PKG-INFO"):
            data = self._read(name, _METADATA_BYTES)
            if data is not None:
                if note:
                    self._text(name, data)
                end = min((end for mark in (b"\n\n", b"\n\r\n") if (end := data.find(mark)) >= 0), default=len(data))
                return data[: min(end, _HEAD_BYTES)]
            if self._path(name) in self.damage:
                return None
        return None

    def _read(self, name: str, most_bytes: int, *, code: str = "damaged-metadata") -> bytes | None:
        """A file; None where there is none, or where it is damaged, which is noted."""
        room = self._room
        try:
            data = read_bounded(f"{self.place}/{name}" if name else self.place, min(most_bytes, room.left))
        except _ABSENT:
            return None
        except OSError as error:
            if error.errno == errno.EFBIG and room.left < most_bytes:
                why = "with what was read before it is more than is read of an environment"
            else:
                why = error.strerror or type(error).__name__
            self._note(name, f"It cannot be read: {why[:1].lower()}{why[1:]}.", code=code)
            if error.errno == errno.EFBIG:
                room.left -= min(most_bytes, room.left)
            return None
        room.left -= len(data)
        return data

    def _text(self, name: str, data: bytes | None) -> str | None:
        """The text in *data*; that it is none is noted."""
        if data is None:
            return None
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            self._note(name, "It is not UTF-8.")
            return data.decode("utf-8", "replace")

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}" if name else self.folder

    def _note(self, name: str, problem: str, *, code: str = "damaged-metadata") -> None:
        """Note what is wrong with a file, once, and the worse of two."""
        path = self._path(name)
        if path not in self.damage or code == "damaged-record":
            self.damage[path] = Finding(code, path, problem)


def canonical_name(name: str) -> str:
    """As the Python packages are compared; `packaging` says the same and takes 8 ms to import.

    >>> canonical_name("My._Package")
    'my-package'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _fields(head: bytes, name: str) -> tuple[str, ...]:
    head = b"\n" + head
    plain, mark = head.lower(), f"\n{name.lower()}:".encode()
    found = []
    start = plain.find(mark)
    while start >= 0:
        value = _VALUE.match(head, start + len(mark))
        start = -1 if value is None else plain.find(mark, value.end())
        if value is not None:
            found.append(" ".join(value[0].decode("utf-8", "replace").split()))
    return tuple(found)


def installed_versions(names: Iterable[str], paths: Iterable[str]) -> dict[str, str | None]:
    """The versions of those of *names* that are installed; None where the metadata do not tell.

    Args:
        names: Of distributions.
        paths: The import path of this process.
    """
    wanted = {canonical_name(name): name for name in names}
    sound: dict[str, str | None] = {}
    damaged: dict[str, str | None] = {}
    for distribution in find_distributions([path or os.curdir for path in paths], named=frozenset(wanted)):
        found = damaged if distribution.damage else sound
        found.setdefault(distribution.canonical_name, distribution.version)
    found = damaged | sound
    if missing := wanted.keys() - found.keys():
        from importlib import metadata  # noqa: PLC0415 - slow to import

        for name in missing:  # which no folder is called after: in an archive, or wherever this process imports from
            with suppress(metadata.PackageNotFoundError):
                found[name] = metadata.version(name)
    return {wanted[name]: version for name, version in found.items() if name in wanted}


def find_distributions(paths: Iterable[str], *, named: frozenset[str] | None = None) -> Iterator[Distribution]:
    """The distributions in the folders of an import path, folder by folder, by the names of their metadata.

    Args:
        paths: The folders.
        named: Canonical names: only what is called so by the name of its folder.
    """
    room = _Room()
    for path in dict.fromkeys(paths):
        is_egg = path.lower().endswith(".egg")
        places: list[str] = []
        with suppress(OSError, ValueError), os.scandir(path) as entries:  # pathlib has this for twice the time
            for entry in entries:
                name = entry.name.lower()
                is_inside = is_egg and name == "egg-info"
                if not name.endswith((".dist-info", ".egg-info")) and not is_inside:
                    continue
                called = os.path.basename(path) if is_inside else name  # noqa: PTH119 - see above
                stem = called.rpartition(".")[0].partition("-")[0]
                if named is None or canonical_name(stem) in named:
                    places.append(entry.path)
        for place in sorted(places):
            distribution = Distribution(place, room)
            if distribution.is_there:
                yield distribution
