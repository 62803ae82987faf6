"""Compilers that are looked at: which are run, which are only read, and that neither does harm.

Traps stand in the places of compilers: whoever runs one leaves a mark.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capably.probe.compilers import compiler_findings, find_compilers
from capably.probe.machine import Machine

if TYPE_CHECKING:
    from capably.facts import Toolkit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins for compilers are shell scripts")

STRACE = shutil.which("strace")
SITE = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def trap(path: Path, marks: Path, version: str | None = None) -> Path:
    """A program that leaves a mark where it is run; *version* is in its file as in one of NVIDIA's."""
    script(path, f"echo {path} >> {marks}\necho 'Cuda compilation tools, release 99.9, V99.9.1'\nexit 0")
    if version is not None:
        release = ".".join(version.split(".")[:2])
        with path.open("ab") as file:
            file.write(b"\0sm_70\0" * 300_000)  # beyond the first piece that is read, and no target of its own
            file.write(f"\0Cuda compilation tools, release {release}, V{version}\nBuild cuda_x\n\0".encode())
    return path


def answering(path: Path, version: str) -> Path:
    release = ".".join(version.split(".")[:2])
    return script(path, f'[ "$1" = --version ] && echo "Cuda compilation tools, release {release}, V{version}"; :')


def machine(tmp_path: Path, *sites: Path, **environ: str) -> Machine:
    return Machine(
        root=tmp_path / "root",
        environ={"PATH": "/usr/bin:/bin", "CAPABLY_CACHE_DIR": str(tmp_path / "cache"), **environ},
        prefix=str(tmp_path / "env"),
        paths=tuple(map(str, sites)),
        home=str(tmp_path / "home"),
    )


def toolkits(here: Machine) -> tuple[Toolkit, ...]:
    return tuple(one.toolkit for one in find_compilers(here))


def versions(here: Machine) -> list[tuple[str, str, str | None]]:
    return [(one.kind.value, one.via[0], one.version) for one in toolkits(here)]


def hostile_site(site: Path, marks: Path) -> Path:
    """An environment with a compiler in each place where one is looked for."""
    for name in ("torch", "triton", "jax"):
        (site / name).mkdir(parents=True)
    trap(site / "nvidia/cu13/bin/nvcc", marks)  # a script: only the metadata tells
    trap(site / "nvidia/cuda_nvcc/bin/ptxas", marks, "12.8.93")
    trap(site / "triton/backends/nvidia/bin/ptxas", marks, "12.4.99")
    trap(site / "triton/backends/nvidia/bin/ptxas-blackwell", marks, "12.8.61")
    trap(site / "jaxlib/cuda/bin/ptxas", marks, "13.0.88")
    (site / "nvidia_cuda_nvcc-13.1.115.dist-info").mkdir()
    (site / "nvidia_cuda_nvcc_cu12-12.9.86.dist-info").mkdir()
    return site


# -- what is run, and what is read


def test_compilers_of_an_environment_are_read_and_never_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    site = hostile_site(tmp_path / "env" / SITE, marks)
    conda = tmp_path / "conda"
    trap(conda / "bin/nvcc", marks, "12.6.85")
    usual = tmp_path / "root/usr/local/cuda"
    trap(usual / "bin/nvcc", marks)
    (usual / "version.json").write_text(
        json.dumps({"cuda": {"version": "12.5.1"}, "cuda_nvcc": {"name": "CUDA NVCC", "version": "12.5.82"}})
    )
    here = machine(tmp_path, site, CONDA_PREFIX=str(conda))
    assert versions(here) == [
        ("nvcc", "/usr/local/cuda", "12.5.82"),
        ("nvcc", "conda", "12.6.85"),
        ("nvcc", "wheel", "13.1.115"),
        ("ptxas", "wheel", "12.8.93"),
        ("ptxas", "triton", "12.4.99"),
        ("ptxas", "jax", "13.0.88"),
        ("ptxas", "triton", "12.8.61"),
    ]
    assert not marks.exists()
    found = toolkits(here)
    assert {one.targets for one in found} == {None}, "the tables tell that, not what stands in a file"
    assert [str(one.cuda) for one in found] == ["12.5", "12.6", "13.1", "12.8", "12.4", "13.0", "12.8"]


def test_what_is_trusted_by_the_caller_is_run(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    site = hostile_site(tmp_path / "env" / SITE, marks)
    assert {one.toolkit.version for one in find_compilers(machine(tmp_path, site), run_all=True)} == {"99.9.1"}
    assert marks.exists()


@pytest.mark.parametrize("name", ["PATH", "CUDACXX", "CUDA_HOME", "CUDA_PATH"])
def test_what_the_user_names_is_run(tmp_path: Path, name: str) -> None:
    nvcc = answering(tmp_path / "tools/bin/nvcc", "13.0.88")
    value = {"PATH": nvcc.parent, "CUDACXX": nvcc}.get(name, nvcc.parent.parent)
    assert versions(machine(tmp_path, **{name: str(value)})) == [("nvcc", name, "13.0.88")]


def test_the_way_that_the_user_names_is_the_one_that_is_run(tmp_path: Path) -> None:
    # The same file by two ways: what runs is what PATH names, under that name.
    site = tmp_path / "env" / SITE
    script(site / "nvidia/cu13/bin/nvcc", f'echo "$0" >> {tmp_path}/names; echo "release 13.0, V13.0.88"')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvcc").symlink_to(site / "nvidia/cu13/bin/nvcc")
    (found,) = toolkits(machine(tmp_path, site, PATH=str(tmp_path / "bin")))
    assert (found.via, found.version) == (("PATH", "wheel"), "13.0.88")
    assert set((tmp_path / "names").read_text().split()) == {str(tmp_path / "bin/nvcc")}


@pytest.mark.parametrize("path", ["", ":", ".", "bin", "./bin", ":.:bin:{tools}"])
def test_no_part_of_path_means_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    marks, here = tmp_path / "marks", tmp_path / "here"
    for place in ("nvcc", "ptxas", "bin/nvcc", "bin/ptxas"):
        trap(here / place, marks)
    monkeypatch.chdir(here)
    nvcc = answering(tmp_path / "tools/nvcc", "13.0.88")
    found = versions(machine(tmp_path, PATH=path.format(tools=nvcc.parent)))
    assert found == ([("nvcc", "PATH", "13.0.88")] if "{tools}" in path else [])
    assert not marks.exists()


def test_no_variable_means_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks, here = tmp_path / "marks", tmp_path / "here"
    for place in ("nvcc", "ptxas", "bin/nvcc", "bin/ptxas"):
        trap(here / place, marks)
    monkeypatch.chdir(here)
    variables = {"CUDACXX": "./nvcc", "CUDA_HOME": ".", "CUDA_PATH": "../here", "TRITON_PTXAS_PATH": "ptxas"}
    assert versions(machine(tmp_path, **variables)) == []
    assert versions(machine(tmp_path, CUDACXX="bin/nvcc")) == []
    assert not marks.exists()


def test_a_compiler_starts_in_no_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks, here = tmp_path / "marks", tmp_path / "here"
    trap(here / "helper", marks)
    monkeypatch.chdir(here)
    nvcc = script(tmp_path / "tools/nvcc", f'pwd >> {tmp_path}/where; helper; echo "release 13.0, V13.0.88"')
    assert versions(machine(tmp_path, PATH=f":.:{nvcc.parent}:/usr/bin:/bin")) == [("nvcc", "PATH", "13.0.88")]
    assert set((tmp_path / "where").read_text().split()) == {"/"}
    assert not marks.exists()


# -- what cannot be known


def test_a_compiler_of_which_only_running_would_tell_is_said(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    site = tmp_path / "env" / SITE
    trap(site / "nvidia/cuda_nvcc/bin/nvcc", marks)
    for version in ("11.8.89", "12.8.93"):  # both put their files there
        (site / f"nvidia_cuda_nvcc_cu{version[:2]}-{version}.dist-info").mkdir()
    (site / "nvidia_cuda_nvcc-13.0.88\n::error::x.dist-info").mkdir()
    found = toolkits(machine(tmp_path, site))
    assert [(one.version, one.cuda, one.targets) for one in found] == [(None, None, None)]
    (finding,) = compiler_findings(found)
    assert finding.code == "compiler-not-run"
    assert "was not run" in finding.message
    assert not marks.exists()


def test_a_wrapper_that_names_what_is_no_target_is_no_error(tmp_path: Path) -> None:
    nvcc = script(
        tmp_path / "tools/nvcc",
        'echo "release 13.0, V13.0.88"; printf -- "--gpu-code\\n sm_00 sm_01 compute_05 sm_90\\n--"',
    )
    (found,) = toolkits(machine(tmp_path, PATH=str(nvcc.parent)))
    assert list(map(str, found.targets or ())) == ["sm_90"]


@pytest.mark.parametrize("old", ["CUDA Version 10.2.89\n", "no version", "9" * 5000])
def test_version_files_of_old_toolkits(tmp_path: Path, old: str) -> None:
    root = tmp_path / "root/usr/local/cuda"
    trap(root / "bin/nvcc", tmp_path / "marks")
    (root / "version.txt").write_text(old)
    expected = "10.2.89" if "10.2" in old else None
    assert versions(machine(tmp_path)) == [("nvcc", "/usr/local/cuda", expected)]


def run_bounded(here: Path, code: str, *, seconds: float = 60) -> tuple[object, float]:
    """What *code* says in a process that may take 1 GB, and the memory that it took, in MB."""
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parent), "HERE": str(here)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    value, memory = json.loads(told.stdout)
    return value, memory


ASK = """
    import json, os, re, resource
    from dataclasses import replace
    from pathlib import Path
    from test_probe_compilers import machine, versions
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    here = Path(os.environ["HERE"])
    site = here / "site"
    asked = machine(here, *([site] if site.exists() else ()), PATH=f"{here}/tools:/usr/bin:/bin")
    found = versions(replace(asked, patience=2))
    # Its own peak: `ru_maxrss` counts that of the process that started it, too.
    peak = re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1]
    print(json.dumps([found, int(peak) / 1024]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices and sizes as Linux has them")
def test_files_that_are_none_and_files_without_end_are_passed_over(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for kind in ("sparse", "pipe", "zero", "loop", "folder", "header"):
        (site / f"nvidia/{kind}/bin").mkdir(parents=True)
    with (site / "nvidia/sparse/bin/nvcc").open("wb") as file:
        file.truncate(4 << 30)
    os.mkfifo(site / "nvidia/pipe/bin/nvcc")
    (site / "nvidia/zero/bin/nvcc").symlink_to("/dev/zero")
    (site / "nvidia/loop/bin/nvcc").symlink_to("nvcc")
    (site / "nvidia/folder/bin/nvcc").mkdir()
    # Beside a good one: a header and a version file that would be waited for.
    trap(site / "nvidia/header/bin/nvcc", tmp_path / "marks", "13.0.88")
    (site / "nvidia/header/include/crt").mkdir(parents=True)
    os.mkfifo(site / "nvidia/header/include/crt/host_config.h")
    os.mkfifo(site / "nvidia/sparse/version.json")
    (site / "nvidia/sparse/version.txt").symlink_to("/dev/zero")
    begin = time.monotonic()
    found, memory = run_bounded(tmp_path, ASK)
    assert found == [["nvcc", "wheel", "13.0.88"], ["nvcc", "wheel", None]]
    assert time.monotonic() - begin < 20
    assert memory < 300
    assert not (tmp_path / "marks").exists()


# -- what is run ends


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are counted in /proc")
def test_a_wrapper_that_waits_for_ever_holds_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    # The child of the wrapper holds the pipe.
    script(tmp_path / "tools/nvcc", f"sleep 40 & echo $! >> {tmp_path}/pids; wait")
    answering(tmp_path / "tools/ptxas", "13.0.88")  # has long answered when the time is up
    begin = time.monotonic()
    found = versions(replace(machine(tmp_path, PATH=f"{tmp_path}/tools:/usr/bin:/bin"), patience=1))
    assert time.monotonic() - begin < 15
    assert found == [("nvcc", "PATH", None), ("ptxas", "PATH", "13.0.88")]
    pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, pids))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted as Linux does")
def test_a_wrapper_that_prints_for_ever_takes_no_memory(tmp_path: Path) -> None:
    script(tmp_path / "tools/nvcc", "exec yes 'Cuda compilation tools, release 13.0, V13.0.88'")
    found, memory = run_bounded(tmp_path, ASK)
    assert found == [["nvcc", "PATH", None]]
    assert memory < 150


def test_where_nobody_learns_how_children_end_they_answer_all_the_same(tmp_path: Path) -> None:
    nvcc = answering(tmp_path / "tools/nvcc", "13.0.88")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert versions(machine(tmp_path, PATH=str(nvcc.parent))) == [("nvcc", "PATH", "13.0.88")]
    finally:
        signal.signal(signal.SIGCHLD, before)


# -- all of it, from outside


def environment(folder: Path, marks: Path) -> Path:
    """An environment of this Python, with traps for compilers in it."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    hostile_site(folder / SITE, marks)
    return folder


REQUIRE = """
    import capably
    try:
        capably.require("9.0a, toolkit>=12.0")
    except capably.errors.IncompatibleError as error:
        print(type(error).__name__)
    answer = capably.usable("9.0a, toolkit>=13.0")
    print([str(verdict.outcome) for verdict in answer.verdicts], answer.blames)
"""


@pytest.mark.skipif(STRACE is None, reason="there is no strace here")
@pytest.mark.parametrize("named", [True, False], ids=["PATH and CUDA_HOME name one", "nothing names one"])
@pytest.mark.parametrize("what", ["doctor", "doctor --python", "explain", "require"])
def test_only_our_interpreter_and_what_the_user_names_are_executed(tmp_path: Path, what: str, named: bool) -> None:
    marks, here = tmp_path / "marks", tmp_path / "here"
    env = environment(tmp_path / "env", marks)
    for place in ("nvcc", "ptxas", "bin/nvcc", "bin/ptxas", "nvidia-smi", "sh", "python", "ldconfig"):
        trap(here / place, marks)
    hostile_site(here, marks)
    (here / "ask.py").write_text(textwrap.dedent(REQUIRE))
    good = [answering(tmp_path / "tools/nvcc", "12.4.131"), answering(tmp_path / "home/bin/nvcc", "12.9.86")]
    command = {
        "doctor": ["-P", "-m", "capably", "doctor"],
        "doctor --python": ["-P", "-m", "capably", "doctor", "--python", str(env)],
        "explain": ["-P", "-m", "capably", "explain", "nvcc fatal   : Unsupported gpu architecture 'compute_120'"],
        "require": ["ask.py"],
    }[what]
    variables = {
        "PATH": f":.:bin:{good[0].parent if named else ''}",
        "HOME": str(tmp_path),
        "CAPABLY_CACHE_DIR": str(tmp_path / "cache"),
        "CAPABLY_GPUS": "H100",
        **({"CUDA_HOME": str(good[1].parent.parent)} if named else {}),
        # Found by doctor and explain without --python: on our own path.
        **({"PYTHONPATH": str(env / SITE)} if what in ("doctor", "explain") else {}),
    }
    log = tmp_path / "strace"
    assert STRACE is not None
    told = subprocess.run(
        [STRACE, "-f", "--seccomp-bpf", "-qq", "-e", "trace=execve,execveat", "-o", str(log), sys.executable, *command],
        cwd=here,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    calls = [line for line in log.read_text().splitlines() if " execve" in line and " = -1 " not in line]
    executed = {match[1] for line in calls if (match := re.search(r'execve(?:at)?\((?:[^"]*)"([^"]*)"', line))}
    ours = os.path.realpath(sys.executable)
    others = {path for path in executed if os.path.realpath(path) != ours}
    assert len(calls) >= 2, "the commands start a child: what this looks at was seen"
    # The gate prefers that of CUDA_HOME, and asks both.
    assert others == {str(path) for path in good if named}
    assert not marks.exists()
    if what == "require":
        assert told.returncode == 0, told.stderr
        if named:  # 12.9, by CUDA_HOME
            assert "('compiler',)" in told.stdout
        elif not Path("/usr/local/cuda").exists():  # 13.1, by the metadata beside the script
            assert "['runs']" in told.stdout
    elif what != "explain":
        assert "12.4.99" in told.stdout, "Triton's is told all the same"
        assert "13.1.115" in told.stdout
        assert ("12.4.131" in told.stdout) is named
