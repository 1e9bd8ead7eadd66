"""Callbacks: what happens between epochs (or batches) of a training run."""

from __future__ import annotations

import csv
import inspect
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from .progress import is_number


class Callback:
    """Base of callbacks; override the hooks you need. `self.trainer` is the running Trainer.

    `self.trainer.stop_training = True` ends the run after the epoch (or batch). `logs` are the numbers so
    far; hooks of an epoch may add entries to it, which the history keeps. A batch hook makes the run go step
    by step through Python, which costs speed, so define one only where it is needed.
    """

    trainer: Any = None

    def on_train_begin(self, logs: dict[str, float]) -> None: ...

    def on_train_end(self, logs: dict[str, float]) -> None: ...

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None: ...

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None: ...

    def on_batch_begin(self, batch: int, logs: dict[str, float]) -> None: ...

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed needs of this object: tensors, arrays, numbers, texts, and dicts and lists of such."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, after `on_train_begin`."""

    def wants_batches(self) -> bool:
        """Whether this object defines a batch hook."""
        return any(
            getattr(type(self), hook) is not getattr(Callback, hook) for hook in ("on_batch_begin", "on_batch_end")
        )


class LambdaCallback(Callback):
    """A callback from functions, with the hooks' names as keywords.

    >>> from ranvier.train import LambdaCallback
    >>> show = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    _hooks = (
        "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end",
    )  # fmt: skip

    def __init__(self, **hooks: Callable):
        for name, function in hooks.items():
            if name not in self._hooks:
                raise TypeError(f"LambdaCallback: {name!r} must be one of {', '.join(self._hooks)}")
            setattr(self, name, function)
        self._batches = "on_batch_begin" in hooks or "on_batch_end" in hooks

    def wants_batches(self) -> bool:
        return self._batches


class _Monitor(Callback):
    """Callbacks that look at one number an epoch."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode={mode!r} must be 'auto', 'min' or 'max'")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)

    def on_train_begin(self, logs: dict[str, float]) -> None:
        mode = self.mode
        if mode == "auto":
            name = self.monitor.removeprefix("val_")
            larger = [m for m in self.trainer.metrics if m.name == name and m.larger_is_better]
            mode = "max" if larger else "min"
        self._sign = 1.0 if mode == "min" else -1.0
        self.best = math.inf * self._sign

    def _value(self, logs: dict[str, float]) -> float:
        if self.monitor not in logs:
            raise KeyError(
                f"{type(self).__name__}: monitor={self.monitor!r} is not among this run's numbers: {', '.join(logs)}"
            )
        if not is_number(logs[self.monitor]):
            raise TypeError(f"{type(self).__name__}: monitor={self.monitor!r} must be one number an epoch")
        return float(logs[self.monitor])

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]

    def _better(self, value: float) -> bool:
        return self._sign * value < self._sign * self.best - self.min_delta


class EarlyStopping(_Monitor):
    """End the run when a number has not got better for `patience` epochs.

    Args:
        monitor: the number. mode: which way is better, "min", "max" or "auto" (by the metric).
        min_delta: what counts as better. baseline: a value to beat from the start.
        restore_best_weights: put the parameters and buffers of the best epoch back at the end.
        start_from_epoch: epochs to wait first.

    Attributes: best, best_epoch, stopped_epoch (0: ran to the end).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        *,
        min_delta: float = 0.0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = True,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.baseline, self.start_from_epoch = patience, baseline, start_from_epoch
        self.restore_best_weights = restore_best_weights

    def on_train_begin(self, logs: dict[str, float]) -> None:
        super().on_train_begin(logs)
        if self.baseline is not None:
            self.best = self.baseline
        self.best_epoch, self.stopped_epoch, self._wait = 0, 0, 0
        self._weights: dict[str, np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        value = self._value(logs)
        if epoch < self.start_from_epoch:
            return
        if self._better(value):
            self.best, self.best_epoch, self._wait = value, epoch, 0
            if self.restore_best_weights:
                self._weights = copy_state(self.trainer.model)
            return
        self._wait += 1
        if self._wait >= self.patience:
            self.stopped_epoch = epoch
            self.trainer.stop_training = True

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(), "best_epoch": self.best_epoch, "stopped_epoch": self.stopped_epoch,
            "wait": self._wait, "weights": self._weights,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best_epoch, self.stopped_epoch = state["best_epoch"], state["stopped_epoch"]
        self._wait, self._weights = state["wait"], state["weights"]

    def on_train_end(self, logs: dict[str, float]) -> None:
        if self._weights is not None:
            self.trainer.model.load_state_dict(self._weights)
            self._weights = None


def copy_state(model: Any) -> dict[str, np.ndarray]:
    """Parameters and buffers as arrays of their own."""
    return {name: np.array(t.detach().numpy()) for name, t in model.state_dict().items()}


class ModelCheckpoint(_Monitor):
    """Save the model after each epoch, or only where a number got better, as safetensors.

    Args:
        path: file name; fields such as "model-{epoch:03d}-{val_loss:.3f}.safetensors" are filled in (epoch
            from 1).
        monitor, mode, min_delta: as for EarlyStopping. save_best_only: skip epochs that are no better.
        save_weights_only: False saves all that `fit(resume=path)` needs to go on, as `Trainer.save` does.
        save_freq: every so many epochs.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        monitor: str = "val_loss",
        *,
        save_best_only: bool = False,
        save_weights_only: bool = True,
        mode: str = "auto",
        min_delta: float = 0.0,
        save_freq: int = 1,
    ):
        super().__init__(monitor, mode, min_delta)
        self.save_weights_only = save_weights_only
        self.path, self.save_best_only, self.save_freq = os.fspath(path), save_best_only, save_freq

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.save_best_only:
            value = self._value(logs)
            if not self._better(value):
                return
            self.best = value
        elif (epoch + 1) % self.save_freq:
            return
        from ..saving import save

        numbers = {k: v for k, v in logs.items() if is_number(v)}
        path = self.path.format(epoch=epoch + 1, **numbers)
        if not self.save_weights_only:
            self.trainer.save(path)
            return
        save(
            self.trainer.model.state_dict(),
            path,
            metadata={"epoch": str(epoch + 1), **{k: repr(float(v)) for k, v in numbers.items()}},
        )


class CSVLogger(Callback):
    """Write each epoch's numbers as a line of a CSV file, at once.

    Args:
        path: the file. separator: between columns. append: go on with a file that is there.
    """

    def __init__(self, path: str | os.PathLike, separator: str = ",", append: bool = False):
        self.path, self.separator, self.append = path, separator, append

    def on_train_begin(self, logs: dict[str, float]) -> None:
        self._columns: list[str] | None = None
        resumed = len(self.trainer.history.epoch)
        rows: list[list[str]] = []
        if (self.append or resumed) and os.path.exists(self.path):
            with open(self.path, newline="") as file:
                rows = list(csv.reader(file, delimiter=self.separator))
            self._columns = rows[0][1:] if rows else None
        if self.append:
            return
        with open(self.path, "w", newline="") as file:  # a run that is resumed goes on after its last epoch
            csv.writer(file, delimiter=self.separator).writerows(rows[: 1 + resumed])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        with open(self.path, "a", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if self._columns is None:
                self._columns = list(logs)
                writer.writerow(["epoch", *self._columns])
            row = [logs.get(name, "") for name in self._columns]
            writer.writerow([epoch, *(v.tolist() if hasattr(v, "tolist") else v for v in row)])


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch to `schedule(epoch, lr)` (or `schedule(epoch)`)."""

    def __init__(self, schedule: Callable):
        self.schedule = schedule
        self._takes_lr = len(inspect.signature(schedule).parameters) > 1

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        for group in self.trainer.optimizer.param_groups:
            group["lr"] = float(self.schedule(epoch, group["lr"]) if self._takes_lr else self.schedule(epoch))


class TerminateOnNaN(Callback):
    """End the run when the loss is nan or infinite."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not math.isfinite(logs["loss"]):
            warnings.warn(f"the loss became {logs['loss']} in epoch {epoch + 1}: training ends", stacklevel=2)
            self.trainer.stop_training = True


class SchedulerCallback(Callback):
    """Step a learning-rate schedule after each epoch, or after each batch.

    A ReduceLROnPlateau looks at `monitor`: "val_loss" where there is one, else "loss".
    """

    def __init__(self, scheduler: LRScheduler, every: str = "epoch", monitor: str | None = None):
        if every not in ("epoch", "batch"):
            raise ValueError(f"SchedulerCallback: every={every!r} must be 'epoch' or 'batch'")
        self.scheduler, self.every, self.monitor = scheduler, every, monitor

    def wants_batches(self) -> bool:
        return self.every == "batch"

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state["scheduler"])

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.every == "batch":
            self._step(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.every == "epoch":
            self._step(logs)

    def _step(self, logs: dict[str, float]) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            monitor = self.monitor or ("val_loss" if "val_loss" in logs else "loss")
            self.scheduler.step(logs[monitor])
        else:
            self.scheduler.step()
