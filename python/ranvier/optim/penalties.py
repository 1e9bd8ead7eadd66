"""Penalties on parameters, to add to a loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor


def _sum(params: Iterable[Any], name: str, term: Any) -> Tensor:
    tensors = [params] if isinstance(params, Tensor) else [p[1] if isinstance(p, tuple) else p for p in params]
    if not tensors:
        raise ValueError(f"{name}: params is empty")
    total = term(tensors[0])
    for p in tensors[1:]:
        total = total + term(p)
    return total


def l1_penalty(params: Iterable[Any]) -> Tensor:
    """sum |p| over all elements of all tensors; drives weights to exactly zero when added to a loss.

    >>> import ranvier as rv
    >>> from ranvier.optim import l1_penalty
    >>> l1_penalty([rv.tensor([1.0, -2.0]), rv.tensor([3.0])]).item()
    6.0
    """
    return _sum(params, "l1_penalty", lambda p: p.abs().sum())


def l2_penalty(params: Iterable[Any]) -> Tensor:
    """sum p^2 over all elements of all tensors; half of it, times c, is what weight_decay=c of plain SGD
    adds.

    >>> import ranvier as rv
    >>> from ranvier.optim import l2_penalty
    >>> l2_penalty([rv.tensor([1.0, -2.0]), rv.tensor([3.0])]).item()
    14.0
    """
    return _sum(params, "l2_penalty", lambda p: (p * p).sum())
