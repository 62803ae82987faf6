"""Systems as files: what `capably doctor --save` writes, and what is replayed."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capably.bounded import read_given
from capably.errors import RecordError
from capably.escaping import json_text
from capably.facts import Record, System, from_object, to_object
from capably.facts.objects import from_text

if TYPE_CHECKING:
    import os

__all__ = ["dumps", "dumps_record", "load", "load_record", "loads", "save"]

_SCHEMA = System().schema
_MOST_BYTES = 64 << 20
_BESIDE = ("packages", "gpus")
"""What a record may hold beside the system; older releases wrote neither."""


def dumps(system: System) -> str:
    """*system* as JSON text, in ASCII."""
    return json_text(to_object(system), indent=1) + "\n"


def dumps_record(record: Record) -> str:
    """*record* as JSON text, in ASCII: the system, with a line for each package."""
    beside = [
        f' "{name}": [' + ",".join(f"\n  {json_text(to_object(one))}" for one in values) + "\n ]"
        for name, values in (("packages", record.packages), ("gpus", record.gpus))
        if values is not None and (values or name == "packages")
    ]
    return ",\n".join((dumps(record.system).removesuffix("\n}\n"), *beside)) + "\n}\n"


def loads(text: str) -> System:
    """The system that *text* records.

    Raises:
        RecordError: It is not such a record; it names the place.
    """
    return _record(text.encode("utf-8", "surrogatepass")).system


def _record(data: bytes) -> Record:
    value = from_text(data)
    if not isinstance(value, dict) or "schema" not in value:
        raise RecordError("$", "not a record of a system: it has no `schema`")
    if value["schema"] != _SCHEMA:
        raise RecordError("$.schema", f"{value['schema']!r} is not {_SCHEMA}: written by another release of capably")
    beside = {name: value.pop(name) for name in _BESIDE if name in value}
    return replace(from_object(Record, {"system": {}, **beside}), system=from_object(System, value))


def save(system: System, path: str | os.PathLike[str]) -> None:
    """Write *system* to a file."""
    Path(path).write_text(dumps(system), encoding="ascii")


def load(path: str | os.PathLike[str]) -> System:
    """The system that a file records.

    Raises:
        RecordError: It cannot be read, or is not such a record; it names the file and the place.
    """
    return load_record(path).system


def load_record(path: str | os.PathLike[str]) -> Record:
    """All that a file records.

    Raises:
        RecordError: It cannot be read, or is not such a record; it names the file and the place.
    """
    try:
        data = read_given(path, _MOST_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise RecordError(str(path), "too large for a record of a system") from error
        raise RecordError(str(path), error.strerror or type(error).__name__) from error
    except ValueError as error:
        raise RecordError(str(path), str(error)) from error
    try:
        return _record(data)
    except RecordError as error:
        place = str(path) if error.place == "$" else f"{path}: {error.place}"  # `$` is the whole of it
        raise RecordError(place, error.problem) from error
