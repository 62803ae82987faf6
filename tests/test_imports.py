"""What importing costs, and who may import whom."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import H100, H100B, Host, needs_compiler
from plain import unmeasured

ROOT = Path(__file__).parents[1]


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after *code*."""
    script = f"{code}\nimport sys, json\nsys.stdout.write('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_capably_loads_nothing_but_itself() -> None:
    loaded = {name.split(".")[0] for name in modules_after("import capably") - modules_after("pass")}
    assert loaded - {"capably"} <= set(sys.stdlib_module_names)
    assert not loaded & {"ctypes", "subprocess", "dataclasses", "json"}


def test_judging_needs_the_standard_library_only() -> None:
    code = "import capably; capably.judge(capably.facts.Fatbin(()), capably.Device(capably.ComputeCapability(9, 0)))"
    code = code.replace("capably.facts.", "__import__('capably.facts').facts.")
    tops = {name.split(".")[0] for name in modules_after(code) - modules_after("pass")}
    assert tops - {"capably"} <= set(sys.stdlib_module_names)
    assert not tops & {"ctypes", "subprocess", "socket"}


def test_what_judges_is_loaded_while_the_driver_is_asked_and_not_before() -> None:
    """The child process starts first: what was loaded before it took as long as the driver, and came on top."""
    loaded = modules_after("from capably import capability, require, supports, usable")
    assert "capably.gate.calls" in loaded
    late = {"capably.requirement", "capably.engine", "capably.facts.machine", "capably.gate.answer", "capably.codes"}
    assert not loaded & late


@needs_compiler
def test_the_first_answer_loads_no_pathlib(tmp_path: Path) -> None:
    """Beyond what a child that is measured has loaded anyway."""
    code = """
import sys
before = {*sys.modules}
import capably
say([capably.supports('>=7.5'), 'pathlib' in {*sys.modules} - before])
"""
    assert Host(tmp_path, (H100, H100B)).run(code) == [True, False]


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_load_neither_rich_nor_metadata(option: str) -> None:
    loaded = modules_after(f"from capably.cli import main\ntry:\n    main(['{option}'])\nexcept SystemExit:\n    pass")
    assert not loaded & {"rich", "importlib.metadata", "capably.scanner", "capably.engine", "lz4", "zstandard", "torch"}
    if option == "--version":
        assert "click" not in loaded


def test_every_public_name_loads_and_an_unknown_one_does_not() -> None:
    import capably

    for name in capably.__all__:
        assert getattr(capably, name) is not None
    assert set(dir(capably)) == set(capably.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = capably.nothing


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    environment = {**unmeasured(), "PYTHONPATH": str(root / "src"), "COLUMNS": "120"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_layers_hold(copy: Path) -> None:
    done = lint_imports(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("engine/__init__.py", "import capably.scanner"),  # judging never looks
        ("engine/hosts.py", "import subprocess"),
        ("tables/queries.py", "import capably.engine"),  # upwards
        ("scanner/__init__.py", "import capably.engine"),  # looking never judges
        ("probe/__init__.py", "import capably.engine"),
        ("probe/__init__.py", "import capably.scanner"),  # neighbours are strangers
        ("logs/recognition.py", "import capably.probe"),  # its facts are given
        ("logs/recognition.py", "import os"),
        ("scanner/__init__.py", "import ctypes"),  # reading runs nothing
        ("probe/child.py", "import capably.facts"),  # it runs without site-packages
        ("facts/files.py", "import capably.codes"),  # neighbours are strangers
        ("archlist/flashinfer.py", "import capably.archlist.torch"),
        ("engine/image.py", "import capably.engine.containers"),  # the parts are judged without the whole
        ("engine/kernels.py", "import capably.engine.bundled"),
        ("engine/newcomer.py", "import capably.errors"),
        ("tables/model.py", "import capably.tables.reading"),  # a row does not know where it is written
        ("tables/newcomer.py", "import capably.errors"),
        ("archlist/torch.py", "import torch"),  # the tool itself
        ("integrations/torch.py", "import torch"),  # what it is for is never imported
        ("integrations/flashinfer.py", "import capably.cli"),  # neighbours are strangers
        ("report/check_text.py", "from capably.engine import judge"),  # reports never judge
        ("report/audit/document.py", "from capably.engine.advice import advise"),
        ("report/words.py", "import capably.engine.judging"),
        ("check/grid.py", "import capably.check.story"),  # a circle of siblings
        ("report/words.py", "import capably.report.check_text"),
        ("check/judging.py", "import capably.doctor"),  # neighbours are strangers
        ("check/story.py", "import demangle"),
        ("engine/obstacles.py", "import capably.engine.judging"),
        ("scanner/archive.py", "import capably.scanner.walk"),  # which hands itself down
        ("scanner/remember.py", "import capably.scanner.job"),
        ("scanner/forms.py", "import capably.scanner.library"),
        ("scanner/payload.py", "import zstandard"),  # the core needs no package
        ("scanner/archive.py", "from packaging.version import Version"),
        ("scanner/unpack.py", "import isal"),
        ("gate/calls.py", "import click"),
        ("probe/machine.py", "import rich"),
        ("report/names.py", "import demangle"),
        ("integrations/configuring.py", "import platformdirs"),
        ("store.py", "import platformdirs"),
        ("compat.py", "import capably.escaping"),  # neighbours are strangers
        ("newcomer.py", "import capably.errors"),  # a module without a place
    ],
)
def test_a_forbidden_import_is_refused(copy: Path, module: str, forbidden: str) -> None:
    path = copy / "src/capably" / module
    before = path.read_text() if path.exists() else ""
    path.write_text(before + f"\n{forbidden}  # injected\n")
    done = lint_imports(copy)
    assert done.returncode != 0, done.stdout
    assert "broken" in done.stdout.lower() or "newcomer" in done.stdout + done.stderr
