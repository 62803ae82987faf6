"""Judges artifacts on GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.check.grid import Grid, GridRow, Result
from capably.engine import advise, choose, judge

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
    for number, (asked, artifact) in enumerate(artifacts):
        cells: dict[str | None, dict[int, Result]] = {}
        for index, gpu in enumerate(gpus):
            progress(asked, number * len(gpus) + index, len(artifacts) * len(gpus))
            for alternative, reduced in choose(artifact, gpu.device):
                verdict = judge(reduced, gpu.device, gpu.driver, toolkits=gpu.toolkits)
                result = Result(index, reduced, verdict, advise(reduced, verdict))
                cells.setdefault(alternative, {})[index] = result
        rows += [
            GridRow(asked, artifact, alternative, tuple(found.get(index) for index in range(len(gpus))))
            for alternative, found in cells.items()
        ]
    return Grid(tuple(gpus), tuple(rows))
