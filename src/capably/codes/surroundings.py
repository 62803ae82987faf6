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
)
