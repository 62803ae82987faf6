"""Requirements: one way to print, every way to write, and errors that point at the character."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import strategies
from hypothesis import given

from capably.arch import ComputeCapability, Target
from capably.cli.targets import read_driver
from capably.codes import Outcome
from capably.engine import Verdict, judge
from capably.errors import ParseError
from capably.facts import Device, Driver, DriverState, Toolkit, ToolkitKind, Visibility
from capably.gate import Policy, decide
from capably.probe.fleet import Look
from capably.requirement import Comparison, OneOf, Requirement
from capably.version import CudaVersion, DriverRelease


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


# ---------------------------------------------------------------------------------------------------------
# The compute capability

OPPOSITE = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}
OPPOSITES = {Outcome.RUNS: Outcome.FAILS, Outcome.FAILS: Outcome.RUNS, Outcome.UNKNOWN: Outcome.UNKNOWN}


@given(clause=strategies.places, capability=strategies.capabilities)
def test_a_condition_and_its_opposite_are_never_both_met_nor_both_refused(
    clause: Comparison | OneOf, capability: ComputeCapability
) -> None:
    opposite = (
        replace(clause, operator=OPPOSITE[clause.operator])
        if isinstance(clause, Comparison)
        else replace(clause, excluded=not clause.excluded)
    )
    one, other = (judge(Requirement(((c,),)), Device(capability)).outcome for c in (clause, opposite))
    assert one is not None
    assert other is OPPOSITES[one]


@pytest.mark.parametrize(
    ("requirement", "capability", "outcome"),
    [
        # Jetson Thor was 10.1 until CUDA 13.0, which calls it 11.0: what depends on the name is not known.
        (">=10.0", "10.1", "runs"),
        (">=11.0", "10.1", "unknown"),
        (">=10.3", "10.1", "unknown"),
        ("<11.0", "10.1", "unknown"),
        ("<10.1", "10.1", "fails"),
        (">=12.0", "10.1", "fails"),
        ("10.1", "10.1", "runs"),
        ("10.x", "10.1", "runs"),
        ("!=10.x", "10.1", "fails"),
        ("11.x", "10.1", "unknown"),
        ("!=11.x", "10.1", "unknown"),
        ("{11.0,12.0}", "10.1", "unknown"),
        ("11.0a", "10.1", "unknown"),
        ("tcgen05", "10.1", "unknown"),
        ("!=10.1", "11.0", "unknown"),
        ("<11.0", "11.0", "fails"),
        ("10.x", "11.0", "fails"),
        # Which features a device has is known of those in the tables; its number, of all.
        ("fp8", "12.1", "runs"),
        ("fp8", "99.9", "unknown"),
        (">=8.9", "99.9", "runs"),
        ("fp8", "2.0", "fails"),
    ],
)
def test_devices_with_two_numbers_and_beyond_the_tables(requirement: str, capability: str, outcome: str) -> None:
    verdict = judge(Requirement.parse(requirement), Device(ComputeCapability.parse(capability)))
    assert verdict.outcome == outcome
    assert verdict.outcome is not Outcome.UNKNOWN or (capability == "99.9") == ("tables" in verdict.reasons[0].message)


@pytest.mark.parametrize(
    ("requirement", "capability", "outcome"),
    [
        ("10.1f", "10.1", "runs"),  # ptxas 12.9 has the target, and for no other number
        ("10.1f", "10.3", "fails"),
        ("10.0f", "10.1", "fails"),
        ("10.1f", "11.0", "unknown"),  # the same hardware by another name
        # Beyond the tables: another number with `a`, another major version.
        ("99.9a", "12.0", "fails"),
        ("99.5a", "99.9", "fails"),
        ("99.5f", "99.9", "unknown"),
        ("99.9a", "99.9", "unknown"),
        ("12.0f", "99.9", "fails"),
        ("12.0a", "99.9", "fails"),
        ("12.0f", "12.9", "unknown"),
    ],
)
def test_code_with_a_suffix(requirement: str, capability: str, outcome: str) -> None:
    judged = judge(Requirement.parse(requirement), Device(ComputeCapability.parse(capability)))
    assert judged.outcome == outcome


@pytest.mark.parametrize("text", ["8.9a", "9.0f", "7.5a", ">=8.0, 8.6a", "9.0a | 8.9f"])
def test_a_suffix_that_no_toolkit_has_is_refused_and_told_where_it_begins(text: str) -> None:
    with pytest.raises(ParseError, match=r"`a` begins with 9\.0 and `f` begins with 10\.0"):
        judge(Requirement.parse(text), Device(ComputeCapability(9, 0)))


@pytest.mark.parametrize(
    ("requirement", "driver", "capability", "outcome"),
    [
        # NVIDIA's table: CUDA 12.0 came with R525, 12.1 with R530; 12.4 with R550, whose Windows releases are 551 to 553.
        ("driver>=525", "12.0", "9.0", "runs"),
        ("driver>=525.60.13", "12.0", "9.0", "unknown"),
        ("driver<525", "12.0", "9.0", "fails"),
        ("driver>=530", "12.0", "9.0", "fails"),
        ("driver>525", "12.0", "9.0", "unknown"),
        ("driver==525", "12.0", "9.0", "unknown"),
        ("driver>=551", "12.4", "9.0", "unknown"),
        ("driver>=550", "12.4", "9.0", "runs"),
        ("driver<555", "12.4", "9.0", "runs"),
        ("driver>=525.60.13", "525", "9.0", "unknown"),
        ("driver>=525.60.13", "530", "9.0", "runs"),
        ("driver>=525", "525", "9.0", "runs"),
        ("driver==525", "525", "9.0", "runs"),
        ("driver==525.60.13", "525", "9.0", "unknown"),
        ("driver>=525.60.13", "525.60.13", "9.0", "runs"),
        ("driver>=525.60.13", "525.53", "9.0", "fails"),
        # Beyond the tables, what is certain is certain.
        ("driver>=525", "14.0", "9.0", "runs"),
        ("driver>=700", "14.0", "9.0", "unknown"),
        ("driver>=410", "9.2", "9.0", "fails"),
        ("cuda>=12.0", "700.10", "9.0", "runs"),
        ("cuda>=13.9", "700.10", "9.0", "unknown"),
        ("cuda>=10.0", "390.157", "9.0", "fails"),
        ("cuda>=9.0", "390.157", "9.0", "unknown"),
        # A Tegra part by its CUDA version only: 540.4.0 of JetPack 6.2.1 is of CUDA 12.6 (jetson-containers#1403).
        ("cuda>=12.6", "540.4.0", "8.7", "unknown"),
        ("cuda>=12.6", "540.4.0 (CUDA 12.6)", "8.7", "runs"),
        ("driver>=535", "540.4.0", "8.7", "unknown"),
        ("driver>=535", "12.6", "8.7", "unknown"),
        # With a package for forward compatibility, the release is the kernel module's.
        ("driver>=580", "535.183.01 (CUDA 13.0)", "9.0", "fails"),
        ("cuda>=13.0", "535.183.01 (CUDA 13.0)", "9.0", "runs"),
    ],
)
def test_a_version_that_is_known_in_part_is_decided_where_all_that_it_may_be_agree(
    requirement: str, driver: str, capability: str, outcome: str
) -> None:
    device = Device(ComputeCapability.parse(capability))
    assert judge(Requirement.parse(requirement), device, read_driver(driver)).outcome == outcome


def test_memory_is_told_as_the_driver_tells_it() -> None:
    card = Device(ComputeCapability(8, 9), memory_bytes=24564 << 20)  # sold as 24 GB
    (refused,) = judge(Requirement.parse("memory>=24GiB"), card).reasons
    assert refused.message == "`memory>=24GiB` does not hold: it has 24564 MiB"


# ---------------------------------------------------------------------------------------------------------
# The ways in which a real framework says what it needs, as docs/gate.md has them

GATE = (Path(__file__).parents[1] / "docs/gate.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
    for line in GATE.splitlines()
    if re.match(r"\| [0-9]+ \|", line)
]


def test_the_verdict_of_the_walk_through_is_the_gates() -> None:
    gpu = Device(ComputeCapability(9, 0), "NVIDIA GH200 480GB", ordinal=0)
    seen = Look((gpu,), (gpu,), Visibility(None, None), DriverState())
    environ = {"TORCH_CUDA_ARCH_LIST": "7.0;7.5;8.0;8.9;9.0;10.0+PTX"}
    answer = decide(Requirement.parse(">=7.5"), Policy.DEVICE, seen, environ).require("FlashInfer")
    assert "\n".join(answer.lines) in GATE


def held_against(requirement: str, facts: str) -> Verdict:
    """The verdict for facts as the table writes them: ``9.0 + toolkit 12.3``."""
    what, *others = facts.split(" + ")
    more = dict(other.rsplit(" ", 1) for other in others)
    toolkit, driver, sms = more.pop("toolkit", None), more.pop("driver", None), more.pop("sms", None)
    return judge(
        Requirement.parse(requirement),
        Target.parse(what)
        if what.startswith("sm_")
        else Device(ComputeCapability.parse(what), multiprocessors=int(sms) if sms else None),
        Driver(DriverRelease.parse(driver)) if driver else None,
        toolkit=Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit)) if toolkit else None,
        installed=tuple(more.items()),
    )


def test_the_table_has_every_form() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 23))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_form_that_a_framework_uses_can_be_said(row: list[str]) -> None:
    _, _, cell, met, not_met = row
    requirement = cell.strip("`").replace("\\|", "|")
    assert str(Requirement.parse(str(Requirement.parse(requirement)))) == str(Requirement.parse(requirement))
    assert held_against(requirement, met).outcome is Outcome.RUNS
    refused = held_against(requirement, not_met)
    assert refused.outcome is Outcome.FAILS
    reasons = [reason for reason in refused.reasons if reason.outcome is Outcome.FAILS]
    assert reasons
    assert all(reason.way_out and "`" in reason.message for reason in reasons)  # which clause, and what to do
