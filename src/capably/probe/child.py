"""Asks the driver libraries, in a process of its own that may hang or crash.

Run by `capably.probe.driver_process` in an interpreter without site-packages (``python -I -S``); it imports the standard library
only, and nothing of capably. The answer is JSON, one line for each step, so that what was learnt before a
crash is not lost; `capably.probe.steps` has the fields:

    {"step": "library", …}   which libcuda there is and what it supports: known before cuInit
    {"calling": "…"}         what is about to be called that may take long or for ever
    {"step": "nvml", …}      the inventory: every GPU, whatever CUDA_VISIBLE_DEVICES says
    {"step": "cuda", …}      what CUDA sees, in CUDA's order; only after a line `cuda` on standard input
    {"step": "done"}         nothing is missing

No context is created anywhere.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys

TYPE_CHECKING = False  # typing costs 8 ms, and somebody waits for the answer
if TYPE_CHECKING:
    from typing import Any

_MOST_DEVICES = 1024
_MOST_BYTES = (1 << 63) - 1  # NVML says -1 for what it does not know
_MISSING = -1  # no result of the libraries: the function is not there
_USUAL_FILES = 1024
_PR_SET_PDEATHSIG = 1

# CUdevice_attribute
_MULTIPROCESSORS = 16
_INTEGRATED = 18
_MAJOR = 75
_MINOR = 76


def open_library(names: list[str], mode: int = ctypes.DEFAULT_MODE) -> tuple[ctypes.CDLL | None, str]:
    """The first of *names* that the dynamic linker can load, and else what it said about the first."""
    problem = ""
    for name in names:
        try:
            return ctypes.CDLL(name, mode=mode), ""
        except (OSError, ValueError) as error:  # the latter where the linker quotes what is no UTF-8
            problem = problem or str(error)
    return None, problem


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> int:  # noqa: ANN401 - what ctypes takes
    """The result of a function that may not exist in this release."""
    function = getattr(library, name, None)
    return _MISSING if function is None else int(function(*arguments))


def normal_pci(text: str) -> str | None:
    """``00000000:41:00.0`` and ``0000:41:00.0`` as the latter, in lower case."""
    match = re.fullmatch(r"([0-9A-Fa-f]{4,8}):([0-9A-Fa-f]{2}):([0-9A-Fa-f]{2})(?:\.([0-7]))?", text.strip())
    return f"{int(match[1], 16):04x}:{match[2]}:{match[3]}.{match[4] or 0}".lower() if match else None


def mapped_file(part: str) -> str | None:
    """The file behind a loaded library, with symbolic links resolved: its name carries the release."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - pathlib costs 5 ms
            for line in lines:
                fields = line.rstrip("\n").split(None, 5)
                if len(fields) == 6 and part in fields[5].rsplit("/", 1)[-1]:
                    return fields[5]
    except OSError:
        pass
    return None


# -- NVML


class _PciInfo(ctypes.Structure):
    _fields_ = (
        ("legacy", ctypes.c_char * 16),
        ("domain", ctypes.c_uint),
        ("bus", ctypes.c_uint),
        ("device", ctypes.c_uint),
        ("ids", ctypes.c_uint * 2),
        ("text", ctypes.c_char * 32),
    )


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def _text(library: ctypes.CDLL, name: str, *before: Any) -> str | None:  # noqa: ANN401 - what ctypes takes
    buffer = ctypes.create_string_buffer(128)
    if call(library, name, *before, buffer, ctypes.c_uint(len(buffer))):
        return None
    return buffer.value.decode("utf-8", "replace")


def _memory(library: ctypes.CDLL, handle: ctypes.c_void_p) -> int | None:
    memory = _Memory()
    unknown = call(library, "nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory)) or memory.total > _MOST_BYTES
    return None if unknown else int(memory.total)


def _slices(library: ctypes.CDLL, handle: ctypes.c_void_p) -> list[dict[str, Any]]:
    most = ctypes.c_uint()
    if call(library, "nvmlDeviceGetMaxMigDeviceCount", handle, ctypes.byref(most)):
        return []
    found = []
    for index in range(min(most.value, _MOST_DEVICES)):
        part = ctypes.c_void_p()
        if call(library, "nvmlDeviceGetMigDeviceHandleByIndex", handle, ctypes.c_uint(index), ctypes.byref(part)):
            continue  # places without a slice
        found.append(
            {
                "uuid": _text(library, "nvmlDeviceGetUUID", part),
                "name": _text(library, "nvmlDeviceGetName", part),
                "memory": _memory(library, part),
            }
        )
    return found


def _nvml_device(library: ctypes.CDLL, handle: ctypes.c_void_p) -> dict[str, Any]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    code = call(library, "nvmlDeviceGetCudaComputeCapability", handle, ctypes.byref(major), ctypes.byref(minor))
    pci = _PciInfo()
    no_pci = call(library, "nvmlDeviceGetPciInfo_v3", handle, ctypes.byref(pci))
    current, pending = ctypes.c_uint(), ctypes.c_uint()
    no_mig = call(library, "nvmlDeviceGetMigMode", handle, ctypes.byref(current), ctypes.byref(pending))
    return {
        "uuid": _text(library, "nvmlDeviceGetUUID", handle),
        "name": _text(library, "nvmlDeviceGetName", handle),
        "capability": None if code else [major.value, minor.value],
        "pci": None if no_pci else normal_pci(pci.text.decode("ascii", "replace")),
        "memory": _memory(library, handle),
        "mig": None if no_mig else bool(current.value),
        "slices": _slices(library, handle) if not no_mig and current.value else [],
    }


def ask_nvml(library: ctypes.CDLL) -> dict[str, Any]:
    """Initialise NVML, take the inventory, and shut it down again."""
    code = call(library, "nvmlInit_v2")
    answer: dict[str, Any] = {"step": "nvml", "error": code, "release": None, "devices": [], "refused": []}
    if code:
        return answer
    answer["release"] = _text(library, "nvmlSystemGetDriverVersion")
    count = ctypes.c_uint()
    answer["error"] = call(library, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    for index in range(min(count.value, _MOST_DEVICES)):
        handle = ctypes.c_void_p()
        code = call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
        if code:  # a GPU that was lost, or that this container may not use
            answer["refused"].append(code)
        else:
            answer["devices"].append(_nvml_device(library, handle))
    call(library, "nvmlShutdown")
    return answer


# -- the driver


def driver_version(library: ctypes.CDLL) -> int | None:
    """What cuDriverGetVersion says; that works before cuInit."""
    version = ctypes.c_int()
    return None if call(library, "cuDriverGetVersion", ctypes.byref(version)) else version.value


def _attribute(library: ctypes.CDLL, device: ctypes.c_int, number: int) -> int | None:
    value = ctypes.c_int()
    return None if call(library, "cuDeviceGetAttribute", ctypes.byref(value), number, device) else value.value


def _cuda_device(library: ctypes.CDLL, device: ctypes.c_int) -> dict[str, Any]:
    name = ctypes.create_string_buffer(256)
    no_name = call(library, "cuDeviceGetName", name, len(name), device)
    pci = ctypes.create_string_buffer(32)
    no_pci = call(library, "cuDeviceGetPCIBusId", pci, len(pci), device)
    uuid = ctypes.create_string_buffer(16)
    # The second version knows slices; the first, in older drivers, gives the UUID of the whole GPU.
    no_uuid = call(library, "cuDeviceGetUuid_v2", uuid, device) and call(library, "cuDeviceGetUuid", uuid, device)
    memory = ctypes.c_size_t()
    no_memory = call(library, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    integrated = _attribute(library, device, _INTEGRATED)
    capability = [_attribute(library, device, number) for number in (_MAJOR, _MINOR)]
    return {
        "name": None if no_name else name.value.decode("utf-8", "replace"),
        "capability": None if None in capability else capability,
        "uuid": None if no_uuid else uuid.raw.hex(),
        "pci": None if no_pci else normal_pci(pci.value.decode("ascii", "replace")),
        "memory": None if no_memory or memory.value > _MOST_BYTES else memory.value,
        "multiprocessors": _attribute(library, device, _MULTIPROCESSORS),
        "integrated": None if integrated is None else bool(integrated),
    }


def ask_devices(library: ctypes.CDLL) -> dict[str, Any]:
    """What the driver, already initialised, sees; the error is 3 where it is not initialised."""
    count = ctypes.c_int()
    code = call(library, "cuDeviceGetCount", ctypes.byref(count))
    answer: dict[str, Any] = {"step": "cuda", "error": code, "devices": []}
    for ordinal in range(0 if code else min(count.value, _MOST_DEVICES)):
        device = ctypes.c_int()
        answer["error"] = call(library, "cuDeviceGet", ctypes.byref(device), ordinal)
        if answer["error"]:
            break
        answer["devices"].append(_cuda_device(library, device))
    return answer


def _bound(seconds: float) -> None:
    """End with whoever asked, and in any case soon after they have stopped to listen."""
    import resource  # noqa: PLC0415 - only where the module is a process of its own
    import signal  # noqa: PLC0415 - as above

    # The default action of this signal ends the process inside of any call. Who asks may have it ignored or blocked,
    # which is inherited.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.alarm(int(seconds) + 1)
    call(ctypes.CDLL(None), "prctl", _PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _set_aside() -> int:
    """Where the answer goes, so that a library does not write into it: neither what it prints, nor by a stale number."""
    import resource  # noqa: PLC0415 - as above

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    top = most if 0 < most < _USUAL_FILES else _USUAL_FILES
    out = os.dup2(1, top - 1 - os.urandom(1)[0] % (top // 2), inheritable=False)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return out


def main(arguments: list[str]) -> int:
    """Answer the request, an object with the names of libraries and the seconds to live."""
    request = json.loads(arguments[0])
    _bound(request["seconds"])
    out = _set_aside()

    def say(answer: dict[str, Any]) -> None:
        os.write(out, json.dumps(answer).encode() + b"\n")

    say({"calling": "loading libcuda"})
    cuda, problem = open_library(request["cuda"])
    say(
        {
            "step": "library",
            "found": cuda is not None,
            "problem": _plain(problem),
            "file": mapped_file("libcuda.so") if cuda is not None else None,
            "version": driver_version(cuda) if cuda is not None else None,
        }
    )
    if request["nvml"]:
        say({"calling": "nvmlInit_v2"})
        nvml, problem = open_library(request["nvml"])
        say(ask_nvml(nvml) if nvml is not None else {"step": "nvml", "missing": _plain(problem)})
    if cuda is not None and sys.stdin.readline().strip() == "cuda":
        say({"calling": "cuInit"})
        code = call(cuda, "cuInit", ctypes.c_uint(0))
        say({"step": "cuda", "error": code, "devices": []} if code else ask_devices(cuda))
    say({"step": "done"})
    return 0


def _plain(problem: str) -> str:
    """What the linker says, which quotes paths of any bytes and length, as a text that can be printed."""
    return problem.encode("utf-8", "replace").decode()[:1024]
