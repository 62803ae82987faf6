"""``capably require``: the gate from a shell."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from capably.cli.console import complain, output_options, print_answer
from capably.errors import GpuListError, IncompatibleError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.gate import Answer

__all__ = ["require"]


@click.command()
@click.argument("requirement")
@click.option(
    "--devices",
    default="any",
    show_default=True,
    metavar="WHICH",
    help="Which GPUs must meet it: any, all, current, listed (those that the list of what is to be built names), or "
    "numbers: 0,2.",
)
@click.option(
    "--policy",
    default="device",
    show_default=True,
    metavar="POLICY",
    help="Who decides: device (the GPUs here), build-list (the list of what is to be built), or override (CAPABLY_GPUS, "
    "else that list, else the GPUs).",
)
@click.option("--dialect", metavar="TOOL", help="Whose list counts where one does: flashinfer==0.7.2, torch, cmake.")
@click.option("--toolkit", metavar="VERSION", help="The CUDA version of the compiler that has to make code for them.")
@click.option("--feature", metavar="NAME", help="Who needs it, for the text.")
@click.option("--fast", is_flag=True, help="Start CUDA only where there is a doubt about the GPUs or the driver.")
@click.option(
    "--shell",
    is_flag=True,
    help="Print CUDA_VISIBLE_DEVICES for the GPUs that meet it, and with --for the list of that tool, to be given to eval.",
)
@click.option("--for", "tool", metavar="TOOL", help="With --shell: flashinfer or torch, which compiles for these GPUs.")
@output_options("require")
def require(  # noqa: PLR0917 - one for each option
    requirement: str,
    devices: str,
    policy: str,
    dialect: str | None,
    toolkit: str | None,
    feature: str | None,
    fast: bool,
    shell: bool,
    tool: str | None,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """Whether the GPUs of this machine meet REQUIREMENT, in the words of the gate.

    CUDA is started, in a process of its own, so that a driver that fails is noticed. Unlike other commands this one reads
    CAPABLY_GPUS, as programs do.

    Exit codes: 0 it is met; 1 it certainly is not; 2 the requirement, an option or a list cannot be read; 3 it cannot be
    told.

    \b
    capably require ">=7.5"
    capably require fp8 --devices all
    eval "$(capably require '>=7.5' --shell --for flashinfer)"
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    del color
    from capably.gate import usable  # noqa: PLC0415 - see capably.cli.app

    refused: IncompatibleError | None = None
    which = [int(one) for one in devices.split(",") if one] if devices.replace(",", "").isdecimal() else devices
    try:
        answer = usable(requirement, policy=policy, dialect=dialect, toolkit=toolkit, thorough=not fast)
        try:
            answer.require(feature, which)
        except IncompatibleError as error:
            refused = error
    except (ValueError, TypeError) as error:
        if not str(error).startswith(("policy is", "devices is", "device is", "there is no GPU")):
            raise
        raise click.UsageError(str(error)) from error
    if as_json or format_ == "json":
        from capably.report.machine import dumps  # noqa: PLC0415 - see capably.cli.app

        print_answer(dumps(_document(answer, refused)) + "\n")
    elif refused is not None:
        (complain if shell else _print)(str(refused))
    elif shell:
        lines = list(_exports(answer, tool))
        print_answer("".join(f"{line}\n" for line in lines))
        if not quiet:
            complain(*(line for line in answer.lines if ": meets it" not in line))
    else:
        _print("\n".join((f"`{answer.requirement}` is met", *(f"  {line}" for line in answer.lines))))
    return 0 if refused is None else _code(refused)


def _print(text: str) -> None:
    print_answer(f"{text}\n")


def _code(error: IncompatibleError) -> int:
    from capably.gate.policy import UNTOLD  # noqa: PLC0415 - see capably.cli.app

    if isinstance(error, UndecidedError) or error.code in UNTOLD:
        return 3
    return 2 if isinstance(error, GpuListError) and not getattr(error.answer, "verdicts", ()) else 1


def _exports(answer: Answer, tool: str | None) -> Iterator[str]:
    """Variables for a shell: the GPUs, and the list of the tool for exactly these."""
    import shlex  # noqa: PLC0415 - see capably.cli.app

    if answer.devices and answer.decided_by == "the GPUs of this process":
        yield f"export CUDA_VISIBLE_DEVICES={shlex.quote(answer.as_visible_devices())}"
    if tool is None:
        return
    from capably import probe  # noqa: PLC0415 - as above
    from capably.facts import ToolkitKind  # noqa: PLC0415 - as above
    from capably.jit_targets import TOOLS, choose_jit_targets  # noqa: PLC0415 - as above
    from capably.scanner.metadata import installed_versions  # noqa: PLC0415 - as above

    distributions = (*(TOOLS[tool].distributions if tool in TOOLS else ()), "torch")
    versions = {name: version for name, version in installed_versions(distributions, sys.path).items() if version}
    compilers = probe.toolkits(only=ToolkitKind.NVCC)
    chosen = choose_jit_targets(
        tool,
        answer.devices,
        driver=probe.look(thorough=True).driver,
        toolkit=next((one for one in compilers if "torch" in one.used_by), None),
        versions=versions,
    )
    for one in chosen.unusable:
        complain(f"{one.device.name or one.device.capability} is left out: {'; '.join(one.reasons)}")
    for name, value in chosen.variables:
        yield f"export {name}={shlex.quote(value)}"


def _document(answer: Answer, refused: IncompatibleError | None) -> dict[str, Any]:
    from capably.report.machine import reason_object  # noqa: PLC0415 - see capably.cli.app

    devices = [
        {
            "name": verdict.device.name,
            "capability": str(verdict.device.capability),
            "entry": answer.entries[number] if answer.entries else None,
            "outcome": str(verdict.outcome),
            "blame": answer.blames[number] or None,
            "reasons": [reason_object(reason) for reason in verdict.reasons],
        }
        for number, verdict in enumerate(answer.verdicts)
    ]
    return {
        "schema": 1,
        "requirement": str(answer.requirement),
        "met": refused is None,
        "error": None
        if refused is None
        else {
            "kind": type(refused).__name__,
            "code": refused.code,
            "problem": refused.problem,
            "way_out": refused.way_out,
        },
        "policy": str(answer.policy),
        "decided_by": answer.decided_by,
        "ignored": list(answer.ignored),
        "devices": devices,
    }
