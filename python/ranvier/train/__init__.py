"""Training: Trainer, callbacks, metrics."""

from ..core.namespace import listing as _listing
from . import metrics
from .callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    SchedulerCallback,
    TerminateOnNaN,
)
from .history import History
from .trainer import Trainer

__all__ = [
    "CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler",
    "ModelCheckpoint", "SchedulerCallback", "TerminateOnNaN", "Trainer", "metrics",
]  # fmt: skip

__dir__ = _listing(globals())
