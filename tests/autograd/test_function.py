"""Functions with gradient rules of their own, and what checks and multiplies derivatives, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier.core.errors import DTypeError, GradError, ShapeError


def functions(lib):
    """A library's functions, and programs that use them."""
    Function = lib.autograd.Function

    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x**2

    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            out = x.exp()
            ctx.save_for_backward(out)
            return out

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    class Scaled(Function):
        @staticmethod
        def forward(x, factor, y):
            return x * factor, (x > 0), x * y

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.factor, y = inputs
            ctx.mark_non_differentiable(output[1])
            ctx.save_for_backward(x, y)
            ctx.needs = ctx.needs_input_grad

        @staticmethod
        def backward(ctx, gx, _, gy):
            x, y = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False, y.requires_grad)
            return gx * ctx.factor + gy * y, None, gy * x if ctx.needs_input_grad[2] else None

    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    class Optional(Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.set_materialize_grads(False)
            return x * 1, y * 1

        @staticmethod
        def backward(ctx, gx, gy):
            return (None if gx is None else gx * 10), (None if gy is None else gy * 100)

    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return -g

    class Round(Function):  # with the identity's gradient
        @staticmethod
        def forward(ctx, x):
            return lib.round(x)

        @staticmethod
        def backward(ctx, g):
            return g

    def first(x, y):
        return (Cube.apply(x) * y).sum()

    def several(x, y):
        a, positive, b = Scaled.apply(x, 3.0, y)
        return (a * b).sum() + b.sum() * positive.sum()

    def one_of_several(x, y):
        return (Scaled.apply(x * 2, -1.0, y.detach())[2] * y).sum()

    return {
        "saved input": first,
        "saved result": lambda x, y: (Exp.apply(x * 2) * y).sum(),
        "several": several,
        "one of several": one_of_several,
        "in place": lambda x, y: (Double.apply(x * y) * x).sum(),
        "none": lambda x, y: Optional.apply(x, y)[1].sum(),
        "same": lambda x, y: (Same.apply(x) * y + Same.apply(y * 2)).sum(),
        "straight through": lambda x, y: (Round.apply(x * 2.3) * y).sum(),
        "nested": lambda x, y: Exp.apply(Cube.apply(x) * y).sum(),
        "twice": lambda x, y: (Cube.apply(x) + Cube.apply(x * y)).sum(),
    }


START = [0.5, -0.7, 1.2], [0.3, 0.9, -1.1]


def _leaves(lib):
    return [lib.tensor(values, dtype=lib.float64, requires_grad=True) for values in START]


def _gradients(lib, name, second):
    x, y = _leaves(lib)
    out = functions(lib)[name](x, y)
    if not second:
        out.backward()
        return [out.detach().numpy(), *(np.zeros(3) if t.grad is None else t.grad.numpy() for t in (x, y))]
    gs = lib.autograd.grad(out, [x, y], create_graph=True, allow_unused=True)
    total = sum((g * g).sum() for g in gs if g is not None)
    if not total.requires_grad:
        return []
    return [np.zeros(3) if g is None else g.numpy() for g in lib.autograd.grad(total, [x, y], allow_unused=True)]


NAMES = list(functions(rv))


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_functions_as_in_pytorch(torch, name, second):
    wanted = _gradients(torch, name, second)
    for _ in range(3):
        for a, b in zip(_gradients(rv, name, second), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_functions_in_compiled_functions(name, backend):
    wanted = _gradients(rv, name, False)
    with rv.backend(backend):
        x, y = _leaves(rv)
        f = functions(rv)[name]

        @rv.compile
        def step():
            out = f(x, y)
            out.backward()
            return out

        forward = rv.compile(lambda: f(x, y))
        for run in (step, step, lambda: _backward(forward())):
            x.grad = y.grad = None
            found = [run().detach().numpy(), *(np.zeros(3) if t.grad is None else t.grad.numpy() for t in (x, y))]
            for a, b in zip(found, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


def _backward(out):
    out.backward()
    return out


def test_without_gradients_nothing_is_kept():
    f = functions(rv)["saved result"]
    x, y = _leaves(rv)
    with rv.no_grad():
        assert not f(x, y).requires_grad
    assert not f(x.detach(), y.detach()).requires_grad


class _Returns(rv.autograd.Function):
    @staticmethod
    def forward(ctx, x, number, found):
        ctx.found = found
        return x * number

    @staticmethod
    def backward(ctx, g):
        return ctx.found(g)


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        (lambda g: g, GradError, "_Returns: backward has returned 1 gradients, must return 3"),
        (lambda g: (g, None), GradError, "has returned 2 gradients, must return 3"),
        (lambda g: (g, None, None, g), GradError, "has returned 4 gradients, must return 3"),
        (lambda g: (g, g, None), GradError, "a gradient of argument 1, which is no Tensor"),
        (
            lambda g: (g[:1].reshape(1, 1, 1) * rv.ones(2, 2, 2), None, None),
            ShapeError,
            r"gradient 0 has shape \(2, 2, 2\)",
        ),
        (lambda g: (g[:1], None, None), ShapeError, r"gradient 0 has shape \(1,\), must have \(3,\)"),
        (lambda g: (3.0, None, None), DTypeError, "gradient 0 of type float"),
    ],
)
def test_wrong_gradients_are_refused(found, error, message):
    x = rv.ones(3, requires_grad=True)
    with pytest.raises(error, match=message):
        _Returns.apply(x, 2.0, found).sum().backward()


def test_gradients_may_be_broadcast_and_of_another_dtype():
    x = rv.ones(3, requires_grad=True)
    _Returns.apply(x, 2.0, lambda g: (rv.ones(2, 3, dtype="float64"), None, None, None)).sum().backward()
    assert x.grad.tolist() == [2.0] * 3 and x.grad.dtype == rv.float32


def test_what_was_saved_and_changed_is_noticed():
    fs = functions(rv)
    x, y = _leaves(rv)
    z = x * 1
    out = fs["saved input"](z, y)
    z.add_(1)
    with pytest.raises(GradError, match="input 0 of Cube, shape .*was changed in place"):
        out.backward()

    class Other(rv.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.other = x * 2
            ctx.save_for_backward(ctx.other, None)
            return x.exp()

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    out = Other.apply(x)
    out.sum().backward(retain_graph=True)
    out.sum().backward()
    with pytest.raises(GradError, match="the tape of Other has been used already"):
        out.sum().backward()
    with pytest.raises(GradError, match="is not to be instantiated"):
        Other()


def test_once_differentiable():
    class Square(rv.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @rv.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0]

    x, _ = _leaves(rv)
    (g,) = rv.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), 2 * np.array(START[0]))
    with pytest.raises(GradError, match="Square.backward: its backward is marked once_differentiable"):
        g.sum().backward()
    Square.apply(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.array(START[0]))


def test_marks_must_fit():
    class Dirty(rv.autograd.Function):
        @staticmethod
        def forward(ctx, x, give):
            ctx.mark_dirty(x)
            return x if give else x * 2

    x, _ = _leaves(rv)
    with pytest.raises(GradError, match="marked as dirty, so forward must return it"):
        Dirty.apply(x * 1, False)
    with pytest.raises(GradError, match="in-place change of a leaf"):
        Dirty.apply(x, True)


def test_gradcheck():
    x, y = _leaves(rv)
    assert rv.autograd.gradcheck(lambda x, y: (x * y, x.exp().sum(), 3), (x, y))
    assert rv.autograd.gradgradcheck(lambda x, y: (x * y * y, x.exp().sum()), (x, y))
    wrong = functions(rv)["straight through"]
    assert not rv.autograd.gradcheck(wrong, (x, y), raise_exception=False)
    with pytest.raises(GradError, match=r"gradcheck: of output 0, shape \(\), by input 0, shape \(3,\)"):
        rv.autograd.gradcheck(wrong, (x, y))
    with pytest.raises(GradError, match="none of the inputs"):
        rv.autograd.gradcheck(wrong, (x.detach(), y.detach()))


def test_derivatives_of_functions_as_in_pytorch(torch):
    results = []
    for lib in (rv, torch):
        x, y = (t.detach() for t in _leaves(lib))
        fun = lib.autograd.functional

        def pair(x, y):
            return x.exp() * y.sum(), (x * x).sum()

        found = [
            *fun.jacobian(pair, (x, y))[0], *fun.jacobian(pair, (x, y))[1],
            fun.jacobian(lambda x: x * 2, x),
            *fun.hessian(lambda x, y: (x * y).sum() ** 3, (x, y))[0],
            *fun.vjp(pair, (x, y), (y, x[0]))[1],
            *fun.jvp(pair, (x, y), (y, x))[1],
            fun.vjp(lambda x: (x * x).sum(), x)[1],
        ]  # fmt: skip
        results.append([t.numpy() for t in found])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_options_of_grad_and_backward_as_in_pytorch(torch):
    for lib in (rv, torch):
        x, y = _leaves(lib)
        z = x * y
        z.sum().backward(inputs=[x])
        assert x.grad is not None and y.grad is None
        z = x * y
        lib.autograd.backward([(z * z).sum()], inputs=[y])
        np.testing.assert_allclose(y.grad.numpy(), 2 * y.detach().numpy() * x.detach().numpy() ** 2)
        assert lib.autograd.grad((x * 2).sum(), [x, y], only_inputs=True, allow_unused=True)[1] is None
        assert lib.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)[1].tolist() == [0.0] * 3
        lib.autograd.backward(x.sum())
    with pytest.raises(GradError, match="only_inputs=False"):
        rv.autograd.grad(x.sum(), x, only_inputs=False)


def test_values_of_a_leaf_are_not_read_in_a_trace():
    """They would be baked in, and the gradient lost."""

    class Sine(rv.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return rv.from_numpy(np.sin(x.numpy()))

        @staticmethod
        def backward(ctx, g):
            return g * rv.cos(ctx.saved_tensors[0])

    x = rv.ones(2, requires_grad=True)
    Sine.apply(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos([1, 1]), rtol=1e-6)
    with pytest.raises(rv.TraceError):
        rv.compile(lambda x: Sine.apply(x).sum())(x)
