"""The registry of reason and finding codes, and the reasons that the engine gives.

A code is permanent. Each has a title, a cause, a way out and its sources in one place; the text output, the
JSON, the documentation and the tests all read them here, so that none can tell a different story.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["FINDINGS", "REASONS", "Grade", "Outcome", "Page", "Reason"]


class Outcome(enum.StrEnum):
    """What becomes of an image or fatbin on a device."""

    RUNS = "runs"  # machine code loads as it is
    COMPILES = "compiles"  # only PTX fits, and the driver can compile it
    FAILS = "fails"  # nothing loads
    UNKNOWN = "unknown"  # the facts or the tables do not decide


class Grade(enum.StrEnum):
    """How a fact came to be known, best first."""

    MEASURED = "measured"
    DOCUMENTED = "documented"
    INFERRED = "inferred"


@dataclass(frozen=True, slots=True)
class Page:
    """What a code means.

    Attributes:
        code: The permanent, kebab-case name.
        title: The fact in a few words.
        message: One sentence with the parameters of a case in braces.
        cause: Why it is so.
        way_out: What to do, with the same parameters; empty where nothing is wrong.
        otherwise: Of a reason that lies in the driver or its settings: what is left of the way out where these stay
            as they are, or would change nothing; may be empty. None where the way out has nothing to do with them.
        sources: Keys in ``data/sources.json``.
        hides: Of a finding: something was not read, so there may be more than was judged.
        blocks: Of a finding: nothing of it is of use there, whatever the GPU code says.
        harmless: Of a finding: it says what a file is, and nothing is wrong.
    """

    code: str
    title: str
    message: str
    cause: str
    way_out: str = ""
    sources: tuple[str, ...] = ()
    hides: bool = False
    blocks: bool = False
    harmless: bool = False
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One argument for or against, as weighed by the engine.

    Attributes:
        code: Key in `REASONS`.
        outcome: What this argument alone makes of the image.
        subject: The image, or the library and its share of fatbins.
        params: Sorted ``(name, value)`` pairs that the page's texts are filled with.
        sources: Keys in ``data/sources.json``: those of the rule and of the rows that it used.
        grade: The weakest grade among the rows that it used.
    """

    code: str
    outcome: Outcome
    subject: str
    params: tuple[tuple[str, str], ...] = ()
    sources: tuple[str, ...] = ()
    grade: Grade = Grade.DOCUMENTED

    def about(self, subject: str) -> Reason:
        """The same argument about *subject*; `dataclasses.replace` takes three times as long, for each library."""
        return Reason(self.code, self.outcome, subject, self.params, self.sources, self.grade)

    @property
    def message(self) -> str:
        """The argument as one sentence."""
        return REASONS[self.code].message.format_map(dict(self.params))

    @property
    def way_out(self) -> str:
        """What to do about it; empty where nothing is wrong."""
        return REASONS[self.code].way_out.format_map(dict(self.params))

    @property
    def otherwise(self) -> str:
        """What to do about it with the driver left as it is; may be empty."""
        page = REASONS[self.code]
        return (page.way_out if page.otherwise is None else page.otherwise).format_map(dict(self.params))


_BUILD = "Use a build that targets {wanted}."
_GUIDE = ("cuda-guide-binary-compatibility", "nvlink-experiment")
_PTX = ("cuda-guide-ptx-compatibility", "ptxas-experiment")

REASONS: dict[str, Page] = {
    page.code: page
    for page in (
        # Runs
        Page(
            "exact-image",
            "Machine code for exactly this device",
            "{target} machine code is made for a device of {capability}",
            "Machine code always loads on the compute capability that it was compiled for, with any suffix.",
            sources=_GUIDE,
        ),
        Page(
            "same-major-lower-minor",
            "Machine code of the same major version",
            "{target} machine code runs on {capability}: same major version, and no higher minor version",
            "Up to 9.x, machine code runs on every device of its major version whose minor version is equal or higher.",
            sources=_GUIDE,
        ),
        Page(
            "family-covers",
            "Machine code of the same family",
            "{target} machine code runs on {capability}: same family ({members}), and no higher number",
            "From 10.0 on, machine code runs inside its family, on devices of its own number and higher. With or "
            "without the suffix `f` the reach is the same.",
            sources=("cuda-guide-compute-capabilities", "nvlink-experiment"),
        ),
        # Compiles
        Page(
            "ptx-forward",
            "PTX for this device or an older one",
            "the driver compiles {target} PTX for {capability}: any device of that number or higher",
            "PTX without a suffix is forward compatible: the driver compiles it for every device with a higher or "
            "equal number. The first start takes longer while it does, and newer instructions are not used.",
            sources=_PTX,
        ),
        Page(
            "ptx-family",
            "PTX of the same family",
            "the driver compiles {target} PTX for {capability}: same family ({members})",
            "PTX with the suffix `f` is compiled for devices of its family with an equal or higher number, and for no others.",
            sources=("cuda-guide-compute-capabilities", "ptxas-experiment"),
        ),
        Page(
            "ptx-exact",
            "Arch-specific PTX for exactly this device",
            "the driver compiles {target} PTX for {capability}, the only device that it is for",
            "PTX with the suffix `a` is compiled for the compute capability in its name and for no other.",
            sources=_PTX,
        ),
        # Fails
        Page(
            "no-image-for-device",
            "Machine code for other devices",
            "{target} machine code does not load on {capability}: another major version or family",
            "Machine code never crosses major versions or families. Only PTX does.",
            _BUILD,
            _GUIDE,
        ),
        Page(
            "image-newer-than-device",
            "Machine code for a newer device",
            "{target} machine code does not load on {capability}: it is for a newer device of the same kind",
            "Machine code runs on equal or higher numbers, never on lower ones.",
            _BUILD,
            _GUIDE,
        ),
        Page(
            "arch-specific-exact-only",
            "Arch-specific machine code for another device",
            "{target} machine code runs on {target_capability} alone, not on {capability}",
            "The suffix `a` gives up compatibility: such code loads on the one compute capability in its name.",
            _BUILD,
            ("cuda-guide-compute-capabilities", "nvlink-experiment"),
        ),
        Page(
            "ptx-arch-specific-exact-only",
            "Arch-specific PTX for another device",
            "{target} PTX compiles for {target_capability} alone, not for {capability}",
            "PTX with the suffix `a` is not forward compatible, whatever its place at the end of a list suggests.",
            _BUILD,
            _PTX,
        ),
        Page(
            "ptx-family-mismatch",
            "Family-specific PTX for other devices",
            "{target} PTX compiles for {members} only, not for {capability}",
            "PTX with the suffix `f` is compiled inside its family, for equal or higher numbers.",
            _BUILD,
            ("cuda-guide-compute-capabilities", "ptxas-experiment"),
        ),
        Page(
            "ptx-target-newer-than-device",
            "PTX for a newer device",
            "{target} PTX does not compile for {capability}: the device is older than its target",
            "PTX compiles for equal or higher numbers, never for lower ones.",
            _BUILD,
            _PTX,
        ),
        Page(
            "ptx-newer-than-driver",
            "PTX newer than the driver",
            "PTX ISA {ptx} is newer than what {driver} compiles ({accepted})",
            "nvcc writes the PTX version of its own release, and a driver compiles versions up to that of its own "
            "CUDA version. Minor version compatibility covers machine code, not PTX (CUDA error 222).",
            "Install a driver of CUDA {needed} or newer{release}, or use a build that targets {wanted}.",
            ("cuda-compatibility-guide", "cuda-driver-api-errors"),
            otherwise=_BUILD,
        ),
        Page(
            "ptx-newer-than-any-driver",
            "PTX newer than any driver for this device",
            "PTX ISA {ptx} is newer than what any driver for {capability} compiles: the last is that of CUDA {last}",
            "NVIDIA ended support for the device before the toolkit that wrote this PTX appeared.",
            _BUILD,
            ("cuda-compatibility-guide", "cuda-driver-api-errors"),
        ),
        Page(
            "tegra-isolated",
            "Desktop and Tegra machine code do not mix",
            "{target} machine code does not load on {capability}: built by CUDA {built}, it stays on its side of Tegra and desktop",
            "Up to CUDA 12.9, code for a Tegra part (5.3, 6.2, 7.2, 8.7) loads on that part alone, and desktop "
            "code does not load on Tegra parts, even where the numbers would fit.",
            _BUILD,
            (*_GUIDE, "jax-40492", "pytorch-device-requirement"),
        ),
        Page(
            "relocatable-only",
            "Relocatable machine code",
            "{target} machine code is relocatable: it has to be linked before anything can load it",
            "Code built with -rdc=true or -dc is input for the device linker.",
            "Link it (nvcc -dlink), or use a build that targets {wanted} without -rdc.",
            ("fatbin-experiment", "nvcc-manual"),
        ),
        Page(
            "driver-too-old-for-device",
            "The driver does not know this device",
            "{driver} does not know devices of {capability}; the first that does is R{first}",
            "A driver serves the devices that existed when its branch was made.",
            "Install a driver of branch R{first} or newer.",
            ("nvidia-driver-architecture-matrix",),
            otherwise="",
        ),
        Page(
            "driver-dropped-device",
            "The driver no longer knows this device",
            "{driver} does not serve devices of {capability} any more; the last branch that does is R{last}",
            "NVIDIA ends support for old devices with a driver branch.",
            "Install a driver of branch R{last} or older.",
            ("nvidia-driver-architecture-matrix",),
            otherwise="",
        ),
        Page(
            "zstd-needs-newer-driver",
            "Compressed for newer drivers",
            "the image is compressed with zstd, which {driver} cannot read; the first that can is R{first}",
            "nvcc 12.8 and later can compress with zstd (--compress-mode=size; the default of 13.x).",
            "Install a driver of branch R{first} or newer, or build with --compress-mode=speed.",
            otherwise="Build with --compress-mode=speed.",
        ),
        Page(
            "ptx-jit-disabled",
            "Compiling PTX is switched off",
            "{target} PTX is not compiled: CUDA_DISABLE_PTX_JIT is set",
            "CUDA_DISABLE_PTX_JIT=1 makes the driver ignore PTX.",
            "Unset CUDA_DISABLE_PTX_JIT, or use a build that targets {wanted}.",
            ("cuda-guide-environment",),
            otherwise=_BUILD,
        ),
        Page(
            "machine-code-ignored",
            "Machine code is switched off",
            "{target} machine code is not loaded: CUDA_FORCE_PTX_JIT is set",
            "CUDA_FORCE_PTX_JIT=1 makes the driver ignore machine code and compile PTX instead.",
            "Unset CUDA_FORCE_PTX_JIT.",
            ("cuda-guide-environment",),
            otherwise="",
        ),
        Page(
            "stub",
            "An image without kernels",
            "{target} holds no kernel, so it makes nothing run",
            "nvcc adds empty images at link time, and files compiled for many targets may leave some empty. A "
            "target that appears only so is not supported.",
            _BUILD,
            ("fatbin-experiment",),
        ),
        Page(
            "kernels-for-other-architectures-only",
            "The kernels are for other architectures only",
            "what would load on {capability} is empty: its kernels are for other architectures only",
            "Some images fit the device but hold no kernel; those with kernels do not fit. Libraries that hold "
            "special kernels for one architecture beside general ones look like this on purpose.",
            _BUILD,
            ("fatbin-experiment",),
        ),
        # Unknown
        Page(
            "ptx-driver-unknown",
            "PTX, and the driver is not known",
            "{target} PTX fits {capability}, but whether the driver compiles it depends on the driver",
            "A driver compiles PTX up to the version that came with its CUDA version.",
            "Name the driver (--driver), or use a build that targets {wanted}.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "ptx-version-unknown",
            "PTX of an unknown version",
            "{target} PTX fits {capability}, but its PTX ISA version is not known, so the driver may be too old for it",
            "A driver compiles PTX up to the version that came with its CUDA version.",
            "Read the version from the file (capably scan), or use a build that targets {wanted}.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "ptx-beyond-tables",
            "PTX and a driver outside the tables",
            "whether {driver} compiles PTX ISA {ptx} is not known: the tables have {horizon}",
            "A driver compiles PTX up to the version that came with its CUDA version, and that of this driver is not known.",
            "Update capably, or use a build that targets {wanted}.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "tegra-sbsa-unsettled",
            "Desktop and Tegra machine code, since CUDA 13",
            "{target} machine code on {capability}: allowed by the linker of CUDA 13.2, not proven on a device",
            "Since CUDA 13 Tegra and desktop share one software stack. NVIDIA's linker accepts the pair from 13.2 "
            "on, projects disagree about 13.0, and which toolkit made an image is not always known.",
            _BUILD,
            ("nvlink-experiment", "pytorch-device-requirement", "conda-pytorch-527"),
        ),
        Page(
            "renamed-target-unproven",
            "A target that was renamed",
            "{target} stands for the hardware of {renamed} since CUDA 13.0; whether the code loads on {capability} is not proven",
            "sm_101 of CUDA 12.8 and 12.9 became sm_110. PTX for it assembles for 11.0; projects disagree about machine code.",
            _BUILD,
            ("cuda-13-release-notes", "ptxas-experiment", "pytorch-device-requirement"),
        ),
        Page(
            "relocatable-ptx-unproven",
            "Relocatable PTX",
            "{target} PTX is relocatable: the driver may link it at load time, if every object of the library has some",
            "A library built with -rdc keeps its PTX in the relocatable part. The nvcc manual describes linking it "
            "at load time; it fails if one object has none. Not proven on a device.",
            "Try it, or use a build that targets {wanted}.",
            ("nvcc-manual", "fatbin-experiment"),
        ),
        Page(
            "lto-ir-needs-linking",
            "Link-time IR",
            "{target} is link-time IR: only a program that links it at run time (nvJitLink) can use it",
            "LTO-IR is not machine code and not PTX; the driver does not load it alone.",
            _BUILD,
            ("nvcc-manual",),
        ),
        Page(
            "kind-unknown",
            "A kind of image that is not understood",
            "the image is of a kind ({kind}) whose rules are not known",
            "Tile IR, index entries and kinds added by newer toolkits are listed, not judged.",
            _BUILD,
            ("cuobjdump-experiment",),
        ),
        Page(
            "target-unknown",
            "An image without a target",
            "the image does not say what it was compiled for",
            "The entry names no architecture.",
            _BUILD,
            ("fatbin-experiment",),
        ),
        Page(
            "kernels-undetermined",
            "Whether it holds kernels could not be read",
            "{target} would load on {capability}, but whether it holds any kernel could not be read",
            "The payload is damaged, beyond the limits, or compressed in an unknown way.",
            "Look at the findings of capably scan for this file.",
            ("fatbin-experiment",),
        ),
        Page(
            "beyond-tables",
            "Newer than the tables",
            "{target} machine code on {capability}: at least one of them is not in the tables (newest device {horizon})",
            "Which devices share machine code is known from NVIDIA's tables, not computed.",
            "Update capably, or use a build that targets {wanted}.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "compression-unknown",
            "Compressed in an unknown way",
            "the image is compressed in a way that is not known; which drivers read it is not known either",
            "The entry's flags name a compression that no published file uses.",
            _BUILD,
            ("cuobjdump-experiment",),
        ),
        Page(
            "zstd-driver-unknown",
            "Compressed for newer drivers, and the driver is not known",
            "the image is compressed with zstd, which needs a driver of R{first} or newer",
            "nvcc 12.8 and later can compress with zstd (--compress-mode=size; the default of 13.x).",
            "Name the driver (--driver); it has to be R{first} or newer.",
        ),
        Page(
            "concatenated-needs-newer-driver",
            "A container of newer toolkits",
            "the image sits in the concatenated container of CUDA 13.4; whether {driver} reads it is not proven",
            "nvcc 13.4 --concat packs images into one entry. Older cuobjdump cannot read it; drivers older than R615, "
            "which came with it, may not either.",
            "Install a driver of branch R{first} or newer, or build without --concat.",
            otherwise="Build without --concat.",
        ),
        Page(
            "concatenated-driver-unknown",
            "A container of newer toolkits, and the driver is not known",
            "the image sits in the concatenated container of CUDA 13.4, which drivers older than R{first} may not read",
            "nvcc 13.4 --concat packs images into one entry. Older cuobjdump cannot read it; older drivers may not either.",
            "Name the driver (--driver), or build without --concat.",
        ),
        Page(
            "tegra-driver-unknown",
            "PTX, and a driver of a Tegra part",
            "{target} PTX fits {capability}, but what {driver} compiles is not known: drivers of Tegra parts are numbered apart",
            "The driver of a Jetson is part of its software release; its number does not say its CUDA version.",
            "Name the CUDA version instead (--driver 12.6), or use a build that targets {wanted}.",
            ("jetpack-downloads",),
        ),
        Page(
            "device-beyond-tables",
            "A device that is not in the tables",
            "devices of {capability} are not in the tables (newest {horizon}), so which drivers serve them is not known",
            "A driver serves the devices that existed when its branch was made.",
            "Check the capability; update capably if the device is newer.",
            ("nvidia-cuda-gpus",),
        ),
        Page(
            "driver-device-unproven",
            "The driver may not know this device",
            "whether {driver} knows devices of {capability} is not documented; the first branch is probably R{first}",
            "A driver serves the devices that existed when its branch was made; for this one the branch is inferred.",
            "Install a driver of branch R{first} or newer.",
            ("nvidia-driver-architecture-matrix",),
            otherwise="",
        ),
        Page(
            "driver-drop-unproven",
            "The driver may no longer know this device",
            "whether {driver} still serves devices of {capability} is not documented; the last branch is probably R{last}",
            "NVIDIA ends support for old devices with a driver branch; for this one the branch is inferred.",
            "Install a driver of branch R{last} or older.",
            ("nvidia-driver-architecture-matrix",),
            otherwise="",
        ),
        # Requirements
        Page(
            "requirement-met",
            "A condition holds",
            "`{clause}` holds: {found}",
            "A requirement is met where all conditions of one of its alternatives hold.",
            sources=("cuda-guide-compute-capabilities",),
        ),
        Page(
            "device-too-old",
            "The device is older than what is needed",
            "`{clause}` does not hold: compute capability {capability} is lower",
            "What is needed came with a later generation of hardware, and no software adds it to an older one.",
            "Use a GPU that meets `{clause}`, or software that does not need it.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "device-too-new",
            "The device is newer than what is needed",
            "`{clause}` does not hold: compute capability {capability} is higher",
            "The software asks for older devices: mostly because it holds code for these only.",
            "Use a release of the software that supports {capability}, or a GPU that meets `{clause}`.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "device-not-listed",
            "The device is not among those that are asked for",
            "`{clause}` does not hold: compute capability {capability} is not among them",
            "The software asks for certain devices, and neither older nor newer ones stand in for them.",
            "Use a GPU that meets `{clause}`, or a release of the software that supports {capability}.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "device-excluded",
            "The device is excluded",
            "`{clause}` does not hold: it excludes compute capability {capability}",
            "The software says that it does not work on certain devices, though it may on older and newer ones.",
            "Use a GPU that meets `{clause}`, or a release of the software that supports {capability}.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "target-without-feature-code",
            "A target whose code lacks what is needed",
            "`{clause}` does not hold: {target} makes no such code; that takes the suffix in the name of the target",
            "Some instructions exist only in architecture-specific (`a`) or family-specific (`f`) code. Compiled for the plain "
            "target, a kernel that uses them does not build, or builds without them.",
            "Name a target with the suffix that `{clause}` needs in the list.",
            ("cuda-guide-compute-capabilities", "ptx-isa-instructions"),
        ),
        Page(
            "quantity-too-small",
            "The device has another amount than what is needed",
            "`{clause}` does not hold: it has {found}",
            "Devices that run the same code differ in shared memory, multiprocessors and memory.",
            "Use a GPU that meets `{clause}`, or settings with which the software needs less.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "quantity-unknown",
            "How much the device has is not known",
            "whether `{clause}` holds is not known: nothing tells how much this GPU ({capability}) has",
            "Not every driver library tells every quantity, and a device that was only named has none.",
            "Run `capably doctor --json` where the GPU is: it shows what the driver tells about it.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "version-not-met",
            "Another version is needed",
            "`{clause}` does not hold: {found}",
            "The driver, the compiler or an installed package is outside of the versions that the software works with.",
            "Install a version that meets `{clause}`.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "version-unknown",
            "A version is not known",
            "whether `{clause}` holds is not known: {found}",
            "The version of the driver, of the compiler or of a package was not given, or is not told in the way that is asked.",
            "Run `capably doctor` to see which driver, compilers and packages are found.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "toolkit-cannot-emit",
            "The compiler makes no native code that will do",
            "{found} makes no machine code that runs on {capability} and meets `{clause}`; {needed}",
            "A compiler makes code for the architectures that were known when it was released, and newer ones drop old "
            "architectures. The device itself is fine.",
            "Use {wanted}.",
            ("ptxas-experiment",),
        ),
        Page(
            "toolkit-undecided",
            "Whether the compiler makes native code is not known",
            "whether {found} makes machine code that runs on {capability} and meets `{clause}` is not known",
            "The compiler is newer than the tables, or code of its kind for this device is not documented.",
            "Ask the compiler: `nvcc --list-gpu-code`.",
            ("ptxas-experiment",),
        ),
        Page(
            "requirement-beyond-tables",
            "A device or target newer than the tables",
            "whether `{clause}` holds on {capability} is not known: the tables end at {horizon}",
            "Families, and which targets there are, are published with each architecture; nothing is guessed beyond.",
            "Update capably.",
            ("cuda-guide-compute-capabilities",),
        ),
        Page(
            "requirement-renamed",
            "A device that has had another number",
            "whether `{clause}` holds on {capability} is not known: the same hardware is called {renamed} too, and the two "
            "numbers disagree",
            "Jetson Thor is 10.1 for CUDA 12.8 and 12.9 and 11.0 since CUDA 13.0. A requirement written with one of the two "
            "in mind says nothing about the other.",
            "Say both numbers in the requirement, such as `10.1 | 11.0`, or use a driver that calls the device {renamed}.",
            ("cuda-13-release-notes",),
        ),
    )
}

FINDINGS: dict[str, Page] = {
    page.code: page
    for page in (
        # Of the engine: what else decides beside the GPU code
        Page(
            "host-platform",
            "Built for another host processor",
            "{subject} is built for {built}; {device} comes in {hosts} machines only",
            "GPU code and host code both have to fit, and the host code of this file does not load there.",
            "Use a build for that processor.",
            blocks=True,
        ),
        Page(
            "cuda-major-newer-than-driver",
            "The CUDA runtime is newer than the driver",
            "{subject} needs the CUDA {needed} runtime, which needs a driver of R{first} or newer; this is {driver}",
            "Inside a CUDA major version older drivers work (minor version compatibility); across major versions they "
            "do not.",
            "Install a newer driver, or use a build for the CUDA major version of the driver.",
            ("cuda-compatibility-guide",),
            blocks=True,
        ),
        Page(
            "alternative-missing",
            "The library for this device is not there",
            "{subject} would load its alternative `{name}` there, and holds only {there}",
            "The package holds several builds of its libraries and loads one of them by the device.",
            "Use a build that holds it.",
            blocks=True,
        ),
        # Of plans: what a toolkit cannot build
        Page(
            "target-not-emitted",
            "The toolkit does not emit this target",
            "{toolkit} does not emit {subject}; {span} does",
            "Each CUDA toolkit knows the GPUs of its time: new ones are added, and old ones are dropped.",
            "Build with such a toolkit, or with targets that serve the GPU too.",
            ("ptxas-experiment", "llvm-nvptx-targets"),
            harmless=True,
        ),
        Page(
            "no-forward-ptx",
            "No PTX for GPUs to come",
            "there is no PTX for GPUs to come in the plan: {why}",
            "Only plain PTX reaches GPUs that are newer than the toolkit: that with a suffix is for one capability or one "
            "family. Not all code can be plain, and not every tool can be asked for it.",
            "Add targets for new GPUs when a toolkit has them.",
            ("ptxas-experiment",),
        ),
        Page(
            "toolkit-beyond-tables",
            "A toolkit that the tables do not know",
            "what {subject} emits is not known: the tables have CUDA {oldest} to {newest}",
            "Which targets a toolkit emits is recorded for each of them, and not guessed from its neighbours.",
            "Plan for a toolkit in the tables, or use a newer capably.",
            ("ptxas-experiment",),
        ),
        # Of audits: whether a release holds what its project promises
        Page(
            "gpu-not-covered",
            "A required GPU that nothing is for",
            "nothing in {subject} loads on {device}",
            "The policy requires the GPU, and no fatbin of this library holds machine code or PTX for it and the promised "
            "driver.",
            'Build it for these GPUs: `capably plan --gpu "{asked}"` names the targets. Or allow the gap, with a reason.',
        ),
        Page(
            "gpu-partly-covered",
            "A required GPU that some code is not for",
            "some of {subject} does not load on {device}",
            "The policy requires the GPU, and some fatbins of this library hold nothing for it and the promised driver: a "
            "call into them fails when it is made. One file that was compiled with other flags is enough.",
            "Compile these files for the targets of the others; or allow the gap, by library or kernel, with a reason.",
        ),
        Page(
            "gpu-coverage-unknown",
            "A required GPU for which it cannot be told",
            "whether all of {subject} loads on {device} is not decided by what is known",
            "The policy requires the GPU, and the facts about the file, the driver or the device do not decide.",
            "Look at the reasons (`capably check --verbose`); name the driver that is promised; or allow it, with a reason.",
        ),
        Page(
            "gpu-without-machine-code",
            "A GPU that has to have machine code has PTX only",
            "some of {subject} is PTX that the driver compiles on {device}",
            "The policy asks for machine code for the GPU. PTX works, after a first start that compiles it.",
            'Build it for these GPUs: `capably plan --gpu "{asked}"` names the targets.',
        ),
        Page(
            "target-missing",
            "A claimed target that is not there",
            "{subject} holds nothing for {target}, which the policy claims; {instead}",
            "The policy lists the targets that the project builds for, and the list that the compiler got says otherwise.",
            "Add it to the list that the build uses, or take it out of the policy.",
            ("nvbench-308", "vllm-26592"),
        ),
        Page(
            "stray-target",
            "A target that nobody asked for",
            "{subject} also holds {targets} fatbins",
            "Files that are compiled without the flags of the others get the compiler's default, or those of a dependency. "
            "A list for the whole file then promises GPUs that most of it does not serve.",
            "Build without these targets, or add them to `targets` of the policy; or allow them, with a reason.",
        ),
        Page(
            "hole-in-range",
            "A hole in the middle of the range",
            "{subject} serves GPUs from {lowest} to {highest}, but nothing in it loads on {holes}",
            "Machine code carries over inside a major version or family only, and upwards only: a list without the lowest "
            "number of one leaves out its older GPUs.",
            "Add a target for these GPUs, or say in the policy that they are left out.",
        ),
        Page(
            "fatbin-behind",
            "Fatbins behind the others",
            "{count} of {total} fatbins in {subject} were not built for {device}, as the others are",
            "Most of the library is for these GPUs and some of it stops at older targets: often a dependency or a file with a "
            "list of its own.",
            "Compile these files for the targets of the others; or allow it, by library, with a reason.",
        ),
        Page(
            "arch-specific-ptx",
            "Arch-specific PTX is not forward compatible",
            "the only PTX in {count} of {total} fatbins of {subject} is {target}: it compiles for {capability} alone and for "
            "no other GPU{newer}",
            "PTX with the suffix `a` is of no use to other GPUs, whatever its place at the end of a list suggests; where it is "
            "of use, machine code would do. It is shipped by mistake for PTX that newer GPUs can compile.",
            "Ship {plain} instead (`-gencode arch={plain},code={plain}`, `90-virtual` instead of `90a-virtual` in CMake).",
            ("onnxruntime-26230", "ptxas-experiment"),
        ),
        Page(
            "ptx-missing",
            "No PTX for GPUs to come",
            "{count} of {total} fatbins in {subject} hold no PTX that GPUs to come can compile",
            "The policy requires PTX that any newer GPU can compile: without a suffix, in each fatbin.",
            "Add one `compute_` target without a suffix.",
            ("cuda-guide-ptx-compatibility",),
        ),
        Page(
            "ptx-shipped",
            "PTX that the policy forbids",
            "{count} of {total} fatbins in {subject} hold PTX",
            "The policy forbids PTX.",
            "Build with `code=sm_…` only (`-real` in CMake, no `+PTX`).",
        ),
        Page(
            "ptx-beyond-driver",
            "PTX newer than the promised driver",
            "{count} images of PTX in {subject} ({targets}) are of no use with the promised driver: {problem}",
            "nvcc writes the PTX version of its own release, and an older driver does not compile it, whatever minor version "
            "compatibility promises for machine code (CUDA error 222).",
            "Ship machine code for every GPU that is promised, build with an older toolkit, or promise a driver of {needs} or "
            "newer.",
            ("cuda-compatibility-guide", "cuda-driver-api-errors"),
        ),
        Page(
            "compression-beyond-driver",
            "Compressed for newer drivers",
            "{count} images in {subject} ({targets}) cannot be read by the promised driver: {problem}",
            "nvcc 12.8 and later can store code in ways that older drivers do not read.",
            "Build with --compress-mode=speed, or promise a driver of {needs} or newer.",
        ),
        Page(
            "toolkit-differs",
            "Built by another toolkit",
            "{subject} holds images of other toolkits: {made}, of {total} that note theirs; the policy says {wanted}",
            "Each image notes the compiler that made it. Static libraries of CUDA bring images of their own toolkit.",
            "Build with that toolkit; or name all that are meant, or allow it, with a reason.",
        ),
        Page(
            "toolkit-unknown",
            "No image says what made it",
            "none of {total} images in {subject} says what made it; the policy says {wanted}",
            "Machine code mostly notes the compiler that made it, and PTX never does. NVIDIA strips the notes from its own "
            "libraries.",
            "Allow it, by library, with a reason.",
        ),
        Page(
            "other-cuda-major",
            "A library for another CUDA major version",
            "{subject} needs the runtime of {needed}; {wanted}",
            "A process has one torch and one CUDA runtime of a major version; a library for another one does not find its own.",
            "Build it for the CUDA of the policy and of the other libraries; or allow it, with a reason.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "identical-copies",
            "The same library several times",
            "{subject} is there {count} times, byte for byte ({copies}): {wasted} too many",
            "Wheels hold no links: each link to a library becomes a copy of it.",
            "Ship it once, under the name that is loaded.",
        ),
        Page(
            "size-over-limit",
            "Larger than the policy allows",
            "{subject} is {size}; the policy allows {limit}",
            "Package indexes refuse files above their limit.",
            "Drop targets (`capably plan --policy size`), or compress: nvcc 12.8 and later with --compress-mode=size.",
        ),
        Page(
            "coverage-lost",
            "A GPU that the older release served better",
            "the coverage of {subject} on {device} is {after}; that of {baseline} was {before}",
            "Fewer fatbins load there than in the release that was compared with.",
            "Build for the targets of the older release; or allow it, with a reason for the release notes.",
        ),
        Page(
            "allowance-unused",
            "Something allowed that does not occur",
            "`{subject}` of the policy allows what does not occur ({reason})",
            "What was a gap once is none any more, or the pattern fits nothing.",
            "Take it out, so that it hides nothing later.",
        ),
        # Of the probe: why no device is visible
        Page(
            "no-nvidia-device",
            "No NVIDIA GPU on the bus",
            "the kernel lists no NVIDIA GPU on the PCI bus, and no driver is loaded for one",
            "The machine has none, it is switched off, it is not passed through to this virtual machine, or a sandbox hides it.",
            "Check `lspci -d 10de:`; a virtual machine needs the GPU passed through.",
        ),
        Page(
            "no-driver",
            "A GPU without a driver",
            "{count} NVIDIA GPU on the bus, but the kernel module of the driver is not loaded",
            "The driver is not installed, was not built for the running kernel, or another driver (nouveau) has the GPU.",
            "Install the driver, or load it (`modprobe nvidia`) and read what `dmesg` says.",
        ),
        Page(
            "driver-library-missing",
            "The driver's library is missing",
            "the kernel module is loaded, but libcuda cannot be loaded: {problem}",
            "libcuda.so.1 belongs to the driver, not to the toolkit or to torch. Minimal packages, and containers that "
            "were started without the capability `compute`, lack it; or the dynamic linker does not look where it is.",
            "Install the driver's libraries (in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility), then `ldconfig`.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "driver-failed",
            "The driver does not start",
            "cuInit fails with {error} ({name})",
            "The driver is there and refuses. 802: the fabric of an NVSwitch machine is not up; 999: often a kernel module "
            "that was unloaded or a GPU that fell off the bus; 34: the library is the stub of a toolkit.",
            "Run `nvidia-smi` and read what `dmesg` says about NVRM.",
            ("cuda-driver-api-errors",),
        ),
        Page(
            "driver-library-mismatch",
            "Two halves of a driver that do not match",
            "cuInit fails with 803: libcuda is of {user}, the kernel module of {kernel}",
            "The library and the kernel module have to be of one release. After an update the old module stays loaded "
            "until it is reloaded; in a container a libcuda of its own may stand before the mounted one.",
            "Reboot or reload the module; in a container remove the libcuda that its image brings.",
            ("cuda-driver-api-errors", "cuda-compatibility-guide"),
        ),
        Page(
            "forward-compat-unsupported",
            "Forward compatibility is not for this GPU",
            "cuInit fails with 804: {library} is a forward-compatibility library, which this GPU does not support with "
            "the driver of {kernel}",
            "The package cuda-compat runs newer CUDA on an older driver, on data-center GPUs and some others, and only "
            "where the driver is not too old. On other GPUs its libcuda fails, and it stands before the driver's own.",
            "Take the folder `compat` out of LD_LIBRARY_PATH or uninstall cuda-compat, and use a newer driver instead.",
            ("cuda-driver-api-errors", "cuda-compatibility-guide"),
        ),
        Page(
            "hidden-by-environment",
            "Hidden by CUDA_VISIBLE_DEVICES",
            "GPUs are there, and CUDA_VISIBLE_DEVICES={value!r} hides them all",
            "The variable lists the devices that a process may see; an empty list, or a first entry that fits none, "
            "leaves none.",
            "Unset CUDA_VISIBLE_DEVICES, or name devices that are there (`nvidia-smi -L`).",
            ("cuda-guide-environment",),
        ),
        Page(
            "container-without-devices",
            "A container without its GPUs",
            "the driver serves {count} GPU on this host, but this container has no device files for it",
            "The container was started without GPUs.",
            "Start it with `--gpus all` (docker), `--device nvidia.com/gpu=all` (podman), `--nv` (apptainer), or with "
            "`nvidia.com/gpu` among the limits of the pod (kubernetes).",
        ),
        Page(
            "probe-timed-out",
            "The driver does not answer",
            "{call} did not return within {seconds} s (CAPABLY_PROBE_TIMEOUT sets the limit)",
            "A driver library hangs: a GPU that fell off the bus, a fabric that is not up, or a machine that is slow to "
            "wake its GPUs. It was asked in a process of its own, which was ended.",
            "Read what `dmesg` says about NVRM; for a slow machine set CAPABLY_PROBE_TIMEOUT (seconds) or start "
            "nvidia-persistenced.",
        ),
        Page(
            "probe-crashed",
            "The driver library crashes",
            "{call} ended its process ({what})",
            "A driver library crashed. It was asked in a process of its own.",
            "Run `nvidia-smi`; if it crashes too, install the driver again.",
        ),
        Page(
            "probe-failed",
            "The driver could not be asked",
            "the driver could not be asked: {problem}",
            "A child process asks the driver. It could not be started, or it ended or answered in a way that tells nothing "
            "about the GPUs. Whether there are any is not known then, and nothing is remembered.",
            "Run `nvidia-smi`: if it fails too, install the driver again. Inside of an application that embeds Python, set "
            "CAPABLY_PROBE_PYTHON to the path of a Python 3 interpreter.",
        ),
        Page(
            "platform-not-probed",
            "GPUs are not looked for on this system",
            "the GPUs of a machine with {platform} are not looked for yet",
            "The driver is asked on Linux only, the Windows Subsystem for Linux included.",
            "Name the GPUs (--gpu) and the driver (--driver).",
        ),
        # Of the probe: what else is odd about the machine
        Page(
            "capability-disagreement",
            "Two answers about one GPU",
            "{device}: the driver says {cuda}, NVML says {nvml}; the driver counts",
            "Older releases of NVML and nvidia-smi have named the wrong compute capability for newer GPUs.",
            "Update the driver.",
        ),
        Page(
            "driver-parts-differ",
            "A library and a kernel module of different releases",
            "libcuda is of {user}, the kernel module of {kernel}",
            "It works in rare cases only; most often cuInit fails with 803.",
            "Reboot or reload the module; in a container remove the libcuda that its image brings.",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "forward-compat-in-use",
            "A forward-compatibility library is in use",
            "{library} is the libcuda of {release}, before that of the driver ({kernel})",
            "The package cuda-compat replaces libcuda, so that newer CUDA runs on an older driver.",
            "",
            ("cuda-compatibility-guide",),
        ),
        Page(
            "visible-entry-invalid",
            "An entry that fits no device ends the list",
            "{entry!r} fits no single device: it and all behind it are ignored, {kept} stay",
            "CUDA reads CUDA_VISIBLE_DEVICES up to the first entry that fits no device, or several.",
            "Correct the entry (`nvidia-smi -L` lists the devices).",
            ("cuda-guide-environment",),
        ),
        Page(
            "visible-duplicate",
            "A device named twice empties the list",
            "a device is named twice, which hides all of them",
            "It is not documented, but what PyTorch and nvitop found.",
            "Name each device once.",
            ("pytorch-92315",),
        ),
        Page(
            "visible-value-of-containers",
            "A value of another variable",
            "{entry!r} is a value for NVIDIA_VISIBLE_DEVICES, which the container toolkit reads; CUDA knows numbers and UUIDs",
            "The two variables have similar names and different values.",
            "Unset CUDA_VISIBLE_DEVICES to see all devices; set it to nothing to see none.",
            ("cuda-guide-environment",),
        ),
        Page(
            "mig-first-only",
            "One slice at a time",
            "a process sees one MIG slice; of slices and other GPUs, {hidden} more stay hidden",
            "CUDA gives a process one compute instance, and no whole GPU beside it.",
            "Start one process for each slice, with its UUID in CUDA_VISIBLE_DEVICES.",
            ("mig-guide",),
        ),
        Page(
            "toolkits-disagree",
            "Compilers of different releases",
            "which compiler is used depends on who compiles: {listed}",
            "PATH, CUDA_HOME and wheels lead to different toolkits, and each tool looks in its own order.",
            "Let CUDA_HOME and PATH name the same toolkit.",
        ),
        Page(
            "compiler-silent",
            "A compiler that does not answer",
            "{path} did not say its version",
            "It does not start, or is no compiler of NVIDIA's.",
            "Run it with --version.",
        ),
        Page(
            "compiler-not-run",
            "A compiler that was not run",
            "the version of {path} is not known: it was not run, and neither its file nor its package tells it",
            "Only compilers that the user names are run: by PATH, CUDA_HOME, CUDA_PATH, CUDACXX, TRITON_PTXAS_PATH or "
            "TRITON_PTXAS_BLACKWELL_PATH, as an absolute path. Of the others, those in Python environments above all, "
            "the version is read. This file may be a script, or no compiler of NVIDIA's.",
            "If you trust it, put its folder on PATH, or let CUDA_HOME name its toolkit.",
        ),
        # Of the diagnosis: what is wrong with an installation, apart from architectures
        Page(
            "cpu-only-torch",
            "PyTorch without CUDA",
            "torch {version} is built for the CPU: no GPU is of use to it",
            "Builds for the CPU have the local version `+cpu`, or hold no GPU code and require no CUDA libraries. Every "
            "GPU looks unusable to them.",
            "Install a build for CUDA.",
            ("pytorch-cuda-init",),
        ),
        Page(
            "needs-cuda-torch",
            "An extension of a torch that is not installed",
            "{subject} links against {names}, which the installed torch {version} does not have",
            "The extension was built for a torch with CUDA; beside another it cannot be imported, on any GPU.",
            "Install the torch that it was built for.",
        ),
        Page(
            "shared-library-missing",
            "A shared library is missing",
            "{subject} needs {names}, found {where}",
            "The dynamic linker has to find every library that a file names, before any GPU code is looked at.",
            "Install the package that holds it, in the major version that the file name says.",
        ),
        Page(
            "host-machine-mismatch",
            "Built for another processor",
            "{subject} is built for {built}, this machine is {machine}",
            "The host code of a file has to fit the processor; such a file does not load here, on any GPU.",
            "Install the build for this processor.",
        ),
        Page(
            "package-overwritten",
            "Two distributions of the same modules",
            "{subject} and {other} write the same modules: the one that was installed last counts",
            "The files of one overwrite those of the other, and removing one removes files of both.",
            "Uninstall both, then install the one that is wanted.",
        ),
        Page(
            "gpu-part-missing",
            "The GPU part is not installed",
            "{subject} is installed without the distribution that holds its GPU code",
            "The package works on the CPU and has its GPU code in a distribution of its own.",
            "Install that distribution.",
        ),
        # Of the diagnosis: compilers
        Page(
            "compiler-missing",
            "No compiler for what is compiled at run time",
            "{subject} compiles kernels at run time and needs {compiler}, which was not found",
            "Prebuilt kernels, where there are some, still work; others fail when they are first used.",
            "Install the CUDA toolkit, or name it by CUDA_HOME.",
        ),
        Page(
            "compiler-cannot-emit",
            "A compiler that does not know the GPU",
            "no code for {capability} comes from {path} ({cuda}), used by {users}",
            "A compiler knows the devices of its time: newer ones come with newer toolkits, and old ones are dropped.",
            "Use one of {wanted}.",
        ),
        Page(
            "arch-list-refused",
            "A list of architectures at which a tool stops",
            "{tool} stops at {variable}: {problem}",
            "Whatever it compiles when first used fails, on every GPU: each tool, and each version of it, has its own "
            "grammar of such lists.",
            "Write the list as that version reads it, or unset the variable, so that it compiles for the GPUs that are there.",
        ),
        Page(
            "arch-list-surprising",
            "A list of architectures that does not do what it says",
            "{tool} reads {variable} otherwise than it looks: {problem}",
            "What is left out, or refused later, is missed when a kernel is first used, far from the list.",
            "Write the list as that version reads it, or unset the variable, so that it compiles for the GPUs that are there.",
        ),
        Page(
            "arch-list-omits-gpu",
            "A list of architectures that leaves out a GPU",
            "by {variable}, {tool} compiles {targets}, which {devices} cannot load",
            "Such a list goes before the GPUs that are there: what is compiled when first used fails on the one left out.",
            "Add what it needs to the list, or unset the variable, so that it compiles for the GPUs that are there.",
        ),
        # Of the diagnosis: devices
        Page(
            "devices-hidden",
            "Not all GPUs are visible",
            "{visible} of {total} GPUs are visible to this process",
            "CUDA_VISIBLE_DEVICES, or a container that was given some of them.",
            "Unset CUDA_VISIBLE_DEVICES to see all.",
            ("cuda-guide-environment",),
        ),
        Page(
            "device-order-differs",
            "CUDA and nvidia-smi number the GPUs differently",
            "device 0 of CUDA is {cuda}, GPU 0 of nvidia-smi is {nvml}",
            "CUDA puts the fastest device first unless CUDA_DEVICE_ORDER says PCI_BUS_ID; nvidia-smi goes by PCI address.",
            "Set CUDA_DEVICE_ORDER=PCI_BUS_ID.",
            ("cuda-guide-environment",),
        ),
        Page(
            "mixed-devices",
            "GPUs of several capabilities",
            "GPUs of {capabilities} are visible",
            "Code that runs on one need not run on another: tools that look at the first or at the best GPU only are wrong "
            "about the rest.",
            "Build for all of them, or give a process those of one kind.",
        ),
        # Of the diagnosis: architectures
        Page(
            "package-without-code",
            "No code for a GPU",
            "nothing in {subject} loads on {device}",
            "None of its fatbins holds machine code or PTX that fits this device and driver.",
            "Use a build for this device.",
        ),
        Page(
            "package-partly-covered",
            "Some code does not fit a GPU",
            "{usable} of {total} fatbins in {subject} load on {device}",
            "A call into the others fails when it is made. Packages that choose kernels by device never make it.",
            "Use a build for this device, or do not use what is missing.",
        ),
        Page(
            "package-undecided",
            "It cannot be told",
            "whether {subject} works on {device} is not decided by what is known",
            "Facts are missing, about the driver or about the file.",
            "Name the driver (--driver), or look at the reasons.",
        ),
        Page(
            "package-compiled-at-run-time",
            "Kernels that are compiled when first used",
            "what {subject} brings prebuilt does not load there; its kernels are compiled at run time",
            "The package holds sources, and a compiler on the machine decides for which devices it can build them.",
            "Look at the compiler: `capably doctor` names the one that is used, and what it emits.",
            harmless=True,
        ),
        Page(
            "package-compiled-by-driver",
            "PTX that the driver compiles",
            "{count} fatbins of {subject} are compiled by the driver on {device} when first loaded",
            "No machine code fits and PTX does: the first start is slow, and the cache of the driver keeps the result.",
        ),
        # Of the scanner: what was found beside the code, or could not be read
        Page(
            "no-gpu-code",
            "No GPU code",
            "no GPU code in {files} files",
            "Nothing that was looked at holds fatbins, cubins or PTX: the package is pure Python, for the CPU, or "
            "compiles its kernels at run time.",
            "Look at the package that holds the kernels, or at what it compiles at run time.",
            harmless=True,
        ),
        Page(
            "link-input",
            "Input for the linker",
            "relocatable code only",
            "The file holds relocatable GPU code and nothing that a driver loads as it is.",
            "Judge the library that it is linked into.",
            ("fatbin-experiment", "nvcc-manual"),
            harmless=True,
        ),
        Page(
            "bare-images",
            "Code outside any fatbin",
            "cubins or PTX that lie bare in a data section",
            "Some libraries carry kernels as plain data and load them by hand. Whether and where they do cannot be "
            "seen, so this code is listed and not counted.",
            "",
            ("fatbin-experiment",),
            harmless=True,
        ),
        Page(
            "foreign-gpu-code",
            "GPU code in another container",
            "a section of GPU code that is not an NVIDIA fatbin",
            "Code for AMD (`.hip_fatbin`) or of clang's offload driver (`.llvm.offloading`) is not read.",
            harmless=True,
        ),
        Page(
            "damaged-fatbin",
            "A damaged fatbin",
            "a fatbin whose headers contradict each other or leave its section",
            "The file is damaged, or made to mislead. What could be read is reported.",
            "Get the file again; if it stays so, please report it.",
            hides=True,
        ),
        Page(
            "damaged-image",
            "An image that cannot be read",
            "a payload that does not decompress or parse",
            "The payload of an entry is damaged; its kind and target are known from its header, its kernels are not.",
            "Get the file again; if it stays so, please report it.",
        ),
        Page(
            "damaged-elf",
            "A damaged ELF file",
            "headers that contradict each other or the size of the file",
            "The section table could not be read as it says. What could be read is reported.",
            "Get the file again; if it stays so, please report it.",
            hides=True,
        ),
        Page(
            "damaged-pe",
            "A damaged PE or COFF file",
            "headers that contradict each other",
            "The section table could not be read as it says. What could be read is reported.",
            "Get the file again; if it stays so, please report it.",
            hides=True,
        ),
        Page(
            "damaged-archive-member",
            "A damaged member of an archive",
            "a member that does not unpack to what the archive says",
            "Its data or a header is damaged, or its checksum or size is wrong. What else could be read is reported.",
            "Get the archive again.",
            hides=True,
        ),
        Page(
            "truncated-file",
            "A file that ends early",
            "the file ends before its own headers say it should",
            "A download that broke off looks like this.",
            "Get the file again.",
            hides=True,
        ),
        Page(
            "encrypted-member",
            "An encrypted member",
            "a member that cannot be read without a password",
            "Encrypted members of an archive are skipped.",
            "Unpack it first and name the folder.",
            hides=True,
        ),
        Page(
            "unsafe-name",
            "An unsafe name",
            "a member name with control characters, an absolute path or `..`",
            "Nothing is written under such a name here, since nothing is extracted; an installer might.",
            "Do not install it before you know why.",
        ),
        Page(
            "limit-reached",
            "A limit was reached",
            "more, larger or deeper than the limits allow",
            "Reading is bounded, so that a hostile file cannot exhaust the machine. What was read until then is "
            "reported, and the answer may be incomplete.",
            "Raise the limit (capably.scanner.Limits) if you trust the file.",
            hides=True,
        ),
        Page(
            "missing-library",
            "A library that is not there",
            "a library that the distribution's RECORD lists and that is not there",
            "The installation is damaged or was changed by hand; what the library held is not known.",
            "Install the distribution again.",
            hides=True,
        ),
        Page(
            "missing-file",
            "A file that is not there",
            "a file that the distribution's RECORD lists and that is not there",
            "The installation is damaged or was changed by hand.",
            "Install the distribution again.",
        ),
        Page(
            "unreadable-file",
            "A file that cannot be opened",
            "a file that the operating system does not let capably read, or that is stored in a way it does not read",
            "Its permissions or the disk are the cause, or a form of archive without the bytes (thin) or with holes "
            "(sparse), or a compression method that is not supported.",
            "Read it as a user who may; unpack an archive first and name the folder.",
            hides=True,
        ),
        Page(
            "damaged-metadata",
            "Damaged metadata of a package",
            "a file that tells of an installed distribution, which cannot be read or is not what it should be",
            "The installation broke off, was changed by hand, or the package is made to mislead. Its name or version comes "
            "from the name of the folder then, and its platforms or requirements may not be known. Its files were read.",
            "Install the distribution again.",
        ),
        Page(
            "damaged-record",
            "A damaged list of the files of a package",
            "a list of the files of an installed distribution, which cannot be read or is not what it should be",
            "The installation broke off, was changed by hand, or the package is made to mislead. Files that are not in the "
            "list were not read, so it is not known what GPU code they hold.",
            "Install the distribution again.",
            hides=True,
        ),
    )
}
