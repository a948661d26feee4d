"""Reads and writes files of named arrays: the safetensors format, with a digest of the whole file."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np

DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
"""Dtypes by their names in the format. numpy has no BF16; reading converts it to float32."""

NAMES_OF_DTYPES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}

MAX_HEADER_BYTES = 100_000_000
"""The limit of other readers of the format."""

ZIP_SIGNATURE = b"PK\3\4"
"""The first bytes of a zip archive."""

MAX_AXES = 32
"""The limit of the oldest supported numpy."""

DIGEST_PREFIX = b'{"__metadata__":{"sha256":"'
NO_DIGEST = "0" * 64


class FileError(ValueError):
    """Raised for a file that is damaged or has unexpected contents."""


def write_tensors(path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write named arrays to a file, atomically.

    Parameters
    ----------
    path : str or path-like
        An existing file is replaced when the new one is complete.
    tensors : mapping of str to ndarray
        Arrays of booleans, integers or floats of at most 8 bytes.
    metadata : mapping of str to str
        Any text.

    Raises
    ------
    OSError
        If the file cannot be written; an existing file does not change.
    ValueError
        If metadata and names take more than 100 MB.

    Notes
    -----
    The file consists of the length of the header, 8 bytes, little-endian; the header, JSON in UTF-8, padded
    with spaces; and the arrays, little-endian and C-contiguous, without gaps. The header maps each name to
    dtype, shape, and start and end byte within the arrays, and ``__metadata__`` to a mapping of str to str.
    The first metadata entry is the SHA-256 of the file with the 64 digits of this digest as zeros.

    References
    ----------
    The safetensors format, https://github.com/huggingface/safetensors

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skcnn.tensor_file import read_tensors, write_tensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tensors(f"{folder}/a.safetensors", {"a": np.arange(3.0)}, {"made by": "me"})
    ...     tensors, metadata = read_tensors(f"{folder}/a.safetensors", has_digest=True)
    >>> tensors["a"], metadata
    (array([0., 1., 2.]), {'made by': 'me'})
    """
    # wide types come first, so each array begins at a multiple of its item size
    stored = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    places, start = {}, 0
    for name in stored:
        places[name] = [start, start + tensors[name].nbytes]
        start = places[name][1]
    header: dict = {"__metadata__": {"sha256": NO_DIGEST, **metadata}}
    for name, array in tensors.items():
        dtype = NAMES_OF_DTYPES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": places[name]}
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"names and metadata take {len(text)} bytes, expected at most {MAX_HEADER_BYTES}")
    pieces: list = [len(text).to_bytes(8, "little"), text, *(_bytes_of(tensors[name]) for name in stored)]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    pieces[1] = text.replace(NO_DIGEST.encode(), digest.hexdigest().encode(), 1)
    _replace_file(path, pieces)


def _bytes_of(array: np.ndarray) -> memoryview:
    """Return the bytes of an array in the format, without a copy if possible."""
    stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return stored.reshape(-1).view(np.uint8).data


def _replace_file(given, pieces) -> None:
    """Write pieces to a new file in the same folder, and replace the old one by it."""
    path = os.path.realpath(given)
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(f"{path} is not a regular file")
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    is_new = not os.path.exists(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(temporary, flags, 0o666 if is_new else 0o600)
    except OSError as error:  # which names the temporary file
        raise OSError(error.errno, error.strerror, os.fspath(given)) from None
    try:
        with open(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if not is_new:
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_tensors(path, *, has_digest: bool) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a file by name, and its metadata.

    Nothing in the file is executed. The arrays take no more memory than the file has bytes, and BF16
    arrays twice as much. JSON of nothing but empty lists takes 27 times the memory of its text, which is of
    at most 100 MB.

    Parameters
    ----------
    path : str or path-like
    has_digest : bool
        Whether the metadata begin with a digest, as :func:`write_tensors` writes it. The digest is checked,
        and not returned.

    Returns
    -------
    tensors : dict of str to ndarray
        In the order of the header; views of one array.
    metadata : dict of str to str

    Raises
    ------
    FileError
        If the file is damaged, truncated, appended to, or in another format.
    OSError
        If the file does not exist or cannot be read.
    """
    with open(path, "rb") as file:
        data = bytearray(os.fstat(file.fileno()).st_size)
        if file.readinto(data) != len(data):
            raise FileError(f"{path} was shortened while it was read")
    try:
        start = _end_of_header(data)
        if has_digest:
            _check_digest(data, start)
        header = _parse_header(data[8:start])
        metadata = _checked_metadata(header.pop("__metadata__", {}))
        if has_digest:
            del metadata["sha256"]
        return _arrays_of(header, np.frombuffer(data, np.uint8)[start:]), metadata
    except FileError as error:
        raise FileError(f"{path}: {error}") from None


def _end_of_header(data: bytearray) -> int:
    """Return where the arrays begin."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(len(data) - 8, MAX_HEADER_BYTES):
        if data.startswith(ZIP_SIGNATURE):
            raise FileError(
                "not a safetensors file, but a zip archive, as torch.save and Keras write it: pass the "
                "state_dict() of a PyTorch module, or write it with safetensors.torch.save_file; for Keras "
                "there is weights_from_keras"
            )
        raise FileError(f"not a safetensors file, or truncated: {len(data)} bytes, header of {size} bytes")
    return 8 + size


def _check_digest(data: bytearray, start: int) -> None:
    """Raise a FileError unless the header begins with the digest of the file."""
    first = 8 + len(DIGEST_PREFIX)
    last = first + len(NO_DIGEST)
    if last > start or data[8:first] != DIGEST_PREFIX:
        raise FileError("not a file that skcnn wrote: its metadata do not begin with a SHA-256")
    digest = hashlib.sha256(data[:first])
    digest.update(NO_DIGEST.encode())
    digest.update(memoryview(data)[last:])
    if digest.hexdigest().encode() != data[first:last]:
        raise FileError("damaged: its SHA-256 does not match its bytes")


def parse_json(text):
    """Return the value of JSON text; raise a FileError if it is invalid, ambiguous or nested too deeply."""

    def mapping(pairs):
        if len(dict(pairs)) < len(pairs):
            raise FileError("its JSON has a duplicate key")
        return dict(pairs)

    def refuse(constant):
        raise FileError(f"its JSON has the constant {constant}")

    try:
        return json.loads(text, object_pairs_hook=mapping, parse_constant=refuse)
    except RecursionError:
        raise FileError("its JSON is nested too deeply") from None
    except FileError:
        raise
    except ValueError as error:
        raise FileError(f"its JSON is invalid: {error}") from None


def _parse_header(text: bytearray) -> dict:
    header = parse_json(text)
    if not isinstance(header, dict):
        raise FileError("its header is not a JSON object")
    return header


def _checked_metadata(metadata) -> dict[str, str]:
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise FileError("its __metadata__ is not a mapping of str to str")
    return metadata


def _arrays_of(header: dict, data: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays that a header describes, which must fill the data without gaps."""
    for name, entry in header.items():
        _check_entry(name, entry)
    expected = 0
    for name in sorted(header, key=lambda name: header[name]["data_offsets"]):
        start, stop = header[name]["data_offsets"]
        if start != expected:
            raise FileError(f"tensor {name!r} begins at byte {start}, expected {expected}")
        expected = stop
    if expected != len(data):
        raise FileError(f"its tensors take {expected} bytes, but the file has {len(data)} for them")
    tensors = {}
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        try:
            array = data[start:stop].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
        except (OverflowError, ValueError):  # no elements along one axis, and too many along another
            raise FileError(f"tensor {name!r} has the shape {entry['shape']}") from None
        if entry["dtype"] == "BOOL":
            array = array.view(np.uint8) != 0  # bytes other than 0 and 1 count as true
        if entry["dtype"] == "BF16":  # the first half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = array
    return tensors


def _check_entry(name: str, entry) -> None:
    """Raise a FileError unless an entry of the header describes an array."""

    def are_sizes(values):
        return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)

    if not (isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}):
        raise FileError(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FileError(f"tensor {name!r} has the dtype {dtype!r}, expected one of {list(DTYPES)}")
    if not are_sizes(shape) or len(shape) > MAX_AXES:
        raise FileError(f"tensor {name!r} has no valid shape of at most {MAX_AXES} axes")
    if not are_sizes(offsets) or len(offsets) != 2:
        raise FileError(f"tensor {name!r} has no valid start and end byte")
    if offsets[1] - offsets[0] != prod(shape) * DTYPES[dtype].itemsize:
        raise FileError(f"tensor {name!r} of shape {shape} and dtype {dtype} does not fit its bytes")
