"""One record of the machine, out of everything that the other modules look at."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capably.codes import FINDINGS
from capably.facts import Finding, System
from capably.probe.compilers import compiler_findings, find_compilers
from capably.probe.fleet import Look, look, look_in_process
from capably.probe.loaded import initialised_here
from capably.probe.settings import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.probe.machine import Machine

__all__ = ["look_at", "without_driver"]

# Distributions that hold GPU code, make it, or bring the libraries that it needs.
_DISTRIBUTIONS = re.compile(
    r"torch(?:vision|audio|ao)?|triton.*|vllm.*|flash(?:infer|-attn|attn).*|sgl-kernel|sglang.*|bitsandbytes|xformers|"
    r"jax|jaxlib|jax-cuda.*|cupy.*|onnxruntime.*|tensorrt.*|llama-cpp-python|deepspeed|transformer-engine.*|apex|"
    r"tensorflow.*|numba.*|cuda-.*|nvidia-.*|apache-tvm-ffi|tilelang|kernels|capably"
)
_VERSION = re.compile(r"[\w.!+]+", re.ASCII)


def look_at(machine: Machine, *, thorough: bool = True, compilers: bool = True) -> System:
    """Everything about *machine* that decides which GPU code runs on it.

    Args:
        machine: Where to look.
        thorough: Ask the driver even where NVML and the documented rules leave no doubt about the devices.
        compilers: Look for compilers and distributions too.
    """
    found = look(machine, thorough=thorough) if machine.os_name.startswith("linux") else without_driver(machine)
    found = _as_initialised(machine, found)
    located = find_compilers(machine) if compilers else ()
    known = tuple(one.toolkit for one in located)
    system = System(
        machine=machine.processor,
        os=machine.os_name,
        os_release=machine.os_release,
        libc=" ".join(part for part in platform.libc_ver() if part) or None,
        python=platform.python_version(),
        wsl=machine.wsl,
        container=machine.container,
        jetson=machine.jetson,
        driver=found.driver,
        driver_state=found.state,
        devices=found.devices,
        fleet=found.fleet,
        visibility=found.visibility,
        absence=found.absence,
        toolkits=known,
        environment=tuple((name, machine.environ[name]) for name in VARIABLES if name in machine.environ),
        distributions=_distributions(machine) if compilers else (),
        findings=(*found.findings, *compiler_findings(known)),
    )
    return _without_names(system, lambda text: machine.hidden(machine.shown_text(text)))


def _without_names(system: System, hidden: Callable[[str], str]) -> System:
    """*system* without paths and names that are private in what anybody could have written."""
    state, seen = system.driver_state, system.visibility
    path, visible, order = state.library_path, seen.visible_devices, seen.device_order
    return replace(
        system,
        driver_state=replace(state, library_path=None if path is None else hidden(path)),
        visibility=replace(
            seen,
            visible_devices=None if visible is None else hidden(visible),
            device_order=None if order is None else hidden(order),
        ),
        toolkits=tuple(replace(one, path=hidden(one.path)) for one in system.toolkits),
        environment=tuple((name, hidden(value)) for name, value in system.environment),
        distributions=tuple((name, hidden(version)) for name, version in system.distributions),
        findings=tuple(replace(one, path=hidden(one.path), message=hidden(one.message)) for one in system.findings),
    )


def without_driver(machine: Machine) -> Look:
    """What is said where the driver cannot be asked yet: that, and nothing else."""
    from capably.facts import DriverState, Visibility  # noqa: PLC0415 - for other systems only

    message = FINDINGS["platform-not-probed"].message.format(platform=machine.os_name)
    finding = Finding("platform-not-probed", "driver", message)
    environ = machine.environ
    visibility = Visibility(environ.get("CUDA_VISIBLE_DEVICES"), environ.get("CUDA_DEVICE_ORDER"))
    return Look((), (), visibility, DriverState(), absence=finding.code, findings=(finding,))


def _as_initialised(machine: Machine, found: Look) -> Look:
    """*found* as this process sees it: by its own driver, where that is initialised, which has read the variables then."""
    library = initialised_here(machine)
    own = None if library is None else look_in_process(machine, library)
    if own is None:
        return found
    findings = tuple(finding for finding in found.findings if finding.code != found.absence)
    visibility = replace(found.visibility, confidence=own.visibility.confidence, via=own.visibility.via)
    return replace(found, devices=own.devices, visibility=visibility, absence=None, findings=findings)


def _distributions(machine: Machine) -> tuple[tuple[str, str], ...]:
    """Names and versions from the names of the metadata folders; the first on the path wins, as for imports."""
    found: dict[str, str] = {}
    for site in machine.paths:
        folders = []
        with contextlib.suppress(OSError, ValueError), os.scandir(site) as entries:
            folders = [entry for entry in entries if entry.name.endswith(".dist-info")]
        for folder in sorted(folders, key=lambda entry: entry.name):
            stem, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
            name = re.sub(r"[-_.]+", "-", stem).lower()
            if _DISTRIBUTIONS.fullmatch(name) and _VERSION.fullmatch(version) and Path(folder.path).is_dir():
                found.setdefault(name, version)
    return tuple(sorted(found.items()))
