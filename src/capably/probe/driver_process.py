"""Talks with the child process that loads the driver libraries, and outlives whatever becomes of it.

Nothing is taken from silence: the child first shows that it is one of ours, and last says that it is done. Without
both, and every answer that was asked for between them, the driver was not asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass, field

from capably import processes
from capably.probe import PATIENCE, PYTHON

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from typing import Any  # noqa: TC004 - of fields, which nobody resolves

    from capably.probe.machine import Machine

__all__ = ["Answers", "Asking", "Failure", "ask_drivers", "finish", "start"]

# What runs there is imported, so that it is not compiled at each start, as a script is; -B, so that nothing is written
# beside it. It shows first that it runs Python, which prints nothing back as it was given. It ends at once: everything
# is said then, and somebody waits for the end.
_FOLDER = os.path.dirname(__file__)  # noqa: PTH120 - pathlib costs 5 ms
_PROGRAM = (
    "import os, sys; os.write(1, sys.argv[1][::-1].encode() + b'\\n'); "
    "sys.path.append(sys.argv[2]); import child; os._exit(child.main(sys.argv[3:]))"
)
_MOST_BYTES = 4 << 20
_START = "start"
_NVML = "nvmlInit_v2"

# Set in the child. A program that embeds Python may be named as the interpreter, and start as itself: what it then asks
# of us must not start it again.
_MARK = "CAPABLY_PROBE_CHILD"
# Programs that are no interpreters, and how many seconds they had to show otherwise: they are not started again.
_refuted: dict[str, float] = {}


class Failure:  # no data class, nor is `Asking`: each takes half a millisecond to make, before the child can start
    """A conversation that came to no end.

    Attributes:
        code: Of the finding: ``probe-timed-out``, ``probe-crashed`` or ``probe-failed``.
        call: What was called then; ``start`` where nothing was.
        what: What happened, in words.
    """

    __slots__ = ("call", "code", "what")

    def __init__(self, code: str, call: str, what: str) -> None:
        self.code, self.call, self.what = code, call, what


@dataclass(slots=True)
class Answers:
    """What the driver libraries said, step by step, as `capably.probe.steps` describes it.

    Attributes:
        library: Which libcuda there is; None where the child did not come that far.
        nvml: The inventory; None where it was not asked for, or did not come.
        cuda: What CUDA sees; None where it was not asked for, or did not come.
        failures: Why something did not come.
    """

    library: dict[str, Any] | None = None
    nvml: dict[str, Any] | None = None
    cuda: dict[str, Any] | None = None
    failures: list[Failure] = field(default_factory=list)


class Asking:
    """The process that asks.

    Attributes:
        process: In a session of its own.
        executable: Its program, which may turn out to be no interpreter.
        proof: What it prints first if it is one.
        nvml: It asks NVML too.
    """

    __slots__ = ("executable", "nvml", "process", "proof")

    def __init__(self, process: subprocess.Popen[bytes], executable: str, proof: bytes, *, nvml: bool) -> None:
        self.process, self.executable, self.proof, self.nvml = process, executable, proof, nvml


def ask_drivers(
    machine: Machine, wants_cuda: Callable[[Answers], bool], asking: Asking | Failure | None = None
) -> Answers:
    """Ask NVML, and the driver where *wants_cuda* says so once it has seen the library and the inventory.

    If NVML hangs or crashes, the driver is asked without it, in a second process.

    Args:
        machine: Where.
        wants_cuda: Is given what is known by then.
        asking: What `start` gave for this machine; None starts a process.
    """
    answers = Answers()
    _converse(machine, answers, wants_cuda, asking or start(machine))
    if answers.failures and answers.failures[-1].call == _NVML:
        _converse(machine, answers, lambda _: True, start(machine, with_nvml=False))
    return answers


def start(machine: Machine, *, with_nvml: bool = True) -> Asking | Failure:
    """Start the process that asks. It works already while the caller loads what it needs to understand the answers.

    Whoever calls this calls `finish`, whatever happens.
    """
    if _MARK in os.environ:
        return _failed("this process was started to ask it, but runs another program than the Python interpreter")
    named = machine.environ.get(PYTHON)
    if named and not os.path.isabs(named):  # noqa: PTH117 - as above
        return _failed(f"{PYTHON} is {machine.shown(named)}, and takes the full path of an interpreter")
    executable = named or machine.executable
    if not executable:
        return _failed("there is no Python interpreter for the process that asks")
    if machine.patience <= _refuted.get(executable, 0):
        return _failed(f"{machine.shown(executable)} is not a Python interpreter")
    request = {
        "cuda": [machine.place(name) if name.startswith("/") else name for name in machine.libcuda],
        "nvml": [machine.place(name) if name.startswith("/") else name for name in machine.libnvml],
        "seconds": machine.patience,
    }
    if not with_nvml:
        request["nvml"] = []
    token = os.urandom(8).hex()
    try:
        process = processes.start(
            [executable, "-I", "-S", "-B", "-c", _PROGRAM, token, _FOLDER, json.dumps(request)],
            {**machine.environ, _MARK: "1"},
            talk=True,
            # Where nobody has put a libcuda: an empty part of LD_LIBRARY_PATH means the current folder.
            folder=os.sep,
        )
    except (OSError, ValueError) as error:  # a null byte in a variable is the latter
        what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return _failed(f"{machine.shown(executable)}{f', by {PYTHON},' if named else ''} did not start: {what}")
    return Asking(process, executable, token[::-1].encode(), nvml=with_nvml)


def finish(asking: Asking | Failure) -> None:
    """Leave nothing running of what `start` gave."""
    if isinstance(asking, Asking):
        processes.end(asking.process)


def _failed(what: str, call: str = _START) -> Failure:
    return Failure("probe-failed", call, what)


def _converse(
    machine: Machine,
    answers: Answers,
    wants_cuda: Callable[[Answers], bool],
    asking: Asking | Failure,
) -> None:
    if isinstance(asking, Failure):
        answers.failures.append(asking)
        return
    try:
        failure = _hear(machine, answers, wants_cuda, asking)
    finally:
        finish(asking)
    if failure is not None:
        answers.failures.append(failure)


def _hear(
    machine: Machine,
    answers: Answers,
    wants_cuda: Callable[[Answers], bool],
    asking: Asking,
) -> Failure | None:
    """Take the answers in as they come; what went wrong, if something did."""
    from capably.probe import steps  # noqa: PLC0415 - loaded while the child starts

    process = asking.process
    deadline = time.monotonic() + machine.patience
    lines = _lines(process, deadline)
    call = ""  # nothing is known of the program yet
    due = ["library", "nvml", "done"] if asking.nvml else ["library", "done"]
    before_cuda = due[-2]
    try:
        first = next(lines, None)
        if first != asking.proof:
            return _unproven(machine, asking, None if first is None else "it prints something else", deadline)
        call = _START
        for line in lines:
            step = steps.read(line, due[0])
            name = step.get("step")
            if name is None:
                call = step["calling"]
                continue
            if name == "done":
                return None
            del due[0]
            setattr(answers, name, step)
            call = f"what follows {call}"
            if name == before_cuda:
                if wants_cuda(answers) and answers.library is not None and answers.library["found"]:
                    due.insert(0, "cuda")
                    _say_cuda(process)
                elif process.stdin is not None:
                    process.stdin.close()
    except TimeoutError:
        return _timed_out(machine, asking, call)
    except ValueError:
        if not call:
            return _unproven(machine, asking, "it prints something else", deadline)
        return _failed(f"nonsense came in place of the answer to {call}", call)
    return _lost(machine, asking, call, deadline)


def _unproven(machine: Machine, asking: Asking, how: str | None, deadline: float) -> Failure:
    """The program answers as no interpreter does; *how*, or None where it ended. It is not started again."""
    code = processes.wait(asking.process, deadline) if how is None else None
    if code != -signal.SIGKILL:  # which the kernel gives to any program where memory is short
        _refuted[asking.executable] = float("inf")
    return _failed(f"{machine.shown(asking.executable)} does not answer as a Python interpreter ({how or _how(code)})")


def _timed_out(machine: Machine, asking: Asking, call: str) -> Failure:
    if call and call != _START:
        return Failure("probe-timed-out", call, "timeout")
    if not call:  # an application that runs on, or a machine that takes longer to start an interpreter
        _refuted[asking.executable] = machine.patience
    shown = machine.shown(asking.executable)
    return _failed(f"{shown} did not start within {machine.patience:g} s ({PATIENCE} sets the limit)")


def _lost(machine: Machine, asking: Asking, call: str, deadline: float) -> Failure:
    """The process has closed its answer, and was not done."""
    code = processes.wait(asking.process, deadline)
    if code is None and asking.process.poll() is None:
        return _timed_out(machine, asking, call)
    if call == _START:
        return _failed(f"the process that asks ended before it called the driver ({_how(code)})")
    if code:
        return Failure("probe-crashed", call, _how(code))
    return _failed(f"{call} ended the process that asks, without an answer ({_how(code)})", call)


def _how(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "how is not known, as SIGCHLD is ignored"
    return f"signal {-code}" if code < 0 else f"exit {code}"


def _say_cuda(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # it may be gone, which the next read tells
            process.stdin.write(b"cuda\n")
            process.stdin.flush()


def _lines(process: subprocess.Popen[bytes], deadline: float) -> Iterator[bytes]:
    """The lines as they come.

    Raises:
        TimeoutError: The deadline comes first.
        ValueError: There are more of them than answers take.
    """
    buffer = b""
    room = _MOST_BYTES
    for piece in processes.pieces(process, deadline):
        if piece is None:
            raise TimeoutError
        room -= len(piece)
        if room < 0:
            raise ValueError("too much")
        *lines, buffer = (buffer + piece).split(b"\n")
        yield from lines
