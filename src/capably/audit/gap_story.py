"""What is told of a gap: what its fatbins hold, and the arguments that tell most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.arch import by_kind
from capably.codes import REASONS
from capably.wording import join

if TYPE_CHECKING:
    from capably.audit.report import Gap, Remark
    from capably.codes import Reason

__all__ = ["arguments", "arguments_told", "holdings"]

# Arguments that say more than that the code is for something else.
_TELLING = frozenset(
    {
        "driver-too-old-for-device", "driver-dropped-device", "zstd-needs-newer-driver",
        "concatenated-needs-newer-driver", "ptx-newer-than-driver", "ptx-newer-than-any-driver", "tegra-isolated",
        "machine-code-newer-than-driver",
        "ptx-arch-specific-exact-only", "arch-specific-exact-only", "kernels-for-other-architectures-only",
    }
)  # fmt: skip


def holdings(gap: Gap) -> list[tuple[str, int]]:
    """What the fatbins of a gap hold, as a list of targets, and how many of them; the most frequent first."""
    found: dict[str, int] = {}
    for one in gap.fatbins:
        targets = {part.image.target for part in one.parts if part.image and part.image.target and not part.image.stub}
        listed = ", ".join(map(str, sorted(targets, key=by_kind))) or "nothing"
        found[listed] = found.get(listed, 0) + one.count
    return sorted(found.items(), key=lambda pair: -pair[1])


def arguments(gap: Gap) -> list[Reason]:
    """The arguments that tell most, one of each code."""
    found: dict[str, tuple[int, int, Reason]] = {}
    for one in gap.fatbins:
        for part in one.parts:
            for reason in part.reasons:
                if reason.outcome is not one.outcome or part.image is None:
                    continue
                target = part.image.target
                far = abs(target.capability.number - gap.device.capability.number) if target else 999
                rank = (0 if reason.code in _TELLING else 1), far
                if reason.code not in found or rank < found[reason.code][:2]:
                    found[reason.code] = (*rank, reason)
        for reason in one.reasons:  # that no image has alone
            if reason.outcome is one.outcome and reason.code in _TELLING:
                found.setdefault(reason.code, (0, 0, reason))
    if "kernels-for-other-architectures-only" in found:
        found.pop("stub", None)  # says the same
    return [reason for _, _, reason in sorted(found.values(), key=lambda item: item[:2])]


def arguments_told(remark: Remark, most: int) -> list[str]:
    """The arguments behind it: the most telling one for each GPU, then more; equal ones for several GPUs as one."""
    found = [arguments(gap) for gap in remark.gaps]
    rounds = [reasons[place] for place in range(2) for reasons in found if place < len(reasons)]
    told: dict[tuple[str, tuple[tuple[str, str], ...]], dict[str, None]] = {}
    for reason in rounds:
        # Arguments that differ in the device only, and in what follows from it.
        same = tuple(pair for pair in reason.params if pair[0] not in ("capability", "wanted"))
        about = told.setdefault((reason.code, same), {})
        about[dict(reason.params).get("capability", "")] = None
    return [
        REASONS[code].message.format_map({**dict(params), "capability": join(devices), "wanted": ""})
        for (code, params), devices in list(told.items())[:most]
    ]
