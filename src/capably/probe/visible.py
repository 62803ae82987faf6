"""``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` by CUDA's rules. Pure: settings in, devices out.

What NVIDIA documents is `PARSED`; what is known from other parsers only, or what nobody documents, is
`ASSUMED`, and the probe asks the driver instead where it can.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from capably.codes import FINDINGS
from capably.facts import Confidence, Device, Finding

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Seen", "alike", "by_pci", "cuda_order", "parse_visible"]

_VARIABLE = "CUDA_VISIBLE_DEVICES"
_NUMBER = re.compile(r"([+-]?)0*([0-9]{1,18})")  # the first digits of longer ones are large enough to be none
# Values of the container toolkit's NVIDIA_VISIBLE_DEVICES that end up in the wrong variable.
_OF_CONTAINERS = frozenset({"all", "none", "void"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process would see.

    Attributes:
        devices: In CUDA's order, numbered.
        confidence: Of the list.
        findings: What is odd about the settings.
    """

    devices: tuple[Device, ...]
    confidence: Confidence
    findings: tuple[Finding, ...] = ()


def by_pci(fleet: Sequence[Device]) -> tuple[Device, ...]:
    """*fleet* as ``PCI_BUS_ID`` orders it: by domain, bus and device, whatever NVML's index says."""
    return tuple(sorted(fleet, key=lambda device: (device.pci is None, device.pci or "", device.mig_profile or "")))


def alike(fleet: Sequence[Device]) -> bool:
    """All are the same product, so that their order is of no consequence but for their names."""
    return len({(device.capability, device.name, device.memory_bytes) for device in fleet}) <= 1


def cuda_order(fleet: Sequence[Device], device_order: str | None) -> tuple[tuple[Device, ...], Confidence]:
    """*fleet* in the order in which CUDA counts, and how sure that is.

    The default, ``FASTEST_FIRST``, is the driver's own judgement: for different products it is a guess here,
    and for equal ones the order among them is not documented either.
    """
    ordered = by_pci(fleet)
    if device_order == "PCI_BUS_ID" or len(fleet) <= 1:
        return ordered, Confidence.PARSED
    return ordered, Confidence.ASSUMED


def parse_visible(value: str | None, fleet: Sequence[Device], device_order: str | None = None) -> Seen:
    """What a process with this value of ``CUDA_VISIBLE_DEVICES`` sees of *fleet*.

    Args:
        value: None where the variable is not set.
        fleet: Every GPU, and behind a partitioned one its slices (devices with a `mig_profile`).
        device_order: ``CUDA_DEVICE_ORDER``; None where it is not set.
    """
    slices = [device for device in fleet if _is_slice(device)]
    whole = [device for device in fleet if not _is_slice(device)]
    ordered, order = cuda_order(whole, device_order)
    if slices or any(device.mig_mode for device in whole):
        return _with_slices(value, ordered, slices)
    if value is None:
        return Seen(_numbered(ordered, order), order)
    tokens = value.split(",")
    if not value:
        return Seen((), Confidence.PARSED)
    first = tokens[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        chosen, confidence, findings = _by_uuid(tokens, ordered)
    else:
        chosen, confidence, findings = _by_number(tokens, ordered)
        confidence = max(confidence, order if chosen else Confidence.PARSED, key=_doubt)
    return Seen(_numbered(chosen, confidence), confidence, tuple(findings))


def _doubt(confidence: Confidence) -> int:
    return list(Confidence).index(confidence)


def _is_slice(device: Device) -> bool:
    return device.mig_profile is not None or (device.uuid or "").startswith("MIG-")


def _numbered(devices: Sequence[Device], confidence: Confidence) -> tuple[Device, ...]:
    return tuple(replace(device, ordinal=index, confidence=confidence) for index, device in enumerate(devices))


def _finding(code: str, **params: object) -> Finding:
    return Finding(code, _VARIABLE, FINDINGS[code].message.format_map(params))


_Chosen = tuple[list[Device], Confidence, list[Finding]]


def _by_number(tokens: Sequence[str], ordered: Sequence[Device]) -> _Chosen:
    """Integers, read as C reads them: sign and digits, the rest of the entry does not count."""
    chosen: list[Device] = []
    findings: list[Finding] = []
    confidence = Confidence.PARSED
    for token in tokens:
        number = _NUMBER.match(token.strip())
        index = int(number[1] + number[2]) if number else -1
        if number is None or not 0 <= index < len(ordered):
            if token.strip() in _OF_CONTAINERS:
                findings.append(_finding("visible-value-of-containers", entry=token.strip()))
            elif token.strip() or len(tokens) == 1:
                findings.append(_finding("visible-entry-invalid", entry=token, kept=len(chosen)))
            if token.strip().upper().startswith(("GPU-", "MIG-")) or not token.strip():
                confidence = (
                    Confidence.ASSUMED
                )  # whether kinds may mix, case counts or an end may be open is not documented
            break
        if not re.fullmatch("[0-9]+", token):
            confidence = Confidence.ASSUMED  # how lenient the driver is, is not documented
        chosen.append(ordered[index])
    return _without_duplicates(tokens, chosen, confidence, findings)


def _by_uuid(tokens: Sequence[str], ordered: Sequence[Device]) -> _Chosen:
    """UUIDs, or beginnings of them that fit one device only."""
    chosen: list[Device] = []
    findings: list[Finding] = []
    confidence = Confidence.PARSED
    for token in tokens:
        matches = [device for device in ordered if (device.uuid or "").startswith(token)] if token[:4] == "GPU-" else []
        if len(matches) != 1 or len(token) == len("GPU-"):
            findings.append(_finding("visible-entry-invalid", entry=token, kept=len(chosen)))
            if token != token.strip() or _NUMBER.match(token.strip()):
                confidence = Confidence.ASSUMED  # whether spaces count, or kinds may mix, is not documented
            if len(matches) == 1:
                confidence = Confidence.ASSUMED  # nor whether nothing is the beginning of the only one
            folded = token.strip().casefold()
            if any((device.uuid or "").casefold().startswith(folded) for device in ordered if folded) and not matches:
                confidence = Confidence.ASSUMED  # nor whether case does
            break
        chosen.append(matches[0])
    return _without_duplicates(tokens, chosen, confidence, findings)


def _without_duplicates(
    tokens: Sequence[str], chosen: list[Device], confidence: Confidence, findings: list[Finding]
) -> _Chosen:
    """A device named twice empties the list; not documented, but what every other parser found."""
    if len({id(device) for device in chosen}) != len(chosen):
        return [], Confidence.ASSUMED, [*findings, _finding("visible-duplicate")]
    plain = [token.strip() for token in tokens]
    if len(set(plain)) != len(plain) and findings:
        confidence = Confidence.ASSUMED  # whether a duplicate behind an invalid entry counts depends on who looks first
    return chosen, confidence, findings


def _with_slices(value: str | None, ordered: Sequence[Device], slices: Sequence[Device]) -> Seen:
    """With partitioned GPUs a process sees one slice, and no whole GPU beside it."""
    if value == "":
        return Seen((), Confidence.PARSED)
    if value is None or not value.startswith(("MIG-", "GPU-")):
        whole = [device for device in ordered if not device.mig_mode]
        found = list(slices[:1]) or whole
        return Seen(_numbered(found, Confidence.ASSUMED), Confidence.ASSUMED, _about_slices(slices, whole))
    first, *others = value.split(",")
    if first.startswith("GPU-"):
        plain = [device for device in ordered if not device.mig_mode]
        chosen, _, findings = _by_uuid([first, *others], plain)
        return Seen(_numbered(chosen, Confidence.ASSUMED), Confidence.ASSUMED, tuple(findings))
    matches = [device for device in slices if device.uuid == first]
    if not matches:
        old = first.startswith("MIG-GPU-")  # MIG-GPU-<uuid>/<instance>/<instance>: which slice, only the driver knows
        sure = Confidence.ASSUMED if old or any((d.uuid or "").startswith(first) for d in slices) else Confidence.PARSED
        return Seen((), sure, (_finding("visible-entry-invalid", entry=first, kept=0),))
    findings = [_finding("mig-first-only", hidden=len(others))] if others else []
    return Seen(_numbered(matches, Confidence.PARSED), Confidence.PARSED, tuple(findings))


def _about_slices(slices: Sequence[Device], whole: Sequence[Device]) -> tuple[Finding, ...]:
    hidden = len(slices) - 1 + (len(whole) if slices else 0)
    return (_finding("mig-first-only", hidden=hidden),) if hidden > 0 else ()
