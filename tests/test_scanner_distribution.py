"""Installed distributions."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

import build
import pytest
from test_scanner import codes

from capably.facts import ArtifactKind
from capably.scanner import scan_distribution

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = build.library(build.fatbin([build.sass("sm_90")]))


def install(
    root: Path, record: str | None, *, name: str = "My_Pkg", extra: tuple[str, ...] = ("WHEEL",)
) -> importlib.metadata.PathDistribution:
    info = root / "my_pkg-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    if "WHEEL" in extra:
        tags = "Tag: cp312-cp312-manylinux_2_28_x86_64\nTag: cp312-cp312-linux_x86_64\n"
        (info / "WHEEL").write_text(f"Wheel-Version: 1.0\n{tags}")
    if record is not None:
        (info / "RECORD").write_text(record)
    (root / "my_pkg").mkdir()
    (root / "my_pkg" / "_C.so").write_bytes(LIBRARY)
    (root / "my_pkg" / "copy.so").write_bytes(LIBRARY)
    return importlib.metadata.PathDistribution(info)


def test_distribution(tmp_path: Path) -> None:
    root = tmp_path / "lib" / "python3" / "site-packages"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_bytes(LIBRARY + b"x")
    record = (
        "my_pkg/_C.so,sha256=x,1\nmy_pkg/copy.so,,\nmy_pkg/gone.so,,\nmy_pkg/__pycache__/a.pyc,,\n"
        "../../../bin/tool,,\n../../../../../../etc/passwd,,\n/etc/passwd,,\nmy_pkg/../../x,,\n\n"
        '"my_pkg-1.0.dist-info/METADATA",,\n'
    )
    seen: list[tuple[str, int, int]] = []
    artifact = scan_distribution(install(root, record), progress=lambda *row: seen.append(row), with_sha256=True)
    assert artifact.kind is ArtifactKind.DISTRIBUTION
    assert (artifact.path, artifact.name, artifact.version) == ("My_Pkg", "my-pkg", "1.0")
    assert artifact.platforms == ("manylinux_2_28_x86_64", "linux_x86_64")
    assert [(lib.path, lib.copies) for lib in artifact.libraries] == [
        ("../../../bin/tool", ()),
        ("my_pkg/_C.so", ("my_pkg/copy.so",)),
    ]
    assert all(lib.sha256 for lib in artifact.libraries)
    assert sorted(codes(artifact)) == ["missing-library"] + ["unreadable-file"] * 3
    assert artifact.files == 4
    assert seen


def test_no_record(tmp_path: Path) -> None:
    artifact = scan_distribution(install(tmp_path, None, extra=()))
    assert codes(artifact) == ["unreadable-file", "no-gpu-code"]
    assert artifact.platforms == ()


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    artifact = scan_distribution(install(tmp_path, '"' + "x" * 200_000 + '"\n'))
    assert codes(artifact) == ["damaged-record", "no-gpu-code"]


@pytest.mark.parametrize("platform", ["manylinux_2_28_x86_64"])
def test_a_wheel_and_its_installation_agree(tmp_path: Path, platform: str) -> None:
    import zipfile

    from capably.scanner import scan

    wheel = build.wheel(tmp_path, "my-pkg", "1.0", {"my_pkg/_C.so": LIBRARY}, platform=platform)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    dist = importlib.metadata.PathDistribution(tmp_path / "site" / "my_pkg-1.0.dist-info")
    one, other = scan(wheel), scan_distribution(dist)
    assert one.libraries == other.libraries
    assert (one.name, one.version, one.platforms) == (other.name, other.version, other.platforms)


@pytest.mark.parametrize("name", ["a.py", "a.h", "a.CU", "x/__init__.pyi"])
def test_a_source_by_its_name_has_to_be_there_and_is_not_opened(tmp_path: Path, name: str) -> None:
    dist = install(tmp_path, f"my_pkg/{name},,\n")
    place = tmp_path / "my_pkg" / name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(LIBRARY)
    artifact = scan_distribution(dist)
    assert not artifact.libraries
    assert [finding.message for finding in artifact.findings] == [
        "No GPU code for NVIDIA in 1 file (1 source by name)."
    ]
    place.unlink()
    assert codes(scan_distribution(dist)) == ["missing-file", "no-gpu-code"]


@pytest.mark.parametrize("name", ["data", "a.bin", "a.json", "a.txt", "py"])
def test_any_other_name_is_opened(tmp_path: Path, name: str) -> None:
    dist = install(tmp_path, f"my_pkg/{name},,\n")
    (tmp_path / "my_pkg" / name).write_bytes(LIBRARY)
    assert [library.path for library in scan_distribution(dist).libraries] == [f"my_pkg/{name}"]


def test_a_link_with_the_name_of_a_source_is_opened(tmp_path: Path) -> None:
    dist = install(tmp_path, "my_pkg/a.py,,\n")
    (tmp_path / "my_pkg" / "a.py").symlink_to("_C.so")
    assert [library.path for library in scan_distribution(dist).libraries] == ["my_pkg/a.py"]


def test_what_other_packages_put_into_the_same_directories_changes_nothing(tmp_path: Path) -> None:
    """Files are those of RECORD, listed one by one or by the directory."""
    names = [f"f{number}.bin" for number in range(6)]
    dist = install(tmp_path, "".join(f"my_pkg/{name},,\n" for name in names))
    for name in names[:5]:
        (tmp_path / "my_pkg" / name).write_bytes(LIBRARY)
    (tmp_path / "my_pkg" / "stranger.bin").write_bytes(LIBRARY)
    artifact = scan_distribution(dist)
    assert [(library.path, *library.copies) for library in artifact.libraries] == [
        tuple(f"my_pkg/{name}" for name in names[:5])
    ]
    assert [(finding.code, finding.path) for finding in artifact.findings] == [("missing-file", "my_pkg/f5.bin")]
