"""Softmax over very many classes, of which few are frequent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import ops
from ..core.context import local
from ..core.errors import DTypeError, ShapeError
from ..ops.require import require
from . import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class AdaptiveLoss(NamedTuple):
    """Each target's log-probability, and the mean of their negatives."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes in clusters, and the loss of targets. Grave, Joulin, Cisse, Grangier and Jegou, 2017.

    log p(c) = head(x)[c] for the frequent classes, head(x)[cluster] + tail(x)[c] for the others. Classes are ordered from
    the most frequent to the rarest; only the clusters that occur in a batch are computed, in compiled functions all.

    Args:
        in_features, n_classes: sizes. cutoffs: increasing class numbers at which a cluster begins.
        div_value: cluster i reads in_features / div_value^(i+1) features. head_bias: whether the head has a bias.

    Shapes: input (N, in_features), target (N), or of one row (in_features) and (). Gives `output` (N), `loss` ().
    Errors: ShapeError, OutOfRangeError for targets outside [0, n_classes - 1].

    >>> import ranvier as rv
    >>> layer = AdaptiveLogSoftmaxWithLoss(8, 100, cutoffs=[10, 40])
    >>> output, loss = layer(rv.randn(3, 8), rv.tensor([0, 12, 99]))
    >>> layer.log_prob(rv.randn(3, 8)).shape
    (3, 100)
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        numbers = list(cutoffs)
        ordered = all(int(c) == c for c in numbers) and numbers == sorted(set(numbers))
        if not numbers or not ordered or numbers[0] < 1 or numbers[-1] > n_classes - 1:
            raise ValueError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs={numbers} must be increasing integers in [1, {n_classes - 1}]"
            )
        self.in_features, self.n_classes, self.div_value, self.head_bias = in_features, n_classes, div_value, head_bias
        self.cutoffs = [*numbers, n_classes]
        self.shortlist_size, self.n_clusters = numbers[0], len(numbers)
        self.head_size = self.shortlist_size + self.n_clusters
        options = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(self._clusters()):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **options), Linear(width, high - low, bias=False, **options)
                )
            )

    def _clusters(self) -> list[tuple[int, int]]:
        return list(zip(self.cutoffs, self.cutoffs[1:]))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for project, score in self.tail:
            project.reset_parameters()
            score.reset_parameters()

    def forward(self, input: Any, target: Any) -> AdaptiveLoss:
        shape, name = tuple(input.shape), "AdaptiveLogSoftmaxWithLoss"
        if len(shape) not in (1, 2) or tuple(target.shape) != shape[:-1] or shape[-1] != self.in_features:
            raise ShapeError(
                f"{name}: input{shape} and target{tuple(target.shape)} must be (N, {self.in_features}) and (N), or "
                f"({self.in_features}) and ()"
            )
        if target.dtype.kind not in "iu":
            raise DTypeError(f"{name}: target of dtype {target.dtype} must hold class numbers")
        inside = ops.logical_and(ops.ge(target, 0), ops.lt(target, self.n_classes))
        require(inside, target, f"{name}: targets must be in [0, {self.n_classes - 1}]", index=True)
        single = len(shape) == 1
        if single:
            input, target = input.unsqueeze(0), target.unsqueeze(0)
        place, output = target, None  # place: in the head
        for i, (low, high) in enumerate(self._clusters()):
            within = ops.logical_and(ops.ge(target, low), ops.lt(target, high))
            place = ops.where(within, self.shortlist_size + i, place)
            part = self._of_cluster(i, input, ops.clamp(target - low, 0, high - low - 1), within)
            if part is not None:
                output = part if output is None else output + part
        head = F.log_softmax(self.head(input), 1).gather(1, place.unsqueeze(1)).squeeze(1)
        output = head if output is None else head + output
        loss = -output.mean()
        return AdaptiveLoss(output.squeeze(0) if single else output, loss)

    def _of_cluster(self, i: int, input: Any, label: Any, within: Any) -> Any:
        """What cluster i adds to each row's log-probability: 0 where the target is not `within`; None where all are."""

        def scores(rows: Any, labels: Any) -> Any:
            return F.log_softmax(self.tail[i](rows), 1).gather(1, labels.unsqueeze(1)).squeeze(1)

        if local.tracer is not None:
            return ops.where(within, scores(input, label), 0.0)
        rows = ops.nonzero(within).squeeze(1)
        if not rows.shape[0]:
            return None
        part = scores(input.index_select(0, rows), label.index_select(0, rows))
        return ops.zeros(input.shape[0], dtype=part.dtype).index_add(0, rows, part)

    def log_prob(self, input: Any) -> Any:
        """The log-probabilities of all classes: (N, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            parts.append(F.log_softmax(tail(input), 1) + head[:, self.shortlist_size + i].unsqueeze(1))
        return ops.cat(parts, 1)

    def predict(self, input: Any) -> Any:
        """The most probable class of each row: (N)."""
        return self.log_prob(input).argmax(1)
