"""The command line: exit codes, streams, options, names, environments."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import subprocess
import sys
import threading
import venv
import zipfile
from pathlib import Path
from typing import Any

import build
import click
import pytest
from plain import make_plain
from schemas import fits_schema

from capably.arch import ComputeCapability
from capably.check import Gpu, judge_all
from capably.cli import app, console, main
from capably.cli.artifacts import read_artifacts
from capably.cli.check import check as check_command
from capably.cli.environment import EnvironmentProblem, distributions, find_environment
from capably.cli.targets import models, read_driver, read_gpus
from capably.errors import AmbiguousNameError, CapablyError, FetchError, ParseError, ScanError, UnknownNameError
from capably.facts import Device, Driver
from capably.scanner import scan
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

SYSTEMS = Path(__file__).parent / "data/systems"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_plain(monkeypatch)


def make(folder: Path, name: str, *targets: str, version: str = "1.0") -> Path:
    entries = [build.sass(t) if t.startswith("sm_") else build.ptx_entry(t, "8.0") for t in targets]
    members = {f"{name}/_C.so": build.library(build.fatbin(list(entries)))} if entries else {f"{name}/a.py": b"x = 1\n"}
    return build.wheel(folder, name, version, members)


@pytest.fixture
def hopper(tmp_path: Path) -> Path:
    return make(tmp_path, "hopper", "sm_90")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An environment with three distributions, one of them with GPU code."""
    root = tmp_path / "environment"
    venv.create(root, symlinks=True, with_pip=False)
    purelib = next(root.glob("[Ll]ib/**/site-packages"))
    for wheel in (make(tmp_path, "hopper-kernels", "sm_90"), make(tmp_path, "pure"), make(tmp_path, "other")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(purelib)
    return root


def document(captured: Captured) -> dict[str, Any]:
    found = json.loads(captured.readouterr().out)
    fits_schema(found)
    assert isinstance(found, dict)
    return found


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "capably", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )


# -- the program as a whole


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, capsys: Captured) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out == "capably 0.1.0\n"


def test_version_behind_other_options(capsys: Captured) -> None:
    assert main(["--version", "check"]) == 0
    assert capsys.readouterr().out == "capably 0.1.0\n"


def test_arguments_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "argv", ["capably", "-V"])
    assert main() == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--version"], ["click", "rich", "importlib.metadata", "capably.cli.app"]),
        (
            ["--help"],
            ["rich", "importlib.metadata", "packaging", "capably.scanner", "capably.engine", "capably.cli.check"],
        ),
        (["check", "--help"], ["rich", "importlib.metadata", "capably.scanner", "capably.engine"]),
        (["gpus", "T4"], ["rich", "importlib.metadata", "capably.scanner"]),
    ],
)
def test_what_is_not_needed_is_not_imported(arguments: list[str], absent: list[str]) -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom capably.cli import main\n"
        f"assert main({arguments!r}) == 0\n"
        f"print([name for name in {absent!r} if name in sys.modules and name not in before], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert done.stderr == "[]\n"


def test_help_of_the_group_is_that_of_the_commands(capsys: Captured) -> None:
    assert main(["-h"]) == 0
    shown = capsys.readouterr().out
    context = click.Context(app.cli)
    for name in app.cli.list_commands(context):
        command = app.cli.get_command(context, name)
        assert command is not None
        assert f"  {name} " in shown
    assert app.cli.get_command(context, "nothing") is None


def test_a_command_that_is_none_is_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setitem(app._COMMANDS, "gpus", ("capably.cli.check", "__all__", ""))
    assert main(["gpus"]) == 2
    shown = capsys.readouterr().err
    assert "this is a bug in capably" in shown
    assert "Traceback" in shown
    assert "hint: please report it" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chekc"], "unknown command: `chekc`; did you mean `check`?"),
        (["check", "--gpuu", "T4"], "--gpu"),
        (["check", "--gpu", "RTX 5091"], "unknown GPU: `RTX 5091`; did you mean `GeForce RTX 5090`"),
        (["check", "--gpu", "9.0a"], "a GPU has no suffix"),
        (["check", "--gpu", " , "], "--gpu is empty: name a product"),
        (["check", "--gpu", "", "x.so"], "--gpu is empty"),
        (["check", "--gpu", "A100,,H100", "x.so"], "`A100,,H100`: expected a name between two commas"),
        (["audit", "--require", "A100, ;H100", "x.so"], "expected a name between two commas"),
        (["plan", "--gpu", "T4", "--wheel", "no/such.whl"], "error: no such file or directory: `no/such.whl`"),
        (["plan", "--gpu", "T4", "--wheel", "nothing"], "error: no such file or directory: `nothing`"),
        (["check", "--gpu", "T4", "--driver", ""], "--driver is empty"),
        (["check", "--gpu", "T4", "--driver", "12"], "a CUDA version with its second number"),
        (["check", "--gpu", "T4", ""], "an empty name is no artifact"),
        (["check", "--gpu", "RTX", "5090"], 'needs quotes: --gpu "RTX 5090"'),
        (["check", "--gpu", "H100", "80GB"], 'needs quotes: --gpu "H100 80GB"'),
        (["check", "--gpu", "Radeon RX 7900"], "only NVIDIA GPUs"),
        (["plan", "--gpu", "A100 H100 12.0"], "several are written with commas: `A100, H100, 12.0`"),
        (["check", "--gpu", "T4", "xformers", "==", "0.0.35"], "without spaces: `xformers==0.0.35`"),
        (["check", "--gpu", "T4", "xformers[all]"], "this form is not supported"),
        (["check", "--gpu", "T4", "xformers@1"], "this form is not supported"),
        (["check", "--gpu", "T4", "https://example.com/x.whl"], "this form is not supported"),
        (["check", "--gpu", "T4", "no-such-dist"], "`no-such-dist==VERSION` fetches"),
        (["gpus", "99.9"], "no product with that compute capability"),
        (["scan", "no-such-dist"], "no installed distribution"),
        (["check", "--gpu", "T4", "--driver", "latest"], "not a driver version"),
        (["check", "--fail-on", "all"], "'all' is not one of 'none', 'gap', 'partial', 'unknown'"),
        (["check", "--gpu", "T4", "no/such.whl"], "no such file or directory: `no/such.whl`"),
        (["check", "--gpu", "T4", "clikc"], "did you mean `click`"),
        (["check", "--gpu", "T4", "x==1", "--offline"], "could not fetch `x==1`"),
        (["check", "--gpu", "T4", "--python", "/no/python", "click"], "no Python environment at `/no/python`"),
        (["scan"], "missing argument"),
        (["scan", "no/such.whl"], "no/such.whl"),
        (["gpus", "RTX 5091"], "did you mean"),
        ([], "Usage"),
    ],
)
def test_wrong_use_is_2_and_said_on_stderr(arguments: list[str], said: str, capsys: Captured) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("capably.gpu_names.tables", interrupt)
    assert main(["gpus"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["capably.cli.app", "atexit"])
def test_an_interruption_while_modules_are_imported_is_quiet(moment: str) -> None:
    program = f"""
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            raise KeyboardInterrupt
sys.modules.pop({moment!r}, None)
sys.meta_path.insert(0, Interrupt())
sys.argv[1:] = ["gpus", "H100"]
from capably.cli import program
program()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_the_exit_code_of_a_command_that_exits_is_kept(capsys: Captured, tmp_path: Path) -> None:
    case = tmp_path / "case.jsonl"
    case.write_text('{"id": "x", "device": {"capability": "9.0"}, "images": ["sm_90"], "outcome": "fails"}\n')
    assert main(["conform", str(case)]) == 1
    assert '"ok": false' in capsys.readouterr().out


def test_a_closed_pipe_is_no_error() -> None:
    code = "import sys; from capably.cli import main; sys.exit(main(['gpus', '--json']))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_shell_completion_knows_commands_and_products() -> None:
    done = run(_CAPABLY_COMPLETE="bash_complete", COMP_WORDS="capably che", COMP_CWORD="1")
    assert "check" in done.stdout
    done = run(_CAPABLY_COMPLETE="zsh_complete", COMP_WORDS="capably check --gpu RTX", COMP_CWORD="3")
    assert "RTX 5090" in done.stdout
    assert "12.0" in done.stdout


def test_completion_of_gpus_ignores_case() -> None:
    (option,) = [parameter for parameter in check_command.params if parameter.name == "gpus"]
    context = click.Context(check_command)
    assert {item.value for item in option.type.shell_complete(context, option, "jetson agx th")} == {"Jetson AGX Thor"}
    assert "all" in {item.value for item in option.type.shell_complete(context, option, "")}


# -- check


@pytest.mark.parametrize(
    ("gpu", "level", "code"),
    [
        ("H100", None, 0),
        ("T4", None, 0),
        ("H100", "none", 0),
        ("H100", "unknown", 0),
        ("T4", "none", 1),
        ("T4", "partial", 1),
        ("T4", "unknown", 1),
        ("H100,T4", "none", 1),
        ("99.0", "none", 1),  # another major version: a certain no, whatever the tables know
        ("99.0,T4", "none", 1),
    ],
)
def test_exit_codes_of_fail_on(gpu: str, level: str | None, code: int, hopper: Path, capsys: Captured) -> None:
    options = ["--fail-on", level] if level else []
    assert main(["check", str(hopper), "--gpu", gpu, *options]) == code
    assert capsys.readouterr().out


@pytest.mark.parametrize(("level", "code"), [("none", 3), ("partial", 3), ("unknown", 1)])
def test_exit_codes_of_fail_on_where_nobody_can_know(level: str, code: int, tmp_path: Path, capsys: Captured) -> None:
    """A GPU beyond the tables may belong to the family of one that is known."""
    wheel = make(tmp_path, "blackwell", "sm_120")
    assert main(["check", str(wheel), "--gpu", "12.9", "--fail-on", level]) == code
    assert capsys.readouterr().out


def test_partial_is_a_breach_of_partial_only(tmp_path: Path, capsys: Captured) -> None:
    both = build.library(build.fatbin([build.sass("sm_90")]), build.fatbin([build.sass("sm_75")]))
    path = build.wheel(tmp_path, "half", "1", {"half/_C.so": both})
    arguments = ["check", str(path), "--gpu", "T4", "--fail-on"]
    # The part for sm_90 is a speciality of others: something of its library loads.
    assert [main([*arguments, level]) for level in ("none", "gap", "partial", "unknown")] == [0, 0, 1, 1]
    assert "1 of 2 fatbins load" in capsys.readouterr().out


def test_a_library_of_which_nothing_loads_is_a_gap(tmp_path: Path, capsys: Captured) -> None:
    here, elsewhere = (build.library(build.fatbin([build.sass(target)])) for target in ("sm_75", "sm_90"))
    path = build.wheel(tmp_path, "half", "1", {"half/_C.so": here, "half/_D.so": elsewhere})
    arguments = ["check", str(path), "--gpu", "T4", "--fail-on"]
    assert [main([*arguments, level]) for level in ("none", "gap", "partial", "unknown")] == [0, 1, 1, 1]
    assert "missing: _D.so (1 of 1)" in capsys.readouterr().out


def test_no_gpu_code_is_no_breach(tmp_path: Path, capsys: Captured) -> None:
    path = make(tmp_path, "pure")
    assert main(["check", str(path), "--gpu", "T4", "--fail-on", "unknown", "--json"]) == 0
    (result,) = document(capsys)["results"]
    assert result["coverage"] is None
    assert "no-gpu-code" in [finding["code"] for finding in result["findings"]]


def test_the_json_of_check(hopper: Path, capsys: Captured) -> None:
    assert main(["check", str(hopper), "--gpu", "rtx 5090", "--gpu", "sm_90, h100", "--format", "json"]) == 0
    found = document(capsys)
    assert [(gpu["name"], gpu["capability"], gpu["assumed"], gpu["driver"]["assumed"]) for gpu in found["gpus"]] == [
        ("GeForce RTX 5090", "12.0", True, True),
        (None, "9.0", True, True),
        ("H100", "9.0", True, True),
    ]
    none, full, _ = found["results"]
    assert (none["artifact"], none["version"], none["alternative"], none["gpu"]) == (str(hopper), "1.0", None, 0)
    assert (none["coverage"], none["outcomes"]["fails"]) == ("none", 1)
    assert none["reasons"][0]["code"] == "no-image-for-device"
    assert none["reasons"][0]["way_out"].startswith("Use a build that targets sm_120")
    assert all(source in tables().sources for source in none["reasons"][0]["sources"])
    runs = {"runs": 1, "compiles": 0, "fails": 0, "unknown": 0}
    assert full["libraries"] == [
        {"path": "hopper/_C.so", "files": 1, "role": "product", "coverage": "full", "outcomes": runs}
    ]


def test_a_build_that_does_not_start_there_is_a_breach(tmp_path: Path, capsys: Captured) -> None:
    path = build.wheel(tmp_path, "far", "1", {"far/_C.so": build.library(build.fatbin([build.sass("sm_110")]))})
    assert main(["check", str(path), "--gpu", "11.0", "--json"]) == 0
    (result,) = document(capsys)["results"]
    if any(finding["code"] == "host-platform" for finding in result["findings"]):
        assert result["coverage"] == "full"
    assert main(["check", str(path), "--gpu", "Jetson AGX Thor", "--fail-on", "none"]) == 1
    assert "no !host" in capsys.readouterr().out


def test_nothing_to_judge_is_said(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", str(make(tmp_path, "pure")), "--gpu", "T4", "--fail-on", "none"]) == 0
    assert "--fail-on had nothing to judge in" in capsys.readouterr().err


def test_a_driver_beyond_the_tables_is_said(hopper: Path, capsys: Captured) -> None:
    assert main(["check", str(hopper), "--gpu", "H100", "--driver", "999"]) == 0
    assert "note: --driver 999 is newer than any driver known (R" in capsys.readouterr().err


def test_a_link_to_nothing(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.whl").symlink_to(tmp_path / "gone.whl")
    assert main(["check", str(tmp_path / "x.whl"), "--gpu", "T4"]) == 2
    assert "gone.whl`, which is not there" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
@pytest.mark.parametrize("argument", ["gpus", "--help", "--version"])
def test_a_full_disk_is_no_bug(argument: str) -> None:
    code = f"import sys; from capably.cli import main; sys.exit(main(['{argument}']))"
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: cannot write the answer: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.parametrize(("closed", "shown"), [("<&-", "H100"), (">&-", ""), ("2>&-", "H100"), ("<&- >&- 2>&-", "")])
def test_closed_streams_are_no_bug(closed: str, shown: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m capably gpus H100 {closed}', sys.executable],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout if shown else not done.stdout


def test_homes_are_not_shown() -> None:
    assert console.shown_path("/home/alice/secret") == "/home/.../secret"
    assert console.shown_path(Path.home() / "x") == "~/x"
    assert "alice" not in str(EnvironmentProblem("/home/alice/secret", "there is no interpreter"))


def test_scan_takes_what_check_takes(site: Path, capsys: Captured) -> None:
    assert main(["scan", "hopper-kernels", "gone", "--python", str(site), "--json"]) == 2
    found = document(capsys)
    assert [artifact["name"] for artifact in found["artifacts"]] == ["hopper-kernels"]
    assert [error["artifact"] for error in found["errors"]] == ["gone"]


def test_one_unreadable_artifact_does_not_hide_the_others(hopper: Path, tmp_path: Path, capsys: Captured) -> None:
    broken = tmp_path / "broken.whl"
    broken.write_bytes(b"PK\x03\x04")
    assert main(["check", str(broken), str(hopper), "--gpu", "H100", "--json"]) == 2
    shown = capsys.readouterr()
    assert "error: " in shown.err
    assert "broken.whl" in shown.err
    assert [result["artifact"] for result in json.loads(shown.out)["results"]] == [str(hopper)]
    assert [error["artifact"] for error in json.loads(shown.out)["errors"]] == [str(broken)]


def test_a_list_of_gpus_may_end_with_a_comma_and_go_over_lines(hopper: Path, capsys: Captured) -> None:
    for gpus in ("A100, H100,", "A100,\nH100", "A100,\n\nH100;"):
        assert main(["check", str(hopper), "--gpu", gpus, "--json"]) == 0
        assert [gpu["capability"] for gpu in document(capsys)["gpus"]] == ["8.0", "9.0"]


def test_where_nothing_can_be_read_only_the_error_is_said(capsys: Captured) -> None:
    assert main(["check", "no/such.whl"]) == 2
    assert capsys.readouterr().err == "error: no such file or directory: `no/such.whl`\n"


def test_without_gpu_all_are_judged_and_said(hopper: Path, capsys: Captured) -> None:
    assert main(["check", str(hopper), "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == (
        "note: no GPU of the recorded machine is visible: the kernel lists no NVIDIA GPU on the PCI bus, and no driver "
        "is loaded for one\n"
        "note: judging every capability from 7.0 that has a product; name yours with --gpu\n"
    )
    capabilities = [gpu["capability"] for gpu in json.loads(shown.out)["gpus"]]
    assert capabilities[0] == "7.0"
    assert {"7.5", "8.0", "9.0", "10.0", "12.0"} <= set(capabilities)
    assert main(["check", str(hopper), "--json", "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_options_can_come_from_the_environment(hopper: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("CAPABLY_CHECK_GPU", "RTX 5090, T4")
    monkeypatch.setenv("CAPABLY_DRIVER", "R570")
    monkeypatch.setenv("CAPABLY_FORMAT", "json")
    monkeypatch.setenv("CAPABLY_CHECK_FAIL_ON", "none")
    assert main(["check", str(hopper)]) == 1
    found = document(capsys)
    assert [gpu["name"] for gpu in found["gpus"]] == ["GeForce RTX 5090", "T4"]
    assert {gpu["driver"]["release"] for gpu in found["gpus"]} == {"R570"}
    monkeypatch.setenv("CAPABLY_CHECK_FORMAT", "text")
    assert main(["check", str(hopper)]) == 1
    assert capsys.readouterr().out.startswith(" ")
    monkeypatch.setenv("CAPABLY_OFFLINE", "1")
    assert main(["check", "x==1"]) == 2
    assert "offline" in capsys.readouterr().err


def test_the_driver_decides(tmp_path: Path, capsys: Captured) -> None:
    path = make(tmp_path, "virtual", "compute_75")
    arguments = ["check", str(path), "--gpu", "T4", "--fail-on", "none", "--driver"]
    assert [main([*arguments, driver]) for driver in ("12.4", "550.54.14", "450.80.02", "11.0")] == [0, 0, 1, 1]
    shown = capsys.readouterr().out
    assert "Install a driver of branch R525 (CUDA 12.0) or newer" in shown
    assert "assumed" not in shown


@pytest.mark.parametrize(
    ("option", "environment", "coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        ([], {"CAPABLY_COLOR": "always"}, True),
    ],
)
def test_colour(  # noqa: PLR0917 - four parameters and two fixtures
    option: list[str],
    environment: dict[str, str],
    coloured: bool,
    hopper: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["check", str(hopper), "--gpu", "H100", *option]) == 0
    assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_an_ascii_terminal_gets_ascii(hopper: Path) -> None:
    done = run("scan", str(hopper), PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "sm_90 x1" in done.stdout
    assert "sm_90 \N{MULTIPLICATION SIGN}1" in run("scan", str(hopper)).stdout
    assert "\\xe9" in run("check", "\xe9.whl", "--gpu", "T4", PYTHONIOENCODING="ascii", PYTHONUTF8="1").stderr


class _Terminal(io.StringIO):
    """A terminal of a given encoding."""

    def __init__(self, name: str | None = "utf-8") -> None:
        super().__init__()
        self._name = name

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        return self._name

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "width"), [("20", 60), ("100", 100), ("300", 160)])
def test_the_width_and_colour_of_a_terminal(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", _Terminal())
    style = console.style_of("auto")
    assert (style.width, style.colour, style.ascii_only) == (width, True, False)
    monkeypatch.setenv("TERM", "dumb")
    assert not console.style_of("auto").colour


@pytest.mark.parametrize("encoding", ["cp437", "latin-1", "cp1252", "no-such", None])
def test_other_encodings_than_utf_8_get_ascii(encoding: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", _Terminal(encoding))
    assert console.style_of("auto").ascii_only


def test_progress_is_shown_on_a_terminal_once_it_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with console.ProgressBar(quiet=False) as progress:
        progress("early.so", 1, 10)
        assert terminal.getvalue() == ""
        monkeypatch.setattr(console.ProgressBar, "patience", 0.0)
        progress("a[red]\x1b[2J.so", 1, 10)
        progress("b.so", 5, 0)
    assert "reading" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
    with console.ProgressBar(quiet=True) as progress:
        progress("a.so", 1, 10)


def test_progress_says_which_of_how_many_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("one", "two", "three")
    wheels = [
        build.wheel(tmp_path, name, "1.0", {"a.so": build.library(build.fatbin([build.sass("sm_90")]))})
        for name in names
    ]
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(console.ProgressBar, "patience", 0.0)
    assert main(["check", *map(str, wheels), "--gpu", "all"]) in {0, 1, 3}
    assert "reading 3 of 3" in terminal.getvalue()
    assert "100%" in terminal.getvalue().rpartition("judging")[2]


def test_progress_leaves_the_screen_before_anything_else_is_written_there(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console.ProgressBar, "patience", 0.0)
    threads = set(threading.enumerate())
    with console.ProgressBar(quiet=False) as progress:
        progress("a.so", 9, 10)
        (drawing,) = set(threading.enumerate()) - threads
        console.note("asking pip", quiet=False)
        drawing.join(60)
        assert not drawing.is_alive(), "nobody draws while pip does"
        before, _, after = terminal.getvalue().partition("note: asking pip\n")
        assert before.endswith("\r\x1b[1A\x1b[2K"), "the line of the bar is empty again"
        assert after == ""
        progress("b.so", 1, 10)
        console.complain("error")
        console.complain("hint")
    assert "b.so" in terminal.getvalue(), "it comes back"
    assert terminal.getvalue().endswith("\x1b[2Kerror\nhint\n")


def test_progress_is_shown_while_judging_too(hopper: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert main(["check", str(hopper), "--gpu", "all"]) == 0  # read, and kept
    plain = capsys.readouterr().out
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(console.ProgressBar, "patience", 0.0)
    assert main(["check", str(hopper), "--gpu", "all"]) == 0
    assert capsys.readouterr().out == plain
    assert "judging" in terminal.getvalue()
    told: list[tuple[str, int, int]] = []
    columns = [Gpu(Device(ComputeCapability.parse(text)), Driver(cuda=CudaVersion(13, 0))) for text in ("8.0", "9.0")]
    judge_all([("a", scan(hopper)), ("b", scan(hopper))], columns, lambda *step: told.append(step))
    assert told == [("a", 0, 4), ("a", 1, 4), ("b", 2, 4), ("b", 3, 4), ("b", 4, 4)]


def test_a_pinned_release_is_fetched_with_all_options(
    hopper: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    asked: dict[str, object] = {}

    def fetch(requirement: str, **options: object) -> Path:
        asked.update(options, requirement=requirement)
        options["announce"]("fetching")  # type: ignore[operator]
        return hopper

    monkeypatch.setattr("capably.cli.fetch.fetch", fetch)
    options = ["--index-url", "https://a", "--extra-index-url", "https://b", "--extra-index-url", "https://c"]
    options += ["--python-version", "3.12", "--platform", "manylinux_2_28_x86_64"]
    assert main(["check", "hopper==1.0", "--gpu", "H100", "--json", *options]) == 0
    shown = capsys.readouterr()
    assert shown.err == f"note: fetching\nnote: hopper==1.0 is {hopper.name}\n"
    assert json.loads(shown.out)["results"][0]["artifact"] == "hopper==1.0"
    assert asked["requirement"] == "hopper==1.0"
    assert asked["extra_index_urls"] == ("https://b", "https://c")
    assert (asked["python_version"], asked["platforms"]) == ("3.12", ("manylinux_2_28_x86_64",))
    assert (asked["index_url"], asked["offline"]) == ("https://a", False)


# -- what is installed


def test_installed_distributions_are_found_by_name(site: Path, capsys: Captured) -> None:
    python = ["--python", str(site)]
    assert main(["check", "Hopper.Kernels", "--gpu", "H100", "--json", *python]) == 0
    (result,) = document(capsys)["results"]
    assert (result["artifact"], result["version"], result["coverage"]) == ("Hopper.Kernels", "1.0", "full")
    assert main(["check", "hoper-kernels", "--gpu", "H100", *python]) == 2
    shown = capsys.readouterr().err
    assert "did you mean `hopper-kernels`" in shown
    assert "hint: looked at 3 distributions" in shown


def test_without_artifact_the_environment_is_judged(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    interpreter = next(path for path in (site / "bin/python", site / "Scripts/python.exe") if path.exists())
    for options, variable in (["--python", str(interpreter)], ""), ([], "VIRTUAL_ENV"), ([], "CONDA_PREFIX"):
        if variable:
            monkeypatch.setenv(variable, str(site))
        assert main(["check", "--gpu", "H100", "--json", *options]) == 0
        shown = capsys.readouterr()
        assert f"({variable or '--python'})" in shown.err
        assert [result["artifact"] for result in json.loads(shown.out)["results"]] == ["hopper-kernels"]
        if variable:
            monkeypatch.delenv(variable)


def test_an_environment_without_gpu_code(capsys: Captured, tmp_path: Path) -> None:
    root = tmp_path / "bare"
    venv.create(root, symlinks=True, with_pip=False)
    assert main(["check", "--gpu", "H100", "--python", str(root)]) == 3
    shown = capsys.readouterr()
    assert shown.out == "nothing to judge: no GPU code found\n"
    assert "name another environment with --python, or name a release" in shown.err


def test_a_distribution_that_cannot_be_read_is_reported(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ScanError("x", "it is odd")

    monkeypatch.setattr("capably.scanner.scan_distribution", fail)
    assert main(["check", "--gpu", "H100", "--python", str(site)]) == 2
    shown = capsys.readouterr()
    assert shown.err.count("error: x: it is odd") == 3
    assert shown.out == ""


def test_the_environment_is_chosen_in_order(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_environment(None).chosen_by == "capably's own"
    monkeypatch.setenv("CONDA_PREFIX", str(site))
    assert find_environment(None).chosen_by == "CONDA_PREFIX"
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert find_environment(None).chosen_by == "capably's own"
    monkeypatch.setenv("VIRTUAL_ENV", str(site / "gone"))
    with pytest.raises(EnvironmentProblem) as problem:
        find_environment(None)
    assert "VIRTUAL_ENV names it" in problem.value.__notes__[0]


def test_the_name_of_the_user_is_not_shown(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(site.parent))
    monkeypatch.setenv("USERPROFILE", str(site.parent))
    assert find_environment(str(site)).place == "~/environment"


def test_a_folder_of_metadata_without_any_is_skipped(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uninstalling leaves such behind."""
    environment = find_environment(str(site))
    purelib = next(site.glob("[Ll]ib/**/site-packages"))
    (purelib / "odd-1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", list(environment.paths))
    assert list(distributions(environment)) == ["hopper-kernels", "other", "pure"]
    assert importlib.metadata.version("pure") == "1.0"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "a/\0b.so", "no\x1bsuch/file"])
def test_names_that_no_system_takes(name: str) -> None:
    errors: list[CapablyError] = []
    found = read_artifacts(
        [name], python=None, fetch_pinned=Path, progress=lambda *_: None, report=lambda _, error: errors.append(error)
    )
    assert list(found) == []
    assert len(errors) == 1


def test_a_mistyped_file_name_is_answered_with_a_close_one(hopper: Path, capsys: Captured) -> None:
    assert main(["check", str(hopper).replace("hopper", "hoper"), "--gpu", "H100"]) == 2
    assert f"did you mean `{hopper}`?" in capsys.readouterr().err


# -- names of GPUs and drivers


@pytest.mark.parametrize(
    ("text", "names", "capabilities"),
    [
        ("RTX 5090", ["GeForce RTX 5090"], ["12.0"]),
        ("nvidia h100 80gb hbm3, t4", ["H100", "T4"], ["9.0", "7.5"]),
        ("12.0", [None], ["12.0"]),
        ("sm_120", [None], ["12.0"]),
        ("SM90,9.0,90", [None], ["9.0"]),
        ("980", ["GeForce GTX 980"], ["5.2"]),
        ("99.9", [None], ["99.9"]),
    ],
)
def test_gpus_as_people_write_them(text: str, names: list[str | None], capabilities: list[str]) -> None:
    devices = read_gpus([text])
    assert [device.name for device in devices] == names
    assert [str(device.capability) for device in devices] == capabilities
    assert all(device.assumed for device in devices)


def test_the_hosts_of_a_capability_are_those_that_all_its_products_share() -> None:
    assert [device.hosts for device in read_gpus(["11.0", "9.0", "Jetson AGX Thor", "GB10"])] == [
        ("aarch64",),
        (),
        ("aarch64",),
        ("aarch64",),
    ]


def test_all_gpus_are_one_for_each_capability() -> None:
    devices = read_gpus(["all"])
    assert [device.capability for device in devices] == sorted(
        {product.capability for product in tables().products if product.capability >= ComputeCapability(7, 0)}
    )
    assert {"V100", "T4", "A100", "H100", "B200", "GeForce RTX 5090"} <= {device.name for device in devices}


def test_an_ambiguous_name_is_no_guess() -> None:
    found: dict[str, set[ComputeCapability]] = {}
    for product in tables().products:
        for name in {product.name, *product.aliases}:
            found.setdefault(name, set()).update(p.capability for p in tables().find_products(name))
    ambiguous = [name for name, capabilities in found.items() if len(capabilities) > 1]
    for name in [
        *ambiguous,
        *(["RTX 6000"] if len({p.capability for p in tables().find_products("RTX 6000")}) > 1 else []),
    ]:
        with pytest.raises(AmbiguousNameError) as error:
            read_gpus([name])
        assert "is more than one GPU" in str(error.value)


@pytest.mark.parametrize("text", ["730x", "100000", "77", "sm_90a"])
def test_what_is_no_gpu(text: str) -> None:
    with pytest.raises((UnknownNameError, ParseError)):
        read_gpus([text])


@pytest.mark.parametrize(
    ("text", "release", "cuda"),
    [
        ("550.54.14", DriverRelease(550, 54, 14), None),
        ("550", DriverRelease(550), None),
        ("R550", DriverRelease(550), None),
        ("r535", DriverRelease(535), None),
        ("driver 470.57", DriverRelease(470, 57), None),
        ("12.4", None, CudaVersion(12, 4)),
        ("CUDA 12.4", None, CudaVersion(12, 4)),
        ("12.4.1", None, CudaVersion(12, 4)),
        ("cu124", None, CudaVersion(12, 4)),
        ("cu92", None, CudaVersion(9, 2)),
        ("CUDA Version: 12.4", None, CudaVersion(12, 4)),
        ("v550", DriverRelease(550), None),
        ("R550.54", DriverRelease(550, 54), None),
        ("NVIDIA driver 550.54.14", DriverRelease(550, 54, 14), None),
        ("550.54.14 (CUDA 12.4)", DriverRelease(550, 54, 14), CudaVersion(12, 4)),
        ("Driver Version: 550.54.14    CUDA Version: 12.4", DriverRelease(550, 54, 14), CudaVersion(12, 4)),
    ],
)
def test_drivers_as_people_write_them(text: str, release: DriverRelease | None, cuda: CudaVersion | None) -> None:
    driver = read_driver(text)
    assert (driver.release, driver.cuda, driver.assumed) == (release, cuda, False)


@pytest.mark.parametrize(
    "text",
    ["", "12", "cu12", "150.1", "latest", "550.1.2.3", "v12.4", "550,1", "9.9.9", "99.9", "8.0", "R9999", "5250"],
)
def test_what_is_no_driver(text: str) -> None:
    with pytest.raises((ParseError, console.WrongUseError)):
        read_driver(text)


# -- scan and gpus


def test_the_json_of_scan(hopper: Path, capsys: Captured) -> None:
    assert main(["scan", str(hopper), "--hash", "--json"]) == 0
    (artifact,) = document(capsys)["artifacts"]
    assert artifact["path"] == str(hopper)
    assert len(artifact["sha256"]) == 64
    (library,) = artifact["libraries"]
    assert (library["path"], library["fatbins"], library["stub_fatbins"]) == ("hopper/_C.so", 1, 0)
    (row,) = library["images"]
    assert {name: row[name] for name in ("section", "kind", "target", "count")} == {
        "section": ".nv_fatbin",
        "kind": "sass",
        "target": "sm_90",
        "count": 1,
    }


def test_scan_answers_what_it_can(hopper: Path, capsys: Captured) -> None:
    assert main(["scan", "no/such.whl", str(hopper)]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith(str(hopper)[:10])
    assert "no/such.whl" in shown.err


def test_gpus_are_found_best_first(capsys: Captured) -> None:
    assert main(["gpus", "4090", "--json"]) == 0
    assert document(capsys)["gpus"][0]["capability"] == "8.9"
    assert main(["gpus", "--json"]) == 0
    assert len(document(capsys)["gpus"]) == len(tables().products)
    assert main(["gpus"]) == 0
    assert "GeForce RTX 4090" in capsys.readouterr().out
    assert main(["gpus", "H100"]) == 0
    assert capsys.readouterr().out.startswith("H100\n  capability   9.0 (Hopper)\n")
    assert main(["gpus", "3090", "ti"]) == 0
    assert capsys.readouterr().out.startswith("GeForce RTX 3090 Ti\n")
    for arguments in (["9.0"], ["sm_90"]):
        assert main(["gpus", *arguments]) == 0
        assert capsys.readouterr().out.startswith("9.0  Hopper\n")
    assert main(["gpus", "all", "--json"]) == 0
    assert len(document(capsys)["gpus"]) == len(tables().products)


def test_errors_keep_their_hints(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def fail(_: str) -> None:
        raise FetchError("x==1", "no network", "try later")

    monkeypatch.setattr("capably.tables.Tables.find_products", lambda *_: fail(""))
    assert main(["gpus", "x"]) == 2
    assert capsys.readouterr().err == "error: could not fetch `x==1`: no network\nhint: try later\n"


# -- the machine


def test_without_gpu_those_of_the_machine_are_judged_by_its_driver(hopper: Path, capsys: Captured) -> None:
    record = str(SYSTEMS / "h100x2-r535.json")
    assert main(["check", str(hopper), "--system", record, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == "note: judging the GPUs of the recorded machine: 2 x NVIDIA H100 80GB HBM3\n"
    answer = json.loads(shown.out)
    fits_schema(answer)
    assert answer["gpus"] == [
        {
            "name": "NVIDIA H100 80GB HBM3",
            "capability": "9.0",
            "assumed": False,
            "driver": {"release": "535.183.01", "cuda": "12.2", "assumed": False},
        }
    ]
    assert main(["check", str(hopper), "--system", record, "-q"]) == 0
    text = capsys.readouterr().out
    assert "H100 80GB" in text
    assert "NVIDIA" not in text
    assert "535.183.01 (CUDA 12.2)" in text
    assert "assumed" not in text


def test_two_cards_are_two_columns_in_cudas_order(
    hopper: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("CAPABLY_SYSTEM", str(SYSTEMS / "rtx-3090-4090.json"))
    assert main(["check", str(hopper), "--json", "-q", "--driver", "550.54.14"]) == 0
    answer = document(capsys)
    assert [gpu["capability"] for gpu in answer["gpus"]] == ["8.9", "8.6"]
    assert {gpu["driver"]["release"] for gpu in answer["gpus"]} == {"550.54.14"}


@pytest.mark.parametrize(("record", "cause"), [("hidden", "CUDA_VISIBLE_DEVICES=''"), ("forward-compat", "804")])
def test_no_visible_gpu_says_why(hopper: Path, capsys: Captured, record: str, cause: str) -> None:
    assert main(["check", str(hopper), "--system", str(SYSTEMS / f"{record}.json"), "--json"]) == 0
    shown = capsys.readouterr()
    assert "no GPU of the recorded machine is visible" in shown.err
    assert cause in shown.err
    assert len(json.loads(shown.out)["gpus"]) > 8


def test_a_named_gpu_is_judged_by_the_driver_of_the_machine(hopper: Path, capsys: Captured) -> None:
    record = str(SYSTEMS / "h100x2-r535.json")
    assert main(["check", str(hopper), "--system", record, "--gpu", "H100", "--json"]) == 0
    shown = capsys.readouterr()
    assert "by the driver of the recorded machine, 535.183.01" in shown.err
    assert json.loads(shown.out)["gpus"][0]["driver"]["release"] == "535.183.01"


def test_a_record_that_cannot_be_read_is_wrong_use(hopper: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", str(hopper), "--system", str(tmp_path / "none.json")]) == 2
    assert "none.json: No such file" in capsys.readouterr().err


def test_models_keep_what_is_known_of_the_product() -> None:
    thor = Device(ComputeCapability(11, 0), "NVIDIA Thor", ordinal=0)
    unheard = Device(ComputeCapability(9, 0), "NVIDIA of tomorrow")
    found = models((thor, unheard, unheard))
    assert [(device.hosts, count) for device, count in found] == [(("aarch64",), 1), ((), 2)]
    assert not any(device.assumed for device, _ in found)


def test_this_machine_is_looked_at_where_nothing_else_is_named(
    hopper: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.delenv("CAPABLY_SYSTEM")
    assert main(["check", str(hopper), "--json"]) == 0
    shown = capsys.readouterr()
    assert "this machine" in shown.err
    fits_schema(json.loads(shown.out))


@pytest.mark.skipif(os.name != "posix", reason="a folder that is in use cannot be removed elsewhere")
@pytest.mark.parametrize("arguments", [["audit", "x"], ["audit", "--check-policy"], ["scan", "."]])
def test_a_current_folder_that_is_gone_is_said(arguments: list[str], tmp_path: Path) -> None:
    script = "import os, sys; os.rmdir(os.getcwd()); from capably.cli.app import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "bug" not in done.stderr
    assert "the current folder is gone" in done.stderr
