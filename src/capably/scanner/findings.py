"""What is wrong with the files of a call: each said once, and no more of it than is of use."""

from __future__ import annotations

from collections import Counter

from capably.facts import Finding

__all__ = ["Findings"]

# Of one code about one file: a library of a thousand damaged fatbins must not drown the others.
_MOST_ALIKE = 20
_MOST_LOGGED = 1_000  # far more than are remembered of a file


class Findings:
    """Findings in order, each once, and no more of them than the limits allow.

    Args:
        most: How many to keep, besides the one that the artifact has no GPU code.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: dict[Finding, None] = {}
        self._alike: Counter[tuple[str, str]] = Counter()
        self.log: list[list[str]] | None = None
        """Every one that is noted, while it is a list, or the first thousand."""

    def add(self, code: str, path: str, message: str) -> None:
        """Note one."""
        if self.log is not None and len(self.log) < _MOST_LOGGED:
            self.log.append([code, path, message])
        if len(self._all) >= self._most and code != "no-gpu-code":
            return  # without a count: names of files would be kept for nothing
        if Finding(code, path, message) in self._all:
            return
        self._alike[code, path] += 1
        alike = self._alike[code, path]
        if alike > _MOST_ALIKE:
            return
        if alike == _MOST_ALIKE:
            message = "There is more of this than is kept."
        if len(self._all) < self._most - 1 or code == "no-gpu-code":
            self._all[Finding(code, path, message)] = None
        elif len(self._all) < self._most:
            self._all[Finding("limit-reached", path, "There are more findings than are kept.")] = None

    def __bool__(self) -> bool:
        return bool(self._all)

    def take(self) -> tuple[Finding, ...]:
        """All of them."""
        return tuple(self._all)
