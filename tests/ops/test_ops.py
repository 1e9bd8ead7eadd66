"""Every op against its record: values, dtypes, layouts, edges, gradients, tracing, updates in place.

The instruction set under test is the one that RANVIER_ISA allows.
"""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ops_support import (
    ALL,
    FLOATS,
    LAYOUTS,
    all_ops,
    compare,
    dtypes_of,
    edge_inputs,
    expect,
    expected_inputs,
    has_shapes,
    in_float64,
    is_shape,
    lay_out,
    make_inputs,
    same_bits,
    samples_of,
    specs_of,
    tensors,
)
from ranvier.core.dtypes import float32, float64, is_float
from ranvier.core.errors import DTypeError, GradError

OPS = all_ops()
by_name = {"ids": lambda x: getattr(x, "name", str(x))}
every_op = pytest.mark.parametrize("op", OPS, **by_name)
every_dtype = pytest.mark.parametrize(
    "op,dtype",
    [(op, d) for op in OPS if op.kind != "host" for d in dtypes_of(op)],
    ids=lambda x: getattr(x, "name", str(x)),
)
compilable = pytest.mark.parametrize("op", [op for op in OPS if op.kind != "host"], **by_name)
drawn = [
    op for op in OPS if op.kind != "host" or any(map(has_shapes, op.samples))
]  # others need inputs of a special form
differentiable = pytest.mark.parametrize("op", [op for op in drawn if op.vjp is not None], **by_name)


def cases(op, dtype):
    """(what, inputs, attrs) of each sample; samples that bring all their arrays count once, with float32."""
    for number, sample in enumerate(samples_of(op)):
        if has_shapes(sample) or dtype == float32:
            attrs = ", ".join(f"{k}={v!r}" for k, v in sample.attrs.items())
            shapes = ", ".join(str(x) if is_shape(x) else f"{np.asarray(x).dtype}{np.shape(x)}" for x in sample.inputs)
            yield (
                f"{op.name}({shapes}{', ' + attrs if attrs else ''}) [{number}]",
                make_inputs(op, sample, dtype),
                sample,
            )


@every_dtype
def test_values(op, dtype):
    """Native results in all layouts are the reference's within the record's tolerance, and as infer says."""
    for what, inputs, sample in cases(op, dtype):
        for layout in LAYOUTS if op.kind != "optimizer" else LAYOUTS[:1]:
            if layout != "contiguous" and not any(a.ndim for a in inputs):
                continue
            if layout == "broadcast":  # changes values, so only those that were drawn
                arrays = [
                    lay_out(a, layout) if is_shape(x) and 0 not in a.shape else a for a, x in zip(inputs, sample.inputs)
                ]
            else:
                arrays = [lay_out(a, layout) for a in inputs]
            wanted = expected_inputs(op, arrays)
            specs = specs_of(op, wanted, sample.attrs)
            if specs is None:
                with pytest.raises(DTypeError, match=rf"^{op.name}: "):
                    op(*tensors(arrays), **sample.attrs)
                return
            before = [a.copy() for a in arrays]
            outs = op(*tensors(arrays), **sample.attrs)
            floor = 64.0 if layout == "broadcast" else 0.0  # equal inputs may cancel
            compare(outs, expect(op, wanted, sample.attrs, specs, floor), f"{what}, {layout}")
            assert same_bits(before, arrays), f"{what}, {layout}: an input has changed"


def edges(op, dtype, attrs):
    """The op's edge values as inputs, and what infer makes of them; None where the op does not take the dtype."""
    arrays = edge_inputs(op, dtype)
    specs = specs_of(op, expected_inputs(op, arrays), attrs)
    if specs is not None and is_float(dtype) and not is_float(specs[0][1]) and specs[0][1] != np.bool_:
        info = np.iinfo(specs[0][1])  # a float outside of an integer's range has no defined cast
        fits = np.isfinite(arrays[0]) & (arrays[0] >= info.min) & (arrays[0] <= info.max)
        arrays = [a[fits] for a in arrays]
        specs = specs_of(op, arrays, attrs)
    return arrays, specs


@pytest.mark.parametrize(
    "op,dtype",
    [(op, d) for op in OPS if op.kind == "elementwise" for d in ALL],
    ids=lambda x: getattr(x, "name", str(x)),
)
def test_edges(op, dtype):
    """Infinities, NaN, zeros, huge and extreme numbers, in every combination."""
    for attrs in {str(s.attrs): s.attrs for s in samples_of(op)}.values():
        arrays, specs = edges(op, dtype, attrs)
        if specs is None:
            continue
        wanted = expect(op, expected_inputs(op, arrays), attrs, specs)
        whole = op(*tensors(arrays), **attrs)
        compare(whole, wanted, f"edges of {op.name} {dtype} {attrs}")
        for i in range(0, len(arrays[0]), 7):  # one element alone takes the tail path
            one = op(*tensors([a[i : i + 1] for a in arrays]), **attrs)
            assert same_bits(one, whole[i : i + 1]), (
                f"{op.name}{[a[i] for a in arrays]}: alone {one}, in a vector {whole[i]}"
            )


@pytest.mark.parametrize("op", [op for op in OPS if op.kind == "elementwise" and op.arity == 1], **by_name)
def test_bit_patterns(op):
    """A walk over the float32 range by bit pattern."""
    x = np.arange(0, 2**32, 2**32 // 60013, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = x[~(np.abs(x) < np.finfo(np.float32).smallest_normal) | (x == 0)]
    if op.rule == "logical":
        return
    for attrs in {str(s.attrs): s.attrs for s in samples_of(op)}.values():
        specs = specs_of(op, [x], attrs)
        if specs is None or not is_float(specs[0][1]):
            continue
        compare(op(rv.from_numpy(x), **attrs), expect(op, [x], attrs, specs), f"{op.name} {attrs}")


@every_op
def test_plain_arrays(op):
    """NumPy arrays in, NumPy arrays out, with the bits that tensors give."""
    for what, inputs, sample in cases(op, float64):
        arrays = [np.asarray(a) for a in inputs]
        if not arrays or specs_of(op, expected_inputs(op, arrays), sample.attrs) is None:
            continue
        outs = op(*arrays, **sample.attrs)
        assert all(isinstance(o, np.ndarray) for o in (outs if isinstance(outs, tuple) else (outs,))), what
        assert same_bits(outs, op(*tensors(arrays), **sample.attrs)), what


# ---------------------------------------------------------------- graphs


def accepted(op, dtype):
    for what, inputs, sample in cases(op, dtype):
        wanted = expected_inputs(op, inputs)
        specs = specs_of(op, wanted, sample.attrs)
        if specs is not None:
            yield what, inputs, sample.attrs, wanted, specs


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@compilable
def test_compiled(op, dtype):
    """A compiled function of the op alone gives eager's bits, for arguments and for captured strided tensors."""
    for what, inputs, attrs, _, _ in accepted(op, dtype):
        eager = op(*tensors(inputs), **attrs)
        compiled = rv.compile(lambda *xs: op(*xs, **attrs))
        for _ in range(2):
            assert same_bits(compiled(*tensors(inputs)), eager), what
        captured = tensors([lay_out(a, "transposed") for a in inputs])
        assert same_bits(rv.compile(lambda: op(*captured, **attrs))(), eager), f"{what}, captured"


@pytest.mark.parametrize("layout", ["contiguous", "sliced"])
@compilable
def test_compiled_update(op, layout):
    """A captured tensor that takes the op's result in a compiled run gets eager's bits, and nothing else changes."""
    for what, inputs, attrs, wanted, specs in accepted(op, float32):
        for output, (shape, dtype) in enumerate(specs):
            for target, a in enumerate(wanted):
                if a.shape != tuple(shape) or a.dtype != dtype:
                    continue
                eager = op(*tensors(wanted), **attrs)
                states = tensors([lay_out(a.copy(), layout) for a in wanted])

                def update():
                    out = op(*states, **attrs)
                    states[target].copy_(out[output] if isinstance(out, tuple) else out)

                rv.compile(update)()
                result = eager[output] if isinstance(eager, tuple) else eager
                assert same_bits(states[target], result), f"{what}: output {output} into input {target}, {layout}"
                others = [(s, a) for i, (s, a) in enumerate(zip(states, wanted)) if i != target]
                assert all(same_bits(s, rv.from_numpy(a)) for s, a in others), f"{what}: another input has changed"


# ---------------------------------------------------------------- gradients


def gradient_cases(op):
    """Differentiable samples with float64 inputs that were drawn, not placed on an edge."""
    for number, sample in enumerate(samples_of(op)):
        if not any(map(is_shape, sample.inputs)) or op.extras and sample.attrs.get("training"):
            continue  # where it records, a call adds the latter itself, and shows no extras
        largest = max((np.prod(x) for x in sample.inputs if is_shape(x)), default=0)
        if op.terms is None and largest > (100 if op.kind == "elementwise" else 1000):
            continue  # so many random elements come too near to steps, poles and each other
        inputs = [in_float64(a) for a in make_inputs(op, sample, float64)]
        inputs = [np.where(np.abs(a) < 0.2, a + np.copysign(0.2, a), a) if is_float(a.dtype) else a for a in inputs]
        if op.rule in ("where", "logical"):
            inputs = [inputs[0] > 0, *inputs[1:]]
        specs = specs_of(op, inputs, sample.attrs)
        if specs is None or float64 not in (d for _, d in specs):
            continue
        yield f"{op.name} {[a.shape for a in inputs]} {sample.attrs} [{number}]", sample, inputs, specs


def total(outs, weights):
    """sum of outs * weights, over the float outputs"""
    outs = outs if isinstance(outs, tuple) else (outs,)
    terms = [(o * w).sum() for o, w in zip(outs, weights) if w is not None]
    return sum(terms[1:], terms[0])


def directions(rng, arrays, drawn):
    return [rng.standard_normal(a.shape) if is_float(a.dtype) and d else None for a, d in zip(arrays, drawn)]


def dot(gs, us):
    return sum(float((np.asarray(g.detach()) * u).sum()) for g, u in zip(gs, us) if g is not None and u is not None)


def step(arrays, us, h):
    return [a if u is None else a + h * u for a, u in zip(arrays, us)]


H = 1e-5  # central difference: truncation ~ h^2, rounding ~ eps/h


def assert_close(got, wanted, scale, what):
    assert abs(got - wanted) <= 2e-6 * (abs(wanted) + scale) + 1e-8, f"{what}: {got}, central difference says {wanted}"


@differentiable
def test_gradient(op):
    """Along one random direction, in float64, on the reference: vjp against the central difference."""
    checked = 0
    with rv.backend("numpy"):
        for what, sample, inputs, specs in gradient_cases(op):
            rng = np.random.default_rng(7)
            ws = [rng.standard_normal(s) if is_float(d) else None for s, d in specs]
            weights = [None if w is None else rv.from_numpy(np.asarray(w)) for w in ws]
            us = directions(rng, inputs, map(is_shape, sample.inputs))

            def f(arrays, grad=False):
                xs = tensors(arrays, grad)
                return xs, total(op(*xs, **sample.attrs), weights)

            xs, y = f(inputs, grad=True)
            if not y.requires_grad:
                continue
            leaves = [x for x in xs if x.requires_grad]
            gs = dict(zip(map(id, leaves), rv.autograd.grad(y, leaves, allow_unused=True)))
            wanted = (f(step(inputs, us, H))[1].item() - f(step(inputs, us, -H))[1].item()) / (2 * H)
            if not np.isfinite(wanted):
                continue
            size = np.sqrt(sum(u.size for u in us if u is not None))
            assert_close(dot([gs.get(id(x)) for x in xs], us), wanted, 0.01 * size, what)
            checked += 1
    assert checked, f"{op.name}: no sample checks its gradient"


@differentiable
def test_second_derivative(op):
    """The same for the gradient of the gradient: exact, or refused, but never wrong."""
    with rv.backend("numpy"):
        for what, sample, inputs, specs in gradient_cases(op):
            rng = np.random.default_rng(8)
            ws = [rng.standard_normal(s) if is_float(d) else None for s, d in specs]
            us, vs = (directions(rng, inputs, map(is_shape, sample.inputs)) for _ in range(2))
            # a weight that depends on the output makes the second derivative run through g as well
            weights = [None if w is None else rv.from_numpy(np.asarray(w)) for w in ws]

            def slope(arrays):
                xs = tensors(arrays, True)
                y = total(tuple_of(op(*xs, **sample.attrs)), weights)
                if not y.requires_grad:
                    return xs, None
                y = y + 0.5 * y * y
                leaves = [x for x in xs if x.requires_grad]
                gs = dict(zip(map(id, leaves), rv.autograd.grad(y, leaves, create_graph=True, allow_unused=True)))
                parts = [
                    (gs[id(x)] * rv.from_numpy(v)).sum()
                    for x, v in zip(xs, vs)
                    if v is not None and gs.get(id(x)) is not None
                ]
                return xs, sum(parts[1:], parts[0]) if parts else None

            xs, s = slope(inputs)
            if s is None:
                continue
            leaves = [x for x in xs if x.requires_grad]
            wanted = (slope(step(inputs, us, H))[1].item() - slope(step(inputs, us, -H))[1].item()) / (2 * H)
            if not np.isfinite(wanted):
                continue
            try:
                grads = rv.autograd.grad(s, leaves, allow_unused=True) if s.requires_grad else [None] * len(leaves)
            except GradError:
                continue  # refused
            gs = dict(zip(map(id, leaves), grads))
            size = sum(u.size for u in us if u is not None)
            assert_close(dot([gs.get(id(x)) for x in xs], us), wanted, 0.1 * size * max(1, abs(wanted)) ** 0.5, what)


def tuple_of(outs):
    return outs if isinstance(outs, tuple) else (outs,)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("op", [op for op in OPS if op.vjp is not None and op.kind != "host"], **by_name)
def test_native_gradient(op, dtype):
    """Gradients of native runs, eager and compiled, are those of the float64 reference."""
    for what, sample, inputs, specs in gradient_cases(op):
        rng = np.random.default_rng(9)
        weights = [rng.standard_normal(s) if is_float(d) else None for s, d in specs]
        inputs = [a.astype(dtype) if a.dtype == float64 else a for a in inputs]
        if not any(is_float(a.dtype) for a in inputs):
            continue

        def gradients(arrays, kind, compiled=False):
            ws = [None if w is None else rv.from_numpy(np.asarray(w, kind)) for w in weights]

            def run():
                y = total(op(*xs, **sample.attrs), ws)
                return list(rv.autograd.grad(y, leaves, allow_unused=True)) if y.requires_grad else []

            xs = tensors(arrays, True)
            leaves = [x for x in xs if x.requires_grad]
            return (rv.compile(run) if compiled else run)()

        with rv.backend("numpy"):
            exact = gradients([in_float64(a) for a in inputs], float64)
        terms = max(1, op.terms(*inputs, **op.bind(**sample.attrs).attrs)) if op.terms else 1
        terms *= max([int(np.prod(s)) for s, _ in specs] + [1])
        for compiled in (False, True):
            native = gradients(inputs, dtype, compiled)
            assert len(native) == len(exact), what
            for position, (g, e) in enumerate(zip(native, exact)):
                where = f"{what}, {dtype}, gradient {position}, {'compiled' if compiled else 'eager'}"
                assert (g is None) == (e is None), where
                if g is None:
                    continue
                assert g.dtype == dtype and g.shape == e.shape, where
                scale = np.abs(e.numpy()).max(initial=0.0) + 1
                error = np.abs(g.numpy().astype(np.float64) - e.numpy()).max(initial=0.0)
                assert error <= 16 * np.finfo(dtype).eps * np.sqrt(terms) * scale, f"{where}: off by {error} of {scale}"
