"""Every error survives the way between processes, and its text says what, why and where."""

import pickle

import pytest

from capably import errors


def _all(base: type[errors.CapablyError]) -> list[type[errors.CapablyError]]:
    return [base, *(found for child in base.__subclasses__() for found in _all(child))]


EXAMPLES = {
    errors.CapablyError: ("plain",),
    errors.ParseError: ("target", "sm_9x", 4, 5, "a digit"),
    errors.UnknownNameError: ("GPU", "RTX 5900", ("RTX 5090",)),
    errors.DialectError: ("torch-python", ("sm_120f",), "its table has no `f` targets"),
    errors.AmbiguousNameError: ("6000", (("RTX A6000", "8.6"), ("Quadro RTX 6000", "7.5"))),
    errors.TableError: ("drivers", "row", "it cites no source"),
    errors.RecordError: ("$.devices[0].capability", "is missing"),
    errors.PolicyError: ("pyproject.toml", "allow[0].library", "is missing"),
    errors.FetchError: ("x==1", "no wheel", "try another"),
    **dict.fromkeys(
        _all(errors.IncompatibleError),
        (
            "FlashInfer",
            ">=7.5",
            "the GPU is too old",
            ("GPU 0, V100 (7.0): no",),
            "Use another.",
            None,
            "device-too-old",
        ),
    ),
    errors.ScanError: ("a.whl!/x.so", "is not there", 12),
    errors.TruncatedError: ("a.so", "ends early", None),
    errors.LimitError: ("a.so", "too many entries"),
}


@pytest.mark.parametrize("kind", [k for k in _all(errors.CapablyError) if k.__module__ == "capably.errors"])
def test_errors_pickle_and_print(kind: type[errors.CapablyError]) -> None:
    error = kind(*EXAMPLES[kind])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert str(again) == str(error) != ""
    assert vars(again) == vars(error)


def test_control_characters_in_a_name_are_not_printed() -> None:
    assert "\x1b" not in str(errors.UnknownNameError("GPU", "\x1b[31mRTX"))
    assert "\x1b" not in str(errors.ParseError("target", "\x1b[31m", 0, 1, "a digit"))


def test_old_code_that_catches_builtins_still_works() -> None:
    assert issubclass(errors.ParseError, ValueError)
    assert issubclass(errors.UnknownNameError, LookupError)
    assert all(issubclass(kind, RuntimeError) for kind in _all(errors.IncompatibleError))
