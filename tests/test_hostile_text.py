"""Names and texts from outside, in every place and on every stream: none makes a line of its own, or a command.

A build server obeys lines: GitHub takes `::error::` at the start of one, after white space, and `##[error]` anywhere
in it. A terminal obeys control characters. Whoever names a file, a GPU or a package must reach neither.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import build
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from plain import SYSTEMS, enter_plain_folder

from capably import errors, gate
from capably.cli import app, console, main
from capably.escaping import inert, json_text, printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

Captured = pytest.CaptureFixture[str]

# What begins a command, after each character that some reader takes for the end of a line or for white space.
BREAKS = (
    "\n",
    "\r",
    "\r\n",
    "\v",
    "\f",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\x1b[2K\r",
    "\u202e",
    "\ufeff",
    "\xa0",
    "\x7f",
)
HOSTILE = (
    "".join(f"x{one}::error::" for one in BREAKS),
    "::error file=a,title=b::owned",
    "  ::set-output name=a::b",
    "a ##[error]owned ##vso[task.setvariable variable=a]b",
    # Whatever the width, one of these comes first in a line.
    " ".join(["::error::wrapped"] * 40),
    "x" * 70 + " ::error::wrapped ##[error]wrapped",
    "]]>&<a b='\"'>%0A::error::owned,:%25\n::error::owned",
)


def commands(text: str) -> Iterator[str]:
    """The lines that a build server obeys, or that are not one line to a terminal."""
    for line in text.split("\n"):
        shown = re.sub(r"\x1b\[[0-9;]*m", "", line)
        if shown.lstrip().startswith("::") or re.search(r"##\w*\[", line) or not shown.isprintable():
            yield line


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enter_plain_folder(monkeypatch, tmp_path)


class Run:
    """Runs a command, and holds both of its streams to the rule."""

    def __init__(self, capsys: Captured) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, own_commands: bool = False) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(list(arguments))
        out, err = self._capsys.readouterr()
        assert "this is a bug" not in err, err
        assert code in {0, 1, 2, 3}
        assert list(commands(err)) == [], arguments
        if not own_commands:
            assert list(commands(out)) == [], arguments
        return code, out, err


@pytest.fixture
def run(capsys: Captured) -> Run:
    return Run(capsys)


def file_name(text: str) -> str:
    return text.replace("/", "|").replace("\0", "").encode()[:220].decode(errors="ignore")


AUDIT = ("text", "json", "github", "sarif", "junit")
# As `tests/test_audit.py` has it: what GitHub documents of its commands.
COMMAND = re.compile(
    r"::(?:error|warning|notice) (?:(?:file|title)=(?:[^%:,\r\n]|%25|%0D|%0A|%3A|%2C)*,?)+"
    r"::(?:[^%\r\n]|%25|%0D|%0A)+"
)


def read_audit(out: str, format_: str, name: str) -> None:
    """What the format's own reader makes of an answer: the name is data in it."""
    if format_ in {"json", "sarif"}:
        assert isinstance(json.loads(out), dict)
    elif format_ == "junit":
        root = ET.fromstring(out)  # noqa: S314 - our own
        assert [suite.tag for suite in root] == ["testsuite"]
    elif format_ == "github":
        lines = out.splitlines()
        told = [line for line in lines if line.startswith("::")]
        assert all(COMMAND.fullmatch(line) for line in told), name
        assert all(line.isprintable() and "##[" not in line and "##vso[" not in line for line in lines)
        assert not any(line.lstrip().startswith("::") for line in lines if line not in told)
        assert not any("title=owned" in line or line.startswith("::error::") for line in told)


@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_the_name_of_a_missing_file_is_one_line(run: Run, text: str) -> None:
    """Item 9: `audit --format junit` wrote the lines of a name to standard output, all commands to standard error."""
    name = f"./{file_name(text)}.whl"
    for format_ in AUDIT:
        code, out, err = run("audit", "--format", format_, "--", name, own_commands=format_ == "github")
        assert code == 2
        assert [line.partition(":")[0] for line in err.splitlines()] == ["note", "error"]
        read_audit(out, format_, name)
    for arguments in (
        ("check", name),
        ("check", "--json", name),
        ("scan", name),
        ("scan", "--json", name),
        ("audit", "--policy", name),
        ("audit", "--no-policy", "--baseline", name, name),
        ("plan", "--gpu", "H100", "--wheel", name),
        ("explain", "--log", name),
        ("conform", name),
        ("doctor", "--python", name),
        ("doctor", "--save", f"{name}/x"),
        *((command, "--system", name) for command in ("check", "plan", "doctor")),
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert "error: " in err
        assert all(line.startswith(("error: ", "hint: ", "note: ")) for line in err.splitlines())


@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_whatever_an_argument_says_it_is_one_line(run: Run, text: str) -> None:
    for arguments in (
        ("check", "--gpu", text),
        ("check", "--driver", text),
        ("check", "--platform", text, "idna==3.10", "--offline"),
        ("check", f"idna==3.10{text}", "--offline"),
        ("check", text, "--offline"),
        ("check", "--fail-on", text),
        (f"--{text}",),
        (text,),
        ("check", f"--{text}"),
        ("gpus", text),
        ("explain", text),
        ("explain", f"{text} CUDA error: no kernel image is available for execution on the device {text}"),
        ("plan", "--gpu", "H100", "--toolkit", text),
        ("plan", "--gpu", "H100", "--require", text),
        ("plan", "--gpu", "H100", "--for", text),
        ("plan", "--gpu", "H100", "--for", f"torch=={text}"),
        ("plan", "--read", text),
        ("plan", "--read", text, "--for", "torch==2.13"),
        ("plan", "--read", text, "--for", "nvcc", "--json"),
        ("audit", "--targets", text, "x.whl"),
        ("audit", "--max-size", text, "x.whl"),
        ("audit", "--require", text, "x.whl"),
    ):
        run(*arguments)


@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_the_names_in_a_wheel_are_data(run: Run, tmp_path: Path, text: str) -> None:
    """Those of members, kernels and of the distribution, and its version."""
    library = build.library(*[build.fatbin([build.sass("sm_80"), build.ptx_entry("compute_90a", "8.0")])] * 2)
    path = build.wheel(
        tmp_path, "pkg", "1.0", {f"{text}.so": library, "b.so": build.library(build.fatbin([build.sass("sm_75")]))}
    )
    named = Path(file_name(text) + ".so")
    named.write_bytes(library)
    damaged = Path("d" + file_name(text) + ".so")
    damaged.write_bytes(library[: len(library) // 2])
    for place in (str(path), f"./{named}", f"./{damaged}"):
        for more in ((), ("-v",), ("--json",), ("--kernels",), ("--color", "always")):
            run("check", "--gpu", "RTX 5090,H100", *more, "--", place)
            run("scan", *more, "--", place)
        for format_ in AUDIT:
            _, out, _ = run(
                "audit", "--require", "T4,H100", "--ptx", "required", "--kernels", "-v", "--format", format_, "--", place,
                own_commands=format_ == "github",
            )  # fmt: skip
            read_audit(out, format_, place)
        run("plan", "--gpu", "H100", "--wheel", place)
        _, out, _ = run("audit", "--write-policy", "--", place)
        assert tomllib.loads(out)["tool"]["capably"]


def hostile_record(text: str) -> dict[str, Any]:
    """A machine of whose free texts each is *text*."""
    record: dict[str, Any] = json.loads((SYSTEMS / "sm75-nvcc-too-old.json").read_text())
    free = ("os_release", "libc", "python", "container", "machine")
    record.update(dict.fromkeys(free, text))
    for device in (*record["devices"], *record["fleet"]):
        device.update(name=text, uuid=text, pci=text, via=text)
    record["toolkits"][0].update(path=text, via=[text], version=text, used_by=["shell", text])
    record["environment"] = [["CUDA_VISIBLE_DEVICES", text], ["TORCH_CUDA_ARCH_LIST", text], [text, text]]
    record["distributions"] = [["torch", text], ["flashinfer-python", text], [text, text]]
    record["visibility"]["visible_devices"] = text
    record["findings"] = [{"code": "mixed-devices", "path": text, "message": text}]
    return record


@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_what_a_recorded_machine_says_is_data(run: Run, text: str) -> None:
    """GPU names, variables, compilers, packages: all of it was written elsewhere."""
    library = build.library(build.fatbin([build.sass("sm_80")]))
    Path("a.so").write_bytes(library)
    absent = {**hostile_record(text), "devices": [], "absence": "mixed-devices"}
    for record in (hostile_record(text), absent):
        Path("r.json").write_text(json.dumps(record))
        for arguments in (
            ("check", "a.so"),
            ("check", "a.so", "-v"),
            ("check", "a.so", "--json"),
            ("check", "a.so", "--gpu", "T4"),
            ("doctor",),
            ("doctor", "-v"),
            ("doctor", "--json"),
            ("doctor", "--save", "-"),
            ("plan",),
            ("plan", "--json"),
            ("plan", "--for", "torch", "--shell"),
            ("plan", "--for", "flashinfer"),
            ("explain", "RuntimeError: CUDA error: no kernel image is available for execution on the device"),
            ("explain", "nvcc fatal   : Unsupported gpu architecture 'compute_120'"),
        ):
            _, out, _ = run(*arguments, "--system", "r.json")
            if out and arguments[-1] in {"--json", "-"}:
                assert isinstance(json.loads(out), dict)
    for field in ("release", "cuda"):
        record = hostile_record(text)
        record["driver"][field] = text
        Path("r.json").write_text(json.dumps(record))
        code, _, err = run("doctor", "--system", "r.json")
        assert code == 2
        assert err.startswith(f"error: r.json: $.driver.{field}: ")
    Path("r.json").write_text(json.dumps({**hostile_record(text), text: 1}))
    assert run("plan", "--system", "r.json")[0] == 2


@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_what_a_policy_says_is_data(run: Run, tmp_path: Path, text: str) -> None:
    quoted = json.dumps(text).replace("\\ud", "\\\\ud").replace("\x7f", "\\u007f")
    path = build.wheel(tmp_path, "pkg", "1.0", {"a.so": build.library(build.fatbin([build.sass("sm_80")]))})
    for policy in (
        f"{quoted} = 1",
        f"require = {quoted}",
        f"targets = {quoted}",
        f"driver = {quoted}",
        f"ptx = {quoted}",
        f"max-size = {quoted}",
        f"toolkit = {quoted}",
        f"[[tool.capably.allow]]\nreason = 'x'\nfinding = {quoted}",
        f"[[tool.capably.allow]]\nreason = {quoted}\nlibrary = {quoted}\n{quoted} = 1",
        text,
    ):
        Path("p.toml").write_text(f"[tool.capably]\n{policy}\n", encoding="utf-8")
        assert run("audit", "--policy", "p.toml", str(path))[0] == 2, policy
    allowed = f"require = 'T4'\n[[tool.capably.allow]]\nreason = {quoted}\ngpu = 'T4'\n"
    Path("p.toml").write_text(f"[tool.capably]\n{allowed}", encoding="utf-8")
    for format_ in AUDIT:
        arguments = ("audit", "--policy", "p.toml", "-v", "--format", format_, str(path))
        code, out, _ = run(*arguments, own_commands=format_ == "github")
        assert code == 0
        read_audit(out, format_, text)


def test_json_says_what_was_there(run: Run) -> None:
    """What is no command in the text of the JSON is, once read, the name as it is."""
    for text in HOSTILE:
        case = {"id": text, "device": {"capability": "9.0"}, "images": ["sm_90"]}
        Path("c.jsonl").write_text(json.dumps(case) + "\n")
        code, out, _ = run("conform", "c.jsonl")
        assert code == 0
        assert json.loads(out)["id"] == text


# ---------------------------------------------------------------------------------------------------------
# Outside of the command line


@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_an_error_of_the_gate_has_no_line_of_somebody_elses(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python prints it as it is, into the log of whoever called."""
    record = tmp_path / "r.json"  # what was asked by another name is remembered
    record.write_text(json.dumps(hostile_record(text)))
    monkeypatch.setenv("CAPABLY_SYSTEM", str(record))
    monkeypatch.setenv("CAPABLY_GPUS", text)
    for requirement, policy in (("<=9.0", "device"), (">=12.0,sms>=1000", "device"), (">=7.5", "override")):
        with pytest.raises(errors.IncompatibleError) as caught:
            gate.require(requirement, feature=text, policy=policy)
        assert list(commands("".join(traceback.format_exception(caught.value, chain=False)))) == []
        assert list(commands(str(caught.value.answer))) == []
    with pytest.raises(errors.IncompatibleError) as caught:
        gate.require("<=9.0")
    # What is needed, the GPU, who decided, what was ignored, what to do, and where more is told: as for any name.
    assert len(str(caught.value).splitlines()) == 6
    monkeypatch.delenv("CAPABLY_GPUS")
    record = tmp_path / "absent.json"
    record.write_text(json.dumps({**hostile_record(text), "devices": [], "absence": "mixed-devices"}))
    monkeypatch.setenv("CAPABLY_SYSTEM", str(record))
    with pytest.raises(errors.IncompatibleError) as caught:
        gate.require(">=7.5")
    assert list(commands(str(caught.value))) == []


def _all(kind: type[errors.CapablyError]) -> Iterator[type[errors.CapablyError]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _all(inner)


def test_every_error_is_shown_by_the_one_rule() -> None:
    """A class that makes its own `str` would escape nothing, and the command line would not see its lines."""
    import capably.cli.artifacts
    import capably.cli.conform
    import capably.cli.interpreters
    import capably.cli.kernels  # noqa: F401 - their errors are among those below

    found = list(_all(errors.CapablyError))
    assert len(found) > 20
    assert [kind.__name__ for kind in found if "__str__" in vars(kind)] == []


def test_a_defect_is_reported_without_the_lines_of_its_text(capsys: Captured, tmp_path: Path) -> None:
    try:
        try:
            (tmp_path / file_name(HOSTILE[0])).read_bytes()
        except OSError as error:
            raise RuntimeError(HOSTILE[-1]) from error
    except RuntimeError as error:
        console.complain(*app._trace(error))
    lines = capsys.readouterr().err.splitlines()
    assert list(commands("\n".join(lines))) == []
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.partition(":")[0] for line in lines if line.startswith(("FileNotFoundError", "RuntimeError"))] == [
        "FileNotFoundError",
        "RuntimeError",
    ]


def test_reasons_of_skipped_tests_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(hostile_record(HOSTILE[0])))
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.cuda('<=9.0')\ndef test_it(): pass\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "capably.integrations.pytest", "-p", "no:cacheprovider", "-rs", "."],
        cwd=tmp_path,
        env={**os.environ, "CAPABLY_SYSTEM": "r.json", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 skipped" in done.stdout
    assert list(commands(done.stdout)) == []


# ---------------------------------------------------------------------------------------------------------
# One name takes one line


def test_a_name_without_end_takes_a_line_of_standard_error(run: Run) -> None:
    """60,000 characters of a name are no answer to anybody."""
    for arguments in (
        ("check", "x" * 60_000),
        ("check", "--gpu", "語 " * 30_000),
        ("plan", "--gpu", "H100", "--toolkit", "x" * 60_000),
        ("plan", "--read", "8.0", "--for", f"torch=={'x' * 60_000}"),
        ("explain", "x" * 60_000),
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert len(err) < 5_000
        assert all(len(line) <= 1_000 for line in err.splitlines())
    record = json.loads((SYSTEMS / "rtx-3090-4090.json").read_text())
    record["devices"][0]["name"] = "y" * 60_000
    Path("r.json").write_text(json.dumps(record))
    Path("a.so").write_bytes(build.library(build.fatbin([build.sass("sm_80")])))
    _, _, err = run("check", "a.so", "--system", "r.json")
    assert all(len(line) <= 1_000 for line in err.splitlines())


# ---------------------------------------------------------------------------------------------------------
# The rule itself


@given(st.text(max_size=80))
@example("::error::x")
@example("####[x")
@example("::::x")
@example("a\n\t ::x")
@example("##[##vso[x]]")
def test_what_is_made_inert_commands_nothing_and_stays_so(text: str) -> None:
    shown = inert("\n".join(map(printable, text.split("\n"))))
    assert list(commands(shown)) == []
    assert inert(shown) == shown
    assert printable(printable(text)) == printable(text)
    assert len(shown.split("\n")) == len(text.split("\n")), "our own lines stay"


@given(
    st.recursive(
        st.text(max_size=20) | st.just("##[x]"), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
@example({"##[": "a\\##[b", "x": "####vso[\u2028"})
def test_json_is_inert_and_means_the_same(document: object) -> None:
    for indent in (None, 2):
        written = json_text(document, indent)
        assert json.loads(written) == document
        assert list(commands(written)) == []
