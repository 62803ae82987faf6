"""What files of a distribution state beside the GPU code: the version of a compiler, requirements, a build for the CPU.

Nothing is run or imported; each file is read within bounds.

Sources: the texts that ptxas, NVRTC and what links them in hold, of CUDA 12.1 to 13.4; PyPA specification "Core
metadata"; `torch/version.py` of torch 2.7.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.facts import Finding, Toolkit, ToolkitKind
from capably.version import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.scanner.content import Content
    from capably.scanner.limits import Budget

__all__ = [
    "MOST_TEXT",
    "bounded_requirements",
    "cpu_build",
    "is_compiler",
    "is_metadata",
    "is_version_file",
    "read_compiler",
    "requirements",
]

MOST_TEXT = 4 << 20
"""Bytes that are read of a text, at most."""

_MOST_REQUIREMENTS = 1000
_LONGEST_REQUIREMENT = 1000
# Programs, libraries, and what is known to have one of these linked in.
_COMPILERS = (
    (ToolkitKind.PTXAS, re.compile(r"ptxas(?:-[a-z]+)?(?:\.exe)?")),
    (
        ToolkitKind.NVRTC,
        re.compile(r"(?:lib)?nvrtc(?:64)?(?:[-_.][0-9a-f_.]+)?\.(?:so|dll)(?:\.[0-9]+)*|warp\.(?:so|dll)"),
    ),
)
_VERSION = re.compile(
    rb"Cuda compilation tools, release [0-9]{1,3}\.[0-9]{1,3}, V([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,6})[\n\0]"
)
_LONGEST_VERSION = 128
_STEP = 1 << 20
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_VERSION_FILE = re.compile(r"[^/]+/version\.py")
_OWN_VERSION = re.compile(r"^__version__\s*(?::[^=\n]{0,80})?=\s*['\"]([^'\"\n]{1,100})['\"]", re.MULTILINE)
_CUDA = re.compile(r"^cuda\s*(?::[^=\n]{0,80})?=\s*(None|['\"][^'\"\n]{0,40}['\"])\s*$", re.MULTILINE)


def is_compiler(path: str) -> ToolkitKind | None:
    """The kind of compiler that a file is by its name, or has linked in; None for any other."""
    name = path.rpartition("/")[2]
    return next((kind for kind, pattern in _COMPILERS if pattern.fullmatch(name)), None)


def read_compiler(path: str, content: Content, budget: Budget) -> Toolkit | None:
    """The compiler in a program or library, with the version that it states; None where the name says that it is none.

    One that states no version, or several, is a compiler of an unknown version.
    """
    kind = is_compiler(path)
    if kind is None:
        return None
    source = content.source()
    found: set[bytes] = set()
    position, window = 0, b""
    while piece := source.read(position, min(_STEP, max(content.size - position, 0))):
        budget.check_time()
        window = window[-_LONGEST_VERSION:] + piece
        found.update(match[1] for match in _VERSION.finditer(window))
        position += len(piece)
    version = found.pop().decode() if len(found) == 1 else None
    return Toolkit(kind, path, version=version, cuda=CudaVersion.parse(version) if version else None)


def is_metadata(path: str) -> bool:
    """Whether a member of a wheel is its metadata."""
    return _METADATA.fullmatch(path) is not None


def requirements(metadata: bytes) -> tuple[str, ...]:
    """The values of ``Requires-Dist``, within bounds."""
    head = metadata[:MOST_TEXT].replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("utf-8", "replace")
    lines = (line.partition(":") for line in head.split("\n"))
    return bounded_requirements(value.strip() for name, _, value in lines if name.lower() == "requires-dist")


def bounded_requirements(found: Iterable[str]) -> tuple[str, ...]:
    """As many of them as anybody writes."""
    kept = [one for one in found if len(one) <= _LONGEST_REQUIREMENT]
    return tuple(kept[:_MOST_REQUIREMENTS])


def is_version_file(path: str) -> bool:
    """Whether a file may say whether its package is built for the CPU."""
    return _VERSION_FILE.fullmatch(path) is not None


def cpu_build(path: str, text: bytes) -> Finding | None:
    """What a ``version.py`` says of a build for the CPU; None where it says nothing of that, or names a CUDA version."""
    said = text[:MOST_TEXT].decode("utf-8", "replace")
    version, cuda = _OWN_VERSION.search(said), _CUDA.search(said)
    if version is None or cuda is None or cuda[1] != "None":
        return None
    if not version[1].partition("+")[2].startswith("cpu"):
        return None  # a build for another maker's GPUs has no CUDA either
    return Finding("cpu-build", path, f"It is a build for the CPU: version {version[1]}, and `cuda` is None.")
