"""Batches of a dataset."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..core.dtypes import get_default_dtype
from ..core.tensor import from_numpy
from ..tensor import Tensor
from .dataset import TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler


def default_collate(items: list) -> Any:
    """A batch from a list of single items: numbers and arrays are stacked; tuples and dicts keep their
    form.
    """
    first = items[0]
    if isinstance(first, Tensor):
        return from_numpy(np.stack([t.detach().numpy() for t in items]))
    if isinstance(first, (np.ndarray, np.generic)):
        return from_numpy(np.stack(items))
    if isinstance(first, bool):
        return from_numpy(np.array(items))
    if isinstance(first, float):
        return from_numpy(np.array(items, get_default_dtype()))
    if isinstance(first, int):
        return from_numpy(np.array(items, np.int64))
    if isinstance(first, (str, bytes)):
        return items
    if isinstance(first, Mapping):
        return {key: default_collate([item[key] for item in items]) for key in first}
    if isinstance(first, (tuple, list)):
        if len({len(item) for item in items}) != 1:
            raise ValueError("DataLoader: items of a batch have different lengths; pass a collate_fn")
        parts = [default_collate(list(column)) for column in zip(*items, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    raise TypeError(f"DataLoader: items of type {type(first).__name__} need a collate_fn")


class DataLoader:
    """Iterates over batches of a dataset; each pass over it is one epoch.

    Datasets in memory (`TensorDataset`, its subsets, arrays) are gathered natively, one call a batch. Any
    other dataset gives items one by one, which `collate_fn` makes into a batch.

    Args:
        dataset: a dataset, an array, or a tuple of arrays of equal length.
        batch_size: rows a batch; None gives single items.
        shuffle: a new random order each epoch.
        sampler, batch_sampler: your own order of row numbers, or of lists of them.
        collate_fn: makes a batch from a list of items.
        drop_last: leave out a last batch that is not full.
        generator: a `numpy.random.Generator` or a seed for `shuffle`; None draws from Ranvier's own
            generator.
        num_workers: only 0; gathering in memory needs no processes.

    >>> import numpy as np
    >>> from ranvier.data import DataLoader, TensorDataset
    >>> x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    >>> [tuple(xb.shape) for xb, yb in DataLoader(TensorDataset(x, y), batch_size=2)]
    [(2, 2), (2, 2), (1, 2)]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        generator: Any = None,
    ):
        if isinstance(dataset, (np.ndarray, Tensor)):
            dataset = TensorDataset(dataset)
        elif isinstance(dataset, tuple) and all(isinstance(t, (np.ndarray, Tensor)) for t in dataset):
            dataset = TensorDataset(*dataset)
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(f"DataLoader: dataset={type(dataset).__name__} must have __len__ and __getitem__")
        if num_workers:
            warnings.warn("DataLoader: batches are made in this process; num_workers is not used", stacklevel=2)
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size <= 0):
            raise ValueError(f"DataLoader: batch_size={batch_size!r} must be a positive integer or None")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle=True exclude each other")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last=True needs a batch_size")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.collate_fn = collate_fn
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def __len__(self) -> int:
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        dataset, collate = self.dataset, self.collate_fn
        if self.batch_sampler is None:
            for row in self.sampler:
                yield dataset[row] if collate is None else collate(dataset[row])
            return
        gather = getattr(dataset, "gather", None) if collate is None else None
        for rows in self.batch_sampler:
            if gather is not None:
                batch = gather(np.asarray(rows, np.int64))
                yield list(map(_as_tensor, batch)) if isinstance(batch, tuple) else batch
            else:
                yield (collate or default_collate)([dataset[int(row)] for row in rows])


def _as_tensor(x: Any) -> Any:
    return from_numpy(x) if isinstance(x, np.ndarray) else x
