"""Every example runs, on small settings."""

import gzip
import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from idx_files import write_idx_files
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def run_example(monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def idx_folder(tmp_path):
    """Return a folder of IDX files with 60 training and 20 test images."""
    write_idx_files(tmp_path)
    return tmp_path


def test_all_examples_are_tested():
    tested = Path(__file__).read_text()
    assert all(f'"{path.name}"' in tested for path in EXAMPLES.glob("*.py"))


def test_digits_grid_search(run_example):
    printed = run_example("digits_grid_search.py", "--samples", 300, "--epochs", 2)
    assert "8 candidates" in printed
    assert "net__norm1=BatchNorm()" in printed
    assert "shuffled 5-fold accuracy" in printed
    assert "confusion matrix" in printed


def test_fashion_mnist_reads_idx_files(run_example, idx_folder):
    printed = run_example("fashion_mnist.py", "--folder", idx_folder, "--epochs", 2)
    assert "60 training images, 20 test images of shape (28, 28)" in printed
    assert printed.strip().splitlines()[-1].split()[0] == "2"


def test_fashion_mnist_falls_back_to_openml(monkeypatch):
    """Without the files the set is fetched: 70,000 flat rows, labels as text, the last 10,000 to test."""
    X, y = np.zeros((70_000, 784), np.int64), np.array([str(i % 10) for i in range(70_000)])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda name, **options: (X, y))
    monkeypatch.setattr("pathlib.Path.is_dir", lambda path: False)
    example = runpy.run_path(str(EXAMPLES / "fashion_mnist.py"))
    X_train, y_train, X_test, y_test = example["load_fashion_mnist"]()
    assert X_train.shape == (60_000, 28, 28) and X_test.shape == (10_000, 28, 28)
    assert X_train.dtype == y_train.dtype == np.uint8
    assert y_test[:3].tolist() == [0, 1, 2]


def test_a_mistyped_folder_is_an_error(tmp_path):
    example = runpy.run_path(str(EXAMPLES / "fashion_mnist.py"))
    with pytest.raises(FileNotFoundError, match="missing"):
        example["load_fashion_mnist"](tmp_path / "missing")


def test_idx_reader_refuses_other_files(tmp_path):
    path = tmp_path / "file.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"text")
    example = runpy.run_path(str(EXAMPLES / "fashion_mnist.py"))
    with pytest.raises(ValueError, match="not an IDX file"):
        example["read_idx"](path)


# CIFAR-10


def cifar10_functions():
    return runpy.run_path(str(EXAMPLES / "cifar10.py"))


@pytest.fixture
def cifar10_file(tmp_path, monkeypatch):
    """Return images and labels, and name a file of them by the environment variable."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (60, 32, 32, 3)).astype(np.uint8), np.arange(60) % 10
    np.savez(tmp_path / "cifar10.npz", X=X, y=y)
    monkeypatch.setenv("CIFAR10_FILE", str(tmp_path / "cifar10.npz"))
    return X, y


def test_cifar10_trains_and_tests_on_the_last_tenth(run_example, cifar10_file):
    printed = run_example("cifar10.py", "--epochs", 2, "--samples", 40)
    assert "40 training images, 6 test images of shape (32, 32, 3)" in printed
    assert printed.strip().splitlines()[-1].split()[0] == "2"
    X, y = cifar10_file
    parts = cifar10_functions()["load_cifar10"]()
    for part, expected in zip(parts, (X[:54], y[:54], X[54:], y[54:]), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_cifar10_decodes_jpeg_files(tmp_path, monkeypatch):
    """Plain colours, which JPEG keeps to a unit or two; grey files have three equal channels."""
    colors = np.array([[200, 30, 60], [10, 120, 240], [90, 90, 90]], np.uint8)
    files = []
    for color in colors:
        image = Image.fromarray(np.tile(color, (32, 32, 1)))
        file = io.BytesIO()
        (image.convert("L") if np.ptp(color) == 0 else image).save(file, "JPEG", quality=95, subsampling=0)
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, files)])
    np.savez(tmp_path / "jpeg.npz", jpeg=np.concatenate(files), offsets=offsets, y=np.arange(3))
    X, y = cifar10_functions()["read_file"](tmp_path / "jpeg.npz")
    assert X.shape == (3, 32, 32, 3) and X.dtype == np.uint8
    assert np.abs(X.astype(int) - colors[:, None, None]).max() <= 3
    assert y.tolist() == [0, 1, 2]


def test_cifar10_falls_back_to_openml(monkeypatch):
    """Flat rows of 3 x 32 x 32 numbers, labels as text, the last 10,000 to test."""
    monkeypatch.delenv("CIFAR10_FILE", raising=False)
    X = np.zeros((60_000, 3072), np.uint8)
    X[:, 1024:2048] = 7  # the second channel
    y = np.array([str(i % 10) for i in range(60_000)])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda name, **options: (X, y))
    X_train, y_train, X_test, y_test = cifar10_functions()["load_cifar10"]()
    assert X_train.shape == (50_000, 32, 32, 3) and X_test.shape == (10_000, 32, 32, 3)
    assert X_test[0, 5, 9].tolist() == [0, 7, 0]
    assert y_train.dtype == np.int64 and y_test[:3].tolist() == [0, 1, 2]


def results_of(printed):
    """Return what a recipe printed but for seconds."""
    lines = [line.split() for line in printed.splitlines() if not line.startswith("trained in")]
    return [words[:4] for words in lines]


def assert_trained_and_tested(printed, n_epochs, *lines):
    """Assert that a recipe trained for so many epochs and printed lines that begin like these."""
    printed = printed.splitlines()
    assert sum(line.startswith("epoch") for line in printed) == n_epochs
    assert all(any(line.startswith(beginning) for line in printed) for beginning in lines)


def test_cifar10_speedrun(run_example, cifar10_file, monkeypatch):
    """Twice with one seed: the same losses, the same accuracies."""
    monkeypatch.syspath_prepend(EXAMPLES)
    printed = run_example("cifar10_speedrun.py", "--samples", 20, "--epochs", 2)
    assert_trained_and_tested(printed, 2, "20 training images", "test accuracy 0.", "with six views 0.")
    again = run_example("cifar10_speedrun.py", "--samples", 20, "--epochs", 2)
    assert results_of(again) == results_of(printed)


def test_fashion_mnist_recipe(run_example, idx_folder, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    options = ["--folder", idx_folder, "--epochs", 2]
    printed = run_example("fashion_mnist_recipe.py", *options)
    assert_trained_and_tested(printed, 2, "60 training images", "test accuracy 0.", "with mirrored views 0.")
    again = run_example("fashion_mnist_recipe.py", *options)
    assert results_of(again) == results_of(printed)


def assert_is_a_picture(path):
    """Assert that a file is a picture of many colours, of more than lettering and empty frames.

    Those of the figure of the augmentations darken 22 % of it; with the photographs it is 63 %.
    """
    with Image.open(path) as image:
        assert len(image.convert("RGB").getcolors(2**24)) > 10
        assert np.mean(np.asarray(image.convert("L")) < 250) > 0.4


# examples with figures, which share "gallery.py"


@pytest.fixture
def run_with_figure(run_example, tmp_path, monkeypatch):
    """Return a function that runs an example, looks at its figure and returns what it printed."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def run(name, *arguments):
        printed = run_example(name, *arguments, "--dpi", 30, "--figure", tmp_path / "figure.png")
        assert f"figure: {tmp_path / 'figure.png'}" in printed
        assert_is_a_picture(tmp_path / "figure.png")
        return printed

    return run


def test_augmentation_draws_all_kinds(run_with_figure):
    assert "10 augmentations, 4 draws each" in run_with_figure("augmentation.py")


def test_convolution_by_hand_equals_scipy_and_a_layer(run_with_figure):
    printed = run_with_figure("convolution_by_hand.py", "--step", 8)
    assert "4 filters on a photograph of 54 x 80 pixels" in printed
    differences = [float(line.split(": ")[1]) for line in printed.splitlines() if "largest" in line]
    assert len(differences) == 2 and max(differences) < 1e-12


def test_feature_maps_of_a_photograph(run_with_figure):
    printed = run_with_figure("feature_maps_of_a_photograph.py", "--patches", 100, "--epochs", 1, "--maps", 2)
    assert "100 patches of 24 parts of photographs" in printed
    assert "accuracy on 2000 other patches: 0." in printed
