"""MultiheadAttention."""

from __future__ import annotations

from typing import Any

from ..core.errors import ShapeError
from . import functional as F
from . import init
from ._new import new_parameter
from .functions import check_probability
from .linear import Linear
from .module import Module

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention of `num_heads` heads: each takes embed_dim / num_heads features of the projected queries, keys and values,
    and a linear layer mixes what they give. Vaswani et al., 2017.

    Args:
        dropout: of the attention weights, in training.
        bias: projections have biases. add_bias_kv: one more key and value, learned. add_zero_attn: one more, of zeros.
        kdim, vdim: features of keys and of values; embed_dim where not given.
        batch_first: inputs and result are (N, L, E), else (L, N, E). Without a batch they are (L, E).

    Parameters: `in_proj_weight` (3 E, E), or `q_proj_weight`, `k_proj_weight` (E, kdim), `v_proj_weight` (E, vdim);
    `in_proj_bias` (3 E); `out_proj`; `bias_k`, `bias_v`.

    `layer(query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal)` returns the result
    and the weights, (N, L, S), the mean of all heads, or (N, heads, L, S); None without `need_weights`, which is faster and
    takes memory that is linear in L and S. Masks are True where a key is hidden, or numbers that are added to the scores:
    key_padding_mask (N, S), attn_mask (L, S) or (N heads, L, S). is_causal says that attn_mask is the causal one.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> x = rv.randn(2, 5, 8)
    >>> out, weights = nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> out.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        name = "MultiheadAttention"
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ShapeError(f"{name}: embed_dim={embed_dim} and num_heads={num_heads} must be positive, embed_dim a "
                             "multiple of num_heads")  # fmt: skip
        check_probability(name, dropout)
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self.head_dim, self.add_zero_attn = embed_dim // num_heads, add_zero_attn
        same = self.kdim == self.vdim == embed_dim
        shapes: dict[str, tuple[int, ...] | None] = {
            "q_proj_weight": None if same else (embed_dim, embed_dim),
            "k_proj_weight": None if same else (embed_dim, self.kdim),
            "v_proj_weight": None if same else (embed_dim, self.vdim),
            "in_proj_weight": (3 * embed_dim, embed_dim) if same else None,
            "in_proj_bias": (3 * embed_dim,) if bias else None,
        }
        for key, shape in shapes.items():
            self.register_parameter(key, None if shape is None else new_parameter(name, shape, device, dtype))
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        for key in ("bias_k", "bias_v"):
            made = new_parameter(name, (1, 1, embed_dim), device, dtype) if add_bias_kv else None
            self.register_parameter(key, made)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new initial values, but for out_proj.weight."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        return F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k,
            self.bias_v, self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias,
            training=self.training, key_padding_mask=key_padding_mask, need_weights=need_weights, attn_mask=attn_mask,
            use_separate_proj_weight=self.in_proj_weight is None, q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight, v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights, is_causal=is_causal, batch_first=self.batch_first,
        )  # fmt: skip
