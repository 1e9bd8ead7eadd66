"""Ranvier: a neural-network library whose hot path is native.

>>> import ranvier as rv
>>> rv.ones(2, 2) @ rv.ones(2, 2)
tensor([[2., 2.],
        [2., 2.]])
"""

# ruff: noqa: I001
from __future__ import annotations

from importlib import import_module as _import
from math import e as e, inf as inf, nan as nan, pi as pi
from typing import TYPE_CHECKING, Any

from numpy import finfo as finfo, iinfo as iinfo, newaxis as newaxis

# `as` makes a name the package's own to type checkers
from . import autograd as autograd, config as config, ops as ops, random as random
from .backends import backend as backend
from .config import get_num_threads as get_num_threads, set_num_threads as set_num_threads, show_config as show_config
from .core import errors as errors
from .core.context import (
    enable_grad as enable_grad, inference_mode as inference_mode, is_grad_enabled as is_grad_enabled,
    no_grad as no_grad, set_grad_enabled as set_grad_enabled,
)  # fmt: skip
from .core.device import Device as _Device
from .core.dtypes import (
    bool_ as bool_, can_cast as can_cast, float32 as float32, float64 as float64, get_default_dtype as get_default_dtype,
    int32 as int32, int64 as int64, promote_types as promote_types, result_type as result_type,
    set_default_dtype as set_default_dtype, uint8 as uint8,
)  # fmt: skip
from .core.errors import (
    BackendError as BackendError, DomainError as DomainError, DTypeError as DTypeError, GradError as GradError,
    OutOfRangeError as OutOfRangeError, RanvierError as RanvierError, ShapeError as ShapeError,
    StateError as StateError, TraceError as TraceError,
)  # fmt: skip
from .core.namespace import listing as _listing
from .core.printing import set_printoptions as set_printoptions
from .core.tensor import Size as Size, as_tensor as as_tensor, from_numpy as from_numpy
from .ops import *  # noqa: F403  (the functions of all families)
from .kinds import (
    BoolTensor as BoolTensor, ByteTensor as ByteTensor, DoubleTensor as DoubleTensor, FloatTensor as FloatTensor,
    IntTensor as IntTensor, LongTensor as LongTensor,
)  # fmt: skip
from .ops.public import expose as _expose
from .random import *  # noqa: F403
from .tensor import (
    Tensor as Tensor, from_dlpack as from_dlpack, is_floating_point as is_floating_point, is_tensor as is_tensor,
    tensor as tensor,
)  # fmt: skip
from .version import __version__ as __version__

_expose(globals(), [*random.__all__, "tensor", "as_tensor", "from_numpy", "from_dlpack", "is_floating_point"])
_expose(globals(), ["can_cast", "promote_types", "result_type"])

# Imported at first use: they cost time that a script may not need to spend.
_LAZY_MODULES = (
    "compiling", "compress", "cuda", "data", "distributions", "graph", "linalg", "models", "nn", "numpy", "optim", "saving",
    "train", "utils",
)  # fmt: skip
_LAZY = {
    "compile": "compiling",
    "verify": "graph",
    "load": "saving",
    "save": "saving",
    "growth": "profiling",
    "profile": "profiling",
    "summary": "profiling",
}

if TYPE_CHECKING:
    from . import compiling as compiling, compress as compress, data as data, graph as graph, nn as nn, optim as optim
    from . import cuda as cuda, distributions as distributions, linalg as linalg, models as models, numpy as numpy
    from . import saving as saving, train as train, utils as utils
    from .compiling import compile as compile
    from .graph import verify as verify
    from .saving import load as load, save as save
    from .profiling import growth as growth, profile as profile, summary as summary
else:

    def __getattr__(name: str) -> Any:
        if name in _LAZY_MODULES:
            return _import(f".{name}", __name__)
        if name in _LAZY:
            value = getattr(_import(f".{_LAZY[name]}", __name__), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module 'ranvier' has no attribute {name!r}")


__dir__ = _listing(globals(), ("autograd", "config", "errors", "ops", "random", *_LAZY, *_LAZY_MODULES))


device = _Device
asarray = as_tensor
float = float32  # noqa: A001  (PyTorch's names)
double, int, long, bool = float64, int32, int64, bool_  # noqa: A001
