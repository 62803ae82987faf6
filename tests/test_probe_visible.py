"""``CUDA_VISIBLE_DEVICES``: the rules as cases.

`documented` cases follow from NVIDIA's documents; `reported` ones from what PyTorch's parser or nvitop do, and
`open` ones are undecided: only a real driver can settle them. The parser has to call both `assumed`, so that the
probe asks the driver. On the simulated driver the documented cases are compared with a second parser, written
apart from this one.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes import Host, needs_compiler
from hypothesis import given
from hypothesis import strategies as st

from capably.arch import ComputeCapability
from capably.facts import Confidence, Device
from capably.probe.visible import alike, by_pci, cuda_order, parse_visible

if TYPE_CHECKING:
    from pathlib import Path

# PCI order; NVML may list them in any.
RTX = Device(ComputeCapability(12, 0), "RTX 5090", uuid="GPU-22222222-aaaa-0000-0000-000000000001", pci="0000:01:00.0")
HOPPER = Device(ComputeCapability(9, 0), "H100", uuid="GPU-11111111-aaaa-0000-0000-000000000002", pci="0000:41:00.0")
TURING = Device(ComputeCapability(7, 5), "T4", uuid="GPU-22f33333-aaaa-0000-0000-000000000003", pci="0000:81:00.0")
FLEET = (HOPPER, TURING, RTX)
SHORT = {"5": RTX, "H": HOPPER, "T": TURING}

DOCUMENTED: list[tuple[str | None, str, str]] = [
    # value, what is seen in PCI order, findings
    (None, "5HT", ""),
    ("", "", ""),
    ("0", "5", ""),
    ("1", "H", ""),
    ("2", "T", ""),
    ("1,0", "H5", ""),
    ("2,1,0", "TH5", ""),
    ("0,1,2", "5HT", ""),
    ("0,5,1", "5", "visible-entry-invalid"),
    ("0,-1,1", "5", "visible-entry-invalid"),
    ("0,2,-1,1", "5T", "visible-entry-invalid"),
    ("-1", "", "visible-entry-invalid"),
    ("3", "", "visible-entry-invalid"),
    ("-1,0", "", "visible-entry-invalid"),
    ("99999999999999999999", "", "visible-entry-invalid"),
    ("9" * 5_000, "", "visible-entry-invalid"),  # more digits than Python makes a number of
    ("GPU-11111111-aaaa-0000-0000-000000000002", "H", ""),
    ("GPU-1111", "H", ""),
    ("GPU-1", "H", ""),
    ("GPU-2", "", "visible-entry-invalid"),  # fits two
    ("GPU-22222222", "5", ""),
    ("GPU-22f", "T", ""),
    ("GPU-22222222,GPU-11111111", "5H", ""),
    ("GPU-11111111,GPU-22222222", "H5", ""),
    ("GPU-11111111,GPU-22f33333,GPU-22222222", "HT5", ""),
    ("GPU-22222222,GPU-9", "5", "visible-entry-invalid"),
    ("GPU-9,GPU-22222222", "", "visible-entry-invalid"),
    ("GPU-", "", "visible-entry-invalid"),
    ("NoDevFiles", "", "visible-entry-invalid"),
    ("all", "", "visible-value-of-containers"),
    ("none", "", "visible-value-of-containers"),
    ("void", "", "visible-value-of-containers"),
    ("0,all", "5", "visible-value-of-containers"),
    ("MIG-aaaaaaaa-0000-0000-0000-000000000000", "", "visible-entry-invalid"),  # no GPU is partitioned
]
# What others report; a real driver has the last word.
REPORTED: list[tuple[str, str, str]] = [
    ("0,0", "", "visible-duplicate"),
    ("0,1,0", "", "visible-duplicate"),
    ("GPU-22222222,GPU-22222222-aaaa", "", "visible-duplicate"),
    ("GPU-11111111,GPU-11111111", "", "visible-duplicate"),
    ("1gpu2,2ampere", "HT", ""),
    (" 1", "H", ""),
    ("+1", "H", ""),
    ("0x1", "5", ""),
    ("0 ,1", "5H", ""),
    ("0,GPU-11111111", "5", "visible-entry-invalid"),
    ("GPU-11111111,0", "H", "visible-entry-invalid"),
    ("gpu-11111111", "", "visible-entry-invalid"),
    ("GPU-11111111-AAAA", "", "visible-entry-invalid"),
    ("GPU-22222222, GPU-11111111", "5", "visible-entry-invalid"),
    ("0,5,5", "5", "visible-entry-invalid"),
]


def seen(devices: tuple[Device, ...]) -> str:
    return "".join(next(key for key, device in SHORT.items() if device.uuid == found.uuid) for found in devices)


@pytest.mark.parametrize(("value", "expected", "findings"), DOCUMENTED)
def test_documented(value: str | None, expected: str, findings: str) -> None:
    found = parse_visible(value, FLEET, "PCI_BUS_ID")
    assert seen(found.devices) == expected
    assert found.confidence is Confidence.PARSED
    assert [finding.code for finding in found.findings] == findings.split()
    assert [device.ordinal for device in found.devices] == list(range(len(found.devices)))
    assert {device.confidence for device in found.devices} <= {Confidence.PARSED}


@pytest.mark.parametrize(("value", "expected", "findings"), REPORTED)
def test_reported_cases_are_marked_as_assumed(value: str, expected: str, findings: str) -> None:
    found = parse_visible(value, FLEET, "PCI_BUS_ID")
    assert seen(found.devices) == expected
    assert [finding.code for finding in found.findings] == findings.split()
    assert found.confidence is Confidence.ASSUMED


def test_an_empty_beginning_fits_the_only_gpu_perhaps() -> None:
    found = parse_visible("GPU-", (HOPPER,), "PCI_BUS_ID")
    assert found.devices == ()
    assert found.confidence is Confidence.ASSUMED


def test_a_trailing_comma_is_no_entry() -> None:
    found = parse_visible("1,", FLEET, "PCI_BUS_ID")
    assert seen(found.devices) == "H"
    assert found.findings == ()


def test_there_are_at_least_forty_cases() -> None:
    assert len({value for value, *_ in (*DOCUMENTED, *REPORTED)}) >= 40


@pytest.mark.parametrize("order", [None, "FASTEST_FIRST"])
def test_without_pci_order_a_number_is_an_assumption_and_a_uuid_is_not(order: str | None) -> None:
    assert parse_visible("0", FLEET, order).confidence is Confidence.ASSUMED
    assert parse_visible(None, FLEET, order).confidence is Confidence.ASSUMED
    assert parse_visible("7", FLEET, order).confidence is Confidence.PARSED  # none, in any order
    assert parse_visible("GPU-11,GPU-22f", FLEET, order).confidence is Confidence.PARSED
    assert parse_visible("0", FLEET[:1], order).confidence is Confidence.PARSED


def test_order_is_by_domain_bus_and_device() -> None:
    places = ["0001:01:00.0", "0000:81:00.0", "0000:0a:01.0", "0000:0a:00.0"]
    fleet = [replace(RTX, pci=place) for place in places]
    assert [device.pci for device in by_pci(fleet)] == sorted(places)
    assert by_pci([replace(RTX, pci=None), HOPPER])[0] is HOPPER
    assert cuda_order(fleet, "PCI_BUS_ID")[1] is Confidence.PARSED
    assert cuda_order(fleet, None)[1] is Confidence.ASSUMED
    assert alike([HOPPER, replace(HOPPER, uuid="GPU-other", pci="0000:42:00.0")])
    assert not alike([HOPPER, RTX])


PARENT = Device(ComputeCapability(8, 0), "A100", uuid="GPU-88888888", pci="0000:0a:00.0", mig_mode=True)
SLICES = tuple(
    replace(PARENT, uuid=f"MIG-{digit * 8}-0000", mig_mode=None, mig_profile=profile)
    for digit, profile in (("a", "1g.5gb"), ("b", "2g.10gb"))
)


@pytest.mark.parametrize(
    ("value", "expected", "confidence", "findings"),
    [
        (None, ["MIG-aaaaaaaa-0000"], "assumed", "mig-first-only"),
        ("0", ["MIG-aaaaaaaa-0000"], "assumed", "mig-first-only"),
        ("", [], "parsed", ""),
        ("MIG-bbbbbbbb-0000", ["MIG-bbbbbbbb-0000"], "parsed", ""),
        ("MIG-bbbbbbbb-0000,MIG-aaaaaaaa-0000", ["MIG-bbbbbbbb-0000"], "parsed", "mig-first-only"),
        ("MIG-b", [], "assumed", "visible-entry-invalid"),
        ("MIG-cccccccc-0000", [], "parsed", "visible-entry-invalid"),
        ("MIG-GPU-88888888/1/0", [], "assumed", "visible-entry-invalid"),
        ("GPU-11111111", [HOPPER.uuid], "assumed", ""),
        ("GPU-88888888", [], "assumed", "visible-entry-invalid"),
    ],
)
def test_slices(value: str | None, expected: list[str], confidence: str, findings: str) -> None:
    found = parse_visible(value, (PARENT, *SLICES, HOPPER))
    assert [device.uuid for device in found.devices] == expected
    assert found.confidence == confidence
    assert [finding.code for finding in found.findings] == findings.split()


@pytest.mark.parametrize(
    ("fleet", "hidden"),
    [
        ((PARENT, *SLICES, HOPPER), 2),
        ((PARENT, *SLICES), 1),
        ((PARENT, SLICES[0], HOPPER), 1),
        ((PARENT, SLICES[0]), 0),
        ((PARENT, HOPPER), 0),
    ],
)
def test_what_stays_hidden_beside_a_slice_is_counted(fleet: tuple[Device, ...], hidden: int) -> None:
    said = [finding.message for finding in parse_visible(None, fleet).findings]
    assert [int(number) for text in said for number in re.findall("[0-9]+", text)] == [hidden] * bool(hidden)


def test_slices_of_one_gpu_are_in_the_order_of_their_profiles() -> None:
    assert by_pci(SLICES[::-1]) == SLICES


def test_a_partitioned_gpu_without_slices_is_not_seen() -> None:
    assert [device.uuid for device in parse_visible(None, (PARENT, HOPPER)).devices] == [HOPPER.uuid]


@given(st.text("0123,-+ GPUMIGx", max_size=24), st.sampled_from((None, "PCI_BUS_ID")))
def test_any_value_gives_distinct_devices_of_the_fleet(value: str, order: str | None) -> None:
    found = parse_visible(value, FLEET, order)
    uuids = [device.uuid for device in found.devices]
    assert len(set(uuids)) == len(uuids)
    assert set(uuids) <= {device.uuid for device in FLEET}
    assert [device.ordinal for device in found.devices] == list(range(len(uuids)))


@needs_compiler
def test_documented_cases_are_those_of_the_simulated_driver(tmp_path: Path) -> None:
    lines = [
        f"gpu cc={d.capability} uuid={d.uuid} pci={d.pci} name={(d.name or '').replace(' ', '_')} memory=1 sm=1 speed=1"
        for d in FLEET
    ]
    host = Host(tmp_path, tuple(lines))
    code = """
import subprocess, sys
one = '''
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
cuda.cuInit(0)
count, pci, out = ctypes.c_int(), ctypes.create_string_buffer(32), []
cuda.cuDeviceGetCount(ctypes.byref(count))
for device in range(count.value):
    cuda.cuDeviceGetPCIBusId(pci, 32, device)
    out.append(pci.value.decode())
print(",".join(out))
'''
answers = []
for value in json.loads(os.environ["VALUES"]):
    variables = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if value is not None:
        variables["CUDA_VISIBLE_DEVICES"] = value
    done = subprocess.run([sys.executable, "-I", "-S", "-c", one], env=variables, capture_output=True, text=True, check=True)
    answers.append(done.stdout.strip())
say(answers)
"""
    values = [value for value, *_ in DOCUMENTED]
    answers: Any = host.run(code, VALUES=json.dumps(values))
    for value, answer in zip(values, answers, strict=True):
        expected = parse_visible(value, FLEET, "PCI_BUS_ID").devices
        assert answer == ",".join(device.pci or "" for device in expected), value
