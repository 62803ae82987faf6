"""Which targets to build for given GPUs: the smallest set that covers them, and the proof.

A toolkit emits some targets, a list in some dialect can say some of them, and the engine says what each does
on each device. From these answers alone the smallest set is searched, exhaustively: there is no rule about
architectures here. What was chosen is judged once more as one fatbin, and that verdict is the proof.
"""

from __future__ import annotations

from capably.plan.model import Plan, PlanPolicy, Served, compiled, entries
from capably.plan.planning import plan
from capably.plan.search import toolkit_named, undecided

__all__ = ["Plan", "PlanPolicy", "Served", "compiled", "entries", "plan", "toolkit_named", "undecided"]
