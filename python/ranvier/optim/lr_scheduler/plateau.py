"""A schedule that watches a metric."""

from __future__ import annotations

import math
from typing import Any

from ...core.context import refuse_trace
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, per_group, set_option


class ReduceLROnPlateau(LRScheduler):
    """Multiply the learning rate by `factor` when a metric has not improved for more than `patience` steps.

    Args:
        mode: "min" or "max", which way is better.
        factor: new lr = lr * factor, not below min_lr (a number, or one for each group).
        threshold, threshold_mode: what counts as better: by a share ("rel") or an amount ("abs") of the best.
        cooldown: steps to wait after a reduction. eps: smaller changes of the rate are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
        verbose: bool = False,
    ):
        check_optimizer("ReduceLROnPlateau", optimizer)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor={factor} must be < 1")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode={mode!r} must be 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: threshold_mode={threshold_mode!r} must be 'rel' or 'abs'")
        self.optimizer, self.verbose = optimizer, verbose
        self.min_lrs = per_group("ReduceLROnPlateau", "min_lr", optimizer, min_lr)
        self.mode, self.factor, self.patience, self.eps = mode, factor, patience, eps
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._note()

    @property
    def in_cooldown(self) -> bool:
        """Whether the steps after a reduction are not over."""
        return self.cooldown_counter > 0

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * value < sign * self.best - self.threshold
        return sign * value < sign * self.best * (1.0 - sign * self.threshold)

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Note the metric of an epoch (a number or a tensor of one element)."""
        refuse_trace(f"{type(self).__name__}.step")
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for index, (group, low) in enumerate(zip(self.optimizer.param_groups, self.min_lrs, strict=True)):
                old = float(group["lr"])
                lr = max(old * self.factor, low)
                if old - lr > self.eps:
                    set_option(group, "lr", lr)
                    if self.verbose:
                        print(f"Step {self.last_epoch}: learning rate of group {index} is reduced to {lr:.4e}.")
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._note()
