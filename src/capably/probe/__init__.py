"""Looks at the machine: which GPUs this process would see, by which driver, with which compilers.

Nothing here creates a CUDA context, and nothing initialises a driver library in the calling process: a
child process asks, so that a later `fork` stays safe and a library that hangs or crashes does no harm.
Where the process has initialised the driver itself already, that one is asked.

A record of a machine (`save`, `load`) stands in for the machine where the variable ``CAPABLY_SYSTEM``
names one.
"""

from __future__ import annotations

from capably.errors import ParseError
from capably.probe.machine import Machine

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable

    from capably.facts import Device, Driver, System, Toolkit, ToolkitKind
    from capably.probe.fleet import Look
    from capably.probe.record import dumps, dumps_record, load, load_record, loads, save

__all__ = [
    "PATIENCE",
    "PYTHON",
    "Machine",
    "devices",
    "dumps",
    "dumps_record",
    "kernel_driver",
    "load",
    "load_record",
    "loads",
    "look",
    "patience",
    "save",
    "system",
    "toolkits",
]

_REPLAY = "CAPABLY_SYSTEM"
PATIENCE = "CAPABLY_PROBE_TIMEOUT"
"""The variable that says for how many seconds a driver is waited for."""
PYTHON = "CAPABLY_PROBE_PYTHON"
"""The variable that names the interpreter for the process that asks the driver."""
_LEAST, _MOST = 0.1, 3600.0  # seconds; no interpreter starts in much less
# What may change between two calls and would change the answer.
_ASKED = (_REPLAY, PATIENCE, "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LD_LIBRARY_PATH")

_known: dict[tuple[object, ...], Look] = {}
refreshes = 0
"""How often somebody has had the machine looked at again: whoever is about to remember an answer compares it."""
forgetters: list[Callable[[], None]] = []
"""Called then, by those who remember answers."""


def __getattr__(name: str) -> object:
    """Records are loaded by those who use them: the others wait for an answer."""
    if name in ("dumps", "dumps_record", "load", "load_record", "loads", "save"):
        from capably.probe import record  # noqa: PLC0415 - see above

        return getattr(record, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def system(machine: Machine | None = None, *, thorough: bool = True, compilers: bool = True) -> System:
    """This machine as this process sees it, or the one that ``CAPABLY_SYSTEM`` names.

    Args:
        machine: Where to look; by default here.
        thorough: Ask the driver even where NVML and the documented rules leave no doubt about the devices.
        compilers: Look for compilers and distributions too.

    Returns:
        The record. Where no device is visible, `absence` is the code of the cause.

    Raises:
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
        ParseError: ``CAPABLY_PROBE_TIMEOUT`` is no number of seconds.
    """
    here = _here(machine)
    replayed = here.environ.get(_REPLAY)
    if replayed:
        from capably.probe.record import load  # noqa: PLC0415 - see `__getattr__`

        return load(replayed)
    from capably.probe import assemble  # noqa: PLC0415 - `devices` needs none of it

    return assemble.look_at(here, thorough=thorough, compilers=compilers)


def toolkits(machine: Machine | None = None, *, only: ToolkitKind | None = None) -> tuple[Toolkit, ...]:
    """The compilers of `system` alone: no driver is asked for them.

    Those that a variable of the user names are run; the others are read, in the environment of this process too.

    Args:
        machine: Where to look; by default here.
        only: Those of one kind.

    Raises:
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
    """
    here = _here(machine, strict=False)
    replayed = here.environ.get(_REPLAY)
    if replayed:
        from capably.probe.record import load  # noqa: PLC0415 - see `__getattr__`

        return tuple(one for one in load(replayed).toolkits if only in (None, one.kind))
    from capably.probe.compilers import find_compilers  # noqa: PLC0415 - see `system`

    return tuple(one.toolkit for one in find_compilers(here, only=only))


def devices(*, refresh: bool = False) -> tuple[Device, ...]:
    """The devices that this process would see, in CUDA's order; those of the record that is replayed, if one is.

    The answer is kept, also over a fork, until a variable that decides it changes or the process initialises
    the driver.

    Args:
        refresh: Look again.

    Returns:
        Empty where there are none; `system` says why.

    Raises:
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
        ParseError: ``CAPABLY_PROBE_TIMEOUT`` is no number of seconds.
    """
    return look(refresh=refresh, strict=True).devices


def look(
    *,
    thorough: bool = False,
    refresh: bool = False,
    meanwhile: Callable[[], object] | None = None,
    strict: bool = False,
) -> Look:
    """The devices as `devices` gives them, with the driver, what decided, and why there are none.

    Args:
        thorough: Ask the driver also where there is no doubt about the devices: it tells more of them.
        refresh: Look again.
        meanwhile: Is called while the child process that asks is starting, if there is one: for work that would have to
            be done anyway.
        strict: Raise where ``CAPABLY_PROBE_TIMEOUT`` cannot be read. Else it counts as not set then.

    Raises:
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
        ParseError: *strict*, and ``CAPABLY_PROBE_TIMEOUT`` is no number of seconds.
    """
    from capably.probe.loaded import initialised_here  # noqa: PLC0415 - importing the package asks nobody

    global refreshes  # noqa: PLW0603 - counts, and is read only elsewhere
    if refresh:
        _known.clear()  # also what was seen under other variables, or more thoroughly
        refreshes += 1
        for forget in forgetters:
            forget()
    here = _here(None, strict=strict)
    replayed = here.environ.get(_REPLAY)
    library = None if replayed else initialised_here(here)
    key = (thorough, library is not None, *(here.environ.get(name) for name in _ASKED))
    found = None if refresh else _known.get(key)
    if found is None:
        found = _replay(replayed) if replayed else _look(here, library, meanwhile, thorough=thorough)
        if found.lasting:
            _known[key] = found
    return found


def _replay(path: str) -> Look:
    from capably.probe.fleet import Look  # noqa: PLC0415 - as above
    from capably.probe.record import load  # noqa: PLC0415 - see `__getattr__`

    recorded = load(path)
    return Look(
        recorded.devices,
        recorded.fleet,
        recorded.visibility,
        recorded.driver_state,
        recorded.driver,
        recorded.absence,
        recorded.findings,
    )


def _look(
    here: Machine, library: ctypes.CDLL | None, meanwhile: Callable[[], object] | None, *, thorough: bool
) -> Look:
    if not here.os_name.startswith("linux"):
        from capably.probe.assemble import without_driver  # noqa: PLC0415 - for other systems only

        return without_driver(here)
    if library is None:
        from capably.probe import driver_process  # noqa: PLC0415 - as above

        asking = driver_process.start(here)
        try:
            if meanwhile is not None:
                meanwhile()
            from capably.probe import fleet  # noqa: PLC0415 - loaded while the child starts

            return fleet.look(here, thorough=thorough, asking=asking)
        finally:  # whoever interrupts this thread does not reach a child in a session of its own
            driver_process.finish(asking)
    from capably.probe import fleet  # noqa: PLC0415 - as above

    return fleet.look_in_process(here, library) or fleet.look(here, thorough=thorough)


def kernel_driver(machine: Machine | None = None) -> Driver | None:
    """The driver whose kernel module is loaded here, read from a file: nobody is asked.

    Returns:
        None where there is none, or where it does not say (the Windows Subsystem for Linux).
    """
    from capably.facts import Driver  # noqa: PLC0415 - see `system`
    from capably.probe.settings import jit_setting  # noqa: PLC0415 - as above
    from capably.version import DriverRelease  # noqa: PLC0415 - as above

    here = machine or Machine()
    text = here.kernel_module
    try:
        release = DriverRelease.parse(text) if text else None
    except ParseError:
        release = None
    return Driver(release, jit=jit_setting(here.environ)) if release else None


def patience(text: str) -> float | None:
    """The seconds that ``CAPABLY_PROBE_TIMEOUT`` grants; None where *text* is no number of them from 0.1 to 3600.

    >>> patience("20"), patience("soon"), patience("1e-9")
    (20.0, None, None)
    """
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if _LEAST <= seconds <= _MOST else None


def _here(machine: Machine | None, *, strict: bool = True) -> Machine:
    here = machine or Machine()
    text = here.environ.get(PATIENCE)
    if not text:
        return here
    seconds = patience(text)
    if seconds is None:
        if not strict:
            return here
        raise ParseError(
            f"number of seconds in {PATIENCE}", text, 0, len(text), "a number from 0.1 to 3600, such as `20`"
        )
    from dataclasses import replace  # noqa: PLC0415 - rarely needed

    return replace(here, patience=seconds)
