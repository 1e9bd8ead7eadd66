"""Predictions of a model in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..compiling import CompiledFunction
from ..core.context import local, no_grad
from ..core.errors import TraceError
from ..core.recent import Recent
from ..core.tensor import from_numpy
from ..nn import Module
from ..tensor import Tensor


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode, and then training mode again where that was on."""
    mode = model.training
    if mode:
        model.eval()
    try:
        yield
    finally:
        if mode:
            model.train()


class Predictor:
    """Runs `model(x, ...)` in evaluation mode without gradients, compiled once per shape.

    A call with one array of a known shape goes straight to its compiled program.
    """

    max_shapes = 64
    many = 4  # blocks in a row that are worth laying weights out for

    def __init__(self, model: Module, compile: bool = True):
        self.model = model
        self._function = CompiledFunction(model, keeps="arguments") if compile else None
        self._known = Recent(self.max_shapes)  # (guards, trace): good in any mode

    def eager(self, arrays: tuple[np.ndarray, ...]) -> Any:
        """The model's output for `arrays`, as it is."""
        with evaluating(self.model), no_grad():
            return self.model(*map(from_numpy, arrays))

    def _trace(self, arrays: tuple[np.ndarray, ...], frozen: bool = False) -> Any:
        """The compiled model for arrays of these shapes, or None where it cannot be traced."""
        if self._function is None:
            return None
        try:
            with evaluating(self.model), no_grad():
                return self._function.find(arrays, {}, frozen, [])
        except TraceError:
            self._function = None
            return None

    def again(self, x: np.ndarray) -> Any:
        """Predictions for one array, if another of this shape and dtype has been seen; else None."""
        known = self._known[x.shape, x.dtype, local.backend]
        if known is None:
            return None
        guards, trace = known
        return trace.run((x,)) if guards.hold() else None

    def block(self, arrays: tuple[np.ndarray, ...]) -> Any:
        """Predictions for all rows at once, as an array, or a tuple of arrays for a model of several
        outputs.
        """
        trace = self._trace(arrays)
        if trace is None:
            return _to_numpy(self.eager(arrays))
        if len(arrays) == 1:
            self._known[arrays[0].shape, arrays[0].dtype, local.backend] = trace.guards.without_modes(), trace
        return trace.run(arrays)

    def rows(self, arrays: tuple[np.ndarray, ...], batch: int) -> Any:
        """Predictions for all rows, `batch` at a time."""
        count = len(arrays[0])
        if count <= batch:
            return self.block(arrays)
        blocks = [tuple(a[i : i + batch] for a in arrays) for i in range(0, count, batch)]
        full = count // batch
        trace = self._trace(blocks[0], frozen=True) if full >= self.many else None
        if trace is None:
            parts = [self.block(block) for block in blocks]
        else:
            trace.program.renew()
            parts = [trace.run(block) for block in blocks[:full]] + [self.block(block) for block in blocks[full:]]
        if isinstance(parts[0], tuple):
            return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
        return np.concatenate(parts)


def _to_numpy(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result.detach().numpy()
    if isinstance(result, (tuple, list)):
        return tuple(map(_to_numpy, result))
    return result
