"""Normalisation against PyTorch, over many arguments: values, gradients, second gradients, running statistics."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn

SHAPES = [(6, 3), (1, 5, 70), (4, 3, 5), (2, 6, 8, 9), (3, 4, 1, 1), (2, 4, 33, 40), (2, 2, 3, 4, 5)]
LAYERS = [
    ("batch", (2, 3, 4, 5), lambda nn, c, shape, o: getattr(nn, f"BatchNorm{max(len(shape) - 2, 1)}d")(c, **o)),
    ("group", (2, 3, 4, 5), lambda nn, c, shape, o: nn.GroupNorm(2 if c % 2 == 0 else 1, c)),
    ("instance", (3, 4, 5), lambda nn, c, shape, o: getattr(nn, f"InstanceNorm{len(shape) - 2}d")(c, affine=True, **o)),
    ("layer", (2, 3, 4, 5), lambda nn, c, shape, o: nn.LayerNorm(shape[-2:] if len(shape) > 3 else shape[-1])),
    ("rms", (2, 3, 4, 5), lambda nn, c, shape, o: nn.RMSNorm(shape[-1])),
]


def filled(layer, tensor, dtype: str):
    layer = layer.double() if dtype == "f8" else layer
    for k, (_, p) in enumerate(sorted(layer.named_parameters())):
        p.data = tensor((1 + np.sin(np.arange(p.numel()) + k)).reshape(tuple(p.shape)).astype(dtype))
    return layer


def observe(layer, tensor, x: np.ndarray, step) -> list[np.ndarray]:
    seen = []
    for mode in (True, False):
        layer.train(mode)
        inputs = tensor(x)
        inputs.requires_grad_(True)
        layer.zero_grad()
        out = step(inputs)
        (out * tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(x.dtype))).sum().backward()
        seen += [out.detach(), inputs.grad, *(p.grad for _, p in sorted(layer.named_parameters()))]
    return [a.numpy() for a in (*seen, *(b for _, b in sorted(layer.named_buffers())))]


@pytest.mark.parametrize("name, ranks, make", LAYERS, ids=[name for name, *_ in LAYERS])
def test_layers_are_pytorchs(name, ranks, make, torch):
    random = np.random.default_rng(0)
    for k, shape in enumerate(SHAPES):
        if len(shape) not in ranks or name in ("instance", "layer") and shape[2:] == (1, 1):
            continue
        for dtype, options in (("f4", {}), ("f8", {"momentum": None if name == "batch" else 0.4, "eps": 1e-3})):
            if name in ("group", "layer", "rms"):
                options = {}
            x = (3 * random.normal(size=shape) + 5).astype(dtype)  # a mean apart from 0
            theirs = filled(make(torch.nn, shape[1], shape, options), torch.tensor, dtype)
            wanted = observe(theirs, torch.tensor, x, theirs)
            for wrap in (lambda layer: layer, rv.compile):
                ours = filled(make(nn, shape[1], shape, options), rv.tensor, dtype)
                got = observe(ours, rv.tensor, x, wrap(ours))
                for a, b in zip(got, wanted, strict=True):
                    rtol, scale = (2e-5 if dtype == "f4" else 1e-9), max(1.0, float(np.abs(b).max(initial=0)))
                    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=f"{shape} {dtype}")


@pytest.mark.parametrize("function", ["batch_norm", "layer_norm", "group_norm", "rms_norm"])
def test_second_gradients_are_pytorchs(function, torch):
    x = np.random.default_rng(1).normal(size=(3, 4, 5))
    w, b = 1 + np.sin(np.arange(8.0)), np.cos(np.arange(8.0))

    def penalty(lib, tensor):
        f, inputs = getattr(lib.nn.functional, function), tensor(x)
        n = 5 if function in ("layer_norm", "rms_norm") else 4
        weight, bias = tensor(w[:n]), tensor(b[:n])
        for t in (inputs, weight):
            t.requires_grad_(True)
        out = {
            "batch_norm": lambda: f(inputs, None, None, weight, bias, True),
            "layer_norm": lambda: f(inputs, (5,), weight, bias),
            "group_norm": lambda: f(inputs, 2, weight, bias),
            "rms_norm": lambda: f(inputs, (5,), weight),
        }[function]()
        (g,) = lib.autograd.grad((out**3).sum(), inputs, create_graph=True)
        return [t.detach().numpy() for t in lib.autograd.grad((g**2).sum(), (inputs, weight))]

    for a, c in zip(penalty(rv, rv.tensor), penalty(torch, torch.tensor)):
        np.testing.assert_allclose(a, c, rtol=1e-8, atol=1e-8)


def test_a_large_mean_does_not_spoil_the_statistics():
    x = np.random.default_rng(2).normal(size=(16, 2, 20, 20)) + 3000
    out = F.batch_norm(rv.tensor(x.astype("f4")), None, None, training=True).numpy()
    exact = F.batch_norm(rv.tensor(x.astype("f4").astype("f8")), None, None, training=True).numpy()
    np.testing.assert_allclose(out, exact, atol=2e-3)  # x itself is rounded to 2e-4


def test_the_backward_pass_of_a_batch_norm_is_two_sums_and_a_map():
    layer, x = nn.BatchNorm2d(8), rv.randn(4, 8, 16, 16, requires_grad=True)
    graph = rv.graph.trace(lambda: (layer.zero_grad(), F.relu(layer(x)).square().sum().backward()))
    nodes = rv.graph.passes.optimize(graph).nodes
    large = [node for node in nodes if any(v.size == x.numel() for v in (*node.inputs, *node.outputs))]
    assert [n.name for n in large if n.body[0].call.op.kind == "kernel"] == ["var_mean", "sum", "covary"]
    assert len(large) == 5  # two maps: forward with the gradient of relu, and dx


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bits_for_any_number_of_threads(threads):
    x = np.random.default_rng(3).normal(size=(37, 5, 19, 23)).astype("f4")

    def run():
        layer, inputs = nn.BatchNorm2d(5), rv.tensor(x, requires_grad=True)
        layer(inputs).pow(3).sum().backward()
        return [a.numpy().copy() for a in (inputs.grad, layer.weight.grad, layer.running_var)]

    rv.set_num_threads(1)
    expected = run()
    rv.set_num_threads(threads)
    for a, b in zip(run(), expected):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "layer, norm, shape",
    [
        (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), lambda: nn.BatchNorm2d(6), (2, 4, 5, 6)),
        (lambda: nn.Conv1d(4, 3, 2), lambda: nn.BatchNorm1d(3, affine=False), (2, 4, 5)),
        (lambda: nn.ConvTranspose2d(4, 6, 3), lambda: nn.BatchNorm2d(6), (2, 4, 5, 6)),
        (lambda: nn.Linear(4, 6), lambda: nn.BatchNorm1d(6), (3, 4)),
    ],
)
def test_fused_layers_do_the_same(layer, norm, shape):
    layer, norm, x = layer().eval(), norm(), rv.randn(*shape)
    norm(rv.randn(8, norm.num_features, *shape[2:]) * 3 + 1)
    norm.eval()
    if isinstance(layer, nn.Linear):
        fused = nn.utils.fuse_linear_bn_eval(layer, norm)
    else:
        fused = nn.utils.fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
    np.testing.assert_allclose(fused(x).detach().numpy(), norm(layer(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert fused is not layer and fused.weight.requires_grad
    with pytest.raises(rv.DomainError, match="must be in evaluation"):
        nn.utils.fuse_conv_bn_eval(layer, norm.train())
