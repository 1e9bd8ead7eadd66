"""Models that are ready to train, with the names and `state_dict` keys of torchvision where it has them.

>>> import ranvier as rv
>>> model = rv.models.resnet18(num_classes=10)
>>> sum(p.numel() for p in model.parameters())
11181642
"""

from ..core.namespace import listing as _listing
from .mobilenet import MobileNetV3, mobilenet_small
from .resnet import BasicBlock, Bottleneck, ResNet, resnet18, resnet34, resnet50
from .simple import mlp, simple_cnn

__all__ = [
    "BasicBlock", "Bottleneck", "MobileNetV3", "ResNet", "mlp", "mobilenet_small", "resnet18", "resnet34", "resnet50",
    "simple_cnn",
]  # fmt: skip

__dir__ = _listing(globals())
