"""`capably conform` is right on every recorded case, and does not read what a case expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from capably.cli.app import cli
from capably.cli.conform import answer, read_image
from capably.errors import ParseError

DATA = Path(__file__).parent / "data"
FILES = ("verdicts.jsonl", "multi.jsonl", "archlists.jsonl", "gates.jsonl")
CASES = [
    pytest.param(case := json.loads(line), id=case.get("id") or f"{case['dialect']}-{number}")
    for name in FILES
    for number, line in enumerate((DATA / name).read_text(encoding="utf-8").splitlines(), 1)
]
EXPECTED = (
    *("outcome", "per_device", "why", "evidence", "note", "targets", "error", "ordered"),
    *("expect", "judged", "list_error", "naive_flashinfer_025", "naive_reason", "torch_free"),
)


@pytest.mark.parametrize("case", CASES)
def test_a_report_from_the_field_is_answered_rightly(case: dict[str, Any]) -> None:
    result = answer(case)
    assert result["ok"] is True, result
    blind = answer({name: value for name, value in case.items() if name not in EXPECTED})
    assert {**result, "ok": None} == {**blind, "ok": None}
    assert "ok" not in blind


def test_a_wrong_expectation_changes_ok_and_nothing_else() -> None:
    case = CASES[0].values[0]
    assert isinstance(case, dict)
    right = answer(case)
    wrong = answer({**case, "outcome": "runs" if case["outcome"] != "runs" else "fails"})
    assert wrong == {**right, "ok": False}


def run(text: str | bytes, *arguments: str) -> tuple[int, list[dict[str, Any]], BaseException | None]:
    result = CliRunner().invoke(cli, ["conform", *(arguments or ["-"])], input=text)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, lines, result.exception


def test_all_files_at_once_in_order() -> None:
    code, lines, _ = run("", *(str(DATA / name) for name in FILES))
    assert code == 0
    told = ("id", "dialect", "version", "input", "devices", "toolkit")
    for line, case in zip(lines, CASES, strict=True):
        expected = case.values[0]
        assert isinstance(expected, dict)
        assert {name: line[name] for name in told if name in line} == {
            name: expected[name] for name in told if name in expected and ("id" not in expected or name == "id")
        }
    assert all(line["ok"] for line in lines)


def test_a_false_answer_makes_the_exit_code_one() -> None:
    case = {**CASES[0].values[0], "outcome": "unknown"}  # type: ignore[dict-item]
    assert run(json.dumps(case))[0] == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"id": "x"}', "kinds of case"),
        ('{"dialect": "torch", "version": "2.15.0", "input": "8.0"}', "unknown dialect"),
        ('{"dialect": "cmake", "version": "four", "input": "80"}', "not a version"),
        ('{"dialect": "cmake", "version": "4.4.4", "input": 80}', "`80` is not a text"),
        ('{"dialect": "cmake", "version": null, "input": "80", "toolkit": 13.0}', "`13.0` is not a text"),
        ('{"id": "x", "device": {}, "images": []}', "`capability` is missing"),
        ('{"id": "x", "device": {"capability": "9.x"}, "images": ["sm_90"]}', "expected"),
        ('{"id": "x", "device": {"capability": "9.0"}, "images": ["sm_90@8.0"]}', "no PTX version"),
        ('{"id": "x", "device": {"capability": "9.0"}, "images": [1]}', "line 1"),
        ('{"id": "x", "device": [], "images": []}', "line 1"),
        ('{"id": "x", "device": {"capability": 9.0}, "images": ["sm_90"]}', "`9.0` is not a text"),
        ('{"id": "x", "device": {"capability": "9.0"}, "images": ["lto_90"]}', "machine code"),
        (b'{"id": "\xff"}', "not JSON"),
    ],
)
def test_what_is_no_case_is_refused_with_its_line(line: str | bytes, problem: str) -> None:
    code, lines, error = run(line)
    assert (code, lines) == (1, [])  # as an exception; capably.cli.app.run makes exit code 2 of it
    assert problem in str(error)
    assert str(error).startswith("line 1: ")


def test_empty_lines_are_skipped() -> None:
    assert run("\n\n")[:2] == (0, [])


def test_an_image_is_read_as_cases_write_it() -> None:
    assert read_image("rel:sm_90").relocatable
    with pytest.raises(ParseError):
        read_image("compute_80@")
