"""What is wrong with a machine and its packages: causes, their order, and what the GPU is not blamed for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from capably.arch import ComputeCapability, Target
from capably.codes import FINDINGS
from capably.doctor import Area, Diagnosis, Examination, Installed, Severity, diagnose, torch_cuda
from capably.facts import (
    Artifact,
    ArtifactKind,
    Device,
    Driver,
    Fatbin,
    FatbinGroup,
    Image,
    ImageKind,
    Library,
    System,
    Toolkit,
    ToolkitKind,
)
from capably.probe import load
from capably.tables import tables
from capably.version import CudaVersion, DriverRelease, PtxVersion

SYSTEMS = Path(__file__).parent / "data" / "systems"
R580 = Driver(DriverRelease(580, 65, 6), CudaVersion(13, 0))
R535 = Driver(DriverRelease(535, 183, 1), CudaVersion(12, 2))
HERE = System(machine="x86_64", os="linux", driver=R580)


def gpu(
    capability: str, name: str | None = None, *, found: bool = True, driver: Driver = R580
) -> tuple[Device, Driver]:
    via = "cuda" if found else None
    return Device(ComputeCapability.parse(capability), name, via=via, assumed=not found), driver


def code(*targets: str, path: str = "a.so", needed: tuple[str, ...] = (), machine: str | None = "x86_64") -> Library:
    """A library with one fatbin for each target."""
    images = [
        Image(ImageKind.PTX, Target.parse(text), ptx=PtxVersion(8, 0))
        if text.startswith("compute")
        else Image(ImageKind.SASS, Target.parse(text))
        for text in targets
    ]
    groups = tuple(FatbinGroup(Fatbin((image,)), 1) for image in images)
    return Library(path, 1, groups, machine=machine, needed=needed)


def dist(
    name: str,
    *libraries: Library,
    version: str = "1.0",
    requires: tuple[str, ...] = (),
    brings: tuple[str, ...] = (),
    platforms: tuple[str, ...] = (),
) -> Installed:
    artifact = Artifact(name, ArtifactKind.DISTRIBUTION, libraries, (), name, version, platforms, 3)
    return Installed(artifact, requires, frozenset(brings))


def only(examination: Examination, code: str) -> Diagnosis:
    found = [one for one in examination.diagnoses if one.code == code]
    assert len(found) == 1, [one.code for one in examination.diagnoses]
    return found[0]


def codes(examination: Examination) -> list[str]:
    return [one.code for one in examination.diagnoses]


def test_the_mixed_server_names_the_gpu_the_library_and_why() -> None:
    system = load(SYSTEMS / "rtx-3090-4090.json")
    assert system.driver is not None
    gpus = [(device, system.driver) for device in system.devices]
    found = diagnose(system, [dist("ktransformers", code("sm_89", path="k/KTransformersOps.so"))], gpus)
    worst = found.diagnoses[0]
    assert (worst.code, worst.severity, worst.area) == ("package-without-code", Severity.ERROR, Area.ARCHITECTURE)
    assert worst.gpus == (1,)
    assert "RTX 3090 (8.6)" in worst.message
    assert "ktransformers" in worst.message
    facts = [fact.fact for fact in worst.evidence]
    assert "k/KTransformersOps.so holds sm_89, and no PTX" in facts
    assert any("8.6" in fact and "sm_89" in fact for fact in facts[2:])
    assert "sm_86" in worst.action
    assert worst.command == 'capably check ktransformers --gpu "GeForce RTX 3090" -v'
    assert only(found, "mixed-devices").command == 'export TORCH_CUDA_ARCH_LIST="8.6;8.9"'
    # CUDA's device 0 is the faster one, nvidia-smi's the first on the bus.
    assert only(found, "device-order-differs").message.startswith("device 0 of CUDA is NVIDIA GeForce RTX 4090")


@pytest.mark.parametrize("severity", list(Severity))
def test_worst_comes_first(severity: Severity) -> None:
    system = load(SYSTEMS / "rtx-3090-4090.json")
    gpus = [(device, R580) for device in system.devices]
    packages = [dist("a", code("sm_89")), dist("b", code("sm_80", "sm_89")), dist("c", code("compute_80"))]
    order = [one.severity for one in diagnose(system, packages, gpus).diagnoses]
    assert severity in order
    assert order == sorted(order, key=list(Severity).index)


def test_a_torch_for_the_cpu_is_told_before_architectures_and_they_are_not_blamed() -> None:
    torch = dist("torch", version="2.13.0+cpu", brings=("libtorch_cpu.so", "libc10.so"))
    xformers = dist("xformers", code("sm_80", needed=("libc10.so", "libc10_cuda.so", "libcudart.so.12")))
    found = diagnose(HERE, [torch, xformers], [gpu("12.0", "NVIDIA GeForce RTX 5090")], present=frozenset())
    assert codes(found)[:2] == ["cpu-only-torch", "needs-cuda-torch"]
    assert "libc10_cuda.so" in only(found, "needs-cuda-torch").message
    assert "shared-library-missing" not in codes(found)
    told = only(found, "package-without-code")
    assert told.severity is Severity.NOTE
    assert told.evidence[0].via == "needs-cuda-torch"
    assert only(found, "cpu-only-torch").command == (
        "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130"
    )


@pytest.mark.parametrize(
    ("gpus", "tag"),
    [
        ([gpu("7.0")], "cu126"),
        ([gpu("9.0", driver=R535)], "cu126"),
        ([gpu("12.0", driver=R535)], "cu128"),
        ([gpu("9.0"), gpu("12.0")], "cu130"),
        ([gpu("7.0"), gpu("12.0")], "cu128"),
        ([], "cu130"),
    ],
)
def test_the_index_for_torch_fits_every_gpu_and_driver(gpus: list[tuple[Device, Driver]], tag: str) -> None:
    found = diagnose(HERE, [dist("torch", version="2.13.0+cpu")], gpus)
    assert str(only(found, "cpu-only-torch").command).endswith(tag)


# torch 2.13's own answer, by its PYTORCH_RELEASES_CODE_CC and _code_compatible_with_device; it knows no 8.8.
_OF_TORCH = {
    "x86_64": {
        "5.0 5.2 6.0 6.1 7.0": "cu126",
        "7.5 8.0 8.6 8.9 9.0": "cu126 cu130",
        "10.0 10.3 10.7 12.0 12.1": "cu130",
    },
    "aarch64": {"8.0 8.6 8.9 9.0": "cu126 cu130", "10.0 10.3 10.7 11.0 12.0 12.1": "cu130"},
}


@pytest.mark.parametrize("machine", _OF_TORCH)
@pytest.mark.parametrize("capability", [str(one) for one in tables().architectures if str(one) != "8.8"])
def test_the_index_for_torch_is_one_that_torch_itself_names(machine: str, capability: str) -> None:
    named = next((tags for gpus, tags in _OF_TORCH[machine].items() if capability in gpus.split()), "")
    found = diagnose(replace(HERE, machine=machine), [dist("torch", version="2.13.0+cpu")], [gpu(capability)])
    told = only(found, "cpu-only-torch")
    if named:
        assert str(told.command).rpartition("/")[2] in named.split()
    else:
        assert told.command is None
        assert "none is known to serve" in told.action


def test_no_torch_is_named_for_gpus_that_no_build_serves_together_or_for_a_driver_that_starts_none() -> None:
    for gpus in ([gpu("6.1"), gpu("12.0")], [gpu("9.0", driver=Driver(DriverRelease(470, 57, 2)))]):
        assert only(diagnose(HERE, [dist("torch", version="2.13.0+cpu")], gpus), "cpu-only-torch").command is None


def test_without_a_gpu_a_torch_for_the_cpu_is_no_failure() -> None:
    found = diagnose(load(SYSTEMS / "none.json"), [dist("torch", version="2.13.0+cpu"), dist("triton")])
    assert {one.severity for one in found.diagnoses} == {Severity.NOTE}


@pytest.mark.parametrize(
    ("torch", "cuda"),
    [
        (dist("torch", version="2.13.0+cu128"), CudaVersion(12, 8)),
        (dist("torch", version="2.13.0+cu130.rc"), CudaVersion(13, 0)),
        (
            dist("torch", requires=('nvidia-cuda-runtime-cu12==12.6.77; platform_system == "Linux"',)),
            CudaVersion(12, 6),
        ),
        (dist("torch", requires=("nvidia-cuda-runtime ==13.0.48",)), CudaVersion(13, 0)),
        (
            dist(
                "torch",
                requires=(
                    "sympy",
                    "cuda-toolkit[cublas,cudart]==13.0.2",
                ),
            ),
            CudaVersion(13, 0),
        ),
        (dist("torch", version="2.13.0+cpu"), None),
        (dist("torch"), None),
        (dist("torch", code("sm_80"), version="2.13.0+local"), None),
    ],
)
def test_the_cuda_version_of_torch(torch: Installed, cuda: CudaVersion | None) -> None:
    assert torch_cuda(torch)[0] == cuda


def test_a_torch_that_says_nothing_is_not_accused() -> None:
    assert torch_cuda(dist("torch", code("sm_80"), version="2.13.0+git"))[1] == ""


def test_bitsandbytes_by_the_cuda_version_of_torch() -> None:
    libraries = [
        code("sm_75", path="bitsandbytes/libbitsandbytes_cuda121.so", needed=("libcudart.so.12",)),
        code("sm_120", path="bitsandbytes/libbitsandbytes_cuda128.so", needed=("libcudart.so.12",)),
        code("sm_120", path="bitsandbytes/libbitsandbytes_cuda130.so", needed=("libcudart.so.13",)),
    ]
    bnb = dist("bitsandbytes", *libraries)

    def taken(version: str, system: System = HERE) -> list[str | None]:
        torch = dist("torch", version=version, brings=("libcudart.so.12",))
        return [one.alternative for one in diagnose(system, [torch, bnb], [gpu("12.0")]).judged]

    assert taken("2+cu128") == ["128"]
    assert taken("2+cu126") == ["121"]
    assert taken("2+cu132") == ["130"]
    assert taken("2+cu118") == ["121", "128", "130"]
    assert taken("2+cpu") == ["121", "128", "130"]
    assert taken("2+cu128", replace(HERE, environment=(("BNB_CUDA_VERSION", "121"),))) == ["121"]
    assert taken("2+cu128", replace(HERE, environment=(("BNB_CUDA_VERSION", "9" * 5_000),))) == taken("2+cu128")
    # Of builds whose choice is not known, the best tells what the package can do.
    found = diagnose(HERE, [bnb], [gpu("12.0")])
    assert "package-without-code" not in codes(found)


def test_bitsandbytes_beside_a_torch_for_the_cpu_is_not_told_to_lack_code() -> None:
    bnb = dist("bitsandbytes", code("sm_75", path="bitsandbytes/libbitsandbytes_cuda121.so"))
    torch = dist("torch", version="2+cpu")
    told = only(diagnose(HERE, [torch, bnb], [gpu("12.0")]), "package-without-code")
    assert (told.severity, told.evidence[0].via) == (Severity.NOTE, "cpu-only-torch")
    forced = replace(HERE, environment=(("BNB_CUDA_VERSION", "121"),))
    assert only(diagnose(forced, [torch, bnb], [gpu("12.0")]), "package-without-code").severity is Severity.ERROR


def test_a_library_that_nobody_brings_is_missing_where_somebody_looked() -> None:
    packages = [dist("a", code("sm_80", needed=("libcudart.so.12", "libm.so.6")), brings=("a.so",))]
    sure = only(
        diagnose(HERE, packages, [gpu("8.0")], present=frozenset({"libcublas.so.12"})), "shared-library-missing"
    )
    assert (sure.severity, sure.area) == (Severity.ERROR, Area.INSTALLATION)
    assert "libcudart.so.12" in sure.message
    assert "libm" not in sure.message
    unsure = only(diagnose(HERE, packages, [gpu("8.0")]), "shared-library-missing")
    assert unsure.severity is Severity.WARNING
    assert not diagnose(HERE, packages, [gpu("8.0")], present=frozenset({"libcudart.so.12"})).diagnoses
    runtime = dist("nvidia-cuda-runtime-cu12", brings=("libcudart.so.12",))
    assert not diagnose(HERE, [*packages, runtime], [gpu("8.0")], present=frozenset()).diagnoses


def test_a_cuda_13_package_on_a_cuda_12_driver_is_no_matter_of_the_gpu() -> None:
    packages = [dist("a", code("sm_120", needed=("libcudart.so.13",)))]
    found = diagnose(HERE, packages, [gpu("9.0", driver=R535)])
    assert codes(found) == ["cuda-major-newer-than-driver", "package-without-code"]
    assert [one.severity for one in found.diagnoses] == [Severity.ERROR, Severity.NOTE]
    assert "535" in found.diagnoses[0].message


def test_host_code_for_another_processor() -> None:
    packages = [dist("a", code("sm_90", machine="aarch64"))]
    found = diagnose(HERE, packages, [gpu("9.0")])
    assert codes(found) == ["host-machine-mismatch"]
    assert "this machine is x86_64" in found.diagnoses[0].message
    assert not diagnose(replace(HERE, machine="arm64"), packages, [gpu("9.0")]).diagnoses


def test_a_device_of_another_kind_of_machine_is_told_for_that_device_only() -> None:
    thor = Device(ComputeCapability(11, 0), "Jetson Thor", hosts=("aarch64",), assumed=True)
    packages = [dist("a", code("sm_110", "sm_90"))]
    found = diagnose(HERE, packages, [(thor, R580), gpu("9.0")])
    assert only(found, "host-platform").gpus == (0,)


def test_packages_that_overwrite_each_other_and_lack_their_gpu_part() -> None:
    found = diagnose(HERE, [dist("onnxruntime"), dist("onnxruntime-gpu"), dist("jaxlib")], [gpu("9.0")])
    assert "onnxruntime-gpu and onnxruntime" in only(found, "package-overwritten").message
    assert only(found, "gpu-part-missing").subject == "jaxlib"
    twice = diagnose(HERE, [dist("cupy-cuda12x"), dist("cupy-cuda13x")], [gpu("9.0")])
    assert codes(twice).count("package-overwritten") == 1
    whole = diagnose(HERE, [dist("jaxlib"), dist("jax-cuda12-plugin")], [gpu("9.0")])
    assert "gpu-part-missing" not in codes(whole)


def ptxas(name: str, cuda: str, *targets: str) -> Toolkit:
    found = tuple(Target.parse(text) for text in targets) or None
    return Toolkit(
        ToolkitKind.PTXAS, f"<env>/triton/{name}", ("triton",), CudaVersion.parse(cuda), cuda, ("triton",), found
    )


def test_an_assembler_that_does_not_know_the_gpu() -> None:
    triton = [dist("triton")]
    old = replace(HERE, toolkits=(ptxas("ptxas", "12.4", "sm_80", "sm_90"),))
    told = only(diagnose(old, triton, [gpu("9.0"), gpu("12.0")]), "compiler-cannot-emit")
    assert (told.severity, told.area, told.gpus) == (Severity.ERROR, Area.COMPILER, (1,))
    assert "CUDA 12.8" in told.action
    split = replace(
        HERE, toolkits=(ptxas("ptxas", "12.4", "sm_80"), ptxas("ptxas-blackwell", "13.0", "sm_100", "sm_120"))
    )
    assert not diagnose(split, triton, [gpu("8.0"), gpu("12.0")]).diagnoses[1:]
    assert "compiler-cannot-emit" in codes(diagnose(split, triton, [gpu("7.0")]))


def test_a_compiler_that_was_not_asked_is_known_by_its_version() -> None:
    nvcc = Toolkit(ToolkitKind.NVCC, "/usr/local/cuda/bin/nvcc", ("PATH",), CudaVersion(12, 4), "12.4.131", ("torch",))
    told = only(
        diagnose(replace(HERE, toolkits=(nvcc,)), [dist("flashinfer-python")], [gpu("12.0")]), "compiler-cannot-emit"
    )
    assert told.command == "export CUDA_HOME=/usr/local/cuda-12.8"
    newer = replace(nvcc, cuda=CudaVersion(13, 0), version="13.0.88")
    dropped = only(diagnose(replace(HERE, toolkits=(newer,)), (), [gpu("7.0")]), "compiler-cannot-emit")
    assert dropped.command == "export CUDA_HOME=/usr/local/cuda-12.9"  # the last that makes code for it
    assert "flashinfer-python" in told.message
    alone = only(diagnose(replace(HERE, toolkits=(nvcc,)), (), [gpu("12.0")]), "compiler-cannot-emit")
    assert alone.severity is Severity.WARNING
    for harmless in (replace(nvcc, cuda=CudaVersion(99, 0)), replace(nvcc, used_by=())):
        assert not diagnose(replace(HERE, toolkits=(harmless,)), (), [gpu("12.0")]).diagnoses
    # 10.1 is 11.0 since CUDA 13.
    thor = replace(nvcc, cuda=CudaVersion(12, 8))
    assert not diagnose(replace(HERE, toolkits=(thor,)), (), [gpu("11.0")]).diagnoses


def test_the_compilers_of_one_toolkit_are_one_finding() -> None:
    nvcc = Toolkit(ToolkitKind.NVCC, "/opt/cuda/bin/nvcc", ("PATH",), CudaVersion(12, 4), "12.4.131", ("shell",))
    beside = replace(nvcc, kind=ToolkitKind.PTXAS, path="/opt/cuda/bin/ptxas", used_by=("shell", "jax"))
    alone = only(diagnose(replace(HERE, toolkits=(nvcc,)), (), [gpu("12.0")]), "compiler-cannot-emit")
    told = only(diagnose(replace(HERE, toolkits=(beside, nvcc)), (), [gpu("12.0")]), "compiler-cannot-emit")
    assert "/opt/cuda/bin/nvcc and ptxas (CUDA 12.4), used by shell and jax" in told.message
    assert [one.fact.partition(" ")[0] for one in told.evidence] == ["nvcc", "knows", "ptxas", "knows"]
    assert (told.subject, told.action, told.command) == (nvcc.path, alone.action, alone.command)
    # Triton is told by a variable of its own which to take.
    triton = replace(beside, used_by=("shell", "triton"))
    told = only(diagnose(replace(HERE, toolkits=(nvcc, triton)), (), [gpu("12.0")]), "compiler-cannot-emit")
    assert told.command == alone.command
    assert told.action.startswith(alone.action)
    assert "let TRITON_PTXAS_PATH name it" in told.action
    # That of another folder, or of another CUDA, is another toolkit.
    for other in (replace(beside, path="/usr/bin/ptxas"), replace(beside, cuda=CudaVersion(12, 5))):
        found = diagnose(replace(HERE, toolkits=(nvcc, other)), (), [gpu("12.0")])
        assert codes(found).count("compiler-cannot-emit") == 2


def test_the_way_out_on_a_mixed_server_serves_all_of_its_gpus() -> None:
    nvcc = Toolkit(ToolkitKind.NVCC, "/usr/local/cuda/bin/nvcc", ("PATH",), CudaVersion(13, 0), used_by=("torch",))
    mixed = [gpu("9.0"), gpu("7.0")]
    told = only(diagnose(replace(HERE, toolkits=(nvcc,)), (), mixed), "compiler-cannot-emit")
    # CUDA 10.0 knows the 7.0 and not the 9.0; of those that know both, 12.9 is the nearest.
    assert "CUDA 11.8 to 12.9" in told.action
    assert told.command == "export CUDA_HOME=/usr/local/cuda-12.9"
    for cuda, taken in ((CudaVersion(11, 0), False), (CudaVersion(12, 4), True)):
        other = Toolkit(ToolkitKind.NVCC, f"/usr/local/cuda-{cuda}/bin/nvcc", (), cuda)
        told = only(diagnose(replace(HERE, toolkits=(nvcc, other)), (), mixed), "compiler-cannot-emit")
        assert (other.path in told.action) == taken
    # No CUDA knows both: then one for the GPU in question.
    newer = replace(nvcc, cuda=CudaVersion(13, 4))
    told = only(diagnose(replace(HERE, toolkits=(newer,)), (), [gpu("10.7"), gpu("7.0")]), "compiler-cannot-emit")
    assert "CUDA 10.0 to 12.9" in told.action


def test_a_compiler_that_knows_the_gpu_and_is_not_used_is_the_way_out() -> None:
    old = Toolkit(ToolkitKind.NVCC, "/usr/bin/nvcc", ("PATH",), CudaVersion(11, 5), used_by=("torch",))
    new = Toolkit(ToolkitKind.NVCC, "/usr/local/cuda-13.0/bin/nvcc", ("/usr/local/cuda",), CudaVersion(13, 0))
    for better, command in (
        (new, "export CUDA_HOME=/usr/local/cuda-13.0 PATH=/usr/local/cuda-13.0/bin:$PATH"),
        (replace(new, path="~/.../nvcc"), None),
    ):
        told = only(diagnose(replace(HERE, toolkits=(old, better)), (), [gpu("12.0")]), "compiler-cannot-emit")
        assert told.command == command
        assert better.path in told.action
    system = replace(
        HERE, toolkits=(ptxas("ptxas", "12.4", "sm_80"), replace(ptxas("x", "13.0", "sm_90"), path="/opt/ptxas"))
    )
    told = only(diagnose(system, [dist("triton")], [gpu("9.0")]), "compiler-cannot-emit")
    assert told.command == "export TRITON_PTXAS_PATH=/opt/ptxas"
    nvrtc = Toolkit(ToolkitKind.NVRTC, "/usr/lib/libnvrtc.so.12", ("system",), CudaVersion(12, 4), used_by=("torch",))
    told = only(diagnose(replace(HERE, toolkits=(nvrtc,)), (), [gpu("12.0")]), "compiler-cannot-emit")
    assert told.command is None


def test_a_driver_of_two_releases_is_told_once_and_a_container_is_not_told_to_reboot() -> None:
    compat = load(SYSTEMS / "forward-compat.json")
    assert {one.code for one in compat.findings} == {"forward-compat-unsupported", "driver-parts-differ"}
    assert codes(diagnose(compat)) == ["forward-compat-unsupported"]
    mismatch = load(SYSTEMS / "sm75-driver.json")
    assert only(diagnose(mismatch), "driver-library-mismatch").command == "sudo reboot"
    inside = only(diagnose(replace(mismatch, container="docker")), "driver-library-mismatch")
    assert "reboot" not in (inside.command or "")


def test_a_package_that_compiles_and_has_no_compiler() -> None:
    told = only(diagnose(HERE, [dist("deepspeed")], [gpu("9.0")]), "compiler-missing")
    assert "nvcc" in told.message
    assert told.severity is Severity.WARNING


def test_prebuilt_code_of_a_package_that_compiles_is_not_what_decides() -> None:
    found = diagnose(HERE, [dist("flashinfer-python", code("compute_103a"))], [gpu("7.5"), gpu("12.0"), gpu("10.3")])
    told = only(found, "package-compiled-at-run-time")
    assert (told.severity, told.gpus) == (Severity.NOTE, (0, 1, 2))
    assert "package-without-code" not in codes(found)


def test_partial_code_is_a_warning_but_for_those_that_choose_by_device() -> None:
    found = diagnose(HERE, [dist("a", code("sm_80", "sm_90a")), dist("torch", code("sm_80", "sm_90a"))], [gpu("8.0")])
    partly = [one for one in found.diagnoses if one.code == "package-partly-covered"]
    assert [(one.subject, one.severity) for one in partly] == [("a", Severity.WARNING), ("torch", Severity.NOTE)]
    assert "1 of 2 fatbins" in partly[0].message


def test_what_cannot_be_told_and_what_the_driver_compiles() -> None:
    unknown = Library("a.so", 1, (FatbinGroup(Fatbin((Image(ImageKind.SASS, None),)), 1),))
    assert codes(diagnose(HERE, [dist("a", unknown)], [gpu("8.0")])) == ["package-undecided"]
    empty = replace(
        unknown, fatbins=(FatbinGroup(Fatbin((Image(ImageKind.SASS, Target.parse("sm_90"), stub=True),)), 1),)
    )
    assert codes(diagnose(HERE, [dist("a", empty)], [gpu("8.0")])) == []
    assert codes(diagnose(HERE, [dist("a", code("compute_70"))], [gpu("8.0")])) == ["package-compiled-by-driver"]


def test_causes_of_the_driver_come_first_with_what_shows_them() -> None:
    system = load(SYSTEMS / "forward-compat.json")
    found = diagnose(system, [dist("torch", version="2+cpu")], [])
    worst = found.diagnoses[0]
    assert worst.area is Area.DRIVER
    assert worst.evidence
    assert worst.command
    hidden = load(SYSTEMS / "hidden.json")
    told = only(diagnose(hidden), "hidden-by-environment")
    assert (told.severity, told.command) == (Severity.ERROR, "unset CUDA_VISIBLE_DEVICES")
    assert any("CUDA_VISIBLE_DEVICES=" in fact.fact for fact in told.evidence)
    # Whoever asks about another GPU does not need those of this machine.
    asked = only(diagnose(hidden, (), [gpu("9.0", found=False)]), "hidden-by-environment")
    assert asked.severity is Severity.WARNING


def test_devices_that_are_there_and_hidden() -> None:
    system = load(SYSTEMS / "h100x2-r535.json")
    one = replace(system, devices=system.devices[:1], container="docker")
    assert only(diagnose(one), "devices-hidden").command == "nvidia-smi -L"
    asked = replace(one, visibility=replace(one.visibility, visible_devices="0"))
    told = only(diagnose(asked), "devices-hidden")
    assert told.message.startswith("1 of 2")
    assert told.command == "unset CUDA_VISIBLE_DEVICES"


def test_every_package_that_is_known_has_something_to_say() -> None:
    for row in tables().packages:
        assert row.kernels in ("prebuilt", "run-time", "both")
        assert row.compiler in (None, "nvcc", "ptxas", "nvrtc")
        assert row.particular.endswith(".")
        assert all(tables().package(name) is not None for name in row.distributions)
    assert tables().package("requests") is None


def test_every_code_has_a_page() -> None:
    system = load(SYSTEMS / "rtx-3090-4090.json")
    found = diagnose(system, [dist("a", code("sm_89"))], [(device, R580) for device in system.devices])
    assert all(one.code in FINDINGS for one in found.diagnoses)


def with_list(text: str, variable: str = "TORCH_CUDA_ARCH_LIST") -> System:
    return replace(HERE, environment=((variable, text),))


def test_a_list_at_which_the_installed_version_stops_is_told_with_its_place() -> None:
    torch = dist("torch", code("sm_90"), version="2.7.1+cu126")
    # torch 2.7 makes an empty entry of the blank at the end, and raises on it.
    told = only(diagnose(with_list("7.0;9.0 "), [torch], [gpu("9.0")]), "arch-list-refused")
    assert (told.severity, told.area, told.subject) == (Severity.WARNING, Area.COMPILER, "TORCH_CUDA_ARCH_LIST")
    assert "torch 2.7.1+cu126 stops at TORCH_CUDA_ARCH_LIST" in told.message
    assert "character 8 of 8" in told.message
    assert told.action
    assert told.command == "capably plan --read '7.0;9.0 ' --for torch==2.7.1"
    # Whose list it is not, does not stop; nor does one that is in order, or no list.
    assert not diagnose(with_list("7.0;9.0 "), [dist("numpy")], [gpu("9.0")]).diagnoses
    assert not diagnose(with_list("9.0"), [torch], [gpu("9.0")]).diagnoses
    assert not diagnose(with_list(""), [torch], []).diagnoses


def test_a_list_that_leaves_out_a_visible_gpu_names_it() -> None:
    torch = dist("torch", code("sm_70", "sm_90"), version="2.7.1")
    gpus = [gpu("9.0", "NVIDIA H100"), gpu("7.0", "Tesla V100")]
    told = only(diagnose(with_list("9.0"), [torch], gpus), "arch-list-omits-gpu")
    assert (told.severity, told.gpus) == (Severity.WARNING, (1,))
    assert "sm_90" in told.message
    assert "Tesla V100 (7.0)" in told.message
    assert told.command == "capably plan --gpu 9.0 --gpu 7.0 --for torch==2.7.1"
    assert "arch-list-omits-gpu" not in codes(diagnose(with_list("7.0+PTX"), [torch], gpus))


def test_flashinfer_is_read_in_the_words_of_its_version() -> None:
    # flashinfer 0.2.5 reads torch's list; 0.6.8 splits at blanks only.
    old = diagnose(
        with_list("9.0a", "FLASHINFER_CUDA_ARCH_LIST"), [dist("flashinfer-python", version="0.2.5")], [gpu("9.0")]
    )
    assert "TORCH_CUDA_ARCH_LIST" in only(old, "arch-list-surprising").message
    new = diagnose(
        with_list("9.0a;8.0", "FLASHINFER_CUDA_ARCH_LIST"), [dist("flashinfer-python", version="0.6.8")], [gpu("9.0")]
    )
    assert "flashinfer-python 0.6.8 stops" in only(new, "arch-list-refused").message


NGC = "5.2 6.0 6.1 7.0 7.2 7.5 8.0 8.6 8.7 9.0+PTX"


def test_a_list_that_flashinfer_refuses_is_told_before_it_is_run() -> None:
    flashinfer = dist("flashinfer-python", version="0.2.5")
    told = only(diagnose(with_list(NGC), [flashinfer], [gpu("9.0", "NVIDIA H100")]), "tool-refuses")
    assert (told.severity, told.area, told.subject) == (Severity.ERROR, Area.COMPILER, "flashinfer-python")
    assert "flashinfer-python 0.2.5 will not start" in told.message
    assert "`FlashInfer requires sm75+`, whatever the GPU is: the list names 5.2, 6.0, 6.1, 7.0, 7.2" in told.message
    assert told.action == "Unset TORCH_CUDA_ARCH_LIST, or name only the GPUs that are there in it."
    assert told.command == f"capably plan --read '{NGC}' --for flashinfer==0.2.5"
    # On a machine without a GPU it is the same: the check looks at the list alone.
    assert only(diagnose(with_list(NGC), [flashinfer], []), "tool-refuses").message == told.message
    # Where the GPU is too old besides, no list helps.
    old = only(diagnose(with_list(NGC), [flashinfer], [gpu("7.0", "Tesla V100")]), "tool-refuses")
    assert "No list helps" in old.action


def test_gpus_that_flashinfer_refuses_are_told_before_it_is_run() -> None:
    older, newer = dist("flashinfer-python", version="0.2.5"), dist("flashinfer-python", version="0.6.1")
    mixed = [gpu("7.0", "Tesla V100"), gpu("9.0", "NVIDIA H100")]
    assert "there is a GPU of 7.0" in only(diagnose(HERE, [older], mixed), "tool-refuses").message
    assert "tool-refuses" not in codes(diagnose(HERE, [newer], mixed))  # one that is high enough will do
    assert "sm75 or higher" in only(diagnose(HERE, [newer], mixed[:1]), "tool-refuses").message
    for version in ("0.2.5", "0.6.1"):
        fine = dist("flashinfer-python", version=version)
        assert "tool-refuses" not in codes(diagnose(HERE, [fine], [gpu("9.0")]))
        assert "tool-refuses" not in codes(diagnose(with_list("7.5;9.0"), [fine], [gpu("9.0")]))
    assert "tool-refuses" not in codes(diagnose(with_list(NGC), [newer], [gpu("9.0")]))  # it reads another variable


def test_the_advice_of_the_doctor_names_no_option_that_it_lacks() -> None:
    told = only(diagnose(HERE, [dist("kernels", code("sm_90", "sm_80"))], [gpu("9.0")]), "package-partly-covered")
    assert "`capably check kernels --kernels` lists them" in told.action
