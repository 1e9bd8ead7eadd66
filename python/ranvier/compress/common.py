"""What the parts of the package share: inputs, layers by name, notes about a model."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..core.context import no_grad
from ..core.errors import DomainError, DTypeError
from ..core.tensor import as_tensor
from ..graph.ir import Graph, Node
from ..graph.trace import trace
from ..nn import Conv1d, Conv2d, Conv3d, Linear, Module
from ..random import default_generator
from ..tensor import Tensor

BATCH = 256  # rows at a time, where data are arrays
_FORWARDS = {kind.forward for kind in (Linear, Conv1d, Conv2d, Conv3d)}
_notes: WeakKeyDictionary[Module, list[str]] = WeakKeyDictionary()


def notes(model: Module) -> list[str]:
    """What the function that made `model` left as it was, and why: one line each.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> rv.compress.notes(rv.compress.quantize(model, None, activations="dynamic"))
    []
    """
    return list(_notes.get(model, ()))


def note(model: Module, lines: Iterable[str]) -> None:
    """Add to the notes of `model`."""
    _notes[model] = [*_notes.get(model, ()), *lines]


def require_module(name: str, model: Any) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"{name}: model={type(model).__name__} must be an nn.Module")


def as_inputs(example: Any) -> tuple[Any, ...]:
    """The arguments of a model: one tensor or array, or a tuple of them."""
    parts = example if isinstance(example, (tuple, list)) else (example,)
    return tuple(as_tensor(part) for part in parts)


def batches_of(name: str, data: Any) -> list[tuple[Any, ...]]:
    """The batches of `data` as arguments of a model: arrays are cut along their rows; of the batches (x, ..., y) of a loader
    the targets are left out. NaN is refused.
    """
    if data is None:
        raise DomainError(f"{name}: calibration needs data: an array of inputs, or batches of them")
    if isinstance(data, (Tensor, np.ndarray)):
        whole = as_tensor(data)
        if whole.ndim == 0 or whole.shape[0] == 0:
            raise DomainError(f"{name}: data{tuple(whole.shape)} has no rows")
        batches = [(whole[i : i + BATCH],) for i in range(0, whole.shape[0], BATCH)]
    else:
        batches = [
            as_inputs(tuple(batch[:-1]) if isinstance(batch, (tuple, list)) and len(batch) > 1 else batch)
            for batch in data
        ]
        batches = [batch for batch in batches if batch and batch[0].shape[:1] != (0,)]
    if not batches:
        raise DomainError(f"{name}: data has no batches")
    for number, batch in enumerate(batches):
        for part in batch:
            array = part.numpy()
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DomainError(f"{name}: batch {number} of data, shape {array.shape}, has NaN or infinite values")
    return batches


def plain_layer(module: Module) -> bool:
    """Whether it is a linear layer or a convolution, with the forward of those."""
    return type(module).forward in _FORWARDS


def replaced(model: Module, path: str, new: Module) -> Module:
    """`model` with `new` in place of its module `path`, in training mode or not as that was."""
    new.train(model.get_submodule(path).training)
    if not path:
        return new
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)
    return model


def owned_copy(model: Module) -> Module:
    """A copy of the model, so that nothing of it changes."""
    return copy.deepcopy(model)


def traced(model: Module, inputs: tuple[Any, ...]) -> Graph:
    """The graph of `model(*inputs)` in evaluation mode."""
    from ..train.predictor import evaluating

    random = default_generator.get_state()
    try:
        with evaluating(model), no_grad():
            return trace(model, *inputs)
    finally:
        default_generator.set_state(random)


def path_of(node: Node) -> str:
    """The dotted name of the module that a node belongs to; the model's own is empty."""
    path, separator, _ = node.layer.rpartition(" (")
    return path if separator else ""


def sizes_text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def check_share(name: str, what: str, value: Any) -> float:
    """`value`, if it is a number from 0 up to, and without, 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise DTypeError(f"{name}: {what}={value!r} must be a number")
    if not (0 <= value < 1) or math.isnan(value):
        raise DomainError(f"{name}: {what}={value} must be at least 0 and less than 1")
    return float(value)
