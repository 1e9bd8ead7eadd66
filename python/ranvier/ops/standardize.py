"""(x - mean) * scale, and the sums of products that its gradient needs: what all normalisations are made of.

As ops of their own they meet the others in plans: the map joins the elementwise ops around it, and the gradient of a
normalisation is two sums and one such map.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.errors import DTypeError, ShapeError
from .elementwise import add, if_needed, mul, of_floats, sub
from .record import Aval, Op, Sample, Spec
from .reduction import reduced, terms_of
from .reduction import sum as _sum
from .shape import beside, reshape

# ---------------------------------------------------------------- the map


def _spread_axes(shape: tuple[int, ...], of: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of `shape` along which an array of shape `of` is the same."""
    extra = len(shape) - len(of)
    return tuple(d for d, n in enumerate(shape) if d < extra or (of[d - extra] == 1 and n != 1))


def _vjp(g: Any, out: Any, x: Any, mean: Any, scale: Any) -> tuple:
    def of_mean() -> Any:
        dim = _spread_axes(g.shape, mean.shape)
        if mean.shape != scale.shape or not dim:
            return -(g * scale)
        return -(reshape(_sum(g, dim, True), mean.shape) * scale)

    def of_scale() -> Any:
        dim = _spread_axes(g.shape, scale.shape)
        if mean.shape != scale.shape or x.shape != g.shape or not _sums_along(g.shape, dim):
            return g * sub(x, mean)
        full = (*(1,) * (len(g.shape) - len(mean.shape)), *mean.shape)
        return reshape(_covary(g, x, reshape(mean, full), dim=dim), scale.shape)

    return if_needed(x, lambda: g * scale), if_needed(mean, of_mean), if_needed(scale, of_scale)


standardize: Op = of_floats(
    "standardize",
    arity=3,
    saves=("i2", "i2", "i01"),
    flops=2,
    max_ulp=1.5,
    reference=lambda xp, x, mean, scale: (x - mean) * scale,
    vjp=_vjp,
    affine=lambda do, mean, scale: (scale, do("mul", do("neg", mean), scale)),
    doc="(x - mean) * scale",
)


# ---------------------------------------------------------------- the sums


def _sums_along(shape: tuple[int, ...], dim: tuple[int, ...]) -> bool:
    """Whether the axes are (summed, kept, summed), each of these any number of axes, which the kernel takes."""
    kept = [d for d in range(len(shape)) if d not in dim]
    return bool(dim) and kept == list(range(min(kept, default=0), max(kept, default=-1) + 1))


def _infer(g: Aval, x: Aval, mean: Aval, *, dim: tuple[int, ...]) -> Spec:
    if x.dtype.kind != "f" or not g.dtype == x.dtype == mean.dtype:
        raise DTypeError(f"covary: dtypes {g.dtype}, {x.dtype} and {mean.dtype} must be one of float32 and float64")
    shape = reduced(x.shape, dim, True)
    if g.shape != x.shape or mean.shape != shape or not _sums_along(x.shape, dim):
        raise ShapeError(f"covary: g{g.shape}, x{x.shape} and mean{mean.shape} do not go together along {dim}")
    return shape, x.dtype


def _covary_vjp(h: Any, out: Any, g: Any, x: Any, mean: Any, *, dim: tuple[int, ...]) -> tuple:
    return (
        if_needed(g, lambda: standardize(x, mean, h)),
        if_needed(x, lambda: h * g),
        if_needed(mean, lambda: -(h * _sum(g, dim, True))),
    )


def _encode(g: Aval, x: Aval, mean: Aval, *, dim: tuple[int, ...]) -> dict[str, Any]:
    """Sizes of what is summed before the kept axes, of these, and of what is summed behind them."""
    kept = [d for d in range(len(x.shape)) if d not in dim] or [0]
    return {
        "before": math.prod(x.shape[: kept[0]]),
        "kept": math.prod(mean.shape),
        "behind": math.prod(x.shape[kept[-1] + 1 :]) if len(dim) < len(x.shape) else math.prod(x.shape),
    }


def _sample(shape: tuple[int, ...], *dim: int) -> Sample:
    return Sample((shape, shape, reduced(shape, dim, True)), {"dim": dim})


_covary = Op(
    "covary",
    kind="kernel",
    attrs={"dim": (0,)},
    infer=_infer,
    reference=lambda xp, g, x, mean, *, dim: xp.sum(g * (x - mean), axis=dim, keepdims=True),
    vjp=_covary_vjp,
    saves=("i12", "i0", "i0"),
    encode=_encode,
    flops=lambda g, x, mean, **attrs: 3 * math.prod(x.shape),
    terms=lambda g, x, mean, *, dim: terms_of(x, dim=dim),
    samples=(
        _sample((2, 3, 8, 9), 0, 2, 3),
        _sample((5, 3, 100), 0, 2),
        _sample((70, 33), 0),
        _sample((4, 3, 70), 1, 2),
        _sample((7, 5), 1),
        _sample((3, 4), 0, 1),
        _sample((300, 600, 1), 0, 2),
        _sample((0, 3, 4), 0, 2),
        _sample((3, 0, 4), 0, 2),
        _sample((6, 40, 3, 3), 0, 2, 3),
        _sample((3, 2, 5000), 0, 2),
    ),
    doc="sum of g (x - mean) over the axes along which the mean is the same",
)


def center_scale(x: Any, mean: Any, scale: Any, weight: Any, bias: Any) -> Any:
    """(x - mean) * (scale * weight) + bias: for weights, if any, along the mean's axes."""
    scaled = standardize(x, mean, scale if weight is None else mul(scale, weight))
    return scaled if bias is None else add(scaled, bias)


def scale_shift(x: Any, weight: Any, bias: Any) -> Any:
    """x * weight + bias, as far as they are given; the gradient of weight is one sum."""
    if weight is not None:
        x = standardize(x, beside(np.zeros(weight.shape, weight.dtype), weight), weight)
    return x if bias is None else add(x, bias)


def absorbed(do: Any, weight: Any, bias: Any = None, *, scale: Any, shift: Any) -> tuple:
    """The weight (and bias) of a layer whose results are to be multiplied by `scale` and moved by `shift`, a number for
    each of the channels that weight's first axis makes: for `Op.absorb`."""
    channels = weight.shape[:1]
    if scale is not None:
        weight = do("mul", weight, do("reshape", scale, shape=(*channels, *(1,) * (len(weight.shape) - 1))))
        bias = None if bias is None else do("mul", bias, do("reshape", scale, shape=channels))
    if shift is not None:
        shift = do("reshape", shift, shape=channels)
        bias = shift if bias is None else do("add", bias, shift)
    return (weight,) if bias is None else (weight, bias)
