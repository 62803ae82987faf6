"""What is wrong with a machine and what is installed on it, worst first.

Facts come in, diagnoses come out; nothing here looks at a file or a machine. Causes that have nothing to do
with architectures are found before the engine is asked, and a package that one of them stops is not blamed
on a GPU: what the engine says about it is then told as a note.
"""

from __future__ import annotations

import enum
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Target, TargetKind
from capably.archlist import VARIABLES, ListError, NoteKind, read
from capably.engine import Coverage, Verdict, choose, emits_own_target, judge, starts, targets_of_compiler, worth
from capably.errors import ParseError
from capably.facts import DAMAGE, Artifact, Device, Fatbin, Image, ImageKind, ToolkitKind
from capably.reasons import FINDINGS, Outcome
from capably.tables import tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.facts import Driver, Finding, Library, System, Toolkit

__all__ = ["Area", "Diagnosis", "Evidence", "Examination", "Installed", "Judged", "Severity", "diagnose", "torch_cuda"]


class Severity(enum.StrEnum):
    """How much a diagnosis matters, worst first."""

    ERROR = "error"  # something does not work
    WARNING = "warning"  # something may not work
    NOTE = "note"  # good to know


class Area(enum.StrEnum):
    """What a diagnosis is about, in the order in which causes are looked for."""

    DRIVER = "driver"
    INSTALLATION = "installation"
    COMPILER = "compiler"
    DEVICES = "devices"
    ARCHITECTURE = "architecture"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A fact, and where it is from."""

    fact: str
    via: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One cause.

    Attributes:
        code: Key in `capably.reasons.FINDINGS`.
        severity: How much it matters.
        area: What it is about.
        subject: The package, file, compiler or driver.
        message: The cause, as one sentence.
        evidence: What shows it.
        action: What mends it, as one sentence; empty where nothing has to be done.
        command: What to type, for that or to find out more.
        gpus: Which of the GPUs it is about, as indexes; empty where it is about none in particular.
        sources: Keys in ``data/sources.json``.
    """

    code: str
    severity: Severity
    area: Area
    subject: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    action: str = ""
    command: str | None = None
    gpus: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed distribution.

    Attributes:
        artifact: What was found in it.
        requires: Its requirements, as the metadata have them.
        libraries: Names of the shared libraries that it brings.
    """

    artifact: Artifact
    requires: tuple[str, ...] = ()
    libraries: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Of the distribution."""
        return self.artifact.name or self.artifact.path

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.artifact.version}" if self.artifact.version else self.name


@dataclass(frozen=True, slots=True)
class Judged:
    """One distribution, or one alternative of it, on one GPU: what the engine says."""

    installed: Installed
    alternative: str | None
    artifact: Artifact
    gpu: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found.

    Attributes:
        diagnoses: Worst first.
        judged: Distributions with GPU code by GPU.
        holding: Those with GPU code, whether there was a GPU to judge them on or not.
    """

    diagnoses: tuple[Diagnosis, ...]
    judged: tuple[Judged, ...]
    holding: tuple[Installed, ...] = ()


def diagnose(
    system: System,
    installed: Sequence[Installed] = (),
    gpus: Sequence[tuple[Device, Driver | None]] = (),
    *,
    present: frozenset[str] | None = None,
) -> Examination:
    """What is wrong, worst first.

    Args:
        system: The machine.
        installed: Its distributions, as far as they were looked at.
        gpus: The devices that are meant, each with the driver that is taken to serve it.
        present: Names of the shared libraries that the system has; None where nobody looked.

    Returns:
        The diagnoses, and the verdicts that they rest on.
    """
    known = {one.name: one for one in installed}
    judged = tuple(_judge_all(system, known, gpus))
    stopped: dict[str, str] = {}
    found = [
        *_about_driver(system, gpus),
        *_about_installation(system, known, gpus, judged, present, stopped),
        *_about_compilers(system, known, gpus),
        *_about_lists(system, known, gpus),
        *_about_devices(system, gpus),
        *_about_code(judged, gpus, stopped),
    ]
    order = list(Severity)
    areas = list(Area)
    # Sorted stably: causes of one kind stay in the order in which they were found.
    found.sort(key=lambda one: (order.index(one.severity), areas.index(one.area)))
    holding = tuple(one for one in known.values() if one.artifact.libraries)
    return Examination(tuple(dict.fromkeys(found)), judged, holding)


def _make(
    code: str,
    severity: Severity,
    area: Area,
    subject: str,
    evidence: Iterable[Evidence] = (),
    *,
    command: str | None = None,
    action: str | None = None,
    gpus: tuple[int, ...] = (),
    title: str | None = None,
    **params: object,
) -> Diagnosis:
    page = FINDINGS[code]
    texts = {"subject": title or subject, **params}
    way_out = page.way_out.format_map(texts) if action is None else action
    message = page.message.format_map(texts)
    return Diagnosis(code, severity, area, subject, message, tuple(evidence), way_out, command, gpus, page.sources)


def _named(device: Device) -> str:
    return f"{device.name} ({device.capability})" if device.name else str(device.capability)


def _whose(device: Device) -> str:
    return "named, not found" if device.assumed else device.via or "driver"


# ---------------------------------------------------------------------------------------------------------
# The driver and what the probe noticed

# There is nothing to mend where a machine has no GPU, or where GPUs are not looked for.
_NO_FAULT = frozenset({"no-nvidia-device", "platform-not-probed"})
_COMMANDS = {
    "no-nvidia-device": "lspci -d 10de:",
    "no-driver": "sudo modprobe nvidia; sudo dmesg | grep -i nvrm",
    "driver-library-missing": "sudo ldconfig; ldconfig -p | grep libcuda",
    "driver-failed": "nvidia-smi; sudo dmesg | grep -i nvrm",
    "driver-library-mismatch": "sudo reboot",
    "driver-parts-differ": "sudo reboot",
    "forward-compat-unsupported": "ldconfig -p | grep libcuda; echo $LD_LIBRARY_PATH",
    "hidden-by-environment": "unset CUDA_VISIBLE_DEVICES",
    "visible-entry-invalid": "nvidia-smi -L",
    "visible-duplicate": "unset CUDA_VISIBLE_DEVICES",
    "visible-value-of-containers": "unset CUDA_VISIBLE_DEVICES",
    "container-without-devices": "docker run --gpus all ...",
    "probe-timed-out": "sudo dmesg | grep -i nvrm",
    "probe-crashed": "nvidia-smi",
}
# Nobody reboots a host from within a container; there it is the image that brings the wrong half.
_IN_CONTAINER = dict.fromkeys(
    ("driver-library-mismatch", "driver-parts-differ"),
    "ldconfig -p | grep libcuda; cat /proc/driver/nvidia/version",
)
_BY_PARTS = frozenset({"driver-library-mismatch", "forward-compat-unsupported"})
_COMPILER_FINDINGS = frozenset({"toolkits-disagree", "compiler-silent", "compiler-not-run"})
_NOTES = frozenset({"forward-compat-in-use", "mig-first-only"})


def _about_driver(system: System, gpus: Sequence[tuple[Device, Driver | None]]) -> Iterator[Diagnosis]:
    named = bool(gpus) and all(device.assumed for device, _ in gpus)
    for finding in system.findings:
        if finding.code == "driver-parts-differ" and system.absence in _BY_PARTS:
            continue  # the same once more, with a way out that is not that of the cause
        page = FINDINGS.get(finding.code)
        severity = Severity.WARNING
        if finding.code in _NO_FAULT | _NOTES:
            severity = Severity.NOTE
        elif finding.code == system.absence:
            # Whoever asks about other GPUs does not need those of this machine.
            severity = Severity.WARNING if named else Severity.ERROR
        yield Diagnosis(
            finding.code,
            severity,
            Area.COMPILER if finding.code in _COMPILER_FINDINGS else Area.DRIVER,
            finding.path,
            finding.message,
            tuple(_driver_evidence(system, finding)),
            # Those of the probe have no parameters in what they advise.
            page.way_out if page else "",
            (_IN_CONTAINER if system.container else {}).get(finding.code) or _COMMANDS.get(finding.code),
            sources=page.sources if page else (),
        )


def _driver_evidence(system: System, finding: Finding) -> Iterator[Evidence]:
    if finding.code in _COMPILER_FINDINGS:
        return
    visible = system.visibility.visible_devices
    if finding.code.startswith("visible-") and visible is not None:
        yield Evidence(f"CUDA_VISIBLE_DEVICES={visible}", "environment")
        return
    state = system.driver_state
    if state.on_bus is not None:
        count = f"{state.on_bus} NVIDIA GPU{'' if state.on_bus == 1 else 's'}"
        yield Evidence(f"{count} on the bus", "/sys/bus/pci/devices")
    if state.kernel_module is not None:
        yield Evidence(f"kernel module {state.kernel_module}", "/proc/driver/nvidia/version")
    if state.library_path is not None:
        release = f" of {state.user_library}" if state.user_library else ""
        yield Evidence(f"libcuda{release}", state.library_path)
    if state.error is not None:
        yield Evidence(f"error {state.error}", "cuInit")
    if visible is not None:
        yield Evidence(f"CUDA_VISIBLE_DEVICES={visible}", "environment")
    if system.container is not None:
        yield Evidence(f"inside a container ({system.container})", "marks of its runtime")


# ---------------------------------------------------------------------------------------------------------
# What is installed, apart from architectures

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


def _about_installation(  # noqa: PLR0917 - what it looks at
    system: System,
    known: dict[str, Installed],
    gpus: Sequence[tuple[Device, Driver | None]],
    judged: Sequence[Judged],
    present: frozenset[str] | None,
    stopped: dict[str, str],
) -> Iterator[Diagnosis]:
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
            yield _make(
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
                yield _make(
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
            yield _make(
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
            judge(images, device).outcome is Outcome.RUNS and (driver is None or starts(build.cuda.major, driver))
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
            yield _make(
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
    judged: Sequence[Judged], gpus: Sequence[tuple[Device, Driver | None]], stopped: dict[str, str]
) -> Iterator[Diagnosis]:
    """What the engine found beside the GPU code: a CUDA that is too new for the driver, another processor."""
    found: dict[tuple[str, str], list[Judged]] = {}
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
            page.way_out,
            "nvidia-smi" if code == "cuda-major-newer-than-driver" else None,
            indexes,
            page.sources,
        )


def _about_libraries(  # noqa: PLR0917 - what it looks at
    system: System,
    known: dict[str, Installed],
    judged: Sequence[Judged],
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
            if not library.link_input:
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
            yield _make(
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
            yield _make(
                "shared-library-missing",
                Severity.ERROR if sure else Severity.WARNING,
                Area.INSTALLATION,
                name,
                [Evidence(f"{lacking[needed][0]} needs {needed}", "its list of libraries") for needed in missing],
                command=f"pip install --force-reinstall {title.replace(' ', '==')}",
                names=", ".join(missing),
                where="neither in the environment nor on the system" if sure else "nowhere in the environment",
            )


# ---------------------------------------------------------------------------------------------------------
# Compilers

_KINDS = {"nvcc": ToolkitKind.NVCC, "ptxas": ToolkitKind.PTXAS, "nvrtc": ToolkitKind.NVRTC}


def _about_compilers(
    system: System, known: dict[str, Installed], gpus: Sequence[tuple[Device, Driver | None]]
) -> Iterator[Diagnosis]:
    needing: dict[str, list[str]] = {}
    for one in known.values():
        row = tables().package(one.name)
        if row is not None and row.compiler is not None:
            needing.setdefault(row.compiler, []).append(one.name)
    for compiler, names in needing.items():
        if system.toolkits and any(toolkit.kind is _KINDS[compiler] for toolkit in system.toolkits):
            continue
        for name in names:
            row = tables().package(name)
            yield _make(
                "compiler-missing",
                Severity.WARNING if gpus else Severity.NOTE,
                Area.COMPILER,
                name,
                [Evidence(row.particular, row.title)] if row else (),
                command="export CUDA_HOME=/usr/local/cuda" if compiler != "ptxas" else None,
                compiler=compiler,
            )
    here = tuple(dict.fromkeys(device.capability for device, _ in gpus))
    used = [toolkit for toolkit in system.toolkits if _users(toolkit, needing)]
    for together in _by_installation(used):
        served = {one: [c for c in here if _serves(one, c, system.toolkits)] for one in together}
        for capability in here:
            lacking = [
                one for one in together if capability in served[one] and emits_own_target(one, capability) is False
            ]
            if not lacking:
                continue
            indexes = tuple(index for index, (device, _) in enumerate(gpus) if device.capability == capability)
            users = tuple(dict.fromkeys(user for one in lacking for user in _users(one, needing)))
            kinds = [name for one in lacking for name in needing.get(one.kind, ())]
            packages = [name for name in known if name in users or name in kinds]
            # Who takes another nvcc takes the ptxas beside it, except for Triton, which has a variable of its own.
            mended = [one for one in lacking if one is lacking[0] or "triton" in one.used_by]
            ways = [_other_compiler(one, [capability, *served[one]], system.toolkits) for one in mended]
            yield _make(
                "compiler-cannot-emit",
                Severity.ERROR if packages else Severity.WARNING,
                Area.COMPILER,
                lacking[0].path,
                [evidence for one in lacking for evidence in _about_compiler(one)],
                action=" ".join(dict.fromkeys(action for action, _ in ways)),
                command="; ".join(dict.fromkeys(command for _, command in ways if command)) or None,
                gpus=indexes,
                path=" and ".join([lacking[0].path, *(one.path.rpartition("/")[2] for one in lacking[1:])]),
                cuda=f"CUDA {lacking[0].cuda}" if lacking[0].cuda else "CUDA of an unknown version",
                users=" and ".join(users),
                capability=capability,
            )


def _by_installation(toolkits: Iterable[Toolkit]) -> list[list[Toolkit]]:
    """*toolkits*, the nvcc and the ptxas of one CUDA in one folder together, nvcc first."""
    groups: dict[object, list[Toolkit]] = {}
    for toolkit in toolkits:
        folder = toolkit.path.rpartition("/")[0]
        # A private place is shortened to less than its folder.
        apart = folder.startswith("~") or toolkit.path.endswith("ptxas-blackwell")
        groups.setdefault(toolkit if apart else (folder, toolkit.cuda), []).append(toolkit)
    return [sorted(group, key=lambda one: one.kind is not ToolkitKind.NVCC) for group in groups.values()]


def _about_compiler(toolkit: Toolkit) -> Iterator[Evidence]:
    route = f"found by {', '.join(toolkit.via)}" if toolkit.via else toolkit.path
    yield Evidence(f"{toolkit.kind} {toolkit.version or toolkit.cuda}", route)
    basis = "its own list" if toolkit.targets else "table of toolkits"
    known = dict.fromkeys(Target(target.capability) for target in targets_of_compiler(toolkit) or ())
    yield Evidence(f"knows {', '.join(map(str, known))}", basis)


def _other_compiler(
    toolkit: Toolkit,
    capabilities: Sequence[ComputeCapability],
    all_of_them: Iterable[Toolkit],
) -> tuple[str, str | None]:
    """What to do about one that does not know the first device: take one that is here and knows all, else install one.

    Where none can know all, one for the first.
    """
    span = _emitting(capabilities)
    if span is None:
        capabilities = capabilities[:1]
        span = _emitting(capabilities)
    wanted = f"one of CUDA {span[0]} to {span[1]}" if span else "a toolkit that knows it"
    variable = "CUDA_HOME" if toolkit.kind is ToolkitKind.NVCC else "TRITON_PTXAS_PATH"
    if toolkit.path.endswith("ptxas-blackwell"):
        variable = "TRITON_PTXAS_BLACKWELL_PATH"
    if toolkit.kind is ToolkitKind.NVRTC or (variable != "CUDA_HOME" and "triton" not in toolkit.used_by):
        return f"Install {wanted}.", None
    for other in all_of_them:
        if (
            other.kind is toolkit.kind
            and other.path != toolkit.path
            and all(emits_own_target(other, one) for one in capabilities)
        ):
            knows = "it" if len(set(capabilities)) == 1 else "all GPUs here"
            action = f"Let {variable} lead to {other.path} (CUDA {other.cuda}), which knows {knows}."
            if not other.path.startswith("/"):  # shortened: it is a private place
                return action, None
            folder = other.path.rpartition("/bin/")[0]
            if variable == "CUDA_HOME":
                return action, f"export CUDA_HOME={folder} PATH={folder}/bin:$PATH" if folder else None
            return action, f"export {variable}={other.path}"
    # The nearest one: the newest for a GPU that this one has dropped, the oldest for one that it does not know yet.
    nearest = span and span[1 if toolkit.cuda is not None and toolkit.cuda > span[1] else 0]
    usual = f"export CUDA_HOME=/usr/local/cuda-{nearest}" if nearest and variable == "CUDA_HOME" else None
    return f"Install {wanted}, and let {variable} name it.", usual


def _emitting(capabilities: Iterable[ComputeCapability]) -> tuple[CudaVersion, CudaVersion] | None:
    """The first and the last toolkit that know all of *capabilities*; None where there is none."""
    spans = [tables().emitting_toolkits(Target(capability)) for capability in capabilities]
    known = [span for span in spans if span is not None]
    if not known or len(known) < len(spans):
        return None
    first, last = max(span[0] for span in known), min(span[1] for span in known)
    return (first, last) if first <= last else None


def _users(toolkit: Toolkit, needing: dict[str, list[str]]) -> tuple[str, ...]:
    if "torch" in toolkit.used_by:  # FlashInfer and DeepSpeed look for nvcc as torch does
        return tuple(dict.fromkeys((*toolkit.used_by, *needing.get(toolkit.kind, ()))))
    return toolkit.used_by


def _serves(toolkit: Toolkit, capability: ComputeCapability, all_of_them: Iterable[Toolkit]) -> bool:
    """Whether those who use an assembler use it for that device: Triton brings one for newer devices, one for others."""
    if toolkit.kind is not ToolkitKind.PTXAS:
        return True
    for user in toolkit.used_by:
        row = tables().package(user)
        meant = dict(row.assemblers) if row else {}
        there = {other.path.rpartition("/")[2] for other in all_of_them if user in other.used_by}
        if meant and there & meant.keys():
            needed = meant.get(toolkit.path.rpartition("/")[2], meant["*"])
            return judge(needed, Device(capability)).outcome is Outcome.RUNS
    return True


# ---------------------------------------------------------------------------------------------------------
# Lists of architectures in the environment

# Distribution -> whose words it reads when it compiles at run time, and the name `capably plan --for` takes.
_READERS = {"torch": ("torch-python", "torch"), "flashinfer-python": ("flashinfer", "flashinfer")}
# Not the fault of the text: the tool was to look for GPUs.
_OF_DETECTION = frozenset({ListError.NO_DEVICE, ListError.NO_USABLE_BUILD_LIST})
_ODD = frozenset({NoteKind.DROPPED, NoteKind.SURPRISE, NoteKind.LATER})


def _about_lists(
    system: System, known: dict[str, Installed], gpus: Sequence[tuple[Device, Driver | None]]
) -> Iterator[Diagnosis]:
    """What the installed tools make of the lists that are set: they go before the GPUs that are there."""
    cuda = next((one.cuda for one in system.toolkits or () if "torch" in one.used_by and one.cuda), None)
    for name, (dialect, tool) in _READERS.items():
        variable = VARIABLES[dialect]
        text = dict(system.environment).get(variable)
        if name not in known or text is None:
            continue
        title = known[name].title
        version = (known[name].artifact.version or "").partition("+")[0] or None
        capabilities = [device.capability for device, _ in gpus]
        try:
            reading = read(text, dialect, version, devices=capabilities, toolkit=cuda)
        except ParseError:
            continue  # a version that is none: how it reads lists is not known
        evidence = [Evidence(f"{variable}={text}", "environment"), Evidence(title, "metadata")]
        asked = f"{tool}=={version}" if version else tool
        command = f"capably plan --read {shlex.quote(text)} --for {asked}"
        problem, odd = reading.error, [note for note in reading.notes if note.kind in _ODD]
        if problem is not None and problem.code not in _OF_DETECTION:
            place = f" (`{text[problem.start : problem.end]}`, character {problem.start + 1} of {len(text)})"
            yield _make(
                "arch-list-refused",
                Severity.WARNING,
                Area.COMPILER,
                variable,
                evidence,
                command=command,
                action=f"{problem.way_out[0].upper()}{problem.way_out[1:].rstrip('.')}." if problem.way_out else None,
                tool=title,
                variable=variable,
                problem=problem.message + (place if problem.end else ""),
            )
        elif odd:
            yield _make(
                "arch-list-surprising",
                Severity.WARNING,
                Area.COMPILER,
                variable,
                [*evidence, *(Evidence(note.message, f"how {title} reads it") for note in odd[1:])],
                command=command,
                tool=title,
                variable=variable,
                problem=odd[0].message,
            )
        targets = reading.targets or ()
        # By the targets alone: what the driver does not serve is no omission.
        images = Fatbin(
            tuple(
                Image(ImageKind.SASS if target.kind is TargetKind.REAL else ImageKind.PTX, target) for target in targets
            )
        )
        omitted = [
            (index, device)
            for index, (device, _) in enumerate(gpus)
            if targets and judge(images, device).outcome is Outcome.FAILS
        ]
        if omitted:
            wanted = "".join(f" --gpu {device.capability}" for device, _ in gpus)
            yield _make(
                "arch-list-omits-gpu",
                Severity.WARNING,
                Area.COMPILER,
                variable,
                evidence,
                command=f"capably plan{wanted} --for {asked}",
                gpus=tuple(index for index, _ in omitted),
                tool=title,
                variable=variable,
                targets=" and ".join(map(str, targets)),
                devices=" and ".join(dict.fromkeys(_named(device) for _, device in omitted)),
            )


# ---------------------------------------------------------------------------------------------------------
# Devices


def _about_devices(system: System, gpus: Sequence[tuple[Device, Driver | None]]) -> Iterator[Diagnosis]:
    if system.devices and len(system.fleet) > len(system.devices):
        asked = system.visibility.visible_devices
        yield _make(
            "devices-hidden",
            Severity.NOTE,
            Area.DEVICES,
            "devices",
            [Evidence(f"CUDA_VISIBLE_DEVICES={asked}", "environment")] if asked is not None else (),
            command="unset CUDA_VISIBLE_DEVICES" if asked is not None else "nvidia-smi -L",
            visible=len(system.devices),
            total=len(system.fleet),
        )
    by_pci = sorted((device for device in system.devices if device.pci), key=lambda device: device.pci or "")
    if by_pci and len(by_pci) == len(system.devices) and by_pci[0].uuid != system.devices[0].uuid:
        yield _make(
            "device-order-differs",
            Severity.WARNING,
            Area.DEVICES,
            "devices",
            [Evidence(f"device {d.ordinal}: {_named(d)} at {d.pci}", _whose(d)) for d in system.devices],
            command="export CUDA_DEVICE_ORDER=PCI_BUS_ID",
            cuda=_named(system.devices[0]),
            nvml=_named(by_pci[0]),
        )
    found = [device for device, _ in gpus if not device.assumed]
    capabilities = sorted({device.capability for device in found})
    if len(capabilities) > 1:
        yield _make(
            "mixed-devices",
            Severity.NOTE,
            Area.DEVICES,
            "devices",
            [Evidence(_named(device), "driver") for device in found],
            command='export TORCH_CUDA_ARCH_LIST="' + ";".join(map(str, capabilities)) + '"',
            capabilities=" and ".join(map(str, capabilities)),
        )


# ---------------------------------------------------------------------------------------------------------
# Architectures


def _judge_all(
    system: System, known: dict[str, Installed], gpus: Sequence[tuple[Device, Driver | None]]
) -> Iterator[Judged]:
    for one in known.values():
        if not one.artifact.libraries:
            continue
        for index, (device, driver) in enumerate(gpus):
            options = choose(one.artifact, device)
            for alternative, artifact in _loaded(system, known, one, options):
                yield Judged(one, alternative, artifact, index, judge(artifact, device, driver))


def _loaded(
    system: System,
    known: dict[str, Installed],
    one: Installed,
    options: tuple[tuple[str | None, Artifact], ...],
) -> tuple[tuple[str | None, Artifact], ...]:
    """The alternative for the CUDA version of torch, where both are known: exact, else lower, else higher."""
    row = next((row for row in tables().alternatives if row.distribution == one.name), None)
    if row is None or row.chosen_by != "cuda-version" or len(options) < 2:
        return options
    asked = dict(system.environment).get("BNB_CUDA_VERSION", "")
    torch = known.get("torch")
    cuda = torch_cuda(torch)[0] if torch is not None else None
    wanted = (
        int(asked) if re.fullmatch("[0-9]{2,4}", asked) else cuda.major * 10 + cuda.minor if cuda is not None else None
    )
    if wanted is None:
        return options
    there = sorted(int(name) for name, _ in options if name is not None and int(name) // 10 == wanted // 10)
    lower = [number for number in there if number <= wanted]
    taken = lower[-1] if lower else there[0] if there else None
    return tuple(option for option in options if option[0] == str(taken)) or options


_LEVELS = {
    Coverage.NONE: ("package-without-code", Severity.ERROR),
    Coverage.PARTIAL: ("package-partly-covered", Severity.WARNING),
    Coverage.UNKNOWN: ("package-undecided", Severity.NOTE),
}


def _about_code(
    judged: Sequence[Judged], gpus: Sequence[tuple[Device, Driver | None]], stopped: dict[str, str]
) -> Iterator[Diagnosis]:
    groups: dict[tuple[str, int], list[Judged]] = {}
    for one in judged:
        groups.setdefault((one.installed.name, one.gpu), []).append(one)
    at_run_time: dict[str, list[int]] = {}
    for (name, gpu), cells in groups.items():
        row = tables().package(name)
        if row is not None and row.kernels == "run-time" and cells[0].verdict.coverage is Coverage.NONE:
            at_run_time.setdefault(name, []).append(gpu)
            continue
        # Of alternatives whose choice is not known, the best tells what the package can do there.
        best = max(cells, key=lambda one: worth(one.verdict.coverage))
        diagnosis = _about_cell(best, gpus[gpu][0])
        if diagnosis is None:
            continue
        if name in stopped:
            besides = Evidence("something else stops it first, on every GPU", stopped[name])
            diagnosis = replace(diagnosis, severity=Severity.NOTE, evidence=(besides, *diagnosis.evidence))
        elif row is not None and (
            (row.kernels == "run-time") or (row.dispatches and diagnosis.code == "package-partly-covered")
        ):
            diagnosis = replace(
                diagnosis,
                severity=Severity.NOTE,
                evidence=(*diagnosis.evidence, Evidence(row.particular, row.title)),
            )
        yield diagnosis

    for name, indexes in at_run_time.items():
        row = tables().package(name)
        title = next(one.installed.title for one in judged if one.installed.name == name)
        yield _make(
            "package-compiled-at-run-time",
            Severity.NOTE,
            Area.ARCHITECTURE,
            name,
            [Evidence(row.particular, row.title)] if row else (),
            command=row.check if row else None,
            gpus=tuple(indexes),
            title=title,
        )


def _about_cell(one: Judged, device: Device) -> Diagnosis | None:
    verdict = one.verdict
    name = one.installed.title if one.alternative is None else f"{one.installed.title} ({one.alternative})"
    if verdict.coverage is None or verdict.coverage is Coverage.FULL:
        if not verdict.counts.compiles:
            return None
        return _make(
            "package-compiled-by-driver",
            Severity.NOTE,
            Area.ARCHITECTURE,
            one.installed.name,
            gpus=(one.gpu,),
            count=verdict.counts.compiles,
            title=name,
            device=_named(device),
        )
    code, severity = _LEVELS[verdict.coverage]
    outcome = Outcome.UNKNOWN if verdict.coverage is Coverage.UNKNOWN else Outcome.FAILS
    concerned = [
        (library, part)
        for library, part in zip(one.artifact.libraries, verdict.parts, strict=True)
        if any(reason.outcome is outcome for reason in part.reasons)
    ]
    evidence = [Evidence(_named(device), _whose(device))]
    evidence += [Evidence(f"{library.path} holds {_holds(library)}", "scan") for library, _ in concerned[:3]]
    messages: dict[str, tuple[str, str, str]] = {}
    for _, part in concerned:
        for reason in part.reasons:
            if reason.outcome is outcome:
                messages.setdefault(
                    reason.code, (reason.message, reason.way_out, reason.sources[0] if reason.sources else reason.code)
                )
    evidence += [
        Evidence(message, f"rule {code_}, {source}") for code_, (message, _, source) in list(messages.items())[:3]
    ]
    ways = [way for _, way, _ in messages.values() if way]
    asked = device.name.removeprefix("NVIDIA ") if device.name else str(device.capability)
    return _make(
        code,
        severity,
        Area.ARCHITECTURE,
        one.installed.name,
        evidence,
        action=ways[0] if ways else None,
        command=f'capably check {one.installed.name} --gpu "{asked}" -v',  # with a version it would be fetched
        gpus=(one.gpu,),
        title=name,
        device=_named(device),
        usable=verdict.counts.usable,
        total=verdict.counts.total,
    )


def _holds(library: Library) -> str:
    """The targets of a library, in a few words."""
    found: dict[ImageKind, set[Target]] = {}
    for group in library.fatbins:
        for image in group.fatbin.images:
            if image.target is not None and image.stub is not True:
                found.setdefault(image.kind, set()).add(image.target)
    texts = [
        f"{'PTX for ' if kind is ImageKind.PTX else ''}{', '.join(map(str, sorted(targets)))}"
        for kind, targets in found.items()
    ]
    return "; ".join(texts) + ("" if ImageKind.PTX in found else ", and no PTX") if texts else "no kernels"
