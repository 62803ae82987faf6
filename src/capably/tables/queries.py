"""The tables as a whole, and the questions that they answer. Nothing is judged here."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

from capably.arch import ComputeCapability, Suffix, Target
from capably.errors import UnknownNameError
from capably.facts import Driver, Standing
from capably.tables import contents
from capably.tables.product_names import find_products
from capably.tables.reading import read_rows
from capably.version import CudaVersion, DriverRelease, PtxVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from capably.tables.model import (
        Alternatives,
        Architecture,
        Branch,
        Cause,
        CodeVersion,
        DialectVersion,
        DriverRange,
        Family,
        Feature,
        FileRole,
        Instance,
        KnownBuild,
        KnownError,
        KnownToolkit,
        Loading,
        Message,
        Package,
        Product,
        Runtime,
        RunTimeCompiler,
        SharedMemory,
        Source,
        TorchBuild,
    )
    from capably.tables.reading import Rows

__all__ = ["Tables"]

_SHIPPED = Path(__file__).parent / "data"


class Tables:
    """All tables, and the questions that they answer. Each is read and checked when something first asks for it.

    Args:
        folder: Where the files are; those that are shipped where it is not given.

    Raises:
        TableError: From every attribute: a table breaks its own rules.
    """

    def __init__(self, folder: Path = _SHIPPED) -> None:
        self._folder = folder
        self._horizons: dict[str, str] = {}

    def _rows(self, table: str) -> Rows:
        rows = read_rows(self._folder, table, self.sources)
        self._horizons[table] = rows.horizon_text
        return rows

    @functools.cached_property
    def _capabilities(self) -> dict[str, ComputeCapability]:
        return {str(capability): capability for capability in self.architectures}

    @functools.cached_property
    def sources(self) -> dict[str, Source]:
        """Where facts come from, by key."""
        return contents.sources(read_rows(self._folder, "sources", None))

    @functools.cached_property
    def architectures(self) -> dict[ComputeCapability, Architecture]:
        """Compute capabilities."""
        return contents.architectures(self._rows("architectures"))

    @functools.cached_property
    def families(self) -> tuple[Family, ...]:
        """Devices among which machine code carries over."""
        return contents.families(self._rows("families"), self._capabilities)

    @functools.cached_property
    def toolkits(self) -> tuple[KnownToolkit, ...]:
        """Toolkits, the oldest first."""
        return contents.toolkits(self._rows("toolkits"), self._capabilities)

    @functools.cached_property
    def ptx(self) -> tuple[tuple[CudaVersion, PtxVersion], ...]:
        """The PTX ISA version of each CUDA version, the oldest first."""
        return contents.ptx(self._rows("ptx"))

    @functools.cached_property
    def branches(self) -> tuple[Branch, ...]:
        """Driver branches, the oldest first."""
        return contents.branches(self._rows("drivers"))

    @functools.cached_property
    def driver_ranges(self) -> dict[ComputeCapability, DriverRange]:
        """Which branches serve a capability."""
        return contents.driver_ranges(self._rows("driver_devices"), self._capabilities)

    @functools.cached_property
    def loading(self) -> dict[str, Loading]:
        """What a driver must be new enough to load."""
        return contents.loading(self._rows("loading"))

    @functools.cached_property
    def features(self) -> dict[str, Feature]:
        """What hardware can do."""
        return contents.features(self._rows("features"))

    @functools.cached_property
    def shared_memory(self) -> dict[ComputeCapability, SharedMemory]:
        """Shared memory of a block."""
        return contents.shared_memory(self._rows("shared_memory"), self._capabilities)

    @functools.cached_property
    def code_versions(self) -> tuple[CodeVersion, ...]:
        """Which toolkits write which code version."""
        return contents.code_versions(self._rows("cubin_abi"))

    @functools.cached_property
    def last_isolating_toolkit(self) -> CudaVersion:
        """Up to which toolkit Tegra and desktop machine code were kept apart."""
        return contents.last_isolating_toolkit(self._rows("tegra"))

    @functools.cached_property
    def runtimes(self) -> tuple[Runtime, ...]:
        """Names of libraries and distributions that belong to a CUDA major version."""
        return contents.runtimes(self._rows("runtimes"))

    @functools.cached_property
    def products(self) -> tuple[Product, ...]:
        """GPUs as NVIDIA sells them."""
        return contents.products(self._rows("products"), self._capabilities)

    @functools.cached_property
    def instances(self) -> tuple[Instance, ...]:
        """Cloud instance types and their GPUs."""
        return contents.instances(self._rows("instances"), self.products)

    @functools.cached_property
    def alternatives(self) -> tuple[Alternatives, ...]:
        """Packages that hold several builds of a library."""
        distributions = {name for package in self.packages for name in package.distributions}
        return contents.alternatives(self._rows("alternatives"), self._capabilities, distributions)

    @functools.cached_property
    def packages(self) -> tuple[Package, ...]:
        """What is particular to packages."""
        return contents.packages(self._rows("packages"))

    @functools.cached_property
    def file_roles(self) -> tuple[FileRole, ...]:
        """Files that are not the product of their distribution."""
        return contents.file_roles(self._rows("file_roles"))

    @functools.cached_property
    def run_time_compilers(self) -> tuple[RunTimeCompiler, ...]:
        """What compiles at run time, by release and by GPU."""
        distributions = {name for package in self.packages for name in package.distributions}
        return contents.run_time_compilers(self._rows("run_time_compilers"), self._capabilities, distributions)

    @functools.cached_property
    def messages(self) -> tuple[Message, ...]:
        """Error messages."""
        return contents.messages(self._rows("messages"), self.causes, self.errors)

    @functools.cached_property
    def errors(self) -> dict[int, KnownError]:
        """Errors of the CUDA runtime and of the driver, by number."""
        return contents.errors(self._rows("errors"))

    @functools.cached_property
    def error_messages(self) -> dict[int, Message]:
        """What each of them means as a message in a log; a message of its own has the numbers that it names."""
        return {number: contents.message_of(error) for number, error in self.errors.items()}

    @functools.cached_property
    def causes(self) -> dict[str, Cause]:
        """What may be behind them, by code."""
        return contents.causes(self._rows("causes"))

    @functools.cached_property
    def dialects(self) -> tuple[DialectVersion, ...]:
        """How tools read lists of architectures, by version."""
        names = {architecture.name for architecture in self.architectures.values()}
        return contents.dialects(self._rows("dialects"), self._capabilities, names)

    @functools.cached_property
    def known_builds(self) -> tuple[KnownBuild, ...]:
        """What published builds of packages hold."""
        emitted = {target for toolkit in self.toolkits for target in toolkit.targets}
        return contents.known_builds(self._rows("known_builds"), emitted)

    @functools.cached_property
    def torch_builds(self) -> tuple[TorchBuild, ...]:
        """Builds of torch, in the order in which they are offered."""
        emitted = {target for toolkit in self.toolkits for target in toolkit.targets}
        return contents.torch_builds(self._rows("torch_builds"), emitted)

    # -- how far they reach

    def capability_horizon(self, table: str) -> ComputeCapability:
        """The newest compute capability that a table knows, under the name of its attribute."""
        return ComputeCapability.parse(self._horizon(table))

    def cuda_horizon(self, table: str) -> CudaVersion:
        """The newest CUDA version that a table knows, under the name of its attribute."""
        return CudaVersion.parse(self._horizon(table))

    def _horizon(self, table: str) -> str:
        getattr(self, table)  # which reads it
        return self._horizons[table]

    @property
    def horizon(self) -> ComputeCapability:
        """The newest compute capability known."""
        return self.capability_horizon("architectures")

    # -- questions

    def package(self, distribution: str) -> Package | None:
        """What is particular to a distribution; None where it is not one of those that are known."""
        return next((row for row in self.packages if distribution in row.distributions), None)

    def family(self, capability: ComputeCapability) -> Family | None:
        """The family or major version that a device of *capability* belongs to; None beyond the tables."""
        for family in self.families:
            if capability in family.members:
                return family
        return None

    def number_today(self, capability: ComputeCapability) -> ComputeCapability:
        """The number that stands for that hardware since CUDA 13.0."""
        architecture = self.architectures.get(capability)
        return capability if architecture is None else architecture.renamed or capability

    def same_hardware(self, one: ComputeCapability, other: ComputeCapability) -> bool:
        """Whether two numbers are of the same hardware, which has had two."""
        return self.number_today(one) == self.number_today(other)

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

    def user_branch(self, driver: Driver) -> tuple[Branch, Standing]:
        """The branch of the part of *driver* that programs load (libcuda), as `branch` tells that of its release.

        A package for forward compatibility replaces that part: it is of the branch of the CUDA version, and the release
        is that of the kernel module.
        """
        branch, standing = self.branch(driver)
        if driver.release is None or driver.cuda in (None, branch.cuda):
            return branch, standing
        return self.branch(replace(driver, release=None))

    def branch_numbers(self, driver: Driver) -> tuple[int | None, int]:
        """The numbers of the branches of its kernel module, where its release is known, and of the part that programs load.

        Of a driver older than the tables that is told by its CUDA version only, the second is an upper bound.
        """
        kernel = driver.release.branch if driver.release is not None else None
        if kernel is not None and driver.cuda in (None, self.branch(driver)[0].cuda):
            return kernel, kernel
        branch, standing = self.user_branch(driver)
        return kernel, branch.number - 1 if standing is Standing.OLDER else branch.number

    def is_tegra(self, capability: ComputeCapability) -> bool:
        """Whether devices of *capability* are Tegra parts: drivers numbered apart, machine code kept apart."""
        architecture = self.architectures.get(capability)
        return architecture is not None and architecture.isolated

    def cuda_of_driver(self, driver: Driver, capability: ComputeCapability) -> CudaVersion | None:
        """The newest CUDA version that *driver* supports on devices of *capability*; None where nothing tells it.

        The release of a driver of a Tegra part tells nothing. Of a release outside the tables, it is the nearest known.
        """
        if driver.cuda is None and self.is_tegra(capability):
            return None
        return self.driver_cuda(driver)

    def oldest_driver(self, capability: ComputeCapability) -> Driver | None:
        """The oldest driver that serves devices of *capability*; None where the tables do not tell one."""
        served = self.driver_ranges.get(capability)
        if served is None or served.first is None:
            return None
        return Driver(DriverRelease(served.first), assumed=True)

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
        if self.is_tegra(capability):
            return Driver(cuda=newest.cuda, assumed=True)
        last = limits.last if limits is not None and limits.last is not None else newest.number
        branch = [branch for branch in self.branches if branch.number <= last][-1]
        return Driver(DriverRelease(branch.number), branch.cuda, assumed=True)

    def other_drivers(self, driver: Driver, capability: ComputeCapability) -> tuple[list[Driver], list[Driver]]:
        """The known drivers for devices of *capability* that are newer than *driver*, and those that are older.

        One for each branch, the nearest first. None for a driver of a Tegra part that is known by its own number only.
        """
        tegra = self.is_tegra(capability)
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

    @functools.cached_property
    def first_with_suffix(self) -> dict[Suffix, ComputeCapability]:
        """The architecture with which the targets of each suffix begin."""
        emitted = [Target.parse(name) for toolkit in self.toolkits for name in toolkit.targets]
        suffixes = (Suffix.ARCH_SPECIFIC, Suffix.FAMILY_SPECIFIC)
        return {suffix: min(one.capability for one in emitted if one.suffix is suffix) for suffix in suffixes}

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
