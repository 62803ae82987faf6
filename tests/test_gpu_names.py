"""GPUs by the names that drivers, schedulers, clouds and people give them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capably.arch import ComputeCapability
from capably.errors import AmbiguousNameError, CapablyError, ParseError, UnknownNameError
from capably.gpu_names import find_gpus, named_devices
from capably.tables import tables

DATA = Path(__file__).parent / "data"
CASES = [
    json.loads(line)
    for name in ("names.jsonl", "names_collected.jsonl")
    for line in (DATA / name).read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_names_that_were_met(case: dict[str, Any]) -> None:
    """Each with where it was met; null is refused, with what to do."""
    if case["capability"] is None:
        with pytest.raises((UnknownNameError, AmbiguousNameError)) as refused:
            named_devices([case["name"]])
        error: Any = refused.value
        helpful = getattr(error, "suggestions", None) or getattr(error, "products", None)
        assert helpful or getattr(error, "__notes__", None)
        return
    (device,) = named_devices([case["name"]])
    assert str(device.capability) == case["capability"]
    products, by_name = find_gpus(case["name"])
    assert by_name
    assert {str(product.capability) for product in products} == {case["capability"]}


def test_every_product_is_found_by_its_name_and_its_aliases() -> None:
    several = {name for name, count in _capabilities().items() if len(count) > 1}
    for product in tables().products:
        for name in (product.name, *product.aliases):
            if name not in several:
                (device,) = named_devices([name])
                assert device.capability == product.capability


def _capabilities() -> dict[str, set[ComputeCapability]]:
    found: dict[str, set[ComputeCapability]] = {}
    for product in tables().products:
        for name in (product.name, *product.aliases):
            found.setdefault(name, set()).add(product.capability)
    return found


@given(
    st.sampled_from([name for name, found in _capabilities().items() if len(found) == 1]),
    st.sampled_from(["NVIDIA {}", "{} MIG 1g.5gb", "{}-SHARED", "{} (rev a1)", "nvidia_{}", "{}_1g.5gb"]),
    st.booleans(),
)
def test_what_is_written_around_a_name_changes_no_answer(name: str, around: str, lower: bool) -> None:
    plain = named_devices([name])[0].capability
    text = around.format(name.lower().replace(" ", "_") if lower else name)
    try:
        assert named_devices([text])[0].capability == plain
    except AmbiguousNameError as error:
        assert str(plain) in dict(error.products).values()


@pytest.mark.parametrize("command", [find_gpus, lambda name: named_devices([name])])
def test_who_asks_for_one_of_several_is_told_all(command: Any) -> None:
    with pytest.raises(AmbiguousNameError) as refused:
        command("M5000M")
    assert [capability for _, capability in refused.value.products] == ["5.2", "5.0"]


@pytest.mark.parametrize(
    ("word", "capabilities"),
    [
        ("Blackwell", {"10.0", "10.3", "11.0", "12.0", "12.1"}),
        ("hopper", {"9.0"}),
        ("Ada", {"8.9"}),
        ("Jetson", {"5.3", "6.2", "7.2", "8.7", "11.0"}),
        ("90", {"9.0"}),
    ],
)
def test_a_generation_and_a_series_are_listed(word: str, capabilities: set[str]) -> None:
    products, by_name = find_gpus(word)
    assert {str(product.capability) for product in products} == capabilities
    assert not by_name
    if len(capabilities) == 1:
        assert {str(device.capability) for device in named_devices([word])} == capabilities
    else:
        with pytest.raises(AmbiguousNameError) as refused:
            named_devices([word])
        assert {capability for _, capability in refused.value.products} == capabilities


def test_two_digits_that_mean_12_0_are_not_1_2() -> None:
    with pytest.raises(ParseError, match=r"`12\.0`"):
        ComputeCapability.parse("12")
    assert ComputeCapability.parse("1.2") < ComputeCapability.parse("90")
    with pytest.raises(UnknownNameError) as refused:
        named_devices(["12"])
    assert refused.value.suggestions == ("12.0",)


def test_a_capability_beyond_the_tables_may_be_asked_for_and_one_that_nobody_has_may_not() -> None:
    (device,) = named_devices(["99.9"])
    assert str(device.capability) == "99.9"
    with pytest.raises(CapablyError):
        named_devices(["7.7"])


@pytest.mark.parametrize("part", [" ", "(", "()", "_", "- ", "mig ", "1g.", "nvidia ", " gpus"])
def test_a_name_of_any_length_is_refused_at_once(part: str) -> None:
    begin = time.process_time()
    for command in (find_gpus, lambda name: named_devices([name])):
        with pytest.raises((UnknownNameError, ParseError)):
            command(f"a{part * (100_000 // len(part))}b")
    assert time.process_time() - begin < 10
