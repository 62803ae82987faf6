"""The machine beside its driver: compilers, variables, distributions, containers, and how paths are shown."""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capably import probe
from capably.cli.doctor import without_uuids
from capably.facts import Driver, PtxJit, Toolkit, ToolkitKind
from capably.probe.assemble import look_at
from capably.probe.compilers import compiler_findings, find_compilers
from capably.probe.machine import Machine
from capably.probe.settings import VARIABLES, jit_setting
from capably.version import CudaVersion, DriverRelease

posix = pytest.mark.skipif(os.name != "posix", reason="the stand-ins for compilers are shell scripts")

PTXAS_HELP = """\
--generate-line-info                                  (-lineinfo)
        Not an architecture: sm_10
--gpu-name <gpu name>                       (-arch)
        Specify name of NVIDIA GPU to generate code for.
        Allowed values for this option:  'compute_80','sm_80','sm_90','sm_90a',
        'sm_100f'.
--help                                      (-h)
        sm_11
"""


def program(path: Path, version: str, *, targets: str = "") -> Path:
    """A stand-in that says what a compiler of that version says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    major_minor = ".".join(version.split(".")[:2])
    listing = ",".join(f"'{target}'" for target in targets.split())
    path.write_text(
        "#!/bin/sh\ncase $1 in\n"
        f'--version) printf "nvcc: NVIDIA (R) Cuda compiler driver\\nrelease {major_minor}, V{version}\\n";;\n'
        f"--help) cat <<'END'\n--gpu-code <code>,...\n        Allowed values: {listing}\n{PTXAS_HELP}END\n;;\nesac\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def unrun(path: Path, version: str) -> Path:
    """A file that holds its release as a compiler of that version does, and is no program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    release = ".".join(version.split(".")[:2])
    path.write_bytes(f"\x7fELF\0Cuda compilation tools, release {release}, V{version}\nBuild\0".encode())
    return path


def machine(tmp_path: Path, *, site: bool = False, **environ: str) -> Machine:
    paths = (str(tmp_path / "env/lib/python3.12/site-packages"),) if site else ()
    return Machine(
        root=tmp_path / "root",
        environ={"PATH": "/usr/bin:/bin", **environ},
        prefix=str(tmp_path / "env"),
        paths=paths,
        home=str(tmp_path / "home"),
        processor="x86_64",
        executable=sys.executable,
        libcuda=("no-such-libcuda.so",),
        libnvml=("no-such-nvml.so",),
    )


def found(here: Machine) -> list[tuple[str, str, str | None, tuple[str, ...], tuple[str, ...]]]:
    return [(t.kind, t.path, t.version, t.via, t.used_by) for t in (one.toolkit for one in find_compilers(here))]


def test_a_bus_that_cannot_be_seen_is_not_an_empty_one(tmp_path: Path) -> None:
    assert Machine(root=tmp_path).on_bus is None
    (tmp_path / "sys/bus/pci/devices").mkdir(parents=True)
    assert Machine(root=tmp_path).on_bus == 0


@posix
def test_each_route_to_a_compiler_is_named_and_each_file_counted_once(tmp_path: Path) -> None:
    site = tmp_path / "env/lib/python3.12/site-packages"
    for name in ("torch", "triton", "jax"):
        (site / name).mkdir(parents=True)
    usual = tmp_path / "root/usr/local/cuda-13.0"
    nvcc = program(usual / "bin/nvcc", "13.0.88", targets="compute_75 lto_75 sm_75 sm_90 sm_90a")
    (usual / "include/crt").mkdir(parents=True)
    (usual / "include/crt/host_config.h").write_text("#if __GNUC__ > 15\n#error -- unsupported GNU version!\n")
    (tmp_path / "root/usr/local/cuda").symlink_to("cuda-13.0")
    unrun(site / "nvidia/cuda_nvcc/bin/ptxas", "12.8.93")
    unrun(site / "triton/backends/nvidia/bin/ptxas", "12.9.86")
    unrun(site / "triton/backends/nvidia/bin/ptxas-blackwell", "13.1.80")
    old = program(tmp_path / "home/cuda-12.4/bin/nvcc", "12.4.131", targets="sm_80")
    mine = program(tmp_path / "home/ptxas", "13.2.1")
    here = machine(
        tmp_path,
        site=True,
        PATH=f"{nvcc.parent}:/usr/bin:/bin",
        CUDA_HOME=str(old.parent.parent),
        TRITON_PTXAS_PATH=str(mine),
        CUDACXX=str(old),
    )
    assert found(here) == [
        ("nvcc", "/usr/local/cuda-13.0/bin/nvcc", "13.0.88", ("PATH", "/usr/local/cuda"), ("shell",)),
        ("nvcc", "~/.../nvcc", "12.4.131", ("CUDACXX", "CUDA_HOME"), ("torch",)),
        ("ptxas", "~/ptxas", "13.2.1", ("TRITON_PTXAS_PATH",), ("triton",)),
        ("ptxas", "<env>/lib/python3.12/site-packages/nvidia/cuda_nvcc/bin/ptxas", "12.8.93", ("wheel",), ("jax",)),
        ("ptxas", "<env>/lib/python3.12/site-packages/triton/backends/nvidia/bin/ptxas", "12.9.86", ("triton",), ()),
        (
            "ptxas",
            "<env>/lib/python3.12/site-packages/triton/backends/nvidia/bin/ptxas-blackwell",
            "13.1.80",
            ("triton",),
            ("triton",),
        ),
    ]
    toolkits = tuple(one.toolkit for one in find_compilers(here))
    assert [str(target) for target in toolkits[0].targets or ()] == ["compute_75", "sm_75", "sm_90", "sm_90a"]
    assert [str(target) for target in toolkits[2].targets or ()] == [
        "compute_80",
        "sm_80",
        "sm_90",
        "sm_90a",
        "sm_100f",
    ]
    assert [toolkit.host_gcc for toolkit in toolkits[:2]] == [15, None]
    assert str(toolkits[0].cuda) == "13.0"
    findings = compiler_findings(toolkits)
    assert [finding.code for finding in findings] == ["toolkits-disagree"]
    assert "nvcc 13.0 by shell (PATH), nvcc 12.4 by torch (CUDACXX)" in findings[0].message
    assert str(tmp_path) not in findings[0].message


@posix
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the user's cache has other places")
def test_compilers_leave_nothing_outside_the_users_cache(tmp_path: Path) -> None:
    # nvcc 13.0 makes an empty file in TMPDIR, else in /tmp, for some questions, and stops where it cannot.
    nvcc = program(tmp_path / "bin/nvcc", "13.0.88")
    nvcc.write_text(f'#!/bin/sh\necho "$TMPDIR" >> {tmp_path}/said\n')
    here = machine(tmp_path, PATH=str(nvcc.parent), TMPDIR="/elsewhere")
    find_compilers(here)
    (tmp_path / "home/.cache/capably").rmdir()
    (tmp_path / "home/.cache/capably").touch()
    find_compilers(here)
    said = (tmp_path / "said").read_text().split()
    assert said == [str(tmp_path / "home/.cache/capably")] * 2 + ["/elsewhere"] * 2
    (tmp_path / "said").unlink()
    find_compilers(machine(tmp_path, PATH=str(nvcc.parent), CAPABLY_CACHE_DIR=str(tmp_path / "kept")))
    assert (tmp_path / "said").read_text().split() == [str(tmp_path / "kept")] * 2


@posix
def test_a_compiler_that_does_not_answer_is_said(tmp_path: Path) -> None:
    silent = program(tmp_path / "bin/nvcc", "13.0.88")
    silent.write_text("#!/bin/sh\nexit 1\n")
    broken = tmp_path / "bin/ptxas"
    broken.write_bytes(b"\x7fELF and no program")
    broken.chmod(0o755)
    here = machine(tmp_path, PATH=str(tmp_path / "bin"))
    toolkits = tuple(one.toolkit for one in find_compilers(here))
    assert [(one.kind, one.version, one.targets) for one in toolkits] == [("nvcc", None, None), ("ptxas", None, None)]
    assert [finding.code for finding in compiler_findings(toolkits)] == ["compiler-silent"] * 2


def test_nvrtc_is_found_by_name_and_never_loaded(tmp_path: Path) -> None:
    site = tmp_path / "env/lib/python3.12/site-packages"
    for name in ("nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "torch/lib/libnvrtc.so.9"):
        (site / name).parent.mkdir(parents=True)
        (site / name).write_bytes(b"not a library")
    (site / "nvidia/cu13/lib/libnvrtc-builtins.so.13.0").write_bytes(b"")
    for name in ("nvidia_cuda_nvrtc-13.0.88", "nvidia_cuda_nvrtc_cu12-12.8.93"):
        (site / f"{name}.dist-info").mkdir()
    system_wide = tmp_path / "root/usr/local/cuda/lib64"
    system_wide.mkdir(parents=True)
    (system_wide / "libnvrtc.so.12.4.127").write_bytes(b"")
    (system_wide / "libnvrtc.so.12").symlink_to("libnvrtc.so.12.4.127")
    here = machine(tmp_path, site=True, LD_LIBRARY_PATH=str(system_wide), CONDA_PREFIX=str(tmp_path / "conda"))
    toolkits = [one.toolkit for one in find_compilers(here)]
    assert [(one.version, one.via, one.used_by) for one in toolkits] == [
        ("12.4.127", ("LD_LIBRARY_PATH", "/usr/local/cuda"), ()),
        ("13.0.88", ("wheel",), ()),
        ("12.8.93", ("wheel",), ()),
        (None, ("torch",), ("torch",)),
    ]


def test_versions_of_what_matters_are_recorded_and_nothing_else(tmp_path: Path) -> None:
    site = tmp_path / "env/lib/python3.12/site-packages"
    for name in (
        "torch-2.13.0",
        "flash_attn-2.8.3",
        "nvidia_cuda_nvrtc-13.0.88",
        "secret_project-1.0",
        "requests-2.32.3",
    ):
        (site / f"{name}.dist-info").mkdir(parents=True)
    here = machine(tmp_path, site=True)
    assert look_at(here).distributions == (
        ("flash-attn", "2.8.3"),
        ("nvidia-cuda-nvrtc", "13.0.88"),
        ("torch", "2.13.0"),
    )


def test_a_record_holds_no_names_of_people_or_projects(tmp_path: Path) -> None:
    here = machine(
        tmp_path,
        CUDA_HOME=str(tmp_path / "home/cuda"),
        LD_LIBRARY_PATH=f"/data/bob/lib:/usr/lib/wsl/lib:{tmp_path}/env/lib:",
        XLA_FLAGS="--xla_gpu_cuda_data_dir=/mnt/team-x/cuda --other",
        TORCH_CUDA_ARCH_LIST="9.0a;10.0+PTX",
        HOSTNAME="secret-host",
        USER="bob",
    )
    record = look_at(here)
    assert dict(record.environment) == {
        "CUDA_HOME": "~/cuda",
        "LD_LIBRARY_PATH": "<elsewhere>/lib:/usr/lib/wsl/lib:<env>/lib:",
        "TORCH_CUDA_ARCH_LIST": "9.0a;10.0+PTX",
        "XLA_FLAGS": "--xla_gpu_cuda_data_dir=<elsewhere>/cuda --other",
    }
    text = probe.dumps(record)
    for name in ("bob", "secret-host", "team-x", str(tmp_path)):
        assert name not in text


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/usr/local/cuda/bin/nvcc", "/usr/local/cuda/bin/nvcc"),
        ("/home/bob/x", "~/x"),
        ("/home/bob", "~"),
        ("/home/bob/secret/cuda/bin/nvcc", "~/.../nvcc"),
        ("/home/bobby/x", "<elsewhere>/x"),
        ("/srv/env/lib/x", "<env>/lib/x"),
        ("/srv/conda/lib", "<conda>/lib"),
        ("/", "<elsewhere>/"),
        ("relative/x", "relative/x"),
    ],
)
def test_paths_are_shown_without_what_is_private(path: str, shown: str) -> None:
    here = Machine(prefix="/srv/env", home="/home/bob", environ={"CONDA_PREFIX": "/srv/conda"})
    assert here.shown(path) == shown


_word = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=3, max_size=8).map("zq{}".format)


@st.composite
def _settings(draw: st.DrawFn) -> tuple[str, str, str, dict[str, str]]:
    """Names of a user, of a host and of a project, and variables with these at every kind of place."""
    user, host, project = draw(_word), draw(_word), draw(_word)
    pieces = st.sampled_from(
        [
            *(f"/home/{user}/{project}/cuda", f"/home/{user}", f"/home/{user}/a b/{project}/lib", f"/home/{user}/x.so"),
            *(f"/data/{user}", f"/scratch/{host}/{user}/lib", f"/opt/{user}/cuda/lib64", f"/mnt/{project}/cuda"),
            *(f"{user}@{host}", f"//{host}/share", f"file:///home/{user}/{project}/x", f"~{user}/lib", f"{user}-build"),
            *(f"GPU-{user}", f"{host}.example.org", f"/usr/lib/{host.upper()}/x", f"../{user}/cuda", f"<{user}>"),
            *("/usr/local/cuda", "9.0a", "0", "", "--xla_gpu_cuda_data_dir"),
        ]
    )
    values = st.lists(pieces, max_size=4).flatmap(
        lambda parts: st.sampled_from(list(":;, =")).map(lambda s: s.join(parts))
    )
    return user, host, project, draw(st.dictionaries(st.sampled_from(VARIABLES), values, max_size=8))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_settings(), st.booleans())
def test_no_record_holds_the_name_of_the_user_or_of_the_host(
    tmp_path: Path, made: tuple[str, str, str, dict[str, str]], with_domain: bool
) -> None:
    user, host, project, environ = made
    name = f"{host}.example.org" if with_domain else host
    here = replace(
        machine(tmp_path, site=True, **environ),
        home=f"/home/{user}",
        user=user,
        host=name,
        executable="",
        root=tmp_path,
    )
    text = probe.dumps(without_uuids(look_at(here))).lower()
    assert user not in text
    assert host not in text
    assert "/home/" not in text
    assert project not in text
    assert probe.loads(text.replace("gpu-", "GPU-")) is not None


@pytest.mark.parametrize(
    ("files", "environ", "kind"),
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"APPTAINER_CONTAINER": "x.sif"}, "apptainer"),
        ({"proc/1/cgroup": "0::/kubepods/besteffort/pod1"}, {}, "kubernetes"),
        ({"proc/1/cgroup": "0::/system.slice/docker-1.scope"}, {}, "docker"),
        ({"proc/1/cgroup": "0::/init.scope"}, {}, None),
    ],
)
def test_containers(tmp_path: Path, files: dict[str, str], environ: dict[str, str], kind: str | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert Machine(root=tmp_path, environ=environ).container == kind


@pytest.mark.parametrize(
    ("files", "release"),
    [
        ({}, None),
        (
            {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n"},
            "550.54.14",
        ),
        (
            {
                "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  "
                "Release Build  (dvs@host)\nGCC version: gcc version 13.3.0\n"
            },
            "580.65.06",
        ),
        ({"proc/driver/nvidia/version": "something else"}, ""),
        ({"sys/module/nvidia/version": "535.183.01\n"}, "535.183.01"),
        ({"sys/module/nvidia/refcnt": "1"}, ""),
    ],
)
def test_the_kernel_module_names_its_release(tmp_path: Path, files: dict[str, str], release: str | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    here = Machine(root=tmp_path, environ={"CUDA_FORCE_PTX_JIT": "1"})
    assert here.kernel_module == release
    driver = probe.kernel_driver(here)
    assert driver == (Driver(DriverRelease.parse(release), jit=PtxJit.FORCED) if release else None)


def test_a_release_that_is_none_is_no_driver(tmp_path: Path) -> None:
    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    (tmp_path / "sys/module/nvidia/version").write_text("unknown")
    assert probe.kernel_driver(Machine(root=tmp_path, environ={})) is None


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({}, PtxJit.ALLOWED),
        ({"CUDA_FORCE_PTX_JIT": "0"}, PtxJit.ALLOWED),
        ({"CUDA_FORCE_PTX_JIT": "1"}, PtxJit.FORCED),
        ({"CUDA_FORCE_JIT": "1"}, PtxJit.FORCED),
        ({"CUDA_DISABLE_PTX_JIT": "1"}, PtxJit.DISABLED),
        ({"CUDA_DISABLE_JIT": "1", "CUDA_FORCE_JIT": "1"}, PtxJit.DISABLED),
    ],
)
def test_what_the_environment_says_about_ptx(environ: dict[str, str], setting: PtxJit) -> None:
    assert jit_setting(environ) is setting
    assert set(environ) <= set(VARIABLES)


@pytest.mark.parametrize("name", ["win32", "darwin"])
def test_other_systems_are_not_looked_at_and_that_is_said(tmp_path: Path, name: str) -> None:
    record = look_at(Machine(root=tmp_path, environ={}, os_name=name, paths=()), compilers=False)
    assert record.absence == "platform-not-probed"
    assert name in record.findings[0].message


def test_the_machine_that_runs_this_can_be_recorded() -> None:
    record = probe.system(Machine(patience=60))
    assert probe.loads(probe.dumps(record)) == record
    assert record.devices or record.absence


def test_agreement_is_no_finding() -> None:
    one = Toolkit(ToolkitKind.NVCC, "/a", ("PATH",), CudaVersion(13, 0), "13.0.88", ("shell",))
    two = Toolkit(ToolkitKind.PTXAS, "/b", ("PATH",), CudaVersion(13, 0), "13.0.88", ("shell",))
    alone = Toolkit(ToolkitKind.PTXAS, "/c", ("triton",), CudaVersion(12, 9), "12.9.86", ("triton",))
    assert compiler_findings((one, two, alone)) == ()


def refusals() -> list[tuple[Any, str]]:
    return [
        ([], "$: not a record"),
        ({}, "$: not a record"),
        ({"schema": 2}, "another release"),
        ({"schema": 1, "color": 1}, "$.color: is not known"),
        ({"schema": 1, "wsl": 1}, "$.wsl: bool was expected"),
        ({"schema": 1, "machine": None}, "$.machine: str was expected"),
        ({"schema": 1, "devices": {}}, "$.devices: a list"),
        ({"schema": 1, "devices": [{}]}, "$.devices[0].capability: is missing"),
        ({"schema": 1, "devices": [{"capability": "9.0a"}]}, "$.devices[0].capability: not a compute capability"),
        ({"schema": 1, "devices": [{"capability": 9}]}, "a text was expected"),
        ({"schema": 1, "devices": [{"capability": "9.0", "confidence": "sure"}]}, "'sure' is not a valid"),
        ({"schema": 1, "devices": [{"capability": "9.0", "ordinal": True}]}, "int was expected"),
        ({"schema": 1, "environment": [["A"]]}, "$.environment[0]: a list of 2"),
        ({"schema": 1, "driver": {}}, "$.driver: a driver needs"),
        ({"schema": 1, "driver": 3}, "$.driver: an object"),
    ]


@pytest.mark.parametrize(("value", "message"), refusals())
def test_a_record_that_is_none_is_refused_with_the_place(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^\$") as caught:
        probe.loads(json.dumps(value))
    assert message in str(caught.value)


def test_files_that_are_no_records_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for data, message in ((b"{", "not JSON"), (b"\xff\xfe", "not UTF-8"), (b"[" * 100000, "not JSON")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            probe.load(path)
    path.write_bytes(b"{")
    with pytest.raises(ValueError, match="not JSON") as caught:
        probe.load(path)
    assert str(caught.value).startswith(f"{path}: not JSON: "), "the place is the file, all of it"
    with pytest.raises(ValueError, match="No such file"):
        probe.load(tmp_path / "none.json")
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ValueError, match="too large"):
        probe.load(path)


def test_a_recorded_machine_stands_in_for_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parent / "data/systems/rtx-3090-4090.json"
    monkeypatch.setenv("CAPABLY_SYSTEM", str(path))
    assert [str(device.capability) for device in probe.devices()] == ["8.9", "8.6"]
    assert probe.system() == probe.load(path)
    probe.save(probe.system(), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == path.read_text()
