"""What is wrong with a machine and what is installed on it, worst first.

Facts come in, diagnoses come out; nothing here looks at a file or a machine. Causes that have nothing to do
with architectures are found before the engine is asked, and a package that one of them stops is not blamed
on a GPU: what the engine says about it is then told as a note.
"""

from __future__ import annotations

from capably.doctor.diagnosis import Area, Diagnosis, Evidence, Examination, Installed, JudgedPackage, Severity
from capably.doctor.examination import diagnose
from capably.doctor.installation import torch_cuda

__all__ = [
    "Area",
    "Diagnosis",
    "Evidence",
    "Examination",
    "Installed",
    "JudgedPackage",
    "Severity",
    "diagnose",
    "torch_cuda",
]
