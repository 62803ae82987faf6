"""The environment in which commands are tested."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SYSTEMS = Path(__file__).parent / "data/systems"
# What else a user may have set that changes an answer or how it looks.
_OTHERS = ("VIRTUAL_ENV", "CONDA_PREFIX", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
_KEPT = "CAPABLY_CACHE_DIR"  # of the suite, in conftest.py: no test touches the user's


def make_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset what the user has set; a machine without a GPU, whatever the machine is that runs this."""
    for name in [*os.environ]:
        if (name.startswith("CAPABLY_") and name != _KEPT) or name in _OTHERS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("CAPABLY_SYSTEM", str(SYSTEMS / "none.json"))


def enter_plain_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `make_plain`, in a folder of the test's own, with results kept beside it."""
    make_plain(monkeypatch)
    monkeypatch.setenv("CAPABLY_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")  # nothing above counts


def unmeasured() -> dict[str, str]:
    """The variables, without those by which coverage measures a child: it takes as long again, and memory."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS_")}
