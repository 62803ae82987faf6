"""Lists of targets as they are pasted into a shell or a build file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capably.list_output import Spelling

__all__ = ["paste", "shell_line"]


def paste(spelling: Spelling) -> str | None:
    """What to paste: the option with its list, or the variable; None where there is none."""
    if spelling.text is None:
        return None
    if spelling.dialect == "nvcc-gencode":
        return spelling.text
    option = spelling.option if spelling.option is not None else f"{spelling.variable}="
    return f"{option}{_quoted(spelling.text)}"


def shell_line(spelling: Spelling, shell: str) -> str | None:
    """What a shell is to evaluate; None where the tool reads no variable of the environment.

    Args:
        spelling: The list.
        shell: ``posix`` (sh, bash, zsh) or ``fish``.
    """
    if spelling.variable is None or spelling.value is None:
        return None
    value = _quoted(spelling.value)
    return f"set -gx {spelling.variable} {value}" if shell == "fish" else f"export {spelling.variable}={value}"


def _quoted(text: str) -> str:
    """In single quotes, where a shell would not leave it as it is. Lists hold no quotes themselves."""
    plain = all(character.isalnum() or character in "._=,+-" for character in text)
    return text if plain else f"'{text}'"
