"""Asks a real driver one question, in a process of its own that may hang or crash.

Run as a script (``python -I -S hardware_child.py REQUEST``) by `hardware_check`; it imports the standard
library only. It prints JSON objects, one a line, each as soon as it is known: what was learnt before a crash
is not lost. Together they are the answer.

No setting of a GPU is changed. Only ``load`` makes a context: the primary one of its device, which it releases.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time

# Hundreds of these are started: what costs milliseconds to import is not.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Answer: TypeAlias = dict[str, Any]

MISSING = -1  # no result of the driver: the function is not there
WRITTEN = 42  # by the kernel of every image


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> int:  # noqa: ANN401 - what ctypes takes
    """The result of a function that may not exist in this release."""
    function = getattr(library, name, None)
    return MISSING if function is None else int(function(*arguments))


def load_driver() -> ctypes.CDLL:
    """The library that any program would get."""
    return ctypes.CDLL("libcuda.so.1")


def devices_seen(library: ctypes.CDLL) -> Answer:
    """What cuInit said, and the devices in the order of the driver."""
    code = call(library, "cuInit", ctypes.c_uint(0))
    count = ctypes.c_int()
    if code or (code := call(library, "cuDeviceGetCount", ctypes.byref(count))):
        return {"code": code, "devices": []}
    seen = []
    for ordinal in range(count.value):
        device = ctypes.c_int()
        call(library, "cuDeviceGet", ctypes.byref(device), ordinal)
        uuid = ctypes.create_string_buffer(16)
        pci = ctypes.create_string_buffer(32)
        # The second version knows slices.
        known = call(library, "cuDeviceGetUuid_v2", uuid, device) == 0
        known = known or call(library, "cuDeviceGetUuid", uuid, device) == 0
        named = call(library, "cuDeviceGetPCIBusId", pci, len(pci), device) == 0
        seen.append(
            {"uuid": uuid.raw.hex() if known else None, "pci": pci.value.decode("ascii").lower() if named else None}
        )
    return {"code": 0, "devices": seen}


# -- images


def _launch(library: ctypes.CDLL, function: ctypes.c_void_p) -> Answer:
    """Run the kernel once, and read what it wrote."""
    place = ctypes.c_void_p()
    code = call(library, "cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(4))
    if code:
        return {"memory": code}
    zero = ctypes.c_uint(0)
    call(library, "cuMemcpyHtoD_v2", place, ctypes.byref(zero), ctypes.c_size_t(4))
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(place))
    shape = [ctypes.c_uint(1)] * 6
    nothing = ctypes.c_void_p()
    code = call(library, "cuLaunchKernel", function, *shape, ctypes.c_uint(0), nothing, arguments, nothing)
    code = code or call(library, "cuCtxSynchronize")
    answer: Answer = {"launch": code}
    if not code:
        value = ctypes.c_uint()
        code = call(library, "cuMemcpyDtoH_v2", ctypes.byref(value), place, ctypes.c_size_t(4))
        answer["wrote"] = code == 0 and value.value == WRITTEN
    call(library, "cuMemFree_v2", place)
    return answer


def _by_module(library: ctypes.CDLL, image: ctypes.Array[ctypes.c_char]) -> Answer:
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    code = call(library, "cuModuleLoadData", ctypes.byref(module), image)
    if code:
        return {"load": code}
    code = call(library, "cuModuleGetFunction", ctypes.byref(function), module, b"k")
    answer = {"load": 0, "function": code, **({} if code else _launch(library, function))}
    call(library, "cuModuleUnload", module)
    return answer


def _by_library(library: ctypes.CDLL, image: ctypes.Array[ctypes.c_char]) -> Answer:
    loaded, kernel = ctypes.c_void_p(), ctypes.c_void_p()
    nothing, none = ctypes.c_void_p(), ctypes.c_uint(0)
    code = call(
        library, "cuLibraryLoadData", ctypes.byref(loaded), image, nothing, nothing, none, nothing, nothing, none
    )
    if code:
        return {"load": code}
    code = call(library, "cuLibraryGetKernel", ctypes.byref(kernel), loaded, b"k")
    answer = {"load": 0, "function": code, **({} if code else _launch(library, kernel))}
    call(library, "cuLibraryUnload", loaded)
    return answer


def load(request: Answer) -> None:
    """Load an image and launch its kernel, by each of the ways that are asked for."""
    library = load_driver()
    device, context = ctypes.c_int(), ctypes.c_void_p()
    code = call(library, "cuInit", ctypes.c_uint(0))
    code = code or call(library, "cuDeviceGet", ctypes.byref(device), request["device"])
    code = code or call(library, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    code = code or call(library, "cuCtxSetCurrent", context)
    if code:
        say({"context": code})
        return
    # PTX is text, and ends with a NUL; one behind anything else does no harm.
    with open(request["file"], "rb") as file:  # noqa: PTH123 - see above
        image = ctypes.create_string_buffer(file.read())
    for way in request["ways"]:
        say({way: (_by_module if way == "module" else _by_library)(library, image)})
    call(library, "cuDevicePrimaryCtxRelease_v2", device)


# -- compilers


def _state(library: ctypes.CDLL) -> int:
    """What cuDeviceGetCount returns: 3 as long as nobody has initialised the driver in this process."""
    return call(library, "cuDeviceGetCount", ctypes.byref(ctypes.c_int()))


def nvrtc(request: Answer) -> None:
    """Compile a kernel, and see whether the driver is initialised then."""
    driver, library = load_driver(), ctypes.CDLL(request["library"])
    major, minor = ctypes.c_int(), ctypes.c_int()
    call(library, "nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    say({"version": f"{major.value}.{minor.value}", "before": _state(driver)})
    program, source = ctypes.c_void_p(), b'extern "C" __global__ void k(unsigned *x) { *x = 42u; }'
    code = call(library, "nvrtcCreateProgram", ctypes.byref(program), source, b"k.cu", 0, None, None)
    options = [option.encode() for option in request["options"]]
    code = code or call(
        library, "nvrtcCompileProgram", program, len(options), (ctypes.c_char_p * len(options))(*options)
    )
    say({"code": code, "after": _state(driver)})


def nvjitlink(request: Answer) -> None:
    """Link PTX, and see whether the driver is initialised then."""
    driver, library = load_driver(), ctypes.CDLL(request["library"])

    def function(name: str) -> str:
        """The symbols carry the version of the interface that first had them."""
        names = [name, *(f"__{name}_{major}_{minor}" for major in (13, 12) for minor in range(9, -1, -1))]
        return next((one for one in names if hasattr(library, one)), name)

    major, minor = ctypes.c_uint(), ctypes.c_uint()
    call(library, function("nvJitLinkVersion"), ctypes.byref(major), ctypes.byref(minor))
    say({"version": f"{major.value}.{minor.value}", "before": _state(driver)})
    options = [option.encode() for option in request["options"]]
    handle, text = ctypes.c_void_p(), request["ptx"].encode() + b"\0"
    code = call(
        library,
        function("nvJitLinkCreate"),
        ctypes.byref(handle),
        ctypes.c_uint(len(options)),
        (ctypes.c_char_p * len(options))(*options),
    )
    code = code or call(
        library, function("nvJitLinkAddData"), handle, 2, text, ctypes.c_size_t(len(text)), b"k.ptx"
    )  # 2: PTX
    code = code or call(library, function("nvJitLinkComplete"), handle)
    say({"code": code, "after": _state(driver)})


# -- the process

_out = 1


def say(answer: Answer) -> None:
    """Add *answer* to what is known."""
    os.write(_out, json.dumps(answer).encode() + b"\n")


def main(arguments: list[str]) -> int:
    """Answer the request: an object with the question (`do`), the seconds to live, and what the question needs."""
    global _out  # noqa: PLW0603 - a script with one answer
    request = json.loads(arguments[0])
    # The default action of this signal ends the process inside of any call, also when nobody waits for it.
    signal.alarm(int(request["seconds"]) + 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # A library that prints must not print into the answer.
    _out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    match request["do"]:
        case "load":
            load(request)
        case "nvrtc":
            nvrtc(request)
        case "nvjitlink":
            nvjitlink(request)
        case _:
            began = time.perf_counter()
            answer = devices_seen(load_driver())
            say({**answer, "seconds": round(time.perf_counter() - began, 4)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
