"""What tools that compile on the machine are told: each GPU gets code that runs on it, or a reason why not."""

from __future__ import annotations

import json

import pytest

from capably.arch import ComputeCapability
from capably.archlist import read
from capably.cli import main
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import UnknownNameError
from capably.facts import Device, Driver, Fatbin, Toolkit, ToolkitKind
from capably.jit_targets import choose_jit_targets
from capably.plan import compiled
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

EVERY = tuple(Device(capability) for capability in sorted({p.capability for p in tables().products}))


def devices(*capabilities: str) -> list[Device]:
    return [Device(ComputeCapability.parse(text), ordinal=place) for place, text in enumerate(capabilities)]


def nvcc(version: str | None) -> Toolkit | None:
    return Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(version)) if version else None


@pytest.mark.parametrize("toolkit", ["11.5", "11.8", "12.4", "12.8", "12.9", "13.0", "13.5"])
@pytest.mark.parametrize("version", ["0.2.5", "0.3.1", "0.6.5", "0.6.10", "0.7.2.post1", None])
@pytest.mark.parametrize("tool", ["flashinfer", "torch"])
def test_each_gpu_is_served_by_what_the_tool_reads_or_is_named_with_a_reason(
    tool: str, version: str | None, toolkit: str
) -> None:
    versions = {"torch": "2.13.0", **({"flashinfer-python": version} if version else {})}
    chosen = choose_jit_targets(tool, EVERY, toolkit=nvcc(toolkit), versions=versions)
    assert sorted((*chosen.served, *(one.device for one in chosen.unusable)), key=EVERY.index) == list(EVERY)
    assert all(one.reasons for one in chosen.unusable)
    ((variable, text),) = chosen.variables
    own = variable == "FLASHINFER_CUDA_ARCH_LIST"
    cuda = CudaVersion.parse(toolkit)
    reading = read(
        text,
        "flashinfer" if own else "torch-python",
        version if own else versions["torch"],
        toolkit=cuda,
    )
    assert reading.error is None
    assert set(reading.targets or ()) == set(chosen.targets)
    code = Fatbin(tuple(compiled(target, cuda) for target in chosen.targets))
    for device in chosen.served:
        assert judge(code, device, tables().newest_driver(device.capability)).outcome in (
            Outcome.RUNS,
            Outcome.COMPILES,
        )


@pytest.mark.parametrize(
    ("tool", "versions", "toolkit", "gpus", "variables", "unusable"),
    [
        # The report: whatever torch was built for, the list names what is here.
        ("flashinfer", "0.2.5", "12.4", "9.0", {"TORCH_CUDA_ARCH_LIST": "9.0"}, ""),
        ("flashinfer", "0.2.5", "12.4", "7.0 9.0", {"TORCH_CUDA_ARCH_LIST": "9.0"}, "7.0"),
        ("flashinfer", "0.7.2.post1", "12.9", "7.0 9.0", {"FLASHINFER_CUDA_ARCH_LIST": "9.0a"}, "7.0"),
        # FlashInfer 0.4.0 to 0.6.6 take a list as it is written, so that the suffix has to be in it.
        ("flashinfer", "0.5.0", "12.9", "9.0 12.0", {"FLASHINFER_CUDA_ARCH_LIST": "9.0a 12.0a"}, ""),
        # With nvcc 12.8 it refuses 12.0 before 0.7.1, and builds 120a since; one GPU does not hide the others.
        ("flashinfer", "0.6.10", "12.8", "12.0 8.9", {"FLASHINFER_CUDA_ARCH_LIST": "8.9"}, "12.0"),
        ("flashinfer", "0.7.2.post1", "12.8", "12.0 8.9", {"FLASHINFER_CUDA_ARCH_LIST": "8.9 12.0a"}, ""),
        ("flashinfer", "0.7.2.post1", None, "12.0", {"FLASHINFER_CUDA_ARCH_LIST": "12.0f"}, ""),
        ("flashinfer", "0.7.2.post1", "11.5", "9.0", {}, "9.0"),
        ("flashinfer", "0.7.2.post1", "12.9", "7.0", {}, "7.0"),
        # Both of two cards of one kind, each by its own number.
        ("flashinfer", "0.7.2.post1", "12.9", "8.6 8.9 8.6", {"FLASHINFER_CUDA_ARCH_LIST": "8.6 8.9"}, ""),
        ("torch", None, "12.8", "8.6 8.9", {"TORCH_CUDA_ARCH_LIST": "8.6;8.9"}, ""),
        # nvcc 12.8 has no sm_103, and sm_100 runs there; nvcc 12.4 has nothing for 12.0 but PTX.
        ("torch", None, "12.8", "10.3", {"TORCH_CUDA_ARCH_LIST": "10.0"}, ""),
        ("torch", None, "12.4", "12.0", {"TORCH_CUDA_ARCH_LIST": "9.0+PTX"}, ""),
        ("torch", None, "13.0", "7.0 9.0", {"TORCH_CUDA_ARCH_LIST": "9.0"}, "7.0"),
    ],
)
def test_known_machines(  # noqa: PLR0917 - one row of the table
    tool: str, versions: str | None, toolkit: str | None, gpus: str, variables: dict[str, str], unusable: str
) -> None:
    installed = {"torch": "2.13.0", **({"flashinfer-python": versions} if versions else {})}
    chosen = choose_jit_targets(tool, devices(*gpus.split()), toolkit=nvcc(toolkit), versions=installed)
    assert dict(chosen.variables) == variables
    assert [str(one.device.capability) for one in chosen.unusable] == unusable.split()


def test_a_gpu_that_is_left_out_has_a_way_out() -> None:
    ((old,), (toolkit,), (dropped,)) = (
        choose_jit_targets(
            "flashinfer", devices(gpu), toolkit=nvcc(cuda), versions={"flashinfer-python": "0.7.2"}
        ).unusable
        for gpu, cuda in (("7.0", "12.9"), ("10.3", "12.8"), ("12.1", "12.8"))
    )
    assert old.reasons == ("`>=7.5` does not hold: compute capability 7.0 is lower",)
    assert toolkit.way_out == "Use CUDA 12.9 or newer."
    assert "12.9 or newer" in dropped.way_out
    (suffixed,), (newer,) = (
        choose_jit_targets(
            "flashinfer", devices("12.0"), toolkit=nvcc(cuda), versions={"flashinfer-python": "0.6.10"}
        ).unusable
        for cuda in ("12.8", "12.6")  # the first that knows sm_120a, by NVIDIA's release notes, and the one before
    )
    assert suffixed.way_out == "Use nvcc 12.9 or newer, or write the suffix yourself: `12.0a`"
    assert newer.way_out == "Use nvcc 12.9 or newer"
    (gone,) = choose_jit_targets("torch", devices("7.0"), toolkit=nvcc("13.0"), versions={"torch": "2.13.0"}).unusable
    assert gone.way_out == "Use CUDA 10.0 to 12.9."


def test_code_that_the_driver_would_not_start_is_no_service() -> None:
    old = Driver(release=DriverRelease.parse("535.54.03"))
    chosen = choose_jit_targets("torch", devices("9.0"), driver=old, toolkit=nvcc("13.0"), versions={"torch": "2.13.0"})
    assert not chosen.variables
    assert "535.54.03" in chosen.unusable[0].reasons[0]


def test_what_is_not_known_is_said() -> None:
    chosen = choose_jit_targets("flashinfer", devices("9.0"))
    assert "flashinfer-python is not installed here" in chosen.notes[0]
    assert "no nvcc" in chosen.notes[1]
    assert choose_jit_targets("torch", devices("9.0"), toolkit=nvcc("14.9"), versions={"torch": "2.13.0"}).variables
    (unsaid,) = choose_jit_targets("torch", devices("10.7"), versions={"torch": "2.13.0"}).unusable
    assert "from torch 2.14" in unsaid.reasons[0]
    with pytest.raises(UnknownNameError, match="flashinfer"):
        choose_jit_targets("flashinfr", devices("9.0"))


@pytest.mark.parametrize("toolkit", ["11.5", "12.8", "13.0"])
@pytest.mark.parametrize("version", ["0.2.5", "0.5.0", "0.6.10", "0.7.2.post1"])
def test_the_command_line_says_the_same(version: str, toolkit: str, capsys: pytest.CaptureFixture[str]) -> None:
    gpus = ["7.0", "8.6", "8.9", "9.0", "10.0", "10.3", "12.0", "12.1"]
    chosen = choose_jit_targets(
        "flashinfer", devices(*gpus), toolkit=nvcc(toolkit), versions={"flashinfer-python": version}
    )
    arguments = ["plan", "--for", f"flashinfer=={version}", "--gpu", ",".join(gpus), "--toolkit", toolkit, "--shell"]
    assert main(arguments) == 1  # 7.0 is left out
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    ((variable, text),) = chosen.variables
    assert line.replace("'", "") == f"export {variable}={text}"
    assert main(arguments[:-1]) == 1
    # A plan is for several: by CUDA 11.5, which lacks sm_89, an 8.9 is served by what an 8.6 beside it gets.
    left = [one for one in chosen.unusable if (toolkit, str(one.device.capability)) != ("11.5", "8.9")]
    for answer in (printed.err, capsys.readouterr().out):
        words = " ".join(answer.split())
        assert words.count(" why ") == len(left)
        for one in left:
            assert f"why {'; '.join(one.reasons)} do {one.way_out}" in words
    assert main([*arguments[:-1], "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["gpus"]
    refused = {one["capability"]: one["refusal"] for one in told if one["refusal"] is not None}
    assert set(refused) == {str(one.device.capability) for one in left[1:]}  # 7.0 does not meet what is needed
    for one in left[1:]:
        assert refused[str(one.device.capability)] == {"reasons": list(one.reasons), "way_out": one.way_out}
