"""Runs the pip that is there, so that nothing is imported from where the user happens to stand.

That is the pip of the interpreter that capably runs in, else one that ``uv`` brings, into its own cache: environments
that uv makes have none. uv is asked without the configuration that lies about: in a cloned repository, ``uv.toml`` could
name another index to take pip from.

``python -m pip`` puts the current directory first on the path: in a cloned repository that holds ``pip.py`` or
``json.py``, that file would run. ``python -I`` would prevent it, but hides what is installed for the user alone
(pip itself, perhaps, or its keyring). So pip is started by a small program under ``-P``, with no variable that
makes Python import from elsewhere. What configures pip stays: its files, ``PIP_*``, proxies, netrc and keyring.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capably.processes import collect, start

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NoPipError", "Pip"]

# Of all variables of Python, those that neither name places to import from nor modules.
_OF_PYTHON = frozenset(
    {
        "PYTHONUSERBASE",
        "PYTHONNOUSERSITE",
        "PYTHONUTF8",
        "PYTHONCOERCECLOCALE",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHON_KEYRING_BACKEND",
    }
)
_MOST_SECONDS = 86_400.0  # pip has limits of its own for an index that is silent; a slow download is no fault
_MOST_BYTES = 16 << 20
_SHOW_CURSOR = "\x1b[?25h"
_THERE = "capably: pip is there\n"

# What the child does before pip. Its standard input is a pipe that nobody writes to, so it ends when we do, however
# that comes; then pip and what it started end too. The path is cleaned before anything is imported, for the
# versions of Python that know no -P.
_PROGRAM = f"""
import sys
sys.path[:] = filter(None, sys.path)
import importlib.util, os, runpy, threading
_, swapped, most_bytes, *arguments = sys.argv
def end_with_parent():
    os.read(0, 1)
    os.killpg(os.getpgrp(), 9)  # the session that was made for it: where uv started it, uv as well
if os.name == "posix":
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), hard))
    threading.Thread(target=end_with_parent, daemon=True).start()
if swapped == "swapped":
    spare = os.dup(1)
    os.dup2(2, 1)
    os.dup2(spare, 2)
    os.close(spare)
if importlib.util.find_spec("pip") is None:
    sys.exit(1)
os.write(2 if swapped == "swapped" else 1, {_THERE!r}.encode())
sys.argv = ["pip", *arguments]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


class NoPipError(Exception):
    """The interpreter that capably runs in has no pip, or cannot be started; and no uv brings one. It may say why."""


@dataclass(frozen=True, slots=True)
class Pip:
    """The pip of the environment that capably is installed in, or the one that uv brings.

    Attributes:
        most_bytes: How large a file it may write.
        scratch: Where it puts temporary files; None for the usual place.
        show: Whether its progress is shown on standard error.
        offline: Nothing may be fetched, pip itself included.
    """

    most_bytes: int
    scratch: Path | None = None
    show: bool = False
    offline: bool = False

    def output(self, *arguments: str) -> str:
        """What it prints to standard output.

        Raises:
            NoPipError: There is none.
        """
        return self._run("plain", arguments, show=False)

    def errors(self, *arguments: str) -> str:
        """What it prints to standard error; its standard output, with the progress bar, goes to ours or nowhere.

        Raises:
            NoPipError: There is none.
        """
        return self._run("swapped", arguments, show=self.show)

    def _run(self, streams: str, arguments: tuple[str, ...], *, show: bool) -> str:
        if not sys.executable:
            raise NoPipError
        safe_path = ["-P"] if hasattr(sys.flags, "safe_path") else []
        program = [*safe_path, "-c", _PROGRAM, streams, str(self.most_bytes), *arguments]
        program += ["--disable-pip-version-check", "--no-input"]
        environ = self._environ()
        text = _said([sys.executable, *program], environ, show=show)
        if not text.startswith(_THERE):
            uv = _uv(environ)
            if uv is None:
                raise NoPipError
            # Isolated: not with what the user has installed by `uv tool`.
            how = ["--isolated", "--quiet", "--no-config", *(["--offline"] if self.offline else [])]
            bring = [uv, "tool", "run", *how, "--python", sys.executable, "--from", "pip"]
            text = _said([*bring, "python", *program], environ, show=show)
            if not text.startswith(_THERE):
                raise NoPipError("uv could not bring pip")
        return text.removeprefix(_THERE)

    def _environ(self) -> Mapping[str, str]:
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith("PYTHON") or name.upper() in _OF_PYTHON
        }
        if "PATH" in environ:  # pip runs lsb_release and rustc; an empty entry is the current directory
            environ["PATH"] = os.pathsep.join(filter(os.path.isabs, environ["PATH"].split(os.pathsep))) or os.defpath
        # A constraint says what may be installed. Nothing is installed here, and pip would refuse to look.
        environ["PIP_CONSTRAINT"] = os.devnull
        if self.scratch is not None:  # so that nothing is left of a pip that was ended
            environ |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), os.fspath(self.scratch))
        return environ


def _said(command: list[str], environ: Mapping[str, str], *, show: bool) -> str:
    """What a pip printed.

    Raises:
        NoPipError: It cannot be started.
    """
    try:
        process = start(command, environ, talk=True, errors=show)
    except OSError as error:
        raise NoPipError from error
    try:
        ended = collect(process, seconds=_MOST_SECONDS, most_bytes=_MOST_BYTES)
    except KeyboardInterrupt:
        if show:  # the progress bar hides it, and pip had no time to show it again
            sys.stderr.write(_SHOW_CURSOR)
        raise
    text = ended.output.decode(errors="replace")
    if ended.problem:
        return f"{text}\nERROR: pip was ended: {ended.problem}\n"
    return text


def _uv(environ: Mapping[str, str]) -> str | None:
    """The uv that is installed: the one that started us, or the first on the path. Never one of the current folder."""
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    name = "uv.exe" if os.name == "nt" else "uv"
    for place in (environ.get("UV", ""), *(os.path.join(folder, name) for folder in folders)):  # noqa: PTH118 - text
        if os.path.isabs(place) and os.path.isfile(place) and os.access(place, os.X_OK):  # noqa: PTH113, PTH117 - as above
            return place
    return None
