"""What the child process may say, checked: a driver can write whatever it likes into any file of its process.

A step has exactly the fields, kinds and ranges that are listed here, or it is no step.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Check = Callable[[Any], bool]

__all__ = ["read"]

_MOST_DEVICES = 1024
_HEX = "0123456789abcdef"


def _whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _text(most: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= most and (value.isascii() or _printable(value))


def _printable(value: str) -> bool:
    """It has no half of a surrogate pair, which cannot be printed."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _made_of(characters: str, *lengths: int) -> Check:
    # Not by patterns: to compile them takes longer than all else here, and somebody waits.
    return lambda value: isinstance(value, str) and len(value) in lengths and not value.strip(characters)


def _is(name: str) -> Check:
    return lambda value: isinstance(value, str) and value == name


def _flag(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, bool)


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _many(check: Check, most: int = _MOST_DEVICES) -> Check:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(check, value))


def _fields(**checks: Check) -> Check:
    return lambda value: (
        isinstance(value, dict)
        and value.keys() == checks.keys()
        and all(check(value[name]) for name, check in checks.items())
    )


_code = _whole(-(1 << 31), (1 << 31) - 1)
_bytes = _maybe(_whole(0, (1 << 63) - 1))
_name = _maybe(_text(256))
_capability = _maybe(lambda value: isinstance(value, list) and len(value) == 2 and all(map(_code, value)))
_pci = _maybe(_made_of(f"{_HEX}:.", *range(12, 17)))
_slice = _fields(uuid=_name, name=_name, memory=_bytes)
_FORMS: tuple[Check, ...] = (
    _fields(calling=_text(64)),
    _fields(
        step=_is("library"),
        found=_flag,
        problem=_text(1024),
        file=_maybe(_text(8192)),
        version=_maybe(_whole(0, 1_000_000)),
    ),
    _fields(step=_is("nvml"), missing=_text(1024)),
    _fields(
        step=_is("nvml"),
        error=_code,
        release=_name,
        refused=_many(_code),
        devices=_many(
            _fields(
                uuid=_name,
                name=_name,
                capability=_capability,
                pci=_pci,
                memory=_bytes,
                mig=_maybe(_flag),
                slices=_many(_slice),
            )
        ),
    ),
    _fields(
        step=_is("cuda"),
        error=_code,
        devices=_many(
            _fields(
                name=_name,
                capability=_capability,
                uuid=_maybe(_made_of(_HEX, 32)),
                pci=_pci,
                memory=_bytes,
                multiprocessors=_maybe(_whole(0, 1 << 20)),
                integrated=_maybe(_flag),
            )
        ),
    ),
    _fields(step=_is("done")),
)


def read(line: bytes, due: str) -> dict[str, Any]:
    """The step, or the call that is to come, that *line* tells.

    Args:
        line: What the child said.
        due: The step whose turn it is.

    Raises:
        ValueError: It is neither.
    """
    try:
        found = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not any(form(found) for form in _FORMS):
        raise ValueError("no step")
    if found.get("step", due) != due:
        raise ValueError("out of turn")
    return dict(found)
