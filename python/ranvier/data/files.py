"""Readers of image data in their publishers' own formats."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["read_cifar10", "read_idx", "read_images"]

_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def _bytes(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def read_idx(path: Any) -> np.ndarray:
    """The array in an IDX file, as MNIST's are, gzipped or not. ValueError where the file is none or is cut short.

    Format: two zero bytes, a type, the number of axes, their sizes (big-endian, 4 bytes each), the numbers.
    """
    path = Path(path)
    data = _bytes(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_TYPES:
        raise ValueError(f"read_idx: {path} is no IDX file: it begins with {data[:4]!r}")
    axes = data[3]
    if len(data) < 4 + 4 * axes:
        raise ValueError(f"read_idx: {path} ends within its {axes} sizes")
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    dtype = np.dtype(_IDX_TYPES[data[2]])
    wanted = 4 + 4 * axes + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if len(data) != wanted:
        raise ValueError(f"read_idx: {path} has {len(data)} bytes; its sizes {shape} ask for {wanted}")
    return np.frombuffer(data, dtype, offset=4 + 4 * axes).reshape(shape).astype(dtype.newbyteorder("="))


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of dicts, lists, texts, numbers and NumPy arrays; nothing in one can run."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.ndarray(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode(encoding)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of arrays")


def _pickled(path: Path, labels: bytes = b"labels") -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return np.asarray(batch[b"data"], np.uint8), np.asarray(batch[labels], np.int64)
    except (pickle.UnpicklingError, KeyError, EOFError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} is no batch of CIFAR-10 or CIFAR-100: {error}") from None


def _binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % 3073:
        raise ValueError(f"read_cifar10: {path} has {data.size} bytes, not records of 3073")
    records = data.reshape(-1, 3073)
    return records[:, 1:], records[:, 0].astype(np.int64)


def read_cifar10(folder: Any, train: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32), uint8, and labels (N,), int64, of CIFAR-10: the five training batches or the test batch, from a
    folder of the binary version (data_batch_1.bin, ..) or of the Python version (data_batch_1, ..).

    Pickles are read by an unpickler that admits nothing but arrays.
    """
    folder = Path(folder)
    names = [f"data_batch_{k}" for k in range(1, 6)] if train else ["test_batch"]
    for suffix, read in ((".bin", _binary), ("", _pickled)):
        paths = [folder / f"{name}{suffix}" for name in names]
        if all(p.is_file() for p in paths):
            parts = [read(p) for p in paths]
            images = np.concatenate([p[0] for p in parts])
            labels = np.concatenate([p[1] for p in parts])
            if images.shape[1:] != (3072,) or len(images) != len(labels) or labels.max() > 9 or labels.min() < 0:
                raise ValueError(f"read_cifar10: {folder} does not hold images of 3072 bytes with labels 0 to 9")
            return images.reshape(-1, 3, 32, 32), labels
    raise FileNotFoundError(f"read_cifar10: {folder} holds neither {names[0]}.bin nor {names[0]}, with all that follow")


def read_cifar100(folder: Any, train: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32), uint8, and labels of 100 classes (N,), int64, of CIFAR-100's Python version: train, test."""
    path = Path(folder) / ("train" if train else "test")
    if not path.is_file():
        raise FileNotFoundError(f"read_cifar100: {path} is missing")
    images, labels = _pickled(path, b"fine_labels")
    if images.shape[1:] != (3072,) or len(images) != len(labels):
        raise ValueError(f"read_cifar100: {path} does not hold images of 3072 bytes with as many labels")
    return images.reshape(-1, 3, 32, 32), labels


def read_images(folder: Any, size: int | tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images of a folder with one folder a class: (N, 3, H, W) uint8, labels (N,), and the classes' names in order.

    `size`: H and W to resize to; without it all images must have one size. Needs Pillow: pip install 'ranvier[images]'.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("read_images: Pillow is missing: pip install 'ranvier[images]'") from None
    folder = Path(folder)
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir())
    if not classes:
        raise ValueError(f"read_images: {folder} holds no folders, one for each class")
    height, width = (size, size) if isinstance(size, int) else size or (None, None)
    images: list[np.ndarray] = []
    labels = []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).iterdir()):
            if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"):
                continue
            with Image.open(path) as image:
                rgb = image.convert("RGB")
                if height is not None and width is not None:
                    rgb = rgb.resize((width, height))
                pixels = np.asarray(rgb).transpose(2, 0, 1)
            if images and pixels.shape != images[0].shape:
                raise ValueError(
                    f"read_images: {path} has {pixels.shape[1:]} pixels, others {images[0].shape[1:]}: give a size"
                )
            images.append(pixels)
            labels.append(label)
    if not images:
        raise ValueError(f"read_images: {folder} holds no images")
    return np.stack(images), np.array(labels, np.int64), classes
