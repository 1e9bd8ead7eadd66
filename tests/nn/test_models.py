"""Models that come with the library."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import models, nn, optim


@pytest.mark.parametrize(
    "make, parameters, keys",
    [
        (models.resnet18, 11_689_512, 122),
        (models.resnet34, 21_797_672, 218),
        (models.resnet50, 25_557_032, 320),
        (models.mobilenet_small, 2_542_856, 244),
        (models.simple_cnn, 525_898, 6),
    ],
)
def test_sizes_are_those_of_torchvision(make, parameters, keys):
    model = make()
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.state_dict()) == keys


def test_keys_are_those_of_torchvision():
    keys = models.resnet18(num_classes=2, width=4).state_dict().keys()
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "fc.bias",
            "layer4.1.bn2.num_batches_tracked", "layer3.0.downsample.1.bias"} <= keys  # fmt: skip
    assert "layer1.0.downsample.0.weight" not in keys
    keys = models.mobilenet_small(num_classes=2).state_dict()
    shapes = {
        "features.0.0.weight": (16, 3, 3, 3), "features.1.block.0.0.weight": (16, 1, 3, 3),
        "features.1.block.1.fc1.weight": (8, 16, 1, 1), "features.4.block.2.fc2.bias": (96,),
        "features.2.block.2.0.weight": (24, 72, 1, 1), "features.11.block.3.1.running_mean": (96,),
        "features.12.0.weight": (576, 96, 1, 1), "classifier.0.weight": (1024, 576), "classifier.3.bias": (2,),
    }  # fmt: skip
    assert {key: tuple(keys[key].shape) for key in shapes} == shapes


@pytest.mark.parametrize(
    "model",
    [
        lambda: models.resnet18(5, width=4),
        lambda: models.resnet50(5, width=4, in_channels=1),
        lambda: models.mobilenet_small(5, in_channels=1),
        lambda: models.simple_cnn(5, 1, 32, 4, 8),
        lambda: models.mlp(32 * 32, (8, 6), 5, nn.Tanh, dropout=0.2),
    ],
)
def test_eager_compiled_and_reference_agree(model):
    model = model().eval()
    x = rv.randn(2, 3 if isinstance(model, models.ResNet) and model.conv1.weight.shape[1] == 3 else 1, 32, 32)
    with rv.no_grad():
        out = model(x)
        np.testing.assert_array_equal(rv.compile(model)(x).numpy(), out.numpy())
        with rv.backend("numpy"):
            np.testing.assert_allclose(model(x).numpy(), out.numpy(), rtol=1e-4, atol=1e-5)
    assert out.shape == (2, 5)


def test_blocks_may_start_as_the_identity():
    model = models.resnet18(2, width=4, zero_init_residual=True)
    assert model.layer2[1].bn2.weight.tolist() == [0] * 8 and model.layer2[1].bn1.weight.tolist() == [1] * 8


def test_a_frozen_part_costs_no_backward_work():
    """Neither gradients of its weights nor of what goes through it."""

    def work(frozen):
        model = models.resnet18(4, width=4)
        if frozen:
            model.requires_grad_(False).eval()
            model.fc.requires_grad_(True)
        optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

        @rv.compile
        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        graph = step.traced(rv.randn(2, 3, 32, 32), rv.tensor([0, 1])).graph
        return Counter(part.name for node in graph.nodes for part in node.body)

    whole, head = work(False), work(True)
    assert whole["convolve"] == head["convolve"] == whole["convolve_weight"] == 20
    assert not any(
        name.endswith("_grad") and name != "cross_entropy_grad" or name.startswith("convolve_") for name in head
    )
