"""Fetches ``NAME==VERSION`` with pip, once, into a cache.

Only wheels are taken, and nothing of them is run: pip neither builds nor installs anything here, and
dependencies are left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capably.cli.console import shown_path
from capably.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["fetch", "is_pinned"]

# pip takes --platform literally, without the older tags that it implies. 2.5 is manylinux1, and 2.45 is
# ahead of every glibc that wheels of today ask for.
_LINUX_X86_64 = (
    "linux_x86_64",
    "manylinux1_x86_64",
    "manylinux2010_x86_64",
    "manylinux2014_x86_64",
    *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 46)),
)
_PYTHON = re.compile(r"[23](?:\.[0-9]{1,2}){0,2}|[23][0-9]{1,2}")
_PLATFORM = re.compile(r"any|(?:linux|manylinux|musllinux|macosx|win|ios|android|freebsd)[0-9]*(?:_\w+)?")
_BY_HAND = "Fetch the wheel by other means and give its path."
_NEAR = 5


def is_pinned(text: str) -> bool:
    """Whether *text* is a requirement ``name==version`` that `fetch` takes.

    >>> is_pinned("xformers==0.0.35"), is_pinned("xformers>=0.0.35"), is_pinned("dist/x.whl")
    (True, False, False)
    """
    return _pinned(text) is not None


def _pinned(text: str) -> tuple[str, str] | None:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - 20 ms
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    pins = list(requirement.specifier)
    if len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith(".*"):
        return None
    if requirement.extras or requirement.url or requirement.marker:
        return None
    return canonicalize_name(requirement.name), pins[0].version


def fetch(
    requirement: str,
    *,
    cache_dir: Path,
    index_url: str | None = None,
    extra_index_urls: Sequence[str] = (),
    python_version: str | None = None,
    platforms: Sequence[str] = (),
    offline: bool = False,
    announce: Callable[[str], None],
) -> Path:
    """The wheel of one pinned release, from the cache or by ``pip download --no-deps``.

    Without *platforms* the wheel for this machine is taken, else the one for x86-64 Linux, since GPU wheels
    are mostly built for that and nothing has to run here.

    Args:
        requirement: ``name==version``.
        cache_dir: Where wheels are kept, one folder for each combination of the arguments.
        index_url: Passed on to pip, as are the following three.
        extra_index_urls: Further indexes.
        python_version: For which Python the wheel has to be, as ``3.12``.
        platforms: Platform tags, as ``manylinux_2_28_x86_64``.
        offline: Only look into the cache.
        announce: Is told, in one sentence, that pip is about to start, which has a progress bar of its own.

    Raises:
        FetchError: *requirement* is not pinned; it is not in the cache and *offline*; pip found no wheel; or the
            cache cannot be used.
    """
    pinned = _pinned(requirement)
    if pinned is None:
        raise FetchError(
            requirement, "only an exact release can be fetched", f"Write it as NAME==VERSION, not `{requirement}`."
        )
    _check_tags(requirement, python_version, platforms)
    name, version = pinned
    key = json.dumps([name, version, index_url, list(extra_index_urls), python_version, list(platforms)])
    folder = cache_dir / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    try:
        cached = sorted(folder.glob("*.whl")) if folder.is_dir() else []
        if cached:
            return cached[0]
        if offline:
            raise FetchError(
                requirement, "it is not in the cache, and --offline forbids fetching it", "Leave out --offline."
            )
        if importlib.util.find_spec("pip") is None:
            raise FetchError(requirement, "the environment that capably is installed in has no pip", _BY_HAND)
        options = [*(["--index-url", index_url] if index_url else [])]
        for url in extra_index_urls:
            options += ["--extra-index-url", url]
        if python_version:
            options += ["--python-version", python_version]
        with _folder(cache_dir), tempfile.TemporaryDirectory(dir=cache_dir, prefix=".fetch-") as scratch:
            announce(
                f"asking pip for {name}=={version}; the wheel is kept in {shown_path(cache_dir)} for the next time"
            )
            attempts = [tuple(platforms)] if platforms else [(), _LINUX_X86_64]
            said = []
            for attempt in attempts:
                said.append(_download(f"{name}=={version}", Path(scratch), options, attempt))
                wheels = sorted(Path(scratch).glob("*.whl"))
                if wheels:
                    folder.mkdir(exist_ok=True)
                    final = folder / wheels[0].name
                    wheels[0].replace(final)  # atomic: another process may be fetching the same
                    return final
                if said[-1].unreachable:
                    break
        raise _explained(requirement, said, options, python_version=python_version, platforms=platforms)
    except OSError as error:
        raise FetchError(
            requirement,
            f"cannot use the cache at {shown_path(cache_dir)}: {error.strerror or type(error).__name__}",
            "Set XDG_CACHE_HOME to a folder that can be written.",
        ) from error


def _check_tags(requirement: str, python_version: str | None, platforms: Sequence[str]) -> None:
    if python_version is not None and not _PYTHON.fullmatch(python_version):
        raise FetchError(requirement, f"`{python_version}` is no version of Python", "Write --python-version 3.12.")
    for platform in platforms:
        if not _PLATFORM.fullmatch(platform):
            raise FetchError(
                requirement,
                f"`{platform}` is no platform tag of wheels",
                "Write it as in the names of wheels: manylinux_2_28_x86_64, manylinux_2_28_aarch64, win_amd64.",
            )


@contextlib.contextmanager
def _folder(place: Path) -> Iterator[None]:
    """Make sure that *place* is there; what was made for it and stays empty is removed again."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    place.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            for folder in missing:
                folder.rmdir()


@dataclass(frozen=True, slots=True)
class _Said:
    """What pip said when it brought nothing.

    Attributes:
        error: Its last error.
        versions: The releases with wheels for what was asked; None where it did not come so far.
        python: Which Python the release needs, where that was in the way.
        unreachable: An index did not answer.
    """

    error: str
    versions: tuple[str, ...] | None
    python: str | None
    unreachable: bool


def _pip(*arguments: str, show: bool = False) -> subprocess.CompletedProcess[str]:
    # A constraint says what may be installed. Nothing is installed here, and pip would refuse to look.
    environment = {**os.environ, "PIP_CONSTRAINT": os.devnull}
    return subprocess.run(  # noqa: S603 - a list, no shell; the requirement was parsed
        [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if show else subprocess.PIPE,  # pip's progress bar; standard output is the answer's
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        errors="replace",
        check=False,
    )


def _download(requirement: str, folder: Path, options: Sequence[str], platforms: Sequence[str]) -> _Said:
    """Run pip once; what it said is of use where it brings nothing."""
    tags = [argument for platform in platforms for argument in ("--platform", platform)]
    arguments = ["download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), *options, *tags, requirement]
    process = _pip(*arguments, show=sys.stderr.isatty())
    text = process.stderr
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    listed = re.search(r"\(from versions: (.*?)\)", text)
    versions = None
    if listed is not None:
        versions = () if listed[1] in ("none", "") else tuple(listed[1].split(", "))
    needed = re.search(rf"[ ;]{re.escape(requirement.partition('==')[2])} Requires-Python ([^;\n]+)", text)
    return _Said(
        errors[-1] if errors else f"pip ended with exit code {process.returncode}",
        versions,
        needed[1].strip() if needed else None,
        bool(re.search(r"Retrying \(|connection broken|Connection to .* timed out|SSLError", text)) and not versions,
    )


def _explained(
    requirement: str,
    said: Sequence[_Said],
    options: Sequence[str],
    *,
    python_version: str | None,
    platforms: Sequence[str],
) -> FetchError:
    """What pip's words mean."""
    name, _, version = re.sub(r"\s", "", requirement).partition("==")
    if said[-1].unreachable:
        return FetchError(
            requirement,
            "a package index could not be reached",
            "Check the network, the proxy and --index-url, or give the path of a wheel.",
        )
    if any(one.versions is None for one in said):
        return FetchError(requirement, said[-1].error, _BY_HAND)
    python = python_version or f"{sys.version_info.major}.{sys.version_info.minor}"
    place = " or ".join(platforms) or "this machine or x86-64 Linux"
    needed = next((one.python for one in said if one.python), None)
    if needed:
        return FetchError(
            requirement,
            f"it needs Python {needed}, and wheels for Python {python} were looked for",
            "Name the Python that the wheel is for: --python-version 3.12.",
        )
    other = (
        "Name another Python (--python-version 3.12) or platform (--platform manylinux_2_28_aarch64) if it is for one."
    )
    wheels = tuple(dict.fromkeys(found for one in said for found in one.versions or ()))
    sources = _source_releases(name, options)
    nothing = f"there is no wheel of it for Python {python} on {place}"
    if version in sources:
        return FetchError(
            requirement,
            f"{nothing}, only a source distribution",
            f"A source distribution holds no GPU code yet and is not built here. {other}",
        )
    known = _near(version, wheels or sources)
    if known:
        return FetchError(
            requirement, f"{nothing}; releases near it: {', '.join(known)}", f"Check the version. {other}"
        )
    return FetchError(
        requirement,
        f"no index has wheels called `{name}` for Python {python} on {place}",
        f"Either the name is wrong, or all its wheels are for something else. {other}",
    )


def _source_releases(name: str, options: Sequence[str]) -> tuple[str, ...]:
    """The releases with a source distribution. This reads the index only: nothing is downloaded or built."""
    listed = re.search(
        r"(?m)^Available versions: (.*)$", _pip("index", "versions", name, "--no-binary=:all:", *options).stdout
    )
    return tuple(listed[1].split(", ")) if listed else ()


def _near(version: str, releases: Iterable[str]) -> tuple[str, ...]:
    """The releases around *version*, in rising order; those for testing only where there is nothing else."""
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - for errors only

    try:
        wanted = Version(version)
        parsed = sorted({Version(text) for text in releases})
    except InvalidVersion:
        return ()
    parsed = [found for found in parsed if not found.is_prerelease] or parsed
    below = [found for found in parsed if found < wanted][-_NEAR + 2 :]
    above = [found for found in parsed if found > wanted][: _NEAR - len(below)]
    return tuple(str(found) for found in (*below, *above))
