"""``capably doctor`` on recorded machines and on environments made of small wheels."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import build
import pytest
from schemas import fits_schema

from capably.arch import ComputeCapability
from capably.cli.app import run
from capably.cli.doctor import system_libraries, without_uuids
from capably.cli.installed import shared_libraries
from capably.facts import Device, Driver, System
from capably.probe import load, loads, save
from capably.scanner.metadata import Distribution
from capably.version import DriverRelease

SYSTEMS = Path(__file__).parent / "data" / "systems"
MIXED = str(SYSTEMS / "rtx-3090-4090.json")
NONE = str(SYSTEMS / "none.json")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the interpreter of the environments is a script")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAPABLY_SYSTEM", "CAPABLY_DRIVER", "VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)


def environment(folder: Path, *wheels: Path) -> Path:
    """A folder that is laid out as a virtual environment, with *wheels* in it."""
    site = folder / "env" / "lib" / "python3.12" / "site-packages"
    site.mkdir(parents=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    (folder / "env" / "bin").mkdir()
    python = folder / "env" / "bin" / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps([str(site)])}'\n")
    python.chmod(0o755)
    return folder / "env"


def made(folder: Path, name: str, version: str, *targets: str, needed: tuple[str, ...] = ()) -> Path:
    """A wheel with one library that holds machine code for *targets*."""
    library = build.library(*(build.fatbin([build.sass(target)]) for target in targets), needed=needed)
    module = name.replace("-", "_")
    members = {f"{module}/__init__.py": b"raise SystemExit('imported')\n"}
    if targets:
        members[f"{module}/_C.so"] = library
    return build.wheel(folder, name, version, members)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    return environment(tmp_path, made(tmp_path, "ktransformers", "0.4", "sm_89"), made(tmp_path, "torch", "2.13.0+cpu"))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run(["doctor", "--json", *arguments]) == code
    document = json.loads(capsys.readouterr().out)
    fits_schema(document, "doctor")
    return document


def test_the_mixed_server_says_which_gpu_fails_for_which_library_and_why(
    mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--system", MIXED, "--python", str(mixed)]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert all(len(line) <= 80 or line.startswith("      run  ") for line in text.splitlines())
    words = " ".join(text.split())
    assert "nothing in ktransformers 0.4 loads on NVIDIA GeForce RTX 3090 (8.6)" in words
    assert "ktransformers/_C.so holds sm_89, and no PTX" in words
    assert "torch 2.13.0+cpu is built for the CPU" in words
    assert words.index("cpu-only-torch") < words.index("package-without-code")
    document = answer(capsys, "--system", MIXED, "--python", str(mixed))
    assert [(row["name"], row["gpu"], row["coverage"]) for row in document["packages"]] == [
        ("ktransformers", 0, "full"),
        ("ktransformers", 1, "none"),
    ]
    (told,) = [one for one in document["findings"] if one["code"] == "package-without-code"]
    assert told["gpus"] == [1]
    assert document["gpus"][1]["capability"] == "8.6"


def test_exit_codes_of_fail_on(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, "--system", MIXED, "--python", str(mixed), "--fail-on", "none", code=1)
    answer(capsys, "--system", MIXED, "--python", str(mixed), "--gpu", "RTX 4090", "--fail-on", "unknown")
    assert run(["doctor", "--system", "/nonexistent.json"]) == 2
    assert run(["doctor", "--gpu", "no such gpu", "--system", NONE]) == 2


def test_a_recorded_machine_alone_tells_by_versions_and_reads_no_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = replace(load(MIXED), distributions=(("torch", "2.13.0+cpu"), ("triton", "3.5.0")))
    save(recorded, tmp_path / "machine.json")
    document = answer(capsys, "--system", str(tmp_path / "machine.json"))
    assert document["environment"] is None
    assert document["packages"] == []
    assert {"cpu-only-torch", "compiler-missing"} <= {one["code"] for one in document["findings"]}


def test_no_gpu_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "--system", NONE, "--fail-on", "unknown")
    assert [one["severity"] for one in document["findings"]] == ["note"]
    assert run(["doctor", "--system", NONE]) == 0
    assert "nothing wrong was found" in capsys.readouterr().out
    place = environment(tmp_path, made(tmp_path, "a", "1", "sm_90"))
    assert run(["doctor", "--system", NONE, "--python", str(place)]) == 0
    assert "1 package with GPU code in" in (text := " ".join(capsys.readouterr().out.split()))
    assert "name one with --gpu" in text
    # A driver that is installed where no GPU is answers with an error, and nothing is wrong with it.
    none = load(NONE)
    driver, state = Driver(DriverRelease(580, 65, 6)), replace(none.driver_state, error=100)
    save(replace(none, driver=driver, driver_state=state), tmp_path / "idle.json")
    assert run(["doctor", "--system", str(tmp_path / "idle.json")]) == 0
    assert "580.65.06, without a GPU" in (text := capsys.readouterr().out)
    assert "which fails" not in text


# Everything that is wrong there and nothing else: code, severity, which GPUs, the command, and what is in its evidence.
FOUND: dict[str, list[tuple[str, str, list[int], str, str]]] = {
    "forward-compat": [  # parts that differ are what forward compatibility is made of
        ("forward-compat-unsupported", "error", [], "ldconfig -p | grep libcuda", "kernel module 535.183.01"),
    ],
    "h100x2-r535": [],  # two that are alike
    "hidden": [("hidden-by-environment", "error", [], "unset CUDA_VISIBLE_DEVICES", "1 NVIDIA GPU on the bus")],
    "none": [("no-nvidia-device", "note", [], "lspci -d 10de:", "0 NVIDIA GPUs on the bus")],
    "rtx-3090-4090": [  # the faster one, second on the bus, comes first
        ("device-order-differs", "warning", [], "export CUDA_DEVICE_ORDER=PCI_BUS_ID", "(8.9) at 0000:81:00.0"),
        ("mixed-devices", "note", [], 'export TORCH_CUDA_ARCH_LIST="8.6;8.9"', "NVIDIA GeForce RTX 3090 (8.6)"),
    ],
    "sm75-cpu-torch": [  # the newest wheels that R570, with CUDA 12.8, runs
        ("cpu-only-torch", "error", [], "https://download.pytorch.org/whl/cu128", "2.13.0+cpu"),
    ],
    "sm75-driver": [("driver-library-mismatch", "error", [], "sudo reboot", "error 803")],
    "sm75-fork": [],  # nothing of it is left on the machine
    "sm75-hidden": [("hidden-by-environment", "error", [], "unset CUDA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES=")],
    "sm75-list": [
        ("tool-refuses", "error", [], "plan --read 7.0 --for flashinfer==0.6.1", "_ARCH_LIST=7.0"),
        ("arch-list-surprising", "warning", [], "plan --read 7.0 --for flashinfer==0.6.1", "_ARCH_LIST=7.0"),
        ("arch-list-omits-gpu", "warning", [0], "plan --gpu 12.0 --for flashinfer==0.6.1", "flashinfer-python 0.6.1"),
    ],
    "sm75-nvcc-hides-another": [
        ("compiler-cannot-emit", "error", [0], "export CUDA_HOME=/usr/local/cuda-13.0 ", "nvcc 11.5"),
        ("tool-refuses", "error", [0], "python -m flashinfer show-config", "flashinfer-python"),
    ],
    "sm75-nvcc-too-old": [  # CUDA 12.8 does make code for 12.0; that FlashInfer asks for 12.9 is its own matter
        ("tool-refuses", "error", [0], "python -m flashinfer show-config", "flashinfer-python"),
    ],
    "sm75-volta": [  # R570 serves it, and CUDA 12.9 was the last that makes code for it
        ("tool-refuses", "error", [0], "python -m flashinfer show-config", "flashinfer-python"),
    ],
}


@pytest.mark.parametrize("file", sorted(SYSTEMS.glob("*.json")), ids=lambda file: file.stem)
def test_each_recorded_machine_has_these_findings_and_no_other(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ((), ("-v",), ("--gpu", "RTX 5090, H100", "--color", "always")):
        assert run(["doctor", "--system", str(file), *more]) == 0
        assert capsys.readouterr().out
    found = answer(capsys, "--system", str(file))["findings"]
    expected = FOUND[file.stem]
    assert [(one["code"], one["severity"], one["gpus"]) for one in found] == [row[:3] for row in expected]
    for one, (*_, command, evidence) in zip(found, expected, strict=True):
        assert command in one["command"]
        assert evidence in " ".join(part["fact"] for part in one["evidence"])


def test_the_driver_of_the_machine_serves_gpus_that_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--system", MIXED, "--gpu", "T4"]) == 0
    assert "by the driver of the machine, 580.65.06" in capsys.readouterr().err
    assert answer(capsys, "--system", MIXED, "--gpu", "T4", "--driver", "12.2")["gpus"][0]["driver"]["cuda"] == "12.2"


def test_this_machine_with_an_environment_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    place = environment(
        tmp_path,
        made(tmp_path, "torch", "2.13.0+cpu"),
        made(tmp_path, "xformers", "0.0.35", "sm_80", needed=("libc10_cuda.so", "libcudart.so.12")),
    )
    document = answer(capsys, "--python", str(place), "--gpu", "H100", "--no-cache")
    assert document["environment"].endswith("(--python)")
    assert document["system"]["python"]
    assert "torch" in [name for name, _ in document["system"]["distributions"]]
    found = {one["code"]: one for one in document["findings"]}
    assert "cpu-only-torch" in found
    # What the wheel made here lists as its libraries is what the extension lacks.
    assert found["package-without-code"]["severity"] == "note"
    assert run(["doctor", "-v", "--python", str(place), "--gpu", "H100", "--color", "always"]) == 0
    assert "\x1b[31m" in capsys.readouterr().out


def test_a_record_is_saved_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "machine.json"
    assert run(["doctor", "--system", MIXED, "--save", str(file)]) == 0
    assert str(file) in capsys.readouterr().err
    text = file.read_text()
    assert "22222222-aaaa" not in text
    assert load(file).devices[0].uuid == load(file).fleet[1].uuid == "GPU-00000002-0000-0000-0000-000000000000"
    before = answer(capsys, "--system", MIXED)["findings"]
    assert answer(capsys, "--system", str(file))["findings"] == before
    assert run(["doctor", "--system", MIXED, "--save", "-", "--with-uuids"]) == 0
    assert loads(capsys.readouterr().out) == load(MIXED)
    assert run(["doctor", "--system", MIXED, "--save", str(tmp_path / "no" / "folder.json")]) == 2


def test_uuids_in_variables_are_replaced_too() -> None:
    system = load(MIXED)
    value = "GPU-2222,GPU-55555555,0"
    finding = replace(load(SYSTEMS / "hidden.json").findings[0], message=f"{value!r} hides")
    shown = replace(
        system,
        visibility=replace(system.visibility, visible_devices=value),
        environment=(("CUDA_VISIBLE_DEVICES", value), ("CUDA_HOME", "/usr/local/cuda")),
        devices=(*system.devices, replace(system.devices[0], uuid=None)),
        findings=(finding,),
    )
    made_up = "GPU-00000002-0000-0000-0000-000000000000,GPU-ffffffff-0000-0000-0000-000000000000,0"
    blank = without_uuids(shown)
    assert blank.visibility.visible_devices == made_up
    assert blank.environment == (("CUDA_VISIBLE_DEVICES", made_up), ("CUDA_HOME", "/usr/local/cuda"))
    assert blank.findings[0].message == f"{made_up!r} hides"
    assert blank.devices[2].uuid is None


@pytest.mark.parametrize(
    "text",
    [
        "Metadata-Version: 2.4\nName: Some.Package\nRequires-Dist: torch>=2\nRequires-Dist: numpy\n\nName: other\n",
        "Metadata-Version: 2.1\r\nname: crlf\r\nREQUIRES-DIST: torch\r\n\r\nRequires-Dist: none\r\n",
        "Name: folded\nDescription: a\n        Name: b\nRequires-Dist: torch;\n  python_version > '3'\n",
        "Name: none\n",
        "Metadata-Version: 2.1\n",
    ],
    ids=range(5),
)
def test_fields_of_metadata_are_those_that_the_library_reads(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "x-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_bytes(text.encode())
    distribution = importlib.metadata.PathDistribution(folder)
    for name in ("Name", "Requires-Dist"):
        read = (" ".join(value.split()) for value in distribution.metadata.get_all(name) or ())
        assert Distribution(str(folder)).fields(name) == tuple(read)


def test_the_libraries_of_a_distribution_are_those_of_its_record(tmp_path: Path) -> None:
    folder = tmp_path / "x-1.dist-info"
    folder.mkdir()
    record = (
        "x/a.py,sha256=.so,3\nx/libx.so.1,,\n../../lib/liby.so,sha256=a,1\nx/a.source/b.txt,,\nx/_C.cpython-312.so,,"
    )
    (folder / "RECORD").write_text(record)
    assert shared_libraries(Distribution(str(folder))) == {
        "libx.so.1",
        "liby.so",
        "_C.cpython-312.so",
    }


def test_the_libraries_of_the_system_are_those_of_the_linker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / "libcublas.so.12").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "no-such-folder"))
    found = system_libraries()
    if found is not None:
        assert {"libcublas.so.12", "libc.so.6"} <= found
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError))
    assert system_libraries() is None


def test_a_distribution_that_cannot_be_read_is_told_and_the_others_are_read(
    mixed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import capably.scanner
    from capably.errors import RecordError

    real = capably.scanner.scan_distribution

    def scan(distribution: Any, **options: Any) -> Any:
        if distribution.name == "torch":
            raise RecordError("torch", "is broken")
        return real(distribution, **options)

    monkeypatch.setattr(capably.scanner, "scan_distribution", scan)
    assert run(["doctor", "--system", MIXED, "--python", str(mixed), "--json"]) == 0
    captured = capsys.readouterr()
    assert "is broken" in captured.err
    assert json.loads(captured.out)["packages"]


def test_a_driver_of_a_tegra_part_is_of_no_cuda_version_that_its_release_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """540.4.0 on JetPack is no branch of the table: CUDA 12.6, by what nvidia-smi says there, and not 12.4."""
    orin = Device(ComputeCapability(8, 7), "Orin")
    record = tmp_path / "orin.json"
    save(
        System(machine="aarch64", os="linux", jetson=True, driver=Driver(DriverRelease(540, 4)), devices=(orin,)),
        record,
    )
    assert run(["doctor", "--system", str(record)]) == 0
    text = capsys.readouterr().out
    assert "540.4.0" in text
    assert "CUDA 12" not in text
    assert run(["doctor", "--system", str(record), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    fits_schema(document)
    assert [one["driver"]["cuda"] for one in document["gpus"]] == [None]
    library = tmp_path / "kernels.so"
    library.write_bytes(build.library(build.fatbin([build.sass("sm_87")])))
    assert run(["check", str(library), "--gpu", "8.7", "--driver", "540.4.0", "--json"]) == 0
    assert [one["driver"]["cuda"] for one in json.loads(capsys.readouterr().out)["gpus"]] == [None]
    assert run(["check", str(library), "--gpu", "8.7", "--driver", "540.4.0"]) == 0
    assert "CUDA" not in capsys.readouterr().out
