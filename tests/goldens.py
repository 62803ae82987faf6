"""Answers as they were stored, in ``golden/``; the newest driver and toolkit there stand for those of today's tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

from capably.tables import tables

FOLDER = Path(__file__).parent / "golden"
# Asked before any test clears its environment.
UPDATE = bool(os.environ.get("CAPABLY_UPDATE_GOLDEN"))
_BRANCH, _CUDA, _DEVICE = tables().branches[-1].number, tables().toolkits[-1].cuda, tables().horizon
# What was newest in the tables when the answers were stored, and what is now: a row for something newer changes none.
NEWEST = {
    "R620": f"R{_BRANCH}",
    "CUDA 13.5": f"CUDA {_CUDA}",
    "CUDA up to 13.5": f"CUDA up to {_CUDA}",
    "10.0 to 13.5": f"10.0 to {_CUDA}",
    "to 13.5 (the newest": f"to {_CUDA} (the newest",
    "newest 12.1": f"newest {_DEVICE}",
    "newest device 12.1": f"newest device {_DEVICE}",
}


def golden(name: str, text: str) -> None:
    """Compare with the stored text; `CAPABLY_UPDATE_GOLDEN=1` stores it instead."""
    path = FOLDER / f"{name}.txt"
    if UPDATE:
        path.write_text(_replaced(text, {now: then for then, now in NEWEST.items()}), encoding="utf-8")
    assert _replaced(path.read_text(encoding="utf-8"), NEWEST) == text


def _replaced(text: str, words: dict[str, str]) -> str:
    known = "|".join(map(re.escape, words))
    return re.sub(rf"(?<![\w.])(?:{known})(?![\w.])", lambda match: words[match[0]], text)
