"""``capably check``: artifacts by GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from capably.cli.console import ProgressBar, note, output_options, print_answer, style_of
from capably.cli.kernels import kernel_options
from capably.cli.sources import source_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.check import Gpu
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
    "record",
    metavar="FILE",
    envvar=["CAPABLY_CHECK_SYSTEM", "CAPABLY_SYSTEM"],
    help="A recorded machine, instead of this one.",
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
    record: str | None,
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
    from capably.check import judge_all  # noqa: PLC0415 - as above
    from capably.cli.targets import quoting_hint  # noqa: PLC0415 - see capably.cli.app
    from capably.errors import CapablyError  # noqa: PLC0415 - as above

    try:
        columns, notes = _columns(gpus, driver, record)
    except CapablyError as error:
        if artifacts and (text := quoting_hint(gpus, artifacts)):
            error.add_note(text)
        raise
    kernels = kernels or pattern is not None
    found = reader.read(
        artifacts,
        with_kernels=kernels,
        advice=lambda name: quoting_hint(gpus, artifacts[artifacts.index(name) :]),
    )
    for text in notes if found or not reader.errors else ():
        note(text, quiet=quiet)  # where there is something to judge
    wanted = None if pattern is None else reader.find_kernels(found, pattern)
    text = ""
    with ProgressBar(quiet=quiet, color=color, doing="judging") as progress:
        grid = judge_all(found, columns, progress)
        if as_json or format_ == "json":
            from capably.report.machine import check_document, dumps  # noqa: PLC0415 - see capably.cli.app

            text = dumps(check_document(grid, reader.errors, kernels=kernels, wanted=wanted)) + "\n"
        elif found or not reader.errors:
            from capably.report.check_text import check_text  # noqa: PLC0415 - see capably.cli.app

            text = check_text(grid, style_of(color), verbose=verbose, kernels=kernels, wanted=wanted)
    if text:
        print_answer(text)
    if reader.errors:
        return 2
    if fail_on is None:
        # Of what was named, nothing can be told where its files are not known.
        lost = artifacts and any(one.code == "damaged-record" for _, artifact in found for one in artifact.findings)
        return 3 if lost else 0
    from capably.check.failing import exit_code, has_code  # noqa: PLC0415 - see capably.cli.app

    judged = {row.asked for row, result in grid.results if has_code(result.verdict)}
    for name in [name for name, _ in found if name not in judged] if found else ["what is installed"]:
        note(f"--fail-on had nothing to judge in {name}: no GPU code found", quiet=quiet)
    # Of several builds inside one artifact one is loaded.
    return exit_code(fail_on, (((id(row.artifact), result.gpu), result.verdict) for row, result in grid.results))


def _columns(gpus: tuple[str, ...], driver: str | None, record: str | None) -> tuple[tuple[Gpu, ...], list[str]]:
    """The devices that are meant, each with the driver that is taken to serve it, and what to note about the choice."""
    from capably import probe  # noqa: PLC0415 - see capably.cli.app
    from capably.check import Gpu  # noqa: PLC0415 - as above
    from capably.cli.targets import beyond_tables, models, read_driver, read_gpus  # noqa: PLC0415 - as above
    from capably.tables import tables  # noqa: PLC0415 - as above

    notes: list[str] = []
    taken: Driver | None = read_driver(driver) if driver is not None else None
    if taken is not None and (beyond := beyond_tables(taken)):
        notes.append(f"--driver {driver} is {beyond}")
    whose = "the recorded machine" if record else "this machine"
    devices: tuple[Device, ...]
    recorded = probe.load(record) if record else None
    if gpus:
        devices = read_gpus(gpus)
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
