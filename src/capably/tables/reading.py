"""Tables are read from their files, row by row, strictly."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from pathlib import Path

from capably.arch import ComputeCapability, Target
from capably.errors import TableError
from capably.reasons import Grade
from capably.requirement import Requirement
from capably.tables.model import Cause, DialectVersion, Message, TorchBuild
from capably.version import CudaVersion, PtxVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    _T = TypeVar("_T")

__all__ = ["Row", "causes", "dialects", "message", "messages", "rows", "torch_builds", "version_pair"]

_DATA = Path(__file__).parent / "data"


class Row:
    """One row of a table, read strictly: a missing, unknown or ill-typed field is an error."""

    def __init__(self, table: str, row: object, sources: frozenset[str] | None) -> None:
        if not isinstance(row, dict):
            raise TableError(table, repr(row), "a row is an object")
        self.table = table
        self.left: dict[str, object] = dict(row)
        self.text = json.dumps(row, ensure_ascii=False)
        self.known_sources = sources

    def fail(self, rule: str) -> TableError:
        return TableError(self.table, self.text, rule)

    def take(self, name: str) -> object:
        if name not in self.left:
            raise self.fail(f"`{name}` is missing")
        return self.left.pop(name)

    def string(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise self.fail(f"`{name}` is not a text")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        value = self.take(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(f"`{name}` is not a list of texts")
        return tuple(value)

    def integer(self, name: str) -> int | None:
        value = self.take(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self.fail(f"`{name}` is not a whole number or null")
        return value

    def whole(self, name: str) -> int:
        value = self.integer(name)
        if value is None:
            raise self.fail(f"`{name}` is null")
        return value

    def numbers(self, name: str) -> tuple[int, ...]:
        value = self.left.pop(name, [])
        if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
            raise self.fail(f"`{name}` is not a list of numbers from 1 on")
        return tuple(value)

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.fail(f"`{name}` is not true or false")
        return value

    def capability(self, name: str) -> ComputeCapability:
        return self.parsed(name, ComputeCapability.parse)

    def parsed(self, name: str, parse: Callable[[str], _T]) -> _T:
        text = self.string(name)
        try:
            return parse(text)
        except (ValueError, re.error) as error:
            raise self.fail(f"`{name}`: {error}") from error

    def parsed_each(self, name: str, parse: Callable[[str], _T]) -> list[_T]:
        try:
            return [parse(text) for text in self.strings(name)]
        except (ValueError, re.error) as error:
            raise self.fail(f"`{name}`: {error}") from error

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        value = self.take(name)
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self.fail(f"`{name}` is not an object of texts")
        return tuple(value.items())

    def optional(self, name: str, parse: Callable[[str], _T]) -> _T | None:
        if self.left.get(name) is None:
            self.left.pop(name, None)
            return None
        return self.parsed(name, parse)

    def grade(self) -> Grade:
        return self.parsed("grade", Grade)

    def sources(self) -> tuple[str, ...]:
        keys = self.strings("sources")
        if not keys:
            raise self.fail("it cites no source")
        for key in keys:
            if self.known_sources is not None and key not in self.known_sources:
                raise self.fail(f"unknown source `{key}`")
        return keys

    def end(self) -> None:
        self.left.pop("note", None)  # for the reader of the table
        if self.left:
            raise self.fail(f"unknown field `{next(iter(self.left))}`")


def version_pair(text: str) -> tuple[int, int]:
    version = PtxVersion.parse(text)
    return version.major, version.minor


def rows(table: str, sources: frozenset[str] | None) -> Iterator[Row]:
    try:
        document = json.loads((_DATA / f"{table}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(table, "", str(error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise TableError(table, "", "not an object with a list `rows`")
    for raw in document["rows"]:
        row = Row(table, raw, sources)
        yield row
        row.end()


@functools.cache
def causes(sources: frozenset[str]) -> dict[str, Cause]:
    """Causes by their codes."""
    found = (
        Cause(
            r.string("code"),
            r.string("title"),
            r.string("cause"),
            r.string("way_out"),
            r.string("next"),
            r.sources(),
            r.grade(),
        )
        for r in rows("causes", sources)
    )
    return {cause.code: cause for cause in found}


@functools.cache
def messages(sources: frozenset[str]) -> tuple[Message, ...]:
    """Error messages."""
    known = frozenset(causes(sources))
    return tuple(message(row, known) for row in rows("messages", sources))


@functools.cache
def dialects(sources: frozenset[str]) -> tuple[DialectVersion, ...]:
    """How tools read lists of architectures, by version."""
    return tuple(
        DialectVersion(
            r.string("dialect"),
            r.parsed("since", lambda text: tuple(int(part) for part in text.split("."))),
            tuple(r.string("read").split()),
            tuple(r.string("numbers").split()),
            r.optional("ignored", str),
            r.pairs("names"),
            r.pairs("lists"),
            frozenset(r.string("rules").split()),
            r.optional("requires", lambda text: str(Requirement.parse(text))),
            r.sources(),
            r.grade(),
        )
        for r in rows("dialects", sources)
    )


@functools.cache
def torch_builds(sources: frozenset[str]) -> tuple[TorchBuild, ...]:
    """Builds of torch, in the order in which they are offered."""
    return tuple(
        TorchBuild(
            r.string("index"),
            r.parsed("cuda", CudaVersion.parse),
            r.string("machine"),
            r.parsed("targets", lambda text: tuple(map(Target.parse, text.split()))),
            r.sources(),
            r.grade(),
        )
        for r in rows("torch_builds", sources)
    )


_SUBJECTS = ("architecture", "build", "driver", "installation", "program", "visibility")
# What could take more than linear time: repetition without a bound of a group or of any character.
_UNBOUNDED = re.compile(r"[.)\]][*+]|\{[0-9]+,\}|\\[A-Za-z][*+]")


def _bounded(text: str) -> re.Pattern[str]:
    if _UNBOUNDED.search(text):
        raise ValueError("repetition without a bound")
    return re.compile(text)


def _needles_of(number: int) -> tuple[str, ...]:
    """Texts one of which is near each mention of a CUDA error by *number*; short numbers are everywhere else too."""
    return (str(number),) if number >= 100 else tuple(f"{lead}{number}" for lead in (": ", "error ", "code ", "(", "=", "= "))  # fmt: skip


def _of_number(number: int) -> str:
    """Matches CUDA errors that are printed with their *number* alone."""
    kind = r"(?:error|failure|errno|result)"
    return rf"(?i)\bcu(?:da)?(?:[ _]?(?:driver|runtime))?[ _]?{kind}(?:[ _]?code)?[ :=#(]{{0,6}}{number}\b(?![.:][0-9])"


def message(row: Row, causes: frozenset[str]) -> Message:
    numbers = row.numbers("numbers")
    found = Message(
        row.string("code"),
        row.string("title"),
        row.whole("rank"),
        row.string("subject"),
        row.boolean("device"),
        row.boolean("complete"),
        row.strings("needles"),
        (*row.parsed_each("patterns", _bounded), *map(_bounded, map(_of_number, numbers))),
        row.string("means"),
        row.strings("causes"),
        row.optional("requires", Requirement.parse),
        row.sources(),
        row.grade(),
    )
    if found.subject not in _SUBJECTS:
        raise row.fail(f"unknown subject `{found.subject}`")
    if not found.needles or any(needle != needle.lower() for needle in found.needles):
        raise row.fail("`needles` are lower-case texts, at least one")
    if not found.causes or set(found.causes) - causes:
        raise row.fail("`causes` are codes of the table of causes, at least one")
    return replace(found, needles=(*found.needles, *(needle for one in numbers for needle in _needles_of(one))))
