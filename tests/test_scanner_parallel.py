"""Members of large archives are read in several threads; nobody may notice but by the clock."""

from __future__ import annotations

import io
import random
import tarfile
import threading
import time
import zipfile
from typing import TYPE_CHECKING

import build
import pytest

from capably.errors import ScanError
from capably.scanner import Limits, archive, parallel, scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def nested(method: int, names: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in names.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def packed(names: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def members() -> dict[str, bytes]:
    code = [build.library(build.fatbin([build.sass(f"sm_{n}")]), needed=(f"lib{n}.so",)) for n in (75, 80, 86, 90)]
    result = {f"x/{i}.so": code[i % 4] for i in range(12)}
    result["x/bad.so"] = build.library(build.fatbin([build.sass("sm_75")]) * 2 + b"junk" * 40)
    result["x/a.py"] = b"pass\n"
    result["x/../out.so"] = code[0] + b"\0"
    inner = {"a.so": code[0], "b/a.so": code[0], "../c.so": code[1], "bad.so": result["x/bad.so"]}
    result["x/deflated.zip"] = nested(zipfile.ZIP_DEFLATED, inner)
    result["x/stored.zip"] = nested(zipfile.ZIP_STORED, {**inner, "again.zip": result["x/deflated.zip"]})
    result["x/a.tar.gz"] = packed({**inner, "again.zip": result["x/stored.zip"]})
    return result


@pytest.fixture
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    eager(monkeypatch)
    monkeypatch.setattr(parallel, "workers", lambda: 3)
    entered: list[int] = []
    run = parallel.run

    def noted(tasks: list[object], *others: object) -> bool:
        entered.append(len(tasks))
        return run(tasks, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(parallel, "run", noted)
    yield
    assert entered
    assert min(entered) > 1


def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads read members however small, and tell all progress."""
    for name in ("_PARALLEL_BYTES", "_PARALLEL_MEMBER"):
        monkeypatch.setattr(archive, name, 0)
    monkeypatch.setattr(parallel, "_PAUSE", 0.0)


def test_the_same_as_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build.wheel(tmp_path, "x", "1.0", members())
    raw = bytearray(path.read_bytes())
    at = raw.index(b"x/3.so") + 60
    raw[at : at + 40] = bytes(40)  # damage within one of them
    path.write_bytes(raw)
    expected = scan(path)
    assert expected.findings
    assert "x/a.tar.gz!/again.zip!/again.zip!/bad.so" in {library.path for library in expected.libraries}
    eager(monkeypatch)
    for count in (2, 3, 8):
        monkeypatch.setattr(parallel, "workers", lambda count=count: count)
        assert all(scan(path) == expected for _ in range(10))


@pytest.mark.usefixtures("three_threads")
def test_progress_is_told_in_the_thread_of_the_caller(tmp_path: Path) -> None:
    path = build.wheel(tmp_path, "x", "1.0", members())
    told: list[tuple[int, str]] = []
    scan(path, progress=lambda *step: told.append((threading.get_ident(), step[0])))
    assert {thread for thread, _ in told} == {threading.get_ident()}
    assert set(members()) <= {name for _, name in told}


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_progress_raises_ends_all_threads(tmp_path: Path, error: type[BaseException]) -> None:
    path = build.wheel(tmp_path, "x", "1.0", members())

    def progress(name: str, done: int, total: int) -> None:
        del name, done, total
        raise error

    before = threading.active_count()
    with pytest.raises(error):
        scan(path, progress=progress)
    assert threading.active_count() == before


@pytest.mark.usefixtures("three_threads")
def test_what_a_thread_raises_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build.wheel(tmp_path, "x", "1.0", members())

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(archive, "_read_member", broken)
    with pytest.raises(ScanError, match="Input/output error"):
        scan(path)


@pytest.mark.usefixtures("three_threads")
def test_without_threads_it_is_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build.wheel(tmp_path, "x", "1.0", members())
    expected = scan(path)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert scan(path) == expected


@pytest.mark.usefixtures("three_threads")
def test_limits_hold_over_all_threads(tmp_path: Path) -> None:
    path = build.wheel(tmp_path, "x", "1.0", {f"{i}.so": build.library(bytes(100_000)) for i in range(40)})
    artifact = scan(path, limits=Limits(total_bytes=500_000))
    assert artifact.files < 40
    assert "limit-reached" in {finding.code for finding in artifact.findings}
    assert [finding.message for finding in artifact.findings].count("The files after that were not read.") == 1


@pytest.mark.usefixtures("three_threads")
def test_files_of_nested_archives_count_in_all_threads(tmp_path: Path) -> None:
    inner = nested(zipfile.ZIP_STORED, {f"{i}.txt": b"x" for i in range(30)})
    path = build.wheel(tmp_path, "x", "1.0", {f"{i}.zip": inner for i in range(8)})
    artifact = scan(path, limits=Limits(members=100))
    assert 100 <= artifact.files <= 103  # a thread may have begun with one more
    assert any("Only the first 100 files" in finding.message for finding in artifact.findings)


@pytest.mark.usefixtures("three_threads")
def test_zips_in_archives_are_held_one_at_a_time(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(100_000)  # noqa: S311 - not a secret
    inner = nested(zipfile.ZIP_STORED, {"x.so": build.library(build.fatbin([build.sass()])), "noise": noise})
    path = build.wheel(tmp_path, "x", "1.0", {f"{i}.zip": inner for i in range(8)})
    for _ in range(5):
        artifact = scan(path, limits=Limits(nested_bytes=len(inner) + 10))
        assert len(artifact.libraries) == 8
        assert not artifact.findings


def test_workers_are_few() -> None:
    assert 1 <= parallel.workers() <= 4


def test_what_is_made_ahead_is_the_same_and_ends_with_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "workers", lambda: 2)
    load = parallel.Load()
    before = threading.active_count()
    made: list[int] = []

    def numbers(broken_at: int = 1_000) -> Iterator[int]:
        for number in range(1_000):
            if number == broken_at:
                raise ValueError(str(number))
            made.append(number)
            yield number

    assert list(parallel.ahead(numbers(), 3, load)) == list(range(1_000))
    made.clear()
    some = parallel.ahead(numbers(), 3, load)
    assert [next(some) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert threading.active_count() == before + 1
    some.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(made) <= 5 + 3 + 1
    with pytest.raises(ValueError, match="7"):
        list(parallel.ahead(numbers(7), 3, load))
    assert threading.active_count() == before


@pytest.mark.parametrize(("cores", "tasks"), [(1, 0), (1, 1), (2, 2), (3, 9)])
def test_nothing_is_made_ahead_while_all_cores_are_busy(
    monkeypatch: pytest.MonkeyPatch, cores: int, tasks: int
) -> None:
    monkeypatch.setattr(parallel, "workers", lambda: cores)
    load = parallel.Load()
    load.start(tasks)
    before = threading.active_count()
    numbers = parallel.ahead(iter(range(1_000)), 3, load)
    assert [next(numbers) for _ in range(500)] == list(range(500))
    assert threading.active_count() == before
    for _ in range(tasks - cores + 1):  # until one core is free
        load.done()
    assert next(numbers) == 500
    assert threading.active_count() == before + (cores > 1)
    assert list(numbers) == list(range(501, 1_000))
    assert threading.active_count() == before


def ends_with(before: int) -> bool:
    """Whether the threads come down to so many; those that an interrupt left are not waited for."""
    for _ in range(500):
        if threading.active_count() == before:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_while_a_thread_starts_leaves_none(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    monkeypatch.setattr(parallel, "workers", lambda: 2)
    before = threading.active_count()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if late:
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    some = parallel.ahead(iter(range(1_000)), 3, parallel.Load())
    assert next(some) == 0
    with pytest.raises(KeyboardInterrupt):
        next(some)
    assert ends_with(before)
    stop = threading.Event()

    def wait(*_: object) -> None:
        stop.wait(5)

    with pytest.raises(KeyboardInterrupt):
        parallel.run([1, 2], wait, lambda *_: None, stop.set, parallel.Load())
    assert stop.is_set()
    assert ends_with(before)


def test_one_thread_ahead_takes_the_place_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each level of archives within archives would have one, with what waits for it."""
    monkeypatch.setattr(parallel, "workers", lambda: 2)
    load = parallel.Load()
    before = threading.active_count()
    outer, inner = (parallel.ahead(iter(range(100)), 3, load) for _ in range(2))
    assert [next(outer), next(outer), next(inner), next(inner)] == [0, 1, 0, 1]
    assert threading.active_count() == before + 1
    assert list(outer) == list(range(2, 100))
    assert list(inner) == list(range(2, 100))
    assert threading.active_count() == before


def test_no_thread_waits_for_a_member_that_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_AHEAD_BYTES", 0)
    monkeypatch.setattr(parallel, "workers", lambda: 2)
    inner = nested(zipfile.ZIP_STORED, {"noise": bytes(12 << 20)})
    path = build.wheel(tmp_path, "x", "1.0", {"a.bin": bytes(12 << 20), "b.zip": inner})
    before = threading.active_count()
    artifact = scan(path, limits=Limits(nested_bytes=4 << 20))
    assert "too large to be held in memory" in str(artifact.findings)
    assert threading.active_count() == before


def test_inflated_ahead_and_in_line_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build.wheel(tmp_path, "x", "1.0", {**members(), "x/big.so": build.library(build.fatbin([]) * 9) * 9_000})
    monkeypatch.setattr(archive, "_AHEAD_BYTES", 1 << 40)
    expected = scan(path)
    monkeypatch.setattr(archive, "_AHEAD_BYTES", 0)
    monkeypatch.setattr(parallel, "workers", lambda: 2)
    assert scan(path) == expected
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0x55
    path.write_bytes(damaged)
    monkeypatch.setattr(archive, "_AHEAD_BYTES", 1 << 40)
    expected = scan(path)
    assert "damaged-archive-member" in {finding.code for finding in expected.findings}
    monkeypatch.setattr(archive, "_AHEAD_BYTES", 0)
    assert scan(path) == expected


@pytest.mark.parametrize(
    ("first", "step", "most"), [(1, 1, 1), (7, 13, 100), (64, 1_000, 999), (1 << 16, 1 << 20, 100)]
)
def test_however_it_is_cut_into_pieces_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, step: int, most: int
) -> None:
    path = build.wheel(
        tmp_path, "x", "1.0", {**members(), "x/zeros.so": build.library(build.fatbin([])) + bytes(9_000)}
    )
    expected = scan(path)
    for name, value in (("_FIRST", first), ("_INPUT", step), ("_OUTPUT", most)):
        monkeypatch.setattr(archive, name, value)
    assert scan(path) == expected
    assert not expected.findings or all(finding.code != "damaged-archive-member" for finding in expected.findings)
