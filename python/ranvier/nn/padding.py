"""Layers that put a border around their input."""

from __future__ import annotations

from typing import Any

from ..core.errors import ShapeError
from ..ops.convolution import per_axis
from . import functional as F
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """`padding`: one size for all sides, or (before, after) of the last axis, then of the one before it."""

    ndim: int
    mode: str

    def __init__(self, padding: Any):
        self.padding = per_axis(type(self).__name__, "padding", padding, 2 * self.ndim, -(2**31))

    def forward(self, input: Any) -> Any:
        if len(input.shape) not in (self.ndim + 1, self.ndim + 2):
            raise ShapeError(
                f"{type(self).__name__}: x{tuple(input.shape)} must have {self.ndim + 2} axes (N, C, ...) or "
                f"{self.ndim + 1} (C, ...)"
            )
        return F.pad(input, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return F.pad(input, self.padding, value=self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class CircularPad1d(_Pad):
    """A border around the last axis that continues with the other end."""

    ndim = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """A border around the last two axes that continues with the other end."""

    ndim = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """A border around the last three axes that continues with the other end."""

    ndim = 3
    mode = "circular"


class ConstantPad1d(_ConstantPad):
    """A border around the last axis that is `value`."""

    ndim = 1


class ConstantPad2d(_ConstantPad):
    """A border around the last two axes that is `value`."""

    ndim = 2


class ConstantPad3d(_ConstantPad):
    """A border around the last three axes that is `value`."""

    ndim = 3


class ReflectionPad1d(_Pad):
    """A border around the last axis that mirrors the input, without its edge."""

    ndim = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """A border around the last two axes that mirrors the input, without its edge."""

    ndim = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """A border around the last three axes that mirrors the input, without its edge."""

    ndim = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """A border around the last axis that repeats the edge."""

    ndim = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """A border around the last two axes that repeats the edge."""

    ndim = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """A border around the last three axes that repeats the edge."""

    ndim = 3
    mode = "replicate"


class ZeroPad1d(_ZeroPad):
    """A border around the last axis that is 0."""

    ndim = 1


class ZeroPad2d(_ZeroPad):
    """A border around the last two axes that is 0."""

    ndim = 2


class ZeroPad3d(_ZeroPad):
    """A border around the last three axes that is 0."""

    ndim = 3
