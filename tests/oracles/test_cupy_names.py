"""The names of CuPy that the package uses, looked up in the real CuPy: no card is needed for that.

tests/cuda/cupy_names.txt is what everything together asks the pretend CuPy for; a test there keeps it true. Keywords are looked up in
a function's signature, or for compiled ones in the signature that their documentation begins with.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

cupy = pytest.importorskip("cupy", reason="CuPy is not installed here")

NAMES = (Path(__file__).parents[1] / "cuda" / "cupy_names.txt").read_text().split()


def keywords_of(function: Any) -> set[str]:
    """What may be given by name; "**" if anything may."""
    documented = re.search(r"\((.*)\)", (function.__doc__ or "").strip().splitlines()[0])
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        assert documented, f"{function} tells no signature"
        return {part.split("=")[0].split()[-1].lstrip("*\\") for part in documented[1].split(",") if part.strip(" *\\/")}
    return {"**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters}


@pytest.mark.parametrize("name", NAMES)
def test_the_real_cupy_has_it(name: str) -> None:
    """The attribute exists, and the function takes the keyword."""
    path, _, keyword = name.rstrip(")").partition("(")
    found = cupy
    for part in path.split("."):
        found = getattr(found, part)
    if keyword:
        assert keywords_of(found) & {keyword, "**"}, f"{path} takes {sorted(keywords_of(found))}"


def test_a_name_that_is_not_there_is_noticed() -> None:
    """The look-up itself: neither NumPy's `trapezoid_` nor a keyword `where` of `maximum` exists."""
    with pytest.raises(AttributeError):
        test_the_real_cupy_has_it("no_such_function")
    with pytest.raises(AssertionError, match="maximum takes"):
        test_the_real_cupy_has_it("maximum(where)")
    with pytest.raises(AssertionError, match=r"ndarray\.sum takes"):
        test_the_real_cupy_has_it("ndarray.sum(where)")
