"""The GitHub action and the pre-commit hooks: they use what there is, and the script of the action does its work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import build
import click
import pytest
import yaml

from capably.cli.audit import audit

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
STEP = next(step for step in ACTION["runs"]["steps"] if step["name"] == "Audit")


def known_options() -> dict[str, click.Option]:
    return {name: p for p in audit.params if isinstance(p, click.Option) for name in p.opts}


def test_the_action_uses_options_that_there_are() -> None:
    used = set(re.findall(r"--[a-z][a-z-]+", STEP["run"].replace("-- $WHEELS", "")))
    assert used <= set(known_options())
    assert {"--policy", "--require", "--driver", "--baseline", "--fail-on", "--format"} <= used
    formats = known_options()["--format"].type
    assert isinstance(formats, click.Choice)
    assert set(re.findall(r"--format (\w+)", STEP["run"])) <= set(formats.choices)


def test_inputs_of_the_action_reach_its_scripts_as_variables_only() -> None:
    assert ACTION["runs"]["using"] == "composite"
    used = set()
    for step in ACTION["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
        for name, value in step["env"].items():
            used.add(re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value)[1])  # type: ignore[index]
            assert f"${name}" in step["run"]
    assert used == set(ACTION["inputs"])
    fail_on = known_options()["--fail-on"]
    assert ACTION["inputs"]["fail-on"]["default"] == fail_on.default
    assert all(entry["description"] for entry in ACTION["inputs"].values())


def test_the_hooks_use_options_that_there_are() -> None:
    assert {hook["id"] for hook in HOOKS} == {"capably-policy", "capably-audit"}
    for hook in HOOKS:
        words = shlex.split(hook["entry"])
        assert words[:2] == ["capably", "audit"]
        assert {word for word in words[2:] if word != "--"} <= set(known_options())
        assert hook["language"] == "python"
        re.compile(hook["files"])


def test_the_documentation_names_all_inputs_and_hooks() -> None:
    text = (ROOT / "docs/audit.md").read_text(encoding="utf-8")
    assert all(f"id: {hook['id']}" in text for hook in HOOKS)
    block = next(found for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "jobs:" in found)
    steps = [step for job in yaml.safe_load(block)["jobs"].values() for step in job["steps"]]
    inputs = {name for step in steps if "capably" in step.get("uses", "") for name in step["with"]}
    assert inputs
    assert inputs <= set(ACTION["inputs"])


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """The environment of a step, with capably where the step before installs it."""
    home = tmp_path / "runner temp/capably/bin"
    home.mkdir(parents=True)
    program = home / "capably"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m capably "$@"\n')
    program.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CAPABLY_")},
        "PYTHONPATH": os.pathsep.join(sys.path),
        "RUNNER_TEMP": str(tmp_path / "runner temp"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "CAPABLY_CACHE_DIR": str(tmp_path / "cache"),
        **dict.fromkeys(STEP["env"], ""),
        "FAIL_ON": "partial",
    }


def as_the_runner_does(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The step in a file, by the command line that GitHub documents for `shell: bash`; its `-e` is the point."""
    script = Path(environment["RUNNER_TEMP"]) / "step.sh"
    script.write_text(STEP["run"])
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("failing", ["audit", "baseline"])
def test_every_report_is_there_when_the_step_fails(tmp_path: Path, runner: dict[str, str], failing: str) -> None:
    folder = tmp_path / "project"
    (folder / "dist").mkdir(parents=True)
    build.wheel(folder / "dist", "one", "1.0", {"one/_C.so": build.library(build.fatbin([build.sass("sm_90")]))})
    inputs = {"WHEELS": "dist/*.whl", "SARIF": "out.sarif", "JUNIT": "out.xml", "REQUIRE": "H100"}
    if failing == "audit":
        inputs |= {"REQUIRE": "T4"}
    else:  # an index that answers with nothing
        (tmp_path / "index").mkdir()
        inputs |= {"BASELINE": "one==0.9", "PIP_INDEX_URL": (tmp_path / "index").as_uri(), "PIP_NO_INPUT": "1"}
    done = as_the_runner_does(folder, {**runner, **inputs})
    assert done.returncode == (1 if failing == "audit" else 2), done
    errors = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert len(errors) == 1
    assert errors[0].startswith("::error title=one 1.0" if failing == "audit" else "::error title=one==0.9::")
    (log,) = json.loads((folder / "out.sarif").read_text())["runs"]
    cases = ET.parse(folder / "out.xml").getroot()  # noqa: S314 - our own
    summary = (tmp_path / "summary.md").read_text()
    assert "    one 1.0" in summary
    if failing == "audit":
        assert log["results"]
        assert list(cases.iter("failure"))
    else:
        assert "one==0.9" in json.dumps(log)
        assert [case.get("name") for case in cases.iter("testcase") if case.find("error") is not None]
        assert "error: one==0.9" in summary or "one==0.9" in summary


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_what_the_action_does_not_understand_is_an_annotation(tmp_path: Path, runner: dict[str, str]) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    done = as_the_runner_does(folder, {**runner, "WHEELS": "x.whl", "REQUIRE": "RTX 5900 100%"})
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert line.startswith("::error title=capably audit::")
    assert "RTX 5900 100%25" in line


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_of_the_action(tmp_path: Path, runner: dict[str, str]) -> None:
    folder = tmp_path / "project"
    (folder / "dist").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[tool.capably]\nrequire = 'H100'\n")
    for name in ("one", "two"):
        library = build.library(build.fatbin([build.sass("sm_90")]))
        build.wheel(folder / "dist", name, "1.0", {f"{name}/_C.so": library})

    def step(**inputs: str) -> subprocess.CompletedProcess[str]:
        return as_the_runner_does(folder, {**runner, **inputs})

    good = step(WHEELS="dist/*.whl", SARIF="out.sarif", JUNIT="out.xml")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.count("nothing is wrong with it") == 2
    assert len(json.loads((folder / "out.sarif").read_text())["runs"]) == 1
    assert len(ET.parse(folder / "out.xml").getroot()) == 2  # noqa: S314 - our own
    summary = (tmp_path / "summary.md").read_text()
    assert "    one 1.0" in summary
    bad = step(WHEELS="dist/one-*.whl", REQUIRE="T4, RTX 5090")
    assert bad.returncode == 1
    assert bad.stdout.startswith("::error file=pyproject.toml,title=one 1.0")
    # What is written in an input is a value, whatever it looks like.
    sly = step(WHEELS="dist/one-*.whl", DRIVER="$(touch owned); touch owned", REQUIRE='"; touch owned; "')
    assert sly.returncode == 2
    assert not (folder / "owned").exists()
    assert step(WHEELS="dist/none-*.whl").returncode == 2
