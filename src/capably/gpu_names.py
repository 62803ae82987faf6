"""GPUs by the names that people and drivers give them, as devices. Pure: names in, devices out."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from capably.arch import ComputeCapability
from capably.errors import AmbiguousNameError, CapablyError, ParseError, UnknownNameError
from capably.facts import Device
from capably.tables import tables, vocabulary
from capably.tables.product_names import SLICE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.tables import Instance, Product

__all__ = ["find_gpus", "find_instance", "full_name", "hosts_of", "named_devices", "short_name"]

_OLDEST_OF_ALL = ComputeCapability(7, 0)
_EXPLICIT = re.compile(r"(?i)(?:sm_?|compute_?|cc ?)[0-9]{2,3}[a-z]?|[0-9]{1,2}\.[0-9][a-z]?")
# An end of a line may follow a comma, and a comma may end the list.
_LOST = re.compile(r"[^\s,;]\s*[,;][ \t]*[,;](?=\s*[^\s,;])")


def named_devices(values: Iterable[str]) -> tuple[Device, ...]:
    """The devices that *values* name; each may hold several, with commas between them.

    What is raised is about the first that is wrong, with a note for each of a few more.

    Raises:
        UnknownNameError: No GPU is called so.
        AmbiguousNameError: GPUs of several capabilities are.
        ParseError: A capability is ill-formed, or nothing is between two commas, where a name was perhaps lost.
    """
    values = tuple(values)
    for value in values:
        if lost := _LOST.search(value):
            raise ParseError("list of GPUs", value, lost.end() - 1, lost.end(), "a name between two commas")
    devices: dict[Device, None] = {}
    wrong: list[CapablyError] = []
    names = (part.strip() for value in values for part in re.split(r"[,;\n]", value))
    for name in filter(None, names):
        try:
            devices.update(dict.fromkeys(_all() if name.lower() == "all" else (_device(name),)))
        except (UnknownNameError, AmbiguousNameError, ParseError) as error:
            wrong.append(error)
            if len(wrong) > _FEW:  # each looks for names that are close
                break
    if wrong:
        for other in wrong[1:]:
            wrong[0].add_note(f"also {str(other).splitlines()[0]}")
        raise wrong[0]
    return tuple(devices)


def short_name(device: Device) -> str:
    """What people call it, without its maker and series; empty where it has no name."""
    return (device.name or "").removeprefix("NVIDIA ").removeprefix("GeForce ")


def full_name(device: Device) -> str:
    """What people call it, with its capability.

    >>> [full_name(device) for device in named_devices(["RTX 5090", "9.0"])]
    ['RTX 5090 (12.0)', '9.0']
    """
    name = short_name(device)
    return f"{name} ({device.capability})" if name else str(device.capability)


def find_gpus(name: str) -> tuple[tuple[Product, ...], bool]:
    """The products that *name* may mean, all of them without a name, and whether it is the name of a product.

    Raises:
        UnknownNameError: No GPU is called so, or none is known with that capability.
        AmbiguousNameError: GPUs of several capabilities are.
        ParseError: A capability is ill-formed.
    """
    name = name.strip()
    if not name or name.lower() == "all":
        return tables().products, False
    if instance := find_instance(name):
        return (instance.gpu,), True
    if several := _several(name):
        return several, False
    if not _EXPLICIT.fullmatch(name):
        try:
            return _one_capability(name, _find(name)), True
        except UnknownNameError:
            if not _is_capability(name):
                raise
    products = tuple(_with(_capability(name)))
    if not products:
        error = UnknownNameError("GPU", name)
        error.add_note("no product with that compute capability is known")
        raise error
    return products, False


def find_instance(name: str) -> Instance | None:
    """The cloud instance type that *name* is, with its cloud: ``aws:g5.xlarge``; None where it names no cloud.

    Raises:
        UnknownNameError: It names a cloud, and no type that is known with an NVIDIA GPU.

    >>> find_instance("aws:g5.xlarge").gpu.name
    'A10G'
    """
    cloud, colon, kind = name.strip().casefold().partition(":")
    if not colon or cloud not in vocabulary.CLOUDS:
        return None
    known = {instance.name.casefold(): instance for instance in tables().instances if instance.cloud == cloud}
    if kind.strip() in known:
        return known[kind.strip()]
    close = difflib.get_close_matches(kind.strip(), known, n=3, cutoff=_CLOSE)
    error = UnknownNameError("instance type", name, tuple(known[one].title for one in close))
    error.add_note(f"{len(known)} types of {vocabulary.CLOUDS[cloud]} are known; the name of its GPU is taken too")
    raise error


def _several(name: str) -> tuple[Product, ...]:
    """The products of a generation (``Blackwell``, ``Ada``) or of a series (``Jetson``, ``GeForce``); else none."""
    if len(name) > _LONGEST_WORD:
        return ()
    word = re.sub(r"(?i)^nvidia\s+|\s+(?:generation|gpus?|series)$", "", name).casefold()
    capabilities = {
        capability
        for capability, architecture in tables().architectures.items()
        if word in (architecture.name.casefold(), architecture.name.casefold().split()[0])
    }
    return tuple(
        product
        for product in tables().products
        if product.capability in capabilities or (word in _SERIES and _SERIES[word] == product.kind)
    )


def _one_capability(name: str, products: tuple[Product, ...]) -> tuple[Product, ...]:
    """*products*, which are what *name* may mean.

    Raises:
        AmbiguousNameError: They are of several capabilities.
    """
    if len({product.capability for product in products}) > 1:
        error = AmbiguousNameError(name, tuple((p.name, str(p.capability)) for p in products))
        error.add_note("name the one you mean in full, or its compute capability")
        raise error
    return products


def _is_capability(name: str) -> bool:
    """Whether *name* is a capability without its dot: `90` is one, `980`, which would be one by its shape, is a card."""
    try:
        return ComputeCapability.parse(name) in tables().architectures
    except ParseError:
        return False


# Names that are close to some of NVIDIA's by their letters only.
_FOREIGN = re.compile(
    r"(?i).*\b(?:amd|ati|radeon|instinct|rx ?[0-9]{3,4}\w*|mi[0-9]{2,3}[a-z]?|gfx[0-9a-f]+|intel|arc|gaudi ?[0-9]?|apple|"
    r"m[1-9](?: (?:pro|max|ultra))?|tpu|adreno|mali)\b.*"
)
_CLOSE = 0.72
_LONGEST_WORD = 64  # characters of a generation, a series or a slice
_SERIES = {"geforce": "geforce", "jetson": "jetson", "tegra": "jetson"}
# Names in one that are each looked up, and names that are told to be wrong.
_FEW = 8


def _find(name: str) -> tuple[Product, ...]:
    try:
        return tables().find_products(name)
    except UnknownNameError as error:
        if len(name) <= _LONGEST_WORD and not SLICE.sub("", name).strip():
            part = UnknownNameError("GPU", name)
            part.add_note("this is a MIG slice, a part of a GPU: name the GPU")
            raise part from None
        if re.fullmatch("1[0-9]", name):
            raise UnknownNameError("GPU", name, (f"{name}.0",)) from None
        types = tuple(one.title for one in tables().instances if one.name.casefold() == name.casefold())
        if types:
            raise UnknownNameError("GPU", name, types) from None
        close = () if _FOREIGN.fullmatch(name) else tuple(s for s in error.suggestions if _likeness(name, s) >= _CLOSE)
        better = UnknownNameError("GPU", name, close)
        words = name.split()
        if not close and 1 < len(words) <= _FEW and all(map(_is_one, words)):
            better.add_note(f"several are written with commas: `{', '.join(words)}`")
        elif not close:
            better.add_note("only NVIDIA GPUs are known here")
        raise better from error


def _is_one(word: str) -> bool:
    try:
        return bool(_EXPLICIT.fullmatch(word) or tables().find_products(word))
    except UnknownNameError:
        return False


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
    if instance := find_instance(name):
        return Device(instance.gpu.capability, instance.gpu.name, (instance.host,), assumed=True)
    if _EXPLICIT.fullmatch(name):
        return _by_capability(name)
    if several := _several(name):
        capabilities = sorted({product.capability for product in several})
        if len(capabilities) == 1:
            return _by_capability(str(capabilities[0]))
        typical = [_typical([product for product in several if product.capability == one]) for one in capabilities]
        _one_capability(name, tuple(typical))
    try:
        products = _one_capability(name, _find(name))
    except UnknownNameError:
        if not _is_capability(name):
            raise
        return _by_capability(name)
    return Device(products[0].capability, products[0].name, _hosts(products), assumed=True)


def _capability(name: str) -> ComputeCapability:
    try:
        return ComputeCapability.parse(name)
    except ParseError as error:
        error.add_note("a GPU has no suffix: `9.0`, not `9.0a`, which is what code is compiled for")
        raise


def _by_capability(name: str) -> Device:
    capability = _capability(name)
    if capability not in tables().architectures and capability <= tables().horizon:
        error = UnknownNameError("GPU", name)
        error.add_note("no GPU has that compute capability")
        raise error
    return Device(capability, None, _hosts(_with(capability)), assumed=True)


def hosts_of(capability: ComputeCapability, products: Iterable[Product] = ()) -> tuple[str, ...]:
    """The host processors that *products*, or all products of that capability, come in, where they share them."""
    return _hosts(tuple(products) or _with(capability))
