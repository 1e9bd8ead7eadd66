"""Changes of batches of images at random."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from ranvier import nn
from ranvier.data import DataLoader, augment
from ranvier.train import Trainer

random = np.random.default_rng(0)


def test_augment():
    x = random.integers(1, 256, (64, 3, 9, 10), np.uint8)
    for change in (augment.crop, augment.flip, augment.cutout, augment.rotate, augment.color_jitter):
        first, again = change(x, np.random.default_rng(3)), change(x, np.random.default_rng(3))
        assert first.shape == x.shape and first.dtype == x.dtype
        np.testing.assert_array_equal(first, again)
        assert (first != x).any()
    mirrored = [bool((a == b).all()) for a, b in zip(augment.flip(x, np.random.default_rng(3)), x[..., ::-1])]
    assert 16 < sum(mirrored) < 48
    np.testing.assert_array_equal(augment.crop(x, np.random.default_rng(3), 0), x)
    moved = augment.crop(x, np.random.default_rng(3), 1)
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for image, whole in zip(moved, wide):
        assert any((image == whole[:, i : i + 9, j : j + 10]).all() for i in range(3) for j in range(3))
    assert (augment.cutout(x, np.random.default_rng(3), 4) == 0).any(axis=(1, 2, 3)).all()
    with pytest.raises(ValueError, match=r"crop: x is \(3, 4\), must be an array of images"):
        augment.crop(np.zeros((3, 4)), random)


def test_rotation():
    x = np.zeros((32, 1, 21, 21), np.float64)
    x[:, :, 4, 10] = 1.0  # 6 above the middle
    turned = augment.rotate(x, np.random.default_rng(0), 90.0)
    rows, columns = np.mgrid[:21, :21] - 10
    angle = np.arctan2((turned[:, 0] * columns).sum((1, 2)), -(turned[:, 0] * rows).sum((1, 2)))
    drawn = np.deg2rad(np.random.default_rng(0).uniform(-90, 90, 32))
    np.testing.assert_allclose(np.abs(angle), np.abs(drawn), atol=0.05)
    assert turned.dtype == np.float64
    bytes = random.integers(0, 256, (4, 3, 8, 12), np.uint8)
    np.testing.assert_array_equal(augment.rotate(bytes, np.random.default_rng(0), 0.0), bytes)
    long = np.zeros((8, 1, 9, 41), np.float32)
    long[..., 20] = 1.0  # an upright line stays one as long as the picture is high, in whatever frame
    assert np.all(augment.rotate(long, np.random.default_rng(1), 20.0).sum((1, 2, 3)) > 8.0)


def test_colors():
    x = random.integers(0, 256, (16, 3, 6, 6), np.uint8)
    still = augment.color_jitter(x, np.random.default_rng(0), 0.0, 0.0, 0.0)
    np.testing.assert_array_equal(still, x)
    brighter = augment.color_jitter(x, np.random.default_rng(0), 0.5, 0.0, 0.0)
    factors = np.random.default_rng(0).uniform(0.5, 1.5, 16).astype(np.float32)[:, None, None, None]
    np.testing.assert_array_equal(brighter, np.rint(np.clip(x * factors, 0, 255)).astype(np.uint8))
    grey = np.repeat(random.random((4, 1, 6, 6), np.float32), 3, 1)
    np.testing.assert_allclose(augment.color_jitter(grey, random, 0.0, 0.0, 0.9), grey, rtol=1e-5)
    means = augment.color_jitter(grey, random, 0.0, 0.4, 0.0).mean((1, 2, 3))
    assert np.abs(means - grey.mean((1, 2, 3))).max() < 0.05
    assert augment.color_jitter(x[:, :1], random).shape == (16, 1, 6, 6)


def test_normalize():
    x = random.integers(0, 256, (2, 3, 4, 4), np.uint8)
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
    wanted = (x / 255 - mean[:, None, None]) / std[:, None, None]
    got = augment.normalize(x, mean=mean, std=std)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="normalize: x of dtype float32 must be bytes"):
        augment.normalize(got)


def test_in_a_loader():
    x, y = random.integers(0, 256, (20, 3, 8, 8), np.uint8), np.arange(20)
    change = augment.Compose(augment.flip, partial(augment.crop, padding=2), augment.rotate, augment.normalize)
    assert repr(change) == "Compose(flip, crop, rotate, normalize)"

    def passes():
        loader = DataLoader(augment.Augmented((x, y), change, seed=1), 8, shuffle=True, generator=3)
        return [[(a.numpy(), b.tolist()) for a, b in loader] for _ in range(2)]

    first, again = passes(), passes()
    assert sorted(label for _, labels in first[0] for label in labels) == list(range(20))
    for one, other in zip(first, again):
        for (a, b), (c, d) in zip(one, other):
            np.testing.assert_array_equal(a, c)
            assert b == d
    assert not np.array_equal(first[0][0][0], first[1][0][0])
    image, label = augment.Augmented((x, y), change)[3]
    assert image.shape == (3, 8, 8) and label == 3
    with pytest.raises(TypeError, match="must be a TensorDataset"):
        augment.Augmented(x, change)


def test_a_trainer_takes_such_a_loader():
    x, y = random.integers(0, 256, (32, 3, 8, 8), np.uint8), np.arange(32) % 2
    loader = DataLoader(augment.Augmented((x, y), augment.Compose(augment.flip, augment.normalize)), 8)
    history = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "cross_entropy", "sgd").fit(
        loader, epochs=2, verbose=0
    )
    assert len(history.history["loss"]) == 2
