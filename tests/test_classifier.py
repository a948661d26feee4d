"""What ConvNetClassifier does: attributes, predictions, training, stopping, and going on."""

import pickle
import re
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from extras import data_frame
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from seeds import SEED, generator
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import validate_data

from skcnn import Conv2D, ConvNetClassifier, Dense, Flatten, Layer, MaxPool2D, Mixup, PatchWhitening

N_SAMPLES, IMAGE_SHAPE, N_CLASSES = 45, (6, 5, 1), 3


def make_images(seed):
    """Return noisy images with a bright pixel for each class, and labels."""
    rng = generator(seed)
    y = np.arange(N_SAMPLES) % N_CLASSES
    X = rng.normal(size=(N_SAMPLES, *IMAGE_SHAPE))
    X[np.arange(N_SAMPLES), 2 * y, y + 1, 0] += 3
    return X, y


X, Y = make_images(0)
X_VAL, Y_VAL = make_images(1)
VALIDATION = {"X_val": X_VAL, "y_val": Y_VAL}
BINARY = (Y > 0).astype(int)
WEIGHTS = np.linspace(0.2, 2, N_SAMPLES)
NAMES = np.array(["ant", "bee", "cat"])
for array in (X, Y, X_VAL, Y_VAL, BINARY, WEIGHTS, NAMES):
    array.setflags(write=False)


def make_net(layers=None, **params):
    """Return a small estimator: three minibatches an epoch, not averaged."""
    defaults = {
        "averaging": None,
        "conv_layer_sizes": (4,),
        "normalization": None,
        "hidden_layer_sizes": (8,),
        "batch_size": 16,
        "max_iter": 2,
        "learning_rate_init": 1e-2,
        "random_state": SEED,
    }
    return ConvNetClassifier(layers, **(defaults | params))


def weights_of(net):
    """Return all weights and running statistics."""
    params = net.network_.params
    return {f"{layer}.{key}": value for layer in params for key, value in params[layer].items()}


def assert_same_weights(net, other):
    weights, others = weights_of(net), weights_of(other)
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert_array_equal(value, others[name], err_msg=name)


def same_weights(net, other):
    return all(np.array_equal(value, weights_of(other)[name]) for name, value in weights_of(net).items())


# attributes


def test_every_attribute_is_documented_and_every_documented_one_is_set():
    frame = data_frame(X.reshape(N_SAMPLES, -1)).add_prefix("pixel")
    net = make_net(image_shape=IMAGE_SHAPE).fit(frame, Y)
    section = ConvNetClassifier.__doc__.split("Attributes\n")[1].split("See Also\n")[0]
    documented = re.findall(r"^    (\w+_) : ", section, flags=re.MULTILINE)
    assert sorted(documented) == sorted(name for name in dir(net) if re.match(r"[a-z].*_$", name))


def test_attributes_of_the_data():
    net = make_net().fit(X, NAMES[Y])
    assert_array_equal(net.classes_, NAMES)
    assert net.n_features_in_ == 30
    assert net.image_shape_ == IMAGE_SHAPE
    assert net.n_outputs_ == N_CLASSES
    assert net.out_activation_ == "softmax"
    assert not hasattr(net, "feature_names_in_")


def test_attributes_of_the_network():
    net = make_net().fit(X, Y)
    assert [name for name, _ in net.layers_] == ["conv1", "pool1", "flatten", "dense1", "output"]
    assert all(isinstance(layer, Layer) for _, layer in net.layers_)
    shapes = {name: value.shape for name, value in weights_of(net).items()}
    assert shapes == {
        "conv1.weight": (3, 3, 1, 4),
        "conv1.bias": (4,),
        "dense1.weight": (3 * 2 * 4, 8),
        "dense1.bias": (8,),
        "output.weight": (8, 3),
        "output.bias": (3,),
    }
    assert net.n_params_ == sum(value.size for value in weights_of(net).values())


def test_running_statistics_are_not_counted_as_parameters():
    net = make_net([("conv", Conv2D(4))]).fit(X, Y)
    normalized = make_net(normalization="batch", hidden_layer_sizes=(), pooling=None).fit(X, Y)
    assert normalized.n_params_ == net.n_params_ + 4  # a scale and a shift in place of each bias


def test_attributes_of_the_course_of_training():
    net = make_net(max_iter=3).fit(X, Y)
    assert net.n_iter_ == len(net.loss_curve_) == 3
    assert net.t_ == 3 * N_SAMPLES
    assert net.loss_ == net.loss_curve_[-1]
    assert net.best_loss_ == min(net.loss_curve_)
    assert net.validation_scores_ is None
    assert net.best_validation_score_ is None
    keys = ["epoch", "learning_rate", "loss", "seconds", "step"]
    assert [sorted(record) for record in net.history_] == [keys] * 3
    assert [record["epoch"] for record in net.history_] == [1, 2, 3]
    assert [record["loss"] for record in net.history_] == net.loss_curve_
    assert [record["learning_rate"] for record in net.history_] == [1e-2] * 3
    n_batches = -(-N_SAMPLES // net._batch_size(N_SAMPLES))
    assert [record["step"] for record in net.history_] == [n_batches, 2 * n_batches, 3 * n_batches]
    assert len(net.batch_losses_) == 3 * n_batches
    assert all(record["seconds"] > 0 for record in net.history_)


def test_attributes_of_early_stopping():
    net = make_net(max_iter=3, early_stopping=True, validation_fraction=0.2).fit(X, Y)
    assert net.best_loss_ is None
    assert len(net.validation_scores_) == net.n_iter_ == 3
    assert net.best_validation_score_ == max(net.validation_scores_)
    assert [record["validation_score"] for record in net.history_] == net.validation_scores_
    assert net.t_ == 3 * (N_SAMPLES - 9)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"label_smoothing": 0.3},
        {"class_weight": {0: 3.0, 1: 0.5}},
        {"class_weight": "balanced", "label_smoothing": 0.1, "alpha": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["equal weights", "weights"])
def test_loss_is_the_weighted_mean_plus_penalty(params, sample_weight):
    params = {"batch_size": 1000, "solver": "sgd"} | params
    before = make_net(max_iter=1, **params).fit(X, Y, sample_weight)
    after = make_net(max_iter=2, **params).fit(X, Y, sample_weight)
    smoothing = params.get("label_smoothing", 0)
    targets = (1 - smoothing) * np.eye(N_CLASSES)[Y] + smoothing / N_CLASSES
    losses = -(targets * before.predict_log_proba(X)).sum(axis=1)
    weights = np.ones(N_SAMPLES) if sample_weight is None else sample_weight
    class_weight = params.get("class_weight")
    if class_weight == "balanced":
        totals = np.bincount(Y, weights)
        weights = weights * (totals.sum() / (N_CLASSES * totals))[Y]
    elif class_weight:
        weights = weights * np.array([class_weight.get(label, 1.0) for label in Y])
    squares = sum((value**2).sum() for name, value in weights_of(before).items() if "weight" in name)
    expected = np.average(losses, weights=weights) + params.get("alpha", 1e-4) / 2 * squares
    assert_allclose(after.loss_curve_[1], expected, rtol=1e-10)


# predictions


def test_binary_decision_function_is_the_difference_of_two_scores():
    net = make_net().fit(X, BINARY)
    decision = net.decision_function(X)
    assert decision.shape == (N_SAMPLES,)
    assert net.n_outputs_ == 2
    assert_array_equal(net.predict(X), (decision > 0).astype(int))
    assert_allclose(net.predict_proba(X)[:, 1], expit(decision), rtol=1e-12)


def test_multiclass_decision_function_has_a_score_for_each_class():
    net = make_net().fit(X, Y)
    decision = net.decision_function(X)
    assert decision.shape == (N_SAMPLES, N_CLASSES)
    assert_array_equal(net.predict(X), decision.argmax(axis=1))
    assert_allclose(net.predict_proba(X), softmax(decision, axis=1), rtol=1e-12)


def test_log_probabilities_are_logarithms():
    net = make_net().fit(X, Y)
    assert_allclose(np.exp(net.predict_log_proba(X)), net.predict_proba(X), rtol=1e-12)


def test_log_probabilities_are_finite_where_probabilities_underflow():
    net = make_net().fit(X, Y)
    far = 1e5 * X
    assert net.predict_proba(far).min() == 0
    assert np.isfinite(net.predict_log_proba(far)).all()


@pytest.mark.parametrize(
    "classes",
    [NAMES, NAMES.astype(object), np.array([-7, 0, 1000]), np.array([0.0, 1.0, 2.0]), np.int8([3, 1, 2])],
    ids=["text", "objects", "integers", "integral floats", "unsorted"],
)
def test_labels_are_predicted_as_they_were_given(classes):
    net = make_net().fit(X, classes[Y])
    assert_array_equal(net.classes_, np.sort(classes))
    prediction = net.predict(X)
    assert prediction.dtype == classes.dtype
    codes = np.searchsorted(net.classes_, classes[Y])
    assert_array_equal(prediction, net.classes_[make_net().fit(X, codes).predict(X)])


def test_names_of_labels_do_not_change_the_weights():
    assert_same_weights(make_net().fit(X, Y), make_net().fit(X, NAMES[Y]))


def test_boolean_labels():
    net, expected = make_net().fit(X, BINARY.astype(bool)), make_net().fit(X, BINARY)
    assert net.predict(X).dtype == bool
    assert_array_equal(net.predict(X), expected.predict(X))
    assert net.score(X, BINARY.astype(bool)) == expected.score(X, BINARY)


def test_column_of_labels_is_warned_about():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        net = make_net().fit(X, Y[:, np.newaxis])
    assert_same_weights(net, make_net().fit(X, Y))


def test_threads_predict_concurrently():
    net = make_net(normalization="batch").fit(X, Y)
    expected = net.predict_proba(X)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(net.predict_proba, [X] * 24))
    for result in results:
        assert_array_equal(result, expected)


# weights of samples and classes


@pytest.mark.parametrize("params", [{}, {"early_stopping": True, "validation_fraction": 0.3}], ids=str)
@pytest.mark.parametrize("class_weight", [{0: 3.0, 1: 0.5}, "balanced"], ids=str)
def test_class_weights_equal_sample_weights(class_weight, params):
    rows = np.flatnonzero((Y > 0) | (np.arange(N_SAMPLES) < 20))  # fewer of class 0
    X_part, y_part = X[rows], Y[rows]
    params = {"input_scaling": None, "max_iter": 4} | params  # scaling is by sample weights alone
    by_class = make_net(class_weight=class_weight, **params).fit(X_part, y_part)
    by_sample = make_net(**params).fit(X_part, y_part, compute_sample_weight(class_weight, y_part))
    assert not same_weights(by_class, make_net(**params).fit(X_part, y_part))
    assert_allclose(by_class.predict_proba(X), by_sample.predict_proba(X), rtol=1e-8)
    assert_allclose(by_class.loss_curve_, by_sample.loss_curve_, rtol=1e-8)
    assert_allclose(by_class.validation_scores_ or [], by_sample.validation_scores_ or [], rtol=1e-8)


def test_class_weights_multiply_sample_weights():
    net = make_net(class_weight={0: 3.0}, input_scaling=None).fit(X, Y, WEIGHTS)
    other = make_net(input_scaling=None).fit(X, Y, WEIGHTS * np.where(Y == 0, 3.0, 1.0))
    assert_allclose(net.predict_proba(X), other.predict_proba(X), rtol=1e-8)


def test_balanced_class_weights_with_a_class_absent_from_later_training():
    net = make_net(class_weight="balanced", warm_start=True).fit(X, Y)
    net.fit(X[Y > 0], Y[Y > 0])
    assert np.isfinite(net.predict_proba(X)).all()
    assert net.n_outputs_ == 3


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_samples_of_weight_zero_are_dropped(normalization, early_stopping):
    params = {
        "normalization": normalization,
        "early_stopping": early_stopping,
        "validation_fraction": 0.3,
        "max_iter": 3,
    }
    weights = np.where(np.arange(N_SAMPLES) % 4 == 0, 0.0, WEIGHTS)
    kept = weights > 0
    net = make_net(**params).fit(X, Y, weights)
    other = make_net(**params).fit(X[kept], Y[kept], weights[kept])
    assert_same_weights(net, other)
    assert net.loss_curve_ == other.loss_curve_
    assert net.validation_scores_ == other.validation_scores_
    assert net.t_ == other.t_


def test_class_of_weight_zero_is_no_class():
    net = make_net().fit(X, Y, (Y > 0).astype(float))
    assert_array_equal(net.classes_, [1, 2])


def test_scale_of_sample_weights_does_not_matter():
    net, other = make_net().fit(X, Y, WEIGHTS), make_net().fit(X, Y, 1024 * WEIGHTS)
    assert_allclose(net.predict_proba(X), other.predict_proba(X), rtol=1e-10)


def test_label_smoothing_keeps_probabilities_from_the_extremes():
    params = {"max_iter": 60, "learning_rate_init": 0.03, "alpha": 0.0, "n_iter_no_change": 100}
    sharp = make_net(**params).fit(X, Y).predict_proba(X)
    smooth = make_net(label_smoothing=0.3, **params).fit(X, Y).predict_proba(X)
    assert sharp.max(axis=1).mean() > 0.98
    assert_allclose(smooth.max(axis=1).mean(), 1 - 0.3 + 0.3 / N_CLASSES, atol=0.03)


# training


def options(parameter):
    """Return the names that a parameter takes."""
    return sorted(ConvNetClassifier._parameter_constraints[parameter][0].options)


@pytest.mark.parametrize("learning_rate", options("learning_rate"))
@pytest.mark.parametrize("solver", options("solver"))
def test_every_solver_trains_with_every_learning_rate(solver, learning_rate):
    """All get far but "invscaling", whose steps shrink too fast for that: its loss falls."""
    rate = {"rmsprop": 5e-3, "adagrad": 0.2}.get(solver, 0.05)  # first steps of rmsprop are 30 times the rate
    params = {"activation": "tanh", "max_iter": 30, "learning_rate_init": rate, "n_iter_no_change": 30}
    net = make_net(solver=solver, learning_rate=learning_rate, **params).fit(X, Y)
    if learning_rate == "invscaling":
        assert net.loss_ < net.loss_curve_[0]
    else:
        assert net.loss_ < 0.5 * net.loss_curve_[0]
        assert net.score(X, Y) > 0.9


@pytest.mark.parametrize(
    "params",
    [
        *({"loss": loss} for loss in ("focal", "hinge", "squared_hinge")),
        {"focal_gamma": 0.5, "loss": "focal"},
        *({"solver": solver} for solver in options("solver") if solver != "adamw"),
        *({"learning_rate": rate} for rate in ("invscaling", "cosine", "one_cycle")),
        {"warmup": 0.7},
        {"step_size": 1, "learning_rate": "step"},
        {"learning_rate": "step", "step_size": 1},
        {"step_factor": 0.5, "step_size": 1, "learning_rate": "step"},
        {"averaging": "ema"},
        {"averaging": "swa", "averaging_start": 0.0},
        {"averaging_start": 0.0, "averaging": "swa"},
        {"averaging_decay": 0.1, "averaging": "ema"},
        {"momentum": 0.5, "solver": "sgd"},
        {"nesterovs_momentum": False, "solver": "sgd"},
        {"beta_1": 0.5},
        {"beta_2": 0.9},
        {"epsilon": 1e-2},
        {"alpha": 0.1},
        {"clip_norm": 0.1, "solver": "sgd"},
        {"batch_size": 8},
        {"shuffle": False},
        {"learning_rate_init": 2e-2},
        {"random_state": SEED + 1},
        {"input_scaling": None},
        {"init_scaling": "unit_variance"},
        {"kernel_size": (3, 1)},
        {"pool_size": 3},
        {"activation": "tanh"},
        {"dropout": 0.5},
    ],
    ids=str,
)
def test_parameter_matters(params):
    """The first one, where the others are what they are."""
    _, *others = params
    net = make_net(**{name: params[name] for name in others}).fit(X, Y)
    assert not np.array_equal(net.decision_function(X), make_net(**params).fit(X, Y).decision_function(X))


def test_automatic_batch_size_is_64():
    X_large, y_large = np.tile(X, (3, 1, 1, 1)), np.tile(Y, 3)
    net = make_net(batch_size="auto").fit(X_large, y_large)
    assert_same_weights(net, make_net(batch_size=64).fit(X_large, y_large))
    assert not same_weights(net, make_net(batch_size=128).fit(X_large, y_large))


def test_batch_size_is_at_most_the_number_of_samples():
    net = make_net(batch_size=N_SAMPLES).fit(X, Y)
    for batch_size in ("auto", 10_000):
        assert_same_weights(net, make_net(batch_size=batch_size).fit(X, Y))


def test_clip_norm_bounds_a_step():
    params = {"solver": "sgd", "momentum": 0.0, "batch_size": 1000, "learning_rate_init": 1.0, "alpha": 0.0}
    one = make_net(max_iter=1, clip_norm=1e-3, **params).fit(X, Y)
    two = make_net(max_iter=2, clip_norm=1e-3, **params).fit(X, Y)
    assert_allclose(np.linalg.norm(two.network_.vector - one.network_.vector), 1e-3, rtol=1e-6)


def test_inverse_scaling_divides_by_the_root_of_the_samples_seen():
    net = make_net(learning_rate="invscaling", max_iter=3).fit(X, Y)
    rates = [record["learning_rate"] for record in net.history_]
    assert_allclose(rates, 1e-2 / np.sqrt(N_SAMPLES * np.arange(3) + 1))


def test_adaptive_rate_is_divided_by_five_at_a_plateau():
    net = make_net(learning_rate="adaptive", tol=1e3, n_iter_no_change=1, max_iter=7).fit(X, Y)
    rates = [record["learning_rate"] for record in net.history_]
    assert_allclose(rates, [1e-2] * 3 + [2e-3] * 2 + [4e-4] * 2)


def test_training_ends_after_epochs_without_improvement():
    net = make_net(tol=1e3, n_iter_no_change=3, max_iter=50).fit(X, Y)
    assert net.n_iter_ == 5  # the first one improves, then more than three do not


@pytest.mark.parametrize(
    "params",
    [{}, {"solver": "lbfgs", "tol": 0.0}, {"learning_rate": "adaptive"}, {"early_stopping": True}],
    ids=str,
)
def test_infinite_patience_ends_no_training(params):
    net = make_net(**({"tol": 1e3} | params), n_iter_no_change=np.inf, max_iter=15).fit(X, Y)
    assert net.n_iter_ == 15


def test_reaching_max_iter_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_net(max_iter=1).fit(X, Y).n_iter_ == 1


def test_time_limit_ends_with_the_minibatch_under_way():
    net = make_net(max_time=1e-9).fit(X, Y)
    assert net.n_iter_ == 1
    assert net.t_ == N_SAMPLES // 3  # one of three minibatches
    assert not same_weights(net, make_net(max_iter=1).fit(X, Y))


def test_time_limit_that_is_not_reached_changes_nothing():
    assert_same_weights(make_net(max_time=1e6).fit(X, Y), make_net().fit(X, Y))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_verbose_prints_an_aligned_line_an_epoch(capsys, early_stopping):
    net = make_net(verbose=True, max_iter=11, early_stopping=early_stopping, validation_fraction=0.3)
    net.fit(X, Y)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) == net.n_iter_ == 11
    words = ["epoch", "loss", *(["validation score"] if early_stopping else []), " s"]
    assert len({tuple(line.index(word) for word in words) for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1
    for line, record in zip(lines, net.history_, strict=True):
        assert f"{record['epoch']}  loss" in line
        assert f"{record['loss']:.5f}" in line
        assert not early_stopping or f"{record['validation_score']:.5f}" in line
    assert captured.err == ""


def test_nothing_is_printed_by_default(capsys):
    make_net(early_stopping=True, validation_fraction=0.3).fit(X, Y).predict(X)
    assert capsys.readouterr() == ("", "")


# early stopping


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_early_stopping_restores_the_best_weights_and_running_statistics(normalization):
    scores = iter([0.3, 0.9, 0.2, 0.9, 0.8])
    net = make_net(
        early_stopping=True, scoring=lambda *_: next(scores), normalization=normalization, max_iter=5
    ).fit(X, Y, **VALIDATION)
    assert net.validation_scores_ == [0.3, 0.9, 0.2, 0.9, 0.8]
    assert net.best_validation_score_ == 0.9
    assert net.t_ == 5 * N_SAMPLES
    assert_same_weights(net, make_net(normalization=normalization, max_iter=2).fit(X, Y))


def test_restored_weights_have_the_best_validation_loss():
    """Wrong labels for validation: the more is learned, the larger is their loss."""
    wrong = (Y_VAL + 1) % N_CLASSES
    net = make_net(early_stopping=True, max_iter=12).fit(X, Y, X_val=X_VAL, y_val=wrong)
    assert net.validation_scores_[-1] < net.best_validation_score_
    assert_allclose(-log_loss(wrong, net.predict_proba(X_VAL)), net.best_validation_score_, rtol=1e-10)


def test_early_stopping_ends_training():
    net = make_net(early_stopping=True, tol=1e3, n_iter_no_change=2, max_iter=50).fit(X, Y, **VALIDATION)
    assert net.n_iter_ == 4


def test_validation_score_is_the_negative_weighted_loss():
    params = {"early_stopping": True, "max_iter": 1, "class_weight": {0: 3.0}, "alpha": 1.0}
    net = make_net(**params).fit(X, Y, **VALIDATION, sample_weight_val=WEIGHTS)
    weights = WEIGHTS * np.where(Y_VAL == 0, 3.0, 1.0)
    expected = -log_loss(Y_VAL, net.predict_proba(X_VAL), sample_weight=weights)
    assert_allclose(net.validation_scores_, [expected], rtol=1e-10)


def test_validation_samples_of_weight_zero_do_not_count():
    weights = np.where(np.arange(N_SAMPLES) < 20, 0.0, 1.0)
    for scoring in (None, "accuracy"):
        params = {"early_stopping": True, "scoring": scoring}
        net = make_net(**params).fit(X, Y, **VALIDATION, sample_weight_val=weights)
        other = make_net(**params).fit(X, Y, X_val=X_VAL[20:], y_val=Y_VAL[20:])
        assert_allclose(net.validation_scores_, other.validation_scores_, rtol=1e-12)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal weights", "weights"])
def test_named_scorer_scores_the_validation_data(weights):
    net = make_net(early_stopping=True, scoring="accuracy", max_iter=1)
    net.fit(X, NAMES[Y], X_val=X_VAL, y_val=NAMES[Y_VAL], sample_weight_val=weights)
    expected = accuracy_score(NAMES[Y_VAL], net.predict(X_VAL), sample_weight=weights)
    assert_allclose(net.validation_scores_, [expected], rtol=1e-12)


def test_callable_scorer_gets_a_fitted_estimator_images_and_original_labels():
    calls = []

    def scorer(estimator, X_scored, y_scored):
        calls.append((X_scored, y_scored, estimator.predict(X_scored)))
        return len(calls)

    net = make_net(early_stopping=True, scoring=scorer, max_iter=3)
    net.fit(X, NAMES[Y], X_val=X_VAL, y_val=NAMES[Y_VAL])
    assert net.validation_scores_ == [1.0, 2.0, 3.0]
    for X_scored, y_scored, prediction in calls:
        assert_array_equal(X_scored, X_VAL)
        assert_array_equal(y_scored, NAMES[Y_VAL])
        assert set(prediction) <= set(NAMES)
    assert_array_equal(calls[-1][2], net.predict(X_VAL))


def test_split_is_stratified_and_of_the_fraction_asked_for():
    seen = []

    def scorer(estimator, X_scored, y_scored):
        seen.append((X_scored, y_scored))
        return 0.0

    net = make_net(early_stopping=True, scoring=scorer, validation_fraction=0.2, max_iter=2).fit(X, Y)
    assert_array_equal(np.bincount(seen[0][1]), [3, 3, 3])
    assert_array_equal(seen[0][0], seen[1][0])
    assert net.t_ == 2 * 36
    rows = [int(np.flatnonzero((image == X).all(axis=(1, 2, 3)))[0]) for image in seen[0][0]]
    assert_array_equal(Y[rows], seen[0][1])
    kept = np.setdiff1d(np.arange(N_SAMPLES), rows)
    alone = make_net(early_stopping=True, scoring=scorer, max_iter=1)
    split = make_net(early_stopping=True, scoring=scorer, validation_fraction=0.2, max_iter=1).fit(X, Y)
    assert_same_weights(split, alone.fit(X[kept], Y[kept], X_val=X[rows], y_val=Y[rows]))


def test_samples_too_few_to_split_are_trained_without_early_stopping():
    net = make_net(early_stopping=True, validation_fraction=0.1)
    with pytest.warns(UserWarning, match="6 samples are too few .* without early stopping") as caught:
        net.fit(X[:6], Y[:6])
    assert caught[0].filename == __file__
    assert net.validation_scores_ is None
    assert_same_weights(net, make_net().fit(X[:6], Y[:6]))


def test_validation_images_may_have_another_layout():
    flat = X_VAL.reshape(N_SAMPLES, -1)
    net = make_net(early_stopping=True).fit(X, Y, X_val=flat, y_val=Y_VAL)
    other = make_net(early_stopping=True).fit(X, Y, **VALIDATION)
    assert net.validation_scores_ == other.validation_scores_


# going on


@pytest.mark.parametrize(
    "params", [{}, {"normalization": "batch", "dropout": 0.3}, {"solver": "sgd"}], ids=str
)
def test_warm_start_goes_on_bit_by_bit(params):
    net = make_net(warm_start=True, max_iter=2, **params).fit(X, Y)
    net.set_params(max_iter=3).fit(X, Y)
    other = make_net(max_iter=5, **params).fit(X, Y)
    assert_same_weights(net, other)
    assert net.loss_curve_ == other.loss_curve_
    assert (net.n_iter_, net.t_) == (3, 5 * N_SAMPLES)
    assert [record["epoch"] for record in net.history_] == [1, 2, 3, 4, 5]


def test_warm_start_goes_on_after_pickling():
    net = pickle.loads(pickle.dumps(make_net(warm_start=True, max_iter=2).fit(X, Y)))
    assert_same_weights(net.set_params(max_iter=3).fit(X, Y), make_net(max_iter=5).fit(X, Y))


def test_first_fit_of_warm_start_is_an_ordinary_one():
    assert_same_weights(make_net(warm_start=True).fit(X, Y), make_net().fit(X, Y))


def test_without_warm_start_fit_begins_anew():
    net = make_net().fit(X, Y).fit(X, Y)
    assert_same_weights(net, make_net().fit(X, Y))
    assert len(net.loss_curve_) == len(net.history_) == net.n_iter_ == 2


def test_warm_start_keeps_scaling_shape_and_classes():
    net = make_net(warm_start=True, max_iter=1).fit(X, Y)
    image_format = net.model_.format
    net.fit(100 + X[Y > 0], Y[Y > 0])
    assert net.model_.format == image_format
    assert_array_equal(net.classes_, [0, 1, 2])


@pytest.mark.parametrize(
    "params", [{}, {"normalization": "batch", "dropout": 0.3}, {"solver": "sgd"}], ids=str
)
def test_partial_fit_is_an_epoch_bit_by_bit(params):
    net = make_net(**params)
    for epoch in range(1, 4):
        net.partial_fit(X, Y, classes=[0, 1, 2], sample_weight=WEIGHTS)
        other = make_net(max_iter=epoch, **params).fit(X, Y, WEIGHTS)
        assert_same_weights(net, other)
        assert net.loss_curve_ == other.loss_curve_
        assert net.t_ == epoch * N_SAMPLES


def test_partial_fit_goes_on_after_pickling():
    net = pickle.loads(pickle.dumps(make_net().partial_fit(X, Y, classes=[0, 1, 2])))
    assert_same_weights(net.partial_fit(X, Y), make_net(max_iter=2).fit(X, Y))


def test_partial_fit_goes_on_after_fit():
    net = make_net(max_iter=3).fit(X, Y)
    before = pickle.loads(pickle.dumps(net))
    net.partial_fit(X, Y)
    assert not same_weights(net, before)
    assert net.loss_curve_[:3] == before.loss_curve_
    assert net.loss_curve_[3] < net.loss_curve_[0]
    assert net.n_iter_ == 1


def test_partial_fit_after_fit_counts_on():
    net = make_net(max_iter=3).fit(X, Y).partial_fit(X, Y)
    assert net.t_ == 4 * N_SAMPLES
    assert [record["epoch"] for record in net.history_] == [1, 2, 3, 4]


def test_steps_count_on_whatever_call_trains():
    """They are the places of the losses of minibatches at the end of each epoch."""
    net = make_net(max_iter=2).fit(X, Y).partial_fit(X, Y).set_params(warm_start=True).fit(X, Y)
    n_batches = -(-N_SAMPLES // net._batch_size(N_SAMPLES))
    assert [record["step"] for record in net.history_] == [n_batches * epoch for epoch in range(1, 6)]
    assert len(net.batch_losses_) == 5 * n_batches
    for record in net.history_:
        of_epoch = net.batch_losses_[record["step"] - n_batches : record["step"]]
        assert np.mean(of_epoch) == pytest.approx(record["loss"])


def test_partial_fit_goes_on_bit_by_bit_after_fit_with_warm_start():
    net = make_net(max_iter=2, warm_start=True).fit(X, Y).partial_fit(X, Y)
    assert_same_weights(net, make_net(max_iter=3).fit(X, Y))


def test_partial_fit_does_not_stop_early():
    net = make_net(early_stopping=True, max_iter=1, tol=1e3, n_iter_no_change=1)
    for _ in range(4):
        net.partial_fit(X, Y, classes=[0, 1, 2])
    assert net.validation_scores_ is None
    assert_same_weights(net, make_net(max_iter=4).fit(X, Y))


def test_partial_fit_knows_classes_that_have_not_occurred():
    net = make_net().partial_fit(X[Y > 0], NAMES[Y[Y > 0]], classes=NAMES[::-1])
    assert_array_equal(net.classes_, NAMES)
    assert net.predict_proba(X).shape == (N_SAMPLES, 3)


def test_partial_fit_takes_one_sample_at_a_time():
    net = make_net(normalization="batch")
    for row in range(4):
        net.partial_fit(X[row : row + 1], Y[row : row + 1], classes=[0, 1, 2])
    assert net.t_ == 4
    assert np.isfinite(net.predict_proba(X)).all()


def test_partial_fit_of_weights_zero_trains_nothing():
    net = make_net().partial_fit(X, Y, classes=[0, 1, 2])
    before = joblib.hash(vars(net))
    net.partial_fit(X, Y, sample_weight=np.zeros(N_SAMPLES))
    assert joblib.hash(vars(net)) == before


# pickles


def large_net(**params):
    return make_net(hidden_layer_sizes=(512,), max_iter=1, **params)


def test_pickle_is_little_more_than_the_weights():
    net = large_net().fit(np.tile(X, (20, 1, 1, 1)), np.tile(Y, 20))
    n_bytes = net.network_.vector.nbytes
    assert n_bytes > 100_000
    assert n_bytes < len(pickle.dumps(net)) < n_bytes + 8_000


@pytest.mark.parametrize("kind", ["warm_start", "partial_fit"])
def test_pickle_carries_the_training_state_where_training_may_go_on(kind):
    net = large_net(warm_start=kind == "warm_start")
    net = net.fit(X, Y) if kind == "warm_start" else net.partial_fit(X, Y, classes=[0, 1, 2])
    n_bytes = net.network_.vector.nbytes
    assert 3 * n_bytes < len(pickle.dumps(net)) < 3 * n_bytes + 8_000  # two slots of Adam


def test_fit_drops_the_training_state_of_partial_fit():
    net = large_net().partial_fit(X, Y, classes=[0, 1, 2]).fit(X, Y)
    assert len(pickle.dumps(net)) < net.network_.vector.nbytes + 8_000


# random states


def test_same_seed_same_weights_other_seed_other_weights():
    params = {"dropout": 0.2, "early_stopping": True, "validation_fraction": 0.3}
    net = make_net(**params).fit(X, Y)
    assert_same_weights(net, make_net(**params).fit(X, Y))
    assert not same_weights(net, make_net(**params, random_state=SEED + 1).fit(X, Y))


def test_random_state_instance_gives_other_draws_to_each_fit():
    net = make_net(random_state=np.random.RandomState(SEED))
    first = pickle.loads(pickle.dumps(net.fit(X, Y)))
    second = net.fit(X, Y)
    assert not same_weights(first, second)
    other = make_net(random_state=np.random.RandomState(SEED))
    assert_same_weights(other.fit(X, Y), first)
    assert_same_weights(other.fit(X, Y), second)


def test_fit_changes_only_the_state_of_a_random_state_instance_and_always_alike():
    states = []
    for params in ({}, {"max_iter": 4, "dropout": 0.5, "normalization": "batch", "hidden_layer_sizes": (9,)}):
        random_state = np.random.RandomState(SEED)
        net = make_net(**params, random_state=random_state)
        parameters = net.get_params()
        net.fit(X, Y)
        assert net.random_state is random_state
        assert all(net.get_params()[name] is value for name, value in parameters.items())
        states.append(random_state.random_sample())
    assert states[0] == states[1] != np.random.RandomState(SEED).random_sample()


@pytest.fixture
def global_random_state():
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def test_random_state_none_draws_from_the_global_generator(global_random_state):
    np.random.seed(SEED)
    net, other = make_net(random_state=None).fit(X, Y), make_net(random_state=None).fit(X, Y)
    assert not same_weights(net, other)
    np.random.seed(SEED)
    assert_same_weights(net, make_net(random_state=None).fit(X, Y))


def test_seeded_fit_leaves_the_global_generator_alone(global_random_state):
    before = joblib.hash(np.random.get_state())
    make_net(dropout=0.2, early_stopping=True, validation_fraction=0.3).fit(X, Y).predict(X)
    assert joblib.hash(np.random.get_state()) == before


# divergence


def assert_usable(net):
    assert all(np.isfinite(value).all() for value in weights_of(net).values())
    assert np.isfinite(net.predict_proba(X)).all()
    assert np.isfinite(net.predict_log_proba(X)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize(
    "params",
    [{"solver": "sgd", "learning_rate_init": 1e6}, {"solver": "adam", "learning_rate_init": 1e200}],
    ids=["sgd", "adam"],
)
def test_divergence_is_warned_about_and_leaves_finite_weights(params, normalization, dtype):
    net = make_net(max_iter=20, normalization=normalization, dtype=dtype, **params)
    with pytest.warns(ConvergenceWarning, match="diverged.* smaller learning_rate_init than") as caught:
        net.fit(X, Y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_usable(net)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("learning_rate_init", [1e1, 1e3, 1e6, 1e9])
def test_no_learning_rate_leaves_an_unusable_estimator(solver, normalization, dtype, learning_rate_init):
    net = make_net(
        solver=solver, normalization=normalization, dtype=dtype, learning_rate_init=learning_rate_init
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(X, Y)
    assert_usable(net)


def test_weights_from_before_the_diverging_epoch_are_kept():
    net = make_net(warm_start=True).fit(X, Y)
    before = pickle.loads(pickle.dumps(net))
    net.set_params(solver="adam", learning_rate_init=1e300)
    with pytest.warns(ConvergenceWarning, match="weights of before this call are kept"):
        net.fit(X, Y)
    assert_same_weights(net, before)
    assert net.loss_curve_ == before.loss_curve_


def test_divergence_in_partial_fit_is_warned_about():
    net = make_net(solver="adam", learning_rate_init=1e300).partial_fit
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        net(X, Y, classes=[0, 1, 2])
    assert caught[0].filename == __file__


# interruption


class Interrupt(Layer):
    """Passes its input on, and at a given step of training sends what Ctrl-C sends."""

    steps_left = None

    def prepare(self, params, plan, *, training):
        if training and Interrupt.steps_left is not None:
            Interrupt.steps_left -= 1
            if Interrupt.steps_left == 0:
                signal.raise_signal(signal.SIGINT)

    def forward(self, params, X, unit, *, training, out):
        return X

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


@pytest.fixture
def interrupt_at_step(monkeypatch):
    def set_step(step):
        monkeypatch.setattr(Interrupt, "steps_left", step)

    return set_step


def assert_interrupted(call):
    """Call, and assert that the interrupt gets out with a warning."""
    with pytest.warns(UserWarning, match="interrupted.* last complete step are kept") as caught:
        with pytest.raises(KeyboardInterrupt):
            call()
    assert len(caught) == 1


def test_warning_of_an_interrupt_points_at_the_call(interrupt_at_step):
    net = make_net([Interrupt(), Dense(8)])
    interrupt_at_step(2)
    with pytest.warns(UserWarning, match="interrupted") as caught:
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, Y)
    assert caught[0].filename == __file__


def test_interrupt_keeps_the_last_complete_step(interrupt_at_step):
    params = {"layers": [Conv2D(4), Interrupt(), Dense(8)], "batch_size": 1000}
    net = make_net(**params, max_iter=20)
    interrupt_at_step(3)
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    assert_same_weights(net, make_net(**params, max_iter=3).fit(X, Y))
    assert np.isfinite(net.predict_proba(X)).all()


def test_interrupt_keeps_weights_that_are_not_averaged(interrupt_at_step):
    """Since the statistics of an average take a pass over the samples, for which nobody waits."""
    params = {"layers": [Conv2D(4), Interrupt(), Dense(8)], "batch_size": 1000}
    net = make_net(**params, max_iter=20, averaging="ema")
    interrupt_at_step(3)
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    assert_same_weights(net, make_net(**params, max_iter=3).fit(X, Y))


def test_interrupt_while_weights_are_averaged_keeps_those_that_are_not(monkeypatch):
    def interrupted_averaging(*arguments, **options):
        raise KeyboardInterrupt

    expected = make_net(averaging=None, max_iter=2).fit(X, Y)
    monkeypatch.setattr("skcnn.training.fit.make_averaged_network", interrupted_averaging)
    net = make_net(averaging="ema", max_iter=2)
    assert_interrupted(lambda: net.fit(X, Y))
    assert_same_weights(net, expected)


def test_interrupt_within_an_epoch_keeps_the_steps_before(interrupt_at_step):
    params = {"layers": [Conv2D(4), Interrupt(), Dense(8)], "shuffle": False}
    net = make_net(**params, max_iter=20)
    interrupt_at_step(2)
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    assert net.loss_curve_ == []
    initial = make_net(**params, max_iter=1, learning_rate_init=1e-300).fit(X, Y)
    one = make_net(**params, max_iter=1, max_time=1e-9).fit(X, Y)
    assert not same_weights(net, initial)
    assert not same_weights(net, one)
    assert not same_weights(net, make_net(**params, max_iter=1).fit(X, Y))


def test_interrupted_training_counts_the_samples_that_it_saw(interrupt_at_step):
    net = make_net([Interrupt(), Dense(8)], max_iter=20)
    interrupt_at_step(5)  # the second step of the second epoch
    assert_interrupted(lambda: net.fit(X, Y))
    assert net.t_ == N_SAMPLES + 2 * N_SAMPLES // 3


def test_steps_leave_out_an_epoch_that_was_broken_off(interrupt_at_step):
    """As do the losses of minibatches."""
    net = make_net([Interrupt(), Dense(8)], max_iter=2, warm_start=True)
    interrupt_at_step(5)  # the second step of the second epoch
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    net.fit(X, Y)
    n_batches = -(-N_SAMPLES // net._batch_size(N_SAMPLES))
    assert [record["step"] for record in net.history_] == [n_batches, 2 * n_batches, 3 * n_batches]
    assert len(net.batch_losses_) == 3 * n_batches


def test_interrupt_of_partial_fit_and_going_on(interrupt_at_step):
    net = make_net([Interrupt(), Dense(8)], batch_size=1000).partial_fit(X, Y, classes=[0, 1, 2])
    interrupt_at_step(1)
    assert_interrupted(lambda: net.partial_fit(X, Y))
    interrupt_at_step(None)
    other = make_net([Interrupt(), Dense(8)], batch_size=1000, max_iter=2).fit(X, Y)
    assert_same_weights(net, other)
    assert np.isfinite(net.partial_fit(X, Y).predict_proba(X)).all()


def test_interrupt_leaves_the_handler_of_signals_as_it_was(interrupt_at_step):
    before = signal.getsignal(signal.SIGINT)
    net = make_net([Interrupt(), Dense(8)])
    interrupt_at_step(1)
    assert_interrupted(lambda: net.fit(X, Y))
    assert signal.getsignal(signal.SIGINT) is before


def raise_interrupt():
    raise KeyboardInterrupt


def send_interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("interrupt", [raise_interrupt, send_interrupt])
def test_interrupt_in_a_scorer_keeps_the_best_weights(interrupt):
    scores = [0.5, 0.7]

    def scorer(estimator, X_scored, y_scored):
        if not scores:
            interrupt()
        return scores.pop()

    net = make_net(early_stopping=True, scoring=scorer, max_iter=20)
    assert_interrupted(lambda: net.fit(X, Y, **VALIDATION))
    assert_same_weights(net, make_net(max_iter=1).fit(X, Y))
    assert net.validation_scores_ == [0.7, 0.5]
    assert net.n_iter_ == 2


def test_interrupt_before_the_first_step_leaves_the_estimator_as_it_was(monkeypatch):
    net = make_net().fit(X, Y)
    before = dict(vars(net))
    monkeypatch.setattr(Dense, "init_params", lambda *args, **kwargs: raise_interrupt())
    for estimator in (net, make_net()):
        attributes = dict(vars(estimator))
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, Y)
        assert vars(estimator) == attributes
    assert vars(net) == before


def test_interrupted_estimator_can_be_fitted_again(interrupt_at_step):
    net = make_net([Interrupt(), Dense(8)])
    interrupt_at_step(2)
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    assert_same_weights(net.fit(X, Y), make_net([Interrupt(), Dense(8)]).fit(X, Y))


def test_errors_of_a_scorer_leave_the_estimator_as_it_was():
    def scorer(estimator, X_scored, y_scored):
        raise RuntimeError("no score today")

    net = make_net().fit(X, Y)
    net.set_params(early_stopping=True, scoring=scorer)
    before = dict(vars(net))
    with pytest.raises(RuntimeError, match="no score today"):
        net.fit(X, Y, **VALIDATION)
    assert vars(net) == before


# bugs that were


def test_an_interrupt_during_a_diverging_step_leaves_finite_weights():
    class Breaking(Layer):
        calls = 0

        def forward(self, params, X, unit, *, training, out):
            return X

        def backward(self, params, dY, unit, *, need_dX, out):
            Breaking.calls += 1
            if Breaking.calls == 5:
                signal.raise_signal(signal.SIGINT)
                dY[...] = np.nan
            return dY

    net = make_net([Dense(4), Breaking()], batch_size=15)
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, Y)
    assert Breaking.calls == 5
    assert np.isfinite(net.network_.vector).all()


def test_warm_start_with_early_stopping_remembers_the_best_weights_of_earlier_calls():
    scores = iter([0.9, 0.1, 0.1, 0.9, 0.5, 0.2, 0.2])  # the second call scores where it starts
    kept = []

    def scoring(model, X, y):
        kept.append(model.network_.vector.copy())
        return next(scores)

    net = make_net(scoring=scoring, early_stopping=True, warm_start=True, max_iter=3, validation_fraction=0.3)
    net.fit(X, Y).fit(X, Y)
    assert net.best_validation_score_ == 0.9
    assert_array_equal(net.network_.vector, kept[0])


def test_a_score_that_is_not_a_number_is_refused():
    net = make_net(scoring=lambda *arguments: np.nan, early_stopping=True, validation_fraction=0.3)
    with pytest.raises(ValueError, match="scoring=.* gave nan"):
        net.fit(X, Y)
    assert not hasattr(net, "network_")


def test_no_minibatch_is_a_small_rest():
    """65 samples are two minibatches of nearly equal size: batch statistics of one sample are worthless."""
    sizes = []

    class Counting(Layer):
        def forward(self, params, X, unit, *, training, out):
            if training:
                sizes.append(X.shape[-2])
            return X

        def backward(self, params, dY, unit, *, need_dX, out):
            return dY

    X65 = generator(0).standard_normal((65, 4))
    make_net([Flatten(), Counting(), Dense(3)], batch_size="auto", max_iter=1).fit(X65, np.arange(65) % 2)
    assert sorted(sizes) == [32, 33]


def test_class_weight_may_have_keys_of_classes_that_a_fold_lacks():
    keep = Y != 2
    weights = {0: 1.0, 1: 3.0, 2: 5.0}
    net = make_net(class_weight=weights).fit(X[keep], Y[keep])
    assert_same_weights(net, make_net(class_weight={0: 1.0, 1: 3.0}).fit(X[keep], Y[keep]))


def test_validation_labels_without_weight_may_be_unknown():
    y_val = np.where(np.arange(N_SAMPLES) == 0, 99, Y)
    weights = (np.arange(N_SAMPLES) > 0).astype(float)
    net = make_net(early_stopping=True).fit(X, Y, X_val=X, y_val=y_val, sample_weight_val=weights)
    assert len(net.validation_scores_) == net.n_iter_


def test_weights_of_partial_fit_are_relative_to_the_first_call():
    def trained(factor):
        net = make_net(solver="sgd").partial_fit(X, Y, classes=[0, 1, 2], sample_weight=np.ones(N_SAMPLES))
        return net.partial_fit(X, Y, sample_weight=np.full(N_SAMPLES, factor))

    assert_same_weights(trained(1.0), make_net(solver="sgd", max_iter=2).fit(X, Y))
    assert not same_weights(trained(1.0), trained(3.0))


def test_weights_of_partial_fit_after_fit_are_relative_to_those_of_fit():
    """A chunk of one class keeps the weight that its class had among all."""

    def trained(weight):
        net = make_net(solver="sgd", class_weight={0: weight, 1: 1.0, 2: 1.0}, max_iter=1)
        before = net.fit(X, Y).network_.vector.copy()
        return np.abs(net.partial_fit(X[Y == 1], Y[Y == 1]).network_.vector - before).max()

    assert trained(1000.0) < 0.1 * trained(1.0)


def test_partial_fit_on_samples_without_class_weight_trains_nothing():
    net = make_net(class_weight={0: 0.0, 1: 1.0, 2: 1.0}).partial_fit(X, Y, classes=[0, 1, 2])
    before = net.network_.vector.copy()
    net.partial_fit(X[Y == 0], Y[Y == 0])
    assert_array_equal(net.network_.vector, before)


def test_parameters_of_the_network_cannot_be_replaced():
    net = make_net().fit(X, Y)
    with pytest.raises(TypeError):
        net.network_.params["output"]["bias"] = np.zeros(3)
    net.network_.params["output"]["bias"][...] = [0, 0, 1e6]
    assert set(pickle.loads(pickle.dumps(net)).predict(X)) == {net.classes_[2]}


def test_partial_fit_after_fit_draws_other_numbers():
    draws = []

    class Noting(Layer):
        def forward(self, params, X, unit, *, training, out):
            if training:
                draws.append(unit.rng.random())
            return X

        def backward(self, params, dY, unit, *, need_dX, out):
            return dY

    make_net([Flatten(), Noting(), Dense(3)], max_iter=2).fit(X, Y).partial_fit(X, Y)
    assert len(set(draws)) == len(draws) == 9


@pytest.mark.parametrize("name", ["learning_rate", "averaging", "solver", "loss", "class_weight"])
def test_partial_fit_names_parameters_that_became_invalid(name):
    net = make_net().partial_fit(X, Y, classes=[0, 1, 2]).set_params(**{name: "unknown"})
    with pytest.raises(ValueError, match=f"{name}' parameter .* Got 'unknown' instead"):
        net.partial_fit(X, Y)


def test_partial_fit_validates_parameters_set_in_between():
    net = make_net().partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="'solver' parameter"):
        net.set_params(solver="typo").partial_fit(X, Y)


def test_warm_start_refuses_other_layers():
    net = make_net([("a", Dense(4))], warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"layer 'a' was Dense\(units=4\).*'a' is Dense\(units=5\) now"):
        net.set_params(a__units=5).fit(X, Y)


@pytest.mark.parametrize("factor", [2.0**-1000, 2.0**1021])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"class_weight": "balanced"},
        {"augmentation": [Mixup(0.3)]},
        {"early_stopping": True, "validation_fraction": 0.3},
        {"layers": [PatchWhitening(), MaxPool2D()], "init_scaling": "unit_variance"},
    ],
    ids=str,
)
def test_only_the_ratios_of_weights_count_however_large(params, factor):
    """A power of two changes no digit."""
    weights = 1 + np.arange(N_SAMPLES) % 3
    net = make_net(**params).fit(X, Y, sample_weight=factor * weights)
    assert_same_weights(net, make_net(**params).fit(X, Y, sample_weight=weights))


def test_weights_whose_sum_a_scorer_cannot_take_are_refused():
    net = make_net(early_stopping=True, validation_fraction=0.3, scoring="accuracy")
    with pytest.raises(ValueError, match="sum of sample_weight .*scoring='accuracy'"):
        net.fit(X, Y, sample_weight=np.full(N_SAMPLES, 1e308))


@pytest.mark.parametrize(("first", "then"), [(1.0, 1e39), (1e-20, 1e20), (5e-324, 1.0)])
def test_weights_of_a_chunk_that_are_too_large_beside_the_first_are_refused(first, then):
    net = make_net(dtype="float32")
    net.partial_fit(X, Y, classes=[0, 1, 2], sample_weight=np.full(N_SAMPLES, first))
    with pytest.raises(ValueError, match="sample_weight is too large beside .* not finite in float32"):
        net.partial_fit(X, Y, sample_weight=np.full(N_SAMPLES, then))


def test_the_inapplicable_record_is_none_after_a_change_of_early_stopping():
    net = make_net(warm_start=True).fit(X, Y)
    assert net.best_loss_ is not None
    net.set_params(early_stopping=True, validation_fraction=0.3).fit(X, Y)
    assert net.best_loss_ is None


def test_values_too_small_to_standardize_are_left_as_they_are():
    tiny = np.zeros((20, 4), np.float32)
    tiny[0, 0] = 1e-44
    net = make_net().fit(tiny, np.arange(20) % 2)
    assert np.isfinite(net.predict_proba(tiny)).all()


def test_names_of_compact_layers_are_not_taken_for_other_parameters():
    with pytest.raises(ValueError, match="with layers=None there are no layers to set parameters of"):
        ConvNetClassifier().set_params(conv1__filters=3)


def test_parameters_are_cast_to_the_dtype_of_the_network():
    class Careless(Dense):
        def init_params(self, input_shape, *, activation, dtype, rng):
            params = super().init_params(input_shape, activation=activation, dtype=dtype, rng=rng)
            return {key: value.astype(np.float64) for key, value in params.items()}

    net = make_net([Careless(4)], dtype="float32").fit(X, Y)
    assert net.network_.vector.dtype == np.float32


def test_scorers_see_the_state_of_numpy_that_the_caller_set():
    seen = []

    def scoring(model, X, y):
        seen.append((np.geterr()["divide"], np.getbufsize()))
        return 1.0

    with np.errstate(divide="raise"):
        before = np.setbufsize(4096)
        try:
            make_net(scoring=scoring, early_stopping=True, validation_fraction=0.3, max_iter=1).fit(X, Y)
        finally:
            np.setbufsize(before)
    assert seen == [("raise", 4096)]


def test_a_validation_loss_that_is_not_finite_is_divergence_and_the_best_weights_are_kept():
    net = make_net(early_stopping=True, dtype="float64", input_scaling=None, max_iter=2, warm_start=True)
    net.fit(X, Y, X_val=X, y_val=Y)
    before = net.network_.vector.copy()
    with pytest.warns(ConvergenceWarning, match="the validation loss became"):
        net.fit(X, Y, X_val=X / np.abs(X).max() * 1.7e308, y_val=Y)
    assert_array_equal(net.network_.vector, before)
    assert np.isfinite(net.predict_proba(X)).all()


def test_training_goes_on_from_the_last_weights_though_validation_failed_before_the_first_step():
    """Not from the average that the network holds."""
    params = {"early_stopping": True, "averaging": "ema", "dtype": "float64", "input_scaling": None}
    net = make_net(**params, max_iter=2, warm_start=True).fit(X, Y, X_val=X, y_val=Y)
    last = net._training_state.trained
    with pytest.warns(ConvergenceWarning, match="the validation loss became"):
        net.fit(X, Y, X_val=X / np.abs(X).max() * 1.7e308, y_val=Y)
    assert not np.array_equal(net.network_.vector, last)
    assert_array_equal(net._training_state.trained, last)


def test_fitted_attributes_may_be_set_until_the_next_fit():
    """As those of other estimators, by users and by subclasses that validate themselves."""

    class Validating(ConvNetClassifier):
        def fit(self, X, y):
            validate_data(self, X, y)
            return super().fit(X, y)

    net = make_net().fit(X, Y)
    net.classes_ = NAMES
    assert_array_equal(net.classes_, NAMES)
    assert_array_equal(net.fit(X, Y).classes_, np.unique(Y))
    rows = X.reshape(N_SAMPLES, -1)
    assert Validating(image_shape=IMAGE_SHAPE, max_iter=1).fit(rows, Y).n_features_in_ == rows.shape[1]
    with pytest.raises(AttributeError, match="'ConvNetClassifier' object has no attribute 'image_shape_'"):
        make_net().image_shape_  # noqa: B018, that it is read is what is tested
