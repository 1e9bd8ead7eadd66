"""Averages of a model's parameters over training: stochastic weight averaging and exponential moving averages.

>>> import ranvier as rv
>>> from ranvier.optim.swa_utils import AveragedModel
>>> model = rv.nn.Linear(2, 1)
>>> averaged = AveragedModel(model)
>>> for value in (1.0, 2.0, 6.0):
...     _ = rv.nn.init.constant_(model.weight, value)
...     averaged.update_parameters(model)
>>> averaged.module.weight.tolist()
[[3.0, 3.0]]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from ..core.context import no_grad
from ..core.errors import ShapeError
from ..nn.module import Module
from ..tensor import Tensor, tensor
from .lr_scheduler.base import LRScheduler, check_optimizer, per_group
from .optimizer import Optimizer

__all__ = [
    "AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "update_bn",
]  # fmt: skip


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function for `AveragedModel(avg_fn=)`: decay * average + (1 - decay) * value."""
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"get_ema_avg_fn: decay={decay} must be in [0, 1]")
    return lambda average, value, count: decay * average + (1 - decay) * value


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function for `AveragedModel(avg_fn=)`: the mean of all values."""
    return lambda average, value, count: average + (value - average) / (float(count) + 1)


def _of_many(average_of: Callable[[Tensor, Tensor, Any], Tensor]) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    @no_grad()
    def average(averages: list[Tensor], values: list[Tensor], count: Any) -> None:
        for old, value in zip(averages, values, strict=True):
            old.copy_(average_of(old, value, count))

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """The same for `AveragedModel(multi_avg_fn=)`, which changes lists of averages in place."""
    return _of_many(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """The same for `AveragedModel(multi_avg_fn=)`, which changes lists of averages in place."""
    return _of_many(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model, `module`, whose parameters are averages of the model's at each `update_parameters`.

    Args:
        model: what is averaged; its buffers are copied.
        avg_fn: f(average, value, count) -> the new average of a tensor; by default the mean of all values.
        multi_avg_fn: f(averages, values, count) changes all averages in place, instead of avg_fn.
        use_buffers: average buffers of floats too.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Any], Any] | None = None,
        multi_avg_fn: Callable[[list[Tensor], list[Tensor], Any], None] | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list[Tensor]:
        return [*model.parameters(), *(b for b in model.buffers() if self.use_buffers and b.is_floating_point())]

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the parameters of `model` into the averages; the first time they are those of `model`."""
        averages, values = self._averaged(self.module), [v.detach() for v in self._averaged(model)]
        if [a.shape for a in averages] != [v.shape for v in values]:
            raise ShapeError("AveragedModel.update_parameters: the model has other parameters than the averaged one")
        count: Any = self.n_averaged
        if int(count) == 0:
            for average, value in zip(averages, values, strict=True):
                average.copy_(value)
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn(averages, values, count)
        else:
            _of_many(self.avg_fn or get_swa_avg_fn())(averages, values, count)
        taken = set(map(id, averages))
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            if id(mine) not in taken:
                mine.copy_(theirs)
        count.add_(1)


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Let layers that normalise by running statistics take them from `loader` anew: one pass in training mode over its
    batches, inputs or (inputs, ...). Models without such layers are left as they are.
    """
    layers: list[Any] = [m for m in model.modules() if hasattr(m, "reset_running_stats")]
    if not layers:
        return
    momenta, training = [m.momentum for m in layers], model.training
    model.train()
    for m in layers:
        m.reset_running_stats()
        m.momentum = None  # the plain mean over batches
    for batch in loader:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(x if device is None else x.to(device))
    for m, momentum in zip(layers, momenta, strict=True):
        m.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """Goes from the present learning rate to `swa_lr` within anneal_epochs steps, then stays.

    Args:
        swa_lr: the last rate, a number or one for each group.
        anneal_strategy: "cos" or "linear".
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ):
        check_optimizer("SWALR", optimizer)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy={anneal_strategy!r} must be 'cos' or 'linear'")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs={anneal_epochs!r} must be an integer >= 0")
        for group, rate in zip(optimizer.param_groups, per_group("SWALR", "swa_lr", optimizer, swa_lr), strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, t: float) -> float:
        """How much of the way to `swa_lr` is made at step t."""
        share = max(0.0, min(1.0, t / max(1, self.anneal_epochs)))
        return share if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * share)) / 2

    def get_lr(self) -> list[float]:
        t = self._step_count - 1 if self.anneal_epochs else max(1, self._step_count - 1)
        before, now = self._share(t - 1), self._share(t)
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            first = last if before == 1 else (float(group["lr"]) - before * last) / (1 - before)
            rates.append(last * now + first * (1 - now))
        return rates
