"""The answer of ``capably scan`` as text: what code files hold, library by library."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from capably.check.grid import harmless
from capably.facts import ImageKind, Role
from capably.report.kernels_text import scan_kernels_text
from capably.report.machine import scan_document
from capably.report.safe import columns
from capably.report.words import finding_sentence, page_title, plural
from capably.units import size_text
from capably.wording import by_number

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from capably.facts import Artifact, Finding
    from capably.report.layout import Style

__all__ = ["scan_text"]

_FEW = 3
_PATH = 240  # of a file in a package: none of a real one is longer, and a name must not fill the screen
_KINDS = {
    ImageKind.SASS: "machine code",
    ImageKind.PTX: "PTX",
    ImageKind.LTOIR: "LTO-IR",
    ImageKind.TILEIR: "Tile IR",
    ImageKind.RELPTX: "rel. PTX",
    ImageKind.UNKNOWN: "unknown",
}

_ROLES = {
    Role.PROFILER: "of a profiler",
    Role.TEST: "of tests",
    Role.LINK_INPUT: "input for the linker",
    Role.COMPILER: "of a compiler",
}


def scan_text(
    artifacts: Sequence[tuple[str, Artifact]],
    style: Style,
    *,
    verbose: bool = False,
    wanted: Collection[str] | None = None,
) -> str:
    """What code files hold, library by library; many that hold the same are told of together.

    Args:
        artifacts: Pairs of the name or path as asked and what it turned out to be.
        style: How to print.
        verbose: Tell of each library by itself.
        wanted: Of the kernels, tell of these only.
    """
    out: list[str] = []
    for (_, artifact), document in zip(artifacts, scan_document(artifacts)["artifacts"], strict=True):
        if out:
            out.append("")
        out += _scanned(artifact, document, style, wanted, verbose=verbose)
    return "\n".join(out) + "\n"


def _scanned(
    artifact: Artifact, document: dict[str, Any], style: Style, wanted: Collection[str] | None, *, verbose: bool
) -> Iterator[str]:
    yield style.paint(style.safe(document["path"]), "strong")  # whole, to be copied
    facts = [str(artifact.kind)]
    if artifact.name:
        facts.append(style.safe(f"{artifact.name} {artifact.version or ''}".rstrip()))
    if artifact.platforms:
        facts.append(style.safe(", ".join(artifact.platforms)))
    facts.append(f"{len(artifact.libraries)} of {plural(artifact.files, 'file')} with GPU code")
    yield from style.wrap(", ".join(facts), "  ")
    if artifact.sha256:
        yield from style.wrap(f"sha256 {artifact.sha256}", "  ")
    for compiler in artifact.compilers:
        yield from style.wrap(
            f"{style.safe(compiler.path)}: {compiler.kind} {compiler.version or 'of an unknown version'}", "  "
        )
    yield from _scanned_libraries(document, artifact, style, wanted, verbose=verbose)
    groups: dict[str, dict[str, list[Finding]]] = {}
    for finding in artifact.findings:
        message = finding.message.replace(finding.path, "") if finding.path else finding.message
        groups.setdefault(finding.code, {}).setdefault(message, []).append(finding)
    for code, found in groups.items():
        yield ""
        lead, tone = ("", "dim") if harmless(code) else ("! ", "warn")
        for same in found.values():
            text = finding_sentence(same[0], artifact.path, document["path"], style)
            more = f" (and the like in {plural(len(same) - 1, 'other file')})" if len(same) > 1 else ""
            yield from style.wrap(f"{text}{more}", f"{lead}{page_title(code)}: ", "  ", tone)


def _scanned_libraries(
    document: dict[str, Any], artifact: Artifact, style: Style, wanted: Collection[str] | None, *, verbose: bool
) -> Iterator[str]:
    held: list[tuple[str, ...]] = []
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for library, facts in zip(document["libraries"], artifact.libraries, strict=True):
        held.append((*_held(library, style), *scan_kernels_text(facts, style, wanted=wanted)))
        alike.setdefault(held[-1], []).append(library)
    for library, lines in zip(document["libraries"], held, strict=True):
        same = [library] if verbose or len(alike[lines]) <= _FEW + 1 else alike[lines]
        if same[0] is not library:
            continue  # told of where the first one was
        yield ""
        for one in same[:_FEW]:
            yield style.paint(style.clip(one["path"], _PATH), "strong")
        sizes = sorted(one["size_bytes"] for one in same)
        size = f"{size_text(sizes[0])}, "
        if len(same) > 1:
            yield f"and {len(same) - _FEW} more that hold the same (-v shows all)"
            span = f"{size_text(sizes[0])} to {size_text(sizes[-1])}"
            size = f"{len(same)} files of {span}, {size_text(sum(sizes))} in all; each: "
        yield from style.wrap(f"{size}{lines[0]}", "  ")
        yield from lines[1:]


def _held(library: dict[str, Any], style: Style) -> Iterator[str]:
    """What a library holds: its facts but the size, as they are, and lines."""
    facts = [library["machine"]] if library["machine"] else []
    stubs = f" ({library['stub_fatbins']} without kernels)" if library["stub_fatbins"] else ""
    facts.append(f"{plural(library['fatbins'], 'fatbin')}{stubs}")
    if library["role"] != Role.PRODUCT:
        facts.append(_ROLES[library["role"]])
    yield style.safe(", ".join(facts))
    if library["sha256"]:
        yield from style.wrap(f"sha256 {library['sha256']}", "  ")
    for copy in library["copies"]:
        yield f"  same as {style.clip(copy, _PATH)}"
    groups: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for image in library["images"]:
        groups.setdefault((image["section"], image["kind"], image.get("bare", False)), []).append(image)
    for (section, kind, bare), images in groups.items():
        order = sorted(images, key=lambda image: by_number(image["target"] or ""))
        times = "x" if style.ascii_only else "\N{MULTIPLICATION SIGN}"
        texts = [f"{image['target'] or 'no target'} {times}{image['count']}" for image in order]
        lead = f"  {style.clip(section, 18):<18}  {'bare ' if bare else ''}{_KINDS[ImageKind(kind)]:<12}  "
        yield from style.wrap(", ".join(texts), lead)
        yield from style.wrap(_details(images), " " * columns(lead))


def _details(images: Sequence[dict[str, Any]]) -> str:
    """What is noteworthy about images of one kind and section, in one line."""
    tallies: dict[str, Counter[str]] = {"ptx": Counter(), "toolkits": Counter(), "compression": Counter()}
    flags: Counter[str] = Counter()
    for image in images:
        for name, value in image["details"].items():
            if name in tallies:
                tallies[name].update(value)
            else:
                flags[name] += value
    texts = []
    for name, title in (("ptx", "PTX ISA"), ("toolkits", "CUDA")):
        if tallies[name]:
            texts.append(f"{title} {', '.join(sorted(tallies[name], key=by_number))}")
    stored = [name for name in sorted(tallies["compression"]) if name != "none"]
    if stored:
        texts.append(", ".join(stored))
    words = {"stubs": "without kernels", "unread": "not readable"}
    texts += [f"{count} {words.get(name, name)}" for name, count in flags.items()]
    return "; ".join(texts)
