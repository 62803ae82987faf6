"""The question that everything else comes down to: what becomes of this on that device."""

from __future__ import annotations

from capably import facts
from capably.facts import Device
from capably.requirement import Requirement

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.arch import Target
    from capably.engine.verdict import Verdict
    from capably.facts import Artifact, Driver, Fatbin, Image, Library

__all__ = ["judge"]


def judge(
    what: Image | Fatbin | Library | Artifact | Requirement,
    device: Device | Target,
    driver: Driver | None = None,
    *,
    toolkit: facts.Toolkit | None = None,
    installed: Iterable[tuple[str, str]] | None = None,
    toolkits: Iterable[facts.Toolkit] = (),
) -> Verdict:
    """What becomes of *what* on *device*, loaded by *driver*; or whether *device* meets a requirement.

    Args:
        what: An image, a fatbin, a library or an artifact, as `capably.scan` reads them, or a requirement.
        device: The device; only its capability matters for GPU code, its hosts for the findings. A requirement
            can also be held against a target: what code for it may rely on.
        driver: None means that the driver is not known: what depends on it is `unknown`.
        toolkit: For a requirement: a device meets it only if this compiler makes native code that does.
        installed: For a requirement: names and versions of the installed distributions; None where nobody looked.
        toolkits: For a package that compiles at run time by a compiler that it does not bring: those of the machine.

    Returns:
        The verdict. The rules and their sources are those of `capably.codes.REASONS`. Of a requirement that is
        met the outcome is `runs`.

    Raises:
        TypeError: *what* is none of these, or code is to be judged on a target.
        UnknownNameError: A requirement names a feature that the tables do not know.
        ParseError: It names a product, such as ``H100``, instead of a capability.

    >>> from capably.arch import ComputeCapability, Target
    >>> from capably.facts import Image, ImageKind
    >>> h100 = Device(ComputeCapability.parse("9.0"))
    >>> verdict = judge(Image(ImageKind.SASS, Target.parse("sm_80")), h100)
    >>> verdict.outcome, verdict.reasons[0].code
    (<Outcome.FAILS: 'fails'>, 'no-image-for-device')
    """
    if isinstance(what, Requirement):
        from capably.engine.requirement import judge_requirement  # noqa: PLC0415 - what files hold needs none of it

        return judge_requirement(what, device, driver, toolkit, None if installed is None else tuple(installed))
    if not isinstance(device, Device):
        raise TypeError(f"code is judged on a capably.Device, such as those of capably.devices(), not on {device!r}")
    from capably.engine import containers, image  # noqa: PLC0415 - a gate needs none of it, and is waited for

    match what:
        case facts.Image():
            return image.judge_image(what, device, driver)
        case facts.Fatbin():
            return containers.judge_fatbin(what, device, driver)
        case facts.Library():
            return containers.judge_library(what, device, driver)
        case facts.Artifact():
            return containers.judge_artifact(what, device, driver, toolkits)
        case _:  # a caller without a type checker
            raise TypeError(
                f"cannot judge {type(what).__name__}: it takes what capably.scan() returns, a part of it, or a requirement"
            )
