"""x[...] and x[...] = v with NumPy's and PyTorch's rules.

Basic indices (integers, slices, None, ...) are views. Arrays and masks gather; together with basic ones the basic part
is taken first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import local
from ..core.errors import DTypeError, OutOfRangeError, ShapeError
from ..core.tape import stale
from ..core.tensor import TensorBase, as_tensor
from ..core.traced import is_traced
from . import shape as _shape
from .index import index_get, index_put
from .shape import slice_op, slice_put_op


def _plan(x: Any, index: Any) -> tuple:
    """Split an index: its basic part (see shape.Index), the shape that this gives, and the arrays with the axes (of that
    shape) that they index.
    """

    def _from_list(positions: Any) -> np.ndarray:
        try:
            return np.asarray(positions) if len(positions) else np.zeros(0, np.int64)
        except ValueError:
            raise ShapeError(f"index: the lists in {positions!r:.60} must have equal lengths") from None

    items = list(index) if isinstance(index, tuple) else [index]
    for i, item in enumerate(items):
        if isinstance(item, (list, range)):
            items[i] = _from_list(item)
        elif isinstance(item, (np.integer, np.bool_)):
            items[i] = item.item()
        elif isinstance(item, (TensorBase, np.ndarray)) and item.shape == ():
            if item.dtype == np.bool_:
                items[i] = bool(item)
            elif item.dtype.kind in "iu" and not (isinstance(item, TensorBase) and is_traced(item._data)):
                items[i] = int(np.asarray(item))

    def axes_used(item: Any) -> int:
        if item is None or item is Ellipsis or isinstance(item, bool):
            return 0
        if isinstance(item, (TensorBase, np.ndarray)) and item.dtype == np.bool_:
            return len(item.shape)
        return 1

    ellipses = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise ShapeError("index: only one ellipsis (...) is allowed")
    used = sum(map(axes_used, items))
    if used > x.ndim:
        raise OutOfRangeError(f"index: {used} indices are too many for a tensor of shape {x.shape}")
    at = ellipses[0] if ellipses else len(items)
    items[at : at + 1] = [slice(None)] * (x.ndim - used)

    basic: list[Any] = []
    sizes: list[int] = []
    arrays: list[tuple[int, Any]] = []
    axis = 0
    for item in items:
        if item is None:
            basic.append(None)
            sizes.append(1)
            continue
        if isinstance(item, bool):  # a mask of no axes: a new axis, of which it takes the one place or none
            arrays.append((len(sizes), np.zeros(int(item), np.int64)))
            basic.append(None)
            sizes.append(1)
            continue
        n = x.shape[axis] if axis < x.ndim else 0
        if isinstance(item, slice):
            start, stop, step = item.indices(n)
            length = len(range(start, stop, step))
            basic.append((start if length else 0, length, step))
            sizes.append(length)
            axis += 1
        elif isinstance(item, (TensorBase, np.ndarray)):
            if item.dtype == np.bool_:
                mask = item._array("indexing with a mask") if isinstance(item, TensorBase) else item
                if mask.shape != x.shape[axis : axis + mask.ndim]:
                    raise ShapeError(f"index: mask of shape {mask.shape} must match axes {axis}.. of {x.shape}")
                for one in mask.nonzero():
                    arrays.append((len(sizes), one))
                    basic.append((0, x.shape[axis], 1))
                    sizes.append(x.shape[axis])
                    axis += 1
                continue
            if item.dtype.kind not in "iu":
                raise DTypeError(f"index: an array of dtype {item.dtype} must hold integers or bools")
            if item.dtype == np.uint8:
                raise DTypeError("index: uint8 arrays are ambiguous (mask or positions?); cast to bool or int64")
            arrays.append((len(sizes), item))
            basic.append((0, n, 1))
            sizes.append(n)
            axis += 1
        else:
            try:
                position = item.__index__()
            except AttributeError:
                raise DTypeError(
                    f"index: {item!r:.40} of type {type(item).__name__} must be an integer, a slice, None, ..., "
                    "an integer array or a mask"
                ) from None
            if not -n <= position < n:
                raise OutOfRangeError(f"index: {position} must be in [{-n}, {n - 1}] for axis {axis} of {x.shape}")
            basic.append(position % n)
            axis += 1
    return tuple(basic), tuple(sizes), arrays


def _taken(x: Any, basic: tuple) -> Any:
    """The basic part of an index; x itself where that is all of it."""
    return x if basic == tuple([(0, n, 1) for n in x.shape]) else slice_op(x, index=basic)


def _wrap_indices(arrays: list) -> tuple[tuple[int, ...], list]:
    return tuple(axis for axis, _ in arrays), [as_tensor(a, dtype="int64") for _, a in arrays]


def get_item(x: Any, index: Any) -> Any:
    """x[index]"""
    basic, _, arrays = _plan(x, index)
    if not arrays:
        return slice_op(x, index=basic)
    axes, indices = _wrap_indices(arrays)
    return index_get(_taken(x, basic), *indices, axes=axes)


def _shown(x: Any, slices: tuple, value: Any) -> bool:
    """Whether `value` is what x shows there, with its history: `x[0] += 1` changes the view x[0] and then assigns it."""
    base = x if x._base is None else x._base
    if value._base is not base or local.tracer is not None or stale(value) or stale(x):
        return False
    if value._node is None or base._node is None:
        return False
    part = x._data[_shape.as_slices(slices)]
    return _places(part) == _places(value._data)


def _places(a: np.ndarray) -> tuple[int, list]:
    return a.__array_interface__["data"][0], [pair for pair in zip(a.shape, a.strides) if pair[0] != 1]


_BASIC = (int, slice, type(None), type(Ellipsis))


def _written(x: Any, index: Any, number: int | float) -> bool:
    """Whether NumPy could write the number at once: into floats, at a basic index, where nothing is recorded or traced."""
    data = x._data
    items = index if index.__class__ is tuple else (index,)
    if local.eager is None or data.dtype.kind != "f" or x._requires_grad and local.grad_enabled or stale(x):
        return False
    if not all([i.__class__ in _BASIC for i in items]):
        return False
    try:
        data[index] = number
    except (IndexError, ValueError, TypeError, OverflowError):
        return False
    x._changed()
    return True


def set_item(x: Any, index: Any, value: Any) -> None:
    """x[index] = value"""
    if value.__class__ in (int, float) and _written(x, index, value):
        return
    basic, sizes, arrays = _plan(x, index)
    slices = _shape.spans(basic)
    value = as_tensor(value) if not isinstance(value, (int, float)) else as_tensor(value, dtype=x.dtype)
    if value.dtype != x.dtype:
        value = value.to(x.dtype)
    if not arrays:
        if value._requires_grad and value._base is not None and _shown(x, slices, value):
            return
        lengths = tuple(length for _, length, _ in slices)
        target = sizes
        if value.shape != target:
            while value.ndim > len(target) and value.shape[0] == 1:
                value = value.reshape(value.shape[1:])
            value = _shape.expand(value, target)
        value = _shape.reshape(value, lengths)
        tracing = local.tracer is not None
        if not tracing and not value._requires_grad and not (x._requires_grad and local.grad_enabled):
            np.copyto(x._data[_shape.as_slices(slices)], value._data)  # no copy of the rest
            x._changed()
            return
        x._assign(slice_put_op(x, value, index=slices))
        return
    base = _taken(x, basic)
    axes, indices = _wrap_indices(arrays)
    changed = index_put(base, value, *indices, axes=axes)
    if base is x:
        x._assign(changed)
    else:
        lengths = tuple(length for _, length, _ in slices)
        x._assign(slice_put_op(x, _shape.reshape(changed, lengths), index=slices))
