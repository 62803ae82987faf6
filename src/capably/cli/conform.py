"""``capably conform``: answers recorded cases, one JSON object a line. A plumbing command.

The four kinds of case are told apart by their fields, as ``docs/conformance.md`` describes. What a case
expects is compared with the answer and never read before it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from capably.arch import ComputeCapability, Target, TargetKind
from capably.cli.console import print_answer
from capably.engine import judge
from capably.errors import CapablyError, ParseError
from capably.facts import Device, Driver, Fatbin, FatbinGroup, Image, ImageKind, Library
from capably.report.machine import reason_object
from capably.version import CudaVersion, PtxVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

__all__ = ["answer", "conform"]

_T = TypeVar("_T")


class _CaseError(CapablyError):
    """A line that is not a case; holds its number and what is wrong."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(line, problem)
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


def read_image(text: str, toolkit: CudaVersion | None = None) -> Image:
    """One image as cases write it: ``sm_90a``, ``compute_80@8.7``, ``rel:compute_90``.

    Raises:
        ParseError: Not written so.

    >>> read_image("rel:compute_90@8.5").ptx
    PtxVersion(major=8, minor=5)
    """
    relocatable = text.startswith("rel:")
    name, at, version = text.removeprefix("rel:").partition("@")
    target = Target.parse(name)
    if target.kind is TargetKind.LTO:
        raise ParseError("image", text, 0, len(text), "machine code (`sm_90`) or PTX (`compute_90`)")
    virtual = target.kind is TargetKind.VIRTUAL
    if at and not virtual:
        raise ParseError("image", text, text.index("@"), len(text), "no PTX version behind machine code")
    return Image(
        ImageKind.PTX if virtual else ImageKind.SASS,
        target,
        relocatable=relocatable,
        ptx=PtxVersion.parse(version) if at else None,
        toolkit=toolkit,
    )


def _device(fields: dict[str, Any]) -> Device:
    return Device(_parsed(fields["capability"], ComputeCapability.parse), fields.get("name"))


def _parsed(text: object, parse: Callable[[str], _T]) -> _T:
    """Versions are texts: as numbers, 10.0 and 10.10 could not be told apart from 10 and 10.1."""
    if not isinstance(text, str):
        raise TypeError(f"`{text}` is not a text")
    return parse(text)


def _common(case: dict[str, Any]) -> tuple[Driver | None, CudaVersion | None]:
    cuda, built = case.get("driver_cuda"), case.get("built_with")
    driver = Driver(cuda=_parsed(cuda, CudaVersion.parse)) if cuda is not None else None
    return driver, _parsed(built, CudaVersion.parse) if built is not None else None


def _answer_verdict(case: dict[str, Any]) -> dict[str, Any]:
    driver, toolkit = _common(case)
    fatbin = Fatbin(tuple(read_image(text, toolkit) for text in case["images"]))
    verdict = judge(fatbin, _device(case["device"]), driver)
    return {
        "id": case["id"],
        "outcome": verdict.outcome,
        "reasons": [reason_object(reason) for reason in verdict.reasons],
    }


def _answer_multi(case: dict[str, Any]) -> dict[str, Any]:
    driver, toolkit = _common(case)
    fatbins = Counter(Fatbin(tuple(read_image(text, toolkit) for text in images)) for images in case["fatbins"])
    library = Library(case["id"], 0, tuple(FatbinGroup(fatbin, count) for fatbin, count in fatbins.items()))
    verdicts = {fields["capability"]: judge(library, _device(fields), driver) for fields in case["devices"]}
    return {
        "id": case["id"],
        "per_device": {capability: verdict.coverage for capability, verdict in verdicts.items()},
        "reasons": [reason_object(reason) for verdict in verdicts.values() for reason in verdict.reasons],
    }


# Kind of case -> the fields that tell it, its answer, and the field that is compared with what it expects.
_KINDS = (
    (frozenset({"id", "device", "images"}), _answer_verdict, "outcome"),
    (frozenset({"id", "devices", "fatbins"}), _answer_multi, "per_device"),
)


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """The answer to one case, with ``ok`` added where the case says what it expects.

    Raises:
        ValueError: It is of no known kind.
        ParseError: One of its texts is not in its grammar.
        LookupError: A field is missing.
    """
    for fields, respond, compared in _KINDS:
        if fields <= case.keys():
            facts = {
                name: value
                for name, value in case.items()
                if name not in ("outcome", "per_device", "why", "note", "evidence")
            }
            result = respond(facts)
            if case.get(compared) is not None:
                result["ok"] = result[compared] == case[compared]
            return result
    raise ValueError("none of the kinds of case that capably answers (verdicts, multi)")


def _cases(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)  # bytes: JSON is UTF-8, and what is not is no JSON
        except (ValueError, RecursionError) as error:
            raise _CaseError(number, f"not JSON: {error}") from error
        if not isinstance(case, dict):
            raise _CaseError(number, "not a JSON object")
        yield number, case


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.File("rb"), metavar="FILE...")
def conform(files: tuple[BinaryIO, ...]) -> None:
    """Answer recorded cases (JSON Lines; - reads standard input).

    Prints one JSON object a line, in order. Where a case says what it expects, "ok" is added; the exit code
    is 1 if any is false. A plumbing command for checks and for other implementations.
    """
    wrong = False
    for file in files:
        for number, case in _cases(file):
            try:
                result = answer(case)
            except (CapablyError, ValueError, LookupError, TypeError, AttributeError) as error:
                problem = f"`{error.args[0]}` is missing" if type(error) is KeyError else str(error)
                raise _CaseError(number, problem) from error
            wrong = wrong or result.get("ok") is False
            print_answer(json.dumps(result) + "\n")
    if wrong:
        sys.exit(1)
