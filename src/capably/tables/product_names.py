"""Products by the names that people and drivers write."""

from __future__ import annotations

import functools
import re

from capably.errors import UnknownNameError

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.tables.model import Product

__all__ = ["find_products"]

# What drivers and shops add to a name without changing the product: nvidia-smi prints "NVIDIA A100-SXM4-40GB
# MIG 1g.5gb", "Tesla V100-SXM2-32GB", "Orin (nvgpu)", or "GRID T4-16Q" for a virtual GPU.
_NOISE = re.compile(
    r"(?i)\bmig\b.*|\([^()]*\)|(?:-[0-9]+)?-[0-9]+[abcq]\b|\b(?:nvidia|tesla|grid|corporation|gpu|graphics|laptop|notebook|mobile|card|pcie?|sxm[0-9]?|"
    r"nvl|oam|fhhl|dgxs|with|max-?q|design|hbm[0-9]?e?|gddr[0-9]x?|[0-9]+ ?g(?:i?b)?)\b"
)
_PREFIX = re.compile(r"^(?:geforce(?: (?:rtx|gtx|gts|gt))?|quadro(?: rtx)?|nvidia|tesla|jetson(?: agx)?)\b *")
_GENERATION = re.compile(
    r" (?:ada(?: generation)?|generation|blackwell|(?:max-q )?(?:server|workstation) edition|workstation|server|edition)\b"
)


def find_products(products: tuple[Product, ...], name: str) -> tuple[Product, ...]:
    """Those of *products* that *name* may mean, best match first.

    Raises:
        UnknownNameError: No product is called so; with suggestions, never a guess.
    """
    wanted = _compact(name)
    for query in dict.fromkeys((wanted, _compact(_NOISE.sub(" ", f" {name} ")))):
        if not query:
            continue
        for forms in (_full_names, _short_names):
            found = tuple(product for product in products if query in forms(product))
            if found:
                return found
    known: dict[str, str] = {}
    for product in products:
        for form in (*_full_names(product), *_short_names(product)):
            known.setdefault(form, product.name)
    import difflib  # noqa: PLC0415 - only for the error

    close = difflib.get_close_matches(wanted, known, n=6, cutoff=0.6)
    raise UnknownNameError("GPU", name, tuple(dict.fromkeys(known[form] for form in close))[:3])


def _compact(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


@functools.cache
def _full_names(product: Product) -> frozenset[str]:
    """The name and the aliases, with and without the vendor and the first word of the brand."""
    names = [product.name, *product.aliases]
    names += [re.sub(r"^(?:GeForce|Quadro|Tesla) ", "", name) for name in names if not name.startswith("Quadro RTX")]
    return frozenset(_compact(form) for name in names for form in (name, f"NVIDIA {name}", f"Tesla {name}"))


@functools.cache
def _short_names(product: Product) -> frozenset[str]:
    """What people say: `4090`, `RTX 6000`. One such name can mean several products."""
    forms: set[str] = set()
    for name in (product.name, *product.aliases):
        lower = name.lower()
        bare = _GENERATION.sub("", lower)
        forms |= {lower, bare, re.sub(r"^(?:quadro |rtx (?=a[0-9]))", "", bare)}
        forms.add(re.sub(r" (?:blackwell|edition|generation)\b", "", lower))
        short = _PREFIX.sub("", bare)
        # Too little to name a product: a brand without a number ("RTX"), a letter, and the bare series number of
        # a professional card ("6000" has been six of them).
        if len(short) > 1 and not (product.kind == "workstation" and short.isdigit()):
            forms.add(short)
    return frozenset(_compact(form) for form in forms) - {"", "rtx", "gtx", "titan", "quadro", "tesla", "geforce"}
