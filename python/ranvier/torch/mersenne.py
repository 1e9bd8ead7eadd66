"""PyTorch's CPU generator, number for number: the same seed gives the same weights, masks, orders and samples.

The words are those of MT19937 (Matsumoto and Nishimura 1998) seeded by the lower 32 bits of the seed. What is made of them,
as measured on PyTorch 2.13:

- float32 in [0, 1): the lower 24 bits of a word; float64: the lower 53 bits of two, the first above the second;
- normal, fewer than 16: Box and Muller's pairs in float64, of which the second is kept for the next call; from 16 on: a
  uniform number for each, blocks of 16 become 8 pairs, and the last 16 are drawn again where they are not a whole block;
- bernoulli: a float64 is below p; integers: a word modulo the range, two words where the range needs more than 32 bits;
- a permutation: Fisher and Yates' exchanges from the front, each by a word modulo what is left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.context import local
from ..core.dtypes import float32, float64, int64
from ..core.errors import ShapeError
from ..core.tensor import from_numpy
from ..ops.record import Op
from ..tensor import Tensor

_WORDS, _BLOCK = 624, 16


class Mersenne:
    """A stream of PyTorch's numbers; see `random.Philox` for what a stream is asked. It has no keys."""

    pytorch = True

    def __init__(self) -> None:
        self._bits = np.random.MT19937()
        self._seed = 0
        self._spare: float | None = None  # the second of a pair of normal numbers

    def start(self, seed: int) -> None:
        """Begin the stream of a seed."""
        self._seed, self._spare = seed, None
        self._bits._legacy_seeding(seed % 2**32)  # type: ignore[attr-defined]

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """Where the stream is: its words, the position among them, the seed, and the spare normal number."""
        state = self._bits.state["state"]
        spare = np.array([0.0 if self._spare is None else self._spare]).view(int64)
        seed = (self._seed + 2**63) % 2**64 - 2**63
        return np.concatenate([state["key"].astype(int64), [state["pos"], seed, self._spare is not None], spare])

    def set_state(self, array: np.ndarray, name: str = "set_state") -> None:
        """Go on where `get_state` was taken; `name` asks for it."""
        if array.shape != (_WORDS + 4,) or array.dtype != int64:
            raise ShapeError(
                f"{name}: {array.dtype}{array.shape} must be int64({_WORDS + 4},), the state of a generator"
            )
        position, seed, has_spare = map(int, array[_WORDS : _WORDS + 3])
        key = array[:_WORDS].astype(np.uint32)
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}
        self._seed, self._spare = seed, float(array[-1:].view(float64)[0]) if has_spare else None

    def __repr__(self) -> str:
        return f"seed={self._seed}"

    # -------------------------------------------------------- numbers

    def words(self, count: int) -> np.ndarray:
        """The next words, of 32 bits, as uint64."""
        return self._bits.random_raw(count)

    def long_words(self, count: int) -> np.ndarray:
        """The next numbers of 64 bits: of two words the first is the upper one."""
        pairs = self.words(2 * count)
        return pairs[0::2] << np.uint64(32) | pairs[1::2]

    def unit(self, count: int, dtype: np.dtype) -> np.ndarray:
        """Uniform in [0, 1)."""
        if dtype == float32:
            return (self.words(count) & np.uint64(2**24 - 1)).astype(float32) * float32.type(2.0**-24)
        return (self.long_words(count) & np.uint64(2**53 - 1)).astype(float64) * 2.0**-53

    def _normal_few(self, count: int) -> np.ndarray:
        numbers = np.empty(count)
        for i in range(count):
            if self._spare is not None:
                numbers[i], self._spare = self._spare, None
                continue
            u, v = self.unit(2, float64).tolist()
            radius = math.sqrt(-2.0 * math.log1p(-v))
            numbers[i], self._spare = radius * math.cos(2 * math.pi * u), radius * math.sin(2 * math.pi * u)
        return numbers

    def _normal_many(self, count: int, dtype: np.dtype) -> np.ndarray:
        def pairs(u: np.ndarray) -> np.ndarray:
            u = u.reshape(-1, 2, _BLOCK // 2)
            radius, angle = np.sqrt(-2 * np.log(1 - u[:, 0])), dtype.type(2 * math.pi) * u[:, 1]
            return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)

        numbers = self.unit(count, dtype)
        whole = count // _BLOCK * _BLOCK
        numbers[:whole] = pairs(numbers[:whole])
        if whole < count:
            numbers[-_BLOCK:] = pairs(self.unit(_BLOCK, dtype))
        return numbers

    # -------------------------------------------------------- what the ops of ops/random.py draw

    def draw(self, op: Op, shape: tuple, dtype: np.dtype, attrs: dict[str, Any]) -> Tensor:
        """What `op` draws, of PyTorch's numbers. In a trace: an input that is drawn at each call."""
        op.infer(_KEY, **{**op.defaults, **attrs})  # the op's own checks

        def drawn() -> np.ndarray:
            numbers = getattr(self, f"_{op.name}")(math.prod(shape), **{**op.defaults, **attrs, "dtype": dtype})
            return numbers.astype(dtype, copy=False).reshape(shape)

        return from_numpy(drawn()) if local.tracer is None else local.tracer.draw_outside(self, drawn, shape, dtype)

    def _uniform(self, count: int, *, dtype: np.dtype, low: float, high: float, **_: Any) -> np.ndarray:
        unit, low_, span = self.unit(count, dtype), dtype.type(low), dtype.type(high) - dtype.type(low)
        return unit.astype(float64) * float64.type(span) + float64.type(low_)  # one rounding, to dtype

    def _normal(self, count: int, *, dtype: np.dtype, mean: float, std: float, **_: Any) -> np.ndarray:
        few = count < _BLOCK
        numbers = self._normal_few(count) if few else self._normal_many(count, dtype)
        return numbers * numbers.dtype.type(std) + numbers.dtype.type(mean)

    def _bernoulli(self, count: int, *, dtype: np.dtype, p: float, value: float, **_: Any) -> np.ndarray:
        return np.where(self.unit(count, float64) < p, dtype.type(value), dtype.type(0))

    def _randint(self, count: int, *, low: int, high: int, **_: Any) -> np.ndarray:
        span = high - low
        words = self.long_words(count) if span >= 2**32 else self.words(count)
        return (words % np.uint64(span)).astype(int64) + low

    def _randperm(self, count: int, *, n: int, **_: Any) -> np.ndarray:
        return self.permutation(n)

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0..n-1 in random order."""
        order = list(range(n))
        steps = (self.words(max(n - 1, 0)) % np.arange(n, 1, -1, dtype=np.uint64)).tolist()
        for i, step in enumerate(steps):
            order[i], order[i + step] = order[i + step], order[i]
        return np.array(order, int64)

    # -------------------------------------------------------- data

    def numpy(self, given: bool) -> np.random.Generator:
        """Orders rows as PyTorch's RandomSampler does: by the generator that it is given, or one seeded by a draw."""
        if given:
            return _Rows(self, shared=True)
        own = Mersenne()
        own.start(int(self.long_words(1)[0] % np.uint64(2**63)))
        return _Rows(own, shared=False)

    def begin_pass(self) -> None:
        """A DataLoader draws a seed for its workers, whether it has some or not."""
        self.words(2)


class _Rows(np.random.Generator):
    """NumPy's generator, with PyTorch's permutations and integers."""

    def __new__(cls, stream: Mersenne, shared: bool) -> Any:
        return super().__new__(cls, stream._bits)  # type: ignore[call-arg]

    def __init__(self, stream: Mersenne, shared: bool):
        super().__init__(stream._bits)
        self._stream, self._shared = stream, shared

    def permutation(self, x: Any, axis: int = 0) -> Any:
        order = self._stream.permutation(int(x))
        if self._shared:
            self._stream.permutation(int(x))  # RandomSampler asks once more, for the rows of an incomplete round: none
        return order

    def integers(self, low: Any, high: Any = None, size: Any = None, **_: Any) -> Any:  # type: ignore[override]
        low, high = (0, low) if high is None else (low, high)
        count = 1 if size is None else math.prod(np.atleast_1d(size).tolist())
        return self._stream._randint(count, low=int(low), high=int(high))


class _Key:
    shape, dtype = (2,), int64


_KEY: Any = _Key()
