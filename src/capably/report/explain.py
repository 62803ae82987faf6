"""What ``capably explain`` answers: the page of a code, the list of codes, or what a log means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capably.codes import FINDINGS, REASONS, Page
from capably.logs import FactOrigin, State
from capably.report.words import without_common_folder
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capably.logs import Explanation, TestedCause
    from capably.report.layout import Style
    from capably.tables import Cause

__all__ = [
    "codes_document",
    "codes_text",
    "example",
    "log_document",
    "log_text",
    "logs_text",
    "page_document",
    "page_text",
]

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
        "facts_from": {},
        "explanations": [],
    }


def codes_document() -> dict[str, Any]:
    """All codes that have a page."""
    codes = [
        {"code": page.code, "kind": kind, "title": page.title}
        for kind, pages in (("reason", REASONS), ("finding", FINDINGS), ("cause", tables().causes))
        for page in pages.values()
    ]
    return {"schema": _SCHEMA, "page": None, "codes": codes, "facts_from": {}, "explanations": []}


def log_document(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """What a log means."""
    used: dict[str, str] = {name: origin for one in explanations for name, origin in one.facts_from}
    return {
        "schema": _SCHEMA,
        "page": None,
        "codes": [],
        "facts_from": dict(sorted(used.items())),
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
                "because": one.because,
                "facts_from": dict(one.facts_from),
                "here": one.here,
                "note": one.note,
                "causes": [
                    {
                        "code": judged.cause.code,
                        "title": judged.cause.title,
                        "state": judged.state,
                        "evidence": list(judged.evidence),
                        "way_out": judged.cause.way_out,
                        "next": judged.command,
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


_MARKS = {
    State.HOLDS: ("holds", "bad"),
    State.LIKELY: ("likely", "doubt"),
    State.OPEN: ("open", "doubt"),
    State.EXCLUDED: ("excluded", "dim"),
}


def log_text(explanations: Sequence[Explanation], style: Style, *, options: str = "") -> str:
    """What a log means, for people.

    Args:
        explanations: Of its messages.
        style: How to print.
        options: Those that named where the facts are from, for the commands that look there again.
    """
    lines: list[str] = []
    for one in explanations:
        lines += [*([""] if lines else []), *_explanation(one, style, options)]
    return "\n".join(lines) + "\n"


def _explanation(one: Explanation, style: Style, options: str) -> Iterator[str]:
    message = one.found.message
    yield style.paint(message.title, "strong")
    often = f" (in {'at least ' * one.found.more}{one.found.lines} lines)" if one.found.lines > 1 else ""
    yield from style.wrap(f"{style.safe(one.found.excerpt)}{often}", "  | ", "  | ")
    if not one.architecture and one.answer is not None:
        yield from style.wrap(f"Not a matter of GPU architectures: it is about {_ABOUT[message.subject]}.")
    yield from style.wrap(message.means)
    yield ""
    if one.causes:
        yield from style.wrap(style.safe(_origins(one)), "facts:       ")
    answer = tables().causes.get(one.answer or "")
    left = [judged for judged in one.causes if judged.state is not State.EXCLUDED]
    if answer is not None:
        how = " (all other causes are excluded)" if one.eliminated else ""
        yield from style.wrap(f"{answer.title}{how}. {answer.cause}", "cause:       ", tone="bad")
        yield from style.wrap(answer.way_out, "way out:     ")
    elif left:
        first = left[0]
        said = f"{_how_sure(one)}: {first.cause.title}"
        because = f", because {one.because}" if one.because else ""
        yield from style.wrap(style.safe(f"{said}{because}".rstrip(".") + "."), "cause:       ", tone="doubt")
        yield from style.wrap(first.cause.way_out, "way out:     ")
        yield from style.wrap(style.safe(_command(first, options)), "tell apart:  ")
    elif one.causes:
        yield from style.wrap(
            "none that is known holds by these facts; the log may come from another machine",
            "cause:       ",
            tone="doubt",
        )
        yield from style.wrap(style.safe(f"capably doctor{options}"), "run next:    ")
    if one.here is not None:
        here = tables().causes[one.here]
        said = f"if the message comes from this machine: {here.title} [{here.code}]. Add --here to say so."
        yield from style.wrap(said, "note:        ")
    if one.causes:
        yield ""
    for judged in one.causes:
        mark, tone = _MARKS[judged.state]
        yield from style.wrap(f"{judged.cause.title} [{judged.cause.code}]", f"  {mark:<9}", " " * 11, tone)
        for evidence in judged.evidence:
            yield from style.wrap(style.safe(evidence), " " * 11 + "- ", " " * 13)


def _how_sure(one: Explanation) -> str:
    """What is said of the first cause, where nothing decides."""
    return "likely" if one.causes[0].state in (State.HOLDS, State.LIKELY) else "usually" if one.because else "possibly"


def logs_text(answers: Sequence[tuple[str, Sequence[Explanation]]], style: Style) -> str:
    """What a log means on each of several machines, a line for each.

    Args:
        answers: The name of each record, and what the log means by it: the same messages for all.
        style: How to print.
    """
    lines: list[str] = []
    names = without_common_folder([name for name, _ in answers])
    for number, first in enumerate(answers[0][1]):
        lines += [*([""] if lines else []), style.paint(first.found.message.title, "strong")]
        lines += [
            *style.wrap(style.safe(first.found.excerpt), "  | ", "  | "),
            *style.wrap(first.found.message.means),
            "",
        ]
        for name, (_, explained) in zip(names, answers, strict=True):
            one = explained[number]
            left = [judged.cause for judged in one.causes if judged.state is not State.EXCLUDED]
            cause = tables().causes.get(one.answer or "") or (left[0] if left else None)
            word, tone = (
                ("holds", "bad") if one.answer is not None else (_how_sure(one), "doubt") if left else ("none", "doubt")
            )
            said = f"{word}: {cause.title} [{cause.code}]" if cause is not None else "none that is known holds"
            lines += style.wrap(style.safe(said), f"  {style.clip(name, _NAME)}: ", " " * 4, tone)
    lines += ["", *style.wrap("one of them in full: the same command with that --system alone", "note:        ")]
    return "\n".join(lines) + "\n"


_NAME = 40


def _command(judged: TestedCause, options: str) -> str:
    """The command that tells, on the machine and with the packages that were named for this one."""
    command = judged.command
    if not options or not command.startswith(("capably check", "capably doctor")):
        return command
    package, _, gpus = command.partition(" --gpu ")
    package = package.replace(" PACKAGE", "")  # all that is installed there
    return f"{package}{options}" if "--system" in options or not gpus else f"{package} --gpu {gpus}{options}"


_SAYS = {
    FactOrigin.LOG: "from the log",
    FactOrigin.SYSTEM: "from --system",
    FactOrigin.THIS_MACHINE: "from this machine",
    FactOrigin.GIVEN: "given by you",
}


def _origins(one: Explanation) -> str:
    """Which facts were used, and who says them; one line."""
    by: dict[FactOrigin, list[str]] = {}
    for name, origin in sorted(one.facts_from, key=lambda fact: fact[0].lower()):
        by.setdefault(origin, []).append({"gpu": "GPU"}.get(name, name))
    used = "; ".join(f"{', '.join(names)} {_SAYS[origin]}" for origin, names in sorted(by.items()))
    left_out = f" {one.note[:1].upper()}{one.note[1:]}." if one.note else ""
    more = "" if one.answer is not None else " Add --here if it does come from here, or --system FILE, or --gpu NAME."
    return f"{used or 'none'}.{left_out}{more if one.note else ''}"


_ABOUT = {
    "build": "how something was built",
    "driver": "the driver",
    "installation": "what is installed",
    "program": "the program",
    "visibility": "which GPUs a process sees",
}
