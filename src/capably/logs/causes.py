"""Which function tests which cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capably.logs.code import (
    build_lacks_device,
    built_for_default,
    code_of_a_sibling,
    compression_newer,
    earlier_call,
    gpu_lacks_feature,
    gpus_differ,
    library_without_gpu,
    prebuilt_before_jit,
    program_check_wrong,
    ptx_newer,
    runtime_compiler_too_old,
    switched_off,
    target_without_suffix,
)
from capably.logs.compilers import (
    another_compiler_ran,
    compiler_dropped_target,
    compiler_too_old,
    ptxas_older,
    target_not_of_this_machine,
    wrong_compiler_first,
)
from capably.logs.driver import (
    BROKEN,
    HIDDEN,
    compat_library,
    driver_halves,
    driver_library_not_found,
    driver_missing,
    fewer_visible,
    library_not_there,
    runtime_newer,
)
from capably.logs.lists import gpu_below_floor, list_below_floor
from capably.logs.programs import (
    combination_not_supported,
    gpu_outside_requirement,
    knows_older_drivers,
    memory_used_up,
    module_for_other_gpus,
    operators_not_built,
    shared_memory,
    virtual_gpu,
)
from capably.logs.symbols import OWNERS, other_symbol, symbol_of
from capably.logs.torch import forked_child, torch_lacks_device, torch_without_cuda, warning_is_wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from capably.logs.evidence import Facts, Tested

__all__ = ["BY_PACKAGES", "TESTS_OF_CAUSES"]

# Causes that scans of packages may decide.
BY_PACKAGES = frozenset(
    {
        "build-lacks-device",
        "gpus-differ",
        "prebuilt-before-jit",
        "ptx-newer-than-the-driver",
        "library-without-this-gpu",
        "compression-newer-than-the-driver",
    }
)


# Causes that no fact decides have no test: they stay open.
TESTS_OF_CAUSES: dict[str, Callable[[Facts], Tested]] = {
    "no-gpu-visible": lambda facts: facts.absence(*HIDDEN),
    "driver-does-not-work": lambda facts: facts.absence(*BROKEN),
    "driver-missing": driver_missing,
    "driver-library-not-found": driver_library_not_found,
    "hidden-by-variable": lambda facts: facts.absence("hidden-by-environment"),
    "container-without-gpus": lambda facts: facts.absence("container-without-devices"),
    "fewer-gpus-visible": fewer_visible,
    "torch-without-cuda": torch_without_cuda,
    "forked-child": forked_child,
    "wrong-compiler-first": wrong_compiler_first,
    "compiler-too-old": compiler_too_old,
    "compiler-dropped-target": compiler_dropped_target,
    "another-compiler-ran": another_compiler_ran,
    "target-not-of-this-machine": target_not_of_this_machine,
    "list-below-floor": list_below_floor,
    "gpu-below-floor": gpu_below_floor,
    "torch-lacks-device": torch_lacks_device,
    "warning-is-wrong": warning_is_wrong,
    "build-lacks-device": build_lacks_device,
    "library-without-this-gpu": library_without_gpu,
    "compression-newer-than-the-driver": compression_newer,
    "gpus-differ": gpus_differ,
    "prebuilt-before-jit": prebuilt_before_jit,
    "switched-off-by-variable": switched_off,
    "ptx-newer-than-the-driver": ptx_newer,
    "ptxas-older-than-the-ptx": ptxas_older,
    "gpu-lacks-feature": gpu_lacks_feature,
    "target-without-suffix": target_without_suffix,
    "code-of-a-sibling": code_of_a_sibling,
    "runtime-newer-than-driver": runtime_newer,
    "compat-library-not-supported": compat_library,
    **{cause: symbol_of(cause) for cause in OWNERS},
    "linked-with-another-library": other_symbol,
    "library-not-there": library_not_there,
    "driver-halves-differ": driver_halves,
    "runtime-compiler-too-old": runtime_compiler_too_old,
    "error-of-an-earlier-call": earlier_call,
    "built-for-default-target": built_for_default,
    "program-check-wrong": program_check_wrong,
    "module-for-other-gpus": module_for_other_gpus,
    "gpu-outside-requirement": gpu_outside_requirement,
    "xformers-built-without-cuda": operators_not_built,
    "program-knows-older-drivers": knows_older_drivers,
    "vgpu-not-set-up": virtual_gpu,
    "gpu-lacks-shared-memory": shared_memory,
    "combination-not-supported": combination_not_supported,
    "memory-used-up": memory_used_up,
}
