"""Change a module at random, one place at a time, and see whether a test notices.

    python tools/mutate.py src/capably/gate.py --count 20 --seed 1

It works on a copy of the tree. First each test file runs once, to learn which of its tests reach which line; that is
kept in the user's cache folder until the sources, the helpers or the file change. Then, for each mutant, the tests that
reach its line run, the quick ones first, up to the first that fails. What survives is a missing test, or a change that
changes nothing: a person has to tell. Exit code 1 where something survives, 2 where the tests fail as they are.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import platformdirs
from coverage import CoverageData

from capably.compat import StrEnum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
CACHE = Path(platformdirs.user_cache_dir("capably")) / "mutate"
LEFT_OUT = shutil.ignore_patterns(
    ".*_cache", ".venv*", ".git", ".hypothesis", ".coverage*", "__pycache__", "build", "dist"
)
PYTEST = [
    *(sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"),
    *("--hypothesis-seed=0", "-m", "not network and not toolkit"),
    *("-o", "junit_family=legacy"),  # which takes what a test records
]

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


# -- Mutants


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes:
        kind: What is changed.
        start, end: Where, in bytes.
        text: What stands there then.
        lines: Those of what is changed.
        around: Those of its statement.
        shared: It stands outside of functions: such a line runs once, when the first test imports the module, and
            what it makes is used by all.
    """

    kind: str
    start: int
    end: int
    text: str
    lines: range
    around: range
    shared: bool

    def of(self, before: str) -> str:
        """The module with that change."""
        data = before.encode()
        return (data[: self.start] + self.text.encode() + data[self.end :]).decode()

    def diff(self, before: str) -> str:
        """What is changed, as lines."""
        lines = difflib.unified_diff(before.splitlines(), self.of(before).splitlines(), lineterm="", n=0)
        return "\n".join(f"    {line}" for line in lines if not line.startswith(("---", "+++", "@@")))


def mutants(text: str) -> list[Mutant]:
    """Every change that is made to a module, in the order of its text."""
    starts = list(itertools.accumulate((len(row.encode()) for row in text.splitlines(keepends=True)), initial=0))

    def place(node: ast.stmt | ast.expr) -> tuple[int, int]:
        return starts[node.lineno - 1] + node.col_offset, starts[(node.end_lineno or 0) - 1] + (
            node.end_col_offset or 0
        )

    tree = ast.parse(text)
    inside = {
        line
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    return [
        Mutant(kind, *place(where), new, _lines(where), _lines(statement), where.lineno not in inside)
        for statement, node in _nodes(tree)
        for kind, where, new in _changes(node)
        if new != ast.unparse(where)
    ]


def _lines(node: ast.stmt | ast.expr) -> range:
    """Of a compound statement those of its head."""
    body = getattr(node, "body", None)
    last = max(body[0].lineno - 1, node.lineno) if isinstance(body, list) else node.end_lineno or 0
    return range(node.lineno, last + 1)


def _nodes(tree: ast.Module) -> Iterator[tuple[ast.stmt, ast.stmt | ast.expr]]:
    """What may be changed, with its statement: nothing that is for type checkers, for readers or for caches."""

    def inside(node: ast.AST, statement: ast.stmt) -> Iterator[tuple[ast.stmt, ast.stmt | ast.expr]]:
        if _is_left_out(node):
            return
        if isinstance(node, ast.stmt):
            statement = node
        if isinstance(node, (ast.stmt, ast.expr)):
            yield statement, node
        for name, value in ast.iter_fields(node):
            if name not in {"annotation", "returns", "decorator_list"}:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from inside(child, statement)

    for statement in tree.body:
        yield from inside(statement, statement)


def _is_left_out(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Assert() | ast.Import() | ast.ImportFrom():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assign(targets=[ast.Name(id="__all__" | "TYPE_CHECKING")]):
            return True
        case _:
            return isinstance(node, ast.JoinedStr)  # Python 3.11 does not tell the places inside


def _changes(node: ast.stmt | ast.expr) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    """Kinds of changes of *node*, with what is replaced by what."""
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield "condition", test, f"(not ({ast.unparse(test)}))"
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            yield "comparison", node, f"({ast.unparse(ast.Compare(left, [COMPARISONS[type(operator)]()], [right]))})"
        case ast.BoolOp(op=operator, values=values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and/or", node, f"({ast.unparse(ast.BoolOp(other, values))})"
            for number in range(len(values)):
                less = ast.BoolOp(operator, values[:number] + values[number + 1 :])
                yield "operand left out", node, f"({ast.unparse(less)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not", node, f"({ast.unparse(operand)})"
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in OPERATORS:
            yield "operator", node, f"({ast.unparse(ast.BinOp(left, OPERATORS[type(operation)](), right))})"
        case ast.Constant(value=bool(value)):
            yield "constant", node, str(not value)
        case ast.Constant(value=int(value)):
            yield "constant", node, f"({value + 1})"
            yield "constant", node, f"({value - 1})"
        case ast.Constant(value=str(text)) if text and " " not in text:  # a code or a name, and no sentence
            yield "text", node, repr(f"{text}x")
        case ast.Call(func=function, args=[first, second, *more], keywords=keywords) if not any(
            isinstance(one, ast.Starred) for one in (first, second)
        ):
            yield "arguments", node, ast.unparse(ast.Call(function, [second, first, *more], keywords))
        case ast.Return(value=ast.expr()):
            yield "return value", node, "return None"
        case ast.Expr() | ast.AugAssign() | ast.Continue() | ast.Break() | ast.Raise():
            yield "statement removed", node, "pass"
        case _:
            pass


# -- Which tests reach which line


@dataclass(frozen=True)
class Reach:
    """What a test file runs of one module."""

    file: str
    tests: dict[int, frozenset[str]]  # of each line; an empty name where a process of its own or an import ran it
    seconds: dict[str, float]


class Tree:
    """A copy of the tree, in which modules are changed and tests run."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder / "tree"
        shutil.copytree(root, self.folder, ignore=LEFT_OUT, symlinks=True)
        shared = [
            *self.folder.glob("src/**/*.*"),
            *(p for p in self.folder.glob("tests/**/*.*") if p.stem[:5] != "test_"),
        ]
        self.state = hashlib.sha256()
        for path in sorted(path for path in shared if path.is_file() and path.suffix != ".pyc"):
            self.state.update(f"{path.relative_to(self.folder)}\0".encode() + path.read_bytes())

    def pytest(self, arguments: Sequence[str], limit: float | None = None) -> tuple[int | None, str]:
        """The exit code, None for one that takes too long, and what is printed."""
        names = self.folder / "arguments.txt"
        names.write_text("\n".join(arguments), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        environment = {**kept, "PYTHONPATH": str(self.folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [*PYTEST, f"@{names}"],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # what a changed program starts ends with it
            )
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            output.seek(0)
            return code, output.read().decode(errors="replace")

    def reach(self, file: str, module: str, cache: Path) -> Reach | None:
        """What *file* runs of *module*; None where it holds no test that may run here."""
        state = self.state.copy()
        state.update((self.folder / file).read_bytes() + file.encode())
        kept = cache / state.hexdigest()
        if not kept.exists():
            made = Path(tempfile.mkdtemp(dir=cache))
            settings = made / "coveragerc"
            source = self.folder / "src"
            settings.write_text(
                f"[run]\nsource = {source}\nrelative_files = true\nparallel = true\npatch = subprocess\n"
                f"data_file = {made / 'data'}\n"
            )
            options = ["--cov", f"--cov-config={settings}", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
            code, told = self.pytest([file, *options, f"--junitxml={made / 'times.xml'}"])
            if code not in (0, 5):
                sys.exit(f"{told}\n{file} fails as it is")
            made.rename(kept)
        if not (kept / "data").exists():
            return None
        data = CoverageData(str(kept / "data"))
        data.read()
        seconds = {
            f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}": float(case.get("time", 0))
            for case in ET.parse(kept / "times.xml").iter("testcase")  # noqa: S314 - see above
        }
        lines = {
            line: frozenset(context.rpartition("|")[0] for context in contexts)
            for line, contexts in data.contexts_by_lineno(module).items()
        }
        return Reach(file, lines, seconds)


def chosen(mutant: Mutant, reached: Sequence[Reach]) -> tuple[list[str], float]:
    """The tests that reach what is changed, the quick ones first, then whole files; and how long they take."""
    tests: dict[str, float] = {}
    files: dict[str, float] = {}
    for lines in (mutant.lines, mutant.around):
        for one in reached:
            looked_at = one.tests if mutant.shared else lines
            names = frozenset[str]().union(*(one.tests.get(line, frozenset()) for line in looked_at))
            if "" in names:
                files[one.file] = sum(one.seconds.values())
            tests |= {name: one.seconds.get(name, 1.0) for name in names if name}
        if tests or files:
            break
    ordered = [*sorted(tests, key=tests.__getitem__), *sorted(files, key=files.__getitem__)]
    return ordered, sum(tests.values()) + sum(files.values())


# -- The program


class Fate(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "killed by the clock"
    SURVIVED = "survived"
    UNREACHED = "reached by no test"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT, cache: Path = CACHE) -> int:
    """Try mutants of a module, and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path, help="a file below src")
    parser.add_argument("tests", nargs="*", help="test files to run; all of them if none is named")
    parser.add_argument("--count", type=int, default=20, help="how many mutants (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (%(default)s)")
    parser.add_argument("--lines", help="of these lines only, such as 120-180")
    asked = parser.parse_args(arguments)
    module = (root / asked.module).resolve().relative_to(root.resolve()).as_posix()
    before = (root / module).read_text(encoding="utf-8")
    first, _, last = (asked.lines or "1-1000000").partition("-")
    every = [one for one in mutants(before) if int(first) <= one.lines.start <= int(last or first)]
    some = random.Random(asked.seed).sample(every, min(asked.count, len(every)))  # noqa: S311 - no secret
    cache.mkdir(parents=True, exist_ok=True)
    fates: Counter[Fate] = Counter()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        tree = Tree(root, Path(folder))
        files = asked.tests or [
            *sorted(path.relative_to(root).as_posix() for path in root.glob("tests/test_*.py")),
            module,
        ]
        reached = [one for file in files if (one := tree.reach(file, module, cache)) is not None]
        print(f"{len(every)} mutants of {module}; {len(some)} are tried", flush=True)
        for mutant in sorted(some, key=lambda one: one.lines.start):
            tests, seconds = chosen(mutant, reached)
            fate, by = Fate.UNREACHED, ""
            if tests:
                (tree.folder / module).write_text(mutant.of(before), encoding="utf-8")
                code, told = tree.pytest(tests, 30 + 5 * seconds)
                fate = {None: Fate.TIMED_OUT, 0: Fate.SURVIVED}.get(code, Fate.KILLED)
                named = [line.split(" - ")[0] for line in told.splitlines() if line.startswith(("FAILED ", "ERROR "))]
                by = (
                    f": {named[0]}"
                    if named and fate is Fate.KILLED
                    else f", {len(tests)} tests" * (fate is Fate.SURVIVED)
                )
            fates[fate] += 1
            print(f"\n{fate}: {mutant.kind}, line {mutant.lines.start}{by}\n{mutant.diff(before)}", flush=True)
    print("\n" + ", ".join(f"{count} {fate}" for fate, count in fates.items()))
    return int(bool(fates[Fate.SURVIVED] or fates[Fate.UNREACHED]))


if __name__ == "__main__":
    sys.exit(main())
