"""Neurons, channels and heads are taken out of a model for good."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import no_grad
from ..core.errors import RanvierError, StateError
from ..core.tensor import from_numpy
from ..nn import Module, Parameter
from ..train.predictor import evaluating
from .common import as_inputs, note, owned_copy, require_module
from .flow import Flow, Group

# what layers call the sizes of their weights: the axis of it, and whether it counts all groups of channels
_SIZES = {
    "out_features": 0, "in_features": 1, "out_channels": 0, "in_channels": 1, "num_features": 0, "num_channels": 0,
    "num_embeddings": 0, "embedding_dim": 1,
}  # fmt: skip


def shrink(model: Module, example: Any) -> Module:
    """A copy of `model` without the neurons, channels and heads that nothing reads any more: those for which all weights of
    the layers that sum over them are zero, as pruning has left them. It computes the same.

    What belongs together is found by following the traced graph (`compress/flow.py`): through residual sums, batch norms,
    flatten, concatenation, attention. What cannot be followed stays whole; `rv.compress.notes(result)` names it, with the
    reason. The result is an ordinary model with a state_dict of its own.

    Args:
        example: inputs of one batch, by which the model is traced.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> with rv.no_grad():
    ...     _ = model[2].weight[:, 3:].zero_()
    >>> rv.compress.shrink(model, rv.zeros(1, 4))
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    require_module("shrink", model)
    inputs = as_inputs(example)
    flow = Flow(model, inputs)
    groups = flow.groups()
    return without(model, inputs, flow, [g for g in groups if not g.reason and _unread(g, flow)], groups)


def _unread(group: Group, flow: Flow) -> bool:
    """Whether all weights that are multiplied with it are zero."""
    return all(
        not np.take(flow.tensors[name].detach().numpy(), group.members[name, axis], axis).any()
        for name, axis in group.summed
    )


def without(model: Module, inputs: tuple[Any, ...], flow: Flow, removed: list[Group], groups: list[Group]) -> Module:
    """A copy of `model` without `removed`, of which each family keeps one member at least."""
    gone = {id(g) for g in removed}
    families: dict[tuple, list[Group]] = {}
    for g in groups:
        families.setdefault(g.family, []).append(g)
    lines = []
    for members in families.values():
        if all(id(g) in gone for g in members):
            gone.discard(id(members[0]))  # layers of size 0 compute nothing
    places: dict[tuple[str, int], list[int]] = {}
    for g in groups:
        if id(g) in gone:
            for at, positions in g.members.items():
                places.setdefault(at, []).extend(positions)
    result = owned_copy(model)
    with no_grad():
        _cut(result, places)
        lines += _left(groups)
    try:
        with evaluating(result), evaluating(model), no_grad():
            found, wanted = result(*inputs), model(*inputs)
    except RanvierError as error:
        raise StateError(
            f"shrink: {type(model).__name__} has sizes written out in its forward, which the smaller model does not fit "
            f"({error}); write -1 for one of them, or the size that the tensor has"
        ) from error
    if getattr(found, "shape", None) != getattr(wanted, "shape", None):
        raise StateError(f"shrink: the smaller model gives {found.shape}, not {wanted.shape}; it is not returned")
    note(result, lines)
    return result


def _left(groups: list[Group]) -> list[str]:
    """A line for each layer whose outputs have to stay, except for those that the model returns."""
    reasons: dict[str, tuple[int, str]] = {}
    for g in groups:
        layer = next((name for name, axis in g.members if axis == 0 and name.endswith("weight")), None)
        if layer and g.reason and g.reason != "the model returns it":
            count, _ = reasons.get(layer, (0, ""))
            reasons[layer] = count + 1, g.reason
    return [f"{layer}: {count} of its outputs stay: {reason}" for layer, (count, reason) in reasons.items()]


def _cut(model: Module, places: dict[tuple[str, int], list[int]]) -> None:
    """Take positions out of the tensors of `model`, in place, and tell its layers their sizes."""
    made: dict[int, Any] = {}  # a tensor that has two names stays one
    sizes: dict[str, dict[int, int]] = {}
    tensors = dict(model.state_dict(keep_vars=True))
    for name, tensor in tensors.items():
        own = {axis: positions for (other, axis), positions in places.items() if other == name}
        if not own:
            continue
        path, _, last = name.rpartition(".")
        layer = model.get_submodule(path)
        if id(tensor) not in made:
            array = tensor.detach().numpy()
            for axis, positions in own.items():
                array = np.delete(array, positions, axis)
            new: Any = from_numpy(np.ascontiguousarray(array))
            made[id(tensor)] = Parameter(new, tensor.requires_grad) if isinstance(tensor, Parameter) else new
        setattr(layer, last, made[id(tensor)])
        for axis, positions in own.items():
            of = sizes.setdefault(path, {})
            of[axis] = tensor.shape[axis] - len(set(positions)) if last == "weight" or axis not in of else of[axis]
    for path, changed in sizes.items():
        _tell(model.get_submodule(path), changed)


def _tell(layer: Any, sizes: dict[int, int]) -> None:
    """Attributes of a layer that hold sizes."""
    if getattr(layer, "groups", 1) > 1:  # each channel its own
        layer.groups = layer.in_channels = layer.out_channels = sizes[0]
        return
    transposed = getattr(layer, "transposed", False)
    for name, axis in _SIZES.items():
        axis = 1 - axis if transposed else axis
        if name in vars(layer) and axis in sizes:
            setattr(layer, name, sizes[axis])
    shape = getattr(layer, "normalized_shape", None)
    if shape is not None:
        layer.normalized_shape = tuple(layer.weight.shape)
