"""What maintainers pass, and what is remembered of it: devices as torch has them, one warning, versions of what is loaded."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fakes import COMPILER, H100, RTX3090, RTX4090, Host, needs_compiler
from plain import SYSTEMS

import capably
from capably.arch import ComputeCapability
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import DeviceTooOldError, GpuListError, UndecidedError, UnsupportedDeviceError
from capably.facts import Device, Driver, DriverState, Toolkit, ToolkitKind, Visibility
from capably.gate import Policy, decide
from capably.gate.devices import number_of
from capably.probe.fleet import Look
from capably.requirement import Requirement
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from pathlib import Path

V100 = "gpu cc=7.0 uuid=GPU-70707070-aaaa-0000-0000-000000000001 pci=0000:1a:00.0 name=Tesla_V100 memory=32510 sm=80 speed=5"
# A module that looks like torch, and says which device is current.
TORCH = """
import sys, types
class device:
    def __init__(self, type, index=None): self.type, self.index = type, index
state = types.SimpleNamespace(ready=False, current=0)
def current_device():
    assert state.ready, "torch would initialise CUDA here"
    return state.current
sys.modules["torch"] = torch = types.SimpleNamespace(
    cuda=types.SimpleNamespace(is_initialized=lambda: state.ready, current_device=current_device), device=device,
    version=types.SimpleNamespace(cuda="12.8"))
"""


def mixed(folder: Path, **more: Any) -> Host:
    """A V100 as number 0, an H100 as number 1."""
    return Host(folder, (V100, H100), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, **more)


@needs_compiler
def test_devices_are_taken_as_frameworks_pass_them(tmp_path: Path) -> None:
    code = f"""{TORCH}
import capably, warnings
warnings.simplefilter("error")
class Index:
    def __index__(self): return 1
first, second = capably.devices()
ways = [1, "cuda:1", device("cuda", 1), second, Index(), 0, "cuda:0", device("cuda", 0), first, "cpu", device("cpu"),
        device("meta"), 2, -1, "cuda:7"]
def each(): return [capably.supports("fp8", way) for way in ways]
found = [each(), each()]
def current(): return [capably.supports("fp8"), capably.supports("fp8", None), capably.supports("fp8", "cuda"),
                       capably.supports("fp8", device("cuda")), str(capably.capability()), len(capably.usable("fp8").why())]
found.append([current(), current()])
state.ready, state.current = True, 1
found.append([current(), current()])
state.current = 0
found.append(current())
say([found, PID])
"""
    host = mixed(tmp_path)
    found, pid = host.run(code)
    assert found[0] == found[1] == [True] * 5 + [False] * 10
    first, second = [False] * 4 + ["7.0", 1], [True] * 4 + ["9.0", 0]
    assert found[2:] == [[first, first], [second, second], first]
    assert not host.calls(pid)


def test_what_a_device_is_called() -> None:
    class Place:
        type, index = "cuda", 3

    assert [number_of(way) for way in (2, "cuda:2", Place(), None, "cuda")] == [2, 2, 3, 0, 0]
    for way in ("gpu:0", "cuda:", "cuda:x", "cuda:-1", "0", "", "CUDA:0"):
        with pytest.raises(ValueError, match="did you mean 'cuda"):
            number_of(way)
    tensor = type("Tensor", (), {"device": Place()})()
    for wrong in (True, 0.0, tensor, b"cuda", [0]):
        with pytest.raises(TypeError, match="it takes a number"):
            number_of(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"did you mean its `\.device`"):
        number_of(tensor)


@needs_compiler
def test_one_warning_names_each_gpu_that_does_not_qualify(tmp_path: Path) -> None:
    code = """
import capably, warnings
found = []
for devices in ("any", "all", "current", [1], "cuda:1", 1, None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            capably.require("fp8", feature="FlashInfer", devices=devices)
            passes = True
        except capably.DeviceTooOldError:
            passes = False
        capably.require(">=7.0", devices="any")
    found.append([passes, [[w.category.__name__, str(w.message), w.filename] for w in caught]])
say(found)
"""
    found = mixed(tmp_path).run(code)
    assert [passes for passes, _ in found] == [True, False, False, True, True, True, False]
    ((kind, text, file),) = found[0][1]
    assert (kind, file) == ("DeviceWarning", "<string>")  # the caller's line, not one of ours
    assert text.splitlines()[0] == "FlashInfer: 1 of 2 GPUs does not meet `fp8`"
    assert "GPU 0, Tesla V100 (7.0): " in text
    assert "H100" not in text
    assert not any(caught for _, caught in found[1:])


@needs_compiler
def test_a_callers_own_error_is_raised_with_the_text_and_the_code(tmp_path: Path) -> None:
    code = """
import capably
class Mine(Exception): pass
try:
    capably.require("fp8", feature="Mine", error=Mine)
except Mine as error:
    say([str(error).splitlines()[0], error.code, type(error.__cause__).__name__])
"""
    said, named, cause = Host(tmp_path, (V100,)).run(code)
    assert said == "Mine needs a GPU that meets `fp8`: the GPU is too old"
    assert (named, cause) == ("device-too-old", "DeviceTooOldError")


def seen_by(*capabilities: str, driver: Driver | None = None) -> Look:
    found = tuple(
        Device(ComputeCapability.parse(text), ordinal=number, uuid=f"GPU-{number}")
        for number, text in enumerate(capabilities)
    )
    return Look(found, found, Visibility(None, None), DriverState(), driver)


@pytest.mark.parametrize(
    ("listed", "dialect", "devices", "expected"),
    [
        ("9.0", None, ("7.0", "9.0"), ["9.0"]),
        ("7.0;9.0", None, ("7.0", "9.0"), DeviceTooOldError),  # the list names one that will not do
        ("8.0", None, ("7.0", "9.0"), GpuListError),
        (None, None, ("9.0", "9.0"), ["9.0", "9.0"]),
        ("native", None, ("7.0", "9.0"), DeviceTooOldError),
    ],
)
def test_only_the_gpus_that_a_list_names_can_be_asked_of(
    listed: str | None, dialect: str | None, devices: tuple[str, ...], expected: Any
) -> None:
    environ = {"TORCH_CUDA_ARCH_LIST": listed} if listed else {}
    answer = decide(Requirement.parse(">=7.5"), Policy.DEVICE, seen_by(*devices), environ, dialect=dialect)
    if isinstance(expected, list):
        assert [str(device.capability) for device in answer.require(devices="listed")] == expected
        return
    with pytest.raises(expected) as raised:
        answer.require(devices="listed")
    if expected is GpuListError:
        assert raised.value.code == "gpu-list-elsewhere"
        assert raised.value.way_out == "Name 7.0, 9.0 in TORCH_CUDA_ARCH_LIST, or take it away."


def test_an_answer_says_of_each_device_why() -> None:
    answer = decide(Requirement.parse(">=8.0,fp8"), Policy.DEVICE, seen_by("9.0", "7.5", "99.9"), {})
    assert answer.why(0) == answer.why("cuda:0") == answer.why(answer.verdicts[0].device) == ()
    assert answer.why(1)[0] == "`>=8.0` does not hold: compute capability 7.5 is lower"
    assert "is not known" in answer.why(2)[0]
    assert answer.why(3) == ("there is no GPU 3: this process sees 3 GPUs, numbered from 0",)
    assert answer.why("cpu") == ("cpu is no GPU of NVIDIA",)
    assert answer.why(Device(ComputeCapability(7, 0)))
    assert decide(Requirement.parse(">=8.0"), Policy.DEVICE, seen_by(), {}).why() == ("no GPU was found",)


def test_a_number_as_a_floor_is_asked_back() -> None:
    answer = decide(Requirement.parse("sm_75"), Policy.DEVICE, seen_by("9.0"), {})
    with pytest.raises(UnsupportedDeviceError) as raised:
        answer.require()
    assert "did you mean `>=7.5`" in raised.value.way_out
    assert judge(Requirement.parse(">=7.5"), answer.verdicts[0].device).outcome is Outcome.RUNS
    older = decide(Requirement.parse("sm_75"), Policy.DEVICE, seen_by("7.0"), {})
    with pytest.raises(DeviceTooOldError) as raised_too:
        older.require()
    assert "did you mean" not in raised_too.value.way_out


def test_products_that_would_do_are_named_and_each_meets_it() -> None:
    from capably.gpu_names import named_devices

    requirement = Requirement.parse("9.0a | 10.0f")
    with pytest.raises(DeviceTooOldError) as raised:
        decide(requirement, Policy.DEVICE, seen_by("7.0"), {}).require()
    names = raised.value.way_out.split("For example: ")[1].rstrip(".").split(", ")
    assert 1 <= len(names) <= 5
    for device in named_devices(names):
        assert judge(requirement, device).outcome is Outcome.RUNS


@pytest.mark.parametrize(
    ("toolkit", "driver", "outcome"),
    [("12.8", "570.86.15", Outcome.RUNS), ("13.0", "570.86.15", Outcome.UNKNOWN), ("13.0", "580.65.06", Outcome.RUNS)],
)
def test_native_code_is_judged_with_the_cuda_of_the_driver(toolkit: str, driver: str, outcome: Outcome) -> None:
    """A driver of CUDA 12 is not promised to load machine code of CUDA 13."""
    compiler = Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit))
    device = Device(ComputeCapability(9, 0), ordinal=0)
    by = Driver(DriverRelease.parse(driver))
    verdict = judge(Requirement.parse(">=9.0"), device, by, toolkit=compiler)
    assert verdict.outcome is outcome
    if outcome is Outcome.UNKNOWN:
        assert "machine-code-newer-than-driver" in {reason.code for reason in verdict.reasons}
        with pytest.raises(UndecidedError):
            decide(Requirement.parse(">=9.0"), Policy.DEVICE, seen_by("9.0", driver=by), {}, toolkit=compiler).require()


def test_without_a_gpu_what_is_printed_explains() -> None:
    answer = decide(Requirement.parse(">=7.5"), Policy.DEVICE, seen_by(), {})
    assert str(answer).startswith("Nothing was judged: ")
    assert "What to do: " in str(answer)
    unread = decide(Requirement.parse(">=7.5"), Policy.OVERRIDE, seen_by(), {"CAPABLY_GPUS": "RTX 4900"})
    assert "CAPABLY_GPUS cannot be read: " in str(unread)


# ---------------------------------------------------------------------------------------------------------
# What is remembered

NVCC = """#!/bin/sh
echo run >> {log}
echo "Cuda compilation tools, release {release}, V{release}.88"
"""


@needs_compiler
def test_a_compiler_is_run_again_only_where_it_or_the_way_to_it_changes(tmp_path: Path) -> None:
    log, folder = tmp_path / "runs", tmp_path / "bin"
    for place, release in (("bin", "12.8"), ("other", "12.4")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "nvcc").write_text(NVCC.format(log=log, release=release))
        (tmp_path / place / "nvcc").chmod(0o755)
    code = f"""
import capably, pathlib
log, nvcc = pathlib.Path({str(log)!r}), pathlib.Path({str(folder)!r}) / "nvcc"
def runs(): return len(log.read_text().splitlines()) if log.exists() else 0
found = []
def ask():
    before = runs()
    found.append([capably.supports(">=9.0,toolkit>=12.8", 0), runs() > before])
ask(); ask(); ask()
path = os.environ["PATH"]
os.environ["PATH"] = {str(tmp_path / "other")!r} + ":/usr/bin:/bin"; ask(); ask()
os.environ["PATH"] = path; ask()
text = nvcc.read_text().replace("12.8", "12.6"); nvcc.write_text(text); os.utime(nvcc, (1, 1)); ask(); ask()
say(found)
"""
    found = Host(tmp_path / "host", (H100,)).run(code, PATH=f"{folder}:/usr/bin:/bin", CUDA_HOME="", CUDA_PATH="")
    assert found == [
        *([True, True], [True, False], [True, False]),
        *([False, True], [False, False], [True, True]),
        *([False, True], [False, False]),
    ]


LIBRARY = "unsigned long {function}(void) {{ return {number}; }}\n"


@needs_compiler
def test_versions_of_what_is_loaded_are_those_and_nothing_is_loaded_for_them(tmp_path: Path) -> None:
    import subprocess

    for name, function, number in (
        ("libcudnn.so.9", "cudnnGetVersion", 90800),
        ("libcublasLt.so.12", "cublasLtGetVersion", 120803),
    ):
        (tmp_path / "x.c").write_text(LIBRARY.format(function=function, number=number))
        command = [str(COMPILER), "-shared", "-fPIC", str(tmp_path / "x.c"), "-o", str(tmp_path / name)]
        subprocess.run(command, check=True)
    code = f"""
import capably, sys
asked = ("cudnn>=9.8", "cudnn>=9.9", "cublaslt>=12.8", "cublaslt<12.8.3", "torch-cuda>=12.8", "torch-cuda>=12.9")
def outcomes(): return [str(capably.usable(one).verdicts[0].outcome) for one in asked]
found = [outcomes(), capably.supports("cudnn>=9.8", 0)]
assert "torch" not in sys.modules and "ctypes" not in sys.modules
import ctypes
ctypes.CDLL({str(tmp_path / "libcudnn.so.9")!r}); ctypes.CDLL({str(tmp_path / "libcublasLt.so.12")!r})
{TORCH}
found += [outcomes(), capably.supports("cudnn>=9.8", 0)]
try:
    capably.require("cudnn>=9.9")
except capably.PackageError as error:
    found.append(str(error).splitlines()[1].strip())
say(found)
"""
    found = Host(tmp_path / "host", (H100,)).run(code)
    assert found[:2] == [["unknown"] * 6, False]
    assert found[2:4] == [["runs", "fails", "runs", "fails", "runs", "fails"], True]
    assert found[4].endswith("`cudnn>=9.9` does not hold: it is cuDNN 9.8.0")


@needs_compiler
@pytest.mark.parametrize(
    "options",
    ["", "devices='any'", "devices='all'", "devices='current'", "devices=[0]", "devices='cuda:0'", "devices='listed'",
     "policy='build-list'", "policy='override'", "toolkit='12.8'", "thorough=True", "feature='X'",
     "policy='build-list', dialect='flashinfer==0.7.2'", "policy='build-list', dialect='cmake'"],
)  # fmt: skip
def test_every_documented_form_is_remembered(tmp_path: Path, options: str) -> None:
    code = f"""
import capably
first = capably.require(">=7.5", {options})
say([capably.require(">=7.5", {options}) is first for _ in range(2)])
"""
    host = Host(tmp_path, (H100,))
    lists = {"TORCH_CUDA_ARCH_LIST": "9.0", "FLASHINFER_CUDA_ARCH_LIST": "9.0a", "CMAKE_CUDA_ARCHITECTURES": "90"}
    assert host.run(code, **lists) == [True, True]


@needs_compiler
def test_a_list_of_another_tool_that_changes_is_noticed(tmp_path: Path) -> None:
    code = """
import capably
def ask():
    try:
        return len(capably.require(">=7.5", policy="build-list", dialect="cmake"))
    except capably.GpuListError:
        return 0
found = []
for text in ("90", "90", "70", "70", "90"):
    os.environ["CMAKE_CUDA_ARCHITECTURES"] = text
    found.append(ask())
say(found)
"""
    assert Host(tmp_path, (H100,)).run(code) == [1, 1, 0, 0, 1]


@needs_compiler
def test_variables_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    code = """
import capably
found = []
for value in (None, "0", None, "1", "1", None, "", None):
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if value is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = value
    found.append([capably.supports("fp8", 0), capably.supports("fp8", 0), capably.supports("fp8", 1)])
say(found)
"""
    host = Host(tmp_path, (RTX3090, RTX4090), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    every, first, second, none = [False, False, True], [False] * 3, [True, True, False], [False] * 3
    assert host.run(code) == [every, first, every, second, second, every, none, every]


def test_what_looks_like_a_number_is_refused_whatever_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPABLY_SYSTEM", str(SYSTEMS / "h100x2-r535.json"))
    assert capably.supports(">=7.5", 0)
    assert capably.supports(">=7.5", 1)
    for wrong in (0.0, True, 1.0):
        with pytest.raises(TypeError):
            capably.supports(">=7.5", wrong)  # type: ignore[arg-type]
    for call in (capably.supports, capably.require):
        with pytest.raises(TypeError, match="the requirement is"):
            call([">=7.5"])  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------
# From a shell


@needs_compiler
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((">=7.5",), 0, "`>=7.5` is met"),
        ((">=7.5", "--devices", "all"), 1, "1 of 2 GPUs does not"),
        ((">=7.5", "--devices", "1"), 0, "is met"),
        ((">=7.5", "--devices", "0"), 1, "too old"),
        ((">=7.5", "--devices", "listed"), 0, "is met"),
        (("99.9f",), 1, "does not hold"),
        (("sms>=1000000",), 1, "does not hold"),
        (("cudnn>=9",), 3, "is not known"),
        (("H100",), 2, ""),
        ((">=7.5", "--policy", "build"), 2, ""),
        ((">=7.5", "--policy", "build-list"), 0, "entry `9.0`: meets it"),
        ((">=9.1", "--policy", "build-list"), 1, "the entry of TORCH_CUDA_ARCH_LIST"),
        ((">=7.5", "--policy", "build-list", "--dialect", "cmake"), 0, "Decided by: the GPUs of this process"),
        (("9.0a", "--toolkit", "11.5"), 1, "9.0"),
    ],
)
def test_the_gate_from_a_shell(tmp_path: Path, words: tuple[str, ...], code: int, text: str) -> None:
    script = f"""
import contextlib, io
from capably.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
    code = main(["require", *{words!r}])
say([code, out.getvalue(), err.getvalue()])
"""
    found, out, _ = mixed(tmp_path).run(script, TORCH_CUDA_ARCH_LIST="9.0")
    assert found == code
    assert text in out
    assert bool(out) is (code != 2)


@needs_compiler
def test_the_shell_gets_the_gpus_and_the_list_of_the_tool_together(tmp_path: Path) -> None:
    import subprocess

    host = mixed(tmp_path)
    line = f'eval "$({sys.executable} -m capably require ">=7.5" --shell --for flashinfer -q)"; echo "$CUDA_VISIBLE_DEVICES $FLASHINFER_CUDA_ARCH_LIST"'
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env={**host.variables(), "CUDA_HOME": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "GPU-33333333-aaaa-0000-0000-000000000003 9.0a\n"
    assert os.environ.get("CUDA_VISIBLE_DEVICES") is None


@needs_compiler
def test_the_json_of_the_gate_fits_its_schema(tmp_path: Path) -> None:
    from schemas import fits_schema

    script = """
import contextlib, io, json
from capably.cli import main
def asked(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["require", *words, "--json"])
    return json.loads(out.getvalue())
say([asked(">=7.5"), asked("fp8", "--devices", "all"), asked("9.0a", "--policy", "build-list")])
"""
    met, refused, listed = mixed(tmp_path).run(script, TORCH_CUDA_ARCH_LIST="9.0")
    for document in (met, refused, listed):
        fits_schema(document, "require")
    assert (met["met"], refused["met"], listed["met"]) == (True, False, False)
    assert refused["error"]["code"] == "device-too-old"
    assert [device["outcome"] for device in refused["devices"]] == ["fails", "runs"]
