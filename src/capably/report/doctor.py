"""The answer of ``capably doctor``, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capably.check.grid import Result, fare
from capably.doctor import Severity
from capably.facts import to_object
from capably.gpu_names import full_name
from capably.report.cells import cell_of
from capably.report.layout import Cell, table
from capably.report.machine import driver_object
from capably.report.safe import columns as width_of
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capably.doctor import Diagnosis, Examination, JudgedPackage
    from capably.facts import Device, Driver, System
    from capably.report.layout import Style

__all__ = ["doctor_document", "doctor_text"]

_SCHEMA = 1
_MARKS = {
    Severity.ERROR: ("\N{BALLOT X}", "x", "bad"),
    Severity.WARNING: ("!", "!", "warn"),
    Severity.NOTE: ("\N{BULLET}", "-", "dim"),
}
_FEW = 3
_LEAD = 11


# ---------------------------------------------------------------------------------------------------------
# Text


def doctor_text(
    system: System,
    gpus: Sequence[tuple[Device, Driver]],
    examination: Examination,
    place: str | None,
    style: Style,
    *,
    verbose: bool = False,
) -> str:
    """The machine, the packages by GPU, and the findings, worst first."""
    out = [style.paint("machine", "strong"), *_machine(system, gpus, style)]
    out += [f"  {line}".rstrip() for line in _packages(gpus, examination, place, style)]
    shown = [one for one in examination.diagnoses if verbose or one.severity is not Severity.NOTE]
    notes = [one for one in examination.diagnoses if one.severity is Severity.NOTE and not verbose]
    out += ["", style.paint("findings", "strong")]
    if not shown:
        mark = "+" if style.ascii_only else "\N{CHECK MARK}"
        out += style.wrap("nothing wrong was found", f"  {style.paint(mark, 'good')} ", "    ")
    for one in shown:
        out += _finding(one, gpus, style, verbose=verbose)
    for one in notes:
        mark = _MARKS[one.severity][style.ascii_only]
        out += style.wrap(style.safe(f"{one.message}{_on(one, gpus)} [{one.code}]"), f"  {mark} ", "    ", "dim")
    counts = [
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in Severity
        if (count := sum(one.severity is severity for one in examination.diagnoses))
    ]
    hint = "; -v shows all evidence" if examination.diagnoses and not verbose else ""
    if counts:
        out += ["", *style.wrap(f"{', '.join(counts)}{hint}")]
    return "\n".join(out) + "\n"


def _row(name: str, text: str, style: Style, mark: str = " ", tone: str = "") -> Iterator[str]:
    painted = style.paint(mark, tone) if mark.strip() else mark
    lead = f"  {mark} {name:<{_LEAD}} "
    for index, line in enumerate(style.wrap(style.safe(text), lead, " " * width_of(lead))):
        yield f"  {painted}{line[3:]}" if index == 0 else line


def _cuda_of(system: System, driver: Driver) -> str:
    """The CUDA version of the driver, in words; nothing where the release of one for a Tegra part does not tell it."""
    if driver.cuda is None and system.jetson:
        return ""
    found = {tables().cuda_of_driver(driver, device.capability) for device in system.devices}
    cuda = found.pop() if len(found) == 1 else tables().driver_cuda(driver)
    return f", CUDA {cuda}" if cuda is not None else ""


def _machine(system: System, gpus: Sequence[tuple[Device, Driver]], style: Style) -> Iterator[str]:
    good = ("+" if style.ascii_only else "\N{CHECK MARK}", "good")
    bad = (_MARKS[Severity.ERROR][style.ascii_only], "bad")
    plain = (_MARKS[Severity.NOTE][style.ascii_only], "dim")
    kind = [part for part in (system.os_release or system.os, system.machine, system.libc) if part]
    kind += [f"Python {system.python}"] if system.python else []
    kind += [f"container: {system.container}"] if system.container else []
    kind += [name for name, so in (("WSL", system.wsl), ("Jetson", system.jetson)) if so]
    yield from _row("system", ", ".join(kind), style, *good)
    if system.driver is not None:
        release = system.driver.release or "of unknown release"
        works = not system.driver_state.error or bool(system.devices) or system.absence == "hidden-by-environment"
        if system.absence == "no-nvidia-device":
            yield from _row("driver", f"{release}, without a GPU", style, *plain)
        else:
            text = f"{release}{_cuda_of(system, system.driver)}" if works else f"{release}, which fails"
            yield from _row("driver", text, style, *(good if works else bad))
    else:
        yield from _row("driver", "none", style, *plain)
    for device in system.devices:
        memory = f", {device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else ""
        pci = f", at {device.pci}" if device.pci else ""
        name = f"{device.name} ({device.capability}){memory}{pci}"
        yield from _row(f"GPU {device.ordinal}" if device.ordinal is not None else "GPU", name, style, *good)
    if not system.devices:
        cause = next((one.message for one in system.findings if one.code == system.absence), "none is visible")
        harmless = system.absence in ("no-nvidia-device", "platform-not-probed") or bool(gpus)
        yield from _row("GPU", cause, style, *(plain if harmless else bad))
    if any(device.assumed for device, _ in gpus):
        yield from _row("asked for", ", ".join(full_name(device) for device, _ in gpus), style)
    for toolkit in system.toolkits:
        users = f", used by {' and '.join(toolkit.used_by)}" if toolkit.used_by else ""
        route = f" by {', '.join(toolkit.via)}" if toolkit.via else ""
        text = f"{toolkit.version or toolkit.cuda or 'unknown version'}{route}{users}: {toolkit.path}"
        yield from _row(str(toolkit.kind), text, style, *(good if toolkit.version or toolkit.cuda else plain))


def _word(one: JudgedPackage) -> Cell:
    if one.at_run_time:
        return Cell("at run time", "dim")  # what is prebuilt in it is not what matters
    return cell_of(fare(Result(one.gpu, one.artifact, one.verdict, one.advice)))


def _packages(
    gpus: Sequence[tuple[Device, Driver]], examination: Examination, place: str | None, style: Style
) -> Iterator[str]:
    if place is None:  # a recorded machine, of whose packages there are names at most
        yield from _row("packages", "not looked at: a record holds no files; --python names an environment", style)
        return
    if not examination.judged:
        holding = len(examination.holding)
        some = f"{holding} package{'' if holding == 1 else 's'} with GPU code in {place}"
        if holding and not gpus:
            yield from _row("packages", f"{some}; there is no GPU to judge them on: name one with --gpu", style)
        else:
            yield from _row("packages", f"none with GPU code in {place}", style)
        return
    yield ""
    yield from style.wrap(style.safe(f"packages with GPU code in {place}"))
    rows: dict[tuple[str, str | None], dict[int, Cell]] = {}
    for one in examination.judged:
        rows.setdefault((one.installed.title, one.alternative), {})[one.gpu] = _word(one)
    header = [Cell(""), *(Cell(style.safe(full_name(device)), "strong") for device, _ in gpus)]
    rows_ = [header]
    alike: dict[tuple[str, tuple[Cell, ...]], list[str]] = {}
    for (title, alternative), cells in rows.items():
        line = tuple(cells.get(index, Cell("-", "dim")) for index in range(len(gpus)))
        alike.setdefault((title, line), []).extend([] if alternative is None else [alternative])
    for (title, line), names in alike.items():
        # Builds inside one package that fare alike share a row.
        rows_.append([Cell(style.clip(f"{title} [{' '.join(names)}]" if names else title, 32)), *line])
    yield from table(rows_, type(style)(style.width - 2, style.colour, style.ascii_only))


def _on(one: Diagnosis, gpus: Sequence[tuple[Device, Driver]]) -> str:
    named = [full_name(gpus[index][0]) for index in one.gpus]
    missing = [name for name in named if name.partition(" (")[0] not in one.message]
    return f" (on {', '.join(missing)})" if missing and len(named) < len(gpus) else ""


def _finding(one: Diagnosis, gpus: Sequence[tuple[Device, Driver]], style: Style, *, verbose: bool) -> Iterator[str]:
    mark, plain, tone = _MARKS[one.severity]
    mark = plain if style.ascii_only else mark
    text = style.safe(f"{one.message}{_on(one, gpus)} [{one.code}]")
    for index, line in enumerate(style.wrap(text, f"  {mark} ", "    ")):
        yield f"  {style.paint(mark, tone)}{line[3:]}" if index == 0 else line
    telling = [fact for fact in one.evidence if verbose or fact.fact != one.message]
    evidence = telling if verbose else telling[: _FEW + 1]
    for fact in evidence:
        yield from style.wrap(style.safe(f"{fact.fact} ({fact.via})"), "      saw  ", " " * 11)
    if len(telling) > len(evidence):
        yield from style.wrap(f"{len(telling) - len(evidence)} more", "      saw  ", " " * 11)
    if one.action:
        yield from style.wrap(style.safe(one.action), "      do   ", " " * 11)
    if one.command:
        yield f"      run  {style.safe(one.command)}"  # never broken: it is there to be copied
    for key in one.sources if verbose else ():
        source = tables().sources[key]
        yield from style.wrap(style.safe(source.title), "      from ", " " * 11)
        if source.url:
            yield f"           {style.safe(source.url)}"


# ---------------------------------------------------------------------------------------------------------
# JSON


def doctor_document(
    system: System, gpus: Sequence[tuple[Device, Driver]], examination: Examination, place: str | None
) -> dict[str, Any]:
    """The answer as plain values, in the shape that ``schema.json`` closes."""
    return {
        "schema": _SCHEMA,
        "system": to_object(system),
        "environment": place,
        "gpus": [
            {
                "name": device.name,
                "capability": str(device.capability),
                "assumed": device.assumed,
                "driver": driver_object(driver, device.capability),
            }
            for device, driver in gpus
        ],
        "packages": [
            {
                "name": one.installed.name,
                "version": one.installed.artifact.version,
                "alternative": one.alternative,
                "gpu": one.gpu,
                "coverage": one.verdict.coverage,
                "outcomes": {
                    name: getattr(one.verdict.counts, name) for name in ("runs", "compiles", "fails", "unknown")
                },
            }
            for one in examination.judged
        ],
        "findings": [
            {
                "code": one.code,
                "severity": one.severity,
                "area": one.area,
                "subject": one.subject,
                "message": one.message,
                "evidence": [{"fact": fact.fact, "via": fact.via} for fact in one.evidence],
                "action": one.action,
                "command": one.command,
                "gpus": list(one.gpus),
                "sources": list(one.sources),
            }
            for one in examination.diagnoses
        ],
    }
