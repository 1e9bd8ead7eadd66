"""Convolution layers."""

from __future__ import annotations

from typing import Any

from ..core.errors import DomainError, ShapeError
from ..ops.convolution import per_axis
from . import functional as F
from . import init
from ._new import new_parameter
from .module import Module

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _ConvNd(Module):
    ndim: int
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any, groups: int,
        bias: bool, padding_mode: str, device: Any, dtype: Any,
    ):  # fmt: skip
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"{name}: groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise DomainError(f"{name}: padding_mode={padding_mode!r} must be zeros, reflect, replicate or circular")
        self.in_channels, self.out_channels, self.groups, self.padding_mode = (
            in_channels,
            out_channels,
            groups,
            padding_mode,
        )
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.ndim)
        self.stride = per_axis(name, "stride", stride, self.ndim)
        self.dilation = per_axis(name, "dilation", dilation, self.ndim)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise DomainError(f"{name}: padding={padding!r} must be numbers, 'same' or 'valid'")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ShapeError(f"{name}: padding='same' needs stride 1, not {self.stride}")
            self.padding: Any = padding
        else:
            self.padding = per_axis(name, "padding", padding, self.ndim, 0)
        rows, columns = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = new_parameter(name, (rows, columns // groups, *self.kernel_size), device, dtype)
        self.register_parameter("bias", new_parameter(name, (out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.default(self.weight, self.bias)

    def around(self) -> list[int]:
        """What padding_mode puts around the input: sizes as F.pad takes them."""
        if self.padding == "valid":
            return [0] * 2 * self.ndim
        if self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
            return [side for t in reversed(total) for side in (t // 2, t - t // 2)]
        return [p for p in reversed(self.padding) for _ in range(2)]

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        ones, zeros = (1,) * self.ndim, (0,) * self.ndim
        for name, usual in (("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1)):
            value = getattr(self, name, usual)
            if value != usual:
                text += f", {name}={value}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else text + f", padding_mode={self.padding_mode}"


class _Conv(_ConvNd):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )

    def forward(self, input: Any) -> Any:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self.around(), mode=self.padding_mode), 0
        convolve = getattr(F, f"conv{self.ndim}d")
        return convolve(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Convolution of (N, C, L) or (C, L), as `Conv2d`."""

    ndim = 1


class Conv2d(_Conv):
    """Convolution of (N, C, H, W) or (C, H, W) with `weight` (out_channels, in_channels / groups, h, w), plus `bias`: see
    `F.conv2d`. padding_mode: what lies around the image: "zeros", or F.pad's "reflect", "replicate" or "circular".

    Weight and bias start in U(-b, b), b = 1 / sqrt(in_channels / groups * h * w).

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.Conv2d(3, 8, 3, padding=1)(rv.zeros(2, 3, 32, 32)).shape
    (2, 8, 32, 32)
    """

    ndim = 2


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W) or (C, D, H, W), as `Conv2d`."""

    ndim = 3


class _ConvTranspose(_ConvNd):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        name = type(self).__name__
        if padding_mode != "zeros" or isinstance(padding, str):
            raise DomainError(
                f"{name}: only padding_mode='zeros' with numbers is there, not {padding_mode!r}, {padding!r}"
            )
        self.output_padding = per_axis(name, "output_padding", output_padding, self.ndim, 0)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )

    def _output_padding(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """What makes the result as large as `output_size`, a size that the convolution would shrink to that of `input`."""
        if output_size is None:
            return self.output_padding
        name = type(self).__name__
        wanted = per_axis(name, "output_size", tuple(output_size)[-self.ndim :], self.ndim, 0)
        sizes = tuple(input.shape)[-self.ndim :]
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(sizes, self.stride, self.padding, self.dilation, self.kernel_size)
        )
        if any(not 0 <= w - low < max(s, d) for w, low, s, d in zip(wanted, least, self.stride, self.dilation)):
            raise ShapeError(
                f"{name}: output_size={wanted} must be from {least} to less than stride={self.stride} more"
            )
        return tuple(w - low for w, low in zip(wanted, least))

    def forward(self, input: Any, output_size: Any = None) -> Any:
        convolve = getattr(F, f"conv_transpose{self.ndim}d")
        extra = self._output_padding(input, output_size)
        return convolve(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of (N, C, L) or (C, L), as `ConvTranspose2d`."""

    ndim = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of Conv2d(out_channels, in_channels), with `weight` (in_channels, out_channels / groups, h, w): see
    `F.conv_transpose2d`. `forward(x, output_size=)` chooses among the sizes that Conv2d would shrink to x's.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)(rv.zeros(2, 8, 16, 16)).shape
    (2, 3, 32, 32)
    """

    ndim = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W), as `ConvTranspose2d`."""

    ndim = 3
