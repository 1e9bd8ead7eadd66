"""Sequences of labels without alignment: the loss, and reading what a network has recognised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..core.dtypes import int64, is_float
from ..core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError
from ..ops.ctc import ctc_op
from ..ops.public import Array
from ..ops.reduction import to_dtype
from ..ops.require import require
from ..ops.shape import beside
from .loss_functions import check_reduction

__all__ = ["ctc_loss"]


def ctc_loss(
    log_probs: Array,
    targets: Array,
    input_lengths: Array | Sequence[int],
    target_lengths: Array | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:
    """-log of the probability of `targets`, over all alignments with the frames of `log_probs`. Graves, 2006.

    An alignment has a label or `blank` at each frame; labels that follow each other count once, and blanks go.

    Args:
        log_probs: (T, N, C), or (T, C) of one sequence: logarithms of probabilities, as `log_softmax` gives.
        targets: (N, S), padded at the end; or all one behind the other, (sum of target_lengths).
        input_lengths, target_lengths: (N), tensors or numbers: frames and labels that count.
        blank: the class that stands for no label.
        reduction: "mean" divides each loss by its number of labels first.
        zero_infinity: sequences with fewer frames than their labels need have loss 0 and no gradient, not inf.

    The gradient is exact with respect to log_probs. PyTorch's is that behind a log_softmax: the same at its input.

    Errors: ShapeError, DTypeError; OutOfRangeError for lengths beyond T or S, and labels outside [0, C-1] or `blank`.

    >>> import ranvier as rv
    >>> log_probs = rv.tensor([[0.5, 0.5], [0.5, 0.5]]).log()  # two frames, one label: three of four paths
    >>> ctc_loss(log_probs, rv.tensor([1]), (2,), (1,)).exp().item()  # doctest: +ELLIPSIS
    1.333...
    """
    name = "ctc_loss"
    check_reduction(name, reduction)
    shape = tuple(log_probs.shape)
    single = len(shape) == 2
    if single:
        log_probs = ops.unsqueeze(log_probs, 1)
        targets = ops.unsqueeze(targets, 0) if targets.ndim == 1 else targets
    elif len(shape) != 3:
        raise ShapeError(f"{name}: log_probs{shape} must be (T, N, C) or (T, C)")
    if not is_float(log_probs.dtype):
        raise DTypeError(f"{name}: log_probs of dtype {log_probs.dtype} must be float32 or float64")
    frames, batch, classes = log_probs.shape
    if not frames or not batch:
        raise ShapeError(f"{name}: log_probs{shape} must not be empty")
    if not 0 <= blank < classes:
        raise OutOfRangeError(
            f"{name}: blank={blank} must be in [0, {classes - 1}]: log_probs{shape} has {classes} classes"
        )
    if targets.dtype.kind not in "iu":
        raise DTypeError(f"{name}: targets of dtype {targets.dtype} must hold integers")
    padded = targets.ndim == 2
    if targets.ndim not in (1, 2) or (padded and targets.shape[0] != batch):
        raise ShapeError(
            f"{name}: targets{tuple(targets.shape)} must be (N, S) or (sum of target_lengths), with N={batch} as in "
            f"log_probs{shape}"
        )
    targets = to_dtype(targets, int64)
    times = _lengths("input_lengths", input_lengths, batch, frames, log_probs)
    lengths = _lengths("target_lengths", target_lengths, batch, targets.shape[1] if padded else None, log_probs)
    good = ops.logical_and(ops.logical_and(ops.ge(targets, 0), ops.lt(targets, classes)), ops.ne(targets, blank))
    if padded:
        places = beside(np.arange(targets.shape[1]), log_probs)
        good = ops.logical_or(good, ops.ge(places, ops.unsqueeze(lengths, 1)))
    else:
        total = ops.sum(lengths)
        require(ops.eq(total, len(targets)), total, f"{name}: target_lengths must sum to the {len(targets)} targets")
    require(good, targets, f"{name}: labels must be in [0, {classes - 1}] and not blank={blank}", index=True)
    loss = ctc_op(log_probs, targets, times, lengths, blank=int(blank), zero_infinity=bool(zero_infinity))
    if reduction == "sum":
        return ops.sum(loss)
    if reduction == "mean":
        return ops.mean(ops.div(loss, ops.clamp(to_dtype(lengths, loss.dtype), min=1.0)))
    return ops.squeeze(loss, 0) if single else loss


def _lengths(what: str, given: Any, batch: int, most: int | None, like: Any) -> Any:
    """One length a sequence, int64, each in [0, most]."""
    lengths = given if hasattr(given, "dtype") else beside(np.asarray(given), like)
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise DTypeError(f"ctc_loss: {what} of dtype {lengths.dtype} must hold integers")
    lengths = to_dtype(ops.reshape(lengths, -1), int64)
    if lengths.shape[0] != batch:
        raise ShapeError(
            f"ctc_loss: {what} has {lengths.shape[0]} numbers, must have one for each of {batch} sequences"
        )
    holds = ops.ge(lengths, 0)
    if most is not None:
        holds = ops.logical_and(holds, ops.le(lengths, most))
    limits = "not be negative" if most is None else f"be in [0, {most}]"
    require(holds, lengths, f"ctc_loss: {what} must {limits}", index=True)
    return lengths


# ---------------------------------------------------------------- reading


def _frames(log_probs: Any, input_lengths: Any, blank: int) -> list[np.ndarray]:
    """The frames of each sequence, (frames, C)."""
    values = np.asarray(log_probs.detach().numpy() if hasattr(log_probs, "detach") else log_probs)
    if values.ndim not in (2, 3) or not 0 <= blank < values.shape[-1]:
        raise ShapeError(
            f"ctc: log_probs{values.shape} must be (T, N, C) or (T, C), and blank={blank} one of its C classes"
        )
    values = values[:, None] if values.ndim == 2 else values
    frames, batch = values.shape[:2]
    times = np.full(batch, frames) if input_lengths is None else np.reshape(np.asarray(input_lengths), -1)
    if len(times) != batch or times.min(initial=0) < 0 or times.max(initial=0) > frames:
        raise ShapeError(f"ctc: input_lengths={times.tolist()} must be {batch} numbers in [0, {frames}]")
    return [values[:time, n] for n, time in enumerate(times)]


def greedy_decode(log_probs: Any, input_lengths: Any = None, blank: int = 0) -> list[list[int]]:
    """The labels of the most likely path of each sequence: repetitions are one label, and blanks go.

    log_probs: (T, N, C) or (T, C); input_lengths: (N), all frames where it is None.

    >>> import numpy as np
    >>> from ranvier import nn
    >>> nn.ctc.greedy_decode(np.eye(3)[[1, 1, 0, 1, 2]])
    [[1, 1, 2]]
    """
    result = []
    for frames in _frames(log_probs, input_lengths, blank):
        path = frames.argmax(-1)
        starts = np.diff(path, prepend=blank) != 0
        result.append(path[starts & (path != blank)].tolist())
    return result


def beam_search(log_probs: Any, input_lengths: Any = None, blank: int = 0, beams: int = 8) -> list[list[int]]:
    """The most probable labels of each sequence, over all their paths, among `beams` beginnings kept at each frame.

    Shapes as for `greedy_decode`. Hannun, Maas, Jurafsky and Ng, 2014.

    >>> import numpy as np
    >>> from ranvier import nn
    >>> probs = np.array([[0.6, 0.4], [0.6, 0.4]])  # the best path is empty, three others give one label
    >>> nn.ctc.greedy_decode(np.log(probs)), nn.ctc.beam_search(np.log(probs))
    ([[]], [[1]])
    """
    if beams < 1:
        raise DomainError(f"beam_search: beams={beams} must be at least 1")
    return [
        _best_labels(frames.astype(np.float64), blank, beams) for frames in _frames(log_probs, input_lengths, blank)
    ]


def _best_labels(frames: np.ndarray, blank: int, beams: int) -> list[int]:
    """Of each beginning: the log-probabilities of its paths that end in blank, and of the others."""
    kept: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for frame in frames:
        found: dict[tuple[int, ...], list[float]] = {}

        def add(labels: tuple[int, ...], ending: int, value: float, found: dict = found) -> None:
            ends = found.setdefault(labels, [-np.inf, -np.inf])
            ends[ending] = np.logaddexp(ends[ending], value)

        for labels, (in_blank, in_label) in kept.items():
            both = np.logaddexp(in_blank, in_label)
            add(labels, 0, both + frame[blank])
            if labels:
                add(labels, 1, in_label + frame[labels[-1]])
            for label, value in enumerate(frame):
                if label != blank:
                    add((*labels, label), 1, (in_blank if labels and labels[-1] == label else both) + value)
        ranked = sorted(found.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))
        kept = {labels: (ends[0], ends[1]) for labels, ends in ranked[:beams]}
    return list(next(iter(kept)))
