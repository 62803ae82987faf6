"""The engine and its tables decide about architectures: no other module writes their numbers down.

It is looked for in the syntax of every module, so that a comparison that slips in is seen, and each place that has a
reason says it here.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parents[1] / "src/capably"
# The engine, what numbers are and how they are read, and the bounds of the fields of tables.
EXEMPT = {"engine", "tables/contents.py", "arch.py", "version.py", "requirement.py"}
TYPES = {"ComputeCapability", "CudaVersion", "DriverRelease", "PtxVersion", "Target"}
NUMBERS = {"major", "minor", "branch", "capability"}
NAMES = {row.name for row in tables().architectures.values()}
LOOKS_LIKE = re.compile(r"(?:sm|compute|lto)_?[0-9]{2,3}[af]?|[0-9]{1,2}\.[0-9][af]?|R[0-9]{3}")

AS_THE_TOOL = "the tool's own condition: a dialect reads as its tool does"
ALLOWED = {
    ("archlist/flashinfer.py", "ComputeCapability(10, 7)"): AS_THE_TOOL,
    ("archlist/flashinfer.py", "(major, minor) == (10, '7a')"): AS_THE_TOOL,
    ("archlist/flashinfer.py", "minor == 0"): AS_THE_TOOL,
    ("archlist/nvcc.py", "target.capability.minor == 0"): AS_THE_TOOL,
    ("audit/questions.py", "ComputeCapability(99, 9)"): "stands for GPUs to come, and is given to the engine",
    ("gpu_names.py", "ComputeCapability(7, 0)"): "what the word `all` means to people; nothing is judged by it",
}


def written_down(source: str) -> Iterator[str]:
    """The expressions that hold the number or the name of an architecture, a toolkit or a driver as a literal."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[_, *_]) if name in TYPES and all(map(_literal, node.args)):
                yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="parse" | "from_number")) if (
                name in TYPES and all(map(_literal, node.args))
            ):
                yield ast.unparse(node)
            case ast.Compare():
                sides = [side for side in (node.left, *node.comparators) if not _count(side)]
                texts = [c.value for side in sides for c in ast.walk(side) if isinstance(c, ast.Constant)]
                told = {_name(inner) for side in sides for inner in ast.walk(side)} & NUMBERS
                if any(isinstance(text, str) and LOOKS_LIKE.fullmatch(text) for text in texts) or (
                    told and any(_literal(side) and _whole(side) for side in sides)
                ):
                    yield ast.unparse(node)
            case ast.Constant(value=str(text)) if text in NAMES:
                yield text


def _count(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) == "len"


def _literal(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Tuple) and all(map(_literal, node.elts)))


def _whole(node: ast.AST) -> bool:
    return any(isinstance(c, ast.Constant) and type(c.value) is int for c in ast.walk(node))


def _name(node: ast.AST) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def test_no_module_but_the_engine_writes_down_the_number_of_an_architecture() -> None:
    found = {
        (path.relative_to(SOURCE).as_posix(), text)
        for path in SOURCE.rglob("*.py")
        if not EXEMPT & {path.relative_to(SOURCE).parts[0], path.relative_to(SOURCE).as_posix()}
        for text in written_down(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "breach",
    [
        "low = device.capability < ComputeCapability(7, 5)",
        "oldest = min(found, default=ComputeCapability(7, 5))",
        "TEN = ComputeCapability.parse('10.0')",
        "ok = all(one.capability.major != 12 for one in devices)",
        "if (device.major, device.minor) >= (8, 9): pass",
        "cuda = CudaVersion(12, 9)",
        "old = driver.release.branch < 550",
        "if 8 <= major < 10: pass",
        "hopper = str(device.capability) == '9.0'",
        "if target in ('sm_90', 'sm_90a'): pass",
        "OLD = ('Kepler', 'Maxwell')",
    ],
)
def test_a_breach_is_seen(breach: str) -> None:
    assert list(written_down(breach))


def rankings(source: str) -> Iterator[str]:
    """Literals that put coverages into an order: a tuple or a list of several, or numbers for them."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Tuple(elts=members) | ast.List(elts=members) if sum(map(_coverage, members)) > 2:
                yield ast.unparse(node)
            case ast.Dict(keys=keys, values=values) if sum(map(_coverage, keys)) > 1 and all(map(_whole, values)):
                yield ast.unparse(node)
            case _:
                pass


def _coverage(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Attribute) and _name(node.value) == "Coverage"


def test_coverage_is_ranked_in_one_place() -> None:
    """The engine took what is undecided for better than what is partial, and everybody else for worse."""
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if list(rankings(path.read_text(encoding="utf-8")))
    }
    assert found == {"engine/verdict.py"}


@pytest.mark.parametrize(
    "breach",
    [
        "order = (None, Coverage.NONE, Coverage.UNKNOWN, Coverage.PARTIAL, Coverage.FULL)",
        "worth = {Coverage.NONE: 0, Coverage.FULL: 3, None: 0}[coverage]",
    ],
)
def test_a_second_ranking_is_seen(breach: str) -> None:
    assert list(rankings(breach))
