"""The options that say where artifacts come from, shared by the commands that read some."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from capably.cli.cache import open_files, open_store
from capably.cli.console import ProgressBar, explain, note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from capably.errors import CapablyError
    from capably.facts import Artifact

__all__ = ["ArtifactReader", "source_options"]

_Command = TypeVar("_Command", bound="Callable[..., Any]")


@dataclass(slots=True, eq=False, repr=False)
class ArtifactReader:
    """Reads what a command was asked for.

    Attributes:
        python: The interpreter or environment whose distributions are meant.
        index_url: For fetching, as are the following.
        extra_index_urls: Further indexes.
        python_version: The Python that wheels have to be for.
        platforms: Platform tags.
        offline: Nothing is fetched.
        no_cache: Results of scans are neither used nor kept.
        quiet: No notes, no progress.
        color: As for `capably.cli.console.style_of`.
        errors: What could not be read so far, by the name under which it was asked for.
    """

    python: str | None
    index_url: str | None
    extra_index_urls: tuple[str, ...]
    python_version: str | None
    platforms: tuple[str, ...]
    offline: bool
    no_cache: bool
    quiet: bool
    color: str
    errors: list[tuple[str, str]] = field(default_factory=list)

    def read(
        self,
        asked: Sequence[str],
        *,
        with_sha256: bool = False,
        with_kernels: bool = False,
        advice: Callable[[str], str] = lambda _: "",
    ) -> list[tuple[str, Artifact]]:
        """The artifacts, each under the name by which it was asked for; those of the environment without any.

        Args:
            asked: Paths, names of installed distributions, or ``name==version``.
            with_sha256: Whether to hash files.
            with_kernels: Whether to read the kernels of each image.
            advice: What else to say about a name that nothing is called.
        """
        from capably.cli.artifacts import NoArtifactError, read_artifacts, read_environment  # noqa: PLC0415 - slow

        def report(name: str, error: CapablyError) -> None:
            if isinstance(error, NoArtifactError) and (text := advice(name)):
                error.add_note(text)
            self.report(name, error)

        store = None if self.no_cache else open_store()
        with ProgressBar(quiet=self.quiet, color=self.color) as progress:
            if not asked:
                return read_environment(
                    self.python,
                    announce=lambda text: note(text, quiet=self.quiet),
                    progress=progress,
                    report=report,
                    store=store,
                    with_kernels=with_kernels,
                )
            return list(
                read_artifacts(
                    asked,
                    python=self.python,
                    fetch_pinned=self._fetch,
                    progress=progress,
                    report=report,
                    store=store,
                    with_sha256=with_sha256,
                    with_kernels=with_kernels,
                    step=progress.step,
                )
            )

    def report(self, name: str, error: CapablyError) -> None:
        """That *name* could not be read."""
        self.errors.append((name, str(error)))
        explain(error)

    def find_kernels(self, found: Sequence[tuple[str, Artifact]], pattern: str) -> frozenset[str]:
        """See `capably.cli.kernels.find_kernels`; nothing where nothing could be read."""
        from capably.cli.kernels import find_kernels  # noqa: PLC0415 - see capably.cli.app

        if not found and self.errors:
            return frozenset()
        with ProgressBar(quiet=self.quiet, color=self.color) as progress:
            return find_kernels((artifact for _, artifact in found), pattern, progress)

    def _fetch(self, requirement: str) -> Path:
        from capably.cli.fetch import fetch  # noqa: PLC0415 - see capably.cli.app

        wheel = fetch(
            requirement,
            store=open_files(),
            index_url=self.index_url,
            extra_index_urls=self.extra_index_urls,
            python_version=self.python_version,
            platforms=self.platforms,
            offline=self.offline,
            quiet=self.quiet,
            announce=lambda text: note(text, quiet=self.quiet),
        )
        note(f"{requirement} is {wheel.name}", quiet=self.quiet)
        return wheel


def source_options(command: str) -> Callable[[_Command], Callable[..., Any]]:
    """The options of `ArtifactReader`, which the command gets as ``reader``. They belong above `output_options`."""
    prefix = f"CAPABLY_{command.upper()}"
    options = (
        click.option(
            "--python",
            metavar="PATH",
            help="The interpreter or environment whose distributions are meant. Default: the active one, else "
            "capably's own.",
        ),
        click.option("--index-url", metavar="URL", help="For NAME==VERSION: the package index, as for pip."),
        click.option(
            "--extra-index-url",
            "extra_index_urls",
            multiple=True,
            metavar="URL",
            help="A further index; may be repeated.",
        ),
        click.option(
            "--python-version", metavar="VERSION", help="For NAME==VERSION: the Python that the wheel is for (3.12)."
        ),
        click.option(
            "--platform",
            "platforms",
            multiple=True,
            metavar="TAG",
            help="For NAME==VERSION: a platform tag (manylinux_2_28_x86_64); may be repeated.",
        ),
        click.option("--offline", is_flag=True, envvar=[f"{prefix}_OFFLINE", "CAPABLY_OFFLINE"], help="Fetch nothing."),
        click.option(
            "--no-cache",
            is_flag=True,
            envvar=[f"{prefix}_NO_CACHE", "CAPABLY_NO_CACHE"],
            help="Neither use nor keep results of scans; see `capably cache`.",
        ),
    )

    def add(function: _Command) -> Callable[..., Any]:
        @functools.wraps(function)
        def command_with_reader(  # noqa: PLR0917 - click passes options by name
            python: str | None,
            index_url: str | None,
            extra_index_urls: tuple[str, ...],
            python_version: str | None,
            platforms: tuple[str, ...],
            offline: bool,
            no_cache: bool,
            quiet: bool,
            color: str,
            **others: object,
        ) -> object:
            reader = ArtifactReader(
                python,
                index_url,
                extra_index_urls,
                python_version,
                platforms,
                offline=offline,
                no_cache=no_cache,
                quiet=quiet,
                color=color,
            )
            return function(reader=reader, quiet=quiet, color=color, **others)

        for option in reversed(options):
            command_with_reader = option(command_with_reader)
        return command_with_reader

    return add
