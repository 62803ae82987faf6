"""``capably gpus``: the GPUs that are known by name."""

from __future__ import annotations

import click

from capably.cli.console import output_options, print_answer, style_of

__all__ = ["gpus"]


@click.command()
@click.argument("name", required=False)
@output_options("gpus")
def gpus(name: str | None, format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """The GPUs that are known by name, or those that NAME may mean, best match first.

    Names are taken as people and drivers write them: 4090, "Tesla V100-SXM2-32GB", "NVIDIA H100 80GB HBM3".
    """
    del quiet  # there is nothing but the answer
    from capably.knowledge import tables  # noqa: PLC0415 - see capably.cli.app

    products = tables().find_products(name) if name is not None else tables().products
    if as_json or format_ == "json":
        from capably.report.machine import dumps, gpus_document  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(gpus_document(products)) + "\n")
    else:
        from capably.report.text import gpus_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(gpus_text(products, style_of(color), details=name is not None))
    return 0
