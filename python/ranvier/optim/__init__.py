"""Optimizers and learning-rate schedules, with PyTorch's names, arguments and defaults."""

from ..core.namespace import listing as _listing
from . import lr_scheduler
from .algorithms import ASGD, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop, Rprop
from .fused import FusedOptimizer
from .optimizer import Optimizer
from .penalties import l1_penalty, l2_penalty

__all__ = [
    "ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "Rprop", "SGD", "l1_penalty", "l2_penalty", "lr_scheduler",
]  # fmt: skip

__dir__ = _listing(globals())
