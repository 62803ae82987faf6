"""Records what the oldest supported Python has, for `tests/test_core.py`: ``python3.10 tools/record_python.py``.

Writes `tests/data/oldest_python.json`: for each module of the standard library that the sources import, its names. Run
it again with that Python where a test says that a module is not in the record.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests/data/oldest_python.json"


def imported(tree: ast.AST) -> set[str]:
    """The modules that a source imports, by their full names."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def main() -> None:
    """Write the record."""
    names: set[str] = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        names |= imported(ast.parse(path.read_text(encoding="utf-8")))
    record: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.partition(".")[0] in sys.stdlib_module_names:
            try:
                record[name] = sorted(dir(importlib.import_module(name)))
            except ModuleNotFoundError:
                print(f"not in this Python: {name}")
    RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
