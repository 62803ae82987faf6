"""``python -m capably`` is the same as ``capably``."""

import sys

from capably.cli import main

if __name__ == "__main__":
    sys.exit(main())
