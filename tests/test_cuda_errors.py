"""Every error of CUDA by number and by name, counted against NVIDIA's headers."""

from __future__ import annotations

import json
import re
import zipfile

import pytest
from plain import make_plain
from wheels import wheel_path

from capably.cli import main
from capably.logs import recognise
from capably.tables import tables

WHEEL = (
    "nvidia_cuda_runtime-13.5.37-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d",
)
_ENTRY = re.compile(
    r"^\s*,?\s*(CUDA_(?:SUCCESS|ERROR_[A-Z0-9_]+)|cuda(?:Success|Error[A-Za-z0-9]+)) *= *([0-9]+)", re.MULTILINE
)


@pytest.fixture(scope="module")
def headers() -> dict[str, int]:
    """Names and numbers, as the two headers have them."""
    found: dict[str, int] = {}
    with zipfile.ZipFile(wheel_path(*WHEEL)) as wheel:
        for name in wheel.namelist():
            if name.endswith(("/cuda.h", "/driver_types.h")):
                found |= {name_: int(number) for name_, number in _ENTRY.findall(wheel.read(name).decode())}
    return found


@pytest.mark.network
def test_the_table_has_all_errors_of_both_headers_and_no_other(headers: dict[str, int]) -> None:
    assert len([name for name in headers if name.startswith("CUDA_")]) == 106
    assert len([name for name in headers if name.startswith("cuda")]) == 139
    known = {name: number for number, error in tables().errors.items() for name in error.names}
    assert known == headers


@pytest.mark.network
def test_every_error_is_explained_by_number_and_by_name(headers: dict[str, int]) -> None:
    for name, number in headers.items():
        for text in (name, f"CUDA error {number}", f"CUDA error: {number}"):
            found = recognise(text)
            assert len(found) == 1, text
            message = found[0].message
            own = message.numbers or (int(message.code.removeprefix("cuda-error-")),)
            assert number in own, text
            assert message.means


@pytest.mark.parametrize("number", tables().errors)
def test_each_means_something_in_one_sentence(number: int) -> None:
    error = tables().errors[number]
    assert error.means[0].isupper()
    assert error.means.endswith(".")
    assert error.means.count(". ") == 0
    assert error.means.lower().rstrip(".") != error.text.lower()
    assert sum(one.means == error.means for one in tables().errors.values()) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("801", "does not support what was called for"),
        ("cudaErrorNotSupported", "does not support what was called for"),
        ("CUDA_ERROR_NOT_SUPPORTED", "does not support what was called for"),
        ("716", "not a multiple"),
        ("CUDA_ERROR_ECC_UNCORRECTABLE", "an error that it cannot correct"),
        ("805", "could not connect to the MPS daemon"),
        ("0", "there is no error"),
        ("cudaSuccess", "there is no error"),
        ("CUDA error: misaligned address", "not a multiple"),
        ("CUDA error: too many resources requested for launch", "more registers"),
    ],
)
def test_an_error_is_answered_on_the_command_line(
    words: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_plain(monkeypatch)
    assert main(["explain", words]) == 0
    assert says in " ".join(capsys.readouterr().out.split())
    assert main(["explain", words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["explanations"]
    assert says in found["means"]


def test_an_error_that_says_little_is_silent_where_something_says_more() -> None:
    from capably.logs import explain

    tensorflow = (
        "'cuModuleLoadData(&module, data)' failed with 'CUDA_ERROR_INVALID_PTX'\n"
        "'cuLaunchKernel(...)' failed with 'CUDA_ERROR_INVALID_HANDLE'"
    )
    assert [one.found.message.code for one in explain(tensorflow)] == ["invalid-ptx"]
    assert [one.found.message.code for one in explain("CUDA_ERROR_INVALID_HANDLE")] == ["cuda-error-400"]


def test_ordinary_words_are_no_errors() -> None:
    for text in (
        "CUDA error rate: 0.01",
        "Check failed: e == cudaSuccess (4 vs. 0) and some more words so that it is a line",
        "cudaErrorIsNotAName",
        "CUDA_ERROR_OF_NOBODY",
        "CUDA error 998",
        "CUDA errors: 716",
    ):
        assert recognise(text) == (), text
