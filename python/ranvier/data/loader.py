"""Batches of a dataset."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from .. import ops
from ..core.dtypes import CODE, get_default_dtype
from ..core.tensor import from_numpy
from ..random import Generator, stream_of
from ..tensor import Tensor
from .dataset import IterableDataset, TensorDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler


def default_collate(items: list) -> Any:
    """A batch from a list of single items: numbers, arrays and tensors are stacked, in a dtype that holds all of them;
    dicts and named tuples keep their form, tuples and lists become lists, texts stay as they are.

    >>> from ranvier.data import default_collate
    >>> default_collate([(1, "a"), (2.5, "b")])
    [tensor([1. , 2.5]), ('a', 'b')]
    """
    kinds = set(map(type, items))
    for family, collate in _COLLATE:
        for kind in kinds:
            if not issubclass(kind, family):
                break
        else:
            return collate(items, kinds)
    raise _refusal(items)


def _texts(items: list, kinds: set[type]) -> list:
    return items


def _mappings(items: list, kinds: set[type]) -> dict:
    try:
        return {key: default_collate([item[key] for item in items]) for key in items[0]}
    except KeyError as error:
        raise ValueError(f"DataLoader: an item of a batch has no key {error}; pass a collate_fn") from None


def _sequences(items: list, kinds: set[type]) -> Any:
    if len(set(map(len, items))) != 1:
        raise ValueError("DataLoader: items of a batch have different lengths; pass a collate_fn")
    columns = zip(*items, strict=True)
    parts = [column if isinstance(column[0], (str, bytes)) else default_collate(list(column)) for column in columns]
    return type(items[0])(*parts) if hasattr(items[0], "_fields") else parts


def _numbers(items: list, kinds: set[type]) -> Tensor:
    if not kinds <= _PLAIN and any(issubclass(kind, (Tensor, np.ndarray, np.generic)) for kind in kinds):
        return _stacked(items, kinds)
    if any(issubclass(kind, float) for kind in kinds):
        return from_numpy(np.array(items, get_default_dtype()))
    return from_numpy(np.array(items, bool if kinds == {bool} else np.int64))


def _stacked(items: list, kinds: set[type]) -> Tensor:
    try:
        if any(issubclass(kind, Tensor) for kind in kinds):
            return ops.stack([x.detach() if isinstance(x, Tensor) else from_numpy(np.asarray(x)) for x in items])
        stacked = np.stack(items)
    except ValueError:
        shapes = sorted({tuple(np.shape(x)) for x in items})
        raise ValueError(
            f"DataLoader: items of a batch have the shapes {shapes}; they must be equal, else pass a collate_fn"
        ) from None
    if stacked.dtype.kind not in "biuf":
        raise _refusal(items)
    if stacked.dtype == np.uint64 and stacked.size and stacked.max() > np.iinfo(np.int64).max:
        raise ValueError("DataLoader: items have values of uint64 that int64 cannot hold; pass a collate_fn")
    return from_numpy(stacked if stacked.dtype in CODE else stacked.astype(_nearest(stacked.dtype)))


def _nearest(dtype: np.dtype) -> Any:
    """The dtype here for values of `dtype`."""
    if dtype.kind == "f":
        return np.float32 if dtype == np.float16 else np.float64
    return np.int32 if dtype.itemsize < 4 else np.int64


_PLAIN = {bool, int, float}
_ARRAYS = (Tensor, np.ndarray, np.generic, int, float)  # Python's numbers too: beside arrays they become such
_COLLATE = ((_ARRAYS, _numbers), ((str, bytes), _texts), (Mapping, _mappings), ((tuple, list), _sequences))


def _refusal(items: list) -> TypeError:
    kinds = ", ".join(
        dict.fromkeys(f"{x.dtype} array" if isinstance(x, np.ndarray) else type(x).__name__ for x in items)
    )
    hint = "; does __getitem__ return its item?" if any(item is None for item in items) else ""
    return TypeError(
        f"DataLoader: no batch can be made of {kinds}: items must be tensors, arrays, numbers, texts, dicts, tuples or "
        f"lists, all of one kind; else pass a collate_fn{hint}"
    )


def get_worker_info() -> Any:
    """None: batches are made in this process, by no worker."""
    return None


class DataLoader:
    """Iterates over batches of a dataset; each pass over it is one epoch.

    Datasets in memory (`TensorDataset`, its subsets, arrays) are gathered natively, one call a batch. Any other dataset
    gives items one by one, which `collate_fn` makes into a batch. Batches are made in this process, one when it is asked
    for: what is for workers (`num_workers` and the arguments for them, `pin_memory`) is accepted and changes nothing.

    Args:
        dataset: a dataset, an `IterableDataset`, a sequence, an array, or a tuple of arrays of equal length.
        batch_size: rows a batch; None gives single items.
        shuffle: a new random order each epoch.
        sampler, batch_sampler: your own order of row numbers, or of lists of them.
        collate_fn: makes a batch from a list of items.
        drop_last: leave out a last batch that is not full.
        generator: of Ranvier or NumPy, or a seed, for `shuffle`; None draws from Ranvier's own generator. Its state at
            the beginning of a pass decides on the order.

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
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        if isinstance(dataset, (np.ndarray, Tensor)):
            dataset = TensorDataset(dataset)
        elif isinstance(dataset, tuple) and all(isinstance(t, (np.ndarray, Tensor)) for t in dataset):
            dataset = TensorDataset(*dataset)
        streams = isinstance(dataset, IterableDataset)
        if not streams and not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            hint = "; an IterableDataset needs __iter__ alone" if hasattr(dataset, "__iter__") else ""
            raise TypeError(f"DataLoader: dataset={type(dataset).__name__} must have __len__ and __getitem__{hint}")
        for name, value in (("num_workers", num_workers), ("timeout", timeout)):
            if value < 0:
                raise ValueError(f"DataLoader: {name}={value} must not be negative")
        if num_workers:
            warnings.warn("DataLoader: batches are made in this process; num_workers is not used", stacklevel=2)
        whole = isinstance(batch_size, (int, np.integer)) and not isinstance(batch_size, bool)
        if batch_size is not None and (not whole or batch_size <= 0):
            raise ValueError(f"DataLoader: batch_size={batch_size!r} must be a positive integer or None")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle=True exclude each other")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_sampler is not None:
            batch_size = None
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: drop_last=True needs a batch_size")
        if streams and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: an IterableDataset has its own order; shuffle, sampler and batch_sampler do not go"
            )
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.collate_fn, self.generator, self.num_workers = collate_fn, generator, num_workers
        self.pin_memory, self.timeout, self.worker_init_fn = pin_memory, timeout, worker_init_fn
        self.multiprocessing_context, self.prefetch_factor = multiprocessing_context, prefetch_factor
        self.persistent_workers, self.pin_memory_device, self.in_order = persistent_workers, pin_memory_device, in_order
        if sampler is None and not streams:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler

    def __len__(self) -> int:
        if self.sampler is not None:
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]
        rows = len(self.dataset)
        if self.batch_size is None:
            return rows
        return rows // self.batch_size if self.drop_last else -(-rows // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        stream_of(self.generator if isinstance(self.generator, Generator) else None).begin_pass()
        return self._single() if self.batch_size is None and self.batch_sampler is None else self._batches()

    def _single(self) -> Iterator[Any]:
        dataset, convert = self.dataset, self.collate_fn or _as_tensors
        items = iter(dataset) if self.sampler is None else (dataset[row] for row in self.sampler)
        for item in items:
            yield convert(item)

    def _batches(self) -> Iterator[Any]:
        dataset, collate = self.dataset, self.collate_fn or default_collate
        if self.batch_sampler is None:
            items, size = iter(dataset), int(self.batch_size or 1)
            while batch := list(islice(items, size)):
                if len(batch) == size or not self.drop_last:
                    yield collate(batch)
            return
        sampler = self.batch_sampler
        gather = getattr(dataset, "gather", None) if self.collate_fn is None else None
        several = getattr(dataset, "__getitems__", None)
        for rows in sampler.runs() if isinstance(sampler, BatchSampler) else sampler:
            if gather is not None:
                batch = gather(np.asarray(rows, np.int64))
                yield list(map(_as_tensors, batch)) if isinstance(batch, tuple) else _as_tensors(batch)
                continue
            numbers = rows.tolist() if isinstance(rows, np.ndarray) else rows
            yield collate(several(numbers) if several is not None else [dataset[row] for row in numbers])


def _as_tensors(x: Any) -> Any:
    """Arrays, also within tuples, lists and dicts, as tensors."""
    if isinstance(x, np.ndarray) and x.dtype in CODE:
        return from_numpy(x)
    if isinstance(x, (tuple, list)) and not hasattr(x, "_fields"):
        return type(x)(map(_as_tensors, x))
    if isinstance(x, dict):
        return {key: _as_tensors(value) for key, value in x.items()}
    return x
