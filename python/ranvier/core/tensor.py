"""The data part of tensors, and what makes tensors.

`ranvier.tensor` adds the methods, which are ops, and registers the class that has them: so ops, tape, graphs and compiled
functions know tensors without importing it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .context import Epoch, local, numbers, versions
from .device import CPU, Device, as_device
from .dtypes import ALL, CODE, as_dtype, get_default_dtype, is_float
from .errors import DTypeError, GradError, ShapeError, TraceError
from .traced import Traced, is_traced

if TYPE_CHECKING:
    from ..ops.public import Array
    from ..tensor import Tensor

_next_version = versions.__next__
_new = object.__new__


class Size(tuple):
    """What `x.size()` gives: a tuple of sizes that knows their product.

    >>> import ranvier as rv
    >>> rv.zeros(2, 3).size().numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"ranvier.Size({list(self)})"


class TensorBase:
    """An array, or what stands for one while a function is traced, and its place on the tape."""

    __slots__ = (
        "_data", "_requires_grad", "grad", "_node", "_index", "_base", "_version",
        "_hooks",  # see hooks.py; often not set
        "__weakref__", "__dict__",
    )  # fmt: skip

    def __init__(self, data: Any, requires_grad: bool = False):
        if isinstance(data, TensorBase):
            data = data._data
        elif not isinstance(data, np.ndarray):
            data = to_array(data, None)
        if data.dtype not in CODE:
            raise DTypeError(f"Tensor: dtype {data.dtype} must be one of {', '.join(d.name for d in ALL)}")
        self._data: Any = data
        self.grad: Tensor | None = None
        self._node: Any = None
        self._base: Tensor | None = None
        self._index = self._version = 0
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return len(self._data.shape)

    @property
    def device(self) -> Device:
        return Device(self._data.device) if is_traced(self._data) else CPU

    @property
    def is_leaf(self) -> bool:
        return self._node is None

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and not is_float(self.dtype):
            raise DTypeError(f"requires_grad: dtype {self.dtype} has no gradient; only float32 and float64 have")
        if self._node is not None and not value:
            raise GradError("requires_grad: can only be switched off on leaf tensors; use detach()")
        if bool(value) != self._requires_grad:
            self._requires_grad = bool(value)
            Epoch.bump()  # what a compiled step differentiates depends on it

    @property
    def version(self) -> int:
        """A number that grows whenever this tensor's memory is changed in place; views share it."""
        return self._version if self._base is None else self._base._version

    def _changed(self) -> None:
        whole = self if self._base is None else self._base
        whole._version = _next_version()
        if whole._node is not None and not is_traced(whole._data):
            whole._node.spoil(whole._index, whole._data)

    def hold(self, array: np.ndarray) -> None:
        """Take another array, of any shape and dtype; compiled functions notice."""
        if self._node is None and self._requires_grad and (array.shape != self.shape or array.dtype != self.dtype):
            self._index = next(numbers)  # calls with lower numbers have used another leaf
        self._data = array
        self._changed()
        Epoch.bump()

    def _array(self, what: str, values: bool = True) -> np.ndarray:
        if isinstance(self._data, Traced):
            raise TraceError(
                f"{what} needs the value of a tensor of shape {self.shape}, but inside a compiled function values are "
                "not known yet: return the tensor and look at it outside, or use where() instead of a branch"
            )
        if values and local.tracer is not None:
            local.tracer.read_value(self, what)
        return self._data


_tensor: type[Any] = TensorBase
_constant: Any = TensorBase


def register(tensor: type[TensorBase], constant: type[TensorBase]) -> None:
    """Make tensors of these classes; `constant` is that of shared numbers."""
    global _tensor, _constant
    _tensor, _constant = tensor, constant
    for name in TensorBase.__slots__:
        if not name.startswith("__"):
            setattr(tensor, name, getattr(TensorBase, name))  # the native module looks in the class itself


def wrap(data: Any, kind: Any = None) -> Any:
    """A tensor of that array or traced value, without a history."""
    t = _new(kind or _tensor)
    t._data = data
    t._requires_grad = False
    t.grad = t._node = t._base = None
    t._index = t._version = 0
    return t


def wrap_constant(data: Any) -> Any:
    """A shared 0-d tensor made for a number in an expression; a trace bakes its value in."""
    return wrap(data, _constant)


def is_constant(t: Any) -> bool:
    """Whether `t` comes from `wrap_constant`."""
    return type(t) is _constant


def native(array: np.ndarray) -> np.ndarray:
    """`array`, or a copy of it in the machine's byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def to_array(data: Any, dtype: Any, name: str = "tensor") -> np.ndarray:
    """The array for a tensor of `data`: numbers, nested sequences of them, or an array; errors name the function."""
    try:
        array = np.asarray(data)
    except ValueError:
        raise ShapeError(f"{name}: nested sequences must have equal lengths") from None
    array = native(array)
    if dtype is not None:
        return _fitting(array, as_dtype(dtype), data, name)
    if array.dtype in CODE and (isinstance(data, (np.ndarray, np.generic)) or array.dtype != np.float64):
        return array
    if array.dtype.kind == "f":
        return array.astype(get_default_dtype())
    if array.dtype.kind in "iu":
        return _fitting(array, np.dtype(np.int64), data, name)
    raise DTypeError(f"{name}: {type(data).__name__} with dtype {array.dtype} cannot become a tensor")


def _fitting(array: np.ndarray, dtype: np.dtype, data: Any, name: str) -> np.ndarray:
    """`array` in `dtype`; refuses what is no number, and numbers that the integers of `dtype` do not include."""
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{name}: {data!r:.60} of type {type(data).__name__} cannot become {dtype}")
    if dtype.kind in "iu" and array.dtype.kind in "iuf" and array.dtype != dtype and array.size:
        range_ = np.iinfo(dtype)
        low, high = array.min(), array.max()  # nan, if there is one
        if array.dtype.kind == "f":  # 2**63 is a float64, 2**63 - 1 is not
            fits = low >= range_.min and high < float(range_.max) + 1
        else:
            fits = int(low) >= range_.min and int(high) <= range_.max
        if not fits:
            worst = high if not high <= range_.max else low
            raise DTypeError(f"{name}: {worst} does not fit {dtype}, whose range is [{range_.min}, {range_.max}]")
    return array.astype(dtype)


def with_grad(tensors: Iterable[Any]) -> list[Any]:
    """Those that have a gradient; a trace holds while it is these."""
    tensors = list(tensors)
    if local.tracer is not None:
        for t in tensors:
            local.tracer.read_grad(t)
    return [t for t in tensors if t.grad is not None]


def as_tensor(data: Array, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where it is one already or is a NumPy array of the dtype."""
    if device is not None:
        as_device(device, "as_tensor")
    if isinstance(data, TensorBase):
        t: Any = data
        return t if dtype is None else t.to(dtype)
    if isinstance(data, np.ndarray) and dtype is None and data.dtype in CODE:
        return from_numpy(data)
    return from_numpy(to_array(data, dtype))


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of `array`."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: {type(array).__name__} must be a NumPy array")
    t = _new(_tensor)
    TensorBase.__init__(t, array)
    return t
