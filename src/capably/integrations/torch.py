"""torch extensions: compile them for the GPUs that are here.

::

    from capably.integrations import torch as for_torch
    print(for_torch.configure())  # before the extension is built
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.integrations import configuring

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["configure"]


def configure(environ: MutableMapping[str, str] | None = None) -> configuring.Configured:
    """Set ``TORCH_CUDA_ARCH_LIST`` so that extensions are built for the GPUs that this process sees, and no others.

    Without the variable torch builds for its own idea of them: none newer than it was itself built for, and PTX for
    the one whose number sorts last as a text. It is read at each build, so that a torch that is imported already
    does no harm.

    Args:
        environ: Where to set it; by default in this process.

    Raises:
        GpuListError: ``CAPABLY_GPUS`` decides, since there is no GPU, and cannot be read.
        RecordError: The record that ``CAPABLY_SYSTEM`` names cannot be read.
    """
    return configuring.configure("torch", environ)
