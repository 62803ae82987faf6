"""Writes the parts of the documentation that follow from the code: ``docs/reasons.md``, ``docs/commands.md``.

Run it after a change of a reason, a source or an option; a test compares its output with the files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capably.knowledge import tables
from capably.reasons import FINDINGS, REASONS, Page
from capably.report.explain import example

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCS = Path(__file__).parents[1] / "docs"


def reasons() -> str:
    """``docs/reasons.md``: a page for every code, and the sources."""
    lines = [
        "# Reasons and findings",
        "",
        "*Written by `tools/write_reference.py` from `src/capably/reasons.py`.*",
        "",
        "Codes are permanent. A **reason** is an argument about an image on a device, and the outcome follows from the",
        "reasons. A **finding** is something else to know, and never changes an outcome. Words in braces are filled in.",
        "",
        "## Reasons",
        "",
        *_pages(REASONS.values()),
        "## Findings",
        "",
        *_pages(FINDINGS.values()),
        "## Causes",
        "",
        "What may be behind an error message; `capably explain` tests them on a machine.",
        "",
        *_causes(),
        "## Messages",
        "",
        "What `capably explain` recognises in a log, with the causes that it tells apart.",
        "",
        "| message | about | causes |",
        "|---|---|---|",
        *(
            f"| {message.title} | {message.subject} | {', '.join(f'`{code}`' for code in message.causes)} |"
            for message in tables().messages
        ),
        "",
        "## Sources",
        "",
    ]
    sources = sorted(tables().sources.values(), key=lambda source: source.key)
    lines += [f"- `{source.key}`: {source.title}" + (f", <{source.url}>" if source.url else "") for source in sources]
    return "\n".join(lines) + "\n"


def _pages(pages: Iterable[Page]) -> Iterator[str]:
    for page in pages:
        yield f"### {page.code}"
        yield ""
        yield f"**{page.title}.** {page.cause}"
        yield ""
        yield f"- says: {page.message}"
        if example(page) != page.message:
            yield f"- example: {example(page)}"
        if page.way_out:
            yield f"- way out: {page.way_out}"
        if page.sources:
            yield f"- sources: {', '.join(f'`{key}`' for key in page.sources)}"
        yield ""


def _causes() -> Iterator[str]:
    for cause in tables().causes.values():
        yield f"### {cause.code}"
        yield ""
        yield f"**{cause.title}.** {cause.cause}"
        yield ""
        yield f"- way out: {cause.way_out}"
        yield f"- to find out: `{cause.next}`"
        yield f"- sources: {', '.join(f'`{key}`' for key in cause.sources)}"
        yield ""


def commands() -> str:
    """``docs/commands.md``: the help of every command."""
    from capably.cli.app import cli as group  # noqa: PLC0415 - reasons() needs no command

    context = _context(group, "capably")
    lines = ["# Commands", "", "*Written by `tools/write_reference.py` from the commands' own help.*", ""]
    lines += ["```", group.get_help(context), "```", ""]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            continue
        child = _context(command, name, context)
        lines += [f"## capably {name}", "", "```", command.get_help(child), "```", ""]
        for part, below in sorted(getattr(command, "commands", {}).items()):
            lines += [f"### capably {name} {part}", "", "```", below.get_help(_context(below, part, child)), "```", ""]
    lines += [
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        "| 0 | answered, and nothing that was asked for is breached |",
        "| 1 | a definite breach of `--fail-on`; for `conform`, a wrong answer |",
        "| 2 | wrong use, an input that cannot be read, or a failure of capably itself |",
        "| 3 | cannot tell: only unknowns stand between the answer and a pass |",
        "",
        "Answers go to standard output and nothing else does; progress, notes and errors go to standard error.",
        "",
    ]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n"


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    settings = {**command.context_settings, "color": False, "terminal_width": 100, "max_content_width": 100}
    return click.Context(command, info_name=name, parent=parent, **settings)


def main() -> int:
    """Write both files."""
    for name, text in (("reasons.md", reasons()), ("commands.md", commands())):
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
