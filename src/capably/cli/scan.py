"""``capably scan``: what GPU code files hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from capably.cli.console import output_options, print_answer, style_of
from capably.cli.kernels import kernel_options
from capably.cli.sources import source_options

if TYPE_CHECKING:
    from capably.cli.sources import ArtifactReader

__all__ = ["scan"]


@click.command()
@click.argument("artifacts", nargs=-1, required=True, metavar="ARTIFACT...")
@click.option("--hash", "with_sha256", is_flag=True, help="Add the sha256 of files and libraries.")
@click.option("-v", "--verbose", is_flag=True, help="Each library by itself, where many hold the same.")
@kernel_options("scan")
@source_options("scan")
@output_options("scan")
def scan(  # noqa: PLR0917 - click passes options by name
    artifacts: tuple[str, ...],
    with_sha256: bool,
    verbose: bool,
    kernels: bool,
    pattern: str | None,
    reader: ArtifactReader,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """What GPU code files hold: wheels, directories, libraries, objects, loose cubins and PTX.

    ARTIFACT is a path, the name of an installed distribution, or NAME==VERSION, which is fetched with pip.

    Per library and section: the images by kind and target, how many there are, how they are stored; many
    that hold the same are told of together. Whether they run anywhere is a question for `capably check`.
    """
    del quiet  # the reader has it
    found = reader.read(artifacts, with_sha256=with_sha256, with_kernels=kernels or pattern is not None)
    wanted = None if pattern is None else reader.find_kernels(found, pattern)
    if as_json or format_ == "json":
        from capably.report.machine import dumps, scan_document  # noqa: PLC0415 - see capably.cli.app

        print_answer(
            dumps(scan_document(found, reader.errors, kernels=kernels or pattern is not None, wanted=wanted)) + "\n"
        )
    elif found:
        from capably.report.scan_text import scan_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(scan_text(found, style_of(color), verbose=verbose, wanted=wanted))
    return 2 if reader.errors else 0
