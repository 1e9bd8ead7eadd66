"""Single ops, made from the op records: elementwise functions, reductions, and matrix products of many sizes."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .peak import Peak
from .peers import jax_or_none, torch_or_none
from .runner import US, Row, Settings, race, repeat

# (m, k, n): square, and what layers of small and middling nets ask for
PRODUCTS = [
    (4, 2, 4), (32, 10, 64), (1, 784, 128), (32, 784, 128), (128, 512, 512), (64, 64, 64), (128, 128, 128), (256, 256, 256),
    (512, 512, 512), (1024, 1024, 1024), (2048, 64, 64), (64, 2048, 64), (1, 1024, 1024), (1024, 1024, 1),
]  # fmt: skip


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

    rows = []
    rng = np.random.default_rng(0)
    n = 1 << 16 if settings.quick else 1 << 23
    for op in OPS.values():
        if op.kind == "elementwise" and op.rule in ("promote", "float") and op.encode is None:
            try:
                arrays = [rng.uniform(*op.domain, n).astype(np.float32) for _ in range(op.arity)]
                op.infer(*arrays, **op.defaults)
            except TypeError:
                continue
            attrs: dict = {}
        elif len(op.samples) and "dim" in op.defaults and op.kind == "kernel" and op.inplace == {}:
            arrays, attrs = [rng.uniform(*op.domain, (n // 1024, 1024)).astype(np.float32)], {"dim": 1}
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
        percent = None if settings.quick else 100 * moved / seconds[US] / peak.bytes  # small arrays stay in a cache
        rows.append(Row(f"ops on {n} elements (percent: bandwidth)", op.name, "us", {k: s * 1e6 for k, s in seconds.items()},
                        peak_percent=percent))  # fmt: skip
    return rows + products(settings, peak)


def products(settings: Settings, peak: Peak) -> list[Row]:
    import ranvier as rv

    rows = []
    rng = np.random.default_rng(0)
    torch, jax = torch_or_none(settings), jax_or_none()
    for m, k, n in PRODUCTS:
        a, b = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
        ta, tb = rv.from_numpy(a), rv.from_numpy(b)
        work: dict[str, Callable] = {US: repeat(lambda: ta @ tb), "numpy": repeat(lambda: a @ b)}  # noqa: B023
        if torch is not None:
            pa, pb = torch.from_numpy(a), torch.from_numpy(b)
            work["torch"] = repeat(lambda: pa @ pb)  # noqa: B023
        if jax is not None:
            ja, jb, product = jax.numpy.asarray(a), jax.numpy.asarray(b), jax.jit(lambda x, y: x @ y)

            def run(times: int) -> None:
                for _ in range(times):
                    out = product(ja, jb)  # noqa: B023
                out.block_until_ready()

            work["jax"] = run
        seconds = race(work, settings)
        rows.append(Row("matrix product (percent: multiply-adds)", f"({m}, {k}) @ ({k}, {n})", "us",
                        {name: s * 1e6 for name, s in seconds.items()},
                        peak_percent=100 * 2 * m * k * n / seconds[US] / peak.flops))  # fmt: skip
    return rows
