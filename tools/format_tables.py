"""Writes the tables in their one form: a field on each line, or a row on each line where a table is a list of numbers.

Run it after an edit; a test compares its output with the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "src/capably/tables/data"
# Tables that are read down their columns. Rows of all others have a field on each line, so that a change shows itself.
COLUMNS = frozenset(
    {
        "architectures",
        "cubin_abi",
        "families",
        "instances",
        "loading",
        "products",
        "ptx",
        "runtimes",
        "shared_memory",
        "sources",
        "tegra",
    }
)
_WIDTH = 120


def formatted(document: dict[str, Any]) -> str:
    """The text of a table."""
    table = document["table"]
    head = [f"  {_text(key)}: {_text(value)}," for key, value in document.items() if key != "rows"]
    rows = [_text(row) if table in COLUMNS else _spread(row, 4) for row in document["rows"]]
    lines = ["{", *head, '  "rows": [', ",\n".join(f"    {row}" for row in rows), "  ]", "}"]
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _spread(value: dict[str, Any] | list[Any], indent: int) -> str:
    """An object or a list with each of its parts on a line, and those parts that fit whole."""
    pad = " " * (indent + 2)
    parts = []
    pairs = value.items() if isinstance(value, dict) else ((None, part) for part in value)
    for key, part in pairs:
        name = "" if key is None else f"{_text(key)}: "
        whole = _text(part)
        if isinstance(part, dict | list) and part and len(pad) + len(name) + len(whole) >= _WIDTH:
            whole = _spread(part, indent + 2)
        parts.append(f"{pad}{name}{whole}")
    first, last = "{}" if isinstance(value, dict) else "[]"
    inner = ",\n".join(parts)
    return f"{first}\n{inner}\n{' ' * indent}{last}"


def main() -> int:
    """Write the files."""
    for path in sorted(DATA.glob("*.json")):
        path.write_text(formatted(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
