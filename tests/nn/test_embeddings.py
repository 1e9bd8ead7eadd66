"""Embedding and EmbeddingBag against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn
from ranvier.core.errors import DTypeError, OutOfRangeError, ShapeError
from ranvier.ops import OPS

rng = np.random.default_rng(0)
TABLE = rng.normal(size=(7, 4)).astype("f4")
NUMBERS = np.array([[1, 4, 4, 0], [2, 1, 6, 4]])

EMBEDDINGS = [
    {},
    {"padding_idx": 4},
    {"padding_idx": -3, "scale_grad_by_freq": True},
    {"max_norm": 1.0},
    {"max_norm": 0.5, "norm_type": 1.0, "scale_grad_by_freq": True},
]


def run(library, function, numbers, options, more=()):
    table = library.tensor(TABLE.copy())
    table.requires_grad_(True)
    out = function(library.tensor(numbers), table, *more, **options)
    (out * library.tensor(np.cos(np.arange(out.numel(), dtype="f4")).reshape(tuple(out.shape)))).sum().backward()
    return [t.numpy() for t in (out.detach(), table.grad, table.detach())]


@pytest.mark.parametrize("options", EMBEDDINGS, ids=str)
def test_embedding(options, torch):
    for numbers in (NUMBERS, NUMBERS[0].astype("i4"), np.array(3), np.zeros((2, 0), np.int64)):
        wanted = run(torch, torch.nn.functional.embedding, numbers, options)
        compiled = rv.compile(lambda *args, **more: F.embedding(*args, **more))
        for function in (F.embedding, compiled) if "max_norm" not in options else (F.embedding,):
            got = run(rv, function, numbers, options)
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


BAGS = [
    {"mode": "sum"},
    {"mode": "mean"},
    {"mode": "max"},
    {"mode": "sum", "padding_idx": 4},
    {"mode": "mean", "padding_idx": 4},
    {"mode": "max", "padding_idx": 4},
    {"mode": "mean", "max_norm": 1.0},
]


@pytest.mark.parametrize("options", BAGS, ids=str)
def test_embedding_bag(options, torch):
    theirs = torch.nn.functional.embedding_bag
    flat = NUMBERS.reshape(-1)
    cases = [(NUMBERS, None, {})]
    cases += [(flat, np.array(offsets), {}) for offsets in ([0, 3, 3, 7], [0], [0, 8])]
    cases += [(flat, np.array([0, 3, 8]), {"include_last_offset": True})]
    for numbers, offsets, more in cases:
        with_offsets = [() if offsets is None else (t.tensor(offsets),) for t in (rv, torch)]
        wanted = run(torch, theirs, numbers, {**options, **more}, with_offsets[1])
        got = run(rv, F.embedding_bag, numbers, {**options, **more}, with_offsets[0])
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=f"{offsets} {more}")


def test_embedding_bag_with_weights_compiles(torch):
    weights = rng.normal(size=8).astype("f4")

    def observe(library, function):
        table, factors = library.tensor(TABLE), library.tensor(weights)
        for t in (table, factors):
            t.requires_grad_(True)
        offsets = library.tensor(np.array([0, 2, 5]))
        out = function(library.tensor(NUMBERS.reshape(-1)), table, offsets, mode="sum", per_sample_weights=factors)
        out.square().sum().backward()
        return [t.numpy() for t in (out.detach(), table.grad, factors.grad)]

    wanted = observe(torch, torch.nn.functional.embedding_bag)
    for function in (F.embedding_bag, rv.compile(lambda *args, **more: F.embedding_bag(*args, **more))):
        for a, b in zip(observe(rv, function), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_layers(torch):
    for ours, theirs in (
        (nn.Embedding(7, 4, padding_idx=-1), torch.nn.Embedding(7, 4, padding_idx=-1)),
        (nn.EmbeddingBag(7, 4, mode="sum", max_norm=2.0), torch.nn.EmbeddingBag(7, 4, mode="sum", max_norm=2.0)),
    ):
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert repr(ours).split("(")[1].split(",")[:2] == repr(theirs).split("(")[1].split(",")[:2]
    assert not nn.Embedding(7, 4, padding_idx=-1).weight[6].detach().numpy().any()
    assert abs(nn.Embedding(300, 40).weight.detach().numpy().std() - 1) < 0.05
    frozen = nn.Embedding.from_pretrained(rv.tensor(TABLE))
    assert not frozen.weight.requires_grad and frozen.num_embeddings == 7
    np.testing.assert_array_equal(frozen(rv.tensor([3])).numpy(), TABLE[3:4])
    assert nn.EmbeddingBag.from_pretrained(rv.tensor(TABLE), freeze=False).weight.requires_grad


def test_bad_numbers_are_named_eagerly_and_in_compiled_steps():
    layer = nn.Sequential(nn.Embedding(10, 3))
    for call in (layer, rv.compile(layer)):
        call(rv.tensor([[1, 2]]))
        with pytest.raises(OutOfRangeError, match=r"embedding.*: index 12 at position 1 must be in \[0, 9\]"):
            call(rv.tensor([[1, 12]]))
        with pytest.raises(OutOfRangeError, match=r"index -1 at position 0"):
            call(rv.tensor([[-1, 2]]))
    with pytest.raises(DTypeError, match="float32"):
        layer(rv.tensor([1.0]))
    table, numbers = rv.tensor(TABLE), rv.tensor([1, 2, 3])
    for call, error, text in [
        (lambda: nn.Embedding(4, 2, padding_idx=4), OutOfRangeError, "padding_idx=4"),
        (lambda: F.embedding(numbers, table[0]), ShapeError, "num_embeddings, embedding_dim"),
        (lambda: F.embedding_bag(numbers, table), ShapeError, r"input\(3,\)"),
        (lambda: F.embedding_bag(numbers, table, rv.tensor([0, 5])), OutOfRangeError, "offsets must ascend"),
        (lambda: F.embedding_bag(numbers, table, rv.tensor([1, 2])), OutOfRangeError, "first of offsets"),
        (lambda: F.embedding_bag(numbers, table, rv.tensor([0]), mode="min"), ValueError, "mode='min'"),
        (
            lambda: F.embedding_bag(numbers, table, rv.tensor([0]), per_sample_weights=rv.ones(3)),
            ValueError,
            "per_sample_weights",
        ),
    ]:
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_a_gradient_of_no_rows_refuses_numbers(backend):
    with rv.backend(backend):
        assert OPS["embedding_grad"](rv.ones(0, 3), rv.zeros(0, dtype=rv.int64), num_embeddings=0).shape == (0, 3)
        with pytest.raises(OutOfRangeError, match=r"index 2 at position 0"):
            OPS["embedding_grad"](rv.ones(1, 3), rv.tensor([2]), num_embeddings=0)


def test_the_gradient_has_the_same_bits_for_any_number_of_threads():
    table = rv.randn(3000, 33, requires_grad=True)
    numbers = rv.tensor(rng.integers(0, 3000, (50, 40)))
    before, grads = rv.get_num_threads(), []
    try:
        for threads in (1, 2):
            rv.set_num_threads(threads)
            grads.append(rv.autograd.grad(F.embedding(numbers, table).sin().sum(), table)[0].numpy())
    finally:
        rv.set_num_threads(before)
    np.testing.assert_array_equal(*grads)
