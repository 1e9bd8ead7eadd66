"""Messages name the op, the shapes or values, and the rule."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim

o = rv.ones
i = lambda *v: rv.tensor(list(v))  # noqa: E731
leaf = lambda *s: rv.ones(*s, requires_grad=True)  # noqa: E731


def twice():
    y = (leaf(2) * 2).sum()
    y.backward()
    y.backward()


def changed():
    x = leaf(2) * 1.0
    y = (x * x).sum()
    x.zero_()
    y.backward()


CASES = {
    # shapes
    "broadcast": (lambda: o(2, 3) + o(4, 3), rv.ShapeError, "add: shapes (2, 3), (4, 3) do not broadcast: axis -2 has sizes [2, 4], which must be equal or 1"),
    "linear": (lambda: F.linear(o(32, 100), o(10, 784)), rv.ShapeError,
               "linear: x(32, 100) @ weight(10, 784).T: x.shape[-1]=100 must equal in_features=784"),
    "linear in a layer": (lambda: nn.Sequential(nn.ReLU(), nn.Linear(784, 10))(o(32, 100)), rv.ShapeError,
                          "linear: x(32, 100) @ weight(10, 784).T: x.shape[-1]=100 must equal in_features=784  [in 1 (Linear)]"),
    "matmul": (lambda: o(2, 3) @ o(4, 5), rv.ShapeError, "matmul: a(2, 3) @ b(4, 5): a.shape[-1]=3 must equal b.shape[-2]=4"),
    "reshape": (lambda: o(2, 3).reshape(4, 2), rv.ShapeError, "reshape: (2, 3) has 6 elements, (4, 2) has 8"),
    "reshape -1": (lambda: o(2, 3).reshape(4, -1), rv.ShapeError, "reshape: (2, 3) with 6 elements does not fit into (4, -1)"),
    "reshape -1 -1": (lambda: o(2, 3).reshape(-1, -1), rv.ShapeError, "reshape: (-1, -1) has more than one -1"),
    "permute": (lambda: o(2, 3).permute(0, 0), rv.ShapeError, "permute: dims=(0, 0) must name each of the 2 axes of (2, 3) once"),
    "expand": (lambda: o(2, 3).expand(4, 3), rv.ShapeError, "expand: (2, 3) does not broadcast to (4, 3): only axes of size 1 expand"),
    "cat": (lambda: rv.cat([o(2, 3), o(2, 4)], dim=0), rv.ShapeError, ["cat: ", "(2, 3)", "(2, 4)"]),
    "stack": (lambda: rv.stack([o(2, 3), o(2, 4)]), rv.ShapeError, ["stack: ", "(2, 3)", "(2, 4)"]),
    "no cat": (lambda: rv.cat([]), rv.ShapeError, ["cat: "]),
    "mse column": (lambda: F.mse_loss(o(4, 1), o(4)), rv.ShapeError, ["mse_loss: ", "(4, 1)", "(4,)"]),
    "zeros": (lambda: rv.zeros(-1), rv.ShapeError, "zeros: sizes (-1,) must be >= 0"),
    "item": (lambda: o(3).item(), rv.ShapeError, "item: a tensor of shape (3,) has 3 elements, must have 1"),
    "truth": (lambda: bool(o(3)), rv.ShapeError, "bool: the truth of a tensor of shape (3,) is ambiguous; use any() or all()"),
    "ragged": (lambda: rv.tensor([[1.0], [1.0, 2.0]]), rv.ShapeError, "tensor: nested sequences must have equal lengths"),
    "in place": (lambda: o(2).add_(o(3, 2)), rv.ShapeError, "in-place change: result of shape (3, 2) does not fit (2,)"),
    "mask": (lambda: o(3)[rv.tensor([True, False])], rv.ShapeError, "index: mask of shape (2,) must match axes 0.. of (3,)"),
    # axes, indices, labels
    "axis": (lambda: o(2, 3).sum(dim=2), rv.OutOfRangeError, "sum: dim=2 must be in [-2, 1] for 2 axes"),
    "axis twice": (lambda: o(2, 3).sum(dim=(0, -2)), rv.ShapeError, "sum: dim=(0, -2) names an axis twice"),
    "axis type": (lambda: o(2, 3).softmax(1.5), rv.DTypeError, "softmax: dim=1.5 must be an integer"),
    "position": (lambda: o(3)[5], rv.OutOfRangeError, "index: 5 must be in [-3, 2] for axis 0 of (3,)"),
    "too many": (lambda: o(3)[0, 0], rv.OutOfRangeError, "index: 2 indices are too many for a tensor of shape (3,)"),
    "index array": (lambda: o(3, 2)[i(0, 7)], rv.OutOfRangeError, ["index_get", "7", "position 1"]),
    "gather": (lambda: rv.gather(o(3, 2), 1, rv.tensor([[2]])), rv.OutOfRangeError, ["gather", "2", "position 0"]),
    "label": (lambda: F.cross_entropy(o(2, 3), i(0, 3)), rv.OutOfRangeError, ["cross_entropy", "3"]),
    "empty max": (lambda: rv.zeros(0).max(), rv.ShapeError, ["max", "(0,)"]),
    "topk": (lambda: rv.topk(o(3), 4), (rv.ShapeError, rv.OutOfRangeError), ["topk", "4"]),
    # dtypes
    "grad of ints": (lambda: i(1, 2).requires_grad_(), rv.DTypeError, "requires_grad: dtype int64 has no gradient; only float32 and float64 have"),
    "list of ints": (lambda: rv.tensor([1, 2], requires_grad=True), rv.DTypeError, "requires_grad: dtype int64 has no gradient; only float32 and float64 have"),
    "complex": (lambda: rv.from_numpy(np.ones(2, complex)), rv.DTypeError, ["Tensor: dtype complex128 must be one of float32"]),
    "strings": (lambda: rv.tensor(["a"]), rv.DTypeError, ["tensor: list with dtype <U1 cannot become a tensor"]),
    "operand": (lambda: o(2) + "a", rv.DTypeError, ["add: argument 'a' of type str must be a Tensor, a NumPy array or a number"]),
    "mixed": (lambda: F.linear(o(2, 3), o(4, 3, dtype="float64")), rv.DTypeError, ["linear: ", "float32", "float64"]),
    "bools": (lambda: rv.tensor([True]) - rv.tensor([True]), rv.DTypeError, ["sub: dtype bool must be a float or integer dtype"]),
    "in place dtype": (lambda: i(1, 2).div_(2), rv.DTypeError, "in-place div: a float32 result does not fit int64"),
    "dtype name": (lambda: rv.zeros(2, dtype="float16"), rv.DTypeError, ["dtype='float16' must be one of float32"]),
    "float index": (lambda: o(3)[o(1)], rv.DTypeError, "index: an array of dtype float32 must hold integers or bools"),
    # gradients
    "non-scalar": (lambda: (leaf(2) * 2).backward(), rv.GradError, "backward: a tensor of shape (2,) is not a scalar; pass its gradient"),
    "no gradient": (lambda: o(2).sum().backward(), rv.GradError, ["backward: the tensor was not computed from anything that requires a gradient"]),
    "seed": (lambda: (leaf(2) * 2).backward(o(3)), rv.ShapeError, "backward: gradient of shape (3,) must have the tensor's shape (2,)"),
    "twice": (twice, rv.GradError, "backward: the tape of sum has been used already; call backward(retain_graph=True) the first time to go through it twice"),
    "changed": (changed, rv.GradError, ["backward: input 0 of mul, shape (2,), was changed in place after it was saved"]),
    "numpy": (lambda: leaf(2).numpy(), rv.GradError, "numpy(): the tensor requires a gradient; call detach().numpy()"),
    "leaf": (lambda: leaf(2).add_(1.0), rv.GradError, ["in-place change of a leaf tensor of shape (2,) that requires a gradient"]),
    # settings
    "threads": (lambda: rv.set_num_threads(0), rv.DTypeError, "set_num_threads: n=0 must be an integer >= 1"),
    "backend": (lambda: rv.backend("tpu"), rv.BackendError, "backend: 'tpu' must be 'native' or 'numpy'"),
    "device": (lambda: o(2).to("cuda"), rv.BackendError, "to: device 'cuda' is not available; devices: cpu"),
    "learning rate": (lambda: optim.SGD([leaf(2)], lr=-1.0), ValueError, ["lr", "-1"]),
    "no parameters": (lambda: optim.SGD([], lr=1.0), ValueError, "SGD: params is empty"),
    "dropout": (lambda: nn.Dropout(1.5), ValueError, ["p=1.5"]),
}  # fmt: skip


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("case", CASES)
def test_message(case, backend):
    call, kind, wanted = CASES[case]
    with rv.backend(backend), pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    if isinstance(wanted, str):
        assert text == wanted
    elif backend == "native":
        assert all(part in text for part in wanted), text
    assert not any(word in text for word in ("_impl", "lambda", "0x")), f"inner names in: {text}"


def test_types_are_pythons_own_too():
    assert issubclass(rv.ShapeError, ValueError) and issubclass(rv.DTypeError, TypeError)
    assert issubclass(rv.OutOfRangeError, IndexError) and issubclass(rv.GradError, RuntimeError)
    assert all(
        issubclass(e, rv.RanvierError)
        for e in (rv.ShapeError, rv.DTypeError, rv.OutOfRangeError, rv.TraceError, rv.BackendError)
    )


def test_the_same_message_in_a_trace():
    """A shape error in a compiled function is the one that eager code gives."""
    bad = lambda: F.linear(o(32, 100), o(10, 784))  # noqa: E731
    with pytest.raises(rv.ShapeError) as eager:
        bad()
    with pytest.raises(rv.ShapeError) as compiled:
        rv.compile(bad)()
    assert str(eager.value) == str(compiled.value)


def test_faults_in_a_compiled_run_name_the_layer():

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(o(4, 2))
            self.inner = Pick()

        def forward(self, index):
            return self.inner(self.table, index)

    class Pick(nn.Module):
        def forward(self, table, index):
            return table[index]

    f = rv.compile(Net())
    with rv.no_grad():
        f(i(0, 3))
        with pytest.raises(rv.OutOfRangeError, match=r"index_get.*inner.*index 4 at position 1 must be in \[-4, 3\]"):
            f(i(0, 4))
        f(i(0, 3))


def test_malformed_plans_are_refused():
    from ranvier import _native as native

    view = lambda slot, offset=0, shape=(4,): (slot, offset, 0, shape, (1,))  # noqa: E731
    slots = [("input", 16), ("output", 0, (4,)), ("arena", 0, 16)]
    for ins, outs, rule in (
        ([view(0, offset=4)], [view(1)], r"instruction 0 \(copy\): input 0: bytes \[4, 20\).*must lie within"),
        ([view(7)], [view(1)], r"slot 7 must be in \[0, 3\)"),
        ([view(0)], [view(0)], "an input slot must not be written"),
        ([view(0)], [view(1, shape=(3,))], "copy"),
    ):
        with pytest.raises(ValueError, match=rule):
            native.Plan(slots, [("copy", ins, outs, {}, "copy")])
    with pytest.raises(ValueError, match="no kernel 'conv9d'"):
        native.Plan(slots, [("conv9d", [view(0)], [view(1)], {}, "x")])
