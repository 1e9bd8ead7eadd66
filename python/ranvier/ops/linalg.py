"""Linear algebra: what NumPy's LAPACK computes, with gradients. Outside of compiled functions.

The last two axes are the matrices; all others are a batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.dtypes import int64, is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from .elementwise import abs as abs_
from .elementwise import as_arrays, mul, square, where
from .join import tril
from .matmul import matmul
from .matrix import cross as _cross
from .matrix import diag_embed
from .public import Array
from .record import Aval, Op, Sample, Spec, broadcast_shapes, normalize_axes
from .reduction import amax, amin, count_nonzero
from .reduction import norm as _norm
from .reduction import sum as sum_
from .shape import apart, beside, diagonal, movedim, reshape, squeeze, transpose, unsqueeze

__all__ = ["cholesky", "det", "inverse", "logdet", "matrix_power", "pinverse", "slogdet"]


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Any
    logabsdet: Any


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """A = U diag(S) Vh."""

    U: Any
    S: Any
    Vh: Any


class QRResult(NamedTuple):
    """A = Q R."""

    Q: Any
    R: Any


class LstsqResult(NamedTuple):
    """What minimises |A X - B|, the sums of squares that are left, the rank and the singular values of A."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


def _matrix(name: str, x: Aval, square: bool = False) -> None:
    if len(x.shape) < 2 or square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: shape {tuple(x.shape)} must end with {'two equal sizes' if square else 'two axes'}")
    if not is_float(x.dtype):
        raise DTypeError(f"{name}: dtype {x.dtype} must be float32 or float64")


def _lapack(name: str, compute: Callable, why: str) -> Callable:
    """`compute`, whose failure is a DomainError that says `why`."""

    def reference(xp: Any, *arrays: Any, **attrs: Any) -> Any:
        try:
            return compute(*arrays, **attrs)
        except np.linalg.LinAlgError:
            raise DomainError(f"{name}: {why}") from None

    return reference


def _mt(x: Any) -> Any:
    return transpose(x, -2, -1)


def _symmetric(x: Any) -> Any:
    return (x + _mt(x)) * 0.5


_WELL = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.5], [0.5, -0.5, 2.0]])  # positive definite

# ---------------------------------------------------------------- inverses and determinants


def _square_infer(name: str) -> Callable:
    def infer(x: Aval) -> Spec:
        _matrix(name, x, square=True)
        return tuple(x.shape), x.dtype

    return infer


_inv = Op(
    "inverse", kind="host", saves="o", infer=_square_infer("inverse"),
    reference=_lapack("inverse", np.linalg.inv, "the matrix is singular: it has no inverse"),
    vjp=lambda g, out, x: (-matmul(matmul(_mt(out), g), _mt(out)),),
    samples=[Sample(((3, 3),)), Sample(((2, 1, 4, 4),))],
)  # fmt: skip


def _pinv_vjp(g: Any, out: Any, x: Any, *, rcond: float) -> tuple:
    """Golub and Pereyra, 1973."""
    p, pt, gt = out, _mt(out), _mt(g)
    first = matmul(gt, matmul(p, pt))
    last = matmul(matmul(pt, p), gt)
    return (first - matmul(matmul(x, p), first) + last - matmul(last, matmul(p, x)) - matmul(matmul(pt, g), pt),)


def _pinv_infer(x: Aval, *, rcond: float) -> Spec:
    _matrix("pinverse", x)
    return (*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype


_pinv = Op(
    "pinverse", kind="host", attrs={"rcond": 1e-15}, saves="io", infer=_pinv_infer, vjp=_pinv_vjp,
    reference=_lapack("pinverse", lambda x, *, rcond: np.linalg.pinv(x, rcond), "the singular values did not converge"),
    samples=[Sample(((4, 2),)), Sample(((2, 2, 4),))],
)  # fmt: skip


def _solve_infer(a: Aval, b: Aval) -> Spec:
    _matrix("solve", a, square=True)
    if len(b.shape) < 2 or b.shape[-2] != a.shape[-1] or a.dtype != b.dtype:
        raise ShapeError(
            f"solve: A is {a.dtype}{tuple(a.shape)} and B {b.dtype}{tuple(b.shape)}: as many rows, and one dtype, are needed"
        )
    return (*broadcast_shapes("solve", tuple(a.shape[:-2]), tuple(b.shape[:-2])), *b.shape[-2:]), a.dtype


def _solve_vjp(g: Any, out: Any, a: Any, b: Any) -> tuple:
    gb = _solve(_mt(a), g)
    return -matmul(gb, _mt(out)), gb


_solve: Op = Op(
    "solve", kind="host", saves="i0o", infer=_solve_infer, vjp=_solve_vjp,
    reference=_lapack("solve", np.linalg.solve, "the matrix is singular: there is no one solution"),
    samples=[Sample(((3, 3), (3, 2))), Sample(((2, 1, 3, 3), (4, 3, 1)))],
)  # fmt: skip


def _slogdet_infer(x: Aval, name: str = "slogdet") -> list[Spec]:
    _matrix(name, x, square=True)
    return [(tuple(x.shape[:-2]), x.dtype)] * 2


def _slogdet_vjp(g: tuple, out: tuple, x: Any) -> tuple:
    return (None if g[1] is None else g[1][..., None, None] * _mt(_inv(x)),)


_slogdet = Op(
    "slogdet", kind="host", saves="i", infer=_slogdet_infer, vjp=_slogdet_vjp,
    reference=_lapack("slogdet", lambda x: tuple(np.linalg.slogdet(x)), "failed"),
    samples=[Sample(((3, 3),)), Sample((np.zeros((2, 3, 3)),))],
)  # fmt: skip


def _det_vjp(g: Any, out: Any, x: Any) -> tuple:
    return ((g * out)[..., None, None] * _mt(_inv(x)),)


_det = Op(
    "det", kind="host", saves="io",
    infer=lambda x: _slogdet_infer(x, "det")[0],
    reference=_lapack("det", np.linalg.det, "failed"), vjp=_det_vjp,
    samples=[Sample(((3, 3),)), Sample(((2, 2, 2),))],
)  # fmt: skip

# ---------------------------------------------------------------- factors


def _cholesky_vjp(g: Any, out: Any, x: Any) -> tuple:
    """Murray, 2016: A' = sym(L^-T phi(L^T L') L^-1), phi the lower triangle with half the diagonal."""
    lower = tril(matmul(_mt(out), g))
    phi = lower - diag_embed(diagonal(lower, 0, -2, -1)) * 0.5
    inner = _solve(_mt(out), phi)
    return (_symmetric(_mt(_solve(_mt(out), _mt(inner)))),)


_cholesky = Op(
    "cholesky", kind="host", saves="o", infer=_square_infer("cholesky"), vjp=_cholesky_vjp,
    reference=_lapack("cholesky", np.linalg.cholesky, "the matrix is not positive definite"),
    samples=[Sample((_WELL,)), Sample((np.stack([_WELL, 2 * _WELL]),))],
)  # fmt: skip


def _inverse_gaps(values: Any) -> Any:
    """1 / (values[j] - values[i]), and 0 on the diagonal."""
    gaps = unsqueeze(values, -2) - unsqueeze(values, -1)
    own = beside(np.eye(values.shape[-1], dtype=bool), values)
    return where(own, 0.0, 1.0 / where(own, 1.0, gaps))


def _eigh_infer(x: Aval) -> list[Spec]:
    _matrix("eigh", x, square=True)
    return [(tuple(x.shape[:-1]), x.dtype), (tuple(x.shape), x.dtype)]


def _eigh_vjp(g: tuple, out: tuple, x: Any) -> tuple:
    (gw, gv), (w, v) = g, out
    inner = None if gv is None else _inverse_gaps(w) * matmul(_mt(v), gv)
    if gw is not None:
        inner = diag_embed(gw) if inner is None else inner + diag_embed(gw)
    return (_symmetric(matmul(matmul(v, inner), _mt(v))),)


_eigh = Op(
    "eigh", kind="host", saves="o", infer=_eigh_infer, vjp=_eigh_vjp,
    reference=_lapack("eigh", lambda x: tuple(np.linalg.eigh(x)), "the eigenvalues did not converge"),
    samples=[Sample((_WELL,))],
)  # fmt: skip


def _svd_infer(x: Aval, *, full_matrices: bool) -> list[Spec]:
    _matrix("svd", x)
    *batch, m, n = x.shape
    k = min(m, n)
    return [((*batch, m, m if full_matrices else k), x.dtype), ((*batch, k), x.dtype),
            ((*batch, n if full_matrices else k, n), x.dtype)]  # fmt: skip


def _svd_vjp(g: tuple, out: tuple, x: Any, *, full_matrices: bool) -> tuple:
    """Townsend, 2016. Of full_matrices, gradients of S alone."""
    (gu, gs, gvh), (u, s, vh) = g, out
    k = s.shape[-1]
    if full_matrices and not (gu is None and gvh is None):
        raise DomainError("svd: gradients of U and Vh need full_matrices=False: the further columns are not determined")
    u, vh = u[..., :k], vh[..., :k, :]
    gaps, wide, tall = _inverse_gaps(square(s)), unsqueeze(s, -2), unsqueeze(s, -1)
    inner = diag_embed(gs) if gs is not None else diag_embed(s * 0)
    if gu is not None:
        turn = matmul(_mt(u), gu)
        inner = inner + gaps * (turn - _mt(turn)) * wide
    if gvh is not None:
        turn = matmul(vh, _mt(gvh))
        inner = inner + tall * (gaps * (turn - _mt(turn)))
    gx = matmul(matmul(u, inner), vh)
    if gu is not None and x.shape[-2] > k:
        side = gu / wide
        gx = gx + matmul(side - matmul(u, matmul(_mt(u), side)), vh)
    if gvh is not None and x.shape[-1] > k:
        side = gvh / tall
        gx = gx + matmul(u, side - matmul(matmul(side, _mt(vh)), vh))
    return (gx,)


_svd = Op(
    "svd", kind="host", attrs={"full_matrices": False}, saves="o", infer=_svd_infer, vjp=_svd_vjp,
    reference=_lapack(
        "svd", lambda x, *, full_matrices: tuple(np.linalg.svd(x, full_matrices)), "the singular values did not converge"
    ),
    samples=[Sample(((3, 3),)), Sample(((4, 2),)), Sample(((2, 2, 4),))],
)  # fmt: skip


def _qr_infer(x: Aval, *, mode: str) -> list[Spec]:
    _matrix("qr", x)
    *batch, m, n = x.shape
    k = m if mode == "complete" else min(m, n)
    return [((*batch, m, k), x.dtype), ((*batch, k, n), x.dtype)]


def _qr_vjp(g: tuple, out: tuple, x: Any, *, mode: str) -> tuple:
    """Walter and Lehmann, 2010; for at least as many rows as columns."""
    (gq, gr), (q, r) = g, out
    if q.shape[-1] != r.shape[-1]:
        raise DomainError(f"qr: there is a gradient for rows >= columns and mode='reduced', not for {tuple(x.shape)}")
    m = 0.0 if gr is None else matmul(r, _mt(gr))
    m = m if gq is None else m - matmul(_mt(gq), q)
    inner = matmul(q, tril(m) + _mt(tril(m, -1)))
    return (_mt(_solve(r, _mt(inner if gq is None else inner + gq))),)


_qr = Op(
    "qr", kind="host", attrs={"mode": "reduced"}, saves="o", infer=_qr_infer, vjp=_qr_vjp,
    reference=_lapack("qr", lambda x, *, mode: tuple(np.linalg.qr(x, mode)), "failed"),
    samples=[Sample(((3, 3),)), Sample(((2, 4, 2),))],
)  # fmt: skip

# ---------------------------------------------------------------- public functions


def _floats(*operands: Any) -> list:
    return as_arrays(*operands, floats=True)


def _rcond(A: Any) -> float:
    return float(max(A.shape[-2:]) * np.finfo(A.dtype).eps)


def inverse(input: Array) -> Array:
    """The inverse of square matrices.

    Raises:
        DomainError: a matrix is singular.

    >>> import ranvier as rv
    >>> rv.linalg.inv(rv.tensor([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return _inv(*_floats(input))


def pinverse(input: Array, rcond: float | None = None) -> Array:
    """Moore and Penrose's pseudoinverse: singular values up to `rcond` times the largest count as 0 (None: the dtype's
    rounding times the longer side).

    >>> import ranvier as rv
    >>> rv.linalg.pinv(rv.tensor([[2.0], [0.0]])).tolist()
    [[0.5, 0.0]]
    """
    (input,) = _floats(input)
    _matrix("pinverse", input)
    return _pinv(input, rcond=_rcond(input) if rcond is None else float(rcond))


def solve(A: Array, B: Array) -> Array:
    """X with A X = B, of a vector B or of a matrix of columns.

    Raises:
        DomainError: a matrix is singular.

    >>> import ranvier as rv
    >>> rv.linalg.solve(rv.tensor([[2.0, 0.0], [0.0, 4.0]]), rv.tensor([2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    A, B = _floats(A, B)
    _matrix("solve", A, square=True)
    if B.ndim == 1 or B.ndim == A.ndim - 1 and tuple(B.shape) == tuple(A.shape[:-1]):
        return squeeze(_solve(A, unsqueeze(B, -1)), -1)
    return _solve(A, B)


def det(input: Array) -> Array:
    """The determinant of square matrices. Its gradient needs the inverse.

    >>> import ranvier as rv
    >>> rv.linalg.det(rv.tensor([[2.0, 1.0], [0.0, 4.0]]))
    tensor(8.)
    """
    return _det(*_floats(input))


def slogdet(input: Array) -> SlogdetResult:
    """(sign, log |det|) of square matrices, without overflow; (0, -inf) of singular ones."""
    return SlogdetResult(*_slogdet(*_floats(input)))


def logdet(input: Array) -> Array:
    """log(det(input)); NaN where the determinant is negative."""
    sign, log = slogdet(input)
    return where(sign < 0, math.nan, log)


def cholesky(input: Array, *, upper: bool = False) -> Array:
    """The lower triangular L with L L^T = input, symmetric and positive definite; upper: L^T.

    Raises:
        DomainError: a matrix is not positive definite.

    >>> import ranvier as rv
    >>> rv.linalg.cholesky(rv.tensor([[4.0, 2.0], [2.0, 2.0]])).tolist()
    [[2.0, 0.0], [1.0, 1.0]]
    """
    out = _cholesky(*_floats(input))
    return _mt(out) if upper else out


def eigh(A: Array) -> EighResult:
    """Eigenvalues, ascending, and orthonormal eigenvectors (columns) of symmetric matrices, read from the lower triangle.

    Gradients of eigenvectors are not finite where eigenvalues are equal.

    >>> import ranvier as rv
    >>> rv.linalg.eigh(rv.tensor([[2.0, 0.0], [0.0, 1.0]])).eigenvalues.tolist()
    [1.0, 2.0]
    """
    return EighResult(*_eigh(*_floats(A)))


def eigvalsh(A: Array) -> Array:
    """The eigenvalues of symmetric matrices, ascending."""
    return eigh(A).eigenvalues


def svd(input: Array, full_matrices: bool = True) -> SVDResult:
    """U, S and Vh with input = U[..., :k] diag(S) Vh[..., :k, :], k the shorter side and S descending; full_matrices=False:
    k columns of U and rows of Vh alone, as gradients of these need.

    >>> import ranvier as rv
    >>> rv.linalg.svd(rv.tensor([[3.0, 0.0], [0.0, 4.0]])).S.tolist()
    [4.0, 3.0]
    """
    return SVDResult(*_svd(*_floats(input), full_matrices=bool(full_matrices)))


def svdvals(A: Array) -> Array:
    """The singular values, descending."""
    return svd(A, full_matrices=False).S


def qr(input: Array, mode: str = "reduced") -> QRResult:
    """Q with orthonormal columns and an upper triangular R, input = Q R; mode="complete": Q is square."""
    if mode not in ("reduced", "complete"):
        raise DomainError(f"qr: mode={mode!r} must be 'reduced' or 'complete'")
    return QRResult(*_qr(*_floats(input), mode=mode))


def lstsq(A: Array, B: Array, rcond: float | None = None) -> LstsqResult:
    """X that minimises |A X - B|, the shortest of several; B is a vector or a matrix of columns.

    `residuals` are sums of squares; as in NumPy there are none unless A has more rows than columns, all independent.

    >>> import ranvier as rv
    >>> A, b = rv.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), rv.tensor([1.0, 3.0, 5.0])
    >>> rv.linalg.lstsq(A, b).solution
    tensor([1., 2.])
    """
    A, B = _floats(A, B)
    _matrix("lstsq", A)
    vector = B.ndim == A.ndim - 1
    b = unsqueeze(B, -1) if vector else B
    if b.ndim != A.ndim or b.shape[-2] != A.shape[-2]:
        raise ShapeError(f"lstsq: A{tuple(A.shape)} and B{tuple(B.shape)} must have as many rows")
    back = pinverse(A, rcond)
    x = matmul(back, b)
    x = x + matmul(back, b - matmul(A, x))  # once more, for what rounding has left
    rank = matrix_rank(A, rcond)
    full = A.shape[-2] > A.shape[-1] and bool((rank == A.shape[-1]).all())
    left = sum_(square(matmul(A, x) - b), -2) if full else beside(np.zeros((0,), A.dtype), A)
    return LstsqResult(squeeze(x, -1) if vector else x, left, rank, svdvals(A))


def matrix_rank(A: Array, rcond: float | None = None) -> Array:
    """How many singular values exceed `rcond` times the largest (None: the dtype's rounding times the longer side)."""
    (A,) = _floats(A)
    s = svdvals(A)
    if not s.shape[-1]:
        return beside(np.zeros(s.shape[:-1], int64), A)
    bound = _rcond(A) if rcond is None else rcond
    return count_nonzero(s > bound * amax(s, -1, keepdim=True), -1)


def cond(A: Array) -> Array:
    """The largest singular value over the least."""
    s = svdvals(A)
    return amax(s, -1) / amin(s, -1)


def matrix_power(input: Array, n: int) -> Array:
    """The product of n factors `input`, matrices of equal sides; n = 0: the identity, n < 0: of the inverse."""
    if input.ndim < 2 or input.shape[-1] != input.shape[-2]:
        raise ShapeError(f"matrix_power: shape {tuple(input.shape)} must end with two equal sizes")
    if n < 0:
        return matrix_power(inverse(input), -n)
    power = None
    square = input
    while n:
        if n & 1:
            power = square if power is None else matmul(power, square)
        n >>= 1
        square = matmul(square, square) if n else square
    if power is None:
        one = np.broadcast_to(np.eye(input.shape[-1], dtype=input.dtype), input.shape)
        return where(beside(np.array(False), input), input, beside(one.copy(), input))  # its gradient is zero, not None
    return apart(power, input)


def multi_dot(tensors: Sequence[Array]) -> Array:
    """The product of matrices, from the left; the first and the last may be vectors.

    >>> import ranvier as rv
    >>> rv.linalg.multi_dot([rv.ones(2), rv.ones(2, 3), rv.ones(3)]).item()
    6.0
    """
    if len(tensors) < 2:
        raise ShapeError(f"multi_dot: {len(tensors)} tensors must be at least 2")
    return functools.reduce(matmul, tensors)


def vecdot(x: Array, y: Array, *, dim: int = -1) -> Array:
    """The sums of products of elements along `dim`; the other axes broadcast.

    >>> import ranvier as rv
    >>> rv.linalg.vecdot(rv.ones(2, 3), rv.ones(3)).tolist()
    [3.0, 3.0]
    """
    return sum_(mul(x, y), dim)


def vector_norm(x: Array, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Array:
    """(sum |x|^ord)^(1/ord) over `dim` (None: all axes); ord=inf: the largest |x|, -inf: the least, 0: how many are not 0.

    >>> import ranvier as rv
    >>> rv.linalg.vector_norm(rv.tensor([3.0, 4.0])).item()
    5.0
    """
    (x,) = _floats(x)
    return _norm(x, ord, dim, keepdim)


def matrix_norm(A: Array, ord: Any = "fro", dim: tuple[int, int] = (-2, -1), keepdim: bool = False) -> Array:
    """A norm of matrices over the axes `dim`: "fro" (of all elements), "nuc" (the sum of the singular values), 2 and -2 (the
    largest and the least of them), 1 and -1 (the largest and the least column of |A|, summed), inf and -inf (row).

    >>> import ranvier as rv
    >>> rv.linalg.matrix_norm(rv.tensor([[1.0, 2.0], [3.0, 4.0]]), 1).item()
    6.0
    """
    (A,) = _floats(A)
    if len(dim) != 2 or len(normalize_axes("matrix_norm", tuple(dim), A.ndim)) != 2:
        raise ShapeError(f"matrix_norm: dim={tuple(dim)} must be two axes of {tuple(A.shape)}")
    A = movedim(A, tuple(dim), (-2, -1))
    if ord == "fro":
        out = _norm(A, 2, (-2, -1))
    elif ord == "nuc":
        out = sum_(svdvals(A), -1)
    elif ord in (2, -2):
        out = (amax if ord > 0 else amin)(svdvals(A), -1)
    elif ord in (1, -1, math.inf, -math.inf):
        out = (amax if ord > 0 else amin)(sum_(abs_(A), -2 if abs(ord) == 1 else -1), -1)
    else:
        raise DomainError(f"matrix_norm: ord={ord!r} must be 'fro', 'nuc', 2, -2, 1, -1, inf or -inf")
    if not keepdim:
        return out
    axes = [d % A.ndim for d in dim]
    shape = list(out.shape)
    for d in sorted(axes):
        shape.insert(d, 1)
    return reshape(out, tuple(shape))


def norm(A: Array, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Array:
    """`vector_norm`, or `matrix_norm` where `dim` names two axes, or `ord` is given and A is a matrix; without `ord` that of
    all elements.

    >>> import ranvier as rv
    >>> rv.linalg.norm(rv.tensor([[3.0, 0.0], [0.0, 4.0]])).item()
    5.0
    """
    if dim is None and ord is not None and A.ndim == 2:
        dim = (-2, -1)
    if ord is not None and isinstance(dim, (tuple, list)) and len(dim) == 2:
        return matrix_norm(A, ord, tuple(dim), keepdim)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim)


def cross(input: Array, other: Array, *, dim: int = -1) -> Array:
    """The cross product of vectors of 3 along `dim`."""
    return _cross(input, other, dim)
