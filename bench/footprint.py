"""What Ranvier costs to have: size of the installed package, time and memory of its import over NumPy's.

    python bench/footprint.py [--max-wheel-mb 5] [--max-import-ms 40] [--max-import-mb 15]

Exits with 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

_MEASURE = """
import resource, time
import numpy
start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{statement}
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def import_cost(runs: int = 9) -> tuple[float, float]:
    """Medians of seconds and MB that `import ranvier` adds to `import numpy`, each in a fresh process."""
    seconds, megabytes = [], []
    for _ in range(runs + 1):
        out = subprocess.run([sys.executable, "-c", _MEASURE.format(statement="import ranvier")], capture_output=True,
                             text=True, check=True).stdout.split()  # fmt: skip
        seconds.append(float(out[0]))
        megabytes.append(float(out[1]) / 1024)
    return statistics.median(seconds[1:]), statistics.median(megabytes[1:])


def package_mb() -> tuple[float, float]:
    """MB of the package's files, without caches: as installed, and compressed as in a wheel."""
    spec = importlib.util.find_spec("ranvier")
    assert spec is not None and spec.origin is not None
    files = (p for p in Path(spec.origin).parent.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    wheel, installed = io.BytesIO(), 0
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as z:
        for file in files:
            installed += file.stat().st_size
            z.write(file)
    return installed / 1e6, wheel.tell() / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-wheel-mb", type=float, default=5)
    parser.add_argument("--max-import-ms", type=float, default=40)
    parser.add_argument("--max-import-mb", type=float, default=15)
    args = parser.parse_args()
    installed, wheel = package_mb()
    seconds, megabytes = import_cost()
    rows = [
        ("package as a wheel", wheel, args.max_wheel_mb, "MB"),
        ("package installed", installed, 3 * args.max_wheel_mb, "MB"),
        ("import time over NumPy's", seconds * 1e3, args.max_import_ms, "ms"),
        ("import memory over NumPy's", megabytes, args.max_import_mb, "MB"),
    ]
    for what, value, limit, unit in rows:
        print(f"{what:28} {value:7.1f} {unit}   at most {limit:g}   {'ok' if value <= limit else 'TOO MUCH'}")
    return int(any(value > limit for _, value, limit, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
