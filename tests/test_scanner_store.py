"""Scans with a store: what is remembered is what is there, or is read again."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import build
import pytest
from test_scanner_distribution import install

from capably.errors import ScanError
from capably.facts import Artifact, to_object
from capably.scanner import DEFAULT_LIMITS, Limits, remember, scan, scan_distribution
from capably.scanner.job import Job
from capably.store import Store

ONE = build.library(build.fatbin([build.sass("sm_90"), build.ptx_entry("compute_90", "8.0")]))
TWO = build.library(build.fatbin([build.sass("sm_80")]))
LARGE = ONE + bytes(70_000)  # worth an entry of its own in a tree


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache") / "store")


@pytest.fixture(autouse=True)
def _nothing_is_too_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the tests were made a moment ago; pretend that this is long past."""
    monkeypatch.setattr("capably.store._RACY_NS", -(10**12))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files and members that are read for their GPU code."""
    seen: list[str] = []
    advance = Job.advance

    def noted(self: Job, name: str, done: int, total: int) -> None:
        if name not in seen:
            seen.append(name)
        advance(self, name, done, total)

    monkeypatch.setattr(Job, "advance", noted)
    return seen


def tick() -> None:
    """Let the clock of the file system go on, so that a change gives another time."""
    time.sleep(0.02)


def wheel(folder: Path, data: bytes = ONE) -> Path:
    return build.wheel(folder, "pkg", "1.0", {"pkg/_C.so": data, "pkg/copy.so": data, "pkg/a.py": b"x = 1\n"})


@pytest.fixture(params=["library", "empty library", "wheel", "archive", "directory"])
def artifact(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    kind = request.param
    if kind == "wheel":
        return wheel(tmp_path)
    if kind == "archive":
        return build.zip_file(tmp_path / "a.zip", {"x.so": build.elf([build.section(".text", bytes(9))])})
    if kind == "directory":
        (tmp_path / "tree" / "below").mkdir(parents=True)
        (tmp_path / "tree" / "one.so").write_bytes(LARGE)
        (tmp_path / "tree" / "below" / "copy.so").write_bytes(LARGE)
        (tmp_path / "tree" / "below" / "a.py").write_text("")
        return tmp_path / "tree"
    path = tmp_path / "lib.so"
    path.write_bytes(ONE if kind == "library" else build.elf([build.section(".text", bytes(9))]))
    return path


@pytest.mark.parametrize("with_sha256", [False, True])
def test_what_is_remembered_is_what_was_read(artifact: Path, store: Store, reads: list[str], with_sha256: bool) -> None:
    plain = scan(artifact, with_sha256=with_sha256)
    assert reads
    assert scan(artifact, with_sha256=with_sha256, store=store) == plain
    reads.clear()
    assert scan(artifact, with_sha256=with_sha256, store=store) == plain
    assert not reads
    assert scan(artifact, with_sha256=not with_sha256, store=store) == scan(artifact, with_sha256=not with_sha256)
    limits = dataclasses.replace(DEFAULT_LIMITS, entries=1)
    assert scan(artifact, limits=limits, store=store, with_sha256=with_sha256) == scan(
        artifact, limits=limits, with_sha256=with_sha256
    )
    reads.clear()
    more_time = dataclasses.replace(DEFAULT_LIMITS, seconds=9_999.0)
    assert scan(artifact, limits=more_time, with_sha256=with_sha256, store=store) == plain
    assert not reads


def test_another_version_of_the_scanner_knows_nothing(
    artifact: Path, store: Store, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(artifact, store=store)
    reads.clear()
    monkeypatch.setattr(remember, "RESULTS", remember.RESULTS + 1)
    scan(artifact, store=store)
    assert reads


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"path": 1}', b'{"paths":[1]}'])
def test_entries_that_make_no_sense_are_mended(
    artifact: Path, store: Store, value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = scan(artifact)
    scan(artifact, store=store)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "get", lambda *_: value)
        assert scan(artifact, store=store) == plain
    assert scan(artifact, store=store) == plain


def test_damaged_entries_are_mended(artifact: Path, store: Store, reads: list[str]) -> None:
    plain = scan(artifact)
    scan(artifact, store=store)
    for path in store.root.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    reads.clear()
    assert scan(artifact, store=store) == plain
    assert reads
    reads.clear()
    assert scan(artifact, store=store) == plain
    assert not reads


def test_what_changed_just_now_is_not_kept(
    artifact: Path, store: Store, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capably.store._RACY_NS", 2_000_000_000)
    scan(artifact, store=store)
    reads.clear()
    scan(artifact, store=store)
    assert reads
    assert store.info().entries == 0


def test_a_changed_file_is_read_again(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(ONE)
    status = path.stat()
    scan(path, store=store)
    tick()
    same_size = build.library(build.fatbin([build.sass("sm_89"), build.ptx_entry("compute_89", "8.0")]))
    assert len(same_size) == len(ONE)
    path.write_bytes(same_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as some tools do
    assert scan(path, store=store) == scan(path)
    assert "sm_89" in json.dumps(to_object(scan(path, store=store)))
    other = tmp_path / "new"
    other.write_bytes(TWO)
    other.replace(path)
    assert scan(path, store=store) == scan(path)


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    artifact: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = artifact / "one.so" if artifact.is_dir() else artifact
    advance = Job.advance

    def change(self: Job, name: str, done: int, total: int) -> None:
        advance(self, name, done, total)
        tick()
        os.utime(target)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "advance", change)
        scan(artifact, store=store)
    if target != artifact:  # the other file of the directory did not change
        assert store.info().entries <= 2
    elif not zipfile.is_zipfile(artifact):
        assert store.info().entries == 0
    assert scan(artifact, store=store) == scan(artifact)


def test_the_same_file_by_another_path(tmp_path: Path, store: Store, reads: list[str], artifact: Path) -> None:
    scan(artifact, store=store)
    reads.clear()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    other = artifact.rename(moved / artifact.name)
    assert scan(other, store=store) == (plain := scan(other))
    assert plain.path == str(other)


@pytest.mark.parametrize("with_sha256", [False, True])
def test_a_wheel_is_found_by_its_content(tmp_path: Path, store: Store, reads: list[str], with_sha256: bool) -> None:
    path = wheel(tmp_path)
    scan(path, store=store, with_sha256=with_sha256)
    for name in ("copy-2.0-py3-none-any.whl", "c.zip", "no wheel.whl"):
        copy = Path(shutil.copy(path, tmp_path / name))
        plain = scan(copy, with_sha256=with_sha256)
        reads.clear()
        assert scan(copy, store=store, with_sha256=with_sha256) == plain
        assert scan(copy, store=store, with_sha256=with_sha256) == plain
        assert not reads


def test_a_wheel_with_the_same_end_is_read(tmp_path: Path, store: Store, reads: list[str]) -> None:
    path = wheel(tmp_path, LARGE + random.Random(1).randbytes(90_000))  # noqa: S311 - for a test
    scan(path, store=store)
    data = bytearray(path.read_bytes())
    position = data.index(b"\x7fELF") if b"\x7fELF" in data else 200
    data[position + 60] ^= 1
    other = tmp_path / "other-1.0-py3-none-any.whl"
    other.write_bytes(data)
    plain = scan(other)
    reads.clear()
    assert scan(other, store=store) == plain
    assert reads


def test_with_one_processor_nothing_runs_beside(
    tmp_path: Path, store: Store, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    path = wheel(tmp_path)
    plain = scan(path, store=store)
    assert store.info().entries == 1
    copy = Path(shutil.copy(path, tmp_path / "pkg-1.0-1-py3-none-any.whl"))
    scan(copy, store=store, with_sha256=True)
    assert store.info().entries == 3
    reads.clear()
    assert scan(path, store=store) == plain
    assert not reads


def test_a_digest_ends_where_the_file_or_the_time_does(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    job = Job(DEFAULT_LIMITS, None, with_sha256=False)
    with path.open("rb") as file:
        assert remember.Digest(file.fileno(), 100, job).wait() is not None
        assert remember.Digest(file.fileno(), 101, job).wait() is None
        over = Job(Limits(seconds=1e-9), None, with_sha256=False)
        assert remember.Digest(file.fileno(), 100, over).stop() is None
    assert remember.Digest(10**6, 100, job).wait() is None


def test_what_may_work_next_time_is_not_kept(tmp_path: Path, store: Store) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "lib.so").write_bytes(LARGE)
    (tmp_path / "tree" / "gone.so").symlink_to("nowhere")
    assert [f.code for f in scan(tmp_path / "tree", store=store).findings] == ["unreadable-file"]
    assert store.info().entries == 1  # of the file that could be read
    (tmp_path / "tree" / "gone.so").unlink()
    (tmp_path / "tree" / "gone.so").write_bytes(TWO)
    assert scan(tmp_path / "tree", store=store) == scan(tmp_path / "tree")
    store.clear()
    hurried = Limits(seconds=1e-9)
    assert "limit-reached" in [f.code for f in scan(tmp_path / "tree", store=store, limits=hurried).findings]
    assert store.info().entries == 0


def test_errors_are_not_kept(tmp_path: Path, store: Store) -> None:
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path / "nothing", f"{tmp_path}/\0"):
        with pytest.raises(ScanError):
            scan(path, store=store)
    (tmp_path / "cut.whl").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(ScanError):
        scan(tmp_path / "cut.whl", store=store)
    assert store.info().entries == 0


# -- Directories


@pytest.mark.parametrize("change", ["edit", "add", "remove", "rename", "link", "source", "nested"])
def test_a_changed_directory_is_read_again(tmp_path: Path, store: Store, reads: list[str], change: str) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "one.so").write_bytes(LARGE)
    (tree / "below" / "two.so").write_bytes(TWO + bytes(80_000))
    (tree / "below" / "a.h").write_text("")
    (tree / "link.so").symlink_to("one.so")
    scan(tree, store=store)
    tick()
    if change == "edit":
        with (tree / "below" / "two.so").open("r+b") as file:
            file.write(build.library(build.fatbin([build.sass("sm_75")])))
    elif change == "add":
        (tree / "below" / "new.so").write_bytes(TWO)
    elif change == "remove":
        (tree / "below" / "two.so").unlink()
    elif change == "rename":
        (tree / "one.so").rename(tree / "three.so")
        (tree / "link.so").unlink()
    elif change == "link":
        (tree / "link.so").unlink()
        (tree / "link.so").symlink_to("below/two.so")
    elif change == "source":
        (tree / "new.h").write_bytes(TWO)
        (tree / "new.h").replace(tree / "below" / "a.h")
    else:
        (tree / "below" / "deep").mkdir()
        (tree / "below" / "deep" / "x.so").write_bytes(ONE)
    reads.clear()
    found = scan(tree, store=store)
    if change in ("add", "nested", "source"):
        assert len(reads) == 1  # the others are known one by one
    assert found == scan(tree)


@pytest.mark.skipif(os.name != "posix", reason="links need privileges on Windows")
def test_a_file_in_the_place_of_a_linked_directory_is_seen(tmp_path: Path, store: Store) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.so").write_bytes(TWO)
    (tmp_path / "tree/b.so").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    assert [library.path for library in scan(tmp_path / "tree", store=store).libraries] == ["a.so"]
    (tmp_path / "elsewhere").rmdir()
    (tmp_path / "elsewhere").write_bytes(ONE)
    assert [library.path for library in scan(tmp_path / "tree", store=store).libraries] == ["a.so", "b.so"]


def test_findings_of_a_file_are_remembered_with_it(tmp_path: Path, store: Store, reads: list[str]) -> None:
    damaged = bytearray(
        build.library(
            build.fatbin(
                [
                    build.sass(
                        "sm_90",
                    )
                ]
            ),
            build.fatbin([build.sass("sm_80")]),
        )
    )
    damaged = damaged[: len(damaged) // 2] + bytes(80_000)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "damaged.so").write_bytes(damaged)
    (tmp_path / "tree" / "none.so").write_bytes(build.elf([build.section(".text", bytes(70_000))]))
    plain = scan(tmp_path / "tree")
    scan(tmp_path / "tree", store=store)
    (tmp_path / "tree" / "more.py").write_text("")
    reads.clear()
    found = scan(tmp_path / "tree", store=store)
    assert not reads
    assert found.findings[:-1] == plain.findings[:-1]
    assert found.libraries == plain.libraries


# -- Distributions


def dist_in(root: Path) -> importlib.metadata.PathDistribution:
    sources = "".join(f"my_pkg/s{number}.py,,\n" for number in range(5))
    record = (
        "my_pkg/_C.so,,\nmy_pkg/copy.so,,\nmy_pkg/link.so,,\ntop.py,,\nmy_pkg/gone.pyc,,\nmy_pkg/gone.so,,\n"
        "my_pkg-1.0.dist-info/METADATA,,\nother/x.py,,\n" + sources
    )
    dist = install(root, record)
    (root / "top.py").write_text("")
    (root / "other").mkdir()
    (root / "other" / "x.py").write_text("")
    for number in range(5):
        (root / "my_pkg" / f"s{number}.py").write_text("")
    (root / "my_pkg" / "link.so").symlink_to("_C.so")
    return dist


def test_a_distribution_is_remembered(tmp_path: Path, store: Store, reads: list[str]) -> None:
    dist = dist_in(tmp_path)
    plain = scan_distribution(dist)
    assert scan_distribution(dist, store=store) == plain
    reads.clear()
    assert scan_distribution(dist, store=store) == plain
    (tmp_path / "stranger.py").write_text("")  # others may be installed beside it
    (tmp_path / "other" / "y.py").write_text("")
    assert scan_distribution(dist, store=store) == plain
    assert not reads


def replaced(path: Path, data: bytes) -> None:
    (path.parent / "new").write_bytes(data)
    (path.parent / "new").replace(path)


@pytest.mark.parametrize("change", ["my_pkg/_C.so", "my_pkg/gone.so"])
def test_a_changed_distribution_is_read_again(tmp_path: Path, store: Store, reads: list[str], change: str) -> None:
    dist = dist_in(tmp_path)
    before = scan_distribution(dist, store=store)
    tick()
    replaced(tmp_path / change, TWO)
    reads.clear()
    found = scan_distribution(dist, store=store)
    assert reads
    assert found == scan_distribution(dist) != before


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD"])
def test_changed_metadata_is_read_again(tmp_path: Path, store: Store, name: str) -> None:
    dist = dist_in(tmp_path)
    before = scan_distribution(dist, store=store)
    tick()
    path = tmp_path / "my_pkg-1.0.dist-info" / name
    text = path.read_text()
    path.write_text(
        {
            "METADATA": text.replace("Version: 1.0", "Version: 1.1"),
            "WHEEL": text.replace("_2_28_", "_2_34_"),
            "RECORD": text.replace("my_pkg/_C.so,,\n", ""),
        }[name]
    )
    assert scan_distribution(dist, store=store) == scan_distribution(dist) != before


def test_a_removed_file_is_missed(tmp_path: Path, store: Store) -> None:
    dist = dist_in(tmp_path)
    scan_distribution(dist, store=store)
    tick()
    (tmp_path / "my_pkg" / "s2.py").unlink()
    assert "my_pkg/s2.py" in [f.path for f in scan_distribution(dist, store=store).findings]


def test_distributions_that_lie_in_no_folder_are_not_read(tmp_path: Path, store: Store) -> None:
    path = build.zip_file(tmp_path / "site.zip", {"my_pkg-1.0.dist-info/METADATA": b"Name: My_Pkg\nVersion: 1.0\n"})
    dist = importlib.metadata.PathDistribution(zipfile.Path(path, "my_pkg-1.0.dist-info/"))
    with pytest.raises(ScanError, match="no distribution that lies in a folder"):
        scan_distribution(dist, store=store)
    assert store.info().entries == 0


def test_no_store_is_no_reason_to_fail(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert scan(artifact, store=Store(tmp_path / "file" / "store")) == scan(artifact)


# -- Many processes, some of them killed

WORKER = """
import json, sys
from pathlib import Path
from capably.facts import to_object
from capably.errors import ScanError
from capably.scanner import scan
from capably.store import Store

folder, root, out, seed = sys.argv[1:]
import random
paths = sorted(Path(folder).iterdir())
random.Random(seed).shuffle(paths)
results = {}
print("ready", flush=True)
sys.stdin.read(1)
for turn in range(2):
    for path in paths:
        results.setdefault(path.name, []).append(to_object(scan(path, store=Store(root))))
Path(out).write_text(json.dumps(results))
"""


def twenty_files(folder: Path) -> dict[str, Artifact]:
    """Libraries, wheels, and directories of both, settled long ago."""
    folder.mkdir()
    targets = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_100f", "sm_120"]
    for number, target in enumerate(targets):
        library = build.library(build.fatbin([build.sass(target), build.ptx_entry("compute_70", "7.0")]))
        (folder / f"lib{number}.so").write_bytes(library + bytes(number * 40_000))
        build.wheel(folder, f"pkg{number}", "1.0", {"a/_C.so": library, "a/_D.so": library + bytes(100_000)})
    return {path.name: scan(path) for path in sorted(folder.iterdir())}


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
def test_fifty_processes_a_third_of_them_killed(tmp_path: Path, store: Store) -> None:
    files = tmp_path / "files"
    right = {name: json.loads(json.dumps(to_object(artifact))) for name, artifact in twenty_files(files).items()}
    assert len(right) == 20
    (tmp_path / "out").mkdir()
    time.sleep(2.1)  # what was changed less than two seconds ago is not kept
    start = time.monotonic()
    dice = random.Random(7)  # noqa: S311 - the same moments every time
    running = []
    for number in range(50):
        command = [sys.executable, "-c", WORKER, str(files), str(store.root), str(tmp_path / "out" / str(number))]
        running.append(
            subprocess.Popen(
                [*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    killed = set(dice.sample(range(50), 17))
    for process in running:  # all begin at the same time, with an empty store
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
    moments = sorted((dice.uniform(0, 1.0), number) for number in killed)
    begun = time.monotonic()
    for moment, number in moments:
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        running[number].kill()
    for number, process in enumerate(running):
        _, errors = process.communicate(timeout=60)
        assert number in killed or (process.returncode == 0 and not errors), errors
    assert time.monotonic() - start < 60
    done = 0
    for path in (tmp_path / "out").iterdir():
        if path.name in {str(number) for number in killed}:
            continue  # may be cut off
        done += 1
        found = json.loads(path.read_text())
        assert found == {name: [result, result] for name, result in right.items()}
    assert done == 50 - len(killed)
    assert sum(running[number].returncode < 0 for number in killed) >= 10  # the others were done by then
    assert [path.name for path in store.root.iterdir() if len(path.name) != 64] == []
    verification = store.verify()
    assert verification.removed == 0
    assert verification.sound == 30  # one for each file, and one for the content of each wheel
    for name, artifact in right.items():
        assert json.loads(json.dumps(to_object(scan(files / name, store=store)))) == artifact
