"""What happens after each epoch: when training has stopped to improve, and when it ends."""

import math
import re
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from seeds import SEED, generator
from sklearn.metrics import accuracy_score
from sklearn.neural_network import MLPClassifier
from small_classifiers import make_classifier, make_images
from small_trainings import make_network, objective

from skcnn.data.samples import Samples
from skcnn.network.threads import worker_pool
from skcnn.training.loop import DivergenceError
from skcnn.training.monitoring import Monitor, Progress, Validation, line_of
from skcnn.training.schedules import AdaptiveRate
from skcnn.training.state import TrainingState
from skcnn.training.time_limit import TimeLimit

# --- progress ---


def mlp_says(values, tol, patience):
    """Return after how many values MLPClassifier counts too many without improvement, and the best."""
    mlp = MLPClassifier(tol=tol)
    mlp.loss_curve_, mlp.best_loss_, mlp._no_improvement_count = [], np.inf, 0
    stuck = []
    for value in values:
        mlp.loss_curve_.append(-value)
        mlp._update_no_improvement_count(False, None, None, None)
        stuck.append(mlp._no_improvement_count > patience)
        if stuck[-1]:
            mlp._no_improvement_count = 0
    return stuck, -mlp.best_loss_


@pytest.mark.parametrize("tol", [0.0, 0.25, -1.0])
@pytest.mark.parametrize("patience", [1, 3])
def test_progress_stops_where_mlp_classifier_does(tol, patience):
    """Values are eighths, so that gains of exactly tol come up and are exact."""
    rng = generator(0)
    for _ in range(20):
        values = np.round(rng.normal(np.sqrt(np.arange(60)) / 2, 0.5) * 8) / 8
        progress, stuck, best_so_far = Progress(tol, patience), [], []
        for value in values:
            best_so_far.append(progress.update(value))
            stuck.append(progress.is_stuck)
            if progress.is_stuck:
                progress.reset()
        assert (stuck, progress.best) == mlp_says(values, tol, patience)
        running = np.maximum.accumulate(values)
        assert best_so_far == [True, *(running[1:] > running[:-1]).tolist()]
        assert tol < 0 or any(stuck)


# --- the monitor ---


def make_monitor(*, deadline=math.inf, first_epoch=0, verbose=False, **changes):
    """Return a monitor, with changes of its objective, and its state."""
    state = TrainingState(seed=SEED, epoch=first_epoch)
    goal = objective(**({"n_epochs": 50, "tol": 0.0, "patience": 2} | changes))
    return Monitor(goal, state, limit=TimeLimit(deadline), verbose=verbose), state


def epochs_until_the_end(monitor, network, losses, scores=None, rate=lambda: 0.1):
    """Return how many epochs training takes, of at most as many as there are losses and scores."""
    scores = [None] * len(losses) if scores is None else scores
    for epoch, (loss, score) in enumerate(zip(losses, scores, strict=False), start=1):
        network.vector[:] = epoch  # the weights tell the epoch
        record = {"epoch": epoch, "loss": loss, "batch_losses": [loss], "learning_rate": rate()}
        record |= {} if score is None else {"validation_score": score}
        if not monitor.goes_on(record, None if score is None else network):
            return epoch
    return None


@pytest.mark.parametrize("patience", [1, 3])
def test_training_ends_after_more_than_some_epochs_without_improvement(patience):
    monitor, _ = make_monitor(tol=0.25, patience=patience)
    losses = [3.0, 2.0, 1.0, *[1.5] * 20]
    assert epochs_until_the_end(monitor, make_network(), losses) == 3 + patience + 1


def test_an_improvement_by_less_than_tol_does_not_count_but_may_be_the_best():
    """Of the score, where there is one, whatever the loss does."""
    monitor, _ = make_monitor(tol=0.5, patience=3)
    losses, scores = 6.0 - np.arange(6), [1.0, 1.125, 1.25, 1.375, 1.4375, 1.0]
    assert epochs_until_the_end(monitor, make_network(), losses, scores) == 5
    assert_array_equal(monitor.best[0], 5.0)


def test_every_epoch_is_recorded_before_the_end_is_decided():
    monitor, _ = make_monitor(n_epochs=4)
    assert epochs_until_the_end(monitor, make_network(), [4.0, 3.0, 2.0, 1.0, 0.0]) == 4
    assert [record["loss"] for record in monitor.records] == [4.0, 3.0, 2.0, 1.0]
    assert not any("validation_score" in record for record in monitor.records)
    assert monitor.best is None


def test_an_epoch_may_be_taken_back():
    monitor, _ = make_monitor(n_epochs=9)
    for _ in range(2):
        epochs_until_the_end(monitor, make_network(), [4.0, 3.0])
        before = [record["step"] for record in monitor.records], monitor.batch_losses.copy()
        epochs_until_the_end(monitor, make_network(), [2.0])
        monitor.take_back()
        assert ([record["step"] for record in monitor.records], monitor.batch_losses) == before


@pytest.mark.parametrize("verbose", [False, True])
def test_a_verbose_monitor_prints_a_line_for_each_epoch_with_room_for_the_last(verbose, capsys):
    """Which may be the hundred thousandth of all calls together."""
    monitor, _ = make_monitor(n_epochs=4, first_epoch=99_997, verbose=verbose)
    for epoch in range(99_998, 100_002):
        monitor.goes_on({"epoch": epoch, "loss": 0.5, "batch_losses": [0.5], "seconds": 0.25})
    lines = [f"epoch {epoch:6}  loss     0.50000      0.25 s" for epoch in range(99_998, 100_002)]
    assert capsys.readouterr().out.splitlines() == (lines if verbose else [])


SIZES = [0.0, 1e-9, 9.99e-4, 1e-3, 0.5, 99.999999, 100.5, 12345.6789, 9999.999999, 1e100, 1.7e308, math.inf]


@pytest.mark.parametrize("sign", [None, 1, -1])
def test_lines_are_aligned_whatever_the_numbers(sign):
    """And tell at least three digits of each: half a unit in the third is half a percent at most."""
    records = [
        {"epoch": 10**index, "loss": size, "seconds": 10.0 ** (index - 7)}
        | ({"validation_score": sign * size} if sign else {})
        for index, size in enumerate(SIZES)
    ]
    lines = [line_of(record, n_digits=12) for record in records]
    words = ["epoch", "  loss", " s", *(["  validation score"] if sign else [])]
    assert len({(len(line), *(line.index(word) for word in words)) for line in lines}) == 1
    for line, record in zip(lines, records, strict=True):
        *shown, seconds = map(float, re.findall(r" (\S*\d|-?inf)(?= )", line))
        expected = [record[name] for name in ("epoch", "loss", "validation_score") if name in record]
        assert shown == pytest.approx(expected, rel=5e-3)
        assert seconds == pytest.approx(record["seconds"], abs=5e-3)


def test_plateaus_lower_an_adaptive_rate_and_the_smallest_one_ends_training():
    """Patience 2: three epochs without improvement a plateau; the rate falls by 5 from 1e-4 to below 1e-6."""
    monitor, state = make_monitor(schedule=AdaptiveRate(1e-4, n_epochs=50))
    plateaus = []

    def rate():
        plateaus.append(state.n_plateaus)
        return 1e-4 / 5**state.n_plateaus

    losses = [1.0] + [2.0] * 30  # the first is the best
    assert epochs_until_the_end(monitor, make_network(), losses, rate=rate) == 1 + 3 * 4
    assert plateaus == [0] * 4 + [1] * 3 + [2] * 3 + [3] * 3


def test_an_improvement_between_plateaus_counts_from_the_best():
    monitor, state = make_monitor(schedule=AdaptiveRate(1.0, n_epochs=50), patience=1)
    losses = [3.0, 4.0, 4.0, 2.0, 3.5, 2.5, 5.0]
    assert epochs_until_the_end(monitor, make_network(), losses) is None
    assert state.n_plateaus == 2


def test_without_a_schedule_the_first_plateau_ends_training():
    """As with L-BFGS, whose records have no learning rate."""
    monitor, _ = make_monitor(schedule=None, optimizer=None, tol=0.5, patience=1)
    record = {"epoch": 1, "loss": 1.0}
    assert [monitor.goes_on(record | {"batch_losses": [1.0]}) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("seconds", "goes_on"), [(-1.0, False), (3600.0, True)])
def test_training_ends_at_the_deadline(seconds, goes_on):
    monitor, _ = make_monitor(deadline=time.perf_counter() + seconds)
    assert monitor.goes_on({"epoch": 1, "loss": 1.0, "batch_losses": [1.0]}) is goes_on
    assert len(monitor.records) == 1


def test_the_best_snapshot_is_a_copy_from_the_first_epoch_with_the_best_score():
    monitor, _ = make_monitor(patience=10)
    assert monitor.best is None
    scores = [1.0, 3.0, 2.0, 3.0, 1.0]
    assert epochs_until_the_end(monitor, make_network(), np.ones(5), scores) is None
    assert_array_equal(monitor.best[0], 2.0)
    assert monitor.best_score == 3.0
    assert [record["validation_score"] for record in monitor.records] == scores


def test_a_further_call_has_to_beat_the_weights_it_begins_with():
    network, (monitor, _) = make_network(), make_monitor(patience=1)
    start = network.vector.copy()
    monitor.begin(network, 2.0)
    assert epochs_until_the_end(monitor, network, np.ones(3), [1.0, 1.5]) == 2
    assert_array_equal(monitor.best[0], start)
    assert monitor.best_score == 2.0


# --- validation ---


def fitted_and_validation(*, weights=None, class_weight=(1.0, 1.0, 1.0), **options):
    """Return a fitted classifier, a validation of other samples, and their images and labels."""
    rng = generator(0)
    X, X_val = rng.standard_normal((30, 3, 4)), rng.standard_normal((25, 3, 4))
    y, y_val = ((np.arange(n) % 3).astype(str) for n in (30, 25))
    model = make_classifier(conv_layer_sizes=(), averaging=None, **options).fit(X, y)
    given, weights = weights is not None, np.ones(25) if weights is None else weights
    codes = np.searchsorted(model.classes_, y_val)
    samples = Samples(X_val, codes, weights, np.flatnonzero(weights), model.model_.outputs, given)
    validation = Validation(model, model.model_, samples, np.array(class_weight), model.label_smoothing)
    return model, validation, X_val, y_val


def score_of(model, validation):
    with worker_pool() as pool:
        return validation.score(model.network_, pool)


@pytest.mark.parametrize("weighted", [False, True])
def test_without_scoring_the_score_is_minus_the_smoothed_loss_weighted_by_sample_and_class(weighted):
    """Samples without weight are left out."""
    weights = generator(1).uniform(0.5, 2, 25) * (np.arange(25) % 4 > 0) if weighted else None
    params = {"weights": weights, "class_weight": np.array([0.5, 1.0, 3.0]), "label_smoothing": 0.25}
    model, validation, X, y = fitted_and_validation(**params)
    codes = np.searchsorted(model.classes_, y)
    shares = params["class_weight"][codes] * (1 if weights is None else weights)
    targets = 0.75 * np.eye(3)[codes] + 0.25 / 3
    logarithms = (targets * model.predict_log_proba(X)).sum(axis=1)
    expected = np.average(logarithms, weights=shares)
    assert score_of(model, validation) == pytest.approx(expected, rel=1e-12)


def test_the_validation_loss_is_that_which_is_trained():
    model, validation, X, y = fitted_and_validation(loss="hinge")
    scores, codes = model.decision_function(X), np.searchsorted(model.classes_, y)
    violations = np.maximum(0, 1 + scores - scores[np.arange(25), codes][:, np.newaxis])
    expected = -(violations.sum(axis=1) - 1).mean()
    assert score_of(model, validation) == pytest.approx(expected, rel=1e-12)


def test_a_scorer_sees_the_network_in_question_and_original_labels_and_weights():
    weights = generator(1).uniform(0.5, 2, 25)
    model, validation, X, y = fitted_and_validation(weights=weights, scoring="accuracy")
    assert score_of(model, validation) == accuracy_score(y, model.predict(X), sample_weight=weights)
    other = model.network_.copy()
    other.vector *= -1
    with worker_pool() as pool:
        score = validation.score(other, pool)
    model.model_ = model.model_.replace(network=other)
    assert score == accuracy_score(y, model.predict(X), sample_weight=weights)


@pytest.mark.parametrize("value", [math.nan, None, "0.5", [1.0, 2.0]], ids=str)
def test_a_score_that_is_no_number_is_an_error(value):
    model, validation, *_ = fitted_and_validation(scoring=lambda estimator, X, y: value)
    with pytest.raises(ValueError, match=rf"scoring=.* {re.escape(repr(value))}"):
        score_of(model, validation)


def test_a_score_may_be_an_array_of_one_number():
    model, validation, *_ = fitted_and_validation(scoring=lambda estimator, X, y: np.array(0.5))
    assert score_of(model, validation) == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_validation_loss_that_is_not_finite_is_divergence(value):
    model, validation, *_ = fitted_and_validation()
    model.network_.vector[:] = value
    with pytest.raises(DivergenceError, match="the validation loss became"):
        score_of(model, validation)


def test_a_metric_without_a_signature_gets_no_weights(monkeypatch):
    """As functions in C may have none, which cannot be asked whether they take weights."""

    images, codes = make_images(24)

    def fit():
        clf = make_classifier(early_stopping=True, validation_fraction=0.25, scoring="accuracy", max_iter=2)
        return clf.fit(images, codes, np.linspace(1, 2, 24))

    def raise_error(function):
        raise ValueError("no signature found for builtin")

    weighted = fit().validation_scores_
    monkeypatch.setattr("skcnn.training.monitoring.signature", raise_error)
    scores = fit().validation_scores_
    assert scores != weighted
    assert {score * 6 for score in scores} <= set(range(7))  # hits of six samples that count alike
