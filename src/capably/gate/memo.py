"""What the gate remembers for callers on a hot path, and when it forgets."""

from __future__ import annotations

import os

from capably import probe
from capably.gate.policy import LISTS, OVERRIDE

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "BARE",
    "FLASHINFER_LIST",
    "NAMED",
    "ORDER",
    "REPLAYED",
    "TORCH_LIST",
    "UNLISTED",
    "VARIABLES",
    "VISIBLE",
    "WARM",
    "now",
    "remember",
]

# What an answer goes with: the values of these variables. The lists count for what is said, not for who qualifies.
_DECIDING = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CAPABLY_SYSTEM", OVERRIDE, *LISTS)
_MOST = 4096


def _variables() -> tuple[Mapping[Any, object], tuple[Any, ...]]:
    """Where variables are, and under which names: `os.environ` takes half a microsecond for each, its dictionary 20 ns."""
    data, encode = getattr(os.environ, "_data", None), getattr(os.environ, "encodekey", None)
    if isinstance(data, dict) and encode:
        return data, tuple(map(encode, _DECIDING))
    return os.environ, _DECIDING


VARIABLES, (VISIBLE, ORDER, REPLAYED, NAMED, TORCH_LIST, FLASHINFER_LIST) = _variables()

_NOTHING: tuple[Any, ...] = (*((object(),) * 7), {})
WARM: list[tuple[Any, ...]] = [_NOTHING]
"""What `now` gave, and the answers that go with it: of each choice of devices, by requirement.

One element, replaced at once, so that threads see all of it or nothing. Who compares the values does so by identity:
a variable that is set anew has a new object as its value, and what does not change keeps the one that it has.
"""
BARE: list[dict[Any, Any]] = [{}]
"""The answers of `WARM` where none of the variables is set that decide about devices, as on most machines: to see that
they are still not set takes half the time. Empty where one was."""
UNLISTED: list[dict[Any, Any]] = [{}]
"""Those of `BARE` where no list was set either."""


def now() -> tuple[object, ...]:
    """What an answer goes with. Callers on a hot path write it out: a call costs as much again."""
    return (
        probe.refreshes,
        VARIABLES.get(VISIBLE),
        VARIABLES.get(ORDER),
        VARIABLES.get(REPLAYED),
        VARIABLES.get(NAMED),
        VARIABLES.get(TORCH_LIST),
        VARIABLES.get(FLASHINFER_LIST),
    )


def _forget() -> None:
    WARM[0], BARE[0], UNLISTED[0] = _NOTHING, {}, {}


probe.forgetters.append(_forget)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # a child may not use the driver that its parent has initialised


def _same(values: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return all(one is other for one, other in zip(values, others, strict=True))


def remember(values: tuple[object, ...], devices: object, requirement: object, answer: object) -> None:
    """Keep *answer* for calls with these *devices* and this *requirement* while `now` gives these *values*."""
    if not _same(values, now()):
        return  # another thread has changed a variable meanwhile
    known: dict[object, dict[object, object]] = WARM[0][7]
    if not _same(values, WARM[0][:7]) or sum(map(len, known.values())) >= _MOST:
        known = {}
    known.setdefault(devices, {})[requirement] = answer
    WARM[0] = (*values, known)
    bare = not any(value is not None for value in values[1:5])
    BARE[0] = known if bare else {}
    UNLISTED[0] = known if bare and values[5] is values[6] is None else {}
    if probe.refreshes != values[0]:  # somebody has refreshed since the first line, and would be told of the past
        _forget()
