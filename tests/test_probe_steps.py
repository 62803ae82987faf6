"""What the child may say: what is no step is refused, and what is taken breaks nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capably.facts import Device
from capably.probe.fleet import _disagreements, _from_cuda, _from_nvml
from capably.probe.steps import read

LIBRARY: dict[str, Any] = {"step": "library", "found": True, "problem": "", "file": "/usr/lib/x", "version": 13000}
SLICE: dict[str, Any] = {"uuid": "MIG-1", "name": "NVIDIA A100 MIG 1g.5gb", "memory": 5}
LISTED: dict[str, Any] = {
    "uuid": "GPU-11111111-2222-3333-4444-555555555555",
    "name": "NVIDIA A100",
    "capability": [8, 0],
    "pci": "0000:0a:00.0",
    "memory": 40 << 30,
    "mig": True,
    "slices": [SLICE],
}
NVML: dict[str, Any] = {"step": "nvml", "error": 0, "release": "580.65.06", "devices": [LISTED], "refused": [4]}
SEEN: dict[str, Any] = {
    "name": "NVIDIA A100",
    "capability": [8, 0],
    "uuid": "11111111222233334444555555555555",
    "pci": "0000:0a:00.0",
    "memory": 40 << 30,
    "multiprocessors": 108,
    "integrated": False,
}
CUDA: dict[str, Any] = {"step": "cuda", "error": 0, "devices": [SEEN]}
MISSING: dict[str, Any] = {"step": "nvml", "missing": "no such file"}
STEPS = (LIBRARY, NVML, MISSING, CUDA, {"step": "done"}, {"calling": "cuInit"})

WHOLE = st.integers(-(1 << 70), 1 << 70)
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a step, by the keys on the way."""
    found = [path]
    if isinstance(value, dict):
        found += [place for key, inner in value.items() for place in places(inner, (*path, key))]
    elif isinstance(value, list):
        found += [place for key, inner in enumerate(value) for place in places(inner, (*path, key))]
    return found


def changed(step: dict[str, Any], path: tuple[str | int, ...], value: object) -> object:
    copy = json.loads(json.dumps(step))
    if not path:
        return value
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return copy


@pytest.mark.parametrize("step", STEPS, ids=lambda step: "-".join(step)[:20])
def test_a_step_is_taken_as_it_is_and_in_its_turn_only(step: dict[str, Any]) -> None:
    line = json.dumps(step).encode()
    assert read(line, step.get("step", "cuda")) == step
    if "step" in step:
        with pytest.raises(ValueError, match="turn"):
            read(line, "another")


@pytest.mark.parametrize(
    ("step", "path", "value"),
    [
        (CUDA, ("error",), True),
        (CUDA, ("error",), 1 << 31),
        (CUDA, ("error",), 0.0),
        (CUDA, ("error",), None),
        (CUDA, ("devices",), {}),
        (CUDA, ("devices",), [SEEN] * 1025),
        (CUDA, ("devices", 0), []),
        (CUDA, ("devices", 0, "name"), "x" * 257),
        (CUDA, ("devices", 0, "name"), "\ud800"),
        (CUDA, ("devices", 0, "uuid"), "11111111-2222"),
        (CUDA, ("devices", 0, "memory"), -1),
        (CUDA, ("devices", 0, "capability"), [8]),
        (CUDA, ("devices", 0, "capability"), "8.0"),
        (CUDA, ("devices", 0, "more"), 1),
        (NVML, ("devices", 0, "slices"), None),
        (NVML, ("devices", 0, "pci"), "0000:0A:00.0\n"),
        (NVML, ("devices", 0, "mig"), 1),
        (NVML, ("refused",), ["4"]),
        (LIBRARY, ("found",), "yes"),
        (LIBRARY, ("problem",), None),
        (LIBRARY, ("version",), float("nan")),
        (MISSING, ("missing",), 5),
    ],
)
def test_what_is_no_step_is_refused(step: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(ValueError, match="no step"):
        read(json.dumps(changed(step, path, value)).encode(), step["step"])


@pytest.mark.parametrize(
    "line", [b"", b"null", b"7", b"{", b"[" * 100_000, b"\xff\xfe", b"9" * 10_000, b'{"step": []}']
)
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(line, "cuda")


@given(st.sampled_from((NVML, CUDA)), st.data(), JSON)
def test_what_is_taken_breaks_nothing(step: dict[str, Any], data: st.DataObject, value: object) -> None:
    """Whatever stands in whatever place: it is refused, or devices come of it that can be compared and printed."""
    path = data.draw(st.sampled_from(places(step)))
    try:
        taken = read(json.dumps(changed(step, path, value)).encode(), step["step"])
    except ValueError:
        return
    listed = _from_nvml([LISTED] if step is CUDA else taken.get("devices", ()))
    seen = taken["devices"] if step is CUDA else [SEEN]
    for device in (*listed, *_from_cuda(seen, listed)):
        assert isinstance(device, Device)
        assert str(device.capability).encode()
        assert (device.name or "").encode() is not None
    _disagreements(seen, listed)
