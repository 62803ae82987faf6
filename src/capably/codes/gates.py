"""Findings of the gate: why nothing could be judged, where neither a device nor the driver is what stops it."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    Page(
        "no-gpu-found",
        "No GPU, and nothing that says why",
        "no GPU was found",
        "The recorded machine that stands in for this one has no GPU, and does not say why none is visible.",
        "Record the machine again (`capably doctor --save FILE`).",
    ),
    Page(
        "gpu-list-unreadable",
        "A list that stands in for GPUs cannot be read",
        "{variable} cannot be read: {problem}",
        "A list decides here, in place of GPUs. Nothing is guessed from a text that does not fit its grammar.",
        'Write it so: {variable}="{wanted}".',
        example={"variable": "CAPABLY_GPUS", "problem": "unknown GPU: `RTX 4900`", "wanted": "sm_90,RTX 4090"},
    ),
    Page(
        "gpu-list-missing",
        "No list of what to build for",
        "no list names what to build for",
        "With the policy `build-list` a list decides; where none is set, the GPUs that are here, as the tools do it, or "
        "those that CAPABLY_GPUS names. There is none of the three.",
        'Set one: {variable}="{wanted}".',
        example={"variable": "TORCH_CUDA_ARCH_LIST", "wanted": "8.0 9.0a"},
    ),
    Page(
        "gpu-list-elsewhere",
        "A list that names none of the GPUs that are here",
        "{list} names none of the GPUs of this process",
        'Only the GPUs were to count that the list names (`devices="listed"`), and the list is for others.',
        "Name {capabilities} in {variable}, or take it away.",
        example={"list": "TORCH_CUDA_ARCH_LIST='8.0'", "variable": "TORCH_CUDA_ARCH_LIST", "capabilities": "7.0"},
    ),
)
