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

# Values for the braces of a page: those of one case each, and what fits all others.
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
_CASES: dict[str, dict[str, str]] = {
    "exact-image": {"target": "sm_90a", "capability": "9.0"},
    "same-major-lower-minor": {"target": "sm_80", "capability": "8.6"},
    "family-covers": {"target": "sm_120", "capability": "12.1"},
    "ptx-forward": {"target": "compute_90"},
    "ptx-family": {"target": "compute_120f", "capability": "12.1"},
    "ptx-exact": {"target": "compute_90a", "capability": "9.0"},
    "image-newer-than-device": {"target": "sm_89", "capability": "8.6", "wanted": "sm_86 or compute_86"},
    "arch-specific-exact-only": {"target": "sm_90a"},
    "ptx-arch-specific-exact-only": {"target": "compute_90a"},
    "ptx-family-mismatch": {"target": "compute_100f", "members": "10.0, 10.3"},
    "ptx-target-newer-than-device": {"target": "compute_90", "capability": "8.9", "wanted": "sm_89 or compute_89"},
    "target-not-emitted": {"subject": "sm_103", "toolkit": "CUDA 12.8", "span": "CUDA 12.9 or newer"},
    "gpu-not-covered": {"device": "T4 (7.5)", "asked": "T4"},
    "gpu-partly-covered": {"device": "T4 (7.5)"},
    "gpu-coverage-unknown": {"device": "Jetson Orin (8.7)"},
    "target-missing": {"target": "sm_89", "instead": "devices of 8.9 are served by machine code for other targets"},
    "stray-target": {"targets": "sm_52 in 1 of 80, compute_52 in 1 of 80"},
    "hole-in-range": {"lowest": "7.5", "highest": "12.0", "holes": "A100 (8.0)"},
    "fatbin-behind": {"total": "80", "device": "RTX 5090 (12.0)"},
    "arch-specific-ptx": {
        "target": "compute_90a",
        "plain": "compute_90",
        "capability": "9.0",
        "count": "609",
        "total": "609",
        "newer": " (10.0, 10.3, 12.0 among them)",
    },
    "ptx-missing": {"total": "80"},
    "ptx-shipped": {"total": "80"},
    "ptx-beyond-driver": {
        "targets": "compute_90",
        "problem": "PTX ISA 8.7 is newer than what R550 (CUDA 12.4) compiles (up to 8.4)",
    },
    "compression-beyond-driver": {
        "targets": "sm_90",
        "problem": "the image is compressed with zstd, which R535 (CUDA 12.2) cannot read; the first that can is R550",
    },
    "toolkit-differs": {"made": "2 by CUDA 11.8", "total": "80", "wanted": "CUDA 12.8"},
    "toolkit-unknown": {"total": "80", "wanted": "CUDA 12.8"},
    "other-cuda-major": {"needed": "CUDA 11", "wanted": "the others are of CUDA 12"},
    "identical-copies": {"count": "3", "copies": "pkg/libx.so.1, pkg/libx.so.1.2", "wasted": "12.4 MB"},
    "size-over-limit": {"size": "438.2 MB", "limit": "400.0 MB"},
    "coverage-lost": {
        "subject": "vllm",
        "device": "T4 (7.5)",
        "before": "full",
        "after": "partial (7 of 11)",
        "baseline": "vllm 0.10.2",
    },
    "allowance-unused": {"subject": "allow[0]", "reason": "FlashAttention 3 is for Hopper"},
    "no-forward-ptx": {"why": "the tool cannot be asked for plain PTX"},
    "toolkit-beyond-tables": {"subject": "CUDA 13.6", "oldest": "10.0", "newest": "13.5"},
    "ptx-newer-than-any-driver": {"capability": "3.5", "last": "11.4", "wanted": "sm_35"},
    "tegra-isolated": {"target": "sm_80", "capability": "8.7", "wanted": "sm_87 or compute_87"},
    "tegra-sbsa-unsettled": {"target": "sm_80", "capability": "8.7", "wanted": "sm_87 or compute_87"},
    "driver-dropped-device": {"capability": "7.0", "driver": "R590 (CUDA 13.1)"},
    "driver-drop-unproven": {"capability": "7.0", "driver": "R590 (CUDA 13.1)"},
    "zstd-needs-newer-driver": {"driver": "R535 (CUDA 12.2)", "first": "550"},
    "zstd-driver-unknown": {"first": "550"},
    "concatenated-needs-newer-driver": {"first": "615"},
    "concatenated-driver-unknown": {"first": "615"},
    "ptx-jit-disabled": {"target": "compute_90"},
    "ptx-driver-unknown": {"target": "compute_90"},
    "ptx-version-unknown": {"target": "compute_90"},
    "ptx-beyond-tables": {"horizon": "CUDA 13.5", "driver": "R700", "ptx": "9.9"},
    "tegra-driver-unknown": {"target": "compute_80", "capability": "8.7"},
    "renamed-target-unproven": {"target": "sm_101", "capability": "11.0"},
    "relocatable-ptx-unproven": {"target": "compute_90"},
    "lto-ir-needs-linking": {"target": "lto_90"},
    "kernels-undetermined": {"target": "sm_120"},
    "stub": {"target": "sm_120"},
    "beyond-tables": {"target": "sm_130", "capability": "13.0"},
    "requirement-met": {"found": "compute capability 9.0", "clause": ">=8.0"},
    "device-too-old": {"capability": "7.0", "clause": ">=7.5"},
    "device-too-new": {"clause": "<=9.0"},
    "device-not-listed": {"capability": "8.7", "clause": "one of 8.0, 8.6, 8.9"},
    "device-excluded": {"clause": "!=10.x", "capability": "10.0"},
    "target-without-feature-code": {"target": "sm_120", "clause": "12.0f"},
    "quantity-too-small": {"found": "99KiB", "clause": "smem>=160KiB"},
    "quantity-unknown": {"clause": "sms>=132"},
    "version-not-met": {"found": "it is driver 535.183.01", "clause": "driver>=550"},
    "version-unknown": {"found": "the driver is not known", "clause": "driver>=550"},
    "toolkit-cannot-emit": {
        "found": "nvcc 12.8",
        "clause": "12.0f",
        "needed": "that takes CUDA 12.9 or newer",
        "wanted": "CUDA 12.9 or newer",
    },
    "toolkit-undecided": {"found": "nvcc 14.0", "clause": "12.0f"},
    "requirement-beyond-tables": {"capability": "13.0", "clause": "12.0f"},
    "requirement-renamed": {"capability": "10.1", "clause": ">=11.0"},
    "device-beyond-tables": {"capability": "13.0"},
    "driver-device-unproven": {"capability": "12.1", "first": "575"},
    "host-platform": {"built": "x86_64", "device": "DGX Spark"},
    "cuda-major-newer-than-driver": {"needed": "13", "first": "580"},
    "driver-failed": {"name": "CUDA_ERROR_UNKNOWN"},
    "forward-compat-in-use": {"release": "580.65.06"},
    "probe-failed": {"problem": "cuInit ended the process that asks, without an answer (exit 0)"},
    "cpu-only-torch": {"version": "2.13.0+cpu"},
    "needs-cuda-torch": {"version": "2.13.0+cpu", "names": "libc10_cuda.so", "subject": "xformers"},
    "shared-library-missing": {"names": "libcudart.so.12", "where": "nowhere", "subject": "bitsandbytes"},
    "host-machine-mismatch": {"built": "x86_64", "machine": "aarch64"},
    "package-overwritten": {"subject": "onnxruntime-gpu", "other": "onnxruntime"},
    "compiler-missing": {"subject": "flashinfer-python", "compiler": "nvcc"},
    "compiler-cannot-emit": {"cuda": "CUDA 12.4", "users": "torch, flashinfer-python"},
    "arch-list-refused": {
        "tool": "torch 2.7.1",
        "variable": "TORCH_CUDA_ARCH_LIST",
        "problem": "torch raises `ValueError: Unknown CUDA arch () or GPU not supported`: an entry is empty",
    },
    "arch-list-surprising": {
        "tool": "flashinfer-python 0.2.5",
        "variable": "FLASHINFER_CUDA_ARCH_LIST",
        "problem": "this version does not read the variable",
    },
    "arch-list-omits-gpu": {
        "tool": "torch 2.7.1",
        "variable": "TORCH_CUDA_ARCH_LIST",
        "targets": "sm_90",
        "devices": "Tesla V100 (7.0)",
    },
    "devices-hidden": {"visible": "1", "total": "8"},
    "mixed-devices": {"capabilities": "8.6, 8.9"},
    "package-partly-covered": {"usable": "7", "total": "11", "subject": "vllm", "device": "T4 (7.5)"},
}


def example(page: Page) -> str:
    """The sentence of *page*, filled in with a realistic case."""
    return page.message.format_map({**_COMMON, **_CASES.get(page.code, {})})


def _sources(keys: Iterable[str]) -> list[dict[str, str]]:
    known = tables().sources
    return [{"key": key, "title": known[key].title, "url": known[key].url} for key in keys]


def _way_out(page: Page) -> str:
    return page.way_out.format_map({**_COMMON, **_CASES.get(page.code, {})})


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
