"""What the commands share: options, streams and the properties of the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from capably.report.layout import Style
from capably.report.safe import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["ProgressBar", "complain", "hint", "note", "output_options", "print_answer", "style_of"]

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def output_options(command: str) -> Callable[[_Command], _Command]:
    """The options that every command has: the format, the colour, and quiet."""

    def add(function: _Command) -> _Command:
        prefix = f"CAPABLY_{command.upper()}"
        for option in reversed(
            (
                click.option(
                    "--format",
                    "format_",
                    type=click.Choice(["text", "json"]),
                    default="text",
                    show_default=True,
                    envvar=[f"{prefix}_FORMAT", "CAPABLY_FORMAT"],
                    help="How to answer.",
                ),
                click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
                click.option(
                    "--color",
                    type=click.Choice(["auto", "always", "never"]),
                    default="auto",
                    show_default=True,
                    envvar=[f"{prefix}_COLOR", "CAPABLY_COLOR"],
                    help="Whether to colour text; auto does on a terminal.",
                ),
                click.option("-q", "--quiet", is_flag=True, help="No notes and no progress on standard error."),
            )
        ):
            function = option(function)
        return function

    return add


def _encodes(stream: TextIO) -> bool:
    """Whether more than ASCII can be written there."""
    try:
        "\N{HORIZONTAL ELLIPSIS}\N{MULTIPLICATION SIGN}".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    # Terminals of other encodings than UTF-8 show some characters and mangle others.
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def style_of(color: str) -> Style:
    """What standard output takes: 80 columns in a pipe, the terminal's own width on one."""
    terminal = sys.stdout.isatty()
    if color == "auto":
        if os.environ.get("NO_COLOR"):
            coloured = False
        elif os.environ.get("FORCE_COLOR"):
            coloured = True
        else:
            coloured = terminal and os.environ.get("TERM") != "dumb"
    else:
        coloured = color == "always"
    # Beyond 120 columns the eye loses the line; below 50 nothing lines up any more.
    width = min(max(shutil.get_terminal_size().columns, 50), 120) if terminal else 80
    return Style(width, coloured, not _encodes(sys.stdout))


def print_answer(text: str) -> None:
    """Write the answer to standard output. Whoever closes the pipe early has seen enough."""
    try:
        # click.echo lets colours through to terminals of old Windows too.
        click.echo(text, nl=False, color=True)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Write *text* to standard error, each line fit to print."""
    ascii_only = not _encodes(sys.stderr)
    lines = (printable(line, ascii_only=ascii_only) for line in text.split("\n"))
    click.echo("\n".join(lines), err=True)


def hint(text: str) -> None:
    """What to do about an error."""
    if text:
        complain(f"hint: {text}")


def note(text: str, *, quiet: bool) -> None:
    """Something that a person should know and a program need not."""
    if not quiet:
        complain(f"note: {text}")


class ProgressBar:
    """Shows on a terminal what is being read, once that takes a while.

    Calling it is cheap; it is made to be handed to the scanner.
    """

    patience = 0.5
    """Seconds before anything is shown."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._start = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        """The bytes of *name* that have been read."""
        if not self._shown or time.monotonic() - self._start < self.patience:
            return
        if self._bar is None:
            self._open()
        # The name comes from a file and is no markup, hence the column that takes it as it is.
        self._bar.update(self._task, description=printable(name)[-60:], completed=done, total=total or None)

    def _open(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - 40 ms, for terminals only
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415 - as above

        self._bar = Progress(
            TextColumn("reading"),
            BarColumn(20),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=None)
