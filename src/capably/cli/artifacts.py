"""What people write as ARTIFACT, read into facts."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING

from capably.cli.console import WrongUseError, shown_path
from capably.errors import CapablyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from capably.cli.environment import Environment
    from capably.facts import Artifact
    from capably.scanner.metadata import Distribution
    from capably.store import Store

    Progress = Callable[[str, int, int], None]

__all__ = ["NoArtifactError", "no_file", "read_artifacts", "read_environment"]


class NoArtifactError(CapablyError):
    """Neither a file nor a distribution is called so.

    Attributes:
        asked: As it was given.
        close: Names of files or distributions that are close.
        leads_to: For a link: the file that is not there.
        is_path: It can be nothing but a path.
    """

    def __init__(
        self, asked: str, close: tuple[str, ...] = (), leads_to: str | None = None, *, is_path: bool = False
    ) -> None:
        super().__init__(asked, close, leads_to)
        self.asked = asked
        self.close = close
        self.leads_to = leads_to
        self.is_path = is_path

    def _said(self) -> str:
        if self.leads_to is not None:
            return f"`{self.asked}` is a link to `{self.leads_to}`, which is not there"
        if self.is_path:
            text = f"no such file or directory: `{self.asked}`"
        else:
            text = f"no file and no installed distribution is called `{self.asked}`"
        return text + (f"; did you mean {' or '.join(f'`{name}`' for name in self.close)}?" if self.close else "")


def _looks_like_path(text: str) -> bool:
    suffix = os.path.splitext(text)[1]  # noqa: PTH122 - importing pathlib takes 3 ms
    return "/" in text or "\\" in text or suffix in (".whl", ".so", ".zip", ".pyd", ".dll", ".cubin", ".a")


def read_artifacts(
    asked: Sequence[str],
    *,
    python: str | None,
    fetch_pinned: Callable[[str], Path],
    progress: Progress,
    report: Callable[[str, CapablyError], None],
    store: Store | None = None,
    with_sha256: bool = False,
    with_kernels: bool = False,
    step: Callable[[int, int], object] = lambda _number, _total: None,
) -> Iterator[tuple[str, Artifact]]:
    """Each artifact under the name by which it was asked for.

    Args:
        asked: Paths, names of installed distributions, or ``name==version``.
        python: See `capably.cli.environment.find_environment`.
        fetch_pinned: Brings a ``name==version`` here.
        progress: See `capably.scanner.scan`.
        report: Is told about one that cannot be read, under its name; the others are still read.
        store: See `capably.scanner.scan`.
        with_sha256: Whether to hash files.
        with_kernels: Whether to read the kernels of each image.
        step: Is told which of how many is read now.

    Raises:
        WrongUseError: A name and a version are apart.
    """
    if any(text.startswith("==") or text.endswith("==") for text in asked):
        joined = re.sub(r" *== *", "==", " ".join(asked))
        raise WrongUseError(f"a release is written in one word, without spaces: `{joined}`")
    from capably.scanner import scan, scan_distribution  # noqa: PLC0415 - only commands that read need it

    @functools.cache  # thousands of files
    def installed() -> tuple[Environment, Mapping[str, Distribution]]:
        from capably.cli.environment import distributions, find_environment  # noqa: PLC0415 - 30 ms

        environment = find_environment(python)
        return environment, distributions(environment)

    for number, text in enumerate(asked, 1):
        step(number, len(asked))
        try:
            found = _find(text, installed, fetch_pinned)
            if isinstance(found, str):
                yield (
                    text,
                    scan(found, progress=progress, with_sha256=with_sha256, with_kernels=with_kernels, store=store),
                )
            else:
                yield (
                    text,
                    scan_distribution(
                        found, progress=progress, with_sha256=with_sha256, with_kernels=with_kernels, store=store
                    ),
                )
        except CapablyError as error:
            report(text, error)


# What pip would take and capably does not: URLs, extras, ranges, markers.
_OTHER_FORM = r"[A-Za-z0-9][\w.-]*(?:\[| *[<>=!~@;]).*|[a-z+]+:(?://)?.+"
_NAME = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?"


def _find(
    text: str,
    installed: Callable[[], tuple[Environment, Mapping[str, Distribution]]],
    fetch_pinned: Callable[[str], Path],
) -> str | Distribution:
    """What *text* names: a path, what is fetched for it, or an installed distribution."""
    if not text.strip():
        raise WrongUseError("an empty name is no artifact; the current folder is `.`")
    if os.path.exists(text):  # noqa: PTH110 - importing pathlib takes 3 ms
        return text
    import difflib  # noqa: PLC0415 - for mistakes

    from capably.cli.fetch import is_pinned  # noqa: PLC0415 - subprocess and packaging, 20 ms

    if is_pinned(text):
        return str(fetch_pinned(text))
    missing = no_file(text)
    if missing.leads_to is not None:
        raise missing
    if re.fullmatch(_OTHER_FORM, text, re.DOTALL):
        raise WrongUseError(
            f"`{text}`: this form is not supported; write NAME==VERSION, a path or the name of what is installed"
        )
    if _looks_like_path(text):
        raise missing
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - 8 ms

    environment, known = installed()
    distribution = known.get(canonicalize_name(text))
    if distribution is None:
        error = NoArtifactError(text, tuple(difflib.get_close_matches(canonicalize_name(text), known, n=2, cutoff=0.7)))
        where = f"looked at {len(known)} distributions in {environment.place} ({environment.chosen_by})"
        release = f"`{text}==VERSION` fetches a release, " if re.fullmatch(_NAME, text) else ""
        error.add_note(f"{where}; {release}--python names another environment")
        raise error
    return distribution


def no_file(text: str) -> NoArtifactError:
    """What to say of a path where nothing is."""
    import difflib  # noqa: PLC0415 - for mistakes
    from pathlib import Path  # noqa: PLC0415 - importing it takes 3 ms

    path = Path(text)
    if _is_link(path):
        return NoArtifactError(text, leads_to=shown_path(path.parent / path.readlink()))
    siblings = [str(path.parent / other.name) for other in _siblings(path)]
    return NoArtifactError(text, tuple(difflib.get_close_matches(text, siblings, n=1)), is_path=True)


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
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
    report: Callable[[str, CapablyError], None],
    store: Store | None = None,
    with_kernels: bool = False,
) -> list[tuple[str, Artifact]]:
    """Every installed distribution that holds GPU code, and those whose metadata are damaged.

    Args:
        python: See `capably.cli.environment.find_environment`.
        announce: Is told which environment it is.
        progress: See `capably.scanner.scan`.
        report: Is told about a distribution that cannot be read.
        store: See `capably.scanner.scan`.
        with_kernels: Whether to read the kernels of each image.
    """
    from capably.cli.environment import distributions, find_environment  # noqa: PLC0415 - 30 ms
    from capably.facts import DAMAGE  # noqa: PLC0415 - as above
    from capably.scanner import scan_distribution  # noqa: PLC0415 - as above

    environment = find_environment(python)
    installed = distributions(environment)
    which = f"{environment.place} ({environment.chosen_by})"
    announce(f"looking for GPU code in the {len(installed)} distributions installed in {which}")
    found = []
    for name, distribution in installed.items():
        try:
            artifact = scan_distribution(distribution, progress=progress, with_kernels=with_kernels, store=store)
        except CapablyError as error:
            report(name, error)
            continue
        if artifact.libraries or any(finding.code in DAMAGE for finding in artifact.findings):
            found.append((name, artifact))
    return found
