"""Python environments and the distributions in them, without importing anything of theirs here."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from capably.cli.console import shown_path
from capably.errors import CapablyError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["Environment", "EnvironmentProblem", "distributions", "find_environment"]

_PROBE = "import json, sys, sysconfig; print(json.dumps([*map(sysconfig.get_path, ('purelib', 'platlib')), *sys.path]))"
_PATIENCE = 60.0


class EnvironmentProblem(CapablyError):  # noqa: N818 - EnvironmentError is a builtin of another meaning
    """A Python environment that cannot be looked at.

    Attributes:
        place: What was named.
        problem: Why not, in one sentence.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def _said(self) -> str:
        return f"no Python environment at `{shown_path(self.place)}`: {self.problem}"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where distributions are looked for.

    Attributes:
        place: Where it is, for people: without the name of the user.
        chosen_by: Why this one, for people.
        paths: Directories that hold distributions, in order.
    """

    place: str
    chosen_by: str
    paths: tuple[str, ...]


def find_environment(python: str | None) -> Environment:
    """The environment of *python*, else the active one, else capably's own.

    Args:
        python: An interpreter, or the folder of an environment.

    Raises:
        EnvironmentProblem: The one that was named, or that is active, cannot be asked.
    """
    if python is not None:
        return Environment(shown_path(python), "--python", _ask(python))
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = os.environ.get(variable)
        if not prefix:
            continue
        if Path(prefix).resolve() == Path(sys.prefix).resolve():
            break
        try:
            return Environment(shown_path(prefix), variable, _ask(prefix))
        except EnvironmentProblem as error:
            error.add_note(f"{variable} names it; unset that, or name an interpreter with --python")
            raise
    return Environment(shown_path(sys.prefix), "capably's own", tuple(path for path in sys.path if path))


def _ask(place: str) -> tuple[str, ...]:
    """The import path of the interpreter at *place*, as it says itself."""
    interpreter = _interpreter(Path(place))
    if interpreter is None:
        raise EnvironmentProblem(place, "there is no interpreter")
    try:
        process = subprocess.run(  # noqa: S603 - a list, no shell; the user named the interpreter
            [str(interpreter), "-I", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
        paths = json.loads(process.stdout)
    except subprocess.CalledProcessError as error:
        raise EnvironmentProblem(place, f"its interpreter ended with exit code {error.returncode}") from error
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise EnvironmentProblem(place, f"its interpreter does not answer ({type(error).__name__})") from error
    return tuple(dict.fromkeys(str(path) for path in paths if path))


def _interpreter(place: Path) -> Path | None:
    if place.is_dir():
        names = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")
        return next((place / name for name in names if (place / name).is_file()), None)
    return place if place.is_file() else None


def distributions(environment: Environment) -> dict[str, Distribution]:
    """The installed distributions by normalised name; the first on the path wins, as for imports."""
    found: dict[str, Distribution] = {}
    for distribution in importlib.metadata.distributions(path=list(environment.paths)):
        for name in headers(distribution, "Name")[:1]:
            found.setdefault(canonicalize_name(name), distribution)
    return dict(sorted(found.items()))


def headers(distribution: Distribution, name: str) -> tuple[str, ...]:
    """The values of a field of the metadata; `Distribution.metadata` parses long descriptions for each."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    if text is None:  # kept in one file, as eggs have it
        return tuple(distribution.metadata.get_all(name) or ())
    fields = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    found = re.findall(rf"(?im)^{re.escape(name)}:[ \t]*(.*(?:\n[ \t].*)*)", fields)
    return tuple(" ".join(value.split()) for value in found)
