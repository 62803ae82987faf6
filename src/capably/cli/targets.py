"""What people write behind ``--gpu`` and ``--driver``, as devices and drivers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capably.cli.console import WrongUseError
from capably.errors import ParseError, UnknownNameError
from capably.facts import Device, Driver, Standing
from capably.gpu_names import hosts_of, named_devices
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["beyond_tables", "models", "quoting_hint", "read_driver", "read_gpus"]

# The oldest branch that could be meant; CUDA versions are far below.
_LEAST_BRANCH = 300


def read_gpus(values: Iterable[str]) -> tuple[Device, ...]:
    """The devices that ``--gpu`` names; each value may hold several, with commas between them.

    Raises:
        WrongUseError: Nothing is named.
        UnknownNameError: No GPU is called so.
        AmbiguousNameError: GPUs of several capabilities are.
        ParseError: A capability is ill-formed, or nothing is between two commas.
    """
    devices = named_devices(values)
    if not devices:
        raise WrongUseError("--gpu is empty: name a product, a compute capability or `all`")
    return devices


def quoting_hint(gpus: Sequence[str], artifacts: Sequence[str]) -> str:
    """What to say where the rest of a GPU's name was perhaps taken for artifacts; empty where it was not.

    >>> quoting_hint(["RTX"], ["5090"])
    'a name with spaces needs quotes: --gpu "RTX 5090"'
    """
    for value in gpus:
        begun = re.split(r"[,;]", value)[-1].strip()
        for count in range(min(len(artifacts), 5), 0, -1):
            name = " ".join([begun, *artifacts[:count]])
            try:
                tables().find_products(name)
            except UnknownNameError:
                continue
            return f'a name with spaces needs quotes: --gpu "{name}"'
    return ""


_LEAD = re.compile(r"(?i)^(?:(?:nvidia(?:-smi)?|cuda|driver|version|release)\b[\s:=]*)+")
_PAIR = re.compile(r"(?i)(.*[0-9])[\s,;/|(]+(?:max )?cuda(?: version)?[\s:]*([0-9]+\.[0-9]+)\s*\)?")


def models(devices: Iterable[Device]) -> tuple[tuple[Device, int], ...]:
    """The different products among *devices* that were found, and how many there are of each."""
    found: dict[Device, int] = {}
    for device in devices:
        try:
            products = tables().find_products(device.name) if device.name else ()
        except UnknownNameError:
            products = ()
        fitting = [product for product in products if product.capability == device.capability]
        model = Device(device.capability, device.name, hosts_of(device.capability, fitting))
        found[model] = found.get(model, 0) + 1
    return tuple(found.items())


def read_driver(text: str) -> Driver:
    """A driver from its release (``550.54.14``, ``R550``), from the CUDA version it supports (``12.4``), or both.

    Raises:
        WrongUseError: It is empty, or it may be either.
        ParseError: Neither.
    """
    if not text.strip():
        raise WrongUseError(
            "--driver is empty: name a release such as 550.54.14 or R550, or a CUDA version such as 12.4"
        )
    pair = _PAIR.fullmatch(text.strip())
    if pair is not None:
        release, cuda = read_driver(pair[1]).release, _cuda(text, pair[2])
        return Driver(release=release, cuda=cuda)
    plain = _LEAD.sub("", text.strip())
    joined = re.fullmatch(r"(?i)cu-?([0-9]{1,2})([0-9])", plain)
    if joined is not None and int(joined[1]) >= _OLDEST_CUDA_MAJOR:
        return Driver(cuda=_cuda(text, f"{joined[1]}.{joined[2]}"))
    expected = "a driver release such as `550.54.14` or `R550`, or a CUDA version such as `12.4`"
    numbers = re.fullmatch(r"(?i)([rv]?)([0-9]{1,4})((?:\.[0-9]{1,4}){0,2})", plain)
    if numbers is None:
        raise ParseError("driver version", text, 0, len(text), expected)
    letter, first, rest = numbers[1], int(numbers[2]), numbers[3]
    if first >= _LEAST_BRANCH:
        # One that is newer than the tables may exist by now. With a digit more than any known it is a slip of the finger:
        # `R5250` would quietly be newer than all that an image asks for.
        newest = tables().branches[-1].number
        if len(numbers[2]) > len(str(newest)):
            raise ParseError("driver version", text, 0, len(text), f"one that there is, such as `R{newest}`")
        return Driver(release=DriverRelease.parse(f"{first}{rest}"))
    if first < 100 and rest and not letter:
        return Driver(cuda=_cuda(text, plain))
    if not rest:
        raise WrongUseError(
            f"`{text}` is neither a release nor a CUDA version in full: a release is written 550.54.14 or R550, "
            f"a CUDA version with its second number, {first}.0 or the like"
        )
    raise ParseError("driver version", text, 0, len(text), expected)


_OLDEST_CUDA_MAJOR = 9


def beyond_tables(driver: Driver) -> str:
    """What to say of a driver that is newer than any known; empty for others."""
    if tables().branch(driver)[1] is not Standing.NEWER:
        return ""
    newest = tables().branches[-1]
    return f"newer than any driver known (R{newest.number}, CUDA {newest.cuda})"


def _cuda(text: str, version: str) -> CudaVersion:
    """A CUDA version that exists, or that may exist by now."""
    cuda = CudaVersion.parse(version)
    known = [version for version, _ in tables().ptx]
    newest = known[-1]
    last = max((found.minor for found in known if found.major == cuda.major), default=2)
    real = _OLDEST_CUDA_MAJOR <= cuda.major < newest.major and cuda.minor <= last
    if real or newest.major <= cuda.major <= newest.major + 1:
        return cuda
    raise ParseError("CUDA version", text, 0, len(text), f"one that there is, such as `{newest}`")
