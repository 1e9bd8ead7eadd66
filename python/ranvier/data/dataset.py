"""Map-style datasets: `len(dataset)`, `dataset[i]`, and `gather(indices)` where a whole batch can be had at
once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np

from ..core.tensor import from_numpy
from ..tensor import Tensor
from .sampler import numpy_generator


class Dataset:
    """Base of datasets: define `__len__` and `__getitem__`.

    A subclass may also define `gather(indices)`, which returns the batch for an int64 array of row numbers;
    `DataLoader` then makes no Python call for single rows.
    """

    gather: Any = None

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} has no __len__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


def take_rows(data: Any, indices: np.ndarray) -> Any:
    """Rows `indices` of a Tensor or an array, as the same kind."""
    if isinstance(data, Tensor):
        return from_numpy(data.detach().numpy().take(indices, axis=0))
    return data.take(indices, axis=0)


class TensorDataset(Dataset):
    """Rows of one or more Tensors or arrays of equal length.

    >>> import numpy as np
    >>> from ranvier.data import TensorDataset
    >>> dataset = TensorDataset(np.arange(6).reshape(3, 2), np.array([0, 1, 0]))
    >>> x, y = dataset[1]
    >>> x.tolist(), int(y)
    ([2, 3], 1)
    """

    def __init__(self, *tensors: Any):
        if not tensors:
            raise ValueError("TensorDataset: give at least one Tensor or array")
        self.tensors = tuple(t if isinstance(t, Tensor) else np.asarray(t) for t in tensors)
        for position, t in enumerate(self.tensors):
            if not t.shape:
                raise ValueError(f"TensorDataset: tensors[{position}] has no rows: its shape is ()")
        lengths = [t.shape[0] for t in self.tensors]
        if len(set(lengths)) != 1:
            raise ValueError(f"TensorDataset: lengths {lengths} must be equal")

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __getitem__(self, index: Any) -> tuple:
        return tuple(t[index] for t in self.tensors)

    def gather(self, indices: np.ndarray) -> tuple:
        """The batch of rows `indices`."""
        return tuple(take_rows(t, indices) for t in self.tensors)


class IterableDataset(Dataset):
    """Base of datasets that are streams: define `__iter__`, which begins anew for each pass, and `__len__` where the
    number of items is known.

    >>> from ranvier.data import DataLoader, IterableDataset
    >>> class Count(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(5))
    >>> [batch.tolist() for batch in DataLoader(Count(), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class ChainDataset(IterableDataset):
    """Several streams, one after the other."""

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(
                    f"ChainDataset: {type(dataset).__name__} must be an IterableDataset; others go to ConcatDataset"
                )

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(map(len, self.datasets))


class StackDataset(Dataset):
    """Datasets of equal length side by side: tuples of their items, or by keyword dicts of them.

    >>> from ranvier.data import StackDataset
    >>> StackDataset([1, 2], ["a", "b"])[1], StackDataset(n=[1, 2], word=["a", "b"])[0]
    ((2, 'b'), {'n': 1, 'word': 'a'})
    """

    def __init__(self, *args: Any, **kwargs: Any):
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: give datasets either in order or by keyword")
        self.datasets: Any = args or kwargs
        lengths = [len(d) for d in (args or kwargs.values())]
        if len(set(lengths)) != 1:
            raise ValueError(f"StackDataset: lengths {lengths} must be equal")
        self._length = lengths[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)


class Subset(Dataset):
    """Rows `indices` of another dataset."""

    def __init__(self, dataset: Any, indices: Any):
        self.dataset, self.indices = dataset, indices
        if getattr(dataset, "gather", None) is not None:
            self._indices = np.asarray(indices, np.int64)
            self.gather = self._gather

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def _gather(self, indices: np.ndarray) -> Any:
        return self.dataset.gather(self._indices[indices])


class ConcatDataset(Dataset):
    """Several datasets as one."""

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: give at least one dataset")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise TypeError("ConcatDataset: an IterableDataset has no rows by number; ChainDataset takes such")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: index {index} must be in [{-len(self)}, {len(self) - 1}]")
        index %= len(self)
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Cut a dataset into random parts that do not overlap.

    Args:
        lengths: numbers of rows, or shares that sum to 1 (rows left over by rounding go to the first parts in
            turn).
        generator: a `numpy.random.Generator` or a seed; None draws from Ranvier's own generator.

    >>> from ranvier.data import random_split
    >>> [len(part) for part in random_split(range(10), [0.7, 0.3], generator=0)]
    [7, 3]
    """
    total = len(dataset)
    sizes = [int(n) for n in lengths]
    if not all(n >= 0 for n in lengths):
        raise ValueError(f"random_split: lengths={list(lengths)} must not be negative")
    if abs(sum(lengths) - 1) < 1e-6 and all(0 <= s <= 1 for s in lengths):
        sizes = [int(total * share) for share in lengths]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
    elif any(n != s or s < 0 for n, s in zip(lengths, sizes, strict=True)) or sum(sizes) != total:
        raise ValueError(f"random_split: lengths={list(lengths)} must be shares of 1 or sum to the {total} rows")
    order = numpy_generator(generator).permutation(total)
    ends = accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
