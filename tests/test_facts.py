"""Records as JSON: what is written is what is read, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cuda_versions, devices, drivers, fatbins, images, libraries

from capably.facts import (
    Artifact,
    ArtifactKind,
    BareImages,
    Device,
    Driver,
    Fatbin,
    FatbinGroup,
    Finding,
    Image,
    ImageKind,
    Library,
    from_json,
    to_json,
)
from capably.version import CudaVersion

TEXT = st.text(max_size=8)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
findings = st.builds(Finding, TEXT, TEXT, TEXT)
bare = st.builds(BareImages, TEXT, images(), st.integers(0, 9))
full_libraries = st.builds(
    Library,
    TEXT,
    st.integers(0, 1 << 60),
    st.lists(st.builds(FatbinGroup, fatbins, st.integers(1, 9)), max_size=3).map(tuple),
    st.lists(bare, max_size=2).map(tuple),
    st.none() | TEXT,
    TEXTS,
    TEXTS,
    st.none() | TEXT,
)
artifacts = st.builds(
    Artifact,
    TEXT,
    st.sampled_from(ArtifactKind),
    st.lists(full_libraries, max_size=2).map(tuple),
    st.lists(findings, max_size=3).map(tuple),
    st.none() | TEXT,
    st.none() | TEXT,
    TEXTS,
    st.integers(0, 99),
    st.none() | TEXT,
)
records = st.one_of(
    artifacts, full_libraries, libraries, fatbins, images(), bare, findings, devices, drivers,
    st.builds(Image, st.sampled_from(ImageKind), st.none(), toolkit=st.none() | cuda_versions),
    st.builds(FatbinGroup, fatbins, st.integers(1, 9)),
)  # fmt: skip


@given(records)
def test_what_is_written_is_read(record: object) -> None:
    text = json.dumps(to_json(record), separators=(",", ":"))
    assert from_json(type(record), json.loads(text)) == record


def test_numbers_of_any_size_survive() -> None:
    image = Image(ImageKind.SASS, None, toolkit=CudaVersion(429_496_729, 5))  # of a cubin of noise
    assert from_json(Image, to_json(image)) == image


def test_fields_with_their_default_are_left_out() -> None:
    assert to_json(Image(ImageKind.SASS, None)) == {"kind": "sass", "target": None}
    assert to_json(Artifact("x", ArtifactKind.WHEEL)) == {"path": "x", "kind": "wheel"}


IMAGE: dict[str, Any] = {"kind": "sass", "target": "sm_90a"}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "sass",
        {},
        {"kind": "sass"},
        {**IMAGE, "more": 1},
        {**IMAGE, "kind": "sasss"},
        {**IMAGE, "kind": []},
        {**IMAGE, "target": 90},
        {**IMAGE, "target": "90a"},
        {**IMAGE, "target": "sm_9"},
        {**IMAGE, "target": []},
        {**IMAGE, "relocatable": 1},
        {**IMAGE, "stub": "no"},
        {**IMAGE, "ptx": [8]},
        {**IMAGE, "ptx": [8, True]},
        {**IMAGE, "ptx": [8, 7, 1]},
        {**IMAGE, "ptx": "8.7"},
        {**IMAGE, "code_version": [1, 7, 0]},
        {**IMAGE, "code_version": {"1": 7}},
    ],
)
def test_anything_else_is_refused(value: object) -> None:
    assert to_json(from_json(Image, IMAGE)) == IMAGE
    with pytest.raises(ValueError, match=r"."):
        from_json(Image, value)


def test_rules_of_records_hold_for_json_too() -> None:
    with pytest.raises(ValueError, match="needs a release"):
        from_json(Driver, {})
    with pytest.raises(ValueError, match="capability"):
        from_json(Device, {"capability": "0.1"})
    with pytest.raises(ValueError, match="expected list"):
        from_json(Fatbin, {"images": {}})


def test_only_records_are_taken() -> None:
    with pytest.raises(ValueError, match="not a record: CudaVersion"):
        to_json(CudaVersion(12, 8))
    with pytest.raises(ValueError, match="not a kind of record: int"):
        from_json(int, 3)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["path", "kind", "libraries", "findings", "size_bytes", "images", "fatbins", "x"]), inner, max_size=5
    ),
)  # fmt: skip


@given(values)
def test_any_json_is_a_record_or_a_value_error(value: object) -> None:
    try:
        record = from_json(Artifact, value)
    except ValueError:
        return
    assert from_json(Artifact, to_json(record)) == record
