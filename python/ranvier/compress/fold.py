"""Batch norms become part of the layers in front of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.tensor import from_numpy
from ..nn import Identity, Module, Parameter
from ..nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .common import path_of, plain_layer, replaced, traced

NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


def folded(model: Module, inputs: tuple[Any, ...]) -> Module:
    """`model`, changed so that each batch norm with running statistics is part of the linear layer or convolution whose
    result it alone reads, by the traced graph; an Identity takes its place.

    With s = weight / sqrt(var + eps): y = s (W x + b - mean) + bias = (s W) x + s (b - mean) + bias.
    """
    graph = traced(model, inputs)
    modules = dict(model.named_modules())
    uses = graph.uses()
    results = set(graph.results())
    calls: dict[str, int] = {}  # products of a layer: one that runs twice has two results
    for node in graph.nodes:
        if plain_layer(modules[path_of(node)]) and any(v.kind == "state" for v in node.inputs):
            calls[path_of(node)] = calls.get(path_of(node), 0) + 1
    for path, count in calls.items():
        if count > 1:
            continue
        made = {v for node in graph.nodes if path_of(node) == path for v in node.outputs}
        outside = {path_of(user) for v in made for user in uses.get(v, ()) if path_of(user) != path}
        if made & results or len(outside) != 1:
            continue
        norm_path = outside.pop()
        norm = modules[norm_path]
        fed = {v for n in graph.nodes if path_of(n) == norm_path for v in n.inputs if v.kind == "node"}
        own = {v for n in graph.nodes if path_of(n) == norm_path for v in n.outputs}
        if isinstance(norm, NORMS) and norm.running_var is not None and len(fed - own) == 1:
            _fold(modules[path], norm)
            model = replaced(model, norm_path, Identity())
    return model


def _fold(layer: Module, norm: Any) -> None:
    mean, var = norm.running_mean.numpy().astype(np.float64), norm.running_var.numpy().astype(np.float64)
    factor = 1 / np.sqrt(var + norm.eps)
    if norm.weight is not None:
        factor = factor * norm.weight.detach().numpy()
    w = layer.weight.detach().numpy()
    start = 0 if layer.bias is None else layer.bias.detach().numpy()
    shift = 0 if norm.bias is None else norm.bias.detach().numpy()
    bias = (start - mean) * factor + shift
    layer.weight = Parameter(from_numpy((w * factor.reshape(-1, *(1,) * (w.ndim - 1))).astype(w.dtype)))
    layer.bias = Parameter(from_numpy(bias.astype(w.dtype)))
