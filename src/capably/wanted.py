"""A requirement as people write it: read, checked against what there is, and what was probably meant where it is none.

A mistake is one on every machine, with a GPU or without: nothing here looks at any. What is suggested has been read
and checked itself.
"""

from __future__ import annotations

import functools
import re

from capably.arch import ComputeCapability
from capably.engine.requirement import check_requirement
from capably.errors import CapablyError, ParseError, UnknownNameError
from capably.requirement import OneOf, Requirement
from capably.tables import tables

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check", "meant", "only_exactly", "read_requirement"]

_MOST = 200
"""Characters of a text for which a better one is looked for."""


@functools.lru_cache(maxsize=1024)
def read_requirement(text: str) -> Requirement:
    """Read *text*, and refuse what makes no sense on any machine.

    Raises:
        ParseError: It is not in the grammar, names a product or an architecture, or can never hold; with what was
            probably meant.
        UnknownNameError: It names a feature that is not known.

    >>> read_requirement("RTX 4090")
    Traceback (most recent call last):
        ...
    capably.errors.ParseError: not a requirement: `RTX 4090`: expected `8.9`, the compute capability of ...
      RTX 4090
      ^^^^^^^^
    >>> print(read_requirement("8.0,8.6"))
    Traceback (most recent call last):
        ...
    capably.errors.ParseError: not a requirement: `8.0,8.6`: expected conditions that can hold at once, for ...
      8.0,8.6
      ^^^^^^^
    """
    try:
        found = Requirement.parse(text)
        never = check_requirement(found)
    except UnknownNameError as error:
        raise _misnamed(text, error) from None
    except ParseError as error:
        raise _not_read(text, error) from None
    if not never:
        return found
    parts = text.split("|")
    part = parts[never[0]]
    start = sum(len(one) + 1 for one in parts[: never[0]]) + len(part) - len(part.lstrip())
    raise ParseError("requirement", text, start, start + len(part.strip()), _possible(found, never[0]))


def check(requirement: Requirement) -> None:
    """Refuse what makes no sense on any machine; one that a program has put together may have parts that never hold.

    Raises:
        ParseError: It can never hold, or names a product or a target that there is not.
        UnknownNameError: It names a feature that is not known.
    """
    if len(check_requirement(requirement)) == len(requirement.alternatives):
        text = str(requirement)
        raise ParseError("requirement", text, 0, len(text), _possible(requirement, 0))


def _possible(requirement: Requirement, never: int) -> str:
    if len(requirement.alternatives[never]) == 1:
        return "a condition that some GPU can meet; did you mean `>=1.0`, any GPU?"
    better = _suggested(_either(requirement, never))
    return f"conditions that can hold at once, for `,` means that all must{better}"


def _either(requirement: Requirement, never: int) -> str | None:
    """The same conditions, of which one will do."""
    alternatives = list(requirement.alternatives)
    clauses = alternatives[never]
    alternatives[never : never + 1] = [(clause,) for clause in clauses]
    text = str(Requirement(tuple(dict.fromkeys(alternatives))))
    return text if len(clauses) > 1 and _reads(text) else None


def only_exactly(requirement: Requirement, here: ComputeCapability) -> str | None:
    """What to write for *here* too, where a requirement asks for exactly one older capability: it may mean at least that.

    >>> only_exactly(Requirement.parse("sm_75"), ComputeCapability(9, 0))
    '>=7.5'
    """
    match requirement.alternatives:
        case ((OneOf(members=(ComputeCapability() as only,), excluded=False), *others),) if only < here:
            return ",".join(map(str, (f">={only}", *others)))
    return None


def _not_read(text: str, error: ParseError) -> CapablyError:
    if error.what == "feature":  # which is a product
        return _pointed(text, error.text, error.expected)
    if error.expected.startswith("a target that there is"):  # a suffix that no target with that number has
        number = error.text[: error.start]
        instead = f"{number}a" if _reads(f"{number}a") else number
        start = max(text.lower().find(error.text), 0)
        end = start + len(error.text) if error.text in text.lower() else len(text)
        return ParseError("requirement", text, start, end, error.expected + _suggested(instead))
    for piece in re.finditer(r"[^,|<>=!\s][^,|]*(?<!\s)", text):
        if re.search(r"[A-Za-z]", piece[0]) and (capability := tables().instead_of_product(piece[0])):
            return ParseError("requirement", text, piece.start(), piece.end(), capability)
    better = meant(text.strip())
    if better is None:
        return error
    expected = "a name that is known before a comparison" if error.expected.startswith("one of") else error.expected
    return ParseError(error.what, text, error.start, error.end, expected + _suggested(better))


def _misnamed(text: str, error: UnknownNameError) -> CapablyError:
    """A name that is no feature: an architecture, a capability in other words, or a feature in another spelling."""
    if (generation := _generation(error.name)) is not None:
        name, members = generation
        listed = str(Requirement.exactly(*members))
        expected = f"`{listed}`, which is {name}, or `>={members[0]}`, which is {name} or newer"
        return _pointed(text, error.name, expected)
    better = meant(text.strip())
    if better in tables().features and text.strip().lower() == error.name:
        return UnknownNameError(error.what, error.name, tuple(dict.fromkeys((better, *error.suggestions))))
    if better is not None:
        return _pointed(text, error.name, f"a condition{_suggested(better)}")
    return error


def _pointed(text: str, name: str, expected: str) -> ParseError:
    start = max(text.lower().find(name), 0)
    return ParseError("requirement", text, start, start + len(name), expected)


def _suggested(better: str | None) -> str:
    return f"; did you mean `{better}`?" if better else ""


def _generation(name: str) -> tuple[str, tuple[ComputeCapability, ...]] | None:
    """The architecture that people call *name*, and the capabilities that go by it."""
    word = re.sub(r"[^a-z]", "", name.lower())
    found: dict[str, list[ComputeCapability]] = {}
    for capability, row in tables().architectures.items():
        found.setdefault(row.name, []).append(capability)
    for title, capabilities in found.items():
        if word in {title.lower().replace(" ", ""), title.lower().split()[0]}:
            return title, tuple(sorted(capabilities))
    return None


# ---------------------------------------------------------------------------------------------------------
# What was meant


_NUMBER = r"(?:[0-9]{1,2}\.[0-9]|[0-9]{2,3}|[0-9])(?![0-9]|\.[0-9])"
_QUANTITY = r"(?:driver|cuda|toolkit|smem|sms|memory|torch-cuda|cudnn|cublaslt|ptxas|installed:[\w.-]+)"
# Each in turn, on what the one before has left. Words of other languages and tools for the same things.
_REWRITES: tuple[tuple[str, str], ...] = (
    (r"[`'\"]", ""),
    (r"^\s*(?:\*|any|all|none|cuda|gpu|nvidia)?\s*$", ">=1.0"),
    (r"!{2,}(?!=)", "!"),
    ("≥|⩾|&gt;=", ">="),
    ("≤|⩽|&lt;=", "<="),
    ("≠", "!="),
    (r"=>", ">="),
    (r"=<", "<="),
    (r"<>", "!="),
    (r"={2,}", "=="),
    (r"([<>])\s+=", r"\1="),
    (r"~=\s*([0-9]{1,2})\.([0-9])(?![0-9])", r"\1.x,>=\1.\2"),
    (r"\s*(?:\|\||\bor\b(?!\s+(?:newer|higher|later|above|better|more|up)))\s*", " | "),
    (r"\s*(?:&&?|\band\b(?!\s+(?:newer|higher|later|above|up))|\bwith\b)\s*", ","),
    (r"\b(?:sm|compute|lto)[_ -]?([0-9]{2,3})\+ptx\b", r">=\1"),
    (r"\+ptx\b", "+"),
    (r"(?<=[0-9])-(?:real|virtual)\b", ""),
    (r"([<>=!]=?)\s*(?:sm|compute|cc)[_ .-]*(?=[0-9])", r"\1"),
    (r"\bcompute[_ ]?([0-9]{2,3}[af])\b", r"\1"),
    (r"(?<![<>=!])\b(?:compute|lto)[_ ]?([0-9]{2,3})\b(?!\s*\+)", r">=\1"),
    (r"\bcompute[_ ]([0-9]{2,3})\b", r"\1"),
    (r"\b(?:sm|cc)[_.:-]([0-9])", r"sm_\1"),
    (
        r"\b(?:(?:compute|cuda)[_ -]?(?:capability|arch|cap)|capability|compute|arch|archs|sm|cc|gpu)\s*(?:is\s*)?(?=[<>=!])",
        "",
    ),
    (r"\b(?:compute[_ -]?capability|capability|arch)\s*[: ]\s*(?=[0-9])", ""),
    (rf"\b(?:at least|minimum|min\.?|from|since)\s*(?:sm_?)?({_NUMBER})", r">=\1"),
    (rf"\b(?:at most|up to|maximum|max\.?)\s*(?:sm_?)?({_NUMBER})", r"<=\1"),
    (rf"\b(?:newer than|above|greater than|more than|higher than|after)\s*({_NUMBER})", r">\1"),
    (rf"\b(?:older than|below|less than|lower than|before|under)\s*({_NUMBER})", r"<\1"),
    (rf"({_NUMBER})\s*(?:or|and)\s+(?:newer|higher|later|above|better|more|up(?:wards?)?)\b", r">=\1"),
    (rf"\bbetween\s+({_NUMBER})\s*,\s*({_NUMBER})", r">=\1,<=\2"),
    (rf"^\s*({_NUMBER})\s*(?:-|\.\.+|to|\u2013)\s*({_NUMBER})\s*$", r">=\1,<=\2"),
    (r"\b(?:except|but not)\s*", ",!"),
    (r"\bnot\s+in\b", "!="),
    (r"\bnot\s*", "!"),
    (r"^\s*in\b", ""),
    (r"!=\s*(?=[a-z]+[0-9-]*\b(?!\s*[<>=]))(?!sm|cc|[0-9])", "!"),
    (r"[\[(]\s*([0-9]{1,2})\s*,\s*([0-9])\s*[\])]", r"\1.\2"),
    (r"^\s*((?:[<>=!]=?)?)\s*([0-9]{1,2})\s*,\s*([0-9])\s*$", r"\1\2.\3"),
    (r"[\[(]([^\[\]()]*[,;][^\[\]()]*)[\])]", r"{\1}"),
    (r"[()\[\]]", ""),
    (r"(?<=[0-9x])\s*[;\s]\s*(?=[0-9.,;\s]*\})", ","),
    (r"^\s*(1[0-9])\s*$", r"\1.x"),
    (r"([0-9]{1,2}\.[0-9])(?:\.[0-9.]+|[b-eg-z])$", r"\1"),
    (r"\bsm[_ ]?([0-9])(?![0-9])", r"\1.0"),
    (r"([<>]=?)\s*([0-9]{1,2})(?![0-9.]|[0-9]*\s*[KMGTkmgt]i?[bB])", r"\1\2.0"),
    (r"([<>]=?)\s*([0-9]{1,2})\.[x*]", r"\1\2.0"),
    (r"([0-9]{1,2})\.\*", r"\1.x"),
    (r"([<>=]=?\s*[0-9]{1,2}\.[0-9])[0-9.]+", r"\1"),
    (r"([<>]=?\s*[0-9]{1,2}\.[0-9])[a-z]\b", r"\1"),
    (r"([<>]=?\s*[0-9]{1,2}\.[0-9])\+", r"\1"),
    (r"(?<![0-9._x])([0-9])\+", r">=\1.0"),
    (r"(?<![0-9._x<>=!{])([0-9])(?![0-9.])", r"\1.x"),
    (r"(?<![<>=!])=(?!=)", "=="),
    (r"\s*;\s*", " | "),
    (rf"^({_NUMBER})(?:[\s/]+({_NUMBER}))+$", "LIST"),
    (r"(?:,|\|)\s*$", ""),
    (r"^\s*(?:,|\|)", ""),
    (r",\s*,", ","),
    (r"\|\s*\|", "|"),
)
# The same for conditions with a name before the comparison.
_NAMES = {
    "smem": "shared[ _-]?mem(?:ory)?|shmem|smem",
    "memory": "v?ram|mem|gpu[ _-]?memory|memory",
    "sms": "sm[_ -]?counts?|num[_ -]?sms?|multiprocessors?|sms",
    "driver": "drv|nvidia[ _-]?driver|driver[ _-]?version|driver",
    "toolkit": "nvcc|cuda[ _-]?toolkit|ctk|toolkit[ _-]?version|toolkit",
    "torch-cuda": r"torch\.version\.cuda|torch[ _]cuda|pytorch[ _-]?cuda",
    "cublaslt": "cublas[ _-]lt",
    "cuda": "cuda[ _-]?version|cuda[ _-]?runtime|cuda",
    "installed:torch": "(?:py)?torch",
    "installed:triton": "triton",
    "installed:nvidia-nccl-cu12": "nccl",
}
_OTHERWISE = {
    "bfloat16": "bf16",
    "float8": "fp8",
    "e4m3": "fp8",
    "e5m2": "fp8",
    "float4": "fp4",
    "nvfp4": "fp4",
    "mxfp4": "fp4",
    "float6": "fp6",
    "int8": "int8-mma",
    "tensorcores": "tensor-cores",
    "tensorcore": "tensor-cores",
    "cpasync": "cp-async",
    "cluster": "clusters",
    "tmem": "tcgen05",
    "tf32x3": "tf32",
}


def meant(text: str) -> str | None:
    """What *text*, which is no requirement, was probably meant to be; None where nothing close is one.

    >>> meant("=>7.5"), meant("8.0 or 9.0"), meant("fp-8")
    ('>=7.5', '8.0 | 9.0', 'fp8')
    """
    if len(text) > _MOST:
        return None
    for candidate in _candidates(text):
        try:
            found = Requirement.parse(candidate)
            never = check_requirement(found)
        except CapablyError:
            continue
        better = _either(found, never[0]) if never else str(found)
        if better is not None and better != text:
            return better
    return None


def _candidates(text: str) -> Iterable[str]:
    named = _generations(_quantities(text))
    yield named
    lowered = named.lower()
    yield lowered
    for pattern, by in _REWRITES:
        if by == "LIST":
            if re.match(pattern, lowered.strip()):
                lowered = " | ".join(re.split(r"[\s/]+", lowered.strip()))
        else:
            lowered = re.sub(pattern, by, lowered)
        yield lowered
    yield _features(lowered)
    yield _features(named.lower())
    yield re.sub(r"\s+", ",", named.lower().strip())


def _reads(text: str) -> bool:
    try:
        return not check_requirement(Requirement.parse(text))
    except CapablyError:
        return False


def _quantities(text: str) -> str:
    """*text* with the names that are used here before comparisons, and amounts with a unit."""
    for name, pattern in _NAMES.items():
        text = re.sub(
            rf"(?i)(?<![\w:-])(?:{pattern})\s*(?::\s*|(?=[<>=!~≥≤])|\s+(?=R?[0-9]))(?![a-z-])", f"{name} ", text
        )
        text = re.sub(rf"({re.escape(name)}) +(?=R?[0-9])", r"\1>=", text)
    text = re.sub(r"(memory|smem|driver|cuda|toolkit|sms|[\w]) +(?=[<>=!])", r"\1", text)
    text = re.sub(r"=>", ">=", re.sub(r"=<", "<=", text))
    text = re.sub(r"(?<=[a-z0-9])(?<![<>=!])=(?=[0-9])", "==", text)
    text = re.sub(r"(memory[<>=]+ *[0-9]+) *[Gg]?(?![0-9A-Za-z.])", r"\1GiB", text)
    text = re.sub(r"(memory[<>=]+ *[0-9]+) *[Gg]i(?![A-Za-z])", r"\1GiB", text)
    text = re.sub(r"(smem[<>=]+ *[0-9]+) *[Kk]?i?(?![0-9A-Za-z.])", r"\1KiB", text)
    text = re.sub(r"(sms[<>=]+ *[0-9]+) *[A-Za-z]+", r"\1", text)
    text = re.sub(r"((?:cuda|toolkit)[<>=]+ *[0-9]+\.[0-9]+)\.[0-9.]+", r"\1", text)
    text = re.sub(r"(driver[<>=]+ *R?[0-9]+\.[0-9]+\.[0-9]+)\.[0-9.]+", r"\1", text)
    return re.sub(rf"({_QUANTITY}[<>=]+ *[Rr]?[0-9.]+)\+", r"\1", text)


def _generations(text: str) -> str:
    """*text* with numbers in place of names of architectures."""

    def number(match: re.Match[str]) -> str:
        if (found := _generation(match["name"])) is None:
            return match[0]
        operator, members = match["operator"] or "", found[1]
        if match["newer"] or operator == ">=":
            return f">={members[0]}"
        if operator in {"", "==", "!="}:
            return f"{operator}{Requirement.exactly(*members)}"
        return f"{operator}{members[-1] if operator in {'>', '<='} else members[0]}"

    pattern = (
        r"(?i)(?P<operator>[<>=!]=?)?\s*\b(?P<name>[a-z]+(?: lovelace)?)(?P<newer>\+| or (?:newer|later|higher|above))?"
    )
    return re.sub(pattern, number, text)


def _features(text: str) -> str:
    """*text* with each name in the spelling of the tables."""
    import difflib  # noqa: PLC0415 - for mistakes only

    known = tables().features
    plain = {re.sub(r"[^a-z0-9]", "", name): name for name in known} | _OTHERWISE

    def spelt(match: re.Match[str]) -> str:
        word = re.sub(r"[^a-z0-9]", "", match[0])
        if match[0] in known or re.match(_QUANTITY, match[0]):
            return match[0]
        close = difflib.get_close_matches(word, plain, n=1, cutoff=0.75)
        return plain[close[0]] if close else match[0]

    return re.sub(r"(?<![\w:.])(?!sm_?[0-9])[a-z][a-z0-9]*(?:[ _.-][a-z0-9]+)*", spelt, text)
