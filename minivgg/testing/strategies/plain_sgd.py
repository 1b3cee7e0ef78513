"""SGD once more, in plain Python floats: the oracle of the optimiser's trajectories.

Written from the formulas of `minivgg.optim.SGD`, one number after the other, with no array and none of its code.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PlainSGD"]


class PlainSGD:
    """Weights as lists of floats under names, with a rate, a momentum and a decay for each.

    form="torch"    v ← μ·v + g          w ← w − η·v          Nesterov: w ← w − η·(g + μ·v)
    form="paper"    v ← μ·v − η·g        w ← w + v            Nesterov: w ← w + μ·v − η·g

    with g ← g + λ·w before either, and v = 0 at the start.
    """

    def __init__(
        self, weights: Mapping[str, list[float]], rates: Mapping[str, float], decays: Mapping[str, float],
        momentum: float, nesterov: bool, form: str,
    ) -> None:  # fmt: skip
        self.weights = {name: list(values) for name, values in weights.items()}
        self.velocity = {name: [0.0] * len(values) for name, values in weights.items()}
        self.rates, self.decays = dict(rates), dict(decays)
        self.momentum, self.nesterov, self.form = momentum, nesterov, form

    def scale_rates(self, factor: float) -> None:
        """Multiply every rate."""
        self.rates = {name: rate * factor for name, rate in self.rates.items()}

    def step(self, gradients: Mapping[str, list[float] | None]) -> None:
        """Update every weight that has a gradient."""
        for name, gradient in gradients.items():
            if gradient is not None:
                for i, g in enumerate(gradient):
                    self._update(name, i, g)

    def _update(self, name: str, i: int, g: float) -> None:
        rate, mu = self.rates[name], self.momentum
        w, v = self.weights[name][i], self.velocity[name][i]
        g = g + self.decays[name] * w
        if self.form == "torch":
            v = mu * v + g
            w = w - rate * (g + mu * v) if self.nesterov else w - rate * v
        else:
            v = mu * v - rate * g
            w = w + mu * v - rate * g if self.nesterov else w + v
        self.weights[name][i], self.velocity[name][i] = w, v
