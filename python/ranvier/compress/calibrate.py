"""The range of what goes into each layer, over sample data."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.context import no_grad
from ..core.errors import DomainError
from ..nn import Module
from ..train.predictor import evaluating

METHODS = ("minmax", "percentile", "entropy")
_BINS, _LEVELS = 2048, 128  # of a histogram of magnitudes; that bytes tell apart on one side


class _Seen:
    """What has gone into a layer: the extremes, and in a second pass how often each magnitude occurs."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.counts = np.zeros(_BINS)

    def extremes(self, x: np.ndarray) -> None:
        if x.size:
            self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))

    def magnitudes(self, x: np.ndarray) -> None:
        if self.most > 0:
            self.counts += np.histogram(np.abs(x), _BINS, (0, self.most))[0]

    @property
    def most(self) -> float:
        return max(abs(self.low), abs(self.high))

    def within(self, limit: float) -> tuple[float, float]:
        return max(self.low, -limit), min(self.high, limit)


def _percentile(counts: np.ndarray, percentile: float) -> int:
    """How many bins hold that share of all magnitudes."""
    shares = np.cumsum(counts) / max(counts.sum(), 1)
    return int(np.searchsorted(shares, percentile / 100)) + 1


def _entropy(counts: np.ndarray) -> int:
    """How many bins to keep so that the distribution, cut there and told apart in 128 steps, is nearest to the true one: the
    least Kullback-Leibler divergence sum p log(p / q) (Migacz, 8-bit inference with TensorRT, GTC 2017).
    """
    counts = counts.copy()
    counts[0] = counts[1]  # zeros are stored exactly, however many there are
    best, chosen = np.inf, _BINS
    for kept in range(_LEVELS, _BINS + 1, 16):
        p = counts[:kept].copy()
        p[-1] += counts[kept:].sum()  # what lies behind is stored as the last step
        step = np.arange(kept) * _LEVELS // kept
        filled = counts[:kept] > 0
        sums = np.bincount(step, counts[:kept], _LEVELS)
        members = np.bincount(step, filled, _LEVELS)
        q = np.where(filled, (sums / np.maximum(members, 1))[step], 0)
        if not p.sum() or not q.sum():
            continue
        p, q = p / p.sum(), q / q.sum()
        where = p > 0
        divergence = float((p[where] * np.log(p[where] / np.maximum(q[where], 1e-12))).sum())
        if divergence < best:
            best, chosen = divergence, kept
    return chosen


def input_ranges(
    model: Module, layers: dict[str, Module], batches: list[tuple[Any, ...]], method: str, percentile: float
) -> dict[str, tuple[float, float]]:
    """Low and high of what goes into each of `layers` that is called, by name."""
    if method not in METHODS:
        raise DomainError(f"quantize: calibration={method!r} must be one of {', '.join(map(repr, METHODS))}")
    if not 0 < percentile <= 100:
        raise DomainError(f"quantize: percentile={percentile} must be in (0, 100]")
    seen = {name: _Seen() for name in layers}

    def run(take: Any) -> None:
        handles = [
            layer.register_forward_pre_hook(lambda _, args, name=name: take(seen[name], args[0].numpy()))
            for name, layer in layers.items()
        ]
        try:
            with evaluating(model), no_grad():
                for batch in batches:
                    model(*batch)
        finally:
            for handle in handles:
                handle.remove()

    run(_Seen.extremes)
    called = {name: s for name, s in seen.items() if s.low <= s.high}
    for name, s in called.items():
        if not np.isfinite(s.most):
            raise DomainError(f"quantize: calibration: what goes into layer {name!r} reaches {s.most}")
    if method == "minmax":
        return {name: (s.low, s.high) for name, s in called.items()}
    run(_Seen.magnitudes)
    ranges = {}
    for name, s in called.items():
        kept = _percentile(s.counts, percentile) if method == "percentile" else _entropy(s.counts)
        ranges[name] = s.within(s.most * kept / _BINS)
    return ranges
