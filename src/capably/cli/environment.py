"""Python environments and the distributions in them, without running or importing anything of theirs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.cli.console import shown_path
from capably.cli.interpreters import EnvironmentProblem, package_folders

if TYPE_CHECKING:
    from capably.scanner.metadata import Distribution

__all__ = ["Environment", "EnvironmentProblem", "distributions", "find_environment"]


@dataclass(frozen=True, slots=True)
class Environment:
    """Where distributions are looked for.

    Attributes:
        place: Where it is, for people: without the name of the user.
        chosen_by: Why this one, for people.
        paths: Directories that hold distributions, in order.
        other: The interpreter on PATH, where that is of an environment that nobody chose; None where there is none.
    """

    place: str
    chosen_by: str
    paths: tuple[str, ...]
    other: str | None = None


def find_environment(python: str | None) -> Environment:
    """The environment of *python*, else the active one, else capably's own.

    Args:
        python: An interpreter, or the folder of an environment.

    Raises:
        EnvironmentProblem: The one that was named, or that is active, cannot be looked at.
    """
    if python is not None:
        return Environment(shown_path(python), "--python", package_folders(python))
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(variable)
        if not prefix:
            continue
        if os.path.realpath(prefix) == os.path.realpath(sys.prefix):
            break
        try:
            return Environment(shown_path(prefix), variable, package_folders(prefix))
        except EnvironmentProblem as error:
            error.add_note(f"{variable} names it; unset that, or name an interpreter with --python")
            raise
    other = _other_on_path()
    chosen_by = (
        "capably's own" if other is None else f"capably's own, not that of {other} on PATH: name it with --python"
    )
    return Environment(shown_path(sys.prefix), chosen_by, tuple(path for path in sys.path if path), other)


def _other_on_path() -> str | None:
    """The interpreter on PATH, where that is of an environment and capably runs in one of its own, as with uvx."""
    import shutil  # noqa: PLC0415 - for this question only

    for name in ("python", "python3"):
        found = shutil.which(name)
        if found is None:
            continue
        prefix = os.path.dirname(os.path.dirname(os.path.abspath(found)))  # noqa: PTH100, PTH120 - pathlib takes 3 ms
        if os.path.realpath(prefix) == os.path.realpath(sys.prefix):
            return None
        # A Python of the system holds what is meant as often as not: only an environment was chosen by somebody.
        if any(os.path.exists(os.path.join(prefix, mark)) for mark in ("pyvenv.cfg", "conda-meta")):  # noqa: PTH110, PTH118
            return shown_path(found)
    return None


def distributions(environment: Environment) -> dict[str, Distribution]:
    """The installed distributions by normalised name; the first on the path wins, as for imports."""
    from capably.scanner.metadata import find_distributions  # noqa: PLC0415 - see capably.cli.app

    found: dict[str, Distribution] = {}
    damaged = []
    for distribution in find_distributions(environment.paths):
        if distribution.damage:
            damaged.append(distribution)
        else:
            found.setdefault(distribution.canonical_name, distribution)
    for distribution in damaged:  # they hide no sound one, and are told of beside it
        if distribution.canonical_name in found:
            distribution.name = distribution.folder
        found.setdefault(distribution.canonical_name, distribution)
    return dict(sorted(found.items()))
