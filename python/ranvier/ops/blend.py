"""Linear maps along one axis whose results are sums of a few neighbours: averages of windows, interpolation, and their
gradients, which are maps of the same kind.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from ..core.dtypes import is_float
from ..core.errors import DTypeError, ShapeError
from .record import Aval, Op, Sample, Spec


class Taps:
    """y[i] = sum over t < count[i] of weights[i, t] x[start[i] + t], from an axis of n elements to one of len(start).

    Made once for each map (functions that make them are cached): an attribute of calls, which compares by identity.
    """

    def __init__(self, n: int, columns: np.ndarray, weights: np.ndarray):
        """y[i] = sum over t of weights[i, t] x[columns[i, t]]. Columns may repeat; those outside of the axis count as its
        ends; what has weight 0 is never looked at, but between others."""
        columns = np.clip(columns, 0, max(n - 1, 0))
        used = weights != 0
        low = np.where(used, columns, n).min(1, initial=n)
        high = np.where(used, columns, -1).max(1, initial=-1)
        self.n = n
        self.start = np.where(high < 0, 0, low).astype(np.int64)
        self.count = np.maximum(high - self.start + 1, 0).astype(np.int64)
        self.weights = np.zeros((len(columns), max(int(self.count.max(initial=0)), 1)))
        rows = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
        np.add.at(self.weights, (rows[used], (columns - self.start[:, None])[used]), weights[used])

    @cached_property
    def transposed(self) -> Taps:
        """The map back: x[j] = sum over i of y[i] times the weight of x[j] in it."""
        m, t = self.weights.shape
        columns = self.start[:, None] + np.arange(t)
        rows = np.broadcast_to(np.arange(m)[:, None], columns.shape)
        used = self.weights != 0
        order = np.lexsort((rows[used], columns[used]))
        j, i, w = columns[used][order], rows[used][order], self.weights[used][order]
        counts = np.bincount(j, minlength=self.n)
        place = np.arange(len(j)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (self.n, max(int(counts.max(initial=0)), 1))
        seen, weights = np.zeros(shape, np.int64), np.zeros(shape)
        seen[j, place], weights[j, place] = i, w
        back = Taps(m, seen, weights)
        back.__dict__["transposed"] = self
        return back

    def __repr__(self) -> str:
        return f"Taps({self.n} -> {len(self.start)}, {self.weights.shape[1]} each)"


def _infer(x: Aval, *, dim: int, taps: Taps) -> Spec:
    if not is_float(x.dtype):
        raise DTypeError(f"blend: dtype {x.dtype} must be float32 or float64")
    if x.shape[dim] != taps.n:
        raise ShapeError(f"blend: axis {dim} of {x.shape} must have {taps.n} elements")
    return (*x.shape[:dim], len(taps.start), *x.shape[dim + 1 :]), x.dtype


def _reference(xp: Any, x: Any, *, dim: int, taps: Taps) -> Any:
    x = xp.moveaxis(x, dim, -1)
    y = xp.zeros((*x.shape[:-1], len(taps.start)), dtype=x.dtype)
    for t in range(taps.weights.shape[1] if taps.n else 0):
        at = xp.asarray(np.minimum(taps.start + t, taps.n - 1))
        y = y + xp.where(xp.asarray(t < taps.count), xp.asarray(taps.weights[:, t].astype(x.dtype)) * x[..., at], 0)
    return xp.moveaxis(y, -1, dim)


def _encode(x: Aval, *, dim: int, taps: Taps) -> dict[str, Any]:
    lists = {"start": taps.start, "count": taps.count, "weights": taps.weights.ravel()}
    return {"dim": dim, "width": taps.weights.shape[1], **{key: tuple(a.tolist()) for key, a in lists.items()}}


_IDENTITY = Taps(1, np.zeros((1, 1), int), np.ones((1, 1)))
_PAIRS = Taps(8, np.arange(8).reshape(4, 2), np.full((4, 2), 0.5))
_WIDER = Taps(70, np.arange(233)[:, None] * 69 // 232 + np.arange(2), np.array([0.3, 0.7]) * np.ones((233, 1)))
_WINDOWS = Taps(161, np.arange(23)[:, None] * 7 + np.arange(9), np.full((23, 9), 1 / 9))
_ENDS = Taps(7, np.arange(-2, 9)[:, None] + np.arange(4), np.array([0.1, 0.4, 0.6, -0.1]) * np.ones((11, 1)))

blend: Op = Op(
    "blend",
    kind="kernel",
    attrs={"dim": 0, "taps": _IDENTITY},
    infer=_infer,
    reference=_reference,
    vjp=lambda g, out, x, *, dim, taps: (blend(g, dim=dim, taps=taps.transposed),),
    saves="",
    encode=_encode,
    macs=lambda x, *, dim, taps: math.prod(x.shape) // max(x.shape[dim], 1) * taps.weights.size,
    terms=lambda x, *, dim, taps: taps.weights.shape[1],
    samples=(
        Sample(((1,),)),
        Sample(((8, 5),), {"taps": _PAIRS}),
        Sample(((3, 8),), {"dim": 1, "taps": _PAIRS}),
        Sample(((3, 7, 40),), {"dim": 1, "taps": _ENDS}),
        Sample(((2, 7),), {"dim": 1, "taps": _ENDS}),
        Sample(((50, 40, 8, 3),), {"dim": 2, "taps": _PAIRS}),
        Sample(((0, 8),), {"dim": 1, "taps": _PAIRS}),
        Sample(((3, 70),), {"dim": 1, "taps": _WIDER}),
        Sample(((2, 233),), {"dim": 1, "taps": _WIDER.transposed}),
        Sample(((2, 161),), {"dim": 1, "taps": _WINDOWS}),
        Sample(((161, 5),), {"dim": 0, "taps": _WINDOWS}),
        Sample(((2, 23),), {"dim": 1, "taps": _WINDOWS.transposed}),
        Sample(((3, 4),), {"dim": 1, "taps": _PAIRS.transposed}),
    ),
    doc="sums of a few neighbours along one axis",
)
