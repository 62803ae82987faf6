"""The documentation says what the program does: generated pages are current, examples and codes are there."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import click
import pytest

from capably.cli.app import cli as group
from capably.reasons import FINDINGS, REASONS

ROOT = Path(__file__).parents[1]
DOCS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")

_spec = importlib.util.spec_from_file_location("write_reference", ROOT / "tools/write_reference.py")
assert _spec is not None
assert _spec.loader is not None
write_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(write_reference)


@pytest.mark.parametrize("page", ["reasons", "commands"])
def test_generated_pages_are_current(page: str) -> None:
    current = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    assert getattr(write_reference, page)() == current, "run tools/write_reference.py"


def options() -> list[tuple[str, str]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += [
            (name, option) for parameter in command.params for option in parameter.opts if option.startswith("--")
        ]
    return found


def test_every_command_and_option_is_documented_and_has_help() -> None:
    context = click.Context(group)
    for name, option in options():
        command = group.get_command(context, name)
        assert command is not None
        assert command.help
        assert f"## capably {name}" in DOCS
        assert option in DOCS
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


@pytest.mark.parametrize("code", sorted({**REASONS, **FINDINGS}))
def test_every_code_is_documented(code: str) -> None:
    assert f"### {code}\n" in DOCS


def test_the_table_of_rules_is_what_the_engine_is_held_to() -> None:
    rules = (ROOT / "docs/rules.md").read_text(encoding="utf-8").split("## Seventeen cases")[1]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in rules.splitlines()
        if re.match(r"\| `\w+` on [0-9.]+ \|", line)
    ]
    table = [(*re.match(r"`(\w+)` on ([0-9.]+)", row[0]).groups(), row[2]) for row in cells]  # type: ignore[union-attr]
    cases = [json.loads(line) for line in (ROOT / "tests/data/rules17.jsonl").read_text().splitlines()]
    assert table == [(case["image"], case["device"], case["outcome"]) for case in cases]


def test_links_inside_the_repository_lead_somewhere() -> None:
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
