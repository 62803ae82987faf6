"""Which GPU of this process a caller means: by number, as torch writes it, as an object, or the current one."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from sys import modules

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from typing import Protocol

    from capably.facts import Device

    class HasTypeAndIndex(Protocol):
        """A `torch.device`, or what looks like one."""

        @property
        def type(self) -> str:
            """``cuda`` of a GPU."""

        @property
        def index(self) -> int | None:
            """Its number; None for the current one."""

    DeviceLike = int | str | Device | HasTypeAndIndex | None

__all__ = ["choice_of", "current", "number_of"]

_TAKES = "it takes a number, such as `tensor.device.index`, 'cuda:0', a torch.device, a capably.Device, or None for the current one"


def current() -> int:
    """Torch's current device, where torch is imported and has initialised CUDA here; else the first."""
    cuda = getattr(modules.get("torch"), "cuda", None)
    return int(cuda.current_device()) if cuda is not None and cuda.is_initialized() else 0


def number_of(device: DeviceLike) -> int | Device | None:
    """The number of *device* in this process, or a `Device` as it is; None where it is no GPU of NVIDIA: the processor.

    Raises:
        TypeError: It is nothing that stands for a device.
        ValueError: It is a text, and no name of one.
    """
    if device is None:
        return current()
    if isinstance(device, str):
        return _of_text(device)
    kind = getattr(device, "type", None)
    if isinstance(kind, str):
        if kind != "cuda":
            return None
        index = getattr(device, "index", None)
        return current() if index is None else operator.index(index)
    if not isinstance(device, bool) and hasattr(device, "__index__"):
        return operator.index(device)  # type: ignore[arg-type]
    from capably.facts import Device  # noqa: PLC0415 - takes 5 ms, and is rarely what is passed

    if isinstance(device, Device):
        return device
    hint = (
        "; did you mean its `.device`?"
        if isinstance(getattr(getattr(device, "device", None), "type", None), str)
        else ""
    )
    hint = f"; did you mean {int(device)}?" if isinstance(device, bool | float) and device == int(device) else hint
    raise TypeError(f"device is {device!r}: {_TAKES}{hint}")


def _of_text(text: str) -> int | None:
    name, _, number = text.partition(":")
    if name == "cuda" and number.isascii() and (number.isdigit() or text == "cuda"):
        return int(number) if number else current()
    if name in ("cpu", "mps", "meta", "xpu", "hpu", "xla", "npu", "privateuseone", "vulkan", "ipu", "maia", "mtia"):
        return None
    digits = "".join(character for character in text if character.isdigit())
    meant = f"cuda:{digits}" if digits and len(digits) < 4 else "cuda"
    raise ValueError(f"device is {text!r}: {_TAKES}; did you mean '{meant}'?")


_CHOICES = ("any", "all", "listed")
_NO_CHOICE = (
    "devices is {!r}: it takes `any`, `all`, `current`, `listed`, a device as capably.supports takes it, or several, such "
    "as [0, 1]{}"
)


def choice_of(devices: DeviceLike | Iterable[DeviceLike]) -> str | tuple[int, ...]:
    """Which devices are meant: ``any``, ``all``, ``listed``, or their numbers.

    Raises:
        ValueError: *devices* is no choice.
        TypeError: *devices* is nothing that stands for some.
    """
    if isinstance(devices, str):
        if devices in _CHOICES:
            return devices
        if devices == "current":
            return (current(),)
        try:
            return _numbers(devices, (number_of(devices),))
        except ValueError:
            import difflib  # noqa: PLC0415 - for mistakes only

            close = difflib.get_close_matches(devices.lower(), (*_CHOICES, "current"), n=1, cutoff=0.4)
            meant = f"; did you mean `{close[0]}`?" if close else "; did you mean `any`?"
            raise ValueError(_NO_CHOICE.format(devices, meant)) from None
    if isinstance(devices, Iterable) and not hasattr(devices, "type"):
        found = tuple(number_of(one) for one in devices)
        if not found:
            raise ValueError(_NO_CHOICE.format(devices, "; did you mean `any`?"))
        return _numbers(devices, found)
    return _numbers(devices, (number_of(devices),))  # type: ignore[arg-type]


def _numbers(devices: object, found: tuple[int | Device | None, ...]) -> tuple[int, ...]:
    numbers = [one if isinstance(one, int) or one is None else one.ordinal for one in found]
    if None in numbers:
        raise ValueError(_NO_CHOICE.format(devices, ""))
    return tuple(number for number in numbers if number is not None)
