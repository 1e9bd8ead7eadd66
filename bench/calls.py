"""What one eager call costs beside its arithmetic: of tensors, of NumPy's arrays, as views, element by element, as new.

The arrays are NumPy's own, wherever in memory it has put them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .peers import torch_or_none
from .runner import US, Contender, Row, Settings, Target, race, repeat

ARRAYS = f"{US}, arrays"


def measure(settings: Settings) -> list[Row]:
    return [*arithmetic(settings), *views(settings)]


def arithmetic(settings: Settings) -> list[Row]:
    """The same call of tensors and of arrays, beside NumPy's of arrays and PyTorch's of tensors."""
    import ranvier as rv

    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 64)).astype(np.float32)
    m, n = rng.standard_normal((2, 8, 8)).astype(np.float32)
    cases: dict[str, tuple[tuple[np.ndarray, ...], Callable, Callable | None]] = {
        "add (64,)": ((a, b), lambda lib, x, y: lib.add(x, y), np.add),
        "multiply (64,) by a number": ((a,), lambda lib, x: lib.multiply(x, 2.5), lambda x: np.multiply(x, 2.5)),
        "exp (64,)": ((a,), lambda lib, x: lib.exp(x), np.exp),
        "matmul (8, 8)": ((m, n), lambda lib, x, y: lib.matmul(x, y), np.matmul),
        "sum (8, 8), axis=1, keepdims": (
            (m,), lambda lib, x: lib.sum(x, axis=1, keepdims=True), lambda x: np.sum(x, axis=1, keepdims=True)),
        "softmax (8, 8), axis=1": ((m,), lambda lib, x: lib.softmax(x, axis=1), None),
    }  # fmt: skip
    torch, rows = torch_or_none(settings), []
    for case, (arrays, call, numpy) in cases.items():
        tensors = [rv.from_numpy(x) for x in arrays]
        contenders = {US: _of(call, rv, tensors), ARRAYS: _of(call, rv, arrays)}
        if numpy is not None:
            contenders["numpy"] = _of(lambda lib, *x, f=numpy: f(*x), np, arrays)
        if torch is not None:
            contenders["torch"] = _of(call, _TorchNames(torch), [torch.from_numpy(x) for x in arrays])
        rows.append(_row("eager, one call", case, race(contenders, settings), [Target(0.9, US)], ARRAYS))
    return rows


def views(settings: Settings) -> list[Row]:
    """Views, rows one by one, and new tensors; peers do the same on their tensors."""
    import ranvier as rv

    data = np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)
    cases: dict[str, Callable[[Any, Any, list], Any]] = {
        "x.view(-1, 16)": lambda lib, x, rows: x.view(-1, 16),
        "x.t()": lambda lib, x, rows: x.t(),
        "x[3:11]": lambda lib, x, rows: x[3:11],
        "x[i]": lambda lib, x, rows: x[7],
        "x[:, j]": lambda lib, x, rows: x[:, 7],
        "for row in x, 32 rows": lambda lib, x, rows: [None for _ in x],
        "cat of 32": lambda lib, x, rows: lib.cat(rows),
        "stack of 32": lambda lib, x, rows: lib.stack(rows),
        "zeros (32, 64)": lambda lib, x, rows: lib.zeros(32, 64),
        "full (32, 64)": lambda lib, x, rows: lib.full((32, 64), 2.5),
        "arange 32": lambda lib, x, rows: lib.arange(32),
        "rand (32, 64)": lambda lib, x, rows: lib.rand(32, 64),
        "randn (32, 64)": lambda lib, x, rows: lib.randn(32, 64),
    }
    torch, result = torch_or_none(settings), []
    libraries = [(US, rv, rv.from_numpy), *([("torch", torch, torch.from_numpy)] if torch is not None else [])]
    for case, call in cases.items():
        contenders: dict[str, Contender] = {}
        for name, lib, make in libraries:
            contenders[name] = _of(call, lib, [make(data), [make(row) for row in data]])
            if "x" in case and "(32" not in case:  # recorded for a backward pass as well
                leaf = make(data.copy()).requires_grad_()
                contenders[f"{name}, recorded"] = _of(call, lib, [leaf, []])
        result.append(_row("eager, views and new tensors", case, race(contenders, settings), [Target(1, "torch")]))
    return result


def _of(call: Callable, lib: Any, args: Any) -> Contender:
    return repeat(lambda: call(lib, *args))


def _row(group: str, case: str, seconds: dict[str, float], targets: list[Target], ours: str = US) -> Row:
    return Row(group, case, "us", {name: s * 1e6 for name, s in seconds.items()}, targets=targets, ours=ours)


class _TorchNames:
    """PyTorch's functions, which take `axis` and `keepdims` where NumPy's do, but for softmax."""

    def __init__(self, torch: Any):
        self.add, self.multiply, self.exp, self.matmul = torch.add, torch.multiply, torch.exp, torch.matmul
        self.sum, self.softmax = torch.sum, lambda x, axis: torch.softmax(x, axis)
