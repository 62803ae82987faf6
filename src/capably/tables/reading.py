"""The strict reader of table files: every field is taken by its kind, and nothing is left over.

A word is one of a closed list, a reference is one of what it refers to, a number or a version lies between bounds.
Whatever else a file says is a `TableError` that names the file, the row, the key and what is allowed.
"""

from __future__ import annotations

import itertools
import json
import re

from capably.codes import Grade
from capably.errors import TableError
from capably.version import CudaVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path
    from typing import TypeVar

    from capably.arch import ComputeCapability
    from capably.version import DriverRelease, PtxVersion

    _T = TypeVar("_T")
    _O = TypeVar("_O", int, CudaVersion)
    _V = TypeVar("_V", ComputeCapability, CudaVersion, DriverRelease, PtxVersion)

__all__ = ["Row", "Rows", "read_rows"]

_IDENTIFIER = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_HORIZON = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}|[0-9]{3}|20[0-9]{2}-(?:0[1-9]|1[0-2])")
_OF_ARCHITECTURES = "capabilities of architectures.json"
_GRADES = {grade.value: grade for grade in Grade}


class Row:
    """One row of a table, taken field by field.

    Args:
        file: Name of the table.
        number: Of the row, from 1 on.
        cells: Its fields.
        sources: The keys that a row may cite; None for the table of sources itself.
    """

    __slots__ = ("_cells", "_left", "_sources", "file", "number")

    def __init__(self, file: str, number: int, cells: object, sources: Collection[str] | None) -> None:
        self.file = file
        self.number = number
        self._sources = sources
        if not isinstance(cells, dict):
            self._cells: dict[str, object] = {}
            raise self.fail(None, f"is {_shown(cells)}", "an object")
        self._cells = cells
        self._left = dict(cells)

    def fail(self, key: str | None, problem: str, allowed: str) -> TableError:
        """What is wrong with a field, or with the row."""
        first = next(iter(self._cells.values()), None)
        name = f"{self.number} ({first})" if first is not None else str(self.number)
        return TableError(self.file, name, f"{f'`{key}`' if key else 'the row'} {problem}; allowed: {allowed}")

    def wrong(self, key: str, value: object, allowed: str) -> TableError:
        """A field, or a part of one, that is not what it may be."""
        return self.fail(key, f"is {_shown(value)}", allowed)

    def _take(self, key: str, allowed: str) -> object:
        if key not in self._left:
            raise self.fail(key, "is missing", allowed)
        return self._left.pop(key)

    def has(self, key: str) -> bool:
        """Whether the field is there and not null; one that is null is taken."""
        if self._left.get(key) is None:
            self._left.pop(key, None)
            return False
        return True

    # -- texts

    def text(self, key: str, allowed: str = "a text") -> str:
        """Free text, which is not empty."""
        value = self._take(key, allowed)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, value, allowed)
        return value

    def texts(self, key: str, allowed: str = "a list of texts") -> tuple[str, ...]:
        """A list of free texts."""
        value = self._take(key, allowed)
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise self.wrong(key, value, allowed)
        return tuple(value)

    def identifier(self, key: str) -> str:
        """A name that this row defines."""
        allowed = "lower-case letters and digits, joined by `-`, `_` or `.`"
        value = self.text(key, allowed)
        if not _IDENTIFIER.fullmatch(value):
            raise self.wrong(key, value, allowed)
        return value

    def identifiers(self, key: str) -> tuple[str, ...]:
        """Names of something outside the tables, such as distributions."""
        allowed = "a list of lower-case letters and digits, joined by `-`, `_` or `.`"
        values = self.texts(key, allowed)
        for value in values:
            if not _IDENTIFIER.fullmatch(value):
                raise self.wrong(key, value, allowed)
        return values

    def pattern(self, key: str, pattern: str, meaning: str) -> str:
        """A text of a form, which *meaning* says in words."""
        value = self._take(key, meaning)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.wrong(key, value, meaning)
        return value

    def word(self, key: str, allowed: Collection[str]) -> str:
        """One of a closed list of words."""
        value = self._take(key, "a word")
        if not isinstance(value, str) or value not in allowed:
            raise self.wrong(key, value, _listed(allowed))
        return value

    def words(
        self, key: str, allowed: Collection[str], *, least: int = 0, meaning: str | None = None
    ) -> tuple[str, ...]:
        """Words of a closed list, each once: a list, or a text with blanks between them.

        Args:
            key: The field.
            allowed: The words.
            least: How many there have to be.
            meaning: Says in an error what is allowed, where the words are many.
        """
        value = self._take(key, meaning or "words")
        items = value.split(" ") if isinstance(value, str) and value else [] if value == "" else value
        if not isinstance(items, list) or len(items) < least:
            raise self.wrong(key, value, f"{meaning or _listed(allowed)}, at least {least}")
        for item in items:
            if not isinstance(item, str) or item not in allowed:
                raise self.wrong(key, item, meaning or _listed(allowed))
        if len(set(items)) < len(items):
            raise self.wrong(key, value, "each once")
        return tuple(items)

    def pairs(self, key: str) -> dict[str, str]:
        """An object of texts."""
        value = self._take(key, "an object of texts")
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self.wrong(key, value, "an object of texts")
        return value

    # -- numbers, versions, and whatever has a parser

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._take(key, "true, false")
        if not isinstance(value, bool):
            raise self.wrong(key, value, "true, false")
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number between bounds, which are allowed."""
        value = self._take(key, f"a whole number from {low} to {high}")
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def wholes(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """A list of whole numbers between bounds."""
        value = self._take(key, f"a list of whole numbers from {low} to {high}")
        if not isinstance(value, list) or not all(type(item) is int and low <= item <= high for item in value):
            raise self.wrong(key, value, f"a list of whole numbers from {low} to {high}")
        return tuple(value)

    def capability(self, key: str, known: Mapping[str, ComputeCapability]) -> ComputeCapability:
        """A compute capability of `architectures.json`, which *known* has by what they are written as."""
        value = self.text(key, _OF_ARCHITECTURES)
        if value not in known:
            raise self.wrong(key, value, _OF_ARCHITECTURES)
        return known[value]

    def capabilities(self, key: str, known: Mapping[str, ComputeCapability]) -> tuple[ComputeCapability, ...]:
        """Compute capabilities of `architectures.json` in a text, with blanks between them; rising."""
        value = self.text(key, _OF_ARCHITECTURES)
        for part in value.split(" "):
            if part not in known:
                raise self.wrong(key, part, _OF_ARCHITECTURES)
        found = tuple(known[part] for part in value.split(" "))
        if list(found) != sorted(set(found)):
            raise self.wrong(key, value, "each once, rising")
        return found

    def cuda(self, key: str, low: CudaVersion, high: CudaVersion) -> CudaVersion:
        """A CUDA version between bounds, which are allowed."""
        return self.between(key, CudaVersion.parse, low, high)

    def between(self, key: str, parse: Callable[[str], _V], low: _V, high: _V) -> _V:
        """A version between bounds, which are allowed: numbers with dots."""
        value = self.text(key, f"{low} to {high}")
        found = self.parse(key, value, parse)
        if not _DOTTED.fullmatch(value) or not low <= found <= high:
            raise self.wrong(key, value, f"{low} to {high}")
        return found

    def parsed(self, key: str, parse: Callable[[str], _T]) -> _T:
        """A text in a grammar of its own."""
        return self.parse(key, self.text(key), parse)

    def parsed_each(self, key: str, parse: Callable[[str], _T]) -> tuple[_T, ...]:
        """A list of texts in a grammar of their own."""
        return tuple(self.parse(key, text, parse) for text in self.texts(key))

    def parse(self, key: str, text: str, parse: Callable[[str], _T]) -> _T:
        """A text that belongs to a field, by its grammar."""
        try:
            return parse(text)
        except (ValueError, re.error) as error:
            raise self.wrong(key, text, " ".join(str(error).split())) from error

    # -- what every row has

    def grade(self, key: str = "grade") -> Grade:
        """How well the row is known."""
        return _GRADES[self.word(key, _GRADES)]

    def sources(self) -> tuple[str, ...]:
        """The keys of its sources: one at least."""
        value = self._take("sources", "keys of sources.json")
        if not isinstance(value, list) or not value:
            raise self.wrong("sources", value, "keys of sources.json, at least one")
        for item in value:
            if not isinstance(item, str) or self._sources is None or item not in self._sources:
                raise self.wrong("sources", item, "keys of sources.json")
        return tuple(value)

    def end(self) -> None:
        """Nothing may be left, but a note for the reader of the file."""
        if self.has("note"):
            self.text("note")
        for key in self._left:
            raise self.fail(key, "is no field of this table", _listed(set(self._cells) - set(self._left)))


class Rows:
    """The rows of a table, and its horizon."""

    __slots__ = ("_cells", "_sources", "file", "horizon_text")

    def __init__(self, file: str, horizon: str, cells: list[object], sources: Collection[str] | None) -> None:
        self.file = file
        self.horizon_text = horizon
        self._cells = cells
        self._sources = sources

    def horizon(self, parse: Callable[[str], _T]) -> _T:
        """The newest thing that the table knows."""
        try:
            return parse(self.horizon_text)
        except ValueError as error:
            raise TableError(self.file, "", f"`horizon` is {_shown(self.horizon_text)}; allowed: {error}") from error

    def each(self, read: Callable[[Row], _T]) -> tuple[_T, ...]:
        """Every row as *read* takes it."""
        found = []
        for number, cells in enumerate(self._cells, 1):
            row = Row(self.file, number, cells, self._sources)
            found.append(read(row))
            row.end()
        return tuple(found)

    def keyed(self, read: Callable[[Row], _T], key: Callable[[_T], object]) -> tuple[_T, ...]:
        """Every row; two with the same key are refused."""
        rows = self.each(read)
        seen: dict[object, int] = {}
        for number, row in enumerate(rows, 1):
            if (first := seen.setdefault(key(row), number)) != number:
                raise TableError(self.file, str(number), f"says again what row {first} says; allowed: once")
        return rows

    def rising(self, read: Callable[[Row], _T], key: Callable[[_T], _O]) -> tuple[_T, ...]:
        """Every row; one whose key is not above that of the row before is refused."""
        rows = self.each(read)
        for number, (before, after) in enumerate(itertools.pairwise(rows), 2):
            if not key(before) < key(after):
                raise TableError(self.file, str(number), f"comes after {key(before)}; allowed: rising, each once")
        return rows


def read_rows(folder: Path, table: str, sources: Collection[str] | None) -> Rows:
    """A table as it is on disk.

    Args:
        folder: Where the files are.
        table: Its name.
        sources: The keys that its rows may cite; None for the table of sources itself, which has no horizon.

    Raises:
        TableError: The file cannot be read or is no table.
    """
    try:
        document = json.loads((folder / f"{table}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(table, "", str(error)) from error
    keys = {"table", "about", "rows"} | ({"horizon"} if sources is not None else set())
    if not isinstance(document, dict) or document.keys() != keys:
        raise TableError(table, "", f"the file is not an object of {_listed(sorted(keys))}")
    if document["table"] != table:
        raise TableError(table, "", f"`table` is {_shown(document['table'])}; allowed: `{table}`")
    if not isinstance(document["rows"], list):
        raise TableError(table, "", "`rows` is not a list")
    horizon = document.get("horizon", "")
    if sources is not None and not (isinstance(horizon, str) and _HORIZON.fullmatch(horizon)):
        raise TableError(table, "", f"`horizon` is {_shown(horizon)}; allowed: a version, a driver branch, a month")
    return Rows(table, horizon, document["rows"], sources)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 80 else f"`{text[:77]}…`"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "nothing"
