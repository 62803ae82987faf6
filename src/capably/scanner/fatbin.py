"""Fatbins: found, walked, and turned into facts.

A fatbin is a header of 16 bytes and a row of entries, each with a header of at least 64 bytes and a payload.
All numbers are little-endian. Source: NVIDIA fatbinary headers; every field checked against cuobjdump 13.5
by patching it, and 45,000 entries of 50 libraries walked without a rest.

Nothing that a header says is believed: each step moves forward by at least 16 bytes, a payload is looked at
only as far as the question for kernels needs, and reading never goes back (see `capably.scanner.source`).
"""

from __future__ import annotations

import enum
import re
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.errors import LimitError
from capably.facts import Compression, Image, ImageKind
from capably.scanner import cubin, ptx
from capably.scanner.codecs import NoCodecError, no_codec
from capably.scanner.payload import Payload, PayloadError
from capably.scanner.search import Needle, Search
from capably.scanner.source import BytesSource, NearSource
from capably.version import PtxVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from capably.scanner.kernels import KernelReader, Pending  # noqa: TC004 - annotations of `Found` are never resolved
    from capably.scanner.layout import Region
    from capably.scanner.limits import Budget
    from capably.scanner.source import Source
    from capably.version import CudaVersion

__all__ = ["MAGIC", "Found", "Mode", "cubin_image", "promising", "ptx_image", "walk"]

MAGIC = b"\x50\xed\x55\xba"
# With version 1 and header size 16, which all fatbins have: outside the sections for fatbins four bytes
# alone turn up by chance, in the code of every library that reads fatbins.
_STRICT_MAGIC = MAGIC + b"\x01\x00\x10\x00"
_CUBIN_MAGIC = b"\x7fELF\x02\x01\x01"
_CUBIN_IDENT = re.compile(rb"\x7fELF\x02\x01\x01[\x33\x41][\x07\x08]", re.DOTALL)
_PTX_MAGIC = b".version "
_NEEDLES = (Needle(_STRICT_MAGIC, 3), Needle(_CUBIN_MAGIC), Needle(_PTX_MAGIC))
_BARE_PTX = re.compile(rb"\.version +[0-9]{1,2}\.[0-9]{1,2}\s{1,8}\.target +sm_[0-9]{2,3}")

_HEADER = struct.Struct("<4xHHQ")
# kind, version, header size, payload size, compressed size, options, code minor and major, arch, name offset
# and length, flags, reserved, uncompressed size
_ENTRY = struct.Struct("<HHIQIIHHIIIQQQ")
_CONCATENATED = 0x100
_LARGEST_WASTE = 1 << 30  # bytes of things that look like cubins and are none
# Nobody wonders about so many bytes between fatbins, whatever they are. The smallest with an entry has 80.
LARGEST_GAP = 64
# Linkers fill with zeros up to the alignment of the section: 256 in catboost, and in cusparselt for aarch64. No host has
# larger pages.
_LARGEST_PADDING = 64 << 10
_LARGEST_DIRECTORY = 16 << 20  # of 4,000 images with names of 4 KB
_KINDS = {
    1: ImageKind.PTX,
    2: ImageKind.SASS,
    8: ImageKind.LTOIR,
    0x40: ImageKind.RELPTX,
    0x80: ImageKind.TILEIR,
}
_TARGET_KINDS = {
    ImageKind.SASS: TargetKind.REAL,
    ImageKind.PTX: TargetKind.VIRTUAL,
    ImageKind.LTOIR: TargetKind.LTO,
    ImageKind.RELPTX: TargetKind.VIRTUAL,
    ImageKind.TILEIR: TargetKind.VIRTUAL,
    ImageKind.UNKNOWN: TargetKind.REAL,
}
_INDEX = 0x20
_ABIS = (7, 8)  # of cubins
# Of zstd a block of up to 128 KiB is inflated anyway, and only has to be copied. Of cubins 192 bytes decide all with
# kernels of seven wheels (176 bytes at most); others have long names before.
_PREFIXES, _PREFIXES_ZSTD = (192, 4 << 10), (16 << 10, 128 << 10)
_PTX_PREFIXES = (512, 4 << 10)  # decide half of the PTX, and nearly all that has code
_PTX_PREFIXES_ZSTD = (64 << 10,)  # decide most of the PTX
# Payloads that had to be inflated whole and are remembered, in bytes as they are stored: each, and all of a file.
_LARGEST_KNOWN = 1 << 20
_MOST_KNOWN = 8 << 20


class Mode(enum.Enum):
    """Where a walk takes place, hence how much is believed to be GPU code."""

    FATBINS = "fatbins"  # a section for fatbins, or a file of them: anything else in it is damage
    DATA = "data"  # a data section: fatbins by the long magic at multiples of 8, bare cubins and PTX
    # A stream whose sections are not known yet: what DATA finds, and all fatbins that lie back to back with one.
    BLIND = "blind"


@dataclass(slots=True)
class Found:
    """Something found, or something wrong.

    Attributes:
        start: Offset of its first byte in the file.
        end: Offset behind what was taken.
        images: Those of a fatbin; None if it is not one.
        bare: An image outside any fatbin.
        strict: It is found in any section; else only in one for fatbins.
        clean: Nothing is wrong with it, so it means the same wherever it lies.
        problems: Findings as pairs of code and message.
        count: How many equal fatbins follow each other back to back, this one included.
        entries: What they count against the limit for fatbins and their entries.
        kernels: For each of these, the kernels of each image, where they were asked for.
        starts: Offsets of these, where there is more than one.
    """

    start: int
    end: int
    images: tuple[Image, ...] | None = None
    bare: Image | None = None
    strict: bool = True
    clean: bool = True
    problems: list[tuple[str, str]] = field(default_factory=list)
    count: int = 1
    entries: int = 0
    kernels: list[list[Pending]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


def walk(
    source: Source,
    start: int,
    end: int,
    mode: Mode,
    budget: Budget,
    *,
    origin: int = 0,
    align: int = 0,
    kernels: KernelReader | None = None,
) -> Iterator[Found]:
    """Find everything between two offsets.

    Args:
        source: The file.
        start: Where to begin.
        end: Where to stop: nothing found reaches behind it.
        mode: What to look for.
        budget: What may be spent.
        origin: From where the alignment of fatbins in data counts.
        align: What a section for fatbins is aligned to: less than so many zeros between them mean nothing.
        kernels: Reads the kernels of each image; None where nobody wants to know.

    Yields:
        What was found, in the order of the file; equal fatbins that touch as one.
    """
    last: Found | None = None
    for found in _Walker(source, end, mode, budget, origin=origin, align=align, kernels=kernels).run(start):
        if (
            last is not None
            and last.images is not None
            and found.images == last.images
            and found.start == last.end
            and found.clean
            and last.clean
            and found.strict == last.strict
            and not found.problems
            and not last.problems
        ):
            last.end = found.end
            last.count += 1
            last.starts = last.starts or [last.start]
            last.starts.append(found.start)
            last.entries += found.entries
            last.kernels += found.kernels
            continue
        if last is not None:
            yield last
        last = found
    if last is not None:
        yield last


# What is searched together: regions of so many bytes, so many bytes apart, where there are so many of them.
_SMALL_REGION = 64 << 10
_NEAR = 4 << 10
_FEW_REGIONS = 4


def promising(source: Source, regions: Iterable[Region], budget: Budget) -> Iterator[Region]:
    """Those regions in which anything that `walk` finds may begin, in order.

    Objects that were compiled with ``-fdata-sections`` have thousands of small ones, close to each other.
    These are searched together here, most of them with one look.
    """
    near: list[Region] = []
    for region in regions:
        small = not region.named and region.end - region.start <= _SMALL_REGION
        if near and not (small and region.start - near[-1].end <= _NEAR):
            yield from _with_needles(source, near, budget)
            near = []
        if small:
            near.append(region)
        else:
            yield region
    yield from _with_needles(source, near, budget)


def _with_needles(source: Source, near: list[Region], budget: Budget) -> Iterator[Region]:
    if len(near) < _FEW_REGIONS:
        yield from near
        return
    search = Search(source, near[-1].end, _NEEDLES, budget)
    for region in near:
        hit = search.find(region.start)
        if hit is None:
            return
        if hit[0] < region.end:
            yield region


class _Walker:
    def __init__(
        self,
        source: Source,
        end: int,
        mode: Mode,
        budget: Budget,
        *,
        origin: int,
        align: int,
        kernels: KernelReader | None,
    ) -> None:
        self._source = NearSource(source)
        self._end = end
        self._origin = origin
        self._mode = mode
        self._padding = min(align - 1, _LARGEST_PADDING) if mode is Mode.FATBINS else 0
        self._padded = -1  # from where there is nothing else up to the end
        self._budget = budget
        self._kernels = kernels
        self._mark = 0  # nothing before it may be read again
        self._wasted = 0
        # Each image and each row of images once: equal ones are the same, so that nobody has to compare fields.
        self._image_of: dict[tuple[object, ...], Image] = {}
        self._images_of: dict[tuple[int, ...], tuple[Image, ...]] = {}
        self._known = _Known()

    def run(self, start: int) -> Iterator[Found]:
        needles = (Needle(MAGIC, 3),) if self._mode is Mode.FATBINS else _NEEDLES
        search = Search(self._source, self._end, needles, self._budget)
        position = start
        settled = True  # what lies before *position* was understood
        while (hit := (padded := self._at(position)) or search.find(position)) is not None:
            self._budget.check_time()
            offset, which = hit
            if settled and self._mode is Mode.FATBINS and padded is None and offset - position > LARGEST_GAP:
                yield self._damaged(position, position, f"is no fatbin for {offset - position} bytes")
            found = (self._fatbin, self._cubin, self._ptx)[which](offset)
            if found is None:
                position = max(offset + 4, self._mark)
                continue
            yield found
            settled = found.clean
            position = max(found.end, offset + 4, self._mark)
            if self._budget.entries > self._budget.limits.entries:
                problem = ("limit-reached", f"It has more than {self._budget.limits.entries} fatbin entries.")
                yield Found(position, position, clean=False, problems=[problem])
                return
        left = self._end - position
        if settled and self._mode is Mode.FATBINS and left > LARGEST_GAP and position != self._padded:
            yield self._damaged(position, position, f"is no fatbin for {left} bytes")
        elif self._mode is Mode.FATBINS and 0 < left < len(MAGIC) and MAGIC.startswith(self._read(position, left)):
            # Too few bytes for the search, which finds longer beginnings.
            yield self._damaged(position, self._end, "ends in its header")

    def _at(self, position: int) -> tuple[int, int] | None:
        """What `Search.find` gives where a fatbin begins at *position*, as it mostly does behind another.

        Compilers and linkers align it, with zeros before it.
        """
        near = self._source.read(position, min(LARGEST_GAP + len(_STRICT_MAGIC), self._end - position))
        if near.startswith(MAGIC):
            return position, 0
        aligned = near.lstrip(b"\0")
        if self._padding > LARGEST_GAP and len(aligned) < len(_STRICT_MAGIC):
            near = self._source.read(position, min(self._padding + len(_STRICT_MAGIC), self._end - position))
            aligned = near.lstrip(b"\0")
            if not aligned and len(near) <= self._padding:
                self._padded = position  # only here can a stream be asked
        gap = len(near) - len(aligned)
        if gap <= max(LARGEST_GAP, self._padding) and aligned.startswith(
            MAGIC if self._mode is Mode.FATBINS else _STRICT_MAGIC
        ):
            return position + gap, 0
        return None

    def _read(self, offset: int, size: int) -> bytes:
        self._mark = max(self._mark, offset)
        return self._source.read(offset, size)

    def _damaged(self, start: int, end: int, what: str) -> Found:
        problem = ("damaged-fatbin", f"The fatbin data at byte {start} {what}.")
        self._budget.entries += 1
        return Found(start, end, clean=False, strict=False, problems=[problem], entries=1)

    def _fatbin(self, start: int) -> Found | None:
        head = self._read(start, min(16, self._end - start))
        strict = head.startswith(_STRICT_MAGIC) and (start - self._origin) % 8 == 0
        if self._mode is Mode.DATA and not strict:
            return None
        if len(head) < 16:
            return None if self._mode is Mode.DATA else self._damaged(start, start + len(head), "ends in its header")
        _, header_size, size = _HEADER.unpack(head)
        first = start + header_size
        if not 16 <= header_size <= 64 or header_size % 8 or first > self._end:
            return self._damaged(start, start + 4, f"claims a header of {header_size} bytes")
        if strict and size and self._mode is not Mode.FATBINS and not self._plausible(first):
            # Sixteen bytes that look like a header, without an entry: a constant in a reader of fatbins.
            return self._damaged(start, first, "has no entries") if self._mode is Mode.BLIND else None
        before = self._budget.entries
        self._budget.entries += 1
        found = Found(start, first + size, strict=strict, kernels=[] if self._kernels is None else [[]])
        end = found.end
        if end > self._end:
            end = self._end
            found.clean = False
            found.problems.append(
                ("damaged-fatbin", f"The fatbin at byte {start} should have {size} bytes; {end - first} are left.")
            )
        images: list[Image] = []
        position = first
        while position < end:
            step = self._entry(position, end, images, found)
            self._budget.entries += 1
            if step == 0:
                if not found.problems or found.problems[-1][0] != "damaged-fatbin":
                    found.problems.append(
                        ("damaged-fatbin", f"The entry at byte {position} of the fatbin at byte {start} is damaged.")
                    )
                found.clean = False
                # The damage may be in the size of the fatbin, so what follows is searched.
                end = max(position, self._mark)
                break
            position += step
            if self._budget.entries > self._budget.limits.entries:
                break
        found.end = end
        found.entries = self._budget.entries - before
        # A damaged fatbin without a readable image is a finding and nothing else.
        if images or found.clean:
            key = tuple(map(id, images))
            known = self._images_of.get(key)
            found.images = self._images_of.setdefault(key, tuple(images)) if known is None else known
        return found

    def _plausible(self, offset: int) -> bool:
        data = self._read(offset, min(16, self._end - offset))
        if len(data) < 16:
            return False
        kind: int
        version: int
        header_size: int
        kind, version, header_size = struct.unpack_from("<HHI", data)
        return version == 0x0101 and 0 < kind <= 0x1000 and 64 <= header_size <= 1 << 20 and header_size % 8 == 0

    def _entry(self, offset: int, end: int, images: list[Image], found: Found) -> int:
        """Read one entry; its length, or 0 where it is damaged."""
        self._budget.check_time()
        head = self._read(offset, min(64, end - offset))
        if len(head) < 64:
            return 0
        fields: tuple[int, ...] = _ENTRY.unpack(head)
        kind, _, header_size, payload_size, compressed_size = fields[:5]
        flags, uncompressed_size = fields[11], fields[13]
        if header_size < 64 or header_size % 8 or header_size > end - offset:
            return 0
        if payload_size > end - offset - header_size or compressed_size > payload_size:
            return 0
        compression = _compression(flags)
        stored = payload_size if compression is Compression.NONE else compressed_size or payload_size
        directory = b""
        if kind == _CONCATENATED:
            directory = self._read(offset + 64, min(header_size - 64, _LARGEST_DIRECTORY))
        payload = Payload(self._source, offset + header_size, stored, compression, uncompressed_size, self._budget)
        self._mark = payload.offset
        if kind == _CONCATENATED:
            return header_size + payload_size if self._container(offset, directory, payload, images, found) else 0
        images.append(self._image(fields, payload, found, offset))
        return header_size + payload_size

    def _container(self, offset: int, directory: bytes, payload: Payload, images: list[Image], found: Found) -> bool:
        """Read the images of a concatenated container (CUDA 13.4); False where its directory is damaged.

        The directory starts with its count and its size, both of 32 bits, and holds entry headers in which
        the second word is not a header size but the offset of the data in the decompressed payload.
        """
        if len(directory) < 8:
            return False
        count, size = struct.unpack_from("<II", directory)
        if not 8 <= size <= len(directory) or count > (size - 8) // 64:
            return False
        blob: bytes | None
        try:
            blob = payload.full()
        except (PayloadError, LimitError, NoCodecError) as error:
            self._problem(found, offset, error)
            blob = None
        if blob is not None and len(blob) < payload.stored_bytes and payload.compression is Compression.NONE:
            blob = None
        position = 8
        for _ in range(count):
            if position + 64 > size:
                return False
            fields = _ENTRY.unpack_from(directory, position)
            length = _sub_header_size(directory, position, size, fields)
            if length is None:
                return False
            start, data_size = fields[2], fields[3]
            part: Payload | None = None
            if blob is not None:
                if start + data_size > len(blob):
                    return False
                part = Payload(BytesSource(blob), start, data_size, Compression.NONE, data_size, self._budget)
            image = self._image(fields, part, found, offset)
            images.append(_contained(image, payload.compression))
            self._budget.entries += 1
            position += length
            if self._budget.entries > self._budget.limits.entries:
                break
        return True

    def _image(self, fields: tuple[int, ...], payload: Payload | None, found: Found, offset: int) -> Image:
        number, minor, major, arch, flags = fields[0], fields[6], fields[7], fields[8], fields[11]
        kind = _KINDS.get(number, ImageKind.UNKNOWN)
        stub: bool | None = False
        relocatable = kind is ImageKind.RELPTX
        toolkit = None
        compression = payload.compression if payload is not None else Compression.NONE
        if payload is None:
            stub = None
        elif payload.stored_bytes == 0:
            stub = True
        else:
            try:
                if kind is ImageKind.SASS:
                    stub, linkable, toolkit = _look_into_sass(payload, self._known)
                    relocatable = relocatable or linkable
                elif kind is ImageKind.PTX:
                    stub = _is_ptx_stub(payload, self._known)
                elif kind is ImageKind.RELPTX:
                    stub = _is_relptx_stub(payload)
            except (PayloadError, LimitError, NoCodecError) as error:
                self._problem(found, offset, error)
                stub = None
        if self._kernels is not None:
            found.kernels[0].append(self._kernels.take(kind, payload, stub=stub))
        # What is in a container has the compression of the whole, whatever its own flags say; else these tell.
        key = (number, arch, flags, major, minor, relocatable, stub, compression is Compression.NONE, toolkit)
        image = self._image_of.get(key)
        if image is None:
            image = self._image_of[key] = Image(
                kind=kind,
                target=None if number in (_INDEX, _CONCATENATED) else _target(kind, arch, flags),
                relocatable=relocatable,
                stub=stub,
                compression=compression,
                ptx=PtxVersion(major, minor) if kind in (ImageKind.PTX, ImageKind.RELPTX) else None,
                code_version=(major, minor),
                toolkit=toolkit,
            )
        return image

    def _problem(self, found: Found, offset: int, error: PayloadError | LimitError | NoCodecError) -> None:
        if isinstance(error, LimitError):
            if self._budget.exhausted:
                raise error
            found.problems.append(("limit-reached", f"In the entry at byte {offset}, {error.problem}."))
        elif isinstance(error, NoCodecError):
            found.problems.append(no_codec(error))
        else:
            found.problems.append(("damaged-image", f"The image of the entry at byte {offset}: {error}."))

    def _cubin(self, start: int) -> Found | None:
        head = self._source.read(start, min(64, self._end - start))
        if not _CUBIN_IDENT.match(head):
            return None
        try:
            header = cubin.read_header(head)
            size = header.end
            # Headers of hostile cubins may overlap, and each would be read to its end.
            most = min(self._end - start, self._budget.limits.image_bytes)
            if size > most or self._wasted > _LARGEST_WASTE:
                return None
            self._wasted += size
            data = self._source.read(start, size)
            # Its sections may lie behind their table.
            if size < (whole := cubin.whole_size(data, header, self._budget.limits.sections)) <= most:
                self._wasted += whole - size
                size = whole
                data = self._source.read(start, size)
            image = cubin_image(data, self._budget)
        except cubin.CubinError:
            return None
        self._wasted -= size
        return Found(start, start + len(data), bare=image, kernels=self._bare(ImageKind.SASS, data))

    def _bare(self, kind: ImageKind, data: bytes) -> list[list[Pending]]:
        return [] if self._kernels is None else [[self._kernels.parse(kind, data, self._budget)]]

    def _ptx(self, start: int) -> Found | None:
        if not _BARE_PTX.match(self._source.read(start, min(64, self._end - start))):
            return None
        # The text ends at its NUL; it is fetched at growing length from one offset.
        size = 64 << 10
        while True:
            most = min(size, self._end - start, self._budget.limits.image_bytes)
            data = self._source.read(start, most)
            stop = data.find(b"\0")
            if stop >= 0 or len(data) < size:
                break
            size *= 4
        text = data[:stop] if stop >= 0 else data
        image = ptx_image(text)
        # Without its NUL a text may go on behind the end of what was walked.
        if image is None:
            return None
        return Found(start, start + len(text), bare=image, clean=stop >= 0, kernels=self._bare(ImageKind.PTX, text))


def cubin_image(data: bytes, budget: Budget) -> Image:
    """The facts of a cubin that is not in a fatbin.

    Raises:
        CubinError: It is damaged.
    """
    facts = cubin.read_cubin(data, budget.limits.sections)
    return Image(
        kind=ImageKind.SASS,
        target=facts.target,
        relocatable=facts.relocatable,
        stub=not facts.kernels,
        code_version=(1, data[8]) if data[8] in _ABIS else None,
        toolkit=facts.toolkit,
    )


def ptx_image(text: bytes) -> Image | None:
    """The facts of a PTX text that is not in a fatbin; None if it does not begin like PTX."""
    head = ptx.read_head(text)
    if head is None:
        return None
    return Image(kind=ImageKind.PTX, target=head.target, stub=not ptx.has_code(text), ptx=head.version)


class _Known:
    """Whether whole images are stubs, by their stored bytes: a library may have one a hundred times."""

    def __init__(self) -> None:
        self._stubs: dict[tuple[ImageKind, Compression, int, bytes], bool] = {}
        self._room = _MOST_KNOWN

    def is_stub(self, kind: ImageKind, payload: Payload, look: Callable[[bytes], bool]) -> bool:
        """What *look* says of the whole image; it is not asked twice about equal payloads.

        Raises:
            PayloadError: The image cannot be had, or *look* says so.
            LimitError: It is larger than the limits allow.
        """
        if payload.stored_bytes > _LARGEST_KNOWN:
            return look(payload.full())
        data = payload.source.read(payload.offset, payload.stored_bytes)
        key = (kind, payload.compression, payload.size_bytes, data)
        stub = self._stubs.get(key)
        if stub is None:
            stub = look(payload.full())
            if len(data) <= self._room:
                self._room -= len(data)
                self._stubs[key] = stub
        return stub


def _look_into_sass(payload: Payload, known: _Known) -> tuple[bool, bool, CudaVersion | None]:
    """Whether a cubin is a stub, whether it is relocatable, and its toolkit as far as its header tells."""
    most = payload.budget.limits.sections
    short, long = _PREFIXES_ZSTD if payload.compression is Compression.ZSTD else _PREFIXES
    head = payload.prefix(short)
    try:
        header = cubin.read_header(head)
        has_kernel = cubin.has_kernel_prefix(head)
        if has_kernel is None:
            has_kernel = cubin.has_kernel_prefix(payload.prefix(long))
        if has_kernel:
            return False, header.relocatable, header.toolkit
        stub = known.is_stub(ImageKind.SASS, payload, lambda data: not cubin.read_cubin(data, most).kernels)
    except cubin.CubinError as error:
        raise PayloadError(str(error)) from None
    return stub, header.relocatable, header.toolkit


def _is_ptx_stub(payload: Payload, known: _Known) -> bool:
    for size in _PTX_PREFIXES_ZSTD if payload.compression is Compression.ZSTD else _PTX_PREFIXES:
        head = payload.prefix(size)
        if ptx.has_code(head[: head.rfind(b"\n") + 1]):  # what stands in its last line may go on behind it
            return False
    return known.is_stub(ImageKind.PTX, payload, _is_text_stub)


def _is_text_stub(text: bytes) -> bool:
    if b".version" not in text[: ptx.HEAD_BYTES]:
        raise PayloadError("it is not PTX")
    return not ptx.has_code(text)


def _is_relptx_stub(payload: Payload) -> bool:
    text = payload.full()
    return ptx.read_head(text) is not None and not ptx.has_code(text)


def _compression(flags: int) -> Compression:
    if flags & 0x2000:
        return Compression.LZ4
    if flags & 0x8000:
        return Compression.ZSTD
    return Compression.UNKNOWN if flags & 0x5000 else Compression.NONE


@lru_cache(maxsize=512)
def _target(kind: ImageKind, arch: int, flags: int) -> Target | None:
    if not 10 <= arch <= 999:
        return None
    suffix = Suffix.NONE
    if flags & 0x100000:
        suffix = Suffix.ARCH_SPECIFIC
    elif flags & 0x200000:
        suffix = Suffix.FAMILY_SPECIFIC
    return Target(ComputeCapability.from_number(arch), suffix, _TARGET_KINDS[kind])


def _contained(image: Image, compression: Compression) -> Image:
    return Image(
        kind=image.kind,
        target=image.target,
        relocatable=image.relocatable,
        stub=image.stub,
        compression=compression,
        concatenated=True,
        ptx=image.ptx,
        code_version=image.code_version,
        toolkit=image.toolkit,
    )


def _sub_header_size(directory: bytes, position: int, end: int, fields: tuple[int, ...]) -> int | None:
    """The length of a header in the directory of a container, which is stated nowhere."""
    options, name, name_length = fields[5], fields[9], fields[10]
    length = 64
    if name_length:
        length = max(length, _align(name + name_length + 1))
    if options:
        if position + options + 8 > end:
            return None
        offset, size = struct.unpack_from("<II", directory, position + options)
        length = max(length, _align(offset + size + 1))
    return length if position + length <= end else None


def _align(value: int) -> int:
    return (value + 7) & ~7
