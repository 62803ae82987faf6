"""Which GPU of this process a caller means: by number, as torch writes it, as an object, or the current one."""

from __future__ import annotations

import operator
from sys import modules

from capably.facts import Device

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from typing import Protocol

    class HasTypeAndIndex(Protocol):
        """A `torch.device`, or what looks like one."""

        @property
        def type(self) -> str:
            """``cuda`` of a GPU."""

        @property
        def index(self) -> int | None:
            """Its number; None for the current one."""

    DeviceLike = int | str | Device | HasTypeAndIndex | None

__all__ = ["current", "number_of"]

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
    if isinstance(device, Device):
        return device
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
