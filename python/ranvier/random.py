"""Random tensors, and the generators that they come from.

A generator's numbers depend on its seed and on how many were drawn before: not on threads, machine, backend, or
whether the function is compiled. Definition: ranvier/ops/random.py.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from .core.context import local, refuse_trace
from .core.device import as_device
from .core.dtypes import int64, is_float
from .core.errors import DTypeError, OutOfRangeError, ShapeError
from .core.namespace import listing as _listing
from .core.tensor import as_tensor, from_numpy, wrap
from .ops import random as _ops
from .ops.creation import made_dtype
from .ops.elementwise import isfinite, log1p
from .ops.public import Array
from .ops.record import Op, as_sizes
from .ops.require import require
from .ops.sort import topk
from .tensor import Tensor

__all__ = [
    "Generator", "bernoulli", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "multinomial", "normal",
    "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "seed", "set_rng_state", "uniform",
]  # fmt: skip


class Philox:
    """The numbers of Philox4x32-10 with a seed as key, counted by an offset: the stream of each generator, unless another
    kind is asked for by `use_streams`.
    """

    pytorch = False

    def __init__(self) -> None:
        self.state = from_numpy(np.zeros(2, int64))  # seed, offset in blocks

    def start(self, seed: int) -> None:
        """Begin the stream of a seed of 64 bits."""
        self.state._data[:] = (seed + 2**63) % 2**64 - 2**63, 0

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return int(self.state._data[0])

    def get_state(self) -> np.ndarray:
        """Where the stream is: (seed, offset)."""
        return self.state._data.copy()

    def set_state(self, array: np.ndarray, name: str = "set_state") -> None:
        """Go on where `get_state` was taken; `name` asks for it."""
        if array.shape != (2,) or array.dtype != int64:
            raise ShapeError(f"{name}: {array.dtype}{array.shape} must be int64(2,), the state of a generator")
        self.state._data[:] = array

    def key(self, blocks: int) -> Tensor:
        """Seed and offset of the next `blocks` blocks; moves on."""
        tracer = local.tracer
        return tracer.take_random(self.state, blocks) if tracer is not None else self._take(blocks)

    def _take(self, blocks: int) -> Tensor:
        state = self.state._data
        first = state[1]
        state[1] += blocks  # before any call, during which another thread might draw the same numbers
        taken = state.copy()
        taken[1] = first
        return wrap(taken)

    def draw(self, op: Op, shape: tuple, dtype: np.dtype, attrs: dict[str, Any]) -> Tensor:
        """Run an op whose key nobody saves; where it raises, nothing was drawn."""
        blocks = _ops.blocks(op, shape, dtype)
        if local.tracer is not None:
            return op(self.key(blocks), **attrs)
        state, taken = self.state._data, self._take(blocks)
        try:
            return op(taken, **attrs)
        except BaseException:
            if state[1] == taken._data[1] + blocks:
                state[1] = taken._data[1]
            raise

    def numpy(self, given: bool) -> np.random.Generator:
        """A generator of NumPy's, seeded by a draw: it orders the rows of a pass over data. given: by this stream, which the
        user has named.
        """
        return np.random.default_rng(int(self.draw(_ops.randint_op, (), int64, {"high": 2**63 - 1}).item()))

    def begin_pass(self) -> None:
        """A pass over data begins."""

    def __repr__(self) -> str:
        seed, offset = self.state._data.tolist()
        return f"seed={seed}, offset={offset}"


_streams: Any = Philox  # of new generators


class Generator:
    """A stream of random numbers: Philox4x32-10 with `seed` as key, counted by an offset.

    >>> import ranvier as rv
    >>> g = rv.Generator(seed=1)
    >>> a = rv.rand(3, generator=g)
    >>> bool((rv.rand(3, generator=g.manual_seed(1)) == a).all())
    True
    """

    def __init__(self, seed: int = 0):
        self.stream: Any = _streams()
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` (an integer of at most 64 bits)."""
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise DTypeError(f"manual_seed: seed={seed!r} must be an integer")
        refuse_trace("manual_seed")
        number = seed.__index__()
        if not -(2**63) <= number < 2**64:
            raise OutOfRangeError(f"manual_seed: seed={number} must fit in 64 bits")
        self.stream.start(number)
        return self

    def seed(self) -> int:
        """Start a stream that the operating system chooses; returns its seed."""
        number = int.from_bytes(os.urandom(7), "little")
        self.manual_seed(number)
        return number

    def initial_seed(self) -> int:
        """The seed of the stream."""
        return self.stream.initial_seed()

    def get_state(self) -> Tensor:
        """A copy of where the stream is: (seed, offset)."""
        return from_numpy(self.stream.get_state())

    def set_state(self, state: Any) -> Generator:
        """Go on where `state`, from `get_state`, was taken."""
        self._go_on(state, "set_state")
        return self

    def _go_on(self, state: Any, name: str) -> None:
        refuse_trace(name)
        self.stream.set_state(state._array(name) if isinstance(state, Tensor) else np.asarray(state), name)

    def __repr__(self) -> str:
        return f"Generator({self.stream!r})"


default_generator = Generator()
default_generator.seed()


def use_streams(kind: Any) -> None:
    """Let the default generator, newly seeded, and all that are made from now on draw from streams of this kind."""
    global _streams
    if _streams is not kind:
        _streams = kind
        default_generator.stream = kind()
        default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator.

    >>> import ranvier as rv
    >>> _ = rv.manual_seed(0)
    >>> a = rv.rand(2)
    >>> _ = rv.manual_seed(0)
    >>> bool((rv.rand(2) == a).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Where the default generator is: its seed, and how much was drawn.

    >>> import ranvier as rv
    >>> state = rv.get_rng_state()
    >>> a = rv.rand(2)
    >>> rv.set_rng_state(state)
    >>> bool((rv.rand(2) == a).all())
    True
    """
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Let the default generator go on where `new_state`, from `get_rng_state`, was taken."""
    default_generator._go_on(new_state, "set_rng_state")


def draw_seed(generator: Generator | None = None) -> int:
    """A 63-bit integer drawn from a generator, to seed something else with."""
    return int(randint(0, 2**63 - 1, (), generator=generator).item())


def stream_of(generator: Generator | None, name: str = "stream_of") -> Any:
    """The stream of a generator, None for the default one's; `name` asks for it."""
    if generator is None:
        return default_generator.stream
    if not isinstance(generator, Generator):
        raise DTypeError(f"{name}: generator is a {type(generator).__name__}, must be a ranvier.Generator")
    return generator.stream


def key(blocks: int, generator: Generator | None = None, name: str = "key") -> Tensor:
    """Seed and offset of the generator's next `blocks` blocks, as an input of an op that draws from them; moves it on. The
    tensor never changes: a gradient that has saved it can draw the same numbers again.
    """
    return stream_of(generator, name).key(blocks)


def as_pytorch() -> bool:
    """Whether the default generator gives PyTorch's numbers, which come one by one and without keys."""
    return default_generator.stream.pytorch


def _draw(op: Op, generator: Generator | None, shape: tuple, dtype: np.dtype, /, **attrs: Any) -> Tensor:
    return stream_of(generator, op.name).draw(op, shape, dtype, attrs)


def _uniform(shape: tuple, low: float, high: float, dtype: np.dtype, generator: Any, requires_grad: bool) -> Tensor:
    out = _draw(_ops.uniform_op, generator, shape, dtype, shape=shape, dtype=dtype, low=low, high=high)
    return out.requires_grad_() if requires_grad else out


def _normal(shape: tuple, mean: float, std: float, dtype: np.dtype, generator: Any, requires_grad: bool) -> Tensor:
    out = _draw(_ops.normal_op, generator, shape, dtype, shape=shape, dtype=dtype, mean=mean, std=std)
    return out.requires_grad_() if requires_grad else out


def uniform(
    size: Any, low: float = 0.0, high: float = 1.0, *, dtype: Any = None, device: Any = None,
    generator: Generator | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Random numbers uniform in [low, high) (up to rounding)."""
    if not low <= high:
        raise OutOfRangeError(f"uniform: low={low} must not exceed high={high}")
    shape, dtype = as_sizes("uniform", (size,)), made_dtype("uniform", dtype, device)
    return _uniform(shape, float(low), float(high), dtype, generator, requires_grad)


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Random numbers uniform in [0, 1).

    >>> import ranvier as rv
    >>> rv.rand(2, 3).shape
    (2, 3)
    """
    return _uniform(as_sizes("rand", size), 0.0, 1.0, made_dtype("rand", dtype, device), generator, requires_grad)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, dtype: Any = None, device: Any = None,
    generator: Generator | None = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Normal random numbers; mean and std are numbers (then `size` is given) or tensors that broadcast.

    >>> import ranvier as rv
    >>> rv.normal(rv.zeros(3), 2.0).shape
    (3,)
    """
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        if size is not None:
            raise ShapeError(f"normal: size={size} goes with numbers; here mean and std give the shape")
        like = mean + std
        out = mean + std * normal(0.0, 1.0, like.shape, dtype=like.dtype, generator=generator)
        return out.detach()
    if size is None:
        raise ShapeError("normal: give size, or a tensor as mean or std")
    if std < 0:
        raise OutOfRangeError(f"normal: std={std} must be >= 0")
    shape, dtype = as_sizes("normal", (size,)), made_dtype("normal", dtype, device)
    return _normal(shape, float(mean), float(std), dtype, generator, requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Random numbers of the standard normal distribution.

    >>> import ranvier as rv
    >>> rv.randn(2, 3).shape
    (2, 3)
    """
    return _normal(as_sizes("randn", size), 0.0, 1.0, made_dtype("randn", dtype, device), generator, requires_grad)


def randint(
    low: int, high: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Integers uniform in [low, high); randint(high, size) starts at 0.

    >>> import ranvier as rv
    >>> rv.randint(1, 7, (100,)).max().item() <= 6
    True
    """
    if isinstance(high, (tuple, list)):
        if size is not None:
            raise ShapeError(f"randint: high={high} must be an integer where size is given")
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise ShapeError("randint: size is missing: randint(high, size) or randint(low, high, size)")
    shape, dtype = as_sizes("randint", (size,)), made_dtype("randint", int64 if dtype is None else dtype, device)
    return _draw(_ops.randint_op, generator, shape, dtype, shape=shape, dtype=dtype, low=int(low), high=int(high))


def randperm(n: int, *, device: Any = None, generator: Generator | None = None) -> Tensor:
    """The integers 0..n-1 in random order.

    >>> import ranvier as rv
    >>> sorted(rv.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    n = int(n)
    as_device(device, "randperm")
    if n < 0:
        raise ShapeError(f"randperm: n={n} must be >= 0")
    return _draw(_ops.randperm_op, generator, (n,), int64, n=n)


def rand_like(input: Array, *, dtype: Any = None, device: Any = None, generator: Generator | None = None) -> Tensor:
    """rand(input.shape) in input's dtype."""
    return rand(input.shape, dtype=input.dtype if dtype is None else dtype, device=device, generator=generator)


def randn_like(input: Array, *, dtype: Any = None, device: Any = None, generator: Generator | None = None) -> Tensor:
    """randn(input.shape) in input's dtype."""
    return randn(input.shape, dtype=input.dtype if dtype is None else dtype, device=device, generator=generator)


def randint_like(
    input: Array, low: int, high: int | None = None, *, dtype: Any = None, device: Any = None,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """randint(low, high, input.shape) in input's dtype."""
    return randint(
        low, high, input.shape, dtype=input.dtype if dtype is None else dtype, device=device, generator=generator
    )


def bernoulli(input: Array, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that `input` gives for each element (or with probability `p` everywhere), else 0.

    >>> import ranvier as rv
    >>> rv.bernoulli(rv.tensor([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    input = as_tensor(input)
    if p is not None:
        return mask(input.shape, float(p), dtype=input.dtype, generator=generator)
    if not is_float(input.dtype):
        raise DTypeError(f"bernoulli: probabilities have dtype {input.dtype}, must be float32 or float64")
    given = input.detach()
    require((given >= 0).logical_and(given <= 1), given, "bernoulli: probabilities must be in [0, 1]", index=True)
    return (rand(input.shape, dtype=input.dtype, generator=generator) < input).to(input.dtype)


def mask(
    shape: tuple, p: float, value: float = 1.0, *, dtype: Any = None, generator: Generator | None = None
) -> Tensor:
    """`value` with probability p, else 0: with value = 1/p the factors of dropout."""
    shape, dtype = tuple(shape), made_dtype("mask", dtype)
    attrs = {"shape": shape, "dtype": dtype, "p": float(p), "value": float(value)}
    return _draw(_ops.bernoulli_op, generator, shape, dtype, **attrs)


def multinomial(
    input: Array, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Positions drawn with probabilities proportional to `input`, (categories,) or (rows, categories) -> int64
    (num_samples,) or (rows, num_samples).

    Without replacement: the positions of the largest input/e, e exponential (Efraimidis and Spirakis 2006), which are
    in the order of drawing. With it: by inverting the cumulated probabilities.

    >>> import ranvier as rv
    >>> rv.multinomial(rv.tensor([0.0, 1.0, 0.0]), 1).tolist()
    [1]
    """
    input = as_tensor(input)
    if input.ndim not in (1, 2) or not is_float(input.dtype):
        raise ShapeError(
            f"multinomial: input is {input.dtype}{input.shape}, must be float (categories,) or (rows, categories)"
        )
    count = input.shape[-1]
    if num_samples < 1 or (not replacement and num_samples > count):
        raise OutOfRangeError(
            f"multinomial: num_samples={num_samples} must be in [1, {count}], the categories, without replacement"
        )
    input = input.detach()
    usable = isfinite(input).logical_and(input >= 0)
    require(usable, input, "multinomial: probabilities must be finite and >= 0", index=True)
    needed = 1 if replacement else num_samples
    nonzero = (input > 0).long().sum(-1)
    require(
        nonzero >= needed, nonzero, f"multinomial: at least {needed} of a row's probabilities must not be 0", index=True
    )
    if not replacement:
        # 1 - u is in (0, 1]; a zero weight gives 0, behind every other
        waiting = -(1 - rand(input.shape, dtype="float64", generator=generator)).log()
        return topk(input.double() / waiting.clamp(min=1e-300), num_samples).indices
    edges = input.double().cumsum(-1)
    draws = rand(*input.shape[:-1], num_samples, dtype="float64", generator=generator) * edges[..., -1:]
    return (edges.unsqueeze(-2) <= draws.unsqueeze(-1)).long().sum(-1).clamp(max=count - 1)


# ---------------------------------------------------------------- methods


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with random numbers, uniform in [low, high)."""
    return self._assign(uniform(self.shape, low, high, dtype=self.dtype, generator=generator))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal random numbers."""
    return self._assign(normal(mean, std, self.shape, dtype=self.dtype, generator=generator))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with random numbers of the exponential distribution of rate `lambd`: -log(1 - u) / lambd."""
    if not lambd > 0:
        raise OutOfRangeError(f"exponential_: lambd={lambd} must be positive")
    u = rand(self.shape, dtype="float64", generator=generator)
    return self._assign((log1p(-u) * (-1.0 / lambd)).to(self.dtype))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 with probability `p`, a number or a tensor that broadcasts, else 0."""
    if isinstance(p, Tensor):
        return self._assign(bernoulli(p.expand(*self.shape), generator=generator))
    if not 0 <= p <= 1:
        raise OutOfRangeError(f"bernoulli_: p={p} must be in [0, 1]")
    return self._assign(mask(self.shape, float(p), generator=generator))


def random_(self: Tensor, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Tensor:
    """Fill with integers uniform in [low, high); random_(high) starts at 0. None: all that the dtype holds exactly."""
    if high is None:
        exact = 2 if self.dtype == np.bool_ else 2**24 if self.dtype == np.float32 else 2**53
        if self.dtype.kind in "iu":
            exact = int(np.iinfo(self.dtype).max)  # not included, so that it fits
        low, high = (0, low) if low else (0, exact)
    return self._assign(randint(low, high, self.shape, generator=generator))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the number of trials up to the first success, each with probability `p`."""
    if not 0 < p < 1:
        raise OutOfRangeError(f"geometric_: p={p} must be in (0, 1)")
    u = rand(self.shape, dtype="float64", generator=generator)
    return self._assign((log1p(-u) * (1 / math.log1p(-p))).ceil().clamp(min=1.0).to(self.dtype))


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with e to the power of normal random numbers."""
    return self._assign(normal(mean, std, self.shape, dtype=self.dtype, generator=generator).exp())


_METHODS = (
    bernoulli, bernoulli_, exponential_, geometric_, log_normal_, multinomial, normal_, random_, uniform_,
)  # fmt: skip
for _function in _METHODS:
    setattr(Tensor, _function.__name__, _function)

__dir__ = _listing(globals())
