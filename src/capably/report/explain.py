"""What ``capably explain`` answers: the page of a code, the list of codes, or what a log means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capably.codes import FINDINGS, REASONS, Page
from capably.logs import State
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.logs import Explanation
    from capably.report.layout import Style
    from capably.tables import Cause

__all__ = ["codes_document", "codes_text", "example", "log_document", "log_text", "page_document", "page_text"]

_SCHEMA = 1

# Values for the braces of a page that has no other in its own example.
_COMMON = {
    "target": "sm_90",
    "target_capability": "9.0",
    "capability": "12.0",
    "wanted": "sm_120 or compute_120",
    "members": "12.0, 12.1",
    "ptx": "8.7",
    "accepted": "8.4",
    "driver": "R550 (CUDA 12.4)",
    "needed": "12.8",
    "release": " (570.26)",
    "last": "580",
    "first": "570",
    "built": "12.8",
    "renamed": "11.0",
    "kind": "0x40",
    "horizon": "12.1",
    "subject": "pkg/_C.so",
    "device": "RTX 5090",
    "hosts": "aarch64",
    "name": "cuda128",
    "there": "cuda126",
    "count": "1",
    "problem": "libcuda.so.1: cannot open shared object file",
    "error": "999",
    "user": "550.54.14",
    "kernel": "535.183.01",
    "library": "/usr/local/cuda/compat/libcuda.so.1",
    "value": "",
    "call": "cuInit",
    "seconds": "10",
    "what": "SIGSEGV",
    "platform": "darwin",
    "cuda": "12.0",
    "nvml": "12.1",
    "entry": "7",
    "kept": "2",
    "hidden": "1",
    "listed": "nvcc 12.8 (PATH), nvcc 13.0 (CUDA_HOME)",
    "path": "/usr/local/cuda/bin/nvcc",
    "files": "12",
    "needs": "CUDA 12.8",
    "asked": "RTX 5090",
}


def example(page: Page) -> str:
    """The sentence of *page*, filled in with a realistic case."""
    return page.message.format_map({**_COMMON, **page.example})


def _sources(keys: Iterable[str]) -> list[dict[str, str]]:
    known = tables().sources
    return [{"key": key, "title": known[key].title, "url": known[key].url} for key in keys]


def _way_out(page: Page) -> str:
    return page.way_out.format_map({**_COMMON, **page.example})


def page_document(page: Page | Cause) -> dict[str, Any]:
    """The page of a reason, a finding or a cause."""
    return {
        "schema": _SCHEMA,
        "page": {
            "code": page.code,
            "kind": "reason" if page.code in REASONS else "finding" if page.code in FINDINGS else "cause",
            "title": page.title,
            "cause": page.cause,
            "example": example(page) if isinstance(page, Page) else None,
            "way_out": _way_out(page) if isinstance(page, Page) else page.way_out,
            "next": None if isinstance(page, Page) else page.next,
            "sources": _sources(page.sources),
        },
        "codes": [],
        "explanations": [],
    }


def codes_document() -> dict[str, Any]:
    """All codes that have a page."""
    codes = [
        {"code": page.code, "kind": kind, "title": page.title}
        for kind, pages in (("reason", REASONS), ("finding", FINDINGS), ("cause", tables().causes))
        for page in pages.values()
    ]
    return {"schema": _SCHEMA, "page": None, "codes": codes, "explanations": []}


def log_document(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """What a log means."""
    return {
        "schema": _SCHEMA,
        "page": None,
        "codes": [],
        "explanations": [
            {
                "message": one.found.message.code,
                "title": one.found.message.title,
                "subject": one.found.message.subject,
                "excerpt": one.found.excerpt,
                "lines": one.found.lines,
                "more": one.found.more,
                "params": dict(one.found.params),
                "means": one.found.message.means,
                "answer": one.answer,
                "eliminated": one.eliminated,
                "note": one.note,
                "causes": [
                    {
                        "code": judged.cause.code,
                        "title": judged.cause.title,
                        "state": judged.state,
                        "evidence": list(judged.evidence),
                        "way_out": judged.cause.way_out,
                        "next": judged.cause.next,
                    }
                    for judged in one.causes
                ],
                "sources": _sources(one.found.message.sources),
            }
            for one in explanations
        ],
    }


# -- text


def page_text(page: Page | Cause, style: Style) -> str:
    """The page of a code, for people."""
    shown = page_document(page)["page"]
    lines = [f"{style.paint(shown['code'], 'strong')} ({shown['kind']})", ""]
    lines += style.wrap(f"{shown['title']}.")
    lines += style.wrap(shown["cause"])
    lines.append("")
    for name, label in (("example", "example"), ("way_out", "way out"), ("next", "to find out")):
        if shown[name]:
            lines += style.wrap(style.safe(shown[name]), f"{label + ':':<13}", " " * 13)
    lines += _source_lines(shown["sources"], style)
    return "\n".join(lines) + "\n"


def _source_lines(sources: list[dict[str, str]], style: Style) -> Iterator[str]:
    for number, source in enumerate(sources):
        yield from style.wrap(style.safe(source["title"]), "sources:     " if number == 0 else " " * 13, " " * 13)
        if source["url"]:
            yield " " * 15 + style.safe(source["url"])  # whole, so that it can be opened


def codes_text(style: Style) -> str:
    """All codes, for people."""
    lines: list[str] = []
    for kind, title in (
        ("reason", "Reasons (of an image on a device)"),
        ("finding", "Findings (of files and machines)"),
        ("cause", "Causes (of error messages)"),
    ):
        lines += [*([""] if lines else []), style.paint(title, "strong")]
        codes = [one for one in codes_document()["codes"] if one["kind"] == kind]
        for one in codes:
            lines += style.wrap(one["title"], f"  {one['code']:<36} ", " " * 39)
    return "\n".join(lines) + "\n"


_MARKS = {State.HOLDS: ("holds", "bad"), State.EXCLUDED: ("excluded", "dim"), State.OPEN: ("open", "doubt")}


def log_text(explanations: Sequence[Explanation], style: Style, *, machine: str, options: str = "") -> str:
    """What a log means, for people.

    Args:
        explanations: Of its messages.
        style: How to print.
        machine: Names the one whose facts were used.
        options: Those that named it, for the commands that look at it again.
    """
    lines: list[str] = []
    for one in explanations:
        lines += [*([""] if lines else []), *_explanation(one, style, machine, options)]
    return "\n".join(lines) + "\n"


def _explanation(one: Explanation, style: Style, machine: str, options: str) -> Iterator[str]:
    message = one.found.message
    yield style.paint(message.title, "strong")
    often = f" (in {'at least ' * one.found.more}{one.found.lines} lines)" if one.found.lines > 1 else ""
    yield from style.wrap(f"{style.safe(one.found.excerpt)}{often}", "  | ", "  | ")
    if not one.architecture:
        yield from style.wrap(f"Not a matter of GPU architectures: it is about {_ABOUT[message.subject]}.")
    yield from style.wrap(message.means)
    if one.note:
        checks = any((judged.cause.next or "").startswith("capably check") for judged in one.causes)
        named = ", or name its GPU: `capably check --gpu NAME`" if checks else ""
        yield from style.wrap(
            f"{one.note}. Record it there (`capably doctor --save FILE`) and add --system FILE{named}.", "note: "
        )
    yield ""
    answer = tables().causes.get(one.answer or "")
    if answer is not None:
        how = " (all other causes are excluded)" if one.eliminated else ""
        yield from style.wrap(f"{answer.title}{how}. {answer.cause}", "cause:       ", tone="bad")
        yield from style.wrap(answer.way_out, "way out:     ")
    else:
        open_ = [judged.cause.next for judged in one.causes if judged.state is State.OPEN]
        said = "cannot tell" if open_ else "none that is known; the log may come from another machine"
        yield from style.wrap(f"{said}, by the facts of {machine}", "cause:       ", tone="doubt")
        command = next(iter(open_), "capably doctor")
        again = options if command.startswith(("capably check", "capably doctor")) else ""
        yield from style.wrap(style.safe(command + again), "run next:    ")
    yield ""
    for judged in one.causes:
        mark, tone = _MARKS[judged.state]
        yield from style.wrap(f"{judged.cause.title} [{judged.cause.code}]", f"  {mark:<9}", " " * 11, tone)
        for evidence in judged.evidence:
            yield from style.wrap(style.safe(evidence), " " * 11 + "- ", " " * 13)


_ABOUT = {
    "build": "how something was built",
    "driver": "the driver",
    "installation": "what is installed",
    "program": "the program",
    "visibility": "which GPUs a process sees",
}
