"""Attention and Transformers against PyTorch: values, all gradients, masks, corners, errors."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn
from ranvier.core.errors import DTypeError, ShapeError

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype("f4")


def close(ours, theirs, what="") -> None:
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5, err_msg=str(what))


# ---------------------------------------------------------------- scaled_dot_product_attention

BATCHES = [
    ((2, 3), (2, 3), {}),
    ((2, 3), (2, 1), {}),
    ((2, 3), (3,), {}),
    ((4,), (4,), {}),
    ((), (), {}),
    ((2, 2, 3), (1, 2, 3), {}),
    ((2, 4), (2, 2), {"enable_gqa": True}),
]
LENGTHS = [(5, 7, 5), (1, 9, 8), (40, 40, 3), (3, 150, 8)]  # queries, keys, features of values


def attend(tensor, functional, arrays, mask, options):
    q, k, v = (tensor(a) for a in arrays)
    for t in (q, k, v):
        t.requires_grad_(True)
    out = functional.scaled_dot_product_attention(q, k, v, None if mask is None else tensor(mask), **options)
    (out * tensor(np.cos(np.arange(out.numel(), dtype="f4")).reshape(tuple(out.shape)))).sum().backward()
    return [t.numpy() for t in (out.detach(), q.grad, k.grad, v.grad)]


def masks(lead, queries, keys):
    full = (*lead, queries, keys)
    yield None, {}
    yield None, {"is_causal": True}
    hidden = rng.random((queries, keys)) < 0.6
    hidden[0] = False  # a query that sees nothing
    yield hidden, {}
    yield rng.random((*full[:-2], 1, keys)) < 0.7, {"scale": 0.3}
    yield normal(*full), {}
    yield np.where(hidden, 0, -np.inf).astype("f4"), {"is_causal": True} if queries == keys else {}


@pytest.mark.parametrize("q_lead, lead, options", BATCHES, ids=str)
def test_scaled_dot_product_attention(q_lead, lead, options, torch):
    for queries, keys, depth in LENGTHS:
        arrays = normal(*q_lead, queries, 8), normal(*lead, keys, 8), normal(*lead, keys, depth)
        common = q_lead if options else np.broadcast_shapes(q_lead, lead)
        for mask, more in masks(common, queries, keys):
            if more.get("is_causal") and mask is not None:
                causal = np.where(np.tri(queries, keys, dtype=bool), mask, -np.inf).astype("f4")
                wanted = attend(torch.tensor, torch.nn.functional, arrays, causal, options)
            else:
                wanted = attend(torch.tensor, torch.nn.functional, arrays, mask, {**options, **more})
            got = attend(rv.tensor, F, arrays, mask, {**options, **more})
            for a, b in zip(got, wanted, strict=True):
                close(a, b, (queries, keys, depth, more, None if mask is None else mask.dtype))


def test_a_mask_of_numbers_has_a_gradient(torch):
    arrays, bias = [normal(2, 3, 6, 4) for _ in range(3)], normal(3, 6, 6)

    def run(tensor, functional):
        b = tensor(bias)
        b.requires_grad_(True)
        q, k, v = map(tensor, arrays)
        functional.scaled_dot_product_attention(q, k, v, b).square().sum().backward()
        return b.grad.numpy()

    close(run(rv.tensor, F), run(torch.tensor, torch.nn.functional))


def test_second_derivatives(torch):
    arrays = [normal(2, 3, 4).astype("f8") for _ in range(3)]

    def run(library, functional):
        q, k, v = (library.tensor(a) for a in arrays)
        for t in (q, k, v):
            t.requires_grad_(True)
        with_math = getattr(getattr(library.nn, "attention", None), "sdpa_kernel", None)
        context = with_math(library.nn.attention.SDPBackend.MATH) if library is torch else rv.enable_grad()
        with context:
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        grads = library.autograd.grad(out.square().sum(), [q, k, v], create_graph=True)
        sum((g.square() * (i + 1)).sum() for i, g in enumerate(grads)).backward()
        return [t.grad.numpy() for t in (q, k, v)]

    for a, b in zip(run(rv, F), run(torch, torch.nn.functional), strict=True):
        close(a, b)


@pytest.mark.parametrize("causal", [False, True])
def test_heads_are_read_where_a_fused_product_leaves_them(causal):
    """Eager, compiled and with any number of threads: the same bits, from views and from copies."""
    fused = rv.tensor(normal(2, 150, 3, 4, 16), requires_grad=True)

    def run(x, copy=False):
        q, k, v = (t.transpose(1, 2) for t in x.unbind(2))
        if copy:
            q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return out, rv.autograd.grad(out.square().sum(), x)[0]

    results = [run(fused), run(fused, copy=True), rv.compile(run)(fused)]
    before = rv.get_num_threads()
    try:
        rv.set_num_threads(1)
        results.append(run(fused))
    finally:
        rv.set_num_threads(before)
    for result in results[1:]:
        for a, b in zip(results[0], result):
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_padding_changes_no_bit():
    q, k, v = (rv.tensor(normal(1, 2, n, 8)) for n in (9, 130, 130))
    alone = F.scaled_dot_product_attention(q, k, v)
    pad = rv.tensor(normal(1, 2, 200, 8))
    mask = rv.arange(330) < 130
    padded = F.scaled_dot_product_attention(q, rv.cat([k, pad], 2), rv.cat([v, pad], 2), mask)
    np.testing.assert_array_equal(alone.numpy(), padded.numpy())


def test_dropout():
    q, k = rv.zeros(2, 3, 40, 8), rv.zeros(2, 3, 50, 8)
    v = rv.ones(2, 3, 50, 4)
    rv.manual_seed(0)
    out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.25).numpy()
    kept = out[..., 0] * 50 * 0.75  # each of 50 equal weights is 0 or 1 / (50 * 0.75)
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-3)
    assert abs(kept.mean() / 50 - 0.75) < 0.02 and kept.std() > 1
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).numpy().any()
    rv.manual_seed(0)
    np.testing.assert_array_equal(F.scaled_dot_product_attention(q, k, v, dropout_p=0.25).numpy(), out)


def test_dropout_drops_the_same_weights_on_the_way_back():
    q, k, v = (rv.tensor(normal(1, 2, 9, 8).astype("f8"), requires_grad=True) for _ in range(3))
    step, directions = 1e-6, [rng.normal(size=(1, 2, 9, 8)) for _ in range(3)]

    def loss(sign):
        rv.manual_seed(3)
        moved = [t + sign * step * rv.tensor(d) for t, d in zip((q, k, v), directions)]
        return F.scaled_dot_product_attention(*moved, dropout_p=0.5, is_causal=True).square().sum()

    grads = rv.autograd.grad(loss(0), [q, k, v])
    slope = sum(float((g.numpy() * d).sum()) for g, d in zip(grads, directions))
    assert abs((loss(1) - loss(-1)).item() / (2 * step) - slope) < 1e-5 * abs(slope)


def test_memory_is_linear_in_the_length():
    """A length at which all weights would take 1 GB, forwards and backwards."""
    import resource

    q, k, v = (rv.randn(1, 16, 4096, 8, requires_grad=True) for _ in range(3))
    F.scaled_dot_product_attention(q[:, :, :64], k[:, :, :64], v[:, :, :64]).sum().backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_errors_of_attention():
    q, k, v = rv.zeros(2, 4, 3, 8), rv.zeros(2, 4, 5, 8), rv.zeros(2, 4, 5, 6)
    f = F.scaled_dot_product_attention
    for call, error, text in [
        (lambda: f(q, k, v.double()), DTypeError, "float32, float32, float64"),
        (lambda: f(q, k[..., :7], v), ShapeError, r"query\(2, 4, 3, 8\), key\(2, 4, 5, 7\)"),
        (lambda: f(q, k, v, rv.zeros(3, 6)), ShapeError, r"attn_mask\(3, 6\) must broadcast to \(2, 4, 3, 5\)"),
        (lambda: f(q, k, v, rv.zeros(3, 5, dtype=rv.int64)), DTypeError, "attn_mask has dtype int64"),
        (lambda: f(q, k[:, :3], v[:, :3]), ShapeError, "do not broadcast"),
        (lambda: f(q, k[:, :3], v[:, :3], enable_gqa=True), ShapeError, "enable_gqa"),
        (lambda: f(q, k, v, dropout_p=1.5), ValueError, "dropout_p=1.5"),
        (lambda: f(rv.zeros(3), k, v), ShapeError, r"query\(3,\)"),
    ]:
        with pytest.raises(error, match=text):
            call()


# ---------------------------------------------------------------- layers

ATTENTIONS = [
    {},
    {"batch_first": True},
    {"bias": False, "batch_first": True},
    {"kdim": 5, "vdim": 7},
    {"add_bias_kv": True, "add_zero_attn": True},
    {"add_zero_attn": True, "batch_first": True},
]


def copied(layer, other, torch) -> None:
    """`other`, PyTorch's, gets the values of `layer`."""
    assert list(other.state_dict()) == list(layer.state_dict())
    other.load_state_dict({k: torch.tensor(v.numpy()) for k, v in layer.state_dict().items()})


def observed(layer, call, tensor, inputs, options):
    given = [tensor(x) for x in inputs]
    for x in given:
        x.requires_grad_(True)
    layer.zero_grad()
    out = call(*given, **{k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()})
    out = out if isinstance(out, tuple) else (out,)
    shown = [o for o in out if o is not None]
    sum((o * tensor(np.cos(np.arange(o.numel(), dtype="f4")).reshape(tuple(o.shape)))).sum() for o in shown).backward()
    grads = [p.grad for _, p in sorted(layer.named_parameters())]
    return [t.detach().numpy() for t in (*shown, *(x.grad for x in given), *grads) if t is not None]


@pytest.mark.parametrize("options", ATTENTIONS, ids=str)
def test_multihead_attention(options, torch):
    layer = nn.MultiheadAttention(12, 3, **options)
    other = torch.nn.MultiheadAttention(12, 3, **options)
    copied(layer, other, torch)
    batch, queries, keys = 2, 4, 6
    padding = np.zeros((batch, keys), bool)
    padding[1, 4:] = True
    hidden = rng.random((queries, keys)) < 0.3
    hidden[:, 0] = False
    cases = [
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"key_padding_mask": padding, "need_weights": False},
        {"key_padding_mask": padding, "attn_mask": hidden},
        {"attn_mask": normal(queries, keys), "need_weights": False},
        {"attn_mask": normal(batch * 3, queries, keys), "key_padding_mask": np.where(padding, -np.inf, 0).astype("f4")},
    ]
    for case in cases:
        inputs = [
            normal(batch, queries, 12),
            normal(batch, keys, layer.kdim),
            normal(batch, keys, layer.vdim),
        ]
        if not layer.batch_first:
            inputs = [x.transpose(1, 0, 2) for x in inputs]
        wanted = observed(other, other, torch.tensor, inputs, case)
        for call in (layer, rv.compile(layer)):
            got = observed(layer, call, rv.tensor, inputs, case)
            for a, b in zip(got, wanted, strict=True):
                close(a, b, (options, sorted(case)))


def test_multihead_attention_of_one_input_and_without_a_batch(torch):
    layer, other = nn.MultiheadAttention(8, 2), torch.nn.MultiheadAttention(8, 2)
    copied(layer, other, torch)
    for x in (normal(5, 3, 8), normal(5, 8)):
        for case in ({}, {"need_weights": False, "attn_mask": np.triu(np.ones((5, 5), bool), 1), "is_causal": True}):
            wanted = observed(other, lambda x, **more: other(x, x, x, **more), torch.tensor, [x], case)
            got = observed(layer, lambda x, **more: layer(x, x, x, **more), rv.tensor, [x], case)
            for a, b in zip(got, wanted, strict=True):
                close(a, b)
    hidden = np.zeros((5, 5), bool)
    hidden[2] = True  # a row that sees nothing: NaN beside weights, 0 without, as PyTorch has it
    for need in (True, False):
        x, mask = normal(5, 8), hidden
        ours, theirs = (
            m(*[t(x)] * 3, attn_mask=t(mask), need_weights=need)[0].detach().numpy()
            for m, t in ((layer, rv.tensor), (other, torch.tensor))
        )
        close(ours, theirs, need)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_transformer(norm_first, activation, torch):
    options = {"dim_feedforward": 16, "dropout": 0.0, "norm_first": norm_first, "activation": activation}
    batch_first = norm_first == (activation == "relu")
    model = nn.Transformer(8, 2, 1, 1, batch_first=batch_first, **options)
    other = torch.nn.Transformer(8, 2, 1, 1, batch_first=batch_first, **options)
    copied(model, other, torch)
    src, tgt = normal(3, 6, 8), normal(3, 5, 8)
    if not batch_first:
        src, tgt = src.transpose(1, 0, 2), tgt.transpose(1, 0, 2)
    padding = np.zeros((3, 6), bool)
    padding[2, 3:] = True
    causal = np.triu(np.full((5, 5), -np.inf, "f4"), 1)
    hides = np.where(padding, -np.inf, 0).astype("f4")
    cases = [{"tgt_mask": causal}]
    cases.append({"tgt_mask": causal, "src_key_padding_mask": hides, "memory_key_padding_mask": hides})
    for case in cases:
        wanted = observed(other, other, torch.tensor, [src, tgt], case)
        for call in (model, rv.compile(model)):
            got = observed(model, call, rv.tensor, [src, tgt], case)
            for a, b in zip(got, wanted, strict=True):
                close(a, b, sorted(case))


def test_evaluation_is_training_without_dropout(torch):
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    other = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    copied(layer, other, torch)
    x = normal(2, 5, 8)
    close(layer(rv.tensor(x)).detach().numpy(), other(torch.tensor(x)).detach().numpy())


def test_initial_values_have_pytorchs_spread(torch):
    ours, theirs = nn.MultiheadAttention(64, 4, add_bias_kv=True), torch.nn.MultiheadAttention(64, 4, add_bias_kv=True)
    for (name, a), (_, b) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert abs(a.numpy().std() - b.numpy().std()) < 0.25 * b.numpy().std() + 1e-9, name


def test_errors_of_layers():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = rv.zeros(3, 5, 8)
    for call, error, text in [
        (lambda: nn.MultiheadAttention(10, 4), ShapeError, "embed_dim=10 and num_heads=4"),
        (
            lambda: layer(x, x, x, attn_mask=rv.zeros(5, 4)),
            ShapeError,
            r"attn_mask\(5, 4\) must be \(5, 5\) or \(6, 5, 5\)",
        ),
        (lambda: layer(x, x, x, key_padding_mask=rv.zeros(3, 4)), ShapeError, r"key_padding_mask\(3, 4\)"),
        (lambda: layer(x, x, x, attn_mask=rv.zeros(5, 5).long()), DTypeError, "attn_mask has dtype int64"),
        (lambda: layer(rv.zeros(3, 5, 6), x, x), ShapeError, "embed_dim=8"),
        (lambda: layer(x, x[:2], x[:2]), ShapeError, "one batch"),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"), ValueError, "activation='tanh'"),
    ]:
        with pytest.raises(error, match=text):
            call()
