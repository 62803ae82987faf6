"""Every way to ask on every kind of machine: the same table for all of them, and nothing initialised in the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes import A100, H100, SLICE1, Host, needs_compiler

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_compiler

V100 = "gpu cc=7.0 uuid=GPU-70707070-aaaa-0000-0000-000000000001 pci=0000:1a:00.0 name=Tesla_V100 memory=32510 sm=80 speed=5"
INITIALISING = {"cuInit", "cuCtxCreate_v2", "nvmlInit_v2", "cuDevicePrimaryCtxRetain"}
# A container casts doubt on its driver, so that it is asked without being told; whether these tests run in one does not
# matter then.
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "CAPABLY_PROBE_TIMEOUT": "3"}
UUID = "GPU-33333333-aaaa-0000-0000-000000000003"

ASK = """
import contextlib, io, warnings
warnings.simplefilter("ignore")
import capably
from capably.cli import main
from capably.integrations import flashinfer, torch
def kind(call):
    try:
        return call()
    except RuntimeError as error:
        return [type(error).__name__, error.code]
def command(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        return [main(["require", *words]), out.getvalue()]
def caps(devices):
    return [str(device.capability) for device in devices]
say({
    "require": kind(lambda: caps(capably.require(">=7.5"))),
    "all": kind(lambda: caps(capably.require(">=7.5", devices="all"))),
    "thorough": kind(lambda: caps(capably.require(">=7.5", thorough=True))),
    "supports": [capably.supports(">=7.5", number) for number in range(2)],
    "usable": caps(capably.usable(">=7.5")),
    "capability": kind(lambda: str(capably.capability())),
    "check_cuda_arch": kind(lambda: caps(flashinfer.check_cuda_arch())),
    "configure": [str(flashinfer.configure({}).outcome), caps(flashinfer.configure({}).devices)],
    "command": command(">=7.5")[0],
    "command all": command(">=7.5", "--devices", "all")[0],
    "shell": command(">=7.5", "--shell")[1],
    "said": str(capably.usable(">=7.5")) + str(flashinfer.configure({})),
    "pid": PID,
})
"""


def served(*capabilities: str, uuid: str = UUID, number: int = 0) -> dict[str, Any]:
    """What a machine says whose first GPU, or that with *number*, will do, and whose others will not."""
    mine = list(capabilities)
    return {
        "require": mine,
        "all": mine,
        "thorough": mine,
        "supports": [number == 0, number == 1],
        "usable": mine,
        "capability": mine[0],
        "check_cuda_arch": mine,
        "configure": ["set", mine],
        "command": 0,
        "command all": 0,
        "shell": f"export CUDA_VISIBLE_DEVICES={uuid}\n",
    }


def refused(kind: str, code: str, command: int = 1) -> dict[str, Any]:
    return {
        **{ask: [kind, code] for ask in ("require", "all", "thorough", "capability", "check_cuda_arch")},
        "supports": [False, False],
        "usable": [],
        "configure": ["none found", []],
        "command": command,
        "command all": command,
        "shell": "",
    }


BROKEN = {"CAPABLY_GPUS": "H100", "FLASHINFER_CUDA_ARCH_LIST": "9.0a"}  # which stand in for no driver that fails
TABLE: dict[str, tuple[tuple[str, ...], dict[str, Any], dict[str, str], dict[str, Any]]] = {
    "one": ((H100,), {}, {}, served("9.0")),
    "mixed": (
        (V100, H100),
        {},
        {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        {
            **served("9.0", number=1),
            "all": ["DeviceTooOldError", "device-too-old"],
            "capability": "7.0",
            "command all": 1,
        },
    ),
    "UUIDs": ((V100, H100), {}, {"CUDA_VISIBLE_DEVICES": UUID}, served("9.0")),
    "MIG": ((A100, SLICE1), {}, {}, served("8.0", uuid="MIG-aaaaaaaa-1111-0000-0000-000000000011")),
    "compat": ((H100,), {"library_folder": "cuda/compat", "release": "590.44.01"}, {}, served("9.0")),
    "803": (
        (H100, "fail cuInit 803"),
        {"release": "575.57.08"},
        BROKEN,
        refused("DriverError", "driver-library-mismatch"),
    ),
    "804": (
        (H100, "fail cuInit 804"),
        {"library_folder": "cuda/compat", "release": "590.44.01"},
        BROKEN,
        refused("DriverError", "forward-compat-unsupported"),
    ),
    "999": ((H100, "fail cuInit 999"), {}, BROKEN, refused("DriverError", "driver-failed")),
    "hanging": (
        (H100, "hang cuInit"),
        {},
        {"CAPABLY_PROBE_TIMEOUT": "0.7"},
        refused("DriverError", "probe-timed-out", 3),
    ),
    "none": ((), {"nvml": False, "cuda": False}, {}, refused("NoDeviceError", "no-nvidia-device")),
    "hidden": ((H100,), {}, {"CUDA_VISIBLE_DEVICES": ""}, refused("HiddenDeviceError", "hidden-by-environment")),
    "too old": (
        (V100,),
        {},
        {},
        {
            **refused("DeviceTooOldError", "device-too-old"),
            "capability": "7.0",
            "configure": ["none usable", []],
        },
    ),
}


@pytest.mark.parametrize("machine", TABLE)
def test_every_way_to_ask_says_what_is_right_on_every_machine(tmp_path: Path, machine: str) -> None:
    fleet, host_is, variables, expected = TABLE[machine]
    host = Host(tmp_path, fleet, **host_is)
    found = host.run(ASK, **{**POD, **variables})
    pid, said = found.pop("pid"), found.pop("said")
    assert found == expected
    assert not set(host.calls(pid)) & INITIALISING
    if not expected["usable"]:
        assert "too old" not in said
        assert "What to do: " in said or expected["configure"][0] == "none usable"


@pytest.mark.parametrize("failing", ["fail cuInit 999", "hang cuInit"])
def test_outside_of_a_container_a_driver_that_only_cuda_finds_broken_takes_thorough(
    tmp_path: Path, failing: str
) -> None:
    """NVML lists the GPU, and nothing is odd: who starts CUDA asks for that, and does not take NVML's word."""
    host = Host(tmp_path, (H100, failing))
    code = """
import capably
def kind(call):
    try:
        return call()
    except RuntimeError as error:
        return error.code
say([kind(lambda: len(capably.require(">=7.5", thorough=True))), capably.supports(">=7.5", 0, thorough=True),
     len(capably.usable(">=7.5", thorough=True))])
"""
    code_expected = "driver-failed" if "fail" in failing else "probe-timed-out"
    assert host.run(code, CAPABLY_PROBE_TIMEOUT="0.7") == [code_expected, False, 0]
