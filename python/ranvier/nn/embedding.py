"""Layers that look rows up in a table: Embedding, EmbeddingBag."""

from __future__ import annotations

from typing import Any

from ..core.context import no_grad
from ..core.errors import ShapeError
from ..core.tensor import as_tensor
from . import functional as F
from . import init
from ._new import new_parameter
from .embedding_functions import row_number
from .module import Module
from .parameter import Parameter

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """A table of rows, `weight`, that begin as standard normal numbers; 0 for row `padding_idx`."""

    def _make(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, weight: Any, device: Any, dtype: Any
    ) -> None:
        name = type(self).__name__
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        row = row_number(name, padding_idx, num_embeddings)
        self.padding_idx = None if padding_idx is None else row
        if weight is None:
            self.weight = new_parameter(name, (num_embeddings, embedding_dim), device, dtype)
            self.reset_parameters()
            return
        weight = as_tensor(weight)
        if tuple(weight.shape) != (num_embeddings, embedding_dim):
            raise ShapeError(f"{name}: weight{tuple(weight.shape)} must be {(num_embeddings, embedding_dim)}")
        self.weight = Parameter(weight)

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def extra_repr(self) -> str:
        said = [str(self.num_embeddings), str(self.embedding_dim)]
        usual = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": False}
        said += [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join(said)


def _sizes(name: str, embeddings: Any) -> tuple[int, int]:
    shape = tuple(embeddings.shape)
    if len(shape) != 2:
        raise ShapeError(f"{name}.from_pretrained: embeddings{shape} must be (num_embeddings, embedding_dim)")
    return shape


class Embedding(_Table):
    """Row i of `weight` (num_embeddings, embedding_dim) for each number i: (*) -> (*, embedding_dim); see `F.embedding`.

    The rows begin as standard normal numbers, row `padding_idx` as 0; it gets no gradient.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.Embedding(10, 3, padding_idx=0)(rv.tensor([[1, 2], [4, 0]])).shape
    (2, 2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, _weight: Any = None,
        _freeze: bool = False, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._make(num_embeddings, embedding_dim, padding_idx, _weight, device, dtype)
        if _freeze:
            self.weight.requires_grad = False

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
    ) -> Embedding:  # fmt: skip
        """A layer whose weight is `embeddings`, (num_embeddings, embedding_dim), not trained unless freeze=False."""
        rows, width = _sizes(cls.__name__, embeddings)
        options = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        return cls(rows, width, *options, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Any) -> Any:
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )


class EmbeddingBag(_Table):
    """Sum, mean or maximum of the rows of each bag of numbers, without the rows in between; see `F.embedding_bag`.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.EmbeddingBag(10, 3, mode="sum")(rv.tensor([1, 2, 4, 5]), rv.tensor([0, 3])).shape
    (2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: Any = None,
        include_last_offset: bool = False, padding_idx: int | None = None, device: Any = None, dtype: Any = None,
    ):  # fmt: skip
        self.max_norm, self.norm_type, self.mode = max_norm, norm_type, mode
        self.scale_grad_by_freq, self.sparse, self.include_last_offset = scale_grad_by_freq, sparse, include_last_offset
        self._make(num_embeddings, embedding_dim, padding_idx, _weight, device, dtype)

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:  # fmt: skip
        """A layer whose weight is `embeddings`, (num_embeddings, embedding_dim), not trained unless freeze=False."""
        rows, width = _sizes(cls.__name__, embeddings)
        options = (max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings, include_last_offset, padding_idx)
        layer = cls(rows, width, *options)
        layer.weight.requires_grad = not freeze
        return layer

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        return F.embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mode={self.mode!r}"
