"""``capably audit``: the gate before a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capably.cli.check import GpuType, driver_text
from capably.cli.console import WrongUseError, note, output_options, print_answer, style_of
from capably.cli.sources import source_options

if TYPE_CHECKING:
    from capably.audit import AuditPolicy, Report
    from capably.cli.sources import ArtifactReader
    from capably.facts import Artifact

__all__ = ["FORMATS", "audit"]

FORMATS = ("text", "json", "github", "sarif", "junit")


@click.command(context_settings={"auto_envvar_prefix": "CAPABLY_AUDIT"})
@click.argument("artifacts", nargs=-1, metavar="WHEEL...")
@click.option(
    "--policy",
    "policy_file",
    metavar="FILE",
    help="A TOML file with the table [tool.capably]. Default: the nearest pyproject.toml, in this folder or above.",
)
@click.option("--check-policy", is_flag=True, help="Only read the policy, and say whether it is well formed.")
@click.option("--no-policy", is_flag=True, help="Read no file: what the options say is the policy.")
@click.option(
    "--require",
    "require",
    multiple=True,
    type=GpuType(),
    metavar="GPU",
    help="GPUs that everything has to run on, as for check --gpu. Like all that follow, instead of what the file says.",
)
@click.option(
    "--native", multiple=True, type=GpuType(), metavar="GPU", help="GPUs that there has to be machine code for."
)
@click.option(
    "--targets", metavar="LIST", help='Targets that are built for: "sm_80, sm_90a, compute_90" or "8.0;9.0+PTX".'
)
@click.option(
    "--ptx",
    type=click.Choice(["required", "forbidden"]),
    help="Whether PTX for GPUs to come has to be there, or must not.",
)
@click.option(
    "--driver",
    metavar="VERSION",
    help="The oldest driver that is promised to do (R525, 12.4). A GPU that is newer needs the first that serves it.",
)
@click.option("--toolkit", metavar="VERSION", help="The CUDA version that all code is built by (12.8).")
@click.option("--max-size", metavar="SIZE", help="Of the wheel at most (300 MB).")
@click.option("--max-library-size", metavar="SIZE", help="Of any library at most, unpacked.")
@click.option(
    "--baseline",
    metavar="WHEEL",
    help="An older release: say what was gained and lost, and fail where a GPU was served better.",
)
@click.option(
    "--write-policy",
    is_flag=True,
    help="Print a policy to start from, as TOML, which the wheel passes as it is.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["none", "gap", "partial", "unknown", "warning"]),
    default="partial",
    show_default=True,
    help="Exit with 1 on errors, but not where some code of a library loads on a GPU (none, gap); on all errors (partial); "
    "also where it cannot be told (unknown); or also on warnings.",
)
@click.option("--kernels", is_flag=True, help="Read the kernels too, and name those that a gap is about. Takes longer.")
@click.option("-v", "--verbose", is_flag=True, help="All kinds of fatbins, all that is allowed, and notes.")
@source_options("audit")
@output_options("audit", FORMATS)
def audit(  # noqa: PLR0917 - click passes options by name
    artifacts: tuple[str, ...],
    policy_file: str | None,
    check_policy: bool,
    no_policy: bool,
    require: tuple[str, ...],
    native: tuple[str, ...],
    targets: str | None,
    ptx: str | None,
    driver: str | None,
    toolkit: str | None,
    max_size: str | None,
    max_library_size: str | None,
    baseline: str | None,
    write_policy: bool,
    fail_on: str,
    kernels: bool,
    verbose: bool,
    reader: ArtifactReader,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """Whether a wheel holds what its project promises, before it is released.

    The policy is the table [tool.capably] of the project's pyproject.toml, or what the options say. Exits with 1 where
    something that was promised is not there, with 3 where it cannot be told.

    \b
    capably audit dist/*.whl
    capably audit dist/*.whl --require "T4, A100, H100, RTX 5090" --driver R525
    capably audit dist/*.whl --baseline vllm==0.10.2 --format github
    capably audit dist/my-1.0-py3-none-manylinux_2_28_x86_64.whl --write-policy
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    from capably import audit as core  # noqa: PLC0415 - see capably.cli.app
    from capably.cli.targets import beyond_tables  # noqa: PLC0415 - as above

    if no_policy and policy_file:
        raise WrongUseError("--policy and --no-policy exclude each other")
    if write_policy and (as_json or format_ != "text"):
        raise WrongUseError("--write-policy prints TOML, which is what policies are written in: leave out the format")
    options = {
        "require": list(require), "native": list(native), "targets": targets, "ptx": ptx, "driver": driver,
        "toolkit": toolkit, "max-size": max_size, "max-library-size": max_library_size,
    }  # fmt: skip
    policy, file = (core.AuditPolicy(), None) if write_policy else _policy(policy_file, no_policy=no_policy)
    policy = _overridden(policy, {key: value for key, value in options.items() if value not in (None, [])})
    if check_policy:
        if file is None and policy == core.AuditPolicy():
            raise WrongUseError(
                "there is no policy to check: no pyproject.toml here or above has a table [tool.capably]"
            )
        note(f"well formed: {file or 'what the options say'}", quiet=quiet)
        return 0
    if not artifacts:
        raise WrongUseError("name a wheel to audit; --check-policy reads the policy alone")
    if policy == core.AuditPolicy() and not write_policy:
        note("there is no policy: this says what is odd about any wheel; see --require and --write-policy", quiet=quiet)
    elif file is not None:
        note(f"by the policy in {file}", quiet=quiet)
    if policy.driver is not None and (beyond := beyond_tables(policy.driver)):
        note(f"the promised driver, {driver_text(policy.driver)}, is {beyond}", quiet=quiet)
    found = reader.read(artifacts, with_kernels=kernels or policy.reads_kernels)
    for asked, artifact in found:
        inside = {library.path.partition("!/")[0] for library in artifact.libraries if "!/" in library.path}
        if len(inside) > 1:
            note(
                f"{asked} holds {len(inside)} archives, audited as one: name each to have it audited by itself",
                quiet=quiet,
            )
    older: tuple[Artifact, int | None] | None = None
    if baseline is not None and (read := reader.read([baseline])):
        older = read[0][1], _size(read[0][1])
    if write_policy:
        return _write_policy(found, reader)
    reports = [
        (
            asked,
            core.audit(
                artifact,
                policy,
                size_bytes=_size(artifact),
                baseline=older,
                beside=[
                    o
                    for _, o in found
                    if o is not artifact and (o.name, o.version) == (artifact.name, artifact.version)
                ],
            ),
        )
        for asked, artifact in found
    ]
    _answer(reports, reader, "json" if as_json else format_, color, file, fail_on=fail_on, verbose=verbose)
    if reader.errors:
        return 2
    return max((_exit_code(report, fail_on) for _, report in reports), key=(0, 3, 1).index, default=0)


def _policy(named: str | None, *, no_policy: bool) -> tuple[AuditPolicy, str | None]:
    """The policy of the project, and the file that it stands in."""
    from capably.audit import AuditPolicy  # noqa: PLC0415 - see capably.cli.app
    from capably.cli.policy import nearest_policy, read_policy  # noqa: PLC0415 - as above

    if no_policy:
        return AuditPolicy(), None
    path = Path(named) if named is not None else nearest_policy(Path.cwd())
    policy = read_policy(path, required=named is not None) if path is not None else None
    if policy is None or path is None:
        return AuditPolicy(), None
    if not named and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return policy, named or path.as_posix()


def _overridden(policy: AuditPolicy, options: dict[str, object]) -> AuditPolicy:
    """*policy* with what options say instead."""
    from capably.cli.policy import policy_of  # noqa: PLC0415 - see capably.cli.app
    from capably.errors import PolicyError  # noqa: PLC0415 - as above

    if not options:
        return policy
    try:
        said = policy_of(options, "")
    except PolicyError as error:
        wrong = WrongUseError(f"--{error.key}: {error.problem}")
        for text in getattr(error, "__notes__", ()):
            wrong.add_note(text)
        raise wrong from error
    fields = {"max-size": "artifact_bytes", "max-library-size": "library_bytes", "toolkit": "toolkits"}
    names = [fields.get(key, key) for key in options]
    return replace(policy, **{name: getattr(said, name) for name in names})


def _size(artifact: Artifact) -> int | None:
    """Of the file; None for what is none."""
    path = Path(artifact.path)
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _write_policy(found: list[tuple[str, Artifact]], reader: ArtifactReader) -> int:
    from capably.audit import starting_policy  # noqa: PLC0415 - see capably.cli.app
    from capably.report.audit import policy_toml  # noqa: PLC0415 - as above

    if reader.errors:
        return 2
    if len(found) != 1:
        raise WrongUseError("--write-policy starts from one wheel")
    artifact = found[0][1]
    print_answer(policy_toml(starting_policy(artifact, size_bytes=_size(artifact)), artifact))
    return 0


def _answer(
    reports: list[tuple[str, Report]],
    reader: ArtifactReader,
    format_: str,
    color: str,
    file: str | None,
    *,
    fail_on: str,
    verbose: bool,
) -> None:
    from capably.report import audit as shown  # noqa: PLC0415 - see capably.cli.app
    from capably.report.machine import dumps  # noqa: PLC0415 - as above

    match format_:
        case "json":
            print_answer(dumps(shown.audit_document(reports, file, reader.errors)) + "\n")
        case "sarif":
            print_answer(dumps(shown.audit_sarif(reports, reader.errors)) + "\n")
        case "junit":
            print_answer(shown.audit_junit(reports, reader.errors, fail_on=fail_on))
        case "github":
            print_answer(shown.audit_github(reports, file, reader.errors), commands=True)
        case _:
            if reports:
                print_answer(shown.audit_text(reports, style_of(color), verbose=verbose))


def _exit_code(report: Report, fail_on: str) -> int:
    """What the contract of exit codes makes of a report."""
    from capably.audit import RemarkSeverity  # noqa: PLC0415 - see capably.cli.app

    left = [remark for remark in report.remarks if remark.allowed is None]
    breaches = {RemarkSeverity.ERROR}
    if fail_on in ("unknown", "warning"):
        breaches.add(RemarkSeverity.UNKNOWN)
    if fail_on == "warning":
        breaches.add(RemarkSeverity.WARNING)
    if any(
        r.severity in breaches and not (fail_on in ("none", "gap") and r.code == "gpu-partly-covered") for r in left
    ):
        return 1
    return 3 if any(remark.severity is RemarkSeverity.UNKNOWN for remark in left) else 0
