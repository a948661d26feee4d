"""Time training on images in files, and on a slow source, against the same images in memory.

Files: test images of Fashion-MNIST as PNG files, a folder for each class; the best of two learning rates by
``GridSearchCV`` over a Pipeline in two processes, with the images in an array, in files, and in files with a
cache that has been filled. Slow source: an epoch of the default network on random images of 28x28 pixels from
a device that gives one image after the other, for each of which it takes a share of the time of training on
it. Images are read one by one, or in blocks of 100. Sides take turns; "s" is the median of their times, and
"throughput" the median ratio of the time in memory to theirs.

Run it with ``python examples/benchmarks/reading.py``; it takes a quarter of an hour.
"""

import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from measuring import figure, interleaved, largest_load, make_parser, ratios, report, run_child

SHARES = (0.5, 0.8)
"""Time that the slow source takes for an image, relative to that of training on it."""

# What runs in child processes


def write_folder(folder, cache, n_images):
    """Write test images of Fashion-MNIST as PNG files, and fill the cache."""
    from PIL import Image

    sys.path.append(str(Path(__file__).parents[1]))
    from fashion_mnist import load_fashion_mnist

    from skcnn import images_from_folder

    _, _, X, y = load_fashion_mnist()
    for number, (image, label) in enumerate(zip(X[:n_images], y, strict=False)):
        path = Path(folder) / str(label) / f"{number:05}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    images_from_folder(folder, X.shape[1:], cache=cache)


def search(folder, cache, in_memory, epochs):
    """Return the seconds of a search over the images in a folder, the accuracies, and a fingerprint."""
    import numpy as np
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from skcnn import ConvNetClassifier, images_from_folder

    X, y = images_from_folder(folder, (28, 28), cache=cache)
    X = np.asarray(X) if in_memory else X
    grid = {"convnetclassifier__learning_rate_init": [1e-3, 3e-3]}
    pipeline = make_pipeline(ConvNetClassifier(max_iter=epochs, random_state=0))
    start = time.perf_counter()
    found = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    seconds = time.perf_counter() - start
    weights = found.best_estimator_[-1].network_.vector
    return {"seconds": seconds, "scores": [float(weights.sum()), *found.cv_results_["mean_test_score"]]}


class Slow:
    """A dataset of random images on a device that takes some time for each."""

    def __init__(self, n_images, seconds_per_image, block):
        import numpy as np

        self._images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), np.uint8)
        self._seconds, self._device = seconds_per_image, threading.Lock()
        self.shape, self.dtype = self._images.shape, self._images.dtype
        self.chunks = (block, 28, 28) if block > 1 else None

    def __len__(self):
        return len(self._images)

    def __getitem__(self, rows):
        images = self._images[rows]
        with self._device:
            time.sleep(len(images) * self._seconds)
        return images


def fit(n_images, seconds_per_image, block):
    """Return the seconds of an epoch of training, from a slow source unless its time is 0."""
    import numpy as np

    from skcnn import ConvNetClassifier

    X = Slow(n_images, seconds_per_image, block)
    X = X if seconds_per_image else X[:]
    clf = ConvNetClassifier(max_iter=3, input_scaling=(127.5, 73.9), averaging=None, random_state=0)
    clf.fit(X, np.arange(n_images) % 10)
    return {"seconds": sorted(record["seconds"] for record in clf.history_)[1]}


# What the script does with them


def rows_of(results, reference):
    """Return a row for each side: seconds, throughput relative to the reference, other load."""
    seconds = {name: [record["seconds"] for record in found] for name, found in results.items()}
    rows = []
    for name, found in seconds.items():
        median, least, most = ratios(seconds[reference], found)
        shown = "1" if name == reference else f"{figure(median)} ({figure(least)} to {figure(most)})"
        rows.append([name, figure(sorted(found)[len(found) // 2]), shown, largest_load(results[name])])
    return rows


def main():
    """Measure what the options ask for."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="images in files")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of the search")
    parser.add_argument("--slow-images", type=int, default=6_000, help="images of the slow source")
    arguments = parser.parse_args()
    header = ["images", "s", "throughput", "other load"]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        run_child("reading:write_folder", folder=folder, cache=cache, n_images=arguments.images)
        options = {"folder": folder, "epochs": arguments.epochs}
        sides = {
            "array": partial(run_child, "reading:search", cache=cache, in_memory=True, **options),
            "files": partial(run_child, "reading:search", cache=None, in_memory=False, **options),
            "files, cached": partial(run_child, "reading:search", cache=cache, in_memory=False, **options),
        }
        searches = interleaved(sides, arguments, "search")
    if len({str(record["scores"]) for found in searches.values() for record in found}) > 1:
        raise RuntimeError("images in files and in an array give different results")
    slow = partial(run_child, "reading:fit", threads=arguments.threads, n_images=arguments.slow_images)
    in_memory = slow(seconds_per_image=0, block=1)["seconds"] / arguments.slow_images
    sides = {"array": partial(slow, seconds_per_image=0, block=1)}
    for share in SHARES:
        for block, name in ((1, "one by one"), (100, "in blocks of 100")):
            sides[f"slow, {share:.0%} of the time, {name}"] = partial(
                slow, seconds_per_image=share * in_memory, block=block
            )
    epochs = interleaved(sides, arguments, "slow source")
    found = {
        "GridSearchCV over files, 2 processes, 2 candidates by 3 folds:": searches,
        f"An epoch from a slow source (threads: {arguments.threads}):": epochs,
    }
    tables = {caption: (header, rows_of(results, "array")) for caption, results in found.items()}
    report(arguments, "reading", tables, {"search": searches, "epoch": epochs})


if __name__ == "__main__":
    main()
