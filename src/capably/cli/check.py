"""``capably check``: artifacts by GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from capably.cli.console import ProgressBar, complain, hint, note, output_options, print_answer, style_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from capably.engine import Coverage
    from capably.errors import CapablyError
    from capably.facts import Artifact, Device, Driver
    from capably.report.answer import Gpu

__all__ = ["check"]

if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:
    _ParamType = click.ParamType  # generic at run time only in newer releases of click

_LEVELS = ("none", "partial", "unknown")


class _GpuType(_ParamType):
    """One value of ``--gpu``. Names hold spaces, so a variable is one value, with commas inside."""

    name = "gpu"

    def split_envvar_value(self, rv: str) -> list[str]:
        return [rv]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        del ctx, param
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - for completion only

        from capably.knowledge import tables  # noqa: PLC0415 - as above

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
    type=_GpuType(),
    metavar="GPU",
    envvar="CAPABLY_CHECK_GPU",
    help="A product (RTX 5090, H100, T4), a capability (12.0, sm_120) or all; several with commas or by repeating.",
)
@click.option(
    "--driver",
    metavar="VERSION",
    envvar=["CAPABLY_CHECK_DRIVER", "CAPABLY_DRIVER"],
    help="A driver release (550.54.14, R550) or the CUDA version that nvidia-smi shows (12.4). "
    "Default: the newest known that serves each GPU.",
)
@click.option(
    "--python",
    metavar="PATH",
    help="The interpreter or environment whose distributions are meant. Default: the active one, else capably's own.",
)
@click.option(
    "--fail-on",
    type=click.Choice(_LEVELS),
    help="Exit with 1 where a coverage is none; none or partial; or also unknown.",
)
@click.option("--index-url", metavar="URL", help="For NAME==VERSION: the package index, as for pip.")
@click.option(
    "--extra-index-url", "extra_index_urls", multiple=True, metavar="URL", help="A further index; may be repeated."
)
@click.option("--python-version", metavar="VERSION", help="For NAME==VERSION: the Python that the wheel is for (3.12).")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="TAG",
    help="For NAME==VERSION: a platform tag (manylinux_2_28_x86_64); may be repeated.",
)
@click.option(
    "--offline",
    is_flag=True,
    envvar=["CAPABLY_CHECK_OFFLINE", "CAPABLY_OFFLINE"],
    help="Fetch nothing.",
)
@click.option("-v", "--verbose", is_flag=True, help="All reasons, with their sources.")
@output_options("check")
def check(  # noqa: PLR0917 - click passes options by name
    artifacts: tuple[str, ...],
    gpus: tuple[str, ...],
    driver: str | None,
    python: str | None,
    fail_on: str | None,
    index_url: str | None,
    extra_index_urls: tuple[str, ...],
    python_version: str | None,
    platforms: tuple[str, ...],
    offline: bool,
    verbose: bool,
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
    from capably.cli.artifacts import read_artifacts, read_environment  # noqa: PLC0415 - see capably.cli.app
    from capably.report.answer import judge_all  # noqa: PLC0415 - as above

    columns = _columns(gpus, driver, quiet=quiet)
    failed = False

    def report(error: CapablyError) -> None:
        nonlocal failed
        failed = True
        complain(f"error: {error}")
        for text in (getattr(error, "hint", ""), *getattr(error, "__notes__", ())):
            hint(text)

    def fetch_pinned(requirement: str) -> Path:
        from platformdirs import user_cache_path  # noqa: PLC0415 - 10 ms, for fetching only

        from capably.cli.fetch import fetch  # noqa: PLC0415 - as above

        return fetch(
            requirement,
            cache_dir=user_cache_path("capably", appauthor=False) / "wheels",
            index_url=index_url,
            extra_index_urls=extra_index_urls,
            python_version=python_version,
            platforms=platforms,
            offline=offline,
            announce=lambda text: note(text, quiet=quiet),
        )

    found: list[tuple[str, Artifact]]
    with ProgressBar(quiet=quiet) as progress:
        if artifacts:
            found = list(
                read_artifacts(artifacts, python=python, fetch_pinned=fetch_pinned, progress=progress, report=report)
            )
        else:
            announce = _announcer(quiet=quiet)
            found = read_environment(python, announce=announce, progress=progress, report=report)
        answer = judge_all(found, columns)
    if as_json or format_ == "json":
        from capably.report.machine import check_document, dumps  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(check_document(answer)) + "\n")
    elif found or not failed:
        from capably.report.text import check_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(check_text(answer, style_of(color), verbose=verbose))
    if failed:
        return 2
    return _exit_code(fail_on, (result.verdict.coverage for _, result in answer.results))


def _announcer(*, quiet: bool) -> Callable[[str], None]:
    return lambda text: note(text, quiet=quiet)


def _columns(gpus: tuple[str, ...], driver: str | None, *, quiet: bool) -> tuple[Gpu, ...]:
    from capably.cli.targets import read_driver, read_gpus  # noqa: PLC0415 - see capably.cli.app
    from capably.knowledge import tables  # noqa: PLC0415 - as above
    from capably.report.answer import Gpu  # noqa: PLC0415 - as above

    named: Driver | None = read_driver(driver) if driver is not None else None
    devices: tuple[Device, ...] = read_gpus(gpus or ("all",))
    if not gpus:
        note("no GPU named: judging every capability from 7.0 that has a product; name yours with --gpu", quiet=quiet)
    return tuple(Gpu(device, named or tables().newest_driver(device.capability)) for device in devices)


def _exit_code(fail_on: str | None, coverages: Iterable[Coverage | None]) -> int:
    """What the contract of ``--fail-on`` makes of all coverages."""
    if fail_on is None:
        return 0
    seen: set[Any] = set(coverages)
    if seen & set(_LEVELS[: _LEVELS.index(fail_on) + 1]):
        return 1
    return 3 if "unknown" in seen else 0
