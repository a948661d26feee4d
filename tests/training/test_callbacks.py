"""scikit-learn's callbacks: what they see of a training, and that training does not see them.

Before scikit-learn 1.9 there are none, and only that is tested.
"""

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import joblib
import numpy as np
import pytest
from cuts import FINE
from extras import data_frame, package
from numpy.testing import assert_allclose, assert_array_equal
from seeds import SEED, generator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from small_classifiers import PassingLayer, assert_same_weights, make_classifier
from small_regressors import make_numbers, make_regressor

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dense, Dropout, RandomShift
from skcnn.training.fit import Fit

HAS_CALLBACKS = find_spec("sklearn.callback") is not None

if HAS_CALLBACKS:
    from sklearn.callback import ProgressBar, ScoringMonitor

N_SAMPLES = 60
X = generator(0).normal(size=(N_SAMPLES, 6, 6))
ROWS = X.reshape(N_SAMPLES, -1)
Y = np.array(["ant", "bee", "cat"])[np.arange(N_SAMPLES) % 3]
CLASSES = np.unique(Y)

make_net = partial(make_classifier, normalization="batch", averaging=None, batch_size=20, max_iter=3)


def progress_bar():
    package("rich")
    return ProgressBar()


SPLIT = {"early_stopping": True, "validation_fraction": 0.2}
TRAININGS = {
    "plain": {},
    "random": {"layers": [Conv2D(4), Dropout(0.3)], "augmentation": [RandomShift(1)]},
    "lbfgs": {"solver": "lbfgs"},
    "warm start of an average": {"warm_start": True, "averaging": "ema"},
    "average of epochs": {"averaging": "swa", "averaging_start": 0.5, "max_iter": 4},
    "adaptive": {"learning_rate": "adaptive", "tol": 10.0, "n_iter_no_change": 1, "max_iter": 6},
    "early stopping": SPLIT,
    "best average": SPLIT | {"averaging": "ema"},
}

each_training = pytest.mark.parametrize("params", TRAININGS.values(), ids=TRAININGS)


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
        self.tell("begin", estimator, context, (X, y, metadata), fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        return self.tell("end", estimator, context, (X, y, metadata), fitted_estimator)

    def tell(self, hook, estimator, context, samples=None, fitted=None):
        event = f"{hook} " + (f"epoch {context.task_id + 1}" if context.task_name == "epoch" else "fit")
        self.events.append(event)
        self.contexts.append(context)
        self.estimator, self.copies[event] = estimator, fitted
        if event == self.error_at:
            raise self.error
        if samples is not None:
            self.seen.append(samples)
        if fitted is not None:
            self.act(event, fitted)
        return event == f"end epoch {self.stop_after}"


class Incurious:
    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = on_fit_task_end = setup


def events_of(n_epochs):
    epochs = [f"{hook} epoch {epoch}" for epoch in range(1, n_epochs + 1) for hook in ("begin", "end")]
    return ["setup fit", "begin fit", *epochs, "end fit", "teardown fit"]


def attributes(estimator):
    """Return digests of all that a fitted estimator has, but for times and callbacks."""
    values = vars(estimator) | {"_skl_callbacks": None}
    records = [record | {"seconds": 0.0} for record in estimator.history_]
    values |= vars(replace(values.pop("_history"), history=records))
    return {name: joblib.hash(value) for name, value in values.items()}


def differing(estimator, other):
    """Return the names of attributes of which the digests differ."""
    values, others = attributes(estimator), attributes(other)
    assert values.keys() == others.keys()
    return {name for name, value in values.items() if value != others[name]}


def test_callbacks_are_there_where_scikit_learn_has_them_and_only_there():
    assert hasattr(ConvNetClassifier, "set_callbacks") is HAS_CALLBACKS
    assert make_net(max_iter=1).fit(X, Y).n_iter_ == 1


# --- scikit-learn's own callbacks ---


def scores_in(log, name="accuracy", task="epoch"):
    return [row[name] for row in log.data if row["task_name"] == task]


@pytest.mark.parametrize("params", [{}, {"averaging": "ema"}, {"solver": "lbfgs"}], ids=str)
def test_scoring_monitor_logs_the_scores_of_shorter_trainings(params):
    monitor = ScoringMonitor(scoring="accuracy")
    make_net(**params).set_callbacks(monitor).fit(X, Y)
    expected = [make_net(**params, max_iter=n).fit(X, Y).score(X, Y) for n in (1, 2, 3)]
    assert scores_in(monitor.get_logs()) == expected
    assert scores_in(monitor.get_logs(), task="fit") == expected[-1:]


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regressors_are_scored_on_the_targets_as_given(n_outputs):
    numbers, monitor = make_numbers(30, n_outputs), ScoringMonitor(scoring="r2")
    regressor = make_regressor().set_callbacks(monitor).fit(*numbers)
    assert scores_in(monitor.get_logs(), "r2")[-1] == regressor.score(*numbers)


def test_with_early_stopping_scores_are_those_of_the_best_epoch_until_then():
    validation_scores, monitor = iter([1.0, 3.0, 2.0, 5.0, 4.0]), ScoringMonitor(scoring="neg_log_loss")
    params = {"early_stopping": True, "scoring": lambda *arguments: next(validation_scores)}
    net = make_net(**params, averaging="ema", max_iter=5).set_callbacks(monitor)
    net.fit(X, Y, X_val=X[::2], y_val=Y[::2])
    until = {n: make_net(averaging="ema", max_iter=n).fit(X, Y).predict_proba(X) for n in (1, 2, 4)}
    expected = [-log_loss(Y, until[best]) for best in (1, 2, 2, 4, 4)]
    assert scores_in(monitor.get_logs(), "neg_log_loss") == expected
    assert len(set(expected)) == 3


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_progress_bar_fills_below_the_lines_of_epochs(solver, capsys):
    make_net(solver=solver, verbose=True).set_callbacks(progress_bar()).fit(X, Y)
    *lines, bar = capsys.readouterr().out.strip().splitlines()
    assert [line.split()[:2] for line in lines if line.strip()] == [["epoch", str(n)] for n in (1, 2, 3)]
    assert bar.startswith("ConvNetClassifier - fit ")
    assert " 100% " in bar


def test_in_a_grid_search(capsys):
    """From processes of their own, too, the scores of every epoch of every fit arrive."""
    monitor = ScoringMonitor(scoring="accuracy")
    grid, cv = {"learning_rate_init": [1e-6, 0.05]}, StratifiedKFold(2)
    net = make_net(max_iter=2).set_callbacks(monitor)
    search = GridSearchCV(net, grid, cv=cv, n_jobs=2).set_callbacks(progress_bar()).fit(X, Y)
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
    assert scores_in(monitor.get_logs()) == expected
    assert search.best_estimator_._skl_callbacks == [monitor]
    assert not hasattr(search.best_estimator_, "_parent_callback_ctx")


# --- tasks ---


@each_training
def test_callbacks_see_each_epoch_and_training_does_not_see_callbacks(params):
    """Whatever they ask for, and whatever random numbers they draw."""

    def draw_and_predict(event, fitted):
        np.random.seed(len(event))
        fitted.predict(X)

    watching, net = Watching(draw_and_predict), make_net(**params)
    net.set_callbacks(watching, ScoringMonitor(scoring="accuracy"), Incurious())
    assert net.fit(X, Y) is net
    assert differing(net, make_net(**params).fit(X, Y)) == set()
    assert watching.events == events_of(net.n_iter_)
    assert watching.estimator is net
    fit, *_ = watching.contexts
    assert (fit.task_name, fit.max_subtasks, fit.estimator_name) == ("fit", net.max_iter, "ConvNetClassifier")
    epochs = [context for context in watching.contexts if context.parent is fit]
    assert {(epoch.task_name, epoch.max_subtasks) for epoch in epochs} == {("epoch", 0)}


def test_what_a_callback_writes_to_the_estimator_stays():
    """As with estimators of scikit-learn, whose fit writes its attributes into the estimator itself."""

    class Writing(Incurious):
        def on_fit_task_end(self, estimator, context):
            estimator.n_ended_ = getattr(estimator, "n_ended_", 0) + 1

    assert make_net().set_callbacks(Writing()).fit(X, Y).n_ended_ == 4


REFUSED = {
    "scoring='neg_log_loss' needs probabilities": (SPLIT | {"loss": "hinge", "scoring": "neg_log_loss"}, X),
    "Expected images": ({}, X[:, 0, 0]),
    "conv2d_1": ({"layers": [Conv2D(4, 99, padding="valid")]}, X),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_fitted_does_not_begin(message):
    (params, images), watching = REFUSED[message], Watching()
    with pytest.raises(ValueError, match=message):
        make_net(**params).set_callbacks(watching).fit(images, Y)
    assert watching.events == []


def test_callbacks_that_ask_for_nothing_cost_no_copy(monkeypatch):
    def unwanted(*arguments):
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr(Fit, "copy_result", unwanted)
    monkeypatch.setattr("skcnn.data.samples.safe_indexing", unwanted)
    assert make_net(**SPLIT).set_callbacks(Incurious()).fit(X, Y, np.ones(N_SAMPLES)).n_iter_ == 3


@pytest.mark.parametrize("params", [{"warm_start": True}, {"solver": "lbfgs"}, {"averaging": "ema"}], ids=str)
def test_a_callback_may_stop_training(params):
    """As if it had been asked for fewer epochs; the others are told of the last one, too."""
    watching, other = Watching(stop_after=2), Watching()
    stopped = make_net(**params).set_callbacks(watching, other).fit(X, Y)
    assert watching.events == other.events == events_of(2)
    assert stopped.n_iter_ == len(stopped.history_) == len(stopped.loss_curve_) == 2
    assert differing(stopped, make_net(**params, max_iter=2).fit(X, Y)) == {"max_iter"}


@pytest.mark.parametrize(
    ("params", "fewest"),
    [
        ({"layers": [Dense(8, activation="relu")], "learning_rate_init": 1e3, "max_iter": 100}, 1),
        ({"conv_layer_sizes": (8, 8), "learning_rate_init": 1e30, "batch_size": 60, "max_iter": 1}, 0),
    ],
    ids=["after some", "scores of the only step"],
)
def test_an_epoch_in_which_training_diverges_ends_without_a_fitted_estimator(params, fewest):
    """And so it is not scored: there are as many scores as epochs."""
    watching, monitor = Watching(), ScoringMonitor(scoring="accuracy")
    net = make_net(**params, activation="relu", solver="sgd", dtype="float32")
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        net.set_callbacks(watching, monitor).fit(X, Y)
    n_epochs = net.n_iter_
    assert fewest <= n_epochs < net.max_iter
    assert watching.events == events_of(n_epochs + 1)
    assert watching.copies[f"end epoch {n_epochs + 1}"] is None
    assert_same_weights(watching.copies["end fit"], net)
    assert len(scores_in(monitor.get_logs())) == n_epochs


@pytest.mark.parametrize("tol", [100.0, 0.05])
def test_lbfgs_that_has_converged_ends_a_last_task_without_a_fitted_estimator(tol):
    """As scikit-learn does: that there is no further iteration shows after its beginning."""
    watching = Watching()
    params = {"solver": "lbfgs", "tol": tol, "alpha": 0.1, "max_iter": 500, "n_iter_no_change": 500}
    net = make_net([Conv2D(4), BatchNorm(), Dense(8, activation="relu")], **params)
    net.set_callbacks(watching).fit(X, Y)
    assert net.n_iter_ < 500
    assert watching.events == events_of(net.n_iter_ + 1)
    assert watching.copies[f"end epoch {net.n_iter_ + 1}"] is None
    assert_same_weights(watching.copies[f"end epoch {net.n_iter_}"], net)


def test_partial_fit_is_a_task_of_one_epoch():
    watching, net = Watching(), make_net()
    net.set_callbacks(watching).partial_fit(X, Y, CLASSES).partial_fit(X, Y)
    assert watching.events == events_of(1) * 2
    assert (watching.contexts[0].task_name, watching.contexts[0].max_subtasks) == ("partial-fit", 1)
    assert differing(watching.copies["end epoch 1"], net) == set()
    net.partial_fit(X, Y, sample_weight=np.zeros(N_SAMPLES))  # nothing to learn from
    assert watching.events == events_of(1) * 2


# --- fitted copies ---


@pytest.mark.filterwarnings("ignore:averaging='swa' averaged nothing")
@each_training
def test_copies_are_what_fit_gives_where_it_is_stopped(params):
    """In all their attributes, also where an epoch is another one if it is the last that was asked for."""
    watching = Watching()
    net = make_net(**params).set_callbacks(watching).fit(X, Y)
    copies = watching.copies
    for epoch in range(1, net.n_iter_ + 1):
        stopped = make_net(**params).set_callbacks(Watching(stop_after=epoch)).fit(X, Y)
        assert differing(copies[f"end epoch {epoch}"], stopped) == set()
        if epoch < net.n_iter_:
            assert differing(copies[f"begin epoch {epoch + 1}"], stopped) == set()
    assert differing(copies["end fit"], net) == set()
    assert copies["begin fit"] is None


def test_the_copy_at_the_beginning_has_initial_weights():
    watching = Watching()
    make_net([], solver="sgd", learning_rate_init=1e-300).set_callbacks(watching).fit(X, Y)
    first = watching.copies["begin epoch 1"]
    assert_allclose(first.network_.vector, watching.copies["end fit"].network_.vector, rtol=0, atol=1e-200)
    assert (first.n_iter_, first.t_, first.history_) == (0, 0, [])
    assert np.isnan(first.loss_)


def test_the_copy_at_the_beginning_of_a_warm_start_is_the_estimator_before():
    watching = Watching()
    net = make_net(averaging="ema", warm_start=True).fit(X, Y)
    before = copy.copy(net)
    net.set_callbacks(watching).fit(X, Y)
    assert differing(watching.copies["begin epoch 1"], before) == {"n_iter"}  # of the call under way


def test_copies_are_independent():
    """Training on does not change them, nor do changes of one the other or the estimator."""
    scores = {}
    watching = Watching(lambda event, fitted: scores.update({event: fitted.decision_function(X)}))
    net = make_net().set_callbacks(watching).fit(X, Y)
    copies = {event: fitted for event, fitted in watching.copies.items() if fitted is not None}
    assert len(copies) == len(scores) == 7
    final = net.decision_function(X)
    for event, fitted in copies.items():
        assert_array_equal(fitted.decision_function(X), scores[event])
        fitted.network_.vector[:] = 0
    assert_array_equal(net.decision_function(X), final)


def test_copies_have_no_callbacks_and_no_part_in_the_fit_under_way():
    """To train on with one in a hook neither ends the fit for callbacks nor is it told to them."""

    def train_on(event, fitted):
        assert not any("callback" in name for name in vars(fitted))
        fitted.partial_fit(X, Y)

    training_on = Watching(train_on)
    steps = [("net", make_net().set_callbacks(training_on))]
    pipeline = Pipeline(steps).set_callbacks(progress_bar()).fit(X, Y)
    assert [len(fitted.history_) for fitted in training_on.copies.values() if fitted] == [1, 2, 2, 3, 3, 4, 4]
    assert training_on.events == events_of(3)
    assert pipeline[-1]._skl_callbacks == [training_on]  # and no longer the bar


def test_a_copy_has_only_the_names_of_the_fit_under_way():
    """A fit with a data frame before would else make predictions from arrays warn."""
    monitor, names = ScoringMonitor(scoring="accuracy"), [f"pixel_{i}" for i in range(36)]
    net = make_net().fit(data_frame(ROWS, columns=names), Y)
    net.set_callbacks(monitor).fit(ROWS, Y)
    assert scores_in(monitor.get_logs())[-1] == net.score(ROWS, Y)


# --- samples ---


def test_arrays_are_handed_on_as_they_are(tmp_path):
    """A memory map is neither read nor copied."""
    np.save(tmp_path / "X.npy", X)
    mapped, watching = np.load(tmp_path / "X.npy", mmap_mode="r"), Watching()
    make_net().set_callbacks(watching).fit(mapped, Y)
    for images, labels, metadata in watching.seen:
        assert np.shares_memory(images, mapped) and not images.flags.writeable
        assert_array_equal(labels, Y)
        assert metadata is None


def test_lists_are_handed_on_as_arrays():
    watching = Watching()
    make_net().set_callbacks(watching).fit(X.tolist(), Y.tolist())
    for given, expected in zip(watching.seen[-1], (X, Y), strict=False):
        assert type(given) is np.ndarray
        assert_array_equal(given, expected)


def test_samples_without_weight_are_left_out():
    watching, monitor = Watching(), ScoringMonitor(scoring="accuracy")
    weights = np.arange(N_SAMPLES) % 4.0
    net = make_net().set_callbacks(watching, monitor).fit(X, Y, weights)
    rows = np.flatnonzero(weights)
    for images, labels, metadata in watching.seen:
        assert_array_equal(images, X[rows])
        assert_array_equal(labels, Y[rows])
        assert metadata.keys() == {"sample_weight"}
        assert_array_equal(metadata["sample_weight"], weights[rows])
    assert scores_in(monitor.get_logs())[-1] == net.score(X, Y, weights)


@pytest.mark.parametrize("as_frame", [False, True])
def test_validation_samples_are_left_out(as_frame):
    """Callbacks see the samples that are trained on, and a scorer all others; a frame stays a frame."""
    validated, watching = [], Watching()

    def scoring(estimator, images, labels):
        validated.append(images)
        return 0.0

    images = data_frame(ROWS, columns=[f"pixel_{i}" for i in range(36)]) if as_frame else X
    net = make_net(early_stopping=True, validation_fraction=0.25, scoring=scoring)
    net.set_callbacks(watching, ScoringMonitor(scoring="accuracy")).fit(images, Y)
    seen, labels, metadata = watching.seen[-1]
    assert type(seen) is type(images)
    trained, others = (np.asarray(some).reshape(-1, 36)[:, 0] for some in (seen, validated[0]))
    assert_array_equal(np.sort([*trained, *others]), np.sort(ROWS[:, 0]))
    assert len(others) == 15
    assert_array_equal(labels, Y[[ROWS[:, 0].tolist().index(pixel) for pixel in trained]])
    assert metadata is None
    assert watching.seen[0][0] is seen  # copied once


# --- the state of numpy, and threads ---


class Looking(PassingLayer):
    """Keeps the state of numpy that it computes in."""

    states = set()

    def forward(self, params, X, unit, *, training, out):
        Looking.states.add((np.geterr()["under"], np.getbufsize()))
        return X


def test_callbacks_see_the_state_of_numpy_that_the_caller_set(monkeypatch):
    """While all is computed in another one, also the statistics of an average, for those who ask for it."""
    monkeypatch.setattr(Looking, "states", set())
    states = []
    watching = Watching(lambda event, fitted: states.append((np.geterr()["under"], np.getbufsize())))
    net = make_net([Looking(), Conv2D(4), BatchNorm()], averaging="ema").set_callbacks(watching)
    with np.errstate(all="raise"):
        before = np.setbufsize(160)
        try:
            net.fit(X, Y)
        finally:
            np.setbufsize(before)
    assert states == [("raise", 160)] * 7
    assert len(Looking.states) == 1
    assert not Looking.states & set(states)


@pytest.mark.costly
def test_copies_predict_in_other_threads_while_training_goes_on(cut_work, monkeypatch):
    monkeypatch.setenv("SKCNN_NUM_THREADS", "2")
    cut_work(FINE)
    scores = []

    def predict_here_and_there(event, fitted):
        scores.append((fitted.decision_function(X), pool.submit(fitted.decision_function, X)))

    with ThreadPoolExecutor() as pool:
        net = make_net(averaging="ema").set_callbacks(Watching(predict_here_and_there)).fit(X, Y)
    assert len(scores) == 7
    for here, there in scores:
        assert_array_equal(here, there.result())
    assert_array_equal(scores[-1][0], net.decision_function(X))
    assert_same_weights(net, make_net(averaging="ema").fit(X, Y))


# --- failures ---


MOMENTS = ["setup fit", "begin fit", "begin epoch 1", "end epoch 1", "begin epoch 2", "end fit"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("solver", "error"), [("adam", ValueError), ("lbfgs", SystemExit)])
def test_an_error_of_a_callback_leaves_the_estimator_as_it_was(moment, solver, error):
    failing, other = Watching(error=error("by the callback"), error_at=moment), Watching()
    net = make_net(solver=solver).fit(X, Y).set_callbacks(failing, other)
    before = dict(vars(net))
    with pytest.raises(error, match="by the callback"):
        net.set_params(random_state=SEED + 1).fit(X, Y)
    assert vars(net) == before | {"random_state": SEED + 1}
    assert failing.events == [*events_of(3)[: events_of(3).index(moment) + 1], "teardown fit"]
    assert other.events[-1:] == ([] if moment == "setup fit" else ["teardown fit"])
    failing.error_at = None
    assert_same_weights(net.fit(X, Y), make_net(solver=solver, random_state=SEED + 1).fit(X, Y))


def test_an_error_at_the_very_end_comes_after_the_fit():
    """As scikit-learn does it: a teardown sees the fitted estimator."""
    net = make_net().set_callbacks(Watching(error=ValueError("by the callback"), error_at="teardown fit"))
    with pytest.raises(ValueError, match="by the callback"):
        net.fit(X, Y)
    assert_same_weights(net, make_net().fit(X, Y))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(("moment", "n_epochs"), [("end epoch 1", 1), ("begin epoch 3", 2), ("end fit", 3)])
def test_an_interrupt_in_a_callback_is_one_of_training(moment, n_epochs, solver):
    """What was trained is kept, with a warning, and the interrupt is raised."""
    interrupted = Watching(error=KeyboardInterrupt, error_at=moment)
    net, expected = make_net(solver=solver), make_net(solver=solver, max_iter=n_epochs).fit(X, Y)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="interrupted"):
        net.set_callbacks(interrupted).fit(X, Y)
    assert net.n_iter_ == n_epochs
    assert interrupted.events[-1] == "teardown fit"
    assert vars(net).keys() - {"_skl_callbacks"} == vars(expected).keys()
    assert_same_weights(net, expected)


@pytest.mark.parametrize("moment", ["setup fit", "begin fit", "begin epoch 1"])
def test_an_interrupt_before_the_first_step_changes_nothing(moment):
    net = make_net().set_callbacks(Watching(error=KeyboardInterrupt, error_at=moment))
    before = dict(vars(net))
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y)
    assert vars(net) == before


if not HAS_CALLBACKS:
    for _name in [name for name in globals() if name.startswith("test_")]:
        globals()[_name].__test__ = (
            _name == "test_callbacks_are_there_where_scikit_learn_has_them_and_only_there"
        )
