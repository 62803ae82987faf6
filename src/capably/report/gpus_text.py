"""The answer of ``capably gpus`` as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import Target, TargetKind
from capably.report.layout import HARD_SPACE
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.arch import ComputeCapability
    from capably.report.layout import Style
    from capably.tables import Product

__all__ = ["gpus_text"]


def gpus_text(products: Sequence[Product], style: Style, *, details: bool) -> str:
    """Products: all of them by capability, or the few that a name may mean, in full."""
    out: list[str] = []
    if not details:
        groups: dict[ComputeCapability, list[Product]] = {}
        for product in products:
            groups.setdefault(product.capability, []).append(product)
        for capability in sorted(groups, reverse=True):
            architecture = tables().architectures.get(capability)
            out += [
                *([""] if out else []),
                style.paint(f"{capability}  {architecture.name if architecture else ''}".rstrip(), "strong"),
            ]
            kinds: dict[str, list[str]] = {}
            for product in groups[capability]:
                kinds.setdefault(product.kind, []).append(style.safe(product.name).replace(" ", HARD_SPACE))
            for kind, names in kinds.items():
                out += style.wrap(", ".join(names), f"  {kind:<12} ", " " * 15, "dim")
        return "\n".join(out) + "\n"
    for product in products:
        out += [*([""] if out else []), *_product(product, style)]
    return "\n".join(out) + "\n"


def _product(product: Product, style: Style) -> Iterator[str]:
    known = tables()
    architecture = known.architectures.get(product.capability)
    served = known.driver_ranges.get(product.capability)
    target = Target(product.capability)
    span = known.emitting_toolkits(target)
    yield style.paint(style.safe(product.name), "strong")
    rows = [("capability", f"{product.capability}{f' ({architecture.name})' if architecture else ''}")]
    rows.append(("class", product.kind))
    if product.aliases:
        rows.append(("also called", style.safe(", ".join(product.aliases))))
    if product.hosts:
        rows.append(("hosts", f"{' or '.join(product.hosts)} only"))
    if span is not None:
        text = f"CUDA {span[0]}" if span[0] == span[1] else f"CUDA {span[0]} to {span[1]}"
        newest = " (the newest known)" if span[1] == known.toolkits[-1].cuda else ""
        rows.append(
            (
                "compile for",
                f"{target}, with {text}{newest}; or PTX of {Target(product.capability, kind=TargetKind.VIRTUAL)} or lower",
            )
        )
    if served is not None and served.first is not None:
        last = f" to R{served.last}" if served.last is not None else " or newer"
        rows.append(("drivers", f"R{served.first}{last}"))
    for name, text in rows:
        yield from style.wrap(text, f"  {name:<12} ", " " * 15, "dim")
