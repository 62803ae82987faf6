"""What becomes of GPU code on a GPU, told a second time: from NVIDIA's documents and compilers, never from our tables.

It shares no code and no data with the engine. Where a fact comes from stands beside it; `test_oracle.py` holds what the
compilers say against ptxas and nvlink of three toolkits, and the engine against all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

RUNS, COMPILES, UNKNOWN, FAILS = "runs", "compiles", "unknown", "fails"
WORST = (RUNS, COMPILES, UNKNOWN, FAILS).index

# Machine code by its target, and the devices that load it: CUDA C++ Programming Guide, Binary Compatibility (one major
# version, not a lower minor one), Programming Guide 13.4, table of family-specific targets; nvlink 13.5. With `f` alike.
MACHINE_CODE = """
30: 30 35 37 / 35: 35 37 / 37: 37 / 32: 32
50: 50 52 / 52: 52 / 53: 53
60: 60 61 / 61: 61 / 62: 62
70: 70 75 / 72: 72 / 75: 75
80: 80 86 89 / 86: 86 89 / 87: 87 / 88: 88 / 89: 89
90: 90
100: 100 103 107 / 103: 103 107 / 107: 107 / 101: 101
110: 110
120: 120 121 / 121: 121
"""
# Between Tegra and desktop parts of one major version: kept apart by the guide up to CUDA 12.9; nvlink from 13.2 on
# accepts the pairs, and no device has shown it.
ACROSS_TEGRA = """
30: 32 / 32: 35 37
50: 53 / 52: 53
60: 62 / 61: 62
70: 72 / 72: 75
80: 87 88 / 86: 87 88 / 87: 88 89 / 88: 89
"""
# CUDA 13.0 release notes: sm_101 was renamed to sm_110.
RENAMED = {101: 110}
# Family-specific PTX (`f`): ptxas 12.9 and 13.5.
FAMILY_PTX = "100: 100 103 107 / 103: 103 107 / 107: 107 / 101: 101 110 / 110: 101 110 / 120: 120 121 / 121: 121"
TEGRA = {32, 53, 62, 72, 87, 88}


def _rows(text: str) -> dict[int, set[int]]:
    pairs = (row.split(":") for line in text.strip().splitlines() for row in line.split("/"))
    return {int(target): {int(device) for device in devices.split()} for target, devices in pairs}


LOADS, MIXED, FAMILY = _rows(MACHINE_CODE), _rows(ACROSS_TEGRA), _rows(FAMILY_PTX)
DEVICES = sorted(LOADS)

# The first and the last toolkit that has a target: LLVM's NVPTXTargetParser.def, nvcc --help of each toolkit; (0, 0) is
# older than CUDA 10.0, (99, 9) not dropped yet. The numbers are those of `sm_`; of each from 10.0 on `a` and `f` too.
OLD, NEW = (0, 0), (99, 9)
MADE_BY = {
    **dict.fromkeys((30, 32), (OLD, (10, 2))),
    **dict.fromkeys((35, 37), (OLD, (11, 8))),
    **dict.fromkeys((50, 52, 53, 60, 61, 62, 70, 72), (OLD, (12, 9))),
    75: (OLD, NEW),
    80: ((11, 0), NEW),
    86: ((11, 1), NEW),
    87: ((11, 4), NEW),
    88: ((13, 0), NEW),
    89: ((11, 8), NEW),
    90: ((11, 8), NEW),
    100: ((12, 8), NEW),
    101: ((12, 8), (12, 9)),
    103: ((12, 9), NEW),
    107: ((13, 4), NEW),
    110: ((13, 0), NEW),
    120: ((12, 8), NEW),
    121: ((12, 9), NEW),
}
LATER = {"90a": (12, 0), "100f": (12, 9), "101f": (12, 9), "120f": (12, 9)}  # than the plain target


def toolkits_of(target: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and the last toolkit that has the target."""
    first, last = MADE_BY[int(target.rstrip("af"))]
    return LATER.get(target, first), last


TARGETS = sorted(
    [*map(str, MADE_BY), "90a", *(f"{number}{suffix}" for number in MADE_BY if number >= 100 for suffix in "af")]
)

# CUDA release notes, table of toolkits and drivers; R565 by nvidia-smi; R615 by CUTLASS 4.8; R620 by the redistributable
# of 2026-11-04. PTX ISA: its release notes, and ptxas of each toolkit.
DRIVERS = """
410 10.0 6.3 / 418 10.1 6.4 / 440 10.2 6.5 / 450 11.0 7.0 / 455 11.1 7.1 / 460 11.2 7.2 / 465 11.3 7.3 / 470 11.4 7.4
495 11.5 7.5 / 510 11.6 7.6 / 515 11.7 7.7 / 520 11.8 7.8 / 525 12.0 8.0 / 530 12.1 8.1 / 535 12.2 8.2 / 545 12.3 8.3
550 12.4 8.4 / 555 12.5 8.5 / 560 12.6 8.5 / 565 12.7 8.6 / 570 12.8 8.7 / 575 12.9 8.8 / 580 13.0 9.0 / 590 13.1 9.1
595 13.2 9.2 / 610 13.3 9.3 / 615 13.4 9.4 / 620 13.5 9.5
"""


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


BRANCHES = [
    (int(branch), _version(cuda), _version(ptx))
    for line in DRIVERS.strip().splitlines()
    for branch, cuda, ptx in (row.split() for row in line.split("/"))
]

# The first branch that serves a device: release notes and chip lists of the drivers (open-gpu-kernel-modules for 8.9 and
# later; CUTLASS 4.8 for 10.7); the older choice where none was found. Tegra parts have drivers of their own.
FIRST = {
    30: 295, 35: 304, 37: 331, 50: 331, 52: 340, 60: 361, 61: 367, 70: 384, 75: 410, 80: 450, 86: 455, 89: 520, 90: 520,
    100: 570, 103: 580, 107: 615, 110: 580, 120: 570, 121: 580,
}  # fmt: skip
# ptxas 12.9 has these targets, and the sources of R575 know the chips: of libcuda alone that is the measure.
KNOWN_BY_LIBCUDA = {103: 575, 121: 575}
# CUDA Toolkit, Driver, and Architecture Matrix: R470 was the last for Kepler, R580 for Maxwell, Pascal and Volta; the
# Windows releases of a branch count on until the next one.
LAST = {**dict.fromkeys((30, 35, 37), 494), **dict.fromkeys((50, 52, 60, 61, 70), 589)}
# Reports (ollama#16449, mlx#2407, onnxruntime#26282): zstd is read from R550 on, which is CUDA 12.4.
ZSTD = (550, (12, 4))


@dataclass(frozen=True)
class Code:
    """Machine code or PTX for a target such as ``90a``; what is None is not known."""

    target: str
    ptx: bool = False
    isa: tuple[int, int] | None = None
    toolkit: tuple[int, int] | None = None
    code_version: tuple[int, int] | None = None
    zstd: bool = False

    @property
    def number(self) -> int:
        """That of the target."""
        return int(self.target.rstrip("af"))

    @property
    def suffix(self) -> str:
        """That of the target."""
        return self.target.lstrip("0123456789")


@dataclass(frozen=True)
class By:
    """A driver by its release, its CUDA version, or both; by neither it is some driver that serves the device."""

    release: int | None = None
    cuda: tuple[int, int] | None = None

    @property
    def known(self) -> bool:
        """Something is said of it."""
        return self.release is not None or self.cuda is not None

    def libcuda(self) -> tuple[float, tuple[int, int] | None]:
        """The branch of the part that programs load, and its CUDA version: None for one older than CUDA 10.0."""
        if self.release is not None:
            rows = [row for row in BRANCHES if row[0] <= self.release]
            own = rows[-1][1] if rows else None
            if self.cuda in (None, own):
                return self.release, own
        assert self.cuda is not None
        rows = [row for row in BRANCHES if row[1] <= self.cuda]
        return (rows[-1][0] if rows else 409), self.cuda


def on_target(code: Code, device: int) -> str:
    """By the target alone."""
    if code.ptx:
        return _ptx(code, device)
    same = code.number == device
    if not same and RENAMED.get(code.number, code.number) == RENAMED.get(device, device):
        return UNKNOWN
    if same:
        return RUNS
    if code.suffix == "a":
        return FAILS
    if device in LOADS[code.number]:
        return RUNS
    if device not in MIXED.get(code.number, ()):
        return FAILS
    newest = code.toolkit
    if newest is None:
        bounds = [toolkits_of(code.target)[1]]
        if code.code_version == (1, 7):  # cuobjdump and ptxas: the ABI of CUDA 12.9 and older
            bounds.append((12, 9))
        newest = min(bounds)
    return FAILS if newest < (13, 0) else UNKNOWN


def _ptx(code: Code, device: int) -> str:
    if code.suffix == "f":
        return COMPILES if device in FAMILY[code.number] else FAILS
    if code.suffix == "a":
        return COMPILES if RENAMED.get(code.number, code.number) == RENAMED.get(device, device) else FAILS
    # One piece of hardware has had two numbers: where they disagree, nothing is proved.
    old = code.number <= device
    new = RENAMED.get(code.number, code.number) <= RENAMED.get(device, device)
    return (COMPILES if old else FAILS) if old is new else UNKNOWN


def made_from(code: Code) -> tuple[int, int]:
    """The oldest toolkit that can have made machine code."""
    if code.toolkit is not None:
        return code.toolkit
    first = toolkits_of(code.target)[0]
    # ptxas: ABI 8, which entries call 1.8, came with 13.0, and with the first targets of 10.0 and later.
    return max(first, (13, 0)) if code.code_version == (1, 8) and code.number < 100 else first


def by_driver(code: Code, device: int, by: By) -> str:
    """By the driver, and by what it has to do for the code."""
    if not by.known:
        return _any_driver(code, device)
    branch, cuda = by.libcuda()
    told = [RUNS]
    if device in TEGRA:
        cuda = by.cuda  # the number of such a driver says nothing
        if code.zstd:
            told.append(UNKNOWN if cuda is None else RUNS if cuda >= ZSTD[1] else FAILS)
    else:
        old = by.release is not None and by.release < FIRST.get(device, 0)
        if old or branch < KNOWN_BY_LIBCUDA.get(device, FIRST.get(device, 0)):
            told.append(FAILS)
        if max(by.release or 0, branch) > LAST.get(device, 10_000):
            told.append(FAILS)
        if code.zstd and branch < ZSTD[0]:
            told.append(FAILS)
    if code.ptx:
        told.append(_isa(code, cuda, by, device))
    elif device in TEGRA and cuda is None:
        pass
    elif made_from(code)[0] > (cuda or (10, 0))[0]:
        told.append(UNKNOWN)  # CUDA Compatibility guide: minor version compatibility ends at the major version
    return max(told, key=WORST)


def _isa(code: Code, cuda: tuple[int, int] | None, by: By, device: int) -> str:
    if code.isa is None or (device in TEGRA and cuda is None):
        return UNKNOWN
    rows = [row for row in BRANCHES if cuda is not None and row[1] <= cuda]
    accepted = rows[-1][2] if rows else None
    if accepted is not None and code.isa <= accepted:
        return COMPILES
    # Older than CUDA 10.0, or newer than 13.5: what such a driver compiles is not in the release notes that were read.
    newer = (cuda or OLD) > BRANCHES[-1][1] or by.libcuda()[0] > BRANCHES[-1][0]
    return UNKNOWN if newer or (accepted is None and code.isa < BRANCHES[0][2]) else FAILS


def _any_driver(code: Code, device: int) -> str:
    """What all drivers that serve the device do."""
    first = FIRST.get(device)
    told = [RUNS]
    if code.zstd:
        told.append(RUNS if first is not None and first >= ZSTD[0] else UNKNOWN)
    if code.ptx:
        oldest = [row for row in BRANCHES if first is not None and row[0] <= first]
        last = [row for row in BRANCHES if row[0] <= LAST.get(device, 10_000)][-1]
        if code.isa is not None and oldest and code.isa <= oldest[-1][2]:
            told.append(COMPILES)
        elif code.isa is not None and device in LAST and last[2] < code.isa <= BRANCHES[-1][2]:
            told.append(FAILS)
        else:
            told.append(UNKNOWN)
    return max(told, key=WORST)


def expected(code: Code, device: int, by: By) -> str:
    """What becomes of the code."""
    return max((on_target(code, device), by_driver(code, device, by)), key=WORST)
