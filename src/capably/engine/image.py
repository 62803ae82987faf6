"""Whether one image loads on a device by a driver: the rules, each as an argument."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from capably import facts
from capably.arch import ComputeCapability, Suffix, Target
from capably.codes import REASONS, Grade, Outcome, Reason
from capably.engine.serving import serving_targets
from capably.engine.verdict import Verdict, deciding_first, worst
from capably.errors import UnknownNameError
from capably.facts import Device, Driver, Image, PtxJit, Standing
from capably.tables import tables
from capably.version import DriverRelease

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

    from capably.tables import CodeVersion, Product, Tables
    from capably.version import CudaVersion

__all__ = ["ImageRules", "describe", "judge_image", "loading_reasons", "reaches"]


@functools.lru_cache(maxsize=65536)
def judge_image(image: Image, device: Device, driver: Driver | None) -> Verdict:
    """Every argument about one image, stub or not."""
    reasons = loading_reasons(image, device, driver)
    if image.stub is not False and worst(reasons) is not Outcome.FAILS:
        rules = ImageRules(image, device, driver)
        code, outcome = ("stub", Outcome.FAILS) if image.stub else ("kernels-undetermined", Outcome.UNKNOWN)
        reasons = (*reasons, rules.reason(code, outcome))
    outcome = worst(reasons)
    return Verdict(describe(image), device, driver, outcome, reasons=deciding_first(reasons, outcome), image=image)


@functools.lru_cache(maxsize=65536)
def loading_reasons(image: Image, device: Device, driver: Driver | None) -> tuple[Reason, ...]:
    """Every argument about whether one image loads, whatever it holds."""
    rules = ImageRules(image, device, driver)
    return (*rules.target_reasons(), *rules.driver_reasons())


@functools.lru_cache(maxsize=4096)
def reaches(image: Image, device: Device) -> bool:
    """Whether PTX is for *device* by its target; which driver compiles it is another question.

    Of GPUs to come the driver is not known yet, but each will have one.

    >>> from capably.facts import Image, ImageKind
    >>> to_come = Device(ComputeCapability(99, 9))
    >>> [reaches(Image(ImageKind.PTX, Target.parse(name)), to_come) for name in ("compute_90", "compute_90a")]
    [True, False]
    """
    return any(reason.outcome is Outcome.COMPILES for reason in judge_image(image, device, None).reasons)


def describe(image: Image) -> str:
    """What an image is, in words."""
    kind = {
        facts.ImageKind.SASS: "machine code",
        facts.ImageKind.PTX: f"PTX {image.ptx}" if image.ptx else "PTX",
        facts.ImageKind.LTOIR: "LTO-IR",
        facts.ImageKind.TILEIR: "Tile IR",
        facts.ImageKind.RELPTX: "relocatable PTX",
        facts.ImageKind.UNKNOWN: "an unknown kind",
    }[image.kind]
    relocatable = "relocatable " if image.relocatable and image.kind is not facts.ImageKind.RELPTX else ""
    return f"{image.target} ({relocatable}{kind})" if image.target else f"an image of {relocatable}{kind}"


@dataclass(frozen=True, slots=True)
class ImageRules:
    """One image on one device by one driver: the rules, each as a method that yields its arguments."""

    image: Image
    device: Device
    driver: Driver | None

    @property
    def known(self) -> Tables:
        """The tables."""
        return tables()

    def reason(
        self,
        code: str,
        outcome: Outcome,
        sources: tuple[str, ...] = (),
        grade: Grade = Grade.DOCUMENTED,
        **params: object,
    ) -> Reason:
        """An argument about this image, with what its text takes filled in."""
        texts = {
            "capability": self.device.capability,
            "target": self.image.target or "the image",
            "target_capability": self.image.target.capability if self.image.target else "?",
            "wanted": serving_targets(self.device.capability),
            **({"driver": self.driver_name} if self.driver else {}),
            **params,
        }
        page = REASONS[code]
        used = f"{page.message} {page.way_out}"
        return Reason(
            code=code,
            outcome=outcome,
            subject=describe(self.image),
            params=tuple(sorted((name, str(value)) for name, value in texts.items() if f"{{{name}}}" in used)),
            sources=tuple(dict.fromkeys((*page.sources, *sources))),
            grade=grade,
        )

    @property
    def driver_name(self) -> str:
        """The driver, in words."""
        if self.driver is None:
            return "the driver"
        release = f"driver {self.driver.release}" if self.driver.release else "a driver"
        cuda = self.known.cuda_of_driver(self.driver, self.device.capability)
        return f"{release} (CUDA {cuda})" if cuda else release

    # -- what the target says

    def target_reasons(self) -> Iterator[Reason]:
        """What the target says, whatever the driver, but for PTX, which it compiles."""
        image = self.image
        match image.kind:
            case facts.ImageKind.SASS:
                if image.target is None:
                    yield self.reason("target-unknown", Outcome.UNKNOWN)
                elif image.relocatable:
                    yield self.reason("relocatable-only", Outcome.FAILS)
                else:
                    by_target = self.sass(image.target)
                    yield by_target
                    if by_target.outcome is not Outcome.FAILS:
                        yield from self.cuda_major(image.target)
                    if self.driver is not None and self.driver.jit is PtxJit.FORCED:
                        yield self.reason("machine-code-ignored", Outcome.FAILS)
            case facts.ImageKind.PTX | facts.ImageKind.RELPTX:
                if image.target is None:
                    yield self.reason("target-unknown", Outcome.UNKNOWN)
                    return
                by_target = self.ptx(image.target)
                yield by_target
                doubts = [*self.ptx_driver()]
                if image.relocatable or image.kind is facts.ImageKind.RELPTX:
                    doubts.append(self.reason("relocatable-ptx-unproven", Outcome.UNKNOWN, grade=Grade.INFERRED))
                # A doubt is no argument where the target already settles it.
                settled = by_target.outcome is Outcome.FAILS
                yield from (doubt for doubt in doubts if not (settled and doubt.outcome is Outcome.UNKNOWN))
            case facts.ImageKind.LTOIR:
                yield self.reason("lto-ir-needs-linking", Outcome.UNKNOWN)
            case facts.ImageKind.TILEIR | facts.ImageKind.UNKNOWN:
                yield self.reason("kind-unknown", Outcome.UNKNOWN, kind=image.kind)

    def sass(self, target: Target) -> Reason:
        """Binary compatibility of machine code."""
        here = self.device.capability
        if target.capability == here:
            return self.reason("exact-image", Outcome.RUNS)
        number = self.known.number_today(target.capability)
        if number == self.known.number_today(here):
            return self.reason("renamed-target-unproven", Outcome.UNKNOWN, renamed=number)
        family = self.known.family(number)
        if family is None or self.known.family(here) is None:
            return self.sass_beyond(target, number)
        if here not in family.members:
            return self.reason("no-image-for-device", Outcome.FAILS, family.sources, family.grade)
        if target.suffix is Suffix.ARCH_SPECIFIC:
            return self.reason("arch-specific-exact-only", Outcome.FAILS, family.sources, family.grade)
        if here < number:
            return self.reason("image-newer-than-device", Outcome.FAILS, family.sources, family.grade)
        if self.known.is_tegra(target.capability) or self.known.is_tegra(here):
            return self.tegra(target)
        code = "family-covers" if family.specific else "same-major-lower-minor"
        return self.reason(code, Outcome.RUNS, family.sources, family.grade, members=_reach(family.members, number))

    def sass_beyond(self, target: Target, number: ComputeCapability) -> Reason:
        """Machine code where the families are not known: some of what never was will not be either."""
        now = self.known.number_today(self.device.capability)
        if target.suffix is Suffix.ARCH_SPECIFIC:
            return self.reason("arch-specific-exact-only", Outcome.FAILS)
        if number.major != now.major:
            return self.reason("no-image-for-device", Outcome.FAILS)
        if now < number:
            return self.reason("image-newer-than-device", Outcome.FAILS)
        return self.beyond()

    def beyond(self) -> Reason:
        """The table of families does not know the device or the target."""
        return self.reason("beyond-tables", Outcome.UNKNOWN, horizon=self.known.capability_horizon("families"))

    def tegra(self, target: Target) -> Reason:
        """Machine code that crosses between Tegra and desktop: a matter of the toolkit that made it."""
        last = self._newest_possible_toolkit(target)
        limit = self.known.last_isolating_toolkit
        if last is not None and last <= limit:
            built = str(self.image.toolkit) if self.image.toolkit else f"{last} or older"
            return self.reason("tegra-isolated", Outcome.FAILS, built=built)
        return self.reason("tegra-sbsa-unsettled", Outcome.UNKNOWN, grade=Grade.INFERRED)

    def _newest_possible_toolkit(self, target: Target) -> CudaVersion | None:
        """The newest toolkit that can have made this machine code; None where nothing bounds it."""
        if self.image.toolkit is not None:
            return self.image.toolkit
        bounds = [row.last for row in self._of_code_version(target) if row.last is not None]
        emitting = self.known.emitting_toolkits(target)
        if emitting is not None and emitting[1] < self.known.cuda_horizon("toolkits"):
            bounds.append(emitting[1])  # dropped by a newer toolkit
        return min(bounds, default=None)

    def cuda_major(self, target: Target) -> Iterator[Reason]:
        """Machine code of a newer CUDA major version than the driver's: compatibility ends there, documents say."""
        built = self._oldest_possible_toolkit(target)
        here = self.device.capability
        cuda = self.known.cuda_of_driver(self.driver, here) if self.driver is not None else None
        if built is None or cuda is None or built.major <= cuda.major:
            return
        last = self._last_cuda()
        newer = ""
        if last is None or last.major >= built.major:
            branch = next((row.number for row in self.known.branches if row.cuda.major == built.major), None)
            desktop = branch is not None and not self.known.is_tegra(here)
            newer = f", or install a driver of CUDA {built.major}.0 or newer" + (f" (R{branch})" if desktop else "")
        yield self.reason(
            "machine-code-newer-than-driver",
            Outcome.UNKNOWN,
            grade=Grade.INFERRED,
            made=built.major,
            major=cuda.major,
            newer=newer,
        )

    def _oldest_possible_toolkit(self, target: Target) -> CudaVersion | None:
        """The oldest toolkit that can have made this machine code; None where nothing bounds it."""
        if self.image.toolkit is not None:
            return self.image.toolkit
        bounds = [row.first for row in self._of_code_version(target) if row.first is not None]
        emitting = self.known.emitting_toolkits(target)
        if emitting is not None and emitting[0] > self.known.toolkits[0].cuda:
            bounds.append(emitting[0])
        return max(bounds, default=None)

    def _of_code_version(self, target: Target) -> Iterator[CodeVersion]:
        return (
            row
            for row in self.known.code_versions
            if row.version == self.image.code_version and (row.below is None or target.capability.number < row.below)
        )

    def ptx(self, target: Target) -> Reason:
        """For which devices PTX compiles, whatever the driver."""
        # One piece of hardware has had two numbers (10.1, since CUDA 13.0 11.0): targets and devices are
        # compared by the numbers of one time.
        here, now = self.device.capability, self.known.number_today(self.device.capability)
        number = self.known.number_today(target.capability)
        if target.suffix is Suffix.ARCH_SPECIFIC:
            if now == number:
                return self.reason("ptx-exact", Outcome.COMPILES)
            return self.reason("ptx-arch-specific-exact-only", Outcome.FAILS)
        if target.suffix is Suffix.FAMILY_SPECIFIC:
            family = self.known.family(number)
            never = number.major != now.major or now < number
            if not never and (family is None or self.known.family(now) is None):
                return self.beyond()
            fits = not never and family is not None and now in family.members
            return self.reason(
                "ptx-family" if fits else "ptx-family-mismatch",
                Outcome.COMPILES if fits else Outcome.FAILS,
                family.sources if family is not None else (),
                family.grade if family is not None else Grade.DOCUMENTED,
                members=_reach(family.members if family is not None else (number,), number),
            )
        fits, fitted = now >= number, here >= target.capability
        if fits != fitted:  # 10.3 lies between 10.1 and 11.0
            return self.reason("renamed-target-unproven", Outcome.UNKNOWN, renamed=max(now, number))
        if fits:
            return self.reason("ptx-forward", Outcome.COMPILES)
        return self.reason("ptx-target-newer-than-device", Outcome.FAILS)

    def ptx_driver(self) -> Iterator[Reason]:
        """Whether the driver compiles PTX of this version."""
        if self.driver is None:
            yield from self.ptx_any_driver()
            return
        if self.driver.jit is PtxJit.DISABLED:
            yield self.reason("ptx-jit-disabled", Outcome.FAILS)
        version = self.image.ptx
        if version is None:
            yield self.reason("ptx-version-unknown", Outcome.UNKNOWN)
            return
        if self.driver.cuda is None and self.known.is_tegra(self.device.capability):
            yield self.reason("tegra-driver-unknown", Outcome.UNKNOWN, grade=Grade.INFERRED)
            return
        accepted = self.known.accepted_ptx(self.driver)
        if accepted is not None and version <= accepted:
            return
        oldest_cuda, oldest = self.known.ptx[0]
        newest_cuda, newest = self.known.ptx[-1]
        branch, standing = self.known.user_branch(self.driver)
        cuda = self.driver.cuda or branch.cuda
        if (accepted is None and version < oldest) or cuda > newest_cuda or standing is Standing.NEWER:
            # Older than the tables and PTX of those days, or newer than the tables: what it compiles is not known.
            horizon = f"CUDA {oldest_cuda} to {newest_cuda}"
            yield self.reason("ptx-beyond-tables", Outcome.UNKNOWN, ptx=version, horizon=horizon)
            return
        needed = self.known.cuda_of_ptx(version)
        release = self.known.release_of_cuda(needed) if needed else None
        last = self._last_cuda()
        if needed is not None and last is not None and needed > last:
            yield self.reason("ptx-newer-than-any-driver", Outcome.FAILS, ptx=version, last=last)
            return
        yield self.reason(
            "ptx-newer-than-driver",
            Outcome.FAILS,
            grade=branch.grade,
            ptx=version,
            accepted=f"up to {accepted}" if accepted else f"older than {oldest}",
            needed=needed or f"behind {newest_cuda}, which brings PTX ISA {newest},",
            release=f" ({release} on Linux)" if release else "",
        )

    def ptx_any_driver(self) -> Iterator[Reason]:
        """Whether a driver that serves the device compiles PTX of this version, where each or none of them does."""
        version, here = self.image.ptx, self.device.capability
        oldest = self.known.oldest_driver(here)
        accepted = self.known.accepted_ptx(oldest) if oldest is not None else None
        if version is not None and accepted is not None and version <= accepted:
            return
        served = self.known.driver_ranges.get(here)
        last = self._last_cuda() if served is not None and served.last is not None else None
        needed = self.known.cuda_of_ptx(version) if version is not None else None
        if last is not None and needed is not None and needed > last:
            yield self.reason("ptx-newer-than-any-driver", Outcome.FAILS, ptx=version, last=last)
        else:
            yield self.reason("ptx-driver-unknown", Outcome.UNKNOWN)

    def _last_cuda(self) -> CudaVersion | None:
        """The CUDA version behind which no driver serves this device; None where support goes on."""
        served = self.known.driver_ranges.get(self.device.capability)
        if served is None or (served.last is None and served.newest_cuda is None):
            return None
        return self.known.driver_cuda(self.known.newest_driver(self.device.capability))

    # -- what the driver says, whatever the target

    def driver_reasons(self) -> Iterator[Reason]:
        """What the driver says, whatever the target."""
        if self.image.compression is facts.Compression.UNKNOWN:
            yield self.reason("compression-unknown", Outcome.UNKNOWN)
        yield from self.feature(self.image.compression)
        if self.image.concatenated:
            yield from self.feature("concatenated")
        if self.driver is None:
            return
        if self.device.capability not in self.known.architectures:
            yield self.reason(
                "device-beyond-tables", Outcome.UNKNOWN, horizon=self.known.capability_horizon("architectures")
            )
            return
        served = self.known.driver_ranges.get(self.device.capability)
        if served is None and self.device.capability > (newest := max(self.known.driver_ranges)):
            yield self.reason("device-beyond-tables", Outcome.UNKNOWN, horizon=newest)
            return
        if served is None or self.known.is_tegra(self.device.capability):
            return  # drivers of Tegra parts are numbered apart
        # The kernel module starts the hardware, and the part that programs load has to know it.
        kernel, user = self.known.branch_numbers(self.driver)
        starts = served.first is None or kernel is None or kernel >= served.first
        if not starts or (served.first_known is not None and user < served.first_known):
            yield self.reason(
                "driver-too-old-for-device", Outcome.FAILS, served.sources, served.first_grade, first=served.first
            )
        elif (product := _late_product(self.device.name, self.device.capability, kernel)) is not None:
            yield self.reason(
                "driver-device-unproven",
                Outcome.UNKNOWN,
                product.sources,
                Grade.INFERRED,
                product=product.name,
                first=product.first_branch,
            )
        if served.last is not None and max(kernel or user, user) > self._last_of_branch(served.last):
            certain = served.last_grade is not Grade.INFERRED
            yield self.reason(
                "driver-dropped-device" if certain else "driver-drop-unproven",
                Outcome.FAILS if certain else Outcome.UNKNOWN,
                served.sources,
                served.last_grade,
                last=served.last,
            )

    def _last_of_branch(self, branch: int) -> int:
        """The highest first number of a release of that branch: Windows counts on until the next branch."""
        later = [row.number for row in self.known.branches if row.number > branch]
        return later[0] - 1 if later else branch

    def feature(self, name: str) -> Iterator[Reason]:
        """Whether the driver reads images stored in that way, where a table says what it needs."""
        feature = self.known.loading.get(name)
        if feature is None:
            return
        reads = self._reads(feature.first)
        if reads:
            return
        unknown = reads is None
        yield self.reason(
            f"{feature.name}-driver-unknown" if unknown else f"{feature.name}-needs-newer-driver",
            Outcome.UNKNOWN if unknown else Outcome(feature.below),
            feature.sources,
            feature.grade,
            first=feature.first,
        )

    def _reads(self, first: int) -> bool | None:
        """Whether the driver reads what drivers from branch *first* on do; None where that is not known."""
        here, driver = self.device.capability, self.driver
        if self.known.is_tegra(here):  # numbered apart: only its CUDA version tells
            came_with = self.known.branch(Driver(DriverRelease(first)))[0].cuda
            return None if driver is None or driver.cuda is None else driver.cuda >= came_with
        if driver is not None:
            return self.known.branch_numbers(driver)[1] >= first
        oldest = self.known.oldest_driver(here)
        return True if oldest is not None and self.known.branch_numbers(oldest)[1] >= first else None


@functools.lru_cache(maxsize=4096)
def _late_product(name: str | None, capability: ComputeCapability, branch: int | None) -> Product | None:
    """The product of that name, where no list of a driver of *branch* or an older one names it.

    A list that leaves it out says nothing about another release of the same branch.
    """
    if name is None or branch is None:
        return None
    try:
        found = [one for one in tables().find_products(name) if one.capability == capability]
    except UnknownNameError:
        return None
    late = [one for one in found if one.first_branch is not None and one.first_branch > branch]
    return late[0] if late and len(late) == len(found) else None


def _reach(members: tuple[ComputeCapability, ...], number: ComputeCapability) -> str:
    """The devices of a family that code for *number* reaches."""
    return ", ".join(str(member) for member in members if member >= number)
