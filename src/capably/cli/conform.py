"""``capably conform``: answers recorded cases, one JSON object a line. A plumbing command.

The four kinds of case are told apart by their fields, as ``docs/conformance.md`` describes. What a case
expects is compared with the answer and never read before it.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

import click

from capably.arch import ComputeCapability, Target, TargetKind
from capably.archlist import read
from capably.cli.console import open_stream, print_answer
from capably.codes import Outcome
from capably.engine import judge
from capably.errors import CapablyError, ParseError, RecordError
from capably.escaping import json_text
from capably.facts import (
    Confidence,
    Device,
    Driver,
    DriverState,
    Fatbin,
    FatbinGroup,
    Image,
    ImageKind,
    Library,
    Toolkit,
    ToolkitKind,
    Visibility,
)
from capably.facts.objects import from_text
from capably.gate import Policy, decide
from capably.probe.fleet import Look
from capably.report.machine import reason_object
from capably.requirement import Requirement
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

    def _said(self) -> str:
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


def _answer_list(case: dict[str, Any]) -> dict[str, Any]:
    toolkit = case.get("toolkit")
    text, version = case["input"], case["version"]
    reading = read(
        _parsed(text, str) if text is not None else None,
        _parsed(case["dialect"], str),
        _parsed(version, str) if version is not None else None,
        # A case without devices is about a machine where none is visible.
        devices=[_parsed(device, ComputeCapability.parse) for device in case.get("devices") or ()],
        build_list=case.get("build_list"),
        toolkit=_parsed(toolkit, CudaVersion.parse) if toolkit is not None else None,
    )
    given = ("dialect", "version", "input", "devices", "build_list", "toolkit")
    result = {name: case[name] for name in given if name in case}
    if reading.error is not None:
        span = [reading.error.start, reading.error.end]
        return {**result, "error": reading.error.code, "message": reading.error.message, "span": span}
    return {**result, "targets": [str(target) for target in reading.targets or ()]}


_OF_OUTCOMES = {Outcome.RUNS: "ok", Outcome.FAILS: "refused", Outcome.UNKNOWN: "unknown"}


def _answer_gate(case: dict[str, Any]) -> dict[str, Any]:
    """The device decides; on a machine without one, the list of what is to be built."""
    devices = tuple(
        Device(_parsed(text, ComputeCapability.parse), ordinal=number) for number, text in enumerate(case["devices"])
    )
    environ = {name: _parsed(text, str) for name, text in (case.get("env") or {}).items()}
    if not devices and environ.get("FLASHINFER_CUDA_ARCH_LIST"):
        # The cases are FlashInfer's, and its own list is the one that it builds.
        environ.pop("TORCH_CUDA_ARCH_LIST", None)
    cuda = case.get("toolkit")
    decided = decide(
        _parsed(case["requirement"], Requirement.parse),
        Policy.DEVICE if devices else Policy.BUILD_LIST,
        Look(devices, devices, Visibility(None, None, Confidence.EXACT, "given"), DriverState()),
        environ,
        toolkit=Toolkit(ToolkitKind.NVCC, "", cuda=_parsed(cuda, CudaVersion.parse)) if cuda is not None else None,
    )
    names = decided.entries or tuple(str(verdict.device.capability) for verdict in decided.verdicts)
    answers = {
        name: "toolkit" if blame == "compiler" else _OF_OUTCOMES[verdict.outcome or Outcome.UNKNOWN]
        for name, verdict, blame in zip(names, decided.verdicts, decided.blames, strict=True)
    }
    return {
        "id": case["id"],
        "answers": answers or {"*": "bad-list" if decided.unread else "no-device"},
        "list_error": decided.list_error,
        "reasons": [
            reason_object(reason)
            for reason in dict.fromkeys(reason for verdict in decided.verdicts for reason in verdict.reasons)
        ],
    }


def _same_answers(result: dict[str, Any], case: dict[str, Any], field: str) -> bool:
    """The same answers, and a list that is faulty where the case says so and nowhere else; the words are ours."""
    return bool(result["answers"] == case[field] and bool(result["list_error"]) == bool(case.get("list_error")))


def _same(result: dict[str, Any], case: dict[str, Any], field: str) -> bool:
    return bool(result[field] == case[field])


def _same_list(result: dict[str, Any], case: dict[str, Any], field: str) -> bool:
    """The same error, or the same targets: in order, and as often, only where the case says that this is the tool's."""
    found, expected = result.get(field), case[field]
    if case.get("ordered") is False and found is not None and expected is not None:
        found, expected = set(found), set(expected)
    return bool(found == expected and result.get("error") == case.get("error"))


# Kind of case -> the fields that tell it, its answer, the field that holds what it expects, and how they compare.
_KINDS = (
    (frozenset({"id", "device", "images"}), _answer_verdict, "outcome", _same),
    (frozenset({"id", "devices", "fatbins"}), _answer_multi, "per_device", _same),
    (frozenset({"dialect", "version", "input"}), _answer_list, "targets", _same_list),
    (frozenset({"id", "requirement", "devices"}), _answer_gate, "expect", _same_answers),
)
# What a case expects, and remarks: taken away before it is answered.
_EXPECTED = frozenset(
    {
        "outcome",
        "per_device",
        "why",
        "note",
        "evidence",
        "targets",
        "error",
        "ordered",
        "expect",
        "judged",
        "list_error",
        "naive_flashinfer_025",
        "naive_reason",
        "torch_free",
    }
)


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """The answer to one case, with ``ok`` added where the case says what it expects.

    Raises:
        ValueError: It is of no known kind.
        ParseError: One of its texts is not in its grammar.
        LookupError: A field is missing.
    """
    for fields, respond, compared, same in _KINDS:
        if fields <= case.keys():
            result = respond({name: value for name, value in case.items() if name not in _EXPECTED})
            if case.get(compared) is not None or case.get("error") is not None:
                result["ok"] = same(result, case, compared)
            return result
    raise ValueError("none of the kinds of case that capably answers (verdicts, multi, archlists, gates)")


_LONGEST = 1 << 20
"""Bytes of a line that are read at most: a device that never ends a line is no list of cases."""
_MOST_READ = 1 << 30
"""Bytes of a file or pipe."""


def _cases(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    number = taken = 0
    while line := stream.readline(_LONGEST + 1):
        number += 1
        taken += len(line)
        if len(line) > _LONGEST:
            raise _CaseError(number, f"longer than {_LONGEST >> 20} MiB, so it is no case")
        if taken > _MOST_READ:
            raise _CaseError(number, f"more than {_MOST_READ >> 30} GiB of cases; give them in several files")
        if not line.strip():
            continue
        try:
            case = from_text(line)
        except RecordError as error:
            raise _CaseError(number, error.problem) from error
        if not isinstance(case, dict):
            raise _CaseError(number, "not a JSON object")
        yield number, case


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def conform(files: tuple[str, ...]) -> None:
    """Answer recorded cases (JSON Lines; - reads standard input).

    Prints one JSON object a line, in order. Where a case says what it expects, "ok" is added; the exit code
    is 1 if any is false. A plumbing command for checks and for other implementations.
    """
    wrong = False
    for file in files:
        with open_stream(file) as stream:
            for number, case in _cases(stream):
                try:
                    result = answer(case)
                except (CapablyError, ValueError, LookupError, TypeError, AttributeError) as error:
                    problem = f"`{error.args[0]}` is missing" if type(error) is KeyError else str(error)
                    raise _CaseError(number, problem) from error
                wrong = wrong or result.get("ok") is False
                print_answer(json_text(result) + "\n")
    if wrong:
        sys.exit(1)
