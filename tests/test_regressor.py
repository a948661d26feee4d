"""Tests of the regressor: what it shares with the classifier works for numbers, too, in any unit."""

import pickle
from datetime import timedelta

import numpy as np
import pytest
from extras import package
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import rotate
from seeds import generator
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import PoissonRegressor, QuantileRegressor, Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_score
from small_classifiers import fitted_classifier
from small_regressors import assert_same_predictions, make_numbers, make_regressor

from skcnn import BatchNorm, Conv2D, ConvNetFeatures, ConvNetRegressor, CutMix, Mixup, load, save
from skcnn.inspection import saliency_maps
from skcnn.network.regression_losses import REGRESSION_LOSSES

X, Y = make_numbers(60)
TWO = make_numbers(60, 2)[1]


def full_batch(layers=(), **params):
    """Return a linear regressor that L-BFGS fits to convergence."""
    options = {"solver": "lbfgs", "dtype": "float64", "max_iter": 2000, "tol": 1e-10, "alpha": 0.0}
    return ConvNetRegressor(list(layers), **(options | params))


# What it learns


@pytest.mark.costly
def test_the_angle_of_rotated_digits():
    """Held-out digits, turned by up to 45 degrees, are predicted to 5 degrees by the defaults."""
    images = np.pad(load_digits().images.astype(np.float32), ((0, 0), (2, 2), (2, 2)))
    rng = generator(0)

    def turned(images):
        angles = rng.uniform(-45, 45, len(images))
        pairs = zip(images, angles, strict=True)
        return np.stack([rotate(image, angle, reshape=False, order=1) for image, angle in pairs]), angles

    train, angles = turned(np.repeat(images[:1400], 2, axis=0))
    test, expected = turned(images[1400:])
    regressor = ConvNetRegressor(max_iter=8, random_state=0).fit(train, angles)
    assert mean_absolute_error(expected, regressor.predict(test)) <= 5


@pytest.mark.parametrize("unit", [1e6, 1e-6])
@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_the_unit_of_targets_does_not_matter(loss, unit):
    targets = np.abs(Y)
    plain, other = (make_regressor(loss=loss).fit(X, scale * targets) for scale in (1.0, unit))
    assert_allclose(other.predict(X), unit * plain.predict(X), rtol=1e-9)
    assert_allclose(other.loss_curve_, plain.loss_curve_, rtol=1e-9)


def test_an_offset_of_targets_is_learned_at_once():
    predictions = make_regressor(max_iter=1, learning_rate_init=1e-9).fit(X, Y + 1e6).predict(X)
    assert_allclose(predictions, np.mean(Y + 1e6), rtol=1e-9)


LINEAR = {
    "squared_error": Ridge(1e-12),
    "poisson": PoissonRegressor(alpha=0, tol=1e-12, max_iter=10_000, solver="newton-cholesky"),
}


@pytest.mark.parametrize(("loss", "model"), LINEAR.items(), ids=LINEAR)
def test_a_linear_network_is_the_linear_model_of_scikit_learn(loss, model):
    rows, weights = generator(1).normal(size=(80, 6)), generator(2).uniform(0.5, 2, 80)
    y = generator(3).poisson(np.exp(rows[:, 0] / 2))
    found = full_batch(loss=loss).fit(rows, y, sample_weight=weights).predict(rows)
    assert_allclose(found, model.fit(rows, y, sample_weight=weights).predict(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_quantiles_of_a_linear_network_are_near_those_of_scikit_learn(quantile):
    rows = generator(1).normal(size=(200, 3))
    y = rows[:, 0] + generator(2).normal(size=200)
    options = {"solver": "adam", "max_iter": 300, "learning_rate_init": 0.01, "tol": 0, "dtype": "float64"}
    net = ConvNetRegressor([], loss="quantile", quantile=quantile, alpha=0.0, random_state=0, **options)
    exact = QuantileRegressor(quantile=quantile, alpha=0).fit(rows, y)
    assert_allclose(net.fit(rows, y).predict(rows), exact.predict(rows), atol=0.15)


def test_several_outputs_are_predicted_together():
    regressor = make_regressor(max_iter=60).fit(X, TWO)
    assert (regressor.n_outputs_, regressor.predict(X).shape) == (2, (60, 2))
    assert regressor.score(X, TWO) > 0.8


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_constant_targets_are_predicted(loss):
    y = np.full(len(X), 3.0)
    regressor = make_regressor(loss=loss, max_iter=3).fit(X, y)
    assert_allclose(regressor.predict(X), y, atol=0.5)
    assert_allclose(DummyRegressor().fit(X, y).predict(X), y)


# The contract


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
def test_a_weight_equals_repetition_and_zero_leaves_out(loss):
    repeats = generator(0).integers(0, 3, len(X))
    options = {"loss": loss, "batch_size": 200, "dtype": "float64"}
    weighted = make_regressor(**options).fit(X, np.abs(Y), sample_weight=repeats)
    rows = np.repeat(np.arange(len(X)), repeats)
    repeated = make_regressor(**options).fit(X[rows], np.abs(Y)[rows])
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)


@pytest.mark.parametrize("params", [{}, {"normalization": "batch"}, {"solver": "lbfgs"}], ids=str)
def test_same_seed_same_bits_on_any_number_of_threads(params, monkeypatch):
    fitted = []
    for n_threads in (1, 2, 5):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        fitted.append(make_regressor(**params).fit(X, TWO))
    for other in fitted[1:]:
        assert_same_predictions(fitted[0], other, X)


@pytest.mark.parametrize("loss", REGRESSION_LOSSES)
@pytest.mark.parametrize("through", [lambda net, path: pickle.loads(pickle.dumps(net)), "a file"])
def test_a_fitted_regressor_comes_back(loss, through, tmp_path):
    params = {"quantile": 0.75} if loss == "quantile" else {}
    regressor = make_regressor(loss=loss, **params).fit(X, np.abs(TWO))
    if through == "a file":
        save(regressor, tmp_path / "regressor.skcnn")
        loaded = load(tmp_path / "regressor.skcnn")
    else:
        loaded = through(regressor, tmp_path)
    assert_same_predictions(regressor, loaded, X)
    assert vars(loaded.model_.loss) == vars(regressor.model_.loss)


def test_training_goes_on_from_a_file_as_if_it_had_not_been_interrupted(tmp_path):
    regressor = make_regressor(warm_start=True).fit(X, Y)
    save(regressor, tmp_path / "regressor.skcnn", training_state=True)
    assert_same_predictions(load(tmp_path / "regressor.skcnn").fit(X, Y), regressor.fit(X, Y), X)


@pytest.mark.parametrize(
    ("y", "pattern"),
    [
        (Y[:-1], "inconsistent numbers of samples"),
        (np.where(Y > Y.mean(), np.nan, Y), "y must hold .*NaN"),
        (["a"] * len(X), "y must hold finite numbers"),
        (None, "y"),
        (-np.abs(Y), "poisson.*y >= 0"),
        (np.datetime64("2020") + np.arange(len(X)), "y must hold .*datetime64"),
        ([10**400] * len(X), "y must hold finite numbers"),
        ([np.datetime64("2020-01-01")] * len(X), "y must hold finite numbers, got dtype datetime64"),
        ([[timedelta(1), timedelta(2)]] * len(X), "y must hold finite numbers: .*timedelta"),
        (np.array([np.timedelta64(1, "s")] * len(X), object), "y must hold finite numbers, got timedelta64"),
    ],
)
def test_targets_that_do_not_fit_leave_the_estimator_as_it_was(y, pattern):
    regressor = make_regressor(loss="poisson").fit(X, np.abs(Y))
    before = regressor.model_
    with pytest.raises(ValueError, match=pattern):
        regressor.fit(X, y)
    assert regressor.model_ is before


def test_frames_of_dates_are_refused():
    dates = np.datetime64("2020-01-01", "ns") + np.arange(len(X))
    frame = package("pandas").DataFrame({"a": dates, "b": dates})
    for y in (frame[["a"]], frame, frame[["a"]].apply(lambda column: column.dt.tz_localize("UTC"))):
        with pytest.raises(ValueError, match="y must hold finite numbers, got"):
            make_regressor().fit(X, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss", "log_loss"), ("loss", None), ("quantile", -0.1), ("quantile", "a"), ("huber_delta", 0)],
)
def test_values_of_parameters_that_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        make_regressor(**{name: value}).fit(X, Y)


def test_other_numbers_of_outputs_are_named():
    regressor = make_regressor(warm_start=True, early_stopping=True).fit(X, Y)
    with pytest.raises(ValueError, match="y has 2 outputs, expected 1 as in the last call"):
        regressor.fit(X, TWO)
    with pytest.raises(ValueError, match="y_val has 2 outputs, expected 1"):
        regressor.fit(X, Y, X_val=X, y_val=TWO)


def test_methods_of_classifiers_are_missing():
    regressor = make_regressor().fit(X, Y)
    assert not [name for name in dir(regressor) if "proba" in name or "classes" in name]
    assert not hasattr(make_regressor(solver="lbfgs"), "partial_fit")


# What it shares with the classifier


@pytest.mark.parametrize("scoring", [None, "r2", "neg_mean_absolute_error"])
@pytest.mark.parametrize("targets", [Y, TWO], ids=["one", "two"])
def test_early_stopping_keeps_the_best_epoch(scoring, targets):
    params = {"early_stopping": True, "scoring": scoring, "max_iter": 10, "validation_fraction": 0.3}
    regressor = make_regressor(**params).fit(X, targets)
    assert len(regressor.validation_scores_) == regressor.n_iter_
    assert regressor.best_validation_score_ == max(regressor.validation_scores_)


def test_validation_data_are_scored_in_their_unit():
    options = {"early_stopping": True, "scoring": "neg_mean_absolute_error"}
    regressor = make_regressor(**options).fit(X[:40], Y[:40], X_val=X[40:], y_val=Y[40:])
    expected = -mean_absolute_error(Y[40:], regressor.predict(X[40:]))
    assert regressor.best_validation_score_ == pytest.approx(expected, rel=1e-12)


def test_validation_targets_beyond_the_dtype_are_refused():
    with pytest.raises(ValueError, match="y has values that are not finite in float32"):
        make_regressor(early_stopping=True, dtype="float32").fit(X, Y, X_val=X, y_val=1e60 * Y)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_scorers_of_classifiers_are_refused_before_training(scoring):
    with pytest.raises(ValueError, match=scoring):
        make_regressor(early_stopping=True, scoring=scoring).fit(X, Y)


@pytest.mark.parametrize("mixing", [Mixup(), CutMix()])
def test_augmentations_that_mix_images_mix_targets(mixing):
    """The brightness of a mixture is the mixture of brightnesses, so that it is learned as well."""
    brightness = X.mean(axis=(1, 2, 3))
    regressor = make_regressor(augmentation=[mixing], max_iter=100).fit(X, brightness)
    assert regressor.score(X, brightness) > 0.7


@pytest.mark.costly
def test_a_stream_learns_and_keeps_the_scale_of_the_first_chunk_that_varies():
    stream = make_regressor().partial_fit(X[:4], np.full(4, 100.0))
    assert not stream.model_.target_scaling.has_varied.any()
    stream.partial_fit(X[:30], 100 + Y[:30])
    scaling = stream.model_.target_scaling
    assert_allclose([scaling.mean, scaling.scale], [[100 + Y[:30].mean()], [Y[:30].std()]], rtol=1e-12)
    for _ in range(60):
        stream.partial_fit(X, 100 + Y)
    assert_array_equal(stream.model_.target_scaling.mean, scaling.mean)
    assert stream.score(X, 100 + Y) > 0.5


@pytest.mark.costly
def test_a_stream_of_chunks_that_are_constant_each_learns():
    """The step from the first constant to the second one is the scale."""
    stream = make_regressor(learning_rate_init=1e-2, averaging=None)
    for _ in range(20):
        for row in range(20):
            stream.partial_fit(X[row : row + 1], Y[row : row + 1])
    assert_allclose(stream.model_.target_scaling.scale, abs(Y[1] - Y[0]), rtol=1e-12)
    assert stream.score(X[:20], Y[:20]) > 0.2


def test_targets_that_vary_later_get_their_scale():
    constant = np.full(len(X), 2.0)
    net = make_regressor(warm_start=True).fit(X, constant).fit(X, 1e6 * Y)
    started = make_regressor(init=FrozenEstimator(make_regressor().fit(X, constant))).fit(X, 1e6 * Y)
    for regressor in (net, started):
        assert_allclose(regressor.model_.target_scaling.scale, 1e6 * Y.std(), rtol=1e-12)
    assert net.best_loss_ == min(net.loss_curve_[2:])  # of the targets in the new scale


def test_training_does_not_go_on_with_a_loss_of_another_link():
    regressor = make_regressor(warm_start=True).fit(X, np.abs(Y))
    with pytest.raises(ValueError, match="loss='poisson'"):
        regressor.set_params(loss="poisson").fit(X, np.abs(Y))
    assert regressor.set_params(loss="huber").fit(X, np.abs(Y)).n_iter_ == 2


def test_a_frozen_output_layer_keeps_random_weights():
    regressor = make_regressor(learning_rate_factors={"output": 0}).fit(X, Y)
    assert regressor.get_weights()["output/weight"].any()
    assert len(set(regressor.loss_curve_)) == 2


def test_subclasses_with_properties_and_constructors_of_their_own():
    class Net(ConvNetRegressor):
        def __init__(self, width=3, *, loss="huber"):
            super().__init__([Conv2D(width)], loss=loss, max_iter=1)
            self.width = width

        @property
        def loss(self):
            return self._loss

        @loss.setter
        def loss(self, loss):
            self._loss = loss

    assert clone(Net(4)).fit(X, Y).get_params() == {"width": 4, "loss": "huber"}


def test_searches_and_cross_validation():
    search = GridSearchCV(
        make_regressor(), {"loss": ["huber", "poisson"], "conv_layer_sizes": [(2,), (3,)]}, cv=2
    )
    search.fit(X, np.abs(Y))
    assert search.best_estimator_.loss in ("huber", "poisson")
    assert len(cross_val_score(clone(make_regressor()), X, TWO, cv=3)) == 3


def test_the_results_of_a_layer_are_features():
    features = ConvNetFeatures(make_regressor(), layer="conv1").fit(X, TWO)
    assert features.transform(X).shape == (len(X), 6 * 5 * 3)


def test_saliency_maps_explain_an_output_by_its_number():
    regressor = make_regressor().fit(X, TWO)
    maps = [saliency_maps(regressor, X[:3], target=output) for output in (0, 1)]
    assert maps[0].shape == X[:3].shape
    assert (maps[0] != maps[1]).any()
    with pytest.raises(ValueError, match="target must be the number of an output, from 0 to 1"):
        saliency_maps(regressor, X[:3])
    single = make_regressor().fit(X, Y)
    assert_array_equal(saliency_maps(single, X[:3]), saliency_maps(single, X[:3], target=0))


# Weights of others


@pytest.fixture(scope="module")
def source():
    return make_regressor([("conv1", Conv2D(3)), ("norm1", BatchNorm())]).fit(X, TWO)


def test_a_regressor_starts_from_another_one_with_its_scale(source):
    layers = [("conv1", Conv2D(3)), ("norm1", BatchNorm())]
    options = {"max_iter": 1, "learning_rate_init": 1e-9, "learning_rate_factors": {"norm1": 0}}
    net = make_regressor(layers, init=FrozenEstimator(source), **options).fit(X[:20], 3 * TWO[:20])
    assert_allclose(net.predict(X), source.predict(X), rtol=1e-5, atol=1e-5)
    assert not net.init_report_["new"]


def test_outputs_that_stand_for_something_else_start_anew(source):
    options = {"max_iter": 1, "layers": [("conv1", Conv2D(3)), ("norm1", BatchNorm())]}
    classifier = fitted_classifier(options["layers"], X=X, y=np.arange(60) % 2)
    for init, params in ((classifier, {}), (source, {"loss": "poisson"})):
        net = make_regressor(init=FrozenEstimator(init), **options, **params).fit(X, np.abs(TWO))
        assert net.init_report_["new"] == ["output/weight", "output/bias"]
