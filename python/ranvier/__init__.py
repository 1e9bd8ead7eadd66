"""Ranvier: a neural-network library whose hot path is native.

>>> import ranvier as rv
>>> rv.ones(2, 2) @ rv.ones(2, 2)
tensor([[2., 2.],
        [2., 2.]])
"""

from __future__ import annotations

from importlib import import_module as _import
from typing import Any

__version__ = "0.1.0"

from . import autograd, ops, random
from .backends import backend
from .config import get_num_threads, set_num_threads, show_config
from .core import errors
from .core.context import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .core.dtypes import bool_, float32, float64, get_default_dtype, int32, int64, set_default_dtype, uint8
from .core.errors import (
    BackendError,
    DomainError,
    DTypeError,
    GradError,
    OutOfRangeError,
    RanvierError,
    ShapeError,
    StateError,
    TraceError,
)
from .ops import *  # noqa: F403  (the functions of all families)
from .ops.public import expose as _expose
from .random import *  # noqa: F403
from .tensor import Tensor, as_tensor, from_dlpack, from_numpy, is_tensor, tensor

_expose(globals(), [*random.__all__, "tensor", "as_tensor", "from_numpy", "from_dlpack"])

# Imported at first use: they cost time that a script may not need to spend.
_LAZY_MODULES = ("compiling", "data", "graph", "nn", "optim", "saving", "train")
_LAZY = {
    "compile": "compiling",
    "verify": "graph",
    "load": "saving",
    "save": "saving",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return _import(f".{name}", __name__)
    if name in _LAZY:
        value = getattr(_import(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ranvier' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_MODULES})


float = float32  # noqa: A001  (PyTorch's names)
double, int, long, bool = float64, int32, int64, bool_  # noqa: A001
