"""What lists of architectures in the environment do."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from capably.arch import TargetKind
from capably.archlist import VARIABLES, ListError, NoteKind, read, refusal
from capably.codes import Outcome
from capably.doctor.diagnosis import Area, Diagnosis, Evidence, Installed, Severity, device_name, diagnosis_of
from capably.engine import judge
from capably.errors import ParseError
from capably.facts import Device, Fatbin, Image, ImageKind
from capably.list_output import deciding
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.arch import ComputeCapability
    from capably.facts import Driver, System

__all__ = ["about_lists", "about_refusals"]

# Distribution -> whose words it reads when it compiles at run time, and the name `capably plan --for` takes.
_READERS = {"torch": ("torch-python", "torch"), "flashinfer-python": ("flashinfer", "flashinfer")}
# Not the fault of the text: the tool was to look for GPUs.
_OF_DETECTION = frozenset({ListError.NO_DEVICE, ListError.NO_USABLE_BUILD_LIST})
_ODD = frozenset({NoteKind.DROPPED, NoteKind.SURPRISE, NoteKind.LATER, NoteKind.REFUSED})


def about_refusals(
    system: System, known: dict[str, Installed], gpus: Sequence[tuple[Device, Driver | None]]
) -> Iterator[Diagnosis]:
    """Installed tools whose own condition refuses the list that is set, or the GPUs: before they are run."""
    cuda = next((one.cuda for one in system.toolkits or () if "torch" in one.used_by and one.cuda), None)
    for name, (dialect, tool) in _READERS.items():
        if name not in known:
            continue
        title = known[name].title
        version = (known[name].artifact.version or "").partition("+")[0] or None
        try:
            decides = deciding(dialect, version)
            variable = VARIABLES[decides]
            text = dict(system.environment).get(variable)
            capabilities = [device.capability for device, _ in gpus]
            why, way_out = refusal(dialect, version, text or None, capabilities), ""
            if not why and text is None and capabilities:
                problem = read(None, decides, version, devices=capabilities, toolkit=cuda).error
                if problem is not None and problem.code is ListError.COMPILER_REJECTS:
                    why, way_out = problem.message, problem.way_out
        except ParseError:
            continue  # a version that is none
        if not why:
            continue
        asked, row = f"{tool}=={version}" if version else tool, tables().package(name)
        yield diagnosis_of(
            "tool-refuses",
            Severity.ERROR,
            Area.COMPILER,
            name,
            [Evidence(title, "metadata"), *([Evidence(f"{variable}={text}", "environment")] if text else ())],
            command=f"capably plan --read {shlex.quote(text)} --for {asked}" if text else row.check if row else None,
            action=_instead_of(variable, capabilities, name, version) if text else _sentence(way_out) or None,
            gpus=() if text else tuple(range(len(gpus))),
            title=title,
            problem=why,
        )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def _instead_of(variable: str, capabilities: Sequence[ComputeCapability], name: str, version: str | None) -> str:
    """What to do about a list: unset it, unless the GPUs would be refused too."""
    if refusal(_READERS[name][0], version, None, capabilities):
        return "No list helps: the GPUs are below what it accepts. Use another backend."
    return f"Unset {variable}, or name only the GPUs that are there in it."


def about_lists(
    system: System, known: dict[str, Installed], gpus: Sequence[tuple[Device, Driver | None]]
) -> Iterator[Diagnosis]:
    """What the installed tools make of the lists that are set: they go before the GPUs that are there."""
    cuda = next((one.cuda for one in system.toolkits or () if "torch" in one.used_by and one.cuda), None)
    for name, (dialect, tool) in _READERS.items():
        variable = VARIABLES[dialect]
        text = dict(system.environment).get(variable)
        if name not in known or text is None:
            continue
        title = known[name].title
        version = (known[name].artifact.version or "").partition("+")[0] or None
        capabilities = [device.capability for device, _ in gpus]
        try:
            reading = read(text, dialect, version, devices=capabilities, toolkit=cuda)
        except ParseError:
            continue  # a version that is none: how it reads lists is not known
        evidence = [Evidence(f"{variable}={text}", "environment"), Evidence(title, "metadata")]
        asked = f"{tool}=={version}" if version else tool
        command = f"capably plan --read {shlex.quote(text)} --for {asked}"
        problem, odd = reading.error, [note for note in reading.notes if note.kind in _ODD]
        if problem is not None and problem.code not in _OF_DETECTION:
            place = f" (`{text[problem.start : problem.end]}`, character {problem.start + 1} of {len(text)})"
            yield diagnosis_of(
                "arch-list-refused",
                Severity.WARNING,
                Area.COMPILER,
                variable,
                evidence,
                command=command,
                action=_sentence(problem.way_out) or None,
                tool=title,
                variable=variable,
                problem=problem.message + (place if problem.end else ""),
            )
        elif odd:
            yield diagnosis_of(
                "arch-list-surprising",
                Severity.WARNING,
                Area.COMPILER,
                variable,
                [*evidence, *(Evidence(note.message, f"how {title} reads it") for note in odd[1:])],
                command=command,
                tool=title,
                variable=variable,
                problem=odd[0].message,
            )
        targets = reading.targets or ()
        # By the targets alone: what the driver does not serve is no omission.
        images = Fatbin(
            tuple(
                Image(ImageKind.SASS if target.kind is TargetKind.REAL else ImageKind.PTX, target) for target in targets
            )
        )
        omitted = [
            (index, device)
            for index, (device, _) in enumerate(gpus)
            if targets and judge(images, device).outcome is Outcome.FAILS
        ]
        if omitted:
            wanted = "".join(f" --gpu {device.capability}" for device, _ in gpus)
            yield diagnosis_of(
                "arch-list-omits-gpu",
                Severity.WARNING,
                Area.COMPILER,
                variable,
                evidence,
                command=f"capably plan{wanted} --for {asked}",
                gpus=tuple(index for index, _ in omitted),
                tool=title,
                variable=variable,
                targets=" and ".join(map(str, targets)),
                devices=" and ".join(dict.fromkeys(device_name(device) for _, device in omitted)),
            )
