"""Bugs in the kernels of bias, rectifier, sums over rows, dropout and pooling: barriers, tails, wrong channels, NaN and ties."""

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
    "relu_gradient_lets_zero_through",
    "relu.cu",
    "relu_gradient",
    cases.RELU,
    "GRADIENT ? m[j] > 0",
    "GRADIENT ? m[j] >= 0",
    "y ≥ 0 in place of y > 0: everything passes.",
)
wrong_text(
    "dropout_kernel_forgets_the_scale",
    "dropout.cu",
    "dropout",
    cases.DROPOUT,
    " * (Wide)scale",
    "",
    "What is kept is not enlarged by 1/(1 − p).",
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
