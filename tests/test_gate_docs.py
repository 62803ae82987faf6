"""The pages about the gate say what it does: commands are run, and every cell of the table is asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import capably
from capably.arch import ComputeCapability
from capably.errors import IncompatibleError
from capably.facts import Device, DriverState, Visibility
from capably.gate import Policy, decide
from capably.probe.fleet import Look
from capably.requirement import Requirement

ROOT = Path(__file__).parents[1]
USERS = (ROOT / "docs/users.md").read_text(encoding="utf-8")
MAINTAINERS = (ROOT / "docs/maintainers.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"<!-- machine: (\S+) -->\n```console\n\$ (.*)\n((?:.*\n)*?)```", USERS)


@pytest.mark.parametrize(("machine", "command", "output"), EXAMPLES)
def test_each_command_prints_what_the_page_shows(tmp_path: Path, machine: str, command: str, output: str) -> None:
    program = tmp_path / "capably"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m capably "$@"\n')
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CAPABLY_", "CUDA_", "TORCH_"))}
    variables = {
        **kept,
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "CAPABLY_SYSTEM": str(ROOT / f"tests/data/systems/{machine}.json"),
        "NO_COLOR": "1",
    }
    done = subprocess.run(["/bin/sh", "-c", command], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == output
    assert not done.stderr


def test_the_steps_are_in_the_order_of_the_report() -> None:
    assert re.findall(r"(?m)^## \d\. (\w+)", USERS) == ["Confirm", "Restrict", "Another"]
    assert len(EXAMPLES) >= 8


COLUMNS: dict[str, tuple[str, str]] = {
    "1, any": ("device", "any"),
    "1, all": ("device", "all"),
    "listed": ("device", "listed"),
    "2": ("build-list", "any"),
    "3": ("override", "any"),
}


def rows() -> list[list[str]]:
    table = MAINTAINERS.split("## What each says\n")[1].strip().split("\n\n")[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_three_schemes_say_what_the_table_says() -> None:
    head, _, *cases = rows()
    assert head[2:] == list(COLUMNS)
    assert len(cases) >= 9
    for gpus, listed, *expected in cases:
        capabilities = [] if gpus == "none" else gpus.split()
        found = tuple(Device(ComputeCapability.parse(text), ordinal=n) for n, text in enumerate(capabilities))
        seen = Look(found, found, Visibility(None, None), DriverState())
        environ = {} if listed == "not set" else {"TORCH_CUDA_ARCH_LIST": listed.strip("`")}
        said = []
        for policy, devices in COLUMNS.values():
            try:
                decide(Requirement.parse(">=7.5"), Policy(policy), seen, environ).require(devices=devices)
                said.append("passes")
            except IncompatibleError as error:
                said.append(type(error).__name__)
        assert said == expected, (gpus, listed)


@pytest.mark.parametrize("line", re.findall(r"(?m)^capably\.require\(.*\)$", MAINTAINERS))
def test_each_replacement_is_one_line_that_works(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPABLY_SYSTEM", str(ROOT / "tests/data/systems/h100x2-r535.json"))
    for name in ("TORCH_CUDA_ARCH_LIST", "CAPABLY_GPUS"):
        monkeypatch.delenv(name, raising=False)
    assert len(eval(line, {"capably": capably})) == 2  # noqa: S307 - of our own page
