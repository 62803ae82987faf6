"""Products and cloud instance types that meet a requirement. Pure: the engine judges each, the tables say what there is."""

from __future__ import annotations

from dataclasses import dataclass

from capably.codes import Outcome
from capably.engine import judge
from capably.facts import Device
from capably.requirement import Requirement
from capably.tables import Instance, Product, tables

__all__ = ["Catalogue", "meeting"]

# The memory that CUDA finds, beside the memory as it is sold or stated: correcting errors takes a sixteenth of some, the
# driver a little of all, and who states it counts by thousands or by 1024.
_LEAST, _MOST = (9, 10), (21, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What meets a requirement, the newest first, of those the one with the least memory; unknown memory comes last.

    Attributes:
        requirement: What was asked.
        products: Those that meet it.
        instances: Those that meet it, too.
        undecided_products: Those of which it is not known.
        undecided_instances: As well.
        why: The conditions of which it is not known whether they hold, that of the most first.
    """

    requirement: Requirement
    products: tuple[Product, ...]
    instances: tuple[Instance, ...]
    undecided_products: tuple[Product, ...]
    undecided_instances: tuple[Instance, ...]
    why: tuple[str, ...]


def meeting(requirement: Requirement) -> Catalogue:
    """The products and instance types that meet *requirement* with the newest driver that serves them.

    Raises:
        UnknownNameError: It names a feature that is not known.
        ParseError: It names a target that there is not.

    >>> from capably.requirement import Requirement
    >>> [product.name for product in meeting(Requirement.parse("12.1")).products]
    ['GB10', 'RTX Spark N1X']
    """
    products: dict[Outcome, list[Product]] = {outcome: [] for outcome in Outcome}
    instances: dict[Outcome, list[Instance]] = {outcome: [] for outcome in Outcome}
    why: dict[str, int] = {}
    for product in tables().products:
        device = Device(product.capability, product.name, product.hosts, assumed=True)
        products[_outcome(requirement, device, product.memory_bytes, why)].append(product)
    for instance in tables().instances:
        device = Device(instance.gpu.capability, instance.gpu.name, (instance.host,), assumed=True)
        instances[_outcome(requirement, device, instance.memory_bytes, why)].append(instance)
    return Catalogue(
        requirement=requirement,
        products=tuple(sorted(products[Outcome.RUNS], key=_of_product)),
        instances=tuple(sorted(instances[Outcome.RUNS], key=_of_instance)),
        undecided_products=tuple(sorted(products[Outcome.UNKNOWN], key=_of_product)),
        undecided_instances=tuple(sorted(instances[Outcome.UNKNOWN], key=_of_instance)),
        why=tuple(sorted(why, key=lambda text: (-why[text], text))),
    )


def _outcome(requirement: Requirement, device: Device, memory: int | None, why: dict[str, int]) -> Outcome:
    """Of a device with about *memory* bytes: decided where the least and the most that it may have are decided alike."""
    driver = tables().newest_driver(device.capability)
    amounts = [None] if memory is None else [memory * part // whole for part, whole in (_LEAST, _MOST)]
    verdicts = [
        judge(
            requirement,
            Device(device.capability, device.name, device.hosts, assumed=True, memory_bytes=amount),
            driver,
        )
        for amount in amounts
    ]
    outcomes = {verdict.outcome for verdict in verdicts}
    for decided in (Outcome.RUNS, Outcome.FAILS):
        if outcomes == {decided}:
            return decided
    told = [{(reason.subject, reason.outcome) for reason in verdict.reasons} for verdict in verdicts]
    close = {subject for subject, _ in told[0] ^ told[-1]}
    unknown = {subject for one in told for subject, outcome in one if outcome is Outcome.UNKNOWN}
    for subject in close | unknown:
        why[subject] = why.get(subject, 0) + 1
    return Outcome.UNKNOWN


def _of_product(product: Product) -> tuple[int, float]:
    return -product.capability.number, product.memory_bytes or float("inf")


def _of_instance(instance: Instance) -> tuple[int, float, float]:
    each = instance.memory_bytes or float("inf")
    return -instance.gpu.capability.number, each * (instance.count or 1), instance.count or float("inf")
