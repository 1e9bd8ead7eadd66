"""Distributions of labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.errors import ShapeError
from ..nn.loss_functions import binary_cross_entropy_with_logits
from ..ops import arange, broadcast_tensors, clamp, log_softmax, logit, sigmoid, xlogy
from ..random import multinomial, rand
from ..tensor import Tensor
from .distribution import Distribution, parameters, require


def one_of(name: str, probs: Any, logits: Any) -> Tensor:
    """The parameter that was given; exactly one must be."""
    if (probs is None) == (logits is None):
        raise ValueError(f"{name}: give either probs or logits")
    return parameters(probs if logits is None else logits)[0]


class Categorical(Distribution):
    """Labels 0 to K - 1 with probabilities `probs` (..., K), which need not sum to 1, or softmax(`logits`).

    >>> import ranvier as rv
    >>> from ranvier.distributions import Categorical
    >>> Categorical(probs=rv.tensor([1.0, 3.0])).probs.tolist()
    [0.25, 0.75]
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        given = one_of("Categorical", probs, logits)
        if given.ndim < 1:
            raise ShapeError("Categorical: probs or logits must have an axis of categories, not shape ()")
        super().__init__(given.shape[:-1], (), validate_args)
        if self.validate_args and logits is None:
            require("Categorical", "probs", given, (given >= 0) & (given.sum(-1, keepdim=True) > 0), ">= 0, not all 0")
        elif self.validate_args:
            require("Categorical", "logits", given, given == given, "numbers, not nan")
        if logits is None:
            self.probs = given / given.sum(-1, keepdim=True)
            self.logits = log_of(self.probs)
        else:
            self.logits = log_softmax(given, -1)
            self.probs = self.logits.exp()
        self._num_events = given.shape[-1]
        self.rule = f"the labels 0 to {self._num_events - 1}"

    def support(self, value: Tensor) -> Tensor:
        return (value >= 0) & (value < self._num_events) & (value == value.long())

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        shape = self.extended(sample_shape)
        count = math.prod(shape) // max(math.prod(self.batch_shape), 1)
        drawn = multinomial(self.probs.detach().reshape(-1, self._num_events), count, replacement=True)
        return drawn.transpose(0, 1).reshape(shape)

    def log_prob(self, value: Any) -> Tensor:
        labels = self.value(value).long().unsqueeze(-1)
        labels, logits = broadcast_tensors(labels, self.logits)
        return logits.gather(-1, labels[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        return -xlogy(self.probs, self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Every label, along a new first axis."""
        labels = arange(self._num_events).reshape(-1, *(1 for _ in self.batch_shape))
        return labels.expand(-1, *self.batch_shape) if expand else labels

    @property
    def mode(self) -> Tensor:
        """The likeliest label."""
        return self.probs.argmax(-1)

    @property
    def param_shape(self) -> tuple[int, ...]:
        """The shape of probs and logits."""
        return tuple(self.probs.shape)

    @property
    def mean(self) -> Tensor:
        return self.probs.sum(-1) * math.nan  # labels have no mean

    @property
    def variance(self) -> Tensor:
        return self.probs.sum(-1) * math.nan


class Bernoulli(Distribution):
    """1 with probability `probs`, or sigmoid(`logits`), else 0.

    >>> from ranvier.distributions import Bernoulli
    >>> Bernoulli(probs=0.5).mean.item()
    0.5
    """

    rule = "0 and 1"

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        given = one_of("Bernoulli", probs, logits)
        super().__init__(given.shape, (), validate_args)
        if logits is None:
            if self.validate_args:
                require("Bernoulli", "probs", given, (given >= 0) & (given <= 1), "in [0, 1]")
            self.probs, self.logits = given, logit(clamp_probs(given))
        else:
            if self.validate_args:
                require("Bernoulli", "logits", given, given == given, "numbers, not nan")
            self.probs, self.logits = sigmoid(given), given

    def support(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        probs = self.probs.detach()
        return (rand(self.extended(sample_shape), dtype=probs.dtype) < probs).to(probs.dtype)

    def log_prob(self, value: Any) -> Tensor:
        logits, value = broadcast_tensors(self.logits, self.value(value).to(self.logits.dtype))
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)


def clamp_probs(probs: Tensor) -> Tensor:
    """`probs`, kept a rounding away from 0 and 1, so that logarithms stay finite."""
    eps = float(np.finfo(probs.dtype).eps)
    return clamp(probs, eps, 1 - eps)


def log_of(probs: Tensor) -> Tensor:
    """log(probs), finite."""
    return clamp_probs(probs).log()
