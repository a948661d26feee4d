"""Write the files of weights in tests/files/keras, with images and what Keras computes of them.

``KERAS_BACKEND=torch python tests/parity/keep_keras_files.py``, with Keras and PyTorch installed.
"""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="Keras, which writes these files, is not installed")
layers = keras.layers

FOLDER = Path(__file__).parent.parent / "files" / "keras"


def sequential():
    """Return a chain of all layers with weights that can be read."""
    return keras.Sequential(
        [
            keras.Input((6, 5, 4)),
            layers.Conv2D(4, 3, strides=2, padding="same", groups=2, name="first"),
            layers.BatchNormalization(),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Dropout(0.1),
            layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False),
            layers.GroupNormalization(4),
            layers.Conv2D(6, (2, 1), activation="relu", name="second"),
            layers.LayerNormalization(),
            layers.Flatten(),
            layers.Dense(5, activation="tanh", name="hidden"),
            layers.BatchNormalization(epsilon=1e-5),
            layers.PReLU(),
            layers.Dense(3, name="last"),
        ]
    )


def functional():
    """Return a network with a branch, and twelve layers of a class."""
    images = X = keras.Input((6, 5, 4))
    for _ in range(5):
        Y = layers.Conv2D(4, 3, padding="same", activation="relu")(X)
        X = layers.Add()([X, layers.Conv2D(4, 3, padding="same")(Y)])
    X = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(layers.Conv2D(3, 1)(X)))
    return keras.Model(images, layers.Dense(3)(X))


def nested():
    """Return a network with a network in it."""
    inner = keras.Sequential([layers.Conv2D(3, 1), layers.GlobalAveragePooling2D()])
    return keras.Sequential([keras.Input((6, 5, 4)), layers.Conv2D(3, 1), inner, layers.Dense(3)])


def main():
    """Write the files."""
    rng = np.random.default_rng(0)
    FOLDER.mkdir(exist_ok=True)
    images = rng.normal(size=(4, 6, 5, 4)).astype(np.float32)
    computed = {"images": images}
    for make in (sequential, functional, nested):
        model = make()
        for variable in model.variables:
            if "float" in str(variable.dtype):
                variable.assign(
                    rng.uniform(0.2, 0.6, variable.shape)
                    * rng.choice([-1, 1] if len(variable.shape) > 1 else [1], variable.shape)
                )
        model.compile("adam", "mse")
        model.save_weights(FOLDER / f"{make.__name__}.weights.h5")
        computed[make.__name__] = np.asarray(model.predict(images, verbose=0))
    sequential_model = sequential()
    sequential_model.load_weights(FOLDER / "sequential.weights.h5")
    sequential_model.save(FOLDER / "sequential.keras")
    np.savez(FOLDER / "computed.npz", **computed)


if __name__ == "__main__":
    main()
