"""FlashInfer and torch extensions on simulated machines: what is set, what is said, what is left alone."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from build import fatbin, library, ptx_entry, sass
from fakes import RTX3090, RTX4090, T4, Host, needs_compiler

from capably.arch import ComputeCapability
from capably.facts import Device
from capably.integrations.flashinfer import prebuilt, usable_prebuilt

if TYPE_CHECKING:
    from pathlib import Path

V100 = "gpu cc=7.0 uuid=GPU-70707070-aaaa-0000-0000-000000000001 pci=0000:1a:00.0 name=Tesla_V100 memory=32510 sm=80 speed=5"
H100 = "gpu cc=9.0 uuid=GPU-33333333-aaaa-0000-0000-000000000003 pci=0000:1b:00.0 name=NVIDIA_H100_80GB_HBM3 memory=81559 sm=132 speed=8"
REPORTED = "5.2 6.0 7.0 7.5 8.0 8.6 9.0+PTX"

CONFIGURE = """
import sys
from capably.integrations import flashinfer, torch
def configured(module):
    answer = module.configure()
    assert not {"torch", "flashinfer"} & set(sys.modules)
    return {
        "outcome": answer.outcome,
        "changes": {change.name: [change.before, change.after] for change in answer.changes},
        "devices": [str(device.capability) for device in answer.devices],
        "unusable": [str(one.device.capability) for one in answer.unusable],
        "environment": {name: os.environ.get(name) for name in ("FLASHINFER_CUDA_ARCH_LIST", "TORCH_CUDA_ARCH_LIST")},
        "text": str(answer),
    }
"""


def installed(folder: Path, **versions: str) -> str:
    """A folder of site-packages in which these distributions are installed, and none of their code is."""
    for name, version in versions.items():
        place = folder / f"{name}-{version}.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    return str(folder)


def configure(host: Host, site: str, module: str = "flashinfer", **variables: str) -> Any:
    code = f"import sys\nsys.path.insert(0, {site!r})\n{CONFIGURE}\nsay(configured({module}))"
    return host.run(code, CUDA_HOME=str(host.folder / "no-cuda"), **variables)


@needs_compiler
@pytest.mark.parametrize(
    ("version", "variable", "text"),
    [("0.2.5", "TORCH_CUDA_ARCH_LIST", "9.0"), ("0.7.2.post1", "FLASHINFER_CUDA_ARCH_LIST", "9.0a")],
)
def test_it_compiles_for_the_gpus_here_that_it_serves(tmp_path: Path, version: str, variable: str, text: str) -> None:
    site = installed(tmp_path / "site", flashinfer_python=version, torch="2.13.0")
    for name, fleet, unusable in (("one", (H100,), []), ("mixed", (V100, H100), ["7.0"])):
        host = Host(tmp_path / name, fleet)
        said = configure(host, site, TORCH_CUDA_ARCH_LIST=REPORTED)
        assert said["outcome"] == "set"
        assert said["environment"][variable] == text
        before = REPORTED if variable == "TORCH_CUDA_ARCH_LIST" else None
        assert said["changes"][variable] == [before, text]
        assert (said["devices"], said["unusable"]) == (["9.0"], unusable)
        assert ("Tesla V100 (7.0) is left out: " in said["text"]) == bool(unusable)


@needs_compiler
def test_without_a_gpu_everything_stays_and_the_cause_is_named(tmp_path: Path) -> None:
    site = installed(tmp_path / "site", flashinfer_python="0.7.2", torch="2.13.0")
    none = Host(tmp_path / "none", (), nvml=False, cuda=False)
    hidden = Host(tmp_path / "hidden", (H100,), environ={"CUDA_VISIBLE_DEVICES": ""})
    failing = Host(tmp_path / "failing", (H100, "fail cuInit 803"), nvml=False)
    for host, words in ((none, "no"), (hidden, "CUDA_VISIBLE_DEVICES"), (failing, "803")):
        said = configure(host, site, TORCH_CUDA_ARCH_LIST=REPORTED, FLASHINFER_CUDA_ARCH_LIST="8.0")
        assert said["outcome"] == "none found"
        assert said["environment"] == {"FLASHINFER_CUDA_ARCH_LIST": "8.0", "TORCH_CUDA_ARCH_LIST": REPORTED}
        assert all(before == after for before, after in said["changes"].values())
        assert "none found: " in said["text"]
        assert words in said["text"]
        assert "too old" not in said["text"]
    old = configure(Host(tmp_path / "old", (V100,)), site)
    assert (old["outcome"], old["unusable"]) == ("none usable", ["7.0"])
    assert old["environment"] == {"FLASHINFER_CUDA_ARCH_LIST": None, "TORCH_CUDA_ARCH_LIST": None}
    with pytest.raises(AssertionError, match=r"GpuListError: .*`>=7\.5`: CAPABLY_GPUS cannot be read"):
        configure(none, site, CAPABLY_GPUS="RTX 4900")
    named = configure(none, site, CAPABLY_GPUS="RTX 4090")
    assert named["environment"]["FLASHINFER_CUDA_ARCH_LIST"] == "8.9"


SHELL = """
import contextlib, io
from capably.cli import main
out, err = io.StringIO(), io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = main(["plan", "--for", "flashinfer", "--shell"])
say([code, out.getvalue(), " ".join(err.getvalue().split())])
"""


@needs_compiler
def test_gpus_that_are_named_to_programs_are_not_named_to_commands(tmp_path: Path) -> None:
    site = installed(tmp_path / "site", flashinfer_python="0.7.2", torch="2.13.0")
    none = Host(tmp_path / "none", (), nvml=False, cuda=False, environ={"CUDA_HOME": str(tmp_path / "no-cuda")})
    code = f"import sys\nsys.path.insert(0, {site!r})\n{SHELL}"
    refused, printed, said = none.run(code, CAPABLY_GPUS="V100, H100, RTX 4090")
    assert (refused, printed) == (2, "")
    assert "CAPABLY_GPUS is for programs; the variable of --gpu is CAPABLY_PLAN_GPU" in said
    refused, _, said = none.run(code)
    assert refused == 2
    assert "CAPABLY_GPUS" not in said
    # Named by the variable of each, they make the same list, and the same GPU is left out.
    answer, printed, said = none.run(code, CAPABLY_PLAN_GPU="V100, H100, RTX 4090")
    inside = configure(none, site, CAPABLY_GPUS="V100, H100, RTX 4090")
    assert (answer, inside["unusable"]) == (1, ["7.0"])
    assert printed == f"export FLASHINFER_CUDA_ARCH_LIST='{inside['environment']['FLASHINFER_CUDA_ARCH_LIST']}'\n"
    assert "V100 (7.0): does not meet what is needed why `>=7.5` does not hold" in said


@needs_compiler
def test_torch_extensions_are_built_for_each_gpu_and_the_caller_initialises_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path / "host", (RTX3090, RTX4090))
    site = installed(tmp_path / "site", torch="2.13.0")
    code = f"import sys\nsys.path.insert(0, {site!r})\n{CONFIGURE}\nsay([PID, configured(torch)])"
    pid, said = host.run(code)
    assert said["environment"]["TORCH_CUDA_ARCH_LIST"] == "8.6;8.9"
    assert not host.calls(pid)
    assert host.all_calls()


@needs_compiler
def test_what_was_imported_before_is_told(tmp_path: Path) -> None:
    host = Host(tmp_path / "host", (H100,))
    code = """
import sys, types
sys.modules["flashinfer"] = types.ModuleType("flashinfer")
from capably.integrations import flashinfer
answer = flashinfer.configure()
say([answer.imported, str(answer), str(flashinfer.configure().changes[0])])
"""
    imported, text, again = host.run(code)
    assert imported == ["flashinfer"]
    assert "flashinfer is imported already" in text
    assert again == "FLASHINFER_CUDA_ARCH_LIST stays '9.0a'"


CHECK = """
from capably.integrations import flashinfer
def check(**options):
    try:
        return ["passes", [str(device.capability) for device in flashinfer.check_cuda_arch(**options)]]
    except RuntimeError as error:
        return [type(error).__name__, str(error)]
"""


@needs_compiler
def test_its_check_judges_gpus_and_not_lists(tmp_path: Path) -> None:
    mixed = Host(tmp_path / "mixed", (V100, H100))
    host = Host(tmp_path / "host", (V100,))
    none = Host(tmp_path / "none", (), nvml=False, cuda=False)
    ask = f"{CHECK}\nsay(check())"
    assert mixed.run(ask, TORCH_CUDA_ARCH_LIST=REPORTED) == ["passes", ["9.0"]]
    kind, text = mixed.run(f"{CHECK}\nsay(check(devices='all'))")
    assert kind == "DeviceTooOldError"
    assert "GPU 0, NVIDIA H100 80GB HBM3 (9.0): meets it" in text
    assert "GPU 1, Tesla V100 (7.0): " in text
    assert host.run(ask, FLASHINFER_CUDA_ARCH_LIST="9.0a")[0] == "DeviceTooOldError"
    kind, text = none.run(ask)
    assert (kind, "too old" in text) == ("NoDeviceError", False)
    assert none.run(ask, FLASHINFER_CUDA_ARCH_LIST="7.0 9.0a")[0] == "passes"
    assert none.run(ask, FLASHINFER_CUDA_ARCH_LIST="7.0 9.0a", CAPABLY_GPUS="")[0] == "passes"
    old = installed(tmp_path / "site", flashinfer_python="0.2.5")  # which does not read that list
    unread = none.run(f"import sys\nsys.path.insert(0, {old!r})\n{ask}", FLASHINFER_CUDA_ARCH_LIST="7.0 9.0a")
    assert unread[0] == "NoDeviceError"
    for text in ("7.0;9.0", "7.0"):
        assert none.run(ask, FLASHINFER_CUDA_ARCH_LIST=text)[0] == "GpuListError"


H100_DEVICE = Device(ComputeCapability(9, 0), "H100")
A100_DEVICE = Device(ComputeCapability(8, 0), "A100")


@pytest.mark.parametrize(
    ("fatbins", "devices", "serves"),
    [
        ([[sass("sm_80")]], [A100_DEVICE], True),
        ([[sass("sm_80")]], [H100_DEVICE], False),
        ([[sass("sm_80")]], [A100_DEVICE, H100_DEVICE], False),
        ([[sass("sm_90a")], [sass("sm_80")]], [H100_DEVICE], False),  # one kernel of two
        ([[sass("sm_80"), sass("sm_90a")]], [A100_DEVICE, H100_DEVICE], True),
        ([], [H100_DEVICE], True),  # host code only
        ([[ptx_entry("compute_80", "8.0")]], [H100_DEVICE], None),  # by which driver is not known
        ([[sass("sm_90a")]], [], None),
    ],
)
def test_a_prebuilt_library_counts_where_it_certainly_serves(
    tmp_path: Path, fatbins: list[list[Any]], devices: list[Device], serves: bool | None
) -> None:
    path = tmp_path / "module.so"
    path.write_bytes(library(*(fatbin(images) for images in fatbins)))
    found = prebuilt(path, devices)
    assert found.serves is serves
    assert usable_prebuilt(path, devices) is (serves is True)
    assert str(path) in str(found)


def test_a_prebuilt_library_that_cannot_be_read_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "module.so"
    assert not usable_prebuilt(path, [H100_DEVICE])
    assert str(prebuilt(path, [H100_DEVICE])) == f"{path}: cannot tell: No such file or directory"
    path.write_bytes(b"\x7fELF")
    assert prebuilt(path, [H100_DEVICE]).serves is None
    assert "cannot tell: " in str(prebuilt(path, [H100_DEVICE]))
    path.write_bytes(library())
    assert "has no GPU code" in str(prebuilt(path, [H100_DEVICE]))
    path.write_bytes(library(fatbin([sass("sm_90a")])))  # another file under the same name
    assert usable_prebuilt(path, [H100_DEVICE])


@needs_compiler
def test_the_flashinfer_that_is_imported_passes_over_code_for_other_gpus(tmp_path: Path) -> None:
    host = Host(tmp_path / "host", (T4, H100))
    targets = {"ampere": "sm_80", "hopper": "sm_90a", "both": "sm_75"}
    for name, target in targets.items():
        images = [sass(target), *([sass("sm_90a")] if name == "both" else [])]
        (tmp_path / f"{name}.so").write_bytes(library(fatbin(images)))
    code = f"""
import sys, types
from pathlib import Path
from capably.integrations import flashinfer
def refused():
    try:
        flashinfer.guard_prebuilt()
    except RuntimeError as error:
        return str(error)
said = [refused()]
env = sys.modules["flashinfer.jit.env"] = types.ModuleType("flashinfer.jit.env")
said.append(refused())
def artifacts(name):
    kind, _, owned = name.partition("-")
    path = Path({str(tmp_path)!r}) / f"{{kind}}.so"
    return (types.SimpleNamespace(path=path, cuda_architectures=frozenset(["x"]) if owned else None),)
env.get_aot_artifacts = artifacts
said.append(refused()); said.append(refused())
say([said, {{name: len(env.get_aot_artifacts(name)) for name in ("ampere", "hopper", "both", "hopper-owned", "ampere-owned")}}])
"""
    said, kept = host.run(code)
    assert said[0].startswith("import flashinfer first")
    assert "in another way" in said[1]
    assert said[2:] == [None, None]
    # For every GPU of the process, unless FlashInfer chooses by the GPU of each call.
    assert kept == {"ampere": 0, "hopper": 0, "both": 1, "hopper-owned": 1, "ampere-owned": 0}


def test_importing_the_integrations_imports_nothing_of_theirs() -> None:
    import subprocess

    code = "import sys, json, capably.integrations.flashinfer, capably.integrations.torch; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert not {"torch", "flashinfer", "pytest", "ctypes", "subprocess"} & loaded
