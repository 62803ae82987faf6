"""Versions of distributions, in the one way to write them. `packaging` does so too, and a scan needs no packages."""

from __future__ import annotations

import re

__all__ = ["normal_version"]

# "Version specifiers" of the Python packaging guide (PEP 440), its appendix B. ASCII only: wheels allow nothing else.
_VERSION = re.compile(
    r"v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)"
    r"(?:[-_.]?(alpha|beta|preview|pre|rc|a|b|c)[-_.]?([0-9]*))?"
    r"(?:-([0-9]+)|([-_.]?(?:post|rev|r)[-_.]?([0-9]*)))?"
    r"([-_.]?dev[-_.]?([0-9]*))?"
    r"(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.ASCII,
)
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


def normal_version(text: str) -> str | None:
    """*text* as everybody writes it; None where it is no version.

    >>> normal_version("1.0-ALPHA_2.post"), normal_version("2.10.0+CU128"), normal_version("1.x")
    ('1.0a2.post0', '2.10.0+cu128', None)
    """
    found = _VERSION.fullmatch(text.strip().lower()) if text.isascii() else None
    if found is None:
        return None
    epoch, release, pre, pre_number, post_only, post, post_number, dev, dev_number, local = found.groups()
    epoch = _number(epoch or "")
    return "".join(
        (
            f"{epoch}!" if epoch != "0" else "",
            ".".join(map(_number, release.split("."))),
            f"{_PRE.get(pre, pre)}{_number(pre_number)}" if pre else "",
            f".post{_number(post_only or post_number)}" if post_only or post else "",
            f".dev{_number(dev_number)}" if dev else "",
            "+" + ".".join(map(_local, re.split("[-_.]", local))) if local else "",
        )
    )


def _number(digits: str) -> str:
    return digits.lstrip("0") or "0"  # no number is made of them: Python refuses those of thousands of digits


def _local(part: str) -> str:
    return _number(part) if part.isdigit() else part
