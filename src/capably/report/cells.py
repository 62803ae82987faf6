"""How an artifact fares on a GPU, as a word in a table, and what the words mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.check.grid import USABLE
from capably.report.layout import Cell

if TYPE_CHECKING:
    from capably.check.grid import Fare

__all__ = ["LEGEND", "cell_of"]

LEGEND = {
    "native": "machine code for this GPU; it loads as it is",
    "PTX": "no machine code fits; the driver compiles the PTX when it is first loaded",
    "native+PTX": "machine code for some parts, PTX that the driver compiles for the rest",
    "compiled": "its own compiler makes code for this GPU when a kernel is first used",
    "partial": "the share of its parts (fatbins) that load; a call into the others fails",
    "none": "nothing in it loads: every kernel launch fails",
    "unknown": "the facts do not decide; what is missing is said above",
    "no GPU code": "none was found, so there is nothing to judge",
    "-": "another build inside the package is loaded on this GPU",
    "!host": "whatever its GPU code: this build is for another processor, so it does not install or start there",
    "!driver": "whatever its GPU code: the CUDA it is built with is too new for the driver, so it does not start",
    "!missing": "the build inside the package that would be loaded on this GPU is not there",
    "!cpu": "whatever the GPU: this is a build for the CPU",
    "!": "something else stands in the way or was not read: see the lines with ! above",
}
"""What the words and the marks mean, in the order in which they are told."""
_TONES = {
    "native": "good",
    "PTX": "fair",
    "native+PTX": "fair",
    "compiled": "fair",
    "partial": "warn",
    "none": "bad",
    "unknown": "doubt",
    "no GPU code": "dim",
    "-": "dim",
}


def cell_of(fare: Fare | None) -> Cell:
    """How something fares, with a mark where something else stands in the way; None where it is not loaded there."""
    if fare is None:
        return Cell("-", "dim")
    if fare.mark and fare.word in USABLE:
        return Cell(fare.text, "bad" if fare.stops else "warn")
    return Cell(fare.text, _TONES[fare.word])
