"""Lists are read as the tools read them: their own answers, recorded, and laws about writing them."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from goldens import golden
from hypothesis import given
from hypothesis import strategies as st
from plain import make_plain
from schemas import fits_schema

from capably.arch import ComputeCapability, Target
from capably.archlist import DIALECTS, ListError, Note, NoteKind, Problem, Reading, read, write
from capably.cli.app import run
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import DialectError
from capably.facts import Device
from capably.requirement import Requirement
from capably.tables import tables
from capably.version import CudaVersion

Captured = pytest.CaptureFixture[str]
RECORD = Path(__file__).parent / "data/archlists_recorded.jsonl"
# The tools whose order is one of a set, or of a fatbin, where it means nothing.
UNORDERED = ("flashinfer", "nvcc-arch", "nvcc-gencode", "cupy")
EVERY = [f"{kind}_{number}" for kind in ("sm", "compute") for number in ("75", "80", "89", "90", "90a", "100f", "120")]
IS_TARGET = re.compile(r"(sm|compute|lto)_[1-9][0-9]{1,2}[af]?", re.ASCII)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_plain(monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")


def test_nvcc_12_9_makes_code_of_the_family_of_10_1() -> None:
    """Its ptxas takes .target sm_101f for sm_101f and sm_101a, and no other family's."""
    for arch, code, fits in (
        ("101f", "101f", True),
        ("101f", "101a", True),
        ("100f", "101f", False),
        ("101f", "103f", False),
    ):
        text = f"-gencode arch=compute_{arch},code=sm_{code}"
        reading = read(text, "nvcc-gencode", None, toolkit=CudaVersion(12, 9))
        assert (reading.targets == (Target.parse(f"sm_{code}"),)) is fits
        assert (reading.error is None) is fits


OLD = "35 37 50 52 53 60 61 62 70 72 75"


@pytest.mark.parametrize(
    ("word", "toolkit", "real", "newest"),
    [
        # Modules/Internal/CMakeCUDAArchitecturesAll.cmake of CMake 3.26 and later, CUDA/architectures.cmake of 3.23:
        # no 32, 35 among the major ones, and PTX of the newest where nvcc -arch=all makes that of the last x.0.
        ("all", "10.0", f"30 {OLD}", "75"),
        ("all", "10.2", f"30 {OLD}", "75"),
        ("all", "11.0", f"{OLD} 80", "80"),
        ("all", "11.1", f"{OLD} 80 86", "86"),
        ("all", "11.4", f"{OLD} 80 86 87", "87"),
        ("all-major", "10.2", "30 35 50 60 70", "70"),
        ("all-major", "11.4", "35 50 60 70 80", "80"),
        # From 11.5 on it hands the word to nvcc.
        ("all", "11.5", f"{OLD} 80 86 87", "80"),
        ("all-major", "11.5", "35 50 60 70 80", "80"),
    ],
)
@pytest.mark.parametrize("version", ["3.23.3", "4.4.4"])
def test_cmake_has_lists_of_its_own_for_an_nvcc_that_does_not_know_the_word(
    version: str, word: str, toolkit: str, real: str, newest: str
) -> None:
    reading = read(word, "cmake", version, toolkit=CudaVersion.parse(toolkit))
    assert list(map(str, reading.targets or ())) == [*(f"sm_{number}" for number in real.split()), f"compute_{newest}"]


@pytest.mark.parametrize("dialect", ["torch-python", "torch-cmake", "flashinfer"])
@pytest.mark.parametrize(
    ("text", "why", "way_out"),
    [
        ("'8.0 9.0'", "quotation mark", "without quotation marks"),
        ('"8.0"', "quotation mark", "without quotation marks"),
        ("TORCH_CUDA_ARCH_LIST=8.0", "more than the list", "behind `=`"),
        ("8.0:9.0", "`:` does not separate", "separate entries by"),
    ],
)
def test_what_does_not_belong_in_a_list_is_not_called_a_separator(
    dialect: str, text: str, why: str, way_out: str
) -> None:
    error = read(text, dialect).error
    assert error is not None
    assert why in error.message
    assert way_out in error.way_out


@pytest.mark.parametrize("version", [row.read[0] for row in tables().dialects if row.dialect == "flashinfer"])
def test_flashinfer_refuses_later_what_the_engine_refuses_by_its_row(version: str) -> None:
    row = next(row for row in tables().dialects if row.dialect == "flashinfer" and version in row.read)
    assert row.requires is not None
    requirement = Requirement.parse(row.requires)
    for capability in tables().architectures:
        reading = read(f"{capability}a", "flashinfer", version)
        later = [note.message for note in reading.notes if note.kind is NoteKind.REFUSED]
        refused = judge(requirement, Device(capability)).outcome is Outcome.FAILS
        assert bool(later) is (refused and "unread" not in row.rules), capability
        assert all(row.requires == f">={message.split()[-3]}" for message in later)


@functools.cache
def recorded() -> tuple[dict[str, Any], ...]:
    return tuple(map(json.loads, RECORD.read_text(encoding="utf-8").splitlines()))


def ours(case: dict[str, Any], version: str) -> Reading:
    return read(
        case["input"],
        case["dialect"],
        version,
        devices=[ComputeCapability.parse(device) for device in case.get("devices", ())],
        build_list=case.get("build_list"),
        toolkit=CudaVersion.parse(case["toolkit"]) if "toolkit" in case else None,
    )


def made(name: str) -> str:
    """What comes of ``compute_80>sm_86``: from family-specific PTX, code of the family, as the record of nvcc shows."""
    source, _, code = name.rpartition(">")
    return f"{code}f" if source.endswith("f") and re.fullmatch(r"sm_[0-9]+", code) else code


def agrees(case: dict[str, Any], answer: dict[str, Any], reading: Reading) -> bool:
    if "stops" in answer:
        return reading.error is not None
    code = list(map(made, answer["code"]))
    if code and code[0].startswith("-arch="):  # CMake hands it to nvcc
        said = next(
            c for c in recorded() if (c["dialect"], c["input"]) == ("nvcc-arch", code[0].removeprefix("-arch="))
        )
        return set(map(str, reading.targets or ())) == set(said["answers"][0]["code"])
    if not all(map(IS_TARGET.fullmatch, code)):
        return reading.error is not None and reading.error.code is ListError.INVALID_TARGET_PASSED_ON
    if reading.targets is None:
        return False
    found = list(map(str, reading.targets))
    return set(found) == set(code) if case["dialect"] in UNORDERED else found == code


@pytest.mark.parametrize("dialect", sorted({case["dialect"] for case in recorded()}))
def test_every_recorded_answer_of_the_tool_itself_is_ours(dialect: str) -> None:
    wrong = [
        (version, {name: value for name, value in case.items() if name != "answers"}, answer, reading)
        for case in recorded()
        if case["dialect"] == dialect
        for answer in case["answers"]
        for version in answer["versions"]
        if not agrees(case, answer, reading := ours(case, version))
    ]
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[0]}"


SORTED = "PTX goes to 8.0, not to 10.0"
NO_LIST = "torch's own build list was not given"


@pytest.mark.parametrize(
    ("text", "dialect", "toolkit", "facts", "targets", "notes"),
    [
        # torch sorts the numbers of the GPUs as texts, and gives PTX to the last.
        (None, "torch-python", None, ("8.0 10.0", "sm_80 sm_100"), "sm_100 sm_80 compute_80", [f"surprise: {SORTED}"]),
        (None, "torch-python", None, ("8.0 10.0", None), "sm_100 sm_80 compute_80", [f"assumed: {NO_LIST}", f"surprise: {SORTED}"]),
        (None, "torch-python", None, ("8.0 9.0", "sm_80 sm_90"), "sm_80 sm_90 compute_90", []),
        # It builds for no GPU that is newer than itself.
        (None, "torch-python", None, ("12.0 8.6", "sm_80 sm_90"), "sm_86 sm_90 compute_90", ["surprise: 12.0 is built as 9.0"]),
        (None, "torch-python", None, ("8.6", "sm_80 sm_90"), "sm_86 compute_86", []),
        ("8.0", "torch-python", "12.8", ("", None), "sm_80", []),
        ("12.1", "torch-python", "12.4", ("", None), "sm_121", ["later: nvcc 12.4 does not know sm_121"]),
        # CMake: a text replacement that was written for 2.1 hits 12.1 too.
        (None, "torch-cmake", "12.8", ("8.6", None), "sm_86", []),
        (None, "torch-cmake", "12.8", ("12.1", None), "sm_121", ["surprise: 12.1 is compiled from compute_20", "later: nvcc 12.8"]),
        (None, "torch-cmake", "11.8", ("12.0", None), "sm_90 compute_90", ["surprise: 12.0 is taken as 9.0+PTX, by CUDA 11.8"]),
        ("9.0(8.0)", "torch-cmake", "12.8", ("", None), "sm_90", ["surprise: 9.0 is compiled from compute_80"]),
        ("9.0(9.0)", "torch-cmake", "12.8", ("", None), "sm_90", []),
        ("8.0+PTX", "torch-cmake", "12.8", ("", None), "sm_80 compute_80", []),
    ],
)  # fmt: skip
def test_what_torch_does_unasked_is_noted_and_nothing_else(  # noqa: PLR0917 - a row of the table
    text: str | None, dialect: str, toolkit: str | None, facts: tuple[str, str | None], targets: str, notes: list[str]
) -> None:
    devices, built = facts
    found = read(
        text,
        dialect,
        "2.7.1" if text != "12.1" else None,
        devices=[ComputeCapability.parse(one) for one in devices.split()],
        build_list=built.split() if built else None,
        toolkit=CudaVersion.parse(toolkit) if toolkit else None,
    )
    assert found.error is None
    assert {str(target) for target in found.targets or ()} == set(targets.split())
    assert len(found.notes) == len(notes)
    for note, words in zip(found.notes, notes, strict=True):
        assert f"{note.kind}: {note.message}".startswith(words)


# ---------------------------------------------------------------------------------------------------------
# plan --read


def answered(arguments: list[str], capsys: Captured) -> tuple[int, dict[str, Any], str]:
    """The exit code, the JSON answer, held to its schema, and the text."""
    code = run(["plan", *arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    fits_schema(document, "read")
    assert run(["plan", *arguments]) == code
    return code, document, capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "code", "arguments"),
    [
        (
            "read-torch",
            0,
            ["--read", "8.0;9.0+PTX", "--for", "torch==2.13", "--toolkit", "12.8", "--gpu", "8.6,9.0,12.1"],
        ),
        ("read-space", 1, ["--read", "9.0 ", "--for", "flashinfer==0.7.2.post1"]),
        (
            "read-dropped",
            1,
            ["--read", "80;87;90", "--for", "flash-attn==2.8.3", "--toolkit", "12.8", "--gpu", "7.5,8.9,9.0,10.3"],
        ),
        ("read-left-out", 1, ["--read", "7.5 9.0", "--for", "torch==2.13", "--toolkit", "13.0", "--gpu", "V100,H100"]),
        ("read-hostile", 1, ["--read", "8.0\t\x1b[31m9.0", "--for", "torch==2.13"]),
    ],
)
def test_text_of_a_reading(name: str, code: int, arguments: list[str], capsys: Captured) -> None:
    found, document, text = answered(arguments, capsys)
    assert found == code
    golden(name, text)
    reading = document["readings"][0]
    assert (reading["targets"] is None) == (reading["error"] is not None)


def test_all_tools_side_by_side_answer_as_each_alone(capsys: Captured) -> None:
    code, document, text = answered(["--read", "9.0"], capsys)
    assert code == 0
    assert [reading["dialect"] for reading in document["readings"]] == list(DIALECTS)
    alone = [answered(["--read", "9.0", "--for", dialect], capsys)[1]["readings"][0] for dialect in DIALECTS]
    assert document["readings"] == alone
    found = {r["dialect"]: [t["target"] for t in r["targets"]] for r in alone if r["targets"] is not None}
    assert found["torch-python"] == found["torch-cmake"] == ["sm_90"]
    assert found["flashinfer"] == ["sm_90a"]
    assert "cmake" not in found
    assert all(dialect in text for dialect in DIALECTS)


def test_the_same_in_other_words_is_the_same(capsys: Captured) -> None:
    for text, dialect in (("8.0;9.0+PTX", "torch-python"), ("80-real;90", "cmake"), ("9.0a", "flashinfer")):
        _, document, _ = answered(["--read", text, "--for", dialect, "--toolkit", "12.8"], capsys)
        reading = document["readings"][0]
        wanted = {row["target"] for row in reading["targets"]}
        said = [other for other in reading["lists"] if other["text"] is not None]
        assert said
        for other in said:
            back = read(other["text"], other["dialect"], other["version"], toolkit=CudaVersion(12, 8))
            assert set(map(str, back.targets or ())) == wanted, other
        assert all(other["problem"] for other in reading["lists"] if other["text"] is None)


def test_what_detection_finds_is_what_gpu_names(capsys: Captured) -> None:
    _, document, text = answered(["--read", "native", "--for", "torch==2.13", "--gpu", "9.0,12.0"], capsys)
    assert [row["target"] for row in document["readings"][0]["targets"]] == ["sm_120", "compute_90", "sm_90"]
    assert "PTX goes to 9.0, not to 12.0" in text
    code, document, _ = answered(["--read", "native", "--for", "torch==2.13"], capsys)
    assert (code, document["readings"][0]["error"]["code"]) == (1, "no-device")


def test_an_old_driver_does_not_compile_new_ptx(capsys: Captured) -> None:
    given = ["--read", "9.0+PTX", "--for", "torch==2.13", "--toolkit", "12.8", "--gpu", "10.0"]
    assert answered(given, capsys)[0] == 0
    code, document, _ = answered([*given, "--driver", "12.4"], capsys)
    assert (code, document["readings"][0]["gpus"][0]["outcome"]) == (1, "fails")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--for", "tensorflow"], ["tensorflow"]),
        (["--for", "torch==latest"], ["latest"]),
        (["--for", "nvcc==12.8"], ["--toolkit"]),
        (["--for", "torch", "--toolkit", "12"], ["full version"]),
        (["--for", "torch", "--require", "fp8"], ["--read explains a list"]),
    ],
)
def test_wrong_use_of_a_reading(arguments: list[str], words: list[str], capsys: Captured) -> None:
    assert run(["plan", "--read", "9.0", *arguments]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert all(word in printed.err for word in words), printed.err


# ---------------------------------------------------------------------------------------------------------
# Laws

WORDS = "9.0|8.6+PTX|12.0f|90a|80-real|sm_90|compute_100f|Hopper|Ampere+Tegra|native|all|-gencode|arch=compute_90,code=[sm_90]"
PARTS = [*WORDS.split("|"), ";", " ", ",", "\t", "+PTX", "(8.0)", "²", "٩", "9" * 5000]
TEXTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PARTS), max_size=8).map("".join))


@given(text=TEXTS, dialect=st.sampled_from(DIALECTS), data=st.data())
def test_any_text_is_read_by_every_version_and_places_lie_in_it(text: str, dialect: str, data: st.DataObject) -> None:
    rows = [row for row in tables().dialects if row.dialect == dialect]
    version = ".".join(map(str, data.draw(st.sampled_from(rows)).since))
    reading = read(text, dialect, version)
    assert (reading.targets is None) == (reading.error is not None)
    places: list[Note | Problem] = [*reading.notes, *([reading.error] if reading.error else [])]
    for place in places:
        assert 0 <= place.start <= place.end <= len(text)
        assert place.message.isprintable()
    if reading.error is not None and text:
        assert reading.error.start < reading.error.end


@given(
    targets=st.lists(st.sampled_from([*map(Target.parse, EVERY)]), min_size=1, max_size=4, unique=True),
    dialect=st.sampled_from(DIALECTS),
)
def test_what_is_written_is_read_as_the_same(targets: list[Target], dialect: str) -> None:
    toolkit = CudaVersion(13, 0)
    version = str(toolkit) if dialect.startswith("nvcc") else None
    try:
        text = write(targets, dialect, version, toolkit=toolkit)
    except DialectError as error:
        assert error.problem.isprintable()
        return
    assert set(read(text, dialect, version, toolkit=toolkit).targets or ()) == set(targets)
