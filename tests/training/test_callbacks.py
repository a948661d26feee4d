"""scikit-learn's callbacks: what they see of a training, and that training does not see them.

Before scikit-learn 1.9 there are none, and only that is tested.
"""

import copy
import io
import pickle
import threading
from importlib.util import find_spec

import joblib
import numpy as np
import pytest
from cuts import FINE
from extras import data_frame, package
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dense, Dropout, Layer, RandomShift
from skcnn.training.callbacks import begin_fit
from skcnn.training.fit import Fit

HAS_CALLBACKS = find_spec("sklearn.callback") is not None

if HAS_CALLBACKS:
    from sklearn.callback import ProgressBar, ScoringMonitor

N_SAMPLES = 60
X = generator(0).normal(size=(N_SAMPLES, 6, 6))
Y = np.array(["ant", "bee", "cat"])[np.arange(N_SAMPLES) % 3]
X_VAL, Y_VAL = generator(1).normal(size=(30, 6, 6)), Y[:30]
CLASSES = np.unique(Y)


def progress_bar():
    package("rich")
    return ProgressBar()


def make_net(layers=None, **params):
    layers = [Conv2D(4), BatchNorm(), Dense(8, activation="relu")] if layers is None else layers
    defaults = {"max_iter": 3, "batch_size": 20, "learning_rate_init": 0.01, "averaging": None}
    return ConvNetClassifier(layers, **(defaults | {"random_state": SEED} | params))


KINDS = {
    "plain": {},
    "float32": {"dtype": "float32"},
    "hinge": {"loss": "hinge"},
    "random": {"layers": [Conv2D(4), Dropout(0.3)], "augmentation": [RandomShift(1)]},
    "moving average": {"averaging": "ema"},
    "lbfgs": {"solver": "lbfgs"},
    "step": {"solver": "sgd", "learning_rate": "step", "step_size": 1},
    "warm start": {"warm_start": True},
}
"""Trainings whose first epochs do not depend on how many are to follow."""

HORIZONS = {
    "cosine": {"learning_rate": "cosine"},
    "average of epochs": {"averaging": "swa", "averaging_start": 0.5, "max_iter": 4},
    "adaptive": {"learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1, "max_iter": 6},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.2},
    "best average": {"early_stopping": True, "validation_fraction": 0.2, "averaging": "ema"},
}
"""Trainings of which an epoch is another one where it is the last, or whose samples are split."""

each_kind = pytest.mark.parametrize("kind", list(KINDS))
each_training = pytest.mark.parametrize("params", (KINDS | HORIZONS).values(), ids=list(KINDS | HORIZONS))


class Watching:
    """Keeps what it is told and given, and may act, stop training after an epoch or raise an error.

    ``act`` is called with the event and the fitted estimator where there is one.
    """

    def __init__(self, act=lambda event, fitted: None, *, stop_after=None, error=None, error_at=None):
        self.events, self.contexts, self.seen, self.copies = [], [], [], {}
        self.act, self.stop_after, self.error, self.error_at = act, stop_after, error, error_at

    def setup(self, estimator, context):
        self.tell("setup", estimator, context)

    def teardown(self, estimator, context):
        self.tell("teardown", estimator, context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.tell("begin", estimator, context)
        self.take(X, y, metadata, fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.tell("end", estimator, context)
        self.take(X, y, metadata, fitted_estimator)
        return self.events[-1] == f"end epoch {self.stop_after}"

    def tell(self, hook, estimator, context):
        task = f"epoch {context.task_id + 1}" if context.task_name == "epoch" else "fit"
        self.events.append(f"{hook} {task}")
        self.contexts.append(context)
        self.estimator = estimator
        if self.events[-1] == self.error_at:
            raise self.error

    def take(self, X, y, metadata, fitted):
        self.seen.append((X, y, metadata))
        self.copies[self.events[-1]] = fitted
        if fitted is not None:
            self.act(self.events[-1], fitted)


class Incurious:
    """Asks for nothing."""

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = on_fit_task_end = setup


def events_of(n_epochs):
    epochs = [f"{hook} epoch {epoch}" for epoch in range(1, n_epochs + 1) for hook in ("begin", "end")]
    return ["setup fit", "begin fit", *epochs, "end fit", "teardown fit"]


def assert_same_bits(net, other):
    assert_array_equal(net.network_.vector, other.network_.vector)
    for where, value in net.network_.buffers().items():
        assert_array_equal(value, other.network_.buffers()[where])


def attributes(estimator):
    """Return digests of all that an estimator has, but for times and callbacks."""
    values = {name: value for name, value in vars(estimator).items() if name != "_skl_callbacks"}
    history = values.pop("_history", None)
    if history is not None:
        values |= {f"{name}_": value for name, value in vars(history).items()}
        values["history_"] = [
            {key: value for key, value in record.items() if key != "seconds"} for record in history.history
        ]
    return {name: joblib.hash(value) for name, value in values.items()}


def rows_in(images):
    """Return which of the samples some images are."""
    rows = [np.flatnonzero((image == X).all(axis=(1, 2))) for image in np.asarray(images).reshape(-1, 6, 6)]
    return np.concatenate(rows)


# --- there are callbacks where scikit-learn has them ---


def test_callbacks_are_there_where_scikit_learn_has_them_and_only_there():
    assert hasattr(ConvNetClassifier, "set_callbacks") is HAS_CALLBACKS
    assert make_net(max_iter=1).fit(X, Y).n_iter_ == 1


# --- scikit-learn's own callbacks ---


def scores_in(log, name, task="epoch"):
    return [row[name] for row in log.data if row["task_name"] == task]


@each_kind
def test_scoring_monitor_logs_the_scores_of_shorter_trainings(kind):
    monitor = ScoringMonitor(scoring="accuracy")
    make_net(**KINDS[kind]).set_callbacks(monitor).fit(X, Y)
    expected = [
        accuracy_score(Y, make_net(**KINDS[kind], max_iter=n).fit(X, Y).predict(X)) for n in (1, 2, 3)
    ]
    assert scores_in(monitor.get_logs(), "accuracy") == expected
    assert scores_in(monitor.get_logs(), "accuracy", "fit") == expected[-1:]


@pytest.mark.parametrize("averaging", [None, "ema"])
def test_with_early_stopping_scores_are_those_of_the_best_epoch_until_then(averaging):
    validation_scores, monitor = iter([1.0, 3.0, 2.0, 5.0, 4.0]), ScoringMonitor(scoring="neg_log_loss")
    params = {"early_stopping": True, "scoring": lambda *arguments: next(validation_scores)}
    net = make_net(**params, averaging=averaging, max_iter=5).set_callbacks(monitor)
    net.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    until = {n: make_net(averaging=averaging, max_iter=n).fit(X, Y).predict_proba(X) for n in (1, 2, 4)}
    expected = [-log_loss(Y, until[best]) for best in (1, 2, 2, 4, 4)]
    assert scores_in(monitor.get_logs(), "neg_log_loss") == expected
    assert len(set(expected)) == 3


def test_scoring_monitor_passes_sample_weights_on():
    """Of the samples that are trained on: those of weight zero are as if they had not been there."""
    weights = np.arange(N_SAMPLES) % 4.0
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    make_net().set_callbacks(monitor).fit(X, Y, weights)
    net, log = make_net(max_iter=2).fit(X, Y, weights), monitor.get_logs()
    assert scores_in(log, "accuracy")[1] == net.score(X, Y, weights)
    rows = weights > 0
    expected = -log_loss(Y[rows], net.predict_proba(X[rows]), sample_weight=weights[rows])
    assert scores_in(log, "neg_log_loss")[1] == expected


@pytest.mark.parametrize("kind", ["plain", "lbfgs"])
def test_progress_bar_fills(kind, capsys):
    make_net(**KINDS[kind]).set_callbacks(progress_bar()).fit(X, Y)
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line.startswith("ConvNetClassifier - fit ")
    assert " 100% " in line


def test_progress_bar_and_lines_go_together(capsys):
    make_net(verbose=True).set_callbacks(progress_bar()).fit(X, Y)
    *lines, bar = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[:2] for line in lines if line.strip()] == [["epoch", str(n)] for n in (1, 2, 3)]
    assert " 100% " in bar


def test_in_a_pipeline(capsys):
    """The bar reaches the network from the pipeline; the monitor sees what the network does."""
    monitor, flat = ScoringMonitor(scoring="accuracy"), X.reshape(N_SAMPLES, -1)
    steps = [("scale", StandardScaler()), ("net", make_net().set_callbacks(monitor))]
    pipeline = Pipeline(steps).set_callbacks(progress_bar()).fit(flat, Y)
    lines = capsys.readouterr().out.splitlines()
    assert any("Pipeline - fit-final-estimator | ConvNetClassifier - fit" in line for line in lines)
    assert all(" 100% " in line for line in lines if line.strip())
    scaled = StandardScaler().fit_transform(flat)
    expected = [make_net(max_iter=n).fit(scaled, Y).score(scaled, Y) for n in (1, 2, 3)]
    assert scores_in(monitor.get_logs(), "accuracy") == expected
    assert pipeline[-1]._skl_callbacks == [monitor]  # and no longer the bar


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_in_a_grid_search(n_jobs, capsys):
    """In processes of their own, too, the scores of every epoch of every fit arrive."""
    monitor = ScoringMonitor(scoring="accuracy")
    grid, cv = {"learning_rate_init": [1e-6, 0.05]}, StratifiedKFold(2)
    net = make_net(max_iter=2).set_callbacks(monitor)
    search = GridSearchCV(net, grid, cv=cv, n_jobs=n_jobs).set_callbacks(progress_bar()).fit(X, Y)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "GridSearchCV - candidate-split-evaluation | ConvNetClassifier - fit #3" in captured.out
    assert "GridSearchCV - refit-with-best-params | ConvNetClassifier - fit" in captured.out
    parts = [(search.best_params_["learning_rate_init"], np.arange(N_SAMPLES))]  # tasks of few levels first
    parts += [(rate, train) for rate in grid["learning_rate_init"] for train, _ in cv.split(X, Y)]
    expected = [
        make_net(learning_rate_init=rate, max_iter=n).fit(X[rows], Y[rows]).score(X[rows], Y[rows])
        for rate, rows in parts
        for n in (1, 2)
    ]
    assert scores_in(monitor.get_logs(), "accuracy") == expected
    assert search.best_estimator_._skl_callbacks == [monitor]
    assert not hasattr(search.best_estimator_, "_parent_callback_ctx")


# --- tasks ---


@each_training
def test_a_fit_is_a_task_and_each_epoch_a_task_below_it(params):
    watching = Watching()
    net = make_net(**params).set_callbacks(watching)
    assert net.fit(X, Y) is net
    assert watching.events == events_of(net.n_iter_)
    assert watching.estimator is net
    fit, *_ = watching.contexts
    assert (fit.task_name, fit.max_subtasks, fit.estimator_name) == ("fit", net.max_iter, "ConvNetClassifier")
    epochs = [context for context in watching.contexts if context.parent is fit]
    assert {(epoch.task_name, epoch.max_subtasks) for epoch in epochs} == {("epoch", 0)}


@each_training
def test_training_does_not_see_callbacks(params):
    """Whatever they ask for, and whatever random numbers they draw: weights, records, all attributes."""

    def draw_and_predict(event, fitted):
        np.random.seed(len(event))
        fitted.predict(X)

    plain, watched = make_net(**params).fit(X, Y), make_net(**params)
    watched.set_callbacks(Watching(draw_and_predict), ScoringMonitor(scoring="accuracy"), Incurious()).fit(
        X, Y
    )
    assert attributes(watched) == attributes(plain)
    assert_same_bits(watched, plain)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()])
def test_what_a_callback_writes_to_the_estimator_stays(error):
    """As with estimators of scikit-learn, whose fit writes its attributes into the estimator itself."""

    class Writing(Incurious):
        def on_fit_task_end(self, estimator, context):
            estimator.n_ended_ = getattr(estimator, "n_ended_", 0) + 1
            if error is not None and estimator.n_ended_ == 3:
                raise error

    net = make_net().set_callbacks(Writing())
    if error is None:
        assert net.fit(X, Y).n_ended_ == 4
    else:
        with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="was interrupted"):
            net.fit(X, Y)
        assert net.n_ended_ == 3
    assert net.n_iter_ == 3


def test_what_cannot_be_fitted_does_not_begin():
    watching = Watching()
    net = make_net(loss="hinge", scoring="neg_log_loss", early_stopping=True, validation_fraction=0.2)
    with pytest.raises(ValueError, match="needs probabilities"):
        net.set_callbacks(watching).fit(X, Y)
    assert watching.events == []


def test_without_callbacks_there_are_no_tasks(monkeypatch):
    monkeypatch.setattr("skcnn.training.callbacks.WatchedFit", None)
    assert make_net().set_callbacks(Incurious()).set_callbacks().fit(X, Y).n_iter_ == 3
    watch = begin_fit(make_net(), {}, None, task_name="fit", n_epochs=3)
    goes_on = object()
    assert watch.end_epoch(goes_on, None) is goes_on


def test_callbacks_that_ask_for_nothing_cost_no_copy(monkeypatch):
    def unwanted(*arguments):
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(Fit, "copy_result", unwanted)
    monkeypatch.setattr("skcnn.data.samples.safe_indexing", unwanted)
    net = make_net(early_stopping=True, validation_fraction=0.2).set_callbacks(Incurious())
    assert net.fit(X, Y, np.ones(N_SAMPLES)).n_iter_ == 3


@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}, {"averaging": "ema"}], ids=str)
def test_a_callback_may_stop_training(params):
    watching = Watching(stop_after=2)
    stopped, shorter = make_net(**params).set_callbacks(watching).fit(X, Y), make_net(**params, max_iter=2)
    assert watching.events == events_of(2)
    assert stopped.n_iter_ == len(stopped.history_) == len(stopped.loss_curve_) == 2
    shorter.fit(X, Y)
    assert_same_bits(stopped, shorter)
    differing = {name for name, value in attributes(stopped).items() if value != attributes(shorter)[name]}
    assert differing == {"max_iter"}


def test_all_callbacks_are_told_of_an_epoch_that_one_stops():
    others = Watching(), Watching()
    make_net().set_callbacks(others[0], Watching(stop_after=1), others[1]).fit(X, Y)
    assert [other.events for other in others] == [events_of(1)] * 2


def test_stopped_training_goes_on_with_warm_start():
    net, whole = make_net(warm_start=True).set_callbacks(Watching(stop_after=2)).fit(X, Y), make_net()
    net.set_callbacks().set_params(max_iter=1).fit(X, Y)
    assert_same_bits(net, whole.fit(X, Y))


def test_callbacks_are_told_when_time_is_over():
    watching = Watching()
    assert make_net(max_time=1e-9).set_callbacks(watching).fit(X, Y).n_iter_ == 1
    assert watching.events == events_of(1)


def test_an_epoch_in_which_training_diverges_ends_without_a_fitted_estimator():
    """And so it is not scored: there are as many scores as epochs."""
    watching, monitor = Watching(), ScoringMonitor(scoring="accuracy")
    layers = [Dense(8, activation="relu")]
    net = make_net(layers, solver="sgd", learning_rate_init=1e3, max_iter=100, dtype="float32")
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        net.set_callbacks(watching, monitor).fit(X, Y)
    n_epochs = net.n_iter_
    assert 0 < n_epochs < 99
    assert watching.events == events_of(n_epochs + 1)
    assert watching.copies[f"end epoch {n_epochs + 1}"] is None
    assert_same_bits(watching.copies["end fit"], net)
    assert len(scores_in(monitor.get_logs(), "accuracy")) == n_epochs


@pytest.mark.parametrize("tol", [100.0, 0.05])
def test_lbfgs_that_has_converged_ends_a_last_task_without_a_fitted_estimator(tol):
    """As scikit-learn does: that there is no further iteration shows after its beginning."""
    watching = Watching()
    params = {"solver": "lbfgs", "tol": tol, "alpha": 0.1, "max_iter": 500, "n_iter_no_change": 500}
    net = make_net(**params).set_callbacks(watching).fit(X, Y)
    assert net.n_iter_ < 500
    assert watching.events == events_of(net.n_iter_ + 1)
    assert watching.copies[f"end epoch {net.n_iter_ + 1}"] is None
    assert_same_bits(watching.copies[f"end epoch {net.n_iter_}"], net)


def test_partial_fit_is_a_task_of_one_epoch():
    watching, monitor = Watching(), ScoringMonitor(scoring="accuracy")
    net = make_net().set_callbacks(watching, monitor)
    for _ in range(2):
        net.partial_fit(X, Y, CLASSES)
    assert watching.events == events_of(1) * 2
    assert (watching.contexts[0].task_name, watching.contexts[0].max_subtasks) == ("partial-fit", 1)
    expected = [make_net(max_iter=n).fit(X, Y).score(X, Y) for n in (1, 2)]
    assert [scores_in(log, "accuracy") for log in monitor.get_logs(select="all")] == [[s] for s in expected]
    net.partial_fit(X, Y, sample_weight=np.zeros(N_SAMPLES))  # nothing to learn from
    assert watching.events == events_of(1) * 2


# --- fitted copies ---


@each_training
def test_copies_are_what_fit_gives_where_it_is_stopped(params):
    """In all their attributes, also where an epoch is another one if it is the last that was asked for."""
    watching = Watching()
    net = make_net(**params).set_callbacks(watching).fit(X, Y)
    copies = watching.copies
    for epoch in range(1, net.n_iter_ + 1):
        stopped = make_net(**params).set_callbacks(Watching(stop_after=epoch))
        if params.get("averaging") == "swa" and epoch <= 2:
            with pytest.warns(UserWarning, match="averaged nothing"):
                stopped.fit(X, Y)
        else:
            stopped.fit(X, Y)
        assert attributes(copies[f"end epoch {epoch}"]) == attributes(stopped)
        assert_same_bits(copies[f"end epoch {epoch}"], stopped)
        if epoch < net.n_iter_:
            assert attributes(copies[f"begin epoch {epoch + 1}"]) == attributes(stopped)
    assert attributes(copies["end fit"]) == attributes(net)
    assert copies["begin fit"] is None


def test_the_copy_at_the_beginning_has_initial_weights():
    watching = Watching()
    make_net([], solver="sgd", learning_rate_init=1e-300).set_callbacks(watching).fit(X, Y)
    first = watching.copies["begin epoch 1"]
    assert_allclose(first.network_.vector, watching.copies["end fit"].network_.vector, rtol=0, atol=1e-200)
    assert (first.n_iter_, first.t_, first.history_) == (0, 0, [])
    assert np.isnan(first.loss_)
    assert first.predict(X).shape == (N_SAMPLES,)


def test_the_copy_at_the_beginning_of_a_warm_start_is_the_estimator_before():
    watching = Watching()
    net = make_net(averaging="ema", warm_start=True).fit(X, Y)
    before, vector = attributes(net), net.network_.vector
    net.set_callbacks(watching).fit(X, Y)
    first = watching.copies["begin epoch 1"]
    assert_array_equal(first.network_.vector, vector)
    differing = {name for name, value in attributes(first).items() if value != before[name]}
    assert differing == {"n_iter_"}  # of the call under way


def test_copies_are_independent():
    """Training on does not change them, nor do changes of one the other or the estimator."""
    scores = {}
    watching = Watching(lambda event, fitted: scores.update({event: fitted.decision_function(X)}))
    net = make_net().set_callbacks(watching).fit(X, Y)
    copies = {event: fitted for event, fitted in watching.copies.items() if fitted is not None}
    assert len(copies) == len(scores) == 7
    final = net.decision_function(X)
    vectors = [fitted.network_.vector for fitted in (*copies.values(), net)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(vectors) for b in vectors[:i])
    for event, fitted in copies.items():
        assert_array_equal(fitted.decision_function(X), scores[event])
        fitted.network_.vector[:] = 0
    assert_array_equal(net.decision_function(X), final)


def test_copies_go_on_with_warm_start_as_the_estimator_does():
    watching = Watching()
    net = make_net(warm_start=True, averaging="ema").set_callbacks(watching).fit(X, Y)
    second = watching.copies["end epoch 2"].set_params(max_iter=1).fit(X, Y)
    assert_same_bits(second, net)
    assert second.loss_curve_ == net.loss_curve_


def test_copies_have_no_callbacks_and_no_part_in_the_fit_under_way(capsys):
    """To train on with one in a hook neither ends the fit for callbacks nor is it told to them."""

    def train_on(event, fitted):
        assert not any("callback" in name for name in vars(fitted))
        fitted.partial_fit(X, Y)

    training_on = Watching(train_on)
    steps = [("net", make_net().set_callbacks(training_on))]
    Pipeline(steps).set_callbacks(progress_bar()).fit(X, Y)
    assert [len(fitted.history_) for fitted in training_on.copies.values() if fitted] == [1, 2, 2, 3, 3, 4, 4]
    assert [event.split()[0] for event in training_on.events[:2]] == ["setup", "begin"]
    assert len(training_on.events) == len(events_of(3))


def test_a_copy_has_only_the_names_of_the_fit_under_way():
    """A fit with a data frame before would else make predictions from arrays warn."""
    monitor, names = ScoringMonitor(scoring="accuracy"), [f"pixel_{i}" for i in range(36)]
    net = make_net().fit(data_frame(X.reshape(N_SAMPLES, -1), columns=names), Y)
    net.set_callbacks(monitor).fit(X.reshape(N_SAMPLES, -1), Y)
    assert scores_in(monitor.get_logs(), "accuracy")[-1] == net.score(X.reshape(N_SAMPLES, -1), Y)


# --- samples ---


def test_arrays_are_handed_on_as_they_are(tmp_path):
    """A memory map is neither read nor copied."""
    np.save(tmp_path / "X.npy", X)
    mapped, watching = np.load(tmp_path / "X.npy", mmap_mode="r"), Watching()
    make_net().set_callbacks(watching).fit(mapped, Y)
    assert all(
        np.shares_memory(images, mapped) and not images.flags.writeable for images, *_ in watching.seen
    )
    assert all(metadata is None for *_, metadata in watching.seen)
    assert_array_equal(watching.seen[0][1], Y)


def test_lists_are_handed_on_as_arrays():
    watching = Watching()
    make_net().set_callbacks(watching).fit(X.tolist(), Y.tolist())
    images, labels, _ = watching.seen[-1]
    assert (images.shape, labels.shape) == (X.shape, Y.shape)
    assert_array_equal(images, X)
    assert_array_equal(labels, Y)


def test_samples_without_weight_are_left_out():
    watching, weights = Watching(), np.arange(N_SAMPLES) % 4.0
    make_net().set_callbacks(watching).fit(X, Y, weights)
    rows = np.flatnonzero(weights)
    for images, labels, metadata in watching.seen:
        assert_array_equal(images, X[rows])
        assert_array_equal(labels, Y[rows])
        assert_array_equal(metadata.pop("sample_weight"), weights[rows])
        assert metadata == {}


def test_a_weight_for_all_samples_is_one_each():
    watching = Watching()
    make_net().set_callbacks(watching).fit(X, Y, 2.0)
    assert_array_equal(watching.seen[-1][2]["sample_weight"], np.full(N_SAMPLES, 2.0))


@pytest.mark.parametrize("as_frame", [False, True])
def test_validation_samples_are_left_out(as_frame):
    """Callbacks see the samples that are trained on, and a scorer all others; a frame stays a frame."""
    validated, watching = [], Watching()

    def scoring(estimator, images, labels):
        validated.append((images, labels))
        return 0.0

    names = [f"pixel_{i}" for i in range(36)]
    images = data_frame(X.reshape(N_SAMPLES, -1), columns=names) if as_frame else X
    net = make_net(early_stopping=True, validation_fraction=0.25, scoring=scoring)
    net.set_callbacks(watching, ScoringMonitor(scoring="accuracy")).fit(images, Y)
    seen, labels, metadata = watching.seen[-1]
    assert type(seen) is type(images)
    rows, others = rows_in(seen), rows_in(validated[0][0])
    assert_array_equal(labels, Y[rows])
    assert sorted([*rows, *others]) == list(range(N_SAMPLES))
    assert len(others) == 15
    assert metadata is None
    assert watching.seen[0][0] is seen  # copied once


def test_given_validation_samples_are_not_those_of_training():
    watching = Watching()
    net = make_net(early_stopping=True).set_callbacks(watching)
    net.fit(X, Y, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=np.ones(30))
    assert watching.seen[-1][0] is X
    assert watching.seen[-1][2] is None


# --- the state of numpy, and threads ---


class Looking(Layer):
    """Passes images on, and keeps the state of numpy that it computes in."""

    states = set()

    def forward(self, params, X, unit, *, training, out):
        Looking.states.add((np.geterr()["under"], np.getbufsize()))
        np.copyto(out, X)
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


@pytest.mark.parametrize("averaging", [None, "ema"])
def test_callbacks_see_the_state_of_numpy_that_the_caller_set(averaging, monkeypatch):
    """While all is computed in another one, also the statistics of an average, for those who ask for it."""
    monkeypatch.setattr(Looking, "states", set())
    states = []
    watching = Watching(lambda event, fitted: states.append((np.geterr()["under"], np.getbufsize())))
    net = make_net([Looking(), Conv2D(4), BatchNorm()], averaging=averaging).set_callbacks(watching)
    with np.errstate(all="raise"):
        before = np.setbufsize(160)
        try:
            net.fit(X, Y)
        finally:
            np.setbufsize(before)
    assert states == [("raise", 160)] * 7
    assert len(Looking.states) == 1
    assert not Looking.states & set(states)


@pytest.mark.parametrize("averaging", [None, "ema"])
def test_copies_predict_in_other_threads_while_training_goes_on(averaging, cut_work, monkeypatch):
    monkeypatch.setenv("SKCNN_NUM_THREADS", "2")
    cut_work(FINE)
    scores, threads = {}, []

    def predict(event, fitted):
        scores.setdefault(event, []).append(fitted.decision_function(X))

    def predict_here_and_there(event, fitted):
        predict(event, fitted)
        threads.append(threading.Thread(target=predict, args=(event, fitted)))
        threads[-1].start()

    net = make_net(averaging=averaging).set_callbacks(Watching(predict_here_and_there)).fit(X, Y)
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert len(scores) == 7
    for here, there in scores.values():
        assert_array_equal(here, there)
    assert_array_equal(scores["end fit"][0], net.decision_function(X))
    assert_same_bits(net, make_net(averaging=averaging).fit(X, Y))


# --- failures ---

MOMENTS = [
    "setup fit",
    "begin fit",
    "begin epoch 1",
    "end epoch 1",
    "begin epoch 2",
    "end epoch 3",
    "end fit",
]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("params", [{}, {"solver": "lbfgs"}], ids=str)
@pytest.mark.parametrize("error", [ValueError("by the callback"), SystemExit("by the callback")], ids=repr)
def test_an_error_of_a_callback_leaves_the_estimator_as_it_was(moment, params, error):
    failing, other = Watching(error=error, error_at=moment), Watching()
    net = make_net(**params).fit(X, Y).set_callbacks(failing, other)
    before = dict(vars(net))
    with pytest.raises(type(error), match="by the callback"):
        net.set_params(random_state=SEED + 1).fit(X, Y)
    assert vars(net) == before | {"random_state": SEED + 1}
    assert failing.events == [*events_of(3)[: events_of(3).index(moment) + 1], "teardown fit"]
    assert other.events[-1:] == ([] if moment == "setup fit" else ["teardown fit"])
    failing.error_at = None
    net.fit(X, Y)
    assert_same_bits(net, make_net(**params, random_state=SEED + 1).fit(X, Y))


def test_an_error_at_the_very_end_comes_after_the_fit():
    """As scikit-learn does it: a teardown sees the fitted estimator."""
    failing = Watching(error=ValueError("by the callback"), error_at="teardown fit")
    net = make_net().set_callbacks(failing)
    with pytest.raises(ValueError, match="by the callback"):
        net.fit(X, Y)
    assert_same_bits(net, make_net().fit(X, Y))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    ("moment", "n_epochs"), [("end epoch 1", 1), ("begin epoch 3", 2), ("end epoch 3", 3), ("end fit", 3)]
)
def test_an_interrupt_in_a_callback_is_one_of_training(moment, n_epochs, solver):
    """What was trained is kept, with a warning, and the interrupt is raised."""
    interrupted = Watching(error=KeyboardInterrupt, error_at=moment)
    net = make_net(solver=solver).set_callbacks(interrupted)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="Training was interrupted; the w"):
        net.fit(X, Y)
    assert net.n_iter_ == n_epochs
    assert interrupted.events[-1] == "teardown fit"
    assert vars(net).keys() - {"_skl_callbacks"} == vars(make_net().fit(X, Y)).keys()
    assert_same_bits(net, make_net(solver=solver, max_iter=n_epochs).fit(X, Y))


@pytest.mark.parametrize("moment", ["setup fit", "begin fit", "begin epoch 1"])
def test_an_interrupt_before_the_first_step_changes_nothing(moment):
    net = make_net().set_callbacks(Watching(error=KeyboardInterrupt, error_at=moment))
    before = dict(vars(net))
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y)
    assert vars(net) == before


def test_refused_samples_are_not_told_to_callbacks():
    watching = Watching()
    net = make_net().set_callbacks(watching)
    for images, layers in ((X[:, 0, 0], net.layers), (X, [Conv2D(4, 99, padding="valid")])):
        with pytest.raises(ValueError, match="Expected images|conv2d_1"):
            net.set_params(layers=layers).fit(images, Y)
    assert watching.events == []


# --- copies of the estimator ---


def test_clones_share_the_callbacks():
    watching = Watching()
    net = make_net().set_callbacks(watching)
    clone(net).fit(X, Y)
    clone(net.fit(X, Y)).fit(X, Y)
    assert watching.events == events_of(3) * 3
    assert not hasattr(net.set_callbacks(), "_skl_callbacks")


@pytest.mark.parametrize("copied", [lambda net: pickle.loads(pickle.dumps(net)), copy.deepcopy])
@pytest.mark.parametrize("fitted", [False, True])
def test_pickles_and_deep_copies_have_callbacks_of_their_own(copied, fitted, capsys):
    monitor = ScoringMonitor(scoring="accuracy")
    net = make_net(max_iter=2).set_callbacks(monitor, progress_bar())
    if fitted:
        net.fit(X, Y)
    other = copied(net).fit(X, Y)
    theirs = other._skl_callbacks[0]
    assert theirs is not monitor
    assert scores_in(theirs.get_logs(), "accuracy")[-1] == other.score(X, Y)
    assert len(theirs.get_logs(select="all")) == 1 + fitted
    assert len(monitor._log) == 3 * fitted
    assert len([line for line in capsys.readouterr().out.splitlines() if " 100% " in line]) == 1 + fitted


def test_a_fitted_estimator_with_callbacks_is_hardly_larger_in_a_pickle():
    plain, watched = make_net().fit(X, Y), make_net().set_callbacks(Incurious()).fit(X, Y)
    buffers = [io.BytesIO(), io.BytesIO()]
    for net, buffer in zip((plain, watched), buffers, strict=True):
        joblib.dump(net, buffer)
    sizes = [len(buffer.getvalue()) for buffer in buffers]
    assert sizes[0] < sizes[1] < sizes[0] + 200


def test_fit_leaves_nothing_of_the_fit_on_the_estimator():
    net = make_net().set_callbacks(Watching()).fit(X, Y)
    assert vars(net).keys() - vars(make_net().fit(X, Y)).keys() == {"_skl_callbacks"}


if not HAS_CALLBACKS:
    for _name in [name for name in globals() if name.startswith("test_")]:
        globals()[_name].__test__ = (
            _name == "test_callbacks_are_there_where_scikit_learn_has_them_and_only_there"
        )
