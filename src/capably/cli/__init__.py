"""The command line. Answers go to standard output, everything else to standard error.

This module imports nothing heavy, so that ``capably --version`` costs no more than Python itself.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from capably import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["is_of_the_extra", "main", "program"]

# Objects that came and did not go before the collector looks for circles among them; Python's 700 make it look a
# hundred times while modules are imported, for 10 ms in all.
_COLLECT_AFTER = 50_000
# Seconds until a thread that has inflated a chunk, in a millisecond, may go on with the next. Python's 5 ms are for
# threads that all compute.
_SWITCH_AFTER = 0.0001
# What the commands cannot do without. What else is in the extra only makes them faster, or lets them read more.
_OF_THE_EXTRA = frozenset({"click", "packaging", "platformdirs", "rich", "tomli"})
_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def program() -> NoReturn:
    """What the process of ``capably`` does: `main`, and then it ends."""
    try:
        import gc  # noqa: PLC0415 - only the process may decide on this

        gc.set_threshold(_COLLECT_AFTER)
        sys.setswitchinterval(_SWITCH_AFTER)
        _open_streams()
        code = main()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            sys.exit(code)  # Python complains about it as it does elsewhere
        import atexit  # noqa: PLC0415 - as above

        # The system takes back all memory at once, where Python would free each object, for 10 ms.
        atexit._run_exitfuncs()  # noqa: SLF001 - all else that an orderly end does
    except KeyboardInterrupt:  # while modules are imported, that of the words for it among them
        code = _INTERRUPTED
    os._exit(code)


def _open_streams() -> None:
    """Give standard streams that are closed (``>&-``) nothing to read or write, or files get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments behind the program's name; those of the process by default.

    Returns:
        The exit code: 0 answered; 1 a definite breach of what was asked for; 2 wrong use or an error; 3
        only unknowns stand between the answer and a pass; 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        try:
            sys.stdout.write(f"capably {__version__}\n")
            sys.stdout.flush()
            return 0  # noqa: TRY300 - as said
        except OSError:
            pass  # `run` meets the same, and has the words for it
    try:
        from capably.cli.app import run  # noqa: PLC0415 - imports click

        return run(arguments)
    except ModuleNotFoundError as error:
        if not is_of_the_extra(error):
            raise
        sys.stderr.write(f"capably: the commands need {error.name}: pip install 'capably[cli]'\n")
        return 2


def is_of_the_extra(error: Exception) -> bool:
    """Whether it says that a package is missing which the extra ``cli`` brings."""
    return isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _OF_THE_EXTRA
