"""Where a Python interpreter looks for packages, told from files alone: what is looked at is not run.

A folder of an environment may come from anybody, and so may the program in it that is called ``python``. What that would
put on its import path follows from names of folders, ``pyvenv.cfg`` and ``.pth`` files, by the rules of CPython's
``getpath.py`` and ``site.py`` (3.8 to 3.14) and Debian's changes of them. Lines of ``.pth`` files that are code are
not followed. One thing is run, for a program whose place tells nothing, such as a shim of pyenv: that program, and only
where PATH names it, without any of its packages.
"""

# The rules of getpath.py and site.py are made of os.path.
# ruff: noqa: PTH100, PTH111, PTH112, PTH113, PTH115, PTH117, PTH118, PTH119, PTH120, PTH121, PTH208

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.bounded import read_bounded
from capably.cli.console import shown_path
from capably.errors import CapablyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["EnvironmentProblem", "package_folders"]

_NAMES = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")
_VERSIONED = re.compile(r"python(3\.[0-9]{1,3}t?)(?:\.exe)?", re.ASCII)
_WINDOWS = re.compile(r"python3([0-9]{1,3}t?)\.dll", re.ASCII)
_MOST_LINKS = 40  # as Linux
_MOST_BYTES = 1 << 20
_MOST_FOLDERS = 1000
_MOST_LINES = 10_000  # of all `.pth` files: each is looked for on the disk
# The program is asked for what it is, and not for what it would import.
_QUESTION = (
    "import sys, json; print(json.dumps([sys.executable, sys.base_prefix, "
    "'%d.%d' % sys.version_info[:2] + ('t' if 't' in getattr(sys, 'abiflags', '') else '')]))"
)
_PATIENCE = 20.0
_MOST_ANSWER = 65536


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


def package_folders(place: str) -> tuple[str, ...]:
    """The folders of the import path that hold packages, in its order; those of the standard library are left out.

    Args:
        place: The folder of an environment, or an interpreter.

    Raises:
        EnvironmentProblem: There is none, or the files do not tell.
    """
    path = os.path.abspath(place) if "\0" not in place else place
    if os.path.isdir(path):
        interpreter = next((f"{path}/{name}" for name in _NAMES if os.path.lexists(f"{path}/{name}")), None)
        found = _by_folder(place, path, interpreter)
        if found is None:
            raise EnvironmentProblem(place, "it has neither a `pyvenv.cfg` nor a `lib/python3.*`")
        return found
    if not os.path.isfile(path):
        raise EnvironmentProblem(place, "there is no such folder, and no such interpreter")
    found = _by_interpreter(place, path)
    return _asked(place, path) if found is None else found


def _by_folder(place: str, prefix: str, interpreter: str | None) -> tuple[str, ...] | None:
    config = _config(place, f"{prefix}/pyvenv.cfg")
    version = _version(place, prefix, interpreter, config or {})
    if config is not None:
        return _of_virtual(place, prefix, config, version)
    return None if version is None else _of_base(prefix, version)


def _by_interpreter(place: str, path: str) -> tuple[str, ...] | None:
    """As CPython finds its prefix: a virtual environment by the name that was used, any other by the file itself."""
    folder = os.path.dirname(path)
    above = os.path.dirname(folder)
    for place_of_config in (folder, above):
        if (config := _config(place, f"{place_of_config}/pyvenv.cfg")) is not None:
            return _of_virtual(place, above, config, _version(place, above, path, config))
    found = _base_of(place, path)
    return None if found is None else _of_base(*found)


def _base_of(place: str, interpreter: str) -> tuple[str, str] | None:
    """Prefix and version of an interpreter of no virtual environment, by the standard library beside it.

    A script may start anything, wherever it lies.
    """
    real = os.path.realpath(interpreter)
    if "python" not in os.path.basename(real).lower() or _text(real).startswith("#!"):
        return None
    named = _version_in_names(interpreter)
    folder = os.path.dirname(real)
    for prefix in (os.path.dirname(folder), folder):
        there = [one for one in _versions(prefix) if _has_library(prefix, one)]
        if named in there:
            return prefix, named
        if named is None and there:
            return prefix, _only(place, there)
    return None


# -- which version it is


def _version(place: str, prefix: str, interpreter: str | None, config: dict[str, str]) -> str | None:
    """By the name of the interpreter, which is what would run; else as `pyvenv.cfg` says; else what there is."""
    named = None if interpreter is None else _version_in_names(interpreter)
    if named is not None:
        return named
    there = [
        one for one in _versions(prefix) if _has_library(prefix, one) or any(map(os.path.isdir, _own(prefix, one)))
    ]
    said = re.match(r"3\.[0-9]{1,3}(?![0-9])", config.get("version") or config.get("version_info") or "")
    if said is not None:
        # The file does not say whether it is a build without the global lock.
        return next((one for one in there if one.rstrip("t") == said[0]), said[0])
    return _only(place, there) if there else None


def _only(place: str, versions: list[str]) -> str:
    if len(versions) > 1:
        there = " and ".join(versions)
        problem = f"it has packages for Python {there}, and nothing tells which is meant: name the interpreter"
        raise EnvironmentProblem(place, f"{problem}, such as `bin/python{versions[-1]}`")
    return versions[0]


def _version_in_names(interpreter: str) -> str | None:
    """What the last of the names says that the links of an interpreter lead to, whether it is there or not."""
    found = None
    for _ in range(_MOST_LINKS):
        if match := _VERSIONED.fullmatch(os.path.basename(interpreter)):
            found = match[1]
        try:
            interpreter = os.path.join(os.path.dirname(interpreter), os.readlink(interpreter))
        except OSError:
            break
    return found


def _versions(prefix: str) -> list[str]:
    """Those that there are folders of, in order; on Windows, libraries."""
    found = {
        match[1]
        for folder in _libraries(prefix)
        for name in _names(f"{prefix}/{folder}")
        if (match := _VERSIONED.fullmatch(name))
    }
    found |= {f"3.{match[1]}" for name in _names(prefix) if (match := _WINDOWS.fullmatch(name))}
    return sorted(found, key=lambda text: (int(text.rstrip("t")[2:]), text))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _has_library(prefix: str, version: str) -> bool:
    folders = (f"lib/python{version}", f"lib64/python{version}", "Lib")
    return any(os.path.isfile(f"{prefix}/{folder}/os.py") for folder in folders)


# -- what it looks into


@dataclass(slots=True)
class _Path:
    """An import path, as `site.py` makes it: each folder once."""

    folders: dict[str, None] = field(default_factory=dict)
    lines_left: int = _MOST_LINES
    text_left: int = _MOST_BYTES

    def add_sites(self, folders: Iterable[str]) -> None:
        """Add folders that exist, each with those that its ``.pth`` files name."""
        for folder in folders:
            if os.path.isdir(folder):
                self.folders.setdefault(os.path.normpath(folder))
                for line in self._named_in(folder):
                    self.lines_left -= 1
                    path = os.path.abspath(os.path.join(folder, line))
                    if len(self.folders) < _MOST_FOLDERS and os.path.isdir(path):
                        self.folders.setdefault(path)

    def _named_in(self, folder: str) -> Iterator[str]:
        """The lines of ``.pth`` files that are no code. Hidden ones are not read, as of 2024 in all versions."""
        names = sorted(name for name in _names(folder) if name.endswith(".pth") and not name.startswith("."))
        for name in names[:_MOST_FOLDERS]:
            text = _text(f"{folder}/{name}")
            self.text_left -= len(text)
            if self.text_left < 0:
                return
            yield from itertools.islice(_folders_in(text), self.lines_left)


def _folders_in(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.strip() and "\0" not in line and not line.startswith(("#", "import ", "import\t")):
            yield line.rstrip()


def _of_virtual(place: str, prefix: str, config: dict[str, str], version: str | None) -> tuple[str, ...]:
    path = _Path()
    if version is None:
        path.add_sites(_windows(prefix))
    else:
        path.add_sites(_own(prefix, version))
    if config.get("include-system-site-packages", "true").lower() == "true":
        base = _home(place, config.get("home", ""), version)
        if base is None:
            raise EnvironmentProblem(place, "it takes the packages of another Python too, and that one is not there")
        path.add_sites(_of_user(version))
        path.add_sites(_own(base[0], base[1], virtual=True))
    return tuple(path.folders)


def _home(place: str, home: str, version: str | None) -> tuple[str, str] | None:
    """The Python that a virtual environment is made of, by the folder of its interpreter."""
    names = (f"python{version}", "python3", "python", "python.exe")
    there = (f"{home}/{name}" for name in names if home and os.path.lexists(f"{home}/{name}"))
    return next((found for one in there if (found := _base_of(place, one)) is not None), None)


def _of_base(prefix: str, version: str) -> tuple[str, ...]:
    path = _Path()
    path.add_sites(_of_user(version))
    path.add_sites(_own(prefix, version))
    return tuple(path.folders)


def _libraries(prefix: str) -> list[str]:
    """Folders of libraries: two where the system keeps those of 64 bits apart, and `lib64` is no link."""
    lib, wide = f"{prefix}/lib", f"{prefix}/lib64"
    apart = os.path.isdir(wide) and not (os.path.isdir(lib) and os.path.samefile(lib, wide))
    return ["lib64", "lib"] if apart else ["lib"]


def _own(prefix: str, version: str, *, virtual: bool = False) -> list[str]:
    """The folders for packages below a prefix, whether there are such or not.

    Args:
        prefix: The folder.
        version: Of Python.
        virtual: It is looked at from a virtual environment.
    """
    if windows := _windows(prefix):
        return windows
    python = f"python{version}"
    if os.path.isdir(f"{prefix}/lib/python3/dist-packages"):  # Debian
        sites = [f"{prefix}/lib/{python}/site-packages"] if virtual else []
        return [
            *sites,
            f"{prefix}/local/lib/{python}/dist-packages",
            f"{prefix}/lib/python3/dist-packages",
            f"{prefix}/lib/{python}/dist-packages",
        ]
    folders = [f"{prefix}/{folder}/{python}/site-packages" for folder in _libraries(prefix)]
    if prefix == "/usr" and os.path.isfile(f"/usr/lib64/{python}/os.py"):  # Fedora and openSUSE
        return [f"/usr/local/{folder}/{python}/site-packages" for folder in ("lib64", "lib")] + folders
    return folders


def _windows(prefix: str) -> list[str]:
    site = f"{prefix}/Lib/site-packages"
    return [prefix, site] if os.path.isdir(site) else []


def _of_user(version: str | None) -> list[str]:
    """The folder of the user's own packages, unless that is switched off."""
    other = hasattr(os, "geteuid") and (os.geteuid(), os.getegid()) != (os.getuid(), os.getgid())
    if version is None or other or os.environ.get("PYTHONNOUSERSITE"):
        return []
    base = os.environ.get("PYTHONUSERBASE")
    if os.name == "nt":
        base = base or os.path.join(os.environ.get("APPDATA") or "~", "Python")
        return [
            os.path.join(os.path.expanduser(base), f"Python{version.replace('.', '').rstrip('t')}", "site-packages")
        ]
    folders = [f"{os.path.expanduser(base or '~/.local')}/lib/python{version}/site-packages"]
    if sys.platform == "darwin" and not base:  # that of python.org
        folders.append(f"{os.path.expanduser('~')}/Library/Python/{version}/lib/python/site-packages")
    return folders


# -- files, and the one program


def _config(place: str, path: str) -> dict[str, str] | None:
    """The settings in a ``pyvenv.cfg``; None where there is none."""
    try:
        text = read_bounded(path, _MOST_BYTES).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EnvironmentProblem(place, f"its `pyvenv.cfg` cannot be read ({error.strerror})") from error
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, mark, value in pairs if mark}


def _text(path: str) -> str:
    """A small file; empty where it cannot be read, or is larger than anybody writes one: a program, say."""
    try:
        data = read_bounded(path, _MOST_BYTES)
    except (OSError, ValueError):
        return ""
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def _asked(place: str, path: str) -> tuple[str, ...]:
    """What the program at *path* says that it is: it stands for another one that lies elsewhere."""
    folder = os.path.dirname(path)
    named = [part for part in os.environ.get("PATH", "").split(os.pathsep) if os.path.isabs(part)]
    if not any(os.path.realpath(part) == os.path.realpath(folder) for part in named):
        problem = "its place does not tell where its packages are, and a program that is not on PATH is not run"
        raise EnvironmentProblem(place, f"{problem}; name the folder of the environment, or the interpreter itself")
    from capably import processes  # noqa: PLC0415 - hardly ever

    process = None
    try:
        # -I and -S: neither the current folder nor any package; and no file is written.
        command = [path, "-I", "-S", "-B", "-c", _QUESTION]
        process = processes.start(command, os.environ, folder=os.path.abspath(os.sep))
        ended = processes.collect(process, seconds=_PATIENCE, most_bytes=_MOST_ANSWER)
    except OSError as error:
        raise EnvironmentProblem(place, f"it cannot be started ({error.strerror})") from error
    if ended.problem is not None or (ended.code is not None and ended.code != 0):
        how = f"ended with exit code {ended.code}" if ended.problem is None else "does not answer"
        raise EnvironmentProblem(place, f"it {how}")
    try:
        executable, prefix, version = json.loads(ended.output)
        found = _by_interpreter(place, executable) if os.path.isfile(executable) else None
        known = _VERSIONED.fullmatch(f"python{version}")
        if found is None and known is not None and os.path.isdir(prefix):
            found = _of_base(prefix, known[1])
    except (ValueError, TypeError) as error:
        raise EnvironmentProblem(place, "it does not answer as Python does") from error
    if found is None:
        raise EnvironmentProblem(place, f"it stands for `{shown_path(executable)}`, which is no Python")
    return found
