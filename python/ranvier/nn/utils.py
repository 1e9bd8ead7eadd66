"""Gradient clipping, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import ops
from ..core.context import no_grad
from ..core.errors import DTypeError, GradError, ShapeError
from ..tensor import Tensor, tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def _gradients(parameters: Any) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


@no_grad()
def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (total + 1e-6)), total their common norm, and return total.

    >>> import ranvier as rv
    >>> w = rv.ones(4, requires_grad=True)
    >>> (w * 3).sum().backward()
    >>> clip_grad_norm_(w, 1.0).item(), round(w.grad.sum().item(), 4)
    (6.0, 2.0)
    """
    grads = _gradients(parameters)
    if not grads:
        return tensor(0.0)
    total = ops.total_norm(grads, norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise GradError(f"clip_grad_norm_: the gradients' norm is {total.item()}")
    factor = ops.clamp(ops.div(float(max_norm), ops.add(total, 1e-6)), max=1.0)
    for g, scaled in zip(grads, ops.scale_all(grads, factor), strict=True):
        g._assign(scaled)
    return total


@no_grad()
def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Limit each element of each gradient to [-clip_value, clip_value]."""
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
