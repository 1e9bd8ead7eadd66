"""Trainer: fit, evaluate and predict over arrays in memory, with whole epochs run natively."""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..core.context import no_grad
from ..core.dtypes import get_default_dtype, is_float
from ..core.errors import DTypeError
from ..core.tensor import from_numpy
from ..data import DataLoader, Dataset, IterableDataset, TensorDataset
from ..data.sampler import gives_order, numpy_generator
from ..nn import Module
from ..optim import lr_scheduler
from ..random import default_generator, draw_seed
from ..saving import load, save
from ..tensor import Tensor
from . import metrics as metrics_module
from .callbacks import Callback, LearningRateScheduler, SchedulerCallback
from .engine import MOST_ROWS, Feed, Step, StreamFeed
from .history import History
from .inputs import (
    as_arrays,
    as_floats,
    check_finite,
    check_loader,
    check_rows,
    collect,
    fit_target,
    is_array,
    is_data,
    split_batch,
    split_pair,
)
from .names import loss_by_name, optimizer_by_name, suited, takes_probabilities
from .objective import Objective
from .predictor import Predictor, evaluating
from .progress import Progress
from .run import Run
from .steps import evaluate_step, train_step
from .weights import row_weights

_EVALUATED = 1024  # rows at a time, where nothing is learnt
_TRIED = 256  # rows that metrics are tried on
_PROBED = 1024  # rows whose outputs are looked at before training, where a loss cannot take all values


class Trainer:
    """Trains a model on arrays.

    Args:
        model: an nn.Module; called with the inputs of a batch.
        loss: a name ("mse", "cross_entropy", "bce_with_logits", ...), a loss module, or a function (output,
            target).
        optimizer: a name ("adam", "sgd", ...) with `lr` and further options, an Optimizer class, or an
            Optimizer.
        metrics: names ("accuracy", "mae", ...), Metric objects or functions (predictions, targets).
        clip_grad_norm: largest norm of all gradients together.
        compile: run each step as one native call; where the model cannot be traced it runs eagerly, with a
            warning.

    >>> import numpy as np, ranvier as rv
    >>> from ranvier import nn
    >>> _ = rv.manual_seed(0)
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> trainer = rv.train.Trainer(nn.Linear(1, 1), "mse", "adam", lr=0.1)
    >>> history = trainer.fit(x, 2 * x + 1, epochs=50, batch_size=16, seed=0, verbose=0)
    >>> history["loss"][-1] < 1e-3
    True
    >>> trainer.predict(np.zeros((1, 1))).shape
    (1, 1)
    """

    model: Module
    loss: Any
    optimizer: Any
    metrics: Any
    blend: Any = None  # (inputs, output, loss) -> what training goes down instead of the loss

    def __init__(
        self,
        model: Module,
        loss: Any = "mse",
        optimizer: Any = "adam",
        metrics: Iterable[Any] | str = (),
        *,
        clip_grad_norm: float | None = None,
        compile: bool = True,
        **optimizer_options: Any,
    ):
        self._steps: dict[tuple, Step] = {}
        self._run: Run | None = None
        self._loaded: dict[str, Any] | None = None  # the state of a run to go on with
        self._pending: list[Any] | None = None  # paths that wait for the end of the running epoch
        self.stop_training = False
        self.history = History()
        self.compile = compile
        self.model = model
        self.loss = loss
        self.optimizer = optimizer_by_name(optimizer, model.parameters(), **optimizer_options)
        self.metrics = metrics
        self.clip_grad_norm = clip_grad_norm

    def __setattr__(self, name: str, value: Any) -> None:
        """Parts may be replaced between runs: they are checked as those given first, and steps are compiled anew."""
        if name == "model" and not isinstance(value, Module):
            raise TypeError(f"Trainer: model={type(value).__name__} must be an nn.Module")
        if name == "loss":
            value = loss_by_name(value)
        elif name == "optimizer":
            value = optimizer_by_name(value, self.model.parameters())
        elif name == "metrics":
            single = isinstance(value, (str, metrics_module.Metric)) or callable(value)
            value = [suited(metrics_module.get(m), self.loss) for m in ([value] if single else value)]
        elif name == "clip_grad_norm" and value is not None:
            if not isinstance(value, (int, float, np.number)) or not value > 0:
                raise ValueError(f"Trainer: clip_grad_norm={value!r} must be a positive number, or None")
        super().__setattr__(name, value)
        if name in ("model", "loss", "optimizer", "metrics", "clip_grad_norm", "compile"):
            self._steps.clear()
        if name in ("model", "compile") and "model" in vars(self):
            self._predictor = Predictor(self.model, self.compile)
            self._takes_floats: dict[tuple, bool] = {}

    def __getstate__(self) -> dict[str, Any]:  # copies and files hold no steps, which are tied to this model
        return {name: value for name, value in vars(self).items() if name not in ("_steps", "_predictor", "_pending")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _steps={}, _pending=None)
        self._predictor = Predictor(self.model, self.compile)

    # ------------------------------------------------------------ fit

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        *,
        validation_data: Any = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        class_weight: Any = None,
        callbacks: Sequence[Any] = (),
        scheduler: Any = None,
        shuffle: bool = True,
        seed: int | None = None,
        resume: Any = False,
        verbose: int = 1,
        profile: bool = False,
    ) -> History:
        """Train for `epochs` passes over the rows.

        Args:
            x, y: arrays (N, ...); a tuple of arrays as x gives the model several inputs. Or x is a
                DataLoader, or any iterable of batches (x, ..., y), and y is None.
            batch_size: rows a step; the last batch of an epoch may be shorter.
            validation_data: (x, y) or a loader, to evaluate after each epoch; or validation_split: share of
                the rows, drawn at random, that is kept out of training for it.
            sample_weight, class_weight: weight of each row; of each class (dict, sequence or "balanced").
                They are scaled to a mean of 1, so a weight of 2 counts like the row twice.
            callbacks: Callback objects; scheduler: a learning-rate schedule, stepped after each epoch
                (OneCycleLR and CyclicLR: after each batch).
            shuffle: a new order each epoch; seed: makes order and split reproducible.
            resume: a path that `save` or ModelCheckpoint(save_weights_only=False) wrote, or True after `load` or an
                interruption: go on after the last complete epoch of that run until `epochs` are done. With the same
                arguments all numbers are what they would have been without a break.
            verbose: 0 silent, 1 a progress bar on a terminal (else one line an epoch), 2 one line an epoch.
            profile: find out what the run takes: `history.cost` has the steps, their operations, time, energy and the share
                of the machine's peak; with `verbose` they are printed at the end (docs/cost.md).

        Returns the History. Ctrl-C ends the run cleanly after the running step and callbacks' `on_train_end`, and then
        raises KeyboardInterrupt, so that no next run starts: the model keeps what it has learnt, and `trainer.history`
        the numbers, with `interrupted` True. A second Ctrl-C raises at once.
        """
        if not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueError(f"fit: epochs={epochs!r} must be an integer >= 0")
        if not isinstance(batch_size, (int, np.integer)) or batch_size <= 0:
            raise ValueError(f"fit: batch_size={batch_size!r} must be a positive integer")
        if not 0 <= validation_split < 1:
            raise ValueError(f"fit: validation_split={validation_split} must be in [0, 1)")
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise TypeError(f"fit: seed={seed!r} must be an integer, or None")
        self._check_optimizer()
        state = self._resumed(resume, seed)
        seed = draw_seed() if seed is None else int(seed)
        if state is not None:
            seed = state["run"]["seed"]
        generator = numpy_generator(seed)
        feed, held_out = self._feed(
            x, y, epochs, batch_size, validation_split, sample_weight, class_weight, shuffle, generator
        )
        if validation_data is not None:
            if validation_split:
                raise ValueError("fit: give validation_data or validation_split, not both")
            held_out = self._checked(*split_pair(validation_data, "fit: validation_data"), "fit: validation_data")
        run = Run(seed, feed.source, self._callbacks(callbacks, scheduler))
        self.history, self.stop_training = History(), False
        if state is not None:
            self.history.load_state_dict(state["history"])
        mode = self.model.training
        progress = Progress(epochs, verbose, len(self.history.epoch))
        interrupt = _Interrupt()
        spent = self._begin_profile(feed) if profile else None
        began = time.perf_counter() - self.history.seconds
        try:
            with interrupt:
                for hook in run.hooks:
                    hook.on_train_begin({})
                if state is not None:
                    run.load_state_dict(state["run"])
                    self.load_state_dict(state)
                    self.stop_training = run.stopped
                self._run, self._loaded, self._pending = run, None, []
                between = bool(run.hooks) or held_out is not None or len(feed.fused) < len(self.metrics)
                while run.epochs < epochs and not self.stop_training:
                    done = 0 if between else self._epochs(run.epochs, epochs, feed, progress)
                    if not done:
                        self._epoch(run.epochs, feed, held_out, run.hooks, progress, interrupt)
                    run.epochs += done or self._whole
                    run.stopped = self.stop_training
                    self._write_pending()
                    if interrupt.requested:
                        break
                self.history.interrupted = interrupt.requested
                if spent is not None:
                    self._end_profile(feed, spent, verbose)
                for hook in run.hooks:
                    hook.on_train_end({k: v[-1] for k, v in self.history.items()})
                self._write_pending()
            if interrupt.requested:
                raise KeyboardInterrupt(
                    f"fit: interrupted in epoch {len(self.history.epoch)} of {epochs}; the model keeps what it has learnt, "
                    "trainer.history the numbers so far, and fit(..., resume=True) goes on"
                )
        finally:
            self._pending = None
            progress.close()
            self.model.train(mode)
            self.history.seconds = time.perf_counter() - began
            for hook in run.hooks:
                hook.trainer = None
        return self.history

    def _begin_profile(self, feed: Any) -> Any:
        from ..profiling.training import Spent

        self._train_step(feed).counts = {}
        return Spent()

    def _end_profile(self, feed: Any, spent: Any, verbose: int) -> None:
        from ..profiling.training import line

        step = self._train_step(feed)
        self.model.train()
        self.history.cost = spent.cost(self.model, step)
        step.counts = None
        if verbose:
            print(line(self.history.cost))

    def _resumed(self, resume: Any, seed: int | None) -> dict[str, Any] | None:
        """The state of the run to go on with, or None for a new one."""
        if resume is None or resume is False:
            return None
        if resume is not True:
            self.load(resume)
        state = self._loaded or self.state_dict()
        if state["run"] is None:
            raise ValueError(
                "fit: there is no run to go on with; give resume the path of a file that Trainer.save wrote"
            )
        if seed not in (None, state["run"]["seed"]):
            raise ValueError(f"fit: the run that is resumed has seed={state['run']['seed']}, not {seed}")
        return state

    def _check_optimizer(self) -> None:
        """The optimizer must hold parameters of the model (or the loss)."""
        trained = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        modules = (m for m in (self.model, self.loss) if isinstance(m, Module))
        if not any(id(p) in trained for module in modules for p in module.parameters()):
            raise ValueError(
                f"fit: the optimizer holds none of the parameters of {type(self.model).__name__}: it was made for another "
                "model; make one of model.parameters()"
            )

    def _epochs(self, epoch: int, epochs: int, feed: Any, progress: Progress) -> int:
        """Run as many epochs as fit into a moment at once, where nothing has to happen in between; returns how many."""
        if epoch == 0 or not isinstance(feed, Feed):
            return 0
        started = time.perf_counter()
        done = feed.run_epochs(self._train_step(feed), epochs - epoch)
        if done is None:
            return 0
        totals, rows = done
        seconds = (time.perf_counter() - started) / len(totals)
        for number, sums in enumerate(totals, epoch):
            logs = feed.named(sums, rows)
            self._record(number, logs, progress, seconds)
        return len(totals)

    def _epoch(
        self,
        epoch: int,
        feed: Any,
        held_out: tuple[Any, Any, Any] | None,
        hooks: list[Callback],
        progress: Progress,
        interrupt: _Interrupt,
    ) -> None:
        started = time.perf_counter()
        if not self.model.training:
            self.model.train()
        logs: dict[str, float] = {}
        for hook in hooks:
            hook.on_epoch_begin(epoch, logs)
        rate = self.optimizer.param_groups[0]["lr"]
        batch_hooks = [hook for hook in hooks if hook.wants_batches()]
        step = self._train_step(feed)
        for hook in batch_hooks:
            hook.on_batch_begin(0, logs)
        sums, rows = np.zeros(feed.width), 0
        for done, steps, sums, rows in feed.run(step, bool(batch_hooks)):
            running = feed.objective.over_all(sums, rows)
            progress.within_epoch(epoch, done / steps if steps else 0.0, running)
            for hook in batch_hooks:
                hook.on_batch_end(done - 1, {"loss": running})
            if interrupt.requested or self.stop_training:
                break
            if done != steps:
                for hook in batch_hooks:
                    hook.on_batch_begin(done, {"loss": running})
        logs.update(feed.named(sums, rows))
        if not interrupt.requested:
            self._slow_metrics(feed.blocks(), feed.fused, logs, _EVALUATED)
            if held_out is not None:
                result = self._evaluate(*held_out, _EVALUATED)
                logs.update({f"val_{name}": value for name, value in result.items()})
        if any(isinstance(hook, (SchedulerCallback, LearningRateScheduler)) for hook in hooks):
            logs["lr"] = float(rate)
        self._whole = not interrupt.requested  # whether it was not cut short
        if self._whole:
            for hook in hooks:
                hook.on_epoch_end(epoch, logs)
        self._record(epoch, logs, progress, time.perf_counter() - started)

    def _record(self, epoch: int, logs: dict[str, Any], progress: Progress, seconds: float) -> None:
        """Note the numbers of an epoch that is over."""
        before = self.history.get("loss", [0.0])[-1:]
        self.history.append(epoch, logs)
        progress.after_epoch(epoch, logs, seconds)
        if not math.isfinite(logs["loss"]) and all(map(math.isfinite, before)) and not self.stop_training:
            warnings.warn(
                f"fit: the loss became {logs['loss']} in epoch {epoch + 1}: the learning rate, or values of the data, may "
                "be too large",
                stacklevel=4,
            )

    def _callbacks(self, callbacks: Sequence[Any], scheduler: Any) -> list[Callback]:
        """All callbacks, with schedules wrapped as such."""
        given = [callbacks] if isinstance(callbacks, (Callback, lr_scheduler.LRScheduler)) else list(callbacks)
        hooks: list[Callback] = []
        for item in given + ([] if scheduler is None else [scheduler]):
            if isinstance(item, lr_scheduler.LRScheduler):
                by_batch = isinstance(item, (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR))
                item = SchedulerCallback(item, "batch" if by_batch else "epoch")
            if not isinstance(item, Callback):
                raise TypeError(f"fit: callback {item!r} must be a Callback or a learning-rate schedule")
            if isinstance(item, SchedulerCallback) and item.scheduler.optimizer is not self.optimizer:
                raise ValueError("fit: the schedule belongs to another optimizer than this Trainer's")
            item.trainer = self
            hooks.append(item)
        return hooks

    # ------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on: model, optimizer, random numbers, history, and the run's order and callbacks, after
        the epochs that are complete.
        """
        run = self._loaded["run"] if self._loaded else self._run.state_dict() if self._run else None
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loss": self.loss.state_dict() if isinstance(self.loss, Module) else {},
            "random": default_generator.get_state(),
            "history": self.history.state_dict(run["epochs"] if run else None),
            "run": run,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, also of a Trainer in another process that was made by the same code."""
        if not isinstance(state, dict) or not {"model", "optimizer", "random", "history", "run"} <= state.keys():
            raise ValueError(
                "Trainer.load_state_dict: this is not the state of a Trainer; a model's goes to model.load"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["loss"]:
            self.loss.load_state_dict(state["loss"])
        default_generator.set_state(state["random"])
        self.history.load_state_dict(state["history"])
        self._loaded = state

    def save(self, path: Any) -> None:
        """Write `state_dict()` to a file, for `load` or `fit(resume=path)`. During a run, from a callback, that happens when
        the epoch and all its callbacks are done.
        """
        if self._pending is None:
            save(self.state_dict(), path)
        else:
            self._pending.append(path)

    def load(self, path: Any) -> Trainer:
        """Take over what `save` wrote; `fit(..., resume=True)` then goes on with its run."""
        self.load_state_dict(load(path))
        return self

    def _write_pending(self) -> None:
        for path in self._pending or ():
            save(self.state_dict(), path)
        self._pending = []

    def __repr__(self) -> str:
        counts = sum(p.numel() for p in self.model.parameters())
        rate = ", ".join(f"{lr:.4g}" for lr in dict.fromkeys(group["lr"] for group in self.optimizer.param_groups))
        metrics = "".join(f", {m.name}" for m in self.metrics)
        return (
            f"Trainer({type(self.model).__name__} of {counts:,} parameters, loss={self.loss!r}, "
            f"optimizer={type(self.optimizer).__name__}(lr={rate}){metrics and f', metrics=[{metrics[2:]}]'}, "
            f"{len(self.history.epoch)} epochs trained)"
        )

    # ------------------------------------------------------------ inputs

    def _dtype(self) -> np.dtype:
        return next((p.dtype for p in self.model.parameters() if is_float(p.dtype)), get_default_dtype())

    def _inputs(self, x: Any) -> tuple[np.ndarray, ...]:
        """Inputs as arrays that the model takes: integers and bools as floats, where it does not take them as they are."""
        dtype = self._dtype()
        xs = as_arrays(x, "x", dtype)
        kinds = tuple(a.dtype for a in xs)
        if all(kind == dtype for kind in kinds) or not all(map(len, xs)):
            return xs
        floats = self._takes_floats.get(kinds)
        if floats is None:
            floats = False
            try:
                self._predictor.eager(tuple(a[:1] for a in xs))
            except DTypeError as error:
                try:
                    self._predictor.eager(tuple(a[:1] for a in as_floats(xs, dtype)))
                except Exception:
                    raise error from None
                floats = True
            self._takes_floats[kinds] = floats
        return as_floats(xs, dtype) if floats else xs

    def _arrays(self, x: Any, y: Any, what: str) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Inputs and target as arrays of the model's dtype, of equal length, all finite."""
        if y is None:
            raise ValueError(f"{what}: y is missing")
        (target,) = as_arrays(y if is_array(y) else np.asarray(y), "y", self._dtype())
        xs = self._inputs(x)
        names = ["x"] if len(xs) == 1 else [f"x[{i}]" for i in range(len(xs))]
        several = isinstance(x, list) and len(x) and all(map(is_array, x)) and len(x) != len(target)
        if several and all(len(part) == len(target) for part in x if part.ndim):
            raise ValueError(
                f"{what}: a list of {len(x)} arrays is {len(x)} rows; several inputs are a tuple, (x1, x2)"
            )
        check_rows({**dict(zip(names, xs, strict=True)), "y": target}, what)
        for name, data in (*zip(names, xs, strict=True), ("y", target)):
            check_finite(data, f"{what}: {name}")
        return xs, target

    def _probe(self, xs: tuple[np.ndarray, ...], what: str) -> Any:
        """The model's output for the first row. What a loss asks of outputs is checked with more of them."""
        rows = _PROBED if takes_probabilities(self.loss) else 1
        output = self._predictor.eager(tuple(a[:rows] for a in xs))
        if rows > 1 and isinstance(output, Tensor):
            low, high = output.min().item(), output.max().item()
            if not (low >= 0 and high <= 1):
                raise ValueError(
                    f"{what}: {type(self.loss).__name__} needs probabilities, but the model gives values from {low:.6g} to "
                    f"{high:.6g}; end it with a Sigmoid, or take the loss 'bce_with_logits'"
                )
        return output[:1] if isinstance(output, Tensor) else output

    def _checked(self, x: Any, y: Any, what: str) -> tuple[tuple[np.ndarray, ...], np.ndarray, Any]:
        """Inputs and target as arrays that fit the model and the loss, and the model's output for the first row."""
        if y is None and not is_data(x):
            x, y = collect(x, what)
        xs, target = self._arrays(x, y, what)
        output = self._probe(xs, what)
        return xs, fit_target(target, output, self.loss, self._dtype(), what), output

    def _feed(
        self,
        x: Any,
        y: Any,
        epochs: int,
        batch_size: int,
        validation_split: float,
        sample_weight: Any,
        class_weight: Any,
        shuffle: bool,
        generator: np.random.Generator,
    ) -> tuple[Any, Any]:
        """Where the batches come from, and the rows held out for validation."""
        if y is None and not is_data(x):
            if validation_split or sample_weight is not None or class_weight is not None:
                raise ValueError("fit: validation_split and weights need arrays x and y, not a loader")
            if isinstance(x, Dataset):
                streams = isinstance(x, IterableDataset)
                x = DataLoader(x, batch_size, shuffle=shuffle and not streams, generator=generator)
            return self._loader_feed(x, epochs), None
        xs, target, output = self._checked(x, y, "fit")
        self._try_metrics(output, target)
        rows, held_out = len(target), None
        keep = np.arange(rows)
        if validation_split:
            order = generator.permutation(rows)
            count = max(1, round(rows * validation_split))
            if count >= rows:
                raise ValueError(f"fit: validation_split={validation_split} of {rows} rows leaves none to train on")
            chosen, keep = np.sort(order[:count]), np.sort(order[count:])
            held_out = tuple(a[chosen] for a in xs), target[chosen], output
        objective = Objective(self.loss, target)
        weights = row_weights(sample_weight, class_weight, target, output, objective, keep)
        data = (*xs, target) if weights is None else (*xs, target, weights.astype(self._dtype()))
        shuffled = generator if shuffle else None
        fused = self._fused(output, target)
        return Feed(data, objective, fused, batch_size, keep, None, shuffled, weighted=weights is not None), held_out

    def _loader_feed(self, loader: Any, epochs: int) -> Any:
        if isinstance(loader, DataLoader) and isinstance(loader.dataset, TensorDataset):
            sampler: Any = loader.sampler
            size = loader.batch_size if loader.collate_fn is None and gives_order(sampler) else None
            if size is not None and len(sampler) <= MOST_ROWS:
                *inputs, y = loader.dataset.tensors
                xs, target, output = self._checked(tuple(inputs), y, "fit")
                self._try_metrics(output, target)
                fused = self._fused(output, target)
                rows, objective = np.arange(len(target)), Objective(self.loss, target)
                feed = Feed((*xs, target), objective, fused, size, rows, sampler.order, drop_last=loader.drop_last)
                feed.source = sampler
                return feed
        pattern: list = []  # the model's output for one row

        def prepare(batch: Any) -> tuple[np.ndarray, ...]:
            *inputs, y = split_batch(batch, "fit")
            xs, target = self._arrays(tuple(inputs), y, "fit")
            if not pattern:
                pattern.append(self._probe(xs, "fit"))
            return (*xs, fit_target(target, pattern[0], self.loss, self._dtype(), "fit"))

        passes = epochs * (2 if self.metrics else 1)
        stream = StreamFeed(check_loader(loader, "fit", passes), prepare, Objective(self.loss))
        stream.source = getattr(loader, "sampler", None)
        return stream

    # ------------------------------------------------------------ evaluate, predict

    def evaluate(self, x: Any, y: Any = None, batch_size: int = _EVALUATED) -> dict[str, float]:
        """Loss and metrics of the model, in evaluation mode, over all rows of arrays, or of a loader."""
        return self._evaluate(*self._checked(x, y, "evaluate"), batch_size)

    def _evaluate(
        self, xs: tuple[np.ndarray, ...], target: np.ndarray, output: Any, batch_size: int
    ) -> dict[str, float]:
        with evaluating(self.model):
            feed = Feed((*xs, target), Objective(self.loss, target), self._fused(output, target), batch_size,
                        np.arange(len(target)))  # fmt: skip
            step = self._step(
                ("evaluate", *feed.objective.key, *map(id, feed.fused)),
                lambda: evaluate_step(self.model, feed.objective, feed.fused),
            )
            with no_grad():
                *_, (_, _, sums, rows) = feed.run(step)
            logs = feed.named(sums, rows)
            self._slow_metrics([(xs, target)], feed.fused, logs, batch_size)
        return logs

    def _slow_metrics(self, blocks: Iterable[tuple], fused: Sequence[Any], logs: dict[str, Any], batch: int) -> None:
        """Add metrics that are no mean over rows to `logs`, from predictions in evaluation mode."""
        slow = [m for m in self.metrics if m not in fused]
        if not slow:
            return
        for metric in slow:
            metric.reset()
        for xs, target in blocks:
            predictions = self._predictor.rows(xs, batch)
            for metric in slow:
                metric.update(predictions, target)
        logs.update((metric.name, metric.compute()) for metric in slow)

    def predict(self, x: Any, batch_size: int = _EVALUATED) -> Any:
        """The model's outputs in evaluation mode for the rows of `x`, as an array.

        Rows go through the model `batch_size` at a time. Repeated calls of one shape run one compiled program
        and keep memory constant.
        """
        if type(x) is np.ndarray:
            result = self._predictor.again(x)
            if result is not None:
                return result
        arrays = self._inputs(x)
        if len(arrays) == 1:
            result = self._predictor.again(arrays[0])
            if result is not None:
                return result
        check_rows({f"x[{i}]": a for i, a in enumerate(arrays)}, "predict")
        return self._predictor.rows(arrays, batch_size)

    # ------------------------------------------------------------ steps

    def _try_metrics(self, output: Any, target: np.ndarray) -> None:
        """What a metric cannot take is said before anything is learnt."""
        if isinstance(output, Tensor):
            first = target[:_TRIED]
            scores = np.broadcast_to(output.detach().numpy(), (len(first), *output.shape[1:]))
            for metric in filter(metrics_module.is_known, self.metrics):
                metric(scores, first)

    def _fused(self, output: Any, target: np.ndarray) -> list[Any]:
        """The metrics that can be computed within a step."""
        if not self.metrics or not isinstance(output, Tensor):
            return []
        row = from_numpy(target[:1])
        return [m for m in self.metrics if m.batch_mean(output, row) is not None]

    def _step(self, key: tuple, make: Callable[[], Callable]) -> Step:
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = Step(make(), self.compile)
        return step

    def _train_step(self, feed: Any) -> Step:
        return self._step(
            ("train", feed.weighted, *feed.objective.key, *map(id, feed.fused)),
            lambda: train_step(
                self.model, feed.objective, self.optimizer, feed.fused, feed.weighted, self.clip_grad_norm, self.blend
            ),
        )


class _Interrupt:
    """Context manager: the first Ctrl-C only sets `requested`, the second raises at once."""

    requested = False

    def __enter__(self) -> None:
        self._before: Any = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)

    def _handle(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *exc: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
