"""Tests of the kernels of batch normalization against the formulas, in float64."""

import numpy as np
import pytest
from compiled_kernels import NUMBA, needs_numba
from numpy.testing import assert_allclose
from reference import GarbageMemory, KeptMemory, garbage
from seeds import generator

from skcnn.kernels.base import Affine
from skcnn.kernels.table import NUMPY

SHAPES = [(7, 5, 4, 3), (40, 1, 2, 300), (6, 11)]

each_backend = pytest.mark.parametrize(
    "kernels", [NUMPY, pytest.param(NUMBA, marks=needs_numba)], ids=["numpy", "numba"]
)


class Problem:
    """A kernel, random arrays of a shape, and maps of their channels."""

    def __init__(self, kernels, shape, dtype=np.float64, *, rectified=True, mean=3.0, weighted=True):
        rng, channels = generator(4), shape[-1]
        self.kernel = kernels.batch_norm(rectified)
        self.X = (mean + rng.standard_normal(shape)).astype(dtype)
        self.dY = rng.standard_normal(shape).astype(dtype)
        self.weights = rng.uniform(0.5, 2, shape[-2]) if weighted else None
        if weighted:
            self.weights[0] = 0  # its values do not count
        self.affine, self.means = (Affine(*rng.standard_normal((3, channels))) for _ in range(2))
        self.scratch, self.kept = GarbageMemory(dtype), KeptMemory(dtype)

    def run(self):
        """Return the results of all passes in their order."""
        total, mean, squares = self.kernel.statistics(self.X, self.weights, self.scratch, self.kept)
        X = self.X if self.kernel.reads_images else None
        outs = [garbage(self.X.shape, self.X.dtype) for _ in range(3)]
        dY = self.dY.copy()
        assert self.kernel.forward(X, self.affine, outs[0], self.kept) is outs[0]
        sums = self.kernel.backward_statistics(X, dY, self.affine, self.scratch, self.kept)
        arguments = self.affine, self.means, self.weights, outs[1], self.scratch, self.kept
        assert self.kernel.backward(X, dY, *arguments) is outs[1]
        assert self.kernel.predict(self.X, self.affine, outs[2]) is outs[2]
        return [total, mean, squares, outs[0], *sums, outs[1], outs[2]]

    def expected(self):
        """Return what the formulas give."""
        X, dY = self.X.astype(float), self.dY.astype(float)
        axes = tuple(range(X.ndim - 1))
        weights = np.broadcast_to(1.0 if self.weights is None else self.weights[:, np.newaxis], X.shape)
        mean = (weights * X).sum(axes) / weights.sum(axes)

        def apply(affine):
            return (X - affine.center) * affine.factor + affine.shift

        Y = apply(self.affine)
        if self.kernel.rectified:
            dY = np.where(Y > 0, dY, 0)
            Y = np.maximum(Y, 0)
        products = (dY * (X - self.affine.center)).sum(axes)
        dX = self.affine.factor * (dY - weights * apply(self.means))
        squares = (weights * (X - mean) ** 2).sum(axes)
        return [weights.sum() / X.shape[-1], mean, squares, Y, dY.sum(axes), products, dX, Y]


@each_backend
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_all_passes_follow_the_formulas(kernels, shape, rectified, weighted):
    problem = Problem(kernels, shape, rectified=rectified, weighted=weighted)
    for found, expected in zip(problem.run(), problem.expected(), strict=True):
        assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@each_backend
@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_float32_loses_no_digits_far_from_zero(kernels, mean):
    """Centers within some deviations of the mean, as the mean of a minibatch is for each of its parts."""
    problem = Problem(kernels, SHAPES[0], np.float32, mean=mean)
    centers = [affine._replace(center=affine.center + mean) for affine in (problem.affine, problem.means)]
    problem.affine, problem.means = centers
    for found, expected in zip(problem.run(), problem.expected(), strict=True):
        assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@each_backend
def test_missing_values_stay_missing(kernels):
    problem = Problem(kernels, SHAPES[0])
    problem.X[2, 1, 0, 0] = np.nan
    out = problem.kernel.predict(problem.X, problem.affine, np.empty_like(problem.X))
    assert np.isnan(out).sum() == np.isnan(out[2, 1, 0, 0]) == 1
