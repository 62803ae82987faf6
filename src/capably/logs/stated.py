"""What a log says of the machine that printed it: the log, read as a record.

Nobody promises its form, so only what can hardly be meant otherwise is taken: a GPU that is numbered or described, not
one that somebody requires or recommends. Time is bounded: lines are sought by fixed texts, some from the front and some
from the back, and patterns see a bounded part of each.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability
from capably.errors import CapablyError
from capably.facts import Device, Driver, Toolkit, ToolkitKind
from capably.gpu_names import hosts_of
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Stated", "read_log"]


@dataclass(frozen=True, slots=True)
class Stated:
    """The facts that a log states.

    Attributes:
        devices: GPUs that it names, each by name, by compute capability, or by both.
        driver: The release of the driver, its CUDA version, or both.
        toolkits: Compilers that it shows.
        environment: Variables with their values.
        distributions: Packages with their versions.
        files: Python files that tracebacks name, with their full paths.
    """

    devices: tuple[Device, ...] = ()
    driver: Driver | None = None
    toolkits: tuple[Toolkit, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    distributions: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()


def read_log(data: bytes) -> Stated:
    """What the log *data* says of its machine; it is one that `capably.logs.recognition` made plain."""
    lower = data.lower()
    lines = functools.partial(_lines, data, lower)
    return Stated(
        devices=_devices(lines),
        driver=_driver(lines),
        toolkits=_toolkits(lines),
        environment=_environment(lines),
        distributions=_distributions(lines),
        files=tuple(
            dict.fromkeys(match[1] for line in lines("site-packages", 'file "') for match in _FILE.finditer(line))
        ),
    )


_MOST_PLACES = 16  # of one text, from the front, and as many from the back
_BEFORE, _AFTER = 300, 500
_FILE = re.compile(r'File "((?:/|[A-Za-z]:\\)[^"\n]{1,240}\.py)", line [0-9]')


def _lines(data: bytes, lower: bytes, *needles: str) -> list[str]:
    """The lines, or the parts of them, that hold one of *needles*, in order."""
    places: set[int] = set()
    for needle in needles:
        sought = needle.encode()
        at = -1
        for _ in range(_MOST_PLACES):
            if (at := lower.find(sought, at + 1)) < 0:
                break
            places.add(at)
        at = len(lower)
        for _ in range(_MOST_PLACES):
            if (at := lower.rfind(sought, 0, at)) < 0:
                break
            places.add(at)
    found: dict[tuple[int, int], None] = {}
    for place in sorted(places):
        start = data.rfind(b"\n", max(place - _BEFORE, 0), place) + 1 or max(place - _BEFORE, 0)
        end = data.find(b"\n", place, place + _AFTER)
        found[start, end if end >= 0 else min(place + _AFTER, len(data))] = None
    return [data[start:end].decode("utf-8", "replace").replace("\r", "") for start, end in found]


# What makes a line speak of what there should be, and not of what there is.
_WISHED = re.compile(
    r"(?i)\b(?:requir\w{0,8}|needs?|needed|only|supports?|supported|such as|or (?:newer|later|higher|above|greater)|minimum"
    r"|recommend\w{0,5}|at least|instead|designed|tested|please|try|should|must|e\.g|for example|hint|expect\w{0,3}|but got"
    r"|upgrade|install|built for|build for|compiled for)\b|[<>]=?"
)

# -- GPUs

_CC = r"(?P<capability>[0-9]{1,2}\.[0-9])"
_PAIR = r"\((?P<major>[0-9]{1,2}), ?(?P<minor>[0-9])\)"
# Each shows a GPU that was there, whatever else is in its line.
_SHOWN = tuple(
    map(
        re.compile,
        (
            rf"Found GPU ?[0-9]{{0,3}} (?P<name>.{{1,80}}?) which is of (?:cuda|compute) capability(?: \(CC\))? {_CC}",
            r"(?P<name>\S.{1,80}?) with CUDA capability sm_(?P<number>[0-9]{2,3}) is not compatible",
            rf"(?i)\b(?:device|gpu) ?#?[0-9]{{1,3}}: ?(?P<name>[^,(\n]{{3,60}}?) ?[,(] ?(?:compute capability|cc|sm)[ :_]{{0,2}}{_CC}",
            rf"\bname: (?P<name>[^,\n]{{3,60}}), pci bus id: [^,\n]{{1,20}}, compute capability: {_CC}",
            r"\bGPU ?[0-9]{1,3}: (?P<name>[^(\n]{3,60}?) \(UUID: (?:GPU|MIG)-",
            r"^\| {1,4}[0-9]{1,3} {1,4}(?P<name>[A-Z][^|\n]{2,60}?) {1,30}(?:On|Off|N/A|WDDM|TCC|MCDM) {0,4}\|",
            rf"\bYour (?P<name>[A-Za-z0-9 ._-]{{2,60}}?) GPU has compute capability {_CC}",
            rf"\byour GPU has (?:compute )?capability {_PAIR}",
            rf"get_device_capability\([^)\n]{{0,12}}\)[^(\n]{{0,16}}{_PAIR}",
            rf"(?i)\bcompute capability detected: ?{_CC}",
        ),
    )
)
# These do unless the line speaks of what should be.
_TOLD = tuple(
    map(
        re.compile,
        (
            rf"(?i)\b(?:gpu|device|card)\b[^\n]{{0,60}}?\b(?:has|of|with|is) (?:cuda |compute )?capability:? {_CC}",
            rf"(?i)\b(?:gpu|device|card)\b[^\n]{{0,60}}?\b(?:has|of|with|is) (?:cuda |compute )?capability:? {_PAIR}",
            rf"(?i)\bcompute[_ ]capability['\"]?(?: of device [0-9]{{1,2}})? ?[:=] ?['\"]?{_CC}",
            rf"(?i)\bcompute[_ ]capability['\"]?(?: of device [0-9]{{1,2}})? ?[:=] ?['\"]?{_PAIR}",
            r"(?i)\b(?:gpu|device|card)(?: [0-9]{1,2})? ?(?:is|has|:|=|\() ?\(?sm[_ ]?(?P<number>[0-9]{2,3})\b",
        ),
    )
)
_LEADS = (
    *("nvidia", "geforce", "tesla", "quadro", "rtx", "gtx", "titan", "grid", "jetson", "gpu", "device", "capability"),
    *("v100", "a100", "h100", "h200", "b200"),
)
_NAME = re.compile(
    r"\b(?:NVIDIA|Nvidia|nvidia|GeForce|Tesla|TESLA|Quadro|QUADRO|RTX|GTX|TITAN|GRID|Jetson)[ -][A-Za-z0-9][A-Za-z0-9.-]{0,20}"
    r"(?: [A-Za-z0-9][A-Za-z0-9.-]{0,15}){0,5}"
)
# Of the data center: known by so short a name that only the words before it tell what it is.
_BARE = re.compile(
    r"(?:(?i:\b(?:gpus?|device|card|on|using|with|hardware|model|[0-9]{1,2} ?x|name))['\"]?(?: name)? ?[:=]? ?['\"]?(?:an? |one |the |my )?"
    r"(?:[0-9]{1,2} ?[x\u00d7] ?)?)(?:[DH]GX )?(?P<name>(?:GB?[HB]?[0-9]{2,3}|[ABHLPTV][0-9]{1,3}[A-Z]?)(?:[ -][A-Z0-9][A-Za-z0-9]{1,8}){0,3})\b"
)


def _devices(lines: Callable[..., list[str]]) -> tuple[Device, ...]:
    """Those that are shown; else those that are told of."""
    shown: dict[Device, None] = {}
    told: dict[Device, None] = {}
    for line in lines(*_LEADS):
        for match in (match for pattern in _SHOWN for match in pattern.finditer(line)):
            shown.update(dict.fromkeys(_described(match)))
        if _WISHED.search(line):
            continue
        for match in (match for pattern in _TOLD for match in pattern.finditer(line)):
            told.update(dict.fromkeys(_described(match)))
        for match in _NAME.finditer(line):
            told.update(dict.fromkeys(_named(match[0])))
        for match in _BARE.finditer(line):
            told.update(dict.fromkeys(_named(match["name"])))
    found: dict[ComputeCapability, Device] = {}
    for device in (*shown, *told):  # the same GPU is named in several ways, and what matters is its capability
        if device.capability not in found or (device.name and not found[device.capability].name):
            found[device.capability] = device
    return tuple(found.values())


def _described(match: re.Match[str]) -> Iterator[Device]:
    """The GPU of a line that says its capability, or whose name is known."""
    said = match.groupdict()
    name = " ".join((said.get("name") or "").split())
    text = said.get("capability") or (f"{said['major']}.{said['minor']}" if said.get("major") else None)
    if text is None and said.get("number"):
        text = f"sm_{said['number']}"
    if text is None:
        yield from _named(name)
        return
    try:
        capability = ComputeCapability.parse(text)
    except CapablyError:
        return
    if capability in tables().architectures:
        known = _product(name) if name else None
        fits = known is not None and known[1] == capability
        yield Device(capability, name or None, hosts_of(capability) if not fits else (), assumed=True)


def _named(text: str) -> Iterator[Device]:
    """The GPU that *text* begins with the name of: the longest that is one."""
    words = text.split()
    for count in range(len(words), 0, -1):
        if (known := _product(" ".join(words[:count]))) is not None:
            yield Device(known[1], known[0], assumed=True)
            return


@functools.lru_cache(maxsize=1024)
def _product(name: str) -> tuple[str, ComputeCapability] | None:
    """The name that was given and its capability, where exactly one fits."""
    if not _known_words() & set(re.findall("[a-z0-9]+", name.casefold())):
        return None  # to look in vain takes milliseconds
    try:
        found = tables().find_products(name)
    except CapablyError:
        return None
    capabilities = {product.capability for product in found}
    return (name, capabilities.pop()) if len(capabilities) == 1 else None


@functools.cache
def _known_words() -> frozenset[str]:
    """The words with a digit in the names of products: one of them is in each name that is worth looking up."""
    names = (name for product in tables().products for name in (product.name, *product.aliases))
    return frozenset(word for name in names for word in re.findall("[a-z0-9]*[0-9][a-z0-9]*", name.casefold()))


# -- drivers

_RELEASE = re.compile(
    r"(?i)\bdriver(?:[ _]version)?['\"]?(?: on \w{1,20})? {0,3}[:=,]? {0,20}(?:is |of )?(?:version )?['\"]?v?(?P<release>[3-9][0-9]{2}\.[0-9]{1,3}(?:\.[0-9]{1,3})?)(?![.0-9])"
    r"|Kernel Module {1,4}(?:for x86_64 {1,4})?(?P<module>[3-9][0-9]{2}\.[0-9]{1,3}(?:\.[0-9]{1,3})?)"
)
_DRIVER_CUDA = re.compile(
    r"(?i)\bDriver Version: {0,4}[0-9.]{5,12} {1,20}CUDA Version: {0,4}(?P<smi>[0-9]{1,2}\.[0-9])"
    r"|\(found version (?P<found>[0-9]{4,5})\)"
    r"|\bCUDA driver version / runtime version {1,20}(?P<query>[0-9]{1,2}\.[0-9])"
    r"|\bdriver API version:? {0,4}(?P<api>[0-9]{1,2}\.[0-9])"
    r"|\byours is for CUDA (?P<yours>[0-9]{1,2}\.[0-9])"
    r"|\bdriver (?:of|for|supports(?: up to)?) CUDA:? (?:version )?(?P<of>[0-9]{1,2}\.[0-9])"
)


def _driver(lines: Callable[..., list[str]]) -> Driver | None:
    release = cuda = None
    for line in lines("driver", "kernel module", "found version", "yours is for cuda"):
        for match in _DRIVER_CUDA.finditer(line):
            text = next(value for value in match.groups() if value)
            number = int(text) if text.isdigit() else 0
            found = CudaVersion(number // 1000, number % 1000 // 10) if number else CudaVersion.parse(text)
            if tables().toolkits[0].cuda.major <= found.major <= tables().toolkits[-1].cuda.major + 1:
                cuda = found
        if _WISHED.search(line):
            continue
        for match in _RELEASE.finditer(line):
            release = DriverRelease.parse(match["release"] or match["module"])
    return Driver(release, cuda) if release is not None or cuda is not None else None


# -- compilers

_NVCC = re.compile(
    r"(?P<path>/[^\s:'\"]{0,100}/cuda-?(?P<of_path>[0-9]{1,2}\.[0-9])[^\s:'\"]{0,60}/nvcc)\b"
    r"|Cuda compilation tools, release (?P<release>[0-9]{1,2}\.[0-9])"
    r"|\bnvcc(?: version)?:? v?(?P<named>[0-9]{1,2}\.[0-9])"
)


def _toolkits(lines: Callable[..., list[str]]) -> tuple[Toolkit, ...]:
    found: dict[Toolkit, None] = {}
    for line in lines("nvcc", "cuda compilation tools"):
        for match in _NVCC.finditer(line):
            if match["named"] and _WISHED.search(line):
                continue
            cuda = CudaVersion.parse(match["of_path"] or match["release"] or match["named"])
            if any(row.cuda == cuda for row in tables().toolkits):
                found[Toolkit(ToolkitKind.NVCC, match["path"] or "nvcc", ("log",), cuda)] = None
    return tuple(found)


# -- variables

_LISTS = (
    "TORCH_CUDA_ARCH_LIST",
    "FLASHINFER_CUDA_ARCH_LIST",
    "CMAKE_CUDA_ARCHITECTURES",
    "FLASH_ATTN_CUDA_ARCHS",
    "NVTE_CUDA_ARCHS",
    "CUDAARCHS",
)
_OTHERS = (
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "CUDA_FORCE_PTX_JIT",
    "CUDA_DISABLE_PTX_JIT",
    "CUDA_FORCE_JIT",
    "CUDA_DISABLE_JIT",
    "CUDA_HOME",
    "LD_LIBRARY_PATH",
    "BNB_CUDA_VERSION",
)
_ENTRY = r"(?:[0-9]{1,3}(?:\.[0-9])?[af]?(?:-real|-virtual)?|[A-Z][a-z]{4,9}(?:\+Tegra|\+Tesla)?)(?:\+PTX)?"
_VARIABLE = re.compile(
    rf"\b(?P<name>{'|'.join((*_LISTS, *_OTHERS))})['\"]?\]? ?(?:=|:|is(?: set)? to|is|as) ?"
    rf"(?:\"(?P<double>[^\"\n]{{0,200}})\"|'(?P<single>[^'\n]{{0,200}})'|`(?P<ticks>[^`\n]{{0,200}})`"
    rf"|(?P<list>{_ENTRY}(?:[;, ] ?{_ENTRY}){{0,31}})|(?P<bare>[^\s,'\"]{{1,200}}))"
)


def _environment(lines: Callable[..., list[str]]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for line in lines(*(name.lower() for name in (*_LISTS, *_OTHERS))):
        for match in _VARIABLE.finditer(line):
            if re.search(
                r"(?i)\b(?:try|please|should|for example|e\.g\.|such as|instead|set)\b[^;\n]{0,60}$",
                line[: match.start()],
            ):
                continue
            name = match["name"]
            quoted = next((match[key] for key in ("double", "single", "ticks") if match[key] is not None), None)
            value = quoted if quoted is not None else match["bare"] or match["list"]
            if name in _LISTS and quoted is None and match["list"] is None:
                continue  # no list of architectures
            if name not in _LISTS and match["list"] is not None:
                value = match["list"].split(" ")[0]
            found[name] = value.strip()
    return tuple(found.items())


# -- packages

# How programs call themselves, and their distribution.
_CALLED = {
    "torch": "torch",
    "pytorch": "torch",
    "vllm": "vllm",
    "sglang": "sglang",
    "flashinfer": "flashinfer-python",
    "flashinfer-python": "flashinfer-python",
    "flashinfer_python": "flashinfer-python",
    "triton": "triton",
    "xformers": "xformers",
    "bitsandbytes": "bitsandbytes",
    "onnxruntime-gpu": "onnxruntime-gpu",
    "tensorflow": "tensorflow",
    "jaxlib": "jaxlib",
    "numba": "numba",
    "ctranslate2": "ctranslate2",
    "lmdeploy": "lmdeploy",
    "cuda-python": "cuda-python",
    "cuda-bindings": "cuda-bindings",
    "paddlepaddle-gpu": "paddlepaddle-gpu",
    "llama-cpp-python": "llama-cpp-python",
    "llama_cpp_python": "llama-cpp-python",
    "cupy-cuda11x": "cupy-cuda11x",
    "cupy-cuda12x": "cupy-cuda12x",
    "cupy-cuda13x": "cupy-cuda13x",
}
_PINNED = re.compile(
    r"(?<![A-Za-z0-9._\[-])(?P<name>[A-Za-z][A-Za-z0-9._-]{1,40})==(?P<version>[0-9][0-9A-Za-z.+!]{0,40})"
)
_WITH_VERSION = re.compile(
    rf"(?i)(?<![A-Za-z0-9._/-])(?P<name>{'|'.join(sorted(map(re.escape, _CALLED), key=len, reverse=True))})"
    r"(?: api server)?(?:[ _]version)?['\"]?(?: {1,30}| ?[:=] ?|-(?=[0-9]))\(?['\"]?v?(?P<version>[0-9]{1,4}\.[0-9]{1,4}(?:[.+][0-9A-Za-z.+]{1,30})?)"
)


def _distributions(lines: Callable[..., list[str]]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for line in lines("==", *_CALLED):
        if re.search(r"(?i)\b(?:requires?|required|needs|incompatible|depends)\b|[<>]=", line):
            continue
        for match in _WITH_VERSION.finditer(line):
            found.setdefault(_CALLED[match["name"].lower()], match["version"].rstrip("."))
        for match in _PINNED.finditer(line):
            found[re.sub("[._-]+", "-", match["name"]).lower()] = match["version"].rstrip(".")
    return tuple(found.items())
