"""What all oracles share: the measure, its bounds, two runs of everything, and a table of the worst errors at the end.

An error is max|a − b| / max(1, max|b|), a ours and b theirs, in float64. Forward values agree to 1e-12, gradients, second
derivatives and whole training runs to 1e-10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend.random import stream

BOUNDS = {"forward": 1e-12, "gradient": 1e-10, "second": 1e-10, "trajectory": 1e-10}
COLUMN = "oracle error: "  # how an error is called among a report's properties

Compare = Callable[[str, Any, Any], None]


@pytest.fixture(autouse=True, params=[nullcontext, mv.reference], ids=["kernels", "reference"])
def kernels_on_and_off(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test twice: with the overlay's kernels, and with the ops' own formulas."""
    with request.param():
        yield


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name alone, so with and without kernels they are the same."""
    return stream(0, "oracles", request.node.name.replace("reference", "kernels"))


@pytest.fixture
def compare(request: pytest.FixtureRequest) -> Compare:
    """`compare(kind, ours, theirs)`: note the error of two arrays, or two lists of them, and refuse one past its bound."""

    def check(kind: str, ours: Any, theirs: Any) -> None:
        if isinstance(ours, list):
            assert len(ours) == len(theirs), f"{len(ours)} arrays of ours, {len(theirs)} of theirs"
            for a, b in zip(ours, theirs, strict=True):
                check(kind, a, b)
            return
        a, b = (plain(x) for x in (ours, theirs))
        assert a.shape == b.shape, f"our shape {a.shape}, theirs {b.shape}"
        assert a.dtype == b.dtype == np.float64, f"our dtype {a.dtype}, theirs {b.dtype}"
        error = float(np.max(np.abs(a - b), initial=0.0) / max(1.0, np.max(np.abs(b), initial=0.0)))
        request.node.user_properties.append((COLUMN + kind, error))
        assert error <= BOUNDS[kind], f"{kind}: error {error:.2e} exceeds {BOUNDS[kind]:.0e}"

    return check


def plain(x: Any) -> np.ndarray:
    """A NumPy array of a tensor of ours, a tensor of torch, an array or a number."""
    x = x.data if isinstance(x, mv.Tensor) else x.detach().numpy() if hasattr(x, "detach") else x
    return np.asarray(x)


@pytest.fixture
def agree(compare: Compare, rng: np.random.Generator) -> Callable[..., None]:
    """`agree(ours, theirs, *arrays)`: two functions of tensors have the same values and derivatives of both orders.

    The gradients are weighted by a random cotangent gy. Of Σ gradients · v, with random v, the derivatives by all operands
    and by gy are compared next: a product of the second derivative with a vector, and the transpose of the first.
    """
    import torch

    def check(ours: Callable[..., Any], theirs: Callable[..., Any], *arrays: np.ndarray) -> None:
        xs = [mv.Tensor(x, requires_grad=True) for x in arrays]
        ts = [torch.tensor(x, requires_grad=True) for x in arrays]
        y, z = ours(*xs), theirs(*ts)
        compare("forward", y, z)
        weights = rng.standard_normal(z.shape)
        unused = {"allow_unused": True, "materialize_grads": True}  # zeros for what z does not depend on, as ours gives
        compare("gradient", mv.grad(y, xs, weights), list(torch.autograd.grad(z, ts, torch.tensor(weights), retain_graph=True, **unused)))

        directions = [rng.standard_normal(x.shape) for x in arrays]
        gy, gz = mv.Tensor(weights, requires_grad=True), torch.tensor(weights, requires_grad=True)
        products = [(g * v).sum() for g, v in zip(mv.grad(y, xs, gy, create_graph=True), directions, strict=True)]
        slope = sum(products[1:], products[0])
        their_slope = 0.0 * gz.sum()  # it depends on gz even where torch's rule gives plain zeros
        for g, v in zip(torch.autograd.grad(z, ts, gz, create_graph=True, **unused), directions, strict=True):
            their_slope = their_slope + (g * torch.tensor(v)).sum()
        compare("second", mv.grad(slope, [*xs, gy]), list(torch.autograd.grad(their_slope, [*ts, gz], **unused)))

    return check


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the worst error of each kind for each module: how far from its bound everything stayed."""
    worst: dict[str, dict[str, float]] = {}
    cases: dict[str, int] = {}
    for report in (r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome)):
        errors = [(name.removeprefix(COLUMN), error) for name, error in report.user_properties if name.startswith(COLUMN)]
        if not errors or report.when != "call":
            continue
        group = report.nodeid.partition("::")[0].rpartition("/")[2].removeprefix("test_").removesuffix(".py").replace("_", " ")
        cases[group] = cases.get(group, 0) + 1
        for kind, error in errors:
            row = worst.setdefault(group, {})
            row[kind] = float(np.maximum(row.get(kind, 0.0), error))  # a NaN stays
    if not worst:
        return
    terminalreporter.section("worst errors against other libraries")
    terminalreporter.write_line(f"{'group':32}{'cases':>6}" + "".join(f"{kind:>12}" for kind in BOUNDS))
    for group in sorted(worst):
        row = "".join(f"{worst[group][kind]:12.1e}" if kind in worst[group] else f"{'-':>12}" for kind in BOUNDS)
        terminalreporter.write_line(f"{group:32}{cases[group]:6}{row}")
    terminalreporter.write_line(f"{'bound':32}{sum(cases.values()):6}" + "".join(f"{bound:12.0e}" for bound in BOUNDS.values()))
