"""What is to be known beside an answer, of files and of machines."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DAMAGE", "Finding"]

DAMAGE = frozenset(("damaged-metadata", "damaged-record"))
"""Codes of findings about the files that tell of an installed distribution."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know beside the answer: damage, a limit, a host that does not fit.

    Attributes:
        code: Key in `capably.codes`.
        path: What it is about: a file, or a member of an archive.
        message: One sentence, for people.
    """

    code: str
    path: str
    message: str
