"""Every spelling in use parses, errors point at the character, values keep the laws of values."""

import copy
import pickle

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.errors import ParseError

NINE = ComputeCapability(9, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.0", "sm_90"),
        ("90", "sm_90"),
        ("sm_90a", "sm_90a"),
        ("SM90", "sm_90"),
        ("sm90a", "sm_90a"),
        ("SM_90A", "sm_90a"),
        ("compute_100f", "compute_100f"),
        ("COMPUTE_100F", "compute_100f"),
        ("9.0a", "sm_90a"),
        ("10.0f", "sm_100f"),
        ("90-real", "sm_90"),
        ("90a-real", "sm_90a"),
        ("121-virtual", "compute_121"),
        ("100f-virtual", "compute_100f"),
        ("lto_90", "lto_90"),
        ("lto_100f", "lto_100f"),
        ("12.0", "sm_120"),
        ("120", "sm_120"),
        ("  sm_75 ", "sm_75"),
        ("cc 8.6", "sm_86"),
    ],
)
def test_every_spelling_of_a_target_parses(text: str, expected: str) -> None:
    assert str(Target.parse(text)) == expected


@pytest.mark.parametrize("text", ["9.0", "90", "sm_90", "SM90", "compute_90", "cc9.0", " 9.0 "])
def test_every_spelling_of_a_capability_parses(text: str) -> None:
    assert ComputeCapability.parse(text) == NINE


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("", 0, 1),
        ("sm_", 3, 4),
        ("sm_x0", 3, 4),
        ("hopper", 0, 1),
        ("9", 0, 1),
        ("sm_9", 3, 4),
        ("9.0b", 3, 4),
        ("sm_90ab", 6, 7),
        ("9.00", 3, 4),
        ("1000", 3, 4),
        ("10.0.1", 4, 5),
        ("sm_90-real", 5, 10),
        ("90-both", 2, 7),
        ("0.9", 0, 3),
        ("9.0+PTX", 3, 7),
        ("\u0669.\u0660", 0, 1),  # digits of another script are not digits of an architecture
        ("9.0\n8.0", 3, 7),
    ],
)
def test_a_wrong_target_is_refused_at_the_character(text: str, start: int, end: int) -> None:
    with pytest.raises(ParseError) as caught:
        Target.parse(text)
    assert (caught.value.start, caught.value.end) == (start, end)
    assert "^" * (end - start) in str(caught.value)


def test_a_device_has_no_suffix() -> None:
    with pytest.raises(ParseError) as caught:
        ComputeCapability.parse("9.0a")
    assert caught.value.start == 3


@pytest.mark.parametrize(("major", "minor"), [(0, 0), (100, 0), (9, 10), (9, -1)])
def test_numbers_out_of_range_are_no_capability(major: int, minor: int) -> None:
    with pytest.raises(ValueError, match="no compute capability"):
        ComputeCapability(major, minor)


def test_capabilities_sort_by_number_not_as_text() -> None:
    texts = ["12.1", "9.0", "10.3", "8.9", "12.0", "7.5", "10.0", "11.0"]
    assert [str(c) for c in sorted(map(ComputeCapability.parse, texts))] == [
        "7.5", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1",
    ]  # fmt: skip


@given(strategies.targets)
def test_printing_and_parsing_a_target_round_trips(target: Target) -> None:
    assert Target.parse(str(target)) == target
    assert hash(Target.parse(str(target))) == hash(target)
    assert pickle.loads(pickle.dumps(target)) == copy.deepcopy(target) == target  # noqa: S301 - our own bytes


@given(strategies.capabilities)
def test_printing_and_parsing_a_capability_round_trips(capability: ComputeCapability) -> None:
    assert ComputeCapability.parse(str(capability)) == capability
    assert ComputeCapability.parse(f"sm_{capability.number}") == capability
    assert ComputeCapability.from_number(capability.number) == capability


@given(st.text(max_size=12))
def test_any_text_is_a_target_or_a_parse_error(text: str) -> None:
    try:
        target = Target.parse(text)
    except ParseError as error:
        assert 0 <= error.start < error.end
        assert str(error)
    else:
        assert target.kind in TargetKind
        assert target.suffix in Suffix
