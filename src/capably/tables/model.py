"""The rows of the tables, each with its sources and its grade."""

from __future__ import annotations

import re
from dataclasses import dataclass

from capably.arch import ComputeCapability, Target
from capably.codes import Grade
from capably.requirement import Requirement
from capably.version import CudaVersion, DriverRelease

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
    "FileRole",
    "Instance",
    "KnownBuild",
    "KnownError",
    "KnownToolkit",
    "Loading",
    "Message",
    "Package",
    "Product",
    "RunTimeCompiler",
    "Runtime",
    "SharedMemory",
    "Source",
    "TorchBuild",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a fact comes from. An empty *url* is an experiment, described by its title."""

    key: str
    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownToolkit:
    """A CUDA toolkit and the targets that it emits, as ``90a`` for both ``sm_90a`` and ``compute_90a``."""

    cuda: CudaVersion
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    grade: Grade

    def emits(self, target: Target) -> bool:
        """Whether its compiler knows this target."""
        return f"{target.capability.number}{target.suffix}" in self.targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A driver branch, the CUDA version that it supports, and the Linux release that came with that toolkit."""

    number: int
    cuda: CudaVersion
    linux: DriverRelease | None
    windows: DriverRelease | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What is particular to a package that many people run on GPUs.

    Attributes:
        title: Its name for people.
        distributions: The distributions that it is installed by.
        kernels: ``prebuilt``, compiled at ``run-time``, or ``both``.
        compiler: The kind of compiler that it needs at run time.
        dispatches: It holds code for single capabilities and takes what fits: partial coverage is no fault.
        core: Matches the paths of the libraries without which it does nothing on a GPU.
        vendor: Matches the paths of its libraries, wherever they lie, which pick kernels by the device they find.
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
    core: re.Pattern[str] | None
    vendor: re.Pattern[str] | None
    conflicts: tuple[str, ...]
    part: re.Pattern[str] | None
    assemblers: tuple[tuple[str, Requirement], ...]
    particular: str
    check: str | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRole:
    """Files with GPU code that are not the product of their distribution.

    Attributes:
        title: What they are, for people.
        role: What they are for, as `capably.facts.Role` has it.
        pattern: Matches their paths in the distribution.
        product_of: Matches those whose product such files are.
    """

    title: str
    role: str
    pattern: re.Pattern[str]
    product_of: re.Pattern[str] | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimeCompiler:
    """The compiler that releases of a distribution take at run time, and what they ask it for.

    Attributes:
        distributions: By name.
        since: The first release, as numbers.
        before: The first release that does otherwise; None where that is not known.
        devices: The GPUs that this compiler is taken for; None for all.
        compiler: What it is: ``ptxas``, ``nvrtc``, ``nvcc`` …
        file: Matches its path in the distribution; None where something else brings it.
        brought_by: What brings it, for people; None where the distribution does.
        toolkits: The first and the last toolkit that it may be of, where something else brings it; None where
            nobody knows.
        rule: What it is asked for; None where nobody has seen that.
        suffixed: The GPUs for which it is asked for a target with `a`; None for no GPU.
        limits: Pairs, in rising order: from that toolkit on it is asked for machine code of that capability at most.
            Where it makes PTX for the driver: the driver that this needs, and the least capability.
    """

    distributions: tuple[str, ...]
    since: tuple[int, ...]
    before: tuple[int, ...] | None
    devices: Requirement | None
    compiler: str
    file: re.Pattern[str] | None
    brought_by: str | None
    toolkits: tuple[CudaVersion, CudaVersion] | None
    rule: str | None
    suffixed: Requirement | None
    limits: tuple[tuple[CudaVersion, ComputeCapability], ...]
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverRange:
    """The driver branches that serve a compute capability; None where that end is not known.

    Attributes:
        first: Of the kernel module, which starts the hardware.
        first_known: Of the part that programs load: it may know a chip before any kernel module serves it.
        newest_cuda: For Tegra parts out of support, the newest CUDA version that their software brings.
    """

    capability: ComputeCapability
    first: int | None
    first_grade: Grade
    first_known: int | None
    last: int | None
    last_grade: Grade
    newest_cuda: CudaVersion | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemory:
    """The shared memory that one block can have at most, after asking for more than the default of 48 KiB."""

    capability: ComputeCapability
    block_bytes: int
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """Something that a driver must be new enough to load; *below* is the outcome on an older one."""

    name: str
    first: int
    below: str
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What belongs to one CUDA major version by its name, and the first driver branch for that.

    Attributes:
        pattern: On the name of a shared library; on the name and the version of a distribution, with a space between.
        of: What it is about: ``library`` or ``distribution``.
        first: The first driver branch.
    """

    pattern: re.Pattern[str]
    of: str
    cuda_major: int
    first: int
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A GPU as NVIDIA sells it.

    Attributes:
        name: Without the vendor: ``GeForce RTX 4090``.
        kind: ``data-center``, ``workstation``, ``geforce``, ``jetson`` or ``system``.
        aliases: Other names that no rule derives.
        first_branch: The first driver branch whose lists of products name it; None where nobody looked.
        hosts: Processors of the machines that it comes in, where that is fixed.
        memory_bytes: As it is sold; None where no source was read, or there are several of that name. What CUDA finds
            is less, by a sixteenth and more where memory corrects errors.
    """

    name: str
    capability: ComputeCapability
    kind: str
    aliases: tuple[str, ...]
    hosts: tuple[str, ...]
    first_branch: int | None
    memory_bytes: int | None
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A type of machine that a cloud lets, with GPUs of one product.

    Attributes:
        cloud: ``aws``, ``azure``, ``gcp`` …
        name: As the cloud writes it: ``g5.xlarge``.
        gpu: The product.
        count: How many of it; None where it is not fixed or not stated.
        share: It has a part of one.
        memory_bytes: Of each, or of that part, as the source states it; None where it does not.
        host: Its processor.
        note: What else is to be known; empty where nothing is.
    """

    cloud: str
    name: str
    gpu: Product
    count: int | None
    share: bool
    memory_bytes: int | None
    host: str
    note: str
    sources: tuple[str, ...]
    grade: Grade

    @property
    def title(self) -> str:
        """As ``--gpu`` takes it: ``aws:g5.xlarge``."""
        return f"{self.cloud}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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
        numbers: Of the errors of CUDA that it is.
        general: It says little by itself: it is silent where one that says more is in the log.
        usually: Codes of causes, the most likely first, where nothing decides; those that are left out come after them.
        because: Why the first of them is the most likely; empty where nothing is.
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
    numbers: tuple[int, ...] = ()
    general: bool = False
    usually: tuple[str, ...] = ()
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBuild:
    """Builds of a package, and what most of their GPU code is compiled for.

    Attributes:
        package: The distribution.
        since: The first release that is so, as numbers.
        last: The last release that was looked at and is so; with all that begin with its numbers.
        builds: Local versions; ``index`` for those of the package index, which have none.
        machine: The processor of the host.
    """

    package: str
    since: tuple[int, ...]
    last: tuple[int, ...]
    builds: tuple[str, ...]
    machine: str
    targets: tuple[Target, ...]
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownError:
    """An error of the CUDA runtime or of the driver.

    Attributes:
        number: Of cudaError_t, of CUresult, or of both.
        names: As NVIDIA's headers have them.
        text: What the runtime prints for it; empty where it has no text of its own.
        subject: What it is about, as of a message.
        means: In one sentence.
    """

    number: int
    names: tuple[str, ...]
    text: str
    subject: str
    means: str
    sources: tuple[str, ...]
    grade: Grade


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
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
