"""Where interpreters look for packages: what the files tell is what each interpreter here says of itself."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capably.cli.interpreters import EnvironmentProblem, package_folders

# What it would import from, but for the standard library.
QUESTION = """
import json, os, sys, sysconfig
library = {os.path.normpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")} | {os.path.dirname(os.__file__)}
library |= {os.path.join(path, "lib-dynload") for path in library}
found = [path for path in sys.path if path and not path.endswith(".zip") and path not in library]
print(json.dumps([path for path in found if "lib-dynload" not in path]))
"""
pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and scripts of POSIX")


def truth(interpreter: Path | str) -> list[str]:
    """As the interpreter says."""
    # Not from the current folder, which -c puts in front.
    answer = subprocess.run([interpreter, "-c", QUESTION], cwd="/", capture_output=True, check=True)
    found = json.loads(answer.stdout)
    assert isinstance(found, list)
    return [path for path in found if path != "/"]


@functools.cache
def _works(path: str) -> bool:
    probe = "import sys, venv; sys.exit(sys.version_info < (3, 8) or sys.implementation.name != 'cpython')"
    try:
        return subprocess.run([path, "-c", probe], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _bases() -> list[str]:
    """One interpreter of each version that is here, and that of the system."""
    versions = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    found = [sys._base_executable if hasattr(sys, "_base_executable") else sys.executable, "/usr/bin/python3"]
    return list(dict.fromkeys(path for path in (*map(str, versions), *found) if _works(os.path.realpath(path))))


BASES = _bases()


def make(place: Path, base: str, *options: str) -> Path:
    """A virtual environment."""
    done = subprocess.run([base, "-m", "venv", "--without-pip", *options, place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this Python makes no virtual environments")
    return place


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without packages."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONPATH", "PYTHONHOME"):
        monkeypatch.delenv(name, raising=False)


def site_of(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3*/site-packages")
    return found


@pytest.mark.parametrize("base", BASES)
def test_an_interpreter(base: str, tmp_path: Path) -> None:
    assert list(package_folders(base)) == truth(base)
    link = tmp_path / "python"
    link.symlink_to(base)
    assert list(package_folders(str(link))) == truth(base)


@pytest.mark.parametrize("base", BASES)
def test_the_folder_of_an_interpreter(base: str) -> None:
    prefix = subprocess.run([base, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert list(package_folders(prefix.stdout.strip())) == truth(base)


@pytest.mark.parametrize("options", [(), ("--system-site-packages",), ("--copies",)])
@pytest.mark.parametrize("base", BASES)
def test_a_virtual_environment(base: str, options: tuple[str, ...], tmp_path: Path) -> None:
    environment = make(tmp_path / "env", base, *options)
    told = truth(environment / "bin/python")
    assert str(site_of(environment)) in told
    assert list(package_folders(str(environment))) == told
    assert list(package_folders(str(environment / "bin/python3"))) == told


@pytest.mark.parametrize("system", [(), ("--system-site-packages",)])
@pytest.mark.parametrize("base", BASES[-2:])
def test_one_made_by_another_and_one_named_by_links(base: str, system: tuple[str, ...], tmp_path: Path) -> None:
    outer = make(tmp_path / "outer", base, *system)
    inner = make(tmp_path / "inner", str(outer / "bin/python3"), *system)
    assert list(package_folders(str(inner))) == truth(inner / "bin/python")
    other = tmp_path / "other"
    other.symlink_to(inner)
    assert list(package_folders(str(other))) == truth(other / "bin/python")
    outside = tmp_path / "python"  # which is that of the base: CPython looks for pyvenv.cfg beside the name
    outside.symlink_to(inner / "bin/python")
    assert list(package_folders(str(outside))) == truth(outside)


def test_one_that_was_moved(tmp_path: Path) -> None:
    make(tmp_path / "env", BASES[0], "--system-site-packages")
    moved = (tmp_path / "env").rename(tmp_path / "moved")
    assert list(package_folders(str(moved))) == truth(moved / "bin/python")
    assert str(site_of(moved)) in package_folders(str(moved))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("system", [True, False])
def test_packages_of_the_user(base: str, system: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = make(tmp_path / "env", base, *(["--system-site-packages"] if system else []))
    user = tmp_path / "home/.local/lib" / site_of(environment).parent.name / "site-packages"
    user.mkdir(parents=True)
    (user / "more.pth").write_text("../more\n")
    (user.parent / "more").mkdir()
    for interpreter in (base, str(environment / "bin/python")):
        assert list(package_folders(interpreter)) == truth(interpreter)
    assert (str(user) in package_folders(str(environment))) is system
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    assert list(package_folders(base)) == truth(base)
    assert str(user) not in package_folders(base)
    monkeypatch.delenv("PYTHONNOUSERSITE")
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere/lib" / user.parent.name / "site-packages").mkdir(parents=True)
    assert list(package_folders(base)) == truth(base)
    assert str(user) not in package_folders(base)


@pytest.mark.parametrize("base", BASES)
def test_lines_of_pth_files(base: str, tmp_path: Path) -> None:
    environment = make(tmp_path / "env", base)
    site = site_of(environment)
    mark = tmp_path / "ran"
    for name in ("absolute", "editable", "late"):
        (tmp_path / name).mkdir()
    (site / "inner").mkdir()
    (site / "a.pth").write_text(f"# a comment\n\n{tmp_path}/absolute  \ninner\n{tmp_path}/gone\n../../../../editable\n")
    (site / "b.pth").write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n{tmp_path}/absolute\n")
    (site / "z.pth").write_bytes(b"\xef\xbb\xbf# with a mark\n" + f"{tmp_path}/late".encode())
    (site / "no.txt").write_text(f"{tmp_path}\n")
    told = [*map(str, package_folders(str(environment)))]
    assert not mark.exists()  # nothing ran
    assert told == truth(environment / "bin/python")
    assert mark.exists()  # and the interpreter would have
    assert told[1:] == [str(tmp_path / "absolute"), f"{site}/inner", str(tmp_path / "editable"), str(tmp_path / "late")]


@pytest.mark.parametrize(("files", "line"), [(1, "a\n"), (200, "a\n"), (200, "#\n")])
def test_lines_of_pth_files_without_end(files: int, line: str, tmp_path: Path) -> None:
    """Each names a folder that is looked for on the disk: the first of them are."""
    environment = make(tmp_path / "env", BASES[0])
    site = site_of(environment)
    (site / "inner").mkdir()
    (site / "a0.pth").write_text("inner\n")
    for number in range(files):
        (site / f"b{number}.pth").write_text(line * 500_000)
    begin = time.process_time()
    assert f"{site}/inner" in package_folders(str(environment))
    assert time.process_time() - begin < 0.5


def test_several_versions_in_one_folder(tmp_path: Path) -> None:
    """By the interpreter, else by pyvenv.cfg, else nothing tells."""
    for version in ("3.11", "3.12"):
        (tmp_path / f"lib/python{version}/site-packages").mkdir(parents=True)
    with pytest.raises(EnvironmentProblem, match=r"3\.11 and 3\.12, and nothing tells which"):
        package_folders(str(tmp_path))
    (tmp_path / "pyvenv.cfg").write_text("home = /gone\nversion = 3.11.4\ninclude-system-site-packages = false\n")
    assert package_folders(str(tmp_path)) == (f"{tmp_path}/lib/python3.11/site-packages",)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to("/gone/bin/python3.12")
    (tmp_path / "bin/python").symlink_to("python3")
    assert package_folders(str(tmp_path)) == (f"{tmp_path}/lib/python3.12/site-packages",)


def test_a_folder_with_one_version_needs_no_interpreter(tmp_path: Path) -> None:
    site = tmp_path / "lib/python3.13t/site-packages"
    site.mkdir(parents=True)
    assert package_folders(str(tmp_path)) == (str(site),)


def test_libraries_of_64_bits_apart(tmp_path: Path) -> None:
    """As on Fedora: those first, and once where they are a link."""
    for folder in ("lib64", "lib"):
        (tmp_path / folder / "python3.12/site-packages").mkdir(parents=True)
    (tmp_path / "lib64/python3.12/os.py").touch()
    wanted = [str(tmp_path / folder / "python3.12/site-packages") for folder in ("lib64", "lib")]
    assert list(package_folders(str(tmp_path))) == wanted
    shutil.rmtree(tmp_path / "lib64")
    (tmp_path / "lib64").symlink_to("lib")
    assert list(package_folders(str(tmp_path))) == wanted[1:]


def test_an_environment_of_windows(tmp_path: Path) -> None:
    (tmp_path / "Lib/site-packages").mkdir(parents=True)
    (tmp_path / "pyvenv.cfg").write_text(
        "home = C:\\Python312\nversion = 3.12.1\ninclude-system-site-packages = false\n"
    )
    assert package_folders(str(tmp_path)) == (str(tmp_path), f"{tmp_path}/Lib/site-packages")


def test_a_python_of_windows(tmp_path: Path) -> None:
    (tmp_path / "Lib/site-packages").mkdir(parents=True)
    for name in ("Lib/os.py", "python3.dll", "python312.dll", "python.exe"):
        (tmp_path / name).touch()
    for place in (tmp_path, tmp_path / "python.exe"):
        assert package_folders(str(place)) == (str(tmp_path), f"{tmp_path}/Lib/site-packages")


def test_a_home_that_is_gone_is_said_where_its_packages_count(tmp_path: Path) -> None:
    (tmp_path / "lib/python3.12/site-packages").mkdir(parents=True)
    (tmp_path / "pyvenv.cfg").write_text("home = /gone/bin\nversion = 3.12.1\n")  # the default is to take them
    with pytest.raises(EnvironmentProblem, match="that one is not there"):
        package_folders(str(tmp_path))


def test_what_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"neither a `pyvenv.cfg` nor a `lib/python3"):
        package_folders(str(tmp_path))
    for name in ("gone", "a\0b", "x" * 5000):
        with pytest.raises(EnvironmentProblem, match="there is no such folder"):
            package_folders(str(tmp_path / name))
    os.mkfifo(tmp_path / "python")
    with pytest.raises(EnvironmentProblem, match="there is no such folder"):
        package_folders(str(tmp_path / "python"))


@pytest.mark.parametrize("kind", ["fifo", "loop", "zero", "sparse", "folder", "bytes"])
def test_files_that_tell_of_an_environment_and_are_damaged(kind: str, tmp_path: Path) -> None:
    site = tmp_path / "lib/python3.12/site-packages"
    site.mkdir(parents=True)
    spoil(site / "x.pth", kind)
    assert package_folders(str(tmp_path)) == (str(site),)
    spoil(tmp_path / "pyvenv.cfg", kind)
    with pytest.raises(EnvironmentProblem, match=r"pyvenv.cfg` cannot be read" if kind != "bytes" else "not there"):
        package_folders(str(tmp_path))


def spoil(place: Path, kind: str) -> None:
    """Put something there that is no file to read."""
    place.unlink(missing_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(place)
        case "loop":
            place.symlink_to(place.name)
        case "zero":
            place.symlink_to("/dev/zero")
        case "sparse":
            with place.open("wb") as file:
                file.truncate(4 << 30)
        case "folder":
            place.mkdir()
        case _:
            place.write_bytes(b"\xff\xfe\0\n" * 100)


# -- the one program that is run


def shim(place: Path, text: str) -> Path:
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return place


def test_a_program_off_the_path_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    program = shim(tmp_path / "shims/python", f'touch {mark}\nexec {BASES[0]} "$@"')
    monkeypatch.chdir(program.parent)
    for path in ("/usr/bin", f"/usr/bin{os.pathsep}", f".{os.pathsep}/usr/bin"):  # an empty entry is the current folder
        monkeypatch.setenv("PATH", path)
        with pytest.raises(EnvironmentProblem, match="a program that is not on PATH is not run; name the folder"):
            package_folders(str(program))
    assert not mark.exists()


def test_a_program_on_the_path_is_asked_without_packages_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the current folder nor the environment that it stands for gets to run anything."""
    environment = make(tmp_path / "env", BASES[0])
    mark = tmp_path / "ran"
    evil = f"open({str(mark)!r}, 'w')\n"
    (site_of(environment) / "evil.pth").write_text(f"import sys; {evil}")
    (site_of(environment) / "sitecustomize.py").write_text(evil)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/json.py").write_text(evil)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "here"))
    program = shim(
        tmp_path / "shims/python",
        f'echo "$@" > {tmp_path}/asked; pwd > {tmp_path}/place; exec {environment}/bin/python "$@"',
    )
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert package_folders(str(program)) == (str(site_of(environment)),)
    assert not mark.exists()
    assert (tmp_path / "asked").read_text().startswith("-I -S -B -c ")
    assert (tmp_path / "place").read_text() == "/\n"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "ended with exit code 3"),
        ("echo nonsense", "does not answer as Python does"),
        ("echo '[1, 2]'", "does not answer as Python does"),
        ("echo '[1, 2, 3]'", "does not answer as Python does"),
        ("""echo '["/bin/sh", "/gone", "3.12"]'""", "which is no Python"),
        ("exec yes", "does not answer"),
    ],
)
def test_a_program_that_does_not_answer(
    script: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shim(tmp_path / "shims/python", script)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(EnvironmentProblem, match=problem):
        package_folders(str(program))
