"""Positions, the key-value cache, the choice of tokens, generation."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn
from ranvier.core.errors import DomainError, OutOfRangeError, ShapeError
from ranvier.nn import positions
from ranvier.nn.generation import choose, generate

rng = np.random.default_rng(0)


# ---------------------------------------------------------------- positions


def test_sinusoidal_is_the_formula():
    layer = positions.Sinusoidal(50, 6)
    out = layer(rv.zeros(2, 5, 6), position=3).numpy()
    for t in range(5):
        for i in range(3):
            angle = (t + 3) / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(out[1, t, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6)
    assert not layer.state_dict()


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_turns_pairs(interleaved):
    layer, x = positions.Rotary(50, 6, interleaved=interleaved), rng.normal(size=(2, 5, 6)).astype("f4")
    out = layer(rv.tensor(x), position=4).numpy()
    for i in range(3):
        pair = [2 * i, 2 * i + 1] if interleaved else [i, i + 3]
        z = (x[..., pair[0]] + 1j * x[..., pair[1]]) * np.exp(1j * np.arange(4, 9) / 10000 ** (2 * i / 6))
        np.testing.assert_allclose(out[..., pair[0]], z.real, atol=1e-5)
        np.testing.assert_allclose(out[..., pair[1]], z.imag, atol=1e-5)


def test_alibi_slopes():
    assert positions.ALiBi(8).slopes.tolist() == [2.0**-k for k in range(1, 9)]
    twelve = positions.ALiBi(12).slopes.tolist()
    assert twelve[:8] == [2.0**-k for k in range(1, 9)]
    np.testing.assert_allclose(twelve[8:], [2.0 ** -(k / 2) for k in (1, 3, 5, 7)])
    bias = positions.ALiBi(2)(3, 5, position=2).numpy()
    np.testing.assert_allclose(bias[0], -abs(np.arange(2, 5)[:, None] - np.arange(5)) / 16)
    q = rv.randn(2, 3, 4)
    F.scaled_dot_product_attention(q, q, q, positions.ALiBi(2)(3, 3))


@pytest.mark.parametrize(
    "layer", [positions.Sinusoidal(20, 8), positions.Learned(20, 8), positions.Rotary(20, 8)], ids=lambda m: repr(m)
)
def test_a_position_may_be_a_tensor(layer):
    x = rv.randn(1, 3, 8)
    step = rv.compile(lambda x, at: layer(x, at))
    for at in (0, 5, 17):
        np.testing.assert_array_equal(step(x, rv.tensor(at)).detach().numpy(), layer(x, at).detach().numpy())
    for call in (lambda: layer(x, 18), lambda: layer(x, rv.tensor(18)), lambda: step(x, rv.tensor(18))):
        with pytest.raises(OutOfRangeError):
            call()
    with pytest.raises(ShapeError):
        layer(rv.zeros(3, 7))


def test_positions_refuse_what_they_cannot():
    for make in (lambda: positions.Sinusoidal(9, 3), lambda: positions.Rotary(9, 5), lambda: positions.ALiBi(0)):
        with pytest.raises(ShapeError):
            make()


# ---------------------------------------------------------------- generation


class Model(nn.Module):
    """One layer of attention, two query heads for each head of keys."""

    def __init__(self, classes: int = 11, width: int = 16, length: int = 40):
        self.embed, self.place = nn.Embedding(classes, width), positions.Learned(length, width)
        self.queries, self.keys = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Linear(width, classes)
        self.turn, self.drop = positions.Rotary(length, 4), nn.Dropout(0.5)

    def forward(self, tokens, cache=None):
        n, t = tokens.shape
        position = 0 if cache is None else cache.position
        x = self.place(self.embed(tokens), position)
        q = self.turn(self.queries(x).reshape(n, t, 4, 4).transpose(1, 2), position)
        k, v = (u.transpose(1, 2) for u in self.keys(x).reshape(n, t, 2, 2, 4).unbind(2))
        k = self.turn(k, position)
        if cache is None:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            out = cache.attend(0, q, k, v)
            cache.advance(t)
        return self.head(self.drop(x + out.transpose(1, 2).reshape(n, t, 16)))


def new_cache(batch: int, length: int = 40) -> nn.KeyValueCache:
    return nn.KeyValueCache(layers=1, batch=batch, heads=2, max_length=length, head_dim=4)


def test_a_cache_changes_nothing():
    rv.manual_seed(1)
    model, prompt = Model(), rv.tensor(rng.integers(0, 11, (3, 5)))
    plain = generate(model, prompt, 20, temperature=0)
    cache = new_cache(3)
    for _ in range(2):
        assert generate(model, prompt, 20, temperature=0, cache=cache).tolist() == plain.tolist()
    assert model.training and len(cache.steps) == 1
    step = next(iter(cache.steps.values()))
    assert sum(map(len, step._traces.values())) == 1  # one plan for all positions
    model.eval()
    cache.reset()
    with rv.no_grad():
        read = [model(part, cache) for part in (plain[:, :7], plain[:, 7:8], plain[:, 8:])]
        np.testing.assert_allclose(rv.cat(read, 1).numpy(), model(plain).numpy(), rtol=1e-4, atol=1e-5)


def test_generation_is_seeded():
    model, prompt, cache = Model(), rv.tensor([[1, 2, 3]]), new_cache(1)
    options = {"temperature": 2.0, "top_k": 8, "top_p": 0.95, "cache": cache}
    seen = [generate(model, prompt, 15, generator=rv.Generator(seed=s), **options).tolist() for s in (1, 2)]
    generator = rv.Generator(seed=1)
    assert generate(model, prompt, 15, generator=generator, **options).tolist() == seen[0] != seen[1]


def test_stop_and_context():
    model = Model()
    rv.manual_seed(0)
    with rv.no_grad():
        model.head.weight.fill_(0)
        model.head.bias[4] = 9.0
    out = generate(model, rv.tensor([[1, 2], [3, 4]]), 10, temperature=0, stop=[4, 7])
    assert out.tolist() == [[1, 2, 4], [3, 4, 4]]
    assert generate(model, rv.tensor([1]), 60, temperature=0, context=40).shape == (61,)


def test_choose():
    logits = rv.tensor(rng.normal(size=(2, 9)).astype("f4") * 2)
    p = F.softmax(logits, 1).numpy()
    assert choose(logits, temperature=0).tolist() == p.argmax(1).tolist()
    rows = rv.tensor(np.repeat(logits.numpy()[:1], 4000, 0))
    rv.manual_seed(0)
    shares = np.bincount(choose(rows).numpy(), minlength=9) / 4000
    np.testing.assert_allclose(shares, p[0], atol=0.03)
    order = np.argsort(-p[0])
    assert set(choose(rows, top_k=3).tolist()) == set(order[:3])
    kept = np.searchsorted(np.cumsum(p[0][order]), 0.8) + 1
    assert set(choose(rows, top_p=0.8).tolist()) == set(order[:kept])
    assert set(choose(rows, top_p=1e-6).tolist()) == {order[0]}
    hot = np.exp(logits.numpy()[0] / 0.5) / np.exp(logits.numpy()[0] / 0.5).sum()
    np.testing.assert_allclose(np.bincount(choose(rows, 0.5).numpy(), minlength=9) / 4000, hot, atol=0.03)
    for options in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(DomainError):
            choose(logits, **options)


def test_refusals():
    model, cache = Model(), new_cache(2)
    with pytest.raises(ShapeError, match="must fit into the cache, 2 sequences of 40"):
        generate(model, rv.tensor([[1], [2]]), 40, cache=cache)
    with pytest.raises(ShapeError, match="at least one"):
        generate(model, rv.zeros(1, 0, dtype=rv.int64), 4)
    with pytest.raises(ShapeError, match=r"must be \(2, 2, 1, 4\)"):
        cache.attend(0, rv.zeros(2, 4, 1, 4), rv.zeros(2, 3, 1, 4), rv.zeros(2, 3, 1, 4))
    model.eval()
    with rv.no_grad(), pytest.raises(OutOfRangeError):
        for _ in range(41):
            model(rv.tensor([[1], [2]]), cache)
