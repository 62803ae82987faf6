"""Fetching with the real pip: from an index of files, and from servers on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capably.cli.app import run
from capably.cli.fetch import _near, fetch, is_pinned
from capably.cli.pip import _PROGRAM
from capably.errors import FetchError
from capably.store import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and signals of POSIX")


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration of pip on this machine has no part in the answers."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def get(requirement: str, cache: Path, *, announce: Callable[[str], None] = lambda _: None, **options: Any) -> Path:
    return fetch(requirement, store=FileStore(cache), announce=announce, **options)


@pytest.fixture
def index(tmp_path: Path) -> str:
    """A package index in a folder, with one pure wheel, one for a far platform and one sdist."""
    files = {
        "demo-1.0-py3-none-any.whl": "demo",
        "faraway-1.0-cp39-cp39-manylinux_2_17_x86_64.whl": "faraway",
        "linuxy-1.0-py3-none-manylinux_2_44_x86_64.whl": "linuxy",
    }
    for file, name in files.items():
        folder = tmp_path / "simple" / name
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / file, "w") as wheel:
            tags = f"Tag: {file[:-4].split('-', 2)[2]}"
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{name}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n{tags}\n")
        (folder / "index.html").write_text(f'<a href="{file}">{file}</a>')
    source = tmp_path / "simple" / "sourceonly"
    source.mkdir()
    (source / "index.html").write_text('<a href="sourceonly-1.0.tar.gz">sourceonly-1.0.tar.gz</a>')
    newer = tmp_path / "simple" / "newer"
    newer.mkdir()
    (newer / "index.html").write_text('<a href="newer-2.0-py3-none-any.whl" data-requires-python="&gt;=3.12">newer</a>')
    return (tmp_path / "simple").as_uri() + "/"


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("demo==1.0", True),
        ("Demo == 1.0", True),
        ("demo==1.0+cu128", True),
        ("demo", False),
        ("demo==1.*", False),
        ("demo>=1.0", False),
        ("demo===1.0", False),
        ("demo==1.0,!=1.1", False),
        ("demo[extra]==1.0", False),
        ("demo @ file:///x.whl", False),
        ("demo==1.0; python_version>'3'", False),
        ("../demo.whl", False),
        ("--index-url=x==1.0", False),
    ],
)
def test_only_an_exact_release_can_be_fetched(text: str, pinned: bool) -> None:
    assert is_pinned(text) is pinned


def test_a_wheel_is_fetched_once_and_announced(index: str, tmp_path: Path) -> None:
    said: list[str] = []
    first = get("demo==1.0", tmp_path / "cache", index_url=index, announce=said.append)
    assert first.name == "demo-1.0-py3-none-any.whl"
    assert zipfile.is_zipfile(first)
    assert len(said) == 1
    assert "demo==1.0" in said[0]
    again = get("Demo == 1.0", tmp_path / "cache", index_url=index, offline=True, announce=said.append)
    assert again == first
    assert len(said) == 1
    assert first.parent.name == hashlib.sha256(first.read_bytes()).hexdigest()
    assert [path.name for path in first.parent.iterdir()] == [first.name], "nothing is left over"
    assert not list((tmp_path / "cache").glob("tmp-*"))
    if os.name == "posix":
        modes = [stat.S_IMODE(place.stat().st_mode) for place in (first, first.parent, first.parent.parent)]
        assert modes == [0o600, 0o700, 0o700]


def test_a_constraint_of_the_user_does_not_forbid_looking(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("demo<1.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    assert get("demo==1.0", tmp_path / "cache", index_url=index).exists()


def test_a_wheel_for_linux_is_taken_where_none_is_for_this_machine(index: str, tmp_path: Path) -> None:
    """manylinux_2_44 is ahead of the glibc of every machine that runs this test."""
    wheel = get("linuxy==1.0", tmp_path / "cache", index_url=index)
    assert wheel.name == "linuxy-1.0-py3-none-manylinux_2_44_x86_64.whl"


def test_python_version_and_platform_are_passed_on(index: str, tmp_path: Path) -> None:
    wheel = get(
        "faraway==1.0",
        tmp_path / "cache",
        index_url=index,
        extra_index_urls=(index,),
        python_version="3.9",
        platforms=("manylinux_2_17_x86_64",),
    )
    assert wheel.name.startswith("faraway-1.0-cp39")


@pytest.mark.parametrize(
    ("requirement", "python_version", "problem", "hint"),
    [
        ("faraway==1.0", None, "no index has wheels called `faraway`", "--python-version"),
        ("sourceonly==1.0", "3.12", "only a source distribution", "not built here"),
        ("gone==1.0", None, "no index has wheels called `gone`", "Either the name is wrong"),
        ("demo==1.1", None, "releases near it: 1.0", "Check the version"),
        ("demo==1.0", "3.x", "`3.x` is no version of Python", "--python-version 3.12"),
        ("newer==2.0", "3.9", "it needs Python >=3.12", "--python-version"),
    ],
)
def test_what_is_not_there_says_what_to_try(  # noqa: PLR0917 - four parameters and two fixtures
    index: str, tmp_path: Path, requirement: str, python_version: str | None, problem: str, hint: str
) -> None:
    with pytest.raises(FetchError) as caught:
        get(
            requirement,
            tmp_path / "new" / "cache",
            index_url=index,
            python_version=python_version,
        )
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert not (tmp_path / "new").exists(), "no empty folders are left"


def test_a_platform_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no platform tag"):
        get("demo==1.0", tmp_path, platforms=("x86_64",))


def test_an_index_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(FetchError, match="could not be reached"):
        get("demo==1.0", tmp_path, index_url="http://127.0.0.1:9/simple")


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    with pytest.raises(FetchError, match="cannot use the cache") as caught:
        get("demo==1.0", tmp_path / "file" / "cache", announce=said.append)
    assert "CAPABLY_CACHE_DIR" in caught.value.hint
    assert said == []


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", symlinks=os.name == "posix", with_pip=False)
    places = (tmp_path / "bare" / place for place in ("bin/python", "Scripts/python.exe"))
    monkeypatch.setattr(sys, "executable", str(next(place for place in places if place.exists())))
    with pytest.raises(FetchError, match="there is no pip"):
        get("demo==1.0", tmp_path / "cache")
    monkeypatch.setattr(sys, "executable", None)
    with pytest.raises(FetchError, match="there is no pip"):
        get("demo==1.0", tmp_path / "cache")


def test_releases_near() -> None:
    assert _near("1.5", ["1.0", "1.4", "1.6", "2.0", "3.0", "1.5.dev1"]) == ("1.0", "1.4", "1.6", "2.0", "3.0")
    assert _near("1", ["1.0.dev1"]) == ("1.0.dev1",)
    assert _near("1", ["odd version"]) == ()


def test_an_index_that_is_not_there_is_a_fetch_error(tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        get("demo==1.0", tmp_path, index_url=(tmp_path / "none").as_uri())


def test_offline_and_not_cached(tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        get("demo==1.0", tmp_path, offline=True)
    assert "--offline" in caught.value.hint + caught.value.problem


def test_what_is_not_pinned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="exact release"):
        get("demo", tmp_path)


# -- The cache answers for what the index says, and for nothing else


def wheel(text: str) -> bytes:
    """A wheel of demo 1.0 that holds *text*."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("demo/text.txt", text)
        file.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        file.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("demo-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


DEMO = "demo-1.0-py3-none-any.whl"


class Index:
    """A package index on this machine, with demo 1.0 of the given bytes, that counts what is downloaded.

    Attributes:
        url: For pip.
        content: Of the wheel.
        file: What the page calls it.
        redirect: Where a request for the wheel is sent, instead.
        downloads: How often the whole wheel was asked for.
    """

    def __init__(self, text: str) -> None:
        self.content = wheel(text)
        self.file = DEMO
        self.redirect: str | None = None
        self.downloads = 0
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/simple/demo/":
                    digest = hashlib.sha256(index.content).hexdigest()
                    fragment = "" if index.redirect else f"#sha256={digest}"
                    metadata = hashlib.sha256(index.metadata()).hexdigest()
                    page = f'<a href="/files/{index.file}{fragment}" data-core-metadata="sha256={metadata}" '
                    page += f'data-dist-info-metadata="sha256={metadata}">{DEMO}</a>'
                    self.answer(page.encode(), "text/html")
                elif self.path.endswith(".metadata"):
                    self.answer(index.metadata(), "application/octet-stream")
                elif self.path.startswith("/files/"):
                    index.downloads += 1
                    self.answer(index.content, "application/octet-stream")
                else:
                    self.send_error(404)

            def answer(self, body: bytes, kind: str) -> None:
                moved = index.redirect if self.path.startswith("/files/") and "metadata" not in self.path else None
                self.send_response(302 if moved else 200)
                if moved:
                    self.send_header("Location", moved)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def metadata(self) -> bytes:
        with zipfile.ZipFile(io.BytesIO(self.content)) as file:
            return file.read("demo-1.0.dist-info/METADATA")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def indexes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Index, Index]]:
    """Two that have different wheels of the same name and version; pip's own cache has no part in it."""
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    both = Index("one"), Index("two")
    yield both
    for index in both:
        index.close()


def text_of(path: Path) -> str:
    with zipfile.ZipFile(path) as file:
        return file.read("demo/text.txt").decode()


def test_an_index_that_is_configured_otherwise_gives_its_own_wheel(
    indexes: tuple[Index, Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a variable, by pip's configuration and by a folder: each is another question, with and without network."""
    one, two = indexes
    cache = tmp_path / "cache"
    links = tmp_path / "links"
    links.mkdir()
    (links / DEMO).write_bytes(wheel("links"))
    ways = [
        ({"PIP_INDEX_URL": one.url}, "one"),
        ({"PIP_INDEX_URL": two.url}, "two"),
        ({"PIP_CONFIG_FILE": str(tmp_path / "two.conf")}, "two"),
        ({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links)}, "links"),
    ]
    (tmp_path / "two.conf").write_text(f"[global]\nindex-url = {two.url}\n")
    for offline in False, True:
        for variables, expected in ways:
            with monkeypatch.context() as patch:
                for name, value in variables.items():
                    patch.setenv(name, value)
                assert text_of(get("demo==1.0", cache, offline=offline)) == expected, (variables, offline)
    assert FileStore(cache).info().entries == 3, "the same wheel is kept once"
    (tmp_path / "two.conf").write_text(f"[global]\nindex-url = {one.url}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "two.conf"))
    with pytest.raises(FetchError, match="--offline"):
        get("demo==1.0", cache, offline=True)


def test_a_relative_folder_is_another_one_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "dist")
    for name in "here", "there":
        (tmp_path / name / "dist").mkdir(parents=True)
        (tmp_path / name / "dist" / DEMO).write_bytes(wheel(name))
    monkeypatch.chdir(tmp_path / "here")
    assert text_of(get("demo==1.0", tmp_path / "cache")) == "here"
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(FetchError, match="--offline"):
        get("demo==1.0", tmp_path / "cache", offline=True)
    assert text_of(get("demo==1.0", tmp_path / "cache")) == "there"


def test_what_an_index_replaced_is_fetched_and_what_it_kept_is_not(
    indexes: tuple[Index, Index], tmp_path: Path
) -> None:
    one, _ = indexes
    cache = tmp_path / "cache"
    first = get("demo==1.0", cache, index_url=one.url)
    loaded = one.downloads
    assert loaded == 1
    assert get("demo==1.0", cache, index_url=one.url) == first
    assert get("demo==1.0", cache, index_url=one.url, offline=True) == first
    if pip_reads_metadata():
        assert one.downloads == loaded, "the index was asked, and nothing was downloaded again"
    one.content = wheel("rebuilt")
    assert text_of(get("demo==1.0", cache, index_url=one.url)) == "rebuilt"


def pip_reads_metadata() -> bool:
    """Before 23.3 a dry run of pip downloads the wheel."""
    from importlib.metadata import version

    return tuple(map(int, version("pip").split(".")[:2])) >= (23, 3)


def test_a_damaged_wheel_is_fetched_again(index: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = get("demo==1.0", cache, index_url=index)
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    with pytest.raises(FetchError, match="--offline"):
        get("demo==1.0", cache, index_url=index, offline=True)
    path.parent.mkdir()
    path.write_bytes(whole[:-10])
    assert get("demo==1.0", cache, index_url=index).read_bytes() == whole


def test_what_pip_says_names_no_place_of_the_user(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    one, _ = indexes
    one.redirect = "/simple/demo/"  # a page, which is no wheel
    with pytest.raises(FetchError, match="is invalid") as caught:
        get("demo==1.0", tmp_path / "cache", index_url=one.url)
    assert str(tmp_path) not in str(caught.value)


def test_where_pip_breaks_its_last_words_are_told(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    one, _ = indexes
    one.redirect = "/files/again"  # and so on
    with pytest.raises(FetchError, match="redirects"):
        get("demo==1.0", tmp_path / "cache", index_url=one.url)


@posix
def test_a_cache_of_others_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    FileStore(cache).put("key", b"value")
    for mode, offline in (0o770, False), (0o707, True):
        cache.chmod(mode)
        with pytest.raises(FetchError, match="other users can write to it"):
            get("demo==1.0", cache, offline=offline)
    cache.chmod(0o700)
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(FetchError, match="it belongs to another user"):
        get("demo==1.0", cache, offline=True)


@pytest.mark.parametrize(
    "file",
    [
        "demo-1.0-py3-none-any..%2F..%2F..%2F..%2Fdemo-1.0-py3-none-any.whl",
        "demo-1.0-py3-none-any.%0A%1B.whl",
    ],
)
def test_a_hostile_file_name_writes_nothing_elsewhere(indexes: tuple[Index, Index], tmp_path: Path, file: str) -> None:
    one, _ = indexes
    one.file = file
    cache = tmp_path / "a" / "b" / "cache"
    try:
        path = get("demo==1.0", cache, index_url=one.url)
    except FetchError:
        pass
    else:
        assert path.parent.parent == cache
    assert [path for path in tmp_path.rglob("*.whl") if cache not in path.parents] == []


def test_a_redirect_to_a_file_writes_nothing_elsewhere(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    one, _ = indexes
    secret = tmp_path / "secret.txt"
    secret.write_text("mine")
    one.redirect = secret.as_uri()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    cache = tmp_path / "cache"
    with contextlib.suppress(FetchError):
        get("demo==1.0", cache, index_url=one.url)
    assert {path for path in tmp_path.rglob("*") if path.is_file() and cache not in path.parents} == before
    assert secret.read_text() == "mine"


# -- What runs


SHADOWS = sorted(name for name in sys.stdlib_module_names if name.isidentifier())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module for every name that Python or pip could import, each of which leaves a mark."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in [*SHADOWS, "pip", "sitecustomize", "usercustomize", "keyring", "truststore", "_distutils_hack"]:
        text = f"open({str(folder / 'RAN')!r}, 'a').write({name + chr(10)!r})\n"
        (folder / f"{name}.py").write_text(text)
        if name in ("pip", "encodings", "importlib", "collections", "json"):  # a package goes before a module
            (folder / name).mkdir()
            for part in "__init__.py", "__main__.py":
                (folder / name / part).write_text(text)
    for name in "rustc", "lsb_release", "uname", "keyring":
        (folder / name).write_text(f"#!/bin/sh\necho {name} >> {folder / 'RAN'}\n")
        (folder / name).chmod(0o755)
    (folder / "evil.pth").write_text(f"import os; open({str(folder / 'RAN')!r}, 'a').write('pth')\n")
    return folder


def capably(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, as it is installed."""
    command = Path(sys.executable).with_name("capably.exe" if os.name == "nt" else "capably")
    return subprocess.run(
        [command, *arguments],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("command", ["check", "scan", "audit"])
def test_nothing_in_the_current_directory_runs(hostile: Path, index: str, tmp_path: Path, command: str) -> None:
    path = os.pathsep.join(["", os.environ["PATH"], "."])
    done = capably(
        command, "demo==1.0", "--index-url", index, cwd=hostile, CAPABLY_CACHE_DIR=str(tmp_path / "c"), PATH=path
    )
    assert not (hostile / "RAN").exists(), (hostile / "RAN").read_text()
    assert "demo-1.0-py3-none-any.whl" in done.stderr
    assert done.returncode in {0, 1}


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_a_release_is_not_an_archive_in_the_current_directory(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To pip a requirement that ends as archives do is a file, if there is one of that name, and a source is built."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.chdir(tmp_path)
    ran = tmp_path / "ran"
    if kind == "sdist":
        version = "1+a.tar.gz"
        (tmp_path / "source").mkdir()
        system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        (tmp_path / "source/pyproject.toml").write_text(system)
        (tmp_path / "source/backend.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
        with tarfile.open(f"demo=={version}", "w:gz") as archive:
            archive.add("source")
    else:
        version = "1+a.whl"
        (tmp_path / f"demo=={version}").write_bytes(wheel("here"))
    with pytest.raises(FetchError, match="no index has wheels called `Demo`"):
        get(f"Demo=={version}", tmp_path / "cache")
    assert not ran.exists()


def test_pip_imports_nothing_that_variables_of_python_name(
    hostile: Path, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """capably itself, by the rule of Python, would: so its function is called in a process that started without."""
    for name in "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV":
        monkeypatch.setenv(name, str(hostile))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore::keyring.Evil")
    monkeypatch.chdir(hostile)
    assert get("demo==1.0", tmp_path / "cache", index_url=index).exists()
    assert not (hostile / "RAN").exists(), (hostile / "RAN").read_text()


def test_the_program_before_pip_needs_no_safe_path(hostile: Path) -> None:
    """Python 3.10 has no -P."""
    ours, parent = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "plain", "1000000", "--version"],
        cwd=hostile,
        stdin=ours,
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    os.close(ours)
    os.close(parent)
    if sys.version_info < (3, 13):  # which imports linecache before the program runs, and has -P
        assert not (hostile / "RAN").exists(), (hostile / "RAN").read_text()
        assert b"\npip " in done.stdout


@posix
def test_the_user_site_is_still_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip or its keyring may be installed there; -I would hide it."""
    places = {"PYTHONUSERBASE": str(tmp_path)}
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not base.exists():
        pytest.skip("the interpreter of this environment is not where it should be")
    found = subprocess.run(
        [base, "-c", "import site; print(site.getusersitepackages())"],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        check=True,
    )
    folder = Path(found.stdout.strip()) / "pip"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("import sys\nsys.stderr.write('ERROR: the pip of the user\\n')\n")
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "executable", str(base))
    with pytest.raises(FetchError, match="the pip of the user"):
        get("demo==1.0", tmp_path / "cache")


class Silent:
    """An index that takes requests and never answers."""

    def __init__(self) -> None:
        import socket

        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/simple/"

    def close(self) -> None:
        self._socket.close()


def running(text: str) -> list[int]:
    """Processes with *text* in their arguments."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_pip_ends_with_us(tmp_path: Path, number: signal.Signals) -> None:
    silent = Silent()
    command = [str(Path(sys.executable).with_name("capably")), "scan", "demo==1.0", "--index-url", silent.url]
    process = subprocess.Popen(
        command,
        env={**os.environ, "CAPABLY_CACHE_DIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - ours may be ignored
    )
    try:
        deadline = time.monotonic() + 60
        while not any(pid != process.pid for pid in running(silent.url)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(running(silent.url)) > 1
        process.send_signal(number)
        _, errors = process.communicate(timeout=90)
        assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), errors
        deadline = time.monotonic() + 10
        while running(silent.url) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert running(silent.url) == []
        if number == signal.SIGINT:
            assert not list(tmp_path.rglob("tmp-*"))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        silent.close()


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_hides_the_download(index: str, tmp_path: Path, quiet: bool) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("capably")), "scan", "demo==1.0", "--index-url", index]
    with subprocess.Popen(
        [*command, *(["-q"] if quiet else [])],
        env={**os.environ, "CAPABLY_CACHE_DIR": str(tmp_path / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # the other side is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    assert (b"Successfully downloaded demo" in shown) is not quiet
    assert (shown == b"") is quiet


@posix
def test_a_file_without_end_does_not_fill_the_disk(
    indexes: tuple[Index, Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file that pip writes is larger than the cache may be."""
    one, _ = indexes
    one.redirect = "file:///dev/zero"
    monkeypatch.setenv("PIP_INDEX_URL", one.url)
    with pytest.raises(FetchError):
        fetch("demo==1.0", store=FileStore(tmp_path / "cache", max_bytes=4 << 20), announce=lambda _: None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# -- The command


def test_the_cache_command_counts_wheels(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPABLY_CACHE_DIR", str(tmp_path / "cache"))

    def answer(*arguments: str) -> dict[str, Any]:
        assert run(["cache", *arguments, "--json"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)["wheels"]
        return document

    assert run(["scan", "demo==1.0", "--index-url", index]) == 0
    capsys.readouterr()
    assert (answer("info")["entries"], answer("verify")["sound"]) == (1, 1)
    (path,) = (tmp_path / "cache").rglob("*.whl")
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    assert (answer("verify")["removed"], answer("info")["entries"]) == (1, 0)
    FileStore(tmp_path / "cache" / "fetched").put("key", b"value")
    old = tmp_path / "cache" / "wheels" / "demo-0123456789abcdef"
    old.mkdir(parents=True)
    (old / DEMO).write_bytes(b"of an earlier release")
    assert run(["cache", "info"]) == 0
    assert "1 fetched wheel, 21 bytes" in capsys.readouterr().err
    assert answer("clear")["removed"] == 1
    assert [path for path in (tmp_path / "cache").rglob("*") if not path.is_dir()] == []
    assert not old.parent.exists()
