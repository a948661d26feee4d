"""Products of small matrices, whose sums stay in registers.

Libraries of linear algebra copy both matrices before they multiply, which for some dozens of rows and columns
takes as long as the product. A loop over numbers would not do: LLVM keeps no array of sums in registers, so
the vectors are written out for it.
"""

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from skcnn.kernels.compiled.jit import compiled, index, inlined

VECTOR_BYTES = 64 if "+avx512f" in get_host_cpu_features() else 32

PANEL = np.int64(2 * VECTOR_BYTES // 4)
"""Columns of a panel of a matrix: two vectors in float32, four in float64."""


class Vectors:
    """Writes instructions that load and store vectors of numbers.

    Parameters
    ----------
    builder : IRBuilder
    number : ir.Type
    lanes : int
    columns : ir.Value or None
        How many lanes are read and written, the others being zero; None: all.
    """

    def __init__(self, builder, number, lanes, columns):
        self._builder, self.type = builder, ir.VectorType(number, lanes)
        self.zeros = ir.Constant(self.type, [0.0] * lanes)
        self._bytes = {"float": 4, "double": 8}[str(number)]
        self._mask = None
        if columns is not None:
            numbers = ir.Constant(ir.VectorType(columns.type, lanes), list(range(lanes)))
            self._mask = builder.icmp_signed("<", numbers, self.repeat(columns))

    def repeat(self, number):
        """Return a vector of a number."""
        undefined = ir.Constant(ir.VectorType(number.type, self.type.count), ir.Undefined)
        first = self._builder.insert_element(undefined, number, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.type.count), [0] * self.type.count)
        return self._builder.shuffle_vector(first, undefined, zeros)

    def load(self, array, offset):
        """Return a vector of an array."""
        address = self._address(array, offset)
        if self._mask is None:
            return self._builder.load(address, align=self._bytes)
        types = address.type, ir.IntType(32), self._mask.type, self.type
        load = self._intrinsic("load", self.type, types)
        return self._builder.call(load, [address, ir.IntType(32)(self._bytes), self._mask, self.zeros])

    def store(self, vector, array, offset):
        """Write a vector to an array."""
        address = self._address(array, offset)
        if self._mask is None:
            self._builder.store(vector, address, align=self._bytes)
            return
        types = self.type, address.type, ir.IntType(32), self._mask.type
        store = self._intrinsic("store", ir.VoidType(), types)
        self._builder.call(store, [vector, address, ir.IntType(32)(self._bytes), self._mask])

    def _address(self, array, offset):
        return self._builder.bitcast(self._builder.gep(array, [offset]), self.type.as_pointer())

    def _intrinsic(self, operation, result, arguments):
        """Return LLVM's function that loads or stores some lanes of a vector."""
        name = f"llvm.masked.{operation}.v{self.type.count}f{8 * self._bytes}.p0"
        return cgutils.get_or_insert_function(self._builder.module, ir.FunctionType(result, arguments), name)


def register_tile(rows: int, n_vectors: int, *, masked: bool) -> Callable:
    """Return a function for compiled code that computes some rows and one or two vectors of a product.

    Its parameters are those of :func:`multiply`, without the number of rows.

    Parameters
    ----------
    rows, n_vectors : int
        Size of this part of the product.
    masked : bool
        Whether there may be fewer columns than the vectors have lanes.
    """

    @intrinsic
    def tile(typing, A, a, a_row, a_step, B, b, b_step, C, c, c_row, columns, steps, adds):
        arguments = A, *[types.intp] * 3, B, *[types.intp] * 2, C, *[types.intp] * 4, types.boolean
        lanes = n_vectors * VECTOR_BYTES * 8 // A.dtype.bitwidth

        def generate(context, builder, signature, values):
            _, a, a_row, a_step, _, b, b_step, _, c, c_row, columns, steps, adds = values
            A, B, C = (
                context.make_array(signature.args[place])(context, builder, values[place]).data
                for place in (0, 4, 7)
            )

            def at(start, number, distance):
                return builder.add(start, builder.mul(number, distance))

            number = context.get_value_type(signature.args[0].dtype)
            vectors = Vectors(builder, number, lanes, columns if masked else None)
            sums = [cgutils.alloca_once(builder, vectors.type) for _ in range(rows)]
            places = [at(c, c.type(i), c_row) for i in range(rows)]
            for total, place in zip(sums, places, strict=True):
                builder.store(vectors.zeros, total)
                with builder.if_then(adds):
                    builder.store(vectors.load(C, place), total)
            with cgutils.for_range(builder, steps) as loop:
                factors = vectors.load(B, at(b, loop.index, b_step))
                step = at(a, loop.index, a_step)
                for i, total in enumerate(sums):
                    factor = builder.load(builder.gep(A, [at(step, a.type(i), a_row)]))
                    product = builder.fmul(vectors.repeat(factor), factors, flags=("contract",))
                    builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
            for total, place in zip(sums, places, strict=True):
                vectors.store(builder.load(total), C, place)
            return context.get_dummy_value()

        return types.void(*arguments), generate

    return tile


def panels_shape(rows: int, columns: int) -> tuple[int, int, int]:
    """Return the shape of a matrix cut into panels."""
    return -(-columns // int(PANEL)), rows, int(PANEL)


@compiled
def to_panels(A, of_A, sizes, panels, first):
    """Cut matrices into panels of a few columns, each of which lies in one piece.

    To read a few columns of a large matrix, row by row, takes as long as memory needs to answer.

    Parameters
    ----------
    A : ndarray of shape (size,)
        Memory of the matrices.
    of_A : tuple of int
        Distances between matrices, between rows and between columns.
    sizes : tuple of int
        Number of matrices, rows and columns.
    panels : ndarray of shape (n, n_panels, n_rows, PANEL)
        Receives the panels. The last one is filled up with zeros.
    first : int
        Row of the panels at which the rows begin.
    """
    n, rows, columns = sizes
    shape, panels, step = panels.shape, panels.reshape(panels.size), index(of_A[2])
    for matrix in range(n):
        for panel in range(shape[1]):
            full = min(PANEL, columns - panel * PANEL)
            for row in range(rows):
                a, p = places_of_row(matrix, panel, row, of_A, shape, first)
                copy_lanes(A, a, step, panels, p, full)


@inlined
def places_of_row(matrix, panel, row, of_A, shape, first):
    """Return where a row of a panel begins in the memory of the matrices, and in that of the panels."""
    (a_matrix, a_row, a_column), (_, n_panels, n_rows, _) = of_A, shape
    a = matrix * a_matrix + row * a_row + panel * PANEL * a_column
    return index(a), index(((matrix * n_panels + panel) * n_rows + first + row) * PANEL)


@compiled
def copy_lanes(A, a, step, panels, p, n):
    """Write n elements of A, a step apart, and zeros after them, to a row of a panel."""
    if step == 1 and n == PANEL:
        for k in range(index(PANEL)):
            panels[p + k] = A[a + k]
        return
    for k in range(index(n)):
        panels[p + k] = A[a + k * step]
    for k in range(index(n), index(PANEL)):
        panels[p + k] = 0


@compiled
def from_panels(panels, first, A, of_A, sizes):
    """Write the matrices that were cut into panels: the inverse of :func:`to_panels`."""
    n, rows, columns = sizes
    shape, panels, step = panels.shape, panels.reshape(panels.size), index(of_A[2])
    for matrix in range(n):
        for panel in range(shape[1]):
            full = min(PANEL, columns - panel * PANEL)
            for row in range(rows):
                a, p = places_of_row(matrix, panel, row, of_A, shape, first)
                for k in range(index(full)):
                    A[a + k * step] = panels[p + k]


STEPS = 128
"""Steps at a time, whose factors for a few rows and columns stay in the L1 cache."""

START, NEXT = np.int64(0), np.int64(1)
"""The start of an array, and the distance to the next element."""

WRITE, ADD = np.bool_(False), np.bool_(True)
"""Whether to add. Numba would compile :func:`multiply` again for literals in place of these four."""

four_rows = register_tile(4, 2, masked=False)  # eight sums hide how long a multiplication and addition take
four_rows_in_part = register_tile(4, 2, masked=True)
eight_narrow_rows = register_tile(8, 1, masked=True)
two_rows = register_tile(2, 2, masked=True)
one_row = register_tile(1, 2, masked=True)


@compiled
def multiply(A, of_A, B, of_B, C, of_C, sizes, adds):
    """Write the product of two matrices, or add it to what is there.

    Each sum is in the order of the steps, whatever the size of a vector.

    Parameters
    ----------
    A, B, C : ndarray of shape (n,)
        Memory of the factors and of the product.
    of_A : tuple of int
        Where A begins, and the distances between its rows and between its columns, which are the steps.
    of_B, of_C : tuple of int
        Where B and C begin, and the distances between rows and between panels: PANEL if whole rows lie in
        one piece.
    sizes : tuple of int
        Rows and columns of the product, and the number of steps, the terms of each sum.
    adds : bool
        Whether to add.
    """
    (a, a_row, a_step), (b, b_step, b_panel), (c, c_row, c_panel) = of_A, of_B, of_C
    rows, columns, steps = sizes
    lanes = VECTOR_BYTES // C.itemsize
    for k in range(0, steps, STEPS):
        terms, adds_now = min(STEPS, steps - k), adds or k > 0
        for j in range(0, columns, 2 * lanes):
            n, x = min(2 * lanes, columns - j), a + k * a_step
            y, z = b + k * b_step + j // PANEL * b_panel + j % PANEL, c + j // PANEL * c_panel + j % PANEL
            i = 0
            while i < rows:
                if rows - i >= 8 and n <= lanes:
                    eight_narrow_rows(A, x, a_row, a_step, B, y, b_step, C, z, c_row, n, terms, adds_now)
                    done = 8
                elif rows - i >= 4 and n == 2 * lanes:
                    four_rows(A, x, a_row, a_step, B, y, b_step, C, z, c_row, n, terms, adds_now)
                    done = 4
                elif rows - i >= 4:
                    four_rows_in_part(A, x, a_row, a_step, B, y, b_step, C, z, c_row, n, terms, adds_now)
                    done = 4
                elif rows - i >= 2:
                    two_rows(A, x, a_row, a_step, B, y, b_step, C, z, c_row, n, terms, adds_now)
                    done = 2
                else:
                    one_row(A, x, a_row, a_step, B, y, b_step, C, z, c_row, n, terms, adds_now)
                    done = 1
                i, x, z = i + done, x + done * a_row, z + done * c_row
