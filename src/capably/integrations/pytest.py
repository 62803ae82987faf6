"""Tests that say what they need of a GPU: ``@pytest.mark.cuda("sm90+,fp8")``.

Loaded by pytest itself. Until a test has the mark nothing of capably is imported, and until one is run nothing looks
for GPUs; CUDA is not initialised in the process of the tests. With ``--require-gpu`` they are looked for first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from capably.errors import IncompatibleError
    from capably.facts import Device
    from capably.requirement import Requirement

_MARK = (
    "cuda(requirement, devices='current'): runs where the GPU meets the requirement, such as 'sm90+,fp8', and is "
    "skipped with the reason where it does not, or where that is not known; devices: 'current', 'any', 'all', numbers"
)
_ANY_GPU = ">=1.0"
_DEVICES = ("current", "any", "all")
_GPUS = pytest.StashKey[list[tuple[str, "Device"]]]()
_SKIPS = pytest.StashKey[dict[object, str | None]]()
_SKIPPED = pytest.StashKey[bool]()
_OURS = "skipped_by_capably"  # of a report, which pytest-xdist carries from its workers
_REQUIRED = "require_gpu"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that stand in for GPUs, or insist on one."""
    group = parser.getgroup("capably", "GPUs")
    group.addoption(
        "--assume-gpu",
        action="append",
        default=[],
        metavar="GPU",
        help="show which of the tests marked cuda would run on this GPU, by name or compute capability; runs nothing",
    )
    group.addoption(
        "--require-gpu",
        action="store_true",
        help="fail with the reason, before any test is run, where CUDA can use no GPU, instead of skipping tests",
    )
    parser.addini(_REQUIRED, "always as with --require-gpu: no GPU, no pass", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """The mark, and the GPUs to assume."""
    config.addinivalue_line("markers", _MARK)
    names: list[str] = config.getoption("--assume-gpu")
    if not names:
        return
    from capably.errors import CapablyError  # noqa: PLC0415 - not until it is used
    from capably.gpu_names import named_devices  # noqa: PLC0415 - as above

    try:
        assumed = named_devices(names)
    except CapablyError as error:
        raise pytest.UsageError(f"--assume-gpu: {error}") from error
    config.stash[_GPUS] = [(f"{device.name or 'GPU'} ({device.capability})", device) for device in assumed]
    config.option.collectonly = True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse requirements that cannot be read, before anything runs."""
    problems = []
    for item in items:
        for mark in item.iter_markers("cuda"):
            problem = _problem(mark)
            if problem:
                problems.append(f"{item.nodeid}: {problem}")
    if problems:
        raise pytest.UsageError("\n".join(dict.fromkeys(problems)))


def _problem(mark: pytest.Mark) -> str | None:
    from capably.errors import ParseError, UnknownNameError  # noqa: PLC0415 - not until a test is marked

    devices = mark.kwargs.get("devices", "current")
    numbers = isinstance(devices, list | tuple) and devices and all(isinstance(number, int) for number in devices)
    if len(mark.args) > 1 or set(mark.kwargs) - {"devices"} or not all(isinstance(arg, str) for arg in mark.args):
        return "cuda takes one text, such as cuda('sm90+,fp8'), and devices="
    if devices not in _DEVICES and not numbers:
        return f"devices={devices!r}: 'current', 'any', 'all' or a list of numbers is meant"
    try:
        _requirement(mark)
    except (ParseError, UnknownNameError) as error:
        return str(error)
    return None


def _requirement(mark: pytest.Mark) -> Requirement:
    from capably.wanted import read_requirement  # noqa: PLC0415 - not until a test is marked

    return read_requirement(mark.args[0] if mark.args else _ANY_GPU)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the GPUs here do not meet."""
    for mark in item.iter_markers("cuda"):
        known = item.config.stash.setdefault(_SKIPS, {})
        key = (mark.args, str(mark.kwargs))
        if key not in known:
            from capably.escaping import escaped  # noqa: PLC0415 - not until a marked test is run

            reason = _reason_of(mark)
            known[key] = escaped(reason) if reason is not None else None
        reason = known[key]
        if reason is not None:
            item.stash[_SKIPPED] = True
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a skipped test be named in the summary, not this file."""
    report = yield
    if item.stash.get(_SKIPPED, False) and isinstance(report.longrepr, tuple):
        path, line, _ = item.reportinfo()
        report.longrepr = (os.fspath(path), (line or 0) + 1, report.longrepr[2])
        setattr(report, _OURS, True)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """With ``--require-gpu``: stop before the first test where there is none."""
    config = session.config
    option = "--require-gpu" if config.getoption("--require-gpu") else _REQUIRED if config.getini(_REQUIRED) else None
    if option is None or config.option.collectonly or hasattr(config, "workerinput"):
        return  # a worker of pytest-xdist is asked once by who started it
    from capably.escaping import escaped  # noqa: PLC0415 - not until it is asked for
    from capably.wanted import read_requirement  # noqa: PLC0415 - as above

    reason = _reason(read_requirement(_ANY_GPU), "needs a GPU", "any")
    if reason is not None:
        pytest.exit(escaped(f"{option}: {reason.removeprefix('needs a GPU: ')}"), pytest.ExitCode.TESTS_FAILED)


@pytest.fixture
def cuda_devices(request: pytest.FixtureRequest) -> tuple[Device, ...]:
    """The GPUs that meet all marks ``cuda`` of the test, as `capably.facts.Device`, in the order in which CUDA numbers them.

    Without a mark, all GPUs of this process. Where there is none, the test is skipped with the reason.
    """
    from capably import gate  # noqa: PLC0415 - not until a test asks for it
    from capably.escaping import escaped  # noqa: PLC0415 - as above

    mark = pytest.mark.cuda(devices="any").mark
    reason = _reason_of(mark)
    if reason is not None:
        request.node.stash[_SKIPPED] = True
        pytest.skip(escaped(reason))
    found: dict[Device, None] | None = None
    for one in (*request.node.iter_markers("cuda"), mark):
        meeting = gate.usable(_requirement(one), thorough=True).devices
        found = dict.fromkeys(device for device in meeting if found is None or device in found)
    return tuple(found or ())


def _reason_of(mark: pytest.Mark) -> str | None:
    """Why a test with *mark* is skipped here; None where it runs."""
    requirement = _requirement(mark)
    needs = f"needs `{requirement}`" if mark.args else "needs a GPU"
    return _reason(requirement, needs, mark.kwargs.get("devices", "current"))


def _reason(requirement: Requirement, needs: str, devices: str | list[int]) -> str | None:
    """Why the GPUs here do not do; None where they do."""
    from capably import gate  # noqa: PLC0415 - not until a marked test is run
    from capably.errors import IncompatibleError, UndecidedError  # noqa: PLC0415 - as above

    answer = gate.usable(requirement, thorough=True)  # a test will start CUDA, so that has to work
    if any(verdict.device.assumed for verdict in answer.verdicts):
        return f"{needs}: no GPU is here, and {answer.decided_by} makes none"
    try:
        answer.require(devices=devices)
    except UndecidedError as error:
        return f"unknown whether the GPU meets `{requirement}`: {_one_line(*_about_gpus(error), error.way_out)}"
    except IncompatibleError as error:
        return f"{needs}: {_one_line(error.problem, *_about_gpus(error))}"
    except ValueError as error:
        return f"{needs}: {error}"
    return None


def _about_gpus(error: IncompatibleError) -> list[str]:
    return [line for line in error.lines if not line.startswith(("Decided by: ", "Ignored: "))]


def _one_line(*parts: str) -> str:
    return "; ".join(part.rstrip(".") for part in parts if part)


# ---------------------------------------------------------------------------------------------------------
# The summary, and what would run elsewhere


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Why marked tests were skipped, where ``-rs`` does not say; with ``--assume-gpu``, what would become of each."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        if getattr(report, _OURS, False):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            reasons[reason] = reasons.get(reason, 0) + 1
    if reasons and not terminalreporter.hasopt("skipped"):
        terminalreporter.section("tests skipped for want of a GPU")
        for reason, count in reasons.items():
            terminalreporter.write_line(f"{count:>4}  {reason}")
    for name, device in config.stash.get(_GPUS, []):
        items: list[pytest.Item] = terminalreporter.config.stash.get(_MARKED, [])
        told = [(item.nodeid, *_elsewhere(item, device)) for item in items]
        would = sum(outcome == "would run" for _, outcome, _ in told)
        terminalreporter.section(f"{name}: {would} of {len(told)} tests marked cuda would run")
        for node, outcome, why in told:
            terminalreporter.write_line(f"{outcome:<10}  {node}{f': {why}' if why else ''}")


_MARKED = pytest.StashKey[list[pytest.Item]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep the marked tests for the summary."""
    if _GPUS in session.config.stash:
        session.config.stash[_MARKED] = [item for item in session.items if item.get_closest_marker("cuda")]


def _elsewhere(item: pytest.Item, device: Device) -> tuple[str, str]:
    """What would become of a test on a machine with that one GPU, the newest driver that is known, and no more said."""
    from capably.codes import Outcome  # noqa: PLC0415 - as above
    from capably.engine import judge  # noqa: PLC0415 - not until it is asked for
    from capably.tables import tables  # noqa: PLC0415 - as above

    driver = tables().newest_driver(device.capability)
    worst, why = "would run", ""
    for mark in item.iter_markers("cuda"):
        verdict = judge(_requirement(mark), device, driver)
        if verdict.outcome is Outcome.RUNS:
            continue
        against = dict.fromkeys(reason.message for reason in verdict.reasons if reason.outcome is verdict.outcome)
        if verdict.outcome is Outcome.FAILS:
            return "would skip", "; ".join(against)
        worst, why = "unknown", "; ".join(against)
    return worst, why
