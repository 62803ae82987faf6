"""How an archive hands on what lies in it: to a walk that it need not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from capably.facts import Library
    from capably.scanner.content import Content
    from capably.scanner.forms import Form
    from capably.scanner.tally import Tally

__all__ = ["Read"]


class Read(Protocol):
    """As `capably.scanner.walk.scan_item`, which is the one there is."""

    def __call__(
        self, path: str, content: Content, head: bytes, form: Form, tally: Tally, *, depth: int
    ) -> Library | None:
        """Read a file that lies in an archive; what it is, if it holds GPU code by itself."""
        ...
