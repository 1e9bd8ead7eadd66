"""Matrix products: the native kernel by itself, then matmul, linear, einsum and the rest against NumPy and PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import ranvier as rv
from products import CODE, ROWS, attributes, close, exact, ids, operands, product
from ranvier import _native as native
from ranvier import ops

rng = np.random.default_rng(0)

# sizes around the edges of vectors (4, 8, 16), micro-tiles (4, 6, 14 rows; 8..32 columns) and blocks
SHAPES = [
    (1, 1, 1), (1, 64, 10), (1, 1, 64), (3, 5, 2), (4, 4, 2), (14, 32, 16), (15, 33, 17), (28, 10, 31), (1, 300, 70),
    (300, 1, 70), (2, 70, 300), (64, 3, 129), (130, 70, 40), (31, 257, 65), (57, 129, 700), (5, 6, 2000), (2100, 9, 33),
    (3, 2100, 65), (300, 260, 500), (0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 5, 0), (1, 7, 1), (16, 16, 16), (12, 40, 1500),
    # one row: narrow, in slices, in several tiles, an odd number of columns along k; hardly any k; short k
    (1, 101, 1115), (1, 17, 600), (1, 128, 37), (1, 601, 131), (1, 5000, 20), (70, 700, 2), (90, 2100, 1), (150, 90, 9), (130, 33, 16),
    # few columns: C turned where A lies in columns, in strips of rows
    (64, 10, 32), (33, 2, 17), (300, 12, 40), (270, 7, 530), (65, 5, 1100),
    # both copied: more rows, columns and k than are copied at once, few rows beside a large B, ragged rows
    (2200, 100, 20), (60, 1300, 30), (140, 97, 900), (8, 1100, 500), (17, 530, 40), (300, 45, 70),
    # few columns by dot products, a few values of k in strips
    (40, 3, 200), (9, 2, 130), (143, 33, 4), (50, 40, 3), (41, 300, 5), (30, 200, 6), (9, 150, 7), (65, 1100, 8), (8, 64, 8), (2, 700, 6),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("m, n, k", SHAPES)
def test_kernel(m, n, k, flags, dtype):
    a, b = operands(m, n, k, flags, dtype)
    bias = rng.standard_normal(n).astype(dtype)
    close(product(a, b, flags), exact(a, b, flags), k, 4)
    close(product(a, b, flags, bias), exact(a, b, flags, bias), k, 4)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("m, n, k", [(100, 150, 700), (13, 40, 530), (30, 5, 90), (1, 300, 600), (75, 129, 5)])
def test_variants(m, n, k, flags, dtype):
    """Every way of computing a product that fits its operands, whatever would be chosen."""
    a, b = operands(m, n, k, flags, dtype)
    assert check_variants(a, b, flags) >= 4


@pytest.mark.parametrize("m, n, k", [(100, 40, 530), (70, 21, 1), (1, 50, 600), (60, 2, 200)])
def test_variants_of_operands_with_gaps(m, n, k):
    a, b = operands(2 * m, 5 * n, 3 * k, 0)
    assert check_variants(a[::2, ::3], b[::3, ::5], 0) >= 2


def check_variants(a, b, flags):
    """How many fitted."""
    left, right = a.mT if flags & 1 else a, b.mT if flags & 2 else b
    bias, ran = rng.standard_normal(right.shape[1]).astype(a.dtype), 0
    for variant in range(1, len(native.matmul_variants())):
        try:
            out = product(a, b, flags, bias, variant=variant)
        except ValueError as error:
            assert "does not fit" in str(error)
            continue
        close(out, exact(a, b, flags, bias), left.shape[1], 4)
        ran += 1
    return ran


@pytest.mark.parametrize("dtype", ["i4", "i8", "u1"])
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_integers(flags, dtype):
    a, b = (x for x in operands(5, 7, 9, flags, "f8", (2, 1), (3,)))
    a, b = (a * 100).astype(dtype), (b * 100).astype(dtype)
    np.testing.assert_array_equal(product(a, b, flags), exact(a, b, flags).astype(dtype))


@pytest.mark.parametrize(
    "batch_a, batch_b", [((3,), ()), ((), (3,)), ((2, 3), (2, 1)), ((1,), (4,)), ((0,), ()), ((9,), (9,)), ((2,), (2,))]
)
@pytest.mark.parametrize("m, n, k", [(4, 5, 6), (33, 20, 40), (1, 8, 8), (150, 140, 130)])
@pytest.mark.parametrize("flags", [0, 3])
def test_batches(batch_a, batch_b, m, n, k, flags):
    a, b = operands(m, n, k, flags, "f4", batch_a, batch_b)
    bias = rng.standard_normal(n).astype("f4")
    close(product(a, b, flags, bias), exact(a, b, flags, bias), k, 4)


def test_strides():
    """Operands as views: every second row and column, reversed, broadcast, transposed."""
    a, b = operands(40, 60, 50, 0, "f4")
    views_a = [a[::2, ::2], a[::-1, :25], a[:20, 24::-1], np.broadcast_to(a[:1, :25], (20, 25)), np.broadcast_to(a[:20, :1], (20, 25)),
               np.asfortranarray(a[:20, :25]), a[:20, 3:28]]  # fmt: skip
    views_b = [b[::2, ::3], b[:25, ::-1], b[24::-1, :33], np.asfortranarray(b[:25]), np.broadcast_to(b[:25, :1], (25, 9)),
               np.broadcast_to(b[:1], (25, 60)), b[5:30, 7:20]]  # fmt: skip
    for x in views_a:
        for y in views_b:
            close(product(x, y), exact(x, y), 25, 4)
            close(product(y, x, 3), exact(y, x, 3), 25, 4)


@pytest.mark.parametrize(
    "m, n, k", [(40, 70, 33), (1, 64, 20), (300, 200, 400), (20, 1, 30), (30, 20, 2000), (300, 7, 40)]
)
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("flags", [1, 2])
def test_epilogue(m, n, k, batch, flags):
    """relu(A B + bias) * row + matrix, and the comparison of the product with the row, in one instruction."""
    f4, b1 = CODE[np.dtype("f4")], CODE[np.dtype("?")]
    a, b = operands(m, n, k, flags, "f4", batch)
    bias, row = rng.standard_normal((2, n)).astype("f4")
    matrix = rng.standard_normal((*batch, m, n)).astype("f4")
    z = exact(a, b, flags, bias)
    step = {name: ROWS.index(name) for name in ("relu", "mul", "add", "gt")}
    steps = [[step["relu"], f4, 1, 3, 0, -1, -1, -1], [step["mul"], f4, 2, 4, 3, 1, -1, -1], [step["add"], f4, 2, 5, 4, 2, -1, -1],
             [step["gt"], f4, 2, 6, 0, 1, -1, -1]]  # fmt: skip
    expected = {0: z, 5: np.maximum(z, 0) * row + matrix, 6: z > row.astype("f8")}
    sure = np.abs(z - row) > 1e-3
    for outs in ([5], [0, 5], [5, 0], [6, 5], [6], [0, 6]):
        dtypes = ["?" if r == 6 else "f4" for r in outs]
        got = product(a, b, flags, bias, (row, matrix), dtypes, steps=sum(steps, []), outputs=outs)
        for register, out in zip(outs, got if len(outs) > 1 else [got]):
            if register == 6:
                assert out.dtype == bool and b1 == 5
                np.testing.assert_array_equal(out[sure], expected[6][sure])
            else:
                close(out, expected[register], k, 6)


def test_refusals():
    a, b = operands(3, 4, 5, 0)

    def refused(rule, outs=None, ins=None, **attrs):
        with pytest.raises(ValueError, match=rule):
            native.eager_add(next(ids), ins or [a, b], "matmul", outs or [(0, (3, 4))], attributes(**attrs), "matmul")

    refused("do not fit", outs=[(0, (4, 3))])
    refused("do not fit", flags=1)
    refused("unknown precision", precision=3)
    refused("unknown variant", variant=99)
    refused("one numeric dtype", ins=[a, b.astype("f8")])
    refused("bias must be a vector", bias=True)
    refused("one value a column", bias=True, ins=[a, b, a[0, :3].copy()])
    refused("two axes", ins=[a[0], b])
    refused("without an epilogue", ins=[a, b, a])
    refused("A's dtype", outs=[(1, (3, 4))])
    refused("batch axes", ins=[np.stack([a, a]), b], outs=[(0, (3, 3, 4))])
    refused("a register for each output", outputs=[0, 0])


ACROSS = """
import sys
import numpy as np
from ranvier import _native as n
rng, out = np.random.default_rng(3), []
def attributes(flags):
    names = {"transpose_a": flags & 1, "transpose_b": flags >> 1, "bias": False, "precision": 0, "variant": 0}
    return {**names, "dtypes": [], "constants": [], "steps": [], "outputs": []}
n.set_eager_parallel(True)
for i, (m, k, c, flags) in enumerate([(300, 400, 350, 0), (64, 4096, 64, 1), (700, 64, 900, 2), (20, 900, 1300, 2), (1, 3000, 900, 2)]):
    a = rng.standard_normal((k, m) if flags & 1 else (m, k)).astype("f4")
    b = rng.standard_normal((c, k) if flags & 2 else (k, c)).astype("f4")
    for threads in (1, 2, 3, 4):
        n.set_num_threads(threads)
        r = n.eager(1 << 44 | i, a, b)
        if r is None:
            r = n.eager_add(1 << 44 | i, [a, b], "matmul", [(0, (m, c))], attributes(flags), "")
        out.append(r)
        assert (r == out[-threads]).all(), (m, k, c, threads)
    exact = (a.T if flags & 1 else a).astype("f8") @ (b.T if flags & 2 else b)
    assert np.abs(r - exact).max() < 1e-5 * k**0.5, np.abs(r - exact).max()
a = rng.standard_normal((40, 80, 70)).astype("f4")
first = None
for threads in (1, 2, 3, 4):
    n.set_num_threads(threads)
    r = n.eager_add((1 << 44) + 99 + threads, [a, a], "matmul", [(0, (40, 80, 80))], attributes(2), "")
    first = r if first is None else first
    assert (r == first).all()
assert np.abs(first - a.astype("f8") @ a.transpose(0, 2, 1)).max() < 1e-4
print(n.isa())
"""


@pytest.mark.parametrize("isa", ["v2", "v3", "v4"])
def test_threads_and_instruction_sets(isa):
    """The same bits for one to four threads, right on every instruction set that was built and runs here."""
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", ACROSS],
        env={**os.environ, "RANVIER_ISA": isa},
        text=True,
        capture_output=True,
    )
    if "RuntimeWarning" in out.stderr or "instruction sets" in out.stderr:
        pytest.skip(out.stderr.strip().splitlines()[-1])
    assert out.returncode == 0, out.stderr


# ---------------------------------------------------------------- public functions, against PyTorch


def values_and_gradients(lib, f, shapes):
    """Of f(*tensors) of these shapes: the result, and the gradients of its product with given numbers."""
    rng = np.random.default_rng(0)
    xs = [lib.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]
    out = f(*xs)
    out.backward(lib.tensor(np.asarray(rng.standard_normal(tuple(out.shape)))))
    return [out.detach().numpy(), *(x.grad.numpy() for x in xs)]


def assert_like_torch(oracle, f, *shapes):
    """f(lib, *tensors) is what it is in PyTorch."""
    expected = oracle(lambda torch: values_and_gradients(torch, lambda *xs: f(torch, *xs), shapes))
    for ours, theirs in zip(values_and_gradients(rv, lambda *xs: f(rv, *xs), shapes), expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("a, b", [
    ((3,), (3,)), ((4, 3), (3,)), ((3,), (3, 4)), ((4, 3), (3, 5)), ((2, 4, 3), (3,)), ((3,), (2, 3, 5)), ((2, 4, 3), (3, 5)),
    ((4, 3), (2, 3, 5)), ((2, 1, 4, 3), (5, 3, 2)), ((1, 1), (1, 1)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((6, 4, 3), (6, 3, 1)),
])  # fmt: skip
def test_matmul_like_torch(oracle, a, b):
    assert_like_torch(oracle, lambda lib, x, y: lib.matmul(x, y), a, b)
    assert_like_torch(oracle, lambda lib, x, y: x @ y, a, b)


@pytest.mark.parametrize("name, shapes", [
    ("mm", [(3, 4), (4, 5)]), ("bmm", [(2, 3, 4), (2, 4, 5)]), ("mv", [(3, 4), (4,)]), ("dot", [(4,), (4,)]),
    ("outer", [(3,), (4,)]), ("inner", [(2, 3, 4), (5, 4)]), ("vdot", [(4,), (4,)]), ("addmm", [(5,), (3, 4), (4, 5)]),
    ("addmv", [(3,), (3, 4), (4,)]), ("baddbmm", [(3, 5), (2, 3, 4), (2, 4, 5)]), ("addbmm", [(3, 5), (2, 3, 4), (2, 4, 5)]),
])  # fmt: skip
def test_family_like_torch(oracle, name, shapes):
    assert_like_torch(oracle, lambda lib, *xs: getattr(lib, name)(*xs), *shapes)
    if name.startswith(("add", "badd")):
        assert_like_torch(oracle, lambda lib, *xs: getattr(lib, name)(*xs, beta=0.5, alpha=-2.0), *shapes)


@pytest.mark.parametrize("x", [(4,), (5, 4), (2, 5, 4), (2, 3, 5, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_like_torch(oracle, x, bias):
    shapes = [x, (3, 4)] + ([(3,)] if bias else [])
    assert_like_torch(oracle, lambda lib, *xs: lib.nn.functional.linear(*xs), *shapes)


def test_bilinear_like_torch(oracle):
    for lead in [(), (5,), (2, 3)]:
        shapes = [(*lead, 4), (*lead, 3), (6, 4, 3), (6,)]
        assert_like_torch(oracle, lambda lib, *xs: lib.nn.functional.bilinear(*xs), *shapes)


@pytest.mark.parametrize(
    "a, b, dims",
    [((2, 3, 4), (3, 4, 5), 2), ((2, 3), (4, 5), 0), ((2, 3, 4), (4, 3, 5), ([1, 2], [1, 0])), ((3,), (3,), 1)],
)
def test_tensordot_like_torch(oracle, a, b, dims):
    assert_like_torch(oracle, lambda lib, x, y: lib.tensordot(x, y, dims), a, b)


@pytest.mark.parametrize("equation, shapes", [
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("ij,kj->ki", [(2, 3), (4, 3)]), ("i,i", [(3,), (3,)]),
    ("i,j->ij", [(3,), (4,)]), ("ij->ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->j", [(2, 3)]), ("ii", [(3, 3)]), ("ii->i", [(3, 3)]),
    ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
    ("...i,...i->...", [(2, 1, 4), (3, 4)]), ("i...->...", [(3, 4, 2)]), ("bi,oij,bj->bo", [(4, 2), (5, 2, 3), (4, 3)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]), ("a,b,c->abc", [(2,), (3,), (4,)]), ("iij,jk->ik", [(3, 3, 2), (2, 4)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]), ("ijk,jil->kl", [(3, 4, 5), (4, 3, 2)]), ("bc,b->c", [(4, 3), (4,)]), ("ba", [(2, 3)]),
    (" i j , j k -> k i ", [(2, 3), (3, 4)]), ("ij,j", [(2, 3), (3,)]), ("...,...->...", [(), ()]), ("ij,jk->ik", [(0, 3), (3, 4)]),
    ("ij,jk->ik", [(2, 0), (0, 4)]), ("iii->i", [(3, 3, 3)]), ("ij,k->ki", [(2, 3), (4,)]),
])  # fmt: skip
def test_einsum_like_torch(oracle, equation, shapes):
    assert_like_torch(oracle, lambda lib, *xs: lib.einsum(equation, *xs), *shapes)


def test_einsum_lists():
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4, 5))
    expected = np.einsum(a, [0, 1, 2], b, [1, 2, 3], [3, 0])
    np.testing.assert_allclose(rv.einsum(a, [0, 1, 2], b, [1, 2, 3], [3, 0]), expected)
    np.testing.assert_allclose(rv.einsum(a, [..., 2], b, [1, 2, 3]), np.einsum(a, [..., 2], b, [1, 2, 3]))


@pytest.mark.parametrize("call, error, message", [
    (lambda: rv.ones(3, 4) @ rv.ones(5, 6), rv.ShapeError, "matmul: a(3, 4) @ b(5, 6): a.shape[-1]=4 must equal b.shape[-2]=5"),
    (lambda: rv.ones(4) @ rv.ones(5), rv.ShapeError, "matmul: a(4,) @ b(5,): a.shape[-1]=4 must equal b.shape[-1]=5"),
    (lambda: rv.ones(2, 3, 4) @ rv.ones(3, 4, 5), rv.ShapeError, "matmul: shapes (2,), (3,) do not broadcast: axis -1 has sizes [2, 3], which must be equal or 1"),
    (lambda: rv.matmul(rv.tensor(1.0), rv.ones(3)), rv.ShapeError, "matmul: a() @ b(3,): both must have at least 1 axis; use * for numbers"),
    (lambda: rv.ones(2, 2) @ rv.ones(2, 2).to(rv.float64), rv.DTypeError, "matmul: a is float32 and b is float64: they must have the same dtype"),
    (lambda: rv.mm(rv.ones(3), rv.ones(3, 3)), rv.ShapeError, "mm: input(3,), mat2(3, 3): must be two matrices"),
    (lambda: ops.linear(rv.ones(32, 100), rv.ones(10, 784)), rv.ShapeError, "linear: x(32, 100) @ weight(10, 784).T: x.shape[-1]=100 must equal in_features=784"),
    (lambda: ops.linear(rv.ones(2, 3), rv.ones(4, 3), rv.ones(5)), rv.ShapeError, "linear: x(2, 3) @ weight(4, 3).T + bias(5,): bias.shape must be (out_features,)=(4,)"),
    (lambda: rv.einsum("ij,jk->ik", rv.ones(2, 3), rv.ones(4, 5)), rv.ShapeError, "einsum: 'ij,jk->ik' on shapes (2, 3), (4, 5): axis 'j' has sizes 3 and 4"),
    (lambda: rv.einsum("ij->ik", rv.ones(2, 3)), rv.ShapeError, "einsum: 'ij->ik' on shapes (2, 3): the result's 'k' is in no operand"),
    (lambda: rv.einsum("ij,jk", rv.ones(2, 3)), rv.ShapeError, "einsum: 'ij,jk' on shapes (2, 3): it names 2 operands, but there are 1"),
    (lambda: rv.einsum("i1->i", rv.ones(2, 3)), rv.ShapeError, "einsum: 'i1->i' on shapes (2, 3): '1' in 'i1' must be a letter, or '...' once"),
    (lambda: rv.einsum("i->i", rv.ones(2, 3)), rv.ShapeError, "einsum: 'i->i' on shapes (2, 3): 'i' names 1 axes of (2, 3), which has 2"),
    (lambda: rv.einsum("ij->ii", rv.ones(2, 3)), rv.ShapeError, "einsum: 'ij->ii' on shapes (2, 3): the result 'ii' names an axis twice"),
    (lambda: rv.tensordot(rv.ones(2, 3), rv.ones(2, 3), 1), rv.ShapeError, "tensordot: axes [1] of a(2, 3) and [0] of b(2, 3) must be distinct and equally long"),
])  # fmt: skip
def test_messages(call, error, message):
    with pytest.raises(error) as info:
        call()
    assert str(info.value) == message


def test_compiled_residual_and_transposed_input():
    """Epilogues read the product's own operands; transposed views pass as strides."""
    x, w, v = (rng.standard_normal(s).astype("f4") for s in [(6, 6), (6, 6), (4, 6)])

    @rv.compile
    def f(x, w, v):
        return (x @ w + x).relu() + x, v @ x.T, (w @ x > 0)

    outs = f(*map(rv.tensor, (x, w, v)))
    x, w, v = (a.astype("f8") for a in (x, w, v))
    for out, expected in zip(outs, [np.maximum(x @ w + x, 0) + x, v @ x.T, w @ x > 0]):
        np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch, m, k, n", [((3,), 24, 8, 16), ((3,), 600, 2050, 24), ((2,), 2, 65, 33), ((2, 3), 5, 40, 1), ((3,), 20, 30, 40),
                                            ((4,), 70, 33, 130), ((2,), 1, 50, 60), ((3,), 7, 0, 5), ((12,), 9, 10, 11)])  # fmt: skip
@pytest.mark.parametrize("transposed", [False, True])
def test_epilogues_over_a_batch(batch, m, k, n, dtype, transposed):
    """Operands that broadcast over the batch, over rows, or not at all: the bits of the eager product, and no more memory than it takes."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rv.from_numpy(rng.standard_normal(shape).astype(dtype))

    a, w, bias = draw(*batch, m, k), draw(n, k) if transposed else draw(k, n), draw(n)
    for e in (draw(m, n), draw(*batch, m, n), draw(m, 1), draw(*batch, 1, 1), draw(batch[-1], 1, n)):

        def f(a, w, e):
            w = w.mT if transposed else w
            return rv.relu(rv.matmul(a, w) + bias) * e + e, (rv.matmul(a, w) > e)

        compiled = rv.compile(f)
        for ours, eager in zip(compiled(a, w, e), f(a, w, e)):
            assert np.array_equal(ours.numpy(), eager.numpy())
        assert np.array_equal(compiled(a, w, e)[0].numpy(), f(a, w, e)[0].numpy())


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("dtype, k", [("float32", 6145), ("float32", 6256), ("float32", 9000), ("float64", 3073)])
def test_last_slices_of_other_lengths(dtype, k, n_threads):
    """Long sums in slices, the last one shorter, with both operands copied."""
    before = rv.get_num_threads()
    rv.set_num_threads(n_threads)
    try:
        rng = np.random.default_rng(0)
        for m, n in ((128, 128), (16, 128), (64, 64)):
            a, b = rng.standard_normal((k, m)).astype(dtype), rng.standard_normal((n, k)).astype(dtype)
            c = (rv.from_numpy(a).T @ rv.from_numpy(b).T).numpy()
            wanted = a.T.astype("f8") @ b.T.astype("f8")
            np.testing.assert_allclose(c, wanted, rtol=0, atol=120 * np.finfo(dtype).eps * k**0.5)
    finally:
        rv.set_num_threads(before)
