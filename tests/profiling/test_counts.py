"""Operations by layer against closed formulas written by hand; parameters and products against PyTorch's."""

import importlib
import math

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.graph.cost import Cost, cost_of
from ranvier.ops import OPS

B = 4


class Behind(nn.Module):
    """A layer whose input needs a gradient, as one in the middle of a network does."""

    def __init__(self, layer):
        super().__init__()
        self.scale, self.layer = nn.Parameter(rv.ones(1)), layer

    def forward(self, x):
        return self.layer(x * self.scale if x.dtype == rv.float32 else x)


def counted(layer, x, **options):
    layers = rv.profile(Behind(layer), x, measure=False, **options).layers
    own = [row for name, row in layers.items() if name.startswith("layer")]
    return tuple(sum(row[key] for row in own) for key in ("flops_forward", "flops_backward"))


def product(macs, bias=0, grads=2):
    """Forward: two a multiply-add and the bias; backward: as many for the input and the weight each, and the bias' sum."""
    return 2 * macs + bias, grads * 2 * macs + bias


def each(n, forward=1, backward=1):
    return forward * n, backward * n


# layer, shape of its input, (forward, backward)
CASES = {
    "linear": (nn.Linear(8, 5), (B, 8), product(B * 8 * 5, B * 5)),
    "linear, no bias": (nn.Linear(8, 5, bias=False), (B, 8), product(B * 8 * 5)),
    "linear, 3 axes": (nn.Linear(8, 5), (B, 3, 8), product(3 * B * 8 * 5, 3 * B * 5)),
    "linear, one row": (nn.Linear(70, 1), (1, 70), product(70, 1)),
    "conv1d": (nn.Conv1d(4, 6, 3), (B, 4, 10), product(B * 6 * 8 * 4 * 3, B * 6 * 8)),
    "conv1d, dilated": (nn.Conv1d(4, 6, 3, dilation=2), (B, 4, 10), product(B * 6 * 6 * 4 * 3, B * 6 * 6)),
    "conv2d": (nn.Conv2d(4, 6, 3), (B, 4, 9, 9), product(B * 6 * 49 * 4 * 9, B * 6 * 49)),
    "conv2d, 1x1": (nn.Conv2d(4, 6, 1), (B, 4, 9, 9), product(B * 6 * 81 * 4, B * 6 * 81)),
    "conv2d, stride": (nn.Conv2d(4, 6, 3, 2, 1), (B, 4, 9, 9), product(B * 6 * 25 * 4 * 9, B * 6 * 25)),
    "conv2d, groups": (nn.Conv2d(4, 8, 3, groups=2, bias=False), (B, 4, 9, 9), product(B * 8 * 49 * 2 * 9)),
    "conv2d, by channel": (nn.Conv2d(4, 4, 3, groups=4), (B, 4, 9, 9), product(B * 4 * 49 * 9, B * 4 * 49)),
    "conv2d, 5x3": (nn.Conv2d(2, 3, (5, 3)), (B, 2, 9, 8), product(B * 3 * 5 * 6 * 2 * 15, B * 3 * 5 * 6)),
    "conv3d": (nn.Conv3d(2, 3, 2), (B, 2, 5, 5, 5), product(B * 3 * 64 * 2 * 8, B * 3 * 64)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2), (B, 4, 5, 5), product(B * 4 * 25 * 6 * 9, B * 6 * 121)),
    "max pool": (nn.MaxPool2d(2), (B, 3, 8, 8), (B * 3 * 16 * 4, B * 3 * 16)),
    "max pool, padded": (nn.MaxPool2d(3, 2, 1), (B, 3, 9, 9), (B * 3 * (4 * 3 + 2) ** 2 - B * 3 * (14**2 - 13**2), B * 3 * 25)),
    "max pool, 1 axis": (nn.MaxPool1d(3, 1), (B, 3, 8), (B * 3 * 6 * 3, B * 3 * 6)),
    "max pool, adaptive": (nn.AdaptiveMaxPool2d(2), (B, 3, 8, 8), (B * 3 * 64, B * 3 * 4)),
    "average pool": (nn.AvgPool2d(2), (B, 3, 8, 8), each(2 * B * 3 * (4 * 8 + 4 * 4) * 2)),
    "global average": (nn.AdaptiveAvgPool2d(1), (B, 3, 8, 8), (B * 3 * 64, 0)),
    "nearest": (nn.Upsample(scale_factor=2), (B, 3, 4, 4), each(2 * B * 3 * (8 * 4 + 8 * 8))),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (B, 3, 4, 4), each(2 * B * 3 * (8 * 4 + 8 * 8) * 2)),
    "relu": (nn.ReLU(), (B, 7), each(B * 7)),
    "sigmoid": (nn.Sigmoid(), (B, 7), each(B * 7)),
    "tanh": (nn.Tanh(), (B, 7), each(B * 7)),
    "gelu": (nn.GELU(), (B, 7), each(B * 7, 1, 2)),
    "silu": (nn.SiLU(), (B, 7), each(B * 7, 1, 2)),
    "leaky relu": (nn.LeakyReLU(), (B, 7), each(B * 7, 1, 2)),
    "softmax": (nn.Softmax(1), (B, 7), each(B * 7, 1, 4)),
    "log softmax": (nn.LogSoftmax(1), (B, 7), each(B * 7, 1, 4)),
    "dropout": (nn.Dropout(0.5), (B, 7), each(B * 7, 2, 1)),
    "flatten": (nn.Flatten(), (B, 7, 2), (0, 0)),
    "zero padding": (nn.ZeroPad2d(1), (B, 3, 4, 4), (0, 0)),
    "pixel shuffle": (nn.PixelShuffle(2), (B, 4, 4, 4), (0, 0)),
    "embedding": (nn.Embedding(10, 6), None, (0, B * 5 * 6)),
    "two layers": (
        nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), (B, 8),
        tuple(map(sum, zip(product(B * 128, B * 16), each(B * 16), product(B * 32, B * 2)))),
    ),
    "bottleneck": (
        nn.Sequential(nn.Conv2d(8, 2, 1, bias=False), nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.Conv2d(2, 8, 1, bias=False)),
        (B, 8, 6, 6), product(B * 36 * (16 + 36 + 16)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operations_by_hand(name):
    layer, shape, expected = CASES[name]
    x = rv.zeros(B, 5, dtype=rv.int64) if shape is None else rv.zeros(*shape)
    assert counted(layer, x, train=True) == expected


@pytest.mark.parametrize("kind", ["batch", "layer", "group", "instance"])
def test_normalisations_are_linear_in_what_they_normalise(kind):
    """A constant of each element, and one of each line or channel."""
    make = {
        "batch": lambda: nn.BatchNorm2d(6), "layer": lambda: nn.LayerNorm(6), "group": lambda: nn.GroupNorm(2, 6),
        "instance": lambda: nn.InstanceNorm2d(6),
    }[kind]  # fmt: skip

    def at(n):
        shape = (n, 6) if kind == "layer" else (n, 6, 5, 5)
        return np.array(counted(make(), rv.zeros(*shape), train=True))

    first, second, third = at(3), at(5), at(7)
    assert (third - second == second - first).all() and (first > 0).all()
    per = (second - first) / (2 * 6 * (1 if kind == "layer" else 25))
    assert (per >= 2).all() and (per <= 14).all()


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_hand(causal):
    n, length, heads, width = 2, 10, 3, 4
    pairs = n * heads * (length * (length + 1) // 2 if causal else length**2)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(rv.ones(1))

        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x * self.scale, x, x, is_causal=causal)

    row = rv.profile(Attention(), rv.zeros(n, heads, length, width), train=True, measure=False).layers["(Attention)"]
    scaled = n * heads * length * width
    assert (
        row["macs_forward"] == pairs * 2 * width
        and row["flops_forward"] == 2 * row["macs_forward"] + 2 * pairs + scaled
    )
    assert row["macs_backward"] == pairs * 5 * width  # the scores are computed again


@pytest.mark.parametrize(
    ("kind", "gates", "forward", "backward"), [("RNN", 1, 2, 4), ("LSTM", 4, 13, 24), ("GRU", 3, 13, 21)]
)
def test_recurrent_layers_by_hand(kind, gates, forward, backward):
    """T B gates H (I + H) multiply-adds, twice that in the backward pass; so many other operations a unit."""
    length, size, units = 7, 5, 6
    layer, x = getattr(nn, kind)(size, units), rv.zeros(length, B, size)

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale, self.layer = nn.Parameter(rv.ones(1)), layer

        def forward(self, x):
            return self.layer(x * self.scale)[0]

    row = rv.profile(First(), x, train=True, measure=False).layers["layer"]
    macs = length * B * gates * units * (size + units)
    assert row["macs_forward"] == macs and row["macs_backward"] == 2 * macs
    of_units = length * B * units
    biases = row["flops_forward"] - 2 * macs - forward * of_units
    assert 0 <= biases <= 2 * gates * (of_units + units)
    sums = row["flops_backward"] - 4 * macs - backward * of_units
    assert 0 <= sums <= 2 * gates * (of_units + units)


def test_projected_lstm_by_hand():
    length, size, units, out = 7, 5, 6, 3
    row = rv.profile(nn.LSTM(size, units, proj_size=out), rv.zeros(length, B, size), measure=False).totals
    assert row["macs_forward"] == length * B * (4 * units * (size + out) + units * out)


def test_the_first_layer_needs_no_gradient_of_its_input():
    report = rv.profile(nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 3)), rv.zeros(B, 8), train=True, measure=False)
    assert report.layers["0"]["macs_backward"] == B * 8 * 5 and report.layers["1"]["macs_backward"] == 2 * B * 5 * 3


@pytest.mark.parametrize(
    ("name", "each_one"),
    [("sgd", 4), ("adam", 15), ("adamw", 14), ("adamax", 12), ("nadam", 17), ("radam", 15), ("rmsprop", 11), ("adagrad", 9),
     ("adadelta", 18), ("asgd", 8), ("rprop", 13)],
)  # fmt: skip
def test_optimizers_by_hand(name, each_one):
    """As many operations for each parameter as the formula has."""
    layer = nn.Linear(8, 5)
    report = rv.profile(layer, rv.zeros(B, 8), optimizer=name, measure=False)
    assert report.layers["(Linear)"]["flops_optimizer"] == report.totals["flops_optimizer"] == each_one * 45


def test_clipping_belongs_to_the_optimizer():
    layer = nn.Linear(8, 5)

    def step(x):
        loss = layer(x).sum()
        layer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0)

    phases = {node.name: node.phase for node in rv.graph.trace(step, rv.zeros(B, 8)).nodes}
    assert phases["total_norm"] == phases["scale_all"] == "optimizer" and phases["linear"] == "forward"
    assert phases["matmul"] == "backward"


def test_gradients_belong_to_the_layer_that_they_are_of():
    model = nn.Sequential(nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 3))

    def step(x):
        model.zero_grad()
        model(x).sum().backward()

    found = {(n.name, n.layer) for n in rv.graph.trace(step, rv.zeros(B, 8)).nodes if n.phase == "backward"}
    assert {("matmul", "0 (Linear)"), ("tanh_grad", "1 (Tanh)"), ("matmul", "2 (Linear)")} <= found


def test_the_sum_is_that_of_a_count_by_brute_force():
    """Every multiplication and addition of the products, one by one; everything else by the size of its arrays."""
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    x = rv.zeros(B, 6)

    def step(x):
        model.zero_grad()
        loss = model(x).mean()
        loss.backward()
        return loss

    done = 0
    for node in rv.graph.passes.PASSES["simplify"](rv.graph.trace(step, x)).nodes:
        shapes = [v.shape for v in node.inputs]
        if node.name in ("matmul", "linear"):
            a, inner = node.outputs[0], node.call.attrs.get("transpose_a")
            for _ in range(math.prod(a.shape)):
                done += sum(2 for _ in range(shapes[0][0 if inner else -1])) + (len(shapes) > 2)
        elif node.call.op.kind == "elementwise":
            done += node.outputs[0].size
        elif node.name in ("sum", "mean"):
            done += math.prod(shapes[0])
        else:
            assert node.call.op.kind == "view"
    assert rv.profile(model, x, train=True, measure=False).totals["flops"] == done


def test_every_op_says_what_it_costs():
    """Those that only move data, and no others, cost nothing."""
    importlib.import_module("ranvier.optim")
    moves = {"cast", "cat", "copy", "embed", "embedding", "gather", "index_get", "pad", "require", "scatter", "slice_put", "stack",
             "triangle"}  # fmt: skip
    free = {op.name for op in OPS.values() if op.kind in ("kernel", "elementwise", "optimizer")
            and not (op.macs or op.elements or op.flops)}  # fmt: skip
    assert free <= moves
    for op in OPS.values():
        for sample in op.samples if op.kind == "kernel" else ():
            arrays = [np.zeros(x, np.float32) if isinstance(x, tuple) else np.asarray(x) for x in sample.inputs]
            attrs = {**op.defaults, **sample.attrs}
            specs = op.infer(*arrays, **attrs)
            outs = [np.broadcast_to(np.zeros((), d), s) for s, d in (specs if type(specs) is list else [specs])]
            cost = cost_of(op, attrs, arrays, outs)
            assert all(type(n) is int and n >= 0 for n in cost), (op.name, cost)
            assert (
                cost.flops or op.name in free or not all(a.size for a in (*arrays, *outs)) or not cost.instructions
            ), op.name


def test_costs_add_up():
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33) and Cost(1, 2, 3).flops == 4


# ---------------------------------------------------------------- PyTorch

PAIRS = {
    "mlp": (lambda n: n.Sequential(n.Linear(8, 16), n.ReLU(), n.Linear(16, 3)), (B, 8)),
    "cnn": (
        lambda n: n.Sequential(
            n.Conv2d(3, 8, 3, padding=1), n.BatchNorm2d(8), n.ReLU(), n.MaxPool2d(2), n.Conv2d(8, 6, 3, stride=2),
            n.Flatten(), n.Linear(6 * 9, 10),
        ), (B, 3, 16, 16),
    ),
    "transposed": (lambda n: n.Sequential(n.Conv1d(3, 4, 3), n.ConvTranspose1d(4, 2, 5, stride=2)), (B, 3, 12)),
}  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize("name", PAIRS)
def test_products_and_parameters_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    counter = importlib.import_module("torch.utils.flop_counter")
    make, shape = PAIRS[name]
    theirs = make(torch.nn)
    with counter.FlopCounterMode(display=False) as count:
        theirs(torch.zeros(shape)).mean().backward()
    totals = rv.profile(make(nn), rv.zeros(*shape), train=True, measure=False).totals
    assert 2 * (totals["macs_forward"] + totals["macs_backward"]) == count.get_total_flops()
    assert totals["parameters"] == sum(p.numel() for p in theirs.parameters())


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "arguments"),
    [("Linear", (5, 7)), ("Conv2d", (4, 6, 3)), ("ConvTranspose2d", (4, 6, 3)), ("BatchNorm2d", (5,)), ("LayerNorm", (5,)),
     ("GroupNorm", (2, 6)), ("Embedding", (9, 4)), ("MultiheadAttention", (8, 2)), ("TransformerEncoderLayer", (8, 2)),
     ("LSTM", (5, 7, 2)), ("GRU", (5, 7)), ("PReLU", (3,))],
)  # fmt: skip
def test_parameters_are_pytorchs(name, arguments):
    torch = pytest.importorskip("torch")
    if not hasattr(nn, name):
        pytest.skip(f"there is no nn.{name}")
    theirs = getattr(torch.nn, name)(*arguments)
    found = rv.summary(getattr(nn, name)(*arguments), verbose=0)
    assert found.total_params == sum(p.numel() for p in theirs.parameters())
