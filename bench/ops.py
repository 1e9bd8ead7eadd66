"""Single ops, made from the op records: elementwise functions (also in cache) and reductions; and ops that move data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from . import moving
from .peak import Peak
from .peers import torch_or_none
from .runner import US, Row, Settings, aligned, race, repeat


def named_alike(torch: Any, name: str) -> Callable | None:
    """PyTorch's function of the same name."""
    found = getattr(torch.nn.functional, name, None) or getattr(torch, name, None)
    return found if callable(found) else None


def contenders(op: Any, attrs: dict, arrays: list[np.ndarray], settings: Settings) -> dict[str, Callable]:
    import ranvier as rv

    tensors = [rv.from_numpy(a) for a in arrays]
    full = op.bind(**attrs).attrs
    result = {US: repeat(lambda: op(*tensors, **attrs)), "numpy": repeat(lambda: op.reference(np, *arrays, **full))}
    torch = torch_or_none(settings)
    if torch is not None and not op.defaults or op.kind != "elementwise":
        function = named_alike(torch, op.name) if torch is not None else None
        if function is not None:
            theirs = [torch.from_numpy(a) for a in arrays]
            try:
                with torch.inference_mode():
                    function(*theirs, **attrs)
            except (TypeError, RuntimeError, ValueError):
                return result

            def run(times: int) -> None:
                with torch.inference_mode():
                    for _ in range(times):
                        function(*theirs, **attrs)

            result["torch"] = run
    return result


def measure(settings: Settings, peak: Peak) -> list[Row]:
    from ranvier.ops import OPS

    settings = replace(settings, seconds=settings.budget / 3)  # there are many
    rows = []
    rng = np.random.default_rng(0)
    large, small = 1 << 16 if settings.quick else 1 << 23, 1 << 14  # small ones, with their results, fit L2
    for op, n in [(op, n) for n in (large, small) for op in OPS.values()]:
        name = op.name if n == large else f"{op.name}, in cache"
        if not settings.wants(name):
            continue
        if op.kind == "elementwise" and op.rule in ("promote", "float") and op.encode is None:
            try:
                arrays = [aligned(rng.uniform(*op.domain, n).astype(np.float32)) for _ in range(op.arity)]
                op.infer(*arrays, **op.defaults)
            except TypeError:
                continue
            attrs: dict = {}
        elif n == large and len(op.samples) and "dim" in op.defaults and op.kind == "kernel" and op.inplace == {}:
            arrays, attrs = [aligned(rng.uniform(*op.domain, (n // 1024, 1024)).astype(np.float32))], {"dim": 1}
            try:
                specs = op.infer(*arrays, **op.bind(**attrs).attrs)
                if not all(np.dtype(d).kind == "f" for _, d in (specs if type(specs) is list else [specs])):
                    continue
            except TypeError:
                try:  # a tuple of axes
                    attrs = {"dim": (1,)}
                    op.infer(*arrays, **op.bind(**attrs).attrs)
                except TypeError:
                    continue
        else:
            continue
        seconds = race(contenders(op, attrs, arrays, settings), settings)
        out = op(*arrays, **attrs)
        moved = sum(a.nbytes for a in arrays) + sum(o.nbytes for o in (out if isinstance(out, tuple) else (out,)))
        percent = None if settings.quick or n == small else 100 * moved / seconds[US] / peak.bytes
        rows.append(Row(f"ops on {n} elements{' (percent: bandwidth)' * (n == large)}", name, "us", {k: s * 1e6 for k, s in seconds.items()},
                        peak_percent=percent))  # fmt: skip
    return rows + moving.measure(settings)
