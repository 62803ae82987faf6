"""Fetches ``NAME==VERSION`` with pip, once, into a cache.

Only wheels are taken, and nothing of them is run: pip neither builds nor installs anything here, and
dependencies are left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from capably.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        announce: Is told, in one sentence, what is about to be fetched.

    Raises:
        FetchError: *requirement* is not pinned; it is not in the cache and *offline*; or pip found no wheel.
    """
    pinned = _pinned(requirement)
    if pinned is None:
        raise FetchError(
            requirement, "only an exact release can be fetched", f"Write it as NAME==VERSION, not `{requirement}`."
        )
    name, version = pinned
    key = json.dumps([name, version, index_url, list(extra_index_urls), python_version, list(platforms)])
    folder = cache_dir / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    cached = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if cached:
        return cached[0]
    if offline:
        raise FetchError(
            requirement, "it is not in the cache, and --offline forbids fetching it", "Leave out --offline."
        )
    options = [*(["--index-url", index_url] if index_url else [])]
    for url in extra_index_urls:
        options += ["--extra-index-url", url]
    if python_version:
        options += ["--python-version", python_version]
    announce(f"fetching {name}=={version} with pip into {_shown(folder)} (kept for the next time)")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        attempts = [tuple(platforms)] if platforms else [(), _LINUX_X86_64]
        problem = ""
        for attempt in attempts:
            problem = _download(f"{name}=={version}", Path(scratch), options, attempt)
            wheels = sorted(Path(scratch).glob("*.whl"))
            if wheels:
                final = folder / wheels[0].name
                wheels[0].replace(final)  # atomic: another process may be fetching the same
                return final
        raise FetchError(requirement, problem, _hint(problem, python_version))


def _shown(folder: Path) -> str:
    """The folder without the user's name."""
    try:
        return f"~/{folder.relative_to(Path.home()).as_posix()}"
    except ValueError:
        return str(folder)


def _download(requirement: str, folder: Path, options: Sequence[str], platforms: Sequence[str]) -> str:
    """Run pip once; the reason where it brings nothing."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--disable-pip-version-check", "--no-input", *options]
    for platform in platforms:
        command += ["--platform", platform]
    command.append(requirement)
    # A constraint says what may be installed. Nothing is installed here, and pip would refuse to look.
    environment = {**os.environ, "PIP_CONSTRAINT": os.devnull}
    show = sys.stderr.isatty()
    process = subprocess.run(  # noqa: S603 - a list, no shell; the requirement was parsed
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if show else subprocess.DEVNULL,  # pip's progress bar; standard output is the answer's
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        errors="replace",
        check=False,
    )
    errors = [line.removeprefix("ERROR: ") for line in process.stderr.splitlines() if line.startswith("ERROR: ")]
    return errors[-1] if errors else f"pip ended with exit code {process.returncode}"


def _hint(problem: str, python_version: str | None) -> str:
    if "No matching distribution" not in problem:
        return "Fetch the wheel by other means and give its path."
    if python_version is None:
        return "There may be wheels for another Python or platform only: try --python-version 3.12 or --platform, or check the name and version."
    return "Check the name, the version and --platform; a release without wheels (source only) holds no GPU code yet."
