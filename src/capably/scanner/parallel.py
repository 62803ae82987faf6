"""Several files at a time, in threads.

Inflating, checksums and reading release the interpreter's lock, and they are most of the work on a large
archive. Threads rather than processes: nothing has to be pickled, no `__main__` has to be importable, and all
of them end before the call returns.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Load", "ahead", "run", "workers"]

# Seconds between two that are told: each wakes the thread of the caller, which then wants the interpreter's lock.
_PAUSE = 0.02
_MOST = 4  # the largest file bounds the whole, and each worker holds chunks of one

Task = TypeVar("Task")
Item = TypeVar("Item")


def workers() -> int:
    """How many threads are of use to this process."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        count = os.cpu_count() or 1
    return min(count, _MOST)


class Load:
    """How much there is to do for the threads of a call."""

    def __init__(self) -> None:
        # Lists, whose methods need no lock.
        self._tasks: list[None] = []
        self._ahead: list[None] = []

    def start(self, number: int) -> None:
        """Note how many tasks there are to do."""
        self._tasks[:] = [None] * number

    def done(self) -> None:
        """Note that one is done."""
        with suppress(IndexError):  # after `end`
            self._tasks.pop()

    def end(self) -> None:
        """Note that the others will not be done."""
        self._tasks.clear()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Count a thread that works ahead of another."""
        self._ahead.append(None)
        try:
            yield
        finally:
            self._ahead.pop()

    def leaves_a_core(self) -> bool:
        """Whether a thread more would not take the place of another."""
        return max(len(self._tasks), 1) + len(self._ahead) < workers()


def run(
    tasks: Sequence[Task],
    work: Callable[[Task, Callable[[str, int, int], None]], None],
    progress: Callable[[str, int, int], None],
    cancel: Callable[[], None],
    load: Load,
) -> bool:
    """Do all tasks, the first ones first, and return when no thread is left.

    Args:
        tasks: What to do.
        work: Does one of them, in some thread. It gets a function to tell progress to.
        progress: Called for it now and then in the thread of the caller, which need not know of the others.
        cancel: Makes `work` return soon, where *progress* or a signal raises.
        load: That of the call.

    Returns:
        False where no thread can be started; then nothing was done.
    """
    todo: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        todo.put(task)
    events: queue.SimpleQueue[tuple[str, int, int] | BaseException | None] = queue.SimpleQueue()

    told = -_PAUSE

    def tell(name: str, done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _PAUSE:
            told = now
            events.put((name, done, total))

    def worker() -> None:
        try:
            while True:
                task = todo.get_nowait()
                try:
                    work(task, tell)
                finally:
                    load.done()
        except queue.Empty:
            events.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            events.put(error)

    load.start(len(tasks))
    threads: list[threading.Thread] = []
    failure: BaseException | None = None
    try:
        for number in range(min(workers(), len(tasks))):
            threads.append(threading.Thread(target=worker, name=f"capably-{number}"))
            try:
                threads[-1].start()
            except RuntimeError:  # no more threads are to be had
                threads.pop()
                break
        running = len(threads)
        while running:
            event = events.get()
            if isinstance(event, tuple):
                progress(*event)
                continue
            running -= 1
            if event is not None:
                failure = failure or event
                cancel()
    except BaseException:
        cancel()
        raise
    finally:
        for thread in threads:
            _join(thread)
        load.end()
    if failure is not None:
        raise failure
    return bool(threads)


def ahead(items: Iterator[Item], most: int, load: Load) -> Iterator[Item]:
    """The same items, made in a thread of their own before somebody asks for them, once a core is free for that.

    The thread ends with the items, or with the iterator.

    Args:
        items: What to make. What it raises is raised here.
        most: How many may wait.
        load: That of the call.
    """
    # Of most members of archives nobody wants more than their heads, which are in the first.
    for item in items:
        yield item
        if load.leaves_a_core():
            break
    else:
        return
    ready: queue.SimpleQueue[tuple[Item | None, BaseException | None]] = queue.SimpleQueue()
    room = threading.Semaphore(most)
    stopped = False

    def make() -> None:
        try:
            for item in items:
                ready.put((item, None))
                room.acquire()
                if stopped:
                    return
            ready.put((None, StopIteration()))
        except BaseException as error:  # noqa: BLE001 - raised again by who asks
            ready.put((None, error))

    thread = threading.Thread(target=make, name="capably-ahead", daemon=True)
    try:
        try:
            thread.start()
        except RuntimeError:  # no more threads are to be had
            yield from items
            return
        with load.ahead():
            while True:
                made, error = ready.get()
                if isinstance(error, StopIteration):
                    return
                if error is not None:
                    raise error
                room.release()
                yield made  # type: ignore[misc]  # there is one where there is no error
                made = None
    finally:
        stopped = True
        room.release()
        _join(thread)


def _join(thread: threading.Thread) -> None:
    """Wait for the end of a thread, if it ever began: an interrupt may come while it is started."""
    with suppress(RuntimeError):
        thread.join()
