"""Small networks of separable convolutions. Howard et al., "Searching for MobileNetV3", 2019."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import nn
from ..nn import init

__all__ = ["MobileNetV3", "mobilenet_small"]


class Stage(NamedTuple):
    """One inverted residual of the paper's tables."""

    kernel: int
    expanded: int
    out: int
    attends: bool  # weighs its channels
    activation: type[nn.Module]
    stride: int


_SMALL = (
    Stage(3, 16, 16, True, nn.ReLU, 2),
    Stage(3, 72, 24, False, nn.ReLU, 2),
    Stage(3, 88, 24, False, nn.ReLU, 1),
    Stage(5, 96, 40, True, nn.Hardswish, 2),
    Stage(5, 240, 40, True, nn.Hardswish, 1),
    Stage(5, 240, 40, True, nn.Hardswish, 1),
    Stage(5, 120, 48, True, nn.Hardswish, 1),
    Stage(5, 144, 48, True, nn.Hardswish, 1),
    Stage(5, 288, 96, True, nn.Hardswish, 2),
    Stage(5, 576, 96, True, nn.Hardswish, 1),
    Stage(5, 576, 96, True, nn.Hardswish, 1),
)
_FIRST = 16  # channels of the first convolution


def _convolution(
    channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1, activation: type[nn.Module] | None = None
) -> nn.Sequential:
    """Convolution, batch norm and activation."""
    layers = [
        nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def _rounded(channels: int) -> int:
    """To a multiple of 8, by no more than a tenth down."""
    near = max(8, (channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


class _Attention(nn.Module):
    """x times a weight in [0, 1] for each channel, which two dense layers find from the channels' means."""

    def __init__(self, channels: int):
        super().__init__()
        squeezed = _rounded(channels // 4)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Any) -> Any:
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


class _InvertedResidual(nn.Module):
    """To more channels, a convolution of each channel by itself, back to few; x is added where the shape stays."""

    def __init__(self, channels: int, stage: Stage):
        super().__init__()
        wide, activation = stage.expanded, stage.activation
        layers: list[nn.Module] = []
        if wide != channels:
            layers.append(_convolution(channels, wide, 1, activation=activation))
        layers.append(_convolution(wide, wide, stage.kernel, stage.stride, wide, activation))
        if stage.attends:
            layers.append(_Attention(wide))
        self.block = nn.Sequential(*layers, _convolution(wide, stage.out, 1))
        self.residual = stage.stride == 1 and channels == stage.out

    def forward(self, x: Any) -> Any:
        return self.block(x) + x if self.residual else self.block(x)


class MobileNetV3(nn.Module):
    """A convolution, inverted residuals, a convolution, mean over places, `classifier`: (N, in_channels, H, W) ->
    (N, num_classes).

    Args:
        stages: the inverted residuals.
        last: channels that the classifier's hidden layer has.
        num_classes: outputs.
        dropout: before the last layer.
        in_channels: of the images.
    """

    def __init__(
        self, stages: tuple[Stage, ...], last: int, num_classes: int = 1000, dropout: float = 0.2, in_channels: int = 3
    ):
        super().__init__()
        chain: list[nn.Module] = [_convolution(in_channels, _FIRST, 3, 2, activation=nn.Hardswish)]
        channels = _FIRST
        for stage in stages:
            chain.append(_InvertedResidual(channels, stage))
            channels = stage.out
        chain.append(_convolution(channels, 6 * channels, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*chain)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last), nn.Hardswish(), nn.Dropout(dropout), nn.Linear(last, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                init.normal_(module.weight, 0, 0.01)
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                init.zeros_(module.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def mobilenet_small(num_classes: int = 1000, **options: Any) -> MobileNetV3:
    """MobileNetV3-Small: 2,542,856 parameters with 1000 classes. (N, 3, H, W) -> (N, num_classes), made for 224x224.

    `options`: dropout, in_channels. Keys are those of torchvision's mobilenet_v3_small: its checkpoints load.

    >>> import ranvier as rv
    >>> rv.models.mobilenet_small(num_classes=10)(rv.zeros(2, 3, 32, 32)).shape
    (2, 10)
    """
    return MobileNetV3(_SMALL, 1024, num_classes, **options)
