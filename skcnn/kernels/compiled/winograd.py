r"""Winograd's algorithm in blocks that stay in the L2 cache.

A block is a row of tiles of some images. Its pixels are transformed, multiplied by the filters and
transformed to outputs before the next block begins, so that transformed tiles and products never reach main
memory. The backward pass transforms the pixels again: keeping 2.25 times as many numbers takes longer.

Images are arrays (height, width, lanes), a lane for each image and channel. Transforms take up to ``LANES``
lanes at a time, along the height into ``halfway``, whose columns neighbouring tiles share, then along the
width. Arrays of a block are ``[position * STEP + tile * lanes + lane]`` for the 36 positions in a tile.
"""

from math import prod

import numpy as np

from skcnn.kernels.compiled.jit import add_run, clear_run, compiled, copy_run, index, inlined
from skcnn.kernels.compiled.products import (
    ADD,
    NEXT,
    PANEL,
    WRITE,
    from_panels,
    multiply,
    panels_shape,
    to_panels,
)
from skcnn.kernels.winograd import OVERLAP, PIXELS, RESULTS, WinogradKernel, transforms

LANES = 128
"""Lanes of a pass of a transform, whose halfway results stay in the L1 cache."""

SIZE = 2048
"""Elements of a position in a block, whose tiles and products then have 600 kB in float32."""

TILES = 32
"""Smallest number of tiles in a block, even if it is larger: each block reads all filters from memory."""

WIDEST = 512
"""Largest number of channels or filters."""

STEP = TILES * WIDEST + 16
"""Distance between positions: room for the largest block, and a cache line more, because powers of two would
fall into the same set of the cache."""


CENTRE = PIXELS + 1
"""Position (1, 1) of a tile, whose product is a term of all its results, with a factor of one."""


class CompiledWinograd(WinogradKernel):
    """Winograd's algorithm block by block."""

    reads_images = True

    def scratch_size(self):
        """Return nothing: blocks do not grow with the number of images."""
        return 0

    @property
    def gradient_shape(self):
        """Size of the gradients of the transformed filters as panels, and of the bias."""
        return (PIXELS**2 * prod(panels_shape(self.channels, self.filters)) + self.has_bias * self.filters,)

    def prepare(self, weight, bias, memory, *, training):
        """Return transformed filters as panels, the bias or an empty one, and filters transposed or None."""
        channels, filters, weight = self.channels, self.filters, weight.reshape(-1)
        # predictions prepare once, so they need not keep the panels
        scratch = memory if training else lambda name, shape: np.empty(shape, weight.dtype)
        arguments = weight, memory, scratch
        straight, transposed = self._transform("filters", (filters, 1), (channels, filters), *arguments), None
        if training:
            transposed = self._transform("transposed", (1, filters), (filters, channels), *arguments)
        return straight, bias if self.has_bias else np.empty(0, weight.dtype), transposed

    def _transform(self, name, distances, sizes, weight, memory, scratch):
        """Return transformed filters as panels, given the distances between their rows and columns."""
        panels = scratch("panels", (9, *panels_shape(*sizes)))
        to_panels(weight, (self.channels * self.filters, *distances), (9, *sizes), panels, 0)
        transformed = memory(name, (PIXELS**2, panels[0].size))
        np.matmul(transforms(weight.dtype).filters, panels.reshape(9, -1), out=transformed)
        return transformed.reshape(-1)

    def gradients(self, total, scratch):
        of_filters, of_bias = self._parts(total)
        sizes = 9, self.channels, self.filters
        panels = scratch("panels", (9, *panels_shape(*sizes[1:])))
        weight = scratch("weight gradient", (3, 3, *sizes[1:]))
        transform = transforms(total.dtype).filters.T
        np.matmul(transform, of_filters.reshape(PIXELS**2, -1), out=panels.reshape(9, -1))
        from_panels(panels, 0, weight.reshape(-1), (self.channels * self.filters, self.filters, 1), sizes)
        return weight, of_bias if self.has_bias else None

    def _parts(self, gradient):
        """Return the gradients of the filters, and of the bias, which may be empty."""
        end = gradient.size - self.has_bias * self.filters
        return gradient[:end], gradient[end:]

    def forward(self, X, prepared, out, scratch, kept):
        filters, bias, _ = prepared
        convolve(X, filters, bias, out, *self._start(), *self._memory(scratch))
        return out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        _, _, transposed = prepared
        arguments = *self._parts(gradient), X if out is None else out, out is not None
        convolve_backward(X, dY, transposed, *arguments, *self._start(), *self._memory(scratch))
        return out

    def _start(self):
        """Return the padding before the first row and before the first column."""
        (top, _), (left, _) = self.windows.padding
        return top, left

    def _memory(self, scratch):
        """Return memory for transformed tiles, products, halfway results and a few runs of pixels."""
        of_block, of_tile = PIXELS**2 * STEP, PIXELS**2 * LANES
        sizes = {"tiles": of_block, "products": of_block, "halfway": of_tile, "runs": PIXELS * LANES}
        return [scratch(name, (size,)) for name, size in sizes.items()]


@compiled
def convolve(X, filters, bias, Y, top, left, tiles, products, halfway, runs):
    """Write the convolution of X, block by block."""
    height, width, n_images, channels = X.shape
    out_height, out_width, _, n_filters = Y.shape
    rows, columns = -(-out_height // RESULTS), -(-out_width // RESULTS)
    wide, images = block_size(columns, max(channels, n_filters))
    of_position = filters.size // PIXELS**2
    X, Y = X.reshape(X.size), Y.reshape(Y.size)
    for first in range(0, n_images, images):
        n = min(images, n_images - first)
        for i in range(rows):
            for j in range(0, columns, wide):
                n_tiles = min(wide, columns - j)
                pixels, place = (height, width, n_images * channels), (RESULTS * i - top, RESULTS * j - left)
                lanes = first * channels, n * channels
                transform_pixels(X, pixels, place, n_tiles, lanes, tiles, halfway, runs)
                T = n_tiles * n
                for p in range(PIXELS**2):
                    at, w = p * STEP, p * of_position
                    of_tiles, of_filters = (at, channels, NEXT), (w, PANEL, channels * PANEL)
                    of_products, sizes = (at, n_filters, PANEL), (T, n_filters, channels)
                    multiply(tiles, of_tiles, filters, of_filters, products, of_products, sizes, WRITE)
                results, place = (out_height, out_width, n_images * n_filters), (RESULTS * i, RESULTS * j)
                lanes = first * n_filters, n * n_filters
                transform_products(products, bias, Y, results, place, n_tiles, lanes, halfway, runs)


@compiled
def convolve_backward(
    X, dY, transposed, of_filters, of_bias, dX, needs_images, top, left, tiles, products, halfway, runs
):
    """Write the gradients of transformed filters and bias and, if needed, of X."""
    height, width, n_images, channels = X.shape
    out_height, out_width, _, n_filters = dY.shape
    rows, columns = -(-out_height // RESULTS), -(-out_width // RESULTS)
    wide, images = block_size(columns, max(channels, n_filters))
    gradient_step, transposed_step = of_filters.size // PIXELS**2, transposed.size // PIXELS**2
    X, dY, dX = X.reshape(X.size), dY.reshape(dY.size), dX.reshape(dX.size)
    of_bias[:] = 0
    if n_filters % PANEL:
        of_filters[:] = 0  # what is left of panels is added up, too
    adds = WRITE
    for first in range(0, n_images, images):
        n = min(images, n_images - first)
        for i in range(rows):
            for j in range(0, columns, wide):
                n_tiles = min(wide, columns - j)
                pixels, place = (height, width, n_images * channels), (RESULTS * i - top, RESULTS * j - left)
                lanes, of_results = (first * channels, n * channels), (first * n_filters, n * n_filters)
                transform_pixels(X, pixels, place, n_tiles, lanes, tiles, halfway, runs)
                results, at = (out_height, out_width, n_images * n_filters), (RESULTS * i, RESULTS * j)
                transform_gradients(dY, results, at, n_tiles, of_results, products, halfway, runs)
                T = n_tiles * n
                if of_bias.size:
                    add_rows(products, CENTRE * STEP, T, of_bias)
                for p in range(PIXELS**2):
                    at, w, sizes = p * STEP, p * gradient_step, (channels, n_filters, T)
                    of_tiles, of_products = (at, NEXT, channels), (at, n_filters, PANEL)
                    of_gradient = w, PANEL, channels * PANEL
                    multiply(tiles, of_tiles, products, of_products, of_filters, of_gradient, sizes, adds)
                    if needs_images:
                        w, sizes = p * transposed_step, (T, channels, n_filters)
                        of_products, of_matrix = (at, n_filters, NEXT), (w, PANEL, n_filters * PANEL)
                        of_tiles = at, channels, PANEL
                        multiply(products, of_products, transposed, of_matrix, tiles, of_tiles, sizes, WRITE)
                if needs_images:
                    neighbours = i > 0, j > 0
                    transform_back(tiles, dX, pixels, place, neighbours, n_tiles, lanes, halfway, runs)
                adds = ADD


@compiled
def block_size(columns, lanes):
    """Return how many tiles side by side, of how many images, make a block."""
    n_tiles = max(TILES, SIZE // lanes)
    wide = min(columns, n_tiles)
    return wide, n_tiles // wide


@compiled
def add_rows(A, start, n_rows, sums):
    """Add rows of A to sums, first among themselves, which rounds less."""
    total = np.zeros_like(sums)
    for row in range(n_rows):
        for k in range(sums.size):
            total[k] += A[index(start + row * sums.size + k)]
    for k in range(sums.size):
        sums[k] += total[k]


@compiled
def shift_halfway(halfway):
    """Move the last two columns of a tile to the front: they are the first two of the next tile."""
    for k in range(OVERLAP * PIXELS * LANES):
        halfway[index(k)] = halfway[index(k + RESULTS * PIXELS * LANES)]


# Pixels to tiles


@inlined
def to_tile(X, a, b, c, d, e, f, out, o, step, n):
    """Multiply six runs of numbers by the matrix of pixels."""
    two, four, five = X.dtype.type(2), X.dtype.type(4), X.dtype.type(5)
    for k in range(n):
        x0, x1, x2, x3, x4, x5 = X[a + k], X[b + k], X[c + k], X[d + k], X[e + k], X[f + k]
        p, q, r, s = x4 - four * x2, x3 - four * x1, x4 - x2, two * (x3 - x1)
        out[o + k] = four * x0 - five * x2 + x4
        out[o + k + step] = p + q
        out[o + k + index(2) * step] = p - q
        out[o + k + index(3) * step] = r + s
        out[o + k + index(4) * step] = r - s
        out[o + k + index(5) * step] = four * x1 - five * x3 + x5


@compiled
def column_to_halfway(X, x, row, halfway, h, n):
    """Transform a column of six pixels along the height."""
    to_tile(
        X, x, x + row, x + index(2) * row, x + index(3) * row, x + index(4) * row, x + index(5) * row,
        halfway, h, index(LANES), n,
    )  # fmt: skip


@compiled
def halfway_to_tile(halfway, h, tiles, t, n):
    """Transform a row of six halfway pixels along the width."""
    step = index(PIXELS * LANES)
    to_tile(
        halfway, h, h + step, h + index(2) * step, h + index(3) * step, h + index(4) * step,
        h + index(5) * step, tiles, t, index(STEP), n,
    )  # fmt: skip


@compiled
def transform_pixels(X, shape, place, n_tiles, lanes, tiles, halfway, runs):
    """Transform tiles side by side, whose first pixel is at a place.

    Lanes are the first one and their number.
    """
    height, width, m = shape
    first, lanes = lanes
    y = place[0]
    is_inside = y >= 0 and y + PIXELS <= height
    for start in range(0, lanes, LANES):
        n = index(min(LANES, lanes - start))
        for j in range(n_tiles):
            if j:
                shift_halfway(halfway)
            for q in range(OVERLAP if j else 0, PIXELS):
                x, h = place[1] + RESULTS * j + q, index(q * PIXELS * LANES)
                at = (y * width + x) * m + first + start
                if x < 0 or x >= width:
                    clear_run(halfway, h, index(PIXELS * LANES))
                elif is_inside:
                    column_to_halfway(X, index(at), index(width * m), halfway, h, n)
                else:
                    for r in range(PIXELS):
                        if 0 <= y + r < height:
                            copy_run(X, index(at + r * width * m), runs, index(r * LANES), n)
                        else:
                            clear_run(runs, index(r * LANES), n)
                    column_to_halfway(runs, index(0), index(LANES), halfway, h, n)
            for v in range(PIXELS):
                at = index(PIXELS * v * STEP + j * lanes + start)
                halfway_to_tile(halfway, index(v * LANES), tiles, at, n)


@inlined
def from_tile(X, x, step, out, o, out_step, n):
    """Multiply by the transposed matrix of pixels: add to the first two runs, and write the others."""
    two, four, five = X.dtype.type(2), X.dtype.type(4), X.dtype.type(5)
    for k in range(n):
        x0, x1, x2 = X[x + k], X[x + k + step], X[x + k + index(2) * step]
        x3, x4, x5 = X[x + k + index(3) * step], X[x + k + index(4) * step], X[x + k + index(5) * step]
        p, q, r, s = x1 + x2, x1 - x2, x3 + x4, two * (x3 - x4)
        out[o + k] += four * x0
        out[o + k + out_step] += four * (x5 - q) - s
        out[o + k + index(2) * out_step] = -five * x0 - four * p - r
        out[o + k + index(3) * out_step] = q + s - five * x5
        out[o + k + index(4) * out_step] = x0 + p + r
        out[o + k + index(5) * out_step] = x5


@compiled
def tile_from(tiles, t, halfway, h, n):
    """Transform a row of a tile back along the width, and add what it shares with the tile before."""
    from_tile(tiles, t, index(STEP), halfway, h, index(PIXELS * LANES), n)


@compiled
def column_from_halfway(halfway, h, runs, n):
    """Transform a column back along the height."""
    clear_run(runs, index(0), index(OVERLAP * LANES))
    from_tile(halfway, h, index(LANES), runs, index(0), index(LANES), n)


@compiled
def transform_back(tiles, dX, shape, place, neighbours, n_tiles, lanes, halfway, runs):
    """Write the pixels of transformed tiles, the adjoint of ``transform_pixels``.

    Pixels that neighbours, above or before, have written, too, are added to.
    """
    height, width, m = shape
    first, lanes = lanes
    has_above, has_before = neighbours
    for start in range(0, lanes, LANES):
        n = index(min(LANES, lanes - start))
        clear_run(halfway, index(0), index(OVERLAP * PIXELS * LANES))
        for j in range(n_tiles):
            if j:
                shift_halfway(halfway)
            for v in range(PIXELS):
                at = index(PIXELS * v * STEP + j * lanes + start)
                tile_from(tiles, at, halfway, index(v * LANES), n)
            for q in range(PIXELS if j == n_tiles - 1 else RESULTS):
                x = place[1] + RESULTS * j + q
                if x < 0 or x >= width:
                    continue
                column_from_halfway(halfway, index(q * PIXELS * LANES), runs, n)
                is_shared = has_before and j == 0 and q < OVERLAP
                for r in range(PIXELS):
                    y = place[0] + r
                    if y < 0 or y >= height:
                        continue
                    at = index((y * width + x) * m + first + start)
                    if is_shared or has_above and r < OVERLAP:
                        add_run(runs, index(r * LANES), dX, at, n)
                    else:
                        copy_run(runs, index(r * LANES), dX, at, n)


# Products to results


@inlined
def to_results(X, x, step, out, o, out_step, n):
    """Multiply six runs of numbers by the matrix of results."""
    two, four, eight = X.dtype.type(2), X.dtype.type(4), X.dtype.type(8)
    for k in range(n):
        x0, x1, x2 = X[x + k], X[x + k + step], X[x + k + index(2) * step]
        x3, x4, x5 = X[x + k + index(3) * step], X[x + k + index(4) * step], X[x + k + index(5) * step]
        p, q, r, s = x1 + x2, x1 - x2, x3 + x4, x3 - x4
        out[o + k] = x0 + p + r
        out[o + k + out_step] = q + two * s
        out[o + k + index(2) * out_step] = p + four * r
        out[o + k + index(3) * out_step] = q + eight * s + x5


@compiled
def products_to_halfway(products, p, halfway, h, n):
    """Transform a column of six products along the height."""
    to_results(products, p, index(PIXELS * STEP), halfway, h, index(PIXELS * LANES), n)


@compiled
def halfway_to_column(halfway, h, runs, n):
    """Transform a row of six halfway results along the width."""
    to_results(halfway, h, index(LANES), runs, index(0), index(LANES), n)


@compiled
def transform_products(products, bias, Y, shape, place, n_tiles, lanes, halfway, runs):
    """Transform the products of tiles side by side to results, and add the bias.

    It is added to the products at the centre.
    """
    height, width, m = shape
    first, lanes = lanes
    if bias.size:
        for at in range(CENTRE * STEP, CENTRE * STEP + n_tiles * lanes, bias.size):
            for k in range(bias.size):
                products[index(at + k)] += bias[k]
    for j in range(n_tiles):
        for start in range(0, lanes, LANES):
            n = index(min(LANES, lanes - start))
            for v in range(PIXELS):
                at = index(v * STEP + j * lanes + start)
                products_to_halfway(products, at, halfway, index(v * LANES), n)
            for r in range(min(RESULTS, height - place[0])):
                halfway_to_column(halfway, index(r * PIXELS * LANES), runs, n)
                for s in range(min(RESULTS, width - place[1] - RESULTS * j)):
                    y = ((place[0] + r) * width + place[1] + RESULTS * j + s) * m + first + start
                    copy_run(runs, index(s * LANES), Y, index(y), n)


@inlined
def from_results(X, a, b, c, d, out, o, step, n):
    """Multiply four runs of numbers by the transposed matrix of results."""
    two, four, eight = X.dtype.type(2), X.dtype.type(4), X.dtype.type(8)
    for k in range(n):
        x0, x1, x2, x3 = X[a + k], X[b + k], X[c + k], X[d + k]
        p, q, r, s = x0 + x2, x1 + x3, x0 + four * x2, two * x1 + eight * x3
        out[o + k] = x0
        out[o + k + step] = p + q
        out[o + k + index(2) * step] = p - q
        out[o + k + index(3) * step] = r + s
        out[o + k + index(4) * step] = r - s
        out[o + k + index(5) * step] = x3


@compiled
def column_of_gradients(dY, y, row, halfway, h, n):
    """Transform a column of four gradients along the height."""
    from_results(
        dY, y, y + row, y + index(2) * row, y + index(3) * row, halfway, h, index(RESULTS * LANES), n
    )


@compiled
def halfway_to_products(halfway, h, products, p, n):
    """Transform a row of four halfway gradients along the width."""
    from_results(
        halfway, h, h + index(LANES), h + index(2 * LANES), h + index(3 * LANES), products, p, index(STEP), n
    )


@compiled
def transform_gradients(dY, shape, place, n_tiles, lanes, products, halfway, runs):
    """Transform gradients of results to those of products, the adjoint of ``transform_products``."""
    height, width, m = shape
    first, lanes = lanes
    y = place[0]
    for j in range(n_tiles):
        for start in range(0, lanes, LANES):
            n = index(min(LANES, lanes - start))
            for s in range(RESULTS):
                x, h = place[1] + RESULTS * j + s, index(s * LANES)
                at = (y * width + x) * m + first + start
                if y + RESULTS <= height and x < width:
                    column_of_gradients(dY, index(at), index(width * m), halfway, h, n)
                    continue
                for r in range(RESULTS):
                    if y + r < height and x < width:
                        copy_run(dY, index(at + r * width * m), runs, index(r * LANES), n)
                    else:
                        clear_run(runs, index(r * LANES), n)
                column_of_gradients(runs, index(0), index(LANES), halfway, h, n)
            for v in range(PIXELS):
                at = index(PIXELS * v * STEP + j * lanes + start)
                halfway_to_products(halfway, index(v * RESULTS * LANES), products, at, n)
