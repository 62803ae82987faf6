"""Systems as files: what `capably doctor --save` writes, and what is replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from capably.errors import RecordError
from capably.facts import System, from_object, to_object

if TYPE_CHECKING:
    import os

__all__ = ["dumps", "load", "loads", "save"]

_SCHEMA = System().schema
_MOST_BYTES = 16 << 20


def dumps(system: System) -> str:
    """*system* as JSON text, in ASCII."""
    return json.dumps(to_object(system), indent=1, ensure_ascii=True) + "\n"


def loads(text: str) -> System:
    """The system that *text* records.

    Raises:
        RecordError: It is not such a record; it names the place.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError("$", f"not JSON: {error}") from error
    if not isinstance(value, dict) or "schema" not in value:
        raise RecordError("$", "not a record of a system: it has no `schema`")
    if value["schema"] != _SCHEMA:
        raise RecordError("$.schema", f"{value['schema']!r} is not {_SCHEMA}: written by another release of capably")
    return from_object(System, value)


def save(system: System, path: str | os.PathLike[str]) -> None:
    """Write *system* to a file."""
    Path(path).write_text(dumps(system), encoding="ascii")


def load(path: str | os.PathLike[str]) -> System:
    """The system that a file records.

    Raises:
        RecordError: It cannot be read, or is not such a record; it names the file and the place.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise RecordError(str(path), error.strerror or type(error).__name__) from error
    if len(data) > _MOST_BYTES:
        raise RecordError(str(path), "too large for a record of a system")
    try:
        return loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RecordError(str(path), "not a text file") from error
    except RecordError as error:
        place = str(path) if error.place == "$" else f"{path}: {error.place}"  # `$` is the whole of it
        raise RecordError(place, error.problem) from error
