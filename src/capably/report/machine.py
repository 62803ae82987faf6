"""Answers as JSON: plain objects, in the shape that ``schema.json`` beside this module closes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from capably.escaping import json_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from capably.arch import ComputeCapability, Target
    from capably.catalogue import Catalogue
    from capably.check.grid import Grid, Result
    from capably.codes import Outcome, Reason
    from capably.engine.verdict import Compilation, OutcomeCounts
    from capably.facts import Artifact, Driver, Finding, Image, Library, Role
    from capably.tables import Instance, Product, Tables

__all__ = [
    "by_system_document",
    "catalogue_document",
    "check_document",
    "driver_object",
    "dumps",
    "finding_object",
    "gpus_document",
    "reason_object",
    "scan_document",
    "schema",
]

_SCHEMA = 1


def dumps(document: dict[str, Any]) -> str:
    """*document* as text, laid out to be read; see `capably.escaping.json_text`."""
    return json_text(document, indent=2)


def _tables() -> Tables:
    from capably.tables import tables  # noqa: PLC0415 - what files hold is told without the tables

    return tables()


def schema() -> dict[str, Any]:
    """The JSON schema of all answers, one definition for each command."""
    import json  # noqa: PLC0415 - as below
    from pathlib import Path  # noqa: PLC0415 - 3 ms, and nobody asks for the schema while answering

    text = (Path(__file__).parent / "schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


# -- check


def by_system_document(answers: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The answers of a command by several recorded machines, each as it would be alone."""
    return {"schema": _SCHEMA, "systems": [{"system": name, "answer": answer} for name, answer in answers]}


def check_document(
    grid: Grid,
    errors: Sequence[tuple[str, str]] = (),
    *,
    kernels: bool = False,
    wanted: Collection[str] | None = None,
) -> dict[str, Any]:
    """The answer of ``capably check``.

    Args:
        grid: What was judged.
        errors: Pairs of what was asked for and why it could not be read.
        kernels: Add which kernels of each library have nothing for the GPU.
        wanted: Of the kernels, tell of these only.
    """
    from capably.check.because import because  # noqa: PLC0415 - scan needs none of it
    from capably.report.kernels import judged_kernels  # noqa: PLC0415 - see _kernels

    return {
        "schema": _SCHEMA,
        "gpus": [
            {
                "name": gpu.device.name,
                "capability": str(gpu.device.capability),
                "assumed": gpu.device.assumed,
                "driver": driver_object(gpu.driver, gpu.device.capability),
            }
            for gpu in grid.gpus
        ],
        "results": [
            {
                "artifact": row.asked,
                "version": row.artifact.version,
                "alternative": row.alternative,
                "gpu": result.gpu,
                "capability": str(result.verdict.device.capability),
                "headline": result.package.headline,
                "alternative_headline": result.conclusion.headline if row.alternative is not None else None,
                "because": because(result),
                "coverage": result.verdict.coverage,
                "at_least": result.verdict.at_least,
                "at_most": result.verdict.at_most,
                "outcomes": _outcomes(result.verdict.counts),
                "gaps": result.verdict.shares.gaps,
                "specialised": result.verdict.shares.specialised,
                "best_share": result.best_share,
                "compiler": _compiler(result.verdict.compiler),
                "libraries": [
                    {
                        "path": part.subject,
                        "files": library.files,
                        "role": part.role,
                        "coverage": part.coverage,
                        "outcomes": _outcomes(part.counts),
                        **({"kernels": judged_kernels(library, result, grid, wanted)} if kernels else {}),
                    }
                    for library, part in zip(result.artifact.libraries, result.verdict.parts, strict=True)
                ],
                "reasons": _reasons(result),
                "advice": list(result.ways_out),
                "findings": [finding_object(finding) for finding in result.findings],
            }
            for row, result in grid.results
        ],
        "errors": _errors(errors),
    }


def _errors(errors: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"artifact": asked, "message": message} for asked, message in errors]


def _reasons(result: Result) -> list[dict[str, Any]]:
    """The arguments of the engine, with ways out that were judged again."""
    ways = {
        reason: result.advice.way_out(library, reason) for library in result.verdict.parts for reason in library.reasons
    }
    return [{**reason_object(reason), "way_out": ways.get(reason, "")} for reason in result.verdict.reasons]


def _compiler(made: Compilation | None) -> dict[str, Any] | None:
    """What the compiler of a package makes for the GPU."""
    if made is None:
        return None
    return {
        "name": made.name,
        "version": made.version or (str(made.cuda) if made.cuda else None),
        "path": made.path,
        "package": made.brought_by,
        "target": str(made.target) if made.target else None,
        "kind": made.kind,
        "outcome": made.outcome,
    }


def driver_object(driver: Driver, capability: ComputeCapability) -> dict[str, Any]:
    """A driver of devices of *capability* by both of its numbers; that of a Tegra part does not tell its CUDA version."""
    cuda = _tables().cuda_of_driver(driver, capability)
    return {
        "release": str(driver.release) if driver.release else None,
        "cuda": str(cuda) if cuda is not None else None,
        "assumed": driver.assumed,
    }


def _outcomes(counts: OutcomeCounts) -> dict[str, int]:
    return {"runs": counts.runs, "compiles": counts.compiles, "fails": counts.fails, "unknown": counts.unknown}


def reason_object(reason: Reason) -> dict[str, Any]:
    """One argument of a verdict, with its sentences made."""
    return {
        "code": reason.code,
        "outcome": reason.outcome,
        "subject": reason.subject,
        "message": reason.message,
        "way_out": reason.way_out,
        "sources": list(reason.sources),
    }


def finding_object(finding: Finding) -> dict[str, Any]:
    """Something to know beside the grid."""
    return {"code": finding.code, "path": finding.path, "message": finding.message}


# -- scan


def scan_document(
    artifacts: Sequence[tuple[str, Artifact]],
    errors: Sequence[tuple[str, str]] = (),
    *,
    kernels: bool = False,
    wanted: Collection[str] | None = None,
) -> dict[str, Any]:
    """The answer of ``capably scan``; *artifacts* are pairs of what was asked for and what that is, the rest as above."""
    from capably.check.inventory import roles  # noqa: PLC0415 - gpus needs none of it

    return {
        "schema": _SCHEMA,
        "artifacts": [
            {
                "path": asked,
                "kind": artifact.kind,
                "name": artifact.name,
                "version": artifact.version,
                "platforms": list(artifact.platforms),
                "files": artifact.files,
                "sha256": artifact.sha256,
                "libraries": [
                    {**_library(library, role), **({"kernels": _kernels(library, wanted)} if kernels else {})}
                    for library, role in zip(artifact.libraries, roles(artifact), strict=True)
                ],
                "compilers": [
                    {"path": compiler.path, "name": compiler.kind, "version": compiler.version}
                    for compiler in artifact.compilers
                ],
                "findings": [finding_object(finding) for finding in artifact.findings],
            }
            for asked, artifact in artifacts
        ],
        "errors": _errors(errors),
    }


def _kernels(library: Library, wanted: Collection[str] | None) -> list[dict[str, Any]]:
    from capably.report.kernels import kernel_rows  # noqa: PLC0415 - what files hold is told without the engine

    return kernel_rows(library, wanted)


def _library(library: Library, role: Role) -> dict[str, Any]:
    return {
        "path": library.path,
        "role": role,
        "size_bytes": library.size_bytes,
        "machine": library.machine,
        "needed": list(library.needed),
        "copies": list(library.copies),
        "sha256": library.sha256,
        "link_input": library.link_input,
        "fatbins": sum(group.count for group in library.fatbins),
        "stub_fatbins": sum(group.count for group in library.fatbins if group.fatbin.stub),
        "images": list(_images(library)),
    }


def _entries(library: Library) -> Iterator[tuple[str, bool, Image, int]]:
    for group in library.fatbins:
        for image in group.fatbin.images:
            yield group.fatbin.section, False, image, group.count
    for bare in library.bare:
        yield bare.section, True, bare.image, bare.count


def _images(library: Library) -> Iterator[dict[str, Any]]:
    rows: dict[tuple[str, bool, str, str | None], list[tuple[Image, int]]] = {}
    for section, bare, image, count in _entries(library):
        target = str(image.target) if image.target else None
        rows.setdefault((section, bare, image.kind, target), []).append((image, count))
    for (section, bare, kind, target), found in rows.items():
        yield {
            "section": section,
            "kind": kind,
            "target": target,
            "count": sum(count for _, count in found),
            **({"bare": True} if bare else {}),
            "details": _details(found),
        }


def _details(found: list[tuple[Image, int]]) -> dict[str, Any]:
    """What differs among the entries of one row, and how many there are of each."""
    names = {"ptx": "ptx", "toolkit": "toolkits", "compression": "compression"}
    counters: dict[str, Counter[str]] = {name: Counter() for name in names.values()}
    flags: Counter[str] = Counter()
    for image, count in found:
        for field, name in names.items():
            value = getattr(image, field)
            if value is not None:
                counters[name][str(value)] += count
        flags["stubs"] += count * (image.stub is True)
        flags["unread"] += count * (image.stub is None)
        flags["relocatable"] += count * image.relocatable
        flags["concatenated"] += count * image.concatenated
    return {
        **{name: dict(counter) for name, counter in counters.items() if counter},
        **{name: count for name, count in flags.items() if count},
    }


# -- gpus


def gpus_document(
    products: Sequence[Product],
    instances: Sequence[Instance] = (),
    targets: Mapping[ComputeCapability, Sequence[tuple[Target, Outcome]]] | None = None,
) -> dict[str, Any]:
    """The answer of ``capably gpus``: *products*, the cloud instance types that were named, and perhaps what they accept."""
    return {
        "schema": _SCHEMA,
        "gpus": [
            _product(product)
            | ({"targets": [str(target) for target, _ in targets[product.capability]]} if targets is not None else {})
            for product in products
        ],
        "instances": [_instance(instance) for instance in instances],
    }


def catalogue_document(found: Catalogue) -> dict[str, Any]:
    """The answer of ``capably gpus --meets``."""
    return {
        **gpus_document(found.products, found.instances),
        "requirement": str(found.requirement),
        "not_known": {
            "gpus": [product.name for product in found.undecided_products],
            "instances": [instance.title for instance in found.undecided_instances],
            "conditions": list(found.why),
        },
    }


def _instance(instance: Instance) -> dict[str, Any]:
    return {
        "name": instance.title,
        "gpu": instance.gpu.name,
        "capability": str(instance.gpu.capability),
        "count": instance.count,
        "share": instance.share,
        "memory_bytes": instance.memory_bytes,
        "host": instance.host,
        "note": instance.note,
        "grade": instance.grade,
        "sources": list(instance.sources),
    }


def _product(product: Product) -> dict[str, Any]:
    known = _tables()
    architecture = known.architectures.get(product.capability)
    served = known.driver_ranges.get(product.capability)
    return {
        "name": product.name,
        "capability": str(product.capability),
        "class": product.kind,
        "architecture": architecture.name if architecture else None,
        "aliases": list(product.aliases),
        "hosts": list(product.hosts),
        "memory_bytes": product.memory_bytes,
        "drivers": {"first": served.first if served else None, "last": served.last if served else None},
        "grade": product.grade,
        "sources": list(product.sources),
    }
