"""``capably plan --read``: what tools make of a list of architectures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from capably.archlist import DIALECTS, VARIABLES, Note, NoteKind, applying, read, refusal
from capably.cli.console import print_answer, style_of
from capably.cli.targets import read_driver, read_gpus
from capably.cli.tools import parse_tool
from capably.codes import Outcome
from capably.facts import Device
from capably.list_output import deciding, spell
from capably.plan.judged_list import JudgedList
from capably.report.archlist import reading_document, readings_text
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.arch import Target
    from capably.cli.tools import Versions
    from capably.facts import Driver
    from capably.report.plan import Tool
    from capably.version import CudaVersion

__all__ = ["read_list"]


def read_list(
    text: str,
    tool: str | None,
    gpus: tuple[str, ...],
    toolkit: CudaVersion | None,
    versions: Versions,
    *,
    driver: str | None,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """Print what the tool makes of *text*, or each of them.

    Args:
        text: The list.
        tool: As for ``--for``; None for all side by side.
        gpus: As for ``--gpu``: what automatic detection finds, and what the answer is about. Empty: no GPU is taken to
            be visible, and the answer is about all capabilities that have a product.
        toolkit: The compiler; None if none was named.
        driver: As for ``--driver``; None for the newest that serves each GPU.
        versions: Of the tools.
        as_json: Answer in JSON.
        color: As for ``--color``.
        quiet: As for ``--quiet``.

    Returns:
        The exit code: 1 where the one tool stops or refuses, or leaves one of *gpus* without code; 3 where that is not known.

    Raises:
        WrongUseError: *tool* is not a name, or not of a tool that has versions of its own.
        UnknownNameError: There is no such tool, or GPU.
        ParseError: The version of *tool* is none.
    """
    devices = read_gpus(gpus) if gpus else ()
    by = read_driver(driver) if driver is not None else None
    cuda = toolkit or tables().toolkits[-1].cuda
    names = DIALECTS if tool is None else (tool,)
    asked = [parse_tool(name, versions, cuda, quiet=quiet or tool is None) for name in names]
    heard = [_heard(text, one, devices, toolkit, by) for one in asked]
    if as_json:
        from capably.report.machine import dumps  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(reading_document(text, heard)) + "\n")
    else:
        print_answer(readings_text(text, heard, style_of(color)))
    return 0 if tool is None else _code(heard[0], devices)


def _code(one: JudgedList, devices: Sequence[Device]) -> int:
    if one.reading.targets is None or any(note.kind is NoteKind.REFUSED for note in one.reading.notes):
        return 1
    outcomes = one.outcomes(one.reading.targets) if devices and one.reading.targets else ()
    return 1 if Outcome.FAILS in outcomes else 3 if Outcome.UNKNOWN in outcomes else 0


def _heard(
    text: str, tool: Tool, devices: tuple[Device, ...], toolkit: CudaVersion | None, driver: Driver | None
) -> JudgedList:
    reading = read(
        text,
        tool.dialect,
        tool.version,
        devices=[device.capability for device in devices] if devices else None,
        toolkit=toolkit,
    )
    # Of a tool that reads the list of another, the reading is that other's.
    if tool.asked != tool.dialect and (why := refusal(tool.asked, tool.version_asked, text)):
        refused = Note(NoteKind.REFUSED, f"{tool.asked} {tool.version_asked} refuses the list: {why}", 0, len(text))
        reading = replace(reading, notes=(*reading.notes, refused))
    compiler = toolkit or _able(reading.targets or ())
    lists = (
        ()
        if not reading.targets
        else tuple(
            spell(reading.targets, other, str(compiler) if other.startswith("nvcc-") else None, toolkit=compiler)
            for other in DIALECTS
            if other != tool.dialect and deciding(other) == other
        )
    )
    return JudgedList(
        reading,
        tool.version or _newest(tool.dialect),
        tool.origin,
        VARIABLES[tool.dialect],
        applying(tool.dialect, tool.version).ignored,
        # Without the products that stand for them: the answer is about capabilities.
        devices or tuple(Device(device.capability) for device in read_gpus(["all"])),
        toolkit,
        driver,
        lists,
    )


def _able(targets: Iterable[Target]) -> CudaVersion:
    """The newest toolkit that knows all of *targets*; where none does, the newest of all."""
    known = tables().toolkits
    able = [toolkit for toolkit in known if all(map(toolkit.emits, targets))] or known
    return able[-1].cuda


def _newest(dialect: str) -> str:
    """The newest version of the tool that the table was taken from."""
    return next(row.read[-1] for row in reversed(tables().dialects) if row.dialect == dialect and row.read)
