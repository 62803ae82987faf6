"""Answers as they were stored, in ``golden/``."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
# Asked before any test clears its environment.
UPDATE = bool(os.environ.get("CAPABLY_UPDATE_GOLDEN"))


def golden(name: str, text: str) -> None:
    """Compare with the stored text; `CAPABLY_UPDATE_GOLDEN=1` stores it instead."""
    path = FOLDER / f"{name}.txt"
    if UPDATE:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
