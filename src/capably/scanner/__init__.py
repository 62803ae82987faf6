"""Read files into facts: which GPU code they hold, for what, and how it is stored.

Nothing here judges whether code runs anywhere. Any bytes give a result or a `capably.errors.ScanError`,
within the bounds of `Limits`; nothing is extracted, executed or written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from capably.scanner.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    import importlib.metadata
    from collections.abc import Callable

    from capably.facts import Artifact
    from capably.scanner.job import Job
    from capably.scanner.metadata import Distribution
    from capably.store import Store

__all__ = ["DEFAULT_LIMITS", "Limits", "scan", "scan_distribution"]


def scan(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[str, int, int], None] | None = None,
    with_sha256: bool = False,
    with_kernels: bool = False,
    store: Store | None = None,
) -> Artifact:
    """Read the GPU code of a file or a directory.

    What a file is, its content tells: a 64-bit ELF file or a PE file (library, object, executable), a COFF
    object, a static library, a cubin, a fatbin, PTX, a wheel or another zip, a tar archive (also compressed
    by gzip, bzip2, xz or zstd). A directory is read with all below it; links to directories are not
    followed. Archives in directories and in archives are read too; what lies in them is named
    `archive!/member`. A static library is one library.

    Damage in a part is a finding of the artifact, and the rest is read.

    Args:
        path: What to read.
        limits: How much to read at most.
        progress: Called now and then with the name of a file or member, the bytes of it that were read, and
            its size in bytes.
        with_sha256: Whether to hash the artifact (if it is a file) and the libraries in it.
        with_kernels: Whether to read the kernels of each image (`capably.facts.Library.kernels`). All images are
            decompressed for that, and the store is not used.
        store: Where to look for the result of an earlier call, and to keep this one. An archive is found
            by its content too, wherever it lies now.

    Raises:
        ScanError: It is not there, not a regular file, or nothing of the above.
        TruncatedError: It is a zip that is cut off.
        LimitError: It is a zip with more members than the limits allow.
    """
    job = _job(limits, progress, store, with_sha256=with_sha256, with_kernels=with_kernels)
    name = os.fspath(path)
    if job.memory is not None and (known := job.memory.path(name)) is not None:
        return known
    from capably.scanner.files import scan_path  # noqa: PLC0415 - importing this package stays cheap

    with job:
        return scan_path(name, job)


def scan_distribution(
    dist: Distribution | importlib.metadata.Distribution,
    *,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[str, int, int], None] | None = None,
    with_sha256: bool = False,
    with_kernels: bool = False,
    store: Store | None = None,
) -> Artifact:
    """Read the GPU code of an installed distribution.

    Its files are those of its RECORD. One that is missing, or that lies outside the environment, is a
    finding; so is damage of the files that tell of it, and the rest is read. Sources and bytecode, by their names (``.py``, ``.h``, ``.cu`` …), have to be there and are not
    opened: nothing loads them as GPU code. Any other file is.

    Args:
        dist: As `capably.scanner.metadata.find_distributions` or `importlib.metadata.distribution` gives it.
        limits: How much to read at most.
        progress: See `scan`.
        with_sha256: Whether to hash the libraries in it.
        with_kernels: See `scan`.
        store: See `scan`.

    Raises:
        ScanError: It does not lie in a folder.
    """
    from capably.scanner.distribution import scan_installed  # noqa: PLC0415 - as above

    with _job(limits, progress, store, with_sha256=with_sha256, with_kernels=with_kernels) as job:
        return scan_installed(dist, job)


def _job(
    limits: Limits,
    progress: Callable[[str, int, int], None] | None,
    store: Store | None,
    *,
    with_sha256: bool,
    with_kernels: bool,
) -> Job:
    from capably.scanner.job import Job  # noqa: PLC0415 - as above

    if with_kernels:
        from capably.scanner.kernels import KernelReader  # noqa: PLC0415 - as above

        return Job(limits, progress, with_sha256, kernels=KernelReader(limits))
    if store is None:
        return Job(limits, progress, with_sha256)
    from capably.scanner.remember import Memory  # noqa: PLC0415 - as above

    return Job(limits, progress, with_sha256, Memory(store, limits, with_sha256=with_sha256))
