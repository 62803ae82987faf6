"""What people write as ARTIFACT, read into facts."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from capably.errors import CapablyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from capably.facts import Artifact

    Progress = Callable[[str, int, int], None]

__all__ = ["NoArtifactError", "read_artifacts", "read_environment"]


class NoArtifactError(CapablyError):
    """Neither a file nor a distribution is called so.

    Attributes:
        asked: As it was given.
        close: Names of files or distributions that are close.
    """

    def __init__(self, asked: str, close: tuple[str, ...] = ()) -> None:
        super().__init__(asked, close)
        self.asked = asked
        self.close = close

    def __str__(self) -> str:
        if _looks_like_path(self.asked):
            text = f"no such file or directory: `{self.asked}`"
        else:
            text = f"no file and no installed distribution is called `{self.asked}`"
        return text + (f"; did you mean {' or '.join(f'`{name}`' for name in self.close)}?" if self.close else "")


def _looks_like_path(text: str) -> bool:
    return "/" in text or "\\" in text or Path(text).suffix in (".whl", ".so", ".zip", ".pyd", ".dll", ".cubin", ".a")


def read_artifacts(
    asked: Sequence[str],
    *,
    python: str | None,
    fetch_pinned: Callable[[str], Path],
    progress: Progress,
    report: Callable[[CapablyError], None],
) -> Iterator[tuple[str, Artifact]]:
    """Each artifact under the name by which it was asked for.

    Args:
        asked: Paths, names of installed distributions, or ``name==version``.
        python: See `capably.cli.environment.find_environment`.
        fetch_pinned: Brings a ``name==version`` here.
        progress: See `capably.scanner.scan`.
        report: Is told about one that cannot be read; the others are still read.
    """
    for text in asked:
        try:
            yield text, _read(text, python, fetch_pinned, progress)
        except CapablyError as error:
            report(error)


def _read(text: str, python: str | None, fetch_pinned: Callable[[str], Path], progress: Progress) -> Artifact:
    from capably.cli.fetch import is_pinned  # noqa: PLC0415 - only commands that read need it
    from capably.scanner import scan, scan_distribution  # noqa: PLC0415 - as above

    path = Path(text)
    if _exists(path):
        return scan(path, progress=progress)
    if is_pinned(text):
        return scan(fetch_pinned(text), progress=progress)
    if _looks_like_path(text):
        siblings = [str(path.parent / other.name) for other in _siblings(path)]
        raise NoArtifactError(text, tuple(difflib.get_close_matches(text, siblings, n=1)))
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - 8 ms

    from capably.cli.environment import distributions, find_environment  # noqa: PLC0415 - 30 ms

    environment = find_environment(python)
    installed = distributions(environment)
    distribution = installed.get(canonicalize_name(text))
    if distribution is None:
        error = NoArtifactError(text, tuple(difflib.get_close_matches(canonicalize_name(text), installed, n=2)))
        where = f"looked at {len(installed)} distributions in {environment.place} ({environment.chosen_by})"
        error.add_note(f"{where}; `NAME==VERSION` fetches a release, --python names another environment")
        raise error
    return scan_distribution(distribution, progress=progress)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # longer than the system allows, or with a null byte: no path
        return False


def _siblings(path: Path) -> list[Path]:
    try:
        return sorted(path.parent.iterdir())
    except (OSError, ValueError):
        return []


def read_environment(
    python: str | None,
    *,
    announce: Callable[[str], None],
    progress: Progress,
    report: Callable[[CapablyError], None],
) -> list[tuple[str, Artifact]]:
    """Every installed distribution that holds GPU code.

    Args:
        python: See `capably.cli.environment.find_environment`.
        announce: Is told which environment it is.
        progress: See `capably.scanner.scan`.
        report: Is told about a distribution that cannot be read.
    """
    from capably.cli.environment import distributions, find_environment  # noqa: PLC0415 - 30 ms
    from capably.scanner import scan_distribution  # noqa: PLC0415 - as above

    environment = find_environment(python)
    installed = distributions(environment)
    which = f"{environment.place} ({environment.chosen_by})"
    announce(f"looking for GPU code in the {len(installed)} distributions installed in {which}")
    found = []
    for name, distribution in installed.items():
        try:
            artifact = scan_distribution(distribution, progress=progress)
        except CapablyError as error:
            report(error)
            continue
        if artifact.libraries:
            found.append((name, artifact))
    return found
