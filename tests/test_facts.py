"""Records survive the way to JSON and back, whatever is in them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import capabilities, cuda_versions, drivers, libraries, releases, targets

from capably.arch import ComputeCapability
from capably.errors import RecordError
from capably.facts import (
    Confidence,
    Device,
    DriverState,
    Finding,
    Library,
    System,
    Toolkit,
    ToolkitKind,
    Visibility,
    from_object,
    to_object,
)

texts = st.text(max_size=12)
counts = st.integers(0, 2**63 - 1)


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


def tuples(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


devices = st.builds(
    Device,
    capabilities,
    maybe(texts),
    tuples(texts),
    st.booleans(),
    maybe(counts),
    maybe(texts),
    maybe(texts),
    maybe(counts),
    maybe(counts),
    maybe(st.booleans()),
    maybe(st.booleans()),
    maybe(texts),
    maybe(texts),
    maybe(st.sampled_from(Confidence)),
)
toolkits = st.builds(
    Toolkit,
    st.sampled_from(ToolkitKind),
    texts,
    tuples(texts),
    maybe(cuda_versions),
    maybe(texts),
    tuples(texts),
    maybe(tuples(targets)),
    maybe(counts),
)
states = st.builds(
    DriverState,
    maybe(releases),
    maybe(releases),
    maybe(cuda_versions),
    maybe(texts),
    maybe(releases),
    st.booleans(),
    maybe(counts),
    maybe(counts),
    maybe(st.booleans()),
    maybe(counts),
)
systems = st.builds(
    System,
    machine=texts,
    driver=maybe(drivers),
    driver_state=states,
    devices=tuples(devices),
    fleet=tuples(devices),
    visibility=st.builds(Visibility, maybe(texts), maybe(texts), st.sampled_from(Confidence), texts),
    absence=maybe(texts),
    toolkits=tuples(toolkits),
    environment=tuples(st.tuples(texts, texts)),
    findings=tuples(st.builds(Finding, texts, texts, texts)),
)


@given(systems)
def test_a_system_survives_json(system: System) -> None:
    again = from_object(System, json.loads(json.dumps(to_object(system))))
    assert again == system
    assert hash(again) == hash(system)


@given(libraries)
def test_a_library_with_its_fatbins_does_too(library: Library) -> None:
    assert from_object(Library, json.loads(json.dumps(to_object(library)))) == library


def test_a_pair_of_numbers_has_two() -> None:
    value = to_object(next(iter(System().environment), ("A", "B")))
    assert value == ["A", "B"]
    with pytest.raises(RecordError, match="is missing"):
        from_object(Finding, {"code": "x", "path": "y"})


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        to_object((1.5,))


def test_a_model_is_what_equal_products_share() -> None:
    one = Device(ComputeCapability(9, 0), "H100", ordinal=0, uuid="GPU-1", via="cuda", confidence=Confidence.EXACT)
    two = replace(one, ordinal=1, uuid="GPU-2")
    assert one != two
    assert one.model == two.model == Device(ComputeCapability(9, 0), "H100")


@pytest.mark.parametrize("wrong", ["9.0", (9, 0), 9.0, None])  # (9, 0) is how torch says it
def test_a_device_takes_no_capability_that_could_not_be_compared(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"write ComputeCapability\.parse"):
        Device(wrong)  # type: ignore[arg-type]
