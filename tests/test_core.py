"""The core: no package, and no Python newer than the oldest that is supported."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]  # what an expression is made of

import build
import core_files
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version
from plain import unmeasured

from capably.scanner import scan
from capably.scanner.release import normal_version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src/capably"
OLDEST = (3, 10)
RECORD: dict[str, list[str]] = json.loads((ROOT / "tests/data/oldest_python.json").read_text())
# What may be there; each is done without.
OPTIONAL = {
    ("compat.py", "typing_extensions"),  # for type checkers only
    ("integrations/pytest.py", "pytest"),  # which loads it
    ("scanner/inflate.py", "isal"),
}
# Behind a look at the version.
GUARDED = {("compat.py", "enum.StrEnum"), ("cli/policy.py", "tomllib")}


def core() -> list[Path]:
    return [path for path in sorted(SOURCES.rglob("*.py")) if "cli" not in path.parts]


def packages(source: str) -> set[str]:
    """What a source imports that is neither of the standard library nor ours."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"capably"}


def lacking(source: str) -> list[str]:
    """What the oldest Python does not have of the names, the syntax and the regular expressions in a source."""
    try:
        tree = ast.parse(source, feature_version=OLDEST)
    except SyntaxError as error:
        return [f"syntax: {error.msg}"]
    modules: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                found += [] if known(alias.name) else [alias.name]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [f"{node.module}.{one.name}" for one in node.names if not known(node.module, one.name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module is not None and not known(module, node.attr):
                found.append(f"{module}.{node.attr}")
        elif isinstance(node, ast.Attribute) and node.attr in NEW_METHODS:
            found.append(f".{node.attr}")
        elif isinstance(node, ast.Subscript) and any(isinstance(one, ast.Starred) for one in ast.walk(node.slice)):
            found.append("syntax: a star in an index")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and new_expression(node.value):
            found.append(f"expression: {node.value!r}")
    return found


NEW_METHODS = {"add_note", "file_digest", "is_junction", "walk_up"}
"""Of objects, whose type cannot be seen here."""


def known(module: str, name: str | None = None) -> bool:
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return True
    if name is not None and f"{module}.{name}" in RECORD:
        return True
    return module in RECORD and (name is None or name in RECORD[module])


def new_expression(text: str | bytes) -> bool:
    """Whether it has what regular expressions got in 3.11: possessive repeats and atomic groups. Prose has neither."""
    if not re.search(r"[*+?}]\+|\(\?>", text.decode("latin-1") if isinstance(text, bytes) else text):
        return False
    try:
        parts = repr(list(_parser.parse(text)))
    except (re.error, ValueError):
        return False  # prose
    return "POSSESSIVE" in parts or "ATOMIC" in parts


PROSE = ("logs/symbols.py",)  # C++11, torch's C++


@pytest.mark.skipif(sys.version_info < (3, 11), reason="says itself what it lacks")
def test_the_sources_use_nothing_that_the_oldest_python_lacks() -> None:
    wrong = []
    for path in sorted(SOURCES.rglob("*.py")):
        place = path.relative_to(SOURCES).as_posix()
        found = [one for one in lacking(path.read_text()) if (place, one) not in GUARDED]
        if place in PROSE:
            found = [one for one in found if not one.startswith("expression: ") or "C++" not in one]
        wrong += [f"{place}: {one}" for one in found]
    # `add_note` of our own errors is our own method.
    assert [one for one in wrong if not one.endswith(": .add_note")] == []
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.10"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="as above")
@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import enum\nclass A(enum.StrEnum): pass", "enum.StrEnum"),
        ("from enum import StrEnum", "enum.StrEnum"),
        ("import hashlib as h\nh.file_digest", "hashlib.file_digest"),
        ("import tomllib", "tomllib"),
        ("from typing import Self", "typing.Self"),
        ("from datetime import UTC", "datetime.UTC"),
        ("try: pass\nexcept* OSError: pass", "syntax"),
        ("def f[T](x: T) -> T: return x" if sys.version_info >= (3, 12) else "a[*b]", "syntax"),
        ("import re\nre.compile(r'a++')", "expression"),
        ("X = rb'(?>a|b)c'", "expression"),
        ("def f(e): e.x.add_note('a')", ".add_note"),
    ],
)
def test_what_the_oldest_python_lacks_is_seen(source: str, what: str) -> None:
    assert any(one.startswith(what) for one in lacking(source)), lacking(source)


def test_the_core_imports_no_package() -> None:
    found = {(path.relative_to(SOURCES).as_posix(), name) for path in core() for name in packages(path.read_text())}
    assert found == OPTIONAL
    assert packages("def f():\n    import click.testing") == {"click"}


def test_the_wheel_depends_on_nothing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == []
    names = [re.split(r"[\[>=;]", text)[0] for text in project["optional-dependencies"]["cli"]]
    assert "pip" not in names
    assert {"click", "rich", "lz4", "zstandard", "isal"} <= set(names)
    assert "capably[cli]" in project["optional-dependencies"]["test"]


def test_the_core_does_its_work_without_any_package(tmp_path: Path) -> None:
    core_files.write(tmp_path)
    variables = {**unmeasured(), "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "tests/core_check.py"), str(tmp_path)],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "zstd wheel, findings: [('codec-missing', True)]" in done.stdout
    assert "capably check: (2, '', 1, True)" in done.stdout


def bare(code: str) -> str:
    """What *code* prints where no package is installed."""
    variables = {**unmeasured(), "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=variables, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_codec_that_is_missing_is_told_once(tmp_path: Path) -> None:
    fatbins = [build.fatbin([build.sass(f"sm_{number}", compression="zstd")]) for number in (75, 80, 86, 89, 90)]
    path = build.wheel(tmp_path, "a", "1", {"a.so": build.library(*fatbins * 8)})
    code = (
        "from capably.scanner import scan; "
        f"artifact = scan({str(path)!r}, with_kernels=True); print(len(artifact.libraries[0].fatbins)); "
        "print(*[f'{one.code}: {one.message}' for one in artifact.findings], sep='\\n')"
    )
    count, *findings = bare(code).splitlines()
    assert int(count) == len(scan(path).libraries[0].fatbins)
    (finding,) = findings
    assert finding.startswith("codec-missing: Images that are compressed with zstd were not looked into")
    assert finding.endswith("zstd needs the package zstandard, which is not installed (pip install 'capably[cli]').")


def test_large_lz4_needs_its_package_and_small_is_read_without(tmp_path: Path) -> None:
    for filler, wanted in ((1 << 10, []), (2 << 20, ["codec-missing"])):
        image = build.sass("sm_90", kernels=("k",), names_first=False, filler=filler, compression="lz4")
        path = tmp_path / f"{filler}.so"
        path.write_bytes(build.library(build.fatbin([image])))
        code = f"from capably.scanner import scan; print(*[one.code for one in scan({str(path)!r}, with_kernels=True).findings])"
        assert bare(code).split() == wanted


def test_names_of_kernels_are_shown_as_they_are_without_a_demangler() -> None:
    code = "from capably.report.names import *; print(demangled('_Z6kernelIfEvPT_'), without_parameters('_Z1gPf'))"
    assert bare(code).split() == ["_Z6kernelIfEvPT_", "_Z1gPf"]


PIECES = [
    "1",
    "0",
    "01",
    "2.0",
    ".",
    "_",
    "-",
    "a",
    "ALPHA",
    "b",
    "rc",
    "c",
    "pre",
    "post",
    "rev",
    "r",
    "dev",
    "+",
    "cu12",
    "v",
    "1!",
    "K",
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join))
def test_versions_of_wheels_are_read_as_packaging_reads_them(text: str) -> None:
    try:
        wanted: str | None = str(Version(text))
    except InvalidVersion:
        wanted = None
    assert normal_version(text) == wanted


def test_no_pip_and_no_uv_is_said(tmp_path: Path) -> None:
    """In an environment that has neither; and a uv in the folder where one stands is not run."""
    fake = tmp_path / "uv"
    fake.write_text("#!/bin/sh\ntouch ran\n")
    fake.chmod(0o755)
    code = (
        "import sys, importlib; sys.path += {!r}; from capably.cli import main; "
        "sys.exit(main(['check', 'demo==1.0', '--gpu', 'T4']))"
    ).format([path for path in sys.path if "site-packages" in path])
    bare_python = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare_python], check=True)
    python = bare_python / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    variables = {
        **unmeasured(),
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": "",
        "CAPABLY_CACHE_DIR": str(tmp_path / "cache"),
    }
    variables["PATH"] = os.pathsep.join([".", ""])
    done = subprocess.run(
        [python, "-c", code], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "there is no pip, nor is there uv" in done.stderr
    assert "Install pip or uv" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_uv_brings_pip_without_the_configuration_that_lies_about(tmp_path: Path) -> None:
    """A stand-in for uv notes how it is called, and then does as uv: it starts a Python that has pip."""
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = folder / "uv"
    fake.write_text(
        f'#!{sys.executable}\nimport os, sys\nopen({str(tmp_path / "called")!r}, "a").write(repr(sys.argv[1:12]) + "\\n")\n'
        f'at = sys.argv.index("python")\nos.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[at + 1:]])\n'
    )
    fake.chmod(0o755)
    bare_python = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare_python], check=True)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    build.wheel(wheels, "demo", "1.0", {"demo.so": core_files.library("none")}, platform="any")
    code = (
        "import sys; sys.path += {!r}; from capably.cli import main; "
        "sys.exit(main(['check', 'demo==1.0', '--gpu', 'H100', '--json']))"
    ).format([path for path in sys.path if "site-packages" in path])
    variables = {
        **unmeasured(),
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": str(folder),
        "CAPABLY_CACHE_DIR": str(tmp_path / "cache"),
    }
    variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    done = subprocess.run(
        [bare_python / "bin/python", "-c", code],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["headline"] == "yes"
    calls = [ast.literal_eval(line) for line in (tmp_path / "called").read_text().splitlines()]
    for call in calls:
        assert {"--no-config", "--isolated"} <= set(call)
        assert call[call.index("--python") + 1] == str(bare_python / "bin/python")
