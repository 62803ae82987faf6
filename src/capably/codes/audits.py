"""Findings of audits: whether a release holds what its project promises."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    Page(
        "gpu-not-covered",
        "A required GPU that nothing is for",
        "nothing in {subject} loads on {device}",
        "The policy requires the GPU, and no fatbin of this library holds machine code or PTX for it and the promised "
        "driver.",
        'Build it for these GPUs: `capably plan --gpu "{asked}"` names the targets. Or allow the gap, with a reason.',
        example={"device": "T4 (7.5)", "asked": "T4"},
    ),
    Page(
        "gpu-partly-covered",
        "A required GPU that some code is not for",
        "some of {subject} does not load on {device}",
        "The policy requires the GPU, and some fatbins of this library hold nothing for it and the promised driver: a "
        "call into them fails when it is made. One file that was compiled with other flags is enough.",
        "Compile these files for the targets of the others; or allow the gap, by library or kernel, with a reason.",
        example={"device": "T4 (7.5)"},
    ),
    Page(
        "gpu-coverage-unknown",
        "A required GPU for which it cannot be told",
        "whether all of {subject} loads on {device} is not decided by what is known",
        "The policy requires the GPU, and the facts about the file, the driver or the device do not decide.",
        "Look at the reasons (`capably check --verbose`); name the driver that is promised; or allow it, with a reason.",
        example={"device": "Jetson Orin (8.7)"},
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
        example={"target": "sm_89", "instead": "devices of 8.9 are served by machine code for other targets"},
    ),
    Page(
        "stray-target",
        "A target that nobody asked for",
        "{subject} also holds {targets} fatbins",
        "Files that are compiled without the flags of the others get the compiler's default, or those of a dependency. "
        "A list for the whole file then promises GPUs that most of it does not serve.",
        "Build without these targets, or add them to `targets` of the policy; or allow them, with a reason.",
        example={"targets": "sm_52 in 1 of 80, compute_52 in 1 of 80"},
    ),
    Page(
        "hole-in-range",
        "A hole in the middle of the range",
        "{subject} serves GPUs from {lowest} to {highest}, but nothing in it loads on {holes}",
        "Machine code carries over inside a major version or family only, and upwards only: a list without the lowest "
        "number of one leaves out its older GPUs.",
        "Add a target for these GPUs, or say in the policy that they are left out.",
        example={"lowest": "7.5", "highest": "12.0", "holes": "A100 (8.0)"},
    ),
    Page(
        "fatbin-behind",
        "Fatbins behind the others",
        "{count} of {total} fatbins in {subject} were not built for {device}, as the others are",
        "Most of the library is for these GPUs and some of it stops at older targets: often a dependency or a file with a "
        "list of its own.",
        "Compile these files for the targets of the others; or allow it, by library, with a reason.",
        example={"total": "80", "device": "RTX 5090 (12.0)"},
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
        example={
            "target": "compute_90a",
            "plain": "compute_90",
            "capability": "9.0",
            "count": "609",
            "total": "609",
            "newer": " (10.0, 10.3, 12.0 among them)",
        },
    ),
    Page(
        "ptx-missing",
        "No PTX for GPUs to come",
        "{count} of {total} fatbins in {subject} hold no PTX that GPUs to come can compile",
        "The policy requires PTX that any newer GPU can compile: without a suffix, in each fatbin.",
        "Add one `compute_` target without a suffix.",
        ("cuda-guide-ptx-compatibility",),
        example={"total": "80"},
    ),
    Page(
        "ptx-shipped",
        "PTX that the policy forbids",
        "{count} of {total} fatbins in {subject} hold PTX",
        "The policy forbids PTX.",
        "Build with `code=sm_…` only (`-real` in CMake, no `+PTX`).",
        example={"total": "80"},
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
        example={
            "targets": "compute_90",
            "problem": "PTX ISA 8.7 is newer than what R550 (CUDA 12.4) compiles (up to 8.4)",
        },
    ),
    Page(
        "compression-beyond-driver",
        "Compressed for newer drivers",
        "{count} images in {subject} ({targets}) cannot be read by the promised driver: {problem}",
        "nvcc 12.8 and later can store code in ways that older drivers do not read.",
        "Build with --compress-mode=speed, or promise a driver of {needs} or newer.",
        example={
            "targets": "sm_90",
            "problem": "the image is compressed with zstd, which R535 (CUDA 12.2) cannot read; the first that can is R550",
        },
    ),
    Page(
        "toolkit-differs",
        "Built by another toolkit",
        "{subject} holds images of other toolkits: {made}, of {total} that note theirs; the policy says {wanted}",
        "Each image notes the compiler that made it. Static libraries of CUDA bring images of their own toolkit.",
        "Build with that toolkit; or name all that are meant, or allow it, with a reason.",
        example={"made": "2 by CUDA 11.8", "total": "80", "wanted": "CUDA 12.8"},
    ),
    Page(
        "toolkit-unknown",
        "No image says what made it",
        "none of {total} images in {subject} says what made it; the policy says {wanted}",
        "Machine code mostly notes the compiler that made it, and PTX never does. NVIDIA strips the notes from its own "
        "libraries.",
        "Allow it, by library, with a reason.",
        example={"total": "80", "wanted": "CUDA 12.8"},
    ),
    Page(
        "other-cuda-major",
        "A library for another CUDA major version",
        "{subject} needs the runtime of {needed}; {wanted}",
        "A process has one torch and one CUDA runtime of a major version; a library for another one does not find its own.",
        "Build it for the CUDA of the policy and of the other libraries; or allow it, with a reason.",
        ("cuda-compatibility-guide",),
        example={"needed": "CUDA 11", "wanted": "the others are of CUDA 12"},
    ),
    Page(
        "identical-copies",
        "The same library several times",
        "{subject} is there {count} times, byte for byte ({copies}): {wasted} too many",
        "Wheels hold no links: each link to a library becomes a copy of it.",
        "Ship it once, under the name that is loaded.",
        example={"count": "3", "copies": "pkg/libx.so.1, pkg/libx.so.1.2", "wasted": "12.4 MB"},
    ),
    Page(
        "size-over-limit",
        "Larger than the policy allows",
        "{subject} is {size}; the policy allows {limit}",
        "Package indexes refuse files above their limit.",
        "Drop targets (`capably plan --policy size`), or compress: nvcc 12.8 and later with --compress-mode=size.",
        example={"size": "438.2 MB", "limit": "400.0 MB"},
    ),
    Page(
        "coverage-lost",
        "A GPU that the older release served better",
        "the coverage of {subject} on {device} is {after}; that of {baseline} was {before}",
        "Fewer fatbins load there than in the release that was compared with.",
        "Build for the targets of the older release; or allow it, with a reason for the release notes.",
        example={
            "subject": "vllm",
            "device": "T4 (7.5)",
            "before": "full",
            "after": "partial (7 of 11)",
            "baseline": "vllm 0.10.2",
        },
    ),
    Page(
        "allowance-unused",
        "Something allowed that does not occur",
        "`{subject}` of the policy allows what does not occur ({reason})",
        "What was a gap once is none any more, or the pattern fits nothing.",
        "Take it out, so that it hides nothing later.",
        example={"subject": "allow[0]", "reason": "FlashAttention 3 is for Hopper"},
    ),
)
