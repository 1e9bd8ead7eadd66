"""Names of `torch` itself."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ... import autograd as _autograd
from ... import set_default_dtype as _set_default_dtype
from ...autograd import Variable as Variable
from ...core.dtypes import as_dtype as _as_dtype
from ...core.errors import DTypeError as _DTypeError
from .serialization import load as load
from .serialization import save as save

__version__ = "2.13.0"  # of PyTorch, whose names these are: scripts compare it

strided = "strided"
contiguous_format, channels_last, preserve_format = "contiguous_format", "channels_last", "preserve_format"
grad = _autograd.grad


class MissingType(str):
    """A dtype that PyTorch has and Ranvier has not: it can be named and compared, and no tensor has it."""

    def __repr__(self) -> str:
        return f"torch.{self}"


float16 = half = MissingType("float16")
bfloat16 = MissingType("bfloat16")
complex64 = cfloat = MissingType("complex64")
complex128 = cdouble = MissingType("complex128")


def set_default_tensor_type(t: Any) -> None:
    """`torch.DoubleTensor`, or its name, as the type of new tensors."""
    name = t if isinstance(t, str) else t.__name__
    kinds = {"FloatTensor": np.float32, "DoubleTensor": np.float64}
    kind = name.rpartition(".")[2]
    if kind not in kinds:
        raise _DTypeError(f"set_default_tensor_type: {name} must be one of {', '.join(kinds)}")
    _set_default_dtype(_as_dtype(kinds[kind]))


def compile(model: Any = None, **options: Any) -> Any:
    """The model or function as it is: a training loop becomes a plan without it."""
    return (lambda f: f) if model is None else model


def set_float32_matmul_precision(precision: str) -> None:
    """ "highest" is what Ranvier computes; the others allow less, and need not."""


def get_float32_matmul_precision() -> str:
    """How products of float32 are computed."""
    return "highest"


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing to do: all algorithms are."""


def are_deterministic_algorithms_enabled() -> bool:
    """Always."""
    return True


def spmm(mat1: Any, mat2: Any) -> Any:
    """A product with a sparse matrix, which is dense here."""
    return mat1 @ mat2


def sparse_coo_tensor(indices: Any, values: Any, size: Any = None, **options: Any) -> Any:
    """The tensor that has these values at these places, (dims, count), dense. Values at one place add up."""
    from ... import as_tensor, zeros

    places, values = as_tensor(indices), as_tensor(values)
    size = tuple(size) if size is not None else tuple(int(n) + 1 for n in places.max(1).values.tolist())
    warnings.warn("sparse_coo_tensor: sparse tensors are dense here", stacklevel=2)
    return zeros(size, dtype=values.dtype).index_put(tuple(places), values, accumulate=True)
