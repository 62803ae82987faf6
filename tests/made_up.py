"""A copy of the source with rows that nobody has released: a GPU 90.0, CUDA 19.9, R990, a package, a message."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from plain import unmeasured

ROOT = Path(__file__).parents[1]
MADE_UP: dict[str, tuple[str | None, dict[str, object]]] = {
    "architectures": ("90.0", {"capability": "90.0", "name": "Nobody", "isolated": False}),
    "families": ("90.0", {"family": "90.x", "kind": "family", "members": "90.0"}),
    "products": (
        "90.0",
        {"name": "GeForce RTX 90900", "capability": "90.0", "class": "geforce", "aliases": [], "hosts": []},
    ),
    "driver_devices": (
        "990",
        {
            "capability": "90.0",
            "first_branch": 990,
            "first_grade": "documented",
            "last_branch": None,
            "last_grade": None,
        },
    ),
    "shared_memory": ("90.0", {"capability": "90.0", "block_kib": 227}),
    "toolkits": ("19.9", {"cuda": "19.9", "targets": "those of the one before, and 900 900a 900f"}),
    "ptx": ("19.9", {"cuda": "19.9", "ptx": "19.9"}),
    "drivers": ("990", {"branch": 990, "cuda": "19.9", "linux": "990.10.01", "windows": None}),
    "packages": (
        None,
        {
            "title": "Made up",
            "distributions": ["made-up"],
            "kernels": "prebuilt",
            "compiler": None,
            "dispatches": False,
            "conflicts": [],
            "part": None,
            "particular": "Nothing.",
            "check": None,
        },
    ),
    "causes": (
        None,
        {
            "code": "made-up-cause",
            "title": "Something is made up",
            "cause": "It is.",
            "way_out": "Mend it.",
            "next": "true",
        },
    ),
    "messages": (
        None,
        {
            "code": "made-up-message",
            "title": "Made up",
            "rank": 5,
            "subject": "program",
            "device": False,
            "complete": False,
            "needles": ["made up"],
            "patterns": ["made up"],
            "means": "Nothing.",
            "causes": ["made-up-cause"],
        },
    ),
}


def copy_of_the_source(folder: Path, *, without: frozenset[str] = frozenset()) -> Path:
    """The source, tools and docs in *folder*, with the made-up rows in all tables but *without*."""
    for part in ("src", "tools", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for table, (horizon, fields) in MADE_UP.items():
        if table in without:
            continue
        path = folder / f"src/capably/tables/data/{table}.json"
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        row = dict(fields)
        if table == "toolkits":
            row["targets"] = f"{document['rows'][-1]['targets']} 900 900a 900f"
        document["rows"].append({**row, "sources": ["cuda-guide-compute-capabilities"], "grade": "documented"})
        document["horizon"] = horizon or document["horizon"]
        path.write_text(json.dumps(document), encoding="utf-8")
    return folder


def run_there(folder: Path, *arguments: str) -> str:
    """What Python prints that takes capably from that copy."""
    environment = {**unmeasured(), "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
