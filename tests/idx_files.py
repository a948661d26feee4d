"""Small files in the formats of Fashion-MNIST and of CIFAR-10."""

import gzip
import struct

import numpy as np
from seeds import generator


def write_idx_files(folder, n_training=60, n_test=20):
    """Write IDX files with training images and test images to a folder."""
    rng = generator(0)
    for part, n_images in (("train", n_training), ("t10k", n_test)):
        images = rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
        labels = (np.arange(n_images) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())


def write_cifar10_file(n_images, folder, monkeypatch):
    """Write images to a file, name it by the environment variable, and return images and labels."""
    X = generator(0).integers(0, 256, (n_images, 32, 32, 3)).astype(np.uint8)
    y = np.arange(n_images) % 10
    np.savez(folder / "cifar10.npz", X=X, y=y)
    monkeypatch.setenv("CIFAR10_FILE", str(folder / "cifar10.npz"))
    return X, y
