"""Findings of the probe: why no device is visible, and what else is odd about the machine."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    # Of the probe: why no device is visible
    Page(
        "no-nvidia-device",
        "No NVIDIA GPU on the bus",
        "the kernel lists no NVIDIA GPU on the PCI bus, and no driver is loaded for one",
        "The machine has none, it is switched off, it is not passed through to this virtual machine, or a sandbox hides it.",
        "Check `lspci -d 10de:`; a virtual machine needs the GPU passed through.",
    ),
    Page(
        "no-driver",
        "A GPU without a driver",
        "{count} NVIDIA GPU on the bus, but the kernel module of the driver is not loaded",
        "The driver is not installed, was not built for the running kernel, or another driver (nouveau) has the GPU.",
        "Install the driver, or load it (`modprobe nvidia`) and read what `dmesg` says.",
    ),
    Page(
        "driver-library-missing",
        "The driver's library is missing",
        "the kernel module is loaded, but libcuda cannot be loaded: {problem}",
        "libcuda.so.1 belongs to the driver, not to the toolkit or to torch. Minimal packages, and containers that "
        "were started without the capability `compute`, lack it; or the dynamic linker does not look where it is.",
        "Install the driver's libraries (in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility), then `ldconfig`.",
        ("cuda-compatibility-guide",),
    ),
    Page(
        "driver-failed",
        "The driver does not start",
        "cuInit fails with {error} ({name})",
        "The driver is there and refuses. 802: the fabric of an NVSwitch machine is not up; 999: often a kernel module "
        "that was unloaded or a GPU that fell off the bus; 34: the library is the stub of a toolkit.",
        "Run `nvidia-smi` and read what `dmesg` says about NVRM.",
        ("cuda-driver-api-errors",),
        example={"name": "CUDA_ERROR_UNKNOWN"},
    ),
    Page(
        "driver-library-mismatch",
        "Two halves of a driver that do not match",
        "cuInit fails with 803: libcuda is of {user}, the kernel module of {kernel}",
        "The library and the kernel module have to be of one release. After an update the old module stays loaded "
        "until it is reloaded; in a container a libcuda of its own may stand before the mounted one.",
        "Reboot or reload the module; in a container remove the libcuda that its image brings.",
        ("cuda-driver-api-errors", "cuda-compatibility-guide"),
    ),
    Page(
        "forward-compat-unsupported",
        "Forward compatibility is not for this GPU",
        "cuInit fails with 804: {library} is a forward-compatibility library, which this GPU does not support with "
        "the driver of {kernel}",
        "The package cuda-compat runs newer CUDA on an older driver, on data-center GPUs and some others, and only "
        "where the driver is not too old. On other GPUs its libcuda fails, and it stands before the driver's own.",
        "Take the folder `compat` out of LD_LIBRARY_PATH or uninstall cuda-compat, and use a newer driver instead.",
        ("cuda-driver-api-errors", "cuda-compatibility-guide"),
    ),
    Page(
        "hidden-by-environment",
        "Hidden by CUDA_VISIBLE_DEVICES",
        "GPUs are there, and CUDA_VISIBLE_DEVICES={value!r} hides them all",
        "The variable lists the devices that a process may see; an empty list, or a first entry that fits none, "
        "leaves none.",
        "Unset CUDA_VISIBLE_DEVICES, or name devices that are there (`nvidia-smi -L`).",
        ("cuda-guide-environment",),
    ),
    Page(
        "container-without-devices",
        "A container without its GPUs",
        "the driver serves {count} GPU on this host, but this container has no device files for it",
        "The container was started without GPUs.",
        "Start it with `--gpus all` (docker), `--device nvidia.com/gpu=all` (podman), `--nv` (apptainer), or with "
        "`nvidia.com/gpu` among the limits of the pod (kubernetes).",
    ),
    Page(
        "probe-timed-out",
        "The driver does not answer",
        "{call} did not return within {seconds} s (CAPABLY_PROBE_TIMEOUT sets the limit)",
        "A driver library hangs: a GPU that fell off the bus, a fabric that is not up, or a machine that is slow to "
        "wake its GPUs. It was asked in a process of its own, which was ended.",
        "Read what `dmesg` says about NVRM; for a slow machine set CAPABLY_PROBE_TIMEOUT (seconds) or start "
        "nvidia-persistenced.",
    ),
    Page(
        "probe-crashed",
        "The driver library crashes",
        "{call} ended its process ({what})",
        "A driver library crashed. It was asked in a process of its own.",
        "Run `nvidia-smi`; if it crashes too, install the driver again.",
    ),
    Page(
        "probe-failed",
        "The driver could not be asked",
        "the driver could not be asked: {problem}",
        "A child process asks the driver. It could not be started, or it ended or answered in a way that tells nothing "
        "about the GPUs. Whether there are any is not known then, and nothing is remembered.",
        "Run `nvidia-smi`: if it fails too, install the driver again. Inside of an application that embeds Python, set "
        "CAPABLY_PROBE_PYTHON to the path of a Python 3 interpreter.",
        example={"problem": "cuInit ended the process that asks, without an answer (exit 0)"},
    ),
    Page(
        "platform-not-probed",
        "GPUs are not looked for on this system",
        "the GPUs of a machine with {platform} are not looked for yet",
        "The driver is asked on Linux only, the Windows Subsystem for Linux included.",
        "Name the GPUs (--gpu) and the driver (--driver).",
    ),
    # Of the probe: what else is odd about the machine
    Page(
        "capability-disagreement",
        "Two answers about one GPU",
        "{device}: the driver says {cuda}, NVML says {nvml}; the driver counts",
        "Older releases of NVML and nvidia-smi have named the wrong compute capability for newer GPUs.",
        "Update the driver.",
    ),
    Page(
        "driver-parts-differ",
        "A library and a kernel module of different releases",
        "libcuda is of {user}, the kernel module of {kernel}",
        "It works in rare cases only; most often cuInit fails with 803.",
        "Reboot or reload the module; in a container remove the libcuda that its image brings.",
        ("cuda-compatibility-guide",),
    ),
    Page(
        "forward-compat-in-use",
        "A forward-compatibility library is in use",
        "{library} is the libcuda of {release}, before that of the driver ({kernel})",
        "The package cuda-compat replaces libcuda, so that newer CUDA runs on an older driver.",
        "",
        ("cuda-compatibility-guide",),
        example={"release": "580.65.06"},
    ),
    Page(
        "visible-entry-invalid",
        "An entry that fits no device ends the list",
        "{entry!r} fits no single device: it and all behind it are ignored, {kept} stay",
        "CUDA reads CUDA_VISIBLE_DEVICES up to the first entry that fits no device, or several.",
        "Correct the entry (`nvidia-smi -L` lists the devices).",
        ("cuda-guide-environment",),
    ),
    Page(
        "visible-duplicate",
        "A device named twice empties the list",
        "a device is named twice, which hides all of them",
        "It is not documented, but what PyTorch and nvitop found.",
        "Name each device once.",
        ("pytorch-92315",),
    ),
    Page(
        "visible-value-of-containers",
        "A value of another variable",
        "{entry!r} is a value for NVIDIA_VISIBLE_DEVICES, which the container toolkit reads; CUDA knows numbers and UUIDs",
        "The two variables have similar names and different values.",
        "Unset CUDA_VISIBLE_DEVICES to see all devices; set it to nothing to see none.",
        ("cuda-guide-environment",),
    ),
    Page(
        "mig-first-only",
        "One slice at a time",
        "a process sees one MIG slice; of slices and other GPUs, {hidden} more stay hidden",
        "CUDA gives a process one compute instance, and no whole GPU beside it.",
        "Start one process for each slice, with its UUID in CUDA_VISIBLE_DEVICES.",
        ("mig-guide",),
    ),
    Page(
        "toolkits-disagree",
        "Compilers of different releases",
        "which compiler is used depends on who compiles: {listed}",
        "PATH, CUDA_HOME and wheels lead to different toolkits, and each tool looks in its own order.",
        "Let CUDA_HOME and PATH name the same toolkit.",
    ),
    Page(
        "compiler-silent",
        "A compiler that does not answer",
        "{path} did not say its version",
        "It does not start, or is no compiler of NVIDIA's.",
        "Run it with --version.",
    ),
    Page(
        "compiler-not-run",
        "A compiler that was not run",
        "the version of {path} is not known: it was not run, and neither its file nor its package tells it",
        "Only compilers that the user names are run: by PATH, CUDA_HOME, CUDA_PATH, CUDACXX, TRITON_PTXAS_PATH or "
        "TRITON_PTXAS_BLACKWELL_PATH, as an absolute path. Of the others, those in Python environments above all, "
        "the version is read. This file may be a script, or no compiler of NVIDIA's.",
        "If you trust it, put its folder on PATH, or let CUDA_HOME name its toolkit.",
    ),
)
