"""What each table holds: its fields, their kinds, their words and their bounds; one function for a table.

It is one room, however many tables there are: they refer to each other, and are read in the same few words.
"""

from __future__ import annotations

import functools
import re

from capably.arch import ComputeCapability, Target
from capably.codes import REASONS, Grade, Outcome
from capably.errors import TableError
from capably.requirement import NamedFeature, Requirement
from capably.tables import vocabulary
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
from capably.version import CudaVersion, DriverRelease, PtxVersion

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from capably.tables.reading import Row, Rows

    Capabilities = Mapping[str, ComputeCapability]

# The oldest that the tables speak of. The newest is the horizon of each; where that is another thing, a number that no
# slip of the hand leads past.
_FIRST_CUDA, _LAST_CUDA = CudaVersion(10, 0), CudaVersion(19, 9)
_FIRST_PTX, _LAST_PTX = PtxVersion(6, 0), PtxVersion(19, 9)
_FIRST_CAPABILITY = ComputeCapability(3, 0)
_FIRST_BRANCH, _LAST_BRANCH = 295, 999


def _condition(text: str) -> Requirement:
    """A requirement in numbers: names of features are what the tables explain."""
    found = Requirement.parse(text)
    if any(isinstance(clause, NamedFeature) for clauses in found.alternatives for clause in clauses):
        raise ValueError("a requirement without names")
    return found


def sources(rows: Rows) -> dict[str, Source]:
    """Sources by their keys."""

    def read(row: Row) -> Source:
        key, title = row.identifier("key"), row.text("title")
        url = row.pattern("url", "https://[!-~]+|", "an address, or nothing for an experiment")
        return Source(key=key, title=title, url=url)

    return {source.key: source for source in rows.keyed(read, lambda source: source.key)}


def architectures(rows: Rows) -> dict[ComputeCapability, Architecture]:
    """Architectures by their compute capabilities."""
    newest = rows.horizon(ComputeCapability.parse)

    def read(row: Row) -> Architecture:
        capability = row.between("capability", ComputeCapability.parse, _FIRST_CAPABILITY, newest)
        return Architecture(
            capability=capability,
            name=row.pattern("name", "[A-Z][a-z]+(?: [A-Z][a-z]+)*", "words with a capital"),
            isolated=row.flag("isolated"),
            renamed=row.between("renamed", ComputeCapability.parse, capability, newest) if row.has("renamed") else None,
            sources=row.sources(),
            grade=row.grade(),
        )

    found = {row.capability: row for row in rows.keyed(read, lambda one: one.capability)}
    for row in found.values():
        if row.renamed is not None and row.renamed not in found:
            raise TableError(rows.file, str(row.capability), f"`renamed` is `{row.renamed}`; allowed: another row")
    return found


def families(rows: Rows, known: Capabilities) -> tuple[Family, ...]:
    """Families and major versions."""

    def read(row: Row) -> Family:
        family = row.pattern("family", r"[1-9][0-9]?\.[0-9x]", "a major version, such as `10.x`, or one device of it")
        kind, members = row.word("kind", vocabulary.FAMILY_KINDS), row.capabilities("members", known)
        if any(family not in (f"{member.major}.x", str(member)) for member in members):
            raise row.wrong("members", " ".join(map(str, members)), f"capabilities of {family}")
        return Family(name=family, specific=kind == "family", members=members, sources=row.sources(), grade=row.grade())

    return rows.keyed(read, lambda family: family.name)


def toolkits(rows: Rows, known: Capabilities) -> tuple[KnownToolkit, ...]:
    """Toolkits, the oldest first."""
    newest = rows.horizon(CudaVersion.parse)
    allowed = {f"{capability.number}{suffix}" for capability in known.values() for suffix in ("", "a", "f")}

    def read(row: Row) -> KnownToolkit:
        return KnownToolkit(
            cuda=row.cuda("cuda", _FIRST_CUDA, newest),
            targets=row.words("targets", allowed, least=1, meaning="numbers of architectures.json, with `a` or `f`"),
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.rising(read, lambda toolkit: toolkit.cuda)


def ptx(rows: Rows) -> tuple[tuple[CudaVersion, PtxVersion], ...]:
    """The PTX ISA version of each CUDA version, the oldest first."""
    newest = rows.horizon(CudaVersion.parse)

    def read(row: Row) -> tuple[CudaVersion, PtxVersion]:
        cuda = row.cuda("cuda", _FIRST_CUDA, newest)
        version = row.between("ptx", PtxVersion.parse, _FIRST_PTX, _LAST_PTX)
        row.sources()
        row.grade()
        return cuda, version

    return rows.rising(read, lambda pair: pair[0])


def branches(rows: Rows) -> tuple[Branch, ...]:
    """Driver branches, the oldest first."""
    newest = rows.horizon(int)

    def release(row: Row, key: str, low: int) -> DriverRelease | None:
        if not row.has(key):
            return None
        return row.between(key, DriverRelease.parse, DriverRelease(low), DriverRelease(newest, 999, 99))

    def read(row: Row) -> Branch:
        number = row.whole("branch", _FIRST_BRANCH, newest)
        return Branch(
            number=number,
            cuda=row.cuda("cuda", _FIRST_CUDA, _LAST_CUDA),
            linux=release(row, "linux", number),
            windows=release(row, "windows", number),
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.rising(read, lambda branch: branch.number)


def driver_ranges(rows: Rows, known: Capabilities) -> dict[ComputeCapability, DriverRange]:
    """The branches that serve each capability."""
    newest = rows.horizon(int)

    def read(row: Row) -> DriverRange:
        first = row.whole("first_branch", _FIRST_BRANCH, newest) if row.has("first_branch") else None
        last = row.whole("last_branch", first or _FIRST_BRANCH, newest) if row.has("last_branch") else None
        return DriverRange(
            capability=row.capability("capability", known),
            first=first,
            first_grade=row.grade("first_grade") if row.has("first_grade") else Grade.INFERRED,
            first_known=row.whole("known_from", _FIRST_BRANCH, newest) if row.has("known_from") else first,
            last=last,
            last_grade=row.grade("last_grade") if row.has("last_grade") else Grade.INFERRED,
            newest_cuda=row.cuda("newest_cuda", _FIRST_CUDA, _LAST_CUDA) if row.has("newest_cuda") else None,
            sources=row.sources(),
            grade=row.grade(),
        )

    return {row.capability: row for row in rows.keyed(read, lambda one: one.capability)}


def loading(rows: Rows) -> dict[str, Loading]:
    """What a driver must be new enough to load, by the name of it."""
    # Both of its answers have a page each.
    names = [code.removesuffix("-needs-newer-driver") for code in REASONS if code.endswith("-needs-newer-driver")]

    def read(row: Row) -> Loading:
        return Loading(
            name=row.word("feature", names),
            first=row.whole("first_branch", _FIRST_BRANCH, _LAST_BRANCH),
            below=Outcome(row.word("below", (Outcome.FAILS.value, Outcome.UNKNOWN.value))),
            sources=row.sources(),
            grade=row.grade(),
        )

    return {row.name: row for row in rows.keyed(read, lambda one: one.name)}


def features(rows: Rows) -> dict[str, Feature]:
    """What hardware can do, by the name that requirements use."""

    def read(row: Row) -> Feature:
        return Feature(
            name=row.identifier("feature"),
            title=row.text("title"),
            requires=row.parsed("requires", _condition),
            sources=row.sources(),
            grade=row.grade(),
        )

    return {row.name: row for row in rows.keyed(read, lambda one: one.name)}


def shared_memory(rows: Rows, known: Capabilities) -> dict[ComputeCapability, SharedMemory]:
    """Shared memory by the compute capability."""

    def read(row: Row) -> SharedMemory:
        return SharedMemory(
            capability=row.capability("capability", known),
            block_bytes=row.whole("block_kib", 16, 1024) << 10,
            sources=row.sources(),
            grade=row.grade(),
        )

    return {row.capability: row for row in rows.keyed(read, lambda one: one.capability)}


def code_versions(rows: Rows) -> tuple[CodeVersion, ...]:
    """Code versions of fatbin entries."""
    newest = rows.horizon(CudaVersion.parse)

    def read(row: Row) -> CodeVersion:
        version = row.between("code_version", PtxVersion.parse, PtxVersion(1, 0), PtxVersion(9, 9))
        return CodeVersion(
            version=(version.major, version.minor),
            first=row.cuda("first", _FIRST_CUDA, newest) if row.has("first") else None,
            last=row.cuda("last", _FIRST_CUDA, newest) if row.has("last") else None,
            below=row.whole("below", _FIRST_CAPABILITY.number, 999) if row.has("below") else None,
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.each(read)


def last_isolating_toolkit(rows: Rows) -> CudaVersion:
    """Up to which toolkit Tegra and desktop machine code were kept apart."""
    newest = rows.horizon(CudaVersion.parse)

    def read(row: Row) -> CudaVersion:
        row.sources()
        row.grade()
        return row.cuda("last_isolating_toolkit", _FIRST_CUDA, newest)

    found = rows.each(read)
    if len(found) != 1:
        raise TableError(rows.file, "", f"it has {len(found)} rows; allowed: one")
    return found[0]


def runtimes(rows: Rows) -> tuple[Runtime, ...]:
    """Names of libraries and distributions that belong to a CUDA major version."""
    newest = rows.horizon(CudaVersion.parse)

    def read(row: Row) -> Runtime:
        return Runtime(
            pattern=row.parsed("pattern", re.compile),
            of=row.word("of", vocabulary.RUNTIMES),
            cuda_major=row.whole("cuda_major", _FIRST_CUDA.major, newest.major),
            first=row.whole("first_branch", _FIRST_BRANCH, _LAST_BRANCH),
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.each(read)


def products(rows: Rows, known: Capabilities) -> tuple[Product, ...]:
    """GPUs as NVIDIA sells them."""

    def read(row: Row) -> Product:
        return Product(
            name=row.text("name"),
            capability=row.capability("capability", known),
            kind=row.word("class", vocabulary.PRODUCT_CLASSES),
            aliases=row.texts("aliases"),
            hosts=row.words("hosts", vocabulary.HOSTS),
            first_branch=row.whole("first_branch", _FIRST_BRANCH, _LAST_BRANCH) if row.has("first_branch") else None,
            memory_bytes=row.whole("memory_gib", 1, 1024) << 30 if row.has("memory_gib") else None,
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: (one.name, one.capability))


def instances(rows: Rows, known: Collection[Product]) -> tuple[Instance, ...]:
    """Cloud instance types; *known* are the products."""
    by_name: dict[str, list[Product]] = {}
    for product in known:
        by_name.setdefault(product.name, []).append(product)
    single = {name: several[0] for name, several in by_name.items() if len(several) == 1}

    def read(row: Row) -> Instance:
        gpu = row.text("gpu")
        if gpu not in single:
            raise row.wrong("gpu", gpu, "the name of one row of products.json")
        host = row.word("host", vocabulary.HOSTS)
        if single[gpu].hosts and host not in single[gpu].hosts:
            raise row.wrong("host", host, f"a host of {gpu}: {', '.join(single[gpu].hosts)}")
        return Instance(
            cloud=row.word("cloud", vocabulary.CLOUDS),
            name=row.pattern("instance", r"[A-Za-z0-9][A-Za-z0-9_.+-]*", "a name as the cloud writes it"),
            gpu=single[gpu],
            count=row.whole("count", 1, 72) if row.has("count") else None,
            share=row.flag("share"),
            memory_bytes=row.whole("memory_mib", 512, 1 << 20) << 20 if row.has("memory_mib") else None,
            host=host,
            note=row.text("note") if row.has("note") else "",
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: (one.cloud, one.name.casefold()))


def alternatives(rows: Rows, known: Capabilities, distributions: Collection[str]) -> tuple[Alternatives, ...]:
    """Packages that hold several builds of a library; *distributions* are those of ``packages.json``."""

    def read(row: Row) -> Alternatives:
        pattern = row.parsed("pattern", re.compile)
        if "alternative" not in pattern.groupindex:
            raise row.wrong("pattern", pattern.pattern, "a regular expression with the group `alternative`")
        chosen_by = row.word("chosen_by", vocabulary.ALTERNATIVE_CHOOSERS)
        choices: dict[str, str] = {}
        if chosen_by == "capability":
            choices = row.pairs("choices")
            for capability, name in choices.items():
                if capability != "*" and capability not in known:
                    raise row.wrong("choices", capability, "capabilities of architectures.json, and `*`")
                if not re.search(rf"[>|]{re.escape(name)}[|)]", pattern.pattern):
                    raise row.wrong("choices", name, "the names in `pattern`")
        return Alternatives(
            distribution=row.word("distribution", distributions),
            pattern=pattern,
            chosen_by=chosen_by,
            choices=tuple(sorted(choices.items())),
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: one.distribution)


def packages(rows: Rows) -> tuple[Package, ...]:
    """What is particular to packages."""

    def read(row: Row) -> Package:
        kernels = row.word("kernels", vocabulary.KERNELS)
        assemblers = row.pairs("assemblers") if row.has("assemblers") else {}
        if assemblers and "*" not in assemblers:
            raise row.wrong("assemblers", assemblers, "names of files, and `*`")
        return Package(
            title=row.text("title"),
            distributions=row.identifiers("distributions"),
            kernels=kernels,
            compiler=row.word("compiler", vocabulary.COMPILERS) if row.has("compiler") else None,
            dispatches=row.flag("dispatches"),
            core=row.parsed("core", re.compile) if row.has("core") else None,
            vendor=row.parsed("vendor", re.compile) if row.has("vendor") else None,
            conflicts=row.identifiers("conflicts"),
            part=row.parsed("part", re.compile) if row.has("part") else None,
            assemblers=tuple((name, row.parse("assemblers", text, _condition)) for name, text in assemblers.items()),
            particular=row.text("particular"),
            check=row.text("check") if row.has("check") else None,
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: one.title)


def file_roles(rows: Rows) -> tuple[FileRole, ...]:
    """Files that are not the product of their distribution."""

    def read(row: Row) -> FileRole:
        return FileRole(
            title=row.text("title"),
            role=row.word("role", vocabulary.FILE_ROLES),
            pattern=row.parsed("pattern", re.compile),
            product_of=row.parsed("product_of", re.compile) if row.has("product_of") else None,
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: one.title)


def run_time_compilers(rows: Rows, known: Capabilities, distributions: Collection[str]) -> tuple[RunTimeCompiler, ...]:
    """What compiles at run time, for which GPUs; *distributions* are those of ``packages.json``."""

    def release(row: Row, key: str) -> tuple[int, ...]:
        text = row.pattern(key, _VERSION, "a version of the distribution, such as `3.3`")
        return tuple(map(int, text.split(".")))

    def read(row: Row) -> RunTimeCompiler:
        rule = row.word("rule", vocabulary.RUN_TIME_RULES) if row.has("rule") else None
        limits = row.pairs("limits") if rule in ("limited", "driver") else {}
        if any(number not in known for number in limits.values()):
            raise row.wrong("limits", limits, "capabilities of architectures.json")
        span = None
        if row.has("first_toolkit"):
            first = row.cuda("first_toolkit", _FIRST_CUDA, _LAST_CUDA)
            span = (first, row.cuda("last_toolkit", first, _LAST_CUDA))
        return RunTimeCompiler(
            distributions=row.words("distributions", distributions, least=1, meaning="those of packages.json"),
            since=release(row, "since"),
            before=release(row, "before") if row.has("before") else None,
            devices=row.parsed("devices", _condition) if row.has("devices") else None,
            compiler=row.word("compiler", vocabulary.RUN_TIME_COMPILERS),
            file=row.parsed("file", re.compile) if row.has("file") else None,
            brought_by=row.text("brought_by") if row.has("brought_by") else None,
            toolkits=span,
            rule=rule,
            suffixed=row.parsed("suffixed", _condition) if row.has("suffixed") else None,
            limits=tuple(
                (row.parse("limits", cuda, CudaVersion.parse), known[number]) for cuda, number in limits.items()
            ),
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: (one.distributions, one.since, one.devices))


def torch_builds(rows: Rows, known: Collection[str]) -> tuple[TorchBuild, ...]:
    """Builds of torch, in the order in which they are offered; *known* are the numbers that toolkits emit."""
    emitted = {f"{kind}_{number}" for number in known for kind in ("sm", "compute")}

    def read(row: Row) -> TorchBuild:
        cuda = row.cuda("cuda", _FIRST_CUDA, _LAST_CUDA)
        return TorchBuild(
            index=row.word("index", (f"cu{cuda.major}{cuda.minor}",)),
            cuda=cuda,
            machine=row.word("machine", vocabulary.HOSTS),
            targets=tuple(
                map(Target.parse, row.words("targets", emitted, least=1, meaning="what toolkits.json emits"))
            ),
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: (one.index, one.machine))


def causes(rows: Rows) -> dict[str, Cause]:
    """Causes by their codes."""

    def read(row: Row) -> Cause:
        return Cause(
            code=row.identifier("code"),
            title=row.text("title"),
            cause=row.text("cause"),
            way_out=row.text("way_out"),
            next=row.text("next"),
            sources=row.sources(),
            grade=row.grade(),
        )

    return {row.code: row for row in rows.keyed(read, lambda one: one.code)}


def known_builds(rows: Rows, known: Collection[str]) -> tuple[KnownBuild, ...]:
    """What published builds hold; *known* are the numbers that toolkits emit."""
    targets = {f"{kind}_{number}" for number in known for kind in ("sm", "compute")}

    def read(row: Row) -> KnownBuild:
        return KnownBuild(
            package=row.identifier("package"),
            since=row.parsed("since", _numbers),
            last=row.parsed("last", _numbers),
            builds=row.words("builds", _BUILDS, least=1, meaning="`index` and local versions such as cu128"),
            machine=row.word("machine", vocabulary.HOSTS),
            targets=tuple(
                map(Target.parse, row.words("targets", targets, least=1, meaning="targets of toolkits.json"))
            ),
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: (one.package, one.since, one.builds, one.machine))


def _numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,4}){1,2}", text):
        raise ValueError("numbers such as 2.15")
    return tuple(map(int, text.split(".")))


_BUILDS = frozenset({"index", *(f"cu{major}{minor}" for major in range(9, 20) for minor in range(10))})


# -- error messages

# What could take more than linear time: repetition without a bound of a group or of any character.
_UNBOUNDED = re.compile(r"[.)\]][*+]|\{[0-9]+,\}|\\[A-Za-z][*+]")


def messages(rows: Rows, known: Collection[str], by_number: Mapping[int, KnownError]) -> tuple[Message, ...]:
    """Error messages; *known* are the codes of causes, *by_number* those of CUDA, by number."""
    found = rows.keyed(functools.partial(message, known=known, by_number=by_number), lambda one: one.code)
    if unused := set(known) - {code for one in found for code in one.causes}:
        raise TableError("causes", min(unused), "`code` is the cause of no message; allowed: one that is")
    return found


def message(row: Row, known: Collection[str], by_number: Mapping[int, KnownError]) -> Message:
    """A message; *known* are the codes of causes, *by_number* those of CUDA, by number."""
    numbers = row.wholes("numbers", 1, 999) if row.has("numbers") else ()
    codes = row.words("causes", known, least=1, meaning="codes of causes.json")
    usually = row.words("usually", codes, meaning="codes of `causes`") if row.has("usually") else ()
    if unknown := set(numbers) - set(by_number):
        raise row.wrong("numbers", sorted(unknown), "numbers of errors.json")
    names = [name for number in numbers for name in by_number[number].names]
    needles = row.texts("needles")
    if not needles or any(needle != needle.lower() for needle in needles):
        raise row.wrong("needles", needles, "lower-case texts, at least one")
    return Message(
        code=row.identifier("code"),
        title=row.text("title"),
        rank=row.whole("rank", 1, 9),
        subject=row.word("subject", vocabulary.MESSAGE_SUBJECTS),
        device=row.flag("device"),
        complete=row.flag("complete"),
        needles=(
            *needles,
            *(name.lower() for name in names),
            *(needle for number in numbers for needle in _needles_of(number)),
        ),
        patterns=(
            *row.parsed_each("patterns", _bounded),
            *map(_bounded, map(_of_number, numbers)),
            *([re.compile(rf"\b(?:{'|'.join(names)})\b")] if names else ()),
        ),
        means=row.text("means"),
        causes=codes,
        requires=row.parsed("requires", _condition) if row.has("requires") else None,
        sources=row.sources(),
        grade=row.grade(),
        numbers=numbers,
        general=row.has("general") and row.flag("general"),
        usually=usually,
        because=row.text("because") if row.has("because") else "",
    )


def errors(rows: Rows) -> dict[int, KnownError]:
    """Errors of CUDA by number."""

    def read(row: Row) -> KnownError:
        names = row.texts("names")
        if not names or not all(map(_NAME_OF_ERROR.fullmatch, names)):
            raise row.wrong("names", list(names), "names of NVIDIA's headers, at least one")
        return KnownError(
            number=row.whole("number", 0, 10_000),
            names=names,
            text=row.text("text") if row.has("text") else "",
            subject=row.word("subject", vocabulary.MESSAGE_SUBJECTS),
            means=row.text("means"),
            sources=row.sources(),
            grade=row.grade(),
        )

    return {error.number: error for error in rows.rising(read, lambda one: one.number)}


_NAME_OF_ERROR = re.compile("cuda[A-Z][A-Za-z0-9]+|CUDA_[A-Z0-9_]+")


def message_of(error: KnownError) -> Message:
    """What a log means that holds *error*, where no message of its own is known for it."""
    return Message(
        code=f"cuda-error-{error.number}",
        title=f"{error.text[:1].upper()}{error.text[1:]} ({error.number})"
        if error.text
        else f"{error.names[0]} ({error.number})",
        rank=9,
        subject=error.subject,
        device=False,
        complete=False,
        needles=(),
        patterns=(),
        means=error.means,
        causes=(),
        requires=None,
        sources=error.sources,
        grade=error.grade,
        general=True,
    )


def _bounded(text: str) -> re.Pattern[str]:
    if _UNBOUNDED.search(text):
        raise ValueError("a regular expression without repetition that has no bound")
    return re.compile(text)


def _needles_of(number: int) -> tuple[str, ...]:
    """Texts one of which is near each mention of a CUDA error by *number*; short numbers are everywhere else too."""
    return (str(number),) if number >= 100 else tuple(f"{lead}{number}" for lead in (": ", "error ", "code ", "(", "=", "= "))  # fmt: skip


def _of_number(number: int) -> str:
    """Matches CUDA errors that are printed with their *number* alone."""
    kind = r"(?:error|failure|errno|result)"
    return rf"(?i)\bcu(?:da)?(?:[ _]?(?:driver|runtime))?[ _]?{kind}(?:[ _]?code)?[ :=#(]{{0,6}}{number}\b(?![.:][0-9])"


# -- dialects of lists

_VERSION = r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}"
_NUMBER = r"[1-9][0-9]?\.[0-9]"
_NAMED = re.compile(rf"{_NUMBER}(?:;{_NUMBER})*(?:\+PTX)?|{_NUMBER}(?: {_NUMBER})*\|{_NUMBER}(?: {_NUMBER})*")
_SPAN = re.compile(r"([1-9][0-9]\.[0-9])?(?:-([1-9][0-9]\.[0-9]))?")


def dialects(rows: Rows, known: Capabilities, architecture_names: Collection[str]) -> tuple[DialectVersion, ...]:
    """How tools read lists of architectures, by version; the words are explained in `capably.tables.vocabulary`.

    Args:
        rows: Of the table.
        known: The capabilities that there are.
        architecture_names: The names of architectures that there are.
    """
    heads = {name.split()[0] for name in architecture_names}
    words = {f"{head}{tail}" for head in heads for tail in ("", *vocabulary.NAME_ENDINGS)}
    numbers = {f"{capability}{suffix}" for capability in known for suffix in ("", "a", "f")}

    def read(row: Row) -> DialectVersion:
        dialect = row.word("dialect", vocabulary.DIALECT_RULES)
        since = row.pattern("since", _VERSION, "a version of the tool, such as `2.5`")
        names, lists = row.pairs("names"), row.pairs("lists")
        for name, entries in names.items():
            if name not in words:
                raise row.wrong("names", name, "names of architectures.json, with `+Tegra` or `+Tesla`")
            if not _NAMED.fullmatch(entries):
                raise row.wrong("names", f"{name}: {entries}", "numbers, in the form of the dialect")
            for number in re.findall(_NUMBER, entries):
                if number not in known:
                    raise row.wrong("names", number, "capabilities of architectures.json")
        for name, value in lists.items():
            _check_list(row, dialect, name, value, names if name == "All" else None)
        return DialectVersion(
            dialect=dialect,
            since=tuple(int(part) for part in since.split(".")),
            read=tuple(row.pattern("read", f"{_VERSION}(?: {_VERSION})*|", "versions with blanks between").split()),
            numbers=row.words("numbers", numbers, meaning="capabilities of architectures.json, with `a` or `f`"),
            ignored=row.text("ignored") if row.has("ignored") else None,
            names=tuple(names.items()),
            lists=tuple(lists.items()),
            rules=frozenset(row.words("rules", vocabulary.DIALECT_RULES[dialect])),
            requires=str(row.parsed("requires", _condition)) if row.has("requires") else None,
            sources=row.sources(),
            grade=row.grade(),
        )

    return rows.keyed(read, lambda one: (one.dialect, one.since))


def _check_list(row: Row, dialect: str, name: str, value: str, named: Collection[str] | None) -> None:
    """Refuse a list that this dialect has not, or an entry that is not of its form."""
    allowed = vocabulary.DIALECT_LISTS[dialect]
    if name not in allowed:
        raise row.wrong("lists", name, ", ".join(f"`{one}`" for one in allowed) or "nothing")
    form = allowed[name][1]
    for entry in value.split(" "):
        text, at, span = entry.partition("@")
        if not re.fullmatch(vocabulary.LIST_FORMS[form], text):
            raise row.wrong("lists", f"{name}: {entry}", f"entries of the form {form}: {vocabulary.LIST_FORMS[form]}")
        if named is not None and text not in named:
            raise row.wrong("lists", f"{name}: {entry}", "the words in `names`")
        ends = _SPAN.fullmatch(span)
        if at and (ends is None or not span):
            raise row.wrong("lists", f"{name}: {entry}", "@FROM, @FROM-BEFORE or @-BEFORE behind an entry")
