"""Runs pip so that nothing is imported from where the user happens to stand.

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
_NO_PIP = "capably: no pip"

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
    os.killpg(os.getpid(), 9)
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
    os.write(2, b"{_NO_PIP}")
    sys.exit(1)
sys.argv = ["pip", *arguments]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


class NoPipError(Exception):
    """The interpreter that capably runs in has no pip, or cannot be started."""


@dataclass(frozen=True, slots=True)
class Pip:
    """The pip of the environment that capably is installed in.

    Attributes:
        most_bytes: How large a file it may write.
        scratch: Where it puts temporary files; None for the usual place.
        show: Whether its progress is shown on standard error.
    """

    most_bytes: int
    scratch: Path | None = None
    show: bool = False

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
        command = [sys.executable, *safe_path, "-c", _PROGRAM, streams, str(self.most_bytes), *arguments]
        try:
            process = start(
                [*command, "--disable-pip-version-check", "--no-input"], self._environ(), talk=True, errors=show
            )
        except OSError as error:
            raise NoPipError from error
        try:
            ended = collect(process, seconds=_MOST_SECONDS, most_bytes=_MOST_BYTES)
        except KeyboardInterrupt:
            if show:  # the progress bar hides it, and pip had no time to show it again
                sys.stderr.write(_SHOW_CURSOR)
            raise
        text = ended.output.decode(errors="replace")
        if text.endswith(_NO_PIP):
            raise NoPipError
        if ended.problem:
            return f"{text}\nERROR: pip was ended: {ended.problem}\n"
        return text

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
