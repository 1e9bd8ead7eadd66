"""Arrays that begin where a cache line does.

NumPy aligns to 16 bytes. A vector of 64 bytes then lies in two cache lines, and every load and store counts twice: an Adam
step over 100,000 parameters takes a sixth longer. Parameters, gradients, optimizer states and new tensors come from here;
results of native ops come from `csrc/core/memory.cpp`.

Large arrays from here begin at different places of a page. Otherwise a loop over several of them, such as an optimizer's, is
always at the same place of all pages, which keeps the same few banks of the memory busy (Adam, 10 million parameters: 37 and
not 44 GB/s).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

try:
    from .._native import filled
except ImportError:  # the backend says why when it is needed

    def filled(size: tuple, dtype: np.dtype, number: Any) -> np.ndarray | None:
        """A small array of that number, where the native module is there to make it."""
        return None


ALIGNMENT = 64
STAGGERED = 1 << 18  # bytes, from which on arrays are staggered
_places = itertools.cycle(range(0, 4096, 256))


def aligned_empty(shape: tuple[int, ...], dtype: Any, make: Any = np.empty) -> np.ndarray:
    """An uninitialised C-contiguous array whose address is a multiple of 64; `make` is np.empty or np.zeros."""
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    period, place = (4096, next(_places)) if nbytes >= STAGGERED else (ALIGNMENT, 0)
    memory = make(nbytes + period, np.uint8)
    start = (place - memory.__array_interface__["data"][0]) % period
    return memory[start : start + nbytes].view(dtype).reshape(shape)


def aligned_full(shape: tuple[int, ...], value: Any, dtype: Any) -> np.ndarray:
    """Such an array filled with one number; zeros are the system's fresh pages."""
    array = filled(shape, np.dtype(dtype), value)
    if array is not None:
        return array
    if not any(np.asarray(value, dtype).tobytes()):  # and no -0
        return aligned_empty(shape, dtype, np.zeros)
    array = aligned_empty(shape, dtype)
    array[...] = value
    return array


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A C-contiguous copy; one of a page or more is aligned."""
    if array.nbytes < 4096:
        return np.array(array, order="C")
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy
