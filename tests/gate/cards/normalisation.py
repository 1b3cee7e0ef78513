"""Bugs in the kernels of batch norm: lost terms of mean and variance, wrong counts, eps and mask in the wrong place."""

from __future__ import annotations

from . import cases
from .planting import wrong_text

__all__: list[str] = []

wrong_text(
    "moments_do_not_centre",
    "batch_norm.cu",
    "moments",
    cases.STATISTICS,
    "            squares[j] -= sum[j] * mean;\n",
    "",
    "Σd² is taken for Σ(x − μ)²: a thread's first number is not its mean.",
)
wrong_text(
    "moments_count_one_row_less",
    "batch_norm.cu",
    "moments",
    cases.STATISTICS,
    "(rows - at.row - 1) / at.step + 1)",
    "(rows - at.row) / at.step)",
    "A thread with a last, incomplete round divides by one row too few.",
)
wrong_text(
    "moments_join_without_the_distance",
    "batch_norm.cu",
    "moments finish_moments",
    cases.STATISTICS,
    "a.squares + b.squares + apart * apart * (a.count * share)",
    "a.squares + b.squares",
    "Chan's δ²·n₁n₂/n is missing: right only if both parts have one mean.",
)
wrong_text(
    "finish_moments_takes_the_last_round_for_whole",
    "batch_norm.cu",
    "finish_moments",
    cases.STATISTICS,
    "rounds * high + min(max(left - b * high, 0ll), high)",
    "rounds * high + (left > b * high ? high : 0ll)",
    "A block whose last round is cut off counts as many rows as a whole one.",
)
wrong_text(
    "finish_moments_is_unbiased",
    "batch_norm.cu",
    "finish_moments",
    cases.STATISTICS,
    "all.squares / (Wide)rows",
    "all.squares / (Wide)(rows - 1)",
    "m − 1, which belongs to the running variance, in place of m.",
)
wrong_text(
    "batch_norm_kernel_adds_eps_outside_the_root",
    "batch_norm.cu",
    "batch_norm",
    cases.NORM,
    "gamma[c] / deviation(variance[c], eps)",
    "gamma[c] / (sqrt(variance[c]) + (Wide)eps)",
    "1/(σ + ε) in place of 1/√(σ² + ε).",
)
wrong_text(
    "batch_norm_shifts_by_the_first_channels",
    "batch_norm.cu",
    "batch_norm",
    cases.NORM,
    "shift[j] = beta[c];",
    "shift[j] = beta[j];",
    "The β of the wrong channel.",
)
wrong_text(
    "batch_norm_relu_does_not_rectify",
    "batch_norm.cu",
    "batch_norm",
    cases.NORM_RELU,
    "            if (relu) v[j] = v[j] < 0 ? 0 : v[j];\n",
    "",
    "The rectifier is forgotten.",
)
wrong_text(
    "channel_affine_rounds_once",
    "batch_norm.cu",
    "channel_affine",
    cases.AFFINE_BITS,
    "plus(times(v[j], scale[j]), shift[j])",
    "fma(v[j], scale[j], shift[j])",
    "A fused multiply-add has one rounding, the op two: not its bits.",
)
wrong_text(
    "norm_gradient_masks_by_x",
    "batch_norm_gradient.cu",
    "gradient_sums input_gradient",
    cases.NORM_RELU,
    "normed(d[j], scale[j], shift[j]) > 0",
    "d[j] > 0",
    "The sign of x − μ decides, not that of the result.",
)
wrong_text(
    "gradient_sums_forget_the_distance",
    "batch_norm_gradient.cu",
    "gradient_sums",
    cases.NORM,
    "total[W + j] += g[j] * d[j];",
    "total[W + j] += g[j];",
    "gγ is summed without x − μ.",
)
wrong_text(
    "finish_gradient_sums_exchanges_its_parts",
    "batch_norm_gradient.cu",
    "finish_gradient_sums",
    cases.NORM,
    "total[1] += partial[(2 * b + 1) * k + at.column];",
    "total[1] += partial[2 * (b + 1) * k + at.column];",
    "Σ g of the next block in place of Σ g·d of this one.",
)
wrong_text(
    "input_gradient_keeps_the_variance_constant",
    "batch_norm_gradient.cu",
    "input_gradient",
    cases.NORM,
    "(g[j] - along_one[j] - d[j] * along_d[j])",
    "(g[j] - along_one[j])",
    "The variance's term is missing.",
)
wrong_text(
    "finish_moments_leaves_groups_out",
    "batch_norm.cu",
    "finish_moments",
    cases.MANY_ROWS,
    "b < blocks; b += blockDim.y)",
    "b < blocks; b += blocks)",
    "Each thread joins one pair of moments: those of blocks beyond the 32nd are left out.",
)
wrong_text(
    "finish_gradient_sums_leaves_groups_out",
    "batch_norm_gradient.cu",
    "finish_gradient_sums",
    cases.MANY_ROWS,
    "b < blocks; b += blockDim.y)",
    "b < blocks; b += blocks)",
    "Each thread adds one partial sum: those of blocks beyond the 32nd are left out.",
)
wrong_text(
    "track_keeps_the_biased_variance",
    "batch_norm.cu",
    "track",
    cases.TRACKED,
    "times(variance[i], (Wide)unbiased)",
    "variance[i]",
    "The running variance without m/(m − 1).",
)
wrong_text(
    "track_counts_for_every_channel",
    "batch_norm.cu",
    "track",
    cases.TRACKED,
    "    if (i == 0) *batches += 1;\n    if (i >= k) return;\n",
    "    if (i >= k) return;\n    *batches += 1;\n",
    "Each thread counts the batch, not only the first.",
)
wrong_text(
    "track_writes_beyond_the_channels",
    "batch_norm.cu",
    "track",
    cases.TRACKED,
    "    if (i >= k) return;\n",
    "",
    "The guard for channels that are not there is lost.",
)
