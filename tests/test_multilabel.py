"""Tests of several labels for each image, and of probabilities as targets."""

import pickle
import re
import warnings

import numpy as np
import pytest
from extras import data_frame, package
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from seeds import generator
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import d2_log_loss_score, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small_classifiers import assert_same_weights, make_classifier, make_images

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, ConvNetFeatures, CutMix, Mixup, load, save
from skcnn.inspection import saliency_maps

X, CODES = make_images(60)
LABELS = np.stack([CODES == 0, CODES != 1, np.arange(60) % 5 == 0], axis=1).astype(int)
SOFT = generator(0).dirichlet(np.ones(3), 60)


def full_batch(**params):
    return make_classifier(batch_size=500, dtype="float64", **params)


# Several labels


def test_each_label_is_predicted_by_itself():
    clf = make_classifier(max_iter=60).fit(X, LABELS[:, :2])
    probabilities = clf.predict_proba(X)
    assert probabilities.shape == (60, 2)
    assert_array_equal(clf.predict(X), (probabilities > 0.5).astype(int))
    assert_array_equal(clf.predict(X), (clf.decision_function(X) > 0).astype(int))
    assert_allclose(np.exp(clf.predict_log_proba(X)), probabilities, rtol=1e-5)
    assert (clf.predict(X) == LABELS[:, :2]).mean() > 0.95
    assert_array_equal(clf.classes_, [0, 1])
    assert (clf.n_outputs_, clf.out_activation_) == (2, "logistic")


def test_a_linear_network_is_one_logistic_regression_for_each_label():
    rows, weights = generator(1).normal(size=(80, 4)), generator(2).uniform(0.5, 2, 80)
    y = (rows[:, :2] + generator(3).normal(size=(80, 2)) > 0).astype(int)
    options = {"solver": "lbfgs", "dtype": "float64", "max_iter": 2000, "tol": 1e-6, "alpha": 0.0}
    net = ConvNetClassifier([], **options).fit(rows, y, sample_weight=weights)
    for label, column in enumerate(y.T):
        exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
        expected = exact.fit(rows, column, sample_weight=weights).predict_proba(rows)[:, 1]
        assert_allclose(net.predict_proba(rows)[:, label], expected, atol=1e-4)


@pytest.mark.parametrize(
    "y",
    [
        LABELS.tolist(),
        LABELS == 1,
        LABELS.astype(float),
        csr_array(LABELS),
        LABELS.astype(np.uint8),
        LABELS.astype(object),
        np.c_[LABELS[:, :1] == 1, LABELS[:, 1:].astype(object)],
    ],
    ids=["list", "bool", "float", "sparse", "uint8", "object", "bool and int"],
)
def test_a_matrix_of_labels_may_have_any_form(y):
    expected = make_classifier().fit(X, LABELS).predict_proba(X)
    assert make_classifier().fit(X, y).predict_proba(X).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["int64", "Int64", "boolean", "UInt8", object, "Float32"])
def test_a_frame_of_labels_may_have_any_dtype(dtype):
    expected = make_classifier().fit(X, LABELS).predict_proba(X)
    frame = package("pandas").DataFrame(LABELS)
    for y in (frame.astype(dtype), frame.astype({0: bool, 1: dtype})):
        assert make_classifier().fit(X, y).predict_proba(X).tobytes() == expected.tobytes()


@pytest.mark.parametrize("unused", [7, np.nan])
def test_rows_without_weight_are_as_if_absent(unused):
    weights = (np.arange(60) >= 20).astype(float)
    y, soft = LABELS.astype(float), SOFT.copy()
    y[:20], soft[:20] = unused, unused
    for given, options in ((y, {}), (CODES, {"class_probabilities": soft})):
        clf = make_classifier().fit(X, given, weights, **options)
        few = {name: value[20:] for name, value in options.items()}
        assert_same_weights(clf, make_classifier().fit(X[20:], given[20:].astype(int), **few))


@pytest.mark.parametrize("params", [{}, {"class_weight": {0: 2.0}}, {"class_weight": "balanced"}], ids=str)
def test_a_weight_equals_repetition(params):
    repeats = generator(0).integers(0, 3, 60)
    rows = np.repeat(np.arange(60), repeats)
    weighted = full_batch(**params).fit(X, LABELS, sample_weight=repeats)
    assert_allclose(
        weighted.predict_proba(X), full_batch(**params).fit(X[rows], LABELS[rows]).predict_proba(X), rtol=1e-9
    )


@pytest.mark.costly
def test_class_weights_are_those_of_the_losses_of_labels():
    """A label without weight is not learned, and the others as if it were not there."""
    weighted = full_batch(class_weight={2: 0.0}, max_iter=5).fit(X, LABELS)
    without = full_batch(class_weight={2: 0.0}, max_iter=5).fit(X, np.c_[LABELS[:, :2], 1 - LABELS[:, 2]])
    assert_array_equal(weighted.predict_proba(X), without.predict_proba(X))
    heavy = make_classifier(class_weight={2: 50.0}, max_iter=40).fit(X, LABELS)
    light = make_classifier(class_weight={2: 1e-3}, max_iter=40).fit(X, LABELS)
    losses = [log_loss(LABELS[:, 2], clf.predict_proba(X)[:, 2]) for clf in (heavy, light)]
    assert losses[0] < losses[1]


def test_balanced_labels_count_equally():
    explicit = LABELS.sum() / (3 * LABELS.sum(axis=0))
    balanced = full_batch(class_weight="balanced").fit(X, LABELS)
    given = full_batch(class_weight=dict(enumerate(explicit))).fit(X, LABELS)
    assert_allclose(balanced.predict_proba(X), given.predict_proba(X), rtol=1e-12)


def test_weights_of_labels_are_relative_to_their_mean():
    """As those of classes are, so that they do not change the size of a step, and do not overflow."""
    plain = full_batch(solver="sgd").fit(X, LABELS).predict_proba(X)
    for weight in (1000, 1e300, 1e-300):
        equal = full_batch(solver="sgd", class_weight=dict.fromkeys(range(3), weight)).fit(X, LABELS)
        assert_allclose(equal.predict_proba(X), plain, rtol=1e-12)
    large = make_classifier(class_weight={0: 1e300}, dtype="float32").fit(X, LABELS)
    assert_allclose(large.model_.loss.label_weights, [3, 0, 0], atol=1e-12)


@pytest.mark.parametrize("y", [LABELS, CODES], ids=["labels", "classes"])
def test_balanced_weights_are_those_of_all_samples_also_with_a_split(y):
    if y is LABELS:
        balanced = LABELS.sum() / (3 * LABELS.sum(axis=0))
    else:
        balanced = 60 / (3 * np.bincount(CODES))
    options = {"early_stopping": True, "validation_fraction": 0.3}
    given = make_classifier(class_weight=dict(enumerate(balanced)), **options).fit(X, y)
    found = make_classifier(class_weight="balanced", **options).fit(X, y)
    assert_allclose(found.validation_scores_, given.validation_scores_, rtol=1e-5)


def test_balanced_labels_that_no_image_has():
    clf = make_classifier(class_weight="balanced").fit(X, np.zeros((60, 3), int))
    assert_array_equal(clf.model_.loss.label_weights, np.ones(3))
    assert np.isfinite(clf.loss_)
    clf.fit(X, np.c_[LABELS, np.zeros(60, int)])
    assert np.isfinite(clf.model_.loss.label_weights).all()


@pytest.mark.costly
def test_smoothed_labels_are_less_certain():
    """The smoothed target of a label that all images have is 1 - s / 2."""
    y = np.c_[np.ones(60, int), LABELS[:, 0]]
    clf = make_classifier(label_smoothing=0.4, max_iter=150).fit(X, y)
    assert_allclose(clf.predict_proba(X)[:, 0].mean(), 0.8, atol=0.02)


@pytest.mark.parametrize("scoring", [None, "accuracy", "f1_macro", "roc_auc"])
def test_early_stopping_with_metrics_of_labels_and_a_rare_label(scoring):
    y = np.c_[LABELS[:, :2], np.arange(60) == 7] if scoring is None else LABELS[:, :2]
    params = {"early_stopping": True, "scoring": scoring, "validation_fraction": 0.3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no label is predicted at first
        clf = make_classifier(**params, max_iter=4).fit(X, y)
    assert len(clf.validation_scores_) == clf.n_iter_


@pytest.mark.parametrize(
    "scoring",
    ["neg_log_loss", "neg_brier_score", make_scorer(d2_log_loss_score, response_method="predict_proba")],
    ids=str,
)
@pytest.mark.parametrize("n_labels", [2, 3])
def test_losses_of_the_probabilities_of_one_class_are_refused_as_scores(scoring, n_labels):
    """Which scikit-learn computes for matrices as if each image had one of the labels."""
    with pytest.raises(ValueError, match=rf"{re.escape(repr(scoring))} .*one class.*scoring=None"):
        make_classifier(early_stopping=True, scoring=scoring).fit(X, LABELS[:, :n_labels])
    assert make_classifier(early_stopping=True, scoring=scoring).fit(X, CODES > 0).validation_scores_


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("images", [[0, 1], [1, 2, 3, 4, 5], list(range(58))], ids=["2", "5", "58"])
def test_both_parts_of_a_split_have_images_with_and_without_each_label(seed, images):
    """Without which roc_auc, for example, is not defined."""
    y = np.c_[LABELS[:, :2], np.isin(np.arange(60), images)]
    clf = make_classifier(early_stopping=True, scoring="roc_auc", max_iter=1, random_state=seed).fit(X, y)
    assert len(clf.validation_scores_) == 1


def test_more_kinds_of_images_than_the_validation_part_has_are_split_at_random():
    y = np.eye(30, dtype=int)[np.arange(60) // 2]
    assert make_classifier(early_stopping=True).fit(X, y).validation_scores_
    with pytest.warns(UserWarning, match="too few to split off"):
        assert make_classifier(early_stopping=True).fit(X[:1], y[:1]).validation_scores_ is None


@pytest.mark.costly
def test_a_stream_of_labels():
    stream = make_classifier()
    for _ in range(60):
        stream.partial_fit(X, LABELS[:, :2], classes=[0, 1])
    assert (stream.predict(X) == LABELS[:, :2]).mean() > 0.9
    for y in (LABELS, CODES > 0):
        with pytest.raises(ValueError, match=r"y must have shape \(60, 2\), as in the last call, got \(60,"):
            stream.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"classes=\[0 1 2\] is not the same"):
        stream.partial_fit(X, LABELS, classes=[0, 1, 2])


@pytest.mark.parametrize("classes", [["a", "b", "c"], [1, 2, 3], [0, 1], [0, 1, 2, 3]])
def test_classes_of_a_matrix_are_the_numbers_of_its_columns(classes):
    with pytest.raises(ValueError, match="classes must be 0 to 2, the numbers of the columns of y, got"):
        make_classifier().partial_fit(X, LABELS, classes=classes)


@pytest.mark.parametrize(
    ("y", "pattern"),
    [
        (2 * LABELS, "y has several columns.*got 2;.*MultiOutputClassifier"),
        (LABELS.astype(str), "y has several columns.*got '1';.*MultiOutputClassifier"),
        (np.where(LABELS, np.nan, 0.0), "y has several columns.*got nan"),
        (np.where(LABELS, None, 0), "y has several columns.*got None"),
        ([("cat", "dog"), ("dog", "fox")] * 30, "y has several columns.*got 'cat';.*MultiLabelBinarizer"),
        (LABELS + 0j, "y must be an array of labels: Complex data"),
        (LABELS[:-1], "inconsistent numbers of samples"),
        (np.ma.masked_array(LABELS, LABELS == 1), "y has masked values"),
    ],
)
def test_other_matrices_are_refused(y, pattern):
    with pytest.raises(ValueError, match=pattern):
        make_classifier().fit(X, y)


@pytest.mark.parametrize(
    "y",
    [
        [(0, 1), (2,)] * 30,
        [(), (2, 1)] * 30,
        [{0, 1}, {2}] * 30,
        [frozenset([0, 1]), frozenset([1, 2])] * 30,
        [["cat", "dog"], ["dog"]] * 30,
        np.array([[0, 1], [1]] * 30, object),
    ],
    ids=str,
)
def test_the_labels_of_each_image_are_refused_with_a_hint(y):
    with pytest.raises(ValueError, match="^y holds a .*MultiLabelBinarizer"):
        make_classifier().fit(X, y)


def test_a_summary_checks_targets_as_fit_does():
    for y, others in ((LABELS, (LABELS[:, :2], CODES)), (CODES, (LABELS, CODES + 1))):
        clf = make_classifier().fit(X, y)
        assert clf.summary(X, y).totals == clf.summary(y=y).totals
        for other in others:
            with pytest.raises(ValueError, match="y must have shape.*as in the last call|y contains labels"):
                clf.summary(X, other)
    with pytest.raises(ValueError, match="loss='hinge'.*multilabel"):
        make_classifier(loss="hinge").summary(X, LABELS)


@pytest.mark.parametrize("loss", ["focal", "hinge", "squared_hinge"])
def test_losses_of_one_class_are_refused(loss):
    with pytest.raises(ValueError, match=f"loss='{loss}'.*multilabel"):
        make_classifier(loss=loss).fit(X, LABELS)


def test_one_class_and_several_labels_are_told_apart():
    options = {"early_stopping": True}
    for y, y_val in ((LABELS, CODES), (CODES, LABELS), (LABELS, LABELS[:, :2])):
        with pytest.raises(ValueError, match="y_val must have shape .*, as y has, got"):
            make_classifier(**options).fit(X, y, X_val=X, y_val=y_val)
    fitted = make_classifier(warm_start=True).fit(X, LABELS)
    with pytest.raises(ValueError, match="y must have shape"):
        fitted.fit(X, CODES)


@pytest.mark.costly
@pytest.mark.parametrize("mixing", [Mixup(), CutMix()])
def test_mixed_images_have_mixed_labels(mixing):
    clf = make_classifier(augmentation=[mixing], max_iter=80).fit(X, LABELS[:, :2])
    assert (clf.predict(X) == LABELS[:, :2]).mean() > 0.8


@pytest.mark.parametrize("way", ["pickle", "file"])
def test_a_fitted_classifier_comes_back(way, tmp_path):
    clf = make_classifier(class_weight="balanced", label_smoothing=0.1).fit(X, LABELS)
    if way == "file":
        save(clf, tmp_path / "labels.skcnn")
        loaded = load(tmp_path / "labels.skcnn")
    else:
        loaded = pickle.loads(pickle.dumps(clf))
    assert loaded.predict_proba(X).tobytes() == clf.predict_proba(X).tobytes()
    assert loaded.model_.loss.kind == "labels"


@pytest.mark.parametrize(
    "weights", ["abc", [1.0, 1.0, 1.0], np.full(3, np.nan), np.ones(4), -np.ones(3), np.array("abc")]
)
def test_files_with_weights_of_labels_that_do_not_fit_are_refused(weights, tmp_path):
    clf = make_classifier(class_weight="balanced").fit(X, LABELS)
    clf.model_.loss.label_weights = weights
    save(clf, tmp_path / "labels.skcnn")
    with pytest.raises(ValueError, match=r"label_weights .*shape \(3,\)"):
        load(tmp_path / "labels.skcnn")


def test_searches_features_saliency_and_transfer():
    search = GridSearchCV(make_classifier(), {"conv_layer_sizes": [(2,), (3,)]}, cv=2).fit(X, LABELS)
    assert search.predict(X).shape == LABELS.shape
    assert len(cross_val_score(clone(make_classifier()), X, LABELS, cv=3, scoring="accuracy")) == 3
    features = ConvNetFeatures(make_classifier(), layer="conv1").fit(X, LABELS)
    assert features.transform(X).shape == (60, 6 * 5 * 3)
    clf = make_classifier().fit(X, LABELS)
    most = clf.decision_function(X[:4]).argmax(axis=1)
    assert_array_equal(saliency_maps(clf, X[:4]), saliency_maps(clf, X[:4], target=most))
    other = make_classifier(init=FrozenEstimator(clf)).fit(X, CODES)
    assert other.init_report_["new"] == ["output/weight", "output/bias"]


# Probabilities as targets


@pytest.mark.parametrize("loss", ["log_loss", "focal", "hinge", "squared_hinge"])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.0}], ids=str)
def test_a_soft_target_is_a_sample_of_each_class_with_its_share_as_weight(loss, class_weight):
    weights = generator(1).uniform(0.5, 2, 60)
    classes = np.repeat(np.arange(3), 60)
    shares = (weights[:, np.newaxis] * SOFT).T.ravel()
    params = {"loss": loss, "class_weight": class_weight, "label_smoothing": 0.1, "shuffle": False}
    soft = full_batch(**params).fit(X, CODES, weights, class_probabilities=SOFT)
    repeated = full_batch(**params).fit(np.concatenate([X] * 3), classes, shares)
    assert_allclose(soft.decision_function(X), repeated.decision_function(X), rtol=1e-7, atol=1e-9)


def test_chunks_of_a_stream_have_soft_targets_too():
    soft, repeated = full_batch(shuffle=False), full_batch(shuffle=False)
    for rows in (slice(0, 30), slice(30, 60), slice(0, 1)):
        images, shares = X[rows], SOFT[rows]
        soft.partial_fit(images, CODES[rows], classes=[0, 1, 2], class_probabilities=shares)
        classes = np.repeat(np.arange(3), len(images))
        repeated.partial_fit(np.concatenate([images] * 3), classes, [0, 1, 2], shares.T.ravel())
    assert_allclose(soft.decision_function(X), repeated.decision_function(X), rtol=1e-7, atol=1e-9)


def test_a_chunk_of_soft_targets_is_of_one_class_if_these_are_equal():
    """Whatever y says, which only names the classes."""
    updates = []
    for shares in (SOFT, np.tile(SOFT[:1], (60, 1))):
        net = make_classifier([Conv2D(2), BatchNorm()])
        net.partial_fit(X, np.zeros(60, int), classes=[0, 1, 2], class_probabilities=shares)
        net.partial_fit(X, np.zeros(60, int), class_probabilities=shares)
        updates.append(net.get_weights()["batchnorm_1/n_updates"])
    assert updates[0] > updates[1]


def test_targets_of_one_hot_probabilities_are_the_classes():
    plain, hot = make_classifier().fit(X, CODES), make_classifier()
    hot.fit(X, CODES, class_probabilities=np.eye(3)[CODES])
    assert_allclose(hot.predict_proba(X), plain.predict_proba(X), rtol=1e-6)


@pytest.mark.costly
def test_a_small_network_learns_from_probabilities():
    soft = 0.5 * np.eye(3)[CODES] + 0.5 / 3
    clf = make_classifier(max_iter=80, alpha=0.0).fit(X, CODES, class_probabilities=soft)
    assert_allclose(clf.predict_proba(X)[np.arange(60), CODES].mean(), 2 / 3, atol=0.02)


def test_early_stopping_scores_against_the_probabilities():
    options = {"early_stopping": True, "validation_fraction": 0.5, "averaging": None}
    clf = make_classifier(**options).fit(X, CODES, class_probabilities=SOFT)
    hard = make_classifier(**options).fit(X, CODES)
    assert clf.validation_scores_ != hard.validation_scores_


@pytest.mark.parametrize(
    ("probabilities", "pattern"),
    [
        (SOFT[:, :2], r"class_probabilities must have shape \(60, 3\).*\(60, 2\)"),
        (SOFT[:-1], r"class_probabilities must have shape \(60, 3\)"),
        (SOFT[:, 0], r"class_probabilities must have shape \(60, 3\).*\(60,\)"),
        (0.5 * SOFT, r"rows of class_probabilities must sum to 1, got a sum of 0\.5"),
        (100 * SOFT, "class_probabilities must hold numbers from 0 to 1, got "),
        (SOFT - 0.5 + 1 / 6, "class_probabilities must hold numbers from 0 to 1, got -0"),
        (np.where(SOFT > 0.5, np.nan, SOFT), "class_probabilities .*got nan"),
        (csr_array(SOFT), r"class_probabilities must be dense: use class_probabilities\.toarray\(\)"),
        ("abc", "class_probabilities must hold finite numbers"),
        (np.ma.masked_array(SOFT, SOFT > 0.5), "class_probabilities has masked values"),
    ],
)
def test_probabilities_that_are_none_are_refused(probabilities, pattern):
    clf = make_classifier().fit(X, CODES)
    before = clf.model_
    with pytest.raises(ValueError, match=pattern):
        clf.fit(X, CODES, class_probabilities=probabilities)
    assert clf.model_ is before


NAMED = np.array(["cat", "dog", "fox"])


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        (NAMED, ["fox", "dog", "cat"]),
        (np.arange(3), [1, 0, 2]),
        (np.arange(3), ["2", "0", "1"]),  # as in a file of text
        (np.arange(3.0), [0, 2, 1]),
    ],
    ids=str,
)
def test_columns_of_a_data_frame_in_another_order_than_the_classes_are_refused(classes, columns):
    labels, clf = classes[CODES], make_classifier()
    given = data_frame(SOFT, columns=columns)
    expected = re.escape(str(classes.tolist()))
    with pytest.raises(ValueError, match=f"class_probabilities .* order of the classes, {expected}, got "):
        clf.fit(X, labels, class_probabilities=given)
    with pytest.raises(ValueError, match=f"class_probabilities .*{expected}"):
        clf.partial_fit(X, labels, classes, class_probabilities=given)


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        (NAMED, NAMED),
        (NAMED, [2, 0, 1]),
        (NAMED, ["dog", "cat", "bird"]),
        (np.arange(3), ["0", "1", "2"]),
        (np.arange(3.0), [0, 1, 2]),
    ],
    ids=str,
)
def test_other_columns_of_a_data_frame_are_taken_by_position(classes, columns):
    labels = classes[CODES]
    clf = make_classifier().fit(X, labels, class_probabilities=data_frame(SOFT, columns=columns))
    expected = make_classifier().fit(X, labels, class_probabilities=SOFT)
    assert clf.predict_proba(X).tobytes() == expected.predict_proba(X).tobytes()


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, data_frame, csr_array])
def test_probabilities_in_the_place_of_labels_are_led_to_theirs(kind):
    with pytest.raises(ValueError, match="y has several columns.*for probabilities .*class_probabilities"):
        make_classifier().fit(X, kind(SOFT))


def test_probabilities_for_a_matrix_of_labels_are_refused():
    with pytest.raises(ValueError, match="class_probabilities are for one class"):
        make_classifier().fit(X, LABELS, class_probabilities=SOFT)


def test_probabilities_are_routed_as_weights_are():
    with config_context(enable_metadata_routing=True):
        net = make_classifier().set_fit_request(class_probabilities=True)
        pipeline = make_pipeline(FunctionTransformer(), net)
        pipeline.fit(X, CODES, class_probabilities=SOFT)
        scores = cross_val_score(net, X, CODES, cv=2, params={"class_probabilities": SOFT})
    expected = make_classifier().fit(X, CODES, class_probabilities=SOFT)
    assert pipeline.predict_proba(X).tobytes() == expected.predict_proba(X).tobytes()
    assert len(scores) == 2
