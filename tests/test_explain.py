"""``capably explain``: pages, lists and logs on the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plain import make_plain
from schemas import fits_schema

from capably.cli import explain as command
from capably.cli import main
from capably.codes import FINDINGS, REASONS
from capably.facts import System
from capably.report.explain import _COMMON, example
from capably.tables import tables

SYSTEMS = Path(__file__).parent / "data/systems"
Captured = pytest.CaptureFixture[str]
SM75 = "RuntimeError: FlashInfer requires GPUs with sm75 or higher\n"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_plain(monkeypatch)


def answered(capsys: Captured, *arguments: str, code: int = 0) -> str:
    assert main(["explain", *arguments]) == code
    return capsys.readouterr().out


def as_json(capsys: Captured, *arguments: str, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answered(capsys, *arguments, "--json", code=code))
    fits_schema(document)
    fits_schema(document, "explain")
    return document


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "crash.txt"
    path.write_text(SM75, encoding="utf-8")
    return path


@pytest.mark.parametrize("code", [*REASONS, *FINDINGS, *tables().causes])
def test_every_code_has_a_page_with_an_example(code: str, capsys: Captured) -> None:
    page = as_json(capsys, code)["page"]
    assert page["code"] == code
    assert "{" not in f"{page['example']}{page['way_out']}".replace("{'", "")
    text = answered(capsys, code.upper().replace("-", "_"))
    assert code in text
    assert all(len(line) <= 80 or "://" in line for line in text.splitlines())
    for source in page["sources"]:
        assert source["url"] in text


def test_no_page_is_in_two_places_and_its_example_holds_what_is_not_usual() -> None:
    assert not set(tables().causes) & {*REASONS, *FINDINGS}
    for page in (*REASONS.values(), *FINDINGS.values()):
        assert "{" not in example(page)
        said = f"{page.message} {page.way_out} {page.otherwise}"
        for name, value in page.example.items():
            assert f"{{{name}" in said
            assert _COMMON.get(name) != value


def test_an_unknown_code_gets_a_suggestion(capsys: Captured) -> None:
    assert main(["explain", "no-image-for-devise"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "did you mean `no-image-for-device`" in captured.err
    assert "`capably explain` lists all codes" in captured.err


def test_a_message_may_be_given_as_it_is(capsys: Captured) -> None:
    assert as_json(capsys, SM75.strip())["explanations"][0]["message"] == "flashinfer-sm75"
    assert answered(capsys, "all is well", code=3) == "no message that is known\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        # The numbers are those of cudaError_t and CUresult in NVIDIA's documentation.
        (["209"], "no-kernel-image"),
        (["222"], "ptx-toolchain"),
        (["no", "kernel", "image", "is", "available"], "no-kernel-image"),
        (["CUDA", "error", "209"], "no-kernel-image"),
        (["700"], "illegal-address"),
        (["2"], "out-of-memory"),
        (["CUDA_ERROR_NO_BINARY_FOR_GPU"], "no-kernel-image"),
        (["cudaErrorInsufficientDriver"], "insufficient-driver"),
        (["CUDNN_STATUS_ARCH_MISMATCH"], "library-arch-mismatch"),
    ],
)
def test_the_number_of_an_error_and_a_message_without_quotes_will_do(
    words: list[str], message: str, capsys: Captured
) -> None:
    assert [one["message"] for one in as_json(capsys, *words)["explanations"]] == [message]


def test_a_number_that_says_nothing_here_is_not_guessed(capsys: Captured) -> None:
    assert answered(capsys, "998", code=3) == "no message that is known\n"


def test_without_anything_all_codes_are_listed(capsys: Captured) -> None:
    text = answered(capsys)
    codes = as_json(capsys)["codes"]
    assert {one["code"] for one in codes} == {*REASONS, *FINDINGS, *tables().causes}
    assert all(one["code"] in text for one in codes)
    assert all(len(line) <= 80 for line in text.splitlines())


GOLDEN = """\
FlashInfer says that no GPU has sm75
  | RuntimeError: FlashInfer requires GPUs with sm75 or higher
FlashInfer's list of targets was empty or held nothing from 7.5 on. It stays
empty for several reasons, and only one of them is an old GPU.

facts:       flashinfer-python, GPU, toolkits, torch from --system.
cause:       The compiler is older than the GPU. A compiler knows the targets
             that existed when it was made.
way out:     Install a toolkit that emits the target, or the newer package that
             brings one.
"""


def test_a_log_is_explained_by_a_recorded_machine(log: Path, capsys: Captured) -> None:
    record = str(SYSTEMS / "sm75-nvcc-too-old.json")
    text = answered(capsys, "--log", str(log), "--system", record)
    assert text.startswith(GOLDEN)
    assert "holds    The compiler is older than the GPU [compiler-too-old]" in text
    assert "- /usr/local/cuda/bin/nvcc: CUDA 12.8, used by shell, torch" in text
    (found,) = as_json(capsys, "--log", str(log), "--system", record)["explanations"]
    assert (found["message"], found["subject"], found["answer"]) == (
        "flashinfer-sm75",
        "architecture",
        "compiler-too-old",
    )
    eliminated = answered(capsys, "--log", str(log), "--system", str(SYSTEMS / "sm75-fork.json"))
    assert "(all other causes are excluded)" in " ".join(eliminated.split())
    coloured = answered(capsys, "--log", str(log), "--system", record, "--color", "always")
    assert "\x1b[31mcause:" in coloured


def test_what_cannot_be_told_comes_with_a_command(log: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPABLY_SYSTEM")
    monkeypatch.setattr("capably.probe.system", System)
    log.write_text("x\nCUDA error: no kernel image is available\n" * 3, encoding="utf-8")
    assert main(["explain", "--log", str(log)]) == 0
    captured = capsys.readouterr()
    text = " ".join(captured.out.split())
    assert "cause: usually: The build holds no code for this GPU, because mostly a package was built without" in text
    assert "tell apart: capably check PACKAGE --gpu NAME" in text
    assert "(in 3 lines)" in captured.out
    assert "facts: none. The message comes from a machine whose GPU worked, and this one shows none" in text
    assert "Add --here if it does come from here, or --system FILE, or --gpu NAME." in text


def test_where_every_cause_is_excluded_there_is_a_next_step(capsys: Captured) -> None:
    record = str(SYSTEMS / "h100x2-r535.json")
    text = " ".join(answered(capsys, "No CUDA GPUs are available", "--system", record).split())
    assert "none that is known holds by these facts; the log may come from another machine" in text
    assert f"run next: capably doctor --system {record}" in text


def test_an_environment_that_is_named_is_what_ran_on_the_recorded_machine(log: Path, capsys: Captured) -> None:
    """The record says nothing of packages; the environment does, so what it lacks is no cause and is not run next."""
    log.write_text("CUDA error: no kernel image is available\n", encoding="utf-8")
    record = str(SYSTEMS / "h100x2-r535.json")
    asked = ("--log", str(log), "--system", record, "--python", sys.prefix)
    text = answered(capsys, *asked)
    assert f"tell apart: capably check --system {record} --python {sys.prefix}" in " ".join(text.split())
    (found,) = as_json(capsys, *asked)["explanations"]
    states = {cause["code"]: cause["state"] for cause in found["causes"]}
    assert states["prebuilt-before-jit"] == "excluded"
    assert states["build-lacks-device"] == "open"


def test_a_message_about_something_else_says_so(log: Path, capsys: Captured) -> None:
    log.write_text("torch.OutOfMemoryError: CUDA out of memory.\nundefined symbol: _ZN3c10\n", encoding="utf-8")
    text = answered(capsys, "--log", str(log))
    assert "Not a matter of GPU architectures: it is about the program." in text
    assert "it is about what is installed." in text


def test_a_log_without_a_known_message_is_not_guessed_at(
    log: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text("all is well\n", encoding="utf-8")
    monkeypatch.setenv("CAPABLY_SYSTEM", "/does/not/exist")  # the machine is not even looked at
    assert answered(capsys, "--log", str(log), code=3) == "no message that is known\n"
    assert as_json(capsys, "--log", str(log), code=3)["explanations"] == []


def test_a_pipe_is_read_with_and_without_a_dash(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["-"], ["--log", "-"], []):
        reader, writer = os.pipe()
        os.write(writer, SM75.encode())
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
            assert as_json(capsys, *arguments)["explanations"][0]["message"] == "flashinfer-sm75"


class _Keyboard(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_who_types_a_log_is_told_how_to_end_it(log: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, told in (
        (["-"], True),
        (["--log", "-"], True),
        (["-", "--quiet"], False),
        (["--log", str(log)], False),
    ):
        monkeypatch.setattr("sys.stdin", _Keyboard(io.BytesIO(b"all is well\n")))
        main(["explain", *arguments])
        assert ("note: reading from the terminal; end with Ctrl-D\n" in capsys.readouterr().err) is told, arguments


def test_a_hostile_log_reaches_no_terminal(log: Path, capsys: Captured) -> None:
    log.write_bytes(
        b"\x1b]0;owned\x07\xe2\x80\xae no kernel image \x9b31m \xff\x00\n" + b"A" * 10_000_000 + b" no kernel image"
    )
    text = answered(capsys, "--log", str(log))
    assert all(c.isprintable() or c == "\n" for c in text)
    log.write_bytes(b"\x1b]0;owned\x07\xe2\x80\xae no kernel image \x9b31m \xff\x00\n")
    text = answered(capsys, "--log", str(log))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\u202e" in text


def test_wrong_use(tmp_path: Path, log: Path, capsys: Captured) -> None:
    answered(capsys, "--log", str(tmp_path / "missing.txt"), code=2)
    answered(capsys, "stub", "--log", str(log), code=2)
    assert main(["explain", str(log)]) == 2
    assert f"`capably explain --log {log}`" in capsys.readouterr().err
    answered(capsys, "--log", str(log), "--system", str(log), code=2)


def test_only_the_end_of_an_endless_log_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capably.logs.MOST_BYTES", 8)
    for size in (1, 3, 8, 100):
        monkeypatch.setattr(command, "_BLOCK", size)
        assert command._tail(io.BytesIO(b"0123456789abcdef")) == (b"89abcdef", True)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="it takes a file without an end")
def test_a_log_without_an_end_is_read_up_to_a_bound(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_MOST_READ", 5 << 20)
    answered(capsys, "--log", "/dev/zero", code=2)
    reader, writer = os.pipe()
    endless = subprocess.Popen(["yes", SM75.strip()], stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        assert main(["explain", "-", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["explanations"][0]["message"] == "flashinfer-sm75"
    assert "what comes later was not" in said.err
    assert endless.wait(60) != 0  # its pipe was closed
