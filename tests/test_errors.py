"""The exceptions: what they derive from, their exit codes, and the nearest valid name."""

from __future__ import annotations

import pytest

from minivgg import errors

TREE = {  # name: (the built-in that programmers would catch, exit code)
    "MinivggError": (Exception, 1),
    "ShapeError": (ValueError, 2),
    "DeviceError": (TypeError, 2),
    "GraphError": (RuntimeError, 1),
    "ConfigError": (ValueError, 2),
    "DataError": (ValueError, 3),
    "CheckpointError": (ValueError, 4),
    "NumericalError": (ArithmeticError, 5),
    "StorageError": (OSError, 6),
    "OutOfMemoryError": (MemoryError, 6),
    "GradientError": (AssertionError, 7),
}


@pytest.mark.parametrize("name", TREE)
def test_each_error_is_also_the_builtin_that_one_would_catch(name):
    """An error of minivgg can be caught as MinivggError or by its ordinary kind, and knows its exit code."""
    kind, code = TREE[name]
    error = getattr(errors, name)
    assert issubclass(error, kind) and issubclass(error, errors.MinivggError) and error.exit_code == code
    assert str(error("a message")) == "a message"


def test_the_tree_is_complete_and_drawn():
    """No exception is missing from the table above, from __all__ or from the drawing at the top of the file."""
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.MinivggError)}
    assert defined == set(TREE) == set(errors.__all__) - {"nearest"}
    for name, (kind, code) in TREE.items():
        line = next(line for line in errors.__doc__.splitlines() if name in line)
        assert f"exit {code}" in line and (name == "MinivggError" or f"{name}({kind.__name__})" in line)


def test_the_nearest_name_comes_first():
    """A slip of the finger is answered by the name that was meant; nonsense only by the list."""
    assert errors.nearest("vgg16bn", ["vgg16_bn", "vgg11"]) == "did you mean vgg16_bn? Valid: vgg11, vgg16_bn."
    assert errors.nearest("zzz", ["b", "a"]) == "Valid: a, b."
