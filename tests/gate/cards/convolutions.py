"""Bugs in the kernels of convolutions: edges, exchanged rows and columns, lost taps and barriers, fragments laid out wrongly."""

from __future__ import annotations

from . import cases
from .planting import wrong_text

__all__: list[str] = []

wrong_text(
    "columns_pad_with_the_wrong_sign",
    "columns.cu",
    "columns_gather",
    cases.COLUMNS,
    "p * g.stride_h - g.padding_h + r",
    "p * g.stride_h + g.padding_h + r",
    "Windows begin behind the padding, not before it.",
)
wrong_text(
    "columns_read_one_row_too_many",
    "columns.cu",
    "columns_gather",
    cases.COLUMNS,
    "y >= 0 && y < g.h",
    "y >= 0 && y <= g.h",
    "≤ for <: below the last row of an image the next image is read, and behind the last image what lies there.",
)
wrong_text(
    "columns_exchange_row_and_column",
    "columns.cu",
    "columns_gather_packed",
    cases.PACKED_COLUMNS,
    "((n * g.h + y) * g.w + z)",
    "((n * g.w + z) * g.h + y)",
    "Images are read as if stored column by column.",
)
wrong_text(
    "columns_add_where_no_window_is",
    "columns.cu",
    "columns_add_packed",
    cases.PACKED_COLUMNS,
    "if (down < 0 || p >= g.p || p * g.stride_h != down) continue;",
    "if (down < 0 || p >= g.p) continue;",
    "With a stride of 2 the rows between two windows get the gradient of the one above.",
)
wrong_text(
    "columns_add_writes_where_it_should_add",
    "columns.cu",
    "columns_add",
    cases.COLUMNS,
    "sum[e] += wide(part.value[e]);",
    "sum[e] = wide(part.value[e]);",
    "= for +=: of overlapping windows the last one counts.",
)

wrong_text(
    "winograd_has_a_wrong_sign",
    "winograd.cu",
    "winograd_images winograd_images_turned",
    cases.WINOGRAD,
    "{0, -75. / 128, -25. / 64, 3. / 2, 1, 0}",
    "{0, -75. / 128, 25. / 64, 3. / 2, 1, 0}",
    "One sign in Bᵀ.",
)
wrong_text(
    "winograd_reads_over_the_edge",
    "winograd.cu",
    "winograd_images winograd_images_turned",
    cases.WINOGRAD,
    "column + j >= 0 && column + j < w;",
    "column + j >= 0 && column + j <= w;",
    "≤ for <: behind the last column stands the next row's first pixel, not zero.",
)
wrong_text(
    "winograd_turns_before_all_have_written",
    "winograd.cu",
    "winograd_images_turned",
    cases.WINOGRAD,
    "places[g][lane][own] = real ? place[g] : (Wide)0;\n        __syncthreads();",
    "places[g][lane][own] = real ? place[g] : (Wide)0;",
    "The barrier between writing and turning is missing.",
)
wrong_text(
    "winograd_overwrites_what_others_turn",
    "winograd.cu",
    "winograd_images_turned",
    cases.WINOGRAD,
    "stored(places[g][side][to]);\n        __syncthreads();",
    "stored(places[g][side][to]);",
    "The barrier before the next six places is missing.",
)
wrong_text(
    "winograd_leaves_missing_tiles_as_they_are",
    "winograd.cu",
    "winograd_gradients",
    cases.WINOGRAD,
    "bool inside = number < tiles && tile.row",
    "bool inside = tile.row",
    "Tiles that fill a group up are read from behind the images, not zero.",
)
wrong_text(
    "winograd_writes_over_the_edge",
    "winograd.cu",
    "winograd_outputs",
    cases.WINOGRAD,
    "if (tile.row + r < p && tile.column + j < q)",
    "if (tile.row + r < p)",
    "Outputs behind the last column are written into the next row, or behind the result.",
)
wrong_text(
    "winograd_adds_the_wrong_bias",
    "winograd.cu",
    "winograd_outputs",
    cases.WINOGRAD,
    "wide(bias[i % k])",
    "wide(bias[i / tiles])",
    "As if filters varied slowest: the bias of another filter.",
)
wrong_text(
    "winograd_relu_loses_nan",
    "winograd.cu",
    "winograd_outputs",
    cases.NAN_WINOGRAD,
    "relu && value < 0 ? (Wide)0 : value",
    "relu && !(value > 0) ? (Wide)0 : value",
    "NaN becomes zero.",
)
wrong_text(
    "winograd_transposes_its_filters",
    "winograd.cu",
    "winograd_filters",
    cases.WINOGRAD,
    "wide(w[(3 * r + s) * pairs + i])",
    "wide(w[(3 * s + r) * pairs + i])",
    "Rows and columns of a filter are exchanged.",
)
wrong_text(
    "winograd_sums_the_first_group",
    "winograd.cu",
    "winograd_filter_gradient",
    cases.GROUPS,
    "group < groups; group++",
    "group < 1; group++",
    "Of the groups of tiles only the first is added.",
)
wrong_text(
    "winograd_forgets_earlier_pieces",
    "winograd.cu",
    "winograd_filter_gradient",
    cases.PIECES,
    "(add ? wide(*place) : 0)",
    "0",
    "Of the pieces of a batch only the last counts.",
)

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
    "        __syncthreads();\n        load_halo(image, images + at.n * height * width * channels, height, width, channels, c0, at.row - (int)top, at.column - (int)left);\n        for (int i = threadIdx.x; i < CHANNELS * 9",
    "        load_halo(image, images + at.n * height * width * channels, height, width, channels, c0, at.row - (int)top, at.column - (int)left);\n        for (int i = threadIdx.x; i < CHANNELS * 9",
    "The barrier before the next four channels is missing.",
)
wrong_text(
    "direct_transposes_its_filters",
    "direct.cu",
    "direct_forward",
    cases.DIRECT,
    "&weights[c][3 * r + s][group]",
    "&weights[c][3 * s + r][group]",
    "Rows and columns of a filter are exchanged.",
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
    "direct_loses_nan",
    "direct.cu",
    "direct_forward",
    cases.NAN_DIRECT,
    "relu && value < 0 ? 0 : value",
    "relu && !(value > 0) ? 0 : value",
    "NaN becomes zero.",
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
    "implicit_forgets_the_third_tap",
    "implicit_forward.cu",
    "implicit_forward",
    cases.HALF,
    "        if (row < CHUNK) copy_async(to + 2 * CHUNK * ROW, from + 2 * tap, there);\n",
    "",
    "Of a row of taps two are copied.",
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
    "implicit_gives_pairs_one_bias",
    "implicit_forward.cu",
    "implicit_forward",
    cases.HALF,
    "int filter = at.w + first_filter + 8 * j + lane % 4 * 2 + i;",
    "int filter = at.w + first_filter + 8 * j + lane % 4 * 2;",
    "Two neighbouring filters get the first one's bias.",
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
    "Of 40 channels in blocks of 32 the second block writes its empty ones into the next tap's.",
)
