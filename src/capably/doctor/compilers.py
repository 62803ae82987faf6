"""What compilers cannot do for the GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Target
from capably.codes import Outcome
from capably.doctor.diagnosis import Area, Diagnosis, Evidence, Installed, Severity, diagnosis_of
from capably.engine import emits_own_target, judge, takes_compiler, targets_of_compiler
from capably.facts import Device, ToolkitKind
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.facts import Driver, System, Toolkit
    from capably.version import CudaVersion

__all__ = ["about_compilers"]

_KINDS = {"nvcc": ToolkitKind.NVCC, "ptxas": ToolkitKind.PTXAS, "nvrtc": ToolkitKind.NVRTC}


def about_compilers(
    system: System, known: dict[str, Installed], gpus: Sequence[tuple[Device, Driver | None]]
) -> Iterator[Diagnosis]:
    """Compilers that cannot emit code for a GPU, and which one would do."""
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
            yield diagnosis_of(
                "compiler-missing",
                Severity.WARNING if gpus else Severity.NOTE,
                Area.COMPILER,
                name,
                [Evidence(row.particular, row.title)] if row else (),
                command="export CUDA_HOME=/usr/local/cuda" if compiler != "ptxas" else None,
                compiler=compiler,
            )
    here = tuple(dict.fromkeys(device.capability for device, _ in gpus))
    versions = dict(system.distributions) | {one.name: one.artifact.version or "" for one in known.values()}
    used = [toolkit for toolkit in system.toolkits if _users(toolkit, needing)]
    for together in _by_installation(used):
        served = {one: [c for c in here if _serves(one, c, system.toolkits, versions)] for one in together}
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
            yield diagnosis_of(
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


def _serves(
    toolkit: Toolkit, capability: ComputeCapability, all_of_them: Iterable[Toolkit], versions: dict[str, str]
) -> bool:
    """Whether those who use an assembler use it for that device: Triton brings several, and chooses by release."""
    if toolkit.kind is not ToolkitKind.PTXAS:
        return True
    for user in toolkit.used_by:
        takes = takes_compiler(user, versions.get(user), toolkit.path, Device(capability))
        if takes is not None:
            return takes
        row = tables().package(user)
        meant = dict(row.assemblers) if row else {}
        there = {other.path.rpartition("/")[2] for other in all_of_them if user in other.used_by}
        if meant and there & meant.keys():
            needed = meant.get(toolkit.path.rpartition("/")[2], meant["*"])
            return judge(needed, Device(capability)).outcome is Outcome.RUNS
    return True
