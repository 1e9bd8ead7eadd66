"""Sequences of different lengths: padded to one length, or packed without padding.

A packed batch holds the first steps of all sequences, then the second steps of those that have one, and so on, longest
sequence first: `nn.RNN`, `nn.LSTM` and `nn.GRU` spend no work on padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError, TraceError
from ...core.tensor import TensorBase, from_numpy
from ...core.traced import is_traced
from ...ops.creation import full
from ...ops.index import index_select
from ...ops.join import cat, stack
from ...ops.join import pad as _pad
from ...ops.shape import reshape, transpose
from ...tensor import Tensor

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence",
    "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """A packed batch, as `pack_padded_sequence` and `pack_sequence` make it.

    data: (rows, ...), step after step. batch_sizes: how many sequences have each step, int64. sorted_indices: where the
    sequences were before they were sorted by length, or None; unsorted_indices: the way back.
    """

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def batch(self) -> int:
        """How many sequences there are."""
        if self.sorted_indices is not None:
            return self.sorted_indices.shape[0]
        return int(_values("PackedSequence", "batch_sizes", self.batch_sizes)[0])

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with `data.to(...)`."""
        return type(self)(self.data.to(*args, **kwargs), *self[1:])

    def float(self) -> PackedSequence:
        """The same with float32 data."""
        return type(self)(self.data.float(), *self[1:])

    def double(self) -> PackedSequence:
        """The same with float64 data."""
        return type(self)(self.data.double(), *self[1:])

    def cpu(self) -> PackedSequence:
        """This one: all tensors are in the CPU's memory."""
        return self

    @property
    def is_cuda(self) -> bool:
        return False


def _values(name: str, what: str, x: Any) -> np.ndarray:
    """The integers of `x`, which decide shapes."""
    if isinstance(x, TensorBase):
        if is_traced(x._data):
            raise TraceError(
                f"{name}: {what} decide shapes, so their values must be known when the function is traced: give them as a "
                "list or a tuple, or pack before"
            )
        x = x._data
    values = np.asarray(x)
    if values.ndim != 1 or values.size and values.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: {what} of shape {values.shape} and dtype {values.dtype} must be integers of one axis"
        )
    return values.astype(np.int64)


def invert_permutation(permutation: Any) -> Any:
    """p^-1, with p^-1[p[i]] = i; None of None."""
    if permutation is None:
        return None
    values = _values("invert_permutation", "permutation", permutation)
    inverse = np.empty_like(values)
    inverse[values] = np.arange(values.size)
    return from_numpy(inverse)


def _rows(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Step and sequence of each packed row, and the number of sequences of each step; lengths fall."""
    steps = np.arange(lengths.max(initial=0))
    present = steps[:, None] < lengths[None]
    step, sequence = np.nonzero(present)
    return step, sequence, present.sum(1)


def _check_lengths(name: str, lengths: np.ndarray, batch: int, longest: int, enforce_sorted: bool) -> None:
    if lengths.size != batch:
        raise ShapeError(f"{name}: {lengths.size} lengths must be one for each of the {batch} sequences")
    if batch == 0:
        raise ShapeError(f"{name}: there must be at least one sequence")
    wrong = np.flatnonzero((lengths < 1) | (lengths > longest))
    if wrong.size:
        raise OutOfRangeError(
            f"{name}: length {lengths[wrong[0]]} at position {wrong[0]} must be from 1 to the padded length {longest}"
        )
    if enforce_sorted and (np.diff(lengths) > 0).any():
        raise DomainError(
            f"{name}: lengths {lengths.tolist()} must fall where enforce_sorted=True; enforce_sorted=False sorts them"
        )


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """`input` without its padding.

    Args:
        input: (L, N, ...), or with `batch_first` (N, L, ...). lengths: of each sequence, from 1 to L; a list or an int64
            tensor. enforce_sorted: lengths fall; otherwise sequences are sorted, and layers give their results in the
            order of `input`.

    Raises OutOfRangeError for a length out of 1..L, DomainError for lengths that rise, ShapeError for too many or too few.

    >>> import ranvier as rv
    >>> from ranvier.nn.utils.rnn import pack_padded_sequence
    >>> packed = pack_padded_sequence(rv.tensor([[1, 2], [3, 4], [5, 0]]), [3, 2])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1, 2, 3, 4, 5], [2, 2, 1])
    """
    name = "pack_padded_sequence"
    if not isinstance(input, TensorBase) or input.ndim < 2:
        shape = tuple(getattr(input, "shape", ()))
        raise ShapeError(f"{name}: input{shape} must be a tensor of at least 2 axes, (L, N, ...) or (N, L, ...)")
    longest, batch = (input.shape[1], input.shape[0]) if batch_first else input.shape[:2]
    values = _values(name, "lengths", lengths)
    _check_lengths(name, values, batch, longest, enforce_sorted)
    order = np.arange(batch) if enforce_sorted else np.argsort(-values, kind="stable")
    step, sequence, sizes = _rows(values[order])
    sequence = order[sequence]
    rows = sequence * longest + step if batch_first else step * batch + sequence
    data = index_select(reshape(input, (longest * batch, *input.shape[2:])), 0, from_numpy(rows))
    return PackedSequence(data, from_numpy(sizes), None if enforce_sorted else from_numpy(order))


def _lengths(sizes: np.ndarray) -> np.ndarray:
    """The lengths of the sequences, in packed order."""
    return (np.arange(sizes.max(initial=0))[:, None] < sizes[None]).sum(1)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """(sequences, lengths): the inverse of `pack_padded_sequence`, with `padding_value` behind the shorter ones.

    total_length: pad to that length, at least that of the longest sequence.

    >>> import ranvier as rv
    >>> from ranvier.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> padded, lengths = pad_packed_sequence(pack_sequence([rv.tensor([1, 2, 3]), rv.tensor([4])]), batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    name = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise DTypeError(f"{name}: sequence of type {type(sequence).__name__} must be a PackedSequence")
    sizes = _values(name, "batch_sizes", sequence.batch_sizes)
    length = sizes.size if total_length is None else total_length
    if length < sizes.size:
        raise DomainError(f"{name}: total_length={length} must be at least the longest sequence's length, {sizes.size}")
    lengths = _lengths(sizes)
    if sequence.unsorted_indices is not None:
        back = _values(name, "unsorted_indices", sequence.unsorted_indices)
    else:
        back = np.arange(lengths.size)
    data = sequence.data
    starts = np.concatenate([[0], np.cumsum(sizes)])
    steps, places = np.arange(length)[:, None], back[None]
    inside = steps < lengths[back][None]
    rows = np.where(inside, starts[np.minimum(steps, max(sizes.size - 1, 0))] + places, data.shape[0])
    if batch_first:
        rows = rows.T
    if not inside.all():
        data = cat((data, full((1, *data.shape[1:]), padding_value, dtype=data.dtype)), 0)
    padded = index_select(data, 0, from_numpy(np.ascontiguousarray(rows).ravel()))
    return reshape(padded, (*rows.shape, *data.shape[1:])), from_numpy(lengths[back])


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (L_i, ...) as one tensor (longest, N, ...), or with `batch_first` (N, longest, ...), filled with
    `padding_value` behind the shorter ones, or with padding_side="left" before them.

    >>> import ranvier as rv
    >>> from ranvier.nn.utils.rnn import pad_sequence
    >>> pad_sequence([rv.tensor([1, 2, 3]), rv.tensor([4])], batch_first=True).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    name, items = "pad_sequence", _listed("pad_sequence", sequences)
    if padding_side not in ("right", "left"):
        raise DomainError(f"{name}: padding_side={padding_side!r} must be 'right' or 'left'")
    longest = max(x.shape[0] for x in items)

    def padded(x: Any) -> Any:
        missing = longest - x.shape[0]
        if not missing:
            return x
        before = [0, 0] * (x.ndim - 1)
        return _pad(x, before + ([0, missing] if padding_side == "right" else [missing, 0]), value=padding_value)

    out = stack([padded(x) for x in items], 0)
    return out if batch_first else transpose(out, 0, 1)


def _listed(name: str, sequences: Any) -> list[Any]:
    """The sequences, of one shape but for their lengths."""
    if not isinstance(sequences, Iterable):
        raise DTypeError(f"{name}: sequences of type {type(sequences).__name__} must be tensors")
    items = list(sequences)
    if not items:
        raise ShapeError(f"{name}: there must be at least one sequence")
    for k, x in enumerate(items):
        if not isinstance(x, TensorBase) or x.ndim == 0:
            raise DTypeError(
                f"{name}: sequences[{k}] of type {type(x).__name__} must be a tensor with an axis of steps"
            )
        if x.shape[1:] != items[0].shape[1:] or x.dtype != items[0].dtype:
            raise ShapeError(
                f"{name}: sequences[{k}] of {x.dtype}{tuple(x.shape)} must have the dtype and all axes but the first of "
                f"sequences[0], {items[0].dtype}{tuple(items[0].shape)}"
            )
    return items


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each of its own length: the inverse of `pad_sequence`.

    >>> import ranvier as rv
    >>> from ranvier.nn.utils.rnn import unpad_sequence
    >>> [x.tolist() for x in unpad_sequence(rv.tensor([[1, 2, 3], [4, 0, 0]]), [3, 1], batch_first=True)]
    [[1, 2, 3], [4]]
    """
    name = "unpad_sequence"
    x = padded_sequences if batch_first else transpose(padded_sequences, 0, 1)
    values = _values(name, "lengths", lengths)
    if values.size != x.shape[0]:
        raise ShapeError(f"{name}: {values.size} lengths must be one for each of the {x.shape[0]} sequences")
    return [x[k, : max(n, 0)] for k, n in enumerate(values.tolist())]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (L_i, ...) as a packed batch; enforce_sorted: as in `pack_padded_sequence`.

    >>> import ranvier as rv
    >>> from ranvier.nn.utils.rnn import pack_sequence
    >>> packed = pack_sequence([rv.tensor([4]), rv.tensor([1, 2, 3])], enforce_sorted=False)
    >>> packed.data.tolist(), packed.sorted_indices.tolist()
    ([1, 4, 2, 3], [1, 0])
    """
    name, items = "pack_sequence", _listed("pack_sequence", sequences)
    lengths = np.array([x.shape[0] for x in items], np.int64)
    _check_lengths(name, lengths, len(items), int(lengths.max()), enforce_sorted)
    order = np.arange(len(items)) if enforce_sorted else np.argsort(-lengths, kind="stable")
    step, sequence, sizes = _rows(lengths[order])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    data = index_select(cat(items, 0), 0, from_numpy(starts[order[sequence]] + step))
    return PackedSequence(data, from_numpy(sizes), None if enforce_sorted else from_numpy(order))


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in the order in which they were packed: the inverse of `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
