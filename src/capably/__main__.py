"""``python -m capably`` is the same as ``capably``."""

from capably.cli import program

if __name__ == "__main__":
    program()
