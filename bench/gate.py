"""What the gate costs, beside what it replaces: warm calls in nanoseconds, and the first answer of a process.

    python bench/gate.py --flashinfer flashinfer_python-0.7.2.post1-py3-none-any.whl --torch-python VENV/bin/python

Warm calls: the least of many rounds, each a loop, on a machine that is simulated (tests/fake_driver, two H100). Beside
them a look-up in a dict, and FlashInfer's own decorators, whose source is taken out of its wheel and run on a function
that does nothing and a stand-in for a tensor, so that what is measured is the check: torch with CUDA cannot be had here.

First answer: whole from ``import capably`` to the answer, in a process of its own, and ``import torch`` in another, in
turns; the interpreter's own start is not in either.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fakes import H100, H100B, Host

ROUNDS = 25
TAKEN = {
    "BackendSupportedError",
    "supported_compute_capability",
    "backend_requirement",
    "get_compute_capability",
}
WARM = """
import functools, inspect, json, timeit, types
from typing import *
import capably
found = {">=7.5": True}
tensor = None
names = {"found": found, "supports": capably.supports, "require": capably.require}
if SOURCE:
    class Tensor:
        device = types.SimpleNamespace(type="cuda", index=0)
    class Device(types.SimpleNamespace):
        __hash__ = object.__hash__
    Tensor.device = Device(type="cuda", index=0)
    space = dict(functools=functools, inspect=inspect, torch=types.SimpleNamespace(Tensor=Tensor, device=Device),
                 get_device_properties=lambda device: types.SimpleNamespace(major=9, minor=0),
                 warn_experimental_backend_once=lambda *a, **k: None, experimental_auto_backends_allowed=lambda: False,
                 **{name: globals()[name] for name in ("Callable", "Dict", "Iterable", "List", "Optional", "Tuple", "Union")})
    exec("from __future__ import annotations\\n" + SOURCE, space)
    @space["supported_compute_capability"]([80, 86, 89, 90])
    def check(q):
        return True
    def plain(q):
        pass
    names.update(plain=plain, decorated=space["backend_requirement"]({}, common_check=check)(plain), q=Tensor(),
                 has=check.is_compute_capability_supported)
def best(statement):
    loops = 20000
    return min(timeit.repeat(statement, globals=names, number=loops, repeat=ROUNDS)) / loops * 1e9
print(json.dumps([(text, best(text)) for text in STATEMENTS]))
"""
FIRST = """
import time
start = time.perf_counter()
{}
print((time.perf_counter() - start) * 1000)
"""


def source_of(wheel: Path) -> str:
    """The decorators of FlashInfer, as they stand in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read("flashinfer/utils.py").decode())
    return "\n\n".join(ast.unparse(node) for node in tree.body if getattr(node, "name", None) in TAKEN)


def process(python: str, code: str, environ: dict[str, str]) -> str:
    return subprocess.run([python, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flashinfer", type=Path, help="wheel of flashinfer-python")
    parser.add_argument("--torch-python", help="interpreter that has torch")
    options = parser.parse_args()
    environ = Host(Path(tempfile.mkdtemp()), (H100, H100B)).variables()
    environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path and "tests" not in path)
    source = source_of(options.flashinfer) if options.flashinfer else ""
    statements = ['found[">=7.5"]', 'supports(">=7.5")', 'require(">=7.5")']
    if source:
        statements += ["has(90)", "plain(q)", "decorated(q)"]
    code = f"SOURCE={source!r}\nROUNDS={ROUNDS}\nSTATEMENTS={statements!r}\n{WARM}"
    times = dict(json.loads(process(sys.executable, code, environ)))
    print("| warm call | ns | times a look-up |")
    print("|---|---|---|")
    look_up = times[statements[0]]
    for name, nanoseconds in times.items():
        print(f"| `{name}` | {nanoseconds:.0f} | {nanoseconds / look_up:.1f} |")
    commands = {
        "`capably.supports`, two GPUs alike": (sys.executable, 'import capably; capably.supports(">=7.5")', environ),
        "`capably.require`, with a list to ignore": (
            sys.executable,
            'import capably; capably.require(">=7.5", feature="FlashInfer")',
            {**environ, "TORCH_CUDA_ARCH_LIST": "7.0;7.5;9.0+PTX"},
        ),
    }
    if options.torch_python:
        commands["`import torch`"] = (options.torch_python, "import torch", dict(os.environ))
    runs: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(ROUNDS + 1):
        for name, (python, statement, variables) in commands.items():
            taken = float(process(python, FIRST.format(statement), variables))
            if turn:  # the first fills the page cache
                runs[name].append(taken)
    print(f"\n| first answer, Python {platform.python_version()} | median of {ROUNDS}, ms | least, ms |")
    print("|---|---|---|")
    for name, found in runs.items():
        print(f"| {name} | {statistics.median(found):.0f} | {min(found):.0f} |")


if __name__ == "__main__":
    main()
