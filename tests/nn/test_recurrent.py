"""Recurrent layers and cells, and sequences of different lengths: PyTorch's values and gradients for every combination of
arguments, the same bits whatever stands beside a sequence, and errors that say what is wrong.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import ranvier as rv
from ops_support import same_bits
from ranvier import nn, optim
from ranvier.core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError, TraceError
from ranvier.graph import trace
from ranvier.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)

KINDS = ("RNN", "LSTM", "GRU")
LAYERS = ("RNN tanh", "RNN relu", "LSTM", "LSTM projected", "GRU")


def drawn(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def arguments(layer, **more):
    kind, _, variant = layer.partition(" ")
    if kind == "RNN":
        more["nonlinearity"] = variant
    if variant == "projected":
        more["proj_size"] = 3
    return kind, more


def results(lib, read, layer, dtype, packed, given, batched, shape, more, parameters):
    """Outputs, last states, and the gradients of input, initial states and parameters."""
    kind, more = arguments(layer, **more)
    steps, batch, features, hidden = shape
    model = getattr(lib.nn, kind)(features, hidden, dtype=getattr(lib, dtype), **more)
    model.load_state_dict({k: read(v) for k, v in parameters.items()})
    first, count = more["batch_first"], more["num_layers"] * (1 + more["bidirectional"])
    sizes = [more.get("proj_size", hidden), hidden][: 2 if kind == "LSTM" else 1]
    x = drawn(*((batch, steps) if first else (steps, batch)), features, dtype=dtype)
    if not batched:
        x = x[0] if first else x[:, 0]
    x = read(np.ascontiguousarray(x)).requires_grad_(True)
    states = [read(drawn(*((count, batch) if batched else (count,)), s, seed=s, dtype=dtype)) for s in sizes]
    states = [s.requires_grad_(True) for s in states]
    hx = None if not given else tuple(states) if kind == "LSTM" else states[0]
    utils, inside = lib.nn.utils.rnn, x
    if packed:
        lengths = [max(1, steps - k * 2) for k in range(batch)]
        lengths = lengths if packed == "sorted" else lengths[1:] + lengths[:1]
        inside = utils.pack_padded_sequence(x, lib.tensor(lengths), first, packed == "sorted")
    y, last = model(inside, hx)
    if packed:
        y, _ = utils.pad_packed_sequence(y, first, padding_value=0.5)
    outs = [y, *(last if kind == "LSTM" else [last])]
    sum((o * read(drawn(*o.shape, seed=k, dtype=dtype))).sum() for k, o in enumerate(outs)).backward()
    leaves = [x, *(states if given else []), *model.parameters()]
    return [np.asarray(t.detach()) for t in outs] + [np.asarray(t.grad) for t in leaves]


SHAPES = ((5, 3, 4, 6), (1, 2, 3, 5), (3, 1, 1, 1 + 4), (4, 0, 3, 5), (6, 19, 5, 33))


@pytest.mark.parametrize("layer", LAYERS)
def test_sweep_is_pytorchs(torch, layer):
    """Combinations of the arguments, with shapes, dtypes, biases and initial states in turn."""
    cases = itertools.product((1, 2), (False, True), (False, True), ("", "sorted", "unsorted"))
    shapes, dtypes = itertools.cycle(SHAPES), itertools.cycle(("float32", "float64", "float64"))
    for number, (layers, both, first, packed) in enumerate(cases):
        bias, given = number % 7 < 5, number % 5 < 3
        shape, dtype = next(shapes), next(dtypes)
        batched = bool(packed) or number % 4 != 3
        if not shape[1] and (packed or not batched):
            shape = SHAPES[0]
        kind, more = arguments(layer, num_layers=layers, bidirectional=both, bias=bias, batch_first=first)
        theirs = getattr(torch.nn, kind)(*shape[2:], dtype=getattr(torch, dtype), **more)
        ours = getattr(nn, kind)(*shape[2:], dtype=getattr(rv, dtype), **more)
        parameters = {k: v.numpy() for k, v in theirs.state_dict().items()}
        assert list(parameters) == list(ours.state_dict()) and repr(ours) == repr(theirs)
        case = (
            layer,
            dtype,
            packed,
            given,
            batched,
            shape,
            {k: v for k, v in more.items() if k not in ("nonlinearity", "proj_size")},
        )
        a = results(rv, rv.from_numpy, *case, parameters)
        b = results(torch, torch.from_numpy, *case, parameters)
        for position, (p, q) in enumerate(zip(a, b, strict=True)):
            assert p.shape == q.shape and p.dtype == q.dtype, (case, position)
            scale = np.abs(q).max(initial=0) + 0.1
            error = np.abs(p.astype(np.float64) - q).max(initial=0)
            assert error <= 64 * np.finfo(dtype).eps * scale, f"{case}, result {position}: off by {error} of {scale}"


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_pytorchs(torch, kind):
    for bias, batched, given, variant in itertools.product((True, False), (True, False), (True, False), range(2)):
        more = {"nonlinearity": ("tanh", "relu")[variant]} if kind == "RNN" else {}
        theirs = getattr(torch.nn, f"{kind}Cell")(3, 5, bias=bias, dtype=torch.float64, **more)
        ours = getattr(nn, f"{kind}Cell")(3, 5, bias=bias, dtype=rv.float64, **more)
        assert repr(ours) == repr(theirs)
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        lead = (4,) if batched else ()

        def run(model, read, kind=kind, lead=lead, given=given):
            x = read(drawn(*lead, 3, dtype="float64")).requires_grad_(True)
            states = [read(drawn(*lead, 5, seed=k, dtype="float64")) for k in range(2)]
            out = model(x, None if not given else tuple(states) if kind == "LSTM" else states[0])
            outs = out if kind == "LSTM" else (out,)
            sum((o * (k + 1)).square().sum() for k, o in enumerate(outs)).backward()
            return [np.asarray(t) for t in (*(o.detach() for o in outs), x.grad, *(p.grad for p in model.parameters()))]

        for a, b in zip(run(ours, rv.from_numpy), run(theirs, torch.from_numpy), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_a_loop_over_its_cell(kind):
    layer, cell = getattr(nn, kind)(3, 5, dtype=rv.float64), getattr(nn, f"{kind}Cell")(3, 5, dtype=rv.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, state, ys = rv.from_numpy(drawn(6, 4, 3, dtype="float64")), None, []
    for step in x:
        state = cell(step, state)
        ys.append(state[0] if kind == "LSTM" else state)
    y, last = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), rv.stack(ys).detach().numpy(), rtol=1e-13, atol=1e-14)
    wanted, got = (state, last) if kind == "LSTM" else ((state,), (last,))
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a[0].detach().numpy(), b.detach().numpy(), rtol=1e-13, atol=1e-14)


# ---------------------------------------------------------------- bits


def gradients(model, packed):
    model.zero_grad()
    y, last = model(packed)
    total = y.data if isinstance(y, PackedSequence) else y
    (total.square().sum() + sum(s.sum() for s in (last if isinstance(last, tuple) else (last,)))).backward()
    return [y.data if isinstance(y, PackedSequence) else y, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_for_any_number_of_threads(kind):
    model = getattr(nn, kind)(40, 70, num_layers=2, bidirectional=True)
    batches = rv.from_numpy(drawn(30, 37, 40)), pack_sequence([rv.from_numpy(drawn(n, 40)) for n in range(37, 0, -1)])
    for x in batches:
        rv.set_num_threads(1)
        alone = gradients(model, x)
        for threads in (2, 3):
            rv.set_num_threads(threads)
            assert same_bits(gradients(model, x), alone), threads


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_neighbours_change_no_bit(kind):
    """A sequence alone, among others, packed, sorted or not, and from a batch of either layout."""
    model = getattr(nn, kind)(7, 33, bidirectional=True)
    items = [rv.from_numpy(drawn(n, 7, seed=n)) for n in (3, 11, 1, 20, 11, 2, 5, 9, 17)]
    alone = [model(x)[0] for x in items]
    packed = model(pack_sequence(items, enforce_sorted=False))[0]
    assert all(map(same_bits, unpack_sequence(packed), alone))
    for first in (False, True):
        model.batch_first = first
        together = pad_sequence([items[3]] * 12 + [items[8]], batch_first=first)
        y = model(together)[0]
        assert same_bits(y[5] if first else y[:, 5], alone[3]), first


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_one_instruction_each_way(kind, first):
    """Beside it are the products of the inputs; and the bits are eager's."""
    x, model = rv.from_numpy(drawn(6, 4, 7)), getattr(nn, kind)(7, 9, batch_first=first)

    def step(x):
        model.zero_grad()
        y, last = model(x)
        y.square().sum().backward()
        return y

    eager, grads = step(x), [p.grad for p in model.parameters()]
    compiled = rv.compile(step)
    assert same_bits(compiled(x), eager)
    assert all(same_bits(p.grad, g) for p, g in zip(model.parameters(), grads))
    (traces,) = compiled._traces.values()
    lines = traces[0].program.plan.describe().splitlines()
    assert sum(f"[{kind.lower()}" in row for row in lines) == 2, "\n".join(lines)
    assert len(lines) <= 8, "\n".join(lines)  # products, sums of biases and their copy


@pytest.mark.parametrize("batch", [1, 2, 3, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_frozen_weights_are_laid_out_once(kind, batch):
    """Few sequences have panels of their own; bits are the same, and a change of the weights is seen."""
    model = getattr(nn, kind)(5, 67, num_layers=2)
    x = rv.from_numpy(drawn(6, batch, 5))
    frozen = rv.compile(lambda x: model(x)[0], frozen=True)
    with rv.no_grad():
        for _ in range(2):
            for _ in range(2):
                assert same_bits(frozen(x), model(x)[0])
            assert same_bits(model(x[:, :1])[0], model(x)[0][:, :1])
            model.weight_hh_l0.mul_(0.5)


def test_a_compiled_step_takes_packed_sequences():
    model = nn.LSTM(3, 5)
    items = [rv.from_numpy(drawn(n, 3, seed=n)) for n in (5, 3, 1)]

    def last(data, sizes):
        return model(PackedSequence(data, sizes), (rv.zeros(1, 3, 5), rv.zeros(1, 3, 5)))[1][0]

    packed = pack_sequence(items)
    assert same_bits(rv.compile(last)(packed.data, packed.batch_sizes), last(packed.data, packed.batch_sizes))
    padded = pad_sequence(items)

    def from_lengths(x, lengths):
        return pad_packed_sequence(model(pack_padded_sequence(x, lengths))[0])[0]

    assert same_bits(rv.compile(from_lengths)(padded, (5, 3, 1)), from_lengths(padded, (5, 3, 1)))
    with pytest.raises(TraceError, match="pack_padded_sequence: lengths decide shapes"):
        rv.compile(from_lengths)(padded, rv.tensor([5, 3, 1]))


def test_dropout_lies_between_layers_and_in_training_alone():
    x = rv.from_numpy(drawn(5, 3, 4))
    model = nn.LSTM(4, 6, num_layers=3, dropout=1.0)
    below = nn.LSTM(4, 6)
    below.load_state_dict({k: v for k, v in model.state_dict().items() if k.endswith("_l0")})
    top = nn.LSTM(6, 6)
    top.load_state_dict({k.replace("_l2", "_l0"): v for k, v in model.state_dict().items() if k.endswith("_l2")})
    assert same_bits(model(x)[0], top(rv.zeros(5, 3, 6))[0])
    assert same_bits(model(x)[1][0][0], below(x)[1][0][0])
    assert not same_bits(model.eval()(x)[0], top(rv.zeros(5, 3, 6))[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nn.GRU(2, 3, dropout=0.5)
    assert "num_layers=1" in str(caught[0].message)


# ---------------------------------------------------------------- sequences of different lengths


def test_packing_is_pytorchs(torch):
    theirs = torch.nn.utils.rnn
    x, lengths = drawn(6, 4, 2), [2, 6, 1, 4]
    items = [x[: lengths[k], k] for k in range(4)]
    for first in (False, True):
        batch = np.ascontiguousarray(x.swapaxes(0, 1)) if first else x
        a = pack_padded_sequence(rv.from_numpy(batch), lengths, first, enforce_sorted=False)
        b = theirs.pack_padded_sequence(torch.from_numpy(batch), lengths, first, enforce_sorted=False)
        assert all(np.array_equal(p.numpy(), q.numpy()) for p, q in zip(a, b))
        for p, q in zip(
            pad_packed_sequence(a, first, -1.0, total_length=8),
            theirs.pad_packed_sequence(b, first, -1.0, total_length=8),
        ):
            assert np.array_equal(p.numpy(), q.numpy())
        for side in ("left", "right"):
            p = pad_sequence([rv.from_numpy(i.copy()) for i in items], first, 2.0, side)
            q = theirs.pad_sequence([torch.from_numpy(i.copy()) for i in items], first, 2.0, side)
            assert np.array_equal(p.numpy(), q.numpy())
    ours = pack_sequence([rv.from_numpy(i.copy()) for i in items], enforce_sorted=False)
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(unpack_sequence(ours), items))
    padded = pad_sequence([rv.from_numpy(i.copy()) for i in items])
    assert all(np.array_equal(a.numpy(), b) for a, b in zip(unpad_sequence(padded, lengths), items))


def test_gradients_pass_through_packing():
    x = rv.from_numpy(drawn(4, 3, 2)).requires_grad_(True)
    padded, lengths = pad_packed_sequence(pack_padded_sequence(x, [4, 2, 1]))
    padded.sum().backward()
    assert np.array_equal(x.grad.numpy()[..., 0], np.arange(4)[:, None] < np.array([4, 2, 1]))


# ---------------------------------------------------------------- what is refused


REFUSED = {
    "length 0": (lambda: pack_padded_sequence(rv.zeros(4, 2, 3), [4, 0]), OutOfRangeError, "length 0 at position 1"),
    "length beyond": (lambda: pack_padded_sequence(rv.zeros(4, 2, 3), [5, 1]), OutOfRangeError, "from 1 to the padded length 4"),
    "lengths rise": (lambda: pack_padded_sequence(rv.zeros(4, 2, 3), [1, 4]), DomainError, "enforce_sorted=False sorts"),
    "too few": (lambda: pack_padded_sequence(rv.zeros(4, 2, 3), [4]), ShapeError, "1 lengths must be one for each of the 2"),
    "float lengths": (lambda: pack_padded_sequence(rv.zeros(4, 2, 3), [4.0, 1.0]), DTypeError, "must be integers"),
    "total": (lambda: pad_packed_sequence(pack_sequence([rv.zeros(3)]), total_length=2), DomainError, "total_length=2"),
    "no sequences": (lambda: pack_sequence([]), ShapeError, "at least one sequence"),
    "features": (lambda: nn.LSTM(3, 5)(rv.zeros(4, 2, 2)), ShapeError, r"LSTM: input\(4, 2, 2\) must be \(L, N, input_size\)"),
    "axes": (lambda: nn.GRU(3, 5)(rv.zeros(3)), ShapeError, "GRU: input"),
    "no steps": (lambda: nn.GRU(3, 5)(rv.zeros(0, 2, 3)), ShapeError, "at least one step"),
    "dtype": (lambda: nn.RNN(3, 5)(rv.zeros(4, 2, 3, dtype=rv.float64)), DTypeError, "input has dtype float64"),
    "state": (lambda: nn.RNN(3, 5)(rv.zeros(4, 2, 3), rv.zeros(1, 3, 5)), ShapeError, r"h_0\(1, 3, 5\) must be .* \(1, 2, 5\)"),
    "cell state": (lambda: nn.LSTM(3, 5, proj_size=2)(rv.zeros(4, 2, 3), (rv.zeros(1, 2, 2),) * 2), ShapeError, r"c_0\(1, 2, 2\)"),
    "one state": (lambda: nn.LSTM(3, 5)(rv.zeros(4, 2, 3), rv.zeros(1, 2, 5)), DTypeError, r"tuple \(h_0, c_0\)"),
    "packed features": (lambda: nn.LSTM(3, 5)(pack_sequence([rv.zeros(4, 2)])), ShapeError, "input_size=3"),
    "hidden": (lambda: nn.LSTM(3, 0), DomainError, "hidden_size=0 must be positive"),
    "projection": (lambda: nn.LSTM(3, 5, proj_size=5), DomainError, r"proj_size=5 must be in \[0, hidden_size=5\)"),
    "dropout": (lambda: nn.LSTM(3, 5, 2, dropout=1.5), DomainError, "dropout=1.5"),
    "function": (lambda: nn.RNN(3, 5, nonlinearity="sin"), DomainError, "nonlinearity='sin'"),
    "cell input": (lambda: nn.GRUCell(3, 5)(rv.zeros(2, 4)), ShapeError, r"GRUCell: input\(2, 4\)"),
    "cell hidden": (lambda: nn.LSTMCell(3, 5)(rv.zeros(2, 3), (rv.zeros(2, 5), rv.zeros(2, 4))), ShapeError, r"c\(2, 4\) must be"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("sizes", [(3, 2, 2), (2, 3, 3), (4, 4), (3, 3, 3), (3, 5, 0)])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_impossible_batch_sizes(sizes, backend):
    """A kernel must not read or write beyond its rows."""
    packed = PackedSequence(rv.zeros(8, 3), rv.tensor(list(sizes)))
    with rv.backend(backend), pytest.raises((ValueError, RuntimeError), match="lstm"):
        nn.LSTM(3, 5)(packed, (rv.zeros(1, 3, 5), rv.zeros(1, 3, 5)))


# ---------------------------------------------------------------- training


def trained(lib, read, parameters, dtype, compiled=False):
    """Ten steps of Adam of an LSTM that classifies sequences by its last state: losses, and the parameters' sums."""

    class Classifier(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = lib.nn.LSTM(4, 8, num_layers=2, batch_first=True)
            self.top = lib.nn.Linear(8, 3)

        def forward(self, x):
            return self.top(self.lstm(x)[1][0][-1])

    model = Classifier().to(getattr(lib, dtype))
    model.load_state_dict({k: read(v.astype(dtype)) for k, v in parameters.items()})
    optimizer, loss_of = lib.optim.Adam(model.parameters(), lr=0.03), lib.nn.CrossEntropyLoss()
    x, y = read(drawn(12, 9, 4, seed=1, dtype=dtype)), read(np.arange(12) % 3)

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = rv.compile(step) if compiled else step
    losses = [float(run(x, y).detach()) for _ in range(10)]
    return np.array(losses + [float(p.detach().sum()) for p in model.parameters()])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_training_an_lstm_is_pytorchs(oracle, compiled, dtype):
    shapes = {k: v.shape for k, v in nn.LSTM(4, 8, num_layers=2).state_dict().items()}
    shapes = {f"lstm.{k}": s for k, s in shapes.items()} | {"top.weight": (3, 8), "top.bias": (3,)}
    parameters = {k: drawn(*s, seed=i, dtype="float64") * 0.3 for i, (k, s) in enumerate(shapes.items())}
    ours = trained(rv, rv.from_numpy, parameters, dtype, compiled)
    (theirs,) = oracle(lambda torch: [trained(torch, torch.from_numpy, parameters, "float64")], "trajectories/lstm")
    assert ours[9] < ours[0]
    np.testing.assert_allclose(
        ours, theirs, rtol=2e-4 if dtype == "float32" else 1e-9, atol=1e-4 if dtype == "float32" else 1e-10
    )


def test_second_derivatives():
    """A penalty on a gradient trains through the sequence."""
    model, x = nn.GRU(2, 3, dtype=rv.float64), rv.from_numpy(drawn(4, 2, 2, dtype="float64")).requires_grad_(True)

    def penalty():
        (g,) = rv.autograd.grad(model(x)[0].square().sum(), x, create_graph=True)
        return g.square().sum()

    penalty().backward()
    w, h = model.weight_hh_l0, 1e-6
    slope = w.grad[0, 0].item()
    with rv.no_grad():
        w[0, 0] += h
    above = penalty().item()
    with rv.no_grad():
        w[0, 0] -= 2 * h
    assert abs((above - penalty().item()) / (2 * h) - slope) < 1e-6 * max(1, abs(slope))


def test_optimizers_train_every_kind():
    for kind in KINDS:
        model = getattr(nn, kind)(1, 8)
        head = nn.Linear(8, 1)
        optimizer = optim.Adam([*model.parameters(), *head.parameters()], lr=0.02)
        x = rv.from_numpy(drawn(12, 16, 1))
        target = x.sum(0)

        def step(model=model, head=head, optimizer=optimizer, x=x, target=target):
            optimizer.zero_grad()
            loss = (head(model(x)[0][-1]) - target).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        step = rv.compile(step)
        first = step().item()
        for _ in range(100):
            last = step().item()
        assert last < 0.2 * first, (kind, first, last)


@pytest.mark.parametrize("steps", [10, 60])
def test_a_loop_over_a_cell_is_a_plan(steps):
    """Its trace asks the rules of ops as often for many steps as for few, and its gradients are the layer's."""
    layer, cell = nn.LSTM(3, 5, dtype=rv.float64), nn.LSTMCell(3, 5, dtype=rv.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = rv.from_numpy(drawn(steps, 4, 3, dtype="float64"))

    def last(x):
        state = None
        for row in x:
            state = cell(row, state)
        return state[0]

    with rv.no_grad():
        graph = trace(last, x)
    assert len(graph._specs) < steps + 20 < len(graph.nodes)  # one for the rows' places, and those of one step
    step = rv.compile(lambda x: last(x).square().sum().backward())
    step(x)
    layer(x)[1][0].square().sum().backward()
    for p, q in zip(cell.parameters(), layer.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-10, atol=1e-12)
