"""Findings of the doctor: what is wrong with an installation, compilers, devices and code."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    # Of the diagnosis: what is wrong with an installation, apart from architectures
    Page(
        "cpu-only-torch",
        "PyTorch without CUDA",
        "torch {version} is built for the CPU: no GPU is of use to it",
        "Builds for the CPU have the local version `+cpu`, or hold no GPU code and require no CUDA libraries. Every "
        "GPU looks unusable to them.",
        "Install a build for CUDA.",
        ("pytorch-cuda-init",),
        example={"version": "2.13.0+cpu"},
    ),
    Page(
        "needs-cuda-torch",
        "An extension of a torch that is not installed",
        "{subject} links against {names}, which the installed torch {version} does not have",
        "The extension was built for a torch with CUDA; beside another it cannot be imported, on any GPU.",
        "Install the torch that it was built for.",
        example={"version": "2.13.0+cpu", "names": "libc10_cuda.so", "subject": "xformers"},
    ),
    Page(
        "shared-library-missing",
        "A shared library is missing",
        "{subject} needs {names}, found {where}",
        "The dynamic linker has to find every library that a file names, before any GPU code is looked at.",
        "Install the package that holds it, in the major version that the file name says.",
        example={"names": "libcudart.so.12", "where": "nowhere", "subject": "bitsandbytes"},
    ),
    Page(
        "host-machine-mismatch",
        "Built for another processor",
        "{subject} is built for {built}, this machine is {machine}",
        "The host code of a file has to fit the processor; such a file does not load here, on any GPU.",
        "Install the build for this processor.",
        example={"built": "x86_64", "machine": "aarch64"},
    ),
    Page(
        "package-overwritten",
        "Two distributions of the same modules",
        "{subject} and {other} write the same modules: the one that was installed last counts",
        "The files of one overwrite those of the other, and removing one removes files of both.",
        "Uninstall both, then install the one that is wanted.",
        example={"subject": "onnxruntime-gpu", "other": "onnxruntime"},
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
        example={"subject": "flashinfer-python", "compiler": "nvcc"},
    ),
    Page(
        "compiler-cannot-emit",
        "A compiler that does not know the GPU",
        "no code for {capability} comes from {path} ({cuda}), used by {users}",
        "A compiler knows the devices of its time: newer ones come with newer toolkits, and old ones are dropped.",
        "Use one of {wanted}.",
        example={"cuda": "CUDA 12.4", "users": "torch, flashinfer-python"},
    ),
    Page(
        "tool-refuses",
        "A tool that refuses the list or the GPUs",
        "{subject} will not start: {problem}",
        "The condition is the tool's own. Where it looks at a list, the GPU is not asked, and where it asks the GPUs, one "
        "may decide for all.",
        "Use a GPU that it accepts, or another backend.",
        ("flashinfer-core", "flashinfer-1598"),
        example={
            "subject": "flashinfer-python 0.2.5",
            "problem": "its own check stops with `FlashInfer requires sm75+`, whatever the GPU is: the list names 5.2, 7.0, "
            "and nothing may be below 7.5",
        },
    ),
    Page(
        "arch-list-refused",
        "A list of architectures at which a tool stops",
        "{tool} stops at {variable}: {problem}",
        "Whatever it compiles when first used fails, on every GPU: each tool, and each version of it, has its own "
        "grammar of such lists.",
        "Write the list as that version reads it, or unset the variable, so that it compiles for the GPUs that are there.",
        example={
            "tool": "torch 2.7.1",
            "variable": "TORCH_CUDA_ARCH_LIST",
            "problem": "torch raises `ValueError: Unknown CUDA arch () or GPU not supported`: an entry is empty",
        },
    ),
    Page(
        "arch-list-surprising",
        "A list of architectures that does not do what it says",
        "{tool} reads {variable} otherwise than it looks: {problem}",
        "What is left out, or refused later, is missed when a kernel is first used, far from the list.",
        "Write the list as that version reads it, or unset the variable, so that it compiles for the GPUs that are there.",
        example={
            "tool": "flashinfer-python 0.2.5",
            "variable": "FLASHINFER_CUDA_ARCH_LIST",
            "problem": "this version does not read the variable",
        },
    ),
    Page(
        "arch-list-omits-gpu",
        "A list of architectures that leaves out a GPU",
        "by {variable}, {tool} compiles {targets}, which {devices} cannot load",
        "Such a list goes before the GPUs that are there: what is compiled when first used fails on the one left out.",
        "Add what it needs to the list, or unset the variable, so that it compiles for the GPUs that are there.",
        example={
            "tool": "torch 2.7.1",
            "variable": "TORCH_CUDA_ARCH_LIST",
            "targets": "sm_90",
            "devices": "Tesla V100 (7.0)",
        },
    ),
    # Of the diagnosis: devices
    Page(
        "devices-hidden",
        "Not all GPUs are visible",
        "{visible} of {total} GPUs are visible to this process",
        "CUDA_VISIBLE_DEVICES, or a container that was given some of them.",
        "Unset CUDA_VISIBLE_DEVICES to see all.",
        ("cuda-guide-environment",),
        example={"visible": "1", "total": "8"},
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
        example={"capabilities": "8.6, 8.9"},
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
        example={"usable": "7", "total": "11", "subject": "vllm", "device": "T4 (7.5)"},
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
)
