"""A loss as the steps of a Trainer use it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import numpy as np

from .. import ops
from ..core.tensor import from_numpy
from ..nn import Module


class Objective:
    """The value of a loss for a batch, with a weight for each row or without, and its value over many batches.

    What a loss divides by is its own affair: a mean may count rows, or what labels count (weights of classes, and nothing
    for ignored labels), and a sum divides by nothing. Weights of 1 change nothing, and the value over many batches is that
    of all rows at once.

    Args:
        target: all targets, or None where they come batch by batch.
    """

    def __init__(self, loss: Any, target: np.ndarray | None = None):
        self.loss = loss
        self.reduction = _reduction(loss)
        if self.reduction == "none":
            raise ValueError(f"Trainer: {loss!r} gives a number for each row; its reduction must be 'mean' or 'sum'")
        self.counted = self.reduction == "mean" and hasattr(loss, "counts") and _unequal(loss, target)
        self.width = 1 + self.counted  # numbers that a step returns of it

    @property
    def key(self) -> tuple:
        """What a step was made from."""
        options = vars(self.loss).items() if isinstance(self.loss, Module) else ()
        plain = [(name, value) for name, value in options if isinstance(value, (bool, int, float, str, type(None)))]
        return id(self.loss), self.counted, *plain

    def _counts(self, target: Any, dtype: Any) -> Any:
        """What each row counts for; None: 1."""
        if not self.counted or target.dtype.kind == "f":  # probabilities
            return None
        counts = self.loss.counts(target, dtype)
        return counts if counts.ndim == 1 else counts.reshape(len(counts), -1).sum(1)

    def row_counts(self, target: np.ndarray) -> np.ndarray:
        """What each row counts for in the mean."""
        counts = self._counts(from_numpy(target), np.float64)
        return np.ones(len(target)) if counts is None else counts.numpy().astype(np.float64)

    def value(self, output: Any, target: Any, weights: Any = None) -> tuple[Any, tuple]:
        """The value to go down, and what a step returns of it: numbers whose sums weighted by rows `over_all` takes."""
        rows = target.shape[0]
        counts = self._counts(target, output.dtype) if self.counted else None
        divisor = None if counts is None else counts.sum()
        if weights is None:
            value = self.loss(output, target)
        else:
            losses = self._unreduced(output, target)
            losses = losses if losses.ndim == 1 else losses.reshape(rows, -1)
            if losses.ndim > 1:
                losses = losses.mean(1) if divisor is None and self.reduction == "mean" else losses.sum(1)
            if divisor is not None:
                value = (losses * weights).sum() / ops.where(divisor > 0, divisor, 1.0)
            else:
                value = (losses * weights).sum() if self.reduction == "sum" else (losses * weights).mean()
        seen = value.detach()
        if divisor is not None:  # a batch without any counted row has the mean nan, and no part in that of all
            return value, (ops.where(divisor > 0, seen * divisor, 0.0) / rows, divisor / rows)
        if self.counted:
            return value, (seen, ops.ones_like(seen))
        return value, (seen / rows if self.reduction == "sum" else seen,)

    def over_all(self, sums: np.ndarray, rows: int) -> float:
        """The loss over all batches, from the sums of what the steps returned, each times its rows."""
        divisor = sums[1] if self.counted else 1.0 if self.reduction == "sum" else rows
        return float(sums[0] / divisor) if divisor else float("nan")

    @property
    def _unreduced(self) -> Callable:
        loss: Any = self.loss
        if self.reduction is None:
            raise TypeError(f"fit: weights need a loss with a `reduction` argument, which {loss!r} has not")
        if not isinstance(loss, Module):
            return partial(loss, reduction="none")
        unreduced = copy(loss)
        unreduced.reduction = "none"
        return unreduced


def _reduction(loss: Any) -> str | None:
    """How a loss makes one number of many; None where it does not say."""
    if isinstance(loss, Module):
        return getattr(loss, "reduction", None)
    try:
        parameter = inspect.signature(loss).parameters.get("reduction")
    except (TypeError, ValueError):
        return None
    return None if parameter is None else parameter.default if isinstance(parameter.default, str) else "mean"


def _unequal(loss: Any, target: np.ndarray | None) -> bool:
    """Whether labels may count differently."""
    if target is None or loss.weight is not None:
        return target is None or target.dtype.kind != "f"
    return target.dtype.kind != "f" and bool((target == loss.ignore_index).any())
