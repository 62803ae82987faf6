"""Lists of targets and GPUs in variables: which are set, what they name, and which are passed over."""

from __future__ import annotations

from capably import probe
from capably.errors import ParseError
from capably.gate.policy import GPUS_HERE, LISTS, OVERRIDE, TORCH_LIST, Policy

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capably.arch import Target
    from capably.facts import Device

__all__ = [
    "gpus_in_words",
    "listed_devices",
    "lists_set",
    "named_gpus",
    "passed_over",
    "targets_of_list",
    "unread_patience",
]


def lists_set(
    environ: Mapping[str, str], dialect: str | None
) -> tuple[str | None, tuple[tuple[str, str, str | None], ...]]:
    """The variable of *dialect*, and the lists that are set, that one first. An empty one counts as not set."""
    own = None
    if dialect is not None:
        from capably.archlist import VARIABLES  # noqa: PLC0415 - rarely needed
        from capably.list_output import deciding  # noqa: PLC0415 - as above

        name, _, version = dialect.partition("==")
        name = _ALIASES.get(name, name)
        dialect = f"{name}=={version}" if version else name
        reads = deciding(name, version or None)
        own, dialect = VARIABLES[reads], dialect if reads == name else None
    names = dict.fromkeys((own or TORCH_LIST, *LISTS))
    return own, tuple((name, text, dialect if name == own else None) for name in names if (text := environ.get(name)))


_ALIASES = {"torch": "torch-python", "pytorch": "torch-python", "nvcc": "nvcc-arch"}
_NATIVE = "native"


def targets_of_list(text: str, dialect: str | None, devices: Sequence[Device] = ()) -> tuple[Target, ...]:
    """What a list asks for, machine code and PTX for the same target once.

    Args:
        text: The list.
        dialect: Whose words.
        devices: The GPUs that are here, which some words stand for: ``native``.
    """
    from capably.arch import Target  # noqa: PLC0415 - rarely needed
    from capably.archlist import entries, read  # noqa: PLC0415 - rarely needed

    here = [device.capability for device in devices]
    if dialect is None and text.strip().lower() == _NATIVE:
        if not here:
            raise ParseError("list of targets", text, 0, len(text), "a GPU that is here, which `native` stands for")
        return tuple(dict.fromkeys(map(Target, here)))
    if dialect is None:
        return entries(text)
    name, _, version = dialect.partition("==")
    reading = read(text, name, version or None, devices=here)
    if reading.error is not None:
        problem = reading.error
        raise ParseError(f"list of {name}", text, problem.start, problem.end, f"something else: {problem.message}")
    return tuple(dict.fromkeys(Target(target.capability, target.suffix) for target in reading.targets or ()))


def listed_devices(lists: tuple[tuple[str, str, str | None], ...], devices: Sequence[Device]) -> tuple[int, ...]:
    """The numbers of the devices that the first list names; of all of them where none is set.

    Raises:
        ParseError: The list cannot be read.
    """
    if not lists:
        return tuple(range(len(devices)))
    named = {target.capability for target in targets_of_list(lists[0][1], lists[0][2], devices)}
    return tuple(number for number, device in enumerate(devices) if device.capability in named)


def passed_over(
    by: str, policy: Policy, named: str | None, lists: tuple[tuple[str, str, str | None], ...], devices: int
) -> tuple[str, ...]:
    """What was not asked, and why, a sentence each."""
    found = []
    if by != GPUS_HERE and devices:
        found.append(f"the {gpus_in_words(devices)} of this process: the policy is `{policy}`")
    if named and by != OVERRIDE:
        why = {GPUS_HERE: "GPUs are here", "nothing": "a driver is here, and fails"}.get(by, "a list decides")
        found.append(f"{OVERRIDE}={printable_value(named)!r}: {why}, and the policy is `{policy}`")
    for name, text, _ in lists:
        if name != by:
            found.append(f"{name}={printable_value(text)!r}: it says what to compile, not what is here")
    return tuple(found)


def unread_patience(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where the variable for the probe cannot be read: no reason to take a GPU from anybody, and none to be silent."""
    text = environ.get(probe.PATIENCE)
    if not text or probe.patience(text) is not None:
        return ()
    return (f"{probe.PATIENCE}={printable_value(text)!r}: it takes a number of seconds from 0.1 to 3600, such as 20",)


def printable_value(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def named_gpus(text: str) -> tuple[Device, ...]:
    """The devices that ``CAPABLY_GPUS`` names."""
    from capably.gpu_names import named_devices  # noqa: PLC0415 - rarely needed

    devices = named_devices([text])
    if not devices:
        raise ParseError("list of GPUs", text, 0, len(text), "a GPU by its name or its compute capability")
    return devices


def gpus_in_words(count: int) -> str:
    """*count* of them, in words."""
    return f"{count} GPU{'s' if count > 1 else ''}"
