"""Recorded machines as what commands judge: their packages stand for those of an environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.check import Gpu
from capably.cli.artifacts import NoArtifactError
from capably.facts import Artifact, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capably.errors import CapablyError

__all__ = ["NamedRecord", "Run", "record_of"]


_NAME = re.compile(r"[A-Za-z0-9](?:[\w-]|\.(?!whl|so))*")
"""Of a package; a file that is not there is told of as such."""


@dataclass(frozen=True, slots=True)
class NamedRecord:
    """A record, and the file that holds it, as it was named."""

    name: str
    record: Record

    @property
    def packages(self) -> dict[str, Artifact] | None:
        """Those with GPU code or with damage, by name; None where nobody looked."""
        if self.record.packages is None:
            return None
        from capably.facts import DAMAGE  # noqa: PLC0415 - see capably.cli.app

        kept = (one.artifact for one in self.record.packages)
        return {
            one.name or one.path: one
            for one in kept
            if one.libraries or any(finding.code in DAMAGE for finding in one.findings)
        }

    def find(
        self,
        asked: tuple[str, ...],
        read: Callable[[tuple[str, ...]], Sequence[tuple[str, Artifact]]],
        report: Callable[[str, CapablyError], None],
    ) -> list[tuple[str, Artifact]]:
        """What *asked* names on that machine; all its packages without any.

        Args:
            asked: Names of packages of the record, paths, or ``name==version``.
            read: Reads what is no package of the record.
            report: Is told of a name that nothing is called there.
        """
        if not asked:
            return list((self.packages or {}).items())
        if self.record.packages is None or any(text.startswith("==") or text.endswith("==") for text in asked):
            return list(read(asked))
        kept = {one.artifact.name or "": one.artifact for one in self.record.packages}
        found: list[tuple[str, Artifact]] = []
        for text in asked:
            name, _, version = text.partition("==")
            artifact = kept.get(re.sub("[._-]+", "-", name).lower())
            there = os.path.exists(text)  # noqa: PTH110 - importing pathlib takes 3 ms
            if not there and artifact is not None and version in ("", artifact.version):
                found.append((text, artifact))
            elif there or not _NAME.fullmatch(text):
                found += read((text,))
            else:
                report(text, _not_there(text, kept, self.name))
        return found


@dataclass(frozen=True, slots=True)
class Run:
    """What is judged on one machine: packages by the names under which they were asked for, on its GPUs."""

    record: NamedRecord | None
    columns: tuple[Gpu, ...]
    found: list[tuple[str, Artifact]]


def _not_there(text: str, kept: dict[str, Artifact], record: str) -> NoArtifactError:
    import difflib  # noqa: PLC0415 - for mistakes

    error = NoArtifactError(text, tuple(difflib.get_close_matches(text.lower(), kept, n=2, cutoff=0.7)))
    error.add_note(f"looked at the {len(kept)} packages of {record}; `{text}==VERSION` fetches a release")
    return error


def record_of(path: str) -> NamedRecord:
    """The record that a file holds.

    Raises:
        RecordError: See `capably.probe.load_record`.
    """
    from capably import probe  # noqa: PLC0415 - see capably.cli.app

    return NamedRecord(path, probe.load_record(path))
