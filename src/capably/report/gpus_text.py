"""The answer of ``capably gpus`` as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import Target, TargetKind
from capably.codes import Grade, Outcome
from capably.report.layout import HARD_SPACE
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from capably.arch import ComputeCapability
    from capably.catalogue import Catalogue
    from capably.report.layout import Style
    from capably.tables import Instance, Product

__all__ = ["catalogue_text", "gpus_text"]


def gpus_text(
    products: Sequence[Product],
    style: Style,
    *,
    details: bool,
    instance: Instance | None = None,
    targets: Mapping[ComputeCapability, Sequence[tuple[Target, Outcome]]] | None = None,
) -> str:
    """Products: all of them by capability, or the few that a name may mean, in full.

    Args:
        products: What is shown.
        style: How.
        details: The few.
        instance: The cloud instance type that was named, where one was.
        targets: What devices of each capability accept, in order of preference; None where nobody asked.
    """
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
            if targets is not None:
                out += _accepted(targets[capability], style)
        return "\n".join(out) + "\n"
    for product in products:
        out += [*([""] if out else []), *_product(product, style)]
        if instance is not None:
            out += style.wrap(_of_instance(instance, style), "  instance     ", " " * 15, "dim")
        if targets is not None:
            out += _accepted(targets[product.capability], style)
    return "\n".join(out) + "\n"


def _of_instance(instance: Instance, style: Style) -> str:
    """What a cloud instance type has, in words."""
    of = "a share of one" if instance.share else "an unknown number" if instance.count is None else str(instance.count)
    memory = f" with {memory_in_words(instance)}" if instance.memory_bytes else ""
    sure = "" if instance.grade is not Grade.INFERRED else "; not verified"
    return f"{style.safe(instance.title)}: {of}{memory}, {instance.host}{sure}"


def memory_in_words(gpu: Product | Instance) -> str:
    """The memory of one GPU; nothing where it is not known."""
    return "" if gpu.memory_bytes is None else f"{round(gpu.memory_bytes / (1 << 30), 1):g} GiB"


def _accepted(found: Sequence[tuple[Target, Outcome]], style: Style) -> list[str]:
    """What devices accept, machine code and PTX."""
    rows = (
        ("machine code", [str(target) for target, outcome in found if outcome is Outcome.RUNS]),
        ("PTX", [str(target) for target, outcome in found if outcome is not Outcome.RUNS]),
    )
    out: list[str] = []
    for name, names in rows:
        out += style.wrap(", ".join(names) or "not known", f"  {name:<12} ", " " * 15, "dim")
    return out


def catalogue_text(found: Catalogue, style: Style) -> str:
    """What meets a requirement, a product or an instance type a line, and of how many it is not known."""
    products = [(str(one.capability), style.safe(one.name), memory_in_words(one), one.kind) for one in found.products]
    instances = [
        (
            str(one.gpu.capability),
            style.safe(one.title),
            memory_in_words(one),
            ("a share of " if one.share else f"{one.count or '?'} x ")
            + style.safe(one.gpu.name)
            + (", not verified" if one.grade is Grade.INFERRED else ""),
        )
        for one in found.instances
    ]
    out = []
    for title, rows in (("Products", products), ("Cloud instance types", instances)):
        out.append(style.paint(f"{title} that meet {style.safe(str(found.requirement))}: {len(rows)}", "strong"))
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        out += [
            "  " + "  ".join((*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]))
            for row in rows
        ]
        out.append("")
    unknown = (
        f"{len(found.undecided_products)} product{'s' * (len(found.undecided_products) != 1)}",
        f"{len(found.undecided_instances)} instance type{'s' * (len(found.undecided_instances) != 1)}",
    )
    if found.why:
        conditions = ", ".join(f"`{style.safe(condition)}`" for condition in found.why)
        out += style.wrap(f"Not known of {' and '.join(unknown)}: {conditions}. --json names them.", "", "", "dim")
    else:
        out.pop()
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
    if product.memory_bytes:
        rows.append(("memory", memory_in_words(product)))
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
