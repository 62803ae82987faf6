"""The gate on simulated machines: who decides, what is raised, and what is left alone."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
import strategies
from fakes import H100, RTX3090, RTX4090, T4, Host, needs_compiler
from hypothesis import given
from hypothesis import strategies as st
from plain import SYSTEMS

import capably
from capably.arch import ComputeCapability
from capably.codes import FINDINGS, REASONS, Outcome
from capably.errors import (
    DeviceTooOldError,
    DriverError,
    GpuListError,
    HiddenDeviceError,
    IncompatibleError,
    NoDeviceError,
    PackageError,
    ParseError,
    ToolkitError,
    UndecidedError,
    UnknownNameError,
    UnsupportedDeviceError,
)
from capably.facts import Device, Driver, DriverState, Finding, Toolkit, ToolkitKind, Visibility
from capably.gate import Answer, Policy, decide
from capably.probe.fleet import Look
from capably.requirement import Requirement
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from pathlib import Path

ASK = """
import capably
def ask(requirement, **options):
    try:
        answer = capably.require(requirement, feature="FlashInfer", **options)
    except capably.IncompatibleError as error:
        return [type(error).__name__, str(error)]
    return ["passes", [device.name for device in answer]]
"""


def asked(host: Host, requirement: str, options: str = "", **variables: str) -> Any:
    return host.run(f"{ASK}\nsay(ask({requirement!r}, {options}))", **variables)


@needs_compiler
def test_a_mixed_server_is_judged_device_by_device_in_the_order_of_the_process(tmp_path: Path) -> None:
    host = Host(tmp_path, (RTX3090, RTX4090))
    code = """
import capably
usable = capably.usable("fp8")
say([
    [capably.supports("fp8", ordinal) for ordinal in range(3)],
    [device.name for device in usable],
    usable.as_visible_devices(),
    [verdict.device.ordinal for verdict in usable.refused],
])
"""
    uuid = "GPU-22222222-aaaa-0000-0000-000000000002"
    for variables, supported, refused in (
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, [False, True, False], [0]),
        ({"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,0"}, [True, False, False], [1]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-2,GPU-1"}, [True, False, False], [1]),
        ({}, [True, False, False], [1]),  # the faster one first: the driver was asked
        ({"CUDA_VISIBLE_DEVICES": "0"}, [True, False, False], []),
    ):
        assert host.run(code, **variables) == [supported, ["NVIDIA GeForce RTX 4090"], uuid, refused]
    assert asked(host, "sm75+") == ["passes", ["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090"]]
    assert asked(host, "fp8", "devices='any'")[0] == "passes"
    assert asked(host, "fp8", "devices=[0]")[0] == "passes"
    assert asked(host, "fp8", "devices='current'")[0] == "passes"
    assert asked(host, "fp8")[0] == "passes"
    kind, text = asked(host, "fp8", "devices='all'")
    assert kind == "DeviceTooOldError"
    assert "GPU 0, NVIDIA GeForce RTX 4090 (8.9): meets it" in text
    assert "GPU 1, NVIDIA GeForce RTX 3090 (8.6): " in text
    assert f"CUDA_VISIBLE_DEVICES={uuid}" in text


@needs_compiler
@pytest.mark.parametrize("value", ["soon", "-1", "nan"])
def test_a_patience_that_cannot_be_read_takes_no_gpu_away_and_is_named(tmp_path: Path, value: str) -> None:
    host = Host(tmp_path, (T4,), environ={"CAPABLY_PROBE_TIMEOUT": value})
    assert host.run("import capably\nsay(capably.supports('>=7.5'))") is True
    ignored = f"CAPABLY_PROBE_TIMEOUT='{value}': it takes a number of seconds"
    assert ignored in host.run("import capably\nsay(str(capably.require('>=7.5')))")
    kind, text = asked(host, ">=8.0")
    assert kind == "DeviceTooOldError"
    assert f"Ignored: {ignored}" in text


@pytest.mark.parametrize(
    ("text", "capability", "product"),
    [("H100", "9.0", "H100"), ("RTX 4090", "8.9", "GeForce RTX 4090"), ("fp8 | >=RTX 4090", "8.9", "GeForce RTX 4090")],
)
def test_a_product_is_no_requirement_and_its_capability_is_named(text: str, capability: str, product: str) -> None:
    # The capabilities are NVIDIA's, from its list of CUDA GPUs.
    with pytest.raises(ParseError) as raised:
        capably.supports(text, Device(ComputeCapability(9, 0)))
    assert f"expected `{capability}`, the compute capability of {product}" in str(raised.value)
    assert "a product is no condition" in str(raised.value)


@needs_compiler
def test_what_is_not_there_is_never_called_too_old(tmp_path: Path) -> None:
    none = Host(tmp_path / "none", (), nvml=False, cuda=False)
    hidden = Host(tmp_path / "hidden", (T4,), environ={"CUDA_VISIBLE_DEVICES": ""})
    failing = Host(tmp_path / "failing", (T4, "fail cuInit 803"), nvml=False)
    halved = Host(tmp_path / "halved", (T4,), cuda=False)  # as a container that gets NVML and no libcuda
    for host, expected in (
        (none, "NoDeviceError"),
        (hidden, "HiddenDeviceError"),
        (failing, "DriverError"),
        (halved, "DriverError"),
    ):
        kind, text = asked(host, "sm75+")
        assert kind == expected
        assert "too old" not in text
        assert "What to do: " in text
    # NVML lists a GPU, and CUDA does not start: nobody looked for that without being asked to.
    unstarted = Host(tmp_path / "unstarted", (T4, "fail cuInit 999"))
    code = "import capably\ntry: capably.usable('sm75+', thorough=True).require()\nexcept capably.DriverError as error: say(str(error))"
    assert "cuInit fails with 999" in unstarted.run(code)
    unasked = none.run(f"{ASK}\nimport sys\nsys.executable = '/no/python'\nsay(ask('sm75+'))")
    assert unasked[0] == "UndecidedError"
    assert "did not start" in unasked[1]


@needs_compiler
@pytest.mark.parametrize(
    ("named", "requirement", "expected"),
    [
        ("sm_90,sm_75", "sm75+", "passes"),
        ("sm_75", "sm80+", "DeviceTooOldError"),
        ("sm_90,sm_75", "sm80+", "passes"),  # one that will do is enough
        ("RTX 4090, 9.0", "fp8", "passes"),
        ("RTX 4900", "fp8", "GpuListError"),
        ("", "fp8", "NoDeviceError"),
    ],
)
def test_without_a_gpu_the_override_decides(tmp_path: Path, named: str, requirement: str, expected: str) -> None:
    host = Host(tmp_path, (), nvml=False, cuda=False)
    kind, text = asked(host, requirement, CAPABLY_GPUS=named)
    assert kind == expected
    assert expected != "GpuListError" or "did you mean" in text


@needs_compiler
def test_the_override_stands_back_where_a_gpu_is_here(tmp_path: Path) -> None:
    host = Host(tmp_path, (T4,))
    kind, text = asked(host, "sm80+", CAPABLY_GPUS="sm_90", TORCH_CUDA_ARCH_LIST="9.0")
    assert kind == "DeviceTooOldError"
    assert "Ignored: CAPABLY_GPUS='sm_90': " in text
    assert "Ignored: TORCH_CUDA_ARCH_LIST='9.0': " in text
    assert asked(host, "sm80+", "policy='override'", CAPABLY_GPUS="sm_90") == ["passes", [None]]


def decided(requirement: str, policy: str, *devices: str, dialect: str | None = None, **environ: str) -> Answer:
    """What is decided on a machine with *devices*, which are facts here."""
    found = tuple(Device(ComputeCapability.parse(text), ordinal=number) for number, text in enumerate(devices))
    seen = Look(found, found, Visibility(None, None), DriverState())
    return decide(Requirement.parse(requirement), Policy(policy), seen, environ, dialect=dialect)


@pytest.mark.parametrize(
    ("policy", "devices", "dialect", "environ", "by", "served", "ignored"),
    [
        # The device at run time decides, whatever the lists say (flashinfer-ai/flashinfer#1115).
        ("device", ["9.0"], None, {"TORCH_CUDA_ARCH_LIST": "7.0;9.0"}, "the GPUs of this process", [True], 1),
        ("device", ["7.0"], None, {"TORCH_CUDA_ARCH_LIST": "9.0"}, "the GPUs of this process", [False], 1),
        ("device", ["7.0"], None, {"CAPABLY_GPUS": "H100"}, "the GPUs of this process", [False], 1),
        ("device", [], None, {"TORCH_CUDA_ARCH_LIST": "9.0"}, "nothing", [], 1),
        ("device", [], None, {"CAPABLY_GPUS": "H100", "TORCH_CUDA_ARCH_LIST": "7.0"}, "CAPABLY_GPUS", [True], 1),
        # The list of what is to be built, also where another GPU is.
        ("build-list", [], None, {"TORCH_CUDA_ARCH_LIST": "7.0;9.0"}, "TORCH_CUDA_ARCH_LIST", [False, True], 0),
        ("build-list", ["7.0"], None, {"TORCH_CUDA_ARCH_LIST": "9.0"}, "TORCH_CUDA_ARCH_LIST", [True], 1),
        # Where no list is set the tool asks the GPUs, and so does this.
        ("build-list", ["9.0"], None, {}, "the GPUs of this process", [True], 0),
        (
            "build-list",
            ["9.0", "7.0"],
            None,
            {"TORCH_CUDA_ARCH_LIST": "native"},
            "TORCH_CUDA_ARCH_LIST",
            [True, False],
            1,
        ),
        ("build-list", ["7.0"], None, {"CAPABLY_GPUS": "H100"}, "the GPUs of this process", [False], 1),
        ("build-list", [], None, {"CAPABLY_GPUS": "H100"}, "CAPABLY_GPUS", [True], 0),
        ("build-list", [], None, {}, "nothing", [], 0),
        # A tool's own list goes before torch's, and is read as the tool reads it.
        (
            "build-list",
            [],
            "flashinfer==0.7.2",
            {"FLASHINFER_CUDA_ARCH_LIST": "7.0 9.0a", "TORCH_CUDA_ARCH_LIST": "9.0"},
            "FLASHINFER_CUDA_ARCH_LIST",
            [False, True],
            1,
        ),
        # FlashInfer from 0.3.1 on reads no list of torch's, under neither policy.
        ("build-list", [], "flashinfer", {"TORCH_CUDA_ARCH_LIST": "9.0"}, "nothing", [], 1),
        (
            "build-list",
            ["7.0"],
            "flashinfer==0.7.2",
            {"TORCH_CUDA_ARCH_LIST": "9.0"},
            "the GPUs of this process",
            [False],
            1,
        ),
        (
            "override",
            ["7.0"],
            "flashinfer==0.7.2",
            {"TORCH_CUDA_ARCH_LIST": "9.0"},
            "the GPUs of this process",
            [False],
            1,
        ),
        ("override", ["7.0"], "flashinfer==0.2.5", {"TORCH_CUDA_ARCH_LIST": "9.0"}, "TORCH_CUDA_ARCH_LIST", [True], 1),
        # FlashInfer 0.2 leaves its list to torch, and reads none of its own.
        (
            "build-list",
            [],
            "flashinfer==0.2.5",
            {"FLASHINFER_CUDA_ARCH_LIST": "7.0", "TORCH_CUDA_ARCH_LIST": "9.0"},
            "TORCH_CUDA_ARCH_LIST",
            [True],
            1,
        ),
        (
            "build-list",
            [],
            "cmake",
            {"CMAKE_CUDA_ARCHITECTURES": "75-real;70"},
            "CMAKE_CUDA_ARCHITECTURES",
            [True, False],
            0,
        ),
        # What somebody names goes before everything, where that is asked for.
        ("override", ["7.0"], None, {"CAPABLY_GPUS": "9.0,7.0"}, "CAPABLY_GPUS", [True, False], 1),
        (
            "override",
            ["7.0"],
            "flashinfer",
            {"FLASHINFER_CUDA_ARCH_LIST": "9.0a"},
            "FLASHINFER_CUDA_ARCH_LIST",
            [True],
            1,
        ),
        # The expert's word counts with the policy alone; the tool may be named by its own name.
        ("override", ["7.0"], None, {"TORCH_CUDA_ARCH_LIST": "9.0"}, "TORCH_CUDA_ARCH_LIST", [True], 1),
        ("override", ["7.0"], "torch", {"TORCH_CUDA_ARCH_LIST": "9.0"}, "TORCH_CUDA_ARCH_LIST", [True], 1),
        ("override", ["7.0"], "torch==2.9", {"TORCH_CUDA_ARCH_LIST": "9.0+PTX"}, "TORCH_CUDA_ARCH_LIST", [True], 1),
        ("override", ["9.0"], None, {"TORCH_CUDA_ARCH_LIST": "7.0"}, "TORCH_CUDA_ARCH_LIST", [False], 1),
        ("override", ["7.0"], None, {}, "the GPUs of this process", [False], 0),
        ("override", [], None, {}, "nothing", [], 0),
    ],
)
def test_who_decides_and_what_is_ignored(  # noqa: PLR0917 - a row of the table
    policy: str,
    devices: list[str],
    dialect: str | None,
    environ: dict[str, str],
    by: str,
    served: list[bool],
    ignored: int,
) -> None:
    answer = decided(">=7.5", policy, *devices, dialect=dialect, **environ)
    assert answer.decided_by == by
    assert [str(verdict.outcome) == "runs" for verdict in answer.verdicts] == served
    assert len(answer.ignored) == ignored
    assert answer.lines[len(served)] == f"Decided by: {by}."
    assert answer.list_error is None
    assert answer.unread is None


@pytest.mark.parametrize(
    ("policy", "dialect", "environ", "problem"),
    [
        ("build-list", None, {"TORCH_CUDA_ARCH_LIST": "9.0;"}, "an entry on each side"),
        ("build-list", None, {"TORCH_CUDA_ARCH_LIST": "9.0+ptx"}, "in capitals"),
        ("build-list", None, {"TORCH_CUDA_ARCH_LIST": "90"}, "such as `9.0`"),
        ("build-list", None, {"TORCH_CUDA_ARCH_LIST": "8.0,9.0"}, "with `;` or a space"),
        ("build-list", "torch-python", {"TORCH_CUDA_ARCH_LIST": "10.0f"}, "no targets with `f`"),
        ("override", "flashinfer==0.7.2", {"FLASHINFER_CUDA_ARCH_LIST": "7.0;9.0"}, "list of flashinfer"),
        ("override", None, {"CAPABLY_GPUS": "RTX 4900"}, "did you mean"),
        ("override", None, {"CAPABLY_GPUS": " ,"}, "a GPU by its name"),
    ],
)
def test_a_list_that_cannot_be_read_decides_nothing(
    policy: str, dialect: str | None, environ: dict[str, str], problem: str
) -> None:
    answer = decided(">=7.5", policy, dialect=dialect, **environ)
    assert not answer.verdicts
    assert problem in (answer.unread or "")


def test_a_faulty_list_is_told_of_and_changes_nothing_where_a_gpu_is() -> None:
    answer = decided(">=7.5", "device", "9.0", TORCH_CUDA_ARCH_LIST="9.0+PTX+PTX")
    assert len(answer) == 1
    assert "TORCH_CUDA_ARCH_LIST: not a list" in (answer.list_error or "")


@pytest.mark.parametrize(
    ("requirement", "capability", "driver", "toolkit", "installed", "kind", "text"),
    [
        ("9.0a,driver>=580", "9.0", "570.86.15", None, {}, DriverError, "the GPU would do, the driver does not"),
        ("9.0a,cuda>=13.0", "9.0", "570.86.15", None, {}, DriverError, "the GPU would do, the driver does not"),
        ("9.0a", "8.0", "570.86.15", None, {}, DeviceTooOldError, "the GPU is too old"),
        ("9.0a,driver>=580", "8.0", "570.86.15", None, {}, UnsupportedDeviceError, "8.0 is lower; `driver>=580` does"),
        ("12.0f", "12.0", "580.65.06", "12.8", {}, ToolkitError, "the GPU would do, the compiler does not"),
        ("12.0f,toolkit>=12.9", "12.0", "580.65.06", "12.8", {}, ToolkitError, "the compiler does not"),
        ("10.0a | 12.0f", "12.0", "580.65.06", "12.8", {}, ToolkitError, "the compiler does not"),
        ("installed:x>=2", "9.0", "580.65.06", None, {"x": "1.9"}, PackageError, "the installed packages do not"),
        ("installed:x>=2", "9.0", "580.65.06", None, {}, PackageError, "x is not installed"),
        ("driver>=590,installed:x>=2", "9.0", "580.65.06", None, {"x": "1"}, DriverError, "the driver does not"),
        ("!=9.x", "9.0", "580.65.06", None, {}, UnsupportedDeviceError, "it excludes compute capability 9.0"),
        ("<9.0", "9.0", "580.65.06", None, {}, UnsupportedDeviceError, "compute capability 9.0 is higher"),
        ("smem>=99KiB", "7.5", "580.65.06", None, {}, UnsupportedDeviceError, "it has 64KiB"),
        ("sms>=132", "9.0", "580.65.06", None, {}, UndecidedError, "whether that holds is not known"),
        ("99.9f", "99.9", "580.65.06", None, {}, UndecidedError, "the tables end at"),
    ],
)
def test_what_is_to_blame_is_what_is_named(  # noqa: PLR0917 - a row of the table
    requirement: str,
    capability: str,
    driver: str,
    toolkit: str | None,
    installed: dict[str, str],
    kind: type[Exception],
    text: str,
) -> None:
    device = Device(ComputeCapability.parse(capability), ordinal=0, uuid="GPU-1")
    seen = Look((device,), (device,), Visibility(None, None), DriverState(), Driver(DriverRelease.parse(driver)))
    answer = decide(
        Requirement.parse(requirement),
        Policy.DEVICE,
        seen,
        {},
        toolkit=Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit)) if toolkit else None,
        installed=tuple(installed.items()),
    )
    with pytest.raises(IncompatibleError) as error:
        answer.require("Mine")
    assert type(error.value) is kind
    assert (error.value.feature, error.value.requirement) == ("Mine", str(answer.requirement))
    assert text in str(error.value)
    assert ("too old" in str(error.value)) is (kind is DeviceTooOldError)
    assert error.value.way_out
    assert error.value.code in {reason.code for verdict in answer.verdicts for reason in verdict.reasons}
    again = pickle.loads(pickle.dumps(error.value))  # noqa: S301 - our own bytes
    assert (str(again), again.answer, again.code) == (str(error.value), answer, error.value.code)


@pytest.mark.parametrize(
    ("requirement", "environ", "policy", "absence", "kind", "code"),
    [
        (">=7.5", {"CAPABLY_GPUS": "RTX 4900"}, "override", None, GpuListError, "gpu-list-unreadable"),
        (">=7.5", {"TORCH_CUDA_ARCH_LIST": "8.0,9.0"}, "build-list", None, GpuListError, "gpu-list-unreadable"),
        (">=7.5", {"TORCH_CUDA_ARCH_LIST": "7.0"}, "build-list", None, GpuListError, "device-too-old"),
        ("fp4", {"TORCH_CUDA_ARCH_LIST": "12.0"}, "build-list", None, GpuListError, "target-without-feature-code"),
        ("99.9f", {"TORCH_CUDA_ARCH_LIST": "99.9"}, "build-list", None, UndecidedError, "requirement-beyond-tables"),
        (">=7.5", {}, "build-list", None, GpuListError, "gpu-list-missing"),
        (">=7.5", {}, "device", None, NoDeviceError, "no-gpu-found"),
        (">=7.5", {}, "device", "of-a-release-to-come", NoDeviceError, "no-gpu-found"),
        (">=7.5", {}, "device", "no-nvidia-device", NoDeviceError, "no-nvidia-device"),
        (">=7.5", {}, "device", "container-without-devices", NoDeviceError, "container-without-devices"),
        (">=7.5", {}, "device", "hidden-by-environment", HiddenDeviceError, "hidden-by-environment"),
        (">=7.5", {}, "device", "platform-not-probed", UndecidedError, "platform-not-probed"),
        (">=7.5", {}, "device", "probe-failed", UndecidedError, "probe-failed"),
        *((">=7.5", {}, "device", code, DriverError, code) for code in ("no-driver", "driver-failed", "probe-crashed")),
    ],
)
def test_where_nothing_is_judged_the_error_has_the_code_of_the_cause(  # noqa: PLR0917 - a row of the table
    requirement: str,
    environ: dict[str, str],
    policy: str,
    absence: str | None,
    kind: type[IncompatibleError],
    code: str,
) -> None:
    noticed = (Finding(absence, "driver", "it is so"),) if absence else ()
    seen = Look((), (), Visibility(None, None), DriverState(), absence=absence, findings=noticed)
    answer = decide(Requirement.parse(requirement), Policy(policy), seen, environ)
    with pytest.raises(IncompatibleError) as error:
        answer.require("Mine")
    assert type(error.value) is kind
    assert error.value.code == code
    assert code in {**FINDINGS, **REASONS}
    assert error.value.way_out
    assert str(error.value).endswith(f"\n  More: capably explain {code}")


@pytest.mark.parametrize(
    ("requirement", "driver", "toolkit", "code", "way_out"),
    [
        # Both alternatives lack one thing; the driver is to blame, for with another one the GPU would do.
        (
            "10.0f | 9.0a,driver>=580",
            "570.86.15",
            None,
            "version-not-met",
            "Install a version that meets `driver>=580`.",
        ),
        ("10.0f | 9.0a,toolkit>=12.9", "570.86.15", "12.8", "version-not-met", "Install a version that meets `toolkit"),
        ("10.0f | 12.0f", "570.86.15", None, "device-too-old", "Use a GPU that meets `10.0f`"),
    ],
)
def test_the_code_and_the_way_out_are_of_what_is_to_blame(
    requirement: str, driver: str, toolkit: str | None, code: str, way_out: str
) -> None:
    device = Device(ComputeCapability(9, 0), ordinal=0)
    seen = Look((device,), (device,), Visibility(None, None), DriverState(), Driver(DriverRelease.parse(driver)))
    compiler = Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit)) if toolkit else None
    with pytest.raises(IncompatibleError) as error:
        decide(Requirement.parse(requirement), Policy.DEVICE, seen, {}, toolkit=compiler).require()
    assert error.value.code == code
    assert error.value.way_out.startswith(way_out)


def test_one_of_which_it_is_not_known_may_be_the_one_that_does() -> None:
    gpus = decided("99.9f", "device", "8.0", "99.9")
    for answer, devices in ((gpus, "any"), (decided("99.9f", "build-list", TORCH_CUDA_ARCH_LIST="8.0 99.9f"), "any")):
        with pytest.raises(UndecidedError) as undecided:
            answer.require(devices=devices)
        assert undecided.value.way_out == "Update capably."
        assert len(undecided.value.lines) == 3
    with pytest.raises(DeviceTooOldError, match="1 of 2 GPUs does not"):  # all must, and one certainly does not
        gpus.require(devices="all")


@given(
    requirement=strategies.requirements,
    capabilities=st.lists(strategies.capabilities, min_size=1, max_size=3),
    driver=st.none() | strategies.drivers,
    which=st.sampled_from(("any", "all", "current")),
    toolkit=st.none() | strategies.cuda_versions,
)
def test_what_is_raised_is_what_the_verdicts_amount_to(
    requirement: Requirement,
    capabilities: list[ComputeCapability],
    driver: Driver | None,
    which: str,
    toolkit: CudaVersion | None,
) -> None:
    found = tuple(Device(capability, ordinal=number) for number, capability in enumerate(capabilities))
    seen = Look(found, found, Visibility(None, None), DriverState(), driver)
    compiler = Toolkit(ToolkitKind.NVCC, "", cuda=toolkit) if toolkit else None
    answer = decide(requirement, Policy.DEVICE, seen, {}, toolkit=compiler, installed=())
    outcomes = [verdict.outcome for verdict in answer.verdicts][: 1 if which == "current" else None]
    enough, refused = (any, all) if which == "any" else (all, any)
    if enough(outcome is Outcome.RUNS for outcome in outcomes):
        assert answer.require(devices=which) is answer
        return
    with pytest.raises(IncompatibleError) as error:
        answer.require(devices=which)
    definite = refused(outcome is Outcome.FAILS for outcome in outcomes)
    assert isinstance(error.value, UndecidedError) is not definite
    assert error.value.way_out
    said = [reason for verdict in answer.verdicts for reason in verdict.reasons if reason.code == error.value.code]
    assert {reason.outcome for reason in said} >= {Outcome.FAILS if definite else Outcome.UNKNOWN}
    assert isinstance(error.value, DeviceTooOldError) or "too old" not in str(error.value)


def test_a_tool_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean `flashinfer`"):
        decided(">=7.5", "build-list", dialect="flashinfr")


# ---------------------------------------------------------------------------------------------------------
# Calls that differ, in one process

NAMED = {"TORCH_CUDA_ARCH_LIST": "9.0", "FLASHINFER_CUDA_ARCH_LIST": "7.5", "CAPABLY_GPUS": "sm_75"}
BY_TORCH, BY_FLASHINFER = "policy='build-list'", "policy='build-list', dialect='flashinfer==0.7.2'"
# What each says alone, on an RTX 3090 and an RTX 4090. FP8 came with compute capability 8.9 and CUDA 11.8; machine code
# of CUDA 11.0 for 8.0 runs on both, and that of 10.2, which ends at 7.5, on neither.
ALONE = {
    ("fp8", ""): "passes",
    ("fp8", "devices='all'"): "DeviceTooOldError",
    ("fp8", "devices='any'"): "passes",
    ("fp8", "devices='current'"): "DeviceTooOldError",
    ("fp8", "devices=[1]"): "passes",
    ("fp8", "devices=[1], toolkit='11.8'"): "passes",
    ("fp8", "devices=[1], toolkit='11.1'"): "ToolkitError",
    ("fp8", BY_TORCH): "passes",
    ("fp8", BY_FLASHINFER): "GpuListError",
    ("sm80+", ""): "passes",
    ("sm80+", "devices='all'"): "passes",
    ("sm80+", "devices=[2]"): "ValueError",
    ("sm80+", "toolkit='11.0'"): "passes",
    ("sm80+", "toolkit='10.2'"): "ToolkitError",
    ("sm80+", "devices='any', toolkit='10.2'"): "ToolkitError",
    ("sm80+", BY_TORCH): "passes",
    ("sm80+", BY_FLASHINFER): "GpuListError",
    ("sm80+", "policy='override'"): "DeviceTooOldError",
}


@needs_compiler
def test_each_call_answers_as_if_it_were_the_first_whatever_was_asked_before(tmp_path: Path) -> None:
    """Every call after every other: what is remembered of one is never the answer of another."""
    calls = ", ".join(
        f"lambda: capably.require({needed!r}{', ' * bool(options)}{options})" for needed, options in ALONE
    )
    code = f"""
import capably, itertools
def kind(call):
    try:
        call()
    except (capably.IncompatibleError, ValueError) as error:
        return type(error).__name__
    return "passes"
calls = [{calls}]
say([[kind(call) for call in pair] for pair in itertools.product(calls, repeat=2)])
"""
    told = list(ALONE.values())
    expected = [[first, second] for first in told for second in told]
    assert mixed(tmp_path).run(code, **NAMED) == expected


@needs_compiler
def test_an_answer_is_not_kept_where_another_thread_changes_a_variable_meanwhile(tmp_path: Path) -> None:
    code = """
import capably, threading
from capably.requirement import Requirement
class Slow(Requirement):
    \"\"\"Between the first line of a call and the look at the GPUs another thread sets a variable.\"\"\"
    changed = False
    def __str__(self):
        if not Slow.changed:
            Slow.changed = True
            thread = threading.Thread(target=os.environ.__setitem__, args=("CUDA_VISIBLE_DEVICES", "1"))
            thread.start()
            thread.join()
        return super().__str__()
def require(needed):
    try:
        return len(capably.require(needed))
    except capably.DeviceTooOldError:
        return 0
needed = Slow(Requirement.parse("fp8").alternatives)
found = []
for ask in (capably.supports, require):
    os.environ["CUDA_VISIBLE_DEVICES"], Slow.changed = "0", False
    during = ask(needed)
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    found.append([during, ask(needed)])
say(found)
"""
    assert mixed(tmp_path).run(code) == [[True, False], [1, 0]]


@pytest.mark.parametrize(
    ("requirement", "capability", "expected"),
    [
        ("fp8", "8.9", True),
        ("fp8", "8.6", False),
        ("9.0a | 8.6", "8.6", True),
        ("99.9f", "99.9", False),  # nobody knows: True only where it is certain
        # The driver is that of the recorded machine, 535.183.01 with CUDA 12.2.
        (">=8.0,driver>=535", "8.6", True),
        (">=8.0,driver>=550", "8.6", False),
        (">=8.0,cuda>=12.2", "8.6", True),
        (">=8.0,cuda>=12.3", "8.6", False),
        (">=8.0,installed:pytest>=8", "8.6", True),
        (">=8.0,installed:pytest>=999", "8.6", False),
        (">=8.0,installed:no-such-thing>=1", "8.6", False),
    ],
)
def test_a_device_may_be_given_as_it_is(
    requirement: str, capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPABLY_SYSTEM", str(SYSTEMS / "h100x2-r535.json"))
    device = Device(ComputeCapability.parse(capability))
    assert capably.supports(requirement, device) is expected
    # What is remembered of a number is not the answer for a device, nor the other way round.
    assert capably.supports(requirement, 0) is capably.supports(requirement, 0)
    assert capably.supports(requirement, device) is expected


def test_what_is_no_device_is_refused_whatever_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPABLY_SYSTEM", str(SYSTEMS / "h100x2-r535.json"))
    capably.require(">=7.5")
    with pytest.raises(ValueError, match="it takes a number"):
        capably.supports(">=7.5", "require")


@pytest.mark.parametrize(
    ("uuids", "variable", "expected"),
    [
        (("GPU-a", "GPU-b", "GPU-c"), None, "GPU-a,GPU-c"),
        (("GPU-a", "GPU-b", "GPU-c"), "5,6,7", "GPU-a,GPU-c"),
        ((None, None, None), None, "0,2"),
        ((None, None, None), "", "0,2"),
        ((None, None, None), "5, 6 ,7", "5,7"),  # CUDA's number 2 is what the third entry names
        ((None, None, None), "MIG-x,MIG-y,MIG-z", "MIG-x,MIG-z"),
        (("GPU-a", "GPU-b", None), None, "0,2"),  # never names and numbers in one value
        (("GPU-a", "GPU-b", None), "7,6,5", "7,5"),
        ((None, "GPU-b", None), "7,6", "0,2"),  # fewer entries than GPUs: it is not what was in force
    ],
)
def test_the_value_that_shows_a_process_only_what_will_do(
    uuids: tuple[str | None, ...], variable: str | None, expected: str
) -> None:
    found = tuple(
        Device(ComputeCapability.parse(text), ordinal=number, uuid=uuid)
        for number, (text, uuid) in enumerate(zip(("8.9", "8.6", "9.0"), uuids, strict=True))
    )
    seen = Look(found, found, Visibility(visible_devices=variable), DriverState())
    answer = decide(Requirement.parse("fp8"), Policy.DEVICE, seen, {})
    assert answer.as_visible_devices() == expected
    assert decide(Requirement.parse("10.0a"), Policy.DEVICE, seen, {}).as_visible_devices() == ""


@pytest.mark.parametrize("policy", ["device", "override"])
def test_gpus_that_are_named_cannot_be_made_visible(policy: str) -> None:
    answer = decided("fp8", policy, CAPABLY_GPUS="sm_90")
    with pytest.raises(ValueError, match=r"^CAPABLY_GPUS names these GPUs"):
        answer.as_visible_devices()
    with pytest.raises(ValueError, match=r"^CAPABLY_GPUS names these GPUs"):  # also where none of them will do
        decided("fp8", policy, CAPABLY_GPUS="sm_75").as_visible_devices()


# ---------------------------------------------------------------------------------------------------------
# Processes and threads

TURNS = """
import os, capably
def turns():
    found = []
    for value in ("0", "1", "0,1", "", "1,0"):
        os.environ["CUDA_VISIBLE_DEVICES"] = value
        found.append([capably.supports("fp8", number) for number in (0, 1, 0, 1)])  # the second time it is remembered
    del os.environ["CUDA_VISIBLE_DEVICES"]
    found.append([len(capably.require("sm75+")), len(capably.require("sm75+"))])
    return found
"""
FOUND = [
    [False, False] * 2,
    [True, False] * 2,
    [False, True] * 2,
    [False, False] * 2,
    [True, False] * 2,
    [2, 2],
]
UNINITIALISED = ("cuInit", "cuCtxCreate_v2", "nvmlInit_v2")


def mixed(folder: Path) -> Host:
    return Host(folder, (RTX3090, RTX4090), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})


@needs_compiler
def test_a_changed_variable_is_noticed_also_by_what_is_remembered(tmp_path: Path) -> None:
    """As in a worker of Ray, which is used again with other GPUs; examples/ray_workers.py runs Ray itself."""
    host = mixed(tmp_path)
    found, pid = host.run(f"{TURNS}\nsay([turns(), PID])")
    assert found == FOUND
    assert not host.calls(pid)


@needs_compiler
def test_forked_workers_answer_as_their_parent_which_stays_uninitialised(tmp_path: Path) -> None:
    host = mixed(tmp_path)
    code = f"""{TURNS}
import json
def forked():
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, json.dumps(turns()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(child, 0)
    return answer
before = forked()
own = turns()
after = [forked(), forked()]
say([before, own, *after, PID])
"""
    *found, pid = host.run(code)
    assert found == [FOUND] * 4
    assert not set(host.calls(pid)) & set(UNINITIALISED)


@needs_compiler
def test_a_fork_of_a_process_that_uses_cuda_still_gets_an_answer(tmp_path: Path) -> None:
    """FlashInfer's own check swallows the error that torch raises there, and calls the GPU too old."""
    host = mixed(tmp_path)
    code = f"""{TURNS}
import ctypes, json
driver = ctypes.CDLL("libcuda.so.1")
assert driver.cuInit(0) == 0
os.environ["CUDA_VISIBLE_DEVICES"] = "1"  # too late for this process, and in time for its child
own = [capably.supports("fp8", number) for number in (0, 1)]
child = os.fork()
if not child:
    print(json.dumps([own, [capably.supports("fp8", number) for number in (0, 1)]]), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    own, forked = host.run(code)
    assert own == [False, True]
    assert forked == [True, False]


@needs_compiler
def test_threads_that_ask_at_once_get_the_same(tmp_path: Path) -> None:
    host = mixed(tmp_path)
    code = """
import capably
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
start = Barrier(8)
def ask(number):
    start.wait()
    return [[capably.supports("fp8", n) for n in (0, 1)] + [len(capably.require("sm75+"))] for _ in range(50)]
with ThreadPoolExecutor(8) as pool:
    found = [answer for answers in pool.map(ask, range(8)) for answer in answers]
say([found, PID])
"""
    found, pid = host.run(code)
    assert found == [[False, True, 2]] * 400
    assert not host.calls(pid)


@needs_compiler
def test_spawned_workers_answer_and_hand_errors_over(tmp_path: Path) -> None:
    host = mixed(tmp_path)
    code = """
import capably, functools, multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(capably.supports, [("fp8", 0), ("fp8", 1)])
        try:
            pool.apply(functools.partial(capably.require, "fp8", feature="FlashInfer", devices="all"))
        except capably.DeviceTooOldError as error:
            told = [str(error), [str(verdict.outcome) for verdict in error.answer.verdicts]]
    say([found, told, PID])
"""
    found, (text, outcomes), pid = host.run(code)
    assert found == [False, True]
    assert "GPU 0, NVIDIA GeForce RTX 3090 (8.6): " in text
    assert outcomes == ["fails", "runs"]
    assert not host.calls(pid)


@needs_compiler
def test_the_current_device_is_that_of_torch_where_torch_uses_cuda(tmp_path: Path) -> None:
    host = mixed(tmp_path)
    code = f"""{ASK}
import sys, types
cuda = types.SimpleNamespace(is_initialized=lambda: ready, current_device=lambda: 1)
sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
ready = False
before = ask("fp8", devices="current")[0]
ready = True
os.environ["CAPABLY_GPUS"] = "RTX 3090"  # torch's number says nothing about what is named
say([before, ask("fp8", devices="current")[0], ask("fp8", devices="current", policy="override")[0]])
"""
    assert host.run(code) == ["DeviceTooOldError", "passes", "DeviceTooOldError"]


@needs_compiler
def test_devices_by_number_and_what_is_no_choice(tmp_path: Path) -> None:
    host = mixed(tmp_path)
    code = """
import capably
def kind(**options):
    try:
        return len(capably.require("fp8", **{"devices": "all", **options}))
    except Exception as error:
        return [type(error).__name__, str(error)]
say([kind(devices=[1]), kind(devices=(0, 1))[0], kind(devices=[2]), kind(devices=[]), kind(devices="some"), kind(policy="me"),
     kind(devices=1), kind(toolkit=12.8)])
"""
    one, both, *others = host.run(code)
    assert (one, both) == (1, "DeviceTooOldError")
    assert [other[0] if isinstance(other, list) else other for other in others] == ["ValueError"] * 4 + [1, "TypeError"]
    assert others[0][1] == "there is no GPU 2: this process sees 2 GPUs, numbered from 0"
    assert "`any`" in others[2][1]
    # Hiding a GPU would give the others new numbers.
    refused = host.run(
        """
import capably
try:
    capably.require("fp8", devices=[0])
except RuntimeError as error:
    say(error.way_out)
""",
        CUDA_DEVICE_ORDER="PCI_BUS_ID",
    )
    assert refused == "Use what does: GPU 1."
    assert "`build-list`" in others[3][1]
    assert "'12.8'" in others[5][1]


@pytest.mark.parametrize("device", [0.0, True, b"cuda", object()])
def test_what_is_no_device_is_told_so(device: Any) -> None:
    with pytest.raises(TypeError, match=r"^device is .*tensor\.device\.index"):
        capably.supports(">=7.5", device)


@pytest.mark.parametrize("requirement", [7.5, 75, (7, 5), None])
def test_a_requirement_is_a_text(requirement: Any) -> None:
    for ask in (capably.require, capably.supports, capably.usable):
        with pytest.raises(TypeError, match=r"^the requirement is .*'>=7\.5'"):
            ask(requirement)


@needs_compiler
def test_a_compiler_that_cannot_is_not_called_a_gpu_that_is_too_old(tmp_path: Path) -> None:
    host = Host(tmp_path, (H100,))
    kind, text = asked(host, "9.0a", "toolkit='11.5'")
    assert kind == "ToolkitError"
    assert "the GPU would do, the compiler does not" in text
    assert "CUDA 12.0 or newer" in text
    assert asked(host, "9.0a", "toolkit='12.0'")[0] == "passes"
    before = host.all_calls().count("nvmlInit_v2")
    host.run(f"{ASK}\nask('9.0a'); ask('9.0a,toolkit>=12'); ask('9.0a,toolkit<12'); say(0)")
    assert host.all_calls().count("nvmlInit_v2") == before + 1  # no driver is asked for the compiler
    assert asked(host, "10.0a", "toolkit='11.5'")[0] == "DeviceTooOldError"


@needs_compiler
def test_a_second_look_is_noticed_by_what_is_remembered(tmp_path: Path) -> None:
    host = Host(tmp_path, (RTX3090,))
    other = Host(tmp_path / "other", (RTX4090,))
    code = f"""
import capably, shutil
found = [capably.supports("fp8"), capably.supports("fp8"), capably.supports("sms>=100")]
shutil.copy({str(other.folder / "fleet.txt")!r}, {str(host.folder / "fleet.txt")!r})
found.append(capably.supports("fp8"))
capably.devices(refresh=True)
say([*found, capably.supports("fp8"), capably.supports("sms>=100")])
"""
    assert host.run(code) == [False, False, False, False, True, True]


@pytest.mark.parametrize(
    ("capabilities", "toolkit", "compilers"),
    [
        # CUDA 11.8 was the first to know Hopper, 12.8 Blackwell, and 12.9 the last to know Volta, by the release notes.
        (("9.0", "7.0"), "13.0", "CUDA 11.8 to 12.9"),
        (("9.0", "12.0"), "12.6", "CUDA 12.8 or newer"),
        (("12.0", "3.5"), "13.0", None),
    ],
)
def test_a_compiler_that_serves_all_is_named_before_gpus_are_hidden(
    capabilities: tuple[str, ...], toolkit: str, compilers: str | None
) -> None:
    devices = tuple(
        Device(ComputeCapability.parse(text), ordinal=number, uuid=f"GPU-{number}", via="cuda")
        for number, text in enumerate(capabilities)
    )
    seen = Look(devices, devices, Visibility(), DriverState(), None, None)
    compiler = Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit))
    with pytest.raises(ToolkitError) as raised:
        decide(Requirement.parse(">=3.5"), Policy.DEVICE, seen, {}, toolkit=compiler).require(devices="all")
    way_out = raised.value.way_out
    assert "CUDA_VISIBLE_DEVICES=GPU-0" in way_out
    assert way_out.startswith(f"Compile with {compilers}, which serves them all; or use" if compilers else "Use only")
