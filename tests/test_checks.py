"""What `capably check` must say of small libraries made for the purpose and of real packages (`data/checks.jsonl`).

Each line is an example of a kind: what it demands is in its fields, and `why` has the reason.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import wheels
from click.testing import CliRunner, Result

from capably.cli.app import cli

DATA = Path(__file__).parent / "data"
CASES = [json.loads(line) for line in (DATA / "checks.jsonl").read_text(encoding="utf-8").splitlines()]
# Wheels of the packages that cases name, as the index gives them for the platform and the Python of the case.
WHEELS = {
    "major/xgboost": (
        "xgboost-3.2.0-py3-none-manylinux_2_28_x86_64.whl",
        "99b4a6bbcb47212fec5cf5fbe12347215f073c08967431b0122cfbd1ee70312c",
    ),
    "jit/triton": (
        "triton-3.3.1-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "b31e3aa26f8cb3cc5bf4e187bf737cbacf17311e1112b781d4a059353dfd731b",
    ),
    "jit/cupy11": (
        "cupy_cuda11x-13.4.1-cp311-cp311-manylinux2014_x86_64.whl",
        "c4773960d8fc1419a7d29c915af09cd5bf212bcd0d3275e674e1d712882ac9e7",
    ),
    "role/numba": (
        "numba_cuda-0.3.0-py3-none-any.whl",
        "b23a556624b34792a713d734df8d75d3299459a028dbab625716ce0093cece54",
    ),
    "pad/cusparselt": (
        "nvidia_cusparselt_cu13-0.10.0-py3-none-manylinux2014_aarch64.whl",
        "6270a6d7b53111a50a2fc8e50b55729c37ab83c70ba83ee1ba954e1b4f5cc34c",
    ),
    "text/faiss": (
        "faiss_gpu-1.7.2-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "c98abc1aac06cb4cb94de223b3186bd4a60d15fd3cae42271604168abc081ca5",
    ),
    "driver/bindings": (
        "cuda_bindings-13.0.3-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "9afede5937474864aa794eb57399dbdf5d2b05427aadcac275209b0857528a61",
    ),
    "cpu/torch": (
        "torch-2.7.1-cp311-cp311-manylinux_2_28_aarch64.whl",
        "236f501f2e383f1cb861337bdf057712182f910f10aeaf509065d54d339e49b2",
    ),
    "unknown/warp": (
        "warp_lang-1.10.1-py3-none-manylinux_2_28_x86_64.whl",
        "2884b642f16b07b930b3605193c1b97d183eef80c5b0083d3a17473aee92138e",
    ),
}
FIELDS = {"id", "artifact", "args", "gpu", "driver", "why"}
DEMANDS = {"coverage", "outcomes", "finding", "no_finding", "text", "no_text", "exit"}


def marks(case: dict[str, Any]) -> list[pytest.MarkDecorator]:
    return [pytest.mark.network] if case["id"] in WHEELS else []


def check(case: dict[str, Any], *more: str) -> Result:
    name = case["artifact"]
    path = wheels.wheel_path(*WHEELS[case["id"]]) if case["id"] in WHEELS else DATA / "checks" / Path(name).name
    driver = ["--driver", case["driver"]] if "driver" in case else []
    return CliRunner().invoke(cli, ["check", str(path), "--gpu", case["gpu"], *driver, "--no-cache", *more])


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"], marks=marks(case)) for case in CASES])
def test_a_package_is_judged_as_is_known_of_it(case: dict[str, Any]) -> None:
    said = check(case, "--json")
    answer = json.loads(said.stdout)
    results = answer["results"]
    assert results
    assert not set(case) - FIELDS - DEMANDS
    findings = [(finding["code"], finding["message"]) for result in results for finding in result["findings"]]
    found = json.dumps([findings, answer["errors"]])
    if "coverage" in case:
        assert {result["coverage"] for result in results} <= set(case["coverage"])
    if "outcomes" in case:
        counts = {name: sum(result["outcomes"][name] for result in results) for name in results[0]["outcomes"]}
        assert {name: count for name, count in counts.items() if count} == case["outcomes"]
    if "exit" in case:
        assert said.exit_code == case["exit"]
    assert case.get("finding", "") in found
    assert "no_finding" not in case or case["no_finding"] not in found
    text = " ".join(check(case).stdout.split())
    assert case.get("text", "") in text
    assert "no_text" not in case or case["no_text"] not in text


def test_every_case_demands_something_and_can_be_had() -> None:
    for case in CASES:
        assert set(case) & DEMANDS, case["id"]
        assert case["id"] in WHEELS or (DATA / "checks" / Path(case["artifact"]).name).is_file()
    assert set(WHEELS) <= {case["id"] for case in CASES}
