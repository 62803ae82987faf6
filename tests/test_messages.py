"""What messages mean: real ones, the seven causes behind one of them, ordinary and hostile logs."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from capably.arch import ComputeCapability, Target
from capably.facts import (
    Artifact,
    ArtifactKind,
    Compression,
    Device,
    Driver,
    DriverState,
    Fatbin,
    FatbinGroup,
    Finding,
    Image,
    ImageKind,
    Library,
    PtxJit,
    System,
    Toolkit,
    ToolkitKind,
)
from capably.logs import MOST_BYTES, Explanation, State, explain, recognise
from capably.logs.causes import TESTS_OF_CAUSES
from capably.probe import load
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease, PtxVersion

DATA = Path(__file__).parent / "data"
RECORDS = [json.loads(line) for line in (DATA / "messages.jsonl").read_text(encoding="utf-8").splitlines()]
EXPECTED = [json.loads(line) for line in (DATA / "messages_expected.jsonl").read_text(encoding="utf-8").splitlines()]


def machine(said: dict[str, Any] | None) -> System | None:
    """The machine that a report describes, as far as it does."""
    if said is None:
        return None
    nvccs = said.get("nvcc", [])
    return System(
        driver=Driver(DriverRelease.parse(said["driver"])) if "driver" in said else None,
        devices=tuple(Device(ComputeCapability.parse(text)) for text in said.get("devices", [])),
        toolkits=tuple(
            Toolkit(ToolkitKind.NVCC, f"/usr/local/cuda-{text}/bin/nvcc", cuda=CudaVersion.parse(text))
            for text in nvccs
        ),
        environment=tuple(said.get("env", {}).items()),
        distributions=tuple(said.get("packages", {}).items()),
        absence=said.get("absence"),
    )


def test_every_record_has_an_expectation() -> None:
    assert [(i + 1, record["id"]) for i, record in enumerate(RECORDS)] == [(e["line"], e["id"]) for e in EXPECTED]
    assert sum(e["answer"] != "none" for e in EXPECTED) >= 60


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: f"{e['line']}-{e['id']}")
def test_real_messages(expected: dict[str, Any]) -> None:
    found = explain(RECORDS[expected["line"] - 1]["symptom"], machine(expected.get("machine")))
    if expected["answer"] == "none":
        assert not found, [one.found.message.code for one in found]
        return
    assert found
    first = found[0]
    assert first.found.message.code == expected["message"]
    told = {state: sorted(code for code, found in states(first).items() if found is state) for state in State}
    assert told[State.HOLDS] == expected.get("holds", [])
    assert told[State.LIKELY] == expected.get("likely", [])
    assert told[State.EXCLUDED] == expected.get("excluded", [])
    assert expected["cause"] in (None, *told[State.HOLDS], *told[State.LIKELY], *told[State.OPEN])
    if expected["answer"] == "not-architecture":
        assert not first.architecture
        assert first.answer in (None, expected["cause"])
    else:
        assert first.architecture
        assert (first.answer or "cannot-tell") == expected["answer"]


# -- one message, seven causes


SM75 = "RuntimeError: FlashInfer requires GPUs with sm75 or higher"
GOOD = System(
    machine="x86_64",
    os="linux",
    driver=Driver(DriverRelease(570, 26), CudaVersion(12, 8)),
    devices=(Device(ComputeCapability(12, 0), "NVIDIA GeForce RTX 5090"),),
    toolkits=(Toolkit(ToolkitKind.NVCC, "/usr/local/cuda/bin/nvcc", cuda=CudaVersion(12, 9), used_by=("shell",)),),
    distributions=(("flashinfer-python", "0.6.1"), ("torch", "2.9.0+cu129")),
)


# What holds on each machine, with what is in its evidence, and what stays open; every other cause is excluded.
NVCC = "/usr/local/cuda/bin/nvcc: CUDA 12.8"
BEHIND_SM75 = {
    "sm75-hidden": ({"no-gpu-visible": ["CUDA_VISIBLE_DEVICES=''"]}, {"gpu-below-floor", "forked-child"}),
    "sm75-driver": ({"driver-does-not-work": ["cuInit fails with 803"]}, {"gpu-below-floor", "forked-child"}),
    "sm75-cpu-torch": ({"torch-without-cuda": ["torch 2.13.0+cpu"]}, {"forked-child"}),
    "sm75-fork": ({}, {"forked-child"}),
    "sm75-nvcc-too-old": ({"compiler-too-old": [NVCC, "CUDA 12.9"]}, {"forked-child"}),
    "sm75-nvcc-hides-another": (
        {
            "wrong-compiler-first": ["/usr/bin/nvcc: CUDA 11.5", "/usr/local/cuda-13.0/bin/nvcc: CUDA 13.0"],
            "compiler-too-old": ["/usr/bin/nvcc: CUDA 11.5", "CUDA 12.9"],
        },
        {"forked-child"},
    ),
    "sm75-volta": ({"gpu-below-floor": ["Tesla V100-SXM2-32GB (7.0)"]}, {"forked-child"}),
    "sm75-list": ({"list-below-floor": ["FLASHINFER_CUDA_ARCH_LIST=7.0"]}, {"forked-child"}),
}


@pytest.mark.parametrize("name", BEHIND_SM75)
def test_each_cause_behind_one_message_of_flashinfer_is_told_from_its_machine(name: str) -> None:
    holds, open_ = BEHIND_SM75[name]
    (found,) = explain(SM75, load(DATA / f"systems/{name}.json"))
    assert found.answer == (next(iter(holds)) if holds else "forked-child")
    assert found.eliminated == (not holds)
    assert {one.cause.code for one in found.causes if one.state is State.OPEN} == open_
    assert [one.cause.code for one in found.causes if one.state is State.HOLDS] == list(holds)
    for one in found.causes:
        assert bool(one.evidence) is (one.state is not State.OPEN)  # whatever is settled is shown
        if one.state is State.HOLDS:
            assert all(text in line for text, line in zip(holds[one.cause.code], one.evidence, strict=True))
    # Without the machine the message alone does not tell.
    (blind,) = explain(SM75)
    assert blind.answer is None
    assert set(states(blind).values()) == {State.OPEN}


@pytest.mark.parametrize(
    ("devices", "variables", "below", "list_low"),
    [
        (["7.0", "9.0"], {}, State.HOLDS, State.EXCLUDED),  # without a list the flags are those of all visible GPUs
        (["9.0", "9.0"], {}, State.EXCLUDED, State.LIKELY),  # else it would have passed: a list was set somewhere
        (["7.0", "9.0"], {"TORCH_CUDA_ARCH_LIST": "7.0;9.0"}, State.EXCLUDED, State.HOLDS),
        (["7.0"], {}, State.HOLDS, State.EXCLUDED),
    ],
)
def test_the_older_check_refuses_a_mixed_server_for_one_gpu(
    devices: list[str], variables: dict[str, str], below: State, list_low: State
) -> None:
    (found,) = explain("RuntimeError: FlashInfer requires sm75+", machine({"devices": devices, "env": variables}))
    assert (states(found)["gpu-below-floor"], states(found)["list-below-floor"]) == (below, list_low)
    # The newer one passes where one GPU is high enough.
    assert found.answer == ("list-below-floor" if below is State.EXCLUDED else "gpu-below-floor")
    (newer,) = explain(SM75, machine({"devices": devices, "env": variables}))
    assert (states(newer)["gpu-below-floor"] is State.HOLDS) == (devices == ["7.0"])


@pytest.mark.parametrize(
    ("version", "device", "cuda", "state", "floor"),
    [
        ("0.6.1", "12.0", "12.8", State.EXCLUDED, None),  # this release looks at no compiler
        ("0.6.18", "12.0", "12.8", State.HOLDS, "12.9"),
        ("0.7.2.post1", "12.0", "12.8", State.EXCLUDED, None),  # asks for 12.8 for this one
        ("0.7.2.post1", "12.0", "12.6", State.HOLDS, "12.8"),
        ("0.7.2.post1", "12.1", "12.8", State.HOLDS, "12.9"),
        ("0.6.18", "9.0", "11.5", State.EXCLUDED, None),  # refused by nvcc later, and not by FlashInfer
        (None, "12.0", "12.8", State.HOLDS, "12.9"),
        (None, None, "12.8", State.OPEN, None),  # which GPU it was is not known
        (None, None, "13.0", State.EXCLUDED, None),  # whichever it was
        ("0.6.1", None, "12.8", State.EXCLUDED, None),
    ],
)
def test_the_toolkit_that_flashinfer_asks_for_is_that_of_its_release(
    version: str | None, device: str | None, cuda: str, state: State, floor: str | None
) -> None:
    packages = {"flashinfer-python": version} if version else {}
    said = {"devices": [device] if device else [], "nvcc": [cuda], "packages": packages}
    (found,) = explain(SM75, machine(said))
    (cause,) = [one for one in found.causes if one.cause.code == "compiler-too-old"]
    assert cause.state is state
    assert [text for text in cause.evidence if text.startswith("needed")] == (
        [f"needed: CUDA {floor} or newer"] if floor else []
    )


def test_a_module_of_flashinfer_without_a_target_is_no_matter_of_the_compiler_where_no_release_asks_for_one() -> None:
    log = "RuntimeError: No supported CUDA architectures found for major versions [10]."
    ninety = states(only(log, machine({"devices": ["9.0"], "nvcc": ["12.4"]})))
    assert ninety.pop("module-for-other-gpus") is State.HOLDS  # the message names the major version
    assert set(ninety.values()) == {State.EXCLUDED}
    assert only(log).answer is None
    assert states(only(log))["compiler-too-old"] is State.OPEN  # it does not say for what
    for_it = log.replace("10", "12")
    assert only(for_it, machine({"devices": ["12.1"], "nvcc": ["12.4"]})).answer == "compiler-too-old"
    said = {text for one in explain(f"SM 12.x requires CUDA >= 12.9\n{log}") for c in one.causes for text in c.evidence}
    other = "CUDA 12.4 or higher is required for compute capability 8.9"
    said |= {text for one in explain(f"{other}\n{log}") for c in one.causes for text in c.evidence}
    assert "FlashInfer says that it needs CUDA 12.9" in said
    assert not [text for text in said if "None" in text]


def test_a_list_that_nothing_reads_is_not_taken_for_one_below_the_floor() -> None:
    def told(value: str) -> State:
        log = "RuntimeError: FlashInfer requires sm75+"
        return states(only(log, machine({"devices": ["9.0"], "env": {"TORCH_CUDA_ARCH_LIST": value}})))[
            "list-below-floor"
        ]

    assert [told("Volta;9.0"), told("Maxwell+Tegra;9.0"), told("Turing;9.0+PTX")] == [
        State.HOLDS,
        State.HOLDS,
        State.EXCLUDED,
    ]
    # torch itself stops at these, so that it was another list that FlashInfer saw.
    assert {told("7.0,9.0"), told("Voltaire;9.0"), told("70;90")} == {State.OPEN}


def test_the_log_itself_may_tell_the_cause() -> None:
    fork = "Failed to get device capability: Cannot re-initialize CUDA in forked subprocess.\n"
    first, second = explain(fork + SM75)
    assert (first.found.message.code, first.answer, first.architecture) == ("fork-after-cuda", "forked-child", False)
    assert states(second)["forked-child"] is State.HOLDS
    _, second = explain("AssertionError: Torch not compiled with CUDA enabled\n" + SM75)
    assert states(second)["torch-without-cuda"] is State.HOLDS
    _, second = explain("SM 12.x requires CUDA >= 12.9\n" + SM75)
    assert states(second)["compiler-too-old"] is State.HOLDS


def states(one: Explanation) -> dict[str, State]:
    return {judged.cause.code: judged.state for judged in one.causes}


def evidence(one: Explanation, cause: str) -> tuple[str, ...]:
    (judged,) = [judged for judged in one.causes if judged.cause.code == cause]
    return judged.evidence


def only(log: str, system: System | None = None, artifacts: tuple[Artifact, ...] = ()) -> Explanation:
    (found,) = explain(log, system, artifacts)
    return found


# -- exact texts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CUDA error: no kernel image is available for execution on the device", "no-kernel-image"),
        ("cudaErrorNoKernelImageForDevice", "no-kernel-image"),
        ("CUDA_ERROR_NO_BINARY_FOR_GPU", "no-kernel-image"),
        ("CUDA driver error: 209", "no-kernel-image"),
        ("CUDA error (209): no kernel", "no-kernel-image"),
        ("cudaError=35", "insufficient-driver"),
        ("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version", "insufficient-driver"),
        ("The NVIDIA driver on your system is too old (found version 11040).", "insufficient-driver"),
        ("RuntimeError: No CUDA GPUs are available", "no-device"),
        ("CUDA error 100", "no-device"),
        ("cudaErrorNoDevice: no CUDA-capable device is detected", "no-device"),
        ("CUDA error: invalid device ordinal", "invalid-device"),
        ("CUDA_ERROR_INVALID_DEVICE", "invalid-device"),
        ("CUDA error: a PTX JIT compilation failed", "invalid-ptx"),
        ("CUDA_ERROR_INVALID_PTX", "invalid-ptx"),
        ("CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "jit-compiler-missing"),
        ("CUDA error: PTX JIT compiler library was not found", "jit-compiler-missing"),
        ("cudaErrorJitCompilationDisabled", "jit-disabled"),
        ("CUDA error 223", "jit-disabled"),
        ("CUDA error 222", "ptx-toolchain"),
        ("the provided PTX was compiled with an unsupported toolchain.", "ptx-toolchain"),
        ("Error 803: system has unsupported display driver / cuda driver combination", "driver-mismatch"),
        ("Failed to initialize NVML: Driver/library version mismatch", "driver-mismatch"),
        ("Error 804: forward compatibility was attempted on non supported HW", "forward-compat"),
        ("AssertionError: Torch not compiled with CUDA enabled", "torch-cpu-only"),
        ("nvcc fatal   : Unsupported gpu architecture 'compute_120'", "nvcc-target"),
        ("ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'", "ptxas-target"),
        ("OSError: libcuda.so.1: cannot open shared object file: No such file or directory", "driver-library"),
        ("ptxas /tmp/a.ptx, line 9; fatal   : Unsupported .version 8.7; current version is '8.4'", "ptx-version"),
        ("nvrtc: error: invalid value for --gpu-architecture (-arch)", "nvrtc-target"),
        ("ptxas error : Feature '.bf16' requires .target sm_80 or higher", "ptx-feature-target"),
        ("Instruction 'cvt with .e2m1x2' not supported on .target 'sm_120'", "ptx-feature-target"),
        ("type fp8e4nv not supported in this architecture. The supported fp8 dtypes are ('fp8e4b15')", "fp8-type"),
        ("CUDA error: an illegal instruction was encountered", "illegal-instruction"),
        ("CUDA error: an illegal memory access was encountered", "illegal-address"),
        ("ImportError: libcudart.so.13: cannot open shared object file: No such file", "missing-library"),
        ("ImportError: /x/_C.so: undefined symbol: _ZN3c104cuda9SetDeviceEi", "undefined-symbol"),
        ("ValueError: Unknown CUDA arch (12.1) or GPU not supported", "arch-list"),
        ("    arch_list[-1] += '+PTX'\nIndexError: list index out of range", "no-gpu-at-build"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out-of-memory"),
        ("ncclUnhandledCudaError: Call to CUDA function failed.", "nccl"),
        ("Ray actor has no GPU", "ray-without-gpu"),
        ("CUDA Setup failed despite GPU being available.", "bitsandbytes-library"),
        ("NotImplementedError: No operator found for `memory_efficient_attention_forward`", "xformers-operator"),
        ("OSError: CUDA_HOME environment variable is not set.", "nvcc-missing"),
        ("CUDA error: invalid device function", "invalid-device-function"),
        ("CUDA Error CUDA_ERROR_INVALID_IMAGE(200): device kernel image is invalid", "invalid-image"),
        ("CUDA_ERROR_INVALID_SOURCE: device kernel image is invalid", "invalid-image"),
        ("CUDA error cudaErrorSymbolNotFound [bulk.cuh:239]: named symbol not found", "symbol-not-found"),
        ("NCCL WARN Cuda failure 'named symbol not found'", "symbol-not-found"),
        ("Error: CUDNN_STATUS_ARCH_MISMATCH", "library-arch-mismatch"),
        ("CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH", "library-arch-mismatch"),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ARCH_MISMATCH when calling `cublasGemmEx`", "library-arch-mismatch"),
        (
            (
                "TensorFlow was not built with CUDA kernel binaries compatible with compute capability 12.0. CUDA "
                "kernels will be jit-compiled from PTX, which could take 30 minutes or longer."
            ),
            "tensorflow-ptx",
        ),
        ("RuntimeError: FlashAttention only supports Ampere GPUs or newer.", "flash-attention-ampere"),
        ("RuntimeError: Found no NVIDIA driver on your system. Please check that you have a GPU", "torch-no-driver"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "nvidia-smi-failed"),
        ("NVIDIA-SMI has failed because it couldn\u2018t communicate with the NVIDIA driver.", "nvidia-smi-failed"),
        (
            "RuntimeError: CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing",
            "unknown-error",
        ),
        (
            'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
            "docker-without-toolkit",
        ),
        (
            (
                "The detected CUDA version (11.8) mismatches the version that was used to compile\n      PyTorch "
                "(12.4). Please make sure to use the same CUDA versions."
            ),
            "cuda-version-mismatch",
        ),
        ("RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable", "devices-busy"),
        ("RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable", "devices-busy"),
        ("Error 802: system not yet initialized", "system-not-ready"),
        ("CUDA error: device-side assert triggered", "device-assert"),
        ("CUDA error: unspecified launch failure", "launch-failure"),
    ],
)
def test_exact_texts(text: str, message: str) -> None:
    assert message in [one.message.code for one in recognise(text)]
    assert message in [one.message.code for one in recognise(f"\x1b[31m{text}\x1b[0m\r\n".encode())]
    if text.isascii():
        assert message in [one.message.code for one in recognise(text.encode("utf-16"))]


# Of cudaError_t and CUresult, in NVIDIA's documentation.
NUMBERS = {
    1: ("invalid-value", "cudaErrorInvalidValue", "CUDA_ERROR_INVALID_VALUE"),
    2: ("out-of-memory", "cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY"),
    35: ("insufficient-driver", "cudaErrorInsufficientDriver"),
    46: ("devices-busy", "cudaErrorDevicesUnavailable", "CUDA_ERROR_DEVICE_UNAVAILABLE"),
    98: ("invalid-device-function", "cudaErrorInvalidDeviceFunction"),
    100: ("no-device", "cudaErrorNoDevice", "CUDA_ERROR_NO_DEVICE"),
    101: ("invalid-device", "cudaErrorInvalidDevice", "CUDA_ERROR_INVALID_DEVICE"),
    200: ("invalid-image", "cudaErrorInvalidKernelImage", "CUDA_ERROR_INVALID_IMAGE"),
    209: ("no-kernel-image", "cudaErrorNoKernelImageForDevice", "CUDA_ERROR_NO_BINARY_FOR_GPU"),
    218: ("invalid-ptx", "cudaErrorInvalidPtx", "CUDA_ERROR_INVALID_PTX"),
    221: ("jit-compiler-missing", "cudaErrorJitCompilerNotFound", "CUDA_ERROR_JIT_COMPILER_NOT_FOUND"),
    222: ("ptx-toolchain", "cudaErrorUnsupportedPtxVersion", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
    223: ("jit-disabled", "cudaErrorJitCompilationDisabled", "CUDA_ERROR_JIT_COMPILATION_DISABLED"),
    500: ("symbol-not-found", "cudaErrorSymbolNotFound", "CUDA_ERROR_NOT_FOUND"),
    700: ("illegal-address", "cudaErrorIllegalAddress", "CUDA_ERROR_ILLEGAL_ADDRESS"),
    710: ("device-assert", "cudaErrorAssert", "CUDA_ERROR_ASSERT"),
    715: ("illegal-instruction", "cudaErrorIllegalInstruction", "CUDA_ERROR_ILLEGAL_INSTRUCTION"),
    719: ("launch-failure", "cudaErrorLaunchFailure", "CUDA_ERROR_LAUNCH_FAILED"),
    800: ("not-permitted", "cudaErrorNotPermitted", "CUDA_ERROR_NOT_PERMITTED"),
    801: ("not-supported", "cudaErrorNotSupported", "CUDA_ERROR_NOT_SUPPORTED"),
    802: ("system-not-ready", "cudaErrorSystemNotReady", "CUDA_ERROR_SYSTEM_NOT_READY"),
    803: ("driver-mismatch", "cudaErrorSystemDriverMismatch", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
    804: ("forward-compat", "cudaErrorCompatNotSupportedOnDevice", "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE"),
    999: ("unknown-error", "cudaErrorUnknown", "CUDA_ERROR_UNKNOWN"),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_errors_are_known_by_number_and_name(number: int) -> None:
    message, *names = NUMBERS[number]
    (row,) = [row for row in tables().messages if row.code == message]
    texts = [f"CUDA error {number}", f"CUDA error: {number}", f"cudaError={number}", f"CUDA driver error ({number})"]
    for text in [*texts, *names]:
        assert [one.message.code for one in recognise(f"x\n{text}\ny")] == [message], text
    for text in (f"CUDA error {number}0", f"CUDA error {number}.5", f"CUDA errors: {number}", f"error {number}th"):
        assert row not in [one.message for one in recognise(text)], text


def test_every_number_in_a_title_is_recognised() -> None:
    titled = {row.code: int(found[1]) for row in tables().messages if (found := re.search(r"\(([0-9]+)\)", row.title))}
    assert titled == {message: number for number, (message, *_) in NUMBERS.items()}


def test_links_of_terminals_are_no_text() -> None:
    log = "no kernel image \x1b]8;;https://example.org/\x07is available\x1b]8;;\x1b\\ for execution on the device"
    assert [one.excerpt for one in recognise(log)] == ["no kernel image is available for execution on the device"]


TORCH = (
    "NVIDIA {name} with CUDA capability sm_{cc} is not compatible with the current PyTorch installation.\n"
    "The current PyTorch install supports CUDA capabilities {listed}.\n"
)


@pytest.mark.parametrize(
    ("cc", "listed", "answer"),
    [
        ("120", "sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90", "torch-lacks-device"),
        ("86", "sm_37 sm_50 sm_60 sm_70 sm_75 sm_80", "warning-is-wrong"),
        ("121", "sm_80 sm_90 sm_100 sm_120", "warning-is-wrong"),
        ("120", "sm_37 sm_90 compute_90", None),  # the driver decides about PTX
        ("999", "sm_90", "torch-lacks-device"),  # another major version, whatever there will be
        ("999", "sm_995", None),
    ],
)
def test_the_list_that_torch_prints_is_judged(cc: str, listed: str, answer: str | None) -> None:
    found = only(TORCH.format(name="GPU", cc=cc, listed=listed))
    assert found.answer == answer
    if answer:
        assert any(listed in text for one in found.causes for text in one.evidence)


def test_the_range_that_torch_prints_is_judged() -> None:
    text = (
        "Found GPU0 NVIDIA {} which is of cuda capability {}.\n"
        "    Minimum and Maximum cuda capability supported by this version of PyTorch is\n    (8.0) - (12.0)\n"
    )
    assert only(text.format("V100", "7.0")).answer == "torch-lacks-device"
    assert only(text.format("GB10", "12.1")).answer == "warning-is-wrong"
    assert only(text.format("B300", "10.3")).answer is None
    bare = "sm_ GPU is not compatible with the current PyTorch installation"
    assert only(bare, GOOD).answer is None
    assert only(bare).answer is None


def nvcc(*versions: str, kind: ToolkitKind = ToolkitKind.NVCC, targets: tuple[Target, ...] | None = None) -> System:
    return System(
        devices=GOOD.devices,
        toolkits=tuple(
            Toolkit(kind, f"/opt/{text}/nvcc", cuda=CudaVersion.parse(text), targets=targets) for text in versions
        ),
    )


def test_a_compiler_that_does_not_know_the_target() -> None:
    text = "nvcc fatal   : Unsupported gpu architecture 'compute_120'"
    assert only(text, nvcc("12.4")).answer == "compiler-too-old"
    assert only(text, nvcc("12.4", "13.0")).answer == "wrong-compiler-first"
    assert only(text, nvcc("13.0")).answer == "another-compiler-ran"  # this one knows it
    assert only(text).answer is None
    assert only(text, nvcc("12.4", targets=(Target.parse("sm_90"),))).answer == "compiler-too-old"
    assert only(text, nvcc("99.0")).answer is None
    other = "nvcc fatal   : Unsupported gpu architecture 'compute_70'"
    volta = System(devices=(Device(ComputeCapability(7, 0)),), toolkits=nvcc("13.0").toolkits)
    assert only(other, volta).answer == "compiler-dropped-target"
    assert only(other, GOOD).answer == "another-compiler-ran"  # the 12.9 there knows it
    assert only(other).answer is None
    own = nvcc("12.4", kind=ToolkitKind.PTXAS)
    assert only("ptxas fatal : Value 'sm_120a' is not defined for option 'gpu-name'", own).answer == "compiler-too-old"
    odd = only("nvcc fatal : Unsupported gpu architecture 'compute_999'", GOOD)
    assert odd.answer == "target-not-of-this-machine"


def artifact(name: str, target: str) -> Artifact:
    fatbin = Fatbin((Image(ImageKind.SASS, Target.parse(target)),))
    return Artifact(name, ArtifactKind.DISTRIBUTION, (Library("_C.so", 1, (FatbinGroup(fatbin, 1),)),), name=name)


def test_no_kernel_image_is_told_by_what_was_scanned() -> None:
    text = "CUDA error: no kernel image is available for execution on the device"
    assert only(text, GOOD).answer is None
    assert only(text, GOOD, (artifact("kernels", "sm_90"),)).answer == "build-lacks-device"
    assert only(text, GOOD, (artifact("kernels", "sm_120"),)).answer is None
    two = load(DATA / "systems/rtx-3090-4090.json")
    assert only(text, two, (artifact("kernels", "sm_89"),)).answer == "gpus-differ"
    cached = System(devices=GOOD.devices, distributions=(("flashinfer-jit-cache", "0.6.1"),))
    assert only(text, cached, (artifact("flashinfer-jit-cache", "sm_90"),)).answer == "prebuilt-before-jit"
    assert states(only(text, cached))["prebuilt-before-jit"] is State.OPEN
    forced = System(devices=GOOD.devices, environment=(("CUDA_FORCE_PTX_JIT", "1"),))
    assert only(text, forced).answer == "switched-off-by-variable"
    driver = System(devices=GOOD.devices, driver=Driver(cuda=CudaVersion(12, 8), jit=PtxJit.DISABLED))
    assert only(text, driver).answer == "switched-off-by-variable"


KERNEL = "CUDA error: no kernel image is available for execution on the device"
FRAME = 'File "/e/lib/python3.12/site-packages/{}/x.py", line 7, in f\n'


@pytest.mark.parametrize("error", [KERNEL, "CUDA error: named symbol not found", "CUDA error: invalid device function"])
def test_what_torch_said_before_is_used(error: str) -> None:
    torch_said = TORCH.format(name="NVIDIA GeForce RTX 5090", cc="120", listed="sm_50 sm_80 sm_90")
    for system in (None, GOOD, load(DATA / "systems/none.json")):
        first, second = explain(torch_said + error, system)
        assert (first.answer, second.answer) == ("torch-lacks-device", "build-lacks-device")
        (cause,) = [one for one in second.causes if one.cause.code == "build-lacks-device"]
        assert cause.evidence == ("the same log says: torch lists sm_50 sm_80 sm_90; the GPU is of 12.0",)
    # A warning that is wrong shows nothing, and neither does one about PTX, which the driver decides.
    for cc, listed in (("121", "sm_90 sm_120"), ("120", "sm_90 compute_90")):
        wrong = TORCH.format(name="X", cc=cc, listed=listed) + error
        assert explain(wrong)[1].answer is None
    # GPUs that differ stay in question, and are not what is wrong here.
    two = load(DATA / "systems/rtx-3090-4090.json")
    mixed = explain(TORCH.format(name="X", cc="89", listed="sm_75 compute_90") + error, two)[1]
    assert (mixed.answer, states(mixed)["gpus-differ"]) == ("build-lacks-device", State.OPEN)


def test_code_that_the_driver_cannot_decompress() -> None:
    text = "CUDA error: device kernel image is invalid"
    old = System(devices=(Device(ComputeCapability(9, 0)),), driver=Driver(DriverRelease(535, 183), CudaVersion(12, 2)))
    image = Image(ImageKind.SASS, Target.parse("sm_90"), compression=Compression.ZSTD)
    library = Library("k/_C.so", 1, (FatbinGroup(Fatbin((image,)), 1),))
    packed = Artifact("k", ArtifactKind.DISTRIBUTION, (library,), name="k")
    found = only(text, old, (packed,))
    assert found.answer == "compression-newer-than-the-driver"
    assert evidence(found, "compression-newer-than-the-driver")[0].startswith("k, k/_C.so: ")
    assert states(only(text, old))["compression-newer-than-the-driver"] is State.OPEN
    assert states(only(text, GOOD))["compression-newer-than-the-driver"] is State.EXCLUDED
    assert states(only(text))["compression-newer-than-the-driver"] is State.OPEN


def test_a_library_of_cuda_that_refuses_the_gpu_is_blamed_and_no_other() -> None:
    text = "RuntimeError: CUDA error: CUBLAS_STATUS_ARCH_MISMATCH when calling `cublasGemmEx`"
    other = artifact("kernels", "sm_90")
    assert only(text, GOOD, (artifact("nvidia-cublas-cu12", "sm_90"), other)).answer == "library-without-this-gpu"
    assert only(text, GOOD, (artifact("nvidia-cudnn-cu12", "sm_90"), other)).answer is None
    assert only(text).answer is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("RuntimeError: Found no NVIDIA driver on your system.", "driver-missing"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "driver-missing"),
        ("CUDA unknown error - this may be due to an incorrectly set up environment", "driver-missing"),
    ],
)
def test_messages_of_a_machine_without_a_driver(text: str, answer: str) -> None:
    found = only(text, load(DATA / "systems/none.json"))
    assert (found.answer, found.architecture) == (answer, False)
    broken = System(absence="driver-failed", driver_state=DriverState(error=999, kernel_module=DriverRelease(570, 26)))
    assert only(text, broken).answer == (None if "Found no" in text else "driver-does-not-work")
    assert only(text).answer is None
    assert only(text, GOOD).answer is None


def test_flash_attention_asks_the_gpu() -> None:
    text = "RuntimeError: FlashAttention only supports Ampere GPUs or newer."
    turing, ampere = Device(ComputeCapability(7, 5)), Device(ComputeCapability(8, 0))
    assert only(text, System(devices=(turing,))).answer == "gpu-lacks-feature"
    assert only(text, System(devices=(turing, ampere))).answer == "gpus-differ"
    assert only(text, System(devices=(ampere,))).answer is None
    # Two that differ, and are refused or served alike.
    volta, hopper = Device(ComputeCapability(7, 0)), Device(ComputeCapability(9, 0))
    for alike in ((volta, turing), (ampere, hopper)):
        assert states(only(text, System(devices=alike)))["gpus-differ"] is State.OPEN
    assert states(only(text, System(devices=(turing, turing))))["gpus-differ"] is State.EXCLUDED


def test_the_package_that_the_log_names_is_blamed_and_no_other() -> None:
    torch, kernels, other = artifact("torch", "sm_120"), artifact("kernels", "sm_90"), artifact("other", "sm_120")
    frames = FRAME.format("kernels") + FRAME.format("torch")
    found = only(frames + KERNEL, GOOD, (torch, kernels, other))
    assert found.answer == "build-lacks-device"
    (cause,) = [one for one in found.causes if one.cause.code == "build-lacks-device"]
    assert cause.evidence == ("nothing in kernels loads on NVIDIA GeForce RTX 5090 (12.0); the log names it",)
    # What has no code here and was not running explains nothing.
    assert only(FRAME.format("other") + KERNEL, GOOD, (torch, kernels, other)).answer is None
    # torch is in every traceback: it prints the message for the others.
    assert only(FRAME.format("torch") + KERNEL, GOOD, (torch, kernels)).answer == "build-lacks-device"
    two = load(DATA / "systems/rtx-3090-4090.json")
    both = only(FRAME.format("other") + KERNEL, two, (artifact("kernels", "sm_89"), other))
    assert (both.answer, states(both)["gpus-differ"]) == ("build-lacks-device", State.EXCLUDED)  # nothing for either
    assert not [text for one in both.causes for text in one.evidence if "kernels" in text]


def test_a_gap_or_one_of_several_prebuilt_packages_is_told_and_decides_nothing() -> None:
    some = (*artifact("x", "sm_90").libraries, *artifact("x", "sm_120").libraries)
    partly = Artifact("kernels", ArtifactKind.DISTRIBUTION, some, name="kernels", version="2.1")
    found = only(FRAME.format("kernels") + KERNEL, GOOD, (partly,))
    assert found.answer is None
    told = [text for one in found.causes for text in one.evidence]
    assert "kernels 2.1 on NVIDIA GeForce RTX 5090 (12.0): 1 of 2 groups of kernels load; the log names it" in told
    cubins = artifact("flashinfer-cubin", "sm_90")  # what it lacks is compiled
    assert only(KERNEL, GOOD, (cubins,)).answer is None


def test_a_library_whose_ptx_is_too_new_is_named() -> None:
    ptx = Fatbin((Image(ImageKind.PTX, Target.parse("compute_90"), ptx=PtxVersion(9, 0)),))
    newer = Artifact("k", ArtifactKind.DISTRIBUTION, (Library("k/_C.so", 1, (FatbinGroup(ptx, 1),)),), name="k")
    found = only("the provided PTX was compiled with an unsupported toolchain.", GOOD, (newer,))
    told = [text for one in found.causes for text in one.evidence]
    assert any(text.startswith("k, k/_C.so: PTX ISA 9.0") for text in told), told


SYMBOLS = [
    # Texts of flash-attention#1644, #919, pytorch#111469, nccl#1180, pytorch#186591 and of a Python without the symbol.
    (
        (
            "/e/site-packages/flash_attn_2_cuda.cpython-310-x86_64-linux-gnu.so: undefined symbol: "
            "_ZN3c105ErrorC2ENS_14SourceLocationESs"
        ),
        "built-for-another-torch",
        (
            "asked for by flash-attn 2.7.4.post1",
            "installed: torch 2.7.0+cu128",
            "its strings are those of the ABI before",
        ),
    ),
    (
        "undefined symbol: _ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
        "built-for-another-torch",
        ("C++11 ABI",),
    ),
    ("undefined symbol: _ZN2at4_ops5zeros4callEN3c108ArrayRefINS2_6SymIntEEE", "built-for-another-torch", ()),
    (
        (
            "/e/dist-packages/torch/lib/../../nvidia/cusparse/lib/libcusparse.so.12: undefined symbol: "
            "__nvJitLinkAddData_12_1, version libnvJitLink.so.12"
        ),
        "cuda-library-of-another-release",
        (
            "asked for by nvidia-cusparse-cu12 12.1.0",
            "installed: nvidia-nvjitlink-cu12 12.4.99",
            "LD_LIBRARY_PATH=/usr/x",
        ),
    ),
    ("torch/lib/libtorch_cuda.so: undefined symbol: ncclCommRegister", "cuda-library-of-another-release", ()),
    (
        "/e/site-packages/torch/lib/libtorch_cuda.so: undefined symbol: ncclCommResume",
        "cuda-library-of-another-release",
        ("installed: nvidia-nccl-cu12 2.29.3", "installed: nvidia-nccl-cu13 2.29.7", "asked for by torch 2.7.0+cu128"),
    ),
    ("x/_C.so: undefined symbol: _PyUnicode_Ready", "built-for-another-python", ()),
    ("x/_C.so: undefined symbol: cuTensorMapEncodeTiled", None, ("of the driver's library, libcuda",)),
    ("x/_C.so: undefined symbol: _ZN5boost6system15system_categoryEv", None, ()),
    ("ImportError: undefined symbol", None, ()),
]


@pytest.mark.parametrize(("text", "answer", "told"), SYMBOLS, ids=range(len(SYMBOLS)))
def test_undefined_symbols_are_told_apart_by_whose_they_are(
    text: str, answer: str | None, told: tuple[str, ...]
) -> None:
    versions = {
        "flash-attn": "2.7.4.post1",
        "torch": "2.7.0+cu128",
        "nvidia-cusparse-cu12": "12.1.0",
        "nvidia-nvjitlink-cu12": "12.4.99",
        "nvidia-nccl-cu12": "2.29.3",
        "nvidia-nccl-cu13": "2.29.7",
    }
    here = System(distributions=tuple(versions.items()), environment=(("LD_LIBRARY_PATH", "/usr/x"),))
    found = only(f"ImportError: {text}", here)
    assert (found.found.message.code, found.answer, found.architecture) == ("undefined-symbol", answer, False)
    said = "\n".join(fact for one in found.causes for fact in one.evidence)
    assert all(fact in said for fact in told), said


def test_of_a_symbol_whose_package_is_not_known_no_package_is_blamed() -> None:
    here = System(distributions=(("nvidia-nvshmem-cu12", "3.4.5"), ("torch", "2.7.0+cu128"), ("numpy", "2.0")))
    found = only("ImportError: /x/_C.so: undefined symbol: nvshmem_team_split", here)
    assert found.answer == "cuda-library-of-another-release"
    assert not [fact for one in found.causes for fact in one.evidence if fact.startswith("installed")]


def test_a_system_that_is_older_than_the_build() -> None:
    found = only("/lib64/libc.so.6: version `GLIBC_2.32' not found (required by /e/flash_attn_2_cuda.so)")
    assert (found.answer, found.architecture) == ("system-libraries-older", False)


def test_a_message_that_proves_a_gpu_is_not_judged_by_a_machine_without_one() -> None:
    found = only("no kernel image is available", load(DATA / "systems/none.json"))
    assert "left out" in found.note
    assert set(states(found).values()) == {State.OPEN}


def test_features_and_suffixes() -> None:
    fp8 = "type fp8e4nv not supported in this architecture"
    mixed = System(devices=(Device(ComputeCapability(8, 6)), Device(ComputeCapability(8, 9))))
    assert only(fp8, mixed).answer == "gpus-differ"
    assert only(fp8, GOOD).answer is None
    bf16 = "Bfloat16 is only supported on GPUs with compute capability of at least 8.0."
    assert only(bf16, System(devices=(Device(ComputeCapability(7, 5)),))).answer == "gpu-lacks-feature"
    assert (
        only(bf16, System(devices=(Device(ComputeCapability(7, 5)), Device(ComputeCapability(8, 0))))).answer
        == "gpus-differ"
    )
    needs = "requires .target sm_80 or higher"
    assert only(needs, GOOD).answer is None
    assert only("'griddepcontrol' not supported on .target 'sm_89'").answer == "gpu-lacks-feature"
    plain = only("'cvt' not supported on .target 'sm_120'")
    assert plain.answer is None
    assert set(states(plain).values()) == {State.OPEN}
    wgmma = "requires .target sm_90a or higher"
    assert only(wgmma, System(devices=(Device(ComputeCapability(8, 9)),))).answer == "gpu-lacks-feature"
    assert states(only(wgmma, GOOD))["gpu-lacks-feature"] is State.OPEN  # no higher number has just that
    assert states(only(wgmma))["gpu-lacks-feature"] is State.HOLDS
    assert only("'cvt' not supported on .target 'sm_999'").answer is None  # what comes later is not known
    illegal = only("an illegal instruction was encountered", System(devices=(Device(ComputeCapability(8, 0)),)))
    assert states(illegal)["code-of-a-sibling"] is State.EXCLUDED
    beyond = only("an illegal instruction was encountered", System(devices=(Device(ComputeCapability(99, 0)),)))
    assert states(beyond)["code-of-a-sibling"] is State.OPEN


def test_what_hides_the_gpus() -> None:
    text = "RuntimeError: No CUDA GPUs are available"
    assert only(text, load(DATA / "systems/hidden.json")).answer == "hidden-by-variable"
    assert only(text, load(DATA / "systems/none.json")).answer == "no-gpu-visible"
    container = System(absence="container-without-devices", findings=(Finding("container-without-devices", "", "x"),))
    assert only(text, container).answer == "container-without-gpus"
    assert only(text, System(absence="no-driver")).answer == "driver-missing"
    assert only(text, GOOD).answer is None
    assert only(text, System()).answer is None


INSUFFICIENT = "CUDA driver version is insufficient for CUDA runtime version"


@pytest.mark.parametrize("log", [INSUFFICIENT, "CUDA error 35", "cudaErrorInsufficientDriver"])
def test_a_machine_without_a_driver_is_told_so(log: str) -> None:
    found = only(log, load(DATA / "systems/none.json"))
    assert found.answer == "driver-missing"
    (cause,) = [one for one in found.causes if one.cause.code == "driver-missing"]
    assert "no driver is loaded" in cause.evidence[0]


@pytest.mark.parametrize(
    ("absence", "state", "answer"),
    [
        ("no-driver", DriverState(on_bus=1), "driver-missing"),
        ("no-nvidia-device", DriverState(on_bus=0), "driver-missing"),
        # There is a module, or half of a driver: none of them is "no driver".
        ("no-nvidia-device", DriverState(on_bus=0, kernel_module=DriverRelease(570, 26)), None),
        ("no-nvidia-device", DriverState(on_bus=0, library_path="/usr/lib/libcuda.so.1"), None),
        ("driver-library-missing", DriverState(kernel_module=DriverRelease(570, 26)), "driver-library-not-found"),
        ("container-without-devices", DriverState(kernel_module=DriverRelease(570, 26)), "container-without-gpus"),
        # Nobody looked, so nothing is excluded.
        ("probe-failed", DriverState(), None),
        ("platform-not-probed", DriverState(), None),
    ],
)
def test_why_a_library_of_the_driver_is_not_there(absence: str, state: DriverState, answer: str | None) -> None:
    here = System(absence=absence, driver_state=state, findings=(Finding(absence, "driver", "as found"),))
    missing = only("ImportError: libcuda.so.1: cannot open shared object file: No such file or directory", here)
    assert (missing.found.message.code, missing.architecture) == ("driver-library", False)
    for found in (missing, only(INSUFFICIENT, here)):
        assert found.answer == answer
        unsaid = {one.cause.code for one in found.causes if one.state is State.EXCLUDED}
        assert answer not in unsaid
        assert not unsaid or not absence.startswith(("probe", "platform"))


def test_a_library_of_the_driver_is_no_library_of_the_toolkit() -> None:
    absent = "cannot open shared object file: No such file or directory"
    for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvcuvid.so.1"):
        found = only(f"OSError: {name}: {absent}")
        assert (found.found.message.code, found.answer) == ("driver-library", None)
    assert only("AssertionError: libcuda.so cannot found!").found.message.code == "driver-library"
    for name in ("libcudart.so.13", "libcublas.so.12", "libnvrtc.so.12", "libnvJitLink.so.12", "libcudnn.so.9"):
        assert only(f"ImportError: {name}: {absent}").answer == "library-not-there"
    # It loads here, so what failed looks elsewhere: nothing is told for sure.
    found = only(f"libcuda.so.1: {absent}", GOOD)
    assert (found.answer, states(found)["driver-library-not-found"]) == (None, State.OPEN)
    assert states(found)["driver-missing"] is State.EXCLUDED


@pytest.mark.parametrize(("number", "cuda"), [("11040", "11.4"), ("12020", "12.2"), ("9010", "9.1")])
def test_the_version_that_torch_found_is_used(number: str, cuda: str) -> None:
    text = f"The NVIDIA driver on your system is too old (found version {number}). Please update your GPU driver"
    for system in (None, GOOD, load(DATA / "systems/none.json")):
        found = only(text, system)
        assert found.answer == "runtime-newer-than-driver"
        (cause,) = [one for one in found.causes if one.cause.code == "runtime-newer-than-driver"]
        assert cause.evidence[0] == f"the message says: the driver is of CUDA {cuda}"


def test_who_refuses_newer_ptx_is_told_from_what_it_read() -> None:
    refused = "fatal   : Unsupported .version 8.7; current version is '8.4'"
    # As triton#5929, tinygrad#7729 and triton#5385 have them: the program, whatever the driver is.
    for file in (r"C:\Users\JJ\AppData\Local\Temp\tmpafh.ptx", "/scratch/tinycuda_03fe.ptx", "add_kernel.ptx"):
        for system in (None, GOOD):
            found = only(f"ptxas {file}, line 5; {refused}", system)
            assert found.answer == "ptxas-older-than-the-ptx"
            told = " ".join(evidence(found, "ptxas-older-than-the-ptx"))
            assert "takes PTX up to 8.4; PTX 8.7 needs CUDA 12.8" in told
    by_driver = f"ptxas application ptx input, line 9; {refused}"
    old = System(devices=GOOD.devices, driver=Driver(DriverRelease(550, 54), CudaVersion(12, 4)))
    blamed = only(by_driver, old)
    assert blamed.answer == "ptx-newer-than-the-driver"
    (cause,) = [one for one in blamed.causes if one.state is State.HOLDS]
    assert cause.evidence == ("PTX 8.7; accepted: 8.4", "the driver is of CUDA 12.4", "it takes PTX up to 8.4")
    # The driver takes 8.7 itself, so it was a library that compiles.
    other = only(by_driver, GOOD)
    assert (other.answer, other.eliminated) == ("ptxas-older-than-the-ptx", True)
    assert only(by_driver).answer is None
    assert only(refused).answer is None


def test_a_message_that_is_cut_off_is_explained_by_what_is_left_of_it() -> None:
    cut = "ptxas /scratch/kernel.ptx, line 5; fatal   : Unsupported .version 8.7; curr"
    for system in (None, GOOD):
        found = only(cut, system)
        assert found.answer == "ptxas-older-than-the-ptx"
        assert evidence(found, "ptxas-older-than-the-ptx")[0] == "ptxas read a file: /scratch/kernel.ptx"
    assert only(cut.replace("/scratch/kernel.ptx", "application ptx input")).answer is None


@pytest.mark.parametrize(
    "log",
    [
        "GPU with CUDA capability sm_120 is not compatible with the current PyTorch installation. The current PyTorch install supports CUDA capabilities sm_00 sm_0099 compute_000.",
        "which is of cuda capability 7.0.\nMinimum and Maximum cuda capability supported by this version is (0.0) - (00.0)",
        "Bfloat16 is only supported on GPUs with compute capability of at least 0.0. Your GPU has compute capability 7.0.",
        "ptxas x.ptx, line 7; error   : Feature '.bf16' requires .target sm_00 or higher",
    ],
)
def test_a_number_that_no_gpu_has_decides_nothing(log: str) -> None:
    for system in (None, GOOD):
        assert only(log, system).answer is None


@pytest.mark.parametrize(
    ("log", "here", "said"),
    [
        ("nvcc fatal : Unsupported gpu architecture 'compute_120'", ("13.0",), "CUDA 12.8 and newer know compute_120"),
        ("nvcc fatal : Unsupported gpu architecture 'compute_120'", ("12.8", "12.4"), "CUDA 12.8 and newer"),
        ("nvcc fatal : Unsupported gpu architecture 'compute_70'", ("12.4",), "CUDA 10.0 to 12.9 know compute_70"),
        ("SM 12.x requires CUDA >= 12.9", ("13.0",), "needed: CUDA 12.9 or newer"),
    ],
)
def test_a_compiler_that_cannot_have_printed_the_message_did_not(log: str, here: tuple[str, ...], said: str) -> None:
    asked = System(devices=(Device(ComputeCapability(7, 0)),)) if "70" in log else GOOD
    system = System(devices=asked.devices, toolkits=nvcc(*here).toolkits)
    found = only(log, system)
    assert found.answer == "another-compiler-ran"
    assert only(log, System(toolkits=system.toolkits)).answer == "another-compiler-ran"  # a build machine has no GPU
    (cause,) = [one for one in found.causes if one.cause.code == "another-compiler-ran"]
    assert cause.evidence[0].startswith(said)
    assert here[0] in cause.evidence[1]


def test_driver_and_runtime() -> None:
    text = "CUDA driver version is insufficient for CUDA runtime version"
    old = Driver(DriverRelease(535, 183), CudaVersion(12, 2))
    for packages in (
        (("nvidia-cuda-runtime", "13.0.96"),),
        (("torch", "2.9.0+cu130"),),
        (("nvidia-cuda-runtime-cu13", "0.0.1"),),
    ):
        found = only(text, System(devices=GOOD.devices, driver=old, distributions=packages))
        assert found.answer == "runtime-newer-than-driver"
        assert not found.architecture
    assert only(text, GOOD).answer is None
    # A package that says how it was built brings no runtime; torch does.
    other = System(devices=GOOD.devices, driver=old, distributions=(("vllm", "0.11.0+cu130"),))
    assert states(only(text, other))["runtime-newer-than-driver"] is State.OPEN
    assert only(text, load(DATA / "systems/forward-compat.json")).answer == "compat-library-not-supported"
    refused = only("Unsupported .version 8.5; current version is '8.4'", GOOD)
    assert evidence(refused, "ptx-newer-than-the-driver")[0].startswith("PTX 8.5")
    broken = System(absence="driver-failed", driver_state=DriverState(error=999))
    assert only(SM75, broken).answer == "driver-does-not-work"


# -- ordinary and hostile logs


ORDINARY = """
[INFO] CUDA 12.4, driver 550.54.14, NCCL version 2.21.5+cuda12.4
[INFO] compiling for sm_90a, compute_120 with nvcc 12.9; 209 files, 35 warnings, line 222 of 804
INFO 10-04 vllm.engine: # GPU blocks: 100, # CPU blocks: 803; CUDA graphs: 35; cuda:0 error rate 0.101
loss: 209 epoch: 100 step 35/100 lr 3e-4 memory 218 MB errors=0 CUDA_VISIBLE_DEVICES=0,1
Building wheel for flash-attn (setup.py) ... done, arch list 8.0;9.0+PTX, 715 kernels, 221 skipped
torch 2.9.0+cu128 is compatible with CUDA 12.8; the architecture is supported; xformers 0.0.35 OK
bitsandbytes: loaded libbitsandbytes_cuda128.so; Triton kernels compiled: fp8e4nv, fp8e5
test_error_218.py passed, HTTP error code 404, exit code 1, port 8035, CUDA events: 223
CUDA errors: 2; cuda error rate: 2.5; 719 kernels, 999 steps (2), 46 layers = 46, code 2, error 1 of 2, assert 710
No errors. FlashInfer 0.6.1 with sm75 support. capability (12, 0). Capability at least 7.5 needed: ok
"""


def test_ordinary_logs_hold_no_message() -> None:
    assert recognise(ORDINARY) == ()
    assert recognise("") == ()
    for path in (Path(__file__).parents[1] / "CONTRIBUTING.md", Path(__file__).parent / "build.py"):
        assert recognise(path.read_text(encoding="utf-8")) == (), path.name


@pytest.mark.parametrize(
    "log",
    [
        "no kernel image" * 400_000,
        "is not compatible " * 300_000,
        "Found GPU0 " + "x (8.0) - " * 500_000,
        "undefined symbol: " + "A" * 10_000_000,
        "cuda error " * 500_000 + "209",
        "\x1b[" + "0;" * 3_000_000 + "m",
        "\x1b[31m" * 800_000,
        "\x1b]" * 2_000_000,
        " \t" * 3_000_000 + "no kernel image",
        "Unsupported gpu architecture 'compute_" * 100_000,
        "\udcff\x00" * 1_000_000,
        "222 " * 1_000_000,
    ],
    ids=range(12),
)
def test_hostile_logs_are_read_in_bounded_time(log: str) -> None:
    start = time.process_time()
    found = explain(log, GOOD)
    assert time.process_time() - start < 5
    assert all(len(one.found.excerpt) <= 200 for one in found)


def test_only_the_end_of_a_long_log_is_read() -> None:
    assert recognise("no kernel image" + " " * MOST_BYTES) == ()
    (found,) = recognise(" " * MOST_BYTES * 2 + "no kernel image")
    assert (found.lines, found.more) == (1, True)
    (found,) = recognise("é" * (MOST_BYTES // 2) + "no kernel image")  # bytes, not letters
    assert (found.lines, found.more) == (1, True)


@pytest.mark.parametrize("lines", [1, 10, 48, 49, 60, 1000])
@pytest.mark.parametrize(
    "line",
    ["no kernel image", "CUDA error 209 (cudaErrorNoKernelImageForDevice): no kernel image is available for execution"],
)
def test_lines_are_counted_and_not_what_is_in_them(line: str, lines: int) -> None:
    (found,) = recognise(f"{line}\n" * lines)
    assert found.lines == lines or (found.more and 48 <= found.lines < lines)
    assert found.more == (found.lines < lines)


# -- the tables


def test_every_test_belongs_to_a_cause_and_every_cause_to_a_message() -> None:
    known = tables()
    assert set(TESTS_OF_CAUSES) <= set(known.causes)
    assert {code for message in known.messages for code in message.causes} == set(known.causes)
    assert len({message.code for message in known.messages}) == len(known.messages)
    for cause in known.causes.values():
        assert cause.next
        assert cause.way_out


def test_what_the_facts_leave_open_or_exclude() -> None:
    assert states(only("invalid value for --gpu-architecture (-arch)"))["compiler-dropped-target"] is State.OPEN
    cold = System(toolkits=(Toolkit(ToolkitKind.NVCC, "/x/nvcc"),), devices=GOOD.devices)
    assert states(only("Unsupported gpu architecture 'compute_70'", cold))["compiler-dropped-target"] is State.OPEN
    assert states(only(SM75, cold))["compiler-too-old"] is State.OPEN
    floor = "CUDA 12.4 or higher is required for compute capability 8.9"
    assert only(floor, nvcc("12.1")).answer == "compiler-too-old"
    odd = "Found GPU0 X which is of cuda capability 99.9"
    assert only(odd).answer is None
    hopper = load(DATA / "systems/h100x2-r535.json")
    assert states(only(SM75, hopper))["compiler-too-old"] is State.EXCLUDED
    high = System(devices=GOOD.devices, environment=(("FLASHINFER_CUDA_ARCH_LIST", "7.0 12.0f"),))
    assert states(only(SM75, high))["list-below-floor"] is State.EXCLUDED
    ordinal = only("invalid device ordinal", GOOD)
    assert ordinal.causes[0].evidence[0] == "1 visible; CUDA_VISIBLE_DEVICES is not set"
