"""Artifacts by GPUs: what fares how, why, and what to do. Text and JSON only draw what stands here.

`judging` asks the engine and makes a `grid` of results. `story` says why one result is what it is; `entries` and
`findings` put together what is to be told together; `kernels` does so for kernels.
"""

from capably.check.grid import Gpu, Grid, GridRow, Result
from capably.check.judging import judge_all

__all__ = ["Gpu", "Grid", "GridRow", "Result", "judge_all"]
