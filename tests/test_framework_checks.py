"""The checks of frameworks, beside the real ones: their source is taken out of the wheels and run on a stand-in for torch."""

from __future__ import annotations

import ast
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import Host, needs_compiler
from wheels import wheel_path

from capably.integrations import checks
from capably.integrations.checks import sglang

if TYPE_CHECKING:
    from collections.abc import Callable

CAPABILITIES = ("7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")
FLEET = tuple(
    f"gpu cc={capability} uuid=GPU-{number:08x}-aaaa-0000-0000-000000000001 pci=0000:{number + 16:02x}:00.0 "
    f"name=GPU_{number} memory=81559 sm=132 speed={50 - number}"
    for number, capability in enumerate(CAPABILITIES)
)
WHEELS = {
    "flashinfer": (
        "flashinfer_python-0.7.4-py3-none-any.whl",
        "a051a62e09a2738e8b0de47a1944fd2f0f3eff01b728b662141ea660cb09dd32",
    ),
    "sglang": (
        "sglang-0.5.23-cp311-cp311-manylinux_2_34_x86_64.whl",
        "00b3cd5b265ac76c64185fbb6b95424f324ddd9f428d0306b77bc9db9d859937",
    ),
    "vllm": (
        "vllm-0.33.0-cp38-abi3-manylinux_2_28_x86_64.whl",
        "4b6bdec4ab269990bf70d45a3c1e94c3760a27064513760193b26d6f0da883aa",
    ),
    "kernels": (
        "kernels-0.17.2-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "f4be3337070e6979bb419e513d9a51ddfbfe61a707afd6aa7f3cb6a61764a46a",
    ),
}
# What looks like torch to the checks: GPUs as the simulated machine has them, and a CUDA version to be built with.
TORCH = f"""
import functools, sys, types
from functools import lru_cache, partial
from typing import *
CAPABILITIES = {[tuple(map(int, one.split("."))) for one in CAPABILITIES]}
class Device:
    def __init__(self, type, index=None): self.type, self.index = type, index
    def __hash__(self): return hash((self.type, self.index))
    def __eq__(self, other): return (self.type, self.index) == (other.type, other.index)
state = types.SimpleNamespace(current=0)
def capability(device=None):
    index = state.current if device is None else getattr(device, "index", device)
    return CAPABILITIES[state.current if index is None else index]
torch = types.SimpleNamespace(device=Device, version=types.SimpleNamespace(cuda="12.8"), cuda=types.SimpleNamespace(
    is_available=lambda: True, is_initialized=lambda: True, current_device=lambda: state.current,
    get_device_capability=capability,
    get_device_properties=lambda device: types.SimpleNamespace(major=capability(device)[0], minor=capability(device)[1])))
sys.modules["torch"] = torch
"""


@cache
def source(framework: str, path: str) -> ast.Module:
    with zipfile.ZipFile(wheel_path(*WHEELS[framework])) as archive:
        return ast.parse(archive.read(path))


def taken(body: list[ast.stmt], wanted: Callable[[str], bool]) -> str:
    """The definitions and assignments of these names, as they stand."""

    def names(node: ast.stmt) -> list[str]:
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        return [str(getattr(one, "name", getattr(one, "id", ""))) for one in targets]

    return "\n".join(ast.unparse(node) for node in body if any(map(wanted, names(node))))


def signatures(text: str) -> dict[str, list[str]]:
    """The parameters of each function."""
    return {
        node.name: [one.arg for one in (*node.args.args, *node.args.kwonlyargs)]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
    }


def ours(name: str) -> str:
    return (Path(checks.__path__[0]) / f"{name}.py").read_text()


@needs_compiler
@pytest.mark.parametrize("cuda", ["12.1", "12.3", "12.8", "12.9", "13.0"])
def test_flashinfers(tmp_path: Path, cuda: str) -> None:
    needed = {"version_at_least", "get_device_properties"}
    theirs = taken(
        source("flashinfer", "flashinfer/utils.py").body,
        lambda name: name in needed | {"get_compute_capability", "device_support_pdl"} or name.startswith("is_sm"),
    )
    code = f"""{TORCH}
torch.version.cuda = {cuda!r}
from capably.integrations.checks import flashinfer as mine
space = {{"functools": functools, "torch": torch, "Tuple": tuple}}
exec("from __future__ import annotations\\n" + {theirs!r}, space)
def answer(check, device):
    try:
        return check(device)
    except ValueError as error:
        return str(error)
devices = [Device("cuda", number) for number in range(len(CAPABILITIES))] + [Device("cpu")]
say([[name, [answer(getattr(mine, name), one) for one in devices], [answer(space[name], one) for one in devices]]
     for name in mine.__all__])
"""
    found = Host(tmp_path, FLEET, environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).run(code)
    assert [(name, mine) for name, mine, _ in found] == [(name, real) for name, _, real in found]
    assert len(found) == 10
    real, own = signatures(theirs), signatures(ours("flashinfer"))
    assert own == {name: real[name] for name in real if name not in needed}  # all of them, with their parameters


@needs_compiler
@pytest.mark.parametrize("cuda", ["11.8", "12.2", "12.3", "12.8", "13.0"])
def test_sglangs(tmp_path: Path, cuda: str) -> None:
    mine = sglang.__all__
    body = source("sglang", "sglang/srt/utils/common.py").body
    theirs = taken(body, lambda name: name in {*mine, "_check_cuda_device_version"})
    code = f"""{TORCH}
torch.version.cuda = {cuda!r}
from capably.integrations.checks import sglang as mine
found = []
for state.current in range(len(CAPABILITIES)):
    space = {{**globals(), "is_cuda": lambda: True, "is_musa": lambda: False}}
    exec({theirs!r}, space)
    found.append([[name, getattr(mine, name)(), space[name]()] for name in mine.__all__ if name != "get_device_capability"])
    found[-1] += [["at", mine.get_device_capability(n), space["get_device_capability"](n)] for n in range(len(CAPABILITIES))]
say(found)
"""
    found = Host(tmp_path, FLEET, environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).run(code)
    assert [[row[:2] for row in rows] for rows in found] == [[[row[0], row[2]] for row in rows] for rows in found]
    assert len(found) == len(CAPABILITIES)
    assert {name for name in mine if f"{name} " in theirs or f"{name}(" in theirs} == set(mine)


@needs_compiler
def test_vllms(tmp_path: Path) -> None:
    body = source("vllm", "vllm/platforms/interface.py").body
    capability = taken(body, lambda name: name == "DeviceCapability")
    platform = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == "Platform")
    methods = taken(platform.body, lambda name: "device_capability" in name)
    code = f"""{TORCH}
import textwrap
from capably.integrations.checks.vllm import CapabilityChecks, DeviceCapability as Mine
space = dict(globals())
exec("from __future__ import annotations\\n" + {capability!r}, space)
exec("from __future__ import annotations\\nclass Platform:\\n" + textwrap.indent({methods!r}, "    "), space)
class Real(space["Platform"]):
    @classmethod
    def get_device_capability(cls, device_id=0): return space["DeviceCapability"](*CAPABILITIES[device_id])
asked = sorted({{*CAPABILITIES, (8, 7), (10, 1), (13, 0)}})
asked += [major * 10 + minor for major, minor in asked]
found = [[], []]
for checks, rows in zip((CapabilityChecks, Real), found):
    for number in range(len(CAPABILITIES)):
        own = checks.get_device_capability(number)
        rows.append([list(own), own.to_int(), own.as_version_str(), own >= (8, 9), own == (9, 0), own < (10, 0)])
        rows += [[checks.has_device_capability(one, number), checks.is_device_capability(one, device_id=number)] for one in asked]
        rows += [checks.is_device_capability_family(one, number) for one in asked if isinstance(one, int)]
    rows += [checks.get_device_capability() == CAPABILITIES[0], checks.has_device_capability(75)]
say(found)
"""
    mine, real = Host(tmp_path, FLEET, environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).run(code)
    assert mine == real
    assert len(mine) > 400
    own = signatures(ours("vllm"))
    assert {name: own[name] for name in signatures(methods)} == signatures(methods)


@needs_compiler
def test_hugging_faces(tmp_path: Path) -> None:
    tree = ast.unparse(source("kernels", "kernels/layer/_interval_tree.py"))
    code = f"""{TORCH}
import random
from capably.integrations.checks.kernels import find_capability, find_smallest_interval
space = {{"__name__": "tree"}}
sys.modules["tree"] = types.ModuleType("tree")
exec({tree!r}, space)
rng = random.Random(7)
found = []
for turn in range(60):
    edges = [0, 70, 75, 80, 86, 89, 90, 100, 103, 110, 120, 121, sys.maxsize]
    intervals = {{tuple(sorted(rng.sample(edges, 2))): None for _ in range(rng.randrange(1, 6))}}
    if len({{most - least for least, most in intervals}}) < len(intervals):
        continue  # of equal width, theirs goes by where objects lie in memory
    intervals = {{one: str(one) for one in intervals}}
    tree = space["IntervalTree"]()
    for (least, most), name in intervals.items():
        tree.insert(least, most, name)
    for number, (major, minor) in enumerate(CAPABILITIES):
        found.append([find_smallest_interval(intervals, number), tree.find_smallest_interval(major * 10 + minor)])
    state.current = turn % len(CAPABILITIES)
    found.append([find_capability(), CAPABILITIES[state.current][0] * 10 + CAPABILITIES[state.current][1]])
say(found)
"""
    found = Host(tmp_path, FLEET, environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).run(code)
    assert [mine for mine, _ in found] == [real for _, real in found]
    assert len(found) > 300
    assert any(mine is None for mine, _ in found)


@needs_compiler
def test_transformer_engines_and_a_machine_without_gpus(tmp_path: Path) -> None:
    code = f"""{TORCH}
from capably.integrations.checks import sglang, vllm, transformer_engine, flashinfer
import capably
found = []
for state.current in range(len(CAPABILITIES)):
    found.append([list(transformer_engine.get_device_compute_capability()), list(CAPABILITIES[state.current])])
say(found)
"""
    found: Any = Host(tmp_path / "a", FLEET, environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}).run(code)
    assert [mine for mine, _ in found] == [real for _, real in found]
    code = """
import capably
from capably.integrations.checks import flashinfer, sglang, transformer_engine, vllm
def refused(check, *args):
    try:
        return check(*args)
    except capably.IncompatibleError as error:
        return type(error).__name__
say([sglang.get_device_sm(), sglang.get_device_capability(), sglang.is_sm90_supported(), sglang.is_sm120(),
     vllm.CapabilityChecks.get_device_capability(), vllm.CapabilityChecks.has_device_capability(75),
     refused(transformer_engine.get_device_compute_capability), refused(flashinfer.get_compute_capability, "cuda")])
"""
    host = Host(tmp_path / "b", (), nvml=False, cuda=False)
    gone = ["DriverError", "NoDeviceError"]
    *rest, first, second = host.run(code)
    assert rest == [0, [None, None], False, False, None, False]
    assert first in gone
    assert second in gone
