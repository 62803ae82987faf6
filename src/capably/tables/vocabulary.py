"""The words that tables are written in, each with its meaning: the reader refuses every other.

The rows of ``dialects.json`` are a small language of their own, which `capably.archlist` reads:

- `DIALECT_RULES` are the switches that the field ``rules`` of a row may turn on.
- `DIALECT_LISTS` are the names that its field ``lists`` may define, each with a value of its form (see `LIST_FORMS`).
- An entry of a list may end in ``@FROM``, ``@FROM-BEFORE`` or ``@-BEFORE``: it holds with these toolkits only, from the
  first CUDA version on and before the second. ``8.6@11.1 8.6+PTX@11.1-11.8`` is 8.6 from CUDA 11.1 on, and its PTX too
  with CUDA 11.1 to 11.7.
- ``names`` maps a word to the entries that the tool puts in its place: joined by ``;`` for ``torch-python``; for
  ``torch-cmake`` the machine code, ``|``, and what PTX is made of where ``+PTX`` is asked for.
"""

from __future__ import annotations

__all__ = [
    "ALTERNATIVE_CHOOSERS",
    "CLOUDS",
    "COMPILERS",
    "DIALECT_LISTS",
    "DIALECT_RULES",
    "FAMILY_KINDS",
    "HOSTS",
    "KERNELS",
    "LIST_FORMS",
    "MESSAGE_SUBJECTS",
    "NAME_ENDINGS",
    "PRODUCT_CLASSES",
    "RUNTIMES",
]

FAMILY_KINDS = {
    "major": "a major version: code without suffix carries over, there are no `f` targets",
    "family": "a family of NVIDIA's tables: there are `f` targets for it",
}
RUNTIMES = {
    "library": "a shared library, by its name",
    "distribution": "a distribution, by its name and version",
}
PRODUCT_CLASSES = {
    "data-center": "for servers",
    "workstation": "for professional workstations",
    "geforce": "for consumers",
    "jetson": "a module or kit with a Tegra part",
    "system": "a computer that is sold as one, with its GPU",
}
CLOUDS = {
    "aws": "Amazon EC2",
    "azure": "Microsoft Azure",
    "gcp": "Google Cloud",
    "oci": "Oracle Cloud",
    "lambda": "Lambda",
    "alibaba": "Alibaba Cloud",
    "tencent": "Tencent Cloud",
}
HOSTS = {"x86_64": "Intel and AMD", "aarch64": "Arm, 64 bit"}
KERNELS = {
    "prebuilt": "the package brings machine code or PTX",
    "run-time": "kernels are compiled when they are first used",
    "both": "some are brought, some compiled",
}
COMPILERS = {"nvcc": "the compiler driver", "nvrtc": "the library", "ptxas": "the assembler"}
FILE_ROLES = {
    "profiler": "it measures what the product does",
    "test": "it is there to test the product",
    "link-input": "a linker takes it",
    "compiler": "it makes GPU code",
}
RUN_TIME_COMPILERS = {
    **COMPILERS,
    "nvvm": "the library that makes PTX out of LLVM IR",
    "tileiras": "the assembler of Tile IR",
    "llvm": "a compiler of its own, by LLVM",
    "driver": "none but the driver: the package writes PTX itself",
}
RUN_TIME_RULES = {
    "own": "machine code for the number of the GPU",
    "limited": "machine code for the number of the GPU, or for the one of `limits` if that is lower",
    "driver": "PTX, which the driver compiles: as for a driver of the CUDA version of `limits`, for its capability at least",
    "own-or-ptx": "machine code for the number of the GPU where the compiler knows it, else PTX for 7.5 or the GPU",
}
ALTERNATIVE_CHOOSERS = {
    "cuda-version": "the CUDA version of the installed torch",
    "capability": "the compute capability of the device, by `choices`",
}
MESSAGE_SUBJECTS = {
    "architecture": "which GPUs code is for",
    "build": "what was compiled, or is to be",
    "driver": "the driver and its version",
    "installation": "what is installed, and whether it fits together",
    "program": "the program itself: its memory, its arguments",
    "visibility": "which GPUs the process sees",
}

NAME_ENDINGS = {"+Tegra": "the parts of that architecture for Tegra", "+Tesla": "those for servers"}
DIALECT_RULES: dict[str, dict[str, str]] = {
    "torch-python": {
        "native": "`native` looks for GPUs, as an empty list does",
        "plain-build-list": "detection fails where torch's own list of targets has one with a suffix",
    },
    "torch-cmake": {
        "one-digit-major": "a number has one digit before the dot",
        "family": "the suffix `f` is known beside `a`",
        "clamp-above": "a GPU above the limit becomes the limit and its PTX",
    },
    "cmake": {
        "all": "`all` and `all-major` stand for what nvcc knows",
        "native": "`native` looks for GPUs",
        "native-unseen": "`native` without a GPU is handed to nvcc",
        "arch-specific": "the suffix `a` is known",
        "family": "the suffixes `a` and `f` are known",
        "unchecked": "entries are handed to nvcc as they are",
    },
    "flashinfer": {
        "unread": "the variable is not read at all",
        "instead:torch-python": "TORCH_CUDA_ARCH_LIST decides, as torch reads it",
        "adds-suffix": "a number in `suffixed` gets the suffix `a`",
        "normalised": "a number without suffix gets the one that nvcc and `takes` decide",
        "sorted": "targets are in rising order",
        "one-12": "all of 12.x become 12.0, with `f` where nvcc knows it",
        "maybe-107": "some modules take 100f in the place of 107a",
        "needs-107": "10.7 becomes 100f where nvcc does not know it",
    },
    "nvcc-arch": {
        "all": "`all` and `all-major` stand for what nvcc knows",
        "native": "`native` looks for GPUs",
        "plain-too": "a target with a suffix brings PTX without it",
    },
    "nvcc-gencode": {
        "all": "`all` and `all-major` stand for what nvcc knows",
        "native": "`native` looks for GPUs",
        "plain-too": "a target with a suffix brings PTX without it",
        "own-family": "PTX and machine code of different families are refused only where one has `f`",
    },
    "triton": {
        "unread": "the variable is not read at all",
        "empty-is-unset": "an empty variable counts as not set",
    },
    "flash-attn": {"unread": "the variable is not read at all"},
    "cupy": {},
    "bitsandbytes": {},
}

# Forms of the values of `lists`: what an entry, less what follows `@`, looks like.
_NUMBER = r"[1-9][0-9]?\.[0-9]"
LIST_FORMS = {
    "entries": rf"{_NUMBER}[af]?(?:\+PTX)?",  # 9.0a 8.6+PTX
    "names": r"[A-Z][a-z]+",  # Kepler Maxwell: to be looked up in `names`
    "number": _NUMBER,  # 7.5
    "span": rf"{_NUMBER}(?:-{_NUMBER})?",  # from a number on, or up to the second: 9.0-10.0
    "wildcards": r"[1-9][0-9]?\.[0-9x]",  # a number, or all of a major version: 12.x
    "numerals": r"[1-9][0-9]{1,2}",  # 80 120
    "numeral-list": r"[1-9][0-9]{1,2}(?:;[1-9][0-9]{1,2})*",  # 80;90, as a user would write it
    "targets": r"(?:sm|compute)_[1-9][0-9]{1,2}[af]?",
}
# What the names in `lists` are, and the form of their values.
DIALECT_LISTS: dict[str, dict[str, tuple[str, str]]] = {
    "torch-python": {},
    "torch-cmake": {
        "Common": ("what the word stands for", "entries"),
        "All": ("what the word stands for", "names"),
        "limit": ("the highest number that detection takes", "number"),
    },
    "cmake": {
        "all": ("what the word stands for with toolkits whose nvcc does not know it", "number"),
        "all-major": ("what the word stands for with toolkits whose nvcc does not know it", "number"),
    },
    "flashinfer": {
        "suffixed": ("numbers that get the suffix `a`", "span"),
        "takes": ("numbers without suffix, and the toolkit that FlashInfer asks for before it takes them", "wildcards"),
    },
    "nvcc-arch": {"default": ("what nvcc compiles for where nothing is asked", "number")},
    "nvcc-gencode": {"default": ("what nvcc compiles for where nothing is asked", "number")},
    "triton": {"suffixed": ("numbers that get the suffix `a`", "span")},
    "flash-attn": {
        "built": ("the numbers that it knows; it drops all others", "numerals"),
        "default": ("the list where none is set", "numeral-list"),
    },
    "cupy": {
        "default": ("what it compiles for where nothing is asked", "targets"),
        "ptx-only": ("numbers that get PTX in the place of machine code", "span"),
    },
    "bitsandbytes": {},
}
