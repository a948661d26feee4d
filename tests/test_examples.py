"""Every example runs, on small settings."""

import gzip
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from idx_files import write_idx_files

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


def test_augmentation_draws_a_row_for_each(run_example, tmp_path):
    printed = run_example("augmentation.py", "--output", tmp_path / "figure.png")
    assert "10 augmentations, 5 draws each" in printed
    assert (tmp_path / "figure.png").stat().st_size > 100_000
