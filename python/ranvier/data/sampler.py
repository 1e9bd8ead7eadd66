"""The order in which rows are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import random


def numpy_generator(generator: Any) -> np.random.Generator:
    """A NumPy generator from one, from a seed, or seeded by a draw from Ranvier's generator (None: the
    default one).
    """
    if isinstance(generator, np.random.Generator):
        return generator
    if generator is None:
        generator = random.default_generator
    if isinstance(generator, random.Generator):
        generator = int(random.randint(2**62, (), generator=generator).item())
    return np.random.default_rng(generator)


class Sampler:
    """Base of samplers: iterates over row numbers. `order()` may give them all as one array."""

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")

    def order(self) -> np.ndarray:
        """Row numbers of one pass, int64."""
        raise NotImplementedError(f"{type(self).__name__} must define order() or __iter__()")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Any):
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def order(self) -> np.ndarray:
        return np.arange(len(self))


class RandomSampler(Sampler):
    """A new random order each pass; with `replacement`, independent draws."""

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ):
        self.data_source, self.replacement = data_source, replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        if self.num_samples < 0 or (self.num_samples and not len(data_source)):
            raise ValueError(f"RandomSampler: num_samples={num_samples} of {len(data_source)} rows")
        self._generator = numpy_generator(generator)

    def __len__(self) -> int:
        return self.num_samples

    def order(self) -> np.ndarray:
        rows, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            return self._generator.integers(0, rows, wanted)
        passes = [self._generator.permutation(rows) for _ in range(-(-wanted // rows) if rows else 0)]
        return np.concatenate(passes)[:wanted] if passes else np.arange(0)


class WeightedRandomSampler(Sampler):
    """Rows drawn with probabilities in proportion to `weights`."""

    def __init__(self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None):
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1 or not np.all(self.weights >= 0) or not self.weights.sum() > 0:
            raise ValueError("WeightedRandomSampler: weights must be numbers >= 0 with a positive sum")
        if num_samples <= 0 or (not replacement and num_samples > np.count_nonzero(self.weights)):
            raise ValueError(f"WeightedRandomSampler: num_samples={num_samples} of {len(self.weights)} weights")
        self.num_samples, self.replacement = num_samples, replacement
        self._generator = numpy_generator(generator)

    def __len__(self) -> int:
        return self.num_samples

    def order(self) -> np.ndarray:
        share = self.weights / self.weights.sum()
        return self._generator.choice(len(share), self.num_samples, replace=self.replacement, p=share)


class BatchSampler:
    """Lists of row numbers, `batch_size` at a time."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        if not isinstance(batch_size, int) or batch_size <= 0:
            raise ValueError(f"BatchSampler: batch_size={batch_size!r} must be a positive integer")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __len__(self) -> int:
        rows = len(self.sampler)  # type: ignore[arg-type]
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        rows = self.sampler.order() if isinstance(self.sampler, Sampler) else np.fromiter(self.sampler, np.int64)
        end = len(rows) - len(rows) % self.batch_size if self.drop_last else len(rows)
        for begin in range(0, end, self.batch_size):
            yield rows[begin : begin + self.batch_size]
