"""The probe against the simulated driver: what it finds, what it says, and what it leaves alone.

Each scenario runs in a process of its own, with the real loading code and the real dynamic linker; the
driver's log of calls tells who called what.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import A100, COMPILER, H100, H100B, ORIN, RTX3090, RTX4090, SLICE1, SLICE2, T4, Host, needs_compiler

from capably import probe
from capably.arch import ComputeCapability
from capably.probe import child
from capably.probe.machine import Machine
from capably.probe.steps import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.facts import System

pytestmark = needs_compiler

# Beside the files of a machine that is no container: in one a driver is never taken for granted.
DEVICES = """
import tempfile
from capably.probe import Machine
from capably.probe.fleet import look
found = look(Machine(root=tempfile.mkdtemp(), libcuda=("libcuda.so.1",), libnvml=("libnvidia-ml.so.1",)), thorough=False)
say({"pid": PID, "devices": [
    [d.ordinal, str(d.capability), d.name, d.uuid, d.pci, d.via, d.confidence] for d in found.devices]})
"""
# The files of the machine are those of a tree, so that what this machine has makes no difference.
SYSTEM = """
from pathlib import Path
from capably.probe import Machine, dumps, system
root = Path(os.environ["TREE"])
places = dict(libcuda=("libcuda.so.1",), libnvml=("libnvidia-ml.so.1",))
record = system(Machine(root=root, prefix="/nowhere", paths=(), patience=float(os.environ.get("PATIENCE", "20")), **places),
                compilers=False)
say({"pid": PID, "system": json.loads(dumps(record))})
"""


def tree(
    folder: Path, *, gpus: int = 0, module: str | None = None, nodes: int = 0, marks: tuple[str, ...] = ()
) -> Path:
    """A root with what the kernel shows of GPUs and driver."""
    root = folder / "root"
    (root / "sys/bus/pci/devices").mkdir(parents=True)
    for index in range(gpus):
        place = root / f"sys/bus/pci/devices/0000:{index + 1:02x}:00.0"
        place.mkdir(parents=True)
        (place / "vendor").write_text("0x10de\n")
        (place / "class").write_text("0x030200\n" if index % 2 else "0x030000\n")
    if gpus:  # the audio function of a card is none, and other vendors do not count
        for name, vendor, kind in (("0000:01:00.1", "0x10de", "0x040300"), ("0000:00:02.0", "0x8086", "0x030000")):
            place = root / f"sys/bus/pci/devices/{name}"
            place.mkdir(parents=True)
            (place / "vendor").write_text(f"{vendor}\n")
            (place / "class").write_text(f"{kind}\n")
    if module is not None:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").write_text(
            f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {module}  Sun Aug 31 2025\nGCC version: gcc 13.3.0\n"
        )
    (root / "dev").mkdir(parents=True, exist_ok=True)
    for index in range(nodes):
        (root / f"dev/nvidia{index}").touch()
    for mark in marks:
        (root / mark).parent.mkdir(parents=True, exist_ok=True)
        (root / mark).write_text(
            "nvidia,p3701-0000\0nvidia,tegra234\0" if "device-tree" in mark else "microsoft-WSL2\n"
        )
    return root


def look(host: Host, root: Path, **variables: str) -> tuple[System, int]:
    told = host.run(SYSTEM, TREE=str(root), **variables)
    return probe.loads(json.dumps(told["system"])), told["pid"]


def untouched(host: Host, pid: int) -> None:
    """The process that asked has called nothing, and nobody has made a context."""
    assert host.calls(pid) == []
    assert not [call for call in host.all_calls() if "Ctx" in call]


def nothing_runs(host: Host) -> None:
    """Nobody who has called the driver is left; the kernel may take a moment."""
    pids = {int(line.split()[0]) for line in host.log.read_text().splitlines()}
    end = time.monotonic() + 3
    while running := {pid for pid in pids if alive(pid)}:
        assert time.monotonic() < end, running
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def names(system: System) -> list[str | None]:
    return [device.name for device in system.devices]


# -- devices


def test_one_gpu_needs_no_driver_call_beyond_its_version(tmp_path: Path) -> None:
    host = Host(tmp_path, (H100,))
    told = host.run(DEVICES)
    assert told["devices"] == [
        [
            0,
            "9.0",
            "NVIDIA H100 80GB HBM3",
            "GPU-33333333-aaaa-0000-0000-000000000003",
            "0000:1b:00.0",
            "nvml",
            "parsed",
        ]
    ]
    untouched(host, told["pid"])
    assert "cuInit" not in host.all_calls()
    assert host.all_calls().count("nvmlInit_v2") == host.all_calls().count("nvmlShutdown") == 1


def test_uuids_put_two_cards_in_the_order_of_the_list(tmp_path: Path) -> None:
    host = Host(tmp_path, (RTX3090, RTX4090))
    told = host.run(DEVICES, CUDA_VISIBLE_DEVICES="GPU-22222222,GPU-11111111")
    assert [device[:3] for device in told["devices"]] == [
        [0, "8.9", "NVIDIA GeForce RTX 4090"],
        [1, "8.6", "NVIDIA GeForce RTX 3090"],
    ]
    assert {device[6] for device in told["devices"]} == {"parsed"}
    assert "cuInit" not in host.all_calls()
    untouched(host, told["pid"])


def test_fastest_first_is_asked_of_the_driver_and_not_read_from_an_index(tmp_path: Path) -> None:
    # NVML's index 0 is the T4, PCI's first is the T4 too; CUDA's device 0 is the RTX 4090.
    host = Host(tmp_path, (T4, RTX3090, RTX4090))
    told = host.run(DEVICES)
    assert [device[1] for device in told["devices"]] == ["8.9", "8.6", "7.5"]
    assert {tuple(device[5:]) for device in told["devices"]} == {("cuda+nvml", "exact")}
    assert host.all_calls().count("cuInit") == 1
    untouched(host, told["pid"])
    assert host.run(DEVICES, CUDA_VISIBLE_DEVICES="0")["devices"][0][1] == "8.9"
    told = host.run(DEVICES, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert [device[1] for device in told["devices"]] == ["7.5", "8.6", "8.9"]
    assert {device[6] for device in told["devices"]} == {"parsed"}


def test_pci_order_is_sorted_by_address_whatever_nvml_lists_first(tmp_path: Path) -> None:
    host = Host(tmp_path, (RTX4090, RTX3090, T4))  # NVML lists them backwards
    told = host.run(DEVICES, CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES="0")
    assert [device[1] for device in told["devices"]] == ["7.5"]


def test_equal_gpus_are_not_worth_an_initialisation(tmp_path: Path) -> None:
    host = Host(tmp_path, (H100B, H100))
    told = host.run(DEVICES)
    assert [device[4] for device in told["devices"]] == ["0000:1b:00.0", "0000:43:00.0"]
    assert {device[6] for device in told["devices"]} == {"assumed"}  # their order among each other
    assert "cuInit" not in host.all_calls()


@pytest.mark.parametrize("doubt", ["container", "release", "compat"])
def test_what_casts_doubt_on_the_driver_has_it_asked(tmp_path: Path, doubt: str) -> None:
    host = Host(tmp_path, (H100, "fail cuInit 999"), release="575.57.08" if doubt == "release" else "580.65.06")
    variables = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"} if doubt == "container" else {}
    if doubt == "compat":
        variables["LD_LIBRARY_PATH"] = f"{host.variables()['LD_LIBRARY_PATH']}:/nowhere/compat"
    assert host.run(DEVICES, **variables)["devices"] == []
    assert "cuInit" in host.all_calls()
    calm = Host(tmp_path / "calm", (H100, "fail cuInit 999"))
    assert len(calm.run(DEVICES)["devices"]) == 1
    assert "cuInit" not in calm.all_calls()


def test_one_slice_is_what_a_process_sees_of_a_partitioned_gpu(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", (A100, SLICE1, SLICE2, T4))
    root = tree(tmp_path, gpus=2, module="580.65.06", nodes=2)
    system, pid = look(host, root)
    assert [(d.uuid, d.mig_profile, str(d.capability)) for d in system.devices] == [
        ("MIG-aaaaaaaa-1111-0000-0000-000000000011", "1g.5gb", "8.0")
    ]
    assert system.devices[0].memory_bytes == 4864 << 20
    assert system.devices[0].multiprocessors == 14
    assert len(system.fleet) == 4
    assert [device.mig_mode for device in system.fleet] == [None, True, None, None]  # T4, A100, its slices
    assert "mig-first-only" in [finding.code for finding in system.findings]
    second = "MIG-bbbbbbbb-2222-0000-0000-000000000012"
    system, pid = look(host, root, CUDA_VISIBLE_DEVICES=f"{second},MIG-aaaaaaaa-1111-0000-0000-000000000011")
    assert [device.mig_profile for device in system.devices] == ["2g.10gb"]
    untouched(host, pid)
    assert host.run(DEVICES, CUDA_VISIBLE_DEVICES=second)["devices"][0][3] == second


def test_a_jetson_has_no_nvml(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", (ORIN,), nvml=False)
    root = tree(tmp_path, module="540.4.0", marks=("proc/device-tree/compatible", "dev/nvgpu"))
    system, pid = look(host, root)
    assert system.jetson
    assert names(system) == ["Orin"]
    assert system.devices[0].integrated is True
    assert system.devices[0].via == "cuda"
    assert system.absence is None
    untouched(host, pid)
    hidden, _ = look(host, root, CUDA_VISIBLE_DEVICES="-1")
    assert hidden.absence == "hidden-by-environment"
    assert [device.name for device in hidden.fleet] == ["Orin"]


def test_when_two_libraries_disagree_the_driver_counts(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", (f"{H100} nvml_cc=8.9 nomemory=1", RTX4090))
    system, _ = look(host, tree(tmp_path, gpus=2, module="580.65.06", nodes=2))
    assert ComputeCapability(9, 0) in [device.capability for device in system.devices]
    assert "capability-disagreement" in [finding.code for finding in system.findings]
    assert all(device.memory_bytes for device in system.devices)


def test_what_nvml_refuses_is_asked_of_the_driver(tmp_path: Path) -> None:
    host = Host(tmp_path, (f"{H100} refused=4", RTX4090))
    assert len(host.run(DEVICES)["devices"]) == 2
    assert host.all_calls().count("cuInit") == 1


def test_where_the_driver_sees_more_than_the_rules_say_the_driver_counts(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", (RTX3090, RTX4090))  # this driver lets kinds of entries mix, which is not documented
    system, _ = look(host, tree(tmp_path, gpus=2, module="580.65.06", nodes=2), CUDA_VISIBLE_DEVICES="GPU-22222222,1")
    assert [str(device.capability) for device in system.devices] == ["8.9", "8.6"]
    assert system.visibility.confidence == "exact"
    assert system.findings == ()
    system, _ = look(host, tmp_path / "root", CUDA_VISIBLE_DEVICES="GPU-22222222,GPU-9")
    assert [finding.code for finding in system.findings] == ["visible-entry-invalid"]


def test_nvml_without_libcuda_is_no_gpu_for_cuda(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", (H100,), cuda=False)
    (tmp_path / "a/lib/libcuda.so.1").write_text("no library")
    root = tree(tmp_path, gpus=1, module="580.65.06", nodes=1)
    system, _ = look(host, root, CUDA_VISIBLE_DEVICES="0")
    assert system.absence == "driver-library-missing"
    assert [device.name for device in system.fleet] == ["NVIDIA H100 80GB HBM3"]


def test_a_library_beside_the_linker_is_found_where_wsl_keeps_it(tmp_path: Path) -> None:
    root = tree(tmp_path, marks=("proc/sys/kernel/osrelease", "dev/dxg"))
    host = Host(root, (T4,), library_folder="usr/lib/wsl/lib")
    code = SYSTEM.replace('("libcuda.so.1",)', '("no.so", "/usr/lib/wsl/lib/libcuda.so.1")').replace(
        '("libnvidia-ml.so.1",)', '("no.so", "/usr/lib/wsl/lib/libnvidia-ml.so.1")'
    )
    record = host.run(code, TREE=str(root), LD_LIBRARY_PATH="")["system"]
    assert record["wsl"] is True
    assert [device["name"] for device in record["devices"]] == ["Tesla T4"]
    assert record["driver"]["release"] == "580.65.06"  # by NVML: there is no kernel module to ask


def test_check_judges_for_the_gpus_that_it_finds(tmp_path: Path) -> None:
    host = Host(tmp_path, (RTX3090, RTX4090))
    code = """
import io, sys
from contextlib import redirect_stdout, redirect_stderr
from capably.cli import main
out, err = io.StringIO(), io.StringIO()
with redirect_stdout(out), redirect_stderr(err):
    code = main(["check", os.environ["FILE"], "--json"])
answer = json.loads(out.getvalue())
say([PID, code, [[g["name"], g["assumed"], g["driver"]["cuda"]] for g in answer["gpus"]],
     [r["coverage"] for r in answer["results"]], err.getvalue()])
"""
    (tmp_path / "x.ptx").write_text(".version 8.0\n.target sm_89\n.address_size 64\n.visible .entry k()\n{\nret;\n}\n")
    pid, status, gpus, coverage, said = host.run(code, FILE=str(tmp_path / "x.ptx"))
    assert (status, coverage) == (0, ["full", "none"])
    assert gpus == [["NVIDIA GeForce RTX 4090", False, "13.0"], ["NVIDIA GeForce RTX 3090", False, "13.0"]]
    assert said == "note: judging the GPUs of this machine: NVIDIA GeForce RTX 4090, NVIDIA GeForce RTX 3090\n"
    untouched(host, pid)


# -- none


@pytest.mark.parametrize(
    ("facts", "libraries", "fleet", "variables", "absence"),
    [
        ({}, False, (), {}, "no-nvidia-device"),
        ({"gpus": 2}, False, (), {}, "no-driver"),
        ({"gpus": 1, "module": "580.65.06", "nodes": 1}, False, (), {}, "driver-library-missing"),
        ({"gpus": 1, "module": "580.65.06", "marks": (".dockerenv",)}, False, (), {}, "container-without-devices"),
        (
            {"gpus": 1, "module": "580.65.06", "marks": ("run/.containerenv",)},
            True,
            (),
            {},
            "container-without-devices",
        ),
        ({"gpus": 1, "marks": (".dockerenv",)}, False, (), {}, "no-driver"),
        ({"gpus": 1}, True, ("fail cuInit 999", "fail nvmlInit_v2 9"), {}, "no-driver"),
        ({"gpus": 1, "module": "580.65.06", "nodes": 1}, True, ("fail cuInit 999", H100), {}, "driver-failed"),
        ({"gpus": 1, "module": "580.65.06", "nodes": 1}, True, ("fail cuInit 802", H100), {}, "driver-failed"),
        ({"gpus": 1, "module": "580.65.06", "nodes": 1}, True, (), {}, "driver-failed"),
        ({"module": "580.65.06", "nodes": 1}, True, (), {}, "no-nvidia-device"),
        (
            {"gpus": 1, "module": "580.65.06", "nodes": 1},
            True,
            ("fail cuInit 803", "fail nvmlInit_v2 18", H100),
            {},
            "driver-library-mismatch",
        ),
        (
            {"gpus": 1, "module": "535.183.01", "nodes": 1},
            True,
            ("fail cuInit 804", RTX4090),
            {},
            "forward-compat-unsupported",
        ),
        (
            {"gpus": 1, "module": "1.1", "nodes": 1},
            True,
            (H100,),
            {"CUDA_VISIBLE_DEVICES": ""},
            "hidden-by-environment",
        ),
        (
            {"gpus": 1, "module": "1.1", "nodes": 1},
            True,
            (H100,),
            {"CUDA_VISIBLE_DEVICES": "all"},
            "hidden-by-environment",
        ),
        ({"marks": ("proc/sys/kernel/osrelease", "dev/dxg")}, False, (), {}, "driver-library-missing"),
        ({"marks": ("proc/sys/kernel/osrelease",)}, False, (), {}, "no-driver"),
        ({"marks": ("proc/sys/kernel/osrelease", ".dockerenv")}, False, (), {}, "container-without-devices"),
        ({"marks": ("proc/sys/kernel/osrelease", "dev/dxg")}, True, ("fail cuInit 500",), {}, "driver-failed"),
    ],
)
def test_none_found_names_its_cause(  # noqa: PLR0917 - pytest passes parameters by name
    tmp_path: Path,
    facts: dict[str, Any],
    libraries: bool,
    fleet: tuple[str, ...],
    variables: dict[str, str],
    absence: str,
) -> None:
    host = Host(tmp_path / "a", fleet, nvml=libraries, cuda=libraries)
    if not libraries:  # also where the machine that runs this has a driver
        for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
            (tmp_path / "a/lib" / name).write_text("no library")
    system, pid = look(host, tree(tmp_path, **facts), **variables)
    assert system.absence == absence
    assert system.findings[0].code == absence
    assert "{" not in system.findings[0].message
    assert system.devices == ()
    untouched(host, pid)


def test_803_names_both_halves(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", ("fail cuInit 803", "fail nvmlInit_v2 18", H100), release="580.65.06")
    system, _ = look(host, tree(tmp_path, gpus=1, module="570.124.06", nodes=1))
    assert system.driver_state.error == 803
    assert system.driver_state.nvml_error == 18
    assert "580.65.06" in system.findings[0].message
    assert "570.124.06" in system.findings[0].message
    assert str(system.driver.release if system.driver else None) == "570.124.06"
    assert host.run(DEVICES)["devices"] == []


def test_804_is_found_although_nvml_lists_the_gpu(tmp_path: Path) -> None:
    host = Host(
        tmp_path / "a",
        ("fail cuInit 804", RTX4090),
        release="580.65.06",
        driver="535.183.01",
        library_folder="cuda-13.0/compat",
    )
    told = host.run(DEVICES)  # the folder in LD_LIBRARY_PATH gives the doubt that cuInit settles
    assert told["devices"] == []
    untouched(host, told["pid"])
    system, _ = look(host, tree(tmp_path, gpus=1, module="535.183.01", nodes=1))
    assert system.driver_state.compat
    assert system.absence == "forward-compat-unsupported"
    assert "535.183.01" in system.findings[0].message
    assert [device.name for device in system.fleet] == ["NVIDIA GeForce RTX 4090"]


def test_a_compat_library_that_works_is_said(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", (H100,), driver="535.183.01", library_folder="cuda-13.0/compat")
    system, _ = look(host, tree(tmp_path, gpus=1, module="535.183.01", nodes=1))
    assert system.absence is None
    assert [finding.code for finding in system.findings] == ["forward-compat-in-use"]
    assert system.driver is not None
    assert (str(system.driver.release), str(system.driver.cuda)) == ("535.183.01", "13.0")


def test_parts_that_differ_are_said_even_if_they_work(tmp_path: Path) -> None:
    host = Host(tmp_path / "a", (H100,))
    system, _ = look(host, tree(tmp_path, gpus=1, module="535.183.01", nodes=1))
    assert [finding.code for finding in system.findings] == ["driver-parts-differ"]


# -- a driver that misbehaves


@pytest.mark.parametrize(
    ("fleet", "absence", "call", "visible"),
    [
        (("hang cuInit", T4, RTX4090), "probe-timed-out", "cuInit", 0),
        (("abort cuInit", T4, RTX4090), "probe-crashed", "cuInit", 0),
        (("hang nvmlInit_v2", T4, RTX4090), None, "", 2),
        (("abort nvmlInit_v2", T4, RTX4090), None, "", 2),
        (("hang nvmlInit_v2", "hang cuInit", T4), "probe-timed-out", "cuInit", 0),
        (("hang cuDriverGetVersion", T4), "probe-timed-out", "libcuda", 0),
        (("abort nvmlDeviceGetUUID", T4), None, "", 1),
    ],
)
def test_a_driver_that_hangs_or_crashes_is_survived(
    tmp_path: Path, fleet: tuple[str, ...], absence: str | None, call: str, visible: int
) -> None:
    host = Host(tmp_path / "a", fleet)
    start = time.monotonic()
    system, pid = look(host, tree(tmp_path, gpus=2, module="580.65.06", nodes=2), PATIENCE="1")
    assert time.monotonic() - start < 15
    assert system.absence == absence
    assert len(system.devices) == visible
    if absence:
        assert call in system.findings[0].message
    untouched(host, pid)
    nothing_runs(host)


def test_a_server_with_many_open_files_is_answered(tmp_path: Path) -> None:
    """Numbers from 1024 on are more than `select` takes."""
    script = f"""
import resource
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (2048 if most == resource.RLIM_INFINITY else min(most, 2048), most))
for _ in range(1100): os.open(os.devnull, os.O_RDONLY)
{DEVICES}"""
    assert len(Host(tmp_path, (T4, RTX4090)).run(script)["devices"]) == 2


def test_patience_can_be_set(tmp_path: Path) -> None:
    host = Host(tmp_path, ("hang cuInit", T4, RTX4090))
    start = time.monotonic()
    script = "import capably\nfrom capably.probe import system\nsay([list(capably.devices()), system().absence])"
    assert host.run(script, CAPABLY_PROBE_TIMEOUT="0.5") == [[], "probe-timed-out"]
    assert time.monotonic() - start < 10
    for wrong in ("0", "1e-9", "0.05", "soon", "nan", "-1", "1e9"):
        script = "import capably\ntry: capably.devices()\nexcept capably.ParseError as e: say(str(e))"
        said = host.run(script, CAPABLY_PROBE_TIMEOUT=wrong)
        assert "CAPABLY_PROBE_TIMEOUT" in said
        assert "from 0.1 to 3600" in said


def test_who_interrupts_does_not_wait_for_a_driver_that_hangs(tmp_path: Path) -> None:
    host = Host(tmp_path, ("hang cuInit", T4))
    command = [sys.executable, "-m", "capably", "doctor", "-q", "--no-cache", "--python", sys.executable]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=host.variables(CAPABLY_PROBE_TIMEOUT="600"),
        start_new_session=True,  # a group of its own, as a terminal interrupts one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - ours may be ignored
    ) as process:
        try:
            while not host.log.exists() or "cuInit" not in host.log.read_text():
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    nothing_runs(host)


def test_a_slow_driver_is_waited_for(tmp_path: Path) -> None:
    host = Host(tmp_path, ("delay cuInit 700", T4, RTX4090))
    assert len(host.run(DEVICES)["devices"]) == 2


def test_without_an_interpreter_that_is_said(tmp_path: Path) -> None:
    for executable in ("", "/nonexistent/python", "/bin/false"):
        machine = Machine(root=tree(tmp_path / (executable or "x").strip("/")), environ={}, executable=executable)
        system = probe.system(machine, compilers=False)
        assert system.absence in ("probe-failed", "probe-crashed")
        assert system.devices == ()


# -- answers that are none

ASKED_TWICE = """
import capably, sys
from capably import probe
seen = [probe.look(thorough=True) for _ in range(2)]
try: raised = str(capably.usable(">=7.5", thorough=True).require("Mine"))
except Exception as error: raised = type(error).__name__
say({"absence": [look.absence for look in seen], "lasting": [look.lasting for look in seen], "raised": raised,
     "devices": [d.name for d in seen[0].devices], "message": seen[0].findings[0].message if seen[0].findings else ""})
"""
NVML = '{"step": "nvml", "error": 0, "release": null, "refused": [], "devices": '


@pytest.mark.parametrize(
    ("fleet", "message"),
    [
        (("exit cuInit 0", T4), "cuInit ended the process that asks, without an answer (exit 0)"),
        (("exit cuDeviceGetCount 0", T4), "cuInit ended the process that asks, without an answer (exit 0)"),
        (("exit cuDriverGetVersion 0", T4), "loading libcuda ended the process that asks, without an answer (exit 0)"),
        (("exit nvmlInit_v2 0", "exit cuInit 0", T4), "cuInit ended the process that asks, without an answer (exit 0)"),
        (("flood cuInit 5000000", T4), "nonsense came in place of the answer to cuInit"),
        (("flood cuInit 40", T4), "nonsense came in place of the answer to cuInit"),
        (('answer cuInit {"step": "done"}', T4), "nonsense came in place of the answer to cuInit"),
        (('answer cuInit {"step": "cuda", "error": 0}', T4), "nonsense came in place of the answer to cuInit"),
        (('answer cuInit {"step": "cuda", "error": "0", "devices": []}', T4), "nonsense came in place"),
        (('answer cuInit {"step": "cuda", "error": true, "devices": []}', T4), "nonsense came in place"),
        (('answer cuInit {"step": "cuda", "error": 0, "devices": [{"name": 5}]}', T4), "nonsense came in place"),
        (("answer cuInit [1, 2]", T4), "nonsense came in place of the answer to cuInit"),
        (("answer cuInit " + "[" * 400, T4), "nonsense came in place of the answer to cuInit"),
        (('answer cuDriverGetVersion {"step": "library", "found": 1}', T4), "the answer to loading libcuda"),
        (("answer nvmlInit_v2 " + NVML + "7}", 'answer cuInit {"calling": 7}', T4), "nonsense came in place"),
    ],
)
def test_whatever_is_no_answer_is_never_no_gpu(tmp_path: Path, fleet: tuple[str, ...], message: str) -> None:
    host = Host(tmp_path, fleet)
    told = host.run(ASKED_TWICE)
    assert told["absence"] == ["probe-failed"] * 2
    assert told["lasting"] == [False, False]
    assert told["devices"] == []
    assert told["raised"] == "UndecidedError"
    assert message in told["message"]
    nothing_runs(host)
    assert host.all_calls().count(fleet[0].split()[1]) == 3  # nothing was remembered: each time it is asked again


def test_nonsense_from_nvml_is_settled_by_the_driver(tmp_path: Path) -> None:
    for number, lie in enumerate(
        ("exit nvmlInit_v2 0", f"answer nvmlInit_v2 {NVML}[[]]}}", "flood nvmlInit_v2 5000000")
    ):
        told = Host(tmp_path / str(number), (lie, T4, RTX4090)).run(ASKED_TWICE)
        assert told["devices"] == ["NVIDIA GeForce RTX 4090", "Tesla T4"]


def test_a_driver_that_prints_does_no_harm(tmp_path: Path) -> None:
    host = Host(tmp_path, ("print nvmlInit_v2 5000000", "print cuInit 5000000", T4, RTX4090))
    assert len(host.run(DEVICES)["devices"]) == 2


def test_a_crash_that_the_kernel_forgets_is_not_no_gpu(tmp_path: Path) -> None:
    ignoring = f"import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n{ASKED_TWICE}"
    told = Host(tmp_path / "a", ("abort cuInit", T4)).run(ignoring)
    assert told["absence"] == ["probe-failed"] * 2
    assert told["raised"] == "UndecidedError"
    assert "SIGCHLD is ignored" in told["message"]
    assert Host(tmp_path / "b", (T4,)).run(ignoring)["devices"] == ["Tesla T4"]


def test_a_second_question_that_stays_open_is_not_no_gpu(tmp_path: Path) -> None:
    # NVML is not there, and the variable hides all: whether there are any is asked without it, which fails.
    host = Host(tmp_path / "a", ("exit cuDeviceGetName 0", T4), nvml=False)
    (tmp_path / "a/lib/libnvidia-ml.so.1").write_text("no library")
    told = host.run(ASKED_TWICE, CUDA_VISIBLE_DEVICES="")
    assert told["absence"] == ["probe-failed"] * 2
    assert told["raised"] == "UndecidedError"


def test_what_a_driver_starts_ends_with_the_child(tmp_path: Path) -> None:
    host = Host(tmp_path, ("fork cuInit", T4, RTX4090))
    begin = time.monotonic()
    assert len(host.run(DEVICES)["devices"]) == 2
    assert time.monotonic() - begin < 15  # though what it has started holds the pipe for a minute
    library = str(tmp_path / "lib")
    end = time.monotonic() + 3
    while using := [maps for maps in Path("/proc").glob("[0-9]*/maps") if maps_name(maps, library)]:
        assert time.monotonic() < end, using
        time.sleep(0.02)


def maps_name(maps: Path, folder: str) -> bool:
    try:
        return folder in maps.read_text("utf-8", "replace")
    except OSError:
        return False


@pytest.mark.parametrize("before", ["pass", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])"])
def test_nothing_asks_on_when_the_process_that_wants_to_know_is_killed(tmp_path: Path, before: str) -> None:
    host = Host(tmp_path, ("hang cuInit", T4))
    script = f"import signal\nfrom capably import probe\n{before}\nprobe.look(thorough=True)"
    environ = host.variables(CAPABLY_PROBE_TIMEOUT="600")
    with subprocess.Popen([sys.executable, "-c", script], env=environ) as process:
        try:
            while not host.log.exists() or "cuInit" not in host.log.read_text():
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            process.kill()
    nothing_runs(host)


def test_a_child_ends_in_time_though_signals_are_blocked(tmp_path: Path) -> None:
    host = Host(tmp_path, ("hang cuDriverGetVersion", T4))
    request = json.dumps({"cuda": ["libcuda.so.1"], "nvml": [], "seconds": 0.1})
    script = "import sys; from capably.probe import child; child.main(sys.argv[1:])"
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, request],
        env=host.variables(),
        capture_output=True,
        check=False,
        timeout=30,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]),
    )
    assert done.returncode == -signal.SIGALRM
    assert time.monotonic() - begin < 20


def test_a_limit_is_named_where_it_is_reached(tmp_path: Path) -> None:
    system, _ = look(
        Host(tmp_path / "a", ("hang cuInit", T4)), tree(tmp_path), PATIENCE="0.5", CUDA_VISIBLE_DEVICES="7"
    )
    assert system.findings[0].message == "cuInit did not return within 0.5 s (CAPABLY_PROBE_TIMEOUT sets the limit)"


# -- a program that embeds Python

# It does its own work whatever it is called with, as applications do, and says that it was started.
APPLICATION = """
import json, os, sys
sys.executable, sys.base_prefix = os.environ["APPLICATION"], "/nonexistent"
with open(os.environ["STARTS"], "a") as starts: starts.write(f"{os.getpid()}\\n")
from capably import probe
seen = [probe.look() for _ in range(3)]
print(json.dumps([[look.absence, look.lasting, look.findings[0].message] for look in seen]))
"""


def embedding(folder: Path) -> Path:
    """A real program that embeds this interpreter."""
    config = sysconfig.get_config_vars()
    shared = Path(config["LIBDIR"], config["LDLIBRARY"])
    if not shared.is_file() or not str(config["LDLIBRARY"]).endswith(".so"):
        pytest.skip("this interpreter has no shared library to embed")
    source = folder / "application.c"
    source.write_text(
        "#include <stdlib.h>\nvoid Py_Initialize(void); int PyRun_SimpleString(const char *);\n"
        'int main(void) { Py_Initialize(); return PyRun_SimpleString(getenv("WORK")); }\n'
    )
    program = folder / "application"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    flags = [f"-L{config['LIBDIR']}", f"-Wl,-rpath,{config['LIBDIR']}", f"-lpython{version}"]
    subprocess.run([str(COMPILER), "-o", str(program), str(source), *flags], check=True)
    return program


def wrapping(folder: Path) -> Path:
    """A program that only starts an interpreter with work of its own."""
    program = folder / "application"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "$WORK"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("build", [embedding, wrapping])
def test_an_application_that_embeds_python_starts_itself_once(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    host = Host(tmp_path, (T4, RTX4090))
    starts = tmp_path / "starts"
    program = build(tmp_path)
    environ = host.variables(APPLICATION=str(program), STARTS=str(starts), WORK=APPLICATION, PYTHONHOME=sys.base_prefix)
    if build is wrapping:
        del environ["PYTHONHOME"]
    with subprocess.Popen([program], env=environ, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            said, _ = process.communicate(timeout=50)
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
    looks = json.loads(said)
    assert len(starts.read_text().splitlines()) == 2  # itself, and one try
    assert [look[:2] for look in looks] == [["probe-failed", False]] * 3
    assert "does not answer as a Python interpreter" in looks[0][2]
    assert "is not a Python interpreter" in looks[1][2]
    assert not host.log.exists()


@pytest.mark.parametrize(
    "program", ["exit 0", "exit 1", "echo hello; sleep 60", 'for one; do echo "$one"; done', "cat", "yes | tr -d '\\n'"]
)
def test_what_does_not_answer_as_an_interpreter_is_started_once(tmp_path: Path, program: str) -> None:
    host = Host(tmp_path, (T4,))
    application = tmp_path / "application"
    application.write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\n{program}\n")
    application.chmod(0o755)
    begin = time.monotonic()
    code = f"import sys\nsys.executable, sys.base_prefix = {str(application)!r}, '/nonexistent'\n{ASKED_TWICE}"
    told = host.run(code, CAPABLY_PROBE_TIMEOUT="2")
    assert time.monotonic() - begin < 15
    assert told["absence"] == ["probe-failed"] * 2
    assert told["raised"] == "UndecidedError"
    assert (tmp_path / "starts").read_text() == "started\n"
    assert not host.log.exists()


def test_a_slow_start_is_tried_again_with_more_patience(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    code = """
import capably
from capably.probe import Machine
from capably.probe.fleet import look
say([[d.name for d in look(Machine(patience=seconds), thorough=False).devices] for seconds in (0.2, 0.2, 20)])
"""
    assert Host(tmp_path, (T4,)).run(code, CAPABLY_PROBE_PYTHON=str(slow)) == [[], [], ["Tesla T4"]]


@pytest.mark.parametrize("executable", ["None", "''", "'application'", "'/opt/application/bin/application'"])
def test_an_interpreter_beside_the_application_is_found(tmp_path: Path, executable: str) -> None:
    code = f"import sys\nsys.executable = {executable}\n{DEVICES}"
    assert len(Host(tmp_path, (T4,)).run(code)["devices"]) == 1


@pytest.mark.parametrize("executable", ["None", "''"])
def test_without_any_interpreter_the_variable_names_one(tmp_path: Path, executable: str) -> None:
    host = Host(tmp_path, (T4,))
    code = f"import sys\nsys.executable, sys.base_prefix = {executable}, '/nonexistent'\n{ASKED_TWICE}"
    told = host.run(code)
    assert told["absence"] == ["probe-failed"] * 2
    assert "no Python interpreter" in told["message"]
    assert host.run(code, CAPABLY_PROBE_PYTHON=sys.executable)["devices"] == ["Tesla T4"]
    told = host.run(code, CAPABLY_PROBE_PYTHON="/nonexistent/python")
    assert "CAPABLY_PROBE_PYTHON" in told["message"]
    assert "No such file" in told["message"]


# -- fork, and a process that has a driver of its own

FORK = """
import ctypes
def in_a_child(work):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps(work()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return json.loads(os.read(read, 65536))
def init():
    library = ctypes.CDLL("libcuda.so.1")
    count = ctypes.c_int()
    return [library.cuInit(0), library.cuDeviceGetCount(ctypes.byref(count)), count.value]
def found():
    import capably
    return [str(d.capability) for d in capably.devices()]
"""


def test_a_child_forked_before_or_after_can_use_the_gpus(tmp_path: Path) -> None:
    host = Host(tmp_path, (T4, RTX4090))
    before = host.run(f"{FORK}\nsay([in_a_child(lambda: [found(), init()]), found(), in_a_child(init), init()])")
    works = [0, 0, 2]
    assert before == [[["8.9", "7.5"], works], ["8.9", "7.5"], works, works]
    after = host.run(f"{FORK}\nsay([found(), in_a_child(lambda: [found(), init()])])")
    assert after == [["8.9", "7.5"], [["8.9", "7.5"], works]]
    # The simulated driver does refuse a child of a process that has initialised it: the tests above can fail.
    assert host.run(f"{FORK}\nsay([init(), in_a_child(init)])") == [works, [3, 3, 0]]


def test_a_driver_that_the_process_uses_is_the_one_that_is_asked(tmp_path: Path) -> None:
    host = Host(tmp_path, (T4, RTX4090))
    code = f"""{FORK}
first = found()
init()
os.environ["CUDA_VISIBLE_DEVICES"] = "1"  # too late: the driver has read it
import capably
second = [[str(d.capability), d.via, d.confidence] for d in capably.devices()]
os.environ["CUDA_VISIBLE_DEVICES"] = ""
record = capably.probe.system(compilers=False)
os.environ["CUDA_VISIBLE_DEVICES"] = "1"
say([PID, first, second, in_a_child(found), [d.via for d in record.devices], record.absence])
"""
    pid, first, second, forked, record, absence = host.run(code)
    assert first == ["8.9", "7.5"]
    assert second == [["8.9", "cuda", "exact"], ["7.5", "cuda", "exact"]]
    assert forked == ["7.5"]  # a process of its own, where the variable is in force
    assert record == ["cuda", "cuda"]
    assert absence is None
    assert host.calls(pid).count("cuInit") == 1  # its own


def test_the_answer_is_kept_until_a_variable_changes(tmp_path: Path) -> None:
    host = Host(tmp_path, (H100, H100B))
    code = """
import capably
a, b = capably.devices(), capably.devices()
os.environ["CUDA_VISIBLE_DEVICES"] = "1"
c = capably.devices()
from capably import probe
say([a is b, [d.pci for d in c], probe.devices(refresh=True) == c])
"""
    assert host.run(code) == [True, ["0000:43:00.0"], True]
    assert host.all_calls().count("nvmlInit_v2") == 3


# -- the child by itself


@pytest.mark.parametrize("wanted", ["cuda", ""])
@pytest.mark.parametrize(
    "fleet", [(T4, f"{H100} nomemory=1", f"{RTX4090} refused=4"), (A100, SLICE1), ("fail cuInit 100",)]
)
def test_the_child_answers_in_lines(tmp_path: Path, wanted: str, fleet: tuple[str, ...]) -> None:
    host = Host(tmp_path, fleet)
    request = json.dumps({"cuda": ["nothing.so", "libcuda.so.1"], "nvml": ["libnvidia-ml.so.1"], "seconds": 5})
    done = subprocess.run(
        # Not as the script that it is, so that coverage follows it; every other test here runs the script.
        [sys.executable, "-c", "import sys; from capably.probe import child; child.main(sys.argv[1:])", request],
        input=f"{wanted}\n",
        capture_output=True,
        text=True,
        env=host.variables(),
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    steps = [line.get("step") or line["calling"] for line in lines]
    assert steps == [
        *("loading libcuda", "library", "nvmlInit_v2", "nvml"),
        *(["cuInit", "cuda"] if wanted else []),
        "done",
    ]
    turns = [step for step in ("library", "nvml", "cuda", "done") if step in steps]
    for line in done.stdout.splitlines():  # what it says is what is taken from it
        step = json.loads(line)
        assert read(line.encode(), step.get("step", turns[0])) == step
    assert lines[1]["file"].endswith("libcuda.so.580.65.06")
    assert lines[1]["version"] == 13000


def test_addresses_are_written_in_one_way() -> None:
    assert child.normal_pci("00000000:1B:00.0") == child.normal_pci("0000:1b:00") == "0000:1b:00.0"
    assert child.normal_pci("1b:00.0") is None


def test_functions_that_a_library_lacks_are_results() -> None:
    library, problem = child.open_library(["libc.so.6"])
    assert library is not None
    assert problem == ""
    assert child.ask_nvml(library)["error"] == -1
    assert child.driver_version(library) is None
    assert child.ask_devices(library)["devices"] == []
    assert child.open_library(["nothing.so"])[0] is None
    assert child.mapped_file("no such library") is None


@needs_compiler
@pytest.mark.parametrize("path", [":", "/nonexistent:", "."])
def test_a_driver_in_the_current_folder_is_not_loaded(tmp_path: Path, path: str) -> None:
    """An empty part of the variable, as `$LD_LIBRARY_PATH:/more` makes where it was not set, means that folder."""
    host = Host(tmp_path, (T4,))
    code = f"import capably\nos.chdir({str(tmp_path / 'lib')!r})\nsay([d.name for d in capably.devices()])"
    assert host.run(code) == ["Tesla T4"]
    assert host.run(code, LD_LIBRARY_PATH=path) == []


@pytest.mark.parametrize("named", ["python3", "./python3"])
def test_an_interpreter_in_the_current_folder_is_not_run(tmp_path: Path, named: str) -> None:
    program = tmp_path / "python3"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    code = "from capably import probe\nprint(probe.system().findings[0].message)"
    variables = {"CAPABLY_PROBE_PYTHON": named, "PATH": f":{os.environ['PATH']}", "CAPABLY_SYSTEM": ""}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (tmp_path / "ran").exists()
    assert "CAPABLY_PROBE_PYTHON" in done.stdout, done.stderr
