"""What the engine says of installed GPU code."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from capably.codes import Outcome
from capably.doctor.diagnosis import (
    Area,
    Diagnosis,
    Evidence,
    Installed,
    JudgedPackage,
    Severity,
    device_name,
    device_origin,
    diagnosis_of,
)
from capably.doctor.installation import torch_cuda
from capably.engine import Coverage, advise, choose, judge, worth
from capably.facts import Artifact, Device, ImageKind, Role
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.arch import Target
    from capably.facts import Driver, Library, System

__all__ = ["about_code", "judge_all"]


def judge_all(
    system: System, known: dict[str, Installed], gpus: Sequence[tuple[Device, Driver | None]]
) -> Iterator[JudgedPackage]:
    """Every distribution with GPU code on every GPU, by each bundled build that may be loaded there."""
    for one in known.values():
        if not one.artifact.libraries and not one.artifact.compilers:
            continue
        for index, (device, driver) in enumerate(gpus):
            options = choose(one.artifact, device)
            for alternative, artifact in _loaded(system, known, one, options):
                verdict = judge(artifact, device, driver, toolkits=system.toolkits)
                yield JudgedPackage(one, alternative, artifact, index, verdict, advise(artifact, verdict))


def _loaded(
    system: System,
    known: dict[str, Installed],
    one: Installed,
    options: tuple[tuple[str | None, Artifact], ...],
) -> tuple[tuple[str | None, Artifact], ...]:
    """The alternative for the CUDA version of torch, where both are known: exact, else lower, else higher."""
    row = next((row for row in tables().alternatives if row.distribution == one.name), None)
    if row is None or row.chosen_by != "cuda-version" or len(options) < 2:
        return options
    asked = dict(system.environment).get("BNB_CUDA_VERSION", "")
    torch = known.get("torch")
    cuda = torch_cuda(torch)[0] if torch is not None else None
    wanted = (
        int(asked) if re.fullmatch("[0-9]{2,4}", asked) else cuda.major * 10 + cuda.minor if cuda is not None else None
    )
    if wanted is None:
        return options
    there = sorted(int(name) for name, _ in options if name is not None and int(name) // 10 == wanted // 10)
    lower = [number for number in there if number <= wanted]
    taken = lower[-1] if lower else there[0] if there else None
    return tuple(option for option in options if option[0] == str(taken)) or options


_LEVELS = {
    Coverage.NONE: ("package-without-code", Severity.ERROR),
    Coverage.PARTIAL: ("package-partly-covered", Severity.WARNING),
    Coverage.UNKNOWN: ("package-undecided", Severity.NOTE),
}


def about_code(
    judged: Sequence[JudgedPackage], gpus: Sequence[tuple[Device, Driver | None]], stopped: dict[str, str]
) -> Iterator[Diagnosis]:
    """What does not load where; of a package that something else stops, as a note."""
    groups: dict[tuple[str, int], list[JudgedPackage]] = {}
    for one in judged:
        groups.setdefault((one.installed.name, one.gpu), []).append(one)
    at_run_time: dict[str, list[int]] = {}
    for (name, gpu), cells in groups.items():
        row = tables().package(name)
        if cells[0].at_run_time:
            at_run_time.setdefault(name, []).append(gpu)
            continue
        # Of alternatives whose choice is not known, the best tells what the package can do there.
        best = max(cells, key=lambda one: worth(one.verdict.coverage))
        diagnosis = _about_cell(best, gpus[gpu][0])
        if diagnosis is None:
            continue
        if name in stopped:
            besides = Evidence("something else stops it first, on every GPU", stopped[name])
            diagnosis = replace(diagnosis, severity=Severity.NOTE, evidence=(besides, *diagnosis.evidence))
        elif row is not None and (
            (row.kernels == "run-time") or (row.dispatches and diagnosis.code == "package-partly-covered")
        ):
            diagnosis = replace(
                diagnosis,
                severity=Severity.NOTE,
                evidence=(*diagnosis.evidence, Evidence(row.particular, row.title)),
            )
        yield diagnosis

    for name, indexes in at_run_time.items():
        row = tables().package(name)
        title = next(one.installed.title for one in judged if one.installed.name == name)
        yield diagnosis_of(
            "package-compiled-at-run-time",
            Severity.NOTE,
            Area.ARCHITECTURE,
            name,
            [Evidence(row.particular, row.title)] if row else (),
            command=row.check if row else None,
            gpus=tuple(indexes),
            title=title,
        )


def _about_cell(one: JudgedPackage, device: Device) -> Diagnosis | None:
    verdict = one.verdict
    name = one.installed.title if one.alternative is None else f"{one.installed.title} ({one.alternative})"
    if verdict.coverage is None or verdict.coverage is Coverage.FULL:
        if not verdict.counts.compiles:
            return None
        return diagnosis_of(
            "package-compiled-by-driver",
            Severity.NOTE,
            Area.ARCHITECTURE,
            one.installed.name,
            gpus=(one.gpu,),
            count=verdict.counts.compiles,
            title=name,
            device=device_name(device),
        )
    code, severity = _LEVELS[verdict.coverage]
    outcome = Outcome.UNKNOWN if verdict.coverage is Coverage.UNKNOWN else Outcome.FAILS
    concerned = [
        (library, part)
        for library, part in zip(one.artifact.libraries, verdict.parts, strict=True)
        if part.role is Role.PRODUCT and any(reason.outcome is outcome for reason in part.reasons)
    ]
    evidence = [Evidence(device_name(device), device_origin(device))]
    if verdict.compiler is not None:
        evidence.append(Evidence(verdict.compiler.finding.message, f"rule {verdict.compiler.finding.code}"))
    evidence += [Evidence(f"{library.path} holds {_holds(library)}", "scan") for library, _ in concerned[:3]]
    messages: dict[str, tuple[str, str]] = {}
    for _, part in concerned:
        for reason in part.reasons:
            if reason.outcome is outcome:
                source = reason.sources[0] if reason.sources else reason.code
                messages.setdefault(reason.code, (reason.message, source))
    evidence += [
        Evidence(message, f"rule {code_}, {source}") for code_, (message, source) in list(messages.items())[:3]
    ]
    asked = device.name.removeprefix("NVIDIA ") if device.name else str(device.capability)
    return diagnosis_of(
        code,
        severity,
        Area.ARCHITECTURE,
        one.installed.name,
        evidence,
        # The option is one of the other command.
        action=" ".join(one.advice.sentences).replace(
            "--kernels lists them", f"`capably check {one.installed.name} --kernels` lists them"
        )
        or None,
        command=f'capably check {one.installed.name} --gpu "{asked}" -v',  # with a version it would be fetched
        gpus=(one.gpu,),
        title=name,
        device=device_name(device),
        usable=verdict.counts.usable,
        total=verdict.counts.total,
    )


def _holds(library: Library) -> str:
    """The targets of a library, in a few words."""
    found: dict[ImageKind, set[Target]] = {}
    for group in library.fatbins:
        for image in group.fatbin.images:
            if image.target is not None and image.stub is not True:
                found.setdefault(image.kind, set()).add(image.target)
    texts = [
        f"{'PTX for ' if kind is ImageKind.PTX else ''}{', '.join(map(str, sorted(targets)))}"
        for kind, targets in found.items()
    ]
    return "; ".join(texts) + ("" if ImageKind.PTX in found else ", and no PTX") if texts else "no kernels"
