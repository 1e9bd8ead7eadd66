"""rv.linalg: NumPy's results for tensors and arrays, PyTorch's gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv

LA = rv.linalg
rng = np.random.default_rng(0)
SQUARE = rng.standard_normal((2, 3, 3))
TALL, WIDE = rng.standard_normal((4, 3)), rng.standard_normal((2, 3, 4))
POSITIVE = SQUARE @ SQUARE.swapaxes(-1, -2) + np.eye(3)
VECTOR = rng.standard_normal(3)

CALLS = [
    ("inv", (SQUARE,), {}), ("pinv", (TALL,), {}), ("pinv", (WIDE,), {}), ("det", (SQUARE,), {}),
    ("slogdet", (SQUARE,), {}), ("cholesky", (POSITIVE,), {}), ("eigh", (POSITIVE,), {}), ("eigvalsh", (POSITIVE,), {}),
    ("svd", (TALL,), {"full_matrices": False}), ("svd", (WIDE,), {}), ("svdvals", (WIDE,), {}), ("qr", (TALL,), {}),
    ("qr", (TALL,), {"mode": "complete"}), ("matrix_rank", (TALL @ TALL.T,), {}), ("cond", (SQUARE,), {}),
    ("matrix_power", (SQUARE, 3), {}), ("matrix_power", (SQUARE, -2), {}), ("solve", (SQUARE, SQUARE[0]), {}),
    ("solve", (SQUARE[0], VECTOR), {}), ("norm", (VECTOR,), {}), ("norm", (TALL,), {}), ("norm", (VECTOR, np.inf), {}),
    *[("norm", (TALL, ord), {}) for ord in (1, -1, 2, -2, np.inf, -np.inf, "fro", "nuc")],
    ("norm", (WIDE, 1, (0, 2)), {"keepdims": True}), ("norm", (WIDE,), {"axis": 1}), ("vector_norm", (WIDE,), {"ord": 3}),
    ("matrix_norm", (WIDE,), {"ord": "nuc", "keepdims": True}), ("cross", (SQUARE, VECTOR), {}),
]  # fmt: skip


def parts(x):
    return [np.asarray(p) for p in (x if isinstance(x, tuple) else (x,))]


@pytest.mark.parametrize("name, args, options", CALLS, ids=lambda x: str(x)[:12])
def test_as_numpy(name, args, options):
    wanted = getattr(np.linalg, name)(*args, **options)
    for dtype, near in (("f8", 1e-10), ("f4", 2e-3)):
        arrays = [a.astype(dtype) if isinstance(a, np.ndarray) else a for a in args]
        out = getattr(LA, name)(*arrays, **options)
        assert all(type(p) in (np.ndarray, np.float64, np.int64) for p in (out if isinstance(out, tuple) else (out,)))
        tensors = getattr(LA, name)(*[rv.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays], **options)
        assert type(tensors) is type(out) or isinstance(tensors, rv.Tensor)
        for a, b, c in zip(parts(out), parts(tensors), parts(wanted), strict=True):
            assert a.dtype == b.dtype and a.dtype == (dtype if c.dtype.kind == "f" else np.int64) and a.shape == c.shape
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, c, rtol=near, atol=near)


def test_least_squares():
    b = rng.standard_normal((4, 2))
    wanted = np.linalg.lstsq(TALL, b, rcond=None)
    out = LA.lstsq(rv.tensor(TALL), rv.tensor(b))
    for a, c in zip(out, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), c, rtol=1e-10)
    assert LA.lstsq(TALL, b[:, 0]).solution.shape == (3,)
    short = LA.lstsq(WIDE[0], b[:3])  # of many solutions the shortest
    np.testing.assert_allclose(short.solution, np.linalg.lstsq(WIDE[0], b[:3], rcond=None)[0], rtol=1e-10)
    assert short.residuals.shape == (0,) and short.rank == 3


def test_integers_become_floats():
    A = rv.tensor([[2, 0], [0, 4]])
    assert LA.inv(A).tolist() == [[0.5, 0.0], [0.0, 0.25]] and LA.det(A.numpy()).dtype == np.float32


GRADIENTS = {
    "cholesky": (lambda m, x: m.linalg.cholesky(x @ x.mT + m.eye(3, dtype=x.dtype)), SQUARE),
    "eigh": (lambda m, x: m.linalg.eigh(x + x.mT)[0] * 2 + (m.linalg.eigh(x + x.mT)[1] ** 2).sum(-2), SQUARE),
    "eigvalsh": (lambda m, x: m.linalg.eigvalsh(x + x.mT), SQUARE),
    "inv": (lambda m, x: m.linalg.inv(x), SQUARE),
    "pinv": (lambda m, x: m.linalg.pinv(x), TALL),
    "det": (lambda m, x: m.linalg.det(x), SQUARE),
    "slogdet": (lambda m, x: m.linalg.slogdet(x)[1], SQUARE),
    "logdet": (lambda m, x: m.logdet(x @ x.mT), SQUARE),
    "solve": (lambda m, x: m.linalg.solve(x, x[0]), SQUARE),
    "svd": (lambda m, x: (lambda u, s, v: (u @ v) * s[:3].sum())(*m.linalg.svd(x, full_matrices=False)), TALL),
    "qr": (lambda m, x: m.linalg.qr(x)[0] @ m.linalg.qr(x)[1] ** 2, TALL),
    "nuc": (lambda m, x: m.linalg.matrix_norm(x, "nuc"), WIDE),
    "power": (lambda m, x: m.linalg.matrix_power(x, -2), SQUARE),
    "lstsq": (lambda m, x: m.linalg.lstsq(x, x[:, :1] ** 2)[0], TALL),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    """Against central differences, in all directions; four times, for the third pass is one that was traced, if it can be."""
    f, data = GRADIENTS[name]

    def run(data):
        x = rv.tensor(data, requires_grad=True)
        y = f(rv, x)
        return x, (y * rv.tensor(np.resize(np.linspace(-1, 2, 7), tuple(y.shape)))).sum()

    wanted = np.zeros(data.shape)
    for place in np.ndindex(*data.shape):
        ends = []
        for h in (1e-6, -1e-6):
            moved = data.copy()
            moved[place] += h
            ends.append(run(moved)[1].item())
        wanted[place] = (ends[0] - ends[1]) / 2e-6
    for _ in range(4):
        x, y = run(data)
        y.backward()
        np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("call, error, message", [
    (lambda: LA.inv(rv.zeros(2, 2)), rv.DomainError, "^inverse: the matrix is singular"),
    (lambda: LA.solve(rv.zeros(2, 2), rv.ones(2)), rv.DomainError, "^solve: the matrix is singular"),
    (lambda: LA.cholesky(-rv.eye(2)), rv.DomainError, "^cholesky: the matrix is not positive definite"),
    (lambda: LA.det(rv.zeros(2, 3)), rv.ShapeError, r"^det: shape \(2, 3\) must end with two equal sizes"),
    (lambda: LA.solve(rv.eye(2), rv.ones(3, 1)), rv.ShapeError, "^solve: A is float32.* as many rows"),
    (lambda: LA.qr(rv.ones(3)), rv.ShapeError, r"^qr: shape \(3,\) must end with two axes"),
    (lambda: LA.matrix_norm(rv.eye(2), 7), rv.DomainError, "^matrix_norm: ord=7 must be"),
    (lambda: LA.inv([[1.0]]), rv.DTypeError, "^inverse: input=.* must be a Tensor or a NumPy array"),
    (lambda: rv.compile(LA.inv)(rv.eye(2)), rv.TraceError, "^inverse: runs outside of plans"),
])  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_compiled_norms():
    """What is not LAPACK's compiles."""
    x = rv.tensor(TALL)
    for f in (LA.norm, LA.vector_norm, lambda x: LA.matrix_norm(x, 1), lambda x: LA.matrix_power(x @ x.T, 2)):
        assert rv.compile(f)(x).tolist() == f(x).tolist()
