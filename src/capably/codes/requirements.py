"""Reasons of requirements: why a device, a driver, a compiler or a package meets them or does not."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    Page(
        "requirement-met",
        "A condition holds",
        "`{clause}` holds: {found}",
        "A requirement is met where all conditions of one of its alternatives hold.",
        sources=("cuda-guide-compute-capabilities",),
        example={"found": "compute capability 9.0", "clause": ">=8.0"},
    ),
    Page(
        "device-too-old",
        "The device is older than what is needed",
        "`{clause}` does not hold: compute capability {capability} is lower",
        "What is needed came with a later generation of hardware, and no software adds it to an older one.",
        "Use a GPU that meets `{clause}`, or software that does not need it.",
        ("cuda-guide-compute-capabilities",),
        example={"capability": "7.0", "clause": ">=7.5"},
    ),
    Page(
        "device-too-new",
        "The device is newer than what is needed",
        "`{clause}` does not hold: compute capability {capability} is higher",
        "The software asks for older devices: mostly because it holds code for these only.",
        "Use a release of the software that supports {capability}, or a GPU that meets `{clause}`.",
        ("cuda-guide-compute-capabilities",),
        example={"clause": "<=9.0"},
    ),
    Page(
        "device-not-listed",
        "The device is not among those that are asked for",
        "`{clause}` does not hold: compute capability {capability} is not among them",
        "The software asks for certain devices, and neither older nor newer ones stand in for them.",
        "Use a GPU that meets `{clause}`, or a release of the software that supports {capability}.",
        ("cuda-guide-compute-capabilities",),
        example={"capability": "8.7", "clause": "one of 8.0, 8.6, 8.9"},
    ),
    Page(
        "device-excluded",
        "The device is excluded",
        "`{clause}` does not hold: it excludes compute capability {capability}",
        "The software says that it does not work on certain devices, though it may on older and newer ones.",
        "Use a GPU that meets `{clause}`, or a release of the software that supports {capability}.",
        ("cuda-guide-compute-capabilities",),
        example={"clause": "!=10.x", "capability": "10.0"},
    ),
    Page(
        "target-without-feature-code",
        "A target whose code lacks what is needed",
        "`{clause}` does not hold: {target} makes no such code; that takes the suffix in the name of the target",
        "Some instructions exist only in architecture-specific (`a`) or family-specific (`f`) code. Compiled for the plain "
        "target, a kernel that uses them does not build, or builds without them.",
        "Name a target with the suffix that `{clause}` needs in the list.",
        ("cuda-guide-compute-capabilities", "ptx-isa-instructions"),
        example={"target": "sm_120", "clause": "12.0f"},
    ),
    Page(
        "quantity-too-small",
        "The device has another amount than what is needed",
        "`{clause}` does not hold: it has {found}",
        "Devices that run the same code differ in shared memory, multiprocessors and memory.",
        "Use a GPU that meets `{clause}`, or settings with which the software needs less.",
        ("cuda-guide-compute-capabilities",),
        example={"found": "99KiB", "clause": "smem>=160KiB"},
    ),
    Page(
        "quantity-unknown",
        "How much the device has is not known",
        "whether `{clause}` holds is not known: nothing tells how much this GPU ({capability}) has",
        "Not every driver library tells every quantity, and a device that was only named has none.",
        "Run `capably doctor --json` where the GPU is: it shows what the driver tells about it.",
        ("cuda-guide-compute-capabilities",),
        example={"clause": "sms>=132"},
    ),
    Page(
        "version-not-met",
        "Another version is needed",
        "`{clause}` does not hold: {found}",
        "The driver, the compiler or an installed package is outside of the versions that the software works with.",
        "Install a version that meets `{clause}`.",
        ("cuda-compatibility-guide",),
        example={"found": "it is driver 535.183.01", "clause": "driver>=550"},
    ),
    Page(
        "version-unknown",
        "A version is not known",
        "whether `{clause}` holds is not known: {found}",
        "The version of the driver, of the compiler or of a package was not given, or is not told in the way that is asked.",
        "Run `capably doctor` to see which driver, compilers and packages are found.",
        ("cuda-compatibility-guide",),
        example={"found": "the driver is not known", "clause": "driver>=550"},
    ),
    Page(
        "toolkit-cannot-emit",
        "The compiler makes no native code that will do",
        "{found} makes no machine code that runs on {capability} and meets `{clause}`; {needed}",
        "A compiler makes code for the architectures that were known when it was released, and newer ones drop old "
        "architectures. The device itself is fine.",
        "Use {wanted}.",
        ("ptxas-experiment",),
        example={
            "found": "nvcc 12.8",
            "clause": "12.0f",
            "needed": "that takes CUDA 12.9 or newer",
            "wanted": "CUDA 12.9 or newer",
        },
    ),
    Page(
        "toolkit-undecided",
        "Whether the compiler makes native code is not known",
        "whether {found} makes machine code that runs on {capability} and meets `{clause}` is not known",
        "The compiler is newer than the tables, or code of its kind for this device is not documented.",
        "Ask the compiler: `nvcc --list-gpu-code`.",
        ("ptxas-experiment",),
        example={"found": "nvcc 14.0", "clause": "12.0f"},
    ),
    Page(
        "requirement-beyond-tables",
        "A device or target newer than the tables",
        "whether `{clause}` holds on {capability} is not known: the tables end at {horizon}",
        "Families, and which targets there are, are published with each architecture; nothing is guessed beyond.",
        "Update capably.",
        ("cuda-guide-compute-capabilities",),
        example={"capability": "13.0", "clause": "12.0f"},
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
        example={"capability": "10.1", "clause": ">=11.0"},
    ),
)
