"""`torch.save` and `torch.load`: Ranvier's own files, and PyTorch's of tensors and plain containers."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import saving as _saving
from ...core.dtypes import CODE as _CODE
from ...core.tensor import from_numpy as _from_numpy
from ...nn import Parameter as _Parameter
from ...tensor import Tensor as _Tensor

__all__ = ["load", "safe_globals", "save"]

# PyTorch's storages: the bytes' dtype, and the dtype that the values get
_STORAGES = {
    "FloatStorage": ("<f4", "f4"), "DoubleStorage": ("<f8", "f8"), "HalfStorage": ("<f2", "f4"),
    "LongStorage": ("<i8", "i8"), "IntStorage": ("<i4", "i4"), "ShortStorage": ("<i2", "i4"),
    "CharStorage": ("i1", "i4"), "ByteStorage": ("u1", "u1"), "BoolStorage": ("?", "?"), "BFloat16Storage": ("<u2", "f4"),
}  # fmt: skip


def save(obj: Any, f: Any, *options: Any, **keywords: Any) -> None:
    """Write tensors, numbers, texts and containers of them to a safetensors file; see `ranvier.save`. Raises DTypeError for
    a whole module: its code would have to be in the file.
    """
    _saving.save(obj, f)


def load(f: Any, map_location: Any = None, *options: Any, weights_only: bool = True, **keywords: Any) -> Any:
    """What `save` wrote, or the tensors, numbers, texts and containers of a file that PyTorch wrote.

    Nothing in a file runs, whatever `weights_only` says. Raises ValueError for a file that holds more than that.
    """
    if isinstance(f, (str, bytes, os.PathLike)):
        with open(f, "rb") as file:
            return load(file, map_location)
    if hasattr(f, "peek") or (hasattr(f, "seekable") and f.seekable()):
        start = f.tell()
        head = f.read(4)
        f.seek(start)
        if head == b"PK\x03\x04":
            return _load_zip(f)
        if head[:1] == b"\x80":
            raise ValueError("load: a pickle is not read: it may hold code; save the state_dict with a newer PyTorch")
    return _saving.load(f, map_location)


@contextlib.contextmanager
def safe_globals(classes: Any) -> Iterator[None]:
    """Names classes that PyTorch may read; here none is needed, and none read."""
    yield


def _load_zip(file: Any) -> Any:
    content = io.BytesIO(file.read())
    try:
        with zipfile.ZipFile(content) as archive:
            return _Reader(archive).read()
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        KeyError,
        EOFError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(f"load: no file of tensors and plain containers: {error}") from None


class _Reader:
    """One of PyTorch's archives: a pickle that names storages, and a file for each storage."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise KeyError("data.pkl is missing")
        self.folder = pickles[0][: -len("data.pkl")]
        self.storages: dict[str, np.ndarray] = {}

    def read(self) -> Any:
        order = f"{self.folder}byteorder"
        if order in self.archive.namelist() and self.archive.read(order) != b"little":
            raise pickle.UnpicklingError("its bytes are in the order of another processor")
        return _Tensors(self).load()

    def storage(self, kind: str, key: str, count: int) -> np.ndarray:
        """The values of a storage, once for all tensors that show it."""
        if key not in self.storages:
            raw, dtype = _STORAGES[kind]
            values = np.frombuffer(self.archive.read(f"{self.folder}data/{key}"), raw)
            if len(values) < count:
                raise pickle.UnpicklingError(f"storage {key} has {len(values)} elements, must have {count}")
            if kind == "BFloat16Storage":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            self.storages[key] = values.astype(dtype)
        return self.storages[key]


class _Kind:
    """A storage's class, as a pickle names it."""

    def __init__(self, name: str):
        self.name = name


def _tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *rest: Any) -> _Tensor:
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if 0 not in size else offset
    if offset < 0 or min(stride, default=0) < 0 or last >= max(len(storage), 1):
        raise pickle.UnpicklingError(f"a tensor of shape {tuple(size)} reaches beyond its storage of {len(storage)}")
    step = storage.itemsize
    shown = np.lib.stride_tricks.as_strided(storage[offset:], size, tuple(s * step for s in stride))
    assert shown.dtype in _CODE
    return _from_numpy(shown.copy())


def _parameter(data: _Tensor, requires_grad: bool, hooks: Any) -> _Tensor:
    return _Parameter(data, requires_grad)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): tuple,
    **{("torch", name): _Kind(name) for name in _STORAGES},
}


class _Tensors(pickle.Unpickler):
    def __init__(self, reader: _Reader):
        super().__init__(io.BytesIO(reader.archive.read(f"{reader.folder}data.pkl")), encoding="utf-8")
        self.reader = reader

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not read: it may run code")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        what, kind, key, _, count = pid
        if what != "storage" or not isinstance(kind, _Kind):
            raise pickle.UnpicklingError(f"{what!r} is no storage of a known dtype")
        return self.reader.storage(kind.name, key, count)
