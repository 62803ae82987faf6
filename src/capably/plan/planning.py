"""Plans targets for given GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import by_kind
from capably.plan.judging import refused_by, served_by, toolkits_for
from capably.plan.model import Plan, PlanPolicy, entries
from capably.plan.search import PlanSearch, no_forward, why_not_emitted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capably.facts import Device, Driver
    from capably.list_output import Entry
    from capably.requirement import Requirement
    from capably.tables import KnownToolkit

__all__ = ["plan"]


def plan(
    gpus: Sequence[tuple[Device, Driver]],
    toolkit: KnownToolkit,
    *,
    policy: PlanPolicy = PlanPolicy.NATIVE,
    offers: Iterable[Entry] | None = None,
    needs: Requirement | None = None,
) -> Plan:
    """The smallest set of targets that covers *gpus*.

    Args:
        gpus: Devices, each with the driver that loads the code.
        toolkit: The compiler, as `toolkit_named` finds it.
        policy: What to promise each GPU.
        offers: What can be asked for, as `capably.list_output.offers` tells it of a tool; by default every target of the
            toolkit.
        needs: What the code needs. A GPU that does not meet it is not covered, and a target counts for a GPU only if
            code for it can hold what is needed: an H100 that needs ``9.0a`` is served by ``sm_90a`` alone.

    Returns:
        The plan. Of several smallest sets it is the one that has machine code for the most GPUs, then that names
        the most GPUs by their own number, then whose suffixes reach furthest (none, `f`, `a`), then that has the
        highest numbers.

    Raises:
        UnknownNameError: *needs* names a feature that the tables do not know.

    >>> from capably.arch import ComputeCapability
    >>> from capably.facts import Device
    >>> from capably.plan import toolkit_named
    >>> from capably.requirement import Requirement
    >>> from capably.tables import tables
    >>> from capably.version import CudaVersion
    >>> gpus = [(Device(c), tables().newest_driver(c)) for c in map(ComputeCapability.parse, ("8.0", "8.6", "9.0"))]
    >>> built = plan(gpus, toolkit_named(CudaVersion(12, 8)))
    >>> [str(target) for target in built.targets], built.complete
    (['sm_80', 'sm_90'], True)
    >>> [str(target) for target in plan(gpus, toolkit_named(CudaVersion(12, 8)), needs=Requirement.parse("9.0a")).targets]
    ['sm_90a']
    """
    offered = entries(toolkit) if offers is None else tuple(offers)
    chosen = PlanSearch(gpus, toolkit, policy, offered, needs).run()
    targets = tuple(sorted(chosen, key=by_kind))
    served = tuple(
        served_by(gpu, targets, toolkit, policy, needs) or refused_by(gpu, offered, toolkit, policy, needs)
        for gpu in gpus
    )
    return Plan(
        toolkit.cuda,
        policy,
        needs,
        targets,
        served,
        (*no_forward(policy, targets, offered, needs), *why_not_emitted(gpus, toolkit)),
        () if all(one.covered for one in served) else toolkits_for(gpus, policy, needs),
    )
