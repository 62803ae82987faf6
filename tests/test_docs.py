"""The documentation says what the program does: generated pages are current, examples and codes are there."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import click
import pytest
import where
import write_reference

from capably.arch import Target
from capably.archlist import Reading, read
from capably.cli.app import cli as group
from capably.codes import FINDINGS, REASONS
from capably.list_output import spell
from capably.tables import tables
from capably.version import CudaVersion

ROOT = Path(__file__).parents[1]
DOCS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["reasons", "commands", "gate", "dialects", "mistakes"])
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


def test_every_room_is_on_the_map_and_nothing_else() -> None:
    rooms = table("../CONTRIBUTING.md", "The rooms")[1:]
    named = [name for cell, _ in rooms for name in re.findall(r"`(\w+)`", cell)]
    there = {path.stem for path in (ROOT / "src/capably").iterdir() if (path / "__init__.py").exists()}
    there |= {path.stem for path in (ROOT / "src/capably").glob("[!_]*.py")}
    assert sorted(named) == sorted(there)
    for cell, text in rooms:
        (room, *others) = re.findall(r"`(\w+)`", cell)
        for part in re.findall(r"`(\w+)`", text) if not others else ():
            inside = ROOT / "src/capably" / room / part
            assert inside.exists() or inside.with_suffix(".py").exists(), f"{room}: {part}"


def test_every_path_that_contributors_are_told_of_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:src|tests|tools|docs)/[\w./-]+)(?: [A-Z ]+)?`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(\w+\.json)`", text):
        assert list((ROOT / "src/capably").rglob(name)), name


def test_every_code_leads_to_its_page_and_its_rule() -> None:
    for code in (*REASONS, *FINDINGS, *tables().causes):
        assert [place for place in where.said(code) if place.path.name != "messages.json"], code
        assert where.decided(code) or where.named(code), code


@pytest.mark.parametrize(
    ("code", "file", "function", "tables_asked"),
    [
        ("no-image-for-device", "engine/image.py", "sass", {"families", "architectures"}),
        ("zstd-needs-newer-driver", "engine/image.py", "feature", {"loading"}),  # a code that is put together
        ("tegra-isolated", "engine/image.py", "tegra", {"tegra"}),
        ("gpu-list-missing", "gate/answer.py", "_absent", set()),
    ],
)
def test_the_rule_behind_a_code_is_found(code: str, file: str, function: str, tables_asked: set[str]) -> None:
    place = where.decided(code)[0]
    assert place.path == ROOT / "src/capably" / file
    assert place.function == function
    assert place.tables == tables_asked
    assert where.main([code]) == 0
    assert where.main(["no-such-code"]) == 1


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
