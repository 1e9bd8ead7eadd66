"""Running a compiled step over the batches of an epoch."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import Any

import numpy as np

from ..compiling import CompiledFunction
from ..core.errors import TraceError
from ..core.tensor import from_numpy
from .objective import Objective

MOST_ROWS = 1 << 26  # of an epoch whose order is made at once
_OF_SEVERAL = 1 << 22  # of the orders of several epochs
_SLICE = 0.1  # seconds of native work between looks at the clock, Ctrl-C and the progress bar


class Step:
    """A function of batch tensors that returns scalars: (loss, ...). Compiled where it can be traced.

    `totals` sums what it returns, each scalar as it is. counts: None, or a dict that is told how many steps were done on
    batches of which shapes and dtypes.
    """

    counts: dict[tuple, int] | None = None

    def __init__(self, function: Callable, compile: bool = True):
        self._function = function
        self._compiled = CompiledFunction(function, keeps="arguments") if compile else None

    def traced(self, tensors: list[Any]) -> Any:
        """The trace for such a batch; None where it runs uncompiled."""
        return None if self._compiled is None else self._compiled.traced(*tensors)

    def _count(self, arrays: tuple, rows: int | None, steps: int) -> None:
        key = tuple(((len(a) if rows is None else rows, *a.shape[1:]), a.dtype) for a in arrays)
        self.counts[key] = self.counts.get(key, 0) + steps  # type: ignore[index, union-attr]

    def _give_up(self, error: TraceError) -> None:
        warnings.warn(f"training runs uncompiled, and slower: {error}", stacklevel=4)
        self._compiled = None

    def loop(
        self,
        data: tuple,
        order: np.ndarray,
        batch: int,
        begin: int,
        end: int,
        totals: np.ndarray,
        every: int,
        alone: bool,
    ) -> int:
        """Steps begin..end-1, each on the next `batch` rows of `order`; returns how many were done. With `every`, step s
        adds to totals[s // every]. alone: nobody else changes anything meanwhile.
        """
        if self._compiled is not None:
            try:
                done = self._compiled.loop(data, order, batch, begin, end, totals, every, frozen=alone)
                if self.counts is not None:
                    self._count(data, batch, done)
                return done
            except TraceError as error:
                self._give_up(error)
        for i in range(begin, end):
            rows = order[i * batch : (i + 1) * batch]
            self.batch(tuple(d[rows] for d in data), totals[i // every] if every else totals)
        return end - begin

    def batch(self, rows: tuple[np.ndarray, ...], totals: np.ndarray) -> None:
        """Run one batch that is given."""
        if self.counts is not None:
            self._count(rows, None, 1)
        tensors = [*map(from_numpy, rows)]
        if self._compiled is not None:
            try:
                totals += [t.item() for t in self._compiled(*tensors)]
                return
            except TraceError as error:  # before anything has been computed
                self._give_up(error)
        totals += [t.item() for t in self._function(*tensors)]


class _Feed:
    """Where batches come from, and what the numbers that a step returns for them mean."""

    weighted = False
    source: Any = None  # the generator, or sampler, of the order

    def __init__(self, objective: Objective, fused: list):
        self.objective, self.fused = objective, fused
        self.width = objective.width + len(fused)  # numbers that a step returns

    def named(self, sums: np.ndarray, rows: int) -> dict[str, float]:
        """Loss and metrics by name, from totals weighted by rows."""
        means = sums[self.objective.width :] / rows
        names = [m.name for m in self.fused]
        return {"loss": self.objective.over_all(sums, rows), **dict(zip(names, map(float, means), strict=True))}


class Feed(_Feed):
    """Rows in memory in some order, cut into batches.

    Args:
        data: arrays of equal length: inputs, target and perhaps weights. batch: rows a step.
        objective: what the loss is over many batches. fused: metrics that the step computes.
        rows: the numbers of the rows that are used. order: gives them in the order of a new epoch; or shuffle: a
            generator, which puts them into a new order for each epoch.
        drop_last: leave out a last batch that is not full. weighted: whether the last array holds weights.
    """

    def __init__(
        self,
        data: tuple[np.ndarray, ...],
        objective: Objective,
        fused: list,
        batch: int,
        rows: np.ndarray,
        order: Callable[[], np.ndarray] | None = None,
        shuffle: np.random.Generator | None = None,
        drop_last: bool = False,
        weighted: bool = False,
    ):
        super().__init__(objective, fused)
        self.weighted = weighted
        self.data, self.rows, self._order, self._shuffle = data, rows, order, shuffle
        self.source = shuffle
        self.batch = batch if drop_last else min(batch, len(rows))
        self.drop_last = drop_last
        self._chunk = 1  # steps that take about _SLICE seconds

    def run(self, step: Step, one_by_one: bool = False) -> Iterator[tuple[int, int, np.ndarray, int]]:
        """Run an epoch; yields (steps done, steps of the epoch, totals weighted by rows so far, rows so
        far).
        """
        order = np.ascontiguousarray(self._orders(1)[0] if self._order is None else self._order(), np.int64)
        batch = self.batch
        full, rest = divmod(len(order), batch)
        if self.drop_last:
            rest = 0
            if not full:
                raise ValueError(f"fit: drop_last leaves no batch: {len(order)} rows are less than batch_size={batch}")
        steps, done = full + bool(rest), 0
        totals = np.zeros(self.width)  # one sum over all slices: it does not depend on how they are cut
        while done < full:
            count = 1 if one_by_one else min(self._chunk, full - done)
            started = time.perf_counter()
            count = step.loop(self.data, order, batch, done, done + count, totals, 0, not one_by_one)
            if not one_by_one:
                self._adapt(count, time.perf_counter() - started)
            done += count
            yield done, steps, totals * batch, done * batch
        if rest:
            last = np.zeros(self.width)
            step.loop(self.data, order[full * batch :], rest, 0, 1, last, 0, not one_by_one)
            yield steps, steps, totals * batch + last * rest, len(order)

    def run_epochs(self, step: Step, most: int) -> tuple[np.ndarray, int] | None:
        """Run several whole epochs, at most `most` and about _SLICE seconds, as one native call: the totals of each
        epoch weighted by rows, (epochs, width), and the rows of one. None where epochs are long, or are not made of
        equal steps.
        """
        full, rest = divmod(len(self.rows), self.batch)
        epochs = min(most, self._chunk // full if full else 0, _OF_SEVERAL // max(len(self.rows), 1))
        if epochs < 2 or self._order is not None or rest and not self.drop_last:
            return None
        totals = np.zeros((epochs, self.width))
        started = time.perf_counter()
        order = self._orders(epochs)[:, : full * self.batch]
        order = np.ascontiguousarray(order).ravel()
        step.loop(self.data, order, self.batch, 0, epochs * full, totals, full, True)
        self._adapt(epochs * full, time.perf_counter() - started)
        return totals * self.batch, full * self.batch

    def _orders(self, epochs: int) -> np.ndarray:
        """The order of the rows in each of the next epochs, (epochs, rows)."""
        orders = np.tile(self.rows, (epochs, 1))
        return orders if self._shuffle is None else self._shuffle.permuted(orders, axis=1)

    def _adapt(self, count: int, elapsed: float) -> None:
        self._chunk = max(1, int(count * min(_SLICE / max(elapsed, 1e-9), 64)))

    def blocks(self) -> Iterator[tuple]:
        """(inputs, target) of the rows that are used."""
        *xs, target = self.data[:-1] if self.weighted else self.data
        yield tuple(x[self.rows] for x in xs), target[self.rows]


class StreamFeed(_Feed):
    """Batches that an iterable makes: tuples of inputs, then the target; metrics are computed afterwards."""

    def __init__(self, batches: Iterable, prepare: Callable[[Any], tuple[np.ndarray, ...]], objective: Objective):
        super().__init__(objective, [])
        self.batches, self.prepare = batches, prepare

    def run(self, step: Step, one_by_one: bool = False) -> Iterator[tuple[int, int, np.ndarray, int]]:
        """Run an epoch; see `Feed.run`."""
        steps = length_hint(self.batches)
        sums, rows = np.zeros(self.width), 0
        for done, batch in enumerate(self.batches, 1):
            arrays = self.prepare(batch)
            totals = np.zeros(self.width)
            step.batch(arrays, totals)
            sums = sums + totals * len(arrays[-1])
            rows += len(arrays[-1])
            yield done, steps, sums, rows
        if rows == 0:
            raise ValueError("fit: the loader gave no batches")

    def blocks(self) -> Iterator[tuple]:
        """(inputs, target) of each batch."""
        for batch in self.batches:
            *xs, target = self.prepare(batch)
            yield tuple(xs), target
