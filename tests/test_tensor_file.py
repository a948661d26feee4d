"""Tests of the bytes of files: the format is that of others, and nothing damaged or hostile is read."""

import hashlib
import json
import os
import stat
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from extras import package
from processes import run_script
from seeds import generator

from skcnn.tensor_file import DTYPES, FileError, parse_json, read_tensors, write_tensors

TENSORS = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bytes": np.array([1, 2, 3], np.uint8),
    "doubles": np.array([0.1, np.inf, -0.0]),
    "flags": np.array([True, False]),
    "empty": np.empty((0, 4), np.int16),
    "number": np.array(7, np.int64),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "example.skcnn"


@pytest.fixture
def written(path):
    write_tensors(path, TENSORS, {"made by": "ä"})
    return path


def file_of(header, data=b"", size=None):
    """Return the bytes of a file without a digest."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def described(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_what_is_written_is_read(written):
    tensors, metadata = read_tensors(written, has_digest=True)
    assert metadata == {"made by": "ä"}
    assert list(tensors) == list(TENSORS)
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array, strict=True)
        assert tensors[name].flags.writeable


@pytest.mark.parametrize("dtype", sorted(set(DTYPES.values()), key=str), ids=str)
def test_every_type_is_kept_in_any_byte_order_and_layout(path, dtype):
    array = generator(1).integers(0, 2, (3, 4)).astype(dtype)
    views = {"plain": array, "swapped": array.astype(dtype.newbyteorder()), "strided": array[::2, ::-1]}
    write_tensors(path, views, {})
    tensors, _ = read_tensors(path, has_digest=True)
    for name, view in views.items():
        np.testing.assert_array_equal(tensors[name], view)
        assert tensors[name].dtype == dtype


def test_other_readers_of_the_format_can_read_it(written):
    others = package("safetensors.numpy").load_file(written)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(others[name], array, strict=True)


def test_files_of_other_writers_can_be_read(path):
    package("safetensors.numpy").save_file(TENSORS, path, {"framework": "none"})
    tensors, metadata = read_tensors(path, has_digest=False)
    assert metadata == {"framework": "none"}
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array, strict=True)
    with pytest.raises(FileError, match="SHA-256"):
        read_tensors(path, has_digest=True)


def test_bfloat16_is_widened(path):
    """1.5 is 0x3FC0 and -2 is 0xC000, the first halves of these numbers as float32."""
    path.write_bytes(file_of({"a": described("BF16", (2,))}, bytes.fromhex("c03f00c0")))
    array = read_tensors(path, has_digest=False)[0]["a"]
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, -2.0]


def test_the_digest_is_that_of_the_file_with_zeros_in_its_place(written):
    data = written.read_bytes()
    size = int.from_bytes(data[:8], "little")
    digest = json.loads(data[8 : 8 + size])["__metadata__"]["sha256"]
    assert hashlib.sha256(data.replace(digest.encode(), b"0" * 64)).hexdigest() == digest
    assert (8 + size) % 8 == 0  # arrays are aligned


# Damage


@pytest.mark.parametrize("kind", ["bit flips", "truncations"])
def test_no_damaged_file_is_read(written, kind):
    data = written.read_bytes()
    rng = generator(2)
    for _ in range(1_000):
        place = int(rng.integers(len(data)))
        damaged = bytearray(data)
        if kind == "bit flips":
            damaged[place] ^= 1 << int(rng.integers(8))
        else:
            del damaged[place:]
        written.write_bytes(damaged)
        with pytest.raises(FileError, match=written.name):
            read_tensors(written, has_digest=True)


def test_nothing_may_be_appended(written):
    with open(written, "ab") as file:
        file.write(b"\0")
    with pytest.raises(FileError):
        read_tensors(written, has_digest=True)


HOSTILE = {
    "no bytes": b"",
    "half a length": b"\x02\0\0",
    "a header of 2**60 bytes": file_of({}, size=2**60),
    "a negative length": file_of({}, size=2**64 - 1),
    "a header longer than the file": file_of({}, size=3),
    "no JSON": file_of(b"\x80\x81 pickle"),
    "a list": file_of([]),
    "constants": file_of(b'{"a": NaN}'),
    "deep nesting": file_of(b"[" * 100_000 + b"]" * 100_000),
    "a long integer": file_of(b'{"a": ' + b"9" * 10_000 + b"}"),
    "a key twice": file_of(b'{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a": {}}'),
    "metadata that are no text": file_of({"__metadata__": {"a": 1}}),
    "metadata that are a list": file_of({"__metadata__": []}),
    "a tensor that is no object": file_of({"a": 1}),
    "an unknown entry": file_of({"a": described() | {"more": 1}}, b"1234"),
    "an unknown dtype": file_of({"a": described("C64")}, b"1234"),
    "a dtype that is a list": file_of({"a": described(["F32"])}, b"1234"),
    "a shape of floats": file_of({"a": described(shape=[1.0])}, b"1234"),
    "a negative size": file_of({"a": described(shape=[-1, -1])}, b"1234"),
    "a size of 2**60": file_of({"a": described(shape=[2**60])}, b"1234"),
    "offsets of 2**60": file_of({"a": described("U8", [2**60], [0, 2**60])}, b"1234"),
    "no elements by 2**70": file_of({"a": described("U8", [0, 2**70], [0, 0])}),
    "no elements by 2**63": file_of({"a": described("F64", [0, 2**63 - 1], [0, 0])}),
    "33 axes": file_of({"a": described(shape=[1] * 33)}, b"1234"),
    "one offset": file_of({"a": described(offsets=[4])}, b"1234"),
    "offsets turned round": file_of({"a": described("U8", [0], [4, 0])}, b"1234"),
    "a shape that does not take its bytes": file_of({"a": described(shape=[2])}, b"1234"),
    "an overlap": file_of({"a": described(), "b": described(offsets=[2, 6])}, b"123456"),
    "the same bytes twice": file_of({"a": described(), "b": described()}, b"1234"),
    "a gap": file_of({"a": described(), "b": described(offsets=[5, 9])}, b"123456789"),
    "bytes too many": file_of({"a": described()}, b"12345"),
    "bytes too few": file_of({"a": described()}, b"123"),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_without_memory(path, data):
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(FileError):
        read_tensors(path, has_digest=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * len(data) + 100_000


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', "[Infinity]", "{", "[" * 10_000, "\ud800", "1 2"])
def test_json_of_strangers_is_refused(text):
    with pytest.raises(FileError, match="JSON"):
        parse_json(text)


# Writing


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("content", [b"", bytes(10**5)], ids=["empty", "large"])
def test_a_zip_archive_is_named_with_what_to_do(path, content, compression):
    """As torch.save and Keras write it."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
    with pytest.raises(FileError, match=r"zip archive.*torch\.save.*Keras.*state_dict\(\).*safetensors"):
        read_tensors(path, has_digest=False)


@pytest.mark.parametrize("place", ["missing", "file"])
def test_a_file_that_cannot_be_made_is_named_as_it_was_given(tmp_path, place):
    (tmp_path / "file").touch()
    given = tmp_path / place / "net.skcnn"
    with pytest.raises(OSError) as caught:
        write_tensors(given, TENSORS, {})
    assert caught.value.filename == str(given)
    assert type(caught.value) is (NotADirectoryError if place == "file" else FileNotFoundError)


def test_a_missing_file_stays_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        read_tensors(path, has_digest=True)
    with pytest.raises(FileNotFoundError):
        write_tensors(path.parent / "no folder" / "file", TENSORS, {})


@pytest.mark.costly
@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of a process")
def test_a_full_disk_leaves_the_old_file(written):
    before = written.read_bytes()
    script = """
        import resource, sys
        import numpy as np
        from skcnn.tensor_file import write_tensors

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_tensors(sys.argv[1], {"large": np.zeros(10**6)}, {})
        except OSError as error:
            print(type(error).__name__)
    """
    assert run_script(script, written).strip() == "OSError"
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]


@pytest.mark.costly
@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be killed that way")
def test_a_process_that_is_killed_leaves_the_old_file(written):
    before = written.read_bytes()
    script = """
        import os, signal, subprocess, sys
        import numpy as np

        code = "import os, signal, sys, numpy as np; from skcnn import tensor_file\\n"
        code += "os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)\\n"
        code += "tensor_file.write_tensors(sys.argv[1], {'large': np.zeros(10**6)}, {})"
        print(subprocess.run([sys.executable, "-c", code, sys.argv[1]]).returncode)
    """
    assert run_script(script, written).strip() == "-9"
    assert written.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes by name")
def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        write_tensors(tmp_path / "pipe", TENSORS, {})
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_link_stays_a_link_and_permissions_stay(written, tmp_path):
    written.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(written)
    write_tensors(link, {}, {})
    assert link.is_symlink()
    assert read_tensors(written, has_digest=True) == ({}, {})
    assert stat.S_IMODE(written.stat().st_mode) == 0o640
