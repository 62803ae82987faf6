"""Names of GPUs, titles of findings and counts, as texts for terminals say them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.codes import FINDINGS
from capably.report.layout import HARD_SPACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.check.grid import Gpu
    from capably.facts import Finding
    from capably.report.layout import Style

__all__ = [
    "finding_sentence",
    "gpu_name",
    "labelled",
    "named_gpu",
    "page_title",
    "plural",
    "short_gpu",
    "without_common_folder",
]


def gpu_name(gpu: Gpu, style: Style) -> str:
    """A GPU as people say it, without its capability; empty where only that is known."""
    name = gpu.device.name or ""
    return style.safe(name.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("Tesla "))


def short_gpu(name: str, gpu: Gpu) -> str:
    """A GPU in short, by the *name* that `gpu_name` gave it, or by its capability; it is not broken."""
    return name.replace(" ", HARD_SPACE) or str(gpu.device.capability)


def named_gpu(name: str, gpu: Gpu) -> str:
    """A GPU by *name* and capability; it is not broken."""
    text = f"{name} ({gpu.device.capability})" if name else str(gpu.device.capability)
    return text.replace(" ", HARD_SPACE)


def labelled(name: str, texts: Sequence[str], style: Style, tone: str = "dim") -> Iterator[str]:
    """Paragraphs, the first led by *name*."""
    for index, text in enumerate(texts):
        yield from style.wrap(text, f"  {name:<6}" if index == 0 else " " * 8, " " * 8, tone if index == 0 else "")


def plural(count: int, thing: str) -> str:
    """So many of them."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def finding_sentence(finding: Finding, about: str, label: str, style: Style) -> str:
    """The message of a finding with its path in it once, cut so that the sentence stays readable."""
    message, full = style.safe(finding.message), style.safe(finding.path)
    path = style.clip(label if finding.path == about else finding.path, 48)
    if full and full in message:
        return message.replace(full, path)
    return message if finding.path == about else f"{path}: {message}"


def page_title(code: str) -> str:
    """The title of a finding's page, inside a sentence."""
    page = FINDINGS.get(code)
    if page is None:
        return code.replace("-", " ")
    return page.title if page.title[1:2].isupper() else page.title[:1].lower() + page.title[1:]


def without_common_folder(names: Sequence[str]) -> list[str]:
    """Names of files without the folder that all of them lie in.

    >>> without_common_folder(["/srv/records/a.json", "/srv/records/old/a.json"])
    ['a.json', 'old/a.json']
    >>> without_common_folder(["a.json", "/srv/a.json"])
    ['a.json', '/srv/a.json']
    """
    folders = [name.split("/")[:-1] for name in names]
    same = 0
    while all(len(folder) > same and folder[same] == folders[0][same] for folder in folders):
        same += 1
    return ["/".join(name.split("/")[same:]) for name in names]
