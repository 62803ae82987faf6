"""``capably gpus``: the GPUs that are known by name."""

from __future__ import annotations

import click

from capably.cli.console import WrongUseError, output_options, print_answer, style_of

__all__ = ["gpus"]


@click.command()
@click.argument("words", nargs=-1, metavar="[NAME]")
@click.option("--targets", is_flag=True, help="Also what each accepts: targets to compile for, in order of preference.")
@click.option(
    "--meets",
    metavar="REQUIREMENT",
    help="Instead: the products and cloud instance types that meet it, newest and smallest first; as for `capably require`.",
)
@output_options("gpus")
def gpus(  # noqa: PLR0917 - click passes options by name
    words: tuple[str, ...],
    targets: bool,
    meets: str | None,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """The GPUs that are known by name, or those that NAME may mean, best match first.

    Names are taken as people and drivers write them: 4090, "Tesla V100-SXM2-32GB", "NVIDIA H100 80GB HBM3".
    A compute capability (9.0, sm_120) stands for all products of it. A cloud instance type has its cloud in front:
    aws:g5.xlarge, azure:Standard_NC24ads_A100_v4, gcp:a3-highgpu-8g; also of aws, azure, gcp, oci, lambda, alibaba, tencent.

    \b
    capably gpus "RTX 5090" --targets
    capably gpus --meets ">=8.9, memory>=40GiB"
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    del quiet  # there is nothing but the answer
    as_json = as_json or format_ == "json"
    name = " ".join(words)
    if meets is not None:
        if name or targets:
            raise WrongUseError("--meets looks at all GPUs: leave out the name and --targets")
        return _meeting(meets, color, as_json=as_json)
    from capably.gpu_names import find_gpus, find_instance  # noqa: PLC0415 - see capably.cli.app

    products, by_name = find_gpus(name)
    instance = find_instance(name)
    accepted = None
    if targets:
        from capably.engine import accepted_targets  # noqa: PLC0415 - see capably.cli.app

        accepted = {product.capability: accepted_targets(product.capability) for product in products}
    if as_json:
        from capably.report.machine import dumps, gpus_document  # noqa: PLC0415 - see capably.cli.app

        found = () if instance is None else (instance,)
        print_answer(dumps(gpus_document(products, found, accepted)) + "\n")
    else:
        from capably.report.gpus_text import gpus_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(gpus_text(products, style_of(color), details=by_name, instance=instance, targets=accepted))
    return 0


def _meeting(meets: str, color: str, *, as_json: bool) -> int:
    from capably.catalogue import meeting  # noqa: PLC0415 - see capably.cli.app
    from capably.wanted import read_requirement  # noqa: PLC0415 - as above

    found = meeting(read_requirement(meets))
    if as_json:
        from capably.report.machine import catalogue_document, dumps  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(catalogue_document(found)) + "\n")
    else:
        from capably.report.gpus_text import catalogue_text  # noqa: PLC0415 - see capably.cli.app

        print_answer(catalogue_text(found, style_of(color)))
    return 0
