"""Readers of image files."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest
from ranvier import data

random = np.random.default_rng(0)


def test_idx(tmp_path):
    images = random.integers(0, 256, (5, 4, 3), np.uint8)
    content = struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape) + images.tobytes()
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "zipped.gz").write_bytes(gzip.compress(content))
    for name in ("plain", "zipped.gz"):
        np.testing.assert_array_equal(data.read_idx(tmp_path / name), images)
    numbers = np.array([1.5, -2.0], ">f4")
    (tmp_path / "floats").write_bytes(struct.pack(">BBBBI", 0, 0, 13, 1, 2) + numbers.tobytes())
    got = data.read_idx(tmp_path / "floats")
    assert got.tolist() == [1.5, -2.0] and got.dtype.isnative
    for broken, text in (
        (content[:-1], "ask for"),
        (b"PK\3\4", "no IDX file"),
        (content[:7], "ends within"),
        (b"", "no IDX"),
    ):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(ValueError, match=text):
            data.read_idx(tmp_path / "broken")


@pytest.mark.parametrize("kind", ["binary", "python"])
def test_cifar10(tmp_path, kind):
    images, labels = random.integers(0, 256, (12, 3072), np.uint8), random.integers(0, 10, 12)
    for k, name in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
        rows = slice(2 * k, 2 * k + 2)
        if kind == "binary":
            records = np.concatenate([labels[rows, None].astype(np.uint8), images[rows]], 1)
            (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
        else:
            batch = {b"data": images[rows], b"labels": labels[rows].tolist(), b"batch_label": b"some"}
            (tmp_path / name).write_bytes(pickle.dumps(batch, protocol=2))
    x, y = data.read_cifar10(tmp_path)
    np.testing.assert_array_equal(x, images[:10].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(y, labels[:10])
    assert data.read_cifar10(tmp_path, train=False)[0].shape == (2, 3, 32, 32)


def test_cifar10_refuses(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds neither data_batch_1.bin nor data_batch_1"):
        data.read_cifar10(tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"\0" * 3072)
    with pytest.raises(ValueError, match="3072 bytes, not records of 3073"):
        data.read_cifar10(tmp_path, train=False)
    (tmp_path / "test_batch.bin").unlink()
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": print}))
    with pytest.raises(ValueError, match="builtins.print is not allowed|__builtin__.print is not allowed"):
        data.read_cifar10(tmp_path, train=False)


def test_images(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name, color in (("cat", (255, 0, 0)), ("dog", (0, 255, 0))):
        (tmp_path / name).mkdir()
        for k in range(2):
            image.new("RGB", (6, 4), color).save(tmp_path / name / f"{k}.png")
    x, y, classes = data.read_images(tmp_path)
    assert x.shape == (4, 3, 4, 6) and y.tolist() == [0, 0, 1, 1] and classes == ["cat", "dog"]
    assert x[0, :, 0, 0].tolist() == [255, 0, 0]
    assert data.read_images(tmp_path, 8)[0].shape == (4, 3, 8, 8)
    image.new("RGB", (3, 3)).save(tmp_path / "dog" / "other.png")
    with pytest.raises(ValueError, match="give a size"):
        data.read_images(tmp_path)
