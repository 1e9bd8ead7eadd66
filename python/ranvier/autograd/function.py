"""Functions with a gradient rule of their own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.context import enable_grad, local, no_grad
from ..core.dtypes import is_float
from ..core.errors import DTypeError, GradError, ShapeError
from ..core.tape import Node, check_view, stale
from ..core.tensor import TensorBase, wrap
from ..core.traced import is_traced
from ..ops.creation import zeros
from ..ops.record import broadcast_shapes
from ..ops.shape import reshape

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


def is_tensor(x: Any) -> Any:
    return isinstance(x, TensorBase)


class FunctionCtx:
    """What forward leaves for backward. Attributes of any other name may be set as well.

    Args:
        needs_input_grad: of each argument of apply(), whether its gradient is asked for.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]):
        self.needs_input_grad = needs_input_grad
        self._saved: tuple = ()
        self._fixed: set[int] = set()  # ids of results that have no gradient
        self._dirty: tuple = ()
        self._materialize = True
        self._held: Callable | None = None  # gives the saved tensors while backward runs

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (arguments, results, others, None) for backward, which finds them in `saved_tensors`.

        A backward pass raises GradError where one of them was changed in place meanwhile.
        """
        for t in tensors:
            if t is not None and not is_tensor(t):
                raise DTypeError(f"save_for_backward: {t!r:.60} of type {type(t).__name__} must be a Tensor or None")
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple:
        """What save_for_backward has kept; in backward alone."""
        if self._held is None:
            raise GradError("saved_tensors: are there in backward alone")
        return self._held()

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """These results have no gradient."""
        self._fixed = {id(t) for t in outputs}

    def mark_dirty(self, *inputs: Any) -> None:
        """These arguments were changed in place; forward has to return them."""
        self._dirty = inputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward is given zeros (True, as at first) or None for results that no gradient came to."""
        self._materialize = value


class Function:
    """A function with a gradient rule of its own: a subclass defines static methods forward and backward, apply() runs it.

    - `forward(ctx, *args)` computes the results, a tensor or a tuple, with recording off; or `forward(*args)` does, and
      `setup_context(ctx, inputs, output)` saves what is needed.
    - `backward(ctx, *gradients)` gets one gradient a result and returns one an argument, None for those that have none.
      With create_graph its ops are recorded.

    Inside compiled functions both are traced.

    >>> import ranvier as rv
    >>> class Cube(rv.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         (x,) = ctx.saved_tensors
    ...         return gradient * 3 * x * x
    >>> x = rv.tensor([1.0, 2.0], requires_grad=True)
    >>> Cube.apply(x).sum().backward()
    >>> x.grad
    tensor([ 3., 12.])
    """

    def __init__(self, *args: Any, **kwargs: Any):
        name = type(self).__name__
        raise GradError(f"{name}: is not to be instantiated; its methods are static, and {name}.apply(...) runs it")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("Function: a subclass must define the static method forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise NotImplementedError("Function: a subclass must define the static method backward to be differentiated")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """The results of forward, on the tape where an argument requires a gradient."""
        if local.tracer is not None and local.grad_enabled:  # a leaf has values there, which forward must not read
            args = tuple(
                [reshape(a, a.shape) if is_tensor(a) and a.requires_grad and a._node is None else a for a in args]
            )
        tensors = [(k, t) for k, t in enumerate(args) if is_tensor(t)]
        if local.grad_enabled:
            for _, t in tensors:
                if stale(t):
                    check_view(t)
        record = local.grad_enabled and any([t._requires_grad for _, t in tensors])
        needs = tuple([record and is_tensor(t) and t._requires_grad for t in args])
        ctx = FunctionCtx(needs)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                out = cls.forward(ctx, *args)
            else:
                out = cls.forward(*args)
                cls.setup_context(ctx, args, out)
        outs = out if isinstance(out, tuple) else (out,)
        for t in ctx._dirty:
            _check_dirty(cls.__name__, t, outs, record)
        if not record:
            return out
        results = _record(cls, ctx, tensors, len(args), outs)
        return results if isinstance(out, tuple) else results[0]


def _check_dirty(name: str, t: Any, outs: tuple, record: bool) -> None:
    if not any(t is o for o in outs):
        raise GradError(f"{name}: a tensor of shape {t.shape} is marked as dirty, so forward must return it")
    if record and t._requires_grad and t._node is None:
        raise GradError(f"{name}: in-place change of a leaf tensor of shape {t.shape} that requires a gradient")
    if record and t._base is not None:
        raise GradError(f"{name}: in-place change of a view, shape {t.shape}; change its base, or return a new tensor")


def _record(cls: type[Function], ctx: FunctionCtx, tensors: list, n_args: int, outs: tuple) -> tuple:
    """The results with a history: one node of the tape."""
    call = _Call(cls, ctx, [k for k, _ in tensors], n_args, outs)
    inputs = [t for _, t in tensors]
    places: list[tuple] = []  # of the saved tensors: (among the inputs?, place, 0), or (None, tensor, its version)
    for t in ctx._saved:
        own = [k for k, x in enumerate(inputs) if x is t]
        made = [k for k, o in enumerate(outs) if o is t]
        result = made and is_float(t.dtype) and id(t) not in ctx._fixed
        if result and (not own or any(t is d for d in ctx._dirty)):
            call.saves_outputs |= 1 << made[0]
            places.append((False, made[0], 0))
        elif own:
            call.saves_inputs |= 1 << own[0]
            places.append((True, own[0], 0))
        else:
            places.append((None, t, 0 if t is None else t.version))
    call.places, ctx._saved = places, ()
    node = Node(call, tuple(inputs), tuple([getattr(o, "_data", None) for o in outs]))
    results = []
    for k, o in enumerate(outs):
        if not is_tensor(o) or id(o) in ctx._fixed or not is_float(o.dtype):
            results.append(o)
            continue
        captured = local.tracer is not None and not is_traced(o._data)
        if not any(o is t for t in ctx._dirty) and (o._requires_grad or captured or any(o is t for t in inputs)):
            with no_grad():
                o = reshape(o, o.shape)  # the given tensor keeps its own history
        o._requires_grad, o._node, o._index = True, node, k
        results.append(o)
    return tuple(results)


class _Call:  # a DifferentiableCall
    attrs: dict[str, Any] = {}

    def __init__(self, cls: type[Function], ctx: FunctionCtx, positions: list[int], n_args: int, outs: tuple):
        self.cls, self.ctx, self.positions, self.n_args = cls, ctx, positions, n_args
        self.specs = [(o.shape, o.dtype) if is_tensor(o) else None for o in outs]
        self.saves_inputs = self.saves_outputs = 0
        self.places: list[tuple] = []
        self.name = cls.__name__

    @property
    def op(self) -> _Call:
        return self

    def vjp(self, g: Any, outs: Any, *inputs: Any) -> list:
        gs = list(g) if isinstance(g, tuple) else [g]
        outs = outs if isinstance(outs, tuple) else (outs,)
        if self.ctx._materialize:
            gs = [zeros(s[0], dtype=s[1]) if x is None and s is not None else x for x, s in zip(gs, self.specs)]
        self.ctx._held = functools.partial(self._saved, inputs, outs)
        try:
            found = self.cls.backward(self.ctx, *gs)
        finally:
            self.ctx._held = None
        found = found if isinstance(found, (tuple, list)) else (found,)
        if len(found) < self.n_args or any(x is not None for x in found[self.n_args :]):
            raise GradError(
                f"{self.name}: backward has returned {len(found)} gradients, must return {self.n_args}: one for each "
                "argument of apply(), None where there is none"
            )
        for k, x in enumerate(found):
            if x is not None and k not in self.positions:
                raise GradError(f"{self.name}: backward has returned a gradient of argument {k}, which is no Tensor")
        return [self._checked(k, found[k], t) for k, t in zip(self.positions, inputs)]

    def _saved(self, inputs: tuple, outs: tuple) -> tuple:
        found = []
        for of_inputs, place, version in self.places:
            if of_inputs is not None:
                found.append((inputs if of_inputs else outs)[place])
            elif place is not None and place.version != version:
                raise GradError(
                    f"{self.name}: a tensor of shape {place.shape}, saved for backward, was changed in place meanwhile"
                )
            else:
                found.append(place)
        return tuple(found)

    def _checked(self, k: int, g: Any, t: Any) -> Any:
        if g is None:
            return None
        if isinstance(g, np.ndarray):
            g = wrap(g)
        if not is_tensor(g):
            raise DTypeError(f"{self.name}: gradient {k} of type {type(g).__name__} must be a Tensor or None")
        try:
            fits = broadcast_shapes(self.name, g.shape, t.shape) == g.shape
        except ShapeError:
            fits = False
        if not fits:
            raise ShapeError(f"{self.name}: gradient {k} has shape {g.shape}, must have {t.shape}, the argument's")
        return g if g.dtype == t.dtype else g.to(t.dtype)


class _Once(Function):
    """Its arguments, whose gradient nobody can have."""

    @staticmethod
    def forward(ctx: Any, name: str, *tensors: Any) -> tuple:
        ctx.name = name
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise GradError(f"{ctx.name}: its backward is marked once_differentiable, so it has no second derivative")


def once_differentiable(backward: Callable) -> Callable:
    """Decorator of a backward that is no differentiable computation: with create_graph a derivative of it raises."""

    @functools.wraps(backward)
    def inside(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            found = backward(ctx, *gradients)
        if not local.grad_enabled:
            return found
        made = found if isinstance(found, tuple) else (found,)
        tensors = [t for t in made if is_tensor(t) and is_float(t.dtype)]
        with enable_grad():
            shut = iter(_Once.apply(backward.__qualname__, *(t.detach().requires_grad_() for t in tensors)))
        made = tuple([next(shut) if any(t is x for x in tensors) else t for t in made])
        return made if isinstance(found, tuple) else made[0]

    return inside
