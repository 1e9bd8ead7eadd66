"""Small models of one chain of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from .. import nn

__all__ = ["mlp", "simple_cnn"]


def mlp(
    in_features: int,
    hidden: Sequence[int] = (128,),
    out_features: int = 10,
    activation: Callable[[], Any] = nn.ReLU,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Dense layers with `activation` between them: (N, ...) of in_features numbers each -> (N, out_features).

    The input is flattened; `dropout` > 0 follows each activation. Parameters: sum of (n + 1) m over the layers, n to m.

    >>> import ranvier as rv
    >>> model = rv.models.mlp(784, (128,), 10)
    >>> model(rv.zeros(2, 1, 28, 28)).shape, sum(p.numel() for p in model.parameters())
    ((2, 10), 101770)
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for n, m in pairwise((in_features, *hidden)):
        layers += [nn.Linear(n, m), activation()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear((in_features, *hidden)[-1], out_features))


def simple_cnn(
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int | tuple[int, int] = 32,
    width: int = 32,
    hidden: int = 64,
) -> nn.Sequential:
    """3x3 convolution to `width` channels, ReLU, max pooling by 2, and two dense layers: (N, in_channels, H, W) ->
    (N, num_classes), H and W being image_size.

    Parameters: 525,898 as it is.

    >>> import ranvier as rv
    >>> model = rv.models.simple_cnn()
    >>> model(rv.zeros(2, 3, 32, 32)).shape, sum(p.numel() for p in model.parameters())
    ((2, 10), 525898)
    """
    height, length = (image_size, image_size) if isinstance(image_size, int) else image_size
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * (height // 2) * (length // 2), hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )
