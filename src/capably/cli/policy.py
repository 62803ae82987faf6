"""What a project promises of its wheels, as written in ``[tool.capably]`` or behind options of ``capably audit``.

The reader is strict: what it does not know is an error that names the file, the key and what is allowed there. A
policy that is misread promises something else than its author thinks.
"""

from __future__ import annotations

import difflib
import errno
import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from capably.arch import Target, TargetKind
from capably.audit import ALLOWABLE, GAPS, Allowance, AuditPolicy, Ptx
from capably.bounded import read_given
from capably.cli.console import WrongUseError, shown_path
from capably.cli.plan import read_toolkit
from capably.cli.targets import read_driver
from capably.errors import CapablyError, PolicyError
from capably.escaping import printable
from capably.gpu_names import named_devices
from capably.report.safe import clip

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from capably.facts import Device, Driver
    from capably.version import CudaVersion

__all__ = ["nearest_policy", "policy_of", "read_policy", "read_size"]

_T = TypeVar("_T")

_LONGEST = 1 << 20
"""Bytes of a policy file that are read at most."""
_MOST_DOTS = 2_000
"""Of a line: `tomllib` takes hours for a key of a hundred thousand parts."""
_LONGEST_NAME, _LONGEST_PROBLEM, _MOST_PROBLEMS = 60, 1_000, 8
_KEYS = {
    "require": "GPUs that everything has to run on",
    "native": "GPUs that there has to be machine code for",
    "targets": "targets that are built for",
    "ptx": "required or forbidden",
    "driver": "the oldest driver that is promised to do",
    "toolkit": "the CUDA version of the compiler",
    "max-size": "of the wheel",
    "max-library-size": "of a library",
    "allow": "what is known and shipped all the same",
}
_ALLOW_KEYS = {
    "reason": "why",
    "library": "patterns for paths",
    "kernel": "patterns for mangled names",
    "gpu": "for which GPUs",
    "finding": "which findings",
}
_SIZE = re.compile(r"(?i)([0-9]{1,12}(?:\.[0-9]{1,3})?) ?(bytes|b|kb|kib|mb|mib|gb|gib)?")
_UNITS = {"kb": 10**3, "kib": 1 << 10, "mb": 10**6, "mib": 1 << 20, "gb": 10**9, "gib": 1 << 30}


def nearest_policy(start: Path) -> Path | None:
    """The ``pyproject.toml`` that holds for *start*: in this folder or the nearest above; None where there is none.

    One without ``[tool.capably]`` ends the search too: it is that of the project.
    """
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            return path
    return None


def read_policy(path: Path, *, required: bool) -> AuditPolicy | None:
    """The policy in a file.

    Args:
        path: A TOML file with the table ``[tool.capably]``.
        required: Whether it is an error that there is none.

    Raises:
        PolicyError: It cannot be read, or it is not what it should be.
    """
    name = shown_path(path) if path.is_absolute() else str(path)
    try:
        data = read_given(path, _LONGEST)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise PolicyError(name, "", f"it is larger than {_LONGEST} bytes, so it is no policy") from error
        raise PolicyError(name, "", f"it cannot be read: {error.strerror or type(error).__name__}") from error
    except ValueError as error:
        raise PolicyError(name, "", f"it cannot be read: {error}") from error
    if any(line.count(b".") > _MOST_DOTS for line in data.splitlines()):
        raise PolicyError(name, "", f"a line of it has more than {_MOST_DOTS} dots, so it is no policy")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PolicyError(name, "", f"it is not UTF-8 (byte {error.start})") from error
    except ValueError as error:  # a number of thousands of digits is one that tomllib has no name for
        raise PolicyError(name, "", f"it is not TOML: {printable(str(error))}") from error
    except RecursionError as error:
        raise PolicyError(name, "", "its values are nested too deep") from error
    tool = document.get("tool", {})
    found = tool.get("capably") if isinstance(tool, dict) else None
    if found is None:
        if required:
            raise PolicyError(name, "", "it has no table [tool.capably]")
        return None
    return policy_of(found, name)


def policy_of(table: object, file: str) -> AuditPolicy:
    """The policy that a table says.

    Raises:
        PolicyError: It is not what it should be.
    """
    reader = _PolicyReader(file, "", table, _KEYS)
    policy = AuditPolicy(
        require=reader.parsed("require", _gpus) or (),
        native=reader.parsed("native", _gpus) or (),
        targets=reader.parsed("targets", _targets) or (),
        ptx=reader.parsed("ptx", _ptx),
        driver=reader.parsed("driver", _driver),
        toolkits=reader.parsed("toolkit", _toolkits) or (),
        artifact_bytes=reader.parsed("max-size", _size),
        library_bytes=reader.parsed("max-library-size", _size),
        allow=tuple(_allowances(reader)),
    )
    reader.check()
    return policy


def _allowances(reader: _PolicyReader) -> Iterator[Allowance]:
    for index, item in enumerate(reader.tables("allow")):
        try:
            yield _allowance(item, reader.file, f"allow[{index}]")
        except PolicyError as error:
            reader.wrong.append(error)
            if len(reader.wrong) > _MOST_PROBLEMS:
                return


def _allowance(item: object, file: str, place: str) -> Allowance:
    reader = _PolicyReader(file, place, item, _ALLOW_KEYS)
    reason = reader.parsed("reason", _text)
    if "reason" not in reader.table:
        raise PolicyError(file, f"{place}.reason", "is missing: whoever reads the answer wants to know why")
    libraries = tuple(reader.parsed("library", _texts) or ())
    kernels = tuple(reader.parsed("kernel", _texts) or ())
    gpus = reader.parsed("gpu", _gpus) or ()
    codes = reader.parsed("finding", _codes)
    reader.check()
    if not (libraries or kernels or gpus or codes):
        raise PolicyError(file, place, "it allows everything; say at least one of library, kernel, gpu and finding")
    if kernels and codes is not None and not set(codes) <= set(GAPS):
        raise PolicyError(file, f"{place}.kernel", f"kernels are looked at for {', '.join(Allowance('').codes)} only")
    return Allowance(reason or "", codes or GAPS, libraries, kernels, gpus, place)


class _PolicyReader:
    """One table, whose keys are known. Values that cannot be read are told together, when all were tried."""

    def __init__(self, file: str, place: str, table: object, keys: Mapping[str, str]) -> None:
        self.file = file
        self.place = place
        self.wrong: list[PolicyError] = []
        if not isinstance(table, dict):
            raise PolicyError(file, place or "", f"a table was expected, with the keys {', '.join(keys)}")
        self.table: dict[str, Any] = table
        for key in table:
            if key not in keys:
                close = difflib.get_close_matches(key, keys, n=1)
                meant = f"did you mean `{close[0]}`?" if close else f"the keys are {', '.join(keys)}"
                raise PolicyError(file, self.key(clip(printable(key), _LONGEST_NAME)), f"is not known; {meant}")

    def key(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def parsed(self, name: str, parse: Callable[[object], _T]) -> _T | None:
        if name not in self.table:
            return None
        try:
            return parse(self.table[name])
        except (CapablyError, ValueError) as error:
            notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
            text = clip(" ".join(str(error).split("\n", 1)[0].split()), _LONGEST_PROBLEM)
            self.wrong.append(PolicyError(self.file, self.key(name), f"{text}{notes}"))
            return None

    def check(self) -> None:
        """Raise the first of what is wrong, with a note for each of the others."""
        if self.wrong:
            first, *others = self.wrong
            for other in others:
                for text in (f"also {other}", *getattr(other, "__notes__", ())):
                    first.add_note(text)
            raise first

    def tables(self, name: str) -> list[object]:
        value = self.table.get(name, [])
        if not isinstance(value, list):
            raise PolicyError(self.file, self.key(name), f"tables were expected: [[tool.capably.{name}]]")
        return value


def _text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise WrongUseError(_no_text(value, "a text"))


def _texts(value: object) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(text, str) and text.strip() for text in values):
        several = values if isinstance(values, list) else [values]
        odd = next(one for one in several if not isinstance(one, str) or not one.strip())
        raise WrongUseError(_no_text(odd, "a text or a list of texts"))
    return values


def _no_text(value: object, expected: str) -> str:
    """Versions without quotes are numbers to TOML."""
    if isinstance(value, str):
        return "it is empty"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f'{expected} was expected; write it in quotes: "{value}"' if number else f"{expected} was expected"


def _gpus(value: object) -> tuple[Device, ...]:
    devices = named_devices(_texts(value))
    if not devices:
        raise WrongUseError("it names no GPU: a product (`T4`) or a compute capability (`7.5`) was expected")
    return devices


def _targets(value: object) -> tuple[Target, ...]:
    """Targets as everybody writes them; with ``+PTX`` a number stands for two."""
    found: dict[Target, None] = {}
    for text in _texts(value):
        for part in re.split(r"[\s,;]+", text.strip()):
            plain, plus, rest = part.partition("+PTX")
            if rest:
                raise WrongUseError(f"`{printable(part)}` is no target, such as `sm_90` or `9.0+PTX`")
            target = Target.parse(plain)
            found[target] = None
            if plus:
                found[Target(target.capability, target.suffix, TargetKind.VIRTUAL)] = None
    return tuple(found)


def _ptx(value: object) -> Ptx:
    if value not in list(Ptx):
        raise WrongUseError(f"`{printable(str(value))}` is neither `required` nor `forbidden`")
    return Ptx(str(value))


def _driver(value: object) -> Driver:
    return read_driver(_text(value))


def _toolkits(value: object) -> tuple[CudaVersion, ...]:
    return tuple(read_toolkit(part) for text in _texts(value) for part in text.split(","))


def _codes(value: object) -> tuple[str, ...]:
    codes = _texts(value)
    for code in codes:
        if code not in ALLOWABLE:
            close = difflib.get_close_matches(code, ALLOWABLE, n=1)
            meant = f"did you mean `{close[0]}`?" if close else f"there are {', '.join(ALLOWABLE)}"
            raise WrongUseError(f"no finding is called `{printable(code)}`; {meant}")
    return tuple(codes)


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if value <= 0:
            raise WrongUseError(f"`{value}`: a size above 0 was expected")
        return value
    return read_size(_text(value))


def read_size(text: str) -> int:
    """A size in bytes: ``300 MB``, ``1.5 GiB``, ``1000000``.

    Raises:
        WrongUseError: It is no size.

    >>> read_size("1.5 kB"), read_size("2MiB")
    (1500, 2097152)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise WrongUseError(f"`{printable(text)}` is no size, such as `300 MB` or `1.5 GiB`")
    size = int(float(match[1]) * _UNITS.get((match[2] or "").lower(), 1))
    if not size:
        raise WrongUseError(f"`{printable(text)}`: a size above 0 was expected")
    return size
