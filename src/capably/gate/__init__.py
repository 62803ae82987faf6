"""The gate: what a framework calls instead of a check of its own.

`require` raises where the GPUs do not do, `supports` answers for one of them, `usable` tells those that do. The
device at run time decides, unless another `Policy` is asked for; lists in the environment say what somebody
wants to be compiled, and never make a device too old or new enough. An answer holds what decided and what was
ignored.

Nothing here initialises CUDA in the calling process. Answers are plain data: they hold after a fork, in
threads, and until a variable changes that decides which devices a process sees. What changes behind all calls
(CUDA initialised under another value of a variable that is put back before the next call) takes
``capably.devices(refresh=True)`` to be noticed.
"""

from __future__ import annotations

from capably.gate.calls import capability, require, supports, usable
from capably.gate.policy import BROKEN, Policy

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.gate.answer import Answer
    from capably.gate.deciding import decide

__all__ = ["BROKEN", "Answer", "Policy", "capability", "decide", "require", "supports", "usable"]


def __getattr__(name: str) -> object:
    """What is loaded by the first answer, while the driver is asked, or by who names it before."""
    if name == "Answer":
        from capably.gate.answer import Answer  # noqa: PLC0415 - see above

        return Answer
    if name == "decide":
        from capably.gate.deciding import decide  # noqa: PLC0415 - see above

        return decide
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
