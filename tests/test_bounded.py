"""Small files of others, read: whatever lies there, nobody waits and no memory goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from capably.bounded import NOT_REGULAR, TOO_LARGE, read_bounded

if TYPE_CHECKING:
    from pathlib import Path


def test_a_regular_file_is_read_to_its_limit_and_not_beyond(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to(file)
    assert read_bounded(tmp_path / "link", 100) == b"x" * 100
    with pytest.raises(OSError, match=TOO_LARGE):
        read_bounded(file, 99)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path / "fifo", tmp_path, "/dev/zero"):
        with pytest.raises(OSError, match=NOT_REGULAR):
            read_bounded(place, 100)


def test_a_sparse_file_costs_what_may_be_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(OSError, match=TOO_LARGE):
        read_bounded(tmp_path / "sparse", 1000)


def test_a_link_loop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic link"):
        read_bounded(tmp_path / "loop", 1)
