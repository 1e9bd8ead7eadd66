"""Quantisation-aware training: layers that round their weights and inputs as the quantised model will, with gradients that
pass through as if they did not.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..core.context import no_grad
from ..core.errors import StateError
from ..core.tensor import as_tensor
from ..nn import Linear, Module
from ..nn import functional as F
from ..ops.elementwise import maximum, minimum, where
from ..ops.reduction import amax, amin
from .common import as_inputs, batches_of, owned_copy, plain_layer, replaced, require_module
from .fold import folded
from .quantized import QuantizedLayer


def fake_quantize(x: Any, scale: Any, zero: Any, low: int, high: int) -> Any:
    """scale * (clamp(round(x / scale) + zero, low, high) - zero), with the gradient of a clamp: 1 where x is within the
    range that is stored, 0 where it is cut (the straight-through estimator: Bengio et al. 2013).

    >>> import ranvier as rv
    >>> x = rv.tensor([0.26, 9.0], requires_grad=True)
    >>> y = rv.compress.fake_quantize(x, 0.5, 0, -4, 3)
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([0.5, 1.5]), tensor([1., 0.]))
    """
    x = as_tensor(x)
    scale, zero = as_tensor(scale), as_tensor(zero)
    with no_grad():
        stored = (x / scale).round() + zero
        inside = (stored >= low) & (stored <= high)
        value = (stored.clamp(low, high) - zero) * scale
    through = where(inside, x, x.detach())
    return through + (value - x.detach())


class AwareLayer:
    """Mixed into the layer it stands for: same parameters, names and forward, on rounded numbers."""

    def _start(self, momentum: float) -> None:
        self.momentum = momentum
        self.register_buffer("input_low", as_tensor(np.zeros((), np.float32)))  # type: ignore[attr-defined]
        self.register_buffer("input_high", as_tensor(np.zeros((), np.float32)))  # type: ignore[attr-defined]

    def _rounded_input(self: Any, x: Any) -> Any:
        with no_grad():
            if self.training:
                low, high = minimum(amin(x.detach()), 0.0), maximum(amax(x.detach()), 0.0)
                new = (self.input_low == 0) & (self.input_high == 0)  # no batch was seen
                for held, now in ((self.input_low, low), (self.input_high, high)):
                    held.copy_(where(new, now, held + self.momentum * (now - held)))
            width = self.input_high - self.input_low
            scale = where(width > 0, width / 255.0, 1.0)
            zero = (-self.input_low / scale).round()
        return fake_quantize(x, scale, zero, 0, 255)

    def _rounded_weight(self: Any) -> Any:
        w = self.weight
        with no_grad():
            most = amax(w.detach().abs(), tuple(range(1, w.ndim)), True)
            scale = where(most > 0, most / 127.0, 1.0)
        return fake_quantize(w, scale, 0.0, -127, 127)

    def forward(self: Any, input: Any) -> Any:
        x, w = self._rounded_input(input), self._rounded_weight()
        if isinstance(self, Linear):
            return F.linear(x, w, self.bias)
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self.around(), mode=self.padding_mode), 0
        return getattr(F, f"conv{self.ndim}d")(x, w, self.bias, self.stride, padding, self.dilation, self.groups)


@functools.cache
def _class_for(kind: Any) -> Any:
    return type(f"Aware{kind.__name__}", (AwareLayer, kind), {"__module__": __name__})


def _with_class(layer: Any, kind: Any) -> Any:
    """A layer of class `kind` with all that `layer` holds."""
    new = kind.__new__(kind)
    for name, value in layer.__dict__.items():
        new.__dict__[name] = dict(value) if name.startswith("_") and isinstance(value, dict) else value
    return new


def quantization_aware(model: Module, example: Any, *, momentum: float = 0.1, skip: Any = ()) -> Module:
    """A copy of `model` to train further, whose linear layers and convolutions round weights and inputs as `quantize` will;
    gradients pass through (`fake_quantize`). Then `quantize(result, None)` makes the model for inference.

    Batch norms are folded first. The range of each input is a running mean of what training sees.

    Args:
        example: inputs of one batch, by which the model is traced. momentum: of the running ranges.
        skip: names of layers that stay as they are.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> model = rv.compress.quantization_aware(nn.Sequential(nn.Linear(4, 2)), rv.randn(8, 4))
    >>> model(rv.randn(8, 4)).shape, sorted(model.state_dict())
    ((8, 2), ['0.bias', '0.input_high', '0.input_low', '0.weight'])
    """
    require_module("quantization_aware", model)
    if any(isinstance(m, (AwareLayer, QuantizedLayer)) for m in model.modules()):
        raise StateError("quantization_aware: the model is quantised, or made aware of it, already")
    inputs = as_inputs(example)
    batches_of("quantization_aware", [inputs if len(inputs) == 1 else (*inputs, inputs[0])])
    result = folded(owned_copy(model), inputs)
    skip = {skip} if isinstance(skip, str) else set(skip)
    for name, layer in list(result.named_modules()):
        if plain_layer(layer) and name not in skip:
            aware = _with_class(layer, _class_for(type(layer)))  # type: ignore[arg-type]
            aware._start(momentum)
            result = replaced(result, name, aware)
    return result


def plain_again(model: Module) -> Module:
    """`model` with plain layers in place of those that were made aware."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, AwareLayer):
            plain = _with_class(layer, type(layer).__mro__[2])
            del plain.input_low, plain.input_high, plain.momentum
            model = replaced(model, name, plain)
    return model


def learnt_ranges(model: Module) -> dict[str, tuple[float, float]]:
    """Low and high of what went into each aware layer in training, where something did."""
    return {
        name: (float(layer.input_low), float(layer.input_high))  # type: ignore[arg-type]
        for name, layer in model.named_modules()
        if isinstance(layer, AwareLayer) and float(layer.input_high) > float(layer.input_low)  # type: ignore[attr-defined]
    }
