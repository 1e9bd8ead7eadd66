"""Residual networks. He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn
from ..nn import functional as F
from ..nn import init

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "resnet18", "resnet34", "resnet50"]


class _Block(nn.Module):
    """relu(change(x) + x), where x is brought to the change's shape by a 1x1 convolution if it has another one."""

    expansion: int

    def __init__(self, inplanes: int, planes: int, stride: int = 1):
        super().__init__()
        self._change(inplanes, planes, stride)
        wide = planes * self.expansion
        self.downsample: Any = None
        if stride != 1 or inplanes != wide:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def _change(self, inplanes: int, planes: int, stride: int) -> None:
        raise NotImplementedError

    def change(self, x: Any) -> Any:
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        return F.relu(self.change(x) + (x if self.downsample is None else self.downsample(x)))


class BasicBlock(_Block):
    """Two 3x3 convolutions of `planes` channels, each with batch norm: (N, inplanes, H, W) -> (N, planes, H / stride,
    W / stride).
    """

    expansion = 1

    def _change(self, inplanes: int, planes: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def change(self, x: Any) -> Any:
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


class Bottleneck(_Block):
    """1x1 to `planes` channels, 3x3 with the stride, 1x1 to four times as many: (N, inplanes, H, W) -> (N, 4 planes,
    H / stride, W / stride).
    """

    expansion = 4

    def _change(self, inplanes: int, planes: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)

    def change(self, x: Any) -> Any:
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return self.bn3(self.conv3(x))


class ResNet(nn.Module):
    """A 7x7 convolution and max pooling (to a quarter of the image), four stages of blocks, mean over places, `fc`:
    (N, in_channels, H, W) -> (N, num_classes).

    Args:
        block: `BasicBlock` or `Bottleneck`.
        layers: blocks of each of the four stages.
        num_classes: outputs of `fc`.
        zero_init_residual: each block starts as the identity, its last batch norm at 0. Goyal et al., 2017.
        in_channels: of the images.
        width: channels of the first stage; each further one has twice as many, and half the places.

    Convolutions start in N(0, 2 / (out_channels h w)).
    """

    def __init__(
        self,
        block: type[_Block],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        in_channels: int = 3,
        width: int = 64,
    ):
        super().__init__()
        self.inplanes = width
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            self._stage(block, width * 2**stage, blocks, 2 if stage else 1) for stage, blocks in enumerate(layers)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.inplanes, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, _Block):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                init.zeros_(last.weight)

    def _stage(self, block: type[_Block], planes: int, blocks: int, stride: int) -> nn.Sequential:
        chain = []
        for number in range(blocks):
            chain.append(block(self.inplanes, planes, 1 if number else stride))
            self.inplanes = planes * block.expansion
        return nn.Sequential(*chain)

    def features(self, x: Any) -> Any:
        """What `fc` sees: (N, channels of the last stage)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.avgpool(x).flatten(1)

    def forward(self, x: Any) -> Any:
        return self.fc(self.features(x))


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet of 18 layers: 11,689,512 parameters with 1000 classes. (N, 3, H, W) -> (N, num_classes), made for 224x224.

    `options`: of `ResNet`. Keys are torchvision's: its checkpoints load.

    >>> import ranvier as rv
    >>> rv.models.resnet18(num_classes=10, width=8)(rv.zeros(2, 3, 64, 64)).shape
    (2, 10)
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet of 34 layers: 21,797,672 parameters with 1000 classes. As `resnet18`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet of 50 layers, of bottlenecks: 25,557,032 parameters with 1000 classes. As `resnet18`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, **options)
