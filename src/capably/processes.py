"""Starts other programs so that none outlives its limit, fills the memory, or reads the terminal.

A program may be a wrapper that starts others: the children and theirs are a group, which ends as one. What is
read of them is bounded, and the wait for it too, whoever holds the pipe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

TYPE_CHECKING = False  # to import typing costs 8 ms, and the gate starts a process
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Ended", "collect", "end", "pieces", "start", "stopped", "wait"]

_LAST_MOMENTS = 1.0  # seconds for the kernel to end what was killed
_PIECE = 65536

_running: set[subprocess.Popen[bytes]] = set()
_stopping = False


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program printed, and how it ended.

    Attributes:
        output: Its standard output, as far as it was read.
        code: Its exit code, negative for a signal; None where nobody knows: it was ended here, or somebody else in
            this process has waited for it (``SIGCHLD`` is ignored).
        problem: ``timeout`` or ``flood`` where it was ended here; None where it ended by itself.
    """

    output: bytes
    code: int | None
    problem: str | None = None

    @property
    def good(self) -> bool:
        """It ended by itself, and says that all went well."""
        return self.problem is None and self.code == 0


def start(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    talk: bool = False,
    errors: bool = False,
    folder: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start *command*, in a session of its own. Whoever calls this calls `end`, whatever happens.

    Args:
        command: The program, by its path, and its arguments. There is no shell.
        environ: All its variables.
        talk: Let the caller write to its standard input; else it reads nothing.
        errors: Its standard error goes where ours goes; else nowhere.
        folder: Where it starts; None for the current folder.

    Raises:
        OSError: It cannot be started.
    """
    process = subprocess.Popen(  # noqa: S603 - a list, no shell
        list(command),
        stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if errors else subprocess.DEVNULL,
        env=dict(environ),
        cwd=folder,
        start_new_session=True,
    )
    _running.add(process)
    if _stopping:  # asked after it is listed, so that `stopped` misses none
        end(process)
        raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
    return process


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """End what other threads wait for, and let them start nothing within: for whoever is interrupted.

    What the terminal interrupts does not reach a session of its own.
    """
    global _stopping  # noqa: PLW0603 - read in `start` only
    _stopping = True
    try:
        for process in tuple(_running):
            if process.returncode is None:
                _kill_group(process)
        yield
    finally:
        _stopping = False


def pieces(process: subprocess.Popen[bytes], deadline: float) -> Iterator[bytes | None]:
    """The standard output of *process* as it comes, until its end; None, and no more, where *deadline* comes first.

    Args:
        process: By `start`.
        deadline: By `time.monotonic`.
    """
    if process.stdout is None:  # pragma: no cover - `start` makes a pipe
        return
    pipe = process.stdout.fileno()
    # Not `select.select`, which takes no number from 1024 on, as a server with many files open gives; and not what takes
    # a number itself, as there may be none left then.
    with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                yield None
                return
            data = os.read(pipe, _PIECE)
            if not data:
                return
            yield data


def collect(process: subprocess.Popen[bytes], *, seconds: float, most_bytes: int) -> Ended:
    """Read what *process* prints, until it ends, and end it where it goes beyond a limit.

    Args:
        process: By `start`.
        seconds: How long to wait, from now on.
        most_bytes: How much it may print.
    """
    deadline = time.monotonic() + seconds
    found: list[bytes] = []
    room = most_bytes
    problem = None
    try:
        for piece in pieces(process, deadline):
            if piece is None:
                problem = "timeout"
                break
            found.append(piece[:room])
            room -= len(piece)
            if room < 0:
                problem = "flood"
                break
        code = None if problem else wait(process, deadline)
        if problem is None and code is None and not _gone(process):
            problem = "timeout"
    finally:
        end(process)
    return Ended(b"".join(found), code, problem)


def wait(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    """How *process* ended; None where it did not, or nobody can know.

    Where ``SIGCHLD`` is ignored the kernel forgets how a child ended, and `subprocess` makes a 0 of that.
    """
    if hasattr(os, "waitid"):
        try:
            while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if time.monotonic() >= deadline:
                    return None
                time.sleep(0.001)
        except ChildProcessError:
            return None
        # Its number is kept until it is waited for, so the group below it is still its own.
        _kill_group(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, deadline - time.monotonic()))
    return None


def _gone(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):  # nobody is left, or what is left has other rights
            os.killpg(process.pid, signal.SIGKILL)


def end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing running of *process* and its children. What the kernel holds in a call dies when that ends."""
    _running.discard(process)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if process.returncode is None:  # nobody has waited for it yet: the number is still its own
        _kill_group(process)
        if process.poll() is None:
            with contextlib.suppress(OSError):
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_MOMENTS)
