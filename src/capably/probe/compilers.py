"""The compilers that are installed: which ones, by which route, what each can emit, and who would use it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from capably.arch import Target
from capably.errors import ParseError
from capably.facts import Finding, Toolkit, ToolkitKind
from capably.reasons import FINDINGS
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from capably.probe.machine import Machine

__all__ = ["Located", "compiler_findings", "find_compilers"]

_PATIENCE = 10.0
_NVCC_NAMES = ("nvcc",)
_PTXAS_NAMES = ("ptxas", "ptxas-blackwell")
_LIBRARY = re.compile(r"libnvrtc\.so\.([0-9]+(?:\.[0-9]+)*)")
_RELEASE = re.compile(r"release ([0-9]+\.[0-9]+), V([0-9.]+)")
_TARGET = re.compile(r"\b(?:sm|compute)_[0-9]{2,3}[af]?\b")
_HOST_GCC = re.compile(r"#\s*if\s+(?:defined\s*\(?__GNUC__\)?\s*&&\s*)?__GNUC__ > ([0-9]+)")


@dataclass(frozen=True, slots=True)
class Located:
    """A compiler and where it really is, which its record does not say.

    Attributes:
        file: The program or library.
        toolkit: What is known about it.
    """

    file: Path
    toolkit: Toolkit


@dataclass(slots=True)
class _Found:
    kind: ToolkitKind
    file: Path
    via: list[str] = field(default_factory=list)
    used_by: list[str] = field(default_factory=list)


def find_compilers(machine: Machine, *, ask: bool = True) -> tuple[Located, ...]:
    """The compilers of *machine*, each file once.

    Args:
        machine: Where to look.
        ask: Run nvcc and ptxas for their versions and for what they emit; a library is never loaded.
    """
    found: dict[Path, _Found] = {}
    for kind, file, via in (*_programs(machine), *_libraries(machine)):
        one = found.setdefault(_real(file), _Found(kind, file))
        if via not in one.via:
            one.via.append(via)
    _mark_users(machine, list(found.values()))
    told = _ask_all(machine, [one for one in found.values() if one.kind is not ToolkitKind.NVRTC]) if ask else {}
    return tuple(Located(one.file, _toolkit(machine, one, told)) for one in found.values())


def _real(file: Path) -> Path:
    return Path(os.path.realpath(file))


# -- where they are


def _roots(machine: Machine) -> Iterator[tuple[str, Path]]:
    """Folders that are laid out as a toolkit, with the route that leads there."""
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if machine.environ.get(variable):
            yield variable, Path(machine.environ[variable])
    yield "/usr/local/cuda", machine.at("/usr/local/cuda")
    if machine.environ.get("CONDA_PREFIX"):
        yield "conda", Path(machine.environ["CONDA_PREFIX"])
    for site in machine.paths:
        for folder in sorted(Path(site).glob("nvidia/*")):
            if (folder / "bin").is_dir() or (folder / "lib").is_dir():
                yield "wheel", folder


def _programs(machine: Machine) -> Iterator[tuple[ToolkitKind, Path, str]]:
    path = machine.environ.get("PATH", "")
    for kind, names in ((ToolkitKind.NVCC, _NVCC_NAMES), (ToolkitKind.PTXAS, _PTXAS_NAMES)):
        for name in names:
            on_path = shutil.which(name, path=path) if path else None
            if on_path:
                yield kind, Path(on_path), "PATH"
    if machine.environ.get("CUDACXX"):
        compiler = shutil.which(machine.environ["CUDACXX"], path=path)
        if compiler:
            yield ToolkitKind.NVCC, Path(compiler), "CUDACXX"
    for variable in ("TRITON_PTXAS_PATH", "TRITON_PTXAS_BLACKWELL_PATH"):
        file = Path(machine.environ.get(variable) or "/nonexistent")
        if file.is_file():
            yield ToolkitKind.PTXAS, file, variable
    for via, root in _roots(machine):
        for kind, names in ((ToolkitKind.NVCC, _NVCC_NAMES), (ToolkitKind.PTXAS, _PTXAS_NAMES)):
            for name in names:
                if (root / "bin" / name).is_file():
                    yield kind, root / "bin" / name, via
    for site in machine.paths:
        for name in _PTXAS_NAMES:
            for via, folder in (("triton", "triton/backends/nvidia/bin"), ("jax", "jaxlib/cuda/bin")):
                if (Path(site) / folder / name).is_file():
                    yield ToolkitKind.PTXAS, Path(site) / folder / name, via


def _libraries(machine: Machine) -> Iterator[tuple[ToolkitKind, Path, str]]:
    folders = [
        ("LD_LIBRARY_PATH", Path(part)) for part in machine.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part
    ]
    for via, root in _roots(machine):
        folders += [(via, root / part) for part in ("lib64", "lib", f"targets/{machine.processor}-linux/lib")]
    folders += [("torch", Path(site) / "torch/lib") for site in machine.paths]
    folders += [("system", machine.at(f"/usr/lib/{machine.processor}-linux-gnu"))]
    for via, folder in folders:
        with_numbers = [file for file in sorted(folder.glob("libnvrtc.so.*")) if _LIBRARY.fullmatch(file.name)]
        for file in with_numbers:
            yield ToolkitKind.NVRTC, file, via


def _mark_users(machine: Machine, found: Sequence[_Found]) -> None:
    """Who would take which, as things are."""

    def mark(user: str, kind: ToolkitKind, *routes: str, names: Sequence[str] = ()) -> None:
        for name in names or (None,):
            for route in routes:
                fitting = [
                    one
                    for one in found
                    if one.kind is kind and route in one.via and (name is None or one.file.name == name)
                ]
                if fitting:
                    fitting[0].used_by.append(user)
                    break

    installed = {name for site in machine.paths for name in ("torch", "triton", "jax") if (Path(site) / name).is_dir()}
    mark("shell", ToolkitKind.NVCC, "PATH")
    mark("shell", ToolkitKind.PTXAS, "PATH")
    home = next((name for name in ("CUDA_HOME", "CUDA_PATH") if machine.environ.get(name)), None)
    if home:  # torch.utils.cpp_extension, and FlashInfer like it: where a variable is set, there and nowhere else
        mark("torch", ToolkitKind.NVCC, home)
    elif "torch" in installed:
        mark("torch", ToolkitKind.NVCC, "PATH", "/usr/local/cuda")
    if "torch" in installed:
        mark("torch", ToolkitKind.NVRTC, "torch", "wheel", "LD_LIBRARY_PATH", "system")
    if "triton" in installed:
        mark("triton", ToolkitKind.PTXAS, "TRITON_PTXAS_PATH", "triton", names=("ptxas",))
        mark("triton", ToolkitKind.PTXAS, "TRITON_PTXAS_BLACKWELL_PATH", "triton", names=("ptxas-blackwell",))
    if "jax" in installed:
        mark("jax", ToolkitKind.PTXAS, "jax", "wheel", "/usr/local/cuda", "PATH", names=("ptxas",))


# -- what they say


def _ask_all(machine: Machine, found: Sequence[_Found]) -> Mapping[Path, tuple[str, str]]:
    """What each program prints about its version and about its targets; all run at the same time."""
    questions = {ToolkitKind.NVCC: ("--list-gpu-code", "--list-gpu-arch"), ToolkitKind.PTXAS: ("--help",)}
    running: list[tuple[Path, bool, subprocess.Popen[bytes]]] = []
    answers: dict[Path, tuple[str, str]] = {}
    environ = {**machine.environ, **_scratch(machine)}
    for one in found:
        for option in ("--version", *questions[one.kind]):
            try:
                process = subprocess.Popen(  # noqa: S603 - a list, no shell; a compiler that the user would run
                    [str(one.file), option],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=environ,
                )
            except OSError:
                continue
            running.append((one.file, option == "--version", process))
    for file, about_version, process in running:
        text = _output(process)
        version, targets = answers.get(file, ("", ""))
        answers[file] = (version + text, targets) if about_version else (version, targets + text)
    return answers


def _scratch(machine: Machine) -> dict[str, str]:
    """Where nvcc puts the empty file that it makes and removes for every question: not outside the user's cache."""
    if not machine.os_name.startswith("linux"):
        return {}
    named = machine.environ.get("CAPABLY_CACHE_DIR")  # as for all else that is kept there
    folder = named or f"{machine.environ.get('XDG_CACHE_HOME') or f'{machine.home}/.cache'}/capably"
    try:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - a text is what is wanted
    except OSError:
        return {}
    # It stops where it can write nothing.
    return {"TMPDIR": folder} if os.access(folder, os.W_OK) else {}


def _output(process: subprocess.Popen[bytes]) -> str:
    try:
        data, _ = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return ""
    return data[: 1 << 20].decode("utf-8", "replace") if process.returncode == 0 else ""


def _toolkit(machine: Machine, one: _Found, told: Mapping[Path, tuple[str, str]]) -> Toolkit:
    base = Toolkit(one.kind, machine.shown(str(one.file)), tuple(one.via), used_by=tuple(dict.fromkeys(one.used_by)))
    if one.kind is ToolkitKind.NVRTC:
        version = _library_version(one.file)
        return replace(base, version=version, cuda=_cuda(version))
    version_text, targets_text = told.get(one.file, ("", ""))
    release = _RELEASE.search(version_text)
    return replace(
        base,
        version=release[2] if release else None,
        cuda=_cuda(release[1] if release else None),
        targets=_targets(one.kind, targets_text),
        host_gcc=_host_gcc(machine, one.file) if one.kind is ToolkitKind.NVCC else None,
    )


def _cuda(version: str | None) -> CudaVersion | None:
    try:
        return CudaVersion.parse(version) if version and "." in version else None
    except ParseError:
        return None


def _targets(kind: ToolkitKind, text: str) -> tuple[Target, ...] | None:
    if kind is ToolkitKind.PTXAS:  # the allowed values of one option, in the help of all
        about = re.search(r"(?s)^--gpu-name\b.*?(?=^--)", text, re.MULTILINE)
        text = about[0] if about else ""
    found = {Target.parse(name) for name in _TARGET.findall(text)}
    return tuple(sorted(found)) or None


def _host_gcc(machine: Machine, nvcc: Path) -> int | None:
    root = _real(nvcc).parent.parent
    for folder in ("include", f"targets/{machine.processor}-linux/include"):
        try:
            text = (root / folder / "crt/host_config.h").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found = _HOST_GCC.search(text)
        if found:
            return int(found[1])
    return None


def _library_version(file: Path) -> str | None:
    """From the name of the file, where it has it in full, else from the metadata of the wheel that brought it."""
    named = _LIBRARY.fullmatch(_real(file).name)
    if named and named[1].count(".") >= 1:
        return named[1]
    site = file.parent.parent.parent.parent
    for pattern in ("nvidia_cuda_nvrtc*-*.dist-info", "nvidia-cuda-nvrtc*-*.dist-info"):
        for folder in sorted(site.glob(pattern)):
            version = folder.name.removesuffix(".dist-info").rsplit("-", 1)[-1]
            if named and version.split(".")[0] == named[1]:
                return version
    return None


def compiler_findings(toolkits: Sequence[Toolkit]) -> tuple[Finding, ...]:
    """What is odd about them: programs that do not answer, and versions that differ."""
    findings = [
        Finding("compiler-silent", one.path, FINDINGS["compiler-silent"].message.format(path=one.path))
        for one in toolkits
        if one.kind is not ToolkitKind.NVRTC and one.version is None
    ]
    # Triton brings its own assemblers, whatever else there is; only what several tools share can disagree.
    shared = [one for one in toolkits if one.cuda is not None and one.used_by not in ((), ("triton",))]
    if len({one.cuda for one in shared}) > 1:
        listed = ", ".join(f"{one.kind} {one.cuda} by {' and '.join(one.used_by)} ({one.via[0]})" for one in shared)
        message = FINDINGS["toolkits-disagree"].message.format(listed=listed)
        findings.append(Finding("toolkits-disagree", "toolkits", message))
    return tuple(findings)
