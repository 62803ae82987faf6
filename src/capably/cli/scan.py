"""``capably scan``: what GPU code files hold."""

from __future__ import annotations

import click

from capably.cli.console import ProgressBar, complain, output_options, print_answer, style_of

__all__ = ["scan"]


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--hash", "with_sha256", is_flag=True, help="Add the sha256 of files and libraries.")
@output_options("scan")
def scan(  # noqa: PLR0917 - click passes options by name
    paths: tuple[str, ...], with_sha256: bool, format_: str, as_json: bool, color: str, quiet: bool
) -> int:
    """What GPU code files hold: wheels, directories, libraries, objects, loose cubins and PTX.

    Per library and section: the images by kind and target, how many there are, how they are stored. Whether
    they run anywhere is a question for `capably check`.
    """
    from capably import scanner  # noqa: PLC0415 - see capably.cli.app
    from capably.errors import CapablyError  # noqa: PLC0415 - as above

    found = []
    failed = False
    with ProgressBar(quiet=quiet) as progress:
        for path in paths:
            try:
                found.append((path, scanner.scan(path, progress=progress, with_sha256=with_sha256)))
            except CapablyError as error:
                failed = True
                complain(f"error: {error}")
    if as_json or format_ == "json":
        from capably.report.machine import dumps, scan_document  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(scan_document(found)) + "\n")
    elif found:
        from capably.report.text import scan_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(scan_text(found, style_of(color)))
    return 2 if failed else 0
