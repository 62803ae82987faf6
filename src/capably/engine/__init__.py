"""The one place that decides whether GPU code runs on a device.

Facts and tables come in, verdicts with all their reasons come out. Nothing here looks at a file, a machine
or a clock. The outcome of an image is the worst of its reasons; that of a fatbin is the best of its images;
the coverage of a library follows from the counts of its fatbins.

Each name is loaded when it is first used: a gate is waited for, and asks about requirements only.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.engine.accepting import accepted_targets
    from capably.engine.advice import Advice, advise
    from capably.engine.at_run_time import run_time_package, takes_compiler
    from capably.engine.bundled import choose
    from capably.engine.compilers import emits, emits_own_target, targets_of_compiler
    from capably.engine.condensing import condense
    from capably.engine.headlines import Conclusion, Ground, Headline, conclude, headline
    from capably.engine.hosts import starts
    from capably.engine.image import reaches
    from capably.engine.judging import judge
    from capably.engine.kernels import KernelVerdict, judge_kernels
    from capably.engine.roles import role_of
    from capably.engine.shares import best_share
    from capably.engine.verdict import Compilation, Coverage, Lack, OutcomeCounts, Shares, Verdict, worth

__all__ = [
    "Advice",
    "Compilation",
    "Conclusion",
    "Coverage",
    "Ground",
    "Headline",
    "KernelVerdict",
    "Lack",
    "OutcomeCounts",
    "Shares",
    "Verdict",
    "accepted_targets",
    "advise",
    "best_share",
    "choose",
    "conclude",
    "condense",
    "emits",
    "emits_own_target",
    "headline",
    "judge",
    "judge_kernels",
    "reaches",
    "role_of",
    "run_time_package",
    "starts",
    "takes_compiler",
    "targets_of_compiler",
    "worth",
]

_HOME = {
    "Advice": "advice",
    "Compilation": "verdict",
    "Conclusion": "headlines",
    "Coverage": "verdict",
    "Ground": "headlines",
    "Headline": "headlines",
    "KernelVerdict": "kernels",
    "Lack": "verdict",
    "OutcomeCounts": "verdict",
    "Shares": "verdict",
    "Verdict": "verdict",
    "accepted_targets": "accepting",
    "advise": "advice",
    "best_share": "shares",
    "choose": "bundled",
    "conclude": "headlines",
    "condense": "condensing",
    "emits": "compilers",
    "emits_own_target": "compilers",
    "headline": "headlines",
    "judge": "judging",
    "judge_kernels": "kernels",
    "reaches": "image",
    "role_of": "roles",
    "run_time_package": "at_run_time",
    "starts": "hosts",
    "takes_compiler": "at_run_time",
    "targets_of_compiler": "compilers",
    "worth": "verdict",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only paid for when a name is first used

    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
