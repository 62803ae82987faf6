"""A name means one thing: what a module imports or defines is not hidden, and a class has its name for itself.

And a module is one room: a long one says why.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from largest import largest

PACKAGE = Path(__file__).parents[1] / "src/capably"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Rooms that are being rebuilt.
NOT_YET = frozenset({"scanner"})


def named(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def hidden(source: str) -> list[str]:
    """Names of parameters and variables in functions that a module imports or defines."""
    tree = ast.parse(source)
    outer: set[str] = set()
    for statement in tree.body:
        match statement:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                outer |= {name.asname or name.name.partition(".")[0] for name in names}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                outer.add(name)
            case _:
                pass
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    inner: set[str] = set()
    for function in functions:
        inner |= {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
        if isinstance(function, ast.FunctionDef):
            stored = (node for node in ast.walk(function) if isinstance(node, ast.Name))
            inner |= {node.id for node in stored if isinstance(node.ctx, ast.Store)}
    return sorted(outer & inner)


def test_no_variable_hides_what_its_module_imports_or_defines() -> None:
    found = {named(path): hidden(path.read_text(encoding="utf-8")) for path in MODULES}
    assert {name: names for name, names in found.items() if names} == {}


def test_that_check_finds_what_it_is_for() -> None:
    source = "import engine\nfrom a import b\ndef c(engine):\n    for b in c: d = lambda c: 0"
    assert hidden(source) == ["b", "c", "engine"]


def test_no_function_of_a_package_hides_a_module_of_it() -> None:
    for path in MODULES:
        if path.name == "__init__.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            brought = {
                name.asname or name.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module and node.module.count(".") > 1
                for name in node.names
            }
            assert not brought & {one.stem for one in path.parent.iterdir()}, named(path)


def test_a_class_has_its_name_for_itself() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] not in NOT_YET:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(named(path))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_a_long_module_says_why_it_is_one_room() -> None:
    for lines, module in largest():
        if lines > 500 and not NOT_YET & {*module.parts}:
            head = ast.get_docstring(ast.parse((PACKAGE.parents[1] / module).read_text(encoding="utf-8")))
            assert "one room" in (head or ""), f"{module}: {lines} lines"
