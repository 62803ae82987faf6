"""What the commands share: options, streams and the properties of the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, TextIO, TypeVar

import click

from capably.errors import CapablyError
from capably.escaping import inert, printable
from capably.report.safe import clip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import BinaryIO

    from capably.compat import Self
    from capably.report.layout import Style

__all__ = [
    "OutputError",
    "ProgressBar",
    "WrongUseError",
    "complain",
    "explain",
    "give_up_output",
    "hint",
    "note",
    "open_stream",
    "output_options",
    "print_answer",
    "shown_path",
    "style_of",
]

_Command = TypeVar("_Command", bound="Callable[..., Any]")


_LEAST, _MOST = 60, 160
_LONGEST = 1_000
"""Columns of a line on standard error. Names of files and members can be as long as whoever wrote them likes."""


class WrongUseError(CapablyError):
    """What was written does not mean anything, in one sentence."""


class OutputError(CapablyError):
    """The answer could not be written.

    Attributes:
        problem: What the operating system said.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def _said(self) -> str:
        return f"cannot write the answer: {self.problem}"


def shown_path(place: str | os.PathLike[str]) -> str:
    """A path without the name of the user: the home directory is `~`."""
    from pathlib import Path  # noqa: PLC0415 - 3 ms, and most answers name no place

    path = Path(place).absolute()
    with contextlib.suppress(ValueError, RuntimeError):  # elsewhere, or there is no home
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    return re.sub(r"^((?:[A-Za-z]:)?[/\\](?:home|Users)[/\\])[^/\\]+", r"\1...", os.fspath(place))


def output_options(command: str, formats: Sequence[str] = ("text", "json")) -> Callable[[_Command], _Command]:
    """The options that every command has: the format, one of *formats*, the colour, and quiet."""

    def add(function: _Command) -> _Command:
        prefix = f"CAPABLY_{command.upper()}"
        for option in reversed(
            (
                click.option(
                    "--format",
                    "format_",
                    type=click.Choice(formats),
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
                    help="Whether to colour text; auto does on a terminal. Green is yes, cyan yes by a compiler, yellow partly, "
                    "red no, magenta unknown: each stands there in words, too.",
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


def _colours(color: str, stream: TextIO) -> bool:
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def style_of(color: str) -> Style:
    """What standard output takes: COLUMNS, else the terminal's own width, else 80 columns."""
    from capably.report.layout import Style  # noqa: PLC0415 - JSON needs none

    width = 80
    if os.environ.get("COLUMNS", "").isdecimal() or sys.stdout.isatty():
        import shutil  # noqa: PLC0415 - 2 ms, for terminals only

        width = shutil.get_terminal_size().columns
    # Beyond 160 columns the eye loses the line; below 60 nothing lines up any more.
    return Style(min(max(width, _LEAST), _MOST), _colours(color, sys.stdout), not _encodes(sys.stdout))


def print_answer(text: str, *, commands: bool = False) -> None:
    """Write the answer to standard output. Whoever closes the pipe early has seen enough.

    Args:
        text: Printable lines. What is in them from outside is no command to a build server: it is made inert here,
            after lines were wrapped, since a name may begin one then.
        commands: They are such commands, and say so themselves.

    Raises:
        OutputError: It could not be written, because the disk is full, say.
    """
    text = text if commands else inert(text)
    try:
        # click.echo lets colours through to terminals of old Windows too.
        click.echo(text, nl=False, color=True)
        sys.stdout.flush()
    except OSError as error:
        give_up_output()
        if not isinstance(error, BrokenPipeError):
            raise OutputError(error.strerror or type(error).__name__) from error


@contextlib.contextmanager
def open_stream(place: str) -> Iterator[BinaryIO]:
    """A file to be read in pieces; `-`, or a pipe that was handed over, is a stream that need not end.

    Raises:
        WrongUseError: It cannot be opened or read, or is no regular file: a named pipe may have nobody to write to it.
    """
    from capably.bounded import NOT_REGULAR, handed, open_regular  # noqa: PLC0415 - most commands stream nothing

    if "\0" in place:
        raise WrongUseError(f"{place}: no file can be called so")
    try:
        if place == "-":
            yield sys.stdin.buffer
        elif (number := handed(place)) is not None:
            with open(number, "rb", closefd=False) as pipe:
                yield pipe
        else:
            with open(open_regular(place), "rb") as file:  # noqa: PTH123 - as above
                yield file
    except OSError as error:
        wrong = WrongUseError(f"{place}: {error.strerror or type(error).__name__}")
        if error.strerror == NOT_REGULAR:
            wrong.add_note("what comes out of a pipe is read with `-`")
        raise wrong from error


def give_up_output() -> None:
    """Let what is left of standard output go nowhere: Python flushes once more at exit, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(*lines: str) -> None:
    """Write lines to standard error. Each stays one line, whatever is in it: line breaks are spelled out."""
    ProgressBar.clear()  # or both would be in one line
    ascii_only = not _encodes(sys.stderr)
    shown = (clip(printable(line, ascii_only=ascii_only), _LONGEST, ascii_only=ascii_only) for line in lines)
    with contextlib.suppress(OSError):  # there is no place left to complain about it
        click.echo(inert("\n".join(shown)), err=True)


def explain(error: CapablyError) -> None:
    """Write an error to standard error, and what to do about it."""
    first, *others = error.as_lines()
    complain(f"error: {first}", *others)
    for text in (getattr(error, "hint", ""), *getattr(error, "__notes__", ())):
        hint(text)


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

    Calling it is cheap; it is made to be handed to the scanner. It goes away before anything else is written to
    standard error, and comes back when there is more to read.

    Args:
        quiet: Show nothing.
        color: As for `style_of`.
        doing: What is done, in a word.
    """

    patience = 0.5
    """Seconds before anything is shown."""
    _on_screen: ClassVar[Any] = None

    def __init__(self, *, quiet: bool, color: str = "auto", doing: str = "reading") -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._coloured = _colours(color, sys.stderr)
        self._doing = doing
        self._start = time.monotonic()
        self._task: Any = None
        self._place = ""

    def step(self, number: int, total: int) -> None:
        """Say which of how many things comes now, counted from 1."""
        self._place = f" {number} of {total}" if total > 1 else ""

    @classmethod
    def clear(cls) -> None:
        """Take the bar that is on the screen away, if there is one: something else is about to be written there."""
        bar, ProgressBar._on_screen = ProgressBar._on_screen, None
        if bar is not None:
            bar.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, name: str, done: int, total: int) -> None:
        """The bytes of *name* that have been read."""
        if not self._shown or time.monotonic() - self._start < self.patience:
            return
        if ProgressBar._on_screen is None:
            self._open()
        # The name comes from a file and is no markup, hence the column that takes it as it is.
        ProgressBar._on_screen.update(
            self._task,
            description=printable(name)[-60:],
            completed=done,
            total=total or None,
            doing=self._doing + self._place,
        )

    def _open(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - 40 ms, for terminals only
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn  # noqa: PLC0415 - as above

        ProgressBar._on_screen = bar = Progress(
            TextColumn("{task.fields[doing]}"),
            BarColumn(20),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True, no_color=not self._coloured),
            transient=True,
        )
        bar.start()
        self._task = bar.add_task("", total=None, doing=self._doing + self._place)
