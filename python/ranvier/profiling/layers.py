"""The layers of a model: names, kinds, parameters, shapes of outputs; and `summary`, a table of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.context import no_grad
from ..core.dtypes import as_dtype
from ..core.tensor import from_numpy
from ..random import default_generator
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..nn import Module


class Layer:
    """One module. parameters: of its own, those that an earlier layer has too left out. shape: of its output, once it has
    been called.
    """

    def __init__(self, path: str, module: Module, parameters: list[Any]):
        self.path, self.kind, self.parameters = path, type(module).__name__, parameters
        self.shape: Any = None

    @property
    def name(self) -> str:
        """Its path in the model; of the model itself its kind in brackets."""
        return self.path or f"({self.kind})"

    @property
    def label(self) -> str:
        """The layer as traces name it (graph.Node)."""
        return f"{self.path} ({self.kind})" if self.path else self.kind

    def count(self, trainable: bool = False) -> int:
        """How many numbers its parameters are, or those of them that are learnt."""
        return sum(p.numel() for p in self.parameters if p.requires_grad or not trainable)

    def nbytes(self) -> dict[str, int]:
        """Bytes of its parameters by dtype."""
        sizes: dict[str, int] = {}
        for p in self.parameters:
            sizes[p.dtype.name] = sizes.get(p.dtype.name, 0) + p.numel() * p.dtype.itemsize
        return sizes


def layers_of(model: Module) -> dict[int, Layer]:
    """The layers of a model by the id of their module, each parameter with the first that has it."""
    seen: set[int] = set()
    layers = {}
    for path, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(map(id, own))
        layers[id(module)] = Layer(path, module, own)
    return layers


@contextmanager
def noting_shapes(model: Module, layers: dict[int, Layer]) -> Iterator[None]:
    """The first call of each module notes the shape of its output."""

    def note(module: Module, _: Any, output: Any) -> None:
        layer = layers[id(module)]
        layer.shape = _shape(output) if layer.shape is None else layer.shape

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def in_mode(model: Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode for all modules, and then for each the mode that it had."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            if module.training != mode:
                module.training = mode


def table(rows: list[tuple[str, ...]], left: int) -> list[str]:
    """Lines of a table under its first row; the first `left` columns are flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:{'<' if i < left else '>'}{width}}" for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return [lines[0], rule, *lines[1:], rule]


def indented(path: str, kind: str) -> str:
    """A layer's name in a table, below that of the layer that holds it."""
    depth = path.count(".") + bool(path)
    return f"{'  ' * depth}{path.rpartition('.')[2]}{' ' if path else ''}({kind})"


class Summary:
    """What `summary` found: its text is a table.

    Attributes:
        total_params, trainable_params: how many numbers the model has, and how many of them are learnt.
        layers: (name, kind, shape of the output or None, parameters of its own) of each layer.
    """

    def __init__(self, layers: dict[int, Layer]):
        found = list(layers.values())
        self.layers: list[tuple[str, str, Any, int]] = [(x.path, x.kind, x.shape, x.count()) for x in found]
        self.total_params = sum(x.count() for x in found)
        self.trainable_params = sum(x.count(trainable=True) for x in found)
        self._bytes = sum(sum(x.nbytes().values()) for x in found)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("layer", "output shape", "parameters")]
        for path, kind, shape, own in self.layers:
            rows.append((indented(path, kind), "" if shape is None else str(shape), f"{own:,}" if own else "-"))
        frozen = self.total_params - self.trainable_params
        counts = f"{self.total_params:,} parameters, {self.trainable_params:,} trainable, {frozen:,} frozen"
        return "\n".join([*table(rows, 2), counts, f"{self._bytes / 2**20:.2f} MiB"])

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

    Returns the Summary, with `total_params` and `trainable_params`. A parameter that several layers share counts once, for
    the first of them. The model runs in evaluation mode, and neither it nor the random numbers to come change.

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
    if not hasattr(model, "named_modules"):
        raise TypeError(f"summary: model={type(model).__name__} must be an nn.Module")
    if input_size is not None and input_data is not None:
        raise ValueError("summary: give input_size or input_data, not both")
    layers = layers_of(model)
    if input_size is not None or input_data is not None:
        inputs = _inputs(model, input_size, input_data, dtype)
        random = default_generator.get_state()
        try:
            with noting_shapes(model, layers), in_mode(model, False), no_grad():
                model(*inputs)
        finally:
            default_generator.set_state(random)
    found = Summary(layers)
    if verbose:
        print(found)
    return found


def _inputs(model: Module, size: Any, data: Any, dtype: Any) -> list[Any]:
    """Tensors to call the model with."""
    if data is not None:
        return as_tensors(data if isinstance(data, (list, tuple)) else [data])
    sizes = size if isinstance(size, list) or isinstance(size[0], (tuple, list)) else [size]
    kind = as_dtype(dtype) if dtype is not None else next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    return [from_numpy(np.zeros(tuple(shape), kind)) for shape in sizes]


def as_tensors(data: Any) -> list[Any]:
    """Tensors, of tensors and whatever NumPy makes an array of."""
    return [x if isinstance(x, Tensor) else from_numpy(np.asarray(x)) for x in data]


def _shape(output: Any) -> Any:
    """The shape of an output; of several a list."""
    if isinstance(output, Tensor):
        return tuple(output.shape)
    return [_shape(part) for part in output] if isinstance(output, (tuple, list)) else None
