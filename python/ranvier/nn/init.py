"""Initialisers: fill a tensor in place and return it. Names, arguments and distributions are PyTorch's."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import random
from ..core.context import no_grad
from ..core.errors import ShapeError
from ..core.namespace import listing as _listing
from ..tensor import Tensor

__all__ = [
    "calculate_gain", "uniform_", "normal_", "trunc_normal_", "constant_", "ones_", "zeros_", "eye_",
    "dirac_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_",
    "orthogonal_", "sparse_",
]  # fmt: skip

_CONVOLUTIONS = [f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)]
_GAINS = {
    **dict.fromkeys(("linear", *_CONVOLUTIONS, "sigmoid"), 1.0),
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights before `nonlinearity` should be larger; `param` is leaky_relu's slope.

    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"calculate_gain: nonlinearity={nonlinearity!r} must be one of {known}")
    return _GAINS[nonlinearity]


def _fans(name: str, tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ShapeError(f"{name}: tensor{tuple(tensor.shape)} must have at least 2 axes (out, in, ...)")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fill(tensor: Tensor, values: np.ndarray) -> Tensor:
    with no_grad():
        return tensor.copy_(values.astype(tensor.dtype))


def _draw(shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Standard normal or uniform float64 values from Ranvier's generator."""
    return getattr(random, kind)(*shape, dtype=np.float64).numpy()


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Values from U[a, b)."""
    with no_grad():
        return tensor.uniform_(a, b)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Values from N(mean, std^2)."""
    with no_grad():
        return tensor.normal_(mean, std)


# Rational approximations of the normal quantile, relative error about 1e-7, highest power first.
# M. Wichura, Algorithm AS 241 (PPND7), Applied Statistics 37 (1988) 477-484.
_CENTRE = (5.9109374720e1, 1.5929113202e2, 5.0434271938e1, 3.3871327179), \
          (6.7187563600e1, 7.8757757664e1, 1.7895169469e1, 1.0)  # fmt: skip
_MIDDLE = (1.7023821103e-1, 1.3067284816, 2.7568153900, 1.4234372777), (1.2021132975e-1, 7.3700164250e-1, 1.0)
_TAIL = (
    (1.7337203997e-2, 4.2868294337e-1, 3.0812263860, 6.6579051150),
    (1.2258202635e-2, 2.4197894225e-1, 1.0),
)


def _normal_quantile(p: np.ndarray) -> np.ndarray:
    """x with P(N(0, 1) < x) = p, for p in (0, 1)."""
    q = p - 0.5
    r = np.sqrt(-np.log(np.minimum(p, 1.0 - p)))

    def ratio(coefficients: tuple, x: np.ndarray) -> np.ndarray:
        return np.polyval(coefficients[0], x) / np.polyval(coefficients[1], x)

    outer = np.copysign(np.where(r <= 5.0, ratio(_MIDDLE, r - 1.6), ratio(_TAIL, r - 5.0)), q)
    return np.where(np.abs(q) <= 0.425, q * ratio(_CENTRE, 0.180625 - q * q), outer)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Values from N(mean, std^2), restricted to [a, b]: x = mean + std * quantile(U[Phi(a'), Phi(b')])."""
    if not a < b:
        raise ValueError(f"trunc_normal_: a={a} must be below b={b}")

    def cdf(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2.0))

    low, high = cdf((a - mean) / std), cdf((b - mean) / std)
    p = low + (high - low) * _draw(tuple(tensor.shape), "rand")
    values = mean + std * _normal_quantile(np.clip(p, 1e-300, 1.0 - 1e-16))
    return _fill(tensor, np.clip(values, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: tensor{tuple(tensor.shape)} must have 2 axes")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights (out, in, *kernel) that pass each channel through unchanged."""
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError(f"dirac_: tensor{tuple(tensor.shape)} must have 3, 4 or 5 axes (out, in, *kernel)")
    if tensor.shape[0] % groups:
        raise ShapeError(f"dirac_: shape[0]={tensor.shape[0]} must be divisible by groups={groups}")
    values = np.zeros(tensor.shape)
    per_group = tensor.shape[0] // groups
    centre = tuple(k // 2 for k in tensor.shape[2:])
    for g in range(groups):
        for i in range(min(per_group, tensor.shape[1])):
            values[(g * per_group + i, i) + centre] = 1.0
    return _fill(tensor, values)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """U(-b, b) with b = gain * sqrt(6 / (fan_in + fan_out)). Glorot and Bengio, 2010."""
    fan_in, fan_out = _fans("xavier_uniform_", tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, s^2) with s = gain * sqrt(2 / (fan_in + fan_out)). Glorot and Bengio, 2010."""
    fan_in, fan_out = _fans("xavier_normal_", tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)))


def _kaiming_std(name: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode={mode!r} must be 'fan_in' or 'fan_out'")
    fan = _fans(name, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """U(-b, b) with b = gain * sqrt(3 / fan). He et al., 2015; `a` is leaky_relu's slope."""
    bound = math.sqrt(3.0) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """N(0, s^2) with s = gain / sqrt(fan). He et al., 2015; `a` is leaky_relu's slope."""
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Orthonormal rows (or columns, if fewer) of the matrix (shape[0], rest), times gain. Saxe, 2013."""
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: tensor{tuple(tensor.shape)} must have at least 2 axes")
    rows = tensor.shape[0]
    cols = math.prod(tensor.shape[1:])
    if rows * cols == 0:
        return tensor
    q, r = np.linalg.qr(_draw((max(rows, cols), min(rows, cols)), "randn"))
    q *= np.sign(np.diagonal(r))  # makes the distribution uniform over orthogonal matrices
    return _fill(tensor, gain * (q if rows >= cols else q.T).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """N(0, std^2) with ceil(sparsity * rows) zeros in each column. Martens, 2010."""
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: tensor{tuple(tensor.shape)} must have 2 axes")
    if not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"sparse_: sparsity={sparsity} must be in [0, 1]")
    shape = tuple(tensor.shape)
    values = std * _draw(shape, "randn")
    rank = np.argsort(_draw(shape, "rand"), axis=0)
    zeros = math.ceil(sparsity * shape[0])
    np.put_along_axis(values, rank[:zeros], 0.0, axis=0)
    return _fill(tensor, values)


def default(weight: Any, bias: Any) -> None:
    """PyTorch's default for linear and convolution layers: both from U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    kaiming_uniform_(weight, a=math.sqrt(5.0))
    if bias is not None:
        fan_in = _fans("bias", weight)[0]
        bound = 1.0 / math.sqrt(fan_in) if fan_in > 0 else 0.0
        uniform_(bias, -bound, bound)


Initialiser = TypeVar("Initialiser", bound=Callable)


def _renamed(new: Initialiser) -> Initialiser:
    """`new` under its old name, without the underscore."""
    old = new.__name__.rstrip("_")

    @functools.wraps(new)
    def initialise(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(f"nn.init.{old} is now called nn.init.{new.__name__}", FutureWarning, stacklevel=2)
        return new(*args, **kwargs)

    return initialise  # type: ignore[return-value]


uniform, normal, constant = _renamed(uniform_), _renamed(normal_), _renamed(constant_)
eye, dirac, orthogonal, sparse = _renamed(eye_), _renamed(dirac_), _renamed(orthogonal_), _renamed(sparse_)
xavier_uniform, xavier_normal = _renamed(xavier_uniform_), _renamed(xavier_normal_)
kaiming_uniform, kaiming_normal = _renamed(kaiming_uniform_), _renamed(kaiming_normal_)


__dir__ = _listing(globals())
