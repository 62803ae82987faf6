"""What people write behind ``--gpu`` and ``--driver``, as devices and drivers."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability
from capably.cli.console import WrongUseError
from capably.errors import CapablyError, ParseError, UnknownNameError
from capably.facts import Device, Driver
from capably.knowledge import tables
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.knowledge import Product

__all__ = ["AmbiguousNameError", "find_gpus", "models", "read_driver", "read_gpus", "unquoted"]

_OLDEST_OF_ALL = ComputeCapability(7, 0)
_EXPLICIT = re.compile(r"(?i)(?:sm_?|compute_?|cc ?)[0-9]{2,3}[a-z]?|[0-9]{1,2}\.[0-9][a-z]?")
# The oldest branch that could be meant; CUDA versions are far below.
_LEAST_BRANCH = 300


class AmbiguousNameError(CapablyError):
    """A name that stands for GPUs of several capabilities: which one is meant cannot be guessed.

    Attributes:
        name: As it was given.
        products: What it may mean, with the capability of each.
    """

    def __init__(self, name: str, products: tuple[tuple[str, str], ...]) -> None:
        super().__init__(name, products)
        self.name = name
        self.products = products

    def __str__(self) -> str:
        meant = ", ".join(f"`{name}` ({capability})" for name, capability in self.products)
        return f"`{self.name}` is more than one GPU: {meant}"


def read_gpus(values: Iterable[str]) -> tuple[Device, ...]:
    """The devices that ``--gpu`` names; each value may hold several, with commas between them.

    Raises:
        WrongUseError: Nothing is named.
        UnknownNameError: No GPU is called so.
        AmbiguousNameError: GPUs of several capabilities are.
        ParseError: A capability is ill-formed.
    """
    devices: dict[Device, None] = {}
    for value in values:
        for part in re.split(r"[,;\n]", value):
            name = part.strip()
            if not name:
                continue
            found = _all() if name.lower() == "all" else (_device(name),)
            devices.update(dict.fromkeys(found))
    if not devices:
        raise WrongUseError("--gpu is empty: name a product, a compute capability or `all`")
    return tuple(devices)


def unquoted(gpus: Sequence[str], artifacts: Sequence[str]) -> str:
    """What to say where the rest of a GPU's name was perhaps taken for artifacts; empty where it was not.

    >>> unquoted(["RTX"], ["5090"])
    'a name with spaces needs quotes: --gpu "RTX 5090"'
    """
    for value in gpus:
        begun = re.split(r"[,;]", value)[-1].strip()
        for count in range(min(len(artifacts), 5), 0, -1):
            name = " ".join([begun, *artifacts[:count]])
            try:
                tables().find_products(name)
            except UnknownNameError:
                continue
            return f'a name with spaces needs quotes: --gpu "{name}"'
    return ""


def find_gpus(name: str) -> tuple[tuple[Product, ...], bool]:
    """The products that *name* may mean, all of them without a name, and whether it is the name of a product.

    Raises:
        UnknownNameError: No GPU is called so, or none is known with that capability.
        ParseError: A capability is ill-formed.
    """
    if not name.strip() or name.strip().lower() == "all":
        return tables().products, False
    if not _EXPLICIT.fullmatch(name.strip()):
        return _find(name), True
    products = tuple(_with(_capability(name.strip())))
    if not products:
        error = UnknownNameError("GPU", name.strip())
        error.add_note("no product with that compute capability is known")
        raise error
    return products, False


# Names that are close to some of NVIDIA's by their letters only.
_FOREIGN = re.compile(
    r"(?i).*\b(?:amd|ati|radeon|instinct|rx ?[0-9]{3,4}\w*|mi[0-9]{2,3}[a-z]?|gfx[0-9a-f]+|intel|arc|gaudi ?[0-9]?|apple|"
    r"m[1-9](?: (?:pro|max|ultra))?|tpu|adreno|mali)\b.*"
)
_CLOSE = 0.72


def _find(name: str) -> tuple[Product, ...]:
    try:
        return tables().find_products(name)
    except UnknownNameError as error:
        close = () if _FOREIGN.fullmatch(name) else tuple(s for s in error.suggestions if _likeness(name, s) >= _CLOSE)
        better = UnknownNameError("GPU", name, close)
        if not close:
            better.add_note("only NVIDIA GPUs are known here")
        raise better from error


def _likeness(name: str, product: str) -> float:
    def bare(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", re.sub(r"\b(?:nvidia|geforce|tesla|quadro|jetson)\b", "", text.casefold()))

    return difflib.SequenceMatcher(None, bare(name), bare(product)).ratio()


def _hosts(products: Iterable[Product]) -> tuple[str, ...]:
    """The host processors, where all *products* share them."""
    hosts = {product.hosts for product in products}
    return hosts.pop() if len(hosts) == 1 else ()


def _with(capability: ComputeCapability) -> list[Product]:
    return [product for product in tables().products if product.capability == capability]


def _all() -> tuple[Device, ...]:
    """Each capability from 7.0 on that has a product, under the name of a typical one."""
    capabilities = sorted({p.capability for p in tables().products if p.capability >= _OLDEST_OF_ALL})
    return tuple(
        Device(capability, _typical(_with(capability)).name, _hosts(_with(capability)), assumed=True)
        for capability in capabilities
    )


def _typical(products: list[Product]) -> Product:
    """The best known of *products*: of the data center, else GeForce, else what there is; the tables begin with it."""
    order = ("data-center", "geforce", "system", "jetson", "workstation")
    # A name with the edition in it is one of several variants, not the product that people think of.
    return min(products, key=lambda product: ("Edition" in product.name, order.index(product.kind)))


def _device(name: str) -> Device:
    if _EXPLICIT.fullmatch(name):
        return _by_capability(name)
    try:
        products = _find(name)
    except UnknownNameError:
        # `90` is a capability; `980`, which would be one by its shape, is a card.
        try:
            capability = ComputeCapability.parse(name)
        except ParseError:
            capability = None
        if capability is None or capability not in tables().architectures:
            raise
        return _by_capability(name)
    if len({product.capability for product in products}) > 1:
        error = AmbiguousNameError(name, tuple((p.name, str(p.capability)) for p in products))
        error.add_note("name the one you mean in full, or its compute capability")
        raise error
    return Device(products[0].capability, products[0].name, _hosts(products), assumed=True)


def _capability(name: str) -> ComputeCapability:
    try:
        return ComputeCapability.parse(name)
    except ParseError as error:
        error.add_note("a GPU has no suffix: `9.0`, not `9.0a`, which is what code is compiled for")
        raise


def _by_capability(name: str) -> Device:
    capability = _capability(name)
    return Device(capability, None, _hosts(_with(capability)), assumed=True)


_LEAD = re.compile(r"(?i)^(?:(?:nvidia(?:-smi)?|cuda|driver|version|release)\b[\s:=]*)+")
_PAIR = re.compile(r"(?i)(.*[0-9])[\s,;/|(]+(?:max )?cuda(?: version)?[\s:]*([0-9]+\.[0-9]+)\s*\)?")


def models(devices: Iterable[Device]) -> tuple[tuple[Device, int], ...]:
    """The different products among *devices* that were found, and how many there are of each."""
    found: dict[Device, int] = {}
    for device in devices:
        try:
            products = tables().find_products(device.name) if device.name else ()
        except UnknownNameError:
            products = ()
        fitting = [product for product in products if product.capability == device.capability]
        model = Device(device.capability, device.name, _hosts(fitting or _with(device.capability)))
        found[model] = found.get(model, 0) + 1
    return tuple(found.items())


def read_driver(text: str) -> Driver:
    """A driver from its release (``550.54.14``, ``R550``), from the CUDA version it supports (``12.4``), or both.

    Raises:
        WrongUseError: It is empty, or it may be either.
        ParseError: Neither.
    """
    if not text.strip():
        raise WrongUseError(
            "--driver is empty: name a release such as 550.54.14 or R550, or a CUDA version such as 12.4"
        )
    pair = _PAIR.fullmatch(text.strip())
    if pair is not None:
        release, cuda = read_driver(pair[1]).release, _cuda(text, pair[2])
        return Driver(release=release, cuda=cuda)
    plain = _LEAD.sub("", text.strip())
    joined = re.fullmatch(r"(?i)cu-?([0-9]{1,2})([0-9])", plain)
    if joined is not None and int(joined[1]) >= _OLDEST_CUDA_MAJOR:
        return Driver(cuda=_cuda(text, f"{joined[1]}.{joined[2]}"))
    expected = "a driver release such as `550.54.14` or `R550`, or a CUDA version such as `12.4`"
    numbers = re.fullmatch(r"(?i)([rv]?)([0-9]{1,4})((?:\.[0-9]{1,4}){0,2})", plain)
    if numbers is None:
        raise ParseError("driver version", text, 0, len(text), expected)
    letter, first, rest = numbers[1], int(numbers[2]), numbers[3]
    if first >= _LEAST_BRANCH:
        return Driver(release=DriverRelease.parse(f"{first}{rest}"))
    if first < 100 and rest and not letter:
        return Driver(cuda=_cuda(text, plain))
    if not rest:
        raise WrongUseError(
            f"`{text}` is neither a release nor a CUDA version in full: a release is written 550.54.14 or R550, "
            f"a CUDA version with its second number, {first}.0 or the like"
        )
    raise ParseError("driver version", text, 0, len(text), expected)


_OLDEST_CUDA_MAJOR = 9


def _cuda(text: str, version: str) -> CudaVersion:
    """A CUDA version that exists, or that may exist by now."""
    cuda = CudaVersion.parse(version)
    known = [version for version, _ in tables().ptx]
    newest = known[-1]
    last = max((found.minor for found in known if found.major == cuda.major), default=2)
    real = _OLDEST_CUDA_MAJOR <= cuda.major < newest.major and cuda.minor <= last
    if real or newest.major <= cuda.major <= newest.major + 1:
        return cuda
    raise ParseError("CUDA version", text, 0, len(text), f"one that there is, such as `{newest}`")
