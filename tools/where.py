"""Where the rule behind a reason, a finding or a cause stands: ``tools/where.py no-image-for-device``.

Places to open: the page with the texts, the functions that give the code, the tables that these functions ask, and the
messages that name a cause. ``capably check --json``, ``capably doctor --json`` and the errors of the gate have the codes.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/capably"
DATA = SOURCE / "tables/data"
_NO_RULES = frozenset({"report"})  # it draws what others decide

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Place(NamedTuple):
    """A place of the source where a code is written, and the tables that are asked there."""

    path: Path
    line: int
    function: str = ""
    tables: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}{f'  in {self.function}' if self.function else ''}"


class _Text(NamedTuple):
    """A text in the source; *pattern* where it is put together, as ``f"{feature}-driver-unknown"``."""

    path: Path
    line: int
    text: str
    pattern: bool

    def means(self, code: str) -> bool:
        return re.fullmatch(self.text, code) is not None if self.pattern else self.text == code


@functools.cache
def _functions(path: Path) -> dict[str, Function]:
    return {node.name: node for node in ast.walk(_tree(path)) if isinstance(node, Function)}


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _texts() -> tuple[_Text, ...]:
    """Every text in the source that can be a code: those of the engine first."""
    found = []
    for path in sorted(SOURCE.rglob("*.py"), key=lambda path: (path.parent.name != "engine", path)):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(_Text(path, node.lineno, node.value, pattern=False))
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
                if any(part is not None and re.search("-[a-z]{4}", str(part)) for part in parts):
                    pattern = "".join("[a-z]+" if part is None else re.escape(str(part)) for part in parts)
                    found.append(_Text(path, node.lineno, pattern, pattern=True))
    return tuple(sorted(found, key=lambda one: (one.path.parent.name != "engine", one.path, one.line)))


def _names(function: Function) -> set[str]:
    attributes = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


@functools.cache
def _queries() -> dict[str, frozenset[str]]:
    """Query of `capably.tables` -> the tables that it asks, by itself or by another."""
    functions = _functions(SOURCE / "tables/queries.py")
    tables = {path.stem for path in DATA.glob("*.json")} - {"sources"}
    found: dict[str, frozenset[str]] = {}
    for name in functions:
        reached, waiting = set[str](), {name}
        while waiting:
            reached |= waiting
            waiting = set().union(*(_names(functions[one]) for one in waiting)) & functions.keys() - reached
        nodes = [node for one in reached for node in ast.walk(functions[one])]
        asked = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
        found[name] = frozenset(asked & tables)
    return found


def said(code: str) -> list[Place]:
    """Where the texts of a code are: in `capably.codes`, or in the table of causes or messages."""
    pages = (one for one in _texts() if one.path.parent.name == "codes" and one.text == code)
    return [Place(one.path, one.line) for one in pages] + _in_tables(rf'"code": "{re.escape(code)}"')


def named(code: str) -> list[Place]:
    """Where a message names a cause."""
    return _in_tables(rf'(?<!"code": )"{re.escape(code)}"')


def _in_tables(pattern: str) -> list[Place]:
    return [
        Place(path, number)
        for path in (DATA / "causes.json", DATA / "messages.json")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]


def decided(code: str) -> list[Place]:
    """Where a code is given: in the engine first."""
    found = []
    for one in _texts():
        if one.means(code) and one.path.relative_to(SOURCE).parts[0] not in {*_NO_RULES, "codes"}:
            functions = _functions(one.path).values()
            around = [node for node in functions if node.lineno <= one.line <= (node.end_lineno or 0)]
            if around:
                inner = max(around, key=lambda node: node.lineno)
                asked = (_queries().get(name, frozenset()) for name in _names(inner))
                found.append(Place(one.path, one.line, inner.name, frozenset[str]().union(*asked)))
            else:
                found.append(Place(one.path, one.line))
    return found


def main(arguments: list[str]) -> int:
    """Print them; 1 where nobody knows the code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    (code,) = arguments
    pages, places = said(code), decided(code)
    for head, found in (("said", pages), ("decided", places), ("named", named(code))):
        for place in found:
            print(f"{head:8} {place}")
    for table in sorted({table for place in places for table in place.tables}):
        print(f"asked    {(DATA / table).relative_to(ROOT)}.json")
    if not pages:
        print(f"no code is `{code}`: `capably explain` lists them", file=sys.stderr)
    return 0 if pages else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
