"""Laws of the tables, row by row and across rows, and the strictness of their reader."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capably.arch import ComputeCapability, Target
from capably.codes import Grade
from capably.errors import TableError, UnknownNameError
from capably.facts import Driver, Standing
from capably.tables import Tables, queries, tables, vocabulary
from capably.version import CudaVersion, DriverRelease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
DATA = Path(queries.__file__).parent / "data"
TABLES = sorted(path.stem for path in DATA.glob("*.json"))
KNOWN = tables()


_spec = importlib.util.spec_from_file_location("format_tables", ROOT / "tools/format_tables.py")
assert _spec is not None
assert _spec.loader is not None
format_tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(format_tables)


def raw(table: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / f"{table}.json").read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("table", TABLES)
def test_a_table_names_itself_its_horizon_and_a_source_for_each_row(table: str) -> None:
    document = raw(table)
    assert document["table"] == table
    assert document["about"]
    if table == "sources":
        assert len({row["key"] for row in document["rows"]}) == len(document["rows"])
        return
    assert document["horizon"]
    for row in document["rows"]:
        assert row["sources"], row
        assert row["grade"] in list(Grade), row
        assert set(row["sources"]) <= set(KNOWN.sources), row


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_written_in_its_one_form(table: str) -> None:
    """So that a change of one field is one line, and no field is there twice."""
    text = (DATA / f"{table}.json").read_text(encoding="utf-8")
    assert format_tables.formatted(json.loads(text)) == text, "run tools/format_tables.py"


def test_a_table_that_people_edit_has_a_field_on_each_line() -> None:
    text = format_tables.formatted({"table": "x", "rows": [{"a": 1, "b": ["y" * 60, "z" * 60], "c": {"d": "e"}}]})
    assert text.splitlines()[3:-2] == [
        "    {",
        '      "a": 1,',
        '      "b": [',
        f'        "{"y" * 60}",',
        f'        "{"z" * 60}"',
        "      ],",
        '      "c": {"d": "e"}',
        "    }",
    ]
    by_column = format_tables.formatted({"table": "ptx", "rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]})
    assert by_column.splitlines()[3:-2] == ['    {"a": 1, "b": 2},', '    {"a": 3, "b": 4}']


def test_every_word_for_a_dialect_is_used_by_a_row_and_read_by_its_reader() -> None:
    source = ROOT / "src/capably"
    read = "".join(
        path.read_text(encoding="utf-8") for path in (*source.glob("archlist/*.py"), source / "list_output.py")
    )
    for dialect, rules in vocabulary.DIALECT_RULES.items():
        rows = [row for row in KNOWN.dialects if row.dialect == dialect]
        assert {rule for row in rows for rule in row.rules} == set(rules)
        assert {name for row in rows for name, _ in row.lists} == set(vocabulary.DIALECT_LISTS[dialect])
        for word in (*rules, *vocabulary.DIALECT_LISTS[dialect]):
            assert f'"{word}"' in read or word.startswith("instead:"), word


def test_toolkits_rise_and_drop_nothing_that_they_bring_back() -> None:
    assert [t.cuda for t in KNOWN.toolkits] == sorted({t.cuda for t in KNOWN.toolkits})
    assert (KNOWN.toolkits[0].cuda, KNOWN.toolkits[-1].cuda) == (CudaVersion(10, 0), KNOWN.cuda_horizon("toolkits"))
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
    # A number that was given up has none, but for 10.1, whose `f` code ptxas 12.8 and 12.9 made.
    own = {c for c, a in KNOWN.architectures.items() if a.renamed is None}
    assert set(members) == own | {ComputeCapability(10, 1)}
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


def test_a_name_of_a_product_can_be_of_any_length() -> None:
    begin = time.process_time()
    for part in ("(", "()", ") ", "a-1", "mig ", "RTX ", "-9", "hbm"):
        with pytest.raises(UnknownNameError):
            KNOWN.find_products(part * (200_000 // len(part)))
    assert time.process_time() - begin < 5


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


# -- the reader is strict: a copy of the tables with one thing changed is refused, or what was changed is free

ATTRIBUTES = {
    "cubin_abi": "code_versions",
    "driver_devices": "driver_ranges",
    "drivers": "branches",
    "tegra": "last_isolating_toolkit",
}
# What a person writes freely: prose, patterns, and the names of things outside the tables. Everything else is a word of
# a closed list, a number or version between bounds, or the name of something in a table.
FREE = {
    "sources": {"title", "url"},
    "architectures": {"name"},  # but for what dialects say of them
    "features": {"feature", "title"},
    "runtimes": {"pattern"},
    "products": {"name", "aliases"},
    "instances": {"instance"},
    "alternatives": {"pattern"},
    "packages": {"title", "distributions", "conflicts", "part", "core", "vendor", "assemblers", "particular", "check"},
    "file_roles": {"title", "pattern", "product_of"},
    "run_time_compilers": {"file", "brought_by"},
    "causes": {"title", "cause", "way_out", "next"},
    "messages": {"code", "title", "needles", "patterns", "means", "because"},
    "errors": {"names", "text", "means"},  # names are compared with NVIDIA's headers
    "known_builds": {"package"},
    "dialects": {"ignored"},
}


class Copy:
    """The tables in a folder of their own, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(DATA, folder, dirs_exist_ok=True)

    def change(self, table: str, change: Callable[[dict[str, Any]], object]) -> Copy:
        document = raw(table)
        change(document)
        (self.folder / f"{table}.json").write_text(json.dumps(document), encoding="utf-8")
        return self

    def read(self, table: str) -> None:
        """Read that table, and all others that may depend on it."""
        known = Tables(self.folder)
        getattr(known, ATTRIBUTES.get(table, table))
        for other in TABLES:
            getattr(known, ATTRIBUTES.get(other, other))


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_copy_without_a_change_is_read(copy: Copy) -> None:
    copy.read("sources")


def test_the_error_names_file_row_key_and_what_is_allowed(copy: Copy) -> None:
    copy.change("families", lambda document: document["rows"][6].update(kind="familly"))
    with pytest.raises(TableError) as caught:
        copy.read("families")
    assert str(caught.value) == "families.json, row 7 (10.x): `kind` is `familly`; allowed: `major`, `family`"


def test_a_rule_of_a_dialect_that_nothing_reads_is_refused(copy: Copy) -> None:
    def misspell(document: dict[str, Any]) -> None:
        row = next(row for row in document["rows"] if "normalised" in row["rules"])
        row["rules"] = row["rules"].replace("normalised", "normalized")

    copy.change("dialects", misspell)
    with pytest.raises(TableError, match=r"`rules` is `normalized`; allowed: .*`normalised`"):
        copy.read("dialects")


def test_a_word_for_how_a_library_is_chosen_that_nothing_reads_is_refused(copy: Copy) -> None:
    copy.change("alternatives", lambda document: document["rows"][1].update(chosen_by="capabilty"))
    with pytest.raises(TableError, match="`chosen_by` is `capabilty`; allowed: `cuda-version`, `capability`"):
        copy.read("alternatives")


def cells(value: object, way: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The texts in a row, each with the way to it; a name in an object is one, as the way to what it names."""
    match value:
        case str():
            yield way, value
        case dict():
            for key, inner in value.items():
                yield from cells(inner, (*way, key))
                if way:
                    yield (*way, key, "name"), key
        case list():
            for index, inner in enumerate(value):
                yield from cells(inner, (*way, index))
        case _:
            pass


def put(row: dict[str, Any], way: tuple[str | int, ...], text: str) -> None:
    inner: Any = row
    *before, last = way
    if last == "name" and len(way) > 1:
        *before, key, _ = way
        for step in before:
            inner = inner[step]
        inner[text] = inner.pop(key)
        return
    for step in before:
        inner = inner[step]
    inner[last] = text


def slips(text: str) -> Iterator[str]:
    """*text* with one letter changed, one too many, and one too few: in its longest word."""
    word = max(re.split(r"[ ;|]", text), key=len)
    start = text.index(word)
    middle = start + len(word) // 2
    other = "q" if text[middle] != "q" else "z"
    yield text[:middle] + other + text[middle + 1 :]
    yield text[:middle] + other + text[middle:]
    if text[middle].isalpha():
        yield text[:middle] + text[middle + 1 :]


@pytest.mark.parametrize("table", TABLES)
def test_a_letter_that_is_wrong_is_refused_wherever_a_word_is_not_free(table: str, copy: Copy) -> None:
    """Of each field so many different texts that every kind of them is met."""
    document = raw(table)
    free = FREE.get(table, set()) | {"note"}
    tried: dict[str, set[str]] = {}
    accepted: set[str] = set()
    for number, row in enumerate(document["rows"]):
        for way, text in cells(row):
            field = str(way[0])
            enough = 2 if field in free else 40
            if text in (seen := tried.setdefault(field, set())) or len(seen) >= enough or not text:
                continue
            seen.add(text)
            for slip in slips(text):
                copy.change(table, lambda changed, n=number, w=way, s=slip: put(changed["rows"][n], w, s))  # type: ignore[misc]
                try:
                    copy.read(table)
                except TableError as error:
                    assert error.rule
                else:
                    assert field in free, f"{table}.json, row {number + 1}: `{field}` may be `{slip}`"
                    accepted.add(field)
    assert free - {"note"} == accepted - {"note"}, "nothing is called free that is not"


BOUNDS = [
    ("architectures", "capability", "99.9"),
    ("architectures", "renamed", "3.0"),
    ("toolkits", "cuda", "99.9"),
    ("toolkits", "cuda", "1.2"),
    ("toolkits", "targets", "75 75"),
    ("toolkits", "targets", "990"),
    ("toolkits", "targets", ""),
    ("ptx", "ptx", "99.0"),
    ("drivers", "branch", 9999),
    ("drivers", "linux", "1.2"),
    ("driver_devices", "first_branch", 3),
    ("driver_devices", "last_branch", 300),
    ("driver_devices", "first_grade", "sure"),
    ("driver_devices", "newest_cuda", "99.9"),
    ("loading", "below", "runs"),
    ("loading", "first_branch", True),
    ("shared_memory", "block_kib", 4),
    ("shared_memory", "block_kib", 9999),
    ("cubin_abi", "below", 1),
    ("cubin_abi", "first", "99.9"),
    ("tegra", "last_isolating_toolkit", "99.9"),
    ("runtimes", "cuda_major", 99),
    ("runtimes", "pattern", "("),
    ("products", "hosts", ["x86"]),
    ("products", "name", " "),
    ("products", "memory_gib", 0),
    ("instances", "gpu", "A1000"),
    ("instances", "cloud", "ibm"),
    ("instances", "instance", "a b"),
    ("instances", "count", 0),
    ("instances", "share", "yes"),
    ("instances", "memory_mib", 1),
    ("instances", "host", "arm64"),
    ("features", "requires", "fp8"),
    ("features", "title", ["x"]),
    ("alternatives", "pattern", "x"),
    ("alternatives", "distribution", "torhc"),
    ("packages", "dispatches", "yes"),
    ("packages", "compiler", "gcc"),
    ("packages", "assemblers", {"ptxas": ">=1.0"}),
    ("packages", "distributions", ["Torch"]),
    ("torch_builds", "index", "cu124"),
    ("torch_builds", "targets", "sm_999"),
    ("dialects", "numbers", "99.9"),
    ("dialects", "names", {"Volta": "99.9"}),
    ("dialects", "lists", {"Comon": "8.0"}),
    ("messages", "subject", "weather"),
    ("messages", "needles", []),
    ("messages", "needles", ["X"]),
    ("messages", "causes", ["d"]),
    ("messages", "causes", []),
    ("messages", "patterns", ["x.*y"]),
    ("messages", "patterns", ["(a|b)+"]),
    ("messages", "patterns", ["[ab]*"]),
    ("messages", "patterns", ["a{2,}"]),
    ("messages", "patterns", [r"\w+"]),
    ("messages", "patterns", ["("]),
    ("messages", "numbers", ["209"]),
    ("messages", "numbers", [0]),
    ("messages", "rank", None),
    ("messages", "numbers", [998]),
    ("messages", "usually", ["fault-in-a-kernel"]),
    ("errors", "names", ["nvmlErrorUnknown"]),
    ("errors", "subject", "weather"),
    ("known_builds", "builds", "cu1"),
    ("known_builds", "since", "2"),
    ("known_builds", "targets", "sm_999"),
    ("sources", "url", "http://example.org"),
    ("features", "sources", []),
    ("features", "sources", ["nobody"]),
    ("features", "grade", "sure"),
    ("features", "extra", 1),
    ("features", "note", ""),
    ("architectures", "isolated", "no"),
]


@pytest.mark.parametrize(("table", "key", "value"), BOUNDS, ids=lambda value: str(value)[:20])
def test_what_lies_beyond_the_bounds_of_a_field_is_refused_by_its_name(
    table: str, key: str, value: object, copy: Copy
) -> None:
    copy.change(table, lambda document: document["rows"][-1].update({key: value}))
    with pytest.raises(TableError) as caught:
        copy.read(table)
    assert caught.value.table == table
    assert caught.value.row.startswith(str(len(raw(table)["rows"])))
    assert f"`{key}`" in caught.value.rule
    assert "; allowed: " in caught.value.rule


@pytest.mark.parametrize("table", TABLES)
def test_a_row_that_lacks_a_field_or_is_there_twice_is_refused(table: str, copy: Copy) -> None:
    key = next(iter(raw(table)["rows"][0]))
    copy.change(table, lambda document: document["rows"][0].pop(key))
    with pytest.raises(TableError, match=f"row 1.*`{key}` is missing; allowed: "):
        copy.read(table)
    if table in ("cubin_abi", "runtimes"):  # whose rows have no name
        return
    copy.change(table, lambda document: document["rows"].append(document["rows"][-1]))
    with pytest.raises(TableError, match="allowed: "):
        copy.read(table)


@pytest.mark.parametrize("row", [None, [], "x", 1])
def test_a_row_that_is_no_object_is_refused(row: object, copy: Copy) -> None:
    copy.change("ptx", lambda document: document["rows"].append(row))
    with pytest.raises(TableError, match="allowed: an object"):
        copy.read("ptx")


@pytest.mark.parametrize(
    ("key", "value"), [("table", "px"), ("horizon", "soon"), ("horizon", 13), ("rows", {}), ("more", 1)]
)
def test_a_file_with_a_head_of_its_own_is_refused(key: str, value: object, copy: Copy) -> None:
    copy.change("ptx", lambda document: document.update({key: value}))
    with pytest.raises(TableError, match=key if key != "more" else "object of"):
        copy.read("ptx")


@pytest.mark.parametrize("text", ["", "[]", '{"rows": 1}', "{"])
def test_a_file_that_is_no_table_is_refused(text: str, copy: Copy) -> None:
    (copy.folder / "sources.json").write_text(text)
    with pytest.raises(TableError):
        copy.read("sources")


def test_a_table_is_read_when_something_first_asks_for_it(copy: Copy) -> None:
    """A gate is waited for: it reads what it needs."""
    for table in set(TABLES) - {"sources", "architectures", "features"}:
        (copy.folder / f"{table}.json").unlink()
    known = Tables(copy.folder)
    assert known.features["fp8"].grade in list(Grade)
    assert str(known.capability_horizon("features")) == raw("features")["horizon"]
    with pytest.raises(TableError):
        _ = known.products
