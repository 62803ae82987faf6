"""``capably doctor``: this machine from driver to packages, and what is wrong with it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capably.cli.check import GpuType, driver_text
from capably.cli.console import WrongUseError, note, output_options, print_answer, style_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.doctor import Installed
    from capably.facts import Device, Driver, Record, System

__all__ = ["doctor"]


@click.command(context_settings={"auto_envvar_prefix": "CAPABLY_DOCTOR"})
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    type=GpuType(),
    metavar="GPU",
    envvar="CAPABLY_DOCTOR_GPU",
    help="As for check; without it, the GPUs of this machine that are visible.",
)
@click.option(
    "--driver",
    metavar="VERSION",
    envvar=["CAPABLY_DOCTOR_DRIVER", "CAPABLY_DRIVER"],
    help="As for check. Default: this machine's, else the newest known that serves each GPU.",
)
@click.option(
    "--python",
    metavar="PATH",
    help="The interpreter or environment whose distributions are meant. Default: the active one, else capably's own.",
)
@click.option(
    "--save",
    metavar="FILE",
    help="Write a record of the machine and its packages, to be sent and replayed; - is standard output.",
)
@click.option("--with-uuids", is_flag=True, help="Keep the UUIDs of the GPUs in that record.")
@click.option(
    "--system",
    "record",
    metavar="FILE",
    envvar=["CAPABLY_DOCTOR_SYSTEM", "CAPABLY_SYSTEM"],
    help="A recorded machine, instead of this one, with the packages of the record, or those that --python names.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["none", "gap", "partial", "unknown"]),
    help="Exit with 1 where a package's coverage is that bad, as for check.",
)
@click.option(
    "--no-cache",
    is_flag=True,
    envvar=["CAPABLY_DOCTOR_NO_CACHE", "CAPABLY_NO_CACHE"],
    help="Neither use nor keep results of scans.",
)
@click.option("-v", "--verbose", is_flag=True, help="All evidence, with notes and sources.")
@output_options("doctor")
def doctor(  # noqa: PLR0917 - click passes options by name
    gpus: tuple[str, ...],
    driver: str | None,
    python: str | None,
    save: str | None,
    with_uuids: bool,
    record: str | None,
    fail_on: str | None,
    no_cache: bool,
    verbose: bool,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """This machine, from driver to packages, and what is wrong, worst first.

    Each finding has a cause, what shows it, and a command. Nothing is changed and nothing is sent; no package is
    imported. A machine without a GPU is no failure.

    \b
    capably doctor
    capably doctor --gpu "RTX 5090" --python .venv
    capably doctor --save machine.json
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    from capably import probe  # noqa: PLC0415 - see capably.cli.app
    from capably.check.failing import exit_code  # noqa: PLC0415 - as above
    from capably.cli.installed import environment_and_machine, read_installed  # noqa: PLC0415 - as above
    from capably.doctor import diagnose  # noqa: PLC0415 - as above

    installed: list[Installed] = []
    present: frozenset[str] | None = None
    with environment_and_machine(record, python) as (environment, system_to_come):
        if environment is not None:
            installed = read_installed(environment, no_cache=no_cache, quiet=quiet, color=color)
            present = system_libraries() if record is None else None
        recorded = system_to_come.result()
    system = recorded.system
    if environment is None:
        installed = _recorded(recorded)
    elif environment.other is not None:
        note(f"looking at the packages of {environment.place} ({environment.chosen_by})", quiet=quiet)
    if save is not None:
        text = probe.dumps_record(_to_save(recorded, installed, gpus, with_uuids=with_uuids))
        if save == "-":
            print_answer(text)
            return 0
        _write(save, text)
        note(f"the record of the machine is in {save}", quiet=quiet)
    columns = _columns(recorded, gpus, driver, quiet=quiet)
    examination = diagnose(system, installed, columns, present=present)
    place = f"{environment.place} ({environment.chosen_by})" if environment else None
    if as_json or format_ == "json":
        from capably.report.doctor import doctor_document  # noqa: PLC0415 - see capably.cli.app
        from capably.report.machine import dumps  # noqa: PLC0415 - as above

        print_answer(dumps(doctor_document(system, columns, examination, place)) + "\n")
    else:
        from capably.report.doctor import doctor_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(doctor_text(system, columns, examination, place, style_of(color), verbose=verbose))
    if fail_on is None:
        return 0
    return exit_code(fail_on, (((one.installed.name, one.gpu), one.verdict) for one in examination.judged))


def _write(place: str, text: str) -> None:
    try:
        Path(place).write_text(text, encoding="ascii")
    except OSError as error:
        raise WrongUseError(f"cannot write the record: {place}: {error.strerror or type(error).__name__}") from error


def _to_save(record: Record, installed: list[Installed], gpus: tuple[str, ...], *, with_uuids: bool) -> Record:
    """What is written of a machine and its packages: nothing that names a person or a place outside of them."""
    from capably.cli.targets import read_gpus  # noqa: PLC0415 - see capably.cli.app
    from capably.engine import condense  # noqa: PLC0415 - as above
    from capably.facts import RecordedPackage  # noqa: PLC0415 - as above

    def bare(requires: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(re.sub(r"\s*@\s*\S+", "", text) for text in requires)  # an address, or a path of somebody's

    packages = []
    for one in installed:
        artifact = condense(one.artifact)
        artifact = replace(artifact, path=one.name, sha256=None, requires=bare(artifact.requires))
        packages.append(RecordedPackage(artifact, bare(one.requires), tuple(sorted(one.libraries))))
    return replace(
        record,
        system=record.system if with_uuids else without_uuids(record.system),
        packages=tuple(packages),
        gpus=read_gpus(gpus) if gpus else record.gpus,
    )


def _columns(
    record: Record, gpus: tuple[str, ...], driver: str | None, *, quiet: bool
) -> tuple[tuple[Device, Driver], ...]:
    """The devices that are meant, each with its driver: every one that was found, since each can fail alone."""
    from capably.cli.targets import models, read_driver, read_gpus  # noqa: PLC0415 - see capably.cli.app
    from capably.tables import tables  # noqa: PLC0415 - as above

    system = record.system
    taken = read_driver(driver) if driver is not None else system.driver
    if gpus or record.gpus:
        devices = read_gpus(gpus) if gpus else record.gpus
        if driver is None and taken is not None:
            note(f"by the driver of the machine, {driver_text(taken)}; name another with --driver", quiet=quiet)
    else:
        devices = tuple(
            replace(model, name=model.name, via=next(d.via for d in system.devices if d.name == model.name))
            for model, _ in models(system.devices)
        )
    return tuple((device, taken or tables().newest_driver(device.capability)) for device in devices)


def system_libraries() -> frozenset[str] | None:
    """Names of the shared libraries that the dynamic linker finds; None where that is not known."""
    try:
        cache = Path("/etc/ld.so.cache").read_bytes()
    except OSError:
        return None
    names = {name.decode("ascii", "replace") for name in re.findall(rb"lib[\w.+-]+\.so(?:\.[0-9]+)*", cache)}
    folders = [Path(part) for part in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if part]
    folders += [Path(os.environ[name], "lib64") for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    folders += [Path("/usr/local/cuda/lib64")]
    for folder in folders:
        try:
            names |= {file.name for file in folder.iterdir() if ".so" in file.name}
        except OSError:
            continue
    return frozenset(names)


def _recorded(record: Record) -> list[Installed]:
    """The packages of a record; of one of an older release, their versions without their files."""
    from capably.doctor import Installed  # noqa: PLC0415 - see capably.cli.app
    from capably.facts import Artifact, ArtifactKind  # noqa: PLC0415 - as above

    if record.packages is not None:
        return [Installed(one.artifact, one.requires, frozenset(one.libraries)) for one in record.packages]
    return [
        Installed(Artifact(name, ArtifactKind.DISTRIBUTION, name=name, version=version))
        for name, version in record.system.distributions
    ]


def without_uuids(system: System) -> System:
    """*system* with each UUID replaced by one that is made up, the same one everywhere."""
    made: dict[str, str] = {}

    def other(uuid: str | None) -> str | None:
        if uuid is None:
            return None
        if uuid not in made:
            made[uuid] = f"{uuid[:4]}{len(made) + 1:08x}-0000-0000-0000-000000000000"
        return made[uuid]

    def blank(devices: tuple[Device, ...]) -> tuple[Device, ...]:
        return tuple(replace(device, uuid=other(device.uuid)) for device in devices)

    def entry(text: str) -> str:
        bare = text.strip()
        if not bare.startswith(("GPU-", "MIG-")):
            return text
        fitting = [uuid for uuid in made if uuid.startswith(bare)]
        return made[fitting[0]] if len(fitting) == 1 else f"{bare[:4]}ffffffff-0000-0000-0000-000000000000"

    def entries(text: str) -> str:
        return ",".join(map(entry, text.split(",")))

    fleet, devices = blank(system.fleet), blank(system.devices)
    visible = system.visibility.visible_devices
    listed = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
    findings = system.findings
    if visible is not None and entries(visible) != visible:
        findings = tuple(replace(one, message=_reworded(one.message, visible, entries)) for one in findings)
    return replace(
        system,
        fleet=fleet,
        devices=devices,
        visibility=replace(system.visibility, visible_devices=None if visible is None else entries(visible)),
        environment=tuple((name, entries(value) if name in listed else value) for name, value in system.environment),
        findings=findings,
    )


def _reworded(message: str, visible: str, entries: Callable[[str], str]) -> str:
    """*message* with what it cites of the variable replaced likewise."""
    for text in sorted({visible, *visible.split(",")}, key=len, reverse=True):
        if "GPU-" in text or "MIG-" in text:
            message = message.replace(text, entries(text))
    return message
