"""Derivatives of functions: Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.context import enable_grad
from ..core.errors import GradError
from ..ops.creation import zeros
from ..ops.join import stack
from .engine import grad
from .function import is_tensor

__all__ = ["hessian", "jacobian", "jvp", "vjp"]


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """func(*inputs), and the product of `v` (as the result; None for one element) with its Jacobian, by each input.

    >>> import ranvier as rv
    >>> rv.autograd.functional.vjp(lambda x: x * x, rv.tensor([1.0, 2.0]), rv.tensor([1.0, 1.0]))[1]
    tensor([2., 4.])
    """
    outs, args = _run(func, inputs, create_graph)
    found = _grad(outs, args, v, create_graph)
    return _as(outs, outs if create_graph else [o.detach() for o in outs]), _as(inputs, found)


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """func(*inputs), and the product of its Jacobian with `v` (as the inputs; None for one element).

    >>> import ranvier as rv
    >>> rv.autograd.functional.jvp(lambda x: x.sum() * x, rv.tensor([1.0, 2.0]), rv.tensor([1.0, 0.0]))[1]
    tensor([4., 2.])
    """
    outs, args = _run(func, inputs, create_graph)
    with enable_grad():  # the product with a vector u is linear in u: its derivative by u is what is asked for
        seeds = [zeros(o.shape, dtype=o.dtype).requires_grad_() for o in outs]
        products = _grad(outs, args, seeds, True)
        found = _grad(products, seeds, v, create_graph)
    return _as(outs, outs if create_graph else [o.detach() for o in outs]), _as(outs, found)


def jacobian(func: Callable, inputs: Any, create_graph: bool = False) -> Any:
    """The derivatives of func(*inputs), shaped as result + input; tuples of results and inputs give tuples.

    >>> import ranvier as rv
    >>> rv.autograd.functional.jacobian(lambda x: x * x, rv.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    outs, args = _run(func, inputs, create_graph)
    found = []
    for out in outs:
        flat = out.reshape((-1,))
        rows = [_grad([flat[k]], args, None, create_graph) for k in range(out.numel())]
        of_out = [
            stack([row[j] for row in rows]).reshape((*out.shape, *x.shape)) if rows else zeros((*out.shape, *x.shape))
            for j, x in enumerate(args)
        ]
        found.append(_as(inputs, of_out))
    return _as(outs, found)


def hessian(func: Callable, inputs: Any, create_graph: bool = False) -> Any:
    """The second derivatives of func(*inputs), which gives one element; tuples of inputs give tuples of tuples.

    >>> import ranvier as rv
    >>> rv.autograd.functional.hessian(lambda x: (x * x * x).sum(), rv.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def gradients(*args: Any) -> Any:
        out: Any = func(*args)
        if not is_tensor(out) or out.numel() != 1:
            raise GradError(f"hessian: the function must give a tensor of one element, gave {out!r:.60}")
        return _as(inputs, _grad([out], args, None, True))

    return jacobian(gradients, inputs, create_graph)


class _Outputs(list):
    """Results of a function, and whether it gave one or several."""

    several = False


def _run(func: Callable, inputs: Any, create_graph: bool) -> tuple[_Outputs, list]:
    listed = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    args = []
    for t in listed:
        if create_graph and t._requires_grad:
            args.append(t.view_as(t))
        else:
            args.append(t.detach().requires_grad_())
    with enable_grad():
        made = func(*args)
    outs = _Outputs(made if isinstance(made, (tuple, list)) else [made])
    outs.several = isinstance(made, (tuple, list))
    return outs, args


def _grad(outs: Any, args: Any, v: Any, create_graph: bool) -> list:
    """The gradients, zeros where there are none."""
    seeds = v if isinstance(v, (tuple, list)) or v is None else (v,)
    seeds = [None] * len(outs) if seeds is None else list(seeds)
    known = [(o, s) for o, s in zip(outs, seeds, strict=True) if o._requires_grad]
    if not known:
        return [zeros(x.shape, dtype=x.dtype) for x in args]
    tensors, gradients = zip(*known)
    return list(grad(tensors, args, gradients, True, create_graph, materialize_grads=True))


def _as(like: Any, values: Any) -> Any:
    """`values` as a tuple where `like` is one or several, else the one."""
    several = like.several if isinstance(like, _Outputs) else isinstance(like, (tuple, list))
    return tuple(values) if several else values[0]
