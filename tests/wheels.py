"""Real wheels for tests, fetched once and pinned by hash."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest
from packaging.utils import parse_wheel_filename


def _matches(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest() == sha256


def wheel_path(filename: str, sha256: str) -> Path:
    """The wheel, from `CAPABLY_TEST_WHEELS`, the cache of the user, or the package index.

    Without the index the test is skipped; on CI it fails.
    """
    places = [Path(place) for place in [os.environ.get("CAPABLY_TEST_WHEELS")] if place]
    cache = Path(platformdirs.user_cache_dir("capably")) / "test-wheels"
    for place in [*places, cache]:
        if _matches(place / filename, sha256):
            return place / filename
    name, version, _, tags = parse_wheel_filename(filename)
    # "py3" wheels install on any, and those of the stable ABI on all newer ones; of the others the tag names it.
    interpreter, abi = filename.removesuffix(".whl").split("-")[-3:-1]
    python = interpreter.removeprefix("cp") if interpreter.startswith("cp") and abi != "abi3" else "312"
    platforms = sorted({f"--platform={tag.platform}" for tag in tags})
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", scratch]
        done = subprocess.run(
            [*command, f"--python-version={python}", *platforms, f"{name}=={version}"],
            env={**os.environ, "PIP_CONSTRAINT": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        fetched = Path(scratch) / filename
        if done.returncode or not fetched.is_file():
            reason = f"cannot fetch {filename}: {done.stderr.strip()[-500:]}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        assert _matches(fetched, sha256), f"{filename} is not the wheel with sha256 {sha256}"
        fetched.replace(cache / filename)
    return cache / filename
