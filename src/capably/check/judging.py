"""Judges artifacts on GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from capably.check.grid import Grid, GridRow, Result
from capably.engine import advise, best_share, choose, conclude, condense, headline, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capably.check.grid import Gpu
    from capably.facts import Artifact

__all__ = ["judge_all"]


def judge_all(
    artifacts: Sequence[tuple[str, Artifact]],
    gpus: Sequence[Gpu],
    progress: Callable[[str, int, int], object] = lambda _name, _done, _total: None,
) -> Grid:
    """Judge each artifact, by each alternative that may be loaded, on each GPU.

    Args:
        artifacts: Pairs of the name or path as asked and what it turned out to be.
        gpus: The columns.
        progress: Is told which artifact is judged, how many cells are done, and of how many.
    """
    rows: list[GridRow] = []
    for number, (asked, whole) in enumerate(artifacts):
        artifact = condense(whole)
        cells: dict[str | None, dict[int, Result]] = {}
        best: dict[str | None, float | None] = {}
        for index, gpu in enumerate(gpus):
            progress(asked, number * len(gpus) + index, len(artifacts) * len(gpus))
            builds: dict[str | None, Result] = {}
            for alternative, reduced in choose(artifact, gpu.device):
                verdict = judge(reduced, gpu.device, gpu.driver, toolkits=gpu.toolkits)
                if alternative not in best:
                    best[alternative] = best_share(reduced)
                builds[alternative] = Result(
                    index,
                    reduced,
                    verdict,
                    advise(reduced, verdict),
                    headline(reduced, verdict),
                    best_share=best[alternative] if verdict.counts.total else None,
                )
            package = conclude([result.conclusion for result in builds.values()])
            for alternative, result in builds.items():
                cells.setdefault(alternative, {})[index] = replace(result, package=package)
        rows += [
            GridRow(asked, whole, alternative, tuple(found.get(index) for index in range(len(gpus))))
            for alternative, found in cells.items()
        ]
    if artifacts:
        progress(artifacts[-1][0], len(artifacts) * len(gpus), len(artifacts) * len(gpus))
    return Grid(tuple(gpus), tuple(rows))
