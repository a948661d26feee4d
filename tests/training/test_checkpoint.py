"""Tests of checkpoints: a fit that was interrupted goes on as if nothing had happened."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from small_classifiers import assert_same_weights, make_classifier, make_images
from small_regressors import assert_same_predictions, make_numbers, make_regressor

from skcnn import BatchNorm, Checkpoint, Conv2D, Dropout, Mixup, load, resume, save
from skcnn.tensor_file import FileError
from skcnn.training import checkpoint as module

X, y = make_images(40)
LAYERS = [Conv2D(3), BatchNorm(), Dropout(0.3)]


class PowerCutError(Exception):
    """Ends the process, as it were."""


@pytest.fixture
def cut_power(monkeypatch):
    """Return a function that lets the fit end after it has written the state so many times."""

    def cut(n_times):
        write, written = module.write_tensors, []

        def write_and_end(*arguments):
            write(*arguments)
            written.append(arguments)
            if len(written) == n_times:
                raise PowerCutError

        monkeypatch.setattr(module, "write_tensors", write_and_end)

    yield cut


def interrupted(make, folder, cut_power, n_times=2, **arguments):
    """Interrupt a fit, and return an estimator that has gone on with it, and one of a fit in one go."""
    cut_power(n_times)
    with pytest.raises(PowerCutError):
        make(checkpoint=Checkpoint(folder)).fit(**arguments)
    assert len(list(folder.iterdir())) == 1
    return make(checkpoint=Checkpoint(folder)).fit(**arguments), make().fit(**arguments)


def without_seconds(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learning_rate": "cosine", "warmup": 1.5},
        {"learning_rate": "one_cycle", "solver": "nadam"},
        {"averaging": "swa", "averaging_start": 0.3},
        {"averaging": None, "solver": "sgd", "clip_norm": 0.5},
        {"learning_rate": "adaptive", "solver": "sgd", "tol": 10.0, "n_iter_no_change": 1},
        {"early_stopping": True, "n_iter_no_change": 3},
        {"early_stopping": True, "averaging": None, "scoring": "accuracy"},
        {"augmentation": [Mixup()], "label_smoothing": 0.1, "dtype": "float32"},
        {"shuffle": False, "class_weight": "balanced", "init_scaling": "unit_variance"},
        {"learning_rate_factors": {"conv2d_1": 0}},
    ],
    ids=str,
)
def test_a_fit_goes_on_to_the_bit(options, tmp_path, cut_power):
    def make(**more):
        return make_classifier(LAYERS, **{"max_iter": 5} | options | more)

    arguments = {"X": X, "y": y, "sample_weight": 1.0 + np.arange(40) % 3}
    found, expected = interrupted(make, tmp_path, cut_power, **arguments)
    assert_same_weights(found, expected)
    assert without_seconds(found.history_) == without_seconds(expected.history_)
    assert found.batch_losses_ == expected.batch_losses_
    assert list(tmp_path.iterdir()) == []


def test_regressors_and_warm_starts_go_on(tmp_path, cut_power):
    numbers = make_numbers(40)
    earlier = make_regressor(max_iter=2, warm_start=True).fit(*numbers)
    save(earlier, tmp_path / "earlier", training_state=True)
    folder = tmp_path / "checkpoints"

    def make(**more):
        return load(tmp_path / "earlier").set_params(max_iter=4, **more)

    found, expected = interrupted(make, folder, cut_power, X=numbers[0], y=numbers[1])
    assert_same_predictions(found, expected, numbers[0])
    assert without_seconds(found.history_) == without_seconds(expected.history_)


def test_an_unknown_seed_goes_on(tmp_path, cut_power):
    def make(**more):
        return make_classifier(max_iter=4, random_state=None, **more)

    found, _ = interrupted(make, tmp_path, cut_power, X=X, y=y)
    assert [record["epoch"] for record in found.history_] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.25},
        {"random_state": 77},
        {"layers": [Conv2D(2)]},
        {"X": X + 1},
        {"y": (y + 1) % 3},
        {"sample_weight": np.arange(40) + 1.0},
        {"X": X[:39], "y": y[:39]},
    ],
    ids=lambda change: ", ".join(change),
)
def test_other_parameters_and_data_begin_anew(change, tmp_path, cut_power):
    cut_power(1)
    with pytest.raises(PowerCutError):
        make_classifier(max_iter=3, checkpoint=Checkpoint(tmp_path)).fit(X, y)
    (left,) = tmp_path.iterdir()
    arguments = {"X": X, "y": y} | {key: value for key, value in change.items() if key in "X y sample_weight"}
    options = {key: value for key, value in change.items() if key not in arguments}
    other = make_classifier(**{"max_iter": 3} | options, checkpoint=Checkpoint(tmp_path)).fit(**arguments)
    assert_same_weights(other, make_classifier(**{"max_iter": 3} | options).fit(**arguments))
    assert list(tmp_path.iterdir()) == [left]


def test_what_does_not_change_the_weights_may_differ(tmp_path, cut_power, capsys):
    cut_power(1)
    with pytest.raises(PowerCutError):
        make_classifier(max_iter=3, checkpoint=Checkpoint(tmp_path), max_time=1000.0).fit(X, y)
    make_classifier(max_iter=3, checkpoint=Checkpoint(tmp_path, every_epochs=2), verbose=True).fit(X, y)
    assert "epoch    1" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("parameters", "epochs"), [((1,), [1, 2, 3, 4]), ((3,), [3]), ((1, 1000.0), [])])
def test_the_state_is_written_when_it_is_time_to(parameters, epochs, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(module, "write_tensors", lambda path, *rest: written.append(path))
    make_classifier(max_iter=5, checkpoint=Checkpoint(tmp_path, *parameters)).fit(X, y)
    assert len(written) == len(epochs)


def test_partial_fit_writes_nothing(tmp_path):
    make_classifier(checkpoint=Checkpoint(tmp_path / "folder")).partial_fit(X, y, classes=range(3))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_leaves_the_last_state(tmp_path, monkeypatch):
    clf = make_classifier(max_iter=4, checkpoint=Checkpoint(tmp_path))
    write, written = module.write_tensors, []

    def fill(path, tensors, metadata):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, tensors, metadata)

    monkeypatch.setattr(module, "write_tensors", fill)
    with pytest.raises(OSError, match="No space left"):
        clf.fit(X, y)
    assert not hasattr(clf, "model_")
    (left,) = tmp_path.iterdir()
    assert module.read(left)[0].state.epoch == 1
    assert_same_weights(clf.fit(X, y), make_classifier(max_iter=4).fit(X, y))


def test_damaged_files_are_named(tmp_path, cut_power):
    cut_power(1)
    clf = make_classifier(max_iter=3, checkpoint=Checkpoint(tmp_path))
    with pytest.raises(PowerCutError):
        clf.fit(X, y)
    (left,) = tmp_path.iterdir()
    left.write_bytes(left.read_bytes()[:-1])
    with pytest.raises(FileError, match=left.name):
        clf.fit(X, y)
    save(make_classifier(), tmp_path / "net")
    with pytest.raises(FileError, match="format is 'skcnn 1'"):
        resume(tmp_path / "net", X, y)


def test_a_file_goes_on_by_hand(tmp_path, cut_power):
    """Also under another name, with all that fit has got."""
    options = {"max_iter": 4, "early_stopping": True, "init": FrozenEstimator(make_classifier().fit(X, y))}
    arguments = {"X_val": X[:9], "y_val": y[:9], "class_probabilities": np.eye(3)[y]}
    cut_power(2)
    with pytest.raises(PowerCutError):
        make_classifier(**options, checkpoint=Checkpoint(tmp_path)).fit(X, y, **arguments)
    (left,) = tmp_path.iterdir()
    renamed = left.rename(tmp_path / "mine")
    for change in ({"X_val": X[1:10]}, {"class_probabilities": np.eye(3)[y][:, ::-1]}):
        with pytest.raises(ValueError, match=f"mine .*differs in {next(iter(change))} "):
            resume(renamed, X, y, **arguments | change)
    cut_power(1)
    with pytest.raises(PowerCutError):
        resume(renamed, X, y, **arguments)
    found = resume(renamed, X, y, **arguments)
    assert_same_weights(found, make_classifier(**options).fit(X, y, **arguments))
    assert isinstance(found.checkpoint, Checkpoint) and not renamed.exists()


def test_estimators_that_no_file_holds_go_on_by_fit_alone(tmp_path, cut_power):
    def make(**more):
        splitter = ShuffleSplit(1, random_state=0)
        return make_classifier(max_iter=4, early_stopping=True, validation_split=splitter, **more)

    cut_power(1)
    with pytest.raises(PowerCutError):
        make(checkpoint=Checkpoint(tmp_path)).fit(X, y)
    (left,) = tmp_path.iterdir()
    with pytest.raises(ValueError, match="validation_split.*ShuffleSplit"):
        resume(left, X, y)
    assert_same_weights(make(checkpoint=Checkpoint(tmp_path)).fit(X, y), make().fit(X, y))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("solver", "lbfgs"), ("scoring", lambda clf, X, y: 0.5)],
    ids=["solver", "scoring"],
)
def test_parameters_that_cannot_go_on_are_named(parameter, value, tmp_path):
    clf = make_classifier(checkpoint=Checkpoint(tmp_path), early_stopping=True, **{parameter: value})
    clf.set_params(early_stopping=parameter == "scoring")
    with pytest.raises(ValueError, match=f"{parameter}="):
        clf.fit(X, y)


def test_a_search_shares_a_folder_and_leaves_it_empty(tmp_path):
    grid = {"alpha": [0.0, 0.1], "checkpoint": [Checkpoint(tmp_path)]}
    found = GridSearchCV(make_classifier(), grid, cv=3, n_jobs=2).fit(X, y)
    expected = GridSearchCV(make_classifier(), {"alpha": [0.0, 0.1]}, cv=3).fit(X, y)
    assert_array_equal(found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"])
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from test_checkpoint import Checkpoint, LAYERS, X, make_classifier, y

options = {"max_iter": 60, "early_stopping": True, "n_iter_no_change": 60}
checkpoint = Checkpoint(sys.argv[1]) if sys.argv[1] else None
clf = make_classifier(LAYERS, **options, checkpoint=checkpoint)
print("begun", flush=True)
clf.fit(X, y)
print(clf.network_.vector.tobytes().hex())
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_fits_that_are_killed_end_in_the_same_bits(tmp_path):
    """Twenty-five times, at random moments of the fit."""

    def start(folder):
        command = [sys.executable, "-c", KILLED, folder]
        paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent), *filter(None, sys.path)]
        environment = {**os.environ, "PYTHONPATH": ":".join(paths)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "begun\n"
        return process

    expected, _ = start("").communicate(timeout=120)
    draws, n_killed, n_left = random.Random(0), 0, 0
    while n_killed < 25:
        process = start(str(tmp_path))
        time.sleep(draws.random() * 0.25)
        if process.poll() is None:
            process.kill()
            n_killed += 1
            n_left += any(path.suffix == module.ENDING for path in tmp_path.iterdir())
        found, _ = process.communicate(timeout=120)
        assert found in ("", expected)
    assert n_left > 10
    found, _ = start(str(tmp_path)).communicate(timeout=120)
    assert found == expected != ""
    assert list(tmp_path.iterdir()) == []
