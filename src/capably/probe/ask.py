"""Talks with the child process that loads the driver libraries, and outlives whatever becomes of it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass, field

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # noqa: TC004 - of fields, which nobody resolves

    from capably.probe.machine import Machine

__all__ = ["Answers", "Child", "ask_drivers", "start"]

# Imported, so that it is not compiled at each start, as a script is; -B, so that nothing is written beside it. It ends
# at once: everything is said then, and somebody waits for the end.
_FOLDER = os.path.dirname(__file__)  # noqa: PTH120 - pathlib costs 5 ms
_PROGRAM = "import os, sys; sys.path.append(sys.argv[1]); import child; os._exit(child.main(sys.argv[2:]))"
_MOST_BYTES = 4 << 20


@dataclass(slots=True)
class Answers:
    """What the driver libraries said, step by step.

    Attributes:
        library: Which libcuda there is; None where the child did not come that far.
        nvml: The inventory; None where it was not asked for, or did not come.
        cuda: What CUDA sees; None where it was not asked for, or did not come.
        failures: Calls that did not come back, with what happened: ``timeout``, ``signal 6``, ``exit 1``.
    """

    library: dict[str, Any] | None = None
    nvml: dict[str, Any] | None = None
    cuda: dict[str, Any] | None = None
    failures: list[tuple[str, str]] = field(default_factory=list)


def ask_drivers(
    machine: Machine, wants_cuda: Callable[[dict[str, Any] | None], bool], child: Child | None = None
) -> Answers:
    """Ask NVML, and the driver where *wants_cuda* says so once it has seen the inventory.

    If NVML hangs or crashes, the driver is asked without it, in a second process.

    Args:
        machine: Where.
        wants_cuda: Is given the inventory.
        child: One that `start` has started for this machine; None starts one.
    """
    answers = Answers()
    _converse(machine, answers, wants_cuda, child or start(machine))
    if answers.failures and answers.failures[-1][0] == "nvmlInit_v2":
        _converse(machine, answers, lambda _: True, start(machine, with_nvml=False), with_nvml=False)
    return answers


Child = subprocess.Popen[bytes] | OSError
"""The process that asks, or why there is none."""


def start(machine: Machine, *, with_nvml: bool = True) -> Child:
    """Start the process that asks. It works already while the caller loads what it needs to understand the answers."""
    request = {
        "cuda": [machine.place(name) if name.startswith("/") else name for name in machine.libcuda],
        "nvml": [machine.place(name) if name.startswith("/") else name for name in machine.libnvml],
        "seconds": machine.patience,
    }
    if not with_nvml:
        request["nvml"] = []
    try:
        return subprocess.Popen(  # noqa: S603 - a list, no shell; our own interpreter and our own file
            [machine.executable, "-I", "-S", "-B", "-c", _PROGRAM, _FOLDER, json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(machine.environ),
        )
    except OSError as error:
        return error


def _converse(
    machine: Machine,
    answers: Answers,
    wants_cuda: Callable[[dict[str, Any] | None], bool],
    child: Child,
    *,
    with_nvml: bool = True,
) -> None:
    deadline = time.monotonic() + machine.patience
    calling = "start"
    if isinstance(child, OSError):
        answers.failures.append((calling, type(child).__name__))
        return
    with contextlib.ExitStack() as stack:
        stack.callback(_end, child)
        if child.stdin is None or child.stdout is None:  # pragma: no cover - both are pipes
            return
        if not with_nvml:
            _say_cuda(child)
        for step in _lines(child.stdout.fileno(), deadline):
            if step is None:
                answers.failures.append((calling, "timeout"))
                return
            calling = step.get("calling", "")
            match step.get("step"):
                case "library":
                    answers.library = step
                case "nvml":
                    answers.nvml = step
                    if wants_cuda(step):
                        _say_cuda(child)
                    else:
                        child.stdin.close()
                case "cuda":
                    answers.cuda = step
                case _:  # what is about to be called
                    pass
        code = _wait(child, deadline)
        if code:
            what = f"signal {-code}" if code < 0 else f"exit {code}"
            answers.failures.append((calling or "end", what))


def _say_cuda(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        with contextlib.suppress(OSError):  # it may be gone, which the next read tells
            child.stdin.write(b"cuda\n")
            child.stdin.flush()


def _lines(pipe: int, deadline: float) -> Any:  # noqa: ANN401 - an iterator of steps; None at the deadline
    """The steps as they come; None where the deadline comes first."""
    buffer = b""
    total = 0
    # Not `select.select`, which takes no number from 1024 on, as a server with many files open gives.
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                yield None
                return
            data = os.read(pipe, 65536)
            total += len(data)
            if not data or total > _MOST_BYTES:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    step = json.loads(line)
                    if isinstance(step, dict):
                        yield step


def _wait(child: subprocess.Popen[bytes], deadline: float) -> int:
    try:
        return child.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return 0  # it has said everything; what hangs is its end


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave nothing running. A process that the kernel holds in a call dies when the call ends."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if child.poll() is None:
        child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(1.0)
