"""Ways to tell a model of sequences where in the sequence it is: added to the input, turned into it, or added to scores.

All take `position`, the place of the first element: a number, or an int64 tensor of no axes, so that one compiled step
serves every place (see `nn.KeyValueCache`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..core.dtypes import is_float
from ..core.errors import DTypeError, OutOfRangeError, ShapeError
from ..core.tensor import TensorBase, from_numpy
from ..ops.embedding import embedding_op
from . import init
from ._new import new_parameter
from .module import Module

__all__ = ["ALiBi", "Learned", "Rotary", "Sinusoidal"]


def _places(length: int, position: Any) -> Any:
    """The positions of `length` elements from `position` on."""
    places = from_numpy(np.arange(length))
    return ops.add(places, position)


def _rows(name: str, table: Any, length: int, position: Any) -> Any:
    """Rows `position` to `position + length` of a table of one row a position."""
    if isinstance(position, TensorBase):
        return embedding_op(table, _places(length, position))
    if not 0 <= position <= table.shape[0] - length:
        raise OutOfRangeError(
            f"{name}: positions {position} to {position + length - 1} must be below max_length={table.shape[0]}"
        )
    return table[position : position + length]


def _waves(max_length: int, width: int, base: float) -> np.ndarray:
    """Angles position / base^(2 i / width), (max_length, width / 2), float64."""
    return np.arange(max_length)[:, None] / base ** (np.arange(0, width, 2) / width)


def _check_width(name: str, width: int) -> None:
    if width < 2 or width % 2:
        raise ShapeError(f"{name}: width={width} must be even: pairs of a sine and a cosine")


class _Added(Module):
    """x (..., T, width) plus the rows of a table of positions."""

    def _table(self) -> Any:
        raise NotImplementedError

    def forward(self, input: Any, position: Any = 0) -> Any:
        table, name = self._table(), type(self).__name__
        if len(input.shape) < 2 or input.shape[-1] != table.shape[1]:
            raise ShapeError(f"{name}: x{tuple(input.shape)} must be (..., T, {table.shape[1]})")
        return ops.add(input, _rows(name, table, input.shape[-2], position).to(input.dtype))

    def extra_repr(self) -> str:
        return ", ".join(map(str, self._table().shape))


class Sinusoidal(_Added):
    """x + P, P[t, 2i] = sin(t / 10000^(2i / width)), P[t, 2i + 1] the cosine: (..., T, width). Vaswani et al., 2017.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.positions.Sinusoidal(100, 4)(rv.zeros(1, 2, 4))[0, 0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, max_length: int, width: int, base: float = 10000.0):
        _check_width("Sinusoidal", width)
        angles = _waves(max_length, width, base)
        table = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(max_length, width)
        self.register_buffer("table", from_numpy(table.astype(np.float32)), persistent=False)

    def _table(self) -> Any:
        return self.table


class Learned(_Added):
    """x + weight[:T], a trained row for each position, normal numbers of deviation 0.02 at first: (..., T, width).

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.positions.Learned(100, 4)(rv.zeros(1, 2, 4), position=7).shape
    (1, 2, 4)
    """

    def __init__(self, max_length: int, width: int, device: Any = None, dtype: Any = None):
        self.weight = new_parameter("Learned", (max_length, width), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight, std=0.02)

    def _table(self) -> Any:
        return self.weight


class Rotary(Module):
    """Queries or keys, pairs of their features turned by an angle that grows with the position: (..., T, width). Products of
    a query and a key then depend on their distance alone. Su et al., 2021.

    Feature i < width / 2 makes a pair with feature i + width / 2, or with its neighbour where `interleaved`; the angle at
    position t is t / base^(2i / width).

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> turn, q, k = nn.positions.Rotary(100, 8), rv.randn(1, 8), rv.randn(1, 8)
    >>> near, far = ((turn(q, t) * turn(k, t + 3)).sum() for t in (0, 50))
    >>> abs((near - far).item()) < 1e-4
    True
    """

    def __init__(self, max_length: int, width: int, base: float = 10000.0, interleaved: bool = False):
        _check_width("Rotary", width)
        self.width, self.interleaved = width, interleaved
        angles = _waves(max_length, width, base)
        for key, table in (("cos", np.cos(angles)), ("sin", np.sin(angles))):
            self.register_buffer(key, from_numpy(table.astype(np.float32)), persistent=False)

    def forward(self, input: Any, position: Any = 0) -> Any:
        if len(input.shape) < 2 or input.shape[-1] != self.width:
            raise ShapeError(f"Rotary: x{tuple(input.shape)} must be (..., T, {self.width})")
        cos, sin = (_rows("Rotary", t, input.shape[-2], position).to(input.dtype) for t in (self.cos, self.sin))
        half = self.width // 2
        if self.interleaved:
            first, second = input[..., 0::2], input[..., 1::2]
        else:
            first, second = input[..., :half], input[..., half:]
        turned = (first * cos - second * sin, second * cos + first * sin)
        return ops.stack(turned, -1).reshape(input.shape) if self.interleaved else ops.cat(turned, -1)

    def extra_repr(self) -> str:
        return f"{self.cos.shape[0]}, {self.width}" + (", interleaved=True" if self.interleaved else "")


class ALiBi(Module):
    """What to add to scores: -slope * distance, a slope for each head: `layer(queries, keys, position)` gives
    (heads, queries, keys), a mask for attention; position is that of the first query. Press et al., 2022.

    The slopes are 2^(-8 k / heads), k = 1 to heads; where heads is no power of two, those of the next lower one, and every
    other one of the next higher.

    >>> from ranvier import nn
    >>> nn.positions.ALiBi(8)(2, 2)[0].tolist()
    [[-0.0, -0.5], [-0.5, -0.0]]
    """

    def __init__(self, heads: int, dtype: Any = None):
        if heads < 1:
            raise ShapeError(f"ALiBi: heads={heads} must be positive")
        lower = 2 ** int(math.log2(heads))
        slopes = [2.0 ** (-8 * k / lower) for k in range(1, lower + 1)]
        slopes += [2.0 ** (-4 * k / lower) for k in range(1, 2 * (heads - lower), 2)]
        dtype = np.dtype(np.float32) if dtype is None else np.dtype(dtype)
        if not is_float(dtype):
            raise DTypeError(f"ALiBi: dtype={dtype} must be float32 or float64")
        self.register_buffer("slopes", from_numpy(np.array(slopes, dtype)), persistent=False)

    def forward(self, queries: int, keys: int, position: Any = 0) -> Any:
        distance = ops.abs(_places(queries, position)[:, None] - from_numpy(np.arange(keys))).to(self.slopes.dtype)
        return -self.slopes[:, None, None] * distance

    def extra_repr(self) -> str:
        return str(len(self.slopes))
