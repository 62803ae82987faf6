"""The check of ``transformer_engine.pytorch.utils``."""

from __future__ import annotations

import capably

__all__ = ["get_device_compute_capability"]


def get_device_compute_capability() -> tuple[int, int]:
    """The compute capability of torch's current device.

    Raises:
        NoDeviceError: No GPU was found; its relatives, as for `capably.require`.
    """
    found = capably.capability()
    return found.major, found.minor
