"""The modules with the most lines of code, largest first: without blank lines, comments and texts that document."""

from __future__ import annotations

import ast
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[1]
_NO_CODE = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT})


def lines_of_code(path: Path) -> int:
    """How many lines of a module do something."""
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    code = {n for one in tokens if one.type not in _NO_CODE and one.string for n in range(one.start[0], one.end[0] + 1)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


def largest() -> list[tuple[int, Path]]:
    """Every module of the package and of the tools."""
    paths = (path for folder in ("src", "tools") for path in (ROOT / folder).rglob("*.py"))
    return sorted(((lines_of_code(path), path.relative_to(ROOT)) for path in paths), reverse=True)


if __name__ == "__main__":
    for count, module in largest()[: int(sys.argv[1]) if len(sys.argv) > 1 else 10]:
        print(f"{count:5} {module}")
