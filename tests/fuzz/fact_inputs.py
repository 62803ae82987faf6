"""Inputs for `fact_targets`: real records, logs and policies, changed where they mean something.

Bytes that are changed anywhere mostly make text that is no JSON and no TOML, which the first line of a reader
refuses. So here values are exchanged for others of their kind, for hostile ones, and for ones of another kind.
"""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import build
from mutation import INTERESTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["environments", "logs", "machines", "messages", "policies", "records", "replayed", "said", "steps"]

DATA = Path(__file__).parents[1] / "data"
HOSTILE = (
    "", " ", "\n::error title=x::y", "\x1b[2J\x1b]0;x\x07", "\u202eabc", "\ud800", "{0}{x.y}", "%s%n", "[red]x[/]",
    "../../x", "'\"`$(x)", "\0", "-1", "1e999", "\u0663.\u0661", "\u212a",
)  # fmt: skip
_LONG = ("9" * 5_000, "a" * 9_000, "a," * 1_000, "\u8a9e" * 3_000)
_VERSIONS = ("0.0", "1.0", "7.5", "9.0", "12.0", "12.8", "13.4", "99.9", "999999999.9", "00012.01", "580.65.06", "sm_90a",
             "sm_999", "compute_120f", "lto_90", "10.0.0.0.0")  # fmt: skip
_OTHER_KINDS: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**64,
    10**400,
    1.5,
    1e308 * 10,
    "",
    "x",
    [],
    [[]],
    {},
    {"": 0},
)


def _strange(rng: random.Random, like: object) -> Any:
    """A value of the kind of *like* that nobody expects."""
    if isinstance(like, bool):
        return not like
    if isinstance(like, int):
        return rng.choice((*INTERESTING, -1, like + 1, -like, like * 1000))
    if isinstance(like, str):
        return rng.choice(
            (*HOSTILE, *_VERSIONS, _long(rng), like * 2, like[: len(like) // 2], like + rng.choice(HOSTILE))
        )
    return rng.choice(_OTHER_KINDS)


def _long(rng: random.Random) -> str:
    return rng.choice(_LONG) if rng.randrange(3) == 0 else rng.choice(HOSTILE)


_Place = tuple[Any, Any, str]


def _places(value: Any, name: str = "$") -> Iterator[_Place]:
    """What a value holds: the list or object, the index or key, and what is at places that are called so."""
    keys: Sequence[Any] = (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        called = f"{name.rpartition('.')[2]}[]" if isinstance(value, list) else f"{name}.{key}"
        yield value, key, called
        yield from _places(value[key], called.rpartition(".")[2])


def _pools(values: Sequence[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for value in values:
        for holder, key, called in _places(value):
            if holder[key] not in found.setdefault(called, []):
                found[called].append(holder[key])
    return found


def _twisted(text: str, pools: dict[str, list[Any]], rng: random.Random, changes: Sequence[int]) -> Any:
    """The JSON value *text* with some of what it holds changed."""
    value = json.loads(text)
    for _ in range(rng.choice(changes)):
        places = list(_places(value))
        if not places:
            break
        holder, key, called = rng.choice(places)
        kind = rng.randrange(20)
        if kind < 14:
            holder[key] = json.loads(json.dumps(rng.choice(pools.get(called) or [holder[key]])))
        elif kind < 17:
            holder[key] = _strange(rng, holder[key])
        elif kind == 17:
            holder[key] = rng.choice(_OTHER_KINDS)
        elif kind == 18 and isinstance(holder[key], list):
            holder[key] = holder[key] * rng.choice((0, 2, 50))
        elif kind == 18 and isinstance(holder, dict) and rng.randrange(2):
            holder[rng.choice(("x", "", "__class__", *holder))] = holder[key]
        else:
            del holder[key]
    return value


# Recorded machines


@cache
def machines() -> list[str]:
    """Records of machines: those of the tests, and those of people who reported something."""
    files = sorted((DATA / "systems").glob("*.json"))
    reported = [json.dumps(row["system"]) for row in _rows("reports") if "system" in row]
    return [*(file.read_text(encoding="utf-8") for file in files), *reported]


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@cache
def _machine_pools() -> dict[str, list[Any]]:
    return _pools([json.loads(text) for text in machines()])


def records(rng: random.Random) -> bytes:
    """A record of a machine, twisted."""
    return json.dumps(_twisted(rng.choice(machines()), _machine_pools(), rng, (0, 1, 1, 2, 4))).encode()


# Output of the child that asks the driver


_UUID = "GPU-33333333-aaaa-0000-0000-000000000003"


def _nvml(*devices: dict[str, Any], error: int = 0, refused: Sequence[int] = ()) -> dict[str, Any]:
    release = "580.65.06" if not error else None
    return {"step": "nvml", "error": error, "release": release, "devices": list(devices), "refused": list(refused)}


def _listed(number: int, capability: list[int] | None, *slices: dict[str, Any]) -> dict[str, Any]:
    return {
        "uuid": _UUID[:-1] + str(number), "name": f"NVIDIA H10{number}", "capability": capability, "pci": f"0000:{number}b:00.0",
        "memory": 85_520_809_984, "mig": bool(slices) or None, "slices": list(slices),
    }  # fmt: skip


def _seen(number: int, capability: list[int] | None) -> dict[str, Any]:
    return {
        "name": f"NVIDIA H10{number}", "capability": capability, "uuid": "33333333aaaa000000000000000000" + f"0{number}",
        "pci": f"0000:{number}b:00.0", "memory": 85_520_809_984, "multiprocessors": 132, "integrated": False,
    }  # fmt: skip


@cache
def said() -> list[list[dict[str, Any]]]:
    """What the child says, step by step."""
    library = {
        "step": "library",
        "found": True,
        "problem": "",
        "file": "/usr/lib/libcuda.so.580.65.06",
        "version": 13000,
    }
    part = {"uuid": "MIG-aaaaaaaa-1111-0000-0000-000000000011", "name": "NVIDIA H100 MIG 1g.10gb", "memory": 10_000_000}
    loading, opening, asking = {"calling": "loading libcuda"}, {"calling": "nvmlInit_v2"}, {"calling": "cuInit"}
    two = _nvml(_listed(1, [9, 0]), _listed(2, [9, 0]))
    mixed = _nvml(_listed(1, [9, 0], part, {**part, "name": None}), _listed(2, [8, 6]), _listed(3, None), refused=[15])
    missing = {"step": "library", "found": False, "problem": "libcuda.so.1: cannot open", "file": None, "version": None}
    heard: list[list[dict[str, Any]]] = [
        [loading, library, opening, two, asking, {"step": "cuda", "error": 0, "devices": [_seen(1, [9, 0]), _seen(2, [9, 0])]}],
        [loading, library, opening, mixed, asking, {"step": "cuda", "error": 0, "devices": [_seen(2, [8, 9]), _seen(4, None)]}],
        [loading, library, opening, two],
        [loading, library, opening, {"step": "nvml", "missing": "libnvidia-ml.so.1: x"}, asking, {"step": "cuda", "error": 100, "devices": []}],
        [loading, library, opening, _nvml(error=18), asking, {"step": "cuda", "error": 803, "devices": []}],
        [loading, {**library, "file": "/usr/local/cuda/compat/libcuda.so.590.1"}, opening, two, asking, {"step": "cuda", "error": 804, "devices": []}],
        [loading, missing, opening, two],
        [loading, missing, opening, _nvml()],
    ]  # fmt: skip
    return [[*steps, {"step": "done"}] for steps in heard]


@cache
def _step_pools(name: str | None) -> dict[str, list[Any]]:
    found = _pools([step for steps in said() for step in steps if step.get("step") == name])
    odd: dict[str, list[Any]] = {"name": ["a\n::error x", "\x1b[2J", "GPU", ""], "capability": [[12, 1], [0, 0], [-1, 99], [7, 5], [99, 0], None], "error": [3, 46, 100, 802, 999, -1],
           "version": [0, 9, 12080, 999_990], "memory": [0, 2**64 - 1, None], "uuid": ["GPU-", "MIG-x", "", None], "mig": [True, False]}  # fmt: skip
    return {
        place: [*values, *(odd.get(place.rpartition(".")[2], ()) if name != "cuda" or "uuid" not in place else ())]
        for place, values in found.items()
    }


_NOISE = (
    b"", b"hello", b"[]", b"1", b"null", b'{"step": "cuda"}', b'{"step": "nvml"}', b'{"step": "library"}', b'{"step": ["cuda"]}',
    b'{"calling": 7}', b'{"step": {}}', b"{", b"[" * 3_000, b'{"a":' * 3_000, b"\xff\xfe", b"NaN", b"9" * 5_000, b'{"step": "cuda", "devices": []}', b'{"step": "done"}', b'{"step": "cuda", "error": 0, "devices": []}',
)  # fmt: skip


def steps(rng: random.Random) -> bytes:
    """What the child says, with steps and lines that it never says."""
    lines = []
    for step in rng.choice(said()):
        value = _twisted(json.dumps(step), _step_pools(step.get("step")), rng, (0, 0, 1) if rng.randrange(3) else (0,))
        lines.append(json.dumps(value).encode())
    for _ in range(rng.choice((0, 0, 0, 0, 1))):
        at = rng.randrange(len(lines)) if lines else 0
        match rng.randrange(5):
            case 0:
                lines.insert(at, rng.choice(_NOISE))
            case 1:
                del lines[at:]
            case 2:
                lines[at:at] = lines[rng.randrange(len(lines) + 1) :]
            case 3:
                lines[at : at + 1] = []
            case _:
                lines[at : at + 2] = [b"".join(lines[at : at + 2])]
    return b"\n".join(lines) + rng.choice((b"\n", b"\n", b"\n", b"", b"\r\n"))


# Logs


@cache
def messages() -> list[str]:
    """What was printed, in reports and threads of people."""
    return [*(row["message"] for row in _rows("reports")), *(row["symptom"] for row in _rows("messages"))]


_AROUND = (
    '  File "/home/x/venv/lib/python3.12/site-packages/flashinfer/jit/core.py", line 23, in check', "Traceback (most recent call last):",
    '  File "/usr/lib/python3/dist-packages/torch/cuda/__init__.py", line 412', "nvcc fatal   : Unsupported gpu architecture 'compute_120a'",
    "ptxas application ptx input, line 9; fatal   : Unsupported .version 8.8; current version is '8.4'",
    "The current PyTorch install supports CUDA capabilities sm_50 sm_80 sm_86 sm_90 compute_90.",
    "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation.",
    "found version 11040) https://www.nvidia.com", "undefined symbol: _ZN3c104cuda9SetDeviceEi", "WARNING 10-10 12:00:00 worker.py:1] ok",
    "no kernel image is available for execution on the device", "libcudart.so.13: cannot open shared object file",
    "FlashInfer requires sm75+", "SM 12.x requires CUDA >= 12.8", "requires sm_90a or higher", ".target sm_90",
)  # fmt: skip
_NUMBERS = (
    "0",
    "1",
    "00",
    "12.8",
    "999.999",
    "9" * 5_000,
    "11040",
    "0099",
    "sm_",
    "sm_00",
    "sm_999",
    "sm_9999f",
    "compute_1a",
    "-",
    "\u0663",
)


def _reworded(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    for _ in range(rng.choice((0, 1, 1, 3))):
        at = rng.randrange(len(words))
        word = words[at]
        digits = [i for i, c in enumerate(word) if c.isdigit()]
        match rng.randrange(7):
            case 0 | 1 if digits:
                words[at] = word[: digits[0]] + rng.choice(_NUMBERS) + word[digits[-1] + 1 :]
            case 2 if digits:
                words[at] = word.replace(word[rng.choice(digits)], rng.choice("0123456789afx."))
            case 3:
                words[at] = (
                    word + rng.choice(("\n", "\r\n", "\t", "\x1b[31m", "\x1b]8;;x\x07", "  ", "\n" * 300)) + word
                )
            case 4:
                del words[at : at + 1]
                words = words or [""]
            case 5:
                words[at] = _long(rng)
            case _:
                words[at] = rng.choice((word.upper(), word.lower(), word * 2, word[:-1]))
    return " ".join(words)


def logs(rng: random.Random) -> bytes:
    """A log with some messages in it."""
    lines = [
        _reworded(rng.choice(messages() if rng.randrange(3) else _AROUND), rng) for _ in range(rng.choice((1, 1, 2, 5)))
    ]
    lines += [rng.choice(_AROUND) for _ in range(rng.choice((0, 1, 2)))]
    rng.shuffle(lines)
    text = rng.choice(("\n", "\n", "\r\n", " ")).join(lines * (1 if rng.randrange(16) else 40))
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16")), "replace")


# Policies


_POLICIES = (
    {"require": "T4, A100, H100, RTX 5090", "driver": "R525"},
    {"targets": "7.0 7.5 8.0 8.9 9.0 9.0a 10.0 12.0", "require": ["H100", "B200", "RTX 5090"], "toolkit": "12.8"},
    {"native": ["9.0", "sm_80"], "ptx": "required", "max-size": "300 MB", "max-library-size": 1_000_000, "toolkit": ["12.8", "13.0"]},
    {"targets": ["sm_90a", "8.0;9.0+PTX", "compute_100f"], "ptx": "forbidden", "driver": "12.4"},
    {"require": "A100", "driver": "550.54.14", "allow": [{"kernel": "k*", "reason": "for Hopper only"}]},
    {
        "require": "all",
        "allow": [
            {"reason": "old", "library": ["lib*.so", "x/[a-"], "gpu": ["T4", "7.0"], "finding": "gpu-not-covered"},
            {"reason": "known", "finding": ["ptx-missing", "toolkit-differs"]},
        ],
    },
)  # fmt: skip
_POLICY_TEXTS = ("RTX 5090", "H1000", "12.0", "9.0a", "0.0", "R999", "R5250", "cu128", "12.9", "1.5 GiB", "0 B", "gpu-partly-covered", "*", "[",
                 "[!]", "**/" * 50, "required", "CUDA 12.4 (R550)", "sm_90+PTX", "+PTX", ",", ";;", "all, all", "999999999999.999 GB")  # fmt: skip


@cache
def _policy_pools() -> dict[str, list[Any]]:
    found = _pools(_POLICIES)
    texts = [text for text in found.values() for text in text if isinstance(text, str)]
    return {name: [*values, *texts, *_POLICY_TEXTS] for name, values in found.items()}


def policies(rng: random.Random) -> bytes:
    """A policy file, twisted."""
    value = _twisted(json.dumps(rng.choice(_POLICIES)), _policy_pools(), rng, (0, 1, 1, 2, 3))
    lines, tables = ["[tool.capably]"], []
    for key, item in value.items():
        if (
            key == "allow"
            and isinstance(item, list)
            and all(isinstance(one, dict) for one in item)
            and rng.randrange(4)
        ):
            for one in item:
                tables += [
                    "[[tool.capably.allow]]",
                    *(f"{json.dumps(name)} = {_toml(part, rng)}" for name, part in one.items()),
                ]
        else:
            lines.append(f"{key if key.replace('-', '').isalnum() else json.dumps(key)} = {_toml(item, rng)}")
    return "\n".join([*lines, *tables, ""]).encode()


def _toml(value: Any, rng: random.Random) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(item, rng) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {_toml(item, rng)}' for key, item in value.items())}}}"
    if value is None:
        return rng.choice(("1979-05-27", "nan", "-inf", "0x10", "00:00:00", "'''x'''", "1_000"))
    if isinstance(value, str) and value.isprintable() and "'" not in value and rng.randrange(3) == 0:
        return f"'{value}'"
    return json.dumps(value).replace("Infinity", "inf")


# Environments: entries of a folder, with what they are


_NAMES = ("torch", "triton", "flashinfer-python", "nvidia-cublas-cu12", "vllm", "Torch_.Vision", "x", "", ".", "-", "a b", "a%0ab", "caf\u00e9",
          "%ff", "..", "nvidia-cuda-nvrtc-cu12", "a" * 200)  # fmt: skip
_RELEASES = ("2.9.0", "2.9.0+cu128", "12.8.93", "", "1", "1-2", "a" * 60, "1!2.0", "%0a::error ::x", "\u0661")
_FIELDS = (
    "Requires-Dist: nvidia-cublas-cu12 (==12.8.4.1) ; platform_system == 'Linux'", "Requires-Dist: triton==3.5.0; python_version < '3", "Summary: x",
    "Requires-Dist: [", "Name: other", "Version: \x1b[2J", "Requires-Dist: " + "a" * 20_000, "\tcontinued", " Name: y", "no colon", "Description:\n  x\n\n y",
    "NAME: TORCH", "Name:", "Version:", ":", "Requires-Dist: torch @ file:///x", "Provides-Extra: x" + "\n::error ::x", "Classifier: \u2028Name: z",
)  # fmt: skip
_PATHS = (
    "../../../bin/x", "/etc/passwd", "..\\x", "C:\\x", '"a,b"', '"open', "x/../../../../../y", "", ".", "..", "x/", "//", "a%00b", "x/%ff.so", "x/missing.so",
    "x/fifo.so", "x/loop.so", "x/" + "d/" * 300 + "e.so", "x/" + "n" * 300 + ".so", "x/a.cubin/y", "x/a.cubin", "x/zero.so", "x/sparse.so", ",,,", "\ufeffx/a.cubin",
)  # fmt: skip
_TAGS = (
    "Wheel-Version: 1.0",
    "Tag: cp312-cp312-manylinux_2_28_x86_64",
    "Tag: py3-none-any",
    "Tag: --",
    "Tag: a-b-c.d.e",
    "Tag:",
    "Build: 1",
    "Tag: x-y-" + "z." * 500,
)
_KINDS = ("fifo", "loop", "zero", "sparse", "folder", "link", "dangling", "null")


def _line_file(lines: list[str], rng: random.Random, odd: Sequence[str]) -> bytes:
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = rng.randrange(len(lines) + 1)
        if rng.randrange(3) == 0 and at < len(lines):
            del lines[at]
        else:
            lines.insert(at, rng.choice(odd))
    data = rng.choice(("\n", "\n", "\n", "\r\n", "\r")).join(lines).encode()
    match rng.randrange(16):
        case 0:
            return data.decode().encode("utf-16")
        case 1:
            return b"\xef\xbb\xbf" + data
        case 2:
            at = rng.randrange(len(data) + 1)
            return data[:at] + rng.choice((b"\xff", b"\0", b"\xed\xa0\x80", b"\x85", b"\x1c", b"\r")) + data[at:]
        case 3:
            return b""
        case _:
            return data


def _entry(kind: str, name: str, data: bytes = b"") -> bytes:
    return b"=== %s %s\n%s\n" % (kind.encode(), name.encode(), data)


@cache
def _cubin() -> bytes:
    return build.cubin("sm_90", kernels=("k",))


def environments(rng: random.Random) -> bytes:
    """A folder of packages, as `fact_targets.dist_info` lays it out."""
    found = [_entry("file", "x/a.cubin", _cubin()), _entry("file", "x/__init__.py", b"pass")]
    for _ in range(rng.choice((1, 1, 2, 3))):
        name, release = (
            rng.choice(_NAMES if rng.randrange(3) == 0 else _NAMES[:5]),
            rng.choice(_RELEASES if rng.randrange(3) == 0 else _RELEASES[:3]),
        )
        stem = f"{name.replace('-', '_') if rng.randrange(4) else name}-{release}"
        metadata = _line_file(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {release}", *_FIELDS[:2], "", "text"], rng, _FIELDS
        )
        record = _line_file(
            [f"{stem}.dist-info/METADATA,,", "x/a.cubin,sha256=a,9", "x/__init__.py,,", "x/b.so,,"], rng, _PATHS
        )
        wheel = _line_file(list(_TAGS[:2]), rng, _TAGS)
        if rng.randrange(6):
            files = {"METADATA": metadata, "RECORD": record, "WHEEL": wheel, "INSTALLER": b"pip"}
            folder = f"{stem}.dist-info"
        else:
            listed = record.replace(b",,", b"").replace(b"x/", b"../x/")
            files = {
                "PKG-INFO": metadata,
                "SOURCES.txt": record.replace(b",,", b""),
                "installed-files.txt": listed,
                "requires.txt": b"torch\n[x]\ny>1\n",
                "top_level.txt": b"x",
            }
            folder = f"{stem}{rng.choice(('.egg-info', '.egg-info', '-py3.12.egg/EGG-INFO'))}"
        if rng.randrange(14) == 0:  # the metadata alone, in the place of the folder
            found.append(_entry(rng.choice(("file", *_KINDS)), folder, metadata))
            continue
        for file, data in files.items():
            match rng.randrange(12):
                case 0:
                    found.append(_entry(rng.choice(_KINDS), f"{folder}/{file}", b"METADATA"))
                case 1:
                    continue
                case _:
                    found.append(_entry("file", f"{folder}/{file}", data))
    if rng.randrange(3) == 0:
        found.append(rng.choice((
            _entry("file", "x.pth", b"import sys; sys.exit(3)\n/nowhere\n"), _entry("fifo", "x/fifo.so"), _entry("loop", "x/loop.so"), _entry("zero", "x/zero.so"),
            _entry("sparse", "x/sparse.so"), _entry("link", "x/b.so", b"a.cubin"), _entry("file", "x/b.so", b"\x7fELF"), _entry("file", "x.egg-link", b"/nowhere\n."),
            _entry("file", "y.egg", b"PK\5\6" + bytes(18)), _entry("file", "nvidia/cuda_nvcc/bin/nvcc", b"#!/bin/sh\n"),
            _entry("folder", "torch/lib"), _entry("fifo", "torch/lib/libnvrtc.so.12"), _entry("loop", "nvidia"), _entry("fifo", "z.egg"),
        )))  # fmt: skip
    return b"".join(found)


def replayed(make: Callable[[random.Random], bytes], count: int) -> list[bytes]:
    """The first inputs that *make* makes, always the same."""
    return [make(random.Random(number)) for number in range(count)]  # noqa: S311 - to be repeated
