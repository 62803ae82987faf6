"""Writes what follows from the code in ``docs``: ``reasons.md``, ``commands.md``, ``mistakes.md``, parts of ``gate.md``, ``dialects.md``.

Run it after a change of a reason, a row or an option; a test compares its output with the files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capably.arch import ComputeCapability
from capably.archlist import DIALECTS, VARIABLES
from capably.codes import FINDINGS, REASONS, Page
from capably.errors import IncompatibleError
from capably.facts import Device, Driver, DriverState, Finding, Toolkit, ToolkitKind, Visibility
from capably.gate import Policy, decide
from capably.probe.fleet import Look
from capably.report.explain import example
from capably.requirement import Requirement
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCS = Path(__file__).parents[1] / "docs"


def reasons() -> str:
    """``docs/reasons.md``: a page for every code, and the sources."""
    lines = [
        "# Reasons and findings",
        "",
        "*Written by `tools/write_reference.py` from `src/capably/codes`.*",
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
        "| 3 | cannot tell: only unknowns stand between the answer and a pass, or the files of what was named are not known |",
        "| 130 | interrupted: Ctrl-C |",
        "",
        "Answers go to standard output and nothing else does; progress, notes and errors go to standard error.",
        "",
    ]
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n"


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    settings = {**command.context_settings, "color": False, "terminal_width": 100, "max_content_width": 100}
    return click.Context(command, info_name=name, parent=parent, **settings)


# What people write in place of a requirement, or of another argument.
MISTAKES = (
    *(
        f"require({text!r})"
        for text in (
            "=>7.5", ">=7", ">=12", "7", "10", ">=7.5.0", "9.0.1", "= 9.0", "===9.0", "<>9.0", "≥7.5", "> = 8.0", "~=8.0",
            "8.0 or 9.0", "8.0 || 9.0", "8.0 9.0", "8.0;9.0", "8.0-9.0", "[8.0, 9.0]", "{8.0 9.0}", "(9, 0)",
            ">=7.5 and driver>=550", "at least 8.0", "8.0 or newer", "sm>=80", "compute capability >= 8.0", "compute_90",
            "compute_90a", "sm-90", "9.0+PTX", ">=9.0a", "8.0a", "90f", "8.0,9.0", ">=9.0,<8.0", "driver>=580,driver<550",
            "H100", ">=RTX 4090", "hopper", "ampere or newer", "fp-8", "bfloat16", "tensor cores", "wgma", "not fp8",
            "!=fp8", "", "any", "driver 550", "cuda>=12.8.1", "nvcc>=12.8", "torch>=2.9", "memory>=40", "smem>=99",
        )
    ),
    "require(90)",
    "require((9, 0))",
    "require(7.5)",
    "require(None)",
    "require(['8.0', '9.0'])",
    "require('>=7.5', devices='some')",
    "require('>=7.5', devices=[])",
    "require('>=7.5', policy='build_list')",
    "require('>=7.5', dialect='flashinfr')",
    "require('>=7.5', toolkit='cu128')",
    "require('>=7.5', toolkit=12.8)",
    "supports('>=7.5', 'gpu:0')",
    "supports('>=7.5', 'cuda0')",
    "supports('>=7.5', 0.0)",
)  # fmt: skip


def mistakes() -> str:
    """``docs/mistakes.md``: what the gate answers to each, on any machine."""
    lines = [
        "# Mistakes, and what is answered",
        "",
        "*Written by `tools/write_reference.py` from what the gate says.*",
        "",
        "What people write in place of a [requirement](gate.md#requirements) or of another argument. It is refused before any",
        "GPU is asked, so that the answer is the same on a machine that has none: a `ParseError`, an `UnknownNameError`, a",
        "`ValueError` or a `TypeError`. What is suggested has been read and checked.",
        "",
        "| written | answer |",
        "|---|---|",
    ]
    for call in MISTAKES:
        shown = call.replace("|", "\\|")
        lines.append(f"| `{shown}` | {mistaken(call)} |")
    return "\n".join(lines) + "\n"


def mistaken(call: str) -> str:
    """The first line of the error of a call, for a cell."""
    import capably  # noqa: PLC0415 - of a page only

    try:
        eval(call, {"require": capably.require, "supports": capably.supports})  # noqa: S307 - of the list above
    except (ValueError, LookupError, TypeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}".replace("|", "\\|")
    raise AssertionError(f"{call} is no mistake")


# Title, cause, GPUs (name, capability, UUID), requirement, and what else the gate is given.
_ERRORS: tuple[tuple[str, str, tuple[tuple[str, str, str], ...], str, dict[str, str]], ...] = (
    (
        "The GPU is too old",
        "The only case in which a text says so: a GPU is there, was asked, and falls short of what hardware has to have.",
        (("Tesla V100-SXM2-16GB", "7.0", "GPU-8f7d1c22"),),
        ">=7.5",
        {},
    ),
    (
        "One GPU of several falls short",
        'With `devices="all"`. Each is judged for itself; the way out leaves the others.',
        (("NVIDIA GeForce RTX 3090", "8.6", "GPU-1d3a96b0"), ("NVIDIA GeForce RTX 4090", "8.9", "GPU-5c2f7e41")),
        "fp8",
        {},
    ),
    (
        "The GPU is newer than the code",
        "Code for 9.0a loads on 9.0 alone: a newer GPU is no better than an older one.",
        (("NVIDIA GeForce RTX 5090", "12.0", "GPU-0b6e4d13"),),
        "9.0a",
        {},
    ),
    ("There is no GPU", "Nothing was found, so nothing is too old.", (), ">=7.5", {"absence": "no-nvidia-device"}),
    (
        "CUDA_VISIBLE_DEVICES hides all",
        "Often left over from a scheduler or a shell.",
        (),
        ">=7.5",
        {"absence": "hidden-by-environment", "value": ""},
    ),
    (
        "The driver fails",
        "The GPU cannot be asked, so nothing is said about it.",
        (),
        ">=7.5",
        {"absence": "driver-library-mismatch", "user": "580.65.06", "kernel": "570.124.06"},
    ),
    (
        "The driver is too old",
        "The GPU is fine, and the text says so.",
        (("NVIDIA H100 80GB HBM3", "9.0", "GPU-77aa0f95"),),
        "9.0a,driver>=580",
        {},
    ),
    (
        "The compiler is too old",
        "Some releases of FlashInfer say `requires GPUs with sm75 or higher` here (flashinfer-ai/flashinfer#3674).",
        (("NVIDIA GeForce RTX 5090", "12.0", "GPU-0b6e4d13"),),
        "12.0f",
        {"toolkit": "12.8"},
    ),
    (
        "The list names nothing that will do",
        'On a build machine (`policy="build-list"`): plain targets do not have the instructions of FP4.',
        (),
        "fp4",
        {"policy": "build-list", "TORCH_CUDA_ARCH_LIST": "9.0a;10.0;12.0"},
    ),
    (
        "It is not known",
        "The GPU is newer than the tables. Unknown is neither yes nor no, and `supports` is false.",
        (("NVIDIA GPU of tomorrow", "99.9", "GPU-c0ffee00"),),
        "99.9f",
        {},
    ),
)


def _error(gpus: tuple[tuple[str, str, str], ...], needed: str, given: dict[str, str]) -> str:
    """What `capably.require` says on such a machine."""
    devices = tuple(
        Device(ComputeCapability.parse(capability), name, ordinal=number, uuid=uuid)
        for number, (name, capability, uuid) in enumerate(gpus)
    )
    code = given.get("absence")
    found = (Finding(code, "driver", FINDINGS[code].message.format_map(given)),) if code else ()
    driver = Driver(DriverRelease(570, 124, 6), CudaVersion(12, 8))
    seen = Look(devices, devices, Visibility(None, None), DriverState(), driver, code, found)
    cuda = given.get("toolkit")
    answer = decide(
        Requirement.parse(needed),
        Policy(given.get("policy", "device")),
        seen,
        given,
        toolkit=Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(cuda)) if cuda else None,
    )
    try:
        answer.require("FlashInfer", "any" if answer.entries else "all")
    except IncompatibleError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"{needed} is met by {gpus}")


def gate() -> str:
    """``docs/gate.md`` with its errors as they are raised."""
    lines = [""]
    for number, (title, cause, gpus, needed, given) in enumerate(_ERRORS, 1):
        lines += [f"### {number}. {title}", "", cause, "", "```", _error(gpus, needed, given), "```", ""]
    return _filled("gate", lines)


def dialects() -> str:
    """``docs/dialects.md`` with the dialects and versions that the table has."""
    lines = ["| dialect | where the list stands | reads otherwise from | ignored |", "|---|---|---|---|"]
    for name in DIALECTS:
        rows = [row for row in tables().dialects if row.dialect == name]
        since = ", ".join(".".join(map(str, row.since)) for row in rows)
        lines.append(f"| `{name}` | `{VARIABLES[name]}` | {since} | {rows[-1].ignored or ''} |")
    return _filled("dialects", lines)


def _filled(page: str, lines: list[str]) -> str:
    """A page with *lines* between its marks."""
    before, mark, rest = (DOCS / f"{page}.md").read_text(encoding="utf-8").partition("tools/write_reference.py -->\n")
    return "\n".join([f"{before}{mark}{chr(10).join(lines)}", rest[rest.index("<!-- end -->") :]])


def main() -> int:
    """Write the files."""
    for page in (reasons, commands, gate, dialects, mistakes):
        (DOCS / f"{page.__name__}.md").write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
