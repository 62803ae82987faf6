"""The devices: what the driver libraries said, joined by UUID, and what this process would see of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from capably.arch import ComputeCapability
from capably.codes import FINDINGS
from capably.errors import ParseError
from capably.facts import Confidence, Device, Driver, DriverState, Finding, Visibility
from capably.probe.driver_process import Answers, ask_drivers
from capably.probe.settings import jit_setting
from capably.probe.visible import Seen, alike, by_pci, parse_visible
from capably.version import CudaVersion, DriverRelease

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterable
    from typing import Any

    from capably.facts import PtxJit
    from capably.probe.driver_process import Asking, Failure
    from capably.probe.machine import Machine

__all__ = ["Look", "look", "look_in_process"]

_RELEASE = re.compile(r"\.so\.([0-9]{3,4}\.[0-9]+(?:\.[0-9]+)?)$")
# Causes that may be gone at the next call, so nothing is remembered of a look that ended in one.
_PASSING = frozenset({"probe-timed-out", "probe-crashed", "probe-failed", "driver-failed"})
_SLICE = re.compile(r"\bMIG (\S+)")


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the devices found.

    Attributes:
        devices: Those that this process would see, as CUDA numbers them.
        fleet: All that NVML lists; those that CUDA sees where there is no NVML.
        visibility: What decided between the two.
        state: How the parts of the driver are.
        driver: What would load code; None where none is installed, or none answers.
        absence: Code of the finding that says why no device is visible; None where one is.
        findings: That one first.
    """

    devices: tuple[Device, ...]
    fleet: tuple[Device, ...]
    visibility: Visibility
    state: DriverState
    driver: Driver | None = None
    absence: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def lasting(self) -> bool:
        """Whether the same may be said at the next call: a slow or broken driver may answer then."""
        return self.absence not in _PASSING


def look(machine: Machine, *, thorough: bool, asking: Asking | Failure | None = None) -> Look:
    """The devices of *machine*.

    Args:
        machine: Where to look.
        thorough: Ask the driver even where NVML and the documented rules leave no doubt about the devices.
        asking: What `capably.probe.driver_process.start` gave, where it was called already.
    """
    order = machine.environ.get("CUDA_DEVICE_ORDER")
    value = machine.environ.get("CUDA_VISIBLE_DEVICES")
    answers = ask_drivers(machine, lambda so_far: thorough or _in_doubt(machine, so_far, value, order), asking)
    if _needs_unhidden(answers, value):
        # The driver sees nothing and nobody else can count: what would it see if nothing were hidden?
        bare = replace(machine, environ={k: v for k, v in machine.environ.items() if k != "CUDA_VISIBLE_DEVICES"})
        unhidden = ask_drivers(bare, lambda _: True)
        everything = _from_cuda((unhidden.cuda or {}).get("devices", ()), ())
        unanswered = unhidden.failures[-1:] if unhidden.cuda is None else ()
    else:
        everything = ()
        unanswered = answers.failures[-1:] if answers.cuda is None else ()
    inventory = _from_nvml((answers.nvml or {}).get("devices", ()))
    findings: list[Finding] = []
    if answers.cuda is not None:
        devices = _from_cuda(answers.cuda["devices"], inventory)
        seen = Seen(devices, Confidence.EXACT)
        findings += _disagreements(answers.cuda["devices"], inventory)
        by_rules = parse_visible(value, inventory, order)
        # Where the driver sees something else than the rules say, what they have to say is no finding.
        if {device.uuid for device in by_rules.devices} == {device.uuid for device in devices}:
            findings += by_rules.findings if inventory else ()
        via = "cuda"
    else:
        blocked = bool(answers.failures) or _library_missing(answers)
        seen = Seen((), Confidence.ASSUMED) if blocked else parse_visible(value, inventory, order)
        findings += seen.findings
        via = "rules"
    fleet = inventory or everything or tuple(replace(device, ordinal=None) for device in seen.devices)
    state = _state(machine, answers)
    absence = None
    if not seen.devices:
        cause = _unasked(machine, *unanswered) if unanswered else _absence(machine, answers, state, hidden=bool(fleet))
        absence = cause.code
        findings.insert(0, cause)
    findings += _about_driver(state, absence)
    return Look(
        seen.devices,
        by_pci(fleet),
        Visibility(value, order, seen.confidence, via),
        state,
        _driver(state, jit_setting(machine.environ)),
        absence,
        tuple(dict.fromkeys(findings)),
    )


def _library_missing(answers: Answers) -> bool:
    return answers.library is None or not answers.library["found"]


def _in_doubt(machine: Machine, so_far: Answers, value: str | None, order: str | None) -> bool:
    """Whether only the driver can say what this process sees, or whether it starts at all."""
    nvml = so_far.nvml
    if not nvml or nvml.get("error") or not nvml.get("devices") or nvml.get("refused"):
        return True
    fleet = _from_nvml(nvml["devices"])
    if len(fleet) < len(nvml["devices"]) or _compat_likely(machine) or _may_not_start(machine, so_far):
        return True
    seen = parse_visible(value, fleet, order)
    if seen.confidence is not Confidence.ASSUMED:
        return False
    # Among equal products the order is an assumption that changes no answer about code; anything else is a doubt.
    in_order = parse_visible(value, fleet, "PCI_BUS_ID")
    return in_order.confidence is Confidence.ASSUMED or not alike(fleet)


def _compat_likely(machine: Machine) -> bool:
    """A forward-compatibility package may stand before the driver's own library; whether it works, cuInit says."""
    return "compat" in machine.environ.get("LD_LIBRARY_PATH", "") or machine.exists("/usr/local/cuda/compat")


def _may_not_start(machine: Machine, so_far: Answers) -> bool:
    """The library is of another release than the kernel module, or a container brings its own: cuInit fails then."""
    named = _RELEASE.search((so_far.library or {}).get("file") or "")
    library = _release(named[1]) if named else None
    kernel = _release(machine.kernel_module) or _release((so_far.nvml or {}).get("release"))
    return (library is not None and kernel is not None and library != kernel) or machine.container is not None


def _needs_unhidden(answers: Answers, value: str | None) -> bool:
    nvml = answers.nvml or {}
    return (
        value is not None
        and not nvml.get("devices")
        and answers.cuda is not None
        and not answers.cuda["devices"]
        and answers.cuda["error"] in (0, 100)
    )


# -- one device


def _capability(pair: Any) -> ComputeCapability | None:  # noqa: ANN401 - JSON
    try:
        return ComputeCapability(*pair) if pair else None
    except ValueError:
        return None


def _uuid_digits(uuid: str | None) -> str:
    return re.sub(r"[^0-9a-f]", "", (uuid or "").lower().removeprefix("mig-").removeprefix("gpu-"))


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _profile(name: str | None) -> str | None:
    found = _SLICE.search(name or "")
    return found[1] if found else None


def _from_nvml(devices: Iterable[dict[str, Any]]) -> tuple[Device, ...]:
    """The inventory: every GPU, and behind each its slices."""
    found: list[Device] = []
    for told in devices:
        capability = _capability(told["capability"])
        if capability is None:
            continue
        whole = Device(
            capability,
            told["name"],
            uuid=told["uuid"],
            pci=told["pci"],
            memory_bytes=told["memory"],
            mig_mode=told["mig"],
            via="nvml",
        )
        found.append(whole)
        found += [
            replace(
                whole,
                name=part["name"] or told["name"],
                uuid=part["uuid"],
                memory_bytes=part["memory"],
                mig_mode=None,
                mig_profile=_profile(part["name"]) or "unknown",
            )
            for part in told["slices"]
        ]
    return tuple(found)


def _from_cuda(devices: Iterable[dict[str, Any]], inventory: Iterable[Device]) -> tuple[Device, ...]:
    """What the driver sees, in its order; what it does not tell is taken from the inventory, by UUID."""
    known = {_uuid_digits(device.uuid): device for device in inventory}
    found = []
    for ordinal, told in enumerate(devices):
        capability = _capability(told["capability"])
        if capability is None:
            continue
        other = known.get(told["uuid"] or "")
        profile = _profile(told["name"]) or (other.mig_profile if other else None)
        uuid = f"{'MIG' if profile else 'GPU'}-{_dashed(told['uuid'])}" if told["uuid"] else None
        found.append(
            Device(
                capability,
                told["name"] or (other.name if other else None),
                ordinal=ordinal,
                uuid=other.uuid if other else uuid,
                pci=told["pci"] or (other.pci if other else None),
                memory_bytes=told["memory"] or (other.memory_bytes if other else None),
                multiprocessors=told["multiprocessors"],
                integrated=told["integrated"],
                mig_mode=other.mig_mode if other else None,
                mig_profile=profile,
                via="cuda+nvml" if other else "cuda",
                confidence=Confidence.EXACT,
            )
        )
    return tuple(found)


def _disagreements(devices: Iterable[dict[str, Any]], inventory: Iterable[Device]) -> list[Finding]:
    """Where NVML names another capability than the driver; the driver is the one that loads code."""
    known = {_uuid_digits(device.uuid): device for device in inventory}
    found = []
    for told in devices:
        other = known.get(told["uuid"] or "")
        capability = _capability(told["capability"])
        if other is not None and capability is not None and other.capability != capability:
            found.append(
                _finding("capability-disagreement", device=told["name"], cuda=capability, nvml=other.capability)
            )
    return found


# -- the driver


def _finding(code: str, path: str = "driver", **params: object) -> Finding:
    return Finding(code, path, FINDINGS[code].message.format_map(params))


def _release(text: str | None) -> DriverRelease | None:
    try:
        return DriverRelease.parse(text) if text else None
    except ParseError:
        return None


def _state(machine: Machine, answers: Answers) -> DriverState:
    library = answers.library or {}
    file = library.get("file")
    named = _RELEASE.search(file or "")
    version = library.get("version")
    nvml = answers.nvml or {}
    cuda = answers.cuda or {}
    return DriverState(
        kernel_module=_release(machine.kernel_module),
        user_library=_release(named[1]) if named else None,
        cuda=CudaVersion(version // 1000, version % 1000 // 10) if version else None,
        library_path=machine.shown(file) if file else None,
        nvml=_release(nvml.get("release")),
        compat="/compat/" in (file or "") or bool(re.search(r"/cuda-compat[^/]*/", file or "")),
        error=cuda.get("error") or None,
        nvml_error=nvml.get("error") or None,
        nodes=machine.nodes,
        on_bus=None if machine.wsl or machine.jetson else machine.on_bus,
    )


def _driver(state: DriverState, jit: PtxJit) -> Driver | None:
    """The kernel module's release decides about devices, the user library's CUDA version about PTX."""
    release = state.kernel_module or state.nvml or state.user_library
    return None if release is None and state.cuda is None else Driver(release, state.cuda, jit=jit)


def _about_driver(state: DriverState, absence: str | None) -> list[Finding]:
    """What is odd about the driver, beside the cause of an absence."""
    found = []
    if state.compat and absence != "forward-compat-unsupported":
        found.append(
            _finding(
                "forward-compat-in-use",
                library=state.library_path,
                release=state.user_library or "another release",
                kernel=state.kernel_module or state.nvml or "another",
            )
        )
    elif (
        state.kernel_module and state.user_library and state.kernel_module != state.user_library and state.error != 803
    ):
        found.append(_finding("driver-parts-differ", user=state.user_library, kernel=state.kernel_module))
    return found


_CUDA_ERRORS = {
    1: "CUDA_ERROR_INVALID_VALUE",
    2: "CUDA_ERROR_OUT_OF_MEMORY",
    3: "CUDA_ERROR_NOT_INITIALIZED",
    34: "CUDA_ERROR_STUB_LIBRARY",
    46: "CUDA_ERROR_DEVICE_UNAVAILABLE",
    100: "CUDA_ERROR_NO_DEVICE",
    101: "CUDA_ERROR_INVALID_DEVICE",
    304: "CUDA_ERROR_OPERATING_SYSTEM",
    802: "CUDA_ERROR_SYSTEM_NOT_READY",
    803: "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
    804: "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
    999: "CUDA_ERROR_UNKNOWN",
}
_NO_DEVICE = 100


def _unasked(machine: Machine, failure: Failure) -> Finding:
    """Why nobody knows whether a device is visible."""
    call, what = failure.call, failure.what
    return _finding(failure.code, call=call, what=what, problem=what, seconds=f"{machine.patience:g}")


def _absence(machine: Machine, answers: Answers, state: DriverState, *, hidden: bool) -> Finding:
    """Why no device is visible: the cause that holds, told apart by what the kernel and the libraries show."""
    value = machine.environ.get("CUDA_VISIBLE_DEVICES")
    error = state.error
    if error == 803:
        user = state.user_library or "another release"
        return _finding("driver-library-mismatch", user=user, kernel=state.kernel_module or state.nvml or "another")
    if error == 804:
        kernel = state.kernel_module or state.nvml or "its release"
        return _finding("forward-compat-unsupported", library=state.library_path or "libcuda", kernel=kernel)
    missing = _library_missing(answers)
    listed = bool((answers.nvml or {}).get("devices"))  # also what the kernel does not show here, as in a sandbox
    loaded = listed or machine.kernel_module is not None
    if hidden and value is not None and error in (None, _NO_DEVICE) and not missing:
        return _finding("hidden-by-environment", value=value)
    if error not in (None, _NO_DEVICE):
        # Without the kernel module, cuInit says 100, 999 or 304, by release: the module is the cause.
        if not loaded and not (machine.wsl or machine.jetson) and error in (304, 999):
            return _nothing_loaded(state)
        return _finding("driver-failed", error=error, name=_CUDA_ERRORS.get(error or 0, "an error"))
    if missing and listed:
        return _missing(answers)
    if machine.wsl or machine.jetson:
        if not state.nodes:
            return _finding("container-without-devices" if machine.container else "no-driver", count="the")
        return _missing(answers) if missing else _finding("driver-failed", error=error or 0, name="no device")
    if machine.container and not state.nodes and machine.kernel_module is not None:
        return _finding("container-without-devices", count=state.on_bus or "the")
    if not loaded:
        # A driver that nevertheless answers "no device" has nothing to look at, whatever the bus shows.
        return _nothing_loaded(state)
    if missing:
        return _missing(answers)
    if state.on_bus == 0 and not listed:
        return _finding("no-nvidia-device")
    return _finding("driver-failed", error=error or 0, name=_CUDA_ERRORS[_NO_DEVICE] if error else "no device")


def _nothing_loaded(state: DriverState) -> Finding:
    if state.on_bus:
        return _finding("no-driver", count=state.on_bus)
    return _finding("no-nvidia-device")


def _missing(answers: Answers) -> Finding:
    library = answers.library or {}
    return _finding("driver-library-missing", problem=library.get("problem") or "it was not looked for")


# -- a driver that this process uses already


def look_in_process(machine: Machine, library: ctypes.CDLL) -> Look | None:
    """The devices by a driver that is initialised in this process: what it sees is what counts.

    Returns:
        None where it sees none; `look` says why.
    """
    from capably.probe import child  # noqa: PLC0415 - it loads ctypes, which a process with a driver has anyway

    devices = _from_cuda(child.ask_devices(library)["devices"], ())
    if not devices:
        return None
    version = child.driver_version(library)
    state = DriverState(
        kernel_module=_release(machine.kernel_module),
        cuda=CudaVersion(version // 1000, version % 1000 // 10) if version else None,
    )
    order, value = (machine.environ.get(name) for name in ("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES"))
    fleet = tuple(replace(device, ordinal=None) for device in devices)
    visibility = Visibility(value, order, Confidence.EXACT, "cuda")
    return Look(devices, fleet, visibility, state, _driver(state, jit_setting(machine.environ)))
