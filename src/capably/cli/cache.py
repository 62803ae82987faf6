"""``capably cache``: the results of scans that are kept, and where."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from capably.cli.console import note, output_options, print_answer, shown_path, style_of
from capably.units import size_text

if TYPE_CHECKING:
    from pathlib import Path

    from capably.store import Store

__all__ = ["cache", "cache_folder", "open_store"]


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


@click.group()
def cache() -> None:
    """Look at the results of scans that are kept, and remove them.

    Results are kept so that what did not change is not read again. CAPABLY_CACHE_DIR names another place;
    --no-cache of the commands that read files keeps nothing.
    """


@cache.command()
@output_options("cache_info")
def info(format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """Where results are kept, how many, and how much disk space they take; a note tells of fetched wheels."""
    _note_wheels(quiet=quiet)
    return _answer(open_store(), as_json or format_ == "json", color)


@cache.command()
@output_options("cache_clear")
def clear(format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """Remove all results. Files that are not capably's stay, and so do fetched wheels."""
    _note_wheels(quiet=quiet)
    store = open_store()
    return _answer(store, as_json or format_ == "json", color, removed=store.clear())


@cache.command()
@output_options("cache_verify")
def verify(format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """Read all results, and remove those that are damaged. They would not have been used."""
    del quiet  # there is nothing but the answer
    store = open_store()
    found = store.verify()
    return _answer(store, as_json or format_ == "json", color, removed=found.removed, sound=found.sound)


def _note_wheels(*, quiet: bool) -> None:
    """Wheels take most of the space, and are no results."""
    folder = cache_folder() / "wheels"
    try:
        sizes = [path.stat().st_size for path in folder.glob("*/*.whl")]
    except OSError:  # another process is at it
        return
    if sizes:
        many = f"{len(sizes)} fetched wheel{'' if len(sizes) == 1 else 's'}, {size_text(sum(sizes))}"
        note(f"{many}, in {shown_path(folder)}: delete what you need no more", quiet=quiet)


def _answer(store: Store, machine: bool, color: str, *, removed: int | None = None, sound: int | None = None) -> int:
    from capably.report.cache import cache_document, cache_text  # noqa: PLC0415 - see capably.cli.app

    info = store.info()
    info = replace(info, root=shown_path(info.root))
    if machine:
        from capably.report.machine import dumps  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(cache_document(info, removed=removed, sound=sound)) + "\n")
    else:
        print_answer(cache_text(info, style_of(color), removed=removed, sound=sound))
    return 0
