"""What users hand to a Trainer, checked and made into arrays."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.dtypes import CODE
from ..data import DataLoader, Dataset
from ..tensor import Tensor
from .frames import to_array
from .names import is_binary, takes_labels


def is_array(x: Any) -> bool:
    """Whether `x` is one array, tensor or frame."""
    return hasattr(x, "shape") and hasattr(x, "ndim")


def is_data(x: Any) -> bool:
    """Whether `x` is arrays itself, and no source of batches."""
    return isinstance(x, tuple) or is_array(x)


def as_arrays(x: Any, what: str, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """`x` (one array, or a tuple of several inputs) as arrays in C order; floats are cast to `dtype`."""
    parts = x if isinstance(x, tuple) else (x,)
    if not parts:
        raise ValueError(f"{what}: no arrays are given")
    result = []
    for position, part in enumerate(parts):
        name = what if len(parts) == 1 else f"{what}[{position}]"
        data = to_array(part, name)
        if data.dtype.kind == "f":
            with np.errstate(over="ignore"):
                cast = data.astype(dtype, copy=False)
            if cast.dtype.itemsize < data.dtype.itemsize and (np.isinf(cast) & np.isfinite(data)).any():
                largest = np.abs(data[np.isfinite(data)]).max()
                raise ValueError(f"{name}: {largest:.6g} is more than {dtype} can hold; scale the data")
            data = cast
        elif data.dtype.kind in "iu" and data.dtype not in CODE:
            data = data.astype(np.int64)
        if data.dtype not in CODE:
            raise TypeError(f"{name}: dtype {data.dtype} must be numeric")
        if data.ndim == 0:
            raise ValueError(f"{name} has no rows: its shape is ()")
        result.append(np.ascontiguousarray(data))
    return tuple(result)


def as_floats(xs: tuple[np.ndarray, ...], dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Integers and bools as floats too."""
    return tuple(np.ascontiguousarray(x, dtype) for x in xs)


def check_finite(data: np.ndarray, what: str) -> None:
    """Refuse NaN and infinity, and say where the first one is."""
    if data.dtype.kind != "f" or not data.size or np.isfinite(data.min()) and np.isfinite(data.max()):
        return  # both carry any nan
    for bad, name in ((np.isnan(data), "NaN"), (np.isinf(data), "infinite values")):
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{what}{data.shape} has {bad.sum()} {name}, the first at {list(first)}: fill such values, or leave their "
                "rows out"
            )


def check_rows(named: dict[str, np.ndarray], what: str) -> int:
    """The common number of rows, at least 1."""
    rows = {name: len(a) for name, a in named.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"{what}: " + ", ".join(f"{k} has {n} rows" for k, n in rows.items()) + "; must be equal")
    count = next(iter(rows.values()))
    if count == 0:
        raise ValueError(f"{what}: there are no rows")
    return count


def check_loader(loader: Any, what: str, passes: int = 1) -> Any:
    """`loader`, if batches can be had from it so often."""
    if isinstance(loader, Mapping) or not hasattr(loader, "__iter__"):
        hint = "; call it" if inspect.isgeneratorfunction(loader) else ""
        raise TypeError(f"{what}: x={type(loader).__name__} without y must be an iterable of batches (x, ..., y){hint}")
    if passes > 1 and hasattr(loader, "__next__"):
        raise ValueError(
            f"{what}: {type(loader).__name__} gives its batches once, but {passes} passes over them are needed; give a "
            "DataLoader, a list of batches, or an object whose __iter__ starts anew"
        )
    return loader


def split_batch(batch: Any, what: str) -> tuple:
    """A loader's batch as (x, ..., y); several inputs may stand in a tuple or list of their own."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        keys = f" with the keys {', '.join(map(repr, batch))}" if isinstance(batch, Mapping) else ""
        raise ValueError(
            f"{what}: each batch of the loader must be a tuple (x, ..., y), not {type(batch).__name__}{keys}"
        )
    if len(batch) == 2 and isinstance(batch[0], (tuple, list)) and all(map(is_array, batch[0])):
        return (*batch[0], batch[1])
    return tuple(batch)


def split_pair(data: Any, what: str) -> tuple[Any, Any]:
    """(x, y) of validation data: of a pair, or (loader, None)."""
    if isinstance(data, tuple) or isinstance(data, list) and len(data) == 2 and all(map(is_array, data)):
        if len(data) != 2:
            raise ValueError(f"{what} must be (x, y) or a loader, not {len(data)} things")
        return data[0], data[1]
    return data, None


def collect(loader: Any, what: str) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """All rows of a loader or a dataset, as (inputs, target)."""
    if isinstance(loader, Dataset):
        loader = DataLoader(loader, batch_size=256)
    batches = [split_batch(batch, what) for batch in check_loader(loader, what)]
    if not batches:
        raise ValueError(f"{what}: the loader gave no batches")
    *xs, y = (np.concatenate([np.asarray(part) for part in column]) for column in zip(*batches, strict=True))
    return tuple(xs), y


def fit_target(y: np.ndarray, output: Any, loss: Any, dtype: np.dtype, what: str) -> np.ndarray:
    """`y` in the dtype and shape that the loss wants for outputs like `output`, with class numbers and probabilities
    checked.
    """
    if not isinstance(output, Tensor):
        return y
    if takes_labels(loss):
        return _labels(y, output, loss, what)
    flat = y.ndim == output.ndim - 1 and output.shape[-1] == 1 and y.shape[1:] == output.shape[1:-1]
    if y.dtype.kind != "f" and (
        flat or y.shape[1:] == output.shape[1:]
    ):  # other integers are a loss's own: its labels, say
        y = y.astype(dtype)
    if flat:
        y = y[..., None]  # (N,) against (N, 1)
    if is_binary(loss) and not (y.min() >= 0 and y.max() <= 1):
        raise ValueError(
            f"{what}: {type(loss).__name__} needs targets in [0, 1], but y has values from {y.min():.6g} to {y.max():.6g}"
        )
    return np.ascontiguousarray(y)


def _labels(y: np.ndarray, output: Any, loss: Any, what: str) -> np.ndarray:
    """Class numbers, or probabilities shaped as the scores; one-hot integers become class numbers."""
    classes = output.shape[1] if output.ndim > 1 else 1
    if y.shape[1:] == output.shape[1:] and classes > 1:
        if y.dtype.kind == "f":
            return y
        if (y.sum(1) == 1).all() and y.min() >= 0:
            return np.ascontiguousarray(y.argmax(1))
        raise ValueError(f"{what}: y{y.shape} of dtype {y.dtype} is shaped as the model's scores, but is not one-hot")
    if y.ndim == output.ndim and y.shape[1] == 1:  # a column of labels
        y = y[:, 0]
    if y.dtype.kind == "f" and not np.array_equal(y, np.rint(y)):
        raise TypeError(f"{what}: {type(loss).__name__} needs class numbers, but y has fractions")
    y = np.ascontiguousarray(y.astype(np.int64))
    wrong = ((y < 0) | (y >= classes)) & (y != getattr(loss, "ignore_index", None))
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{what}: y has label {y[first]} at {list(first)}, but the model gives {classes} classes: "
            f"labels must be in [0, {classes - 1}]"
        )
    return y
