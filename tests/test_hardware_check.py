"""The hardware check, from its command line to its record, against the simulated driver.

That driver has rules of its own for what loads, so that agreement says something; and one of them can be broken,
so that it is seen that the check can fail. What only a real GPU can tell, this cannot.
"""

from __future__ import annotations

import copy
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import build
import pytest
from fakes import A100, COMPILER, H100, RTX3090, RTX4090, SLICE1, SLICE2, Host, needs_compiler

from capably.probe import Machine
from capably.probe.compilers import find_compilers

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools/hardware_check.py"
sys.path.insert(0, str(ROOT / "tools"))

import hardware_check  # noqa: E402 - tools are no package

TARGETS = ("sm_80", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_100f", "sm_103a", "sm_120")
FEW = ("sm_[89]*", "stub*", "relocatable*", "all*", "lowest*")
TEXTS = ("compute_75-9.*", "compute_90*.ptx*", "compute_100f*.ptx")
B300 = "gpu cc=10.3 uuid=GPU-55555555-aaaa-0000-0000-000000000005 pci=0000:05:00.0 name=NVIDIA_B300 memory=281600 sm=148 speed=9"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loose files as somebody would carry them along; the kernels are empty, which only a real driver would mind."""
    folder = tmp_path_factory.mktemp("images")
    for target in TARGETS:
        (folder / f"{target}.cubin").write_bytes(build.cubin(target, toolkit=(12, 9)))
    (folder / "sm_90a-new.cubin").write_bytes(build.cubin("sm_90a", toolkit=(13, 0)))
    (folder / "stub-sm_90.cubin").write_bytes(build.cubin("sm_90", kernels=()))
    (folder / "relocatable-sm_90.cubin").write_bytes(build.cubin("sm_90", relocatable=True))
    return folder


def check(
    host: Host, images: Path, *options: str, only: tuple[str, ...] = (), **variables: str
) -> tuple[int, str, Any]:
    """The exit code, what was printed, and the record."""
    out = host.folder / "record.json"
    patterns = [f"--only={pattern}" for pattern in only]
    command = [sys.executable, str(TOOL), f"--carry={images}", "--skip=toolkits", f"--out={out}", "--jobs=2", *patterns]
    environ = {**host.variables(**variables), "PATH": "/nonexistent"}  # no nvidia-smi of a real machine
    environ.pop("FAKE_CUDA_LOG")
    done = subprocess.run([*command, *options], env=environ, capture_output=True, text=True, timeout=120, check=False)
    record = json.loads(out.read_text()) if out.exists() else None
    return done.returncode, done.stdout + done.stderr, record


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory, images: Path) -> tuple[Host, int, str, Any]:
    host = Host(tmp_path_factory.mktemp("h100"), (H100,))
    return host, *check(host, images, only=(*FEW, *TEXTS))


@needs_compiler
def test_it_runs_to_its_end_and_agrees(agreed: tuple[Host, int, str, Any]) -> None:
    host, code, text, record = agreed
    assert code == 0, text
    assert record["unasked"] == 0
    assert record["notes"] == []
    assert (record["gpus"], record["capabilities"]) == (["NVIDIA H100 80GB HBM3"], ["9.0"])
    assert (record["driver"]["release"], record["cuda"]) == ("580.65.06", "13.0")
    rows = {row.entry: row for row in hardware_check.compare(record)}
    assert {row.status for row in rows.values()} == {"agree", "settled"}

    def answers(name: str, mode: str) -> set[str]:
        found = {rows[f"images/{name}/9.0/{mode}/{way}"].found for way in ("module", "library")}
        return {one.split(":")[0] if one == "ran" else one.split()[-1] for one in found}

    # Not only agreement: these are the answers.
    for mode, machine_code, ptx in (("default", "ran", "ran"), ("forced", "209", "ran"), ("disabled", "ran", "223")):
        assert answers("sm_90a.cubin", mode) == answers("sm_90a.fatbin-zstd", mode) == {machine_code}
        assert answers("compute_90-7.8.ptx-fatbin-lz4", mode) == {ptx}
        assert answers("sm_80.cubin", mode) == {"209"}
        assert answers("all-targets-and-ptx.fatbin", mode) == {"ran"}
    assert answers("compute_75-9.0.ptx", "default") == {"ran"}
    assert answers("compute_75-9.1.ptx", "default") == {"222"}
    assert answers("stub-sm_90.cubin", "default") == {"500"}
    assert answers("relocatable-sm_90.fatbin-none", "default") == {"200"}
    assert rows["images/sm_90.concat-zstd/9.0/default/module"].status == "settled"  # of CUDA 13.4, by a driver of 13.0
    # Replayed, it says the same without a driver.
    assert hardware_check.main(["--replay", str(host.folder / "record.json")]) == 0


@needs_compiler
def test_every_kind_of_container_was_loaded_in_every_mode(agreed: tuple[Host, int, str, Any]) -> None:
    _, _, _, record = agreed
    forms = {image["name"].split(".")[-1] for image in record["images"]}
    assert forms >= {"cubin", "fatbin-none", "fatbin-lz4", "fatbin-zstd", "concat-none", "concat-zstd", "ptx", "fatbin"}
    assert forms >= {"ptx-fatbin-none", "ptx-fatbin-lz4", "ptx-fatbin-zstd", "ptx-concat-zstd"}
    for image in record["images"]:
        assert [run["mode"] for run in image["runs"]] == ["default", "forced", "disabled"]
        assert all("load" in run[way] for run in image["runs"] for way in ("module", "library"))


@needs_compiler
def test_a_record_names_neither_people_nor_places_nor_the_gpu(agreed: tuple[Host, int, str, Any]) -> None:
    host, _, _, record = agreed
    text = json.dumps(record)
    assert "GPU-33333333" not in text
    assert str(host.folder) not in text
    assert str(ROOT) not in text
    assert os.uname().nodename not in text or len(os.uname().nodename) < 4


@needs_compiler
def test_a_broken_rule_is_a_disagreement(tmp_path: Path, images: Path) -> None:
    host = Host(tmp_path, (H100,))
    parts = ("--skip=visible", "--skip=devices", "--skip=times")
    code, text, record = check(host, images, *parts, only=("compute_90a*", "compute_75-9.0*"), FAKE_CUDA_BREAK="1")
    assert code == 1
    wrong = {row.entry for row in hardware_check.compare(record) if row.status == "disagree"}
    assert wrong == {
        f"images/compute_75-9.0.ptx/9.0/{mode}/{way}" for mode in ("default", "forced") for way in ("module", "library")
    }
    assert "disagree images/compute_75-9.0.ptx/9.0/default/module: the rules say compiles (ptx-forward)" in text
    # Explained, it is none; but an explanation of nothing is one.
    explained = {**record, "explained": {"images/compute_75-9.0.ptx/*": "the simulated driver was broken on purpose"}}
    assert not any(row.bad for row in hardware_check.compare(explained))
    stale = {**explained, "explained": {**explained["explained"], "visible/*": "long ago"}}
    assert [row.entry for row in hardware_check.compare(stale) if row.bad] == ["explained/visible/*"]


@needs_compiler
def test_several_gpus_with_an_old_driver(tmp_path: Path, images: Path) -> None:
    host = Host(tmp_path, (RTX3090, RTX4090), release="535.54.03", driver="535.54.03", cuda_version=12020)
    code, text, record = check(host, images, only=("sm_89.*", "sm_80.*", "compute_75-8.[23].ptx"))
    assert code == 0, text
    rows = {row.entry: row for row in hardware_check.compare(record)}
    assert rows["images/sm_89.cubin/8.9/default/module"].found == "ran"
    assert rows["images/sm_89.cubin/8.6/default/module"].found == "refused: load gave 209"
    assert rows["images/sm_80.fatbin-lz4/8.6/default/library"].found == "ran"
    assert rows["images/sm_80.fatbin-zstd/8.6/default/library"].found == "refused: load gave 200"  # needs 550
    assert sum(entry.startswith("visible/") for entry in rows) >= 150
    # The RTX 4090 is CUDA's first, and the second on the bus.
    assert rows["visible/default/'0'"].status == "settled"
    assert rows["visible/PCI_BUS_ID/'0'"].status == "agree"
    assert rows["visible/default/'0'"].found != rows["visible/PCI_BUS_ID/'0'"].found


@needs_compiler
def test_a_family_with_a_new_driver(tmp_path: Path, images: Path) -> None:
    host = Host(tmp_path, (B300,), release="620.10", driver="620.10", cuda_version=13050)
    only = ("sm_1*.cubin", "sm_100*.concat*", "compute_1[02]*.ptx", "compute_90a*.ptx", "all*")
    code, text, record = check(host, images, "--skip=visible", only=only)
    assert code == 0, text
    ran = {row.entry.split("/")[1] for row in hardware_check.compare(record) if row.found == "ran"}
    named = ("sm_100.cubin", "sm_100f.cubin", "sm_100.concat-zstd", "all-targets.fatbin")
    assert {*named, "compute_100-8.7.ptx", "compute_100f-8.8.ptx", "compute_103a-8.8.ptx"} <= ran
    assert not ran & {
        "sm_103a.concat-zstd",
        "sm_120.cubin",
        "compute_100a-8.7.ptx",
        "compute_120-8.7.ptx",
        "compute_90a-8.0.ptx",
    }
    left_open = {row.entry.split("/")[1] for row in hardware_check.compare(record) if row.status == "settled"}
    assert {name.split("-")[0] for name in left_open} == {"compute_101"}  # renamed to 110


@needs_compiler
def test_slices(tmp_path: Path, images: Path) -> None:
    host = Host(tmp_path, (A100, SLICE1, SLICE2))
    code, text, record = check(host, images, "--skip=images")
    assert code == 0, text
    assert any(row["value"] and row["value"].startswith("MIG-") and row["sees"] for row in record["visible"])


@needs_compiler
def test_what_hangs_or_crashes_is_no_agreement(tmp_path: Path, images: Path) -> None:
    parts = ("--skip=visible", "--skip=devices", "--skip=times")
    for fault, found, seconds in (("abort", "signal 6", 30), ("hang", "timeout", 0.7)):
        host = Host(tmp_path / fault, (H100, f"{fault} cuLibraryLoadData"))
        code, _, record = check(host, images, *parts, f"--seconds={seconds}", only=("sm_90.cubin",))
        assert code == 1
        rows = hardware_check.compare(record)
        assert {row.found for row in rows if row.entry.endswith("library")} == {f"unsettled: {found}"}
        if fault == "abort":  # the other way was asked again, in a process of its own
            assert {row.status for row in rows if row.entry.endswith("module")} == {"agree"}


@needs_compiler
def test_without_time_it_says_so(tmp_path: Path, images: Path) -> None:
    code, text, record = check(
        Host(tmp_path, (H100,)), images, "--budget=0", "--skip=devices", "--skip=times", only=FEW
    )
    assert code == 2
    assert record["unasked"] > 100
    assert f"no time for {record['unasked']} questions" in text


@needs_compiler
def test_without_a_gpu_it_cannot_run(tmp_path: Path, images: Path) -> None:
    code, text, record = check(Host(tmp_path, ("fail cuInit 100",)), images)
    assert (code, record) == (2, None)
    assert "no device to ask" in text
    code, text, _ = check(Host(tmp_path, (H100,)), images, CAPABLY_SYSTEM="record.json")
    assert code == 2
    assert "CAPABLY_SYSTEM" in text


def test_a_pack_is_carried_without_what_reads_containers(tmp_path: Path, images: Path) -> None:
    pack = tmp_path / "pack"
    command = [sys.executable, str(TOOL), "--skip=toolkits", "--only=sm_90*", "--only=compute_90a*"]
    done = subprocess.run(
        [*command, f"--carry={images}", f"--pack={pack}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (pack / "images.json").exists()
    # As on a machine without them: nothing is scanned, and nothing is written.
    script = (
        "import sys\nfor name in ('lz4', 'zstandard', 'isal', 'capably.scanner'): sys.modules[name] = None\n"
        f"sys.path.insert(0, {str(ROOT / 'tools')!r})\nimport hardware_check as h, pathlib\n"
        f"samples = h.Samples(pathlib.Path({str(tmp_path)!r}))\nh.carried(pathlib.Path({str(pack)!r}), samples)\n"
        "print(len(samples.all))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    listed = json.loads((pack / "images.json").read_text())["images"]
    assert int(told.stdout) == len(listed) >= 15
    done = subprocess.run([*command, f"--pack={pack}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2  # not empty


def test_what_the_compiler_here_makes(tmp_path: Path) -> None:
    located = [
        one for one in find_compilers(Machine(), run_all=True) if one.toolkit.kind == "ptxas" and one.toolkit.cuda
    ]
    if not located:
        pytest.skip("there is no ptxas here")
    samples = hardware_check.Samples(tmp_path, ("*sm_75*", "*sm_80*", "*sm_90*", "all*"))
    hardware_check.assembled(samples, located, time.monotonic() + 30)
    plain = [sample for name, sample in samples.all.items() if name.startswith("sm_80") and name.endswith(".cubin")]
    assert plain
    assert all(str(sample.fatbin.images[0].target) == "sm_80" for sample in plain)
    assert all(sample.fatbin.stub for name, sample in samples.all.items() if name.startswith("stub-"))
    assert all(sample.fatbin.relocatable for name, sample in samples.all.items() if name.startswith("relocatable-"))


@needs_compiler
def test_what_initialises_the_driver_is_seen(tmp_path: Path) -> None:
    """With a library in the place of NVRTC that does as the real one from 12.9 on."""
    source = tmp_path / "nvrtc.c"
    source.write_text("""
#include <string.h>
extern int cuInit(unsigned);
int nvrtcVersion(int *major, int *minor) { *major = 12; *minor = 9; return 0; }
int nvrtcCreateProgram(void **p, const char *s, const char *n, int c, const char **h, const char **i) { *p = &*p; return 0; }
int nvrtcCompileProgram(void *p, int count, const char **options) {
    for (int i = 0; i < count; i++) if (!strcmp(options[i], "--no-cache")) return 0;
    return cuInit(0);
}
""")
    host = Host(tmp_path / "host", (H100,))
    library = tmp_path / "libnvrtc.so.12"
    assert COMPILER is not None
    linked = str(host.folder / host.library_folder / "libcuda.so.1")
    subprocess.run([COMPILER, "-w", "-shared", "-fPIC", "-o", str(library), str(source), linked], check=True)
    answers = [
        hardware_check.ask({"do": "nvrtc", "library": str(library), "options": options}, 20, host.variables())
        for options in ([], ["--no-cache"])
    ]
    assert answers == [
        {"version": "12.9", "before": 3, "code": 0, "after": 0},
        {"version": "12.9", "before": 3, "code": 0, "after": 3},
    ]


def test_masked_identifiers_keep_what_the_rules_look_at() -> None:
    uuid, other = "GPU-22222222-aaaa-0000-0000-000000000001", "GPU-22f33333-aaaa-0000-0000-000000000003"
    value = {
        "a": [uuid, other, uuid.upper(), uuid.lower()],
        "b": f"{uuid[:6]},0,{other[:7]}",
        "c": "GPU-",
        "d": "1gpu2",
    }
    found = hardware_check.masked(copy.deepcopy(value), random.Random(1))  # noqa: S311 - the same each time
    first, second, upper, lower = found["a"]
    assert first != uuid
    assert (upper, lower) == (first.upper(), first.lower())
    assert first[:6] == second[:6]
    assert first[6] != second[6]
    assert found["b"] == f"{first[:6]},0,{second[:7]}"
    assert (found["c"], found["d"]) == ("GPU-", "1gpu2")
