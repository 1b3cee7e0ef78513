"""Bugs in the kernels of bias and rectifier, batch norm, pooling and losses: barriers, tails, wrong channels, lost terms, NaN and ties."""

from __future__ import annotations

from . import cases
from .planting import wrong_text

__all__: list[str] = []

wrong_text(
    "rows_add_up_without_a_barrier",
    "rows.cuh",
    "channel_sums finish_stored_sums",
    cases.SUMS,
    "        __syncthreads();\n        if (threadIdx.y < half)\n",
    "        if (threadIdx.y < half)\n",
    "The barrier between two levels of the tree is missing: warps add what others have not yet written.",
)
wrong_text(
    "bias_begins_anew_in_each_thread",
    "activation.cu",
    "add_bias_relu",
    cases.PLAIN_ONE_BY_ONE,
    "wide(bias[at.column + j])",
    "wide(bias[j])",
    "Every thread takes the first channels' bias, not that of its own column.",
)
wrong_text(
    "bias_relu_loses_nan",
    "activation.cu",
    "add_bias_relu",
    cases.NAN_COLUMNS,
    "if (relu) v[j] = v[j] < 0 ? 0 : v[j];",
    "if (relu) v[j] = v[j] > 0 ? v[j] : 0;",
    "A NaN is not larger than zero, and becomes zero.",
)
wrong_text(
    "rectify_leaves_the_last_row",
    "activation.cu",
    "rectify",
    cases.UNBIASED,
    "else add<1>(y, nullptr, true, rows, k);",
    "else add<1>(y, nullptr, true, rows - 1, k);",
    "One row too few where channels are no multiple of 16 bytes.",
)
wrong_text(
    "row_sums_write_where_they_should_add",
    "activation.cu",
    "channel_sums",
    cases.SUMS,
    "            for (int j = 0; j < W; j++) total[j] += v[j];",
    "            for (int j = 0; j < W; j++) total[j] = v[j];",
    "= for +=: of a thread's rows only the last one counts.",
)
wrong_text(
    "masked_sums_mask_by_the_gradient",
    "activation.cu",
    "masked_sums",
    cases.ONE_BY_ONE,
    "load<W>(y + place, y_at_once, mask);",
    "load<W>(x + place, x_at_once, mask);",
    "The sign of what arrives decides, not that of the result.",
)
wrong_text(
    "masked_sums_let_zero_through",
    "activation.cu",
    "masked_sums",
    cases.ONE_BY_ONE,
    "mask[j] > 0 ? v[j] : 0",
    "mask[j] >= 0 ? v[j] : 0",
    "y ≥ 0 in place of y > 0: a rectified y is never negative, so everything passes.",
)
wrong_text(
    "second_stage_leaves_groups_out",
    "activation.cu",
    "finish_stored_sums",
    cases.SUMS,
    "for (long long b = threadIdx.y; b < blocks; b += blockDim.y)",
    "for (long long b = threadIdx.y; b < blocks; b += blocks)",
    "Each thread adds one partial sum: those of blocks beyond the 32nd are left out.",
)
wrong_text(
    "finish_sums_writes_beyond_the_columns",
    "activation.cu",
    "finish_sums",
    cases.HALF_SUMS,
    "if (threadIdx.y == 0 && at.inside) out[at.column] = total;",
    "if (threadIdx.y == 0) out[at.column] = total;",
    "The guard for columns that are not there is lost: 3 numbers behind the result are overwritten.",
)
wrong_text(
    "finish_stored_sums_by_all_threads",
    "activation.cu",
    "finish_stored_sums",
    cases.SUMS,
    "if (threadIdx.y == 0 && at.inside) out[at.column] = stored(total);",
    "if (at.inside) out[at.column] = stored(total);",
    "All threads of a column write; only the first has the whole sum.",
)
wrong_text(
    "relu_leaves_the_tail",
    "relu.cu",
    "relu",
    cases.RELU,
    "    rectify<1, false>(x, x, y, count / V * V, count, false);\n",
    "",
    "What is left over behind whole vectors is not computed.",
)
wrong_text(
    "relu_loses_nan",
    "relu.cu",
    "relu",
    cases.RELU,
    "!(m[j] < 0)",
    "m[j] > 0",
    "NaN becomes zero.",
)
wrong_text(
    "relu_gradient_lets_zero_through",
    "relu.cu",
    "relu_gradient",
    cases.RELU,
    "GRADIENT ? m[j] > 0",
    "GRADIENT ? m[j] >= 0",
    "y ≥ 0 in place of y > 0: everything passes.",
)
wrong_text(
    "dropout_forgets_the_scale",
    "dropout.cu",
    "dropout",
    cases.DROPOUT,
    " * (Wide)scale",
    "",
    "What is kept is not enlarged by 1/(1 − p).",
)

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
    "moments_join_without_a_barrier",
    "batch_norm.cu",
    "moments finish_moments",
    cases.STATISTICS,
    "        __syncthreads();\n        if (threadIdx.y < half) {",
    "        if (threadIdx.y < half) {",
    "The barrier between two levels of the tree is missing.",
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
    "batch_norm_adds_eps_outside_the_root",
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
    "channel_affine_shifts_first",
    "batch_norm.cu",
    "channel_affine",
    cases.AFFINE,
    "plus(times(v[j], scale[j]), shift[j])",
    "times(plus(v[j], shift[j]), scale[j])",
    "a·(x + b) in place of a·x + b.",
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
    "finish_gradient_sums_divides_by_blocks",
    "batch_norm_gradient.cu",
    "finish_gradient_sums",
    cases.NORM,
    "terms[at.column] = total[0] / (Wide)rows;",
    "terms[at.column] = total[0] / (Wide)blocks;",
    "The mean over the blocks in place of that over the rows.",
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
    "pool_lets_the_later_tap_win",
    "max_pool2d.cu",
    "max_pool2d",
    cases.TIES,
    "v[j] > best[j] ||",
    "v[j] >= best[j] ||",
    "At a tie the gradient goes to the last tap, where the op's goes to the first.",
)
wrong_text(
    "pool_loses_nan",
    "max_pool2d.cu",
    "max_pool2d",
    cases.TIES,
    "if (v[j] > best[j] || v[j] != v[j]) {",
    "if (v[j] > best[j]) {",
    "A NaN that is not the first of its window is passed over.",
)
wrong_text(
    "pool_scatter_takes_half_windows_for_whole",
    "max_pool2d.cu",
    "pool_scatter",
    cases.TIES,
    "bool whole = line < p && column < q;",
    "bool whole = line < p && column <= q;",
    "The last odd column gets the gradients of the next row's first window.",
)
wrong_text(
    "pool_scatter_goes_down_the_columns",
    "max_pool2d.cu",
    "pool_scatter",
    cases.TIES,
    "(Wide)(winner.of[j] == tap)",
    "(Wide)(winner.of[j] == tap / 2 + tap % 2 * 2)",
    "Taps are numbered column by column.",
)

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
    "loss_is_that_of_shifted_logits",
    "cross_entropy.cu",
    "cross_entropy",
    cases.CROSS_ENTROPY,
    "(wide(logits[i]) - most - logarithm)",
    "(wide(logits[i]) - logarithm)",
    "The largest logit is not subtracted in the cost.",
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
