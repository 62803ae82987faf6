"""Causes to do with the GPU code of what is installed: one function for each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from capably.arch import ComputeCapability, Suffix, Target
from capably.codes import Outcome
from capably.engine import Coverage, choose, emits_own_target, judge, worth
from capably.facts import Artifact, Compression, Device, Image, ImageKind, PtxJit
from capably.logs.compilers import IN_MEMORY
from capably.logs.evidence import (
    MOST_SHOWN,
    UNDECIDED,
    Facts,
    State,
    Tested,
    excluded,
    holds,
    likely,
    needed_by,
    read_as,
)
from capably.logs.origins import FactOrigin
from capably.logs.torch import torch_said
from capably.tables import tables
from capably.version import PtxVersion

__all__ = [
    "build_lacks_device",
    "built_for_default",
    "code_of_a_sibling",
    "compression_newer",
    "earlier_call",
    "gpu_lacks_feature",
    "gpus_differ",
    "is_of",
    "library_without_gpu",
    "prebuilt_before_jit",
    "program_check_wrong",
    "ptx_newer",
    "runtime_compiler_too_old",
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
            verdicts = [judge(one, device, facts.driver) for _, one in choose(artifact, device)]
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
            one_of_many = row is not None and row.dispatches and not (name == "torch" and _torch_ran(facts))
            decisive = verdict.coverage is Coverage.NONE and (named or not one_of_many)
            said = f"{lack}; the log names it" if named else lack
            if name in facts.distributions:
                facts.distributions[name]  # its version is a fact that is used
            found.append(_Gap(name, device, verdict.coverage, named, decisive, said))
    return sorted(found, key=lambda one: (not one.named, not one.decisive))


def is_of(module: str, distribution: str) -> bool:
    """Whether a module (or the name of its file) is of *distribution*, as far as names tell."""
    if module == distribution or module.startswith((f"{distribution}-", f"{distribution}.")):
        return True
    if re.fullmatch(rf"{re.escape(module)}-(?:cuda[0-9]+x?|cu[0-9]+|gpu|python)", distribution):
        return True  # cupy, cupy-cuda12x
    return module.startswith("nvidia-") and distribution.startswith(f"{module}-")  # nvidia/nccl, nvidia-nccl-cu12


# Programs that use no torch: what torch lacks is not their matter.
_WITHOUT_TORCH = frozenset(
    {"onnxruntime", "llama-cpp", "catboost", "numba", "cupy", "tensorflow", "ctranslate2", "paddlepaddle", "jaxlib"}
)


def _torch_ran(facts: Facts) -> bool:
    """Whether what printed the message runs within torch, as far as the log or the user says."""
    if facts.speaker in _WITHOUT_TORCH:
        return False
    named = facts.known.distributions.origin("torch") in (FactOrigin.LOG, FactOrigin.GIVEN)
    return named or facts.speaker is not None or "torch" in facts.modules


def _blamed(facts: Facts) -> list[_Gap]:
    """The gaps that explain the message: those of packages in the log, where it names any that were scanned."""
    gaps = _gaps(facts)
    if facts.speaker not in (None, "torch"):
        return [
            gap
            for gap in gaps
            if (is_of(facts.speaker or "", gap.name) and gap.coverage is Coverage.NONE)
            or (gap.name == "torch" and gap.decisive)
        ]
    # torch prints the message for all the others, so that it is in every traceback.
    others = {one.name or one.path for one in facts.artifacts} - {"torch"}
    speaks = any(is_of(module, name) for module in facts.modules for name in others)
    return [gap for gap in gaps if gap.decisive and (gap.named or not speaks)]


def _without_any(facts: Facts) -> tuple[str, ...]:
    """What is blamed and has nothing for any of the GPUs."""
    every = {device.capability for device in facts.devices}
    blamed = _blamed(facts)
    names = dict.fromkeys(gap.name for gap in blamed)
    whole = [name for name in names if {gap.device.capability for gap in blamed if gap.name == name} == every]
    return tuple(gap.text for gap in blamed if gap.name in whole)


def _lacking(facts: Facts) -> tuple[str, ...]:
    """What shows that code has nothing for a GPU, whatever else holds."""
    return (*torch_said(facts), *_without_any(facts))


def _said_by_program(facts: Facts) -> tuple[str, ...]:
    """The list of targets that a program says that it was compiled for, where it refuses the GPU by that."""
    if numbers := facts.params.get("numbers"):
        return (f"the message says: compiled for {numbers}",)
    numbers = facts.others.get("numbers")
    return (f"the same log says: compiled for {numbers}",) if numbers else ()


def build_lacks_device(facts: Facts) -> Tested:
    """Nothing in a package loads on a GPU."""
    if facts.code == "ggml-arch-check":
        return _misses_older(facts)
    torch = torch_said(facts)
    blamed = _blamed(facts)
    said = _said_by_program(facts)
    if torch or blamed or said:
        known = (facts.shown_devices,) if said and facts.devices else ()
        return holds(*torch, *said, *known, *(gap.text for gap in blamed[:MOST_SHOWN]))
    if not facts.artifacts or not facts.devices:
        return UNDECIDED
    gaps = _gaps(facts)
    # What was scanned covers the GPUs, and something else may have been running.
    told = tuple(gap.text for gap in gaps[:MOST_SHOWN])
    covering = ", ".join(map(_title, _covering(facts)[:MOST_SHOWN]))
    return State.OPEN, told or ((f"{covering}: code for all GPUs",) if covering else ())


def _covering(facts: Facts) -> list[Artifact]:
    """What has GPU code, and some of it for each of the GPUs."""
    return [
        artifact
        for artifact in facts.artifacts
        if all(
            judge(artifact, device, facts.driver).coverage in (Coverage.FULL, Coverage.PARTIAL)
            for device in facts.devices
        )
    ]


def _title(artifact: Artifact) -> str:
    return f"{artifact.name or artifact.path} {artifact.version or ''}".strip()


def _asked_by_ggml(facts: Facts) -> ComputeCapability | None:
    """The compute capability that llama.cpp asked for; it writes 750 for 7.5."""
    number = facts.params.get("arch", "")
    return read_as(ComputeCapability.parse, f"sm_{number[:-1]}") if number.endswith("0") else None


def _misses_older(facts: Facts) -> Tested:
    asked = _asked_by_ggml(facts)
    if asked is None or not facts.devices:
        return UNDECIDED
    if any(device.capability == asked for device in facts.devices):
        return holds(facts.shown_devices, f"code was asked for {asked}")
    return excluded(facts.shown_devices, f"code was asked for {asked}") if facts.all_devices else UNDECIDED


def program_check_wrong(facts: Facts) -> Tested:
    """The program asks for code of an architecture that is not here."""
    asked = _asked_by_ggml(facts)
    if asked is None or not facts.devices:
        return UNDECIDED
    said = (facts.shown_devices, f"code was asked for {asked}")
    if any(device.capability == asked for device in facts.devices):
        return excluded(*said)
    return holds(*said) if facts.all_devices else likely(*said)


def built_for_default(facts: Facts) -> Tested:
    """The one target that the program was compiled for is what nvcc takes where none is named."""
    numbers = facts.params.get("numbers", "").replace(",", " ").split()
    if not numbers:
        return UNDECIDED
    asked = facts.params.get("arch")
    said = f"the message says: compiled for {' '.join(numbers)}"
    return holds(f"{said}, and no other target") if numbers == [asked] else excluded(said)


def runtime_compiler_too_old(facts: Facts) -> Tested:
    """A package compiles when it is first used, and what it loads for that does not know the GPU."""
    at_run_time = [name for name in facts.distributions if _compiles(name)]
    named = [name for name in at_run_time if facts.speaker is not None and is_of(facts.speaker, name)]
    lacking = [
        (one, device)
        for one in facts.known.toolkits
        for device in facts.devices
        if emits_own_target(one, device.capability) is False
        and any(is_of(user, name) for user in one.used_by for name in at_run_time)
    ]
    if lacking:
        compiler, device = lacking[0]
        users = ", ".join(compiler.used_by)
        said = (f"{compiler.kind} of CUDA {compiler.cuda}, used by {users}, does not know {device.capability}",)
        others = [name for name in facts.distributions if tables().package(name) and name not in at_run_time]
        return holds(*said) if named or not others else likely(*said)
    if any(_only_at_run_time(name) for name in named) or facts.speaker in _RUN_TIME:
        version = f" {facts.distributions[named[0]]}" if named else ""
        return likely(f"{named[0] if named else facts.speaker}{version} compiles its kernels when they are first used")
    if facts.unset_counts and facts.distributions and not at_run_time:
        return excluded("nothing that compiles at run time is installed")
    return UNDECIDED


# Modules that compile all their kernels when they are used.
_RUN_TIME = frozenset({"numba", "cupy", "nvidia-cutlass-dsl"})


def _only_at_run_time(distribution: str) -> bool:
    row = tables().package(distribution)
    return row is not None and row.kernels == "run-time" and row.compiler != "nvcc"


def _compiles(distribution: str) -> bool:
    row = tables().package(distribution)
    if any(is_of(module, distribution) or distribution.startswith(f"{module}-") for module in _RUN_TIME):
        return True
    return row is not None and row.compiler is not None and row.compiler != "nvcc"


def earlier_call(facts: Facts) -> Tested:
    """All that is known of what is installed covers the GPUs, so the error may be one that somebody left."""
    if not facts.devices or facts.speaker not in (None, "torch") or _gaps(facts) or not (covering := _covering(facts)):
        return UNDECIDED
    read = {one.name for one in facts.artifacts}
    # NCCL is who leaves such an error, so it needs not be read.
    if any(
        tables().package(name) is not None and name not in read and "nccl" not in name for name in facts.distributions
    ):
        return UNDECIDED
    titles = ", ".join(map(_title, covering[:MOST_SHOWN]))
    nccl = [f"{name} {facts.distributions[name]} is installed" for name in facts.distributions if "nccl" in name]
    return likely(f"what is installed has code for {facts.listed_devices}: {titles}", *nccl)


def library_without_gpu(facts: Facts) -> Tested:
    """A library of CUDA has nothing for a GPU."""
    if facts.code == "library-drops-gpu":
        program, number = facts.params.get("program", "the program"), facts.params.get("sm")
        of = f"sm_{number}" if number else facts.params.get("capability")
        return holds(f"the message says: {program} does not serve {of}") if of else likely("the message says it")
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
    if not facts.all_devices and len(capabilities) == 1:
        return excluded(*lacks) if (lacks := _lacking(facts)) else UNDECIDED
    said = facts.shown_devices
    if len(capabilities) == 1:
        return excluded(said)
    needed = needed_by(facts)
    if needed is not None and {Outcome.RUNS, Outcome.FAILS} <= {judge(needed, one).outcome for one in facts.devices}:
        return holds(said, f"needed: {needed}")
    if whole := _without_any(facts):
        return excluded(*whole)
    blamed = _blamed(facts)
    for name in dict.fromkeys(gap.name for gap in blamed):
        gaps = [gap for gap in blamed if gap.name == name]
        if len(gaps) < len(capabilities):
            return holds(said, *(gap.text for gap in gaps))
    return State.OPEN, (said,)


def prebuilt_before_jit(facts: Facts) -> Tested:
    """FlashInfer's prebuilt kernels are taken where they lack the GPU."""
    name = "flashinfer-jit-cache"
    if (said := _lacking(facts)) and "flashinfer" not in facts.modules and name not in facts.distributions:
        return excluded(*said)
    if facts.system is None or not facts.system.distributions:
        return UNDECIDED
    if name not in facts.distributions:
        return excluded(f"{name} is not installed")
    gaps = [gap.text for gap in _gaps(facts) if gap.name == name]
    return holds(*gaps) if gaps else (State.OPEN, (f"{name} {facts.distributions[name]} is installed",))


def switched_off(facts: Facts) -> Tested:
    """A variable forbids to compile PTX."""
    names = ("CUDA_FORCE_PTX_JIT", "CUDA_DISABLE_PTX_JIT", "CUDA_FORCE_JIT", "CUDA_DISABLE_JIT")
    found = [f"{name}=1" for name in names if facts.environment.get(name, "").strip() == "1"]
    if not found and facts.driver is not None and facts.driver.jit is not PtxJit.ALLOWED:
        found = [f"compiling PTX is {facts.driver.jit}"]
    if said := torch_said(facts):
        return excluded(*said)  # nothing fits that a variable could switch off
    if found:
        return holds(*found)
    if not facts.unset_counts:
        return UNDECIDED
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
    if (driver := facts.driver) is not None and (cuda := facts.driver_cuda) is not None:
        evidence.append(f"the driver is of CUDA {cuda}")
        takes = tables().accepted_ptx(replace(driver, cuda=cuda))
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
    driver = facts.driver
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
        for library, verdict in zip(chosen.libraries, judge(chosen, device, facts.driver).parts, strict=True)
        for reason in verdict.reasons
        if reason.code == code and reason.outcome is Outcome.FAILS
    }
    return tuple(told)[:MOST_SHOWN]


def gpu_lacks_feature(facts: Facts) -> Tested:
    """The GPU, or every variant of the target, lacks an instruction."""
    needed = needed_by(facts)
    has = read_as(ComputeCapability.parse, facts.params.get("capability", ""))
    if needed is not None and has is not None and judge(needed, Device(has)).outcome is Outcome.FAILS:
        return holds(f"the message says: the GPU has {has}", f"needed: {needed}")
    if needed is not None:
        outcomes = {judge(needed, device).outcome for device in facts.devices}
        said = f"needed: {needed}"
        if outcomes == {Outcome.FAILS}:
            return holds(facts.shown_devices, said)
        # A suffix names more than a number: which higher ones have that too, the message does not say.
        if outcomes == {Outcome.RUNS} and facts.all_devices and not facts.params.get("needed", "").endswith(("a", "f")):
            return excluded(facts.shown_devices, said)
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
