"""The functions of a batch that a Trainer compiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..nn import Module
from ..nn.utils import clip_grad_norm_
from .metrics import Metric
from .objective import Objective


def train_step(
    model: Module,
    objective: Objective,
    optimizer: Any,
    metrics: Sequence[Metric],
    weighted: bool,
    max_norm: float | None,
    blend: Callable | None = None,
) -> Callable:
    """step(x, ..., y[, weights]) -> (numbers of the loss, mean of each metric): forward, backward, update.

    blend: (inputs, output, loss) -> what is gone down instead of the loss.
    """

    def step(*batch: Any) -> tuple:
        weights = None
        if weighted:
            *batch, weights = batch  # type: ignore[assignment]
        *inputs, target = batch
        output = model(*inputs)
        value, numbers = objective.value(output, target, weights)
        if blend is not None:
            value = blend(tuple(inputs), output, value)
        optimizer.zero_grad()
        value.backward()
        if max_norm is not None:
            clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_norm)
        optimizer.step()
        return *numbers, *(m.batch_mean(output.detach(), target) for m in metrics)

    return step


def evaluate_step(model: Module, objective: Objective, metrics: Sequence[Metric]) -> Callable:
    """step(x, ..., y) -> (numbers of the loss, mean of each metric)."""

    def step(*batch: Any) -> tuple:
        *inputs, target = batch
        output = model(*inputs)
        return *objective.value(output, target)[1], *(m.batch_mean(output, target) for m in metrics)

    return step
