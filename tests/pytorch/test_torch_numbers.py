"""PyTorch's random numbers: known ones of PyTorch 2.13, and beside PyTorch where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.data import DataLoader, TensorDataset


def test_known_numbers() -> None:
    """What PyTorch 2.13 gives after manual_seed(0)."""
    rv.manual_seed(0)
    assert np.allclose(rv.rand(3), KNOWN["rand"], rtol=0, atol=1e-7)
    assert np.allclose(rv.randn(3), KNOWN["few"], rtol=1e-6)
    assert np.allclose(rv.randn(20), KNOWN["many"], rtol=1e-5)
    assert rv.randint(0, 100, (5,)).tolist() == KNOWN["randint"]
    assert rv.randint(0, 2**40, (2,)).tolist() == KNOWN["wide"]
    assert rv.randperm(8).tolist() == KNOWN["randperm"]
    assert nn.functional.dropout(rv.ones(10), 0.5).tolist() == KNOWN["dropout"]
    assert rv.multinomial(rv.tensor([0.1, 0.2, 0.3, 0.4]), 3).tolist() == KNOWN["multinomial"]
    assert np.allclose(nn.Linear(2, 2).weight.detach(), KNOWN["linear"], rtol=1e-6)
    loader = DataLoader(TensorDataset(rv.arange(6)), 3, shuffle=True)
    assert [batch[0].tolist() for batch in loader] == KNOWN["order"]


KNOWN: dict[str, Any] = {
    "rand": [0.49625659, 0.7682218, 0.088477433],
    "few": [0.36433819, 0.13439633, 0.16421625],
    "many": [
        -0.20410173,
        -0.088531427,
        0.52388328,
        -0.66587132,
        -0.11160933,
        -0.61358309,
        0.031592742,
        -0.49267697,
        0.24841475,
        0.43969584,
        0.11241119,
        0.64079237,
        -2.3160419,
        -0.10230965,
        0.79244399,
        -0.2896677,
        0.052507486,
        0.52286047,
        2.3022053,
        -1.4688939,
    ],
    "randint": [95, 82, 71, 40, 69],
    "wide": [40962706105, 548719075872],
    "randperm": [7, 5, 4, 1, 0, 6, 2, 3],
    "dropout": [2.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 2.0, 0.0],
    "multinomial": [0, 2, 1],
    "linear": [[0.35758963, 0.50619763], [0.26439509, -0.69984847]],
    "order": [[3, 5, 4], [1, 2, 0]],
}


@pytest.mark.torch
@pytest.mark.parametrize("seed", [0, 1, -3, 2**40 + 5])
def test_beside_pytorch(torch: Any, seed: int) -> None:
    torch.manual_seed(seed)
    rv.manual_seed(seed)
    for n in (0, 3, 5, 16, 40, 100):
        for dtype in ("float32", "float64"):
            theirs = getattr(torch, dtype)
            assert np.allclose(torch.randn(n, dtype=theirs).numpy(), rv.randn(n, dtype=dtype), rtol=1e-5, atol=1e-6)
            assert (torch.rand(n, dtype=theirs).numpy() == rv.rand(n, dtype=dtype).numpy()).all()
    pairs = [
        (torch.randint(3, 17, (5, 4)), rv.randint(3, 17, (5, 4))),
        (torch.randint(0, 2**40, (5,)), rv.randint(0, 2**40, (5,))),
        (torch.empty(50).uniform_(-0.3, 0.7), rv.empty(50).uniform_(-0.3, 0.7)),
        (torch.randperm(33), rv.randperm(33)),
        (torch.nn.functional.dropout(torch.ones(99), 0.3), nn.functional.dropout(rv.ones(99), 0.3)),
        (torch.empty(9).bernoulli_(0.3), rv.empty(9).bernoulli_(0.3)),
        (torch.bernoulli(torch.full((9,), 0.3)), rv.bernoulli(rv.full((9,), 0.3))),
    ]
    weights, ours = torch.rand(3, 7), rv.rand(3, 7)
    pairs += [
        (torch.multinomial(weights, 4), rv.multinomial(ours, 4)),
        (torch.multinomial(weights, 40, True), rv.multinomial(ours, 40, True)),
    ]
    for layers in ("Linear", "Conv2d"):
        shape = (5, 7) if layers == "Linear" else (3, 7, 3)
        one, other = getattr(torch.nn, layers)(*shape), getattr(nn, layers)(*shape)
        pairs += [(a.detach(), b.detach()) for a, b in zip(one.parameters(), other.parameters())]
    for a, b in pairs:
        assert (a.numpy() == b.numpy()).all()
    assert np.allclose(torch.empty(30).exponential_().numpy(), rv.empty(30).exponential_(), rtol=1e-6)
    data = np.arange(50)
    for generators in ((None, None), (torch.Generator().manual_seed(4), rv.Generator().manual_seed(4))):
        theirs = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.tensor(data)), 7, shuffle=True, generator=generators[0]
        )
        mine = DataLoader(TensorDataset(rv.tensor(data)), 7, shuffle=True, generator=generators[1])
        for _ in range(2):
            assert [b[0].tolist() for b in theirs] == [b[0].tolist() for b in mine]
    assert torch.rand(1).item() == rv.rand(1).item()


def test_state_goes_on() -> None:
    rv.manual_seed(3)
    rv.randn(3)  # leaves a spare number
    state = rv.get_rng_state()
    first = rv.randn(4).tolist()
    rv.set_rng_state(state)
    assert rv.randn(4).tolist() == first and rv.initial_seed() == 3
    with pytest.raises(rv.ShapeError, match="must be int64"):
        rv.set_rng_state(rv.zeros(3))
    with pytest.raises(rv.OutOfRangeError, match="low=3 must be less than high=3"):
        rv.randint(3, 3, (2,))


def test_compiled_draws_are_eager_draws() -> None:
    """Masks of a compiled step are drawn at each call; a gradient through a compiled forward pass sees the same ones."""
    drop, layer = nn.Dropout(0.5), nn.Linear(8, 8)

    def loss(x: Any) -> Any:
        return drop(layer(drop(x))).square().sum()

    def step(x: Any) -> Any:
        layer.zero_grad()
        value = loss(x)
        value.backward()
        return value

    x, results = rv.ones(4, 8), []
    forward, whole = rv.compile(loss), rv.compile(step)

    def outside(x: Any) -> Any:
        layer.zero_grad()
        value = forward(x)
        value.backward()
        return value

    for run in (step, whole, outside):
        rv.manual_seed(5)
        results.append([[run(x).item(), layer.weight.grad.tolist()] for _ in range(3)])
    assert len({value for value, _ in results[0]}) == 3
    for other in results[1:]:
        for (a, ga), (b, gb) in zip(results[0], other):
            assert a == pytest.approx(b, rel=1e-5) and np.allclose(ga, gb, rtol=1e-4, atol=1e-6)


def test_own_numbers_come_back(door: Any) -> None:
    door.as_pytorch(False)
    rv.manual_seed(0)
    own = rv.rand(2).tolist()
    door.as_pytorch()
    rv.manual_seed(0)
    assert rv.rand(2).tolist() != own
    door.as_pytorch(False)
    rv.manual_seed(0)
    assert rv.rand(2).tolist() == own


@pytest.mark.parametrize("case", ["plain", "causal", "mask", "added", "shared heads"])
def test_attention_drops_weights_in_order(case: str) -> None:
    """The same draws as dropout of all weights, eager and compiled; a query that sees nothing gives 0 and no NaN."""
    q, k = rv.randn(2, 4, 5, 8), rv.randn(2, 2 if case == "shared heads" else 4, 6, 8)
    seen = rv.rand(2, 1, 5, 6) > 0.4
    seen[0, 0, 2] = False
    hidden = {"causal": ~rv.ones(5, 6, dtype=rv.bool).tril(), "mask": ~seen, "added": ~seen}.get(case)
    added = None if hidden is None else rv.zeros(hidden.shape).masked_fill(hidden, -float("inf"))
    given = {"mask": seen, "added": added}.get(case)

    def attend(q: Any, k: Any) -> Any:
        return nn.functional.scaled_dot_product_attention(
            q, k, k, given, dropout_p=0.3, is_causal=case == "causal", enable_gqa=case == "shared heads"
        )

    keys = k.repeat_interleave(2, 1) if case == "shared heads" else k
    scores = q @ keys.transpose(-2, -1) / 8**0.5
    weights = (scores if added is None else scores + added).softmax(-1).nan_to_num()
    rv.manual_seed(3)
    expected, after = nn.functional.dropout(weights, 0.3) @ keys, rv.rand(1)
    q.requires_grad_()
    for run in (attend, rv.compile(attend)):
        rv.manual_seed(3)
        out = run(q, k)
        assert np.allclose(out.detach(), expected, rtol=1e-4, atol=1e-5) and rv.rand(1) == after
        out.sum().backward()
        assert np.isfinite(q.grad.numpy()).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_dropout_is_drawn_in_order_of_time(bidirectional: bool) -> None:
    last, first = (nn.LSTM(3, 4, 2, batch_first=f, dropout=0.4, bidirectional=bidirectional) for f in (False, True))
    first.load_state_dict(last.state_dict())
    x = rv.randn(6, 5, 3)
    rv.manual_seed(1)
    expected = last(x)[0].transpose(0, 1).detach()
    for run in (first, rv.compile(first)):
        rv.manual_seed(1)
        assert np.allclose(run(x.transpose(0, 1))[0].detach(), expected, atol=1e-6)


@pytest.mark.torch
def test_sequences_beside_pytorch(torch: Any) -> None:
    """Initial weights and dropout of an LSTM and an encoder in training are PyTorch's."""

    def outputs(lib: Any) -> list[np.ndarray]:
        lib.manual_seed(0)
        layer = lib.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
        found = [lib.nn.LSTM(16, 16, 2, batch_first=True, dropout=0.2), lib.nn.TransformerEncoder(layer, 2)]
        x = lib.randn(4, 5, 16)
        padding = lib.arange(5) >= lib.tensor([5, 3, 4, 2])[:, None]
        decoder = lib.nn.TransformerDecoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
        return [
            t.detach().numpy()
            for t in (found[0](x)[0], found[1](x), found[1](x, src_key_padding_mask=padding), decoder(x, x[:, 1:]))
        ]

    for ours, theirs in zip(outputs(rv), outputs(torch)):
        assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
