"""Bugs in the kernels of soft-max, cross-entropy and its targets: barriers between warps, weights, smoothing, what is ignored."""

from __future__ import annotations

from . import cases
from .planting import wrong_text

__all__: list[str] = []

wrong_text(
    "loss_overwrites_what_others_read",
    "cross_entropy.cu",
    "cross_entropy cross_entropy_gradient",
    cases.CROSS_ENTROPY,
    "    __syncthreads();  // what was shared before has been read\n",
    "",
    "The barrier before the second sum is missing: a fast warp overwrites what a slow one still reads.",
)
wrong_text(
    "loss_reads_before_all_have_written",
    "cross_entropy.cu",
    "softmax",
    cases.SOFTMAX,
    "    __syncthreads();\n    v = shared[0];",
    "    v = shared[0];",
    "The barrier behind the warps' parts is missing.",
)
wrong_text(
    "loss_overflows",
    "cross_entropy.cu",
    "softmax",
    cases.SOFTMAX,
    "total += exp(wide(x[i]) - most);",
    "total += exp(wide(x[i]));",
    "The largest logit is not subtracted before the sum.",
)
wrong_text(
    "loss_gradient_takes_weights_for_one",
    "cross_entropy.cu",
    "cross_entropy_gradient",
    cases.CROSS_ENTROPY,
    "/ total * weight - wide(weights[i])",
    "/ total - wide(weights[i])",
    "p − q, which is right only where Σ q = 1.",
)
wrong_text(
    "softmax_stops_behind_a_round",
    "cross_entropy.cu",
    "softmax",
    cases.SOFTMAX,
    "for (long long i = threadIdx.x; i < c; i += blockDim.x) y[row * c + i]",
    "if (long long i = threadIdx.x; i < c) y[row * c + i]",
    "Each thread writes one class: those beyond the block's width are not computed.",
)
wrong_text(
    "total_weight_counts_rows",
    "targets.cu",
    "total_weight",
    cases.LOSS,
    "sum[0] += weighted ? weights[label] : 1;",
    "sum[0] += 1;",
    "The mean is taken over the rows, not over the weights of their classes.",
)
wrong_text(
    "targets_are_not_smoothed",
    "targets.cu",
    "targets",
    cases.LOSS,
    "((label == column ? whole : 0) + share)",
    "(Wide)(label == column ? 1 : 0)",
    "Label smoothing is ignored.",
)
wrong_text(
    "targets_weigh_by_the_label",
    "targets.cu",
    "targets",
    cases.LOSS,
    "(weighted ? weights[column] : 1)",
    "(weighted ? weights[max(label, 0ll)] : 1)",
    "The label's weight in place of each class's own.",
)
wrong_text(
    "targets_keep_what_is_ignored",
    "targets.cu",
    "targets",
    cases.LOSS,
    "if (!kept(label, ignoring, ignored)) value = 0;\n        else if",
    "if",
    "A row whose label is to be ignored counts.",
)
