"""What is wrong with the driver, and what the probe noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.codes import FINDINGS
from capably.doctor.diagnosis import Area, Diagnosis, Evidence, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.facts import Device, Driver, Finding, System

__all__ = ["about_driver"]

# There is nothing to mend where a machine has no GPU, or where GPUs are not looked for.
_NO_FAULT = frozenset({"no-nvidia-device", "platform-not-probed"})
_COMMANDS = {
    "no-nvidia-device": "lspci -d 10de:",
    "no-driver": "sudo modprobe nvidia; sudo dmesg | grep -i nvrm",
    "driver-library-missing": "sudo ldconfig; ldconfig -p | grep libcuda",
    "driver-failed": "nvidia-smi; sudo dmesg | grep -i nvrm",
    "driver-library-mismatch": "sudo reboot",
    "driver-parts-differ": "sudo reboot",
    "forward-compat-unsupported": "ldconfig -p | grep libcuda; echo $LD_LIBRARY_PATH",
    "hidden-by-environment": "unset CUDA_VISIBLE_DEVICES",
    "visible-entry-invalid": "nvidia-smi -L",
    "visible-duplicate": "unset CUDA_VISIBLE_DEVICES",
    "visible-value-of-containers": "unset CUDA_VISIBLE_DEVICES",
    "container-without-devices": "docker run --gpus all ...",
    "probe-timed-out": "sudo dmesg | grep -i nvrm",
    "probe-crashed": "nvidia-smi",
}
# Nobody reboots a host from within a container; there it is the image that brings the wrong half.
_IN_CONTAINER = dict.fromkeys(
    ("driver-library-mismatch", "driver-parts-differ"),
    "ldconfig -p | grep libcuda; cat /proc/driver/nvidia/version",
)
_BY_PARTS = frozenset({"driver-library-mismatch", "forward-compat-unsupported"})
_COMPILER_FINDINGS = frozenset({"toolkits-disagree", "compiler-silent", "compiler-not-run"})
_NOTES = frozenset({"forward-compat-in-use", "mig-first-only"})


def about_driver(system: System, gpus: Sequence[tuple[Device, Driver | None]]) -> Iterator[Diagnosis]:
    """What the probe found, with what shows it and a command."""
    named = bool(gpus) and all(device.assumed for device, _ in gpus)
    for finding in system.findings:
        if finding.code == "driver-parts-differ" and system.absence in _BY_PARTS:
            continue  # the same once more, with a way out that is not that of the cause
        page = FINDINGS.get(finding.code)
        severity = Severity.WARNING
        if finding.code in _NO_FAULT | _NOTES:
            severity = Severity.NOTE
        elif finding.code == system.absence:
            # Whoever asks about other GPUs does not need those of this machine.
            severity = Severity.WARNING if named else Severity.ERROR
        yield Diagnosis(
            finding.code,
            severity,
            Area.COMPILER if finding.code in _COMPILER_FINDINGS else Area.DRIVER,
            finding.path,
            finding.message,
            tuple(_driver_evidence(system, finding)),
            # Those of the probe have no parameters in what they advise.
            page.way_out if page else "",
            (_IN_CONTAINER if system.container else {}).get(finding.code) or _COMMANDS.get(finding.code),
            sources=page.sources if page else (),
        )


def _driver_evidence(system: System, finding: Finding) -> Iterator[Evidence]:
    if finding.code in _COMPILER_FINDINGS:
        return
    visible = system.visibility.visible_devices
    if finding.code.startswith("visible-") and visible is not None:
        yield Evidence(f"CUDA_VISIBLE_DEVICES={visible}", "environment")
        return
    state = system.driver_state
    if state.on_bus is not None:
        count = f"{state.on_bus} NVIDIA GPU{'' if state.on_bus == 1 else 's'}"
        yield Evidence(f"{count} on the bus", "/sys/bus/pci/devices")
    if state.kernel_module is not None:
        yield Evidence(f"kernel module {state.kernel_module}", "/proc/driver/nvidia/version")
    if state.library_path is not None:
        release = f" of {state.user_library}" if state.user_library else ""
        yield Evidence(f"libcuda{release}", state.library_path)
    if state.error is not None:
        yield Evidence(f"error {state.error}", "cuInit")
    if visible is not None:
        yield Evidence(f"CUDA_VISIBLE_DEVICES={visible}", "environment")
    if system.container is not None:
        yield Evidence(f"inside a container ({system.container})", "marks of its runtime")
