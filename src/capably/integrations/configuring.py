"""Tell a tool which GPUs to compile for, by what it reads from the environment, and say what was found and set.

torch and FlashInfer are not imported for it, and no code of theirs is run: versions are read from what is installed.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.archlist import applying
from capably.codes import FINDINGS
from capably.compat import StrEnum
from capably.escaping import escaped
from capably.facts import Device, Finding, Toolkit, ToolkitKind
from capably.gate import BROKEN
from capably.jit_targets import TOOLS, JitTargets, Unusable, choose_jit_targets

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["ConfigureOutcome", "Configured", "VariableChange", "configure", "installed_version"]


class ConfigureOutcome(StrEnum):
    """What came of it."""

    SET = "set"  # GPUs were found that the tool serves, and it compiles for these
    NONE_USABLE = "none usable"  # GPUs were found, and the tool serves none of them
    NONE_FOUND = "none found"  # no GPU is visible to this process


@dataclass(frozen=True, slots=True)
class VariableChange:
    """A variable before and after; None where it is not set, and equal where it was left alone."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before == self.after:
            return f"{self.name} stays {'unset' if self.after is None else repr(self.after)}"
        return f"{self.name}={self.after!r}, was {'not set' if self.before is None else repr(self.before)}"


@dataclass(frozen=True, slots=True)
class Configured:
    """What was found, what was set, and what was there.

    Attributes:
        outcome: What came of it.
        chosen: What the tool compiles for, which GPUs that serves, which it does not, and why.
        changes: The variables that the tool reads, or its other versions do.
        decided_by: Who said which GPUs there are: ``the GPUs of this process``, ``CAPABLY_GPUS``, or ``nothing``.
        absence: Why no GPU is visible, where that is so.
        imported: What was imported before, so that it may have read the variables already.
    """

    outcome: ConfigureOutcome
    chosen: JitTargets
    changes: tuple[VariableChange, ...]
    decided_by: str
    absence: Finding | None = None
    imported: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[Device, ...]:
        """The GPUs that the tool compiles for."""
        return self.chosen.served

    @property
    def unusable(self) -> tuple[Unusable, ...]:
        """The GPUs that it does not serve, with the reasons."""
        return self.chosen.unusable

    def __str__(self) -> str:
        about = TOOLS[self.chosen.tool]
        name = f"{about.title} {self.chosen.version or ''}".rstrip()
        if self.outcome is ConfigureOutcome.SET:
            numbers = dict.fromkeys(str(device.capability) for device in self.devices)
            head = f"{name} compiles for {', '.join(numbers)}"
        elif self.outcome is ConfigureOutcome.NONE_USABLE:
            head = f"{name}: none usable of the GPUs here"
        else:
            why = self.absence.message if self.absence else "no GPU is visible"
            broken = "the driver fails, " if self.absence is not None and self.absence.code in BROKEN else ""
            head = f"{name}: none found: {broken}{why}"
        lines = [str(change) for change in self.changes]
        for one in self.unusable:
            lines.append(f"{_named(one.device)} is left out: {'; '.join(one.reasons)}")
            lines += [f"  {one.way_out}"] if one.way_out else []
        if self.outcome is ConfigureOutcome.NONE_FOUND and self.absence is not None:
            lines.append(f"what to do: {FINDINGS[self.absence.code].way_out}")
            lines.append(f"more: capably explain {self.absence.code}")
        lines += [f"note: {note}" for note in (*self.chosen.notes, *(_IMPORTED[name] for name in self.imported))]
        return "\n  ".join(map(escaped, (head, *lines)))


def _named(device: Device) -> str:
    number = "a GPU" if device.ordinal is None else f"GPU {device.ordinal}"
    return f"{number}, {device.name} ({device.capability})" if device.name else f"{number} ({device.capability})"


_IMPORTED = {
    "flashinfer": "flashinfer is imported already and has read its list: configure first, or in a new process",
    "torch": "torch is imported already, which does no harm: it reads its list at each build",
}
_ANY_GPU = ">=1.0"
# Every variable by which a version of the tool is told.
_VARIABLES = {
    "flashinfer": ("FLASHINFER_CUDA_ARCH_LIST", "TORCH_CUDA_ARCH_LIST"),
    "torch": ("TORCH_CUDA_ARCH_LIST",),
}


def configure(tool: str, environ: MutableMapping[str, str] | None = None) -> Configured:
    """Make *tool* compile for exactly the GPUs that this process sees and that it can serve.

    Where there is none, nothing is changed. CUDA is not initialised, and the tool is not imported.

    Args:
        tool: A key of `capably.jit_targets.TOOLS`.
        environ: Where to set the variables; by default in this process.

    Raises:
        UnknownNameError: There is no such tool.
        GpuListError: ``CAPABLY_GPUS`` decides, since there is no GPU, and cannot be read.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
    """
    from capably import gate, probe  # noqa: PLC0415 - importing a plugin looks at nothing

    environment = os.environ if environ is None else environ
    # What the tool needs is judged with its compiler. It will start CUDA, so that has to work.
    answer = gate.usable(_ANY_GPU, thorough=True)
    if answer.unread is not None:
        needed = applying(TOOLS[tool].dialect, installed_version(tool)).requires or _ANY_GPU
        gate.usable(needed).require(TOOLS[tool].title)  # raises what is wrong with it
    chosen = choose_jit_targets(
        tool,
        [verdict.device for verdict in answer.verdicts],
        driver=probe.look(thorough=True).driver,
        toolkit=_nvcc() if answer.verdicts else None,
        versions=_versions(tool),
    )
    before = {name: environment.get(name) for name in _VARIABLES[tool]}
    environment.update(chosen.variables)
    outcome = (
        ConfigureOutcome.SET
        if chosen.variables
        else ConfigureOutcome.NONE_USABLE
        if answer.verdicts
        else ConfigureOutcome.NONE_FOUND
    )
    return Configured(
        outcome,
        chosen,
        tuple(VariableChange(name, value, environment.get(name)) for name, value in before.items()),
        answer.decided_by,
        answer.absence,
        tuple(name for name in dict.fromkeys((tool, "torch")) if name in sys.modules),
    )


def _nvcc() -> Toolkit | None:
    """The nvcc that torch would run, and FlashInfer, which looks for it in the same places."""
    from capably import probe  # noqa: PLC0415 - as above

    found = probe.toolkits(only=ToolkitKind.NVCC)
    return next((one for one in found if "torch" in one.used_by), None)


def installed_version(tool: str) -> str | None:
    """The version of *tool* in this environment, without importing it; None where it is not installed."""
    found = _versions(tool)
    return next((found[name] for name in TOOLS[tool].distributions if name in found), None)


@functools.cache
def _versions(tool: str) -> dict[str, str]:
    """The versions that decide in which words the tool is told; nothing is imported for them."""
    from capably.scanner.metadata import installed_versions  # noqa: PLC0415 - slow to import

    found = installed_versions((*TOOLS[tool].distributions, "torch"), sys.path)
    return {name: version for name, version in found.items() if version is not None}
