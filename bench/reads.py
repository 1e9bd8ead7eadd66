"""What reading costs, by place and order: the floor of products that use their weights once, such as predictions of one row."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

from . import native
from .peak import Peak
from .runner import Contender, Row, Settings, race

# (place, rows, columns of float32): weights of a layer, 27 KB to 4 MB
SIZES = (("L1", 8, 832), ("L2", 128, 832), ("L3", 512, 832), ("L3", 1248, 832))
# streams, and whether each goes through a piece of memory of its own or they go through neighbouring rows side by side
ORDERS = {
    "one stream": (1, 0),
    "two, far apart": (2, 0),
    "four, far apart": (4, 0),
    "four rows": (4, 1),
    "eight rows": (8, 1),
}


def memory(elements: int, huge: bool) -> np.ndarray:
    """Ones that begin at a multiple of 2 MB, in pages of 2 MB if the system gives them."""
    step = 2 << 20
    block = mmap.mmap(-1, -(-elements * 4 // step) * step + step)
    block.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    bytes_ = np.frombuffer(block, np.uint8)
    array = bytes_[-bytes_.ctypes.data % step :][: 4 * elements].view(np.float32)
    array[...] = 1
    return array


def reader(arrays: list[np.ndarray], rows: int, columns: int, streams: int, side_by_side: int) -> Contender:
    """Each thread reads a matrix of its own."""
    call = native.function("read_matrix", ctypes.c_double)

    def run(times: int) -> float:
        sizes = [ctypes.c_long(v) for v in (rows, columns, streams, side_by_side, times)]
        if len(arrays) == 1:
            return call(native.pointer(arrays[0]), *sizes)
        return sum(native.pool(len(arrays)).map(lambda a: call(native.pointer(a), *sizes), arrays))

    return run


def measure(settings: Settings, peak: Peak) -> list[Row]:
    result = []
    for place, rows, columns in SIZES if native.compiled() is not None else ():
        for huge in (False, True) if hasattr(mmap, "MADV_HUGEPAGE") else ():
            case = f"{rows} x {columns} float32 ({place}), {'2 MB' if huge else '4 KB'} pages"
            if not settings.wants(case):
                continue
            arrays = [memory(rows * columns, huge) for _ in range(settings.threads)]
            seconds = race({name: reader(arrays, rows, columns, *order) for name, order in ORDERS.items()}, settings)
            moved = settings.threads * arrays[0].nbytes
            values = {name: moved / s / 1e9 for name, s in seconds.items()}
            result.append(Row("reading a matrix, all threads together", case, "GB/s", values, rate=True))
    return result
