"""Records of machines with their packages, judged and explained elsewhere."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import build
import pytest
from schemas import fits_schema
from test_doctor import environment, made

from capably.cli.app import run
from capably.facts import Record, to_object
from capably.probe import dumps, load, load_record

SYSTEMS = Path(__file__).parent / "data" / "systems"
MESSAGE = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
Captured = pytest.CaptureFixture[str]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the interpreter of the environments is a script")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAPABLY_SYSTEM", "CAPABLY_DRIVER", "VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)


def recorded(folder: Path, system: str, *wheels: Path, gpu: str = "") -> Path:
    """What `doctor --save` writes of a recorded machine and an environment with *wheels*."""
    folder.mkdir()
    file = folder / "machine.json"
    asked = ["doctor", "--system", str(SYSTEMS / f"{system}.json"), "--python", str(environment(folder, *wheels))]
    assert run([*asked, "--save", str(file), *(["--gpu", gpu] if gpu else []), "-q"]) == 0
    return file


@pytest.fixture
def three(tmp_path: Path, capsys: Captured) -> list[Path]:
    """Three machines that fare differently with packages of the same name."""
    found = [
        recorded(tmp_path / "ada", "rtx-3090-4090", made(tmp_path, "kernels", "1.0", "sm_89")),
        recorded(
            tmp_path / "old",
            "rtx-3090-4090",
            made(tmp_path, "kernels", "0.9", "sm_70"),
            made(tmp_path, "more", "2", "sm_80"),
        ),
        recorded(tmp_path / "named", "none", made(tmp_path, "kernels", "1.1", "sm_90"), gpu="RTX 5090, H100"),
    ]
    capsys.readouterr()
    return found


def options(files: list[Path]) -> list[str]:
    return [part for file in files for part in ("--system", str(file))]


def as_json(capsys: Captured, *arguments: str, code: int = 0) -> Any:
    assert run([*arguments, "--json", "-q"]) == code
    found = json.loads(capsys.readouterr().out)
    fits_schema(found)
    return found


WORDS = {"yes": "yes", "yes-compiled": "yes by PTX", "partly": "partly", "no": "no", "likely": "likely"}


def test_three_records_in_one_check_answer_as_each_alone(three: list[Path], capsys: Captured) -> None:
    together = as_json(capsys, "check", *options(three))
    alone = [as_json(capsys, "check", "--system", str(file)) for file in three]
    assert together["systems"] == [
        {"system": str(file), "answer": answer} for file, answer in zip(three, alone, strict=True)
    ]
    assert [len(one["results"]) for one in alone] == [2, 4, 2], "not all alike"
    assert run(["check", *options(three), "-q"]) == 0
    table = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert table[0] == ["system", "GPU", "kernels", "more"], "a column for each package"
    shown = iter(table[1:])
    for name, answer in zip(("ada", "old", "named"), alone, strict=True):
        for index, gpu in enumerate(answer["gpus"]):
            here = [one for one in answer["results"] if one["gpu"] == index]
            own = {one["artifact"]: f"{WORDS[one['headline']]} ({one['version']})" for one in here}
            words = [own.get(package, "not there") for package in ("kernels", "more")]
            line = next(shown)
            assert line[0] == f"{name}/machine.json"
            assert line[1] in gpu["name"]
            assert line[2:] == words


def test_three_records_in_one_explain_answer_as_each_alone(three: list[Path], capsys: Captured) -> None:
    together = as_json(capsys, "explain", MESSAGE, *options(three))
    alone = [as_json(capsys, "explain", MESSAGE, "--system", str(file)) for file in three]
    assert together["systems"] == [
        {"system": str(file), "answer": answer} for file, answer in zip(three, alone, strict=True)
    ]
    answers = [one["explanations"][0]["answer"] for one in alone]
    assert answers[1:] == ["build-lacks-device", "gpus-differ"]
    assert run(["explain", MESSAGE, *options(three), "-q"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for code in answers[1:]:
        assert f"[{code}]" in text


def test_a_record_is_judged_by_its_own_packages_and_the_gpus_that_were_named(
    three: list[Path], capsys: Captured
) -> None:
    found = as_json(capsys, "check", "--system", str(three[2]))
    assert [gpu["capability"] for gpu in found["gpus"]] == ["12.0", "9.0"]
    assert [(one["artifact"], one["version"], one["headline"]) for one in found["results"]] == [
        ("kernels", "1.1", "no"),
        ("kernels", "1.1", "yes"),
    ]
    assert as_json(capsys, "check", "Kernels==1.1", "--system", str(three[2]))["results"][0]["headline"] == "no"
    assert run(["check", "kernel", "--system", str(three[2])]) == 2
    assert "did you mean `kernels`" in capsys.readouterr().err
    doctor = as_json(capsys, "doctor", "--system", str(three[2]))
    assert [gpu["capability"] for gpu in doctor["gpus"]] == ["12.0", "9.0"]


def test_an_empty_judgement_exits_with_3_and_says_what_would_help(tmp_path: Path, capsys: Captured) -> None:
    old = str(SYSTEMS / "rtx-3090-4090.json")
    for level in ([], ["--fail-on", "none"]):
        assert run(["check", "--system", old, *level]) == 3
        shown = capsys.readouterr()
        assert shown.out == "nothing to judge: no GPU code found\n"
        assert "capably doctor --save FILE" in shown.err
    empty = recorded(tmp_path / "empty", "rtx-3090-4090")
    assert run(["check", "--system", str(empty)]) == 3
    assert "no package with GPU code was found when" in capsys.readouterr().err
    assert run(["check", "--system", old, "--system", str(empty)]) == 3


def test_a_record_of_packages_names_no_place_of_the_machine(tmp_path: Path, capsys: Captured) -> None:
    members = {"p/_C.so": build.library(build.fatbin([build.sass("sm_80")]))}
    wheel = build.wheel(tmp_path, "p", "1", members)
    file = recorded(tmp_path / "secret-place", "rtx-3090-4090", wheel)
    capsys.readouterr()
    text = file.read_text(encoding="ascii")
    assert "secret-place" not in text
    assert str(tmp_path) not in text
    assert '"p/_C.so"' in text


def test_older_records_are_read_and_the_rest_is_refused(tmp_path: Path) -> None:
    system = load(SYSTEMS / "none.json")
    assert load_record(SYSTEMS / "none.json") == Record(system)
    file = tmp_path / "x.json"
    for name, value, said in (("packages", {}, r"\$.packages"), ("gpus", [{}], r"\$.gpus\[0\]"), ("other", 1, "other")):
        file.write_text(json.dumps({**to_object(system), name: value}), encoding="ascii")
        with pytest.raises(ValueError, match=said):
            load(file)
    assert load_record(SYSTEMS / "none.json").packages is None
    file.write_text(dumps(replace(system, python="3.99")), encoding="ascii")
    assert load(file).python == "3.99"


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta"])
def test_an_environment_on_path_that_is_not_the_judged_one_is_named(
    mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    other = environment(tmp_path)
    monkeypatch.setenv("PATH", str(other / "bin"))
    monkeypatch.setenv("CAPABLY_SYSTEM", str(SYSTEMS / "none.json"))
    run(["check", "--gpu", "T4"])
    assert "not that of" not in capsys.readouterr().err, "a Python of the system"
    (other / mark).touch()
    run(["check", "--gpu", "T4"])
    said = " ".join(capsys.readouterr().err.split())
    assert f"(capably's own, not that of {other}/bin/python on PATH: name it with --python)" in said
    monkeypatch.delenv("CAPABLY_SYSTEM")
    assert run(["doctor", "--no-cache"]) == 0
    assert f"not that of {other}/bin/python" in " ".join("".join(capsys.readouterr()).split())


def test_bitsandbytes_without_code_for_the_gpu_is_not_told_to_look_for_another_cuda(capsys: Captured) -> None:
    text = (
        "CUDA Setup failed despite GPU being available\n"
        "Error no kernel image is available for execution on the device at line 167 in file D:\\csrc\\ops.cu\n"
    )
    found = as_json(capsys, "explain", text, "--system", str(SYSTEMS / "none.json"))["explanations"]
    assert [one["message"] for one in found] == ["no-kernel-image"]


def test_a_cause_that_holds_beside_open_ones_is_likely_and_says_why(capsys: Captured) -> None:
    text = "ptxas fatal   : Value 'sm_120' is not defined for option 'gpu-name'"
    assert run(["explain", text, "--system", str(SYSTEMS / "none.json"), "-q"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "likely: The compiler is older than the GPU, because every toolkit from CUDA 12.8 on knows sm_120." in shown
