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


def test_pytest_finds_it_by_itself() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    (name,) = project["project"]["entry-points"]["pytest11"].values()
    assert import_module(name) is sys.modules["capably.integrations.pytest"]
