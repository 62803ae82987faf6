"""Other programs, started for real: none outlives its limit, and what they print is bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from capably import processes
from capably.processes import Ended, collect, start

SECONDS = 20.0


def run(script: str, *, seconds: float = SECONDS, most_bytes: int = 1 << 20) -> Ended:
    return collect(start(["/bin/sh", "-c", script], os.environ), seconds=seconds, most_bytes=most_bytes)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_ends_by_itself() -> None:
    assert run("echo hello; exit 3") == Ended(b"hello\n", 3)
    assert run("kill -9 $$").code == -signal.SIGKILL
    assert run("cat; echo done").good  # there is nothing to read for it


@pytest.mark.parametrize("ending", ["wait", "exit 0"])
def test_children_of_a_program_do_not_outlive_it(ending: str) -> None:
    # The grandchild holds the pipe, whether its parent waits for it or not.
    begin = time.monotonic()
    ended = run(f"sleep 300 & echo $!; {ending}", seconds=0.5)
    assert time.monotonic() - begin < 10
    assert ended.problem == "timeout"
    pid = int(ended.output)
    for _ in range(100):
        if not alive(pid):
            break
        time.sleep(0.02)
    assert not alive(pid)


def test_a_child_in_a_session_of_its_own_holds_nobody() -> None:
    begin = time.monotonic()
    assert run(f"{sys.executable} -c 'import os, time; os.setsid(); time.sleep(3)' & exit 0", seconds=0.5).problem
    assert time.monotonic() - begin < 2.5


def test_a_program_that_prints_for_ever_is_ended() -> None:
    ended = run("yes", most_bytes=1000)
    assert ended.problem == "flood"
    assert ended.code is None
    assert ended.output == b"y\n" * 500


def test_how_a_child_ended_is_unknown_where_the_kernel_forgets_it() -> None:
    script = (
        "import os, signal; from capably.processes import *; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
        "ended = collect(start(['/bin/sh', '-c', 'echo hello; kill -9 $$'], os.environ), seconds=20, most_bytes=99); "
        "assert ended == Ended(b'hello\\n', None), ended; assert not ended.good"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_who_is_interrupted_ends_what_a_thread_waits_for() -> None:
    ended: list[Ended | str] = []

    def work() -> None:
        ended.append(run("echo hello; sleep 300"))
        try:
            run("sleep 300")
        except InterruptedError as error:
            ended.append(type(error).__name__)

    thread = threading.Thread(target=work)
    thread.start()
    while not processes._running:
        time.sleep(0.01)
    time.sleep(0.2)
    begin = time.monotonic()
    with processes.stopped():
        thread.join(SECONDS)
    assert time.monotonic() - begin < 10
    assert [one if isinstance(one, str) else one.code for one in ended] == [-signal.SIGKILL, "InterruptedError"]
    assert not processes._running
    assert run("exit 3").code == 3


def test_reading_takes_no_further_descriptor() -> None:
    """There may be none left, and then a program that runs already is still read and ended."""
    script = """
import os, time
from capably.processes import collect, start
process = start(["/bin/sh", "-c", "sleep 0.2; echo hello"], os.environ)
try:
    while True:
        os.dup(0)
except OSError:
    pass
print(collect(process, seconds=20, most_bytes=100).output)
"""
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n 32; exec "$@"', "sh", sys.executable, "-c", script],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stdout == "b'hello\\n'\n", done.stderr


def test_leaving_early_ends_the_program() -> None:
    process = start(["/bin/sh", "-c", "echo hello; sleep 300"], os.environ)
    assert next(processes.pieces(process, time.monotonic() + SECONDS)) == b"hello\n"
    processes.end(process)
    assert process.returncode == -signal.SIGKILL
