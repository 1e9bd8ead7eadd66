"""Calls, and the one interception point: every op runs through `Call.apply`."""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import numpy as np

from ..core import tape
from ..core.context import Epoch, current_backend, local, numbers
from ..core.dtypes import CODE, bool_, get_default_dtype, is_float, on_new_defaults, promote
from ..core.errors import DomainError, DTypeError, OutOfRangeError, TraceError
from ..core.tape import Node
from ..core.tensor import TensorBase, wrap, wrap_constant
from ..core.traced import is_traced

_call_ids = count()


class Call:
    """An op with its attributes filled in; interned as long as its op remembers it."""

    __slots__ = (
        "op", "attrs", "id", "view", "differentiable", "saves_inputs", "saves_outputs", "recorded", "extras", "__weakref__"
    )  # fmt: skip

    def __init__(self, op: Any, attrs: dict[str, Any]):
        self.op, self.attrs, self.id = op, attrs, next(_call_ids)
        self.view = op.kind == "view"
        self.differentiable = op.vjp is not None
        # the call that takes this one's place where it is recorded, and how many of its results are for vjp alone
        self.extras = op.extras if attrs.get("training") else 0
        self.recorded = op.bind(**{**attrs, "training": True}) if op.extras and not self.extras else None
        self.saves_inputs, self.saves_outputs = op.saves  # masks as `tape.saved` reads them

    def apply(self, inputs: tuple) -> Any:
        """Run or record this call on `inputs` and note it on the tape.

        Tensors give tensors; NumPy arrays alone give NumPy arrays and record nothing. Once the native backend is connected,
        a method in C++ (csrc/python/apply.cpp) takes this one's place, and hands over to it whatever is not an ordinary
        call of a known signature.
        """
        record = False
        arrays = []
        for x in inputs:
            if not isinstance(x, TensorBase):
                return _apply_loose(self, inputs)
            arrays.append(x._data)
            if x._requires_grad or x._base is not None and tape.stale(x):
                record = True  # or raise, of a stale view
        record = record and local.grad_enabled and self.differentiable
        if record and self.recorded is not None:
            return self.recorded.apply(inputs)
        eager = local.eager
        out = None if eager is None else eager(self.id, *arrays)
        if out is None:
            inputs, out = _apply_slow(self, inputs, arrays)
        if record:
            return _record(self, inputs, out)
        if type(out) is tuple:
            return tuple([wrap(data) for data in out])
        result = wrap(out)
        if self.view:
            share(result, inputs[0])
        return result

    def __repr__(self) -> str:
        return f"{self.op.name}({', '.join(f'{k}={v!r}' for k, v in self.attrs.items())})"


def apply_into(call: Call, inputs: tuple) -> bool:
    """Run `call`, whose result may share its first input's memory, in that memory; False, and nothing done, where that
    would show elsewhere: recorded, traced, read-only or scattered memory, or shared with another input.
    """
    if local.eager is None:
        return False
    arrays = []
    for x in inputs:
        if not isinstance(x, TensorBase) or local.grad_enabled and (x._requires_grad or tape.stale(x)):
            return False
        arrays.append(x._data)
    target = arrays[0]
    if not target.flags.carray:
        return False
    for a in arrays[1:]:
        if np.may_share_memory(target, a):
            return False
    return current_backend().run_into(call, arrays)


def share(view: Any, of: Any) -> None:
    """`view` is an alias of a part of `of`: in-place changes of either count for both."""
    data, whole = view._data, of._data
    if not (
        is_traced(data) or data is whole or data.base is whole or data.base is not None and data.base is whole.base
    ):
        return  # a reshape that had to copy
    view._base = of if of._base is None else of._base
    if of._base is not None and of._node is None and view._node is None:
        view._index = of._index  # views of a detached tensor are detached
    view._version = view._base._version
    if local.tracer is not None and is_traced(data):
        local.tracer.note_view(view, of)


def _record(call: Call, inputs: tuple, out: Any) -> Any:
    several = type(out) is tuple
    results = [wrap(data) for data in (out if several else (out,))]
    node = Node(call, inputs, tuple([t._data if t._data.dtype.kind == "f" else t for t in results]))
    if local.tracer is not None:
        node.layer = local.tracer.layers[-1] if local.tracer.layers else ""
    for index, t in enumerate(results):
        if t._data.dtype.kind == "f":
            t._requires_grad, t._node, t._index = True, node, index
    if call.view:
        share(results[0], inputs[0])
    shown = len(results) - call.extras
    return tuple(results[:shown]) if several and (shown > 1 or not call.extras) else results[0]


def _apply_slow(call: Call, inputs: tuple, arrays: list) -> tuple[tuple, Any]:
    """Bring dtypes to what the op takes, then trace, or run on the thread's backend."""
    if call.op.rule is not None:
        wanted = _compute_dtypes(call.op.name, call.op.rule, arrays)
        if any(a.dtype != d for a, d in zip(arrays, wanted)):
            inputs = tuple(x if x.dtype == d else x.to(d) for x, d in zip(inputs, wanted))
            arrays = [x._data for x in inputs]
            out = None if local.eager is None else local.eager(call.id, *arrays)
            if out is not None:
                return inputs, out
    if local.tracer is not None:
        return inputs, local.tracer.record(call, inputs)
    for a in arrays:
        if is_traced(a):
            raise TraceError(
                f"{call.op.name}: a tensor of shape {a.shape} from inside a compiled function has no value outside of it; "
                "return it from the function"
            )
    specs = call.op.infer(*arrays, **call.attrs)
    several = type(specs) is list
    outs = current_backend().run(call, arrays, specs if several else [specs], several)
    return inputs, outs if several else outs[0]


def _compute_dtypes(name: str, rule: str, arrays: list) -> list[np.dtype]:
    """The dtype that each input of an elementwise op must have (see Op)."""
    if rule == "logical":
        return [bool_] * len(arrays)
    if rule == "where":
        common = promote(arrays[1:])
        return [bool_, common, common]
    common = promote(arrays)
    if rule == "float" and not is_float(common):
        common = get_default_dtype()
    return [common] * len(arrays)


# ---------------------------------------------------------------- numbers and plain arrays among the inputs

_NUMBERS = (bool, int, float, np.generic)


def number_dtype(call: Call, inputs: tuple) -> np.dtype:
    """The dtype of the numbers among the inputs; their values do not count."""
    operands = [x.item() if isinstance(x, np.generic) else x for x in inputs[call.op.rule == "where" :]]
    dtype = promote(operands)
    return get_default_dtype() if call.op.rule == "float" and not is_float(dtype) else dtype


def _checked(name: str, inputs: tuple) -> tuple:
    """The inputs in the machine's byte order; NumPy's scalars are numbers beside arrays or tensors, else 0-d arrays."""
    for x in inputs:
        if not isinstance(x, (TensorBase, np.ndarray, *_NUMBERS)):
            raise DTypeError(
                f"{name}: argument {x!r:.60} of type {type(x).__name__} must be a Tensor, a NumPy array or a number"
            )
    beside = any([isinstance(x, (TensorBase, np.ndarray)) for x in inputs])
    result = []
    for x in inputs:
        if isinstance(x, np.generic):
            x = x.item() if beside else np.asarray(x)
        if isinstance(x, np.ndarray) and not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
        if hasattr(x, "dtype") and x.dtype not in CODE:
            raise DTypeError(f"{name}: dtype {x.dtype} must be one of {', '.join(d.name for d in CODE)}")
        result.append(x)
    return tuple(result)


def _apply_loose(call: Call, inputs: tuple) -> Any:
    """Inputs that are not all tensors: turn numbers into constants, and wrap arrays."""
    inputs = _checked(call.op.name, inputs)
    if call.op.rule == "compare" and len(inputs) == 2:
        inputs = _comparable(*inputs)
    with_numbers = any([not hasattr(x, "shape") for x in inputs])
    dtype: Any = number_dtype(call, inputs) if with_numbers else None

    def wrapped(x: Any) -> Any:
        return x if isinstance(x, TensorBase) else wrap(x) if isinstance(x, np.ndarray) else constant(x, dtype)

    tensors = tuple([wrapped(x) for x in inputs])
    if any([isinstance(x, TensorBase) for x in inputs]) or not any([isinstance(x, np.ndarray) for x in inputs]):
        return call.apply(tensors)
    tracer, eager, local.tracer = local.tracer, local.eager, None  # plain arrays are never traced
    if tracer is not None:
        local.eager = getattr(current_backend(), "eager", None)
    try:
        out = call.apply(tensors)
    finally:
        local.tracer, local.eager = tracer, eager if tracer is not None else local.eager
    return tuple(t._data for t in out) if type(out) is tuple else out._data


def _comparable(a: Any, b: Any) -> tuple:
    """Integers, and a number to compare them with, as floats where the number is out of their range: it is infinite then."""

    def beyond(x: Any, number: Any) -> bool:
        ends = np.iinfo(x.dtype) if number.__class__ is int and hasattr(x, "dtype") and x.dtype.kind in "iu" else None
        return ends is not None and not ends.min <= number <= ends.max

    if beyond(a, b):
        return a.astype(np.float64) if isinstance(a, np.ndarray) else a.to(np.float64), math.copysign(math.inf, b)
    if beyond(b, a):
        return tuple(reversed(_comparable(b, a)))
    return a, b


_constants: dict[tuple, Any] = {}


def constant(value: Any, dtype: np.dtype) -> Any:
    """A 0-d tensor that stands for a number in an expression; shared, never written to."""
    key = (value, value.__class__, dtype)
    t = _constants.get(key)
    if t is not None and (value != 0 or value.__class__ is not float):
        return t
    try:
        data = np.asarray(value, dtype)
    except OverflowError:
        raise DTypeError(f"number {value} does not fit dtype {dtype}") from None
    data.flags.writeable = False
    t = wrap_constant(data)
    if value == value and not (value == 0 and math.copysign(1, value) < 0):
        if len(_constants) >= 1024:
            _constants.clear()
        _constants[key] = t
    return t


def connect(native: Any, tensor: type[TensorBase]) -> None:
    """Let the native module take the calls that it knows; it makes tensors of class `tensor`."""
    errors = OutOfRangeError, DomainError
    native.connect(tensor, Call, tape.Node, tape.Edge, numbers, local, Epoch, *errors, number_dtype, constant)
    on_new_defaults(native.forget)
