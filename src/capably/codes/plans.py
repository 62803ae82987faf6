"""Findings of plans: what a toolkit cannot build."""

from __future__ import annotations

from capably.codes.page import Page

__all__ = ["PAGES"]

PAGES = (
    Page(
        "target-not-emitted",
        "The toolkit does not emit this target",
        "{toolkit} does not emit {subject}; {span} does",
        "Each CUDA toolkit knows the GPUs of its time: new ones are added, and old ones are dropped.",
        "Build with such a toolkit, or with targets that serve the GPU too.",
        ("ptxas-experiment", "llvm-nvptx-targets"),
        harmless=True,
        example={"subject": "sm_103", "toolkit": "CUDA 12.8", "span": "CUDA 12.9 or newer"},
    ),
    Page(
        "no-forward-ptx",
        "No PTX for GPUs to come",
        "there is no PTX for GPUs to come in the plan: {why}",
        "Only plain PTX reaches GPUs that are newer than the toolkit: that with a suffix is for one capability or one "
        "family. Not all code can be plain, and not every tool can be asked for it.",
        "Add targets for new GPUs when a toolkit has them.",
        ("ptxas-experiment",),
        example={"why": "the tool cannot be asked for plain PTX"},
    ),
    Page(
        "toolkit-beyond-tables",
        "A toolkit that the tables do not know",
        "what {subject} emits is not known: the tables have CUDA {oldest} to {newest}",
        "Which targets a toolkit emits is recorded for each of them, and not guessed from its neighbours.",
        "Plan for a toolkit in the tables, or use a newer capably.",
        ("ptxas-experiment",),
        example={"subject": "CUDA 13.6", "oldest": "10.0", "newest": "13.5"},
    ),
)
