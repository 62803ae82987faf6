"""What error messages mean: recognised in a log, and their possible causes tested against facts.

Nothing is looked at here. The log, the record of the machine and scanned artifacts are given; every cause in
question is found to hold, to be excluded, or to be open, and for an open one there is a command that tells.
"""

from __future__ import annotations

from capably.logs.evidence import State
from capably.logs.explanation import Explanation, TestedCause, explain, reads_packages
from capably.logs.recognition import MOST_BYTES, SeenMessage, recognise

__all__ = ["MOST_BYTES", "Explanation", "SeenMessage", "State", "TestedCause", "explain", "reads_packages", "recognise"]
