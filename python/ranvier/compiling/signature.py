"""The key of a trace: shapes and dtypes of tensors, all other arguments by value."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

import numpy as np

from ..core.context import current_backend, local
from ..core.dtypes import CODE
from ..core.errors import DTypeError, TraceError
from ..core.tape import check_view
from ..core.tensor import TensorBase


def signature(name: str, args: tuple, kwargs: dict, frozen: bool, arrays: list) -> tuple:
    """The key of a call of the function `name`; the arrays that are inputs of its graph go to `arrays`."""
    parts: list = [frozen, local.grad_enabled, local.backend or current_backend()]
    for x in args:
        if isinstance(x, TensorBase) and not x._requires_grad and x._base is None:
            data = x._data
            parts.append(data.shape)
            parts.append(data.dtype)
            arrays.append(data)
        else:
            _add(name, x, parts, arrays)
    if kwargs:
        for key, x in kwargs.items():
            parts.append(key)
            _add(name, x, parts, arrays)
    return tuple(parts)


def _add(name: str, x: Any, parts: list, arrays: list) -> None:
    if isinstance(x, TensorBase):
        if local.grad_enabled:
            check_view(x)
        if x._requires_grad:
            if x._node is not None:
                raise TraceError(
                    f"{name}: an argument of shape {x.shape} was computed from tensors that require a gradient; compile "
                    "the whole computation, or pass x.detach()"
                )
            parts.append((id(x), "leaf"))
            return
        parts += (x.shape, x.dtype)
        arrays.append(x._data)
    elif isinstance(x, np.ndarray):
        if x.dtype not in CODE:
            raise DTypeError(f"{name}: dtype {x.dtype} must be one of {', '.join(d.name for d in CODE)}")
        parts += ("ndarray", x.shape, x.dtype)
        arrays.append(x)
    elif isinstance(x, (tuple, list)):
        parts += (type(x), len(x))
        for item in x:
            _add(name, item, parts, arrays)
    elif isinstance(x, dict):
        parts += (dict, tuple(x))
        for item in x.values():
            _add(name, item, parts, arrays)
    else:
        try:
            hash(x)
        except TypeError:
            raise TraceError(
                f"{name}: argument of type {type(x).__name__} must be a tensor, an array, a hashable value, or a tuple, "
                "list or dict of them"
            ) from None
        parts += (type(x), x)
        if type(x).__eq__ is not object.__eq__ and hasattr(x, "__dict__") and not is_dataclass(x):
            parts.append(id(x))  # equal to others, but not known to be the same
        if isinstance(x, (float, np.floating)) and x == 0:
            parts.append(bool(np.signbit(x)))  # -0.0 == 0.0
