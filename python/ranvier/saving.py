"""Saving and loading of tensors as safetensors files.

A file is written under another name in the same folder, flushed to the disk and then put in place by one
rename, so an interrupted or failed save leaves the old file whole. No pickle is ever read.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from .core.dtypes import CODE
from .core.tensor import from_numpy
from .ops.public import expose
from .tensor import Tensor

__all__ = ["save", "load"]

# safetensors' dtype names -> how the bytes are read, and the dtype that they become here
_READ: dict[str, tuple[str, str]] = {
    "F64": ("<f8", "float64"), "F32": ("<f4", "float32"), "F16": ("<f2", "float32"),
    "BF16": ("<u2", "float32"), "I64": ("<i8", "int64"),
    "I32": ("<i4", "int32"), "I16": ("<i2", "int32"), "I8": ("<i1", "int32"),
    "U64": ("<u8", "int64"), "U32": ("<u4", "int64"), "U16": ("<u2", "int32"), "U8": ("<u1", "uint8"),
    "BOOL": ("u1", "bool"),
}  # fmt: skip


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("saving and loading need the safetensors package: pip install safetensors") from None
    return safetensors


def save(tensors: Mapping[str, Any], path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` (Tensors or arrays by name, such as a `state_dict()`) to a safetensors file.

    Checkpoints of several parts also go: dicts, lists and tuples of tensors, numbers, texts and None, such as
    `{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}`; their structure is kept
    in the file's header, and `load` gives it back.

    Args:
        tensors: names and values; dtypes are kept.
        path: the file; an old one is replaced only when the new one is complete on the disk.
        metadata: texts by name, kept in the file's header.

    Raises TypeError for values that are not tensors, and OSError where the file cannot be written; the old
    file is then untouched.

    >>> import os, tempfile, numpy as np, ranvier as rv
    >>> path = os.path.join(tempfile.mkdtemp(), "w.safetensors")
    >>> rv.save({"w": np.ones((2, 3), np.float32)}, path)
    >>> rv.load(path)["w"].shape
    (2, 3)
    """
    safetensors = _safetensors()
    if not isinstance(tensors, Mapping):
        raise TypeError(f"save: tensors={type(tensors).__name__} must be a dict of names and tensors")
    header: dict[str, str] = {}
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"save: metadata {key!r}: {text!r} must be two strings")
        header[key] = text
    records: dict[str, np.ndarray] = {}
    try:
        tree = _flatten(tensors, "", records)
    except RecursionError:
        raise ValueError("save: the structure is nested too deeply, or contains itself") from None
    if "__metadata__" in records:
        raise ValueError("save: '__metadata__' cannot be the name of a tensor: the file's header uses it")
    if tree != {"dict": [[name, {"tensor": name}] for name in tensors]}:
        header[_TREE] = json.dumps(tree)
    write_atomically(path, safetensors.numpy.save(records, metadata=header or None))


_TREE = "ranvier.tree"  # the header's entry for the structure of a checkpoint


def _flatten(value: Any, name: str, records: dict[str, np.ndarray]) -> Any:
    """`value` as JSON can hold it, its tensors put into `records` under dotted names."""
    if isinstance(value, Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype not in CODE:
            raise TypeError(f"save: {name!r} has dtype {value.dtype}, must be one of {', '.join(map(str, CODE))}")
        while name in records:  # "a.b" may also come from {"a": {"b": ...}}
            name += "_"
        records[name] = np.asarray(value, order="C")
        return {"tensor": name}
    prefix = f"{name}." if name else ""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, (str, int)):
                raise TypeError(f"save: key {key!r} of {name!r} must be a string or an integer")
        return {"dict": [[key, _flatten(item, f"{prefix}{key}", records)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flatten(item, f"{prefix}{i}", records) for i, item in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"save: {name!r} of type {type(value).__name__} must be a Tensor, an array, a number, a text, None, "
        "or a dict, list or tuple of such"
    )


def _unflatten(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in content}
    return {"list": list, "tuple": tuple}[kind](_unflatten(item, tensors) for item in content)


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Put a file with `content` at `path`: all of it, or, after any failure, the file that was there before.

    Where the system can, the new file has no name until it is complete, so that not even a killed process
    leaves anything behind.
    """
    target = os.path.realpath(os.fspath(path))
    if os.path.exists(target) and not os.path.isfile(target):  # a rename would take the place of a device or pipe
        raise OSError(f"save: {os.fspath(path)!r} is there already and is not a regular file")
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    try:
        if not _write_unnamed(folder, temporary, content):
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
            with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
                _write_through(file, content)
        if os.path.exists(target):
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # the rename itself must reach the disk too
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_through(file: Any, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _write_unnamed(folder: str, name: str, content: bytes) -> bool:
    """Write a file that gets `name` only when it is complete; False where the system or the file system
    cannot.
    """
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
    except (AttributeError, OSError):
        return False
    with os.fdopen(descriptor, "wb") as file:
        _write_through(file, content)
        try:  # a directory descriptor makes Python follow the link in /proc (linkat instead of link)
            os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor, follow_symlinks=True)
        except OSError:
            return False
    return True


def _read_header(path: str, content: np.ndarray) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file and where its data begins, after checks whose errors say what is wrong
    with the file.
    """
    start = content[:9].tobytes()
    if start[8:9] != b"{":
        if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
            raise ValueError(
                f"load: {path!r} is a pickle or zip (torch.save?), not a safetensors file; pickles can "
                "run code and are never loaded. Write it with safetensors.torch.save_file instead"
            )
        raise ValueError(f"load: {path!r} is not a safetensors file")
    length, there = int.from_bytes(start[:8], "little"), content.size - 8
    if length > there:
        raise ValueError(f"load: {path!r} is cut short: its header has {length} bytes, {there} are there")
    try:
        header = json.loads(content[8 : 8 + length].tobytes())
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        raise ValueError(f"load: {path!r} is not a safetensors file: its header is damaged") from None
    if end > there - length:
        raise ValueError(f"load: {path!r} is cut short: its tensors take {end} bytes, {there - length} are there")
    try:
        with _safetensors().safe_open(path, framework="np"):  # checks dtypes, shapes and offsets
            pass
    except _safetensors().SafetensorError as error:
        raise ValueError(f"load: {path!r} is damaged: {error}") from None
    return header, 8 + length


def _to_array(path: str, name: str, dtype: str, shape: Any, data: np.ndarray) -> np.ndarray:
    if dtype not in _READ:
        raise ValueError(f"load: {path!r} holds {name!r} with dtype {dtype}; it must be one of {', '.join(_READ)}")
    stored, wanted = _READ[dtype]
    raw = np.frombuffer(data, stored).reshape(shape)
    if dtype == "BF16":  # bfloat16 is the upper half of a float32
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if dtype == "U64" and raw.size and raw.max() > np.iinfo(np.int64).max:
        raise ValueError(f"load: {path!r}: {name!r} has values of uint64 that int64 cannot hold")
    return raw.astype(wanted)  # also makes a copy that is aligned, writable and its own


def load(path: str | os.PathLike, *, return_metadata: bool = False) -> Any:
    """The tensors of a safetensors file, by name, or what else `save` was given.

    float16 and bfloat16 become float32, and integers that Ranvier has not become the next wider one, without
    any loss. With `return_metadata` a pair of the tensors and the header's texts is returned.

    Raises FileNotFoundError, and ValueError for a file that is not safetensors, is cut short or damaged.
    """
    text = os.fsdecode(path)
    if os.path.getsize(text) == 0:
        raise ValueError(f"load: {text!r} is empty")
    content = np.memmap(text, np.uint8, "r")
    header, start = _read_header(text, content)
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            data = content[start + begin : start + end]
            tensors[name] = from_numpy(_to_array(text, name, entry["dtype"], entry["shape"], data))
    metadata = dict(header.get("__metadata__") or {})
    tree = metadata.pop(_TREE, None)
    result: Any = tensors
    if tree is not None:
        try:
            result = _unflatten(json.loads(tree), tensors)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"load: {text!r} is damaged: its structure cannot be read: {error!r}") from None
    return (result, metadata) if return_metadata else result


def save_module(module: Any, path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a module's `state_dict()` to a safetensors file; see `save`."""
    save(module.state_dict(), path, metadata)


def load_module(module: Any, path: str | os.PathLike, strict: bool = True) -> Any:
    """Read a safetensors file into a module: everything is checked before anything changes; see `load`."""
    return module.load_state_dict(load(path), strict)


expose(globals(), ("load", "save"))
