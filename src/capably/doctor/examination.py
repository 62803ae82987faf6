"""Joins all diagnoses of a machine, worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.doctor.code import about_code, judge_all
from capably.doctor.compilers import about_compilers
from capably.doctor.devices import about_devices
from capably.doctor.diagnosis import Area, Examination, Installed, Severity
from capably.doctor.driver import about_driver
from capably.doctor.installation import about_installation
from capably.doctor.lists import about_lists, about_refusals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capably.facts import Device, Driver, System

__all__ = ["diagnose"]


def diagnose(
    system: System,
    installed: Sequence[Installed] = (),
    gpus: Sequence[tuple[Device, Driver | None]] = (),
    *,
    present: frozenset[str] | None = None,
) -> Examination:
    """What is wrong, worst first.

    Args:
        system: The machine.
        installed: Its distributions, as far as they were looked at.
        gpus: The devices that are meant, each with the driver that is taken to serve it.
        present: Names of the shared libraries that the system has; None where nobody looked.

    Returns:
        The diagnoses, and the verdicts that they rest on.
    """
    known = {one.name: one for one in installed}
    judged = tuple(judge_all(system, known, gpus))
    stopped: dict[str, str] = {}
    found = [
        *about_driver(system, gpus),
        *about_installation(system, known, gpus, judged, present, stopped),
        *about_compilers(system, known, gpus),
        *about_refusals(system, known, gpus),
        *about_lists(system, known, gpus),
        *about_devices(system, gpus),
        *about_code(judged, gpus, stopped),
    ]
    order = list(Severity)
    areas = list(Area)
    # Sorted stably: causes of one kind stay in the order in which they were found.
    found.sort(key=lambda one: (order.index(one.severity), areas.index(one.area)))
    holding = tuple(one for one in known.values() if one.artifact.libraries)
    return Examination(tuple(dict.fromkeys(found)), judged, holding)
