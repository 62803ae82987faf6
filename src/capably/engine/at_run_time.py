"""Packages that compile at run time: what their compiler makes for a device, and what becomes of that.

Which compiler a release takes, and what it asks it for, is data. What that compiler emits, `compilers` says; what
becomes of it on the device, the rules for images say, with the toolkit of the compiler.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from capably.arch import ComputeCapability, Suffix, Target, TargetKind
from capably.codes import Outcome
from capably.engine.compilers import emits
from capably.engine.hosts import host_finding
from capably.engine.image import judge_image
from capably.engine.verdict import Compilation, worst
from capably.facts import Image, ImageKind, Toolkit, ToolkitKind
from capably.tables import tables
from capably.wording import join

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

    from capably.codes import Reason  # noqa: TC004 - annotations are never resolved
    from capably.facts import Artifact, Device, Driver  # noqa: TC004 - as above
    from capably.requirement import Requirement
    from capably.tables import Package, RunTimeCompiler  # noqa: TC004 - as above
    from capably.version import CudaVersion

__all__ = ["compilation", "run_time_package", "takes_compiler"]

# What Warp asks for where its compiler does not know the GPU, unless that is older.
_FOR_ANY = ComputeCapability(7, 5)
_USABLE = (Outcome.RUNS, Outcome.COMPILES)
_KINDS = {kind.value: kind for kind in ToolkitKind}


def run_time_package(artifact: Artifact) -> Package | None:
    """What is known of a distribution that compiles kernels at run time; None of any other."""
    row = tables().package(artifact.name) if artifact.name else None
    if row is None or row.part is not None:
        return None
    return row if row.kernels == "run-time" or _of_release(artifact.name, artifact.version) else None


def takes_compiler(distribution: str, version: str | None, path: str, device: Device) -> bool | None:
    """Whether a release takes the compiler at *path* for *device*; None where nobody knows which one it takes.

    Args:
        distribution: By name.
        version: Of the release.
        path: Of the compiler; its last part is enough.
        device: The device.
    """
    name = path.rpartition("/")[2]
    rows = [row for row in _of_release(distribution, version) if row.file is not None]
    if not rows:
        return None
    return any(row.file is not None and row.file.pattern.endswith(f"/{name}") and _serves(row, device) for row in rows)


def _of_release(distribution: str | None, version: str | None) -> list[RunTimeCompiler]:
    release = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9})*", version or "")
    if release is None:
        return []
    numbers = tuple(map(int, release[0].split(".")))
    return [
        row
        for row in tables().run_time_compilers
        if distribution in row.distributions and row.since <= numbers and (row.before is None or numbers < row.before)
    ]


def _serves(row: RunTimeCompiler, device: Device) -> bool:
    return row.devices is None or _holds(row.devices, device)


def _holds(condition: Requirement, device: Device) -> bool:
    from capably.engine.requirement import judge_requirement  # noqa: PLC0415 - asked of few packages

    return judge_requirement(condition, device, None, None, None).outcome is Outcome.RUNS


def compilation(
    artifact: Artifact, device: Device, driver: Driver | None, toolkits: Iterable[Toolkit] = ()
) -> Compilation | None:
    """What the compiler of *artifact* makes for *device*; None for one that brings all of its code.

    Args:
        artifact: A distribution.
        device: For which device.
        driver: What loads the code.
        toolkits: The compilers of the machine, where it is known. Without them each that the package may find
            counts, and they decide only where all of them do alike.
    """
    package = run_time_package(artifact)
    if package is None:
        return None
    row = next((row for row in _of_release(artifact.name, artifact.version) if _serves(row, device)), None)
    asked = _Asked(artifact, package, row, device, driver)
    if row is None:
        return asked.unknown(f"nobody has looked at which compiler {artifact.version or 'this release'} takes")
    if row.rule is None:
        by = f"; it comes with {row.brought_by}" if row.brought_by else ""
        return asked.unknown(f"which targets it is asked for has not been seen{by}")
    if row.rule == "driver":
        return asked.by_driver(row)
    if row.file is None:
        return asked.outside(row, toolkits)
    found = next((one for one in artifact.compilers if row.file.fullmatch(one.path)), None)
    if found is None:
        return asked.unknown("it is not among the files")
    if found.cuda is None:
        return asked.unknown(f"{found.path} does not say its version")
    return asked.bundled(row, found)


@dataclass(frozen=True, slots=True)
class _Made:
    """What one compiler makes of what it is asked for; `known` says whether it knows the target."""

    target: Target
    kind: ImageKind
    known: bool | None
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question, and the words of its answers."""

    artifact: Artifact
    package: Package
    row: RunTimeCompiler | None
    device: Device
    driver: Driver | None

    @property
    def name(self) -> str:
        return self.row.compiler if self.row else self.package.compiler or "compiler"

    def unknown(self, why: str) -> Compilation:
        return self._result("own-compiler-unknown", Outcome.UNKNOWN, compiler=self.name, why=why)

    def bundled(self, row: RunTimeCompiler, compiler: Toolkit) -> Compilation:
        made = self._made(row, compiler)
        named = f"{compiler.path.rpartition('/')[2]} (CUDA {compiler.version or compiler.cuda})"
        if not re.search(row.compiler, compiler.path.rpartition("/")[2]):
            named = f"{row.compiler} in {named}"
        return self._told([made], named, cuda=compiler.cuda, version=compiler.version, path=compiler.path)

    def by_driver(self, row: RunTimeCompiler) -> Compilation:
        """It writes PTX itself: what is asked of the GPU and of the driver is that they take this PTX."""
        (cuda, lowest) = row.limits[-1]
        image = Image(ImageKind.PTX, Target(lowest), ptx=dict(tables().ptx).get(cuda))
        verdict = judge_image(image, self.device, self.driver)
        outcome = verdict.outcome or worst(verdict.reasons)
        return self._told([_Made(image.target or Target(lowest), image.kind, True, outcome, verdict.reasons)], "it")

    def outside(self, row: RunTimeCompiler, toolkits: Iterable[Toolkit]) -> Compilation:
        kind = _KINDS.get(row.compiler)
        here = [one for one in toolkits if one.kind is kind and one.cuda is not None and _within(row, one.cuda)]
        known = [Toolkit(kind or ToolkitKind.NVCC, "", cuda=one.cuda) for one in tables().toolkits]
        tried = here or [one for one in known if one.cuda is not None and _within(row, one.cuda)]
        made = [self._made(row, one) for one in tried]
        alike = len({one.outcome for one in made}) == 1 or all(one.outcome in _USABLE for one in made)
        if alike and (here or row.toolkits):
            named = f"{row.compiler} of {_span([one.cuda for one in tried])}"
            return self._told(made, named, brought_by=row.brought_by, tried=tried)
        good = [one.cuda for one, what in zip(tried, made, strict=True) if what.outcome in _USABLE]
        needed = _span(good, "" if here or row.toolkits else "or newer") if good else ""
        why = f"it comes with {row.brought_by}" + (f"; this GPU needs {needed}" if needed else "")
        return self._result(
            "own-compiler-unknown", Outcome.UNKNOWN, brought_by=row.brought_by, compiler=row.compiler, why=why
        )

    def _made(self, row: RunTimeCompiler, compiler: Toolkit) -> _Made:
        target, kind = self._target(row, compiler)
        known = emits(compiler, target)
        if not known:
            return _Made(target, kind, known, Outcome.UNKNOWN if known is None else Outcome.FAILS)
        version = dict(tables().ptx).get(compiler.cuda) if kind is ImageKind.PTX and compiler.cuda else None
        verdict = judge_image(Image(kind, target, ptx=version, toolkit=compiler.cuda), self.device, self.driver)
        return _Made(target, kind, known, verdict.outcome or worst(verdict.reasons), verdict.reasons)

    def _target(self, row: RunTimeCompiler, compiler: Toolkit) -> tuple[Target, ImageKind]:
        capability = self.device.capability
        if row.rule == "own-or-ptx" and not emits(compiler, Target(capability)):
            return Target(min(capability, _FOR_ANY)), ImageKind.PTX
        if row.rule == "limited":
            limits = [limit for since, limit in row.limits if compiler.cuda is not None and since <= compiler.cuda]
            own = tables().architectures.get(capability)
            if limits and not (own is not None and own.isolated):
                capability = min(capability, limits[-1])
        suffixed = row.suffixed is not None and _holds(row.suffixed, self.device)
        return Target(capability, Suffix.ARCH_SPECIFIC if suffixed else Suffix.NONE), ImageKind.SASS

    def _told(
        self,
        made: list[_Made],
        compiler: str,
        *,
        cuda: CudaVersion | None = None,
        version: str | None = None,
        path: str | None = None,
        brought_by: str | None = None,
        tried: list[Toolkit] | None = None,
    ) -> Compilation:
        """The answer where all that may be taken do alike."""
        first = made[0]
        outcome = Outcome.COMPILES if any(one.outcome is Outcome.COMPILES for one in made) else first.outcome
        code = "own-compiler-makes"
        if outcome not in _USABLE:
            refused = all(one.known is False for one in made)
            code = "own-compiler-refuses" if refused else "own-compiler-in-vain"
            if outcome is Outcome.UNKNOWN:
                code = "own-compiler-doubtful"
        single = first if len({(one.target, one.kind) for one in made}) == 1 else None
        words = "machine code" if first.kind is ImageKind.SASS else "PTX"
        why = next((reason.message for one in made for reason in one.reasons if reason.outcome is outcome), "")
        if tried and len({one.cuda for one in tried}) == 1:
            cuda, version = tried[0].cuda, tried[0].version
        return self._result(
            code,
            outcome,
            cuda=cuda,
            version=version,
            path=path,
            brought_by=brought_by,
            made=single,
            reasons=tuple(reason.about(f"what {compiler} makes") for reason in first.reasons),
            compiler=compiler,
            target=join(dict.fromkeys(str(_named(one)) for one in made)),
            kind=words,
            why=why or "the tables do not reach so far",
        )

    def _result(
        self,
        code: str,
        outcome: Outcome,
        *,
        cuda: CudaVersion | None = None,
        version: str | None = None,
        path: str | None = None,
        brought_by: str | None = None,
        made: _Made | None = None,
        reasons: tuple[Reason, ...] = (),
        **params: object,
    ) -> Compilation:
        return Compilation(
            self.name,
            self.package.kernels,
            outcome,
            host_finding(code, self.artifact.path, **params),
            cuda,
            version,
            path,
            brought_by,
            _named(made) if made else None,
            made.kind if made else None,
            reasons,
        )


def _named(made: _Made) -> Target:
    kind = TargetKind.VIRTUAL if made.kind is ImageKind.PTX else TargetKind.REAL
    return Target(made.target.capability, made.target.suffix, kind)


def _within(row: RunTimeCompiler, cuda: CudaVersion) -> bool:
    return row.toolkits is None or row.toolkits[0] <= cuda <= row.toolkits[1]


def _span(versions: Iterable[CudaVersion | None], open_end: str = "") -> str:
    """Toolkits from the oldest to the newest, in words; *open_end* says so where newer ones do as well."""
    known = sorted(one for one in versions if one is not None)
    if open_end and known[-1] == tables().toolkits[-1].cuda:
        return f"CUDA {known[0]} {open_end}"
    return f"CUDA {known[0]}" if known[0] == known[-1] else f"CUDA {known[0]} to {known[-1]}"
