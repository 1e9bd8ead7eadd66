"""Weights of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .frames import to_array
from .names import is_binary, takes_labels
from .objective import Objective


def row_weights(
    sample_weight: Any, class_weight: Any, target: np.ndarray, output: Any, objective: Objective, keep: np.ndarray
) -> np.ndarray | None:
    """One weight a row, or None. Over the rows `keep`, which are trained on, they leave what the loss divides by as it is:
    a mean of 1, where every row counts for 1.

    output: the model's for one row. target: as the loss wants it.
    """
    if sample_weight is None and class_weight is None:
        return None
    rows = len(target)
    w = np.ones(rows)
    if sample_weight is not None:
        w = to_array(sample_weight, "fit: sample_weight").astype(np.float64)
        if w.shape != (rows,):
            raise ValueError(f"fit: sample_weight{w.shape} must have one number for each of the {rows} rows")
    counts = objective.row_counts(target)
    if class_weight is not None:
        w = w * _of_classes(class_weight, target, output, objective.loss, keep)
    total = (w * counts)[keep].sum()
    if not np.all(w >= 0) or not 0 < total < np.inf:
        raise ValueError(
            "fit: weights must be finite numbers >= 0, with a positive sum over the rows that are trained on"
        )
    return w * (counts[keep].sum() / total)


def _of_classes(class_weight: Any, target: np.ndarray, output: Any, loss: Any, keep: np.ndarray) -> np.ndarray:
    """The weight of each row's class; 1 for ignored labels."""
    labels = _labels(target, output)
    ignored = np.zeros(len(labels), bool)
    if takes_labels(loss):
        ignored = labels == getattr(loss, "ignore_index", None)
    labels = np.where(ignored, 0, labels)
    if labels.min() < 0:
        raise ValueError(f"fit: class_weight needs class numbers >= 0, but y has {labels.min()}")
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) > 1 and shape[1] > 1:
        classes = shape[1]
    else:
        classes = 2 if is_binary(loss) else int(labels.max()) + 1
    table = np.ones(max(classes, int(labels.max()) + 1))
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(f"fit: class_weight={class_weight!r} must be 'balanced', a dict or a sequence")
        counted = labels[keep][~ignored[keep]]
        seen = np.bincount(counted, minlength=len(table))
        table = len(counted) / (max(np.count_nonzero(seen), 1) * np.maximum(seen, 1))
    elif isinstance(class_weight, Mapping):
        for label, value in class_weight.items():
            if isinstance(label, str) or label != int(label) or not 0 <= label < classes:
                raise ValueError(f"fit: class_weight has class {label!r}, but there are the classes 0 to {classes - 1}")
            table[int(label)] = value
    else:
        numbers = np.asarray(class_weight, np.float64)
        if numbers.shape != (classes,):
            raise ValueError(
                f"fit: class_weight{numbers.shape} must have one number for each of the {classes} classes; a dict names some"
            )
        table[:classes] = numbers
    return np.where(ignored, 1.0, table[labels])


def _labels(target: np.ndarray, output: Any) -> np.ndarray:
    """One class number a row."""
    if target.ndim == 2 and target.shape[1] > 1 and target.shape[1:] == tuple(output.shape[1:]):
        if not (((target == 0) | (target == 1)).all() and (target.sum(1) == 1).all()):
            raise ValueError(f"fit: class_weight needs one class a row, but y{target.shape} is not one-hot")
        return target.argmax(1)
    flat = target.reshape(len(target), -1)
    if flat.shape[1] != 1:
        raise ValueError(f"fit: class_weight needs one class number a row, but y has shape {target.shape}")
    labels = flat[:, 0].astype(np.int64)
    if not np.array_equal(labels, flat[:, 0]):
        raise ValueError("fit: class_weight needs class numbers, but y has fractions")
    return labels
