"""Bugs in the kernels that convolve without columns: copies not waited for, barriers, fragments laid out wrongly, edges."""

from __future__ import annotations

from . import cases
from .planting import wrong_text

__all__: list[str] = []

wrong_text(
    "direct_reads_over_the_edge",
    "direct.cu",
    "direct_forward direct_weight",
    cases.DIRECT,
    "(unsigned)x < width",
    "(unsigned)x <= width",
    "≤ for <: behind the last column stands the next row's first pixel, not zero.",
)
wrong_text(
    "direct_begins_before_all_is_loaded",
    "direct.cu",
    "direct_forward",
    cases.DIRECT,
    "        __syncthreads();\n        const int last",
    "        const int last",
    "The barrier behind the loads is missing.",
)
wrong_text(
    "direct_loads_while_others_compute",
    "direct.cu",
    "direct_forward",
    cases.DIRECT,
    "    for (int c0 = 0; c0 < channels; c0 += CHANNELS) {\n        __syncthreads();\n",
    "    for (int c0 = 0; c0 < channels; c0 += CHANNELS) {\n",
    "The barrier before the next four channels is missing.",
)
wrong_text(
    "direct_writes_filters_that_are_not_there",
    "direct.cu",
    "direct_forward",
    cases.DIRECT,
    "if (filter + f < k) to[f] = four.of[f];",
    "to[f] = four.of[f];",
    "With 10 filters the last thread of a row writes into the next pixel, or behind the result.",
)
wrong_text(
    "direct_weight_counts_over_the_edge",
    "direct.cu",
    "direct_weight",
    cases.DIRECT,
    "at.row + row < p && at.column + column < q ?",
    "at.row + row < p && at.column + column <= q ?",
    "≤ for <: the next row's first gradient counts behind the last column.",
)
wrong_text(
    "direct_weight_loads_while_others_compute",
    "direct.cu",
    "direct_weight",
    cases.DIRECT,
    "        const Where at = tile(number, p, q);\n        __syncthreads();",
    "        const Where at = tile(number, p, q);",
    "The barrier before the next tile is missing.",
)
wrong_text(
    "direct_weight_slides_from_the_second_pixel",
    "direct.cu",
    "direct_weight",
    cases.DIRECT,
    "{0, line[0], line[1]}",
    "{0, line[1], line[2]}",
    "The three pixels that a row begins with are one too far to the right.",
)
wrong_text(
    "sum_parts_leaves_one_out",
    "sum_parts.cu",
    "sum_parts",
    cases.DIRECT,
    "part < parts; part++",
    "part + 1 < parts; part++",
    "The last part is not added.",
)
wrong_text(
    "implicit_does_not_wait_for_its_copies",
    "implicit_forward.cu",
    "implicit_forward",
    cases.TENSOR,
    "copy_wait<1>();",
    "copy_wait<2>();",
    "A step begins while what it needs is under way.",
)
wrong_text(
    "implicit_overwrites_what_others_read",
    "implicit_forward.cu",
    "implicit_forward",
    cases.TENSOR,
    "            __syncthreads();  // ... from all threads, and nobody reads any longer what is overwritten next\n",
    "",
    "The barrier of a step is missing.",
)
wrong_text(
    "implicit_exchanges_r_and_s",
    "implicit_forward.cu",
    "implicit_forward",
    cases.TENSOR,
    "place(first_row + i + r, lane % 16 + s, lane / 16)",
    "place(first_row + i + s, lane % 16 + r, lane / 16)",
    "Rows and columns of taps are exchanged in the image, not in the filters.",
)
wrong_text(
    "implicit_stores_fragments_transposed",
    "implicit_forward.cu",
    "implicit_forward",
    cases.TENSOR,
    "rows[(lane / 4 + e / 2 * 8) * STAGING + 8 * j + lane % 4 * 2 + e % 2]",
    "rows[(lane / 4 + e % 2 * 8) * STAGING + 8 * j + lane % 4 * 2 + e / 2]",
    "The numbers 1 and 2 of a fragment of C are exchanged.",
)
wrong_text(
    "implicit_writes_over_the_edge",
    "implicit_forward.cu",
    "implicit_forward",
    cases.TENSOR,
    "if (row < p && at.z + column < q && to < k)",
    "if (row <= p && at.z + column < q && to < k)",
    "≤ for <: a row below the last one is written, into the next image or behind the result.",
)
wrong_text(
    "tensor_cores_are_given_unrounded_numbers",
    "implicit_forward.cu",
    "implicit_forward",
    cases.TENSOR,
    "                    round_a(a, Stored());\n",
    "",
    "A is not rounded to TF32: a card would cut its bits off.",
)
wrong_text(
    "fragments_of_floats_are_taken_for_halves",
    "mma.cuh",
    "implicit_forward implicit_weight",
    cases.TENSOR,
    "from[(lane % 4 + 4 * i) * stride + 8 * j + lane / 4]",
    "from[(lane % 4 * 2 + i) * stride + 8 * j + lane / 4]",
    "B[2t], B[2t+1], as of halves, in place of B[t], B[t+4].",
)
wrong_text(
    "fragments_of_halves_change_places",
    "mma.cuh",
    "implicit_forward implicit_weight",
    cases.HALF,
    "b[j][1] = four[1], b[j + 1][0] = four[2]",
    "b[j][1] = four[2], b[j + 1][0] = four[1]",
    "The second and the third of four matrices are exchanged.",
)
wrong_text(
    "implicit_weight_does_not_wait_for_its_copies",
    "implicit_weight.cu",
    "implicit_weight",
    cases.TENSOR,
    "copy_wait<0>();",
    "copy_wait<1>();",
    "A tile is computed while it is under way.",
)
wrong_text(
    "implicit_weight_overwrites_what_others_read",
    "implicit_weight.cu",
    "implicit_weight",
    cases.TENSOR,
    "        __syncthreads();  // ... from all threads, and nobody reads the other any longer\n",
    "",
    "The barrier between two tiles is missing.",
)
wrong_text(
    "implicit_weight_lays_a_out_transposed",
    "implicit_weight.cu",
    "implicit_weight",
    cases.TENSOR,
    "from[(lane % 4 + i / 2 * 4) * PIXEL + lane / 4 + i % 2 * 8]",
    "from[(lane % 4 + i % 2 * 4) * PIXEL + lane / 4 + i / 2 * 8]",
    "The numbers 1 and 2 of a fragment of A are exchanged.",
)
wrong_text(
    "implicit_weight_takes_one_row_of_eight",
    "implicit_weight.cu",
    "implicit_weight",
    cases.HALF,
    "load_a(a, x + s * PIXEL + half * 16, HALO * PIXEL, lane);",
    "load_a(a, x + s * PIXEL + half * 16, COLUMNS * PIXEL, lane);",
    "The second row of 8 pixels begins 8 pixels further, but a row of the halo has 10.",
)
wrong_text(
    "implicit_weight_writes_channels_that_are_not_there",
    "implicit_weight.cu",
    "implicit_weight",
    cases.TENSOR,
    "if (channel < channels && filter < k)",
    "if (filter < k)",
    "A block of 32 channels of which 24 exist writes the empty ones into the next tap's.",
)
