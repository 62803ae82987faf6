"""How tools are asked for targets: what is written is read as those tools read it, and as a shell does."""

from __future__ import annotations

import pytest

from capably.arch import Suffix, Target, TargetKind
from capably.archlist import DIALECTS, read
from capably.errors import DialectError, ParseError, UnknownNameError
from capably.list_output import deciding, environment, offers, spell
from capably.tables import tables
from capably.version import CudaVersion

NEWEST = tables().toolkits[-1]


def targets(text: str) -> tuple[Target, ...]:
    return tuple(map(Target.parse, text.split()))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("toolkit", [row for row in tables().toolkits if row.cuda >= CudaVersion(11, 8)], ids=str)
def test_what_is_offered_is_what_the_tool_makes_of_it(dialect: str, toolkit: object) -> None:
    emitter = next(row for row in tables().toolkits if row is toolkit)
    offered = offers(dialect, None, emitter.targets, emitter.cuda)
    for entry in offered:
        found = spell(entry, dialect, toolkit=emitter.cuda)
        if dialect == "triton":
            assert found.problem
            continue
        assert found.text is not None
        reading = read(found.text, dialect, toolkit=emitter.cuda)
        assert set(reading.targets or ()) == set(entry)
        assert all(emitter.emits(target) for target in entry)
    if dialect == "triton":
        return
    for real in map(Target.parse, emitter.targets):
        virtual = Target(real.capability, real.suffix, TargetKind.VIRTUAL)
        of_it = {entry for entry in offered if real in entry or virtual in entry}
        alone = {(one,) for one in (real, virtual) if spell((one,), dialect, toolkit=emitter.cuda).text is not None}
        # PTX with `a` is for one capability, where machine code loads as well: only where it cannot be left out.
        useless = {(virtual,)} if real.suffix is Suffix.ARCH_SPECIFIC else set()
        assert {entry for entry in of_it if len(entry) == 1} == alone - useless
        assert of_it <= alone or not (len(alone) == 2 or (useless and (real,) in alone))


@pytest.mark.parametrize(
    ("dialect", "text", "with_it"),
    [
        ("cmake", "90a-virtual", "90a"),
        ("torch-python", None, "9.0a+PTX"),
        ("nvcc-gencode", "-gencode arch=compute_90a", ""),
    ],
)
def test_ptx_for_one_capability_can_be_said_and_is_not_offered(dialect: str, text: str | None, with_it: str) -> None:
    cuda = CudaVersion(12, 8)
    assert (spell(targets("compute_90a"), dialect, toolkit=cuda).text or "").startswith(text or "")
    assert (spell(targets("compute_90a"), dialect, toolkit=cuda).text is None) is (text is None)
    assert (spell(targets("sm_90a compute_90a"), dialect, toolkit=cuda).text or "").startswith(with_it)
    assert offers(dialect, None, ("90a",), cuda) == (targets("sm_90a"),)


@pytest.mark.parametrize(
    ("wanted", "dialect", "version", "expected"),
    [
        ("sm_80 sm_90 compute_90", "torch-python", "2.15.0", {"TORCH_CUDA_ARCH_LIST": "8.0;9.0+PTX"}),
        ("sm_80 sm_120f", "torch-cmake", "2.15.0", {"TORCH_CUDA_ARCH_LIST": "8.0;12.0f"}),
        ("sm_80 sm_90a compute_80", "cmake", "3.25", {"CUDAARCHS": "80;90a-real"}),
        ("sm_80 sm_90a sm_120f", "flashinfer", "0.7.2", {"FLASHINFER_CUDA_ARCH_LIST": "8.0 9.0a 12.0f"}),
        ("sm_90 compute_90", "nvcc-arch", None, {"NVCC_APPEND_FLAGS": "-arch=sm_90"}),
        ("sm_90a", "nvcc-gencode", None, {"NVCC_APPEND_FLAGS": "-gencode arch=compute_90a,code=sm_90a"}),
        ("sm_80 sm_90", "flash-attn", "2.8.3", {"FLASH_ATTN_CUDA_ARCHS": "80;90"}),
        ("sm_80 sm_90", "cupy", None, {"CUPY_NVCC_GENERATE_CODE": "arch=compute_80,code=sm_80;arch=compute_90,code=sm_90"}),
    ],
)  # fmt: skip
def test_variables(wanted: str, dialect: str, version: str | None, expected: dict[str, str]) -> None:
    assert environment(targets(wanted), dialect, version, toolkit=NEWEST.cuda) == expected


@pytest.mark.parametrize(
    ("wanted", "dialect", "version", "toolkit", "words"),
    [
        ("sm_120f", "torch-python", "2.15.0", None, "has no targets with `f`"),
        ("compute_90", "torch-python", None, None, "asks for compute_90, sm_90"),
        ("sm_110", "torch-python", "2.7.1", None, "does not know it (from torch 2.9)"),
        ("sm_120f", "cmake", "4.0.0", None, "knows no suffix `f`"),
        ("sm_90", "flashinfer", "0.7.2", None, "asks for sm_90a"),
        ("sm_90", "flashinfer", "0.2.5", None, "does not read FLASHINFER_CUDA_ARCH_LIST"),
        ("sm_75", "flash-attn", "2.8.3", None, "it knows 80, 90, 100, 120"),
        ("sm_80 sm_90", "flash-attn", "2.7.2", None, "does not read FLASH_ATTN_CUDA_ARCHS"),
        ("sm_80 sm_90a", "triton", None, None, "compiles for the GPU that is there"),
        ("sm_90a", "triton", None, None, "compiles for the GPU that is there"),
        ("sm_75", "bitsandbytes", None, None, "pass -DCOMPUTE_CAPABILITY=75-real to CMake"),
        ("sm_80 sm_90", "nvcc-arch", None, None, "takes one architecture"),
        ("sm_100", "nvcc-gencode", None, "12.6", "Unsupported gpu architecture"),
    ],
)
def test_what_cannot_be_said_is_not_approximated(
    wanted: str, dialect: str, version: str | None, toolkit: str | None, words: str
) -> None:
    cuda = CudaVersion.parse(toolkit) if toolkit else NEWEST.cuda
    with pytest.raises(DialectError) as caught:
        environment(targets(wanted), dialect, version, toolkit=cuda)
    assert words in caught.value.problem


def test_bitsandbytes_gives_ptx_to_the_highest_alone() -> None:
    texts = {
        wanted: spell(targets(wanted), "bitsandbytes", toolkit=NEWEST.cuda).text
        for wanted in ("sm_75 sm_120", "sm_120 sm_75 compute_120", "sm_75 compute_120", "sm_75 compute_75 sm_80")
    }
    assert list(texts.values()) == ["75;120-real", "75;120", "75;120-virtual", None]


def test_old_versions_leave_it_to_another_list() -> None:
    assert [deciding("flashinfer", v) for v in ("0.2.5", "0.3.1", "0.7.2.post1", None)] == [
        "torch-python", "flashinfer", "flashinfer", "flashinfer",
    ]  # fmt: skip
    assert deciding("cmake", "3.31") == "cmake"
    with pytest.raises(UnknownNameError):
        deciding("torch")
    with pytest.raises(ParseError):
        deciding("cmake", "new")
