"""What a call of the scanner found so far, over all files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from capably.errors import LimitError
from capably.facts import DAMAGE, Finding
from capably.scanner.limits import Budget, Limits
from capably.scanner.parallel import Load

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator
    from typing import Self

    from capably.facts import Library
    from capably.scanner.kernels import KernelReader  # noqa: TC004 - annotations of `Job` are never resolved
    from capably.scanner.library import Form
    from capably.scanner.remember import Memory  # noqa: TC004 - annotations of `Job` are never resolved

__all__ = ["Findings", "Job", "Tally"]


# Of one code about one file: a library of a thousand damaged fatbins must not drown the others.
_MOST_ALIKE = 20
# What another time, another user or another disk may read.
_PASSING = DAMAGE | {"unreadable-file"}
_MOST_LOGGED = 1_000  # far more than are remembered of a file


class Findings:
    """Findings in order, each once, and no more of them than the limits allow.

    Args:
        most: How many to keep, besides the one that the artifact has no GPU code.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: dict[Finding, None] = {}
        self._alike: Counter[tuple[str, str]] = Counter()
        self.log: list[list[str]] | None = None
        """Every one that is noted, while it is a list, or the first thousand."""

    def add(self, code: str, path: str, message: str) -> None:
        """Note one."""
        if self.log is not None and len(self.log) < _MOST_LOGGED:
            self.log.append([code, path, message])
        if len(self._all) >= self._most and code != "no-gpu-code":
            return  # without a count: names of files would be kept for nothing
        self._alike[code, path] += 1
        alike = self._alike[code, path]
        if alike > _MOST_ALIKE:
            return
        if alike == _MOST_ALIKE:
            message = "There is more of this than is kept."
        if len(self._all) < self._most - 1 or code == "no-gpu-code":
            self._all[Finding(code, path, message)] = None
        elif len(self._all) < self._most:
            self._all[Finding("limit-reached", path, "There are more findings than are kept.")] = None

    def __bool__(self) -> bool:
        return bool(self._all)

    def take(self) -> tuple[Finding, ...]:
        """All of them."""
        return tuple(self._all)


@dataclass(slots=True, eq=False, repr=False)
class Job:
    """One call of the scanner.

    Attributes:
        limits: How much to read at most.
        progress: See `capably.scanner.scan`.
        with_sha256: Whether to hash.
        memory: Results of earlier calls.
        kernels: Reads kernels, where they were asked for.
        load: What its threads have to do.
        started_ns: When it began.
        budget: What may still be spent.
        findings: Where to say what is wrong.
    """

    limits: Limits
    progress: Callable[[str, int, int], None] | None
    with_sha256: bool
    memory: Memory | None = None
    kernels: KernelReader | None = None
    load: Load = field(default_factory=Load)
    started_ns: int = field(init=False, default_factory=time.time_ns)
    budget: Budget = field(init=False)
    findings: Findings = field(init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits)
        self.findings = Findings(self.limits.findings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.kernels is not None:
            self.kernels.close()

    def part(self, progress: Callable[[str, int, int], None] | None) -> Job:
        """The same call, for a file that is read at the same time as others: its findings go to a list of its own."""
        result = Job(self.limits, progress, self.with_sha256, kernels=self.kernels, load=self.load)
        result.budget = self.budget.part()
        return result

    def is_lasting(self, findings: Iterable[Finding]) -> bool:
        """Whether the result would be the same the next time: nothing failed that may work then."""
        return not self.budget.exhausted and not any(finding.code in _PASSING for finding in findings)

    def advance(self, name: str, done: int, total: int) -> None:
        """Tell the progress on a file."""
        if self.progress is not None:
            self.progress(name, done, total)


class Tally:
    """Libraries and what was looked at.

    Attributes:
        files: How many files were looked at.
        job: The call.
    """

    def __init__(self, job: Job) -> None:
        self.files = 0
        self.job = job
        self._forms: Counter[str] = Counter()
        self._libraries: dict[Hashable, list[Library]] = {}
        self._stopped = False

    def part(self, progress: Callable[[str, int, int], None] | None) -> Tally:
        """For a file that is read at the same time as others; what is in it comes here by `join`."""
        return Tally(self.job.part(progress))

    def join(self, part: Tally) -> None:
        """Take over what was found in a part."""
        self.files += part.files
        self._forms += part._forms
        for key, libraries in part._libraries.items():
            self._libraries.setdefault(key, []).extend(libraries)
        self._stopped = self._stopped or part._stopped
        for finding in part.job.findings.take():
            self.job.findings.add(finding.code, finding.path, finding.message)

    def look(self, number: int = 1) -> None:
        """Note that so many files are looked at."""
        self.files += number
        self.job.budget.count_files(number)

    def count(self, form: Form, number: int = 1) -> None:
        """Note what a file, or so many of them, is."""
        self._forms[form.value] += number

    def add(self, library: Library, *, identity: Hashable | None, sha256: str | None) -> None:
        """Note a library; *identity* is equal for libraries with the same bytes, None if it is the only one."""
        key = (library.path,) if identity is None else identity
        self._libraries.setdefault(key, []).append(library if sha256 is None else replace(library, sha256=sha256))

    @contextmanager
    def guard(self, path: str) -> Iterator[None]:
        """Turn a limit that ends the whole call into a finding about *path*."""
        try:
            yield
        except LimitError as error:
            self.job.findings.add("limit-reached", path, f"Reading stopped: {error.problem}.")
            self._stopped = self._stopped or self.job.budget.exhausted

    def full(self, path: str) -> bool:
        """Whether enough files were looked at; says so."""
        if self.job.budget.files < self.job.limits.members:
            return False
        self.job.findings.add("limit-reached", path, f"Only the first {self.job.limits.members} files were read.")
        return True

    def stop(self, path: str) -> bool:
        """Whether the call is over; says so once."""
        if self._stopped or self.job.budget.exhausted:
            self.job.findings.add("limit-reached", path, "The files after that were not read.")
            return True
        return False

    def libraries(self, path: str) -> tuple[Library, ...]:
        """All libraries by path, copies folded; a finding about *path* if there are none."""
        result = []
        for same in self._libraries.values():
            first, *rest = same if len(same) == 1 else sorted(same, key=lambda library: library.path)
            result.append(replace(first, copies=tuple(library.path for library in rest)) if rest else first)
        if not result:
            kinds = ", ".join(f"{count} {form}" for form, count in sorted(self._forms.items()))
            files = f"{self.files} file{'' if self.files == 1 else 's'}"
            looked = f" ({kinds})" if kinds else ""
            self.job.findings.add("no-gpu-code", path, f"No GPU code for NVIDIA in {files}{looked}.")
        return tuple(sorted(result, key=lambda library: library.path))
