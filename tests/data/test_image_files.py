"""Tests of images in files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from seeds import generator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from small_classifiers import make_classifier

from skcnn import ImageFiles, images_from_folder

Image = package("PIL.Image")

GREY = generator(1).integers(0, 255, (8, 6), dtype=np.uint8)
COLORS = generator(2).integers(0, 255, (8, 6, 3), dtype=np.uint8)


def write(path, pixels, **options):
    """Write pixels to a file, and return its path."""
    Image.fromarray(pixels).save(path, **options)
    return path


def read(path, shape=(8, 6), **options):
    """Return the only image of a view."""
    (image,) = np.asarray(ImageFiles([path], shape, **options))
    return image


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp"])
def test_pixels_are_those_of_the_file(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    path = write(tmp_path / f"image.{ending}", COLORS, **options)
    assert_array_equal(read(path, (8, 6, 3)), COLORS)
    luminance = COLORS @ [0.299, 0.587, 0.114]
    assert_allclose(read(path), luminance, atol=1)
    assert_array_equal(read(path, (8, 6, 1))[:, :, 0], read(path))
    assert_array_equal(read(path, (8, 6, 4))[:, :, 3], np.full((8, 6), 255))


def test_grey_becomes_colours(tmp_path):
    path = write(tmp_path / "image.png", GREY)
    assert_array_equal(read(path), GREY)
    assert_array_equal(read(path, (8, 6, 3)), np.repeat(GREY[:, :, np.newaxis], 3, axis=2))


def test_images_are_turned_as_exif_says(tmp_path):
    """Orientation 6: the camera was turned to the left, so the image is to be turned to the right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path / "image.png", GREY, exif=exif)
    assert_array_equal(read(path, (6, 8)), np.rot90(GREY, -1))


def test_transparent_images_lie_on_the_background(tmp_path):
    opacity = generator(3).integers(0, 255, (8, 6, 1), dtype=np.uint8)
    path = write(tmp_path / "image.png", np.concatenate([COLORS, opacity], axis=2))
    share = opacity / 255
    assert_allclose(read(path, (8, 6, 3)), share * COLORS + (1 - share) * 255, atol=1)
    background = (10, 200, 30)
    on_color = read(path, (8, 6, 3), background=background)
    assert_allclose(on_color, share * COLORS + (1 - share) * background, atol=1)
    assert_array_equal(read(path, (8, 6, 4)), np.concatenate([COLORS, opacity], axis=2))


def test_palettes_with_a_transparent_colour_count_as_transparent(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    image.putpalette([0, 0, 0, 50, 60, 70])
    image.save(tmp_path / "image.png", transparency=0)
    assert_array_equal(read(tmp_path / "image.png", (1, 2, 3)), [[[255, 255, 255], [50, 60, 70]]])


def test_sixteen_bits_are_kept(tmp_path):
    deep = generator(4).integers(0, 2**16, (8, 6), dtype=np.uint16)
    paths = [write(tmp_path / "deep.png", deep), write(tmp_path / "flat.png", GREY)]
    images = ImageFiles(paths, (8, 6))
    assert images.dtype == np.uint16
    assert_array_equal(images, [deep, 257 * GREY.astype(np.uint16)])
    with pytest.raises(ValueError, match=r"deep\.png.*dtype='uint16'"):
        np.asarray(ImageFiles(paths[::-1], (8, 6)))
    colors = read(paths[0], (8, 6, 4))
    assert_array_equal(colors[:, :, 1], deep)
    assert_array_equal(colors[:, :, 3], np.full((8, 6), 2**16 - 1))
    enlarged = read(paths[0], (16, 12)).astype(float)
    assert_allclose(enlarged.mean(), deep.mean(), rtol=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_sizes_are_covered_contained_or_stretched(tmp_path, dtype):
    """An image with three bands side by side: what is seen of each tells how it was scaled."""
    white = np.iinfo(dtype).max
    bands = np.repeat(np.array([0, white // 2, 0], dtype), 8)[np.newaxis].repeat(8, axis=0)
    path = write(tmp_path / "image.png", bands)
    covered = read(path, (4, 4))
    assert_array_equal(covered[:, 1:3], np.full((4, 2), white // 2))  # the middle
    assert (covered > white // 3).all()
    contained = read(path, (12, 12), resize="contain")
    assert_array_equal(contained[:4], np.full((4, 12), white))
    assert_array_equal(contained[-4:], np.full((4, 12), white))
    assert_array_equal(contained[4:8, [0, 5, 11]], np.tile(np.array([0, white // 2, 0], dtype), (4, 1)))
    stretched = read(path, (3, 3), resize="stretch")
    assert (stretched[:, 1] > 2 * stretched[:, 0]).all()
    assert_array_equal(stretched[:, 0], stretched[:, 2])
    with pytest.raises(ValueError, match=r"image\.png.*\(8, 24\).*\(4, 4\)"):
        read(path, (4, 4), resize=None)


def test_large_jpeg_files_are_close_to_what_decoding_all_of_them_gives(tmp_path):
    pixels = np.linspace(0, 255, 256).astype(np.uint8)[np.newaxis].repeat(256, axis=0)
    path = write(tmp_path / "image.jpg", pixels, quality=95)
    expected = np.asarray(Image.open(path).resize((16, 16), Image.Resampling.BILINEAR))
    assert_allclose(read(path, (16, 16)).astype(int), expected, atol=2)


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "cut off"])
def test_files_that_are_no_images_are_named(tmp_path, content):
    path = tmp_path / "broken.png"
    write(path, generator(5).integers(0, 255, (64, 64), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    good = write(tmp_path / "good.png", GREY)
    images = ImageFiles([good, path], (8, 6))
    with pytest.raises(ValueError, match=r"broken\.png"):
        np.asarray(images)
    for options in ({}, {"cache": tmp_path / "cache", "dtype": "uint8"}):
        with pytest.raises(ValueError, match=r"missing\.png"):
            read(tmp_path / "missing.png", **options)
    with pytest.raises(ValueError, match=r"broken\.png"):
        ImageFiles([good, path], (8, 6), cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_function_of_ones_own_reads_other_formats(tmp_path):
    volume = generator(6).standard_normal((8, 6, 5)).astype(np.float32)
    np.save(tmp_path / "volume.npy", volume)
    assert_array_equal(read(tmp_path / "volume.npy", volume.shape, read=np.load), volume)
    for shape, dtype in [((8, 6), "auto"), (volume.shape, "uint8")]:
        with pytest.raises(ValueError, match=r"volume\.npy"):
            read(tmp_path / "volume.npy", shape, dtype=dtype, read=np.load)


@pytest.mark.parametrize(
    "result", [np.zeros((8, 6), complex), np.full((8, 6), "text")], ids=["complex", "text"]
)
def test_a_function_of_ones_own_must_return_real_numbers(tmp_path, result):
    with pytest.raises(ValueError, match=f"dtype.*{result.dtype}"):
        ImageFiles([tmp_path / "image"], (8, 6), read=lambda path: result)


def test_errors_of_a_function_of_ones_own_name_the_file(tmp_path):
    def fail(path):
        raise KeyError("PixelData")

    with pytest.raises(ValueError, match=r"scan\.dcm.*PixelData"):
        ImageFiles([tmp_path / "scan.dcm"], (8, 6), read=fail)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("paths", []),
        ("paths", "image.png"),
        ("paths", [3.5]),
        ("shape", 8),
        ("shape", (8,)),
        ("shape", (8, 0)),
        ("shape", (8, 6, 2)),
        ("shape", (8, 6.5)),
        ("resize", "fill"),
        ("background", 255),
        ("background", (0, 0, 256)),
        ("dtype", "float32"),
        ("dtype", "bytes of any kind"),
    ],
)
def test_bad_parameters_are_named(tmp_path, parameter, value):
    arguments = {"paths": [write(tmp_path / "image.png", GREY)], "shape": (8, 6), parameter: value}
    with pytest.raises(ValueError, match=parameter):
        ImageFiles(**arguments)


def test_a_cache_is_read_until_a_file_or_a_parameter_changes(tmp_path):
    paths = [write(tmp_path / f"{number}.png", GREY + np.uint8(number)) for number in range(3)]
    cache = tmp_path / "cache"

    def cached(**options):
        return ImageFiles(paths, (8, 6), cache=cache, **options)

    images = cached()
    assert_array_equal(images, ImageFiles(paths, (8, 6)))
    (file,) = cache.iterdir()
    paths[0].rename(tmp_path / "away.png")
    assert_array_equal(images[::-1], [GREY + np.uint8(number) for number in (2, 1, 0)])
    assert_array_equal(pickle.loads(pickle.dumps(images[1:]))[0], GREY + np.uint8(1))
    (tmp_path / "away.png").rename(paths[0])
    assert_array_equal(cached(), images)
    assert list(cache.iterdir()) == [file]
    cached(resize="contain")
    write(paths[1], 255 - GREY)
    assert_array_equal(cached()[1], 255 - GREY)
    assert len(list(cache.iterdir())) == 3


def folder_of_classes(folder):
    """Write six images of each of two classes, light and dark."""
    for name, level in (("dark", 0), ("light", 120)):
        for number in range(6):
            path = folder / name / f"{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, (GREY // 2 + level).astype(np.uint8))
    return folder


def test_a_folder_has_a_class_in_each_of_its_folders(tmp_path):
    folder_of_classes(tmp_path)
    (tmp_path / "dark" / ".hidden.png").write_bytes(b"")
    (tmp_path / "dark" / "notes.txt").write_bytes(b"")
    (tmp_path / ".git").mkdir()
    X, y = images_from_folder(tmp_path, (8, 6))
    assert y.tolist() == 6 * ["dark"] + 6 * ["light"]
    assert X.paths == sorted(X.paths)
    assert [Path(path).name for path in X.paths[:6]] == [f"{number}.png" for number in (0, 2, 4, 1, 3, 5)]
    assert_array_equal(X[11], GREY // 2 + 120)


def test_files_that_cannot_be_read_are_skipped_with_a_warning(tmp_path):
    folder_of_classes(tmp_path)
    for name in ("dark/0/0.png", "light/1/5.png"):
        (tmp_path / name).write_bytes(b"no image")
    X, _ = images_from_folder(tmp_path, (8, 6), dtype="uint8")
    with pytest.raises(ValueError, match=r"0\.png"):
        np.asarray(X)
    with pytest.warns(UserWarning, match=r"2 of 12(?s:.*)0\.png(?s:.*)5\.png"):
        X, y = images_from_folder(tmp_path, (8, 6), on_error="skip")
    assert len(X) == len(y) == 10
    assert np.asarray(X).shape == (10, 8, 6)


@pytest.mark.parametrize("empty", ["", "class"])
def test_folders_without_images_and_bad_parameters_are_errors(tmp_path, empty):
    (tmp_path / empty).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="no images"):
        images_from_folder(tmp_path, (8, 6))
    with pytest.raises(ValueError, match="on_error"):
        images_from_folder(tmp_path, (8, 6), on_error="ignore")


def test_a_search_in_two_processes_trains_on_files_as_on_an_array(tmp_path):
    X, y = images_from_folder(folder_of_classes(tmp_path), (8, 6), cache=tmp_path / ".cache")
    pipeline = make_pipeline(make_classifier(max_iter=2))
    grid = {"convnetclassifier__alpha": [0.0, 0.1]}
    found, expected = (
        GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(images, y) for images in (X, np.asarray(X))
    )
    assert_array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert_array_equal(found.predict_proba(X), expected.predict_proba(np.asarray(X)))
