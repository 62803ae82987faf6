"""Everything capably raises on purpose.

::

    CapablyError
    ├── ParseError        (ValueError)    text is not in the grammar; points at the character
    ├── UnknownNameError  (LookupError)   a well-formed name that no table knows; with suggestions
    ├── DialectError      (ValueError)    a list of targets cannot be said in a tool's own words
    ├── TableError        (ValueError)    a knowledge table breaks its own rules
    ├── RecordError       (ValueError)    a recorded system is not what it should be; names the place
    ├── PolicyError       (ValueError)    a release policy is not what it should be; names file and key
    ├── AmbiguousNameError                a name that stands for GPUs of several capabilities
    ├── FetchError        (RuntimeError)  a distribution could not be had from the package index
    ├── IncompatibleError (RuntimeError)  what software needs of the GPUs is not there
    │   ├── NoDeviceError                 no GPU was found
    │   ├── HiddenDeviceError             GPUs are there, and CUDA_VISIBLE_DEVICES hides them all
    │   ├── DriverError                   the driver is missing, broken, silent, or of another release than is needed
    │   ├── UnsupportedDeviceError        a GPU is there and does not meet the requirement
    │   │   └── DeviceTooOldError         and that because it is too old, and nothing else
    │   ├── ToolkitError                  the GPU would do; the compiler makes no code for it
    │   ├── PackageError                  the GPU would do; the version of an installed package does not
    │   ├── UndecidedError                the facts do not tell
    │   └── GpuListError                  the list that stands in for GPUs is faulty, or names none that will do
    └── ScanError                         an input could not be read at all
        ├── TruncatedError                it ends before its own headers say it should
        └── LimitError                    it asks for more than the limits allow

Incompatible code is never an exception: that is a `Verdict`. Only the gate, whose callers want to stop, raises
`IncompatibleError`. Damage in one member of an archive
is not one either: that is a `Finding`, and the rest is still read.

Every class hands its fields to ``super().__init__`` in order, so that instances survive pickling between processes,
and says its text in ``_said``. What is in a line is escaped by the base class: fields hold what they were given.
"""

from __future__ import annotations

from capably.escaping import escaped

__all__ = [
    "AmbiguousNameError",
    "CapablyError",
    "DeviceTooOldError",
    "DeviceWarning",
    "DialectError",
    "DriverError",
    "FetchError",
    "GpuListError",
    "HiddenDeviceError",
    "IncompatibleError",
    "LimitError",
    "NoDeviceError",
    "PackageError",
    "ParseError",
    "PolicyError",
    "RecordError",
    "ScanError",
    "TableError",
    "ToolkitError",
    "TruncatedError",
    "UndecidedError",
    "UnknownNameError",
    "UnsupportedDeviceError",
]


_MOST_POINTED_AT = 200
"""Characters of a text that is shown once more, with a mark below."""


class CapablyError(Exception):
    """Base of all errors that capably raises on purpose."""

    def _said(self) -> str | tuple[str, ...]:
        """The text, or its lines; a line break within one is data."""
        return super().__str__()

    def as_lines(self) -> tuple[str, ...]:
        """The text, line by line, as it was given: whoever prints it escapes it."""
        said = self._said()
        return (said,) if isinstance(said, str) else said

    def __str__(self) -> str:
        return "\n".join(map(escaped, self.as_lines()))

    def add_note(self, note: str, /) -> None:
        """Add a line to what is shown with the error. Python 3.10 keeps it, but leaves it out of tracebacks."""
        self.__notes__ = [*getattr(self, "__notes__", ()), escaped(note)]


class ParseError(CapablyError, ValueError):
    """Text that is not in the grammar.

    Attributes:
        what: What was being read, as a noun phrase: ``"target"``.
        text: The whole text as it was given.
        start: Index of the first offending character.
        end: Index behind the last one.
        expected: What would have been accepted there.

    >>> print(ParseError("target", "sm_9x", 4, 5, "a digit"))
    not a target: `sm_9x`: expected a digit
      sm_9x
          ^
    """

    def __init__(self, what: str, text: str, start: int, end: int, expected: str) -> None:
        super().__init__(what, text, start, end, expected)
        self.what = what
        self.text = text
        self.start = start
        self.end = max(end, start + 1)
        self.expected = expected

    def _said(self) -> tuple[str, ...]:
        if len(self.text) > _MOST_POINTED_AT:
            return (f"not a {self.what}: `{self.text}`: expected {self.expected} at character {self.start + 1}",)
        # A caret is worth nothing under text that a terminal would not print character by character.
        shown = "".join(c if c.isprintable() else "?" for c in self.text)
        caret = " " * self.start + "^" * (self.end - self.start)
        return f"not a {self.what}: `{shown}`: expected {self.expected}", f"  {shown}", f"  {caret}"


class UnknownNameError(CapablyError, LookupError):
    """A name that is well formed but that no table knows.

    Attributes:
        what: The kind of thing looked up: ``"GPU"``.
        name: The name as it was given.
        suggestions: Known names that are close, best first; may be empty.
        known: All names, where they are few: told where none is close.

    >>> print(UnknownNameError("GPU", "RTX 5900", ("RTX 5090",)))
    unknown GPU: `RTX 5900`; did you mean `RTX 5090`?
    >>> print(UnknownNameError("tool", "vllm", (), ("cmake", "torch")))
    unknown tool: `vllm`; known: `cmake`, `torch`
    """

    def __init__(self, what: str, name: str, suggestions: tuple[str, ...] = (), known: tuple[str, ...] = ()) -> None:
        super().__init__(what, name, suggestions, known)
        self.known = known
        self.what = what
        self.name = name
        self.suggestions = suggestions

    def _said(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.suggestions or self.known)
        hint = f"; did you mean {names}?" if self.suggestions else f"; known: {names}" if names else ""
        return f"unknown {self.what}: `{self.name}`{hint}"


class DialectError(CapablyError, ValueError):
    """Targets that a tool's list of architectures cannot say.

    Attributes:
        dialect: Name of the dialect: ``"torch-python"``.
        targets: Those that cannot be said, as text.
        problem: Why, and what else to do, in a sentence.

    >>> print(DialectError("torch-python", ("sm_120f",), "its table has no `f` targets"))
    torch-python cannot say sm_120f: its table has no `f` targets
    """

    def __init__(self, dialect: str, targets: tuple[str, ...], problem: str) -> None:
        super().__init__(dialect, targets, problem)
        self.dialect = dialect
        self.targets = targets
        self.problem = problem

    def _said(self) -> str:
        return f"{self.dialect} cannot say {', '.join(self.targets) or 'an empty list'}: {self.problem}"


class AmbiguousNameError(CapablyError):
    """A name that stands for GPUs of several capabilities: which one is meant cannot be guessed.

    Attributes:
        name: As it was given.
        products: What it may mean, with the capability of each.
    """

    def __init__(self, name: str, products: tuple[tuple[str, str], ...]) -> None:
        super().__init__(name, products)
        self.name = name
        self.products = products

    def _said(self) -> str:
        meant = ", ".join(f"`{name}` ({capability})" for name, capability in self.products)
        return f"`{self.name}` is more than one GPU: {meant}"


class TableError(CapablyError, ValueError):
    """A knowledge table breaks its own rules.

    Attributes:
        table: Name of the table: ``"drivers"``.
        row: The offending row, as text; empty for the table as a whole.
        rule: What is broken.
    """

    def __init__(self, table: str, row: str, rule: str) -> None:
        super().__init__(table, row, rule)
        self.table = table
        self.row = row
        self.rule = rule

    def _said(self) -> str:
        return f"{self.table}.json{f', row {self.row}' if self.row else ''}: {self.rule}"


class RecordError(CapablyError, ValueError):
    """A recorded fact is not what it should be.

    Attributes:
        place: Where: ``$.devices[0].capability``, with the file before it where there is one.
        problem: What is wrong there, in a few words.

    >>> print(RecordError("$.devices[0].capability", "is missing"))
    $.devices[0].capability: is missing
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def _said(self) -> str:
        return f"{self.place}: {self.problem}"


class PolicyError(CapablyError, ValueError):
    """A release policy is not what it should be.

    Attributes:
        file: Where it stands.
        key: What is wrong in it: ``allow[0].library``; empty for the file as a whole.
        problem: What is wrong there, and what is allowed, in a sentence.

    >>> print(PolicyError("pyproject.toml", "ptx", "`maybe` is neither `required` nor `forbidden`"))
    pyproject.toml: [tool.capably] ptx: `maybe` is neither `required` nor `forbidden`
    """

    def __init__(self, file: str, key: str, problem: str) -> None:
        super().__init__(file, key, problem)
        self.file = file
        self.key = key
        self.problem = problem

    def _said(self) -> str:
        return f"{self.file}: {f'[tool.capably] {self.key}: ' if self.key else ''}{self.problem}"


class FetchError(CapablyError, RuntimeError):
    """A distribution could not be had.

    Attributes:
        requirement: What was asked for: ``"xformers==0.0.35"``.
        problem: Why it could not be had, in one sentence.
        hint: What to try next; may be empty.
    """

    def __init__(self, requirement: str, problem: str, hint: str = "") -> None:
        super().__init__(requirement, problem, hint)
        self.requirement = requirement
        self.problem = problem
        self.hint = hint

    def _said(self) -> str:
        return f"could not fetch `{self.requirement}`: {self.problem}"


class IncompatibleError(CapablyError, RuntimeError):
    """What software needs of the GPUs is not there, or is not known to be.

    Attributes:
        feature: What needs it, by name; empty where no name was given.
        requirement: What is needed, as text.
        problem: What is wrong, in one sentence.
        lines: Details: one for each GPU, then what decided and what was ignored.
        way_out: What to do.
        answer: The whole answer with its verdicts, a `capably.gate.Answer`; None where there is none.
        code: Of the reason or finding that decides, and whose way out it is: permanent, as verdicts have them, and
            ``capably explain CODE`` shows its page. Where several stand against it, the first. Empty where the error
            was not raised by the gate.
    """

    def __init__(  # noqa: PLR0917 - in order, so that it pickles
        self,
        feature: str,
        requirement: str,
        problem: str,
        lines: tuple[str, ...] = (),
        way_out: str = "",
        answer: object = None,
        code: str = "",
    ) -> None:
        super().__init__(feature, requirement, problem, lines, way_out, answer, code)
        self.feature = feature
        self.requirement = requirement
        self.problem = problem
        self.lines = lines
        self.way_out = way_out
        self.answer = answer
        self.code = code

    def _said(self) -> tuple[str, ...]:
        gpu = f"a GPU that meets `{self.requirement}`"
        needs = f"{self.feature} needs {gpu}" if self.feature else f"{gpu} is needed"
        way_out = (f"What to do: {self.way_out}",) if self.way_out else ()
        more = (f"More: capably explain {self.code}",) if self.code else ()
        return f"{needs}: {self.problem}", *(f"  {line}" for line in (*self.lines, *way_out, *more))


class DeviceWarning(UserWarning):
    """GPUs of this process do not meet a requirement, beside one that does: what runs on them may fail."""


class NoDeviceError(IncompatibleError):
    """No GPU was found. Nothing is said about any being too old."""


class HiddenDeviceError(IncompatibleError):
    """GPUs are there, and CUDA_VISIBLE_DEVICES hides them all from this process."""


class DriverError(IncompatibleError):
    """The driver is missing, broken or does not answer, so that no GPU can be used; or it is not of the release needed."""


class UnsupportedDeviceError(IncompatibleError):
    """A GPU is there and does not meet the requirement."""


class DeviceTooOldError(UnsupportedDeviceError):
    """A GPU is there and is too old; nothing else stands against those that fall short."""


class ToolkitError(IncompatibleError):
    """The GPU meets the requirement, and the compiler that would be used makes no native code for it that does."""


class PackageError(IncompatibleError):
    """The GPU meets the requirement, and the version of an installed distribution does not."""


class UndecidedError(IncompatibleError):
    """The facts do not tell whether the requirement is met."""


class GpuListError(IncompatibleError):
    """The list that should stand in for GPUs cannot be read, is missing, or names nothing that will do."""


class ScanError(CapablyError):
    """An input could not be read at all.

    Attributes:
        path: The file, with ``!/`` between an archive and its member.
        problem: What is wrong with it, in one sentence.
        offset: Where, in bytes from the start of that file; None where no place can be named.
    """

    def __init__(self, path: str, problem: str, offset: int | None = None) -> None:
        super().__init__(path, problem, offset)
        self.path = path
        self.problem = problem
        self.offset = offset

    def _said(self) -> str:
        where = "" if self.offset is None else f" (at byte {self.offset})"
        return f"{self.path}: {self.problem}{where}"


class TruncatedError(ScanError):
    """The input ends before its own headers say that it should."""


class LimitError(ScanError):
    """The input asks for more than the limits allow."""
