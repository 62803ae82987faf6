"""``capably audit``: what was promised against what is in the wheel."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import build
import jsonschema
import pytest
import xmlschema
from plain import make_plain
from schemas import fits_schema

from capably.audit import (
    CHECKS,
    Allowance,
    AuditPolicy,
    RemarkSeverity,
    Report,
    audit,
    promised_driver,
    starting_policy,
)
from capably.cli import main
from capably.cli.audit import FORMATS
from capably.cli.policy import policy_of
from capably.codes import FINDINGS
from capably.facts import Driver
from capably.gpu_names import named_devices
from capably.report.audit import audit_text
from capably.report.layout import Style
from capably.scanner import scan
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

SYSTEMS = Path(__file__).parent / "data/systems"
STANDARDS = Path(__file__).parent / "data/standards"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_plain(monkeypatch)
    monkeypatch.setenv("CAPABLY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")  # nothing above counts


def fatbin(*targets: str, version: str = "8.0", compression: build.Compression = "none", **more: Any) -> bytes:
    """A fatbin with one image for each target; those of PTX have *version*."""
    return build.fatbin(
        [
            build.sass(target, compression=compression, **more)
            if target.startswith("sm_")
            else build.ptx_entry(target, version, compression=compression)
            for target in targets
        ]
    )


def wheel(folder: Path, libraries: dict[str, bytes], name: str = "pkg", version: str = "1.0", **more: Any) -> Path:
    return build.wheel(folder, name, version, libraries, **more)


def report(folder: Path, libraries: dict[str, bytes], policy: dict[str, Any] | None = None, **more: Any) -> Report:
    path = wheel(folder, libraries, **more)
    asked = policy_of(policy or {}, "pyproject.toml")
    return audit(scan(path, with_kernels=asked.reads_kernels), asked, size_bytes=path.stat().st_size)


def codes(found: Report, *, allowed: bool = False) -> list[tuple[str, str, str]]:
    return [(r.code, str(r.severity), r.path) for r in found.remarks if (r.allowed is not None) is allowed]


def gpus_of(found: Report, code: str) -> list[str]:
    return [str(gap.device.capability) for r in found.remarks if r.code == code for gap in r.gaps]


# -- what really happened


def test_onnxruntime_26230_ptx_of_90a_is_not_forward_compatible(tmp_path: Path) -> None:
    """1.23 shipped 90a-virtual as its only PTX; RTX 5090 had no kernel image."""
    name = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
    built = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a")
    found = report(
        tmp_path,
        {name: build.library(*[fatbin(*built, "compute_90a")] * 3)},
        {"require": "T4, A100, RTX 4090, H100, RTX 5090", "ptx": "required"},
        name="onnxruntime-gpu",
        version="1.23.0",
    )
    assert codes(found) == [
        ("gpu-not-covered", "error", name),
        ("ptx-missing", "error", name),
        ("arch-specific-ptx", "warning", name),
    ]
    assert gpus_of(found, "gpu-not-covered") == ["12.0"]
    message = found.remarks[2].message
    assert "compute_90a" in message
    assert "3 of 3 fatbins" in message
    assert "compute_90 " in found.remarks[2].way_out
    # The pull request: 90-virtual. The driver for that GPU compiles it, and nothing is left to say.
    fixed = report(
        tmp_path,
        {name: build.library(*[fatbin(*built, "compute_90")] * 3)},
        {"require": "T4, A100, RTX 4090, H100, RTX 5090", "ptx": "required"},
    )
    assert codes(fixed) == []


def test_vllm_26592_wheels_without_the_targets_of_blackwell(tmp_path: Path) -> None:
    """The wheels of CUDA 12.9.1 lacked sm_100 and sm_120, which the project claims."""
    built = ("sm_70", "sm_75", "sm_80", "sm_89", "sm_90")
    libraries = {
        f"vllm/{name}.abi3.so": build.library(*[fatbin(*built)] * count, fatbin(*built, "sm_90a"))
        for name, count in (("_C", 2), ("_moe_C", 1))
    }
    policy = {"targets": "7.0 7.5 8.0 8.9 9.0 9.0a 10.0 12.0", "require": ["H100", "B200", "RTX 5090"]}
    found = report(tmp_path, libraries, policy, name="vllm", version="0.11.0")
    missing = [r for r in found.remarks if r.code == "target-missing"]
    assert [re.findall(r"sm_\w+", r.message)[0] for r in missing] == ["sm_100", "sm_120"]
    assert all(r.severity is RemarkSeverity.ERROR and "nothing in it loads" in r.message for r in missing)
    assert gpus_of(found, "gpu-not-covered") == ["10.0", "12.0"] * 2
    added = {
        name: build.library(*[fatbin(*built, "sm_90a", "sm_100", "sm_120")] * count)
        for count, name in enumerate(libraries, 1)
    }
    assert codes(report(tmp_path, added, policy)) == []


def test_nvbench_308_one_target_was_forgotten(tmp_path: Path) -> None:
    """`sm_89` was left out of the list; L4 ran the code of 8.6, so only a claim finds it."""
    built = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
    libraries = {"cuda/bench/libnvbench.so": build.library(fatbin(*built))}
    claimed = {"targets": [*built, "sm_89"], "require": "L4"}
    found = report(tmp_path, libraries, claimed, name="cuda-bench")
    assert codes(found) == [("target-missing", "error", "")]
    assert "sm_89" in found.remarks[0].message
    assert "served by machine code for other targets" in found.remarks[0].message
    assert codes(report(tmp_path, libraries, {"require": "L4"})) == []
    assert codes(report(tmp_path, {"x.so": build.library(fatbin(*built, "sm_89"))}, claimed)) == []


def test_sglang_24224_nothing_for_a_t4(tmp_path: Path) -> None:
    """Two folders chosen by capability, both from 8.0 on; a T4 is sent to the second."""
    built = fatbin("sm_80", "sm_89", "sm_90", "sm_90a", "sm_100a", "sm_120a", toolkit=(12, 8))
    libraries = {f"sgl_kernel/{folder}/common_ops.abi3.so": build.library(built) for folder in ("sm90", "sm100")}
    libraries["sgl_kernel/sm90/common_ops.abi3.so"] = build.library(built, built)
    found = report(tmp_path, libraries, {"require": "T4, A100, H100"}, name="sgl-kernel", version="0.3.21")
    path = "sgl_kernel/sm100/common_ops.abi3.so"
    assert codes(found) == [("gpu-not-covered", "error", path), ("hole-in-range", "warning", path)]
    assert gpus_of(found, "gpu-not-covered") == ["7.5"]
    assert gpus_of(found, "hole-in-range")[0] == "10.3"  # FBGEMM 6151: sm_100a is for 10.0 alone


def test_onnxruntime_28762_a_list_with_holes(tmp_path: Path) -> None:
    found = report(tmp_path, {"a.so": build.library(fatbin("sm_75", "sm_86", "sm_89", "compute_90"))})
    assert codes(found) == [("hole-in-range", "warning", "a.so")]
    assert gpus_of(found, "hole-in-range") == ["8.0"]  # 8.7 comes in aarch64 machines only


# -- each check, and that it is silent where nothing is wrong


GOOD = ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120", "compute_120")


def test_a_wheel_that_is_right_has_nothing_said_about_it(tmp_path: Path) -> None:
    policy = {
        "require": "T4, A100, RTX 3090, RTX 4090, H100, B200, RTX 5090", "native": "H100", "targets": [*GOOD],
        "ptx": "required", "driver": "R570", "toolkit": "12.8", "max-size": "1 MB", "max-library-size": "1 MB",
    }  # fmt: skip
    found = report(tmp_path, {"a.so": build.library(*[fatbin(*GOOD, version="8.7", toolkit=(12, 8))] * 4)}, policy)
    assert codes(found) == []
    assert [v.coverage for per_gpu in found.verdicts for _, v in per_gpu] == ["full"] * 7


def test_some_fatbins_without_code_for_a_required_gpu(tmp_path: Path) -> None:
    library = build.library(*[fatbin("sm_75", "sm_80")] * 3, fatbin("sm_80"))
    found = report(tmp_path, {"a.so": library}, {"require": "T4, A100"})
    assert codes(found) == [("gpu-partly-covered", "error", "a.so")]
    gap = found.remarks[0].gaps[0]
    assert (str(gap.device.capability), gap.missing, gap.counts.total) == ("7.5", 1, 4)
    assert "1 of 4 fatbins does not load" in " ".join(audit_text([("x.whl", found)], Style()).split())
    found = report(tmp_path, {"a.so": build.library(fatbin("sm_75"), *[fatbin("sm_80")] * 2)}, {"require": "T4"})
    assert "2 of 3 fatbins do not load" in " ".join(audit_text([("x.whl", found)], Style()).split())


def test_ptx_does_not_satisfy_a_demand_for_machine_code(tmp_path: Path) -> None:
    libraries = {"a.so": build.library(fatbin("sm_80", "compute_80"))}
    assert codes(report(tmp_path, libraries, {"require": "H100"})) == []
    assert codes(report(tmp_path, libraries, {"native": "H100"})) == [("gpu-without-machine-code", "error", "a.so")]


def test_what_cannot_be_told_is_no_breach_and_no_pass(tmp_path: Path) -> None:
    libraries = {"a.so": build.library(build.fatbin([build.entry("tileir", "sm_90", b"\x7fTileIR" * 4)]))}
    found = report(tmp_path, libraries, {"require": "H100"})
    assert codes(found) == [("gpu-coverage-unknown", "unknown", "a.so")]


def test_a_wheel_for_the_cpu_breaks_every_promise(tmp_path: Path) -> None:
    found = report(tmp_path, {"a.so": build.elf([])}, {"require": "T4"})
    assert codes(found) == [("no-gpu-code", "error", "")]
    assert codes(report(tmp_path, {"a.so": build.elf([])})) == []


def test_junit_passes_no_gpu_of_a_wheel_without_gpu_code(tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.elf([])})
    assert main(["audit", str(path), "--no-policy", "--require", "T4", "--format", "junit"]) == 1
    root = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - our own
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == [
        "T4 (7.5)",
        "no-gpu-code",
    ]


def test_what_a_device_beyond_the_tables_gets_is_not_known(tmp_path: Path) -> None:
    found = report(tmp_path, {"a.so": build.library(fatbin("sm_90"))}, {"targets": "sm_90 sm_95"})
    (missing,) = (remark for remark in found.remarks if remark.code == "target-missing")
    assert "whether any of it loads on devices of 9.5 is not known" in missing.message


def test_a_driver_that_helps_some_of_the_gpus_is_named(tmp_path: Path) -> None:
    newer = build.fatbin([build.ptx_entry("compute_80", version="8.7")])
    found = report(tmp_path, {"a.so": build.library(newer)}, {"require": "T4, H100", "driver": "R525"})
    (gap,) = (remark for remark in found.remarks if remark.code == "gpu-not-covered")
    assert "`capably plan --gpu" in gap.way_out
    assert gap.way_out.endswith("On H100 (9.0) a driver of R570 or newer loads it as it is.")


def test_wheels_in_a_folder_are_said_to_be_audited_as_one(tmp_path: Path, capsys: Captured) -> None:
    for name in ("one", "two"):
        wheel(tmp_path, {f"{name}/a.so": build.library(fatbin("sm_90"))}, name=name)
    assert main(["audit", str(tmp_path), "--no-policy"]) == 0
    assert "holds 2 archives, audited as one" in capsys.readouterr().err


def test_a_host_that_does_not_fit_is_said_instead_of_its_code(tmp_path: Path) -> None:
    found = report(tmp_path, {"a.so": build.library(fatbin("sm_90"))}, {"require": "DGX Spark, H100"})
    assert codes(found) == [("host-platform", "error", "")]


def test_the_promised_driver_decides(tmp_path: Path) -> None:
    packed = build.library(*[fatbin("sm_80", "compute_80", version="8.7", compression="zstd")] * 2)
    old = report(tmp_path, {"a.so": packed}, {"require": "A100", "driver": "R525"})
    assert codes(old) == [
        ("gpu-not-covered", "error", "a.so"),
        ("compression-beyond-driver", "error", "a.so"),
        ("ptx-beyond-driver", "warning", "a.so"),
    ]
    assert "Promise a driver of R550" in old.remarks[0].way_out
    newer = report(tmp_path, {"a.so": packed}, {"require": "A100", "driver": "R550"})
    assert codes(newer) == [("ptx-beyond-driver", "warning", "a.so")]
    assert codes(report(tmp_path, {"a.so": packed}, {"require": "A100", "driver": "12.8"})) == []


def test_ptx_newer_than_the_tables_needs_a_driver_newer_than_the_tables(tmp_path: Path) -> None:
    library = build.library(fatbin("sm_90", "compute_90", version="12.9"))
    found = report(tmp_path, {"a.so": library}, {"require": "H100", "driver": "R570"})
    assert codes(found) == [("ptx-beyond-driver", "warning", "a.so")]
    assert "promise a driver of CUDA newer than 13.5 or newer" in found.remarks[0].way_out


@pytest.mark.parametrize(
    ("gpu", "floor", "release"),
    [
        ("T4", DriverRelease(525, 60, 13), "525.60.13"),
        ("RTX 5090", DriverRelease(525, 60, 13), "R570"),  # NVIDIA's table: Blackwell from R570 on
        ("V100", DriverRelease(525), "R525"),
        ("B300", DriverRelease(525), "R580"),
        ("V100", DriverRelease(590), "R590"),  # dropped: what is promised is said to fail
    ],
)
def test_the_oldest_driver_that_is_promised_for_a_gpu(gpu: str, floor: DriverRelease, release: str) -> None:
    assert str(promised_driver(named_devices([gpu])[0], Driver(floor)).release) == release


def test_targets_that_nobody_asked_for(tmp_path: Path) -> None:
    usual, stray = fatbin("sm_80", "sm_90"), fatbin("sm_52", "compute_52")
    libraries = {"a.so": build.library(*[usual] * 19, stray)}
    # As in vllm 0.11.0: one file without flags gets the default of the compiler.
    assert codes(report(tmp_path, libraries)) == [("stray-target", "note", "a.so")]
    assert codes(report(tmp_path, {"a.so": build.library(*[usual] * 9, *[fatbin("sm_80", "sm_90a")] * 9)})) == []
    claimed = report(tmp_path, libraries, {"targets": "8.0 9.0"})
    assert codes(claimed) == [("stray-target", "warning", "a.so")]
    assert "sm_52 in 1 of 20, compute_52 in 1 of 20" in claimed.remarks[0].message


def test_a_fatbin_behind_the_others(tmp_path: Path) -> None:
    libraries = {"a.so": build.library(*[fatbin("sm_80", "sm_90", "sm_100")] * 7, fatbin("sm_80", "sm_90"))}
    found = report(tmp_path, libraries)
    assert codes(found) == [("fatbin-behind", "warning", "a.so")]
    assert set(gpus_of(found, "fatbin-behind")) == {"10.0", "10.3", "10.7"}
    assert found.remarks[0].gaps[0].missing == 1
    # Where the policy requires the GPU, the gap is said once.
    assert codes(report(tmp_path, libraries, {"require": "B200, B300, 10.7"})) == [
        ("gpu-partly-covered", "error", "a.so")
    ]


def test_ptx_required_and_forbidden(tmp_path: Path) -> None:
    with_ptx, without = fatbin("sm_90", "compute_90"), fatbin("sm_90")
    libraries = {"a.so": build.library(with_ptx, without)}
    assert codes(report(tmp_path, libraries, {"ptx": "required"})) == [("ptx-missing", "error", "a.so")]
    assert codes(report(tmp_path, libraries, {"ptx": "forbidden"})) == [("ptx-shipped", "error", "a.so")]
    assert codes(report(tmp_path, {"a.so": build.library(with_ptx)}, {"ptx": "required"})) == []
    assert codes(report(tmp_path, {"a.so": build.library(without)}, {"ptx": "forbidden"})) == []
    family = {"a.so": build.library(fatbin("sm_100", "compute_100f", version="8.8"))}
    assert codes(report(tmp_path, family, {"ptx": "required"})) == [("ptx-missing", "error", "a.so")]


def test_whether_relocatable_ptx_is_for_gpus_to_come_is_not_known(tmp_path: Path) -> None:
    """As in bitsandbytes: the linked code is machine code, and PTX is in what it was linked from."""
    origin = build.fatbin([build.entry("ptx", "compute_90", build.ptx("compute_90"), options="-c")])
    sections = [build.section(".nv_fatbin", fatbin("sm_80", "sm_90")), build.section("__nv_relfatbin", origin)]
    found = report(tmp_path, {"a.so": build.elf(sections)}, {"ptx": "required"})
    assert [code for code in codes(found) if code[0] == "ptx-missing"] == [("ptx-missing", "unknown", "a.so")]


def test_another_toolkit_and_another_cuda_major_version(tmp_path: Path) -> None:
    libraries = {
        "a.so": build.library(fatbin("sm_90", toolkit=(12, 8)), needed=("libcudart.so.12",)),
        "b.so": build.library(fatbin("sm_90", toolkit=(12, 8)), needed=("libcublas.so.12",)),
        "c.so": build.library(fatbin("sm_90", toolkit=(11, 8)), needed=("libcudart.so.11.0",)),
    }
    assert codes(report(tmp_path, libraries)) == [("other-cuda-major", "error", "c.so")]
    found = report(tmp_path, libraries, {"toolkit": "12.8"})
    assert codes(found) == [("toolkit-differs", "error", "c.so"), ("other-cuda-major", "error", "c.so")]


def test_code_that_does_not_say_what_made_it_keeps_no_promise(tmp_path: Path) -> None:
    silent = build.fatbin([build.entry("sass", "sm_100", build.cubin("sm_100", toolkit=None))])
    libraries = {"a.so": build.library(silent), "b.so": build.library(fatbin("sm_90", toolkit=(12, 8)))}
    assert codes(report(tmp_path, libraries, {"toolkit": "12.8"})) == [("toolkit-unknown", "unknown", "a.so")]


LINK_INPUT = [
    build.sass("sm_90", relocatable=True),
    build.entry("ptx", "compute_90", build.ptx("compute_90"), options="-c"),
]
RELOCATABLE = build.elf([build.section("__nv_relfatbin", build.fatbin(LINK_INPUT))], object_file=True)
BARE = build.elf([build.section(".rodata", build.cubin("sm_90"))])


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [
        ({"a.o": RELOCATABLE}, [("link-input", "unknown", "a.o")]),
        ({"a.so": BARE}, [("bare-images", "unknown", "a.so")]),
        ({"a.o": RELOCATABLE, "b.so": BARE, "c.so": build.library(fatbin("sm_90", "compute_90"))}, []),
        (
            {"a.so": build.library(fatbin("sm_90"))[:100]},
            [(code, "unknown", "a.so") for code in ("truncated-file", "damaged-fatbin")]
            + [("no-gpu-code", "unknown", "")],
        ),
        ({"a.py": b""}, [("no-gpu-code", "error", "")]),
    ],
)
@pytest.mark.parametrize("policy", [{"require": "H100"}, {"targets": ["sm_90", "compute_90"]}, {"ptx": "required"}])
def test_what_is_never_judged_keeps_no_promise(
    libraries: dict[str, bytes], expected: list[tuple[str, str, str]], policy: dict[str, Any], tmp_path: Path
) -> None:
    found = codes(report(tmp_path, libraries, policy))
    assert sorted(found) == sorted(expected)


def test_a_newer_driver_is_no_way_out_where_it_drops_the_gpu(tmp_path: Path) -> None:
    """From R590 on nothing runs on a V100, so that no PTX is left there that would have to be compiled."""
    libraries = {"a.so": build.library(fatbin("compute_70"))}
    (remark,) = report(tmp_path, libraries, {"native": "V100", "driver": "R525"}).remarks
    assert remark.code == "gpu-without-machine-code"
    assert "driver" not in remark.way_out


def test_a_newer_driver_is_the_way_out_for_what_it_would_load(tmp_path: Path) -> None:
    """What is allowed for another reason stays missing with each driver."""
    parts = build.fatbin([build.ptx_entry("compute_75", "8.7", entries=("late",))]), fatbin("sm_90a"), fatbin("sm_80")
    policy = {"require": "A100", "driver": "R525", "allow": [{"kernel": "k", "reason": "for Hopper only"}]}
    found = report(tmp_path, {"a.so": build.library(*parts)}, policy)
    (left,) = [r for r in found.remarks if r.code == "gpu-partly-covered" and r.allowed is None]
    assert left.way_out.startswith("Promise a driver of R570 or newer")


def test_builds_for_the_cuda_version_of_torch_are_no_mistake(tmp_path: Path) -> None:
    libraries = {
        f"bitsandbytes/libbitsandbytes_cuda{version}.so": build.library(
            fatbin("sm_90"), needed=(f"libcudart.so.{major}",)
        )
        for version, major in (("118", "11.0"), ("128", "12"), ("130", "13"))
    }
    assert codes(report(tmp_path, libraries, {"require": "H100"}, name="bitsandbytes")) == []


def test_copies_and_sizes(tmp_path: Path) -> None:
    library = build.library(fatbin("sm_90", filler=2000))
    found = report(tmp_path, {"libx.so.1": library, "libx.so": library}, {"max-size": "1 kB", "max-library-size": 1000})
    path = found.artifact.libraries[0].path
    assert codes(found) == [
        ("size-over-limit", "error", ""),
        ("size-over-limit", "error", path),
        ("identical-copies", "warning", path),
    ]


def test_a_size_that_is_a_little_too_much_is_told_from_the_limit(tmp_path: Path) -> None:
    library = build.library(fatbin("sm_90", filler=2000))
    found = report(tmp_path, {"libx.so": library}, {"max-library-size": len(library) - 1})
    said = [remark.message for remark in found.remarks]
    assert said == [f"libx.so is {len(library):,} bytes; the policy allows {len(library) - 1:,} bytes"]


# -- what is allowed


def test_an_allowed_gap_is_shown_with_its_reason_and_breaks_nothing(tmp_path: Path) -> None:
    libraries = {"fa3.so": build.library(fatbin("sm_90a")), "a.so": build.library(fatbin("sm_75", "sm_80", "sm_90"))}
    allow = {"library": "fa3*", "gpu": "T4", "reason": "FlashAttention 3 is for Hopper"}
    found = report(tmp_path, libraries, {"require": "T4, H100", "allow": [allow]})
    assert codes(found) == []
    assert codes(found, allowed=True) == [("gpu-not-covered", "error", "fa3.so")]
    assert found.remarks[0].allowed == "FlashAttention 3 is for Hopper"
    # The same gap elsewhere is none of it.
    assert codes(report(tmp_path, libraries, {"require": "A100", "allow": [allow]})) == [
        ("gpu-not-covered", "error", "fa3.so"),
        ("allowance-unused", "warning", ""),
    ]


def test_a_gap_allowed_by_the_names_of_kernels(tmp_path: Path) -> None:
    hopper = fatbin("sm_90a", kernels=("_ZN5flash8fwd_sm90Ev", "_ZN5flash8bwd_sm90Ev"))
    other = fatbin("sm_90a", kernels=("_ZN5flash8fwd_sm90Ev", "_Z4gemmv"))
    usual = fatbin("sm_75", "sm_90")
    allow = {"kernel": "*flash*sm90*", "reason": "there is FlashAttention 2 for the rest"}
    policy = {"require": "T4", "allow": [allow]}
    assert codes(report(tmp_path, {"a.so": build.library(usual, hopper)}, policy)) == []
    found = report(tmp_path, {"a.so": build.library(usual, hopper, other)}, policy)
    assert codes(found) == [("gpu-partly-covered", "error", "a.so")]
    assert found.remarks[0].gaps[0].missing == 1
    assert found.remarks[0].gaps[0].kernels == ("_Z4gemmv", "_ZN5flash8fwd_sm90Ev")
    assert codes(found, allowed=True) == [("gpu-partly-covered", "error", "a.so")]


def test_kernels_are_named_where_they_are_read(tmp_path: Path, capsys: Captured) -> None:
    long = "_ZN1aI" + "Li1E" * 60 + "E1fEv"
    hopper = fatbin("sm_90a", kernels=("_Z4gemmIfEvv", "_Z4gemmIiEvv", "_Z4copyv", long))
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_75", "sm_90"), hopper)})
    assert main(["audit", str(path), "--require", "T4", "--kernels"]) == 1
    assert "what  4 kernels: gemm<…> (2), a<1, 1, 1" in capsys.readouterr().out
    assert main(["audit", str(path), "--require", "T4", "--kernels", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    fits_schema(document)
    (gap,) = document["artifacts"][0]["findings"][0]["gpus"]
    assert {"name": "gemm<…>", "count": 2} in gap["kernels"]
    assert main(["audit", str(path), "--require", "T4"]) == 1
    assert "what" not in capsys.readouterr().out


def test_an_allowance_that_is_not_needed_any_more(tmp_path: Path) -> None:
    allow = {"finding": "hole-in-range", "reason": "nobody has those"}
    found = report(tmp_path, {"a.so": build.library(fatbin(*GOOD))}, {"allow": [allow]})
    assert codes(found) == [("allowance-unused", "warning", "")]
    assert "allow[0]" in found.remarks[0].message
    assert "nobody has those" in found.remarks[0].message


@pytest.mark.parametrize("code", CHECKS)
def test_every_code_has_a_page(code: str) -> None:
    assert FINDINGS[code].title


# -- an older release


def test_what_was_gained_and_lost(tmp_path: Path) -> None:
    older = scan(
        wheel(
            tmp_path, {"a.so": build.library(fatbin("sm_75", "sm_80", "sm_90")), "b.so": build.library(fatbin("sm_90"))}
        )
    )
    newer = scan(wheel(tmp_path, {"a.so": build.library(fatbin("sm_80", "sm_90", "sm_100"))}, version="2.0"))
    found = audit(newer, AuditPolicy(), baseline=(older, 1))
    assert found.comparison is not None
    assert [str(target) for target in found.comparison.targets_lost] == ["sm_75"]
    assert [str(target) for target in found.comparison.targets_gained] == ["sm_100"]
    assert found.comparison.libraries_lost == ("b.so",)
    changes = {str(c.device.capability): (c.before, c.after) for c in found.comparison.changes}
    assert changes["7.5"] == ("partial", "none")
    assert changes["10.0"] == ("none", "full")
    assert changes["8.0"] == ("partial", "full")
    assert "9.0" not in changes
    assert codes(found) == [("coverage-lost", "error", "")]
    assert gpus_of(found, "coverage-lost") == ["7.5"]
    allowed = AuditPolicy(allow=(Allowance("Turing is dropped", ("coverage-lost",), gpus=named_devices(["7.5"])),))
    assert codes(audit(newer, allowed, baseline=(older, 1))) == []
    assert codes(audit(newer, AuditPolicy(), baseline=(newer, 1))) == []


def test_the_comparison_as_text(tmp_path: Path, capsys: Captured) -> None:
    older = wheel(tmp_path, {"a.so": build.library(fatbin("sm_75", "sm_80")), "b.so": build.library(fatbin("sm_80"))})
    newer = wheel(tmp_path, {"a.so": build.library(fatbin("sm_80", "compute_80"))}, version="2.0")
    assert main(["audit", newer.name, "--baseline", older.name]) == 1
    text = capsys.readouterr().out
    assert "the coverage of pkg on T4 (7.5) is none; that of pkg 1.0 was partial" in " ".join(text.split())
    assert re.search(r"\n  T4 \(7.5\) +1 of 2 -> none\n", text)
    assert re.search(r"\n  H100 \(9.0\) +none -> PTX\n", text)
    assert re.search(r"\n  targets lost +sm_75\n  libraries lost +b.so\n  size ", text)
    assert main(["audit", newer.name, "--baseline", newer.name]) == 0
    assert "+0.0 %" in capsys.readouterr().out


def test_a_forward_compatible_wheel_promises_that_it_is(tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_80", "compute_80", toolkit=(12, 0)))})
    assert main(["audit", str(path), "--write-policy"]) == 0
    text = capsys.readouterr().out
    assert 'ptx = "required"' in text
    assert 'targets = ["sm_80", "compute_80"]' in text
    (tmp_path / "p.toml").write_text(text, encoding="utf-8")
    assert main(["audit", str(path), "--policy", "p.toml", "--fail-on", "warning"]) == 0


def test_a_build_that_is_not_there_for_a_gpu(tmp_path: Path, capsys: Captured) -> None:
    """sgl-kernel sends an H100 to a folder that this wheel lacks."""
    path = wheel(
        tmp_path, {"sgl_kernel/sm100/common_ops.so": build.library(fatbin("sm_80", "sm_90"))}, name="sgl-kernel"
    )
    assert main(["audit", str(path), "--require", "A100, H100"]) == 1
    text = capsys.readouterr().out
    assert "[alternative-missing]" in text
    assert re.search(r"H100 +9.0 +R620 +no GPU code ! \(sm90\)\n  !  it does not start there", text)


def test_machine_code_lost_and_a_smaller_share_are_warnings(tmp_path: Path) -> None:
    both, one = fatbin("sm_80", "sm_90", "compute_80"), fatbin("sm_80", "compute_80")
    older = scan(wheel(tmp_path, {"a.so": build.library(both, both, fatbin("sm_80"))}))
    newer = scan(wheel(tmp_path, {"a.so": build.library(both, one, fatbin("sm_80"), fatbin("sm_80"))}, version="2.0"))
    found = audit(newer, AuditPolicy(), baseline=(older, 1))
    assert {("coverage-lost", "warning", "")} == {c for c in codes(found) if c[0] == "coverage-lost"}
    assert "9.0" in gpus_of(found, "coverage-lost")
    native, some = (
        scan(wheel(tmp_path, {"a.so": build.library(kind)}, version=v)) for kind, v in ((both, "3"), (one, "4"))
    )
    found = audit(some, AuditPolicy(), baseline=(native, 1))
    assert codes(found) == [("coverage-lost", "warning", "")]
    assert (
        "pkg on H100 (9.0) is full, some of it as PTX; that of pkg 3 was full, as machine code"
        in found.remarks[0].message
    )


def test_gpus_of_one_processor_are_looked_for_in_the_wheel_for_it(tmp_path: Path, capsys: Captured) -> None:
    for processor in ("x86_64", "aarch64"):
        library = build.library(fatbin("sm_90", "sm_120"), machine=processor)
        wheel(tmp_path, {"a.so": library}, platform=f"manylinux_2_28_{processor}")
    asked = ["audit", "--require", "H100, DGX Spark"]
    assert main([*asked, *(str(path) for path in tmp_path.glob("*.whl"))]) == 0
    assert "another wheel" in capsys.readouterr().out
    assert main([*asked, *(str(path) for path in tmp_path.glob("*x86_64.whl"))]) == 1
    assert "[host-platform]" in capsys.readouterr().out


# -- policies


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("requires = ['T4']", "[tool.capably] requires: is not known; did you mean `require`?"),
        ("xyz = 1", "[tool.capably] xyz: is not known; the keys are require, native"),
        ("require = ['T44']", "[tool.capably] require: unknown GPU: `T44`"),
        ("require = 75", '[tool.capably] require: a text or a list of texts was expected; write it in quotes: "75"'),
        ("require = ['T4', 8.0]", 'write it in quotes: "8.0"'),
        ("require = ['']", "[tool.capably] require: it is empty"),
        ("require = []", "[tool.capably] require: it names no GPU"),
        ("require = ['RTX 6000']", "[tool.capably] require: `RTX 6000` is more than one GPU"),
        ("targets = 'sm_9x'", "[tool.capably] targets: not a target: `sm_9x`"),
        ("ptx = 'maybe'", "[tool.capably] ptx: `maybe` is neither `required` nor `forbidden`"),
        ("ptx = true", "[tool.capably] ptx: `True` is neither"),
        ("driver = '99'", "[tool.capably] driver: `99` is neither a release nor a CUDA version"),
        ("driver = 570", "[tool.capably] driver: a text was expected"),
        ("targets = '9.0+PTXs'", "[tool.capably] targets: `9.0+PTXs` is no target"),
        ("toolkit = ','", "[tool.capably] toolkit: `` is not the full version"),
        ("toolkit = '12.7'", "[tool.capably] toolkit: there was no CUDA toolkit 12.7"),
        ("max-size = 'much'", "[tool.capably] max-size: `much` is no size, such as `300 MB`"),
        ("max-size = -1", "[tool.capably] max-size: `-1`: a size above 0 was expected"),
        ("max-size = " + "9" * 5000, "it is not TOML: Exceeds the limit"),
        ("max-size = true", "[tool.capably] max-size: a text was expected"),
        ("max-size = '0 MB'", "[tool.capably] max-size: `0 MB`: a size above 0"),
        ("allow = 'all'", "[tool.capably] allow: tables were expected: [[tool.capably.allow]]"),
        ("allow = ['all']", "allow[0]: a table was expected"),
        ("[[tool.capably.allow]]\nlibrary = 'a'", "[tool.capably] allow[0].reason: is missing"),
        ("[[tool.capably.allow]]\nreason = 'a'", "[tool.capably] allow[0]: it allows everything"),
        ("[[tool.capably.allow]]\nreason = 'a'\nlib = 'b'", "allow[0].lib: is not known; did you mean `library`?"),
        ("[[tool.capably.allow]]\nreason = 'a'\nfinding = 'stray'", "no finding is called `stray`"),
        (
            "[[tool.capably.allow]]\nreason = 'a'\nkernel = 'k'\nfinding = 'stray-target'",
            "allow[0].kernel: kernels are",
        ),
        ("ptx = ", "it is not TOML"),
        ("a = " + "[" * 5000, "nested too deep"),
    ],
)
def test_a_malformed_policy_is_refused_by_file_and_key(
    text: str, expected: str, tmp_path: Path, capsys: Captured
) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    (tmp_path / "policy.toml").write_text(f"[tool.capably]\n{text}\n")
    assert main(["audit", str(path), "--policy", "policy.toml"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: policy.toml: ")
    assert expected in shown.err


def test_all_that_is_wrong_in_a_policy_is_told_at_once(tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    (tmp_path / "p.toml").write_text(
        "[tool.capably]\nrequire = ['T44', 'H100', 'H1000', 'RTX 6000']\nnative = 'T45'\ndriver = '99'\n"
        "[[tool.capably.allow]]\nreason = 'a'\ngpu = ['T46', 'T47']\n"
    )
    assert main(["audit", str(path), "--policy", "p.toml"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: p.toml: [tool.capably] require: unknown GPU: `T44`")
    for text in (
        "(also unknown GPU: `H1000`",
        "(also `RTX 6000` is more than one GPU",
        "[tool.capably] native: unknown GPU: `T45`",
        "[tool.capably] driver: `99` is neither",
        "[tool.capably] allow[0].gpu: unknown GPU: `T46`",
        "also unknown GPU: `T47`",
    ):
        assert text in shown
    assert main(["audit", str(path), "--require", "T44, T45"]) == 2
    shown = capsys.readouterr().err
    assert "`T44`" in shown
    assert "also unknown GPU: `T45`" in shown
    many = ", ".join(f"'X{number}000'" for number in range(1000))
    (tmp_path / "p.toml").write_text(f"[tool.capably]\nrequire = [{many}]\n")
    assert main(["audit", str(path), "--policy", "p.toml"]) == 2
    assert capsys.readouterr().err.count("unknown GPU") == 9


def test_a_driver_beyond_the_tables_is_told_of_and_a_slip_is_none(tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    newest = tables().branches[-1].number
    for driver, code in ((f"R{newest}", 0), (f"R{newest + 200}", 0), ("R9999", 2), ("R5250", 2), ("5250.10", 2)):
        assert main(["audit", str(path), "--require", "H100", "--driver", driver]) == code
        shown = capsys.readouterr().err
        assert ("is newer than any driver known" in shown) == (driver == f"R{newest + 200}")
        assert (f"expected one that there is, such as `R{newest}`" in shown) == (code == 2)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff\xfe", "it is not UTF-8"),
        (b"[tool]\ncapably = 1\n", "a table was expected"),
        (b"[project]\n", "it has no table [tool.capably]"),
        (b"tool = 3\n", "it has no table [tool.capably]"),
        (b"#" * (1 << 20) + b"\n", "larger than"),
        (b"a." * 100_000 + b"b = 1\n", "has more than 2000 dots"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(content: bytes, expected: str, tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    (tmp_path / "policy.toml").write_bytes(content)
    assert main(["audit", str(path), "--policy", "policy.toml"]) == 2
    assert expected in capsys.readouterr().err


def test_a_policy_that_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    assert main(["audit", str(path), "--policy", "none.toml"]) == 2
    assert "none.toml: it cannot be read: No such file" in capsys.readouterr().err


def test_the_nearest_pyproject_is_the_policy_and_options_come_before_it(tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    (tmp_path / "pyproject.toml").write_text("[tool.capably]\nrequire = ['T4']\n")
    assert main(["audit", str(path)]) == 1
    assert "by the policy in pyproject.toml" in capsys.readouterr().err
    assert main(["audit", str(path), "--require", "H100"]) == 0
    assert main(["audit", str(path), "--no-policy"]) == 0
    assert main(["audit", "--check-policy"]) == 0
    assert "well formed: pyproject.toml" in capsys.readouterr().err
    assert main(["audit", "--check-policy", "--no-policy"]) == 2
    assert "there is no policy to check" in capsys.readouterr().err
    assert main(["audit", str(path), "--targets", ""]) == 2
    assert "--targets: it is empty" in capsys.readouterr().err
    assert main(["audit"]) == 2
    assert "name a wheel to audit" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["audit", str(path), "--no-policy", "--policy", "pyproject.toml"]) == 2
    assert main(["audit", str(path), "--driver", "99"]) == 2
    assert "--driver: `99` is neither" in capsys.readouterr().err


def test_an_unreadable_baseline_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    path = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    (tmp_path / "text.whl").write_bytes(b"no zip")
    (tmp_path / "cut.whl").write_bytes(path.read_bytes()[:500])
    for name, problem in (
        ("text.whl", "it is nothing that capably reads"),
        ("cut.whl", "cut off"),
        ("gone.whl", "gone"),
    ):
        assert main(["audit", str(path), "--baseline", name]) == 2
        shown = capsys.readouterr()
        assert "nothing is wrong with it" in shown.out or "1.0" in shown.out  # what can be told without it
        assert "compared" not in shown.out
        assert name in shown.err
        assert problem in shown.err


def test_a_policy_that_is_written_is_passed(tmp_path: Path, capsys: Captured) -> None:
    libraries = {
        "a.so": build.library(*[fatbin(*GOOD, toolkit=(12, 8), version="8.7")] * 3, fatbin("sm_90", toolkit=(12, 8))),
        "fa[3].so": build.library(fatbin("sm_90a", toolkit=(12, 8))),
    }
    path = wheel(tmp_path, libraries)
    assert main(["audit", str(path), "--write-policy"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "policy.toml").write_text(text, encoding="utf-8")
    assert main(["audit", str(path), "--policy", "policy.toml", "--fail-on", "warning"]) == 0, capsys.readouterr().out
    written = starting_policy(scan(path))
    assert written.driver == Driver(DriverRelease(525))  # the first of CUDA 12; newer GPUs have their own
    assert written.toolkits == (CudaVersion(12, 8),)
    assert written.ptx is None
    assert written.targets == ()  # not every library has them
    # And nothing less is.
    worse = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))}, version="1.1")
    assert main(["audit", str(worse), "--policy", "policy.toml"]) == 1
    capsys.readouterr()
    assert main(["audit", str(path), str(worse), "--write-policy"]) == 2
    capsys.readouterr()
    for form in (["--json"], ["--format", "json"], ["--format", "sarif"]):
        assert main(["audit", str(path), "--write-policy", *form]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "--write-policy prints TOML" in shown.err


# -- exit codes


def test_exit_codes_follow_fail_on(tmp_path: Path, capsys: Captured) -> None:
    full = build.library(fatbin("sm_75", "sm_90"))
    some = build.library(fatbin("sm_75", "sm_90"), fatbin("sm_90"))
    unknown = build.library(build.fatbin([build.entry("tileir", "sm_90", b"\x7fTileIR" * 4)]))
    behind = build.library(*[fatbin("sm_75", "sm_90", "sm_100")] * 3, fatbin("sm_75", "sm_90"))
    cases = {
        "full": (full, {"none": 0, "partial": 0, "unknown": 0, "warning": 0}),
        "some": (some, {"none": 0, "partial": 1, "unknown": 1, "warning": 1}),
        "none": (build.library(fatbin("sm_90")), {"none": 1, "partial": 1, "unknown": 1, "warning": 1}),
        "unknown": (unknown, {"none": 3, "partial": 3, "unknown": 1, "warning": 1}),
        "behind": (behind, {"none": 0, "partial": 0, "unknown": 0, "warning": 1}),
    }
    for name, (library, expected) in cases.items():
        path = wheel(tmp_path, {"a.so": library}, name=name)
        for level, code in expected.items():
            assert main(["audit", str(path), "--require", "T4", "--fail-on", level]) == code, (name, level)
    assert main(["audit", str(tmp_path / "gone.whl")]) == 2
    capsys.readouterr()


# -- formats

HOSTILE = "p\x1b[31m\x01é,:%\r\n::error::x]]><&\"'.so"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A wheel of which everything is wrong, with names that every format would trip over."""
    return wheel(
        tmp_path,
        {HOSTILE: build.library(*[fatbin("sm_80", "compute_90a")] * 2), "b.so": build.library(fatbin("sm_75"))},
    )


def answer(capsys: Captured, path: Path, format_: str, code: int = 1, *more: str) -> str:
    arguments = ["audit", path.name, "--require", "T4, H100", "--ptx", "required", "--format", format_, "-q", *more]
    assert main(arguments) == code
    return capsys.readouterr().out


def test_text_is_printable_and_fits(hostile: Path, capsys: Captured) -> None:
    for more in ((), ("-v",)):
        text = answer(capsys, hostile, "text", 1, *more)
        assert all(line.isprintable() and len(line) <= 80 for line in text.splitlines())
        assert "[gpu-not-covered]" in text
    assert "\x1b[31merror" in answer(capsys, hostile, "text", 1, "--color", "always")


def test_json_is_as_the_schema_says(hostile: Path, capsys: Captured) -> None:
    document = json.loads(answer(capsys, hostile, "json"))
    fits_schema(document, "audit")
    assert document["artifacts"][0]["findings"][0]["code"] == "gpu-not-covered"
    again = json.loads(answer(capsys, hostile, "json", 1, "--baseline", str(hostile)))
    fits_schema(again, "audit")
    assert again["artifacts"][0]["comparison"]["gpus"] == []


def test_sarif_is_as_its_schema_says(hostile: Path, capsys: Captured) -> None:
    document = json.loads(answer(capsys, hostile, "sarif"))
    standard = json.loads((STANDARDS / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    jsonschema.Draft4Validator.check_schema(standard)
    jsonschema.Draft4Validator(standard).validate(document)
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        # What GitHub's code scanning needs beyond the schema.
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert all(line.isprintable() for line in result["message"]["text"].split("\n"))
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == hostile.name
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert result["partialFingerprints"]
        assert "\x1b" not in json.dumps(result, ensure_ascii=False)
    assert {result["level"] for result in run["results"]} <= {"error", "warning", "note", "none"}
    prints = [json.dumps(result["partialFingerprints"]) for result in run["results"]]
    assert len(set(prints)) == len(prints)


def test_what_is_allowed_is_suppressed_in_sarif(hostile: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "p.toml").write_text(
        "[tool.capably]\nrequire = 'T4'\n[[tool.capably.allow]]\ngpu = 'T4'\nreason = 'Turing is dropped'\n"
    )
    assert main(["audit", hostile.name, "--policy", "p.toml", "--format", "sarif"]) == 0
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    suppressed = [result for result in results if "suppressions" in result]
    assert [result["ruleId"] for result in suppressed] == ["gpu-not-covered"]
    assert suppressed[0]["suppressions"][0]["justification"] == "Turing is dropped"


# A workflow command as GitHub documents it: ::name key=value,key=value::data on one line. In data % and line breaks
# are escaped, in values : and , too.
COMMAND = re.compile(
    r"::(error|warning|notice) ((?:file|title)=(?:[^%:,\r\n]|%25|%0D|%0A|%3A|%2C)*"
    r"(?:,(?:file|title)=(?:[^%:,\r\n]|%25|%0D|%0A|%3A|%2C)*)*)::((?:[^%\r\n]|%25|%0D|%0A)+)"
)


def test_github_annotations_follow_the_documented_grammar(hostile: Path, tmp_path: Path, capsys: Captured) -> None:
    lines = answer(capsys, hostile, "github").split("\n")
    assert lines.pop() == ""
    commands = [line for line in lines if line.startswith("::")]
    assert len(commands) == len(lines) - 1  # the last says how it went
    assert all(COMMAND.fullmatch(line) for line in commands)
    assert lines[-1].startswith("pkg-1.0")
    assert any("::error" in line[2:] for line in commands), "the name of the file is there, and is no command"
    (tmp_path / "pyproject.toml").write_text("[tool.capably]\nrequire = 'T4'\n")
    assert main(["audit", hostile.name, "--format", "github", "-q"]) == 1
    assert "::error file=pyproject.toml,title=" in capsys.readouterr().out


def test_whether_a_gpu_lost_what_was_unknown_is_unknown(tmp_path: Path) -> None:
    before = {"a.so": build.library(build.fatbin([build.entry("tileir", "sm_90", b"\1" * 64)]))}
    after = {"a.so": build.library(fatbin("sm_80"))}
    older, newer = (scan(wheel(tmp_path, made, version=str(one))) for one, made in enumerate((before, after)))
    remarks = audit(newer, AuditPolicy(), baseline=(older, None)).remarks
    assert {str(r.severity) for r in remarks if r.code == "coverage-lost"} == {"unknown"}


def test_no_name_of_a_wheel_is_a_workflow_command(tmp_path: Path, capsys: Captured) -> None:
    """The runner takes `##[command]` anywhere in a line that is no command of the newer form."""
    for name in ("::error::x.so", "a ##[stop-commands]x.so", "##[error]x.so"):
        (tmp_path / name).write_bytes(build.library(fatbin("sm_90")))
        assert main(["audit", "--require", "H100", "--format", "github", "-q", "--", name]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert "##[" not in line
        assert not line.startswith("::")
        assert "x.so - nothing is wrong with it" in line


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_shown_in_each_format(tmp_path: Path, capsys: Captured) -> None:
    name = os.fsdecode(b"a\xff.so")
    (tmp_path / name).write_bytes(build.library(fatbin("sm_90")))
    for format_ in FORMATS:
        assert main(["audit", "--require", "T4", "--format", format_, "-q", name]) == 1
        shown = capsys.readouterr().out
        assert shown.encode("utf-8")
        assert format_ != "sarif" or '"uri": "a%FF.so"' in shown


def test_junit_is_what_its_readers_expect(hostile: Path, capsys: Captured) -> None:
    text = answer(capsys, hostile, "junit")
    root = ET.fromstring(text)  # noqa: S314 - our own
    check_junit(root)
    failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    assert failed == ["T4 (7.5)", "H100 (9.0)", "ptx-missing"]
    assert {case.get("name") for case in root.iter("testcase")} > {"target-missing", "size-over-limit"}


def test_a_gpu_on_which_a_build_does_not_start_fails_its_case(tmp_path: Path, capsys: Captured) -> None:
    libraries = {"a.so": build.library(fatbin("sm_75"), needed=("libcudart.so.13",))}
    path = wheel(tmp_path, libraries)
    assert main(["audit", str(path), "--require", "T4", "--driver", "R525", "--format", "junit"]) == 1
    root = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - our own
    check_junit(root)
    assert [c.get("name") for c in root.iter("testcase") if c.find("failure") is not None] == ["T4 (7.5)"]


def check_junit(root: ET.Element) -> None:
    """The schema of Jenkins, and what it leaves open: counts that agree, names, and one outcome for each case."""
    xmlschema.XMLSchema(STANDARDS / "junit-10.xsd").validate(root)
    assert root.tag == "testsuites"
    suites = root.findall("testsuite")
    for name in ("tests", "failures", "errors"):
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in suites)
    for suite in suites:
        cases = suite.findall("testcase")
        assert suite.attrib["name"]
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
        assert len({case.attrib["name"] for case in cases}) == len(cases)
        for case in cases:
            assert case.attrib["classname"]
            assert case.attrib["name"]
            assert float(case.attrib["time"]) >= 0
            assert len(case.findall("failure") + case.findall("error")) <= 1
            for outcome in (*case.findall("failure"), *case.findall("error")):
                assert outcome.attrib["message"]
                assert outcome.attrib["type"]


@pytest.mark.parametrize("format_", ["json", "sarif", "junit", "github"])
def test_what_cannot_be_read_is_in_every_format(format_: str, capsys: Captured) -> None:
    assert main(["audit", "gone.whl", "--format", format_]) == 2
    shown = capsys.readouterr()
    assert "gone.whl" in shown.out
    assert "gone.whl" in shown.err
    if format_ == "junit":
        check_junit(ET.fromstring(shown.out))  # noqa: S314 - our own


# -- hostile wheels


def test_a_bomb_in_a_payload_is_a_finding(tmp_path: Path, capsys: Captured) -> None:
    """A cubin of 80 MB in 10 kB: nothing is known of its kernels, so nothing is promised by it."""
    bomb = build.entry("sass", "sm_90", build.cubin("sm_90", filler=80 << 20), compression="zstd")
    path = wheel(tmp_path, {"a.so": build.library(build.fatbin([bomb]))})
    (tmp_path / "p.toml").write_text(
        "[tool.capably]\nrequire = 'H100'\n[[tool.capably.allow]]\nkernel = 'x'\nreason = 'y'\n"
    )
    code = main(["audit", str(path), "--policy", "p.toml", "--json"])
    document = json.loads(capsys.readouterr().out)
    found = {finding["code"]: finding["severity"] for finding in document["artifacts"][0]["findings"]}
    assert found["limit-reached"] == "unknown"
    assert code == 3


def test_a_wheel_that_is_none(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.whl").write_bytes(b"PK\x03\x04" + bytes(50))
    good = wheel(tmp_path, {"a.so": build.library(fatbin("sm_90"))})
    assert main(["audit", "x.whl", good.name, "--require", "T4"]) == 2
    shown = capsys.readouterr()
    assert "x.whl: it begins like a zip but has no end" in shown.err
    assert "[gpu-not-covered]" in shown.out  # the other is audited all the same
