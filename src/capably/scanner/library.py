"""One file, wherever its bytes come from: what it is, and the GPU code in it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from capably.facts import BareImages, Fatbin, FatbinGroup, FatbinKernels, Image, ImageKernels, ImageKind, Library
from capably.scanner import ar
from capably.scanner.content import CachedSource, Content, SliceContent, Stream, in_memory_if_small
from capably.scanner.cubin import CubinError
from capably.scanner.elf import elf_end, elf_ranges, read_elf
from capably.scanner.fatbin import MAGIC, Found, Mode, cubin_image, promising, ptx_image, walk
from capably.scanner.forms import ARCHIVES, HEAD_BYTES, Form, classify
from capably.scanner.layout import RELOCATABLE_SECTIONS, Layout, Region
from capably.scanner.linked import linked_runtime
from capably.scanner.names import UNSAFE, is_unsafe, shown, too_long
from capably.scanner.pe import coff_ranges, pe_ranges, read_coff, read_pe
from capably.wording import by_number, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from capably.scanner.findings import Findings
    from capably.scanner.job import Job
    from capably.scanner.kernels import KernelReader, Pending  # noqa: TC004 - annotations of `_Collected` are never resolved
    from capably.scanner.limits import Budget, Limits

__all__ = ["read_library"]

_SMALL, _STEP = 16 << 20, 1 << 20  # of a loose file that is unpacked
_FILE = "file"  # what the section of a loose file is called
# Rejected pieces that a blind walk remembers; with more of them the file is walked again by its sections.
_MOST_REJECTS = 1_000
_RANGES = {Form.ELF: elf_ranges, Form.PE: pe_ranges, Form.COFF: coff_ranges}


@dataclass(slots=True, eq=False, repr=False)
class _Collected:
    """What was found in one file, aggregated.

    Attributes:
        reader: Reads kernels, where they were asked for.
        bare: How many there are of each kind of image outside any fatbin.
        kernels: Section and images of each fatbin and each bare image, with the kernels of each of the images, whether
            it is bare, and whether it was prelinked.
        problems: Findings as pairs of code and message.
    """

    reader: KernelReader | None = None
    bare: dict[tuple[str, Image], int] = field(default_factory=dict)
    kernels: list[tuple[str, tuple[Image, ...], list[Pending], bool, bool | None]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    # A walk gives equal fatbins the same images, and hashing these by their fields takes longer than reading them.
    _counts: dict[tuple[str, int, bool | None], int] = field(default_factory=dict)
    _images: dict[int, tuple[Image, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._counts or self.bare)

    def fatbins(self) -> dict[tuple[str, tuple[Image, ...], bool | None], int]:
        """How many there are of each kind, by section, images, and whether they were prelinked."""
        result: dict[tuple[str, tuple[Image, ...], bool | None], int] = {}
        for (section, which, prelinked), count in self._counts.items():
            key = (section, self._images[which], prelinked)
            result[key] = result.get(key, 0) + count
        return result

    def count(self, section: str, images: tuple[Image, ...], prelinked: bool | None = None) -> None:
        self._images[id(images)] = images
        key = (section, id(images), prelinked)
        self._counts[key] = self._counts.get(key, 0) + 1

    def add(self, found: Found, section: str, prelinked: Mapping[int, bool]) -> None:
        starts = found.starts or [found.start]
        if found.images is not None:
            for start in starts:
                self.count(section, found.images, prelinked.get(start))
        if found.bare is not None:
            other = (section, found.bare)
            self.bare[other] = self.bare.get(other, 0) + 1
        images = found.images if found.bare is None else (found.bare,)
        if images is not None:
            bare = found.bare is not None
            self.kernels += [
                (section, images, pending, bare, None if bare else prelinked.get(start))
                for start, pending in zip(starts, found.kernels, strict=False)
            ]
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
    collected = _Collected(job.kernels)
    if form is Form.AR:
        layout = _read_archive(path, content, job, collected, 0)
    else:
        layout = _read_form(content, head, form, budget, collected)
    for code, message in layout.problems + collected.problems:
        findings.add(code, path, message)
    if not collected:
        return None
    library = _library(path, content.size, layout, collected, job)
    # One that names a runtime as needed has none in it. A stream is run again for this, up to its constants.
    if form in {Form.ELF, Form.PE} and library.fatbins and not any("cudart" in name for name in library.needed):
        library = replace(library, runtime=linked_runtime(content.source(), layout.regions, budget))
    return library


def _read_form(content: Content, head: bytes, form: Form, budget: Budget, collected: _Collected) -> Layout:
    if form in (Form.CUBIN, Form.PTX):
        _read_loose(content, form, budget, collected)
    elif form is Form.FATBIN:
        return _read_sections(content, head, form, _fatbin_layout, budget=budget, collected=collected)
    elif form is Form.ELF:
        return _read_sections(content, head, form, read_elf, budget=budget, collected=collected)
    elif form is Form.PE:
        return _read_sections(content, head, form, read_pe, budget=budget, collected=collected)
    elif form is Form.COFF:
        return _read_sections(content, head, form, read_coff, budget=budget, collected=collected)
    return Layout()


def _read_archive(path: str, content: Content, job: Job, collected: _Collected, depth: int) -> Layout:
    """Read the members of a static library as one: so it is linked, and so people name it."""
    result = Layout()
    machines: set[str] = set()
    stream = content.stream()
    source = stream or CachedSource(content.source())

    def problem(code: str, message: str) -> None:
        job.findings.add(code, path, message)

    for member in ar.members(source, problem, job.budget):
        part: Content = SliceContent(content, member.start, member.size)
        name = f"{path}!/{member.name}"
        job.budget.count_names(sys.getsizeof(name))
        if len(name) > job.limits.path_bytes:
            job.findings.add("limit-reached", f"{path}!/{shown(member.name)}", too_long(len(member.name)))
            continue
        if is_unsafe(member.name):
            job.findings.add("unsafe-name", name, UNSAFE)
        head = source.read(member.start, min(HEAD_BYTES, member.size))
        form = classify(head)
        if form is Form.AR and depth < job.limits.nesting:
            layout = _read_archive(name, part, job, collected, depth + 1)
        elif form is Form.AR:
            job.findings.add("limit-reached", name, f"It lies deeper than {job.limits.nesting} archives.")
            continue
        elif form in ARCHIVES or form is Form.OTHER:
            continue
        else:
            layout = _read_form(in_memory_if_small(part), head, form, job.budget, collected)
        for code, message in layout.problems + collected.problems:
            job.findings.add(code, name, message)
        collected.problems.clear()
        if layout.machine is not None:
            machines.add(layout.machine)
        if stream is not None:
            stream.forget()
        if job.budget.entries > job.limits.entries:
            break
    content.finish()
    result.machine = machines.pop() if len(machines) == 1 else None
    return result


def _library(path: str, size: int, layout: Layout, collected: _Collected, job: Job) -> Library:
    findings = job.findings
    groups = tuple(
        FatbinGroup(Fatbin(_in_section(images, section), section, prelinked), count)
        for (section, images, prelinked), count in collected.fatbins().items()
    )
    bare = tuple(BareImages(section, image, count) for (section, image), count in collected.bare.items())
    library = Library(
        path=path,
        size_bytes=size,
        fatbins=groups,
        bare=bare,
        machine=layout.machine,
        needed=layout.needed(),
        kernels=None if collected.reader is None else tuple(_kernels(path, collected, findings)),
    )
    names = (*library.needed, *{group.fatbin.section for group in groups}, *{images.section for images in bare})
    job.budget.count_names(sum(map(len, names)))
    if library.link_input:
        findings.add("link-input", path, "It holds relocatable GPU code or link-time IR only: input for the linker.")
    elif linked := _link_time_ir(library):
        findings.add(
            "link-time-ir",
            path,
            f"It holds link-time IR for {linked}: input for a linker that it may call (nvJitLink). It is listed, not judged.",
        )
    if bare:
        total = sum(images.count for images in bare)
        sections = ", ".join(dict.fromkeys(images.section for images in bare))
        findings.add(
            "bare-images",
            path,
            f"Cubins or PTX outside any fatbin, in {sections}: {total}. They are listed, not counted.",
        )
    return library


def _link_time_ir(library: Library) -> str:
    """The targets of the link-time IR of a library, and how many images of it there are."""
    counts: dict[str, int] = {}
    for group in library.fatbins:
        for image in group.fatbin.images:
            if image.kind is ImageKind.LTOIR:
                target = str(image.target or "an unknown target")
                counts[target] = counts.get(target, 0) + group.count
    total = sum(counts.values())
    return f"{join(sorted(counts, key=by_number))} ({total} image{'' if total == 1 else 's'})" if counts else ""


def _kernels(path: str, collected: _Collected, findings: Findings) -> Iterator[FatbinKernels]:
    for section, images, pending, bare, prelinked in collected.kernels:
        parts = []
        for image, one in zip(_in_section(images, section), pending, strict=True):
            table = one.result()
            if table.problem is not None:
                findings.add(table.problem[0], path, table.problem[1])
            parts.append(
                ImageKernels(
                    image,
                    table.names,
                    table.registers,
                    table.shared_bytes,
                    table.toolkit or image.toolkit,
                    table.stored_bytes,
                    table.size_bytes,
                )
            )
        yield FatbinKernels(section, tuple(parts), bare, prelinked)


def _in_section(images: tuple[Image, ...], section: str) -> tuple[Image, ...]:
    if section not in RELOCATABLE_SECTIONS:
        return images
    return tuple(replace(image, relocatable=True) for image in images)


def _fatbin_layout(read: Callable[[int, int], bytes], size: int, limits: Limits) -> Layout:
    del read, limits
    return Layout(regions=[Region(_FILE, 0, size, named=True)])


def _read_loose(content: Content, form: Form, budget: Budget, collected: _Collected) -> None:
    most = budget.limits.image_bytes
    with budget.hold() as take:
        data = _whole(content, most + 1, take)
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
            collected.count(_FILE, (image,))
            if collected.reader is not None:
                kind = ImageKind.SASS if form is Form.CUBIN else ImageKind.PTX
                collected.kernels.append((_FILE, (image,), [collected.reader.parse(kind, data, budget)], False, None))


def _whole(content: Content, most: int, take: Callable[[int], None]) -> bytes:
    """All bytes of a content, *most* of them at most; *take* is told of those of a large one that is unpacked."""
    stream = content.stream()
    if stream is None:
        return content.source().read(0, most)
    parts = [stream.read(0, min(most, _SMALL))]
    position = len(parts[0])
    while position >= _SMALL and position < most and (part := stream.read(position, min(most - position, _STEP))):
        take(2 * len(part))  # once more when they are joined
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def _read_sections(
    content: Content,
    head: bytes,
    form: Form,
    layout_of: Callable[[Callable[[int, int], bytes], int, Limits], Layout],
    *,
    budget: Budget,
    collected: _Collected,
) -> Layout:
    """Walk the regions of a file.

    The sections of a stream are known only when it is over. It is walked blindly, and what was found is
    attributed to sections afterwards. Where that could differ from a walk by sections, since something is
    damaged or crosses an edge, the stream is run once more.
    """
    blind: list[Found] | None = None
    before = budget.entries
    stream = content.stream()
    walked = stated = content.size
    if stream is not None:
        for start, end in _RANGES[form](head) if form in _RANGES else ():
            stream.keep(start, end)
        # In an object alignment counts from each section.
        if form is not Form.COFF:
            loaded = elf_end(head) if form is Form.ELF else None
            walked = stated if loaded is None else min(loaded, stated)
            blind = _walk_blindly(stream, walked, budget, collected.reader)
        content.finish()
        if content.size != stated:
            blind = None
    layout = layout_of(content.read, content.size, budget.limits)
    budget.entries = before
    if any(region.end > walked for region in layout.regions):
        blind = None
    pairs: Iterable[tuple[Found, str]] | None = None if blind is None else _attribute(blind, layout.regions)
    counted = pairs is None
    if pairs is None:
        pairs = _walk_regions(content, layout.regions, budget, collected.reader)
    prelinked: Mapping[int, bool] | None = None
    for found, section in pairs:
        if prelinked is None and found.images is not None:
            prelinked = layout.prelinked()
        collected.add(found, section, prelinked or {})
        budget.entries += 0 if counted else found.entries
    return layout


def _walk_regions(
    content: Content, regions: list[Region], budget: Budget, kernels: KernelReader | None
) -> Iterator[tuple[Found, str]]:
    """What is found in each region, with its section."""
    if not regions:
        return
    source = content.source()
    # A stream cannot go back to what was looked through.
    for region in regions if content.stream() is not None else promising(source, regions, budget):
        mode = Mode.FATBINS if region.named else Mode.DATA
        walked = walk(
            source, region.start, region.end, mode, budget, origin=region.origin, align=region.align, kernels=kernels
        )
        for found in walked:
            yield found, region.section


def _walk_blindly(stream: Stream, size: int, budget: Budget, kernels: KernelReader | None) -> list[Found] | None:
    result = []
    rejects = 0
    for found in walk(stream, 0, size, Mode.BLIND, budget, kernels=kernels):
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
                if found.start - position >= len(MAGIC):  # there may be one that only this section has, or half of one
                    return None
                position = found.end
                result.append((found, region.section))
            elif found.images is not None or found.bare is not None:
                if not inside or not found.clean or not found.strict:
                    return None
                result.append((found, region.section))
            elif found.strict or not inside or found.end - found.start > len(MAGIC):
                return None  # a walk of this section passes over the magic only, and may find something behind it
            index += 1
        if region.named and position < region.end:  # perhaps the beginning of one
            return None
    return result
