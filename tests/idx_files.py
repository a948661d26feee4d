"""Small files in the format of Fashion-MNIST."""

import gzip
import struct

import numpy as np
from seeds import generator


def write_idx_files(folder):
    """Write IDX files with 60 training and 20 test images to a folder."""
    rng = generator(0)
    for part, n_images in (("train", 60), ("t10k", 20)):
        images = rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
        labels = (np.arange(n_images) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(header + array.tobytes())
