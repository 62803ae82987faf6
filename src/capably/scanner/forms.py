"""What a file is: by its first bytes, or as source by its name."""

from __future__ import annotations

import enum
import re

from capably.scanner import ar, ptx
from capably.scanner.cubin import EM_CUDA
from capably.scanner.fatbin import MAGIC
from capably.scanner.pe import is_coff, is_pe
from capably.scanner.tar import is_tar

__all__ = ["ARCHIVES", "HEAD_BYTES", "Form", "classify"]

# Enough for the program headers, and for the licence at the top of a PTX text.
HEAD_BYTES = ptx.HEAD_BYTES


class Form(enum.Enum):
    """What a file is: by its first bytes, or as source by its name."""

    ELF = "ELF"
    PE = "PE"
    COFF = "COFF"
    AR = "static library"
    CUBIN = "cubin"
    FATBIN = "fatbin"
    PTX = "PTX"
    ZIP = "zip"
    TAR = "tar"
    PACKED = "compressed"
    SOURCE = "source by name"
    OTHER = "other"


# What holds files, each of which counts for itself. The members of a static library count together.
ARCHIVES = frozenset({Form.ZIP, Form.TAR, Form.PACKED})
_PACKED = re.compile(rb"\x1f\x8b\x08|BZh[1-9](?:1AY&SY|\x17rE8P\x90)|\xfd7zXZ\0|\x28\xb5\x2f\xfd")


def classify(head: bytes) -> Form:
    """What a file is.

    Args:
        head: Its first `HEAD_BYTES` bytes, or all of them.
    """
    if head[:4] == b"\x7fELF":
        if len(head) >= 20 and head[5] == 1:
            if int.from_bytes(head[18:20], "little") == EM_CUDA:
                return Form.CUBIN
            if head[4] == 2:
                return Form.ELF
        return Form.OTHER
    if head[:4] == MAGIC:
        return Form.FATBIN
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Form.ZIP
    if is_pe(head):
        return Form.PE
    if head[:8] in (ar.MAGIC, ar.THIN_MAGIC):
        return Form.AR
    if _PACKED.match(head):
        return Form.PACKED
    if is_coff(head):
        return Form.COFF
    if b".version" in head and ptx.read_head(head) is not None:
        return Form.PTX
    return Form.TAR if is_tar(head) else Form.OTHER
