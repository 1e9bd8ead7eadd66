"""NumPy's namespace, with Ranvier's kernels where they compute the same: `import ranvier.numpy as np`.

Every name is NumPy's and means what it means there: arrays and scalars in and out, dtypes, broadcasting, `axis`, `keepdims`.
Calls on float32 and float64 arrays with at most an axis go to Ranvier; all others (`out=`, `where=`, `dtype=`, lists,
integers, subclasses), and all names that Ranvier has not, are NumPy's own. Tensors are taken too, and recorded.

Two things differ, as everywhere in Ranvier: floating-point events give no warnings, and numbers below the least normal
one count as zero.

>>> import ranvier.numpy as np
>>> x = np.array([0.0, 1.0])
>>> np.exp(x).dtype, type(np.sum(x)).__name__
(dtype('float64'), 'float64')
>>> np.split(x, 2)[0]
array([0.])
"""

from __future__ import annotations

from typing import Any

import numpy as _numpy

from . import ops as _ops
from .core.tensor import TensorBase as _TensorBase

_ARRAY = _numpy.ndarray
_FLOATS = frozenset((_numpy.dtype(_numpy.float32), _numpy.dtype(_numpy.float64)))


class Routed:
    """NumPy's function of that name, which goes to Ranvier's (`known` there) for the arguments that it `takes`."""

    takes: Any

    def __init__(self, name: str, known: str = ""):
        self.ours, self.theirs = getattr(_ops, known or name), getattr(_numpy, name)
        self.__name__, self.__doc__ = name, self.theirs.__doc__

    def other(self, x: Any) -> Any:
        """The function for a first argument that is not a plain array of floats."""
        return self.ours if isinstance(x, _TensorBase) else self.theirs

    def __getattr__(self, name: str) -> Any:  # `outer`, `reduce` and the like, of NumPy's
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.theirs, name)

    def __repr__(self) -> str:
        return f"<ranvier.numpy.{self.__name__}>"


class _Unary(Routed):
    def __call__(self, x: Any, /, *args: Any, **options: Any) -> Any:
        if type(x) is _ARRAY and x.ndim and x.dtype in _FLOATS and not args and not options:
            return self.ours(x)
        return self.other(x)(x, *args, **options)


class _Reduction(Routed):
    def __call__(self, a: Any, axis: Any = None, *args: Any, **options: Any) -> Any:
        if type(a) is _ARRAY and a.size and a.ndim and a.dtype in _FLOATS and not args and axis != ():
            if not options:
                return self.ours(a, axis)[()]  # without axes a scalar, as NumPy's
            if [*options] == ["keepdims"]:
                return self.ours(a, axis, bool(options["keepdims"]))[()]
        return self.other(a)(a, axis, *args, **options)


class _Product(Routed):
    def __call__(self, a: Any, b: Any, *args: Any, **options: Any) -> Any:
        if type(a) is type(b) is _ARRAY and a.ndim == b.ndim == 2 and not args and not options:
            if a.dtype == b.dtype and a.dtype in _FLOATS:
                return self.ours(a, b)
        return self.other(a)(a, b, *args, **options)


# What only moves memory, as `add` does, would gain nothing over NumPy's own.
for _name in (
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "sinh", "cosh", "tanh",
):  # fmt: skip
    globals()[_name] = _Unary(_name)
for _name, _known in (("arcsin", "asin"), ("arccos", "acos"), ("arctan", "atan")):
    globals()[_name] = globals()[_known] = _Unary(_name, _known)
for _name in ("sum", "mean", "prod", "amax", "amin"):
    globals()[_name] = _Reduction(_name)
max, min = _Reduction("max", "amax"), _Reduction("min", "amin")
matmul, dot = _Product("matmul"), _Product("dot", "matmul")


def __getattr__(name: str) -> Any:
    try:
        value = getattr(_numpy, name)
    except AttributeError:
        raise AttributeError(f"module 'ranvier.numpy' has no attribute {name!r}: nor has NumPy") from None
    globals()[name] = value
    return value


__all__ = list(_numpy.__all__)


def __dir__() -> list[str]:
    return sorted(__all__)
