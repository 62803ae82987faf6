"""What is wrong with what is installed, apart from architectures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.codes import FINDINGS, Outcome
from capably.doctor.diagnosis import Area, Diagnosis, Evidence, Installed, JudgedPackage, Severity, diagnosis_of
from capably.engine import judge, role_of, starts
from capably.facts import DAMAGE, Device, Fatbin, Image, ImageKind, Role
from capably.tables import tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.facts import Driver, Library, System

__all__ = ["about_installation", "torch_cuda"]

_RUNTIME = re.compile(
    r"(?:nvidia-cuda-runtime(?:-cu(?P<major>[0-9]+))?|cuda-toolkit(?:\[[^\]]*\])?) *==(?P<version>[0-9]+\.[0-9]+)"
)
_CHECKED = re.compile(
    r"lib(?:cudart|cublas(?:Lt)?|nvrtc|nvJitLink|cudnn\w*|nccl|cusparse(?:Lt)?|curand|cufft|cusolver|torch\w*|c10\w*)"
    r"\.so(?:\.[0-9]+)*"
)
_OF_TORCH = re.compile(r"lib(?:torch|c10)\w*\.so")


def torch_cuda(torch: Installed) -> tuple[CudaVersion | None, str]:
    """The CUDA version that torch was built with, and what says so; None with a text for a build for the CPU.

    Returns:
        ``(None, "")`` where nothing says it.
    """
    version = torch.artifact.version or ""
    _, _, local = version.partition("+")
    if found := re.fullmatch(r"cu([0-9]+)([0-9])", local.split(".")[0]):
        return CudaVersion(int(found[1]), int(found[2])), f"version {version}"
    if local.split(".")[0] == "cpu":
        return None, f"version {version}"
    if said := next((one for one in torch.artifact.findings if one.code == "cpu-build"), None):
        return None, f"{said.path}: {said.message.rstrip('.')}"
    for requirement in torch.requires:
        if found := _RUNTIME.match(requirement):
            return CudaVersion.parse(found["version"]), f"requirement {requirement.partition(';')[0].strip()}"
    if torch.artifact.files and not torch.artifact.libraries and not local:
        return None, f"no GPU code in {torch.artifact.files} files"
    return None, ""


def _about_metadata(known: dict[str, Installed]) -> Iterator[Diagnosis]:
    for one in known.values():
        for finding in one.artifact.findings:
            if finding.code in DAMAGE:
                yield Diagnosis(
                    finding.code,
                    Severity.WARNING,
                    Area.INSTALLATION,
                    one.name,
                    f"{finding.path}: {finding.message[:1].lower()}{finding.message[1:].rstrip('.')}",
                    (Evidence(finding.message, finding.path),),
                    FINDINGS[finding.code].way_out,
                    f"pip install --force-reinstall --no-deps {one.name}",
                )


def about_installation(  # noqa: PLR0917 - what it looks at
    system: System,
    known: dict[str, Installed],
    gpus: Sequence[tuple[Device, Driver | None]],
    judged: Sequence[JudgedPackage],
    present: frozenset[str] | None,
    stopped: dict[str, str],
) -> Iterator[Diagnosis]:
    """What keeps packages from working whatever their GPU code says; their names go to *stopped*, with the code."""
    yield from _about_metadata(known)
    torch = known.get("torch")
    if torch is not None:
        cuda, told = torch_cuda(torch)
        if cuda is None and told:
            stopped["torch"] = "cpu-only-torch"
            if not dict(system.environment).get("BNB_CUDA_VERSION"):
                # They take their library for the CPU then.
                by_torch = (row.distribution for row in tables().alternatives if row.chosen_by == "cuda-version")
                stopped.update(dict.fromkeys(by_torch, "cpu-only-torch"))
            command = _torch_command(system, gpus)
            none = "Install a build for CUDA; of those that PyTorch publishes, none is known to serve all GPUs here."
            yield diagnosis_of(
                "cpu-only-torch",
                Severity.ERROR if gpus else Severity.NOTE,
                Area.INSTALLATION,
                "torch",
                [Evidence(told, f"metadata of {torch.title}")],
                command=command,
                action=None if command else none,
                version=torch.artifact.version,
            )
    yield from _about_hosts(system, known, stopped)
    yield from _about_runtimes(judged, gpus, stopped)
    yield from _about_libraries(system, known, judged, present, gpus, stopped)
    for one in known.values():
        row = tables().package(one.name)
        if row is None:
            continue
        for other in row.conflicts:
            if other in known and other != one.name and (other not in row.distributions or other > one.name):
                yield diagnosis_of(
                    "package-overwritten",
                    Severity.WARNING,
                    Area.INSTALLATION,
                    one.name,
                    [
                        Evidence(f"{one.title} and {known[other].title}", "metadata"),
                        Evidence(row.particular, row.title),
                    ],
                    command=f"pip uninstall {one.name} {other} && pip install {one.name}",
                    other=other,
                )
        if row.part is not None and not any(row.part.fullmatch(name) for name in known):
            stopped[one.name] = "gpu-part-missing"
            yield diagnosis_of(
                "gpu-part-missing",
                Severity.WARNING if gpus else Severity.NOTE,
                Area.INSTALLATION,
                one.name,
                [Evidence(row.particular, row.title)],
                command=row.check,
            )


def _torch_command(system: System, gpus: Sequence[tuple[Device, Driver | None]]) -> str | None:
    """Installs a torch that every one of *gpus* and its driver can use; None where no build is known to serve all."""
    hosts = {host for device, _ in gpus for host in device.hosts} or {_processor(system)} - {""}
    for build in tables().torch_builds:
        images = Fatbin(tuple(Image(ImageKind.SASS, target, toolkit=build.cuda) for target in build.targets))
        if (not hosts or build.machine in hosts) and all(
            judge(images, device).outcome is Outcome.RUNS
            and (driver is None or starts(build.cuda.major, driver, device))
            for device, driver in gpus
        ):
            index = f"https://download.pytorch.org/whl/{build.index}"
            return f"pip install --force-reinstall torch --index-url {index}"
    return None


def _processor(system: System) -> str:
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(system.machine.lower(), system.machine)


def _about_hosts(system: System, known: dict[str, Installed], stopped: dict[str, str]) -> Iterator[Diagnosis]:
    machine = _processor(system)
    for one in known.values():
        hosts = {library.machine for library in one.artifact.libraries if library.machine}
        if machine and hosts and machine not in hosts:
            built = ", ".join(sorted(hosts))
            stopped[one.name] = "host-machine-mismatch"
            evidence = [Evidence(f"{library.path}: {library.machine}", "its header") for library in _few(one)]
            yield diagnosis_of(
                "host-machine-mismatch",
                Severity.ERROR,
                Area.INSTALLATION,
                one.name,
                [*evidence, Evidence(f"processor {machine}", "operating system")],
                command=f"pip install --force-reinstall --no-deps {one.name}",
                built=built,
                machine=machine,
            )


def _few(one: Installed) -> Iterable[Library]:
    return [library for library in one.artifact.libraries if library.machine][:3]


def _about_runtimes(
    judged: Sequence[JudgedPackage], gpus: Sequence[tuple[Device, Driver | None]], stopped: dict[str, str]
) -> Iterator[Diagnosis]:
    """What the engine found beside the GPU code: a CUDA that is too new for the driver, another processor."""
    found: dict[tuple[str, str], list[JudgedPackage]] = {}
    for one in judged:
        for finding in one.verdict.findings:
            if finding.code in FINDINGS and FINDINGS[finding.code].blocks:
                found.setdefault((one.installed.name, finding.code), []).append(one)
    for (name, code), cells in found.items():
        if stopped.get(name) == "host-machine-mismatch":
            continue
        indexes = tuple(dict.fromkeys(cell.gpu for cell in cells))
        findings = [finding for cell in cells for finding in cell.verdict.findings if finding.code == code]
        if len(indexes) == len(gpus):
            stopped.setdefault(name, code)
        page = FINDINGS[code]
        ways = {cell.advice.way_around(one) for cell in cells for one in cell.verdict.findings if one.code == code}
        evidence = tuple(Evidence(text, f"scan of {name}") for text in dict.fromkeys(f.message for f in findings))
        # Alternatives are loaded one at a time: those that need less may still work.
        others = [one for one in judged if one.installed.name == name and one not in cells]
        yield Diagnosis(
            code,
            Severity.WARNING if any(one.gpu in indexes for one in others) else Severity.ERROR,
            Area.INSTALLATION,
            name,
            findings[0].message,
            evidence[:3],
            ways.pop() if len(ways) == 1 else page.way_out,
            "nvidia-smi" if code == "cuda-major-newer-than-driver" else None,
            indexes,
            page.sources,
        )


def _about_libraries(  # noqa: PLR0917 - what it looks at
    system: System,
    known: dict[str, Installed],
    judged: Sequence[JudgedPackage],
    present: frozenset[str] | None,
    gpus: Sequence[tuple[Device, Driver | None]],
    stopped: dict[str, str],
) -> Iterator[Diagnosis]:
    brought = frozenset().union(*(one.libraries for one in known.values()), present or ())
    torch = known.get("torch")
    if not any(one.libraries for one in known.values()):
        return
    loaded: dict[str, dict[Library, None]] = {}
    several: dict[str, set[str]] = {}
    for one in judged:
        if one.alternative is not None:
            several.setdefault(one.installed.name, set()).add(one.alternative)
        for library in one.artifact.libraries:
            if role_of(one.artifact, library) is Role.PRODUCT:
                loaded.setdefault(one.installed.name, {})[library] = None
    for name, libraries in loaded.items():
        if name in stopped or len(several.get(name, ())) > 1:
            continue  # which one is loaded is not known, so neither is what it needs
        lacking: dict[str, list[str]] = {}
        for library in libraries:
            for needed in library.needed:
                if _CHECKED.fullmatch(needed) and needed not in brought:
                    lacking.setdefault(needed, []).append(library.path)
        of_torch = sorted(needed for needed in lacking if _OF_TORCH.fullmatch(needed))
        others = sorted(needed for needed in lacking if needed not in of_torch)
        title = known[name].title
        if of_torch and torch is not None and name != "torch":
            stopped[name] = "needs-cuda-torch"
            yield diagnosis_of(
                "needs-cuda-torch",
                Severity.ERROR,
                Area.INSTALLATION,
                name,
                [
                    *(Evidence(f"{lacking[needed][0]} needs {needed}", "its list of libraries") for needed in of_torch),
                    Evidence(f"{torch.title} does not bring it", "list of its files"),
                ],
                command=_torch_command(system, gpus) if "torch" in stopped else f"python -m pip show {name} torch",
                names=" and ".join(of_torch),
                version=torch.artifact.version,
            )
            others = [] if "cpu-only-torch" in stopped.values() else others  # comes with the other torch
        if others or (of_torch and torch is None):
            missing = others or of_torch
            sure = present is not None
            if sure:
                stopped[name] = "shared-library-missing"
            yield diagnosis_of(
                "shared-library-missing",
                Severity.ERROR if sure else Severity.WARNING,
                Area.INSTALLATION,
                name,
                [Evidence(f"{lacking[needed][0]} needs {needed}", "its list of libraries") for needed in missing],
                command=f"pip install --force-reinstall {title.replace(' ', '==')}",
                names=", ".join(missing),
                where="neither in the environment nor on the system" if sure else "nowhere in the environment",
            )
