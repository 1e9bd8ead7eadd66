"""Layers with weights of 8 or 4 bits: what `quantize` puts in place of linear layers and convolutions.

Weights lie packed, in the order in which the kernels read them (ops/int8.py); `dequantized` gives them as they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import DTypeError, StateError
from ..core.memory import aligned_full
from ..core.tensor import as_tensor, from_numpy
from ..nn import Linear, Module, Parameter
from ..nn import functional as F
from ..ops import int8
from ..ops.shape import squeeze, unsqueeze
from ..tensor import Tensor


def hold(layer: Module, **arrays: np.ndarray | None) -> None:
    """Make copies of `arrays` buffers of `layer`."""
    for name, array in arrays.items():
        if array is None:
            layer.register_buffer(name, None)
            continue
        held = aligned_full(array.shape, 0, array.dtype)
        np.copyto(held, array)
        layer.register_buffer(name, from_numpy(held))


class QuantizedLayer(Module):
    """What they have in common.

    weight: the bytes, packed. scale: of each row of the weights. bias: float32, or None.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None
    activations: str  # "int8", "dynamic" or "float32"

    def dequantized(self) -> np.ndarray:
        """The weights as float32, in the shape of the layer's that this one replaced."""
        raise NotImplementedError


def _bytes_of(w: np.ndarray, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    """(O, ...) as int8 of -127 to 127, and the scale of each row."""
    most = np.abs(w.reshape(w.shape[0], -1)).max(1, initial=0) if per_channel else np.full(
        w.shape[0], np.abs(w).max(initial=0), np.float32
    )  # fmt: skip
    scale = np.where(most > 0, most / np.float32(127), np.float32(1)).astype(np.float32)
    return np.rint(w / scale.reshape(-1, *(1,) * (w.ndim - 1))).clip(-127, 127).astype(np.int8), scale


def stored_range(low: float, high: float) -> np.ndarray:
    """Scale and zero with which bytes store `low` to `high`."""
    scale, _, zero = int8.between(np.float32(min(low, 0)), np.float32(max(high, 0)))
    return np.array([scale if scale > 0 else 1, zero], np.float32)


def _float32_weight(layer: Module) -> np.ndarray:
    w = layer.weight.detach().numpy()
    if w.dtype != np.float32:
        raise DTypeError(
            f"quantize: weights of {type(layer).__name__} are {w.dtype}; quantised layers compute in float32"
        )
    if not np.isfinite(w).all():
        raise StateError(f"quantize: weights{w.shape} of {type(layer).__name__} have NaN or infinite values")
    return w


def _bias_of(layer: Module) -> np.ndarray | None:
    return None if layer.bias is None else layer.bias.detach().numpy()


class _ProductLayer(QuantizedLayer):
    """Its input is stored as bytes too: by a range that calibration has found, or each time by its own."""

    sums: Tensor
    input_range: Tensor | None  # scale and zero; None: dynamic

    def _quantize(self, layer: Module, stored: np.ndarray | None, per_channel: bool) -> None:
        w, scale = _bytes_of(_float32_weight(layer), per_channel)
        sums = w.reshape(w.shape[0], -1).sum(1, dtype=np.int32)
        hold(self, weight=self._packed(w), scale=scale, sums=sums, input_range=stored, bias=_bias_of(layer))
        self.activations = "dynamic" if stored is None else "int8"

    def _packed(self, w: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _operands(self, input: Any) -> tuple:
        operands = input, self.weight, self.scale, self.sums
        if self.input_range is not None:
            operands = *operands, self.input_range  # type: ignore[assignment]
        return operands if self.bias is None else (*operands, self.bias)

    def _flags(self) -> dict[str, bool]:
        return {"fixed": self.input_range is not None, "bias": self.bias is not None}


class QuantizedLinear(_ProductLayer):
    """y = x @ weight.T + bias in exact sums of products of bytes."""

    def __init__(self, layer: Linear, stored: np.ndarray | None = None, per_channel: bool = True):
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._quantize(layer, stored, per_channel)

    def _packed(self, w: np.ndarray) -> np.ndarray:
        return int8.pack(w)

    def dequantized(self) -> np.ndarray:
        w = int8.unpack(self.weight.numpy(), self.out_features)[:, : self.in_features]
        return w * self.scale.numpy()[:, None]

    def forward(self, input: Any) -> Any:
        return int8.int8_linear(*self._operands(input), **self._flags())

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"activations={self.activations}"
        )


class QuantizedConv(_ProductLayer):
    """A convolution in exact sums of products of bytes."""

    def __init__(self, layer: Any, stored: np.ndarray | None = None, per_channel: bool = True):
        self.in_channels, self.out_channels, self.groups = layer.in_channels, layer.out_channels, layer.groups
        self.kernel_size, self.stride, self.dilation = layer.kernel_size, layer.stride, layer.dilation
        self.around: Any = None  # what lies around the images where it is not zeros alike on both sides
        self.padding_mode = layer.padding_mode
        around = layer.around()
        if layer.padding_mode == "zeros" and around[0::2] == around[1::2]:
            self.padding = tuple(around[-2::-2])
        else:
            self.padding, self.around = (0,) * layer.ndim, around
        self._quantize(layer, stored, per_channel)

    def _packed(self, w: np.ndarray) -> np.ndarray:
        return int8.pack_kernels(w, self.dilation, self.groups)

    def dequantized(self) -> np.ndarray:
        w = int8.unpack_kernels(
            self.weight.numpy(), self.out_channels, self.in_channels // self.groups, self.kernel_size, self.dilation
        )
        return w * self.scale.numpy().reshape(-1, *(1,) * (w.ndim - 1))

    def forward(self, input: Any) -> Any:
        alone = input.ndim == len(self.kernel_size) + 1
        if alone:
            input = unsqueeze(input, 0)
        if self.around is not None:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            input = F.pad(input, self.around, mode=mode)
        out = int8.int8_convolve(
            *self._operands(input), **self._flags(), kernel=self.kernel_size, stride=self.stride, padding=self.padding,
            dilation=self.dilation, groups=self.groups,
        )  # fmt: skip
        return squeeze(out, 0) if alone else out

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, activations={self.activations}"
        )


class PackedLinear(QuantizedLayer):
    """y = x @ weight.T + bias with weights of 8 or 4 bits that share a scale in groups, and x in 16 bits: for layers that
    one row or a few go through, where reading the weights is all the work.
    """

    activations = "float32"

    def __init__(self, layer: Linear, bits: int = 8, group_size: int | None = None):
        self.in_features, self.out_features, self.bits = layer.in_features, layer.out_features, bits
        whole = -(-max(layer.in_features, 1) // 8) * 8
        self.group_size = whole if group_size is None else min(group_size, whole)
        w, most = _float32_weight(layer), 127 if bits == 8 else 7
        padded = np.pad(w, ((0, 0), (0, -w.shape[1] % self.group_size)))
        groups = padded.reshape(w.shape[0], -1, self.group_size)
        largest = np.abs(groups).max(2, initial=0)
        scale = np.where(largest > 0, largest / np.float32(most), np.float32(1)).astype(np.float32)
        q = np.rint(groups / scale[:, :, None]).clip(-most, most).astype(np.int8)
        q = q.reshape(padded.shape)[:, : w.shape[1]]
        packed = int8.pack(q) if bits == 8 else int8.pack_halves(q)
        hold(
            self, weight=packed, scale=int8.pack_scales(scale), group=np.array([self.group_size]), bias=_bias_of(layer)
        )

    def dequantized(self) -> np.ndarray:
        unpack = int8.unpack if self.bits == 8 else int8.unpack_halves
        w = unpack(self.weight.numpy(), self.out_features)[:, : self.in_features]
        scale = self.scale.numpy()
        rows = np.swapaxes(scale, 1, 2).reshape(-1, scale.shape[1])[: self.out_features]
        return w * np.repeat(rows, self.group_size, axis=1)[:, : self.in_features]

    def forward(self, input: Any) -> Any:
        operands = (
            (input, self.weight, self.scale) if self.bias is None else (input, self.weight, self.scale, self.bias)
        )
        return int8.packed_linear(
            *operands, bits=self.bits, group=self.group_size, features=self.out_features, bias=self.bias is not None
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"bits={self.bits}, group_size={self.group_size}"
        )


def restored(layer: Any, state: dict[str, Any]) -> QuantizedLayer:
    """The quantised layer in place of `layer` that has the arrays `state`, by the names of its buffers."""
    if ("bias" in state) != (layer.bias is not None):  # a folded batch norm has brought one
        layer.bias = Parameter(as_tensor(state["bias"])) if "bias" in state else None
    if isinstance(layer, Linear):
        if "sums" in state:
            made: QuantizedLayer = QuantizedLinear(layer, state.get("input_range"))
        else:
            bits = 8 if state["weight"].shape[1] == -(-layer.in_features // 4) else 4
            made = PackedLinear(layer, bits, int(state["group"][0]))
    else:
        made = QuantizedConv(layer, state.get("input_range"))
    made.load_state_dict(state)
    return made
