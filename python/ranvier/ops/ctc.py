"""Connectionist temporal classification: -log of the probability of all alignments of a sequence of labels.

Graves, Fernandez, Gomez and Schmidhuber, 2006. Labels are spread with blanks between them and at both ends; a path moves
by one state a frame, stays, or skips the blank between two labels that differ.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import int64, is_float
from ..core.errors import DTypeError, GradError, OutOfRangeError, ShapeError
from .record import Aval, Op, Sample, Spec
from .shape import unsqueeze

__all__: list[str] = []  # for nn


def _infer(
    log_probs: Aval, targets: Aval, input_lengths: Aval, target_lengths: Aval, *, training: bool, **attrs: Any
) -> Spec | list[Spec]:
    lengths = (tuple(input_lengths.shape), tuple(target_lengths.shape))
    if not is_float(log_probs.dtype) or any(a.dtype != int64 for a in (targets, input_lengths, target_lengths)):
        raise DTypeError(
            f"ctc_loss: log_probs of {log_probs.dtype} must be float32 or float64, targets of {targets.dtype}, "
            f"input_lengths of {input_lengths.dtype} and target_lengths of {target_lengths.dtype} int64"
        )
    batch = log_probs.shape[1] if len(log_probs.shape) == 3 else -1
    padded = len(targets.shape) == 2 and targets.shape[0] == batch
    if lengths != ((batch,),) * 2 or not (padded or len(targets.shape) == 1):
        raise ShapeError(
            f"ctc_loss: log_probs{log_probs.shape}, targets{targets.shape}, input_lengths{lengths[0]} and "
            f"target_lengths{lengths[1]} must be (T, N, C), (N, S) or (sum of the lengths), (N) and (N)"
        )
    loss = ((batch,), log_probs.dtype)
    return [loss, (tuple(log_probs.shape), log_probs.dtype)] if training else loss


def _in_range(what: str, n: int, value: int, high: int) -> None:
    if not 0 <= value <= high:
        raise OutOfRangeError(f"ctc_loss: {what} of sequence {n} is {value}, must be in [0, {high}]")


def _log_sum(xp: Any, *terms: Any) -> Any:
    top = xp.max(xp.stack(terms), axis=0)
    top = xp.where(top == -xp.inf, xp.zeros_like(top), top)
    return xp.log(sum(xp.exp(t - top) for t in terms)) + top


def _alignments(xp: Any, emitted: Any, extended: np.ndarray) -> tuple[Any, Any]:
    """The loss of one sequence and each state's probability at each frame, from what the states emit, (T, states).

    Two states stand before the first and two behind the last, so that a path begins and ends as it moves.
    """
    frames, states = emitted.shape
    closed = np.full(states + 2, -np.inf, emitted.dtype)  # 0 where a skip into the state, or from there, is open
    closed[3:states:2] = np.where(extended[3::2] == extended[1:-2:2], -np.inf, 0)
    closed[[1, states]] = 0
    never, start = xp.asarray([-xp.inf], dtype=emitted.dtype), xp.zeros(1, dtype=emitted.dtype)
    row, reached = xp.concat([never, start, xp.repeat(never, states)]), []
    for frame in range(frames):
        reached.append(_log_sum(xp, row[2:], row[1:-1], row[:-2] + closed[:-2]) + emitted[frame])
        row = xp.concat([never, never, reached[frame]])
    loss = -_log_sum(xp, row[-1], row[-2])
    row, shares = xp.concat([xp.repeat(never, states), start, never]), xp.zeros_like(emitted)
    for frame in reversed(range(frames)):
        after = _log_sum(xp, row[:-2], row[1:-1], row[2:] + closed[2:])
        shares[frame] = xp.exp(reached[frame] + after + loss)
        row = xp.concat([after + emitted[frame], never, never])
    return loss, shares


def _reference(
    xp: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, *, blank: int, zero_infinity: bool,
    training: bool,
) -> Any:  # fmt: skip
    frames, batch, classes = log_probs.shape
    loss, grad = xp.zeros(batch, dtype=log_probs.dtype), xp.zeros_like(log_probs)
    starts = np.cumsum(target_lengths) - target_lengths
    for n, (time, length) in enumerate(zip(input_lengths.tolist(), target_lengths.tolist(), strict=True)):
        _in_range("the input length", n, time, frames)
        room = targets.shape[1] if targets.ndim == 2 else max(targets.shape[0] - int(starts[n]), 0)
        _in_range("the target length", n, length, room)
        labels = targets[n, :length] if targets.ndim == 2 else targets[starts[n] : starts[n] + length]
        for label in labels.tolist():
            _in_range("a label", n, label, classes - 1)
        extended = np.full(2 * length + 1, blank)
        extended[1::2] = labels
        value, shares = _alignments(xp, log_probs[:time, n, extended], extended)
        if zero_infinity and value == math.inf:
            continue
        loss[n] = value
        np.subtract.at(grad[:, n], np.ix_(np.arange(time), extended), shares)
    return (loss, grad) if training else loss


def _vjp(g: tuple, out: tuple, log_probs: Any, *more: Any, **attrs: Any) -> tuple:
    if g[1] is not None:
        raise GradError("ctc_loss: there is no second derivative")
    return (None if g[0] is None else out[1] * unsqueeze(g[0], -1), *(None for _ in more))


def _log_softmax(shape: tuple[int, ...], seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape)
    return (x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(np.float32)


def _sample(shape: tuple, targets: list, input_lengths: list, target_lengths: list, **attrs: Any) -> Sample:
    return Sample((shape, *(np.array(a, np.int64) for a in (targets, input_lengths, target_lengths))), attrs)


ctc_op = Op(
    "ctc_loss",
    kind="kernel",
    attrs={"blank": 0, "zero_infinity": False, "training": False},
    extras=1,
    infer=_infer,
    reference=_reference,
    vjp=_vjp,
    saves="o1",
    encode=lambda *avals, blank, zero_infinity, training: {"blank": blank, "zero_infinity": zero_infinity},
    domain=(-3.0, 0.0),
    max_ulp=64.0,
    terms=lambda log_probs, *more, **attrs: 8 * log_probs.shape[0],
    flops=lambda log_probs, targets, *more, **attrs: (
        40 * log_probs.shape[0] * (2 * math.prod(targets.shape) + log_probs.shape[1])
    ),
    samples=(
        _sample((7, 2, 5), [[1, 2, 2], [4, 3, 1]], [7, 6], [3, 2]),  # a label twice
        _sample((6, 3, 4), [3, 1, 2], [6, 4, 5], [1, 0, 2]),  # one behind the other; none of one
        _sample((4, 2, 4), [[0, 1], [2, 2]], [4, 4], [2, 2], blank=3),
        _sample((4, 2, 4), [[1, 1, 2], [2, 3, 1]], [3, 4], [3, 3], zero_infinity=True),  # the first does not fit
        _sample((50, 2, 30), [list(range(1, 25)), list(range(24, 0, -1))], [50, 41], [24, 18]),
        _sample((3, 1, 2), [[]], [3], [0]),
    ),
    doc="-log of the probability that each sequence emits its labels; for the gradient also that of the loss",
)
