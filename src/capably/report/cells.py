"""How an artifact fares on a GPU, as a word in a table, and what the words mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.report.layout import Cell

if TYPE_CHECKING:
    from capably.check.grid import Fare

__all__ = ["LEGEND", "cell_of"]

LEGEND = {
    "yes": "what it needs loads as it is",
    "yes by PTX": "all of it loads; some is PTX, which the driver compiles when it is first loaded",
    "yes by JIT": "its own compiler makes code for this GPU when a kernel is first used",
    "likely": "its main part loads; what calls into a part that is missing (see above) fails",
    "partly": "some of its main part does not load; what calls into that fails",
    "no": "it does not work there: its main part does not load, or something stops it",
    "unknown": "the facts do not decide; what is missing is said above",
    "no GPU code": "none was found, so there is nothing to judge",
    "-": "another build inside the package is loaded on this GPU",
    "!host": "whatever its GPU code: this build is for another processor, so it does not install or start there",
    "!driver": "whatever its GPU code: the CUDA it is built with is too new for the driver, so it does not start",
    "!missing": "the build inside the package that would be loaded on this GPU is not there",
    "!cpu": "whatever the GPU: this is a build for the CPU",
    "!unread": "not all of it could be read: see the lines that begin with ! above",
    "!compiler": "it also compiles kernels at run time, and that may fail: see the lines that begin with ! above",
    "!": "something else may be wrong: see the lines that begin with ! above",
}
"""What the words and the marks mean, in the order in which they are told."""
_TONES = {
    "yes": "good",
    "yes by PTX": "fair",
    "yes by JIT": "fair",
    "likely": "fair",
    "partly": "warn",
    "no": "bad",
    "unknown": "doubt",
    "no GPU code": "dim",
    "-": "dim",
}
_USABLE = ("yes", "yes by PTX", "likely")


def cell_of(fare: Fare | None) -> Cell:
    """How something fares, with a mark where something else stands in the way; None where it is not loaded there."""
    if fare is None:
        return Cell("-", "dim")
    if fare.mark and fare.word in _USABLE:
        return Cell(fare.text, "warn")
    return Cell(fare.text, _TONES[fare.word])
