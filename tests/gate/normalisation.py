"""Wrong rules of normalisation: terms of batch norm left out, variances and exponents mistaken, windows on the wrong side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops

from .planting import Case, constant, planted


def uneven_windows(rng: np.random.Generator) -> Iterator[Case]:
    """More channels than the window has, one more of them before than after."""
    yield ops.ChannelWindowSum(2, 1), (rng.standard_normal((1, 5, 1, 2)),)


def even_size(rng: np.random.Generator) -> Iterator[Case]:
    """A window of an even size: two channels before, one after."""
    yield ops.LocalResponseNorm(4, 0.5, 0.5, 1.0), (rng.standard_normal((1, 5, 1, 2)),)


def channels(v: Any, ndim: int) -> Any:
    """v (C,) as (1, C, 1, …)."""
    return v.reshape((1, v.shape[0]) + (1,) * (ndim - 2))


def mean(x: Any) -> Any:
    """The mean of each channel, as (1, C, 1, …)."""
    return channels(ops.channel_sum(x) * (x.shape[1] / x.size), x.ndim)


@planted(ops.BatchNorm, "grad_x")
def batch_norm_forgets_the_mean(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """The term −Σĝ/m is left out: the mean is treated as a constant."""
    normal, inverse = self.normalised(x)
    g = gy * channels(gamma, x.ndim)
    return (g - normal * mean(g * normal)) * inverse


@planted(ops.BatchNorm, "grad_x")
def batch_norm_forgets_the_variance(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """The term −x̂·Σ(ĝ·x̂)/m is left out: the variance is treated as a constant."""
    _, inverse = self.normalised(x)
    g = gy * channels(gamma, x.ndim)
    return (g - mean(g)) * inverse


@planted(ops.BatchNorm, "grad_x")
def batch_norm_forgets_both_statistics(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """The rule of evaluation, where statistics are given, used in training."""
    return gy * channels(gamma, x.ndim) * self.normalised(x)[1]


@planted(ops.BatchNorm, "grad_x")
def batch_norm_halves_the_variance_term(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """The 2 of ∂σ²/∂x = 2(x − μ)/m is cancelled twice."""
    normal, inverse = self.normalised(x)
    g = gy * channels(gamma, x.ndim)
    return (g - mean(g) - normal * mean(g * normal) * 0.5) * inverse


@planted(ops.BatchNorm, "grad_x")
def batch_norm_has_the_unbiased_variance(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """Backwards the variance is divided by m − 1, forwards by m."""
    m = x.size // x.shape[1]
    centred = x - mean(x)
    inverse = 1.0 / ops.sqrt(mean(centred * centred) * (m / (m - 1)) + self.eps)
    normal, g = centred * inverse, gy * channels(gamma, x.ndim)
    return (g - mean(g) - normal * mean(g * normal)) * inverse


@planted(ops.BatchNorm, "grad_x")
def batch_norm_adds_eps_outside_the_root(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """1/(σ + ε) in place of 1/√(σ² + ε)."""
    centred = x - mean(x)
    inverse = 1.0 / (ops.sqrt(mean(centred * centred)) + self.eps)
    normal, g = centred * inverse, gy * channels(gamma, x.ndim)
    return (g - mean(g) - normal * mean(g * normal)) * inverse


@planted(ops.BatchNorm, "grad_x")
def batch_norm_keeps_its_statistics_constant(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """The statistics saved by the forward pass are used while recording, too: order 2 loses what depends on them."""
    normal, inverse = (constant(v) for v in self.normalised(x))
    g = gy * channels(gamma, x.ndim)
    return (g - mean(g) - normal * mean(g * normal)) * inverse


@planted(ops.BatchNorm, "grad_x")
def batch_norm_forgets_gamma(self: Any, gy: Any, x: Any) -> Any:
    """gy is not multiplied by γ before the sums."""
    normal, inverse = self.normalised(x)
    return (gy - mean(gy) - normal * mean(gy * normal)) * inverse


@planted(ops.BatchNorm, "grad_gamma")
def batch_norm_multiplies_by_x(self: Any, gy: Any, x: Any) -> Any:
    """The scale's gradient is summed against x in place of x̂."""
    return ops.channel_sum(gy * x)


@planted(ops.BatchNorm, "grad_gamma")
def batch_norm_forgets_to_centre(self: Any, gy: Any, x: Any) -> Any:
    """x/s in place of (x − μ)/s."""
    return ops.channel_sum(gy * x * self.normalised(x)[1])


@planted(ops.BatchNorm, "grad_beta")
def batch_norm_averages_the_shift(self: Any, gy: Any) -> Any:
    """The shift gets the mean over the channel in place of the sum."""
    return ops.channel_sum(gy) * (gy.shape[1] / gy.size)


@planted(ops.ChannelAffine, "grad_x")
def affine_forgets_the_scale(self: Any, gy: Any) -> Any:
    """The gradient is not multiplied by a."""
    return gy


@planted(ops.ChannelAffine, "grad_a")
def affine_gives_the_scale_the_gradient_of_the_shift(self: Any, gy: Any) -> Any:
    """Σ gy in place of Σ gy·x."""
    return ops.channel_sum(gy)


@planted(ops.ChannelAffine, "grad_a")
def affine_cuts_x(self: Any, gy: Any, x: Any) -> Any:
    """x is read as a constant."""
    return ops.channel_sum(gy * constant(x))


@planted(ops.ChannelAffine, "grad_b")
def affine_averages_the_shift(self: Any, gy: Any) -> Any:
    """A mean over the images in place of the sum."""
    return ops.channel_sum(gy) * (1.0 / gy.shape[0])


@planted(ops.ChannelWindowSum, "grad_x", cases=uneven_windows)
def window_sum_keeps_its_sides(self: Any, gy: Any) -> Any:
    """`before` and `after` are not exchanged: right for a window with equal sides only."""
    return ops.ChannelWindowSum(self.before, self.after)(gy)


@planted(ops.ChannelWindowSum, "grad_x")
def window_sum_is_one_channel_short(self: Any, gy: Any) -> Any:
    """Off by one: the last channel before is left out."""
    return ops.ChannelWindowSum(self.after, self.before - 1)(gy)


@planted(ops.LocalResponseNorm, "grad_x")
def lrn_forgets_its_neighbours(self: Any, gy: Any, x: Any) -> Any:
    """Only the first term: the energy is treated as a constant."""
    return gy * (self.k + self.alpha * self.window()(x * x)) ** -self.beta


@planted(ops.LocalResponseNorm, "grad_x")
def lrn_keeps_the_exponent(self: Any, gy: Any, x: Any) -> Any:
    """S^−β in place of S^(−β−1) inside the window's sum."""
    window = self.window()
    energy = self.k + self.alpha * window(x * x)
    spread = ops.ChannelWindowSum(window.after, window.before)(gy * x * energy**-self.beta)
    return gy * energy**-self.beta - (2.0 * self.alpha * self.beta) * x * spread


@planted(ops.LocalResponseNorm, "grad_x", cases=even_size)
def lrn_sums_over_the_wrong_side(self: Any, gy: Any, x: Any) -> Any:
    """The window is not transposed: right for an odd size only."""
    window = self.window()
    energy = self.k + self.alpha * window(x * x)
    spread = window(gy * x * energy ** (-self.beta - 1.0))
    return gy * energy**-self.beta - (2.0 * self.alpha * self.beta) * x * spread


@planted(ops.LocalResponseNorm, "grad_x")
def lrn_forgets_the_two(self: Any, gy: Any, x: Any) -> Any:
    """The 2 of ∂x²/∂x is missing."""
    window = self.window()
    energy = self.k + self.alpha * window(x * x)
    spread = ops.ChannelWindowSum(window.after, window.before)(gy * x * energy ** (-self.beta - 1.0))
    return gy * energy**-self.beta - (self.alpha * self.beta) * x * spread


@planted(ops.LocalResponseNorm, "grad_x")
def lrn_divides_alpha_by_the_size(self: Any, gy: Any, x: Any) -> Any:
    """Backwards α is taken for the total of the window, forwards for each element."""
    window, alpha = self.window(), self.alpha / self.size
    energy = self.k + alpha * window(x * x)
    spread = ops.ChannelWindowSum(window.after, window.before)(gy * x * energy ** (-self.beta - 1.0))
    return gy * energy**-self.beta - (2.0 * alpha * self.beta) * x * spread
