"""``capably cache``: the results of scans and the wheels that are kept, and where."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from capably.cli.console import note, output_options, print_answer, shown_path, style_of
from capably.units import size_text

if TYPE_CHECKING:
    from pathlib import Path

    from capably.report.cache import Kept
    from capably.store import FileStore, Store

__all__ = ["cache", "cache_folder", "open_files", "open_store"]

_OLD_FOLDER = re.compile(r".+-[0-9a-f]{16}|\.fetch-\w+")


def cache_folder() -> Path:
    """Where capably keeps what it can make or fetch again: CAPABLY_CACHE_DIR, else where the system wants it."""
    from pathlib import Path  # noqa: PLC0415 - 3 ms

    named = os.environ.get("CAPABLY_CACHE_DIR")
    if named:
        return Path(named).absolute()
    from platformdirs import user_cache_path  # noqa: PLC0415 - 10 ms

    return user_cache_path("capably", appauthor=False)


def open_store() -> Store:
    """The store of results of scans."""
    from capably.store import Store  # noqa: PLC0415 - see capably.cli.app

    return Store(cache_folder() / "scans")


def open_files() -> FileStore:
    """The store of fetched wheels."""
    from capably.store import FileStore  # noqa: PLC0415 - see capably.cli.app

    return FileStore(cache_folder() / "fetched")


@click.group()
def cache() -> None:
    """Look at the results of scans and the fetched wheels that are kept, and remove them.

    Results are kept so that what did not change is not read again. CAPABLY_CACHE_DIR names another place;
    --no-cache of the commands that read files keeps no results.
    """


@cache.command()
@output_options("cache_info")
def info(format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """Show where results and wheels are kept, how many, and how much disk space they take."""
    old = _old_wheels()
    if old:
        sizes = sum(path.lstat().st_size for path in old)
        many = f"{len(old)} fetched wheel{'' if len(old) == 1 else 's'}, {size_text(sizes)}"
        place = shown_path(cache_folder() / "wheels")
        note(f"{many}, in {place}, of an earlier release: `capably cache clear` removes them", quiet=quiet)
    return _answer(_kept(open_store()), _kept(open_files()), as_json or format_ == "json", color)


@cache.command()
@output_options("cache_clear")
def clear(format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """Remove all results and wheels. Files that are not capably's stay."""
    del quiet  # there is nothing but the answer
    store, files = open_store(), open_files()
    results, wheels = store.clear(), files.clear() + _clear_old_wheels()
    return _answer(_kept(store, removed=results), _kept(files, removed=wheels), as_json or format_ == "json", color)


@cache.command()
@output_options("cache_verify")
def verify(format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """Read all results and wheels, and remove those that are damaged. They would not have been used."""
    del quiet  # there is nothing but the answer
    found = []
    for store in (open_store(), open_files()):
        verified = store.verify()
        found.append(_kept(store, removed=verified.removed, sound=verified.sound))
    return _answer(found[0], found[1], as_json or format_ == "json", color)


def _kept(store: Store, *, removed: int | None = None, sound: int | None = None) -> Kept:
    from capably.report.cache import Kept  # noqa: PLC0415 - see capably.cli.app

    held = store.info()
    return Kept(replace(held, root=shown_path(held.root)), removed, sound)


def _old_folders() -> list[Path]:
    """Where earlier releases kept wheels, one folder for each combination of arguments."""
    root = cache_folder() / "wheels"
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(root.lstat().st_mode):
            return [
                folder
                for folder in sorted(root.iterdir())
                if _OLD_FOLDER.fullmatch(folder.name) and stat.S_ISDIR(folder.lstat().st_mode)
            ]
    return []


def _old_wheels() -> list[Path]:
    found = []
    for folder in _old_folders():
        with contextlib.suppress(OSError):
            found += [path for path in folder.iterdir() if path.suffix == ".whl" and not path.is_dir()]
    return found


def _clear_old_wheels() -> int:
    removed = 0
    for path in _old_wheels():
        with contextlib.suppress(OSError):
            path.unlink()
            removed += 1
    for folder in (*_old_folders(), cache_folder() / "wheels"):
        with contextlib.suppress(OSError):  # it holds what is not ours
            folder.rmdir()
    return removed


def _answer(results: Kept, wheels: Kept, machine: bool, color: str) -> int:
    from capably.report.cache import cache_document, cache_text  # noqa: PLC0415 - see capably.cli.app

    if machine:
        from capably.report.machine import dumps  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(cache_document(results, wheels)) + "\n")
    else:
        print_answer(cache_text(results, wheels, style_of(color)))
    return 0
