"""Gradient rules against differences of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.dtypes import is_float
from ..core.errors import GradError
from ..core.tensor import TensorBase, wrap
from .engine import grad


def gradcheck(
    func: Callable,
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of func(*inputs) agree with differences of its values, (f(x + eps) - f(x - eps)) / (2 eps).

    Args:
        func: gives a tensor or a tuple of them; of equal arguments always the same.
        inputs: a tensor or a tuple of arguments; those that require a gradient are checked. float64, for in float32 the
            differences are too coarse.
        eps: how far each element is moved. atol, rtol: gradients g and differences d agree where
            |g - d| <= atol + rtol |d|.
        raise_exception: raise GradError where they do not, instead of returning False.

    >>> import ranvier as rv
    >>> x = rv.tensor([0.5, 2.0], dtype=rv.float64, requires_grad=True)
    >>> rv.autograd.gradcheck(lambda x: (x.log(), x * x), x)
    True
    """
    args = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    leaves = [(k, t) for k, t in enumerate(args) if isinstance(t, TensorBase) and t._requires_grad]
    if not leaves:
        raise GradError("gradcheck: none of the inputs requires a gradient")
    for i, out in enumerate(_outputs(func(*args))):
        found = _rows(out, [t for _, t in leaves])
        for (k, t), ours in zip(leaves, found):
            wanted = _differences(func, args, k, i, eps)
            if not np.allclose(ours, wanted, rtol=rtol, atol=atol, equal_nan=True):
                if not raise_exception:
                    return False
                raise GradError(
                    f"gradcheck: of output {i}, shape {out.shape}, by input {k}, shape {t.shape}, gradients and differences "
                    f"disagree:\n{ours}\n{wanted}"
                )
    return True


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """gradcheck of the gradients of func(*inputs), also by the gradients of its results, `grad_outputs` (None: drawn).

    >>> import ranvier as rv
    >>> x = rv.tensor([0.5, 2.0], dtype=rv.float64, requires_grad=True)
    >>> rv.autograd.gradgradcheck(lambda x: x * x * x, x)
    True
    """
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    outs = _outputs(func(*args))
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = [wrap(np.asarray(rng.standard_normal(o.shape)).astype(o.dtype)) for o in outs]
        for seed in seeds:
            seed._requires_grad = True
    else:
        seeds = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]

    def gradients(*given: Any) -> tuple:
        now = given[: len(args)]
        made = [t for t in now if isinstance(t, TensorBase) and t._requires_grad]
        return grad(_outputs(func(*now)), made, given[len(args) :], create_graph=True, materialize_grads=True)

    return gradcheck(gradients, (*args, *seeds), eps, atol, rtol, raise_exception)


def _outputs(out: Any) -> list:
    listed = out if isinstance(out, (tuple, list)) else (out,)
    return [t for t in listed if isinstance(t, TensorBase) and is_float(t.dtype)]


def _rows(out: Any, leaves: list) -> list[np.ndarray]:
    """By each leaf the matrix of derivatives: a row for each element of `out`."""
    found = [np.zeros((out.numel(), t.numel())) for t in leaves]
    for row in range(out.numel() if out._requires_grad else 0):
        seed = np.zeros(out.shape, out.dtype)
        seed.flat[row] = 1
        gs = grad(out, leaves, wrap(seed), retain_graph=True, materialize_grads=True)
        for matrix, g in zip(found, gs):
            matrix[row] = g._data.ravel()
    return found


def _differences(func: Callable, args: Any, k: int, i: int, eps: float) -> np.ndarray:
    """What _rows gives for output i and argument k, by differences."""
    start = args[k]._array("gradcheck")

    def values(position: int, step: float) -> np.ndarray:
        moved = np.array(start)
        moved.flat[position] += step
        x = wrap(moved)
        x._requires_grad = True  # func may ask
        with_x = [x if j == k else t for j, t in enumerate(args)]
        return np.array(_outputs(func(*with_x))[i]._data, np.float64).ravel()

    columns = [(values(p, eps) - values(p, -eps)) / (2 * eps) for p in range(start.size)]
    return np.stack(columns, 1) if columns else np.zeros((0, 0))
