"""Causes to do with torch, and what torch says of a GPU: one function for each."""

from __future__ import annotations

from capably.arch import ComputeCapability, Target, TargetKind
from capably.codes import Outcome
from capably.engine import Coverage, judge
from capably.facts import Device
from capably.logs.evidence import UNDECIDED, Facts, Tested, excluded, holds, image_of, likely, read_as

__all__ = ["forked_child", "torch_lacks_device", "torch_said", "torch_without_cuda", "warning_is_wrong"]


def torch_without_cuda(facts: Facts) -> Tested:
    """Torch is a build for the CPU."""
    if "torch-cpu-only" in facts.codes:
        return holds("the log says: Torch not compiled with CUDA enabled")
    version = facts.distributions.get("torch")
    if version is None:
        return UNDECIDED
    if "+cpu" in version:
        return holds(f"torch {version}")
    runtime = [name for name in facts.distributions if name.startswith("nvidia-cuda-runtime")]
    return excluded(f"torch {version}", *runtime) if "+cu" in version or runtime else UNDECIDED


def forked_child(facts: Facts) -> Tested:
    """CUDA was initialised before a fork."""
    if "fork-after-cuda" in facts.codes:
        return holds("the log says: Cannot re-initialize CUDA in forked subprocess")
    return UNDECIDED


def _torch_outcome(facts: Facts) -> tuple[Outcome | None, str]:
    """What becomes of the targets that torch listed on the GPU that it named."""
    device = _torch_device(facts)
    if device is None:
        return None, ""
    params = facts.torch
    told = [read_as(Target.parse, name) for name in params.get("listed", "").split()]
    listed = [target for target in told if target is not None]
    lowest, highest = (read_as(ComputeCapability.parse, params.get(name, "")) for name in ("lowest", "highest"))
    if not listed and lowest is not None and highest is not None:
        # PTX reaches furthest: where that of the lowest target fails, so does all that is in the range.
        if judge(image_of(Target(lowest, kind=TargetKind.VIRTUAL)), device).outcome is Outcome.FAILS:
            return Outcome.FAILS, f"{device.capability} is below the lowest target, {lowest}"
        listed = [Target(highest)]
    if not listed:
        return _known_build(facts, device)
    outcomes = [judge(image_of(one), device, facts.driver).outcome for one in listed]
    said = f"torch lists {' '.join(map(str, listed))}; the GPU is of {device.capability}"
    if Outcome.RUNS in outcomes or Outcome.COMPILES in outcomes:
        return Outcome.RUNS, said
    # The two ends of a range do not say what else is in the list.
    decided = bool(told) and len(listed) == len(told) and all(one is Outcome.FAILS for one in outcomes)
    return (Outcome.FAILS if decided else None), said


def _known_build(facts: Facts, device: Device) -> tuple[Outcome | None, str]:
    """What becomes of all of torch on the GPU, where it was scanned or is known by its version."""
    torch = next((one for one in facts.artifacts if one.name == "torch"), None)
    if torch is None:
        return None, ""
    coverage = judge(torch, device, facts.driver).coverage
    outcome = {Coverage.FULL: Outcome.RUNS, Coverage.NONE: Outcome.FAILS}.get(coverage) if coverage else None
    does = "nothing in" if outcome is Outcome.FAILS else "all of"
    return outcome, f"{does} torch {torch.version} loads on {device.capability}"


def _torch_device(facts: Facts) -> Device | None:
    text = facts.torch.get("capability") or facts.torch.get("target")
    if text is None:
        return facts.devices[0] if len({one.capability for one in facts.devices}) == 1 else None
    capability = read_as(ComputeCapability.parse, text if "." in text else f"sm_{text}")
    return Device(capability) if capability is not None else None


def torch_said(facts: Facts) -> tuple[str, ...]:
    """That nothing in torch loads on the GPU, where the same log shows that."""
    outcome, said = _torch_outcome(facts) if facts.torch else (None, "")
    return (f"the same log says: {said}",) if outcome is Outcome.FAILS else ()


def torch_lacks_device(facts: Facts) -> Tested:
    """Torch has no code for the GPU that it names."""
    outcome, said = _torch_outcome(facts)
    if outcome is Outcome.FAILS:
        return holds(said)
    if "no-kernel-image" in facts.codes and "torch-incompatible" in facts.codes and outcome is None:
        return likely("the same log has error 209: no kernel image")
    return UNDECIDED if outcome is None else excluded(said)


def warning_is_wrong(facts: Facts) -> Tested:
    """Torch names targets that do load on the GPU."""
    outcome, said = _torch_outcome(facts)
    if outcome is None:
        return UNDECIDED
    return (holds if outcome is Outcome.RUNS else excluded)(said)
