"""What is odd about the GPUs themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.doctor.diagnosis import Area, Diagnosis, Evidence, Severity, device_name, device_origin, diagnosis_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.facts import Device, Driver, System

__all__ = ["about_devices"]


def about_devices(system: System, gpus: Sequence[tuple[Device, Driver | None]]) -> Iterator[Diagnosis]:
    """GPUs that are hidden, named but not there, or of several kinds."""
    if system.devices and len(system.fleet) > len(system.devices):
        asked = system.visibility.visible_devices
        yield diagnosis_of(
            "devices-hidden",
            Severity.NOTE,
            Area.DEVICES,
            "devices",
            [Evidence(f"CUDA_VISIBLE_DEVICES={asked}", "environment")] if asked is not None else (),
            command="unset CUDA_VISIBLE_DEVICES" if asked is not None else "nvidia-smi -L",
            visible=len(system.devices),
            total=len(system.fleet),
        )
    by_pci = sorted((device for device in system.devices if device.pci), key=lambda device: device.pci or "")
    if by_pci and len(by_pci) == len(system.devices) and by_pci[0].uuid != system.devices[0].uuid:
        yield diagnosis_of(
            "device-order-differs",
            Severity.WARNING,
            Area.DEVICES,
            "devices",
            [Evidence(f"device {d.ordinal}: {device_name(d)} at {d.pci}", device_origin(d)) for d in system.devices],
            command="export CUDA_DEVICE_ORDER=PCI_BUS_ID",
            cuda=device_name(system.devices[0]),
            nvml=device_name(by_pci[0]),
        )
    found = [device for device, _ in gpus if not device.assumed]
    capabilities = sorted({device.capability for device in found})
    if len(capabilities) > 1:
        yield diagnosis_of(
            "mixed-devices",
            Severity.NOTE,
            Area.DEVICES,
            "devices",
            [Evidence(device_name(device), "driver") for device in found],
            command='export TORCH_CUDA_ARCH_LIST="' + ";".join(map(str, capabilities)) + '"',
            capabilities=" and ".join(map(str, capabilities)),
        )
