"""The gate on simulated machines: who decides, what is raised, and what is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes import RTX3090, RTX4090, T4, Host, needs_compiler

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_compiler

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
    kind, text = asked(host, "fp8")
    assert kind == "DeviceTooOldError"
    assert "GPU 0, NVIDIA GeForce RTX 4090 (8.9): does" in text
    assert "GPU 1, NVIDIA GeForce RTX 3090 (8.6): " in text
    assert f"CUDA_VISIBLE_DEVICES={uuid}" in text


def test_what_is_not_there_is_never_called_too_old(tmp_path: Path) -> None:
    none = Host(tmp_path / "none", (), nvml=False, cuda=False)
    hidden = Host(tmp_path / "hidden", (T4,), environ={"CUDA_VISIBLE_DEVICES": ""})
    failing = Host(tmp_path / "failing", (T4, "fail cuInit 803"), nvml=False)
    for host, expected in ((none, "NoDeviceError"), (hidden, "HiddenDeviceError"), (failing, "DriverError")):
        kind, text = asked(host, "sm75+")
        assert kind == expected
        assert "too old" not in text
        assert "What to do: " in text


@pytest.mark.parametrize(
    ("named", "requirement", "expected"),
    [
        ("sm_90,sm_75", "sm75+", "passes"),
        ("sm_90,sm_75", "sm80+", "DeviceTooOldError"),
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


def test_the_override_stands_back_where_a_gpu_is_here(tmp_path: Path) -> None:
    host = Host(tmp_path, (T4,))
    kind, text = asked(host, "sm80+", CAPABLY_GPUS="sm_90", TORCH_CUDA_ARCH_LIST="9.0")
    assert kind == "DeviceTooOldError"
    assert "Ignored: CAPABLY_GPUS=sm_90" in text
    assert "Ignored: TORCH_CUDA_ARCH_LIST=9.0" in text
    assert asked(host, "sm80+", "policy='override'", CAPABLY_GPUS="sm_90") == ["passes", [None]]
