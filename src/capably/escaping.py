r"""Text from outside, made fit to be shown: a terminal must not obey it, and a build server neither.

Names, versions and messages come from whoever built a file or runs a machine. One rule keeps them in their place, on
every stream and in every format: a line break in them is spelled out, so a line ends where capably ends it
(`printable`), and no line of an answer is a command to whoever reads the log (`inert`). `escaped` is both.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from typing import Any

__all__ = ["escaped", "inert", "json_text", "printable"]

# `##[error]` of GitHub and Azure, `##vso[…]`, `##teamcity[…]`: the first two count anywhere in a line.
_ANYWHERE = r"##(?=\w*\[)"
# `::error::` of GitHub, which skips white space before it; colours are skipped here too.
_FIRST = r"(?m)^((?:[^\S\n]|\x1b\[[0-9;]*m)*):(?=:)"


def printable(text: str, *, ascii_only: bool = False) -> str:
    r"""*text* with everything spelled out that a terminal might obey, hide or reorder, or that ends a line.

    >>> printable("a\x1b[31mb\n\u202ec")
    'a\\x1b[31mb\\x0a\\u202ec'
    >>> printable("é", ascii_only=True)
    '\\xe9'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() and (c.isascii() or not ascii_only) else _spelled(c) for c in text)


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escaped(line: str) -> str:
    """*line* as one line that is fit to be shown wherever lines go: `printable` and `inert`."""
    return inert(printable(line))


def inert(text: str) -> str:
    r"""Lines of printable *text*, none of which is a command to the server that a build runs on.

    >>> print(inert("::error::gone\n  ::set-output name=x::y\nlib##[error]x.so, std::vector, ## [1]"))
    \x3a:error::gone
      \x3a:set-output name=x::y
    lib#\x23[error]x.so, std::vector, ## [1]
    """
    if "::" not in text and "##" not in text:
        return text
    import re  # noqa: PLC0415 - 5 ms, and next to no text has either

    return re.sub(_FIRST, r"\1\\x3a", re.sub(_ANYWHERE, r"#\\x23", text))


def json_text(document: Any, indent: int | None = None) -> str:  # noqa: ANN401 - JSON has no narrower type
    r"""*document* as JSON, in ASCII: a name in it reaches a terminal as nothing else, and is no command either.

    >>> print(json_text({"é##[error]": "::x"}))
    {"\u00e9#\u0023[error]": "::x"}
    """
    import json  # noqa: PLC0415 - 5 ms, and importing capably needs none
    import re  # noqa: PLC0415 - as above

    # Outside of texts JSON has no `#`, and in one `\u0023` is the same.
    return re.sub(_ANYWHERE, r"#\\u0023", json.dumps(document, indent=indent, ensure_ascii=True))
