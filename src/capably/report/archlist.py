"""The answer of ``capably plan --read``, as text and as JSON: what tools make of a list of architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capably.codes import Outcome
from capably.report.plan import list_object, paste
from capably.report.safe import columns
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.arch import Target
    from capably.archlist import Problem
    from capably.facts import Device
    from capably.list_output import Spelling
    from capably.plan.judged_list import JudgedList
    from capably.report.layout import Style

__all__ = ["reading_document", "readings_text"]

_SCHEMA = 1
_WORDS = {
    Outcome.RUNS: ("native", "good"),
    Outcome.COMPILES: ("PTX", "fair"),
    Outcome.UNKNOWN: ("unknown", "doubt"),
    Outcome.FAILS: ("none", "bad"),
}


def readings_text(text: str, heard: Sequence[JudgedList], style: Style) -> str:
    """What one tool makes of *text* in full, or several side by side."""
    lines = _alone(text, heard[0], style) if len(heard) == 1 else _side_by_side(text, heard, style)
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------------
# One tool


def _alone(text: str, one: JudgedList, style: Style) -> Iterator[str]:
    reading = one.reading
    yield from style.wrap(style.safe(f"{reading.dialect} {one.version} ({one.origin}), {one.variable}"))
    yield ""
    yield f"  {style.safe(text)}"
    if reading.error is not None:
        yield style.paint(f"  {_marked(text, reading.error, style)}", "bad")
        yield from style.wrap(style.safe(f"{reading.error.message} [{reading.error.code}]"), "stops     ", tone="bad")
        if reading.error.way_out:
            yield from style.wrap(style.safe(reading.error.way_out), "do        ")
    elif reading.targets:
        yield ""
        yield from _targets(one, reading.targets, style)
    else:
        yield ""
        yield "asks for nothing: no option is added"
    for note in reading.notes:
        place = f"`{text[note.start : note.end]}`"
        about = f"{place}: " if (note.start, note.end) != (0, len(text)) and place not in note.message else ""
        yield from style.wrap(style.safe(about + note.message), f"{note.kind:<10}")
    if reading.targets and one.toolkit is None:
        taken = "each target is taken as made by the newest toolkit that knows it; name yours with --toolkit"
        yield from style.wrap(taken, "assumed   ")
    if one.ignored is not None:
        yield from style.wrap(style.safe(f"{one.variable} is ignored {one.ignored}"), "ignored   ")
    yield from _elsewhere(one.lists, style)


def _marked(text: str, error: Problem, style: Style) -> str:
    """Carets below what is wrong."""
    before, what = columns(style.safe(text[: error.start])), columns(style.safe(text[error.start : error.end]))
    return " " * before + "^" * max(what, 1)


def _targets(one: JudgedList, targets: Sequence[Target], style: Style) -> Iterator[str]:
    """Each target and the GPUs that it is for, then what the list as a whole does."""
    width = max(len(str(target)) for target in targets) + 2
    for target in dict.fromkeys(targets):
        outcomes = one.outcomes([target])
        served = "; ".join(
            f"{_WORDS[outcome][0]} on {_names(one.devices, outcomes, outcome)}"
            for outcome in (Outcome.RUNS, Outcome.COMPILES, Outcome.UNKNOWN)
            if outcome in outcomes
        )
        if not one.images([target]):
            served = f"CUDA {one.toolkit} does not know it" if one.toolkit else "no toolkit that is known has it"
        yield from style.wrap(
            style.safe((served or "none of these GPUs") + _made_by(one, target)), f"{target!s:<{width}}", tone="strong"
        )
    outcomes = one.outcomes(targets)
    yield ""
    for outcome, (word, tone) in _WORDS.items():
        if outcome in outcomes:
            yield from style.wrap(style.safe(_names(one.devices, outcomes, outcome)), f"{word:<10}", tone=tone)


def _made_by(one: JudgedList, target: Target) -> str:
    """The toolkits that have it, where the newest is not among them and none was named."""
    span = tables().emitting_toolkits(target)
    newest = tables().toolkits[-1].cuda
    if one.toolkit is not None or span is None or span[1] == newest:
        return ""
    return f" (by CUDA {span[1]} or older)"


def _names(devices: Sequence[Device], outcomes: Sequence[Outcome], wanted: Outcome) -> str:
    named = (device for device, outcome in zip(devices, outcomes, strict=True) if outcome is wanted)
    return ", ".join(
        dict.fromkeys(f"{one.name} ({one.capability})" if one.name else str(one.capability) for one in named)
    )


def _elsewhere(lists: Sequence[Spelling], style: Style) -> Iterator[str]:
    """The same targets for other tools, and those that cannot be asked for them."""
    if not lists:
        return
    yield ""
    width = max(columns(one.dialect) for one in lists) + 2
    for one in lists:
        if one.text is not None:
            # Never broken: it is there to be copied.
            yield f"{style.paint(f'{one.dialect:<{width}}', 'strong')}{style.safe(paste(one) or '')}"
    for one in lists:
        if one.problem is not None:
            yield from style.wrap(style.safe(f"cannot: {one.problem}"), f"{one.dialect:<{width}}", tone="strong")


# ---------------------------------------------------------------------------------------------------------
# All tools


def _side_by_side(text: str, heard: Sequence[JudgedList], style: Style) -> Iterator[str]:
    yield f"  {style.safe(text)}"
    yield ""
    names = [f"{one.reading.dialect} {one.version}" for one in heard]
    width = max(map(columns, names)) + 2
    for name, one in zip(names, heard, strict=True):
        reading = one.reading
        lead = f"{name:<{width}}"
        if reading.error is not None:
            yield from style.wrap(
                style.safe(f"stops: {reading.error.message} [{reading.error.code}]"), lead, tone="bad"
            )
        else:
            targets = " ".join(map(str, reading.targets or ())) or "nothing: no option is added"
            yield from style.wrap(targets, lead, tone="good")
        for note in reading.notes:
            if note.kind != "assumed":
                yield from style.wrap(style.safe(f"{note.kind}: {note.message}"), " " * width)


# ---------------------------------------------------------------------------------------------------------
# JSON


def reading_document(text: str, heard: Sequence[JudgedList]) -> dict[str, Any]:
    """The answer as plain values, in the shape that ``schema.json`` closes."""
    return {"schema": _SCHEMA, "list": text, "readings": [_reading(one) for one in heard]}


def _reading(one: JudgedList) -> dict[str, Any]:
    reading = one.reading
    error = reading.error
    whole = one.outcomes(reading.targets or ())
    return {
        "dialect": reading.dialect,
        "version": one.version,
        "origin": one.origin,
        "variable": one.variable,
        "ignored": one.ignored,
        "toolkit": str(one.toolkit) if one.toolkit is not None else None,
        "targets": None
        if reading.targets is None
        else [
            {"target": str(target), "gpus": _by_gpu(one.devices, one.outcomes([target]))} for target in reading.targets
        ],
        "error": None
        if error is None
        else {
            "code": error.code,
            "message": error.message,
            "way_out": error.way_out,
            "span": [error.start, error.end],
        },
        "notes": [
            {"kind": note.kind, "message": note.message, "span": [note.start, note.end]} for note in reading.notes
        ],
        "gpus": _by_gpu(one.devices, whole) if reading.targets else [],
        "lists": [list_object(other) for other in one.lists],
    }


def _by_gpu(devices: Sequence[Device], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [
        {"name": device.name, "capability": str(device.capability), "outcome": outcome}
        for device, outcome in zip(devices, outcomes, strict=True)
    ]
