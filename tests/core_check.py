"""What the core has to do without any package, on any Python: run by `tools/pythons.py` and `test_core.py`.

    python tests/core_check.py FOLDER

FOLDER holds the files of `core_files.write`. Prints a line for each thing that was tried; ends with 1 where one is not as
it should be. It uses the standard library and capably, nothing else.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import subprocess
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import capably
from capably.version import CudaVersion

COMPRESSIONS = {"none": None, "lz4": None, "zstd": "zstandard"}
"""Of the wheels, and the package without which one cannot be looked into. LZ4 that is small is read without its package."""
TARS = {"gz": None, "bz2": None, "xz": None, "zst": "zstandard"}
TARGETS = ["compute_80", "sm_80", "sm_90"]
OPTIONAL = {"isal"}
"""What is taken at once where it is there."""
EXTRA = "capably[cli]"
_wrong: list[str] = []


def tell(name: str, found: object, wanted: object) -> None:
    """One line."""
    if found == wanted:
        print(f"  {name}: {found}")
    else:
        _wrong.append(name)
        print(f"  WRONG {name}: {found!r}, wanted {wanted!r}")


def missing(package: str | None) -> bool:
    return package is not None and find_spec(package) is None


def modules() -> None:
    """Each module of the core is imported, and brings the standard library only."""
    before = set(sys.modules)
    names = [one.name for one in pkgutil.walk_packages(capably.__path__, "capably.") if in_core(one.name)]
    for name in names:
        importlib.import_module(name)
    tops = {name.partition(".")[0] for name in set(sys.modules) - before}
    tell(f"{len(names)} modules bring packages", sorted(tops - {"capably"} - sys.stdlib_module_names - OPTIONAL), [])


def in_core(name: str) -> bool:
    return not name.startswith(("capably.cli", "capably.__main__", "capably.integrations.pytest"))


def values() -> None:
    """Texts that are members print as texts, on 3.10 as well."""
    from capably.gpu_names import named_devices

    tell("f-string of an outcome", f"{capably.Outcome.RUNS:>5}|{capably.Outcome.RUNS}", " runs|runs")
    try:
        named_devices(["no such GPU"])
    except capably.UnknownNameError as error:
        tell("notes of an error", len(error.__notes__), 1)


def scans(folder: Path) -> None:
    """Wheels of each compression are read, and judged as far as they are."""
    old, new = (capably.Device(capably.ComputeCapability(major, 0)) for major in (7, 9))
    driver = capably.Driver(cuda=CudaVersion(12, 8))
    for compression, package in COMPRESSIONS.items():
        artifact = capably.scan(folder / f"{compression}-1.0-py3-none-any.whl")
        held = {str(image.target) for group in artifact.libraries[0].fatbins for image in group.fatbin.images}
        tell(f"{compression} wheel, targets", sorted(held), TARGETS)
        said = [(found.code, EXTRA in found.message) for found in artifact.findings]
        tell(f"{compression} wheel, findings", said, [("codec-missing", True)] if missing(package) else [])
        tell(
            f"{compression} wheel on 9.0",
            str(capably.judge(artifact, new, driver).coverage),
            "unknown" if missing(package) else "full",
        )
        tell(f"{compression} wheel on 7.0", str(capably.judge(artifact, old, driver).coverage), "none")
    for ending, package in TARS.items():
        try:
            found = len(capably.scan(folder / f"code.tar.{ending}").libraries)
        except capably.ScanError as error:
            tell(f"tar.{ending}", (error.problem, EXTRA in error.problem), (error.problem, missing(package)))
        else:
            tell(f"tar.{ending}, libraries", found, 1 - missing(package))
    inner = capably.scan(folder / "inner.zip")
    said = [(found.code, EXTRA in found.message) for found in inner.findings if found.code != "no-gpu-code"]
    tell("zip with a tar.zst, findings", said, [("unreadable-file", True)] if missing("zstandard") else [])


def gate() -> None:
    """A requirement that is met, one that is not, and what this machine says."""
    os.environ["CAPABLY_GPUS"] = "sm_90"
    tell("require >=7.5 of sm_90", capably.require(">=7.5", policy="override").decided_by, "CAPABLY_GPUS")
    try:
        capably.require(">=10.0", feature="Mine", policy="override")
        tell("require >=10.0 of sm_90", "met", "refused")
    except capably.IncompatibleError as error:
        tell("require >=10.0 of sm_90 says what to do", "What to do:" in str(error), True)
    del os.environ["CAPABLY_GPUS"]
    tell("supports, asked of this machine", type(capably.supports(">=7.5")), bool)


def command() -> None:
    """The command without its extra: one line, and 2."""
    if find_spec("click") is not None:
        return
    flags = ["-I", "-S"] if sys.flags.no_site else ["-I"]
    call = f"import sys; sys.path[:0] = {[str(Path(capably.__file__).parents[1])]!r}; from capably.cli import program; program()"
    done = subprocess.run(
        [sys.executable, *flags, "-c", call, "check", "x"], capture_output=True, text=True, check=False
    )
    tell(
        "capably check", (done.returncode, done.stdout, done.stderr.count("\n"), EXTRA in done.stderr), (2, "", 1, True)
    )


def main() -> int:
    print(
        f"Python {platform.python_version()}, with {', '.join(sorted(one.name for one in distributions())) or 'nothing'}:"
    )
    modules()
    values()
    scans(Path(sys.argv[1]))
    gate()
    command()
    return min(len(_wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
