"""Typical mistakes: refused with the same words whether a GPU is there or not, each with what was probably meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fakes import H100, Host, needs_compiler
from hypothesis import given
from hypothesis import strategies as st
from strategies import capabilities, drivers, requirements
from write_reference import MISTAKES

from capably.arch import ComputeCapability
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import ParseError, UnknownNameError
from capably.facts import Device, Driver
from capably.requirement import Requirement
from capably.wanted import check, read_requirement

PAGE = Path(__file__).parents[1] / "docs/mistakes.md"
ASK = """
import capably
def refused(call):
    try:
        eval(call, {"require": capably.require, "supports": capably.supports})
    except (ValueError, LookupError, TypeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "passes"
say([refused(call) for call in CALLS])
"""


def cells() -> dict[str, str]:
    rows = re.findall(
        r"(?m)^\| `(.*)` \| ((?:ParseError|UnknownNameError|ValueError|TypeError): .*) \|$", PAGE.read_text("utf-8")
    )
    return {call.replace("\\|", "|"): said.replace("\\|", "|") for call, said in rows}


@needs_compiler
@pytest.mark.parametrize("machine", ["a GPU", "none", "a driver that hangs"])
def test_a_mistake_is_one_on_every_machine_and_says_what_was_meant(tmp_path: Path, machine: str) -> None:
    fleet = {"a GPU": (H100,), "none": (), "a driver that hangs": (H100, "hang nvmlInit_v2", "hang cuInit")}[machine]
    host = Host(tmp_path, fleet, nvml=bool(fleet), cuda=bool(fleet))
    found = host.run(f"CALLS = {list(MISTAKES)!r}\n{ASK}")
    assert len(found) >= 62
    assert dict(zip(MISTAKES, found, strict=True)) == cells()
    for call, said in zip(MISTAKES, found, strict=True):
        assert re.search(r"did you mean|, the compute capability of|, which is ", said), (call, said)


def test_what_is_suggested_is_a_requirement() -> None:
    suggested = 0
    for call, said in cells().items():
        found = re.search(r"did you mean `([^`]*)`", said)
        if found and re.fullmatch(r"require\('[^']*'\)", call):
            read_requirement(found[1])  # or raises
            suggested += 1
    assert suggested > 40


@given(requirement=requirements, capability=capabilities, driver=st.none() | drivers)
def test_nothing_is_said_to_be_impossible_that_some_gpu_meets(
    requirement: Requirement, capability: ComputeCapability, driver: Driver | None
) -> None:
    if judge(requirement, Device(capability), driver).outcome is Outcome.RUNS:
        check(requirement)  # raises where it can never hold


@pytest.mark.parametrize(
    "text",
    [
        ">=7.5", "sm75+", "8.0 | 9.0", "{8.0,9.0}", ">=8.0,<9.0", ">8.0,<8.9", "!=10.x,>=10.0", "fp4,>=12.0", "9.0a",
        "10.0f,>=10.3", "driver>=550,driver<580", "driver>=550,driver<550.54", "cuda>12.8,cuda<13", "sms>=100,sms<=132",
        "installed:x>=2,installed:x<3", "!fp8", "!9.0a", "!=12.1,12.x", "10.1a,>=11.0", "smem>=99KiB,smem<=99KiB",
        "memory>=40GiB,memory>=80GB", "!installed:x>=2", "99.9", ">99.8", "fp8,!fp4",
    ],
)  # fmt: skip
def test_what_can_hold_is_no_mistake(text: str) -> None:
    assert str(read_requirement(str(read_requirement(text)))) == str(read_requirement(text))


@pytest.mark.parametrize(
    "text",
    ["8.0,9.0", "!=8.0,8.0", "fp8,!fp8", "9.0a,10.x", "9.0a,8.0", "fp4,9.x", "10.0f,>=12.0", "driver>=580,driver<580",
     "toolkit>=12.9,toolkit<=12.8", "memory>=80GiB,memory<40GiB", "<1.0", "{8.0,9.0},10.0", ">8.0,<8.1", "8.0 | 9.0,10.0"],
)  # fmt: skip
def test_what_can_never_hold_is_one(text: str) -> None:
    with pytest.raises(ParseError, match=r"at once|some GPU can meet"):
        read_requirement(text)


def test_a_requirement_that_is_put_together_may_have_parts_that_never_hold() -> None:
    hopper = Requirement.major(9) & Requirement.parse(">=10.0 | fp8")
    check(hopper)
    assert hopper.met_by((9, 0)) is True
    with pytest.raises(ParseError, match="at once"):
        check(Requirement.major(9) & Requirement.at_least(100))
    with pytest.raises(UnknownNameError, match="did you mean `fp8`"):
        check(Requirement.parse("fp88"))


@pytest.mark.parametrize(
    ("text", "met", "refused"),
    [
        ("!fp8", "8.6", "8.9"),
        ("!9.0a", "8.0", "9.0"),
        ("!10.0f", "9.0", "10.3"),
        ("!10.x", "9.0", "10.0"),
        ("!>=9.0", "8.9", "9.0"),
        ("!{8.0,8.6}", "8.9", "8.6"),
        ("!smem>=99KiB", "7.5", "8.6"),
        ("! 8.0", "8.6", "8.0"),
    ],
)
def test_the_opposite_of_a_condition_can_be_said(text: str, met: str, refused: str) -> None:
    requirement = read_requirement(text)
    assert requirement.met_by(met) is True
    assert requirement.met_by(refused) is False
    assert read_requirement(str(requirement)) == requirement


def test_the_opposite_of_what_is_not_known_is_not_known_either() -> None:
    assert read_requirement("!fp8").met_by("99.9") is None
    assert read_requirement("!driver>=550").met_by("9.0") is None


def test_the_opposite_of_a_version_of_a_package_holds_where_it_is_not_installed() -> None:
    device = Device(ComputeCapability(9, 0))
    outcomes = [
        judge(read_requirement("!installed:x>=2"), device, installed=installed).outcome
        for installed in ((), (("x", "1.9"),), (("x", "2.0"),), None)
    ]
    assert outcomes == [Outcome.RUNS, Outcome.RUNS, Outcome.FAILS, Outcome.UNKNOWN]


@pytest.mark.parametrize(
    ("written", "printed"),
    [(90, ">=9.0"), ((9, 0), ">=9.0"), ("9.0", ">=9.0"), ("sm_121", ">=12.1"), (ComputeCapability(8, 6), ">=8.6")],
)
def test_a_number_is_taken_as_frameworks_pass_it(written: Any, printed: str) -> None:
    assert str(Requirement.at_least(written)) == printed
    assert str(Requirement.exactly(written)) == printed.removeprefix(">=")


@pytest.mark.parametrize("written", [9.0, True, None, (9,), (9, 0, 0), (9.0, 0), [], {}])
def test_a_fraction_is_no_capability(written: Any) -> None:
    with pytest.raises(TypeError, match=r"it takes '9\.0', 90 or \(9, 0\)"):
        Requirement.at_least(written)


@pytest.mark.parametrize("written", [9, 0, -1, 1000, (9, 10), (0, 5), "9"])
def test_a_number_that_is_no_capability_is_refused(written: Any) -> None:
    with pytest.raises(ParseError):
        Requirement.exactly(written)


def test_majors_and_combinations() -> None:
    assert str(Requirement.major(10, 9)) == "{9.x,10.x}"
    assert str(Requirement.parse("fp8") | Requirement.exactly(80)) == "fp8 | 8.0"
    assert str(Requirement.at_least(80) & Requirement.parse("driver>=550 | 9.0")) == ">=8.0,driver>=550 | >=8.0,9.0"
    for wrong in ((), (0,), (100,), ("9",)):
        with pytest.raises(ValueError, match=r"major version|at least one"):
            Requirement.major(*wrong)
    with pytest.raises(TypeError):
        _ = Requirement.at_least(80) & "fp8"


@given(capabilities, capabilities)
def test_a_capability_is_a_pair_of_numbers(one: ComputeCapability, other: ComputeCapability) -> None:
    pair, others = (one.major, one.minor), (other.major, other.minor)
    assert (*one,) == pair
    assert (one[0], one[1], one[-1], len(one)) == (*pair, pair[1], 2)
    assert one == pair
    assert hash(one) == hash(pair)
    for compared in (other, others):
        assert (one == compared, one < compared, one <= compared, one > compared, one >= compared) == (
            pair == others,
            pair < others,
            pair <= others,
            pair > others,
            pair >= others,
        )
    assert (others < one) is (others < pair)
    assert one != str(one)
    with pytest.raises(TypeError):
        _ = one < 90
