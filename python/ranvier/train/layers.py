"""A table of a model's layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import no_grad
from ..core.dtypes import as_dtype
from ..core.tensor import from_numpy
from ..nn import Module
from ..random import default_generator
from ..tensor import Tensor
from .predictor import evaluating


class Summary:
    """What `summary` found: its text is a table.

    Attributes:
        total_params, trainable_params: how many numbers the model has, and how many of them are learnt.
        layers: (name, kind, shape of the output or None, parameters of its own) of each layer.
    """

    def __init__(self, model: Module, shapes: dict[int, Any]):
        self.layers: list[tuple[str, str, Any, int]] = []
        for path, module in model.named_modules():
            own = sum(p.numel() for p in module.parameters(recurse=False))
            self.layers.append((path, type(module).__name__, shapes.get(id(module)), own))
        parameters = list(model.parameters())
        self.total_params = sum(p.numel() for p in parameters)
        self.trainable_params = sum(p.numel() for p in parameters if p.requires_grad)
        self._bytes = sum(p.numel() * p.dtype.itemsize for p in parameters)

    def __str__(self) -> str:
        rows = [("layer", "output shape", "parameters")]
        for path, kind, shape, own in self.layers:
            depth = path.count(".") + bool(path)
            label = f"{'  ' * depth}{path.rpartition('.')[2]}{' ' if path else ''}({kind})"
            rows.append((label, "" if shape is None else str(shape), f"{own:,}" if own else "-"))
        first, second, third = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [f"{a:{first}}  {b:{second}}  {c:>{third}}".rstrip() for a, b, c in rows]
        rule = "-" * max(map(len, lines))
        frozen = self.total_params - self.trainable_params
        lines = [lines[0], rule, *lines[1:], rule]
        lines.append(f"{self.total_params:,} parameters, {self.trainable_params:,} trainable, {frozen:,} frozen")
        return "\n".join([*lines, f"{self._bytes / 2**20:.2f} MiB"])

    def __repr__(self) -> str:
        return f"Summary({self.total_params:,} parameters, {self.trainable_params:,} trainable)"


def summary(
    model: Module, input_size: Any = None, *, input_data: Any = None, dtype: Any = None, verbose: int = 1
) -> Summary:
    """Print a table of a model's layers with the shapes of their outputs and the numbers of their parameters.

    Args:
        input_size: the shape of an input, rows included, such as (1, 784); a list of shapes for several inputs. None leaves
            the shapes of outputs out.
        input_data: inputs themselves instead: an array or a Tensor, or a list or tuple of them.
        dtype: of inputs made from input_size; float32, or the model's. verbose: 0 prints nothing.

    Returns the Summary, with `total_params` and `trainable_params`. The model runs in evaluation mode, and neither it nor
    the random numbers to come change.

    >>> from ranvier import nn
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> found = summary(model, (1, 4))
    layer         output shape  parameters
    --------------------------------------
    (Sequential)  (1, 2)                 -
      0 (Linear)  (1, 8)                40
      1 (ReLU)    (1, 8)                 -
      2 (Linear)  (1, 2)                18
    --------------------------------------
    58 parameters, 58 trainable, 0 frozen
    0.00 MiB
    >>> found.total_params
    58
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: model={type(model).__name__} must be an nn.Module")
    shapes: dict[int, Any] = {}
    if input_size is not None and input_data is not None:
        raise ValueError("summary: give input_size or input_data, not both")
    if input_size is not None or input_data is not None:
        inputs = _inputs(model, input_size, input_data, dtype)

        def note(module: Module, _: Any, output: Any) -> None:
            shapes.setdefault(id(module), _shape(output))

        handles = [module.register_forward_hook(note) for module in model.modules()]
        random = default_generator.get_state()
        try:
            with evaluating(model), no_grad():
                model(*inputs)
        finally:
            default_generator.set_state(random)
            for handle in handles:
                handle.remove()
    found = Summary(model, shapes)
    if verbose:
        print(found)
    return found


def _inputs(model: Module, size: Any, data: Any, dtype: Any) -> list[Any]:
    """Tensors to call the model with."""
    if data is not None:
        parts = data if isinstance(data, (list, tuple)) else [data]
        return [part if isinstance(part, Tensor) else from_numpy(np.asarray(part)) for part in parts]
    sizes = size if isinstance(size, list) or isinstance(size[0], (tuple, list)) else [size]
    kind = as_dtype(dtype) if dtype is not None else next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    return [from_numpy(np.zeros(tuple(shape), kind)) for shape in sizes]


def _shape(output: Any) -> Any:
    """The shape of an output; of several a list."""
    if isinstance(output, Tensor):
        return tuple(output.shape)
    return [_shape(part) for part in output] if isinstance(output, (tuple, list)) else None
