"""Matrix products: matmul and linear, and what is made of them.

Both records run on one native kernel (csrc/cpu/gemm/): transposes are flags, not copies, and elementwise ops that follow
a product are applied to its result in the same instruction.
"""

from __future__ import annotations

from typing import Any

from ..core.context import Epoch
from ..core.dtypes import bool_
from ..core.errors import DomainError, DTypeError, ShapeError
from .elementwise import add, mul
from .public import Array
from .record import Aval, Op, Sample, Spec, broadcast_shapes, normalize_axis
from .shape import permute, reshape, unsqueeze
from .standardize import absorbed

__all__ = [
    "addbmm", "addmm", "addmv", "baddbmm", "bilinear", "bmm", "dot", "get_float32_matmul_precision", "inner", "linear",
    "matmul", "mm", "mv", "outer", "set_float32_matmul_precision", "tensordot", "vdot",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py


def _same_dtype(name: str, *named: tuple[str, Aval]) -> None:
    (first, a), *others = named
    for label, b in others:
        if b.dtype != a.dtype:
            raise DTypeError(f"{name}: {first} is {a.dtype} and {label} is {b.dtype}: they must have the same dtype")
    if a.dtype == bool_:
        raise DTypeError(f"{name}: dtype bool must be a numeric one")


def _product(shape: tuple[int, ...]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


# ---------------------------------------------------------------- precision

_PRECISIONS = ("highest", "high", "medium")  # by the native kernel's number


def get_float32_matmul_precision() -> str:
    """The precision of float32 matrix products: see `set_float32_matmul_precision`."""
    return _matmul.defaults["precision"]


def set_float32_matmul_precision(precision: str) -> None:
    """Let float32 matrix products give up accuracy for speed, in the whole process.

    Some CPUs multiply bfloat16 numbers faster than float32. On these, operands are split into terms of 8 bits,
    x = hi + mid + lo with hi = bf16(x), mid = bf16(x - hi), lo = bf16(x - hi - mid), and products of terms are summed in
    float32. The largest error of sum over p of a[p] b[p], beside the rounding of the sum itself:

    - "highest" (the default): float32 accuracy, by float32 arithmetic or by three terms and 6 of their products, which
      leave out at most 2**-24 of sum |a| |b|, as much as one rounding of float32;
    - "high": two terms and 3 products, 2**-15 (on random matrices about 5e-6 of the largest result), or "highest";
    - "medium": one term, 2**-7 (about 2.5e-3), or "high".

    A way is taken only where it is faster: AMX serves all three, AVX512_BF16 "medium" on AMD's Zen 4 and 5; `ranvier
    info` says what there is. Small products, infinities, NaNs and values out of the terms' range go by float32 arithmetic.
    Counts for matmul, linear and what is made of them, eager and compiled; not for float64, nor on backend("numpy"). A
    gradient's products have the precision that their forward pass had.

    Raises:
        DomainError: another word.

    >>> import ranvier as rv
    >>> rv.set_float32_matmul_precision("high")
    >>> rv.get_float32_matmul_precision()
    'high'
    >>> rv.set_float32_matmul_precision("highest")
    """
    if precision not in _PRECISIONS:
        known = ", ".join(map(repr, _PRECISIONS))
        raise DomainError(f"set_float32_matmul_precision: precision={precision!r} must be one of {known}")
    for op in (_matmul, _linear):
        op.set_default(precision=precision)
    Epoch.bump()  # compiled functions look at their guards


def _encode(*inputs: Aval, precision: str, transpose_a: bool = False, transpose_b: bool = True) -> dict[str, Any]:
    return {
        "transpose_a": transpose_a,
        "transpose_b": transpose_b,
        "bias": len(inputs) == 3,
        "precision": _PRECISIONS.index(precision),
        "variant": 0,  # the kernel's own choice
    }


# ---------------------------------------------------------------- matmul


def _matrix(shape: tuple[int, ...], transpose: bool) -> tuple[int, int]:
    rows, columns = shape[-2:]
    return (columns, rows) if transpose else (rows, columns)


def _matmul_infer(a: Aval, b: Aval, *, transpose_a: bool, transpose_b: bool, precision: str) -> Spec:
    text = f"matmul: a{a.shape}{'.mT' if transpose_a else ''} @ b{b.shape}{'.mT' if transpose_b else ''}"
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise ShapeError(f"{text}: both must have at least 2 axes")
    _same_dtype("matmul", ("a", a), ("b", b))
    (m, k), (rows, n) = _matrix(a.shape, transpose_a), _matrix(b.shape, transpose_b)
    if k != rows:
        left, right = -2 if transpose_a else -1, -1 if transpose_b else -2
        raise ShapeError(f"{text}: a.shape[{left}]={k} must equal b.shape[{right}]={rows}")
    return (*broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2]), m, n), a.dtype


def _mt(xp: Any, x: Any, transpose: bool) -> Any:
    return xp.swapaxes(x, -1, -2) if transpose else x


def _matmul_vjp(g: Any, out: Any, a: Any, b: Any, *, transpose_a: bool, transpose_b: bool, precision: str) -> tuple:
    # C = A B: dA = dC B^T, dB = A^T dC, each transposed once more where the operand came transposed
    ga = gb = None
    if a.requires_grad:
        if transpose_a:
            ga = _matmul(b, g, transpose_a=transpose_b, transpose_b=True, precision=precision)
        else:
            ga = _matmul(g, b, transpose_a=False, transpose_b=not transpose_b, precision=precision)
    if b.requires_grad:
        if b.ndim == 2 and a.ndim > 2 and not transpose_a:  # one matrix for all: its gradient is one long product
            rows = _product(a.shape[:-1])
            a, g = reshape(a, (rows, a.shape[-1])), reshape(g, (rows, g.shape[-1]))
        if transpose_b:
            gb = _matmul(g, a, transpose_a=True, transpose_b=transpose_a, precision=precision)
        else:
            gb = _matmul(a, g, transpose_a=not transpose_a, transpose_b=False, precision=precision)
    return ga, gb


def _matmul_terms(a: Aval, b: Aval, *, transpose_a: bool, transpose_b: bool, precision: str) -> int:
    return _matrix(a.shape, transpose_a)[1]


def _matmul_macs(a: Aval, b: Aval, *, transpose_a: bool, transpose_b: bool, precision: str) -> int:
    shape, _ = _matmul_infer(a, b, transpose_a=transpose_a, transpose_b=transpose_b, precision=precision)
    return _product(shape) * _matrix(a.shape, transpose_a)[1]


_matmul = Op(
    "matmul", kind="kernel", attrs={"transpose_a": False, "transpose_b": False, "precision": "highest"}, saves=("i1", "i0"),
    epilogue=True, setting=get_float32_matmul_precision,
    infer=_matmul_infer,
    reference=lambda xp, a, b, *, transpose_a, transpose_b, precision: xp.matmul(
        _mt(xp, a, transpose_a), _mt(xp, b, transpose_b)
    ),
    vjp=_matmul_vjp,
    encode=_encode,
    macs=_matmul_macs, terms=_matmul_terms, onnx="MatMul",
    samples=[
        Sample(((3, 4), (4, 5))), Sample(((1, 1), (1, 1))), Sample(((17, 33), (33, 40))), Sample(((1, 70), (70, 37))),
        Sample(((37, 70), (70, 1))), Sample(((33, 100), (45, 100)), {"transpose_b": True}),
        Sample(((100, 33), (100, 45)), {"transpose_a": True}), Sample(((2, 1100), (1100, 3))),
        Sample(((20, 9), (7, 20)), {"transpose_a": True, "transpose_b": True}),
        Sample(((4, 20, 9), (3, 1, 20, 7)), {"transpose_a": True}), Sample(((2, 3, 4), (4, 5))),
        Sample(((9, 1, 4, 5), (3, 5, 6))), Sample(((2, 3, 4), (2, 5, 4)), {"transpose_b": True}),
        Sample(((0, 4), (4, 3))), Sample(((2, 0), (0, 3))), Sample(((0, 2, 3), (3, 4))), Sample(((3, 4), (4, 0))),
    ],
    doc="out[..., i, j] = sum over p of a[..., i, p] b[..., p, j]; transposes exchange an operand's last two axes",
)  # fmt: skip


# ---------------------------------------------------------------- linear


def _linear_infer(x: Aval, weight: Aval, bias: Aval | None = None, *, precision: str) -> Spec:
    text = f"linear: x{x.shape} @ weight{weight.shape}.T"
    if len(weight.shape) != 2:
        raise ShapeError(f"{text}: weight must have 2 axes, (out_features, in_features)")
    if len(x.shape) < 2:
        raise ShapeError(f"{text}: x must have at least 1 axis")
    n, k = weight.shape
    if x.shape[-1] != k:
        raise ShapeError(f"{text}: x.shape[-1]={x.shape[-1]} must equal in_features={k}")
    _same_dtype("linear", ("x", x), ("weight", weight), *([] if bias is None else [("bias", bias)]))
    if bias is not None and bias.shape != (n,):
        raise ShapeError(f"{text} + bias{bias.shape}: bias.shape must be (out_features,)=({n},)")
    return (*x.shape[:-1], n), x.dtype


def _linear_reference(xp: Any, x: Any, weight: Any, bias: Any = None, *, precision: str) -> Any:
    product = xp.matmul(x, weight.T)
    return product if bias is None else product + bias


def _linear_vjp(g: Any, out: Any, x: Any, weight: Any, bias: Any = None, *, precision: str) -> tuple:
    gx = _matmul(g, weight, transpose_a=False, transpose_b=False, precision=precision) if x.requires_grad else None
    lines = _product(g.shape[:-1])
    rows = reshape(g, (lines, g.shape[-1])) if g.ndim > 2 else g
    gw = None
    if weight.requires_grad:
        columns = reshape(x, (lines, x.shape[-1])) if x.ndim > 2 else x
        gw = _matmul(rows, columns, transpose_a=True, transpose_b=False, precision=precision)
    if bias is None:
        return gx, gw
    return gx, gw, rows.sum(0) if bias.requires_grad else None


def _linear_op(name: str, encode: Any, doc: str) -> Op:
    return Op(
        name, kind="kernel", attrs={"precision": "highest"}, saves=("i1", "i0"), kernel="matmul", epilogue=True,
        absorb=(-1, absorbed), setting=get_float32_matmul_precision,
        infer=_linear_infer, reference=_linear_reference, vjp=_linear_vjp, encode=encode,
        macs=lambda *inputs, **attrs: inputs[0].shape[-1] * _product(_linear_infer(*inputs, **attrs)[0]),
        elements=lambda *inputs, **attrs: (len(inputs) - 2) * _product(_linear_infer(*inputs, **attrs)[0]),
        terms=lambda *inputs, precision: inputs[0].shape[-1], onnx="Gemm",
        samples=[
            Sample(((32, 10), (64, 10), (64,))), Sample(((1, 64), (1, 64), (1,))), Sample(((7, 100), (33, 100))),
            Sample(((2, 3, 20), (5, 20), (5,))), Sample(((70, 1), (3, 1), (3,))), Sample(((0, 4), (3, 4), (3,))),
            Sample(((2, 0), (3, 0), (3,))), Sample(((5, 1500), (40, 1500), (40,))), Sample(((1, 3, 1), (1, 1), (1,))),
        ],
        doc=doc,
    )  # fmt: skip


def _encode_steady(x: Aval, *others: Aval, precision: str) -> dict[str, Any]:
    attrs = _encode(x, *others, precision=precision)
    if precision == "highest" and x.shape[-1]:
        attrs["variant"] = 1  # `outer`, whose sums run in the order of k in tiles of any size
    return attrs


_linear = _linear_op("linear", _encode, "x @ weight.T + bias over the last axis of x")
steady_linear = _linear_op(
    "steady_linear",
    _encode_steady,
    "linear, where at precision 'highest' a row's bits do not depend on how many rows there are",
)


# ---------------------------------------------------------------- public functions


def matmul(input: Array, other: Array) -> Array:
    """The matrix product, as `input @ other`.

    Two vectors give their dot product (a 0-d tensor); a vector with a matrix counts as one row or one column; with more
    than two axes, the last two are the matrices and the others broadcast.

    Raises:
        ShapeError: the last axis of `input` differs from the last but one (or only) axis of `other`.
        DTypeError: the dtypes differ, or are bool.

    >>> import ranvier as rv
    >>> rv.matmul(rv.ones(2, 3), rv.ones(3)).tolist()
    [3.0, 3.0]
    >>> rv.matmul(rv.ones(5, 2, 3), rv.ones(3, 4)).shape
    (5, 2, 4)
    """
    n, m = input.ndim, other.ndim
    if n >= 2 and m >= 2:
        return _matmul(input, other)
    if n == 0 or m == 0:
        raise ShapeError(f"matmul: a{input.shape} @ b{other.shape}: both must have at least 1 axis; use * for numbers")
    size = other.shape[max(m - 2, 0)]
    if input.shape[-1] != size:
        raise ShapeError(
            f"matmul: a{input.shape} @ b{other.shape}: a.shape[-1]={input.shape[-1]} must equal "
            f"b.shape[{-2 if m > 1 else -1}]={size}"
        )
    if n == 1 and m == 1:
        return reshape(_matmul(reshape(input, (1, size)), reshape(other, (size, 1))), ())
    if n == 1:
        out = _matmul(reshape(input, (1, size)), other)
        return reshape(out, (*out.shape[:-2], out.shape[-1]))
    out = _matmul(input, reshape(other, (size, 1)))
    return reshape(out, out.shape[:-1])


def _ranks(name: str, wanted: str, *operands: tuple[str, Any, int]) -> None:
    if any(x.ndim != n for _, x, n in operands):
        raise ShapeError(f"{name}: {', '.join(f'{label}{x.shape}' for label, x, _ in operands)}: must be {wanted}")


def mm(input: Array, mat2: Array) -> Array:
    """The product of two matrices: (n, k) @ (k, m) -> (n, m)."""
    _ranks("mm", "two matrices", ("input", input, 2), ("mat2", mat2, 2))
    return _matmul(input, mat2)


def bmm(input: Array, mat2: Array) -> Array:
    """A batch of matrix products: (b, n, k) @ (b, k, m) -> (b, n, m)."""
    _ranks("bmm", "(b, n, k) and (b, k, m)", ("input", input, 3), ("mat2", mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(f"bmm: input{input.shape}, mat2{mat2.shape}: shape[0] must be equal; matmul broadcasts")
    return _matmul(input, mat2)


def mv(input: Array, vec: Array) -> Array:
    """A matrix times a vector: (n, m) @ (m) -> (n)."""
    _ranks("mv", "a matrix and a vector", ("input", input, 2), ("vec", vec, 1))
    return matmul(input, vec)


def dot(input: Array, tensor: Array) -> Array:
    """The sum of the products of two vectors' elements.

    >>> import ranvier as rv
    >>> rv.dot(rv.tensor([1.0, 2.0]), rv.tensor([3.0, 4.0])).item()
    11.0
    """
    _ranks("dot", "two vectors", ("input", input, 1), ("tensor", tensor, 1))
    return matmul(input, tensor)


def vdot(input: Array, other: Array) -> Array:
    """`dot`, by its other name."""
    return dot(input, other)


def inner(input: Array, other: Array) -> Array:
    """Dot products along the last axes: out[i..., j...] = sum over p of input[i..., p] other[j..., p]."""
    if input.ndim == 0 or other.ndim == 0:
        return mul(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(f"inner: input{input.shape}, other{other.shape}: the last axes must be equally long")
    return tensordot(input, other, ([-1], [-1]))


def outer(input: Array, vec2: Array) -> Array:
    """out[i, j] = input[i] * vec2[j]."""
    _ranks("outer", "two vectors", ("input", input, 1), ("vec2", vec2, 1))
    return mul(unsqueeze(input, 1), unsqueeze(vec2, 0))


def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """`input @ weight.T + bias`: the fully connected layer.

    Args:
        input: (..., in_features). weight: (out_features, in_features). bias: (out_features), or None.

    Returns:
        (..., out_features)

    >>> import ranvier as rv
    >>> rv.ops.linear(rv.ones(2, 3), rv.ones(4, 3), rv.ones(4)).shape
    (2, 4)
    """
    if input.ndim == 1:
        out = linear(reshape(input, (1, -1)), weight, bias)
        return reshape(out, out.shape[1:])
    return _linear(input, weight) if bias is None else _linear(input, weight, bias)


def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Array:
    """out[..., o] = sum over i, j of input1[..., i] weight[o, i, j] input2[..., j] + bias[o].

    Args:
        input1: (..., in1_features). input2: (..., in2_features). weight: (out_features, in1_features, in2_features).
    """
    text = f"bilinear: input1{input1.shape}, input2{input2.shape}, weight{weight.shape}"
    if weight.ndim != 3 or input1.ndim == 0 or input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(f"{text}: must be (..., i), (..., j) and (o, i, j)")
    n, i, j = weight.shape
    if (input1.shape[-1], input2.shape[-1]) != (i, j):
        raise ShapeError(f"{text}: the inputs' last axes must be in1_features={i} and in2_features={j}")
    lead = input1.shape[:-1]
    left = _matmul(reshape(input1, (_product(lead), i)), reshape(permute(weight, (1, 0, 2)), (i, n * j)))
    out = _matmul(reshape(left, (_product(lead), n, j)), reshape(input2, (_product(lead), j, 1)))
    out = reshape(out, (*lead, n))
    return out if bias is None else add(out, bias)


def _scaled(input: Any, product: Any, beta: float, alpha: float) -> Any:
    if alpha != 1:
        product = mul(product, alpha)
    if beta == 0:
        return product
    return add(input if beta == 1 else mul(input, beta), product)


def _fits(name: str, input: Any, out: Any) -> Any:
    if broadcast_shapes(name, input.shape, out.shape) != out.shape:
        raise ShapeError(f"{name}: input{input.shape} must broadcast to the product's shape {out.shape}")
    return out


def addmm(input: Array, mat1: Array, mat2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * (mat1 @ mat2); `input` broadcasts."""
    return _scaled(input, _fits("addmm", input, mm(mat1, mat2)), beta, alpha)


def addmv(input: Array, mat: Array, vec: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * (mat @ vec); `input` broadcasts."""
    return _scaled(input, _fits("addmv", input, mv(mat, vec)), beta, alpha)


def baddbmm(input: Array, batch1: Array, batch2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * bmm(batch1, batch2); `input` broadcasts."""
    return _scaled(input, _fits("baddbmm", input, bmm(batch1, batch2)), beta, alpha)


def addbmm(input: Array, batch1: Array, batch2: Array, *, beta: float = 1, alpha: float = 1) -> Array:
    """beta * input + alpha * (the sum of the products of bmm(batch1, batch2)); `input` broadcasts."""
    _ranks("addbmm", "(b, n, k) and (b, k, m)", ("batch1", batch1, 3), ("batch2", batch2, 3))
    if batch1.shape[0] != batch2.shape[0]:
        raise ShapeError(f"addbmm: batch1{batch1.shape}, batch2{batch2.shape}: shape[0] must be equal")
    return _scaled(input, _fits("addbmm", input, tensordot(batch1, batch2, ([0, 2], [0, 1]))), beta, alpha)


def tensordot(a: Array, b: Array, dims: Any = 2) -> Array:
    """The sum of products over several axes at once.

    Args:
        dims: a number n (the last n axes of `a` with the first n of `b`), or the axes of `a` and those of `b`.

    >>> import ranvier as rv
    >>> rv.tensordot(rv.ones(2, 3, 4), rv.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    (2, 5)
    """
    if isinstance(dims, (tuple, list)):
        over_a, over_b = ([d] if isinstance(d, int) else list(d) for d in dims)
    else:
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ShapeError(
                f"tensordot: dims={dims} must be in [0, {min(a.ndim, b.ndim)}] for a{a.shape} and b{b.shape}"
            )
        over_a, over_b = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    over_a = [normalize_axis("tensordot", d, a.ndim) for d in over_a]
    over_b = [normalize_axis("tensordot", d, b.ndim) for d in over_b]
    sizes_a, sizes_b = [a.shape[d] for d in over_a], [b.shape[d] for d in over_b]
    if sizes_a != sizes_b or len(set(over_a)) != len(over_a) or len(set(over_b)) != len(over_b):
        raise ShapeError(
            f"tensordot: axes {over_a} of a{a.shape} and {over_b} of b{b.shape} must be distinct and equally long"
        )
    keep_a, keep_b = ([d for d in range(x.ndim) if d not in over] for x, over in ((a, over_a), (b, over_b)))
    shape_a, shape_b = tuple(a.shape[d] for d in keep_a), tuple(b.shape[d] for d in keep_b)
    k = _product(tuple(sizes_a))
    left = reshape(permute(a, keep_a + over_a), (_product(shape_a), k))
    right = reshape(permute(b, over_b + keep_b), (k, _product(shape_b)))
    return reshape(_matmul(left, right), shape_a + shape_b)
