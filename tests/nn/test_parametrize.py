"""Parameters that are functions of others."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.nn.utils import parametrizations, parametrize

LAYERS = {
    "linear": lambda lib: lib.nn.Linear(5, 3),
    "tall": lambda lib: lib.nn.Linear(4, 7),
    "square": lambda lib: lib.nn.Linear(4, 4),
    "conv": lambda lib: lib.nn.Conv2d(2, 3, 2),
    "transposed": lambda lib: lib.nn.ConvTranspose1d(3, 2, 3),
}
INPUTS = {"linear": (6, 5), "tall": (6, 4), "square": (6, 4), "conv": (2, 2, 5, 4), "transposed": (2, 3, 5)}
NORMS = {
    "weight_norm": lambda lib, layer: lib.nn.utils.parametrizations.weight_norm(layer),
    "weight_norm of all": lambda lib, layer: lib.nn.utils.parametrizations.weight_norm(layer, dim=None),
    "weight_norm by columns": lambda lib, layer: lib.nn.utils.parametrizations.weight_norm(layer, dim=1),
    "spectral_norm": lambda lib, layer: lib.nn.utils.parametrizations.spectral_norm(layer),
    "spectral_norm twice": lambda lib, layer: lib.nn.utils.parametrizations.spectral_norm(layer, "weight", 2, 1e-6),
    "old weight_norm": lambda lib, layer: lib.nn.utils.weight_norm(layer),
    "old spectral_norm": lambda lib, layer: lib.nn.utils.spectral_norm(layer),
}
MAPS = ("householder", "matrix_exp", "cayley")


def array(t):
    return t.detach().numpy()


def follow(torch, theirs, mine, x, steps=4):
    """Steps of SGD from PyTorch's state: losses, parameters and buffers are its own."""
    theirs.double(), mine.double()
    state = {key: array(t) for key, t in theirs.state_dict().items()}
    assert list(state) == list(mine.state_dict())
    mine.load_state_dict(state)
    results = []
    for lib, layer in ((torch, theirs), (rv, mine)):
        optimizer = lib.optim.SGD(layer.parameters(), lr=0.1)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (layer(lib.from_numpy(x)) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        layer.eval()
        out = array(layer(lib.from_numpy(x)))
        results.append((losses, out, {key: array(t) for key, t in layer.state_dict().items()}))
    (losses, out, state), (got, mine_out, mine_state) = results
    np.testing.assert_allclose(got, losses, rtol=1e-9)
    np.testing.assert_allclose(mine_out, out, rtol=1e-8, atol=1e-10)
    for key in state:
        np.testing.assert_allclose(mine_state[key], state[key], rtol=1e-8, atol=1e-10, err_msg=key)


@pytest.mark.filterwarnings("ignore:.*is deprecated.*")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("layer", ["linear", "conv", "transposed"])
def test_norms_are_those_of_pytorch(torch, layer, norm):
    theirs, mine = (NORMS[norm](lib, LAYERS[layer](lib)) for lib in (torch, rv))
    follow(torch, theirs, mine, np.random.default_rng(0).normal(size=INPUTS[layer]))


@pytest.mark.parametrize("trivialized", [True, False])
@pytest.mark.parametrize("how", MAPS)
@pytest.mark.parametrize("layer", ["linear", "tall", "square"])
def test_orthogonal_is_that_of_pytorch(torch, layer, how, trivialized):
    theirs, mine = (
        lib.nn.utils.parametrizations.orthogonal(
            LAYERS[layer](lib).double(), "weight", how, use_trivialization=trivialized
        )
        for lib in (torch, rv)
    )
    follow(torch, theirs, mine, np.random.default_rng(0).normal(size=INPUTS[layer]))


@pytest.mark.parametrize("how", MAPS)
@pytest.mark.parametrize("shape", [(4, 4), (7, 3), (3, 6), (2, 5, 3)])
def test_orthogonal_starts_from_the_weight(shape, how):
    class Holder(nn.Module):
        def __init__(self, w):
            self.weight = nn.Parameter(rv.tensor(w))

    w = np.random.default_rng(1).normal(size=shape)
    holder = parametrizations.orthogonal(Holder(w), orthogonal_map=how)
    q, r = np.linalg.qr(w if shape[-2] >= shape[-1] else w.swapaxes(-2, -1))
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    np.testing.assert_allclose(array(holder.weight), q if shape[-2] >= shape[-1] else q.swapaxes(-2, -1), atol=1e-12)
    with rv.no_grad():
        holder.parametrizations.weight.original += 0.5 * rv.randn(*shape, dtype=rv.float64)
    q = array(holder.weight)
    q = q if shape[-2] >= shape[-1] else q.swapaxes(-2, -1)
    np.testing.assert_allclose(
        q.swapaxes(-2, -1) @ q, np.broadcast_to(np.eye(q.shape[-1]), (*shape[:-2], *q.shape[-1:] * 2)), atol=1e-12
    )


def test_exponentials_of_any_size():
    layer = parametrizations.orthogonal(nn.Linear(6, 6).double(), orthogonal_map="matrix_exp")
    for size in (1e-3, 1.0, 30.0, 1e3):
        with rv.no_grad():
            layer.parametrizations.weight.original.copy_(size * rv.randn(6, 6, dtype=rv.float64))
            w = array(layer.weight)
        assert np.isnan(w).all() or np.abs(w.T @ w - np.eye(6)).max() < 1e-9, size
    assert np.isnan(w).all()  # too large: no number, rather than a wrong one


@pytest.mark.parametrize("norm", [*NORMS, "orthogonal"])
def test_compiled_steps_are_the_eager_ones(norm):
    def trained(compiled):
        rv.manual_seed(3)
        make = NORMS.get(norm, lambda lib, layer: lib.nn.utils.parametrizations.orthogonal(layer))
        model = nn.Sequential(make(rv, nn.Linear(6, 4)), nn.ReLU(), make(rv, nn.Linear(4, 4)))
        optimizer = optim.Adam(model.parameters(), lr=0.05)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        step = rv.compile(step) if compiled else step
        data = np.random.default_rng(0).normal(size=(5, 8, 10)).astype("f4")
        losses = [step(rv.tensor(d[:, :6]), rv.tensor(d[:, 6:])).item() for d in data]
        model.eval()
        with rv.no_grad():
            losses.append(model(rv.tensor(data[0, :, :6])).sum().item())
        return losses, {key: array(t).copy() for key, t in model.state_dict().items()}

    (losses, state), (wanted, eager) = trained(True), trained(False)
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)
    for key in eager:
        np.testing.assert_allclose(state[key], eager[key], rtol=1e-4, atol=1e-6, err_msg=key)
    if norm.endswith("spectral_norm"):
        key = next(k for k in eager if k.startswith("0.") and k.endswith("_u"))
        assert abs(np.linalg.norm(eager[key]) - 1) < 1e-5


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)

    def right_inverse(self, x):
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, x):
        return x / 2


def test_several_parametrizations_follow_upon_each_other():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    before = array(weight).copy()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    symmetric = np.triu(before) + np.triu(before, 1).T
    np.testing.assert_allclose(array(layer.weight), symmetric)
    assert layer.parametrizations.weight.original is weight
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_allclose(array(layer.weight), symmetric, rtol=1e-6)
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    layer.weight = rv.eye(3)
    np.testing.assert_allclose(array(layer.weight), np.eye(3))
    np.testing.assert_allclose(array(weight), np.eye(3) / 2)
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias") and not parametrize.is_parametrized(nn.Linear(1, 1))
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    x = rv.randn(2, 3)
    out = array(layer(x))
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and list(layer.state_dict()) == ["bias", "weight"] and layer.weight is weight
    np.testing.assert_array_equal(array(layer(x)), out)


def test_originals_may_be_left():
    layer = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    original = array(layer.parametrizations.weight.original).copy()
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_array_equal(array(layer.weight), original)
    layer = parametrizations.weight_norm(nn.Linear(3, 3))
    with pytest.raises(RuntimeError, match="needs one original"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    value = array(layer.weight).copy()
    parametrize.remove_parametrizations(layer, "weight")
    np.testing.assert_array_equal(array(layer.weight), value)
    assert isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad


def test_cached():
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x * 2

    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Counted())
    del calls[:]
    layer(rv.ones(1, 2)), layer(rv.ones(1, 2))
    assert len(calls) == 2
    with parametrize.cached():
        loss = (layer(rv.ones(1, 2)) + layer(rv.ones(1, 2))).sum()
        assert len(calls) == 3
    loss.backward()
    assert (array(layer.parametrizations.weight.original.grad) == 4).all()
    layer(rv.ones(1, 2))
    assert len(calls) == 4


def test_copies_have_parameters_of_their_own():
    for make in (
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ):
        layer = make(nn.Linear(3, 2))
        other = copy.deepcopy(layer)
        assert not {*map(id, layer.parameters())} & {*map(id, other.parameters())}
        before = array(layer.eval().weight).copy()
        with rv.no_grad():
            for p in other.parameters():
                p *= -3
        np.testing.assert_array_equal(array(layer.weight), before)
        assert not np.array_equal(array(other.eval().weight), before)
        with pytest.raises(RuntimeError, match="ParametrizedLinear cannot be pickled"):
            pickle.dumps(layer)


@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm"])
def test_older_norms_come_off(kind):
    layer = getattr(nn.utils, kind)(nn.Linear(3, 2)).eval()
    x = rv.randn(2, 3)
    out = array(layer(x))
    getattr(nn.utils, f"remove_{kind}")(layer)
    np.testing.assert_allclose(array(layer(x)), out, rtol=1e-6)
    assert list(layer.state_dict()) == ["bias", "weight"] and type(layer) is nn.Linear and not layer._hooks
    with pytest.raises(RuntimeError, match=f"remove_{kind}: 'weight' of Linear has no such norm"):
        getattr(nn.utils, f"remove_{kind}")(layer)


def test_transfer():
    first, second = (parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(3, 2))
    parametrize.transfer_parametrizations_and_params(first, second)
    np.testing.assert_array_equal(array(first.weight), array(second.weight))
    assert second.parametrizations.weight.original0 is not first.parametrizations.weight.original0


class Wider(nn.Module):
    def forward(self, x):
        return rv.cat([x, x])


def test_refused():
    layer = nn.Linear(3, 2)
    weight = layer.weight
    for call, text in [
        (lambda: parametrize.register_parametrization(layer, "wait", Doubled()), "has no parameter or buffer 'wait'"),
        (lambda: parametrize.register_parametrization(layer, "weight", Wider()), r"is \(4, 3\), must be \(2, 3\)"),
        (
            lambda: parametrize.register_parametrization(layer, "weight", len),
            "builtin_function_or_method must be a Module",
        ),
        (lambda: parametrize.remove_parametrizations(layer, "weight"), "Linear has no parametrization of 'weight'"),
        (
            lambda: parametrizations.spectral_norm(layer, n_power_iterations=0),
            "n_power_iterations=0 must be at least 1",
        ),
        (lambda: parametrizations.spectral_norm(layer, dim=2), r"dim=2 must be in \[-2, 1\] for weight\(2, 3\)"),
        (lambda: parametrizations.orthogonal(layer, "bias"), r"bias\(2,\) must be a matrix"),
        (lambda: parametrizations.orthogonal(layer, orthogonal_map="qr"), "orthogonal_map='qr' must be"),
        (lambda: parametrizations.weight_norm(layer, "gain"), "Linear has no parameter or buffer 'gain'"),
    ]:
        with pytest.raises((RuntimeError, ValueError, TypeError), match=text):
            call()
        assert layer.weight is weight and type(layer) is nn.Linear and list(layer.state_dict()) == ["weight", "bias"]
    old = nn.utils.weight_norm(nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="computed from weight_g and weight_v"):
        old.weight = rv.zeros(2, 3)
    with pytest.raises(RuntimeError, match="is computed already"):
        nn.utils.spectral_norm(old)
