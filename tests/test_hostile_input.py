"""Files that commands are told to read by name: whatever lies there, the answer is an answer or one error, and soon."""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import build
import pytest
from plain import SYSTEMS, enter_plain_folder

from capably.bounded import handed, read_given
from capably.cli import main
from capably.errors import RecordError
from capably.facts import System, from_object
from capably.facts.objects import from_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Captured = pytest.CaptureFixture[str]
RECORDS = sorted(SYSTEMS.glob("*.json"))
NO_IMAGE = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
TOO_OLD = "CUDA driver version is insufficient for CUDA runtime version"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enter_plain_folder(monkeypatch, tmp_path)
    Path("a.so").write_bytes(build.library(build.fatbin([build.sass("sm_80")])))


# Every command that takes --system, asked for all that it makes of one.
WITH_A_RECORD: tuple[tuple[str, ...], ...] = (
    ("plan",),
    ("plan", "--json"),
    ("plan", "-v", "--policy", "ptx"),
    ("plan", "--gpu", "H100"),
    ("plan", "--for", "torch"),
    ("plan", "--for", "flashinfer", "--shell"),
    ("plan", "--read", "8.0;9.0+PTX"),
    ("check", "a.so"),
    ("check", "a.so", "-v", "--json"),
    ("check", "a.so", "--gpu", "H100"),
    ("doctor",),
    ("doctor", "-v"),
    ("doctor", "--json"),
    ("doctor", "--gpu", "T4"),
    ("doctor", "--save", "-"),
    ("explain", NO_IMAGE),
    ("explain", TOO_OLD, "--json"),
    ("explain", "nvcc fatal   : Unsupported gpu architecture 'compute_120'"),
)


def run(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """The exit code and standard error, which never holds a traceback."""
    capsys.readouterr()
    code = main([*arguments])
    err = capsys.readouterr().err
    assert "Traceback" not in err, (arguments, err)
    assert code in {0, 1, 2, 3}
    return code, err


# ---------------------------------------------------------------------------------------------------------
# Records of machines


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_every_command_answers_for_every_record_here(record: Path, capsys: Captured) -> None:
    """Item 10: for four of them `plan` ended in IndexError, since no route led to their compiler."""
    for arguments in WITH_A_RECORD:
        code, err = run(capsys, *arguments, "--system", str(record))
        assert code != 2 or "no GPU of the recorded machine" in err, (arguments, err)


def test_a_compiler_to_which_no_route_leads_is_planned_for(capsys: Captured) -> None:
    """Item 10, the smallest record of that kind."""
    record = json.loads((SYSTEMS / "sm75-nvcc-too-old.json").read_text())
    record["toolkits"][0]["via"] = []
    Path("r.json").write_text(json.dumps(record))
    assert main(["plan", "--system", "r.json"]) == 0
    assert "the nvcc of the recorded machine)" in capsys.readouterr().out


VALUES: tuple[object, ...] = (
    None, [], {}, "", 0, -1, 10**30, 2**62, 1.5, True, "x", "9.0", "99.9", "999999.0", "sm_90a", "12.4", "550.54.14",
    "999.99.99", [[["x"]]], "ptxas", "hidden-by-environment", "no-driver", "\n\x00::x", "x" * 100_000,
)  # fmt: skip


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], (*place, index))


def changed(record: Any, place: Sequence[Any], value: object = None, *, removed: bool = False) -> Any:
    result = copy.deepcopy(record)
    inner = result
    for key in place[:-1]:
        inner = inner[key]
    if removed:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return result


@pytest.mark.parametrize("name", ["sm75-nvcc-too-old", "forward-compat", "sm75-list"])
def test_a_record_that_was_changed_is_answered_or_refused_by_its_place(name: str, capsys: Captured) -> None:
    """Each field removed, and replaced by what it is not: an answer, or exit code 2 with the file and the place."""
    record = json.loads((SYSTEMS / f"{name}.json").read_text())
    chance = random.Random(name)  # noqa: S311 - the same at each run
    told = 0
    for place in places(record):
        made = [changed(record, place, removed=True), changed(record, place, chance.choice(VALUES))]
        for number, mutant in enumerate(made):
            Path("r.json").write_text(json.dumps(mutant))
            code, err = run(capsys, *chance.choice(WITH_A_RECORD), "--system", "r.json")
            if code == 2 and "no GPU of the recorded machine" not in err:
                told += 1
                whole = place == ("schema",) and "it has no `schema`" in err
                assert whole or "error: r.json: $" in err, (place, number, err)
    assert told > 5


def test_a_version_that_is_none_counts_as_not_known(capsys: Captured) -> None:
    """Whatever a package calls itself: planning for it is not refused, which it was without a word about where."""
    record = json.loads((SYSTEMS / "sm75-driver.json").read_text())
    record["distributions"] = [["torch", "nightly"], ["flashinfer-python", ""]]
    Path("r.json").write_text(json.dumps(record))
    for tool in ("torch", "flashinfer"):
        assert main(["plan", "--gpu", "H100", "--for", tool, "--system", "r.json"]) == 0
        assert "(newest known version)" in " ".join(capsys.readouterr().out.split())


BAD_JSON = {
    "empty": (b"", "not JSON"),
    "nothing": (b"\0" * 100, "not JSON"),
    "no-text": (b'{"schema": "\xff"}', "it is not UTF-8 (byte 12)"),
    "utf-16": ('{"schema": 1}'.encode("utf-16"), "it is not UTF-8 (byte 0)"),
    "nested": (b'{"schema": ' + b"[" * 200_000, "nested too deep"),
    "nested-objects": (b'{"schema":' * 100_000, "nested too deep"),
    "digits": (b'{"schema": ' + b"9" * 5_000 + b"}", "not JSON: Exceeds the limit"),
    "nan": (b'{"schema": NaN}', "NaN is no number of JSON"),
    "infinity": (b'{"schema": -Infinity}', "-Infinity is no number of JSON"),
    "twice": (b'{"schema": 1, "os": "linux", "os": "win32"}', "`os` is there twice in one object"),
    "deep-twice": (b'{"schema": 1, "driver": {"cuda": "12.4", "cuda": "12.5"}}', "`cuda` is there twice"),
    "large-number": (b'{"schema": 1, "driver_state": {"on_bus": 9223372036854775808}}', "the number is too large"),
    "large-memory": (
        b'{"schema": 1, "devices": [{"capability": "9.0", "memory_bytes": 1' + b"0" * 400 + b"}]}",
        "$.devices[0].memory_bytes: the number is too large",
    ),
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_what_is_no_record_is_refused_by_its_place(kind: str, capsys: Captured) -> None:
    data, problem = BAD_JSON[kind]
    Path("r.json").write_bytes(data)
    for command in ("plan", "doctor"):
        code, err = run(capsys, command, "--system", "r.json")
        assert code == 2
        assert err.startswith("error: r.json: ")
        assert problem in err
        assert len(err) < 1_100


def test_the_mark_of_the_byte_order_is_no_part_of_a_record(capsys: Captured) -> None:
    """PowerShell writes one."""
    Path("r.json").write_bytes(b"\xef\xbb\xbf" + RECORDS[0].read_bytes())
    assert run(capsys, "doctor", "--system", "r.json")[0] == 0


def test_numbers_in_records_end_where_sizes_do() -> None:
    assert from_object(System, {"driver_state": {"on_bus": 2**63 - 1}}).driver_state.on_bus == 2**63 - 1
    for number in (2**63, -(2**63)):
        with pytest.raises(RecordError, match="too large"):
            from_object(System, {"driver_state": {"on_bus": number}})
    with pytest.raises(RecordError, match="is there twice"):
        from_text(b'[{"a": 1}, {"b": {"c": 1, "c": 1}}]')


# ---------------------------------------------------------------------------------------------------------
# Whatever a name leads to


READING = {
    "system": ("doctor", "--system"),
    "plan": ("plan", "--system"),
    "policy": ("audit", "--check-policy", "--policy"),
    "baseline": ("audit", "a.so", "--no-policy", "--baseline"),
    "wheel": ("plan", "--gpu", "H100", "--wheel"),
    "log": ("explain", "--log"),
    "conform": ("conform",),
}
MOST_MEMORY = 1200 << 20  # addresses, of which an interpreter with libraries takes many that it never uses


def limited(*arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """capably in a process of its own, which ends soon and takes little memory, or fails the test."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

    return subprocess.run(
        [sys.executable, "-m", "capably", *arguments],
        capture_output=True,
        timeout=30,
        check=False,
        preexec_fn=limit,
        **more,
    )


@pytest.mark.skipif(os.name == "nt", reason="files are all regular there")
@pytest.mark.parametrize("way", READING)
def test_nothing_waits_for_or_drowns_in_what_a_name_leads_to(way: str, tmp_path: Path) -> None:
    """Item 10: `conform /dev/zero` read on until there was no memory, and a named pipe was waited for."""
    os.mkfifo(tmp_path / "fifo")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(4 << 30)
    (tmp_path / "loop").symlink_to("loop")
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    for place in (tmp_path / "fifo", Path("/dev/zero"), link, sparse, tmp_path / "loop", tmp_path / "here"):
        done = limited(*READING[way], str(place))
        assert b"Traceback" not in done.stderr
        if place == sparse and way == "log":
            assert done.returncode == 3, done  # its end is read, where nothing is known
        elif way not in {"baseline", "wheel"}:  # which may be folders, and are read as any artifact
            assert done.returncode == 2, (place, done)
            assert done.stderr.startswith(b"error: ")


@pytest.mark.skipif(os.name == "nt", reason="there is no /dev")
def test_a_stream_of_cases_ends_at_a_line_without_end() -> None:
    with Path("/dev/zero").open("rb") as endless:
        done = limited("conform", "-", stdin=endless)
    assert done.returncode == 2
    assert done.stderr == b"error: line 1: longer than 1 MiB, so it is no case\n"


def test_cases_are_read_as_strictly_as_records(capsys: Captured) -> None:
    case = b'{"id": 1, "device": {"capability": "9.0"}, "images": ["sm_90"]}\n'
    for data, problem in (
        (b'{"id": NaN, "device": {"capability": "9.0"}, "images": ["sm_90"]}', "line 2: not JSON: NaN is no number"),
        (b'{"id": 1, "id": 2}', "line 2: not JSON: `id` is there twice in one object"),
        (b"[" * 100_000, "line 2: not JSON: its values are nested too deep"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "line 2: not JSON: Exceeds the limit"),
        (b'{"id": "' + b"x" * (1 << 20) + b'"}', "line 2: longer than 1 MiB"),
    ):
        Path("c.jsonl").write_bytes(case + data)
        code, err = run(capsys, "conform", "c.jsonl")
        assert code == 2
        assert problem in err
    Path("c.jsonl").write_bytes(b"\xef\xbb\xbf" + case)
    assert run(capsys, "conform", "c.jsonl")[0] == 0


# ---------------------------------------------------------------------------------------------------------
# Pipes that the user hands over


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system names no descriptors")
def test_a_pipe_that_was_handed_over_is_read_to_its_end() -> None:
    """`ssh host capably doctor --save - | capably plan --system /dev/stdin`, and `--policy <(command)`."""
    record = (SYSTEMS / "rtx-3090-4090.json").read_bytes()
    done = limited("plan", "--system", "/dev/stdin", input=record)
    assert done.returncode == 0, done.stderr
    policy = b"[tool.capably]\nrequire = 'A100'\n"
    for place, data, arguments in (
        ("/dev/fd/{}", policy, ("audit", "a.so", "--policy")),
        ("/proc/self/fd/{}", policy, ("audit", "a.so", "--policy")),
        ("/dev/fd/{}", NO_IMAGE.encode(), ("explain", "--log")),
        ("/dev/fd/{}", b'{"id": 1, "device": {"capability": "9.0"}, "images": ["sm_90"]}\n', ("conform",)),
    ):
        if not Path(place.format(0)).parent.exists():
            continue
        end, begin = os.pipe()
        try:
            os.write(begin, data)
            os.close(begin)
            done = limited(*arguments, place.format(end), pass_fds=(end,))
        finally:
            os.close(end)
        assert done.returncode == 0, (place, done)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system names no descriptors")
def test_a_pipe_that_was_handed_over_is_bounded_too(tmp_path: Path) -> None:
    end, begin = os.pipe()
    try:
        os.write(begin, b"x" * 200)
        os.close(begin)
        assert handed(f"/dev/fd/{end}") == end
        with pytest.raises(OSError, match="larger"):
            read_given(f"/dev/fd/{end}", 100)
    finally:
        os.close(end)
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path / "fifo", "/dev/fd/99999", "/dev/fd/x", "/dev/fd/", f"{tmp_path}/fd/0", "a.so"):
        assert handed(place) is None
    with Path("a.so").open("rb") as file:
        assert handed(f"/dev/fd/{file.fileno()}") is None
        assert read_given("a.so", 1 << 20) == Path("a.so").read_bytes()


# ---------------------------------------------------------------------------------------------------------
# Policies


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it has no table [tool.capably]"),
        (b"[tool.capably]\nrequire = '\xff'", "it is not UTF-8 (byte 26)"),
        (b"\xef\xbb\xbf[tool.capably]\nrequire = 'T4'", "it is not TOML: "),
        (b"[tool.capably]\0", "it is not TOML: "),
        (b"[tool.capably]\nrequire = " + b"[" * 200_000, "its values are nested too deep"),
        (b"[tool.capably]\nrequire = " + b"{a=" * 100_000, "its values are nested too deep"),
        (b"[tool.capably]\nmax-size = " + b"9" * 5_000, "it is not TOML: Exceeds the limit"),
        (b"[tool.capably]\nmax-size = nan", "[tool.capably] max-size: "),
        (b"[tool.capably]\nmax-size = inf", "[tool.capably] max-size: "),
        (b"[tool.capably]\nptx = 'required'\nptx = 'forbidden'", "it is not TOML: "),
        (b"[tool.capably]\nmax-size = 1e400", "[tool.capably] max-size: "),
        (b"[[tool.capably]]\nptx = 'required'", "a table was expected"),
        (b"tool = 1", "it has no table [tool.capably]"),
        (b"x" * ((1 << 20) + 1), "it is larger than 1048576 bytes"),
    ],
    ids=range(14),
)
def test_what_is_no_policy_is_refused_by_its_place(data: bytes, problem: str, capsys: Captured) -> None:
    Path("p.toml").write_bytes(data)
    code, err = run(capsys, "audit", "--policy", "p.toml", "a.so")
    assert code == 2
    assert err.startswith("error: p.toml: ")
    assert problem in err
