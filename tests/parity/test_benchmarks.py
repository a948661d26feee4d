"""The benchmarks run against PyTorch and skorch, on small settings."""

from importlib.util import find_spec

import pytest
from benchmark_scripts import assert_positive, read_tables, run_benchmark
from idx_files import write_idx_files

pytest.importorskip("torch", reason="benchmarks need PyTorch, which is not installed")


def test_steps():
    options = ["--networks", "W1", "--pairs", 2, "--patience", 0, "--seconds", 0.01, "--threads", 1]
    training, predicting = read_tables(run_benchmark("steps.py", *options))
    for row in training + predicting:
        for column in ("skcnn", "PyTorch", "ratio", "skcnn of SGEMM", "PyTorch of SGEMM", "PyTorch MB"):
            assert_positive(row[column])
        assert row["best form of PyTorch"].split()[0] in ("contiguous", "channels_last")


def test_estimators(tmp_path):
    pytest.importorskip("skorch", reason="skorch is not installed")
    write_idx_files(tmp_path)
    options = ["--folder", tmp_path, "--samples", 60, "--epochs", 1, "--batch-size", 20, "--threads", 1]
    options += ["--search-samples", 90, "--search-epochs", 1, "--pairs", 1, "--patience", 0]
    fits, searches, imports = read_tables(run_benchmark("estimators.py", *options))
    with_numba = find_spec("numba") is not None
    assert [len(fits), len(searches), len(imports)] == [3 + with_numba, 4 + 2 * with_numba, 4 + with_numba]
    for row in fits + searches:
        assert_positive(row["ratio"])
    for row in imports:
        assert_positive(row["s"])


def test_scaling():
    options = ["--vary", "batch_size", "--values", 16, "--seconds", 0.01, "--threads", 1]
    options += ["--pairs", 1, "--patience", 0]
    ((row,),) = read_tables(run_benchmark("scaling.py", *options))
    for column in ("fit ratio", "predict ratio"):
        assert_positive(row[column])
