"""Tests of the reading of images: layouts, dtypes, memory and standardization."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from seeds import generator
from threadpoolctl import threadpool_limits

from skcnn.data.arrays import as_image_array
from skcnn.data.images import (
    ImageFormat,
    ImageSource,
    check_image_layout,
    resolve_image_shape,
    standardize,
)

HEIGHT, WIDTH, CHANNELS = 3, 4, 2


class Reader:
    """Stands for the estimator that messages name."""


def image_format(shape=(HEIGHT, WIDTH, CHANNELS), *, channels_first=False, dtype="float64", **scaling):
    return ImageFormat(shape, channels_first, np.dtype(dtype), **scaling)


def read(X, format, rows=slice(None), subset=None):
    """Read rows into memory that held something else before."""
    source = ImageSource(X, format, subset)
    n_rows = len(np.arange(len(source))[rows])
    height, width, channels = format.image_shape
    out = np.full((height, width, n_rows, channels), np.nan, format.dtype)
    assert source.read(rows, out) is out
    return out


def random_images(n_images=5, shape=(HEIGHT, WIDTH, CHANNELS), seed=0):
    """Return whole numbers from 0 to 255, exact in every dtype, of shape (n_images, h, w, c)."""
    return generator(seed).integers(0, 256, (n_images, *shape))


def naive_turn(images):
    """Return images of shape (n, h, w, c) as an array of shape (h, w, n, c), element by element."""
    n_images, height, width, channels = images.shape
    turned = np.empty((height, width, n_images, channels))
    for n, i, j, c in np.ndindex(images.shape):
        turned[i, j, n, c] = images[n, i, j, c]
    return turned


def layouts_of(images):
    """Return (name, X, channels_first) for every layout of images of shape (n, h, w, c)."""
    n_images = len(images)
    first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    layouts = [
        ("flat", images.reshape(n_images, -1), False),
        ("4-D", images, False),
        ("flat channels first", first.reshape(n_images, -1), True),
        ("4-D channels first", first, True),
    ]
    if images.shape[3] == 1:
        layouts += [("3-D", images[..., 0], False), ("3-D channels first", first[:, 0], True)]
    return layouts


@pytest.mark.parametrize("channels", [1, 3])
def test_every_layout_reads_to_the_same_array(channels):
    images = random_images(shape=(HEIGHT, WIDTH, channels))
    expected = naive_turn(images)
    for name, X, channels_first in layouts_of(images):
        format = image_format((HEIGHT, WIDTH, channels), channels_first=channels_first)
        np.testing.assert_array_equal(read(X, format), expected, err_msg=name)
        np.testing.assert_array_equal(read(X, format, slice(1, 4)), expected[:, :, 1:4], err_msg=name)


@pytest.mark.parametrize("rows", [slice(1, 3), slice(0, 0), np.array([4, 0, 0, 3])])
def test_rows_are_slices_or_indices_and_count_within_the_subset(rows):
    images = random_images()
    expected = naive_turn(images)
    np.testing.assert_array_equal(read(images, image_format(), rows), expected[:, :, rows])
    subset = np.array([4, 2, 3, 0, 1])
    np.testing.assert_array_equal(
        read(images, image_format(), rows, subset), expected[:, :, subset][:, :, rows]
    )


def test_the_length_of_a_source_is_that_of_its_subset():
    images = random_images()
    assert len(ImageSource(images, image_format())) == 5
    assert len(ImageSource(images, image_format(), np.array([1, 3]))) == 2


DTYPES = [
    "uint8",
    "int8",
    "uint16",
    "int64",
    "float16",
    "float32",
    "float64",
    ">f4",
    ">f8",
    ">i4",
    ">u2",
    "?",
]


@pytest.mark.parametrize("computed", ["float32", "float64"])
@pytest.mark.parametrize("stored", DTYPES)
def test_every_real_dtype_is_cast_exactly(stored, computed):
    images = random_images() // 2 if stored != "?" else random_images() % 2
    out = read(images.astype(stored), image_format(dtype=computed))
    assert out.dtype == np.dtype(computed)
    np.testing.assert_array_equal(out, naive_turn(images))


def memory_layouts(images, folder):
    """Return (name, X) for the same images in every kind of memory."""
    read_only = images.copy()
    read_only.flags.writeable = False
    mapped = np.lib.format.open_memmap(folder / "images.npy", "w+", images.dtype, images.shape)
    mapped[...] = images
    mapped.flush()
    wide = np.zeros((len(images), *(2 * size for size in images.shape[1:])), images.dtype)
    every_second = wide[:, ::2, ::2, ::2]
    every_second[...] = images
    return [
        ("C", images),
        ("F", np.asfortranarray(images)),
        ("negative strides", np.ascontiguousarray(images[::-1, ::-1, :, ::-1])[::-1, ::-1, :, ::-1]),
        ("every second element", every_second),
        ("read-only", read_only),
        ("memory map", np.load(folder / "images.npy", mmap_mode="r")),
        ("big-endian", images.astype(images.dtype.newbyteorder(">"))),
    ]


def test_memory_does_not_matter_and_is_left_as_it_is(tmp_path):
    images = generator(0).standard_normal((5, HEIGHT, WIDTH, CHANNELS))
    weights = generator(1).uniform(size=5)
    expected = scale = None
    for name, X in memory_layouts(images, tmp_path):
        before = X.copy()
        format = standardize(ImageSource(X, image_format()), weights)
        out = read(X, format)
        if expected is None:
            expected, scale = out, format
        np.testing.assert_array_equal(out, expected, err_msg=name)
        np.testing.assert_array_equal(format.mean, scale.mean, err_msg=name)
        np.testing.assert_array_equal(format.deviation, scale.deviation, err_msg=name)
        np.testing.assert_array_equal(X, before, err_msg=name)


@pytest.mark.parametrize("kind", ["flat", "4-D", "F", "negative strides"])
def test_reading_a_batch_of_a_large_memory_map_allocates_little(tmp_path, kind):
    """Nothing of the size of X is allocated, neither when the source is made nor when it is read."""
    shape = (4000, 16, 16, 3)
    mapped = np.lib.format.open_memmap(
        tmp_path / "images.npy", "w+", np.uint8, shape, fortran_order=kind == "F"
    )
    mapped[-20:] = 7
    mapped.flush()
    X = np.load(tmp_path / "images.npy", mmap_mode="r")
    X = {"flat": X.reshape(4000, -1), "negative strides": X[::-1]}.get(kind, X) if kind != "F" else X
    format = image_format(shape[1:], dtype="float32")
    out = np.empty((16, 16, 20, 3), np.float32)
    rows = slice(0, 20) if kind == "negative strides" else slice(3980, 4000)
    tracemalloc.start()
    checked = as_image_array(X, estimator=Reader())
    ImageSource(checked, format).read(rows, out)
    ImageSource(checked, format, np.arange(4000)).read(np.arange(4000)[rows], out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (out == 7).all()
    assert np.shares_memory(checked, X)
    assert peak < X.nbytes / 10


def test_standardizing_a_large_memory_map_allocates_chunks(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (4000, 16, 16, 3))
    mapped[::2] = 2
    source = ImageSource(mapped, image_format((16, 16, 3), dtype="float32"))
    tracemalloc.start()
    format = standardize(source, None, chunk_bytes=50_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(format.mean, 1)
    np.testing.assert_allclose(format.deviation, 1, rtol=1e-7)
    assert peak < mapped.nbytes / 4


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_standardized_equals_mean_and_deviation_of_each_channel(dtype, channels_first):
    images = generator(0).normal([3.0, -100.0], [0.1, 5.0], (50, 6, 7, 2)).astype(dtype)
    X = images.transpose(0, 3, 1, 2) if channels_first else images
    source = ImageSource(X, image_format((6, 7, 2), channels_first=channels_first, dtype=dtype))
    format = standardize(source, None)
    exact = images.astype(np.float64)
    # rounding of the result, and of sums of 2,100 float64 values
    rtol = np.finfo(dtype).eps + 2100 * 2**-53
    assert format.mean.dtype == format.deviation.dtype == np.dtype(dtype)
    np.testing.assert_allclose(format.mean, exact.mean(axis=(0, 1, 2)), rtol=rtol)
    np.testing.assert_allclose(format.deviation, exact.std(axis=(0, 1, 2)), rtol=rtol)
    assert replace(format, mean=None, deviation=None, moments=None) == source.format


def test_standardized_images_have_zero_mean_and_unit_deviation():
    images = generator(0).gamma(2.0, 30.0, (40, 5, 5, 3))
    format = standardize(ImageSource(images, image_format((5, 5, 3))), None)
    out = read(images, format)
    np.testing.assert_allclose(out.mean(axis=(0, 1, 2)), 0, atol=1e-13)
    np.testing.assert_allclose(out.std(axis=(0, 1, 2)), 1, rtol=1e-13)


def test_scaling_is_per_channel_by_hand():
    scaling = {"mean": np.array([1.0, 10.0]), "deviation": np.array([2.0, 5.0])}
    X = np.array([[[[3.0, 0.0]]], [[[1.0, 20.0]]]])
    out = read(X, image_format((1, 1, 2), **scaling))
    np.testing.assert_array_equal(out[0, 0], [[1.0, -2.0], [0.0, 2.0]])


def test_a_weight_equals_repetition_in_standardization():
    images = generator(0).gamma(2.0, 30.0, (12, 5, 4, 3))
    repeats = generator(1).integers(0, 4, 12)
    kept = np.flatnonzero(repeats)
    source = ImageSource(images, image_format((5, 4, 3)), kept)
    weighted = standardize(source, repeats[kept].astype(float))
    repeated = np.repeat(images, repeats, axis=0)
    np.testing.assert_allclose(weighted.mean, repeated.mean(axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(weighted.deviation, repeated.std(axis=(0, 1, 2)), rtol=1e-13)


@pytest.mark.parametrize("factor", [1e-300, 1e-6, 3.0, 1e9, 4e307])
def test_the_scale_of_weights_does_not_matter_in_standardization(factor):
    images = generator(0).gamma(2.0, 30.0, (12, 5, 4, 3))
    weights = generator(1).uniform(0.5, 2, 12)
    source = ImageSource(images, image_format((5, 4, 3)))
    once, scaled = standardize(source, weights), standardize(source, factor * weights)
    np.testing.assert_allclose(scaled.mean, once.mean, rtol=1e-13)
    np.testing.assert_allclose(scaled.deviation, once.deviation, rtol=1e-13)


def test_a_chunk_whose_weights_are_nothing_beside_the_others_is_left_out():
    images = generator(0).gamma(2.0, 30.0, (6, 5, 4, 3))
    weights = np.array([1e-300, 1e-300, 1e308, 1e308, 1e-300, 1e-300])
    source, chunk_bytes = ImageSource(images, image_format((5, 4, 3))), 2 * images[0].nbytes
    format = standardize(source, weights, chunk_bytes=chunk_bytes)
    np.testing.assert_allclose(format.mean, images[2:4].mean(axis=(0, 1, 2)), rtol=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("images_in_chunk", [1, 3, 7, 13])
def test_several_chunks_equal_one_chunk(images_in_chunk, weighted):
    images = generator(0).normal(1000.0, 1.0, (13, 5, 4, 3))
    weights = generator(1).uniform(size=13) if weighted else None
    source, chunk_bytes = ImageSource(images, image_format((5, 4, 3))), images[0].nbytes * images_in_chunk
    format = standardize(source, weights, chunk_bytes=chunk_bytes)
    pixel_weights = np.repeat(np.ones(13) if weights is None else weights, 20)
    pixels = images.reshape(-1, 3)
    mean = np.average(pixels, axis=0, weights=pixel_weights)
    variance = np.average((pixels - mean) ** 2, axis=0, weights=pixel_weights)
    np.testing.assert_allclose(format.mean, mean, rtol=1e-14)
    np.testing.assert_allclose(format.deviation, np.sqrt(variance), rtol=1e-11)


def test_a_chunk_is_at_least_one_image():
    images = random_images().astype(float)
    format = standardize(ImageSource(images, image_format()), None, chunk_bytes=1)
    np.testing.assert_allclose(format.mean, images.mean(axis=(0, 1, 2)), rtol=1e-14)


def test_few_bits_of_a_large_offset_are_no_trap_for_float32():
    """The deviation of 2 ** 20 + {0, 1} is one half: sums of squares in float32 would give rubbish."""
    images = (2.0**20 + np.arange(200_000) % 2).astype(np.float32).reshape(-1, 10, 10, 1)
    format = standardize(ImageSource(images, image_format((10, 10, 1), dtype="float32")), None)
    assert format.deviation[0] == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7e10])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_constant_channel_becomes_zero_and_is_not_divided(constant, dtype):
    images = generator(0).standard_normal((30, 5, 4, 2)).astype(dtype)
    images[..., 1] = constant
    for given in (None, *generator(1).uniform(size=(20, 30))):  # some weights round the mean, some do not
        format = standardize(ImageSource(images, image_format((5, 4, 2), dtype=dtype)), given)
        assert format.deviation[1] == 1
        assert format.deviation[0] == pytest.approx(1, abs=0.2)
        scale = max(abs(constant), 1.0)
        np.testing.assert_allclose(read(images, format)[..., 1], 0, atol=np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("n_images", [1, 7, 16_001])
def test_the_statistics_do_not_depend_on_the_threads_of_the_blas(n_images):
    """Same call, same bits: whatever limit is in force when fit begins."""
    images = generator(0).standard_normal((n_images, 64))
    weights = generator(1).uniform(size=n_images)
    results = []
    for n_threads in (1, 2, 4):
        with threadpool_limits(n_threads, user_api="blas"):
            format = standardize(ImageSource(images, image_format((8, 8, 1))), weights)
        results.append((format.mean.tolist(), format.deviation.tolist()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f8"])
def test_nan_and_infinity_are_refused(dtype, value):
    X = np.ones((3, HEIGHT, WIDTH, CHANNELS), dtype)
    X[1, 2, 3, 1] = value
    with pytest.raises(ValueError, match="X contains NaN, infinity or a value that is not finite in float64"):
        read(X, image_format())


@pytest.mark.parametrize("values", [(1e300,), (-1e300,), (1e300, -1e300)])
def test_values_that_are_not_finite_in_float32_are_refused(values):
    """Also where the sum of the cast values is no number."""
    X = np.zeros((2, HEIGHT * WIDTH * CHANNELS))
    X[1, : len(values)] = values
    with pytest.raises(ValueError, match="float32, the compute dtype"):
        read(X, image_format(dtype="float32"))
    with pytest.raises(ValueError, match="squares are not finite in float64"):
        standardize(ImageSource(X, image_format(dtype="float32")), None)
    assert np.isfinite(read(X, image_format(dtype="float64"))).all()


def test_values_that_are_not_finite_in_float32_may_be_so_when_they_are_scaled():
    images = generator(0).normal(1e60, 1e50, (20, HEIGHT, WIDTH, CHANNELS))
    format = standardize(ImageSource(images, image_format(dtype="float32")), None)
    np.testing.assert_allclose(read(images, format).std(axis=(0, 1, 2)), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="float32, the compute dtype"):
        read(images * 1e50, format)


WIDE = [
    ("int32", 2e9),
    ("uint32", 4e9),
    ("int64", -1e15),
    ("uint64", 1e15),
    ("float64", 1e12),
    (">f8", 3e8),
    ("longdouble", 1e9),
]


@pytest.mark.parametrize(("stored", "pedestal"), WIDE)
def test_images_wider_than_the_compute_dtype_keep_their_digits(stored, pedestal):
    images = random_images(20)
    wide = (images + np.array(pedestal).astype(np.int64)).astype(stored)
    format = standardize(ImageSource(wide, image_format(dtype="float32")), None)
    deviations = images - images.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(format.deviation, images.std(axis=(0, 1, 2)), rtol=1e-6)
    out = read(wide, format)
    assert out.dtype == np.float32
    expected = naive_turn(deviations / deviations.std(axis=(0, 1, 2)))
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("stored", ["bool", "uint8", "int16", "uint16", "float16", "float32", ">f4"])
def test_images_that_the_compute_dtype_holds_are_scaled_in_it(stored):
    images = random_images(20) % 2 if stored == "bool" else random_images(20)
    format = standardize(ImageSource(images.astype(stored), image_format(dtype="float32")), None)
    assert format.mean.dtype == format.deviation.dtype == np.float32
    expected = (naive_turn(images).astype(np.float32) - format.mean) / format.deviation
    np.testing.assert_array_equal(read(images.astype(stored), format), expected)


@pytest.mark.parametrize("fitted", ["float32", "int32", "float64"])
@pytest.mark.parametrize("stored", ["uint8", "int64", "float64"])
def test_images_of_other_dtypes_than_those_fitted_are_read_alike(fitted, stored):
    images = random_images(20)
    format = standardize(ImageSource(images.astype(fitted), image_format(dtype="float32")), None)
    expected = read(images.astype(fitted), format)
    np.testing.assert_array_equal(read(images.astype(stored), format), expected)


def test_reading_wide_images_allocates_chunks(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.int64, (2000, 16, 16, 1))
    mapped[...] = 10**9 + np.arange(16)[:, np.newaxis]
    source = ImageSource(mapped, image_format((16, 16, 1), dtype="float32"))
    out = np.empty((16, 16, 20, 1), np.float32)
    tracemalloc.start()
    format = standardize(source, None, chunk_bytes=50_000)
    ImageSource(mapped, format).read(slice(0, 20), out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(out[0, :, 0, 0] * format.deviation, np.arange(16) - 7.5, rtol=1e-6)
    assert peak < mapped.nbytes / 10


@pytest.mark.parametrize("values", [1e200, [1e200, 0.0]], ids=["constant", "varying"])
def test_values_that_are_too_large_to_be_squared_are_not_standardized(values):
    X = np.broadcast_to(values, (4, 2))
    with pytest.raises(ValueError, match="squares are not finite in float64"):
        standardize(ImageSource(X, image_format((1, 2, 1))), None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_finite_values_whose_sum_overflows_are_read(dtype):
    largest = np.finfo(dtype).max
    X = np.full((2, HEIGHT * WIDTH * CHANNELS), largest, dtype)
    assert (read(X, image_format(dtype=dtype)) == largest).all()


@pytest.mark.parametrize(
    ("shape", "image_shape", "channels_first", "expected"),
    [
        ((9, 784), None, False, (28, 28, 1)),
        ((9, 784), None, True, (28, 28, 1)),
        ((9, 3072), None, False, (1, 3072, 1)),
        ((9, 3072), None, True, (1, 3072, 1)),
        ((9, 10), None, False, (1, 10, 1)),
        ((9, 10), None, True, (1, 10, 1)),
        ((9, 1), None, False, (1, 1, 1)),
        ((9, 12), None, False, (1, 12, 1)),
        ((9, 36), None, False, (6, 6, 1)),
        ((9, 5, 7), None, False, (5, 7, 1)),
        ((9, 5, 7), None, True, (5, 7, 1)),
        ((9, 5, 7, 2), None, False, (5, 7, 2)),
        ((9, 2, 5, 7), None, True, (5, 7, 2)),
        ((9, 70), (5, 7, 2), False, (5, 7, 2)),
        ((9, 70), (2, 5, 7), True, (5, 7, 2)),
        ((9, 35), (5, 7), False, (5, 7, 1)),
        ((9, 35), (5, 7), True, (5, 7, 1)),
        ((9, 5, 7), (5, 7), True, (5, 7, 1)),
        ((9, 5, 7), (5, 7, 1), False, (5, 7, 1)),
        ((9, 5, 7, 1), (5, 7), False, (5, 7, 1)),
        ((9, 1, 5, 7), (5, 7), True, (5, 7, 1)),
        ((9, 5, 7, 2), [5, 7, 2], False, (5, 7, 2)),
        ((9, 70), tuple(np.array([5, 7, 2])), False, (5, 7, 2)),
    ],
)
def test_image_shapes_are_inferred_and_resolved(shape, image_shape, channels_first, expected):
    assert resolve_image_shape(shape, image_shape, channels_first=channels_first) == expected


@pytest.mark.parametrize(
    "image_shape", [(), (5,), (5, 7, 2, 1), (5, 7, 0), (-5, 7), (5.0, 7), ("5", "7"), "57", (True, 70)]
)
def test_an_image_shape_that_is_none_is_refused(image_shape):
    with pytest.raises(ValueError, match="image_shape must be None or two or three positive integers"):
        resolve_image_shape((9, 70), image_shape, channels_first=False)


@pytest.mark.parametrize(
    ("shape", "image_shape", "channels_first"),
    [
        ((9, 71), (5, 7, 2), False),
        ((9, 7, 5, 2), (5, 7, 2), False),
        ((9, 5, 7, 2), (2, 5, 7), True),
        ((9, 5, 14), (5, 7, 2), False),
        ((9, 7, 5), (5, 7), False),
    ],
)
def test_an_image_shape_that_does_not_fit_is_refused_with_what_would(shape, image_shape, channels_first):
    with pytest.raises(ValueError) as caught:
        resolve_image_shape(shape, image_shape, channels_first=channels_first)
    message = str(caught.value)
    assert f"X of shape {shape}" in message
    assert f"image_shape={image_shape}" in message
    assert str(image_shape if len(image_shape) == 3 else (*image_shape, 1)) in message


@pytest.mark.parametrize("channels_first", [False, True])
def test_every_layout_passes_the_check(channels_first):
    images = random_images(shape=(5, 7, 1))
    format = image_format((5, 7, 1), channels_first=channels_first)
    for _, X, first in layouts_of(images):
        if first == channels_first:
            check_image_layout(X.shape, format, estimator=Reader())


def test_a_wrong_number_of_features_is_refused_as_scikit_learn_words_it():
    with pytest.raises(ValueError, match="X has 23 features, but Reader is expecting 24 features as input"):
        check_image_layout((9, 23), image_format(), estimator=Reader())


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH, CHANNELS), (HEIGHT * WIDTH * CHANNELS,)])
def test_a_single_image_gets_a_hint(shape):
    with pytest.raises(ValueError, match=r"add the batch axis: X\[np.newaxis\]"):
        check_image_layout(shape, image_format(), estimator=Reader())


def test_other_wrong_shapes_get_no_such_hint():
    with pytest.raises(ValueError) as caught:
        check_image_layout((9, HEIGHT, WIDTH, 1), image_format(), estimator=Reader())
    assert "batch axis" not in str(caught.value)


def test_a_wrong_layout_of_the_right_size_is_refused_with_the_right_ones():
    with pytest.raises(ValueError) as caught:
        check_image_layout((9, CHANNELS, HEIGHT, WIDTH), image_format(), estimator=Reader())
    message = str(caught.value)
    assert "right number of features but the wrong layout" in message
    assert "Reader" in message
    assert str((HEIGHT, WIDTH, CHANNELS)) in message


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_images_are_passed_on_as_they_are(dtype):
    X = np.asfortranarray(np.ones((4, 3, 2, 2), dtype))
    checked = as_image_array(X, estimator=Reader())
    assert np.shares_memory(checked, X)
    assert checked.dtype == X.dtype
    assert checked.strides == X.strides


@pytest.mark.parametrize("X", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], dtype=object)])
def test_lists_and_objects_become_numbers(X):
    checked = as_image_array(X, estimator=Reader())
    assert checked.dtype.kind in "if"
    np.testing.assert_array_equal(checked, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(4), "Expected images with a batch axis, got 1D array instead"),
        (np.ones((1, 2, 2, 1, 1)), "array of 5 axes"),
        (np.ones((4, 0)), r"0 feature\(s\)"),
        (np.ones((0, 4)), "minimum of 1 is required"),
        (np.ones((2, 2), complex), "(?i)complex"),
        (np.array([["a", "b"]]), "(?i)numeric"),
        ([[1, 2], [3]], "X is ragged"),
        (np.array([[np.nan, 1]]), "X contains NaN"),
        (np.array([[np.inf, 1]]), "infinity"),
        (np.array([["2020-01-01"]], dtype="datetime64[D]"), "(?i)datetime|real numbers"),
    ],
)
def test_what_is_no_array_of_images_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        as_image_array(X, estimator=Reader())


def test_sparse_matrices_are_refused():
    with pytest.raises(TypeError, match="(?i)sparse"):
        as_image_array(sparse.csr_matrix(np.eye(3)), estimator=Reader())
