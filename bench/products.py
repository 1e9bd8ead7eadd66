"""Matrix products of many sizes and layouts, called from Python on arrays of each library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .peak import Peak, in_registers, round_of
from .peers import jax_or_none, torch_or_none
from .runner import US, Contender, Row, Settings, Target, aligned, race, repeat

# (m, k, n) of (m, k) @ (k, n)
BEST = "best peer"
SQUARE = {
    32: [Target(1.3, BEST)], 64: [Target(1.3, BEST)], 128: [Target(1.15, BEST)], 256: [Target(1.1, BEST)],
    512: [Target(1.1, BEST)], 1024: [Target(1.05, BEST), Target(90, "peak")], 2048: [Target(1.05, BEST), Target(90, "peak")],
}  # fmt: skip
SKINNY = [(32, 784, 128), (64, 784, 512), (128, 512, 10), (1, 1000, 1000), (256, 1024, 4096), (4096, 64, 64)]
OTHERS = [(4, 2, 4), (32, 10, 64), (2048, 64, 64), (64, 2048, 64), (1024, 1024, 1)]
LAYOUTS = ("", "A^T B", "A B^T")


def operands(m: int, k: int, n: int, dtype: str, layout: str = "") -> tuple[np.ndarray, np.ndarray]:
    """A and B as they lie in memory: in `layout` one of them is stored transposed."""
    rng = np.random.default_rng(0)
    shapes = (k, m) if "A^T" in layout else (m, k), (n, k) if "B^T" in layout else (k, n)
    a, b = (aligned(rng.standard_normal(shape).astype(dtype)) for shape in shapes)
    return a, b


def views(a: Any, b: Any, layout: str) -> tuple[Any, Any]:
    """A and B as they enter the product; a transpose is a view."""
    return (a.T if "A^T" in layout else a), (b.T if "B^T" in layout else b)


def contenders(
    a: np.ndarray, b: np.ndarray, layout: str, settings: Settings, with_jax: bool = True
) -> dict[str, Contender]:
    import ranvier as rv

    ours, theirs = views(rv.from_numpy(a), rv.from_numpy(b), layout), views(a, b, layout)
    result: dict[str, Contender] = {US: product(*ours), "numpy": product(*theirs)}
    torch, jax = torch_or_none(settings), jax_or_none() if with_jax else None
    if torch is not None:
        multiply = product(*views(torch.from_numpy(a), torch.from_numpy(b), layout))

        def run(times: int) -> None:
            with torch.inference_mode():
                multiply(times)

        result["torch"] = run
    if jax is not None:
        result["jax"] = jax_product(jax, a, b, layout)
    return result


def product(a: Any, b: Any) -> Contender:
    return repeat(lambda: a @ b)


def jax_product(jax: Any, a: np.ndarray, b: np.ndarray, layout: str) -> Contender:
    multiply: Callable = jax.jit(lambda x, y: jax.numpy.matmul(*views(x, y, layout)))
    wide = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with wide(a.dtype == np.float64):
        x, y = jax.numpy.asarray(a), jax.numpy.asarray(b)

    def run(times: int) -> None:
        with wide(a.dtype == np.float64):
            for _ in range(times):
                out = multiply(x, y)
            out.block_until_ready()

    return run


def cases() -> list[tuple[tuple[int, int, int], str, list[Target]]]:
    """((m, k, n), layout, targets) of all rows."""
    result = [((n, n, n), "", targets) for n, targets in SQUARE.items()]
    result += [(size, layout, [Target(1.2, BEST)]) for size in SKINNY for layout in LAYOUTS]
    return result + [(size, "", []) for size in OTHERS]


def measure(settings: Settings, peak: Peak) -> list[Row]:
    settings = replace(settings, seconds=settings.budget / 2)  # there are many
    rows = []
    for dtype in settings.dtypes:
        for (m, k, n), layout, targets in cases():
            case = f"({m}, {k}) @ ({k}, {n}) {dtype}{', ' + layout if layout else ''}"
            if not settings.wants(case):
                continue
            work, flops = contenders(*operands(m, k, n, dtype, layout), layout, settings), 2 * m * k * n
            if peak.width and any(t.peer == "peak" for t in targets):
                work["peak"] = at_peak(flops, dtype, settings, peak)
            seconds = race(work, settings)
            floor = seconds.pop("peak", flops / peak.of(dtype))
            rows.append(Row(f"matrix product, {dtype} (percent: multiply-adds)", case, "us", {k: s * 1e6 for k, s in seconds.items()},
                            peak_percent=100 * floor / seconds[US], targets=targets))  # fmt: skip
    return rows


def at_peak(flops: int, dtype: str, settings: Settings, peak: Peak) -> Contender:
    """As many operations in registers: what a product is measured against takes turns with it, like any peer."""
    bits = 8 * np.dtype(dtype).itemsize
    times = flops // round_of(bits, peak.width) // settings.threads
    return repeat(lambda: in_registers(bits, peak.width, settings.threads, times))
