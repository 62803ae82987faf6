"""``capably explain``: pages of codes, and what an error message means on this machine."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shlex
import sys
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capably.cli.check import GpuType
from capably.cli.console import WrongUseError, note, open_stream, output_options, print_answer, style_of
from capably.logs import Given

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from capably.codes import Page
    from capably.facts import Artifact, Record
    from capably.logs import Explanation, SeenMessage
    from capably.tables import Cause

__all__ = ["explain"]

_BLOCK = 1 << 20
# Of a CUDA error: those of the runtime and of the driver have three digits at most, but for one.
_NUMBER = re.compile(r"\s*(?:[0-9]{1,3}|10000)\s*")
# What is read of a log at most. A program may run and print for days, so no time bounds it.
_MOST_READ = 1 << 30


@click.command()
@click.argument("words", nargs=-1, metavar="[CODE | MESSAGE | -]")
@click.option("--log", "log", metavar="FILE", envvar="CAPABLY_EXPLAIN_LOG", help="A log to explain; - reads a pipe.")
@click.option(
    "--system",
    "records",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    envvar=["CAPABLY_EXPLAIN_SYSTEM", "CAPABLY_SYSTEM"],
    help="A record of the machine that the log comes from, as `capably doctor --save` writes it; with several, one line "
    "for each.",
)
@click.option(
    "--here",
    is_flag=True,
    envvar="CAPABLY_EXPLAIN_HERE",
    help="The message comes from this machine, though it does not show that.",
)
@click.option(
    "--gpu",
    "gpus",
    multiple=True,
    type=GpuType(),
    metavar="GPU",
    envvar="CAPABLY_EXPLAIN_GPU",
    help="The GPUs where the message comes from, as for check.",
)
@click.option(
    "--driver",
    metavar="VERSION",
    envvar="CAPABLY_EXPLAIN_DRIVER",
    help="The driver there, as for check.",
)
@click.option(
    "--package",
    "packages",
    multiple=True,
    metavar="NAME==VERSION",
    envvar="CAPABLY_EXPLAIN_PACKAGE",
    help="A package there, with its version.",
)
@click.option(
    "--python",
    metavar="PATH",
    envvar="CAPABLY_EXPLAIN_PYTHON",
    help="The interpreter or environment that was running. Default: the active one, else capably's own.",
)
@output_options("explain")
def explain(  # noqa: PLR0917 - click passes options by name
    words: tuple[str, ...],
    log: str | None,
    records: tuple[str, ...],
    here: bool,
    gpus: tuple[str, ...],
    driver: str | None,
    packages: tuple[str, ...],
    python: str | None,
    format_: str,
    as_json: bool,
    color: str,
    quiet: bool,
) -> int:
    """The page of a code; or what an error message means, and which of its causes holds.

    CODE is that of a reason, a finding or a cause, or the number or name of a CUDA error; MESSAGE is one as it was
    printed. With a log (--log FILE, or - for a pipe), the messages in it are recognised. The log is the first witness:
    the GPUs, versions and variables that it names are used. A record (--system), and what you give by hand, add to it.
    This machine counts only where the log shows that it comes from it, or with --here. Exits with 3 where no message is
    recognised. Without anything: the list of codes.

    \b
    capably explain ptx-newer-than-driver
    capably explain 209 --gpu V100 --package torch==2.11.0+cu128
    capably explain "CUDA error: no kernel image is available"
    python train.py 2>&1 | capably explain -
    capably explain --log crash.txt --system machine.json
    """  # noqa: D301 - the backspace tells click to keep the lines below it as they are
    from capably.report.machine import dumps  # noqa: PLC0415 - see capably.cli.app

    json_wanted = as_json or format_ == "json"
    if here and records:
        raise WrongUseError("--here and --system name two machines: the log comes from one of them")
    given = _given(gpus, driver, packages)
    asked = [_Sought(record, python, here, given) for record in records or (None,)]
    code = " ".join(words) if words else None
    if code not in (None, "-") and log is not None:
        raise WrongUseError("a code and a log are two questions: ask one of them")
    if code is not None and code != "-":
        if _NUMBER.fullmatch(code):
            code = f"CUDA error {code.strip()}"  # as the messages have it that say no more
        if " " in code.strip() or _is_name_of_error(code):  # no code has a space: it is the message itself
            return _log(code.encode("utf-8", "replace"), asked, json_wanted=json_wanted, color=color, quiet=quiet)
        return _page(code, json_wanted=json_wanted, color=color)
    if code is None and log is None and not _piped():
        from capably.report.explain import codes_document, codes_text  # noqa: PLC0415 - as above

        print_answer(dumps(codes_document()) + "\n" if json_wanted else codes_text(style_of(color)))
        return 0
    if log in (None, "-") and sys.stdin.isatty():
        note("reading from the terminal; end with Ctrl-D", quiet=quiet)
    text = _read(log or "-", quiet=quiet)
    return _log(text, asked, json_wanted=json_wanted, color=color, quiet=quiet)


@dataclass(frozen=True, slots=True)
class _Sought:
    """Where the facts are to come from."""

    record: str | None
    python: str | None
    here: bool
    given: Given

    @property
    def options(self) -> str:
        """Those of them that other commands take as well."""
        named = {"--system": self.record, "--python": self.python}
        return "".join(f" {option} {shlex.quote(value)}" for option, value in named.items() if value)


def _given(gpus: tuple[str, ...], driver: str | None, packages: tuple[str, ...]) -> Given:
    """Facts by hand."""
    from capably.cli.targets import read_driver, read_gpus  # noqa: PLC0415 - see capably.cli.app
    from capably.logs import Given  # noqa: PLC0415 - as above

    versions = []
    for package in packages:
        found = re.fullmatch(
            r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]{0,100}[A-Za-z0-9])?)\s*==\s*([0-9][0-9A-Za-z.+!_-]{0,60})\s*", package
        )
        if found is None:
            raise WrongUseError(f"--package is `{package}`: write NAME==VERSION, such as torch==2.7.1+cu128")
        versions.append((re.sub("[._-]+", "-", found[1]).lower(), found[2]))
    return Given(read_gpus(gpus) if gpus else (), read_driver(driver) if driver is not None else None, tuple(versions))


def _is_name_of_error(code: str) -> bool:
    """Whether it is one of those that NVIDIA gives to errors, as no page is called."""
    return re.match(r"\s*(?:cuda[A-Z]|CUDA_ERROR_|CU[A-Z]+_STATUS_|NVRTC_ERROR_|nccl[A-Z])", code) is not None


def _piped() -> bool:
    """Whether standard input brings something by itself: a pipe or a file, and no terminal or nothing."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    import stat  # noqa: PLC0415 - for this question only

    return stat.S_ISFIFO(mode) or (stat.S_ISREG(mode) and os.fstat(sys.stdin.fileno()).st_size > 0)


def _page(code: str, *, json_wanted: bool, color: str) -> int:
    from capably.codes import FINDINGS, REASONS  # noqa: PLC0415 - as above
    from capably.errors import UnknownNameError  # noqa: PLC0415 - see capably.cli.app
    from capably.report.explain import page_document, page_text  # noqa: PLC0415 - as above
    from capably.report.machine import dumps  # noqa: PLC0415 - as above
    from capably.tables import tables  # noqa: PLC0415 - as above

    pages: dict[str, Page | Cause] = {**tables().causes, **FINDINGS, **REASONS}
    wanted = code.strip().lower().replace("_", "-")
    page = pages.get(wanted)
    if page is None:
        unknown = UnknownNameError("code", code, tuple(difflib.get_close_matches(wanted, pages, n=3)))
        with contextlib.suppress(OSError, ValueError):
            if Path(code).is_file():
                unknown.add_note(f"a log is explained by `capably explain --log {shlex.quote(code)}`")
        raise unknown
    print_answer(dumps(page_document(page)) + "\n" if json_wanted else page_text(page, style_of(color)))
    return 0


def _log(text: bytes, asked: Sequence[_Sought], *, json_wanted: bool, color: str, quiet: bool) -> int:
    """What a log means: on one machine in full, on several a line for each."""
    from capably.report.explain import log_document, log_text, logs_text  # noqa: PLC0415 - see capably.cli.app
    from capably.report.machine import by_system_document, dumps  # noqa: PLC0415 - as above

    answers = [_explained(text, one, color=color, quiet=quiet) for one in asked]
    found = any(answers)
    named = [(one.record or "", answer) for one, answer in zip(asked, answers, strict=True)]
    if json_wanted:
        documents = [(name, log_document(answer)) for name, answer in named]
        print_answer(dumps(documents[0][1] if len(named) == 1 else by_system_document(documents)) + "\n")
    elif not found:
        print_answer("no message that is known\n")
        note("`capably doctor` looks at the machine and at what is installed, whatever a log says", quiet=quiet)
    elif len(named) == 1:
        print_answer(log_text(answers[0], style_of(color), options=asked[0].options))
    else:
        print_answer(logs_text(named, style_of(color)))
    return 0 if found else 3


def _explained(text: bytes, asked: _Sought, *, color: str, quiet: bool) -> tuple[Explanation, ...]:
    from capably.logs import FactOrigin, files_of, recognise  # noqa: PLC0415 - see capably.cli.app
    from capably.logs import explain as explain_log  # noqa: PLC0415 - as above

    # The machine is looked at only where there is something to explain.
    recognised = recognise(text)
    if not recognised:
        return ()
    origin = FactOrigin.SYSTEM if asked.record else FactOrigin.THIS_MACHINE
    present = None if asked.here or asked.record else frozenset(filter(_is_file, files_of(text)))
    record, artifacts = _facts(text, recognised, asked, present, color=color, quiet=quiet)
    given = asked.given
    if record.gpus and not record.system.devices and not given.devices:
        given = replace(given, devices=record.gpus)  # as they were named when it was recorded
    return explain_log(text, record.system, artifacts, origin=origin, given=given, present=present)


def _is_file(path: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return os.path.isfile(path)  # noqa: PTH113 - a Path of a hostile text costs more
    return False


def _facts(
    text: bytes,
    recognised: Sequence[SeenMessage],
    asked: _Sought,
    present: frozenset[str] | None,
    *,
    color: str,
    quiet: bool,
) -> tuple[Record, list[Artifact]]:
    """The machine, and what is installed on it where that could tell something."""
    from capably.cli.environment import distributions  # noqa: PLC0415 - see capably.cli.app
    from capably.cli.installed import environment_and_machine, read_installed  # noqa: PLC0415 - as above
    from capably.logs import is_from, reads_packages  # noqa: PLC0415 - as above

    with environment_and_machine(asked.record, asked.python) as (environment, system_to_come):
        record = system_to_come.result()
    system = record.system
    if present is not None and not is_from(text, asked.given, system, present):
        return record, []  # nothing of it counts
    if asked.record is None and environment is not None:
        note(f"using the packages of {environment.place} ({environment.chosen_by})", quiet=quiet)
    if asked.record is not None and environment is not None:
        # Named, so it is what was running there.
        versions = ((name, one.version or "") for name, one in distributions(environment).items())
        record = replace(record, system=replace(system, distributions=tuple(versions)))
    elif record.packages is not None:
        kept = [one.artifact for one in record.packages]
        versions = ((one.name, one.version) for one in kept if one.name and one.version)
        known = tuple({**dict(versions), **dict(system.distributions)}.items())
        return replace(record, system=replace(system, distributions=known)), kept
    if environment is None or not system.devices or not reads_packages(recognised):
        return record, []
    installed = read_installed(environment, no_cache=False, quiet=quiet, color=color)
    return record, [one.artifact for one in installed]


def _read(place: str, *, quiet: bool) -> bytes:
    """The end of a log, or of as much of it as is read."""
    with open_stream(place) as stream:
        kept, whole = _tail(stream)
    if not whole:
        note(f"the log was read up to {_MOST_READ >> 30} GiB; what comes later was not", quiet=quiet)
    return kept


def _tail(file: BinaryIO) -> tuple[bytes, bool]:
    """The last bytes of *file*, and whether its end was reached: a pipe need not have one."""
    from capably.logs import MOST_BYTES  # noqa: PLC0415 - see capably.cli.app

    with contextlib.suppress(OSError, ValueError):  # no such thing in a pipe
        file.seek(-MOST_BYTES, os.SEEK_END)
    blocks: deque[bytes] = deque()
    held = read = 0
    while block := file.read(min(_BLOCK, _MOST_READ - read)):
        blocks.append(block)
        read += len(block)
        held += len(block)
        while held - len(blocks[0]) >= MOST_BYTES:
            held -= len(blocks.popleft())
    return b"".join(blocks)[-MOST_BYTES:], read < _MOST_READ
