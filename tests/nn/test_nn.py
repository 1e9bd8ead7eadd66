"""Modules, containers, initialisers, activations and utilities; against PyTorch where it is installed."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn

RNG = np.random.default_rng(1)


def mlp(lib=nn):
    return lib.Sequential(lib.Linear(4, 8), lib.ReLU(), lib.Sequential(lib.Linear(8, 8), lib.Tanh()), lib.Linear(8, 3))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()
        self.scale = nn.Parameter(rv.ones(3))
        self.register_buffer("mean", rv.zeros(3))
        self.register_buffer("cache", rv.zeros(2), persistent=False)
        self.register_parameter("none", None)
        self.rate = 0.5

    def forward(self, x):
        return self.body(x) * self.scale + self.mean


# ---------------------------------------------------------------- registration and walking


def test_registration():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "body.0.weight", "body.0.bias", "body.2.0.weight", "body.2.0.bias", "body.3.weight", "body.3.bias",
    ]  # fmt: skip
    assert [n for n, _ in net.named_buffers()] == ["mean", "cache"]
    assert [n for n, _ in net.named_modules()] == [
        "",
        "body",
        "body.0",
        "body.1",
        "body.2",
        "body.2.0",
        "body.2.1",
        "body.3",
    ]
    assert [n for n, _ in net.named_children()] == ["body"]
    assert [n for n, _ in net.named_parameters("net", recurse=False)] == ["net.scale"]
    assert list(net.state_dict()) == ["scale", "mean"] + [n for n, _ in net.named_parameters()][1:]
    assert net.none is None and net.rate == 0.5
    assert net.get_submodule("body.2.0") is net.body[2][0] and net.get_submodule("") is net
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_buffer("mean") is net.mean
    for bad in ("body.9", "nobody"):
        with pytest.raises(AttributeError, match="has no child module"):
            net.get_submodule(bad)
    with pytest.raises(AttributeError, match="no parameter 'wait'"):
        net.get_parameter("body.0.wait")


def test_reassignment():
    net = Net()
    net.scale = nn.Parameter(rv.zeros(3))
    assert len(list(net.parameters())) == 7 and net.get_parameter("scale") is net.scale
    with pytest.raises(TypeError, match="cannot assign Tensor to parameter 'scale' of Net"):
        net.scale = rv.zeros(3)
    with pytest.raises(TypeError, match="cannot assign list to child module 'body'"):
        net.body = []
    with pytest.raises(TypeError, match="cannot assign ndarray to buffer 'mean'"):
        net.mean = np.zeros(3)
    net.scale = None
    assert net.scale is None and "scale" not in net.state_dict()
    net.mean = rv.ones(3)
    assert net.state_dict()["mean"].tolist() == [1, 1, 1]
    net.mean = nn.Parameter(rv.ones(3))
    assert "mean" in dict(net.named_parameters()) and "mean" not in dict(net.named_buffers())
    del net.body
    assert not hasattr(net, "body") and [n for n, _ in net.named_parameters()] == ["mean"]
    with pytest.raises(AttributeError):
        del net.body


def test_registration_errors():
    net = Net()
    with pytest.raises(KeyError, match="already has an attribute 'forward'"):
        net.add_module("forward", nn.ReLU())
    with pytest.raises(KeyError, match="dot"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="empty"):
        net.register_buffer("", None)
    with pytest.raises(TypeError, match="must be a string"):
        net.add_module(3, nn.ReLU())
    with pytest.raises(TypeError, match="a Parameter or None is needed"):
        net.register_parameter("w", rv.ones(2))
    with pytest.raises(TypeError, match="a Module or None is needed"):
        net.add_module("w", rv.ones(2))
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


def test_super_init_may_be_left_out():
    class Lazy(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(2, 2)

    assert len(list(Lazy().parameters())) == 2


def test_shared_parameters_are_listed_once():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    twice = copy.deepcopy(net)
    assert twice[1].weight is twice[0].weight and twice[0].weight is not net[0].weight
    layer = nn.Linear(3, 3)
    assert len(list(nn.Sequential(layer, layer).parameters())) == 2
    assert len(list(nn.Sequential(layer, layer).children())) == 1
    net(rv.ones(2, 3)).sum().backward()
    assert net[0].weight.grad is net[1].weight.grad


def test_parameter():
    data = rv.zeros(3)
    p = nn.Parameter(data)
    assert p.requires_grad and p.is_leaf and isinstance(p, rv.Tensor)
    with rv.no_grad():
        p.fill_(2.0)
    assert data.tolist() == [2, 2, 2]
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert repr(p).startswith("Parameter containing:\ntensor([2., 2., 2.]")
    assert type(p + 1) is rv.Tensor


# ---------------------------------------------------------------- state


def test_load_state_dict_copies_in_place():
    a, b = Net(), Net()
    held = dict(b.named_parameters())
    memory = {n: p.detach().numpy() for n, p in held.items()}
    result = b.load_state_dict(a.state_dict())
    assert str(result) == "<All keys matched successfully>"
    for name, p in b.named_parameters():
        assert p is held[name] and p.detach().numpy() is memory[name]
        np.testing.assert_array_equal(memory[name], a.get_parameter(name).detach().numpy())
    arrays = {n: (2 * t.numpy()).astype(np.float64) for n, t in a.state_dict().items()}
    b.load_state_dict(arrays)
    np.testing.assert_allclose(b.body[0].weight.detach().numpy(), 2 * a.body[0].weight.detach().numpy())
    assert b.body[0].weight.dtype == np.float32


def test_load_state_dict_tells_all_and_changes_nothing():
    net = Net()
    before = {n: t.numpy().copy() for n, t in net.state_dict().items()}
    state = {n: t.numpy() + 1 for n, t in net.state_dict().items()}
    del state["body.3.bias"]
    state["extra"] = np.zeros(1)
    state["body.0.weight"] = np.zeros((8, 5), np.float32)
    state["mean"] = np.zeros(3, complex)
    state["scale"] = "text"
    with pytest.raises(RuntimeError) as info:
        net.load_state_dict(state)
    text = str(info.value)
    assert text.startswith("load_state_dict: Net:")
    for part in (
        "missing keys: 'body.3.bias'",
        "unexpected keys: 'extra'",
        "body.0.weight: shape (8, 5) in the state_dict, (8, 4) in the module",
        "mean: dtype complex128 in the state_dict, float32 in the module",
        "scale: ",
    ):
        assert part in text
    for name, t in net.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[name])
    with pytest.raises(TypeError, match="must be a mapping"):
        net.load_state_dict([1])


def test_load_state_dict_not_strict():
    net = Net()
    result = net.load_state_dict({"scale": np.full(3, 7.0), "other": np.zeros(2)}, strict=False)
    assert result.unexpected_keys == ["other"] and "mean" in result.missing_keys
    assert net.scale.tolist() == [7, 7, 7]
    with pytest.raises(rv.RanvierError, match="shape"):
        net.load_state_dict({"scale": np.zeros(4)}, strict=False)


def test_weights_from_torch(torch):
    theirs = mlp(torch.nn)
    ours = mlp()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = RNG.standard_normal((5, 4)).astype(np.float32)
    np.testing.assert_allclose(
        ours(rv.tensor(x)).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6
    )
    assert repr(ours) == repr(theirs)


def test_state_dict_options():
    net = nn.Linear(2, 2)
    assert net.state_dict(keep_vars=True)["weight"] is net.weight
    assert not net.state_dict()["weight"].requires_grad
    assert list(net.state_dict(prefix="a.")) == ["a.weight", "a.bias"]


# ---------------------------------------------------------------- modes, conversion, copies


def test_train_eval_apply():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(TypeError, match="bool"):
        net.train(1)
    order = []
    net.apply(lambda m: order.append(type(m).__name__))
    assert order == ["Linear", "ReLU", "Linear", "Tanh", "Sequential", "Linear", "Sequential", "Net"]


def test_gradients():
    net = Net()
    net(rv.ones(2, 4)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(rv.ones(2, 4)).requires_grad


def test_to():
    net = Net()
    net.register_buffer("count", rv.tensor([3]))
    params = list(net.parameters())
    net(rv.ones(2, 4)).sum().backward()
    assert net.double() is net
    assert all(a is b for a, b in zip(net.parameters(), params, strict=False))
    assert all(p.dtype == np.float64 and p.grad.dtype == np.float64 and p.is_leaf and p.requires_grad for p in params)
    assert net.mean.dtype == np.float64 and net.count.dtype == np.int64
    assert net(rv.ones(2, 4, dtype="float64")).dtype == np.float64
    net.to("float32")
    assert net.scale.dtype == np.float32
    net.to("cpu", "float64").float().to(rv.ones(1, dtype="float64")).cpu()
    assert net.scale.dtype == np.float64
    net.to(device="cpu", dtype=np.float32, non_blocking=True)
    assert net.scale.dtype == np.float32
    with pytest.raises(TypeError, match="float32 or float64"):
        net.to("int64")
    with pytest.raises(TypeError, match="unknown arguments"):
        net.to(colour="red")


def test_deepcopy():
    net = Net()
    twin = copy.deepcopy(net)
    x = rv.tensor(RNG.standard_normal((2, 4)).astype(np.float32))
    np.testing.assert_array_equal(net(x).detach().numpy(), twin(x).detach().numpy())
    with rv.no_grad():
        twin.scale.fill_(5.0)
    assert net.scale.tolist() == [1, 1, 1] and twin.get_parameter("scale") is twin.scale
    assert isinstance(twin.scale, nn.Parameter) and twin.scale.requires_grad
    twin.scale = None
    assert net.scale is not None


# ---------------------------------------------------------------- calls: hooks and errors


def test_hooks():
    net = nn.Sequential(nn.Identity())
    seen = []
    first = net.register_forward_pre_hook(lambda m, args: seen.append("pre") or (args[0] + 1,))
    second = net.register_forward_hook(lambda m, args, out: seen.append("post") or out * 10)
    net.register_forward_pre_hook(lambda m, args: seen.append("first"), prepend=True)
    assert net(rv.ones(1)).item() == 20 and seen == ["first", "pre", "post"]
    first.remove()
    second.remove()
    assert net(rv.ones(1)).item() == 1
    with net.register_forward_hook(lambda m, args, kwargs, out: out + kwargs["input"], with_kwargs=True):
        assert net(input=rv.ones(1)).item() == 2
    with net.register_forward_pre_hook(lambda m, args, kwargs: ((), {"input": kwargs["input"] * 3}), with_kwargs=True):
        assert net(input=rv.ones(1)).item() == 3
    assert net(rv.ones(1)).item() == 1


def test_arguments_reach_forward():
    class Echo(nn.Module):
        def forward(self, *args, **kwargs):
            return args, kwargs

    net = Echo()
    for args, kwargs in (((), {}), ((1,), {}), ((None,), {}), ((1, 2), {}), ((), {"input": 1}), ((1,), {"input": 2})):
        assert net(*args, **kwargs) == (args, kwargs)


def test_save_and_load(tmp_path):
    a, b = Net(), Net()
    a.save(tmp_path / "net.safetensors")
    assert not b.load(tmp_path / "net.safetensors").missing_keys
    for name, t in a.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), b.state_dict()[name].numpy())
    with pytest.raises(RuntimeError, match="missing keys"):
        nn.Linear(2, 2).load(tmp_path / "net.safetensors")


def test_errors_name_the_layer():
    bad = rv.ones(2, 5)
    with pytest.raises(rv.ShapeError, match=r"  \[in 0 \(Linear\)\]$"):
        mlp()(bad)
    with pytest.raises(rv.ShapeError, match=r"  \[in body\.0 \(Linear\)\]$"):
        Net()(bad)
    with pytest.raises(rv.ShapeError, match=r"  \[in Linear\]$"):
        nn.Linear(4, 2)(bad)
    with pytest.raises(rv.ShapeError, match=r"in_features=4  \[in 2\.0\.0 \(Linear\)\]$"):
        nn.Sequential(nn.Identity(), nn.Identity(), nn.Sequential(nn.Sequential(nn.Linear(4, 2))))(bad)

    class Branch(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleList([nn.Linear(5, 3), nn.Linear(4, 3)])

        def forward(self, x):
            return self.layers[1](self.layers[0](x))

    with pytest.raises(rv.ShapeError, match=r"  \[in model\.layers\.1 \(Linear\)\]$"):
        nn.Sequential(OrderedDict(model=Branch()))(bad)


# ---------------------------------------------------------------- containers


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b, c)
    assert len(net) == 3 and net[0] is a and net[-1] is c and list(net) == [a, b, c]
    assert list(net[1:]) == [b, c] and isinstance(net[1:], nn.Sequential)
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]
    assert [n for n, _ in net[1:].append(nn.ReLU()).named_children()] == ["1", "2", "3"]
    net[1] = nn.Tanh()
    assert isinstance(net[1], nn.Tanh)
    net.append(nn.Sigmoid()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Identity", "Linear", "Tanh", "Linear", "Sigmoid"]
    assert [n for n, _ in net.named_children()] == ["0", "1", "2", "3", "4"]
    del net[0]
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert isinstance(net.pop(-1), nn.Sigmoid) and len(net) == 3
    assert len(net + nn.Sequential(nn.ReLU())) == 4 and len(net) == 3
    net.extend([nn.ReLU()])
    assert len(net) == 4
    with pytest.raises(IndexError, match="index 4 is out of range for Sequential of length 4"):
        net[4]
    named = nn.Sequential(OrderedDict(fc=nn.Linear(2, 2), act=nn.ReLU()))
    assert list(named.state_dict()) == ["fc.weight", "fc.bias"] and named.fc is named[0]
    del named[0]
    assert [n for n, _ in named.named_children()] == ["act"]


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    layers += [nn.ReLU()]
    layers.insert(0, nn.Tanh())
    assert [type(m).__name__ for m in layers] == ["Tanh", "Linear", "Linear", "Linear", "ReLU"]
    assert [n for n, _ in layers.named_children()] == ["0", "1", "2", "3", "4"]
    assert isinstance(layers[1:3], nn.ModuleList) and len(layers[1:3]) == 2
    assert isinstance(layers.pop(), nn.ReLU) and len(layers) == 4
    table = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    table["c"] = nn.Tanh()
    table.update({"d": nn.Tanh()})
    assert list(table) == ["a", "b", "c", "d"] and "a" in table and len(table) == 4
    assert isinstance(table.pop("a"), nn.ReLU) and list(table.keys()) == ["b", "c", "d"]
    assert list(table.state_dict()) == ["b.weight", "b.bias"]
    assert [type(m).__name__ for m in table.values()] == ["Linear", "Tanh", "Tanh"]
    table.clear()
    assert len(table) == 0
    with pytest.raises(TypeError, match="a Module or None is needed"):
        nn.ModuleList([3])


def test_parameter_list_and_dict():
    params = nn.ParameterList([rv.ones(2), nn.Parameter(rv.zeros(3))])
    params.append(rv.ones(1))
    assert [n for n, _ in params.named_parameters()] == ["0", "1", "2"]
    assert all(isinstance(p, nn.Parameter) for p in params) and params[-1].shape == (1,)
    table = nn.ParameterDict({"w": rv.ones(2)})
    table["b"] = rv.zeros(2)
    assert list(table.state_dict()) == ["w", "b"] and table["b"].requires_grad
    with pytest.raises(TypeError, match="must be a Tensor"):
        params.append("x")


REPRS = [
    lambda nn: nn.Linear(3, 4, bias=False),
    lambda nn: nn.Bilinear(2, 3, 4),
    lambda nn: nn.Identity(1, a=2),
    lambda nn: nn.Flatten(),
    lambda nn: nn.Unflatten(1, (2, 3)),
    lambda nn: nn.Dropout(0.3),
    lambda nn: nn.Dropout2d(),
    lambda nn: nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)]),
    lambda nn: nn.ModuleList([nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.ReLU(), nn.Tanh())]),
    lambda nn: nn.ModuleDict({"a": nn.ReLU(), "b": nn.Sequential(nn.Linear(1, 1))}),
    lambda nn: nn.ModuleList(),
    lambda nn: nn.Sequential(),
    lambda nn: nn.Sequential(OrderedDict(one=nn.ReLU(inplace=True), two=nn.ReLU6(inplace=True))),
    lambda nn: nn.Sequential(nn.ELU(0.5), nn.SELU(True), nn.CELU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish()),
    lambda nn: nn.Sequential(nn.Softplus(2.0), nn.Hardtanh(), nn.Hardtanh(-2.0, 2.0, True), nn.LeakyReLU(0.2, True)),
    lambda nn: nn.Sequential(nn.PReLU(3), nn.RReLU(), nn.Hardsigmoid(), nn.Hardswish(), nn.LogSigmoid()),
    lambda nn: nn.Sequential(nn.Hardshrink(), nn.Softshrink(0.1), nn.Softsign(), nn.Threshold(0.1, 20.0), nn.GLU()),
    lambda nn: nn.Sequential(nn.Softmax(dim=1), nn.Softmin(dim=0), nn.LogSoftmax(dim=-1), nn.Softmax2d(), nn.Tanhshrink()),
]  # fmt: skip


@pytest.mark.parametrize("make", REPRS)
def test_repr_as_torch(torch, make):
    assert repr(make(nn)) == repr(make(torch.nn))


def test_repr():
    assert repr(mlp()) == (
        "Sequential(\n  (0): Linear(in_features=4, out_features=8, bias=True)\n  (1): ReLU()\n"
        "  (2): Sequential(\n    (0): Linear(in_features=8, out_features=8, bias=True)\n    (1): Tanh()\n  )\n"
        "  (3): Linear(in_features=8, out_features=3, bias=True)\n)"
    )


# ---------------------------------------------------------------- layers


def compare(oracle, make, *shapes, train=False, scale=1.0):
    """Values and gradients of the same module in both libraries."""

    def run(lib):
        rng = np.random.default_rng(0)
        module = make(lib.nn).double().train(train)
        with lib.no_grad():
            for p in module.parameters():
                p.copy_(lib.tensor(rng.standard_normal(tuple(p.shape))))
        inputs = [lib.tensor(scale * rng.standard_normal(s), requires_grad=True) for s in shapes]
        out = module(*inputs)
        out.backward(lib.tensor(np.asarray(rng.standard_normal(tuple(out.shape)))))
        return [out.detach().numpy(), *(t.grad.numpy() for t in (*inputs, *module.parameters()))]

    constants = 2.4e-7  # PyTorch rounds some constants (1/6, 1/alpha) to float32 in float64 too
    for ours, theirs in zip(run(rv), oracle(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=constants, atol=1e-12)


ACTIVATIONS = [
    lambda nn: nn.ReLU(), lambda nn: nn.ReLU(inplace=False), lambda nn: nn.ReLU6(), lambda nn: nn.LeakyReLU(0.2),
    lambda nn: nn.PReLU(), lambda nn: nn.PReLU(4), lambda nn: nn.RReLU(), lambda nn: nn.ELU(0.7), lambda nn: nn.SELU(),
    lambda nn: nn.CELU(0.7), lambda nn: nn.GELU(), lambda nn: nn.GELU("tanh"), lambda nn: nn.SiLU(),
    lambda nn: nn.Mish(), lambda nn: nn.Softplus(), lambda nn: nn.Softplus(2.0, 1.0), lambda nn: nn.Sigmoid(),
    lambda nn: nn.LogSigmoid(), lambda nn: nn.Hardsigmoid(), lambda nn: nn.Tanh(), lambda nn: nn.Hardtanh(-0.5, 0.7),
    lambda nn: nn.Tanhshrink(), lambda nn: nn.Hardswish(), lambda nn: nn.Hardshrink(), lambda nn: nn.Softshrink(0.3),
    lambda nn: nn.Softsign(), lambda nn: nn.Threshold(0.1, -2.0), lambda nn: nn.GLU(), lambda nn: nn.GLU(1),
    lambda nn: nn.Softmax(dim=1), lambda nn: nn.Softmin(dim=-1), lambda nn: nn.LogSoftmax(dim=2), lambda nn: nn.Softmax2d(),
]  # fmt: skip


@pytest.mark.parametrize("make", ACTIVATIONS, ids=[repr(make(nn)) for make in ACTIVATIONS])
def test_activations(oracle, make):
    compare(oracle, make, (2, 4, 3, 6), scale=2.0)


LAYERS = [
    (lambda nn: nn.Linear(4, 3), (5, 4)),
    (lambda nn: nn.Linear(4, 3), (4,)),
    (lambda nn: nn.Linear(4, 3, bias=False), (2, 5, 4)),
    (lambda nn: nn.Identity(), (2, 3)),
    (lambda nn: nn.Flatten(), (2, 3, 4)),
    (lambda nn: nn.Flatten(0, 1), (2, 3, 4)),
    (lambda nn: nn.Unflatten(1, (2, -1)), (3, 6)),
    (lambda nn: nn.Dropout(0.4), (3, 6)),
]


@pytest.mark.parametrize("make, shape", LAYERS)
def test_layers(oracle, make, shape):
    compare(oracle, make, shape)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_bilinear(oracle, bias, batch):
    compare(oracle, lambda nn: nn.Bilinear(4, 3, 2, bias), (*batch, 4), (*batch, 3))


def test_linear_arguments():
    layer = nn.Linear(3, 2, dtype="float64")
    assert layer.weight.dtype == layer.bias.dtype == np.float64
    assert isinstance(layer(np.ones((4, 3))), rv.Tensor)
    with pytest.raises(TypeError, match="Linear: size 2.5 must be an integer"):
        nn.Linear(2.5, 3)
    with pytest.raises(ValueError, match="Linear: size -1 must not be negative"):
        nn.Linear(-1, 3)
    with pytest.raises(TypeError, match="Linear: dtype=int64"):
        nn.Linear(1, 3, dtype="int64")


def test_dropout():
    rv.manual_seed(0)
    x = rv.ones(1000, requires_grad=True)
    layer = nn.Dropout(0.3)
    y = layer(x)
    values = y.detach().numpy()
    assert set(np.unique(values)) <= {np.float32(0), np.float32(1 / 0.7)} and 230 < (values == 0).sum() < 370
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)
    assert (layer(x).detach().numpy() != values).any()
    rv.manual_seed(0)
    np.testing.assert_array_equal(layer(x).detach().numpy(), values)
    assert layer.eval()(x) is x
    assert (nn.Dropout(1.0)(x).detach().numpy() == 0).all()
    np.testing.assert_array_equal(nn.Dropout(0.0)(x).detach().numpy(), x.detach().numpy())
    for p in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"Dropout: p=.* must be in \[0, 1\]"):
            nn.Dropout(p)
        with pytest.raises(ValueError, match=r"dropout: p=.* must be in \[0, 1\]"):
            F.dropout(x, p)


@pytest.mark.parametrize(
    "layer, shape",
    [(nn.Dropout1d, (40, 8, 5)), (nn.Dropout2d, (40, 8, 2, 3)), (nn.Dropout3d, (40, 8, 2, 3, 2))],
)
def test_dropout_of_channels(layer, shape):
    rv.manual_seed(1)
    out = layer(0.5)(rv.ones(*shape)).numpy().reshape(320, -1)
    assert ((out == 0).all(1) | (out == 2).all(1)).all() and 100 < (out[:, 0] == 0).sum() < 220
    assert layer(0.5)(rv.ones(*shape[1:])).shape == shape[1:]
    with pytest.raises(rv.ShapeError):
        layer()(rv.ones(2))


# ---------------------------------------------------------------- initialisers

SHAPE = (60, 80)


def statistics(fill):
    rv.manual_seed(3)
    t = rv.zeros(*SHAPE)
    assert fill(t) is t
    return t.numpy()


@pytest.mark.parametrize(
    "fill, bound",
    [
        (lambda t: nn.init.uniform_(t, -2.0, 2.0), 2.0),
        (nn.init.xavier_uniform_, math.sqrt(6 / 140)),
        (lambda t: nn.init.xavier_uniform_(t, gain=2.0), 2 * math.sqrt(6 / 140)),
        (nn.init.kaiming_uniform_, math.sqrt(2) * math.sqrt(3 / 80)),
        (lambda t: nn.init.kaiming_uniform_(t, mode="fan_out", nonlinearity="relu"), math.sqrt(6 / 60)),
        (lambda t: nn.init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(80)),
    ],
)
def test_uniform_initialisers(fill, bound):
    values = statistics(fill)
    assert np.abs(values).max() <= bound * (1 + 1e-6) and np.abs(values).max() > 0.99 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.03) and abs(values.mean()) < 0.05 * bound


@pytest.mark.parametrize(
    "fill, std",
    [
        (lambda t: nn.init.normal_(t, 0.0, 3.0), 3.0),
        (nn.init.xavier_normal_, math.sqrt(2 / 140)),
        (nn.init.kaiming_normal_, math.sqrt(2 / 80)),
        (lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="tanh"), 5 / 3 / math.sqrt(60)),
        (lambda t: nn.init.trunc_normal_(t, 0.0, 1.0, -50.0, 50.0), 1.0),
        (lambda t: nn.init.trunc_normal_(t, std=2.0, a=-4.0, b=4.0), 2 * 0.87963),
    ],
)
def test_normal_initialisers(fill, std):
    values = statistics(fill)
    assert values.std() == pytest.approx(std, rel=0.04) and abs(values.mean()) < 0.06 * std


def test_trunc_normal_far_out():
    values = statistics(lambda t: nn.init.trunc_normal_(t, 0.0, 1.0, 3.0, 4.0))
    assert values.min() >= 3 and values.max() <= 4 and values.mean() == pytest.approx(3.2666, rel=0.01)
    with pytest.raises(ValueError, match="a=2.0 must be below b=1.0"):
        nn.init.trunc_normal_(rv.zeros(3), a=2.0, b=1.0)


def test_normal_quantile():
    from statistics import NormalDist

    p = np.concatenate([np.logspace(-12, -1, 50), np.linspace(0.1, 0.9, 50), 1 - np.logspace(-8, -1, 20)])
    expected = [NormalDist().inv_cdf(q) for q in p]
    np.testing.assert_allclose(nn.init._normal_quantile(p), expected, rtol=2e-7, atol=1e-9)


def test_fixed_initialisers(oracle):
    assert (statistics(lambda t: nn.init.constant_(t, 0.3)) == np.float32(0.3)).all()
    assert (statistics(nn.init.ones_) == 1).all() and (statistics(nn.init.zeros_) == 0).all()
    np.testing.assert_array_equal(statistics(nn.init.eye_), np.eye(*SHAPE))
    q = statistics(lambda t: nn.init.orthogonal_(t, gain=2.0))
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(60), atol=1e-5)
    tall = nn.init.orthogonal_(rv.zeros(9, 2, 2)).numpy().reshape(9, 4)
    np.testing.assert_allclose(tall.T @ tall, np.eye(4), atol=1e-6)
    sparse = statistics(lambda t: nn.init.sparse_(t, 0.25, std=0.5))
    assert ((sparse == 0).sum(0) == 15).all() and sparse[sparse != 0].std() == pytest.approx(0.5, rel=0.05)
    for shape, groups in (((4, 4, 3), 1), ((6, 2, 3, 5), 2), ((2, 3, 2, 2, 2), 1)):
        (expected,) = oracle(lambda torch: [torch.nn.init.dirac_(torch.empty(shape, dtype=torch.float32), groups)])
        np.testing.assert_array_equal(nn.init.dirac_(rv.ones(*shape), groups).numpy(), expected)


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains(oracle, name):
    gains = lambda lib: [lib.nn.init.calculate_gain(name), lib.nn.init.calculate_gain("leaky_relu", 0.3)]  # noqa: E731
    assert gains(rv) == oracle(gains)


def test_initialiser_errors():
    flat = rv.zeros(3)
    for fill in (
        nn.init.xavier_uniform_,
        nn.init.xavier_normal_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
    ):
        with pytest.raises(rv.ShapeError, match=rf"{fill.__name__}: tensor\(3,\) must have at least 2 axes"):
            fill(flat)
    for fill in (nn.init.eye_, nn.init.orthogonal_, nn.init.dirac_, lambda t: nn.init.sparse_(t, 0.1)):
        with pytest.raises(rv.ShapeError, match=r"tensor\(3,\) must have"):
            fill(flat)
    with pytest.raises(ValueError, match="nonlinearity='swoosh' must be one of"):
        nn.init.calculate_gain("swoosh")
    with pytest.raises(ValueError, match="mode='fan' must be"):
        nn.init.kaiming_normal_(rv.zeros(2, 2), mode="fan")


def test_initialisers_need_no_no_grad():
    p = nn.Parameter(rv.zeros(3, 3))
    for fill in (
        nn.init.xavier_normal_,
        nn.init.orthogonal_,
        nn.init.ones_,
        nn.init.trunc_normal_,
        nn.init.eye_,
    ):
        assert fill(p) is p and p.is_leaf and p.requires_grad


def test_default_initialisation():
    rv.manual_seed(0)
    layer = nn.Linear(100, 400)
    for p in (layer.weight, layer.bias):
        values = p.detach().numpy()
        assert np.abs(values).max() <= 0.1 and values.std() == pytest.approx(0.1 / math.sqrt(3), rel=0.08)
    rv.manual_seed(0)
    again = nn.Linear(100, 400)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), again.weight.detach().numpy())


# ---------------------------------------------------------------- utilities


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm(oracle, norm_type, max_norm):
    def run(lib):
        rng = np.random.default_rng(0)
        params = [lib.nn.Parameter(lib.zeros(s, dtype=lib.float64)) for s in ((3, 4), (5,), (), (2,))]
        for p in params[:3]:
            p.grad = lib.tensor(np.asarray(rng.standard_normal(tuple(p.shape))))
        total = lib.nn.utils.clip_grad_norm_(params, max_norm, norm_type)
        return [total.numpy(), *(p.grad.numpy() for p in params[:3])]

    for ours, theirs in zip(run(rv), oracle(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("shapes", [[(3,)], [()], [(2, 2), ()]])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_clip_grad_norm_of_one_tensor_and_again(shapes, backend):
    with rv.backend(backend):
        params = [nn.Parameter(rv.ones(shape)) for shape in shapes]
        for _ in range(3):  # later calls of a signature go another way
            for p in params:
                p.grad = rv.full(p.shape, 3.0)
            n = sum(p.numel() for p in params)
            np.testing.assert_allclose(nn.utils.clip_grad_norm_(params, 1.0).item(), 3 * n**0.5, rtol=1e-6)
            for p in params:
                np.testing.assert_allclose(p.grad.numpy(), np.full(p.shape, n**-0.5), rtol=1e-5)
        for _ in range(2):
            (scaled,) = rv.ops.scale_all([rv.tensor([2.0, 4.0])], rv.tensor(0.5))
            assert scaled.tolist() == [1, 2]


def test_clip_grad_edges():
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    p = nn.Parameter(rv.zeros(2))
    p.grad = rv.tensor([math.inf, 1.0])
    with pytest.raises(RuntimeError, match="gradients' norm is inf"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    p.grad = rv.tensor([-3.0, 0.5])
    nn.utils.clip_grad_value_(p, 1.0)
    assert p.grad.tolist() == [-1.0, 0.5]


def test_parameter_vectors():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vec = nn.utils.parameters_to_vector(net.parameters())
    assert vec.shape == (13,)
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    held = list(other.parameters())
    nn.utils.vector_to_parameters(vec, other.parameters())
    for p, q, h in zip(net.parameters(), other.parameters(), held, strict=False):
        assert q is h
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    with pytest.raises(rv.ShapeError, match=r"vec\(12,\) must have shape \(13,\)"):
        nn.utils.vector_to_parameters(rv.zeros(12), other.parameters())
