"""A list of architectures as one tool reads it, and what the compiler then makes of it on GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.archlist import Reading
from capably.codes import Outcome
from capably.engine import judge
from capably.facts import Device, Driver, Fatbin
from capably.list_output import Spelling
from capably.plan.model import compiled
from capably.tables import tables
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.arch import Target
    from capably.facts import Image

__all__ = ["JudgedList"]


@dataclass(frozen=True, slots=True)
class JudgedList:
    """A list as one tool reads it, and what that does on GPUs.

    Attributes:
        reading: What the tool makes of it.
        version: The version of the tool that was taken, in words.
        origin: Where that comes from, for people.
        variable: Where the list stands.
        ignored: Where the tool takes no notice of it; None where nothing is known.
        devices: The GPUs that are meant.
        toolkit: The compiler; None where none was named: for each target the newest that knows it, then.
        driver: What loads the code; None where none was named: for each GPU the newest that serves it, then.
        lists: The same targets in the words of other tools; empty where the tool stops.
    """

    reading: Reading
    version: str
    origin: str
    variable: str
    ignored: str | None
    devices: tuple[Device, ...]
    toolkit: CudaVersion | None
    driver: Driver | None
    lists: tuple[Spelling, ...] = ()

    def images(self, targets: Iterable[Target]) -> tuple[Image, ...]:
        """What the compiler makes of *targets*; of those that it does not know, nothing."""
        made = []
        for target in targets:
            able = [toolkit.cuda for toolkit in tables().toolkits if toolkit.emits(target)]
            if self.toolkit in able or (self.toolkit is None and able):
                made.append(compiled(target, self.toolkit or able[-1]))
        return tuple(made)

    def outcomes(self, targets: Iterable[Target]) -> tuple[Outcome, ...]:
        """What *targets* together come to on each of the GPUs."""
        images = self.images(targets)
        if not images:
            return tuple(Outcome.FAILS for _ in self.devices)
        verdicts = (
            judge(Fatbin(images), one, self.driver or tables().newest_driver(one.capability)) for one in self.devices
        )
        return tuple(verdict.outcome or Outcome.FAILS for verdict in verdicts)
