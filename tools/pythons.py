"""Tries the core on each Python of this machine, from the oldest that is supported on: ``tools/pythons.py``.

For each an environment of its own, into which pip puts the wheel of this checkout and nothing else: there is no index to
take a dependency from. Then `tests/core_check.py` runs there. Says which versions were tried and which are not here; ends
with 1 where something is not as it should be.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
MINORS = range(10, 15)
FRESH = {"PYTHONDONTWRITEBYTECODE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def pythons() -> dict[int, Path]:
    """By minor version: of those on the path, of pyenv and of uv, one each that starts."""
    home = Path.home()
    found: dict[int, Path] = {}
    for minor in MINORS:
        name = f"python3.{minor}"
        named = shutil.which(name)
        places = [
            *sorted((Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions").glob(f"3.{minor}.*/bin/{name}")),
            *sorted((home / ".local/share/uv/python").glob(f"cpython-3.{minor}.*/bin/{name}")),
            *([Path(named)] if named else []),
            *([Path(sys.executable)] if sys.version_info[1] == minor else []),
        ]
        for place in places:
            done = subprocess.run([place, "-c", "import venv, ensurepip"], capture_output=True, check=False)
            if not done.returncode:
                found[minor] = place
                break
    return found


def tried(python: Path, wheel: Path, files: Path, folder: Path) -> tuple[bool, str]:
    """Whether all is as it should be with one Python, and what was said."""
    environ = {
        name: text for name, text in os.environ.items() if not re.match("PYTHON|COVERAGE|VIRTUAL_ENV", name)
    } | FRESH
    own = folder / "bin/python"
    said = []
    for command in (
        [str(python), "-m", "venv", "--without-pip", str(folder)],
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(own),
            "install",
            "--quiet",
            "--no-index",
            "--no-compile",
            str(wheel),
        ],
        [str(own), "-I", str(ROOT / "tests/core_check.py"), str(files)],
    ):
        done = subprocess.run(
            command,
            env=environ,
            cwd=folder.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        said.append(done.stdout)
        if done.returncode:
            return False, "".join(said)
    return True, "".join(said)


def main() -> int:
    """Try all; the exit code."""
    found = pythons()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = folder / "files"
        files.mkdir()
        subprocess.run([sys.executable, str(ROOT / "tests/core_files.py"), str(files)], check=True)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
        subprocess.run(build, env=os.environ | FRESH, check=True)
        (wheel,) = folder.glob("*.whl")
        with ThreadPoolExecutor(2) as pool:
            results = {
                minor: pool.submit(tried, python, wheel, files, folder / f"3.{minor}")
                for minor, python in found.items()
            }
    good = True
    for minor, result in results.items():
        fine, said = result.result()
        lines = said.splitlines()
        good &= fine
        print(f"3.{minor}: {'fine' if fine else 'WRONG'}, {sum(line.startswith('  ') for line in lines)} things tried")
        if not fine or "-v" in sys.argv:
            print(said)
    absent = [f"3.{minor}" for minor in MINORS if minor not in found]
    print(f"not on this machine: {', '.join(absent) or 'none'}")
    return int(not good or not found)


if __name__ == "__main__":
    sys.exit(main())
