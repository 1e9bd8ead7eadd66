"""The machine's peaks, measured: multiply-adds and memory bandwidth on the threads that are in use."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import native


@dataclass
class Peak:
    """Operations a second in float32 and float64, bytes a second between CPU and memory; how they were measured."""

    flops: float
    flops64: float
    bytes: float
    how: str
    how_bytes: str
    width: int = 0  # of the best vectors in bytes; 0 where there is no compiler

    def of(self, dtype: Any) -> float:
        return self.flops64 if np.dtype(dtype) == np.float64 else self.flops


def best(work: Callable[[], object], seconds: float) -> float:
    """The least time of one run of `work`."""
    result, ends = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.perf_counter()
        work()
        result = min(result, time.perf_counter() - started)
    return result


def in_registers(bits: int, width: int, threads: int, times: int) -> None:
    """`times` rounds of 12 multiply-adds on vectors of `width` bytes, on each thread."""
    chains = native.function(f"chains{bits}_{width}", ctypes.c_double)
    if threads == 1:
        chains(ctypes.c_long(times))
    else:
        list(native.pool(threads).map(chains, [ctypes.c_long(times)] * threads))


def round_of(bits: int, width: int) -> int:
    """Operations in a round of multiply-adds."""
    return 12 * (width * 8 // bits) * 2


def multiply_adds(bits: int, threads: int, seconds: float) -> tuple[float, int]:
    """Operations a second of multiply-adds in registers, and the width of vectors that is best."""
    times = 400_000
    return max(
        (
            threads
            * times
            * round_of(bits, width)
            / best(lambda: in_registers(bits, width, threads, times), seconds / 3),
            width,
        )
        for width in (16, 32, 64)
    )


# bytes that each moves for a float of every array, counted as in STREAM: reads and writes that the code asks for
STREAMS = {"stream_copy": 8, "stream_triad": 12, "stream_update": 28}


def bandwidth(threads: int, seconds: float, n: int = 1 << 23) -> tuple[float, str]:
    """The best of copying, a triad, and an update that reads four arrays and writes three of them."""
    arrays = tuple(np.ones(n, np.float32) for _ in range(4))
    rates = {
        name: moved * n / best(lambda: native.on_pieces(name, arrays, threads, 1), seconds / len(STREAMS))
        for name, moved in STREAMS.items()
    }
    name = max(rates, key=rates.__getitem__)
    return rates[name], name.replace("stream_", "") + f" of {n >> 18} MB an array"


def measure_peak(threads: int, seconds: float = 0.4) -> Peak:
    if native.compiled() is not None:
        rate, how_bytes = bandwidth(threads, seconds)
        (flops, width), (flops64, _) = (multiply_adds(bits, threads, seconds) for bits in (32, 64))
        return Peak(flops, flops64, rate, "multiply-adds in registers", how_bytes, width)
    rates = []
    for dtype in (np.float32, np.float64):
        a = np.ones((1024, 1024), dtype)
        rates.append(2 * 1024**3 / best(lambda: a @ a, seconds))
    source = np.ones(1 << 24, np.float32)
    target = np.ones_like(source)  # written once: no page faults below
    rate = 2 * source.nbytes / best(lambda: np.copyto(target, source), seconds)
    return Peak(*rates, rate, "NumPy's matrix product", "NumPy's copy of 64 MB")
