"""Results of artifacts on GPUs, and what one of them amounts to in a word and a mark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capably.codes import FINDINGS
from capably.engine import Advice, Conclusion, Coverage, Ground, Headline, OutcomeCounts, Verdict, role_of
from capably.facts import Artifact, Device, Driver, Finding, Role, Toolkit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fare", "Gpu", "Grid", "GridRow", "Result", "fare", "harmless", "headline_word", "word"]

_WORDS = {
    Headline.YES: "yes",
    Headline.YES_COMPILED: "yes by PTX",
    Headline.LIKELY: "likely",
    Headline.PARTLY: "partly",
    Headline.NO: "no",
    Headline.UNKNOWN: "unknown",
    None: "no GPU code",
}
# These say already why there is nothing to judge.
_SAID = frozenset({"no-gpu-code", "alternative-missing", "code-in-dependencies", "cpu-build"})
# What stands in the way whatever the GPU code says, the most telling first; another one is `!`.
_MARKS = {
    "host-platform": "!host",
    "cuda-major-newer-than-driver": "!driver",
    "alternative-missing": "!missing",
    "cpu-build": "!cpu",
}
# What makes a plain yes doubtful, and stops nothing.
_UNREAD, _COMPILER, _OTHER = "!unread", "!compiler", "!"


_NONE = Conclusion(None)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device, the driver that is taken to serve it, and the compilers of its machine where these are known."""

    device: Device
    driver: Driver
    toolkits: tuple[Toolkit, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One artifact, or one alternative of it, on one GPU.

    Attributes:
        gpu: Index into `Grid.gpus`.
        artifact: Reduced to the libraries of the alternative.
        verdict: Of the engine.
        advice: What to do about the GPU code, and about the driver.
        conclusion: What the verdict amounts to.
        package: What can be said of the artifact on that GPU, over all alternatives that may be loaded.
        best_share: The largest share of its fatbins that loads on any known GPU; None where there is none to judge.
    """

    gpu: int
    artifact: Artifact
    verdict: Verdict
    advice: Advice = field(default_factory=Advice)
    conclusion: Conclusion = _NONE
    package: Conclusion = _NONE
    best_share: float | None = None

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
        blocked = self.verdict.blocked
        return tuple(
            finding for finding in self.verdict.findings if finding in blocked or finding not in self.artifact.findings
        )

    @property
    def compiled(self) -> Finding | None:
        """What its own compiler makes, where the headline rests on that and says it."""
        compiler = self.verdict.compiler
        return compiler.finding if compiler is not None and self.conclusion.ground is Ground.AT_RUN_TIME else None

    @property
    def lacks_its_main_part(self) -> bool:
        """Some of what it is for does not load, so that what is missing is no part for others."""
        return self.conclusion.headline is Headline.PARTLY

    @property
    def ways_out(self) -> tuple[str, ...]:
        """All advice, one sentence each: about the code, then about what stands in the way whatever the code says."""
        left = (finding for finding in self.verdict.blocked if not self.advice.removes(finding))
        around = (self.advice.way_around(finding) for finding in left)
        return tuple(dict.fromkeys(way for way in (*self.advice.sentences, *around) if way))


def _nothing(artifact: Artifact) -> str:
    if not artifact.libraries:
        files = "the file" if artifact.files == 1 else f"{artifact.files} files"
        return f"no GPU code found in {files}"
    if not any(role_of(artifact, library) is Role.PRODUCT or library.link_input for library in artifact.libraries):
        return "GPU code in files that are not the product only: there is nothing to judge"
    if any(library.link_input for library in artifact.libraries):
        return "only relocatable GPU code or link-time IR, which is input for the linker: there is nothing that a driver loads"
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
class Fare:
    """How an artifact fares on a GPU.

    Attributes:
        word: Its headline.
        mark: What stands beside it: ``!`` and, where it is known and stops the artifact, what that is; may be empty.
    """

    word: str
    mark: str = ""

    @property
    def text(self) -> str:
        """The word with the mark."""
        return f"{self.word} {self.mark}" if self.mark else self.word


def headline_word(conclusion: Conclusion) -> str:
    """A headline as cells say it."""
    if conclusion.headline is Headline.YES_COMPILED and conclusion.ground is Ground.AT_RUN_TIME:
        return "yes by JIT"  # by its own compiler
    return _WORDS[conclusion.headline]


def fare(result: Result, conclusion: Conclusion | None = None) -> Fare:
    """What *result* amounts to; by *conclusion*, where that is not its own."""
    said = headline_word(conclusion or result.conclusion)
    compiled = result.verdict.compiler and result.verdict.compiler.finding
    if blocked := result.verdict.blocked:
        found = {_MARKS.get(finding.code, "!") for finding in blocked}
        return Fare(said, next((mark for mark in _MARKS.values() if mark in found), "!"))
    marks = {
        _UNREAD if finding in result.verdict.unread else _COMPILER if finding == compiled else _OTHER
        for finding in (*result.local, *result.artifact.findings)
        if not harmless(finding.code) and finding != result.compiled
    }
    return Fare(said, next((mark for mark in (_UNREAD, _COMPILER, _OTHER) if mark in marks), ""))


def harmless(code: str) -> bool:
    """Whether a finding of that code says what a file is, and nothing is wrong."""
    return code in FINDINGS and FINDINGS[code].harmless


@dataclass(frozen=True, slots=True)
class GridRow:
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

    @property
    def called(self) -> str:
        """The distribution with its version, else what was asked for."""
        if self.artifact.name is None:
            return self.asked
        return f"{self.artifact.name} {self.artifact.version}" if self.artifact.version else self.artifact.name


@dataclass(frozen=True, slots=True)
class Grid:
    """All results."""

    gpus: tuple[Gpu, ...]
    rows: tuple[GridRow, ...]

    @property
    def results(self) -> Iterator[tuple[GridRow, Result]]:
        """Every result with its row, GPU by GPU."""
        for row in self.rows:
            for result in row.results:
                if result is not None:
                    yield row, result
