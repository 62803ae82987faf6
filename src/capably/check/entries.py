"""What is told together: alternatives of one artifact that fare alike, and results that have the same story."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.check.because import because, because_of_builds
from capably.check.grid import Fare, GridRow, Result, fare
from capably.check.story import Story, story
from capably.codes import FINDINGS
from capably.engine import Coverage, Ground, Headline
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.check.grid import Grid
    from capably.engine import Advice

__all__ = ["Differing", "Entry", "Line", "Told", "differing", "entries", "told"]

_TOLD = {Coverage.NONE, Coverage.UNKNOWN, Coverage.PARTIAL}  # with their story
# Their sentence names the libraries that lack something.
_NAMED = (Ground.CORE_USABLE, Ground.GENERAL_FAILS, Ground.GAPS, Ground.OTHERS)
_WORKS = (Headline.YES, Headline.YES_COMPILED)
_WORST = [Headline.NO, Headline.UNKNOWN, Headline.PARTLY, Headline.LIKELY, Headline.YES_COMPILED, Headline.YES]


@dataclass(frozen=True, slots=True)
class Line:
    """Alternatives of one artifact that fare alike, or an artifact without any.

    Attributes:
        alternatives: Their names.
        fares: On each GPU; None where another one is loaded.
    """

    alternatives: tuple[str, ...]
    fares: tuple[Fare | None, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One artifact as it was asked for.

    Attributes:
        label: What tells it from the others.
        rows: One for each of its alternatives.
        lines: Those that fare alike as one.
        whole: How the artifact fares on each GPU, over all its alternatives; empty where it has none.
    """

    label: str
    rows: tuple[GridRow, ...]
    lines: tuple[Line, ...]
    whole: tuple[Fare, ...] = ()

    def results(self) -> Iterator[tuple[GridRow, Result]]:
        """Every result with its row."""
        for row in self.rows:
            for result in row.results:
                if result is not None:
                    yield row, result


def entries(grid: Grid) -> list[Entry]:
    """The artifacts of *grid*, in its order."""
    groups: list[list[GridRow]] = []
    for row in grid.rows:
        seen = {other.alternative for other in groups[-1]} if groups else set()
        # The same file named twice is shown twice.
        if (
            groups
            and (groups[-1][0].asked, groups[-1][0].artifact) == (row.asked, row.artifact)
            and row.alternative not in seen
        ):
            groups[-1].append(row)
        else:
            groups.append([row])
    # The distribution is the name where that tells them apart, else what was asked for.
    often = Counter(rows[0].called for rows in groups)
    return [
        Entry(rows[0].called if often[rows[0].called] == 1 else rows[0].asked, tuple(rows), _lines(rows), _whole(rows))
        for rows in groups
    ]


def _lines(rows: Sequence[GridRow]) -> tuple[Line, ...]:
    lines: dict[tuple[Fare | None, ...], list[str]] = {}
    for row in rows:
        fares = tuple(None if result is None else fare(result) for result in row.results)
        names = lines.setdefault(fares, [])
        if row.alternative is not None:
            names.append(row.alternative)
    return tuple(Line(tuple(names), fares) for fares, names in lines.items())


def _whole(rows: Sequence[GridRow]) -> tuple[Fare, ...]:
    """Over all alternatives; the mark is the one that all of them have."""
    if rows[0].alternative is None:
        return ()
    fares = []
    for results in zip(*(row.results for row in rows), strict=True):
        here = [result for result in results if result is not None]
        marks = {fare(result).mark for result in here}
        fares.append(Fare(fare(here[0], here[0].package).word, marks.pop() if len(marks) == 1 else ""))
    return tuple(fares)


@dataclass(frozen=True, slots=True)
class Differing:
    """GPUs on which it depends on the build that is loaded whether an artifact works.

    Attributes:
        gpus: Their indices.
        because: Which build fares how.
    """

    gpus: tuple[int, ...]
    because: str


def differing(entry: Entry) -> tuple[Differing, ...]:
    """Where the bundled builds of *entry* disagree."""
    chooser = next(
        (row.chosen_by for row in tables().alternatives if row.distribution == entry.rows[0].artifact.name), ""
    )
    found: dict[str, list[int]] = {}
    for results in zip(*(row.results for row in entry.rows), strict=True):
        here = [
            (row.alternative or "", result)
            for row, result in zip(entry.rows, results, strict=True)
            if result is not None
        ]
        if here and here[0][1].package.ground is Ground.BUILDS_DIFFER:
            found.setdefault(because_of_builds(here, chooser), []).append(here[0][1].gpu)
    return tuple(Differing(tuple(gpus), text) for text, gpus in found.items())


@dataclass(frozen=True, slots=True)
class Told:
    """Results with the same story: of these alternatives on these GPUs.

    Attributes:
        rows: The alternatives.
        gpus: Indices of the GPUs.
        stories: For each of the GPUs, that of each of the alternatives.
        results: Likewise.
    """

    rows: tuple[GridRow, ...]
    gpus: tuple[int, ...]
    stories: tuple[tuple[Story, ...], ...]
    results: tuple[tuple[Result, ...], ...]

    @property
    def story(self) -> Story:
        """The first one, which stands for all."""
        return self.stories[0][0]

    @property
    def result(self) -> Result:
        """Likewise."""
        return self.results[0][0]

    @property
    def works(self) -> bool:
        """Nothing that it needs is missing, so that there is nothing to do, and no argument to tell."""
        return self.result.conclusion.headline in _WORKS

    @property
    def names_what_lacks(self) -> bool:
        """The sentence that says what its headline rests on names the libraries that lack something."""
        return self.result.conclusion.ground in _NAMED

    @property
    def compiled(self) -> bool:
        """What it compiles at run time decides, and none of its files."""
        result = self.result
        if result.conclusion.ground is not Ground.AT_RUN_TIME:
            return False
        compiler = result.verdict.compiler
        return compiler is None or compiler.kernels == "run-time" or not result.verdict.counts.total

    @property
    def fares(self) -> dict[str, tuple[int, ...]]:
        """How they fare, without what stands beside the code, and on which GPUs."""
        found: dict[str, list[int]] = {}
        for index, (first, *_) in zip(self.gpus, self.results, strict=True):
            found.setdefault(fare(first).word, []).append(index)
        return {text: tuple(indices) for text, indices in found.items()}

    @property
    def because(self) -> dict[str, tuple[int, ...]]:
        """What their headlines rest on, and on which GPUs."""
        found: dict[str, list[int]] = {}
        for index, (first, *_) in zip(self.gpus, self.results, strict=True):
            found.setdefault(because(first), []).append(index)
        return {text: tuple(indices) for text, indices in found.items()}

    def built(self, argument: int) -> frozenset[str]:
        """The toolkits that made what the argument of that number is about, in all of them."""
        return frozenset(text for stories in self.stories for one in stories for text in one.arguments[argument].built)

    @property
    def steps(self) -> dict[tuple[str, ...], tuple[int, ...]]:
        """What to do, and on which GPUs."""
        found: dict[tuple[str, ...], list[int]] = {}
        for index, (first, *_) in zip(self.gpus, self.results, strict=True):
            page = None if first.compiled is None or self.works else FINDINGS[first.compiled.code]
            steps = () if self.compiled else first.advice.steps
            found.setdefault((*steps, page.way_out) if page and page.way_out else steps, []).append(index)
        return {steps: tuple(indices) for steps, indices in found.items()}

    @property
    def advice(self) -> Advice:
        """The one that has most to say beside its steps."""
        advices = (result.advice for results in self.results for result in results)
        return min(advices, key=lambda one: (not one.counterparts, not one.steps))


def _has_story(result: Result) -> bool:
    """Whether more is to be said than the word: not where its files stop it anywhere near the GPU."""
    if any(finding.code == "host-platform" for finding in result.verdict.blocked):
        return False
    return result.verdict.coverage in _TOLD or result.conclusion.ground is Ground.AT_RUN_TIME


def told(entry: Entry) -> list[Told]:
    """Results of which more is to be said than the word, those with the same story together, the worst first."""
    stories: dict[tuple[str, object, int], list[tuple[GridRow, Result, Story]]] = {}
    for row, result in entry.results():
        if _has_story(result):
            said = str(result.conclusion.headline)
            why = story(result)
            # Where it works no argument is told, and so none keeps two GPUs apart.
            told_of = None if result.conclusion.headline in _WORKS else why.arguments
            stories.setdefault((said, told_of, result.gpu), []).append((row, result, why))
    merged: dict[object, list[tuple[int, list[tuple[GridRow, Result, Story]]]]] = {}
    for (said, arguments, gpu), found in stories.items():
        alike = (said, arguments, tuple(row.alternative for row, _, _ in found))
        merged.setdefault(alike, []).append((gpu, found))
    groups = [
        Told(
            tuple(row for row, _, _ in same[0][1]),
            tuple(gpu for gpu, _ in same),
            tuple(tuple(why for _, _, why in found) for _, found in same),
            tuple(tuple(result for _, result, _ in found) for _, found in same),
        )
        for same in merged.values()
    ]
    return sorted(groups, key=lambda group: _WORST.index(group.result.conclusion.headline or Headline.NO))
