"""Public reports: what each message means, by what is known of its machine, and what the thread established."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capably.logs import Explanation, State, explain
from capably.probe import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.facts import System

DATA = Path(__file__).parent / "data"
REPORTS = [json.loads(line) for line in (DATA / "reports.jsonl").read_text(encoding="utf-8").splitlines()]

# The cause that the thread, or reasoning, established (`expected` in words), as the first explanation has it. Where the
# facts do not decide, it has to be the first or the second that is named.
RIGHT = {
    "llm-d/llm-d#706": "driver-halves-differ",
    "gpustack/gpustack#4678": "driver-halves-differ",
    "gpustack/gpustack#1254-802": "fabric-not-up",
    "wheelos/apollo-lite#80": "compat-library-not-supported",
    "meizhong986/WhisperJAV#333": "build-lacks-device",
    "NVIDIA/nvbandwidth#40": "ptx-newer-than-the-driver",
    "tinygrad/tinygrad#12871": "ptx-newer-than-the-driver",
    "xsuite/xsuite#684": "runtime-compiler-too-old",
    "hvoss-tech/AutoForge#59": "torch-lacks-device",
    "sasha0552/pascal-pkgs-ci#37": "build-lacks-device",
    "PaddlePaddle/Paddle#54713": "build-lacks-device",
    "tensorflow/tensorflow#99592": "build-lacks-device",
    "microsoft/onnxruntime#22212": "ptx-newer-than-the-driver",
    "pykeio/ort#589": "build-lacks-device",
    "pytorch/pytorch#164402": "error-of-an-earlier-call",
    "NVIDIA/TransformerEngine#3217": "build-lacks-device",
    "NVIDIA/cutlass#2866": "runtime-newer-than-driver",
    "InternLM/lmdeploy#3844": "build-lacks-device",
    "InternLM/lmdeploy#4408": "kernel-not-written",
    "catboost/catboost#2967": "call-not-permitted",  # unsettled there: no cause may be said to hold
    "ggml-org/llama.cpp#15593": "program-check-wrong",
    "nextcloud/llm2#52": "built-for-default-target",
    "komikndr/raylight#68": "gpu-lacks-feature",
    "cswry/VOSR#5": "gpu-outside-requirement",
    "langchain-ai/local-deep-researcher#34": "vgpu-not-set-up",
    "sgl-project/sglang#11395": "runtime-newer-than-driver",
    "NVIDIA-AI-IOT/Lidar_AI_Solution#321": "build-lacks-device",
    "vllm-project/vllm#31740": "module-for-other-gpus",
    "ikawrakow/ik_llama.cpp#1712": "native-without-gpu",
    "JuliaGPU/CUDA.jl#2896": "program-knows-older-drivers",
    "llm-d/llm-d#1402": "library-not-there",
    "EricLBuehler/mistral.rs#867": "ptx-newer-than-the-driver",
    "microsoft/onnxruntime#26221": "build-lacks-device",
    "NVIDIA/numba-cuda#264": "runtime-compiler-too-old",
    "SYSTRAN/faster-whisper#806": "build-lacks-device",
}
# What the facts decide: these are answered, and not only ranked.
DECIDED = {
    "meizhong986/WhisperJAV#333",
    "xsuite/xsuite#684",
    "hvoss-tech/AutoForge#59",
    "PaddlePaddle/Paddle#54713",
    "NVIDIA/cutlass#2866",
    "ggml-org/llama.cpp#15593",
    "nextcloud/llm2#52",
    "komikndr/raylight#68",
    "sgl-project/sglang#11395",
    "vllm-project/vllm#31740",
    "JuliaGPU/CUDA.jl#2896",
    "SYSTRAN/faster-whisper#806",
}
UNSETTLED = {"catboost/catboost#2967", "sasha0552/pascal-pkgs-ci#37"}


def machine(report: dict[str, Any], folder: Path) -> System | None:
    if "system" not in report:
        return None
    (folder / "system.json").write_text(json.dumps(report["system"]), encoding="utf-8")
    return load(folder / "system.json")


def told(report: dict[str, Any], system: System | None) -> tuple[Explanation, ...]:
    return explain(report["message"], system)


def ids(report: dict[str, Any]) -> str:
    return str(report["id"])


def test_every_report_has_a_cause() -> None:
    assert [report["id"] for report in REPORTS] == list(RIGHT)
    assert set(RIGHT) >= DECIDED | UNSETTLED


@pytest.mark.parametrize("report", REPORTS, ids=ids)
def test_a_report_gets_its_cause_or_a_ranking_with_it_among_the_first_two(
    report: dict[str, Any], tmp_path: Path
) -> None:
    found = told(report, machine(report, tmp_path))
    assert found, "not recognised"
    first = found[0]
    right = RIGHT[report["id"]]
    assert first.answer in (None, right)
    if report["id"] in DECIDED:
        assert first.answer == right
    if report["id"] in UNSETTLED:
        assert first.answer is None
    ranked = [one.cause.code for one in first.causes if one.state is not State.EXCLUDED]
    assert right in ranked[:2]
    for one in first.causes:
        assert one.command
    assert first.answer is not None or first.because or len(ranked) > 1
    # What else is in the log contradicts none of it.
    assert not [one for one in found[1:] if one.answer is not None and _state(one, right) is State.EXCLUDED]


def _state(one: Explanation, cause: str) -> State | None:
    return next((judged.state for judged in one.causes if judged.cause.code == cause), None)


def without_one(system: System) -> Iterator[tuple[str, System]]:
    """*system* without one of its facts, each in turn."""
    for index, device in enumerate(system.devices):
        yield f"device {index}", replace(system, devices=tuple(one for one in system.devices if one is not device))
    for package in system.distributions:
        yield package[0], replace(system, distributions=tuple(one for one in system.distributions if one != package))
    for toolkit in system.toolkits:
        yield toolkit.path, replace(system, toolkits=tuple(one for one in system.toolkits if one is not toolkit))
    for variable in system.environment:
        yield variable[0], replace(system, environment=tuple(one for one in system.environment if one != variable))
    yield "driver", replace(system, driver=None)
    yield "devices", replace(system, devices=(), fleet=())
    yield "distributions", replace(system, distributions=())
    yield "machine", replace(system, machine="")


@pytest.mark.parametrize("report", [one for one in REPORTS if "system" in one], ids=ids)
def test_a_fact_that_is_taken_away_may_weaken_an_answer_and_never_reverses_it(
    report: dict[str, Any], tmp_path: Path
) -> None:
    system = machine(report, tmp_path)
    assert system is not None
    whole = {one.found.message.code: one for one in told(report, system)}
    less = [("everything", None), *without_one(system)]
    for what, fewer in less:
        for one in told(report, fewer):
            before = whole[one.found.message.code]
            assert one.answer in (None, before.answer), what
            for judged in one.causes:
                pair = {judged.state, _state(before, judged.cause.code)}
                assert pair != {State.HOLDS, State.EXCLUDED}, f"{what}: {judged.cause.code}"


# Texts as the programs print them, which no report here has: the message, and the cause that comes first, held or not.
KINDS = [
    ("The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. Current capability: 75.",
     "program-refuses", "gpu-outside-requirement", True),
    ("RuntimeError: SGLang only supports sm75 and above.", "program-refuses", "gpu-outside-requirement", False),
    ("triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 147456, Hardware limit: 101376",
     "triton-resources", "gpu-lacks-shared-memory", True),
    ("Triton only supports devices of CUDA Capability >= 7.0, but your device is of CUDA capability 6.0",
     "triton-too-old", "gpu-lacks-feature", True),
    ("Runtime compute cap 75 is not compatible with compile time compute cap 86",
     "compute-cap-mismatch", "build-lacks-device", True),
    ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4, please update your driver",
     "container-requirement", "runtime-newer-than-driver", True),
    ("Failed to initialize NVML: Unknown Error", "nvml-unknown", "container-without-gpus", False),
    ("RuntimeError: Library cublas64_12.dll is not found or cannot be loaded",
     "missing-library", "library-not-there", True),
    ("Could not load library libcudnn_ops_infer.so.8. Error: libcudnn_ops_infer.so.8: cannot open",
     "missing-library", "library-not-there", True),
    ("'sm_121' is not a recognized processor for this target (ignoring processor)",
     "nvcc-target", "compiler-too-old", False),
    ("NvvmError: -arch=compute_120 is an unsupported option", "nvrtc-target", "compiler-too-old", False),
    ("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling", "library-status", "combination-not-supported", False),
    ("CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", "library-status", "memory-used-up", False),
    ("cuDNN version incompatibility: PyTorch was compiled against (9, 1, 0) but found runtime version (8, 9, 2).",
     "cudnn-version", "libraries-of-different-releases", True),
    ("#error -- unsupported GNU version! gcc versions later than 12 are not supported!",
     "host-compiler", "host-compiler-not-accepted", True),
    ("The engine plan file is generated on an incompatible device, expecting compute 8.6 got compute 7.5",
     "engine-incompatible", "engine-of-another-gpu", True),
    ("Target GPU SM 61 is not supported by this TensorRT release", "library-drops-gpu", "library-without-this-gpu", True),
    ("CUDA GPU is too old. Compute Capability detected: 3.5", "library-drops-gpu", "library-without-this-gpu", True),
    ("[TensorRT-LLM][ERROR] Assertion failed: FMHA kernels are not found", "kernel-not-found", "kernel-not-written",
     False),
    ("CMake Error: Failed to detect a default CUDA architecture.", "native-without-gpu", "native-without-gpu", True),
    ("ggml was not compiled with any CUDA arch <= 610", "ggml-arch-check", "build-lacks-device", False),
    ("has no device code compatible with CUDA arch 610. ggml-cuda.cu was compiled for: 750,800",
     "ggml-no-device-code", "build-lacks-device", True),
    ("CUDA error 802: system not yet initialized", "system-not-ready", "fabric-not-up", False),
    ("CUDA error: operation not supported", "not-supported", "not-supported-here", False),
    ("cudaErrorNotPermitted: operation not permitted", "not-permitted", "call-not-permitted", False),
    ("This version of CUDA.jl only supports NVIDIA drivers for CUDA 12.x or 13.x (yours is for CUDA 11.4.0)",
     "driver-too-new", "runtime-newer-than-driver", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "cause", "held"), KINDS, ids=range(len(KINDS)))
def test_the_kinds_of_messages_that_programs_print(text: str, message: str, cause: str, held: bool) -> None:
    first = explain(text)[0]
    assert first.found.message.code == message
    assert next(one.cause.code for one in first.causes if one.state is not State.EXCLUDED) == cause
    assert first.answer == (cause if held else None)


@pytest.mark.parametrize("report", REPORTS, ids=ids)
def test_a_line_that_is_taken_from_a_report_reverses_nothing(report: dict[str, Any], tmp_path: Path) -> None:
    system = machine(report, tmp_path)
    whole = {one.found.message.code: one.answer for one in told(report, system)}
    lines = report["message"].splitlines()
    for index in range(len(lines)):
        for one in told({"message": "\n".join(lines[:index] + lines[index + 1 :])}, system):
            answer = whole.get(one.found.message.code, one.answer)
            assert one.answer in (None, answer), index
