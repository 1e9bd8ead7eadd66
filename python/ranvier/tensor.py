"""Tensor: an array, and what it takes to differentiate through it.

The array is a NumPy array; while a function is traced it is a `Value` of the graph, which has the same shape and dtype.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import ops
from .autograd import engine, hooks, views
from .core.context import Epoch, local, numbers
from .core.device import Device, as_device, is_device
from .core.dtypes import TENSOR_NAMES, category, get_default_dtype, is_float
from .core.errors import DomainError, DTypeError, GradError, ShapeError, TraceError
from .core.memory import aligned_copy, aligned_empty
from .core.printing import text_of
from .core.tape import DETACHED, check_view, keep_saved
from .core.tensor import Size, TensorBase, as_tensor, from_numpy, register, to_array, wrap
from .core.traced import is_traced
from .ops.dispatch import apply_into, share
from .ops.indexing import get_item, set_item
from .ops.public import Public, explain, made_public
from .ops.record import as_sizes

if TYPE_CHECKING:
    from ._methods import Methods
else:
    Methods = object  # they are attached below, from the public functions


_get_item = made_public(get_item, remembers=True)


class Tensor(TensorBase, Methods):
    """A multi-dimensional array of one dtype that remembers how it was computed.

    `Tensor(data)` holds `data` (an array, a tensor, nested sequences of numbers) in the default dtype, and shares the memory
    of an array that has it; `Tensor(2, 3)`, of integers, is an unset tensor of that size. `tensor(data)` chooses the dtype
    by the data, and copies it; `from_numpy(array)` shares an array of any dtype.

    Args:
        requires_grad: whether backward() shall leave this tensor's gradient in `.grad`.

    >>> import ranvier as rv
    >>> x = rv.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()

    def __init__(self, *data: Any, requires_grad: bool = False, device: Any = None):
        as_device(device, "Tensor")
        super().__init__(data_or_size("Tensor", data, get_default_dtype()), requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set requires_grad and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without history."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        value = as_tensor(value)
        if value.shape == self.shape and value.dtype == self.dtype or local.tracer is not None:
            with_grad, self._requires_grad = self._requires_grad, False
            try:
                self.copy_(value)
            finally:
                self._requires_grad = with_grad
        else:  # another shape or dtype: another array, which compiled functions must not overlook
            self.hold(np.array(value._array("data")))

    def dim(self) -> int:
        return self.ndim

    ndimension = dim

    @overload
    def size(self, dim: None = None) -> Size: ...
    @overload
    def size(self, dim: int) -> int: ...
    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return Size(self.shape) if dim is None else self.shape[dim]

    def element_size(self) -> int:
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._array("data_ptr", values=False).__array_interface__["data"][0]

    @property
    def is_cuda(self) -> bool:
        return False

    is_xpu = is_mps = is_meta = is_sparse = is_quantized = is_cuda

    @property
    def is_cpu(self) -> bool:
        return True

    def get_device(self) -> int:
        """-1: the number of the CPU."""
        return -1

    def nelement(self) -> int:
        return self.numel()

    def view_as(self, other: Tensor) -> Tensor:
        """reshape(other.shape)"""
        return self.reshape(other.shape)

    reshape_as = view_as

    def type_as(self, other: Tensor) -> Tensor:
        """to(other.dtype)"""
        return self.to(other.dtype)

    def where(self, condition: Any, other: Any) -> Tensor:
        """self where `condition` holds, else `other`"""
        return ops.where(condition, self, other)

    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """A new tensor of `data`, in this tensor's dtype unless given."""
        return tensor(data, self.dtype if dtype is None else dtype, requires_grad, device=device)

    def new_zeros(self, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
        return ops.zeros(*size, dtype=self.dtype if dtype is None else dtype, **options)

    def new_ones(self, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
        return ops.ones(*size, dtype=self.dtype if dtype is None else dtype, **options)

    def new_empty(self, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
        return ops.empty(*size, dtype=self.dtype if dtype is None else dtype, **options)

    def new_full(self, size: Any, fill_value: Any, dtype: Any = None, **options: Any) -> Tensor:
        return ops.full(size, fill_value, dtype=self.dtype if dtype is None else dtype, **options)

    def is_floating_point(self) -> bool:
        return is_float(self.dtype)

    def is_complex(self) -> bool:
        return False

    def is_signed(self) -> bool:
        return self.dtype.kind in "if"

    def is_same_size(self, other: Tensor) -> bool:
        return self.shape == other.shape

    def is_nonzero(self) -> bool:
        """Whether the only element is not 0."""
        return bool(self)

    def is_contiguous(self) -> bool:
        return bool(self._array("is_contiguous", values=False).flags.c_contiguous)

    def stride(self) -> tuple[int, ...]:
        """Steps between neighbours along each axis, in elements."""
        return tuple(s // self.dtype.itemsize for s in self._array("stride", values=False).strides)

    # ------------------------------------------------------------ to plain Python and NumPy

    def numpy(self) -> np.ndarray:
        """The array itself, without a copy. The tensor must not require a gradient, unless none are recorded."""
        if self._requires_grad and local.grad_enabled:
            raise GradError("numpy(): the tensor requires a gradient; call detach().numpy()")
        return self._array("numpy()")

    def item(self) -> Any:
        """The only element as a Python number."""
        data = self._array("item()")
        if data.size != 1:
            raise ShapeError(f"item: a tensor of shape {self.shape} has {data.size} elements, must have 1")
        return data.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._array("tolist()").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        data = self._array("conversion to a NumPy array")
        return np.array(data, dtype=dtype) if copy else np.asarray(data, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        """`array + tensor` is the tensor's own operator; otherwise NumPy's functions see arrays and give arrays."""
        operator = _operators.get(ufunc) if method == "__call__" and out is None and not options else None
        if operator is not None:
            return operator(*inputs)
        if out is not None:
            if any(isinstance(x, Tensor) for x in out):
                raise DTypeError(f"{ufunc.__name__}: out must be a NumPy array; tensors change by copy_() and the like")
            options["out"] = out
        return getattr(ufunc, method)(*_without_tensors(ufunc.__name__, inputs), **options)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        name = function.__name__
        return function(*_without_tensors(name, args), **_without_tensors(name, kwargs))

    def __dlpack__(self, **options: Any) -> Any:
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array("__dlpack_device__", values=False).__dlpack_device__()

    def __round__(self, ndigits: int | None = None) -> Tensor:
        return ops.round(self, decimals=ndigits or 0)

    def __bool__(self) -> bool:
        data = self._array("bool()")
        if data.size != 1:
            raise ShapeError(f"bool: the truth of a tensor of shape {self.shape} is ambiguous; use any() or all()")
        return bool(data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if is_float(self.dtype):
            raise DTypeError(f"index: dtype {self.dtype} must be an integer dtype")
        return int(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len: a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        if is_traced(self._data):
            return f"tensor(traced, shape={self.shape}, dtype={self.dtype})"
        prefix = "tensor("
        text = text_of(self._data, prefix)
        tail = ""
        if self.dtype not in (get_default_dtype(), np.dtype("int64"), np.dtype("bool")) or self.numel() == 0:
            tail += f", dtype={self.dtype}"
        if self.numel() == 0:
            tail = f", shape={self.shape}{tail}"
        if self._node is not None:
            tail += f", grad_fn=<{self._node.call.op.name}>"
        elif self._requires_grad:
            tail += ", requires_grad=True"
        return f"{prefix}{text}{tail})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.numel() == 1 and spec else repr(self)

    __hash__ = object.__hash__

    # ------------------------------------------------------------ gradients

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add d(self)/d(leaf) to `.grad` of every leaf that requires a gradient, or of the tensors `inputs` alone.

        `gradient` is required unless the tensor has one element. The tape is used up unless retain_graph (None: as
        create_graph, which records the pass itself).
        """
        engine.backward((self,), (gradient,), retain_graph, create_graph, inputs=inputs)

    def detach(self) -> Tensor:
        """The same memory without history."""
        t = wrap(self._data)
        share(t, self)
        t._index = DETACHED
        return t

    def register_hook(self, hook: Callable) -> hooks.RemovableHandle:
        """Call `hook(gradient)` whenever a backward pass has computed this tensor's gradient; what it returns, unless it is
        None, is taken in its place. The result's `remove()` takes the hook off.

        >>> import ranvier as rv
        >>> x = rv.ones(2, requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> x.sum().backward()
        >>> x.grad.tolist()
        [10.0, 10.0]
        """
        return hooks.register(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable) -> hooks.RemovableHandle:
        """Call `hook(tensor)` whenever a backward pass has added to the `.grad` of this leaf.

        >>> import ranvier as rv
        >>> w = rv.ones(2, requires_grad=True)
        >>> handle = w.register_post_accumulate_grad_hook(lambda w: print(w.grad.tolist()))
        >>> (w * 3).sum().backward()
        [3.0, 3.0]
        """
        return hooks.register_accumulated(self, hook)

    def retain_grad(self) -> None:
        """Leave the gradient of this result of other tensors in `.grad`, as that of a leaf is."""
        if self._node is not None and not self.retains_grad:
            this = weakref.ref(self)

            def keep(g: Tensor) -> None:
                t = this()
                if t is not None:
                    t.grad = g.detach().clone() if t.grad is None else t.grad + g

            self.__dict__["_retained"] = keep, hooks.register(self, keep, last=True)

    @property
    def retains_grad(self) -> bool:
        """Whether retain_grad() was called on this result."""
        return "_retained" in self.__dict__

    def _take_history(self, of: Tensor) -> None:
        """Be on the tape where `of` is. Hooks stay with their value; the gradient that is retained is this tensor's."""
        self._requires_grad, self._node, self._index = of._requires_grad, of._node, of._index
        if of._node is not None and hooks.any_hooks() and self.retains_grad:
            keep, handle = self.__dict__["_retained"]
            handle.remove()
            self.__dict__["_retained"] = keep, hooks.register(self, keep, last=True)

    @property
    def grad_fn(self) -> Any:
        return self._node

    # ------------------------------------------------------------ changes in place

    def _assign(self, new: Tensor, since: int | None = None) -> Tensor:
        """Take the value of `new` in place (same shape); all in-place operations end here. The calls numbered from `since`
        on, or the last one alone, made it of this tensor: they keep copies of what they have saved of it.
        """
        if self._requires_grad and local.grad_enabled and self._node is None:
            raise GradError(
                f"in-place change of a leaf tensor of shape {self.shape} that requires a gradient; do it under no_grad()"
            )
        if new.shape != self.shape:
            raise ShapeError(f"in-place change: result of shape {new.shape} does not fit {self.shape}")
        if local.grad_enabled and new._node is not None:
            keep_saved(new, self, new._node.number if since is None else since)
        if new.dtype != self.dtype:
            new = new.to(self.dtype)
        base = self._base
        if base is not None and is_traced(self._data):
            return views.assign_traced(self, new)
        if local.grad_enabled:
            check_view(new)
            attached = base is not None and base._node is not None and self._index != DETACHED
            if base is not None and (new._requires_grad or self._requires_grad or attached):
                return views.assign_through(self, new)
        if local.grad_enabled and (new._node is None if new._requires_grad else self._requires_grad):
            # what the old value was computed from gets a gradient of zero; a leaf stays another tensor
            new = self._replaced(new)
        if local.tracer is not None:
            local.tracer.assign(self, new)
        elif not self._data.flags.writeable:
            raise DomainError(
                f"in-place change of a tensor of shape {self.shape} that is read-only, as expanded views and some NumPy "
                "arrays are; change a clone() of it"
            )
        else:
            np.copyto(self._data, new._data)
        self._changed()
        if local.grad_enabled and new._requires_grad:
            if not self._requires_grad:
                Epoch.bump()  # compiled functions may have captured it, or views of it, as constants
            self._take_history(new)
        return self

    def _follow_base(self) -> None:
        """Take part in what has become of the base."""
        views.follow_base(self)

    def copy_(self, src: Any) -> Tensor:
        """Copy the values of `src`, broadcast and cast, into this tensor."""
        new = as_tensor(src).expand(*self.shape)
        if new._requires_grad and local.grad_enabled and self._base is None:  # a history of its own, for hooks
            new = self._replaced(new.to(self.dtype)) if self._requires_grad else new.reshape(self.shape)
        return self._assign(new)

    def _replaced(self, new: Tensor) -> Tensor:
        """`new`, with a history that gives what this tensor was computed from a gradient of zero."""
        return ops.shape.slice_put_op(self, new, index=tuple((0, n, 1) for n in self.shape))

    def fill_(self, value: Any) -> Tensor:
        """Set all elements to `value`."""
        return self.copy_(as_tensor(value, dtype=self.dtype))

    def zero_(self) -> Tensor:
        """Set all elements to 0."""
        return self.fill_(0)

    def fill_diagonal_(self, fill_value: Any, wrap: Any = False) -> Tensor:
        """Set the elements whose indices are all equal to `fill_value`; wrap: below it, tall matrices have another diagonal.

        >>> import ranvier as rv
        >>> rv.zeros(2, 2).fill_diagonal_(1.0).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        if self.ndim < 2 or self.ndim > 2 and len(set(self.shape)) > 1:
            raise ShapeError(
                f"fill_diagonal_: shape {self.shape} must be that of a matrix, or of more axes of one size"
            )
        if self.ndim == 2:
            rows, columns = self.shape
            at = np.arange(0, rows * columns if wrap else min(rows, columns) * columns, columns + 1)
            places: tuple = np.divmod(at, columns) if columns else ()
        else:
            places = (np.arange(self.shape[0]),) * self.ndim
        if places:
            self[places] = fill_value
        return self

    def _take_shape(self, view: Tensor) -> Tensor:
        """Become `view`, one of this tensor."""
        if view._requires_grad:
            raise GradError(
                f"in-place change of the shape {self.shape} of a tensor that requires a gradient; use the function without _"
            )
        if is_traced(view._data):
            if not is_traced(self._data):
                raise TraceError(
                    f"in-place change of the shape {self.shape} of a tensor from outside of a compiled function"
                )
            self._data = view._data
        else:
            self.hold(view._data)
        return self

    def squeeze_(self, dim: Any = None) -> Tensor:
        """`squeeze`, in place."""
        return self._take_shape(self.squeeze(dim))

    def unsqueeze_(self, dim: int) -> Tensor:
        """`unsqueeze`, in place."""
        return self._take_shape(self.unsqueeze(dim))

    def transpose_(self, dim0: int, dim1: int) -> Tensor:
        """`transpose`, in place."""
        return self._take_shape(self.transpose(dim0, dim1))

    def t_(self) -> Tensor:
        """`t`, in place."""
        return self._take_shape(self.t())

    def detach_(self) -> Tensor:
        """Forget the history: this tensor is a leaf then, which requires no gradient."""
        if self._base is not None:
            raise GradError("detach_: a view cannot be detached in place; use detach()")
        self._requires_grad, self._node, self._index = False, None, 0
        return self

    def sum_to_size(self, *size: Any) -> Tensor:
        """The sum over the axes in which a tensor of that size would broadcast to this one."""
        wanted = ops.record.as_sizes("sum_to_size", size)
        extra = self.ndim - len(wanted)
        if extra < 0 or any(n not in (1, m) for n, m in zip(wanted, self.shape[extra:])):
            raise ShapeError(f"sum_to_size: {wanted} does not broadcast to {self.shape}")
        over = [d for d in range(self.ndim) if d < extra or wanted[d - extra] != self.shape[d]]
        return self.sum(over).reshape(wanted) if over else self

    def __getitem__(self, index: Any) -> Tensor:
        return _get_item(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        set_item(self, index, value)

    # ------------------------------------------------------------ copies and casts

    def contiguous(self) -> Tensor:
        """The tensor itself, or a copy in C order."""
        if not is_traced(self._data) and self._data.flags.c_contiguous:
            return self
        return ops.clone(self)

    def to(
        self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: Any = False, copy: Any = False
    ) -> Tensor:  # fmt: skip
        """Cast to a dtype, bring to a device (so far there is "cpu"), or both; `to(other)` as `other` is."""
        for arg in args:
            if isinstance(arg, bool):  # non_blocking
                continue
            if is_device(arg):
                device = arg
            elif isinstance(arg, Tensor):
                dtype = arg.dtype
            else:
                dtype = arg
        as_device(device, "to")
        moved = self if dtype is None else ops.elementwise.cast_to(self, dtype)
        return ops.clone(moved) if copy and moved is self else moved

    @overload
    def type(self, dtype: None = None) -> str: ...
    @overload
    def type(self, dtype: Any) -> Tensor: ...
    def type(self, dtype: Any = None) -> Any:
        """to(dtype), where a dtype may also be named "LongTensor"; without one, that name of this tensor's."""
        return f"ranvier.{TENSOR_NAMES[self.dtype]}" if dtype is None else self.to(dtype)

    def float(self) -> Tensor:
        return self.to("float32")

    def double(self) -> Tensor:
        return self.to("float64")

    def long(self) -> Tensor:
        return self.to("int64")

    def int(self) -> Tensor:
        return self.to("int32")

    def byte(self) -> Tensor:
        return self.to("uint8")

    def bool(self) -> Tensor:
        return self.to("bool")

    def cpu(self) -> Tensor:
        """The tensor itself: all memory is the CPU's so far."""
        return self

    def cuda(self, device: Any = None, non_blocking: Any = False) -> Tensor:
        """to("cuda")"""
        return self.to(Device("cuda" if device is None else device))

    def __deepcopy__(self, memo: dict) -> Tensor:
        if self._node is not None:
            raise GradError(
                "deepcopy: only tensors created by the user (graph leaves) support the deepcopy protocol; this one was "
                "computed from others: copy x.detach(), or take x.clone() to stay in the graph"
            )
        new = self.__class__.__new__(self.__class__)
        memo[id(self)] = new
        TensorBase.__init__(new, np.array(self._array("deepcopy")))
        new._requires_grad = self._requires_grad
        if self.grad is not None:
            new.grad = self.grad.__deepcopy__(memo)
        new.__dict__.update(self.__dict__)
        return new

    def __reduce__(self) -> Any:
        if self._node is not None:
            raise GradError("copying or pickling: only leaf tensors can be copied so; use detach() or clone()")
        return _rebuild, (type(self), self._array("pickle"), self._requires_grad, self.__dict__)

    @property
    def T(self) -> Tensor:
        """All axes in reverse order."""
        return self.t() if self.ndim <= 2 else self.permute(*range(self.ndim)[::-1])

    @property
    def H(self) -> Tensor:
        """The transposed matrix (numbers are real here)."""
        return self.t()

    @property
    def mH(self) -> Tensor:
        """The last two axes exchanged (numbers are real here)."""
        return self.mT

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return self.transpose(-2, -1)


def _without_tensors(name: str, value: Any) -> Any:
    """Arguments of NumPy's function of that name, with arrays in the place of tensors."""
    if isinstance(value, Tensor):
        return value._array(name)
    if value.__class__ in (tuple, list):
        return value.__class__([_without_tensors(name, v) for v in value])
    return {k: _without_tensors(name, v) for k, v in value.items()} if value.__class__ is dict else value


def _rebuild(kind: type[Tensor], data: np.ndarray, requires_grad: bool, attributes: dict) -> Tensor:
    """A pickled tensor again."""
    t = kind.__new__(kind)
    TensorBase.__init__(t, data, requires_grad)
    t.__dict__.update(attributes)
    return t


def tensor(data: object, dtype: Any = None, requires_grad: bool = False, *, device: Any = None) -> Tensor:
    """A new tensor with a copy of `data`. Python floats become the default dtype; NumPy arrays keep theirs."""
    as_device(device, "tensor")
    if isinstance(data, Tensor):
        data = data._array("tensor()")
    elif isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) for x in data):
        data = [x.tolist() if isinstance(x, Tensor) else x for x in data]
    return ops.creation.make(aligned_copy(to_array(data, dtype)), requires_grad)


def data_or_size(name: str, data: tuple, dtype: np.dtype) -> np.ndarray:
    """The array for a constructor of tensors of `dtype`: one argument's data; or, of integers, an unset one of that size."""
    if len(data) == 1 and not isinstance(data[0], (int, np.integer)):
        (only,) = data
        if isinstance(only, Tensor):
            only = only._array(name)
        return np.asarray(only if isinstance(only, np.ndarray) and only.dtype == dtype else to_array(only, dtype))
    return aligned_empty(as_sizes(name, data), dtype)


def is_floating_point(input: Any) -> bool:
    """Whether the dtype of a tensor or an array is float32 or float64."""
    return is_float(input.dtype)


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of any CPU array with the DLPack protocol."""
    return from_numpy(np.from_dlpack(source))


class Constant(Tensor):
    """A shared 0-d tensor made for a number in an expression; a trace bakes its value in."""

    __slots__ = ()


register(Tensor, Constant)


# ---------------------------------------------------------------- operators and methods, from the ops


def _swapped(function: Any) -> Any:
    return _by(function, lambda self, other: function(other, self))


def _unless_foreign(function: Any) -> Any:
    """So that `x == None`, `x == "a"` and `x in [None]` are False, as of any object. Lists are more likely a mistake."""

    def method(self: Tensor, other: Any) -> Any:
        try:
            return function(self, other)
        except DTypeError:
            if isinstance(other, (TensorBase, np.ndarray, np.generic, list, tuple, int, float)):
                raise
            return NotImplemented

    return _by(function, method)


def _by(function: Any, method: Any) -> Any:
    """`method`, which says that its arguments are those of `function`."""
    method.__wrapped__ = function
    return method


def _inplace(function: Any) -> Any:
    prepare = getattr(function, "prepare", None)
    if prepare is not None:
        prepare = Public(prepare, explain)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        since = None
        if prepare is None:
            since = next(numbers)
            result = function(self, *args, **kwargs)
        else:
            call, inputs = prepare(self, *args, **kwargs)
            if apply_into(call, inputs):
                self._changed()
                return self
            result = call.apply(inputs)
        if result.dtype != self.dtype and category(result.dtype) > category(self.dtype):
            raise DTypeError(f"in-place {function.__name__}: a {result.dtype} result does not fit {self.dtype}")
        return self._assign(result, since)

    method.__name__ = f"{function.__name__}_"
    method.__doc__ = f"`{function.__name__}`, in place."
    return _by(function, method)


_operators: dict[np.ufunc, Any] = {
    np.add: ops.add, np.subtract: ops.sub, np.multiply: ops.mul, np.divide: ops.div, np.floor_divide: ops.floor_divide,
    np.remainder: ops.remainder, np.power: ops.pow, np.matmul: ops.matmul,
    np.bitwise_and: ops.bitwise_and, np.bitwise_or: ops.bitwise_or, np.bitwise_xor: ops.bitwise_xor,
    np.left_shift: ops.bitwise_left_shift, np.right_shift: ops.bitwise_right_shift,
    np.less: ops.lt, np.less_equal: ops.le, np.greater: ops.gt, np.greater_equal: ops.ge,
    np.equal: ops.eq, np.not_equal: ops.ne,
}  # fmt: skip
"""The functions of NumPy that its arrays' operators call."""


def _attach() -> None:
    operators = {
        "add": ops.add, "sub": ops.sub, "mul": ops.mul, "truediv": ops.div, "floordiv": ops.floor_divide,
        "mod": ops.remainder, "pow": ops.pow, "matmul": ops.matmul,
        "and": ops.bitwise_and, "or": ops.bitwise_or, "xor": ops.bitwise_xor,
        "lshift": ops.bitwise_left_shift, "rshift": ops.bitwise_right_shift,
    }  # fmt: skip
    for name, function in operators.items():
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__r{name}__", _swapped(function))
        setattr(Tensor, f"__i{name}__", _inplace(function))
    for name in ("lt", "le", "gt", "ge"):
        setattr(Tensor, f"__{name}__", getattr(ops, name))
    for name in ("eq", "ne"):
        setattr(Tensor, f"__{name}__", _unless_foreign(getattr(ops, name)))
    for name, unary in {"neg": ops.neg, "pos": ops.positive, "abs": ops.abs, "invert": ops.bitwise_not}.items():
        setattr(Tensor, f"__{name}__", unary)
    for name, keeps_shape in ops.methods():
        setattr(Tensor, name, getattr(ops, name))
        if keeps_shape:
            setattr(Tensor, f"{name}_", _inplace(getattr(ops, name)))


_attach()
