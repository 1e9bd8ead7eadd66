"""Normalisation layers."""

from __future__ import annotations

from typing import Any

from ..core.dtypes import int64
from ..core.errors import ShapeError
from ..core.memory import aligned_full
from ..core.tensor import from_numpy
from . import functional as F
from . import init
from ._new import new_parameter
from .module import Module

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
    "LayerNorm", "LocalResponseNorm", "RMSNorm",
]  # fmt: skip


def _affine(layer: Module, name: str, size: Any, weight: bool, bias: bool, device: Any, dtype: Any) -> None:
    """Registers a weight of ones and a bias of zeros, where wanted."""
    shape = size if isinstance(size, tuple) else (size,)
    for what, wanted, fill in (("weight", weight, 1.0), ("bias", weight and bias, 0.0)):
        layer.register_parameter(what, new_parameter(name, shape, device, dtype, fill) if wanted else None)


def _restart(layer: Any) -> None:
    """Weight 1, bias 0."""
    if layer.weight is not None:
        init.ones_(layer.weight)
    if layer.bias is not None:
        init.zeros_(layer.bias)


class _Norm(Module):
    """Statistics by channel, the running ones as buffers, and an affine map."""

    axes: tuple[int, ...]  # how many the input may have
    weight: Any
    bias: Any

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool, device: Any,
        dtype: Any, bias: bool,
    ):  # fmt: skip
        name = type(self).__name__
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        _affine(self, name, num_features, affine, bias, device, dtype)
        for what, fill in (("running_mean", 0.0), ("running_var", 1.0)):
            start = new_parameter(name, (num_features,), device, dtype, fill).detach() if track_running_stats else None
            self.register_buffer(what, start)
        tracked = from_numpy(aligned_full((), 0, int64)) if track_running_stats else None
        self.register_buffer("num_batches_tracked", tracked)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """The start: weight 1, bias 0, and `reset_running_stats`."""
        self.reset_running_stats()
        _restart(self)

    def _check(self, input: Any) -> None:
        if len(input.shape) not in self.axes:
            wanted = " or ".join(map(str, self.axes))
            raise ShapeError(f"{type(self).__name__}: x{tuple(input.shape)} must have {wanted} axes")

    def _momentum(self) -> Any:
        """Of this step, whose batch is counted; without a momentum, running statistics are the mean over all batches."""
        if not (self.training and self.track_running_stats):
            return 0.0 if self.momentum is None else self.momentum
        self.num_batches_tracked.add_(1)
        if self.momentum is not None:
            return self.momentum
        return 1.0 / self.num_batches_tracked.to(self.running_mean.dtype)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Any) -> Any:
        self._check(input)
        momentum = self._momentum()
        of_batch = self.training or self.running_mean is None
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, of_batch, momentum, self.eps
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L), as `BatchNorm2d`."""

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of (N, C, H, W): see `F.batch_norm`.

    In training with the statistics of the batch, which `running_mean` and `running_var` follow with `momentum` (None: they
    are means over all batches); in evaluation with these. Without track_running_stats always with the batch's.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.BatchNorm2d(3)(rv.randn(4, 3, 8, 8)).shape
    (4, 3, 8, 8)
    """

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of (N, C, D, H, W), as `BatchNorm2d`."""

    axes = (5,)


class _InstanceNorm(_Norm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Any) -> Any:
        self._check(input)
        alone = len(input.shape) == self.axes[0]
        own = self.training or not self.track_running_stats
        out = F.instance_norm(
            input.unsqueeze(0) if alone else input, self.running_mean, self.running_var, self.weight, self.bias, own,
            0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return out.squeeze(0) if alone else out


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L), as `InstanceNorm2d`."""

    axes = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each image of (N, C, H, W) or (C, H, W) normalised by its own statistics: see `F.instance_norm`."""

    axes = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W), as `InstanceNorm2d`."""

    axes = (4, 5)


class _LastAxes(Module):
    weight: Any
    bias: Any

    def __init__(
        self, normalized_shape: Any, eps: float | None, elementwise_affine: bool, bias: bool, device: Any, dtype: Any
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        _affine(self, type(self).__name__, shape, elementwise_affine, bias, device, dtype)

    def reset_parameters(self) -> None:
        """The start: weight 1, bias 0."""
        _restart(self)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LayerNorm(_LastAxes):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, those of normalized_shape: see `F.layer_norm`.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.LayerNorm(8)(rv.randn(4, 8)).mean(-1).abs().max().item() < 1e-5
    True
    """

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__(normalized_shape, eps, elementwise_affine, bias, device, dtype)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, bias={self.bias is not None}"

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps or 0.0)


class RMSNorm(_LastAxes):
    """x / sqrt(mean(x^2) + eps) * weight over the last axes, those of normalized_shape: see `F.rms_norm`."""

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True, device: Any = None,
        dtype: Any = None,
    ):  # fmt: skip
        super().__init__(normalized_shape, eps, elementwise_affine, False, device, dtype)

    def forward(self, input: Any) -> Any:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)


class GroupNorm(Module):
    """Each of num_groups groups of channels of (N, C, ...) normalised by its own statistics: see `F.group_norm`."""

    weight: Any
    bias: Any

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ):  # fmt: skip
        if num_groups < 1 or num_channels % num_groups:
            raise ShapeError(f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        _affine(self, "GroupNorm", num_channels, affine, bias, device, dtype)

    def reset_parameters(self) -> None:
        """The start: weight 1, bias 0."""
        _restart(self)

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta: see `F.local_response_norm`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
