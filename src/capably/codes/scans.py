"""Findings of the scanner: what was found beside the code, or could not be read."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    Page(
        "no-gpu-code",
        "No GPU code",
        "no GPU code in {files} files",
        "Nothing that was looked at holds fatbins, cubins or PTX: the package is pure Python, for the CPU, or "
        "compiles its kernels at run time.",
        "Look at the package that holds the kernels, or at what it compiles at run time.",
        harmless=True,
    ),
    Page(
        "link-input",
        "Input for the linker",
        "relocatable code or link-time IR only",
        "The file holds relocatable GPU code or link-time IR, and nothing that a driver loads as it is.",
        "Judge the library that it is linked into.",
        ("fatbin-experiment", "nvcc-manual"),
        harmless=True,
    ),
    Page(
        "link-time-ir",
        "Link-time IR beside other code",
        "link-time IR, which no driver loads, beside code that one may load",
        "Link-time IR is input for a linker: of the toolkit, or one that the program calls on the user's machine, such "
        "as nvJitLink. The driver does not choose it, so it is listed and decides nothing; the other code of the file is "
        "judged as ever.",
        "",
        ("fatbin-experiment", "nvcc-manual"),
        harmless=True,
    ),
    Page(
        "bare-images",
        "Code outside any fatbin",
        "cubins or PTX that lie bare in a data section",
        "Some libraries carry kernels as plain data and load them by hand. Whether and where they do cannot be "
        "seen, so this code is listed and not counted.",
        "",
        ("fatbin-experiment",),
        harmless=True,
    ),
    Page(
        "foreign-gpu-code",
        "GPU code in another container",
        "a section of GPU code that is not an NVIDIA fatbin",
        "Code for AMD (`.hip_fatbin`) or of clang's offload driver (`.llvm.offloading`) is not read.",
        harmless=True,
    ),
    Page(
        "damaged-fatbin",
        "A damaged fatbin",
        "a fatbin whose headers contradict each other or leave its section",
        "The file is damaged, or made to mislead. What could be read is reported.",
        "Get the file again; if it stays so, please report it.",
        hides=True,
    ),
    Page(
        "damaged-image",
        "An image that cannot be read",
        "a payload that does not decompress or parse",
        "The payload of an entry is damaged; its kind and target are known from its header, its kernels are not.",
        "Get the file again; if it stays so, please report it.",
    ),
    Page(
        "codec-missing",
        "A codec that is not installed",
        "images compressed in a way that needs a package which is not installed",
        "The kind and target of each image are known from its header. Whether it holds kernels is not, so that where it "
        "would decide, the answer is unknown.",
        "Install the codecs: `pip install 'capably[cli]'`.",
    ),
    Page(
        "damaged-elf",
        "A damaged ELF file",
        "headers that contradict each other or the size of the file",
        "The section table could not be read as it says. What could be read is reported.",
        "Get the file again; if it stays so, please report it.",
        hides=True,
    ),
    Page(
        "damaged-pe",
        "A damaged PE or COFF file",
        "headers that contradict each other",
        "The section table could not be read as it says. What could be read is reported.",
        "Get the file again; if it stays so, please report it.",
        hides=True,
    ),
    Page(
        "damaged-archive-member",
        "A damaged member of an archive",
        "a member that does not unpack to what the archive says",
        "Its data or a header is damaged, or its checksum or size is wrong. What else could be read is reported.",
        "Get the archive again.",
        hides=True,
    ),
    Page(
        "truncated-file",
        "A file that ends early",
        "the file ends before its own headers say it should",
        "A download that broke off looks like this.",
        "Get the file again.",
        hides=True,
    ),
    Page(
        "encrypted-member",
        "An encrypted member",
        "a member that cannot be read without a password",
        "Encrypted members of an archive are skipped.",
        "Unpack it first and name the folder.",
        hides=True,
    ),
    Page(
        "unsafe-name",
        "An unsafe name",
        "a member name with control characters, an absolute path or `..`",
        "Nothing is written under such a name here, since nothing is extracted; an installer might.",
        "Do not install it before you know why.",
    ),
    Page(
        "limit-reached",
        "A limit was reached",
        "more, larger or deeper than the limits allow",
        "Reading is bounded, so that a hostile file cannot exhaust the machine. What was read until then is "
        "reported, and the answer may be incomplete.",
        "Raise the limit (capably.scanner.Limits) if you trust the file.",
        hides=True,
    ),
    Page(
        "missing-library",
        "A library that is not there",
        "a library that the distribution's RECORD lists and that is not there",
        "The installation is damaged or was changed by hand; what the library held is not known.",
        "Install the distribution again.",
        hides=True,
    ),
    Page(
        "missing-file",
        "A file that is not there",
        "a file that the distribution's RECORD lists and that is not there",
        "The installation is damaged or was changed by hand.",
        "Install the distribution again.",
    ),
    Page(
        "unreadable-file",
        "A file that cannot be opened",
        "a file that the operating system does not let capably read, or that is stored in a way it does not read",
        "Its permissions or the disk are the cause, or a form of archive without the bytes (thin) or with holes "
        "(sparse), or a compression method that is not supported.",
        "Read it as a user who may; unpack an archive first and name the folder.",
        hides=True,
    ),
    Page(
        "damaged-metadata",
        "Damaged metadata of a package",
        "a file that tells of an installed distribution, which cannot be read or is not what it should be",
        "The installation broke off, was changed by hand, or the package is made to mislead. Its name or version comes "
        "from the name of the folder then, and its platforms or requirements may not be known. Its files were read.",
        "Install the distribution again.",
    ),
    Page(
        "damaged-record",
        "A damaged list of the files of a package",
        "a list of the files of an installed distribution, which cannot be read or is not what it should be",
        "The installation broke off, was changed by hand, or the package is made to mislead. Files that are not in the "
        "list were not read, so it is not known what GPU code they hold.",
        "Install the distribution again.",
        hides=True,
    ),
)
