"""The kernels of images: names, registers and shared memory from the symbols of cubins, names from PTX.

A cubin is an ELF file: a kernel is a function among its symbols with the flag STO_CUDA_ENTRY. Its registers
are in the record EIATTR_REGCOUNT of ``.nv.info``, its static shared memory is the size of its ``.nv.shared``
section. Sources: names by cuobjdump 13.5 ``-elf``; counts and sizes compared with ``--dump-elf-symbols`` and
``-res-usage``.

To have the symbols a cubin must be decompressed to its end, where its section table is. Decompressing releases
the interpreter's lock, so that is done in threads, a bounded number of bytes at a time, while the file is
read on.
"""

from __future__ import annotations

import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

from capably.errors import LimitError
from capably.facts import ImageKind
from capably.scanner import parallel, ptx
from capably.scanner.codecs import NoCodecError, no_codec
from capably.scanner.cubin import CubinError, noted_toolkit, read_header, section_table
from capably.scanner.payload import Payload, PayloadError
from capably.scanner.source import BytesSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from capably.scanner.cubin import Row, SectionTable
    from capably.scanner.limits import Budget, Limits
    from capably.version import CudaVersion  # noqa: TC004 - annotations of `Table` are never resolved

__all__ = ["KernelReader", "Pending", "Table", "cubin_kernels", "ptx_kernels"]

_SYMTAB, _NOTE, _NOBITS, _NV_INFO = _KINDS = 2, 7, 8, 0x70000000
_SYMBOL, _NARROW_SYMBOL = 24, 16
_FUNCTION = 2
_ENTRY = 0x10  # STO_CUDA_ENTRY
# Each byte to 1 where it says what is looked for, else to 0: whole columns are searched by the library of C.
_IS_ENTRY = bytes(int(bool(value & _ENTRY)) for value in range(256))
_IS_KIND = bytes(int(value in (_SYMTAB, _NOTE, _NOBITS)) for value in range(256))  # by its lowest byte
_IS_ZERO = bytes(int(value == 0) for value in range(256))
# Where a symbol has its name and its section, by whether the cubin has 64 bits.
_PLACE = {True: struct.Struct("<I2xH"), False: struct.Struct("<I10xH")}
_REGISTERS = 0x2F04  # format 4 (u16 length, data), attribute 0x2f (EIATTR_REGCOUNT): u32 symbol, u32 count
_IS_REGISTERS = bytes(int(value == _REGISTERS >> 8) for value in range(256))
_RECORD = struct.Struct("<HHII")
_SYMBOL_VALUE = struct.Struct("<4xII")

_LONGEST_NAME = 64 << 10  # the longest of PyTorch's has 2,301 bytes
# What is read but not parsed yet, over all threads: one large image at least, whatever its size.
_MOST_HELD = 192 << 20
_SMALL = 64 << 10  # parsed at once: handing it over takes longer


@dataclass(frozen=True, slots=True)
class Table:
    """The kernels of one image; see `capably.facts.ImageKernels`."""

    names: tuple[str, ...] | None
    registers: tuple[int | None, ...] = ()
    shared_bytes: tuple[int, ...] = ()
    toolkit: CudaVersion | None = None
    stored_bytes: int = 0
    size_bytes: int = 0
    problem: tuple[str, str] | None = None


class Pending:
    """A table that may still be worked on."""

    def __init__(self, table: Table | Future[Table]) -> None:
        self._table = table

    def result(self) -> Table:
        """The table, once it is there.

        Raises:
            LimitError: Nothing more can be read by this call of the scanner.
        """
        return self._table if isinstance(self._table, Table) else self._table.result()


class KernelReader:
    """Reads the kernels of the images of one call of the scanner, in threads of its own.

    Args:
        limits: Of the call.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[bytes, str] = {}
        self._tables: dict[Any, Any] = {}  # each column once
        self._room = threading.Condition()
        self._held = 0
        self._kernels = 0
        self._name_bytes = 0
        self._pool: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """Wait for what is under way, and drop what is not."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, kind: ImageKind, payload: Payload | None, *, stub: bool | None) -> Pending:
        """Begin with one image. Its payload is read here, so that a stream can go on.

        Args:
            kind: What it holds.
            payload: Where it is; None where it cannot be had.
            stub: Whether it is known to have no kernel.
        """
        stored = 0 if payload is None else payload.stored_bytes
        if stub is True:
            return Pending(Table((), stored_bytes=stored))
        if payload is None or stub is None or kind not in (ImageKind.SASS, ImageKind.PTX):
            return Pending(Table(None, stored_bytes=stored))
        if stored > self._limits.image_bytes:
            return Pending(_unread(stored, LimitError("", f"it is larger than {self._limits.image_bytes} bytes")))
        size = stored + max(payload.size_bytes, stored)
        self._wait_for_room(size)
        try:
            data = payload.source.read(payload.offset, stored)
        except BaseException:  # a disk that fails: other files are read on
            self._leave(size)
            raise
        here = Payload(BytesSource(data), 0, len(data), payload.compression, payload.size_bytes, payload.budget)
        if size <= _SMALL:
            return Pending(self._work(kind, here, size))
        with self._room:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(parallel.workers(), "capably-kernels")
        return Pending(self._pool.submit(self._work, kind, here, size))

    def parse(self, kind: ImageKind, data: bytes, budget: Budget) -> Pending:
        """The kernels of an image that is in memory as it is."""
        return Pending(self._table(kind, data, len(data), budget))

    def _wait_for_room(self, size: int) -> None:
        with self._room:
            self._room.wait_for(lambda: not self._held or self._held + size <= _MOST_HELD)
            self._held += size

    def _leave(self, size: int) -> None:
        with self._room:
            self._held -= size
            self._room.notify_all()

    def _work(self, kind: ImageKind, payload: Payload, held: int) -> Table:
        try:
            data = payload.full()
            return self._table(kind, data, payload.stored_bytes, payload.budget)
        except (PayloadError, LimitError, NoCodecError) as error:
            if isinstance(error, LimitError) and payload.budget.exhausted:
                raise
            return _unread(payload.stored_bytes, error)
        finally:
            self._leave(held)

    def _table(self, kind: ImageKind, data: bytes, stored: int, budget: Budget) -> Table:
        budget.check_time()
        try:
            if kind is ImageKind.SASS:
                found, registers, shared, toolkit = cubin_kernels(data, self._limits.sections)
            else:
                found, registers, shared, toolkit = ptx_kernels(data), (), (), None
            names = self._names(found)
        except (CubinError, LimitError) as error:
            return _unread(stored, error)
        once = self._tables.setdefault
        return Table(once(names, names), once(registers, registers), once(shared, shared), toolkit, stored, len(data))

    def _names(self, found: list[bytes]) -> tuple[str, ...]:
        """Names as text, each stored once.

        Raises:
            LimitError: They are too many.
        """
        known = self._known
        fresh = [name for name in found if name not in known]
        with self._room:
            self._kernels += len(found)
            self._name_bytes += sum(map(len, fresh))
            if self._kernels > self._limits.kernels or self._name_bytes > self._limits.name_bytes:
                raise LimitError("", f"there are more than {self._limits.kernels} kernels or too many names")
        for name in fresh:
            known[name] = name.decode("utf-8", "backslashreplace")
        return tuple([known[name] for name in found])


def _unread(stored: int, error: PayloadError | CubinError | LimitError | NoCodecError) -> Table:
    if isinstance(error, LimitError):
        problem = ("limit-reached", f"The kernels of an image were not read: {error.problem}.")
    elif isinstance(error, NoCodecError):
        problem = no_codec(error)
    else:
        problem = ("damaged-image", f"The kernels of an image cannot be read: {error}.")
    return Table(None, stored_bytes=stored, problem=problem)


def cubin_kernels(
    data: bytes, sections: int
) -> tuple[list[bytes], tuple[int | None, ...], tuple[int, ...], CudaVersion | None]:
    """Names, registers of a thread and static shared memory of the kernels of a cubin, and the toolkit that made it.

    Args:
        data: The cubin.
        sections: How many sections to read at most.

    Raises:
        CubinError: It is damaged.
    """
    header = read_header(data)
    table = section_table(data, header, sections)
    rows = list(_interesting(table))
    toolkit = header.toolkit or noted_toolkit(data, header, table, rows)
    found = next((row for row in rows if row[1] == _SYMTAB), None)
    if found is None:
        return [], (), (), toolkit
    _, _, start, size, link, _ = found
    step = _SYMBOL if header.wide else _NARROW_SYMBOL
    if start + size > len(data) or size % step:
        raise CubinError("its symbols lie outside")
    symbols = data[start : start + size]
    info = symbols[4 if header.wide else 12 :: step]
    other = symbols[5 if header.wide else 13 :: step].translate(_IS_ENTRY)
    indices = [index for index in compress(range(len(other)), other) if info[index] & 15 == _FUNCTION]
    if not indices:
        return [], (), (), toolkit
    _, _, first, length, _, _ = table.row(link) if link < table.sections else (0, 0, len(data), 1, 0, 0)
    if first + length > len(data):
        raise CubinError("its symbol names lie outside")
    place = _PLACE[header.wide].unpack_from
    places = [place(symbols, index * step) for index in indices]
    names = _kernel_names(data, first, first + length, [name for name, _ in places])
    counts = dict(_register_counts(data, rows))
    shared = {
        about: size
        for name, kind, _, size, _, about in rows
        if kind == _NOBITS and table.is_named(name, b".nv.shared.")
    }
    return (
        names,
        tuple([counts.get(index) for index in indices]),
        tuple([shared.get(home, 0) for _, home in places]),
        toolkit,
    )


def _interesting(table: SectionTable) -> Iterator[Row]:
    """The sections that are looked at: few among tens of thousands, so whole columns are sifted first."""
    data, step = table.data, table.step
    end = table.start + table.sections * step
    at = 4
    kinds = data[table.start + at : end : step].translate(_IS_KIND)
    at = 44 if table.wide else 28
    about = data[table.start + at : end : step].translate(_IS_ZERO)
    wanted = int.from_bytes(kinds, "little") | int.from_bytes(about, "little")
    for index in compress(range(table.sections), wanted.to_bytes(table.sections, "little")):
        row = table.row(index)
        if row[1] in _KINDS and (row[1] != _NV_INFO or not row[5]):
            yield row


def _kernel_names(data: bytes, first: int, end: int, offsets: list[int]) -> list[bytes]:
    """The names at *offsets* of the strings between *first* and *end*."""
    # Names that overlap are how few bytes grow many; those of real cubins lie one after the other.
    left = max(end - first, 1 << 20)
    names = []
    for offset in offsets:
        start = first + offset
        stop = data.find(b"\0", start, end)
        if stop < 0:
            raise CubinError("a kernel's name lies outside")
        left -= stop - start
        if left < 0 or stop - start > _LONGEST_NAME:
            raise CubinError("the names of its kernels overlap or are too long")
        names.append(data[start:stop])
    return names


def _register_counts(data: bytes, rows: list[Row]) -> Iterator[tuple[int, int]]:
    """Symbols and their registers, from the ``.nv.info`` of the whole cubin, which belongs to no other section."""
    for _, kind, offset, size, _, about in rows:
        if kind != _NV_INFO or about or offset + size > len(data):
            continue
        records = data[offset : offset + size]
        count = size // 12
        # Mostly all records are alike, and need not be told apart one by one.
        if size % 12 == 0 and records[0::12] == b"\4" * count and records[2::12] == b"\x08" * count:
            yield from compress(_SYMBOL_VALUE.iter_unpack(records), records[1::12].translate(_IS_REGISTERS))
            continue
        position = 0
        while position + 12 <= size:
            head, length, symbol, value = _RECORD.unpack_from(records, position)
            if head == _REGISTERS and length == 8:
                yield symbol, value
            # Format 4 has data of the length stated, the others a value of 16 bits at most.
            position += 4 + (length if head & 0xFF == 4 else 0)


def ptx_kernels(text: bytes) -> list[bytes]:
    """Names of the kernels that a PTX text defines, each once."""
    return ptx.entries(text, _LONGEST_NAME)
