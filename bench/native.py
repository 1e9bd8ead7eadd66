"""native.cpp as a library: compiled by whatever compiler there is, once a process."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_name("native.cpp")
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-shared", "-fPIC")


@functools.cache
def compiled() -> Any:
    """The compiled functions, or None without a compiler that can make them."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))), None)
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder, "native.so"))
        for extra in (["-mprefer-vector-width=512"], []):
            if (
                subprocess.run([compiler, *FLAGS, *extra, str(SOURCE), "-o", target], capture_output=True).returncode
                == 0
            ):
                return ctypes.CDLL(target)
    return None


@functools.cache
def pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def function(name: str, result: Any = None) -> Any:
    found = getattr(compiled(), name)
    found.restype = result
    return found


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def on_pieces(name: str, arrays: tuple[np.ndarray, ...], threads: int, times: int) -> None:
    """The function `name(arrays..., n, times)`, each thread on its contiguous piece of all arrays."""
    n, call = arrays[0].size, function(name)
    cuts = [n * i // threads // 16 * 16 for i in range(threads)] + [n]
    work = [
        (*(pointer(a[i:j]) for a in arrays), ctypes.c_long(j - i), ctypes.c_long(times)) for i, j in zip(cuts, cuts[1:])
    ]
    if threads == 1:
        call(*work[0])
    else:
        list(pool(threads).map(lambda args: call(*args), work))
