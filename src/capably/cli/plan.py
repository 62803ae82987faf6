"""``capably plan``: which targets to build for given GPUs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from capably.cli.check import GpuType
from capably.cli.console import ProgressBar, WrongUseError, complain, note, output_options, print_answer, style_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capably import facts
    from capably.facts import Device, Driver, System
    from capably.jit_targets import Unusable
    from capably.list_output import Spelling
    from capably.plan import Plan
    from capably.report.plan import Origin, Tool
    from capably.requirement import Requirement
    from capably.sizes import Estimate
    from capably.tables import KnownToolkit
    from capably.version import CudaVersion

__all__ = ["plan"]


@click.command(context_settings={"auto_envvar_prefix": "CAPABLY_PLAN"})
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    type=GpuType(),
    metavar="GPU",
    envvar="CAPABLY_PLAN_GPU",
    help="A product (RTX 5090, H100, T4), a capability (12.0, sm_120) or all; several with commas or by repeating. "
    "Default: those of this machine that are visible.",
)
@click.option(
    "--toolkit",
    metavar="VERSION",
    envvar=["CAPABLY_PLAN_TOOLKIT", "CAPABLY_TOOLKIT"],
    help="The CUDA version of the compiler (12.8). Default: that of the nvcc on the machine, else the newest known.",
)
@click.option(
    "--policy",
    type=click.Choice(["native", "each", "ptx", "size"]),
    help="native: machine code for every GPU, as little as that takes. each: what each GPU would get alone, for sources "
    "that differ by architecture. ptx: as native, and PTX for GPUs to come and for those that the "
    "toolkit has no machine code for. size: the fewest images, be they PTX.  [default: native; with --for flashinfer, "
    "which compiles on the machine itself, each]",
)
@click.option(
    "--driver",
    metavar="VERSION",
    envvar=["CAPABLY_PLAN_DRIVER", "CAPABLY_DRIVER"],
    help="The driver that loads the code, as for check. Default: with --gpu, the newest known that serves each GPU; "
    "else the machine's.",
)
@click.option(
    "--system",
    "record",
    metavar="FILE",
    envvar=["CAPABLY_PLAN_SYSTEM", "CAPABLY_SYSTEM"],
    help="A recorded machine, instead of this one.",
)
@click.option(
    "--require",
    "requirement",
    metavar="REQUIREMENT",
    envvar="CAPABLY_PLAN_REQUIRE",
    help="What the code needs of a GPU: fp8, 9.0a, >=8.0, 10.0f | 9.0a. Targets count only where code for them can hold "
    "it. With --for flashinfer: also what that needs by itself.",
)
@click.option(
    "--for",
    "tool",
    metavar="TOOL[==VERSION]",
    envvar="CAPABLY_PLAN_FOR",
    help="Plan with what a tool can be asked for, and print its list: torch, torch-cmake, cmake, nvcc, nvcc-arch, "
    "flashinfer, flash-attn, bitsandbytes, cupy or triton. Default version: the installed one, else the newest known. "
    "Without --for: plan for nvcc, and print the lists of all that can be asked for exactly that.",
)
@click.option(
    "--shell",
    type=click.Choice(["posix", "fish"]),
    is_flag=False,
    flag_value="posix",
    help='Print nothing but the variable of --for, to evaluate: eval "$(capably plan --for flashinfer --shell)". posix '
    "is sh, bash and zsh, and the default.",
)
@click.option(
    "--wheel",
    metavar="FILE",
    envvar="CAPABLY_PLAN_WHEEL",
    help="A wheel or library of the project, as it was built: estimates from it what each target takes.",
)
@click.option(
    "--read",
    "listed",
    metavar="LIST",
    envvar="CAPABLY_PLAN_READ",
    help="Instead of a plan: what the tool of --for makes of this list, or each tool; which GPUs its targets serve, and "
    "the same for other tools. --gpu is what automatic detection finds, and what the answer is about.",
)
@click.option("-v", "--verbose", is_flag=True, help="All that could not be had, and why tools cannot say the plan.")
@output_options("plan")
def plan(  # noqa: PLR0917 - click passes options by name
    gpus: tuple[str, ...],
    toolkit: str | None,
    policy: str | None,
    driver: str | None,
    record: str | None,
    requirement: str | None,
    tool: str | None,
    shell: str | None,
    wheel: str | None,
    listed: str | None,
    verbose: bool,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """Which targets to build for given GPUs: the smallest set that covers them, and why each is in it.

    Exits with 1 where a GPU cannot be covered by the toolkit, and says which one would; with 3 where only what
    is not known stands in the way.

    \b
    capably plan --gpu "T4, A100, H100, RTX 5090" --toolkit 12.8
    capably plan --gpu H100 --require 9.0a --for torch==2.13
    capably plan --read "8.0;9.0+PTX" --for torch==2.13
    eval "$(capably plan --for flashinfer --shell)"
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    from capably.cli.tools import Versions, parse_tool  # noqa: PLC0415 - see capably.cli.app
    from capably.jit_targets import Unusable, own_choice  # noqa: PLC0415 - as above
    from capably.list_output import offers, spell  # noqa: PLC0415 - as above
    from capably.plan import PlanPolicy, toolkit_named, undecided  # noqa: PLC0415 - as above
    from capably.plan import plan as make_plan  # noqa: PLC0415 - as above

    as_json = as_json or format_ == "json"
    if shell is not None and (tool is None or as_json):
        raise WrongUseError(
            "--shell prints the variable of one tool and nothing else: name it with --for, without --json"
        )
    if listed is not None:
        from capably.cli.lists import read_list  # noqa: PLC0415 - see capably.cli.app

        if shell is not None or requirement is not None or wheel is not None:
            raise WrongUseError("--read explains a list and makes none: leave out --shell, --require and --wheel")
        asked = read_toolkit(toolkit) if toolkit is not None else None
        versions = Versions(_recorded(record) if record else None)
        return read_list(listed, tool, gpus, asked, versions, driver=driver, as_json=as_json, color=color, quiet=quiet)
    if wheel is not None and not os.path.exists(wheel):  # noqa: PTH110 - importing pathlib takes 3 ms
        from capably.cli.artifacts import no_file  # noqa: PLC0415 - see capably.cli.app

        raise no_file(wheel)
    columns, system = _columns(gpus, driver, record, quiet=quiet)
    if system is None and record:
        system = _recorded(record)
    cuda, origin = _toolkit(toolkit, system, record)
    versions = Versions(system if record else None)
    made_for = parse_tool(tool, versions, cuda, quiet=quiet) if tool is not None else None
    needs = _needs(requirement, made_for)
    chosen = PlanPolicy(policy or ("each" if made_for is not None and made_for.asked == "flashinfer" else "native"))
    emitter: KnownToolkit | None = toolkit_named(cuda)
    refused: dict[Device, Unusable] = {}
    if emitter is None:
        found = undecided(columns, cuda, chosen, needs)
    else:
        offered = offers(made_for.dialect, made_for.version, emitter.targets, cuda) if made_for is not None else None
        if made_for is not None and made_for.dialect == "flashinfer" and chosen is PlanPolicy.EACH:
            own = {device: own_choice(made_for.version, device, cuda) for device, _ in columns}
            refused = {device: choice for device, choice in own.items() if isinstance(choice, Unusable)}
            offered = tuple(dict.fromkeys(choice for choice in own.values() if not isinstance(choice, Unusable)))
        found = make_plan(columns, emitter, policy=chosen, offers=offered, needs=needs)
    speakers = [(made_for.dialect, made_for.version)] if made_for is not None else versions(cuda)
    spellings = [spell(found.targets, *speaker, toolkit=cuda) for speaker in speakers] if found.targets else []
    estimate = _estimate(wheel, quiet=quiet, color=color) if wheel is not None else None
    said = made_for is None or not spellings or spellings[0].problem is None
    if shell is not None:
        _print_shell(found, spellings, shell, refused)
    elif as_json:
        from capably.report.machine import dumps  # noqa: PLC0415 - see capably.cli.app
        from capably.report.plan import plan_document  # noqa: PLC0415 - as above

        document = plan_document(found, origin, spellings, tool=made_for, refused=refused, estimate=estimate)
        print_answer(dumps(document) + "\n")
    else:
        from capably.report.plan import plan_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(
            plan_text(
                found,
                origin,
                spellings,
                style_of(color),
                tool=made_for,
                refused=refused,
                estimate=estimate,
                verbose=verbose,
            )
        )
    if found.complete:
        return 0 if said else 1
    return 3 if found.unsettled else 1


def _needs(text: str | None, tool: Tool | None) -> Requirement | None:
    """What was asked for, and what the tool needs by itself."""
    from capably.archlist import applying  # noqa: PLC0415 - see capably.cli.app
    from capably.requirement import Requirement  # noqa: PLC0415 - as above
    from capably.wanted import read_requirement  # noqa: PLC0415 - as above

    own = applying(tool.asked, tool.version_asked).requires if tool is not None else None
    asked = read_requirement(text) if text is not None else None
    if own is None:
        return asked
    floor = Requirement.parse(own)
    if asked is None:
        return floor
    return Requirement(tuple((*one, *other) for one in asked.alternatives for other in floor.alternatives))


def _print_shell(found: Plan, spellings: Sequence[Spelling], shell: str, refused: Mapping[Device, Unusable]) -> None:
    """The variable on standard output, and whatever is wrong on standard error: the exit code of `eval` is lost."""
    from capably.report.layout import Style  # noqa: PLC0415 - see capably.cli.app
    from capably.report.plan import left_out, paste, shell_line  # noqa: PLC0415 - as above

    for line in left_out(found, Style(), refused):
        complain(line)
    for spelling in spellings:
        exported = shell_line(spelling, shell)
        if spelling.problem is not None:
            complain(f"error: {spelling.dialect} cannot be asked for these: {spelling.problem}")
        elif exported is None:
            raise WrongUseError(
                f"{spelling.dialect} reads no variable of the environment; pass {paste(spelling)} to CMake"
            )
        else:
            print_answer(f"{exported}\n")
    if not spellings:
        complain("note: no variable is set")


def _estimate(wheel: str, *, quiet: bool, color: str) -> Estimate:
    from capably.codes import FINDINGS  # noqa: PLC0415 - as above
    from capably.facts import ArtifactKind  # noqa: PLC0415 - see capably.cli.app
    from capably.scanner import DEFAULT_LIMITS, scan  # noqa: PLC0415 - as above
    from capably.scanner.directory import read_directory  # noqa: PLC0415 - as above
    from capably.scanner.limits import Budget  # noqa: PLC0415 - as above
    from capably.scanner.source import FileSource  # noqa: PLC0415 - as above
    from capably.sizes import estimate  # noqa: PLC0415 - as above

    with ProgressBar(quiet=quiet, color=color) as progress:
        artifact = scan(wheel, progress=progress, with_kernels=True)
    for finding in artifact.findings:
        if FINDINGS[finding.code].hides:
            note(f"{finding.path}: {finding.message}", quiet=quiet)
    packed: dict[str, float] = {}
    if artifact.kind is ArtifactKind.WHEEL:
        with open(wheel, "rb", buffering=0) as file:  # noqa: PTH123 - what a source is made of
            size = os.fstat(file.fileno()).st_size
            budget = Budget(DEFAULT_LIMITS)
            members = read_directory(wheel, FileSource(file), size, budget, prefix="", refuse=lambda _name, _size: None)
        packed = {member.name: member.stored_bytes / max(member.size_bytes, 1) for member in members}
    return estimate(artifact, packed)


def _columns(
    gpus: tuple[str, ...], driver: str | None, record: str | None, *, quiet: bool
) -> tuple[tuple[tuple[Device, Driver], ...], System | None]:
    """The GPUs, each with the driver that loads the code, and the machine where it had to be looked at."""
    from capably import probe  # noqa: PLC0415 - see capably.cli.app
    from capably.cli.targets import models, read_driver, read_gpus  # noqa: PLC0415 - as above
    from capably.tables import tables  # noqa: PLC0415 - as above

    taken = read_driver(driver) if driver is not None else None
    system: System | None = None
    if gpus:
        devices = read_gpus(gpus)
    else:
        system = _recorded(record) if record else probe.system()
        taken = taken or system.driver
        found = models(system.devices)
        devices = tuple(device for device, _ in found)
        whose = "the recorded machine" if record else "this machine"
        if not devices:
            cause = next((f": {one.message}" for one in system.findings if one.code == system.absence), "")
            error = WrongUseError(f"no GPU of {whose} is visible{cause}")
            error.add_note("name the GPUs to build for: --gpu H100, --gpu 9.0 or --gpu all")
            if os.environ.get("CAPABLY_GPUS"):
                error.add_note("CAPABLY_GPUS is for programs; the variable of --gpu is CAPABLY_PLAN_GPU")
            raise error
        named = (f"{count} x {device.name or device.capability}" for device, count in found)
        note(f"for the GPUs of {whose}: {', '.join(named)}", quiet=quiet)
    return tuple((device, taken or tables().newest_driver(device.capability)) for device in devices), system


def _recorded(record: str) -> System:
    from capably import probe  # noqa: PLC0415 - see capably.cli.app

    return probe.load(record)


_VERSION = re.compile(
    r"(?i)(?:cuda|nvcc|toolkit|release|v|\s)*(?:cu-?([0-9]{2})([0-9])|([0-9]{1,2}\.[0-9]{1,2})(?:\.[0-9]+)*)"
)


def _toolkit(text: str | None, system: System | None, record: str | None) -> tuple[CudaVersion, Origin]:
    """The version of the compiler, and where it comes from."""
    from capably.report.plan import Origin  # noqa: PLC0415 - as above
    from capably.tables import tables  # noqa: PLC0415 - see capably.cli.app

    if text is not None:
        return read_toolkit(text), Origin("asked", "as asked")
    compiler = _compiler(system)
    if compiler is not None and compiler.cuda is not None:
        whose = "the recorded machine" if record else "this machine"
        route = f", by {compiler.via[0]}" if compiler.via else ""
        return compiler.cuda, Origin("machine", f"the nvcc of {whose}{route}")
    return tables().toolkits[-1].cuda, Origin("newest-known", "the newest known; name yours with --toolkit")


def _compiler(system: System | None) -> facts.Toolkit | None:
    """The nvcc that would be run: that of torch extensions, else that of the shell, else what there is."""
    from capably import probe  # noqa: PLC0415 - see capably.cli.app
    from capably.facts import ToolkitKind  # noqa: PLC0415 - as above

    if system is not None:
        known = system.toolkits
    else:
        from capably.probe.compilers import find_compilers  # noqa: PLC0415 - see capably.cli.app

        known = tuple(located.toolkit for located in find_compilers(probe.Machine()))
    found = [one for one in known if one.kind is ToolkitKind.NVCC and one.cuda is not None]
    order = {user: place for place, user in enumerate(("torch", "shell"))}
    return min(found, key=lambda one: min((order.get(user, 2) for user in one.used_by), default=2), default=None)


def read_toolkit(text: str) -> CudaVersion:
    """The CUDA version of a toolkit: ``12.8``, ``12.8.93``, ``cu128``.

    Raises:
        WrongUseError: There is no such toolkit, or the version is not given in full.
    """
    from capably.tables import tables  # noqa: PLC0415 - see capably.cli.app
    from capably.version import CudaVersion  # noqa: PLC0415 - as above

    match = _VERSION.fullmatch(text.strip())
    known = [toolkit.cuda for toolkit in tables().toolkits]
    if match is None:
        raise WrongUseError(f"`{text}` is not the full version of a CUDA toolkit, such as {known[-1]}")
    cuda = CudaVersion.parse(f"{match[1]}.{match[2]}" if match[1] else match[3])
    # Beyond the ends of the tables there may be others; between two rows there is none.
    if cuda not in known and known[0] < cuda < known[-1]:
        raise WrongUseError(
            f"there was no CUDA toolkit {cuda}; its neighbours are {max(v for v in known if v < cuda)} and "
            f"{min(v for v in known if v > cuda)}"
        )
    return cuda
