"""Reductions: sums, products, extremes and norms over any set of axes.

`dim` is an axis, a tuple of axes, or None for all; `keepdim` leaves axes of size 1 in their place.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..core.dtypes import as_dtype, bool_, get_default_dtype, int64, is_float
from ..core.errors import DTypeError, ShapeError
from ..core.tensor import from_numpy
from .creation import zeros
from .dispatch import Call
from .elementwise import abs as _abs
from .elementwise import div, exp, isnan, logical_not, maximum, minimum, mul, pow, sign, where
from .public import Array
from .record import Aval, Op, Sample, Spec, normalize_axes, normalize_axis

if TYPE_CHECKING:
    from .sort import SortResult


__all__ = [
    "all",
    "amax",
    "amin",
    "aminmax",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "logsumexp",
    "max",
    "mean",
    "min",
    "nanmean",
    "nansum",
    "norm",
    "prod",
    "sum",
]
REMEMBERED = __all__  # see ops/public.py

AXES = {"dim": (), "keepdim": False}
SAMPLES = (
    Sample(((),)),
    Sample(((7,),), {"dim": (0,)}),
    Sample(((1000, 3),), {"dim": (0,)}),
    Sample(((1000, 3),), {"dim": (1,), "keepdim": True}),
    Sample(((3, 4, 5, 6),), {"dim": (0, 2)}),
    Sample(((3, 4, 5, 6),), {"dim": (1, 3), "keepdim": True}),
    Sample(((2, 1, 300),), {"dim": (0, 1, 2)}),
)
EMPTY = (Sample(((0, 3),), {"dim": (0,)}), Sample(((0, 3),), {"dim": (1,)}))


# ---------------------------------------------------------------- rules that reductions share


def reduced(shape: tuple[int, ...], dim: tuple[int, ...], keepdim: bool) -> tuple[int, ...]:
    if keepdim:
        return tuple(1 if d in dim else n for d, n in enumerate(shape))
    return tuple(n for d, n in enumerate(shape) if d not in dim)


def terms_of(x: Aval, *, dim: tuple[int, ...], **attrs: Any) -> int:
    return math.prod(x.shape[d] for d in dim)


def size_of(x: Aval, **attrs: Any) -> int:
    return math.prod(x.shape)


_REDUCTION: dict[str, Any] = {"kind": "kernel", "attrs": AXES, "flops": size_of, "terms": terms_of}


def need_float(name: str, dtype: np.dtype) -> None:
    if not is_float(dtype):
        raise DTypeError(f"{name}: dtype {dtype} must be float32 or float64; cast first, or pass dtype=")


def _need_terms(name: str, shape: tuple[int, ...], dim: tuple[int, ...]) -> None:
    for d in dim:
        if shape[d] == 0:
            raise ShapeError(f"{name}: axis {d} of x{shape} is empty: there is no element to choose")


def kept(g: Any, x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """`g`, shaped as the reduction of x by `dim`, with the reduced axes as axes of size 1."""
    return g if keepdim else g.reshape(reduced(x.shape, dim, True))


def _spread(g: Any, x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    return kept(g, x, dim, keepdim).expand(x.shape)


def float_reduction(name: str, **fields: Any) -> Op:
    """A reduction of floats to floats of the same dtype."""

    def infer(x: Aval, *, dim: tuple[int, ...], keepdim: bool, **attrs: Any) -> Spec:
        need_float(name, x.dtype)
        return reduced(x.shape, dim, keepdim), x.dtype

    attrs = {**AXES, **fields.pop("attrs", {})}
    fields = {"flops": size_of, "terms": terms_of, **fields}
    return Op(name, kind="kernel", attrs=attrs, infer=infer, **fields)


# ---------------------------------------------------------------- sum, mean, prod


def _sum_infer(x: Aval, *, dim: tuple[int, ...], keepdim: bool) -> Spec:
    return reduced(x.shape, dim, keepdim), x.dtype if is_float(x.dtype) else int64


_sum = Op(
    "sum",
    **_REDUCTION,
    saves="",
    onnx="ReduceSum",
    infer=_sum_infer,
    reference=lambda xp, x, *, dim, keepdim: xp.sum(x, axis=dim, keepdims=keepdim),
    vjp=lambda g, out, x, *, dim, keepdim: (_spread(g, x, dim, keepdim),),
    samples=(
        *SAMPLES,
        *EMPTY,
        Sample((np.arange(12, dtype=np.int32).reshape(3, 4),), {"dim": (0,)}),
        Sample((np.eye(3, dtype=bool),), {"dim": (0, 1)}),
    ),
)

mean_op = float_reduction(
    "mean",
    saves="",
    onnx="ReduceMean",
    reference=lambda xp, x, *, dim, keepdim: xp.mean(x, axis=dim, keepdims=keepdim),
    vjp=lambda g, out, x, *, dim, keepdim: (_spread(g * (1 / (terms_of(x, dim=dim) or math.nan)), x, dim, keepdim),),
    samples=(*SAMPLES, *EMPTY),
)


def _prod_vjp(g: Any, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> tuple:
    """g times the product of the other elements: of all that are not 0, where the element is the only 0."""
    zero = x == 0
    rest = where(zero, 1.0, x)
    product = _prod(rest, dim=dim, keepdim=True)
    zeros = _sum(zero, dim=dim, keepdim=True)
    others = where(zero, where(zeros == 1, product, 0.0), where(zeros == 0, product / rest, 0.0))
    return (kept(g, x, dim, keepdim) * others,)


_prod = Op(
    "prod",
    **_REDUCTION,
    saves="i",
    onnx="ReduceProd",
    infer=_sum_infer,
    reference=lambda xp, x, *, dim, keepdim: xp.prod(x, axis=dim, keepdims=keepdim),
    vjp=_prod_vjp,
    domain=(0.5, 1.5),
    samples=(
        *(s for s in SAMPLES if s.inputs != ((1000, 3),)),
        *EMPTY,
        Sample((np.arange(1, 7, dtype=np.int32).reshape(2, 3),), {"dim": (1,)}),
        Sample((np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0], [1.0, 4.0, 2.0]], np.float32),), {"dim": (1,)}),
    ),
)


# ---------------------------------------------------------------- extremes


def _among(x: Any, extreme: Any) -> Any:
    return (x == extreme) | isnan(x)


def _extreme_vjp(g: Any, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> tuple:
    """Equal extremes share the gradient evenly; where there are NaNs they are the extremes."""
    share = _among(x, kept(out, x, dim, keepdim)).to(g.dtype)
    return (kept(g, x, dim, keepdim) * (share / _sum(share, dim=dim, keepdim=True)),)


def _extreme_op(name: str, reference: Callable, onnx: str) -> Op:
    def infer(x: Aval, *, dim: tuple[int, ...], keepdim: bool) -> Spec:
        _need_terms(name, x.shape, dim)
        return reduced(x.shape, dim, keepdim), x.dtype

    return Op(
        name,
        kind="kernel",
        attrs=AXES,
        flops=size_of,
        infer=infer,
        reference=reference,
        vjp=_extreme_vjp,
        onnx=onnx,
        samples=(
            *SAMPLES,
            EMPTY[1],
            Sample((np.array([[1, 3, 3], [-2, -2, 5]], np.int64),), {"dim": (1,)}),
            Sample((np.array([[1.0, np.nan, 3.0], [-np.inf, 2.0, 2.0]], np.float32),), {"dim": (1,)}),
        ),
    )


_amax = _extreme_op("amax", lambda xp, x, *, dim, keepdim: xp.max(x, axis=dim, keepdims=keepdim), "ReduceMax")
_amin = _extreme_op("amin", lambda xp, x, *, dim, keepdim: xp.min(x, axis=dim, keepdims=keepdim), "ReduceMin")


def _positions(f: Callable, xp: Any, x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """argmax or argmin over one axis, or over all in C order."""
    if len(dim) == 1:
        return f(x, axis=dim[0], keepdims=keepdim)
    return xp.reshape(f(xp.reshape(x, (-1,)), axis=0), (1,) * len(x.shape) if keepdim else ())


_ARG_SAMPLES = (
    Sample(((),)),
    Sample(((7,),), {"dim": (0,)}),
    Sample(((1000, 3),), {"dim": (0,)}),
    Sample(((1000, 3),), {"dim": (1,), "keepdim": True}),
    Sample(((3, 4, 5),), {"dim": (1,)}),
    Sample(((0, 3),), {"dim": (1,)}),
    Sample((np.array([[1, 3, 3], [-2, -2, 5]], np.int64),), {"dim": (1,)}),
    Sample((np.array([[1.0, np.nan, np.nan], [-np.inf, 2.0, 2.0]], np.float32),), {"dim": (1,)}),
)


def _arg_op(name: str, onnx: str) -> Op:
    def infer(x: Aval, *, dim: tuple[int, ...], keepdim: bool) -> Spec:
        if len(dim) != 1 and len(dim) != len(x.shape):
            raise ShapeError(f"{name}: dim={dim} must be one axis of x{x.shape}, or None for all")
        _need_terms(name, x.shape, dim)
        return reduced(x.shape, dim, keepdim), int64

    return Op(
        name,
        kind="kernel",
        attrs=AXES,
        flops=size_of,
        saves="",
        infer=infer,
        onnx=onnx,
        reference=lambda xp, x, *, dim, keepdim: _positions(getattr(xp, name), xp, x, dim, keepdim),
        samples=(*_ARG_SAMPLES, Sample(((3, 4),), {"dim": (0, 1), "keepdim": True})),
    )


_argmax, _argmin = _arg_op("argmax", "ArgMax"), _arg_op("argmin", "ArgMin")


def _choice_vjp(g: tuple, out: tuple, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> tuple:
    """The gradient goes to the element that was chosen."""
    if g[0] is None:
        return (None,)
    if not dim:
        return (g[0],)
    positions = np.arange(x.shape[dim[0]]).reshape([-1 if d == dim[0] else 1 for d in range(x.ndim)])
    chosen = from_numpy(positions) == kept(out[1], x, dim, keepdim)
    return (where(chosen, kept(g[0], x, dim, keepdim), 0.0),)


def _choice_op(name: str, argument: str) -> Op:
    def infer(x: Aval, *, dim: tuple[int, ...], keepdim: bool) -> list[Spec]:
        if len(dim) != 1 and x.shape:
            raise ShapeError(f"{name}: dim={dim} must be one axis of x{x.shape}")
        _need_terms(name, x.shape, dim)
        shape = reduced(x.shape, dim, keepdim)
        return [(shape, x.dtype), (shape, int64)]

    def reference(xp: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> tuple:
        at = _positions(getattr(xp, argument), xp, x, dim, True)
        values = xp.take_along_axis(x, at, dim[0]) if dim else x
        return (values, at) if keepdim or not dim else (xp.squeeze(values, dim[0]), xp.squeeze(at, dim[0]))

    return Op(
        name,
        kind="kernel",
        attrs=AXES,
        flops=size_of,
        saves="o1",
        infer=infer,
        reference=reference,
        vjp=_choice_vjp,
        samples=_ARG_SAMPLES,
        doc="the extreme along one axis, and its first position",
    )


_max_dim, _min_dim = _choice_op("max_dim", "argmax"), _choice_op("min_dim", "argmin")


# ---------------------------------------------------------------- truth


def _truth_op(name: str, dtype: np.dtype, reference: Callable, terms: Callable | None = None) -> Op:
    def infer(x: Aval, *, dim: tuple[int, ...], keepdim: bool) -> Spec:
        return reduced(x.shape, dim, keepdim), dtype

    ones = np.array([[0, 2, 1], [0, 0, 0], [3, 1, 1]])
    return Op(
        name,
        kind="kernel",
        attrs=AXES,
        flops=size_of,
        saves="",
        infer=infer,
        reference=reference,
        samples=(
            *SAMPLES,
            *EMPTY,
            *(Sample((ones.astype(t),), {"dim": (1,)}) for t in ("f4", "f8", "i4", "i8", "u1", "?")),
        ),
    )


_any = _truth_op("any", bool_, lambda xp, x, *, dim, keepdim: xp.any(x != 0, axis=dim, keepdims=keepdim))
_all = _truth_op("all", bool_, lambda xp, x, *, dim, keepdim: xp.all(x != 0, axis=dim, keepdims=keepdim))
_count_nonzero = _truth_op(
    "count_nonzero", int64, lambda xp, x, *, dim, keepdim: xp.sum(x != 0, axis=dim, keepdims=keepdim)
)


# ---------------------------------------------------------------- logsumexp, norm


def _logsumexp_reference(xp: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    low = np.asarray(-np.inf, x.dtype)
    top = xp.max(x, axis=dim, keepdims=True, initial=low)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    result = xp.log(xp.sum(xp.exp(x - top), axis=dim, keepdims=True)) + top
    return xp.reshape(result, reduced(x.shape, dim, keepdim))


def _logsumexp_vjp(g: Any, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> tuple:
    """g softmax(x). The sum of exp(x - out) is 1 but for the rounding of a large `out`, which it takes out."""
    shares = exp(x - kept(out, x, dim, keepdim))
    return (kept(g, x, dim, keepdim) * (shares / _sum(shares, dim=dim, keepdim=True)),)


_logsumexp = float_reduction(
    "logsumexp",
    onnx="ReduceLogSumExp",
    flops=lambda x, **attrs: 10 * size_of(x),
    reference=_logsumexp_reference,
    vjp=_logsumexp_vjp,
    samples=(
        *SAMPLES,
        *EMPTY,
        Sample((np.array([[1e4, -1e4], [-np.inf, -np.inf], [np.inf, 0]], np.float32),), {"dim": (1,)}),
    ),
)


_NORMS = {0.0, 1.0, 2.0, math.inf, -math.inf}  # those with a kernel; other p are composed


def _norm_reference(xp: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool, p: float) -> Any:
    along = {"axis": dim, "keepdims": keepdim}
    if p == 0:
        return (
            xp.astype(xp.sum(x != 0, **along), x.dtype)
            if hasattr(xp, "astype")
            else xp.sum(x != 0, **along).astype(x.dtype)
        )
    if p == 1:
        return xp.sum(xp.abs(x), **along)
    if p == 2:
        return xp.sqrt(xp.sum(x * x, **along))
    return xp.max(xp.abs(x), **along, initial=0) if p > 0 else xp.min(xp.abs(x), **along, initial=xp.inf)


def _norm_vjp(g: Any, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool, p: float) -> tuple:
    if p == 0:
        return (zeros(x.shape, dtype=x.dtype),)
    g, out = kept(g, x, dim, keepdim), kept(out, x, dim, keepdim)
    if p == 1:
        return (g * sign(x),)
    if p == 2:  # 0 at the origin
        return (where(out == 0, 0.0, g / where(out == 0, 1.0, out)) * x,)
    share = _among(_abs(x), out).to(g.dtype)
    return (g * sign(x) * (share / _sum(share, dim=dim, keepdim=True)),)


_norm = float_reduction(
    "norm",
    attrs={"p": 2.0},
    reference=_norm_reference,
    vjp=_norm_vjp,
    flops=lambda x, **attrs: 2 * size_of(x),
    samples=(*SAMPLES, *EMPTY, *(Sample(((4, 30, 2),), {"dim": (0, 1), "p": p}) for p in sorted(_NORMS))),
)


# ---------------------------------------------------------------- public functions

_bound: dict[tuple, Call] = {}


def run_reduction(op: Op, input: Any, dim: Any, keepdim: bool, attrs: dict[str, Any] | None = None) -> Any:
    """`op` on `input`, its axes normalized; calls are looked up by what the caller wrote."""
    key = (op, dim, keepdim, input.ndim) if attrs is None else (op, dim, keepdim, input.ndim, *attrs.values())
    try:
        call = _bound.get(key)
    except TypeError:
        if dim.__class__ is list:
            return run_reduction(op, input, tuple(dim), keepdim, attrs)
        call, key = None, ()
    if call is None:
        call = op.bind(dim=normalize_axes(op.name, dim, input.ndim), keepdim=bool(keepdim), **attrs or {})
        if key and len(_bound) < 4096:
            _bound[key] = call
    return call.apply((input,))


def run_along(op: Op, input: Any, dim: int, **attrs: Any) -> Any:
    """`op` along the one axis `dim`; calls are looked up as above."""
    key = (op, dim, input.ndim, *attrs.values())
    call = _bound.get(key) if dim.__class__ is int else None
    if call is None:
        call = op.bind(dim=normalize_axis(op.name, dim, input.ndim), **attrs)
        if dim.__class__ is int and len(_bound) < 4096:
            _bound[key] = call
    return call.apply((input,))


def to_dtype(x: Any, dtype: Any) -> Any:
    if dtype is None:
        return x
    dtype = as_dtype(dtype)
    return x if x.dtype == dtype else x.astype(dtype) if isinstance(x, np.ndarray) else x.to(dtype)


def sum(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """Sum over `dim`. Integers and bools are summed as int64; `dtype` is cast to first.

    Rounding errors grow with the logarithm of the number of terms.

    >>> import ranvier as rv
    >>> rv.sum(rv.tensor([[1., 2.], [3., 4.]]), 0).tolist()
    [4.0, 6.0]
    """
    return (
        run_reduction(_sum, input, dim, keepdim)
        if dtype is None
        else to_dtype(run_reduction(_sum, to_dtype(input, dtype), dim, keepdim), dtype)
    )


def mean(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """Arithmetic mean over `dim`; NaN where there are no elements. Input (or `dtype`) must be float.

    >>> import ranvier as rv
    >>> rv.mean(rv.tensor([1., 2., 6.])).item()
    3.0
    """
    return run_reduction(mean_op, to_dtype(input, dtype), dim, keepdim)


def nansum(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """`sum` of the elements that are not NaN."""
    return sum(where(isnan(input), 0, input), dim, keepdim, dtype=dtype)


def nanmean(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """`mean` of the elements that are not NaN; NaN where there are none."""
    return div(nansum(input, dim, keepdim, dtype=dtype), sum(logical_not(isnan(input)), dim, keepdim))


def prod(input: Array, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """Product over `dim`. Integers and bools are multiplied as int64; `dtype` is cast to first.

    >>> import ranvier as rv
    >>> rv.prod(rv.tensor([2., 3., 4.])).item()
    24.0
    """
    return to_dtype(run_reduction(_prod, to_dtype(input, dtype), dim, keepdim), dtype)


def amax(input: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Greatest element over `dim`; NaN where one is NaN. Equal ones share the gradient evenly.

    Raises ShapeError where an axis of `dim` is empty.

    >>> import ranvier as rv
    >>> rv.amax(rv.tensor([[1., 5.], [3., 4.]]), dim=1).tolist()
    [5.0, 4.0]
    """
    return run_reduction(_amax, input, dim, keepdim)


def amin(input: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Least element over `dim`; see `amax`."""
    return run_reduction(_amin, input, dim, keepdim)


_aminmax_result = namedtuple("aminmax", "min max")  # type: ignore[name-match]


def aminmax(input: Array, *, dim: Any = None, keepdim: bool = False) -> Any:
    """(amin, amax) over `dim`."""
    return _aminmax_result(amin(input, dim, keepdim), amax(input, dim, keepdim))


_max_result = namedtuple("max", "values indices")  # type: ignore[name-match]
_min_result = namedtuple("min", "values indices")  # type: ignore[name-match]


def _extreme(name: str, input: Any, dim: Any, keepdim: bool, whole: Op, along: Op, pair: Callable, result: Any) -> Any:
    if dim is None:
        return run_reduction(whole, input, None, keepdim)
    if hasattr(dim, "dtype") and hasattr(dim, "shape") and not isinstance(dim, np.integer):
        return pair(input, dim)
    return result(*run_reduction(along, input, dim, keepdim))


@overload
def max(input: Array, dim: int, keepdim: bool = False) -> SortResult: ...
@overload
def max(input: Array, dim: Array | None = None, keepdim: bool = False) -> Array: ...
def max(input: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """Greatest element; with `dim` the pair (values, indices) along it; of two tensors their `maximum`.

    `indices` are the first positions; the gradient of `values` goes there. Without `dim`, equals share it.

    >>> import ranvier as rv
    >>> values, indices = rv.max(rv.tensor([[1., 5.], [4., 3.]]), 1)
    >>> values.tolist(), indices.tolist()
    ([5.0, 4.0], [1, 0])
    """
    return _extreme("max", input, dim, keepdim, _amax, _max_dim, maximum, _max_result)


@overload
def min(input: Array, dim: int, keepdim: bool = False) -> SortResult: ...
@overload
def min(input: Array, dim: Array | None = None, keepdim: bool = False) -> Array: ...
def min(input: Array, dim: Any = None, keepdim: bool = False) -> Any:
    """Least element; with `dim` the pair (values, indices) along it; of two tensors their `minimum`."""
    return _extreme("min", input, dim, keepdim, _amin, _min_dim, minimum, _min_result)


def argmax(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Position of the first greatest element along `dim`, or in C order; a NaN counts as the greatest.

    >>> import ranvier as rv
    >>> rv.argmax(rv.tensor([1., 7., 7.])).item()
    1
    """
    return run_reduction(_argmax, input, dim, keepdim)


def argmin(input: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """Position of the first least element along `dim`, or in C order; a NaN counts as the least."""
    return run_reduction(_argmin, input, dim, keepdim)


def all(input: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Whether every element over `dim` is not 0; true where there are none. Bools, also of uint8."""
    return run_reduction(_all, input, dim, keepdim)


def any(input: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """Whether some element over `dim` is not 0. Bools, also of uint8."""
    return run_reduction(_any, input, dim, keepdim)


def count_nonzero(input: Array, dim: Any = None) -> Array:
    """How many elements over `dim` are not 0, as int64."""
    return run_reduction(_count_nonzero, input, dim, False)


def logsumexp(input: Array, dim: Any = None, keepdim: bool = False) -> Array:
    """log(sum(exp(x))) over `dim`, without overflow; integers become floats.

    >>> import ranvier as rv
    >>> rv.logsumexp(rv.tensor([1000., 1000.]), 0)
    tensor(1000.6932)
    """
    if not is_float(input.dtype):
        input = to_dtype(input, get_default_dtype())
    return run_reduction(_logsumexp, input, dim, keepdim)


def norm(input: Array, p: float | str = 2.0, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Array:
    """The p-norm (sum |x|^p)^(1/p) over `dim`; p=inf and -inf: the extremes of |x|; p=0: how many are not 0.

    Axes are taken as one vector: for two axes p=2 (or "fro") is the Frobenius norm. At 0 the gradient is 0.

    >>> import ranvier as rv
    >>> rv.norm(rv.tensor([3., 4.])).item()
    5.0
    """
    if p == "fro":
        p = 2.0
    if not isinstance(p, (int, float)) or math.isnan(p):
        raise DTypeError(f"norm: p={p!r} must be a number or 'fro'")
    input, p = to_dtype(input, dtype), float(p)
    if p in _NORMS:
        return run_reduction(_norm, input, dim, keepdim, {"p": p})
    need_float("norm", input.dtype)
    size, unit = _abs(input), None
    if (
        0 not in input.shape
    ):  # in units of the term that counts most, a constant for the gradient, powers do not overflow
        unit = (amax if p > 0 else amin)(size.detach() if hasattr(size, "detach") else size, dim, True)
        unit = where((unit == 0) | (unit == math.inf), 1.0, unit)
        size = div(size, unit)
    if p < 1:  # there |x|^p has no derivative at 0
        powers = where(size == 0, 0.0 if p > 0 else math.inf, pow(where(size == 0, 1.0, size), p))
    else:
        powers = pow(size, p)
    total = run_reduction(_sum, powers, dim, keepdim)
    if p > 0:
        ends, at_ends = total == 0, 0.0
    else:  # of an infinite element, and of 0
        ends, at_ends = (total == 0) | (total == math.inf), where(total == 0, math.inf, 0.0)
    root = where(ends, at_ends, pow(where(ends, 1.0, total), 1.0 / p))  # which has no gradient there
    return root if unit is None else mul(root, unit.reshape(root.shape))
