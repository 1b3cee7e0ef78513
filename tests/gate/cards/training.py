"""Bugs in the kernels of training: the update, the table of arrays, what is asked of all gradients, and the draws of dropout."""

from __future__ import annotations

from . import cases
from .planting import wrong_text

__all__: list[str] = []

wrong_text(
    "sgd_ignores_the_guard",
    "sgd.cu",
    "sgd",
    cases.GUARDED,
    "    if (guard && !*guard) return;\n",
    "",
    "A step that was refused is taken.",
)
wrong_text(
    "sgd_applies_momentum_twice",
    "sgd.cu",
    "sgd",
    cases.SGD,
    "nesterov ? plus(",
    "true ? plus(",
    "Behind μ·v + g it steps by g + μ·v again: Nesterov's step where none was asked for.",
)
wrong_text(
    "sgd_forgets_decay",
    "sgd.cu",
    "sgd",
    cases.SGD,
    "            if (decay != 0) gradient = plus(gradient, times(decay, wide(w[i])));\n",
    "",
    "λ·w is missing.",
)
wrong_text(
    "sgd_ignores_the_scale",
    "sgd.cu",
    "sgd",
    cases.SCALED,
    "            if (scale) gradient = gradient / divisor;\n",
    "",
    "Gradients of a scaled loss are taken as they are.",
)
wrong_text(
    "sgd_rounds_once",
    "sgd.cu",
    "sgd",
    cases.SGD,
    "plus(times(wide(v[i]), mu), move)",
    "fma(wide(v[i]), mu, move)",
    "A fused multiply-add: not the bits of the formula.",
)
wrong_text(
    "sgd_gives_the_paper_form_the_rate_twice",
    "sgd.cu",
    "sgd",
    cases.PAPER,
    "torch ? -times(eta, move) : move",
    "torch ? -times(eta, move) : times(eta, move)",
    "In the paper's form the rate is in the velocity already.",
)
wrong_text(
    "table_goes_on_behind_an_array",
    "table.cuh",
    "squares",
    cases.NORM_OF_ALL,
    "from + TILE < table.size[row] ? from + TILE : table.size[row]",
    "from + TILE",
    "Every tile counts as whole: what lies behind an array is read.",
)
wrong_text(
    "table_loses_cut_tiles",
    "table.cuh",
    "sgd",
    cases.SGD,
    "passed += (table.size[row++] + TILE - 1) / TILE;",
    "passed += table.size[row++] / TILE;",
    "A last tile that is not whole is not counted, so that later arrays begin a tile too late.",
)
wrong_text(
    "all_finite_knows_nan_only",
    "gradients.cu",
    "all_finite",
    cases.INFINITE,
    "!(x - x == 0)",
    "x != x",
    "An infinite number counts as finite.",
)
wrong_text(
    "all_finite_squares",
    "gradients.cu",
    "all_finite",
    cases.FINITE,
    "!(x - x == 0)",
    "!(x * x - x * x == 0)",
    "A number whose square overflows counts as infinite.",
)
wrong_text(
    "all_finite_hears_one_thread",
    "gradients.cu",
    "all_finite",
    cases.INFINITE,
    "if (found) *finite = false;",
    "if (threadIdx.x == 0) *finite = !found;",
    "Only the first thread tells what it found.",
)
wrong_text(
    "squares_without_a_barrier",
    "gradients.cu",
    "squares",
    cases.NORM_OF_ALL,
    "        __syncthreads();\n        if (threadIdx.x < half)",
    "        if (threadIdx.x < half)",
    "The barrier between two levels of the tree is missing.",
)
wrong_text(
    "philox_multiplies_by_another_number",
    "philox.cu",
    "keep",
    cases.DRAWS,
    "0xCA5A826395121157ull",
    "0xCA5A826395121175ull",
    "Two digits of a multiplier exchanged: random numbers all the same, but not NumPy's.",
)
wrong_text(
    "philox_gives_the_high_half_first",
    "philox.cu",
    "keep",
    cases.DRAWS,
    ">> (j % 2 * 32)",
    ">> ((j + 1) % 2 * 32)",
    "The halves of a word are exchanged.",
)
wrong_text(
    "philox_does_not_carry",
    "philox.cu",
    "keep",
    cases.CARRY,
    "        if (c.word[0] < c0 && ++c.word[1] == 0 && ++c.word[2] == 0) ++c.word[3];  // the carry\n",
    "",
    "Behind 2⁶⁴ blocks the second word of the counter is not raised.",
)
wrong_text(
    "philox_drops_the_threshold",
    "philox.cu",
    "keep",
    cases.DRAWS,
    "(word >> 8) >= threshold",
    "(word >> 8) > threshold",
    "A number equal to p is dropped, which NumPy keeps: once in 2²⁴ draws.",
)
wrong_text(
    "philox_begins_at_the_block",
    "philox.cu",
    "keep",
    cases.DRAWS,
    "long long i = 8 * block - start;",
    "long long i = 8 * block;",
    "The place within the first block is forgotten.",
)
