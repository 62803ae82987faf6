"""The files that `core_check.py` reads: a library with kernels and a stub, compressed in each way."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from pathlib import Path

import build
import zstandard
from core_check import COMPRESSIONS


def library(compression: build.Compression) -> bytes:
    """Two fatbins: with kernels, and without."""
    code = [build.sass(target, compression=compression) for target in ("sm_80", "sm_90")]
    stub = build.sass("sm_90", kernels=(), compression=compression)
    return build.library(
        build.fatbin([*code, build.ptx_entry("compute_80", "7.0", compression=compression)]), build.fatbin([stub])
    )


def write(folder: Path) -> None:
    """All of them, into *folder*."""
    for name in COMPRESSIONS:
        compression: build.Compression = name  # type: ignore[assignment]  # the same three words
        build.wheel(folder, name, "1.0", {f"{name}/_C.so": library(compression)}, platform="any")
    data = build.tar(build.tar_member("lib.so", library("none")))
    for ending, packed in {
        "gz": gzip.compress(data),
        "bz2": bz2.compress(data),
        "xz": lzma.compress(data),
        "zst": zstandard.ZstdCompressor().compress(data),
    }.items():
        (folder / f"code.tar.{ending}").write_bytes(packed)
    build.zip_file(folder / "inner.zip", {"code.tar.zst": (folder / "code.tar.zst").read_bytes()})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
