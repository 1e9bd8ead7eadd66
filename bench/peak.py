"""The machine's peak, measured: float32 multiply-adds and memory bandwidth on the threads that are in use."""
from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# 12 independent chains hide the latency of a multiply-add on every CPU so far
SOURCE = """
typedef float v __attribute__((vector_size(WIDTH)));
float chains(long n) {
  v x[12]; for (int i = 0; i < 12; ++i) for (int j = 0; j < WIDTH / 4; ++j) x[i][j] = i + j;
  v a = x[0] * 0 + 0.999f, b = x[0] * 0 + 0.001f;
  for (long k = 0; k < n; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) x[i] = x[i] * a + b;
  }
  v s = x[0]; for (int i = 1; i < 12; ++i) s += x[i];
  float t = 0; for (int j = 0; j < WIDTH / 4; ++j) t += s[j];
  return t;
}
"""


@dataclass
class Peak:
    """flops and bytes a second; `how` says what the first comes from."""

    flops: float
    bytes: float
    how: str


def best(work: object, seconds: float) -> float:
    """The least time of one run of `work`."""
    result, ends = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends:
        started = time.perf_counter()
        work()  # type: ignore[operator]
        result = min(result, time.perf_counter() - started)
    return result


def compiled_peak(threads: int, seconds: float) -> float | None:
    """Multiply-adds in registers, through whatever C compiler there is; None without one."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    fastest = None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "peak.c")
        source.write_text(SOURCE)
        for width in (16, 32, 64):
            library = Path(folder, f"peak{width}.so")
            command = [compiler, "-O3", "-march=native", "-ffp-contract=fast", "-mprefer-vector-width=512", f"-DWIDTH={width}",
                       "-shared", "-fPIC", str(source), "-o", str(library)]  # fmt: skip
            if subprocess.run(command, capture_output=True).returncode:
                command.remove("-mprefer-vector-width=512")
                if subprocess.run(command, capture_output=True).returncode:
                    continue
            chains = ctypes.CDLL(str(library)).chains
            chains.argtypes, chains.restype = [ctypes.c_long], ctypes.c_float
            n = 200_000
            with ThreadPoolExecutor(threads) as pool:
                taken = best(lambda: list(pool.map(chains, [n] * threads)), seconds / 3)  # noqa: B023
            rate = threads * n * 12 * (width // 4) * 2 / taken
            fastest = max(fastest or 0.0, rate)
    return fastest


def measure_peak(threads: int, seconds: float = 0.3) -> Peak:
    rate, how = compiled_peak(threads, seconds), "multiply-adds in registers"
    if rate is None:
        a = np.ones((1024, 1024), np.float32)
        rate, how = 2 * 1024**3 / best(lambda: a @ a, seconds), "NumPy's matrix product"
    source = np.ones(1 << 24, np.float32)
    target = np.ones_like(source)  # written once: no page faults below
    return Peak(rate, 2 * source.nbytes / best(lambda: np.copyto(target, source), seconds), how)
