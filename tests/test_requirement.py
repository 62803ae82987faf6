"""Requirements: one way to print, every way to write, and errors that point at the character."""

from __future__ import annotations

import pickle

import pytest
import strategies
from hypothesis import given

from capably.errors import ParseError
from capably.requirement import Requirement


@given(strategies.requirements)
def test_a_requirement_reads_back_from_its_own_text(requirement: Requirement) -> None:
    again = Requirement.parse(str(requirement))
    assert again == requirement
    assert hash(again) == hash(requirement)
    assert str(again) == str(requirement)
    assert pickle.loads(pickle.dumps(requirement)) == requirement  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("sm75+", ">=7.5"),
        ("SM_75+", ">=7.5"),
        ("7.5+", ">=7.5"),
        (">= 8.0 , < 9.0", ">=8.0,<9.0"),
        ("==12.0", "12.0"),
        ("sm_90", "9.0"),
        ("SM90A", "9.0a"),
        ("{ 8.6 , 80 }", "{8.0,8.6}"),
        ("{8.0,8.0}", "8.0"),
        ("!={10.x,12.0}", "!={10.x,12.0}"),
        ("!=10.X", "!=10.x"),
        (" 10.0a|10.0F ", "10.0a | 10.0f"),
        ("FP8, fp8", "fp8"),
        ("driver >= R550.54", "driver>=550.54"),
        ("smem>=101376B", "smem>=99KiB"),
        ("memory>=40 gb", "memory>=40GB"),
        ("installed:NVIDIA_nccl.cu12>=2.27", "installed:nvidia-nccl-cu12>=2.27"),
    ],
)
def test_ways_of_writing(written: str, printed: str) -> None:
    assert str(Requirement.parse(written)) == printed
    assert Requirement.parse(written) == Requirement.parse(printed)


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        ("", 0, 1, "a condition"),
        (">=8.0,", 6, 7, "a condition"),
        (">=8.0 | | fp8", 8, 9, "a condition"),
        ("a b", 2, 3, "`,` or `|`"),
        (">=9.0a", 5, 6, "no suffix behind a comparison"),
        ("{9.0a}", 4, 5, "no suffix inside braces"),
        ("{8.0,8.6", 8, 9, "`,` or `}`"),
        (">={8.0}", 0, 2, "`==` or `!=` before a set"),
        (">=12", 2, 4, "`12.0` or `120`"),
        ("sm10+", 2, 4, "`10.0` or `100`"),
        (">=10.x", 2, 6, "a minor version"),
        ("9.0.1", 3, 4, "one digit stands for the minor version"),
        (">=9.0+", 5, 6, "either a comparison or `+`"),
        ("9.0b", 3, 4, "`,` or `|`"),
        ("9.0aa", 4, 5, "the end of the target"),
        (">=fp8", 2, 5, "a compute capability"),
        ("smm>=3", 0, 3, "`smem`"),
        ("driver", 6, 7, "such as `driver>=550`"),
        ("driver>=new", 8, 9, "a version of numbers"),
        ("cuda>=12.8.1", 6, 12, "at most 2 numbers"),
        ("smem>=4", 7, 8, "a unit"),
        ("sms>=4k", 6, 7, "a plain number"),
        ("installed:>=1", 10, 11, "the name of a distribution"),
        ("~=9.0", 0, 1, "a condition"),
        (">=0.5", 2, 5, "1.0 or higher"),
    ],
)
def test_what_does_not_fit_is_pointed_at(text: str, start: int, end: int, expected: str) -> None:
    with pytest.raises(ParseError) as error:
        Requirement.parse(text)
    assert (error.value.start, error.value.end) == (start, end)
    assert expected in error.value.expected


def test_a_requirement_without_conditions_is_none() -> None:
    for alternatives in ((), ((),)):
        with pytest.raises(ValueError, match="at least one condition"):
            Requirement(alternatives)
