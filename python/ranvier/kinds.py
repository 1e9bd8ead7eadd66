"""PyTorch's constructors by dtype: `FloatTensor(data)`, `LongTensor(2, 3)`, isinstance(x, FloatTensor)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .core.dtypes import bool_, float32, float64, int32, int64, uint8
from .core.tensor import from_numpy
from .tensor import Tensor, data_or_size

__all__ = ["BoolTensor", "ByteTensor", "DoubleTensor", "FloatTensor", "IntTensor", "LongTensor"]


class _Kind(type):
    """The type of a constructor: its instances are the tensors of its dtype."""

    dtype: np.dtype

    def __call__(cls, *data: Any) -> Tensor:
        return from_numpy(data_or_size(cls.__name__, data, cls.dtype))

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor) and x.dtype == cls.dtype


class FloatTensor(metaclass=_Kind):
    """A tensor of float32: of data, `FloatTensor([1, 2])`, or unset and of that size, `FloatTensor(2, 3)`.

    >>> import ranvier as rv
    >>> rv.FloatTensor([1, 2])
    tensor([1., 2.])
    >>> isinstance(rv.zeros(1), rv.FloatTensor)
    True
    """

    dtype = float32


class DoubleTensor(metaclass=_Kind):
    """A tensor of float64; see FloatTensor."""

    dtype = float64


class IntTensor(metaclass=_Kind):
    """A tensor of int32; see FloatTensor."""

    dtype = int32


class LongTensor(metaclass=_Kind):
    """A tensor of int64; see FloatTensor."""

    dtype = int64


class ByteTensor(metaclass=_Kind):
    """A tensor of uint8; see FloatTensor."""

    dtype = uint8


class BoolTensor(metaclass=_Kind):
    """A tensor of bool; see FloatTensor."""

    dtype = bool_
