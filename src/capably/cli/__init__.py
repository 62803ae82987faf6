"""The command line. Answers go to standard output, everything else to standard error.

This module imports nothing heavy, so that ``capably --version`` costs no more than Python itself.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from capably import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


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
        sys.stdout.write(f"capably {__version__}\n")
        return 0
    from capably.cli.app import run  # noqa: PLC0415 - imports click

    return run(arguments)
