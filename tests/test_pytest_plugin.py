"""The mark ``cuda``: who is skipped, with which reason, what is refused, and that nothing happens without it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from fakes import RTX3090, RTX4090, Host, needs_compiler

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest_plugins = ["pytester"]

TESTS = """
import pytest

@pytest.mark.cuda("sm75+")
def test_turing(): pass

@pytest.mark.cuda("fp8")
class TestFp8:
    def test_one(self): pass
    @pytest.mark.cuda("sms>=100")
    def test_many(self): pass

@pytest.mark.cuda("fp8", devices="any")
def test_anywhere(): pass

@pytest.mark.cuda("sm75+", devices=[5])
def test_sixth(): pass

@pytest.mark.cuda()
def test_some_gpu(): pass

def test_plain(): pass
"""


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """pytest in a process of its own on a host, with this plugin by name."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(tests: str, host: Host | None, *options: str, **variables: str) -> pytest.RunResult:
        pytester.makepyfile(tests)
        machine = host or Host(pytester.path / "none", (), nvml=False, cuda=False)
        with monkeypatch.context() as patch:
            for name, value in machine.variables(**variables).items():
                patch.setenv(name, value)
            return pytester.runpytest_subprocess(
                "-p", "capably.integrations.pytest", "-p", "no:cacheprovider", "-rs", *options
            )

    return run


@needs_compiler
def test_tests_run_where_the_gpu_does_and_say_why_they_do_not(run: Run, tmp_path: Path) -> None:
    host = Host(tmp_path / "host", (RTX3090, RTX4090), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    done = run(TESTS, host)
    done.assert_outcomes(passed=4, skipped=3)
    done.stdout.fnmatch_lines(["SKIPPED * test_*.py:8: needs `fp8`: *RTX 3090 (8.6): *8.9*"])
    done.stdout.fnmatch_lines(["*needs `>=7.5`: there is no GPU 5: this process sees 2 GPUs, numbered from 0"])
    run(TESTS, host, CUDA_VISIBLE_DEVICES="1").assert_outcomes(passed=6, skipped=1)


@needs_compiler
def test_without_a_gpu_the_cause_is_the_reason(run: Run, tmp_path: Path) -> None:
    done = run(TESTS, None)
    done.assert_outcomes(passed=1, skipped=6)
    done.stdout.fnmatch_lines(["*needs `fp8`: no GPU was found: *"])
    assert "too old" not in done.stdout.str()
    named = run(TESTS, None, CAPABLY_GPUS="RTX 4090")
    named.assert_outcomes(passed=1, skipped=6)
    named.stdout.fnmatch_lines(["*no GPU is here, and CAPABLY_GPUS makes none*"])
    assert "unknown" not in named.stdout.str()
    # Also where NVML knows the GPU: a test starts CUDA.
    for nvml in (False, True):
        failing = run(TESTS, Host(tmp_path / f"failing-{nvml}", (RTX4090, "fail cuInit 803"), nvml=nvml))
        failing.assert_outcomes(passed=1, skipped=6)
        failing.stdout.fnmatch_lines(["*needs `fp8`: the driver cannot be used: *803*"])
        failing.stdout.fnmatch_lines(["*needs a GPU: the driver cannot be used: *803*"])


@needs_compiler
def test_what_is_not_known_is_skipped_as_unknown(run: Run, tmp_path: Path) -> None:
    host = Host(tmp_path / "host", (RTX4090.replace("cc=8.9", "cc=99.9"),))
    tests = 'import pytest\n@pytest.mark.cuda("99.9f")\ndef test_it(): pass\n'
    done = run(tests, host)
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["*unknown whether the GPU meets `99.9f`: *not known*"])


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ('"sm75+,fp8!"', ["*test_it: not a requirement: `sm75+,fp8!`*", "*         ^"]),
        ('"fp9"', ["*test_it: *fp9*fp8*"]),
        ('"sm75+", devices="al"', ["*devices='al': 'current', 'any', 'all' or a list of numbers is meant"]),
        ('"sm75+", devices=[]', ["*devices=[[]]: *a list of numbers is meant"]),
        ('"sm75+", "fp8"', ["*cuda takes one text*"]),
        ('requirement="fp8"', ["*cuda takes one text*"]),
    ],
)
def test_a_requirement_that_cannot_be_read_stops_everything(run: Run, mark: str, words: list[str]) -> None:
    done = run(
        f"import pytest\n@pytest.mark.cuda({mark})\ndef test_it(): raise SystemError\ndef test_other(): pass", None
    )
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(words)
    assert "passed" not in done.stdout.str()


def test_what_would_run_elsewhere_is_shown_and_nothing_runs(run: Run) -> None:
    tests = TESTS.replace("pass", "raise SystemError")
    done = run(tests, None, "--assume-gpu", "RTX 5090, T4")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "*RTX 5090 (12.0): 5 of 6 tests marked cuda would run*",
            "would run   *::test_turing",
            "unknown     *::test_many: *",
            "*T4 (7.5): 3 of 6 tests marked cuda would run*",
            "would skip  *::test_one: *8.9*",
        ]
    )
    refused = run(tests, None, "--assume-gpu", "RTX 5900")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--assume-gpu: *RTX 5900*did you mean*"])


@needs_compiler
def test_without_a_marked_test_nothing_is_loaded_and_nobody_is_asked(run: Run, tmp_path: Path) -> None:
    host = Host(tmp_path / "host", (RTX4090,))
    tests = """
import sys, pytest
def test_it():
    ours = {name for name in sys.modules if name.startswith("capably")}
    assert ours == {"capably", "capably.integrations", "capably.integrations.pytest"}
@pytest.mark.skipif(True, reason="not here")
@pytest.mark.cuda("sm75+")
def test_last(): pass
"""
    run(tests.partition("@")[0], host).assert_outcomes(passed=1)
    assert host.all_calls() == []
    run(tests, host, "-k", "test_last").assert_outcomes(skipped=1, deselected=1)
    assert host.all_calls() == []


REQUIRED = "import pytest\n@pytest.mark.cuda('fp8')\ndef test_fp8(): pass\ndef test_plain(): print('ran')\n"


@needs_compiler
@pytest.mark.parametrize("how", ["option", "ini"])
def test_a_runner_that_lost_its_gpu_fails_with_the_reason(
    run: Run, tmp_path: Path, pytester: pytest.Pytester, how: str
) -> None:
    """What --require-gpu is for: without it all is green, with nothing tested."""
    assert run(REQUIRED, None).ret == 0
    options = ["--require-gpu", "-s"] if how == "option" else ["-s"]
    if how == "ini":
        pytester.makeini("[pytest]\nrequire_gpu = true\n")
    name = "--require-gpu" if how == "option" else "require_gpu"
    lost = run(REQUIRED, None, *options)
    assert lost.ret == pytest.ExitCode.TESTS_FAILED
    lost.stdout.fnmatch_lines([f"*{name}: no GPU was found: *"])
    assert "ran" not in lost.stdout.lines
    broken = run(REQUIRED, Host(tmp_path / "broken", (RTX4090, "fail cuInit 803")), *options)
    assert broken.ret == pytest.ExitCode.TESTS_FAILED
    broken.stdout.fnmatch_lines([f"*{name}: the driver cannot be used: *803*"])
    hidden = run(REQUIRED, Host(tmp_path / "hidden", (RTX4090,)), *options, CUDA_VISIBLE_DEVICES="")
    assert hidden.ret == pytest.ExitCode.TESTS_FAILED
    hidden.stdout.fnmatch_lines([f"*{name}: *CUDA_VISIBLE_DEVICES*"])
    named = run(REQUIRED, None, *options, CAPABLY_GPUS="RTX 4090")
    assert named.ret == pytest.ExitCode.TESTS_FAILED
    named.stdout.fnmatch_lines([f"*{name}: no GPU is here, and CAPABLY_GPUS makes none*"])
    # A GPU that is too old for one of the tests is a GPU; and to list the tests takes none.
    run(REQUIRED, Host(tmp_path / "old", (RTX3090,)), *options).assert_outcomes(passed=1, skipped=1)
    run(REQUIRED, Host(tmp_path / "good", (RTX4090,)), *options).assert_outcomes(passed=2)
    assert run(REQUIRED, None, *options, "--collect-only").ret == 0


@needs_compiler
def test_the_summary_says_why_tests_were_skipped(run: Run, tmp_path: Path) -> None:
    """Also without -rs, where pytest only counts them; and once where pytest says it."""
    host = Host(tmp_path / "host", (RTX3090,))
    tests = TESTS + "\n@pytest.mark.skip(reason='of its own')\ndef test_other(): pass\n"
    plain = run(tests, host, "-r", "fE")
    plain.assert_outcomes(passed=3, skipped=5)
    plain.stdout.fnmatch_lines(["*tests skipped for want of a GPU*", "   2  needs `fp8`: *8.6*"])
    # As well where workers of pytest-xdist ran them, and insisted on a GPU by who started them.
    workers = run(tests, host, "-p", "xdist", "-n", "2", "--require-gpu", "-r", "fE")
    workers.stdout.fnmatch_lines(["*tests skipped for want of a GPU*", "   2  needs `fp8`: *8.6*"])
    lost = run(tests, None, "-p", "xdist", "-n", "2", "--require-gpu")
    assert lost.ret == pytest.ExitCode.TESTS_FAILED
    lost.stdout.fnmatch_lines(["*--require-gpu: no GPU was found: *"])
    assert "of its own" not in plain.stdout.str()
    assert "for want of a GPU" not in run(tests, host).stdout.str()


@needs_compiler
def test_the_fixture_gives_the_gpus_that_meet_the_marks(run: Run, tmp_path: Path) -> None:
    tests = """
import pytest

@pytest.mark.cuda("fp8", devices="any")
def test_marked(cuda_devices):
    assert [(device.name, device.ordinal) for device in cuda_devices] == [("NVIDIA GeForce RTX 4090", 1)]

@pytest.mark.cuda("fp8", devices="any")
@pytest.mark.cuda("<8.9", devices="any")
def test_both(cuda_devices):
    assert cuda_devices == ()

def test_plain(cuda_devices):
    assert [str(device.capability) for device in cuda_devices] == ["8.6", "8.9"]
"""
    host = Host(tmp_path / "host", (RTX3090, RTX4090), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    run(tests, host).assert_outcomes(passed=3)
    none = run(tests, None)
    none.assert_outcomes(skipped=3)
    none.stdout.fnmatch_lines(["SKIPPED * test_*.py:*: needs a GPU: no GPU was found: *"])


def test_pytest_finds_it_by_itself() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    (name,) = project["project"]["entry-points"]["pytest11"].values()
    assert import_module(name) is sys.modules["capably.integrations.pytest"]
