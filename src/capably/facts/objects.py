"""Records as plain JSON values, and back."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types

from capably.arch import ComputeCapability, Target
from capably.compat import StrEnum
from capably.errors import ParseError, RecordError
from capably.version import CudaVersion, DriverRelease, PtxVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _Record = TypeVar("_Record")

__all__ = ["from_object", "from_text", "to_object"]

_MOST = (1 << 63) - 1
"""Of a number in a record: a size in bytes, at the very most."""

# Written as people write them, and read by their own parsers.
_AS_TEXT = (ComputeCapability, Target, CudaVersion, DriverRelease, PtxVersion)


def to_object(record: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """*record* as dictionaries, lists, texts, numbers, booleans and None.

    Raises:
        TypeError: It holds something that is no record.

    >>> from capably.facts import Device
    >>> to_object(Device(ComputeCapability(9, 0), "H100"))["capability"]
    '9.0'
    """
    if isinstance(record, enum.Enum):
        return record.value
    if record is None or isinstance(record, (bool, int, str)):
        return record
    if isinstance(record, _AS_TEXT):
        return str(record)
    if isinstance(record, tuple):
        return [to_object(item) for item in record]
    if dataclasses.is_dataclass(record):
        return {field.name: to_object(getattr(record, field.name)) for field in dataclasses.fields(record)}
    raise TypeError(f"no record: {type(record).__name__}")


def from_object(kind: type[_Record], value: object) -> _Record:
    """The record of *kind* that *value* describes, the reverse of `to_object`.

    Strict: an unknown name, a missing one without a default, or a value of another type is refused.

    Raises:
        RecordError: *value* does not describe such a record; it names the place.

    >>> from_object(CudaVersion, "12.4")
    CudaVersion(major=12, minor=4)
    """
    result: _Record = _read(kind, value, "$")
    return result


def from_text(data: bytes) -> Any:  # noqa: ANN401 - as above
    """The value that JSON says, by its standard: no name twice in an object, and no NaN.

    Python's own reader takes the last of two values, and others take the first: a record must not say two things.

    Raises:
        RecordError: It is not such a text, or it is nested too deep to be read.

    >>> from_text(b'{"a": [1, null]}')
    {'a': [1, None]}
    """
    import json  # noqa: PLC0415 - it costs 3 ms, and records are read by few

    def refused(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            left = iter(found)  # in the order in which each came first
            twice = next(name for name, _ in pairs if name != next(left, None))
            raise ValueError(f"`{twice}` is there twice in one object")
        return found

    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=refused, object_pairs_hook=once)
    except UnicodeDecodeError as error:
        raise RecordError("$", f"not JSON: it is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise RecordError("$", "not JSON: its values are nested too deep") from error
    except ValueError as error:  # among others, for a number of thousands of digits
        raise RecordError("$", f"not JSON: {error}") from error


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    """Name, type and whether it may be left out, for each field of a record."""
    import typing  # noqa: PLC0415 - it costs 8 ms, and records are read by few

    hints = typing.get_type_hints(kind)
    return tuple(
        (field.name, hints[field.name], field.default is not dataclasses.MISSING) for field in dataclasses.fields(kind)
    )


def _read(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401 - a type and a value of it
    import typing  # noqa: PLC0415 - as above

    origin = typing.get_origin(kind)
    if origin is types.UnionType:  # only ever `X | None`
        inner = next(option for option in typing.get_args(kind) if option is not types.NoneType)
        return None if value is None else _read(inner, value, place)
    if origin is tuple:
        if not isinstance(value, list):
            raise RecordError(place, "a list was expected")
        options = typing.get_args(kind)
        if options[-1] is not Ellipsis and len(options) != len(value):
            raise RecordError(place, f"a list of {len(options)} was expected")
        options = (options[0],) * len(value) if options[-1] is Ellipsis else options
        return tuple(
            _read(option, item, f"{place}[{index}]")
            for index, (option, item) in enumerate(zip(options, value, strict=True))
        )
    if kind in _AS_TEXT or issubclass(kind, StrEnum):
        if not isinstance(value, str):
            raise RecordError(place, "a text was expected")
        try:
            return kind.parse(value) if kind in _AS_TEXT else kind(value)
        except ParseError as error:
            raise RecordError(place, str(error).splitlines()[0]) from error
        except ValueError as error:
            raise RecordError(place, str(error)) from error
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, value, place)
    if type(value) is not kind:  # True is an int, but no number of anything
        raise RecordError(place, f"{kind.__name__} was expected")
    if kind is int and abs(value) > _MOST:
        raise RecordError(place, "the number is too large")
    return value


def _read_fields(kind: Any, value: Any, place: str) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, dict):
        raise RecordError(place, "an object was expected")
    left = dict(value)
    found = {}
    for name, option, optional in _fields(kind):
        if name in left:
            found[name] = _read(option, left.pop(name), f"{place}.{name}")
        elif not optional:
            raise RecordError(f"{place}.{name}", "is missing")
    if left:
        raise RecordError(f"{place}.{min(left, key=str)}", "is not known")
    try:
        return kind(**found)
    except ValueError as error:
        raise RecordError(place, str(error)) from error
