"""Optimizers and learning-rate schedules, with PyTorch's names, arguments and defaults."""

from ..core.namespace import listing as _listing
from . import lr_scheduler as lr_scheduler
from . import swa_utils as swa_utils
from .algorithms import ASGD, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop, Rprop
from .fused import FusedOptimizer
from .lbfgs import LBFGS
from .optimizer import Optimizer
from .penalties import l1_penalty, l2_penalty

__all__ = [
    "ASGD", "LBFGS", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "Rprop", "SGD", "l1_penalty", "l2_penalty", "lr_scheduler", "swa_utils",
]  # fmt: skip

__dir__ = _listing(globals())
