"""The documentation says what the program does: generated pages are current, examples and codes are there."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from pathlib import Path

import click
import pytest

from capably.arch import Target
from capably.archlist import DIALECTS, VARIABLES, Reading, read
from capably.cli.app import cli as group
from capably.codes import FINDINGS, REASONS
from capably.list_output import spell
from capably.tables import tables
from capably.version import CudaVersion

ROOT = Path(__file__).parents[1]
DOCS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")

_spec = importlib.util.spec_from_file_location("write_reference", ROOT / "tools/write_reference.py")
assert _spec is not None
assert _spec.loader is not None
write_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(write_reference)


@pytest.mark.parametrize("page", ["reasons", "commands", "gate"])
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


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, the row of dashes left out."""
    below = (ROOT / "docs" / page).read_text(encoding="utf-8").split(f"## {heading}\n")[1]
    lines = list(itertools.takewhile(lambda line: line.startswith("|"), below[below.index("\n|") + 1 :].splitlines()))
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if not line.startswith("|---")]


def shown(reading: Reading) -> str:
    if reading.error is not None:
        return f"*{reading.error.code}*"
    return " ".join(f"`{target}`" for target in reading.targets or ()) or "nothing"


def test_the_table_of_dialects_is_that_of_the_tool() -> None:
    rows = [[cell.strip("` |") for cell in row] for row in table("dialects.md", "The dialects")[1:]]
    assert [row[0] for row in rows] == list(DIALECTS)
    for name, variable, since, ignored in rows:
        known = [row for row in tables().dialects if row.dialect == name]
        assert variable == VARIABLES[name]
        assert since == ", ".join(".".join(map(str, row.since)) for row in known)
        assert ignored == (known[-1].ignored or "").strip("`")


def test_what_the_documentation_says_about_lists_is_what_is_answered() -> None:
    head, *rows = table("dialects.md", "The same text, tool by tool")
    tools = [cell.split() for cell in head[1:]]
    toolkit = CudaVersion(13, 0)
    assert len(rows) > 20
    for text, *cells in rows:
        given = text.strip("`").replace("␣", " ")
        found = [shown(read(given, *tool, devices=[], toolkit=toolkit)) for tool in tools]
        assert found == [cell.strip(" |") for cell in cells], given
    for dialect, text, answers in table("dialects.md", "The same text, version by version")[1:]:
        for answer in answers.strip(" |").split("; "):
            version, _, said = answer.partition(": ")
            assert shown(read(text.strip("`"), dialect, version, devices=[])) == said, (dialect, text, version)
    for targets, *cells in table("dialects.md", "From one dialect into another")[1:]:
        wanted = [Target.parse(name) for name in targets.strip("`").split()]
        written = [spell(wanted, *tool, toolkit=toolkit).text for tool in tools]
        assert [f"`{text}`" if text is not None else "cannot" for text in written] == [c.strip(" |") for c in cells], (
            targets
        )
