"""Three kinds of version that cannot be confused."""

import pickle

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from capably.errors import ParseError
from capably.version import CudaVersion, DriverRelease, PtxVersion


@given(strategies.cuda_versions)
def test_cuda_versions_round_trip(version: CudaVersion) -> None:
    assert CudaVersion.parse(str(version)) == version
    assert pickle.loads(pickle.dumps(version)) == version  # noqa: S301 - our own bytes


@given(strategies.releases)
def test_driver_releases_round_trip(release: DriverRelease) -> None:
    assert DriverRelease.parse(str(release)) == release


@given(strategies.ptx_versions)
def test_ptx_versions_round_trip(version: PtxVersion) -> None:
    assert PtxVersion.parse(str(version)) == version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550.54.14", DriverRelease(550, 54, 14)),
        ("418.39", DriverRelease(418, 39)),
        ("550", DriverRelease(550)),
        ("R550", DriverRelease(550)),
        (" r550 ", DriverRelease(550)),
        ("470.42.01", DriverRelease(470, 42, 1)),
    ],
)
def test_driver_releases_as_people_write_them(text: str, expected: DriverRelease) -> None:
    assert DriverRelease.parse(text) == expected


def test_a_build_number_behind_a_cuda_version_is_dropped() -> None:
    assert CudaVersion.parse("12.8.61") == CudaVersion(12, 8)
    assert CudaVersion.parse("13") == CudaVersion(13, 0)


def test_the_kinds_do_not_compare() -> None:
    assert len({CudaVersion(8, 0), PtxVersion(8, 0)}) == 2
    with pytest.raises(TypeError):
        _ = CudaVersion(8, 0) < PtxVersion(8, 0)  # type: ignore[operator]


@pytest.mark.parametrize("kind", [CudaVersion, DriverRelease, PtxVersion])
@pytest.mark.parametrize("text", ["", "x", "1.x", "1..2", "12.8 beta", "1.2.3.4", "R", "-1.2", "1.2\n3"])
def test_what_is_no_version_is_refused(kind: type[CudaVersion | DriverRelease | PtxVersion], text: str) -> None:
    with pytest.raises(ParseError) as caught:
        kind.parse(text)
    assert caught.value.text == text


@given(st.text(max_size=10))
def test_any_text_is_a_release_or_a_parse_error(text: str) -> None:
    try:
        DriverRelease.parse(text)
    except ParseError as error:
        assert error.start < error.end
