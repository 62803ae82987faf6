"""Where the machine is looked at: its files, its variables, and how their paths are shown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

TYPE_CHECKING = False  # to import typing costs 8 ms
if TYPE_CHECKING:
    from pathlib import Path  # noqa: TC004 - of a field, which nobody resolves

__all__ = ["Machine"]

_NVIDIA = "0x10de"
_PATIENCE = 20.0
# Where systems keep software. What lies elsewhere may carry the names of people and projects.
_SYSTEM = ("/usr", "/opt", "/lib", "/lib64", "/bin", "/etc", "/proc", "/dev", "/nix/store", "/run/opengl-driver")
# Names that images and products give to users and hosts: they tell nobody's, and stand in paths of software.
_NOBODY = frozenset(
    ("admin", "app", "cuda", "debian", "docker", "home", "jetson", "lib", "local", "localhost", "nobody", "nvidia")
) | frozenset(("opt", "root", "ubuntu", "user", "usr", "workspace"))
_ABSOLUTE = re.compile(r"(?<![\w.~>])/[^\s:;,\"'=]*")


def _processor() -> str:
    if hasattr(os, "uname"):
        return os.uname().machine
    import platform  # noqa: PLC0415 - asks the same where there is no such call

    return platform.machine()


def _interpreter() -> str:
    """An interpreter for the child process; empty where none is known.

    What embeds Python is no interpreter, and starts as the application that it is. The files of an interpreter are often
    beside it.
    """
    # A frozen application would only start itself again.
    own = "" if getattr(sys, "frozen", False) else sys.executable or ""
    if not os.path.isabs(own):  # noqa: PTH117 - pathlib costs 5 ms
        own = ""
    if any(name in own.rsplit("/", 1)[-1].lower() for name in ("python", "pypy")):
        return own
    for name in (f"python{sys.version_info.major}.{sys.version_info.minor}", "python3"):
        path = f"{sys.base_prefix}/bin/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 - as above
            return path
    return own  # which has to show that it is one


@dataclass(frozen=True)
class Machine:
    """What a probe may look at; tests hand in trees and variables of their own.

    Attributes:
        root: In front of every absolute path.
        environ: The variables.
        prefix: Folder of the Python environment.
        paths: Where its distributions are.
        home: Folder of the user.
        user: Who that is; None to ask the system when it has to be known.
        host: Name of the machine; None likewise.
        executable: An interpreter for the child process; empty where there is none. The one that the variable
            ``CAPABLY_PROBE_PYTHON`` names goes before it.
        os_name: As `sys.platform`.
        processor: As `platform.machine`.
        libcuda: Names by which the driver's library is looked for, in order.
        libnvml: Those of NVML.
        patience: Seconds that the driver libraries have to answer. A big machine without the persistence
            daemon can take ten.
    """

    root: Path | str = "/"
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    prefix: str = sys.prefix
    paths: tuple[str, ...] = field(default_factory=lambda: tuple(path for path in sys.path if path))
    home: str = field(default_factory=lambda: os.path.expanduser("~"))  # noqa: PTH111 - never raises
    executable: str = field(default_factory=_interpreter)
    user: str | None = None
    host: str | None = None
    os_name: str = sys.platform
    processor: str = field(default_factory=_processor)
    libcuda: tuple[str, ...] = (
        "libcuda.so.1",
        "/usr/lib/wsl/lib/libcuda.so.1",
        "/usr/lib/aarch64-linux-gnu/nvidia/libcuda.so.1",
        "/usr/lib/aarch64-linux-gnu/tegra/libcuda.so.1",
    )
    libnvml: tuple[str, ...] = (
        "libnvidia-ml.so.1",
        "/usr/lib/wsl/lib/libnvidia-ml.so.1",
        "/usr/lib/aarch64-linux-gnu/nvidia/libnvidia-ml.so.1",
    )
    patience: float = _PATIENCE

    def at(self, path: str) -> Path:
        """*path* under the root."""
        from pathlib import Path  # noqa: PLC0415 - it costs 5 ms, and somebody waits for the devices

        return Path(self.place(path))

    def place(self, path: str) -> str:
        """As `at`, as text."""
        return f"{str(self.root).rstrip('/')}/{path.lstrip('/')}"

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return os.path.exists(self.place(path))  # noqa: PTH110 - as above

    def read(self, path: str) -> str | None:
        """A small text file of the system; None where it cannot be read."""
        try:
            with open(self.place(path), "rb") as file:  # noqa: PTH123 - see `at`
                return file.read(65536).decode("utf-8", "replace").replace("\0", "\n")
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """What a folder holds, sorted; nothing where it cannot be listed."""
        try:
            return sorted(os.listdir(self.place(path)))  # noqa: PTH208 - as above
        except OSError:
            return []

    # -- what kind of machine it is

    @property
    def wsl(self) -> bool:
        """It is the Windows Subsystem for Linux."""
        return "microsoft" in (self.read("/proc/sys/kernel/osrelease") or "").lower()

    @property
    def jetson(self) -> bool:
        """It is a Tegra system."""
        return "nvidia,tegra" in (self.read("/proc/device-tree/compatible") or "")

    @property
    def container(self) -> str | None:
        """What kind of container it is, by the marks that the runtimes leave."""
        if self.environ.get("KUBERNETES_SERVICE_HOST"):
            return "kubernetes"
        for path, kind in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
            if self.exists(path):
                return kind
        if self.environ.get("APPTAINER_CONTAINER") or self.environ.get("SINGULARITY_CONTAINER"):
            return "apptainer"
        marks = self.read("/proc/1/cgroup") or ""
        found = re.search(r"docker|kubepods|containerd|libpod|lxc", marks)
        return {"kubepods": "kubernetes", "libpod": "podman"}.get(found[0], found[0]) if found else None

    @property
    def os_release(self) -> str | None:
        """Distribution and version."""
        fields = dict(re.findall(r'(?m)^(ID|VERSION_ID)="?([^"\n]*)"?$', self.read("/etc/os-release") or ""))
        return " ".join(fields[key] for key in ("ID", "VERSION_ID") if key in fields) or None

    # -- the driver, as the kernel shows it

    @property
    def on_bus(self) -> int | None:
        """NVIDIA GPUs on the PCI bus: display controllers of that vendor; None where a sandbox hides the bus."""
        folder = "/sys/bus/pci/devices"
        if not self.exists(folder):
            return None
        return sum(
            (self.read(f"{folder}/{name}/vendor") or "").strip() == _NVIDIA
            and (self.read(f"{folder}/{name}/class") or "").startswith("0x03")
            for name in self.names(folder)
        )

    @property
    def kernel_module(self) -> str | None:
        """The release of the loaded kernel module; empty where it is loaded and does not say."""
        text = self.read("/proc/driver/nvidia/version")
        if text is not None:
            found = re.search(r"(?m)^NVRM version:.*?\s([0-9]{3,4}\.[0-9]+(?:\.[0-9]+)?)\b", text)
            return found[1] if found else ""
        version = self.read("/sys/module/nvidia/version")
        if version is not None:
            return version.strip()
        return "" if self.exists("/sys/module/nvidia") else None

    @property
    def nodes(self) -> bool:
        """Device files of GPUs are there, as this kind of system has them."""
        if self.wsl:
            return self.exists("/dev/dxg")
        if any(re.fullmatch(r"nvidia[0-9]+", name) for name in self.names("/dev")):
            return True
        return self.jetson and any(self.exists(f"/dev/{name}") for name in ("nvhost-gpu", "nvgpu", "nvmap"))

    # -- paths

    def shown(self, path: str) -> str:
        """*path* as a record may hold it: without names of people and projects.

        The Python environment becomes ``<env>``; where systems keep software stays; anything else, the user's
        folder included, is shortened to its last part.
        """
        plain = path
        if str(self.root) != "/" and (plain == str(self.root) or plain.startswith(f"{self.root}/")):
            plain = plain[len(str(self.root)) :] or "/"
        for folder, name in ((self.prefix, "<env>"), (self.environ.get("CONDA_PREFIX", ""), "<conda>")):
            if len(folder) > 1 and _below(plain, folder):
                return name + plain[len(folder.rstrip("/")) :]
        if any(_below(plain, folder) for folder in _SYSTEM):
            return plain
        if not plain.startswith("/"):
            return plain
        if len(self.home) > 1 and _below(plain, self.home):
            inner = plain[len(self.home.rstrip("/")) :].strip("/").split("/")
            return "/".join(("~", *(("...",) if len(inner) > 1 else ()), *inner[-1:])).rstrip("/")
        return "<elsewhere>/" + plain.rstrip("/").rsplit("/", 1)[-1]

    def shown_text(self, text: str) -> str:
        """*text* with each absolute path in it as `shown`."""
        # In a list of paths a space may belong to one, so that only what separates them ends it.
        return "".join(
            self.shown(part) if part.startswith("/") else _ABSOLUTE.sub(lambda match: self.shown(match[0]), part)
            for part in re.split(r"([:;,=\"']|\s+(?=/))", text)
        )

    def hidden(self, text: str) -> str:
        """*text* without the names of the user and of the machine."""
        for pattern, mark in self._names:
            text = pattern.sub(mark, text)
        return text

    @property
    def _whoami(self) -> str:
        """The user by the list of local ones: to ask the system could mean to ask a server."""
        uid = str(os.getuid()) if hasattr(os, "getuid") else ""
        lines = (line.split(":") for line in (self.read("/etc/passwd") or "").splitlines())
        return next((fields[0] for fields in lines if fields[2:3] == [uid]), "")

    @cached_property
    def _names(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        environ = self.environ
        node = os.uname().nodename if self.host is None and hasattr(os, "uname") else self.host or ""
        hosts = {node, environ.get("HOSTNAME", "")}
        names = {
            "<user>": {os.path.basename(self.home.rstrip("/")), self._whoami if self.user is None else self.user}  # noqa: PTH119 - a name is wanted
            | {environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")},
            "<host>": hosts | {name.partition(".")[0] for name in hosts},
        }
        found = []
        for mark, candidates in names.items():
            telling = [n for n in candidates if len(n) > 1 and not n.isdigit() and n.lower() not in _NOBODY]
            if telling:
                words = "|".join(re.escape(name) for name in sorted(telling, key=len, reverse=True))
                found.append((re.compile(rf"(?i)(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])"), mark))
        return tuple(found)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
