"""Kernels: what becomes of each on a device, what they are called, and how that is told."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import build
import pytest
from goldens import golden
from hypothesis import given
from hypothesis import strategies as st
from plain import make_plain
from schemas import fits_schema
from strategies import devices, drivers, libraries

from capably import cli
from capably.arch import ComputeCapability
from capably.cli.console import WrongUseError
from capably.cli.kernels import NoKernelError, find_kernels
from capably.engine import Coverage, OutcomeCounts, judge, judge_kernels
from capably.facts import Device, Driver, FatbinGroup, FatbinKernels, ImageKernels, ImageKind, Library
from capably.report.names import demangled, families, without_parameters
from capably.report.safe import columns
from capably.scanner import scan
from capably.tables import tables

Captured = pytest.CaptureFixture[str]
SYSTEMS = Path(__file__).parent / "data/systems"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    make_plain(monkeypatch)


def device(capability: str) -> tuple[Device, Driver]:
    found = ComputeCapability.parse(capability)
    return Device(found), tables().newest_driver(found)


def written(tmp_path: Path, *fatbins: bytes) -> Library:
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(*fatbins))
    (library,) = scan(path, with_kernels=True).libraries
    return library


def coverages(library: Library, capability: str) -> dict[str, tuple[Coverage | None, bool]]:
    return {one.name: (one.counts.coverage, one.left_out) for one in judge_kernels(library, *device(capability))}


# ---------------------------------------------------------------------------------------------------------
# What becomes of a kernel


def with_kernels(library: Library) -> Library:
    """Every image that can hold kernels holds those of its fatbin; link input holds those of all."""
    names = {id(group): f"k{index}" for index, group in enumerate(library.fatbins)}
    every = tuple(names.values())
    found = []
    for group in library.fatbins:
        own = every if group.fatbin.relocatable else (names[id(group)],)
        images = tuple(
            ImageKernels(
                image,
                ()
                if image.stub
                else None
                if image.stub is None or image.kind not in (ImageKind.SASS, ImageKind.PTX)
                else own,
            )
            for image in group.fatbin.images
        )
        found += [FatbinKernels(group.fatbin.section, images)] * group.count
    return Library(library.path, library.size_bytes, library.fatbins, kernels=tuple(found))


small = libraries.map(
    lambda library: Library(
        library.path,
        library.size_bytes,
        tuple(FatbinGroup(group.fatbin, group.count % 3 + 1) for group in library.fatbins),
    )
)


@given(small, devices, st.none() | drivers)
def test_kernels_that_every_image_holds_fare_as_their_fatbin(
    library: Library, device: Device, driver: Driver | None
) -> None:
    library = with_kernels(library)
    parts = iter(judge(library, device, driver).parts)
    expected = {}
    for index, group in enumerate(library.fatbins):
        if group.fatbin.relocatable or group.fatbin.idle:
            continue
        part = next(parts)
        held = any(
            image.stub is False and image.kind in (ImageKind.SASS, ImageKind.PTX) for image in group.fatbin.images
        )
        if held:
            assert part.outcome is not None
            expected[f"k{index}"] = OutcomeCounts(**{part.outcome.value: group.count})
    assert {one.name: one.counts for one in judge_kernels(library, device, driver)} == expected


def test_a_kernel_that_the_image_for_the_device_lacks(tmp_path: Path) -> None:
    """As in vllm 0.11.0, whose bfloat16 kernels are in all images of a fatbin but those for 7.0 and 7.5."""
    library = written(
        tmp_path,
        build.fatbin(
            [build.sass("sm_75", kernels=("both",)), build.sass("sm_80", kernels=("both", "bf16")), build.sass("sm_90")]
        ),
    )
    assert coverages(library, "7.5") == {
        "both": (Coverage.FULL, False),
        "bf16": (Coverage.NONE, True),
        "k": (Coverage.NONE, True),
    }
    assert coverages(library, "8.0")["bf16"] == (Coverage.FULL, False)
    assert coverages(library, "12.0")["bf16"] == (Coverage.NONE, False)
    assert [str(t) for one in judge_kernels(library, *device("7.5")) if one.name == "bf16" for t in one.targets] == [
        "sm_80"
    ]


def test_an_image_that_the_driver_may_take_instead_leaves_it_undecided(tmp_path: Path) -> None:
    library = written(
        tmp_path, build.fatbin([build.sass("sm_80", kernels=("old", "all")), build.sass("sm_86", kernels=("all",))])
    )
    assert coverages(library, "8.6") == {"old": (Coverage.UNKNOWN, True), "all": (Coverage.FULL, False)}
    assert coverages(library, "8.9") == {"old": (Coverage.UNKNOWN, True), "all": (Coverage.FULL, False)}
    assert coverages(library, "8.0") == {"old": (Coverage.FULL, False), "all": (Coverage.FULL, False)}


def test_which_of_two_equal_images_the_driver_takes_is_not_known(tmp_path: Path) -> None:
    library = written(
        tmp_path, build.fatbin([build.sass(kernels=("both", "first")), build.sass(kernels=("both", "second"))])
    )
    assert coverages(library, "9.0") == {
        "both": (Coverage.FULL, False),
        "first": (Coverage.UNKNOWN, True),
        "second": (Coverage.UNKNOWN, True),
    }


def test_link_input_adds_images_to_the_kernels_that_were_linked(tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    linked = build.fatbin([build.sass("sm_80", kernels=("a", "b"))])
    origins = [
        build.fatbin([build.sass("sm_80", kernels=("a", "gone"), relocatable=True), build.ptx_entry(entries=("a",))]),
        build.fatbin([build.sass("sm_80", kernels=("b",), relocatable=True)]),
    ]
    path.write_bytes(
        build.elf([build.section(".nv_fatbin", linked), build.section("__nv_relfatbin", b"".join(origins))])
    )
    (library,) = scan(path, with_kernels=True).libraries
    # Whether a driver links relocatable PTX is not known; of `b` there is machine code for 8.0 only.
    assert coverages(library, "9.0") == {"a": (Coverage.UNKNOWN, False), "b": (Coverage.NONE, False)}
    assert coverages(library, "8.0") == {"a": (Coverage.FULL, False), "b": (Coverage.FULL, False)}


def test_a_stub_for_the_device_leaves_the_kernels_out(tmp_path: Path) -> None:
    library = written(tmp_path, build.fatbin([build.sass("sm_80", kernels=()), build.sass("sm_90a", kernels=("tma",))]))
    assert coverages(library, "8.0") == {"tma": (Coverage.NONE, True)}


def test_code_that_cannot_be_read_leaves_it_undecided(tmp_path: Path) -> None:
    library = written(tmp_path, build.fatbin([build.sass("sm_80"), build.entry("tileir", "sm_90", b"\1" * 64)]))
    assert coverages(library, "9.0") == {"k": (Coverage.UNKNOWN, False)}


def test_link_time_ir_leaves_nothing_undecided(tmp_path: Path) -> None:
    library = written(tmp_path, build.fatbin([build.sass("sm_80"), build.entry("ltoir", "lto_90", b"\1" * 64)]))
    assert coverages(library, "9.0") == {"k": (Coverage.NONE, False)}


def test_a_kernel_in_several_fatbins_may_be_there_in_some(tmp_path: Path) -> None:
    library = written(tmp_path, build.fatbin([build.sass("sm_80")]), build.fatbin([build.sass("sm_90")]))
    (one,) = judge_kernels(library, *device("9.0"))
    assert one.counts == OutcomeCounts(runs=1, fails=1)


def test_kernels_have_to_be_scanned(tmp_path: Path) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(build.library(build.fatbin([build.sass()])))
    with pytest.raises(ValueError, match=r"lib\.so was scanned without its kernels"):
        judge_kernels(scan(path).libraries[0], *device("9.0"))


# ---------------------------------------------------------------------------------------------------------
# Names

# Of torch 2.7.1, vllm 0.11.0 and torchvision 0.29.2.
REAL = (
    "_ZN4vllm25paged_attention_v1_kernelIfhLi32ELi8ELi128ELNS_18Fp8KVCacheDataTypeE1ELb0EEEvPT_PKS2_PKT0_S8_ifPKiSA_iPKfiiiSC_SC_iiiii",
    "_Z39fmha_cutlassF_f16_aligned_64x64_rf_sm50N22PyTorchMemEffAttention15AttentionKernelIN7cutlass6half_tENS1_4arch4Sm50ELb1ELi64ELi64ELi64ELb1ELb1EE6ParamsE",
    "_ZN6vision3ops64_GLOBAL__N__81f4bd74_25_box_iou_rotated_kernel_cu_f5d54401_1631927box_iou_rotated_cuda_kernelIfEEviiPKT_S5_Pf",
    "_ZN4c10d16symmetric_memory18wait_signal_kernelEPPjiiiim",
)


def test_names_are_demangled_as_by_binutils() -> None:
    """On all 29,322 names of torch 2.7.1 and vllm 0.11.0 the two agree, save for 331 that c++filt finds too deep."""
    tool = shutil.which("c++filt")
    if tool is None:
        pytest.skip("there is no c++filt")
    done = subprocess.run([tool], input="\n".join(REAL), capture_output=True, text=True, check=True)
    assert [demangled(name) for name in REAL] == done.stdout.splitlines()


def bomb(depth: int) -> str:
    """a<a<a<…>, …>, …> where each is twice the one before: a few bytes for each doubling."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "_Z1f1aIiiE" + "".join(f"S_IS{digits[i]}_S{digits[i]}_E" for i in range(depth))


@pytest.mark.parametrize(
    "name", [bomb(30), "_Z1f" + "P" * 50_000 + "i", "_Z" + "N1a" * 5_000, "_Z9999999999x", "_Z1fIL"]
)
def test_hostile_names_stay_small(name: str) -> None:
    assert len(demangled(name)) <= 1 << 16
    assert len(without_parameters(name)) <= 1 << 16
    assert [len(family.members) for family in families([name, f"{name}x"])] in ([2], [1, 1])


def test_names_longer_than_any_that_is_known_are_left_as_they_are() -> None:
    """A thousand families of them took minutes."""
    name = "_Z1fI" + "NS_1aE" * 8000 + "Evv"
    assert (demangled(name), without_parameters(name)) == (name, name)


@given(st.lists(st.text(max_size=40) | st.sampled_from(REAL).map(lambda n: n[:30] + n[31:]) | st.sampled_from(REAL)))
def test_each_name_is_in_one_family(names: list[str]) -> None:
    found = families(names)
    assert Counter(member for family in found for member in family.members) == Counter(names)
    assert [len(family.members) for family in found] == sorted((len(f.members) for f in found), reverse=True)


def test_a_family_is_a_template() -> None:
    instances = [f"_ZN1a6kernelIN1b1gIL{kind}{number}EEEEEvT_" for kind in "ij" for number in range(40)]
    plain = [f"_Z{len(name)}{name}Pf" for name in ("alone", "other")]
    assert [(family.name, len(family.members)) for family in families([*instances, *plain])] == [
        ("a::kernel<b::g<…>…>", 80),
        ("alone", 1),
        ("other", 1),
    ]
    kinds = [f"_ZN1a6kernelIN1b2g{letter}IiEEEEvT_" for letter in "abcdefghijk"]
    assert [(family.name, len(family.members)) for family in families(kinds)] == [("a::kernel<…>", 11)]


def test_only_the_largest_families_are_named() -> None:
    names = [f"_Z5k{number:04}Pf" for number in range(1_500)]
    assert [len(family.members) for family in families(names) if family.name is None] == [500]


# ---------------------------------------------------------------------------------------------------------
# The command line


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    def instances(name: str, count: int) -> tuple[str, ...]:
        return tuple(f"_ZN4pack{len(name)}{name}ILi{number}EEEvPf" for number in range(count))

    attention, gemm = instances("attention_kernel", 40), instances("gemm_tma", 25)
    library = build.library(
        build.fatbin(
            [
                build.entry(
                    "sass",
                    "sm_75",
                    build.cubin("sm_75", kernels=("_ZN4pack7prepareEv",), registers=24),
                    compression="lz4",
                ),
                build.entry(
                    "sass", "sm_80", build.cubin("sm_80", kernels=(*attention, "_ZN4pack7prepareEv"), shared=4096)
                ),
                build.ptx_entry("compute_90", "8.0", entries=(*attention, "_ZN4pack7prepareEv")),
            ]
        ),
        build.fatbin([build.sass("sm_90a", kernels=gemm, compression="zstd")]),
    )
    return build.wheel(tmp_path, "pack", "1.0", {"pack/_C.so": library})


def run(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    code = cli.main([*arguments])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_check_names_the_kernels(wheel: Path, capsys: Captured) -> None:
    code, text, _ = run(capsys, "check", str(wheel), "--gpu", "T4,A100,H100,RTX 5090", "--kernels", "-q")
    assert code == 0
    golden("check-kernels", text)


def test_check_answers_about_kernels_in_json(wheel: Path, capsys: Captured) -> None:
    _, text, _ = run(capsys, "check", str(wheel), "--gpu", "T4,H100", "--kernels", "--json")
    document: dict[str, Any] = json.loads(text)
    fits_schema(document)
    turing, hopper = (result["libraries"][0]["kernels"] for result in document["results"])
    assert turing["count"] == hopper["count"] == 66
    assert turing["outcomes"] == {"full": 1, "partial": 0, "none": 65, "unknown": 0}
    assert [(group["targets"], group["count"], group["left_out"]) for group in turing["groups"]] == [
        (["sm_80", "compute_90"], 40, True),
        (["sm_90a"], 25, False),
    ]
    assert hopper["groups"] == []


def test_check_finds_a_kernel(wheel: Path, capsys: Captured) -> None:
    _, text, _ = run(capsys, "check", str(wheel), "--gpu", "T4,RTX 5090", "--kernel", "pack::prepare", "-q")
    assert "for sm_75, sm_80 and compute_90: native on T4; PTX on RTX 5090" in text
    assert "gemm" not in text


def test_kernels_that_lack_nothing_are_one_line(wheel: Path, capsys: Captured) -> None:
    _, text, _ = run(capsys, "check", str(wheel), "--gpu", "H100", "--kernels", "-q")
    assert "pack 1.0: each of 66 kernels has code for each GPU\n" in text


def test_scan_lists_kernels(wheel: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(wheel.parent)
    _, text, _ = run(capsys, "scan", wheel.name, "--kernels", "-q")
    _, one, _ = run(capsys, "scan", wheel.name, "--kernel", "/prepare|kernel<1>/", "-q")
    golden("scan-kernels", f"{text}\n{one}")


def test_scan_answers_about_kernels_in_json(wheel: Path, capsys: Captured) -> None:
    _, text, _ = run(capsys, "scan", str(wheel), "--kernels", "--json")
    document: dict[str, Any] = json.loads(text)
    fits_schema(document)
    rows = {row["demangled"]: row for row in document["artifacts"][0]["libraries"][0]["kernels"]}
    assert len(rows) == 66
    assert rows["void pack::gemm_tma<7>(float*)"]["name"] == "_ZN4pack8gemm_tmaILi7EEEvPf"
    assert [
        (image["kind"], image["target"], image["count"], image["registers"], image["shared_bytes"])
        for image in rows["pack::prepare()"]["images"]
    ] == [
        ("sass", "sm_75", 1, [24], [0]),
        ("sass", "sm_80", 1, [32], [4096]),
        ("ptx", "compute_90", 1, [], []),
    ]
    _, plain, _ = run(capsys, "scan", str(wheel), "--json")
    assert "kernels" not in json.loads(plain)["artifacts"][0]["libraries"][0]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("atention_kernel", "no kernel is called `atention_kernel`; did you mean `attention_kernel`?"),
        ("/(/", "no regular expression"),
        (" ", "--kernel is empty"),
        ("//", "--kernel is empty"),
    ],
)
def test_what_is_not_found_is_said(wheel: Path, pattern: str, message: str, capsys: Captured) -> None:
    for command in (["scan"], ["check", "--gpu", "H100"]):
        code, text, complaint = run(capsys, *command, str(wheel), "--kernel", pattern)
        assert (code, text) == (2, "")
        assert message in complaint


def test_an_expression_that_never_ends_is_given_up(wheel: Path) -> None:
    artifact = scan(wheel, with_kernels=True)
    with pytest.raises(WrongUseError, match=r"takes longer than 0\.2 seconds"):
        find_kernels([artifact], r"/^(.|..)+\d{9}$/", lambda *_: None, seconds=0.2)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("GEMM_tma", 25), ("pack::gemm_tma<3>", 1), ("/^void pack::gemm_tma<1.>/", 10), ("4pack8", 25), ("float*", 65)],
)
def test_what_a_pattern_finds(wheel: Path, pattern: str, count: int) -> None:
    assert len(find_kernels([scan(wheel, with_kernels=True)], pattern, lambda *_: None)) == count


def test_nothing_is_close_to_a_pattern_without_words(wheel: Path) -> None:
    with pytest.raises(NoKernelError, match=r"^no kernel is called `\?!`$"):
        find_kernels([scan(wheel, with_kernels=True)], "?!", lambda *_: None)


def test_hostile_names_are_shown_and_not_obeyed(tmp_path: Path, capsys: Captured) -> None:
    noise = random.Random(1)  # noqa: S311 - no secret
    names = ["\x1b[31mred", "[bold]x[/bold]", "a\nb", "_Z3a\x1b[vv", "語" * 80, bomb(30), "x" * 5_000, "\u202e"]
    names += ["".join(chr(noise.choice((7, 27, 92, 0x9B, 65, 0x3042))) for _ in range(200)) for _ in range(20)]
    library = build.library(build.fatbin([build.sass("sm_90", kernels=tuple(dict.fromkeys(names)))]))
    path = build.wheel(tmp_path, "hostile", "1.0", {"hostile/_C.so": library})
    for command in (
        ["check", "--gpu", "T4", "--kernels", "-v"],
        ["check", "--gpu", "T4", "--kernel", "red"],
        ["scan", "--kernels"],
        ["scan", "--kernel", "red"],
        ["scan", "--kernel", "/./"],
    ):
        code, text, _ = run(capsys, command[0], str(path), *command[1:], "-q", "--color", "never")
        assert code == 0
        assert all(line.isprintable() for line in text.splitlines())
        long = [line for line in text.splitlines() if columns(line) > 80]
        assert [line for line in long if str(tmp_path) not in line and "https://" not in line] == []
