"""Batch norm in evaluation, put into the weights of the layer before it."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from ... import ops
from ...core.context import no_grad
from ...core.errors import DomainError, ShapeError
from ..module import Module
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _parameters(weight: Any, bias: Any, of: tuple[Any, Any]) -> tuple[Parameter, Parameter]:
    first, second = of
    needs = (first.requires_grad, first.requires_grad if second is None else second.requires_grad)
    return Parameter(weight, needs[0]), Parameter(bias, needs[1])


def _fused(
    axis: int, weight: Any, bias: Any, mean: Any, var: Any, eps: float, bn_weight: Any, bn_bias: Any
) -> tuple[Parameter, Parameter]:
    """weight * s and (bias - mean) * s + bn_bias, s = bn_weight / sqrt(var + eps) along `axis` of weight."""
    with no_grad():
        scale = ops.rsqrt(ops.add(var, eps))
        scale = scale if bn_weight is None else ops.mul(scale, bn_weight)
        shift = ops.mul(ops.neg(mean) if bias is None else ops.sub(bias, mean), scale)
        shift = shift if bn_bias is None else ops.add(shift, bn_bias)
        if scale.shape[0] not in (1, weight.shape[axis]):
            raise ShapeError(f"fuse: weight{weight.shape} must have {scale.shape[0]} channels along axis {axis}")
        along = ops.reshape(scale, (*(1,) * axis, -1, *(1,) * (weight.ndim - axis - 1)))
        return _parameters(ops.mul(weight, along), shift, (weight, bias))


def fuse_conv_bn_weights(
    conv_w: Any, conv_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any, transpose: bool = False
) -> tuple[Parameter, Parameter]:
    """The weight and the bias of a convolution (transpose: of a transposed one) with the batch norm behind it, whose running
    mean, running variance, eps, weight and bias these are."""
    return _fused(1 if transpose else 0, conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """As `fuse_conv_bn_weights`, of a linear layer."""
    return _fused(0, linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _fuse(name: str, layer: Any, bn: Any, weights: Any) -> Any:
    if layer.training or bn.training:
        raise DomainError(f"{name}: both layers must be in evaluation: call eval() first")
    if bn.running_mean is None or bn.running_var is None:
        raise DomainError(f"{name}: {type(bn).__name__} has no running statistics")
    fused = copy.deepcopy(layer)
    fused.weight, fused.bias = weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Any:
    """A copy of the convolution `conv` (transpose: a transposed one) that does what `conv` and then the batch norm `bn` do
    in evaluation. Frozen compiled functions do this by themselves.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> conv, bn = nn.Conv2d(3, 8, 3).eval(), nn.BatchNorm2d(8).eval()
    >>> nn.utils.fuse_conv_bn_eval(conv, bn)
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """
    return _fuse("fuse_conv_bn_eval", conv, bn, partial(fuse_conv_bn_weights, transpose=transpose))


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Any:
    """A copy of the layer `linear` that does what `linear` and then the batch norm `bn` do in evaluation."""
    out, channels = linear.out_features, bn.num_features
    if channels not in (out, 1):
        raise ShapeError(f"fuse_linear_bn_eval: bn.num_features={channels} must be linear.out_features={out}, or 1")
    return _fuse("fuse_linear_bn_eval", linear, bn, fuse_linear_bn_weights)
