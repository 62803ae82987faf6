"""What ``capably check`` found: artifacts by GPUs. The JSON and the text are both made from this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.codes import FINDINGS
from capably.engine import Coverage, OutcomeCounts, Verdict, choose, judge
from capably.facts import Artifact, Device, Driver, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Answer", "Gpu", "Result", "Row", "judge_all", "word"]


# These say already why there is nothing to judge.
_SAID = frozenset({"no-gpu-code", "alternative-missing"})


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device and the driver that is taken to serve it."""

    device: Device
    driver: Driver


@dataclass(frozen=True, slots=True)
class Result:
    """One artifact, or one alternative of it, on one GPU.

    Attributes:
        gpu: Index into `Answer.gpus`.
        artifact: Reduced to the libraries of the alternative.
        verdict: Of the engine.
    """

    gpu: int
    artifact: Artifact
    verdict: Verdict

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those of the verdict, and why there was nothing to judge where that was so."""
        found = self.verdict.findings
        if self.verdict.coverage is not None or any(finding.code in _SAID for finding in found):
            return found
        return (*found, Finding("no-gpu-code", self.artifact.path, _nothing(self.artifact)))

    @property
    def local(self) -> tuple[Finding, ...]:
        """The findings about this GPU and its driver; the others are about the artifact, wherever it goes."""
        return tuple(
            finding
            for finding in self.verdict.findings
            if finding in self.blocked or finding not in self.artifact.findings
        )

    @property
    def blocked(self) -> tuple[Finding, ...]:
        """Why nothing of it is of use there, whatever the GPU code says; empty where that is not so."""
        return tuple(f for f in self.verdict.findings if f.code in FINDINGS and FINDINGS[f.code].blocks)

    @property
    def unread(self) -> tuple[Finding, ...]:
        """What was not read, so that there may be more GPU code than was judged."""
        return tuple(f for f in self.verdict.findings if f.code in FINDINGS and FINDINGS[f.code].hides)


def _nothing(artifact: Artifact) -> str:
    if not artifact.libraries:
        files = "the file" if artifact.files == 1 else f"{artifact.files} files"
        return f"no GPU code found in {files}"
    if any(library.link_input for library in artifact.libraries):
        return "only relocatable GPU code, which is input for the linker: there is nothing that a driver loads"
    if any(library.fatbins for library in artifact.libraries):
        return "GPU code without any kernel: there is nothing to judge"
    return "GPU code outside of any container that a driver loads: it is listed, not judged"


def word(counts: OutcomeCounts, coverage: Coverage | None = None) -> str:
    """What fatbins amount to, as cells say it.

    Args:
        counts: Of the fatbins.
        coverage: Where more than the counts decides it.
    """
    match coverage or counts.coverage:
        case None:
            return "no GPU code"
        case Coverage.FULL:
            return "native" if not counts.compiles else "native+PTX" if counts.runs else "PTX"
        case other:
            return str(other)


@dataclass(frozen=True, slots=True)
class Row:
    """One artifact, or one alternative of it, on every GPU.

    Attributes:
        asked: The name or path as it was given.
        artifact: What that turned out to be, whole.
        alternative: Which of its alternatives; None where it has none.
        results: One for each GPU; None where this alternative is not the one that would be loaded.
    """

    asked: str
    artifact: Artifact
    alternative: str | None
    results: tuple[Result | None, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """All results."""

    gpus: tuple[Gpu, ...]
    rows: tuple[Row, ...]

    @property
    def results(self) -> Iterator[tuple[Row, Result]]:
        """Every result with its row, GPU by GPU."""
        for row in self.rows:
            for result in row.results:
                if result is not None:
                    yield row, result


def judge_all(
    artifacts: Sequence[tuple[str, Artifact]],
    gpus: Sequence[Gpu],
    progress: Callable[[str, int, int], object] = lambda _name, _done, _total: None,
) -> Answer:
    """Judge each artifact, by each alternative that may be loaded, on each GPU.

    Args:
        artifacts: Pairs of the name or path as asked and what it turned out to be.
        gpus: The columns.
        progress: Is told which artifact is judged, how many cells are done, and of how many.
    """
    rows: list[Row] = []
    for number, (asked, artifact) in enumerate(artifacts):
        cells: dict[str | None, dict[int, Result]] = {}
        for index, gpu in enumerate(gpus):
            progress(asked, number * len(gpus) + index, len(artifacts) * len(gpus))
            for alternative, reduced in choose(artifact, gpu.device):
                verdict = judge(reduced, gpu.device, gpu.driver)
                cells.setdefault(alternative, {})[index] = Result(index, reduced, verdict)
        rows += [
            Row(asked, artifact, alternative, tuple(found.get(index) for index in range(len(gpus))))
            for alternative, found in cells.items()
        ]
    return Answer(tuple(gpus), tuple(rows))
