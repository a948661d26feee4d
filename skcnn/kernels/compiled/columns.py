"""Gathered windows of a few outputs at a time, whose columns stay in a cache."""

from math import prod

from skcnn.kernels.columns import ColumnsKernel
from skcnn.kernels.compiled.jit import add_run, clear_run, compiled, copy_run, index, inlined
from skcnn.kernels.compiled.products import (
    ADD,
    NEXT,
    PANEL,
    START,
    VECTOR_BYTES,
    WRITE,
    from_panels,
    multiply,
    panels_shape,
    to_panels,
)

COLUMNS_SIZE = 32_768
"""Windows are gathered until their columns have as many elements, which are 128 kB in float32."""

OUTPUTS = 256
"""Smallest number of windows that are gathered together, because all filters are read for each block."""


class CompiledColumns(ColumnsKernel):
    """Convolution of any kind by products of filters and the gathered windows of neighbouring outputs.

    Padded images have shape (channels, height, strides, width / strides, n_images): of their columns, those
    that are a stride apart lie side by side, so that the same pixel of neighbouring windows does. Gathered
    columns have a row for each input of a filter, in the order of the weight, and a last row of ones for the
    bias.
    """

    def scratch_size(self):
        """Return the size of the padded image and its gradient, and of neighbouring columns and outputs."""
        rows, filters = self.inputs + self.has_bias, self.filters // self.groups
        return 2 * self.channels * prod(self._padded_size) + (rows + filters) * prod(self._block(1))

    @property
    def gradient_shape(self):
        """Shape of the gradients of the filters of each group as panels, with a row for the bias."""
        groups, rows, filters = self.filters_shape
        return (groups, *panels_shape(rows, filters))

    def prepare(self, weight, bias, memory, *, training):
        """Return the filters of each group, with the bias as the last row, as panels, and the weight."""
        panels, weight = memory("panels", self.gradient_shape), weight.reshape(-1)
        distances, of_weight, of_bias = self._matrices()
        to_panels(weight, distances, of_weight, panels, 0)
        if self.has_bias:
            to_panels(bias, distances, of_bias, panels, self.inputs)
        return panels.reshape(-1), weight

    def gradients(self, total, scratch):
        bias, shape = None, (*self.windows.size, self.channels // self.groups, self.filters)
        weight = scratch("weight gradient", shape)
        distances, of_weight, of_bias = self._matrices()
        from_panels(total, 0, weight.reshape(-1), distances, of_weight)
        if self.has_bias:
            bias = scratch("bias gradient", (self.filters,))
            from_panels(total, self.inputs, bias, distances, of_bias)
        return weight, bias

    def _matrices(self):
        """Return the matrices of the groups in the weight: distances and sizes, and the sizes of the bias."""
        columns = self.filters // self.groups
        sizes = (self.groups, self.inputs, columns), (self.groups, 1, columns)
        return (columns, self.filters, 1), *sizes

    def forward(self, X, prepared, out, scratch, kept):
        padded, *memory = self._memory(scratch, X.shape[2])
        convolve(X, prepared[0], out, self._block(X.shape[2]), *self._geometry(), padded, *memory)
        return out

    def backward(self, X, dY, prepared, gradient, out, scratch, kept):
        padded, *memory = self._memory(scratch, X.shape[2])
        of_padded = scratch("padded gradient", padded.shape if out is not None else (0, 0, 0, 0, 0))
        dX = X if out is None else out
        arguments = X, dY, prepared[1], gradient.reshape(-1), dX, out is not None, self._block(X.shape[2])
        convolve_backward(*arguments, *self._geometry(), padded, of_padded, *memory)
        return out

    @property
    def _padded_size(self):
        """Height, stride along the width and number of columns a stride apart of padded images."""
        height, width = self.windows.padded_size
        _, stride = self.windows.strides
        return height, stride, -(-width // stride)

    def _memory(self, scratch, n_images):
        """Return memory for padded images, columns, and outputs with a row for each filter of a group."""
        rows, n_pixels = self.inputs + self.has_bias, n_images * prod(self._block(n_images))
        padded = scratch("padded", (self.channels, *self._padded_size, n_images))
        results = scratch("results", (self.filters // self.groups * n_pixels,))
        return padded, scratch("columns", (rows * n_pixels,)), results

    def _block(self, n_images):
        """Return the height and width of the outputs whose windows are gathered together."""
        height, width = self.windows.counts
        n_outputs = max(OUTPUTS, COLUMNS_SIZE // (self.inputs + self.has_bias))
        n_pixels = max(1, n_outputs // n_images)
        return min(height, max(1, n_pixels // width)), min(width, n_pixels)

    def _geometry(self):
        """Return padding before images, size, distances and dilation of windows, groups and two counts."""
        windows = self.windows
        (top, _), (left, _) = windows.padding
        counts = self.groups, self.inputs, self.inputs + self.has_bias
        return (top, left), windows.size, windows.strides, windows.dilation, *counts


@compiled
def convolve(
    X, panels, Y, block, start, size, strides, dilation, groups, inputs, rows, padded, columns, results
):
    """Write the convolution of X, some neighbouring outputs at a time."""
    out_height, out_width, n_images, total = Y.shape
    channels, n_filters, of_group = X.shape[3] // groups, total // groups, panels.size // groups
    pad(X, start, padded)
    Y = Y.reshape(Y.size)
    for i in range(0, out_height, block[0]):
        for j in range(0, out_width, block[1]):
            shape = min(block[0], out_height - i), min(block[1], out_width - j) * n_images
            n = shape[0] * shape[1]
            columns[inputs * n : rows * n] = 1
            for group in range(groups):
                y = (i * out_width + j) * n_images * total + group * n_filters
                gather(padded, group * channels, channels, (i, j), shape, size, strides, dilation, columns)
                if n_filters * Y.itemsize > VECTOR_BYTES:
                    of_columns, of_panels = (START, NEXT, n), (group * of_group, PANEL, rows * PANEL)
                    of_Y, sizes = (y, total, PANEL), (n, n_filters, rows)
                    multiply(columns, of_columns, panels, of_panels, Y, of_Y, sizes, WRITE)
                else:  # outputs fill vectors, as filters do not
                    of_panel, by_row = (group * of_group, NEXT, PANEL), (START, n, PANEL)
                    sizes = n_filters, n, rows
                    multiply(panels, of_panel, columns, by_row, results, by_row, sizes, WRITE)
                    transpose(results, START, n, Y, y, total, n_filters, n)


@compiled
def convolve_backward(
    X, dY, weight, gradient, dX, needs_images, block, start, size, strides, dilation, groups, inputs, rows,
    padded, of_padded, columns, results,
):  # fmt: skip
    """Write the gradients of filters with bias and, if needed, of X."""
    out_height, out_width, n_images, total = dY.shape
    channels, n_filters, of_group = X.shape[3] // groups, total // groups, gradient.size // groups
    pad(X, start, padded)
    if n_filters % PANEL:
        gradient[:] = 0  # what is left of panels is added up, too
    adds = WRITE
    of_padded[:] = 0
    dY = dY.reshape(dY.size)
    for i in range(0, out_height, block[0]):
        for j in range(0, out_width, block[1]):
            shape = min(block[0], out_height - i), min(block[1], out_width - j) * n_images
            n = shape[0] * shape[1]
            columns[inputs * n : rows * n] = 1
            for group in range(groups):
                y = (i * out_width + j) * n_images * total + group * n_filters
                pixels = group * channels, channels, (i, j), shape, size, strides, dilation
                gather(padded, *pixels, columns)
                of_columns, of_gradient = (START, n, NEXT), (group * of_group, PANEL, rows * PANEL)
                of_dY, sizes = (y, total, PANEL), (rows, n_filters, n)
                multiply(columns, of_columns, dY, of_dY, gradient, of_gradient, sizes, adds)
                if needs_images:
                    transpose(dY, y, total, results, START, n, n, n_filters)
                    of_weight, by_row = (group * n_filters, total, NEXT), (START, n, PANEL)
                    sizes = inputs, n, n_filters
                    multiply(weight, of_weight, results, by_row, columns, by_row, sizes, WRITE)
                    scatter(columns, *pixels, of_padded)
            adds = ADD
    if needs_images:
        cut(of_padded, start, dX)


@compiled
def transpose(A, a, a_row, B, b, b_row, rows, columns):
    """Write the columns of a matrix as the rows of another one."""
    for i in range(min(rows, columns)):
        if rows < columns:
            x, y, x_step, y_step = index(a + i * a_row), index(b + i), index(1), index(b_row)
        else:
            x, y, x_step, y_step = index(a + i), index(b + i * b_row), index(a_row), index(1)
        for k in range(index(max(rows, columns))):
            B[y + k * y_step] = A[x + k * x_step]


@compiled
def pad(X, start, padded):
    """Write images channel by channel, with zeros around them."""
    height, width, n_images, channels = X.shape
    (_, padded_height, stride, padded_width, _), of_channel = padded.shape, padded.size // channels
    X, padded = X.reshape(X.size), padded.reshape(padded.size)
    for y in range(padded_height):
        for x in range(stride * padded_width):
            row, column = y - start[0], x - start[1]
            to = ((y * stride + x % stride) * padded_width + x // stride) * n_images
            if 0 <= row < height and 0 <= column < width:
                at = (row * width + column) * n_images * channels
                transpose(X, at, channels, padded, to, of_channel, n_images, channels)
                continue
            for channel in range(channels):
                clear_run(padded, index(to + channel * of_channel), index(n_images))


@compiled
def cut(padded, start, X):
    """Write the images without what is around them, the adjoint of ``pad``."""
    height, width, n_images, channels = X.shape
    (_, _, stride, padded_width, _), of_channel = padded.shape, padded.size // channels
    X, padded = X.reshape(X.size), padded.reshape(padded.size)
    for row in range(height):
        for column in range(width):
            y, x = row + start[0], column + start[1]
            at = ((y * stride + x % stride) * padded_width + x // stride) * n_images
            to = (row * width + column) * n_images * channels
            transpose(padded, at, of_channel, X, to, channels, channels, n_images)


@inlined
def place_of(padded_shape, first, place, u, v, strides, dilation):
    """Return where pixel (u, v) of the window of an output lies, and the distances of channels and rows."""
    _, height, stride, width, n_images = padded_shape
    row, column = place[0] * strides[0] + u * dilation[0], v * dilation[1]
    of_row, in_row = stride * width * n_images, column % stride * width + column // stride + place[1]
    return (first * height + row) * of_row + in_row * n_images, height * of_row, strides[0] * of_row


@compiled
def gather(padded, first, channels, place, shape, size, strides, dilation, columns):
    """Write the windows of some outputs, a number of rows and the length of one, as columns."""
    padded_shape, padded, out = padded.shape, padded.reshape(padded.size), 0
    for u in range(size[0]):
        for v in range(size[1]):
            at, of_channel, of_row = place_of(padded_shape, first, place, u, v, strides, dilation)
            for channel in range(channels):
                for i in range(shape[0]):
                    pixels = index(at + channel * of_channel + i * of_row)
                    copy_run(padded, pixels, columns, index(out), index(shape[1]))
                    out += shape[1]


@compiled
def scatter(columns, first, channels, place, shape, size, strides, dilation, padded):
    """Add columns to the pixels that they were gathered from: the adjoint of ``gather``."""
    padded_shape, padded, out = padded.shape, padded.reshape(padded.size), 0
    for u in range(size[0]):
        for v in range(size[1]):
            at, of_channel, of_row = place_of(padded_shape, first, place, u, v, strides, dilation)
            for channel in range(channels):
                for i in range(shape[0]):
                    pixels = index(at + channel * of_channel + i * of_row)
                    add_run(columns, index(out), padded, pixels, index(shape[1]))
                    out += shape[1]
