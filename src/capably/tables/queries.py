"""The questions that the tables answer. Nothing is judged here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from capably.arch import ComputeCapability, Target
from capably.errors import UnknownNameError
from capably.facts import Driver, Standing
from capably.reasons import Grade
from capably.requirement import Requirement
from capably.tables import reading
from capably.tables.model import (
    Alternatives,
    Architecture,
    Branch,
    CodeVersion,
    DriverRange,
    Family,
    Feature,
    Loading,
    Package,
    Product,
    Runtime,
    SharedMemory,
    Source,
    Toolkit,
)
from capably.tables.product_names import find_products
from capably.tables.reading import rows, version_pair
from capably.version import CudaVersion, DriverRelease, PtxVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.tables.model import Cause, DialectVersion, Message, TorchBuild

__all__ = ["Tables", "read_tables"]


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables, and the questions that they answer. Nothing is judged here.

    Attributes:
        horizon: The newest compute capability known.
    """

    sources: dict[str, Source]
    architectures: dict[ComputeCapability, Architecture]
    families: tuple[Family, ...]
    toolkits: tuple[Toolkit, ...]
    ptx: tuple[tuple[CudaVersion, PtxVersion], ...]
    branches: tuple[Branch, ...]
    driver_ranges: dict[ComputeCapability, DriverRange]
    loading: dict[str, Loading]
    features: dict[str, Feature]
    shared_memory: dict[ComputeCapability, SharedMemory]
    code_versions: tuple[CodeVersion, ...]
    last_isolating_toolkit: CudaVersion
    runtimes: tuple[Runtime, ...]
    products: tuple[Product, ...]
    alternatives: tuple[Alternatives, ...]
    packages: tuple[Package, ...]
    horizon: ComputeCapability

    # Large tables that most commands need nothing of are read when they are asked for.

    @property
    def messages(self) -> tuple[Message, ...]:
        """Error messages."""
        return reading.messages(frozenset(self.sources))

    @property
    def causes(self) -> dict[str, Cause]:
        """What may be behind them, by code."""
        return reading.causes(frozenset(self.sources))

    @property
    def dialects(self) -> tuple[DialectVersion, ...]:
        """How tools read lists of architectures, by version."""
        return reading.dialects(frozenset(self.sources))

    @property
    def torch_builds(self) -> tuple[TorchBuild, ...]:
        """Builds of torch, in the order in which they are offered."""
        return reading.torch_builds(frozenset(self.sources))

    def package(self, distribution: str) -> Package | None:
        """What is particular to a distribution; None where it is not one of those that are known."""
        return next((row for row in self.packages if distribution in row.distributions), None)

    def family(self, capability: ComputeCapability) -> Family | None:
        """The family or major version that a device of *capability* belongs to; None beyond the tables."""
        for family in self.families:
            if capability in family.members:
                return family
        return None

    def branch(self, driver: Driver) -> tuple[Branch, Standing]:
        """The driver branch of *driver*, and where it stands beside the known ones.

        A release between two known branches belongs to the lower one: Windows releases (551 to 553 of
        R550) and branches without a toolkit of their own are numbered so. A driver outside the tables comes
        with the nearest branch.
        """
        oldest, newest = self.branches[0], self.branches[-1]
        if driver.release is not None:
            number = driver.release.branch
            known = [branch for branch in self.branches if branch.number <= number]
            newer = number > newest.number
        else:
            cuda = self.driver_cuda(driver)
            known = [branch for branch in self.branches if branch.cuda <= cuda]
            newer = cuda > newest.cuda
        if not known:
            return oldest, Standing.OLDER
        return known[-1], Standing.NEWER if newer else Standing.KNOWN

    def driver_cuda(self, driver: Driver) -> CudaVersion:
        """The newest CUDA version that *driver* supports; of a release outside the tables, the nearest known."""
        return driver.cuda if driver.cuda is not None else self.branch(driver)[0].cuda

    def accepted_ptx(self, driver: Driver) -> PtxVersion | None:
        """The newest PTX ISA version that *driver* is known to compile; None for one older than the tables."""
        if driver.cuda is None and self.branch(driver)[1] is Standing.OLDER:
            return None
        cuda = self.driver_cuda(driver)
        return next((ptx for version, ptx in reversed(self.ptx) if version <= cuda), None)

    def cuda_of_ptx(self, version: PtxVersion) -> CudaVersion | None:
        """The oldest CUDA version whose driver compiles PTX of *version*; None beyond the tables."""
        return next((cuda for cuda, ptx in self.ptx if ptx >= version), None)

    def release_of_cuda(self, cuda: CudaVersion) -> DriverRelease | None:
        """The Linux driver that came with the toolkit of that version; None where none is known."""
        return next((branch.linux for branch in self.branches if branch.cuda == cuda), None)

    def newest_driver(self, capability: ComputeCapability) -> Driver:
        """The newest driver in the table that serves devices of *capability*, marked as assumed.

        Tegra parts have drivers of their own numbering: for them only the CUDA version is given. For a
        capability outside the tables it is the newest of all.
        """
        newest = self.branches[-1]
        limits = self.driver_ranges.get(capability)
        if limits is not None and limits.newest_cuda is not None:
            return Driver(cuda=limits.newest_cuda, assumed=True)
        architecture = self.architectures.get(capability)
        if architecture is not None and architecture.isolated:
            return Driver(cuda=newest.cuda, assumed=True)
        last = limits.last if limits is not None and limits.last is not None else newest.number
        branch = [branch for branch in self.branches if branch.number <= last][-1]
        return Driver(DriverRelease(branch.number), branch.cuda, assumed=True)

    def other_drivers(self, driver: Driver, capability: ComputeCapability) -> tuple[list[Driver], list[Driver]]:
        """The known drivers for devices of *capability* that are newer than *driver*, and those that are older.

        One for each branch, the nearest first. None for a driver of a Tegra part that is known by its own number only.
        """
        architecture = self.architectures.get(capability)
        tegra = architecture is not None and architecture.isolated
        if tegra and driver.cuda is None:
            return [], []
        last = self.driver_cuda(self.newest_driver(capability))
        branch, standing = self.branch(driver)
        at = self.branches.index(branch)
        newer = self.branches[at if standing is Standing.OLDER else at + 1 :]
        older = self.branches[: at + 1 if standing is Standing.NEWER else at]

        def named(row: Branch) -> Driver:
            return replace(driver, release=None if tegra else DriverRelease(row.number), cuda=row.cuda, assumed=True)

        return (
            [named(row) for row in newer if row.cuda <= last],
            [named(row) for row in reversed(older) if row.cuda <= last],
        )

    def emitting_toolkits(self, target: Target) -> tuple[CudaVersion, CudaVersion] | None:
        """The oldest and the newest known toolkit that emits *target*; None where none does."""
        versions = [toolkit.cuda for toolkit in self.toolkits if toolkit.emits(target)]
        return (versions[0], versions[-1]) if versions else None

    def find_products(self, name: str) -> tuple[Product, ...]:
        """The products that *name* may mean, best match first.

        Names are taken as people and drivers write them: case, spaces, hyphens, the vendor, memory sizes,
        form factors and MIG profiles do not matter.

        Raises:
            UnknownNameError: No product is called so; with suggestions, never a guess.

        >>> from capably.tables import tables
        >>> [str(product.capability) for product in tables().find_products("NVIDIA H100 80GB HBM3")]
        ['9.0']
        """
        return find_products(self.products, name)

    def instead_of_product(self, name: str) -> str | None:
        """What a requirement says instead of the product *name*, in words; None where no product is called so.

        >>> from capably.tables import tables
        >>> tables().instead_of_product("RTX 4090")
        '`8.9`, the compute capability of GeForce RTX 4090: a product is no condition'
        """
        try:
            found = self.find_products(name)
        except UnknownNameError:
            return None
        capabilities = sorted({product.capability for product in found})
        texts = " or ".join(f"`{capability}`" for capability in capabilities)
        whose = f"`{name}`, which is several products" if len(capabilities) > 1 else found[0].name
        return f"{texts}, the compute capability of {whose}: a product is no condition"


def read_tables() -> Tables:
    """The shipped tables, read and checked.

    Raises:
        TableError: A table breaks its own rules; that is a defect of the installation.
    """
    sources = {
        s.key: s for s in (Source(r.string("key"), r.string("title"), r.string("url")) for r in rows("sources", None))
    }
    keys = frozenset(sources)
    architectures = {
        a.capability: a
        for a in (
            Architecture(
                r.capability("capability"),
                r.string("name"),
                r.boolean("isolated"),
                r.optional("renamed", ComputeCapability.parse),
                r.sources(),
                r.grade(),
            )
            for r in rows("architectures", keys)
        )
    }
    families = tuple(
        Family(
            r.string("family"),
            r.string("kind") == "family",
            tuple(ComputeCapability.parse(member) for member in r.string("members").split()),
            r.sources(),
            r.grade(),
        )
        for r in rows("families", keys)
    )
    ranges = {
        d.capability: d
        for d in (
            DriverRange(
                r.capability("capability"),
                r.integer("first_branch"),
                r.optional("first_grade", Grade) or Grade.INFERRED,
                r.integer("last_branch"),
                r.optional("last_grade", Grade) or Grade.INFERRED,
                r.optional("newest_cuda", CudaVersion.parse),
                r.sources(),
                r.grade(),
            )
            for r in rows("driver_devices", keys)
        )
    }
    return Tables(
        sources=sources,
        architectures=architectures,
        families=families,
        toolkits=tuple(
            Toolkit(r.parsed("cuda", CudaVersion.parse), tuple(r.string("targets").split()), r.sources(), r.grade())
            for r in rows("toolkits", keys)
        ),
        ptx=tuple(
            (r.parsed("cuda", CudaVersion.parse), r.parsed("ptx", PtxVersion.parse))
            for r in rows("ptx", keys)
            if r.sources() and r.grade()
        ),
        branches=tuple(
            Branch(
                r.whole("branch"),
                r.parsed("cuda", CudaVersion.parse),
                r.optional("linux", DriverRelease.parse),
                r.optional("windows", DriverRelease.parse),
                r.sources(),
                r.grade(),
            )
            for r in rows("drivers", keys)
        ),
        driver_ranges=ranges,
        loading={
            f.name: f
            for f in (
                Loading(r.string("feature"), r.whole("first_branch"), r.string("below"), r.sources(), r.grade())
                for r in rows("loading", keys)
            )
        },
        features={
            f.name: f
            for f in (
                Feature(
                    r.string("feature"),
                    r.string("title"),
                    r.parsed("requires", Requirement.parse),
                    r.sources(),
                    r.grade(),
                )
                for r in rows("features", keys)
            )
        },
        shared_memory={
            m.capability: m
            for m in (
                SharedMemory(r.capability("capability"), r.whole("block_kib") << 10, r.sources(), r.grade())
                for r in rows("shared_memory", keys)
            )
        },
        code_versions=tuple(
            CodeVersion(
                r.parsed("code_version", version_pair),
                r.optional("first", CudaVersion.parse),
                r.optional("last", CudaVersion.parse),
                r.integer("below"),
                r.sources(),
                r.grade(),
            )
            for r in rows("cubin_abi", keys)
        ),
        last_isolating_toolkit=next(
            r.parsed("last_isolating_toolkit", CudaVersion.parse)
            for r in rows("tegra", keys)
            if r.sources() and r.grade()
        ),
        runtimes=tuple(
            Runtime(
                r.parsed("pattern", re.compile), r.whole("cuda_major"), r.whole("first_branch"), r.sources(), r.grade()
            )
            for r in rows("runtimes", keys)
        ),
        products=tuple(
            Product(
                r.string("name"),
                r.capability("capability"),
                r.string("class"),
                r.strings("aliases"),
                r.strings("hosts"),
                r.sources(),
                r.grade(),
            )
            for r in rows("products", keys)
        ),
        alternatives=tuple(
            Alternatives(
                r.string("distribution"),
                r.parsed("pattern", re.compile),
                r.string("chosen_by"),
                tuple(sorted(r.pairs("choices"))) if "choices" in r.left else (),
                r.sources(),
                r.grade(),
            )
            for r in rows("alternatives", keys)
        ),
        packages=tuple(
            Package(
                r.string("title"),
                r.strings("distributions"),
                r.string("kernels"),
                r.optional("compiler", str),
                r.boolean("dispatches"),
                r.strings("conflicts"),
                r.optional("part", re.compile),
                tuple((name, Requirement.parse(text)) for name, text in r.pairs("assemblers"))
                if "assemblers" in r.left
                else (),
                r.string("particular"),
                r.optional("check", str),
                r.sources(),
                r.grade(),
            )
            for r in rows("packages", keys)
        ),
        horizon=max(family.members[-1] for family in families),
    )
