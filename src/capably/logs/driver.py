"""Causes to do with the driver and with which GPUs are visible: one function for each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.engine import starts
from capably.facts import DriverState
from capably.logs.evidence import UNDECIDED, Facts, State, Tested, excluded, holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


__all__ = [
    "BROKEN",
    "HIDDEN",
    "compat_library",
    "driver_halves",
    "driver_library_not_found",
    "driver_missing",
    "fewer_visible",
    "library_not_there",
    "runtime_newer",
    "said_in_log",
]


def driver_missing(facts: Facts) -> Tested:
    """No driver is installed or loaded."""
    if facts.system is None or facts.system.absence != "no-nvidia-device" or facts.answered is not None:
        return facts.absence("no-driver")
    # No GPU was found; whether there is a driver nevertheless, its parts tell.
    parts = facts.system.driver_state
    if parts.kernel_module is not None:
        return excluded(f"the kernel module {parts.kernel_module} is loaded")
    if (library := parts.library_path or parts.user_library) is not None:
        return State.OPEN, (f"libcuda is there ({library}), and no kernel module is loaded",)
    return facts.absence("no-nvidia-device")


def driver_library_not_found(facts: Facts) -> Tested:
    """Libcuda is not where the program looks."""
    parts = facts.system.driver_state if facts.system else DriverState()
    loads = bool(facts.devices) or parts.error is not None or parts.user_library is not None
    if facts.code == "driver-library" and loads:
        path = f" from {parts.library_path}" if parts.library_path else ""
        return State.OPEN, (f"libcuda loads here{path}: what printed the message looks elsewhere",)
    return facts.absence("driver-library-missing")


def runtime_newer(facts: Facts) -> Tested:
    """The CUDA runtime of a package is newer than the driver."""
    if facts.answered is not None:
        return holds(f"the message says: the driver is of CUDA {facts.answered}", *dict(_runtimes(facts)))
    newest, driver = facts.driver_cuda, facts.driver
    if driver is None or newest is None:
        return UNDECIDED
    runtimes = dict(_runtimes(facts))
    said = f"the driver is of CUDA {newest}"
    newer = [
        name for name, major in runtimes.items() if starts(major, driver, next(iter(facts.devices), None)) is False
    ]
    if newer:
        return holds(said, *newer)
    return State.OPEN, (said, *runtimes)


# Packages that are, or bring, a CUDA runtime of the major version that begins theirs.
_BY_VERSION = ("nvidia-cuda-runtime", "cuda-bindings", "cuda-python")


def _runtimes(facts: Facts) -> Iterator[tuple[str, int]]:
    """CUDA runtimes that are installed, with their major versions."""
    for name in facts.distributions:
        if match := re.fullmatch(r"nvidia-cuda-runtime-cu([0-9]{2})", name):
            yield f"{name} {facts.distributions[name]}", int(match[1])
        elif name in _BY_VERSION and (match := re.match(r"[0-9]{2}(?=\.)", facts.distributions[name])):
            yield f"{name} {facts.distributions[name]}", int(match[0])
        elif name == "torch" and (match := re.search(r"\+cu([0-9]{2})[0-9]", facts.distributions[name])):
            yield f"{name} {facts.distributions[name]}", int(match[1])


def driver_halves(facts: Facts) -> Tested:
    """The library and the kernel module are of different releases."""
    parts = facts.system.driver_state if facts.system else DriverState()
    if parts.kernel_module is None or parts.user_library is None:
        return UNDECIDED
    facts.known.note("driver")
    whose = ", which is that of a package cuda-compat" if parts.compat else ""
    return State.OPEN, (f"kernel module {parts.kernel_module}, libcuda {parts.user_library}{whose}",)


def library_not_there(facts: Facts) -> Tested:
    """A library is missing: which CUDA it is of, and which is installed."""
    if facts.code != "missing-library":
        return said_in_log("missing-library", "cannot open shared object file")(facts)
    wanted = re.search(r"\.so\.([0-9]{2})\b", facts.params.get("library", ""))
    runtimes = dict(_runtimes(facts))
    if wanted is None or not runtimes or int(wanted[1]) in runtimes.values():
        return UNDECIDED
    return State.OPEN, (
        f"{facts.params['library']} is of CUDA {wanted[1]}",
        *(f"installed: {name}" for name in runtimes),
    )


def compat_library(facts: Facts) -> Tested:
    """A forward-compatibility library does not support the GPU."""
    if facts.code == "forward-compat":
        return UNDECIDED
    return facts.absence("forward-compat-unsupported")


def said_in_log(code: str, text: str) -> Callable[[Facts], Tested]:
    """A test that holds where the log has the message *code* too, which reads *text*."""

    def test(facts: Facts) -> Tested:
        return holds(f"the log says: {text}") if code in facts.codes and facts.code != code else UNDECIDED

    return test


def fewer_visible(facts: Facts) -> Tested:
    """Fewer GPUs are visible than the program counts on."""
    if facts.system is None:
        return UNDECIDED
    value = facts.system.visibility.visible_devices
    said = f"CUDA_VISIBLE_DEVICES={value}" if value is not None else "CUDA_VISIBLE_DEVICES is not set"
    return State.OPEN, (f"{len(facts.devices)} visible; {said}",)


BROKEN = (
    "driver-failed",
    "driver-library-mismatch",
    "forward-compat-unsupported",
    "probe-timed-out",
    "probe-crashed",
)
HIDDEN = ("hidden-by-environment", "container-without-devices", "no-nvidia-device")
