"""The options about kernels, and the search for some by name."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

import click

from capably.cli.console import WrongUseError
from capably.errors import CapablyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from capably.facts import Artifact

__all__ = ["NoKernelError", "find_kernels", "kernel_options"]

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_SECONDS = 60.0


def kernel_options(command: str) -> Callable[[_Command], _Command]:
    """``--kernels`` and ``--kernel``."""
    what = {
        "check": "Tell which kernels have nothing for a GPU. Decompresses all code; the cache is not used.",
        "scan": "Add the kernels, their registers and shared memory. Decompresses all code; the cache is not used.",
    }[command]

    def add(function: _Command) -> _Command:
        for option in (
            click.option(
                "--kernel",
                "pattern",
                metavar="PATTERN",
                help="Only kernels with PATTERN in their name, mangled or not, in any case; between slashes, a "
                "regular expression: /flash.*<float/. Implies --kernels.",
            ),
            click.option("--kernels", is_flag=True, help=what),
        ):
            function = option(function)
        return function

    return add


class NoKernelError(CapablyError):
    """No kernel has such a name.

    Attributes:
        pattern: What was looked for.
        close: Names that are close.
    """

    def __init__(self, pattern: str, close: tuple[str, ...] = ()) -> None:
        super().__init__(pattern, close)
        self.pattern = pattern
        self.close = close

    def _said(self) -> str:
        text = f"no kernel is called `{self.pattern}`"
        return text + (f"; did you mean {' or '.join(f'`{name}`' for name in self.close)}?" if self.close else "")


def find_kernels(
    artifacts: Iterable[Artifact], pattern: str, progress: Callable[[str, int, int], None], seconds: float = _SECONDS
) -> frozenset[str]:
    """The mangled names that *pattern* finds in artifacts that were scanned with their kernels.

    Args:
        artifacts: Where to look.
        pattern: A text, or a regular expression between slashes.
        progress: Is told how many names of how many were looked at.
        seconds: How long to look. Names are demangled for that, which takes a third of a millisecond for each; and
            there are regular expressions that never end.

    Raises:
        WrongUseError: It is empty, is no regular expression, or takes too long.
        NoKernelError: Nothing is called so.
    """
    names = list(
        dict.fromkeys(
            name
            for artifact in artifacts
            for library in artifact.libraries
            for found in library.kernels or ()
            for part in found.images
            for name in part.names or ()
        )
    )
    if not pattern.strip("/ "):
        raise WrongUseError("--kernel is empty: name a part of a kernel's name")
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        found = _matching(names, _expression(pattern[1:-1]), progress, seconds)
    else:
        folded = pattern.casefold()
        # An identifier is in the mangled name as it is, so nothing has to be demangled for it.
        found = [name for name in names if folded in name.casefold()] if re.fullmatch(r"\w+", pattern) else []
        found = found or _matching(names, lambda text, _: folded in text.casefold(), progress, seconds)
    if not found:
        raise NoKernelError(pattern, _close(names, pattern))
    return frozenset(found)


def _expression(text: str) -> Callable[[str, float], bool]:
    try:
        import regex  # noqa: PLC0415 - that of the standard library cannot be told when to give up
    except ImportError:
        raise WrongUseError(
            "--kernel /EXPRESSION/ needs the package regex, which is not installed (pip install 'capably[cli]'): name a "
            "part of the kernel's name"
        ) from None
    try:
        search = regex.compile(text, regex.IGNORECASE).search
    except regex.error as error:
        raise WrongUseError(f"--kernel: `{text}` is no regular expression: {error}") from None
    return lambda name, seconds: search(name, timeout=seconds) is not None


def _matching(
    names: Sequence[str],
    matches: Callable[[str, float], bool],
    progress: Callable[[str, int, int], None],
    seconds: float,
) -> list[str]:
    """The names that match, mangled or not."""
    from capably.report.names import demangled  # noqa: PLC0415 - see capably.cli.app

    stop = time.monotonic() + seconds
    found = []
    try:
        for index, name in enumerate(names):
            if not index % 64:
                progress("names of kernels", index, len(names))
            left = max(stop - time.monotonic(), 0.0)
            if matches(name, left) or matches(demangled(name), left):
                found.append(name)
    except TimeoutError:
        raise WrongUseError(
            f"--kernel: looking through {len(names)} names takes longer than {seconds:g} seconds: name an identifier "
            "alone, or write a simpler expression"
        ) from None
    return found


def _close(names: Sequence[str], pattern: str) -> tuple[str, ...]:
    """Identifiers in *names* that look like what was meant."""
    import difflib  # noqa: PLC0415 - for mistakes only

    from capably.report.names import families  # noqa: PLC0415 - see capably.cli.app

    words = re.findall(r"\w+", pattern)
    known = {word: None for family in families(names) for word in re.findall(r"\w{3,}", (family.name or "")[:500])}
    return tuple(difflib.get_close_matches(max(words, key=len), known, n=2)) if words else ()
