"""rv.compress.prune and shrink: groups found by following the graph, smaller models that compute the same, masks."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.compress import GradualPruning, Masks, notes, prune, shrink
from ranvier.compress.flow import Flow
from ranvier.compress.prune import group_masks


class Residual(nn.Module):
    """Residual sum, batch norm, concatenation, pooling, flatten."""

    def __init__(self):
        self.c1, self.b1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.c2, self.c3 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(12 * 4, 10)

    def forward(self, x):
        x = F.relu(self.b1(self.c1(x)))
        y = x + self.c2(x)
        y = rv.cat([y, F.sigmoid(self.c3(y))], 1)
        return self.fc(F.max_pool2d(y, 4).flatten(1))


class Attention(nn.Module):
    """Heads of 4, and two layers behind them, on a residual stream."""

    def __init__(self):
        self.table, self.place = nn.Parameter(rv.randn(11, 16)), nn.Parameter(rv.randn(1, 5, 16))
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.norm, self.f, self.g = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        x = self.table[x] + self.place
        rows, length, _ = x.shape
        q, k, v = (f(x).reshape(rows, length, -1, 4).transpose(1, 2) for f in (self.q, self.k, self.v))
        x = x + self.o(((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).reshape(rows, length, -1))
        return x + self.g(F.gelu(self.f(self.norm(x))))


def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.GELU(), nn.Conv2d(8, 6, 1), nn.AvgPool2d(2), nn.Flatten(1),
        nn.Linear(6 * 4, 9), nn.Tanh(), nn.Linear(9, 2),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.Sigmoid(), nn.Linear(12, 3))


IMAGES, WORDS = rv.zeros(2, 3, 8, 8), rv.zeros(2, 5, dtype=rv.int64)
MODELS = [(Residual, IMAGES), (Attention, WORDS), (depthwise, IMAGES), (mlp, rv.zeros(2, 6))]


def like(example: rv.Tensor) -> rv.Tensor:
    return rv.randn(*example.shape) if example.dtype == rv.float32 else rv.randint(0, 11, example.shape)


def removable(model: nn.Module, example: rv.Tensor) -> list:
    return [g for g in Flow(model, (example,)).groups() if not g.reason]


@pytest.mark.parametrize("make, example", MODELS)
def test_shrunk_models_compute_the_same(make, example):
    rv.manual_seed(0)
    model = make().eval()
    groups = removable(model, example)
    Masks(model, group_masks(model, groups[::2]))
    small, x = shrink(model, example), like(example)
    assert (small(x) - model(x)).abs().max() < 1e-5
    count = sum(p.numel() for p in small.parameters())
    assert count < 0.8 * sum(p.numel() for p in model.parameters())
    assert list(small.state_dict()) == list(model.state_dict())
    again = make()
    for name, layer in small.named_modules():  # the sizes that layers print are those of their weights
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            wanted = (layer.out_features, layer.in_features) if isinstance(layer, nn.Linear) else (
                layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size
            )  # fmt: skip
            assert tuple(layer.weight.shape) == wanted, name
    assert sum(p.numel() for p in again.parameters()) > count
    small(x).sum().backward()


def test_what_goes_together():
    families = {
        g.family: len(g.members["c1.weight", 0]) for g in removable(Residual(), IMAGES) if ("c1.weight", 0) in g.members
    }
    (family,) = families
    assert {name for name, _ in family} == {
        "c1.weight", "b1.weight", "b1.bias", "b1.running_mean", "b1.running_var", "c2.weight", "c2.bias", "c3.weight", "fc.weight",
    }  # fmt: skip
    heads = [g for g in removable(Attention(), WORDS) if ("o.weight", 1) in g.members]
    assert len(heads) == 4 and all(len(g.members["q.weight", 0]) == 4 for g in heads)


@pytest.mark.parametrize("importance", ["l1", "l2", "taylor", "random"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_prune(importance, scope):
    rv.manual_seed(0)
    model = mlp()
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    x, y = rv.randn(40, 6), rv.randint(0, 3, (40,))
    small = prune(model, 0.5, x, importance=importance, scope=scope, data=(x, y))
    assert all((t.numpy() == before[name]).all() for name, t in model.state_dict().items())
    sizes = small[0].out_features, small[2].out_features
    assert sizes == (8, 6) if scope == "layer" else sum(sizes) == 14
    assert small(x).shape == (40, 3)


def test_the_least_important_go():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with rv.no_grad():
        model[0].weight.copy_(rv.tensor([[1.0, 1], [9, 9], [2, 2], [8, 8]]))
        model[2].weight.fill_(1.0)
    assert prune(model, 0.5, rv.zeros(1, 2))[0].weight[:, 0].tolist() == [9.0, 8.0]
    model[0].bias.data.copy_(rv.tensor([0.0, -1e3, 0, 0]))  # never on: no gradient
    data = rv.rand(16, 2) + 1, rv.ones(16, 1)
    assert prune(model, 0.25, rv.zeros(1, 2), importance="taylor", data=data)[0].weight[:, 0].tolist() == [
        1.0,
        2.0,
        8.0,
    ]


def test_weights_alone():
    model = mlp()
    sparse = prune(model, 0.75, rv.zeros(1, 6), structured=False, skip="4")
    for i in (0, 2):
        w, was = sparse[i].weight.detach().numpy(), np.abs(model[i].weight.detach().numpy())
        assert (w == 0).mean() == 0.75 and was[w == 0].max() <= was[w != 0].min()
    assert (sparse[4].weight != 0).all() and "rv.compress.sparse" in notes(sparse)[0]
    both = prune(model, 0.5, rv.zeros(1, 6), structured=False, scope="global")
    zeros = sum(int((both[i].weight == 0).sum()) for i in (0, 2, 4))
    assert zeros == round(0.5 * sum(model[i].weight.numel() for i in (0, 2, 4)))


@pytest.mark.parametrize("compiled", [False, True])
def test_optimizers_respect_masks(compiled):
    model, x = mlp(), rv.randn(8, 6)
    mask = np.random.default_rng(0).random((16, 6)) > 0.5
    optimizer = optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)

    def step():
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()

    step = rv.compile(step) if compiled else step
    step()
    handle = Masks(model, {"0.weight": mask}).attach(optimizer)
    step(), step()
    assert (model[0].weight.detach().numpy() != 0).tolist() == mask.tolist()
    handle.remove()
    step()
    assert (model[0].weight.detach().numpy() != 0).sum() > mask.sum()
    with pytest.raises(rv.DomainError, match="shape"):
        Masks(model, {"0.weight": mask.T})
    with pytest.raises(rv.DomainError, match="no parameter"):
        Masks(model, {"9.weight": mask})


@pytest.mark.parametrize("structured", [True, False])
def test_gradual(structured):
    rv.manual_seed(0)
    model, x = mlp(), rv.randn(64, 6)
    pruning = GradualPruning(0.5, x, begin=1, end=4, structured=structured)
    assert [round(pruning.ratio_at(t), 4) for t in (0, 1, 2, 4, 9)] == [0, 0, 0.3519, 0.5, 0.5]
    rv.train.Trainer(model, "mse", "adam", lr=1e-2).fit(x, x[:, :3], epochs=7, callbacks=[pruning], verbose=0)
    if structured:
        small = shrink(model, x)
        assert (small[0].out_features, small[2].out_features) == (8, 6)
        assert (small(x) - model(x)).abs().max() < 1e-5
    else:
        assert (model[2].weight == 0).float().mean() == 0.5


def test_what_cannot_be_followed_stays():
    class Gram(nn.Module):
        def __init__(self):
            self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            a = self.a(x)
            return self.c(F.softmax(self.b(x), -1)) + (a @ a.mT).sum()

    model = Gram()
    with pytest.raises(rv.DomainError, match=r"Gram has nothing that can be removed.*softmax"):
        prune(model, 0.5, rv.zeros(2, 4))
    small = shrink(model, rv.zeros(2, 4))
    assert any(line.startswith("b.weight: 8 of its outputs stay: softmax") for line in notes(small))


def test_sizes_written_out_are_an_error():
    class Fixed(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.b(F.relu(self.a(x)).reshape(2, 8))

    with pytest.raises(rv.StateError, match="sizes written out"):
        prune(Fixed(), 0.5, rv.zeros(2, 4))


def test_cut_and_picked_positions_stay():
    class Cut(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(4, 8), nn.Linear(4, 3)

        def forward(self, x):
            return self.b(self.a(x)[:, :4]) + self.b(self.a(x)[:, rv.tensor([1, 3, 5, 7])])

    assert not removable(Cut(), rv.zeros(2, 4))


def test_tied_and_grouped():
    class Tied(nn.Module):
        def __init__(self):
            self.a = nn.Linear(6, 4, bias=False)
            self.mid = nn.Linear(4, 4)

        def forward(self, x):
            return F.relu(self.mid(self.a(x))) @ self.a.weight

    assert {len(g.members) for g in removable(Tied(), rv.zeros(2, 6))} == {4}
    grouped = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Flatten(), nn.Linear(8 * 16, 2))
    assert not removable(grouped, IMAGES)
    assert any("cannot be followed" in line for line in notes(shrink(grouped, IMAGES)))


def test_one_stays():
    small = prune(mlp(), 0.99, rv.zeros(1, 6))
    assert (small[0].out_features, small[2].out_features) == (1, 1)


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan")])
def test_ratios(ratio):
    with pytest.raises(rv.DomainError, match="prune: ratio"):
        prune(mlp(), ratio, rv.zeros(1, 6))


def test_bad_arguments():
    model, x = mlp(), rv.zeros(1, 6)
    for wrong in ({"importance": "l3"}, {"scope": "all"}, {"importance": "taylor"}, {"importance": "taylor", "data": []},
                  {"importance": "taylor", "data": (x * float("nan"), rv.zeros(1, 3))}):  # fmt: skip
        with pytest.raises(rv.DomainError, match="prune"):
            prune(model, 0.5, x, **wrong)
    with pytest.raises(rv.DomainError, match="nothing that can be removed"):
        prune(nn.Linear(3, 2), 0.5, rv.zeros(1, 3))
    with pytest.raises(rv.DTypeError, match="ratio"):
        prune(model, "half", x)
    for wrong in ({"schedule": "steps"}, {"begin": 3, "end": 1}, {"importance": "taylor"}):
        with pytest.raises(rv.DomainError, match="GradualPruning"):
            GradualPruning(0.5, x, **wrong)
