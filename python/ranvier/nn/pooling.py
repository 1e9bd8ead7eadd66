"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ..core.errors import ShapeError
from . import functional as F
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d",
    "LPPool1d", "LPPool2d", "LPPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
]  # fmt: skip


class _MaxPool(Module):
    ndim: int

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ):  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.dilation, self.return_indices, self.ceil_mode = dilation, return_indices, ceil_mode

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"max_pool{self.ndim}d")
        return pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The greatest of each window of (N, C, L) or (C, L): see `F.max_pool2d`."""

    ndim = 1


class MaxPool2d(_MaxPool):
    """The greatest of each window of (N, C, H, W) or (C, H, W): see `F.max_pool2d`.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.MaxPool2d(2)(rv.zeros(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    ndim = 2


class MaxPool3d(_MaxPool):
    """The greatest of each window of (N, C, D, H, W) or (C, D, H, W): see `F.max_pool2d`."""

    ndim = 3


class _MaxUnpool(Module):
    ndim: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0):
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        unpool = getattr(F, f"max_unpool{self.ndim}d")
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Zeros, but the input at the places that MaxPool1d(return_indices=True) gave."""

    ndim = 1


class MaxUnpool2d(_MaxUnpool):
    """Zeros, but the input at the places that MaxPool2d(return_indices=True) gave: see `F.max_unpool2d`."""

    ndim = 2


class MaxUnpool3d(_MaxUnpool):
    """Zeros, but the input at the places that MaxPool3d(return_indices=True) gave."""

    ndim = 3


class _FractionalMaxPool(Module):
    ndim: int

    def __init__(
        self, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
        _random_samples: Any = None,
    ):  # fmt: skip
        if (output_size is None) == (output_ratio is None):
            raise ShapeError(f"{type(self).__name__}: give either output_size or output_ratio")
        self.kernel_size, self.output_size, self.output_ratio = kernel_size, output_size, output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"fractional_max_pool{self.ndim}d")
        return pool(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """The greatest of each of `output_size` windows, or output_ratio times the axis, at random places: see
    `F.fractional_max_pool2d`."""

    ndim = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """As `FractionalMaxPool2d`, of (N, C, D, H, W) or (C, D, H, W)."""

    ndim = 3


class _AvgPool(Module):
    ndim: int

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ):  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"avg_pool{self.ndim}d")
        more = {} if self.ndim == 1 else {"divisor_override": self.divisor_override}
        return pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, **more)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window of (N, C, L) or (C, L): see `F.avg_pool2d`."""

    ndim = 1

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """The mean of each window of (N, C, H, W) or (C, H, W): see `F.avg_pool2d`."""

    ndim = 2


class AvgPool3d(_AvgPool):
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W): see `F.avg_pool2d`."""

    ndim = 3


class _LPPool(Module):
    ndim: int

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False):
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Any) -> Any:
        pool = getattr(F, f"lp_pool{self.ndim}d")
        return pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        sizes = f"kernel_size={self.kernel_size}, stride={self.stride}"
        return f"norm_type={self.norm_type}, {sizes}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPool):
    """(sum of x^p over each window)^(1/p) of (N, C, L) or (C, L)."""

    ndim = 1


class LPPool2d(_LPPool):
    """(sum of x^p over each window)^(1/p) of (N, C, H, W) or (C, H, W)."""

    ndim = 2


class LPPool3d(_LPPool):
    """(sum of x^p over each window)^(1/p) of (N, C, D, H, W) or (C, D, H, W)."""

    ndim = 3


class _AdaptiveAvgPool(Module):
    ndim: int

    def __init__(self, output_size: Any):
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return getattr(F, f"adaptive_avg_pool{self.ndim}d")(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that share out the axis."""

    ndim = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that share out H and W: see `F.adaptive_avg_pool2d`. 1 pools globally.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.AdaptiveAvgPool2d(1)(rv.zeros(2, 8, 7, 9)).shape
    (2, 8, 1, 1)
    """

    ndim = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that share out D, H and W."""

    ndim = 3


class _AdaptiveMaxPool(Module):
    ndim: int

    def __init__(self, output_size: Any, return_indices: bool = False):
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Any) -> Any:
        return getattr(F, f"adaptive_max_pool{self.ndim}d")(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The greatest of each of `output_size` windows that share out the axis."""

    ndim = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The greatest of each of `output_size` windows that share out H and W: see `F.adaptive_max_pool2d`."""

    ndim = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The greatest of each of `output_size` windows that share out D, H and W."""

    ndim = 3
