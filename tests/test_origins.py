"""Where facts come from: the log first, a record, by hand, and this machine only where it may be the one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from plain import make_plain
from schemas import fits_schema

from capably.arch import ComputeCapability
from capably.cli import main
from capably.facts import Device, Driver, System
from capably.logs import FactOrigin, Given, State, explain
from capably.logs.stated import read_log
from capably.probe import load
from capably.version import CudaVersion, DriverRelease

SYSTEMS = Path(__file__).parent / "data/systems"
SM75 = "RuntimeError: FlashInfer requires sm75+"
KERNEL = "CUDA error: no kernel image is available for execution on the device"
NGC = "5.2 6.0 6.1 7.0 7.2 7.5 8.0 8.6 8.7 9.0+PTX"
Captured = pytest.CaptureFixture[str]

LAPTOP = System(
    devices=(Device(ComputeCapability(6, 1), "NVIDIA GeForce GTX 1060 6GB"),),
    driver=Driver(DriverRelease(535, 183, 1), CudaVersion(12, 2)),
)
V100 = System(devices=(Device(ComputeCapability(7, 0), "Tesla V100-SXM2-32GB"),))
H100 = System(devices=(Device(ComputeCapability(9, 0), "NVIDIA H100 80GB HBM3"),))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_plain(monkeypatch)
    monkeypatch.delenv("CAPABLY_SYSTEM")


def answered(capsys: Captured, monkeypatch: pytest.MonkeyPatch, here: System, *arguments: str) -> tuple[str, Any]:
    """The text and the JSON of an answer on the machine *here*."""
    monkeypatch.setattr("capably.probe.system", lambda *_: here)
    assert main(["explain", *arguments]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert main(["explain", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    fits_schema(document, "explain")
    (found,) = document["explanations"]
    assert document["facts_from"] == found["facts_from"]
    return text, found


# -- the original report in six situations


def test_the_original_report_without_a_gpu_and_without_facts(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    text, found = answered(capsys, monkeypatch, load(SYSTEMS / "none.json"), SM75)
    assert (found["answer"], found["eliminated"], found["facts_from"], found["here"]) == (None, False, {}, None)
    assert [(one["code"], one["state"]) for one in found["causes"]] == [
        ("list-below-floor", "open"),
        ("gpu-below-floor", "open"),
    ]
    assert "usually: A list names targets below the floor, because NGC containers" in text
    assert "facts: none. Nothing shows that the message comes from this machine" in text
    assert "excluded" not in text
    assert "no GPU" not in text


def test_the_original_report_with_the_log_of_a_server(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "server.log"
    log.write_text(f"GPU 0: NVIDIA H100 80GB HBM3\nTORCH_CUDA_ARCH_LIST={NGC}\n{SM75}\n", encoding="utf-8")
    for here in (load(SYSTEMS / "none.json"), LAPTOP, H100):
        text, found = answered(capsys, monkeypatch, here, "--log", str(log))
        assert found["answer"] == "list-below-floor"
        assert found["facts_from"]["TORCH_CUDA_ARCH_LIST"] == "log"
        assert found["facts_from"]["gpu"] in {"log", "this-machine" if here is H100 else "log"}
        assert "TORCH_CUDA_ARCH_LIST" in text.partition("facts: ")[2].partition(" from the log")[0]
        assert "GTX 1060" not in text


def test_the_original_report_on_a_laptop_with_an_old_gpu(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    text, found = answered(capsys, monkeypatch, LAPTOP, SM75)
    assert (found["answer"], found["facts_from"], found["here"]) == (None, {}, "gpu-below-floor")
    assert {one["state"] for one in found["causes"]} == {"open"}
    assert "if the message comes from this machine: The GPU is older than the program allows" in text
    assert "Add --here to say so." in text


def test_the_original_report_that_is_from_here(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    text, found = answered(capsys, monkeypatch, LAPTOP, SM75, "--here")
    assert (found["answer"], found["facts_from"], found["here"]) == ("gpu-below-floor", {"gpu": "this-machine"}, None)
    assert "facts: GPU from this machine." in text
    # With neither a list nor an old GPU here, it can only have been a list that the program set.
    text, found = answered(capsys, monkeypatch, H100, SM75, "--here")
    assert (found["answer"], found["eliminated"]) == ("list-below-floor", True)


def test_the_original_report_on_a_v100_with_the_list_of_ngc(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = System(devices=V100.devices, environment=(("TORCH_CUDA_ARCH_LIST", NGC),))
    _, found = answered(capsys, monkeypatch, listed, SM75, "--here")
    assert found["answer"] == "gpu-below-floor"  # another list would not help
    assert [(one["code"], one["state"]) for one in found["causes"]] == [
        ("gpu-below-floor", "holds"),
        ("list-below-floor", "holds"),
    ]
    _, given = answered(capsys, monkeypatch, LAPTOP, f"TORCH_CUDA_ARCH_LIST='{NGC}' {SM75}", "--gpu", "V100")
    assert (given["answer"], given["facts_from"]) == (
        "gpu-below-floor",
        {"TORCH_CUDA_ARCH_LIST": "log", "gpu": "given"},
    )


def test_the_original_report_without_a_list(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = answered(capsys, monkeypatch, LAPTOP, SM75, "--gpu", "V100")
    assert (found["answer"], found["facts_from"]) == ("gpu-below-floor", {"gpu": "given"})
    _, found = answered(capsys, monkeypatch, LAPTOP, SM75, "--gpu", "H100")
    assert found["answer"] == "list-below-floor"  # this GPU is accepted without a list
    assert [one["state"] for one in found["causes"]] == ["likely", "excluded"]
    (mixed,) = explain(SM75, System(devices=(*V100.devices, *H100.devices)))
    assert mixed.answer == "gpu-below-floor"  # one that is too old is enough


# -- whose facts count


def test_a_traceback_of_files_that_are_here_comes_from_here(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = tmp_path / "run.py"
    module.touch()
    frame = 'File "{}", line 7, in f\n'
    _, found = answered(capsys, monkeypatch, LAPTOP, frame.format(module) + SM75)
    assert (found["answer"], found["facts_from"]) == ("gpu-below-floor", {"gpu": "this-machine"})
    # A variable that is not set in this shell may have been in that of the program.
    assert [one["state"] for one in found["causes"]] == ["holds", "open"]
    _, found = answered(capsys, monkeypatch, LAPTOP, frame.format(tmp_path / "elsewhere.py") + SM75)
    assert (found["answer"], found["facts_from"]) == (None, {})
    both = frame.format(module) + "GPU 0: NVIDIA H100 80GB HBM3\n" + SM75
    _, found = answered(capsys, monkeypatch, LAPTOP, both)
    assert found["facts_from"] == {"gpu": "log"}  # the log contradicts it
    assert "not here" in found["note"]


@pytest.mark.parametrize(
    "said",
    [
        "GPU 0: NVIDIA GeForce GTX 1060 6GB\nNVIDIA driver version: 570.26",
        "GPU 0: NVIDIA GeForce GTX 1060 6GB\ntorch==2.9.0+cu130",
        "GPU 0: NVIDIA GeForce RTX 5090",
    ],
)
def test_what_the_log_contradicts_is_left_out(said: str) -> None:
    here = System(devices=LAPTOP.devices, driver=LAPTOP.driver, distributions=(("torch", "2.7.1+cu126"),))
    (found,) = explain(f"{said}\n{KERNEL}", here, origin=FactOrigin.THIS_MACHINE, present=frozenset())
    assert FactOrigin.THIS_MACHINE not in dict(found.facts_from).values()
    assert "the facts of this machine are left out" in found.note
    (same,) = explain(
        f"GPU 0: NVIDIA GeForce GTX 1060 6GB\n{KERNEL}", here, origin=FactOrigin.THIS_MACHINE, present=frozenset()
    )
    assert same.note == ""  # its GPU is here, by name
    assert FactOrigin.THIS_MACHINE in dict(same.facts_from).values()


def test_nothing_foreign_excludes_all_other_causes() -> None:
    for message in (SM75, "RuntimeError: FlashInfer requires GPUs with sm75 or higher", "No CUDA GPUs are available"):
        for here in (load(SYSTEMS / "none.json"), LAPTOP, V100, H100):
            (found,) = explain(message, here, origin=FactOrigin.THIS_MACHINE, present=frozenset())
            assert found.answer is None
            assert not found.eliminated
            assert {one.state for one in found.causes} == {State.OPEN}


def test_facts_by_hand_are_used_and_named(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("--gpu", "V100", "--package", "Torch==2.11.0+cu128")
    text, found = answered(capsys, monkeypatch, LAPTOP, "209", *given)
    assert (found["answer"], found["facts_from"]) == ("build-lacks-device", {"gpu": "given", "torch": "given"})
    assert "facts: GPU, torch given by you." in text
    _, found = answered(capsys, monkeypatch, LAPTOP, "209", "--gpu", "V100", "--package", "torch==2.10.0+cu128")
    assert found["answer"] is None
    assert (
        found["causes"][0]["next"] == "capably check torch==2.10.0+cu128 --gpu V100"
        or found["causes"][0]["code"] == "error-of-an-earlier-call"
    )
    _, found = answered(
        capsys, monkeypatch, LAPTOP, "35", "--driver", "550.54.14", "--package", "cuda-bindings==13.0.3"
    )
    assert (found["answer"], found["facts_from"]) == (
        "runtime-newer-than-driver",
        {"cuda-bindings": "given", "driver": "given"},
    )
    for wrong in (("--package", "torch"), ("--package", "torch>=2"), ("--gpu", "Radeon"), ("--driver", "x")):
        assert main(["explain", "209", *wrong]) == 2
    assert main(["explain", "209", "--here", "--system", str(SYSTEMS / "none.json")]) == 2


def test_the_command_names_the_package_and_the_gpu(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    log = "[E:onnxruntime:, x.cc:572] CUDA error cudaErrorNoKernelImageForDevice: GPU 0: NVIDIA GeForce RTX 5090"
    text, found = answered(capsys, monkeypatch, LAPTOP, f"onnxruntime-gpu 1.23.0\n{log}")
    assert found["causes"][0]["next"] == "capably check onnxruntime-gpu==1.23.0 --gpu 'RTX 5090'"
    assert "tell apart: capably check onnxruntime-gpu==1.23.0 --gpu 'RTX 5090'" in text


# -- the log as a record


@pytest.mark.parametrize(
    ("line", "capability"),
    [
        ("Found GPU0 NVIDIA GeForce GTX 1060 6GB which is of compute capability (CC) 6.1.", "6.1"),
        ("NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with", "12.0"),
        ("  Device 0: NVIDIA GeForce RTX 3090, compute capability 8.6, VMM: yes", "8.6"),
        ("name: NVIDIA GeForce RTX 5080, pci bus id: 0000:01:00.0, compute capability: 12.0", "12.0"),
        ("GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-5d3f)", "8.0"),
        ("|   0  NVIDIA GeForce RTX 5090        On  |   00000000:01:00.0 Off |", "12.0"),
        ("Your Tesla T4 GPU has compute capability 7.5.", "7.5"),
        ("but your GPU has capability (12, 0) (too new)", "12.0"),
        ("torch.cuda.get_device_capability(0) says (8, 9)", "8.9"),
        ("server with 8x H100, Ubuntu", "9.0"),
        ("FlashInfer fails on my Tesla V100", "7.0"),
        ("CUDA GPU is too old. Compute Capability detected: 3.5", "3.5"),
    ],
)
def test_a_gpu_that_a_log_shows_is_read(line: str, capability: str) -> None:
    assert [str(device.capability) for device in read_log(line.encode()).devices] == [capability]


@pytest.mark.parametrize(
    "line",
    [
        "FlashAttention only supports Ampere GPUs or newer",
        "This kernel requires an NVIDIA H100 or newer",
        "only NVIDIA A100 and H100 GPUs are supported",
        "requires device with capability <= (9, 0)",
        "Install the NVIDIA driver for your GPU",
        "GPU-enabled build on T4 tier instances is recommended",
        "compute capability of at least 8.0 is needed",
        "conv2d A100 B200 layer, V1 engine, L4 cache",
    ],
)
def test_a_gpu_that_is_only_spoken_of_is_none(line: str) -> None:
    assert read_log(line.encode()).devices == ()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('export TORCH_CUDA_ARCH_LIST="7.0;8.0+PTX"', "7.0;8.0+PTX"),
        (f"TORCH_CUDA_ARCH_LIST={NGC}", NGC),
        ("TORCH_CUDA_ARCH_LIST: 7.0 7.5, on systems that have 9.0 GPUs", "7.0 7.5"),
        ("os.environ['TORCH_CUDA_ARCH_LIST'] = '8.0'", "8.0"),
        ("please set TORCH_CUDA_ARCH_LIST=8.0", None),
        ("TORCH_CUDA_ARCH_LIST is not set", None),
        ("TORCH_CUDA_ARCH_LIST=", None),
    ],
)
def test_a_variable_is_read_with_its_value(line: str, value: str | None) -> None:
    assert dict(read_log(line.encode()).environment).get("TORCH_CUDA_ARCH_LIST") == value


def test_drivers_versions_and_compilers_are_read() -> None:
    stated = read_log(
        b"| NVIDIA-SMI 550.54.15   Driver Version: 550.54.15   CUDA Version: 12.4 |\n"
        b"PyTorch version: 2.9.1+cu128\nvllm 0.8.4\npip: foo-bar==1.2\n"
        b"vllm 0.9 requires torch==2.0.0, which is incompatible\n"
        b"/usr/local/cuda-12.4/bin/nvcc -gencode\nDriver 470.10 or newer is required\n"
    )
    assert stated.driver == Driver(DriverRelease(550, 54, 15), CudaVersion(12, 4))
    assert dict(stated.distributions) == {"torch": "2.9.1+cu128", "vllm": "0.8.4", "foo-bar": "1.2"}
    assert [(one.path, str(one.cuda)) for one in stated.toolkits] == [("/usr/local/cuda-12.4/bin/nvcc", "12.4")]
    assert read_log(b"too old (found version 12040)").driver == Driver(None, CudaVersion(12, 4))


@pytest.mark.parametrize(
    "text",
    [
        "NVIDIA RTX " * 300_000,
        "TORCH_CUDA_ARCH_LIST=" * 200_000,
        "TORCH_CUDA_ARCH_LIST=7.0" + ";7.0" * 900_000,
        "torch==1." * 400_000,
        "GPU 0: " + "x" * 4_000_000,
        "Found GPU0 " + "a " * 1_900_000,
        'File "/' + "a/" * 1_900_000,
        "driver version: " * 250_000,
        "capability (1, " * 250_000,
        "CUDA error: " * 300_000,
        "cudaError" * 400_000,
        "nvcc /cuda-1" * 300_000,
    ],
    ids=range(12),
)
def test_a_hostile_log_is_read_as_a_record_in_bounded_time(text: str) -> None:
    start = time.process_time()
    explain(f"{text}\n{KERNEL}", H100)
    assert time.process_time() - start < 5


def test_given_facts_of_a_program() -> None:
    given = Given(devices=V100.devices, distributions=(("torch", "2.11.0+cu128"),))
    (found,) = explain(KERNEL, given=given)
    assert found.answer == "build-lacks-device"
    assert dict(found.facts_from) == {"gpu": FactOrigin.GIVEN, "torch": FactOrigin.GIVEN}
    (kept,) = explain(f"[E:onnxruntime:, x] {KERNEL}", given=given)
    assert kept.answer is None  # a program without torch does not fail by what torch lacks
