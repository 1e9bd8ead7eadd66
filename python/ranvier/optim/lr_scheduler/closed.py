"""Schedules stated by a formula or a function of the step."""

from __future__ import annotations

import math
import types
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ...core.context import refuse_trace
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, per_group


class _WithFunctions(LRScheduler):
    """Schedules with one user's function for each group; of these only objects' attributes are saved."""

    lr_lambdas: list[Callable[[int], float]]

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1, verbose: bool = False):
        check_optimizer(type(self).__name__, optimizer)
        self.lr_lambdas = per_group(type(self).__name__, "lr_lambda", optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch, verbose)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["lr_lambdas"] = [
            None if isinstance(f, types.FunctionType) else dict(getattr(f, "__dict__", {})) for f in self.lr_lambdas
        ]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes:
                vars(function).update(attributes)


class LambdaLR(_WithFunctions):
    """lr = initial_lr * lr_lambda(t)."""

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_WithFunctions):
    """lr *= lr_lambda(t) at each step t > 0."""

    def get_lr(self) -> list[float]:
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        if self._initial:
            return rates
        return [lr * f(self.last_epoch) for lr, f in zip(rates, self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """lr = initial_lr * gamma^floor(t / step_size)."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1, verbose: bool = False
    ):
        if step_size < 1:
            raise ValueError(f"StepLR: step_size={step_size} must be at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch, verbose)

    def _factor(self, t: int, group: int) -> float:
        return self.gamma ** (t // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = initial_lr * gamma^(number of milestones <= t)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch, verbose)

    def _factor(self, t: int, group: int) -> float:
        return self.gamma ** sum(n for milestone, n in self.milestones.items() if milestone <= t)


class ConstantLR(LRScheduler):
    """lr = initial_lr * factor while t < total_iters, then initial_lr."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        if not 0 < factor <= 1:
            raise ValueError(f"ConstantLR: factor={factor} must be in (0, 1]")
        if total_iters < 0:
            raise ValueError(f"ConstantLR: total_iters={total_iters} must be at least 0")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch, verbose)

    def _factor(self, t: int, group: int) -> float:
        return self.factor if t < self.total_iters else 1.0


class LinearLR(LRScheduler):
    """The factor goes in a line from start_factor to end_factor within total_iters steps; with none it is
    end_factor from the start.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor={start_factor} must be in (0, 1]")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor={end_factor} must be in [0, 1]")
        if total_iters < 0:
            raise ValueError(f"LinearLR: total_iters={total_iters} must be at least 0")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch, verbose)

    def _factor(self, t: int, group: int) -> float:
        if t >= self.total_iters:
            return self.end_factor
        return self.start_factor + (self.end_factor - self.start_factor) * t / self.total_iters


class ExponentialLR(LRScheduler):
    """lr *= gamma at each step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1, verbose: bool = False):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch, verbose)

    def _factor(self, t: int, group: int) -> float:
        return self.gamma**t


class PolynomialLR(LRScheduler):
    """lr = initial_lr * (1 - min(t, total_iters) / total_iters)^power."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        if total_iters < 1:
            raise ValueError(f"PolynomialLR: total_iters={total_iters} must be at least 1")
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch, verbose)

    def _factor(self, t: int, group: int) -> float:
        return (1.0 - min(t, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (initial_lr - eta_min) * (1 + cos(pi t / T_max)) / 2.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", without the
        restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1, verbose: bool = False
    ):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch, verbose)

    def _height(self, t: int) -> float:
        return (1 + math.cos(math.pi * t / self.T_max)) / 2

    def _factor(self, t: int, group: int) -> float:
        base = self.base_lrs[group]
        return (self.eta_min + (base - self.eta_min) * self._height(t)) / base if base else 1.0

    def get_lr(self) -> list[float]:
        t, groups = self.last_epoch, self.optimizer.param_groups
        if self._initial:
            return [float(group["lr"]) for group in groups]
        before, now = self._height(t - 1), self._height(t)
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # before is 0: climb from the valley by the closed form
            return [float(g["lr"]) + (base - self.eta_min) * now for g, base in zip(groups, self.base_lrs, strict=True)]
        return [now / before * (float(group["lr"]) - self.eta_min) + self.eta_min for group in groups]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing that starts anew after T_0, then T_0 * T_mult, then T_0 * T_mult^2 ... steps.

    `step(epoch)` also takes a fraction of an epoch, for updates within one. Source: Loshchilov and Hutter,
    "SGDR".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: T_0={T_0!r} must be a positive integer")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"CosineAnnealingWarmRestarts: T_mult={T_mult!r} must be an integer >= 1")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self._locate(last_epoch)
        super().__init__(optimizer, last_epoch, verbose)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def _locate(self, epoch: float) -> None:
        """Set the length of the cycle of `epoch`, and the place in it."""
        self.T_cur, self.T_i = epoch, self.T_0
        if self.T_mult == 1 and epoch >= self.T_0:
            self.T_cur = epoch % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Go on by one step, or to `epoch`."""
        refuse_trace(f"{type(self).__name__}.step")
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult
        elif epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch={epoch} must be >= 0")
        else:
            self._locate(epoch)
        self._step_count += 1
        self.last_epoch = math.floor(epoch)
        self._write(self.get_lr())

    def _restart(self) -> None:
        self.step(0)
