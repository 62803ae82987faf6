"""The tool that changes modules to see whether a test notices, on a module of its own."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

TOOL = Path(__file__).parents[1] / "tools/mutate.py"
MODULE = '''\
"""Text."""
LIMIT = 5


def least(a: int, b: int) -> int:
    """Text."""
    return min(a, b)


def asserted_by_nobody(a: int) -> int:
    return a


def run_by_nobody(a: int) -> int:
    return a


def limited(a: int) -> int:
    return min(LIMIT, a)
'''
TESTS = """\
def test_first(): import toy
def test_least():
    from toy import least
    assert (least(1, 2), least(2, 1)) == (1, 1)
def test_other():
    from toy import asserted_by_nobody
    asserted_by_nobody(1)
def test_limit():
    from toy import limited
    assert (limited(1), limited(9)) == (1, 5)
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def test_what_is_noticed_what_survives_and_what_nothing_reaches(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    for name, text in (("src/toy.py", MODULE), ("tests/test_toy.py", TESTS)):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["network", "toolkit"]\n')
    assert tool.main(["src/toy.py", "tests/test_toy.py", "--count", "99"], root, tmp_path / "cache") == 1
    told = capsys.readouterr().out
    found = re.findall(r"^([a-z ]+): ([a-z ]+), line ([0-9]+)", told, re.MULTILINE)
    assert sorted(found, key=lambda one: (int(one[2]), one)) == [
        ("killed", "constant", "2"),  # by tests that run what uses it; the first one alone runs the line
        ("killed", "constant", "2"),
        ("killed", "return value", "7"),
        ("survived", "arguments", "7"),  # which changes nothing
        ("survived", "return value", "11"),
        ("reached by no test", "return value", "15"),
        ("killed", "return value", "19"),
        ("survived", "arguments", "19"),
    ]
    assert "    -    return min(a, b)\n    +    return None" in told
    assert told.endswith("4 killed, 3 survived, 1 reached by no test\n")
    assert (root / "src/toy.py").read_text() == MODULE  # never in place


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("x = a < b", {"x = (a <= b)"}),
        ("x = a and b and c", {"x = (a or b or c)", "x = (b and c)", "x = (a and c)", "x = (a and b)"}),
        ("x = not a", {"x = (a)"}),
        ("x = 2", {"x = (3)", "x = (1)"}),
        ("x = True", {"x = False"}),
        ("x = 'no-image'", {"x = 'no-imagex'"}),
        ("x = 'a sentence, which nobody compares'", set()),
        ("f(a, b, c=d)", {"f(b, a, c=d)", "pass"}),
        ("x = y if a else z", {"x = y if (not (a)) else z"}),
        ("def f(a: 'B' = 1) -> 'C':\n    '''Text.'''\n    return a", {"def f(a: 'B' = 1) -> 'C':\n    '''Text.'''\n    return None"}),
        ("@cache(maxsize=1)\ndef f(): ...", set()),
        ("é = 'é'; x = a is None", {"é = 'éx'; x = a is None", "é = 'é'; x = (a is not None)"}),
        ("from a import b\nif TYPE_CHECKING:\n    x = 1", set()),
    ],
)  # fmt: skip
def test_what_is_changed(tool: ModuleType, text: str, changed: set[str]) -> None:
    found = {mutant.of(text) for mutant in tool.mutants(text)}
    assert changed == {one for one in found if "(2)" not in one and "(0)" not in one}


def test_every_mutant_of_a_real_module_is_another_program(tool: ModuleType) -> None:
    text = TOOL.read_text(encoding="utf-8")
    every = tool.mutants(text)
    before = ast.dump(ast.parse(text))
    assert len(every) > 100
    assert all(ast.dump(ast.parse(mutant.of(text))) != before for mutant in every[::10])
