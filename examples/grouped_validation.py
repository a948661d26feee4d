"""Validate on groups that training has not seen, such as other patients.

A handwritten digit of scikit-learn stands for a patient, with eight scans: shifted by a pixel or not at all,
and with noise. Early stopping watches the accuracy on images that are held out: scans drawn at random, or all
scans of some patients. Then both networks see new patients. The figure has the accuracy that early stopping
watched, epoch by epoch, and that for new patients.

Measured with 200 patients: random scans promise an accuracy of 0.960, which is 0.902 for new patients. Scans
of patients that are held out promise 0.927, which is 0.910. ``python examples/grouped_validation.py`` takes
half a minute.
"""

import numpy as np
from gallery import option_parser, save
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from skcnn import ConvNetClassifier

SPLITTERS = {"scans at random": ShuffleSplit, "all scans of some patients": GroupShuffleSplit}


def scan(images, n_scans, rng):
    """Return scans of images, some of each, and the number of the image that each is of."""
    groups = np.repeat(np.arange(len(images)), n_scans)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    scans = np.empty((len(groups), *images.shape[1:]))
    for number, (row, column) in enumerate(rng.integers(3, size=(len(groups), 2))):
        scans[number] = padded[groups[number], row : row + 8, column : column + 8]
    return scans + rng.normal(scale=2.0, size=scans.shape), groups


def main():
    """Train, measure and draw."""
    parser = option_parser(__doc__, "grouped_validation.png", epochs=30)
    parser.add_argument("--patients", type=int, default=200, help="digits to train and to validate on")
    parser.add_argument("--scans", type=int, default=8, help="scans of each")
    arguments = parser.parse_args()
    n_patients, rng = arguments.patients, np.random.default_rng(0)
    digits = load_digits()
    order = rng.permutation(len(digits.images))
    images, labels = digits.images[order], digits.target[order]
    X, patients = scan(images[:n_patients], arguments.scans, rng)
    X_new, new_patients = scan(images[n_patients:], 1, rng)
    y, y_new = labels[patients], labels[n_patients:][new_patients]

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (name, splitter) in zip(axes, SPLITTERS.items(), strict=True):
        clf = ConvNetClassifier(
            early_stopping=True,
            validation_split=splitter(1, test_size=0.25, random_state=0),
            scoring="accuracy",
            max_iter=arguments.epochs,
            n_iter_no_change=arguments.epochs,
            random_state=0,
        )
        clf.fit(X, y, groups=patients if splitter is GroupShuffleSplit else None)
        promised, score = max(clf.validation_scores_), clf.score(X_new, y_new)
        print(f"{name}: {promised:.3f} promised, {score:.3f} of new patients")
        axis.plot(range(1, clf.n_iter_ + 1), clf.validation_scores_, label="validation")
        axis.axhline(score, color="C3", linestyle="--", label="new patients")
        axis.set(xlabel="epoch", title=f"validated on {name}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy")
    axes[0].legend()
    save(figure, arguments, colors=64)


if __name__ == "__main__":
    main()
