"""Write a small model of each kind into tests/files/models, which every later version must load.

Run ``python tests/files/keep_models.py`` once a version, before its release. Files of earlier versions stay.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from pickles import TRAININGS, scores_of  # noqa: E402
from processes import X  # noqa: E402

from skcnn import __version__, save  # noqa: E402

FOLDER = Path(__file__).parent / "models"
N_IMAGES = 3


def stem_of(kind):
    return f"{__version__.rpartition('.')[0]}-{kind.replace(' ', '-')}"


def keep_models():
    for kind, train in TRAININGS.items():
        net = train()
        save(net, FOLDER / f"{stem_of(kind)}.skcnn")
        expected = {"scores": scores_of(net, X[:N_IMAGES]), "labels": net.predict(X[:N_IMAGES])}
        np.savez_compressed(FOLDER / f"{stem_of(kind)}.npz", X=X[:N_IMAGES].astype(np.float32), **expected)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    keep_models()
