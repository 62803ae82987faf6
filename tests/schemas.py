"""The schema of our JSON answers, checked and compiled once: that takes longer than a command."""

from __future__ import annotations

from functools import cache

from jsonschema import Draft202012Validator

from capably.report.machine import schema


@cache
def _validator(answer: str | None) -> Draft202012Validator:
    whole = schema()
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole if answer is None else {**whole, "oneOf": [{"$ref": f"#/$defs/{answer}"}]})


def fits_schema(document: object, answer: str | None = None) -> None:
    """Fail unless *document* is the JSON of that command, or of any one where none is named."""
    _validator(answer).validate(document)
