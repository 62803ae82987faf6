"""The compilers that are installed: which ones, by which route, what each can emit, and who would use it.

A compiler is run where a variable of the user names it (`PATH`, `CUDA_HOME` and their like), and nowhere else. What
lies in a Python environment, or is merely there, is read: its release stands in the file itself, and in the metadata
beside it. What a release emits is then a matter of the tables; the names of targets in a file say nothing about that,
since a ptxas names those that it refuses too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from capably import processes
from capably.arch import Target
from capably.bounded import bounded_pieces, read_bounded
from capably.codes import FINDINGS
from capably.errors import ParseError
from capably.facts import Finding, Toolkit, ToolkitKind
from capably.version import CudaVersion

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from capably.probe.machine import Machine

__all__ = ["Located", "compiler_findings", "find_compilers"]

_MOST_PATIENCE = 10.0
_GRACE = 0.1  # seconds to read what has long been printed, where another has used up the time
_MOST_PRINTED = 1 << 20
_MOST_TEXT = 1 << 20
_MOST_PROGRAM = 256 << 20  # the ptxas of CUDA 13.5 has 51 MB
# What the user has set to name a compiler. What was merely installed, or lies beside a script, is not meant by that.
_NAMED = frozenset(
    ("PATH", "CUDACXX", "CUDA_HOME", "CUDA_PATH", "TRITON_PTXAS_PATH", "TRITON_PTXAS_BLACKWELL_PATH"),
)
_ENDINGS = ("", ".exe") if os.name == "nt" else ("",)
_NVCC_NAMES = ("nvcc",)
_PTXAS_NAMES = ("ptxas", "ptxas-blackwell")
_LIBRARY = re.compile(r"libnvrtc\.so\.([0-9]+(?:\.[0-9]+)*)")
_VERSION = r"[0-9]{1,3}(?:\.[0-9]{1,6}){1,3}"
_RELEASE = re.compile(rf"release [0-9]{{1,3}}\.[0-9]{{1,3}}, V({_VERSION})")
_RELEASE_INSIDE = re.compile(
    rf"Cuda compilation tools, release [0-9]{{1,3}}\.[0-9]{{1,3}}, V({_VERSION})[\n\0]".encode()
)
_LONGEST_RELEASE = 128
_VERSION_FILES = (
    ("version.json", re.compile(rf'"cuda_nvcc"\s*:\s*\{{[^{{}}]*"version"\s*:\s*"({_VERSION})"')),
    ("version.txt", re.compile(rf"CUDA Version ({_VERSION})")),
)
_TARGET = re.compile(r"\b(?:sm|compute)_[1-9][0-9]{1,2}[af]?\b")
_HOST_GCC = re.compile(r"#\s*if\s+(?:defined\s*\(?__GNUC__\)?\s*&&\s*)?__GNUC__ > ([0-9]{1,4})\b")


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


def find_compilers(machine: Machine, *, only: ToolkitKind | None = None, run_all: bool = False) -> tuple[Located, ...]:
    """The compilers of *machine*, each file once.

    Args:
        machine: Where to look.
        only: Look for one kind, and leave the others alone.
        run_all: Run also the nvcc and ptxas that no variable names, for who trusts every environment in
            *machine*. A library is never loaded.
    """
    found: dict[Path, _Found] = {}
    for kind, file, via in (*_programs(machine), *_libraries(machine)):
        if only in (None, kind):
            one = found.setdefault(_real(file), _Found(kind, file))
            if via not in one.via:
                one.via.append(via)
    _mark_users(machine, list(found.values()))
    programs = [one for one in found.values() if one.kind is not ToolkitKind.NVRTC]
    # The first route to a file is one of the user's where there is one, so that what is run is what that names.
    told = _ask_all(machine, [one for one in programs if run_all or not _NAMED.isdisjoint(one.via)])
    deadline = time.monotonic() + _patience(machine)
    return tuple(Located(one.file, _toolkit(machine, one, told, deadline)) for one in found.values())


def _patience(machine: Machine) -> float:
    return min(machine.patience, _MOST_PATIENCE)


def _real(file: Path) -> Path:
    return Path(os.path.realpath(file))


# -- where they are


def _roots(machine: Machine) -> Iterator[tuple[str, Path]]:
    """Folders that are laid out as a toolkit, with the route that leads there."""
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        root = Path(machine.environ.get(variable, ""))
        if root.is_absolute():
            yield variable, root
    yield "/usr/local/cuda", machine.at("/usr/local/cuda")
    if machine.environ.get("CONDA_PREFIX"):
        yield "conda", Path(machine.environ["CONDA_PREFIX"])
    for site in machine.paths:
        for folder in sorted(Path(site).glob("nvidia/*")):
            if _is_folder(folder / "bin") or _is_folder(folder / "lib"):
                yield "wheel", folder


def _programs(machine: Machine) -> Iterator[tuple[ToolkitKind, Path, str]]:
    path = machine.environ.get("PATH", "")
    for kind, names in ((ToolkitKind.NVCC, _NVCC_NAMES), (ToolkitKind.PTXAS, _PTXAS_NAMES)):
        for name in names:
            on_path = _program(name, path)
            if on_path:
                yield kind, on_path, "PATH"
    compiler = _program(machine.environ.get("CUDACXX", ""), path)
    if compiler:
        yield ToolkitKind.NVCC, compiler, "CUDACXX"
    for variable in ("TRITON_PTXAS_PATH", "TRITON_PTXAS_BLACKWELL_PATH"):
        file = Path(machine.environ.get(variable, ""))
        if file.is_absolute() and _is_file(file):
            yield ToolkitKind.PTXAS, file, variable
    for via, root in _roots(machine):
        for kind, names in ((ToolkitKind.NVCC, _NVCC_NAMES), (ToolkitKind.PTXAS, _PTXAS_NAMES)):
            for name in names:
                if _is_file(root / "bin" / name):
                    yield kind, root / "bin" / name, via
    for site in machine.paths:
        for name in _PTXAS_NAMES:
            for via, folder in (("triton", "triton/backends/nvidia/bin"), ("jax", "jaxlib/cuda/bin")):
                if _is_file(Path(site) / folder / name):
                    yield ToolkitKind.PTXAS, Path(site) / folder / name, via


def _program(name: str, path: str) -> Path | None:
    """The program that *name* means to a shell, except that the current folder has no part in it.

    An empty or relative part of *path* means another program in each folder, as does a relative *name* with a folder.
    """
    if name != Path(name).name:
        return Path(name) if Path(name).is_absolute() and shutil.which(name) else None
    folders = (Path(part) for part in path.split(os.pathsep))
    places = (folder / (name + ending) for folder in folders if folder.is_absolute() for ending in _ENDINGS)
    return next((place for place in places if shutil.which(place)), None)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - what cannot be looked at is none; the other one raises


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - as above


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

    installed = {name for site in machine.paths for name in ("torch", "triton", "jax") if _is_folder(Path(site) / name)}
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
    """What each program prints about its version and about its options; all run at the same time, for one limit."""
    running: list[tuple[Path, bool, subprocess.Popen[bytes]]] = []
    answers = {one.file: ("", "") for one in found}
    environ = {**machine.environ, **_scratch(machine)} if found else {}
    try:
        for one in found:
            for option in ("--version", "--help"):
                with contextlib.suppress(OSError):
                    # In a folder of the system, so that no relative part of a variable means the current one.
                    process = processes.start([str(one.file), option], environ, folder=os.sep)
                    running.append((one.file, option == "--version", process))
        deadline = time.monotonic() + _patience(machine)
        for file, about_version, process in running:
            seconds = max(_GRACE, deadline - time.monotonic())
            ended = processes.collect(process, seconds=seconds, most_bytes=_MOST_PRINTED)
            # Where nobody knows how it ended, what it printed has to do.
            good = ended.problem is None and not ended.code
            text = ended.output.decode("utf-8", "replace") if good else ""
            version, targets = answers[file]
            answers[file] = (version + text, targets) if about_version else (version, targets + text)
    finally:
        for _, _, process in running:
            processes.end(process)
    return answers


def _scratch(machine: Machine) -> dict[str, str]:
    """Where nvcc puts the files that it makes and removes: not outside the user's cache."""
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


def _toolkit(machine: Machine, one: _Found, told: Mapping[Path, tuple[str, str]], deadline: float) -> Toolkit:
    base = Toolkit(one.kind, machine.shown(str(one.file)), tuple(one.via), used_by=tuple(dict.fromkeys(one.used_by)))
    if one.kind is ToolkitKind.NVRTC:
        version = _library_version(one.file)
        return replace(base, version=version, cuda=_cuda(version))
    if one.file in told:
        version_text, targets_text = told[one.file]
        release = _RELEASE.search(version_text)
        version, targets = release[1] if release else None, _targets(one.kind, targets_text)
    else:
        version, targets = _version_read(one.file, deadline), None
    return replace(
        base,
        version=version,
        cuda=_cuda(version),
        targets=targets,
        host_gcc=_host_gcc(machine, one.file) if one.kind is ToolkitKind.NVCC else None,
    )


def _version_read(program: Path, deadline: float) -> str | None:
    """The version of a program that is not run: by its own file, which nothing beside it can belie, else by that."""
    return _version_inside(program, deadline) or _version_beside(_real(program))


def _version_inside(program: Path, deadline: float) -> str | None:
    window = b""
    with contextlib.suppress(OSError):
        for piece in bounded_pieces(program, _MOST_PROGRAM):
            window = window[-_LONGEST_RELEASE:] + piece
            found = _RELEASE_INSIDE.search(window)
            if found:
                return found[1].decode()
            if time.monotonic() > deadline:
                break
    return None


def _version_beside(program: Path) -> str | None:
    root = program.parent.parent
    for name, pattern in _VERSION_FILES:
        with contextlib.suppress(OSError):
            found = pattern.search(read_bounded(root / name, _MOST_TEXT).decode("utf-8", "replace"))
            if found:
                return found[1]
    # Wheels of one major version share `nvidia/cu13`; the older ones, each with a suffix, `nvidia/cuda_nvcc`.
    major = re.fullmatch(r"cu([0-9]+)", root.name)
    return _version_of_wheel(root.parent.parent, "nvcc", major[1] if major else None)


def _cuda(version: str | None) -> CudaVersion | None:
    try:
        return CudaVersion.parse(version) if version and "." in version else None
    except ParseError:
        return None


def _targets(kind: ToolkitKind, text: str) -> tuple[Target, ...] | None:
    # The allowed values of one option, in the help of all. What nvcc prints for --list-gpu-code has none with a suffix.
    option = "--gpu-code" if kind is ToolkitKind.NVCC else "--gpu-name"
    about = re.search(rf"(?s)^{option}\b.*?(?=^--)", text, re.MULTILINE)
    found = {Target.parse(name) for name in _TARGET.findall(about[0] if about else "")}
    return tuple(sorted(found)) or None


def _host_gcc(machine: Machine, nvcc: Path) -> int | None:
    root = _real(nvcc).parent.parent
    for folder in ("include", f"targets/{machine.processor}-linux/include"):
        try:
            text = read_bounded(root / folder / "crt/host_config.h", _MOST_TEXT).decode("utf-8", "replace")
        except OSError:
            continue
        found = _HOST_GCC.search(text)
        if found:
            return int(found[1])
    return None


def _library_version(file: Path) -> str | None:
    """From the name of the file, where it has it in full, else from the metadata of the wheel that brought it."""
    named = _LIBRARY.fullmatch(_real(file).name)
    if named and "." in named[1]:
        return named[1]
    return _version_of_wheel(file.parent.parent.parent.parent, "nvrtc", named[1]) if named else None


def _version_of_wheel(site: Path, name: str, major: str | None) -> str | None:
    """By the name of its metadata folder; None where several wheels could have brought the file."""
    pattern = re.compile(rf"nvidia[-_]cuda[-_]{name}(?:[-_]cu[0-9]+)?-({_VERSION})\.dist-info")
    try:
        names = [folder.name for folder in site.iterdir()]
    except OSError:
        return None
    versions = {found[1] for found in map(pattern.fullmatch, names) if found}
    fitting = [version for version in versions if major in (None, version.partition(".")[0])]
    return fitting[0] if len(fitting) == 1 else None


def compiler_findings(toolkits: Sequence[Toolkit]) -> tuple[Finding, ...]:
    """What is odd about them: programs whose version is not known, and versions that differ."""
    unknown = [one for one in toolkits if one.kind is not ToolkitKind.NVRTC and one.version is None]
    codes = ["compiler-not-run" if _NAMED.isdisjoint(one.via) else "compiler-silent" for one in unknown]
    findings = [
        Finding(code, one.path, FINDINGS[code].message.format(path=one.path))
        for code, one in zip(codes, unknown, strict=True)
    ]
    # Triton brings its own assemblers, whatever else there is; only what several tools share can disagree.
    shared = [one for one in toolkits if one.cuda is not None and one.used_by not in ((), ("triton",))]
    if len({one.cuda for one in shared}) > 1:
        listed = ", ".join(f"{one.kind} {one.cuda} by {' and '.join(one.used_by)} ({one.via[0]})" for one in shared)
        message = FINDINGS["toolkits-disagree"].message.format(listed=listed)
        findings.append(Finding("toolkits-disagree", "toolkits", message))
    return tuple(findings)
