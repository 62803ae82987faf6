"""Fetching with the real pip, from an index of files."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from capably.cli.fetch import fetch, is_pinned
from capably.errors import FetchError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def index(tmp_path: Path) -> str:
    """A package index in a folder, with one pure wheel, one for a far platform and one sdist."""
    files = {
        "demo-1.0-py3-none-any.whl": "demo",
        "faraway-1.0-cp39-cp39-manylinux_2_17_x86_64.whl": "faraway",
        "linuxy-1.0-py3-none-manylinux_2_44_x86_64.whl": "linuxy",
    }
    for file, name in files.items():
        folder = tmp_path / "simple" / name
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / file, "w") as wheel:
            tags = f"Tag: {file[:-4].split('-', 2)[2]}"
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{tags}\n")
        (folder / "index.html").write_text(f'<a href="{file}">{file}</a>')
    source = tmp_path / "simple" / "sourceonly"
    source.mkdir()
    (source / "index.html").write_text('<a href="sourceonly-1.0.tar.gz">sourceonly-1.0.tar.gz</a>')
    return (tmp_path / "simple").as_uri() + "/"


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("demo==1.0", True),
        ("Demo == 1.0", True),
        ("demo==1.0+cu128", True),
        ("demo", False),
        ("demo==1.*", False),
        ("demo>=1.0", False),
        ("demo===1.0", False),
        ("demo==1.0,!=1.1", False),
        ("demo[extra]==1.0", False),
        ("demo @ file:///x.whl", False),
        ("demo==1.0; python_version>'3'", False),
        ("../demo.whl", False),
        ("--index-url=x==1.0", False),
    ],
)
def test_only_an_exact_release_can_be_fetched(text: str, pinned: bool) -> None:
    assert is_pinned(text) is pinned


def test_a_wheel_is_fetched_once_and_announced(index: str, tmp_path: Path) -> None:
    said: list[str] = []
    first = fetch("demo==1.0", cache_dir=tmp_path / "cache", index_url=index, announce=said.append)
    assert first.name == "demo-1.0-py3-none-any.whl"
    assert zipfile.is_zipfile(first)
    assert len(said) == 1
    assert "demo==1.0" in said[0]
    again = fetch("Demo == 1.0", cache_dir=tmp_path / "cache", index_url=index, offline=True, announce=said.append)
    assert again == first
    assert len(said) == 1
    assert [path.name for path in first.parent.iterdir()] == [first.name], "nothing is left over"


def test_a_constraint_of_the_user_does_not_forbid_looking(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("demo<1.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    assert fetch("demo==1.0", cache_dir=tmp_path / "cache", index_url=index, announce=lambda _: None).exists()


def test_a_wheel_for_linux_is_taken_where_none_is_for_this_machine(index: str, tmp_path: Path) -> None:
    """manylinux_2_44 is ahead of the glibc of every machine that runs this test."""
    wheel = fetch("linuxy==1.0", cache_dir=tmp_path / "cache", index_url=index, announce=lambda _: None)
    assert wheel.name == "linuxy-1.0-py3-none-manylinux_2_44_x86_64.whl"


def test_python_version_and_platform_are_passed_on(index: str, tmp_path: Path) -> None:
    wheel = fetch(
        "faraway==1.0",
        cache_dir=tmp_path / "cache",
        index_url=index,
        extra_index_urls=(index,),
        python_version="3.9",
        platforms=("manylinux_2_17_x86_64",),
        announce=lambda _: None,
    )
    assert wheel.name.startswith("faraway-1.0-cp39")


@pytest.mark.parametrize(
    ("requirement", "python_version", "hint"),
    [
        ("faraway==1.0", None, "--python-version"),
        ("sourceonly==1.0", "3.12", "source only"),
        ("gone==1.0", None, "check the name"),
    ],
)
def test_what_is_not_there_says_what_to_try(
    index: str, tmp_path: Path, requirement: str, python_version: str | None, hint: str
) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(
            requirement,
            cache_dir=tmp_path / "cache",
            index_url=index,
            python_version=python_version,
            announce=lambda _: None,
        )
    assert "No matching distribution" in caught.value.problem
    assert hint in caught.value.hint


def test_an_index_that_is_not_there_is_a_fetch_error(tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        fetch("demo==1.0", cache_dir=tmp_path, index_url=(tmp_path / "none").as_uri(), announce=lambda _: None)


def test_offline_and_not_cached(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        fetch("demo==1.0", cache_dir=tmp_path, offline=True, announce=lambda _: None)
    assert "--offline" in caught.value.hint + caught.value.problem


def test_what_is_not_pinned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="exact release"):
        fetch("demo", cache_dir=tmp_path, announce=lambda _: None)
