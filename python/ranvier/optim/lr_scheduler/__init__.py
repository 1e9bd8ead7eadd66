"""Learning-rate schedules with PyTorch's names, arguments and values.

A schedule only writes numbers into `optimizer.param_groups` (`lr`, and for the cyclic ones `momentum` or the
first of `betas`), so it never makes a compiled step trace again. Most schedules are stated by one closed
form, `_factor(t)`: the learning rate at step t is `initial_lr * _factor(t)`. They are applied as the ratio of
two neighbouring factors, so that several of them can act on one optimizer (`ChainedScheduler`).

    >>> import ranvier as rv
    >>> from ranvier import optim
    >>> w = rv.zeros(3, requires_grad=True)
    >>> optimizer = optim.SGD([w], lr=1.0)
    >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for epoch in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5]
"""

from ...core.namespace import listing as _listing
from .base import LRScheduler
from .closed import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)  # fmt: skip
from .cyclic import CyclicLR, OneCycleLR
from .plateau import ReduceLROnPlateau
from .several import ChainedScheduler, SequentialLR

__all__ = [
    "LRScheduler", "LambdaLR", "MultiplicativeLR", "StepLR", "MultiStepLR", "ConstantLR", "LinearLR",
    "ExponentialLR", "PolynomialLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "OneCycleLR",
    "CyclicLR", "ReduceLROnPlateau", "ChainedScheduler", "SequentialLR",
]  # fmt: skip

_LRScheduler = LRScheduler  # what PyTorch called it before

__dir__ = _listing(globals())
