"""Products by the names that people and drivers write."""

from __future__ import annotations

import functools
import re

from capably.errors import UnknownNameError

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.tables.model import Product

__all__ = ["SLICE", "find_products"]

# What stands around a name: that the GPU is shared, in a label of a device plugin, and remarks.
_AROUND = re.compile(r"[ _-]shared\s*$|\([^()]*\)")
# A slice of a GPU, at the end of what nvidia-smi, device plugins and schedulers write: "A100-SXM4-40GB MIG 1g.5gb",
# "nvidia_h100_80gb_hbm3_3g.40gb".
SLICE = re.compile(r"(?i)(?:[\s_-]*\bmig\b.*|[\s_-]*(?<![a-z0-9])[1-9]c?\.?g\.[0-9]+gb(?:[+.][a-z0-9.]+)*\s*)$")
# The profile of a virtual GPU: "V100D-16C", "A100-4-20C", "A100D-1-10CME".
_PROFILE = re.compile(r"(?i)-(?:[0-9]+-)?[0-9]+(?:[abcq]|c?me)\s*$")
# What drivers, shops, clouds and schedulers add to a name without changing the product: "Tesla V100-SXM2-32GB",
# "Orin (nvgpu)", "A100-PG509-200" (the board), "H100-MEGA" and "nvidia-l4-vws" (Google Cloud), "-SHARED" (Kubernetes).
_NOISE = re.compile(
    r"\b(?:gpu|tensor core|graphics|laptop|notebook|mobile|embedded|card|pcie?|"
    r"sxm ?[0-9]?|nvl|oam|fhhl|dgxs|with|max-?q|design|hbm[0-9]?e?|gddr[0-9]x?|[0-9]+ ?g(?:i?b)?|pg[0-9]{3}-[0-9]{3}|"
    r"founders edition|fe|oem|engineering (?:sample|reference)|refresh|rev\.? ?[a-z0-9]|lite hash rate|lhr|ac|lc|ls|"
    r"converged accelerator|developer kit|dev ?kit|mega(?:gpu)?|vws|ws|dc)\b"
)
_MAKER = re.compile(r"\b(?:nvidia|tesla|grid|corporation)\b")
# The same as noise where a name is written in one: "H200NVL", "RTXPRO6000WS", "a100pcie80gb".
_GLUED = re.compile(r"(?:nvl|pcie|sxm[0-9]?|maxq|ws|fe|(?:16|24|32|40|48|64|80|94|96|120|141|144|180|192|288)gb)$")
# Boards of one GPU have letters in the names of virtual GPUs, and large ones an `L` in some clusters: V100DX, H100XM,
# A100L. NVIDIA AI Enterprise lists them: <https://docs.nvidia.com/ai-enterprise/> ("Peer-to-Peer CUDA Transfer Support").
_BOARD = re.compile(r"([a-z]{1,2}[0-9]{1,3})(?:[dx]?[lmsx]|[abcdp])")
_LONGEST = 256  # characters of what drivers and people write; a longer text is no name but as it stands
_PREFIX = re.compile(r"^(?:geforce(?: (?:rtx|gtx|gts|gt))?|quadro(?: rtx)?|nvidia|tesla|jetson(?: agx)?)\b *")
_GENERATION = re.compile(
    r" (?:ada(?: generation)?|generation|blackwell|(?:max-q )?(?:server|workstation) edition|workstation|server|edition)\b"
)


def find_products(products: tuple[Product, ...], name: str) -> tuple[Product, ...]:
    """Those of *products* that *name* may mean, best match first.

    Raises:
        UnknownNameError: No product is called so; with suggestions, never a guess.
    """
    for query, boards in dict.fromkeys(_readings(name)):
        for forms in (_full_names, _short_names):
            found = tuple(product for product in products if query in forms(product))
            if boards:
                found = tuple(product for product in found if product.kind == "data-center")
            if found:
                return found
    wanted = _compact(name)
    known: dict[str, str] = {}
    for product in products:
        for form in (*_full_names(product), *_short_names(product)):
            known.setdefault(form, product.name)
    import difflib  # noqa: PLC0415 - only for the error

    close = difflib.get_close_matches(wanted, known, n=6, cutoff=0.6)
    raise UnknownNameError("GPU", name, tuple(dict.fromkeys(known[form] for form in close))[:3])


def _readings(name: str) -> Iterator[tuple[str, bool]]:
    """What *name* may be, from as it stands to the bare product; and whether that is read from the name of a board."""
    yield _compact(name), False
    if len(name) > _LONGEST:
        return
    text = SLICE.sub("", _AROUND.sub(" ", name.casefold()).replace("_", " "))
    text, virtual = _PROFILE.subn("", text)
    virtual += "grid" in text
    yield _compact(text), False
    text = _NOISE.sub(" ", f" {text} ")
    bare = _compact(_MAKER.sub(" ", text))
    if bare:
        yield _compact(text), False
        yield bare, False
    while glued := _GLUED.search(bare):
        bare = bare[: glued.start()]
        yield bare, False
    if (board := _BOARD.fullmatch(bare)) and (virtual or bare.endswith(("l", "xm", "xs"))):
        yield board[1], True


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
        if "blackwell" in lower:
            forms.add(lower.replace("rtx pro ", "rtx "))
        short = _PREFIX.sub("", bare)
        # Too little to name a product: a brand without a number ("RTX"), a letter, and the bare series number of
        # a professional card ("6000" has been six of them).
        if len(short) > 1 and not (product.kind == "workstation" and short.isdigit()):
            forms.add(short)
    return frozenset(_compact(form) for form in forms) - {"", "rtx", "gtx", "titan", "quadro", "tesla", "geforce"}
