"""What is asked, read and checked, and what counts beside the GPUs: compilers, lists, packages.

This is loaded while the child process that asks the driver starts, with all that judges.
"""

from __future__ import annotations

import os
import sys
from sys import modules

from capably.arch import ComputeCapability
from capably.codes import Outcome
from capably.errors import ParseError
from capably.gate.policy import LISTS
from capably.requirement import LOADED, Requirement
from capably.wanted import check, read_requirement

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.facts import Toolkit
    from capably.gate.answer import Answer

__all__ = ["compiler_asked", "compiler_given", "left_out", "needed_of", "own_list", "versions_asked"]


def left_out(answer: Answer, feature: str | None) -> str:
    """Which of the GPUs here do not qualify, beside one that does."""
    short = [
        line
        for line, verdict in zip(answer.lines, answer.verdicts, strict=False)
        if verdict.outcome is not Outcome.RUNS
    ]
    whose = f"{feature}: " if feature else ""
    do = "do" if len(short) > 1 else "does"
    return "\n  ".join(
        (f"{whose}{len(short)} of {len(answer.verdicts)} GPUs {do} not meet `{answer.requirement}`", *short)
    )


def own_list(dialect: str | None) -> object:
    """The list of a tool, where it is none of those with which everything that is remembered goes."""
    if dialect is None:
        return None
    from capably.gate.lists import lists_set  # noqa: PLC0415 - rarely needed

    own, _ = lists_set({}, dialect)
    return None if own is None or own in LISTS else os.environ.get(own)


def needed_of(requirement: str | Requirement) -> Requirement:
    """*requirement*, read, and refused where it makes no sense on any machine."""
    if isinstance(requirement, Requirement):
        check(requirement)
        return requirement
    if not isinstance(requirement, str):
        raise TypeError(f"the requirement is {requirement!r}: it takes a text, such as '>=7.5'{_meant(requirement)}")
    return read_requirement(requirement)


def _meant(value: object) -> str:
    """What a number in place of a requirement may mean: frameworks compare it in three ways."""
    if isinstance(value, bytes):
        return f"; did you mean {value.decode(errors='replace')!r}?"
    if isinstance(value, list | set | tuple | frozenset) and all(isinstance(one, str) for one in value) and value:
        return f"; did you mean {' | '.join(sorted(value))!r}?"
    try:
        number = round(value * 10) if isinstance(value, float) else value
        found = ComputeCapability.of(number)  # type: ignore[arg-type]
    except (TypeError, ParseError, ValueError, OverflowError):
        return "; did you mean '>=1.0', which any GPU meets?" if value is None else ""
    return f"; did you mean '>={found}', '{found}' (exactly that) or '{found.major}.x'?"


def compiler_given(toolkit: str | None) -> Toolkit | None:
    """The compiler of CUDA *toolkit*."""
    if toolkit is None:
        return None
    from capably.facts import Toolkit, ToolkitKind  # noqa: PLC0415 - rarely needed
    from capably.version import CudaVersion  # noqa: PLC0415 - rarely needed

    if not isinstance(toolkit, str):
        raise TypeError(f"toolkit is {toolkit!r}: it takes a text; did you mean '{toolkit}'?")
    try:
        return Toolkit(ToolkitKind.NVCC, "", cuda=CudaVersion.parse(toolkit))
    except ParseError as error:
        digits = "".join(character for character in toolkit if character.isdigit())
        meant = f"{digits[:2]}.{digits[2]}" if len(digits) == 3 else "12.8"
        raise ParseError(
            error.what, toolkit, error.start, error.end, f"{error.expected}; did you mean `{meant}`?"
        ) from None


def compiler_asked(needed: Requirement) -> Toolkit | None:
    """The compiler that is used here, where *needed* asks for its version."""
    if not needed.mentions("toolkit"):
        return None
    from capably.gate.compiler import nvcc_here  # noqa: PLC0415 - rarely needed

    return nvcc_here()


def versions_asked(needed: Requirement) -> tuple[tuple[str, str], ...] | None:
    """The versions of distributions and of what is loaded; None where *needed* asks for none."""
    if not needed.mentions("installed", *LOADED):
        return None
    versions: list[tuple[str, str]] = []
    if needed.mentions("installed"):
        from capably.scanner.metadata import installed_versions  # noqa: PLC0415 - rarely needed

        found = installed_versions(needed.distributions, sys.path)
        versions += ((name, version or "(version unknown)") for name, version in found.items())
    if needed.mentions(*LOADED):
        from capably.probe.loaded import loaded_versions  # noqa: PLC0415 - rarely needed

        loaded = loaded_versions()
        if needed.mentions("ptxas") and ("triton" in modules or "torch" in modules):
            from capably.gate.compiler import ptxas_here  # noqa: PLC0415 - rarely needed

            ptxas = ptxas_here()
            loaded |= {"ptxas": str(ptxas.cuda)} if ptxas is not None and ptxas.cuda is not None else {}
        versions += ((f"{name}:", version) for name, version in loaded.items())
    return tuple(sorted(versions))
