"""Losses and optimizers by name."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from .. import nn, optim
from ..nn import functional as F

LOSSES = {
    "mse": nn.MSELoss, "mae": nn.L1Loss, "l1": nn.L1Loss, "huber": nn.HuberLoss, "smooth_l1": nn.SmoothL1Loss,
    "cross_entropy": nn.CrossEntropyLoss, "nll": nn.NLLLoss, "bce": nn.BCELoss,
    "bce_with_logits": nn.BCEWithLogitsLoss, "kl_div": nn.KLDivLoss, "poisson_nll": nn.PoissonNLLLoss,
}  # fmt: skip
_OF_FUNCTIONS = {
    F.cross_entropy: nn.CrossEntropyLoss, F.nll_loss: nn.NLLLoss, F.binary_cross_entropy: nn.BCELoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    F.multilabel_soft_margin_loss: nn.MultiLabelSoftMarginLoss,
}  # fmt: skip
_OF_LABELS = (nn.CrossEntropyLoss, nn.NLLLoss)
_OF_LOGITS = (nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)
_BINARY = (nn.BCELoss, *_OF_LOGITS)
OPTIMIZERS = {
    cls.__name__.lower(): cls
    for cls in (
        optim.SGD, optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam, optim.RMSprop,
        optim.Adagrad, optim.Adadelta, optim.ASGD, optim.Rprop,
    )
}  # fmt: skip


def takes_labels(loss: Any) -> bool:
    """Whether targets are class numbers."""
    return isinstance(loss, _OF_LABELS)


def is_binary(loss: Any) -> bool:
    """Whether each output is a decision of its own, and its target a probability."""
    return isinstance(loss, _BINARY)


def takes_probabilities(loss: Any) -> bool:
    """Whether outputs must be in [0, 1]."""
    return isinstance(loss, nn.BCELoss)


def suited(metric: Any, loss: Any) -> Any:
    """A metric that reads a model's outputs as the loss does, where it is not told how: as scores that are cut at 0, or
    probabilities at 0.5; as one decision an output, or as one for all.
    """
    settings = {
        "threshold": 0.0 if isinstance(loss, _OF_LOGITS) else 0.5 if is_binary(loss) else None,
        "multilabel": is_binary(loss),
        "from_logits": isinstance(loss, (*_OF_LABELS, *_OF_LOGITS)),
    }
    unset = {name: value for name, value in settings.items() if getattr(metric, name, 0) is None and value is not None}
    if unset:
        metric = copy(metric)
        vars(metric).update(unset)
    return metric


def loss_by_name(loss: Any) -> Callable:
    """A loss from its name, its class, a module or a function of (output, target)."""
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(f"Trainer: loss={loss!r} must be one of {', '.join(LOSSES)}")
        return LOSSES[loss]()
    if isinstance(loss, type):
        return loss()
    for function, module in _OF_FUNCTIONS.items():
        if loss is function:
            return module()
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
