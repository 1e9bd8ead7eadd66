"""Rows of a table by their numbers, and what the table gets back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import int32, int64, is_float
from ..core.errors import DTypeError, OutOfRangeError, ShapeError
from .creation import ones
from .record import Aval, Op, Sample, Spec

__all__: list[str] = []  # for nn

_ATTRS = {"num_embeddings": 1, "padding_idx": -1, "by_frequency": False}  # padding_idx -1: none


def _check(name: str, index: Aval, weight: Aval | None = None) -> None:
    if index.dtype not in (int32, int64):
        raise DTypeError(f"{name}: numbers have dtype {index.dtype}, must be int32 or int64")
    if weight is not None and len(weight.shape) != 2:
        raise ShapeError(f"{name}: weight{tuple(weight.shape)} must be (num_embeddings, embedding_dim)")


def _numbers(name: str, index: np.ndarray, rows: int) -> np.ndarray:
    bad = (index < 0) | (index >= rows)
    if bad.any():
        at = int(np.argmax(bad.reshape(-1)))
        number = int(index.reshape(-1)[at])
        raise OutOfRangeError(f"{name}: index {number} at position {at} must be in [0, {rows - 1}]")
    return index


def _infer(weight: Aval, index: Aval, **attrs: Any) -> Spec:
    _check("embedding", index, weight)
    return (*index.shape, weight.shape[1]), weight.dtype


def _vjp(g: Any, out: Any, weight: Any, index: Any, *, padding_idx: int, by_frequency: bool, **attrs: Any) -> tuple:
    attrs = {"num_embeddings": weight.shape[0], "padding_idx": padding_idx, "by_frequency": by_frequency}
    return _embedding_grad(g, index, **attrs), None


_INDEX = np.array([[4, 0, 1], [1, 4, 4]])

embedding_op: Op = Op(
    "embedding", kind="kernel", attrs={"padding_idx": -1, "by_frequency": False}, saves="i1", infer=_infer, vjp=_vjp,
    reference=lambda xp, weight, index, **attrs: weight[_numbers("embedding", index, weight.shape[0])],
    encode=lambda *avals, **attrs: {},
    samples=[
        Sample(((5, 3), _INDEX)), Sample(((5, 70), _INDEX.astype("i4")), {"padding_idx": 3}),
        Sample(((5, 3), np.array(2)), {"by_frequency": True}), Sample(((5, 3), np.zeros((0, 2), np.int64))),
    ],
    onnx="Gather",
    doc="row index[..] of weight for each number; no gradient goes to row padding_idx, and by_frequency divides a row's by "
    "how often it is asked for",
)  # fmt: skip


def _grad_infer(g: Aval, index: Aval, *, num_embeddings: int, **attrs: Any) -> Spec:
    _check("embedding_grad", index)
    if not is_float(g.dtype):
        raise DTypeError(f"embedding_grad: dtype {g.dtype} must be float32 or float64")
    if tuple(g.shape[:-1]) != tuple(index.shape) or len(g.shape) != len(index.shape) + 1:
        raise ShapeError(f"embedding_grad: g{tuple(g.shape)} must have one row for each of index{tuple(index.shape)}")
    return (num_embeddings, g.shape[-1]), g.dtype


def _shares(index: np.ndarray, rows: int, padding_idx: int, by_frequency: bool, dtype: np.dtype) -> np.ndarray:
    """The factor of each number's row in the sum."""
    shares = (index != padding_idx).astype(dtype)
    return shares / np.bincount(index.reshape(-1), minlength=rows)[index].astype(dtype) if by_frequency else shares


def _grad_reference(
    xp: Any, g: Any, index: Any, *, num_embeddings: int, padding_idx: int, by_frequency: bool
) -> np.ndarray:
    _numbers("embedding_grad", index, num_embeddings)
    out = np.zeros((num_embeddings, g.shape[-1]), g.dtype)
    np.add.at(out, index, g * _shares(index, num_embeddings, padding_idx, by_frequency, g.dtype)[..., None])
    return out


def _grad_vjp(h: Any, out: Any, g: Any, index: Any, *, num_embeddings: int, **attrs: Any) -> tuple:
    one = ones((*index.shape, 1), dtype=g.dtype)
    total = _embedding_grad(one, index, num_embeddings=num_embeddings, **attrs)
    times = _embedding_grad(one, index, num_embeddings=num_embeddings)
    return embedding_op(h * (total / times.clamp_min(1.0)), index), None


def _grad_sample(weight: tuple, index: np.ndarray, **attrs: Any) -> Sample:
    return Sample(((*index.shape, weight[1]), index), {"num_embeddings": weight[0], **attrs})


_embedding_grad: Op = Op(
    "embedding_grad", kind="kernel", attrs=_ATTRS, saves="i1", infer=_grad_infer, vjp=_grad_vjp,
    reference=_grad_reference,
    encode=lambda *avals, num_embeddings, **attrs: attrs,
    terms=lambda g, index, **attrs: math.prod(index.shape),
    flops=lambda g, index, **attrs: math.prod(g.shape),
    samples=[
        _grad_sample((5, 3), _INDEX), _grad_sample((5, 70), _INDEX.astype("i4"), padding_idx=4),
        _grad_sample((40, 600), _INDEX, by_frequency=True), _grad_sample((5, 3), np.array(2)),
        _grad_sample((5, 3), np.zeros((0, 2), np.int64), padding_idx=1, by_frequency=True),
    ],
    doc="sums of g's rows, each into the row of the result that its number names, in order of position",
)  # fmt: skip
