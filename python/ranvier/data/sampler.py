"""The order in which rows are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from .. import random

_DRAWN = 1 << 16  # rows drawn at once where each is independent of the others


def numpy_generator(generator: Any) -> np.random.Generator:
    """A NumPy generator from one, from a seed, or seeded by a draw from Ranvier's generator (None: the
    default one).
    """
    if isinstance(generator, np.random.Generator):
        return generator
    if generator is None or isinstance(generator, random.Generator):
        return random.stream_of(generator).numpy(given=generator is not None)
    return np.random.default_rng(generator)


def generator_state(source: Any) -> dict[str, Any]:
    """The state of a generator, of Ranvier or NumPy, or of an object with a `state_dict`; {} of anything else."""
    if isinstance(source, np.random.Generator):
        return {"numpy": source.bit_generator.state}
    if isinstance(source, random.Generator):
        return {"ranvier": source.get_state()}
    return source.state_dict() if hasattr(source, "state_dict") else {}


def restore_generator(source: Any, state: dict[str, Any]) -> None:
    """Bring `source` to a state that `generator_state` gave."""
    if isinstance(source, np.random.Generator):
        source.bit_generator.state = state["numpy"]
    elif isinstance(source, random.Generator):
        source.set_state(state["ranvier"])
    elif hasattr(source, "load_state_dict"):
        source.load_state_dict(state)


class Sampler:
    """Base of samplers: iterates over row numbers. Define `__iter__`, or `order()` which gives them all as one array."""

    def __init__(self, data_source: Any = None):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        for rows in self.runs():
            yield from rows.tolist()

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} has no __len__")

    def order(self) -> np.ndarray:
        """Row numbers of one pass, int64."""
        raise NotImplementedError(f"{type(self).__name__} must define order() or __iter__()")

    def runs(self) -> Iterator[np.ndarray]:
        """Row numbers of one pass, some at a time."""
        yield self.order()


def gives_order(sampler: Any) -> bool:
    """Whether a sampler has its row numbers as arrays."""
    return isinstance(sampler, Sampler) and type(sampler).__iter__ is Sampler.__iter__


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self) -> np.ndarray:
        return np.arange(len(self))


class _Random(Sampler):
    """Samplers that draw, each pass anew.

    generator: of Ranvier or NumPy, whose state at the beginning of a pass decides on its order; a seed; or None for
    Ranvier's default generator.
    """

    def __init__(self, data_source: Any, generator: Any):
        super().__init__(data_source)
        self.generator: Any = (
            np.random.default_rng(generator) if isinstance(generator, (int, np.integer)) else generator
        )

    @property
    def _numbers(self) -> np.random.Generator:
        """The generator of a pass."""
        return numpy_generator(self.generator)

    def state_dict(self) -> dict[str, Any]:
        """What decides on the orders to come, apart from the default generator."""
        return generator_state(self.generator)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        restore_generator(self.generator, state)


class RandomSampler(_Random):
    """A new random order each pass; with `replacement`, independent draws, as many as are asked for.

    Args:
        num_samples: rows of a pass; None for as many as there are. generator: of Ranvier or NumPy, a seed, or None for
            Ranvier's default generator. `generator.manual_seed(n)` before a pass repeats its order.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ):
        super().__init__(data_source, generator)
        self.replacement = replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        if self.num_samples < 0 or (self.num_samples and not len(data_source)):
            raise ValueError(f"RandomSampler: num_samples={num_samples} of {len(data_source)} rows")

    def __len__(self) -> int:
        return self.num_samples

    def order(self) -> np.ndarray:
        runs = list(self.runs())
        return np.concatenate(runs) if runs else np.arange(0)

    def runs(self) -> Iterator[np.ndarray]:
        numbers, rows, left = self._numbers, len(self.data_source), self.num_samples
        while left > 0:
            if self.replacement:
                drawn = numbers.integers(0, rows, min(left, _DRAWN))
            else:
                drawn = numbers.permutation(rows)[:left]
            left -= len(drawn)
            yield drawn


class SubsetRandomSampler(_Random):
    """The rows `indices` in a new random order each pass."""

    def __init__(self, indices: Any, generator: Any = None):
        super().__init__(None, generator)
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def order(self) -> np.ndarray:
        return np.asarray(self.indices, np.int64)[self._numbers.permutation(len(self))]


class WeightedRandomSampler(_Random):
    """Rows drawn with probabilities in proportion to `weights`."""

    def __init__(self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None):
        super().__init__(None, generator)
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1 or not np.all(self.weights >= 0) or not 0 < self.weights.sum() < np.inf:
            raise ValueError("WeightedRandomSampler: weights must be finite numbers >= 0 with a positive sum")
        if num_samples <= 0 or (not replacement and num_samples > np.count_nonzero(self.weights)):
            raise ValueError(f"WeightedRandomSampler: num_samples={num_samples} of {len(self.weights)} weights")
        self.num_samples, self.replacement = num_samples, replacement

    def __len__(self) -> int:
        return self.num_samples

    def order(self) -> np.ndarray:
        share = self.weights / self.weights.sum()
        return self._numbers.choice(len(share), self.num_samples, replace=self.replacement, p=share)


class BatchSampler(Sampler):
    """Lists of row numbers, `batch_size` at a time.

    >>> from ranvier.data import BatchSampler, SequentialSampler
    >>> list(BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool):
        super().__init__()
        if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size={batch_size!r} must be a positive integer")
        self.sampler, self.batch_size, self.drop_last = sampler, int(batch_size), drop_last

    def __len__(self) -> int:
        rows = len(self.sampler)  # type: ignore[arg-type]
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        for rows in self.runs():
            yield rows.tolist() if isinstance(rows, np.ndarray) else rows

    def runs(self) -> Iterator[Any]:
        """Row numbers of each batch: arrays where the sampler has them as such, else lists."""
        if not gives_order(self.sampler):
            rows = iter(self.sampler)
            while batch := list(islice(rows, self.batch_size)):
                if len(batch) == self.batch_size or not self.drop_last:
                    yield batch
            return
        left = np.arange(0)
        for run in self.sampler.runs():  # type: ignore[attr-defined]
            left = np.concatenate([left, run]) if len(left) else run
            full = len(left) // self.batch_size * self.batch_size
            for begin in range(0, full, self.batch_size):
                yield left[begin : begin + self.batch_size]
            left = left[full:]
        if len(left) and not self.drop_last:
            yield left
