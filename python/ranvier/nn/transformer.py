"""Transformer, its encoder and decoder, and their layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..core.dtypes import get_default_dtype
from ..core.errors import DomainError, ShapeError
from ..core.traced import is_traced
from . import functional as F
from . import init
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .functions import dropped_in_time
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

__all__ = [
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer",
]  # fmt: skip

_ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


def _activation(layer: str, activation: Any) -> Any:
    if not isinstance(activation, str):
        return activation
    if activation not in _ACTIVATIONS:
        raise DomainError(f"{layer}: activation={activation!r} must be 'relu', 'gelu' or a function")
    return _ACTIVATIONS[activation]


def _is_causal(mask: Any, said: bool | None) -> bool:
    """What is said of a mask, or what it shows where nothing is said and its values can be read: the causal one is quicker
    as an option than as a mask, and gives the same bits."""
    if said is not None or mask is None or is_traced(getattr(mask, "_data", mask)):
        return bool(said)
    values = np.asarray(mask.detach() if hasattr(mask, "detach") else mask)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        return False
    hidden = np.triu(np.ones(values.shape, bool), 1)
    return bool(np.array_equal(values, hidden if values.dtype == bool else np.where(hidden, -np.inf, 0.0)))


class _Layer(Module):
    """Sublayers around each of which x goes on: norm(x + sublayer(x)), or x + sublayer(norm(x)) with norm_first."""

    norm_first: bool
    activation: Any

    def _around(self, x: Any, norm: Any, sublayer: Callable[[Any], Any]) -> Any:
        return ops.add(x, sublayer(norm(x))) if self.norm_first else norm(ops.add(x, sublayer(x)))

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers with an activation between; each with a residual connection, layer norm and
    dropout. Vaswani et al., 2017.

    Args:
        d_model, nhead: features, and heads of the attention. dim_feedforward: features between the linear layers.
        activation: "relu", "gelu" or a function. norm_first: x + sublayer(norm(x)) instead of norm(x + sublayer(x)).
        batch_first: (N, S, E) instead of (S, N, E).

    `layer(src, src_mask, src_key_padding_mask, is_causal)`: masks as in `MultiheadAttention`.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.TransformerEncoderLayer(8, 2, batch_first=True)(rv.randn(3, 5, 8)).shape
    (3, 5, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: Any = F.relu,
        layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        new: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **new)
        self.linear1 = Linear(d_model, dim_feedforward, **new)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **new)
        self.norm_first = norm_first
        self.norm1, self.norm2 = (LayerNorm(d_model, eps=layer_norm_eps, **new) for _ in range(2))
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _activation("TransformerEncoderLayer", activation)

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        def attend(x: Any) -> Any:
            out, _ = self.self_attn(
                x, x, x, attn_mask=src_mask, key_padding_mask=src_key_padding_mask, need_weights=False,
                is_causal=is_causal,
            )  # fmt: skip
            return dropped_in_time(self.dropout1, out, self.self_attn.batch_first)

        x = self._around(src, self.norm1, attend)
        return self._around(x, self.norm2, lambda x: self.dropout2(self._feed_forward(x)))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's result (`memory`), then two linear layers; see `TransformerEncoderLayer`.

    `layer(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
    memory_is_causal)`: masks as in `MultiheadAttention`.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.TransformerDecoderLayer(8, 2)(rv.randn(5, 3, 8), rv.randn(7, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: Any = F.relu,
        layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        new: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.self_attn, self.multihead_attn = (
            MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **new) for _ in range(2)
        )
        self.linear1 = Linear(d_model, dim_feedforward, **new)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **new)
        self.norm_first = norm_first
        self.norm1, self.norm2, self.norm3 = (LayerNorm(d_model, eps=layer_norm_eps, **new) for _ in range(3))
        self.dropout1, self.dropout2, self.dropout3 = Dropout(dropout), Dropout(dropout), Dropout(dropout)
        self.activation = _activation("TransformerDecoderLayer", activation)

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None, tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        def attend(x: Any) -> Any:
            out, _ = self.self_attn(
                x, x, x, attn_mask=tgt_mask, key_padding_mask=tgt_key_padding_mask, need_weights=False,
                is_causal=tgt_is_causal,
            )  # fmt: skip
            return dropped_in_time(self.dropout1, out, self.self_attn.batch_first)

        def remember(x: Any) -> Any:
            out, _ = self.multihead_attn(
                x, memory, memory, attn_mask=memory_mask, key_padding_mask=memory_key_padding_mask, need_weights=False,
                is_causal=memory_is_causal,
            )  # fmt: skip
            return dropped_in_time(self.dropout2, out, self.multihead_attn.batch_first)

        x = self._around(tgt, self.norm1, attend)
        x = self._around(x, self.norm2, remember)
        return self._around(x, self.norm3, lambda x: self.dropout3(self._feed_forward(x)))


class _Stack(Module):
    """Copies of a layer, one after the other, then `norm` if there is one."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None = None):
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def _through(self, x: Any, *inputs: Any, **options: Any) -> Any:
        for layer in self.layers:
            x = layer(x, *inputs, **options)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """`num_layers` copies of an encoder layer, then `norm`. All begin with the weights of `encoder_layer`.

    enable_nested_tensor and mask_check are taken for PyTorch's sake. With is_causal=None a mask whose values can be read is
    compared with the causal one, which is quicker than others.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), num_layers=2)
    >>> encoder(rv.randn(5, 3, 8), mask=nn.Transformer.generate_square_subsequent_mask(5)).shape
    (5, 3, 8)
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ):  # fmt: skip
        super().__init__(encoder_layer, num_layers, norm)
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        causal = _is_causal(mask, is_causal)
        return self._through(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=causal)


class TransformerDecoder(_Stack):
    """`num_layers` copies of a decoder layer, then `norm`. All begin with the weights of `decoder_layer`.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2), num_layers=2)
    >>> decoder(rv.randn(5, 3, 8), rv.randn(7, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None):
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        return self._through(
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=_is_causal(tgt_mask, tgt_is_causal),
            memory_is_causal=memory_is_causal,
        )  # fmt: skip


class Transformer(Module):
    """An encoder and a decoder that attends to what it gives. Vaswani et al., 2017.

    Matrices begin by Xavier's uniform rule. `model(src, tgt, src_mask, tgt_mask, memory_mask, src_key_padding_mask,
    tgt_key_padding_mask, memory_key_padding_mask, src_is_causal, tgt_is_causal, memory_is_causal)`: (T, N, E), or (N, T, E)
    with batch_first; masks as in `MultiheadAttention`.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> model = nn.Transformer(8, 2, 1, 1, dim_feedforward=16, batch_first=True)
    >>> model(rv.randn(3, 7, 8), rv.randn(3, 5, 8), tgt_mask=model.generate_square_subsequent_mask(5)).shape
    (3, 5, 8)
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: Any = F.relu, custom_encoder: Any = None,
        custom_decoder: Any = None, layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)
        new: dict[str, Any] = {"device": device, "dtype": dtype}

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **new)

        if custom_encoder is None:
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(*options, **new), num_encoder_layers, norm())
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(*options, **new), num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None, memory_mask: Any = None,
        src_key_padding_mask: Any = None, tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        axis = 0 if self.batch_first else 1
        fits = src.shape[-1] == tgt.shape[-1] == self.d_model and len(src.shape) == len(tgt.shape)
        if not fits or len(src.shape) == 3 and src.shape[axis] != tgt.shape[axis]:
            order = "(N, T, E)" if self.batch_first else "(T, N, E)"
            raise ShapeError(
                f"Transformer: src{tuple(src.shape)} and tgt{tuple(tgt.shape)} must be {order} of one batch, or (T, E), "
                f"with E = d_model={self.d_model}"
            )
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask, tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask, tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """(sz, sz) of 0, and -inf above the diagonal: position i sees positions 0 to i.

        >>> from ranvier import nn
        >>> nn.Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        dtype = get_default_dtype() if dtype is None else dtype
        return ops.triu(ops.full((sz, sz), float("-inf"), dtype=dtype, device=device), 1)

    def _reset_parameters(self) -> None:
        """Draw new initial values of all matrices."""
        for p in self.parameters():
            if len(p.shape) > 1:
                init.xavier_uniform_(p)
