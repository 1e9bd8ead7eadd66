"""Convolutions in one to three dimensions, and their gradients.

Three ops are closed under differentiation: `convolve` (y from x and w), `convolve_input` (what it gives back to x, which is
the transposed convolution) and `convolve_weight` (what it gives back to w).

With stride s, padding p, dilation d and kernel k, along each axis: y[o] = sum over t of x[o s - p + t d] w[t], where x is
0 outside, and o < (n + 2 p - d (k - 1) - 1) // s + 1.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

from ..core.dtypes import is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from .elementwise import add
from .join import pad
from .public import Array
from .record import Aval, Op, Sample, Spec
from .reduction import sum as _sum
from .shape import narrow, reshape, squeeze, unsqueeze
from .standardize import absorbed

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

Axes = tuple[int, ...]  # one number a spatial axis


def out_size(n: int, k: int, stride: int, padding: int, dilation: int) -> int:
    """How many places a kernel of size k has along an axis of n."""
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


# ---------------------------------------------------------------- the definition


def _spread(xp: Any, x: Any, stride: Axes) -> Any:
    """`x` with stride - 1 zeros between its elements."""
    for axis, s in enumerate(stride, 2):
        if s > 1 and x.shape[axis]:
            n = x.shape[axis]
            x = xp.stack([x, *[xp.zeros_like(x)] * (s - 1)], axis=axis + 1)
            x = xp.reshape(x, (*x.shape[:axis], n * s, *x.shape[axis + 2 :]))
            x = x[(slice(None),) * axis + (slice(0, (n - 1) * s + 1),)]
    return x


def _fit(xp: Any, x: Any, before: Axes, sizes: Axes) -> Any:
    """`x` with `before` zeros (or, negative, fewer elements) in front along each spatial axis, cut or filled to `sizes`."""
    for axis, (b, n) in enumerate(zip(before, sizes), 2):
        x = x[(slice(None),) * axis + (slice(max(-b, 0), max(n - b, 0)),)]
        front = max(b, 0)
        widths = [(0, 0)] * x.ndim
        widths[axis] = (front, n - front - x.shape[axis])
        x = xp.pad(x, widths)
    return x


def _taps(x: Any, sizes: Axes, out: Axes, stride: Axes, dilation: Axes) -> Any:
    """For each place of the kernel, its position and x as it meets it: (N, C, *out)."""
    for tap in product(*map(range, sizes)):
        at = [slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilation, out, stride)]
        yield tap, x[(slice(None),) * 2 + tuple(at)]


def correlate(xp: Any, x: Any, w: Any, out: Axes, stride: Axes, dilation: Axes, groups: int) -> Any:
    """sum over taps of w[tap] x[where the tap is], x padded already."""
    n, c, o = x.shape[0], w.shape[1], w.shape[0] // groups
    y = xp.zeros((n, groups, o, math.prod(out)), dtype=x.dtype)
    for tap, seen in _taps(x, w.shape[2:], out, stride, dilation):
        factors = xp.reshape(w[(slice(None),) * 2 + tap], (1, groups, o, c))
        y = y + xp.matmul(factors, xp.reshape(seen, (n, groups, c, math.prod(out))))
    return xp.reshape(y, (n, groups * o, *out))


def _convolve_reference(
    xp: Any, x: Any, w: Any, *bias: Any, stride: Axes, padding: Axes, dilation: Axes, groups: int
) -> Any:
    padded = xp.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = tuple(map(out_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    y = correlate(xp, padded, w, out, stride, dilation, groups)
    return y + xp.reshape(bias[0], (-1, *(1 for _ in out))) if bias else y


def _convolve_input_reference(
    xp: Any, g: Any, w: Any, *, size: Axes, stride: Axes, padding: Axes, dilation: Axes, groups: int
) -> Any:
    k, o = w.shape[2:], w.shape[0] // groups
    before = tuple(d * (n - 1) - p for d, n, p in zip(dilation, k, padding))
    g = _fit(xp, _spread(xp, g, stride), before, tuple(n + d * (m - 1) for n, d, m in zip(size, dilation, k)))
    w = xp.flip(w, axis=tuple(range(2, w.ndim)))
    w = xp.reshape(w, (groups, o, *w.shape[1:]))  # exchange the channels of each group
    w = xp.reshape(xp.permute_dims(w, (0, 2, 1, *range(3, w.ndim))), (-1, o, *k))
    return correlate(xp, g, w, size, (1,) * len(size), dilation, groups)


def _convolve_weight_reference(
    xp: Any, x: Any, g: Any, *, size: Axes, stride: Axes, padding: Axes, dilation: Axes, groups: int
) -> Any:
    x = xp.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    n, c, o, out = x.shape[0], x.shape[1] // groups, g.shape[1] // groups, g.shape[2:]
    g = xp.permute_dims(
        xp.reshape(g, (n, groups, o, -1)) if n else xp.zeros((0, groups, o, math.prod(out)), dtype=g.dtype),
        (1, 2, 0, 3),
    )
    g = xp.reshape(g, (groups, o, n * math.prod(out)))
    taps = []
    for _, seen in _taps(x, size, out, stride, dilation):
        seen = xp.permute_dims(xp.reshape(seen, (n, groups, c, math.prod(out))), (1, 0, 3, 2))
        taps.append(xp.matmul(g, xp.reshape(seen, (groups, n * math.prod(out), c))))
    return xp.reshape(xp.stack(taps, axis=-1), (groups * o, c, *size))


# ---------------------------------------------------------------- rules


def _check(name: str, x: Aval, w: Aval, padding: Axes, groups: int) -> None:
    """`x` are images (N, C, ...), `w` kernels (O, C / groups, ...)."""
    ndim = len(padding)
    if not is_float(x.dtype) or x.dtype != w.dtype:
        raise DTypeError(f"{name}: x is {x.dtype} and weight is {w.dtype}; both must be float32, or both float64")
    if groups < 1:
        raise ShapeError(f"{name}: groups={groups} must be >= 1")
    if len(w.shape) != ndim + 2 or 0 in w.shape[2:]:
        raise ShapeError(f"{name}: weight{w.shape} must have {ndim + 2} axes, none of the last {ndim} empty")
    if len(x.shape) != ndim + 2 or x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            f"{name}: x{x.shape} and weight{w.shape} with groups={groups}: x.shape[1] must be "
            f"{w.shape[1] * groups} = weight.shape[1] * groups, and x must have {ndim + 2} axes"
        )
    if w.shape[0] % groups:
        raise ShapeError(f"{name}: weight{w.shape} has {w.shape[0]} kernels, which groups={groups} must divide")


def _convolve_infer(x: Aval, w: Aval, *bias: Aval, stride: Axes, padding: Axes, dilation: Axes, groups: int) -> Spec:
    name = f"conv{len(stride)}d"
    _check(name, x, w, padding, groups)
    if bias and (bias[0].shape != w.shape[:1] or bias[0].dtype != x.dtype):
        raise ShapeError(
            f"{name}: bias is {bias[0].dtype}{bias[0].shape}, must be {x.dtype}{w.shape[:1]} for weight{w.shape}"
        )
    for n, k, p, d in zip(x.shape[2:], w.shape[2:], padding, dilation):
        if d * (k - 1) + 1 > n + 2 * p:
            raise ShapeError(
                f"{name}: x{x.shape} and weight{w.shape}: a kernel that spans {d * (k - 1) + 1} (dilation {d}) is larger "
                f"than the padded axis, {n + 2 * p}"
            )
    out = tuple(map(out_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    return (x.shape[0], w.shape[0], *out), x.dtype


def _convolve_input_infer(
    g: Aval, w: Aval, *, size: Axes, stride: Axes, padding: Axes, dilation: Axes, groups: int
) -> Spec:
    return (g.shape[0], w.shape[1] * groups, *size), g.dtype


def _convolve_weight_infer(
    x: Aval, g: Aval, *, size: Axes, stride: Axes, padding: Axes, dilation: Axes, groups: int
) -> Spec:
    return (g.shape[1], x.shape[1] // groups, *size), x.dtype


def _convolve_vjp(g: Any, out: Any, x: Any, w: Any, *bias: Any, **attrs: Any) -> tuple:
    dx = _convolve_input(g, w, size=tuple(x.shape[2:]), **attrs) if x.requires_grad else None
    dw = _convolve_weight(x, g, size=tuple(w.shape[2:]), **attrs) if w.requires_grad else None
    if not bias:
        return dx, dw
    return dx, dw, _sum(g, (0, *range(2, len(g.shape)))) if bias[0].requires_grad else None


def _convolve_to(out: Axes, x: Any, w: Any, **attrs: Any) -> Any:
    """_convolve(x, w), the first `out` places: x may have room for more."""
    y = _convolve(x, w, **attrs)
    for axis, n in enumerate(out, 2):
        y = y if y.shape[axis] == n else narrow(y, axis, 0, n)
    return y


def _convolve_input_vjp(h: Any, out: Any, g: Any, w: Any, *, size: Axes, **attrs: Any) -> tuple:
    dg = _convolve_to(g.shape[2:], h, w, **attrs) if g.requires_grad else None
    return dg, _convolve_weight(h, g, size=tuple(w.shape[2:]), **attrs) if w.requires_grad else None


def _convolve_weight_vjp(h: Any, out: Any, x: Any, g: Any, *, size: Axes, **attrs: Any) -> tuple:
    dx = _convolve_input(g, h, size=tuple(x.shape[2:]), **attrs) if x.requires_grad else None
    return dx, _convolve_to(g.shape[2:], x, h, **attrs) if g.requires_grad else None


def threefold(values: Axes, fill: int) -> Axes:
    """As many as three, as the kernels take them."""
    return (fill,) * (3 - len(values)) + tuple(values)


def _encode(*avals: Aval, **attrs: Any) -> dict[str, Any]:
    native = {key: threefold(attrs[key], 0 if key == "padding" else 1) for key in ("stride", "padding", "dilation")}
    return {**native, "groups": attrs["groups"], "bias": len(avals) == 3}


def _attrs(ndim: int = 2, **more: Any) -> dict[str, Any]:
    return {**more, "stride": (1,) * ndim, "padding": (0,) * ndim, "dilation": (1,) * ndim, "groups": 1}


def _sample(x: tuple, w: tuple, groups: int = 1, bias: bool = False, **attrs: Any) -> Sample:
    ndim = len(x) - 2
    each = {key: value if isinstance(value, tuple) else (value,) * ndim for key, value in attrs.items()}
    return Sample((x, w, w[:1]) if bias else (x, w), {**_attrs(ndim), **each, "groups": groups})


_SAMPLES = (
    _sample((2, 3, 8, 9), (4, 3, 3, 2)),
    _sample((2, 3, 8, 9), (4, 3, 3, 3), bias=True, padding=1, stride=2),
    _sample((2, 4, 9, 7), (6, 2, 3, 2), groups=2, padding=(2, 1), dilation=(2, 3), bias=True),
    _sample((1, 6, 12, 40), (6, 1, 3, 3), groups=6, padding=1),
    _sample((3, 2, 21), (5, 2, 4), stride=3, padding=2),
    _sample((2, 2, 5, 6, 4), (3, 2, 2, 3, 2), stride=(1, 2, 1), padding=1),
    _sample((2, 20, 33, 19), (40, 20, 1, 1)),
    _sample((0, 1, 3, 3), (1, 1, 3, 3)),
    _sample((2, 16, 30, 31), (33, 16, 5, 5), padding=2, bias=True),
)


def _backward_samples(inputs: Any) -> tuple[Sample, ...]:
    """Those of a gradient: what `inputs(x, w, out)` gives, with its `size`."""
    samples = []
    for sample in _SAMPLES:
        x, w = sample.inputs[:2]
        a = sample.attrs
        out = tuple(map(out_size, x[2:], w[2:], a["stride"], a["padding"], a["dilation"]))
        shapes, size = inputs(x, w, (x[0], w[0], *out))
        samples.append(Sample(shapes, {"size": size, **a}))
    return tuple(samples)


def _products(out: Any, w: Any) -> int:
    return math.prod(out) * math.prod(w[1:])


_convolve = Op(
    "convolve",
    kind="kernel",
    attrs=_attrs(),
    infer=_convolve_infer,
    reference=_convolve_reference,
    vjp=_convolve_vjp,
    saves=("i1", "i0", ""),
    encode=_encode,
    macs=lambda x, w, *bias, **attrs: _products(_convolve_infer(x, w, **attrs)[0], w.shape),
    elements=lambda x, w, *bias, **attrs: len(bias) * math.prod(_convolve_infer(x, w, **attrs)[0]),
    terms=lambda x, w, *bias, **attrs: math.prod(w.shape[1:]),
    samples=_SAMPLES,
    absorb=(1, absorbed),
    epilogue=True,
    onnx="Conv",
)
_convolve_input = Op(
    "convolve_input",
    kind="kernel",
    attrs=_attrs(size=(1, 1)),
    infer=_convolve_input_infer,
    reference=_convolve_input_reference,
    vjp=_convolve_input_vjp,
    saves=("i1", "i0"),
    encode=_encode,
    macs=lambda g, w, **attrs: _products(g.shape, w.shape),
    terms=lambda g, w, *, groups, **attrs: math.prod(w.shape) // groups // w.shape[1],
    samples=lambda: (
        *_backward_samples(lambda x, w, out: ((out, w), x[2:])),
        Sample(((1, 4, 6, 1), (4, 3, 1, 5)), {"size": (6, 15), **_attrs(), "dilation": (1, 3)}),  # room for 3 places
    ),
    epilogue=True,
    onnx="ConvTranspose",
)
_convolve_weight = Op(
    "convolve_weight",
    kind="kernel",
    attrs=_attrs(size=(1, 1)),
    infer=_convolve_weight_infer,
    reference=_convolve_weight_reference,
    vjp=_convolve_weight_vjp,
    saves=("i1", "i0"),
    encode=_encode,
    macs=lambda x, g, *, size, groups, **attrs: math.prod(g.shape) * x.shape[1] // groups * math.prod(size),
    terms=lambda x, g, **attrs: g.shape[0] * math.prod(g.shape[2:]),
    samples=lambda: _backward_samples(lambda x, w, out: ((x, out), w[2:])),
)


# ---------------------------------------------------------------- public functions


def per_axis(name: str, what: str, value: Any, ndim: int, low: int = 1) -> Axes:
    """A number for all axes, or one for each."""
    values = (value,) * ndim if not isinstance(value, (tuple, list)) else tuple(value)
    if len(values) == 1:
        values = values * ndim
    if len(values) != ndim or not all(hasattr(v, "__index__") and not isinstance(v, bool) for v in values):
        raise ShapeError(f"{name}: {what}={value!r} must be an integer or {ndim} of them")
    values = tuple(v.__index__() for v in values)
    if min(values) < low:
        raise DomainError(f"{name}: {what}={value!r} must be >= {low}")
    return values


def batched(name: str, input: Any, ndim: int) -> tuple[Any, bool]:
    """`input` with a batch axis, and whether it came without."""
    if len(input.shape) not in (ndim + 1, ndim + 2):
        raise ShapeError(f"{name}: x{tuple(input.shape)} must have {ndim + 2} axes (N, C, ...) or {ndim + 1} (C, ...)")
    alone = len(input.shape) == ndim + 1
    return (unsqueeze(input, 0) if alone else input), alone


def _conv(ndim: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    name = f"conv{ndim}d"
    stride, dilation = per_axis(name, "stride", stride, ndim), per_axis(name, "dilation", dilation, ndim)
    input, alone = batched(name, input, ndim)
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ShapeError(f"{name}: padding='same' needs stride 1, not {stride}")
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:])]
        if any(t % 2 for t in total):
            extra = [side for t in reversed(total) for side in (0, t % 2)]
            input = pad(input, extra)
        padding = tuple(t // 2 for t in total)
    elif isinstance(padding, str):
        raise DomainError(f"{name}: padding={padding!r} must be numbers, 'same' or 'valid'")
    padding = per_axis(name, "padding", padding, ndim, 0)
    inputs = (input, weight) if bias is None else (input, weight, bias)
    out = _convolve(*inputs, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return squeeze(out, 0) if alone else out


def conv1d(
    input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """Convolution (cross-correlation) of (N, C, L) or (C, L) with kernels (O, C / groups, k), as `conv2d`."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """y[n, o, i, j] = bias[o] + sum over c, u, v of x[n, c, i s - p + u d, j s - p + v d] w[o, c, u, v], x 0 outside:
    (N, C, H, W) or (C, H, W) with kernels (O, C / groups, h, w) -> (N, O, H', W'), H' = (H + 2 p - d (h - 1) - 1) // s + 1.

    padding: numbers, "valid" (0) or "same" (as much as keeps H and W). groups: kernels of group g see the channels of
    group g alone.

    >>> import ranvier as rv
    >>> rv.conv2d(rv.ones(1, 1, 3, 3), rv.ones(1, 1, 3, 3), padding=1)[0, 0]
    tensor([[4., 6., 4.],
            [6., 9., 6.],
            [4., 6., 4.]])
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Array:  # fmt: skip
    """Convolution of (N, C, D, H, W) or (C, D, H, W) with kernels (O, C / groups, d, h, w), as `conv2d`."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    ndim: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    name = f"conv_transpose{ndim}d"
    stride, dilation = per_axis(name, "stride", stride, ndim), per_axis(name, "dilation", dilation, ndim)
    padding = per_axis(name, "padding", padding, ndim, 0)
    extra = per_axis(name, "output_padding", output_padding, ndim, 0)
    input, alone = batched(name, input, ndim)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ShapeError(f"{name}: output_padding={extra} must be smaller than stride={stride} or dilation={dilation}")
    if not is_float(input.dtype) or input.dtype != weight.dtype:
        raise DTypeError(
            f"{name}: x is {input.dtype} and weight is {weight.dtype}; both must be float32, or both float64"
        )
    if len(weight.shape) != ndim + 2 or groups < 1 or weight.shape[0] % groups or input.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"{name}: x{tuple(input.shape)} and weight{tuple(weight.shape)} with groups={groups}: x.shape[1] must equal "
            f"weight.shape[0], which groups must divide, and weight must have {ndim + 2} axes"
        )
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, k, s, p, d, e in zip(input.shape[2:], weight.shape[2:], stride, padding, dilation, extra)
    )
    if min(size) < 1:
        raise ShapeError(
            f"{name}: x{tuple(input.shape)} and weight{tuple(weight.shape)} give the size {size}; it must be >= 1"
        )
    out = _convolve_input(input, weight, size=size, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if bias is not None:
        if tuple(bias.shape) != (out.shape[1],) or bias.dtype != out.dtype:
            raise ShapeError(f"{name}: bias is {bias.dtype}{tuple(bias.shape)}, must be {out.dtype}({out.shape[1]},)")
        out = add(out, reshape(bias, (-1, *(1,) * ndim)))
    return squeeze(out, 0) if alone else out


def conv_transpose1d(
    input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Array:  # fmt: skip
    """Transposed convolution of (N, C, L) or (C, L) with kernels (C, O / groups, k), as `conv_transpose2d`."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Array:  # fmt: skip
    """The transpose of `conv2d` as a linear map of its input: x[n, c, i, j] w[c, o, u, v] is added to
    y[n, o, i s - p + u d, j s - p + v d]. (N, C, H, W) or (C, H, W) with kernels (C, O / groups, h, w) ->
    (N, O, H', W'), H' = (H - 1) s - 2 p + d (h - 1) + output_padding + 1.

    >>> import ranvier as rv
    >>> rv.conv_transpose2d(rv.ones(1, 1, 2, 2), rv.ones(1, 1, 2, 2), stride=2).shape
    (1, 1, 4, 4)
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Array:  # fmt: skip
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W) with kernels (C, O / groups, d, h, w), as
    `conv_transpose2d`."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
