"""Batch norms become part of the layers in front of them."""

from __future__ import annotations

from typing import Any

from ..nn import Identity, Module
from ..nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ..nn.utils.fusion import fuse_conv_bn_weights
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
            layer: Any = modules[path]
            layer.weight, layer.bias = fuse_conv_bn_weights(
                layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            model = replaced(model, norm_path, Identity())
    return model
