"""Products of float32 matrices through bf16 terms: accuracy, values that terms do not hold, and the setting itself.

On a CPU without AMX the three precisions are, mostly, the same; so the last test runs this file once more with emulated tiles.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ops_support import same_bits
from products import BOUND, PRECISIONS, check, exact, operands, product
from ranvier import _native as native
from ranvier import nn
from ranvier.core.errors import DomainError

EMULATED = native.config()["amx"] == "emulated"
TILES = EMULATED or native.config()["amx"] == "used"
DOT = native.config()["avx512_bf16"] == "used"
rng = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def default_precision():
    yield
    rv.set_float32_matmul_precision("highest")


# around the tiles (16 x 16 x 32), the pieces of k (160, 256, 512), the tiles of C (64 or 128 x 64 or 256) and super-blocks (2048)
SHAPES = [
    (16, 16, 32), (208, 208, 64), (209, 240, 90), (300, 230, 60), (190, 257, 321), (220, 201, 512), (257, 300, 530),
    (216, 215, 163), (2070, 240, 64), (195, 2060, 90), (640, 1100, 100), (1, 300, 300), (300, 1, 300), (3, 4, 0), (200, 200, 1),
]  # fmt: skip


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
@pytest.mark.parametrize("m, n, k", SHAPES)
def test_shapes(m, n, k, flags, precision):
    a, b = operands(m, n, k, flags)
    bias = rng.standard_normal(n).astype("f4") if flags < 3 else None
    check(product(a, b, flags | precision, bias), a, b, flags | precision, bias)


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_views_and_batches(precision):
    a, b = operands(480, 500, 300, 0)
    for x in (a[::2, ::2], a[::-1, :150], a[240:, 149::-1], np.asfortranarray(a[:240, :150]), np.broadcast_to(a[:1, :150], (240, 150)),
              np.broadcast_to(a[:240, :1], (240, 150))):  # fmt: skip
        for y in (
            b[::2, ::2],
            b[:150, ::-1],
            np.asfortranarray(b[:150, :250]),
            np.broadcast_to(b[:150, :1], (150, 240)),
        ):
            check(product(x, y, precision), x, y, precision)
            check(product(y, x, 3 | precision), y, x, 3 | precision)
    for batch_a, batch_b in (((3,), ()), ((), (2,)), ((2, 1), (1, 2)), ((9,), (9,))):
        a, b = operands(210, 220, 96, 2, "f4", batch_a, batch_b)
        check(product(a, b, 2 | precision), a, b, 2 | precision)


@pytest.mark.skipif(not TILES, reason="needs tiles")
def test_precisions_differ():
    """Each takes its own number of terms, and is as accurate as that many can be."""
    a, b = (rng.standard_normal((256, 256)).astype("f4") for _ in range(2))
    c = exact(a, b)
    errors = [np.abs(product(a, b, p) - c).max() / np.abs(c).max() for p in (0, 8, 16)]
    assert errors[0] < 6e-7 and 1e-6 < errors[1] < 1.5e-5 and 1e-3 < errors[2] < 6e-3


@pytest.mark.skipif(TILES or not DOT, reason="needs AVX512_BF16 and no tiles")
def test_only_medium():
    a, b = (rng.standard_normal((256, 256)).astype("f4") for _ in range(2))
    c = exact(a, b)
    assert same_bits(product(a, b, 0), product(a, b, 8))
    assert 1e-3 < np.abs(product(a, b, 16) - c).max() / np.abs(c).max() < 6e-3


def scaled(low, high, shape):
    return 10.0 ** rng.uniform(low, high, shape)


DATA = {
    "normal": lambda a, b: (a, b),
    "positive": lambda a, b: (np.abs(a), np.abs(b)),
    "scaled rows": lambda a, b: (a * scaled(-30, 30, (len(a), 1)), b * scaled(-6, 6, b.shape[1])),
    "scaled columns": lambda a, b: (a * scaled(-3, 3, (len(a), 1)), b * scaled(-30, 30, b.shape[1])),
    "scaled along k": lambda a, b: (a * scaled(-15, 15, len(b)), b),
    "scaled against each other": lambda a, b: [(a * s, b / s[:, None]) for s in [scaled(-30, 30, len(b))]][0],
    "any magnitudes": lambda a, b: (a * scaled(-18, 18, a.shape), b * scaled(-18, 18, b.shape)),
    "cancelling": lambda a, b: (np.concatenate([a, a], 1), np.concatenate([b, -b * (1 + 1e-6)], 0)),
    "near overflow": lambda a, b: (a * 1e37, b * 0.01),
    "small": lambda a, b: (a * 1e-15, b * 1e-14),
    "small and positive": lambda a, b: (np.abs(a) * 1e-15, np.abs(b) * 1e-14),
    "a few small values": lambda a, b: (np.where(rng.random(a.shape) < 0.01, a * 1e-33, a), b),
    "zeros": lambda a, b: (np.where(rng.random(a.shape) < 0.9, 0, a), b * (np.arange(b.shape[1]) % 3 == 0)),
    "integers": lambda a, b: (np.round(a * 50), np.round(b * 50)),
}  # fmt: skip


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("m, n, k", [(250, 240, 96), (256, 256, 480)])
def test_accuracy(m, n, k, data):
    """Every element within its bound; with "highest" as good as float32 arithmetic, which few columns always have."""
    a, b = (x.astype("f4") for x in DATA[data](rng.standard_normal((m, k)), rng.standard_normal((k, n))))
    fma, c = np.concatenate([product(a, b[:, j : j + 15]) for j in range(0, n, 15)], 1), exact(a, b)
    size = exact(np.abs(a), np.abs(b))
    for precision in PRECISIONS.values():
        out = product(a, b, precision)
        check(out, a, b, precision)
        if precision == 0:
            clear = size > 1e-30  # of what is flushed to zero
            error, known = ((np.abs(x - c) / np.maximum(size, 1e-30))[clear] for x in (out, fma))
            assert error.max() <= 2 * known.max() and error.mean() <= 1.4 * known.mean()


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_infinities_and_nans(precision):
    m, n, k = 290, 300, 200
    a, b = operands(m, n, k, 0)
    a[17, 3], a[150, 199], a[151, 0], b[7, 299], b[8, 2], b[9, 150] = np.inf, -np.inf, np.nan, np.inf, np.nan, -np.inf
    a[40, 9] = 0  # 0 * inf
    with np.errstate(invalid="ignore"):
        expected = a @ b
    out = product(a, b, precision)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(expected))
    np.testing.assert_array_equal(out[np.isinf(expected)], expected[np.isinf(expected)])
    fine = np.isfinite(expected)
    np.testing.assert_allclose(
        out[fine], exact(np.nan_to_num(a), np.nan_to_num(b))[fine], rtol=0, atol=200 * BOUND[precision] + 1e-3
    )


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_ends_of_the_range(precision):
    m, n, k = 224, 224, 64
    largest = np.finfo("f4").max  # its nearest bf16 is infinite
    one = np.zeros((k, n), "f4")
    one[0] = 1
    a = np.full((m, k), largest)
    np.testing.assert_array_equal(product(a, one, precision), np.full((m, n), largest))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(product(a, np.ones((k, n), "f4"), precision), np.full((m, n), np.inf))
    # the smallest normal number times one is itself, and a denormal counts as zero, as everywhere in plans
    tiny = np.full((m, k), np.finfo("f4").tiny)
    np.testing.assert_array_equal(product(tiny, one, precision), np.full((m, n), np.finfo("f4").tiny))
    np.testing.assert_array_equal(product(tiny / 2, one, precision), np.zeros((m, n), "f4"))
    # all 24 bits of a small number
    x = np.full((m, k), np.float32(1 + 2.0**-23) * np.float32(2.0**-120))
    if precision == 0:
        np.testing.assert_array_equal(product(x, one), np.full((m, n), x[0, 0]))


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
@pytest.mark.parametrize(
    "m, n, k, batch", [(301, 703, 257, ()), (2100, 200, 130, ()), (210, 216, 96, (12,)), (400, 300, 200, (3,))]
)
def test_threads(m, n, k, batch, precision):
    a, b = operands(m, n, k, 2, "f4", batch, batch)
    a[..., 5, 3], b[..., 7, 1], b[..., 70, 2] = 1e-35, np.inf, 1e-38  # some tiles by FMA
    bias = rng.standard_normal(n).astype("f4")
    native.set_eager_parallel(True)
    try:
        results = []
        for threads in (1, 2, 3, 4):
            rv.set_num_threads(threads)
            results += [product(a, b, 2 | precision, bias) for _ in range(2)]
    finally:
        native.set_eager_parallel(False)
    assert all(same_bits(results[0], r) for r in results[1:])


# ---------------------------------------------------------------- the setting


def t(*shape, **options):
    return rv.tensor(rng.standard_normal(shape).astype("f4"), **options)


@rv.no_grad()
def both(f, *args):
    """f(*args), after checking that the compiled function gives the same bits."""
    eager, compiled = f(*args), rv.compile(f)(*args)
    assert same_bits(eager, compiled)
    return eager.numpy()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_all_ways_to_a_product(precision):
    rv.set_float32_matmul_precision(precision)
    a, b, c = t(200, 192), t(192, 210), t(9, 200, 192)
    expected = product(a.numpy(), b.numpy(), PRECISIONS[precision])
    w = b.T.contiguous()
    for f in (rv.matmul, rv.mm, lambda a, b: a @ b, lambda a, b: rv.tensordot(a, b, 1), lambda a, b: rv.einsum("ij,jk->ik", a, b),
              lambda a, b: rv.addmm(rv.zeros(210), a, b), lambda a, b: rv.bmm(a.unsqueeze(0), b.unsqueeze(0))[0]):  # fmt: skip
        assert same_bits(both(f, a, b), expected)
    assert same_bits(both(F.linear, a, w), expected)
    check(both(lambda c, b: rv.relu(c @ b + 200) - 200, c, b), c.numpy(), b.numpy(), PRECISIONS[precision], extra=1e-5)
    layer = nn.Linear(192, 210)
    out = both(lambda x: layer(x), a)
    check(out, a.numpy(), layer.weight.detach().numpy().T, PRECISIONS[precision], layer.bias.detach().numpy())


@pytest.mark.skipif(not (TILES or DOT), reason="all precisions are one on this CPU")
def test_switching():
    """Each call has the precision of its time: eager, compiled, in a gradient, and as predictions of a trainer."""
    x, w = t(256, 256), t(256, 256)
    leaf = t(256, 256, requires_grad=True)
    compiled = rv.compile(lambda x, w: F.relu(x @ w) @ w)
    model = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256))
    trainer = rv.train.Trainer(model, "mse", "sgd")

    def gradient():
        leaf.grad = None
        ((leaf @ w) * x).sum().backward()
        return leaf.grad.numpy().copy()

    ways = [
        lambda: compiled(x, w).numpy(),
        lambda: (F.relu(x @ w) @ w).numpy(),
        gradient,
        lambda: trainer.predict(x.numpy()),
    ]
    found: dict = {}
    for precision in ("highest", "medium", "medium", "highest", "highest", "medium", "highest", "medium"):
        rv.set_float32_matmul_precision(precision)
        for i, way in enumerate(ways):
            first = found.setdefault((precision, i), way())
            assert same_bits(first, way())
    for i in range(len(ways)):
        assert 1e-4 < np.abs(found["highest", i] - found["medium", i]).max() / np.abs(found["highest", i]).max() < 0.05


def test_backward_keeps_the_precision_of_forward():
    a, b = t(200, 200, requires_grad=True), t(200, 200)
    g = np.ones((200, 200), "f4")
    rv.set_float32_matmul_precision("medium")
    out = a @ b
    rv.set_float32_matmul_precision("highest")
    out.backward(rv.from_numpy(g))
    assert same_bits(a.grad, product(g, b.numpy(), 2 | 16))


def test_state():
    assert rv.get_float32_matmul_precision() == "highest"
    rv.set_float32_matmul_precision("high")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(rv.get_float32_matmul_precision()))
    thread.start()
    thread.join()
    assert seen == ["high"]  # of the process, as in PyTorch
    for wrong in ("low", "HIGH", "", None, 1):
        with pytest.raises(DomainError, match="must be one of 'highest', 'high', 'medium'"):
            rv.set_float32_matmul_precision(wrong)
    assert rv.get_float32_matmul_precision() == "high"


def test_other_dtypes_and_the_reference_take_no_notice():
    a, b = rng.standard_normal((2, 200, 200))
    before = rv.from_numpy(a) @ rv.from_numpy(b)
    rv.set_float32_matmul_precision("medium")
    assert same_bits(before, rv.from_numpy(a) @ rv.from_numpy(b))
    x = rv.from_numpy(a.astype("f4"))
    with rv.backend("numpy"):
        assert same_bits(x @ x, x.numpy() @ x.numpy())


# ---------------------------------------------------------------- units

PRODUCTS = """
import sys, numpy as np, ranvier as rv
a, b = (rv.from_numpy(x.astype("f4")) for x in np.random.default_rng(0).standard_normal((2, 256, 256)))
for precision in ("highest", "high", "medium"):
    rv.set_float32_matmul_precision(precision)
    print((a @ b).numpy().tobytes().hex())
print(rv.config.config()["amx"])
"""


def under(isa, *command):
    env = {**os.environ, "RANVIER_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True)


def test_cap():
    """RANVIER_ISA=v4 switches all units off; "amx" is refused where there is none."""
    *products, amx = under("v4", "-W", "ignore", "-c", PRODUCTS).stdout.split("\n")[:-1]
    assert len(set(products)) == 1 and amx != "used"
    done = under("amx", "-c", PRODUCTS)
    assert done.returncode == 0 and ("RANVIER_ISA=amx is ignored" in done.stderr) == ("not present" in done.stdout)


@pytest.mark.skipif(EMULATED or native.isa() != "v4", reason="needs AVX-512, once")
def test_with_emulated_tiles():
    """All of this file, of test_matmul.py and of test_frozen.py, on tiles."""
    products = set(under("amx-emulated", "-c", PRODUCTS).stdout.split())
    assert "emulated" in products and len(products) == 4
    assert not products & set(under("v4", "-c", PRODUCTS).stdout.split())  # "highest" goes through tiles too
    here = os.path.dirname(__file__)
    files = [
        os.path.join(here, name) for name in ("test_precision.py", "test_matmul.py", "../compiling/test_frozen.py")
    ]
    done = under("amx-emulated", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *files)
    assert done.returncode == 0, done.stdout[-4000:]
