"""Schedules that go up and down, and the momentum against them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, per_group, set_option


class _WithMomentum(LRScheduler):
    """Schedules that let the momentum (or beta1) go against the learning rate."""

    cycle_momentum: bool

    def _init_momentum(self, optimizer: Optimizer, base: Any, top: Any, cycle: bool, fresh: bool) -> None:
        name = type(self).__name__
        self.cycle_momentum = cycle
        if not cycle:
            return
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"{name}: cycle_momentum=True needs an optimizer with momentum or betas, which "
                f"{type(optimizer).__name__} has not; pass cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        self.base_momentums = per_group(name, "base_momentum", optimizer, base)
        self.max_momentums = per_group(name, "max_momentum", optimizer, top)
        if fresh:
            for group, low, high in zip(optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True):
                self._set_momentum(group, high)
                group["base_momentum"], group["max_momentum"] = low, high

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            set_option(group, "momentum", value)


class CyclicLR(_WithMomentum):
    """The learning rate goes up and down between base_lr and max_lr.

    Args:
        base_lr, max_lr: bounds, a number or one for each group.
        step_size_up, step_size_down: steps of the rising and of the falling half (default: the same).
        mode: "triangular"; "triangular2" halves the height each cycle; "exp_range" scales it by gamma^t.
        scale_fn, scale_mode: your own scale, a function of the "cycle" number or of "iterations".
        cycle_momentum, base_momentum, max_momentum: the momentum (or beta1) goes the other way.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        check_optimizer("CyclicLR", optimizer)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"CyclicLR: mode={mode!r} must be 'triangular', 'triangular2' or 'exp_range'")
        lows = per_group("CyclicLR", "base_lr", optimizer, base_lr)
        self.max_lrs = per_group("CyclicLR", "max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, lows, strict=True):
                set_option(group, "lr", lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self._scale_fn = mode, gamma, scale_fn
        if scale_fn is None:
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = scale_mode
        self._init_momentum(optimizer, base_momentum, max_momentum, cycle_momentum, last_epoch == -1)
        self._lows = lows
        super().__init__(optimizer, last_epoch, verbose)
        self.base_lrs = lows

    def scale_fn(self, x: float) -> float:
        """Height of the cycle, of its number or of the step, as `scale_mode` says."""
        if self._scale_fn is not None:
            return self._scale_fn(x)
        return {"triangular": 1.0, "triangular2": 0.5 ** (x - 1), "exp_range": self.gamma**x}[self.mode]

    def get_lr(self) -> list[float]:
        position = self.last_epoch / self.total_size
        cycle = math.floor(1 + position)
        x = 1.0 + position - cycle
        rise = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height = rise * self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in bounds:
                self._set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self._lows, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {k: v for k, v in super().state_dict().items() if k != "_scale_fn"}


class OneCycleLR(_WithMomentum):
    """One rise from max_lr / div_factor to max_lr, then a fall to that / final_div_factor; step it after each
    batch.

    Args:
        max_lr: the peak, a number or one for each group.
        total_steps: steps of the whole cycle, or give epochs and steps_per_epoch.
        pct_start: share of the steps in which the rate rises.
        anneal_strategy: "cos" or "linear".
        cycle_momentum, base_momentum, max_momentum: the momentum (or beta1) goes the other way.
        three_phase: fall back to the initial rate symmetrically first, then to the minimum.

    Source: Smith and Topin, "Super-Convergence".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 10000.0,
        three_phase: bool = False,
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        check_optimizer("OneCycleLR", optimizer)
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError(f"OneCycleLR: total_steps={total_steps!r} must be a positive integer")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start={pct_start} must be in [0, 1]")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy={anneal_strategy!r} must be 'cos' or 'linear'")
        self.total_steps, self.anneal_strategy = total_steps, anneal_strategy
        peak = pct_start * total_steps - 1
        rise = (peak, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if three_phase:
            self._phases = [
                rise,
                (2 * pct_start * total_steps - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self._phases = [rise, (total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        if last_epoch == -1:
            tops = per_group("OneCycleLR", "max_lr", optimizer, max_lr)
            for group, top in zip(optimizer.param_groups, tops, strict=True):
                group["initial_lr"], group["max_lr"] = top / div_factor, top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self._init_momentum(optimizer, base_momentum, max_momentum, cycle_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch, verbose)

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    def get_lr(self) -> list[float]:
        t, begin = self.last_epoch, 0.0
        if t > self.total_steps:
            raise ValueError(f"OneCycleLR: step {t} is past the end of the cycle, total_steps={self.total_steps}")
        for phase in self._phases[:-1]:
            if t <= phase[0]:
                break
            begin = phase[0]
        else:
            phase = self._phases[-1]
        end, lr0, lr1, momentum0, momentum1 = phase
        share = (t - begin) / (end - begin) if end > begin else 1.0
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                self._set_momentum(group, self._anneal(group[momentum0], group[momentum1], share))
        return [self._anneal(group[lr0], group[lr1], share) for group in self.optimizer.param_groups]
