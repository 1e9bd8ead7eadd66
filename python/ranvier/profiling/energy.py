"""Energy: measured where the system tells, else an estimate, and always which of the two."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

POWERCAP = Path("/sys/class/powercap")

# picojoules of a circuit in 45 nm at 0.9 V
_ADD, _MULTIPLY, _BYTE_OF_MEMORY = 0.9, 3.7, 1300 / 8
SOURCE = (
    f"estimated: {_MULTIPLY + _ADD:.1f} pJ a float32 multiply-add, {_ADD} pJ any other operation (float64: twice that), "
    f"{_BYTE_OF_MEMORY} pJ a byte moved; M. Horowitz, Computing's Energy Problem, ISSCC 2014, 45 nm. This is what the "
    "circuits take; a processor takes 10 to 100 times as much"
)


class Energy(NamedTuple):
    """joules, and where the number comes from: "measured: ..." or "estimated: ..."."""

    joules: float
    source: str


def estimated(macs: float, others: float, nbytes: float, itemsize: int = 4) -> Energy:
    """What the circuits take for these operations and bytes."""
    wide = max(itemsize / 4, 1)
    picojoules = wide * (macs * (_MULTIPLY + _ADD) + others * _ADD) + nbytes * _BYTE_OF_MEMORY
    return Energy(picojoules * 1e-12, SOURCE)


class Meter:
    """Reads the counters of the processor's packages and of memory (Linux's powercap, RAPL).

    A package's counter does not hold that of its memory; "psys" holds both, and is left out.
    """

    least = 0.01  # seconds below which the counters are too coarse

    def __init__(self, folder: Path = POWERCAP) -> None:
        self._zones: list[tuple[Path, int]] = []
        for zone in sorted(folder.glob("intel-rapl:*")):
            try:
                name = (zone / "name").read_text().strip()
                if not name.startswith("package") and name != "dram":
                    continue
                int((zone / "energy_uj").read_text())  # readable by root alone on many systems
                self._zones.append((zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())))
            except (OSError, ValueError):
                continue
        self._start: list[int] = []
        self._began = 0.0

    def start(self) -> None:
        """Begin."""
        self._start = self._read()
        self._began = time.perf_counter()

    def stop(self) -> Energy | None:
        """The energy since `start`, of all that ran on the machine; None where it cannot be measured."""
        seconds = time.perf_counter() - self._began
        if not self._zones or seconds < self.least:
            return None
        try:
            now = self._read()
        except (OSError, ValueError):
            return None
        spans = [(b - a) % (limit + 1) for a, b, (_, limit) in zip(self._start, now, self._zones, strict=True)]
        return Energy(sum(spans) * 1e-6, f"measured: RAPL, {len(spans)} zones, with all else that ran on the machine")

    def _read(self) -> list[int]:
        return [int(path.read_text()) for path, _ in self._zones]
