"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...core.context import refuse_trace
from ..optimizer import Optimizer
from .base import LRScheduler, check_optimizer, set_option
from .plateau import ReduceLROnPlateau


class _Several(LRScheduler):
    """Schedules made of schedules of one optimizer."""

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: schedulers must hold at least one scheduler")
        for index, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: schedulers[{index}]={type(scheduler).__name__} must be a scheduler")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(f"{name}: schedulers[{index}] is a ReduceLROnPlateau, whose step needs a metric")
            optimizer = optimizer or scheduler.optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(f"{name}: schedulers[{index}] belongs to another optimizer")
        assert optimizer is not None
        self._schedulers, self.optimizer = list(schedulers), optimizer

    def _rewind(self) -> None:
        self.last_epoch = -1
        for scheduler in self._schedulers:
            scheduler._rewind()

    def _restart(self) -> None:
        for group in self.optimizer.param_groups:
            set_option(group, "lr", float(group["initial_lr"]))
        self._rewind()
        self._first_step()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ChainedScheduler(_Several):
    """Steps all `schedulers` together: their factors multiply."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None):
        self._take(schedulers, optimizer)
        self._note()

    def step(self) -> None:  # type: ignore[override]
        refuse_trace(f"{type(self).__name__}.step")
        for scheduler in self._schedulers:
            scheduler.step()
        self._note()

    def _first_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._first_step()


class SequentialLR(_Several):
    """Schedules one after another; schedulers[i + 1] starts at step milestones[i]."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
        verbose: bool = False,
    ):
        check_optimizer("SequentialLR", optimizer)
        self._take(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} milestones, not {len(milestones)}"
            )
        self._milestones = list(milestones)
        if last_epoch >= 0:
            optimizer._stepped = True
        self._restart()
        for _ in range(last_epoch + 1):  # each schedule comes to where it would be
            self.step()

    def _first_step(self) -> None:
        self.last_epoch = 0
        self._schedulers[bisect_right(self._milestones, 0)]._first_step()
        self._note()

    def step(self) -> None:  # type: ignore[override]
        refuse_trace(f"{type(self).__name__}.step")
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            self._schedulers[index]._restart()
        else:
            self._schedulers[index].step()
        self._note()
