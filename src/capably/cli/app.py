"""The group of commands, and what becomes of their errors."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING

import click

from capably import __version__
from capably.cli import is_of_the_extra
from capably.cli.console import OutputError, complain, explain, give_up_output, hint
from capably.errors import CapablyError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["cli", "run"]

# Name -> module, attribute and the first line of its help, so that --help imports no command.
_COMMANDS = {
    "check": ("capably.cli.check", "check", "Which artifacts run on which GPUs, and why not."),
    "explain": ("capably.cli.explain", "explain", "What a code or an error message means."),
    "plan": ("capably.cli.plan", "plan", "Which targets to build for given GPUs, as every tool wants them."),
    "require": ("capably.cli.require", "require", "Whether the GPUs here meet a requirement, for scripts."),
    "audit": ("capably.cli.audit", "audit", "Whether a wheel holds what its project promises, before it is released."),
    "doctor": ("capably.cli.doctor", "doctor", "This machine, from driver to packages, and what is wrong."),
    "scan": ("capably.cli.scan", "scan", "What GPU code files hold."),
    "gpus": ("capably.cli.gpus", "gpus", "The GPUs that are known by name."),
    "cache": ("capably.cli.cache", "cache", "The results of scans and the wheels that are kept."),
    "conform": ("capably.cli.conform", "conform", "Answer recorded cases (plumbing)."),
}


class _Commands(click.Group):
    """Imports a command when it is run and no sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib  # noqa: PLC0415 - for mistakes only

            raise UnknownNameError("command", name, tuple(difflib.get_close_matches(name, _COMMANDS, n=1)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 answered; 1 a definite breach of --fail-on; 2 wrong use or an error; 3 cannot tell. "
    "Each option can be set by a variable: CAPABLY_CHECK_GPU for check --gpu, and so on. NO_COLOR and FORCE_COLOR "
    "are respected.",
)
@click.version_option(__version__, "-V", "--version", message="capably %(version)s")
def cli() -> None:
    """Which GPU code runs on which NVIDIA GPU, and why not.

    \b
    capably check torch --gpu "RTX 5090"
    capably check dist/*.whl --gpu "T4, A100, H100" --fail-on partial
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are


def run(arguments: Sequence[str]) -> int:
    """Run a command; every exception becomes a message and an exit code here."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a character that a terminal lacks is no bug
    try:
        result = cli.main(list(arguments), prog_name="capably", standalone_mode=False, auto_envvar_prefix="CAPABLY")
    except SystemExit as error:  # of a command, or of click's shell completion
        return error.code if isinstance(error.code, int) else 2 * bool(error.code)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        complain(*error.format_message().split("\n"))  # our own help
        return 2
    except click.ClickException as error:
        return _wrong_use(error)
    except CapablyError as error:
        explain(error)
        if isinstance(error, UnknownNameError):
            hint(_WHERE_NAMES_ARE.get(error.what, ""))
        return 2
    except Exception as error:
        if is_of_the_extra(error):
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            give_up_output()  # a help text or the version, which click writes itself
            explain(OutputError(error.strerror or "no space left"))
            return 2
        if isinstance(error, FileNotFoundError) and _is_nowhere():
            complain("error: the current folder is gone, and what was asked counts from there")
            hint("go to a folder that is there")
            return 2
        import platform  # noqa: PLC0415 - never, it is hoped

        complain("error: this is a bug in capably; the answer could not be given")
        version = f"capably {__version__}, Python {platform.python_version()}, {sys.platform}"
        hint(f"please report it with the command line, the versions ({version}) and what follows")
        complain(*_trace(error))
        return 2
    return result if isinstance(result, int) else 0


def _is_nowhere() -> bool:
    """Whether the current folder has been removed."""
    try:
        os.getcwd()  # noqa: PTH109 - what any path from here on asks
    except FileNotFoundError:
        return True
    return False


def _trace(error: BaseException) -> Iterator[str]:
    """Where *error* was raised, as Python writes it, but for its own text: that stays one line."""
    import traceback  # noqa: PLC0415 - see `run`

    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from (*_trace(cause), "", "and then:", "")
    yield "Traceback (most recent call last):"
    for entry in traceback.format_tb(error.__traceback__):
        yield from entry.rstrip("\n").split("\n")
    yield f"{type(error).__name__}: {error}"


_WHERE_NAMES_ARE = {
    "GPU": "`capably gpus` lists all names; a compute capability such as `12.0` or `sm_120` is taken too",
    "code": "`capably explain` lists all codes",
    "command": "`capably --help` lists all commands",
}


def _wrong_use(error: click.ClickException) -> int:
    message = error.format_message().rstrip(".")
    complain(f"error: {message[:1].lower()}{message[1:]}")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint(f"see `{error.ctx.command_path} --help`")
    return 2
