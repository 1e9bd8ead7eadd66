"""The base of the schedules, and what they share."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ...core.context import local, refuse_trace
from ...tensor import Tensor
from ..optimizer import Optimizer


def check_optimizer(name: str, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{name}: optimizer={type(optimizer).__name__} must be an Optimizer")


def per_group(name: str, what: str, optimizer: Optimizer, value: Any) -> list:
    """`value` as a list with one entry for each parameter group."""
    groups = len(optimizer.param_groups)
    if isinstance(value, (list, tuple)):
        if len(value) != groups:
            raise ValueError(f"{name}: {what} has {len(value)} values but the optimizer has {groups} parameter groups")
        return list(value)
    return [value] * groups


def set_option(group: dict[str, Any], key: str, value: float) -> None:
    """Write an option; a tensor stays the one it is, which compiled steps read."""
    if isinstance(group[key], Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


class LRScheduler:
    """Base of the schedules: counts steps in `last_epoch` and writes `group['lr']`.

    A subclass of your own defines `get_lr()`, the learning rates at step `last_epoch`, and may define
    `_get_closed_form_lr()`, the same without regard to the present ones:

    >>> import ranvier as rv
    >>> class InverseRoot(rv.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / (1 + self.last_epoch) ** 0.5 for base in self.base_lrs]
    >>> optimizer = rv.optim.SGD([rv.zeros(3, requires_grad=True)], lr=1.0)
    >>> scheduler = InverseRoot(optimizer)
    >>> for epoch in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]

    Args:
        optimizer: whose groups are scheduled.
        last_epoch: -1 starts anew; k resumes after step k (the groups then need an `initial_lr`).
        verbose: print the learning rates at each step.
    """

    _get_lr_called_within_step = True  # what subclasses written for PyTorch ask

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, verbose: bool = False):
        check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch={last_epoch} resumes a schedule, but "
                    f"param_groups[{index}] has no 'initial_lr': load the optimizer's state_dict first"
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch, self.verbose = last_epoch, verbose
        self._first_step()

    def _first_step(self) -> None:
        self._step_count = 0
        self._initial = True
        self.step()
        self._initial = False

    def _factor(self, t: int, group: int) -> float:
        """Multiple of the initial learning rate of parameter group number `group` at step `t`."""
        raise NotImplementedError(f"{type(self).__name__} must define _factor() or get_lr()")

    def get_lr(self) -> list[float]:
        """Learning rates for step `last_epoch`; called by `step`."""
        t, result = self.last_epoch, []
        for index, group in enumerate(self.optimizer.param_groups):
            if t == 0:
                ratio = self._factor(0, index)
            elif self._initial:
                ratio = 1.0  # resumed: the group already has the rate of this step
            else:
                now, before = self._factor(t, index), self._factor(t - 1, index)
                ratio = 1.0 if now == before else now / before
            result.append(float(group["lr"]) * ratio)
        return result

    def _get_closed_form_lr(self) -> list[float]:
        """Learning rates for step `last_epoch`, whatever they are now."""
        if type(self)._factor is LRScheduler._factor:
            return self.get_lr()
        return [base * self._factor(self.last_epoch, i) for i, base in enumerate(self.base_lrs)]

    def _restart(self) -> None:
        """Go to step 0, whatever the learning rate is now."""
        self.last_epoch = 0
        self._write(self._get_closed_form_lr())

    def _rewind(self) -> None:
        """Go back before the first step."""
        self.last_epoch = -1

    def _write(self, rates: Iterable[float]) -> None:
        for index, (group, lr) in enumerate(zip(self.optimizer.param_groups, rates, strict=True)):
            set_option(group, "lr", lr)
            if self.verbose:
                print(f"Step {self.last_epoch}: learning rate of group {index} is {lr:.4e}.")
        self._note()

    def _note(self) -> None:
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, or to step `epoch`; call it after `optimizer.step()`."""
        refuse_trace(f"{type(self).__name__}.step")
        if self._step_count == 1 and not getattr(self.optimizer, "_stepped", True):
            warnings.warn(
                "scheduler.step() was called before optimizer.step(): the first learning rate of the "
                "schedule is skipped. Call optimizer.step() first.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is None:
            self.last_epoch += 1
            self._write(self.get_lr())
        else:
            self.last_epoch = epoch
            self._write(self._get_closed_form_lr())

    def get_last_lr(self) -> list[float]:
        """The learning rate of each parameter group as the last step left it."""
        if local.tracer is not None:
            local.tracer.guard(lambda: list(self._last_lr))
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on with the schedule, without the optimizer."""
        return {k: v for k, v in vars(self).items() if k not in ("optimizer", "_initial")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        vars(self).update(state_dict)
