"""``capably check``: artifacts by GPUs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import click

from capably.cli.console import ProgressBar, note, output_options, print_answer, style_of
from capably.cli.kernels import kernel_options
from capably.cli.sources import source_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.check import Gpu, Grid
    from capably.cli.replay import NamedRecord, Run
    from capably.cli.sources import ArtifactReader
    from capably.facts import Device, Driver

__all__ = ["GpuType", "check", "driver_text"]

if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:
    _ParamType = click.ParamType  # generic at run time only in newer releases of click

_LEVELS = ("none", "gap", "partial", "unknown")  # capably.check.failing.LEVELS, which is read when something is judged


class GpuType(_ParamType):
    """One value of ``--gpu``. Names hold spaces, so a variable is one value, with commas inside."""

    name = "gpu"

    def split_envvar_value(self, rv: str) -> list[str]:
        """The whole variable: `read_gpus` splits it."""
        return [rv]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Names of products that begin so."""
        del ctx, param
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for completion only

        from capably.tables import tables  # noqa: PLC0415 - as above

        begun = incomplete.casefold()
        names: dict[str, str] = {"all": "each capability from 7.0 on"}
        for product in tables().products:
            names[product.name] = str(product.capability)
            names.setdefault(product.name.removeprefix("GeForce "), str(product.capability))
        return [CompletionItem(name, help=text) for name, text in names.items() if name.casefold().startswith(begun)]


@click.command(context_settings={"auto_envvar_prefix": "CAPABLY_CHECK"})
@click.argument("artifacts", nargs=-1, metavar="[ARTIFACT]...")
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    type=GpuType(),
    metavar="GPU",
    envvar="CAPABLY_CHECK_GPU",
    help="A product (RTX 5090, H100, T4), a capability (12.0, sm_120) or all; several with commas or by repeating. "
    "Default: those of this machine that are visible, else all.",
)
@click.option(
    "--driver",
    metavar="VERSION",
    envvar=["CAPABLY_CHECK_DRIVER", "CAPABLY_DRIVER"],
    help="A driver release (550.54.14, R550) or the CUDA version that nvidia-smi shows (12.4). "
    "Default: this machine's, else the newest known that serves each GPU.",
)
@click.option(
    "--system",
    "records",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    envvar=["CAPABLY_CHECK_SYSTEM", "CAPABLY_SYSTEM"],
    help="A recorded machine with its packages, as `capably doctor --save` writes it, instead of this one; with several, "
    "one table.",
)
@click.option(
    "--fail-on",
    type=click.Choice(_LEVELS),
    help="Exit with 1 where nothing loads (none); or a part is missing that is not for other GPUs only (gap); or any part "
    "is missing (partial); or may be (unknown). Where parts that are undecided stand between the answer and a pass, exit "
    "with 3. A build that cannot be installed or started there counts as none. Where there is no GPU code there is nothing to fail, and a note says so: that "
    "there has to be some is for audit --require.",
)
@click.option("-v", "--verbose", is_flag=True, help="All reasons, with their sources.")
@kernel_options("check")
@source_options("check")
@output_options("check")
def check(  # noqa: PLR0917 - click passes options by name
    artifacts: tuple[str, ...],
    gpus: tuple[str, ...],
    driver: str | None,
    records: tuple[str, ...],
    fail_on: str | None,
    verbose: bool,
    kernels: bool,
    pattern: str | None,
    reader: ArtifactReader,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """Which artifacts run on which GPUs, and why not.

    ARTIFACT is a path (wheel, directory, library), the name of an installed distribution, or NAME==VERSION,
    which is fetched with pip. Without one: every installed distribution that holds GPU code.

    \b
    capably check dist/*.whl --gpu "RTX 5090, H100"
    capably check xformers==0.0.35 --gpu all --fail-on partial
    capably check --gpu T4 --driver 535.183.01
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    from capably.check import judge_all  # noqa: PLC0415 - see capably.cli.app
    from capably.cli.replay import Run, record_of  # noqa: PLC0415 - as above
    from capably.cli.targets import quoting_hint  # noqa: PLC0415 - as above
    from capably.errors import CapablyError  # noqa: PLC0415 - as above

    recorded: list[NamedRecord | None] = [record_of(name) for name in records]
    recorded = recorded or [None]
    try:
        chosen = [_columns(gpus, driver, record) for record in recorded]
    except CapablyError as error:
        if artifacts and (text := quoting_hint(gpus, artifacts)):
            error.add_note(text)
        raise
    kernels = kernels or pattern is not None
    # A variable puts a machine in the place of this one, and leaves the environment as it is.
    source = click.get_current_context().get_parameter_source("records")
    named = source is click.core.ParameterSource.COMMANDLINE
    read = functools.cache(
        lambda names: reader.read(
            names,
            with_kernels=kernels,
            advice=lambda name: quoting_hint(gpus, artifacts[artifacts.index(name) :]),
        )
    )
    runs = []
    for record, (columns, notes) in zip(recorded, chosen, strict=True):
        replayed = record is not None and reader.python is None and (named or record.packages is not None)
        if record is None or not replayed or kernels:
            found = read(artifacts)
        else:
            found = record.find(artifacts, read, reader.report)
        where = f"{record.name}: " if record is not None and len(recorded) > 1 else ""
        for text in notes if found or not reader.errors else ():
            note(f"{where}{text}", quiet=quiet)  # where there is something to judge
        runs.append(Run(record if replayed else None, columns, found))
    everything = [one for run in runs for one in run.found]
    wanted = None if pattern is None else reader.find_kernels(everything, pattern)
    json_wanted = as_json or format_ == "json"
    answers = []
    with ProgressBar(quiet=quiet, color=color, doing="judging") as progress:
        grids = [judge_all(run.found, run.columns, progress) for run in runs]
        if json_wanted:
            from capably.report.machine import by_system_document, check_document, dumps  # noqa: PLC0415 - as above

            answers = [check_document(grid, reader.errors, kernels=kernels, wanted=wanted) for grid in grids]
            several = by_system_document(zip(records, answers, strict=False))
            text = dumps(answers[0] if len(grids) == 1 else several) + "\n"
        elif not everything and reader.errors:
            text = ""
        elif len(grids) == 1:
            from capably.report.check_text import check_text  # noqa: PLC0415 - as above

            text = check_text(grids[0], style_of(color), verbose=verbose, kernels=kernels, wanted=wanted)
        else:
            from capably.report.check_text import by_system_text  # noqa: PLC0415 - as above

            text = by_system_text(list(zip(records, grids, strict=True)), style_of(color))
    if text:
        print_answer(text)
    if reader.errors:
        return 2
    codes = []
    for run, grid in zip(runs, grids, strict=True):
        codes.append(_exit_code(run, grid, artifacts, fail_on, quiet=quiet))
    return max(codes, key=(0, 3, 1).index)


def _exit_code(run: Run, grid: Grid, artifacts: tuple[str, ...], fail_on: str | None, *, quiet: bool) -> int:
    """By what was judged on one machine."""
    from capably.check.failing import exit_code, has_code  # noqa: PLC0415 - see capably.cli.app

    judged = {row.asked for row, result in grid.results if has_code(result.verdict)}
    if not artifacts and not run.found:  # an answer to no question: who asked must not take it for a good one
        note(_would_help(run.record), quiet=quiet)
        return 3
    if fail_on is None:
        # Of what was named, nothing can be told where its files are not known.
        lost = artifacts and any(one.code == "damaged-record" for _, artifact in run.found for one in artifact.findings)
        return 3 if lost else 0
    for name in [name for name, _ in run.found if name not in judged]:
        note(f"--fail-on had nothing to judge in {name}: no GPU code found", quiet=quiet)
    # Of several builds inside one artifact one is loaded.
    return exit_code(fail_on, (((id(row.artifact), result.gpu), result.verdict) for row, result in grid.results))


def _would_help(record: NamedRecord | None) -> str:
    """What to ask instead, where there was nothing to judge."""
    release = "name a release, such as torch==2.7.1: it is fetched"
    if record is None:
        return f"nothing was judged; name another environment with --python, or {release}"
    if record.packages is None:
        listed = " ".join(f"{name}=={version}" for name, version in record.record.system.distributions[:4])
        return (
            f"nothing was judged: {record.name} holds no packages, since it was written by an older release of capably; write "
            f"it again there with `capably doctor --save FILE`, or name releases{f': {listed}' if listed else ''}"
        )
    return (
        f"nothing was judged: no package with GPU code was found when {record.name} was written; write it again with "
        f"`capably doctor --python PATH --save FILE`, or {release}"
    )


def _columns(gpus: tuple[str, ...], driver: str | None, named: NamedRecord | None) -> tuple[tuple[Gpu, ...], list[str]]:
    """The devices that are meant, each with the driver that is taken to serve it, and what to note about the choice."""
    from capably import probe  # noqa: PLC0415 - see capably.cli.app
    from capably.check import Gpu  # noqa: PLC0415 - as above
    from capably.cli.targets import beyond_tables, models, read_driver, read_gpus  # noqa: PLC0415 - as above
    from capably.tables import tables  # noqa: PLC0415 - as above

    notes: list[str] = []
    taken: Driver | None = read_driver(driver) if driver is not None else None
    if taken is not None and (beyond := beyond_tables(taken)):
        notes.append(f"--driver {driver} is {beyond}")
    whose = "the recorded machine" if named else "this machine"
    devices: tuple[Device, ...]
    recorded = named.record.system if named else None
    if gpus or (named and named.record.gpus):
        devices = read_gpus(gpus) if gpus or named is None else named.record.gpus
        if taken is None:
            taken = recorded.driver if recorded else probe.kernel_driver()
            if taken is not None:
                notes.append(f"by the driver of {whose}, {driver_text(taken)}; name another with --driver")
    else:
        system = recorded or probe.system(thorough=False, compilers=False)
        taken = taken or system.driver
        found = models(system.devices)
        devices = tuple(device for device, _ in found)
        if devices:
            listed = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in _names(found))
            notes.append(f"judging the GPUs of {whose}: {listed}")
        else:
            devices = read_gpus(("all",))
            cause = next((f": {one.message}" for one in system.findings if one.code == system.absence), "")
            notes.append(f"no GPU of {whose} is visible{cause}")
            notes.append("judging every capability from 7.0 that has a product; name yours with --gpu")
    toolkits = recorded.toolkits if recorded else ()
    columns = tuple(Gpu(device, taken or tables().newest_driver(device.capability), toolkits) for device in devices)
    return columns, notes


def _names(found: Iterable[tuple[Device, int]]) -> list[tuple[str, int]]:
    return [(device.name or str(device.capability), count) for device, count in found]


def driver_text(driver: Driver) -> str:
    """A driver in two words."""
    return str(driver.release) if driver.release else f"CUDA {driver.cuda}"
