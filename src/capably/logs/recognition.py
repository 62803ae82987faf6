"""Finds the messages that are known in a log, within a bounded time."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capably.tables import Message, tables

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = ["DISTRIBUTIONS", "SeenMessage", "named_modules", "plain", "recognise", "speaker_of"]

MOST_BYTES = 4 << 20
"""How much of a log is read: its end, where the errors are."""


_BEFORE, _AFTER = 240, 900


_MOST_PLACES = 24
_EXCERPT = 200
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]{0,32}[@-~]|\x1b\][^\x07\x1b]{0,2048}(?:\x07|\x1b\\)")


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """A message in a log.

    Attributes:
        excerpt: The text that matched, and a little around it; as it was in the log, so not fit to print.
        params: Sorted pairs of what the message says: ``target``, ``capability``, ``listed`` and so on.
        lines: In how many lines it was seen.
        more: There may be more of them: not all places were tried, or not all of the log was read.
    """

    message: Message
    excerpt: str
    params: tuple[tuple[str, str], ...] = ()
    lines: int = 1
    more: bool = False


def recognise(log: str | bytes) -> tuple[SeenMessage, ...]:
    """The messages in *log* that are known, those that explain the others first.

    Time is bounded: the last 4 MiB are searched for fixed texts, and patterns are tried near the first and
    last places of each only.

    >>> [found.message.code for found in recognise("RuntimeError: no kernel image is available")]
    ['no-kernel-image']
    """
    raw = _encoded(log)
    data = plain(raw)
    lower = data.lower()  # of bytes: ASCII only, and of the same length
    found = []
    for message in tables().messages:
        places, cut = _places(lower, message.needles)
        hits = {place: hit for place in places if (hit := _match(message, data, place))}
        if hits:
            params: dict[str, str] = {}
            for hit in hits.values():  # the last one speaks, the others fill in what it does not say
                params.update(hit.params)
            # Several needles may be in one message, so that places say less than lines.
            lines = len({data.rfind(b"\n", 0, place) for place in hits})
            more = cut or len(raw) >= MOST_BYTES
            excerpt = hits[max(hits)].excerpt
            found.append(SeenMessage(message, excerpt, tuple(sorted(params.items())), lines, more))
    found += _errors(data, lower, len(raw) >= MOST_BYTES)
    return tuple(sorted(found, key=lambda one: one.message.rank))


# An error of CUDA by its name, by its number, and by the text that the runtime has for it.
_BY_NAME = re.compile(r"\b(?:cudaError[A-Z][A-Za-z0-9]{2,48}|CUDA_ERROR_[A-Z0-9_]{3,48}|cudaSuccess|CUDA_SUCCESS)\b")
_BY_NUMBER = re.compile(
    r"(?i)\bcu(?:da)?(?:[ _]?(?:driver|runtime))?[ _]?(?:error|failure|errno|result)(?:[ _]?code)?[ :=#(]{0,6}"
    r"(?P<number>[0-9]{1,5})\b(?![.:][0-9])"
)
_AT_START = re.compile(
    r"(?:cudaGetDeviceCount\(\)[^\n]{0,200}?\bError|cuInit(?:\([0-9]\))?[ :]{0,2}(?:failed|returned)?(?: with)?(?: error)?(?: code)?)"
    r"[ :=(]{1,4}(?P<number>[0-9]{1,3})\b"
)
_BY_TEXT = re.compile(
    r"(?i)\bcuda(?: runtime| driver)? ?(?:error|failure)(?: \(?[0-9]{1,5}\)?)?: ?(?P<text>[a-z][^\n]{5,160})"
)
_NEEDLES_OF_ERRORS = (
    *("cudaerror", "cuda_error", "cuda error", "cuda failure", "cuda runtime error", "cuda driver error", "curesult"),
    *("cudasuccess", "cuda_success", "cudagetdevicecount", "cuinit"),
)
_LONGEST_NAME = 48


def _errors(data: bytes, lower: bytes, cut: bool) -> list[SeenMessage]:
    """Errors of CUDA that no message of its own is known for."""
    known, own = tables().errors, _with_messages()
    names = {name: number for number, error in known.items() for name in error.names}
    texts = {error.text.lower(): number for number, error in known.items() if error.text}
    places, more = _places(lower, _NEEDLES_OF_ERRORS)
    found: dict[int, list[tuple[int, str]]] = {}
    for place in places:
        text = " ".join(data[place : place + _AFTER // 4].decode("utf-8", "replace").split())
        hits: list[tuple[int, str]] = []
        if match := _BY_NAME.match(text):
            hits.append((names.get(match[0], -1), match[0]))
        if match := _BY_NUMBER.match(text):
            hits.append((int(match["number"]), match[0]))
        if match := _AT_START.match(text):
            hits.append((int(match["number"]), match[0]))
        if match := _BY_TEXT.match(text):
            said = match["text"].lower()
            longest = max((one for one in texts if said.startswith(one)), key=len, default="")
            hits.append((texts.get(longest, -1), f"{match[0][: match.start('text')]}{longest}"))
        for number, excerpt in hits:
            # Success is in every other line of a log; somebody who asks for it writes nothing else.
            if number in known and number not in own and (number > 0 or len(data.strip()) <= _LONGEST_NAME):
                found.setdefault(number, []).append((place, text[:_EXCERPT] if len(excerpt) < len(text) else excerpt))
    return [
        SeenMessage(
            tables().error_messages[number],
            seen[-1][1],
            (("number", str(number)),),
            len({data.rfind(b"\n", 0, place) for place, _ in seen}),
            more or cut,
        )
        for number, seen in found.items()
    ]


@functools.lru_cache(maxsize=1)
def _with_messages() -> frozenset[int]:
    """The errors that a message of its own is known for."""
    return frozenset(number for message in tables().messages for number in message.numbers)


def _encoded(log: str | bytes) -> bytes:
    """The end of *log*, of a text no more than can be read: as much as that, or more, where it is not the whole."""
    return log[-MOST_BYTES:].encode("utf-8", "replace") if isinstance(log, str) else log


def plain(log: str | bytes) -> bytes:
    """The end of *log* as bytes, without what colours a terminal and makes links there."""
    data = _encoded(log)
    # Windows PowerShell 5 writes logs in UTF-16. The messages are ASCII: all that there is too much of is a null each.
    return _ESCAPES.sub(b"", data[-MOST_BYTES:].replace(b"\0", b""))


def _places(lower: bytes, needles: Iterable[str]) -> tuple[list[int], bool]:
    """Where the needles are, at most so many of each from the front and from the back; and whether there are more."""
    places: set[int] = set()
    cut = False
    for needle in needles:
        sought = needle.encode()
        start = 0
        for _ in range(_MOST_PLACES):
            at = lower.find(sought, start)
            if at < 0:
                break
            places.add(at)
            start = at + len(sought)
        end = len(lower)
        for _ in range(_MOST_PLACES):
            at = lower.rfind(sought, start, end)
            if at < 0:
                break
            places.add(at)
            end = at
        else:
            cut = cut or lower.find(sought, start, end) >= 0
    return sorted(places), cut


def _match(message: Message, data: bytes, place: int) -> SeenMessage | None:
    start = max(place - _BEFORE, 0)
    text = " ".join(data[start : place + _AFTER].decode("utf-8", "replace").split())
    here = len(" ".join(data[start:place].decode("utf-8", "replace").split()))
    params: dict[str, str] = {}
    excerpt = None
    for pattern in message.patterns:
        for match in pattern.finditer(text):
            if match.start() - 80 <= here <= match.end() + 200:
                params |= {name: value for name, value in match.groupdict().items() if value is not None}
                if excerpt is None:
                    lead = text[max(match.start() - 40, 0) : match.start()]
                    if match.start() > 40:
                        lead = lead.partition(" ")[2]  # from a whole word on
                    trail = text[match.end() : match.end() + 80]
                    if len(text) > match.end() + 80 and " " in trail:
                        trail = f"{trail.rpartition(' ')[0]} …"  # up to a whole word
                    excerpt = (lead + match[0] + trail)[:_EXCERPT]
    if excerpt is None:
        return None
    listed = re.search(r"supports CUDA capabilities((?: (?:sm|compute)_[0-9]{2,3}[af]?){1,40})", text)
    if listed:
        params["listed"] = listed[1].strip()
    return SeenMessage(message, excerpt, tuple(sorted(params.items())))


def named_modules(log: str | bytes) -> frozenset[str]:
    """Top-level names below ``site-packages`` that the log names, as tracebacks do; as distributions are written."""
    names = set(re.findall(rb"(?:site|dist)-packages[/\\\\]([A-Za-z0-9_]{1,80})", plain(log)))
    return frozenset(name.decode().lower().replace("_", "-") for name in names)


# Words that only one program prints, and its module.
_SPEAKERS = {
    b"onnxruntime": "onnxruntime",
    b"code returned while running": "onnxruntime",
    b"ggml": "llama-cpp",
    b"llama.cpp": "llama-cpp",
    b"[tm][": "lmdeploy",
    b"turbomind": "lmdeploy",
    b"_catboost": "catboost",
    b"cudaapierror": "numba",
    b"numba.cuda": "numba",
    b"cudadrivererror": "cupy",
    b"cupy_backends": "cupy",
    b"cupy.cuda": "cupy",
    b"tensorflow/": "tensorflow",
    b"tensorflow.python": "tensorflow",
    b"transformer_engine": "transformer-engine",
    b"transformerengine": "transformer-engine",
    b"xformers": "xformers",
    b"runtimeerror: cuda failed with error": "ctranslate2",
    b"paddle": "paddlepaddle",
    b"jaxlib": "jaxlib",
    b"cutlass.base_dsl": "nvidia-cutlass-dsl",
    b"tensorrt_llm": "tensorrt-llm",
    b"[tensorrt-llm]": "tensorrt-llm",
    b"bitsandbytes": "bitsandbytes",
    b"flash_attn": "flash-attn",
    b"sgl_kernel": "sgl-kernel",
    b"vllm/": "vllm",
}
DISTRIBUTIONS = {
    "onnxruntime": "onnxruntime-gpu",
    "llama-cpp": "llama-cpp-python",
    "paddlepaddle": "paddlepaddle-gpu",
    **{name: name for name in ("lmdeploy", "catboost", "numba", "tensorflow", "transformer-engine", "xformers")},
    **{
        name: name
        for name in ("ctranslate2", "jaxlib", "tensorrt-llm", "bitsandbytes", "flash-attn", "sgl-kernel", "vllm")
    },
}
"""What is installed for a program, by its module."""


# Words that only torch prints, for itself and for whatever runs within it.
_TORCH = (b"search for `cudaerror", b"torch_use_cuda_dsa", b"torch.acceleratorerror", b"cuda kernel errors might be")


def speaker_of(data: bytes, found: Iterable[SeenMessage]) -> str | None:
    """The program in whose words the last of the messages of the log *data* is; None where that is not known.

    ``torch`` says little: it prints the errors of all that runs within it.
    """
    lower = data.lower()
    at = max((lower.rfind(needle.encode()) for one in found for needle in one.message.needles), default=-1)
    near = lower[max(at - _BEFORE, 0) : at + _AFTER] if at >= 0 else lower[-_AFTER:]
    by_torch = "torch" if any(word in near for word in _TORCH) else None
    return next((module for word, module in _SPEAKERS.items() if word in near), by_torch)
