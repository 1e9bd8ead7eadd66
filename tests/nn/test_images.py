"""Layers and functions of images against PyTorch: convolution, pooling, resizing, normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from products import NO_EPILOGUE
from ranvier import _native as native
from ranvier import nn

random = np.random.default_rng(0)
X1, X2, X3 = (random.normal(size=(2, 4, *sizes)).astype("f4") for sizes in ((11,), (7, 8), (3, 3, 4)))
POSITIVE = np.abs(X2) + 0.1

# layer, arguments, options, input
LAYERS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1}, X1),
    ("Conv1d", (4, 6, 4), {"padding": "same"}, X1),
    ("Conv2d", (4, 6, 3), {"padding": (1, 2), "groups": 2, "padding_mode": "reflect"}, X2),
    ("Conv2d", (4, 8, (3, 2)), {"dilation": (2, 3), "groups": 4, "bias": False}, X2),
    ("Conv2d", (4, 6, 3), {"padding": 1, "padding_mode": "circular"}, X2),
    ("Conv2d", (4, 6, 3), {"padding": "same", "padding_mode": "replicate"}, X2),
    ("Conv2d", (4, 6, 1), {}, X2[0]),
    ("Conv3d", (4, 3, (2, 3, 1)), {"stride": (1, 2, 2), "padding": (1, 0, 0)}, X3),
    ("ConvTranspose1d", (4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}, X1),
    ("ConvTranspose2d", (4, 6, 3), {"stride": 2, "groups": 2, "dilation": 2, "output_padding": 1}, X2),
    ("ConvTranspose2d", (4, 2, 3), {"dilation": 3, "output_padding": 2, "bias": False}, X2[0]),
    ("ConvTranspose3d", (4, 2, 2), {"stride": 2}, X3),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1, "dilation": 2}, X1),
    ("MaxPool2d", (2,), {"ceil_mode": True}, X2),
    ("MaxPool3d", ((2, 3, 2),), {"stride": 1, "padding": (1, 0, 1)}, X3),
    ("AvgPool1d", (3,), {"padding": 1, "count_include_pad": False}, X1),
    ("AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, X2),
    ("AvgPool2d", ((2, 3),), {"divisor_override": 5}, X2),
    ("AvgPool3d", (2,), {"padding": 1}, X3),
    ("LPPool2d", (3, 2), {"stride": 1}, POSITIVE),
    ("AdaptiveAvgPool2d", ((3, None),), {}, X2),
    ("AdaptiveAvgPool1d", (4,), {}, X1),
    ("AdaptiveMaxPool2d", ((3, 5),), {}, X2),
    ("BatchNorm1d", (4,), {"momentum": None}, X1),
    ("BatchNorm2d", (4,), {"eps": 1e-3, "momentum": 0.3}, X2),
    ("BatchNorm2d", (4,), {"affine": False}, X2),
    ("BatchNorm3d", (4,), {"track_running_stats": False, "bias": False}, X3),
    ("InstanceNorm1d", (4,), {"affine": True}, X1),
    ("InstanceNorm2d", (4,), {"track_running_stats": True}, X2),
    ("LayerNorm", ((7, 8),), {"bias": False}, X2),
    ("RMSNorm", (8,), {"eps": 1e-3}, X2),
    ("GroupNorm", (2, 4), {}, X2),
    ("LocalResponseNorm", (3,), {"alpha": 0.5, "k": 2.0}, X2),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, X2),
    ("UpsamplingNearest2d", (), {"size": (9, 5)}, X2),
    ("PixelShuffle", (2,), {}, X2),
    ("ChannelShuffle", (2,), {}, X2),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, X2),
    ("Fold", ((7, 5), 2), {"stride": (1, 3)}, random.normal(size=(2, 4, 12)).astype("f4")),
    ("ReflectionPad2d", ((1, 2, 0, 1),), {}, X2),
    ("ConstantPad1d", (2, 3.5), {}, X1),
    ("ZeroPad3d", (1,), {}, X3),
]


def parameters(layer) -> list:
    return [p for _, p in sorted(layer.named_parameters())]


def observe(layer, tensor, x: np.ndarray, call) -> list:
    """Two training steps and an evaluation: results, gradients, states."""
    seen = []
    for mode in (True, True, False):
        layer.train(mode)
        inputs = tensor(x if mode else 2 * x + 1)
        inputs.requires_grad_(True)
        out = call(inputs)
        weights = np.cos(np.arange(out.numel(), dtype="f4")).reshape(tuple(out.shape))
        layer.zero_grad()
        (out * tensor(weights)).sum().backward()
        seen += [out.detach(), inputs.grad, *(p.grad.clone() for p in parameters(layer))]
        seen += [b.clone() for _, b in sorted(layer.named_buffers())]
    return [a.numpy() for a in seen]


@pytest.mark.parametrize("name, args, options, x", LAYERS, ids=[f"{n}-{k}" for k, (n, *_) in enumerate(LAYERS)])
@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_layers(name, args, options, x, how, oracle, request):
    def filled(layer, tensor):
        for k, p in enumerate(parameters(layer)):
            p.data = tensor(np.sin(np.arange(p.numel(), dtype="f4") + k).reshape(tuple(p.shape)))
        return layer

    layer = filled(getattr(nn, name)(*args, **options), rv.tensor)

    def theirs(torch):
        other = filled(getattr(torch.nn, name)(*args, **options).float(), torch.tensor)
        assert list(other.state_dict()) == list(layer.state_dict())
        return observe(other, torch.tensor, x, other)

    ours = observe(layer, rv.tensor, x, rv.compile(layer) if how == "compiled" else layer)
    for a, b in zip(ours, oracle(theirs, key=f"images/{request.node.callspec.id.split('-', 1)[1]}"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1, np.abs(b).max(initial=0)))


RESIZED = [
    *((X1, "linear", {"size": 7}), (X1, "nearest", {"scale_factor": 1.7}), (X1, "area", {"size": 5})),
    *((X2, mode, {"size": (5, 13)}) for mode in ("nearest-exact", "bilinear", "bicubic")),
    *((X2, mode, {"size": (5, 13), "align_corners": True}) for mode in ("bilinear", "bicubic")),
    *((X2, mode, {"size": (3, 5), "antialias": True}) for mode in ("bilinear", "bicubic")),
    (X2, "bilinear", {"scale_factor": (1.5, 0.7)}),
    (X2, "bicubic", {"scale_factor": (1.5, 0.7), "recompute_scale_factor": True}),
    (X3, "trilinear", {"scale_factor": 2}),
]


@pytest.mark.parametrize("x, mode, options", RESIZED)
def test_interpolate(x, mode, options, oracle):
    ours = F.interpolate(x, mode=mode, **options)
    (theirs,) = oracle(lambda torch: [torch.nn.functional.interpolate(torch.tensor(x), mode=mode, **options)])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_linear_modes_copy_axes_that_stay_as_long_whatever_the_scale():
    short = X2[..., :3]
    np.testing.assert_array_equal(F.interpolate(short[0], scale_factor=1.3, mode="linear"), short[0])
    np.testing.assert_array_equal(
        F.interpolate(short, scale_factor=(2, 1.3), mode="bilinear"),
        F.interpolate(short, size=(14, 3), mode="bilinear"),
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding_mode, align_corners, oracle):
    theta = np.array([[[1.2, 0.3, 0.1], [-0.4, 1.1, -0.2]], [[0.5, 0, 0.9], [0, 0.5, 0]]])
    x = X2.astype("f8")
    ours = F.affine_grid(rv.tensor(theta), (2, 4, 5, 6), align_corners)
    ours = F.grid_sample(rv.tensor(x), ours, mode, padding_mode, align_corners).numpy()

    def run(torch):
        f = torch.nn.functional
        grid = f.affine_grid(torch.tensor(theta), (2, 4, 5, 6), align_corners)
        return [f.grid_sample(torch.tensor(x), grid, mode, padding_mode, align_corners)]

    np.testing.assert_allclose(ours, oracle(run)[0], rtol=1e-9, atol=1e-9)


def test_indices_and_unpooling():
    x = rv.tensor(X2, requires_grad=True)
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(
        X2.reshape(2, 4, -1)[np.arange(2)[:, None, None], np.arange(4)[:, None], indices.numpy().reshape(2, 4, -1)],
        values.detach().numpy().reshape(2, 4, -1),
    )
    back = nn.MaxUnpool2d(2)(values, indices, output_size=(7, 8))
    assert back.shape == x.shape and (back != 0).sum().item() == values.numel()
    back.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), (back.detach().numpy() != 0).astype("f4"))
    with pytest.raises(rv.OutOfRangeError):
        F.max_unpool2d(values, indices + 100, 2)


def test_output_size():
    layer = nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1)
    assert layer(rv.tensor(X2), output_size=(14, 15)).shape == (2, 2, 14, 15)
    with pytest.raises(rv.ShapeError, match=r"output_size=\(16, 15\) must be from \(13, 15\)"):
        layer(rv.tensor(X2), output_size=(16, 15))


@pytest.mark.parametrize("function", [F.conv2d, F.conv_transpose2d])
def test_second_derivative(function):
    """The gradient of a gradient's norm, as in gradient penalties, against differences."""
    x, w = rv.tensor(X2[:1, :, :4, :4].astype("f8"), requires_grad=True), rv.tensor(random.normal(size=(4, 4, 3, 3)))

    def penalty(w):
        out = function(x, w, stride=2, padding=1).square().sum()
        (g,) = rv.autograd.grad(out, x, create_graph=True)
        return g.square().sum()

    w.requires_grad_()
    (got,) = rv.autograd.grad(penalty(w), w)
    step = rv.tensor(random.normal(size=w.shape)) * 1e-4
    change = (penalty(w.detach() + step) - penalty(w.detach() - step)).item() / 2
    assert (got * step).sum().item() == pytest.approx(change, rel=1e-6)


def test_nan_stays_in_its_window():
    x = X2.astype("f8")
    x[0, 0, 0, 0] = np.nan
    for f in (lambda x: F.avg_pool2d(x, 2), lambda x: F.max_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, (3, 4))):
        assert np.isnan(f(x)).sum() == 1
    assert np.isnan(F.interpolate(x, size=(14, 16))).sum() == 4


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bits_for_any_number_of_threads(threads):
    x, w = random.normal(size=(9, 8, 33, 31)).astype("f4"), random.normal(size=(16, 8, 3, 3)).astype("f4")

    def run():
        a, b = rv.tensor(x, requires_grad=True), rv.tensor(w, requires_grad=True)
        F.max_pool2d(F.conv2d(a, b, padding=1), 2).square().sum().backward()
        return a.grad.numpy().copy(), b.grad.numpy().copy()

    rv.set_num_threads(1)
    expected = run()
    rv.set_num_threads(threads)
    for a, b in zip(run(), expected):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: groups=2 must divide in_channels=3 and out_channels=4"),
        (lambda: F.conv2d(X2, np.ones((2, 3, 3, 3), "f4")), "conv2d: x(2, 4, 7, 8) and weight(2, 3, 3, 3) with groups=1"),
        (lambda: F.conv2d(X2, np.ones((2, 4, 9, 3), "f4")), "a kernel that spans 9 (dilation 1) is larger than the padded axis, 7"),
        (lambda: nn.Conv2d(4, 4, 3, padding="same", stride=2), "padding='same' needs stride 1"),
        (lambda: nn.Conv2d(4, 4, 3, padding="some"), "padding='some' must be numbers, 'same' or 'valid'"),
        (lambda: F.conv2d(X2.astype("f8"), np.ones((2, 4, 3, 3), "f4")), "x is float64 and weight is float32"),
        (lambda: F.max_pool2d(X2, 3, padding=2), "padding=(2, 2) must be at most half of kernel_size=(3, 3)"),
        (lambda: F.max_pool2d(X2, 9), "a window of 9 is larger than the padded axis, 7"),
        (lambda: nn.BatchNorm2d(4)(rv.tensor(X2[:1, :, :1, :1])), "one value a channel"),
        (lambda: nn.BatchNorm2d(3)(rv.tensor(X2)), "must be (4,), the channels of x(2, 4, 7, 8)"),
        (lambda: nn.BatchNorm2d(4)(rv.tensor(X1)), "BatchNorm2d: x(2, 4, 11) must have 4 axes"),
        (lambda: F.interpolate(X2, size=3, mode="linear"), "which mode='linear' does not take"),
        (lambda: F.conv_transpose2d(X2, np.ones((4, 2, 3, 3), "f4"), output_padding=1), "output_padding=(1, 1) must be smaller"),
        (lambda: F.conv_transpose2d(X2, np.ones((4, 2, 3, 3), "f4"), np.ones(2)), "bias is float64(2,), must be float32(2,)"),
        (lambda: nn.GroupNorm(3, 4), "num_groups=3 must divide num_channels=4"),
        (lambda: F.max_pool2d(np.ones((1, 0, 4, 4)), 2), "must have channels and places"),
        (lambda: nn.CircularPad1d(1)(rv.ones(1, 1, 4, 4)), "CircularPad1d: x(1, 1, 4, 4) must have 3 axes"),
        (lambda: F.pad(np.ones((1, 4)), (-2, 3), mode="circular"), "must be at most 2"),
    ],
)  # fmt: skip
def test_refused(call, text):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert text in str(error.value)


@pytest.mark.parametrize(
    "kernel, shapes, out",
    [
        ("convolve", [(1, 2, 3, 3), (4, 9, 2, 2)], (1, 4, 2, 2)),
        ("convolve", [(1, 2, 3, 3), (4, 2, 2, 2)], (2, 4, 2, 2)),
        ("convolve", [(1, 2, 3, 3), (4, 2, 2, 2), (3,)], (1, 4, 2, 2)),
        ("convolve_input", [(1, 4, 2, 2), (5, 2, 2, 2)], (1, 2, 3, 3)),
        ("convolve_input", [(1, 4, 2, 2), (4, 2, 2, 2)], (2, 2, 3, 3)),
        ("convolve_weight", [(2, 2, 3, 3), (1, 4, 2, 2)], (4, 2, 2, 2)),
        ("convolve_weight", [(1, 2, 3, 3), (1, 4, 2)], (4, 2, 2, 2)),
    ],
)
def test_kernels_refuse_operands_that_would_be_read_outside(kernel, shapes, out):
    attrs = {"stride": (1,) * 3, "padding": (0,) * 3, "dilation": (1,) * 3, "groups": 1, "bias": len(shapes) == 3}
    if kernel != "convolve_weight":
        attrs |= NO_EPILOGUE
    with pytest.raises(ValueError, match="do not go together|one number for each channel|all as many"):
        native.eager_add(1 << 45, [np.ones(s, "f4") for s in shapes], kernel, [(0, out)], attrs, kernel)


def test_empty_batch():
    model = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1))
    x = rv.zeros(0, 4, 8, 8, requires_grad=True)
    out = model(x)
    assert out.shape == (0, 3, 1, 1)
    out.sum().backward()
    assert x.grad.shape == x.shape and not model[0].weight.grad.numpy().any()


def test_an_empty_batch_leaves_the_statistics():
    norm = nn.BatchNorm2d(3)
    assert norm(rv.zeros(0, 3, 2, 2)).shape == (0, 3, 2, 2)
    assert norm.running_mean.tolist() == [0] * 3 and norm.running_var.tolist() == [1] * 3


@pytest.mark.parametrize(
    "mode, sizes, wanted",
    [
        ("reflect", (-2, 3), [3, 4, 3, 2, 1]),
        ("replicate", (-4, 5), [4] * 5),
        ("replicate", (3, -2), [1, 1, 1, 1, 2]),
        ("circular", (-1, 2), [2, 3, 4, 2, 3]),
        ("circular", (2, -1), [2, 3, 1, 2, 3]),
    ],
)
def test_borders_that_crop(mode, sizes, wanted):
    assert F.pad(rv.arange(1.0, 5.0), sizes, mode=mode).tolist() == wanted


def test_prelu_of_a_scalar_is_one():
    assert nn.PReLU()(rv.tensor(-2.0)).shape == ()


def test_a_small_network_learns():
    rv.manual_seed(0)
    x, y = random.normal(size=(64, 1, 8, 8)).astype("f4"), np.arange(64) % 2
    x[y == 1, :, 2:5, 2:5] += 2
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    optimizer = rv.optim.Adam(model.parameters(), lr=0.02)

    @rv.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(60):
        loss = step(rv.tensor(x), rv.tensor(y))
    assert loss.item() < 0.1
    assert model[1].num_batches_tracked.item() == 60
    assert (model.eval()(rv.tensor(x)).argmax(1).numpy() == y).mean() > 0.95
