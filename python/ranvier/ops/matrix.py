"""Diagonals, products of special form, windows and other arrangements, made of other ops."""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.dtypes import bool_
from ..core.errors import DomainError, OutOfRangeError, ShapeError
from .creation import make
from .elementwise import add, as_arrays, div, mul, ne, sqrt, sub
from .index import index_get
from .join import cat, pad, repeat_interleave, roll, stack, tile, vstack
from .matmul import matmul, outer
from .public import Array
from .record import broadcast_shapes as _broadcast
from .record import normalize_axis, own_axis
from .reduction import norm, sum
from .shape import (
    apart,
    beside,
    diagonal,
    expand,
    flip,
    movedim,
    narrow,
    on_diagonal,
    reshape,
    tensor_split,
    transpose,
    unsqueeze,
)

if TYPE_CHECKING:
    from ..tensor import Tensor


__all__ = [
    "addr", "atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_shapes", "broadcast_tensors",
    "cartesian_prod", "cdist", "column_stack", "combinations", "corrcoef", "cov", "cross", "diag", "diag_embed",
    "diagflat", "diff", "dist", "dsplit", "dstack", "expand_dims", "fliplr", "flipud", "ger", "hsplit", "kron",
    "meshgrid", "moveaxis", "row_stack", "swapdims", "trace", "trapezoid", "trapz", "tril_indices", "triu_indices",
    "unfold", "vsplit",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py


# ---------------------------------------------------------------- diagonals


def diag_embed(input: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """Matrices over the axes (dim1, dim2) with the last axis of `input` on a diagonal, 0 elsewhere.

    >>> import ranvier as rv
    >>> rv.diag_embed(rv.tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    if not input.shape:
        raise ShapeError("diag_embed: a 0-d input has no axis")
    first, second = (normalize_axis("diag_embed", d, input.ndim + 1) for d in (dim1, dim2))
    if first == second:
        raise ShapeError(f"diag_embed: dim1={dim1} and dim2={dim2} are the same axis")
    size = input.shape[-1] + (offset if offset > 0 else -offset)
    return on_diagonal(input, size, size, offset, first, second)


def diag(input: Array, diagonal: int = 0) -> Array:
    """Of a vector the matrix with it on the given diagonal; of a matrix that diagonal.

    >>> import ranvier as rv
    >>> rv.diag(rv.tensor([[1, 2], [3, 4]])).tolist()
    [1, 4]
    """
    if input.ndim not in (1, 2):
        raise ShapeError(f"diag: shape {tuple(input.shape)} must have 1 or 2 axes; see diagonal and diag_embed")
    return diag_embed(input, diagonal) if input.ndim == 1 else apart(_diagonal_of(input, diagonal), input)


_diagonal_of = diagonal  # whose name is that of a parameter


def diagflat(input: Array, offset: int = 0) -> Array:
    """The matrix with all elements of `input`, in order, on a diagonal."""
    return diag_embed(reshape(input, (-1,)), offset)


def trace(input: Array) -> Array:
    """The sum of a matrix's diagonal.

    >>> import ranvier as rv
    >>> rv.trace(rv.eye(3)).item()
    3.0
    """
    if input.ndim != 2:
        raise ShapeError(f"trace: shape {tuple(input.shape)} must be that of a matrix")
    return sum(diagonal(input))


def block_diag(*tensors: Array) -> Array:
    """The matrices one after the other along the diagonal, 0 elsewhere; vectors are rows, numbers 1 x 1."""
    blocks = [atleast_2d(t) for t in tensors]
    if any(b.ndim != 2 for b in blocks):
        raise ShapeError(f"block_diag: shapes {[tuple(t.shape) for t in tensors]} must have at most 2 axes")
    width, before, rows = builtins.sum(b.shape[1] for b in blocks), 0, []
    for b in blocks:
        rows.append(pad(b, (before, width - before - b.shape[1])))
        before += b.shape[1]
    return cat(rows, 0)


def _triangle(row: int, col: int, offset: int, positions: Any) -> Any:
    return make(np.stack(positions(row, offset, col)).astype(np.int64))


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Rows and columns, (2, count), of the elements on and below a diagonal of a (row, col) matrix."""
    return _triangle(row, col, offset, np.tril_indices)


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Rows and columns, (2, count), of the elements on and above a diagonal of a (row, col) matrix."""
    return _triangle(row, col, offset, np.triu_indices)


# ---------------------------------------------------------------- products


def addr(input: Array, vec1: Array, vec2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * outer(vec1, vec2)"""
    product = outer(vec1, vec2)
    return add(input if beta == 1 else mul(input, beta), product if alpha == 1 else mul(product, alpha))


def kron(input: Array, other: Array) -> Array:
    """Kronecker's product: each element of `input` times all of `other`, side by side.

    >>> import ranvier as rv
    >>> rv.kron(rv.eye(2), rv.ones(1, 2)).tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    ndim = max(input.ndim, other.ndim)
    a, b = ((1,) * (ndim - x.ndim) + tuple(x.shape) for x in (input, other))
    if ndim > 4:  # more axes below than kernels take
        wide = reshape(input, a)
        for d, size in enumerate(b):
            wide = repeat_interleave(wide, size, d)
        return mul(wide, tile(other, a))
    outer_shape = tuple(n for size in a for n in (size, 1))
    inner_shape = tuple(n for size in b for n in (1, size))
    return reshape(mul(reshape(input, outer_shape), reshape(other, inner_shape)), tuple(n * m for n, m in zip(a, b)))


def cross(input: Array, other: Array, dim: int | None = None) -> Array:
    """The cross product of vectors of 3 along `dim` (None: the first axis of size 3).

    >>> import ranvier as rv
    >>> rv.cross(rv.tensor([1.0, 0.0, 0.0]), rv.tensor([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    input, other = as_arrays(input, other)
    shape = _broadcast("cross", tuple(input.shape), tuple(other.shape))
    d = next((d for d, n in enumerate(shape) if n == 3), 0) if dim is None else normalize_axis("cross", dim, len(shape))
    if not shape or shape[d] != 3:
        raise ShapeError(f"cross: axis {d} of {shape} must have size 3")
    a, b = expand(input, shape), expand(other, shape)
    return sub(mul(roll(a, -1, d), roll(b, -2, d)), mul(roll(a, -2, d), roll(b, -1, d)))


# ---------------------------------------------------------------- distances, covariance


def dist(input: Array, other: Array, p: float = 2) -> Array:
    """The p-norm of input - other, a number."""
    return norm(sub(input, other), p)


def cdist(x1: Array, x2: Array, p: float = 2.0) -> Array:
    """The p-norm of the difference of each row of x1 (.., P, M) and each row of x2 (.., R, M): (.., P, R).

    >>> import ranvier as rv
    >>> rv.cdist(rv.tensor([[0.0, 0.0]]), rv.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[5.0, 1.0]]
    """
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"cdist: x1{tuple(x1.shape)} and x2{tuple(x2.shape)} must be (.., P, M) and (.., R, M)")
    return norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)


def cov(input: Array, *, correction: float = 1) -> Array:
    """The covariance matrix of variables (rows), observed together (columns): sum d_i d_j / (n - correction); of one
    variable a number.
    """
    if input.ndim > 2:
        raise ShapeError(
            f"cov: input{tuple(input.shape)} must be (variables, observations), or the observations of one"
        )
    (input,) = as_arrays(input, floats=True)
    x = reshape(input, (-1, input.shape[-1] if input.ndim else 1))
    x = sub(x, mul(sum(x, 1, keepdim=True), 1 / x.shape[1]))
    left = max(0.0, x.shape[1] - correction)
    out = mul(matmul(x, x.T), 1 / left if left else math.inf)
    return reshape(out, ()) if out.shape == (1, 1) else out


def corrcoef(input: Array) -> Array:
    """Pearson's correlations of variables (rows), observed together (columns)."""
    c = cov(input)
    if not c.ndim:
        return div(c, c)
    deviation = sqrt(diagonal(c))
    return div(div(c, unsqueeze(deviation, 0)), unsqueeze(deviation, 1))


# ---------------------------------------------------------------- arrangements


def unfold(input: Array, dimension: int, size: int, step: int) -> Array:
    """Windows of `size` along an axis, one every `step`, as a new last axis.

    >>> import ranvier as rv
    >>> rv.unfold(rv.arange(5), 0, 3, 2).tolist()
    [[0, 1, 2], [2, 3, 4]]
    """
    d = normalize_axis("unfold", dimension, input.ndim)
    n = input.shape[d] if input.shape else 1
    if not 0 <= size <= n or step < 1:
        raise OutOfRangeError(
            f"unfold: size={size} must be in [0, {n}], the size of axis {d}, and step={step} at least 1"
        )
    positions = np.arange(0, n - size + 1, step, dtype=np.int64)[:, None] + np.arange(size)
    flat = input if input.shape else reshape(input, (1,))
    out = movedim(index_get(flat, beside(positions, input), axes=(d,)), d + 1, -1)
    return out if input.shape else reshape(out, (size,))


def diff(input: Array, n: int = 1, dim: int = -1) -> Array:
    """The differences of neighbours along `dim`, taken n times; of bools: whether they differ.

    >>> import ranvier as rv
    >>> rv.diff(rv.tensor([1, 4, 9])).tolist()
    [3, 5]
    """
    d = own_axis("diff", dim, input.ndim)
    if n < 0:
        raise OutOfRangeError(f"diff: n={n} must be >= 0")
    out = input
    for _ in range(builtins.min(n, input.shape[d])):  # then nothing is left
        rest = max(0, out.shape[d] - 1)
        minus = ne if input.dtype == bool_ else sub
        out = minus(narrow(out, d, out.shape[d] - rest, rest), narrow(out, d, 0, rest))
    return apart(out, input)


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which arrays of these shapes broadcast.

    >>> import ranvier as rv
    >>> rv.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    return _broadcast("broadcast_shapes", *((s,) if isinstance(s, int) else tuple(s) for s in shapes))


def broadcast_tensors(*tensors: Array) -> tuple[Array, ...]:
    """Views of the tensors with their common shape."""
    shape = _broadcast("broadcast_tensors", *(tuple(t.shape) for t in tensors))
    return tuple(expand(t, shape) for t in tensors)


def meshgrid(*tensors: Array, indexing: str = "ij") -> tuple[Array, ...]:
    """Coordinates of a grid, as views: tensor k varies along axis k ("ij"; "xy" exchanges the first two).

    >>> import ranvier as rv
    >>> rows, columns = rv.meshgrid(rv.arange(2), rv.arange(3))
    >>> rows.tolist(), columns.tolist()
    ([[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise DomainError(f"meshgrid: indexing={indexing!r} must be 'ij' or 'xy'")
    if any(t.ndim > 1 for t in tensors):
        raise ShapeError(f"meshgrid: shapes {[tuple(t.shape) for t in tensors]} must have at most 1 axis")
    count = len(tensors)
    places = [1, 0, *range(2, count)] if indexing == "xy" and count > 1 else range(count)
    sizes = {k: math.prod(t.shape) for k, t in zip(places, tensors)}
    shape = tuple(sizes[k] for k in range(count))
    return tuple(
        expand(reshape(t, tuple(n if d == k else 1 for d, n in enumerate(shape))), shape)
        for k, t in zip(places, tensors)
    )


def atleast_1d(input: Array) -> Array:
    """`input`; a number as a vector of one."""
    return input if input.ndim else reshape(input, (1,))


def atleast_2d(input: Array) -> Array:
    """`input`; a vector as a row, a number as (1, 1)."""
    return input if input.ndim >= 2 else reshape(input, (1, -1))


def atleast_3d(input: Array) -> Array:
    """`input`; a matrix with a last axis of 1, a vector as (1, n, 1)."""
    return input if input.ndim >= 3 else unsqueeze(atleast_2d(input), -1)


def column_stack(tensors: Sequence[Array]) -> Array:
    """cat along axis 1, after vectors have become columns."""
    return cat([t if t.ndim > 1 else reshape(t, (-1, 1)) for t in tensors], 1)


def dstack(tensors: Sequence[Array]) -> Array:
    """cat along axis 2, after all have got three axes."""
    return cat([atleast_3d(t) for t in tensors], 2)


def hsplit(input: Array, sections: Any) -> tuple[Array, ...]:
    """tensor_split along axis 1 (vectors: axis 0)."""
    return tensor_split(input, sections, 0 if input.ndim == 1 else 1)


def vsplit(input: Array, sections: Any) -> tuple[Array, ...]:
    """tensor_split along axis 0."""
    return tensor_split(input, sections, 0)


def dsplit(input: Array, sections: Any) -> tuple[Array, ...]:
    """tensor_split along axis 2."""
    if input.ndim < 3:
        raise ShapeError(f"dsplit: shape {tuple(input.shape)} must have at least 3 axes")
    return tensor_split(input, sections, 2)


def cartesian_prod(*tensors: Array) -> Array:
    """All combinations of one element of each vector, as rows; of one vector itself.

    >>> import ranvier as rv
    >>> rv.cartesian_prod(rv.arange(2), rv.arange(2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    if not tensors or builtins.any(t.ndim != 1 for t in tensors):
        raise ShapeError(f"cartesian_prod: shapes {[tuple(t.shape) for t in tensors]} must be those of vectors")
    columns = [reshape(grid, (-1,)) for grid in meshgrid(*tensors)]
    return columns[0] if len(columns) == 1 else stack(columns, 1)


def combinations(input: Array, r: int = 2, with_replacement: bool = False) -> Array:
    """The selections of r elements of a vector, in its order, as rows; with_replacement: one element may be taken again.

    >>> import ranvier as rv
    >>> rv.combinations(rv.tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    if input.ndim != 1 or r < 0:
        raise ShapeError(f"combinations: shape {tuple(input.shape)} must be that of a vector, and r={r} at least 0")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r) if r else np.zeros((0,), np.int64)
    return index_get(input, beside(rows, input), axes=(0,))


def trapezoid(y: Array, x: Array | None = None, *, dx: float = 1, dim: int = -1) -> Array:
    """The integral of y along `dim` by the trapezoidal rule, at the places x or `dx` apart.

    >>> import ranvier as rv
    >>> rv.trapezoid(rv.tensor([1.0, 2.0, 3.0])).item()
    4.0
    """
    d = own_axis("trapezoid", dim, y.ndim)
    (y,) = as_arrays(y, floats=True)
    n = builtins.max(y.shape[d] - 1, 0)
    middles = mul(add(narrow(y, d, y.shape[d] - n, n), narrow(y, d, 0, n)), 0.5)
    if x is None:
        return mul(sum(middles, d), dx)
    if x.ndim == 1 and x.shape[0] == y.shape[d]:
        x = reshape(x, (-1,) + (1,) * (y.ndim - 1 - d))
    elif tuple(x.shape) != tuple(y.shape):
        raise ShapeError(
            f"trapezoid: x{tuple(x.shape)} must be as long as axis {d} of y{tuple(y.shape)}, or of its shape"
        )
    return sum(mul(middles, diff(x, dim=d - y.ndim)), d)


def fliplr(input: Array) -> Array:
    """flip along axis 1."""
    if input.ndim < 2:
        raise ShapeError(f"fliplr: shape {tuple(input.shape)} must have at least 2 axes")
    return flip(input, 1)


def flipud(input: Array) -> Array:
    """flip along axis 0."""
    if not input.ndim:
        raise ShapeError("flipud: a 0-d input has no axis")
    return flip(input, 0)


expand_dims, ger, moveaxis, row_stack, swapdims, trapz = unsqueeze, outer, movedim, vstack, transpose, trapezoid
