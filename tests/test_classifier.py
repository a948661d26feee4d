"""What ConvNetClassifier does: attributes, predictions, training, stopping, and going on."""

import pickle
import re
import signal
import warnings
from functools import partial

import joblib
import numpy as np
import pytest
from extras import data_frame
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from seeds import SEED, generator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.utils.validation import validate_data
from small_classifiers import PassingLayer, assert_same_weights, make_classifier, make_images, weights_of

from skcnn import Conv2D, ConvNetClassifier, Dense, Flatten, Layer, MaxPool2D, Mixup, PatchWhitening
from skcnn.training.monitoring import line_of

N_SAMPLES, IMAGE_SHAPE, N_CLASSES = 45, (6, 5, 1), 3
N_BATCHES, CLASSES = 3, [0, 1, 2]
IMAGES, LABELS = make_images(2 * N_SAMPLES, IMAGE_SHAPE)
X, X_VAL = np.split(IMAGES, 2)
Y, Y_VAL = np.split(LABELS, 2)
VALIDATION = {"X_val": X_VAL, "y_val": Y_VAL}
BINARY = (Y > 0).astype(int)
WEIGHTS = np.linspace(0.2, 2, N_SAMPLES)
NAMES = np.array(["ant", "bee", "cat"])
for array in (X, Y, X_VAL, Y_VAL, BINARY, WEIGHTS, NAMES):
    array.setflags(write=False)

make_net = partial(make_classifier, averaging=None, batch_size=16)


def same_weights(net, other):
    return np.array_equal(net.network_.vector, other.network_.vector)


def copy_of(net):
    return pickle.loads(pickle.dumps(net))


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
    assert {name: value.shape for name, value in weights_of(net).items()} == {
        "conv1.weight": (3, 3, 1, 3),
        "conv1.bias": (3,),
        "dense1.weight": (3 * 2 * 3, 4),
        "dense1.bias": (4,),
        "output.weight": (4, 3),
        "output.bias": (3,),
    }
    assert net.n_params_ == sum(value.size for value in weights_of(net).values())


def test_running_statistics_are_not_counted_as_parameters():
    net = make_net([("conv", Conv2D(4))]).fit(X, Y)
    params = {"conv_layer_sizes": (4,), "hidden_layer_sizes": (), "pooling": None}
    normalized = make_net(normalization="batch", **params).fit(X, Y)
    assert normalized.n_params_ == net.n_params_ + 4  # a scale and a shift in place of each bias


def test_attributes_of_the_course_of_training():
    net = make_net(max_iter=3).fit(X, Y)
    assert net.n_iter_ == len(net.loss_curve_) == 3
    assert net.t_ == 3 * N_SAMPLES
    assert net.loss_ == net.loss_curve_[-1]
    assert net.best_loss_ == min(net.loss_curve_)
    assert net.validation_scores_ is None
    assert net.best_validation_score_ is None
    keys = {"epoch", "learning_rate", "loss", "seconds", "step"}
    assert [set(record) for record in net.history_] == [keys] * 3
    assert [record["epoch"] for record in net.history_] == [1, 2, 3]
    assert [record["loss"] for record in net.history_] == net.loss_curve_
    assert [record["learning_rate"] for record in net.history_] == [1e-2] * 3
    assert all(record["seconds"] > 0 for record in net.history_)


def test_attributes_of_early_stopping():
    net = make_net(max_iter=3, early_stopping=True, validation_fraction=0.2).fit(X, Y)
    assert net.best_loss_ is None
    assert len(net.validation_scores_) == net.n_iter_ == 3
    assert net.best_validation_score_ == max(net.validation_scores_)
    assert [record["validation_score"] for record in net.history_] == net.validation_scores_
    assert net.t_ == 3 * (N_SAMPLES - 9)


@pytest.mark.parametrize(
    ("params", "sample_weight"),
    [
        ({}, None),
        ({"alpha": 0.5}, WEIGHTS),
        ({"label_smoothing": 0.3, "class_weight": {0: 3.0, 1: 0.5}}, WEIGHTS),
        ({"class_weight": "balanced", "label_smoothing": 0.1, "alpha": 0.1}, None),
        ({"class_weight": "balanced"}, WEIGHTS),
    ],
)
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


def test_log_probabilities_are_logarithms_and_finite_where_probabilities_underflow():
    net = make_net(activation="identity").fit(X, Y)
    assert_allclose(np.exp(net.predict_log_proba(X)), net.predict_proba(X), rtol=1e-12)
    far = 1e5 * X
    assert net.predict_proba(far).min() == 0
    assert np.isfinite(net.predict_log_proba(far)).all()


@pytest.mark.parametrize(
    "classes",
    [NAMES, NAMES.astype(object), np.array([0.0, 1.0, 2.0]), np.int8([3, -1, 2]), np.array([False, True])],
    ids=["text", "objects", "integral floats", "unsorted", "booleans"],
)
def test_labels_are_predicted_as_they_were_given_and_do_not_change_weights(classes):
    labels = classes[Y % len(classes)]
    net = make_net().fit(X, labels)
    codes = np.searchsorted(net.classes_, labels)
    other = make_net().fit(X, codes)
    assert_array_equal(net.classes_, np.sort(classes))
    assert net.predict(X).dtype == classes.dtype
    assert_array_equal(net.predict(X), net.classes_[other.predict(X)])
    assert net.score(X, labels) == other.score(X, codes)
    assert_same_weights(net, other)


# weights of samples and classes


def test_class_weight_may_have_keys_of_classes_that_a_fold_lacks():
    keep = Y != 2
    net = make_net(class_weight={0: 1.0, 1: 3.0, 2: 5.0}).fit(X[keep], Y[keep])
    assert_same_weights(net, make_net(class_weight={0: 1.0, 1: 3.0}).fit(X[keep], Y[keep]))


@pytest.mark.parametrize(("normalization", "early_stopping"), [(None, False), ("batch", True)])
def test_samples_of_weight_zero_are_dropped(normalization, early_stopping):
    params = {"early_stopping": early_stopping, "validation_fraction": 0.3, "max_iter": 3}
    params["normalization"] = normalization
    weights = np.where(np.arange(N_SAMPLES) % 4 == 0, 0.0, WEIGHTS)
    kept = weights > 0
    net = make_net(**params).fit(X, Y, weights)
    other = make_net(**params).fit(X[kept], Y[kept], weights[kept])
    assert_same_weights(net, other)
    assert net.loss_curve_ == other.loss_curve_
    assert net.validation_scores_ == other.validation_scores_
    assert net.t_ == other.t_


@pytest.mark.parametrize(
    ("params", "factor"),
    [
        ({}, 2.0**-1000),
        ({"class_weight": "balanced"}, 2.0**1021),
        ({"augmentation": [Mixup(0.3)]}, 2.0**-1000),
        ({"early_stopping": True, "validation_fraction": 0.3}, 2.0**1021),
        ({"layers": [PatchWhitening(), MaxPool2D()], "init_scaling": "unit_variance"}, 2.0**1021),
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


# training


def options(parameter):
    """Return the names that a parameter takes."""
    return sorted(ConvNetClassifier._parameter_constraints[parameter][0].options)


@pytest.mark.parametrize(
    ("solver", "learning_rate"),
    [
        *((solver, "constant") for solver in options("solver")),
        *(("sgd", rate) for rate in options("learning_rate") if rate != "constant"),
    ],
)
def test_every_solver_and_every_learning_rate_trains(solver, learning_rate):
    """All get far but "invscaling", whose steps shrink too fast for that: its loss falls."""
    rate = {"rmsprop": 5e-3, "adagrad": 0.2}.get(solver, 0.05)  # first steps of rmsprop are 30 times the rate
    params = {"hidden_layer_sizes": (8,), "max_iter": 30, "learning_rate_init": rate, "n_iter_no_change": 30}
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
        *({"solver": solver} for solver in options("solver") if solver != "adamw"),
        *({"learning_rate": rate} for rate in ("invscaling", "cosine", "one_cycle")),
        *[{"learning_rate": "step", "step_size": 1}, {"step_size": 1, "learning_rate": "step"}],
        *[{"step_factor": 0.5, "step_size": 1, "learning_rate": "step"}, {"warmup": 0.7}],
        *[{"averaging": "ema"}, {"averaging": "swa", "averaging_start": 0.0}],
        *[{"averaging_decay": 0.1, "averaging": "ema"}, {"averaging_start": 0.0, "averaging": "swa"}],
        *[{"momentum": 0.5, "solver": "sgd"}, {"nesterovs_momentum": False, "solver": "sgd"}],
        *[{"clip_norm": 0.1, "solver": "sgd"}, {"focal_gamma": 0.5, "loss": "focal"}],
        *[{"beta_1": 0.5}, {"beta_2": 0.9}, {"epsilon": 1e-2}, {"alpha": 0.1}, {"label_smoothing": 0.3}],
        *[{"batch_size": 8}, {"shuffle": False}, {"learning_rate_init": 2e-2}, {"random_state": SEED + 1}],
        *[{"input_scaling": None}, {"init_scaling": "unit_variance"}, {"kernel_size": (3, 1)}],
        *[{"pool_size": 3}, {"activation": "relu"}, {"dropout": 0.5}],
    ],
    ids=str,
)
def test_parameter_matters(params):
    """The first one, where the others are what they are."""
    _, *others = params
    net = make_net(**{name: params[name] for name in others}).fit(X, Y)
    assert not np.array_equal(net.decision_function(X), make_net(**params).fit(X, Y).decision_function(X))


@pytest.mark.parametrize(
    ("batch_size", "n_samples", "n_batches"),
    [("auto", 45, 1), (10_000, 45, 1), ("auto", 10_000, 157), ("auto", 10_001, 79)],
)
def test_minibatches_have_64_samples_or_128_of_many_and_at_most_all(batch_size, n_samples, n_batches):
    net = make_net([], batch_size=batch_size, max_iter=1)
    net.fit(np.zeros((n_samples, 1)), np.arange(n_samples) % 2)
    assert net.history_[0]["step"] == n_batches


def test_no_minibatch_is_a_small_rest():
    """65 samples are two minibatches of nearly equal size: batch statistics of one sample are worthless."""
    sizes = []

    class Counting(PassingLayer):
        def forward(self, params, X, unit, *, training, out):
            if training:
                sizes.append(X.shape[-2])
            return X

    X65 = generator(0).standard_normal((65, 4))
    make_net([Flatten(), Counting(), Dense(3)], batch_size="auto", max_iter=1).fit(X65, np.arange(65) % 2)
    assert sorted(sizes) == [32, 33]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"learning_rate": "invscaling"}, 1e-2 / np.sqrt(N_SAMPLES * np.arange(5) + 1)),
        ({"learning_rate": "adaptive", "tol": 1e3, "n_iter_no_change": 1}, [1e-2] * 3 + [2e-3] * 2),
    ],
    ids=["invscaling", "adaptive"],
)
def test_rates_follow_the_samples_seen_and_the_plateaus(params, expected):
    net = make_net(max_iter=5, **params).fit(X, Y)
    assert_allclose([record["learning_rate"] for record in net.history_], expected)


@pytest.mark.parametrize("given", [{}, VALIDATION], ids=["loss", "validation score"])
def test_training_ends_after_epochs_without_improvement(given):
    """The first one improves, then more than three do not."""
    net = make_net(tol=1e3, n_iter_no_change=3, max_iter=50, early_stopping=bool(given)).fit(X, Y, **given)
    assert net.n_iter_ == 5


@pytest.mark.parametrize("params", [{"tol": 1e3}, {"solver": "lbfgs", "tol": 0.0}], ids=str)
def test_infinite_patience_ends_no_training(params):
    assert make_net(**params, n_iter_no_change=np.inf, max_iter=15).fit(X, Y).n_iter_ == 15


def test_verbose_prints_an_aligned_line_an_epoch(capsys):
    params = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 11}
    make_net(**params).fit(X, Y).predict(X)
    assert capsys.readouterr() == ("", "")
    net = make_net(verbose=True, **params).fit(X, Y)
    out, err = capsys.readouterr()
    assert out.splitlines() == [line_of(record) for record in net.history_]
    assert len({len(line) for line in out.splitlines()}) == 1
    assert err == ""


def test_parameters_are_cast_to_the_dtype_of_the_network():
    class Careless(Dense):
        def init_params(self, input_shape, *, activation, dtype, rng):
            params = super().init_params(input_shape, activation=activation, dtype=dtype, rng=rng)
            return {key: value.astype(np.float64) for key, value in params.items()}

    assert make_net([Careless(4)], dtype="float32").fit(X, Y).network_.vector.dtype == np.float32


def test_values_too_small_to_standardize_are_left_as_they_are():
    tiny = np.zeros((20, 4), np.float32)
    tiny[0, 0] = 1e-44
    assert np.isfinite(make_net().fit(tiny, np.arange(20) % 2).predict_proba(tiny)).all()


# early stopping


def test_early_stopping_restores_the_best_weights_and_running_statistics():
    scores = iter([0.3, 0.9, 0.2, 0.9, 0.8])
    params = {"early_stopping": True, "scoring": lambda *_: next(scores), "max_iter": 5}
    net = make_net(normalization="batch", **params).fit(X, Y, **VALIDATION)
    assert net.validation_scores_ == [0.3, 0.9, 0.2, 0.9, 0.8]
    assert net.best_validation_score_ == 0.9
    assert net.t_ == 5 * N_SAMPLES
    assert_same_weights(net, make_net(normalization="batch", max_iter=2).fit(X, Y))


def test_warm_start_with_early_stopping_remembers_the_best_weights_of_earlier_calls():
    scores = iter([0.9, 0.1, 0.1, 0.9, 0.5, 0.2, 0.2])  # the second call scores where it starts
    kept = []

    def scoring(model, X, y):
        kept.append(model.network_.vector.copy())
        return next(scores)

    net = make_net(scoring=scoring, early_stopping=True, warm_start=True, max_iter=3)
    net.fit(X, Y, **VALIDATION).fit(X, Y, **VALIDATION)
    assert net.best_validation_score_ == 0.9
    assert_array_equal(net.network_.vector, kept[0])


def test_validation_score_is_the_negative_weighted_loss():
    params = {"early_stopping": True, "max_iter": 1, "class_weight": {0: 3.0}, "alpha": 1.0}
    net = make_net(**params).fit(X, Y, **VALIDATION, sample_weight_val=WEIGHTS)
    weights = WEIGHTS * np.where(Y_VAL == 0, 3.0, 1.0)
    expected = -log_loss(Y_VAL, net.predict_proba(X_VAL), sample_weight=weights)
    assert_allclose(net.validation_scores_, [expected], rtol=1e-10)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_validation_samples_of_weight_zero_do_not_count(scoring):
    """Their labels may be unknown."""
    weights = np.where(np.arange(N_SAMPLES) < 20, 0.0, 1.0)
    y_val = np.where(np.arange(N_SAMPLES) == 0, 99, Y_VAL)
    net, other = (make_net(early_stopping=True, scoring=scoring) for _ in range(2))
    net.fit(X, Y, X_val=X_VAL, y_val=y_val, sample_weight_val=weights)
    other.fit(X, Y, X_val=X_VAL[20:], y_val=Y_VAL[20:])
    assert_allclose(net.validation_scores_, other.validation_scores_, rtol=1e-12)


def test_named_scorer_scores_the_validation_data_by_their_weights():
    net = make_net(early_stopping=True, scoring="accuracy", max_iter=1)
    net.fit(X, NAMES[Y], X_val=X_VAL, y_val=NAMES[Y_VAL], sample_weight_val=WEIGHTS)
    expected = accuracy_score(NAMES[Y_VAL], net.predict(X_VAL), sample_weight=WEIGHTS)
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


def test_scorers_see_the_state_of_numpy_that_the_caller_set():
    seen = []
    net = make_net(scoring=lambda *_: seen.append(np.geterr()["divide"]) or 1.0, early_stopping=True)
    with np.errstate(divide="raise"):
        net.fit(X, Y, **VALIDATION)
    assert seen == ["raise"] * 2


def test_errors_of_a_scorer_leave_the_estimator_as_it_was():
    net = make_net().fit(X, Y).set_params(early_stopping=True, scoring=lambda *_: 1 / 0)
    before = dict(vars(net))
    with pytest.raises(ZeroDivisionError):
        net.fit(X, Y, **VALIDATION)
    assert vars(net) == before


def test_split_is_stratified_and_of_the_fraction_asked_for():
    seen = []

    def scorer(estimator, X_scored, y_scored):
        seen.append((X_scored, y_scored))
        return 0.0

    params = {"early_stopping": True, "scoring": scorer}
    net = make_net(validation_fraction=0.2, **params).fit(X, Y)
    assert_array_equal(np.bincount(seen[0][1]), [3, 3, 3])
    assert_array_equal(seen[0][0], seen[1][0])
    assert net.t_ == 2 * 36
    rows = [int(np.flatnonzero((image == X).all(axis=(1, 2, 3)))[0]) for image in seen[0][0]]
    assert_array_equal(Y[rows], seen[0][1])
    kept = np.setdiff1d(np.arange(N_SAMPLES), rows)
    assert_same_weights(net, make_net(**params).fit(X[kept], Y[kept], X_val=X[rows], y_val=Y[rows]))


def test_validation_images_may_have_another_layout():
    net, other = (make_net(early_stopping=True) for _ in range(2))
    net.fit(X, Y, X_val=X_VAL.reshape(N_SAMPLES, -1), y_val=Y_VAL)
    assert net.validation_scores_ == other.fit(X, Y, **VALIDATION).validation_scores_


# going on

EACH_KIND_OF_STATE = pytest.mark.parametrize(
    "params", [{"normalization": "batch", "dropout": 0.3}, {"solver": "sgd"}], ids=str
)


@EACH_KIND_OF_STATE
def test_warm_start_goes_on_bit_by_bit(params):
    net = make_net(warm_start=True, max_iter=2, **params).fit(X, Y)
    net.set_params(max_iter=3).fit(X, Y)
    other = make_net(max_iter=5, **params).fit(X, Y)
    assert_same_weights(net, other)
    assert net.loss_curve_ == other.loss_curve_
    assert (net.n_iter_, net.t_) == (3, 5 * N_SAMPLES)
    assert [record["epoch"] for record in net.history_] == [1, 2, 3, 4, 5]


def test_without_warm_start_fit_begins_anew():
    net = make_net(normalization="batch", dropout=0.3).fit(X, Y)
    first = copy_of(net)
    assert_same_weights(net.fit(X, Y), first)
    assert len(net.loss_curve_) == len(net.history_) == net.n_iter_ == 2


def test_warm_start_keeps_scaling_shape_and_classes():
    net = make_net(warm_start=True, max_iter=1).fit(X, Y)
    image_format = net.model_.format
    net.fit(100 + X[Y > 0], Y[Y > 0])
    assert net.model_.format == image_format
    assert_array_equal(net.classes_, [0, 1, 2])


def test_warm_start_refuses_other_layers():
    net = make_net([("a", Dense(4))], warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"layer 'a' was Dense\(units=4\).*'a' is Dense\(units=5\) now"):
        net.set_params(a__units=5).fit(X, Y)


def test_the_inapplicable_record_is_none_after_a_change_of_early_stopping():
    net = make_net(warm_start=True).fit(X, Y)
    assert net.best_loss_ is not None
    assert net.set_params(early_stopping=True).fit(X, Y, **VALIDATION).best_loss_ is None


@EACH_KIND_OF_STATE
def test_partial_fit_is_an_epoch_bit_by_bit(params):
    net = make_net(**params)
    for epoch in range(1, 4):
        net.partial_fit(X, Y, classes=CLASSES, sample_weight=WEIGHTS)
        other = make_net(max_iter=epoch, **params).fit(X, Y, WEIGHTS)
        assert_same_weights(net, other)
        assert net.loss_curve_ == other.loss_curve_
        assert net.t_ == epoch * N_SAMPLES


def test_partial_fit_goes_on_after_fit():
    net = make_net(max_iter=3).fit(X, Y)
    before = copy_of(net)
    net.partial_fit(X, Y)
    assert not same_weights(net, before)
    assert net.loss_curve_[:3] == before.loss_curve_
    assert net.loss_curve_[3] < net.loss_curve_[0]
    assert (net.n_iter_, net.t_) == (1, 4 * N_SAMPLES)
    assert [record["epoch"] for record in net.history_] == [1, 2, 3, 4]


def test_partial_fit_goes_on_bit_by_bit_after_fit_with_warm_start():
    net = make_net(max_iter=2, warm_start=True).fit(X, Y).partial_fit(X, Y)
    assert_same_weights(net, make_net(max_iter=3).fit(X, Y))


def test_partial_fit_after_fit_draws_other_numbers():
    draws = []

    class Noting(PassingLayer):
        def forward(self, params, X, unit, *, training, out):
            if training:
                draws.append(unit.rng.random())
            return X

    make_net([Flatten(), Noting(), Dense(3)], max_iter=2).fit(X, Y).partial_fit(X, Y)
    assert len(set(draws)) == len(draws) == 3 * N_BATCHES


def test_steps_count_on_whatever_call_trains():
    """They are the places of the losses of minibatches at the end of each epoch."""
    net = make_net(max_iter=2).fit(X, Y).partial_fit(X, Y).set_params(warm_start=True).fit(X, Y)
    assert [record["step"] for record in net.history_] == [N_BATCHES * epoch for epoch in range(1, 6)]
    assert len(net.batch_losses_) == 5 * N_BATCHES
    for record in net.history_:
        of_epoch = net.batch_losses_[record["step"] - N_BATCHES : record["step"]]
        assert np.mean(of_epoch) == pytest.approx(record["loss"])


def test_partial_fit_does_not_stop_early():
    net = make_net(early_stopping=True, max_iter=1, tol=1e3, n_iter_no_change=1)
    for _ in range(4):
        net.partial_fit(X, Y, classes=CLASSES)
    assert net.validation_scores_ is None
    assert_same_weights(net, make_net(max_iter=4).fit(X, Y))


def test_partial_fit_knows_classes_that_have_not_occurred():
    net = make_net().partial_fit(X[Y > 0], NAMES[Y[Y > 0]], classes=NAMES[::-1])
    assert_array_equal(net.classes_, NAMES)
    assert net.predict_proba(X).shape == (N_SAMPLES, 3)


def test_partial_fit_takes_one_sample_at_a_time():
    net = make_net(normalization="batch")
    for row in range(4):
        net.partial_fit(X[row : row + 1], Y[row : row + 1], classes=CLASSES)
    assert net.t_ == 4
    assert np.isfinite(net.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("class_weight", "rows", "sample_weight"),
    [(None, Y >= 0, np.zeros(N_SAMPLES)), ({0: 0.0, 1: 1.0, 2: 1.0}, Y == 0, None)],
    ids=["sample_weight", "class_weight"],
)
def test_partial_fit_on_samples_without_weight_trains_nothing(class_weight, rows, sample_weight):
    net = make_net(class_weight=class_weight).partial_fit(X, Y, classes=CLASSES)
    before = joblib.hash(vars(net))
    net.partial_fit(X[rows], Y[rows], sample_weight=sample_weight)
    assert joblib.hash(vars(net)) == before


def test_weights_of_partial_fit_are_relative_to_the_first_call():
    def trained(factor):
        net = make_net(solver="sgd").partial_fit(X, Y, classes=CLASSES, sample_weight=np.ones(N_SAMPLES))
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


@pytest.mark.parametrize(("first", "then"), [(1.0, 1e39), (1e-20, 1e20), (5e-324, 1.0)])
def test_weights_of_a_chunk_that_are_too_large_beside_the_first_are_refused(first, then):
    net = make_net(dtype="float32")
    net.partial_fit(X, Y, classes=CLASSES, sample_weight=np.full(N_SAMPLES, first))
    with pytest.raises(ValueError, match="sample_weight is too large .* not finite in float32"):
        net.partial_fit(X, Y, sample_weight=np.full(N_SAMPLES, then))


# pickles and attributes

PICKLED = {
    "fit": (1, lambda net: net.fit(X, Y)),
    "fit with warm start": (3, lambda net: net.set_params(warm_start=True).fit(X, Y)),
    "partial_fit": (3, lambda net: net.partial_fit(X, Y, classes=CLASSES)),
    "fit after partial_fit": (1, lambda net: net.partial_fit(X, Y, classes=CLASSES).fit(X, Y)),
}


@pytest.mark.parametrize(("n_vectors", "train"), PICKLED.values(), ids=PICKLED)
def test_a_pickle_is_little_more_than_weights_and_slots_where_training_goes_on(n_vectors, train):
    net = train(make_net(hidden_layer_sizes=(512,), max_iter=1))
    n_bytes = n_vectors * net.network_.vector.nbytes
    assert n_bytes > 80_000
    assert n_bytes < len(pickle.dumps(net)) < n_bytes + 8_000


def test_parameters_of_the_network_cannot_be_replaced():
    net = make_net().fit(X, Y)
    with pytest.raises(TypeError):
        net.network_.params["output"]["bias"] = np.zeros(3)
    net.network_.params["output"]["bias"][...] = [0, 0, 1e6]
    assert set(copy_of(net).predict(X)) == {net.classes_[2]}


def test_names_of_compact_layers_are_not_taken_for_other_parameters():
    with pytest.raises(ValueError, match="with layers=None there are no layers"):
        ConvNetClassifier().set_params(conv1__filters=3)


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


# random states


def test_random_state_instance_gives_other_draws_to_each_fit():
    net, other = (make_net(random_state=np.random.RandomState(SEED)) for _ in range(2))
    first = copy_of(net.fit(X, Y))
    second = net.fit(X, Y)
    assert not same_weights(first, second)
    assert_same_weights(other.fit(X, Y), first)
    assert_same_weights(other.fit(X, Y), second)


def test_fit_changes_only_the_state_of_a_random_state_instance_and_always_alike():
    states = []
    for params in ({}, {"max_iter": 4, "dropout": 0.5, "normalization": "batch", "hidden_layer_sizes": (9,)}):
        random_state = np.random.RandomState(SEED)
        net = make_net(**params, random_state=random_state)
        parameters = net.get_params()
        net.fit(X, Y)
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


@pytest.mark.parametrize(
    ("solver", "normalization", "dtype", "averaging"),
    [("sgd", None, "float32", "ema"), ("adam", "batch", "float64", None)],
)
@pytest.mark.parametrize("learning_rate_init", [1e1, 1e3, 1e6, 1e200])
def test_no_learning_rate_leaves_an_unusable_estimator(
    solver, normalization, dtype, averaging, learning_rate_init
):
    """Training learns, or a warning names the step at which it diverged, as with the last rate."""
    params = {"solver": solver, "normalization": normalization, "dtype": dtype, "averaging": averaging}
    net = make_net(**params, learning_rate_init=learning_rate_init, activation="relu", max_iter=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, Y)
    assert (learning_rate_init == 1e200) <= len(caught) <= 1
    for entry in caught:
        assert entry.category is ConvergenceWarning
        assert re.search(r"diverged: .* at step \d.* smaller learning_rate_init than", str(entry.message))
    assert all(np.isfinite(value).all() for value in [*weights_of(net).values(), net.loss_curve_])
    assert np.isfinite(net.predict_proba(X)).all()
    assert np.isfinite(net.predict_log_proba(X)).all()


@pytest.mark.parametrize("averaging", [None, "ema"])
def test_a_validation_loss_that_is_not_finite_is_divergence(averaging):
    """The weights stay, and so do those that training goes on from, though an average stands for them."""
    params = {"early_stopping": True, "averaging": averaging, "activation": "identity"}
    net = make_net(**params, input_scaling=None, warm_start=True).fit(X, Y, X_val=X, y_val=Y)
    before, last = net.network_.vector.copy(), net._training_state.trained
    with pytest.warns(ConvergenceWarning, match="the validation loss became"):
        net.fit(X, Y, X_val=X / np.abs(X).max() * 1.7e308, y_val=Y)
    assert_array_equal(net.network_.vector, before)
    assert np.isfinite(net.predict_proba(X)).all()
    if averaging:
        assert not np.array_equal(before, last)
        assert_array_equal(net._training_state.trained, last)


# interruption


def raise_interrupt(*arguments, **options):
    raise KeyboardInterrupt


class Interrupt(PassingLayer):
    """At a given step of training, sends what Ctrl-C sends."""

    steps_left = None

    def prepare(self, params, plan, *, training, memory):
        if training and Interrupt.steps_left is not None:
            Interrupt.steps_left -= 1
            if Interrupt.steps_left == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interrupt_at_step(monkeypatch):
    return lambda step: monkeypatch.setattr(Interrupt, "steps_left", step)


def assert_interrupted(call):
    """Call, and assert that the interrupt gets out with a warning, and the handler of signals stays."""
    handler = signal.getsignal(signal.SIGINT)
    with pytest.warns(UserWarning, match="interrupted.* last complete step are kept") as caught:
        with pytest.raises(KeyboardInterrupt):
            call()
    assert len(caught) == 1
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("averaging", [None, "ema"])
def test_interrupt_keeps_the_last_complete_step(interrupt_at_step, averaging):
    """Not averaged, for the statistics of an average take a pass over the samples."""
    params = {"layers": [Conv2D(4), Interrupt(), Dense(8)], "batch_size": 1000}
    net = make_net(**params, max_iter=20, averaging=averaging)
    interrupt_at_step(3)
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    assert_same_weights(net, make_net(**params, max_iter=3).fit(X, Y))
    assert np.isfinite(net.predict_proba(X)).all()


def test_interrupt_while_weights_are_averaged_keeps_those_that_are_not(monkeypatch):
    expected = make_net().fit(X, Y)
    monkeypatch.setattr("skcnn.training.fit.make_averaged_network", raise_interrupt)
    net = make_net(averaging="ema")
    assert_interrupted(lambda: net.fit(X, Y))
    assert_same_weights(net, expected)


def test_interrupt_within_an_epoch_keeps_the_steps_before(interrupt_at_step):
    params = {"layers": [Conv2D(4), Interrupt(), Dense(8)], "shuffle": False}
    net = make_net(**params)
    interrupt_at_step(2)
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    assert net.loss_curve_ == []
    for others in ({"learning_rate_init": 1e-300}, {"max_time": 1e-9}, {}):  # no step, one, and all
        assert not same_weights(net, make_net(**params, max_iter=1, **others).fit(X, Y))


def test_an_epoch_that_was_broken_off_counts_its_samples_but_not_its_steps(interrupt_at_step):
    net = make_net([Interrupt(), Dense(8)], warm_start=True)
    interrupt_at_step(5)  # the second step of the second epoch
    assert_interrupted(lambda: net.fit(X, Y))
    interrupt_at_step(None)
    assert net.t_ == N_SAMPLES + 2 * N_SAMPLES // N_BATCHES
    net.fit(X, Y)
    assert [record["step"] for record in net.history_] == [N_BATCHES * epoch for epoch in (1, 2, 3)]
    assert len(net.batch_losses_) == 3 * N_BATCHES


def test_interrupt_of_partial_fit_and_going_on(interrupt_at_step):
    params = {"layers": [Interrupt(), Dense(8)], "batch_size": 1000}
    net = make_net(**params).partial_fit(X, Y, classes=CLASSES)
    interrupt_at_step(1)
    assert_interrupted(lambda: net.partial_fit(X, Y))
    interrupt_at_step(None)
    assert_same_weights(net, make_net(**params).fit(X, Y))
    assert np.isfinite(net.partial_fit(X, Y).predict_proba(X)).all()


@pytest.mark.parametrize("interrupt", [raise_interrupt, lambda: signal.raise_signal(signal.SIGINT)])
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
    fitted = make_net().fit(X, Y)
    monkeypatch.setattr(Dense, "init_params", raise_interrupt)
    for net in (fitted, make_net()):
        attributes = dict(vars(net))
        with pytest.raises(KeyboardInterrupt):
            net.fit(X, Y)
        assert vars(net) == attributes


def test_an_interrupt_during_a_diverging_step_leaves_finite_weights():
    class Breaking(PassingLayer):
        calls = 0

        def backward(self, params, dY, unit, *, need_dX, out):
            Breaking.calls += 1
            if Breaking.calls == 5:
                signal.raise_signal(signal.SIGINT)
                dY[...] = np.nan
            return dY

    net = make_net([Dense(4), Breaking()])
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, Y)
    assert Breaking.calls == 5
    assert np.isfinite(net.network_.vector).all()


def test_many_classes_of_a_stream_are_no_sign_of_a_regression():
    """Each class comes once in the list, which scikit-learn warns of in labels of samples."""
    X, y = make_images(24)
    net = make_classifier().partial_fit(X, y, classes=range(30))
    assert len(net.classes_) == 30
