"""Fetches ``NAME==VERSION`` with the pip that is there, or that uv brings, once, into a store.

Only wheels are taken, and nothing of them is run: pip neither builds nor installs anything here, and
dependencies are left alone.

A wheel is kept under the sha256 of its bytes, so that one index never answers for another. Which one is meant is for
the index to say, each time: another index, another configuration of pip, a folder of wheels that were built again,
or a better wheel of an old release changes the answer. Where a wheel of the release is kept, pip is asked for the
sha256 (a dry run, which reads the metadata only, where pip and the index can do that), and downloads what is not
kept. Offline, the last answer to the same question counts: the same arguments, configuration of pip, and Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.bounded import read_bounded
from capably.cli.console import shown_path
from capably.cli.pip import NoPipError, Pip
from capably.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from capably.store import FileStore

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
_WHEEL = re.compile(r"[A-Za-z0-9_.+!-]+\.whl")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_REPORT_BYTES = 16 << 20
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
    store: FileStore,
    index_url: str | None = None,
    extra_index_urls: Sequence[str] = (),
    python_version: str | None = None,
    platforms: Sequence[str] = (),
    offline: bool = False,
    quiet: bool = False,
    announce: Callable[[str], None],
) -> Path:
    """The wheel of one pinned release, as ``pip download --no-deps`` brings it.

    Without *platforms* the wheel for this machine is taken, else the one for x86-64 Linux, since GPU wheels
    are mostly built for that and nothing has to run here.

    Args:
        requirement: ``name==version``.
        store: Where wheels are kept.
        index_url: Passed on to pip, as are the following three.
        extra_index_urls: Further indexes.
        python_version: For which Python the wheel has to be, as ``3.12``.
        platforms: Platform tags, as ``manylinux_2_28_x86_64``.
        offline: Only look into the store.
        quiet: Do not show pip's progress bar, which otherwise is shown where standard error is a terminal.
        announce: Is told, in one sentence, that pip is about to start.

    Raises:
        FetchError: *requirement* is not pinned; it is not in the store and *offline*; pip found no wheel; or the
            store cannot be used.
    """
    pinned = _pinned(requirement)
    if pinned is None:
        raise FetchError(
            requirement, "only an exact release can be fetched", f"Write it as NAME==VERSION, not `{requirement}`."
        )
    _check_tags(requirement, python_version, platforms)
    release = _Release(requirement, *pinned)
    options = [*(["--index-url", index_url] if index_url else [])]
    for url in extra_index_urls:
        options += ["--extra-index-url", url]
    if python_version:
        options += ["--python-version", python_version]
    try:
        problem = store.problem()
        if problem is not None:
            raise _unusable(requirement, store, problem)
        question = _question(release, [*options, *platforms], Pip(store.max_bytes, offline=offline))
        if offline:
            kept = _answered(store, question)
            if kept is None:
                raise FetchError(
                    requirement, "it is not in the cache, and --offline forbids fetching it", "Leave out --offline."
                )
            return kept
        with _no_empty_folders(store.root), store.scratch() as scratch:
            announce(f"asking pip for {release.pin}; the wheel is kept in {shown_path(store.root)} for the next time")
            pip = Pip(store.max_bytes, scratch, show=sys.stderr.isatty() and not quiet)
            attempts = [tuple(platforms)] if platforms else [(), _LINUX_X86_64]
            known = store.get(release.seen) is not None
            found = _asked(release, store, pip, options, attempts) if known else None
            if found is None:
                found = _downloaded(release, store, pip, options, attempts, python_version)
            digest, wheel = found
            store.put(release.seen, b"")
            store.put(question, json.dumps({"sha256": digest, "name": wheel.name}).encode())
            return wheel
    except NoPipError as error:
        problem = "capably is installed where there is no pip" + (
            f", and {error}" if str(error) else ", nor is there uv"
        )
        raise FetchError(requirement, problem, "Install pip or uv, or give the path of a wheel.") from error
    except OSError as error:
        raise _unusable(requirement, store, error.strerror or type(error).__name__) from error


def _unusable(requirement: str, store: FileStore, problem: str) -> FetchError:
    return FetchError(
        requirement,
        f"cannot use the cache at {shown_path(store.root)}: {problem}",
        "Set CAPABLY_CACHE_DIR to a folder of your own that can be written.",
    )


@dataclass(frozen=True, slots=True)
class _Release:
    """What is to be fetched.

    Attributes:
        requirement: As it was written.
        name: Of the project, normalized.
        version: As it was written.
    """

    requirement: str
    name: str
    version: str

    @property
    def pin(self) -> str:
        """For people, and for keys."""
        return f"{self.name}=={self.version}"

    @property
    def for_pip(self) -> str:
        """For pip, which takes what ends as archives do for a file: `demo==1+a.tar.gz` it would build, if one lay there."""
        return f"{self.name} (=={self.version})"

    @property
    def seen(self) -> str:
        """The key under which the store knows that it holds a wheel of this release, from whichever index."""
        return f"seen {self.pin}"

    def has(self, file: str) -> bool:
        """Whether a file of that name is a wheel of this release. An index can call a file anything."""
        from packaging.specifiers import SpecifierSet  # noqa: PLC0415 - 20 ms
        from packaging.utils import InvalidWheelFilename, parse_wheel_filename  # noqa: PLC0415

        if not _WHEEL.fullmatch(file):
            return False
        try:
            name, version, _, _ = parse_wheel_filename(file)
        except InvalidWheelFilename:
            return False
        return name == self.name and SpecifierSet(f"=={self.version}").contains(version, prereleases=True)


# -- What was answered before


def _question(release: _Release, arguments: Sequence[str], pip: Pip) -> str:
    """The key of an answer: all that decides which wheel pip takes. It is a hash, since URLs can hold passwords."""
    from packaging.tags import sys_tags  # noqa: PLC0415 - for fetching only

    try:
        configured = pip.output("config", "list")  # its files and PIP_* variables, as pip itself understands them
    except NoPipError:  # what is kept can be had all the same
        configured = ""
    urls = [value for name, value in itertools.pairwise(arguments) if name.endswith("index-url")]
    here = "" if all(map(_is_absolute, [*urls, *_places(configured)])) else os.getcwd()  # noqa: PTH109
    parts = [release.pin, *arguments, configured, here, sys.version, *map(str, sys_tags())]
    return f"answer {hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _places(configured: str) -> Iterator[str]:
    """Where pip is configured to look."""
    for value in re.findall(r"""(?m)^[^=\n]*(?:find-links|index-url)=['"](.*)['"]$""", configured):
        yield from value.replace("\\n", " ").split()


def _is_absolute(place: str) -> bool:
    """Whether a place is the same wherever one stands."""
    return "://" in place or place.startswith(("file:", "~")) or os.path.isabs(place)  # noqa: PTH117 - text


def _answered(store: FileStore, question: str) -> Path | None:
    """The wheel that was the answer last time."""
    value = store.get(question)
    if value is None:
        return None
    try:
        answer = json.loads(value)
        return store.file(answer["sha256"], answer["name"])
    except (ValueError, KeyError, TypeError):
        return None


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
def _no_empty_folders(place: Path) -> Iterator[None]:
    """What is made for *place* and stays empty is removed again."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty
            for folder in missing:
                folder.rmdir()


# -- pip


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


_SELECTION = ("--no-deps", "--only-binary=:all:")


def _asked(
    release: _Release, store: FileStore, pip: Pip, options: Sequence[str], attempts: Iterable[Sequence[str]]
) -> tuple[str, Path] | None:
    """The sha256 of the wheel that the index has, and where it is, if it is kept.

    None also where pip does not tell: this only saves a download.
    """
    report = _scratch(pip) / "report.json"
    for platforms in attempts:
        # Where an index serves no metadata beside wheels, fast-deps reads it out of them by ranges.
        asking = ("install", "--dry-run", "--ignore-installed", "--use-feature=fast-deps", "--report", str(report))
        text = pip.errors(*asking, *_SELECTION, *options, *_tags(platforms), release.for_pip)
        if report.exists():
            return _reported(report, release, store)
        if _said(text, release).versions is None:  # it is not that there is none: it could not be asked
            return None
    return None


def _reported(report: Path, release: _Release, store: FileStore) -> tuple[str, Path] | None:
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - for fetching only

    try:
        (item,) = json.loads(read_bounded(report, _MOST_REPORT_BYTES))["install"]
        info = item["download_info"]
        name = unquote(urlsplit(info["url"]).path.rpartition("/")[2])
        digest = info["archive_info"]["hashes"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not release.has(name):
        return None
    kept = store.file(digest, name)
    return None if kept is None else (digest, kept)


def _downloaded(  # noqa: PLR0917 - what a download takes
    release: _Release,
    store: FileStore,
    pip: Pip,
    options: Sequence[str],
    attempts: Sequence[Sequence[str]],
    python_version: str | None,
) -> tuple[str, Path]:
    folder = _scratch(pip) / "wheels"
    folder.mkdir()
    said = []
    for platforms in attempts:
        arguments = ["download", *_SELECTION, "--dest", str(folder), *options, *_tags(platforms), release.for_pip]
        # A place below the user's folder is nobody's business, and gone by now.
        said.append(_said(pip.errors(*arguments).replace(f"{pip.scratch}{os.sep}", ""), release))
        wheels = sorted(path for path in folder.iterdir() if release.has(path.name))
        if wheels:
            return store.put_file(wheels[0])
        if said[-1].unreachable:
            break
    platforms = attempts[0] if len(attempts) == 1 else ()
    raise _explained(release.requirement, said, options, pip, python_version=python_version, platforms=platforms)


def _scratch(pip: Pip) -> Path:
    if pip.scratch is None:
        raise ValueError("pip needs a place for its files")
    return pip.scratch


def _tags(platforms: Iterable[str]) -> list[str]:
    return [argument for platform in platforms for argument in ("--platform", platform)]


def _said(text: str, release: _Release) -> _Said:
    """What pip's errors tell."""
    errors = [line.removeprefix("ERROR: ") for line in text.splitlines() if line.startswith("ERROR: ")]
    if errors[-1:] == ["Exception:"]:  # and a trace, whose last line says what
        errors.append(f"pip failed: {text.strip().splitlines()[-1]}")
    listed = re.search(r"\(from versions: (.*?)\)", text)
    versions = None
    if listed is not None:
        versions = () if listed[1] in ("none", "") else tuple(listed[1].split(", "))
    needed = re.search(rf"[ ;]{re.escape(release.version)} Requires-Python ([^;\n]+)", text)
    return _Said(
        errors[-1] if errors else "pip brought no wheel, and did not say why",
        versions,
        needed[1].strip() if needed else None,
        bool(re.search(r"Retrying \(|connection broken|Connection to .* timed out|SSLError", text)) and not versions,
    )


def _explained(
    requirement: str,
    said: Sequence[_Said],
    options: Sequence[str],
    pip: Pip,
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
    sources = _source_releases(name, options, pip)
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


def _source_releases(name: str, options: Sequence[str], pip: Pip) -> tuple[str, ...]:
    """The releases with a source distribution. This reads the index only: nothing is downloaded or built."""
    text = pip.output("index", "versions", name, "--no-binary=:all:", *options)
    listed = re.search(r"(?m)^Available versions: (.*)$", text)
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
