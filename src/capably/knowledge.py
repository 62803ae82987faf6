"""The tables: what is known about architectures, toolkits, drivers and products, each row with its source.

Tables are JSON files beside this module, one row per line. They are read once, on first use, checked while
they are read, and never changed. Each states its horizon, the newest thing that it knows; a question beyond
it is answered with "unknown" by whoever asks.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from capably.arch import ComputeCapability, Target
from capably.errors import TableError, UnknownNameError
from capably.facts import Driver, Standing
from capably.reasons import Grade
from capably.requirement import Requirement
from capably.version import CudaVersion, DriverRelease, PtxVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Alternatives",
    "Architecture",
    "Branch",
    "Cause",
    "CodeVersion",
    "DialectVersion",
    "DriverRange",
    "Family",
    "Feature",
    "Loading",
    "Message",
    "Package",
    "Product",
    "Runtime",
    "SharedMemory",
    "Source",
    "Tables",
    "Toolkit",
    "TorchBuild",
    "tables",
]

_DATA = Path(__file__).parent / "data"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact comes from. An empty *url* is an experiment, described by its title."""

    key: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Architecture:
    """One compute capability.

    Attributes:
        isolated: A Tegra part whose machine code was kept apart from that of desktop parts.
        renamed: The capability that stands for the same hardware since CUDA 13.0.
    """

    capability: ComputeCapability
    name: str
    isolated: bool
    renamed: ComputeCapability | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Family:
    """Devices among which machine code carries over from a lower number to a higher one.

    Attributes:
        specific: There are `f` targets for it (10.0 and later); else it is a major version.
        members: In rising order.
    """

    name: str
    specific: bool
    members: tuple[ComputeCapability, ...]
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A CUDA toolkit and the targets that it emits, as ``90a`` for both ``sm_90a`` and ``compute_90a``."""

    cuda: CudaVersion
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    grade: Grade

    def emits(self, target: Target) -> bool:
        """Whether its compiler knows this target."""
        return f"{target.capability.number}{target.suffix}" in self.targets


@dataclass(frozen=True, slots=True)
class Branch:
    """A driver branch, the CUDA version that it supports, and the Linux release that came with that toolkit."""

    number: int
    cuda: CudaVersion
    linux: DriverRelease | None
    windows: DriverRelease | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Package:
    """What is particular to a package that many people run on GPUs.

    Attributes:
        title: Its name for people.
        distributions: The distributions that it is installed by.
        kernels: ``prebuilt``, compiled at ``run-time``, or ``both``.
        compiler: The kind of compiler that it needs at run time.
        dispatches: It holds code for single capabilities and takes what fits: partial coverage is no fault.
        conflicts: Distributions that overwrite its files.
        part: Matches the distribution that holds its GPU code, where that is another one.
        assemblers: Where it has several, pairs of a file name (``*`` for any other) and the GPUs that it is for.
        particular: In a sentence or two.
        check: A command that shows whether it works.
    """

    title: str
    distributions: tuple[str, ...]
    kernels: str
    compiler: str | None
    dispatches: bool
    conflicts: tuple[str, ...]
    part: re.Pattern[str] | None
    assemblers: tuple[tuple[str, Requirement], ...]
    particular: str
    check: str | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """A build of torch that PyTorch publishes.

    Attributes:
        index: The folder of its wheels: ``cu130``.
        cuda: The CUDA version that it is compiled by.
        machine: The processor that it is for, as `capably.facts.System` names it.
        targets: What it is compiled for.
    """

    index: str
    cuda: CudaVersion
    machine: str
    targets: tuple[Target, ...]
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class DriverRange:
    """The driver branches that serve a compute capability; None where that end is not known.

    Attributes:
        newest_cuda: For Tegra parts out of support, the newest CUDA version that their software brings.
    """

    capability: ComputeCapability
    first: int | None
    first_grade: Grade
    last: int | None
    last_grade: Grade
    newest_cuda: CudaVersion | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that hardware can do, under the name by which requirements ask for it.

    Attributes:
        title: What it is, in a few words.
        requires: The devices that can, and the kind of code that it takes.
    """

    name: str
    title: str
    requires: Requirement
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """The shared memory that one block can have at most, after asking for more than the default of 48 KiB."""

    capability: ComputeCapability
    block_bytes: int
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Loading:
    """Something that a driver must be new enough to load; *below* is the outcome on an older one."""

    name: str
    first: int
    below: str
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """Which toolkits write this code version into fatbin entries of machine code.

    Attributes:
        below: The row holds for architecture numbers below this one; None for all.
        first: The oldest toolkit that writes it.
        last: The newest.
    """

    version: tuple[int, int]
    first: CudaVersion | None
    last: CudaVersion | None
    below: int | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Runtime:
    """Names of shared libraries that belong to one CUDA major version, and the first driver branch for it."""

    pattern: re.Pattern[str]
    cuda_major: int
    first: int
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Product:
    """A GPU as NVIDIA sells it.

    Attributes:
        name: Without the vendor: ``GeForce RTX 4090``.
        kind: ``data-center``, ``workstation``, ``geforce``, ``jetson`` or ``system``.
        aliases: Other names that no rule derives.
        hosts: Processors of the machines that it comes in, where that is fixed.
    """

    name: str
    capability: ComputeCapability
    kind: str
    aliases: tuple[str, ...]
    hosts: tuple[str, ...]
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Alternatives:
    """A package that loads one of several libraries, and how it chooses.

    Attributes:
        distribution: Its normalised name.
        pattern: Matches the paths of the libraries it chooses among; the group ``alternative`` names one.
        chosen_by: ``cuda-version`` or ``capability``.
        choices: For ``capability``: pairs of a capability (``*`` for any other) and an alternative.
    """

    distribution: str
    pattern: re.Pattern[str]
    chosen_by: str
    choices: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Message:
    """A message that programs print.

    Attributes:
        code: Permanent, kebab-case.
        rank: In one log, messages of a lower rank explain those of a higher one.
        subject: What it is about: ``architecture``, or what else.
        device: It proves that a GPU and a driver worked where it was printed.
        complete: The causes are all that there are, so the last one that is left is the one.
        needles: Lower-case texts, one of which is in or near every match.
        patterns: Without unbounded repetition of anything that could match much.
        causes: Codes of causes, the most particular first.
        requires: What it says that a GPU has to be, where the text itself does not; None elsewhere.
    """

    code: str
    title: str
    rank: int
    subject: str
    device: bool
    complete: bool
    needles: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    means: str
    causes: tuple[str, ...]
    requires: Requirement | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class Cause:
    """What may be behind a message.

    Attributes:
        way_out: What to do where it holds.
        next: A command that tells, where the facts do not.
    """

    code: str
    title: str
    cause: str
    way_out: str
    next: str
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True)
class DialectVersion:
    """How a tool reads a list of architectures, from one of its versions on.

    Attributes:
        since: The first version of the tool that reads so, as numbers.
        read: The versions that were run or read.
        numbers: The capabilities that a list may name, where the tool has a table of them.
        ignored: Where the tool takes no notice of the list; None where nothing is known.
        names: Pairs of a name and what the tool puts in its place, in the order in which it looks for them.
        lists: What words and defaults stand for, in the tool's own spelling.
        rules: Switches of the reader in `capably.archlist`.
        requires: What the tool needs of a GPU whatever its list says, in the grammar of `capably.requirement`; None
            where nothing is known.
    """

    dialect: str
    since: tuple[int, ...]
    read: tuple[str, ...]
    numbers: tuple[str, ...]
    ignored: str | None
    names: tuple[tuple[str, str], ...]
    lists: tuple[tuple[str, str], ...]
    rules: frozenset[str]
    requires: str | None
    sources: tuple[str, ...]
    grade: Grade


class _Row:
    """One row of a table, read strictly: a missing, unknown or ill-typed field is an error."""

    def __init__(self, table: str, row: object, sources: frozenset[str] | None) -> None:
        if not isinstance(row, dict):
            raise TableError(table, repr(row), "a row is an object")
        self.table = table
        self.left: dict[str, object] = dict(row)
        self.text = json.dumps(row, ensure_ascii=False)
        self.known_sources = sources

    def fail(self, rule: str) -> TableError:
        return TableError(self.table, self.text, rule)

    def take(self, name: str) -> object:
        if name not in self.left:
            raise self.fail(f"`{name}` is missing")
        return self.left.pop(name)

    def string(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise self.fail(f"`{name}` is not a text")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        value = self.take(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(f"`{name}` is not a list of texts")
        return tuple(value)

    def integer(self, name: str) -> int | None:
        value = self.take(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self.fail(f"`{name}` is not a whole number or null")
        return value

    def whole(self, name: str) -> int:
        value = self.integer(name)
        if value is None:
            raise self.fail(f"`{name}` is null")
        return value

    def numbers(self, name: str) -> tuple[int, ...]:
        value = self.left.pop(name, [])
        if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
            raise self.fail(f"`{name}` is not a list of numbers from 1 on")
        return tuple(value)

    def boolean(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise self.fail(f"`{name}` is not true or false")
        return value

    def capability(self, name: str) -> ComputeCapability:
        return self.parsed(name, ComputeCapability.parse)

    def parsed(self, name: str, parse: Callable[[str], _T]) -> _T:
        text = self.string(name)
        try:
            return parse(text)
        except (ValueError, re.error) as error:
            raise self.fail(f"`{name}`: {error}") from error

    def parsed_each(self, name: str, parse: Callable[[str], _T]) -> list[_T]:
        try:
            return [parse(text) for text in self.strings(name)]
        except (ValueError, re.error) as error:
            raise self.fail(f"`{name}`: {error}") from error

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        value = self.take(name)
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise self.fail(f"`{name}` is not an object of texts")
        return tuple(value.items())

    def optional(self, name: str, parse: Callable[[str], _T]) -> _T | None:
        if self.left.get(name) is None:
            self.left.pop(name, None)
            return None
        return self.parsed(name, parse)

    def grade(self) -> Grade:
        return self.parsed("grade", Grade)

    def sources(self) -> tuple[str, ...]:
        keys = self.strings("sources")
        if not keys:
            raise self.fail("it cites no source")
        for key in keys:
            if self.known_sources is not None and key not in self.known_sources:
                raise self.fail(f"unknown source `{key}`")
        return keys

    def end(self) -> None:
        self.left.pop("note", None)  # for the reader of the table
        if self.left:
            raise self.fail(f"unknown field `{next(iter(self.left))}`")


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
        return _messages()

    @property
    def causes(self) -> dict[str, Cause]:
        """What may be behind them, by code."""
        return _causes()

    @property
    def dialects(self) -> tuple[DialectVersion, ...]:
        """How tools read lists of architectures, by version."""
        return _dialects()

    @property
    def torch_builds(self) -> tuple[TorchBuild, ...]:
        """Builds of torch, in the order in which they are offered."""
        return _torch_builds()

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

        >>> [str(product.capability) for product in tables().find_products("NVIDIA H100 80GB HBM3")]
        ['9.0']
        """
        wanted = _compact(name)
        for query in dict.fromkeys((wanted, _compact(_NOISE.sub(" ", f" {name} ")))):
            if not query:
                continue
            for forms in (_full_names, _short_names):
                found = tuple(product for product in self.products if query in forms(product))
                if found:
                    return found
        known: dict[str, str] = {}
        for product in self.products:
            for form in (*_full_names(product), *_short_names(product)):
                known.setdefault(form, product.name)
        import difflib  # noqa: PLC0415 - only for the error

        close = difflib.get_close_matches(wanted, known, n=6, cutoff=0.6)
        raise UnknownNameError("GPU", name, tuple(dict.fromkeys(known[form] for form in close))[:3])

    def instead_of_product(self, name: str) -> str | None:
        """What a requirement says instead of the product *name*, in words; None where no product is called so.

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


# What drivers and shops add to a name without changing the product: nvidia-smi prints "NVIDIA A100-SXM4-40GB
# MIG 1g.5gb", "Tesla V100-SXM2-32GB", "Orin (nvgpu)", or "GRID T4-16Q" for a virtual GPU.
_NOISE = re.compile(
    r"(?i)\bmig\b.*|\(.*?\)|(?:-[0-9]+)?-[0-9]+[abcq]\b|\b(?:nvidia|tesla|grid|corporation|gpu|graphics|laptop|notebook|mobile|card|pcie?|sxm[0-9]?|"
    r"nvl|oam|fhhl|dgxs|with|max-?q|design|hbm[0-9]?e?|gddr[0-9]x?|[0-9]+ ?g(?:i?b)?)\b"
)
_PREFIX = re.compile(r"^(?:geforce(?: (?:rtx|gtx|gts|gt))?|quadro(?: rtx)?|nvidia|tesla|jetson(?: agx)?)\b *")
_GENERATION = re.compile(
    r" (?:ada(?: generation)?|generation|blackwell|(?:max-q )?(?:server|workstation) edition|workstation|server|edition)\b"
)


def _compact(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.casefold())


@functools.cache
def _full_names(product: Product) -> frozenset[str]:
    """The name and the aliases, with and without the vendor and the first word of the brand."""
    names = [product.name, *product.aliases]
    names += [re.sub(r"^(?:GeForce|Quadro|Tesla) ", "", name) for name in names if not name.startswith("Quadro RTX")]
    return frozenset(_compact(form) for name in names for form in (name, f"NVIDIA {name}", f"Tesla {name}"))


@functools.cache
def _short_names(product: Product) -> frozenset[str]:
    """What people say: `4090`, `RTX 6000`. One such name can mean several products."""
    forms: set[str] = set()
    for name in (product.name, *product.aliases):
        lower = name.lower()
        bare = _GENERATION.sub("", lower)
        forms |= {lower, bare, re.sub(r"^(?:quadro |rtx (?=a[0-9]))", "", bare)}
        forms.add(re.sub(r" (?:blackwell|edition|generation)\b", "", lower))
        short = _PREFIX.sub("", bare)
        # Too little to name a product: a brand without a number ("RTX"), a letter, and the bare series number of
        # a professional card ("6000" has been six of them).
        if len(short) > 1 and not (product.kind == "workstation" and short.isdigit()):
            forms.add(short)
    return frozenset(_compact(form) for form in forms) - {"", "rtx", "gtx", "titan", "quadro", "tesla", "geforce"}


def _version_pair(text: str) -> tuple[int, int]:
    version = PtxVersion.parse(text)
    return version.major, version.minor


def _rows(table: str, sources: frozenset[str] | None) -> Iterator[_Row]:
    try:
        document = json.loads((_DATA / f"{table}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(table, "", str(error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise TableError(table, "", "not an object with a list `rows`")
    for raw in document["rows"]:
        row = _Row(table, raw, sources)
        yield row
        row.end()


@functools.cache
def tables() -> Tables:
    """The shipped tables, read and checked on the first call.

    Raises:
        TableError: A table breaks its own rules; that is a defect of the installation.
    """
    sources = {
        s.key: s for s in (Source(r.string("key"), r.string("title"), r.string("url")) for r in _rows("sources", None))
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
            for r in _rows("architectures", keys)
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
        for r in _rows("families", keys)
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
            for r in _rows("driver_devices", keys)
        )
    }
    return Tables(
        sources=sources,
        architectures=architectures,
        families=families,
        toolkits=tuple(
            Toolkit(r.parsed("cuda", CudaVersion.parse), tuple(r.string("targets").split()), r.sources(), r.grade())
            for r in _rows("toolkits", keys)
        ),
        ptx=tuple(
            (r.parsed("cuda", CudaVersion.parse), r.parsed("ptx", PtxVersion.parse))
            for r in _rows("ptx", keys)
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
            for r in _rows("drivers", keys)
        ),
        driver_ranges=ranges,
        loading={
            f.name: f
            for f in (
                Loading(r.string("feature"), r.whole("first_branch"), r.string("below"), r.sources(), r.grade())
                for r in _rows("loading", keys)
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
                for r in _rows("features", keys)
            )
        },
        shared_memory={
            m.capability: m
            for m in (
                SharedMemory(r.capability("capability"), r.whole("block_kib") << 10, r.sources(), r.grade())
                for r in _rows("shared_memory", keys)
            )
        },
        code_versions=tuple(
            CodeVersion(
                r.parsed("code_version", _version_pair),
                r.optional("first", CudaVersion.parse),
                r.optional("last", CudaVersion.parse),
                r.integer("below"),
                r.sources(),
                r.grade(),
            )
            for r in _rows("cubin_abi", keys)
        ),
        last_isolating_toolkit=next(
            r.parsed("last_isolating_toolkit", CudaVersion.parse)
            for r in _rows("tegra", keys)
            if r.sources() and r.grade()
        ),
        runtimes=tuple(
            Runtime(
                r.parsed("pattern", re.compile), r.whole("cuda_major"), r.whole("first_branch"), r.sources(), r.grade()
            )
            for r in _rows("runtimes", keys)
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
            for r in _rows("products", keys)
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
            for r in _rows("alternatives", keys)
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
            for r in _rows("packages", keys)
        ),
        horizon=max(family.members[-1] for family in families),
    )


@functools.cache
def _causes() -> dict[str, Cause]:
    rows = _rows("causes", frozenset(tables().sources))
    causes = (
        Cause(
            r.string("code"),
            r.string("title"),
            r.string("cause"),
            r.string("way_out"),
            r.string("next"),
            r.sources(),
            r.grade(),
        )
        for r in rows
    )
    return {cause.code: cause for cause in causes}


@functools.cache
def _messages() -> tuple[Message, ...]:
    causes = frozenset(_causes())
    return tuple(_message(row, causes) for row in _rows("messages", frozenset(tables().sources)))


@functools.cache
def _dialects() -> tuple[DialectVersion, ...]:
    return tuple(
        DialectVersion(
            r.string("dialect"),
            r.parsed("since", lambda text: tuple(int(part) for part in text.split("."))),
            tuple(r.string("read").split()),
            tuple(r.string("numbers").split()),
            r.optional("ignored", str),
            r.pairs("names"),
            r.pairs("lists"),
            frozenset(r.string("rules").split()),
            r.optional("requires", lambda text: str(Requirement.parse(text))),
            r.sources(),
            r.grade(),
        )
        for r in _rows("dialects", frozenset(tables().sources))
    )


@functools.cache
def _torch_builds() -> tuple[TorchBuild, ...]:
    return tuple(
        TorchBuild(
            r.string("index"),
            r.parsed("cuda", CudaVersion.parse),
            r.string("machine"),
            r.parsed("targets", lambda text: tuple(map(Target.parse, text.split()))),
            r.sources(),
            r.grade(),
        )
        for r in _rows("torch_builds", frozenset(tables().sources))
    )


_SUBJECTS = ("architecture", "build", "driver", "installation", "program", "visibility")
# What could take more than linear time: repetition without a bound of a group or of any character.
_UNBOUNDED = re.compile(r"[.)\]][*+]|\{[0-9]+,\}|\\[A-Za-z][*+]")


def _bounded(text: str) -> re.Pattern[str]:
    if _UNBOUNDED.search(text):
        raise ValueError("repetition without a bound")
    return re.compile(text)


def _needles_of(number: int) -> tuple[str, ...]:
    """Texts one of which is near each mention of a CUDA error by *number*; short numbers are everywhere else too."""
    return (str(number),) if number >= 100 else tuple(f"{lead}{number}" for lead in (": ", "error ", "code ", "(", "=", "= "))  # fmt: skip


def _of_number(number: int) -> str:
    """Matches CUDA errors that are printed with their *number* alone."""
    kind = r"(?:error|failure|errno|result)"
    return rf"(?i)\bcu(?:da)?(?:[ _]?(?:driver|runtime))?[ _]?{kind}(?:[ _]?code)?[ :=#(]{{0,6}}{number}\b(?![.:][0-9])"


def _message(row: _Row, causes: frozenset[str]) -> Message:
    numbers = row.numbers("numbers")
    message = Message(
        row.string("code"),
        row.string("title"),
        row.whole("rank"),
        row.string("subject"),
        row.boolean("device"),
        row.boolean("complete"),
        row.strings("needles"),
        (*row.parsed_each("patterns", _bounded), *map(_bounded, map(_of_number, numbers))),
        row.string("means"),
        row.strings("causes"),
        row.optional("requires", Requirement.parse),
        row.sources(),
        row.grade(),
    )
    if message.subject not in _SUBJECTS:
        raise row.fail(f"unknown subject `{message.subject}`")
    if not message.needles or any(needle != needle.lower() for needle in message.needles):
        raise row.fail("`needles` are lower-case texts, at least one")
    if not message.causes or set(message.causes) - causes:
        raise row.fail("`causes` are codes of the table of causes, at least one")
    return replace(message, needles=(*message.needles, *(needle for one in numbers for needle in _needles_of(one))))
