"""What compressing has gained and cost, side by side."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..compiling import compile
from ..core.context import no_grad
from ..core.errors import DomainError
from ..core.tensor import as_tensor
from ..nn import Module
from ..profiling import profile
from ..train.predictor import evaluating
from .common import BATCH, notes, require_module

_RUNS = 25  # of each model, in turn
_UNITS = {"seconds": (1e3, "ms"), "energy_joules": (1e3, "mJ"), "bytes": (2**-10, "KiB"), "peak_bytes": (2**-10, "KiB")}


class Comparison:
    """Figures of models beside those of the first, which the others were made from.

    Attributes:
        rows: by the model's name a dict of `accuracy` (or `error`: the mean square, where targets are no class numbers),
            `parameters`, `bytes` of the saved file, `flops` and `peak_bytes` of a forward pass, `seconds` measured,
            `energy_joules` and `energy_source`.
        batch: how many rows a forward pass had.
    """

    def __init__(self, rows: dict[str, dict[str, Any]], batch: int, lines: list[str]):
        self.rows, self.batch, self._lines = rows, batch, lines

    @property
    def ratios(self) -> dict[str, dict[str, float]]:
        """How many times smaller each figure is than the first model's; of accuracy and error the difference."""
        first, *others = self.rows
        result: dict[str, dict[str, float]] = {}
        for name in others:
            row = result[name] = {}
            for key, value in self.rows[name].items():
                was = self.rows[first][key]
                if key in ("accuracy", "error"):
                    row[key] = value - was
                elif isinstance(value, (int, float)) and isinstance(was, (int, float)):
                    row[key] = was / value if value else float("inf")
        return result

    def to_dict(self) -> dict[str, Any]:
        """All figures, in plain Python."""
        return {"batch": self.batch, "rows": self.rows, "ratios": self.ratios}

    def __str__(self) -> str:
        keys = [key for key in next(iter(self.rows.values())) if key != "energy_source"]
        table = [("", *(f"{key.removesuffix('_joules')}{_unit(key)}" for key in keys))]
        for name, row in self.rows.items():
            ratios = self.ratios.get(name, {})
            table.append((name, *(_cell(key, row[key], ratios.get(key)) for key in keys)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(f"{cell:>{w}}" if i else f"{cell:{w}}" for i, (cell, w) in enumerate(zip(row, widths)))
                 for row in table]  # fmt: skip
        source = next(iter(self.rows.values()))["energy_source"]
        ends = [
            f"{self.batch} rows at once; in brackets how many times less than {next(iter(self.rows))!r}",
            f"energy {source}",
        ]
        return "\n".join([*map(str.rstrip, lines), *ends, *self._lines])

    __repr__ = __str__


def _unit(key: str) -> str:
    return f" [{_UNITS[key][1]}]" if key in _UNITS else ""


def _cell(key: str, value: Any, ratio: float | None) -> str:
    if value is None:
        return "-"
    if key == "accuracy":
        return f"{value:.2%}"
    text = (
        f"{value * _UNITS[key][0]:.4g}"
        if key in _UNITS
        else f"{value:.4g}"
        if isinstance(value, float)
        else f"{value:,}"
    )
    return text if ratio is None or key == "error" else f"{text} ({ratio:.2f}x)"


def report(before: Module, after: Any, data: Any, *, metric: Callable | None = None, batch: int = BATCH) -> Comparison:
    """Accuracy, size on disk, operations, peak memory, measured time and energy of `before` and of what was made from it.

    Args:
        after: a model, or a dict of names and models. data: (x, y), arrays of inputs and targets.
        metric: (outputs, targets) -> a number, in place of the share of right answers (for class numbers) or the mean
            square of the error. batch: rows of the forward pass that is measured.

    Times are the least of compiled forward passes that the models run in turn. Operations, memory and energy are those of
    `rv.profile`; energy says whether it was measured or estimated.

    >>> import numpy as np, ranvier as rv
    >>> from ranvier import nn
    >>> x = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    >>> model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    >>> found = rv.compress.report(model, rv.compress.prune(model, 0.5, x[:1]), (x, (x[:, 0] > 0).astype(np.int64)))
    >>> found.ratios["after"]["parameters"] > 1.9
    True
    """
    models = {"before": before, **(dict(after) if isinstance(after, Mapping) else {"after": after})}
    for name, model in models.items():
        require_module(f"report: {name}", model)
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DomainError("report: data must be (x, y), arrays of inputs and targets")
    x, y = as_tensor(data[0]), np.asarray(data[1])
    if len(x) == 0 or len(x) != len(y):
        raise DomainError(f"report: x has {len(x)} rows and y {len(y)}: both must have as many, at least one")
    some = x[:batch]
    times = _seconds(models, some)
    rows: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        totals = profile(model, some).totals
        rows[name] = {
            **_quality(model, x, y, metric, batch),
            "parameters": sum(t.numel() for t in model.state_dict().values()),
            "bytes": _file_bytes(model),
            "flops": totals["flops_forward"],
            "peak_bytes": totals["peak_bytes"],
            "seconds": times[name],
            "energy_joules": totals["energy_joules"],
            "energy_source": totals["energy_source"],
        }
    lines = [f"{name}: {line}" for name, model in models.items() for line in notes(model)]
    return Comparison(rows, len(some), lines)


def _quality(model: Module, x: Any, y: np.ndarray, metric: Callable | None, batch: int) -> dict[str, float]:
    with evaluating(model), no_grad():
        outputs = np.concatenate([model(x[i : i + batch]).numpy() for i in range(0, len(x), batch)])
    if metric is not None:
        return {getattr(metric, "__name__", "metric"): float(metric(outputs, y))}
    if y.dtype.kind in "iu":
        return {"accuracy": float((outputs.argmax(1) == y).mean())}
    return {"error": float(np.square(outputs - y).mean())}


def _file_bytes(model: Module) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        model.save(path)
        return os.path.getsize(path)


def _seconds(models: dict[str, Module], x: Any) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in models}
    modes = {name: model.training for name, model in models.items()}
    try:
        with no_grad():
            compiled = {name: compile(model.eval(), frozen=True) for name, model in models.items()}
            for turn in range(_RUNS + 3):
                for name, run in compiled.items():
                    began = time.perf_counter()
                    run(x)
                    if turn >= 3:  # compiled, and warm
                        found[name].append(time.perf_counter() - began)
    finally:
        for name, model in models.items():
            model.train(modes[name])
    return {name: min(times) for name, times in found.items()}
