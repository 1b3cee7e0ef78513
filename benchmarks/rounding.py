"""How much each algorithm of convolution rounds: float32 against float64, on unit-variance images and He weights.

    python benchmarks/rounding.py

Prints the relative error in the L2 norm of the result, the images' gradient and the filters' gradient, for C = K channels.
"""

from __future__ import annotations

import numpy as np

from minivgg.fast.cpu import columns, winograd_products
from minivgg.fast.cpu.ending import Ending, Upstream
from minivgg.fast.problem import Problem
from minivgg.ops.windows import Geometry


def results(algorithm: str, problem: Problem, x: np.ndarray, w: np.ndarray, gy: np.ndarray) -> list[np.ndarray]:
    """y, gx and gw."""
    if algorithm == "im2col":
        return [columns.forward(x, w, problem, Ending()), *columns.gradients(Upstream(gy), x, w, problem)]
    m = int(algorithm[-1])
    return [winograd_products.forward(x, w, problem, m, Ending()), *winograd_products.gradients(Upstream(gy), x, w, problem, m)]


def main() -> None:
    """Print the table."""
    print("channels  algorithm     result  images' gradient  filters' gradient")
    for c, size in ((16, 16), (64, 16), (128, 16), (256, 8), (512, 8)):
        rng = np.random.default_rng(0)
        problem = Problem(4, (size, size), c, c, Geometry((3, 3), (1, 1), (1, 1)))
        x, gy = rng.standard_normal((2, 4, size, size, c), dtype=np.float32)
        w = rng.standard_normal((3, 3, c, c), dtype=np.float32) * np.float32(np.sqrt(2 / (9 * c)))
        exact = results("im2col", problem, *(a.astype(np.float64) for a in (x, w, gy)))
        for algorithm in ("im2col", "winograd2", "winograd4"):
            found = results(algorithm, problem, x, w, gy)
            errors = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, exact, strict=True)]
            print(f"{c:8}  {algorithm:9}  {errors[0]:9.1e}  {errors[1]:16.1e}  {errors[2]:17.1e}")


if __name__ == "__main__":
    main()
