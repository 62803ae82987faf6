"""``capably gpus``: the GPUs that are known by name."""

from __future__ import annotations

import click

from capably.cli.console import output_options, print_answer, style_of

__all__ = ["gpus"]


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME]")
@output_options("gpus")
def gpus(words: tuple[str, ...], format_: str, as_json: bool, color: str, quiet: bool) -> int:
    """The GPUs that are known by name, or those that NAME may mean, best match first.

    Names are taken as people and drivers write them: 4090, "Tesla V100-SXM2-32GB", "NVIDIA H100 80GB HBM3".
    A compute capability (9.0, sm_120) stands for all products of it.
    """
    del quiet  # there is nothing but the answer
    from capably.gpu_names import find_gpus  # noqa: PLC0415 - see capably.cli.app

    products, by_name = find_gpus(" ".join(words))
    if as_json or format_ == "json":
        from capably.report.machine import dumps, gpus_document  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(gpus_document(products)) + "\n")
    else:
        from capably.report.gpus_text import gpus_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(gpus_text(products, style_of(color), details=by_name))
    return 0
