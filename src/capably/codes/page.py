"""What a code means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Page"]


@dataclass(frozen=True, slots=True)
class Page:
    """What a code means.

    Attributes:
        code: The permanent, kebab-case name.
        title: The fact in a few words.
        message: One sentence with the parameters of a case in braces.
        cause: Why it is so.
        way_out: What to do, with the same parameters; empty where nothing is wrong.
        otherwise: Of a reason that lies in the driver or its settings: what is left of the way out where these stay
            as they are, or would change nothing; may be empty. None where the way out has nothing to do with them.
        sources: Keys in ``data/sources.json``.
        hides: Of a finding: something was not read, so there may be more than was judged.
        blocks: Of a finding: nothing of it is of use there, whatever the GPU code says.
        harmless: Of a finding: it says what a file is, and nothing is wrong.
        example: A value for each parameter, for documentation; those that are usual may be left out.
    """

    code: str
    title: str
    message: str
    cause: str
    way_out: str = ""
    sources: tuple[str, ...] = ()
    hides: bool = False
    blocks: bool = False
    harmless: bool = False
    otherwise: str | None = None
    example: Mapping[str, str] = field(default_factory=dict, hash=False)
