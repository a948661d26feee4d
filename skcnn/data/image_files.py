"""Images in files, which are decoded when they are needed."""

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from skcnn.data.lazy_images import LazyImages
from skcnn.layers.base import is_integer
from skcnn.user_warnings import warn_user

RESIZING = ("cover", "contain", "stretch", None)

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's modes by the number of channels."""

DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Pillow's modes of grey images with 16 bits; older versions read such PNG files as 32 bits."""

WHITE = (255, 255, 255)

GROUP_BYTES = 64_000_000
"""Memory for the images that are decoded at a time into a cache."""


class ImageFiles(LazyImages):
    """Images in files, as a lazy view: X for ``fit`` and ``predict``, and for everything that splits X.

    Files are decoded when they are needed, by several threads at the same time, and forgotten, unless a
    folder for a cache is given. Rows, such as ``X[:10]`` or those of a split, are views, for which nothing is
    read. Processes get the names of the files, not the images. ``numpy.asarray(X)`` reads all.

    Parameters
    ----------
    paths : sequence of str or PathLike
        The files, one for each image.
    shape : (height, width) or (height, width, channels)
        Of the images. One channel, or no number of channels, means grey; three red, green and blue; four
        these and opacity.
    resize : {"cover", "contain", "stretch"} or None, default="cover"
        How images of another size are scaled to this one, by bilinear interpolation over all pixels of the
        file. "cover" keeps the proportions and cuts off what is too much on two sides; "contain" keeps them
        and fills up two sides with the background; "stretch" changes them. None: other sizes are an error.
    background : (int, int, int), default=(255, 255, 255)
        Red, green and blue from 0 to 255, white by default, on which transparent images are laid unless
        opacity is a channel: :math:`o c + (1 - o) b` for colour c, opacity o and background b.
    dtype : {"auto", "uint8", "uint16"} or dtype, default="auto"
        Of the pixels. "auto": that of the first file. In "uint16", pixels of 8 bits are multiplied by 257, so
        that white stays white. Of 16 bits, Pillow reads grey images alone.
    read : callable, default=None
        ``read(path)`` returns an image of this shape as an array, for formats that Pillow does not know;
        nothing but the dtype is changed then. To reach other processes, it must be possible to pickle it.
    cache : str or PathLike, default=None
        Folder for the decoded images. All are decoded now, on all cores, into a file that later objects with
        the same files (paths, sizes, times of change) and parameters read, too. It is as large as the images
        in memory; it is mapped into memory, which processes share.

    Attributes
    ----------
    shape : tuple of int
        ``(n_images, height, width)`` or ``(n_images, height, width, channels)``.
    ndim : int
    dtype : numpy.dtype
    paths : list of str
        The files of the view.

    Raises
    ------
    ImportError
        If Pillow is not installed and ``read`` is None.
    ValueError
        If a parameter is invalid or, when it is read, a file is no image or has another size; the message
        names the file.

    Notes
    -----
    Images are turned as their EXIF orientation says. Of animations, the first image is read. Colours become
    grey by ITU-R 601-2: 0.299 of red, 0.587 of green and 0.114 of blue. Larger JPEG files are decoded at the
    smallest of the scales 1, 1/2, 1/4 and 1/8 at which they are at least twice as large as what is wanted.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import ImageFiles
    >>> def read(path):  # in place of files
    ...     return np.full((8, 8), int(path), np.uint8)
    >>> X = ImageFiles(["3", "1", "2"], (8, 8), read=read)
    >>> X.shape, X[1:].paths, np.asarray(X[[2, 0]])[:, 0, 0]
    ((3, 8, 8), ['1', '2'], array([2, 3], dtype=uint8))
    """

    def __init__(
        self,
        paths: Iterable,
        shape: tuple[int, ...],
        *,
        resize: str | None = "cover",
        background: tuple[int, int, int] = WHITE,
        dtype="auto",
        read: Callable | None = None,
        cache=None,
    ):
        self._paths = check_paths(paths)
        shape = check_shape(shape, with_pillow=read is None)
        if resize not in RESIZING:
            raise ValueError(f"resize must be one of {RESIZING}, got {resize!r}")
        self._resize, self._background, self._custom_read = resize, check_background(background), read
        super().__init__(len(self._paths), shape, self._dtype_of(dtype))
        self._cached = None if cache is None else self._fill_cache(Path(cache))

    @property
    def paths(self) -> list[str]:
        """The files of the view."""
        return [self._paths[row] for row in self._rows]

    def __repr__(self):
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def _read(self, rows):
        if self._cached is not None:
            return mapped(self._cached)[rows]
        images = np.empty((len(rows), *self._image_shape), self.dtype)
        for image, row in zip(images, rows, strict=True):
            image[...] = self._read_file(self._paths[row])
        return images

    def _read_file(self, path):
        """Return the image in a file."""
        try:
            if self._custom_read is None:
                return decode(path, self._image_shape, self.dtype, self._resize, self._background)
            image = np.asarray(self._custom_read(path))
            if image.shape != self._image_shape:
                raise ValueError(f"read must return an array of shape {self._image_shape}, got {image.shape}")
            if not np.can_cast(image.dtype, self.dtype, "same_kind"):
                raise ValueError(f"read must return numbers that fit dtype={self.dtype}, got {image.dtype}")
            return image
        except ImportError:
            raise
        except Exception as error:  # decoders raise errors of all kinds
            raise ValueError(f"cannot read the image {path!r}: {error}") from error

    def _dtype_of(self, given):
        """Return the dtype of the images, by default that of the first file."""
        expected = "uint8 or uint16" if self._custom_read is None else "a dtype of real numbers"
        try:
            is_auto = isinstance(given, str) and given == "auto"
            dtype = self._dtype_of_file(self._paths[0]) if is_auto else np.dtype(given)
        except TypeError as error:
            raise ValueError(f"dtype must be 'auto' or {expected}, got {given!r}") from error
        if dtype.kind not in "buif" or self._custom_read is None and dtype not in (np.uint8, np.uint16):
            raise ValueError(f"dtype must be 'auto' or {expected}, got {dtype}")
        return dtype

    def _dtype_of_file(self, path):
        """Return the dtype of the image in a file."""
        try:
            if self._custom_read is not None:
                return np.asarray(self._custom_read(path)).dtype
            with import_pillow().open(path) as image:
                return np.dtype(np.uint16 if image.mode in DEEP_MODES else np.uint8)
        except ImportError:
            raise
        except Exception as error:  # decoders raise errors of all kinds
            raise ValueError(f"cannot read the image {path!r}: {error}") from error

    def _fill_cache(self, folder):
        """Return the file of decoded images, which is written if it is not there."""
        try:
            found = [(path, os.stat(path)) for path in self._paths]
        except OSError as error:
            raise ValueError(f"cannot read the image {error.filename!r}: {error}") from error
        parameters = self._image_shape, self.dtype.str, self._resize, self._background, self._custom_read
        stats = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in found]
        path = folder / f"{joblib.hash((stats, parameters))}.npy"
        if path.exists():
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file, ThreadPoolExecutor(joblib.cpu_count()) as pool:
                header = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
                np.lib.format.write_array_header_1_0(file, header)
                n_images = max(1, GROUP_BYTES // max(1, prod(self._image_shape) * self.dtype.itemsize))
                for start in range(0, len(self._paths), n_images):
                    for image in pool.map(self._read_file, self._paths[start : start + n_images]):
                        file.write(np.ascontiguousarray(image, self.dtype).data)
            os.replace(part, path)  # another process may have written the same
        except BaseException:
            os.unlink(part)
            raise
        return path


def images_from_folder(
    folder, shape: tuple[int, ...], *, on_error: str = "raise", **options
) -> tuple[ImageFiles, np.ndarray]:
    """Return the images in a folder that has a folder for each class, and their classes.

    Classes, and the files within each, are in the order of their names, whatever the file system. Folders in
    those of the classes are searched, too. Names that begin with a dot, and files whose names do not end like
    those of images that Pillow reads, are left out; with ``read``, all files count.

    Parameters
    ----------
    folder : str or PathLike
    shape : (height, width) or (height, width, channels)
        As for :class:`ImageFiles`.
    on_error : {"raise", "skip"}, default="raise"
        What to do with files that cannot be read. "raise": nothing now; reading them is an error. "skip": all
        files are decoded now, and those that cannot be read are left out with a warning that names them.
    **options : dict
        Further parameters of :class:`ImageFiles`.

    Returns
    -------
    X : ImageFiles
    y : ndarray of str
        The name of each image's folder.

    Raises
    ------
    ValueError
        If a parameter is invalid, or there are no images.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from skcnn import images_from_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cats", "dogs"):
    ...         (Path(folder) / name).mkdir()
    ...         for number in range(2):
    ...             np.save(Path(folder) / name / f"{number}.npy", np.zeros((8, 8)))
    ...     X, y = images_from_folder(folder, (8, 8), read=np.load)
    >>> X, y
    (ImageFiles(shape=(4, 8, 8), dtype=float64), array(['cats', 'cats', 'dogs', 'dogs'], dtype='<U4'))
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}")
    endings = None if options.get("read") else set(import_pillow().registered_extensions())
    found = []
    for class_folder in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        if not class_folder.name.startswith("."):
            found += [(path, class_folder.name) for path in image_paths(class_folder, endings)]
    if on_error == "skip":
        found, options["dtype"] = leave_out_unreadable(found, shape, options)
    if not found:
        raise ValueError(f"there are no images in folders of {str(folder)!r}")
    paths, classes = zip(*found, strict=True)
    return ImageFiles(paths, shape, **options), np.array(classes)


def image_paths(folder: Path, endings: set[str] | None) -> list[Path]:
    """Return the files in a folder and its folders, in order, by their endings; None for all endings."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (endings is None or path.suffix.lower() in endings)
    )


def leave_out_unreadable(found: list, shape: tuple[int, ...], options: dict) -> tuple[list, object]:
    """Return the pairs of a path and a class whose files can be read, and the dtype; warn of the others."""
    options = {"dtype": "auto"} | {key: value for key, value in options.items() if key != "cache"}

    def error_of(pair):
        try:
            files = ImageFiles(pair[:1], shape, **options)
            options["dtype"] = files.dtype  # of the first file that has one
            np.asarray(files)
        except ValueError as error:
            return str(error)

    errors = []
    while options["dtype"] == "auto" and len(errors) < len(found):
        errors.append(error_of(found[len(errors)]))
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        errors += pool.map(error_of, found[len(errors) :])
    messages = [message for message in errors if message is not None]
    if messages:
        shown = "\n".join(messages[:10]) + ("\n..." if len(messages) > 10 else "")
        warn_user(f"{len(messages)} of {len(found)} files cannot be read and are left out:\n{shown}")
    return [pair for pair, message in zip(found, errors, strict=True) if message is None], options["dtype"]


@lru_cache(maxsize=16)
def mapped(path: Path) -> np.ndarray:
    """Return the array in a file, mapped into memory."""
    return np.load(path, mmap_mode="r")


# Decoding


def import_pillow():
    """Return Pillow's module of images."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Pillow is not installed, which reads images: pip install skcnn[images]") from error
    return Image


def decode(
    path: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    resize: str | None,
    background: tuple[int, int, int],
) -> np.ndarray:
    """Return the image in a file, turned, in the colours, the size and the dtype that are wanted."""
    Image = import_pillow()
    from PIL import ImageOps

    height, width = shape[:2]
    mode = MODES[shape[2] if len(shape) == 3 else 1]
    with Image.open(path) as file:
        if resize is not None:
            file.draft(None, (2 * max(height, width),) * 2)
        image = ImageOps.exif_transpose(file)
        image.load()
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which need a function of your own, read=")
    is_deep = image.mode in DEEP_MODES
    if is_deep:
        image, mode = _as_floats(image, dtype), "F"
    elif mode != "RGBA" and image.has_transparency_data:
        backing = Image.new("RGBA", image.size, background)
        backing.alpha_composite(image.convert("RGBA"))
        image = backing
    if image.mode != mode:
        image = image.convert(mode)
    pixels = np.asarray(_resized(image, (width, height), resize, background))
    if is_deep:
        pixels = np.rint(pixels).astype(np.uint16)
        if len(shape) == 3:
            pixels = np.repeat(pixels[:, :, np.newaxis], shape[2], axis=2)
            pixels[:, :, 3:] = np.iinfo(np.uint16).max  # opaque
    elif dtype == np.uint16:
        pixels = pixels * np.uint16(257)
    return pixels.reshape(shape)


def _as_floats(image, dtype):
    """Return a grey image of 16 bits as floating-point numbers, which Pillow scales without loss."""
    pixels = np.asarray(image)
    if dtype != np.uint16:
        raise ValueError("its pixels have 16 bits: pass dtype='uint16' to keep them")
    if pixels.min() < 0 or pixels.max() > np.iinfo(np.uint16).max:
        raise ValueError("its pixels have more than 16 bits, which need a function of your own, read=")
    return import_pillow().fromarray(pixels.astype(np.float32))


def _resized(image, size, resize, background):
    """Return an image of Pillow in another size."""
    from PIL import Image, ImageOps

    if image.size == size:
        return image
    if resize is None:
        raise ValueError(f"its size is {image.size[::-1]}, expected {size[::-1]} with resize=None")
    method = Image.Resampling.BILINEAR
    if resize == "stretch":
        return image.resize(size, method)
    if resize == "cover":
        return ImageOps.fit(image, size, method)
    grey = image.mode == "F"
    color: Any = Image.new("RGB", (1, 1), background).convert("L" if grey else image.mode).getpixel((0, 0))
    return ImageOps.pad(image, size, method, color=257.0 * color if grey else color)


# Checks


def check_paths(paths) -> tuple[str, ...]:
    """Return the names of files; raise a ValueError if there are none or something else."""
    if isinstance(paths, str | bytes | os.PathLike):
        raise ValueError(f"paths must be a list of files, got {paths!r} alone")
    try:
        names = tuple(os.fspath(path) for path in paths)
    except TypeError as error:
        raise ValueError(f"paths must be a list of files: {error}") from error
    if not names:
        raise ValueError("paths is empty: expected at least one file")
    return names


def check_shape(shape: Sequence[int], *, with_pillow: bool) -> tuple[int, ...]:
    """Return the shape of an image; raise a ValueError if it is none."""
    is_shape = isinstance(shape, tuple | list) and len(shape) in (2, 3) and all(map(is_integer, shape))
    if not is_shape or min(shape) < 1 or (with_pillow and len(shape) == 3 and shape[2] not in MODES):
        channels = " (1, 3 or 4)" if with_pillow else ""
        raise ValueError(
            f"shape must be (height, width) or (height, width, channels{channels}), got {shape!r}"
        )
    return tuple(map(int, shape))


def check_background(background: Sequence[int]) -> tuple[int, int, int]:
    """Return a colour; raise a ValueError if it is none."""
    is_color = (
        isinstance(background, tuple | list) and len(background) == 3 and all(map(is_integer, background))
    )
    if not is_color or min(background) < 0 or max(background) > 255:
        raise ValueError(f"background must be three integers from 0 to 255, got {background!r}")
    red, green, blue = map(int, background)
    return red, green, blue
