"""The functions of a batch that a Trainer compiles."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any

from ..nn import Module
from ..nn.utils import clip_grad_norm_
from .metrics import Metric


def row_losses(loss: Any) -> Callable:
    """`loss` as a function (output, target) -> (N,), one number a row."""
    if isinstance(loss, Module) and hasattr(loss, "reduction"):
        unreduced: Any = copy(loss)
        unreduced.reduction = "none"
    elif not isinstance(loss, Module) and "reduction" in inspect.signature(loss).parameters:
        unreduced = partial(loss, reduction="none")
    else:
        raise TypeError(f"fit: weights need a loss with a `reduction` argument, which {loss!r} has not")

    def rows(output: Any, target: Any) -> Any:
        values = unreduced(output, target)
        return values if values.ndim == 1 else values.reshape(values.shape[0], -1).mean(1)

    return rows


def train_step(
    model: Module,
    loss: Any,
    optimizer: Any,
    metrics: Sequence[Metric],
    weighted: bool,
    max_norm: float | None,
) -> Callable:
    """step(x, ..., y[, weights]) -> (loss, mean of each metric): forward, backward, update."""
    rows = row_losses(loss) if weighted else None

    def step(*batch: Any) -> tuple:
        if rows is not None:
            *inputs, target, weights = batch
            output = model(*inputs)
            value = (rows(output, target) * weights).mean()
        else:
            *inputs, target = batch
            output = model(*inputs)
            value = loss(output, target)
        optimizer.zero_grad()
        value.backward()
        if max_norm is not None:
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_norm)
        optimizer.step()
        return value.detach(), *(m.batch_mean(output.detach(), target) for m in metrics)

    return step


def evaluate_step(model: Module, loss: Any, metrics: Sequence[Metric]) -> Callable:
    """step(x, ..., y) -> (loss, mean of each metric)."""

    def step(*batch: Any) -> tuple:
        *inputs, target = batch
        output = model(*inputs)
        return loss(output, target), *(m.batch_mean(output, target) for m in metrics)

    return step
