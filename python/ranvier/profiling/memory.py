"""Resident memory of this process, and its peak, as Linux tells."""

from __future__ import annotations

import ctypes
import functools
import mmap
from pathlib import Path

import numpy as np

_SELF = Path("/proc/self")


def _field(name: str) -> int | None:
    try:
        for line in (_SELF / "status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    return None


class Peak:
    """The most memory that has been resident since it was made, beyond what was then; None where nothing tells."""

    def __init__(self) -> None:
        try:
            (_SELF / "clear_refs").write_text("5")  # the peak starts anew
            self._before = _field("VmRSS")
        except OSError:
            self._before = None

    def grown(self) -> int | None:
        """Bytes since then."""
        now = _field("VmHWM")
        return None if now is None or self._before is None else max(now - self._before, 0)


def resident(array: np.ndarray) -> int:
    """How many bytes of a contiguous array have memory: pages that nobody has touched have none."""
    size = mmap.PAGESIZE
    first, last = array.ctypes.data // size, -(-(array.ctypes.data + array.nbytes) // size)
    pages = (ctypes.c_ubyte * (last - first))()
    try:
        known = _libc().mincore(ctypes.c_void_p(first * size), ctypes.c_size_t((last - first) * size), pages) == 0
    except (AttributeError, OSError):
        known = False
    return (
        min(size * int(np.count_nonzero(np.frombuffer(bytes(pages), np.uint8) & 1)), array.nbytes)
        if known
        else array.nbytes
    )


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def trim() -> None:
    """Give memory that is free back to the system, as far as its C library does that."""
    try:
        _libc().malloc_trim(0)
    except (AttributeError, OSError):
        pass
