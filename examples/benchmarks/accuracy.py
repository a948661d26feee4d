"""Compare the default estimator with scikit-learn's classifiers: accuracy, probabilities, and the seconds.

Four sets: the handwritten digits by shuffled 5-fold cross-validation; Fashion-MNIST, 10,000 and all 60,000
training images, by its test images; and CIFAR-10, read as ``examples/cifar10.py`` says, by images held out.
All estimators have their default parameters and get pixels divided by the largest one. Each fit is in a
process of its own, on all cores where the estimator can use them; seconds are those of ``fit``. Where
training is random, it is repeated with other seeds; means, and the range of the accuracy, are shown. A fit
that takes longer than ``--limit`` minutes is given up.

Run it with ``python examples/benchmarks/accuracy.py``, with ``--data-sets digits fashion_10k`` for those that
take half an hour. With ``--json`` results are kept in a file after each fit, and a run with a file
that is there goes on from it; ``--show`` makes the tables of what it has so far. ``--plot`` draws accuracy
against seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

from measuring import README, figure, largest_load, report, run_child, wait_until_quiet

DATA_SETS = ("digits", "fashion_10k", "fashion", "cifar10")
CAPTIONS = {
    "digits": "digits, 5-fold",
    "fashion_10k": "Fashion-MNIST, 10,000",
    "fashion": "Fashion-MNIST, 60,000",
    "cifar10": "CIFAR-10",
}
ESTIMATORS = (
    "ConvNetClassifier",
    "MLPClassifier",
    "RandomForestClassifier",
    "HistGradientBoostingClassifier",
    "SVC",
    "KNeighborsClassifier",
)
RANDOM = ("ConvNetClassifier", "MLPClassifier", "RandomForestClassifier", "HistGradientBoostingClassifier")
"""Estimators with a random_state; the digits are shuffled anew with each seed for all."""

# What runs in child processes


def load(name, n_samples):
    """Return training and test images, pixels from 0 to 1, and labels; no test images of the digits."""
    import numpy as np

    sys.path.append(str(Path(__file__).parents[1]))
    if name == "digits":
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return (X[:n_samples] / 16).astype(np.float32), y[:n_samples], None, None
    if name == "cifar10":
        from cifar10 import load_cifar10 as load_images
    else:
        from fashion_mnist import load_fashion_mnist as load_images
    X_train, y_train, X_test, y_test = load_images()
    n_samples = min(10_000, n_samples or 10_000) if name == "fashion_10k" else n_samples
    X_train, X_test = (X.astype(np.float32) / 255 for X in (X_train[:n_samples], X_test))
    return X_train, y_train[:n_samples], X_test, y_test


def make(name, random_state):
    """Return an estimator with its default parameters, and all cores where these are a parameter."""
    import sklearn.ensemble
    import sklearn.neighbors
    import sklearn.neural_network
    import sklearn.svm

    import skcnn

    modules = (skcnn, sklearn.neural_network, sklearn.ensemble, sklearn.svm, sklearn.neighbors)
    estimator = next(getattr(module, name)() for module in modules if hasattr(module, name))
    options = {"random_state": random_state, "n_jobs": -1}
    known = estimator.get_params()
    return estimator.set_params(**{key: value for key, value in options.items() if key in known})


def quality(clf, X, y):
    """Return accuracy and, where there are probabilities, log loss, Brier score and calibration error.

    The last is the mean, by samples, of the gap between accuracy and certainty in 15 bins of certainty, the
    probability of the predicted class.
    """
    import numpy as np
    from sklearn.metrics import log_loss

    found = {"score": clf.score(X, y)}
    if not hasattr(clf, "predict_proba"):
        return found
    probabilities = clf.predict_proba(X).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # exactly one, which float32 does not give
    certainty, hits = probabilities.max(axis=1), clf.classes_[probabilities.argmax(axis=1)] == y
    bins = np.minimum(15 * certainty, 14).astype(int)
    found["log_loss"] = log_loss(y, probabilities, labels=clf.classes_)
    found["brier_score"] = np.square(probabilities - (y[:, np.newaxis] == clf.classes_)).sum(axis=1).mean()
    found["calibration_error"] = np.abs(np.bincount(bins, weights=certainty - hits)).sum() / len(y)
    return found


def fit(data_set, estimator, random_state, n_samples):
    """Return the quality of an estimator and the seconds of its fit, means over folds for the digits."""
    import numpy as np
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold

    clf = make(estimator, random_state)
    X, y, X_test, y_test = load(data_set, n_samples)
    if estimator != "ConvNetClassifier":
        X = X.reshape(len(X), -1)
    if X_test is None:
        folds = StratifiedKFold(5, shuffle=True, random_state=random_state).split(X, y)
        parts = [(X[train], y[train], X[test], y[test]) for train, test in folds]
    else:
        parts = [(X, y, X_test.reshape(len(X_test), *X.shape[1:]), y_test)]
    found = []
    for X_train, y_train, X_part, y_part in parts:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLPClassifier warns that it would train longer
            fitted = clone(clf).fit(X_train, y_train)
        found.append({"seconds": time.perf_counter() - start} | quality(fitted, X_part, y_part))
    return {key: float(np.mean([part[key] for part in found])) for key in found[0]}


# What the script does with them


def measure(data_set, estimator, seed, arguments):
    """Return what a fit gives, or None if it takes too long."""
    options = {"data_set": data_set, "estimator": estimator, "random_state": seed}
    print(f"{data_set}, {estimator}, seed {seed}", file=sys.stderr, flush=True)
    wait_until_quiet(arguments.patience)
    try:
        return run_child("accuracy:fit", timeout=60 * arguments.limit, n_samples=arguments.samples, **options)
    except subprocess.TimeoutExpired:
        return None


def seeds_of(data_set, estimator, arguments):
    """Return the seeds to try: one where nothing is random."""
    return range(arguments.seeds if data_set == "digits" or estimator in RANDOM else 1)


def measure_all(arguments):
    """Return the results by data set and estimator, one for each seed; go on from a file that is there."""
    results = {}
    if arguments.json and arguments.json.exists():
        results = json.loads(arguments.json.read_text())["results"]
    for data_set in arguments.data_sets:
        for estimator in arguments.estimators:
            found = results.setdefault(data_set, {}).setdefault(estimator, [])
            if None in found:
                continue
            seeds = [] if arguments.show else seeds_of(data_set, estimator, arguments)
            for seed in seeds[len(found) :]:
                found.append(measure(data_set, estimator, seed, arguments))
                if arguments.json:
                    arguments.json.write_text(json.dumps({"results": results}, indent=1))
                if found[-1] is None:
                    break
    return results


def summary(found, key):
    """Return mean, smallest and largest of a result; None if a fit was given up or has no such result."""
    if not found or None in found or key not in found[0]:
        return None
    values = [record[key] for record in found]
    return sum(values) / len(values), min(values), max(values)


def table_of(results, arguments):
    """Return header and rows: an estimator a row, accuracy and seconds of each data set."""
    rows = []
    for estimator in arguments.estimators:
        row = [estimator]
        for data_set in arguments.data_sets:
            found = results[data_set][estimator]
            scores, seconds = summary(found, "score"), summary(found, "seconds")
            if scores is None:
                row += ["-", f"> {figure(60 * arguments.limit)}" if found else "-"]
                continue
            mean, smallest, largest = scores
            spread = "" if smallest == largest else f" ({smallest:.4f} to {largest:.4f})"
            row += [f"{mean:.4f}{spread}", figure(seconds[0])]
        rows.append(row)
    header = ["estimator"]
    for data_set in arguments.data_sets:
        header += [CAPTIONS[data_set], "s"]
    return header, rows


def table_of_probabilities(results, arguments):
    """Return header and rows: an estimator a row, the three measures of probabilities for each data set."""
    keys = ("log_loss", "brier_score", "calibration_error")
    rows = []
    for estimator in arguments.estimators:
        cells = []
        for data_set in arguments.data_sets:
            means = [summary(results[data_set][estimator], key) for key in keys]
            cells.append("-" if None in means else " / ".join(f"{mean:.3f}" for mean, *_ in means))
        rows.append([estimator, *cells])
    return ["estimator", *(CAPTIONS[data_set] for data_set in arguments.data_sets)], rows


def draw(results, arguments):
    """Return a figure with the accuracy of all estimators against the seconds of a fit, a data set each."""
    import matplotlib.pyplot as plt

    n_sets = len(arguments.data_sets)
    picture, axes = plt.subplots(1, n_sets, figsize=(3.2 * n_sets, 3.4), layout="constrained", squeeze=False)
    for axis, data_set in zip(axes[0], arguments.data_sets, strict=True):
        for number, estimator in enumerate(arguments.estimators):
            found = results[data_set][estimator]
            scores, seconds = summary(found, "score"), summary(found, "seconds")
            if scores is not None:
                marker = "*" if estimator == "ConvNetClassifier" else "osDv^P"[number % 6]
                size = 160 if marker == "*" else 50
                axis.scatter(seconds[0], scores[0], size, marker=marker, color=f"C{number}", label=estimator)
        axis.set(title=CAPTIONS[data_set], xlabel="seconds of a fit", xscale="log")
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("accuracy")
    handles = {}
    for axis in axes[0]:
        handles |= {handle.get_label(): handle for handle in axis.collections}
    picture.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=8)
    return picture


def main():
    """Measure what the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data-sets", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--estimators", nargs="+", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--seeds", type=int, default=3, help="fits of an estimator that is random")
    parser.add_argument("--limit", type=float, default=30.0, help="minutes of a fit")
    parser.add_argument(
        "--patience", type=float, default=600, help="seconds to wait for a quiet machine before each fit"
    )
    parser.add_argument("--samples", type=int, default=None, help="training images (all by default)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep results in this file, and go on from it"
    )
    parser.add_argument("--show", action="store_true", help="measure nothing, show what the file has")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw accuracy against seconds")
    parser.add_argument(
        "--readme", type=Path, metavar="FILE", nargs="?", const=README, help="write the table to this file"
    )
    arguments = parser.parse_args()
    results = measure_all(arguments)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    measured = [
        [record for record in found if record]
        for by_estimator in results.values()
        for found in by_estimator.values()
    ]
    caption = f"Accuracy, and seconds of a fit ({cores} cores, other load at most {largest_load(*measured)}):"
    tables = {
        caption: table_of(results, arguments),
        "Log loss / Brier score / calibration error:": table_of_probabilities(results, arguments),
    }
    report(arguments, "accuracy", tables, results)
    if arguments.plot:
        import matplotlib

        matplotlib.use("Agg")
        draw(results, arguments).savefig(arguments.plot, dpi=80)


if __name__ == "__main__":
    main()
