"""What a policy allows, held against what occurs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from capably.audit.report import RemarkSeverity, remark_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capably.audit.policy import Allowance
    from capably.audit.report import Remark
    from capably.facts import Device

__all__ = ["Allowances"]


class Allowances:
    """The entries of a policy, and which of them allowed something so far."""

    def __init__(self, entries: Iterable[Allowance]) -> None:
        self._entries = tuple(entries)
        self._used: set[Allowance] = set()

    def about(self, code: str, path: str, device: Device) -> Iterator[Allowance]:
        """The entries that speak of that finding in that library, on that device."""
        return (entry for entry in self._entries if entry.allows(code, path, device))

    def use(self, entry: Allowance) -> None:
        """Note that *entry* allowed something."""
        self._used.add(entry)

    def mark(self, remarks: Iterable[Remark]) -> Iterator[Remark]:
        """*remarks*, those that are allowed on each of their GPUs marked so; entries about kernels have no say here."""
        for remark in remarks:
            devices: list[Device | None] = [gap.device for gap in remark.gaps] or [None]
            reasons: dict[Device | None, str] = {}
            for entry in self._entries:
                spoken = [device for device in devices if entry.allows(remark.code, remark.path, device)]
                if spoken and not entry.kernels:
                    self.use(entry)
                    reasons = {**dict.fromkeys(spoken, entry.reason), **reasons}
            allowed = "; ".join(dict.fromkeys(reasons.values())) if reasons.keys() >= set(devices) else None
            yield replace(remark, allowed=allowed)

    def unused(self) -> Iterator[Remark]:
        """What the policy allows and does not occur any more."""
        for entry in self._entries:
            if entry not in self._used:
                yield remark_of(
                    "allowance-unused", RemarkSeverity.WARNING, "", subject=entry.place, reason=entry.reason
                )
