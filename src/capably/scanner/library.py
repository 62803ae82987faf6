"""One file, wherever its bytes come from: what it is, and the GPU code in it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from capably.facts import BareImages, Fatbin, FatbinGroup, Image, Library
from capably.scanner import ptx
from capably.scanner.cubin import EM_CUDA, CubinError
from capably.scanner.elf import Layout, Region, elf_ranges, read_elf
from capably.scanner.fatbin import LARGEST_GAP, MAGIC, Found, Mode, cubin_image, ptx_image, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.scanner.limits import Budget, Limits
    from capably.scanner.source import Source, StreamSource
    from capably.scanner.tally import Findings, Job

__all__ = [
    "HEAD_BYTES",
    "Content",
    "Form",
    "classify",
    "read_library",
]

# Enough for the program headers, and for the licence at the top of a PTX text.
HEAD_BYTES = ptx.HEAD_BYTES
_FILE = "file"  # what the section of a loose file is called
_RELOCATABLE = "__nv_relfatbin"
# Rejected pieces that a blind walk remembers; with more of them the file is walked again by its sections.
_MOST_REJECTS = 1_000


class Form(enum.Enum):
    """What a file is, by its first bytes."""

    ELF = "ELF"
    CUBIN = "cubin"
    FATBIN = "fatbin"
    PTX = "PTX"
    ZIP = "zip"
    OTHER = "other"


class Content(Protocol):
    """The bytes of one file."""

    @property
    def size(self) -> int:
        """In bytes. Of a stream before `finish`: as its container states it."""
        ...

    def stream(self) -> StreamSource | None:
        """The stream that starts at the first byte; None where bytes can be had in any order."""
        ...

    def source(self) -> Source:
        """Where to read from the first byte on, once more if need be."""
        ...

    def finish(self) -> None:
        """Run `stream` to its end, after which `size` is exact and `read` works."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at any offset, slow where they were not kept of a stream."""
        ...


def classify(head: bytes) -> Form:
    """What a file is.

    Args:
        head: Its first `HEAD_BYTES` bytes, or all of them.
    """
    if head[:4] == b"\x7fELF":
        if len(head) >= 20 and head[5] == 1:
            if int.from_bytes(head[18:20], "little") == EM_CUDA:
                return Form.CUBIN
            if head[4] == 2:
                return Form.ELF
        return Form.OTHER
    if head[:4] == MAGIC:
        return Form.FATBIN
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Form.ZIP
    if b".version" in head and ptx.read_head(head) is not None:
        return Form.PTX
    return Form.OTHER


@dataclass(slots=True)
class _Collected:
    """What was found in one file, aggregated."""

    fatbins: dict[tuple[str, tuple[Image, ...]], int] = field(default_factory=dict)
    bare: dict[tuple[str, Image], int] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def add(self, found: Found, section: str) -> None:
        if found.images is not None:
            key = (section, found.images)
            self.fatbins[key] = self.fatbins.get(key, 0) + found.count
        if found.bare is not None:
            other = (section, found.bare)
            self.bare[other] = self.bare.get(other, 0) + 1
        if len(self.problems) < _MOST_REJECTS:
            self.problems += found.problems


def read_library(path: str, content: Content, head: bytes, form: Form, job: Job) -> Library | None:
    """Read the GPU code of a file.

    Args:
        path: How to name it in what is returned.
        content: Its bytes.
        head: Its first `HEAD_BYTES` bytes.
        form: What it is, by `classify`.
        job: What may be spent, and where to say what is wrong.

    Returns:
        None for a file without GPU code.

    Raises:
        LimitError: Nothing more can be read by this call of the scanner.
    """
    budget, findings = job.budget, job.findings
    budget.entries = 0
    layout = Layout()
    collected = _Collected()
    if form in (Form.CUBIN, Form.PTX):
        _read_loose(content, form, budget, collected)
    elif form is Form.FATBIN:
        layout = _read_sections(content, b"", _fatbin_layout, budget, collected)
    elif form is Form.ELF:
        layout = _read_sections(content, head, read_elf, budget, collected)
    for code, message in layout.problems + collected.problems:
        findings.add(code, path, message)
    if not collected.fatbins and not collected.bare:
        return None
    return _library(path, content.size, layout, collected, findings)


def _library(path: str, size: int, layout: Layout, collected: _Collected, findings: Findings) -> Library:
    groups = tuple(
        FatbinGroup(Fatbin(_in_section(images, section), section), count)
        for (section, images), count in collected.fatbins.items()
    )
    bare = tuple(BareImages(section, image, count) for (section, image), count in collected.bare.items())
    library = Library(
        path=path, size_bytes=size, fatbins=groups, bare=bare, machine=layout.machine, needed=layout.needed()
    )
    if library.link_input:
        findings.add("link-input", path, "It holds relocatable GPU code only: input for the linker.")
    if bare:
        total = sum(images.count for images in bare)
        sections = ", ".join(dict.fromkeys(images.section for images in bare))
        findings.add(
            "bare-images",
            path,
            f"Cubins or PTX outside any fatbin, in {sections}: {total}. They are listed, not counted.",
        )
    return library


def _in_section(images: tuple[Image, ...], section: str) -> tuple[Image, ...]:
    if section != _RELOCATABLE:
        return images
    return tuple(replace(image, relocatable=True) for image in images)


def _fatbin_layout(read: Callable[[int, int], bytes], size: int, limits: Limits) -> Layout:
    del read, limits
    return Layout(regions=[Region(_FILE, 0, size, named=True)])


def _read_loose(content: Content, form: Form, budget: Budget, collected: _Collected) -> None:
    most = budget.limits.image_bytes
    data = (content.stream() or content.source()).read(0, most + 1)
    content.finish()
    if len(data) > most:
        collected.problems.append(("limit-reached", f"It is larger than {most} bytes."))
        return
    image: Image | None = None
    try:
        image = cubin_image(data, budget) if form is Form.CUBIN else ptx_image(data)
    except CubinError as error:
        collected.problems.append(("damaged-image", f"The cubin cannot be read: {error}."))
    if image is not None:
        collected.fatbins[_FILE, (image,)] = 1


def _read_sections(
    content: Content,
    head: bytes,
    layout_of: Callable[[Callable[[int, int], bytes], int, Limits], Layout],
    budget: Budget,
    collected: _Collected,
) -> Layout:
    """Walk the regions of a file.

    The sections of a stream are known only when it is over. It is walked blindly, and what was found is
    attributed to sections afterwards. Where that could differ from a walk by sections, since something is
    damaged or crosses an edge, the stream is run once more.
    """
    blind: list[Found] | None = None
    stream = content.stream()
    if stream is not None:
        stated = content.size
        for start, end in elf_ranges(head) if head else ():
            stream.keep(start, end)
        blind = _walk_blindly(stream, stated, budget)
        content.finish()
        if content.size != stated:
            blind = None
        budget.entries = 0
    layout = layout_of(content.read, content.size, budget.limits)
    if blind is not None and (pairs := _attribute(blind, layout.regions)) is not None:
        for found, section in pairs:
            collected.add(found, section)
    elif layout.regions:
        source = content.source()
        for region in layout.regions:
            mode = Mode.FATBINS if region.named else Mode.DATA
            for found in walk(source, region.start, region.end, mode, budget):
                collected.add(found, region.section)
    return layout


def _walk_blindly(stream: StreamSource, size: int, budget: Budget) -> list[Found] | None:
    result = []
    rejects = 0
    for found in walk(stream, 0, size, Mode.BLIND, budget):
        result.append(found)
        rejects += not found.clean
        if rejects > _MOST_REJECTS or budget.entries > budget.limits.entries:
            return None
    return result


def _attribute(items: list[Found], regions: list[Region]) -> list[tuple[Found, str]] | None:
    """What a walk by regions would find, told from a blind one; None where that is not certain."""
    result: list[tuple[Found, str]] = []
    index = 0
    for region in regions:
        while index < len(items) and items[index].end <= region.start and items[index].start < region.start:
            index += 1
        position = region.start
        while index < len(items) and items[index].start < region.end:
            found = items[index]
            inside = region.start <= found.start and found.end <= region.end
            if region.named:
                if not inside or not found.clean or found.images is None:
                    return None
                if found.start - position > LARGEST_GAP:
                    return None
                position = found.end
                result.append((found, region.section))
            elif found.images is not None or found.bare is not None:
                if not inside or not found.clean or not found.strict:
                    return None
                result.append((found, region.section))
            elif found.strict or not inside:
                return None
            index += 1
        if region.named and region.end - position > LARGEST_GAP:
            return None
    return result
