"""What error messages mean: recognised in a log, and their possible causes tested against facts.

Nothing is looked at here. The log is read first, as a record of the machine that printed it; other facts are given, and
each has its origin. Every cause in question is found to hold, to be likely, open or excluded, the most likely first, and
for what is open there is a command that tells.
"""

from __future__ import annotations

from capably.logs.evidence import State
from capably.logs.explanation import Explanation, TestedCause, explain, files_of, is_from, reads_packages
from capably.logs.origins import FactOrigin, Given
from capably.logs.recognition import MOST_BYTES, SeenMessage, recognise

__all__ = [
    "MOST_BYTES",
    "Explanation",
    "FactOrigin",
    "Given",
    "SeenMessage",
    "State",
    "TestedCause",
    "explain",
    "files_of",
    "is_from",
    "reads_packages",
    "recognise",
]
