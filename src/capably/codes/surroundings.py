"""Findings of the engine: what else decides beside the GPU code."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    Page(
        "host-platform",
        "Built for another host processor",
        "{subject} is built for {built}; {device} comes in {hosts} machines only",
        "GPU code and host code both have to fit, and the host code of this file does not load there.",
        "Use a build for that processor.",
        blocks=True,
        example={"built": "x86_64", "device": "DGX Spark"},
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
        example={"needed": "13", "first": "580"},
    ),
    Page(
        "alternative-missing",
        "The library for this device is not there",
        "{subject} would load its alternative `{name}` there, and holds only {there}",
        "The package holds several builds of its libraries and loads one of them by the device.",
        "Use a build that holds it.",
        blocks=True,
    ),
    Page(
        "own-compiler-makes",
        "Compiled at run time",
        "It compiles kernels when they are first used: {compiler} makes {kind} for {target}, which loads",
        "What decides is the compiler that the package takes, not the code among its files.",
        harmless=True,
        example={"compiler": "ptxas (CUDA 12.9.86)", "kind": "machine code", "target": "sm_80"},
    ),
    Page(
        "own-compiler-refuses",
        "Its compiler does not know this GPU",
        "It compiles kernels when they are first used: {compiler} is asked for {target}, and does not know it",
        "Each compiler knows the targets of its time. The package asks for one that this compiler does not have, so "
        "every kernel fails when it is first used.",
        "Use a release of the package that takes a compiler for this GPU.",
        example={"compiler": "ptxas-blackwell (CUDA 12.8.61)", "target": "sm_103a"},
    ),
    Page(
        "own-compiler-in-vain",
        "What its compiler makes does not load on this GPU",
        "It compiles kernels when they are first used: {compiler} makes {kind} for {target}: {why}",
        "The package asks its compiler for the newest target that it takes that compiler to know, and the GPU is "
        "another one; or the driver is too old for what this compiler makes.",
        "Use a release of the package that takes a compiler for this GPU, or a driver that loads what this one makes.",
        example={
            "compiler": "nvrtc of CUDA 11.8",
            "kind": "machine code",
            "why": "it does not load",
        },
    ),
    Page(
        "own-compiler-doubtful",
        "Whether what its compiler makes loads is not known",
        "It compiles kernels when they are first used: {compiler} makes {kind} for {target}, and whether that loads "
        "is not known: {why}",
        "The rules for machine code and PTX do not decide for this driver and this GPU.",
        "Try it, or use a driver that is known to load what this compiler makes.",
        example={
            "compiler": "ptxas-blackwell (CUDA 13.4.59)",
            "kind": "machine code",
            "target": "sm_90a",
            "why": "the driver is older",
        },
    ),
    Page(
        "own-compiler-unknown",
        "What its compiler makes is not known",
        "It compiles kernels when they are first used, by {compiler}, and what that makes is not known: {why}",
        "What decides is the compiler that the package takes, not the code among its files.",
        "Name a machine (--system), or try it there.",
        example={"compiler": "nvcc", "why": "it comes with a CUDA toolkit on the machine"},
    ),
    Page(
        "code-in-dependencies",
        "Its GPU code is in other distributions",
        "No GPU code of its own: {names}",
        "Some packages hold none themselves, and require others that do.",
        "Check those.",
        harmless=True,
        example={"names": "jax-cuda12-plugin (with the extra `cuda12`)"},
    ),
    Page(
        "cpu-build",
        "A build for the CPU",
        "{subject} is built for the CPU: {told}",
        "The project publishes builds with and without GPU code under one name, and this is one without.",
        "Install a build for CUDA; for torch, the index https://download.pytorch.org/whl has them.",
        ("pytorch-cuda-init",),
        blocks=True,
        example={"told": "version 2.7.1+cpu"},
    ),
    Page(
        "not-the-product",
        "Files that decide nothing",
        "Also holds: {files} (decide nothing)",
        "GPU code of a profiler, of tests, of a compiler or for a linker is not what people use a package for. It is "
        "listed, and decides nothing.",
        harmless=True,
        example={"files": "12 files of a profiler"},
    ),
)
