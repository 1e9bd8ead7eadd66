"""rv.compress.quantize: exact products of bytes, calibration, folding, files, training that knows of it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.compress import notes, quantize
from ranvier.ops import int8

RNG = np.random.default_rng(0)


def cnn() -> nn.Module:
    rv.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 9, 10),
    )  # fmt: skip
    model(rv.randn(32, 3, 8, 8) * 2 + 1)  # running statistics
    return model.eval()


def quiet(*args, **kwargs) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return quantize(*args, **kwargs)


def error(model: nn.Module, other: nn.Module, x: rv.Tensor) -> float:
    """The largest difference, over the largest result."""
    with rv.no_grad():
        return float((model(x) - other(x)).abs().max() / model(x).abs().max())


# ---------------------------------------------------------------- products


def test_products_are_exact_at_the_largest_bytes():
    k = 4096
    a = np.full((9, k), 255, np.uint8)
    for byte in (-128, 127):
        w = np.full((33, k), byte, np.int8)
        got = int8.int8_matmul(rv.as_tensor(a), rv.as_tensor(int8.pack(w)), features=33).numpy()
        assert (got == 255 * byte * k).all()


_BITS = """
import hashlib, numpy as np, ranvier as rv
from ranvier.ops import OPS
digest = hashlib.sha256()
for name in ("int8_matmul", "int8_linear", "int8_convolve", "packed_linear"):
    for number, sample in enumerate(OPS[name].samples):
        rng = np.random.default_rng(number)
        inputs = [x if isinstance(x, np.ndarray) else rng.standard_normal(x).astype(np.float32) for x in sample.inputs]
        out = OPS[name](*map(rv.as_tensor, inputs), **sample.attrs).numpy()
        digest.update(np.ascontiguousarray(out).tobytes())
print(digest.hexdigest())
"""


def test_the_same_bits_on_every_instruction_set():
    built = ("v2", "v3", "v4", "")
    found = {}
    for isa in built:
        env = {**os.environ, "RANVIER_ISA": isa}
        run = subprocess.run([sys.executable, "-c", _BITS], env=env, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            found[isa] = run.stdout.strip()
    assert "" in found and len(set(found.values())) == 1, found


def test_packing_is_undone():
    w = RNG.integers(-127, 128, (37, 50), dtype=np.int8)
    assert (int8.unpack(int8.pack(w), 37)[:, :50] == w).all()
    halves = w >> 4
    assert (int8.unpack_halves(int8.pack_halves(halves), 37)[:, :50] == halves).all()
    kernels = RNG.integers(-127, 128, (6, 5, 3, 2), dtype=np.int8)
    for dilation in ((1, 1), (2, 3)):
        packed = int8.pack_kernels(kernels, dilation, 2)
        assert (int8.unpack_kernels(packed, 6, 5, (3, 2), dilation) == kernels).all()


def test_sums_that_may_not_fit_are_refused():
    x, w = rv.zeros(1, 65537, dtype=rv.uint8), rv.zeros(1, 16385, 16, 4, dtype=rv.uint8)
    with pytest.raises(rv.ShapeError, match="65536"):
        int8.int8_matmul(x, w, features=1)


# ---------------------------------------------------------------- models


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy"])
def test_static(calibration):
    model, x = cnn(), rv.randn(64, 3, 8, 8)
    small = quiet(model, x, calibration=calibration)
    assert error(model, small, x) < 0.06
    assert [n for n, _ in small.named_modules()] == [n for n, _ in model.named_modules()]
    assert isinstance(small[1], nn.Identity) and small[0].bias is not None and not notes(small)


@pytest.mark.parametrize("options", [
    {"activations": "dynamic"}, {"activations": "dynamic", "per_channel": False}, {"activations": None},
    {"activations": None, "weights": "int4", "group_size": 16}, {"per_channel": False},
])  # fmt: skip
def test_other_ways(options):
    rv.manual_seed(1)
    model, x = nn.Sequential(nn.Linear(70, 40), nn.Tanh(), nn.Linear(40, 5)), rv.randn(30, 70)
    small = quiet(model, x, **options)
    assert error(model, small, x) < (0.15 if options.get("weights") == "int4" else 0.03)
    for layer in (0, 2):
        bound = float(small[layer].scale.max()) / 2 + 1e-6
        assert np.abs(small[layer].dequantized() - model[layer].weight.detach().numpy()).max() <= bound


def test_eager_compiled_and_reference_agree():
    model, x = cnn(), rv.randn(5, 3, 8, 8)
    small = quiet(model, x)
    with rv.no_grad():
        eager, compiled, frozen = small(x), rv.compile(small)(x), rv.compile(small, frozen=True)(x)
        with rv.backend("numpy"):
            reference = small(x)
    assert (eager == compiled).all() and (eager == frozen).all()
    assert np.abs(eager.numpy() - reference.numpy()).max() < 1e-5


@pytest.mark.parametrize("options", [{}, {"activations": "dynamic"}])
def test_files(options, tmp_path):
    model, x = cnn(), rv.randn(16, 3, 8, 8)
    small = quiet(model, x, **options)
    small.save(tmp_path / "small.safetensors")
    again = rv.compress.load_quantized(model, tmp_path / "small.safetensors")
    assert (again(x) == small(x)).all()


@pytest.mark.parametrize("weights, size, bound", [("int8", None, 0.3), ("int4", 24, 0.25)])
def test_files_of_weights_alone(weights, size, bound, tmp_path):
    model = nn.Sequential(nn.Linear(512, 512))
    small = quiet(model, None, weights=weights, activations=None, group_size=size)
    model.save(tmp_path / "float.safetensors")
    small.save(tmp_path / "small.safetensors")
    assert os.path.getsize(tmp_path / "small.safetensors") < bound * os.path.getsize(tmp_path / "float.safetensors")
    again, x = rv.compress.load_quantized(model, tmp_path / "small.safetensors"), rv.randn(2, 512)
    assert (again(x) == small(x)).all()


@pytest.mark.parametrize("conv", [
    nn.Conv2d(4, 8, 3, padding="same", dilation=2), nn.Conv2d(4, 8, (2, 3), padding=(1, 2), padding_mode="circular"),
    nn.Conv1d(8, 6, 4, padding="same", groups=2), nn.Conv3d(4, 5, 2, padding=1),
])  # fmt: skip
def test_convolutions(conv):
    x = rv.randn(3, conv.in_channels, *(7,) * conv.ndim)
    small = quiet(nn.Sequential(conv), x)
    assert error(nn.Sequential(conv), small, x) < 0.03
    alone = small(x[0])
    assert (alone == small(x)[0]).all()


def test_nan_stays_nan():
    model, x = cnn(), rv.randn(4, 3, 8, 8)
    for options in ({}, {"activations": "dynamic"}):
        small = quiet(nn.Sequential(model[0]), x, **options)
        bad = x.clone()
        bad[1, 0, 2, 2] = float("nan")
        nan = small(bad).isnan().numpy().any((1, 2, 3))
        assert nan.tolist() == [False, True, False, False]
    for options in ({}, {"activations": "dynamic"}, {"activations": None}):
        small = quiet(nn.Sequential(nn.Linear(8, 3)), rv.randn(4, 8), **options)
        rows = rv.randn(3, 8)
        rows[1, 5] = float("nan")
        assert small(rows).isnan().numpy().all(1).tolist() == [False, True, False]


def test_what_cannot_be_quantised_is_named():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8, 2), nn.Linear(2, 2))
    small = quiet(model, rv.randn(4, 8, 3, 3), skip="3")
    assert [line.split(" stays")[0] for line in notes(small)] == ["layer '0'", "layer '3'"]
    assert type(small[0]) is nn.Conv2d and type(small[2]) is rv.compress.QuantizedLinear
    other = nn.Sequential(nn.ConvTranspose1d(3, 4, 2), nn.Linear(5, 2))
    assert notes(quiet(other, rv.randn(2, 3, 4))) == [
        "layer '0' stays in float32: it is a ConvTranspose1d, no linear layer or convolution"
    ]


def test_a_shared_layer_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(self.fc(self.fc(x)))

    model, x = Twice().eval(), rv.randn(16, 4)
    small = quiet(model, x)
    assert isinstance(small.norm, nn.BatchNorm1d) and error(model, small, x) < 0.05


def test_slower_is_said():
    with pytest.warns(UserWarning, match=r"on 2 rows the quantised model takes [\d.]+ times"):
        quantize(nn.Sequential(nn.Linear(1, 1)), rv.randn(2, 1))


@pytest.mark.parametrize("data, match", [
    (None, "needs data"), ([], "no batches"), (np.zeros((0, 3, 8, 8), np.float32), "no rows"),
    (np.full((2, 3, 8, 8), np.nan, np.float32), "NaN"),
])  # fmt: skip
def test_bad_data(data, match):
    model = cnn()
    before = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    with pytest.raises(rv.DomainError, match=match):
        quantize(model, data)
    assert all((t.numpy() == before[name]).all() for name, t in model.state_dict().items())


def test_bad_arguments():
    model, x = cnn(), rv.randn(4, 3, 8, 8)
    with pytest.raises(rv.StateError, match="quantised already"):
        quantize(quiet(model, x), x)
    for wrong in ({"weights": "int2"}, {"activations": "int4"}, {"weights": "int4"}, {"calibration": "mean"},
                  {"percentile": 0, "calibration": "percentile"}, {"group_size": 8}, {"skip": "9"}):  # fmt: skip
        with pytest.raises(rv.DomainError, match="quantize"):
            quantize(model, x, **wrong)
    with pytest.raises(TypeError, match=r"nn\.Module"):
        quantize(lambda x: x, x)


# ---------------------------------------------------------------- training that knows of it


def test_quantization_aware():
    rv.manual_seed(0)
    x = rv.randn(256, 3, 8, 8)
    y = (x.sum((1, 2, 3)) > 0).long()
    model = cnn()
    aware = rv.compress.quantization_aware(model, x)
    assert isinstance(aware[0], nn.Conv2d) and isinstance(aware[1], nn.Identity)
    trainer = rv.train.Trainer(aware, "cross_entropy", "adam", lr=1e-3)
    losses = trainer.fit(x, y, epochs=5, seed=0, verbose=0)["loss"]
    assert losses[-1] < 0.7 * losses[0]
    small = quiet(aware.eval(), None)
    assert type(small[0]) is rv.compress.QuantizedConv
    assert error(aware, small, x) < 1e-5  # what was trained is what runs
    with pytest.raises(rv.StateError, match="already"):
        rv.compress.quantization_aware(aware, x)


def test_fake_quantize_is_straight_through():
    x = rv.tensor([-9.0, -1.3, 0.2, 0.26, 7.0], requires_grad=True)
    y = rv.compress.fake_quantize(x, 0.5, 0, -4, 3)
    assert y.detach().numpy().tolist() == [-2.0, -1.5, 0.0, 0.5, 1.5]
    (y * rv.arange(1.0, 6.0)).sum().backward()
    assert x.grad.numpy().tolist() == [0.0, 2.0, 3.0, 4.0, 0.0]
