"""Plans: what they promise holds by the engine, and nothing smaller would do."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from goldens import golden
from plain import make_plain
from schemas import fits_schema

from capably import facts
from capably.arch import ComputeCapability, Target, TargetKind
from capably.archlist import read
from capably.cli.app import run
from capably.codes import Outcome
from capably.engine import judge
from capably.facts import Device, Driver, Fatbin, Image, ImageKind
from capably.jit_targets import choose_jit_targets
from capably.list_output import offers, spell
from capably.plan import Plan, PlanPolicy, plan, toolkit_named, undecided
from capably.requirement import Requirement
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from capably.tables import KnownToolkit

SYSTEMS = Path(__file__).parent / "data/systems"
CAPABILITIES = sorted({product.capability for product in tables().products})
OLDEST = CudaVersion(11, 8)
# CAPABLY_EXHAUSTIVE=1: every subset of up to four capabilities with every toolkit; minutes, and not in CI.
EXHAUSTIVE = bool(os.environ.get("CAPABLY_EXHAUSTIVE"))
EVERY_TOOLKIT = [row.cuda for row in tables().toolkits if row.cuda >= OLDEST]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_plain(monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")


def gpu(capability: ComputeCapability | str) -> tuple[Device, Driver]:
    number = ComputeCapability.parse(capability) if isinstance(capability, str) else capability
    return Device(number), tables().newest_driver(number)


def cuda(version: str) -> KnownToolkit:
    found = toolkit_named(CudaVersion.parse(version))
    assert found is not None
    return found


def planned(gpus: str, version: str, policy: str = "native", driver: Driver | None = None) -> Plan:
    columns = [gpu(capability) for capability in gpus.split()]
    return plan([(d, driver or own) for d, own in columns], cuda(version), policy=PlanPolicy(policy))


def names(targets: Iterable[Target]) -> str:
    return " ".join(map(str, targets))


# ---------------------------------------------------------------------------------------------------------
# Smallest: against an exhaustive search that shares nothing with the planner but the engine


@cache
def outcome(name: str, version: CudaVersion, capability: ComputeCapability) -> Outcome:
    """What one target does on one device, by the engine and by nothing else."""
    target = Target.parse(name)
    ptx = dict(tables().ptx)[version]
    image = (
        Image(ImageKind.PTX, target, ptx=ptx, toolkit=version)
        if target.kind is TargetKind.VIRTUAL
        else Image(ImageKind.SASS, target, toolkit=version)
    )
    found = judge(Fatbin((image,)), *gpu(capability)).outcome
    assert found is not None
    return found


@cache
def candidates(version: CudaVersion) -> tuple[str, ...]:
    """All that the toolkit emits, but PTX with the suffix `a`."""
    names = [name for row in tables().toolkits if row.cuda == version for name in row.targets]
    return (*(f"sm_{n}" for n in names), *(f"compute_{n}" for n in names if not n.endswith("a")))


@cache
def rows(version: CudaVersion, wanted: tuple[Outcome, ...]) -> tuple[frozenset[ComputeCapability], ...]:
    """The different sets of devices that a target serves."""
    found = {
        frozenset(capability for capability in CAPABILITIES if outcome(name, version, capability) in wanted)
        for name in candidates(version)
    }
    return tuple(sorted(found - {frozenset()}, key=len, reverse=True))


def fewest(subset: frozenset[ComputeCapability], sets: Iterable[frozenset[ComputeCapability]]) -> int:
    """How many of *sets* it takes to cover *subset*: every combination is tried, the small ones first."""
    useful = {row & subset for row in sets} - {frozenset()}
    for count in range(len(subset) + 1):
        if any(subset <= frozenset().union(*some) for some in itertools.combinations(useful, count)):
            return count
    raise AssertionError("these devices cannot be covered")


def signature(version: CudaVersion) -> object:
    """Equal for toolkits between which the engine makes no difference on any of the devices."""
    blocked = version.major
    return blocked, tuple(
        (name, tuple(outcome(name, version, capability) for capability in CAPABILITIES)) for name in candidates(version)
    )


def different_toolkits() -> list[CudaVersion]:
    """Of CUDA 11.8 to 13.5, one of each kind that is judged alike."""
    return list({signature(version): version for version in EVERY_TOOLKIT}.values())


@cache
def alone(version: CudaVersion, capability: ComputeCapability) -> Target:
    """What a GPU gets that is the only one: machine code of its own number where that exists and runs, else PTX."""
    (target,) = plan([gpu(capability)], cuda(str(version)), policy=PlanPolicy.EACH).targets
    plain = f"sm_{capability.number}"
    runs = {name for name in candidates(version) if outcome(name, version, capability) is Outcome.RUNS}
    assert str(target) == plain if plain in runs else (str(target) in runs) is bool(runs)
    return target


def check(subset: Sequence[ComputeCapability], version: CudaVersion, policy: PlanPolicy) -> None:
    found = plan([gpu(capability) for capability in subset], cuda(str(version)), policy=policy)
    promised = [one for one in found.served if one.covered]
    open_to_it = frozenset(one.device.capability for one in found.served if not one.blocked)
    native = (Outcome.RUNS,)
    either = (Outcome.RUNS, Outcome.COMPILES)
    only_native = policy is PlanPolicy.NATIVE
    # It covers what it promises: each GPU by itself, and judged from the targets alone.
    for one in promised:
        outcomes = {outcome(str(target), version, one.device.capability) for target in found.targets}
        assert outcomes & set(native if only_native else either)
        assert one.outcome in outcomes
    # It promises whatever can be had.
    reach = {p: frozenset().union(*rows(version, w)) & open_to_it for p, w in ((1, native), (2, either))}
    can = reach[1] if only_native else reach[2]
    assert {one.device.capability for one in promised} == can
    # Nothing smaller does.
    match policy:
        case PlanPolicy.NATIVE:
            assert len(found.targets) == fewest(can, rows(version, native))
            assert all(target.kind is TargetKind.REAL for target in found.targets)
        case PlanPolicy.EACH:
            assert set(found.targets) == {alone(version, capability) for capability in can}
        case PlanPolicy.SIZE:
            assert len(found.targets) == fewest(can, rows(version, either))
        case PlanPolicy.PTX:
            real = [target for target in found.targets if target.kind is TargetKind.REAL]
            ptx = [target for target in found.targets if target.kind is TargetKind.VIRTUAL]
            assert len(real) == fewest(reach[1], rows(version, native))
            rest = fewest(can - reach[1], rows(version, (Outcome.COMPILES,)))
            assert len(ptx) == max(rest, bool(can))
            assert not any(target.suffix for target in ptx)
            assert found.targets == (*real, *ptx)


@pytest.mark.parametrize("policy", PlanPolicy)
@pytest.mark.parametrize("version", EVERY_TOOLKIT if EXHAUSTIVE else different_toolkits(), ids=str)
def test_it_covers_what_it_promises_and_nothing_smaller_does(
    version: CudaVersion, policy: PlanPolicy, record_property: Callable[[str, object], None]
) -> None:
    # Of the larger subsets every 97th, or all of them where that is asked for.
    checked = 0
    for size in (1, 2, 3, 4):
        step = 1 if EXHAUSTIVE or size < 3 else 97
        offset = sorted(PlanPolicy).index(policy) % step
        for subset in itertools.islice(itertools.combinations(CAPABILITIES, size), offset, None, step):
            check(subset, version, policy)
            checked += 1
    record_property("plans", checked)
    assert checked == sum(math.comb(len(CAPABILITIES), size) for size in (1, 2, 3, 4)) or not EXHAUSTIVE


# ---------------------------------------------------------------------------------------------------------
# Known answers


@pytest.mark.parametrize(
    ("gpus", "version", "policy", "targets"),
    [
        ("8.0 8.6 8.9", "12.8", "native", "sm_80"),
        ("8.6 8.9", "12.8", "native", "sm_86"),  # the nearest of those that serve both
        ("8.6 8.9", "12.8", "ptx", "sm_86 compute_86"),  # so that every dialect can say it
        ("7.0 7.5", "12.6", "native", "sm_70"),
        (
            "8.0 12.0",
            "12.6",
            "ptx",
            "sm_80 compute_90",
        ),  # the newest that 12.6 emits, for the GPU that it does not know
        ("8.0 12.0", "12.6", "size", "compute_80"),
        ("9.0", "12.6", "size", "sm_90"),  # as small as PTX, and better
        ("10.0 10.3 12.0 12.1", "12.8", "native", "sm_100 sm_120"),
        ("8.6 8.9", "12.8", "each", "sm_86 sm_89"),
        ("8.6 8.9 12.1", "12.8", "each", "sm_86 sm_89 sm_120"),
        ("8.9 12.1", "12.6", "each", "sm_89 compute_90"),
        ("10.7", "12.9", "native", "sm_103"),  # of its family, before there was a target of its own
        # Machine code of desktop parts and of Jetson boards: apart up to CUDA 12.9, unsettled since.
        ("8.0 8.7 8.9", "12.9", "native", "sm_80 sm_87"),
        ("8.0 8.7 8.9", "13.5", "native", "sm_80 sm_87"),
        ("8.7 8.9", "12.9", "size", "compute_87"),
        # 10.1 is called 11.0 since CUDA 13.0: machine code under the old name is unproven, PTX is not.
        ("11.0", "12.9", "native", ""),
        ("11.0", "12.9", "ptx", "compute_101"),
        ("11.0", "13.0", "native", "sm_110"),
        # The last driver for Jetson Xavier compiles nothing newer than CUDA 12.2, so PTX of 12.9 is of no use there.
        ("7.2 9.0", "12.9", "size", "sm_72 sm_90"),
        ("7.2 9.0", "12.2", "size", "compute_72"),
        # Nothing suffixed is ever taken for GPUs to come.
        ("9.0", "12.0", "ptx", "sm_90 compute_90"),
        ("12.1", "13.5", "ptx", "sm_121 compute_121"),
        # The last driver for Kepler is older than PTX of 11.8; the GPUs to come have others.
        ("3.5", "11.8", "ptx", "sm_35 compute_35"),
    ],
)
def test_the_smallest_set(gpus: str, version: str, policy: str, targets: str) -> None:
    assert names(planned(gpus, version, policy).targets) == targets


def test_a_toolkit_that_cannot_says_which_one_would() -> None:
    found = planned("7.0 12.0", "13.0")
    volta, blackwell = found.served
    assert (volta.covered, blackwell.covered) == (False, True)
    assert not found.complete
    assert not found.unsettled
    assert volta.toolkits == tuple(row.cuda for row in tables().toolkits if row.cuda < CudaVersion(13, 0))
    assert found.toolkits == (CudaVersion(12, 8), CudaVersion(12, 9))
    assert [finding.path for finding in found.findings] == ["sm_70"]


def test_what_is_not_known_is_no_refusal() -> None:
    thor = planned("11.0", "12.9")
    assert thor.unsettled
    assert thor.served[0].toolkits[0] == CudaVersion(13, 0)
    newer = planned("99.9 8.0", "13.5", "size")  # a capability beyond the tables
    assert [one.covered for one in newer.served] == [False, True]
    assert newer.unsettled
    assert newer.served[0].outcome is Outcome.UNKNOWN
    future = undecided([gpu("9.0")], CudaVersion(13, 9), PlanPolicy.NATIVE)
    assert future.unsettled
    assert not future.targets
    assert [finding.code for finding in future.findings] == ["toolkit-beyond-tables"]


def test_a_driver_that_is_named_counts() -> None:
    old = Driver(DriverRelease.parse("535.183.01"))
    assert planned("9.0", "12.8", driver=old).complete  # machine code, within the major version
    assert names(planned("8.0 12.0", "12.6", "ptx", Driver(DriverRelease(570))).targets) == "sm_80 compute_90"
    assert not planned("12.0", "12.6", "ptx", old).complete  # that driver does not know the GPU
    assert not planned("8.6", "12.8", "size", Driver(cuda=CudaVersion(11, 8))).complete
    (hopper,) = planned("9.0", "13.0", driver=old).served
    assert not hopper.covered
    assert [finding.code for finding in hopper.blocked] == ["cuda-major-newer-than-driver"]
    assert hopper.toolkits[-1] == CudaVersion(12, 9)
    (volta,) = planned("7.0", "12.9", driver=Driver(DriverRelease(590))).served  # R580 was the last for it
    assert not volta.covered


# ---------------------------------------------------------------------------------------------------------
# What the code needs


@pytest.mark.parametrize(
    ("gpus", "version", "needs", "policy", "targets"),
    [
        ("9.0", "12.8", "9.0a", "native", "sm_90a"),
        ("8.0 9.0", "12.8", "9.0a | 8.x", "native", "sm_80 sm_90a"),
        ("8.0 8.9 9.0", "12.8", ">=8.0", "native", "sm_80 sm_90"),
        ("8.9 9.0", "12.8", "fp8", "native", "sm_89 sm_90"),  # code for 8.0 has no FP8
        ("8.6 8.9", "12.8", ">=8.6", "native", "sm_86"),
        ("10.0 10.3", "12.9", "10.0f", "native", "sm_100f"),  # one for both, and the one that reaches further
        (
            "10.0",
            "12.8",
            "10.0f",
            "native",
            "sm_100a",
        ),  # before there was an `f`: `a` code may use all that `f` code may
        ("10.0 10.3", "12.8", "10.0a | 10.3a", "native", "sm_100a"),
        # An alternative that another GPU, or another driver, meets does not count here.
        ("8.0 9.0", "12.8", "9.0a,driver>=500 | >=8.0,driver>=9999", "native", "sm_90a"),
        # What is about the driver alone asks nothing of the code.
        ("8.0 9.0", "12.8", "driver>=500", "native", "sm_80 sm_90"),
        ("9.0", "12.8", "cuda>=12.8", "ptx", "sm_90 compute_90"),
        ("8.0 9.0", "12.8", "driver>=9999", "native", ""),
        ("8.0", "12.8", ">=8.0,toolkit>=12.9", "native", ""),
        ("8.0", "12.9", ">=8.0,toolkit>=12.9", "native", "sm_80"),
        ("7.5 8.0", "12.8", "smem>=100KiB", "native", "sm_80"),
        # PTX that reaches GPUs to come must hold it too.
        ("8.9", "12.8", "fp8", "ptx", "sm_89 compute_89"),
        ("9.0", "12.8", "9.0a", "ptx", "sm_90a"),
        ("8.9 12.0", "12.6", "fp8", "size", "compute_89"),
    ],
)
def test_targets_that_hold_what_is_needed(gpus: str, version: str, needs: str, policy: str, targets: str) -> None:
    columns = [gpu(capability) for capability in gpus.split()]
    found = plan(columns, cuda(version), policy=PlanPolicy(policy), needs=Requirement.parse(needs))
    assert names(found.targets) == targets
    codes = [finding.code for finding in found.findings]
    assert ("no-forward-ptx" in codes) is (policy == "ptx" and "compute" not in targets)


NEEDS = (">=8.0", "fp8", "9.0a", "10.0f", "{8.6,8.9} | 9.0a", "10.x,!=10.3 | 12.0f", "smem>=160KiB")


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("version", ["12.0", "12.8", "13.5"])
def test_what_is_needed_by_exhaustive_search(version: str, needs: str) -> None:
    """As above, with the engine asked about each target and each device."""
    cuda_version = CudaVersion.parse(version)
    required = Requirement.parse(needs)
    meets = {c: judge(required, Device(c)).outcome is Outcome.RUNS for c in CAPABILITIES}
    holding = [name for name in candidates(cuda_version) if judge(required, Target.parse(name)).outcome is Outcome.RUNS]
    rows = [
        frozenset(c for c in CAPABILITIES if meets[c] and outcome(name, cuda_version, c) is Outcome.RUNS)
        for name in holding
    ]
    reach = frozenset().union(*rows)
    for subset in itertools.combinations([c for c in CAPABILITIES if c.major >= 7], 2):
        found = plan([gpu(c) for c in subset], cuda(version), needs=required)
        can = reach & {one.device.capability for one in found.served if not one.blocked}
        assert {one.device.capability for one in found.served if one.covered} == can
        assert set(map(str, found.targets)) <= set(holding)
        assert len(found.targets) == fewest(can, rows)
        for one in found.served:
            assert one.unmet is not meets[one.device.capability]


# ---------------------------------------------------------------------------------------------------------
# What a tool can be asked for


@pytest.mark.parametrize(
    ("dialect", "tool", "gpus", "version", "policy", "targets"),
    [
        ("torch-python", "2.7", "9.0", "12.8", "native", "sm_90"),
        # PTX comes only with machine code of its number, so the fewest images are these.
        ("torch-python", "2.7", "8.0 12.0", "12.6", "ptx", "sm_80 compute_80"),
        ("torch-python", "2.7", "8.9 12.0", "12.6", "size", "sm_89 compute_89"),
        ("torch-cmake", "2.15", "10.0 10.3", "13.0", "native", "sm_100"),
        ("flashinfer", "0.7.2", "8.0 9.0 12.0 12.1", "13.0", "native", "sm_80 sm_90a sm_120f"),
        ("flashinfer", "0.4.0", "9.0 12.0", "12.8", "native", "sm_90 sm_120"),
        ("flash-attn", "2.8.3", "7.5 8.6 9.0", "12.8", "native", "sm_80 sm_90"),
        ("nvcc-arch", None, "9.0", "13.0", "native", "sm_90 compute_90"),
    ],
)
def test_a_plan_is_of_what_the_tool_can_say(  # noqa: PLR0917 - pytest passes them by name
    dialect: str, tool: str | None, gpus: str, version: str, policy: str, targets: str
) -> None:
    emitter = cuda(version)
    offered = offers(dialect, tool, emitter.targets, emitter.cuda)
    found = plan([gpu(c) for c in gpus.split()], emitter, policy=PlanPolicy(policy), offers=offered)
    assert names(found.targets) == targets
    said = spell(found.targets, dialect, tool, toolkit=emitter.cuda)
    reading = read(said.text, dialect, tool, toolkit=emitter.cuda)
    assert set(reading.targets or ()) == set(found.targets)
    assert all(one.covered for one in found.served if not one.unsaid)


def test_what_a_tool_cannot_say_is_told_apart_from_what_cannot_be_had() -> None:
    emitter = cuda("13.0")
    (thor,) = plan([gpu("11.0")], emitter, offers=offers("torch-python", "2.7", emitter.targets, emitter.cuda)).served
    assert (thor.covered, names(thor.unsaid)) == (False, "sm_110 sm_110a sm_110f")
    (volta,) = plan([gpu("7.0")], emitter, offers=offers("torch-python", "2.7", emitter.targets, emitter.cuda)).served
    assert (volta.covered, volta.unsaid, volta.toolkits[-1]) == (False, (), CudaVersion(12, 9))


# ---------------------------------------------------------------------------------------------------------
# The command


@pytest.mark.parametrize(
    ("name", "code", "arguments"),
    [
        ("plan", 0, ["--gpu", "T4, A100, RTX 4090, H100, RTX 5090", "--toolkit", "12.8", "--policy", "ptx"]),
        ("plan-left-out", 1, ["--gpu", "V100, T4, RTX 5090, Jetson AGX Thor", "--toolkit", "12.6"]),
        ("plan-unknown", 3, ["--gpu", "Jetson AGX Thor", "--toolkit", "12.9"]),
        ("plan-beyond", 3, ["--gpu", "T4", "--toolkit", "13.9"]),
        ("plan-driver", 1, ["--gpu", "H100", "--driver", "535.183.01", "--toolkit", "13.0"]),
        ("plan-size", 0, ["--gpu", "7.5, 12.1", "--toolkit", "cu126", "--policy", "size"]),
        ("plan-torch", 1, ["--gpu", "A100, L4", "--require", "fp8", "--toolkit", "12.8", "--for", "torch==2.7"]),
        ("plan-flashinfer", 1, ["--gpu", "V100, H100", "--toolkit", "12.8", "--for", "flashinfer==0.7.2"]),
        ("plan-triton", 1, ["--gpu", "A100", "--toolkit", "12.8", "--for", "triton"]),
        ("plan-unsaid", 1, ["--gpu", "Jetson AGX Thor", "--toolkit", "13.0", "--for", "torch==2.7"]),
        ("plan-no-ptx", 0, ["--gpu", "H100", "--toolkit", "12.8", "--policy", "ptx", "--require", "9.0a", "-v"]),
        ("plan-dropped", 1, ["--gpu", "T4", "--toolkit", "12.8", "--for", "flash-attn==2.8.3"]),
        ("plan-new-gpu", 1, ["--gpu", "99.9, A100", "--toolkit", "13.0", "--for", "cmake==4.4"]),
        ("plan-too-old", 1, ["--gpu", "H100", "--toolkit", "11.8", "--require", "9.0a"]),
    ],
)
def test_text(name: str, code: int, arguments: list[str], capsys: Captured) -> None:
    assert run(["plan", *arguments]) == code
    printed = capsys.readouterr()
    assert not printed.err
    golden(name, printed.out)
    # What is there to be copied is never broken.
    assert all(len(line) <= 80 for line in printed.out.splitlines() if "code=" not in line)
    assert run(["plan", *arguments, "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    fits_schema(document, "plan")
    assert document["complete"] is (code == 0)


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("tool", "variable", "value"),
    [
        ("torch==2.13", "TORCH_CUDA_ARCH_LIST", "8.0;9.0+PTX"),
        ("cmake==3.31", "CUDAARCHS", "80-real;90"),
        ("nvcc", "NVCC_APPEND_FLAGS", None),
        ("cupy", "CUPY_NVCC_GENERATE_CODE", None),
    ],
)
def test_a_shell_takes_it_as_it_is(shell: str, tool: str, variable: str, value: str | None, capsys: Captured) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    arguments = ["--gpu", "A100, H100", "--toolkit", "12.8", "--policy", "ptx", "--for", tool]
    form = ["fish"] if shell == "fish" else []
    assert run(["plan", *arguments, "--shell", *form]) == 0
    line = capsys.readouterr().out
    done = subprocess.run([shell, "-c", f"{line}\nprintenv {variable}"], capture_output=True, text=True, check=True)
    assert run(["plan", *arguments, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["lists"]
    assert done.stdout == f"{said['value']}\n"
    assert (said["variable"], said["text"] if value else None) == (variable, value)


def test_a_driver_that_no_toolkit_helps_is_what_has_to_change(capsys: Captured) -> None:
    assert run(["plan", "--gpu", "RTX 5090", "--driver", "R550", "--toolkit", "12.8"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "do Install a driver of branch R570 or newer." in text
    assert "no toolkit" not in text


def test_a_version_that_nobody_looked_at_is_said(capsys: Captured) -> None:
    assert run(["plan", "--gpu", "H100", "--toolkit", "12.8", "--for", "cmake==3.10"]) == 0
    assert "cmake 3.10 is not among the versions that were read" in " ".join(capsys.readouterr().out.split())


def test_a_shell_gets_nothing_where_there_is_nothing_to_say(capsys: Captured) -> None:
    assert run(["plan", "--gpu", "V100", "--for", "flashinfer", "--toolkit", "12.8", "--shell"]) == 1
    printed = capsys.readouterr()
    assert not printed.out
    assert "`>=7.5` does not hold" in printed.err
    assert "no variable is set" in printed.err
    assert run(["plan", "--gpu", "H100", "--for", "bitsandbytes", "--toolkit", "12.8", "--shell"]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "-DCOMPUTE_CAPABILITY=90-real" in printed.err
    assert run(["plan", "--gpu", "A100, H100", "--for", "bitsandbytes", "--toolkit", "12.8", "--shell"]) == 2
    assert "-DCOMPUTE_CAPABILITY='80;90-real'" in capsys.readouterr().err
    assert run(["plan", "--gpu", "V100, H100", "--for", "flashinfer", "--toolkit", "12.8", "--shell"]) == 1
    printed = capsys.readouterr()
    assert printed.out == "export FLASHINFER_CUDA_ARCH_LIST=9.0a\n"
    assert "V100 (7.0): does not meet what is needed" in printed.err


def test_an_old_tool_leaves_it_to_another_list(capsys: Captured) -> None:
    arguments = ["--gpu", "A100, H100", "--toolkit", "12.6", "--for", "flashinfer==0.2.5", "--shell"]
    assert run(["plan", *arguments]) == 0
    printed = capsys.readouterr()
    assert printed.out == "export TORCH_CUDA_ARCH_LIST='8.0;9.0'\n"
    assert "flashinfer 0.2.5 reads no list of its own" in printed.err


def test_the_version_of_the_tool_is_that_of_the_machine(tmp_path: Path, capsys: Captured) -> None:
    record = json.loads((SYSTEMS / "none.json").read_text())
    record["distributions"] = [["torch", "2.7.1+cu126"], ["flashinfer-python", "0.2.5"]]
    (tmp_path / "machine.json").write_text(json.dumps(record))
    arguments = ["--system", str(tmp_path / "machine.json"), "--gpu", "Jetson AGX Thor", "--toolkit", "13.0"]
    assert run(["plan", *arguments, "--for", "torch", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["gpus"][0]["unsaid"] == ["sm_110", "sm_110a", "sm_110f"]
    assert run(["plan", *arguments, "--for", "torch==2.9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lists"][0]["value"] == "11.0"
    assert run(["plan", *arguments, "--for", "flashinfer", "--json"]) == 0  # by the installed torch, which has no 11.0
    printed = capsys.readouterr()
    assert "reads no list of its own" in printed.err
    assert json.loads(printed.out)["lists"][0]["value"] == "10.0+PTX"


@pytest.mark.parametrize("version", ["0.4.0", "0.6.8", "0.7.2"])
def test_in_and_outside_of_python_flashinfer_is_told_the_same(version: str, capsys: Captured) -> None:
    capabilities = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0", "12.1"]
    for some in itertools.combinations(capabilities, 2):
        devices = [Device(ComputeCapability.parse(text)) for text in some]
        compiler = facts.Toolkit(facts.ToolkitKind.NVCC, "", cuda=CudaVersion(13, 0))
        inside = choose_jit_targets("flashinfer", devices, toolkit=compiler, versions={"flashinfer-python": version})
        arguments = ["--gpu", ",".join(some), "--toolkit", "13.0", "--for", f"flashinfer=={version}", "--json"]
        assert run(["plan", *arguments]) == 0
        (said,) = json.loads(capsys.readouterr().out)["lists"]
        assert inside.variables == ((said["variable"], said["value"]),)


def test_json_proves_each_gpu(capsys: Captured) -> None:
    assert run(["plan", "--gpu", "A100, RTX 4090, H100", "--toolkit", "12.8", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["target"] for row in document["targets"]] == ["sm_80", "sm_90"]
    assert [row["covers"] for row in document["targets"]] == [[0, 1], [2]]
    assert [(one["outcome"], one["by"], one["reasons"][0]["code"]) for one in document["gpus"]] == [
        ("runs", ["sm_80"], "exact-image"),
        ("runs", ["sm_80"], "same-major-lower-minor"),
        ("runs", ["sm_90"], "exact-image"),
    ]


def test_the_gpus_and_the_toolkit_of_a_machine(capsys: Captured) -> None:
    mixed = str(SYSTEMS / "rtx-3090-4090.json")
    assert run(["plan", "--system", mixed, "--json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert [(one["capability"], one["assumed"]) for one in document["gpus"]] == [("8.9", False), ("8.6", False)]
    assert [row["target"] for row in document["targets"]] == ["sm_86"]
    assert "for the GPUs of the recorded machine" in printed.err
    # Without a compiler there the newest known is taken, and the answer says so.
    assert run(["plan", "--gpu", "T4", "--system", str(SYSTEMS / "none.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["toolkit"]
    assert found == {"cuda": str(tables().toolkits[-1].cuda), "origin": "newest-known"}
    with_nvcc = str(SYSTEMS / "sm75-nvcc-too-old.json")
    run(["plan", "--gpu", "T4", "--system", with_nvcc, "--json"])
    assert json.loads(capsys.readouterr().out)["toolkit"]["origin"] == "machine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no GPU of the recorded machine is visible", "name the GPUs to build for"]),
        (["--gpu", "T4", "--toolkit", "12.7"], ["there was no CUDA toolkit 12.7", "12.6 and 12.8"]),
        (["--gpu", "T4", "--toolkit", "12"], ["`12` is not the full version of a CUDA toolkit"]),
        (["--gpu", "T4", "--toolkit", "latest"], ["`latest` is not the full version"]),
        (["--gpu", "RTX 5900"], ["did you mean"]),
        (["--gpu", "T4", "--policy", "all"], ["native", "ptx", "size"]),
        (["--gpu", "T4", "--shell"], ["name it with --for"]),
        (["--gpu", "T4", "--for", "torhc"], ["did you mean"]),
        (["--gpu", "T4", "--for", "vllm"], ["known: ", "`flashinfer`"]),
        (["--gpu", "T4", "--for", "torch=="], ["NAME==VERSION"]),
        (["--gpu", "T4", "--for", "torch==new"], ["numbers such as"]),
        (["--gpu", "T4", "--for", "nvcc==12.8"], ["name it with --toolkit"]),
        (["--gpu", "T4", "--require", ">=9.0a"], ["no suffix behind a comparison"]),
        (["--gpu", "T4", "--require", "fp9"], ["did you mean"]),
        (["--gpu", "T4", "--wheel", "nowhere.whl"], ["nowhere.whl"]),
    ],
)
def test_wrong_use(arguments: list[str], words: list[str], capsys: Captured) -> None:
    assert run(["plan", *arguments]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert all(word in printed.err for word in words), printed.err


@pytest.mark.parametrize(
    ("gpu", "toolkit", "told"),
    [
        # CUDA 13.0 dropped Volta, and 12.8 was the first to know Blackwell, by NVIDIA's release notes.
        ("V100", "13.0", "CUDA 13.0 does not emit sm_70; CUDA 12.9 or older does"),
        ("RTX 5090", "12.6", "CUDA 12.6 does not emit sm_120; CUDA 12.8 or newer does"),
    ],
)
def test_a_toolkit_that_does_not_know_the_gpu_is_the_reason(
    gpu: str, toolkit: str, told: str, capsys: Captured
) -> None:
    assert run(["plan", "--gpu", gpu, "--toolkit", toolkit]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"why {told}" in printed
    assert "does not load" not in printed


@pytest.mark.parametrize(
    ("text", "tool", "code"),
    [
        ("5.2 7.5 9.0+PTX", "flashinfer==0.2.5", 1),
        ("7.5 9.0+PTX", "flashinfer==0.2.5", 0),
        ("7.0 9.0a", "flashinfer==0.6.1", 0),
        ("7.0", "flashinfer==0.6.1", 1),
    ],
)
def test_a_list_that_the_tool_refuses_is_told_with_the_reason(
    text: str, tool: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "--read", text, "--for", tool]) == code
    said = " ".join(capsys.readouterr().out.split())
    assert ("refused" in said) is bool(code)
    if tool.endswith("0.2.5") and code:
        assert "FlashInfer requires sm75+" in said
        assert "the list names 5.2, and nothing may be below 7.5" in said
    assert run(["plan", "--read", text, "--for", tool, "--json"]) == code
    (reading,) = json.loads(capsys.readouterr().out)["readings"]
    assert ("refused" in [note["kind"] for note in reading["notes"]]) is bool(code)
