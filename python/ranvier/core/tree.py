"""Nested tuples, lists and dicts, with tensors and arrays among their leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .tensor import TensorBase


def map_structure(f: Callable, x: Any) -> Any:
    """`f` applied to every leaf of nested tuples, lists and dicts."""
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*[map_structure(f, i) for i in x])
    if isinstance(x, (tuple, list)):
        return type(x)([map_structure(f, i) for i in x])
    if isinstance(x, dict):
        return {k: map_structure(f, v) for k, v in x.items()}
    return f(x)


class Slot(int):
    """Stands for tensor number `self`."""


def flatten(x: Any, tensors: list) -> Any:
    """The structure of `x` with a Slot for each tensor; the tensors go to `tensors`."""

    def slot(leaf: Any) -> Any:
        if not isinstance(leaf, TensorBase):
            return leaf
        tensors.append(leaf)
        return Slot(len(tensors) - 1)

    return map_structure(slot, x)


def fill(structure: Any, tensors: list) -> Any:
    """What `flatten` took apart, of other tensors."""
    return map_structure(lambda leaf: tensors[leaf] if type(leaf) is Slot else leaf, structure)


def leaves_of(x: Any) -> list:
    """The tensors and arrays in `x`."""
    found: list = []
    map_structure(lambda leaf: found.append(leaf) if isinstance(leaf, (TensorBase, np.ndarray)) else None, x)
    return found
