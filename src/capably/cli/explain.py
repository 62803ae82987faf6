"""``capably explain``: pages of codes, and what an error message means on this machine."""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capably.cli.console import WrongUseError, note, output_options, print_answer, style_of

if TYPE_CHECKING:
    from typing import BinaryIO

    from capably.facts import System
    from capably.knowledge import Cause
    from capably.reasons import Page

__all__ = ["explain"]


@click.command()
@click.argument("code", required=False, metavar="[CODE | -]")
@click.option("--log", "log", metavar="FILE", envvar="CAPABLY_EXPLAIN_LOG", help="A log to explain; - reads a pipe.")
@click.option(
    "--system",
    "record",
    metavar="FILE",
    envvar=["CAPABLY_EXPLAIN_SYSTEM", "CAPABLY_SYSTEM"],
    help="The recorded machine that the log comes from, instead of this one.",
)
@output_options("explain")
def explain(  # noqa: PLR0917 - click passes options by name
    code: str | None, log: str | None, record: str | None, format_: str, as_json: bool, color: str, quiet: bool
) -> int:
    """The page of a code; or what an error message means, and which of its causes holds here.

    CODE is that of a reason, a finding or a cause. With a log (--log FILE, or - for a pipe), the messages
    in it are recognised and their possible causes tested on this machine, or on a recorded one. Exits with
    3 where no message is recognised. Without anything: the list of codes.

    \b
    capably explain ptx-newer-than-driver
    python train.py 2>&1 | capably explain -
    capably explain --log crash.txt --system machine.json
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    from capably.report.machine import dumps  # noqa: PLC0415 - see capably.cli.app

    json_wanted = as_json or format_ == "json"
    if code not in (None, "-") and log is not None:
        raise WrongUseError("a code and a log are two questions: ask one of them")
    if code is not None and code != "-":
        return _page(code, json_wanted=json_wanted, color=color)
    if code is None and log is None and not _piped():
        from capably.report.explain import codes_document, codes_text  # noqa: PLC0415 - as above

        print_answer(dumps(codes_document()) + "\n" if json_wanted else codes_text(style_of(color)))
        return 0
    return _log(log or "-", record, json_wanted=json_wanted, color=color, quiet=quiet)


def _piped() -> bool:
    """Whether standard input brings something by itself: a pipe or a file, and no terminal or nothing."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    import stat  # noqa: PLC0415 - for this question only

    return stat.S_ISFIFO(mode) or (stat.S_ISREG(mode) and os.fstat(sys.stdin.fileno()).st_size > 0)


def _page(code: str, *, json_wanted: bool, color: str) -> int:
    from capably.errors import UnknownNameError  # noqa: PLC0415 - see capably.cli.app
    from capably.knowledge import tables  # noqa: PLC0415 - as above
    from capably.reasons import FINDINGS, REASONS  # noqa: PLC0415 - as above
    from capably.report.explain import page_document, page_text  # noqa: PLC0415 - as above
    from capably.report.machine import dumps  # noqa: PLC0415 - as above

    pages: dict[str, Page | Cause] = {**tables().causes, **FINDINGS, **REASONS}
    wanted = code.strip().lower().replace("_", "-")
    page = pages.get(wanted)
    if page is None:
        raise UnknownNameError("code", code, tuple(difflib.get_close_matches(wanted, pages, n=3)))
    print_answer(dumps(page_document(page)) + "\n" if json_wanted else page_text(page, style_of(color)))
    return 0


def _log(place: str, record: str | None, *, json_wanted: bool, color: str, quiet: bool) -> int:
    from capably import probe  # noqa: PLC0415 - see capably.cli.app
    from capably.messages import explain as explain_log  # noqa: PLC0415 - as above
    from capably.messages import recognise  # noqa: PLC0415 - as above
    from capably.report.explain import log_document, log_text  # noqa: PLC0415 - as above
    from capably.report.machine import dumps  # noqa: PLC0415 - as above

    text = _read(place)
    # The machine is looked at only where there is something to explain.
    system: System | None = None
    if recognise(text):
        system = probe.load(record) if record else probe.system()
        if record is None:
            note("by the facts of this machine; --system FILE names the one that the log comes from", quiet=quiet)
    found = explain_log(text, system)
    machine = "the recorded machine" if record else "this machine"
    if json_wanted:
        print_answer(dumps(log_document(found)) + "\n")
    elif found:
        print_answer(log_text(found, style_of(color), machine=machine))
    else:
        print_answer("no message that is known\n")
    return 0 if found else 3


def _read(place: str) -> bytes:
    """The end of a log."""
    try:
        if place == "-":
            return _tail(sys.stdin.buffer)
        with Path(place).open("rb") as file:
            return _tail(file)
    except OSError as error:
        raise WrongUseError(f"{place}: {error.strerror or type(error).__name__}") from error


def _tail(file: BinaryIO) -> bytes:
    from capably.messages import MOST_BYTES  # noqa: PLC0415 - see capably.cli.app

    kept = b""
    while block := file.read(1 << 20):
        kept = (kept + block)[-MOST_BYTES:]
    return kept
