"""The store: what is put is what is got, or nothing; whoever damages, fills, forbids or kills."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from schemas import fits_schema

from capably import store as module
from capably.cli.app import cli
from capably.cli.cache import cache_folder
from capably.report.cache import Kept, cache_document
from capably.store import FileStore, Store, StoreInfo, Verification
from capably.units import size_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


@pytest.fixture(params=["unnamed", "named"])
def store(root: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that writes as on Linux, and as elsewhere."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return Store(root)


def only_entry(root: Path) -> Path:
    (path,) = root.iterdir()
    return path


def test_put_and_get(store: Store, root: Path) -> None:
    assert store.get("a") is None
    assert not root.exists()  # looking makes nothing
    store.put("a", b"1")
    store.put("b", b"")
    store.put("\udc80 \0", b"surrogates are in names of files")
    assert (store.get("a"), store.get("b"), store.get("c")) == (b"1", b"", None)
    assert Store(root).get("\udc80 \0")
    store.put("a", b"22")
    assert store.get("a") == b"22"
    assert len(list(root.iterdir())) == 3


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=20)), max_size=12))
def test_it_is_a_mapping(tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, bytes]]) -> None:
    store = Store(tmp_path_factory.mktemp("law") / "store")
    for key, value in items:
        store.put(key, value)
    for key, value in dict(items).items():
        assert store.get(key) == value
    assert store.info().entries == len(dict(items))
    assert store.verify() == Verification(len(dict(items)), 0)
    assert store.clear() == len(dict(items))
    assert all(store.get(key) is None for key, _ in items)


def test_damage_of_any_byte_is_a_miss_and_is_mended(store: Store, root: Path) -> None:
    store.put("key", b"value")
    path = only_entry(root)
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        assert store.get("key") is None, position
        assert not path.exists(), position
        store.put("key", b"value")
        assert path.read_bytes() == whole
    for damaged in [*(whole[:length] for length in range(len(whole))), whole + b"\0"]:
        path.write_bytes(damaged)
        assert store.verify() == Verification(0, 1)
        store.put("key", b"value")
        assert store.get("key") == b"value"


def test_a_damaged_entry_is_replaced_unseen(store: Store, root: Path) -> None:
    store.put("key", b"value")
    only_entry(root).write_bytes(b"noise")
    store.put("key", b"value")
    assert store.get("key") == b"value"


def test_the_entry_of_another_key_is_a_miss(store: Store, root: Path) -> None:
    store.put("one", b"1")
    path = only_entry(root)
    store.put("two", b"2")
    other = next(entry for entry in root.iterdir() if entry != path)
    path.write_bytes(other.read_bytes())
    assert store.verify() == Verification(1, 1)
    path.write_bytes(other.read_bytes())
    assert store.get("one") is None


def test_files_of_others_stay(store: Store, root: Path) -> None:
    store.put("key", b"value")
    (root / "notes.txt").write_text("mine")
    assert store.info().entries == 1
    assert store.verify() == Verification(1, 0)
    assert store.clear() == 1
    assert [path.name for path in root.iterdir()] == ["notes.txt"]


@posix
def test_what_is_no_file_where_an_entry_should_be(store: Store, root: Path) -> None:
    store.put("key", b"value")
    path = only_entry(root)
    path.rename(root / "elsewhere")
    path.symlink_to("elsewhere")
    assert store.get("key") is None
    assert not path.is_symlink()
    os.mkfifo(path)
    assert store.get("key") is None  # and nobody waits for a writer
    assert not path.exists()
    path.mkdir()
    assert store.get("key") is None
    store.put("key", b"value")
    assert store.get("key") is None  # no value, no error


@posix
def test_nobody_else_can_read_or_write_it(store: Store, root: Path) -> None:
    store.put("key", b"value")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_entry(root).stat().st_mode) == 0o600


def refuses(store: Store) -> str:
    store.put("key", b"new")
    assert store.get("key") is None
    assert store.clear() == 0
    assert store.verify() == Verification(0, 0)
    problem = store.info().problem
    assert problem is not None
    return problem


@posix
def test_a_directory_in_which_others_can_write_is_refused(root: Path) -> None:
    Store(root).put("key", b"value")
    root.chmod(0o770)
    assert "other users" in refuses(Store(root))
    assert len(list(root.iterdir())) == 1


@posix
def test_a_directory_of_somebody_else_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(root).put("key", b"value")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert "another user" in refuses(Store(root))


@posix
def test_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    Store(root).put("key", b"value")
    (tmp_path / "link").symlink_to(root)
    assert "not a directory" in refuses(Store(tmp_path / "link"))


def test_a_file_in_the_way_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refuses(Store(tmp_path / "file"))
    assert refuses(Store(tmp_path / "file" / "below"))
    assert refuses(Store(f"{tmp_path}/\0"))


def test_a_directory_that_cannot_be_written_is_no_store(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(root).put("key", b"value")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written" in refuses(Store(root))


@pytest.mark.parametrize("failing", ["write", "scandir", "fstat"])
def test_a_full_disk_is_no_store(store: Store, failing: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("before", b"1")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        store.put("key", b"value")
        if failing == "fstat":
            assert store.get("before") is None
    assert store.get("before") == b"1"
    assert not [path for path in root.iterdir() if path.name.startswith("tmp-")]


def test_without_proc_entries_have_a_temporary_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(os, "link", link)
    store = Store(root)
    store.put("key", b"value")
    assert store.get("key") == b"value"


def test_a_file_system_without_unnamed_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_CREAT, raising=False)  # refused everywhere
    store = Store(root)
    store.put("key", b"value")
    assert store.get("key") == b"value"


def test_who_is_always_overtaken_gives_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise FileExistsError

    store = Store(root)
    monkeypatch.setattr(os, "link", link)
    store.put("key", b"value")


# -- The bound


def test_it_stays_within_its_bound_and_drops_what_was_not_used(root: Path) -> None:
    store = Store(root, max_bytes=40 * 4096)
    store.put("kept", b"k")
    old = time.time() - 100_000
    for number in range(200):
        store.put(f"{number}", b"x" * 1000)
        name = module._name(f"{number}")
        if (root / name).exists():
            os.utime(root / name, (old, old))
        os.utime(root / module._name("kept"), (old - 1, old - 1))
        assert store.get("kept") == b"k"  # which makes it the one that was used last
        info = store.info()
        assert info.size_bytes <= info.max_bytes
    assert store.info().entries >= 30


def test_what_is_used_counts_as_used_an_hour_later_and_not_before(store: Store, root: Path) -> None:
    store.put("key", b"value")
    (entry,) = (path for path in root.rglob("*") if path.is_file() and path.name == module._name("key"))
    for seconds, touched in ((600.0, False), (7200.0, True), (-7200.0, True)):  # a clock may have been wrong
        then = time.time() - seconds
        os.utime(entry, (then, then))
        assert store.get("key") == b"value"
        assert (abs(entry.stat().st_mtime - then) > 1) is touched


def test_what_takes_too_large_a_share_is_not_kept(root: Path) -> None:
    store = Store(root, max_bytes=1 << 20)
    store.put("large", bytes(300_000))
    assert store.get("large") is None
    store.put("small", bytes(200_000))
    assert store.get("small") is not None


@posix
@pytest.mark.parametrize("kind", [Store, FileStore])
def test_an_entry_takes_no_more_memory_than_one_may_have(kind: type[Store], root: Path) -> None:
    store = kind(root)
    store.put("key", b"value")
    (entry,) = root.iterdir()
    with entry.open("r+b") as file:
        file.truncate(8 << 30)
    tracemalloc.start()
    try:
        assert store.get("key") is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert not entry.exists()


def test_only_one_process_sweeps(root: Path) -> None:
    import fcntl

    store = Store(root, max_bytes=8 * 4096)
    store.put("first", b"")
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for number in range(20):
            store.put(str(number), b"")
        assert store.info().entries == 21  # nobody waits for the lock
    finally:
        os.close(descriptor)
    store.put("last", b"")
    assert store.info().entries <= 8


@posix
def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(root: Path) -> None:
    import fcntl

    Store(root).put("key", b"value")
    dead, alive = root / f"tmp-{'0' * 16}", root / f"tmp-{'1' * 16}"
    dead.write_bytes(b"half")
    alive.write_bytes(b"half")
    with alive.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Store(root).put("other", b"value")
        assert not dead.exists()
        assert alive.exists()
    Store(root).verify()
    assert not alive.exists()
    assert Store(root).info().entries == 2


def test_entries_that_vanish_and_directories_that_go(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    store = Store(root)
    store.put("key", b"value")
    shutil.rmtree(root)
    assert store.get("key") is None
    store.put("key", b"value")  # the directory is gone: no store for the rest of this process
    assert store.info() == StoreInfo(str(root), 0, 0, store.max_bytes)
    assert store.clear() == 0
    again = Store(root)
    again.put("key", b"value")
    assert again.get("key") == b"value"
    real = module.Store._entries

    def gone(self: Store) -> object:
        return [("0" * 64, status) for _, status in real(self)]

    monkeypatch.setattr(module.Store, "_entries", gone)
    assert again.clear() == 0


# -- Many at once

WRITER = """
import sys
from capably.store import Store
store = Store(sys.argv[1], max_bytes=1 << 20)
for turn in range(10_000):
    key = str(turn % 7)
    value = store.get(key)
    assert value is None or value == key.encode() * 5000, value[:20]
    store.put(key, key.encode() * 5000)
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="elsewhere leftovers go with the next sweep")
def test_killed_writers_leave_nothing(root: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stderr=subprocess.PIPE) for _ in range(4)]
    deadline = time.monotonic() + 20
    while not root.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    for process in running:
        process.kill()
        _, errors = process.communicate()
        assert not errors
    assert all(module._ENTRY.fullmatch(path.name) for path in root.iterdir())
    assert Store(root).verify().removed == 0


def test_threads_share_it(root: Path) -> None:
    store = Store(root)
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for turn in range(100):
            key = str((turn + number) % 5)
            store.put(key, key.encode() * 100)
            value = store.get(key)
            if value is not None and value != key.encode() * 100:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- Files


@pytest.fixture
def files(root: Path) -> FileStore:
    return FileStore(root)


def put_file(files: FileStore, data: bytes, name: str = "a-1-py3-none-any.whl") -> Path:
    with files.scratch() as scratch:
        (scratch / name).write_bytes(data)
        digest, path = files.put_file(scratch / name)
    assert digest == hashlib.sha256(data).hexdigest()
    return path


def test_files_are_kept_by_what_is_in_them(files: FileStore, root: Path) -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    assert files.file(digest, "a.whl") is None
    assert not root.exists()  # looking makes nothing
    path = put_file(files, b"data", "a.whl")
    assert (path, path.read_bytes()) == (root / digest / "a.whl", b"data")
    assert FileStore(root).file(digest, "a.whl") == path
    assert files.file(digest, "b.whl") is None
    assert files.file(digest, f"../{digest}/a.whl") is None
    assert files.file("../" + digest, "a.whl") is None
    assert put_file(files, b"data", "a.whl") == path
    renamed = put_file(files, b"data", "b.whl")
    assert (renamed.exists(), path.exists()) == (True, False)
    assert put_file(files, b"other").exists()
    files.put("value", b"beside them")
    info = files.info()
    assert info.entries == 2, "values do not count"
    assert info.size_bytes >= 3 * 4096
    assert files.verify() == Verification(2, 0)
    assert not list(root.glob("tmp-*"))
    assert files.clear() == 2
    assert list(root.iterdir()) == []


@posix
def test_a_file_of_somebody_else_is_not_used(files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_file(files, b"data", "a.whl")
    assert files.file(path.parent.name, "a.whl") == path
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert files.file(path.parent.name, "a.whl") is None


def test_files_are_private(files: FileStore, root: Path) -> None:
    path = put_file(files, b"data")
    assert [stat.S_IMODE(place.stat().st_mode) for place in (root, path.parent, path)] == [0o700, 0o700, 0o600]


def damages(path: Path, elsewhere: Path) -> dict[str, Callable[[], object]]:
    data = path.read_bytes()

    def link() -> None:
        path.unlink()
        path.symlink_to(elsewhere)

    def linked_folder() -> None:
        path.parent.rename(elsewhere.parent / "moved")
        path.parent.symlink_to(elsewhere.parent / "moved")

    def pipe() -> None:
        path.unlink()
        os.mkfifo(path)

    return {
        "cut": lambda: path.write_bytes(data[:-1]),
        "longer": lambda: path.write_bytes(data + b"x"),
        "empty": lambda: path.write_bytes(b""),
        "flipped": lambda: path.write_bytes(b"e" + data[1:]),
        "gone": path.unlink,
        "link": link,
        "linked folder": linked_folder,
        "pipe": pipe,
    }


@posix
@pytest.mark.parametrize("damage", ["cut", "longer", "empty", "flipped", "gone", "link", "linked folder", "pipe"])
@pytest.mark.parametrize("known", [False, True])
def test_a_damaged_file_is_a_miss_and_is_mended(
    files: FileStore, tmp_path: Path, damage: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_file(files, b"data")
    digest = path.parent.name
    (tmp_path / "elsewhere").write_bytes(b"data!")
    if known:  # its stamp is taken for a proof from now on
        with monkeypatch.context() as patch:
            patch.setattr(module, "_RACY_NS", -(10**12))
            assert files.file(digest, path.name) == path
    damages(path, tmp_path / "elsewhere")[damage]()
    assert files.file(digest, path.name) is None
    assert put_file(files, b"data") == path
    assert path.read_bytes() == b"data"
    damages(path, tmp_path / "elsewhere")["cut"]()
    assert files.verify() == Verification(0, 1)
    assert not path.parent.exists()


def test_a_file_is_hashed_once_when_it_rests(files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put_file(files, b"data")
    hashed: list[int] = []
    real = module._file_digest

    def count(descriptor: int) -> str:
        hashed.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr(module, "_file_digest", count)
    for expected in 1, 2:  # it was changed just now: the next change could leave the same stamp
        assert files.file(path.parent.name, path.name) == path
        assert len(hashed) == expected
    monkeypatch.setattr(module, "_RACY_NS", -(10**12))
    for _ in range(3):
        assert files.file(path.parent.name, path.name) == path
    assert len(hashed) == 3
    assert files.verify() == Verification(1, 0)
    assert len(hashed) == 4, "who asks for a look at all files gets one"


def test_files_stay_within_the_bound_but_for_those_in_use(root: Path) -> None:
    files = FileStore(root, max_bytes=1 << 20)
    paths = [put_file(files, bytes([number]) * 300_000) for number in range(8)]
    assert all(path.exists() for path in paths), "whoever has the path may not have opened it yet"
    old = time.time() - 7200
    for path in paths[:-1]:
        os.utime(path.parent, (old, old))
    last = put_file(FileStore(root, max_bytes=1 << 20), b"z" * 300_000)
    assert [path.exists() for path in (*paths[-1:], last)] == [True, True]
    info = files.info()
    assert (info.entries, info.size_bytes <= info.max_bytes) == (2, True)


@posix
def test_what_a_killed_fetch_left_goes(files: FileStore, root: Path) -> None:
    import fcntl

    put_file(files, b"data")
    dead, alive = root / f"tmp-{'0' * 16}", root / f"tmp-{'1' * 16}"
    for folder in dead, alive:
        folder.mkdir()
        (folder / "half.whl").write_bytes(b"half")
    descriptor = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        files.verify()
        assert (dead.exists(), alive.exists()) == (False, True)
    finally:
        os.close(descriptor)
    with files.scratch() as scratch:
        FileStore(root).clear()
        assert (scratch.exists(), alive.exists()) == (True, False)


@posix
def test_files_in_a_directory_of_others_are_not_used(files: FileStore, root: Path) -> None:
    path = put_file(files, b"data")
    root.chmod(0o770)
    other = FileStore(root)
    assert other.file(path.parent.name, path.name) is None
    with pytest.raises(PermissionError), other.scratch():
        pass
    assert "other users" in refuses(other)
    assert path.exists()


@posix
def test_only_regular_files_are_put(files: FileStore, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"data")
    with files.scratch() as scratch:
        (scratch / "link.whl").symlink_to(tmp_path / "target")
        os.mkfifo(scratch / "pipe.whl")
        for name in "link.whl", "pipe.whl":
            with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
                files.put_file(scratch / name)


# -- The command


def answer(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["cache", *arguments], standalone_mode=False)
    assert done.exception is None, done.exception
    assert done.return_value == 0
    return done.output


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPABLY_CACHE_DIR", str(tmp_path))
    root = tmp_path / "scans"
    fetched = tmp_path / "fetched"
    none = f"{fetched}: 0 wheels, 0 bytes of 10.7 GB\n"
    assert answer("info") == f"{root}: 0 results, 0 bytes of 268.4 MB\n{none}"
    store = Store(root)
    store.put("a", b"")
    assert f"{root}: 1 result, {size_text(store.info().size_bytes)} of" in answer("info")
    store.put("b", b"")
    next(iter(root.iterdir())).write_bytes(b"")
    assert answer("verify").startswith("1 result sound, 1 damaged and removed\n")
    document = json.loads(answer("verify", "--json"))
    fits_schema(document)
    assert document["cache"]["sound"] == 1
    assert answer("clear").startswith("1 result removed\n")
    assert json.loads(answer("clear", "--format", "json"))["cache"]["removed"] == 0
    fits_schema(json.loads(answer("info", "--json")))
    kept = Kept(StoreInfo("x", 0, 0, 1, "why"))
    fits_schema(cache_document(kept, kept))


def test_wheels_of_earlier_releases_are_shown_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPABLY_CACHE_DIR", str(tmp_path))
    wheel = tmp_path / "wheels/one-0123456789abcdef/one-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(bytes(1_500_000))
    notes = wheel.parent.parent / "notes.txt"
    notes.write_text("not ours")
    assert f"note: 1 fetched wheel, 1.5 MB, in {tmp_path / 'wheels'}, of an earlier" in answer("info")
    assert "fetched wheel" not in answer("info", "--quiet")
    assert "1 wheel removed\n" in answer("clear")
    assert (wheel.parent.exists(), notes.exists()) == (False, True)
    assert "earlier release:" not in answer("info")


def test_a_store_that_is_not_used_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPABLY_CACHE_DIR", str(tmp_path))
    (tmp_path / "scans").write_text("")
    assert "268.4 MB\nnot used: it is not a directory\n" in answer("info")


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPABLY_CACHE_DIR", raising=False)
    assert cache_folder().name.lower() in ("capably", "cache")
