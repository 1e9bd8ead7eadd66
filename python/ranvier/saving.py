"""Saving and loading of tensors as safetensors files.

A file is written under another name in the same folder, flushed to the disk and then put in place by one
rename, so an interrupted or failed save leaves the old file whole. No pickle is ever read.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from .core.device import as_device
from .core.dtypes import CODE
from .core.errors import DTypeError
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


def save(obj: Any, f: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, and what is made of them, as safetensors: a `state_dict()`, a Tensor, or dicts, lists and tuples of
    tensors, arrays, numbers, texts, dtypes and None, such as
    `{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}`. Structure that is more than names of
    tensors is kept in the file's header, and `load` gives it back. What several names share is stored once, and is one
    tensor again when loaded.

    Args:
        obj: what is saved; dtypes are kept.
        f: a path, whose old file is replaced only when the new one is complete on the disk; or a file open for writing
            bytes, such as io.BytesIO.
        metadata: texts by name, kept in the file's header.

    Raises TypeError for anything else, such as a whole Module, and OSError where the file cannot be written; the old file
    is then untouched.

    >>> import io, os, tempfile, numpy as np, ranvier as rv
    >>> path = os.path.join(tempfile.mkdtemp(), "w.safetensors")
    >>> rv.save({"w": np.ones((2, 3), np.float32)}, path)
    >>> rv.load(path)["w"].shape
    (2, 3)
    >>> buffer = io.BytesIO()
    >>> rv.save({"epoch": 3, "losses": [0.5, 0.25]}, buffer)
    >>> _ = buffer.seek(0)
    >>> rv.load(buffer)
    {'epoch': 3, 'losses': [0.5, 0.25]}
    """
    safetensors = _safetensors()
    header: dict[str, str] = {}
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise DTypeError(f"save: metadata {key!r}: {text!r} must be two strings")
        header[key] = text
    records: dict[str, np.ndarray] = {}
    try:
        tree = _flatten(obj, "", records, {})
    except RecursionError:
        raise ValueError("save: the structure is nested too deeply, or contains itself") from None
    if "__metadata__" in records:
        raise ValueError("save: '__metadata__' cannot be the name of a tensor: the file's header uses it")
    if not isinstance(obj, Mapping) or tree != {"dict": [[name, {"tensor": name}] for name in obj]}:
        header[_TREE] = json.dumps(tree)
    content = safetensors.numpy.save(records, metadata=header or None)
    if isinstance(f, (str, bytes, os.PathLike)):
        write_atomically(f, content)
    elif isinstance(f, io.TextIOBase) or not hasattr(f, "write"):
        raise DTypeError(f"save: f={type(f).__name__} must be a path, or a file that is open for writing bytes ('wb')")
    else:
        f.write(content)


_TREE = "ranvier.tree"  # the header's entry for the structure of a checkpoint


def _flatten(value: Any, name: str, records: dict[str, np.ndarray], stored: dict[tuple, str]) -> Any:
    """`value` as JSON can hold it, its tensors put into `records` under dotted names; one that is there already under
    another name, by its memory in `stored`, is the same tensor.
    """
    if isinstance(value, Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype not in CODE:
            raise DTypeError(f"save: {name!r} has dtype {value.dtype}, must be one of {', '.join(map(str, CODE))}")
        place = (value.__array_interface__["data"][0], value.shape, value.strides, value.dtype)
        if value.size and place in stored:
            return {"tensor": stored[place]}
        name = name or "tensor"
        while name in records:  # "a.b" may also come from {"a": {"b": ...}}
            name += "_"
        records[name] = np.asarray(value, order="C")
        stored[place] = name
        return {"tensor": name}
    prefix = f"{name}." if name else ""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, (str, int)):
                raise DTypeError(f"save: key {key!r} of {name!r} must be a string or an integer")
        return {"dict": [[key, _flatten(item, f"{prefix}{key}", records, stored)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flatten(item, f"{prefix}{i}", records, stored) for i, item in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.dtype):
        return {"dtype": value.name}
    what = f"{name!r} of type {type(value).__name__}" if name else f"obj={type(value).__name__}"
    if hasattr(value, "state_dict"):
        raise DTypeError(
            f"save: {what} is an object with code of its own, and a file holds none: save its state_dict(), make the object "
            "anew and call its load_state_dict(rv.load(...))"
        )
    raise DTypeError(
        f"save: {what} must be a Tensor, an array, a number, a text, a dtype, None, or a dict, list or tuple of such"
    )


def _unflatten(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dtype":
        return np.dtype(content)
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in content}
    return {"list": list, "tuple": tuple}[kind](_unflatten(item, tensors) for item in content)


def write_atomically(path: str | bytes | os.PathLike, content: bytes) -> None:
    """Put a file with `content` at `path`: all of it, or, after any failure, the file that was there before.

    Where the system can, the new file has no name until it is complete, so that not even a killed process
    leaves anything behind.
    """
    target = os.path.realpath(os.fsdecode(path))
    if os.path.exists(target) and not os.path.isfile(target):  # a rename would take the place of a device or pipe
        raise OSError(f"save: {os.fsdecode(path)!r} is there already and is not a regular file")
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "save: there is no such folder", folder)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")  # of any length that the file's name may have
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


def _read(file: Any, size: int) -> np.ndarray:
    """The next `size` bytes of a file as an array of their own, or what is left of them.

    They are read and not mapped: a file that gets shorter meanwhile would end the process.
    """
    array = np.empty(size, np.uint8)
    view, done = array.data, 0
    while done < size:
        if hasattr(file, "readinto"):
            count = file.readinto(view[done:])
        else:
            part = file.read(size - done)
            count = len(part)
            view[done : done + count] = part
        if not count:
            break
        done += count
    return array[:done]


def _read_header(name: str, file: Any, there: int | None, alone: bool) -> dict[str, Any]:
    """The header of a safetensors file, after checks whose errors say what is wrong with the file.

    there: the bytes in the file, where that is known; alone: which nothing else may take.
    """
    start = _read(file, 9).tobytes()
    if not start:
        raise ValueError(f"load: {name} is empty")
    if start[8:] != b"{":
        if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
            raise ValueError(
                f"load: {name} is a pickle or zip (torch.save?), not a safetensors file; pickles can "
                "run code and are never loaded. ranvier.torch.load reads a state_dict out of it without running any; or "
                "write it with safetensors.torch.save_file"
            )
        raise ValueError(f"load: {name} is not a safetensors file")
    length = int.from_bytes(start[:8], "little")
    left = None if there is None else there - 8
    if length > (_LONGEST_HEADER if left is None else left):
        raise ValueError(f"load: {name} is cut short: its header has {length} bytes, {left} are there")
    text = b"{" + _read(file, length - 1).tobytes()
    try:
        header = json.loads(text)
        end = _check_entries(header)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise ValueError(f"load: {name} is not a safetensors file, or damaged: its header cannot be read") from None
    if left is not None:
        left -= length
        if end > left:
            raise ValueError(f"load: {name} is cut short: its tensors take {end} bytes, {left} are there")
        if alone and end < left:
            raise ValueError(f"load: {name} is damaged: there are {left - end} bytes after its tensors")
    return header


_LONGEST_HEADER = 100_000_000  # bytes, as in safetensors


def _check_entries(header: dict[str, Any]) -> int:
    """The bytes of all tensors, which must lie one after the other without a gap; ValueError where they do not."""
    texts = header.get("__metadata__") or {}
    if not all(isinstance(x, str) for pair in texts.items() for x in pair):
        raise ValueError
    end = 0
    for entry in sorted((e for name, e in header.items() if name != "__metadata__"), key=lambda e: e["data_offsets"]):
        begin, stop = entry["data_offsets"]
        shape, dtype = entry["shape"], entry["dtype"]
        if not all(type(n) is int and n >= 0 for n in (begin, stop, *shape)) or not isinstance(dtype, str):
            raise ValueError
        bits = 8 * np.dtype(_READ[dtype][0]).itemsize if dtype in _READ else None
        if begin != end or stop < begin or bits is not None and 8 * (stop - begin) != math.prod(shape) * bits:
            raise ValueError
        end = stop
    return end


def _to_array(path: str, name: str, dtype: str, shape: Any, data: np.ndarray) -> np.ndarray:
    if dtype not in _READ:
        raise ValueError(f"load: {path} holds {name!r} with dtype {dtype}; it must be one of {', '.join(_READ)}")
    stored, wanted = _READ[dtype]
    raw = data.view(stored).reshape(shape)
    if dtype == "BF16":  # bfloat16 is the upper half of a float32
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if dtype == "U64" and raw.size and raw.max() > np.iinfo(np.int64).max:
        raise ValueError(f"load: {path}: {name!r} has values of uint64 that int64 cannot hold")
    return raw.astype(wanted, copy=False)


def _check_location(map_location: Any) -> None:
    """Tensors lie on the CPU; a location that asks for another place is refused."""
    places = map_location.values() if isinstance(map_location, Mapping) else [map_location]
    for place in places:
        if not callable(place):
            as_device(place, "load")


def load(
    f: Any, map_location: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None,
    return_metadata: bool = False,
) -> Any:  # fmt: skip
    """What `save` was given, or the tensors of any safetensors file by name.

    float16 and bfloat16 become float32, and integers that Ranvier has not become the next wider one, without
    any loss. With `return_metadata` a pair of the tensors and the header's texts is returned.

    Args:
        f: a path, or a file that is open for reading bytes; it is read from where it stands to the end of what was saved.
        map_location: the place of the tensors, "cpu". weights_only, mmap: accepted; no file can run code, and files are
            read whole.

    Raises FileNotFoundError, and ValueError for a file that is not safetensors, is cut short or damaged.
    """
    _check_location(map_location)
    if isinstance(f, (str, bytes, os.PathLike)):
        with open(f, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            return _load(repr(os.fsdecode(f)), file, size, True, return_metadata)
    if isinstance(f, io.TextIOBase) or not hasattr(f, "read"):
        raise DTypeError(f"load: f={type(f).__name__} must be a path, or a file that is open for reading bytes ('rb')")
    there = None
    if hasattr(f, "seekable") and f.seekable():
        here = f.tell()
        there = f.seek(0, os.SEEK_END) - here
        f.seek(here)
    return _load(f"the {type(f).__name__}", f, there, False, return_metadata)


def _load(where: str, file: Any, there: int | None, alone: bool, return_metadata: bool) -> Any:
    header = _read_header(where, file, there, alone)
    metadata = dict(header.pop("__metadata__", None) or {})
    read = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        data = _read(file, end - begin)
        if len(data) < end - begin:
            raise ValueError(f"load: {where} is cut short: {name!r} takes {end - begin} bytes, {len(data)} are there")
        read[name] = from_numpy(_to_array(where, name, entry["dtype"], entry["shape"], data))
    tensors = {name: read[name] for name in header}
    tree = metadata.pop(_TREE, None)
    result: Any = tensors
    if tree is not None:
        try:
            result = _unflatten(json.loads(tree), tensors)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"load: {where} is damaged: its structure cannot be read: {error!r}") from None
    return (result, metadata) if return_metadata else result


def save_module(module: Any, path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a module's `state_dict()` to a safetensors file; see `save`."""
    save(module.state_dict(), path, metadata)


def load_module(module: Any, path: str | os.PathLike, strict: bool = True) -> Any:
    """Read a safetensors file into a module: everything is checked before anything changes; see `load`."""
    return module.load_state_dict(load(path), strict)


expose(globals(), ("load", "save"))
