"""Cloud instance types as GPUs, what meets a requirement beside a brute force, and what a GPU accepts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemas

from capably.arch import ComputeCapability, Target
from capably.catalogue import meeting
from capably.cli.app import run as main
from capably.engine import accepted_targets
from capably.errors import UnknownNameError
from capably.gpu_names import find_gpus, find_instance, named_devices
from capably.wanted import read_requirement

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"
TABLES = ROOT / "src/capably/tables/data"
PRODUCTS: list[dict[str, Any]] = json.loads((TABLES / "products.json").read_text(encoding="utf-8"))["rows"]
INSTANCES: list[dict[str, Any]] = json.loads((TABLES / "instances.json").read_text(encoding="utf-8"))["rows"]


def test_every_instance_type_is_a_gpu_and_has_a_source_and_a_grade() -> None:
    assert len(INSTANCES) >= 192
    capabilities = {row["name"]: row["capability"] for row in PRODUCTS}
    sources = {row["key"] for row in json.loads((TABLES / "sources.json").read_text(encoding="utf-8"))["rows"]}
    for row in INSTANCES:
        assert row["sources"]
        assert set(row["sources"]) <= sources
        assert row["grade"] == "documented" or (row["grade"] == "inferred" and row["note"])
        name = f"{row['cloud']}:{row['instance']}"
        for spelling in (name, name.upper(), f" {name} "):
            (device,) = named_devices([spelling])
            assert (str(device.capability), device.name) == (capabilities[row["gpu"]], row["gpu"])
            assert device.hosts == (row["host"],)
        assert [product.name for product in find_gpus(name)[0]] == [row["gpu"]]


@pytest.mark.parametrize(
    ("name", "suggested"),
    [("aws:g5.xlage", "aws:g5.xlarge"), ("gcp:a3-highgpu-9g", "gcp:a3-highgpu-8g"), ("g5.xlarge", "aws:g5.xlarge")],
)
def test_an_instance_type_that_is_not_known_is_an_error_and_no_guess(name: str, suggested: str) -> None:
    with pytest.raises(UnknownNameError) as refused:
        named_devices([name])
    assert suggested in refused.value.suggestions
    assert find_instance("RTX 4090") is None


def test_an_instance_type_is_taken_where_a_gpu_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--gpu", "aws:p5.48xlarge", "--json"]) == 0
    assert "sm_90" in capsys.readouterr().out
    assert main(["gpus", "azure:Standard_NC24ads_A100_v4", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    schemas.fits_schema(answer, "gpus")
    assert [one["name"] for one in answer["gpus"]] == ["A100"]
    assert answer["instances"][0]["grade"] == "inferred"
    assert main(["gpus", "azure:Standard_NC24ads_A100_v4"]) == 0
    assert "not verified" in capsys.readouterr().out


# -- what meets a requirement, beside a search by hand

Number = tuple[int, int]
Holds = Callable[[Number, "int | None"], "bool | None"]
"""By the capability and the nominal memory in MiB."""


def at_least(gib: int) -> Holds:
    """The memory that CUDA finds is between nine tenths and a twentieth more of what is written on the box."""

    def holds(_: Number, memory: int | None) -> bool | None:
        if memory is None or memory * 0.9 < gib * 1024 <= memory * 1.05:
            return None
        return memory * 0.9 >= gib * 1024

    return holds


def below(gib: int) -> Holds:
    def holds(number: Number, memory: int | None) -> bool | None:
        found = at_least(gib)(number, memory)
        return None if found is None else not found

    return holds


def cc(holds: Callable[[Number], bool]) -> Holds:
    return lambda number, _: holds(number)


def both(*parts: Holds) -> Holds:
    def holds(number: Number, memory: int | None) -> bool | None:
        found = [part(number, memory) for part in parts]
        return False if False in found else None if None in found else True

    return holds


def either(*parts: Holds) -> Holds:
    def holds(number: Number, memory: int | None) -> bool | None:
        found = [part(number, memory) for part in parts]
        return True if True in found else None if None in found else False

    return holds


CASES: list[tuple[str, Holds]] = [
    (">=8.9, memory>=40GiB", both(cc(lambda n: n >= (8, 9)), at_least(40))),
    (">=8.0", cc(lambda n: n >= (8, 0))),
    ("sm75+", cc(lambda n: n >= (7, 5))),
    ("<7.0", cc(lambda n: n < (7, 0))),
    ("<=6.1", cc(lambda n: n <= (6, 1))),
    (">8.6", cc(lambda n: n > (8, 6))),
    ("9.0", cc(lambda n: n == (9, 0))),
    ("==12.0", cc(lambda n: n == (12, 0))),
    ("!=8.6", cc(lambda n: n != (8, 6))),
    ("{8.0,8.6}", cc(lambda n: n in {(8, 0), (8, 6)})),
    ("!={8.0,8.6,8.9}", cc(lambda n: n not in {(8, 0), (8, 6), (8, 9)})),
    ("12.x", cc(lambda n: n[0] == 12)),
    ("!=12.x", cc(lambda n: n[0] != 12)),
    ("7.x | 9.0", cc(lambda n: n[0] == 7 or n == (9, 0))),
    ("9.0a", cc(lambda n: n == (9, 0))),
    ("!9.0a", cc(lambda n: n != (9, 0))),
    ("12.0f", cc(lambda n: n in {(12, 0), (12, 1)})),
    ("12.1a", cc(lambda n: n == (12, 1))),
    ("memory>=24GiB", at_least(24)),
    ("memory>=20GiB", at_least(20)),
    ("memory>=80GiB", at_least(80)),
    ("memory>=4GiB", at_least(4)),
    ("memory<16GiB", below(16)),
    ("memory>=16GiB,memory<40GiB", both(at_least(16), below(40))),
    ("8.6,memory>=40GiB", both(cc(lambda n: n == (8, 6)), at_least(40))),
    ("9.0,memory>=100GiB", both(cc(lambda n: n == (9, 0)), at_least(100))),
    (">=8.0,<9.0,memory>=30GiB", both(cc(lambda n: (8, 0) <= n < (9, 0)), at_least(30))),
    ("memory>=150GiB | 8.9", either(at_least(150), cc(lambda n: n == (8, 9)))),
    ("<7.5,memory>=14GiB | >=12.0", either(both(cc(lambda n: n < (7, 5)), at_least(14)), cc(lambda n: n >= (12, 0)))),
    (">=5.0,<6.0", cc(lambda n: (5, 0) <= n < (6, 0))),
    ("memory>=1TiB", at_least(1024)),
]
# One piece of hardware under two numbers, of which a condition may hold for one: the engine says that it does not know.
TWO_NUMBERS = {(10, 1), (11, 0)}


@pytest.mark.parametrize(("text", "holds"), CASES, ids=[text for text, _ in CASES])
def test_what_meets_a_requirement_equals_a_search_by_hand(text: str, holds: Holds) -> None:
    found = meeting(read_requirement(text))
    numbers = {row["name"]: as_number(row["capability"]) for row in PRODUCTS}
    by_hand: dict[bool | None, list[tuple[str, str]]] = {True: [], False: [], None: []}
    for row in PRODUCTS:
        number = as_number(row["capability"])
        if number not in TWO_NUMBERS:
            memory = row["memory_gib"] * 1024 if "memory_gib" in row else None
            by_hand[holds(number, memory)].append((row["name"], row["capability"]))
    for row in INSTANCES:
        number = numbers[row["gpu"]]
        answer = holds(number, row.get("memory_mib"))
        by_hand[answer].append((f"{row['cloud']}:{row['instance']}", f"{number[0]}.{number[1]}"))
    products = [(one.name, str(one.capability)) for one in found.products if plain(one.capability)]
    instances = [(one.title, str(one.gpu.capability)) for one in found.instances]
    assert sorted(products + instances) == sorted(by_hand[True])
    undecided = [(one.name, str(one.capability)) for one in found.undecided_products if plain(one.capability)]
    undecided += [(one.title, str(one.gpu.capability)) for one in found.undecided_instances]
    assert sorted(undecided) == sorted(by_hand[None])
    assert bool(found.why) == bool(found.undecided_products or found.undecided_instances)
    # The newest first, then the least memory.
    order = [(-one.capability.number, one.memory_bytes or 1 << 60) for one in found.products]
    assert order == sorted(order)
    sizes = [
        (-one.gpu.capability.number, one.memory_bytes * (one.count or 1) if one.memory_bytes else 1 << 60)
        for one in found.instances
    ]
    assert sizes == sorted(sizes)


def as_number(text: str) -> Number:
    major, minor = text.split(".")
    return int(major), int(minor)


def plain(capability: ComputeCapability) -> bool:
    return (capability.major, capability.minor) not in TWO_NUMBERS


def test_the_answer_counts_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpus", "--meets", ">=8.9, memory>=40GiB"]) == 0
    text = capsys.readouterr().out
    assert main(["gpus", "--meets", ">=8.9, memory>=40GiB", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    schemas.fits_schema(answer, "gpus")
    shown = re.search(r"Not known of (\d+) products and (\d+) instance types: `memory>=40GiB`", text)
    assert shown is not None
    unknown = answer["not_known"]
    assert [int(shown[1]), int(shown[2])] == [len(unknown["gpus"]), len(unknown["instances"])]
    assert "H100" in unknown["gpus"]  # of which there are several
    assert "aws:p5.48xlarge" in [one["name"] for one in answer["instances"]]
    assert main(["gpus", "L4", "--meets", "fp8"]) == 2
    assert main(["gpus", "--meets", "fp9"]) == 2


# -- what a GPU accepts


@pytest.mark.parametrize(
    ("capability", "first"),
    [
        ("9.0", ["sm_90a", "sm_90", "compute_90a", "compute_90", "compute_89"]),
        ("8.6", ["sm_86", "sm_80", "compute_86", "compute_80", "compute_75"]),
        ("8.7", ["sm_87", "compute_87", "compute_86"]),  # a Tegra part: no machine code of others
        ("7.0", ["sm_70", "compute_70", "compute_62"]),
        ("10.3", ["sm_103a", "sm_103f", "sm_103", "sm_100f", "sm_100", "compute_103a"]),
        ("12.1", ["sm_121a", "sm_121f", "sm_121", "sm_120f", "sm_120", "compute_121a"]),
    ],
)
def test_what_a_gpu_accepts_in_order_of_preference(
    capability: str, first: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As the CUDA programming guide and nvcc's manual have it."""
    found = [str(target) for target, _ in accepted_targets(ComputeCapability.parse(capability))]
    assert found[: len(first)] == first
    assert len(set(found)) == len(found)
    assert all(Target.parse(target).capability <= ComputeCapability.parse(capability) for target in found)
    (name, *_) = [row["name"] for row in PRODUCTS if row["capability"] == capability]
    assert main(["gpus", name, "--targets", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    schemas.fits_schema(answer, "gpus")
    assert answer["gpus"][0]["targets"] == found
    assert main(["gpus", name, "--targets"]) == 0
    assert f"machine code {found[0]}" in capsys.readouterr().out


# -- the tool that refreshes the table


def refresh(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(ROOT / "tools/refresh_instances.py"), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The table with the rows that the shortened lists have."""
    document = json.loads((TABLES / "instances.json").read_text(encoding="utf-8"))
    lists = "".join((DATA / name).read_text(encoding="utf-8") for name in ("instances_oci.csv", "instances_aws.md"))
    document["rows"] = [
        row for row in document["rows"] if re.search(rf"(?m)(^|`){re.escape(row['instance'])}[`,]", lists)
    ]
    assert len(document["rows"]) == 10
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_lists_that_the_table_is_from_say_what_it_says(table: Path) -> None:
    for arguments in ((DATA / "instances_aws.md",), (DATA / "instances_oci.csv", "--cloud", "oci")):
        same = refresh(*arguments, "--table", table)
        assert (same.returncode, same.stderr) == (0, "")
        assert same.stdout.startswith("no difference: ")


def test_a_list_that_has_changed_is_shown_and_written(table: Path, tmp_path: Path) -> None:
    text = (DATA / "instances_oci.csv").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("BM.GPU4.8"))
    changed = text.replace(line, line.replace("40960", "81920").replace("BM.GPU4.8", "BM.GPU.NEW.8"))
    changed = changed.replace(
        "'Name': 'A10', 'Manufacturer': 'NVIDIA', 'Count': 4", "'Name': 'L4', 'Manufacturer': 'NVIDIA', 'Count': 2"
    )
    changed = changed.replace("'Name': 'P100'", "'Name': 'P1000000'")
    newer = tmp_path / "vms.csv"
    newer.write_text(changed, encoding="utf-8")
    shown = refresh(newer, "--cloud", "oci", "--table", table)
    assert shown.returncode == 1
    assert sorted(shown.stdout.splitlines()) == [
        "+ oci:BM.GPU.NEW.8: 8 x A100, 81920 MiB",
        "- oci:BM.GPU4.8: the list has it no more",
        "? oci:VM.GPU2.1: no product is called P1000000",
        "~ oci:BM.GPU.A10.4: count is 4, the list says 2",
        "~ oci:BM.GPU.A10.4: gpu is A10, the list says L4",
    ]
    before = table.read_text(encoding="utf-8")
    assert refresh(newer, "--cloud", "oci", "--table", table).returncode == 1
    assert table.read_text(encoding="utf-8") == before
    refresh(newer, "--cloud", "oci", "--table", table, "--write")
    rows = {row["instance"]: row for row in json.loads(table.read_text(encoding="utf-8"))["rows"]}
    assert (rows["BM.GPU.A10.4"]["gpu"], rows["BM.GPU.A10.4"]["count"]) == ("L4", 2)
    assert rows["BM.GPU.NEW.8"]["memory_mib"] == 81920
    assert "BM.GPU4.8" in rows
    again = refresh(newer, "--cloud", "oci", "--table", table)
    assert [line[0] for line in again.stdout.splitlines()] == ["?", "-"]


def test_a_file_that_is_no_such_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Nothing\n", encoding="utf-8")
    assert refresh(tmp_path / "page.md").returncode == 2
    assert refresh(DATA / "instances_oci.csv").returncode == 2
