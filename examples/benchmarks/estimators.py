"""Time whole estimators: ConvNetClassifier, with numpy and Numba, skorch's and MLPClassifier.

``fit``: W2 of the networks on Fashion-MNIST, skcnn against skorch with the same network, minibatch and
number of epochs, and against an MLPClassifier with one hidden layer. Pixels are float32, standardized
beforehand for all. Each fit is in a process of its own, after a short one to warm up; the sides take turns.

``search``: a GridSearchCV of 8 candidates by 3 folds on the handwritten digits in float32, with one and
with two jobs. The number of threads is left to the libraries; starting the workers, and their imports,
count.

``imports``: the time of an import in a fresh process, that of skcnn on top of sklearn.neural_network.

Ratios are the time of each side divided by that of skcnn, pair by pair: above 1, skcnn is faster. Memory is
the peak of the process, in brackets the part that came after the imports, images included.

Run it with ``python examples/benchmarks/estimators.py``; it takes about half an hour.
"""

import sys
import tempfile
import time
import warnings
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

from measuring import (
    figure,
    import_torch,
    interleaved,
    is_available,
    largest_load,
    make_parser,
    median_of,
    memory_figure,
    memory_record,
    peak_memory,
    ratios,
    report,
    run_child,
)
from networks import NETWORKS, conv, skcnn_classifier, torch_module

N_WARM_UP = 1000
GRID = {"filters": [8, 16], "learning_rate": [1e-3, 3e-3], "batch_size": [32, 64]}
IMPORTS = {
    "sklearn.neural_network": [],
    "skcnn": ["sklearn.neural_network"],
    "skcnn.kernels.compiled": ["skcnn"],
    "torch": [],
    "skorch": [],
}
TITLES = {
    "skcnn": "ConvNetClassifier",
    "numba": "ConvNetClassifier, with Numba",
    "skorch": "NeuralNetClassifier (skorch)",
    "mlp": "MLPClassifier",
}

# What runs in child processes


def save_images(path, n_samples, folder):
    """Read Fashion-MNIST and save standardized float32 images and labels."""
    import numpy as np

    sys.path.append(str(Path(__file__).parents[1]))
    from fashion_mnist import load_fashion_mnist

    X_train, y_train, X_test, y_test = load_fashion_mnist(folder)
    X_train, y_train = X_train[:n_samples], y_train[:n_samples]
    mean, deviation = np.float32(X_train.mean()), np.float32(X_train.std())
    X_train, X_test = ((X.astype(np.float32) - mean) / deviation for X in (X_train, X_test))
    labels = {"y_train": y_train.astype(np.int64), "y_test": y_test.astype(np.int64)}
    np.savez(path, X_train=X_train, X_test=X_test, **labels)


def torch_network(network, filters=None):
    """Return the network in PyTorch, with another number of filters of the first convolution if given."""
    if filters is not None:
        network = replace(network, layers=[conv(filters), *network.layers[1:]])
    return torch_module(network)


def make_skorch(network, n_epochs):
    """Return a NeuralNetClassifier of the same network, without a validation split or printing."""
    torch = import_torch()
    from skorch import NeuralNetClassifier

    return NeuralNetClassifier(
        torch_network,
        module__network=network,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=1e-3,
        batch_size=network.batch_sizes[0],
        max_epochs=n_epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


def make_mlp(network, n_epochs):
    """Return an MLPClassifier with one hidden layer, that of the network."""
    from sklearn.neural_network import MLPClassifier

    hidden = network.layers[-1][1]["units"]
    return MLPClassifier(
        (hidden,),
        alpha=0,
        batch_size=network.batch_sizes[0],
        max_iter=n_epochs,
        n_iter_no_change=n_epochs,
        random_state=0,
    )


MAKERS = {
    "skcnn": skcnn_classifier,
    "numba": partial(skcnn_classifier, backend="numba"),
    "skorch": make_skorch,
    "mlp": make_mlp,
}


def arranged(side, X):
    """Return images (n, height, width) as a side wants them."""
    if side == "skorch":
        return X[:, None]
    return X.reshape(len(X), -1) if side == "mlp" else X


def fit(side, path, n_epochs, batch_size):
    """Return the seconds of a fit, the accuracy on the test images, and the memory."""
    import numpy as np

    clf = MAKERS[side](replace(NETWORKS["W2"], batch_sizes=(batch_size,)), n_epochs)
    baseline = peak_memory()
    with np.load(path) as data:
        X_train, X_test = (arranged(side, data[name]) for name in ("X_train", "X_test"))
        y_train, y_test = data["y_train"], data["y_test"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLPClassifier warns that it would train longer
        clf.fit(X_train[:N_WARM_UP], y_train[:N_WARM_UP])
        start = time.perf_counter()
        clf.fit(X_train, y_train)
        seconds = time.perf_counter() - start
    memory = memory_record(baseline)
    return {"seconds": seconds, "score": clf.score(X_test, y_test), **memory}


def search(side, n_jobs, n_epochs, n_samples):
    """Return the seconds of a grid search over the digits, and the best mean accuracy."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV

    X, y = load_digits(return_X_y=True)
    X, y = X[:n_samples].astype(np.float32).reshape(-1, 8, 8), y[:n_samples]
    X = arranged(side, (X - X.mean()) / X.std())
    names = {"filters": "conv1__filters", "learning_rate": "learning_rate_init"}
    if side == "skorch":
        names = {"filters": "module__filters", "learning_rate": "lr"}
    grid = {names.get(name, name): values for name, values in GRID.items()}
    clf = MAKERS[side](NETWORKS["W1"], n_epochs).fit(X, y)
    start = time.perf_counter()
    found = GridSearchCV(clf, grid, cv=3, n_jobs=n_jobs, refit=False, error_score="raise").fit(X, y)
    return {"seconds": time.perf_counter() - start, "score": found.best_score_}


# What the script does with them


def ratio_figure(rounds, side):
    """Return the median ratio of the seconds of a side to those of skcnn, pair by pair."""
    seconds, ours = ([record["seconds"] for record in rounds[name]] for name in (side, "skcnn"))
    return figure(ratios(seconds, ours)[0])


def measure_fit(arguments, extras):
    """Return caption, table and results of fits on Fashion-MNIST."""
    names = ["skcnn", *extras, "mlp"]
    with tempfile.TemporaryDirectory() as folder:
        options = {"path": f"{folder}/images.npz"}
        run_child("estimators:save_images", n_samples=arguments.samples, folder=arguments.folder, **options)
        options |= {"n_epochs": arguments.epochs, "batch_size": arguments.batch_size}
        sides = {
            name: lambda name=name: run_child(
                "estimators:fit", threads=arguments.threads, side=name, **options
            )
            for name in names
        }
        rounds = interleaved(sides, arguments, "fit")
    rows = [
        [
            TITLES[name],
            figure(median_of(rounds[name], "seconds") / arguments.epochs),
            ratio_figure(rounds, name),
            f"{median_of(rounds[name], 'score'):.4f}",
            memory_figure(rounds[name]),
            largest_load(rounds[name]),
        ]
        for name in names
    ]
    caption = (
        f"Fit, {arguments.samples} images of Fashion-MNIST, {arguments.epochs} epochs, "
        f"minibatches of {arguments.batch_size} (threads: {arguments.threads}):"
    )
    return caption, (["estimator", "s per epoch", "ratio", "test accuracy", "MB", "other load"], rows), rounds


def measure_search(arguments, extras):
    """Return caption, table and results of grid searches on digits."""
    rows, results = [], {}
    options = {"n_epochs": arguments.search_epochs, "n_samples": arguments.search_samples}
    names = ["skcnn", *extras]
    for n_jobs in (1, 2):
        sides = {
            name: lambda name=name, n_jobs=n_jobs: run_child(
                "estimators:search", side=name, n_jobs=n_jobs, **options
            )
            for name in names
        }
        rounds = results[n_jobs] = interleaved(sides, arguments, f"search, n_jobs={n_jobs}")
        for name in names:
            seconds, score = (median_of(rounds[name], key) for key in ("seconds", "score"))
            named = f"{TITLES[name]}, n_jobs={n_jobs}"
            load = largest_load(rounds[name])
            rows.append([named, figure(seconds), ratio_figure(rounds, name), f"{score:.4f}", load])
    caption = f"GridSearchCV, 8 candidates by 3 folds of digits, {arguments.search_epochs} epochs:"
    return caption, (["estimator", "s", "ratio", "best accuracy", "other load"], rows), results


def measure_imports(arguments, extras):
    """Return caption, table and results of imports; the first round, from a cold disk, is not counted."""
    needed = {"torch": "skorch", "skorch": "skorch", "skcnn.kernels.compiled": "numba"}
    names = [name for name in IMPORTS if needed.get(name, extras) in (extras, *extras)]
    sides = {
        name: lambda name=name: {
            "seconds": run_child("measuring:import_seconds", module=name, before=IMPORTS[name])
        }
        for name in names
    }
    one_more = Namespace(**(vars(arguments) | {"pairs": arguments.pairs + 1}))
    rounds = {name: results[1:] for name, results in interleaved(sides, one_more, "imports").items()}
    rows = [
        [" after ".join([name, *IMPORTS[name]]), figure(median_of(rounds[name], "seconds"))] for name in names
    ]
    return "Imports:", (["module", "s"], rows), rounds


PARTS = {"fit": measure_fit, "search": measure_search, "imports": measure_imports}


def main():
    """Measure what the options ask for."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--folder", help="folder of the four IDX files of Fashion-MNIST")
    parser.add_argument("--samples", type=int, default=60000, help="number of images to fit")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of a fit")
    parser.add_argument("--batch-size", type=int, default=128, help="minibatch of a fit")
    parser.add_argument("--search-epochs", type=int, default=10, help="epochs of each fit of the search")
    parser.add_argument("--search-samples", type=int, default=1797, help="number of digits")
    arguments = parser.parse_args()
    extras = ["numba"] if is_available(arguments, "numba") else []
    extras += ["skorch"] if is_available(arguments, "torch") and is_available(arguments, "skorch") else []

    tables, results = {}, {}
    for part in arguments.parts:
        caption, table, results[part] = PARTS[part](arguments, extras)
        tables[caption] = table
    report(arguments, "estimators", tables, results)


if __name__ == "__main__":
    main()
