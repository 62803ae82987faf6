"""What people write behind ``--gpu`` and ``--driver``, as devices and drivers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability
from capably.errors import CapablyError, ParseError, UnknownNameError
from capably.facts import Device, Driver
from capably.knowledge import tables
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.knowledge import Product

__all__ = ["AmbiguousNameError", "read_driver", "read_gpus"]

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
        UnknownNameError: No GPU is called so.
        AmbiguousNameError: GPUs of several capabilities are.
        ParseError: A capability is ill-formed.
    """
    devices: dict[Device, None] = {}
    for value in values:
        for part in value.split(","):
            name = part.strip()
            if not name:
                continue
            found = _all() if name.lower() == "all" else (_device(name),)
            devices.update(dict.fromkeys(found))
    if not devices:
        error = ParseError("GPU", ",".join(values), 0, 1, "a product name, a compute capability or `all`")
        raise error
    return tuple(devices)


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
        products = tables().find_products(name)
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


def _by_capability(name: str) -> Device:
    try:
        capability = ComputeCapability.parse(name)
    except ParseError as error:
        error.add_note("a GPU has no suffix: `9.0`, not `9.0a`, which is what code is compiled for")
        raise
    return Device(capability, None, _hosts(_with(capability)), assumed=True)


def read_driver(text: str) -> Driver:
    """A driver from its release (``550.54.14``, ``R550``) or from the CUDA version it supports (``12.4``).

    Raises:
        ParseError: Neither, or not to be told apart.
    """
    plain = re.sub(r"(?i)^\s*(?:cuda|driver)\s*", "", text).strip()
    if plain[:1] in ("R", "r"):
        return Driver(release=DriverRelease.parse(plain))
    numbers = re.fullmatch(r"([0-9]{1,4})(?:\.[0-9]{1,4}){0,2}", plain)
    expected = "a driver release such as `550.54.14` or `R550`, or a CUDA version such as `12.4`"
    if numbers is None:
        raise ParseError("driver version", text, 0, len(text), expected)
    first = int(numbers[1])
    if first >= _LEAST_BRANCH:
        return Driver(release=DriverRelease.parse(plain))
    if first < 100 and "." in plain:
        return Driver(cuda=CudaVersion.parse(plain))
    raise ParseError("driver version", text, 0, len(text), expected)
