"""Tests of the reading of images: layouts, dtypes, memory and standardization."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from seeds import generator
from threadpoolctl import threadpool_limits

from skcnn.data.arrays import as_image_array
from skcnn.data.images import ImageFormat, ImageSource, check_image_layout, resolve_image_shape, standardize

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
        assert_array_equal(read(X, format), expected, err_msg=name)
        assert_array_equal(read(X, format, slice(1, 4)), expected[:, :, 1:4], err_msg=name)


@pytest.mark.parametrize("rows", [slice(1, 3), slice(0, 0), np.array([2, 0, 0, 1])])
def test_rows_are_slices_or_indices_and_count_within_the_subset(rows):
    images, subset = random_images(), np.array([4, 2, 3])
    expected = naive_turn(images)
    assert_array_equal(read(images, image_format(), rows), expected[:, :, rows])
    within = read(images, image_format(), rows, subset)
    assert_array_equal(within, expected[:, :, subset][:, :, rows])


DTYPES = "uint8 int8 uint16 int64 float16 float32 float64 >f4 >f8 >i4 >u2 ?".split()


@pytest.mark.parametrize("stored", DTYPES)
def test_every_real_dtype_is_cast_exactly(stored):
    images = random_images() // 2 if stored != "?" else random_images() % 2
    for computed in ("float32", "float64"):
        assert_array_equal(read(images.astype(stored), image_format(dtype=computed)), naive_turn(images))


def memory_layouts(images, folder):
    """Return the same images in every kind of memory."""
    np.save(folder / "images.npy", images)
    every_second = np.zeros([2 * size for size in images.shape])[::2, ::2, ::2, ::2]
    every_second[...] = images
    return {
        "F": np.asfortranarray(images),
        "negative strides": np.ascontiguousarray(images[::-1, ::-1, :, ::-1])[::-1, ::-1, :, ::-1],
        "every second element": every_second,
        "read-only memory map": np.load(folder / "images.npy", mmap_mode="r"),
        "big-endian": images.astype(images.dtype.newbyteorder(">")),
    }


def test_memory_does_not_matter_and_is_left_as_it_is(tmp_path):
    images = generator(0).standard_normal((5, HEIGHT, WIDTH, CHANNELS))
    weights = generator(1).uniform(size=5)
    expected = standardize(ImageSource(images, image_format()), weights)
    for name, X in memory_layouts(images, tmp_path).items():
        before = X.copy()
        format = standardize(ImageSource(X, image_format()), weights)
        assert_array_equal(read(X, format), read(images, expected), err_msg=name)
        assert_array_equal(format.mean, expected.mean, err_msg=name)
        assert_array_equal(format.deviation, expected.deviation, err_msg=name)
        assert_array_equal(X, before, err_msg=name)


def map_images(folder, shape, dtype, **options):
    return np.lib.format.open_memmap(folder / "images.npy", "w+", dtype, shape, **options)


def peak_memory(function):
    """Return the largest memory that a call took."""
    tracemalloc.start()
    function()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("kind", ["flat", "F", "negative strides"])
def test_reading_a_batch_of_a_large_memory_map_allocates_little(tmp_path, kind):
    """Nothing of the size of X is allocated, neither when the source is made nor when it is read."""
    mapped = map_images(tmp_path, (4000, 16, 16, 3), np.uint8, fortran_order=kind == "F")
    mapped[-20:] = 7
    X = {"flat": mapped.reshape(4000, -1), "negative strides": mapped[::-1]}.get(kind, mapped)
    out = np.empty((16, 16, 20, 3), np.float32)
    rows = slice(0, 20) if kind == "negative strides" else slice(3980, 4000)

    def read_twice():
        checked = as_image_array(X, estimator=Reader())
        assert np.shares_memory(checked, X)
        format = image_format((16, 16, 3), dtype="float32")
        ImageSource(checked, format).read(rows, out)
        ImageSource(checked, format, np.arange(4000)).read(np.arange(4000)[rows], out)

    assert peak_memory(read_twice) < X.nbytes / 10
    assert (out == 7).all()


@pytest.mark.parametrize(("dtype", "channels_first"), [("float32", True), ("float64", False)])
def test_standardized_equals_mean_and_deviation_of_each_channel(dtype, channels_first):
    images = generator(0).normal([3.0, -100.0], [0.1, 5.0], (50, 6, 7, 2)).astype(dtype)
    X = images.transpose(0, 3, 1, 2) if channels_first else images
    source = ImageSource(X, image_format((6, 7, 2), channels_first=channels_first, dtype=dtype))
    format = standardize(source, None)
    exact = images.astype(np.float64)
    # rounding of the result, and of sums of 2,100 float64 values
    rtol = np.finfo(dtype).eps + 2100 * 2**-53
    assert format.mean.dtype == format.deviation.dtype == np.dtype(dtype)
    assert_allclose(format.mean, exact.mean(axis=(0, 1, 2)), rtol=rtol)
    assert_allclose(format.deviation, exact.std(axis=(0, 1, 2)), rtol=rtol)
    assert replace(format, mean=None, deviation=None, moments=None) == source.format


@pytest.mark.parametrize(
    ("images_in_chunk", "weight_scale"), [(0, 1.0), (3, None), (3, 1e-300), (7, 4e307), (11, 1.0)]
)
def test_moments_are_weighted_whatever_the_chunks_and_the_scale_of_weights(images_in_chunk, weight_scale):
    """A chunk has at least one image."""
    images, subset = generator(0).normal(1000.0, 1.0, (13, 5, 4, 3)), generator(1).permutation(13)[:11]
    weights = np.ones(11) if weight_scale is None else generator(2).uniform(0, 2, 11)
    format = standardize(
        ImageSource(images, image_format((5, 4, 3)), subset),
        None if weight_scale is None else weight_scale * weights,
        chunk_bytes=images[0].nbytes * images_in_chunk,
    )
    pixels, pixel_weights = images[subset].reshape(-1, 3), np.repeat(weights, 20)
    mean = np.average(pixels, axis=0, weights=pixel_weights)
    variance = np.average((pixels - mean) ** 2, axis=0, weights=pixel_weights)
    assert_allclose(format.mean, mean, rtol=1e-14)
    assert_allclose(format.deviation, np.sqrt(variance), rtol=1e-11)


def test_a_chunk_whose_weights_are_nothing_beside_the_others_is_left_out():
    images = generator(0).gamma(2.0, 30.0, (6, 5, 4, 3))
    weights = np.array([1e-300, 1e-300, 1e308, 1e308, 1e-300, 1e-300])
    source, chunk_bytes = ImageSource(images, image_format((5, 4, 3))), 2 * images[0].nbytes
    format = standardize(source, weights, chunk_bytes=chunk_bytes)
    assert_allclose(format.mean, images[2:4].mean(axis=(0, 1, 2)), rtol=1e-13)


@pytest.mark.parametrize(
    ("constant", "dtype"), [(0.0, "float32"), (0.1, "float64"), (-7e10, "float32"), (-7e10, "float64")]
)
def test_a_constant_channel_becomes_zero_and_is_not_divided(constant, dtype):
    images = generator(0).standard_normal((30, 5, 4, 2)).astype(dtype)
    images[..., 1] = constant
    for given in (None, *generator(1).uniform(size=(20, 30))):  # some weights round the mean, some do not
        format = standardize(ImageSource(images, image_format((5, 4, 2), dtype=dtype)), given)
        assert format.deviation[1] == 1
        assert format.deviation[0] == pytest.approx(1, abs=0.2)
        scale = max(abs(constant), 1.0)
        assert_allclose(read(images, format)[..., 1], 0, atol=np.finfo(dtype).eps * scale)


@pytest.mark.parametrize("n_images", [7, 16_001])
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


@pytest.mark.parametrize(
    ("dtype", "value"), [("float16", np.nan), ("float32", np.inf), ("float64", -np.inf), (">f8", np.nan)]
)
def test_nan_and_infinity_are_refused(dtype, value):
    X = np.ones((3, HEIGHT, WIDTH, CHANNELS), dtype)
    X[1, 2, 3, 1] = value
    with pytest.raises(ValueError, match="X contains NaN, infinity .*float64"):
        read(X, image_format())


@pytest.mark.parametrize("values", [(1e300,), (1e300, -1e300)])
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
    assert_allclose(read(images, format).std(axis=(0, 1, 2)), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="float32, the compute dtype"):
        read(images * 1e50, format)


WIDE = {"int32": 2e9, "uint32": 4e9, "int64": -1e15, "uint64": 1e15, ">f8": 3e8, "longdouble": 1e9}


@pytest.mark.parametrize(("stored", "pedestal"), WIDE.items())
def test_images_wider_than_the_compute_dtype_keep_their_digits(stored, pedestal):
    images = random_images(20)
    wide = (images + np.array(pedestal).astype(np.int64)).astype(stored)
    format = standardize(ImageSource(wide, image_format(dtype="float32")), None)
    deviations = images - images.mean(axis=(0, 1, 2))
    assert_allclose(format.deviation, images.std(axis=(0, 1, 2)), rtol=1e-6)
    out = read(wide, format)
    assert out.dtype == np.float32
    expected = naive_turn(deviations / deviations.std(axis=(0, 1, 2)))
    assert_allclose(out, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("stored", ["bool", "int16", "uint16", "float16", ">f4"])
def test_images_that_the_compute_dtype_holds_are_scaled_in_it(stored):
    images = random_images(20) % 2 if stored == "bool" else random_images(20)
    format = standardize(ImageSource(images.astype(stored), image_format(dtype="float32")), None)
    assert format.mean.dtype == format.deviation.dtype == np.float32
    expected = (naive_turn(images).astype(np.float32) - format.mean) / format.deviation
    assert_array_equal(read(images.astype(stored), format), expected)


@pytest.mark.parametrize(
    ("fitted", "stored"),
    [("float32", "uint8"), ("float32", "float64"), ("int32", "uint8"), ("float64", "int64")],
)
def test_images_of_other_dtypes_than_those_fitted_are_read_alike(fitted, stored):
    images = random_images(20)
    format = standardize(ImageSource(images.astype(fitted), image_format(dtype="float32")), None)
    expected = read(images.astype(fitted), format)
    assert_array_equal(read(images.astype(stored), format), expected)


def test_reading_wide_images_allocates_chunks(tmp_path):
    mapped = map_images(tmp_path, (2000, 16, 16, 1), np.int64)
    mapped[...] = 10**9 + np.arange(16)[:, np.newaxis]
    out = np.empty((16, 16, 20, 1), np.float32)

    def standardize_and_read():
        source = ImageSource(mapped, image_format((16, 16, 1), dtype="float32"))
        format = standardize(source, None, chunk_bytes=50_000)
        ImageSource(mapped, format).read(slice(0, 20), out)
        assert_allclose(out[0, :, 0, 0] * format.deviation, np.arange(16) - 7.5, rtol=1e-6)

    assert peak_memory(standardize_and_read) < mapped.nbytes / 10


def test_values_that_are_too_large_to_be_squared_are_not_standardized_even_if_all_are_the_same():
    with pytest.raises(ValueError, match="squares are not finite in float64"):
        standardize(ImageSource(np.full((4, 2), 1e200), image_format((1, 2, 1))), None)


def test_large_finite_values_whose_sum_overflows_are_read():
    largest = np.finfo("float32").max
    X = np.full((2, HEIGHT * WIDTH * CHANNELS), largest, "float32")
    assert (read(X, image_format(dtype="float32")) == largest).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_every_layout_fits_its_shape(channels):
    """Which is inferred but from flat images, and needs no single channel."""
    shape = (5, 7, channels)
    for _, X, channels_first in layouts_of(random_images(shape=shape)):
        format = image_format(shape, channels_first=channels_first)
        check_image_layout(X.shape, format, estimator=Reader())
        given = [format.stored_shape] + [(5, 7)] * (channels == 1) + [None] * (X.ndim > 2)
        for image_shape in given:
            assert resolve_image_shape(X.shape, image_shape, channels_first=channels_first) == shape


@pytest.mark.parametrize(
    ("n_features", "image_shape", "expected"),
    [
        (784, None, (28, 28, 1)),
        (12, None, (1, 12, 1)),
        (75, [5, 5, 3], (5, 5, 3)),
        (75, tuple(np.array([5, 5, 3])), (5, 5, 3)),
    ],
)
def test_shapes_of_flat_images(n_features, image_shape, expected):
    assert resolve_image_shape((9, n_features), image_shape, channels_first=False) == expected
    if image_shape is None:
        assert resolve_image_shape((9, n_features), None, channels_first=True) == expected
