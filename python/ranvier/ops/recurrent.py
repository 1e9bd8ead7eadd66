"""Recurrent layers over whole sequences: the ops `rnn`, `lstm` and `gru`, their gradients, and single steps.

The product of the inputs is hoisted over time: `gates` is `steady_linear(x, weight_ih, bias)` of all steps, and an op runs
what is left, step by step. `gates` (and what has a row for each step) is (T, N, ...), with `batch_first` (N, T, ...), or
packed: the rows of the first step, then those of the second one and so on, with `batch_sizes` rows each. A dense batch is a
packed one of equal sizes: one kernel (csrc/cpu/recurrent/) runs both, and a sequence's result does not depend on its
neighbours.

What a gradient needs besides results, `saved`, is an extra output. A gradient is one op as well, where it is not
differentiated itself. Else it is computed by other ops, by the formulas that define it.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from ..core.context import local
from ..core.dtypes import int64, is_float
from ..core.errors import DTypeError, ShapeError
from .activation import relu, sigmoid, tanh
from .elementwise import add, sign
from .index import zeros_for
from .join import cat, stack
from .matmul import linear, steady_linear
from .public import Array
from .record import OPS, Aval, Op, Sample, Spec

__all__ = ["gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"]


class Maths(NamedTuple):
    """Functions that the formulas need, for tensors or for a reference's arrays."""

    tanh: Any
    sigmoid: Any
    relu: Any
    sign: Any
    cat: Any
    stack: Any


TENSORS = Maths(tanh, sigmoid, relu, sign, cat, stack)


def _arrays(xp: Any) -> Maths:
    def reference(name: str) -> Any:
        return lambda x: OPS[name].reference(xp, x)

    return Maths(xp.tanh, reference("sigmoid"), reference("relu"), xp.sign, xp.concatenate, xp.stack)


def _parts(x: Any, count: int) -> list:
    """`x` in equal parts along its last axis."""
    size = x.shape[-1] // count
    return [x[..., k * size : (k + 1) * size] for k in range(count)]


class Steps:
    """Which rows the steps of a batch of sequences have."""

    def __init__(self, name: str, gates: Aval, sizes: Any, h0: Aval, batch_first: bool, reverse: bool):
        self.packed, self.batch_first, self.reverse = sizes is not None, batch_first, reverse
        if sizes is None:
            length = gates.shape[1 if batch_first else 0]
            self.sizes = [gates.shape[0 if batch_first else 1]] * length
            return
        self.sizes = [int(n) for n in sizes.tolist()]
        self.starts = [0, *accumulate(self.sizes)]
        falls = all(a >= b > 0 for a, b in zip([h0.shape[0], *self.sizes], self.sizes))
        if not falls or self.sizes[0] != h0.shape[0] or self.starts[-1] != gates.shape[0]:
            raise ShapeError(
                f"{name}: batch_sizes {self.sizes} must not rise, begin with the {h0.shape[0]} initial states and add up to "
                f"the {gates.shape[0]} rows"
            )

    def order(self) -> list[int]:
        steps = list(range(len(self.sizes)))
        return steps[::-1] if self.reverse else steps

    def rows(self, x: Any, t: int) -> Any:
        """The rows of step `t`."""
        if self.packed:
            return x[self.starts[t] : self.starts[t + 1]]
        return x[:, t] if self.batch_first else x[t]

    def before(self, maths: Maths, x: Any, first: Any, t: int) -> Any:
        """For each row of step `t`, what `x` has of the step before it; of a sequence that begins here, that of `first`."""
        last, n = t + 1 if self.reverse else t - 1, self.sizes[t]
        if not 0 <= last < len(self.sizes):
            return first[:n]
        rows, goes_on = self.rows(x, last), min(n, self.sizes[last])
        return rows[:n] if goes_on == n else maths.cat([rows, first[goes_on:n]], 0)

    def join(self, maths: Maths, parts: dict[int, Any]) -> Any:
        """The rows of all steps as one array."""
        ordered = [parts[t] for t in range(len(parts))]
        return maths.cat(ordered, 0) if self.packed else maths.stack(ordered, int(self.batch_first))


def _onto(maths: Maths, new: Any, state: Any) -> Any:
    """`state` after a step that has new values for its first rows."""
    n = new.shape[0]
    return new if n == state.shape[0] else maths.cat([new, state[n:]], 0)


# ---------------------------------------------------------------- one step


def _rnn_step(maths: Maths, pre: Any, relu: bool) -> Any:
    return maths.relu(pre) if relu else maths.tanh(pre)


def _lstm_step(maths: Maths, pre: Any, c: Any) -> tuple[list, Any]:
    """Input, forget, cell and output gate and the new cell state, and the hidden state before its projection."""
    i, f, g, o = _parts(pre, 4)
    i, f, g, o = maths.sigmoid(i), maths.sigmoid(f), maths.tanh(g), maths.sigmoid(o)
    c = f * c + i * g
    return [i, f, g, o, c], o * maths.tanh(c)


def _gru_step(maths: Maths, gates: Any, hidden: Any, h: Any) -> tuple[list, Any]:
    """Reset, update and new gate and what the state adds to the latter, and the new state; `hidden`: h W_hh^T + b_hh."""
    (xr, xz, xn), (hr, hz, q) = _parts(gates, 3), _parts(hidden, 3)
    r, z = maths.sigmoid(xr + hr), maths.sigmoid(xz + hz)
    n = maths.tanh(xn + r * q)
    return [r, z, n, q], n + z * (h - n)


def _check_cell(name: str, gates: int, h: Any, w_ih: Any, w_hh: Any) -> None:
    state, of_input, of_state = tuple(h.shape), tuple(w_ih.shape), tuple(w_hh.shape)
    units = state[-1] if state else 0
    if of_state != (gates * units, units) or len(of_input) != 2 or of_input[0] != gates * units:
        raise ShapeError(
            f"{name}: w_ih{of_input} and w_hh{of_state} must be ({gates * units}, inputs) and {(gates * units, units)} "
            f"for a state of shape {state}"
        )


def rnn_tanh_cell(
    input: Array, hx: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> Array:
    """One step of an RNN: tanh(input w_ih^T + b_ih + hx w_hh^T + b_hh)."""
    _check_cell("rnn_tanh_cell", 1, hx, w_ih, w_hh)
    return tanh(linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))


def rnn_relu_cell(
    input: Array, hx: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> Array:
    """One step of an RNN: relu(input w_ih^T + b_ih + hx w_hh^T + b_hh)."""
    _check_cell("rnn_relu_cell", 1, hx, w_ih, w_hh)
    return relu(linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))


def lstm_cell(
    input: Array, hx: Any, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> tuple[Array, Array]:
    """One step of an LSTM from the states hx = (h, c): the new ones. See `nn.LSTM`."""
    h, c = hx
    _check_cell("lstm_cell", 4, h, w_ih, w_hh)
    kept, h = _lstm_step(TENSORS, linear(input, w_ih, b_ih) + linear(h, w_hh, b_hh), c)
    return h, kept[-1]


def gru_cell(
    input: Array, hx: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None
) -> Array:
    """One step of a GRU from the state hx: the new one. See `nn.GRU`."""
    _check_cell("gru_cell", 3, hx, w_ih, w_hh)
    return _gru_step(TENSORS, linear(input, w_ih, b_ih), linear(hx, w_hh, b_hh), hx)[1]


# ---------------------------------------------------------------- shapes


def _check(name: str, count: int, gates: Aval, w_hh: Aval, sizes: Aval | None, batch_first: bool, others: dict) -> None:
    """Raise where the operands do not go together. `others`: each with the shape that it must have."""
    if not is_float(gates.dtype):
        raise DTypeError(f"{name}: gates have dtype {gates.dtype}, must be float32 or float64")
    for label, (x, shape) in others.items():
        if x.dtype != gates.dtype:
            raise DTypeError(f"{name}: gates have dtype {gates.dtype} and {label} {x.dtype}, must be the same")
        if tuple(x.shape) != tuple(shape):
            raise ShapeError(f"{name}: {label}{tuple(x.shape)} must be {tuple(shape)}, for gates{tuple(gates.shape)}")
    if len(gates.shape) != (3 if sizes is None else 2) or len(w_hh.shape) != 2:
        raise ShapeError(
            f"{name}: gates{tuple(gates.shape)} must have 3 axes, or 2 beside batch_sizes, and w_hh{tuple(w_hh.shape)} 2"
        )
    if w_hh.shape[0] != gates.shape[-1] or w_hh.shape[0] % count or not w_hh.shape[0]:
        raise ShapeError(
            f"{name}: gates{tuple(gates.shape)} and w_hh{tuple(w_hh.shape)} must have {count} times as many columns, or "
            "rows, as there are hidden units"
        )
    if sizes is not None and (sizes.dtype != int64 or len(sizes.shape) != 1):
        raise DTypeError(f"{name}: batch_sizes{tuple(sizes.shape)} of {sizes.dtype} must be int64 of one axis")
    if not (gates.shape[1 if batch_first else 0] if sizes is None else sizes.shape[0]):
        raise ShapeError(f"{name}: gates{tuple(gates.shape)} must have at least one step")


def _batch(gates: Aval, h0: Aval, sizes: Aval | None, batch_first: bool) -> int:
    return h0.shape[0] if sizes is not None else gates.shape[0 if batch_first else 1]


def _sizes(gates: Aval, rest: tuple) -> Any:
    """The batch_sizes, which come last and belong to packed gates."""
    return rest[-1] if len(gates.shape) == 2 and rest else None


# ---------------------------------------------------------------- costs


def _costs(at: int, gates: int, of_unit: int, functions: int, backward: bool = False) -> dict[str, Any]:
    """The costs of a record whose input `at` is w_hh, of so many gates: operations besides the products, and among them
    exponentials and the like, for each unit in each row. The backward pass has a product for the state and one for the
    weight, and an addition for each output.
    """

    def macs(*inputs: Aval, projected: bool = False, **attrs: Any) -> int:
        w, rows = inputs[at].shape, math.prod(inputs[0].shape[:-1])
        return (1 + backward) * rows * (w[0] + projected * (w[0] // gates)) * w[1]

    def elements(*inputs: Aval, projected: bool = False, **attrs: Any) -> int:
        w, rows = inputs[at].shape, math.prod(inputs[0].shape[:-1])
        return rows * ((of_unit + (projected and backward)) * (w[0] // gates) + backward * w[1])

    def flops(*inputs: Aval, **attrs: Any) -> int:
        exponentials = functions * math.prod(inputs[0].shape[:-1]) * (inputs[at].shape[0] // gates)
        return 2 * macs(*inputs, **attrs) + elements(*inputs, **attrs) + 15 * exponentials

    return {"macs": macs, "elements": elements, "flops": flops}


# ---------------------------------------------------------------- rnn


def _rnn_infer(
    gates: Aval, w_hh: Aval, h0: Aval, *rest: Aval, relu: bool, batch_first: bool, reverse: bool
) -> list[Spec]:
    sizes = _sizes(gates, rest)
    n = w_hh.shape[0]
    batch = _batch(gates, h0, sizes, batch_first)
    _check("rnn", 1, gates, w_hh, sizes, batch_first, {"w_hh": (w_hh, (n, n)), "h0": (h0, (batch, n))})
    return [(tuple(gates.shape), gates.dtype), (tuple(h0.shape), gates.dtype)]


def _rnn_reference(
    xp: Any, gates: Any, w_hh: Any, h: Any, *rest: Any, relu: bool, batch_first: bool, reverse: bool
) -> Any:
    steps, maths = Steps("rnn", gates, _sizes(gates, rest), h, batch_first, reverse), _arrays(xp)
    y = {}
    for t in steps.order():
        y[t] = _rnn_step(maths, steps.rows(gates, t) + h[: steps.sizes[t]] @ w_hh.T, relu)
        h = _onto(maths, y[t], h)
    return steps.join(maths, y), h


def _rnn_backward(
    maths: Maths, dy: Any, dh: Any, y: Any, w_hh: Any, h0: Any, *rest: Any, relu: bool, batch_first: bool, reverse: bool
) -> tuple:
    steps = Steps("rnn_grad", dy, _sizes(dy, rest), h0, batch_first, reverse)
    pre, before = {}, []
    for t in reversed(steps.order()):
        n, out = steps.sizes[t], steps.rows(y, t)
        pre[t] = (dh[:n] + steps.rows(dy, t)) * (maths.sign(out) if relu else 1 - out * out)
        before.append((t, steps.before(maths, y, h0, t)))
        dh = _onto(maths, pre[t] @ w_hh, dh)
    return steps.join(maths, pre), _summed(maths, pre, before), dh


def _summed(maths: Maths, rows: dict[int, Any], columns: list[tuple[int, Any]]) -> Any:
    """The sum over all rows of the products of a row with its column: one product."""
    return maths.cat([rows[t] for t, _ in columns], 0).T @ maths.cat([x for _, x in columns], 0)


def _filled(g: tuple, *shapes: tuple[int, ...], like: Any) -> list:
    """Gradients of results, zeros for those that nothing reads."""
    return [zeros_for(like, shape) if each is None else each for each, shape in zip(g, shapes)]


def _rnn_vjp(g: tuple, out: tuple, gates: Any, w_hh: Any, h0: Any, *rest: Any, **attrs: Any) -> tuple:
    gs = _filled(g, gates.shape, h0.shape, like=w_hh)
    operands = (*gs, out[0], w_hh, h0, *rest)
    grads = _rnn_backward(TENSORS, *operands, **attrs) if local.grad_enabled else _rnn_grad(*operands, **attrs)
    return (*grads, *(None for _ in rest))


def _packed(*shapes: Any, sizes: tuple[int, ...] = (3, 2, 2, 1)) -> tuple:
    """Inputs of a sample of that many rows, with batch_sizes."""
    return (*shapes, np.array(sizes, np.int64))


def _rnn_samples(inputs: Any) -> tuple[Sample, ...]:
    """`inputs(rows, batch, units)`: of a sample whose gates are (*rows, units)."""
    return (
        Sample(inputs((4, 3), 3, 5)),
        Sample(inputs((3, 4), 3, 5), {"batch_first": True, "reverse": True}),
        Sample(inputs((2, 20), 20, 33), {"relu": True}),
        Sample(inputs((1, 1), 1, 1)),
        Sample(inputs((2, 0), 0, 3)),
        Sample(_packed(*inputs((8,), 3, 4)), {"reverse": True}),
        Sample(_packed(*inputs((8,), 3, 4)), {"relu": True}),
    )


_rnn = Op(
    "rnn", kind="kernel", attrs={"relu": False, "batch_first": False, "reverse": False},
    infer=_rnn_infer, reference=_rnn_reference, vjp=_rnn_vjp, saves="i1-o0", domain=(-1, 1), max_ulp=64,
    **_costs(1, gates=1, of_unit=2, functions=1),
    samples=lambda: _rnn_samples(lambda rows, batch, n: ((*rows, n), (n, n), (batch, n))), onnx="RNN",
    doc="h = tanh or relu of gates[t] + h w_hh^T, step by step: all h, and the last ones",
)  # fmt: skip

_rnn_grad = Op(
    "rnn_grad", kind="kernel", attrs={"relu": False, "batch_first": False, "reverse": False},
    infer=lambda dy, dh, y, w_hh, h0, *rest, **attrs: (
        [(tuple(dy.shape), dy.dtype), (tuple(w_hh.shape), dy.dtype), (tuple(h0.shape), dy.dtype)]
    ),
    reference=lambda xp, *inputs, **attrs: _rnn_backward(_arrays(xp), *inputs, **attrs), domain=(-1, 1), max_ulp=64,
    **_costs(3, gates=1, of_unit=3, functions=0, backward=True),
    samples=lambda: _rnn_samples(lambda rows, batch, n: ((*rows, n), (batch, n), (*rows, n), (n, n), (batch, n))),
    doc="what gradients of `rnn`'s results give back to gates, w_hh and h0",
)  # fmt: skip


# ---------------------------------------------------------------- lstm


def _lstm_rest(gates: Aval, rest: tuple, projected: bool) -> tuple[Any, Any]:
    """w_hr and batch_sizes, or None."""
    return rest[0] if projected else None, _sizes(gates, rest)


def _lstm_infer(
    gates: Aval, w_hh: Aval, h0: Aval, c0: Aval, *rest: Aval, projected: bool, batch_first: bool, reverse: bool,
    training: bool = False,
) -> list[Spec]:  # fmt: skip
    w_hr, sizes = _lstm_rest(gates, rest, projected)
    units = w_hh.shape[0] // 4
    out = units if w_hr is None else w_hr.shape[0]
    batch = _batch(gates, h0, sizes, batch_first)
    shapes = {"w_hh": (w_hh, (4 * units, out)), "h0": (h0, (batch, out)), "c0": (c0, (batch, units))}
    if w_hr is not None:
        shapes["w_hr"] = (w_hr, (out, units))
    _check("lstm", 4, gates, w_hh, sizes, batch_first, shapes)
    rows, dtype = tuple(gates.shape[:-1]), gates.dtype
    specs = [((*rows, out), dtype), (tuple(h0.shape), dtype), (tuple(c0.shape), dtype)]
    return [*specs, ((*rows, 5 * units), dtype)] if training else specs


def _lstm_reference(
    xp: Any, gates: Any, w_hh: Any, h: Any, c: Any, *rest: Any, projected: bool, batch_first: bool, reverse: bool,
    training: bool,
) -> Any:  # fmt: skip
    w_hr, sizes = _lstm_rest(gates, rest, projected)
    steps, maths = Steps("lstm", gates, sizes, h, batch_first, reverse), _arrays(xp)
    y, saved = {}, {}
    for t in steps.order():
        n = steps.sizes[t]
        kept, hidden = _lstm_step(maths, steps.rows(gates, t) + h[:n] @ w_hh.T, c[:n])
        y[t], saved[t] = hidden if w_hr is None else hidden @ w_hr.T, maths.cat(kept, 1)
        h, c = _onto(maths, y[t], h), _onto(maths, kept[-1], c)
    outs = steps.join(maths, y), h, c
    return (*outs, steps.join(maths, saved)) if training else outs


def _lstm_backward(
    maths: Maths, dy: Any, dh: Any, dc: Any, y: Any, saved: Any, w_hh: Any, h0: Any, c0: Any, *rest: Any, projected: bool,
    batch_first: bool, reverse: bool, dsaved: Any = None,
) -> tuple:  # fmt: skip
    w_hr, sizes = _lstm_rest(dy, rest, projected)
    steps, units = Steps("lstm_grad", dy, sizes, h0, batch_first, reverse), c0.shape[1]
    pre, before, hidden, dhidden = {}, [], [], {}
    for t in reversed(steps.order()):
        n = steps.sizes[t]
        i, f, g, o, c = _parts(steps.rows(saved, t), 5)
        th = maths.tanh(c)
        d = dh[:n] + steps.rows(dy, t)
        if w_hr is not None:
            dhidden[t] = d
            hidden.append((t, o * th))
            d = d @ w_hr
        more = [0.0] * 5 if dsaved is None else _parts(steps.rows(dsaved, t), 5)
        dct = dc[:n] + d * o * (1 - th * th) + more[4]
        df = dct * steps.before(maths, saved[..., 4 * units :], c0, t)
        di, df, dg, do = dct * g + more[0], df + more[1], dct * i + more[2], d * th + more[3]
        pre[t] = maths.cat([di * (i * (1 - i)), df * (f * (1 - f)), dg * (1 - g * g), do * (o * (1 - o))], 1)
        before.append((t, steps.before(maths, y, h0, t)))
        dh, dc = _onto(maths, pre[t] @ w_hh, dh), _onto(maths, dct * f, dc)
    grads = steps.join(maths, pre), _summed(maths, pre, before), dh, dc
    return grads if w_hr is None else (*grads, _summed(maths, dhidden, hidden))


def _lstm_vjp(
    g: tuple, out: tuple, gates: Any, w_hh: Any, h0: Any, c0: Any, *rest: Any, training: bool, **attrs: Any
) -> tuple:
    *gs, dsaved = g
    gs = _filled(tuple(gs), (*gates.shape[:-1], h0.shape[1]), h0.shape, c0.shape, like=w_hh)
    operands = (*gs, out[0], out[3], w_hh, h0, c0, *rest)
    if local.grad_enabled or dsaved is not None:
        grads = _lstm_backward(TENSORS, *operands, **attrs, dsaved=dsaved)
    else:
        grads = _lstm_grad(*operands, **attrs)
    return (*grads, *(None for _ in range(4 + len(rest) - len(grads))))


def _lstm_samples(inputs: Any) -> tuple[Sample, ...]:
    """`inputs(rows, batch, units, out)`: of a sample whose gates are (*rows, 4 units) and whose states have `out` units."""
    cases: tuple[tuple[tuple, dict], ...] = (
        (inputs((4, 3), 3, 5, 5), {}),
        (inputs((3, 4), 3, 5, 5), {"batch_first": True, "reverse": True}),
        (inputs((2, 20), 20, 33, 33), {}),
        (inputs((1, 1), 1, 1, 1), {}),
        (inputs((2, 0), 0, 3, 3), {}),
        ((*inputs((3, 2), 2, 5, 3), (3, 5)), {"projected": True}),
        (_packed(*inputs((8,), 3, 4, 4)), {}),
        (_packed(*inputs((8,), 3, 4, 2), (2, 4)), {"projected": True, "reverse": True}),
    )
    return tuple(Sample(*case) for case in cases)


def _with_saved(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """The samples, and each with what a gradient needs."""
    return (*samples, *(Sample(s.inputs, {**s.attrs, "training": True}) for s in samples))


_lstm = Op(
    "lstm", kind="kernel", extras=1,
    attrs={"projected": False, "batch_first": False, "reverse": False, "training": False},
    infer=_lstm_infer, reference=_lstm_reference, vjp=_lstm_vjp, saves="i1-o03", domain=(-1, 1), max_ulp=64,
    **_costs(1, gates=4, of_unit=13, functions=5),
    samples=lambda: _with_saved(
        _lstm_samples(lambda rows, batch, n, p: ((*rows, 4 * n), (4 * n, p), (batch, p), (batch, n)))
    ),
    onnx="LSTM", doc="an LSTM's steps: all hidden states, the last ones, and the last cell states",
)  # fmt: skip


def _lstm_grad_infer(
    dy: Aval, dh: Aval, dc: Aval, y: Aval, saved: Aval, w_hh: Aval, h0: Aval, c0: Aval, *rest: Aval, projected: bool,
    **attrs: Any,
) -> list[Spec]:  # fmt: skip
    gates = (*saved.shape[:-1], w_hh.shape[0])
    shapes = [gates, w_hh.shape, h0.shape, c0.shape, *([rest[0].shape] if projected else [])]
    return [(tuple(shape), dy.dtype) for shape in shapes]


_lstm_grad = Op(
    "lstm_grad", kind="kernel", attrs={"projected": False, "batch_first": False, "reverse": False},
    infer=_lstm_grad_infer,
    reference=lambda xp, *inputs, **attrs: _lstm_backward(_arrays(xp), *inputs, **attrs), domain=(-1, 1), max_ulp=64,
    **_costs(5, gates=4, of_unit=23, functions=1, backward=True),
    samples=lambda: _lstm_samples(lambda rows, batch, n, p: (
        (*rows, p), (batch, p), (batch, n), (*rows, p), (*rows, 5 * n), (4 * n, p), (batch, p), (batch, n)
    )),
    doc="what gradients of `lstm`'s results give back to gates, w_hh, h0, c0 and w_hr",
)  # fmt: skip


# ---------------------------------------------------------------- gru


def _gru_infer(
    gates: Aval, w_hh: Aval, h0: Aval, b_hh: Aval, *rest: Aval, batch_first: bool, reverse: bool, training: bool = False
) -> list[Spec]:
    sizes = _sizes(gates, rest)
    units = w_hh.shape[0] // 3
    batch = _batch(gates, h0, sizes, batch_first)
    shapes = {"w_hh": (w_hh, (3 * units, units)), "h0": (h0, (batch, units)), "b_hh": (b_hh, (3 * units,))}
    _check("gru", 3, gates, w_hh, sizes, batch_first, shapes)
    rows, dtype = tuple(gates.shape[:-1]), gates.dtype
    specs: list[Spec] = [((*rows, units), dtype), (tuple(h0.shape), dtype)]
    return [*specs, ((*rows, 4 * units), dtype)] if training else specs


def _gru_reference(
    xp: Any, gates: Any, w_hh: Any, h: Any, b_hh: Any, *rest: Any, batch_first: bool, reverse: bool, training: bool
) -> Any:
    steps, maths = Steps("gru", gates, _sizes(gates, rest), h, batch_first, reverse), _arrays(xp)
    y, saved = {}, {}
    for t in steps.order():
        now = h[: steps.sizes[t]]
        kept, y[t] = _gru_step(maths, steps.rows(gates, t), now @ w_hh.T + b_hh, now)
        saved[t] = maths.cat(kept, 1)
        h = _onto(maths, y[t], h)
    outs = steps.join(maths, y), h
    return (*outs, steps.join(maths, saved)) if training else outs


def _gru_backward(
    maths: Maths, dy: Any, dh: Any, y: Any, saved: Any, w_hh: Any, h0: Any, *rest: Any, batch_first: bool, reverse: bool,
    dsaved: Any = None,
) -> tuple:  # fmt: skip
    steps = Steps("gru_grad", dy, _sizes(dy, rest), h0, batch_first, reverse)
    pre, of_hidden, before = {}, {}, []
    for t in reversed(steps.order()):
        r, z, n, q = _parts(steps.rows(saved, t), 4)
        h = steps.before(maths, y, h0, t)
        more = [0.0] * 4 if dsaved is None else _parts(steps.rows(dsaved, t), 4)
        d = dh[: steps.sizes[t]] + steps.rows(dy, t)
        dn = (d * (1 - z) + more[2]) * (1 - n * n)
        dr = (dn * q + more[0]) * (r * (1 - r))
        dz = (d * (h - n) + more[1]) * (z * (1 - z))
        pre[t], of_hidden[t] = maths.cat([dr, dz, dn], 1), maths.cat([dr, dz, dn * r + more[3]], 1)
        before.append((t, h))
        dh = _onto(maths, d * z + of_hidden[t] @ w_hh, dh)
    db = maths.cat([of_hidden[t] for t, _ in before], 0).sum(0)
    return steps.join(maths, pre), _summed(maths, of_hidden, before), dh, db


def _gru_vjp(
    g: tuple, out: tuple, gates: Any, w_hh: Any, h0: Any, b_hh: Any, *rest: Any, training: bool, **attrs: Any
) -> tuple:
    *gs, dsaved = g
    gs = _filled(tuple(gs), (*gates.shape[:-1], h0.shape[1]), h0.shape, like=w_hh)
    operands = (*gs, out[0], out[2], w_hh, h0, *rest)
    if local.grad_enabled or dsaved is not None:
        grads = _gru_backward(TENSORS, *operands, **attrs, dsaved=dsaved)
    else:
        grads = _gru_grad(*operands, **attrs)
    return (*grads, *(None for _ in rest))


def _gru_samples(inputs: Any) -> tuple[Sample, ...]:
    """As `_rnn_samples`, of gates (*rows, 3 units)."""
    cases: tuple[tuple[tuple, dict], ...] = (
        (inputs((4, 3), 3, 5), {}),
        (inputs((3, 4), 3, 5), {"batch_first": True, "reverse": True}),
        (inputs((2, 20), 20, 33), {}),
        (inputs((1, 1), 1, 1), {}),
        (inputs((2, 0), 0, 3), {}),
        (_packed(*inputs((8,), 3, 4)), {"reverse": True}),
    )
    return tuple(Sample(*case) for case in cases)


_gru = Op(
    "gru", kind="kernel", extras=1, attrs={"batch_first": False, "reverse": False, "training": False},
    infer=_gru_infer, reference=_gru_reference, vjp=_gru_vjp, saves="i124o02",
    domain=(-1, 1), max_ulp=64,
    **_costs(1, gates=3, of_unit=13, functions=3),
    samples=lambda: _with_saved(_gru_samples(lambda rows, batch, n: ((*rows, 3 * n), (3 * n, n), (batch, n), (3 * n,)))),
    onnx="GRU", doc="a GRU's steps: all hidden states, and the last ones",
)  # fmt: skip


def _gru_grad_infer(
    dy: Aval, dh: Aval, y: Aval, saved: Aval, w_hh: Aval, h0: Aval, *rest: Aval, **attrs: Any
) -> list[Spec]:
    shapes = (*saved.shape[:-1], w_hh.shape[0]), w_hh.shape, h0.shape, w_hh.shape[:1]
    return [(tuple(shape), dy.dtype) for shape in shapes]


_gru_grad = Op(
    "gru_grad", kind="kernel", attrs={"batch_first": False, "reverse": False},
    infer=_gru_grad_infer,
    reference=lambda xp, *inputs, **attrs: _gru_backward(_arrays(xp), *inputs, **attrs), domain=(-1, 1), max_ulp=64,
    **_costs(4, gates=3, of_unit=20, functions=0, backward=True),
    samples=lambda: _gru_samples(lambda rows, batch, n: (
        (*rows, n), (batch, n), (*rows, n), (*rows, 4 * n), (3 * n, n), (batch, n)
    )),
    doc="what gradients of `gru`'s results give back to gates, w_hh, h0 and b_hh",
)  # fmt: skip


# ---------------------------------------------------------------- what layers call


def sequence(
    mode: str,
    x: Any,
    states: tuple,
    sizes: Any,
    *,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    w_hr: Any,
    **attrs: bool,
) -> tuple:
    """One direction of one layer: all hidden states, and the last states."""
    bias = b_ih if b_ih is None or mode == "GRU" else add(b_ih, b_hh)
    gates = steady_linear(x, w_ih) if bias is None else steady_linear(x, w_ih, bias)
    last = () if sizes is None else (sizes,)
    if mode == "LSTM":
        projection = () if w_hr is None else (w_hr,)
        return _lstm(gates, w_hh, *states, *projection, *last, projected=w_hr is not None, **attrs, training=False)
    if mode == "GRU":
        bias = zeros_for(gates, w_hh.shape[:1]) if b_hh is None else b_hh
        return _gru(gates, w_hh, *states, bias, *last, **attrs, training=False)
    return _rnn(gates, w_hh, *states, *last, relu=mode == "RNN_RELU", **attrs)
