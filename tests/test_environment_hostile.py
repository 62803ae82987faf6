"""Environments that are damaged, or made to do harm: a finding each, the rest is answered, and nothing in them runs."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import build
import pytest
from plain import SYSTEMS, unmeasured
from test_scanner import codes

from capably.cli.environment import Environment, distributions
from capably.facts import DAMAGE
from capably.probe import Machine, system
from capably.scanner import scan_distribution
from capably.scanner.metadata import Distribution, find_distributions, installed_versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="named pipes and the account of a child, of POSIX")

LIBRARY = build.library(build.fatbin([build.sass("sm_90")]))
INFO = "spoiled-2.0.dist-info"
MOST_SECONDS = 2.0
MOST_BYTES = 300 << 20
PATIENCE = 60.0


# A small process starts the command: what the one that starts another holds counts as that one's, and the tests are large.
STARTING = """
import json, os, resource, subprocess, sys
folder, patience, *command = sys.argv[1:]
with open(os.path.join(folder, "out"), "wb") as out, open(os.path.join(folder, "err"), "wb") as err:
    process = subprocess.Popen(command, stdout=out, stderr=err)
    try:
        process.wait(float(patience))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


class Ran(NamedTuple):
    """What a command did. The seconds are those of the processor: others work at the same time."""

    code: int
    out: str
    err: str
    seconds: float
    most_bytes: int


def capably(folder: Path, *arguments: str, **environ: str) -> Ran:
    """The command line, in a process of its own, whose files go to *folder*."""
    command = [sys.executable, "-m", "capably", *arguments]
    places = {"CAPABLY_SYSTEM": str(SYSTEMS / "none.json"), "XDG_CACHE_HOME": str(folder / "cache")}
    full = {**unmeasured(), "PYTHONPATH": os.pathsep.join(sys.path), **places, **environ}
    starting = [sys.executable, "-I", "-S", "-c", STARTING, str(folder), str(PATIENCE), *command]
    account = subprocess.run(starting, env=full, stdout=subprocess.PIPE, check=True).stdout
    code, seconds, most = json.loads(account)
    out_text, err_text = ((folder / name).read_text("utf-8") for name in ("out", "err"))
    scale = 1 if sys.platform == "darwin" else 1024
    return Ran(code, out_text, err_text, seconds, most * scale)


def install(site: Path, name: str, version: str) -> Path:
    """A distribution with GPU code; the folder of its metadata."""
    wheel = build.wheel(site.parent, name, version, {f"{name}/_C.so": LIBRARY})
    shutil.unpack_archive(wheel, site, "zip")
    wheel.unlink()
    return site / f"{name}-{version}.dist-info"


def sparse(place: Path) -> None:
    place.unlink()
    with place.open("wb") as file:
        file.truncate(4 << 30)


def link(target: str) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.unlink()
        place.symlink_to(target)

    return make


def folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def pipe(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    os.mkfifo(place)


def text(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.write_bytes(change(place.read_bytes()))

    return make


KINDS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "metadata is not UTF-8": ("METADATA", text(lambda old: old + b"Author: \xe9\n")),
    "metadata is a loop of links": ("METADATA", link("METADATA")),
    "metadata is a named pipe": ("METADATA", pipe),
    "metadata is a device without end": ("METADATA", link("/dev/zero")),
    "metadata is sparse": ("METADATA", sparse),
    "metadata is a folder": ("METADATA", folder),
    "metadata has a name of 60 kB": ("METADATA", text(lambda old: old.replace(b"Name: ", b"Name: " + b"x" * 60_000))),
    "metadata has a name of several lines": (
        "METADATA",
        text(lambda old: old.replace(b"Name: ", b"Name: a\n ::error::")),
    ),
    "metadata has a null in the version": (
        "METADATA",
        text(lambda old: old.replace(b"Version: ", b"Version: \0\x1b[31m")),
    ),
    "metadata is zeros": ("METADATA", text(lambda old: bytes(len(old)))),
    "tags are not UTF-8": ("WHEEL", text(lambda old: old + b"\xff\xfe")),
    "tags are a named pipe": ("WHEEL", pipe),
    "tags are a long line": ("WHEEL", text(lambda old: old + b"Tag: py3-none-" + b"x" * 60_000 + b"\n")),
    "record is not UTF-8": ("RECORD", text(lambda old: old.replace(b"sha256=", b"sha256=\xe9"))),
    "record is a loop of links": ("RECORD", link("RECORD")),
    "record is a named pipe": ("RECORD", pipe),
    "record is a device without end": ("RECORD", link("/dev/zero")),
    "record is sparse": ("RECORD", sparse),
    "record is empty": ("RECORD", text(lambda _: b"")),
    "record has a long line": ("RECORD", text(lambda old: old + b"x" * 5_000_000 + b",,\n")),
    "record has names of 60 kB": ("RECORD", text(lambda old: old + (b"y" * 60_000 + b",,\n") * 500)),
    "record has nulls": ("RECORD", text(lambda old: old + b"a\0b,,\n")),
    "the folder is a named pipe": ("", pipe),
}
# What of the list of files could be read was read.
HIDING = {name for name, (file, _) in KINDS.items() if file in ("RECORD", "")} - {"record is not UTF-8"}
NO_FILES = HIDING - {"record has a long line", "record has names of 60 kB", "record has nulls"}
# Each with each command; all of them are in one environment below.
ELEVEN = (
    "metadata is not UTF-8",
    "metadata is a loop of links",
    "metadata is a named pipe",
    "metadata is a device without end",
    "metadata is sparse",
    "metadata is a folder",
    "metadata has a name of several lines",
    "tags are not UTF-8",
    "record is a named pipe",
    "record is sparse",
    "record has names of 60 kB",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An environment with a sound distribution, and one to spoil."""
    place = tmp_path / "env/lib/python3.12/site-packages"
    place.mkdir(parents=True)
    install(place, "sound", "1.0")
    install(place, "spoiled", "2.0")
    return place


def told(ran: Ran) -> list[dict[str, Any]]:
    """The findings about the spoiled distribution, in the JSON of doctor and of check."""
    document = json.loads(ran.out)
    if "results" in document:
        assert not document["errors"]
        return [one for row in document["results"] if row["artifact"] == "spoiled" for one in row["findings"]]
    return [one for one in document["findings"] if one["subject"] == "spoiled"]


@pytest.mark.parametrize("command", [["doctor"], ["check"], ["check", "spoiled"]], ids=" ".join)
@pytest.mark.parametrize("kind", ELEVEN)
def test_damage_is_one_finding_and_the_rest_is_answered(
    kind: str, command: list[str], site: Path, tmp_path: Path
) -> None:
    file, spoil = KINDS[kind]
    spoil(site / INFO / file)
    ran = capably(tmp_path, *command, "--gpu", "H100", "--json", "--python", str(tmp_path / "env"))
    wanted = "damaged-record" if kind in HIDING else "damaged-metadata"
    assert ran.code == (3 if len(command) == 2 and kind in HIDING else 0), ran.err
    damage = [one for one in told(ran) if one["code"] in DAMAGE]
    assert [one["code"] for one in damage] == [wanted]
    assert f"{INFO}/{file}".rstrip("/") in json.dumps(damage)
    assert {one["code"] for one in told(ran)} <= {wanted, "no-gpu-code", "package-undecided"}
    assert not re.search("bug|error", ran.err)
    assert len(ran.out) < 20_000
    if len(command) == 1:
        document = json.loads(ran.out)
        rows = {
            row.get("artifact") or row.get("name"): row for row in document.get("results", document.get("packages"))
        }
        assert rows["sound"]["coverage"] == "full"
        assert ("spoiled" in rows and rows["spoiled"]["outcomes"]["runs"] > 0) is (kind not in NO_FILES)
    assert ran.seconds < MOST_SECONDS
    assert ran.most_bytes < MOST_BYTES


@pytest.mark.parametrize(("fail_on", "code"), [("none", 3), ("partial", 3), ("unknown", 1)])
def test_files_that_are_not_known_are_not_passed(fail_on: str, code: int, site: Path, tmp_path: Path) -> None:
    pipe(site / INFO / "RECORD")
    python = ["--python", str(tmp_path / "env"), "--gpu", "H100"]
    for names in ([], ["spoiled"]):
        assert capably(tmp_path, "check", *names, "--fail-on", fail_on, *python).code == code
    assert capably(tmp_path, "check", "sound", "--fail-on", fail_on, *python).code == 0


def test_damage_is_a_line_of_text(site: Path, tmp_path: Path) -> None:
    pipe(site / INFO / "METADATA")
    python = ["--python", str(tmp_path / "env"), "--gpu", "H100"]
    line = f"{INFO}/METADATA: It cannot be read: not a regular file."
    assert line in capably(tmp_path, "check", *python, COLUMNS="160").out
    assert line in capably(tmp_path, "check", "spoiled", *python, COLUMNS="160").out
    assert f"{INFO}/METADATA: it cannot be read" in capably(tmp_path, "doctor", *python, COLUMNS="160").out


def test_all_kinds_at_once_and_a_thousand_more(site: Path, tmp_path: Path) -> None:
    for number, (file, spoil) in enumerate(KINDS.values()):
        info = install(site, f"kind{number}", "1.0")
        spoil(info / file)
    for number in range(1000):
        (site / f"many{number}-1.dist-info").mkdir()
        (site / f"many{number}-1.dist-info/METADATA").write_bytes(b"\xff")
    ran = capably(tmp_path, "check", "--gpu", "H100", "--json", "--python", str(tmp_path / "env"))
    assert ran.code == 0, ran.err
    rows = json.loads(ran.out)["results"]
    assert len(rows) == 2 + len(KINDS) + 1000
    damage = [one["code"] for row in rows for one in row["findings"] if one["code"] in DAMAGE]
    assert len(damage) == len(KINDS) + 1000
    assert ran.most_bytes < MOST_BYTES


def test_what_may_be_read_of_an_environment_is_bounded(tmp_path: Path) -> None:
    """Each file is smaller than one may be, and all together are more."""
    for number in range(200):
        info = tmp_path / f"a{number:03}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: a{number:03}\nVersion: 1\n")
        with (info / "METADATA").open("r+b") as file:
            file.truncate((4 << 20) - 1)
    start = time.process_time()
    found = list(find_distributions([str(tmp_path)]))
    assert len(found) == 200
    damaged = [one for one in found if one.damage]
    assert len(damaged) == 136
    assert damaged[0].name == "a064"
    (finding,) = damaged[0].damage.values()
    assert "more than is read of an environment" in finding.message
    assert time.process_time() - start < 5


# -- what is read, and as whom


def test_a_damaged_one_hides_no_sound_one_of_the_same_name(site: Path) -> None:
    old = site / "sound-0.9.dist-info"
    old.mkdir()
    os.mkfifo(old / "METADATA")
    found = distributions(Environment("", "", (str(site),)))
    assert {name: (one.version, bool(one.damage)) for name, one in found.items()} == {
        "sound": ("1.0", False),
        "sound-0-9-dist-info": ("0.9", True),
        "spoiled": ("2.0", False),
    }


def test_a_missing_file_of_metadata_is_damage_where_there_is_a_record(site: Path) -> None:
    (site / INFO / "METADATA").unlink()
    artifact = scan_distribution(Distribution(str(site / INFO)))
    assert codes(artifact) == ["damaged-metadata"]
    assert (artifact.name, artifact.version, len(artifact.libraries)) == ("spoiled", "2.0", 1)


def test_names_of_files_that_are_not_utf_8_are_found(site: Path) -> None:
    name = os.fsencode(site) + b"/spoiled/\xe9.so"
    try:
        with open(name, "wb") as file:  # noqa: PTH123 - no text
            file.write(LIBRARY)
    except OSError:
        pytest.skip("this file system takes no such names")
    with (site / INFO / "RECORD").open("ab") as record:
        record.write(b"spoiled/\xe9.so,,\n")
    (library,) = scan_distribution(Distribution(str(site / INFO))).libraries
    assert library.copies == ("spoiled/\udce9.so",)


def test_a_file_of_the_record_that_is_a_named_pipe_is_said_to_be_none(site: Path) -> None:
    pipe(site / "spoiled/_C.so")
    artifact = scan_distribution(Distribution(str(site / INFO)))
    assert [(one.code, one.message) for one in artifact.findings][:1] == [
        ("missing-library", "It is in RECORD but no regular file.")
    ]


def test_eggs(tmp_path: Path) -> None:
    """As setuptools and Debian leave them: a folder, a file, and an egg on the path."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one/_C.so").write_bytes(LIBRARY)
    for name, file, lines in (
        ("a_b-1.0-py3.12.egg-info", "installed-files.txt", "../one/_C.so\nPKG-INFO\n"),
        ("c-2.0.egg-info", "SOURCES.txt", "one/_C.so\nsetup.py\n"),
    ):
        (tmp_path / name).mkdir()
        stem = name.split("-")
        (tmp_path / name / "PKG-INFO").write_text(f"Name: {stem[0]}\nVersion: {stem[1].removesuffix('.egg')}\n")
        (tmp_path / name / file).write_text(lines)
    (tmp_path / "d-3.0.egg-info").write_text("Metadata-Version: 1.1\nName: D\nVersion: 3.0\n")
    os.mkfifo(tmp_path / "e-4.0.egg-info")
    egg = tmp_path / "f-5.0-py3.12.egg"
    (egg / "EGG-INFO").mkdir(parents=True)
    (egg / "EGG-INFO/PKG-INFO").write_text("Name: f\nVersion: 5.0\n")
    found = {one.name: one for one in find_distributions([str(tmp_path), str(egg)])}
    assert [*found] == ["a_b", "c", "D", "e", "f"]
    artifacts = {name: scan_distribution(one) for name, one in found.items()}
    assert [library.path for library in artifacts["a_b"].libraries] == ["one/_C.so"]
    assert [library.path for library in artifacts["c"].libraries] == ["one/_C.so"]
    assert codes(artifacts["c"]) == []  # what was not installed is not missed
    assert (artifacts["D"].version, codes(artifacts["D"])) == ("3.0", ["unreadable-file", "no-gpu-code"])
    assert codes(artifacts["e"]) == ["damaged-record", "no-gpu-code"]
    assert artifacts["f"].version == "5.0"


def test_damage_is_not_remembered(site: Path, tmp_path: Path) -> None:
    python = ["--json", "--gpu", "H100", "--python", str(tmp_path / "env")]
    before = (site / INFO / "RECORD").read_bytes()
    pipe(site / INFO / "RECORD")
    for _ in range(2):
        assert [one["code"] for one in told(capably(tmp_path, "check", *python))] == ["damaged-record", "no-gpu-code"]
    (site / INFO / "RECORD").unlink()
    (site / INFO / "RECORD").write_bytes(before)
    assert told(capably(tmp_path, "check", *python)) == []


def test_the_record_of_a_machine_takes_folders_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "torch-2.0.dist-info")
    (tmp_path / "triton-3.0.dist-info").symlink_to("triton-3.0.dist-info")
    (tmp_path / "xformers-1\n::error::.dist-info").mkdir()
    (tmp_path / "cupy-13.0.dist-info").mkdir()
    found = system(Machine(paths=(str(tmp_path), str(tmp_path / "gone")), environ={}, prefix=str(tmp_path)))
    assert found.distributions == (("cupy", "13.0"),)


@pytest.mark.parametrize("kind", KINDS)
def test_the_process_itself_asks_for_a_version_within_bounds(kind: str, site: Path) -> None:
    """A gate with a condition on what is installed, and what configures a tool by its version."""
    file, spoil = KINDS[kind]
    spoil(site / INFO / file)
    script = """
import resource, sys
import capably
from capably.scanner.metadata import installed_versions
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
sys.path.insert(0, sys.argv[1])
print(installed_versions(["spoiled", "sound", "pytest", "nowhere-at-all"], sys.path))
for asked in ("installed:spoiled>=1", "installed:spoiled>=3", "installed:sound>=1"):
    try:
        print(len(capably.require(asked)))
    except capably.IncompatibleError as error:
        print(type(error).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(site)],
        env={**os.environ, "CAPABLY_SYSTEM": str(SYSTEMS / "h100x2-r535.json")},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert not done.stderr
    versions, *answers = done.stdout.splitlines()
    version = None if kind == "metadata is zeros" else "2.0"
    known = ast.literal_eval(versions)
    assert known == {"spoiled": version, "sound": "1.0", "pytest": pytest.__version__}
    told = ["UndecidedError", "UndecidedError"] if version is None else ["2", "PackageError"]
    assert answers == [*told, "2"]


def test_distributions_that_lie_in_no_folder_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.wheel(tmp_path, "packed", "3.0", {}).rename(tmp_path / "packed.zip")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    assert installed_versions(["Packed"], sys.path) == {"Packed": "3.0"}


# -- nothing runs


@pytest.fixture
def trap(site: Path, tmp_path: Path) -> Path:
    """Everything in the environment that Python, or a guess, could run leaves a mark."""
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'a').write('python ')\n"
    (site / "evil.pth").write_text(f"import sys; {code}")
    for name in ("sitecustomize", "usercustomize", "json", "encodings", "torch", "sound", "pip"):
        (site / f"{name}.py").write_text(code)
    (tmp_path / "env/bin").mkdir()
    for name in ("python", "python3", "python3.12", "pip"):
        program = tmp_path / "env/bin" / name
        program.write_text(f'#!/bin/sh\necho {name} >> {mark}\nexec {sys.executable} "$@"\n')
        program.chmod(0o755)
    return mark


@pytest.mark.parametrize(
    ("command", "named"),
    [
        *((["check"], named) for named in ("--python ENV", "--python ENV/bin/python", "VIRTUAL_ENV", "CONDA_PREFIX")),
        *(
            (command, "VIRTUAL_ENV")
            for command in (["check", "sound"], ["doctor"], ["explain"], ["plan", "--for", "torch"])
        ),
        (["doctor"], "--python ENV"),
    ],
)
def test_nothing_of_an_environment_runs(command: list[str], named: str, trap: Path, tmp_path: Path) -> None:
    place = tmp_path / "env"
    (place / "pyvenv.cfg").write_text(f"home = {place}/bin\nversion = 3.12.0\ninclude-system-site-packages = false\n")
    option, _, below = named.partition(" ENV")
    arguments = [option, f"{place}{below}"] if option == "--python" else []
    environ: dict[str, str] = (
        {} if arguments else {option: str(place), "PATH": f"{place}/bin{os.pathsep}{os.environ['PATH']}"}
    )
    if command[0] == "explain":
        log = tmp_path / "log"
        log.write_text("CUDA error: no kernel image is available for execution on the device\n")
        command = [*command, "--log", str(log)]
    gpu = [] if command[0] == "explain" else ["--gpu", "H100"]
    if not arguments:
        environ["CAPABLY_SYSTEM"] = ""  # by a record of a machine, nobody looks at what is active here
    ran = capably(tmp_path, *command, *gpu, *arguments, **environ)
    assert ran.code in (0, 3), ran.err
    assert not trap.exists(), trap.read_text()


@pytest.mark.skipif(shutil.which("strace") is None, reason="watches what is executed")
@pytest.mark.parametrize("command", [["check"], ["check", "sound"]], ids=" ".join)
def test_no_program_is_executed(command: list[str], trap: Path, tmp_path: Path) -> None:
    del trap
    log = tmp_path / "calls"
    watched = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=execve",
        "-o",
        str(log),
        sys.executable,
        "-m",
        "capably",
    ]
    arguments = [*command, "--gpu", "H100", "--python", str(tmp_path / "env")]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CAPABLY_SYSTEM": str(SYSTEMS / "none.json")}
    done = subprocess.run([*watched, *arguments], env=environ, capture_output=True, check=False, cwd=tmp_path)
    if b"ptrace" in done.stderr.lower():
        pytest.skip("nothing may be traced here")
    assert done.returncode == 0, done.stderr
    executed = re.findall(r'execve\("([^"]+)"', log.read_text())
    assert executed == [sys.executable]
