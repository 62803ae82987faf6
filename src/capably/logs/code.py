"""Causes to do with the GPU code of what is installed: one function for each."""

from __future__ import annotations

from dataclasses import dataclass

from capably.arch import Suffix, Target
from capably.codes import Outcome
from capably.engine import Coverage, choose, judge, worth
from capably.facts import Compression, Device, Image, ImageKind, PtxJit
from capably.logs.compilers import IN_MEMORY
from capably.logs.evidence import MOST_SHOWN, UNDECIDED, Facts, State, Tested, driver_of, excluded, holds, needed_by
from capably.logs.torch import torch_said
from capably.tables import tables
from capably.version import PtxVersion

__all__ = [
    "build_lacks_device",
    "code_of_a_sibling",
    "compression_newer",
    "gpu_lacks_feature",
    "gpus_differ",
    "is_of",
    "library_without_gpu",
    "prebuilt_before_jit",
    "ptx_newer",
    "switched_off",
    "target_without_suffix",
]


@dataclass(frozen=True, slots=True)
class _Gap:
    """What one package lacks on one device.

    Attributes:
        named: The log names the package.
        decisive: Nothing in it loads there, and it is not one of several that are tried in turn.
    """

    name: str
    device: Device
    coverage: Coverage
    named: bool
    decisive: bool
    text: str


def _gaps(facts: Facts) -> list[_Gap]:
    """What is lacking anywhere; what the log names first."""
    found = []
    for artifact in facts.artifacts:
        name = artifact.name or artifact.path
        row = tables().package(name)
        named = any(is_of(module, name) for module in facts.modules)
        for device in {one.capability: one for one in facts.devices}.values():
            # Of alternatives whose choice is not known, the best tells what the package can do there.
            verdicts = [judge(one, device, driver_of(facts)) for _, one in choose(artifact, device)]
            verdict = max(verdicts, key=lambda one: worth(one.coverage))
            if verdict.coverage not in (Coverage.NONE, Coverage.PARTIAL):
                continue
            title = f"{name} {artifact.version}" if artifact.version else name
            where = f"{device.name} ({device.capability})" if device.name else str(device.capability)
            counts = verdict.counts
            lack = (
                f"nothing in {title} loads on {where}"
                if verdict.coverage is Coverage.NONE
                else f"{title} on {where}: {counts.usable} of {counts.total} groups of kernels load"
            )
            decisive = verdict.coverage is Coverage.NONE and (named or row is None or not row.dispatches)
            said = f"{lack}; the log names it" if named else lack
            found.append(_Gap(name, device, verdict.coverage, named, decisive, said))
    return sorted(found, key=lambda one: (not one.named, not one.decisive))


def is_of(module: str, distribution: str) -> bool:
    """Whether a module (or the name of its file) is of *distribution*, as far as names tell."""
    if module == distribution or module.startswith((f"{distribution}-", f"{distribution}.")):
        return True
    return module.startswith("nvidia-") and distribution.startswith(f"{module}-")  # nvidia/nccl, nvidia-nccl-cu12


def _blamed(facts: Facts) -> list[_Gap]:
    """The gaps that explain the message: those of packages in the log, where it names any that were scanned."""
    gaps = _gaps(facts)
    # torch prints the message for all the others, so that it is in every traceback.
    others = {one.name or one.path for one in facts.artifacts} - {"torch"}
    speaks = any(is_of(module, name) for module in facts.modules for name in others)
    return [gap for gap in gaps if gap.decisive and (gap.named or not speaks)]


def build_lacks_device(facts: Facts) -> Tested:
    """Nothing in a package loads on a GPU."""
    torch = torch_said(facts)
    blamed = _blamed(facts)
    if torch or blamed:
        return holds(*torch, *(gap.text for gap in blamed[:MOST_SHOWN]))
    if not facts.artifacts or not facts.devices:
        return UNDECIDED
    gaps = _gaps(facts)
    # What was scanned covers the GPUs, and something else may have been running.
    said = tuple(gap.text for gap in gaps[:MOST_SHOWN]) or ("what was scanned covers the GPUs",)
    return State.OPEN, said


def library_without_gpu(facts: Facts) -> Tested:
    """A library of CUDA has nothing for a GPU."""
    wheel = f"nvidia-{facts.params['part'].lower()}"
    gaps = [gap for gap in _gaps(facts) if gap.name.startswith(wheel)]
    none = [gap.text for gap in gaps if gap.coverage is Coverage.NONE]
    return holds(*none) if none else (State.OPEN, tuple(gap.text for gap in gaps))


def gpus_differ(facts: Facts) -> Tested:
    """One of several kinds of GPU is served, and another is not."""
    capabilities = {device.capability for device in facts.devices}
    if not capabilities:
        # One that torch has no code for lacks it whatever the others are.
        return excluded(*torch) if (torch := torch_said(facts)) else UNDECIDED
    said = f"visible: {facts.listed_devices}"
    if len(capabilities) == 1:
        return excluded(said)
    needed = needed_by(facts)
    if needed is not None and {Outcome.RUNS, Outcome.FAILS} <= {judge(needed, one).outcome for one in facts.devices}:
        return holds(said, f"needed: {needed}")
    blamed = _blamed(facts)
    for name in dict.fromkeys(gap.name for gap in blamed):
        gaps = [gap for gap in blamed if gap.name == name]
        if len(gaps) < len(capabilities):
            return holds(said, *(gap.text for gap in gaps))
    return State.OPEN, (said,)


def prebuilt_before_jit(facts: Facts) -> Tested:
    """FlashInfer's prebuilt kernels are taken where they lack the GPU."""
    name = "flashinfer-jit-cache"
    if (said := torch_said(facts)) and "flashinfer" not in facts.modules:
        return excluded(*said)
    if not facts.distributions:
        return UNDECIDED
    if name not in facts.distributions:
        return excluded(f"{name} is not installed")
    gaps = [gap.text for gap in _gaps(facts) if gap.name == name]
    return holds(*gaps) if gaps else (State.OPEN, (f"{name} {facts.distributions[name]} is installed",))


def switched_off(facts: Facts) -> Tested:
    """A variable forbids to compile PTX."""
    if said := torch_said(facts):
        return excluded(*said)  # nothing fits that a variable could switch off
    if facts.system is None:
        return UNDECIDED
    names = ("CUDA_FORCE_PTX_JIT", "CUDA_DISABLE_PTX_JIT", "CUDA_FORCE_JIT", "CUDA_DISABLE_JIT")
    found = [f"{name}=1" for name in names if facts.environment.get(name, "").strip() == "1"]
    if not found and facts.system.driver is not None and facts.system.driver.jit is not PtxJit.ALLOWED:
        found = [f"compiling PTX is {facts.system.driver.jit}"]
    if found:
        return holds(*found)
    # The driver says itself that it is switched off: then it was, where the message comes from.
    return UNDECIDED if facts.code == "jit-disabled" else excluded("none of the variables is set")


def ptx_newer(facts: Facts) -> Tested:
    """PTX is newer than the driver takes."""
    evidence = []
    accepted = facts.params.get("accepted")
    if accepted is not None:
        evidence.append(f"PTX {facts.params['ptx']}; accepted: {accepted}")
    read = facts.params.get("input", IN_MEMORY)
    if read != IN_MEMORY:
        return excluded(*evidence, f"ptxas read a file: {read}")
    if (driver := driver_of(facts)) is not None:
        evidence.append(f"the driver is of CUDA {tables().driver_cuda(driver)}")
        takes = tables().accepted_ptx(driver)
        if accepted is not None and takes is not None:
            evidence.append(f"it takes PTX up to {takes}")
            if takes != PtxVersion.parse(accepted):
                return excluded(*evidence)
            if "input" in facts.params:
                return holds(*evidence)
    too_new = _beyond_driver(facts, "ptx-newer-than-driver")
    return (State.HOLDS if too_new else State.OPEN), (*evidence, *too_new)


def compression_newer(facts: Facts) -> Tested:
    """Code is compressed in a way that the driver does not know."""
    driver = driver_of(facts)
    if driver is None:
        return UNDECIDED
    if told := _beyond_driver(facts, "zstd-needs-newer-driver"):
        return holds(*told)
    said = f"the driver is {driver.release or f'of CUDA {driver.cuda}'}"
    # It is of the driver alone: the GPU is the same in both.
    compressed = [
        judge(Image(ImageKind.SASS, Target(device.capability), compression=Compression.ZSTD), device, driver)
        for device in facts.devices
    ]
    reads = compressed and all(one.outcome is Outcome.RUNS for one in compressed)
    return excluded(f"{said}, which reads zstd") if reads else (State.OPEN, (said,))


def _beyond_driver(facts: Facts, code: str) -> tuple[str, ...]:
    """Libraries with kernels that would load with another driver, by the code of the reason."""
    told = {
        f"{artifact.name or artifact.path}, {library.path}: {reason.message}": None
        for artifact in facts.artifacts
        for device in facts.devices
        for _, chosen in choose(artifact, device)
        for library, verdict in zip(chosen.libraries, judge(chosen, device, driver_of(facts)).parts, strict=True)
        for reason in verdict.reasons
        if reason.code == code and reason.outcome is Outcome.FAILS
    }
    return tuple(told)[:MOST_SHOWN]


def gpu_lacks_feature(facts: Facts) -> Tested:
    """The GPU, or every variant of the target, lacks an instruction."""
    needed = needed_by(facts)
    if needed is not None:
        outcomes = {judge(needed, device).outcome for device in facts.devices}
        said = f"needed: {needed}"
        if outcomes == {Outcome.FAILS}:
            return holds(f"visible: {facts.listed_devices}", said)
        # A suffix names more than a number: which higher ones have that too, the message does not say.
        if outcomes == {Outcome.RUNS} and not facts.params.get("needed", "").endswith(("a", "f")):
            return excluded(f"visible: {facts.listed_devices}", said)
        open_ = "needed" not in facts.params or outcomes
        return (State.OPEN, (said,)) if open_ else holds(f"the message says: {said}")
    if facts.target is not None and _has_more(facts.target) is False:
        return holds(f"no variant of {facts.target} has more")
    return UNDECIDED


def _has_more(target: Target) -> bool | None:
    """Whether toolkits know the number of *target* with a suffix, for it has none; None for an unknown number."""
    if target.suffix is not Suffix.NONE:
        return False
    known = tables().emitting_toolkits
    variants = (Suffix.ARCH_SPECIFIC, Suffix.FAMILY_SPECIFIC)
    if any(known(Target(target.capability, suffix)) for suffix in variants):
        return True
    return None if known(target) is None else False


def target_without_suffix(facts: Facts) -> Tested:
    """The target has the instruction with a suffix only."""
    if "needed" in facts.params:
        return excluded(f"a target of {facts.params['needed']} would do")
    if facts.target is not None and (more := _has_more(facts.target)) is not None:
        if not more:
            return excluded(f"{facts.target} has no variant with more")
        return State.OPEN, (f"{facts.target} has variants with more",)
    return UNDECIDED


def code_of_a_sibling(facts: Facts) -> Tested:
    """Code for a lower member of the family was loaded."""
    families = [(tables().family(device.capability), device.capability) for device in facts.devices]
    if families and all(family is not None and family.members[0] == here for family, here in families):
        return excluded(f"no lower member of the family than {facts.listed_devices}")
    return UNDECIDED
