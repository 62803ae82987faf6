"""What a plan was asked for: the toolkit and the tool, with where their versions come from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Origin", "Tool"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the version of the toolkit comes from: ``asked``, ``machine`` or ``newest-known``."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    """The tool that a plan is made for.

    Attributes:
        dialect: Of its list.
        version: None means the newest known.
        origin: Where the version comes from, for people.
        asked: The tool that was asked for: another one where that leaves it to this list.
        version_asked: Its version.
    """

    dialect: str
    version: str | None
    origin: str
    asked: str
    version_asked: str | None

    def __str__(self) -> str:
        return f"{self.dialect} {self.version} ({self.origin})" if self.version else f"{self.dialect} ({self.origin})"
