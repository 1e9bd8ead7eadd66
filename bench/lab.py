"""The laboratory: one kernel by shape, with and without the call from Python, in every variant, against the peaks.

Every variant of a matrix product is checked before it is timed.
"""

from __future__ import annotations

import ast
import ctypes
import re
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import native, products
from .ops import contenders as by_name
from .peak import Peak
from .peers import torch_or_none
from .plans import in_plan
from .runner import US, Contender, Row, Settings, aligned, race, repeat

CHOSEN = "chosen"  # the first of matmul_variants: nothing is forced
PACKED = "B packed once"  # as a plan whose weights do not change does it
LEFT_OUT = {
    "highest": 2**-24,
    "high": 2**-15,
    "medium": 2**-7,
}  # by precision, of the sum of |a| |b| (docs/design/numerics.md)
LOOP_LIMIT = 2e9  # operations; a plain loop of more takes too long


@dataclass(frozen=True)
class Case:
    """An op on operands of these shapes."""

    op: str
    text: str
    shapes: tuple[tuple[int, ...], ...]
    attrs: tuple[tuple[str, Any], ...] = ()

    def is_product(self) -> bool:
        """Whether it is a plain product of two matrices, which may run as several variants."""
        return self.op == "matmul" and [len(s) for s in self.shapes] == [2, 2]

    def layout(self) -> str:
        """Of a product: which operands are stored transposed, as `products` says it."""
        a, b = (dict(self.attrs).get(f"transpose_{x}") for x in "ab")
        return f"A{'^T' * bool(a)} B{'^T' * bool(b)}"


def parse(words: tuple[str, ...]) -> list[Case]:
    """The cases in `OP CASE ... [attribute=value ...]`; raises ValueError with what is wrong."""
    from ranvier.ops import OPS

    if not words or words[0] not in OPS:
        raise ValueError(f"lab: {words[0] if words else 'nothing'} is no op; try matmul, softmax, add, sum")
    op, cases = OPS[words[0]], [w for w in words[1:] if "=" not in w]
    if not cases:
        raise ValueError(f"lab: {op.name} needs shapes, such as {op.name} 32x784x128")
    attrs = {}
    for name, _, value in (w.partition("=") for w in words[1:] if "=" in w):
        try:
            attrs[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            attrs[name] = value
    try:
        op.bind(**attrs)
    except TypeError as error:
        raise ValueError(f"lab: {error}") from None
    return [Case(op.name, text, shapes_of(op, text, attrs), tuple(attrs.items())) for text in cases]


def shapes_of(op: Any, text: str, attrs: dict) -> tuple[tuple[int, ...], ...]:
    """Shapes of all operands: "2x3,3x4"; "2x3" for as many as the op takes; "2x3x4" for the product (2, 3) @ (3, 4)."""
    if not re.fullmatch(r"\d+(x\d+)*(,\d+(x\d+)*)*", text):
        raise ValueError(f"lab: {text!r} is no list of shapes, such as 32x784x128 or 32x784,784x128")
    shapes = tuple(tuple(map(int, part.split("x"))) for part in text.split(","))
    if op.name == "matmul" and len(shapes) == 1:
        if len(shapes[0]) != 3:
            raise ValueError(f"lab: {text!r} must be MxKxN for (m, k) @ (k, n), or two shapes")
        m, k, n = shapes[0]
        a, b = (k, m) if attrs.get("transpose_a") else (m, k), (n, k) if attrs.get("transpose_b") else (k, n)
        return a, b
    return shapes * (op.arity or 1) if len(shapes) == 1 else shapes


def measure(settings: Settings, peak: Peak) -> list[Row]:
    return [r for case in parse(settings.words) for dtype in settings.dtypes for r in one(case, dtype, settings, peak)]


def prepare(case: Case, dtype: str, peak: Peak) -> tuple[list[np.ndarray], int, int, int]:
    """Operands; operations and bytes; how many executions one native call shall make."""
    from ranvier.graph.cost import cost_of
    from ranvier.ops import OPS

    op = OPS[case.op]
    rng = np.random.default_rng(0)
    arrays = [aligned(rng.uniform(*op.domain, shape).astype(dtype)) for shape in case.shapes]
    full = op.bind(**dict(case.attrs)).attrs
    specs = op.infer(*arrays, **full)
    outs = specs if isinstance(specs, list) else [specs]
    moved = sum(a.nbytes for a in arrays) + sum(int(np.prod(shape)) * np.dtype(d).itemsize for shape, d in outs)
    flops = cost_of(op, full, arrays, [SimpleNamespace(shape=shape) for shape, _ in outs]).instructions
    least = max(flops / peak.of(dtype), moved / peak.bytes / 10)  # seconds
    return arrays, flops, moved, int(min(256, max(1, 3e-4 / least)))


def one(case: Case, dtype: str, settings: Settings, peak: Peak) -> list[Row]:
    """A row for each contender."""
    arrays, flops, moved, copies = prepare(case, dtype, peak)
    seconds = race(contenders(case, arrays, settings, copies), settings)
    seconds = {name: s / (copies if ", " in name else 1) for name, s in seconds.items()}
    rows = []
    for name, s in seconds.items():
        values = {"us": s * 1e6, "times ours": s / seconds[US]}
        if flops:
            values |= {"GFLOP/s": flops / s / 1e9, "% of FMA peak": 100 * flops / s / peak.of(dtype)}
        values |= {"GB/s": moved / s / 1e9, "% of bandwidth": 100 * moved / s / peak.bytes}
        title = " ".join([case.op, case.text, *(f"{k}={v}" for k, v in case.attrs), dtype])
        rows.append(Row(title, name, "", values))
    return rows


def contenders(case: Case, arrays: list[np.ndarray], settings: Settings, copies: int) -> dict[str, Contender]:
    """Everyone who can do it. Names with a comma are our own kernels in a plan, `copies` executions a run."""
    import ranvier as rv
    from ranvier.ops import OPS

    op, attrs = OPS[case.op], dict(case.attrs)
    tensors = [rv.from_numpy(a) for a in arrays]
    call = lambda *xs: op(*xs, **attrs)  # noqa: E731
    if not case.is_product():
        alone, _ = in_plan(call, tensors, copies)
        others = by_name(op, attrs, arrays, settings)
        return {US: others.pop(US), f"{US}, in a plan": alone, **others}
    layout = case.layout()
    others = products.contenders(*arrays, layout, settings)
    del others[US]  # it knows no attributes
    ours = variants(case, arrays, copies)
    ours = {"in a plan": ours.pop(CHOSEN), **ours}
    (m, k), (_, n) = (v.shape for v in products.views(*arrays, layout))
    if layout == "A B" and 2 * m * k * n <= LOOP_LIMIT and native.compiled() is not None:
        others["plain loop"] = plain_loop(*arrays)
    torch = torch_or_none(settings)
    if attrs.get("precision") == "medium" and torch is not None:
        halves = products.views(*(torch.from_numpy(a).bfloat16() for a in arrays), layout)
        others["torch bfloat16"] = products.product(*halves)
    return {US: repeat(lambda: call(*tensors)), **{f"{US}, {name}": run for name, run in ours.items()}, **others}


def variants(case: Case, arrays: list[np.ndarray], copies: int) -> dict[str, Contender]:
    """Each variant of a product that fits the operands, and B packed once, in plans of `copies` executions; all are checked."""
    import ranvier as rv
    from ranvier._native import matmul_variants
    from ranvier.ops import OPS

    tensors = [rv.from_numpy(a) for a in arrays]
    call = partial(OPS[case.op], **dict(case.attrs))
    makers = {name: partial(in_plan, call, tensors, copies, i) for i, name in enumerate(matmul_variants())}
    makers[PACKED] = partial(in_plan, lambda a: call(a, tensors[1]), tensors[:1], copies, frozen=True)
    precision = dict(case.attrs).get("precision", "highest") if arrays[0].dtype == np.float32 else "highest"
    expected = exact(*products.views(*arrays, case.layout()), LEFT_OUT[precision])
    result = {}
    for name, make in makers.items():
        try:
            run, (out,) = make()
        except ValueError:  # it does not fit these operands
            continue
        run(1)
        check(name, out, *expected)
        result[name] = run
    return result


def exact(a: np.ndarray, b: np.ndarray, left_out: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """a @ b, and how wrong each element may be: k roundings of its terms and what the precision leaves out."""
    bound = a.shape[1] * np.finfo(a.dtype).eps + left_out
    a, b = a.astype(np.float64), b.astype(np.float64)
    return a @ b, bound * (np.abs(a) @ np.abs(b))


def check(what: str, out: np.ndarray, product: np.ndarray, bound: np.ndarray) -> None:
    """Raise unless `out` is `product`."""
    worst = np.max(np.abs(out - product) - bound, initial=0)
    if not worst <= 0:
        raise ArithmeticError(f"lab: {what} gives a wrong product of shape {out.shape}: {worst} beyond its rounding")


def plain_loop(a: np.ndarray, b: np.ndarray) -> Contender:
    (m, k), n = a.shape, b.shape[1]
    out = np.empty((m, n), a.dtype)
    call = native.function(f"product{8 * a.itemsize}")
    sizes = tuple(map(ctypes.c_long, (m, k, n)))
    return lambda times: call(*map(native.pointer, (a, b, out)), *sizes, ctypes.c_long(times))
