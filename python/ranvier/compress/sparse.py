"""Sparse products in place of linear layers whose weights are mostly zero, where that is faster."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..core.context import no_grad
from ..nn import Linear, Module
from ..ops.sparse import dense, rows_of, sparse_linear
from ..train.predictor import evaluating
from .common import as_inputs, check_share, note, owned_copy, plain_layer, replaced, require_module
from .quantized import hold

_RUNS = 15


class SparseLinear(Module):
    """y = x @ weight.T + bias for a weight of which only what is not zero is kept: values and columns, row by row."""

    values: Any
    columns: Any
    starts: Any
    bias: Any

    def __init__(self, layer: Linear):
        self.in_features, self.out_features = layer.in_features, layer.out_features
        values, columns, starts = rows_of(layer.weight.detach().numpy())
        bias = None if layer.bias is None else layer.bias.detach().numpy()
        hold(self, values=values, columns=columns, starts=starts, bias=bias)

    def dequantized(self) -> np.ndarray:
        """The weight with its zeros."""
        return dense(self.values.numpy(), self.columns.numpy(), self.starts.numpy(), self.in_features)

    def forward(self, input: Any) -> Any:
        operands = (input, self.values, self.columns, self.starts)
        return sparse_linear(*operands) if self.bias is None else sparse_linear(*operands, self.bias, bias=True)

    def extra_repr(self) -> str:
        share = 1 - self.values.numel() / max(self.in_features * self.out_features, 1)
        return f"in_features={self.in_features}, out_features={self.out_features}, zeros={share:.1%}"


def sparse(model: Module, example: Any, zeros: float = 0.8) -> Module:
    """A copy of `model` for inference, in which linear layers with at least the share `zeros` of zero weights are sparse
    products, where those are faster on `example`: each is measured beside the dense one. `rv.compress.notes(result)` says
    what each layer gained, and which ones stay dense because they would not.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> model = nn.Sequential(nn.Linear(512, 512))
    >>> pruned = rv.compress.prune(model, 0.95, rv.zeros(32, 512), structured=False)
    >>> fast = rv.compress.sparse(pruned, rv.randn(32, 512))
    >>> x = rv.randn(32, 512)
    >>> bool((fast(x) - pruned(x)).abs().max() < 1e-5)
    True
    """
    require_module("sparse", model)
    zeros = check_share("sparse", "zeros", zeros)
    result = owned_copy(model).eval()
    inputs = as_inputs(example)
    layers = {name: m for name, m in result.named_modules() if plain_layer(m) and isinstance(m, Linear)}
    seen: dict[str, Any] = {}
    handles = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0]))
        for name, layer in layers.items()
    ]
    with evaluating(result), no_grad():
        result(*inputs)
    for handle in handles:
        handle.remove()
    lines = []
    for name, layer in layers.items():
        w = layer.weight.detach().numpy()
        none = int((w == 0).sum())
        if name not in seen or not w.size or none < round(zeros * w.size) or w.dtype != np.float32:
            continue
        other = SparseLinear(layer)
        was, now = _seconds(layer, seen[name]), _seconds(other, seen[name])
        zero = f"layer {name!r}, {none / w.size:.0%} zeros"
        stays = "" if now < was else "; it stays dense"
        lines.append(f"{zero}: a sparse product takes {now / was:.2f} times the time of the dense one{stays}")
        if now < was:
            result = replaced(result, name, other)
    note(result, lines)
    return result


def _seconds(layer: Module, x: Any) -> float:
    times = []
    with no_grad():
        for _ in range(_RUNS):
            began = time.perf_counter()
            layer(x)
            times.append(time.perf_counter() - began)
    return min(times)
