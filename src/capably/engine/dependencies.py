"""Where the GPU code of a package is that has none itself: in which of its dependencies."""

from __future__ import annotations

import re

from capably.engine.hosts import host_finding
from capably.tables import tables
from capably.wording import join

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.facts import Artifact, Finding

__all__ = ["carriers"]

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA = re.compile(r"""extra\s*==\s*["']([A-Za-z0-9._-]+)["']""")
# Distributions that are named for a CUDA major version, but the parts of the toolkit that hold no code for GPUs.
_FOR_CUDA = re.compile(r"[a-z0-9-]+-(?:cu|cuda)[0-9]{2,3}x?")
_WITHOUT_CODE = re.compile(r"nvidia-(?:cuda-[a-z0-9-]+|nvtx|nvjitlink|nvvm|cufile|nvml-dev)-cu[0-9]{2}")
_MOST = 6


def carriers(artifact: Artifact) -> Finding | None:
    """Which distributions hold the GPU code that *artifact* uses, as its metadata and the tables say."""
    always: dict[str, None] = {}
    with_extra: dict[str, list[str]] = {}
    for name, extra in _required(artifact):
        if not _holds_code(name):
            continue
        if extra is None:
            always[name] = None
        elif name not in always:
            with_extra.setdefault(extra, []).append(name)
    parts = (
        [f"it requires {join(list(always)[:_MOST])}, which {'has' if len(always) == 1 else 'have'} it"]
        if always
        else []
    )
    if not always and (
        maybe := [name for name, extra in _required(artifact) if extra is None and _may_hold_code(name)]
    ):
        parts = [f"it requires {join(list(dict.fromkeys(maybe))[:_MOST])}, which may have it"]
    extras: dict[tuple[str, ...], list[str]] = {}
    for extra, names in with_extra.items():
        if left := tuple(name for name in dict.fromkeys(names) if name not in always):
            extras.setdefault(left, []).append(f"`{extra}`")
    for left, asked in list(extras.items())[:_MOST]:
        more = f" and {len(left) - _MOST} more" if len(left) > _MOST else ""
        which = f"the extra {' or '.join(asked[:_MOST])}"
        parts.append(f"with {which} it requires {', '.join(left[:_MOST])}{more}")
    if not parts and artifact.name is not None:
        row = tables().package(artifact.name)
        if row is not None and row.part is not None:
            names = [name for one in tables().packages for name in one.distributions if row.part.fullmatch(name)]
            parts = [f"{' or '.join(names[:_MOST])} brings it"] if names else []
    return host_finding("code-in-dependencies", artifact.path, names="; ".join(parts)) if parts else None


def _required(artifact: Artifact) -> Iterator[tuple[str, str | None]]:
    for text in artifact.requires:
        if name := _REQUIREMENT.match(text):
            extra = _EXTRA.search(text.partition(";")[2])
            yield re.sub(r"[-_.]+", "-", name[1]).lower(), extra[1] if extra else None


def _may_hold_code(name: str) -> bool:
    """By its name alone.

    >>> [_may_hold_code(name) for name in ("nvidia-libnvcomp-cu12", "cupy-cuda12x", "nvidia-cuda-runtime-cu12", "numpy")]
    [True, True, False, False]
    """
    return _FOR_CUDA.fullmatch(name) is not None and _WITHOUT_CODE.fullmatch(name) is None


def _holds_code(name: str) -> bool:
    row = tables().package(name)
    return row is not None and row.part is None
