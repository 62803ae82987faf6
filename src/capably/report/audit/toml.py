"""A policy as TOML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from capably.escaping import printable
from capably.report.audit.lines import FEW, artifact_title, driver_name
from capably.tables import tables

if TYPE_CHECKING:
    from capably.audit import AuditPolicy
    from capably.facts import Artifact

__all__ = ["policy_toml"]


def policy_toml(policy: AuditPolicy, artifact: Artifact) -> str:
    """*policy* as a table for ``pyproject.toml``, with what a person has to decide in comments."""
    out = [
        f"# What {printable(artifact_title(artifact))} keeps, to start from: take out what is not a promise.",
        "[tool.capably]",
    ]
    if policy.require:
        names = tables().products
        out.append("require = [")
        for device in policy.require:
            known = [
                product.name.removeprefix("GeForce ") for product in names if product.capability == device.capability
            ]
            shown = ", ".join(sorted(known, key=len)[:FEW]) + (", …" if len(known) > FEW else "")
            out.append(f"    {_string(str(device.capability))},  # {shown}")
        out.append("]")
    if policy.targets:
        out.append(f"targets = [{', '.join(_string(str(target)) for target in policy.targets)}]")
    if policy.ptx is not None:
        out.append(f"ptx = {_string(policy.ptx)}")
    if policy.driver is not None:
        out.append(f"driver = {_string(driver_name(policy.driver))}  # the oldest by which all of this holds")
    if policy.toolkits:
        out.append(f"toolkit = [{', '.join(_string(str(toolkit)) for toolkit in policy.toolkits)}]")
    if policy.artifact_bytes is not None:
        out.append(f"max-size = {_string(f'{policy.artifact_bytes // 10**6} MB')}")
    for allowance in policy.allow:
        out += ["", "[[tool.capably.allow]]", f"finding = [{', '.join(map(_string, allowance.codes))}]"]
        if allowance.libraries:
            out.append(f"library = [{', '.join(map(_string, allowance.libraries))}]")
        if allowance.gpus:
            out.append(f"gpu = [{', '.join(_string(str(device.capability)) for device in allowance.gpus)}]")
        out.append(f"reason = {_string(allowance.reason)}")
    return "\n".join(out) + "\n"


def _string(text: str) -> str:
    """A TOML string. What cannot be printed becomes `?`, which fits any character in a pattern."""
    quoted = json.dumps("".join(c if c.isprintable() else "?" for c in text), ensure_ascii=False)
    return quoted.replace("##", "#\\u0023")  # the same text, and no command to a build server
