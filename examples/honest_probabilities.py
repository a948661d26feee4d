"""Compare ways to probabilities that one can rely on, by what they are worth and what they cost.

The default network learns 10,000 images of Fashion-MNIST; 2,000 others calibrate it. Three questions have
tables of their own:

- How probable is a label? Probabilities of the network, of temperature scaling, of an ensemble of three
  networks, and of its temperature scaling. The calibration error is the mean gap between certainty, the
  probability of the predicted class, and accuracy, in 15 bins of certainty.
- Which labels are possible? Sets that should hold the true label of 95 % of the images: the likeliest
  classes, up to a probability of 95 %; conformal sets by MAPIE, and by crepes for each class of its own.
- Is this a kind of image that the network knows? Scores that tell test images of clothes from handwritten
  digits, and from the same clothes lying on their side: the largest probability, and the local outlier
  factor (LOF) of what a layer returns, as it is and scaled to unit length. The area under the ROC curve is 1
  if they tell all, 0.5 if they guess.

Seconds are those of all processors together, for what comes on top of the trained network; milliseconds
are those for the prediction of one image.

Run it with ``python examples/honest_probabilities.py``; it takes 13 minutes of processors, most of them
to train three networks. It needs MAPIE, crepes, and scikit-learn 1.8 or later:
``python -m pip install -e ".[examples,probabilities]"``.
"""

import time
from functools import partial

import numpy as np
from comparing import COLORS, LINE_STYLES
from fashion_mnist import load_fashion_mnist
from gallery import option_parser, save
from matplotlib.figure import Figure
from scipy.ndimage import zoom
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skcnn import ConvNetClassifier, ConvNetFeatures

try:
    from crepes import WrapClassifier
    from mapie.classification import SplitConformalClassifier
except ImportError as error:
    raise ImportError(
        "conformal sets need MAPIE and crepes: python -m pip install -e '.[examples,probabilities]'"
    ) from error

LEVEL = 0.95
N_BINS = 15
OUTLIER_FACTORS = {
    "LOF, dense1": ("dense1", "passthrough"),
    "LOF, dense1, unit length": ("dense1", Normalizer()),
    "LOF, pool3, unit length": ("pool3", Normalizer()),
}
"""The layer that gives features, the last of all or what convolutions have found, and a step after it."""


def timed(function, *arguments):
    """Return what a function returns, and the seconds that processors spent on it."""
    start = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - start


def bins_of(probabilities, y):
    """Return the number of images, the mean certainty and the accuracy in each bin of certainty."""
    certainty, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    bins = np.minimum(N_BINS * certainty, N_BINS - 1).astype(int)
    sizes, *sums = (np.bincount(bins, weights, N_BINS) for weights in (None, certainty, is_right))
    return sizes, *(values / np.maximum(sizes, 1) for values in sums)


def calibration_error(probabilities, y):
    """Return the mean gap between certainty and accuracy."""
    sizes, certainty, accuracy = bins_of(probabilities, y)
    return np.average(np.abs(certainty - accuracy), weights=sizes)


# probabilities


def make_classifiers(network, n_members):
    """Return classifiers by name; the later ones build on the earlier ones, which are fitted before."""
    members = [("0", FrozenEstimator(network))]
    for seed in range(1, n_members):
        members.append((str(seed), ConvNetClassifier(max_iter=network.max_iter, random_state=seed)))
    ensemble = VotingClassifier(members, voting="soft")
    return {
        "network": network,
        "temperature": CalibratedClassifierCV(FrozenEstimator(network), method="temperature"),
        "ensemble": ensemble,
        "ensemble, temperature": CalibratedClassifierCV(FrozenEstimator(ensemble), method="temperature"),
    }


def measure_probabilities(classifiers, training, calibration, test):
    """Fit all classifiers but the first, print how good their probabilities are, and return these by name."""
    X, y = test
    found = {}
    print(f"{'':24}accuracy  log loss  calibration error  seconds  ms an image")
    for name, classifier in classifiers.items():
        data = calibration if isinstance(classifier, CalibratedClassifierCV) else training
        seconds = 0 if name == "network" else timed(classifier.fit, *data)[1]
        values, duration = timed(classifier.predict_proba, X)
        values = values.astype(np.float64)
        found[name] = values / values.sum(axis=1, keepdims=True)  # exactly one, which float32 does not give
        accuracy = np.mean(found[name].argmax(axis=1) == y)
        print(
            f"{name:24}{accuracy:8.4f}{log_loss(y, found[name]):10.4f}"
            f"{calibration_error(found[name], y):19.4f}{seconds:9.1f}{1000 * duration / len(X):13.2f}",
            flush=True,
        )
    return found


# sets


def likeliest_sets(network, calibration):
    """Return a function that returns the likeliest classes, until their probabilities sum to the level."""

    def predict_sets(X):
        probabilities = network.predict_proba(X)
        order = np.argsort(-probabilities, axis=1)
        ordered = np.take_along_axis(probabilities, order, axis=1)
        is_in = np.empty(ordered.shape, bool)
        np.put_along_axis(is_in, order, ordered.cumsum(axis=1) - ordered < LEVEL, axis=1)
        return is_in

    return predict_sets


def mapie_sets(network, calibration, *, score):
    """Return a function that returns the sets of MAPIE, which takes flat rows."""
    X, y = calibration
    conformal = SplitConformalClassifier(network, LEVEL, conformity_score=score, prefit=True, random_state=0)
    conformal.conformalize(X.reshape(len(X), -1), y)
    return lambda X: conformal.predict_set(X.reshape(len(X), -1))[1][:, :, 0]


def crepes_sets(network, calibration):
    """Return a function that returns the sets of crepes for each class, which takes images as they are."""
    conformal = WrapClassifier(network).calibrate(*calibration, class_cond=True)
    return lambda X: conformal.predict_set(X, labels=False, confidence=LEVEL, smoothing=False).astype(bool)


SETS = {
    "likeliest classes": likeliest_sets,
    "MAPIE, lac": partial(mapie_sets, score="lac"),
    "MAPIE, aps": partial(mapie_sets, score="aps"),
    "crepes, each class": crepes_sets,
}


def measure_sets(network, calibration, test):
    """Print how many labels sets cover and how large they are, and return them by name."""
    X, y = test
    found = {}
    print(f"\n{f'sets at {LEVEL:.0%}':24}coverage  worst class  mean size  seconds  ms an image")
    for name, make_sets in SETS.items():
        predict_sets, seconds = timed(make_sets, network, calibration)
        found[name], duration = timed(predict_sets, X)
        is_covered = found[name][np.arange(len(y)), y]
        worst = min(is_covered[y == label].mean() for label in np.unique(y))
        print(
            f"{name:24}{is_covered.mean():8.4f}{worst:13.4f}{found[name].sum(axis=1).mean():11.3f}"
            f"{seconds:9.1f}{1000 * duration / len(X):13.2f}",
            flush=True,
        )
    return found


# other kinds of images


def other_images(X):
    """Return images of no clothes, and clothes on their side, by name."""
    digits = zoom(load_digits().images, (1, 3.5, 3.5), order=1) * 255 / 16
    return {"digits": digits.astype(X.dtype), "turned": np.rot90(X, axes=(1, 2))}


def certainty_of(classifier):
    """Return a function that returns the largest probability of each image."""
    return lambda X: classifier.predict_proba(X).max(axis=1)


def fit_outlier_factor(network, layer, step, X):
    """Return a function that returns scores of images, the larger, the more alike they are to known ones."""
    features = ConvNetFeatures(network, layer, prefit=True)
    return make_pipeline(features, step, LocalOutlierFactor(novelty=True)).fit(X).score_samples


def scores_of(score, images):
    """Return the scores of each kind of images."""
    return {kind: score(some) for kind, some in images.items()}


def area_between(known, other):
    """Return the area under the ROC curve of scores of known and of other images."""
    return roc_auc_score(np.repeat([1, 0], [len(known), len(other)]), np.append(known, other))


def measure_detectors(classifiers, X_known, X_test):
    """Print how well scores tell test images from others, and return the scores by detector and kind."""
    network, images = classifiers["network"], {"test": X_test, **other_images(X_test)}
    detectors = {
        "largest probability": (certainty_of(network), 0),
        "largest of the ensemble": (certainty_of(classifiers["ensemble"]), 0),
    }
    for name, (layer, step) in OUTLIER_FACTORS.items():
        detectors[name] = timed(fit_outlier_factor, network, layer, step, X_known)
    n_images = sum(map(len, images.values()))
    found = {}
    print(f"\n{'area under ROC curve':24}  digits  turned  seconds  ms an image")
    for name, (score, seconds) in detectors.items():
        found[name], duration = timed(scores_of, score, images)
        digits, turned = (
            area_between(found[name]["test"], found[name][kind]) for kind in ("digits", "turned")
        )
        print(
            f"{name:24}{digits:8.4f}{turned:8.4f}{seconds:9.1f}{1000 * duration / n_images:13.2f}", flush=True
        )
    return found


# the figure


def draw_reliability(axis, probabilities, y):
    """Draw accuracy against certainty, in bins with at least 20 images."""
    axis.axline((0, 0), slope=1, color="grey", linewidth=0.8)
    for (name, values), color, style in zip(probabilities.items(), COLORS, LINE_STYLES, strict=False):
        sizes, certainty, accuracy = bins_of(values, y)
        shown = sizes >= 20
        axis.plot(certainty[shown], accuracy[shown], color=color, linestyle=style, marker=".", label=name)
    axis.set(xlabel="certainty", ylabel="accuracy", title="how probable?")
    axis.legend()


def draw_sizes(axis, sets):
    """Draw the share of images by the size of their set."""
    largest = max(is_in.sum(axis=1).max() for is_in in sets.values())
    width = 0.8 / len(sets)
    for place, ((name, is_in), color) in enumerate(zip(sets.items(), COLORS, strict=False)):
        shares = np.bincount(is_in.sum(axis=1), minlength=largest + 1) / len(is_in)
        axis.bar(np.arange(largest + 1) + (place + 0.5) * width - 0.4, shares, width, color=color, label=name)
    axis.set(xlabel=f"classes in a set at {LEVEL:.0%}", ylabel="share of images", title="which labels?")
    axis.legend()


def draw_scores(axis, name, scores):
    """Draw histograms of the scores of a detector, which has negative outlier factors."""
    bins = np.histogram_bin_edges(-np.concatenate(list(scores.values())), 40)
    for (kind, values), color in zip(scores.items(), COLORS, strict=False):
        shares = np.full(len(values), 1 / len(values))
        axis.hist(-values, bins, weights=shares, color=color, alpha=0.5, label=kind)
    axis.set(xlabel=f"outlier factor ({name})", ylabel="share of images", title="a known kind?")
    axis.legend()


def main():
    """Train, compare and draw."""
    parser = option_parser(__doc__, "honest_probabilities.png")
    parser.add_argument("--epochs", type=int, help="epochs of training (default: that of the classifier)")
    parser.add_argument("--samples", type=int, default=10_000, help="number of training images")
    parser.add_argument("--calibration", type=int, default=2000, help="number of images to calibrate with")
    parser.add_argument("--members", type=int, default=3, help="networks in the ensemble")
    parser.add_argument("--folder", help="folder of the four IDX files of Fashion-MNIST")
    arguments = parser.parse_args()
    X, y, *test = load_fashion_mnist(arguments.folder)
    n_training, n_all = arguments.samples, arguments.samples + arguments.calibration
    training, calibration = (X[:n_training], y[:n_training]), (X[n_training:n_all], y[n_training:n_all])
    network, seconds = timed(ConvNetClassifier(max_iter=arguments.epochs, random_state=0).fit, *training)
    print(f"trained on {len(training[0])} images in {seconds:.0f} seconds of processors", flush=True)
    classifiers = make_classifiers(network, arguments.members)
    probabilities = measure_probabilities(classifiers, training, calibration, test)
    sets = measure_sets(network, calibration, test)
    scores = measure_detectors(classifiers, training[0], test[0])

    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    draw_reliability(axes[0], probabilities, test[1])
    draw_sizes(axes[1], sets)
    draw_scores(axes[2], *list(scores.items())[-1])
    save(figure, arguments, colors=64)


if __name__ == "__main__":
    main()
