"""Compares the table of cloud instance types with a newer list, and shows what is new, gone or different.

    python tools/refresh_instances.py FILE [--cloud CLOUD] [--write]

FILE is either a catalogue of SkyPilot (`catalogs/v8/oci/vms.csv`; name its cloud with --cloud) or the page of Karpenter
that is generated from the EC2 API (`instance-types.md`). Nothing is fetched. A GPU that the table of products does not
know by that name is said and left out. With --write what is different is written into the table; rows that are
new come without a note and are to be read before they are kept, and none is taken away. Exits with 1 where there is a difference.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "src/capably/tables/data/instances.json"
PRODUCTS = TABLE.with_name("products.json")
SOURCES = {".md": "karpenter-aws-instances", "aws": "skypilot-aws", "lambda": "skypilot-lambda", "oci": "skypilot-oci"}
LABEL = re.compile(r"^ *\|([\w./-]+)\|([^|\n]*)\|$", re.MULTILINE)
HOSTS = {"amd64": "x86_64", "arm64": "aarch64"}

Facts = dict[str, Any]
"""What a list says of an instance type: `gpu`, `count` and `memory_mib`, and `host` where it says that."""


def karpenter(text: str) -> Iterator[tuple[str, Facts]]:
    """The instance types of the page: a heading each, and a table of labels."""
    for section in text.split("### `")[1:]:
        labels = dict(LABEL.findall(section))
        if labels.get("karpenter.k8s.aws/instance-gpu-manufacturer") != "nvidia":
            continue
        told = {key: labels[f"karpenter.k8s.aws/instance-gpu-{key}"] for key in ("name", "count", "memory")}
        facts: Facts = {"gpu": told["name"], "memory_mib": int(told["memory"])}
        # None of a whole one: it has a share.
        facts |= {"count": int(told["count"])} if told["count"] != "0" else {"count": 1, "share": True}
        yield section.partition("`")[0], {**facts, "host": HOSTS[labels["kubernetes.io/arch"]]}


def skypilot(text: str) -> Iterator[tuple[str, Facts]]:
    """The instance types of the catalogue: a line each for every region."""
    seen: dict[str, Facts] = {}
    for line in csv.DictReader(text.splitlines()):
        if not line["GpuInfo"] or line["InstanceType"] in seen:
            continue
        (gpu,) = ast.literal_eval(line["GpuInfo"])["Gpus"]
        if gpu["Manufacturer"] != "NVIDIA":
            continue
        facts = {"gpu": gpu["Name"], "count": int(gpu["Count"]), "memory_mib": int(gpu["MemoryInfo"]["SizeInMiB"])}
        seen[line["InstanceType"]] = facts
    yield from seen.items()


def product_names() -> dict[str, str]:
    """Products by the letters and digits of their names, as lists write them: `rtx-pro-server-6000`, `A100-80GB`."""
    rows = json.loads(PRODUCTS.read_text(encoding="utf-8"))["rows"]
    names: dict[str, str] = {}
    for row in rows:
        for name in (row["name"], *row["aliases"]):
            names.setdefault(bare(name), row["name"])
    return names | {
        "rtxproserver6000": "RTX PRO 6000 Blackwell Server Edition",
        "rtxpro6000": "RTX PRO 6000 Blackwell Server Edition",  # in a cloud
        "rtxpro4500": "RTX PRO 4500 Blackwell",
    }


def bare(name: str) -> str:
    """The letters and digits of *name*, without its maker, its series and the size of its memory."""
    return re.sub(r"(?i)nvidia|tesla|geforce|[0-9]+gb|[^a-z0-9]", "", name.lower())


def differences(rows: list[Facts], found: dict[str, Facts], cloud: str, source: str) -> tuple[list[str], list[Facts]]:
    """What *found* says else than the *rows* of a cloud that have that source, in lines; and all rows as they would be."""
    names, lines = product_names(), []
    kept = [dict(row) for row in rows]
    here = {row["instance"]: row for row in kept if row["cloud"] == cloud}
    for instance, facts in found.items():
        name = names.get(bare(facts["gpu"]))
        if name is None:
            lines.append(f"? {cloud}:{instance}: no product is called {facts['gpu']}")
            continue
        said = {**facts, "gpu": name}
        row = here.get(instance)
        if row is None:
            lines.append(f"+ {cloud}:{instance}: {said['count']} x {name}, {said['memory_mib']} MiB")
            added = {"cloud": cloud, "instance": instance, "gpu": name, "count": said["count"]}
            added |= {"share": said.get("share", False), "memory_mib": said["memory_mib"]}
            kept.append(added | {"host": said.get("host", "x86_64"), "sources": [source], "grade": "documented"})
            continue
        for key, value in said.items():
            if row.get(key) != value:
                lines.append(f"~ {cloud}:{instance}: {key} is {row.get(key)}, the list says {value}")
                row[key] = value
    lines += [
        f"- {cloud}:{instance}: the list has it no more"
        for instance, row in here.items()
        if source in row["sources"] and instance not in found
    ]
    return lines, kept


def main(arguments: list[str]) -> int:
    """Show the difference, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--cloud", choices=[name for name in SOURCES if name.isalpha()], help="of a catalogue of SkyPilot"
    )
    parser.add_argument("--table", type=Path, default=TABLE, help="instead of that of the source")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    text = asked.file.read_text(encoding="utf-8")
    if asked.file.suffix == ".md":
        cloud, found, source = "aws", dict(karpenter(text)), SOURCES[".md"]
    elif asked.cloud:
        cloud, found, source = asked.cloud, dict(skypilot(text)), SOURCES[asked.cloud]
    else:
        parser.error("a catalogue of SkyPilot needs --cloud")
    if not found:
        parser.error(f"{asked.file} names no instance type with an NVIDIA GPU")
    document = json.loads(asked.table.read_text(encoding="utf-8"))
    lines, rows = differences(document["rows"], found, cloud, source)
    print("\n".join(lines) if lines else f"no difference: {len(found)} instance types of {cloud}")
    if asked.write:
        asked.table.write_text(formatted({**document, "rows": rows}), encoding="utf-8")
    return 1 if lines else 0


def formatted(document: Facts) -> str:
    """The text of the table, as tools/format_tables.py writes it."""
    spec = importlib.util.spec_from_file_location("format_tables", Path(__file__).with_name("format_tables.py"))
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - it lies beside this file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text: str = module.formatted(document)
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
