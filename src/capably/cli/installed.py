"""The packages of an environment, read while the machine is looked at."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from capably.cli.cache import open_store
from capably.cli.console import ProgressBar, explain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from capably.cli.environment import Environment
    from capably.doctor import Installed
    from capably.facts import Record
    from capably.probe import Machine
    from capably.scanner.metadata import Distribution

__all__ = ["environment_and_machine", "read_installed", "shared_libraries"]

_LONGEST_NAME = 255  # of a file, wherever Python runs


@contextmanager
def environment_and_machine(
    record: str | None, python: str | None
) -> Iterator[tuple[Environment | None, Future[Record]]]:
    """The environment, and the machine, which a thread of its own looks at: it mostly waits for others.

    Args:
        record: A recorded machine, instead of this one.
        python: See `capably.cli.environment.find_environment`. Packages here say nothing about a recorded
            machine, unless they are named.

    Raises:
        EnvironmentProblem: See `capably.cli.environment.find_environment`.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - see capably.cli.app

    from capably.cli.environment import find_environment  # noqa: PLC0415 - as above

    with ThreadPoolExecutor(1) as pool:
        try:
            asked = pool.submit(find_environment, python) if record is None or python is not None else None
            from capably import probe  # noqa: PLC0415 - while the interpreter there starts
            from capably.tables import tables  # noqa: PLC0415 - as above

            tables()
            environment = asked.result() if asked else None
            paths = environment.paths if environment else ()
            if record is not None:
                yield environment, pool.submit(probe.load_record, record)
            else:
                yield environment, pool.submit(_here, probe.Machine(prefix=_prefix(paths), paths=paths))
        except BaseException:  # an interrupt above all: the pool waits for its thread, and that for a driver
            from capably import processes  # noqa: PLC0415 - rarely needed

            with processes.stopped():
                pool.shutdown(cancel_futures=True)
            raise


def _here(machine: Machine) -> Record:
    """This machine, without its packages, which are read meanwhile; or the record that stands for it."""
    from capably import probe  # noqa: PLC0415 - see capably.cli.app
    from capably.facts import Record  # noqa: PLC0415 - as above

    return Record(probe.system(machine))


def _prefix(paths: tuple[str, ...]) -> str:
    """The folder of an environment, from where its packages are."""
    site = next((Path(path) for path in paths if Path(path).name == "site-packages"), None)
    return str(site.parents[2]) if site is not None and len(site.parents) > 3 else ""


def read_installed(environment: Environment, *, no_cache: bool, quiet: bool, color: str) -> list[Installed]:
    """Every distribution with GPU code, those that something particular is known about, and those that are damaged."""
    from capably.cli.environment import distributions  # noqa: PLC0415 - see capably.cli.app
    from capably.doctor import Installed  # noqa: PLC0415 - as above
    from capably.errors import CapablyError  # noqa: PLC0415 - as above
    from capably.facts import DAMAGE  # noqa: PLC0415 - as above
    from capably.scanner import scan_distribution  # noqa: PLC0415 - as above
    from capably.tables import tables  # noqa: PLC0415 - as above

    store = None if no_cache else open_store()
    conflicts = {name for row in tables().packages for name in row.conflicts}
    parts = [row.part for row in tables().packages if row.part is not None]
    installed = []
    with ProgressBar(quiet=quiet, color=color) as progress:
        for name, distribution in distributions(environment).items():
            try:
                artifact = scan_distribution(distribution, progress=progress, store=store)
            except CapablyError as error:
                explain(error)
                continue
            libraries = shared_libraries(distribution)
            known = tables().package(name) is not None or name in conflicts or any(p.fullmatch(name) for p in parts)
            damaged = any(finding.code in DAMAGE for finding in artifact.findings)
            if artifact.libraries or libraries or known or damaged:
                installed.append(Installed(artifact, distribution.fields("Requires-Dist"), libraries))
    return installed


def shared_libraries(distribution: Distribution) -> frozenset[str]:
    """Names of the shared libraries that a distribution lists."""
    record = distribution.record()
    names = set()
    found = record.find(b".so")
    while found >= 0:  # few of tens of thousands of lines
        start, end = record.rfind(b"\n", 0, found) + 1, record.find(b"\n", found)
        path = record[start : end if end >= 0 else None].partition(b",")[0]
        name = path.rpartition(b"/")[2]
        if b".so" in name and len(name) <= _LONGEST_NAME:
            names.add(name.decode("utf-8", "replace"))
        found = record.find(b".so", end) if end >= 0 else -1
    return frozenset(names)
