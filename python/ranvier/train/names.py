"""Losses and optimizers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn, optim
from ..nn import functional as F

LOSSES = {
    "mse": nn.MSELoss, "mae": nn.L1Loss, "l1": nn.L1Loss, "huber": nn.HuberLoss, "smooth_l1": nn.SmoothL1Loss,
    "cross_entropy": nn.CrossEntropyLoss, "nll": nn.NLLLoss, "bce": nn.BCELoss,
    "bce_with_logits": nn.BCEWithLogitsLoss, "kl_div": nn.KLDivLoss, "poisson_nll": nn.PoissonNLLLoss,
}  # fmt: skip
_OF_LABELS = (nn.CrossEntropyLoss, nn.NLLLoss)
_FUNCTIONS_OF_LABELS = (F.cross_entropy, F.nll_loss)
_OF_LOGITS = (nn.BCEWithLogitsLoss,)
OPTIMIZERS = {
    cls.__name__.lower(): cls
    for cls in (
        optim.SGD, optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam, optim.RMSprop,
        optim.Adagrad, optim.Adadelta, optim.ASGD, optim.Rprop,
    )
}  # fmt: skip


def takes_labels(loss: Any) -> bool:
    """Whether targets are class numbers."""
    return isinstance(loss, _OF_LABELS) or loss in _FUNCTIONS_OF_LABELS


def decision_threshold(loss: Any) -> float:
    """The score above which a two-class model says yes: 0 for logits, 0.5 for probabilities."""
    return 0.0 if isinstance(loss, _OF_LOGITS) or loss is F.binary_cross_entropy_with_logits else 0.5


def loss_by_name(loss: Any) -> Callable:
    """A loss from its name, its class, a module or a function of (output, target)."""
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"Trainer: loss={loss!r} must be one of {', '.join(LOSSES)}")
        return LOSSES[loss]()
    if isinstance(loss, type):
        return loss()
    if not callable(loss):
        raise TypeError(f"Trainer: loss={loss!r} must be a name, a loss module or a function of (output, target)")
    return loss


def optimizer_by_name(optimizer: Any, parameters: Any, **options: Any) -> optim.Optimizer:
    """An optimizer from its name or class with `options` such as lr, or the object itself."""
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise ValueError(f"Trainer: optimizer={optimizer!r} must be one of {', '.join(OPTIMIZERS)}")
        optimizer = OPTIMIZERS[optimizer.lower()]
    if isinstance(optimizer, type) and issubclass(optimizer, optim.Optimizer):
        return optimizer(parameters, **options)
    if not isinstance(optimizer, optim.Optimizer):
        raise TypeError(f"Trainer: optimizer={optimizer!r} must be a name, an optimizer class or an Optimizer")
    if options:
        raise ValueError(f"Trainer: {', '.join(options)} go with an optimizer's name, not with an Optimizer object")
    return optimizer
