"""What users hand to a Trainer, checked and made into arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.dtypes import CODE
from ..data import DataLoader, Dataset
from ..tensor import Tensor
from .names import takes_labels


def as_arrays(x: Any, what: str, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """`x` (one array, or a tuple of several inputs) as arrays in C order; floats are cast to `dtype`."""
    parts = x if isinstance(x, tuple) else (x,)
    if not parts:
        raise ValueError(f"{what}: no arrays are given")
    result = []
    for position, part in enumerate(parts):
        name = what if len(parts) == 1 else f"{what}[{position}]"
        data = part.detach().numpy() if isinstance(part, Tensor) else np.asarray(part)
        if data.dtype.kind == "f":
            data = data.astype(dtype, copy=False)
        elif data.dtype.kind in "iu" and data.dtype not in CODE:
            data = data.astype(np.int64)
        if data.dtype not in CODE:
            raise TypeError(f"{name}: dtype {data.dtype} must be numeric")
        if data.ndim == 0:
            raise ValueError(f"{name} has no rows: its shape is ()")
        result.append(np.ascontiguousarray(data))
    return tuple(result)


def check_finite(data: np.ndarray, what: str) -> None:
    """Refuse NaN, and say where the first one is."""
    if data.dtype.kind == "f" and data.size and np.isnan(data.min()):  # min carries any nan
        first = tuple(int(i) for i in np.argwhere(np.isnan(data))[0])
        count = int(np.isnan(data).sum())
        raise ValueError(
            f"{what}{data.shape} has {count} NaN, the first at {list(first)}: fill such values, or leave their rows out"
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


def check_loader(loader: Any, what: str) -> Any:
    """`loader`, if batches can be had from it."""
    if not hasattr(loader, "__iter__"):
        raise TypeError(f"{what}: x={type(loader).__name__} without y must be an iterable of batches (x, ..., y)")
    return loader


def split_batch(batch: Any, what: str) -> tuple:
    """A loader's batch as (x, ..., y)."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise ValueError(f"{what}: each batch of the loader must be a tuple (x, ..., y)")
    return tuple(batch)


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
    """`y` in the dtype and shape that the loss wants for outputs like `output`, with class numbers
    checked.
    """
    if not isinstance(output, Tensor):
        return y
    if takes_labels(loss) and not (y.dtype.kind == "f" and y.shape[1:] == output.shape[1:]):
        if y.ndim == output.ndim and y.shape[1] == 1:  # a column of labels
            y = y[:, 0]
        if y.dtype.kind == "f":
            if not np.array_equal(y, np.rint(y)):
                raise TypeError(f"{what}: {type(loss).__name__} needs class numbers, but y has fractions")
        y = np.ascontiguousarray(y.astype(np.int64))
        classes, ignored = output.shape[1], getattr(loss, "ignore_index", None)
        wrong = ((y < 0) | (y >= classes)) & (y != ignored)
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{what}: y has label {y[first]} at {list(first)}, but the model gives {classes} classes: "
                f"labels must be in [0, {classes - 1}]"
            )
        return y
    flat = y.ndim == output.ndim - 1 and output.shape[-1] == 1 and y.shape[1:] == output.shape[1:-1]
    if y.dtype.kind != "f" and (
        flat or y.shape[1:] == output.shape[1:]
    ):  # other integers are a loss's own: its labels, say
        y = y.astype(dtype)
    if flat:
        y = y[..., None]  # (N,) against (N, 1)
    return np.ascontiguousarray(y)


def row_weights(sample_weight: Any, class_weight: Any, y: np.ndarray, rows: int) -> np.ndarray | None:
    """One weight a row with a mean of 1, or None."""
    if sample_weight is None and class_weight is None:
        return None
    w = np.ones(rows)
    if sample_weight is not None:
        w = np.array(sample_weight.detach().numpy() if isinstance(sample_weight, Tensor) else sample_weight, np.float64)
        if w.shape != (rows,):
            raise ValueError(f"fit: sample_weight{w.shape} must have one number for each of the {rows} rows")
    if class_weight is not None:
        labels = y.astype(np.int64).reshape(rows, -1)
        if labels.shape[1] != 1:
            raise ValueError(f"fit: class_weight needs one class number a row, but y has shape {y.shape}")
        labels = labels[:, 0]
        if isinstance(class_weight, str):
            if class_weight != "balanced":
                raise ValueError(f"fit: class_weight={class_weight!r} must be 'balanced', a dict or a sequence")
            counts = np.bincount(labels)
            table = rows / (np.count_nonzero(counts) * np.maximum(counts, 1))
        else:
            pairs = class_weight.items() if isinstance(class_weight, dict) else enumerate(class_weight)
            table = np.ones(int(labels.max()) + 1)
            for label, value in pairs:
                if 0 <= int(label) < len(table):
                    table[int(label)] = value
        w = w * table[labels]
    if not np.all(w >= 0) or not w.sum() > 0:
        raise ValueError("fit: weights must be numbers >= 0 with a positive sum")
    return w / w.mean()
