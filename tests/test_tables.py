"""Laws of the tables, row by row and across rows, and the strictness of their reader."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from capably.arch import ComputeCapability, Target
from capably.errors import TableError, UnknownNameError
from capably.facts import Driver, Standing
from capably.reasons import Grade
from capably.tables import reading, tables
from capably.tables.queries import read_tables
from capably.tables.reading import Row
from capably.version import CudaVersion, DriverRelease

DATA = Path(reading.__file__).parent / "data"
TABLES = sorted(path.stem for path in DATA.glob("*.json"))
KNOWN = tables()


def raw(table: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / f"{table}.json").read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("table", TABLES)
def test_a_table_names_itself_its_horizon_and_a_source_for_each_row(table: str) -> None:
    document = raw(table)
    assert document["table"] == table
    assert document["about"]
    text = (DATA / f"{table}.json").read_text(encoding="utf-8")
    assert sum(line.startswith("    {") for line in text.splitlines()) == len(document["rows"]), "one row per line"
    if table == "sources":
        assert len({row["key"] for row in document["rows"]}) == len(document["rows"])
        return
    assert document["horizon"]
    for row in document["rows"]:
        assert row["sources"], row
        assert row["grade"] in list(Grade), row
        assert set(row["sources"]) <= set(KNOWN.sources), row


def test_toolkits_rise_and_drop_nothing_that_they_bring_back() -> None:
    assert [t.cuda for t in KNOWN.toolkits] == sorted({t.cuda for t in KNOWN.toolkits})
    assert (KNOWN.toolkits[0].cuda, KNOWN.toolkits[-1].cuda) == (CudaVersion(10, 0), CudaVersion(13, 5))
    for target in {target for toolkit in KNOWN.toolkits for target in toolkit.targets}:
        present = [target in toolkit.targets for toolkit in KNOWN.toolkits]
        runs = [value for value, _ in itertools.groupby(present)]
        assert runs.count(True) == 1, f"{target} comes, goes and comes back"


def test_every_target_of_a_toolkit_is_a_known_architecture() -> None:
    for toolkit in KNOWN.toolkits:
        for name in toolkit.targets:
            target = Target.parse(name)
            assert target.capability in KNOWN.architectures
            assert toolkit.emits(target)
            # NVIDIA: `a` since 9.0, `f` since 10.0
            assert not target.suffix or target.capability >= ComputeCapability(9, 0)
            assert target.suffix != "f" or target.capability >= ComputeCapability(10, 0)


def test_ptx_versions_rise_with_cuda_versions() -> None:
    assert [cuda for cuda, _ in KNOWN.ptx] == sorted({cuda for cuda, _ in KNOWN.ptx})
    assert [ptx for _, ptx in KNOWN.ptx] == sorted(ptx for _, ptx in KNOWN.ptx)
    assert {toolkit.cuda for toolkit in KNOWN.toolkits} <= {cuda for cuda, _ in KNOWN.ptx}


def test_driver_branches_rise_with_cuda_versions() -> None:
    assert [b.number for b in KNOWN.branches] == sorted({b.number for b in KNOWN.branches})
    assert [b.cuda for b in KNOWN.branches] == sorted({b.cuda for b in KNOWN.branches})
    for branch in KNOWN.branches:
        assert branch.linux is None or branch.linux.branch == branch.number
        if branch.linux is not None:
            assert KNOWN.branch(Driver(branch.linux)) == (branch, Standing.KNOWN)
        assert KNOWN.branch(Driver(cuda=branch.cuda)) == (branch, Standing.KNOWN)


def test_architectures_belong_to_one_family_each_and_families_share_a_major_version() -> None:
    members = [member for family in KNOWN.families for member in family.members]
    assert len(members) == len(set(members))
    assert set(members) == {c for c, a in KNOWN.architectures.items() if a.renamed is None}
    for family in KNOWN.families:
        assert len({member.major for member in family.members}) == 1
        assert list(family.members) == sorted(family.members)
    assert all(a.renamed is None or a.renamed in members for a in KNOWN.architectures.values())
    assert all(a.renamed is None or a.renamed > c for c, a in KNOWN.architectures.items())  # relied on by comparisons


def test_driver_ranges_name_branches_in_order() -> None:
    assert set(KNOWN.driver_ranges) <= set(KNOWN.architectures)
    for row in KNOWN.driver_ranges.values():
        assert row.first is None or row.last is None or row.first <= row.last
    for capability in KNOWN.driver_ranges:
        driver = KNOWN.newest_driver(capability)
        assert driver.assumed
        # Drivers of Tegra parts are numbered apart from the desktop branches.
        assert (driver.release is None) == KNOWN.architectures[capability].isolated
        assert KNOWN.driver_cuda(driver) <= KNOWN.branches[-1].cuda


def test_every_product_has_a_known_capability_and_most_capabilities_a_product() -> None:
    assert {product.capability for product in KNOWN.products} <= set(KNOWN.architectures)
    without = set(KNOWN.architectures) - {product.capability for product in KNOWN.products}
    # 3.2 was the Tegra K1, 8.8 has no public product, 10.1 is an old name of 11.0.
    assert without <= {ComputeCapability(3, 2), ComputeCapability(8, 8), ComputeCapability(10, 1)}
    assert all(p.hosts == ("aarch64",) for p in KNOWN.products if p.kind == "jetson")


def test_every_product_is_found_by_its_own_name_and_its_aliases() -> None:
    for product in KNOWN.products:
        for name in (product.name, f"NVIDIA {product.name}", product.name.upper(), *product.aliases):
            found = KNOWN.find_products(name)
            assert product.capability in {other.capability for other in found}, name


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("4090", "8.9"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("Tesla V100-SXM2-32GB", "7.0"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "8.9"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "8.0"),
        ("rtx5090", "12.0"),
        ("A100-PCIE-40GB", "8.0"),
        ("GRID T4-16Q", "7.5"),
        ("Orin (nvgpu)", "8.7"),
        ("NVIDIA GH200 480GB", "9.0"),
        ("GeForce GTX 1070 with Max-Q Design", "6.1"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "12.0"),
        ("A6000", "8.6"),
        ("DGX Spark", "12.1"),
        ("Jetson Thor", "11.0"),
        ("RTX 3050 A Laptop GPU", "8.9"),
        ("B300", "10.3"),
        ("Quadro T1000", "7.5"),
        ("Tesla V100-FHHL-16GB", "7.0"),
        ("Tesla V100-DGXS-32GB", "7.0"),
        ("GRID A100-1-5C", "8.0"),
        ("RTX PRO 6000 Server", "12.0"),
    ],
)
def test_names_are_taken_as_drivers_and_people_write_them(name: str, capability: str) -> None:
    assert {str(product.capability) for product in KNOWN.find_products(name)} == {capability}


def test_a_name_with_two_meanings_finds_both() -> None:
    assert {str(product.capability) for product in KNOWN.find_products("RTX 6000")} == {"7.5", "8.9"}


@pytest.mark.parametrize(
    "name", ["RTX 5900", "foo", "", "   ", "4000", "MIG", "H100 H200", "GeForce T4", "RTX", "GTX", "V", "X", "Quadro"]
)
def test_an_unknown_name_is_an_error_and_no_guess(name: str) -> None:
    with pytest.raises(UnknownNameError):
        KNOWN.find_products(name)


def test_a_slip_is_answered_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError) as caught:
        KNOWN.find_products("GeForce RTX 5099")
    assert "GeForce RTX 5090" in caught.value.suggestions


def test_drivers_outside_the_table_are_told_from_those_inside() -> None:
    oldest, newest = KNOWN.branches[0], KNOWN.branches[-1]
    for outside in (Driver(DriverRelease(999)), Driver(cuda=CudaVersion(99, 0))):
        assert KNOWN.branch(outside) == (newest, Standing.NEWER)
    for outside in (Driver(DriverRelease(390, 157)), Driver(cuda=CudaVersion(9, 1))):
        assert KNOWN.branch(outside) == (oldest, Standing.OLDER)
        assert KNOWN.accepted_ptx(outside) is None
    assert KNOWN.driver_cuda(Driver(DriverRelease(553, 24))) == CudaVersion(12, 4)


def test_horizons_are_those_of_the_rows() -> None:
    horizons = {table: raw(table)["horizon"] for table in TABLES if table != "sources"}
    newest = str(KNOWN.horizon)
    assert horizons["architectures"] == horizons["families"] == horizons["products"] == newest
    assert horizons["toolkits"] == str(KNOWN.toolkits[-1].cuda)
    assert horizons["ptx"] == str(KNOWN.ptx[-1][0])
    assert horizons["drivers"] == horizons["driver_devices"] == str(KNOWN.branches[-1].number)
    assert KNOWN.toolkits[-1].cuda == KNOWN.ptx[-1][0] == KNOWN.branches[-1].cuda, "all reach equally far"


GOOD = {"capability": "9.0", "n": 1, "flag": True, "names": ["x"], "sources": ["s"], "grade": "measured"}


def row(**changes: object) -> Row:
    fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return Row("trial", fields, frozenset({"s"}))


@pytest.mark.parametrize(
    ("broken", "read", "rule"),
    [
        (row(capability=...), lambda r: r.capability("capability"), "`capability` is missing"),
        (row(capability="9.x"), lambda r: r.capability("capability"), "expected"),
        (row(capability=9), lambda r: r.capability("capability"), "not a text"),
        (row(n="1"), lambda r: r.integer("n"), "whole number"),
        (row(n=True), lambda r: r.integer("n"), "whole number"),
        (row(n=None), lambda r: r.whole("n"), "is null"),
        (row(flag="yes"), lambda r: r.boolean("flag"), "true or false"),
        (row(names="x"), lambda r: r.strings("names"), "list of texts"),
        (row(names=[1]), lambda r: r.strings("names"), "list of texts"),
        (row(sources=[]), lambda r: r.sources(), "cites no source"),
        (row(sources=["t"]), lambda r: r.sources(), "unknown source `t`"),
        (row(grade="sure"), lambda r: r.grade(), "grade"),
        (row(extra=1), lambda r: r.end(), "unknown field"),
    ],
)
def test_a_broken_row_is_refused_by_table_row_and_rule(broken: Row, read: Any, rule: str) -> None:
    with pytest.raises(TableError) as caught:
        read(broken)
    assert caught.value.table == "trial"
    assert rule in caught.value.rule


def test_a_row_that_is_no_object_is_refused() -> None:
    with pytest.raises(TableError):
        Row("trial", [], None)


@pytest.mark.parametrize("text", ["", "[]", '{"rows": 1}', "{"])
def test_a_file_that_is_no_table_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.json").write_text(text)
    monkeypatch.setattr(reading, "_DATA", tmp_path)
    with pytest.raises(TableError):
        read_tables()
