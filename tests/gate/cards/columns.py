"""Bugs in the kernels of im2col and of Winograd's transforms: edges, exchanged rows and columns, lost groups and barriers."""

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
