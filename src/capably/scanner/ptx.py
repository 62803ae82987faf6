"""PTX text: its head and whether it defines anything.

Sources: PTX ISA, "PTX Module Directives"; texts of nvcc 11.8 to 13.5.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.scanner.search import first_match
from capably.version import PtxVersion

__all__ = ["HEAD_BYTES", "PtxHead", "entries", "has_code", "read_head"]

# Comments (licences, command lines) may precede the directives; 64 KiB of them were never seen.
HEAD_BYTES = 64 << 10

# What may stand between directives. It is skipped piece by piece, so that hostile text costs linear time: nothing skipped
# is ever looked at again. (Python 3.10 has no possessive repeats.)
_SKIPPED = re.compile(rb"[\s\x00]+|//[^\n]*\n|/\*.*?\*/", re.DOTALL)
_BYTE_ORDER = b"\xef\xbb\xbf"
_VERSION = re.compile(rb"\.version\s+([0-9]{1,3})\.([0-9]{1,3})(?![0-9])")
_TARGET = re.compile(rb"\.target\s+(?:sm|compute)_([0-9]{2,3})([af]?)(?![0-9A-Za-z_])")
_MOST_LINES = 50  # that have a directive in a comment; more of them are faster read from there on than one by one
_BLOCK_COMMENT = re.compile(rb"/\*")
_CODE = re.compile(rb"\"[^\"\n]*\"?|//[^\n]*|/\*.*?(?:\*/|\Z)|\.(entry|func)(?![0-9A-Za-z_$])", re.DOTALL)
_DIRECTIVE = re.compile(rb"\.(?:entry|func)(?![0-9A-Za-z_$])")
# What is no code: text in quotes and comments.
_NOISE = re.compile(rb"\"[^\"\n]*\"?|//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_ENTRY = re.compile(rb"\.entry\s+([A-Za-z_$%][0-9A-Za-z_$]*)")


class PtxHead(NamedTuple):
    """The directives at the top.

    Attributes:
        version: Of ``.version``.
        target: Of ``.target``, always virtual; None where it cannot be read.
    """

    version: PtxVersion
    target: Target | None


def read_head(text: bytes) -> PtxHead | None:
    """The head of a PTX text, or None where *text* does not begin like one.

    Args:
        text: Its first `HEAD_BYTES` bytes at most are looked at.
    """
    text = text[:HEAD_BYTES]
    found = _VERSION.match(text, _skip(text, len(_BYTE_ORDER) if text.startswith(_BYTE_ORDER) else 0))
    if found is None:
        return None
    version = PtxVersion(int(found[1]), int(found[2]))
    # A text whose target cannot be read is still PTX.
    found = _TARGET.match(text, _skip(text, found.end()))
    target = None
    if found is not None and int(found[1]) >= 10:
        capability = ComputeCapability.from_number(int(found[1]))
        target = Target(capability, Suffix(found[2].decode()), TargetKind.VIRTUAL)
    return PtxHead(version, target)


def _skip(text: bytes, position: int) -> int:
    """Where the space and the comments that begin at *position* end."""
    while (found := _SKIPPED.match(text, position)) is not None:
        position = found.end()
    return position


def has_code(text: bytes) -> bool:
    r"""Whether a text, or the beginning of one, has an ``.entry`` or a ``.func`` outside its comments.

    >>> has_code(b"// .entry a\n.visible .entry b(")
    True
    """
    clean = position = lines = 0  # before *clean* there is no code, and no comment that goes on behind it
    while (found := first_match(_DIRECTIVE, b".", text, position, len(text))) is not None:
        if lines == _MOST_LINES or first_match(_BLOCK_COMMENT, b"/", text, clean, found.start()) is not None:
            return any(match[1] is not None for match in _CODE.finditer(text, clean))
        # Other comments and text in quotes end with their line.
        clean, position = text.rfind(b"\n", 0, found.start()) + 1, text.find(b"\n", found.end())
        position = len(text) if position < 0 else position
        if any(match[1] is not None for match in _CODE.finditer(text, clean, position)):
            return True
        lines += 1
    return False


def entries(text: bytes, longest: int) -> list[bytes]:
    """Names of the kernels that *text* declares, each once, in order; those longer than *longest* are left out.

    >>> entries(b".visible .entry a(.param .u64 p) { ret; } // .entry b", 100)
    [b'a']
    """
    if b"/" in text or b'"' in text:
        text = _NOISE.sub(b" ", text)
    return list(dict.fromkeys(name for name in _ENTRY.findall(text) if len(name) <= longest))
