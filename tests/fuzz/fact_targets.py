"""The readers of everything that is not GPU code, and what the commands make of what they read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import build
import fact_inputs
from mutation import chosen_by, scratch_directory, target

from capably.audit import audit
from capably.cli.app import cli
from capably.cli.console import explain as tell
from capably.cli.environment import Environment
from capably.cli.installed import read_installed
from capably.cli.policy import read_policy
from capably.doctor import diagnose
from capably.errors import CapablyError, PolicyError, RecordError
from capably.facts import Artifact, ArtifactKind, System
from capably.gate import Policy, decide
from capably.logs import explain
from capably.probe import Machine, system
from capably.probe.driver_process import Asking
from capably.probe.fleet import look
from capably.probe.record import dumps, loads
from capably.report import audit as audit_report
from capably.report.doctor import doctor_document, doctor_text
from capably.report.explain import log_document, log_text
from capably.report.layout import Style
from capably.report.machine import dumps as document_text
from capably.requirement import Requirement
from capably.scanner import scan
from capably.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LARGEST_ENTRY = 1 << 20


def is_fit_to_print(text: str) -> None:
    """Nothing that a terminal or whoever reads a log obeys."""
    for line in text.split("\n"):
        assert line.isprintable(), f"a character that does something: {line!a}"
    assert "\n::" not in f"\n{text}", "a line that is a command"


@contextlib.contextmanager
def streams() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """What is printed, which has to be fit for it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err
    is_fit_to_print(err.getvalue())


# Records of machines


@target(
    lambda: [text.encode() for text in fact_inputs.machines()],
    RecordError,
    UnicodeDecodeError,
    compose=fact_inputs.records,
    torn=6,
    cost=2,
)
def records(data: bytes) -> bool:
    found = loads(data.decode())
    assert loads(dumps(found)) == found
    return True


@cache
def scratch_file(name: str) -> Path:
    return scratch_directory() / name


@cache
def small_library() -> Path:
    """A library with code for three GPUs."""
    path = scratch_file("libsmall.so")
    path.write_bytes(
        build.library(
            build.fatbin([build.sass("sm_80"), build.sass("sm_90a", compression="zstd"), build.ptx_entry("compute_90")])
        )
    )
    return path


_QUESTIONS = (
    ("doctor",), ("doctor", "--json"), ("doctor", "-v", "--gpu", "H100"), ("doctor", "--save", "-"), ("plan",), ("plan", "--json", "--gpu", "T4"),
    ("plan", "--for", "torch"), ("plan", "--for", "flashinfer", "--shell"), ("plan", "--read", "8.0;9.0+PTX", "--for", "torch"), ("check",),
    ("check", "--json", "--fail-on", "partial"), ("explain", "CUDA error: no kernel image is available"), ("explain", "FlashInfer requires sm75+", "--json"),
    ("explain", "nvcc fatal   : Unsupported gpu architecture 'compute_120a'"), ("explain", "CUDA error 35"), ("explain", "no kernel image found; undefined symbol: cuInit"),
)  # fmt: skip


@target(lambda: [text.encode() for text in fact_inputs.machines()], compose=fact_inputs.records, torn=6, cost=10)
def recorded_machines(data: bytes) -> bool:
    """What a command that is given the record says."""
    file = scratch_file("machine.json")
    file.write_bytes(data)
    question = chosen_by(data).choice(_QUESTIONS)
    command = [*question, "--system", str(file)]
    if question[0] == "check":
        command += [str(small_library()), "--no-cache"]
    return answers(command)


def answers(command: list[str]) -> bool:
    """Whether a command answers; it may refuse by an error that is its own."""
    with streams() as (out, _):
        try:
            code = cli.main(command, prog_name="capably", standalone_mode=False)
        except CapablyError as error:
            assert str(error)
            return False
    assert code in (0, 1, 3), f"exit code {code}"
    if "--json" in command or "--save" in command:
        json.loads(out.getvalue())
    else:
        is_fit_to_print(out.getvalue())
    return True


# Logs


@cache
def machines() -> list[System]:
    """Recorded machines, and odd ones that are well-formed all the same."""
    found = [loads(text) for text in fact_inputs.machines()]
    for data in fact_inputs.replayed(fact_inputs.records, 400):
        with contextlib.suppress(RecordError):
            found.append(loads(data.decode()))
    return found


@cache
def artifacts() -> tuple[Artifact, ...]:
    whole = scan(small_library())
    named = {"torch": "2.9.0+cu128", "flashinfer-python": "0.2.5", "vllm": "0.11.0", "nvidia-cublas-cu12": "12.8.4.1"}
    return tuple(
        replace(whole, path=name, kind=ArtifactKind.DISTRIBUTION, name=name, version=named[name]) for name in named
    )


@target(lambda: [text.encode() for text in fact_inputs.messages()], compose=fact_inputs.logs, torn=6, cost=6)
def logs(data: bytes) -> bool:
    """What a log means, by the facts of a machine."""
    rng = chosen_by(data)
    here = rng.choice([None, *machines()])
    found = explain(data, here, rng.choice(((), artifacts())) if here is not None else ())
    assert all(one.answer is None or one.answer in {judged.cause.code for judged in one.causes} for one in found)
    if rng.randrange(2):
        json.loads(document_text(log_document(found)))
    else:
        is_fit_to_print(log_text(found, Style(rng.choice((60, 100)))))
    return bool(found)


# Policies


@target(
    lambda: fact_inputs.replayed(fact_inputs.policies, 20), PolicyError, compose=fact_inputs.policies, torn=6, cost=5
)
def policies(data: bytes) -> bool:
    """What a wheel lacks by a policy."""
    file = scratch_file("pyproject.toml")
    file.write_bytes(data)
    try:
        policy = read_policy(file, required=True)
    except PolicyError as error:
        with streams():
            tell(error)
        raise
    assert policy is not None
    whole, rng = artifacts()[0], chosen_by(data)
    if rng.randrange(4):
        return True  # what is read is what is tried; to judge by it takes most of the time
    found = [
        (
            "x.whl",
            audit(
                whole,
                policy,
                size_bytes=rng.choice((None, 0, 1 << 30)),
                baseline=rng.choice((None, None, None, (whole, 9))),
            ),
        )
    ]
    match rng.randrange(5):
        case 0:
            json.loads(document_text(audit_report.audit_document(found, "p.toml", [])))
        case 1:
            json.loads(document_text(audit_report.audit_sarif(found, [])))
        case 2:
            audit_report.audit_junit(found, [], fail_on="partial")
        case 3:
            audit_report.audit_github(found, "p.toml", [])
        case _:
            is_fit_to_print(audit_report.audit_text(found, Style(100), verbose=True))
    return True


# The child that asks the driver


class Told(subprocess.Popen[bytes]):
    """A process that has said everything and is gone: its output lies in a pipe."""

    def __init__(self, output: bytes) -> None:  # there is nothing to start
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        with contextlib.suppress(BlockingIOError):
            os.write(writes, output)  # what does not fit into a pipe was never said
        os.close(writes)
        self.stdout = open(reads, "rb", buffering=0)  # noqa: PTH123, SIM115 - whoever is given it closes it
        self.stdin = open(os.devnull, "wb", buffering=0)  # noqa: PTH123, SIM115 - as above
        self.pid = (1 << 22) + 1  # of no process
        self.returncode = 0
        self.args = ()
        self._child_created = False


@cache
def empty_folder() -> Path:
    folder = scratch_file("root")
    folder.mkdir()
    return folder


_SETTINGS: tuple[dict[str, str], ...] = (
    {}, {}, {"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "1,0"}, {"CUDA_VISIBLE_DEVICES": "GPU-3", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
    {"CUDA_VISIBLE_DEVICES": "MIG-aaaaaaaa-1111-0000-0000-000000000011"}, {"LD_LIBRARY_PATH": "/usr/local/cuda/compat"},
)  # fmt: skip


def said() -> list[bytes]:
    return [b"".join(json.dumps(step).encode() + b"\n" for step in steps) for steps in fact_inputs.said()]


@target(said, compose=fact_inputs.steps, torn=6, cost=2)
def child_output(data: bytes) -> bool:
    """The devices that the child speaks of, and what the gate makes of them."""
    rng = chosen_by(data)
    # A second child, without NVML or without the variable, cannot be started.
    machine = Machine(root=empty_folder(), environ=rng.choice(_SETTINGS), executable="/nonexistent", os_name="linux")
    asked = b'"step": "cuda"' in data
    proof, shown = b"proof", b"" if rng.randrange(40) == 0 else b"proof\n"
    asking = Asking(Told(shown + data), "/told", proof, nvml=bool(rng.randrange(20)))
    found = look(machine, thorough=asked if rng.randrange(20) else not asked, asking=asking)
    assert (found.absence is None) == bool(found.devices), "no reason, or one too many"
    record = System(
        driver=found.driver, driver_state=found.state, devices=found.devices, fleet=found.fleet,
        visibility=found.visibility, absence=found.absence, findings=found.findings,
    )  # fmt: skip
    assert loads(dumps(record)) == record, "what is found is no record"
    decide(Requirement.parse(">=8.0"), rng.choice(list(Policy)), found, {})
    return bool(found.fleet)


# Environments


_ENTRY = re.compile(rb"(?:^|\n)=== ([a-z]+) ([^\n]*)\n")


def lay_out(data: bytes, folder: Path) -> None:
    """Make what `fact_inputs.environments` describes; what cannot be made is left out."""
    fields = _ENTRY.split(data)
    made = set()
    for kind, name, content in zip(fields[1::3], fields[2::3], fields[3::3], strict=True):
        parts = re.sub(rb"%([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), name).split(b"/")
        if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
            continue
        path = os.path.join(os.fsencode(folder), *parts)  # noqa: PTH118 - of bytes
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the last where there are no pipes with names
            if os.path.dirname(path) not in made:  # noqa: PTH120 - as above
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - as above
                made.add(os.path.dirname(path))  # noqa: PTH120 - as above
            make_entry(kind, path, content[:_LARGEST_ENTRY])


def make_entry(kind: bytes, path: bytes, content: bytes) -> None:
    match kind:
        case b"folder":
            os.mkdir(path)  # noqa: PTH102 - of bytes
        case b"fifo":
            os.mkfifo(path)
        case b"loop":
            os.symlink(os.path.basename(path), path)  # noqa: PTH119, PTH211 - of bytes
        case b"zero" | b"null":
            os.symlink(b"/dev/" + kind, path)  # noqa: PTH211 - of bytes
        case b"dangling":
            os.symlink(b"nowhere", path)  # noqa: PTH211 - of bytes
        case b"link" if re.fullmatch(rb"[\w.]+", content.strip()):
            os.symlink(content.strip(), path)  # noqa: PTH211 - of bytes
        case _:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(number, content)
                if kind == b"sparse":
                    os.truncate(number, 4 << 30)
            finally:
                os.close(number)


@cache
def machine() -> System:
    return loads(fact_inputs.machines()[1])


@target(lambda: fact_inputs.replayed(fact_inputs.environments, 20), compose=fact_inputs.environments, torn=6, cost=10)
def dist_info(data: bytes) -> bool:
    """What `doctor` says of an environment: which packages, with what in them, and what is wrong."""
    folder = scratch_file("site-packages")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lay_out(data, folder)
    with streams():
        installed = read_installed(
            Environment("x", "--python", (str(folder),)), no_cache=True, quiet=True, color="never"
        )
    found = machine()
    rng = chosen_by(data)
    if rng.randrange(4) == 0:
        here = Machine(root=empty_folder(), environ={}, paths=(str(folder),), prefix=str(folder), os_name="win32")
        found = replace(found, **_looked(here))
    columns = [(device, found.driver or tables().newest_driver(device.capability)) for device in found.devices[:1]]
    examination = diagnose(found, installed, columns)
    match rng.randrange(8):
        case 0:
            json.loads(document_text(doctor_document(found, columns, examination, "x")))
        case 1:
            is_fit_to_print(doctor_text(found, columns, examination, "x", Style(100), verbose=True))
        case _:
            pass
    return any(one.artifact.files for one in installed)


def _looked(here: Machine) -> dict[str, Any]:
    """What a look at the environment tells of a machine whose driver nobody asks."""
    seen = system(here)
    assert loads(dumps(seen)) == seen, "what is found is no record"
    return {"toolkits": seen.toolkits, "distributions": seen.distributions, "findings": seen.findings}
