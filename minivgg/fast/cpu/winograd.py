"""Winograd's convolution F(m×m, 3×3): transforms of tiles, and their transposes.

One dimension. m outputs of a filter of three taps depend on a = m + 2 inputs, and are the coefficients of a product of
polynomials, which is known if its values at a points are (one of them ∞: the leading coefficient). So evaluate both, multiply
point by point, interpolate: a products instead of 3·m. In matrices, for inputs d (a), taps g (3), outputs y (m):

    y = Aᵀ [(G g) ⊙ (Bᵀ d)]

Two dimensions: the same along both axes, y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A, with a² products instead of 9·m²: 36 for 144 at m = 4,
16 for 36 at m = 2. Summed over channels, each of the a² places is a matrix product of its own: M_f = V_f U_f, where V_f (T, C) holds
place f of all transformed tiles and U_f (C, K) that of all transformed filters.

All of it is linear in d and in g, so the gradients are the transposed matrices in the opposite order:

    Ṁ = A ẏ Aᵀ      V̇_f = Ṁ_f U_fᵀ      ḋ = B V̇ Bᵀ      U̇_f = V_fᵀ Ṁ_f      ġ = Gᵀ U̇ G

Tiles overlap by two pixels, which a tile's neighbours share: the transpose of reading a pixel twice is adding.

Storage. Images are (N, H, W, C). A row of an image is one long vector of W·C numbers, so the transform along H is a product
(a×a)·(a × W·C) that reads a of the image's rows as they lie; the one along W follows after the tiles' columns are gathered. Transformed
tiles lie as (a, a, T, C): first the place along W, then along H, so that either transform is one product with long rows.

The matrices, and what they do to rounding errors, are in `winograd_points`.

See  Lavin & Gray 2015, arXiv:1509.09308.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...backend import memory
from ...backend.arrays import Array
from .winograd_points import matrices

__all__ = [
    "Tiling",
    "filters",
    "filters_transposed",
    "gather",
    "gather_transposed",
    "scatter",
    "scatter_transposed",
]


@dataclass(frozen=True)
class Tiling:
    """How outputs of P×Q are cut into tiles of m×m, read from images of H×W with `padding` around them.

    A *band* is a range of rows of tiles: a part of an image that is small enough for the cache.
    """

    m: int
    size: tuple[int, int]  # (H, W)
    output: tuple[int, int]  # (P, Q)
    padding: tuple[int, int]

    @property
    def tiles(self) -> tuple[int, int]:
        """How many tiles cover an image's outputs, down and across."""
        return -(-self.output[0] // self.m), -(-self.output[1] // self.m)

    def read(self, band: slice) -> tuple[slice, slice, slice]:
        """What the tiles of a band read: (rows of the image, where they lie in what is read, columns of the image there)."""
        first, last = self.m * band.start - self.padding[0], self.m * band.stop + 2 - self.padding[0]
        start = max(first, 0)
        stop = max(min(last, self.size[0]), start)  # nothing, where the band lies in the padding
        return slice(start, stop), slice(start - first, stop - first), slice(self.padding[1], self.padding[1] + self.size[1])

    def written(self, band: slice) -> slice:
        """The rows of the output that the tiles of a band give."""
        return slice(self.m * band.start, min(self.m * band.stop, self.output[0]))


def _strided(array: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """A view of a contiguous array; strides count elements."""
    return np.ndarray(shape, array.dtype, array, 0, tuple(s * array.itemsize for s in strides))


def _columns(rows: Array, tw: int, a: int, m: int) -> Array:
    """(a, a, lines, tw, C): column j of each tile, from rows (a, lines, W, C)."""
    i, lines, w, c = rows.shape
    return _strided(rows, (i, a, lines, tw, c), (lines * w * c, c, w * c, m * c, 1))


def _places(tiles: Array, a: int) -> Array:
    """Transformed tiles (a², T, C), T·C contiguous, as (H's place, W's place, T·C)."""
    return tiles.reshape(a, a, tiles.shape[1] * tiles.shape[2]).transpose(1, 0, 2)  # a view, as T·C is contiguous


def _transform_rows(matrix: Array, image: Array, step: int) -> Array:
    """Σ_p matrix[i, p] · (row p of each row of tiles), as (a, n·th, W, C)."""
    (a, p), (n, h, w, c) = matrix.shape, image.shape
    th = (h - p) // step + 1
    out = memory.scratch((a, n * th, w, c), image.dtype)
    rows = _strided(image, (n, th, p, w * c), (h * w * c, step * w * c, w * c, 1))  # as they lie: not copied
    np.matmul(matrix, rows, out=out.reshape(a, n, th, w * c).transpose(1, 2, 0, 3))
    return out


def gather(x: Array, g: Tiling, band: slice, out: Array) -> None:
    """out = Bᵀ d B for the band's tiles d of x (n, H, W, C); out (a², T, C), T = n·tiles, may be a part of a larger array."""
    (n, _, _, c), tw, a, m = x.shape, g.tiles[1], g.m + 2, g.m
    bt = matrices(m, x.dtype).bt
    source, rows, cols = g.read(band)
    padded = memory.scratch((n, m * (band.stop - band.start) + 2, m * tw + 2, c), x.dtype)
    padded[...] = 0
    padded[:, rows, cols] = x[:, source]
    lines = _transform_rows(bt, padded, m)
    columns = memory.scratch((a, a, lines.shape[1], tw, c), x.dtype)
    columns[...] = _columns(lines, tw, a, m)
    np.matmul(bt, columns.reshape(a, a, -1), out=_places(out, a))


def gather_transposed(tiles: Array, g: Tiling, band: slice, out: Array) -> None:
    """Add B v Bᵀ for the band's tiles v (a², T, C) to out (n, H, W, C) at the places that `gather` reads.

    Bands must come in order, from the first: what only this band and later ones reach is set, not added to.
    """
    (n, _, _, c), tw, a, m = out.shape, g.tiles[1], g.m + 2, g.m
    b, th, width = matrices(m, out.dtype).bt.T, band.stop - band.start, m * tw + 2
    columns = memory.scratch((a, a, n * th, tw, c), out.dtype)
    np.matmul(b, _places(tiles, a), out=columns.reshape(a, a, -1))
    lines = memory.scratch((a, n * th, width, c), out.dtype)
    _columns(lines, tw, m, m)[...] = columns[:, :m]
    lines[:, :, m * tw :] = columns[:, m:, :, -1].transpose(0, 2, 1, 3)
    if tw > 1:  # a tile's last two columns are the next one's first
        shared = lines[:, :, m : m * tw].reshape(a, n * th, tw - 1, m, c)[:, :, :, :2]
        shared += columns[:, m:, :, :-1].transpose(0, 2, 3, 1, 4)
    whole, below = memory.scratch((n, m * th + 2, width, c), out.dtype), memory.scratch((n, th, 2, width * c), out.dtype)
    rows = lines.reshape(a, n, th, width * c).transpose(1, 2, 0, 3)
    np.matmul(b[:m], rows, out=whole[:, : m * th].reshape(n, th, m, width * c))
    np.matmul(b[m:], rows, out=below)  # and its last two rows those of the tile below
    below = below.reshape(n, th, 2, width, c)
    whole[:, m * th :] = below[:, -1]
    whole[:, m : m * th].reshape(n, th - 1, m, width, c)[:, :, :2] += below[:, :-1]
    _crop(whole, g, band, out)


def _crop(whole: Array, g: Tiling, band: slice, out: Array) -> None:
    """Write what a band reads, (n, rows, W, C), into out, without padding; two rows are shared with the band before: added."""
    source, rows, cols = g.read(band)
    target, inner = out[:, source], whole[:, rows, cols]
    shared = max(2 - rows.start, 0) if band.start > 0 else 0
    target[:, :shared] += inner[:, :shared]
    target[:, shared:] = inner[:, shared:]


def scatter(tiles: Array, g: Tiling, band: slice, bias: Array | None, out: Array) -> None:
    """Set the band's rows of out (n, P, Q, K) to Aᵀ M A for its tiles M (a², T, K), plus the bias (K,)."""
    out = out[:, g.written(band)]
    (n, p, q, k), th, tw, a, m = out.shape, band.stop - band.start, g.tiles[1], g.m + 2, g.m
    at = matrices(m, out.dtype).at
    half = memory.scratch((a, m, n * th * tw * k), out.dtype)
    np.matmul(at, _places(tiles, a), out=half)
    full = memory.scratch((m, m * n * th * tw * k), out.dtype)
    np.matmul(at, half.reshape(a, -1), out=full)
    pixels = full.reshape(m, m, n, th, tw, k).transpose(2, 3, 0, 4, 1, 5)
    whole = out if (p, q) == (m * th, m * tw) else memory.scratch((n, m * th, m * tw, k), out.dtype)
    places = whole.reshape(n, th, m, tw, m, k)
    np.copyto(places, pixels) if bias is None else np.add(pixels, bias, out=places)
    if whole is not out:
        out[...] = whole[:, :p, :q]


def scatter_transposed(gy: Array, g: Tiling, band: slice, out: Array) -> None:
    """out (a², T, K) = A ẏ Aᵀ for the tiles ẏ of a band's rows of the output, gy (n, rows, Q, K); missing outputs count as zero."""
    (n, p, q, k), th, tw, a, m = gy.shape, band.stop - band.start, g.tiles[1], g.m + 2, g.m
    matrix = matrices(m, gy.dtype).at.T
    if (p, q) != (m * th, m * tw) or not gy.flags.c_contiguous:
        whole = memory.scratch((n, m * th, m * tw, k), gy.dtype)
        whole[:, p:] = 0
        whole[:, :p, q:] = 0
        whole[:, :p, :q] = gy
        gy = whole
    lines = _transform_rows(matrix, gy, m)
    columns = memory.scratch((a, m, n * th, tw, k), gy.dtype)
    columns[...] = _columns(lines, tw, m, m)
    np.matmul(matrix, columns.reshape(a, m, -1), out=_places(out, a))


def filters(w: Array, m: int, out: Array) -> None:
    """out (a², C·K) = G g Gᵀ for filters w (9, C·K)."""
    np.matmul(matrices(m, w.dtype).gg, w, out=out)


def filters_transposed(gu: Array, m: int, out: Array) -> None:
    """out (9, C·K) = Gᵀ u̇ G for gu (a², C·K)."""
    np.matmul(matrices(m, gu.dtype).gg.T, gu, out=out)
