"""Distributions of real numbers."""

from __future__ import annotations

import math
from typing import Any

from ..ops import erf, log1p, where
from ..random import rand, randn
from ..tensor import Tensor
from .distribution import LOG_2PI, Distribution, parameters, require


class Normal(Distribution):
    """The normal distribution: density exp(-((x - loc) / scale)^2 / 2) / (scale sqrt(2 pi)).

    >>> from ranvier.distributions import Normal
    >>> round(Normal(0.0, 1.0).log_prob(0.0).item(), 4)
    -0.9189
    """

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None):
        self.loc, self.scale = parameters(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)
        if self.validate_args:
            require("Normal", "scale", self.scale, self.scale > 0, "> 0")
            require("Normal", "loc", self.loc, self.loc == self.loc, "numbers, not nan")

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return self.loc + self.scale * randn(self.extended(sample_shape), dtype=self.loc.dtype)

    def log_prob(self, value: Any) -> Tensor:
        z = (self.value(value) - self.loc) / self.scale
        return -0.5 * z * z - self.scale.log() - 0.5 * LOG_2PI

    def entropy(self) -> Tensor:
        return self.scale.log() + 0.5 * (1 + LOG_2PI)

    def cdf(self, value: Any) -> Tensor:
        return 0.5 * (1 + erf((self.value(value) - self.loc) / (self.scale * math.sqrt(2))))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The place of the greatest density."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale * self.scale


class Uniform(Distribution):
    """Numbers in [low, high), all equally likely: density 1 / (high - low)."""

    has_rsample = True
    rule = "[low, high]"

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None):
        self.low, self.high = parameters(low, high)
        super().__init__(self.low.shape, (), validate_args)
        if self.validate_args:
            require("Uniform", "high", self.high, self.low < self.high, "above low")

    def support(self, value: Tensor) -> Tensor:
        return (value >= self.low) & (value <= self.high)

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return self.low + (self.high - self.low) * rand(self.extended(sample_shape), dtype=self.low.dtype)

    def log_prob(self, value: Any) -> Tensor:
        value = self.value(value)
        inside = (value >= self.low) & (value < self.high)
        return where(inside, -(self.high - self.low).log(), -math.inf)

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()

    def cdf(self, value: Any) -> Tensor:
        return ((self.value(value) - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Any) -> Tensor:
        return self.low + (self.high - self.low) * value

    @property
    def mean(self) -> Tensor:
        return (self.low + self.high) / 2

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 / 12


class Exponential(Distribution):
    """Waiting times of rate `rate`: density rate exp(-rate x), x >= 0."""

    has_rsample = True
    rule = ">= 0"

    def __init__(self, rate: Any, validate_args: bool | None = None):
        (self.rate,) = parameters(rate)
        super().__init__(self.rate.shape, (), validate_args)
        if self.validate_args:
            require("Exponential", "rate", self.rate, self.rate > 0, "> 0")

    def support(self, value: Tensor) -> Tensor:
        return value >= 0

    def rsample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return -log1p(-rand(self.extended(sample_shape), dtype=self.rate.dtype)) / self.rate

    def log_prob(self, value: Any) -> Tensor:
        return self.rate.log() - self.rate * self.value(value)

    def entropy(self) -> Tensor:
        return 1 - self.rate.log()

    def cdf(self, value: Any) -> Tensor:
        return 1 - (-self.rate * self.value(value)).exp()

    def icdf(self, value: Any) -> Tensor:
        return -log1p(-parameters(value, self.rate)[0]) / self.rate

    @property
    def mean(self) -> Tensor:
        return 1 / self.rate

    @property
    def variance(self) -> Tensor:
        return 1 / (self.rate * self.rate)
