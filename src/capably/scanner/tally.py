"""What a call of the scanner found so far, over all files."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from capably.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from capably.facts import Library, Toolkit
    from capably.scanner.forms import Form
    from capably.scanner.job import Job

__all__ = ["Tally"]


class Tally:
    """Libraries and what was looked at.

    Attributes:
        files: How many files were looked at.
        job: The call.
        requires: What the metadata say that the distribution requires.
    """

    def __init__(self, job: Job) -> None:
        self.files = 0
        self.job = job
        self._forms: Counter[str] = Counter()
        self._libraries: dict[Hashable, list[Library]] = {}
        self._stopped = False
        self.requires: tuple[str, ...] = ()
        self._compilers: list[Toolkit] = []

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
        self.requires += part.requires
        self._compilers += part._compilers
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

    def add_compiler(self, compiler: Toolkit) -> None:
        """Note a compiler."""
        self._compilers.append(compiler)

    @property
    def compilers(self) -> tuple[Toolkit, ...]:
        """All compilers by path."""
        return tuple(sorted(self._compilers, key=lambda compiler: compiler.path))

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
