"""Gradient clipping, and parameters as one vector."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

from ... import ops
from ...core.context import no_grad, phase
from ...core.errors import DTypeError, GradError, ShapeError
from ...core.tensor import as_tensor, with_grad
from ...ops.creation import zeros
from ...tensor import Tensor

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm",
    "parameters_to_vector", "vector_to_parameters",
]  # fmt: skip


def _gradients(parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in with_grad(parameters)]


def _by_dtype(tensors: list[Tensor]) -> list[list[Tensor]]:
    dtypes = [t._data.dtype for t in tensors]
    if dtypes and dtypes.count(dtypes[0]) == len(dtypes):
        return [tensors]
    return [[t for t, d in zip(tensors, dtypes) if d == dtype] for dtype in dict.fromkeys(dtypes)]


def _norm(name: str, kinds: list[list[Tensor]], p: float, error_if_nonfinite: bool) -> Tensor:
    """The norm of the tensors of all dtypes, in the first one."""
    if not kinds:
        return zeros(())
    total, *others = (ops.total_norm(tensors, p) for tensors in kinds)
    if others:  # numbers of nonzeros add up
        total = ops.total_norm([total, *(norm.to(total.dtype) for norm in others)], p or 1.0)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise GradError(f"{name}: the gradients' norm is {total.item()}")
    return total


def _scale(kinds: list[list[Tensor]], limit: float, total: Tensor) -> None:
    for grads in kinds:
        norm = total if total.dtype == grads[0].dtype else total.to(grads[0].dtype)
        factor = ops.clamp(ops.div(limit, ops.add(norm, 1e-6)), max=1.0)
        for g, scaled in zip(grads, ops.scale_all(grads, factor), strict=True):
            g._assign(scaled)


@no_grad()
@phase("optimizer")
def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all elements of all tensors, as if they were one vector: (sum |x|^p)^(1/p), p = norm_type, which
    may be inf.

    Raises GradError with error_if_nonfinite where it is infinite or nan. `foreach` changes nothing.

    >>> import ranvier as rv
    >>> get_total_norm([rv.tensor([3.0]), rv.tensor([[4.0]])]).item()
    5.0
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    return _norm("get_total_norm", _by_dtype(tensors), float(norm_type), error_if_nonfinite)


@no_grad()
@phase("optimizer")
def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale all gradients by min(1, max_norm / (total_norm + 1e-6)), for a norm that is known already.

    >>> import ranvier as rv
    >>> w = rv.ones(4, requires_grad=True)
    >>> (w * 3).sum().backward()
    >>> clip_grads_with_norm_([w], 1.0, get_total_norm([w.grad]))
    >>> round(w.grad.sum().item(), 4)
    2.0
    """
    _scale(_by_dtype(_gradients(parameters)), float(max_norm), as_tensor(total_norm))


@no_grad()
@phase("optimizer")
def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (total + 1e-6)), total their common norm, and return total.

    Raises GradError with error_if_nonfinite, before anything changes, where total is infinite or nan. `foreach`
    changes nothing.

    >>> import ranvier as rv
    >>> w = rv.ones(4, requires_grad=True)
    >>> (w * 3).sum().backward()
    >>> clip_grad_norm_(w, 1.0).item(), round(w.grad.sum().item(), 4)
    (6.0, 2.0)
    """
    if hasattr(parameters, "__next__"):
        parameters = list(parameters)
        if not parameters:
            warnings.warn(
                "clip_grad_norm_: parameters is an iterator without anything left; nothing is clipped", stacklevel=2
            )
    kinds = _by_dtype(_gradients(parameters))
    total = _norm("clip_grad_norm_", kinds, float(norm_type), error_if_nonfinite)
    _scale(kinds, float(max_norm), total)
    return total


def clip_grad_norm(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The old name of `clip_grad_norm_`."""
    warnings.warn("clip_grad_norm is now called clip_grad_norm_", FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
@phase("optimizer")
def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Limit each element of each gradient to [-clip_value, clip_value]. `foreach` changes nothing.

    >>> import ranvier as rv
    >>> w = rv.tensor([1.0, -2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> clip_grad_value_([w], 3.0)
    >>> w.grad.tolist()
    [2.0, -3.0]
    """
    limit = float(clip_value)
    for g in _gradients(parameters):
        g.clamp_(-limit, limit)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after another, as one vector."""
    return ops.cat([ops.flatten(p) for p in parameters])


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the parts of `vec` into the parameters, in their order."""
    if not isinstance(vec, Tensor):
        raise DTypeError(f"vector_to_parameters: vec of type {type(vec).__name__} must be a Tensor")
    params = list(parameters)
    total = sum(p.numel() for p in params)
    if tuple(vec.shape) != (total,):
        raise ShapeError(
            f"vector_to_parameters: vec{tuple(vec.shape)} must have shape ({total},), the parameters' sizes"
        )
    start = 0
    for p in params:
        p.copy_(vec[start : start + p.numel()].reshape(*p.shape))
        start += p.numel()
