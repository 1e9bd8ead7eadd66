"""Random-number ops over Philox4x32-10 (Salmon et al. 2011), a pure function from counters to bits.

An op that draws takes a key, an int64 vector (seed, offset) from `ranvier.random.key`, and gives the same numbers for the
same key: a gradient rule that has saved the key draws again. Block b of a call is philox(counter = offset + b, key = seed),
four 32-bit words. The ops below make n elements from ceil(n / per_block) blocks, see `blocks`, and element i from block
i // per_block alone:

- uniform: float32 takes the upper 24 bits of one word, float64 the upper 53 bits of two;
- normal: Box and Muller's pairs, from two words (float32) or four (float64), in float64 arithmetic;
- bernoulli: one word is below p 2^32; randint: two words times the range, the upper 64 bits; randperm: positions in
  the order of one word each.

Everything is written as a fixed sequence of exactly rounded operations, here as in csrc/cpu/random.cpp: both give the
same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import CODE, bool_, float32, float64, int64, is_float
from ..core.errors import DTypeError, OutOfRangeError, ShapeError
from .record import Aval, Op, Sample, Spec

__all__: list[str] = []

_WORD = 0xFFFFFFFF


def philox(counter: np.ndarray, key: int) -> np.ndarray:
    """Philox4x32-10 of each 64-bit counter: uint64 array (count, 4) of 32-bit words.

    >>> [hex(int(w)) for w in philox(np.zeros(1, np.uint64), 0)[0]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    counter = counter.astype(np.uint64)
    mask, shift = np.uint64(_WORD), np.uint64(32)
    c = [counter & mask, counter >> shift, np.zeros_like(counter), np.zeros_like(counter)]
    k0, k1 = key & _WORD, key >> 32 & _WORD
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> shift) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> shift) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return np.stack(c, 1)


def words_of(key: np.ndarray, count: int) -> np.ndarray:
    """The words of the first `count` blocks of a key: (count, 4)."""
    return philox(np.uint64(int(key[1]) % 2**64) + np.arange(count, dtype=np.uint64), int(key[0]) % 2**64)


def _bits53(words: np.ndarray) -> np.ndarray:
    """53-bit integers from pairs of words."""
    return (words[:, 0::2] << np.uint64(32) | words[:, 1::2]) >> np.uint64(11)


def _log_unit(u: np.ndarray) -> np.ndarray:
    """log u for u in (0, 1]: u = 2^e m, m in [sqrt(1/2), sqrt(2)), log m = 2 artanh s, s = (m - 1)/(m + 1)."""
    m, e = np.frexp(u)
    small = m < 0.7071067811865476
    m, e = np.where(small, m + m, m), np.where(small, e - 1, e)
    f = m - 1
    s = f / (f + 2)
    z = s * s
    p = np.full_like(z, 1 / 17)
    for k in (15, 13, 11, 9, 7, 5, 3, 1):
        p = p * z + 1 / k
    return e * 0.6931471805599453 + (s + s) * p


def _series(z: np.ndarray, first: int) -> np.ndarray:
    """1 - z/.. + ..: sin(t)/t (first=15) or cos(t) (first=14) by Taylor's series in z = t*t."""
    sign = -1.0
    p = np.full_like(z, sign / math.factorial(first))
    for k in range(first - 2, -1, -2):
        sign = -sign
        p = p * z + sign / math.factorial(k)
    return p


def _normal_pairs(u: np.ndarray, v: np.ndarray, bits: int) -> tuple:
    """sqrt(-2 log u) times cos and sin of 2 pi v / 2^bits."""
    radius = np.sqrt(-2.0 * _log_unit(u))
    half = 1 << (bits - 3)
    turned = v + np.uint64(half)
    quadrant = turned // np.uint64(2 * half) & np.uint64(3)
    t = ((turned % np.uint64(2 * half)).astype(int64) - half).astype(float64) * (6.283185307179586 / 2.0**bits)
    z = t * t
    s, c = t * _series(z, 15), _series(z, 14)
    odd = quadrant % np.uint64(2) == 1
    x, y = np.where(odd, s, c), np.where(odd, c, s)
    return (
        radius * np.where((quadrant == 1) | (quadrant == 2), -x, x),
        radius * np.where(quadrant >= 2, -y, y),
    )


# ---------------------------------------------------------------- the ops


def _shaped(values: np.ndarray, shape: tuple) -> np.ndarray:
    return values.reshape(-1)[: math.prod(shape)].reshape(shape)


def _check_key(name: str, key: Aval, shape: tuple) -> None:
    if key.dtype != int64 or tuple(key.shape) != (2,):
        raise ShapeError(f"{name}: key is {key.dtype}{tuple(key.shape)}, must be int64(2,): seed and offset")
    if min(shape, default=0) < 0:
        raise ShapeError(f"{name}: sizes {shape} must be >= 0")


def _float_infer(name: str) -> Any:
    def infer(key: Aval, *, shape: tuple, dtype: np.dtype, **attrs: Any) -> Spec:
        _check_key(name, key, shape)
        if not is_float(dtype):
            raise DTypeError(f"{name}: dtype {dtype} must be float32 or float64")
        return shape, dtype

    return infer


def per_block(op: Op, dtype: np.dtype) -> int:
    """How many elements one block of four words makes."""
    if op is randint_op or (op in (uniform_op, normal_op) and dtype == float64):
        return 2
    return 4


def blocks(op: Op, shape: tuple, dtype: np.dtype) -> int:
    """How many blocks a call uses up: what a generator's offset advances by."""
    return -(-math.prod(shape) // per_block(op, dtype))


_KEYS = [np.array([1234, 0]), np.array([-7, 2**33 + 5])]
_SHAPES: tuple = ((7,), (3, 50), (), (0, 2))
_FLOAT_SAMPLES = [
    Sample((key,), {"shape": shape, "dtype": dtype})
    for key in _KEYS for shape in _SHAPES for dtype in (float32, float64)
]  # fmt: skip


def _uniform_reference(xp: Any, key: Any, *, shape: tuple, dtype: np.dtype, low: float, high: float) -> Any:
    words = words_of(key, blocks(uniform_op, shape, dtype))
    if dtype == float32:
        u = (words >> np.uint64(8)).astype(float32) * float32.type(2.0**-24)
    else:
        u = _bits53(words).astype(float64) * 2.0**-53
    return _shaped(u * dtype.type(high - low) + dtype.type(low), shape)


uniform_op: Op = Op(
    "uniform", kind="kernel", attrs={"shape": (), "dtype": float32, "low": 0.0, "high": 1.0}, saves="",
    flops=25, infer=_float_infer("uniform"), reference=_uniform_reference, max_ulp=0,
    samples=[*_FLOAT_SAMPLES, Sample((_KEYS[0],), {"shape": (33,), "low": -2.0, "high": 0.3})],
    doc="low + u (high - low), u uniform in [0, 1)",
)  # fmt: skip


def _normal_reference(xp: Any, key: Any, *, shape: tuple, dtype: np.dtype, mean: float, std: float) -> Any:
    words = words_of(key, blocks(normal_op, shape, dtype))
    if dtype == float32:
        pairs = _normal_pairs((words[:, 0::2].astype(float64) + 1.0) * 2.0**-32, words[:, 1::2], 32)
    else:
        both = _bits53(words)
        pairs = _normal_pairs((both[:, :1] + np.uint64(1)).astype(float64) * 2.0**-53, both[:, 1:], 53)
    return _shaped(np.stack(pairs, 2) * std + mean, shape).astype(dtype)


normal_op: Op = Op(
    "normal", kind="kernel", attrs={"shape": (), "dtype": float32, "mean": 0.0, "std": 1.0}, saves="",
    flops=60, infer=_float_infer("normal"), reference=_normal_reference, max_ulp=0,
    samples=[*_FLOAT_SAMPLES, Sample((_KEYS[0],), {"shape": (33,), "mean": -2.0, "std": 0.3})],
    onnx="RandomNormal",
    doc="mean + std z, z of the standard normal distribution",
)  # fmt: skip


def _bernoulli_infer(key: Aval, *, shape: tuple, dtype: np.dtype, p: float, value: float) -> Spec:
    _check_key("bernoulli", key, shape)
    if not 0 <= p <= 1:
        raise OutOfRangeError(f"bernoulli: p={p} must be in [0, 1]")
    if dtype not in CODE:
        raise DTypeError(f"bernoulli: dtype {dtype} must be one of {', '.join(map(str, CODE))}")
    return shape, dtype


def _bernoulli_reference(xp: Any, key: Any, *, shape: tuple, dtype: np.dtype, p: float, value: float) -> Any:
    words = words_of(key, blocks(bernoulli_op, shape, dtype))
    below = words < np.uint64(math.floor(p * 2.0**32 + 0.5))
    return _shaped(np.where(below, dtype.type(value), dtype.type(0)), shape)


bernoulli_op: Op = Op(
    "bernoulli", kind="kernel", saves="",
    attrs={"shape": (), "dtype": float32, "p": 0.5, "value": 1.0},
    flops=25, infer=_bernoulli_infer, reference=_bernoulli_reference, max_ulp=0,
    samples=[
        *[Sample((_KEYS[0],), {"shape": (3, 50), "dtype": d, "p": 0.3}) for d in CODE],
        *[Sample((_KEYS[1],), {"shape": (9,), "p": p, "value": 1.25}) for p in (0.0, 1.0, 0.8)],
    ],
    doc="`value` with probability p, else 0",
)  # fmt: skip


def _randint_infer(key: Aval, *, shape: tuple, dtype: np.dtype, low: int, high: int) -> Spec:
    _check_key("randint", key, shape)
    if low >= high:
        raise OutOfRangeError(f"randint: low={low} must be less than high={high}")
    if dtype == bool_ or dtype not in CODE:
        raise DTypeError(f"randint: dtype {dtype} must be an integer or float dtype")
    limits = np.iinfo(dtype) if not is_float(dtype) else np.iinfo(int64)
    if low < limits.min or high - 1 > limits.max or high > np.iinfo(int64).max:
        raise OutOfRangeError(f"randint: low={low} and high={high} must be within {dtype}")
    return shape, dtype


def _randint_reference(xp: Any, key: Any, *, shape: tuple, dtype: np.dtype, low: int, high: int) -> Any:
    words = words_of(key, blocks(randint_op, shape, dtype))
    upper, lower, span, shift = words[:, 0::2], words[:, 1::2], np.uint64(high - low), np.uint64(32)
    if (high - low) >> 32:
        r = (upper << shift | lower) % span
    else:
        r = (upper * span + (lower * span >> shift)) >> shift
    return _shaped((r + np.uint64(low % 2**64)).astype(int64).astype(dtype), shape)


randint_op: Op = Op(
    "randint", kind="kernel", attrs={"shape": (), "dtype": int64, "low": 0, "high": 2}, saves="",
    flops=25, infer=_randint_infer, reference=_randint_reference, max_ulp=0,
    samples=[
        *[Sample((_KEYS[0],), {"shape": (5, 7), "dtype": d, "low": 2, "high": 90}) for d in CODE if d != bool_],
        *[Sample((_KEYS[1],), {"shape": s, "low": -5, "high": 2**40}) for s in _SHAPES],
        Sample((_KEYS[1],), {"shape": (9,), "low": -(2**63), "high": 2**63 - 1}),
    ],
    doc="integers, uniform in [low, high)",
)  # fmt: skip


def _randperm_infer(key: Aval, *, n: int) -> Spec:
    _check_key("randperm", key, (n,))
    if n >> 31:
        raise OutOfRangeError(f"randperm: n={n} must be less than 2^31")
    return (n,), int64


randperm_op: Op = Op(
    "randperm", kind="kernel", attrs={"n": 0}, saves="", flops=50,
    infer=_randperm_infer,
    reference=lambda xp, key, *, n: np.argsort(
        _shaped(words_of(key, blocks(randperm_op, (n,), int64)), (n,)), kind="stable"
    ).astype(int64),
    max_ulp=0,
    samples=[Sample((_KEYS[0],), {"n": n}) for n in (0, 1, 10, 1000)],
    doc="the numbers 0..n-1 in random order",
)  # fmt: skip
